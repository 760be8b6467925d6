//! The stack: interfaces and sockets put together, and driven by [`Stack::poll`].
//!
//! ```text
//!   device.receive ─▶ rx: link ─▶ IP ─▶ TCP/UDP/ICMP ─▶ sockets
//!                                                          │ ready lists, deadlines
//!   device.transmit ◀─ tx: link ◀─ neighbour ◀─ route ◀────┘
//! ```
//!
//! Only `poll` is generic over the device; everything behind it exists once. What has come in is handled before timers
//! fire, and timers fire before anything is sent, so that one acknowledgment answers all that one poll received.

#[cfg(feature = "acd")]
mod acd;
mod admin;
#[cfg(feature = "router-advertisements")]
mod advertise;
#[cfg(feature = "any-address")]
mod any_address;
#[cfg(feature = "carrier")]
mod carrier;
#[cfg(any(feature = "udp", feature = "raw", feature = "icmp", feature = "raw-ethernet"))]
mod datagram;
#[cfg(feature = "icmp")]
mod echo;
#[cfg(feature = "raw-ethernet")]
mod ethernet;
#[cfg(any(feature = "ipv6", feature = "multicast", feature = "raw-ethernet", feature = "any-address"))]
mod filter;
#[cfg(feature = "forward")]
mod forward;
#[cfg(feature = "hooks")]
mod hooks;
mod iface;
#[cfg(feature = "ipv6")]
mod ipv6;
#[cfg(feature = "multicast")]
mod multicast;
#[cfg(feature = "optimistic-dad")]
mod optimistic;
#[cfg(feature = "policy")]
mod policy;
#[cfg(feature = "raw")]
mod raw;
#[cfg(all(feature = "tcp", not(all(feature = "syn-queue", feature = "time-wait"))))]
mod room;
mod storage;
#[cfg(feature = "strong-host")]
mod strong_host;
#[cfg(feature = "syn-queue")]
mod syn_queue;
#[cfg(all(feature = "tcp", not(feature = "syn-queue")))]
#[path = "stack/no_syn_queue.rs"]
mod syn_queue;
#[cfg(feature = "taps")]
mod taps;
#[cfg(feature = "tcp")]
mod tcp;
#[cfg(feature = "time-wait")]
mod time_wait;
#[cfg(all(feature = "tcp", not(feature = "time-wait")))]
#[path = "stack/no_time_wait.rs"]
mod time_wait;
#[cfg(feature = "udp")]
mod udp;
mod wake;
#[cfg(all(feature = "ipv6", feature = "interfaces"))]
mod zone;
#[cfg(all(not(all(feature = "ipv6", feature = "interfaces")), any(feature = "tcp", feature = "udp")))]
#[path = "stack/one_zone.rs"]
mod zone;

#[cfg(feature = "multicast")]
pub use crate::ip::groups::{MAX_GROUPS, MAX_MEMBERSHIPS, MAX_SOURCES, SourceFilter};
#[cfg(feature = "ipv6")]
pub use crate::ip::slaac::{AddressState, Identifiers, RouterFlags};
#[cfg(feature = "temporary-addresses")]
pub use crate::ip::temporary::{SourcePreference, TemporaryAddresses};
#[cfg(feature = "acd")]
pub use acd::{AddressConflict, ProbeState, ProbeTiming};
pub use admin::{InterfaceCounters, InterfaceView};
#[cfg(feature = "any-address")]
pub use any_address::MAX_HELD;
#[cfg(feature = "udp")]
pub use datagram::MAX_UDP_PAYLOAD;
#[cfg(feature = "icmp")]
pub use echo::Echoed;
#[cfg(feature = "raw-ethernet")]
pub use ethernet::MAX_ETHERNET_GROUPS;
pub use iface::{IfaceId, IfaceSet, MAX_ADDRESSES};
#[cfg(feature = "alloc")]
pub use storage::Limits;
pub use storage::{StaticStorage, Storage};
#[cfg(feature = "tcp")]
pub use tcp::TcpSocket;
#[cfg(feature = "udp")]
pub use udp::{Reserved, UdpSocket};
pub use wake::{Event, SocketId};

pub(crate) use iface::{Cutting, Iface, Reply};

