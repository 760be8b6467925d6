//! IPv6 as a whole stack does it: extension headers, errors and their restraint, sockets, fragments, path MTUs.

use ringtap::device::{Capabilities, Medium};
use ringtap::error::{AddressError, ConnectError, SendError};
use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stack::Echoed;
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, ListenOptions, TcpOptions};
use ringtap::time::Duration;
use ringtap_sim::bench::{P_MAC, R_MAC, Setup};
use ringtap_sim::packet::{ACK, FIN, RST, SYN, Tcp, ethernet};
use ringtap_sim::six::{self, ALL_NODES, H, H_LL, Ip6, NOBODY, P, P_LL, R, Sent, give, node_group, v6};
use ringtap_sim::{Bench, Pattern};
use std::net::{Ipv6Addr, SocketAddr};

const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);
const PORT: u16 = 5000;

fn bind(b: &mut Bench) -> UdpHandle {
    let options = UdpOptions { rx_queue: 64, ..UdpOptions::default() };
    b.stack.udp_bind(None, PORT, &options).expect("a free port")
}

fn received(b: &mut Bench, udp: UdpHandle) -> Vec<Vec<u8>> {
    let mut buf = vec![0; 70_000];
    let mut all = Vec::new();
    while let Ok(got) = b.stack.udp(udp).expect("open").recv_from(&mut buf) {
        assert_eq!((got.from, got.local), (SocketAddr::new(v6(P), 7), v6(H)));
        all.push(buf[..got.len].to_vec());
    }
    all
}

fn datagram(payload: &[u8]) -> Vec<u8> {
    six::udp((P, 7), (H, PORT), payload)
}

/// UDP to our port behind these headers.
fn behind(next: u8, headers: &[u8]) -> Vec<u8> {
    Ip6::to_h(next).build(&[headers, &datagram(b"text")].concat())
}

const PADDED: [u8; 8] = [17, 0, 1, 4, 0, 0, 0, 0];

// H032
#[test]
fn datagrams_behind_harmless_headers_are_delivered_and_no_next_header_is_silence() {
    let mut b = six::bench();
    let udp = bind(&mut b);
    let routing = [17, 0, 0, 0, 1, 2, 3, 4];
    let both = [&[43, 0, 1, 4, 0, 0, 0, 0][..], &routing].concat();
    for packet in [
        behind(60, &PADDED),
        behind(43, &routing),
        behind(60, &both),
        behind(0, &PADDED),
        behind(44, &six::piece(17, 0, false, 1, &[])),
        behind(60, &[17, 0, 0x1e, 4, 0, 0, 0, 0]),
    ] {
        assert_eq!(give(&mut b, packet.clone()), []);
        assert_eq!(received(&mut b, udp), [b"text".to_vec()], "{packet:x?}");
    }
    assert_eq!(give(&mut b, Ip6::to_h(59).build(b"whatever")), []);
    six::is_well(&mut b);
}

fn problem(seen: &[Sent], packet: &[u8]) -> Option<(u8, u32)> {
    let [s] = seen else { return None };
    let (4, code, pointer) = s.icmp()? else { return None };
    assert_eq!((s.src, s.dst, &s.payload[8..]), (H, P, packet), "to the sender, quoting all of it");
    Some((code, pointer))
}

// H033, H035
#[test]
fn what_is_not_understood_is_told_with_the_right_pointer() {
    let mut b = six::bench();
    bind(&mut b);
    let options = [200, 0, 1, 4, 0, 0, 0, 0];
    for (packet, expected) in [
        (Ip6::to_h(200).build(b"12345678"), (1, 6)),
        (Ip6::to_h(60).build(&options), (1, 40)),
        (behind(60, &[0, 0, 1, 4, 0, 0, 0, 0]), (1, 40)),
        (behind(43, &[17, 0, 0, 1, 0, 0, 0, 0]), (0, 42)),
        (behind(43, &[17, 2, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]), (0, 42)),
        (behind(43, &[17, 0, 99, 1, 0, 0, 0, 0]), (0, 42)),
    ] {
        let seen = give(&mut b, packet.clone());
        assert_eq!(problem(&seen, &packet), Some(expected), "{packet:x?} {seen:?}");
    }
    six::is_well(&mut b);
}

