use super::*;
use crate::frame::BoxedPool;
use crate::wire::ipv4::parse as parse_ip;
use proptest::prelude::*;
extern crate std;
use std::vec::Vec;

const US: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

fn packet(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut p = std::vec![0; ipv4::HEADER];
    let fields = Fields { src, dst, protocol, ttl: 9, tos: 0xb9, ident: 5, dont_frag: false };
    ipv4::emit(&mut p, &fields, options.len() + payload.len());
    p.extend_from_slice(options);
    p[0] = 0x40 | (p.len() / 4) as u8;
    ipv4::set_checksum(&mut p);
    p.extend_from_slice(payload);
    p
}

fn message(kind: u8, code: u8, rest: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut m = std::vec![0; HEADER];
    m.extend_from_slice(data);
    emit(&mut m, &IcmpHeader { kind, code, rest });
    m
}

/// A segment that we could have sent.
fn quoted() -> Vec<u8> {
    packet(US, PEER, 6, &[], &[0x12, 0x34, 0, 80, 1, 2, 3, 4])
}

fn receive_ours(m: &[u8]) -> Result<Message<'_>, DropReason> {
    receive(m, Destination::Ours)
}

#[test]
fn errors_are_told_apart_and_quote_what_we_sent() {
    use IcmpError::*;
    let table = [
        (3, 0, HostUnreachable),
        (3, 1, HostUnreachable),
        (3, 2, ProtocolUnreachable),
        (3, 3, PortUnreachable),
        (3, 4, TooBig { mtu: 1400 }),
        (3, 5, HostUnreachable),
        (3, 9, Prohibited),
        (3, 13, Prohibited),
        (11, 0, HopsExceeded),
        (11, 1, ReassemblyTimeout),
        (12, 0, ParameterProblem),
    ];
    for (kind, code, expected) in table {
        let m = message(kind, code, [0, 0, 0x05, 0x78], &quoted());
        let Ok(Message::Error { error, quote }) = receive_ours(&m) else {
            panic!("{kind}/{code}");
        };
        assert_eq!(error, expected, "{kind}/{code}");
        assert_eq!((quote.src, quote.dst, quote.protocol), (US.into(), PEER.into(), 6));
        assert_eq!((quote.src_port(), quote.dst_port(), quote.tcp_seq()), (0x1234, 80, 0x0102_0304));
    }
}

#[test]
fn unknown_types_and_codes_and_source_quench_are_named_drops() {
    for (kind, code, reason) in [
        (4, 0, DropReason::IcmpSourceQuench),
        (5, 4, DropReason::IcmpUnknown),
        (3, 16, DropReason::IcmpUnknown),
        (11, 2, DropReason::IcmpUnknown),
        (12, 3, DropReason::IcmpUnknown),
        (13, 0, DropReason::IcmpUnknown),
        (255, 0, DropReason::IcmpUnknown),
    ] {
        assert_eq!(receive_ours(&message(kind, code, [0; 4], &quoted())), Err(reason), "{kind}/{code}");
    }
}

/// H042.
#[test]
fn an_error_sent_to_everybody_or_quoting_the_impossible_is_dropped() {
    let bad = Err(DropReason::IcmpBadQuote);
    let good = quoted();
    for destination in [Destination::Broadcast, Destination::Group] {
        assert_eq!(receive(&message(3, 3, [0; 4], &good), destination), bad);
    }
    let mut version_6 = good.clone();
    version_6[0] = 0x65;
    let mut no_port = good.clone();
    no_port[20..22].copy_from_slice(&[0, 0]);
    let mut no_peer_port = good.clone();
    no_peer_port[22..24].copy_from_slice(&[0, 0]);
    let mut shorter_than_header = good.clone();
    shorter_than_header[2..4].copy_from_slice(&[0, 19]);
    for q in [version_6, no_port, no_peer_port, shorter_than_header] {
        assert_eq!(receive_ours(&message(3, 3, [0; 4], &q)), bad);
    }
}

