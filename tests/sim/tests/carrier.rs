//! The carrier: what a stack does when the link goes, while it is away, and when it is back.

use ringtap::config::Config;
use ringtap::device::{Capabilities, Device, Link, Mac, Medium};
use ringtap::error::{SendError, TcpError};
use ringtap::event::Readiness;
use ringtap::ip::addr::Cidr;
use ringtap::rng::Secret;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{AddressState, Identifiers, Limits, ProbeState, ProbeTiming, SocketId, Stack, Storage};
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, State, TcpHandle, TcpOptions};
use ringtap::time::Duration;
use ringtap_sim::bench::{H, H_MAC, H2, P, P_MAC, P2, Setup, segments, timed};
use ringtap_sim::packet::{self, ACK, Ip, SYN, Seen, Tcp};
use ringtap_sim::six::{self, node_group};
use ringtap_sim::{Bench, Bulk, Impairments, Sim};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

const PORT: u16 = 80;
const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(P), 7);
const FAR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), 7);

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A waker, and how often it was woken.
fn task() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (count.clone(), Waker::from(count))
}

fn woken(count: &Count) -> usize {
    count.0.swap(0, Ordering::Relaxed)
}

/// What was told of interfaces; everything else is passed on to who waits for it.
fn told(stack: &mut Stack<'static>) -> Vec<(SocketId, Readiness)> {
    let mut all = Vec::new();
    while let Some(event) = stack.next_event() {
        all.push((event.socket, event.what));
        event.wake();
    }
    all.retain(|(socket, _)| matches!(socket, SocketId::Interface(_)));
    all
}

fn set(b: &mut Bench, link: Link) -> Vec<Seen> {
    b.nic.link = link;
    b.poll()
}

fn served() -> (Bench, TcpHandle, u32) {
    let mut b = Bench::new().with_live_neighbors();
    let listener = b.listen(PORT, 4, TcpOptions::default());
    let (handle, iss) = b.accepted(listener, 4000, PORT);
    b.pass(Duration::from_secs(1));
    (b, handle, iss + 1)
}

#[test]
fn a_link_that_changes_is_an_event_and_is_shown() {
    let mut b = Bench::new();
    let shown = |b: &Bench| b.stack.interfaces().next().expect("one").link;
    assert_eq!((told(&mut b.stack), shown(&b)), (vec![], Link::Up), "as it began is no news");
    let (count, waker) = task();
    b.stack.register_link(b.iface, &waker).expect("an interface");
    set(&mut b, Link::Down);
    assert_eq!((told(&mut b.stack), woken(&count)), (vec![(SocketId::Interface(b.iface), Readiness::LINK)], 1));
    assert_eq!((told(&mut b.stack), shown(&b)), (vec![], Link::Down), "told once");
    // A waker is for one time, and two changes that nobody has looked at are one.
    set(&mut b, Link::Up);
    set(&mut b, Link::Down);
    set(&mut b, Link::Up);
    assert_eq!((told(&mut b.stack).len(), woken(&count), shown(&b)), (1, 0, Link::Up));
    // An interface that is gone has no news.
    set(&mut b, Link::Down);
    let gone = b.iface;
    b.stack.remove_interface(gone);
    assert_eq!(told(&mut b.stack), []);
    assert!(b.stack.register_link(gone, &waker).is_err());
}

