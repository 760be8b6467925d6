//! The Internet checksum (RFC 1071): partial sums that combine at any offset, and a copy that sums as it goes.
//!
//! A partial sum is kept in the machine's own byte order (RFC 1071 §2 (B)) and folded once at the end. Words are as wide
//! as the machine's registers, and carries run from word to word, so that a chain of add-with-carry is all that is left.
//!
//! ```text
//!   data:   [ a b ][ c ]            sum(first).add_at(sum(second), 3): the second part begins at an odd offset,
//!                   [ d ][ e f ]    so its sum is swapped octet for octet (RFC 1071 §2 (B))
//! ```

mod loops;
mod written_out;

use crate::family::IpAddr;

core::cfg_select! {
    // ARMv7-M and ARMv8-M Mainline load words at any address. ARMv6-M, which does not, has no atomic exchange; other ARMs, of
    // which bare-metal programs ask for aligned words, have one of 64 bits.
    all(target_arch = "arm", target_has_atomic = "ptr", not(target_has_atomic = "64")) => {
        use written_out::{TURN, turn};
        pub(crate) use written_out::{copy, copy_and_sum};
    }
    _ => {
        use loops::{TURN, turn};
        pub(crate) use loops::{copy, copy_and_sum};
    }
}

const WORD: usize = size_of::<usize>();

/// A partial one's-complement sum, in the machine's byte order. It does not know whether its data had an odd length:
/// see [`add_at`](Self::add_at).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u32);

#[allow(clippy::should_implement_trait)] // `Sum + Sum` would hide that the offset must be even.
impl Sum {
    /// The sum of both, where the other's data begins at an even offset from this one's.
    #[must_use]
    #[inline]
    pub const fn add(self, other: Self) -> Self {
        let (sum, carry) = self.0.overflowing_add(other.0);
        Self(sum.wrapping_add(carry as u32))
    }

    /// The sum of both, where the other's data begins `offset` octets after this one's beginning.
    #[must_use]
    #[inline]
    pub const fn add_at(self, other: Self, offset: usize) -> Self {
        // Multiplying by 2^8 modulo 2^16 - 1 swaps the octets; in 32 bits that is a rotation.
        self.add(if offset % 2 == 1 { Self(other.0.rotate_left(8)) } else { other })
    }

    /// The sum with one more 16-bit value of the packet, at an even offset.
    #[must_use]
    #[inline]
    pub const fn add_u16(self, value: u16) -> Self {
        self.add(Self(value.to_be() as u32))
    }

    /// The sum with one more 32-bit value of the packet, at an even offset.
    #[must_use]
    #[inline]
    pub const fn add_u32(self, value: u32) -> Self {
        self.add(Self(value.to_be()))
    }

    /// The checksum: the complement, as a value to be stored in network order.
    #[must_use]
    #[inline]
    pub const fn finish(self) -> u16 {
        u16::from_be(!self.fold())
    }

    /// The uncomplemented sum, as a value to be stored in network order: what a device is given to complete.
    #[must_use]
    #[inline]
    #[cfg(any(test, feature = "checksum-offload"))]
    pub const fn partial(self) -> u16 {
        u16::from_be(self.fold())
    }

    /// Whether data that includes its checksum is intact: it sums to all ones.
    #[must_use]
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }

    const fn fold(self) -> u16 {
        let (sum, carry) = (self.0 as u16).overflowing_add((self.0 >> 16) as u16);
        sum.wrapping_add(carry as u16)
    }

    /// Folds a register-wide sum.
    #[inline]
    const fn of_word(word: usize) -> Self {
        let wide = word as u64;
        Self(wide as u32).add(Self((wide >> 32) as u32))
    }
}

/// The sum of `data`, as if it began at an even offset.
pub(crate) fn sum(data: &[u8]) -> Sum {
    let (words, tail) = data.as_chunks::<WORD>();
    let (turns, mut words) = words.as_chunks::<TURN>();
    let mut total = turns.iter().fold(0, turn);
    if WORD == 8 {
        // What is left, in chains as long as can be: each costs a few instructions beside its words.
        total = chain_if::<16>(total, &mut words);
        total = chain_if::<8>(total, &mut words);
        total = chain_if::<4>(total, &mut words);
        total = chain_if::<2>(total, &mut words);
    }
    let (words, _) = words.as_chunks::<1>();
    total = words.iter().fold(total, chain);
    Sum::of_word(chain(total, &[last_word(data, tail.len()).to_ne_bytes()]))
}

