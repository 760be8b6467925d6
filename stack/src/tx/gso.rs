//! Super-segments: how much of a connection's text leaves at once, by a device that cuts it into segments.
//!
//! A turn is one frame, and a super-segment of n segments takes n turns' worth of the wire: its connection lets others pass
//! n - 1 times before it sends again, if there are others.

use crate::device::{Gso, TxChecksum, TxMeta};
use crate::frame::Pool;
use crate::ready::NodeId;
use crate::stack::{Iface, IfaceId, Stack};
use crate::stats::Stats;
use crate::tcp::conn::Conn;
use crate::tcp::layer::Entry;
use crate::tcp::output::Plan;
use crate::wire::segment;

/// The longest IP packet of either family without jumbograms (RFC 2675).
const MOST: usize = 65_535;

/// How many segments of a connection's text the interface's device takes as one, put together in frames of `large`: one where
/// it does not go to the device `as_it_is`.
#[inline]
pub(super) fn most_segments(iface: &Iface<'_>, conn: &Conn<'_>, large: Option<Pool<'_>>, as_it_is: bool) -> u32 {
    #[cfg(feature = "ipv6")]
    let most = if conn.is_v6() { iface.caps.gso_ipv6 } else { iface.caps.gso_ipv4 };
    #[cfg(not(feature = "ipv6"))]
    let most = iface.caps.gso_ipv4;
    // Whoever cuts has to sum.
    if most == 0 || !as_it_is || !iface.caps.checksum.tcp || !conn.has_several() {
        return 1;
    }
    segments_in(most, iface, conn, large)
}

#[inline(never)]
fn segments_in(most: usize, iface: &Iface<'_>, conn: &Conn<'_>, large: Option<Pool<'_>>) -> u32 {
    // A quarter of these frames is left to datagrams in fragments.
    let Some(pool) = large.filter(|pool| pool.free() > pool.count() / 4) else { return 1 };
    let room = most.min(MOST).min(pool.slot_size().saturating_sub(iface.headroom()));
    conn.segments_in(room.saturating_sub(conn.ip_header_len()))
}

/// Whether a plan is of more than one segment.
#[inline]
fn is_several(plan: &Plan, conn: &Conn<'_>) -> bool {
    plan.len > u32::from(conn.full_segment())
}

/// Where the frame of a plan is from.
#[inline]
pub(super) fn pool_for<'a>(iface: &Iface<'a>, conn: &Conn<'_>, plan: &Plan, large: Option<Pool<'a>>) -> Pool<'a> {
    if is_several(plan, conn) { large.unwrap_or(iface.pool) } else { iface.pool }
}

/// What the device is asked to do with a super-segment that is about to be committed, whose TCP header is at `start`; it is
/// counted as its segments.
#[inline]
pub(super) fn ask(stats: &mut Stats, entry: &mut Entry<'_>, plan: &Plan, start: usize) -> Option<TxMeta> {
    if !is_several(plan, &entry.conn) {
        return None;
    }
    let size = entry.conn.full_segment();
    let more = plan.len.div_ceil(u32::from(size)) - 1;
    stats.tcp_segments_out = stats.tcp_segments_out.wrapping_add(more as usize);
    entry.ahead = more as u16;
    let checksum = TxChecksum::Partial { start: start as u16, offset: segment::CHECKSUM_OFFSET as u16 };
    Some(TxMeta { checksum, gso: Some(Gso { size }), timestamp: false })
}

impl Stack<'_> {
    /// Whether a connection that has sent more than its share lets the others in line pass.
    #[inline]
    pub(super) fn lets_pass(&mut self, id: IfaceId, node: NodeId, index: u32) -> bool {
        let Some(entry) = self.tcp.conns.at_mut(index) else { return false };
        if entry.ahead == 0 {
            return false;
        }
        if !self.sched.has_ready(id.index()) {
            entry.ahead = 0;
            return false;
        }
        entry.ahead -= 1;
        self.sched.wake(node, id.index());
        true
    }
}
