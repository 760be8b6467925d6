//! Super-segments to a device that cuts them: what is put together, what is not, and how their losses are repaired.

use ringtap::config::Config;
use ringtap::device::{Capabilities, ChecksumOffload, Medium};
use ringtap::ip::hooks::{Hooks, Passage, Verdict};
use ringtap::sockets::UdpOptions;
use ringtap::taps::TapOptions;
use ringtap::tcp::{TcpHandle, TcpOptions};
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, P, R, Setup, segments, timed};
use ringtap_sim::packet::{self, ACK, FIN, Ip, PSH, SYN, Seen, Tcp};
use std::net::SocketAddr;

const MSS: usize = 1460;

fn caps(sums: bool, gso: usize) -> Capabilities {
    let checksum = ChecksumOffload { tcp: sums, ..ChecksumOffload::default() };
    Capabilities { checksum, gso_ipv4: gso, gso_ipv6: gso, ..Capabilities::plain(Medium::Ethernet, 1500) }
}

fn bench(setup: Setup) -> Bench {
    bench_with(setup, |_| {})
}

fn bench_with(setup: Setup, change: impl FnOnce(&mut Config<'static>)) -> Bench {
    Bench::built(setup, change).with_neighbors()
}

fn cutting() -> Bench {
    bench(Setup { caps: caps(true, 65_535), ..Setup::default() })
}

/// A connection from P's port 7 with these options of its SYN; what H sends first.
fn accepted(b: &mut Bench, tcp: TcpOptions, window: u16, options: &[u8]) -> (TcpHandle, u32) {
    let listener = b.listen(80, 4, tcp);
    let syn = Tcp { src: 7, dst: 80, seq: 1000, flags: SYN, window, ..Tcp::default() };
    let seen = b.give_tcp(&Tcp { options: options.to_vec(), ..syn.clone() });
    let answer = segments(&seen).into_iter().find(|t| t.has(SYN | ACK)).expect("a SYN|ACK");
    b.give_tcp(&Tcp { seq: 1001, ack: answer.seq + 1, flags: ACK, ..syn });
    let (handle, _) = b.stack.tcp_accept(listener).expect("a connection");
    b.stack.tcp_unlisten(listener).expect("open");
    (handle, answer.seq + 1)
}

/// MSS 1460.
const PLAIN: [u8; 4] = [2, 4, 5, 0xb4];
/// MSS 1460 and SACK-permitted.
const SACK: [u8; 8] = [2, 4, 5, 0xb4, 4, 2, 1, 1];

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 % 251) as u8).collect()
}

fn write(b: &mut Bench, handle: TcpHandle, data: &[u8]) -> Vec<Tcp> {
    assert_eq!(b.stack.tcp(handle).expect("open").write(data), Ok(data.len()));
    segments(&b.poll())
}

/// P acknowledges up to `ack`, with SACK blocks.
fn acknowledge(b: &mut Bench, ack: u32, window: u16, blocks: &[(u32, u32)]) -> Vec<Tcp> {
    let mut options = Vec::new();
    if !blocks.is_empty() {
        options.extend([1, 1, 5, 2 + 8 * blocks.len() as u8]);
        options.extend(blocks.iter().flat_map(|(l, r)| [l.to_be_bytes(), r.to_be_bytes()].concat()));
    }
    segments(&b.give_tcp(&Tcp { src: 7, dst: 80, seq: 1001, ack, flags: ACK, window, options, ..Tcp::default() }))
}

fn lens(sent: &[Tcp]) -> Vec<usize> {
    sent.iter().map(|t| t.payload.len()).collect()
}

fn end(b: &mut Bench, handle: TcpHandle) {
    b.stack.tcp(handle).expect("open").abort();
    b.poll();
    b.is_well();
}

