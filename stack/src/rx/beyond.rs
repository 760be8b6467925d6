//! Too much text beyond holes: whose goes?
//!
//! A segment at the far end of a window takes the memory of all that lies before it, and costs its sender nothing: of what
//! grows, all connections together have `Config::out_of_order`. RFC 2018 §8 allows a receiver to throw away what it has
//! reported, and every sender must be ready for that.
//!
//! What each connection holds is counted when it gets more; that it has got less, since its hole was filled, is noticed when
//! it is looked at again. Each segment that is too much has some connections looked at, in turn: work is bounded.

use crate::stack::Stack;

/// Places of the table looked at for a segment that is too much.
const LOOKS: usize = 16;

impl Stack<'_> {
    /// The connection has come to hold more text beyond a hole.
    #[cold]
    pub(super) fn bound_beyond(&mut self, index: u32) {
        self.count_beyond(index);
        let most = self.config.out_of_order;
        for _ in 0..LOOKS {
            if self.tcp.beyond <= most {
                return;
            }
            let place = self.tcp.conns.place_after(self.tcp.hand);
            self.tcp.hand = place;
            self.count_beyond(place);
            let held = self.tcp.conns.at(place).filter(|entry| entry.beyond > 0 && entry.conn.is_silent(self.now));
            if held.is_some() {
                self.forget_beyond(place);
            }
        }
        if self.tcp.beyond > most {
            self.forget_beyond(index);
        }
    }

    /// Brings the sum up to date.
    fn count_beyond(&mut self, index: u32) {
        if let Some(entry) = self.tcp.conns.at_mut(index) {
            let held = entry.conn.held_beyond();
            self.tcp.beyond = self.tcp.beyond - core::mem::replace(&mut entry.beyond, held) + held;
        }
    }

    fn forget_beyond(&mut self, index: u32) {
        if let Some(entry) = self.tcp.conns.at_mut(index) {
            entry.conn.forget_beyond();
            self.stats.tcp_reneged = self.stats.tcp_reneged.wrapping_add(1);
        }
        self.count_beyond(index);
    }
}
