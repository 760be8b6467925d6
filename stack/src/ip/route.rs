//! IP: route.
