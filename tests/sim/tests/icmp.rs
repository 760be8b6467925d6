//! ICMP as a whole stack does it: what is answered and what met with silence, which errors are believed, and of whom.

use ringtap::error::{RecvError, SendError};
use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, ListenOptions, SoftError, State, TcpHandle};
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{ALL, H, H_MAC, P, P_MAC, R, R_MAC};
use ringtap_sim::packet::{self, ACK, Ip, Seen, Tcp, fragment, fragments};
use std::net::{Ipv4Addr, SocketAddr};

fn bench() -> Bench {
    Bench::new().with_neighbors()
}

/// An ICMP error of R's about `quote`.
fn give_error(b: &mut Bench, kind: u8, code: u8, rest: [u8; 4], quote: &[u8]) -> Vec<Seen> {
    let packet = Ip::new(R, H, 1).build(&packet::icmp(kind, code, rest, quote));
    b.give(packet::ethernet(H_MAC, R_MAC, 0x0800, &packet))
}

/// What a router quotes of a segment of H's: IP header and eight octets.
fn quoted(src: Ipv4Addr, from: u16, dst: Ipv4Addr, to: u16, seq: u32) -> Vec<u8> {
    let segment = Tcp { src: from, dst: to, seq, flags: ACK, payload: vec![0; 1460], ..Tcp::default() };
    Ip::new(src, dst, 6).build(&segment.build(src, dst))[..28].to_vec()
}

fn mtu(mtu: u16) -> [u8; 4] {
    let [a, b] = mtu.to_be_bytes();
    [0, 0, a, b]
}

fn segments(seen: &[Seen]) -> Vec<&Tcp> {
    seen.iter().filter_map(|s| if let Seen::Tcp(_, _, t) = s { Some(t) } else { None }).collect()
}

/// P's connection to port 80 of H, accepted; its handle and H's first sequence number for text.
fn connection(b: &mut Bench) -> (TcpHandle, u32) {
    let listener = b.stack.tcp_listen(None, 80, &ListenOptions::default()).expect("a free port");
    let iss = b.open(7, 80);
    let (handle, _) = b.stack.tcp_accept(listener).expect("established");
    b.stack.tcp_unlisten(listener).expect("open");
    (handle, iss.wrapping_add(1))
}

fn ack(b: &mut Bench, ack: u32) -> Vec<Seen> {
    let segment = Tcp { src: 7, dst: 80, seq: 1001, ack, flags: ACK, window: 65_535, ..Tcp::default() };
    b.give_tcp(&segment)
}

/// Aborts the connection, and checks that all is well.
fn ends_well(mut b: Bench, handle: TcpHandle) {
    b.stack.tcp(handle).expect("open").abort();
    b.poll();
    assert_eq!(b.stack.tcp_connections(), 0);
    b.is_well();
}

// H037
#[test]
fn what_merits_an_error_but_must_not_have_one_meets_silence() {
    let mut b = bench();
    let closed = |src, dst| packet::udp((src, 7), (dst, 9), b"text");
    let all = Ipv4Addr::new(192, 0, 2, 255);
    let group = Ipv4Addr::new(224, 0, 0, 1);
    // An error about an error, the latter with an impossible type, code or quote.
    for kind in [3, 4, 5, 11, 12, 41] {
        let quote = Ip::new(H, P, 99).build(b"12345678");
        b.give_ip(&Ip::new(P, H, 1), &packet::icmp(kind, 2, [0; 4], &quote));
    }
    let to_groups =
        [(ALL, all), (ALL, Ipv4Addr::BROADCAST), ([1, 0, 0x5e, 0, 0, 1], group), (H_MAC, all), (H_MAC, group)];
    let mut silent = Vec::new();
    for (mac, dst) in to_groups {
        silent.push((mac, Ip::new(P, dst, 17).build(&closed(P, dst))));
        silent.push((mac, Ip::new(P, dst, 99).build(b"unknown")));
        silent.push((mac, Ip::new(P, dst, 1).build(&packet::icmp(8, 0, [0; 4], b"x"))));
    }
    for src in [Ipv4Addr::UNSPECIFIED, group, all, Ipv4Addr::new(127, 0, 0, 1)] {
        silent.push((H_MAC, Ip::new(src, H, 17).build(&closed(src, H))));
    }
    for mac in [ALL, [1, 0, 0x5e, 0, 0, 1]] {
        silent.push((mac, Ip::new(P, H, 99).build(b"unknown")));
    }
    // A fragment that is not the first.
    silent.push((H_MAC, fragment(&Ip::new(P, H, 99), 8, false, b"12345678")));
    for (mac, packet) in silent {
        assert_eq!(b.give(packet::ethernet(mac, P_MAC, 0x0800, &packet)), [], "{mac:?} {packet:?}");
    }
    assert_eq!(b.stack.stats().icmp_out, 0);
    // What does merit one gets it, whole or put together, and is quoted.
    let good = Ip::new(P, H, 17).build(&closed(P, H));
    assert_eq!(b.give_ip(&Ip::new(P, H, 17), &closed(P, H)), [Seen::Icmp(H, P, 3, 3, [0; 4], good)]);
    let unknown = Ip::new(P, H, 99).build(b"unknown");
    assert_eq!(b.give_ip(&Ip::new(P, H, 99), b"unknown"), [Seen::Icmp(H, P, 3, 2, [0; 4], unknown)]);
    b.pass(Duration::from_secs(90));
    b.with_neighbors().is_well();
}

