//! TCP: RFC 9293.
//!
//! Three types for three lives: a listener answers SYNs (feature `syn-queue`), a `Conn` is a connection, a table holds
//! TIME-WAIT (feature `time-wait`). Without these features, a connection lives all three.
//! A connection does no input or output of its own:
//!
//! ```text
//!  segment ─▶ handle_segment ┐                    ┌─▶ plan ─▶ header, copy_text ─▶ commit
//!  time    ─▶ on_deadline    ├─▶ numbers, flags ──┤
//!  user    ─▶ read, write …  ┘                    └─▶ Verdict (events, drop reason, end of life), deadline
//! ```

pub(crate) mod ack;
pub(crate) mod cc;
pub(crate) mod conn;
#[cfg(feature = "ecn")]
pub(crate) mod ecn;
#[cfg(not(feature = "ecn"))]
#[path = "tcp/no_ecn.rs"]
pub(crate) mod ecn;
pub(crate) mod fixed;
pub(crate) mod info;
pub(crate) mod input;
pub(crate) mod isn;
pub(crate) mod layer;
#[cfg(feature = "syn-queue")]
pub(crate) mod listen;
#[cfg(not(feature = "syn-queue"))]
#[path = "tcp/no_syn_queue.rs"]
pub(crate) mod listen;
pub(crate) mod open;
pub(crate) mod options;
pub(crate) mod output;
#[cfg(feature = "rack")]
pub(crate) mod rack;
#[cfg(not(feature = "rack"))]
#[path = "tcp/no_rack.rs"]
pub(crate) mod rack;
#[cfg(any(feature = "sack", feature = "cubic"))]
mod ratio;
pub(crate) mod rcv;
pub(crate) mod rtt;
#[cfg(feature = "sack")]
pub(crate) mod sack;
#[cfg(not(feature = "sack"))]
#[path = "tcp/no_sack.rs"]
pub(crate) mod sack;
#[cfg(any(feature = "sack", feature = "cubic"))]
pub(crate) mod sent;
#[cfg(not(any(feature = "sack", feature = "cubic")))]
#[path = "tcp/one_sent.rs"]
pub(crate) mod sent;
pub(crate) mod snd;
pub(crate) mod state;
pub(crate) mod timers;
#[cfg(feature = "time-wait")]
pub(crate) mod timewait;
#[cfg(not(feature = "time-wait"))]
#[path = "tcp/no_timewait.rs"]
mod timewait;
#[cfg(feature = "tuning")]
pub(crate) mod tuning;
#[cfg(not(feature = "tuning"))]
#[path = "tcp/no_tuning.rs"]
pub(crate) mod tuning;
#[cfg(feature = "rack")]
pub(crate) mod undo;
#[cfg(feature = "urgent")]
pub(crate) mod urgent;
#[cfg(not(feature = "urgent"))]
#[path = "tcp/no_urgent.rs"]
pub(crate) mod urgent;
pub(crate) mod user;

pub use info::{EcnInfo, Repairs, SoftError, TcpInfo};
pub use layer::{ConnectOptions, ListenOptions, ListenerHandle, TcpHandle};
pub use options::{Congestion, KeepAlive, Progress, TcpOptions};
pub use sent::Sent;
pub use state::State;

#[cfg(test)]
mod tests;
