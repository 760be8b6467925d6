//! IP: fragment.
