//! One TCP connection: its numbers, its buffers, how it begins and how it ends.
//!
//! Implements RFC 9293 without input or output: see the drawing in `tcp.rs`. The steps of §3.10.7 are in `input.rs`,
//! `open.rs` and `ack.rs`, sending is in `output.rs`, the calls of §3.9.1 in `user.rs`.
//!
//! # Contract
//!
//! - A connection that [`owes`](Conn::owes) something is given a turn: [`prepare`](Conn::prepare), then
//!   [`plan`](Conn::plan) and [`commit`](Conn::commit) until there is no plan, no room, or the quantum is used up.
//!   `plan` changes nothing; `commit` is called only once the frame exists.
//! - Before its first turn, a connection that [`needs_iss`](Conn::needs_iss) is given one.
//! - After every call that takes `&mut self`, `deadline` and `owes` may have changed. User calls take no time: clocks
//!   that they start begin with the next turn, so a call that may start one (`write`, `shutdown_write`, `close`) is
//!   followed by a turn even if nothing is owed.
//! - Every [`Verdict`] is looked at. Its [`Fate`] is told once; a connection whose fate was told stays readable.

use core::ops::ControlFlow;

use managed::ManagedSlice;

use super::cc::Controller;
use super::ecn::Ecn;
use super::info::{IcmpError, SoftError};
use super::isn::ts_clock;
#[cfg(feature = "syn-queue")]
use super::listen::Handshake;
use super::options::{Settings, TcpOptions, micros};
use super::rcv::{Rcv, syn_window, window_of, window_shift};
use super::rtt::Rtt;
use super::sack::Sack;
use super::sent::{SentLog, Slots, growing_slots};
use super::snd::{MSS_FLOOR, Snd};
use super::state::{Event, State};
use super::timers::{Timer, Timers};
use super::tuning::Tuning;
use super::urgent::Urgent;
use crate::assembler::{Assembler, Range};
use crate::error::TcpError;
use crate::event::Readiness;
use crate::grow::vector;
use crate::ring::Ring;
use crate::seq::Seq;
use crate::sockets::demux::Tuple;
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
pub(crate) use crate::wire::segment::Reply;

/// How long a reset may wait to leave before the connection is forgotten without it.
pub(super) const RESET_PATIENCE: Duration = Duration::from_secs(10);
/// Challenge ACKs per connection and second (RFC 5961 §7; the budget is not shared, so that it tells nobody anything).
const CHALLENGES: u8 = 10;
/// Answers to keep-alive probes per connection and second: two ends that disagree must not answer each other for ever.
const PROBE_ANSWERS: u8 = 10;
/// Ranges of out-of-order text that an owned store grows to: scattered octets must not cost more. A slow start that
/// overruns a queue loses each second segment: with fewer ranges than that makes, what arrives would have to be dropped.
const MOST_RANGES: u16 = 512;

/// What a connection stores its text in.
pub(crate) struct Buffers<'a> {
    pub rx: Ring<'a>,
    pub tx: Ring<'a>,
    /// Records of what is in flight; owned ones grow.
    pub sent: Slots<'a>,
    /// Ranges of text held out of order; owned ones grow.
    pub ranges: ManagedSlice<'a, Range>,
}

/// The memory of a connection's buffers, to be used again.
pub(crate) struct Storage<'a> {
    pub rx: ManagedSlice<'a, u8>,
    pub tx: ManagedSlice<'a, u8>,
    pub sent: Slots<'a>,
    pub ranges: ManagedSlice<'a, Range>,
}

impl Storage<'_> {
    /// Memory that grows as it is used, where it can.
    pub fn growing() -> Option<Self> {
        Some(Self { rx: vector()?, tx: vector()?, sent: growing_slots()?, ranges: vector()? })
    }
}

/// What is left of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on.
    #[default]
    Open,
    /// It rests in TIME-WAIT: [`Conn::time_wait`] has what the table needs.
    #[cfg(feature = "time-wait")]
    TimeWait,
    /// It is over; its four-tuple is free.
    Closed,
    /// It goes on, and has come to hold more text out of order: there may be too much of that in all. Only a segment's
    /// [`Verdict`] says so.
    #[cfg(feature = "tuning")]
    Holds,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub(crate) struct Verdict {
    /// Why the segment was not processed (further).
    pub drop: Option<DropReason>,
    /// What the user is to be told.
    pub events: Readiness,
    /// A reset to be sent, within the stack's rate.
    pub reset: Option<Reply>,
    pub fate: Fate,
}

