//! TCP: timewait.
