//! DHCP for IPv4: the client that gives an interface its address, routes and name servers.
//!
//! Implements RFC 2131 and RFC 2132, with long options (RFC 3396), classless routes (RFC 3442) and a probe of the address
//! before it is used (RFC 5227). [`DhcpClient`] is what a program uses; the protocol itself, without I/O, is in
//! `client.rs`.

mod client;
mod lease;
mod message;
mod shell;

pub use client::DhcpOptions;
pub use lease::{Lease, LeaseRoute};
pub use shell::{DhcpClient, DhcpEvent};
