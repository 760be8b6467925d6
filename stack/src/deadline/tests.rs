//! The heap and the list against a sorted map.

use super::*;
use proptest::prelude::*;
extern crate std;
use std::collections::BTreeMap;
use std::vec::Vec;

#[test]
fn borrowed_storage_bounds_the_nodes() {
    let mut slots = [DeadlineSlot::new(); 2];
    let mut d = Deadlines::new(ManagedSlice::Borrowed(&mut slots));
    assert!(d.ensure(2) && !d.ensure(3));
    d.set(5, Instant::ZERO);
    assert_eq!(d.next(), None);
    d.set(1, Instant::from_secs(3));
    assert_eq!(d.next(), Some(Instant::from_secs(3)));
}

proptest! {
    #[test]
    fn deadlines_fire_in_order_as_in_a_sorted_map(ops in prop::collection::vec((0u8..4, 0u32..12, 0u64..50), 0..300)) {
        let mut d = Deadlines::new(ManagedSlice::Owned(Vec::new()));
        prop_assert!(d.ensure(12));
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        for (op, node, at) in ops {
            match op {
                0 | 1 => {
                    d.set(node, Instant::from_micros(at));
                    model.insert(node, at);
                }
                2 => {
                    d.cancel(node);
                    model.remove(&node);
                }
                _ => {
                    let now = Instant::from_micros(at);
                    let least = model.values().min().copied();
                    match d.pop_due(now) {
                        Some(n) => {
                            prop_assert_eq!(model.remove(&n), least);
                            prop_assert!(least.is_some_and(|l| l <= at));
                        }
                        None => prop_assert!(least.is_none_or(|l| l > at)),
                    }
                }
            }
            prop_assert_eq!(d.next(), model.values().min().map(|&m| Instant::from_micros(m)));
        }
    }
}