// H037: RFC 1812 §4.3.2.3's length.
#[test]
fn an_error_quotes_no_more_than_fits_576_octets() {
    let mut b = bench();
    for len in [0, 1, 519, 520, 521, 1400] {
        let packet = Ip::new(P, H, 17).build(&packet::udp((P, 7), (H, 9), &vec![5; len]));
        let seen = b.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &packet));
        let quote = packet[..packet.len().min(548)].to_vec();
        assert_eq!(seen, [Seen::Icmp(H, P, 3, 3, [0; 4], quote)], "{len}");
    }
    b.is_well();
}

// H038
#[test]
fn a_flood_draws_errors_within_the_rate_and_every_ping_is_answered() {
    let mut b = Bench::new().with_live_neighbors();
    let q = Ipv4Addr::new(198, 51, 100, 7);
    let (mut errors, mut to_q) = (0, 0);
    for n in 0..20_000u32 {
        for seen in b.give_udp(7, 9, b"x") {
            errors += u32::from(matches!(seen, Seen::Icmp(_, P, 3, 3, ..)));
        }
        if n % 10 == 0 {
            let [a, c] = (n as u16).to_be_bytes();
            let seen = b.give_ip(&Ip::new(P, H, 1), &packet::icmp(8, 0, [0, 1, a, c], b"ping"));
            assert_eq!(seen, [Seen::Icmp(H, P, 0, 0, [0, 1, a, c], b"ping".to_vec())], "{n}");
        }
        if n % 400 == 0 {
            let packet = Ip::new(q, H, 17).build(&packet::udp((q, 7), (H, 9), b"x"));
            let seen = b.give(packet::ethernet(H_MAC, R_MAC, 0x0800, &packet));
            to_q += seen.iter().filter(|s| matches!(s, Seen::Icmp(_, to, 3, 3, ..) if *to == q)).count();
        }
        b.now += Duration::from_micros(500);
    }
    // Config::reply_rate is 100 a second, half of it to one destination, and a second's worth at once.
    assert!((450..=550).contains(&errors), "{errors} in ten seconds");
    assert_eq!(to_q, 50, "the flood takes nothing from others");
    assert_eq!(b.dropped(DropReason::RateLimited), 20_000 - errors as usize);
    assert_eq!(b.dropped(DropReason::UdpNoSocket), 20_050);
    b.with_neighbors().is_well();
}

// H038: as many as one poll takes in.
#[test]
fn a_burst_of_pings_is_answered_whole_and_a_full_card_only_delays_some() {
    let mut b = bench();
    let ping = |n: u8| packet::icmp(8, 0, [0, 1, 0, n], b"ping");
    let frames = (0..100).map(|n| packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(P, H, 1).build(&ping(n))));
    b.nic.rx.extend(frames.clone());
    let expected: Vec<_> = (0..100).map(|n| Seen::Icmp(H, P, 0, 0, [0, 1, 0, n], b"ping".to_vec())).collect();
    assert_eq!(b.poll(), expected);
    // With no room to send, receiving goes on; what finds no room to wait either is counted.
    b.nic.tx_room = 10;
    b.nic.rx.extend(frames);
    let mut seen = b.poll();
    assert!(b.nic.rx.is_empty());
    b.nic.tx_room = usize::MAX;
    seen.extend(b.pass(Duration::from_millis(20)).into_iter().map(|(_, s)| s));
    assert_eq!(seen.len() + b.dropped(DropReason::EgressFull), 100);
    assert!(seen.len() >= 10 + 16, "{}", seen.len());
    b.is_well();
}

