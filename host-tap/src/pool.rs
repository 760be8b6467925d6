//! Frame pools for host programs: boxed, living as long as the program, and used again by the next stack.
//!
//! A `Pool<'static>` keeps the stack free of lifetimes. A pool whose lease ends with all its frames back is kept for the
//! next lease of the same size, so that memory is bounded by the most pools in use at once.

use ringtap::device::Medium;
use ringtap::frame::{BoxedPool, Pool};
use std::sync::{Mutex, PoisonError};

/// Octets in front of a received packet, for headers that a reply needs beyond those it came with.
pub const HEADROOM: usize = 64;

/// Frames in a pool of the default size: the length of a tap's queue, twice.
pub const DEFAULT_FRAMES: usize = 2048;

/// Octets of a frame for the longest packet there is, with all that goes in front of it: a datagram that was, or will be, in
/// fragments, or a super-segment.
pub const LARGE_FRAME: usize = HEADROOM + 18 + 65_535 + 46;

/// Large frames for one loop.
const LARGE_FRAMES: usize = 64;

static IDLE: Mutex<Vec<&'static BoxedPool>> = Mutex::new(Vec::new());

/// A pool for as long as this lives.
pub struct Lease(&'static BoxedPool);

impl Lease {
    /// A pool of `count` slots of at least `slot_size` octets.
    pub fn new(slot_size: usize, count: usize) -> Self {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |p: &&'static BoxedPool| {
            let pool = p.pool();
            pool.count() == count && (slot_size..slot_size + 64).contains(&pool.slot_size())
        };
        match idle.iter().position(fits) {
            Some(at) => Self(idle.swap_remove(at)),
            None => Self(Box::leak(Box::new(BoxedPool::new(slot_size, count)))),
        }
    }

    /// A pool of [`DEFAULT_FRAMES`] for a device of this medium and MTU.
    pub fn for_device(medium: Medium, ip_mtu: usize) -> Self {
        Self::new(slot_size(medium, ip_mtu), DEFAULT_FRAMES)
    }

    /// A pool of frames for the longest packets.
    pub fn large() -> Self {
        Self::new(LARGE_FRAME, LARGE_FRAMES)
    }

    /// The pool. It stays valid after the lease; frames still out then keep it from being used again.
    pub fn pool(&self) -> Pool<'static> {
        self.0.pool()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let pool = self.0.pool();
        if pool.free() == pool.count() {
            IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(self.0);
        }
    }
}

/// Octets that a slot needs for the device's longest frame: headroom, link header with a VLAN tag, packet, and one more
/// octet that tells a frame too long from one that just fits.
pub fn slot_size(medium: Medium, ip_mtu: usize) -> usize {
    HEADROOM + max_frame(medium, ip_mtu) + 1
}

/// Octets of the longest frame that the device may carry.
pub fn max_frame(medium: Medium, ip_mtu: usize) -> usize {
    let link_header = if medium == Medium::Ip { 0 } else { 18 };
    ip_mtu + link_header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_used_again_only_when_all_its_frames_are_back() {
        // A size of its own, so that no other test's pool fits.
        let (first, second) = (Lease::new(4_096, 3), Lease::new(4_096, 3));
        let (a, b) = (first.pool(), second.pool());
        assert!(!a.is(b));
        let kept = b.take(0);
        drop((first, second));
        let (third, fourth) = (Lease::new(4_096, 3), Lease::new(4_096, 3));
        assert!(third.pool().is(a));
        assert!(!fourth.pool().is(b));
        drop(kept);
    }
}
