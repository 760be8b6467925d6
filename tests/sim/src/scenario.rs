//! A whole run out of a seed: hosts, links, connections, what their users do, and what befalls them.
//!
//! Both ends are ours, with options that need not agree: buffers from one octet to 2 MB, so that windows lie below and
//! above 64 KiB, window scaling and timestamps on one side only, small pools and rings, slow readers, users that abort.
//! Even seeds have CUBIC, odd ones NewReno; once in a while SACK or RACK is left out.
//! Links fail for seconds, and a host may forget everything.

use crate::app::{App, Bulk, Op, Script};
use crate::host::Host;
use crate::link::{GilbertElliott, Impairments};
use crate::rng::SimRng;
use crate::sim::{Failure, Sim};
use ringtap::tcp::{Congestion, KeepAlive, TcpOptions};
use ringtap::time::{Duration, Instant};
use std::net::SocketAddr;

/// How long a run may take: nothing here gives up later than this, with all its time-outs in a row.
const LIMIT: Instant = Instant::from_secs(3_600);

/// How long what is closed may go on delivering.
const LINGER: Duration = Duration::from_secs(3_000);

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The hash of all that was delivered.
    pub trace: u64,
    /// Connections, and those of them that ended by an error.
    pub connections: usize,
    /// Of those, ended by an error that was allowed.
    pub errors: usize,
    /// Octets that users have received.
    pub octets: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Segments sent again.
    pub retransmits: usize,
    /// The most octets in flight.
    pub widest: u32,
    /// Virtual time at the end.
    pub took: Instant,
}

/// One host to be.
#[derive(Clone, Copy, Debug)]
struct HostPlan {
    frames: usize,
    mtu: usize,
    budget: usize,
    tx_room: usize,
}

/// Chooses.
struct Chooser(SimRng, Congestion);

impl Chooser {
    fn below(&mut self, n: u64) -> u64 {
        self.0.below(n)
    }

