//! Packets that wait for a neighbour: few, and the newest win.
//!
//! Implements RFC 1122 §2.3.2.2 within a bound for each neighbour and one for all (RFC 4861 §7.2.2, RFC 6583): packets
//! for one that does not answer push out their own kind, and all together leave most of a pool to others.

use crate::frame::Frame;
use heapless::Vec;

/// Packets parked for one neighbour; the RFC wants one at least.
pub(crate) const PER_NEIGHBOR: usize = 3;
/// Packets parked for all neighbours, whatever is configured.
pub(crate) const MAX: usize = 32;

/// Of a pool's frames one in as many may be parked, and one in any case.
const SHARE: usize = 4;

/// A packet that waits for its neighbour.
#[derive(Debug)]
pub(crate) struct Parked<'a> {
    pub frame: Frame<'a>,
    neighbor: u32,
    #[cfg(feature = "forward")]
    transit: bool,
}

impl<'a> Parked<'a> {
    fn own(neighbor: u32, frame: Frame<'a>) -> Self {
        Self {
            frame,
            neighbor,
            #[cfg(feature = "forward")]
            transit: false,
        }
    }

    /// Whether it is passed on for others.
    pub fn is_transit(&self) -> bool {
        #[cfg(feature = "forward")]
        return self.transit;
        #[cfg(not(feature = "forward"))]
        false
    }
}

/// The parked packets of a table, oldest first.
pub(crate) struct Lot<'a> {
    packets: Vec<Parked<'a>, MAX>,
    limit: usize,
}

impl<'a> Lot<'a> {
    /// Room for `limit` packets, [`MAX`] at most.
    pub fn new(limit: usize) -> Self {
        Self { packets: Vec::new(), limit: limit.min(MAX) }
    }

    /// Parks a packet; gives the one that it pushes out, which may be itself.
    pub fn park(&mut self, neighbor: u32, frame: Frame<'a>) -> Option<Frame<'a>> {
        let own = self.packets.iter().filter(|p| p.neighbor == neighbor).count();
        let pool = frame.pool();
        let of_pool = |p: &Parked<'_>| p.frame.pool().is(pool);
        let share = (pool.count() / SHARE).max(1);
        let out = if own >= PER_NEIGHBOR {
            self.take(neighbor).map(|p| p.frame)
        } else if self.packets.iter().filter(|p| of_pool(p)).count() >= share {
            let oldest = self.packets.iter().position(of_pool);
            oldest.and_then(|at| self.remove(at)).map(|p| p.frame)
        } else if self.packets.len() >= self.limit && !self.packets.is_empty() {
            self.remove(0).map(|p| p.frame)
        } else {
            None
        };
        if self.packets.len() >= self.limit {
            return Some(frame);
        }
        match self.packets.push(Parked::own(neighbor, frame)) {
            Ok(()) => out,
            Err(refused) => Some(refused.frame),
        }
    }

    /// As [`park`](Self::park), for a packet that is passed on for others: together these take half of the room, and
    /// push out none but their own kind.
    #[cfg(feature = "forward")]
    pub fn park_transit(&mut self, neighbor: u32, frame: Frame<'a>) -> Option<Frame<'a>> {
        let pool = frame.pool();
        let count = |which: &dyn Fn(&Parked<'a>) -> bool| self.packets.iter().filter(|p| which(p)).count();
        let of_neighbor = |p: &Parked<'a>| p.neighbor == neighbor;
        let of_pool = |p: &Parked<'a>| p.frame.pool().is(pool);
        let in_transit = |p: &Parked<'a>| p.transit;
        let full_of: Option<&dyn Fn(&Parked<'a>) -> bool> = if count(&of_neighbor) >= PER_NEIGHBOR {
            Some(&of_neighbor)
        } else if count(&of_pool) >= (pool.count() / SHARE).max(1) {
            Some(&of_pool)
        } else if self.packets.len() >= self.limit || count(&in_transit) >= (self.limit / 2).max(1) {
            Some(&in_transit)
        } else {
            None
        };
        let out = match full_of {
            None => None,
            Some(which) => match self.packets.iter().position(|p| p.transit && which(p)) {
                Some(at) => Some(self.packets.remove(at).frame),
                None => return Some(frame),
            },
        };
        match self.packets.push(Parked { frame, neighbor, transit: true }) {
            Ok(()) => out,
            Err(refused) => Some(refused.frame),
        }
    }

    /// Takes the oldest packet of a neighbour.
    pub fn take(&mut self, neighbor: u32) -> Option<Parked<'a>> {
        let at = self.packets.iter().position(|p| p.neighbor == neighbor)?;
        self.remove(at)
    }

    /// As [`take`](Self::take), passing over what is passed on for others.
    pub fn take_own(&mut self, neighbor: u32) -> Option<Parked<'a>> {
        let at = self.packets.iter().position(|p| p.neighbor == neighbor && !p.is_transit())?;
        self.remove(at)
    }

    /// Takes any packet that is `unwanted`.
    pub fn take_if(&mut self, unwanted: impl Fn(&Frame<'a>) -> bool) -> Option<Frame<'a>> {
        let at = self.packets.iter().position(|p| unwanted(&p.frame))?;
        self.remove(at).map(|p| p.frame)
    }

    /// Takes the packet at a place; those behind it move up.
    #[inline(never)]
    fn remove(&mut self, at: usize) -> Option<Parked<'a>> {
        for later in at + 1..self.packets.len() {
            if let Ok([place, packet]) = self.packets.get_disjoint_mut([later - 1, later]) {
                core::mem::swap(place, packet);
            }
        }
        self.packets.pop()
    }

    pub fn has(&self, neighbor: u32) -> bool {
        self.packets.iter().any(|p| p.neighbor == neighbor)
    }

    #[cfg(all(test, feature = "alloc"))]
    pub fn len(&self) -> usize {
        self.packets.len()
    }
}
