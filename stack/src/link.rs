//! The link layer: Ethernet, and who has which address.

pub(crate) mod arp;
pub(crate) mod ethernet;
pub mod neighbor;
