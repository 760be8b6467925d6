//! A connection to a name: both families are asked for, and raced (RFC 8305), against a peer that answers as a test wants.

use ringtap::dns::{Dial, DialError, Resolver};
use ringtap::error::{DnsError, TcpError};
use ringtap::tcp::{ConnectOptions, TcpHandle};
use ringtap::time::{Duration, Instant};
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, P, P_MAC};
use ringtap_sim::packet::{self, ACK, Ip, RST, SYN, Seen, Tcp};
use ringtap_sim::six;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const A: u8 = 1;
const AAAA: u8 = 28;

/// A question that has left: the port it came from, its kind, its octets.
#[derive(Clone, Debug)]
struct Asked(u16, u8, Vec<u8>);

/// What has left: questions; first segments, by destination.
#[derive(Debug, Default)]
struct Left {
    asked: Vec<Asked>,
    syns: Vec<(Instant, IpAddr, Tcp)>,
}

struct World {
    b: Bench,
    resolver: Resolver,
    dial: Option<Dial>,
    outcome: Option<Result<TcpHandle, DialError>>,
}

impl World {
    fn dialling(name: &str) -> Self {
        let mut b = six::bench().with_live_neighbors();
        let mut resolver = Resolver::new(&mut b.stack);
        resolver.set_servers(&[IpAddr::V4(P)]);
        let options = ConnectOptions::default();
        let dial = Dial::start(&mut b.stack, &mut resolver, b.now, (name, 80), options).expect("a name");
        Self { b, resolver, dial: Some(dial), outcome: None }
    }

    fn turn(&mut self) -> Left {
        let mut left = Left::default();
        for _ in 0..100 {
            let seen = self.b.poll();
            for s in &seen {
                match s {
                    Seen::Udp((_, from), (_, 53), m) => left.asked.push(Asked(*from, m[m.len() - 3], m.clone())),
                    Seen::Tcp(_, to, t) if t.flags == SYN => left.syns.push((self.b.now, (*to).into(), t.clone())),
                    _ => {}
                }
            }
            for s in six::of(&seen).iter().filter(|s| s.next == 6 && s.payload[13] & 0x3f == SYN) {
                let port = |at: usize| u16::from_be_bytes([s.payload[at], s.payload[at + 1]]);
                let seq = u32::from_be_bytes(s.payload[4..8].try_into().expect("four octets"));
                let syn = Tcp { src: port(0), dst: port(2), seq, flags: SYN, ..Tcp::default() };
                left.syns.push((self.b.now, s.dst.into(), syn));
            }
            self.resolver.poll(&mut self.b.stack, self.b.now);
            if let Some(dial) = &mut self.dial
                && let Some(outcome) = dial.poll(&mut self.b.stack, &mut self.resolver, self.b.now)
            {
                (self.outcome, self.dial) = (Some(outcome), None);
                continue;
            }
            if seen.is_empty() && self.b.stack.pending().is_empty() && self.next().is_none_or(|t| t > self.b.now) {
                return left;
            }
        }
        panic!("it spins");
    }

    fn next(&mut self) -> Option<Instant> {
        let dial = self.dial.as_ref().and_then(Dial::deadline);
        [self.b.stack.next_deadline(), self.resolver.deadline(), dial].into_iter().flatten().min()
    }

    fn pass(&mut self, millis: u64) -> Left {
        let end = self.b.now + Duration::from_millis(millis);
        let mut all = Left::default();
        loop {
            let Left { asked, syns } = self.turn();
            all.asked.extend(asked);
            all.syns.extend(syns);
            match self.next() {
                Some(at) if at <= end => self.b.now = self.b.now.max(at),
                _ => {
                    self.b.now = end;
                    return all;
                }
            }
        }
    }

    /// An answer with these addresses; none: there is no such record.
    fn answer(&mut self, asked: &Asked, addresses: &[IpAddr]) {
        self.respond(asked, 0, addresses);
    }

    fn respond(&mut self, Asked(port, kind, question): &Asked, rcode: u8, addresses: &[IpAddr]) {
        let mut m = question.clone();
        (m[2], m[3], m[7]) = (0x81, 0x80 | rcode, addresses.len() as u8);
        for ip in addresses {
            let data = match ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            m.extend([0xc0, 12, 0, *kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
            m.extend(data);
        }
        let udp = packet::udp((P, 53), (H, *port), &m);
        self.b.nic.rx.push_back(packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(P, H, 17).build(&udp)));
    }

    /// The peer at `from` answers a SYN, by SYN|ACK or by a reset.
    fn react(&mut self, from: IpAddr, syn: &Tcp, flags: u8) {
        let (src, dst) = (syn.dst, syn.src);
        let segment =
            Tcp { src, dst, seq: 5000, ack: syn.seq + 1, flags: flags | ACK, window: 65_535, ..Tcp::default() };
        let frame = match from {
            IpAddr::V4(from) => {
                packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(from, H, 6).build(&segment.build(from, H)))
            }
            IpAddr::V6(from) => {
                let ip = six::Ip6::new(from, six::H, 6).build(&six::tcp(&segment, from, six::H));
                packet::ethernet(H_MAC, P_MAC, 0x86dd, &ip)
            }
        };
        self.b.nic.rx.push_back(frame);
    }
}

