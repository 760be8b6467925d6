//! `ringtap ping`: echo requests from the stack, in its event loop.

use crate::cli::{LEASE_WAIT, PingArgs};
use crate::resolve::{TRIAL, ask_machine, asks_itself, cannot_resolve};
use ringtap::dhcp::v4::Lease;
use ringtap::error::SendError;
use ringtap::event::Readiness;
use ringtap::icmp::{IcmpError, IcmpHandle};
use ringtap::ip::addr::Cidr;
use ringtap::stack::{Echoed, Limits, SocketId, Stack};
use ringtap::time::{Duration, Instant};
use ringtap_host::engine::{App, Engine, no_router};
use ringtap_host::epoll::Signals;
use ringtap_host::failure::Failure;
use ringtap_host::names::{Lookup, Names};
use ringtap_host::runtime::Runtime;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

/// How long the last reply is waited for.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Octets of an ICMP header.
const ICMP_HEADER: usize = 8;

struct Ping {
    target: IpAddr,
    socket: IcmpHandle,
    payload: Vec<u8>,
    ttl: Option<u8>,
    /// 0: without end.
    count: u64,
    interval: Duration,
    next: Instant,
    sent: u64,
    received: u64,
    damaged: u64,
    /// When each request that is not yet answered has left.
    out: HashMap<u16, std::time::Instant>,
    times: Vec<f64>,
    done: bool,
    /// Until when a lease is waited for, while there is none.
    lease_by: Option<Instant>,
    /// Only routers are asked for addresses.
    by_routers: bool,
    failure: Option<Failure>,
    /// Until when the trial of our own IPv6 addresses is waited for.
    trial_by: Instant,
    host: String,
    family: Option<bool>,
    /// A name server has an IPv6 address.
    asks_by_ipv6: bool,
    /// The resolvers, and what they are asked, until the target is known.
    names: Option<Box<(Names, Option<Lookup>)>>,
}

/// How often the trial of our own IPv6 addresses is looked after.
const TRIAL_STEP: std::time::Duration = std::time::Duration::from_millis(20);

/// Pings until all is sent and answered, or a signal comes.
pub fn run(args: PingArgs) -> Result<ExitCode, Failure> {
    let by_stack = asks_itself(&args.device, &args.host);
    let target = match by_stack {
        true => Ipv4Addr::UNSPECIFIED.into(),
        false => {
            let found = ask_machine(&args.host, args.family.wanted())?;
            found.iter().find(|ip| ip.is_ipv4()).or(found.first()).copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into())
        }
    };
    if !(args.interval.is_finite() && (0.001..=3_600.0).contains(&args.interval)) {
        return Err(Failure::usage("the interval must lie between 0.001 and 3600 seconds"));
    }
    if args.size > 65_507 {
        return Err(Failure::usage("the size must not exceed 65507 octets"));
    }
    let signals = Signals::new().map_err(|e| Failure::io("cannot wait for signals", &e))?;
    let (wanted, dns) = (args.device.wanted(), args.device.dns.clone());
    let attached = args.device.attachment()?.open()?;
    let mut engine = Engine::new(attached, Limits::default(), Some(signals))?;
    let socket = engine.shared().lock().stack.icmp_bind(None);
    let iface = engine.iface();
    let names = by_stack.then(|| Box::new((Names::new(&mut engine.shared().lock().stack, iface, &dns), None)));
    let mut ping = Ping {
        target,
        socket: socket.map_err(|e| Failure::new(e.to_string()))?,
        payload: (0..args.size).map(|i| i as u8).collect(),
        ttl: args.ttl,
        count: args.count,
        interval: Duration::from_micros((args.interval * 1e6) as u64),
        next: Instant::ZERO,
        sent: 0,
        received: 0,
        damaged: 0,
        out: HashMap::new(),
        times: Vec::new(),
        done: false,
        by_routers: wanted.slaac && !wanted.dhcp && !wanted.link_local,
        lease_by: wanted.any().then(|| Instant::ZERO + LEASE_WAIT.into()),
        failure: None,
        trial_by: Instant::ZERO + TRIAL.into(),
        host: args.host,
        family: args.family.wanted(),
        asks_by_ipv6: by_stack && dns.iter().any(IpAddr::is_ipv6),
        names,
    };
    if !by_stack {
        ping.announce();
    }
    engine.run(&mut ping)?;
    if let Some(failure) = ping.failure {
        return Err(failure);
    }
    ping.summary();
    Ok(if ping.received > 0 && ping.damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl App for Ping {
    fn on_event(&mut self, stack: &mut Stack<'static>, _socket: SocketId, what: Readiness) {
        if what.any(Readiness::READ | Readiness::ERROR) {
            let mut buf = vec![0; self.payload.len() + 1];
            while let Ok(echoed) = stack.icmp_recv(self.socket, &mut buf) {
                self.take(echoed, &buf);
            }
        }
    }

    fn on_lease(&mut self, stack: &mut Stack<'static>, lease: Option<&Lease>) {
        if lease.is_some() && self.lease_by.take().is_some() {
            self.next = stack.now();
        }
        if let Some(names) = &mut self.names {
            names.0.learn(lease);
        }
    }

    fn on_link_local(&mut self, stack: &mut Stack<'static>, address: Option<Ipv4Addr>) {
        if address.is_some() && self.lease_by.take().is_some() {
            self.next = stack.now();
        }
    }

    fn on_routers(&mut self, stack: &mut Stack<'static>, addresses: &[Cidr]) {
        if !addresses.is_empty() && self.lease_by.take().is_some() {
            self.next = stack.now();
        }
    }

    fn turn(&mut self, stack: &mut Stack<'static>, now: Instant) -> bool {
        if let Some(by) = self.lease_by {
            self.next = by;
            if now >= by {
                let no_server = || Failure::new("no DHCP server has answered").remedy("give an address with --addr");
                self.failure = Some(if self.by_routers { no_router() } else { no_server() });
                self.done = true;
            }
            return false;
        }
        if self.asks_by_ipv6 && self.is_on_trial(stack, now) || self.names.is_some() && !self.resolve(stack, now) {
            return false;
        }
        if self.target.is_ipv6() && self.is_on_trial(stack, now) {
            return false;
        }
        let all_sent = self.count != 0 && self.sent >= self.count;
        if all_sent && (self.out.is_empty() || now >= self.next) {
            self.done = true;
        } else if !all_sent && now >= self.next {
            self.send(stack, now);
        }
        false
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.next)
    }

    fn done(&self) -> bool {
        self.done
    }
}

