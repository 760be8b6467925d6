//! What the calls promise: handles, errors, capacity, configuration.

use ringtap::device::{Mac, Medium};
use ringtap::error::{AcceptError, AddressError, BindError, ConnectError, RecvError, Stale, TcpError};
use ringtap::frame::BoxedPool;
use ringtap::ip::addr::Cidr;
use ringtap::rng::Secret;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{Limits, Stack, Storage};
use ringtap::tcp::{ConnectOptions, ListenOptions, State, TcpOptions};
use ringtap::time::Duration;
use ringtap_sim::bench::{H, H_MAC, P, segments};
use ringtap_sim::packet::{ACK, FIN, RST, SYN, Tcp};
use ringtap_sim::{Bench, Nic};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PORT: u16 = 80;
const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(P), 7);

/// A bench whose tables are this large.
fn with_limits(limits: Limits) -> Bench {
    let mut bench = Bench::new();
    let config = ringtap::config::Config::new(Secret::new([8; 16]));
    let mut stack = Stack::new(config, Storage::growing(limits));
    let iface = stack.add_interface(&bench.nic, Mac(H_MAC)).unwrap();
    stack.add_address(iface, Cidr::new(IpAddr::V4(H), 24).unwrap()).unwrap();
    (bench.stack, bench.iface) = (stack, iface);
    bench.poll();
    bench.with_live_neighbors()
}

#[test]
fn a_handle_kept_after_close_is_stale_and_never_anothers() {
    // H165. A table of one: the slot is reused at once.
    let limits = Limits { tcp: 1, listeners: 1, udp: 1, raw: 1, echo: 1, ..Limits::default() };
    let mut bench = with_limits(limits);
    let options = ConnectOptions::default();
    let mut old = Vec::new();
    for _ in 0..300 {
        let handle = bench.stack.tcp_connect(REMOTE, &options).unwrap();
        assert!(old.iter().all(|&h| matches!(bench.stack.tcp(h), Err(Stale::Handle))));
        assert!(bench.stack.tcp(handle).is_ok());
        bench.stack.tcp(handle).unwrap().abort();
        assert!(bench.stack.tcp(handle).is_err());
        old.push(handle);
    }
    let mut old = Vec::new();
    for n in 0..300 {
        let handle = bench.stack.udp_bind(None, 5000, &UdpOptions::default()).unwrap();
        bench.give_udp(9, 5000, &[n as u8]);
        assert!(old.iter().all(|&h| bench.stack.udp(h).is_err()));
        assert_eq!(bench.stack.udp(handle).unwrap().recv_from(&mut [0; 4]).unwrap().len, 1);
        bench.stack.udp(handle).unwrap().close();
        old.push(handle);
    }
    let listener = bench.listen(PORT, 1, TcpOptions::default());
    bench.stack.tcp_unlisten(listener).unwrap();
    let other = bench.listen(PORT, 1, TcpOptions::default());
    bench.open(4000, PORT);
    assert_eq!(bench.stack.tcp_accept(listener).err(), Some(AcceptError::Stale));
    assert!(!bench.stack.tcp_acceptable(listener) && bench.stack.tcp_acceptable(other));
    assert!(bench.stack.tcp_unlisten(listener).is_err());
    let raw = bench.stack.raw_bind(Some(200)).unwrap();
    bench.stack.raw_close(raw).unwrap();
    bench.stack.raw_bind(Some(200)).unwrap();
    assert_eq!(bench.stack.raw_recv(raw, &mut [0; 4]).err(), Some(RecvError::Stale));
    let echo = bench.stack.icmp_bind(None).unwrap();
    bench.stack.icmp_close(echo).unwrap();
    bench.stack.icmp_bind(None).unwrap();
    assert_eq!(bench.stack.icmp_recv(echo, &mut [0; 4]).err(), Some(RecvError::Stale));
}

#[test]
fn events_of_a_closed_socket_are_not_told_of_the_next_in_its_place() {
    // H165.
    let mut bench = with_limits(Limits { tcp: 1, ..Limits::default() });
    let (first, syn) = bench.connected(7, TcpOptions::default());
    bench.give_tcp(&bench.text(7, syn.src, 5001, syn.seq + 1, b"news"));
    bench.stack.tcp(first).unwrap().abort();
    bench.poll();
    let second = bench.stack.tcp_connect(REMOTE, &ConnectOptions::default()).unwrap();
    let event = bench.stack.next_event();
    assert!(event.is_none(), "nothing has happened to {second:?}: {event:?}");
}

