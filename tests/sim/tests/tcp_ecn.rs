//! Explicit Congestion Notification (RFC 3168): what stands in packets of both families, and what it is good for on a path
//! that marks.

use ringtap::tcp::{Congestion, ListenerHandle, TcpHandle, TcpInfo, TcpOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::bench::{self, Bench, H_MAC, P_MAC};
use ringtap_sim::goodput::{Setting, prepare};
use ringtap_sim::packet::{ACK, CWR, ECE, Ip, SYN, Tcp, checksum, ethernet};
use ringtap_sim::six::{self, Ip6};
use ringtap_sim::{App as _, Bulk, Impairments, Sim, link};

const PORT: u16 = 80;
const ECT0: u8 = 0b10;
const CE: u8 = 0b11;

/// A stack and a hand-made peer, over one family.
struct Path {
    b: Bench,
    listener: ListenerHandle,
    is_v6: bool,
}

/// What H sent: the ECN codepoint of the packet, and the segment.
type Sent = (u8, Tcp);

impl Path {
    fn new(is_v6: bool, options: TcpOptions) -> Self {
        let mut b = if is_v6 { six::bench() } else { Bench::new().with_live_neighbors() };
        let listener = b.listen(PORT, 4, options);
        Self { b, listener, is_v6 }
    }

    /// A segment of P's in a packet with this codepoint.
    fn give(&mut self, codepoint: u8, segment: &Tcp) -> Vec<Sent> {
        let (ethertype, mut packet) = if self.is_v6 {
            (0x86dd, Ip6::to_h(6).build(&six::tcp(segment, six::P, six::H)))
        } else {
            (0x0800, Ip::new(bench::P, bench::H, 6).build(&segment.build(bench::P, bench::H)))
        };
        if self.is_v6 {
            packet[1] |= codepoint << 4;
        } else {
            packet[1] |= codepoint;
            packet[10..12].fill(0);
            let sum = checksum(&packet[..20]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        self.b.nic.rx.push_back(ethernet(H_MAC, P_MAC, ethertype, &packet));
        self.poll()
    }

    fn poll(&mut self) -> Vec<Sent> {
        let frames = self.b.poll_raw();
        frames.iter().filter_map(|frame| self.read(frame)).collect()
    }

    fn read(&self, frame: &[u8]) -> Option<Sent> {
        let (at, codepoint) = match (self.is_v6, &frame[12..14]) {
            (true, [0x86, 0xdd]) if frame[20] == 6 => (54, frame[15] >> 4 & 3),
            (false, [0x08, 0x00]) if frame[23] == 6 => (34, frame[15] & 3),
            _ => return None,
        };
        let s = &frame[at..];
        let word = |at: usize| u32::from_be_bytes([s[at], s[at + 1], s[at + 2], s[at + 3]]);
        let header = usize::from(s[12] >> 4) * 4;
        let segment = Tcp {
            src: u16::from_be_bytes([s[0], s[1]]),
            dst: u16::from_be_bytes([s[2], s[3]]),
            seq: word(4),
            ack: word(8),
            flags: s[13] & !(ECE | CWR),
            ecn: s[13] & (ECE | CWR),
            payload: s[header..].to_vec(),
            ..Tcp::default()
        };
        Some((codepoint, segment))
    }

    /// The handshake, P's SYN carrying these bits: the SYN|ACK's bits, the connection, and P's next segment.
    fn open(&mut self, from: u16, offer: u8) -> (u8, TcpHandle, Tcp) {
        let syn = Tcp { src: from, dst: PORT, seq: 1000, flags: SYN, ecn: offer, window: 65_535, ..Tcp::default() };
        let sent = self.give(0, &syn);
        let (codepoint, answer) = &sent[0];
        assert_eq!((sent.len(), *codepoint, answer.flags), (1, 0, SYN | ACK));
        let next = Tcp { seq: 1001, ack: answer.seq.wrapping_add(1), flags: ACK, ecn: 0, ..syn };
        self.give(0, &next);
        let handle = self.b.stack.tcp_accept(self.listener).expect("a connection").0;
        (answer.ecn, handle, next)
    }

    fn info(&mut self, handle: TcpHandle) -> TcpInfo {
        self.b.stack.tcp(handle).expect("open").info().expect("open")
    }

    fn write(&mut self, handle: TcpHandle, octets: usize) -> Vec<Sent> {
        self.b.stack.tcp(handle).expect("open").write(&vec![7; octets]).expect("room");
        self.poll()
    }
}

// RFC 3168 §6.1.1: both bits on the SYN, ECE alone on the SYN|ACK.
#[test]
fn a_listener_agrees_to_an_offer_and_to_nothing_else() {
    for is_v6 in [false, true] {
        for (offer, agrees) in [(ECE | CWR, true), (ECE, false), (CWR, false), (0, false)] {
            let mut path = Path::new(is_v6, TcpOptions::default());
            let (answer, handle, _) = path.open(4000, offer);
            assert_eq!(answer, if agrees { ECE } else { 0 }, "{offer:#x}");
            let sent = path.write(handle, 100);
            assert_eq!((sent[0].0, sent[0].1.payload.len()), (if agrees { ECT0 } else { 0 }, 100), "{offer:#x}");
            assert_eq!(path.info(handle).ecn.is_on, agrees);
        }
        let mut path = Path::new(is_v6, TcpOptions { ecn: false, ..TcpOptions::default() });
        assert_eq!(path.open(4000, ECE | CWR).0, 0, "switched off");
    }
}

// RFC 3168 §6.1.1: who has seen a SYN without the offer does not mark.
#[test]
fn a_syn_that_is_repeated_without_the_offer_takes_it_back() {
    let mut path = Path::new(false, TcpOptions::default());
    let syn = Tcp { src: 4000, dst: PORT, seq: 1000, flags: SYN, ecn: ECE | CWR, window: 65_535, ..Tcp::default() };
    assert_eq!(path.give(0, &syn)[0].1.ecn, ECE);
    path.b.now += Duration::from_millis(500);
    let again = path.give(0, &Tcp { ecn: 0, ..syn.clone() });
    assert_eq!((again.len(), again[0].1.ecn), (1, 0));
    let ack = again[0].1.seq.wrapping_add(1);
    path.give(0, &Tcp { seq: 1001, ack, flags: ACK, ecn: 0, ..syn });
    let handle = path.b.stack.tcp_accept(path.listener).expect("a connection").0;
    assert_eq!(path.write(handle, 100)[0].0, 0);
}

// RFC 3168 §6.1.3, in both families.
#[test]
fn a_marked_packet_is_echoed_until_cwr_and_an_echo_is_answered() {
    for is_v6 in [false, true] {
        let mut path = Path::new(is_v6, TcpOptions::default());
        let (_, handle, next) = path.open(4000, ECE | CWR);
        let text = |at: u32, ecn: u8| Tcp { seq: 1001 + at, ecn, payload: vec![1; 10], ..next.clone() };
        // Neither a codepoint of capability nor an unmarked packet is a mark.
        path.give(ECT0, &text(0, 0));
        path.give(0b01, &text(10, 0));
        assert_eq!(path.info(handle).ecn.marks, 0);
        let answer = path.give(CE, &text(20, 0));
        assert_eq!((answer.len(), answer[0].0, answer[0].1.ecn), (1, 0, ECE), "at once, in a packet without ECT");
        let sent = path.write(handle, 20_000);
        assert!(sent.iter().all(|(codepoint, s)| *codepoint == ECT0 && s.ecn == ECE), "text tells it, too");
        path.give(ECT0, &text(30, CWR));
        let sent = path.give(0, &Tcp { seq: 1041, ack: sent[9].1.seq, ecn: ECE, ..next.clone() });
        assert_eq!(sent.iter().filter(|(_, s)| s.ecn == CWR).count(), 1, "{:?}", path.info(handle));
        assert!(sent.iter().all(|(_, s)| s.ecn & ECE == 0));
        let info = path.info(handle);
        assert_eq!((info.ecn.marks, info.ecn.reductions), (1, 1));
    }
}

// A SYN whose only memory is a cookie cannot remember what was agreed.
#[test]
fn a_cookie_agrees_to_nothing_and_its_connection_marks_nothing() {
    let mut path = Path::new(false, TcpOptions::default());
    let syn = |from: u16| Tcp {
        src: from,
        dst: PORT,
        seq: 1000,
        flags: SYN,
        ecn: ECE | CWR,
        window: 65_535,
        ..Tcp::default()
    };
    let mut answers = Vec::new();
    for from in 4000..4100 {
        answers.extend(path.give(0, &syn(from)));
    }
    assert_eq!(answers.len(), 100);
    let agreed = answers.iter().filter(|(_, s)| s.ecn == ECE).count();
    assert!((1..=8).contains(&agreed), "those that have a place, but for the last of each set: {agreed}");
    // The very last was answered by a cookie.
    let (_, last) = answers.pop().expect("an answer");
    assert_eq!(last.ecn, 0);
    path.give(0, &Tcp { seq: 1001, ack: last.seq.wrapping_add(1), flags: ACK, ecn: 0, ..syn(last.dst) });
    let handle = path.b.stack.tcp_accept(path.listener).expect("a connection").0;
    let sent = path.write(handle, 100);
    assert_eq!((sent[0].0, sent[0].1.payload.len()), (0, 100));
}

/// A bulk transfer of five seconds over 20 ms and 20 Mbit/s with this impairment: the sender's numbers and the receiver's.
fn bulk(congestion: Congestion, change: impl FnOnce(&mut Impairments)) -> (Sim, TcpInfo, u64) {
    let setting = Setting { congestion, ..Setting::default() };
    let mut sim = prepare(1, &setting);
    let mut there = Impairments { rate: 2_500_000, queue: 1_000, ..Impairments::delay(Duration::from_millis(10)) };
    change(&mut there);
    sim.impair(0, there);
    sim.run_until(Instant::from_secs(5)).expect("the invariants hold");
    let handle = sim.app::<Bulk>(0, 0).handle().expect("a connection");
    let info = sim.hosts[0].stack.tcp(handle).expect("open").info().expect("open");
    let received = sim.app::<Bulk>(1, 0).received();
    (sim, info, received)
}

// What ECN is for: the network says that it is full, and nothing is lost for it.
#[test]
fn a_path_that_marks_slows_a_sender_down_without_losing_anything() {
    for congestion in [Congestion::NewReno, Congestion::Cubic] {
        let (sim, info, received) = bulk(congestion, |there| there.mark = 0.005);
        let marked = sim.link(0).marked;
        assert!(marked > 10, "{congestion:?}: {marked}");
        assert_eq!((info.retransmits, info.repairs.recoveries, info.repairs.timeouts), (0, 0, 0), "{congestion:?}");
        let reductions = u64::from(info.ecn.reductions);
        assert!(reductions > 5 && reductions <= marked, "{congestion:?}: {reductions} of {marked}");
        let (_, lossy, received_then) = bulk(congestion, |there| there.loss = 0.005);
        assert!(lossy.retransmits > 10);
        assert!(received * 10 >= received_then * 9, "{congestion:?}: {received} marked, {received_then} lost");
    }
}

#[test]
fn a_router_marks_both_families_and_nothing_that_is_not_capable() {
    let packet = Ip::new(bench::P, bench::H, 6).build(&[0; 20]);
    let mut frame = ethernet(H_MAC, P_MAC, 0x0800, &packet);
    assert!(!link::mark(&mut frame.clone()));
    frame[15] |= ECT0;
    assert!(link::mark(&mut frame));
    assert_eq!((frame[15], checksum(&frame[14..34])), (CE, 0));
    let mut frame = ethernet(H_MAC, P_MAC, 0x86dd, &Ip6::to_h(6).build(&[0; 20]));
    assert!(!link::mark(&mut frame.clone()));
    frame[15] |= 0x10;
    assert!(link::mark(&mut frame));
    assert_eq!(frame[15], 0x30);
}