/// H043.
#[test]
fn a_quote_needs_a_header_and_eight_octets_and_no_error_inside() {
    let bad = Err(DropReason::IcmpBadQuote);
    let good = quoted();
    assert!(receive_ours(&message(3, 3, [0; 4], &good)).is_ok(), "exactly eight octets");
    for len in 0..good.len() {
        assert_eq!(receive_ours(&message(3, 3, [0; 4], &good[..len])), bad, "{len} octets");
    }
    let mut long_header = good.clone();
    long_header[0] = 0x4f;
    assert_eq!(receive_ours(&message(3, 3, [0; 4], &long_header)), bad);
    let mut later_fragment = good.clone();
    later_fragment[7] = 1;
    assert_eq!(receive_ours(&message(3, 3, [0; 4], &later_fragment)), bad);
    let mut nested = good;
    for _ in 0..20 {
        nested = packet(US, PEER, PROTOCOL, &[], &message(3, 3, [0; 4], &nested));
        assert_eq!(receive_ours(&message(3, 3, [0; 4], &nested)), bad);
    }
}

#[test]
fn an_error_about_an_echo_request_names_it() {
    let q = packet(US, PEER, PROTOCOL, &[1, 1, 1, 1], &message(8, 0, [0xab, 0xcd, 0, 7], b"data"));
    let m = message(11, 0, [0; 4], &q);
    let Ok(Message::Error { error: IcmpError::HopsExceeded, quote }) = receive_ours(&m) else {
        panic!("an error");
    };
    assert_eq!(quote.echo(), Some((0xabcd, 7)));
}

#[test]
fn echo_replies_are_read() {
    let m = message(0, 0, [0xab, 0xcd, 0, 7], b"data");
    assert_eq!(receive_ours(&m), Ok(Message::EchoReply { ident: 0xabcd, seq: 7, data: b"data" }));
}

/// H040.
#[test]
fn a_reported_mtu_only_ever_lowers_and_has_a_floor() {
    let table = [
        (1500, 1400, 1500, Some(1400)),
        (1500, 1500, 1500, None),
        (1500, 9000, 1500, None),
        (1500, 0, 1500, Some(1492)),
        (1492, 0, 1492, Some(1006)),
        (1500, 0, 28, Some(PATH_MTU_FLOOR)),
        (1500, 28, 1500, Some(PATH_MTU_FLOOR)),
        (1500, 68, 1500, Some(PATH_MTU_FLOOR)),
        (1500, 296, 1500, Some(PATH_MTU_FLOOR)),
        (PATH_MTU_FLOOR, 0, 552, None),
        (PATH_MTU_FLOOR, 296, 552, None),
        (65_535, 0, 65_535, Some(32_000)),
    ];
    for (current, mtu, quoted, expected) in table {
        assert_eq!(path_mtu(current, mtu, quoted), expected, "{current} {mtu} {quoted}");
    }
}

/// Turns `request` into a reply in a frame of its own and reads that.
fn turned(request: &[u8], headroom: usize) -> (Ipv4Header, Vec<u8>) {
    let memory = BoxedPool::new(66_000, 1);
    let mut frame = memory.pool().take(headroom).expect("a free slot");
    frame.extend(request).expect("room");
    let header = parse_ip(request).expect("a valid request");
    assert_eq!(receive(&request[header.header_len..header.total_len], Destination::Ours), Ok(Message::EchoRequest));
    echo_reply(&mut frame, &header, US, 64, 0, true).expect("a reply");
    let reply = parse_ip(&frame).expect("a valid reply");
    assert_eq!(frame.len(), reply.total_len);
    (reply, frame[reply.header_len..].to_vec())
}

/// H044.
#[test]
fn an_echo_is_answered_with_its_own_data_at_every_size() {
    for len in (0..100).chain([1472, 1473, 65_507]) {
        let data: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let request = packet(PEER, US, PROTOCOL, &[], &message(8, 0, [1, 2, 3, 4], &data));
        let (header, reply) = turned(&request, 0);
        assert_eq!((header.src, header.dst, header.ttl, header.tos), (US, PEER, 64, 0xb8), "{len}");
        assert_eq!(receive_ours(&reply), Ok(Message::EchoReply { ident: 0x0102, seq: 0x0304, data: &data }), "{len}");
    }
}

