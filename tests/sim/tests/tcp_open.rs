//! Active opens that cannot leave, find nobody, or are nonsense; and peers that flood or disagree.

use ringtap::error::{ConnectError, SendError, TcpError};
use ringtap::ip::addr::Cidr;
use ringtap::sockets::UdpOptions;
use ringtap::tcp::{ConnectOptions, State, TcpOptions};
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, P, P_MAC, segments, timed};
use ringtap_sim::packet::{self, ACK, RST, SYN, Seen, Tcp};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(P), 80);

fn options(local_port: u16) -> ConnectOptions {
    ConnectOptions { local_port, ..ConnectOptions::default() }
}

/// P answers the stack's ARP request.
fn resolve(bench: &mut Bench) -> Vec<Tcp> {
    segments(&bench.give(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(2, P_MAC, P, H_MAC, H))))
}

/// Finishes the handshake that `syn` began, and moves a few octets both ways.
fn goes_on(bench: &mut Bench, handle: ringtap::tcp::TcpHandle, syn: &Tcp) {
    let answer = Tcp { seq: 7000, flags: SYN | ACK, ..bench.reply_to(syn, syn.seq + 1) };
    let seen = segments(&bench.give_tcp(&answer));
    assert!(matches!(&seen[..], [a] if a.flags == ACK && a.ack == 7001), "{seen:?}");
    assert_eq!(bench.stack.tcp(handle).unwrap().write(b"there"), Ok(5));
    let seen = segments(&bench.poll());
    assert!(matches!(&seen[..], [a] if a.payload == b"there" && a.seq == syn.seq + 1), "{seen:?}");
    bench.give_tcp(&bench.text(80, syn.src, 7001, syn.seq + 6, b"back"));
    let mut buf = [0; 8];
    assert_eq!(bench.stack.tcp(handle).unwrap().read(&mut buf), Ok(4));
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    bench.is_well();
}

#[test]
fn segments_that_come_before_the_syn_has_left_are_refused_and_the_open_goes_on() {
    // H051: the SYN waits for ARP.
    for flags in [ACK, SYN | ACK, RST | ACK, RST, ACK | packet::FIN, 0] {
        for ack in [0, 1, 0x8000_0000, u32::MAX] {
            let mut bench = Bench::new();
            bench.resolves = false;
            let handle = bench.stack.tcp_connect(REMOTE, &options(50_000)).unwrap();
            assert!(segments(&bench.poll()).is_empty(), "no SYN without a neighbour");
            let early = Tcp { src: 80, dst: 50_000, seq: 9000, ack, flags, window: 65_535, ..Tcp::default() };
            let seen = segments(&bench.give_tcp(&early));
            assert!(seen.iter().all(|s| s.has(RST)), "{seen:?}");
            assert_eq!(bench.stack.tcp(handle).unwrap().state(), State::SynSent, "flags {flags}, ack {ack}");
            let answered = seen.len();
            assert!(answered <= 1);
            let sent = resolve(&mut bench);
            let syn = sent.iter().find(|s| s.flags == SYN).expect("the SYN leaves now");
            goes_on(&mut bench, handle, syn);
        }
    }
}

#[test]
fn a_syn_that_crosses_an_unsent_syn_is_a_simultaneous_open() {
    // H051: the pool, then the device, has no room.
    let mut bench = Bench::new().with_live_neighbors();
    bench.nic.tx_room = 0;
    let handle = bench.stack.tcp_connect(REMOTE, &options(50_000)).unwrap();
    assert_eq!(bench.poll(), []);
    let theirs = Tcp { src: 80, dst: 50_000, seq: 9000, flags: SYN, window: 65_535, ..Tcp::default() };
    assert_eq!(bench.give_tcp(&theirs), []);
    bench.nic.tx_room = usize::MAX;
    let sent: Vec<_> = bench.pass(Duration::from_secs(2)).into_iter().map(|(_, s)| s).collect();
    let sent = segments(&sent);
    let iss = sent[0].seq;
    assert!(sent.iter().all(|s| s.has(SYN) && s.seq == iss), "{sent:?}");
    assert!(sent.iter().any(|s| s.flags == SYN | ACK && s.ack == 9001), "{sent:?}");
    bench.give_tcp(&Tcp { seq: 9001, ack: iss + 1, flags: ACK, ..theirs });
    assert_eq!(bench.stack.tcp(handle).unwrap().state(), State::Established);
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    bench.is_well();
}

