//! TCP: conn.
