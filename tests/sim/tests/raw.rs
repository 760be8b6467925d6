//! Raw sockets as a whole stack serves them: whole packets in, whole packets out.

use ringtap::error::{RecvError, SendError};
use ringtap::sockets::RawHandle;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, P, P_MAC, R_MAC};
use ringtap_sim::packet::{self, Ip, Seen};
use std::net::Ipv4Addr;

fn receive(b: &mut Bench, raw: RawHandle) -> Result<Vec<u8>, RecvError> {
    let mut buf = [0; 2048];
    let n = b.stack.raw_recv(raw, &mut buf)?;
    Ok(buf[..n].to_vec())
}

// RFC 1122 §3.2.1.8: received options reach the layer above; here, whoever asks for whole packets.
#[test]
fn a_raw_socket_gets_whole_packets_of_its_protocol_options_and_all() {
    let mut b = Bench::new().with_neighbors();
    let own = b.stack.raw_bind(Some(99)).expect("room");
    let all = b.stack.raw_bind(None).expect("room");
    let header = Ip { options: vec![0x9e, 4, 1, 2], ..Ip::new(P, H, 99) };
    let packet = header.build(b"something");
    // Somebody speaks the protocol now: no error goes out.
    assert_eq!(b.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &packet)), []);
    assert_eq!(receive(&mut b, own), Ok(packet.clone()));
    assert_eq!(receive(&mut b, all), Ok(packet));
    let ping = Ip::new(P, H, 1).build(&packet::icmp(8, 0, [0; 4], b"ping"));
    let seen = b.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &ping));
    assert_eq!(seen, [Seen::Icmp(H, P, 0, 0, [0; 4], b"ping".to_vec())], "the stack answers all the same");
    assert_eq!(receive(&mut b, all), Ok(ping));
    for raw in [own, all] {
        assert_eq!(receive(&mut b, raw), Err(RecvError::WouldBlock));
        b.stack.raw_close(raw).expect("open");
    }
    b.is_well();
}

// RFC 1122 §3.2.1.7 and §3.2.1.8
#[test]
fn a_raw_socket_sends_a_packet_as_it_is_by_its_route_unless_it_is_none() {
    let mut b = Bench::new().with_neighbors();
    let raw = b.stack.raw_bind(Some(99)).expect("room");
    let far = Ipv4Addr::new(198, 51, 100, 7);
    for (dst, mac) in [(P, P_MAC), (far, R_MAC)] {
        let packet = Ip { options: vec![7, 7, 4, 0, 0, 0, 0, 0], ttl: 1, ..Ip::new(H, dst, 99) }.build(b"text");
        b.stack.raw_send(raw, &packet).expect("a way");
        assert_eq!(b.poll_raw(), [packet::ethernet(mac, H_MAC, 0x0800, &packet)]);
    }
    let good = Ip::new(H, P, 99).build(b"text");
    let mut bad = vec![Ip { ttl: 0, ..Ip::new(H, P, 99) }.build(b"text"), good[..19].to_vec(), good[..23].to_vec()];
    bad.push([good.clone(), vec![0]].concat());
    bad.push([&good[..10], &[good[10] ^ 1], &good[11..]].concat());
    for packet in bad {
        assert_eq!(b.stack.raw_send(raw, &packet), Err(SendError::Malformed), "{packet:?}");
    }
    assert_eq!(b.poll(), []);
    b.stack.raw_close(raw).expect("open");
    b.is_well();
}
