//! Reassembly as a whole stack does it: what is put together, what is thrown away, and that it costs little.

use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stack::Limits;
use ringtap::stats::DropReason;
use ringtap::tcp::ListenOptions;
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, P, P_MAC, R, R_MAC, Setup};
use ringtap_sim::packet::{self, Ip, SYN, Seen, Tcp, fragment, fragments};
use std::net::Ipv4Addr;

const Q: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);

fn open() -> (Bench, UdpHandle) {
    opened(Setup::default())
}

fn opened(setup: Setup) -> (Bench, UdpHandle) {
    let mut b = Bench::built(setup, |_| {}).with_neighbors();
    let options = UdpOptions { rx_queue: 64, ..UdpOptions::default() };
    let udp = b.stack.udp_bind(None, 5000, &options).expect("a free port");
    (b, udp)
}

fn frame(packet: &[u8]) -> Vec<u8> {
    packet::ethernet(H_MAC, P_MAC, 0x0800, packet)
}

fn received(b: &mut Bench, udp: UdpHandle) -> Vec<Vec<u8>> {
    let mut buf = vec![0; 70_000];
    let mut all = Vec::new();
    while let Ok(got) = b.stack.udp(udp).expect("open").recv_from(&mut buf) {
        all.push(buf[..got.len].to_vec());
    }
    all
}

fn text(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i / 253) as u8 ^ i as u8 ^ seed).collect()
}

fn datagram(len: usize, seed: u8) -> Vec<u8> {
    packet::udp((P, 7), (H, 5000), &text(len, seed))
}

fn header(ident: u16) -> Ip {
    Ip { ident, ..Ip::new(P, H, 17) }
}

// H025
#[test]
fn lone_fragments_in_every_place_do_not_keep_datagrams_out() {
    let (mut b, udp) = open();
    for n in 0..16 {
        let spoofed = Ip { ident: n, ..Ip::new(Ipv4Addr::new(198, 51, 100, n as u8), H, 17) };
        b.give(frame(&fragment(&spoofed, 0, true, &[0; 64])));
    }
    for n in 0..10 {
        for f in fragments(&header(100 + n), &datagram(2000, n as u8), 1480) {
            b.give(frame(&f));
        }
        assert_eq!(received(&mut b, udp), [text(2000, n as u8)], "delivered at once");
    }
    assert!(b.dropped(DropReason::FragmentEvicted) >= 1);
    b.pass(Duration::from_secs(70));
    b.with_neighbors().is_well();
}

// H025
#[test]
fn ten_thousand_lone_fragments_hold_a_bounded_number_of_frames() {
    let (mut b, udp) = open();
    for n in 0..10_000u32 {
        let spoofed = Ip { ident: n as u16, ..Ip::new(Ipv4Addr::from(0xc633_6400 + (n >> 8)), H, 17) };
        b.give(frame(&fragment(&spoofed, 0, true, &[0; 8])));
        assert!(b.frames_in_use() <= 16, "one frame for each place");
    }
    // Eight octets at a time, from the end.
    for n in (0..1000).rev() {
        b.give(frame(&fragment(&header(7), n * 8, n < 999, &[0; 8])));
        assert!(b.frames_in_use() <= 17);
    }
    assert!(b.dropped(DropReason::FragmentNoRoom) > 900, "more pieces than are kept in mind");
    b.give(frame(&Ip::new(P, H, 17).build(&datagram(3, 0))));
    assert_eq!(received(&mut b, udp), [text(3, 0)]);
    b.pass(Duration::from_secs(70));
    b.with_neighbors().is_well();
}

// H026, H030
#[test]
fn fragments_that_cannot_be_are_dropped() {
    let (mut b, udp) = open();
    let bad = [
        fragment(&header(1), 8189 * 8, false, &[0; 100]),
        fragment(&header(2), 8191 * 8, true, &[0; 8]),
        fragment(&header(3), 0, true, &[0; 15]),
        fragment(&header(4), 8, true, &[0; 1]),
        fragment(&header(5), 8, false, &[]),
        fragment(&header(6), 0, true, &[]),
    ];
    for (n, f) in bad.iter().enumerate() {
        assert_eq!(b.give(frame(f)), []);
        assert_eq!(b.dropped(DropReason::FragmentMalformed), n + 1);
        assert_eq!(b.frames_in_use(), 0);
    }
    assert_eq!(received(&mut b, udp), [] as [Vec<u8>; 0]);
    // The longest that can be is delivered.
    let (longest, pieces) = (text(65_507, 1), fragments(&header(9), &datagram(65_507, 1), 1480));
    for f in pieces {
        b.give(frame(&f));
    }
    assert_eq!(received(&mut b, udp), [longest]);
    b.is_well();
}

