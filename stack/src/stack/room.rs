//! Who makes way in a full table of connections, where handshakes or TIME-WAIT have none of their own.

use super::Stack;
use crate::stats::DropReason;
use crate::tcp::layer::Owner;
use crate::time::Instant;

impl Stack<'_> {
    /// Gives up the oldest connection that nobody has, or will have: one in TIME-WAIT, or a handshake whose peer does not
    /// answer.
    pub(super) fn make_room(&mut self) {
        let mut oldest: Option<(Instant, u32)> = None;
        let mut next = self.tcp.conns.next_index(0);
        while let Some(index) = next {
            next = self.tcp.conns.next_index(index + 1);
            if let Some(entry) = self.tcp.conns.at(index).filter(|entry| entry.is_dispensable()) {
                let heard = entry.conn.heard_at();
                if oldest.is_none_or(|(before, _)| heard < before) {
                    oldest = Some((heard, index));
                }
            }
        }
        let Some((_, index)) = oldest else { return };
        if let Some(entry) = self.tcp.conns.at(index) {
            let was_handshake = matches!(entry.owner, Owner::Handshake(_));
            let reason = if was_handshake { DropReason::TcpSynQueueFull } else { DropReason::TimeWaitEvicted };
            self.stats.drop(reason);
            self.free_connection(index);
        }
    }
}
