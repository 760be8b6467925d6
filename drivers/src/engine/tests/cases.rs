//! Single cases that every MAC passes.

extern crate std;
use super::world::{Hardware as _, ModelMemory, Packet, STATION, Shared, World};
use crate::coherency::Coherency;
use crate::engine::{Engine, RingNic, Setup, SetupError};
use crate::interrupt::Attention;
use crate::nic::Nic;
use crate::word::Word;
use ringtap::device::{Device as _, Link, Mac, TxMeta};
use ringtap::frame::{BoxedPool, Pool};
use std::boxed::Box;
use std::vec::Vec;

pub const SLOT: usize = 128;
pub const RX: usize = 4;
pub const TX: usize = 4;
/// What a device may want in front of a frame.
pub const HEADROOM: usize = 12;
/// The longest IP packet of these tests, and the longest frame.
const MTU: usize = 96;
pub const LONGEST: usize = MTU + 14;
/// Times around the receive ring while nothing is sent.
const ROUNDS: usize = if cfg!(miri) { 2 } else { 20 };

/// A device as the tests see it.
pub trait Card<'p>: Nic<'p> {
    /// Frames that lie in the receive ring, and in the transmit ring.
    fn lent(&self) -> [usize; 2];
    /// Something was received that nobody has looked at.
    fn has_work(&self) -> bool;
    fn faults(&self) -> u32;
    fn set_attention(&mut self, attention: &'static Attention);
    /// What the handler does before it raises the attention.
    fn mask(&mut self);
}

/// A driver and its model.
pub trait Subject {
    type Hardware: super::world::Hardware;
    type Card<'p>: Card<'p>;
    /// Octets of a slot that a received packet cannot have.
    const OVERHEAD: usize = 0;
    /// The hardware says when it lost packets for want of a descriptor.
    const TELLS_OVERRUNS: bool = true;
    /// Receive descriptors that a packet takes.
    const DESCRIPTORS: usize = 1;
    /// A mask holds back what is asserted already.
    const MASKS: bool = true;

    fn card<'p>(world: &Shared<Self::Hardware>, pool: Pool<'p>, setup: Setup) -> Result<Self::Card<'p>, SetupError>;
    /// A reset that does not end, from now on.
    fn never_resets(hardware: &mut Self::Hardware);
}

/// A driver on rings, and its model.
pub trait RingSubject {
    type Engine: Engine;
    type Hardware: super::world::Hardware;
    /// Receive descriptors that a packet takes.
    const DESCRIPTORS: usize = 1;

    fn engine(world: &Shared<Self::Hardware>) -> Self::Engine;
    fn rx() -> <Self::Engine as Engine>::Rx;
    fn tx() -> <Self::Engine as Engine>::Tx;
    fn rx_words(descriptor: &<Self::Engine as Engine>::Rx) -> &[Word];
    fn tx_words(descriptor: &<Self::Engine as Engine>::Tx) -> &[Word];
    fn never_resets(hardware: &mut Self::Hardware);
}

/// Makes a [`Subject`] of a [`RingSubject`].
pub struct OnRings<S>(core::marker::PhantomData<S>);

impl<S: RingSubject> Subject for OnRings<S> {
    type Hardware = S::Hardware;
    type Card<'p> = RingNic<'static, 'p, S::Engine, ModelMemory<S::Hardware>, RX, TX>;
    const OVERHEAD: usize = S::Engine::TRAILER;
    const DESCRIPTORS: usize = S::DESCRIPTORS;

    fn card<'p>(world: &Shared<Self::Hardware>, pool: Pool<'p>, setup: Setup) -> Result<Self::Card<'p>, SetupError> {
        let rx: &'static mut [_; RX] = Box::leak(Box::new(core::array::from_fn(|_| S::rx())));
        let tx: &'static mut [_; TX] = Box::leak(Box::new(core::array::from_fn(|_| S::tx())));
        // SAFETY: the model keeps to the descriptors and the pool.
        let nic = unsafe { RingNic::new(S::engine(world), rx, tx, ModelMemory(world.clone()), pool, setup)? };
        let mut inner = world.0.borrow_mut();
        inner.bus.attach(nic.rx().ring().descriptors(), S::rx_words);
        inner.bus.attach(nic.tx().ring().descriptors(), S::tx_words);
        drop(inner);
        Ok(nic)
    }

    fn never_resets(hardware: &mut Self::Hardware) {
        S::never_resets(hardware);
    }
}

