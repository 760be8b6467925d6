//! A list: for few sockets, looking through them costs less than a hash.
//!
//! All values have one hash, as it were: each is shown to who looks for one.

use crate::error::Full;
use crate::grow::grow;
use managed::ManagedSlice;

/// One place of a table's storage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot(u32);

impl Slot {
    pub const fn new() -> Self {
        Self(0)
    }
}

/// A table of values.
pub(crate) struct Demux<'a> {
    slots: ManagedSlice<'a, Slot>,
    len: usize,
}

impl<'a> Demux<'a> {
    /// Every borrowed slot holds a value; owned ones grow.
    pub fn new(slots: ManagedSlice<'a, Slot>) -> Self {
        Self { slots, len: 0 }
    }

    /// Adds a value.
    pub fn insert(&mut self, _hash: u32, value: u32) -> Result<(), Full> {
        grow(&mut self.slots, self.len + 1, 8, usize::MAX, Slot::new);
        let slot = self.slots.get_mut(self.len).ok_or(Full::Table)?;
        *slot = Slot(value);
        self.len += 1;
        Ok(())
    }

    /// The first value that `is` takes.
    #[inline]
    pub fn find(&self, _hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let values = self.slots.get(..self.len).unwrap_or_default();
        values.iter().map(|slot| slot.0).find(|&value| is(value))
    }

    /// Removes a value; false when it was not there.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn remove(&mut self, _hash: u32, value: u32) -> bool {
        let values = self.slots.get_mut(..self.len).unwrap_or_default();
        let Some(at) = values.iter().position(|slot| slot.0 == value) else { return false };
        values.swap(at, self.len - 1);
        self.len -= 1;
        true
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    fn check(mut demux: Demux<'_>, limit: usize, ops: &[(bool, u32)]) -> Result<(), TestCaseError> {
        let mut model = BTreeSet::new();
        for &(insert, value) in ops {
            if insert && !model.contains(&value) {
                match demux.insert(7, value) {
                    Ok(()) => prop_assert!(model.insert(value)),
                    Err(_) => prop_assert_eq!(model.len(), limit),
                }
            } else {
                prop_assert_eq!(demux.remove(7, value), model.remove(&value));
            }
            let mut seen = Vec::new();
            prop_assert_eq!(
                demux.find(7, |v| {
                    seen.push(v);
                    false
                }),
                None
            );
            seen.sort_unstable();
            prop_assert_eq!(seen, model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(demux.find(7, |v| v == value), model.get(&value).copied());
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn a_list_is_a_set_of_values(ops in prop::collection::vec((any::<bool>(), 0u32..12), 0..200)) {
            check(Demux::new(ManagedSlice::Owned(Vec::new())), usize::MAX, &ops)?;
            let mut slots = [Slot::new(); 5];
            check(Demux::new(ManagedSlice::Borrowed(&mut slots)), 5, &ops)?;
        }
    }
}
