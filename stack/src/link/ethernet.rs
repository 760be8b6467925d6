//! Link layer: ethernet.