impl<'p, E: Engine, C: Coherency + Clone, const R: usize, const T: usize> Card<'p>
    for RingNic<'static, 'p, E, C, R, T>
{
    fn lent(&self) -> [usize; 2] {
        [self.rx().ring().used(), self.tx().ring().used()]
    }

    fn has_work(&self) -> bool {
        self.rx().has_work()
    }

    fn faults(&self) -> u32 {
        RingNic::faults(self)
    }

    fn set_attention(&mut self, attention: &'static Attention) {
        RingNic::set_attention(self, attention);
    }

    fn mask(&mut self) {
        self.engine().interrupts(false);
    }
}

/// A world with a device in it that does not move by itself.
pub fn world<S: Subject>(pool: Pool<'_>, cached: bool, seed: u64) -> (Shared<S::Hardware>, S::Card<'_>) {
    let world = World::shared(pool, cached, seed);
    let nic = device::<S>(&world, pool, MTU).expect("a device");
    (world, nic)
}

fn device<'p, S: Subject>(
    world: &Shared<S::Hardware>,
    pool: Pool<'p>,
    ip_mtu: usize,
) -> Result<S::Card<'p>, SetupError> {
    S::card(world, pool, Setup { ip_mtu, ..Setup::new(STATION) })
}

/// All of them.
pub fn all<S: Subject>() {
    mtus::<S>();
    refusals::<S>();
    full_transmit_ring::<S>();
    empty_pool::<S>();
    fault::<S>();
    overrun::<S>();
    interrupts::<S>();
    end::<S>();
}

fn incoming<S: Subject>(world: &Shared<S::Hardware>, octets: &[u8]) {
    let mut world = world.0.borrow_mut();
    world.incoming.push_back(Packet { octets: octets.to_vec(), error: None });
    world.receive_one();
}

fn text(n: usize) -> Vec<u8> {
    std::format!("{n:064}").into_bytes()
}

/// An MTU that cannot be is refused, and one that can works.
fn mtus<S: Subject>() {
    let largest = 1536 - 14 - S::OVERHEAD;
    for (mtu, ok) in [(0, false), (67, false), (68, true), (1279, true), (1500, true), (largest, true)]
        .into_iter()
        .chain([largest + 1, 9000, 65535, usize::MAX].map(|mtu| (mtu, false)))
    {
        if cfg!(miri) && ok && mtu != largest {
            continue;
        }
        let memory = BoxedPool::new(1536, RX + 2);
        let pool = memory.pool();
        let world = World::shared(pool, false, 1);
        match device::<S>(&world, pool, mtu) {
            Err(error) => {
                assert_eq!((error, ok), (SetupError::Mtu, false), "MTU {mtu}");
                assert_eq!(pool.free(), RX + 2);
            }
            Ok(mut nic) => {
                assert!(ok, "MTU {mtu}");
                assert_eq!(nic.capabilities().ip_mtu, mtu);
                incoming::<S>(&world, &Vec::from_iter((0..mtu + 14).map(|i| i as u8)));
                let (frame, _) = nic.receive().expect("the longest packet");
                assert_eq!(frame.len(), mtu + 14);
                let octets = frame.to_vec();
                assert!(nic.transmit(frame, TxMeta::default()).is_ok());
                nic.flush();
                world.0.borrow_mut().transmit_one();
                assert_eq!(world.0.borrow().wire, [octets]);
                nic.stop();
            }
        }
    }
}

