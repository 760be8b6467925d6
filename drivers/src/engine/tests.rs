//! What every MAC with rings is put through: its driver over a model of its registers and of its DMA engine.
//!
//! The engine takes steps whenever the driver touches a register, the cache or a barrier, so that it moves at the most
//! awkward times; it checks that the driver keeps to the rules.

pub mod cases;
pub mod random;
pub mod stamps;
pub mod world;
