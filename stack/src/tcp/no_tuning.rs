//! Buffers have the size that they were given, and keep what they grew to until `trim`.

use super::conn::Conn;
use super::options::TcpOptions;
use crate::ring::Ring;
use crate::time::Instant;

/// Nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning;

impl Tuning {
    pub const fn new(_: &TcpOptions, _: &Ring<'_>, _: &Ring<'_>) -> Self {
        Self
    }

    pub const fn most_capacity(&self, capacity: usize) -> usize {
        capacity
    }
}

impl Conn<'_> {
    pub(super) const fn tune_rx(&self, _: Instant) {}

    pub(super) const fn tune_tx(&self) {}

    pub(super) const fn arm_upkeep(&self, _: Instant) {}

    pub(super) const fn upkeep(&self, _: Instant) -> bool {
        false
    }
}
