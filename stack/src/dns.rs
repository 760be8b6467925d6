//! Names to addresses: a stub resolver that asks recursive servers.
//!
//! Implements the client's side of RFC 1034 §5.3.1 and RFC 1035, with RFC 2181 (§8: TTLs, §9: truncation), RFC 2308
//! (negative answers), RFC 4343 (letter case), RFC 5452 (random identifiers and ports), RFC 7766 (TCP) and RFC 9267's care
//! for what can be wrong in a response. [`Resolver`] is what a program uses; [`sort`] says which address to try first
//! (RFC 6724), and `Dial` connects to a name (RFC 8305).

pub(crate) mod cache;
#[cfg(feature = "tcp")]
mod dial;
pub(crate) mod message;
pub(crate) mod name;
mod order;
#[cfg(feature = "tcp")]
mod race;
mod resolver;

#[cfg(feature = "tcp")]
pub use dial::Dial;
pub use message::{Addresses, RecordKind};
pub use order::sort;
#[cfg(feature = "tcp")]
pub use race::{DialError, Race};
pub use resolver::{QueryId, Resolver};
