//! Users that do anything at any time, on links that fail at any time: what is promised still holds.

use proptest::prelude::*;
use ringtap::error::{AcceptError, TcpError};
use ringtap::stack::Stack;
use ringtap::tcp::{ConnectOptions, KeepAlive, ListenOptions, ListenerHandle, TcpHandle, TcpOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::{App, Bulk, Impairments, Pattern, Sim};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What a user does, one thing per turn.
#[derive(Clone, Debug)]
enum Op {
    Write(usize),
    Read(usize),
    Wait(u64),
    Shutdown,
    Close,
    Abort,
}

/// Does what its script says; then writes no more, reads to the end, and closes.
struct Script {
    server: Option<SocketAddr>,
    listener: Option<ListenerHandle>,
    handle: Option<TcpHandle>,
    ops: VecDeque<Op>,
    busy_until: Instant,
    options: TcpOptions,
    accepted: Pattern,
    received: Pattern,
    started: bool,
    /// It has read the end of the peer's text.
    eof: bool,
    error: Option<TcpError>,
    over: bool,
    failure: Option<String>,
}

impl Script {
    fn new(server: Option<SocketAddr>, ops: &[Op], options: TcpOptions) -> Self {
        Self {
            server,
            listener: None,
            handle: None,
            ops: ops.iter().cloned().collect(),
            busy_until: Instant::ZERO,
            options,
            accepted: Pattern::default(),
            received: Pattern::default(),
            started: false,
            eof: false,
            error: None,
            over: false,
            failure: None,
        }
    }

    fn start(&mut self, stack: &mut Stack<'static>) {
        match (self.server, self.listener) {
            (Some(server), _) if !self.started => {
                let options = ConnectOptions { tcp: self.options, ..ConnectOptions::default() };
                self.handle = Some(stack.tcp_connect(server, &options).expect("a way"));
                self.started = true;
            }
            (None, None) => {
                let options = ListenOptions { tcp: self.options, ..ListenOptions::default() };
                self.listener = Some(stack.tcp_listen(None, 7000, &options).expect("a free port"));
            }
            (None, Some(listener)) if !self.started => match stack.tcp_accept(listener) {
                Ok((handle, _)) => (self.handle, self.started) = (Some(handle), true),
                Err(e) => assert_eq!(e, AcceptError::WouldBlock),
            },
            _ => {}
        }
    }

    fn write(&mut self, stack: &mut Stack<'static>, handle: TcpHandle, n: usize) -> Result<(), TcpError> {
        let mut buf = vec![0; n];
        self.accepted.fill(&mut buf);
        match stack.tcp(handle).expect("open").write(&buf) {
            Ok(n) => self.accepted.at += n as u64,
            Err(TcpError::WouldBlock | TcpError::Closed) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn read(&mut self, stack: &mut Stack<'static>, handle: TcpHandle, n: usize) -> Result<(), TcpError> {
        let mut buf = vec![0; n];
        match stack.tcp(handle).expect("open").read(&mut buf) {
            Ok(0) => self.eof |= n > 0,
            Ok(n) if self.eof => self.failure = Some(format!("{n} octets behind the end")),
            Ok(n) => {
                if let Err(at) = self.received.check(&buf[..n]) {
                    self.failure = Some(format!("wrong octet at {at}"));
                }
            }
            Err(TcpError::WouldBlock) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn turn(&mut self, now: Instant, stack: &mut Stack<'static>, handle: TcpHandle) -> Result<(), TcpError> {
        // The next thing comes later.
        self.busy_until = now + Duration::from_millis(1);
        match self.ops.pop_front() {
            Some(Op::Write(n)) => self.write(stack, handle, n)?,
            Some(Op::Read(n)) => self.read(stack, handle, n)?,
            Some(Op::Wait(ms)) => self.busy_until = now + Duration::from_millis(ms),
            Some(Op::Shutdown) => stack.tcp(handle).expect("open").shutdown_write()?,
            Some(Op::Close) => {
                stack.tcp(handle).expect("open").close();
                self.over = true;
            }
            Some(Op::Abort) => {
                stack.tcp(handle).expect("open").abort();
                self.over = true;
            }
            None if self.eof => {
                stack.tcp(handle).expect("open").close();
                self.over = true;
            }
            None => {
                stack.tcp(handle).expect("open").shutdown_write()?;
                self.read(stack, handle, 3000)?;
            }
        }
        Ok(())
    }
}

impl App for Script {
    fn run(&mut self, now: Instant, stack: &mut Stack<'static>) -> bool {
        self.start(stack);
        let Some(handle) = self.handle.filter(|_| !self.over && self.busy_until <= now) else { return false };
        if let Err(e) = self.turn(now, stack, handle) {
            self.error = Some(e);
            stack.tcp(handle).expect("open").close();
            self.over = true;
        }
        true
    }

    fn is_done(&self) -> bool {
        self.over
    }

    fn failure(&self) -> Option<String> {
        self.failure.clone()
    }
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (1usize..9_000).prop_map(Op::Write),
        6 => (0usize..9_000).prop_map(Op::Read),
        3 => (0u64..3_000).prop_map(Op::Wait),
        1 => Just(Op::Shutdown),
    ];
    let end = prop_oneof![4 => Just(vec![]), 2 => Just(vec![Op::Close]), 1 => Just(vec![Op::Abort])];
    (prop::collection::vec(op, 0..40), end).prop_map(|(mut ops, end)| {
        ops.extend(end);
        ops
    })
}

fn links() -> impl Strategy<Value = Impairments> {
    let hole = (0u64..20_000, 1u64..15_000);
    (0u32..8, 0u32..3, prop::collection::vec(hole, 0..3)).prop_map(|(loss, more, holes)| Impairments {
        loss: f64::from(loss) / 100.0,
        duplicate: f64::from(more) / 100.0,
        reorder: f64::from(more) / 50.0,
        black_holes: holes
            .into_iter()
            .map(|(at, len)| (Instant::from_millis(at), Instant::from_millis(at + len)))
            .collect(),
        ..Impairments::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    // H163.
    #[test]
    fn what_was_accepted_is_delivered_or_an_error_is_reported(
        seed in 0u64..1000, client in ops(), server in ops(), there in links(), back in links(), buffer in 1usize..20_000,
    ) {
        let mut sim = Sim::pair(seed, there, back);
        let keep_alive =
            Some(KeepAlive { idle: Duration::from_secs(20), interval: Duration::from_secs(5), count: 4 });
        let options = TcpOptions { rx_buffer: buffer, tx_buffer: buffer, keep_alive, ..TcpOptions::default() };
        let remote = SocketAddr::new(sim.hosts[1].addr, 7000);
        sim.hosts[0].apps.push(Box::new(Script::new(Some(remote), &client, options)));
        sim.hosts[1].apps.push(Box::new(Script::new(None, &server, options)));
        // Time in steps that double as the users' patience runs out.
        let mut step = Duration::from_millis(2);
        while !sim.is_done() && sim.now < Instant::from_secs(3_000) {
            for host in 0..2 {
                sim.kick(host);
            }
            let until = sim.now + step;
            prop_assert!(sim.run_until(until).is_ok());
            sim.now = sim.now.max(until);
            if sim.now > Instant::from_secs(40) {
                step = Duration::from_millis(100);
            }
        }
        let (a, b) = (sim.app::<Script>(0, 0), sim.app::<Script>(1, 0));
        prop_assert!(a.over, "the client hangs at {}", sim.now);
        // A client that gave up early may have left the server without a connection.
        prop_assert!(b.over || !b.started, "the server hangs at {}", sim.now);
        for (from, to) in [(a, b), (b, a)] {
            prop_assert!(to.received.at <= from.accepted.at);
            if to.eof {
                prop_assert_eq!(to.received.at, from.accepted.at, "the end came after all of it");
            }
        }
        // Whoever was not told of an error, and looked, has had it all.
        if a.started && b.started && a.error.is_none() && b.error.is_none() && a.eof && b.eof {
            prop_assert_eq!((a.received.at, b.received.at), (b.accepted.at, a.accepted.at));
        }
        sim.hosts[1].apps.clear();
        prop_assert!(sim.check_empty().is_ok());
    }
}

#[test]
fn every_seed_of_a_bad_link_delivers_all_in_bounded_time() {
    // H096: RINGTAP_LINK_SEEDS=1000 makes a thousand.
    let seeds = std::env::var("RINGTAP_LINK_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    for seed in 0..seeds {
        let hole = |at: u64, ms: u64| (Instant::from_millis(at), Instant::from_millis(at + ms));
        let outage = 1000 + seed * 37 % 3000;
        let bad = Impairments {
            delay: Duration::from_millis(1 + seed % 30),
            jitter: Duration::from_millis(seed % 4),
            loss: 0.01 * (seed % 11) as f64,
            duplicate: 0.01 * (seed % 3) as f64,
            reorder: 0.02 * (seed % 4) as f64,
            black_holes: vec![hole(200 + seed * 13 % 500, outage), hole(9_000, outage)],
            ..Impairments::default()
        };
        let mut sim = Sim::pair(seed, bad.clone(), bad);
        let server = SocketAddr::new(sim.hosts[1].addr, 7000);
        let options = TcpOptions::default();
        sim.hosts[0].apps.push(Box::new(Bulk::client(server, 400_000, 400_000, options)));
        sim.hosts[1].apps.push(Box::new(Bulk::server(7000, 400_000, 400_000, options)));
        // 280 segments each way, of which a tenth may cost a time-out each, backed off once or twice.
        sim.run(Instant::from_secs(400)).and_then(|()| sim.check_empty()).unwrap();
    }
}