/// Why the steps of a segment go no further.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stop {
    /// All is done that it asks for.
    Quietly,
    /// All is done, and its text is held out of order.
    #[cfg(feature = "tuning")]
    Held,
    /// It is not processed (further).
    Drop(DropReason),
    /// It acknowledges something never sent, before the connection is synchronized: `<SEQ=SEG.ACK><CTL=RST>`.
    Reset,
}

/// What a call changed for others: the part of a [`Verdict`] that every call may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub(crate) struct News {
    /// What the user is to be told.
    pub events: Readiness,
    pub fate: Fate,
}

/// The numbers that TIME-WAIT goes on with.
#[cfg(feature = "time-wait")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeWaitParams {
    pub tuple: Tuple,
    pub snd_nxt: Seq,
    pub rcv_nxt: Seq,
    /// The window as the header of an acknowledgment carries it.
    pub window: u16,
    /// Octets of the window.
    pub rcv_wnd: u32,
    /// TS.Recent and the offset of our TSval.
    pub timestamps: Option<(u32, u32)>,
}

/// The timestamps option (RFC 7323 §3 to §5).
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamps {
    /// TS.Recent.
    pub recent: u32,
    /// When `recent` was taken, in units of 2^20 microseconds; `u32::MAX`, which no clock reaches: there are none.
    pub recent_at: u32,
    /// What is added to our clock.
    pub offset: u32,
}

impl Stamps {
    const OFF: Self = Self { recent: 0, recent_at: u32::MAX, offset: 0 };

    /// Whether segments carry them.
    #[inline]
    pub const fn is_on(&self) -> bool {
        cfg!(feature = "timestamps") && self.recent_at != u32::MAX
    }

    /// The peer's TSval that is echoed from now on.
    #[inline]
    pub fn take(&mut self, recent: u32, now: Instant) {
        if cfg!(feature = "timestamps") {
            self.recent = recent;
            self.recent_at = coarse(now);
        }
    }
}

/// How often something was done in the current second (2^20 microseconds).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    second: u16,
    challenges: u8,
    probe_answers: u8,
}

/// About how many seconds are on the clock, by a shift.
pub(super) fn coarse(now: Instant) -> u32 {
    (now.as_micros() >> 20) as u32
}

/// One connection.
///
/// What is looked at most lies first, and octets before words: a small processor reaches only the first 32 octets, or
/// words, of a structure by short instructions.
#[cfg_attr(target_os = "none", repr(C))]
pub(crate) struct Conn<'a> {
    pub(super) state: State,
    pub(super) events: Readiness,
    pub(super) fate: Fate,
    pub(super) error: Option<TcpError>,
    pub(super) soft: Option<SoftError>,
    pub(super) retries: u8,
    pub(super) keep_probes: u8,
    pub(super) has_iss: bool,
    pub(super) offer_scale: bool,
    pub(super) offer_stamps: bool,
    pub(super) fin_queued: bool,
    pub(super) fin_sent: bool,
    pub(super) reset_owed: bool,
    /// What is queued is still delivered, but then comes a reset instead of a FIN.
    pub(super) reset_at_end: bool,
    pub(super) keep_due: bool,
    /// The user is gone.
    pub(super) orphan: bool,
    /// The fate was told.
    pub(super) over: bool,
    /// The send buffer was full: room in it is news.
    pub(super) wants_write: bool,
    /// Where it fills a gap.
    #[cfg(feature = "ecn")]
    pub(super) tuple: Tuple,
    pub(super) snd: Snd,
    pub(super) rcv: Rcv,
    pub(super) tx: Ring<'a>,
    pub(super) rx: Ring<'a>,
    pub(super) cc: Controller,
    pub(super) rtt: Rtt,
    pub(super) sent: SentLog<'a>,
    pub(super) holes: Assembler<'a>,
    pub(super) sack: Sack,
    pub(super) ecn: Ecn,
    pub(super) stamps: Stamps,
    pub(super) budget: Budget,
    pub(super) urgent: Urgent,
    pub(super) tuning: Tuning,
    pub(super) retransmits: u32,
    /// Since when the peer owes us an acknowledgment: R2 counts from here.
    pub(super) progress_at: Instant,
    pub(super) last_heard: Instant,
    pub(super) last_sent: Instant,
    pub(super) timers: Timers,
    pub(super) settings: Settings,
    #[cfg(not(feature = "ecn"))]
    pub(super) tuple: Tuple,
}

