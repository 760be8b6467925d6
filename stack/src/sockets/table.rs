//! Tables of sockets: places with generations, so that an old handle never names a new socket.

use crate::error::Full;
use managed::ManagedSlice;

const NONE: u32 = u32::MAX;

/// Names an entry of a table, until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct Handle {
    pub index: u32,
    generation: u32,
}

/// One place of a table's storage. Free and new, it is all zeros: a `static` table lies in `.bss`.
#[repr(u8)]
pub(crate) enum Place<T> {
    /// `generation` grows by one with each removal, and wraps.
    Free { generation: u32, next: u32 } = 0,
    /// Taken by a socket.
    Taken { generation: u32, value: T } = 1,
}

impl<T> Place<T> {
    pub const fn new() -> Self {
        Self::Free { generation: 0, next: 0 }
    }

    #[inline]
    fn value(&self) -> Option<&T> {
        match self {
            Self::Taken { value, .. } => Some(value),
            Self::Free { .. } => None,
        }
    }

    /// The value of a handle of this generation.
    #[inline]
    fn value_of(&self, of: u32) -> Option<&T> {
        match self {
            Self::Taken { generation, value } if *generation == of => Some(value),
            _ => None,
        }
    }
}

/// A table over borrowed places, or over places that grow up to a limit. Places are used again in the order in which
/// they became free; of few, without the feature `many-sockets`, the first is.
pub(crate) struct Slab<'a, T> {
    places: ManagedSlice<'a, Place<T>>,
    limit: usize,
    len: usize,
    #[cfg(feature = "many-sockets")]
    free: Free,
}

/// The free places, linked, and from where on there are some that were never used.
#[cfg(feature = "many-sockets")]
struct Free {
    fresh: usize,
    head: u32,
    tail: u32,
}

impl<'a, T> Slab<'a, T> {
    pub fn new(places: ManagedSlice<'a, Place<T>>, limit: usize) -> Self {
        let limit = match &places {
            ManagedSlice::Borrowed(p) => limit.min(p.len()),
            #[cfg(feature = "alloc")]
            ManagedSlice::Owned(_) => limit,
        };
        Self {
            places,
            limit,
            len: 0,
            #[cfg(feature = "many-sockets")]
            free: Free { fresh: 0, head: NONE, tail: NONE },
        }
    }

    /// Puts a value in a free place, or gives it back when there is none.
    pub fn insert(&mut self, value: T) -> Result<Handle, T> {
        let Ok(index) = self.take_place() else { return Err(value) };
        match self.places.get_mut(index as usize) {
            Some(place @ &mut Place::Free { generation, .. }) => {
                *place = Place::Taken { generation, value };
                self.len += 1;
                Ok(Handle { index, generation })
            }
            _ => Err(value),
        }
    }

    #[cfg(feature = "many-sockets")]
    fn take_place(&mut self) -> Result<u32, Full> {
        let free = &mut self.free;
        if let Some(&Place::Free { next, .. }) = self.places.get(free.head as usize) {
            let index = core::mem::replace(&mut free.head, next);
            if free.head == NONE {
                free.tail = NONE;
            }
            return Ok(index);
        }
        if free.fresh >= self.limit {
            return Err(Full::Table);
        }
        #[cfg(feature = "alloc")]
        if let ManagedSlice::Owned(places) = &mut self.places
            && places.len() == free.fresh
        {
            places.push(Place::new());
        }
        free.fresh += 1;
        Ok(free.fresh as u32 - 1)
    }

    #[cfg(not(feature = "many-sockets"))]
    fn take_place(&mut self) -> Result<u32, Full> {
        if self.len >= self.limit {
            return Err(Full::Table);
        }
        let free = self.places.iter().position(|place| matches!(place, Place::Free { .. }));
        #[cfg(feature = "alloc")]
        if let (None, ManagedSlice::Owned(places)) = (free, &mut self.places) {
            places.push(Place::new());
            return Ok(places.len() as u32 - 1);
        }
        free.map(|index| index as u32).ok_or(Full::Table)
    }

