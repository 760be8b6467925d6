//! A table against a set of pairs.

use super::*;
use proptest::prelude::*;
extern crate std;
use std::collections::HashSet;
use std::vec::Vec;

fn check(mut demux: Demux<'_>, limit: usize, ops: &[(u8, u32, u32)]) -> Result<(), TestCaseError> {
    let mut model: HashSet<(u32, u32)> = HashSet::new();
    for &(op, hash, value) in ops {
        // Few hashes, many of them neighbours at the table's end, so that chains form and wrap.
        let hash = hash.wrapping_sub(3);
        match op {
            0 | 1 if !model.contains(&(hash, value)) => match demux.insert(hash, value) {
                Ok(()) => {
                    model.insert((hash, value));
                }
                Err(_) => prop_assert_eq!(model.len(), limit),
            },
            _ => prop_assert_eq!(demux.remove(hash, value), model.remove(&(hash, value))),
        }
        prop_assert_eq!(demux.len(), model.len());
        for h in 0..8u32 {
            let h = h.wrapping_sub(3);
            let mut seen = Vec::new();
            demux.find(h, |v| {
                seen.push(v);
                false
            });
            let mut want: Vec<_> = model.iter().filter(|m| m.0 == h).map(|m| m.1).collect();
            seen.sort_unstable();
            want.sort_unstable();
            prop_assert_eq!(seen, want);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_demux_is_a_set_of_pairs(ops in prop::collection::vec((0u8..4, 0u32..8, 0u32..4), 0..200)) {
        check(Demux::new(ManagedSlice::Owned(Vec::new())), usize::MAX, &ops)?;
        let mut slots = [Slot::new(); 19];
        check(Demux::new(ManagedSlice::Borrowed(&mut slots)), 8, &ops)?;
    }
}
