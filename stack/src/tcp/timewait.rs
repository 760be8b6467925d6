//! TIME-WAIT: what is left of a connection that we closed first, so that its stragglers meet an answer.
//!
//! Implements RFC 9293 §3.6.1 and the TIME-WAIT parts of §3.10.7.4, RFC 1337 §3 (resets are ignored) and RFC 6191 §2 (a
//! new connection may follow early).
//!
//! An entry has no buffers, only the numbers that answers are made of. Entries are chained in the order in which they
//! end; a full table gives up the one nearest its end.

use crate::family::IpAddr;
use crate::grow::{grow, most};
use crate::seq::Seq;
use crate::sockets::demux::Tuple;
use crate::stats::DropReason;
use crate::tcp::conn::TimeWaitParams;
use crate::tcp::isn::ts_clock;
use crate::time::{Duration, Instant};
use crate::wire::segment::{Flags, Reply, Segment, Timestamps};
use core::net::Ipv4Addr;
use managed::ManagedSlice;

const NONE: u32 = u32::MAX;

/// Acknowledgments of what is out of place, per entry: one in so many microseconds, so that two ends that disagree do
/// not answer each other at line rate (RFC 5961 §7).
const ACK_SPACING: u32 = 100_000;

/// How long a connection rests before we open it again ourselves: time stamps have moved on by then.
const FOLLOWED_AFTER: Duration = Duration::from_secs(1);

/// What to do with a segment.
#[derive(Clone, Debug)]
pub(crate) enum TwVerdict {
    /// Nothing.
    Drop(DropReason),
    /// Send this acknowledgment. The deadline of the table may have changed.
    Ack(Reply),
    /// A SYN that may begin a new connection, whose initial sequence number is to be `min_isn` or later: remove the
    /// entry and give the SYN to the listener, if there is one.
    Reopen { min_isn: Seq },
}

/// One place of the table's storage.
#[derive(Clone, Debug)]
pub(crate) struct TimeWaitSlot {
    tuple: Tuple,
    hash: u32,
    snd_nxt: Seq,
    rcv_nxt: Seq,
    rcv_wnd: u32,
    ts_recent: u32,
    ts_offset: u32,
    window: u16,
    has_timestamps: bool,
    used: bool,
    /// When the latest acknowledgment left: low bits of the microseconds.
    acked_at: u32,
    next: u32,
    prev: u32,
    expires: Instant,
}

impl TimeWaitSlot {
    /// A free place, all zeros: a `static` table lies in `.bss`.
    pub const fn new() -> Self {
        const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            tuple: Tuple { local_addr: NOBODY, remote_addr: NOBODY, local_port: 0, remote_port: 0 },
            hash: 0,
            snd_nxt: Seq::new(0),
            rcv_nxt: Seq::new(0),
            rcv_wnd: 0,
            ts_recent: 0,
            ts_offset: 0,
            window: 0,
            has_timestamps: false,
            used: false,
            acked_at: 0,
            next: 0,
            prev: 0,
            expires: Instant::ZERO,
        }
    }

    /// RFC 6191 §2: whether this SYN cannot be an old one.
    fn may_reopen(&self, syn: &Segment<'_>) -> bool {
        let later = syn.seq.at_or_after(self.rcv_nxt);
        match (self.has_timestamps, syn.options.timestamps) {
            (true, Some(stamps)) => {
                let newer = Seq::new(stamps.val).after(Seq::new(self.ts_recent));
                newer || stamps.val == self.ts_recent && later
            }
            (false, Some(_)) => true,
            (_, None) => later,
        }
    }

    /// RFC 9293 §3.4, table 6: whether the segment overlaps the window.
    fn is_acceptable(&self, seg: &Segment<'_>) -> bool {
        let (edge, len) = (self.rcv_nxt + self.rcv_wnd, seg.len());
        if len == 0 {
            return seg.seq.at_or_after(self.rcv_nxt) && seg.seq.at_or_before(edge);
        }
        seg.seq.before(edge) && (seg.seq + len).after(self.rcv_nxt)
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn ack(&self, now: Instant) -> Reply {
        let val = ts_clock(now).wrapping_add(self.ts_offset);
        let timestamps = self.has_timestamps.then_some(Timestamps { val, ecr: self.ts_recent });
        Reply { seq: self.snd_nxt, ack: self.rcv_nxt, flags: Flags::ACK, window: self.window, timestamps }
    }
}

