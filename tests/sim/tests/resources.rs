//! Exhaustion: floods that nobody asked for, pools that run dry, devices that take nothing, tables that must not leak.

use ringtap::error::{RecvError, TcpError};
use ringtap::sockets::UdpOptions;
use ringtap::stack::{Limits, Stack, Storage};
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, State, TcpHandle, TcpOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::bench::{H, H_MAC, P, P_MAC, segments, timed};
use ringtap_sim::packet::{self, ACK, FIN, Ip, RST, Seen, Tcp};
use ringtap_sim::{Bench, Bulk, Impairments, Sim, SimRng};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PORT: u16 = 80;

fn ping() -> Vec<u8> {
    packet::icmp(8, 0, [0, 1, 0, 1], b"still there?")
}

fn is_pong(seen: &[Seen]) -> bool {
    seen.iter().any(|s| matches!(s, Seen::Icmp(_, _, 0, ..)))
}

fn from_p(seq: u32, ack: u32, flags: u8) -> Tcp {
    Tcp { src: 4000, dst: PORT, seq, ack, flags, window: 65_535, ..Tcp::default() }
}

#[test]
fn replies_to_senders_that_arp_does_not_find_take_a_share_of_the_pool_only() {
    // H144.
    let mut bench = Bench::with(16, |_| {}).with_live_neighbors();
    let listener = bench.listen(PORT, 8, TcpOptions::default());
    let (handle, iss) = bench.accepted(listener, 4000, PORT);
    let (mut seq, mut starved) = (1001, 0);
    for round in 0..20u32 {
        for n in 0..64u32 {
            let src = Ipv4Addr::new(192, 0, 2, 10 + n as u8);
            let frame = |protocol, payload: &[u8]| {
                let packet = Ip::new(src, H, protocol).build(payload);
                packet::ethernet(H_MAC, [2, 0, 0, 0, 1, n as u8], 0x0800, &packet)
            };
            let syn = Tcp { dst: PORT, src: 1000, flags: 2, seq: round, ..Tcp::default() };
            bench.give(frame(1, &ping()));
            bench.give(frame(17, &packet::udp((src, 9), (H, 9), b"closed")));
            bench.give(frame(6, &syn.build(src, H)));
        }
        assert!(bench.pool().free() >= 6, "{} of 16 frames are free", bench.pool().free());
        let seen = bench.give_ip(&Ip::new(P, H, 1), &ping());
        assert!(is_pong(&seen), "round {round}: P's ping: {seen:?}");
        bench.give_tcp(&bench.text(4000, PORT, seq, iss + 1, &[1; 500]));
        seq += 500;
        assert_eq!(bench.stack.tcp(handle).unwrap().read(&mut [0; 1000]), Ok(500));
        starved += bench.nic.starved;
        bench.pass(Duration::from_millis(500));
    }
    assert_eq!(starved, 0);
    bench.stack.tcp(handle).unwrap().abort();
    bench.pass(Duration::from_secs(100));
    bench.is_well();
}

#[test]
fn a_socket_that_never_reads_keeps_its_quota_and_no_more() {
    // H145: 100,000 datagrams.
    let mut bench = Bench::new().with_live_neighbors();
    let listener = bench.listen(PORT, 8, TcpOptions::default());
    let (handle, iss) = bench.accepted(listener, 4000, PORT);
    let options = UdpOptions::default();
    let lazy = bench.stack.udp_bind(None, 5000, &options).unwrap();
    let other = bench.stack.udp_bind(None, 5001, &options).unwrap();
    for n in 0..100_000u32 {
        bench.give_udp(9, 5000, &n.to_be_bytes());
        if n % 10_000 == 0 {
            bench.give_udp(9, 5001, b"for the other");
            assert!(bench.stack.udp(other).unwrap().recv_from(&mut [0; 32]).is_ok());
            bench.give_tcp(&bench.text(4000, PORT, 1001 + n / 10_000 * 4, iss + 1, b"text"));
            assert_eq!(bench.stack.tcp(handle).unwrap().read(&mut [0; 32]), Ok(4));
            assert!(is_pong(&bench.give_ip(&Ip::new(P, H, 1), &ping())));
        }
    }
    assert_eq!(bench.frames_in_use(), options.rx_queue);
    assert_eq!(bench.stack.udp(lazy).unwrap().dropped(), 100_000 - options.rx_queue);
    assert_eq!(bench.stack.udp(other).unwrap().dropped(), 0);
    assert_eq!(bench.dropped(DropReason::SocketQueueFull), 100_000 - options.rx_queue);
    let mut buf = [0; 8];
    assert_eq!(bench.stack.udp(lazy).unwrap().recv_from(&mut buf).unwrap().len, 4);
    assert_eq!(buf[..4], 0u32.to_be_bytes(), "the oldest is kept");
    bench.stack.udp(lazy).unwrap().close();
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    bench.is_well();
}