// H159
#[test]
fn text_leaves_as_one_within_the_congestion_window_and_the_end_with_its_last() {
    let mut b = cutting();
    let (handle, first) = accepted(&mut b, TcpOptions::default(), 65_535, &PLAIN);
    let all = text(60_000);
    let out = b.stack.stats().tcp_segments_out;
    let sent = write(&mut b, handle, &all);
    assert_eq!((lens(&sent), b.nic.sizes.clone()), (vec![10 * MSS], vec![MSS as u16]), "RFC 6928: ten");
    assert_eq!(b.stack.stats().tcp_segments_out - out, 10, "counted as its segments");
    assert_eq!((sent[0].seq, sent[0].flags, sent[0].payload[..] == all[..10 * MSS]), (first, ACK, true));
    b.stack.tcp(handle).expect("open").shutdown_write().expect("open");
    let (mut next, mut got) = (first + 10 * MSS as u32, sent[0].payload.clone());
    for _ in 0..10 {
        let sent = acknowledge(&mut b, next, 65_535, &[]);
        for t in &sent {
            assert_eq!(t.seq, next, "contiguous");
            got.extend_from_slice(&t.payload);
            next = next.wrapping_add(t.payload.len() as u32 + u32::from(t.has(FIN)));
            assert_eq!((t.has(FIN), t.has(PSH)), (got.len() == all.len(), got.len() == all.len()));
        }
    }
    assert!(got == all && next == first + 60_001);
    assert!(b.nic.sizes.len() >= 3 && b.nic.sizes.iter().all(|&size| size == MSS as u16));
    end(&mut b, handle);
}

// H159: neither without the means is anything put together, nor beside the device.
#[test]
fn without_what_it_takes_every_frame_is_one_segment() {
    let plain = Setup { caps: caps(true, 0), ..Setup::default() };
    let unsummed = Setup { caps: caps(false, 65_535), ..Setup::default() };
    let small = Setup { caps: caps(true, 65_535), large: 0, ..Setup::default() };
    let narrow = Setup { caps: caps(true, MSS + 40), ..Setup::default() };
    for setup in [plain, unsummed, small, narrow] {
        let mut b = bench(setup);
        let (handle, _) = accepted(&mut b, TcpOptions::default(), 65_535, &PLAIN);
        assert_eq!(lens(&write(&mut b, handle, &text(20_000))), [MSS; 10]);
        assert!(b.nic.sizes.is_empty());
        end(&mut b, handle);
    }
}

#[test]
fn large_frames_that_are_in_use_are_not_waited_for() {
    let mut large = None;
    let mut b = bench_with(Setup { caps: caps(true, 65_535), large: 4, ..Setup::default() }, |c| large = c.large_pool);
    let (handle, _) = accepted(&mut b, TcpOptions::default(), 65_535, &PLAIN);
    let held: Vec<_> = (0..3).map(|_| large.expect("a pool").take(0)).collect();
    assert_eq!(lens(&write(&mut b, handle, &text(20_000))), [MSS; 10]);
    drop(held);
    end(&mut b, handle);
}

/// The device takes less at once than the window.
#[test]
fn none_is_longer_than_the_device_takes() {
    let mut b = bench(Setup { caps: caps(true, 5000), ..Setup::default() });
    let (handle, _) = accepted(&mut b, TcpOptions::default(), 65_535, &PLAIN);
    assert_eq!(lens(&write(&mut b, handle, &text(14_600))), [3 * MSS, 3 * MSS, 3 * MSS, MSS]);
    end(&mut b, handle);
}

struct Seeing;

impl Hooks for Seeing {
    fn on_packet(&mut self, _: &Passage, packet: &mut [u8]) -> Verdict {
        assert!(packet.len() <= 1500, "{} octets", packet.len());
        Verdict::Accept
    }
}

#[test]
fn hooks_see_segments() {
    let mut b = cutting();
    b.stack.set_hooks(Some(Box::leak(Box::new(Seeing))));
    let (handle, _) = accepted(&mut b, TcpOptions::default(), 65_535, &PLAIN);
    assert_eq!(lens(&write(&mut b, handle, &text(20_000))), [MSS; 10]);
    end(&mut b, handle);
}

/// A tap shows it as it was made, complete: the reader of packets verifies the checksum.
#[test]
fn a_tap_sees_it_whole_with_its_checksum() {
    let mut b = cutting();
    let (handle, _) = accepted(&mut b, TcpOptions::default(), 65_535, &PLAIN);
    let tap = b.stack.add_tap(TapOptions::default(), vec![0; 100_000]).expect("room");
    let sent = write(&mut b, handle, &text(20_000));
    let mut buf = vec![0; 20_000];
    let seen = b.stack.read_tap(tap, &mut buf).expect("a frame");
    assert_eq!(packet::read(&buf[..seen.kept]), Seen::Tcp(H, P, sent[0].clone()));
    b.stack.remove_tap(tap);
    end(&mut b, handle);
}