/// All connections in TIME-WAIT.
pub(crate) struct TimeWaitTable<'a> {
    slots: ManagedSlice<'a, TimeWaitSlot>,
    limit: u32,
    len: u32,
    fresh: u32,
    free: u32,
    /// The entry that ends first.
    head: u32,
    tail: u32,
    span: Duration,
}

impl<'a> TimeWaitTable<'a> {
    /// An empty table over free places, of which an owned table makes at most `limit`.
    pub fn new(slots: ManagedSlice<'a, TimeWaitSlot>, limit: usize) -> Self {
        let limit = most(&slots, limit.min(1 << 30)) as u32;
        Self { slots, limit, len: 0, fresh: 0, free: NONE, head: NONE, tail: NONE, span: Duration::ZERO }
    }

    /// Takes a connection in for `span`, 2 MSL, which is the same for all. Returns its place (`None`: the table has no
    /// places at all), and the hash and place of the entry that had to make room for it.
    pub fn insert(
        &mut self,
        params: &TimeWaitParams,
        hash: u32,
        now: Instant,
        span: Duration,
    ) -> (Option<u32>, Option<(u32, u32)>) {
        self.span = span;
        let (place, evicted) = match self.take_free() {
            Some(place) => (place, None),
            None => {
                //= https://www.rfc-editor.org/rfc/rfc9293#section-3.6.1
                //# When a connection is closed actively, it MUST linger in the TIME-WAIT state for a time 2xMSL
                //# (Maximum Segment Lifetime) (MUST-13).
                //= type=exception
                //= reason=A full table must not refuse the next connection: the entry nearest its end goes, counted.
                let oldest = self.head;
                let Some(old_hash) = self.slots.get(oldest as usize).map(|slot| slot.hash) else {
                    return (None, None);
                };
                self.remove(oldest);
                match self.take_free() {
                    Some(place) => (place, Some((old_hash, oldest))),
                    None => return (None, Some((old_hash, oldest))),
                }
            }
        };
        let &TimeWaitParams { tuple, snd_nxt, rcv_nxt, window, rcv_wnd, timestamps } = params;
        let (ts_recent, ts_offset) = timestamps.unwrap_or_default();
        if let Some(slot) = self.slots.get_mut(place as usize) {
            *slot = TimeWaitSlot {
                tuple,
                hash,
                snd_nxt,
                rcv_nxt,
                rcv_wnd,
                ts_recent,
                ts_offset,
                window,
                has_timestamps: timestamps.is_some(),
                used: true,
                acked_at: (now.as_micros() as u32).wrapping_sub(ACK_SPACING),
                ..TimeWaitSlot::new()
            };
        }
        self.len += 1;
        self.append(place, now);
        (Some(place), evicted)
    }

    /// A segment for the connection at this place.
    pub fn handle_segment(&mut self, now: Instant, index: u32, seg: &Segment<'_>) -> TwVerdict {
        let Some(entry) = self.entry(index) else { return TwVerdict::Drop(DropReason::TcpNoSocket) };
        // RFC 1337 §3, fix (F1): a reset does not end TIME-WAIT, or an old duplicate could.
        if seg.flags.contains(Flags::RST) {
            return TwVerdict::Drop(DropReason::TcpBadReset);
        }
        if seg.flags.contains(Flags::SYN) {
            let only_syn = !seg.flags.intersects(Flags::ACK | Flags::FIN);
            if only_syn && entry.may_reopen(seg) {
                //= https://www.rfc-editor.org/rfc/rfc9293#section-3.6.1
                //# (1) assigns its initial sequence number for the new connection to be larger than the largest
                //# sequence number it used on the previous connection incarnation
                return TwVerdict::Reopen { min_isn: entry.snd_nxt + 1 };
            }
            return self.challenge(now, index, DropReason::TcpUnexpectedSyn);
        }
        if let (true, Some(stamps)) = (entry.has_timestamps, seg.options.timestamps)
            && Seq::new(stamps.val).before(Seq::new(entry.ts_recent))
        {
            return self.challenge(now, index, DropReason::TcpPaws);
        }
        //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.4
        //# The only thing that can arrive in this state is a retransmission of the remote FIN. Acknowledge it, and
        //# restart the 2 MSL timeout.
        if seg.flags.contains(Flags::FIN) && seg.seq + seg.len() == entry.rcv_nxt {
            let ack = entry.ack(now);
            self.unchain(index);
            self.append(index, now);
            return TwVerdict::Ack(ack);
        }
        if !entry.is_acceptable(seg) {
            return self.challenge(now, index, DropReason::TcpOutOfWindow);
        }
        if !seg.flags.contains(Flags::ACK) {
            return TwVerdict::Drop(DropReason::TcpNoAck);
        }
        // RFC 5961 §5.2: an acknowledgment of what was never sent.
        if seg.ack.after(entry.snd_nxt) {
            return self.challenge(now, index, DropReason::TcpBadAck);
        }
        TwVerdict::Drop(DropReason::TcpAfterClose)
    }

