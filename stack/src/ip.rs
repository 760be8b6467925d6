//! The internet layer: addresses, routes, headers, fragments.

pub mod addr;
pub(crate) mod fragment;
pub(crate) mod limit;
#[cfg(feature = "reassembly")]
pub(crate) mod reassembly;
pub mod route;
pub(crate) mod v4;
