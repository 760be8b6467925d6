//! Sockets: ready.
