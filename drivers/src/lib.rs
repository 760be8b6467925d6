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
mod fifo;
pub mod filter;
pub mod interrupt;
pub mod nic;
pub mod phy;
pub mod regs;
pub mod ring;
pub mod stellaris;
#[cfg(test)]
mod testing;