/// Finishes a checksum of which the sender, on this machine, has computed the pseudo-header's part only: it lies `offset`
/// octets behind `start`, where the sum begins.
#[cfg(any(feature = "forward", feature = "hooks", all(feature = "checksum-offload", feature = "udp")))]
pub(crate) fn complete(packet: &mut [u8], start: u16, offset: u16) {
    let (start, offset) = (usize::from(start), usize::from(offset));
    let Some(upper) = packet.get_mut(start..) else { return };
    // A sum of zero is written as all ones, which UDP wants (RFC 768) and others take as well.
    let checksum = match sum(upper).finish() {
        0 => 0xffff,
        checksum => checksum,
    };
    if let Some(field) = upper.get_mut(offset..offset + 2) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The sum of a few words of four octets: at most 2^16 of them.
#[inline]
pub(crate) fn sum_of_words(words: &[[u8; 4]]) -> Sum {
    let wide: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    Sum(wide as u32).add(Sum((wide >> 32) as u32))
}

/// A chain over the next `N` words, if there are as many.
#[inline]
fn chain_if<const N: usize>(total: usize, words: &mut &[[u8; WORD]]) -> usize {
    match words.split_first_chunk::<N>() {
        Some((these, rest)) => {
            *words = rest;
            chain(total, these)
        }
        None => total,
    }
}

/// One chain of additions with carry.
#[inline]
fn chain<const N: usize>(total: usize, words: &[[u8; WORD]; N]) -> usize {
    let (mut total, mut carry) = (total, false);
    for word in words {
        (total, carry) = total.carrying_add(usize::from_ne_bytes(*word), carry);
    }
    // A step that carries out leaves at most 2^n - 2 behind, since the first has no carry in: adding the last carry
    // cannot overflow again.
    total.wrapping_add(usize::from(carry))
}

/// The last `n` octets of `data`, less than a word, as a word that begins with them and ends with zeros.
#[inline]
fn last_word(data: &[u8], n: usize) -> usize {
    if n == 0 {
        return 0;
    }
    // The last whole word, without those of its octets that lie before the tail.
    if let Some(last) = data.last_chunk::<WORD>() {
        let before = 8 * (WORD - n) as u32;
        let word = usize::from_ne_bytes(*last);
        return if cfg!(target_endian = "little") { word >> before } else { word << before };
    }
    let octet = |word: usize, octet: &u8| word << 8 | usize::from(*octet);
    usize::from_be(data.iter().fold(0, octet) << (8 * (WORD - n)))
}

/// The pseudo-header's sum: RFC 9293 §3.1 and RFC 768 for IPv4, RFC 8200 §8.1 for IPv6. `len` counts the transport
/// header and its payload.
pub(crate) fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: u32) -> Sum {
    address(src).add(address(dst)).add_u16(u16::from(protocol)).add_u32(len)
}