#[test]
fn an_interface_may_begin_without_a_link_and_is_announced_with_it() {
    let fresh = Bench::new();
    let mut stack = Stack::new(Config::new(Secret::new([9; 16])), Storage::growing(Limits::default()));
    let mut nic = ringtap_sim::Nic::with(fresh.pool(), fresh.nic.capabilities());
    nic.link = Link::Down;
    let iface = stack.add_interface(&nic, Mac(H_MAC)).expect("room");
    stack.add_address(iface, Cidr::new(IpAddr::V4(H), 24).expect("a prefix")).expect("a host address");
    stack.autoconfigure(iface, Identifiers::Eui64).expect("Ethernet");
    let mut now = fresh.now;
    // Nothing is left to be done but to wait for the link.
    for _ in 0..10 {
        let polled = stack.poll(now, iface, &mut nic, 64);
        assert!(polled.pending.is_empty() && polled.next.is_none(), "{polled:?}");
        now += Duration::from_secs(1);
    }
    assert!(nic.tx.is_empty() && told(&mut stack).is_empty());
    nic.link = Link::Up;
    let _ = stack.poll(now, iface, &mut nic, 64);
    let sent: Vec<_> = nic.tx.drain(..).map(|f| packet::read(&f)).collect();
    // The address, and the group of the one that is on trial.
    assert_eq!((&sent[..1], told(&mut stack).len()), (&[Seen::Arp(1, H_MAC, H, H)][..], 1));
    assert_eq!((sent.len(), six::told(&sent).len()), (2, 1), "{sent:?}");
    let (mut trials, mut asked) = (0, 0);
    for _ in 0..400 {
        now += Duration::from_millis(10);
        let _ = stack.poll(now, iface, &mut nic, 64);
        for sent in nic.tx.drain(..).filter_map(|f| six::read(&f)) {
            trials += usize::from(sent.target(135).is_some());
            asked += usize::from(sent.icmp().is_some_and(|i| i.0 == 133));
        }
    }
    assert_eq!((trials, asked), (1, 1));
    assert!(stack.ipv6_addresses(iface).all(|(_, state)| state == AddressState::Preferred));
}

#[test]
fn nothing_leaves_while_the_link_is_down_and_no_frame_is_kept_or_lost_uncounted() {
    let (mut b, handle, _) = served();
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a port");
    // Before the poll that sees it: text, datagrams in the queue, one that waits for its neighbour, one refused.
    let nobody = SocketAddr::new(Ipv4Addr::new(192, 0, 2, 77).into(), 7);
    b.stack.udp(udp).expect("open").send_to(b"parked", nobody).expect("room");
    assert!(matches!(b.poll()[..], [Seen::Arp(1, ..)]));
    b.nic.tx_room = 0;
    b.stack.udp(udp).expect("open").send_to(b"refused", REMOTE).expect("room");
    b.poll();
    for _ in 0..3 {
        b.stack.udp(udp).expect("open").send_to(b"queued", REMOTE).expect("room");
    }
    b.stack.tcp(handle).expect("open").write(b"text").expect("room");
    b.nic.tx_room = usize::MAX;
    b.nic.link = Link::Down;
    assert_eq!(b.poll(), []);
    assert_eq!((b.dropped(DropReason::LinkDown), b.frames_in_use()), (5, 0), "parked, refused and queued");
    // From now on.
    let mut socket = b.stack.udp(udp).expect("open");
    assert_eq!(socket.send_to(b"later", REMOTE), Err(SendError::LinkDown));
    assert_eq!(socket.send_to(b"later", FAR), Err(SendError::LinkDown));
    let echo = b.stack.icmp_bind(None).expect("room");
    assert_eq!(b.stack.icmp_send(echo, IpAddr::V4(P), 1, b"x", None), Err(SendError::LinkDown));
    b.stack.icmp_close(echo).expect("open");
    let to_itself = SocketAddr::new(IpAddr::V4(H), 5000);
    b.stack.udp(udp).expect("open").send_to(b"myself", to_itself).expect("no link is needed");
    assert_eq!(b.poll(), []);
    assert_eq!(b.stack.udp(udp).expect("open").recv_from(&mut [0; 9]).expect("there").len, 6);
    // What the card still had received is handled; its answer has no way.
    let ping = packet::icmp(8, 0, [0, 7, 0, 9], b"late");
    assert_eq!(b.give_ip(&Ip::new(P, H, 1), &ping), []);
    assert_eq!(b.dropped(DropReason::LinkDown), 6);
    assert_eq!(b.give(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, P, [0; 6], H))), []);
    assert_eq!(b.dropped(DropReason::LinkDown), 7);
    let address = Cidr::new("192.0.2.9".parse().expect("valid text"), 24).expect("a prefix");
    b.stack.add_address(b.iface, address).expect("room");
    assert_eq!(b.pass(Duration::from_secs(60)), []);
    assert_eq!(b.frames_in_use(), 0);
    assert_eq!(b.stack.tcp(handle).expect("open").unacknowledged(), 4, "the text is the socket's");
    set(&mut b, Link::Up);
    b.stack.tcp(handle).expect("open").abort();
    b.pass(Duration::from_secs(1));
    b.is_well();
}

