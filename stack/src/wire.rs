//! Wire formats: the only place that names smoltcp.
//!
//! Parsing checks every length before it reads and answers with a `DropReason`; emitting fills a buffer of known size.

pub(crate) mod arp;
pub(crate) mod checksum;
pub(crate) mod ethernet;
pub(crate) mod icmp;
#[cfg(feature = "multicast")]
pub(crate) mod igmp;
pub(crate) mod ipv4;
pub(crate) mod segment;
pub(crate) mod udp;
