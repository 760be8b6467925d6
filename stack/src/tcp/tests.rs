//! Tests of connections: scripts of single segments, and two connections over a link that loses, repeats and reorders.

// Scripts often look only at what leaves.
#![allow(unused_must_use)]

mod bulk;
mod chaos;
mod close;
#[cfg(feature = "ecn")]
mod ecn;
mod harness;
mod link;
mod loss;
mod open;
mod resets;
mod segments;
mod transfer;
#[cfg(feature = "tuning")]
mod tuning;
#[cfg(feature = "urgent")]
mod urgent;
mod windows;
