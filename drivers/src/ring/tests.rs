//! The rings over a software DMA engine (`model.rs`), and over one that runs in a thread of its own (`threads.rs`).

mod cases;
pub(crate) mod memory;
mod model;
mod random;
mod threads;