use crate::config::Config;
use crate::device::{Device, Lost, SegmentSize};
use crate::frame::Frame;
#[cfg(feature = "icmp")]
use crate::icmp::echo::EchoLayer;
#[cfg(feature = "forward")]
use crate::ip::forward::Forwarding;
use crate::ip::limit::Limiter;
#[cfg(all(feature = "ipv6", feature = "icmp-errors"))]
use crate::ip::paths::Paths;
#[cfg(feature = "reassembly")]
use crate::ip::reassembly::Reassembly;
use crate::ip::route::Routes;
use crate::ip::v4::Identifications;
use crate::link::neighbor::table::Neighbors;
use crate::ready::{Key, Scheduler};
use crate::rng::{Purpose, Rng};
use crate::sockets::arena::Arena;
#[cfg(feature = "raw-ethernet")]
use crate::sockets::ethernet::EthernetLayer;
use crate::sockets::queue::Pair;
#[cfg(feature = "raw")]
use crate::sockets::raw::RawLayer;
#[cfg(feature = "udp")]
use crate::sockets::udp::UdpLayer;
use crate::stats::Stats;
#[cfg(feature = "tcp")]
use crate::tcp::layer::TcpLayer;
use crate::time::{Duration, Instant};
#[cfg(feature = "loopback")]
use heapless::Deque;

/// How long egress that waits for frames or device room sleeps at most, should nobody wake it: 10 ms.
const STALL: Duration = Duration::from_millis(10);

/// Deadlines handled in one poll at most; more are left to the next.
const DEADLINES_PER_POLL: usize = 1024;

/// Packets between our own addresses that wait to be handled.
#[cfg(feature = "loopback")]
const LOOPED: usize = 8;

/// Packets that wait for all neighbours together: few, whatever the pool, and of a small one a share.
const PARKED: usize = 16;

/// What a poll says about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "it says when to poll again"]
pub struct Polled {
    /// When to poll again at the latest, even if nothing arrives; `None`: only when something arrives.
    pub next: Option<Instant>,
    /// The budget ran out before the work did: poll again at once.
    pub more: bool,
    /// Interfaces that have something to send: poll each.
    pub pending: IfaceSet,
}

/// A TCP/IP stack.
///
/// # Contract
/// - Call [`poll`](Self::poll) with an interface's device when the device woke, when `next` of the last poll has come, and
///   after calls that create work (they make the interface appear in [`pending`](Self::pending)).
/// - `now` is the same clock in every call. A step back is harmless, but stretches timers by as much.
/// - After each poll, drain [`next_event`](Self::next_event) if sockets are waited for; programs that look at their
///   sockets in a loop of their own need not.
/// - Nothing a peer sends makes any call panic, and each call's work is bounded.
// As in `Conn`: what is used most comes first on small processors.
#[cfg_attr(target_os = "none", repr(C))]
pub struct Stack<'a> {
    pub(crate) now: Instant,
    pub(crate) sched: Scheduler<'a>,
    #[cfg(feature = "tcp")]
    pub(crate) tcp: TcpLayer<'a>,
    #[cfg(feature = "udp")]
    pub(crate) udp: UdpLayer<'a>,
    pub(crate) queues: Arena<'a, Pair<'a>>,
    pub(crate) routes: Routes<'a>,
    pub(crate) neighbors: Neighbors<'a>,
    pub(crate) config: Config<'a>,
    #[cfg(feature = "interfaces")]
    pub(crate) ifaces: managed::ManagedSlice<'a, Option<Iface<'a>>>,
    /// The one interface.
    #[cfg(not(feature = "interfaces"))]
    pub(crate) ifaces: [Option<Iface<'a>>; 1],
    pub(crate) stats: Stats,
    pub(crate) rng: Rng,
    pub(crate) ids: Identifications,
    pub(crate) limiter: Limiter,
    #[cfg(feature = "raw")]
    pub(crate) raw: RawLayer<'a>,
    #[cfg(feature = "raw-ethernet")]
    pub(crate) ethernet: EthernetLayer<'a>,
    /// Interfaces whose device may have to receive more, or less, than what is addressed to it.
    #[cfg(any(feature = "raw-ethernet", feature = "any-address"))]
    pub(crate) refilter: IfaceSet,
    #[cfg(feature = "icmp")]
    pub(crate) echo: EchoLayer<'a>,
    #[cfg(feature = "reassembly")]
    pub(crate) reassembly: Reassembly<'a>,
    #[cfg(feature = "reassembly")]
    pub(crate) reassembly_node: Option<crate::ready::NodeId>,
    #[cfg(all(feature = "ipv6", feature = "icmp-errors"))]
    pub(crate) paths: Paths,
    /// When IPv6 has something to do by itself.
    #[cfg(feature = "ipv6")]
    pub(crate) v6_timer: Option<Instant>,
    /// Interfaces whose device does not know its groups.
    #[cfg(any(feature = "ipv6", feature = "multicast", feature = "raw-ethernet"))]
    pub(crate) regroup: IfaceSet,
    /// Interfaces whose link has changed, which nobody was told yet.
    #[cfg(feature = "carrier")]
    pub(crate) link_events: IfaceSet,
    #[cfg(feature = "acd")]
    pub(crate) acd_node: Option<crate::ready::NodeId>,
    /// When something is to be told of groups.
    #[cfg(feature = "multicast")]
    pub(crate) group_timer: Option<Instant>,
    /// How packets for others are passed on, if they are.
    #[cfg(feature = "forward")]
    pub(crate) forwarding: Option<Forwarding>,
    /// Hosts that were told of better ways.
    #[cfg(feature = "forward")]
    pub(crate) redirected: crate::ip::redirect::Redirected,
    /// Who looks at packets on their way.
    #[cfg(feature = "hooks")]
    pub(crate) hooks: Option<&'a mut (dyn crate::ip::hooks::Hooks + Send)>,
    /// Prefixes that are answered for.
    #[cfg(feature = "any-address")]
    pub(crate) held: heapless::Vec<(IfaceId, crate::ip::addr::Cidr), MAX_HELD>,
    /// Who chooses ways.
    #[cfg(feature = "policy")]
    pub(crate) policy: Option<policy::Chooser<'a>>,
    /// Who has copies of frames.
    #[cfg(feature = "taps")]
    pub(crate) taps: crate::taps::Taps<'a>,
    /// Packets to ourselves.
    #[cfg(feature = "loopback")]
    pub(crate) looped: Deque<Frame<'a>, LOOPED>,
}

