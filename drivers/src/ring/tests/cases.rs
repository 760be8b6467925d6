//! Single cases: how rings begin, refuse and end.

extern crate std;
use super::model::{CAPACITY, Cached, Engine, Packet, Rx, Shared, Tx};
use crate::coherency::Coherent;
use crate::ring::{RingError, RxError, RxRing, TxRing};
use ringtap::device::TxMeta;
use ringtap::frame::{BoxedPool, Link, Pool, PoolOver};
use std::vec::Vec;

/// An engine that moves only when told, and its descriptors.
fn still<const R: usize, const T: usize>(pool: Pool<'_>) -> (Shared, [Rx; R], [Tx; T]) {
    let engine = Engine::new(pool, R, T, false, 1);
    engine.borrow_mut().running = false;
    (engine.clone(), core::array::from_fn(|i| Rx(engine.clone(), i)), core::array::from_fn(|i| Tx(engine.clone(), i)))
}

fn packet(octets: &[u8], error: Option<RxError>) -> Packet {
    Packet { octets: octets.to_vec(), error, lie: None, cut: false }
}

#[test]
fn a_ring_that_cannot_work_is_refused_and_the_pool_keeps_its_frames() {
    let memory = BoxedPool::new(128, 3);
    let pool = memory.pool();
    let (engine, mut words, _) = still::<4, 1>(pool);
    let new = |words: &mut [Rx; 4], headroom| RxRing::new(words, Coherent, pool, headroom).map(|_| ());
    assert_eq!(new(&mut words, 0), Err(RingError::PoolTooSmall));
    assert_eq!(new(&mut words, 126), Err(RingError::NoRoom));
    assert_eq!(new(&mut words, 2), Err(RingError::Misaligned));
    assert_eq!(RxRing::<Rx, _, 0>::new(&mut [], Coherent, pool, 0).map(|_| ()), Err(RingError::NoRoom));
    assert_eq!(pool.free(), 3);

    let mut octets = [0; 400];
    let mut links = [const { Link::new() }; 8];
    let over = PoolOver::new(&mut octets, &mut links, 100).expect("a pool");
    let cached = RxRing::new(&mut words, Cached(engine), over.pool(), 0).map(|_| ());
    assert_eq!(cached, Err(RingError::Misaligned), "slots share cache lines");
}

#[test]
fn descriptors_that_are_the_hardwares_already_are_refused() {
    let memory = BoxedPool::new(128, 4);
    let (_, mut words, _) = still::<2, 1>(memory.pool());
    drop(RxRing::new(&mut words, Coherent, memory.pool(), 0).expect("a ring"));
    assert_eq!(RxRing::new(&mut words, Coherent, memory.pool(), 0).map(|_| ()), Err(RingError::Running));
}

#[test]
fn frames_in_a_dropped_ring_are_not_lent_again_but_those_of_a_released_one_are() {
    let memory = BoxedPool::new(128, 6);
    let pool = memory.pool();
    let (_, mut words, _) = still::<2, 1>(pool);
    drop(RxRing::new(&mut words, Coherent, pool, 0).expect("a ring"));
    assert_eq!(pool.free(), 4, "the engine may still write into two");

    let (_, mut words, _) = still::<2, 1>(pool);
    let ring = RxRing::new(&mut words, Coherent, pool, 0).expect("a ring");
    // SAFETY: the engine stands still.
    unsafe { ring.release() };
    assert_eq!(pool.free(), 4);
    assert!(RxRing::new(&mut words, Coherent, pool, 0).is_ok(), "its descriptors are ours again");
}

#[test]
fn an_empty_pool_drops_packets_and_the_ring_goes_on_when_a_frame_is_back() {
    let memory = BoxedPool::new(128, 3);
    let pool = memory.pool();
    let (engine, mut words, _) = still::<2, 1>(pool);
    let mut ring = RxRing::new(&mut words, Coherent, pool, 0).expect("a ring");
    let mut receive = |text: &[u8]| {
        engine.borrow_mut().incoming.push_back(packet(text, None));
        engine.borrow_mut().receive_one();
        ring.receive().map(|(frame, _)| frame)
    };
    let first = receive(b"first").expect("the spare frame");
    for _ in 0..20 {
        assert!(receive(b"lost").is_none());
    }
    assert_eq!(&first[..], b"first");
    drop(first);
    assert_eq!(receive(b"again").as_deref(), Some(&b"again"[..]));
    assert_eq!((ring.counters().no_frame, ring.counters().packets), (20, 2));
    assert_eq!(engine.borrow().missed, 0);
}