/// A connection on a 32-bit target costs at most so many octets, its rings, records and ranges counted apart (as they
/// are in storage: 92 octets of the structure are theirs).
#[cfg(target_pointer_width = "32")]
const _: () = {
    let is_small = cfg!(not(any(feature = "sack", feature = "cubic", feature = "ipv6")));
    let apart = 2 * size_of::<Ring<'_>>() + size_of::<SentLog<'_>>() + size_of::<Assembler<'_>>();
    assert!(size_of::<Conn<'_>>() - apart <= if is_small { 320 } else { 512 });
};

impl<'a> Conn<'a> {
    /// An active open: SYN-SENT, the SYN not sent yet.
    ///
    /// `mtu_mss`: octets of text that fit the interface's MTU without options.
    pub fn connect(tuple: Tuple, options: &TcpOptions, buffers: Buffers<'a>, mtu_mss: u16) -> Self {
        let settings = Settings::new(options, mtu_mss);
        let Buffers { rx, tx, sent, ranges } = buffers;
        Self {
            tuple,
            tuning: Tuning::new(options, &rx, &tx),
            snd: Snd::new(Seq::default(), settings.mss),
            rcv: Rcv::new(settings.mss),
            rx,
            tx,
            holes: Assembler::new(ranges, MOST_RANGES),
            sent: SentLog::new(sent),
            timers: Timers::OFF,
            rtt: Rtt::new(micros(options.rto_initial), &settings),
            cc: Controller::new(options.congestion, u32::from(settings.mss)),
            sack: Sack::new(options.sack, options.rack),
            ecn: Ecn::new(options),
            settings,
            stamps: Stamps::OFF,
            budget: Budget::default(),
            urgent: Urgent::default(),
            progress_at: Instant::ZERO,
            last_heard: Instant::ZERO,
            last_sent: Instant::ZERO,
            retransmits: 0,
            retries: 0,
            state: State::SynSent,
            fate: Fate::Open,
            events: Readiness::NONE,
            error: None,
            soft: None,
            keep_probes: 0,
            has_iss: false,
            offer_scale: options.window_scale,
            offer_stamps: options.timestamps,
            fin_queued: false,
            fin_sent: false,
            reset_owed: false,
            reset_at_end: false,
            keep_due: false,
            orphan: false,
            over: false,
            wants_write: false,
        }
    }

    /// A passive open whose handshake the listener led: SYN-RECEIVED, the SYN|ACK sent.
    ///
    /// The segment that acknowledged it is to be given to [`handle_segment`](Self::handle_segment) next.
    #[cfg(feature = "syn-queue")]
    pub fn accepted(
        tuple: Tuple,
        options: &TcpOptions,
        buffers: Buffers<'a>,
        mtu_mss: u16,
        handshake: &Handshake,
        now: Instant,
    ) -> Self {
        let mut conn = Self::connect(tuple, options, buffers, mtu_mss);
        conn.start(handshake.iss, handshake.timestamps.map_or(0, |t| t.offset), now);
        conn.state = State::SynReceived;
        conn.snd.nxt = handshake.iss + 1;
        conn.snd.resend = conn.snd.nxt;
        if let Some(stamps) = handshake.timestamps {
            conn.stamps.take(stamps.recent, now);
        }
        conn.rcv.on_syn(handshake.irs, handshake.rcv_wnd);
        if let (Some(theirs), Some(ours)) = (handshake.peer_scale, handshake.our_scale) {
            conn.snd.shift = theirs.min(14);
            conn.rcv.shift = ours.min(14);
            conn.snd.scaling = true;
        }
        conn.agree_on_sack(handshake.sack_permitted, handshake.irs);
        if handshake.ecn {
            conn.ecn.agree();
        }
        conn.set_peer_mss(handshake.peer_mss);
        conn.snd.set_window(handshake.irs, handshake.iss, u32::from(handshake.snd_wnd));
        conn.rtt.lost_syn = handshake.retransmitted;
        if !handshake.retransmitted {
            conn.sent.push(conn.snd.una, conn.snd.nxt, handshake.sent_at);
        }
        conn.arm(now);
        conn
    }

    /// Whether [`start`](Self::start) is still to be called.
    pub fn needs_iss(&self) -> bool {
        !self.has_iss && self.state != State::Closed
    }

    /// Gives the connection its initial sequence number and what its timestamps add to the clock (see `isn.rs`).
    pub fn start(&mut self, iss: Seq, timestamp_offset: u32, now: Instant) {
        self.snd.set_iss(iss);
        self.has_iss = true;
        self.stamps.offset = timestamp_offset;
        self.progress_at = now;
        self.last_heard = now;
        self.last_sent = now;
    }

    /// Begins a turn: starts the clocks for what the user did since the last one.
    pub fn prepare(&mut self, now: Instant) {
        if self.timers.life.is_off() && !self.over {
            if self.reset_owed {
                self.timers.life = Timer::after(now, RESET_PATIENCE);
            } else if self.orphan {
                self.start_linger(now);
            }
        }
        let rto = self.rtt.rto(&self.settings);
        if self.snd.is_idle() && now.since(self.last_sent) > rto {
            self.cc.on_idle(u32::from(self.snd.mss));
        }
        self.arm(now);
    }

    /// An ICMP error that quotes the segment with this sequence number (RFC 5927 §4, §5; RFC 1122 §4.2.3.9).
    pub fn on_icmp_error(&mut self, kind: IcmpError, quoted_seq: Seq) -> Verdict {
        //= https://www.rfc-editor.org/rfc/rfc5927#section-4.1
        //# TCP SHOULD check that the TCP sequence number contained in the payload of the ICMP error message is within
        //# the range SND.UNA =< SEG.SEQ < SND.NXT.
        if !self.is_in_flight(quoted_seq) {
            return Verdict { drop: Some(DropReason::IcmpBadSequence), ..Verdict::default() };
        }
        let hard = matches!(kind, IcmpError::PortUnreachable | IcmpError::ProtocolUnreachable);
        if hard && self.state == State::SynSent {
            self.close_with(Some(TcpError::Refused));
        } else {
            // RFC 5927 §5.2: in synchronized states even "hard" errors are soft.
            self.soft = Some(SoftError::Unreachable);
            self.events |= Readiness::ERROR;
        }
        self.take_verdict()
    }

    /// Whether the octet with this sequence number is sent and not acknowledged (RFC 5927 §4.1).
    pub fn is_in_flight(&self, seq: Seq) -> bool {
        self.state != State::Closed && seq.is_in(self.snd.una, self.snd.outstanding())
    }

    /// The path's MTU leaves `mss` octets for text without options; what is in flight and larger is sent again.
    pub fn on_mtu(&mut self, mss: u16) -> Verdict {
        let old = self.snd.mss;
        self.settings.mss = mss.max(MSS_FLOOR);
        self.update_mss();
        self.cc.on_mss(u32::from(self.snd.mss));
        if self.snd.mss < old && self.snd.syn_is_acked() && self.snd.outstanding() > u32::from(self.snd.mss) {
            self.take_all_for_lost();
        }
        self.take_verdict()
    }

    /// The local address was taken away: the connection ends without a word, since it has no address to say it from.
    pub fn on_address_gone(&mut self) -> Verdict {
        if !self.over {
            self.reset_owed = false;
            self.close_with(Some(TcpError::AddressGone));
        }
        self.take_verdict()
    }

    /// The numbers for the TIME-WAIT table.
    #[cfg(feature = "time-wait")]
    pub fn time_wait(&self) -> TimeWaitParams {
        TimeWaitParams {
            tuple: self.tuple,
            snd_nxt: self.snd.nxt,
            rcv_nxt: self.rcv.nxt,
            window: self.rcv.field(self.rcv.kept(self.rx.free() as u32)),
            rcv_wnd: self.rcv.wnd(),
            timestamps: self.stamps.is_on().then_some((self.stamps.recent, self.stamps.offset)),
        }
    }

    /// The buffers, to be used again.
    pub fn into_storage(self) -> Storage<'a> {
        Storage {
            rx: self.rx.into_storage(),
            tx: self.tx.into_storage(),
            sent: self.sent.into_storage(),
            ranges: self.holes.into_storage(),
        }
    }

    /// Moves along the diagram. An arrow that does not exist is none of the callers' doing.
    pub(super) fn enter(&mut self, event: Event) {
        debug_assert!(self.state.on(event).is_some(), "{:?} in {:?}", event, self.state);
        if let Some(next) = self.state.on(event) {
            self.state = next;
        }
    }

    /// Ends the connection at once.
    #[cold]
    #[inline(never)]
    pub(super) fn close_with(&mut self, error: Option<TcpError>) {
        self.end(error);
        self.fate = Fate::Closed;
    }

    /// Ends the connection; the peer is to be told by a reset, which the connection stays for.
    #[cold]
    #[inline(never)]
    pub(super) fn abort_with(&mut self, error: Option<TcpError>) {
        self.end(error);
        self.reset_owed = true;
    }

    #[inline(never)]
    fn end(&mut self, error: Option<TcpError>) {
        if self.state != State::Closed {
            self.enter(Event::End);
        }
        self.error = self.error.or(error);
        self.timers = Timers::OFF;
        self.events |= Readiness::CLOSED | Readiness::READ | Readiness::WRITE;
    }

    /// The MSS option of the peer's SYN.
    pub(super) fn set_peer_mss(&mut self, option: Option<u16>) {
        //= https://www.rfc-editor.org/rfc/rfc9293#section-3.7.1
        //# If an MSS Option is not received at connection setup, TCP implementations MUST assume a default send MSS
        //# of 536 (576 - 40) for IPv4 or 1220 (1280 - 60) for IPv6 (MUST-15).
        let default = if self.tuple.remote_addr.is_ipv4() { 536 } else { 1220 };
        self.snd.peer_mss = option.unwrap_or(default).max(MSS_FLOOR);
        self.update_mss();
    }

    fn update_mss(&mut self) {
        let options = if self.stamps.is_on() { 12 } else { 0 };
        self.snd.mss = self.snd.peer_mss.min(self.settings.mss) - options;
    }

    /// What our SYN offers, or offered, as window and scale.
    pub(super) fn syn_offer(&self) -> (u16, u8) {
        let capacity = self.rx.capacity();
        (syn_window(window_of(capacity)), window_shift(window_of(self.tuning.most_capacity(capacity))))
    }

    /// Our TSval now.
    pub(super) fn stamp(&self, now: Instant) -> u32 {
        ts_clock(now).wrapping_add(self.stamps.offset)
    }

    /// Owes a challenge ACK, unless this second's are used up (RFC 5961 §7).
    #[cold]
    #[inline(never)]
    pub(super) fn challenge(&mut self, now: Instant) {
        self.refill(now);
        if self.budget.challenges < CHALLENGES {
            self.budget.challenges += 1;
            self.rcv.challenge = true;
        }
    }

    /// Owes the answer to a keep-alive probe.
    pub(super) fn answer_probe(&mut self, now: Instant) {
        self.refill(now);
        if self.budget.probe_answers < PROBE_ANSWERS {
            self.budget.probe_answers += 1;
            self.rcv.ack_now = true;
        }
    }

    fn refill(&mut self, now: Instant) {
        let second = coarse(now) as u16;
        if self.budget.second != second {
            self.budget = Budget { second, ..Budget::default() };
        }
    }

    /// The end of every call that time passes in: timers, and what the call came to.
    pub(super) fn finish(&mut self, now: Instant) -> Verdict {
        self.arm(now);
        self.take_verdict()
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn take_verdict(&mut self) -> Verdict {
        let News { events, fate } = self.take_news();
        Verdict { events, fate, ..Verdict::default() }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(super) fn take_news(&mut self) -> News {
        let mut news = News { events: self.events, fate: Fate::Open };
        self.events = Readiness::NONE;
        #[cfg(feature = "time-wait")]
        if self.state == State::TimeWait && !self.owes_any_ack() {
            self.fate = Fate::TimeWait;
        }
        if self.fate != Fate::Open && !self.over {
            self.over = true;
            self.timers = Timers::OFF;
            news.fate = self.fate;
        }
        news
    }
}

impl Stop {
    pub(super) const fn drop<T>(reason: DropReason) -> ControlFlow<Self, T> {
        ControlFlow::Break(Self::Drop(reason))
    }
}
