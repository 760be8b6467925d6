//! Sockets: their tables, how packets find them, and when they get their turn.

pub(crate) mod demux;
pub(crate) mod ports;
pub(crate) mod ready;
pub(crate) mod table;