impl<'a> Stack<'a> {
    /// A stack without interfaces.
    #[allow(clippy::too_many_lines)] // A line for each part, and one more where it can be left out.
    pub fn new(config: Config<'a>, storage: impl Into<Storage<'a>>) -> Self {
        let storage = storage.into();
        let secret = &config.secret;
        Self {
            now: Instant::ZERO,
            stats: Stats::new(),
            rng: Rng::new(secret, Purpose::Jitter),
            ids: Identifications::new(secret),
            limiter: Limiter::new(config.reply_rate, secret),
            #[cfg(feature = "interfaces")]
            ifaces: storage.ifaces,
            #[cfg(not(feature = "interfaces"))]
            ifaces: [None],
            routes: Routes::new(storage.routes, storage.route_limit),
            #[cfg(not(feature = "nud"))]
            neighbors: Neighbors::new(storage.neighbors, storage.neighbor_limit),
            #[cfg(feature = "nud")]
            neighbors: Neighbors::new(
                storage.neighbors,
                storage.neighbor_index,
                storage.neighbor_limit,
                PARKED,
                secret,
            ),
            sched: storage.sched,
            queues: storage.queues,
            #[cfg(feature = "tcp")]
            tcp: storage.tcp.build(secret),
            #[cfg(feature = "udp")]
            udp: UdpLayer::new(storage.udp, storage.udp_bindings, secret),
            #[cfg(feature = "raw")]
            raw: RawLayer::new(storage.raw, storage.raw_bindings, secret),
            #[cfg(feature = "raw-ethernet")]
            ethernet: EthernetLayer::new(storage.ethernet, storage.ethernet_bindings, secret),
            #[cfg(any(feature = "raw-ethernet", feature = "any-address"))]
            refilter: IfaceSet::default(),
            #[cfg(feature = "icmp")]
            echo: EchoLayer::new(storage.echo, storage.echo_bindings, secret),
            #[cfg(feature = "reassembly")]
            reassembly: Reassembly::new(storage.reassembly, config.reserve_rx),
            #[cfg(feature = "reassembly")]
            reassembly_node: None,
            #[cfg(all(feature = "ipv6", feature = "icmp-errors"))]
            paths: Paths::new(),
            #[cfg(feature = "ipv6")]
            v6_timer: None,
            #[cfg(any(feature = "ipv6", feature = "multicast", feature = "raw-ethernet"))]
            regroup: IfaceSet::default(),
            #[cfg(feature = "carrier")]
            link_events: IfaceSet::default(),
            #[cfg(feature = "acd")]
            acd_node: None,
            #[cfg(feature = "multicast")]
            group_timer: None,
            #[cfg(feature = "forward")]
            forwarding: None,
            #[cfg(feature = "forward")]
            redirected: crate::ip::redirect::Redirected::new(),
            #[cfg(feature = "hooks")]
            hooks: None,
            #[cfg(feature = "any-address")]
            held: heapless::Vec::new(),
            #[cfg(feature = "policy")]
            policy: None,
            #[cfg(feature = "taps")]
            taps: crate::taps::Taps::new(),
            #[cfg(feature = "loopback")]
            looped: Deque::new(),
            config: Config { ttl: config.ttl.max(1), ..config },
        }
    }

