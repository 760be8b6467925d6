//! Packets of other stacks' devices become frames of a pool.

use ringtap::frame::{Frame, Pool};

/// Packets that another stack's device had received, or was to send, and that went no further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The pool had no frame for them.
    pub no_frame: u32,
    /// They were longer than a frame, or than a buffer of the other stack's.
    pub too_long: u32,
}

/// Packets looked at in one call of `receive`, at most: an empty pool loses so many, so that the call stays bounded.
pub(crate) const DRAIN: usize = 32;

impl Lost {
    /// A frame with this packet in it; `None`, and counted, where that cannot be.
    pub(crate) fn frame_with<'p>(&mut self, pool: Pool<'p>, packet: &[u8]) -> Option<Frame<'p>> {
        let Some(mut frame) = pool.take(0) else {
            self.no_frame = self.no_frame.wrapping_add(1);
            return None;
        };
        if frame.extend(packet).is_none() {
            self.too_long = self.too_long.wrapping_add(1);
            return None;
        }
        Some(frame)
    }
}
