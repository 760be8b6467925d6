//! What must not be guessed: initial sequence numbers, ports, identifications.

use ringtap::config::Config;
use ringtap::device::Mac;
use ringtap::error::ConnectError;
use ringtap::ip::addr::Cidr;
use ringtap::rng::Secret;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{Identifiers, Limits, Stack, Storage};
use ringtap::tcp::{ConnectOptions, ListenOptions, TcpOptions};
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, P, R, segments};
use ringtap_sim::packet::{RST, SYN, Seen, Tcp};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PORT: u16 = 80;

/// A bench that keeps another secret.
fn with_secret(secret: [u8; 16]) -> Bench {
    let mut bench = Bench::new();
    let mut stack = Stack::new(Config::new(Secret::new(secret)), Storage::growing(Limits::default()));
    let iface = stack.add_interface(&bench.nic, Mac(H_MAC)).unwrap();
    stack.add_address(iface, Cidr::new(IpAddr::V4(H), 24).unwrap()).unwrap();
    stack.add_gateway(iface, IpAddr::V4(R)).unwrap();
    (bench.stack, bench.iface) = (stack, iface);
    bench.with_live_neighbors()
}

/// The ISN of a connection that P opens from `port`, and forgets.
fn passive_isn(bench: &mut Bench, port: u16) -> u32 {
    let syn = Tcp { src: port, dst: PORT, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
    let answer = segments(&bench.give_tcp(&syn));
    bench.give_tcp(&Tcp { seq: 1001, flags: RST, ..syn });
    answer.first().expect("a SYN|ACK").seq
}

/// The ISN and local port of a connection that H opens and aborts.
fn active_isn(bench: &mut Bench, local_port: u16) -> (u32, u16) {
    let options = ConnectOptions { local_port, ..ConnectOptions::default() };
    let handle = bench.stack.tcp_connect(SocketAddr::new(IpAddr::V4(P), 7), &options).unwrap();
    let syn = segments(&bench.poll()).remove(0);
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    (syn.seq, syn.src)
}

/// About evenly spread: no value of the upper byte far from its share.
fn is_spread(values: &[u32]) -> bool {
    let mut counts = [0usize; 16];
    for v in values {
        counts[(v >> 28) as usize] += 1;
    }
    let share = values.len() / 16;
    counts.iter().all(|&c| c > share / 2 && c < share * 2)
}

#[test]
fn the_same_four_tuple_moves_on_with_the_clock_and_others_are_elsewhere() {
    // H152.
    let mut bench = with_secret([1; 16]);
    bench.listen(PORT, 64, TcpOptions::default());
    let mut other = with_secret([2; 16]);
    other.listen(PORT, 64, TcpOptions::default());
    for port in [4000, 4001, 65_535] {
        let (a, b) = (passive_isn(&mut bench, port), active_isn(&mut bench, port));
        bench.now += Duration::from_secs(1);
        let (a2, b2) = (passive_isn(&mut bench, port), active_isn(&mut bench, port));
        assert_eq!(a2.wrapping_sub(a), 250_000);
        assert_eq!(b2.0.wrapping_sub(b.0), 250_000);
        other.now = bench.now;
        assert!(passive_isn(&mut other, port).abs_diff(a2) > 1 << 16, "another secret");
    }
    let all: Vec<_> = (1024..11_024).map(|port| passive_isn(&mut bench, port)).collect();
    assert!(is_spread(&all));
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    let steps: Vec<_> = all.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
    assert!(is_spread(&steps), "no step from one to the next");
}

#[test]
fn two_boots_differ_and_one_kind_of_output_says_nothing_of_another() {
    // H153. `Config::new` wants a secret: there is no constructor without entropy.
    let outputs = |secret| {
        let mut bench = with_secret(secret);
        bench.listen(PORT, 64, TcpOptions::default());
        let isns: Vec<_> = (2000..3000).map(|port| passive_isn(&mut bench, port)).collect();
        let ports: Vec<_> = (0..1000).map(|_| u32::from(active_isn(&mut bench, 0).1) << 16).collect();
        (isns, ports)
    };
    let (a, b) = (outputs([3; 16]), outputs([4; 16]));
    assert_eq!(a, outputs([3; 16]), "the secret decides");
    let same = |x: &[u32], y: &[u32]| x.iter().zip(y).filter(|(x, y)| **x >> 16 == **y >> 16).count();
    assert!(same(&a.0, &b.0) < 5 && same(&a.1, &b.1) < 5, "two boots differ");
    assert!(same(&a.0, &a.1) < 5, "two kinds differ");
    let bits: Vec<_> = a.0.iter().zip(&b.0).map(|(x, y)| x ^ y).collect();
    assert!(is_spread(&bits));
}

/// Identifiers of DNS queries and their ports, of DHCP and of DHCPv6, each in the upper bits.
fn identifiers(secret: [u8; 16]) -> [Vec<u32>; 4] {
    use ringtap::dhcp::v4::{DhcpClient, DhcpOptions};
    use ringtap::dhcp::v6::{Dhcpv6Client, Dhcpv6Mode};
    use ringtap::dns::{RecordKind, Resolver};
    let mut b = with_secret(secret);
    b.stack.autoconfigure(b.iface, Identifiers::Opaque).unwrap();
    b.pass(Duration::from_secs(3));
    let [mut ids, mut ports, mut xids, mut xids6] = [const { Vec::new() }; 4];
    let mut resolver = Resolver::new(&mut b.stack);
    resolver.set_servers(&[IpAddr::V4(P)]);
    for _ in 0..1_000 {
        let id = resolver.query(b.now, "www.example", RecordKind::A).unwrap();
        resolver.poll(&mut b.stack, b.now);
        for seen in b.poll() {
            if let Seen::Udp((_, port), (_, 53), m) = seen {
                ids.push(u32::from_be_bytes([m[0], m[1], 0, 0]));
                ports.push(u32::from(port) << 16);
            }
        }
        resolver.cancel(&mut b.stack, id);
    }
    for _ in 0..300 {
        let mut four = DhcpClient::start(&mut b.stack, b.now, b.iface, &DhcpOptions::default()).unwrap();
        let mut six = Dhcpv6Client::start(&mut b.stack, b.iface, Dhcpv6Mode::Stateful).unwrap();
        for _ in 0..200 {
            b.now += Duration::from_millis(100);
            let (_, _) = (four.poll(&mut b.stack, b.now), six.poll(&mut b.stack, b.now));
            for seen in b.poll() {
                match seen {
                    Seen::Udp(_, (_, 67), m) => xids.push(u32::from_be_bytes([m[4], m[5], m[6], m[7]])),
                    Seen::Other(f) if f[12..14] == [0x86, 0xdd] && f[20] == 17 && f[56..58] == [2, 35] => {
                        xids6.push(u32::from_be_bytes([f[63], f[64], f[65], 0]));
                    }
                    _ => {}
                }
            }
        }
        four.close(&mut b.stack);
        six.close(&mut b.stack);
        // What is asked again within an exchange has its identifier.
        xids.dedup();
        xids6.dedup();
    }
    [ids, ports, xids, xids6]
}

#[test]
fn identifiers_of_queries_and_leases_are_spread_differ_by_boot_and_say_nothing_of_each_other() {
    // H153.
    let (a, b) = (identifiers([3; 16]), identifiers([4; 16]));
    assert_eq!(a, identifiers([3; 16]), "the secret decides");
    let same = |x: &[u32], y: &[u32]| x.iter().zip(y).filter(|(x, y)| **x >> 16 == **y >> 16).count();
    for (kind, (x, y)) in a.iter().zip(&b).enumerate() {
        assert!(x.len() >= 300, "{kind}: {}", x.len());
        assert!(same(x, y) < 5, "two boots differ in {kind}");
        // Ports lie in the ephemeral range.
        assert!(kind == 1 || is_spread(x), "{kind}");
        let steps: HashSet<u32> = x.windows(2).map(|w| w[1].wrapping_sub(w[0]) >> 16).collect();
        assert!(steps.len() > x.len() * 9 / 10, "no step from one to the next of {kind} comes again and again");
        for (other, z) in a.iter().enumerate().filter(|(other, _)| *other != kind) {
            assert!(same(x, z) < 5, "{kind} says nothing of {other}");
        }
    }
}

#[test]
fn ephemeral_ports_are_spread_skip_what_is_taken_and_run_out_with_an_error() {
    // H154.
    let mut bench = with_secret([5; 16]);
    let ports: Vec<_> = (0..1000).map(|_| active_isn(&mut bench, 0).1).collect();
    assert!(ports.iter().all(|&p| p >= 49_152));
    assert!(ports.iter().collect::<HashSet<_>>().len() > 950, "of 16,384");
    let upper = ports.iter().filter(|&&p| p >= 57_344).count();
    assert!((400..600).contains(&upper), "both halves: {upper}");
    let steps: HashSet<_> = ports.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
    assert!(steps.len() > 950, "no pattern");
    // Taken: by a listener, and by connections to the same remote end.
    let mut free: HashSet<u16> = (49_152..=65_535).collect();
    let small = TcpOptions { rx_buffer: 64, tx_buffer: 64, ..TcpOptions::default() };
    for port in [50_000, 50_001, 65_535] {
        bench.stack.tcp_listen(None, port, &ListenOptions { backlog: 1, tcp: small }).unwrap();
        free.remove(&port);
    }
    let options = ConnectOptions { tcp: small, ..ConnectOptions::default() };
    let remote = SocketAddr::new(IpAddr::V4(P), 7);
    let mut opened = 0;
    loop {
        match bench.stack.tcp_connect(remote, &options) {
            Ok(handle) => {
                let port = bench.stack.tcp(handle).unwrap().local_addr().unwrap().port();
                assert!(free.remove(&port), "{port} twice, or taken");
                opened += 1;
            }
            Err(e) => {
                assert_eq!(e, ConnectError::NoPort, "after {opened}");
                break;
            }
        }
    }
    assert!(free.is_empty(), "{} ports were never tried", free.len());
    // Another remote end has all of them.
    assert!(bench.stack.tcp_connect(SocketAddr::new(IpAddr::V4(P), 8), &options).is_ok());
}

#[test]
fn ephemeral_udp_ports_skip_what_is_bound() {
    // H154.
    let mut bench = with_secret([6; 16]);
    let any = UdpOptions { rx_queue: 1, tx_queue: 1, ..UdpOptions::default() };
    let mut seen = HashSet::new();
    for n in 0..4_000u16 {
        let addr = (n % 2 == 0).then_some(IpAddr::V4(H));
        let handle = bench.stack.udp_bind(addr, 0, &any).unwrap();
        let port = bench.stack.udp(handle).unwrap().local_addr().unwrap().port();
        assert!(port >= 49_152 && seen.insert(port), "{port} overlaps");
    }
}

/// The identification of the next datagram to this destination, behind the router.
fn ident(bench: &mut Bench, udp: ringtap::sockets::UdpHandle, to: u8) -> u16 {
    let remote = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, to)), 9);
    bench.stack.udp(udp).unwrap().send_to(b"x", remote).unwrap();
    let sent = bench.poll_raw();
    let frame = sent.iter().find(|f| f[12..14] == [8, 0] && f[23] == 17).expect("a datagram");
    u16::from_be_bytes([frame[18], frame[19]])
}