impl Ping {
    fn announce(&self) {
        println!("PING {}: {} octets of payload", self.target, self.payload.len());
    }

    /// Whether our own IPv6 addresses cannot be used yet; it is looked at again soon.
    fn is_on_trial(&mut self, stack: &Stack<'static>, now: Instant) -> bool {
        let waits = now < self.trial_by && Runtime::has_address_on_trial(stack);
        if waits {
            self.next = now + TRIAL_STEP.into();
        }
        waits
    }

    /// Whether the target is known.
    fn resolve(&mut self, stack: &mut Stack<'static>, now: Instant) -> bool {
        let Some(names) = &mut self.names else { return true };
        let (names, lookup) = &mut **names;
        names.poll(stack, now);
        let outcome = match lookup {
            Some(lookup) => lookup.poll(names, stack, now),
            None => match Lookup::start(names, stack, now, (&self.host, self.family)) {
                Ok(started) => {
                    *lookup = Some(started);
                    None
                }
                Err(error) => Some(Err(error)),
            },
        };
        let deadlines = [names.deadline(), lookup.as_ref().and_then(Lookup::deadline)];
        self.next = deadlines.into_iter().flatten().min().unwrap_or(now);
        let Some(outcome) = outcome else { return false };
        names.close(stack);
        self.names = None;
        self.next = now;
        match outcome.map(|found| found.first().copied()) {
            Ok(Some(ip)) => {
                self.target = ip;
                self.announce();
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.failure = Some(cannot_resolve(&self.host, error));
                self.done = true;
                false
            }
        }
    }

    fn send(&mut self, stack: &mut Stack<'static>, now: Instant) {
        let seq = self.sent.wrapping_add(1) as u16;
        self.sent += 1;
        let last = self.count != 0 && self.sent >= self.count;
        self.next = now + if last { LAST_WAIT } else { self.interval };
        self.out.insert(seq, std::time::Instant::now());
        match stack.icmp_send(self.socket, self.target, seq, &self.payload, self.ttl) {
            // No room: as good as lost.
            Ok(()) | Err(SendError::WouldBlock) => {}
            Err(e) => {
                self.out.remove(&seq);
                println!("seq={seq}: {e}");
            }
        }
    }

    fn take(&mut self, echoed: Echoed, buf: &[u8]) {
        match echoed {
            Echoed::Reply { from, seq, len, ttl } => {
                let Some(sent) = self.out.remove(&seq) else {
                    println!("{} octets from {from}: seq={seq} ttl={ttl} (again)", len + ICMP_HEADER);
                    return;
                };
                let millis = sent.elapsed().as_secs_f64() * 1e3;
                let good = buf.get(..len) == Some(self.payload.as_slice());
                self.received += 1;
                self.damaged += u64::from(!good);
                self.times.push(millis);
                let damage = if good { "" } else { " (damaged)" };
                println!("{} octets from {from}: seq={seq} ttl={ttl} time={millis:.3} ms{damage}", len + ICMP_HEADER);
            }
            Echoed::Error { from, seq, error, .. } => {
                self.out.remove(&seq);
                println!("from {from}: seq={seq} {}", reason(error));
            }
            _ => {}
        }
    }

    fn summary(&self) {
        let lost = 100.0 * (1.0 - self.received as f64 / self.sent.max(1) as f64);
        println!("--- {}: {} sent, {} received, {lost:.0} % lost", self.target, self.sent, self.received);
        if self.times.is_empty() {
            return;
        }
        let min = self.times.iter().copied().fold(f64::INFINITY, f64::min);
        let max = self.times.iter().copied().fold(0.0, f64::max);
        let mean = self.times.iter().sum::<f64>() / self.times.len() as f64;
        println!("round trip min/mean/max = {min:.3}/{mean:.3}/{max:.3} ms");
    }
}

/// What an ICMP error means.
pub fn reason(error: IcmpError) -> String {
    match error {
        IcmpError::HostUnreachable => "host unreachable".into(),
        IcmpError::TooBig { mtu } => format!("too big for the path, which takes {mtu} octets"),
        IcmpError::Prohibited => "prohibited on the way".into(),
        IcmpError::HopsExceeded => "hop limit exceeded".into(),
        IcmpError::ReassemblyTimeout => "reassembly time exceeded".into(),
        other => format!("{other:?}"),
    }
}
