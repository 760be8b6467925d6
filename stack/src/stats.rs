//! What was counted: every packet that came, went or was dropped, and why.
//!
//! Every early return on input names a [`DropReason`]; each is counted here and can be read by the user.

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// Why a received packet was not processed (further).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum DropReason { $($(#[$doc])* $name),* }

        impl DropReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// A short name: lower case, words joined by hyphens.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

drop_reasons! {
    /// Shorter than its link header.
    FrameTooShort = "frame-too-short",
    /// An Ethernet frame for another station.
    NotOurMac = "not-our-mac",
    /// An Ethernet frame from a group or zero address, or from our own.
    BadSourceMac = "bad-source-mac",
    /// An EtherType (or IP version, on a tun) nobody here speaks.
    UnknownEtherType = "unknown-ethertype",
    /// An ARP packet with lengths or fields that cannot be.
    ArpMalformed = "arp-malformed",
    /// An ARP packet that is not about us.
    ArpNotForUs = "arp-not-for-us",
    /// Somebody else uses our address (RFC 5227).
    ArpConflict = "arp-conflict",
    /// An ARP reply nobody asked for.
    ArpUnsolicited = "arp-unsolicited",
    /// An IPv4 header with an impossible version or length.
    Ipv4Malformed = "ipv4-malformed",
    /// A wrong IPv4 header checksum.
    Ipv4Checksum = "ipv4-checksum",
    /// Malformed IPv4 options.
    Ipv4Options = "ipv4-options",
    /// A source route (RFC 7126 §4.3, §4.4).
    Ipv4SourceRoute = "ipv4-source-route",
    /// An IPv6 header with an impossible version or length.
    Ipv6Malformed = "ipv6-malformed",
    /// An IPv6 extension header that cannot be, or more of them or of their options than anybody needs (RFC 8504 §5.3).
    Ipv6Extension = "ipv6-extension",
    /// An IPv6 option whose type asks for the packet to be discarded (RFC 8200 §4.2).
    Ipv6Option = "ipv6-option",
    /// An IPv6 routing header with segments left (RFC 5095).
    Ipv6Routing = "ipv6-routing",
    /// A neighbour discovery message that RFC 4861 has discarded: hop limit, code, addresses, options, fragments.
    NdpMalformed = "ndp-malformed",
    /// A neighbour discovery message that is not about us, or about nobody we know.
    NdpNotForUs = "ndp-not-for-us",
    /// Somebody else has, or wants, an IPv6 address of ours (RFC 4862 §5.4).
    DuplicateAddress = "duplicate-address",
    /// A probe of ours for an address on trial, come back by a loop (RFC 7527 §4.3).
    NdpLoopedBack = "ndp-looped-back",
    /// A redirect that is not from the router on the way, or not believed (RFC 4861 §8.1).
    NdpRedirect = "ndp-redirect",
    /// A router advertisement on an interface that configures nothing by them.
    NdpNotConfigured = "ndp-not-configured",
    /// What a router advertised and found no place in the tables.
    NdpTableFull = "ndp-table-full",
    /// A source address no host can have (RFC 1122 §3.2.1.3).
    MartianSource = "martian-source",
    /// A destination address that must not appear here, such as loopback on a wire.
    MartianDestination = "martian-destination",
    /// A packet for another host, and we do not forward.
    NotOurAddress = "not-our-address",
    /// For an address of another interface of ours (RFC 1122 §3.3.4.2, the strong host model).
    WrongInterface = "wrong-interface",
    /// A packet for another host that no router passes on: from or to an address of its link, or back to a link without
    /// stations.
    NotForwarded = "not-forwarded",
    /// A packet for another host from a source that lies elsewhere (RFC 3704).
    ReversePath = "reverse-path",
    /// A packet for another host whose hops ran out.
    HopsExceeded = "hops-exceeded",
    /// A packet that a hook or a socket's filter does not want.
    Filtered = "filtered",
    /// A packet for another host that found no room to wait in.
    TransitFull = "transit-full",
    /// Unicast IP in a link-layer broadcast or multicast (RFC 1122 §3.3.6).
    LinkBroadcast = "link-broadcast",
    /// A protocol number nobody here speaks.
    UnknownProtocol = "unknown-protocol",
    /// A fragment of impossible length or position.
    FragmentMalformed = "fragment-malformed",
    /// A fragment overlapping others: the whole datagram is dropped.
    FragmentOverlap = "fragment-overlap",
    /// A fragment that found no room (all slots or frames in use).
    FragmentNoRoom = "fragment-no-room",
    /// A datagram larger than the reassembly frame.
    FragmentTooLarge = "fragment-too-large",
    /// An incomplete datagram evicted for a newer one.
    FragmentEvicted = "fragment-evicted",
    /// An incomplete datagram whose time ran out.
    FragmentTimeout = "fragment-timeout",
    /// A second copy of a fragment.
    FragmentDuplicate = "fragment-duplicate",
    /// Fragments, or a packet that would have to leave in some, with reassembly left out of the build.
    FragmentUnsupported = "fragment-unsupported",
    /// A truncated ICMP message.
    IcmpMalformed = "icmp-malformed",
    /// A wrong ICMP checksum.
    IcmpChecksum = "icmp-checksum",
    /// An ICMP type that is not processed.
    IcmpUnknown = "icmp-unknown",
    /// An ICMP error quoting a packet that we did not send.
    IcmpBadQuote = "icmp-bad-quote",
    /// An ICMP error for which there is no socket.
    IcmpNoSocket = "icmp-no-socket",
    /// An echo request to a broadcast or multicast address.
    IcmpEchoGroup = "icmp-echo-group",
    /// An ICMP error quoting sequence numbers not in flight (RFC 5927).
    IcmpBadSequence = "icmp-bad-sequence",
    /// A redirect that the router in use has not sent, or to one that cannot be.
    IcmpBadRedirect = "icmp-bad-redirect",
    /// A source quench (RFC 6633).
    IcmpSourceQuench = "icmp-source-quench",
    /// An IGMP message that is truncated, damaged or about no group.
    IgmpMalformed = "igmp-malformed",
    /// An MLD message that is truncated, about no group, from off the link, or without the Router Alert option.
    MldMalformed = "mld-malformed",
    /// A truncated UDP header or a lying length.
    UdpMalformed = "udp-malformed",
    /// A wrong UDP checksum.
    UdpChecksum = "udp-checksum",
    /// No socket on this UDP port.
    UdpNoSocket = "udp-no-socket",
    /// It would have left by an interface whose link is down.
    LinkDown = "link-down",
    /// The socket's receive queue is full.
    SocketQueueFull = "socket-queue-full",
    /// The pool is too empty to queue a datagram.
    PoolLow = "pool-low",
    /// A truncated TCP header, or one whose data offset lies.
    TcpMalformed = "tcp-malformed",
    /// A wrong TCP checksum.
    TcpChecksum = "tcp-checksum",
    /// No connection and no listener: answered by a reset, within the rate.
    TcpNoSocket = "tcp-no-socket",
    /// A segment to a broadcast or multicast address, or from an impossible one.
    TcpBadAddress = "tcp-bad-address",
    /// A reset outside the window, or for nobody.
    TcpBadReset = "tcp-bad-reset",
    /// A segment outside the receive window.
    TcpOutOfWindow = "tcp-out-of-window",
    /// An acknowledgment of what was not sent, or too old (RFC 5961 §5).
    TcpBadAck = "tcp-bad-ack",
    /// A SYN in a synchronized state (RFC 5961 §4).
    TcpUnexpectedSyn = "tcp-unexpected-syn",
    /// An old timestamp (RFC 7323 §5, PAWS).
    TcpPaws = "tcp-paws",
    /// A segment without ACK where there must be one.
    TcpNoAck = "tcp-no-ack",
    /// Text that no longer has a reader (after close).
    TcpAfterClose = "tcp-after-close",
    /// Out-of-order text that found no room.
    TcpNoRoom = "tcp-no-room",
    /// A SYN that found the SYN queue full.
    TcpSynQueueFull = "tcp-syn-queue-full",
    /// A handshake that found the accept queue, or the connection table, full.
    TcpAcceptQueueFull = "tcp-accept-queue-full",
    /// A connection in TIME-WAIT evicted from a full table.
    TimeWaitEvicted = "time-wait-evicted",
    /// A packet parked for a neighbour that did not answer.
    NeighborFailed = "neighbor-failed",
    /// A packet parked for a neighbour, pushed out by newer ones.
    NeighborQueueFull = "neighbor-queue-full",
    /// The neighbour table is full of entries in use.
    NeighborTableFull = "neighbor-table-full",
    /// A reply that found the egress queue or the pool full.
    EgressFull = "egress-full",
    /// A reply withheld by a rate limit.
    RateLimited = "rate-limited",
    /// A packet queued to leave, with no route (any more).
    NoRoute = "no-route",
    /// A packet that is too long for its way and must not be cut up.
    TooLong = "too-long",
    /// A packet with a source address that was taken away before it left.
    SourceGone = "source-gone",
}