// H034
#[test]
fn an_options_action_bits_are_obeyed() {
    for (kind, delivered, alone, group) in [
        (0x1e, true, None, None),
        (0x5e, false, None, None),
        (0x9e, false, Some((2, 42)), Some((2, 42))),
        (0xde, false, Some((2, 42)), None),
    ] {
        for next in [0, 60] {
            let mut b = six::bench();
            let udp = bind(&mut b);
            let packet = behind(next, &[17, 0, kind, 4, 0, 0, 0, 0]);
            let seen = give(&mut b, packet.clone());
            assert_eq!(problem(&seen, &packet), alone, "{kind:x}");
            assert_eq!(received(&mut b, udp).len(), usize::from(delivered), "{kind:x}");
            for (dst, member) in [(ALL_NODES, true), (node_group(H), true), (node_group(FAR), false)] {
                let options = [17, 0, kind, 4, 0, 0, 0, 0];
                let packet = Ip6::new(P, dst, next).build(&[&options[..], &six::udp((P, 7), (dst, 9), b"x")].concat());
                let seen = give(&mut b, packet.clone());
                assert_eq!(problem(&seen, &packet), group.filter(|_| member), "{kind:x} to {dst}");
            }
        }
    }
}

// H036
#[test]
fn headers_without_end_cost_little_and_get_no_further() {
    let mut b = six::bench();
    let udp = bind(&mut b);
    let chain: Vec<u8> = (0..128).flat_map(|n| [if n == 127 { 17 } else { 60 }, 0, 1, 4, 0, 0, 0, 0]).collect();
    let pads = [&[17, 160][..], &[0; 1286]].concat();
    let before = b.dropped(DropReason::Ipv6Extension);
    for packet in [
        behind(60, &[17, 255, 1, 4, 0, 0, 0, 0]),
        behind(60, &[17, 0, 0x1e, 5, 0, 0, 0, 0]),
        behind(60, &chain),
        behind(60, &pads),
        behind(0, &pads),
    ] {
        assert_eq!(give(&mut b, packet), []);
    }
    for len in 0..48 {
        let packet = Ip6::to_h(60).build(&behind(60, &PADDED)[40..40 + len.min(8)]);
        assert_eq!(give(&mut b, packet[..(40 + len).min(packet.len())].to_vec()), []);
    }
    assert_eq!(received(&mut b, udp).len(), 0);
    assert!(b.dropped(DropReason::Ipv6Extension) >= before + 5);
    six::is_well(&mut b);
}

// H037
#[test]
fn what_merits_an_error_but_must_not_have_one_meets_silence() {
    let mut b = six::bench();
    let closed = |src, dst| six::udp((src, 7), (dst, 9), b"nobody");
    // It does merit one.
    let seen = give(&mut b, Ip6::to_h(17).build(&closed(P, H)));
    assert_eq!(seen.iter().map(Sent::icmp).collect::<Vec<_>>(), [Some((1, 4, 0))]);
    let error = |kind| six::icmp(P, H, kind, 0, [0; 4], &Ip6::new(H, P, 17).build(&[0; 8]));
    let about_error = |next: u8, header: [u8; 8]| Ip6::to_h(next).build(&[&header[..], &error(1)].concat());
    for packet in [
        Ip6::new(P, ALL_NODES, 17).build(&closed(P, ALL_NODES)),
        Ip6::new(P, node_group(H), 200).build(b"12345678"),
        Ip6::new(NOBODY, H, 17).build(&closed(NOBODY, H)),
        Ip6::new(NOBODY, ALL_NODES, 17).build(&closed(NOBODY, ALL_NODES)),
        Ip6::new(ALL_NODES, H, 17).build(&closed(ALL_NODES, H)),
        Ip6::new(Ipv6Addr::LOCALHOST, H, 17).build(&closed(Ipv6Addr::LOCALHOST, H)),
        Ip6::to_h(44).build(&six::piece(200, 8, false, 3, b"12345678")),
        about_error(60, [58, 0, 0xde, 4, 0, 0, 0, 0]),
        about_error(43, [58, 0, 0, 1, 0, 0, 0, 0]),
    ] {
        assert_eq!(give(&mut b, packet.clone()), [], "{packet:x?}");
    }
    for kind in [1, 2, 3, 4, 100, 127] {
        assert_eq!(give(&mut b, Ip6::to_h(58).build(&error(kind))), [], "{kind}");
    }
    // In a link-layer group.
    let packet = Ip6::to_h(17).build(&closed(P, H));
    assert_eq!(b.give(ethernet([0xff; 6], P_MAC, 0x86dd, &packet)), []);
}

