//! RACK-TLP is not built in: losses are noticed by what was acknowledged above them, and by the time-out.

use super::conn::Conn;
use crate::time::Instant;
#[cfg(feature = "sack")]
use crate::{seq::Seq, tcp::sent::Delivered, wire::segment::Segment};

/// Nothing.
#[cfg(feature = "sack")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rack;

#[cfg(feature = "sack")]
impl Rack {
    pub const fn new(_on: bool) -> Self {
        Self
    }

    pub const fn is_on(&self) -> bool {
        false
    }
}

#[cfg(feature = "sack")]
impl Conn<'_> {
    pub(super) const fn rack_before_repair(&self) {}

    pub(super) const fn rack_on_ack(&self, _: Instant, _: &Segment<'_>, _: &Delivered, _: Option<(Seq, Seq)>, _: u32) {}

    pub(super) const fn rack_detect(&self, _now: Instant) -> u32 {
        0
    }

    pub(super) const fn rack_on_recovered(&self) {}

    pub(super) const fn save_for_undo(&self) {}

    pub(super) const fn note_for_undo(&self, _now: Instant, _len: u32) {}

    pub(super) const fn undo_if_spurious(
        &self,
        _: Instant,
        _: &Segment<'_>,
        _: &Delivered,
        _: Option<(Seq, Seq)>,
        _: u32,
    ) -> bool {
        false
    }

    pub(super) const fn is_waiting_for_frto(&self) -> bool {
        false
    }
}

impl Conn<'_> {
    pub(super) const fn on_loss_timer(&self, _now: Instant) -> bool {
        false
    }

    #[inline]
    pub(super) const fn schedule_probe(&self, _now: Instant) {}

    pub(super) const fn save_for_undo_of_rto(&self, _is_first: bool) {}
}
