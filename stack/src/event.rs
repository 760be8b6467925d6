//! What changed for a socket's user: readiness flags, and the wakers of who waits for them.

use core::ops::{BitOr, BitOrAssign};
use core::task::Waker;

/// A set of things that a socket's user may act on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Something can be read, or the end of it (EOF, error) was reached.
    pub const READ: Self = Self(1);
    /// Something can be written, or writing has ended with an error.
    pub const WRITE: Self = Self(2);
    /// A connection can be accepted.
    pub const ACCEPT: Self = Self(4);
    /// The connection is established.
    pub const CONNECTED: Self = Self(8);
    /// The connection has ended, in whatever way.
    pub const CLOSED: Self = Self(16);
    /// A soft error is to be read.
    pub const ERROR: Self = Self(32);
    /// The interface's link went up or down, maybe more than once;
    /// [`InterfaceView::link`](crate::stack::InterfaceView::link) says how it is.
    pub const LINK: Self = Self(64);

    /// The peer has urgent text: [`TcpSocket::urgent`](crate::stack::TcpSocket::urgent) says how much is still to be read.
    #[cfg(feature = "urgent")]
    pub const URGENT: Self = Self(128);

    /// Whether `self` has any of `other`'s flags.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is no flag.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Readiness {
    type Output = Self;
    fn bitor(self, rhs: Self) -> Self {
        Self(self.0 | rhs.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, rhs: Self) {
        self.0 |= rhs.0;
    }
}

/// The wakers of a socket's reader and writer, which may be two tasks.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    read: Option<Waker>,
    write: Option<Waker>,
}

impl Wakers {
    pub const fn new() -> Self {
        Self { read: None, write: None }
    }

    pub fn register(&mut self, interest: Readiness, waker: &Waker) {
        let slot = |old: &mut Option<Waker>| match old {
            Some(w) if w.will_wake(waker) => {}
            _ => *old = Some(waker.clone()),
        };
        if interest.any(Readiness::WRITE | Readiness::CONNECTED) {
            slot(&mut self.write);
        }
        if interest.any(Readiness::READ | Readiness::ACCEPT) {
            slot(&mut self.read);
        }
    }

    /// The wakers that `what` concerns, taken out.
    pub fn take(&mut self, what: Readiness) -> [Option<Waker>; 2] {
        let end = Readiness::CLOSED | Readiness::ERROR;
        #[cfg(feature = "urgent")]
        let end = end | Readiness::URGENT;
        let read = if what.any(Readiness::READ | Readiness::ACCEPT | end) { self.read.take() } else { None };
        let write = if what.any(Readiness::WRITE | Readiness::CONNECTED | end) { self.write.take() } else { None };
        [read, write]
    }
}
