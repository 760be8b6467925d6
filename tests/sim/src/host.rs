//! A host of the simulation: a stack, its card, and what runs on it.

use crate::app::App;
use crate::nic::Nic;
use ringtap::config::Config;
use ringtap::device::{Mac, Medium};
use ringtap::frame::BoxedPool;
use ringtap::ip::addr::Cidr;
use ringtap::rng::Secret;
use ringtap::stack::{IfaceId, Limits, Polled, Stack, Storage};
use ringtap::time::Instant;
use std::net::{IpAddr, Ipv4Addr};

/// A host with one interface.
pub struct Host {
    /// Its stack.
    pub stack: Stack<'static>,
    /// Its interface.
    pub iface: IfaceId,
    /// Its card.
    pub nic: Nic,
    /// Its address.
    pub addr: IpAddr,
    /// What runs on it.
    pub apps: Vec<Box<dyn App>>,
    /// When the stack wants to be polled.
    pub next: Option<Instant>,
    /// Frames per poll and direction.
    pub budget: usize,
    pool: &'static BoxedPool,
}

impl Host {
    /// Host `n` (1..=254), 10.0.0.n/24, with a pool of `frames` frames.
    ///
    /// # Panics
    /// On a number that makes no address.
    pub fn new(n: u8, seed: u64, frames: usize, ip_mtu: usize) -> Self {
        Self::on(n, seed, frames, ip_mtu, Medium::Ethernet)
    }

    /// As [`new`](Self::new), on another medium.
    ///
    /// # Panics
    /// On a number that makes no address.
    pub fn on(n: u8, seed: u64, frames: usize, ip_mtu: usize, medium: Medium) -> Self {
        // Pools and stacks live as long as the process: a simulation is short, and 'static is what firmware has.
        let pool: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(ip_mtu + 96, frames)));
        let large: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(66_000, 8)));
        let mut secret = [n; 16];
        secret[..8].copy_from_slice(&seed.to_le_bytes());
        let mut config = Config::new(Secret::new(secret));
        config.large_pool = Some(large.pool());
        let mut stack = Stack::new(config, Storage::growing(Limits::default()));
        let nic = Nic::new(pool.pool(), medium, ip_mtu);
        let iface = stack.add_interface(&nic, Self::mac(n)).expect("room for an interface");
        let addr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
        stack.add_address(iface, Cidr::new(addr, 24).expect("a prefix")).expect("a host address");
        let next = Some(Instant::ZERO);
        Self { stack, iface, nic, addr, apps: Vec::new(), next, budget: 64, pool }
    }

    /// The MAC of host `n`.
    pub const fn mac(n: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, n])
    }

    /// Polls until there is nothing to do at `now`; the number of polls.
    ///
    /// # Panics
    /// When the stack keeps asking to be polled without anything happening.
    pub fn run(&mut self, now: Instant) -> usize {
        let mut polls = 0;
        let mut idle = 0;
        loop {
            let before = self.progress();
            let Polled { next, more, pending } = self.stack.poll(now, self.iface, &mut self.nic, self.budget);
            while let Some(event) = self.stack.next_event() {
                event.wake();
            }
            let mut acted = false;
            for app in &mut self.apps {
                acted |= app.run(now, &mut self.stack);
            }
            polls += 1;
            idle = if self.progress() == before && !acted { idle + 1 } else { 0 };
            assert!(idle < 3, "the stack spins at {now}: next {next:?}, more {more}, pending {pending:?}");
            let next = self.stack.next_deadline();
            self.next = next;
            if !more && !acted && next.is_none_or(|t| t > now) {
                return polls;
            }
        }
    }

    fn progress(&self) -> (usize, usize, usize, Option<Instant>) {
        let s = self.stack.stats();
        (s.rx_frames, s.tx_frames, s.dropped_total(), self.next)
    }

    /// Frames that somebody owns.
    pub fn frames_in_use(&self) -> usize {
        self.pool.pool().count() - self.pool.pool().free()
    }
}