    /// Takes out an entry whose time is over: its hash and place.
    pub fn pop_expired(&mut self, now: Instant) -> Option<(u32, u32)> {
        let index = self.head;
        let entry = self.entry(index).filter(|entry| entry.expires <= now)?;
        let hash = entry.hash;
        self.remove(index);
        Some((hash, index))
    }

    /// Whether we may open a connection of the entry's 4-tuple now, which would begin at `isn` and have time stamps: a straggler
    /// of the old one is then refused by its time stamp (RFC 7323 §5), which is older by a second at least, and by its
    /// number, which is older, too. The reasons are those of RFC 6191 §2, where the peer opens; as Linux.
    pub fn may_be_followed(&self, index: u32, now: Instant, isn: Seq) -> bool {
        self.entry(index).is_some_and(|entry| {
            let has_rested = entry.expires.since(now) + FOLLOWED_AFTER <= self.span;
            entry.has_timestamps && has_rested && isn.after(entry.snd_nxt)
        })
    }

    /// Takes an entry out before its time.
    pub fn remove(&mut self, index: u32) {
        if self.entry(index).is_none() {
            return;
        }
        self.unchain(index);
        let next = self.free;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            (slot.used, slot.next) = (false, next);
        }
        self.free = index;
        self.len -= 1;
    }

    /// When the next entry ends.
    pub fn deadline(&self) -> Option<Instant> {
        self.entry(self.head).map(|entry| entry.expires)
    }

    /// The 4-tuple of the entry at this place.
    #[inline]
    pub fn tuple(&self, index: u32) -> Option<Tuple> {
        self.entry(index).map(|entry| entry.tuple)
    }

    /// How many connections are in TIME-WAIT.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    fn entry(&self, index: u32) -> Option<&TimeWaitSlot> {
        self.slots.get(index as usize).filter(|slot| slot.used)
    }

    /// An acknowledgment of what is out of place, unless one has just left.
    fn challenge(&mut self, now: Instant, index: u32, reason: DropReason) -> TwVerdict {
        let Some(entry) = self.slots.get_mut(index as usize) else { return TwVerdict::Drop(reason) };
        let micros = now.as_micros() as u32;
        if micros.wrapping_sub(entry.acked_at) < ACK_SPACING {
            return TwVerdict::Drop(reason);
        }
        entry.acked_at = micros;
        TwVerdict::Ack(entry.ack(now))
    }

    fn take_free(&mut self) -> Option<u32> {
        if let Some(slot) = self.slots.get(self.free as usize) {
            return Some(core::mem::replace(&mut self.free, slot.next));
        }
        let (index, limit) = (self.fresh, self.limit as usize);
        if index >= self.limit || !grow(&mut self.slots, index as usize + 1, 4, limit, TimeWaitSlot::new) {
            return None;
        }
        self.fresh += 1;
        Some(index)
    }

    /// Chains an entry at the end: it stays 2 MSL from now on. On a clock that stepped back, those before it go first.
    fn append(&mut self, index: u32, now: Instant) {
        let last = self.tail;
        let expires = now + self.span;
        match self.slots.get_mut(last as usize) {
            Some(slot) => slot.next = index,
            None => self.head = index,
        }
        if let Some(slot) = self.slots.get_mut(index as usize) {
            (slot.prev, slot.next, slot.expires) = (last, NONE, expires);
        }
        self.tail = index;
    }

    fn unchain(&mut self, index: u32) {
        let Some(&TimeWaitSlot { next, prev, .. }) = self.slots.get(index as usize) else { return };
        match self.slots.get_mut(prev as usize) {
            Some(slot) => slot.next = next,
            None => self.head = next,
        }
        match self.slots.get_mut(next as usize) {
            Some(slot) => slot.prev = prev,
            None => self.tail = prev,
        }
    }
}

#[cfg(test)]
mod tests;