/// Wrong addresses and a reset that does not end are errors, and the pool keeps its frames.
fn refusals<S: Subject>() {
    let memory = BoxedPool::new(SLOT, RX);
    let pool = memory.pool();
    let world = World::<S::Hardware>::shared(pool, false, 1);
    S::never_resets(&mut world.0.borrow_mut().hardware);
    assert_eq!(device::<S>(&world, pool, 82).map(|_| ()), Err(SetupError::Reset));
    assert_eq!(pool.free(), RX);
    for mac in [Mac::BROADCAST, Mac::default(), Mac([1, 0, 0x5e, 0, 0, 1])] {
        let world = World::<S::Hardware>::shared(pool, false, 1);
        world.0.borrow_mut().hardware.set_address(mac);
        let nic = S::card(&world, pool, Setup { ip_mtu: MTU, ..Setup::new(mac) });
        assert_eq!(nic.map(|_| ()), Err(SetupError::Address));
        assert_eq!(pool.free(), RX);
    }
}

/// A full transmit ring gives the frame back, and receive goes on meanwhile.
fn full_transmit_ring<S: Subject>() {
    let memory = BoxedPool::new(SLOT, RX + TX + 3);
    let pool = memory.pool();
    let (world, mut nic) = world::<S>(pool, false, 3);
    world.0.borrow_mut().sends = false;
    let frame = |n| {
        let mut frame = pool.take(HEADROOM).expect("a frame");
        frame.extend(&text(n)).expect("room");
        frame
    };
    for n in 0..TX {
        assert!(nic.transmit(frame(n), TxMeta::default()).is_ok());
    }
    let refused = nic.transmit(frame(TX), TxMeta::default()).expect_err("the ring is full");
    nic.flush();
    for n in 0..ROUNDS * RX {
        incoming::<S>(&world, &text(n));
        let (frame, _) = nic.receive().expect("receive goes on");
        assert_eq!(&frame[..], text(n));
        assert!(nic.receive().is_none());
    }
    world.0.borrow_mut().sends = true;
    world.0.borrow_mut().transmit_one();
    assert!(nic.transmit(refused, TxMeta::default()).is_ok(), "room again");
    nic.flush();
    for _ in 0..TX {
        world.0.borrow_mut().transmit_one();
    }
    assert!(nic.receive().is_none());
    assert_eq!(world.0.borrow().wire, (0..=TX).map(text).collect::<Vec<_>>());
    let counters = nic.counters();
    assert_eq!(counters.tx_packets + counters.tx_errors, TX as u32 + 1);
    assert_eq!((pool.free(), world.0.borrow().missed), (TX + 3, 0));
}

/// Packets that find the pool empty are counted, and the ring goes on.
fn empty_pool<S: Subject>() {
    let memory = BoxedPool::new(SLOT, RX + 1);
    let (world, mut nic) = world::<S>(memory.pool(), false, 1);
    incoming::<S>(&world, &text(0));
    let (held, _) = nic.receive().expect("the spare frame");
    for n in 0..5 * RX {
        incoming::<S>(&world, &text(n));
        assert!(nic.receive().is_none());
    }
    drop(held);
    incoming::<S>(&world, &text(7));
    assert_eq!(&nic.receive().expect("a frame is back").0[..], text(7));
    let counters = nic.counters();
    assert_eq!((counters.rx_packets, counters.rx_no_frame), (2, 5 * RX as u32));
}

