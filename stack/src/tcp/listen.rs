//! Listening: handshakes before there is a connection, and the queue of those to be accepted.
//!
//! Implements RFC 9293 §3.10.7.2 (LISTEN) and, for what comes between the SYN and the last ACK, the parts of §3.10.7.4
//! that concern SYN-RECEIVED; RFC 5961 §3 to §5; and what RFC 4987 §3 advises against floods: a bounded SYN queue
//! (`syns.rs`) that gives way, and cookies (`cookies.rs`).
//!
//! ```text
//!   SYN ──▶ queued ──▶ plan, commit: SYN|ACK (and repeats) ──▶ last ACK ──▶ Handshake ──▶ Conn ──▶ accepted ──▶ accept
//!     └──▶ no place: SYN|ACK with a cookie at once, nothing kept ──▶┘
//! ```
//!
//! Text and FIN on a SYN are not kept: the peer sends them again. The SYN|ACK serves as the answer wherever the RFC asks
//! for an ACK: it carries the same numbers.

mod cookies;
mod syns;

use crate::family::IpAddr;
use crate::rng::{Key, Purpose, Secret};
use crate::seq::Seq;
use crate::sockets::demux::Tuple;
use crate::stats::DropReason;
use crate::tcp::ecn::{is_offer, syn_ack_flags};
use crate::tcp::isn::{timestamp_offset, ts_clock};
use crate::tcp::layer::{ListenOptions, is_between_hosts};
use crate::tcp::rcv::{syn_window, window_shift};
use crate::time::Instant;
use crate::wire::segment::{Flags, Header, Options, Reply, Segment, Timestamps};
use cookies::{Cookies, Remembered};
use managed::ManagedSlice;
pub(crate) use syns::SynSlot;
use syns::{Claimed, NO_SCALE, SynQueue};

/// Whether there are cookies; without them, a SYN that finds no place is dropped, and the peer tries again.
pub(crate) const COOKIES: bool = cfg!(feature = "syn-cookies");

/// What a finished handshake hands to the connection that begins with it.
///
/// The segment that finished it (with its text) is then given to the connection as its first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handshake {
    /// Our initial sequence number; the SYN|ACK carried it, and the peer has acknowledged `iss + 1`.
    pub iss: Seq,
    /// The peer's initial sequence number.
    pub irs: Seq,
    /// The MSS option of the SYN, as received (a cookie brings it back rounded down).
    pub peer_mss: Option<u16>,
    /// The window scale of the SYN, at most 14; `None`: no scaling either way.
    pub peer_scale: Option<u8>,
    /// The window scale that our SYN|ACK offered; `None` exactly when `peer_scale` is.
    pub our_scale: Option<u8>,
    /// Set when both sides use timestamps.
    pub timestamps: Option<HandshakeTimestamps>,
    /// Both sides take SACK.
    pub sack_permitted: bool,
    /// Both sides take ECN.
    pub ecn: bool,
    /// The window of the SYN: never scaled (RFC 7323 §2.2).
    pub snd_wnd: u16,
    /// The window that our SYN|ACK announced: never scaled.
    pub rcv_wnd: u16,
    /// When the latest SYN|ACK left.
    pub sent_at: Instant,
    /// More than one SYN|ACK was sent (or none is remembered): no RTT can be taken from it (RFC 6298 §3), and the initial
    /// window is smaller.
    pub retransmitted: bool,
}

/// The state of the timestamps option at the end of a handshake (RFC 7323).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandshakeTimestamps {
    /// TS.Recent: the TSval of the SYN.
    pub recent: u32,
    /// What our TSval adds to the clock of [`ts_clock`].
    pub offset: u32,
}

/// What to do with a segment.
#[derive(Clone, Debug)]
pub(crate) enum ListenVerdict {
    /// Nothing.
    Drop(DropReason),
    /// Send this reset.
    Reset(Reply),
    /// The SYN queue has changed: a SYN|ACK may be owed, and the deadline is another. `dropped`: a handshake had to give
    /// way.
    Queued { dropped: Option<DropReason> },
    /// The handshake is finished, and there is room to accept it. The queue keeps it until [`Listener::remove`], so that
    /// nothing is lost when the connection cannot be made now.
    Complete(Handshake),
    /// The SYN queue has no place for this SYN: send this SYN|ACK, whose cookie is all that is kept.
    Stateless(SynAck),
}

