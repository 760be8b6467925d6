//! What boards of a family have in common.

#[cfg(feature = "mps2")]
pub mod mps2;
#[cfg(feature = "nucleo")]
pub mod nucleo;
#[cfg(feature = "rt1060")]
pub mod rt1060;