// H027
#[test]
fn overlapping_fragments_spoil_their_datagram_for_good() {
    let whole = datagram(48, 5);
    let (a, rest) = whole.split_at(32);
    let overlaps: [Vec<(usize, bool, &[u8])>; 4] = [
        vec![(0, true, a), (24, false, &whole[24..])],
        vec![(24, false, &whole[24..]), (0, true, a)],
        vec![(0, true, a), (8, true, &whole[8..16]), (32, false, rest)],
        vec![(8, true, &whole[8..16]), (0, true, a), (32, false, rest)],
    ];
    let (mut b, udp) = open();
    for (n, pieces) in overlaps.iter().enumerate() {
        let header = header(n as u16);
        for &(offset, more, piece) in pieces {
            assert_eq!(b.give(frame(&fragment(&header, offset, more, piece))), []);
        }
        let after = b.dropped(DropReason::FragmentOverlap);
        assert!(after >= 1);
        // All that comes of it later is thrown away as well.
        for (offset, more, piece) in [(0, true, a), (32, false, rest)] {
            b.give(frame(&fragment(&header, offset, more, piece)));
        }
        assert_eq!(b.dropped(DropReason::FragmentOverlap), after + 2);
        assert_eq!(received(&mut b, udp), [] as [Vec<u8>; 0], "{n}");
        assert_eq!(b.frames_in_use(), 0);
    }
    assert_eq!(b.pass(Duration::from_secs(70)), [], "nobody is told");
    b.with_neighbors().is_well();
}

// H027: RFC 3128's attack.
#[test]
fn a_fragment_does_not_rewrite_the_flags_of_a_segment() {
    let (mut b, _) = open();
    b.stack.tcp_listen(None, 80, &ListenOptions::default()).expect("a free port");
    let header = Ip { ident: 9, ..Ip::new(P, H, 6) };
    let syn = Tcp { src: 7, dst: 80, seq: 1, flags: SYN, window: 9, options: vec![1; 12], ..Tcp::default() };
    let syn = syn.build(P, H);
    let harmless = Tcp { src: 7, dst: 80, seq: 1, flags: 16, window: 9, options: vec![1; 12], ..Tcp::default() };
    for (offset, more, piece) in
        [(0, true, &harmless.build(P, H)[..16]), (8, true, &syn[8..24]), (24, false, &syn[24..])]
    {
        assert_eq!(b.give(frame(&fragment(&header, offset, more, piece))), []);
    }
    assert_eq!(b.dropped(DropReason::FragmentOverlap), 2);
    assert_eq!(b.pass(Duration::from_secs(70)), []);
    b.with_neighbors().is_well();
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let shorter = permutations(n - 1);
    shorter.iter().flat_map(|p| (0..n).map(|at| [&p[..at], &[n - 1], &p[at..]].concat())).collect()
}

// H028
#[test]
fn five_fragments_in_every_order_each_twice_are_delivered_once() {
    let (mut b, udp) = open();
    for (n, order) in permutations(5).iter().enumerate() {
        let pieces = fragments(&header(n as u16), &datagram(112, n as u8), 24);
        assert_eq!(pieces.len(), 5);
        for &at in order {
            b.give(frame(&pieces[at]));
            b.give(frame(&pieces[at]));
        }
        assert_eq!(received(&mut b, udp), [text(112, n as u8)], "{order:?}");
    }
    assert_eq!(b.stack.stats().reassembled, 120);
    assert_eq!(b.dropped(DropReason::FragmentDuplicate), 600);
    b.pass(Duration::from_secs(1));
    b.is_well();
}