#[test]
fn every_table_says_full_and_takes_again_what_was_freed() {
    // H166.
    let limits = Limits { tcp: 3, listeners: 2, udp: 2, raw: 2, echo: 2, routes: 4, ..Limits::default() };
    let mut bench = with_limits(limits);
    let tcp: Vec<_> = (0..3).map(|_| bench.stack.tcp_connect(REMOTE, &ConnectOptions::default()).unwrap()).collect();
    for _ in 0..50 {
        let refused = bench.stack.tcp_connect(REMOTE, &ConnectOptions::default());
        assert_eq!(refused.err(), Some(ConnectError::Full));
    }
    // A full connection table refuses a handshake too, without a reset.
    let listener = bench.listen(PORT, 4, TcpOptions::default());
    let iss = bench.open(4000, PORT);
    assert_eq!(bench.stack.tcp_accept(listener).err(), Some(AcceptError::WouldBlock));
    bench.stack.tcp(tcp[0]).unwrap().abort();
    bench.poll();
    let ack = Tcp { src: 4000, dst: PORT, seq: 1001, ack: iss + 1, flags: ACK, window: 9, ..Tcp::default() };
    assert!(segments(&bench.give_tcp(&ack)).iter().all(|s| !s.has(RST)));
    assert!(bench.stack.tcp_accept(listener).is_ok(), "the freed place is good for it");

    let other = bench.stack.tcp_listen(None, 81, &ListenOptions::default()).unwrap();
    assert_eq!(bench.stack.tcp_listen(None, 82, &ListenOptions::default()).err(), Some(BindError::Full));
    bench.stack.tcp_unlisten(other).unwrap();
    assert!(bench.stack.tcp_listen(None, 82, &ListenOptions::default()).is_ok());

    let udp = UdpOptions::default();
    let first = bench.stack.udp_bind(None, 1, &udp).unwrap();
    bench.stack.udp_bind(None, 2, &udp).unwrap();
    assert_eq!(bench.stack.udp_bind(None, 3, &udp).err(), Some(BindError::Full));
    assert_eq!(bench.stack.udp_bind(None, 2, &udp).err(), Some(BindError::InUse));
    bench.stack.udp(first).unwrap().close();
    assert!(bench.stack.udp_bind(None, 3, &udp).is_ok());

    let first = bench.stack.raw_bind(None).unwrap();
    bench.stack.raw_bind(None).unwrap();
    assert_eq!(bench.stack.raw_bind(None).err(), Some(BindError::Full));
    bench.stack.raw_close(first).unwrap();
    assert!(bench.stack.raw_bind(None).is_ok());

    let first = bench.stack.icmp_bind(None).unwrap();
    bench.stack.icmp_bind(None).unwrap();
    assert_eq!(bench.stack.icmp_bind(None).err(), Some(BindError::Full));
    bench.stack.icmp_close(first).unwrap();
    assert!(bench.stack.icmp_bind(None).is_ok());

    let route = |n: u8| ringtap::ip::route::Route {
        prefix: Cidr::new(IpAddr::V4(Ipv4Addr::new(10, n, 0, 0)), 16).unwrap(),
        gateway: Some(IpAddr::V4(P)),
        iface: bench.iface,
        metric: 0,
    };
    let routes: Vec<_> = (0..5).map(route).collect();
    for route in &routes[..3] {
        bench.stack.add_route(*route).unwrap();
    }
    assert!(bench.stack.add_route(routes[3]).is_err());
    let second = Cidr::new(IpAddr::V4(Ipv4Addr::new(172, 16, 0, 1)), 16).unwrap();
    assert_eq!(bench.stack.add_address(bench.iface, second).err(), Some(AddressError::Full));
    assert_eq!(bench.stack.interfaces().next().unwrap().addresses.len(), 1, "nothing has changed");
    bench.stack.remove_route(&routes[0]).unwrap();
    assert!(bench.stack.add_route(routes[3]).is_ok());
}

#[test]
fn addresses_and_interfaces_are_limited_and_come_back() {
    // H166.
    let mut bench = Bench::new();
    let address = |n: u8| Cidr::new(IpAddr::V4(Ipv4Addr::new(10, n, 0, 1)), 16).unwrap();
    for n in 1..ringtap::stack::MAX_ADDRESSES as u8 {
        bench.stack.add_address(bench.iface, address(n)).unwrap();
    }
    assert_eq!(bench.stack.add_address(bench.iface, address(99)).err(), Some(AddressError::Full));
    bench.stack.remove_address(bench.iface, address(1).addr()).unwrap();
    assert!(bench.stack.add_address(bench.iface, address(99)).is_ok());
    let mut ids = Vec::new();
    while let Ok(id) = bench.stack.add_interface(&bench.nic, Mac(H_MAC)) {
        ids.push(id);
        assert!(ids.len() < 100);
    }
    assert_eq!(bench.stack.add_interface(&bench.nic, Mac(H_MAC)).err(), Some(AddressError::Full));
    bench.stack.remove_interface(ids[3]);
    assert_eq!(bench.stack.add_interface(&bench.nic, Mac(H_MAC)).ok(), Some(ids[3]));
}