/// H020, H022: a trailer is not echoed, and options neither.
#[test]
fn a_trailer_and_options_are_left_out_of_the_reply() {
    let mut request = packet(PEER, US, PROTOCOL, &[0x9e, 4, 1, 2], &message(8, 0, [1, 2, 3, 4], b"data"));
    request.extend_from_slice(&[0xee; 18]);
    let (header, reply) = turned(&request, 0);
    assert_eq!((header.header_len, reply.len()), (20, 12));
}

/// H044: also when the checksum is 0x0000, before or after.
#[test]
fn the_adapted_checksum_is_the_computed_one_for_every_value() {
    for n in 0..=u16::MAX {
        let [a, b] = n.to_be_bytes();
        let mut m = message(8, 0, [a, b, 0, 0], &[]);
        turn_echo(&mut m).expect("long enough");
        assert_eq!(m, message(0, 0, [a, b, 0, 0], &[]), "{n:#x}");
    }
}

/// H037.
#[test]
fn errors_are_not_sent_about_what_everybody_or_nobody_sent() {
    let header = parse_ip(&quoted()).expect("valid");
    let echo = message(8, 0, [0; 4], &[]);
    let may = |h: &Ipv4Header, payload: &[u8], d, g| may_report(h, payload, d, g);
    let peers = Ipv4Header { src: PEER, dst: US, ..header };
    assert!(may(&peers, &[0; 8], Destination::Ours, false));
    assert!(!may(&peers, &[0; 8], Destination::Broadcast, false));
    assert!(!may(&peers, &[0; 8], Destination::Group, false));
    assert!(!may(&peers, &[0; 8], Destination::Ours, true));
    assert!(!may(&Ipv4Header { frag_offset: 8, ..peers }, &[0; 8], Destination::Ours, false));
    assert!(may(&Ipv4Header { more_frags: true, ..peers }, &[0; 8], Destination::Ours, false));
    for src in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::BROADCAST, Ipv4Addr::LOCALHOST] {
        assert!(!may(&Ipv4Header { src, ..peers }, &[0; 8], Destination::Ours, false), "{src}");
    }
    let icmp = Ipv4Header { protocol: PROTOCOL, ..peers };
    assert!(may(&icmp, &echo, Destination::Ours, false));
    for kind in [3, 4, 5, 11, 12, 99] {
        assert!(!may(&icmp, &message(kind, 0, [0; 4], &[]), Destination::Ours, false), "{kind}");
    }
    assert!(!may(&icmp, &[], Destination::Ours, false));
}

#[test]
fn a_report_quotes_up_to_576_octets() {
    let memory = BoxedPool::new(2048, 1);
    for len in [0, 8, 100, 528, 529, 1400] {
        let about = packet(PEER, US, 17, &[], &std::vec![7; len]);
        let mut frame = memory.pool().take(64).expect("a free slot");
        report(&mut frame, Report::PortUnreachable, &about, US, 64).expect("room");
        let header = parse_ip(&frame).expect("a valid packet");
        assert_eq!((header.src, header.dst, header.protocol, header.tos), (US, PEER, PROTOCOL, 0));
        let m = &frame[header.header_len..];
        assert_eq!(parse(m), Ok(IcmpHeader { kind: 3, code: 3, rest: [0; 4] }));
        assert_eq!(m[HEADER..], about[..about.len().min(548)], "{len}");
        assert!(frame.len() <= 576);
    }
    let small = BoxedPool::new(96, 1);
    let about = packet(PEER, US, 17, &[], &[7; 200]);
    let mut frame = small.pool().take(34).expect("a free slot");
    report(&mut frame, Report::PortUnreachable, &about, US, 64).expect("room for eight octets and more");
    drop(frame);
    let mut frame = small.pool().take(64).expect("a free slot");
    assert_eq!(report(&mut frame, Report::PortUnreachable, &about, US, 64), None);
}

proptest! {
    #[test]
    fn no_octets_make_the_reader_panic(mut m in proptest::collection::vec(any::<u8>(), 0..100), kind in 0u8..14, code in 0u8..5) {
        if let Some(header) = m.first_chunk::<HEADER>() {
            let rest = [header[4], header[5], header[6], header[7]];
            emit(&mut m, &IcmpHeader { kind, code, rest });
        }
        for destination in [Destination::Ours, Destination::Broadcast] {
            let _ = receive(&m, destination);
        }
    }
}