/// A SYN|ACK to be sent.
#[derive(Clone, Debug)]
pub(crate) struct SynAck {
    /// Where to.
    pub tuple: Tuple,
    /// All of it but the MSS, which depends on the interface: `options.mss` is what the user set as the upper bound, if
    /// anything.
    pub header: Header,
    /// The handshake's place; `None`: it has none.
    index: Option<u16>,
}

/// Our initial sequence number for a new handshake.
#[derive(Clone, Copy, Debug)]
struct Isn {
    /// Not before `min`.
    proposed: Seq,
    /// What the predecessor in TIME-WAIT has not used.
    min: Option<Seq>,
}

/// A listening socket.
pub(crate) struct Listener<'a> {
    syns: SynQueue<'a>,
    cookies: Cookies,
    key: Key,
    isn_key: Key,
    /// The clock at the latest call.
    now: Instant,
    window: u16,
    max_segment: Option<u16>,
    /// What we offer; `None`: nothing.
    scale: Option<u8>,
    timestamps: bool,
    /// Whether we take SACK.
    sack: bool,
    /// Whether we take ECN.
    ecn: bool,
    backlog: u16,
    accept_head: u16,
    accept_len: u16,
}

impl<'a> Listener<'a> {
    /// Listens with these places for handshakes and for connections to be accepted, of which there can be as many as the
    /// smaller of places and `options.backlog`.
    pub fn new(slots: ManagedSlice<'a, SynSlot>, options: &ListenOptions, secret: &Secret) -> Self {
        let tcp = &options.tcp;
        let mut slots = slots;
        slots.fill(SynSlot::new());
        let syns = SynQueue::new(slots, options.backlog, tcp.connect_timeout);
        let backlog = options.backlog.min(usize::from(syns.count())) as u16;
        Self {
            syns,
            cookies: Cookies::new(),
            key: secret.key(Purpose::SynCookies),
            isn_key: secret.key(Purpose::Isn),
            now: Instant::ZERO,
            window: syn_window(tcp.rx_buffer),
            max_segment: tcp.max_segment,
            scale: (cfg!(feature = "window-scale") && tcp.window_scale).then(|| window_shift(tcp.window_most())),
            timestamps: cfg!(feature = "timestamps") && tcp.timestamps,
            sack: cfg!(feature = "sack") && tcp.sack,
            ecn: cfg!(feature = "ecn") && tcp.ecn,
            backlog,
            accept_head: 0,
            accept_len: 0,
        }
    }

