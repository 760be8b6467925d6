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
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};

/// Polls at one instant, at most: far more than any queue here can need.
const POLLS: usize = 20_000;

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
    /// When the stack or a program wants to run.
    pub next: Option<Instant>,
    /// Frames per poll and direction.
    pub budget: usize,
    pub(crate) mac: Mac,
    // Behind all that may hold frames of theirs.
    pool: Lease,
    _large: Lease,
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
        Self::configured(n, seed, (frames, ip_mtu), medium, |_| {})
    }

    /// As [`on`](Self::on), with its configuration changed.
    ///
    /// # Panics
    /// On a number that makes no address.
    pub fn configured(
        n: u8,
        seed: u64,
        (frames, ip_mtu): (usize, usize),
        medium: Medium,
        change: impl FnOnce(&mut Config<'static>),
    ) -> Self {
        let (pool, large) = (Lease::new(ip_mtu + 96, frames), Lease::new(66_000, 8));
        let mut secret = [n; 16];
        secret[..8].copy_from_slice(&seed.to_le_bytes());
        let mut config = Config::new(Secret::new(secret));
        config.large_pool = Some(large.pool.pool());
        change(&mut config);
        let mut stack = Stack::new(config, Storage::growing(Limits::default()));
        let nic = Nic::new(pool.pool.pool(), medium, ip_mtu);
        let mac = Self::mac(n);
        let iface = stack.add_interface(&nic, mac).expect("room for an interface");
        let addr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
        stack.add_address(iface, Cidr::new(addr, 24).expect("a prefix")).expect("a host address");
        let next = Some(Instant::ZERO);
        Self { stack, iface, nic, addr, apps: Vec::new(), next, budget: 64, mac, pool, _large: large }
    }

    /// The MAC of host `n`.
    pub const fn mac(n: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, n])
    }

    /// Polls until there is nothing to do at `now`; the number of polls.
    ///
    /// # Errors
    /// When the stack keeps asking to be polled without anything happening.
    pub fn run(&mut self, now: Instant) -> Result<usize, String> {
        let mut idle = 0;
        for polls in 1..=POLLS {
            let before = self.progress();
            let Polled { next, more, pending } = self.stack.poll(now, self.iface, &mut self.nic, self.budget);
            while let Some(event) = self.stack.next_event() {
                event.wake();
            }
            let mut acted = false;
            for app in &mut self.apps {
                acted |= app.run(now, &mut self.stack);
            }
            idle = if self.progress() == before && !acted { idle + 1 } else { 0 };
            if idle >= 3 {
                return Err(format!("the stack spins at {now}: next {next:?}, more {more}, pending {pending:?}"));
            }
            let due = self.stack.next_deadline();
            let wanted = self.apps.iter().filter_map(|app| app.next()).filter(|&at| at > now).min();
            self.next = [due, wanted].into_iter().flatten().min();
            if !more && !acted && due.is_none_or(|t| t > now) {
                return Ok(polls);
            }
        }
        Err(format!("{POLLS} polls at {now} are not enough"))
    }

    fn progress(&self) -> (usize, usize, usize, Option<Instant>) {
        let s = self.stack.stats();
        (s.rx_frames, s.tx_frames, s.dropped_total(), self.next)
    }

    /// Frames that somebody owns.
    pub fn frames_in_use(&self) -> usize {
        let pool = self.pool.pool.pool();
        pool.count() - pool.free()
    }
}

/// A pool that lives as long as the process, since 'static is what firmware has, but is used again by later hosts.
struct Lease {
    pool: &'static BoxedPool,
    /// Octets of a slot, and their number.
    shape: (usize, usize),
}

thread_local! {
    static SPARE: RefCell<Vec<Spare>> = const { RefCell::new(Vec::new()) };
}

/// A pool that nobody uses, and its shape.
type Spare = (&'static BoxedPool, (usize, usize));

impl Lease {
    fn new(slot: usize, count: usize) -> Self {
        let shape = (slot, count);
        let spare = SPARE.with_borrow_mut(|spare| {
            let place = spare.iter().position(|(_, s)| *s == shape)?;
            Some(spare.swap_remove(place).0)
        });
        Self { pool: spare.unwrap_or_else(|| Box::leak(Box::new(BoxedPool::new(slot, count)))), shape }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let pool = self.pool.pool();
        if pool.free() == pool.count() {
            // On a thread that ends, the pool is lost.
            let _ = SPARE.try_with(|spare| spare.borrow_mut().push((self.pool, self.shape)));
        }
    }
}
