//! Explicit Congestion Notification is not built in: nothing is offered, marked or told.

use super::conn::Conn;
use super::info::EcnInfo;
use super::options::TcpOptions;
use super::output::Plan;
use crate::wire::segment::{Flags, Segment};

/// Nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ecn;

#[cfg(feature = "syn-queue")]
pub(super) const fn is_offer(_seg: &Segment<'_>) -> bool {
    false
}

#[cfg(feature = "syn-queue")]
pub(super) const fn syn_ack_flags(_agrees: bool) -> Flags {
    Flags::SYN.with(Flags::ACK)
}

impl Ecn {
    pub const fn new(_options: &TcpOptions) -> Self {
        Self
    }

    #[cfg(feature = "syn-queue")]
    pub const fn agree(&self) {}

    #[inline]
    pub const fn is_alone(&self) -> bool {
        false
    }

    pub const fn on_loss(&self) {}
}

impl Conn<'_> {
    pub(super) fn ecn_info(&self) -> EcnInfo {
        EcnInfo::default()
    }

    pub(super) const fn agree_on_ecn(&self, _seg: &Segment<'_>) {}

    #[inline]
    pub(super) const fn ecn_flags(&self, plan: &Plan) -> Flags {
        plan.flags
    }

    /// The octet of the IP header that holds the connection's DSCP.
    #[inline]
    pub const fn tos(&self, _plan: &Plan) -> u8 {
        self.settings.dscp << 2
    }

    #[inline]
    pub(super) const fn on_ecn_sent(&self, _plan: &Plan) {}

    #[inline]
    pub(super) const fn take_ecn(&self, _seg: &Segment<'_>) {}

    #[inline]
    pub(super) const fn is_echo(&self, _seg: &Segment<'_>) -> bool {
        false
    }

    pub(super) const fn on_echo(&self) {}

    pub(super) const fn hold_window(&self, _cwnd: u32) {}

    pub(super) const fn is_reduced_by_echo(&self) -> bool {
        false
    }
}