    /// Receives from `device` and sends by it, at most `budget` frames each way (a super-segment counts as its segments, and the
    /// last may go beyond); fires what is due at `now`.
    ///
    /// A budget of 32 to 256 suits most devices; 0 counts as 1. An interface that is not the stack's is left alone.
    pub fn poll<D: Device<'a>>(&mut self, now: Instant, iface: IfaceId, device: &mut D, budget: usize) -> Polled {
        let budget = budget.max(1);
        self.begin(now, iface);
        #[cfg(feature = "carrier")]
        self.see_link(iface, device.link());
        #[cfg(feature = "forward")]
        let most = match self.forwarding {
            Some(_) => budget.min(self.room_for_transit(iface)),
            None => budget,
        };
        #[cfg(not(feature = "forward"))]
        let most = budget;
        #[cfg(feature = "interfaces")]
        let before_all = self.passed();
        let (mut received, mut sent, mut more) = (0, 0, false);
        // Whether the device takes nothing more: then replies that find no place are lost rather than receive stop.
        let mut blocked = false;
        loop {
            while received < most
                && (blocked || !self.is_full_of_replies(iface))
                && let Some((frame, meta)) = device.receive()
            {
                received += SegmentSize::of(meta.gso).segments(frame.len());
                self.handle_frame(iface, frame, meta);
            }
            // Replies have few places to wait in: a burst that provokes more of them is answered as it comes.
            let burst = !blocked && received < most && self.is_full_of_replies(iface);
            if !burst {
                more |= received >= most;
                more |= self.handle_deadlines();
                if self.has_looped() {
                    self.handle_looped();
                }
            }
            let before = sent;
            sent = self.send(iface, device, budget, sent);
            blocked = sent == before;
            if !burst {
                break;
            }
        }
        #[cfg(any(feature = "ipv6", feature = "multicast", feature = "raw-ethernet"))]
        if self.regroup.contains(iface)
            && let Some(filter) = self.changed_groups(iface)
        {
            // Without a filter, a device receives all groups.
            if filter.is_whole || device.receive_all_groups().is_err() {
                let _ = device.set_multicast_filter(&filter.groups);
            }
        }
        #[cfg(any(feature = "raw-ethernet", feature = "any-address"))]
        if self.refilter.contains(iface)
            && let Some(on) = self.changed_promiscuity(iface)
        {
            // A device that cannot receives what it does.
            let _ = device.set_promiscuous(on);
        }
        device.flush();
        #[cfg(feature = "interfaces")]
        self.count(iface, before_all, device.lost());
        #[cfg(not(feature = "interfaces"))]
        if let [Some(iface)] = &mut self.ifaces {
            iface.counters.lost = device.lost();
        }
        self.polled(more)
    }

    /// What has passed by all interfaces.
    pub(crate) fn passed(&self) -> InterfaceCounters {
        let Stats { rx_frames, rx_octets, tx_frames, tx_octets, all_drops: dropped, .. } = self.stats;
        InterfaceCounters { rx_frames, rx_octets, tx_frames, tx_octets, dropped, lost: Lost::default() }
    }

    #[cfg(feature = "interfaces")]
    /// What has passed since `before` was by this interface: once a poll rather than for each frame.
    fn count(&mut self, id: IfaceId, before: InterfaceCounters, lost: Lost) {
        let now = self.passed();
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return };
        let add = |count: &mut usize, now: usize, before: usize| *count = count.wrapping_add(now.wrapping_sub(before));
        let counters = &mut iface.counters;
        add(&mut counters.rx_frames, now.rx_frames, before.rx_frames);
        add(&mut counters.rx_octets, now.rx_octets, before.rx_octets);
        add(&mut counters.tx_frames, now.tx_frames, before.tx_frames);
        add(&mut counters.tx_octets, now.tx_octets, before.tx_octets);
        add(&mut counters.dropped, now.dropped, before.dropped);
        counters.lost = lost;
    }

    /// Sends by `device` what is ready; the number of frames sent in this poll, `sent` of them before.
    fn send<D: Device<'a>>(&mut self, iface: IfaceId, device: &mut D, budget: usize, mut sent: usize) -> usize {
        while sent < budget
            && let Some((frame, meta)) = self.poll_frame(iface)
        {
            let (octets, turns) = (frame.len(), SegmentSize::of(meta.gso).segments(frame.len()));
            if let Err(frame) = device.transmit(frame, meta) {
                self.refused(iface, frame, meta);
                break;
            }
            self.stats.tx_frames = self.stats.tx_frames.wrapping_add(1);
            self.stats.tx_octets = self.stats.tx_octets.wrapping_add(octets);
            sent += turns;
        }
        sent
    }

    /// Interfaces that have something to send.
    pub fn pending(&self) -> IfaceSet {
        let mut set = IfaceSet::default();
        for (index, iface) in self.ifaces.iter().enumerate() {
            let Some(iface) = iface else { continue };
            if iface.stalled.is_none() && (iface.owes() || self.sched.has_ready(index)) {
                set.insert(index);
            }
        }
        set
    }

    /// When the stack wants to be polled next, at the latest: now, if something is pending; `None` if never.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        let pending = self.pending();
        self.next_after(pending)
    }

    fn next_after(&mut self, pending: IfaceSet) -> Option<Instant> {
        if !pending.is_empty() || self.has_looped() {
            return Some(self.now);
        }
        let stall = self.ifaces.iter().flatten().filter_map(|i| i.stalled).min();
        let next = earlier(self.sched.next_deadline(), stall);
        #[cfg(feature = "ipv6")]
        let next = earlier(next, self.v6_timer);
        #[cfg(feature = "multicast")]
        let next = earlier(next, self.group_timer);
        next
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The time of the last poll.
    pub fn now(&self) -> Instant {
        self.now
    }

    fn begin(&mut self, now: Instant, iface: IfaceId) {
        self.now = now;
        if let Some(Some(iface)) = self.ifaces.get_mut(iface.index()) {
            iface.stalled = None;
        }
    }

    /// Whether the next reply would find no room, and sending could make some.
    fn is_full_of_replies(&self, iface: IfaceId) -> bool {
        self.iface(iface).is_some_and(|i| i.stalled.is_none() && i.is_full_of_replies())
    }

    /// Whether packets for others are passed on.
    pub(crate) fn is_router(&self) -> bool {
        #[cfg(feature = "forward")]
        return self.forwarding.is_some();
        #[cfg(not(feature = "forward"))]
        false
    }

    fn polled(&mut self, more: bool) -> Polled {
        let pending = self.pending();
        Polled { next: self.next_after(pending), more, pending }
    }

    fn refused(&mut self, iface: IfaceId, frame: Frame<'a>, meta: crate::device::TxMeta) {
        self.stats.tx_refused = self.stats.tx_refused.wrapping_add(1);
        if let Some(Some(iface)) = self.ifaces.get_mut(iface.index()) {
            iface.held = Some((frame, meta));
        }
        self.stall(iface);
    }

    /// Egress of `iface` cannot go on, and nothing in the stack will tell when it can.
    pub(crate) fn stall(&mut self, iface: IfaceId) {
        let until = self.now + STALL;
        if let Some(Some(iface)) = self.ifaces.get_mut(iface.index()) {
            iface.stalled = Some(until);
        }
    }

    /// Handles what is due; true when there is more than one poll may handle.
    fn handle_deadlines(&mut self) -> bool {
        #[cfg(feature = "ipv6")]
        if self.is_v6_due() {
            self.v6_deadline();
        }
        #[cfg(feature = "multicast")]
        if self.group_timer.is_some_and(|at| self.now >= at) {
            self.group_deadline();
        }
        for _ in 0..DEADLINES_PER_POLL {
            let Some((_, key)) = self.sched.pop_due(self.now) else {
                return false;
            };
            match key {
                #[cfg(feature = "tcp")]
                Key::Tcp(index) => self.tcp_deadline(index),
                #[cfg(feature = "syn-queue")]
                Key::Listener(index) => self.listener_deadline(index),
                #[cfg(feature = "time-wait")]
                Key::TimeWait => self.time_wait_deadline(),
                Key::Neighbor(index) => self.neighbor_deadline(index),
                #[cfg(feature = "reassembly")]
                Key::Reassembly => self.reassembly_deadline(),
                #[cfg(feature = "acd")]
                Key::Acd => self.acd_deadline(),
                // Datagram sockets have no timers.
                _ => {}
            }
        }
        true
    }
}

#[cfg(all(test, feature = "alloc", feature = "tcp", not(any(feature = "syn-queue", feature = "time-wait"))))]
mod syn_tests;

/// The earlier of two times, where there are any.
fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
