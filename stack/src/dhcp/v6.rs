//! DHCP for IPv6: the client that gives an interface addresses and name servers where routers ask for it.
//!
//! Implements the client's side of RFC 9915 for non-temporary addresses (IA_NA) and for information alone: solicit,
//! request, confirm, renew, rebind, release, decline, information-request (§18.2), their times (§15), what a server may
//! say (§16, §18.2.9, §18.2.10), and RFC 3646 (name servers and domains). [`Dhcpv6Client`] is what a program uses; the
//! protocol itself, without I/O, is in `client.rs`.

mod client;
mod lease;
mod message;
mod shell;

pub use client::Dhcpv6Mode;
pub use lease::{Lease6, LeasedAddress};
pub use shell::{Dhcpv6Client, Dhcpv6Event};