// H037, H038
#[test]
fn errors_are_short_and_their_rate_is_bounded() {
    let mut b = six::bench();
    let long = Ip6::to_h(17).build(&six::udp((P, 7), (H, 9), &[5; 1400]));
    let seen = give(&mut b, long);
    assert_eq!((seen.len(), seen[0].payload.len()), (1, 1280 - 40));
    let mut count = 0;
    for _ in 0..2_000 {
        count += give(&mut b, Ip6::to_h(17).build(&six::udp((P, 7), (H, 9), b"x"))).len();
    }
    assert!((1..=100).contains(&count), "{count} in no time");
    six::is_well(&mut b);
}

// H044 for ICMPv6
#[test]
fn an_echo_of_any_length_comes_back_as_it_was() {
    let mut b = six::bench();
    for len in [0, 1, 7, 1_000, 1_452, 1_453, 4_000, 20_001] {
        let data: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
        let message = six::icmp(P, H, 128, 0, [1, 2, 3, 4], &data);
        let mut seen = Vec::new();
        let pieces: Vec<_> = message.chunks(1_448).enumerate().collect();
        for &(n, part) in &pieces {
            let (at, more) = (n * 1_448, n + 1 < pieces.len());
            let packet = match pieces.len() {
                1 => Ip6::to_h(58).build(&message),
                _ => Ip6::to_h(44).build(&six::piece(58, at, more, len as u32, part)),
            };
            seen.extend(give(&mut b, packet));
        }
        let reply = joined(&seen);
        assert_eq!(reply, six::icmp(H, P, 129, 0, [1, 2, 3, 4], &data), "{len}");
    }
    let mut broken = six::icmp(P, H, 128, 0, [1, 2, 3, 4], b"data");
    broken[9] ^= 1;
    assert_eq!(give(&mut b, Ip6::to_h(58).build(&broken)), []);
    assert_eq!(b.dropped(DropReason::IcmpChecksum), 1);
    six::is_well(&mut b);
}

/// What was sent, put together where it was in pieces.
fn joined(seen: &[Sent]) -> Vec<u8> {
    if let [whole] = seen {
        assert_ne!(whole.next, 44);
        return whole.payload.clone();
    }
    let mut all = Vec::new();
    let mut idents = std::collections::HashSet::new();
    for (n, s) in seen.iter().enumerate() {
        assert_eq!(s.next, 44, "a fragment");
        let field = u16::from_be_bytes([s.payload[2], s.payload[3]]);
        assert_eq!((usize::from(field & 0xfff8), field & 1 != 0), (all.len(), n + 1 < seen.len()), "in its place");
        assert!(field & 1 == 0 || (s.payload.len() - 8) % 8 == 0);
        idents.insert(s.payload[4..8].to_vec());
        all.extend(&s.payload[8..]);
    }
    assert_eq!(idents.len(), 1, "one identification");
    all
}

// H046
#[test]
fn a_datagram_without_a_checksum_is_dropped_even_where_the_card_verified_it() {
    let mut b = six::bench();
    let udp = bind(&mut b);
    let mut d = datagram(b"text");
    d[6..8].fill(0);
    let packet = Ip6::to_h(17).build(&d);
    assert_eq!(give(&mut b, packet.clone()), []);
    b.nic.rx_meta.checksum = ringtap::device::RxChecksum::Verified;
    assert_eq!(give(&mut b, packet), []);
    assert_eq!((received(&mut b, udp).len(), b.dropped(DropReason::UdpChecksum)), (0, 2));
    b.nic.rx_meta.checksum = ringtap::device::RxChecksum::None;
    d[6..8].fill(1);
    assert_eq!(give(&mut b, Ip6::to_h(17).build(&d)), []);
    assert_eq!(b.dropped(DropReason::UdpChecksum), 3);
    six::is_well(&mut b);
}

