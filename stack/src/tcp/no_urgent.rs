//! The urgent mechanism is not built in: text that the peer calls urgent is text (RFC 6093 §3.1 leaves it in line).

use super::conn::Conn;
use crate::wire::segment::{Header, Segment};

/// Nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Urgent {}

#[cfg(feature = "gso")]
impl Urgent {
    pub const fn is_sending(&self) -> bool {
        false
    }
}

impl Conn<'_> {
    pub(super) const fn sixth_check_urg(&self, _: &Segment<'_>) {}

    pub(super) const fn on_read(&self) {}

    pub(super) const fn point_to_urgent(&self, _: &mut Header) {}

    pub(super) const fn on_urgent_acked(&self) {}
}