#[test]
fn many_sockets_that_never_read_leave_the_stack_its_reserve() {
    // H145: their quotas together exceed the pool.
    let mut bench = Bench::with(32, |_| {}).with_live_neighbors();
    let all: Vec<_> = (0..8).map(|n| bench.stack.udp_bind(None, 5000 + n, &UdpOptions::default()).unwrap()).collect();
    for n in 0..1000 {
        bench.give_udp(9, 5000 + n % 8, b"unread");
        assert!(is_pong(&bench.give_ip(&Ip::new(P, H, 1), &ping())), "after {n}");
    }
    assert!(bench.pool().free() >= 3, "{} free", bench.pool().free());
    for handle in all {
        bench.stack.udp(handle).unwrap().close();
    }
    bench.is_well();
}

#[test]
fn a_full_transmit_ring_does_not_stop_receive_or_lose_what_is_owed() {
    // H146: for 5 seconds, with plenty of frames and with few.
    for frames in [64, 16] {
        full_ring(Bench::with(frames, |_| {}).with_live_neighbors());
    }
}

fn full_ring(mut bench: Bench) {
    let listener = bench.listen(PORT, 8, TcpOptions::default());
    let (handle, iss) = bench.accepted(listener, 4000, PORT);
    bench.stack.tcp(handle).unwrap().write(&[9; 1000]).unwrap();
    assert_eq!(segments(&bench.poll()).len(), 1);
    bench.nic.tx_room = 0;
    bench.give_tcp(&from_p(1001, iss + 1001, ACK));
    assert_eq!(bench.stack.tcp(handle).unwrap().unacknowledged(), 0, "the ACK is consumed");
    for n in 0..50u32 {
        bench.give_tcp(&bench.text(4000, PORT, 1001 + n * 100, iss + 1001, &[7; 100]));
        assert_eq!(bench.stack.tcp(handle).unwrap().read(&mut [0; 500]), Ok(100), "the text is delivered");
        bench.give_ip(&Ip::new(P, H, 1), &ping());
        bench.give(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, P, [0; 6], H)));
        assert_eq!(bench.pass(Duration::from_millis(100)), []);
    }
    bench.nic.tx_room = usize::MAX;
    let seen: Vec<_> = bench.pass(Duration::from_millis(100)).into_iter().map(|(_, s)| s).collect();
    assert!(segments(&seen).iter().any(|s| s.ack == 6001), "the ACK leaves: {seen:?}");
    assert!(is_pong(&seen), "and what replies there was room for");
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    bench.is_well();
}

#[test]
fn saturating_senders_share_a_slow_device_evenly() {
    // H147: four of UDP, one of TCP, two places per poll.
    let mut bench = Bench::new().with_live_neighbors();
    let (tcp, syn) = bench.connected(7, TcpOptions::default());
    let options = UdpOptions::default();
    let udp: Vec<_> = (0..4).map(|n| bench.stack.udp_bind(None, 5000 + n, &options).unwrap()).collect();
    let remote = SocketAddr::new(IpAddr::V4(P), 9);
    let mut counts = BTreeMap::new();
    bench.nic.tx_room = 2;
    let mut edge = syn.seq + 1;
    for _ in 0..2_000 {
        for &handle in &udp {
            while bench.stack.udp(handle).unwrap().send_to(&[0; 1000], remote).is_ok() {}
        }
        while bench.stack.tcp(tcp).unwrap().write(&[1; 4096]).is_ok() {}
        let _ = bench.stack.poll(bench.now, bench.iface, &mut bench.nic, 64);
        assert_eq!(bench.nic.tx.len(), 2);
        let frames: Vec<_> = bench.nic.tx.drain(..).collect();
        for frame in frames {
            match packet::read(&frame) {
                Seen::Udp((_, port), ..) => *counts.entry(port).or_insert(0) += 1,
                Seen::Tcp(_, _, s) => {
                    *counts.entry(0).or_insert(0) += 1;
                    edge = edge.max(s.seq + s.payload.len() as u32);
                    let ack = Tcp { seq: 5001, ..bench.reply_to(&syn, edge) };
                    let packet = Ip::new(P, H, 6).build(&ack.build(P, H));
                    bench.nic.rx.push_back(packet::ethernet(H_MAC, P_MAC, 0x0800, &packet));
                }
                _ => {}
            }
        }
        bench.now += Duration::from_micros(500);
    }
    for (port, n) in &counts {
        assert!((600..=1_000).contains(n), "port {port} had {n} of 4,000: {counts:?}");
    }
    assert_eq!(counts.len(), 5);
}