// H039
#[test]
fn a_router_that_asks_for_smaller_packets_is_obeyed_at_once() {
    let mut b = bench();
    let (handle, first) = connection(&mut b);
    let text: Vec<u8> = (0..14_600u32).map(|i| (i * 7 + i / 250) as u8).collect();
    b.stack.tcp(handle).expect("open").write(&text).expect("room");
    let seen = b.poll();
    assert_eq!(segments(&seen).iter().map(|s| s.payload.len()).max(), Some(1460));
    let start = b.now;
    b.now += Duration::from_millis(20);
    let mut got = vec![None; text.len()];
    let mut sent = give_error(&mut b, 3, 4, mtu(1400), &quoted(H, 80, P, 7, first));
    assert!(segments(&sent).iter().any(|s| s.seq == first), "what was lost is sent again at once: {sent:?}");
    for _ in 0..200 {
        for s in segments(&sent) {
            assert!(s.payload.len() <= 1360, "{}", s.payload.len());
            for (i, &octet) in s.payload.iter().enumerate() {
                got[s.seq.wrapping_sub(first) as usize + i] = Some(octet);
            }
        }
        let edge = got.iter().take_while(|o| o.is_some()).count();
        if edge == text.len() {
            break;
        }
        b.now += Duration::from_millis(20);
        sent = ack(&mut b, first.wrapping_add(edge as u32));
        sent.extend(b.poll());
    }
    assert_eq!(got.into_iter().map(|o| o.unwrap_or(0)).collect::<Vec<_>>(), text);
    assert!(b.now.since(start) < Duration::from_secs(1), "before any time-out");
    ack(&mut b, first.wrapping_add(text.len() as u32));
    ends_well(b, handle);
}

// H040
#[test]
fn a_path_mtu_is_never_raised_nor_taken_below_the_floor() {
    for (told, least) in [(0u16, 512), (28, 512), (68, 512), (296, 512), (9000, 1460), (1500, 1460), (600, 560)] {
        let mut b = bench();
        let (handle, first) = connection(&mut b);
        b.stack.tcp(handle).expect("open").write(&[1; 3000]).expect("room");
        b.poll();
        give_error(&mut b, 3, 4, mtu(told), &quoted(H, 80, P, 7, first));
        let mss = b.stack.tcp(handle).expect("open").info().expect("open").mss;
        assert!((least..=1460).contains(&mss), "MTU {told}: MSS {mss}");
        assert!(told < 1500 || mss == 1460, "MTU {told}: MSS {mss}");
        ends_well(b, handle);
    }
}