    fn chance(&mut self, p: f64) -> bool {
        self.0.chance(p)
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Small numbers as often as large ones.
    fn octets(&mut self, most: u64) -> u64 {
        let bits = 1 + self.below(u64::from(most.ilog2()));
        self.below((2 << bits).min(most) + 1)
    }

    fn host(&mut self) -> HostPlan {
        HostPlan {
            frames: self.of(&[24, 48, 256]),
            mtu: self.of(&[576, 1280, 1500, 1500, 1500, 9000]),
            budget: self.of(&[1, 4, 64, 64]),
            tx_room: self.of(&[1, 4, usize::MAX, usize::MAX, usize::MAX]),
        }
    }

    fn link(&mut self) -> Impairments {
        let mut link = Impairments::delay(Duration::from_micros(50 + self.octets(100_000)));
        if self.chance(0.2) {
            return link;
        }
        link.jitter = Duration::from_micros(self.octets(10_000));
        link.loss = self.of(&[0.0, 0.001, 0.01, 0.03, 0.08]);
        if self.chance(0.2) {
            link.bursts = GilbertElliott { to_bad: 0.004, to_good: 0.25, loss: self.of(&[0.5, 1.0]) };
        }
        link.duplicate = self.of(&[0.0, 0.0, 0.01, 0.1]);
        link.reorder = self.of(&[0.0, 0.0, 0.02, 0.2]);
        link.reorder_by = Duration::from_micros(self.octets(60_000));
        link.corrupt = self.of(&[0.0, 0.0, 0.01]);
        link.rate = self.of(&[0, 0, 30_000, 300_000, 12_500_000]);
        link.queue = self.of(&[4, 20, 200]);
        for _ in 0..self.of(&[0, 0, 1, 2]) {
            let from = self.below(10_000);
            let to = from + 100 + self.octets(14_000);
            link.black_holes.push((Instant::from_millis(from), Instant::from_millis(to)));
        }
        link
    }

    fn options(&mut self) -> TcpOptions {
        let mut buffer = || match self.below(8) {
            0 => 1 + self.below(2_000) as usize,
            1 => 300_000,
            2 => 2_000_000,
            _ => self.of(&[4_096, 20_000, 65_535, 65_536]),
        };
        let (rx_buffer, tx_buffer) = (buffer(), buffer());
        TcpOptions {
            rx_buffer,
            tx_buffer,
            nagle: self.chance(0.7),
            window_scale: self.chance(0.8),
            timestamps: self.chance(0.8),
            delayed_ack: Duration::from_millis(self.of(&[0, 40, 40, 200])),
            congestion: self.1,
            sack: self.chance(0.85),
            rack: self.chance(0.85),
            max_segment: if self.chance(0.15) { Some(64 + self.below(1_000) as u16) } else { None },
            // Slow readers may take minutes; a burst of losses that swallows a frame a minute may last as long.
            linger: LINGER,
            user_timeout: Duration::from_secs(1_000),
            // A peer that has forgotten the connection must be noticed by whoever only waits.
            keep_alive: Some(KeepAlive { idle: Duration::from_secs(20), interval: Duration::from_secs(5), count: 20 }),
            ..TcpOptions::default()
        }
    }

    fn ops(&mut self) -> Vec<Op> {
        let mut ops: Vec<Op> = (0..self.below(40)).map(|_| self.op()).collect();
        match self.below(8) {
            0 | 1 => ops.push(Op::Close),
            2 => ops.push(Op::Abort),
            _ => {}
        }
        ops
    }

    fn op(&mut self) -> Op {
        match self.below(18) {
            0..8 => Op::Write(1 + self.below(9_000) as usize),
            8..14 => Op::Read(self.below(9_000) as usize),
            14..17 => Op::Wait(self.below(3_000)),
            _ => Op::Shutdown,
        }
    }

    /// Both ends of a connection: the client first.
    fn call(&mut self, n: u64, server: SocketAddr, forgiving: bool) -> (Box<dyn App>, Box<dyn App>) {
        let (a, b) = (self.options(), self.options());
        let (there, back) = (2 * n + 1, 2 * n + 2);
        if self.chance(0.35) {
            let client = Script::client(server, &self.ops(), a).with_streams(there, back);
            let server = Script::server(server.port(), &self.ops(), b).with_streams(there, back);
            return (Box::new(client), Box::new(server));
        }
        // A send buffer of a few octets waits for an acknowledgment each time it is full.
        let most = |from: TcpOptions, to: TcpOptions| 500 * from.tx_buffer.min(to.rx_buffer) as u64;
        let [to, from] = [(a, b), (b, a)].map(|(from, to)| {
            let bulk = if self.chance(0.2) { 1_000_000 } else { self.octets(400_000) };
            bulk.min(most(from, to))
        });
        let ends = [Bulk::client(server, to, from, a), Bulk::server(server.port(), from, to, b)];
        let begins = Instant::from_millis(self.octets(3_000));
        let [mut client, server] = ends.map(|mut end| {
            end.errors_allowed = forgiving;
            if self.chance(0.2) {
                end.read_limit = 500 + self.octets(20_000) as usize;
                end.read_pause = Duration::from_millis(1 + self.octets(200));
            }
            end.with_streams(there, back)
        });
        client.begins = begins;
        (Box::new(client), Box::new(server))
    }
}

/// Runs what this seed says.
///
/// # Errors
/// [`Failure`] when anything that must hold does not.
pub fn run(seed: u64) -> Result<Summary, Box<Failure>> {
    let congestion = if seed.is_multiple_of(2) { Congestion::Cubic } else { Congestion::NewReno };
    let mut choose = Chooser(SimRng::new(seed ^ 0x5ce7_a210), congestion);
    let count = choose.of(&[2, 2, 2, 3, 4]);
    let plans: Vec<HostPlan> = (0..count).map(|_| choose.host()).collect();
    let hosts = plans.iter().enumerate().map(|(n, plan)| host(seed, n, *plan)).collect();
    let mut sim = Sim::new(seed, hosts, (0..count).map(|_| choose.link()).collect());
    if choose.chance(0.3) {
        sim = sim.with_downlinks((0..count).map(|_| choose.link()).collect());
    }
    let reboot = choose.chance(0.15).then(|| (choose.below(count as u64) as usize, 500 + choose.below(8_000)));
    let connections = 1 + choose.below(5) as usize;
    for n in 0..connections {
        let client = choose.below(count as u64) as usize;
        // Once in a while to itself.
        let server = if choose.chance(0.05) { client } else { (client + 1) % count };
        let remote = SocketAddr::new(sim.hosts[server].addr, 7000 + n as u16);
        let (a, b) = choose.call(n as u64, remote, reboot.is_some());
        sim.hosts[server].apps.push(b);
        sim.hosts[client].apps.push(a);
    }
    if let Some((host_index, at)) = reboot {
        sim.run_until(Instant::from_millis(at))?;
        // A clock goes on, and the secret is another.
        sim.reboot(host_index, host(seed + 1, host_index, plans[host_index]));
    }
    finish(&mut sim)?;
    Ok(summary(&sim, connections))
}

fn host(seed: u64, n: usize, plan: HostPlan) -> Host {
    let mut host = Host::new(n as u8 + 1, seed, plan.frames, plan.mtu);
    (host.budget, host.nic.tx_room) = (plan.budget, plan.tx_room);
    host
}

/// Runs to the end of every program; servers that nobody calls any more are not waited for.
fn finish(sim: &mut Sim) -> Result<(), Box<Failure>> {
    while !sim.is_done() && sim.step(LIMIT)? {}
    let waits = |app: &dyn App| !app.is_done() && app.handle().is_some();
    if let Some(index) = sim.hosts.iter().position(|h| h.apps.iter().any(|a| waits(a.as_ref()))) {
        return Err(sim.failure(format!("host {index}: a connection is not done by {}", sim.now)));
    }
    for host in &mut sim.hosts {
        // What is left listens.
        host.apps.retain(|a| a.is_done());
    }
    // What was closed may have somebody to talk to for as long as it lingers.
    sim.run_until(sim.now + LINGER)?;
    sim.check_empty()
}

fn summary(sim: &Sim, connections: usize) -> Summary {
    let flows = sim.hosts.iter().flat_map(|h| &h.apps).flat_map(|a| a.flows()).flatten();
    let errors = sim.hosts.iter().flat_map(|h| &h.apps).filter(|a| a.has_error()).count();
    Summary {
        trace: sim.trace(),
        connections,
        errors,
        octets: flows.filter(|f| !f.sends).map(|f| f.octets).sum(),
        frames: sim.delivered,
        retransmits: sim.hosts.iter().map(|h| h.stack.stats().tcp_retransmits).sum(),
        widest: sim.widest(),
        took: sim.now,
    }
}
