//! Fields of the IP header that users choose and are told of: time to live, type of service.

use ringtap::error::{BindError, ConnectError, SendError};
use ringtap::sockets::UdpOptions;
use ringtap::tcp::{ConnectOptions, ListenOptions, TcpHandle, TcpOptions};
use ringtap_sim::Bench;
use ringtap_sim::bench::{ALL, H, H_MAC, P, P_MAC};
use ringtap_sim::packet::{self, ACK, Ip, SYN, Seen, Tcp};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The octets of an IPv4 header that hold type of service and time to live.
fn tos_and_ttl(frame: &[u8]) -> (u8, u8) {
    assert_eq!(frame[12..14], [8, 0], "an IPv4 packet");
    (frame[15], frame[22])
}

/// A packet of P's with this type of service and time to live.
fn with_fields(tos: u8, ttl: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Ip { ttl, ..Ip::new(P, H, protocol) }.build(payload);
    packet[1] = tos;
    packet[10..12].fill(0);
    let sum = packet::checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet::ethernet(H_MAC, P_MAC, 0x0800, &packet)
}

fn raw(b: &mut Bench, segment: &Tcp) -> Vec<Vec<u8>> {
    b.nic.rx.push_back(packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(P, H, 6).build(&segment.build(P, H))));
    b.poll_raw()
}

/// Everything that the connection sends until it is reset; P's and H's next numbers are given.
fn life(b: &mut Bench, handle: TcpHandle, from: u16, to: u16, seq: u32, ack: u32) -> Vec<Vec<u8>> {
    let from_p = |seq, ack| Tcp { src: from, dst: to, seq, ack, flags: ACK, window: 65_535, ..Tcp::default() };
    b.stack.tcp(handle).expect("open").write(b"text").expect("room");
    let mut sent = b.poll_raw();
    // A challenge, and the reset.
    sent.extend(raw(b, &from_p(seq, ack + 100)));
    b.stack.tcp(handle).expect("open").abort();
    sent.extend(b.poll_raw());
    assert_eq!(sent.len(), 3);
    sent
}

