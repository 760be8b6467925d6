//! Time stamps by the MAC's own clock, for all that have one.

extern crate std;
use super::cases::{self, HEADROOM, OnRings, RX, RingSubject, SLOT, TX};
use super::world::{Hardware as _, Packet, Shared};
use crate::engine::{RingNic, SentAt};
use ringtap::device::{Device as _, TxMeta};
use ringtap::frame::{BoxedPool, Pool};
use ringtap::time::Instant;

const SECOND: u64 = 1_000_000_000;
/// The clocks' resolution of a second: more than what any of them keeps in a descriptor has passed at the end.
const END: u64 = if cfg!(miri) { 2 * SECOND } else { 140 * SECOND };

/// All of them, for a driver whose time stamps are on.
pub fn all<S: RingSubject>() {
    times::<S>();
    forgotten::<S>();
    fault::<S>();
}

type Nic<'p, S> =
    RingNic<'static, 'p, <S as RingSubject>::Engine, super::world::ModelMemory<<S as RingSubject>::Hardware>, RX, TX>;

fn set_time<S: RingSubject>(world: &Shared<S::Hardware>, nanos: u64) {
    world.0.borrow_mut().hardware.set_time(nanos);
}

fn micros(nanos: u64) -> Instant {
    Instant::from_micros(nanos / 1000)
}

fn incoming<S: RingSubject>(world: &Shared<S::Hardware>) {
    let mut world = world.0.borrow_mut();
    world.incoming.push_back(Packet { octets: [7; 60].to_vec(), error: None });
    world.receive_one();
}

fn send<'p, S: RingSubject>(nic: &mut Nic<'p, S>, pool: Pool<'p>, timestamp: bool) {
    let mut frame = pool.take(HEADROOM).expect("a frame");
    frame.extend(&[1; 60]).expect("room");
    assert!(nic.transmit(frame, TxMeta { timestamp, ..TxMeta::default() }).is_ok());
    nic.flush();
}

/// Packets are stamped with when they came, however late they are fetched; frames that ask for it with when they went, and
/// others are not. A frame that the medium lost has its number and no time.
fn times<S: RingSubject>() {
    let memory = BoxedPool::new(SLOT, RX + 4);
    let pool = memory.pool();
    let (world, mut nic) = cases::world::<OnRings<S>>(pool, false, 5);
    assert!(nic.stamps());
    let (mut now, mut number, mut sent) = (0, 0, 0);
    while now < END {
        let came = now + SECOND / 10 + 123_456;
        set_time::<S>(&world, came);
        incoming::<S>(&world);
        let fetched = came + SECOND / 2;
        set_time::<S>(&world, fetched);
        assert_eq!(nic.clock(), Some(micros(fetched)));
        let (_, meta) = nic.receive().expect("a packet");
        assert_eq!(meta.timestamp, Some(micros(came)), "it came at {came} ns");

        let asks = number % 3 != 1;
        send::<S>(&mut nic, pool, asks);
        assert_eq!(nic.sent_at(), None, "it is on its way");
        let went = fetched + SECOND / 10;
        set_time::<S>(&world, went);
        let lost = world.0.borrow().lost;
        world.0.borrow_mut().transmit_one();
        let lost = world.0.borrow().lost > lost;
        now = went + SECOND / 10;
        set_time::<S>(&world, now);
        assert!(nic.receive().is_none());
        let expected = SentAt { number: sent, at: (!lost).then_some(micros(went)) };
        assert_eq!(nic.sent_at(), asks.then_some(expected), "it went at {went} ns");
        assert_eq!(nic.sent_at(), None);
        sent += u32::from(asks);
        number += 1;
    }
    assert_eq!(world.0.borrow().wire.len(), number as usize);
}

/// Whoever does not fetch times has the last four, and their numbers tell how many he missed.
fn forgotten<S: RingSubject>() {
    let memory = BoxedPool::new(SLOT, RX + 4);
    let (world, mut nic) = cases::world::<OnRings<S>>(memory.pool(), false, 5);
    for _ in 0..7 {
        send::<S>(&mut nic, memory.pool(), true);
        world.0.borrow_mut().transmit_one();
        assert!(nic.receive().is_none());
    }
    for number in 3..7 {
        assert_eq!(nic.sent_at().map(|sent| sent.number), Some(number));
    }
    assert_eq!(nic.sent_at(), None);
}

/// Frames that a fault has stopped were never sent.
fn fault<S: RingSubject>() {
    let memory = BoxedPool::new(SLOT, RX + 4);
    let (world, mut nic) = cases::world::<OnRings<S>>(memory.pool(), false, 5);
    for asks in [true, false, true] {
        send::<S>(&mut nic, memory.pool(), asks);
    }
    assert!(world.0.borrow_mut().hardware.fault());
    (0..3).for_each(|_| assert!(nic.receive().is_none()));
    assert_eq!(nic.faults(), 1);
    for number in 0..2 {
        assert_eq!(nic.sent_at(), Some(SentAt { number, at: None }));
    }
    assert_eq!(nic.sent_at(), None);
    incoming::<S>(&world);
    assert!(nic.receive().expect("packets pass again").1.timestamp.is_some());
}
