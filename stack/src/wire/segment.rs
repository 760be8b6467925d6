//! Wire format: segment.
