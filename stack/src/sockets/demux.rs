//! Finding what a packet belongs to: a keyed hash table with open addressing.
//!
//! The key is secret, so that no peer can choose addresses that collide; at most half of the table is used, and removing
//! shifts later entries back instead of leaving tombstones: a look-up is O(1) whatever came and went.

use crate::error::Full;
use crate::family::IpAddr;
use crate::rng::Key;
use managed::ManagedSlice;

/// The two ends of a connection, as seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub local_addr: IpAddr,
    pub remote_addr: IpAddr,
    pub local_port: u16,
    pub remote_port: u16,
}

impl Tuple {
    /// The keyed hash for [`Demux`].
    #[inline]
    pub fn hash(&self, key: &Key) -> u32 {
        let (bytes, len) = self.octets();
        key.hash(bytes.get(..len).unwrap_or(&bytes)) as u32
    }

    /// A layout that no two tuples share: the first so many octets, 12 for IPv4, 36 for IPv6; the rest is zero.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn octets(&self) -> ([u8; OCTETS], usize) {
        let mut out = [0; OCTETS];
        let len = match (self.local_addr, self.remote_addr) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                out[..4].copy_from_slice(&local.octets());
                out[4..8].copy_from_slice(&remote.octets());
                8
            }
            #[cfg(feature = "ipv6")]
            (local, remote) => {
                out[..16].copy_from_slice(&v6_octets(local));
                out[16..32].copy_from_slice(&v6_octets(remote));
                32
            }
            #[cfg(not(feature = "ipv6"))]
            _ => 8,
        };
        out[len..len + 2].copy_from_slice(&self.local_port.to_be_bytes());
        out[len + 2..len + 4].copy_from_slice(&self.remote_port.to_be_bytes());
        (out, len + 4)
    }
}

/// Octets of the longest [`Tuple::octets`].
pub(crate) const OCTETS: usize = if cfg!(feature = "ipv6") { 36 } else { 12 };

#[cfg(feature = "ipv6")]
fn v6_octets(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// What a 4-tuple belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Conn(u32),
    #[cfg(feature = "time-wait")]
    TimeWait(u32),
}

impl Target {
    #[cfg(feature = "time-wait")]
    const TIME_WAIT: u32 = 1 << 31;

    /// As a value of a [`Demux`]; indices are below 2^31.
    pub const fn pack(self) -> u32 {
        match self {
            Self::Conn(index) => index,
            #[cfg(feature = "time-wait")]
            Self::TimeWait(index) => index | Self::TIME_WAIT,
        }
    }

    pub const fn unpack(value: u32) -> Self {
        #[cfg(feature = "time-wait")]
        if value & Self::TIME_WAIT != 0 {
            return Self::TimeWait(value & !Self::TIME_WAIT);
        }
        Self::Conn(value)
    }
}

/// One place of a table's storage: a hash and a value plus one, free if that is zero: a `static` table lies in `.bss`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    hash: u32,
    held: u32,
}

const FREE: u32 = 0;

impl Slot {
    pub const fn new() -> Self {
        Self { hash: 0, held: FREE }
    }
}

/// A table from hashes to values; several values may have one hash.
pub(crate) struct Demux<'a> {
    slots: ManagedSlice<'a, Slot>,
    /// Size less one; the size is a power of two, or zero.
    mask: usize,
    len: usize,
}

impl<'a> Demux<'a> {
    /// Of borrowed slots, the greatest power of two is used, and half of that holds values; owned ones grow.
    pub fn new(slots: ManagedSlice<'a, Slot>) -> Self {
        let size = match slots.len() {
            0 => 0,
            n => 1usize << n.ilog2(),
        };
        Self { slots, mask: size.saturating_sub(1), len: 0 }
    }

    fn size(&self) -> usize {
        if self.slots.is_empty() { 0 } else { self.mask + 1 }
    }

    /// Adds a value below `u32::MAX`.
    pub fn insert(&mut self, hash: u32, value: u32) -> Result<(), Full> {
        if (self.len + 1) * 2 > self.size() {
            self.grow()?;
        }
        self.place(hash, value);
        self.len += 1;
        Ok(())
    }

