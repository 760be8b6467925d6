//! Bridges between the device trait of [`ringtap`] and those of other stacks, both ways.
//!
//! | | ringtap over their device | a device of ours for their stack |
//! |---|---|---|
//! | `smoltcp::phy::Device` (feature `smoltcp`) | [`smoltcp::OverSmoltcp`] | [`smoltcp::AsSmoltcp`] |
//! | `embassy_net_driver::Driver` (feature `embassy-net-driver`) | [`embassy::OverEmbassy`] | [`embassy::AsEmbassy`] |
//! | `xarxa_driver::Driver` (feature `xarxa-driver`) | [`xarxa::OverXarxa`] | [`xarxa::AsXarxa`] |
//!
//! Each packet is copied once: buffers of one stack are not memory of the other's pool. Nothing is lost on the way but what
//! finds no frame in an empty pool, or is too long for one, which is counted as [`Lost`].
//!
//! Checksums: where the other side says of a device that it verifies those of IPv4, UDP, TCP and ICMP on receive, ringtap
//! does not verify them again; those of TCP and UDP that it computes on transmit are left to it. Where a device of ours computes
//! TCP's, the other stack is told to leave it out. Not UDP's, for the other stack may cut a datagram up, and no device would
//! see the whole. In all other cases each stack verifies, and computes, by itself; what a device of ours leaves to be summed up
//! ([`RxChecksum::Partial`](ringtap::device::RxChecksum)) is summed up on the way.
#![no_std]
#![deny(unsafe_code)]
#![warn(missing_docs)]
// Without all three there is nobody to share anything.
#![cfg_attr(not(any(feature = "smoltcp", feature = "embassy-net-driver", feature = "xarxa-driver")), allow(dead_code))]

#[cfg(feature = "embassy-net-driver")]
pub mod embassy;
mod intake;
mod port;
#[cfg(feature = "smoltcp")]
pub mod smoltcp;
#[cfg(feature = "xarxa-driver")]
pub mod xarxa;

pub use intake::Lost;

/// Octets of an Ethernet header.
const ETHERNET_HEADER: usize = 14;
