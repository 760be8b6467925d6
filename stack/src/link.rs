//! The link layer: Ethernet, and who has which address.

#[cfg(feature = "acd")]
pub(crate) mod acd;
pub(crate) mod arp;
pub(crate) mod ethernet;
#[cfg(feature = "ipv6")]
pub(crate) mod ndp;
pub mod neighbor;
