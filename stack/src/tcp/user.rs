//! What the user of a connection does and sees.
//!
//! Implements RFC 9293 §3.9.1 (SEND, RECEIVE, CLOSE, STATUS, ABORT) and §3.10.2 to §3.10.6. No call takes the time; see
//! the contract in `conn.rs`.

use super::conn::{Conn, Verdict};
use super::info::{SoftError, TcpInfo};
use super::state::State;
use super::timers::Timer;
use crate::error::TcpError;
use crate::family::IpAddr;
use crate::seq::Seq;
use crate::sockets::demux::Tuple;
#[cfg(not(all(feature = "syn-queue", feature = "time-wait")))]
use crate::time::Instant;

impl Conn<'_> {
    /// Moves received octets into `dst`. `Ok(0)`, for a `dst` that is not empty: the peer will send no more.
    pub fn read(&mut self, dst: &mut [u8]) -> Result<usize, TcpError> {
        if self.rx.is_empty() && !dst.is_empty() {
            return self.end_of_text().map(|()| 0);
        }
        let n = self.rx.read(dst);
        self.on_read();
        Ok(n)
    }

    /// Shows `f` received octets in place; `f` returns how many it has used. An empty slice: the peer will send no more.
    pub fn read_with<R>(&mut self, f: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, TcpError> {
        if self.rx.is_empty() {
            self.end_of_text()?;
        }
        let result = self.rx.read_with(f);
        self.on_read();
        Ok(result)
    }

    /// As [`read`](Self::read), but the octets stay.
    pub fn peek(&self, dst: &mut [u8]) -> Result<usize, TcpError> {
        if self.rx.is_empty() && !dst.is_empty() {
            return self.end_of_text().map(|()| 0);
        }
        Ok(self.rx.peek_at(0, dst))
    }

    /// Received octets in place, up to where they wrap. None: the peer will send no more.
    pub fn text(&self) -> Result<&[u8], TcpError> {
        if self.rx.is_empty() {
            self.end_of_text()?;
        }
        Ok(self.rx.first_part())
    }

    /// Nothing is there to be read: has the end come, has the connection failed, or is it to be waited for?
    fn end_of_text(&self) -> Result<(), TcpError> {
        match (self.rcv.fin_taken, self.error) {
            (true, _) => Ok(()),
            (false, Some(error)) => Err(error),
            (false, None) if self.state == State::Closed => Err(TcpError::Closed),
            (false, None) => Err(TcpError::WouldBlock),
        }
    }

    /// Takes octets for sending; how many there was room for, at least one.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, TcpError> {
        self.may_write()?;
        let taken = self.tx.write(data);
        self.wants_write |= self.tx.free() == 0;
        if taken == 0 && !data.is_empty() { Err(TcpError::WouldBlock) } else { Ok(taken) }
    }

    /// Lets `f` fill room for sending in place; `f` returns how many octets it has filled.
    pub fn write_with<R>(&mut self, f: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, TcpError> {
        self.may_write()?;
        if self.tx.free() == 0 {
            self.wants_write = true;
            return Err(TcpError::WouldBlock);
        }
        let result = self.tx.write_with(f);
        self.wants_write |= self.tx.free() == 0;
        Ok(result)
    }

    fn may_write(&self) -> Result<(), TcpError> {
        match self.error {
            Some(error) => Err(error),
            None if self.fin_queued || self.state == State::Closed => Err(TcpError::Closed),
            None => Ok(()),
        }
    }

    /// Whether `read` would not block.
    pub fn readable(&self) -> bool {
        !self.rx.is_empty() || self.end_of_text() != Err(TcpError::WouldBlock)
    }

    /// Whether `write` would not block.
    pub fn writable(&self) -> bool {
        self.may_write().is_err() || self.tx.free() > 0
    }

    /// Octets accepted for sending and not acknowledged yet.
    pub fn unsent(&self) -> usize {
        self.tx.len()
    }

    /// Octets that can be read.
    pub fn unread(&self) -> usize {
        self.rx.len()
    }

    /// A FIN follows what is queued; receiving goes on. Doing it again changes nothing.
    pub fn shutdown_write(&mut self) {
        self.fin_queued |= self.state != State::Closed;
    }

    /// CLOSE by a user who is gone: what is queued is still delivered, then comes the FIN; a reset instead, when received
    /// text was left unread.
    pub fn close(&mut self) -> Verdict {
        if self.orphan {
            return self.take_verdict();
        }
        self.orphan = true;
        // From now on it tells when the connection ends; that clock starts with the next turn.
        self.timers.life = Timer::OFF;
        let unread = !self.rx.is_empty() && self.rcv_side_is_ours();
        match self.state {
            State::Closed => {}
            //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.4
            //# SYN-SENT STATE: Delete the TCB and return "error: closing" responses to any queued SENDs, or RECEIVEs.
            State::SynSent if self.tx.is_empty() => self.close_with(None),
            _ if unread && self.tx.is_empty() => self.abort_with(None),
            _ => {
                self.reset_at_end |= unread;
                self.fin_queued = true;
            }
        }
        self.take_verdict()
    }

    /// Unread text is a loss that the peer can still hear of.
    fn rcv_side_is_ours(&self) -> bool {
        !matches!(self.state, State::TimeWait | State::Closed)
    }

    /// ABORT: what is queued is dropped, and the peer hears a reset.
    pub fn abort(&mut self) -> Verdict {
        self.orphan = true;
        match self.state {
            State::Closed => {}
            //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.5
            //# SYN-RECEIVED STATE, ESTABLISHED STATE, FIN-WAIT-1 STATE, FIN-WAIT-2 STATE, CLOSE-WAIT STATE: Send a
            //# reset segment: <SEQ=SND.NXT><CTL=RST>
            State::SynSent | State::TimeWait => self.close_with(Some(TcpError::Aborted)),
            State::Closing | State::LastAck if self.tx.is_empty() => self.close_with(Some(TcpError::Aborted)),
            _ => self.abort_with(Some(TcpError::Aborted)),
        }
        self.take_verdict()
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether these are its ends.
    #[inline]
    pub fn is_between(&self, local: (IpAddr, u16), remote: (IpAddr, u16)) -> bool {
        // Ports first: they differ most often, and cost least to compare.
        let own = &self.tuple;
        (own.remote_port, own.local_port) == (remote.1, local.1)
            && own.remote_addr == remote.0
            && own.local_addr == local.0
    }

    /// Whether it goes over IPv6.
    #[cfg(feature = "ipv6")]
    #[inline]
    pub fn is_v6(&self) -> bool {
        self.tuple.remote_addr.is_ipv6()
    }

    /// Octets of the IP header in front of its segments.
    #[inline]
    pub fn ip_header_len(&self) -> usize {
        crate::wire::ip::header_len(self.tuple.remote_addr)
    }

    /// Both ends.
    pub fn tuple(&self) -> Tuple {
        self.tuple
    }

    /// Whether both ends know each other's sequence numbers.
    pub fn is_synchronized(&self) -> bool {
        self.state.is_synchronized()
    }

    /// SND.UNA: it moves when the peer acknowledges something new.
    pub fn unacknowledged_edge(&self) -> Seq {
        self.snd.una
    }

    /// Since when the peer owes an acknowledgment, or when it gave the last one.
    #[cfg(not(feature = "syn-queue"))]
    pub fn last_progress(&self) -> Instant {
        self.progress_at
    }

    /// When an acceptable segment came last, or when the connection began.
    #[cfg(not(all(feature = "syn-queue", feature = "time-wait")))]
    pub fn heard_at(&self) -> Instant {
        self.last_heard
    }

    /// Whether something had to be sent again since the peer acknowledged anything.
    #[cfg(not(all(feature = "syn-queue", feature = "time-wait")))]
    pub fn is_unanswered(&self) -> bool {
        self.retries > 0
    }

    /// Why the connection ended, other than by both sides closing.
    pub fn error(&self) -> Option<TcpError> {
        self.error
    }

    /// The last fault that may pass, once.
    pub fn take_soft_error(&mut self) -> Option<SoftError> {
        self.soft.take()
    }

    /// Whether the fate was told: no segment belongs to this connection any more. It stays readable.
    #[cfg(test)]
    pub fn is_finished(&self) -> bool {
        self.over
    }

    /// Gives memory that empty rings have grown to back: for connections that went quiet.
    pub fn trim(&mut self) {
        self.rx.trim();
        self.tx.trim();
        self.holes.trim();
    }

    /// The connection's numbers.
    pub fn info(&self) -> TcpInfo {
        TcpInfo {
            state: self.state,
            srtt: self.rtt.srtt(),
            rttvar: self.rtt.rttvar(),
            rto: self.rtt.rto(&self.settings),
            cwnd: self.cc.cwnd(),
            ssthresh: self.cc.ssthresh(),
            flight: self.pipe(),
            unacked: self.tx.len(),
            unread: self.rx.len(),
            snd_wnd: self.snd.wnd,
            rcv_wnd: self.rcv.wnd(),
            memory: self.rx.held() + self.tx.held(),
            mss: self.snd.mss,
            window_scale: (self.snd.shift, self.rcv.shift()),
            timestamps: self.stamps.is_on(),
            sacked: self.sent.sacked(),
            lost: self.sent.lost(),
            delivered: self.snd.una.distance_from(self.snd.iss).saturating_sub(1).wrapping_add(self.sent.sacked()),
            pacing: self.pacing(),
            retransmits: self.retransmits,
            repairs: self.sack.repairs(),
            ecn: self.ecn_info(),
        }
    }

    fn pacing(&self) -> u64 {
        let micros = self.rtt.srtt().map_or(0, |srtt| srtt.as_micros());
        (u64::from(self.cc.cwnd()) * 1_000_000).checked_div(micros).unwrap_or(0)
    }
}
