use super::*;
use proptest::prelude::*;
extern crate std;
use std::vec::Vec;

#[test]
fn a_pool_hands_out_each_slot_once_and_takes_it_back() {
    let memory = BoxedPool::new(100, 3);
    let pool = memory.pool();
    assert_eq!((pool.count(), pool.free(), pool.slot_size()), (3, 3, 128));
    let frames: Vec<_> = std::iter::from_fn(|| pool.take(10)).collect();
    assert_eq!(frames.len(), 3);
    let mut bases: Vec<_> = frames.iter().map(|f| f.base).collect();
    bases.sort();
    bases.dedup();
    assert_eq!(bases.len(), 3);
    assert!(bases.iter().all(|b| b.as_ptr().addr() % SLOT_ALIGN == 0));
    drop(frames);
    assert_eq!(pool.free(), 3);
}

#[test]
fn the_last_slots_are_kept_for_those_who_need_them() {
    let memory = BoxedPool::new(64, 2);
    let pool = memory.pool();
    let first = pool.take_above(1, 0);
    assert!(first.is_some());
    assert!(pool.take_above(1, 0).is_none());
    assert!(pool.take(0).is_some());
}

#[test]
fn headers_go_in_front_and_data_behind() {
    let memory = BoxedPool::new(64, 1);
    let mut frame = memory.pool().take(20).expect("a free slot");
    frame.extend(b"data").expect("room");
    frame.push_front(3).expect("headroom").copy_from_slice(b"hdr");
    assert_eq!(&frame[..], b"hdrdata");
    assert_eq!((frame.headroom(), frame.tailroom()), (17, 40));
    assert!(frame.push_front(18).is_none());
    assert!(frame.append(41).is_none());
    frame.trim_front(3);
    frame.truncate(2);
    assert_eq!(&frame[..], b"da");
    frame.trim_front(9);
    assert!(frame.is_empty());
}

#[test]
fn memory_of_the_callers_makes_a_pool() {
    let mut memory = [0u8; 100];
    let mut links = [const { Link::new() }; 8];
    assert!(PoolOver::new(&mut memory, &mut links, 0).is_none());
    assert!(PoolOver::new(&mut memory, &mut links, 101).is_none());
    let over = PoolOver::new(&mut memory, &mut links, 30).expect("three slots");
    assert_eq!(over.pool().count(), 3);
    let frames: Vec<_> = std::iter::from_fn(|| over.pool().take(0)).collect();
    assert_eq!(frames.len(), 3);
}

#[test]
fn frames_cross_threads_and_come_back() {
    let memory = BoxedPool::new(64, 8);
    let rounds: u32 = if cfg!(miri) { 50 } else { 10_000 };
    std::thread::scope(|s| {
        for t in 0..4u8 {
            let pool = memory.pool();
            s.spawn(move || {
                for i in 0..rounds {
                    let Some(mut f) = pool.take(0) else { continue };
                    f.extend(&[t; 16]).expect("room");
                    f.push_front(0);
                    if i % 3 == 0 {
                        std::thread::yield_now();
                    }
                    assert_eq!(&f[..], &[t; 16], "a slot had two owners");
                }
            });
        }
    });
    assert_eq!(memory.pool().free(), 8);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 6 } else { 256 }, ..ProptestConfig::default() })]

    /// The obvious model: a set of owned slots.
    #[test]
    fn taking_and_dropping_in_any_order_matches_a_set(ops in prop::collection::vec((any::<bool>(), any::<usize>()), 0..200)) {
        let memory = BoxedPool::new(32, 5);
        let pool = memory.pool();
        let mut held: Vec<Frame<'_>> = Vec::new();
        for (take, which) in ops {
            if take {
                match pool.take(0) {
                    Some(f) => {
                        prop_assert!(held.iter().all(|h| h.slot() != f.slot()));
                        held.push(f);
                    }
                    None => prop_assert_eq!(held.len(), 5),
                }
            } else if !held.is_empty() {
                let n = held.len();
                held.swap_remove(which % n);
            }
            prop_assert_eq!(pool.free(), 5 - held.len());
        }
    }
}
