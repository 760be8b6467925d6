//! Zones where there is one interface: each address is in its.

use super::{IfaceId, Stack};
use crate::family::{IpAddr, SocketAddr};

pub(crate) const fn zone_of(_: SocketAddr) -> Option<IfaceId> {
    None
}

impl Stack<'_> {
    /// As [`source`](Self::source).
    pub(crate) fn source_in(&self, _: Option<IfaceId>, dst: IpAddr) -> Option<(IfaceId, IpAddr)> {
        self.source(dst)
    }
}