#[test]
fn a_connection_goes_on_at_once_when_the_link_is_back() {
    for outage in [1, 5, 40, 100] {
        let (mut b, handle, next) = served();
        b.stack.tcp(handle).expect("open").write(b"before").expect("room");
        assert_eq!(segments(&b.poll()).len(), 1);
        set(&mut b, Link::Down);
        b.stack.tcp(handle).expect("open").write(b" and while").expect("room");
        assert_eq!(b.pass(Duration::from_secs(outage)), []);
        let back = b.now;
        b.nic.link = Link::Up;
        let sent = timed(&b.pass(Duration::from_millis(1)));
        let text: Vec<_> = sent.iter().filter(|(_, s)| !s.payload.is_empty()).collect();
        assert!(matches!(&text[..], [(at, s), ..] if *at == back && s.seq == next), "{outage}: {sent:?}");
        // The time-out is short again, too.
        let again = timed(&b.pass(Duration::from_millis(2500)));
        assert!(again.iter().any(|(_, s)| s.seq == next && !s.payload.is_empty()), "{outage}: {again:?}");
        for ack in [next + 6, next + 16] {
            b.give_tcp(&Tcp { src: 4000, dst: PORT, seq: 1001, ack, flags: ACK, window: 999, ..Tcp::default() });
        }
        let socket = b.stack.tcp(handle).expect("open");
        assert_eq!((socket.unacknowledged(), socket.error()), (0, None), "{outage}");
        socket.abort();
        b.pass(Duration::from_secs(1));
        b.is_well();
    }
}

#[test]
fn a_medium_without_neighbours_is_left_alone_as_well() {
    let caps = Capabilities::plain(Medium::Ip, 1500);
    let mut b = Bench::built(Setup { caps, ..Setup::default() }, |_| {});
    let handle = b.stack.tcp_connect(REMOTE, &ConnectOptions::default()).expect("a way");
    assert_eq!(b.poll_raw().len(), 1, "a SYN");
    b.nic.link = Link::Down;
    b.now += Duration::from_secs(5);
    assert!(b.poll_raw().is_empty(), "the way that was known is none now");
    b.nic.link = Link::Up;
    assert_eq!(b.poll_raw().len(), 1, "the SYN again");
    b.stack.tcp(handle).expect("open").abort();
    b.poll_raw();
    assert_eq!(b.frames_in_use(), 0);
}

#[test]
fn a_connection_that_the_link_leaves_alone_for_too_long_ends() {
    let (mut b, handle, _) = served();
    b.stack.tcp(handle).expect("open").write(b"text").expect("room");
    b.poll();
    let (count, waker) = task();
    b.stack.tcp(handle).expect("open").register(Readiness::READ, &waker);
    set(&mut b, Link::Down);
    told(&mut b.stack);
    assert_eq!(b.pass(Duration::from_secs(119)), []);
    assert_eq!(b.stack.tcp(handle).expect("open").error(), None);
    assert_eq!(b.pass(Duration::from_secs(61)), []);
    told(&mut b.stack);
    let socket = b.stack.tcp(handle).expect("open");
    assert_eq!((socket.error(), woken(&count)), (Some(TcpError::TimedOut), 1));
    assert_eq!((socket.state(), b.frames_in_use()), (State::Closed, 0));
    set(&mut b, Link::Up);
    b.is_well();
}

