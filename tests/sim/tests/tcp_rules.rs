//! Rules of RFC 9293 that no other file is about, each with its name there.

use ringtap::device::{Capabilities, Medium};
use ringtap::error::TcpError;
use ringtap::event::Readiness;
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, KeepAlive, ListenOptions, State, TcpHandle, TcpOptions};
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, P, P_MAC, Setup, segments, timed};
use ringtap_sim::packet::{self, ACK, FIN, Ip, PSH, RST, SYN, Tcp, URG};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PORT: u16 = 80;

/// A bench with one accepted connection from P's port 4000; H's next number comes last, P's is 1001.
fn served(tcp: TcpOptions) -> (Bench, TcpHandle, u32) {
    let mut b = Bench::new().with_live_neighbors();
    let listener = b.listen(PORT, 4, tcp);
    let (handle, iss) = b.accepted(listener, 4000, PORT);
    (b, handle, iss + 1)
}

fn from_p(seq: u32, ack: u32, flags: u8) -> Tcp {
    Tcp { src: 4000, dst: PORT, seq, ack, flags, window: 65_535, ..Tcp::default() }
}

fn write(b: &mut Bench, handle: TcpHandle, text: &[u8]) -> Vec<Tcp> {
    assert_eq!(b.stack.tcp(handle).unwrap().write(text), Ok(text.len()));
    segments(&b.poll())
}

fn read(b: &mut Bench, handle: TcpHandle) -> Vec<u8> {
    let mut buf = vec![0; 100_000];
    let n = b.stack.tcp(handle).unwrap().read(&mut buf).unwrap_or(0);
    buf.truncate(n);
    buf
}

fn ends_well(mut b: Bench, handle: TcpHandle) {
    b.stack.tcp(handle).unwrap().abort();
    b.poll();
    b.is_well();
}

// MUST-1
#[test]
fn a_window_of_all_ones_is_the_largest_and_not_a_negative_one() {
    let (mut b, handle, next) = served(TcpOptions { rx_buffer: 65_535, ..TcpOptions::default() });
    assert_eq!(b.stack.tcp(handle).unwrap().info().unwrap().snd_wnd, 65_535);
    // The congestion window grows until the peer's is the limit.
    let (mut acked, mut most) = (next, 0);
    for _ in 0..40 {
        let _ = b.stack.tcp(handle).unwrap().write(&[1; 65_536]);
        let mut sent = segments(&b.give_tcp(&from_p(1001, acked, ACK)));
        sent.extend(timed(&b.pass(Duration::from_millis(1))).into_iter().map(|(_, s)| s));
        let edge = sent.iter().map(|s| s.seq + s.payload.len() as u32).max().unwrap_or(acked);
        most = most.max(edge - acked);
        acked = edge;
    }
    assert!((32_768..=65_535).contains(&most), "{most} octets in flight");
    ends_well(b, handle);
}

// MUST-3
#[test]
fn a_segment_with_any_bit_flipped_is_dropped_without_an_answer() {
    let (mut b, handle, next) = served(TcpOptions::default());
    let good = b.text(4000, PORT, 1001, next, b"good").build(P, H);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(b.give_ip(&Ip::new(P, H, 6), &bad), [], "bit {bit}");
    }
    // A data offset that lies is noticed before.
    let malformed = b.dropped(DropReason::TcpMalformed);
    assert_eq!(b.dropped(DropReason::TcpChecksum) + malformed, good.len() * 8);
    assert!(malformed <= 4, "{malformed}");
    assert_eq!(read(&mut b, handle), b"");
    b.give_ip(&Ip::new(P, H, 6), &good);
    assert_eq!(read(&mut b, handle), b"good");
    ends_well(b, handle);
}

