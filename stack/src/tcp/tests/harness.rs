//! One connection against a script: the test is the peer, segment by segment.

extern crate std;

use core::net::Ipv4Addr;
use managed::ManagedSlice;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use crate::device::SegmentSize;
use crate::error::TcpError;
use crate::event::Readiness;
use crate::ring::Ring;
use crate::seq::Seq;
use crate::sockets::demux::Tuple;
use crate::stats::DropReason;
use crate::tcp::conn::{Buffers, Conn, Fate, News, Reply, Verdict};
#[cfg(feature = "syn-queue")]
use crate::tcp::listen::Handshake;
use crate::tcp::options::TcpOptions;
use crate::tcp::output::{Plan, Why};
use crate::tcp::rcv::room_for;
use crate::tcp::sent::Slots;
use crate::tcp::state::State;
use crate::time::{Duration, Instant};
use crate::wire::segment::{Flags, Options, Segment, Timestamps};

pub const ACK: Flags = Flags::ACK;
pub const SYN: Flags = Flags::SYN;
pub const FIN: Flags = Flags::FIN;
pub const RST: Flags = Flags::RST;
pub const PSH: Flags = Flags::PSH;
pub const URG: Flags = Flags::URG;

/// Our initial sequence number, and the peer's.
pub const ISS: u32 = 1_000;
pub const IRS: u32 = 5_000;
/// Our first octet, and the peer's.
pub const U: u32 = ISS + 1;
pub const R: u32 = IRS + 1;
pub const MSS: u16 = 1460;

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// No timestamps, no scaling: numbers that are easy to check.
pub fn plain() -> TcpOptions {
    TcpOptions { timestamps: false, window_scale: false, nagle: false, ecn: false, ..TcpOptions::default() }
}

pub fn tuple() -> Tuple {
    Tuple {
        local_addr: Ipv4Addr::new(192, 0, 2, 1).into(),
        remote_addr: Ipv4Addr::new(192, 0, 2, 2).into(),
        local_port: 7,
        remote_port: 40_000,
    }
}

#[cfg(any(feature = "sack", feature = "cubic"))]
fn records() -> Slots<'static> {
    memory(crate::tcp::sent::Sent::default(), 64)
}

#[cfg(not(any(feature = "sack", feature = "cubic")))]
const fn records() -> Slots<'static> {
    core::marker::PhantomData
}

fn memory<T: Clone>(value: T, n: usize) -> ManagedSlice<'static, T> {
    ManagedSlice::Borrowed(Box::leak(vec![value; n].into_boxed_slice()))
}

pub fn buffers(options: &TcpOptions) -> Buffers<'static> {
    Buffers {
        rx: Ring::new(memory(0, room_for(options.rx_buffer)), usize::MAX),
        tx: Ring::new(memory(0, options.tx_buffer), options.tx_buffer),
        sent: records(),
        ranges: memory((0, 0), 8),
    }
}

/// A segment that left.
#[derive(Clone, Debug)]
pub struct Out {
    pub seq: u32,
    pub ack: u32,
    pub flags: Flags,
    pub window: u16,
    pub urgent: u16,
    pub options: Options,
    pub payload: Vec<u8>,
    pub why: Why,
    /// The ECN codepoint of its packet.
    #[cfg(feature = "ecn")]
    pub ect: u8,
}

impl Out {
    /// As the other end receives it.
    pub fn as_segment(&self) -> Segment<'_> {
        Segment {
            src_port: 7,
            dst_port: 40_000,
            seq: Seq::new(self.seq),
            ack: Seq::new(self.ack),
            flags: self.flags,
            window: self.window,
            urgent: self.urgent,
            #[cfg(feature = "ecn")]
            is_ce: false,
            options: self.options.clone(),
            size: SegmentSize::default(),
            payload: &self.payload,
        }
    }

    pub fn is_bare_ack(&self) -> bool {
        self.flags == ACK && self.payload.is_empty()
    }
}

/// A segment from the scripted peer.
pub fn seg(seq: u32, ack: u32, flags: Flags) -> Segment<'static> {
    text(seq, ack, flags, &[])
}

