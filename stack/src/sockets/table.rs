//! Sockets: table.
