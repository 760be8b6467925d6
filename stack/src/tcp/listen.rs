//! TCP: listen.
