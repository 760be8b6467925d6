//! Listening without a queue of handshakes, and resting without a table: a stack against a scripted peer on a wire.

extern crate std;

use super::{IfaceId, Stack, StaticStorage, TcpSocket};
use crate::config::Config;
use crate::device::{Capabilities, Device, Mac, Medium, RxMeta, TxMeta};
use crate::error::{AcceptError, TcpError};
use crate::frame::{Frame, Pool, PoolMemory};
use crate::ip::addr::Cidr;
use crate::ip::v4::{self, Fields};
use crate::rng::Secret;
use crate::seq::Seq;
use crate::stats::DropReason;
use crate::tcp::{ListenOptions, ListenerHandle, State, TcpOptions};
use crate::time::Instant;
use crate::wire::segment::{self, Flags, Header, Options, Segment};
use crate::wire::{checksum, ipv4};
use core::net::Ipv4Addr;
use core::task::Waker;
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

const OURS: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
const PLACES: usize = 3;
/// The peer's initial sequence number.
const IRS: u32 = 5_000;

const SYN: Flags = Flags::SYN;
const ACK: Flags = Flags::ACK;
const FIN: Flags = Flags::FIN;
const RST: Flags = Flags::RST;

/// A wire: what the peer sends, and what it gets.
struct Wire {
    pool: Pool<'static>,
    to_us: VecDeque<Vec<u8>>,
    to_peer: VecDeque<Vec<u8>>,
}

impl Device<'static> for Wire {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ip, 1500)
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        let packet = self.to_us.pop_front()?;
        let mut frame = self.pool.take(0)?;
        frame.append(packet.len())?.copy_from_slice(&packet);
        Some((frame, RxMeta::default()))
    }

    fn transmit(&mut self, frame: Frame<'static>, _: TxMeta) -> Result<(), Frame<'static>> {
        self.to_peer.push_back(frame.to_vec());
        Ok(())
    }

    fn register_waker(&mut self, _: &Waker) {}
}

/// A segment of ours, as the peer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    port: u16,
    seq: u32,
    ack: u32,
    flags: Flags,
}

struct World {
    stack: Stack<'static>,
    iface: IfaceId,
    wire: Wire,
    now: Instant,
}

impl World {
    fn new() -> Self {
        type Fixed = StaticStorage<'static, PLACES, 0, 1024, 1024, { PLACES + 16 }>;
        let memory: &'static mut PoolMemory<1600, 16> = Box::leak(Box::new(PoolMemory::new()));
        let storage: &'static mut Fixed = Box::leak(Box::new(StaticStorage::new()));
        let wire = Wire { pool: memory.pool(), to_us: VecDeque::new(), to_peer: VecDeque::new() };
        let mut stack = Stack::new(Config::new(Secret::new([3; 16])), storage);
        let iface = stack.add_interface(&wire, Mac([2, 0, 0, 0, 0, 1])).expect("room");
        stack.add_address(iface, Cidr::new(OURS.into(), 24).expect("valid")).expect("room");
        Self { stack, iface, wire, now: Instant::from_secs(100) }
    }

    fn listen(&mut self, backlog: usize) -> ListenerHandle {
        let tcp = TcpOptions { rx_buffer: 1024, tx_buffer: 1024, ..TcpOptions::default() };
        self.stack.tcp_listen(None, 7, &ListenOptions { backlog, tcp }).expect("room")
    }

    /// A segment of the peer's from `port`, at `seq` and acknowledging `ack`; what it is answered.
    fn send(&mut self, port: u16, seq: u32, ack: u32, flags: Flags) -> Vec<Seen> {
        let header = Header {
            src_port: port,
            dst_port: 7,
            seq: Seq::new(seq),
            ack: Seq::new(ack),
            flags,
            window: 1_000,
            urgent: 0,
            options: Options { mss: flags.contains(SYN).then_some(1000), ..Options::NONE },
        };
        let mut packet = vec![0; ipv4::HEADER + header.len()];
        let (ip, tcp) = packet.split_at_mut(ipv4::HEADER);
        header.emit(tcp);
        let pseudo = checksum::pseudo_header(THEIRS.into(), OURS.into(), 6, tcp.len() as u32);
        segment::set_checksum(tcp, pseudo.add(segment::header_sum(tcp)).finish());
        let len = tcp.len();
        let fields = Fields { src: THEIRS, dst: OURS, protocol: 6, ttl: 64, tos: 0, ident: 0, dont_frag: true };
        v4::emit(ip, &fields, len);
        self.wire.to_us.push_back(packet);
        self.poll()
    }