#[test]
fn reset_time_out_and_end_are_told_apart_also_after_the_peers_fin() {
    // H167.
    let quick = TcpOptions { user_timeout: Duration::from_secs(5), ..TcpOptions::default() };
    for (fin, how) in [(false, "reset"), (true, "reset"), (false, "silence"), (true, "silence"), (true, "end")] {
        let mut bench = Bench::new().with_live_neighbors();
        let listener = bench.listen(PORT, 4, quick);
        let (handle, iss) = bench.accepted(listener, 4000, PORT);
        let from_p = |seq, ack, flags| Tcp { src: 4000, dst: PORT, seq, ack, flags, window: 65_535, ..Tcp::default() };
        let mut next = 1001;
        if fin {
            bench.give_tcp(&from_p(next, iss + 1, FIN | ACK));
            next += 1;
        }
        bench.stack.tcp(handle).unwrap().write(b"on its way").unwrap();
        bench.poll();
        match how {
            "reset" => drop(bench.give_tcp(&from_p(next, 0, RST))),
            "silence" => drop(bench.pass(Duration::from_secs(10))),
            _ => {
                bench.stack.tcp(handle).unwrap().shutdown_write().unwrap();
                bench.poll();
                bench.give_tcp(&from_p(next, iss + 12, ACK));
            }
        }
        let (error, told) = match how {
            "reset" => (Some(TcpError::Reset), TcpError::Reset),
            "silence" => (Some(TcpError::TimedOut), TcpError::TimedOut),
            _ => (None, TcpError::Closed),
        };
        let mut socket = bench.stack.tcp(handle).unwrap();
        assert_eq!(socket.state(), State::Closed, "{fin} {how}");
        assert_eq!(socket.error(), error);
        assert_eq!(socket.write(b"x"), Err(told), "{fin} {how}");
        assert!(socket.readable() && socket.writable(), "nobody waits on");
        let read = socket.read(&mut [0; 4]);
        // What the peer sent before its FIN is complete, whatever came after.
        assert_eq!(read, if fin { Ok(0) } else { Err(told) }, "{fin} {how}");
        socket.close();
        bench.poll();
        bench.is_well();
    }
    // A refused open is told apart as well.
    let mut bench = Bench::new().with_live_neighbors();
    let (handle, syn) = bench.connect(7, quick);
    bench.give_tcp(&Tcp { flags: RST | ACK, ..bench.reply_to(&syn, syn.seq + 1) });
    assert_eq!(bench.stack.tcp(handle).unwrap().read(&mut [0; 4]), Err(TcpError::Refused));
    assert_eq!(syn.flags, SYN);
}

#[test]
fn addresses_that_no_host_can_have_are_refused_and_nothing_changes() {
    // H168.
    let mut bench = Bench::new().with_neighbors();
    let before: Vec<_> = bench.stack.routes().copied().collect();
    let bad = [
        ([192, 0, 2, 255], 24),
        ([192, 0, 2, 0], 24),
        ([224, 0, 0, 1], 24),
        ([255, 255, 255, 255], 32),
        ([0, 0, 0, 0], 0),
        ([0, 0, 0, 0], 24),
        ([127, 0, 0, 1], 8),
        ([240, 0, 0, 1], 8),
    ];
    for (ip, len) in bad {
        let cidr = Cidr::new(IpAddr::V4(ip.into()), len).unwrap();
        assert_eq!(bench.stack.add_address(bench.iface, cidr).err(), Some(AddressError::Invalid), "{cidr}");
    }
    for len in [24, 16, 32] {
        let same = Cidr::new(IpAddr::V4(H), len).unwrap();
        assert_eq!(bench.stack.add_address(bench.iface, same).err(), Some(AddressError::Duplicate));
    }
    assert!(Cidr::new(IpAddr::V4(H), 33).is_none());
    let pool: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(1600, 4)));
    let nic = Nic::new(pool.pool(), Medium::Ethernet, 1500);
    for mac in [Mac::BROADCAST, Mac([1, 0, 0x5e, 0, 0, 1]), Mac([0x33, 0x33, 0, 0, 0, 1]), Mac([0; 6])] {
        assert_eq!(bench.stack.add_interface(&nic, mac).err(), Some(AddressError::Invalid), "{mac}");
    }
    assert_eq!(bench.stack.interfaces().count(), 1);
    assert_eq!(bench.stack.interfaces().next().unwrap().addresses.len(), 1);
    assert_eq!(bench.stack.routes().copied().collect::<Vec<_>>(), before);
    assert_eq!(bench.poll(), []);
    bench.is_well();
}