// H047, H024 for IPv6
#[test]
fn a_datagram_of_any_length_leaves_whole_or_in_pieces() {
    let mut b = six::bench();
    let udp = bind(&mut b);
    for len in [0, 1, 1_451, 1_452, 1_453, 4_000, 65_507] {
        let data: Vec<u8> = (0..len).map(|i| (i * 3) as u8).collect();
        b.stack.udp(udp).expect("open").send_to(&data, SocketAddr::new(v6(P), 7)).expect("room");
        let sent = joined(&six::of(&b.poll()));
        assert_eq!(sent, six::udp((H, PORT), (P, 7), &data), "{len}");
    }
    let too_long = b.stack.udp(udp).expect("open").send_to(&[0; 65_508], SocketAddr::new(v6(P), 7));
    assert_eq!(too_long, Err(SendError::TooLong));
    six::is_well(&mut b);
}

// H026, H030
#[test]
fn fragments_that_cannot_be_are_dropped_and_told_of() {
    let mut b = six::bench();
    let udp = bind(&mut b);
    for (offset, more, len, expected) in [
        (65_528, false, 100, Some((0, 42))),
        (0, true, 9, Some((0, 4))),
        (8, true, 1_001, Some((0, 4))),
        (8, true, 0, None),
    ] {
        let packet = Ip6::to_h(44).build(&six::piece(17, offset, more, 1, &vec![1; len]));
        let seen = give(&mut b, packet.clone());
        assert_eq!(problem(&seen, &packet), expected, "{offset} {more} {len}");
    }
    assert_eq!(received(&mut b, udp).len(), 0);
    six::is_well(&mut b);
}

fn pieces(len: usize, ident: u32) -> (Vec<u8>, Vec<Vec<u8>>) {
    let data: Vec<u8> = (0..len).map(|i| (i / 5) as u8).collect();
    let whole = datagram(&data);
    let count = whole.len().div_ceil(800);
    let pieces = whole.chunks(800).enumerate().map(|(n, part)| six::piece(17, n * 800, n + 1 < count, ident, part));
    (data, pieces.map(|p| Ip6::to_h(44).build(&p)).collect())
}

// H028
#[test]
fn fragments_in_every_order_each_twice_are_delivered_once() {
    let mut b = six::bench();
    let udp = bind(&mut b);
    let mut ident = 0;
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1], [3, 0, 1, 2]] {
        ident += 1;
        let (data, pieces) = pieces(3_000, ident);
        assert_eq!(pieces.len(), 4);
        for n in order {
            give(&mut b, pieces[n].clone());
            give(&mut b, pieces[n].clone());
        }
        assert_eq!(received(&mut b, udp), [data], "{order:?}");
        six::pass(&mut b, Duration::from_secs(1));
    }
    six::is_well(&mut b);
}

// H027
#[test]
fn overlapping_fragments_spoil_their_packet_for_good() {
    let mut b = six::bench();
    let udp = bind(&mut b);
    let (_, pieces) = pieces(3_000, 9);
    let overlap = Ip6::to_h(44).build(&six::piece(17, 792, true, 9, &[0; 16]));
    give(&mut b, pieces[0].clone());
    assert_eq!(give(&mut b, overlap), []);
    for piece in &pieces {
        assert_eq!(give(&mut b, piece.clone()), []);
    }
    assert_eq!(received(&mut b, udp).len(), 0);
    assert!(b.dropped(DropReason::FragmentOverlap) >= 1);
    six::pass(&mut b, Duration::from_secs(61));
    six::is_well(&mut b);
}

// H031
#[test]
fn after_a_minute_the_source_is_told_if_the_first_fragment_came() {
    for (which, told) in [(0, true), (1, false)] {
        let mut b = six::bench();
        let (_, pieces) = pieces(3_000, 9);
        give(&mut b, pieces[which].clone());
        assert!(b.frames_in_use() > 0);
        give(&mut b, six::solicit(P, node_group(H), H, Some(P_MAC)));
        let seen = six::pass(&mut b, Duration::from_secs(61));
        let errors: Vec<_> = seen.iter().filter_map(|(_, s)| s.icmp()).filter(|i| i.0 == 3).collect();
        assert_eq!(errors, if told { vec![(3, 1, 0)] } else { vec![] });
        assert_eq!(b.frames_in_use(), 0);
    }
}

// H025
#[test]
fn ten_thousand_lone_fragments_hold_a_bounded_number_of_frames() {
    let mut b = six::bench();
    let udp = bind(&mut b);
    for ident in 0..10_000 {
        give(&mut b, Ip6::to_h(44).build(&six::piece(17, 0, true, ident, &[0; 64])));
        assert!(b.frames_in_use() <= 16);
    }
    let (data, pieces) = pieces(3_000, 20_000);
    pieces.into_iter().for_each(|p| _ = give(&mut b, p));
    assert_eq!(received(&mut b, udp), [data]);
}

