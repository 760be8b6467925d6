//! Sequence numbers: 32 bits that wrap, and therefore have no order.
//!
//! Implements RFC 9293 §3.4. There is deliberately no `Ord`: only `before`/`after`, which are true of numbers less
//! than half the space apart.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A TCP sequence or acknowledgment number.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Seq(u32);

impl Seq {
    /// The sequence number with this value on the wire.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The value as it goes on the wire.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// Whether `self` comes strictly before `other` in the half of the space that starts at `self`.
    pub const fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether `self` comes strictly after `other`.
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// `before` or equal.
    pub const fn at_or_before(self, other: Self) -> bool {
        !other.before(self)
    }

    /// `after` or equal.
    pub const fn at_or_after(self, other: Self) -> bool {
        !self.before(other)
    }

    /// Octets from `earlier` up to `self`, modulo 2^32. Meaningful when `earlier` is at or before `self`.
    pub const fn distance_from(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether `self` lies in the `len` octets that start at `start`.
    pub const fn is_in(self, start: Self, len: u32) -> bool {
        self.distance_from(start) < len
    }

    /// The later of the two.
    #[must_use]
    pub const fn later(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of the two.
    #[must_use]
    pub const fn earlier(self, other: Self) -> Self {
        if other.before(self) { other } else { self }
    }
}

impl Add<u32> for Seq {
    type Output = Self;
    fn add(self, octets: u32) -> Self {
        Self(self.0.wrapping_add(octets))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, octets: u32) {
        *self = *self + octets;
    }
}

impl Sub<u32> for Seq {
    type Output = Self;
    fn sub(self, octets: u32) -> Self {
        Self(self.0.wrapping_sub(octets))
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn adding_moves_after_for_less_than_half_the_space(start: u32, n in 1u32..0x8000_0000) {
            let a = Seq::new(start);
            prop_assert!(a.before(a + n));
            prop_assert!((a + n).after(a));
            prop_assert_eq!((a + n).distance_from(a), n);
            prop_assert_eq!((a + n) - n, a);
        }

        #[test]
        fn exactly_one_of_before_equal_after_holds_except_at_the_antipode(a: u32, b: u32) {
            prop_assume!(a.wrapping_sub(b) != 0x8000_0000);
            let (x, y) = (Seq::new(a), Seq::new(b));
            let n = u8::from(x.before(y)) + u8::from(x == y) + u8::from(x.after(y));
            prop_assert_eq!(n, 1);
            prop_assert_eq!(x.later(y), y.later(x));
        }

        #[test]
        fn a_window_holds_its_own_octets_only(start: u32, len in 0u32..1 << 30, at: u32) {
            let inside = at.wrapping_sub(start) < len;
            prop_assert_eq!(Seq::new(at).is_in(Seq::new(start), len), inside);
        }
    }
}
