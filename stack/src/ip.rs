//! The internet layer: addresses, routes, headers, fragments.

pub mod addr;
#[cfg(feature = "router-advertisements")]
pub mod advertise;
#[cfg(feature = "enhanced-dad")]
pub(crate) mod dad;
#[cfg(feature = "forward")]
pub mod forward;
pub(crate) mod fragment;
#[cfg(feature = "multicast")]
pub(crate) mod groups;
#[cfg(feature = "hooks")]
pub mod hooks;
pub(crate) mod limit;
#[cfg(all(feature = "ipv6", feature = "icmp-errors"))]
pub(crate) mod paths;
#[cfg(feature = "policy")]
pub mod policy;
#[cfg(feature = "reassembly")]
pub(crate) mod reassembly;
#[cfg(feature = "forward")]
pub(crate) mod redirect;
#[cfg(feature = "hooks")]
pub mod rewrite;
pub mod route;
#[cfg(feature = "ipv6")]
pub(crate) mod slaac;
#[cfg(feature = "temporary-addresses")]
pub(crate) mod temporary;
pub(crate) mod v4;
#[cfg(feature = "ipv6")]
pub(crate) mod v6;
