//! TCP: state.
