//! MAC drivers on DMA descriptor rings, for the [`ringtap`] stack.
//!
//! What every ring has in common is in [`ring`], free of registers: who owns which descriptor and which frame. A MAC
//! brings the layout of its descriptors ([`ring::RxDescriptor`], [`ring::TxDescriptor`]) and its register block. What
//! the processor's caches ask for is in [`coherency`].
//!
//! ```text
//!              receive ◀─ full frame ── RxRing ── fresh frame ─▶ descriptor ─▶ DMA
//!   stack                                  pool ◀─ reclaim ─┐
//!              transmit ─ full frame ─▶ TxRing ─────────────┴──▶ descriptor ─▶ DMA
//! ```
#![no_std]
#![warn(missing_docs)]

pub mod coherency;
pub mod dwmac3;
pub mod dwmac4;
pub mod enet;
pub mod engine;
mod fifo;
pub mod gem;
pub mod hash;
pub mod interrupt;
pub mod lan9118;
pub mod mpu;
pub mod msf2;
pub mod nic;
pub mod phy;
pub mod regs;
pub mod ring;
pub mod stellaris;
#[cfg(test)]
mod testing;
pub mod virtio;
pub mod word;

/// Octets of an Ethernet header.
pub(crate) const ETHERNET_HEADER: usize = 14;

/// The smallest MTU that a host must take.
//= https://www.rfc-editor.org/rfc/rfc791#section-3.2
//# Every internet module must be able to forward a datagram of 68
//# octets without further fragmentation.
pub(crate) const MIN_MTU: usize = 68;