pub fn text(seq: u32, ack: u32, flags: Flags, payload: &[u8]) -> Segment<'_> {
    Segment {
        src_port: 40_000,
        dst_port: 7,
        seq: Seq::new(seq),
        ack: Seq::new(ack),
        flags,
        window: 60_000,
        urgent: 0,
        #[cfg(feature = "ecn")]
        is_ce: false,
        options: Options::NONE,
        size: SegmentSize::default(),
        payload,
    }
}

pub fn with_window(segment: Segment<'_>, window: u16) -> Segment<'_> {
    Segment { window, ..segment }
}

pub fn with_stamps(segment: Segment<'_>, val: u32, ecr: u32) -> Segment<'_> {
    let options = Options { timestamps: Some(Timestamps { val, ecr }), ..Options::NONE };
    Segment { options, ..segment }
}

/// A connection, its clock, and what it said so far.
pub struct Host {
    pub conn: Conn<'static>,
    pub now: Instant,
    pub events: Readiness,
    pub fate: Fate,
    pub iss: u32,
}

impl Host {
    pub fn new(conn: Conn<'static>) -> Self {
        Self { conn, now: Instant::from_secs(100), events: Readiness::NONE, fate: Fate::Open, iss: ISS }
    }

    pub fn connecting(options: &TcpOptions) -> Self {
        Self::new(Conn::connect(tuple(), options, buffers(options), MSS))
    }

    /// ESTABLISHED, opened by the peer, nothing owed.
    #[cfg(not(feature = "syn-queue"))]
    pub fn established_with(options: &TcpOptions) -> Self {
        let mut host = Self::connecting(options);
        host.prepare();
        let offer = Options { mss: Some(MSS), ..Options::NONE };
        host.accept(&Segment { options: offer, ..seg(IRS, 0, SYN) });
        assert_eq!(host.conn.state(), State::SynReceived);
        let out = host.only();
        assert_eq!((out.seq, out.ack, out.flags), (ISS, R, SYN | ACK));
        host.accept(&seg(R, U, ACK));
        assert_eq!(host.conn.state(), State::Established);
        assert!(host.out().is_empty());
        host
    }

    /// ESTABLISHED, opened by the peer, nothing owed.
    #[cfg(feature = "syn-queue")]
    pub fn established_with(options: &TcpOptions) -> Self {
        let now = Instant::from_secs(100);
        let handshake = Handshake {
            iss: Seq::new(ISS),
            irs: Seq::new(IRS),
            peer_mss: Some(MSS),
            peer_scale: None,
            our_scale: None,
            timestamps: None,
            sack_permitted: false,
            ecn: false,
            snd_wnd: 60_000,
            rcv_wnd: options.rx_buffer.min(65_535) as u16,
            sent_at: now,
            retransmitted: false,
        };
        let mut host = Self::new(Conn::accepted(tuple(), options, buffers(options), MSS, &handshake, now));
        host.accept(&seg(R, U, ACK));
        assert_eq!(host.conn.state(), State::Established);
        assert!(host.out().is_empty());
        host
    }

    pub fn established() -> Self {
        Self::established_with(&plain())
    }

    /// With timestamps; the peer's TSval is 1000 so far.
    pub fn stamped() -> Self {
        let options = TcpOptions { timestamps: true, ..plain() };
        let mut host = Self::connecting(&options);
        let syn = host.only();
        let stamps = syn.options.timestamps.expect("offered");
        host.accept(&with_stamps(seg(IRS, U, SYN | ACK), 1000, stamps.val));
        assert_eq!(host.out().len(), 1);
        host
    }

    pub fn note(&mut self, verdict: Verdict) -> Verdict {
        self.events |= verdict.events;
        if verdict.fate != Fate::Open {
            assert_eq!(self.fate, Fate::Open, "a fate is told once");
            self.fate = verdict.fate;
        }
        verdict
    }

    pub fn give(&mut self, segment: &Segment<'_>) -> Verdict {
        let verdict = self.conn.handle_segment(self.now, segment);
        self.note(verdict)
    }

    /// A segment that must not be dropped.
    pub fn accept(&mut self, segment: &Segment<'_>) {
        assert_eq!(self.give(segment).drop, None);
    }

    pub fn refuse(&mut self, segment: &Segment<'_>, reason: DropReason) -> Option<Reply> {
        let verdict = self.give(segment);
        assert_eq!(verdict.drop, Some(reason));
        verdict.reset
    }

    pub fn prepare(&mut self) {
        if self.conn.needs_iss() {
            self.conn.start(Seq::new(self.iss), 77, self.now);
        }
        self.conn.prepare(self.now);
    }

    fn emit(&self, plan: &Plan) -> Out {
        let header = self.conn.header(plan, self.now);
        let mut payload = vec![0; plan.len as usize];
        if plan.len > 0 {
            let _ = self.conn.copy_text(plan, &mut payload);
        }
        assert_eq!(header.len() % 4, 0);
        Out {
            seq: header.seq.value(),
            ack: if header.flags.contains(ACK) { header.ack.value() } else { 0 },
            flags: header.flags,
            window: header.window,
            urgent: header.urgent,
            options: header.options,
            payload,
            why: plan.why,
            #[cfg(feature = "ecn")]
            ect: self.conn.tos(plan) & 0b11,
        }
    }

    /// One turn: everything that is owed.
    pub fn out(&mut self) -> Vec<Out> {
        self.out_by(1)
    }

    pub fn out_by(&mut self, segments: u32) -> Vec<Out> {
        self.prepare();
        let mut sent = Vec::new();
        while let Some(plan) = self.conn.plan(self.now, segments) {
            assert!(self.conn.owes(self.now));
            sent.push(self.emit(&plan));
            let News { events, fate } = self.conn.commit(self.now, &plan);
            self.note(Verdict { events, fate, ..Verdict::default() });
            assert!(sent.len() < 100_000, "a connection that never has enough");
        }
        assert!(!self.conn.owes(self.now));
        sent
    }

    /// The one segment of a turn.
    pub fn only(&mut self) -> Out {
        let mut sent = self.out();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    /// The turn must be one acknowledgment without text.
    pub fn acks(&mut self, seq: u32, ack: u32) {
        let out = self.only();
        assert!(out.is_bare_ack(), "{out:?}");
        assert_eq!((out.seq, out.ack), (seq, ack));
    }

    pub fn silent(&mut self) {
        let sent = self.out();
        assert!(sent.is_empty(), "{sent:?}");
    }

    /// Lets time pass up to the next deadline, which must come, and takes it.
    pub fn wait(&mut self) -> Duration {
        let at = self.conn.deadline().expect("a timer runs");
        let waited = at.since(self.now);
        self.now = at.max(self.now);
        let verdict = self.conn.on_deadline(self.now);
        self.note(verdict);
        assert!(self.conn.deadline().is_none_or(|next| next > self.now), "a deadline that does not move");
        waited
    }

    /// Lets `span` pass, with all its deadlines; what left on the way.
    pub fn pass(&mut self, span: Duration) -> Vec<Out> {
        let end = self.now + span;
        let mut sent = self.out();
        while self.conn.deadline().is_some_and(|at| at <= end) {
            self.wait();
            sent.extend(self.out());
        }
        self.now = end;
        sent
    }

    pub fn write(&mut self, data: &[u8]) {
        assert_eq!(self.conn.write(data), Ok(data.len()));
    }

    pub fn read(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buf = [0; 4096];
        while let Ok(n @ 1..) = self.conn.read(&mut buf) {
            all.extend_from_slice(&buf[..n]);
        }
        all
    }

    pub fn at_eof(&mut self) -> bool {
        self.conn.read(&mut [0]) == Ok(0)
    }

    pub fn read_error(&mut self) -> TcpError {
        self.conn.read(&mut [0]).expect_err("an error")
    }

    /// Both directions still work: `r` and `u` are the next numbers of the peer and ours.
    pub fn survives(&mut self, r: u32, u: u32) {
        self.read();
        self.out();
        self.accept(&text(r, u, ACK | PSH, b"ping"));
        assert_eq!(self.read(), b"ping");
        self.write(b"pong");
        let out = self.out();
        let last = out.last().expect("text");
        assert_eq!((last.seq, last.ack, &last.payload[..]), (u, r + 4, &b"pong"[..]));
        self.accept(&seg(r + 4, u + 4, ACK));
        assert_eq!(self.conn.unsent(), 0);
    }
}

/// Octets that tell their place.
pub fn pattern(start: usize, len: usize) -> Vec<u8> {
    (start..start + len).map(|i| (i * 31 + (i >> 8) * 7 + (i >> 16)) as u8).collect()
}