#[test]
fn an_open_with_an_empty_pool_sends_its_syn_once_there_is_a_frame() {
    // H051, H089.
    let mut bench = Bench::new().with_live_neighbors();
    let pool = bench.pool();
    let mut all: Vec<_> = std::iter::from_fn(|| pool.take(0)).collect();
    let handle = bench.stack.tcp_connect(REMOTE, &options(0)).unwrap();
    assert_eq!(bench.poll(), []);
    assert_eq!(bench.pass(Duration::from_millis(700)), []);
    all.clear();
    let sent = timed(&bench.pass(Duration::from_millis(20)));
    let [(_, syn)] = &sent[..] else { panic!("{sent:?}") };
    // It was not counted as sent before: the next one is a whole second later.
    assert_eq!(timed(&bench.pass(Duration::from_millis(950))), []);
    let again = timed(&bench.pass(Duration::from_millis(100)));
    assert!(matches!(&again[..], [(_, s)] if s.seq == syn.seq), "{again:?}");
    goes_on(&mut bench, handle, &syn.clone());
}

#[test]
fn an_open_to_a_silent_host_backs_off_and_ends() {
    // H054. P has a MAC but no TCP; then nobody has the address at all.
    let mut bench = Bench::new().with_live_neighbors();
    let start = bench.now;
    let (handle, syn) = bench.connect(80, TcpOptions::default());
    let again = timed(&bench.pass(Duration::from_secs(1_000)));
    let at: Vec<_> = again.iter().map(|(t, _)| t.since(start).as_secs()).collect();
    assert_eq!(at, [1, 3, 7, 15, 31, 63, 123], "doubling to 60 s");
    assert!(again.iter().all(|(_, s)| s.flags == SYN && s.seq == syn.seq));
    assert_eq!(bench.stack.tcp(handle).unwrap().error(), Some(TcpError::TimedOut));
    assert_eq!(bench.stack.tcp(handle).unwrap().write(b"x"), Err(TcpError::TimedOut));
    bench.stack.tcp(handle).unwrap().close();
    assert_eq!(bench.stack.tcp_connections(), 0);
    bench.is_well();

    let mut bench = Bench::new();
    let start = bench.now;
    let handle = bench.stack.tcp_connect(REMOTE, &options(0)).unwrap();
    let sent = bench.pass(Duration::from_secs(179));
    assert!(!sent.is_empty() && sent.len() <= 180, "{} requests", sent.len());
    assert!(sent.iter().all(|(_, s)| matches!(s, Seen::Arp(1, ..))));
    assert_eq!(bench.stack.tcp(handle).unwrap().error(), None, "not before three minutes");
    bench.pass(Duration::from_secs(5));
    assert_eq!(
        bench.stack.tcp(handle).unwrap().error(),
        Some(TcpError::TimedOut),
        "{}",
        bench.now.since(start).as_secs()
    );
    bench.stack.tcp(handle).unwrap().close();
    assert!(bench.stack.next_deadline().is_none_or(|t| t > bench.now + Duration::from_secs(1)));
    assert_eq!((bench.stack.tcp_connections(), bench.frames_in_use()), (0, 0));
}

#[test]
fn opens_that_make_no_sense_fail_at_once_and_send_nothing() {
    // H060.
    let mut bench = Bench::new().with_neighbors();
    let to = |ip: [u8; 4], port| SocketAddr::new(IpAddr::V4(ip.into()), port);
    let remotes = [
        (to([192, 0, 2, 255], 80), ConnectError::InvalidRemote),
        (to([255, 255, 255, 255], 80), ConnectError::InvalidRemote),
        (to([224, 0, 0, 1], 80), ConnectError::InvalidRemote),
        (to([0, 0, 0, 0], 80), ConnectError::InvalidRemote),
        (to([192, 0, 2, 2], 0), ConnectError::InvalidRemote),
        ("[2001:db8::2]:80".parse().unwrap(), ConnectError::NoRoute),
        ("[::]:80".parse().unwrap(), ConnectError::InvalidRemote),
    ];
    for (remote, why) in remotes {
        assert_eq!(bench.stack.tcp_connect(remote, &options(0)).err(), Some(why), "{remote}");
    }
    let from = |local: &str| ConnectOptions { local: Some(local.parse().unwrap()), ..ConnectOptions::default() };
    for local in ["192.0.2.77", "192.0.2.255", "224.0.0.1", "2001:db8::1", "::1"] {
        let result = bench.stack.tcp_connect(REMOTE, &from(local));
        assert_eq!(result.err(), Some(ConnectError::NotOurAddress), "from {local}");
    }
    // Loopback is ours, but not to be seen on a wire (RFC 1122 §3.2.1.3).
    let result = bench.stack.tcp_connect(REMOTE, &from("127.0.0.1"));
    assert_eq!(result.err(), Some(ConnectError::NotOurAddress), "from 127.0.0.1 to P");
    let udp = bench.stack.udp_bind(Some("127.0.0.1".parse().unwrap()), 0, &UdpOptions::default()).unwrap();
    assert_eq!(bench.stack.udp(udp).unwrap().send_to(b"x", REMOTE), Err(SendError::NotOurAddress));
    bench.stack.udp(udp).unwrap().close();
    let none = TcpOptions { rx_buffer: 0, ..TcpOptions::default() };
    let empty = ConnectOptions { tcp: none, ..ConnectOptions::default() };
    assert_eq!(bench.stack.tcp_connect(REMOTE, &empty).err(), Some(ConnectError::Invalid));
    assert_eq!(bench.poll(), []);
    assert_eq!(bench.stack.tcp_connections(), 0);
    let routes: Vec<_> = bench.stack.routes().filter(|r| r.gateway.is_some()).copied().collect();
    for route in routes {
        bench.stack.remove_route(&route).unwrap();
    }
    let far = to([198, 51, 100, 1], 80);
    assert_eq!(bench.stack.tcp_connect(far, &options(0)).err(), Some(ConnectError::NoRoute));
    assert_eq!(bench.poll(), []);
    bench.is_well();
}