#[test]
fn one_that_the_device_refuses_is_offered_again_as_it_is() {
    let mut b = cutting();
    let (handle, first) = accepted(&mut b, TcpOptions::default(), 65_535, &PLAIN);
    b.nic.tx_room = 0;
    b.stack.tcp(handle).expect("open").write(&text(20_000)).expect("room");
    for _ in 0..3 {
        let _ = b.stack.poll(b.now, b.iface, &mut b.nic, 64);
    }
    b.nic.tx_room = usize::MAX;
    let sent = segments(&b.poll());
    assert_eq!((lens(&sent), sent[0].seq, b.nic.sizes.len()), (vec![10 * MSS], first, 1));
    end(&mut b, handle);
}

#[test]
fn the_peers_window_bounds_it_and_small_rests_obey_nagle() {
    let mut b = cutting();
    let (handle, first) = accepted(&mut b, TcpOptions::default(), 5000, &PLAIN);
    let sent = write(&mut b, handle, &text(7000));
    assert_eq!(lens(&sent), [3 * MSS], "not 620 octets more, which would be a silly window");
    let mut next = first + 3 * MSS as u32;
    let sent = acknowledge(&mut b, next, 5000, &[]);
    // All of the rest goes with its full segment: nothing small is in flight.
    assert_eq!(lens(&sent), [7000 - 3 * MSS]);
    next += 7000 - 3 * MSS as u32;
    // But now there is, and what is small waits.
    assert_eq!(lens(&write(&mut b, handle, &text(MSS + 10))), [MSS]);
    assert_eq!(lens(&acknowledge(&mut b, next, 5000, &[])), [10]);
    end(&mut b, handle);
}

/// Pieces are lost: what the peer has is not sent again, and what is goes segment by segment.
#[test]
fn of_one_with_holes_the_holes_alone_go_again() {
    let mut b = cutting();
    let (handle, first) = accepted(&mut b, TcpOptions::default(), 65_535, &SACK);
    assert_eq!(lens(&write(&mut b, handle, &text(10 * MSS))), [10 * MSS]);
    b.now += Duration::from_millis(20);
    let at = |n: u32| first + n * MSS as u32;
    // The second and third, and the sixth, are missing.
    let mut again = acknowledge(&mut b, at(1), 65_535, &[(at(3), at(5)), (at(6), at(10))]);
    again.extend(timed(&b.pass(Duration::from_millis(100))).into_iter().map(|(_, t)| t));
    again.extend(acknowledge(&mut b, at(2), 65_535, &[(at(3), at(5)), (at(6), at(10))]));
    again.extend(acknowledge(&mut b, at(5), 65_535, &[(at(6), at(10))]));
    again.extend(timed(&b.pass(Duration::from_millis(100))).into_iter().map(|(_, t)| t));
    let holes: Vec<_> = again.iter().map(|t| (t.seq, t.payload.len())).collect();
    assert_eq!(holes, [(at(1), MSS), (at(2), MSS), (at(5), MSS)]);
    assert_eq!(acknowledge(&mut b, at(10), 65_535, &[]), []);
    end(&mut b, handle);
}

#[test]
fn without_sack_what_is_missing_goes_again_by_segments() {
    let mut b = cutting();
    let (handle, first) = accepted(&mut b, TcpOptions::default(), 65_535, &PLAIN);
    assert_eq!(lens(&write(&mut b, handle, &text(10 * MSS))), [10 * MSS]);
    let at = |n: u32| first + n * MSS as u32;
    let mut again = Vec::new();
    for _ in 0..3 {
        again.extend(acknowledge(&mut b, first, 65_535, &[]));
    }
    assert_eq!(again.iter().map(|t| (t.seq, t.payload.len())).collect::<Vec<_>>(), [(first, MSS)]);
    // RFC 6582: a partial acknowledgment.
    let again = acknowledge(&mut b, at(4), 65_535, &[]);
    assert_eq!(again.iter().map(|t| (t.seq, t.payload.len())).collect::<Vec<_>>(), [(at(4), MSS)]);
    end(&mut b, handle);
}

/// RFC 8985 §7.3: a probe of one segment, the highest.
#[test]
fn its_tail_is_probed_by_its_last_segment() {
    let mut b = cutting();
    let (handle, first) = accepted(&mut b, TcpOptions::default(), 65_535, &SACK);
    write(&mut b, handle, &text(MSS));
    b.now += Duration::from_millis(20);
    acknowledge(&mut b, first + MSS as u32, 65_535, &[]);
    let sent = write(&mut b, handle, &text(4 * MSS + 100));
    assert_eq!(lens(&sent), [4 * MSS + 100]);
    let probes = timed(&b.pass(Duration::from_millis(150)));
    assert_eq!(
        probes.iter().map(|(_, t)| (t.seq, t.payload.len())).collect::<Vec<_>>(),
        [(first + 5 * MSS as u32, 100)]
    );
    end(&mut b, handle);
}

