//! Checksums and segments left to the kernel, and taken from it: what arrives is what was sent, in fewer frames.

use crate::world::{LIMIT, Link, Serve, assert_same, octets, on_tap_and_tun, with_limits};
use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpStream};

on_tap_and_tun!(super_segments_go_both_ways, without_offload_every_frame_is_a_packet);

/// The stack at `port`, by both families.
fn ends(port: u16) -> [SocketAddr; 2] {
    [([10, 7, 0, 2], port).into(), (Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 2), port).into()]
}

fn connect(to: SocketAddr) -> TcpStream {
    with_limits(TcpStream::connect_timeout(&to, LIMIT).expect("connected"))
}

/// Octets in a frame, received and sent, since the counters were `before`.
fn octets_per_frame(serve: &Serve, before: [u64; 4]) -> (u64, u64) {
    let now = counters(serve);
    let [frames, octets, sent, sent_octets] = std::array::from_fn(|n| now[n] - before[n]);
    (octets / frames.max(1), sent_octets / sent.max(1))
}

fn counters(serve: &Serve) -> [u64; 4] {
    ["rx_frames", "rx_octets", "tx_frames", "tx_octets"].map(|name| serve.counter(name))
}

/// Writes `len` octets to the echo and reads them back.
fn echo(to: SocketAddr, len: usize) {
    let (stream, data) = (connect(to), octets(len as u64, len));
    std::thread::scope(|scope| {
        let back = scope.spawn(|| {
            let mut back = Vec::with_capacity(len);
            (&stream).read_to_end(&mut back).map(|_| back)
        });
        (&stream).write_all(&data).expect("written");
        stream.shutdown(Shutdown::Write).expect("ended");
        assert_same(&back.join().expect("the reader").expect("read"), &data);
    });
}

fn super_segments_go_both_ways(link: Link) {
    let serve = Serve::start(link);
    for to in ends(7) {
        for len in [0, 1, 2, 1_447, 1_448, 1_449, 1_460, 2_920, 4_097, 65_535, 65_536, 100_001] {
            echo(to, len);
        }
        let before = counters(&serve);
        echo(to, 30 << 20);
        let (received, sent) = octets_per_frame(&serve, before);
        assert!(received > 3_000 && sent > 3_000, "{received} and {sent} octets in a frame");
    }
    assert_eq!(serve.counter("drop.tcp-checksum"), 0);
    serve.end();
}

fn without_offload_every_frame_is_a_packet(link: Link) {
    let serve = Serve::start_with(link, &["--no-offload"]);
    for to in ends(7) {
        let before = counters(&serve);
        echo(to, 2 << 20);
        let (received, sent) = octets_per_frame(&serve, before);
        assert!(received <= 1_514 && sent <= 1_514, "{received} and {sent} octets in a frame");
    }
    serve.end();
}
