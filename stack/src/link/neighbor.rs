//! Link layer: neighbor.
