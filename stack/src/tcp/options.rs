//! TCP: options.
