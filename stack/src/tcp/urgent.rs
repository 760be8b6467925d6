//! The urgent mechanism: text stays in line, and both users know where the urgent part of it ends.
//!
//! Implements RFC 9293 §3.8.5 and the sixth step of §3.10.7.4 as RFC 6093 reads them: urgent text is no message beside the
//! stream, and the pointer tells the octet behind it.
//!
//! ```text
//!          read so far                     up
//!  ─────────────┼──────────────────────────┼─────────────
//!               │ urgent: to be read first │ as any text
//! ```

use super::conn::Conn;
use crate::error::TcpError;
use crate::event::Readiness;
use crate::seq::Seq;
use crate::wire::segment::{Flags, Header, Segment};

/// SND.UP and RCV.UP.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Urgent {
    rcv_up: Seq,
    snd_up: Seq,
    /// `rcv_up` lies ahead of what was read.
    receives: bool,
    /// `snd_up` lies ahead of what was acknowledged.
    sends: bool,
}

impl Urgent {
    /// Whether segments point to the end of urgent text.
    #[cfg(feature = "gso")]
    #[inline]
    pub const fn is_sending(&self) -> bool {
        self.sends
    }
}

impl Conn<'_> {
    /// RFC 9293 §3.10.7.4, sixth step.
    #[inline]
    pub(super) fn sixth_check_urg(&mut self, seg: &Segment<'_>) {
        if seg.flags.contains(Flags::URG) {
            self.take_urgent_pointer(seg.seq + u32::from(seg.urgent));
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.5
    //# A TCP implementation MUST inform the application layer asynchronously whenever it receives an urgent pointer and
    //# there was previously no pending urgent data, or whenever the urgent pointer advances in the data stream (MUST-32).
    #[cold]
    fn take_urgent_pointer(&mut self, up: Seq) {
        let urgent = &self.urgent;
        let advances = !urgent.receives || up.after(urgent.rcv_up);
        if advances && self.state.may_receive() && !self.orphan && up.after(self.unread_from()) {
            self.urgent.rcv_up = up;
            self.urgent.receives = true;
            self.events |= Readiness::URGENT;
        }
    }

    /// The number of the next octet to be read.
    fn unread_from(&self) -> Seq {
        self.rcv.nxt - (self.rx.len() as u32 + u32::from(self.rcv.fin_taken))
    }

    /// The user has read: perhaps beyond the urgent text.
    #[inline]
    pub(super) fn on_read(&mut self) {
        if self.urgent.receives && self.urgent.rcv_up.at_or_before(self.unread_from()) {
            self.urgent.receives = false;
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.5
    //# The TCP implementation MUST provide a way for the application to learn how much urgent data remains to be read
    //# from the connection, or at least to determine whether more urgent data remains to be read (MUST-33).
    /// Octets of urgent text that are still to be read; some of them may not have come yet.
    pub fn urgent(&self) -> usize {
        if !self.urgent.receives {
            return 0;
        }
        let ahead = self.urgent.rcv_up.distance_from(self.unread_from()) as usize;
        // A pointer beyond the end of the stream tells of octets that will never be.
        if self.rcv.fin_taken || self.over { ahead.min(self.rx.len()) } else { ahead }
    }

    /// SEND with the urgent flag: all that is queued, `data` included, is urgent.
    pub fn write_urgent(&mut self, data: &[u8]) -> Result<usize, TcpError> {
        if self.error.is_none() && !self.snd.syn_is_acked() {
            return Err(TcpError::WouldBlock);
        }
        let taken = self.write(data)?;
        //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.5
        //# the urgent pointer MUST point to the sequence number of the octet following the urgent data (MUST-62).
        self.urgent.snd_up = self.snd.una + self.tx.len() as u32;
        self.urgent.sends = true;
        // Where no text may leave, the pointer goes alone: the peer's reader may be what keeps the window closed.
        self.rcv.ack_now = true;
        Ok(taken)
    }

    /// Points to the end of urgent text, while it lies ahead of the segment and within reach.
    #[inline]
    pub(super) fn point_to_urgent(&self, header: &mut Header) {
        if self.urgent.sends {
            self.put_urgent(header);
        }
    }

    #[cold]
    fn put_urgent(&self, header: &mut Header) {
        let ahead = self.urgent.snd_up.distance_from(header.seq);
        if let (Ok(ahead @ 1..), false) = (u16::try_from(ahead), header.flags.contains(Flags::RST)) {
            header.urgent = ahead;
            header.flags |= Flags::URG;
        }
    }

    /// An acknowledgment came: of the urgent text, too?
    #[inline]
    pub(super) fn on_urgent_acked(&mut self) {
        if self.urgent.sends {
            self.urgent.sends = self.urgent.snd_up.after(self.snd.una);
        }
    }
}