// H040, H041
#[test]
fn errors_about_what_is_not_in_flight_are_counted_and_change_nothing() {
    let mut b = bench();
    let (handle, first) = connection(&mut b);
    b.stack.tcp(handle).expect("open").write(&[1; 1000]).expect("room");
    b.poll();
    for seq in [first.wrapping_sub(1), first.wrapping_add(1000), first.wrapping_add(1 << 31)] {
        for (kind, code) in [(3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (11, 0), (12, 0)] {
            assert_eq!(give_error(&mut b, kind, code, mtu(600), &quoted(H, 80, P, 7, seq)), []);
        }
    }
    assert_eq!(b.dropped(DropReason::IcmpBadSequence), 21);
    let mut socket = b.stack.tcp(handle).expect("open");
    assert_eq!((socket.take_soft_error(), socket.state()), (None, State::Established));
    assert_eq!(socket.info().expect("open").mss, 1460);
    // For destinations and ports never used no state is made.
    let before = b.stack.neighbors().count();
    for n in 0..10_000u32 {
        let dst = Ipv4Addr::from(0xc633_6400 + n);
        assert_eq!(give_error(&mut b, 3, 4, mtu(600), &quoted(H, 80, dst, 7, n)), []);
    }
    assert_eq!(b.dropped(DropReason::IcmpNoSocket), 10_000);
    assert_eq!((b.stack.neighbors().count(), b.frames_in_use()), (before, 0));
    ends_well(b, handle);
}

// H041
#[test]
fn a_connection_survives_unreachables_and_tells_of_them() {
    let mut b = bench();
    let (handle, first) = connection(&mut b);
    b.stack.tcp(handle).expect("open").write(&[1; 1000]).expect("room");
    b.poll();
    for code in 0..4 {
        give_error(&mut b, 3, code, [0; 4], &quoted(H, 80, P, 7, first));
        let mut socket = b.stack.tcp(handle).expect("open");
        assert_eq!(socket.take_soft_error(), Some(SoftError::Unreachable), "code {code}");
        assert_eq!((socket.take_soft_error(), socket.state()), (None, State::Established));
    }
    ack(&mut b, first.wrapping_add(1000));
    let text = b.text(7, 80, 1001, first.wrapping_add(1000), b"alive");
    b.give_tcp(&text);
    let mut buf = [0; 9];
    assert_eq!(b.stack.tcp(handle).expect("open").read(&mut buf), Ok(5));
    ends_well(b, handle);
}

// H041
#[test]
fn source_quench_is_ignored_in_every_state() {
    let mut b = bench();
    let options = ConnectOptions { local_port: 99, ..ConnectOptions::default() };
    let opening = b.stack.tcp_connect(SocketAddr::new(P.into(), 7), &options).expect("a route");
    let seen = b.poll();
    let iss = segments(&seen)[0].seq;
    let (handle, first) = connection(&mut b);
    b.stack.tcp(handle).expect("open").write(&[1; 1000]).expect("room");
    b.poll();
    give_error(&mut b, 4, 0, [0; 4], &quoted(H, 99, P, 7, iss));
    give_error(&mut b, 4, 0, [0; 4], &quoted(H, 80, P, 7, first));
    assert_eq!(b.dropped(DropReason::IcmpSourceQuench), 2);
    for (h, state) in [(opening, State::SynSent), (handle, State::Established)] {
        let mut socket = b.stack.tcp(h).expect("open");
        assert_eq!((socket.state(), socket.take_soft_error()), (state, None));
    }
    b.stack.tcp(opening).expect("open").abort();
    ends_well(b, handle);
}

// H041: before it is established a connection is refused by a port that does not exist (RFC 5461).
#[test]
fn a_syn_answered_by_port_unreachable_ends_or_goes_on_but_never_hangs() {
    let mut b = bench();
    let options = ConnectOptions { local_port: 99, ..ConnectOptions::default() };
    let opening = b.stack.tcp_connect(SocketAddr::new(P.into(), 7), &options).expect("a route");
    let iss = segments(&b.poll())[0].seq;
    give_error(&mut b, 3, 3, [0; 4], &quoted(H, 99, P, 7, iss));
    let sent = b.pass(Duration::from_secs(600));
    let ended = b.stack.tcp(opening).expect("open").error();
    assert!(ended.is_some(), "{} SYNs later", sent.len());
    ends_well(b.with_neighbors(), opening);
}

fn connected(b: &mut Bench) -> UdpHandle {
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port");
    b.stack.udp(udp).expect("open").connect(SocketAddr::new(P.into(), 9)).expect("a route");
    udp
}

fn trouble(b: &mut Bench, udp: UdpHandle) -> RecvError {
    b.stack.udp(udp).expect("open").recv_from(&mut [0; 9]).expect_err("nothing was sent")
}

/// The datagram that an error quotes.
fn datagram(src: Ipv4Addr, from: u16) -> Vec<u8> {
    Ip::new(src, P, 17).build(&packet::udp((src, from), (P, 9), b"text"))
}

// H042
#[test]
fn an_error_that_cannot_be_about_a_packet_of_ours_reaches_no_socket() {
    let mut b = bench();
    let udp = connected(&mut b);
    let good = datagram(H, 5000);
    let mut version = good.clone();
    version[0] = 0x65;
    for quote in [datagram(P, 5000), datagram(H, 0), version, vec![]] {
        assert_eq!(give_error(&mut b, 3, 3, [0; 4], &quote), []);
        assert_eq!(trouble(&mut b, udp), RecvError::WouldBlock);
    }
    assert_eq!(b.dropped(DropReason::IcmpBadQuote), 4);
    for dst in [Ipv4Addr::BROADCAST, Ipv4Addr::new(192, 0, 2, 255), Ipv4Addr::new(224, 0, 0, 1)] {
        let packet = Ip::new(R, dst, 1).build(&packet::icmp(3, 3, [0; 4], &good));
        for mac in [ALL, H_MAC] {
            assert_eq!(b.give(packet::ethernet(mac, R_MAC, 0x0800, &packet)), []);
        }
        assert_eq!(trouble(&mut b, udp), RecvError::WouldBlock, "{dst}");
    }
    // Another port, and another peer than the socket's.
    give_error(&mut b, 3, 3, [0; 4], &datagram(H, 5001));
    let elsewhere = Ip::new(H, R, 17).build(&packet::udp((H, 5000), (R, 9), b"text"));
    give_error(&mut b, 3, 3, [0; 4], &elsewhere);
    assert_eq!(trouble(&mut b, udp), RecvError::WouldBlock);
    // A socket that is not connected cannot know which of its datagrams it is about.
    let unconnected = b.stack.udp_bind(None, 5002, &UdpOptions::default()).expect("a free port");
    give_error(&mut b, 3, 3, [0; 4], &datagram(H, 5002));
    assert_eq!(trouble(&mut b, unconnected), RecvError::WouldBlock);
    assert_eq!(b.dropped(DropReason::IcmpNoSocket), 3);
    give_error(&mut b, 3, 3, [0; 4], &good);
    assert_eq!(trouble(&mut b, udp), RecvError::Refused);
    b.is_well();
}

// H043
#[test]
fn a_quote_of_eight_octets_is_enough_and_seven_are_not() {
    let mut b = bench();
    let udp = connected(&mut b);
    let good = datagram(H, 5000);
    for (kind, code, expected) in
        [(3, 3, RecvError::Refused), (3, 1, RecvError::Unreachable), (11, 0, RecvError::Unreachable)]
    {
        give_error(&mut b, kind, code, [0; 4], &good[..28]);
        assert_eq!(trouble(&mut b, udp), expected);
    }
    give_error(&mut b, 3, 3, [0; 4], &good[..28]);
    let to = SocketAddr::new(P.into(), 9);
    assert_eq!(b.stack.udp(udp).expect("open").send_to(b"x", to), Err(SendError::Refused), "told once, by any call");
    let mut long = good.clone();
    long[0] = 0x4f;
    let mut part = good.clone();
    part[7] = 1;
    let mut nested = good[..28].to_vec();
    for _ in 0..20 {
        nested = Ip::new(H, P, 1).build(&packet::icmp(3, 3, [0; 4], &nested));
    }
    for quote in [&good[..27], &good[..20], &long, &part, &nested] {
        give_error(&mut b, 3, 3, [0; 4], quote);
        assert_eq!(trouble(&mut b, udp), RecvError::WouldBlock);
    }
    assert_eq!(b.dropped(DropReason::IcmpBadQuote), 5);
    b.is_well();
}

// H044
#[test]
fn an_echo_of_any_length_comes_back_as_it_was() {
    let mut b = Bench::new().with_live_neighbors();
    let lengths = (0..70).chain([1471, 1472, 1473, 2000, 40_000, 65_506, 65_507]);
    for len in lengths {
        let data: Vec<u8> = (0..len).map(|i| (i * 7 + i / 250) as u8).collect();
        let message = packet::icmp(8, 0, [0xab, 0xcd, 1, 2], &data);
        let header = Ip { ident: len as u16, ..Ip::new(P, H, 1) };
        let mut seen = Vec::new();
        let packets = if len > 1472 { fragments(&header, &message, 1480) } else { vec![header.build(&message)] };
        for packet in packets {
            seen.extend(b.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &packet)));
        }
        seen.extend(b.pass(Duration::from_millis(100)).into_iter().map(|(_, s)| s));
        assert_eq!(packet::join(&seen, 1), [Seen::Icmp(H, P, 0, 0, [0xab, 0xcd, 1, 2], data)], "{len}");
    }
    b.with_neighbors().is_well();
}