#[test]
fn each_kind_of_bad_packet_has_its_counter_and_pieces_count_once() {
    let memory = BoxedPool::new(128, 12);
    let (engine, mut words, _) = still::<8, 1>(memory.pool());
    let mut ring = RxRing::new(&mut words, Coherent, memory.pool(), 0).expect("a ring");
    let mut come = |p: Packet| {
        engine.borrow_mut().incoming.push_back(p);
        engine.borrow_mut().receive_one();
        assert!(ring.receive().is_none());
    };
    for error in [RxError::Crc, RxError::Overrun, RxError::Overrun, RxError::TooLong, RxError::Other] {
        come(packet(b"bad", Some(error)));
    }
    come(packet(&[0; 3 * CAPACITY], None));
    come(packet(&[0; 2 * CAPACITY], Some(RxError::Crc)));
    come(Packet { cut: true, ..packet(&[0; 2 * CAPACITY], None) });
    come(Packet { lie: Some(usize::MAX), ..packet(b"lie", None) });
    let c = *ring.counters();
    assert_eq!((c.crc, c.overrun, c.too_long, c.other, c.packets), (1, 2, 4, 2, 0));
    assert_eq!(c.dropped(), 9);
    engine.borrow_mut().incoming.push_back(packet(b"good", None));
    engine.borrow_mut().receive_one();
    let (frame, _) = ring.receive().expect("a packet after one whose end never came");
    assert_eq!(&frame[..], b"good");
}

#[test]
fn a_flood_of_bad_packets_does_not_hold_the_caller() {
    let memory = BoxedPool::new(128, 8);
    let pool = memory.pool();
    let engine = Engine::new(pool, 4, 1, false, 7);
    let mut words: [Rx; 4] = core::array::from_fn(|i| Rx(engine.clone(), i));
    let mut ring = RxRing::new(&mut words, Coherent, pool, 0).expect("a ring");
    let flood = core::iter::repeat_n(packet(b"bad", Some(RxError::Crc)), if cfg!(miri) { 100 } else { 100_000 });
    engine.borrow_mut().incoming.extend(flood);
    while !ring.has_work() {}
    assert!(ring.receive().is_none());
    assert!(ring.counters().crc <= 4);
}

#[test]
fn a_full_transmit_ring_gives_the_frame_back_and_takes_it_once_one_was_sent() {
    let memory = BoxedPool::new(128, 4);
    let pool = memory.pool();
    let (engine, _, mut words) = still::<1, 2>(pool);
    let mut ring = TxRing::new(&mut words, Coherent).expect("a ring");
    let frame = |text: &[u8]| {
        let mut frame = pool.take(4).expect("a frame");
        frame.extend(text).expect("room");
        frame
    };
    assert!(!ring.take_kick());
    assert!(ring.transmit(frame(b"one"), &TxMeta::default()).is_ok());
    assert!(ring.transmit(frame(b"two"), &TxMeta::default()).is_ok());
    assert!(ring.take_kick());
    let back = ring.transmit(frame(b"three"), &TxMeta::default()).expect_err("full");
    assert_eq!(&back[..], b"three");
    assert!(!ring.take_kick(), "nothing new for the doorbell");
    engine.borrow_mut().transmit_one();
    assert!(ring.transmit(back, &TxMeta::default()).is_ok());
    engine.borrow_mut().transmit_one();
    engine.borrow_mut().transmit_one();
    assert_eq!(ring.reclaim(), 2);
    assert_eq!(pool.free(), 4);
    let wire: Vec<Vec<u8>> = engine.borrow().wire.clone();
    assert_eq!(wire.iter().map(|f| &f[..3]).collect::<Vec<_>>(), [b"one", b"two", b"thr"]);
}

#[test]
fn short_frames_are_padded_with_zeros_and_not_with_what_the_slot_held() {
    let memory = BoxedPool::new(128, 1);
    let pool = memory.pool();
    pool.take(0).expect("a frame").append(128).expect("room").fill(0xee);
    let (engine, _, mut words) = still::<1, 2>(pool);
    let mut ring = TxRing::new(&mut words, Coherent).expect("a ring");
    let mut frame = pool.take(0).expect("a frame");
    frame.extend(&[1; 42]).expect("room");
    assert!(ring.transmit(frame, &TxMeta::default()).is_ok());
    engine.borrow_mut().transmit_one();
    let wire = engine.borrow().wire.clone();
    assert_eq!(wire, [[[1; 42].as_slice(), &[0; 18]].concat()]);
}

#[test]
fn a_frame_that_no_descriptor_can_carry_is_dropped_and_counted() {
    let memory = BoxedPool::new(128, 1);
    let pool = memory.pool();
    let (_, _, mut words) = still::<1, 2>(pool);
    let mut ring = TxRing::new(&mut words, Coherent).expect("a ring");
    for (headroom, len) in [(0, 0), (0, 121), (100, 28)] {
        let mut frame = pool.take(headroom).expect("it came back");
        frame.append(len).expect("room");
        assert!(ring.transmit(frame, &TxMeta::default()).is_ok());
    }
    assert_eq!((ring.counters().unsendable, ring.ring().used()), (3, 0));
}