// H116, the flap of a link.
#[test]
fn who_waits_while_the_link_flaps_is_woken_when_it_is_back() {
    // Who connects.
    let mut b = Bench::new().with_live_neighbors();
    set(&mut b, Link::Down);
    let handle = b.stack.tcp_connect(REMOTE, &ConnectOptions::default()).expect("a way, one day");
    let (count, waker) = task();
    b.stack.tcp(handle).expect("open").register(Readiness::CONNECTED, &waker);
    assert_eq!(b.pass(Duration::from_secs(30)), []);
    let syns = segments(&set(&mut b, Link::Up));
    assert!(matches!(&syns[..], [syn] if syn.flags == SYN), "{syns:?}");
    let syn_ack = Tcp { flags: SYN | ACK, seq: 5000, ..b.reply_to(&syns[0], syns[0].seq + 1) };
    b.give_tcp(&syn_ack);
    told(&mut b.stack);
    assert_eq!((b.stack.tcp(handle).expect("open").state(), woken(&count)), (State::Established, 1));
    b.stack.tcp(handle).expect("open").abort();
    b.pass(Duration::from_secs(1));

    // Who accepts, reads, and writes.
    let (mut b, handle, next) = served();
    while b.stack.tcp(handle).expect("open").write(&[1; 4096]).is_ok() {}
    b.poll();
    told(&mut b.stack);
    let listener = b.listen(81, 4, TcpOptions::default());
    let tasks = [task(), task(), task()];
    let [(_, accepts), (_, reads), (_, writes)] = &tasks;
    b.stack.tcp_accept_register(listener, accepts).expect("open");
    b.stack.tcp(handle).expect("open").register(Readiness::READ, reads);
    b.stack.tcp(handle).expect("open").register(Readiness::WRITE, writes);
    set(&mut b, Link::Down);
    told(&mut b.stack);
    b.pass(Duration::from_secs(10));
    let all = |tasks: &[(Arc<Count>, Waker)]| tasks.iter().map(|t| woken(&t.0)).collect::<Vec<_>>();
    assert_eq!(all(&tasks), [0, 0, 0], "nothing has become possible");
    let sent = segments(&set(&mut b, Link::Up));
    let len = sent.iter().find(|s| s.seq == next).expect("the first text again").payload.len() as u32;
    let mut text = b.text(4000, PORT, 1001, next + len, b"news");
    text.window = 65_535;
    b.give_tcp(&text);
    b.open(4001, 81);
    told(&mut b.stack);
    assert_eq!(all(&tasks), [1, 1, 1]);

    // Who waits for room in the queue of datagrams: it is emptied.
    let mut b = Bench::new().with_live_neighbors();
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions { tx_queue: 2, ..UdpOptions::default() }).expect("a port");
    b.nic.tx_room = 0;
    while b.stack.udp(udp).expect("open").send_to(b"x", REMOTE).is_ok() {
        b.poll();
    }
    let (count, waker) = task();
    b.stack.udp(udp).expect("open").register(Readiness::WRITE, &waker);
    set(&mut b, Link::Down);
    told(&mut b.stack);
    assert_eq!(woken(&count), 1);
    b.nic.tx_room = usize::MAX;
    set(&mut b, Link::Up);
    b.is_well();
}

#[test]
fn addresses_are_announced_and_neighbours_asked_for_anew_when_the_link_is_back() {
    let mut b = six::bench();
    b.resolves = false;
    let neighbours = |b: &Bench| b.stack.neighbors().count();
    b.give(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, P, [0; 6], H)));
    assert!(neighbours(&b) > 0);
    set(&mut b, Link::Down);
    assert_eq!(neighbours(&b), 0);
    b.nic.link = Link::Up;
    let sent = b.poll_raw();
    let arps: Vec<_> = sent.iter().map(|f| packet::read(f)).filter(|s| matches!(s, Seen::Arp(..))).collect();
    assert_eq!(arps, [Seen::Arp(1, H_MAC, H, H)]);
    let adverts: Vec<_> =
        sent.iter().filter_map(|f| six::read(f)).filter_map(|s| s.target(136).map(|t| (t, s.dst))).collect();
    let own: Vec<Ipv6Addr> = b
        .stack
        .ipv6_addresses(b.iface)
        .filter_map(|(c, _)| match c.addr() {
            IpAddr::V6(ip) => Some(ip),
            IpAddr::V4(_) => None,
        })
        .collect();
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    assert!(!own.is_empty());
    assert_eq!(adverts, own.iter().map(|&ip| (ip, all_nodes)).collect::<Vec<_>>());
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a port");
    b.stack.udp(udp).expect("open").send_to(b"x", REMOTE).expect("room");
    assert_eq!(b.poll(), [Seen::Arp(1, H_MAC, H, P)]);
}