#[test]
fn an_echo_sockets_request_and_its_reply_or_error_find_each_other() {
    let mut b = six::bench();
    let socket = b.stack.icmp_bind(Some(77)).expect("room");
    b.stack.icmp_send(socket, v6(P), 5, b"payload", None).expect("a way");
    let seen = six::of(&b.poll());
    assert_eq!(seen[0].payload, six::icmp(H, P, 128, 0, [0, 77, 0, 5], b"payload"));
    give(&mut b, Ip6 { hops: 61, ..Ip6::to_h(58) }.build(&six::icmp(P, H, 129, 0, [0, 77, 0, 5], b"payload")));
    let mut buf = [0; 32];
    let reply = Echoed::Reply { from: v6(P), seq: 5, len: 7, ttl: 61 };
    assert_eq!(b.stack.icmp_recv(socket, &mut buf), Ok(reply));
    assert_eq!(&buf[..7], b"payload");
    let quote = Ip6::new(H, P, 58).build(&seen[0].payload);
    give(&mut b, Ip6::to_h(58).build(&six::icmp(P, H, 3, 0, [0; 4], &quote)));
    let error = ringtap::icmp::IcmpError::HopsExceeded;
    assert_eq!(b.stack.icmp_recv(socket, &mut buf), Ok(Echoed::Error { from: v6(P), seq: 5, error }));
    // Not ours, or too little of it.
    for quote in [Ip6::new(FAR, P, 58).build(&seen[0].payload), quote[..47].to_vec()] {
        give(&mut b, Ip6::to_h(58).build(&six::icmp(P, H, 3, 0, [0; 4], &quote)));
        assert!(b.stack.icmp_recv(socket, &mut buf).is_err());
    }
}

#[test]
fn a_raw_sockets_packets_go_and_come_as_they_are() {
    let mut b = six::bench();
    let raw = b.stack.raw_bind(Some(200)).expect("room");
    let packet = Ip6::to_h(200).build(b"something");
    assert_eq!(give(&mut b, packet.clone()), []);
    let mut buf = [0; 100];
    assert_eq!(b.stack.raw_recv(raw, &mut buf), Ok(packet.len()));
    assert_eq!(&buf[..packet.len()], packet);
    let out = Ip6::new(H, P, 200).build(b"an answer");
    b.stack.raw_send(raw, &out).expect("a way");
    let seen = six::of(&b.poll());
    assert_eq!((seen[0].next, seen[0].payload.as_slice(), seen[0].mac), (200, &b"an answer"[..], P_MAC));
    assert_eq!(b.stack.raw_send(raw, &out[..45]), Err(SendError::Malformed));
}

fn give_tcp(b: &mut Bench, segment: &Tcp) -> Vec<Tcp> {
    let seen = give(b, Ip6::to_h(6).build(&six::tcp(segment, P, H)));
    segments(&seen)
}

fn segments(seen: &[Sent]) -> Vec<Tcp> {
    seen.iter().filter(|s| s.next == 6).map(|s| read_tcp(&s.payload)).collect()
}

fn read_tcp(s: &[u8]) -> Tcp {
    let be32 = |at: usize| u32::from_be_bytes([s[at], s[at + 1], s[at + 2], s[at + 3]]);
    let header = usize::from(s[12] >> 4) * 4;
    Tcp {
        src: u16::from_be_bytes([s[0], s[1]]),
        dst: u16::from_be_bytes([s[2], s[3]]),
        seq: be32(4),
        ack: be32(8),
        flags: s[13] & 0x3f,
        ecn: s[13] & 0xc0,
        window: u16::from_be_bytes([s[14], s[15]]),
        options: s[20..header].to_vec(),
        payload: s[header..].to_vec(),
        ..Tcp::default()
    }
}

