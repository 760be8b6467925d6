//! IP: addr.