/// A transfer during which every `n`-th poll of each host finds no frame in its pool.
fn with_holes(seed: u64, every: u64, phase: u64) -> Sim {
    let mut sim = Sim::pair(seed, Impairments::default(), Impairments::default());
    let options = TcpOptions::default();
    let server = SocketAddr::new(sim.hosts[1].addr, 7000);
    sim.hosts[0].apps.push(Box::new(Bulk::client(server, 30_000, 20_000, options)));
    sim.hosts[1].apps.push(Box::new(Bulk::server(7000, 20_000, 30_000, options)));
    for host in &mut sim.hosts {
        host.budget = 1;
    }
    let pools = [0, 1].map(|n: usize| ringtap::device::Device::pool(&sim.hosts[n].nic));
    for step in 0..50_000 {
        let mut held = Vec::new();
        if step % every == phase {
            // All but so many: the first, second … allocation of the step fails.
            let leave = (step / every % 3) as usize;
            for pool in pools {
                held.extend(std::iter::from_fn(|| if pool.free() > leave { pool.take(0) } else { None }));
            }
        }
        if sim.is_done() || !sim.step(Instant::from_secs(10_000)).unwrap() {
            break;
        }
    }
    sim
}

#[test]
fn any_frame_may_be_missing_at_any_time_and_the_transfer_completes() {
    // H148.
    for every in [2, 3, 5, 17, 1000] {
        for phase in 0..every.min(60) {
            let mut sim = with_holes(every * 1000 + phase, every, phase);
            assert!(sim.is_done(), "every {every}, phase {phase}");
            sim.check_empty().unwrap();
        }
    }
}

/// One life of a connection, by its number.
fn cycle(bench: &mut Bench, listener: ringtap::tcp::ListenerHandle, n: u32) {
    let port = 1024 + (n * 7 % 60_000) as u16;
    let (handle, next, active) = match n % 2 {
        0 => {
            let (handle, iss) = bench.accepted(listener, port, PORT);
            (handle, iss + 1, None)
        }
        _ => {
            let (handle, syn) = bench.connected(port, TcpOptions::default());
            (handle, syn.seq + 1, Some(syn))
        }
    };
    let p = if active.is_some() { 5001 } else { 1001 };
    let (src, dst) = active.map_or((port, PORT), |syn| (port, syn.src));
    let from = |seq: u32, ack: u32, flags: u8| Tcp { src, dst, seq, ack, flags, window: 60_000, ..Tcp::default() };
    bench.give_tcp(&Tcp { payload: vec![1; 50], ..from(p, next, ACK) });
    bench.stack.tcp(handle).unwrap().read(&mut [0; 64]).unwrap();
    bench.stack.tcp(handle).unwrap().write(&[2; 70]).unwrap();
    bench.poll();
    match n / 2 % 5 {
        0 => bench.stack.tcp(handle).unwrap().abort(),
        1 => {
            bench.give_tcp(&from(p + 50, next, RST));
            bench.stack.tcp(handle).unwrap().close();
        }
        2 => {
            bench.give_tcp(&from(p + 50, next + 70, FIN | ACK));
            bench.stack.tcp(handle).unwrap().close();
            bench.poll();
            bench.give_tcp(&from(p + 51, next + 71, ACK));
        }
        3 => {
            bench.stack.tcp(handle).unwrap().close();
            bench.poll();
            bench.give_tcp(&from(p + 50, next + 71, FIN | ACK));
        }
        // The peer is never heard of again.
        _ => bench.stack.tcp(handle).unwrap().close(),
    }
    bench.poll();
    bench.now += Duration::from_millis(50);
}

