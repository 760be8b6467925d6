//! Configuration by servers: addresses, routes and name servers that somebody else on the link knows.

#[cfg(feature = "dhcpv4")]
pub mod v4;
