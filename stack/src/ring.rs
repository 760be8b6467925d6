//! Byte rings: a socket's send and receive buffer.
