//! The size of a super-segment's segments, as it goes with a packet: nothing, and of no size, where these are not built.

use super::Gso;

/// Octets of text in each segment of a super-segment, the last aside; 0: the packet is a segment as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentSize(#[cfg(feature = "gso")] u16);

impl SegmentSize {
    /// What a device says.
    #[inline]
    pub fn of(gso: Option<Gso>) -> Self {
        #[cfg(feature = "gso")]
        return Self(gso.map_or(0, |gso| gso.size));
        #[cfg(not(feature = "gso"))]
        {
            let _ = gso;
            Self()
        }
    }

    /// The size itself.
    #[inline]
    const fn get(self) -> usize {
        #[cfg(feature = "gso")]
        return self.0 as usize;
        #[cfg(not(feature = "gso"))]
        0
    }

    /// Octets of the longest of the segments that `text` octets are.
    #[inline]
    pub const fn longest(self, text: usize) -> usize {
        if self.get() > 0 && self.get() < text { self.get() } else { text }
    }

    /// How many segments `text` octets are: one at least.
    #[inline]
    pub const fn segments(self, text: usize) -> usize {
        if self.get() > 0 && self.get() < text { text.div_ceil(self.get()) } else { 1 }
    }
}
