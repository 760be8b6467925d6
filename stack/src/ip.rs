//! The internet layer: addresses, routes, headers, fragments.

pub mod addr;
pub(crate) mod fragment;
#[cfg(feature = "multicast")]
pub(crate) mod igmp;
pub(crate) mod limit;
#[cfg(feature = "reassembly")]
pub(crate) mod reassembly;
pub mod route;
pub(crate) mod v4;
