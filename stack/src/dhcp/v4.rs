//! DHCP for IPv4: the client that gives an interface its address, routes and name servers; and a small server.
//!
//! Implements RFC 2131 and RFC 2132, with long options (RFC 3396), classless routes (RFC 3442) and a probe of the address
//! before it is used (RFC 5227). `DhcpClient` (feature `dhcpv4`) and `DhcpServer` (feature `dhcpv4-server`) are what a
//! program uses; the protocol itself, without I/O, is in `client.rs` and `server.rs`.

#[cfg(feature = "dhcpv4")]
mod client;
#[cfg(feature = "dhcpv4")]
mod lease;
// Each side uses its part.
#[cfg_attr(not(all(feature = "dhcpv4", feature = "dhcpv4-server")), allow(dead_code))]
mod message;
#[cfg(feature = "dhcpv4-server")]
mod server;
#[cfg(feature = "dhcpv4-server")]
mod serving;
#[cfg(feature = "dhcpv4")]
mod shell;

#[cfg(feature = "dhcpv4")]
pub use client::DhcpOptions;
#[cfg(feature = "dhcpv4")]
pub use lease::{Lease, LeaseRoute};
#[cfg(feature = "dhcpv4-server")]
pub use server::{DhcpServerOptions, LeaseInfo, MAX_LEASES};
#[cfg(feature = "dhcpv4-server")]
pub use serving::DhcpServer;
#[cfg(feature = "dhcpv4")]
pub use shell::{DhcpClient, DhcpEvent};
