//! Configuration by servers: addresses, routes and name servers that somebody else on the link knows.

#[cfg(any(feature = "dhcpv4", feature = "dhcpv4-server"))]
pub mod v4;
#[cfg(feature = "dhcpv6")]
pub mod v6;
