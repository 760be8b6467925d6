//! TCP: RFC 9293.

pub(crate) mod conn;
pub(crate) mod listen;
pub(crate) mod options;
pub(crate) mod state;
pub(crate) mod timewait;
