//! Few sockets are found by looking through their tables, which costs less than a hash: what is kept here is how far.
//!
//! All values have one hash, as it were, and whoever looks for one is shown every number that one might have, so that the
//! answer has to come from the table itself.

use super::Target;
use crate::error::Full;
use managed::ManagedSlice;

/// One place of a table's storage: none is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot;

impl Slot {
    pub const fn new() -> Self {
        Self
    }
}

/// How far there were values: connections (or sockets), and entries of TIME-WAIT.
pub(crate) struct Demux<'a> {
    ends: [u32; KINDS],
    _slots: core::marker::PhantomData<&'a ()>,
}

const KINDS: usize = if cfg!(feature = "time-wait") { 2 } else { 1 };

impl<'a> Demux<'a> {
    pub fn new(_: ManagedSlice<'a, Slot>) -> Self {
        Self { ends: [0; KINDS], _slots: core::marker::PhantomData }
    }

    /// Adds a value.
    pub fn insert(&mut self, _hash: u32, value: u32) -> Result<(), Full> {
        let (kind, index) = Self::split(value);
        if let Some(end) = self.ends.get_mut(kind) {
            *end = (*end).max(index + 1);
        }
        Ok(())
    }

    /// The first value that `is` takes.
    #[inline]
    pub fn find(&self, _hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let found = (0..self.ends[0]).find(|&value| is(value));
        #[cfg(feature = "time-wait")]
        let found = found.or_else(|| (0..self.ends[1]).map(|index| Target::TimeWait(index).pack()).find(|&v| is(v)));
        found
    }

    /// A value is gone: its table says so.
    pub fn remove(&mut self, _hash: u32, _value: u32) {}

    fn split(value: u32) -> (usize, u32) {
        match Target::unpack(value) {
            Target::Conn(index) => (0, index),
            #[cfg(feature = "time-wait")]
            Target::TimeWait(index) => (1, index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;

    #[test]
    fn who_looks_is_shown_every_number_up_to_the_highest() {
        let mut demux = Demux::new(ManagedSlice::Borrowed(&mut []));
        let shown = |demux: &Demux<'_>| {
            let mut shown = Vec::new();
            let found = demux.find(7, |value| {
                shown.push(value);
                false
            });
            assert_eq!(found, None);
            shown
        };
        assert_eq!(shown(&demux), []);
        demux.insert(7, 2).expect("there is always room");
        demux.insert(7, 0).expect("there is always room");
        assert_eq!(shown(&demux), [0, 1, 2]);
        assert_eq!(demux.find(7, |value| value == 1), Some(1));
        #[cfg(feature = "time-wait")]
        {
            let resting = Target::TimeWait(0).pack();
            demux.insert(7, resting).expect("there is always room");
            assert_eq!(shown(&demux), [0, 1, 2, resting]);
        }
    }
}