    fn poll(&mut self) -> Vec<Seen> {
        while self.stack.poll(self.now, self.iface, &mut self.wire, 16).more {}
        let seen = |packet: Vec<u8>| {
            let s = Segment::parse(&packet[ipv4::HEADER..]).expect("well-formed");
            Seen { port: s.dst_port, seq: s.seq.value(), ack: s.ack.value(), flags: s.flags }
        };
        self.wire.to_peer.drain(..).map(seen).collect()
    }

    /// Lets seconds pass, with all deadlines; what was sent meanwhile.
    fn pass(&mut self, secs: u64) -> Vec<Seen> {
        let end = Instant::from_micros(self.now.as_micros() + secs * 1_000_000);
        let mut sent = vec![];
        while let Some(next) = self.stack.next_deadline().filter(|&next| next <= end) {
            self.now = self.now.max(next);
            sent.extend(self.poll());
        }
        self.now = end;
        sent
    }

    /// The SYN of `port`; our initial sequence number.
    fn syn(&mut self, port: u16) -> u32 {
        let seen = self.send(port, IRS, 0, SYN);
        let [Seen { seq, .. }] = seen[..] else { panic!("{seen:?}") };
        assert_eq!(seen, [Seen { port, seq, ack: IRS + 1, flags: SYN | ACK }]);
        seq
    }

    /// A whole handshake; our initial sequence number.
    fn open(&mut self, port: u16) -> u32 {
        let iss = self.syn(port);
        assert_eq!(self.send(port, IRS + 1, iss + 1, ACK), []);
        iss
    }

    fn accept(&mut self, listener: ListenerHandle) -> Option<(crate::tcp::TcpHandle, u16)> {
        match self.stack.tcp_accept(listener) {
            Ok((handle, peer)) => Some((handle, peer.port())),
            Err(error) => {
                assert_eq!(error, AcceptError::WouldBlock);
                None
            }
        }
    }

    fn socket(&mut self, handle: crate::tcp::TcpHandle) -> TcpSocket<'_, 'static> {
        self.stack.tcp(handle).expect("it is ours")
    }

    /// We close an accepted connection first, and then the peer: it rests.
    fn rest(&mut self, listener: ListenerHandle, port: u16) -> u32 {
        let iss = self.open(port);
        let (handle, peer) = self.accept(listener).expect("established");
        assert_eq!(peer, port);
        self.socket(handle).close();
        assert_eq!(self.poll(), [Seen { port, seq: iss + 1, ack: IRS + 1, flags: FIN | ACK }]);
        let last = Seen { port, seq: iss + 2, ack: IRS + 2, flags: ACK };
        assert_eq!(self.send(port, IRS + 1, iss + 2, FIN | ACK), [last]);
        iss
    }

    fn dropped(&self, reason: DropReason) -> usize {
        self.stack.stats().dropped(reason)
    }
}

#[test]
fn a_syn_takes_a_connection_and_the_last_ack_makes_it_one_to_be_accepted() {
    let mut w = World::new();
    let listener = w.listen(4);
    let iss = w.syn(1000);
    assert_eq!((w.stack.tcp_connections(), w.accept(listener)), (1, None));
    assert!(!w.stack.tcp_acceptable(listener));
    assert_eq!(w.syn(1000), iss, "the same SYN again has the same answer");
    assert_eq!(w.pass(1), [Seen { port: 1000, seq: iss, ack: IRS + 1, flags: SYN | ACK }], "it is repeated by itself");
    assert_eq!(w.send(1000, IRS + 1, iss + 1, ACK), []);
    assert!(w.stack.tcp_acceptable(listener));
    let (handle, _) = w.accept(listener).expect("it is complete");
    assert_eq!((w.accept(listener), w.stack.tcp_connections()), (None, 1));
    assert_eq!(w.socket(handle).state(), State::Established);
    assert_eq!(w.socket(handle).write(b"x"), Ok(1));
    assert_eq!(w.poll().len(), 1);
}

