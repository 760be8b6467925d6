//! Listening: handshakes before there is a connection, and the queue of those to be accepted.

use crate::seq::Seq;
use crate::time::Instant;

/// What a finished handshake hands to the connection that begins with it.
///
/// The segment that finished it (with its text) is then given to the connection as its first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handshake {
    /// Our initial sequence number; the SYN|ACK carried it, and the peer has acknowledged `iss + 1`.
    pub iss: Seq,
    /// The peer's initial sequence number.
    pub irs: Seq,
    /// The MSS option of the SYN, as received.
    pub peer_mss: Option<u16>,
    /// The window scale of the SYN, at most 14; `None`: no scaling either way.
    pub peer_scale: Option<u8>,
    /// The window scale that our SYN|ACK offered; `None` exactly when `peer_scale` is.
    pub our_scale: Option<u8>,
    /// Set when both sides use timestamps.
    pub timestamps: Option<HandshakeTimestamps>,
    /// Both sides take SACK.
    pub sack_permitted: bool,
    /// The window of the SYN: never scaled (RFC 7323 §2.2).
    pub snd_wnd: u16,
    /// The window that our SYN|ACK announced: never scaled.
    pub rcv_wnd: u16,
    /// When the latest SYN|ACK left.
    pub sent_at: Instant,
    /// More than one SYN|ACK was sent: no RTT can be taken from it (RFC 6298 §3), and the initial window is smaller.
    pub retransmitted: bool,
}

/// The state of the timestamps option at the end of a handshake (RFC 7323).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandshakeTimestamps {
    /// TS.Recent: the TSval of the SYN.
    pub recent: u32,
    /// What our TSval adds to the clock of [`ts_clock`].
    pub offset: u32,
}

/// The clock behind our TSval: ticks of 1024 µs (RFC 7323 §5.4 wants 1 ms to 1 s), taken by a shift and no division.
/// TSval is this plus the connection's offset.
pub(crate) const fn ts_clock(now: Instant) -> u32 {
    (now.as_micros() >> 10) as u32
}
