//! The connection's state diagram, and nothing but the diagram.
//!
//! Implements RFC 9293 §3.3.2, figure 5. LISTEN belongs to the listener; TIME-WAIT is left to a table of its own once
//! the last acknowledgment is sent. A state names what the wire has seen: a queued FIN changes it when the FIN leaves.
//!
//! ```text
//!  SYN-SENT ──recv SYN──▶ SYN-RECEIVED          ESTABLISHED ──recv FIN──▶ CLOSE-WAIT ──send FIN──▶ LAST-ACK
//!      │ recv SYN,ACK          │ SYN acked           │ send FIN                                       │ FIN acked
//!      └────────▶ ESTABLISHED ◀┘                 FIN-WAIT-1 ──recv FIN──▶ CLOSING ──FIN acked──▶ ┐     ▼
//!                                                    │ FIN acked                            TIME-WAIT ▶ CLOSED
//!                                                FIN-WAIT-2 ──recv FIN─────────────────────▶ ┘
//! ```

/// The state of a connection (RFC 9293 §3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// A SYN was sent, or waits to be.
    SynSent,
    /// A SYN was received, ours is not acknowledged yet.
    SynReceived,
    /// Both directions are open.
    Established,
    /// Our FIN was sent, and is not acknowledged yet.
    FinWait1,
    /// Our FIN was acknowledged; the peer may still send.
    FinWait2,
    /// The peer's FIN was received; we may still send.
    CloseWait,
    /// Both FINs were sent; ours is not acknowledged yet.
    Closing,
    /// Ours was the second FIN, and is not acknowledged yet.
    LastAck,
    /// Both FINs were acknowledged; the four-tuple rests.
    TimeWait,
    /// The connection is over.
    Closed,
}

/// What moves a connection from one state to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A SYN that does not acknowledge ours (simultaneous open).
    RecvSyn,
    /// A SYN that acknowledges ours.
    RecvSynAck,
    /// Our SYN was acknowledged.
    SynAcked,
    /// Our FIN left.
    SendFin,
    /// The peer's FIN is next in order.
    RecvFin,
    /// Our FIN was acknowledged.
    FinAcked,
    /// Reset, abort, time-out, or the end of 2 MSL.
    End,
}

impl State {
    /// Where `event` leads; `None` where the diagram has no such arrow.
    pub(crate) const fn on(self, event: Event) -> Option<Self> {
        use Event as E;
        use State::*;
        Some(match (self, event) {
            (SynSent, E::RecvSyn) => SynReceived,
            (SynSent, E::RecvSynAck) => Established,
            (SynReceived, E::SynAcked) => Established,
            (Established, E::SendFin) => FinWait1,
            (Established, E::RecvFin) => CloseWait,
            (FinWait1, E::RecvFin) => Closing,
            (FinWait1, E::FinAcked) => FinWait2,
            (FinWait2, E::RecvFin) => TimeWait,
            (CloseWait, E::SendFin) => LastAck,
            (Closing, E::FinAcked) => TimeWait,
            (LastAck, E::FinAcked) => Closed,
            (Closed, E::End) => return None,
            (_, E::End) => Closed,
            _ => return None,
        })
    }

    /// Whether both initial sequence numbers are known to both ends: a "synchronized" state of the RFC.
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, Self::SynSent | Self::SynReceived | Self::Closed)
    }

    /// Whether new text from the peer is taken.
    pub(crate) const fn may_receive(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }

    /// Whether new text, or the first FIN, may leave.
    pub(crate) const fn may_send(self) -> bool {
        matches!(self, Self::Established | Self::CloseWait)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;
    use std::{format, vec::Vec};

    const STATES: [State; 10] = [
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
        State::Closed,
    ];
    const EVENTS: [Event; 7] = [
        Event::RecvSyn,
        Event::RecvSynAck,
        Event::SynAcked,
        Event::SendFin,
        Event::RecvFin,
        Event::FinAcked,
        Event::End,
    ];

    #[test]
    fn the_whole_matrix_is_the_diagram_of_rfc_9293() {
        let matrix: Vec<String> = STATES
            .iter()
            .map(|s| {
                let row: Vec<String> =
                    EVENTS.iter().map(|&e| s.on(e).map_or(String::from("-"), |t| format!("{t:?}"))).collect();
                format!("{s:?}: {}", row.join(" "))
            })
            .collect();
        assert_eq!(
            matrix,
            [
                "SynSent: SynReceived Established - - - - Closed",
                "SynReceived: - - Established - - - Closed",
                "Established: - - - FinWait1 CloseWait - Closed",
                "FinWait1: - - - - Closing FinWait2 Closed",
                "FinWait2: - - - - TimeWait - Closed",
                "CloseWait: - - - LastAck - - Closed",
                "Closing: - - - - - TimeWait Closed",
                "LastAck: - - - - - Closed Closed",
                "TimeWait: - - - - - - Closed",
                "Closed: - - - - - - -",
            ]
        );
    }
}
