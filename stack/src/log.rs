//! One place for logging: to `defmt`, to `log`, to both, or to nobody.
//!
//! A line costs nothing when both features are off: its arguments are not evaluated.

macro_rules! emit {
    ($level:ident, $s:literal $(, $x:expr)* $(,)?) => {{
        #[cfg(feature = "defmt")]
        ::defmt::$level!($s $(, ::defmt::Debug2Format(&$x))*);
        #[cfg(feature = "log")]
        ::log::$level!($s $(, $x)*);
        #[cfg(not(any(feature = "defmt", feature = "log")))]
        if false { $(let _ = &$x;)* }
    }};
}

/// Faults of the caller or the machine.
macro_rules! warn_ { ($($t:tt)*) => { $crate::log::emit!(warn, $($t)*) }; }
/// State that changed: connections, addresses, links.
macro_rules! debug { ($($t:tt)*) => { $crate::log::emit!(debug, $($t)*) }; }
/// Per-packet detail.
macro_rules! trace { ($($t:tt)*) => { $crate::log::emit!(trace, $($t)*) }; }

pub(crate) use {debug, emit, trace, warn_ as warn};
