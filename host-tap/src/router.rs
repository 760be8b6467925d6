//! One stack on several taps or tuns: an event loop for a router.
//!
//! All ports' frames come from one pool, so that what is passed on from one to another is not copied. The loop is that of
//! [`engine`](crate::engine) without other threads: an [`App`] runs beside the stack.

pub mod firewall;
pub mod nat;
pub mod policy;
mod rule;

pub use rule::ParseRuleError;

use crate::attach::mac_for;
use crate::clock::Clock;
use crate::device::{AnyDevice, Counters, HostDevice};
use crate::engine::{App, End, waits_of};
use crate::entropy;
use crate::epoll::{Poller, Signals};
use crate::failure::Failure;
use crate::pool::{DEFAULT_FRAMES, Lease, slot_size};
use crate::sys::{Events, Interest};
use crate::tap::{TapOptions, TapPort};
use crate::vlan::Trunk;
use ringtap::config::{Config, HostModel};
use ringtap::device::{Device, Medium};
use ringtap::ip::addr::Cidr;
use ringtap::stack::{Identifiers, IfaceId, Limits, Stack, Storage};
use ringtap::time::Instant;
use ringtap::vlan::VlanId;

/// Frames each way in one poll of a port.
const BUDGET: usize = 64;

/// Rounds over all ports without a look at other descriptors, while there is work.
const ROUNDS: usize = 8;

const SIGNAL: u64 = u64::MAX;

/// A port to be opened.
#[derive(Clone, Debug)]
pub struct PortOptions {
    /// The tap or tun; ports of several VLANs name the same one.
    pub tap: TapOptions,
    /// Its VLAN (IEEE 802.1Q); frames without a tag if `None`.
    pub vlan: Option<VlanId>,
    /// The stack's addresses on it.
    pub addresses: Vec<Cidr>,
}

struct Port {
    device: AnyDevice,
    iface: IfaceId,
}

/// The loop.
pub struct Router {
    stack: Stack<'static>,
    ports: Vec<Port>,
    names: Vec<String>,
    clock: Clock,
    poller: Poller,
    events: Events,
    signals: Option<Signals>,
    _lease: Lease,
    _large: Lease,
}

impl Router {
    /// A stack with these ports, which does not forward yet, and is a host of this model while it does not.
    ///
    /// # Errors
    /// When a port cannot be opened, an address cannot be, or the process has no descriptor left.
    pub fn open(
        ports: &[PortOptions],
        limits: Limits,
        model: HostModel,
        signals: Option<Signals>,
    ) -> Result<Self, Failure> {
        // Each tap once, whatever the number of its VLANs.
        let mut opened: Vec<(String, TapPort)> = Vec::new();
        for port in ports {
            let name = &port.tap.name;
            if opened.iter().all(|(known, _)| known != name) {
                opened.push((name.clone(), TapPort::open(&port.tap)?));
            }
        }
        let slot = opened.iter().map(|(_, p)| slot_size(p.medium(), p.mtu())).max().unwrap_or(0);
        let lease = Lease::new(slot.max(slot_size(Medium::Ethernet, 1_500)), DEFAULT_FRAMES);
        let large = Lease::large();
        let mut config = Config::new(entropy::secret()?);
        config.large_pool = Some(large.pool());
        config.host_model = model;
        let failed = |e: std::io::Error| Failure::io("cannot make an event loop", &e);
        let mut router = Self {
            stack: Stack::new(config, Storage::growing(limits)),
            ports: Vec::new(),
            names: Vec::new(),
            clock: Clock::new(),
            poller: Poller::new().map_err(failed)?,
            events: Events::new(),
            signals,
            _lease: lease,
            _large: large,
        };
        if let Some(signals) = &router.signals {
            router.poller.add(signals, SIGNAL, Interest::READ).map_err(failed)?;
        }
        let mut made = Vec::new();
        for (asked, port) in opened {
            let name = port.name().to_string();
            let device: AnyDevice = Box::new(port.with_pools(router._lease.pool(), router._large.pool()));
            let users: Vec<usize> =
                (0..ports.len()).filter(|&n| ports.get(n).is_some_and(|p| p.tap.name == asked)).collect();
            match users[..] {
                [only] if ports.get(only).is_some_and(|p| p.vlan.is_none()) => made.push((only, name, device)),
                _ => {
                    let trunk = Trunk::new(device, &name)?;
                    for (n, vlan) in users.into_iter().filter_map(|n| Some((n, ports.get(n)?.vlan))) {
                        let name = vlan.map_or(name.clone(), |vlan| format!("{name}.{}", vlan.get()));
                        made.push((n, name, trunk.port(vlan)?));
                    }
                }
            }
        }
        made.sort_by_key(|(n, ..)| *n);
        for ((_, name, device), options) in made.into_iter().zip(ports) {
            router.add(name, device, &options.addresses)?;
        }
        Ok(router)
    }

