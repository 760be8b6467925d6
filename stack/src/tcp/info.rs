//! What a connection tells of itself, and what is told to it from outside TCP.

use super::state::State;
use crate::time::Duration;

/// A fault that may pass: the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SoftError {
    /// The same text was sent several times without an answer: R1 of RFC 9293 §3.8.3.
    NoProgress,
    /// A router or the host said that the peer cannot be reached at the moment.
    Unreachable,
}

/// An ICMP error that quotes a segment of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum IcmpError {
    /// Network or host unreachable, or administratively prohibited.
    Unreachable,
    /// Protocol unreachable.
    ProtocolUnreachable,
    /// Port unreachable.
    PortUnreachable,
    /// Time exceeded.
    TimeExceeded,
    /// Parameter problem.
    ParameterProblem,
}

/// A connection's numbers, for display and diagnosis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct TcpInfo {
    /// The state.
    pub state: State,
    /// Smoothed round-trip time; `None` before the first measurement.
    pub srtt: Option<Duration>,
    /// Round-trip time variation.
    pub rttvar: Duration,
    /// Retransmission time-out in force, back-off included.
    pub rto: Duration,
    /// Congestion window in octets.
    pub cwnd: u32,
    /// Slow start threshold in octets.
    pub ssthresh: u32,
    /// Octets in flight.
    pub flight: u32,
    /// Octets accepted from the user and not acknowledged yet.
    pub unacked: usize,
    /// Octets that can be read.
    pub unread: usize,
    /// The peer's window in octets.
    pub snd_wnd: u32,
    /// The window told to the peer, in octets.
    pub rcv_wnd: u32,
    /// Octets of memory that both buffers hold at the moment.
    pub memory: usize,
    /// Octets of text in a full segment.
    pub mss: u16,
    /// The peer's window scale, and ours.
    pub window_scale: (u8, u8),
    /// Whether segments carry timestamps.
    pub timestamps: bool,
    /// Octets in flight that the peer says it holds beyond a hole (RFC 2018).
    pub sacked: u32,
    /// Octets in flight that are taken for lost and not sent again yet.
    pub lost: u32,
    /// Octets that the peer holds since the connection began, `sacked` among them; wraps around.
    pub delivered: u32,
    /// Octets per second that a window per round trip comes to; 0 before the first measurement.
    pub pacing: u64,
    /// Segments sent again since the connection began, whatever the cause.
    pub retransmits: u32,
    /// What told of losses, and how often.
    pub repairs: Repairs,
    /// Explicit Congestion Notification.
    pub ecn: EcnInfo,
}

/// Explicit Congestion Notification (RFC 3168) on a connection. Counters stop at their end; without the feature `ecn` there is
/// nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct EcnInfo {
    /// Whether text leaves marked as ECN-capable: both ends agreed.
    pub is_on: bool,
    /// Segments that came marked by a router.
    pub marks: u16,
    /// How often the peer's echo of a mark reduced the congestion window.
    pub reductions: u16,
}

/// Something that a connection counts in its [`Repairs`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Repair {
    Timeout,
    Recovery,
    #[cfg(feature = "rack")]
    Probe,
    #[cfg(feature = "rack")]
    Undone,
    OutOfOrder,
}

/// How often a connection began to repair losses, by what told of them. Counters stop at their end; without the feature
/// `sack`, which keeps them, they are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Repairs {
    /// The retransmission timer (RFC 6298).
    pub timeouts: u16,
    /// Duplicate or selective acknowledgments, or the time between them (RFC 5681, 6675, 8985).
    pub recoveries: u16,
    /// Tail loss probes (RFC 8985 §7): repairs that may not be needed.
    pub probes: u16,
    /// Of time-outs and recoveries, those that were found to be needless and taken back (RFC 5682, 4015).
    pub undone: u16,
    /// Segments of the peer's that came beyond a hole.
    pub out_of_order: u16,
}