#[inline]
fn address(addr: IpAddr) -> Sum {
    match addr {
        IpAddr::V4(addr) => Sum(u32::from_ne_bytes(addr.octets())),
        IpAddr::V6(addr) => sum(&addr.octets()),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// RFC 1071 §4.1, octet by octet.
    fn reference(data: &[u8]) -> u16 {
        let mut total = 0u32;
        for (i, &octet) in data.iter().enumerate() {
            total += if i % 2 == 0 { u32::from(octet) << 8 } else { u32::from(octet) };
            total = (total & 0xffff) + (total >> 16);
        }
        !(total as u16)
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i.wrapping_mul(31) ^ (i >> 3)) as u8 | 0x80).collect()
    }

    #[test]
    fn the_example_of_rfc_1071_sums_as_printed() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&data).finish(), !0xddf2);
        assert_eq!(sum(&data).partial(), 0xddf2);
        assert!(sum(&data).add_u16(!0xddf2).is_valid());
    }

    #[test]
    fn every_length_and_two_slices_at_every_cut_equal_the_reference() {
        let data = pattern(1500);
        let mut copy = vec![0; 1500];
        for cut in 0..=1500 {
            let (a, b) = data.split_at(cut);
            assert_eq!(sum(a).finish(), reference(a), "length {cut}");
            assert_eq!(sum(a).add_at(sum(b), cut).finish(), reference(&data), "cut {cut}");
            assert_eq!(copy_and_sum(&mut copy[cut..], b).finish(), reference(b), "copy from {cut}");
            assert_eq!(&copy[cut..], b);
        }
    }

    /// What ARM runs, with the words of this machine.
    #[test]
    fn the_loops_written_out_equal_the_others_for_every_length_and_offset() {
        for data in [pattern(700), vec![0xff; 700], vec![0; 700]] {
            for from in 0..70 {
                for len in (0..=130).chain(560..=600) {
                    let (part, mut copy) = (&data[from..from + len], vec![0x5a; len + 1]);
                    let summed = written_out::copy_and_sum(&mut copy[..len], part);
                    assert_eq!(summed.finish(), reference(part), "{len} octets from {from}");
                    assert_eq!((&copy[..len], copy[len]), (part, 0x5a));
                    copy.fill(0x5a);
                    written_out::copy(&mut copy[..len], part);
                    assert_eq!((&copy[..len], copy[len]), (part, 0x5a));
                }
            }
        }
        let carry = [[0xff; WORD]; written_out::TURN];
        assert_eq!(written_out::turn(1, &carry), chain(1, &carry));
        assert_eq!(Sum::of_word(written_out::turn(1, &carry)).fold(), 1);
    }

    #[test]
    fn long_data_and_all_ones_do_not_lose_a_carry() {
        for len in [8191, 8192, 8193, 65_535, 200_001] {
            for data in [pattern(len), vec![0xff; len]] {
                let mut copy = vec![0; len];
                assert_eq!(sum(&data).finish(), reference(&data));
                assert_eq!(copy_and_sum(&mut copy, &data).finish(), reference(&data));
                assert_eq!(copy, data);
            }
        }
    }

    #[test]
    fn a_carry_out_of_the_chain_of_words_is_kept() {
        let mut data = vec![0; TURN * WORD];
        data[..WORD].fill(0xff);
        *data.last_mut().expect("not empty") = 1;
        assert_eq!(sum(&data).finish(), reference(&data));
    }

    #[test]
    fn pseudo_headers_equal_their_octets_spelt_out() {
        let (a, b) = (Ipv4Addr::new(10, 7, 0, 1), Ipv4Addr::new(192, 168, 255, 254));
        let spelt = [10, 7, 0, 1, 192, 168, 255, 254, 0, 6, 0x05, 0xdc];
        assert_eq!(pseudo_header(a.into(), b.into(), 6, 1500).finish(), reference(&spelt));
    }

    #[cfg(feature = "ipv6")]
    #[test]
    fn pseudo_headers_of_ipv6_equal_their_octets_spelt_out() {
        use core::net::Ipv6Addr;
        let (a, b) = (Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 2));
        let mut spelt = Vec::new();
        spelt.extend(a.octets());
        spelt.extend(b.octets());
        spelt.extend([0, 1, 0, 0, 0, 0, 0, 58]);
        assert_eq!(pseudo_header(a.into(), b.into(), 58, 65_536).finish(), reference(&spelt));
    }

    proptest! {
        #[test]
        fn any_data_in_any_pieces_equals_the_reference(data in proptest::collection::vec(any::<u8>(), 0..600),
                                                       cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(data.len() + 1)).collect();
            cuts.sort_unstable();
            let (mut total, mut from) = (Sum::default(), 0);
            for to in cuts.into_iter().chain([data.len()]) {
                total = total.add_at(sum(&data[from..to]), from);
                from = to;
            }
            prop_assert_eq!(total.finish(), reference(&data));
        }
    }
}
