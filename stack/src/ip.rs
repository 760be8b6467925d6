//! The internet layer: addresses, routes, headers, fragments.

pub mod addr;
#[cfg(feature = "forward")]
pub mod forward;
pub(crate) mod fragment;
#[cfg(feature = "multicast")]
pub(crate) mod groups;
#[cfg(feature = "hooks")]
pub mod hooks;
pub(crate) mod limit;
#[cfg(feature = "ipv6")]
pub(crate) mod paths;
#[cfg(feature = "policy")]
pub mod policy;
#[cfg(feature = "reassembly")]
pub(crate) mod reassembly;
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