const REASONS: usize = DropReason::ALL.len();

/// Counters of one stack. They wrap after 2^32 events on 32-bit targets, 2^64 elsewhere.
#[derive(Clone, Debug)]
pub struct Stats {
    drops: [usize; REASONS],
    /// All of them: told for each poll, which adds nothing up.
    pub(crate) all_drops: usize,
    /// Frames received from devices.
    pub rx_frames: usize,
    /// Octets received from devices.
    pub rx_octets: usize,
    /// Frames given to devices.
    pub tx_frames: usize,
    /// Octets given to devices.
    pub tx_octets: usize,
    /// Frames that a device refused for want of room, each to be offered again.
    pub tx_refused: usize,
    /// Frames copied because they had to leave through another pool's device.
    pub copies: usize,
    /// Times that a pool had no frame for egress; nothing is lost by it.
    pub pool_empty: usize,
    /// TCP segments received for a connection.
    pub tcp_segments_in: usize,
    /// TCP segments sent.
    pub tcp_segments_out: usize,
    /// TCP segments sent again.
    pub tcp_retransmits: usize,
    /// Resets sent.
    pub tcp_resets_out: usize,
    /// Challenge ACKs sent (RFC 5961).
    pub tcp_challenge_acks: usize,
    /// SYN|ACKs with a cookie for SYNs that found the SYN queue full (RFC 4987 §3.6).
    pub tcp_cookies_out: usize,
    /// Connections reset as they were closed, because of too many that still delivered (`Config::orphans`).
    pub tcp_orphans_reset: usize,
    /// Times that a connection's text beyond a hole was thrown away, because of too much of it in all
    /// (`Config::out_of_order`).
    pub tcp_reneged: usize,
    /// Connections established, both ways.
    pub tcp_established: usize,
    /// UDP datagrams delivered to sockets.
    pub udp_in: usize,
    /// UDP datagrams sent.
    pub udp_out: usize,
    /// ICMP messages received.
    pub icmp_in: usize,
    /// ICMP messages sent.
    pub icmp_out: usize,
    /// Packets for others that were taken to be passed on.
    pub forwarded: usize,
    /// Datagrams reassembled.
    pub reassembled: usize,
    /// Fragments sent.
    pub fragments_out: usize,
}

