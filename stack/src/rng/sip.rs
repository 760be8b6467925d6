//! SipHash, a PRF for short inputs (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
//!
//! One function for both choices of rounds, and loops where others unroll: it exists once in flash. A segment goes through it
//! only where the one before it was another connection's.

/// Rounds per word of input, and at the end.
#[derive(Clone, Copy)]
pub(super) struct Rounds(pub u8, pub u8);

/// Its value of `data` under `key`.
#[inline(never)]
pub(super) fn hash(Rounds(each, last): Rounds, key: &[u8; 16], data: &[u8]) -> u64 {
    let [k0, k1] = [word(&key[..8]), word(&key[8..])];
    // The constants spell "somepseudorandomlygeneratedbytes".
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let (mut rest, mut is_last) = (data, false);
    while !is_last {
        // The last word has what is left, and the length modulo 256 in its highest octet.
        is_last = rest.len() < 8;
        let (now, later) = rest.split_at(rest.len().min(8));
        let length = if is_last { (data.len() as u64) << 56 } else { 0 };
        let m = word(now) | length;
        rest = later;
        v[3] ^= m;
        mix(&mut v, each);
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    mix(&mut v, last);
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

/// Up to eight octets, the first the lowest.
fn word(octets: &[u8]) -> u64 {
    octets.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet))
}

/// SipRound, so many times.
#[inline(never)]
fn mix(v: &mut [u64; 4], rounds: u8) {
    let [mut a, mut b, mut c, mut d] = *v;
    for _ in 0..rounds {
        (a, c) = (a.wrapping_add(b), c.wrapping_add(d));
        (b, d) = (b.rotate_left(13) ^ a, d.rotate_left(16) ^ c);
        a = a.rotate_left(32);
        (c, a) = (c.wrapping_add(b), a.wrapping_add(d));
        (b, d) = (b.rotate_left(17) ^ c, d.rotate_left(21) ^ a);
        c = c.rotate_left(32);
    }
    *v = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::Hasher as _;
    use proptest::prelude::*;
    use siphasher::sip::{SipHasher13, SipHasher24};
    extern crate std;
    use std::vec::Vec;

    #[test]
    fn the_paper_s_example_comes_out() {
        let octets: Vec<u8> = (0..16).collect();
        let key = octets[..].try_into().expect("16 octets");
        assert_eq!(hash(Rounds(2, 4), &key, &octets[..15]), 0xa129_ca61_49be_45e5);
    }

    proptest! {
        #[test]
        fn it_is_what_another_implementation_computes(key: [u8; 16], data in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(hash(Rounds(1, 3), &key, &data), SipHasher13::new_with_key(&key).hash(&data));
            let mut other = SipHasher24::new_with_key(&key);
            other.write(&data);
            prop_assert_eq!(hash(Rounds(2, 4), &key, &data), other.finish());
        }
    }
}