/// A connection that P has opened; H's ISS.
fn accepted(b: &mut Bench, mss: [u8; 2]) -> (ringtap::tcp::TcpHandle, u32) {
    let listener = b.stack.tcp_listen(None, 80, &ListenOptions::default()).expect("a free port");
    let syn = Tcp { src: 4000, dst: 80, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
    let seen = give_tcp(b, &Tcp { options: vec![2, 4, mss[0], mss[1]], ..syn.clone() });
    assert_eq!((seen.len(), seen[0].flags, seen[0].option(2)), (1, SYN | ACK, Some(vec![5, 0xa0])), "MSS 1440");
    give_tcp(b, &Tcp { seq: 1001, ack: seen[0].seq + 1, flags: ACK, ..syn });
    let (handle, peer) = b.stack.tcp_accept(listener).expect("a connection");
    assert_eq!(peer, SocketAddr::new(v6(P), 4000));
    (handle, seen[0].seq)
}

fn ack(seq: u32, ack: u32) -> Tcp {
    Tcp { src: 4000, dst: 80, seq, ack, flags: ACK, window: 65_535, ..Tcp::default() }
}

#[test]
fn a_connection_carries_text_both_ways_and_ends() {
    let mut b = six::bench();
    let (tcp, iss) = accepted(&mut b, [5, 0xa0]);
    give_tcp(&mut b, &Tcp { payload: b"question".to_vec(), ..ack(1001, iss + 1) });
    let mut buf = [0; 32];
    assert_eq!(b.stack.tcp(tcp).expect("open").read(&mut buf), Ok(8));
    assert_eq!(b.stack.tcp(tcp).expect("open").write(b"answer"), Ok(6));
    let seen = segments(&six::of(&b.poll()));
    assert_eq!((seen.len(), seen[0].payload.as_slice(), seen[0].ack), (1, &b"answer"[..], 1009));
    let seen = give_tcp(&mut b, &Tcp { flags: ACK | FIN, ..ack(1009, iss + 7) });
    assert_eq!(seen[0].ack, 1010);
    b.stack.tcp(tcp).expect("open").close();
    let seen = segments(&six::of(&b.poll()));
    assert!(seen[0].has(FIN));
    give_tcp(&mut b, &ack(1010, iss + 8));
    assert_eq!(b.stack.tcp_connections(), 0);
    let seen = give_tcp(&mut b, &Tcp { dst: 81, flags: SYN, ..ack(1, 0) });
    assert!(seen[0].has(RST), "nobody listens there");
    six::is_well(&mut b);
}

// H039
#[test]
fn a_router_that_asks_for_smaller_packets_is_obeyed_at_once() {
    let mut b = six::bench();
    let (tcp, iss) = accepted(&mut b, [5, 0xa0]);
    let text: Vec<u8> = (0..6_000).map(|at| Pattern::default().octet(at)).collect();
    assert_eq!(b.stack.tcp(tcp).expect("open").write(&text), Ok(6_000));
    let sent = six::of(&b.poll());
    assert_eq!(sent[0].payload.len(), 20 + 1_440);
    let quote = Ip6::new(H, P, 6).build(&sent[0].payload);
    let too_big = |mtu: u32| Ip6::to_h(58).build(&six::icmp(P, H, 2, 0, mtu.to_be_bytes(), &quote[..1_200]));
    // H040: never raised, never below the minimum.
    for mtu in [0, 1_279, 9_000, 1_500] {
        assert_eq!(give(&mut b, too_big(mtu)), [], "{mtu}");
    }
    let mut got = vec![None; 6_000];
    let again = give(&mut b, too_big(1_400));
    assert!(!again.is_empty(), "without waiting for the time-out");
    let mut acked = iss + 1;
    let mut take = |segments: Vec<Tcp>, acked: &mut u32| {
        for s in segments {
            assert!(s.payload.len() + s.options.len() + 60 <= 1_400);
            for (n, octet) in s.payload.iter().enumerate() {
                got[(s.seq - iss - 1) as usize + n] = Some(*octet);
            }
            let contiguous = got.iter().take_while(|o| o.is_some()).count() as u32;
            *acked = iss + 1 + contiguous;
        }
    };
    take(segments(&again), &mut acked);
    for _ in 0..40 {
        let more = give_tcp(&mut b, &ack(1001, acked));
        take(more, &mut acked);
        let late = six::pass(&mut b, Duration::from_millis(50)).into_iter().map(|(_, s)| s).collect::<Vec<_>>();
        take(segments(&late), &mut acked);
    }
    assert!(got.iter().copied().eq(text.iter().map(|o| Some(*o))), "{acked}");
}

// H040, for datagrams
#[test]
fn a_datagrams_path_mtu_is_learned_from_errors_about_it_only() {
    let mut b = six::bench();
    let udp = bind(&mut b);
    let send = |b: &mut Bench| {
        b.stack.udp(udp).expect("open").send_to(&[9; 1_400], SocketAddr::new(v6(P), 7)).expect("room");
        six::of(&b.poll())
    };
    let sent = send(&mut b);
    let quote = Ip6::new(H, P, 17).build(&sent[0].payload);
    let about =
        |mtu: u32, quote: &[u8]| Ip6::to_h(58).build(&six::icmp(P, H, 2, 0, mtu.to_be_bytes(), &quote[..1_000]));
    let other_port = Ip6::new(H, P, 17).build(&six::udp((H, 1234), (P, 7), &[9; 1_400]));
    for packet in [about(0, &quote), about(1_279, &quote), about(9_000, &quote), about(1_300, &other_port)] {
        give(&mut b, packet);
        assert_eq!(send(&mut b).len(), 1);
    }
    give(&mut b, about(1_300, &quote));
    let pieces = send(&mut b);
    assert_eq!(pieces.len(), 2);
    assert!(pieces.iter().all(|p| p.payload.len() + 40 <= 1_300));
    six::pass(&mut b, Duration::from_secs(601));
    give(&mut b, six::solicit(P, node_group(H), H, Some(P_MAC)));
    assert_eq!(send(&mut b).len(), 1, "forgotten after ten minutes");
}

// H041
#[test]
fn a_connection_survives_unreachables_and_tells_of_them() {
    let mut b = six::bench();
    let (tcp, _) = accepted(&mut b, [5, 0xa0]);
    assert_eq!(b.stack.tcp(tcp).expect("open").write(b"text"), Ok(4));
    let sent = six::of(&b.poll());
    for code in 0..=6 {
        let quote = Ip6::new(H, P, 6).build(&sent[0].payload);
        give(&mut b, Ip6::to_h(58).build(&six::icmp(P, H, 1, code, [0; 4], &quote)));
        assert!(b.stack.tcp(tcp).expect("open").take_soft_error().is_some(), "{code}");
    }
    let mut old = sent[0].payload.clone();
    old[4] ^= 0x80;
    give(&mut b, Ip6::to_h(58).build(&six::icmp(P, H, 1, 0, [0; 4], &Ip6::new(H, P, 6).build(&old))));
    assert_eq!(b.dropped(DropReason::IcmpBadSequence), 1);
    assert_eq!(b.stack.tcp(tcp).expect("open").take_soft_error(), None);
    assert!(b.stack.tcp(tcp).expect("open").error().is_none());
}

#[test]
fn a_connection_to_a_link_local_address_goes_by_its_link() {
    let mut b = six::bench().with_second_link();
    let tcp = b.stack.tcp_connect(SocketAddr::new(v6(P_LL), 80), &ConnectOptions::default()).expect("a way");
    let sent = six::of(&b.poll());
    assert_eq!((sent.len(), sent[0].src, sent[0].dst, sent[0].mac), (1, H_LL, P_LL, P_MAC));
    b.stack.tcp(tcp).expect("open").abort();
    let ping = Ip6::new(P_LL, H_LL, 58).build(&six::icmp(P_LL, H_LL, 128, 0, [0; 4], b"?"));
    let seen = give(&mut b, ping);
    assert_eq!((seen.len(), seen[0].dst), (1, P_LL));
}

// H137, H138
#[test]
fn sources_are_ours_and_nothing_to_ourselves_reaches_the_wire() {
    let mut b = six::bench();
    let udp = bind(&mut b);
    for ip in [H, H_LL, Ipv6Addr::LOCALHOST] {
        b.stack.udp(udp).expect("open").send_to(b"to ourselves", SocketAddr::new(v6(ip), PORT)).expect("a way");
        assert_eq!(six::of(&b.poll()), []);
        let mut buf = [0; 64];
        let got = b.stack.udp(udp).expect("open").recv_from(&mut buf).expect("a datagram");
        assert_eq!(got.from.ip(), v6(ip), "from the address itself");
    }
    let mut bare = six::bare(|c| c.dad_transmits = 0);
    bare.stack.add_gateway(bare.iface, v6(R)).expect("a gateway");
    let udp = bind(&mut bare);
    let to = SocketAddr::new(v6(FAR), 7);
    assert_eq!(bare.stack.udp(udp).expect("open").send_to(b"x", to), Err(SendError::NoRoute), "no address at all");
    assert_eq!(bare.stack.tcp_connect(to, &ConnectOptions::default()), Err(ConnectError::NoRoute));
    bare.stack.add_address(bare.iface, "fe80::1/64".parse().expect("valid text")).expect("room");
    give(&mut bare, six::solicit(R, node_group(H_LL), H_LL, Some(R_MAC)));
    bare.stack.udp(udp).expect("open").send_to(b"x", to).expect("from the only address");
    let seen = six::of(&bare.poll());
    assert_eq!((seen[0].src, seen[0].dst, seen[0].mac), (H_LL, FAR, R_MAC));
}

// H143
#[test]
fn nothing_leaves_from_an_address_that_was_taken_away() {
    let mut b = six::bench();
    let udp = bind(&mut b);
    let (tcp, _) = accepted(&mut b, [5, 0xa0]);
    let stranger = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x99);
    b.stack.udp(udp).expect("open").send_to(b"parked", SocketAddr::new(v6(stranger), 7)).expect("room");
    b.poll();
    b.stack.udp(udp).expect("open").send_to(b"queued", SocketAddr::new(v6(P), 7)).expect("room");
    b.stack.remove_address(b.iface, v6(H)).expect("there");
    assert_eq!(six::of(&b.poll()), []);
    assert_eq!(give(&mut b, six::advert(stranger, H_LL, stranger, 0x60, Some(P_MAC))), []);
    assert_eq!(b.dropped(DropReason::SourceGone), 2);
    assert!(b.stack.tcp(tcp).expect("open").error().is_some());
    assert_eq!(b.frames_in_use(), 0);
}