#[test]
fn identifications_of_one_destination_say_nothing_of_anothers_and_come_not_again_soon() {
    // H155. Datagrams may be cut up on their way, so each has an identification of its own.
    let mut bench = with_secret([7; 16]);
    let udp = bench.stack.udp_bind(None, 5000, &UdpOptions::default()).unwrap();
    let first: Vec<_> = (1..=200).map(|to| u32::from(ident(&mut bench, udp, to)) << 16).collect();
    let steps: Vec<_> = first.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
    assert!(is_spread(&first) && is_spread(&steps), "no destination's says another's");
    // What is sent to others is not to be seen, but for the few that share a counter.
    let mut disturbed = 0;
    for other in 2..=200 {
        let before = ident(&mut bench, udp, 1);
        for _ in 0..10 {
            ident(&mut bench, udp, other);
        }
        disturbed += usize::from(ident(&mut bench, udp, 1) != before.wrapping_add(1));
    }
    assert!(disturbed <= 20, "{disturbed} of 199");
    let all: HashSet<_> = (0..20_000).map(|_| ident(&mut bench, udp, 1)).collect();
    assert_eq!(all.len(), 20_000, "none comes again soon");
    // What cannot be cut up has none: no counter of the whole host is to be seen there.
    let options = ConnectOptions::default();
    bench.stack.tcp_connect(SocketAddr::new(IpAddr::V4(P), 7), &options).unwrap();
    let sent = bench.poll_raw();
    assert!(sent.iter().any(|f| f[23] == 6 && f[18..22] == [0, 0, 0x40, 0]), "identification 0, DF");
}