#[test]
fn connections_are_accepted_in_the_order_of_their_last_acks() {
    let mut w = World::new();
    let listener = w.listen(4);
    let first = w.syn(1000);
    for port in [1001, 1002] {
        w.open(port);
        w.now = Instant::from_micros(w.now.as_micros() + 1_000);
    }
    w.send(1000, IRS + 1, first + 1, ACK);
    let order: Vec<u16> = core::iter::from_fn(|| w.accept(listener)).map(|(_, port)| port).collect();
    assert_eq!(order, [1001, 1002, 1000]);
}

#[test]
fn a_syn_beyond_the_backlog_is_passed_over_and_finds_its_place_once_somebody_is_accepted() {
    let mut w = World::new();
    let listener = w.listen(2);
    w.open(1000);
    w.syn(1001);
    assert_eq!(w.send(1002, IRS, 0, SYN), []);
    assert_eq!(w.dropped(DropReason::TcpSynQueueFull), 1);
    assert!(w.accept(listener).is_some());
    w.open(1002);
    assert_eq!(w.accept(listener).map(|(_, port)| port), Some(1002));
}

#[test]
fn a_full_table_gives_up_the_oldest_handshake_that_was_not_answered_and_no_other() {
    let mut w = World::new();
    let listener = w.listen(16);
    w.syn(1000);
    w.syn(1001);
    w.open(1002);
    assert_eq!(w.send(1003, IRS, 0, SYN), [], "all may still answer");
    w.pass(1);
    w.open(1003);
    assert_eq!(w.stack.tcp_connections(), PLACES);
    w.open(1004);
    assert_eq!(w.send(1005, IRS, 0, SYN), [], "all are connections");
    let accepted: Vec<u16> = core::iter::from_fn(|| w.accept(listener)).map(|(_, port)| port).collect();
    assert_eq!(accepted.len(), PLACES);
    assert!([1002, 1003, 1004].iter().all(|port| accepted.contains(port)));
}

#[test]
fn what_is_no_syn_begins_nothing() {
    let mut w = World::new();
    w.listen(4);
    assert_eq!(w.send(1000, 9, 77, ACK), [Seen { port: 1000, seq: 77, ack: 0, flags: RST }]);
    assert_eq!(w.send(1000, 9, 77, SYN | ACK), [Seen { port: 1000, seq: 77, ack: 0, flags: RST }]);
    assert_eq!(w.send(1000, 9, 0, RST), []);
    assert_eq!(w.send(1000, 9, 0, FIN), []);
    assert_eq!(w.stack.tcp_connections(), 0);
}

#[test]
fn a_reset_or_a_wrong_acknowledgment_ends_a_handshake_as_rfc_9293_has_it() {
    let mut w = World::new();
    let listener = w.listen(1);
    let iss = w.syn(1000);
    let reset = Seen { port: 1000, seq: iss + 9, ack: 0, flags: RST };
    assert_eq!(w.send(1000, IRS + 1, iss + 9, ACK), [reset], "that acknowledges nothing of ours");
    assert_eq!(w.send(1000, IRS + 9, 0, RST).len(), 1, "in the window, but not exact: a challenge");
    assert_eq!(w.stack.tcp_connections(), 1);
    assert_eq!(w.send(1000, IRS + 1, 0, RST), []);
    assert_eq!((w.stack.tcp_connections(), w.accept(listener)), (0, None));
    w.open(1001);
    assert!(w.accept(listener).is_some(), "the listener has its place back");
}

#[test]
fn a_handshake_that_nobody_answers_gives_its_place_back_after_three_minutes() {
    let mut w = World::new();
    w.listen(1);
    w.syn(1000);
    let repeats = w.pass(179);
    assert!(repeats.iter().all(|seen| seen.flags == SYN | ACK) && repeats.len() >= 6, "{repeats:?}");
    assert_eq!(w.stack.tcp_connections(), 1);
    w.pass(20);
    assert_eq!(w.stack.tcp_connections(), 0);
    w.open(1001);
}

