//! What is fixed when a stack is made.

use crate::frame::Pool;
use crate::rng::Secret;
use crate::time::Duration;

/// To whom an address belongs: to the host, or to one of its interfaces (RFC 1122 §3.3.4.2).
///
/// A router delivers what is for any of its addresses whichever way it came (RFC 1812 §5.2.3): while a stack forwards, it is
/// weak, whatever is chosen.
#[cfg(feature = "strong-host")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HostModel {
    /// An address is the host's: packets for it come in by any interface, and leave by the one that their route says.
    #[default]
    Weak,
    /// An address is its interface's: what comes for it by another is dropped and counted
    /// ([`DropReason::WrongInterface`](crate::stats::DropReason::WrongInterface)), and what is from it leaves by no other, by
    /// that interface's routes alone.
    Strong,
}

/// Settings of a whole stack. There is no default: a stack without a secret cannot be made.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Config<'a> {
    /// What everything unpredictable is derived from.
    pub secret: Secret,
    /// Hop limit (IPv4: TTL) of packets the stack sends of itself; 0 is taken as 1. 64 (RFC 1700's successor, the IANA
    /// registry).
    pub ttl: u8,
    /// Where datagrams beyond one slot of an interface's pool are kept: received fragments are put together in its
    /// frames, and long datagrams are cut up from them. Without it, the interface's own pool serves, and its slots are
    /// the limit.
    pub large_pool: Option<Pool<'a>>,
    /// ICMP errors, and resets to nobody's connection, per second; a bucket holds as many. 100, as an
    /// average rate RFC 4443 §2.4(f) leaves to the node.
    pub reply_rate: u32,
    /// Frames of an interface's pool that datagram queues leave to acknowledgments, ARP and replies.
    pub reserve_rx: usize,
    /// Whether addresses belong to the host or to interfaces. The weak model, as most hosts have it.
    #[cfg(feature = "strong-host")]
    pub host_model: HostModel,
    /// Whether echo requests to broadcast addresses are answered (RFC 1122 §3.2.2.6 allows either).
    pub echo_broadcast: bool,
    /// Probes for an IPv6 address before it is ours (RFC 4862 §5.1, DupAddrDetectTransmits). 1; 0 leaves out the trial,
    /// for links where addresses cannot collide.
    #[cfg(feature = "ipv6")]
    pub dad_transmits: u8,
    /// Whether addresses that are formed from a router's prefix are used during their trial (RFC 4429): off. Whoever sends
    /// from one tells nobody its link-layer address until the trial is over, and goes by the router meanwhile.
    #[cfg(feature = "optimistic-dad")]
    pub optimistic_dad: bool,
    /// TCP connections that their users have closed and that still deliver, at most. One more is reset as it is closed, and
    /// counted (`Stats::tcp_orphans_reset`). 4,096; each of them ends by itself after `TcpOptions::linger` at the latest.
    #[cfg(feature = "tcp")]
    pub orphans: usize,
    /// Octets that text beyond holes may take of receive buffers that grow, in all connections together. When there is more,
    /// connections whose peers are silent lose theirs first, then the one that has just got some (RFC 2018 §8 allows that),
    /// each counted (`Stats::tcp_reneged`); the peer sends it again. 32 MiB. Buffers of fixed storage are their
    /// connection's own, and not counted.
    #[cfg(feature = "tuning")]
    pub out_of_order: usize,
    /// How long a connection stays in TIME-WAIT: 2 MSL. 60 s, half of RFC 9293's 2 x 2 minutes as most hosts have it.
    pub time_wait: Duration,
}

impl Config<'_> {
    /// The defaults, with this secret.
    pub const fn new(secret: Secret) -> Self {
        Self {
            secret,
            ttl: 64,
            large_pool: None,
            reply_rate: 100,
            reserve_rx: 4,
            #[cfg(feature = "strong-host")]
            host_model: HostModel::Weak,
            echo_broadcast: false,
            #[cfg(feature = "ipv6")]
            dad_transmits: 1,
            #[cfg(feature = "optimistic-dad")]
            optimistic_dad: false,
            #[cfg(feature = "tcp")]
            orphans: 4_096,
            #[cfg(feature = "tuning")]
            out_of_order: 32 << 20,
            time_wait: Duration::from_secs(60),
        }
    }
}