fn v4(n: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, n).into()
}

fn v6(n: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into()
}

// RFC 8305 §3: AAAA first; §5.
#[test]
fn the_family_that_answers_wins_and_the_other_attempt_ends() {
    let mut w = World::dialling("both.example");
    let asked = w.turn().asked;
    assert_eq!(asked.iter().map(|a| a.1).collect::<Vec<_>>(), [AAAA, A]);
    // IPv4 addresses that come first wait for the others, but not for long.
    w.answer(&asked[1], &[v4(2)]);
    assert!(w.pass(40).syns.is_empty());
    w.answer(&asked[0], &[v6(2)]);
    let start = w.b.now;
    let left = w.pass(300).syns;
    let tried: Vec<_> = left.iter().map(|(at, ip, _)| (at.since(start).as_millis(), *ip)).collect();
    assert_eq!(tried, [(0, v6(2)), (250, v4(2))]);
    w.react(v4(2), &left[1].2, SYN);
    w.turn();
    let handle = w.outcome.expect("an outcome").expect("a connection");
    let remote = w.b.stack.tcp(handle).expect("open").remote_addr();
    assert_eq!(remote.map(|a| (a.ip(), a.port())), Some((v4(2), 80)));
    assert!(w.pass(10_000).syns.is_empty(), "the other attempt is over");
    assert_eq!(w.b.stack.tcp_connections(), 1);
}

#[test]
fn without_ipv6_addresses_in_time_the_ipv4_ones_are_tried_alone() {
    let mut w = World::dialling("slow.example");
    let asked = w.turn().asked;
    w.answer(&asked[1], &[v4(2)]);
    let start = w.b.now;
    let left = w.pass(100).syns;
    assert_eq!(left.iter().map(|s| (s.0.since(start).as_millis(), s.1)).collect::<Vec<_>>(), [(50, v4(2))]);
    w.react(v4(2), &left[0].2, SYN);
    w.turn();
    assert!(w.outcome.is_some_and(|o| o.is_ok()));
    assert_eq!(w.resolver.deadline(), None, "the question that was open is given up");
}

#[test]
fn a_refusal_begins_the_next_attempt_at_once_and_the_last_one_is_told() {
    let mut w = World::dialling("both.example");
    let asked = w.turn().asked;
    w.answer(&asked[0], &[v6(2)]);
    w.answer(&asked[1], &[v4(2)]);
    let first = w.turn().syns;
    assert_eq!((first.len(), first[0].1), (1, v6(2)));
    w.b.now += Duration::from_millis(10);
    w.react(v6(2), &first[0].2, RST);
    let second = w.turn().syns;
    assert_eq!((second.len(), second[0].1), (1, v4(2)));
    w.react(v4(2), &second[0].2, RST);
    w.turn();
    assert_eq!(w.outcome, Some(Err(DialError::Tcp(TcpError::Refused))));
    assert_eq!(w.b.stack.tcp_connections(), 0);
}

#[test]
fn many_addresses_are_tried_in_turn_and_only_four_at_a_time() {
    let mut w = World::dialling("many.example");
    let asked = w.turn().asked;
    w.answer(&asked[0], &[v6(2), v6(3), v6(4), v6(5)]);
    w.answer(&asked[1], &[v4(2), v4(3), v4(4), v4(5)]);
    let mut tried: Vec<IpAddr> = w.pass(900).syns.iter().map(|s| s.1).collect();
    // Addresses whose neighbours do not answer are attempts, too: P alone is known.
    tried.dedup();
    assert_eq!(tried, [v6(2), v4(2)]);
    assert_eq!(w.b.stack.tcp_connections(), 4);
    w.pass(5_000);
    assert!(w.b.stack.tcp_connections() <= 4, "bounded");
    // The neighbours' silence ends the attempts one after another; P's is waited for.
    assert_eq!(w.outcome, None);
    w.pass(400_000);
    assert!(matches!(w.outcome, Some(Err(DialError::Tcp(_)))), "{:?}", w.outcome);
    assert_eq!(w.b.stack.tcp_connections(), 0);
}

#[test]
fn a_name_without_addresses_is_an_error_and_one_family_is_enough() {
    let mut w = World::dialling("none.example");
    let asked = w.turn().asked;
    w.answer(&asked[0], &[]);
    w.respond(&asked[1], 3, &[]);
    w.turn();
    assert_eq!(w.outcome, Some(Err(DialError::Name(DnsError::NotFound))));
    let mut w = World::dialling("four.example");
    let asked = w.turn().asked;
    w.answer(&asked[0], &[]);
    w.turn();
    assert_eq!(w.outcome, None);
    w.answer(&asked[1], &[v4(2)]);
    assert_eq!(w.turn().syns[0].1, v4(2));
}

#[test]
fn a_dial_that_is_called_off_leaves_nothing() {
    let mut w = World::dialling("both.example");
    let asked = w.turn().asked;
    w.answer(&asked[0], &[v6(2)]);
    assert_eq!(w.turn().syns.len(), 1);
    w.dial.take().expect("running").cancel(&mut w.b.stack, &mut w.resolver);
    assert!(w.pass(10_000).syns.is_empty());
    assert_eq!((w.b.stack.tcp_connections(), w.resolver.deadline()), (0, None));
    w.b.is_well();
}