/// After an error on the bus, what had come is handed out, the engine is reset, and packets pass again.
fn fault<S: Subject>() {
    let memory = BoxedPool::new(SLOT, RX + TX + 2);
    let pool = memory.pool();
    let (world, mut nic) = world::<S>(pool, false, 1);
    let mut unsent = pool.take(HEADROOM).expect("a frame");
    unsent.extend(&text(1)).expect("room");
    assert!(nic.transmit(unsent, TxMeta::default()).is_ok());
    incoming::<S>(&world, &text(2));
    if !world.0.borrow_mut().hardware.fault() {
        return;
    }
    assert_eq!(&nic.receive().expect("what came before").0[..], text(2));
    assert!(nic.receive().is_none());
    assert!(nic.receive().is_none());
    assert_eq!((nic.faults(), nic.link(), pool.free()), (1, Link::Up, TX + 2));
    assert_eq!(nic.counters().tx_errors, 1);
    for n in 0..2 * RX {
        incoming::<S>(&world, &text(n));
        let (frame, _) = nic.receive().expect("packets pass again");
        assert_eq!(&frame[..], text(n));
        assert!(nic.transmit(frame, TxMeta::default()).is_ok());
        nic.flush();
        world.0.borrow_mut().transmit_one();
        assert!(nic.receive().is_none());
    }
    assert_eq!(world.0.borrow().wire, (0..2 * RX).map(text).collect::<Vec<_>>());

    S::never_resets(&mut world.0.borrow_mut().hardware);
    world.0.borrow_mut().hardware.fault();
    (0..3).for_each(|_| assert!(nic.receive().is_none()));
    assert_eq!(nic.link(), Link::Down, "nothing helps");
    let frame = pool.take(HEADROOM).expect("a frame");
    assert!(nic.transmit(frame, TxMeta::default()).is_err());
}

/// Packets that find no descriptor are the hardware's loss; the ring goes on once there are some.
fn overrun<S: Subject>() {
    let memory = BoxedPool::new(SLOT, RX + 2);
    let (world, mut nic) = world::<S>(memory.pool(), false, 1);
    for round in 0..5 {
        for n in 0..RX + 2 {
            incoming::<S>(&world, &text(n));
        }
        let mut n = 0;
        while let Some((frame, _)) = nic.receive() {
            assert_eq!(&frame[..], text(n));
            n += 1;
        }
        assert_eq!(n, RX / S::DESCRIPTORS, "round {round}");
        let told = nic.counters().rx_overruns > round;
        assert!(told || !S::TELLS_OVERRUNS, "round {round}");
    }
    assert_eq!(world.0.borrow().missed as usize, 5 * (RX + 2 - RX / S::DESCRIPTORS));
}

/// A device that is stopped gives all its frames back and leaves the descriptors alone.
fn end<S: Subject>() {
    let memory = BoxedPool::new(SLOT, RX + TX);
    let pool = memory.pool();
    let (world, mut nic) = world::<S>(pool, false, 1);
    let mut frame = pool.take(HEADROOM).expect("a frame");
    frame.extend(&text(1)).expect("room");
    assert!(nic.transmit(frame, TxMeta::default()).is_ok());
    nic.flush();
    nic.stop();
    assert_eq!(pool.free(), RX + TX);
    incoming::<S>(&world, &text(2));
    let mut inner = world.0.borrow_mut();
    inner.sends = true;
    inner.transmit_one();
    assert_eq!((inner.missed, inner.wire.len()), (1, 0));
}

/// Interrupts come only when the poll has let them through, and not before it has taken what there was.
fn interrupts<S: Subject>() {
    let memory = BoxedPool::new(SLOT, RX + 2);
    let (world, mut nic) = world::<S>(memory.pool(), false, 1);
    let line = || world.0.borrow().hardware.interrupt();
    let attention: &'static Attention = Box::leak(Box::new(Attention::new()));
    nic.set_attention(attention);
    incoming::<S>(&world, &text(0));
    assert!(!line(), "masked until the first poll");
    assert!(nic.receive().is_some());
    assert!(nic.receive().is_none());
    assert!(!attention.is_raised() && !line(), "acknowledged");
    for round in 0..3 {
        incoming::<S>(&world, &text(round));
        assert!(line(), "round {round}");
        nic.mask();
        attention.raise();
        incoming::<S>(&world, &text(round + 100));
        assert!(!line() || !S::MASKS, "masked while the poll is owed");
        assert!(nic.receive().is_some() && nic.receive().is_some());
        assert!(attention.is_raised(), "still owed");
        assert!(nic.receive().is_none());
        assert!(!attention.is_raised() && !line());
    }
}
