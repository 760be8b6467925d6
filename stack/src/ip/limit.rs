//! IP: limit.
