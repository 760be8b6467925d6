//! The hashes by which MACs filter group addresses: 64 bits, one for each hash.
//!
//! A filter lets more pass than was asked for; the stack looks at each address again.

use ringtap::device::Mac;

/// IEEE 802.3's CRC-32 over the address, least significant bit first, before the final complement.
const fn crc(mac: Mac) -> u32 {
    let mut crc = u32::MAX;
    let mut i = 0;
    while i < mac.0.len() {
        crc ^= mac.0[i] as u32;
        let mut n = 0;
        while n < 8 {
            // The polynomial of IEEE 802.3, reflected.
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            n += 1;
        }
        i += 1;
    }
    crc
}

/// The upper six bits of the CRC as the Synopsys MACs have it: complemented and reversed.
pub const fn synopsys(mac: Mac) -> u32 {
    (!crc(mac)).reverse_bits() >> 26
}

/// The upper six bits of the CRC as SMSC's LAN9118 has it: reversed, not complemented.
pub const fn smsc(mac: Mac) -> u32 {
    crc(mac).reverse_bits() >> 26
}

/// The upper six bits of the CRC as NXP's ENET has it: neither complemented nor reversed.
pub const fn enet(mac: Mac) -> u32 {
    crc(mac) >> 26
}

/// Cadence's hash: bit `i` is the exclusive or of the address's bits `i`, `i + 6`, `i + 12` and so on, the first bit on
/// the wire being bit 0.
pub const fn cadence(mac: Mac) -> u32 {
    let [a, b, c, d, e, f] = mac.0;
    let mut bits = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    let mut hash = 0;
    while bits != 0 {
        hash ^= (bits & 63) as u32;
        bits >>= 6;
    }
    hash
}

/// A filter of 64 bits, lower half first, with the hash of each group's address set.
pub fn filter(groups: &[Mac], hash: fn(Mac) -> u32) -> [u32; 2] {
    let bits = groups.iter().fold(0u64, |bits, group| bits | 1 << hash(*group));
    [bits as u32, (bits >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_synopsys_hash_is_that_of_the_examples_in_st_s_manuals() {
        // RM0090 33.5.3, hash table unicast filtering: two addresses and their hashes.
        assert_eq!(synopsys(Mac([0x1f, 0x52, 0x41, 0x9c, 0xb6, 0xaf])), 0x2c);
        assert_eq!(synopsys(Mac([0xa0, 0x0a, 0x98, 0x00, 0x00, 0x45])), 0x07);
    }

    #[test]
    fn the_crc_is_that_of_the_frame_check_sequence() {
        // The residue property: what is appended complemented makes the CRC a constant, whatever the message.
        for mac in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 251]] {
            let mut rest = crc(Mac(mac));
            for octet in (!rest).to_le_bytes() {
                rest ^= u32::from(octet);
                for _ in 0..8 {
                    rest = (rest >> 1) ^ (0xedb8_8320 & (rest & 1).wrapping_neg());
                }
            }
            assert_eq!(rest, 0xdebb_20e3);
        }
    }

    #[test]
    fn cadence_s_hash_is_the_xor_of_each_sixth_bit() {
        for mac in [Mac([0; 6]), Mac::BROADCAST, Mac([1, 0, 0x5e, 0, 0, 1]), Mac([0x33, 0x33, 0xff, 1, 2, 3])] {
            let address_bit = |i: usize| u32::from(mac.0[i / 8] >> (i % 8) & 1);
            let expected = (0..6).map(|i| (0..8).fold(0, |x, k| x ^ address_bit(i + 6 * k)) << i).sum::<u32>();
            assert_eq!(cadence(mac), expected, "{mac}");
        }
    }

    #[test]
    fn a_filter_has_the_bit_of_each_group_and_no_other() {
        let groups = [Mac([1, 0, 0x5e, 0, 0, 1]), Mac([1, 0, 0x5e, 0, 0, 251])];
        for hash in [synopsys, smsc, enet, cadence] {
            let [low, high] = filter(&groups, hash);
            for bit in 0..64 {
                let set = if bit < 32 { low >> bit } else { high >> (bit - 32) } & 1 == 1;
                assert_eq!(set, groups.iter().any(|g| hash(*g) == bit));
            }
        }
        assert_eq!(filter(&[], synopsys), [0, 0]);
    }
}
