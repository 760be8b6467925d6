//! A product of two numbers, divided by a third: what windows are scaled with.
//!
//! Dividing 64 bits takes a library on small processors, which is longer than all of CUBIC. This takes a loop, and leaves
//! what is seldom computed to be computed slowly.

/// `a * b / c`, rounded down; `u32::MAX` where it is more, or `c` is zero.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn ratio(a: u32, b: u32, c: u32) -> u32 {
    let product = u64::from(a) * u64::from(b);
    // Long division by digits of one bit: the quotient takes the place of the digits that are used up.
    let (mut rest, mut digits) = ((product >> 32) as u32, product as u32);
    if rest >= c {
        return u32::MAX;
    }
    for _ in 0..32 {
        let is_long = rest >> 31 != 0;
        rest = rest << 1 | digits >> 31;
        digits <<= 1;
        if is_long || rest >= c {
            rest = rest.wrapping_sub(c);
            digits |= 1;
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quotient_that_32_bits_do_not_hold_is_the_largest() {
        assert_eq!(ratio(1, 1, 0), u32::MAX);
        assert_eq!(ratio(0, 0, 0), u32::MAX);
        assert_eq!(ratio(u32::MAX, 2, 1), u32::MAX);
        assert_eq!(ratio(u32::MAX, u32::MAX, u32::MAX), u32::MAX);
    }

    proptest! {
        #[test]
        fn it_is_what_64_bits_say(a: u32, b: u32, c in 1..=u32::MAX, shift in 0u32..32) {
            let c = (c >> shift).max(1);
            let exact = u64::from(a) * u64::from(b) / u64::from(c);
            prop_assert_eq!(u64::from(ratio(a, b, c)), exact.min(u64::from(u32::MAX)));
        }
    }
}
