//! **ringtap**: a TCP/IP stack for programs that own their network card.
//!
//! The same core ends IP, ICMP, UDP and TCP on a Linux tap and on the DMA ring of a microcontroller's MAC. It is
//! `no_std`, needs no allocator, and reads neither clock nor entropy: time is an argument, randomness a [`rng::Secret`]
//! given at construction.
#![no_std]
#![deny(unsafe_code)]
#![warn(missing_docs)]
// What several protocols share is partly unused when some of them are left out.
#![cfg_attr(
    not(all(feature = "tcp", feature = "udp", feature = "icmp", feature = "raw", feature = "reassembly")),
    allow(dead_code, unused_imports, unused_variables, unreachable_code, unreachable_patterns)
)]
// Without IPv6 there is one family only (`family.rs`): what asks for the family is always right.
#![cfg_attr(not(feature = "ipv6"), allow(irrefutable_let_patterns))]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod config;
pub mod device;
pub mod error;
pub mod event;
pub mod frame;
pub mod rng;
pub mod seq;
pub mod stats;
pub mod time;

pub(crate) mod assembler;
#[cfg(feature = "many-sockets")]
pub(crate) mod deadline;
#[cfg(not(feature = "many-sockets"))]
#[path = "deadline/list.rs"]
pub(crate) mod deadline;
pub(crate) mod family;
pub(crate) mod grow;
pub(crate) mod log;
pub(crate) mod ready;
pub(crate) mod ring;
pub(crate) mod wire;

#[cfg(any(feature = "dhcpv4", feature = "dhcpv4-server", feature = "dhcpv6"))]
pub mod dhcp;
#[cfg(feature = "dns")]
pub mod dns;
pub mod icmp;
pub mod ip;
pub mod link;
#[cfg(feature = "link-local")]
pub mod link_local;
#[cfg(feature = "mdns")]
pub mod mdns;
pub mod sockets;
pub mod stack;
#[cfg(feature = "taps")]
pub mod taps;
#[cfg(feature = "tcp")]
pub mod tcp;

pub mod blocking;
#[cfg(feature = "vlan")]
pub mod vlan;

mod rx;
mod tx;

/// The examples in the project's README are tests.
#[cfg(all(doctest, feature = "tcp", feature = "loopback"))]
#[doc = include_str!("../../README.md")]
struct Readme;
