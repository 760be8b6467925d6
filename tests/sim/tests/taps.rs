//! Taps: copies of the frames that come and go, within their bounds.

use ringtap::device::{RxChecksum, RxMeta};
use ringtap::error::TapError;
use ringtap::stack::IfaceId;
use ringtap::stats::DropReason;
use ringtap::taps::{Direction, MAX_TAPS, MIN_TAP_MEMORY, TapCounters, TapFilter, TapId, TapOptions, Tapped};
use ringtap::time::{Duration, Instant};
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, P, P_MAC};
use ringtap_sim::packet::{self, Ip};

fn tap(b: &mut Bench, options: TapOptions<'static>, memory: usize) -> TapId {
    b.stack.add_tap(options, vec![0; memory]).expect("room")
}

fn all(b: &mut Bench, tap: TapId) -> Vec<(Tapped, Vec<u8>)> {
    let (mut all, mut buf) = (Vec::new(), [0; 2000]);
    while let Some(seen) = b.stack.read_tap(tap, &mut buf) {
        all.push((seen, buf[..seen.kept].to_vec()));
    }
    all
}

fn ping(payload: &[u8]) -> Vec<u8> {
    packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(P, H, 1).build(&packet::icmp(8, 0, [0, 7, 0, 9], payload)))
}

#[test]
fn a_tap_sees_what_comes_and_goes_octet_for_octet_with_time_and_direction() {
    let mut b = Bench::new().with_live_neighbors();
    let tap = tap(&mut b, TapOptions::default(), 10_000);
    let mut wire = Vec::new();
    // Also what nobody here wants: of another station, of no known type, too short for anything.
    let frames = [
        ping(b"hello"),
        packet::ethernet([2, 0, 0, 0, 0, 0x77], P_MAC, 0x0800, &[0x45; 30]),
        packet::ethernet(H_MAC, P_MAC, 0x1234, b"?"),
        vec![1, 2, 3],
    ];
    for frame in frames {
        b.now += Duration::from_millis(5);
        b.nic.rx.push_back(frame.clone());
        wire.push((b.now, Direction::In, frame));
        let sent = b.poll_raw();
        wire.extend(sent.into_iter().map(|f| (b.now, Direction::Out, f)));
    }
    let seen = all(&mut b, tap);
    let seen: Vec<(Instant, Direction, Vec<u8>)> = seen.into_iter().map(|(t, f)| (t.at, t.direction, f)).collect();
    assert_eq!(seen, wire);
    assert_eq!(wire.len(), 5, "four in, an answer out");
    assert_eq!(b.stack.remove_tap(tap), Some(TapCounters { seen: 5, dropped: 0 }));
    assert_eq!((b.stack.read_tap(tap, &mut [0; 9]), b.stack.remove_tap(tap)), (None, None));
    b.is_well();
}

#[test]
fn a_refused_frame_is_seen_once() {
    let mut b = Bench::new().with_live_neighbors();
    let tap = tap(&mut b, TapOptions::default(), 10_000);
    b.nic.tx_room = 0;
    b.give(ping(b"x"));
    for _ in 0..3 {
        b.now += Duration::from_millis(20);
        b.poll();
    }
    b.nic.tx_room = usize::MAX;
    b.now += Duration::from_millis(20);
    assert_eq!(b.poll().len(), 1);
    let directions: Vec<Direction> = all(&mut b, tap).iter().map(|(seen, _)| seen.direction).collect();
    assert_eq!(directions, [Direction::In, Direction::Out]);
}

#[test]
fn a_snap_length_keeps_the_beginning_and_tells_the_whole_length() {
    let mut b = Bench::new().with_live_neighbors();
    let tap = tap(&mut b, TapOptions { snap: 34, ..TapOptions::default() }, 10_000);
    let frame = ping(&[7; 1000]);
    b.give(frame.clone());
    let seen = all(&mut b, tap);
    assert_eq!(seen.len(), 2);
    for (seen, octets) in &seen {
        assert_eq!((seen.len, seen.kept, octets.len()), (frame.len(), 34, 34));
    }
    assert_eq!(seen[0].1, frame[..34]);
}