// H029
#[test]
fn datagrams_of_one_identification_are_not_mixed() {
    let (mut b, udp) = open();
    let from_q = packet::udp((Q, 7), (H, 5000), &text(2000, 2));
    let ping = packet::icmp(8, 0, [0, 1, 0, 1], &text(2000, 3));
    let first = fragments(&header(5), &datagram(2000, 1), 1000);
    let second = fragments(&Ip { ident: 5, ..Ip::new(Q, H, 17) }, &from_q, 1000);
    let third = fragments(&Ip { ident: 5, ..Ip::new(P, H, 1) }, &ping, 1000);
    let mut seen = Vec::new();
    for n in 0..3 {
        for pieces in [&first, &second, &third] {
            seen.extend(b.give(frame(&pieces[n])));
        }
    }
    assert_eq!(received(&mut b, udp), [text(2000, 1), text(2000, 2)]);
    assert_eq!(packet::join(&seen, 1), [Seen::Icmp(H, P, 0, 0, [0, 1, 0, 1], text(2000, 3))]);
    b.is_well();
}

// H031
#[test]
fn after_a_minute_memory_is_free_and_the_source_is_told_if_the_first_fragment_came() {
    let (mut b, _) = open();
    let whole = datagram(2000, 1);
    let first = fragment(&header(1), 0, true, &whole[..1480]);
    b.give(frame(&first));
    // Not the first; to a broadcast address; to another host.
    b.give(frame(&fragment(&header(2), 1480, false, &whole[1480..])));
    let to_all = Ip { ident: 3, ..Ip::new(P, Ipv4Addr::new(192, 0, 2, 255), 17) };
    b.give(frame(&fragment(&to_all, 0, true, &whole[..1480])));
    let elsewhere = Ip { ident: 4, ..Ip::new(P, Ipv4Addr::new(192, 0, 2, 77), 17) };
    b.give(frame(&fragment(&elsewhere, 0, true, &whole[..1480])));
    assert_eq!(b.dropped(DropReason::NotOurAddress), 1);
    assert_eq!(b.frames_in_use(), 3, "fragments for others are not kept");
    assert_eq!(b.pass(Duration::from_millis(59_900)), []);
    let sent = b.pass(Duration::from_millis(200));
    let [(_, Seen::Icmp(H, P, 11, 1, _, quote))] = &sent[..] else { panic!("one report: {sent:?}") };
    assert_eq!(quote[..], first[..28]);
    assert_eq!(b.dropped(DropReason::FragmentTimeout), 3);
    assert_eq!(b.frames_in_use(), 0);
    b.pass(Duration::from_secs(10));
    b.with_neighbors().is_well();
}

// H025, H144: the frames that reassembly takes are not those that everything else needs.
#[test]
fn without_a_pool_of_its_own_reassembly_leaves_frames_to_the_interface() {
    let (mut b, udp) = opened(Setup { large: 0, frames: 12, ..Setup::default() });
    for n in 0..100 {
        b.give(frame(&fragment(&header(n), 0, true, &[0; 64])));
        assert!(b.pool().free() >= 4, "{} free", b.pool().free());
    }
    // What fits a frame is put together, what does not is dropped.
    for f in fragments(&header(1000), &datagram(1300, 9), 800) {
        b.give(frame(&f));
    }
    assert_eq!(received(&mut b, udp), [text(1300, 9)]);
    for f in fragments(&header(1001), &datagram(1700, 9), 800) {
        b.give(frame(&f));
    }
    assert_eq!(b.dropped(DropReason::FragmentTooLarge), 1);
    assert_eq!(received(&mut b, udp), [] as [Vec<u8>; 0]);
    b.pass(Duration::from_secs(70));
    b.with_neighbors().is_well();
}

// H031, H143: a report goes the way of the route, and none goes where there is none.
#[test]
fn a_source_beyond_the_router_is_told_by_way_of_it() {
    let limits = Limits { reassembly: 2, ..Limits::default() };
    let (mut b, _) = opened(Setup { limits, ..Setup::default() });
    let far = Ip { ident: 1, ..Ip::new(Ipv4Addr::new(198, 51, 100, 7), H, 17) };
    b.give(packet::ethernet(H_MAC, R_MAC, 0x0800, &fragment(&far, 0, true, &datagram(2000, 0)[..800])));
    b.now += Duration::from_secs(61);
    let frames = b.poll_raw();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0][..6], R_MAC, "by {R}");
    assert!(matches!(packet::read(&frames[0]), Seen::Icmp(_, to, 11, 1, _, _) if to == far.src));
    b.with_neighbors().is_well();
}