    /// Takes the value at a place out; its handles are stale from now on.
    pub fn remove_at(&mut self, index: u32) -> Option<T> {
        let place = self.places.get_mut(index as usize)?;
        let &mut Place::Taken { generation, .. } = place else { return None };
        let taken = core::mem::replace(place, Place::Free { generation: generation.wrapping_add(1), next: NONE });
        self.len -= 1;
        #[cfg(feature = "many-sockets")]
        {
            let tail = core::mem::replace(&mut self.free.tail, index);
            match self.places.get_mut(tail as usize) {
                Some(Place::Free { next, .. }) => *next = index,
                _ => self.free.head = index,
            }
        }
        match taken {
            Place::Taken { value, .. } => Some(value),
            Place::Free { .. } => None,
        }
    }

    pub fn get(&self, handle: Handle) -> Option<&T> {
        self.places.get(handle.index as usize)?.value_of(handle.generation)
    }

    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        match self.places.get_mut(handle.index as usize)? {
            Place::Taken { generation, value } if *generation == handle.generation => Some(value),
            _ => None,
        }
    }

    // On a small processor a look-up is a call: it is made at a hundred places.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub fn at(&self, index: u32) -> Option<&T> {
        self.places.get(index as usize)?.value()
    }

    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.places.get_mut(index as usize)? {
            Place::Taken { value, .. } => Some(value),
            Place::Free { .. } => None,
        }
    }

    /// The handle of what is at a place.
    pub fn handle(&self, index: u32) -> Option<Handle> {
        match *self.places.get(index as usize)? {
            Place::Taken { generation, .. } => Some(Handle { index, generation }),
            Place::Free { .. } => None,
        }
    }

    /// The first occupied place from `from` on.
    pub fn next_index(&self, from: u32) -> Option<u32> {
        let rest = self.places.iter().take(self.used()).skip(from as usize);
        rest.enumerate().find(|(_, p)| p.value().is_some()).map(|(i, _)| from + i as u32)
    }

    /// The place behind `at`, occupied or not; behind the last, the first.
    #[cfg(all(feature = "tcp", feature = "tuning"))]
    pub fn place_after(&self, at: u32) -> u32 {
        if (at as usize) + 1 < self.used() { at + 1 } else { 0 }
    }

    /// Places from here on were never used, as far as that is known.
    #[inline]
    fn used(&self) -> usize {
        #[cfg(feature = "many-sockets")]
        return self.free.fresh;
        #[cfg(not(feature = "many-sockets"))]
        self.places.len()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no place for one more.
    #[cfg(all(feature = "tcp", not(all(feature = "syn-queue", feature = "time-wait"))))]
    pub fn is_full(&self) -> bool {
        self.len >= self.limit
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;
    use std::collections::HashMap;
    use std::vec::Vec;

    fn check(mut slab: Slab<'_, u32>, limit: usize, ops: &[(bool, usize)]) -> Result<(), TestCaseError> {
        let mut live: HashMap<Handle, u32> = HashMap::new();
        let mut dead: Vec<Handle> = Vec::new();
        for (n, &(insert, which)) in ops.iter().enumerate() {
            if insert {
                match slab.insert(n as u32) {
                    Ok(handle) => {
                        prop_assert!(live.insert(handle, n as u32).is_none());
                    }
                    Err(value) => prop_assert_eq!((value, live.len()), (n as u32, limit)),
                }
            } else if let Some(&handle) = live.keys().min_by_key(|h| (h.index as usize ^ which, h.index)) {
                prop_assert_eq!(slab.remove_at(handle.index), live.remove(&handle));
                dead.push(handle);
            }
            prop_assert_eq!(slab.len(), live.len());
            for (&handle, value) in &live {
                prop_assert_eq!(slab.get(handle), Some(value));
                prop_assert_eq!(slab.handle(handle.index), Some(handle));
            }
            for &handle in &dead {
                prop_assert_eq!(slab.get(handle), None);
                prop_assert_eq!(slab.get_mut(handle), None);
            }
            let mut walked = 0;
            let mut next = slab.next_index(0);
            while let Some(index) = next {
                walked += 1;
                next = slab.next_index(index + 1);
            }
            prop_assert_eq!(walked, live.len());
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn a_table_is_a_map_whose_handles_are_never_used_again(ops in prop::collection::vec((any::<bool>(), 0usize..8), 0..100)) {
            check(Slab::new(ManagedSlice::Owned(Vec::new()), 5), 5, &ops)?;
            let mut places: [Place<u32>; 3] = [const { Place::new() }; 3];
            check(Slab::new(ManagedSlice::Borrowed(&mut places), 5), 3, &ops)?;
        }
    }
}
