//! Names of the link: a multicast DNS responder and querier, with DNS-SD of one service.
//!
//! Implements RFC 6762 (probing and announcing §8, conflicts §9, answers and their timing §6, questions §5, duplicates
//! §7, what cannot be ours §11 and §18) and RFC 6763 §4 to §9 for one instance of a service. [`Mdns`] is what a program
//! uses; the protocol without I/O is in `responder.rs` and `querier.rs`. With the feature `dns-sd`, [`Browser`] finds the
//! services of others (`browser.rs`).

#[cfg(feature = "dns-sd")]
mod browse;
#[cfg(feature = "dns-sd")]
mod browser;
mod identity;
mod message;
mod querier;
mod responder;
mod shell;

#[cfg(feature = "dns-sd")]
pub use browse::{Browser, FoundService, HostName};
#[cfg(feature = "dns-sd")]
pub use browser::MAX_SERVICES;
pub use shell::{Label, Mdns, MdnsEvent, MdnsOptions, Service};
