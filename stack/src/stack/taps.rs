//! Taps for the user: added, read, removed; and called where frames come and go.

use super::{IfaceId, Stack};
use crate::device::{RxMeta, TxMeta};
use crate::error::TapError;
use crate::taps::{self, Direction, TapCounters, TapId, TapOptions, Tapped};
use managed::ManagedSlice;

impl<'a> Stack<'a> {
    /// Adds a tap, which keeps copies of frames in `memory` (at least [`MIN_TAP_MEMORY`](taps::MIN_TAP_MEMORY) octets;
    /// 20 octets and what is kept for each frame) until they are read.
    ///
    /// # Errors
    /// [`TapError`]; nothing has changed then.
    pub fn add_tap(
        &mut self,
        options: TapOptions<'a>,
        memory: impl Into<ManagedSlice<'a, u8>>,
    ) -> Result<TapId, TapError> {
        if options.iface.is_some_and(|id| self.iface(id).is_none()) {
            return Err(TapError::NoInterface);
        }
        self.taps.add(options, memory.into())
    }

    /// The oldest frame that a tap has kept, copied to `buf` as far as there is room (see [`Tapped::kept`]); `None` when
    /// there is none, or no such tap.
    pub fn read_tap(&mut self, tap: TapId, buf: &mut [u8]) -> Option<Tapped> {
        self.taps.read(tap, buf)
    }

    /// What a tap has counted; `None` when there is no such tap.
    pub fn tap_counters(&self, tap: TapId) -> Option<TapCounters> {
        self.taps.counters(tap)
    }

    /// Removes a tap, and gives what it has counted; `None` when there is no such tap.
    pub fn remove_tap(&mut self, tap: TapId) -> Option<TapCounters> {
        self.taps.remove(tap)
    }

    /// A received frame passes the taps.
    #[cold]
    #[inline(never)]
    pub(crate) fn tap_in(&mut self, iface: IfaceId, frame: &[u8], meta: &RxMeta) {
        let seen = Tapped { at: self.now, iface, direction: Direction::In, len: frame.len(), kept: 0 };
        self.taps.see(seen, frame, taps::partial_in(meta));
    }

    /// A frame that is about to leave passes the taps.
    #[cold]
    #[inline(never)]
    pub(crate) fn tap_out(&mut self, iface: IfaceId, frame: &[u8], meta: &TxMeta) {
        let seen = Tapped { at: self.now, iface, direction: Direction::Out, len: frame.len(), kept: 0 };
        self.taps.see(seen, frame, taps::partial_out(meta));
    }
}