    fn place(&mut self, hash: u32, value: u32) {
        let mut at = hash as usize & self.mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if slot.held == FREE {
                *slot = Slot { hash, held: value + 1 };
                return;
            }
            at = (at + 1) & self.mask;
        }
    }

    /// The first value of this hash that `is` takes.
    #[inline]
    pub fn find(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = hash as usize;
        while let Some(value) = self.next(hash, &mut at) {
            if is(value) {
                return Some(value);
            }
        }
        None
    }

    /// The next value of this hash from place `at` on, which moves behind it.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn next(&self, hash: u32, at: &mut usize) -> Option<u32> {
        // Half of the table is free, so that this ends.
        while let Some(slot) = self.slots.get(*at & self.mask) {
            if slot.held == FREE {
                return None;
            }
            *at = (*at & self.mask) + 1;
            if slot.hash == hash {
                return Some(slot.held - 1);
            }
        }
        None
    }

    /// Removes a value; false when it was not there.
    pub fn remove(&mut self, hash: u32, value: u32) -> bool {
        let mut at = hash as usize & self.mask;
        loop {
            match self.slots.get(at) {
                None => return false,
                Some(slot) if slot.held == FREE => return false,
                Some(slot) if slot.hash == hash && slot.held == value + 1 => break,
                Some(_) => at = (at + 1) & self.mask,
            }
        }
        self.len -= 1;
        self.close_gap(at);
        true
    }

    /// Moves what follows back, as far as it may go towards its own place.
    fn close_gap(&mut self, mut gap: usize) {
        let mut at = gap;
        loop {
            at = (at + 1) & self.mask;
            let Some(slot) = self.slots.get(at).copied().filter(|s| s.held != FREE) else { break };
            let home = slot.hash as usize & self.mask;
            // It may move if its home is not in the places after the gap up to where it is.
            if at.wrapping_sub(home) & self.mask >= at.wrapping_sub(gap) & self.mask {
                self.set(gap, slot);
                gap = at;
            }
        }
        self.set(gap, Slot::new());
    }

    fn set(&mut self, at: usize, slot: Slot) {
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }

    #[cfg(not(feature = "alloc"))]
    fn grow(&mut self) -> Result<(), Full> {
        Err(Full::Table)
    }

    #[cfg(feature = "alloc")]
    fn grow(&mut self) -> Result<(), Full> {
        let size = (self.size() * 2).max(8);
        let ManagedSlice::Owned(slots) = &mut self.slots else { return Err(Full::Table) };
        let old = core::mem::replace(slots, alloc::vec![Slot::new(); size]);
        self.mask = size - 1;
        for slot in old.into_iter().filter(|s| s.held != FREE) {
            self.place(slot.hash, slot.held - 1);
        }
        Ok(())
    }

    #[cfg(all(test, feature = "alloc"))]
    pub fn len(&self) -> usize {
        self.len
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Secret};
    use core::net::Ipv4Addr;
    use proptest::prelude::*;
    extern crate std;
    use std::collections::HashSet;
    use std::vec::Vec;

    #[test]
    fn targets_survive_packing() {
        #[cfg(feature = "time-wait")]
        for t in [Target::TimeWait(0), Target::TimeWait(7)] {
            assert_eq!(Target::unpack(t.pack()), t);
        }
        for t in [Target::Conn(0), Target::Conn(99_999)] {
            assert_eq!(Target::unpack(t.pack()), t);
        }
    }

    #[test]
    fn the_hash_depends_on_every_part_and_on_the_key() {
        let t = Tuple {
            local_addr: Ipv4Addr::new(1, 2, 3, 4).into(),
            remote_addr: Ipv4Addr::new(5, 6, 7, 8).into(),
            local_port: 9,
            remote_port: 10,
        };
        #[cfg(feature = "ipv6")]
        let v6 = IpAddr::V6(core::net::Ipv6Addr::LOCALHOST);
        let others = [
            Tuple { local_addr: t.remote_addr, ..t },
            Tuple { remote_addr: t.local_addr, ..t },
            Tuple { local_port: 10, ..t },
            Tuple { remote_port: 9, ..t },
            #[cfg(feature = "ipv6")]
            Tuple { local_addr: v6, remote_addr: v6, ..t },
        ];
        let key = Secret::new([1; 16]).key(Purpose::Demux);
        let other = Secret::new([2; 16]).key(Purpose::Demux);
        assert!(others.iter().all(|o| o.hash(&key) != t.hash(&key)));
        assert_ne!(t.hash(&key), t.hash(&other));
    }

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
}