// MUST-5, MUST-6 and MUST-64, and MUST-50 for IP's options
#[test]
fn text_is_taken_with_options_that_nobody_knows_anywhere_and_unaligned() {
    let (mut b, handle, next) = served(TcpOptions::default());
    let tcp_options: [&[u8]; 4] =
        [&[254, 4, 0, 0], &[1, 254, 3, 7, 253, 2, 1, 1], &[2, 4, 0, 1], &[1, 3, 3, 9, 254, 2, 0, 0]];
    let ip_options: [&[u8]; 2] = [&[], &[0x9e, 4, 1, 2]];
    let mut seq = 1001;
    for tcp in tcp_options {
        for ip in ip_options {
            for flags in [ACK, PSH | ACK] {
                let text = Tcp { options: tcp.to_vec(), flags, ..b.text(4000, PORT, seq, next, b"abc") };
                let header = Ip { options: ip.to_vec(), ..Ip::new(P, H, 6) };
                b.give_ip(&header, &text.build(P, H));
                assert_eq!(read(&mut b, handle), b"abc", "{tcp:?} {ip:?}");
                seq += 3;
            }
        }
    }
    assert_eq!(b.stack.tcp(handle).unwrap().info().unwrap().mss, 1460, "an MSS counts on a SYN only");
    b.give_tcp(&Tcp { options: vec![254, 4, 0, 0], ..from_p(seq, next, FIN | ACK) });
    assert_eq!(b.stack.tcp(handle).unwrap().state(), State::CloseWait);
    ends_well(b, handle);
}

