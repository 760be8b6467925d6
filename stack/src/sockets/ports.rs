//! Sockets: ports.
