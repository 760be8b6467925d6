//! Selective acknowledgments are not built in: nothing is offered, told or repaired by them.

use super::conn::Conn;
use super::info::{Repair, Repairs};
use super::output::Plan;
use crate::seq::Seq;
use crate::time::Instant;
use crate::wire::segment::{HeaderOptions, Segment};

/// Nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sack {
    pub offered: bool,
}

impl Sack {
    pub const fn new(_offered: bool, _rack: bool) -> Self {
        Self { offered: false }
    }

    /// Nothing is counted: a connection of the small configuration is to be small.
    pub const fn note(&self, _: Repair) {}

    pub fn repairs(&self) -> Repairs {
        Repairs::default()
    }

    #[inline]
    pub const fn is_on(&self) -> bool {
        false
    }

    pub const fn is_agreed(&self) -> bool {
        false
    }
}

impl Conn<'_> {
    pub(super) const fn agree_on_sack(&self, _permitted: bool, _irs: Seq) {}

    pub(super) const fn note_known(&self, _base: Seq, _offset: u32, _len: u32) {}

    pub(super) const fn note_held(&self, _offset: u32) {}

    pub(super) const fn note_duplicate(&self, _left: Seq, _right: Seq) {}

    #[inline]
    pub(super) const fn has_blocks(&self) -> bool {
        false
    }

    pub(super) const fn put_blocks(&self, _options: &mut HeaderOptions) {}

    pub(super) const fn on_blocks_sent(&self) {}

    #[inline]
    pub(super) const fn is_repairing(&self, _seg: &Segment<'_>) -> bool {
        false
    }

    pub(super) fn pipe(&self) -> u32 {
        self.snd.flight()
    }

    pub(super) const fn gone(&self) -> u32 {
        0
    }

    pub(super) const fn handle_ack_in_repair(&self, _now: Instant, _seg: &Segment<'_>) {}

    pub(super) fn take_all_for_lost(&mut self) {
        self.snd.mark_lost();
    }

    pub(super) const fn plan_repair(&self) -> Option<Plan> {
        None
    }

    pub(super) const fn on_repair_sent(&self, _now: Instant, _plan: &Plan) {}

    pub(super) const fn on_text_in_recovery(&self, _len: u32) {}
}