// MUST-14, MUST-65, MUST-67, SHLD-5, MAY-3
#[test]
fn each_syn_and_nothing_else_tells_the_segment_that_the_interface_can_take() {
    for (mtu, mss) in [(1500u16, 1460u16), (576, 536), (600, 560), (1400, 1360)] {
        let caps = Capabilities::plain(Medium::Ethernet, usize::from(mtu));
        let mut b = Bench::built(Setup { caps, ..Setup::default() }, |_| {}).with_live_neighbors();
        let told = |s: &Tcp| s.option(2).map(|o| u16::from_be_bytes([o[0], o[1]]));
        let (active, syn) = b.connect(PORT, TcpOptions::default());
        assert_eq!(told(&syn), Some(mss));
        let answer = Tcp { seq: 5000, flags: SYN | ACK, ..b.reply_to(&syn, syn.seq + 1) };
        let mut rest = segments(&b.give_tcp(&answer));
        rest.extend(write(&mut b, active, b"text"));
        let listener = b.listen(PORT, 4, TcpOptions::default());
        let syn = Tcp { src: 7, dst: PORT, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
        let answers = segments(&b.give_tcp(&syn));
        assert!(matches!(&answers[..], [a] if a.flags == SYN | ACK && told(a) == Some(mss)), "{answers:?}");
        b.give_tcp(&Tcp { seq: 1001, ack: answers[0].seq + 1, flags: ACK, ..syn });
        let (passive, _) = b.stack.tcp_accept(listener).unwrap();
        rest.extend(write(&mut b, passive, b"text"));
        b.stack.tcp(passive).unwrap().close();
        rest.extend(segments(&b.poll()));
        b.stack.tcp(active).unwrap().abort();
        rest.extend(segments(&b.poll()));
        assert!(rest.len() >= 5 && rest.iter().all(|s| told(s).is_none()), "{rest:?}");
    }
}

// MUST-17 and SHLD-7
#[test]
fn a_small_segment_waits_for_another_only_where_nobody_switched_that_off() {
    for nagle in [true, false] {
        let (mut b, handle, next) = served(TcpOptions { nagle, ..TcpOptions::default() });
        assert_eq!(write(&mut b, handle, b"a").len(), 1);
        assert_eq!(write(&mut b, handle, b"b").len(), usize::from(!nagle));
        let seen = segments(&b.give_tcp(&from_p(1001, next + 1, ACK)));
        assert_eq!(seen.len(), usize::from(nagle));
        ends_well(b, handle);
    }
    assert!(TcpOptions::default().nagle);
}

// MUST-21
#[test]
fn the_user_says_how_long_text_may_stay_unacknowledged() {
    for seconds in [5, 300] {
        let (mut b, handle, _) =
            served(TcpOptions { user_timeout: Duration::from_secs(seconds), ..Default::default() });
        write(&mut b, handle, b"anybody?");
        b.pass(Duration::from_secs(seconds - 1));
        assert_eq!(b.stack.tcp(handle).unwrap().error(), None);
        b.pass(Duration::from_secs(2));
        assert_eq!(b.stack.tcp(handle).unwrap().error(), Some(TcpError::TimedOut), "{seconds}");
        ends_well(b, handle);
    }
    let forever = TcpOptions { user_timeout: Duration::MAX, ..Default::default() };
    let (mut b, handle, _) = served(forever);
    write(&mut b, handle, b"anybody?");
    b.pass(Duration::from_secs(100_000));
    assert_eq!(b.stack.tcp(handle).unwrap().error(), None);
    ends_well(b, handle);
}

// MUST-25, MUST-28
#[test]
fn nobody_is_probed_unless_asked_for_and_then_after_two_hours() {
    let (mut b, handle, _) = served(TcpOptions::default());
    assert_eq!(timed(&b.pass(Duration::from_secs(3 * 86_400))), []);
    assert_eq!(b.stack.tcp(handle).unwrap().state(), State::Established);
    ends_well(b, handle);
    let keep_alive = Some(KeepAlive::default());
    let (mut b, handle, next) = served(TcpOptions { keep_alive, ..TcpOptions::default() });
    assert_eq!(timed(&b.pass(Duration::from_secs(7_199))), []);
    let probes = timed(&b.pass(Duration::from_secs(2)));
    // SHLD-12: without text.
    assert!(matches!(&probes[..], [(_, p)] if p.seq == next - 1 && p.payload.is_empty()), "{probes:?}");
    ends_well(b, handle);
}

// MUST-26, MUST-29
#[test]
fn a_connection_with_text_in_flight_is_not_probed_and_one_lost_probe_does_not_end_it() {
    let keep = KeepAlive { idle: Duration::from_secs(5), interval: Duration::from_secs(5), count: 3 };
    let (mut b, handle, next) = served(TcpOptions { keep_alive: Some(keep), ..TcpOptions::default() });
    write(&mut b, handle, b"text");
    let sent = timed(&b.pass(Duration::from_secs(60)));
    assert!(sent.len() >= 5 && sent.iter().all(|(_, s)| s.payload == b"text"), "retransmissions alone: {sent:?}");
    b.give_tcp(&from_p(1001, next + 4, ACK));
    let sent = timed(&b.pass(Duration::from_secs(11)));
    assert!(sent.len() == 2 && sent.iter().all(|(_, s)| s.seq == next + 3 && s.payload.is_empty()), "{sent:?}");
    b.give_tcp(&from_p(1001, next + 4, ACK));
    let sent = timed(&b.pass(Duration::from_secs(6)));
    assert_eq!((sent.len(), b.stack.tcp(handle).unwrap().error()), (1, None));
    ends_well(b, handle);
}

// MUST-41, MUST-42, MUST-43
#[test]
fn listening_is_possible_and_disturbs_nobody_where_a_connection_has_that_port() {
    let mut b = Bench::new().with_live_neighbors();
    let options = ConnectOptions { local_port: PORT, ..ConnectOptions::default() };
    let opening = b.stack.tcp_connect(SocketAddr::new(IpAddr::V4(P), 90), &options).unwrap();
    let syn = segments(&b.poll())[0].clone();
    let listen = ListenOptions { backlog: 4, tcp: TcpOptions::default() };
    let listener = b.stack.tcp_listen(Some(IpAddr::V4(H)), PORT, &listen).expect("beside a SYN-SENT");
    assert_eq!(b.stack.tcp(opening).unwrap().state(), State::SynSent);
    let (accepted, iss) = b.accepted(listener, 4000, PORT);
    // The SYN of the peer that is being called is no new connection.
    let theirs = Tcp { src: 90, dst: PORT, seq: 9000, flags: SYN, window: 65_535, ..Tcp::default() };
    let seen = segments(&b.give_tcp(&theirs));
    assert!(seen.iter().all(|s| s.has(SYN | ACK) && s.seq == syn.seq), "{seen:?}");
    b.stack.tcp_unlisten(listener).unwrap();
    let listener = b.stack.tcp_listen(None, PORT, &listen).expect("beside a SYN-RECEIVED");
    assert_eq!(b.stack.tcp(opening).unwrap().state(), State::SynReceived);
    b.give_tcp(&Tcp { seq: 9001, ack: syn.seq + 1, flags: ACK, ..theirs });
    assert_eq!(b.stack.tcp(opening).unwrap().state(), State::Established);
    b.give_tcp(&b.text(4000, PORT, 1001, iss + 1, b"still there"));
    assert_eq!(read(&mut b, accepted), b"still there");
    assert!(!b.stack.tcp_acceptable(listener));
    // A listener at one address hears nothing that is for another.
    b.stack.tcp_unlisten(listener).unwrap();
    let second = Ipv4Addr::new(192, 0, 2, 10);
    b.stack.add_address(b.iface, "192.0.2.10/24".parse().unwrap()).unwrap();
    b.poll();
    b.stack.tcp_listen(Some(IpAddr::V4(second)), PORT, &listen).unwrap();
    let syn = Tcp { src: 4001, dst: PORT, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
    for (dst, flags) in [(H, RST | ACK), (second, SYN | ACK)] {
        let seen = segments(&b.give_ip(&Ip::new(P, dst, 6), &syn.build(P, dst)));
        assert!(matches!(&seen[..], [s] if s.flags == flags), "{dst}: {seen:?}");
    }
    b.stack.tcp(accepted).unwrap().abort();
    b.poll();
    ends_well(b, opening);
}

// MUST-11
#[test]
fn a_reset_during_the_handshake_refuses_an_active_open_and_leaves_a_passive_one_listening() {
    let mut b = Bench::new().with_live_neighbors();
    let (opening, syn) = b.connect(PORT, TcpOptions::default());
    let theirs = Tcp { src: PORT, dst: syn.src, seq: 9000, flags: SYN, window: 65_535, ..Tcp::default() };
    b.give_tcp(&theirs);
    assert_eq!(b.stack.tcp(opening).unwrap().state(), State::SynReceived);
    assert_eq!(b.give_tcp(&Tcp { seq: 9001, flags: RST, ..theirs }), []);
    assert_eq!(b.stack.tcp(opening).unwrap().error(), Some(TcpError::Refused));
    let listener = b.listen(PORT, 4, TcpOptions::default());
    let syn = Tcp { src: 4000, dst: PORT, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
    let first = segments(&b.give_tcp(&syn));
    assert_eq!(b.give_tcp(&Tcp { seq: 1001, flags: RST, ..syn }), []);
    assert_eq!(b.pass(Duration::from_secs(30)), [], "no SYN|ACK is repeated");
    assert_eq!(first.len(), 1);
    let (handle, _) = b.accepted(listener, 4000, PORT);
    b.stack.tcp(opening).unwrap().close();
    ends_well(b, handle);
}

// MUST-58, MUST-59
#[test]
fn one_acknowledgment_answers_all_segments_that_wait_in_the_card() {
    let (mut b, handle, next) = served(TcpOptions::default());
    for n in 0..20 {
        let text = b.text(4000, PORT, 1001 + n * 1000, next, &[7; 1000]).build(P, H);
        b.nic.rx.push_back(packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(P, H, 6).build(&text)));
    }
    let seen = segments(&b.poll());
    assert!(matches!(&seen[..], [a] if a.flags == ACK && a.ack == 21_001), "{seen:?}");
    assert_eq!(read(&mut b, handle).len(), 20_000);
    ends_well(b, handle);
}

// MUST-60, MUST-61, SHLD-28
#[test]
fn what_was_written_leaves_in_full_segments_the_last_of_them_pushed() {
    let (mut b, handle, next) = served(TcpOptions::default());
    let sent = write(&mut b, handle, &[1; 3 * 1460]);
    let shape: Vec<_> = sent.iter().map(|s| (s.seq - next, s.payload.len(), s.has(PSH))).collect();
    assert_eq!(shape, [(0, 1460, false), (1460, 1460, false), (2920, 1460, true)]);
    ends_well(b, handle);
}

// SHLD-2
#[test]
fn a_reset_with_text_in_it_is_one() {
    let (mut b, handle, next) = served(TcpOptions::default());
    b.give_tcp(&Tcp { payload: b"why".to_vec(), ..from_p(1001, next, RST | ACK) });
    assert_eq!(b.stack.tcp(handle).unwrap().error(), Some(TcpError::Reset));
    assert_eq!(read(&mut b, handle), b"", "which is not delivered");
    b.stack.tcp(handle).unwrap().close();
    b.is_well();
}

// SHLD-15, SHLD-16; nothing of MAY-7
#[test]
fn of_what_a_shrunk_window_no_longer_holds_nothing_is_sent_again_and_nothing_new() {
    let (mut b, handle, next) = served(TcpOptions::default());
    let sent = write(&mut b, handle, &[1; 8 * 1460]);
    assert_eq!(sent.len(), 8);
    // The first arrived, and the window lies in the middle of the second now.
    let shrunk = |ack| Tcp { window: 1000, ..from_p(1001, ack, ACK) };
    b.give_tcp(&shrunk(next + 1460));
    let _ = b.stack.tcp(handle).unwrap().write(&[2; 1460]);
    let edge = next + 1460 + 1000;
    let again = timed(&b.pass(Duration::from_secs(10)));
    assert!(again.iter().any(|(_, s)| s.seq == next + 1460), "{again:?}");
    assert!(again.iter().all(|(_, s)| s.seq + s.payload.len() as u32 <= edge), "{again:?}");
    // The rest goes when there is room for it.
    let mut acked = edge;
    for _ in 0..20 {
        let seen = segments(&b.give_tcp(&from_p(1001, acked, ACK)));
        acked = seen.iter().map(|s| s.seq + s.payload.len() as u32).max().unwrap_or(acked);
        b.pass(Duration::from_millis(1));
    }
    b.give_tcp(&from_p(1001, next + 9 * 1460, ACK));
    assert_eq!(b.stack.tcp(handle).unwrap().unacknowledged(), 0);
    ends_well(b, handle);
}

// MAY-8
#[test]
fn a_window_that_its_reader_keeps_closed_stays_closed_and_probes_are_answered() {
    let (mut b, handle, next) = served(TcpOptions { rx_buffer: 1000, ..TcpOptions::default() });
    b.give_tcp(&b.text(4000, PORT, 1001, next, &[1; 1000]));
    for _ in 0..100 {
        b.pass(Duration::from_secs(60));
        let seen = segments(&b.give_tcp(&b.text(4000, PORT, 2001, next, b"?")));
        assert!(matches!(&seen[..], [a] if a.ack == 2001 && a.window == 0), "{seen:?}");
    }
    assert_eq!(read(&mut b, handle).len(), 1000);
    let seen = segments(&b.poll());
    assert!(matches!(&seen[..], [a] if a.ack == 2001 && a.window > 0), "{seen:?}");
    ends_well(b, handle);
}

// MUST-54, MUST-56 and RFC 1122 §4.2.3.9: what is neither unreachable nor too big.
#[test]
fn a_parameter_problem_about_a_segment_in_flight_is_told_and_survived() {
    let (mut b, handle, next) = served(TcpOptions::default());
    let sent = write(&mut b, handle, b"text");
    let quote = Ip::new(H, P, 6).build(&sent[0].build(H, P));
    for (kind, code) in [(12, 0), (12, 1), (11, 0), (11, 1)] {
        assert_eq!(b.give_ip(&Ip::new(P, H, 1), &packet::icmp(kind, code, [0; 4], &quote)), []);
        let mut socket = b.stack.tcp(handle).unwrap();
        assert!(socket.take_soft_error().is_some(), "{kind} {code}");
        assert_eq!((socket.take_soft_error(), socket.state()), (None, State::Established));
    }
    b.give_tcp(&from_p(1001, next + 4, ACK));
    assert_eq!(b.stack.tcp(handle).unwrap().unacknowledged(), 0);
    ends_well(b, handle);
}

// MUST-32, MUST-33, MUST-62
#[test]
fn urgent_text_is_an_event_and_its_end_can_be_told_on_the_wire() {
    let (mut b, handle, next) = served(TcpOptions::default());
    while b.stack.next_event().is_some() {}
    b.give_tcp(&Tcp { urgent: 4, flags: ACK | URG, ..b.text(4000, PORT, 1001, next, b"stop, and more") });
    let events: Vec<_> = std::iter::from_fn(|| b.stack.next_event()).map(|e| e.what).collect();
    assert!(events.iter().any(|what| what.any(Readiness::URGENT)), "{events:?}");
    assert_eq!(b.stack.tcp(handle).unwrap().urgent(), 4);
    let mut buf = [0; 4];
    assert_eq!(b.stack.tcp(handle).unwrap().read(&mut buf), Ok(4));
    assert_eq!((b.stack.tcp(handle).unwrap().urgent(), &buf), (0, b"stop"));
    assert_eq!(read(&mut b, handle), b", and more");
    assert_eq!(b.stack.tcp(handle).unwrap().write_urgent(b"stopped"), Ok(7));
    let sent = segments(&b.poll());
    assert!(matches!(&sent[..], [s] if s.has(URG) && s.urgent == 7 && s.payload == b"stopped"), "{sent:?}");
    b.give_tcp(&from_p(1015, next + 7, ACK));
    assert!(write(&mut b, handle, b"calm").iter().all(|s| !s.has(URG)));
    ends_well(b, handle);
}