#[test]
fn the_directed_broadcast_of_every_own_network_is_no_remote() {
    // H060, with a second address.
    let mut bench = Bench::new().with_neighbors();
    let second = Cidr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 28).unwrap();
    bench.stack.add_address(bench.iface, second).unwrap();
    bench.poll();
    let remote = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 15)), 80);
    assert_eq!(bench.stack.tcp_connect(remote, &options(0)).err(), Some(ConnectError::InvalidRemote));
}

#[test]
fn a_reset_flood_on_one_connection_is_challenged_at_a_rate_that_the_other_does_not_pay() {
    // H075.
    let mut bench = Bench::new().with_live_neighbors();
    let (a, a_syn) = bench.connected(80, TcpOptions::default());
    let (b, b_syn) = bench.connected(81, TcpOptions::default());
    let reset = |bench: &mut Bench, port: u16, syn: &Tcp, seq: u32| {
        segments(&bench.give_tcp(&Tcp { src: port, dst: syn.src, seq, flags: RST, ..Tcp::default() }))
    };
    let mut challenges = 0;
    for n in 0..5_000u32 {
        challenges += reset(&mut bench, 80, &a_syn, 5001 + 10 + n).len();
        bench.now += Duration::from_millis(1);
    }
    assert!((5..=5 * 20).contains(&challenges), "{challenges} challenges in 5 s");
    assert_eq!(bench.stack.stats().tcp_challenge_acks, challenges);
    assert_eq!(reset(&mut bench, 81, &b_syn, 5011).len(), 1, "B has a budget of its own");
    // Ordinary acknowledgments of A go on.
    for n in 0..100u32 {
        let seen = segments(&bench.give_tcp(&bench.text(80, a_syn.src, 5001 + 2 * n, a_syn.seq + 1, b"ab")));
        let later = segments(&bench.pass(Duration::from_millis(60)).into_iter().map(|(_, s)| s).collect::<Vec<_>>());
        assert_eq!(seen.len() + later.len(), 1, "text {n} is acknowledged");
        // Out of order text as well, each.
        let seen = segments(&bench.give_tcp(&bench.text(80, a_syn.src, 5001 + 2 * n + 500, a_syn.seq + 1, b"z")));
        assert_eq!(seen.len(), 1);
    }
    for handle in [a, b] {
        assert_eq!(bench.stack.tcp(handle).unwrap().state(), State::Established);
        bench.stack.tcp(handle).unwrap().abort();
    }
    bench.poll();
    bench.is_well();
}

#[test]
fn two_ends_that_disagree_do_not_acknowledge_at_line_rate() {
    // H077: P acknowledges more than was sent, and answers each of our ACKs with another such.
    let mut bench = Bench::new().with_live_neighbors();
    let (handle, syn) = bench.connected(80, TcpOptions::default());
    let stray = |bench: &Bench| Tcp { seq: 5001, ack: syn.seq + 1 + 1000, ..bench.reply_to(&syn, 0) };
    let mut acks = 0;
    let mut answers = 1;
    for _ in 0..3_000 {
        for _ in 0..answers {
            let strays = stray(&bench);
            acks += segments(&bench.give_tcp(&strays)).len();
        }
        answers = 1 + acks % 2;
        bench.now += Duration::from_millis(1);
    }
    assert!((1..=3 * 20).contains(&acks), "{acks} ACKs in 3 s");
    assert_eq!(bench.stack.tcp(handle).unwrap().state(), State::Established);
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    bench.is_well();
}
