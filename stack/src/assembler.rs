//! Which octets beyond the contiguous ones have arrived.
