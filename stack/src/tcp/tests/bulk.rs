//! The loss-free path by itself, for counting its instructions.
//!
//! `cargo test --release -p ringtap --no-run`, then `valgrind --tool=callgrind --toggle-collect='*bulk_transfer*'` on the
//! test binary with `--ignored bulk_path`.

extern crate std;

use super::harness::{MSS, buffers, tuple};
use crate::seq::Seq;
use crate::sockets::demux::Tuple;
use crate::tcp::conn::Conn;
use crate::tcp::options::TcpOptions;
use crate::time::{Duration, Instant};
use crate::wire::checksum::{pseudo_header, sum};
use crate::wire::segment::{Segment, set_checksum};

/// Everything that `from` owes goes to `to` as octets, checksums included; how many segments.
#[inline(never)]
fn exchange(now: Instant, from: &mut Conn<'_>, to: &mut Conn<'_>, packet: &mut [u8; 2048], most: usize) -> usize {
    let mut count = 0;
    let t = from.tuple();
    from.prepare(now);
    while count < most
        && let Some(plan) = from.plan(now, 1)
    {
        let header = from.header(&plan, now);
        let (start, len) = (header.len(), header.len() + plan.len as usize);
        let text = from.copy_text(&plan, &mut packet[start..len]);
        header.emit(&mut packet[..start]);
        let total = pseudo_header(t.local_addr, t.remote_addr, 6, len as u32).add(sum(&packet[..start])).add(text);
        set_checksum(&mut packet[..start], total.finish());
        let _ = from.commit(now, &plan);
        let _ = from.owes(now);

        let bytes = &packet[..len];
        assert!(pseudo_header(t.local_addr, t.remote_addr, 6, len as u32).add(sum(bytes)).is_valid());
        let segment = Segment::parse(bytes).expect("well-formed");
        let verdict = to.handle_segment(now, &segment);
        let _ = to.owes(now);
        assert_eq!(verdict.drop, None);
        count += 1;
    }
    count
}

#[inline(never)]
fn bulk_transfer(a: &mut Conn<'_>, b: &mut Conn<'_>, octets: usize) -> (usize, usize) {
    let mut now = Instant::from_secs(2);
    let mut packet = [0; 2048];
    let (mut read, mut segments, mut acks) = (0, 0, 0);
    while read < octets {
        now += Duration::from_micros(100);
        let _ = a.write_with(|room| (room.len(), ()));
        // Two segments, one acknowledgment.
        segments += exchange(now, a, b, &mut packet, 2);
        while let Ok(n @ 1..) = b.read_with(|text| (text.len(), text.len())) {
            read += n;
        }
        acks += exchange(now, b, a, &mut packet, 8);
    }
    (segments, acks)
}

fn pair(options: &TcpOptions) -> (Conn<'static>, Conn<'static>) {
    let t = tuple();
    let back = Tuple {
        local_addr: t.remote_addr,
        remote_addr: t.local_addr,
        local_port: t.remote_port,
        remote_port: t.local_port,
    };
    let now = Instant::from_secs(1);
    let mut a = Conn::connect(t, options, buffers(options), MSS);
    let mut b = Conn::connect(back, options, buffers(options), MSS);
    a.start(Seq::new(1), 0, now);
    b.start(Seq::new(2), 0, now);
    let mut packet = [0; 2048];
    for _ in 0..4 {
        exchange(now, &mut a, &mut b, &mut packet, 8);
        exchange(now, &mut b, &mut a, &mut packet, 8);
    }
    (a, b)
}

#[test]
fn bulk_path_acknowledges_every_second_segment() {
    let options = TcpOptions { timestamps: false, ..TcpOptions::default() };
    let (mut a, mut b) = pair(&options);
    let (segments, acks) = bulk_transfer(&mut a, &mut b, 1 << 20);
    assert!(acks * 2 <= segments + 10, "{segments} {acks}");
    assert!(segments <= (1 << 20) / 1460 + 20);
}