#[test]
fn ten_thousand_lives_and_deaths_leave_every_table_empty() {
    // H149. The tables are small, so that a leak in any of them ends the run.
    let limits = Limits { tcp: 1_000, listeners: 1, time_wait: 3_000, neighbors: 8, ..Limits::default() };
    let mut bench = Bench::new();
    let config = ringtap::config::Config::new(ringtap::rng::Secret::new([7; 16]));
    let mut stack = Stack::new(config, Storage::growing(limits));
    let iface = stack.add_interface(&bench.nic, ringtap::device::Mac(H_MAC)).unwrap();
    stack.add_address(iface, ringtap::ip::addr::Cidr::new(IpAddr::V4(H), 24).unwrap()).unwrap();
    (bench.stack, bench.iface) = (stack, iface);
    let mut bench = bench.with_live_neighbors();
    let listener = bench.listen(PORT, 4, TcpOptions::default());
    for n in 0..10_000 {
        cycle(&mut bench, listener, n);
        while bench.stack.next_event().is_some() {}
    }
    bench.pass(Duration::from_secs(400));
    assert_eq!((bench.stack.tcp_connections(), bench.stack.tcp_time_waits()), (0, 0));
    // All nodes are free again: as many connections as ever fit.
    let remote = SocketAddr::new(IpAddr::V4(P), 7);
    let all: Vec<_> = std::iter::from_fn(|| bench.stack.tcp_connect(remote, &ConnectOptions::default()).ok()).collect();
    assert_eq!(all.len(), 1_000);
    for handle in all {
        bench.stack.tcp(handle).unwrap().abort();
    }
    assert_eq!(bench.stack.tcp_connections(), 0);
    bench.pass(Duration::from_secs(400));
    assert_eq!(bench.stack.next_deadline(), None, "no timer is left");
    bench.is_well();
}

#[test]
fn ten_thousand_one_octet_islands_are_bounded_and_text_still_flows() {
    // H151.
    let mut bench = Bench::new().with_live_neighbors();
    let listener = bench.listen(PORT, 4, TcpOptions::default());
    let (handle, iss) = bench.accepted(listener, 4000, PORT);
    let mut acks = 0;
    for n in 0..10_000u32 {
        acks += segments(&bench.give_tcp(&bench.text(4000, PORT, 1003 + 2 * n, iss + 1, &[7]))).len();
    }
    assert_eq!(acks, 10_000, "each is answered");
    assert!(bench.dropped(DropReason::TcpNoRoom) > 9_000, "the islands are bounded");
    let text: Vec<u8> = (0..30_000u32).map(|n| (n % 251) as u8).collect();
    let mut got = Vec::new();
    let mut buf = [0; 4096];
    for (n, chunk) in text.chunks(1000).enumerate() {
        bench.give_tcp(&bench.text(4000, PORT, 1001 + n as u32 * 1000, iss + 1, chunk));
        while let Ok(n) = bench.stack.tcp(handle).unwrap().read(&mut buf) {
            got.extend_from_slice(&buf[..n]);
        }
    }
    assert_eq!(got.len(), text.len());
    // Islands are what came first, where they were kept: the peer that sends other text a second time is on its own.
    let same = got.iter().zip(&text).filter(|(a, b)| a == b || **a == 7).count();
    assert_eq!(same, text.len());
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    bench.is_well();
}

#[test]
fn a_reader_that_comes_late_finds_text_and_datagrams_as_they_came() {
    // H145, H146: what is queued stays whole while frames are scarce.
    let mut bench = Bench::with(12, |_| {}).with_live_neighbors();
    let listener = bench.listen(PORT, 4, TcpOptions::default());
    let (handle, iss) = bench.accepted(listener, 4000, PORT);
    let udp = bench.stack.udp_bind(None, 5000, &UdpOptions::default()).unwrap();
    let mut rng = SimRng::new(5);
    let mut text = Vec::new();
    for n in 0..40u32 {
        bench.give_udp(9, 5000, &n.to_be_bytes());
        let piece: Vec<u8> = (0..100).map(|_| rng.next_u64() as u8).collect();
        bench.give_tcp(&bench.text(4000, PORT, 1001 + text.len() as u32, iss + 1, &piece));
        text.extend(piece);
    }
    let mut buf = vec![0; 8192];
    assert_eq!(bench.stack.tcp(handle).unwrap().read(&mut buf), Ok(text.len()));
    assert_eq!(buf[..text.len()], text);
    let mut n = 0u32;
    while bench.stack.udp(udp).unwrap().recv_from(&mut buf) != Err(RecvError::WouldBlock) {
        assert_eq!(buf[..4], n.to_be_bytes());
        n += 1;
    }
    assert!(n >= 4, "{n} datagrams were kept");
    assert_eq!(bench.stack.tcp(handle).unwrap().read(&mut buf), Err(TcpError::WouldBlock));
    let _: (TcpHandle, State) = (handle, bench.stack.tcp(handle).unwrap().state());
    bench.stack.tcp(handle).unwrap().abort();
    assert!(timed(&bench.pass(Duration::from_secs(1))).len() <= 2);
    bench.is_well();
}
