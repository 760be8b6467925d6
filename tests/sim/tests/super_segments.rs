//! Super-segments from a device: several segments of TCP taken as one, and counted as what they are.

use ringtap::device::{Gso, RxChecksum, RxMeta};
use ringtap::stats::DropReason;
use ringtap::tcp::{TcpHandle, TcpOptions};
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, P, segments};
use ringtap_sim::packet::{ACK, FIN, Ip, PSH, Seen, Tcp};

/// A bench with an accepted connection from port 7 to port 80, and what it acknowledges.
fn connected(rx_buffer: usize) -> (Bench, TcpHandle, u32) {
    let mut b = Bench::new().with_neighbors();
    let listener = b.listen(80, 4, TcpOptions { rx_buffer, ..TcpOptions::default() });
    let (handle, iss) = b.accepted(listener, 7, 80);
    (b, handle, iss + 1)
}

/// The segment arrives as several of `size` octets, with a checksum that nobody has computed.
fn give(b: &mut Bench, segment: &Tcp, size: u16) -> Vec<Tcp> {
    let checksum = RxChecksum::Partial { start: 34, offset: 16 };
    b.nic.rx_meta = RxMeta { checksum, gso: Some(Gso { size }), timestamp: None };
    let mut bytes = segment.build(P, H);
    bytes[16] ^= 0x55;
    let seen = b.give_ip(&Ip::new(P, H, 6), &bytes);
    b.nic.rx_meta = RxMeta::default();
    segments(&seen)
}

fn read(b: &mut Bench, handle: TcpHandle) -> Vec<u8> {
    let (mut all, mut buf) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = b.stack.tcp(handle).expect("open").read(&mut buf) {
        all.extend_from_slice(&buf[..n]);
    }
    // The peer is told of the room.
    b.poll();
    all
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 % 251) as u8).collect()
}

#[test]
fn the_longest_packet_is_one_segment_which_is_acknowledged_at_once() {
    let (mut b, handle, ack) = connected(65_535);
    let before = b.stack.stats().tcp_segments_in;
    let all = text(65_495);
    let segment = Tcp { flags: ACK | PSH | FIN, ..b.text(7, 80, 1001, ack, &all) };
    let sent = give(&mut b, &segment, 1460);
    assert_eq!(sent.iter().map(|t| t.ack).collect::<Vec<_>>(), [1001 + 65_496], "one, for the end, too");
    assert_eq!(b.stack.stats().tcp_segments_in - before, 45, "counted as its segments");
    assert!(read(&mut b, handle) == all);
    b.stack.tcp(handle).expect("open").abort();
    b.poll();
    b.is_well();
}

// RFC 9293 §3.8.6.3: every second full-sized segment, of the size that the peer sends.
#[test]
fn its_length_is_not_taken_for_the_size_of_a_segment() {
    let (mut b, handle, ack) = connected(65_535);
    let mut seq = 1001;
    // The first are acknowledged at once, each.
    for _ in 0..16 {
        let segment = b.text(7, 80, seq, ack, &[1; 10]);
        assert_eq!(segments(&b.give_tcp(&segment)).len(), 1);
        seq += 10;
    }
    let segment = b.text(7, 80, seq, ack, &[2; 10_000]);
    assert_eq!(give(&mut b, &segment, 1000).len(), 1, "ten of them");
    seq += 10_000;
    for answers in [0, 1, 0, 1] {
        let segment = b.text(7, 80, seq, ack, &[3; 1000]);
        assert_eq!(segments(&b.give_tcp(&segment)).len(), answers, "every second");
        seq += 1000;
    }
    assert_eq!(read(&mut b, handle).len(), 160 + 14_000);
    b.stack.tcp(handle).expect("open").abort();
    b.poll();
    b.is_well();
}

// RFC 5681 §4.2: a duplicate acknowledgment for each segment beyond a hole.
#[test]
fn beyond_a_hole_there_is_an_answer_for_each_segment_and_then_all_is_there() {
    let (mut b, handle, ack) = connected(65_535);
    let all = text(5000);
    let beyond = b.text(7, 80, 2001, ack, &all[1000..]);
    let sent = give(&mut b, &beyond, 1000);
    assert_eq!(sent.iter().map(|t| t.ack).collect::<Vec<_>>(), [1001; 4]);
    let first = b.text(7, 80, 1001, ack, &all[..1000]);
    let sent = segments(&b.give_tcp(&first));
    assert_eq!(sent.iter().map(|t| t.ack).collect::<Vec<_>>(), [6001]);
    assert!(read(&mut b, handle) == all);
    b.stack.tcp(handle).expect("open").abort();
    b.poll();
    b.is_well();
}

#[test]
fn what_lies_beyond_the_window_is_cut_off_and_comes_again() {
    let (mut b, handle, ack) = connected(10_000);
    let all = text(30_000);
    let segment = b.text(7, 80, 1001, ack, &all);
    let sent = give(&mut b, &segment, 1460);
    assert_eq!((sent.last().map(|t| (t.ack, t.window)), sent.len()), (Some((11_001, 0)), 1));
    assert!(read(&mut b, handle) == all[..10_000]);
    // What overlaps the next window on both sides.
    let segment = b.text(7, 80, 6001, ack, &all[5000..]);
    give(&mut b, &segment, 1460);
    assert!(read(&mut b, handle) == all[10_000..20_000]);
    let last = b.text(7, 80, 21_001, ack, &all[20_000..]);
    give(&mut b, &last, 1460);
    assert!(read(&mut b, handle) == all[20_000..]);
    b.stack.tcp(handle).expect("open").abort();
    b.poll();
    b.is_well();
}

/// Sizes that say nothing, or nonsense, are no harm.
#[test]
fn a_size_that_cannot_be_is_no_harm() {
    for (len, size) in [(1000, 0), (1000, 1000), (1000, 1), (1000, u16::MAX), (0, 1), (0, 0)] {
        let (mut b, handle, ack) = connected(65_535);
        let all = text(len);
        let segment = b.text(7, 80, 1001, ack, &all);
        give(&mut b, &segment, size);
        b.pass(Duration::from_secs(1));
        assert!(read(&mut b, handle) == all);
        b.stack.tcp(handle).expect("open").abort();
        b.poll();
        b.is_well();
    }
}

/// Neither a datagram nor an echo is what a device may say several segments of.
#[test]
fn only_tcp_is_of_segments() {
    let mut b = Bench::new().with_neighbors();
    b.nic.rx_meta = RxMeta { checksum: RxChecksum::Verified, gso: Some(Gso { size: 4 }), timestamp: None };
    let ping = ringtap_sim::packet::icmp(8, 0, [0, 7, 0, 9], b"several");
    let reply = Seen::Icmp(H, P, 0, 0, [0, 7, 0, 9], b"several".to_vec());
    assert_eq!(b.give_ip(&Ip::new(P, H, 1), &ping), [reply]);
    assert_eq!(b.dropped(DropReason::IcmpMalformed), 0);
    b.nic.rx_meta = RxMeta::default();
    b.is_well();
}