// H044
#[test]
fn an_echo_is_answered_whatever_its_checksum_comes_to_and_not_at_all_when_it_is_wrong() {
    let mut b = bench();
    let mut zeros = 0;
    for word in 0..=u16::MAX {
        let data = word.to_be_bytes();
        let message = packet::icmp(8, 0, [0; 4], &data);
        // The request's or the reply's checksum is one of the two zeros, or near them.
        if ![[0, 0], [0, 1], [8, 0], [7, 0xff], [0xff, 0xff], [0xf7, 0xff], [0xf8, 0]]
            .contains(&[message[2], message[3]])
        {
            continue;
        }
        zeros += 1;
        assert_eq!(b.give_ip(&Ip::new(P, H, 1), &message), [Seen::Icmp(H, P, 0, 0, [0; 4], data.to_vec())]);
    }
    assert!(zeros >= 5, "{zeros}");
    let good = packet::icmp(8, 0, [0; 4], b"ping");
    for len in 0..8 {
        assert_eq!(b.give_ip(&Ip::new(P, H, 1), &good[..len]), []);
    }
    assert_eq!(b.dropped(DropReason::IcmpMalformed), 8);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(b.give_ip(&Ip::new(P, H, 1), &bad), [], "bit {bit}");
    }
    assert_eq!(b.dropped(DropReason::IcmpChecksum), good.len() * 8);
    let second = Ipv4Addr::new(192, 0, 2, 10);
    b.stack.add_address(b.iface, "192.0.2.10/24".parse().expect("a prefix")).expect("room");
    b.poll();
    let seen = b.give_ip(&Ip::new(P, second, 1), &good);
    assert_eq!(seen, [Seen::Icmp(second, P, 0, 0, [0; 4], b"ping".to_vec())], "from the address that was pinged");
    b.is_well();
}