/// RFC 1191: smaller segments from now on; what was in flight goes again in them.
#[test]
fn a_path_that_takes_less_than_its_segments_gets_shorter_ones() {
    let mut b = cutting();
    let (handle, first) = accepted(&mut b, TcpOptions::default(), 65_535, &SACK);
    let all = text(40_000);
    b.stack.tcp(handle).expect("open").write(&all).expect("room");
    let raw = b.poll_raw();
    assert_eq!(raw[0].len(), 14 + 40 + 10 * MSS);
    // The router quotes the first of the segments: 1,500 octets long.
    let mut quote = raw[0][14..14 + 28].to_vec();
    quote[2..4].copy_from_slice(&1500u16.to_be_bytes());
    quote[10..12].fill(0);
    let sum = packet::checksum(&quote[..20]).to_be_bytes();
    quote[10..12].copy_from_slice(&sum);
    b.nic.sizes.clear();
    let mut sent = segments(&b.give_ip(&Ip::new(R, H, 1), &packet::icmp(3, 4, [0, 0, 2, 0x58], &quote)));
    let (mut next, mut got) = (first, Vec::new());
    for _ in 0..200 {
        sent.sort_by_key(|t| t.seq.wrapping_sub(first));
        for t in sent.drain(..) {
            let size =
                if t.payload.len() > 560 { usize::from(*b.nic.sizes.last().expect("a super-segment")) } else { 560 };
            assert_eq!(size, 560, "{} octets at {}", t.payload.len(), t.seq.wrapping_sub(first));
            let known = next.wrapping_sub(t.seq) as usize;
            if t.seq.wrapping_sub(next) as i32 <= 0 && known < t.payload.len() {
                got.extend_from_slice(&t.payload[known..]);
                next = t.seq.wrapping_add(t.payload.len() as u32);
            }
        }
        if got.len() == all.len() {
            break;
        }
        b.now += Duration::from_millis(10);
        sent = acknowledge(&mut b, next, 65_535, &[]);
        sent.extend(timed(&b.pass(Duration::from_millis(300))).into_iter().map(|(_, t)| t));
    }
    assert!(got == all, "{} octets", got.len());
    assert!(!b.nic.sizes.is_empty(), "new text leaves as one again");
    end(&mut b, handle);
}

#[test]
fn urgent_text_leaves_by_segments() {
    let mut b = cutting();
    let (handle, _) = accepted(&mut b, TcpOptions::default(), 65_535, &PLAIN);
    assert_eq!(b.stack.tcp(handle).expect("open").write_urgent(&text(5 * MSS)), Ok(5 * MSS));
    assert_eq!(lens(&segments(&b.poll())), [MSS; 5]);
    end(&mut b, handle);
}

/// A turn of ten segments is followed by as many of others as would have come between them.
#[test]
fn others_have_their_turns_for_each_of_its_segments() {
    let mut b = cutting();
    let (handle, first) = accepted(&mut b, TcpOptions::default(), 65_535, &PLAIN);
    let udp = b.stack.udp_bind(None, 9, &UdpOptions { tx_queue: 16, ..UdpOptions::default() }).expect("a port");
    b.stack.tcp(handle).expect("open").write(&text(40_000)).expect("room");
    for n in 0..12u8 {
        b.stack.udp(udp).expect("open").send_to(&[n], SocketAddr::new(P.into(), 9)).expect("room");
    }
    // The first ten segments are acknowledged while the datagrams still wait, so that more may leave.
    b.nic.tx_room = 1;
    let _ = b.stack.poll(b.now, b.iface, &mut b.nic, 64);
    assert_eq!(b.nic.tx.drain(..).map(|f| f.len()).collect::<Vec<_>>(), [14 + 40 + 10 * MSS]);
    b.nic.tx_room = usize::MAX;
    let sent = b.give_tcp(&Tcp {
        src: 7,
        dst: 80,
        seq: 1001,
        ack: first + 10 * MSS as u32,
        flags: ACK,
        window: 65_535,
        ..Tcp::default()
    });
    let at = sent.iter().position(|s| matches!(s, Seen::Tcp(..))).expect("more text");
    assert_eq!(at, 11, "{} frames: what was refused, who was in line before, and nine turns", sent.len());
    end(&mut b, handle);
}