#[test]
fn a_filter_chooses_and_may_be_anybodys() {
    static WANTED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let mut b = Bench::new().with_live_neighbors();
    let out = TapFilter::Owned(Box::new(|seen: &Tapped, _: &[u8]| seen.direction == Direction::Out));
    let arp = Box::leak(Box::new(|_: &Tapped, frame: &[u8]| {
        let wanted = frame[12..14] == [8, 6];
        WANTED.fetch_add(usize::from(wanted), std::sync::atomic::Ordering::Relaxed);
        wanted
    }));
    let out = tap(&mut b, TapOptions { filter: Some(out), ..TapOptions::default() }, 1000);
    let arp = tap(&mut b, TapOptions { filter: Some(TapFilter::Borrowed(arp)), ..TapOptions::default() }, 1000);
    b.give(ping(b"x"));
    b.give(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, P, [0; 6], H)));
    let kinds = |seen: Vec<(Tapped, Vec<u8>)>| -> Vec<(Direction, [u8; 2])> {
        seen.iter().map(|(t, f)| (t.direction, [f[12], f[13]])).collect()
    };
    assert_eq!(kinds(all(&mut b, out)), [(Direction::Out, [8, 0]), (Direction::Out, [8, 6])]);
    assert_eq!(kinds(all(&mut b, arp)), [(Direction::In, [8, 6]), (Direction::Out, [8, 6])]);
    assert_eq!(WANTED.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn a_tap_that_nobody_reads_keeps_the_oldest_counts_the_rest_and_harms_nobody() {
    let mut b = Bench::new().with_live_neighbors();
    let small = tap(&mut b, TapOptions::default(), MIN_TAP_MEMORY);
    for n in 0..1000u16 {
        assert_eq!(b.give(ping(&n.to_be_bytes())).len(), 1, "answered all the same");
    }
    let counters = b.stack.tap_counters(small).expect("there");
    // 20 octets and a frame of 44 each.
    assert_eq!(counters, TapCounters { seen: 2000, dropped: 1996 });
    let kept = all(&mut b, small);
    assert_eq!(kept.len(), 4);
    assert_eq!((&kept[0].1[42..], &kept[2].1[42..]), (&[0, 0][..], &[0, 1][..]));
    // What was read makes room.
    b.give(ping(b"!!"));
    assert_eq!(all(&mut b, small)[0].1[42..], *b"!!");
    b.is_well();
}

#[test]
fn a_tap_of_one_interface_sees_no_other_and_one_that_comes_later_in_its_place_is_not_meant() {
    let mut b = Bench::new().with_live_neighbors().with_second_link();
    let other = b.other.as_ref().expect("a second link").0;
    let iface = b.iface;
    let first = tap(&mut b, TapOptions { iface: Some(iface), ..TapOptions::default() }, 9000);
    let second = tap(&mut b, TapOptions { iface: Some(other), ..TapOptions::default() }, 9000);
    let both = tap(&mut b, TapOptions::default(), 9000);
    b.give(ping(b"x"));
    b.give_other(packet::ethernet(H_MAC, P_MAC, 0x1234, b"?"));
    let ifaces = |seen: Vec<(Tapped, Vec<u8>)>| seen.iter().map(|(t, _)| t.iface).collect::<Vec<IfaceId>>();
    assert_eq!(ifaces(all(&mut b, first)), [iface, iface]);
    assert_eq!(ifaces(all(&mut b, second)), [other]);
    assert_eq!(ifaces(all(&mut b, both)), [iface, iface, other]);
    let (_, nic) = b.other.take().expect("a second link");
    b.stack.remove_interface(other);
    let again = b.stack.add_interface(&nic, ringtap::device::Mac(H_MAC)).expect("room");
    assert_eq!(again, other);
    b.other = Some((again, nic));
    b.give_other(packet::ethernet(H_MAC, P_MAC, 0x1234, b"?"));
    assert_eq!((all(&mut b, second).len(), all(&mut b, both).len()), (0, 1));
}

#[test]
fn a_checksum_that_was_left_open_is_complete_in_the_copy_and_left_alone_in_the_frame() {
    let mut b = Bench::new().with_live_neighbors();
    let udp = b.stack.udp_bind(None, 5000, &ringtap::sockets::UdpOptions::default()).expect("a free port");
    let tap = tap(&mut b, TapOptions::default(), 10_000);
    let datagram = packet::udp((P, 7), (H, 5000), b"half summed");
    let whole = packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(P, H, 17).build(&datagram));
    // What the kernel leaves on a tap: the pseudo-header's sum alone.
    let mut open = whole.clone();
    let words = |a: &[u8]| a.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum::<u32>();
    let mut sum = words(&P.octets()) + words(&H.octets()) + 17 + datagram.len() as u32;
    sum = (sum & 0xffff) + (sum >> 16);
    open[40..42].copy_from_slice(&(sum as u16).to_be_bytes());
    b.nic.rx_meta = RxMeta { checksum: RxChecksum::Partial { start: 34, offset: 6 }, ..RxMeta::default() };
    b.give(open);
    assert_eq!(all(&mut b, tap)[0].1, whole);
    let mut buf = [0; 64];
    let got = b.stack.udp(udp).expect("open").recv_from(&mut buf).expect("delivered");
    assert_eq!((&buf[..got.len], b.dropped(DropReason::UdpChecksum)), (&b"half summed"[..], 0));
}

#[test]
fn taps_that_cannot_be_are_refused() {
    let mut b = Bench::new();
    let mut add = |options, memory| b.stack.add_tap(options, vec![0; memory]);
    assert_eq!(add(TapOptions::default(), MIN_TAP_MEMORY - 1), Err(TapError::TooSmall));
    let nowhere = TapOptions { iface: Some(IfaceId::BLACKHOLE), ..TapOptions::default() };
    assert_eq!(add(nowhere, 1000), Err(TapError::NoInterface));
    let taps: Vec<TapId> = (0..MAX_TAPS).map(|_| add(TapOptions::default(), 256).expect("room")).collect();
    assert_eq!(add(TapOptions::default(), 256), Err(TapError::Full));
    assert!(b.stack.remove_tap(taps[1]).is_some());
    let again = b.stack.add_tap(TapOptions::default(), vec![0; 256]).expect("room");
    assert!(!taps.contains(&again), "a name is not used again");
}
