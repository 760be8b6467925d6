//! Names of the link: a multicast DNS responder and querier, with DNS-SD of one service.
//!
//! Implements RFC 6762 (probing and announcing §8, conflicts §9, answers and their timing §6, questions §5, duplicates
//! §7, what cannot be ours §11 and §18) and RFC 6763 §4 to §9 for one instance of a service. [`Mdns`] is what a program
//! uses; the protocol without I/O is in `responder.rs` and `querier.rs`.

mod identity;
mod message;
mod querier;
mod responder;
mod shell;

pub use shell::{Label, Mdns, MdnsEvent, MdnsOptions, Service};