#[test]
fn announcements_wait_for_frames() {
    let mut b = six::bench();
    set(&mut b, Link::Down);
    let pool = b.pool();
    let held: Vec<_> = std::iter::from_fn(|| pool.take(0)).collect();
    assert_eq!(set(&mut b, Link::Up), []);
    drop(held);
    let sent = b.pass(Duration::from_millis(20));
    let arps = sent.iter().filter(|(_, s)| matches!(s, Seen::Arp(..))).count();
    let adverts = six::timed(&sent).iter().filter(|(_, s)| s.target(136).is_some()).count();
    assert_eq!((arps, adverts), (1, b.stack.ipv6_addresses(b.iface).count()), "{sent:?}");
}

#[test]
fn trials_of_addresses_begin_anew_and_end_on_a_link_only() {
    let mut b = six::bare(|c| c.dad_transmits = 2);
    let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77);
    b.stack.add_address(b.iface, Cidr::new(ip.into(), 64).expect("a prefix")).expect("room");
    let v4 = Ipv4Addr::new(192, 0, 2, 77);
    b.stack.probe_address(b.iface, v4, ProbeTiming::QUICK).expect("room");
    assert_eq!(six::of(&b.poll()).len(), 1);
    set(&mut b, Link::Down);
    assert_eq!(b.pass(Duration::from_secs(10)), []);
    assert!(b.stack.ipv6_addresses(b.iface).any(|(c, s)| c.addr() == IpAddr::V6(ip) && s == AddressState::Tentative));
    assert_eq!(b.stack.probe_state(b.iface, v4), Some(ProbeState::Running));
    b.nic.link = Link::Up;
    let sent = b.pass(Duration::from_secs(4));
    let probes: Vec<_> = six::timed(&sent).into_iter().filter(|(_, s)| s.target(135) == Some(ip)).collect();
    assert_eq!(probes.len(), 2);
    assert!(probes.iter().all(|(_, s)| s.dst == node_group(ip)));
    assert!(b.stack.ipv6_addresses(b.iface).any(|(c, s)| c.addr() == IpAddr::V6(ip) && s == AddressState::Preferred));
    assert_eq!(b.stack.probe_state(b.iface, v4), Some(ProbeState::Free));
}

// H118, a link that is down.
#[test]
fn groups_are_told_of_once_there_is_a_link_and_again_after_each_loss_of_it() {
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let reports = |sent: &[Vec<u8>]| sent.iter().filter(|f| f[12..14] == [8, 0] && f[23] == 2).count();
    let mut b = Bench::new();
    set(&mut b, Link::Down);
    b.stack.join_group(b.iface, group).expect("room");
    let pass = |b: &mut Bench, link| {
        b.nic.link = link;
        let end = b.now + Duration::from_secs(3);
        let mut all = 0;
        while b.now < end {
            all += reports(&b.poll_raw());
            b.now += Duration::from_millis(10);
        }
        all
    };
    assert_eq!(pass(&mut b, Link::Down), 0);
    assert_eq!(pass(&mut b, Link::Up), 2);
    assert_eq!((pass(&mut b, Link::Down), pass(&mut b, Link::Up)), (0, 2));
}

