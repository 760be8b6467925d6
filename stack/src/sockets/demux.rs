//! Sockets: demux.