// H021, H008
#[test]
fn impossible_addresses_and_link_layer_groups_are_dropped_without_a_trace() {
    let mut b = six::bench();
    bind(&mut b);
    let before: Vec<_> = b.stack.neighbors().collect();
    for src in [H, H_LL, Ipv6Addr::LOCALHOST, ALL_NODES, NOBODY, "::ffff:192.0.2.9".parse().expect("valid text")] {
        let packet = Ip6::new(src, H, 17).build(&six::udp((src, 7), (H, PORT), b"x"));
        assert_eq!(give(&mut b, packet), [], "{src}");
    }
    for dst in [FAR, NOBODY, Ipv6Addr::LOCALHOST] {
        assert_eq!(give(&mut b, Ip6::new(P, dst, 17).build(&six::udp((P, 7), (dst, PORT), b"x"))), [], "{dst}");
    }
    assert_eq!(b.give(ethernet([0x33, 0x33, 0, 0, 0, 1], P_MAC, 0x86dd, &Ip6::to_h(17).build(&datagram(b"x")))), []);
    // The EtherType and the version agree, or the packet is nobody's.
    assert_eq!(b.give(ethernet([2, 0, 0, 0, 0, 1], P_MAC, 0x0800, &Ip6::to_h(17).build(&datagram(b"x")))), []);
    assert_eq!(b.dropped(DropReason::UnknownEtherType), 1);
    assert_eq!(b.stack.neighbors().collect::<Vec<_>>(), before);
    assert_eq!(b.stack.stats().udp_in, 0);
    six::is_well(&mut b);
}

#[test]
fn a_default_listener_serves_both_families() {
    let mut b = six::bench();
    let (_, _) = accepted(&mut b, [5, 0xa0]);
    let options = ListenOptions { tcp: TcpOptions::default(), ..ListenOptions::default() };
    assert!(b.stack.tcp_listen(Some(v6(H)), 80, &options).is_err(), "it overlaps");
    assert!(b.stack.tcp_listen(Some(v6(P)), 81, &options).is_err(), "not ours");
}

// H162
#[test]
fn a_link_below_1280_octets_has_no_ipv6() {
    for (ip_mtu, fits) in [(68, false), (1_279, false), (1_280, true), (1_500, true)] {
        let caps = Capabilities::plain(Medium::Ethernet, ip_mtu);
        let mut b = Bench::built(Setup { caps, ..Setup::default() }, |_| {});
        let added = b.stack.add_address(b.iface, "2001:db8::1/64".parse().expect("valid text"));
        assert_eq!(added, if fits { Ok(()) } else { Err(AddressError::SmallMtu) }, "{ip_mtu}");
    }
}
