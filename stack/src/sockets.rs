//! Sockets: their tables, how packets find them, and when they get their turn.

pub(crate) mod arena;
pub(crate) mod binding;
pub(crate) mod demux;
pub(crate) mod ports;
pub(crate) mod queue;
pub(crate) mod raw;
pub(crate) mod table;
pub(crate) mod udp;

pub use raw::RawHandle;
pub use udp::{Received, UdpHandle, UdpOptions};
