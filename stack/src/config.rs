//! What is fixed when a stack is made.

use crate::frame::Pool;
use crate::rng::Secret;
use crate::time::Duration;

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
    /// Whether echo requests to broadcast addresses are answered (RFC 1122 §3.2.2.6 allows either).
    pub echo_broadcast: bool,
    /// Probes for an IPv6 address before it is ours (RFC 4862 §5.1, DupAddrDetectTransmits). 1; 0 leaves out the trial,
    /// for links where addresses cannot collide.
    #[cfg(feature = "ipv6")]
    pub dad_transmits: u8,
    /// TCP connections that their users have closed and that still deliver, at most. One more is reset as it is closed, and
    /// counted (`Stats::tcp_orphans_reset`). 4,096; each of them ends by itself after `TcpOptions::linger` at the latest.
    #[cfg(feature = "tcp")]
    pub orphans: usize,
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
            echo_broadcast: false,
            #[cfg(feature = "ipv6")]
            dad_transmits: 1,
            #[cfg(feature = "tcp")]
            orphans: 4_096,
            time_wait: Duration::from_secs(60),
        }
    }
}