    /// The storage, for another listener.
    pub fn into_storage(self) -> ManagedSlice<'a, SynSlot> {
        self.syns.slots
    }

    // Handshakes.

    /// SEGMENT ARRIVES, for no connection. `isn` is our initial sequence number, should this be a new SYN.
    pub fn handle_segment(&mut self, now: Instant, tuple: &Tuple, seg: &Segment<'_>, isn: Seq) -> ListenVerdict {
        self.handle(now, tuple, seg, Isn { proposed: isn, min: None })
    }

    /// As [`handle_segment`](Self::handle_segment), for a SYN that ends its 4-tuple's TIME-WAIT: our initial sequence
    /// number will be `min` or later, cookie or not.
    pub fn handle_successor(
        &mut self,
        now: Instant,
        tuple: &Tuple,
        seg: &Segment<'_>,
        isn: Seq,
        min: Seq,
    ) -> ListenVerdict {
        self.handle(now, tuple, seg, Isn { proposed: isn.later(min), min: Some(min) })
    }

    fn handle(&mut self, now: Instant, tuple: &Tuple, seg: &Segment<'_>, isn: Isn) -> ListenVerdict {
        self.now = now;
        let hash = tuple.hash(&self.key);
        match self.syns.find(hash, tuple) {
            Some(index) => self.handle_in_syn_received(index, seg),
            None => self.handle_in_listen(hash, tuple, seg, isn),
        }
    }

    /// RFC 9293 §3.10.7.2, in its order.
    fn handle_in_listen(&mut self, hash: u32, tuple: &Tuple, seg: &Segment<'_>, isn: Isn) -> ListenVerdict {
        //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.2
        //# An incoming RST segment could not be valid since it could not have been sent in response to anything sent by
        //# this incarnation of the connection. An incoming RST should be ignored. Return.
        if seg.flags.contains(Flags::RST) {
            return ListenVerdict::Drop(DropReason::TcpBadReset);
        }
        if seg.flags.contains(Flags::ACK) {
            return self.check_cookie(tuple, seg);
        }
        if !seg.flags.contains(Flags::SYN) {
            return ListenVerdict::Drop(DropReason::TcpNoAck);
        }
        if !is_between_hosts(tuple) {
            return ListenVerdict::Drop(DropReason::TcpBadAddress);
        }
        self.queue(hash, tuple, seg, isn)
    }

    /// Takes a new SYN in, or answers it at once.
    fn queue(&mut self, hash: u32, tuple: &Tuple, seg: &Segment<'_>, isn: Isn) -> ListenVerdict {
        let options = &seg.options;
        //= https://www.rfc-editor.org/rfc/rfc7323#section-2.3
        //# If a Window Scale option is received with a shift.cnt value larger than 14, the TCP SHOULD log the error but
        //# MUST use 14 instead of the specified value.
        let scale = options.window_scale.filter(|_| self.scale.is_some()).map(|shift| shift.min(14));
        let timestamps = options.timestamps.filter(|_| self.timestamps);
        let sack_permitted = cfg!(feature = "sack") && options.sack_permitted && self.sack;
        let syn = Remembered { mss: options.mss, scale, sack_permitted };
        let tight = COOKIES && self.syns.is_tight(hash);
        let cookie = tight.then(|| self.cookies.make(&self.key, self.now, tuple, seg.seq, syn));
        // A cookie's number is not ours to choose: half of them lie before the predecessor's end.
        let cookie = cookie.filter(|cookie| isn.min.is_none_or(|min| cookie.at_or_after(min)));
        let entry = SynSlot {
            tuple: *tuple,
            iss: cookie.unwrap_or(isn.proposed),
            irs: seg.seq,
            ts_recent: timestamps.map_or(0, |stamps| stamps.val),
            // An MSS of 0 is as absurd as one of 1, and not as no option at all.
            mss: options.mss.map_or(0, |mss| mss.max(1)),
            window: seg.window,
            scale: scale.unwrap_or(NO_SCALE),
            has_timestamps: timestamps.is_some(),
            sack_permitted,
            // A cookie has no bit for it, and what the SYN|ACK agrees to must not be forgotten.
            has_ecn: self.ecn && is_offer(seg) && cookie.is_none(),
            is_cookie: cookie.is_some(),
            ..SynSlot::new()
        };
        match self.syns.claim(hash, &entry) {
            Claimed::Place { lost } => ListenVerdict::Queued { dropped: lost.then_some(DropReason::TcpSynQueueFull) },
            Claimed::Crowded if cookie.is_some() => {
                ListenVerdict::Stateless(SynAck { tuple: *tuple, header: self.syn_ack(self.now, &entry), index: None })
            }
            Claimed::Crowded | Claimed::NoMemory => ListenVerdict::Drop(DropReason::TcpSynQueueFull),
        }
    }

    /// RFC 9293 §3.10.7.4 in its order, as far as SYN-RECEIVED after a passive open goes.
    fn handle_in_syn_received(&mut self, index: u16, seg: &Segment<'_>) -> ListenVerdict {
        let Some(entry) = self.syns.get(index) else { return ListenVerdict::Drop(DropReason::TcpNoSocket) };
        let (nxt, flags) = (entry.irs + 1, seg.flags);
        if flags.contains(Flags::RST) {
            //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.4
            //# If this connection was initiated with a passive OPEN (i.e., came from the LISTEN state), then return this
            //# connection to LISTEN state and return. The user need not be informed.
            if seg.seq == nxt {
                self.syns.release(index);
                return ListenVerdict::Queued { dropped: None };
            }
            // RFC 5961 §3.2: in the window, but not exact: a challenge.
            let in_window = seg.seq.is_in(nxt, u32::from(self.window));
            return if in_window { self.answer(index, DropReason::TcpBadReset) } else { drop_bad_reset() };
        }
        if flags.contains(Flags::SYN) {
            self.syns.compare_offers(index, is_offer(seg));
            // The same SYN again, or one that RFC 5961 §4 has challenged: the SYN|ACK says the same in both cases.
            return self.answer(index, DropReason::TcpUnexpectedSyn);
        }
        if let (true, Some(stamps)) = (entry.has_timestamps, seg.options.timestamps)
            && Seq::new(stamps.val).before(Seq::new(entry.ts_recent))
        {
            return self.answer(index, DropReason::TcpPaws);
        }
        if !is_acceptable(seg, nxt, u32::from(self.window)) {
            return self.answer(index, DropReason::TcpOutOfWindow);
        }
        if !flags.contains(Flags::ACK) {
            return ListenVerdict::Drop(DropReason::TcpNoAck);
        }
        if seg.ack != entry.iss + 1 {
            //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.4
            //# If the segment acknowledgment is not acceptable, form a reset segment <SEQ=SEG.ACK><CTL=RST> and send it.
            return reset_for(seg);
        }
        if self.is_backlogged() {
            self.syns.acknowledged(index, self.now);
            return ListenVerdict::Drop(DropReason::TcpAcceptQueueFull);
        }
        self.handshake(index).map_or(ListenVerdict::Drop(DropReason::TcpNoSocket), ListenVerdict::Complete)
    }

    /// The peer is told, by our SYN|ACK, where we stand; not too often.
    fn answer(&mut self, index: u16, otherwise: DropReason) -> ListenVerdict {
        if self.syns.answer(index, self.now) {
            ListenVerdict::Queued { dropped: None }
        } else {
            ListenVerdict::Drop(otherwise)
        }
    }

    fn handshake(&self, index: u16) -> Option<Handshake> {
        let entry = self.syns.get(index)?;
        let peer_scale = Some(entry.scale).filter(|&scale| scale != NO_SCALE);
        let offset = || timestamp_offset(&self.isn_key, &entry.tuple);
        let timestamps =
            entry.has_timestamps.then(|| HandshakeTimestamps { recent: entry.ts_recent, offset: offset() });
        Some(Handshake {
            iss: entry.iss,
            irs: entry.irs,
            peer_mss: Some(entry.mss).filter(|&mss| mss > 0),
            peer_scale,
            our_scale: self.scale.filter(|_| peer_scale.is_some()),
            timestamps,
            sack_permitted: entry.sack_permitted,
            ecn: entry.has_ecn,
            snd_wnd: entry.window,
            rcv_wnd: self.window,
            sent_at: self.syns.sent_at(index, self.now),
            retransmitted: entry.is_repeated,
        })
    }

    /// An ACK for no handshake that we remember: perhaps the ACK of a cookie, else answered by a reset.
    fn check_cookie(&self, tuple: &Tuple, seg: &Segment<'_>) -> ListenVerdict {
        let (iss, irs) = (seg.ack - 1, seg.seq - 1);
        let syn = match seg.flags.contains(Flags::SYN) {
            true => None,
            false if !COOKIES => None,
            false => self.cookies.check(&self.key, self.now, tuple, irs, iss),
        };
        let Some(Remembered { mss, scale, sack_permitted }) = syn else {
            //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.2
            //# Any acknowledgment is bad if it arrives on a connection still in the LISTEN state. An acceptable reset
            //# segment should be formed for any arriving ACK-bearing segment.
            return reset_for(seg);
        };
        if self.is_backlogged() {
            return ListenVerdict::Drop(DropReason::TcpAcceptQueueFull);
        }
        // A segment carries timestamps exactly when the SYN and our SYN|ACK did.
        let timestamps = seg
            .options
            .timestamps
            .filter(|_| self.timestamps)
            .map(|stamps| HandshakeTimestamps { recent: stamps.val, offset: timestamp_offset(&self.isn_key, tuple) });
        ListenVerdict::Complete(Handshake {
            iss,
            irs,
            peer_mss: mss,
            peer_scale: scale,
            our_scale: self.scale.filter(|_| scale.is_some()),
            timestamps,
            sack_permitted,
            ecn: false,
            snd_wnd: seg.window,
            rcv_wnd: self.window,
            sent_at: self.now,
            retransmitted: true,
        })
    }

    /// The handshake of this 4-tuple is over: it has become a connection.
    pub fn remove(&mut self, tuple: &Tuple) {
        let hash = tuple.hash(&self.key);
        if let Some(index) = self.syns.find(hash, tuple) {
            self.syns.release(index);
        }
    }

    /// An address is not ours any more: handshakes with it are forgotten.
    pub fn on_address_gone(&mut self, addr: IpAddr) {
        self.syns.release_from(addr);
    }

    // SYN|ACKs.

    /// The SYN|ACK that is owed first, if any. Changes nothing.
    pub fn plan(&self, now: Instant) -> Option<SynAck> {
        let index = self.syns.owed()?;
        let entry = self.syns.get(index)?;
        Some(SynAck { tuple: entry.tuple, header: self.syn_ack(now, entry), index: Some(index) })
    }

    fn syn_ack(&self, now: Instant, entry: &SynSlot) -> Header {
        let tuple = entry.tuple;
        let timestamps = entry.has_timestamps.then(|| Timestamps {
            val: ts_clock(now).wrapping_add(timestamp_offset(&self.isn_key, &tuple)),
            ecr: entry.ts_recent,
        });
        //= https://www.rfc-editor.org/rfc/rfc7323#section-2.2
        //# This option MAY be sent in an initial <SYN> segment [...]. It MAY also be sent in a <SYN,ACK> segment, but
        //# only if a Window Scale option was received in the initial <SYN> segment.
        let window_scale = self.scale.filter(|_| entry.scale != NO_SCALE);
        let (mss, sack_permitted) = (self.max_segment, entry.sack_permitted);
        Header {
            src_port: tuple.local_port,
            dst_port: tuple.remote_port,
            seq: entry.iss,
            ack: entry.irs + 1,
            flags: syn_ack_flags(entry.has_ecn),
            window: self.window,
            urgent: 0,
            options: Options { mss, window_scale, sack_permitted, timestamps, ..Options::NONE },
        }
    }

    /// Whether [`plan`](Self::plan) would give something; cheap.
    pub fn owes(&self) -> bool {
        self.syns.owed().is_some()
    }

    /// A planned SYN|ACK has left.
    pub fn commit(&mut self, now: Instant, plan: &SynAck) {
        self.now = now;
        if let Some(index) = plan.index
            && self.syns.get(index).is_some_and(|entry| entry.tuple == plan.tuple)
        {
            self.syns.commit(index, now);
        }
    }

    /// Repeats what is to be repeated, and forgets what was repeated enough.
    pub fn on_deadline(&mut self, now: Instant) {
        self.now = now;
        self.syns.on_deadline(now);
    }

    /// When [`on_deadline`](Self::on_deadline) is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.syns.deadline(self.now)
    }

    // Connections to be accepted.

    /// Whether there is a connection to accept.
    pub const fn has_accepted(&self) -> bool {
        self.accept_len > 0
    }

    /// Queues a connection to be accepted; false when there is no room.
    pub fn accepted(&mut self, conn: u32) -> bool {
        if self.is_backlogged() {
            return false;
        }
        let end = self.cell(self.accept_len);
        let Some(slot) = self.syns.slots.get_mut(end) else { return false };
        slot.accepted = conn;
        self.accept_len += 1;
        true
    }

    /// Takes the connection that has waited longest.
    pub fn accept(&mut self) -> Option<u32> {
        if self.accept_len == 0 {
            return None;
        }
        let conn = self.syns.slots.get(self.cell(0))?.accepted;
        self.accept_head = self.cell(1) as u16;
        self.accept_len -= 1;
        Some(conn)
    }

    /// The connection is gone and is not to be accepted any more. Looks through the queue.
    pub fn forget(&mut self, conn: u32) {
        let at = |n| self.syns.slots.get(self.cell(n)).map(|slot| slot.accepted);
        let Some(found) = (0..self.accept_len).find(|&n| at(n) == Some(conn)) else { return };
        for n in found..self.accept_len - 1 {
            let (to, from) = (self.cell(n), self.cell(n + 1));
            let next = self.syns.slots.get(from).map_or(0, |slot| slot.accepted);
            if let Some(slot) = self.syns.slots.get_mut(to) {
                slot.accepted = next;
            }
        }
        self.accept_len -= 1;
    }

    const fn is_backlogged(&self) -> bool {
        self.accept_len >= self.backlog
    }

    /// Which place holds the `n`th connection to be accepted.
    fn cell(&self, n: u16) -> usize {
        let (at, count) = (usize::from(self.accept_head) + usize::from(n), usize::from(self.backlog));
        if at >= count { at - count } else { at }
    }
}

fn drop_bad_reset() -> ListenVerdict {
    ListenVerdict::Drop(DropReason::TcpBadReset)
}

fn reset_for(seg: &Segment<'_>) -> ListenVerdict {
    Reply::reset_for(seg).map_or_else(drop_bad_reset, ListenVerdict::Reset)
}

/// RFC 9293 §3.4, table 6: whether the segment overlaps the window.
fn is_acceptable(seg: &Segment<'_>, nxt: Seq, wnd: u32) -> bool {
    let (edge, len) = (nxt + wnd, seg.len());
    if len == 0 {
        return seg.seq.at_or_after(nxt) && seg.seq.at_or_before(edge);
    }
    seg.seq.before(edge) && (seg.seq + len).after(nxt)
}

#[cfg(test)]
mod tests;
