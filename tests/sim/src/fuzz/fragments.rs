//! Octets as pieces of datagrams, of both families: whatever comes of them is the datagram that they are pieces of.

use super::{Bytes, World};
use crate::packet::{self, Ip};
use crate::six::{self, Ip6};
use ringtap::device::Medium;
use ringtap::sockets::UdpOptions;
use ringtap::time::Duration;
use std::net::{Ipv4Addr, Ipv6Addr};

const H: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const P: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const H6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const P6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// Datagrams of each family that pieces may be of.
const DATAGRAMS: u8 = 6;

/// The datagram of this number, with its UDP header.
fn datagram(number: u8, six: bool) -> Vec<u8> {
    let len = [0, 1, 100, 3_000, 9_000, 60_000][usize::from(number % DATAGRAMS)];
    let text: Vec<u8> = (0..len).map(|n: usize| ((n * 7) >> 3) as u8 ^ number).collect();
    match six {
        true => six::udp((P6, u16::from(number) + 1), (H6, 5000), &text),
        false => packet::udp((P, u16::from(number) + 1), (H, 5000), &text),
    }
}

/// Each piece: whose it is, where it begins, how long it is, and how it lies.
///
/// # Panics
/// When a datagram is delivered that nobody has sent, more memory is held than there may be, or a frame is lost.
pub fn fragments(data: &[u8]) {
    let mut d = Bytes(data);
    let mut w = World::new(0, Medium::Ethernet, 1);
    for text in ["192.0.2.1/24", "2001:db8::1/64", "fe80::1/64"] {
        w.address(0, text);
    }
    let udp = w.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port");
    w.settle();
    let mut buf = vec![0; 66_000];
    while !d.is_empty() {
        let (which, lie) = (d.byte(), d.byte());
        if which >= 0xf0 {
            w.pass(Duration::from_secs(u64::from(lie)));
            continue;
        }
        let (six, number) = (which & 1 != 0, (which >> 1) % DATAGRAMS);
        let whole = datagram(number, six);
        let start = (usize::from(d.word()) * 8).min(whole.len() & !7);
        let len = (usize::from(d.word()) % 1440).min(whole.len() - start);
        // All but the last piece are of whole eights, but where one lies.
        let end = start + len;
        let len = if end < whole.len() && lie & 1 == 0 { len & !7 } else { len };
        let mut more = start + len < whole.len();
        more ^= lie & 2 != 0 && lie & 4 != 0;
        let mut piece = whole[start..start + len].to_vec();
        if lie & 8 != 0 && !piece.is_empty() {
            // One bit: a checksum sees it.
            let at = usize::from(d.word()) % (piece.len() * 8);
            piece[at / 8] ^= 1 << (at % 8);
        }
        let frame = if six {
            let payload = six::piece(17, start, more, u32::from(number) + 9, &piece);
            packet::ethernet([2, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 7], 0x86dd, &Ip6::new(P6, H6, 44).build(&payload))
        } else {
            let flags_offset = (start / 8) as u16 | u16::from(more) << 13;
            let header = Ip { flags_offset, ident: u16::from(number) + 9, ..Ip::new(P, H, 17) };
            packet::ethernet([2, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 7], 0x0800, &header.build(&piece))
        };
        w.give(0, frame);
        while let Ok(received) = w.stack.udp(udp).expect("open").recv_from(&mut buf) {
            let number = (received.from.port() - 1) as u8;
            let expected = datagram(number, received.from.is_ipv6());
            assert!(buf[..received.len] == expected[8..], "datagram {number} is another: {} octets", received.len);
        }
        assert!(w.pools[1].count() - w.pools[1].free() <= 4, "no more datagrams than there is room for");
    }
    w.pass(Duration::from_secs(130));
    w.has_all_frames();
    w.end();
}