impl Default for Stats {
    fn default() -> Self {
        Self::new()
    }
}

impl Stats {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            drops: [0; REASONS],
            all_drops: 0,
            rx_frames: 0,
            rx_octets: 0,
            tx_frames: 0,
            tx_octets: 0,
            tx_refused: 0,
            copies: 0,
            pool_empty: 0,
            tcp_segments_in: 0,
            tcp_segments_out: 0,
            tcp_retransmits: 0,
            tcp_resets_out: 0,
            tcp_challenge_acks: 0,
            tcp_cookies_out: 0,
            tcp_orphans_reset: 0,
            tcp_reneged: 0,
            tcp_established: 0,
            udp_in: 0,
            udp_out: 0,
            icmp_in: 0,
            icmp_out: 0,
            forwarded: 0,
            reassembled: 0,
            fragments_out: 0,
        }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn drop(&mut self, reason: DropReason) {
        self.all_drops = self.all_drops.wrapping_add(1);
        if let Some(n) = self.drops.get_mut(reason as usize) {
            *n = n.wrapping_add(1);
        }
    }

    /// Packets dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> usize {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }

    /// Packets dropped for any reason.
    pub fn dropped_total(&self) -> usize {
        self.all_drops
    }

    /// The reasons that were met, with their counts.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, usize)> + '_ {
        DropReason::ALL.iter().map(|&r| (r, self.dropped(r))).filter(|&(_, n)| n > 0)
    }
}