    fn add(&mut self, name: String, device: AnyDevice, addresses: &[Cidr]) -> Result<(), Failure> {
        let medium = device.capabilities().medium;
        let refused = |e: &dyn std::fmt::Display| Failure::usage(format!("{name}: {e}"));
        let iface = self.stack.add_interface(&device, mac_for(&name, addresses)).map_err(|e| refused(&e))?;
        for &cidr in addresses {
            self.stack.add_address(iface, cidr).map_err(|e| refused(&format_args!("{cidr}: {e}")))?;
        }
        if medium == Medium::Ethernet && addresses.iter().any(|a| a.addr().is_ipv6()) {
            self.stack.add_link_local(iface, Identifiers::Eui64).map_err(|e| refused(&e))?;
        }
        self.ports.push(Port { device, iface });
        self.names.push(name);
        Ok(())
    }

    /// The stack.
    pub fn stack(&mut self) -> &mut Stack<'static> {
        &mut self.stack
    }

    /// The interface of the port of this name.
    pub fn iface(&self, name: &str) -> Option<IfaceId> {
        let at = self.names.iter().position(|n| n == name)?;
        self.ports.get(at).map(|p| p.iface)
    }

    /// What the ports are called, in the order of their interfaces.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The set in which an app may wait for descriptors of its own, with tokens from [`APP`](crate::engine::APP) on.
    pub fn poller(&self) -> &Poller {
        &self.poller
    }

    /// What was lost at each port's device.
    pub fn device_counters(&self) -> Vec<Counters> {
        self.ports.iter().map(|p| p.device.counters()).collect()
    }

    /// Runs until a signal, the app or a failure of a device ends it.
    ///
    /// # Errors
    /// Why a device is gone.
    pub fn run(&mut self, app: &mut dyn App) -> Result<End, Failure> {
        loop {
            let until = self.work(app);
            if let Some(failure) = self.ports.iter().find_map(|p| p.device.failure()) {
                return Err(failure);
            }
            if app.done() {
                return Ok(End::Done);
            }
            if self.sleep(until, app)? {
                return Ok(End::Signal);
            }
        }
    }

    /// Tells hosts that there is no router any more, where they were told of one.
    pub fn say_goodbye(&mut self) {
        for port in &mut self.ports {
            // A port that tells nothing has nothing to end.
            if self.stack.advertising(port.iface).is_some() && self.stack.advertise(port.iface, None).is_ok() {
                let _ = self.stack.poll(self.clock.now(), port.iface, &mut port.device, BUDGET);
            }
        }
    }

    /// Polls all ports while there is work, and hands out events; says when to come back.
    fn work(&mut self, app: &mut dyn App) -> Option<Instant> {
        let mut now = self.clock.now();
        for _ in 0..ROUNDS {
            let before = self.stack.stats().rx_frames;
            let mut busy = false;
            for port in &mut self.ports {
                now = self.clock.now();
                busy |= self.stack.poll(now, port.iface, &mut port.device, BUDGET).more;
            }
            while let Some(event) = self.stack.next_event() {
                app.on_event(&mut self.stack, event.socket, event.what);
                event.wake();
            }
            busy |= app.turn(&mut self.stack, now);
            busy |= self.stack.stats().rx_frames != before || !self.stack.pending().is_empty();
            // One port of a trunk may have received for another that was polled before.
            busy |= self.ports.iter().any(|port| port.device.holds());
            if !busy {
                return [self.stack.next_deadline(), app.deadline()].into_iter().flatten().min();
            }
        }
        Some(now)
    }

    /// Sleeps until `until`, or something is ready; `true` when that was a signal.
    fn sleep(&mut self, until: Option<Instant>, app: &mut dyn App) -> Result<bool, Failure> {
        let failed = |e: std::io::Error| Failure::io("cannot wait for events", &e);
        for port in &mut self.ports {
            port.device.idle();
        }
        let devices = self.ports.iter().flat_map(|port| waits_of(&port.device));
        let timeout = until.map(|at| self.clock.until(at));
        self.poller.wait_beside(devices, &mut self.events, timeout).map_err(failed)?;
        let mut signalled = false;
        for ready in self.events.iter() {
            match ready.token {
                SIGNAL => signalled |= self.signals.as_mut().is_some_and(Signals::take),
                _ => app.on_ready(&mut self.stack, &self.poller, ready),
            }
        }
        Ok(signalled)
    }
}