#[test]
fn a_way_over_a_link_that_is_up_is_preferred_and_connections_move_there_and_back() {
    let mut b = Bench::new().with_live_neighbors().with_second_link();
    let second = b.other.as_ref().expect("two links").0;
    b.stack.add_gateway(second, IpAddr::V4(P2)).expect("a route");
    let options = ConnectOptions { local: Some(IpAddr::V4(H)), ..ConnectOptions::default() };
    let handle = b.stack.tcp_connect(FAR, &options).expect("a way");
    let syns = segments(&b.poll());
    assert_eq!((syns.len(), b.sent_by_other().len()), (1, 0), "the first route");
    set(&mut b, Link::Down);
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a port");
    b.stack.udp(udp).expect("open").send_to(b"x", FAR).expect("the other way");
    assert_eq!(b.pass(Duration::from_secs(10)), []);
    let other = b.sent_by_other();
    assert!(other.iter().any(|s| matches!(s, Seen::Udp((from, _), ..) if *from == H2)), "{other:?}");
    assert!(segments(&other).iter().any(|s| s.flags == SYN && s.seq == syns[0].seq), "{other:?}");
    assert_eq!(b.dropped(DropReason::LinkDown), 0);
    // Both are down, then the first is back.
    b.other.as_mut().expect("two links").1.link = Link::Down;
    assert_eq!(b.pass(Duration::from_secs(10)), []);
    assert_eq!(
        (b.sent_by_other(), b.stack.udp(udp).expect("open").send_to(b"x", FAR)),
        (vec![], Err(SendError::LinkDown))
    );
    b.nic.link = Link::Up;
    let sent: Vec<_> = b.pass(Duration::from_secs(2)).into_iter().map(|(_, s)| s).collect();
    assert!(segments(&sent).iter().any(|s| s.flags == SYN), "{sent:?}");
    assert_eq!(b.sent_by_other(), []);
    b.stack.tcp(handle).expect("open").abort();
}

#[test]
fn links_that_flap_lose_no_text_and_no_frame() {
    for seed in 0..20 {
        let slow = Impairments { rate: 100_000, ..Impairments::default() };
        let mut sim = Sim::pair(seed, slow.clone(), slow);
        let server = SocketAddr::new(sim.hosts[1].addr, 7000);
        let options = TcpOptions::default();
        sim.hosts[0].apps.push(Box::new(Bulk::client(server, 200_000, 100_000, options)));
        sim.hosts[1].apps.push(Box::new(Bulk::server(7000, 100_000, 200_000, options)));
        let mut flaps = 0;
        for step in 0..2_000_000u64 {
            if sim.is_done() {
                break;
            }
            // Sometimes one, sometimes both, for times of all lengths.
            for (n, host) in sim.hosts.iter_mut().enumerate() {
                let period = 150 + 37 * (seed + n as u64);
                let link = if step / period % 3 == 1 { Link::Down } else { Link::Up };
                if host.nic.link != link {
                    (host.nic.link, host.next) = (link, Some(sim.now));
                    flaps += 1;
                }
            }
            let end = sim.now + Duration::from_millis(1);
            sim.run_until(end).unwrap_or_else(|f| panic!("{f:?}"));
            sim.now = end;
        }
        assert!(sim.is_done() && flaps > 2, "seed {seed}: {flaps} flaps");
        for host in &mut sim.hosts {
            host.nic.link = Link::Up;
        }
        sim.check_empty().unwrap_or_else(|f| panic!("{f:?}"));
    }
}

/// The addresses are told of before the replies that wait: these must not be in the way of it.
#[test]
fn a_link_that_is_back_behind_a_full_device_comes_to_rest_however_many_replies_wait() {
    let mut b = six::bench();
    b.nic.tx_room = 0;
    set(&mut b, Link::Down);
    set(&mut b, Link::Up);
    for n in 0..40 {
        b.nic.rx.push_back(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, P, [0; 6], H)));
        let ping = Ip::new(P, H, 1).build(&packet::icmp(8, 0, [0, 1, 0, n], b"ping"));
        b.nic.rx.push_back(packet::ethernet(H_MAC, P_MAC, 0x0800, &ping));
        b.poll();
    }
    b.nic.tx_room = usize::MAX;
    let sent: Vec<Seen> = b.pass(Duration::from_secs(1)).into_iter().map(|(_, seen)| seen).collect();
    let told = six::of(&sent).iter().filter(|s| s.target(136).is_some()).count();
    assert_eq!(told, 2, "both addresses");
    assert!(sent.iter().any(|s| matches!(s, Seen::Icmp(H, P, 0, ..))), "{sent:?}");
    assert!(b.stack.next_deadline().is_none_or(|at| at > b.now + Duration::from_millis(100)), "nothing is stuck");
    b.is_well();
}