// RFC 9293 §3.9.1.9 and §3.9.2: MUST-48, MUST-49, SHLD-22.
#[test]
fn time_to_live_and_dscp_of_a_connection_are_in_each_of_its_packets() {
    let tcp = TcpOptions { ttl: 33, dscp: 46, ..TcpOptions::default() };
    let mut b = Bench::new().with_neighbors();
    let to = SocketAddr::new(IpAddr::V4(P), 80);
    let options = ConnectOptions { tcp, local_port: 50_000, ..ConnectOptions::default() };
    let active = b.stack.tcp_connect(to, &options).expect("a way");
    let mut sent = b.poll_raw();
    let Seen::Tcp(_, _, syn) = packet::read(&sent[0]) else { panic!("a SYN") };
    let answer = Tcp { seq: 5000, flags: SYN | ACK, ..b.reply_to(&syn, syn.seq + 1) };
    sent.extend(raw(&mut b, &answer));
    sent.extend(life(&mut b, active, 80, 50_000, 5001, syn.seq + 1));

    let listener = b.listen(80, 4, tcp);
    let syn = Tcp { src: 7, dst: 80, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
    let answers = raw(&mut b, &syn);
    let Seen::Tcp(_, _, syn_ack) = packet::read(&answers[0]) else { panic!("a SYN|ACK") };
    sent.extend(answers);
    sent.extend(raw(&mut b, &Tcp { seq: 1001, ack: syn_ack.seq + 1, flags: ACK, ..syn }));
    let (passive, _) = b.stack.tcp_accept(listener).expect("established");
    sent.extend(life(&mut b, passive, 7, 80, 1001, syn_ack.seq + 1));
    assert_eq!(sent.len(), 2 + 3 + 1 + 3);
    for frame in &sent {
        assert_eq!(tos_and_ttl(frame), (46 << 2, 33), "{:?}", packet::read(frame));
    }
    b.is_well();
}

// RFC 9293 §3.9.1.9: SHLD-21.
#[test]
fn the_dscp_of_a_connection_can_be_changed() {
    let mut b = Bench::new().with_neighbors();
    let (handle, syn) = b.connected(80, TcpOptions { dscp: 46, ..TcpOptions::default() });
    let tos = |b: &mut Bench| {
        b.stack.tcp(handle).expect("open").write(b"text").expect("room");
        let sent = b.poll_raw();
        assert_eq!(sent.len(), 1);
        let answer = Tcp { seq: 5001, ..b.reply_to(&syn, 0) };
        let Seen::Tcp(_, _, text) = packet::read(&sent[0]) else { panic!("text") };
        b.give_tcp(&Tcp { ack: text.seq + 4, ..answer });
        tos_and_ttl(&sent[0]).0
    };
    assert_eq!(tos(&mut b), 46 << 2);
    assert_eq!(b.stack.tcp(handle).expect("open").set_dscp(10), Ok(()));
    assert_eq!(tos(&mut b), 10 << 2);
    assert_eq!(b.stack.tcp(handle).expect("open").set_dscp(64), Err(ConnectError::Invalid));
    assert_eq!(tos(&mut b), 10 << 2);
}

// RFC 1122 §3.2.1.7 and §3.2.2.
#[test]
fn what_the_stack_sends_of_itself_has_its_time_to_live_and_no_type_of_service() {
    let mut b = Bench::with(64, |config| config.ttl = 77).with_neighbors();
    let segment = Tcp { src: 7, dst: 81, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
    let provokes =
        [(17, packet::udp((P, 7), (H, 9), b"to nobody")), (99, b"unknown".to_vec()), (6, segment.build(P, H))];
    for (protocol, payload) in provokes {
        b.nic.rx.push_back(with_fields(0xb8, 64, protocol, &payload));
        let sent = b.poll_raw();
        assert_eq!(sent.iter().map(|f| tos_and_ttl(f)).collect::<Vec<_>>(), [(0, 77)], "{protocol}");
    }
    b.nic.rx.push_back(with_fields(0xb8, 64, 1, &packet::icmp(8, 0, [0; 4], b"ping")));
    let sent = b.poll_raw();
    assert_eq!(sent.len(), 1);
    assert_eq!(tos_and_ttl(&sent[0]).1, 77);
    b.is_well();
}

// RFC 1122 §4.1.4 and §3.2.1.6.
#[test]
fn a_datagram_leaves_with_the_fields_of_its_socket_and_tells_those_it_came_with() {
    let mut b = Bench::with(64, |config| config.ttl = 77).with_neighbors();
    let to = SocketAddr::new(IpAddr::V4(P), 9);
    for (ttl, dscp, expected) in [(Some(1), 10, (40, 1)), (Some(255), 63, (252, 255)), (None, 0, (0, 77))] {
        let udp =
            b.stack.udp_bind(None, 5000, &UdpOptions { ttl, dscp, ..UdpOptions::default() }).expect("a free port");
        b.stack.udp(udp).expect("open").send_to(b"text", to).expect("a way");
        let sent = b.poll_raw();
        assert_eq!(sent.iter().map(|f| tos_and_ttl(f)).collect::<Vec<_>>(), [expected]);
        b.give(with_fields(0xb9, 3, 17, &packet::udp((P, 7), (H, 5000), b"text")));
        let got = b.stack.udp(udp).expect("open").recv_from(&mut [0; 9]).expect("a datagram");
        assert_eq!((got.tos, got.ttl), (0xb9, 3));
        b.stack.udp(udp).expect("open").close();
    }
    b.is_well();
}

// RFC 1122 §3.2.1.7: a host is no gateway.
#[test]
fn a_packet_whose_time_to_live_has_run_out_at_its_destination_is_taken() {
    let mut b = Bench::new().with_neighbors();
    for ttl in [0, 1, 2] {
        let seen = b.give(with_fields(0, ttl, 1, &packet::icmp(8, 0, [0; 4], b"ping")));
        assert_eq!(seen, [Seen::Icmp(H, P, 0, 0, [0; 4], b"ping".to_vec())], "{ttl}");
    }
    b.is_well();
}

// RFC 1122 §3.2.1.7: nor does it send what nobody may take.
#[test]
fn a_time_to_live_of_zero_and_a_dscp_of_more_than_six_bits_are_refused() {
    let mut b = Bench::new().with_neighbors();
    for (ttl, dscp) in [(Some(0), 0), (None, 64), (None, 255)] {
        let options = UdpOptions { ttl, dscp, ..UdpOptions::default() };
        assert_eq!(b.stack.udp_bind(None, 5000, &options).err(), Some(BindError::Invalid), "{ttl:?} {dscp}");
    }
    let to = SocketAddr::new(IpAddr::V4(P), 80);
    for (ttl, dscp) in [(0, 0), (64, 64), (64, 255)] {
        let tcp = TcpOptions { ttl, dscp, ..TcpOptions::default() };
        let connect = ConnectOptions { tcp, ..ConnectOptions::default() };
        assert_eq!(b.stack.tcp_connect(to, &connect).err(), Some(ConnectError::Invalid), "{ttl} {dscp}");
        let listen = ListenOptions { tcp, ..ListenOptions::default() };
        assert_eq!(b.stack.tcp_listen(None, 80, &listen).err(), Some(BindError::Invalid), "{ttl} {dscp}");
    }
    let echo = b.stack.icmp_bind(None).expect("room");
    assert_eq!(b.stack.icmp_send(echo, P.into(), 1, b"ping", Some(0)), Err(SendError::Malformed));
    assert_eq!(b.poll(), []);
    b.is_well();
    let mut b = Bench::with(64, |config| config.ttl = 0).with_neighbors();
    b.nic.rx.push_back(with_fields(0, 64, 17, &packet::udp((P, 7), (H, 9), b"to nobody")));
    assert_eq!(b.poll_raw().iter().map(|f| tos_and_ttl(f)).collect::<Vec<_>>(), [(0, 1)], "the stack's own");
}

// RFC 1122 §3.3.6 and §3.2.1.3.
#[test]
fn a_broadcast_leaves_in_a_broadcast_frame_from_an_address_of_ours() {
    let mut b = Bench::new().with_neighbors();
    let options = UdpOptions { broadcast: true, ..UdpOptions::default() };
    let udp = b.stack.udp_bind(None, 5000, &options).expect("a free port");
    for dst in [Ipv4Addr::BROADCAST, Ipv4Addr::new(192, 0, 2, 255)] {
        b.stack.udp(udp).expect("open").send_to(b"all", SocketAddr::new(dst.into(), 9)).expect("a way");
        let sent = b.poll_raw();
        assert_eq!(sent[0][..6], ALL);
        assert_eq!(packet::read(&sent[0]), Seen::Udp((H, 5000), (dst, 9), b"all".to_vec()));
    }
    b.stack.udp(udp).expect("open").close();
    // Who has not asked for it cannot send to everybody by mistake.
    let plain = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port");
    let to = SocketAddr::new(Ipv4Addr::BROADCAST.into(), 9);
    assert!(b.stack.udp(plain).expect("open").send_to(b"all", to).is_err());
    assert_eq!(b.poll(), []);
    b.is_well();
}