#[test]
fn a_listener_that_goes_ends_its_handshakes_and_what_nobody_accepted() {
    let mut w = World::new();
    let listener = w.listen(4);
    let iss = w.syn(1000);
    w.open(1001);
    w.stack.tcp_unlisten(listener).expect("it listens");
    let mut resets = w.poll();
    resets.sort_by_key(|seen| seen.port);
    assert_eq!(
        resets.iter().map(|seen| (seen.port, seen.flags.contains(RST))).collect::<Vec<_>>(),
        [(1000, true), (1001, true)]
    );
    assert_eq!((w.stack.tcp_connections(), resets[0].seq), (0, iss + 1));
    assert_eq!(w.send(1002, IRS, 0, SYN)[0].flags, RST | ACK);
}

#[test]
fn a_connection_rests_where_it_is_and_answers_for_2_msl() {
    let mut w = World::new();
    let listener = w.listen(4);
    let iss = w.rest(listener, 1000);
    assert_eq!((w.stack.tcp_connections(), w.stack.tcp_time_waits()), (1, 1));
    let last = Seen { port: 1000, seq: iss + 2, ack: IRS + 2, flags: ACK };
    assert_eq!(w.pass(30), []);
    assert_eq!(w.send(1000, IRS + 1, iss + 2, FIN | ACK), [last], "the FIN comes again");
    assert_eq!(w.send(1000, IRS + 2, 0, RST), [], "RFC 1337");
    assert_eq!(w.pass(59), []);
    assert_eq!(w.stack.tcp_time_waits(), 1);
    assert_eq!(w.pass(2), []);
    assert_eq!((w.stack.tcp_connections(), w.stack.tcp_time_waits()), (0, 0));
    assert_eq!(w.send(1000, IRS + 2, iss + 2, ACK)[0].flags, RST);
}

#[test]
fn a_later_syn_succeeds_a_connection_that_rests_with_a_later_number() {
    let mut w = World::new();
    let listener = w.listen(4);
    let iss = w.rest(listener, 1000);
    let old = w.send(1000, IRS, 0, SYN);
    assert_eq!(old, [Seen { port: 1000, seq: iss + 2, ack: IRS + 2, flags: ACK }], "that may be an old one");
    let new = w.send(1000, IRS + 100, 0, SYN);
    assert_eq!((new.len(), new[0].flags, new[0].ack), (1, SYN | ACK, IRS + 101));
    assert!(Seq::new(new[0].seq).after(Seq::new(iss + 2)));
    assert_eq!((w.stack.tcp_connections(), w.stack.tcp_time_waits()), (1, 0));
    w.send(1000, IRS + 101, new[0].seq + 1, ACK);
    assert!(w.accept(listener).is_some());
}

#[test]
fn a_user_keeps_what_came_when_the_connection_is_succeeded() {
    let mut w = World::new();
    let listener = w.listen(4);
    let iss = w.open(1000);
    let (handle, _) = w.accept(listener).expect("established");
    w.socket(handle).shutdown_write().expect("it is open");
    w.poll();
    w.send(1000, IRS + 1, iss + 2, FIN | ACK);
    assert_eq!(w.socket(handle).state(), State::TimeWait);
    assert_eq!(w.socket(handle).write(b"x"), Err(TcpError::Closed));
    assert_eq!(w.send(1000, IRS + 100, 0, SYN)[0].flags, SYN | ACK);
    assert_eq!((w.socket(handle).state(), w.socket(handle).read(&mut [0])), (State::Closed, Ok(0)));
    w.socket(handle).close();
    assert_eq!(w.stack.tcp_connections(), 1);
}

#[test]
fn a_full_table_gives_up_the_connection_that_has_rested_longest() {
    let mut w = World::new();
    let listener = w.listen(4);
    for port in [1000, 1001, 1002] {
        w.rest(listener, port);
        w.pass(1);
    }
    assert_eq!(w.stack.tcp_time_waits(), PLACES);
    w.open(1003);
    assert_eq!((w.stack.tcp_time_waits(), w.dropped(DropReason::TimeWaitEvicted)), (2, 1));
    assert_eq!(w.send(1000, IRS + 2, 0, ACK)[0].flags, RST, "the oldest is gone");
    assert_eq!(w.send(1001, IRS + 1, 0, FIN | ACK)[0].flags, ACK, "the others are not");
}
