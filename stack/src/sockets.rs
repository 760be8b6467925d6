//! Sockets: their tables, how packets find them, and when they get their turn.

pub(crate) mod arena;
pub(crate) mod binding;
pub(crate) mod demux;
#[cfg(feature = "raw-ethernet")]
pub(crate) mod ethernet;
#[cfg(any(feature = "tcp", feature = "udp"))]
pub(crate) mod ports;
pub(crate) mod queue;
#[cfg(feature = "raw")]
pub(crate) mod raw;
pub(crate) mod table;
#[cfg(feature = "udp")]
pub(crate) mod udp;

#[cfg(feature = "raw-ethernet")]
pub use ethernet::{EthernetHandle, EthernetOptions};
#[cfg(feature = "raw")]
pub use raw::RawHandle;
#[cfg(feature = "udp")]
pub use udp::{Received, UdpHandle, UdpOptions};
