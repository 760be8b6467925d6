//! Wire formats: the only place that names smoltcp.
//!
//! Parsing checks every length before it reads and answers with a `DropReason`; emitting fills a buffer of known size.

#[cfg(feature = "router-advertisements")]
pub(crate) mod advert;
pub(crate) mod arp;
pub(crate) mod checksum;
pub(crate) mod ethernet;
#[cfg(feature = "ipv6")]
pub(crate) mod extension;
pub(crate) mod icmp;
#[cfg(feature = "multicast")]
pub(crate) mod igmp;
pub(crate) mod ip;
pub(crate) mod ipv4;
#[cfg(feature = "ipv6")]
pub(crate) mod ipv6;
#[cfg(feature = "multicast")]
pub(crate) mod membership;
#[cfg(all(feature = "multicast", feature = "ipv6"))]
pub(crate) mod mld;
#[cfg(feature = "ipv6")]
pub(crate) mod ndp;
#[cfg(all(feature = "forward", feature = "ipv6"))]
pub(crate) mod redirect;
pub(crate) mod segment;
pub(crate) mod udp;
