//! The link layer: Ethernet, and who has which address.

pub(crate) mod arp;
pub(crate) mod ethernet;
#[cfg(feature = "ipv6")]
pub(crate) mod ndp;
pub mod neighbor;
