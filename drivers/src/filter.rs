//! Hashes of group addresses, as address filters of MACs have them.

use ringtap::device::Mac;

/// The CRC of Ethernet's frame check sequence over an address (IEEE 802.3 §3.2.9), as it stands in the shift register:
/// the first bit sent is the highest.
///
/// Filters take its highest bits, or, where they say so, those of its complement or in the other order.
pub fn crc(mac: Mac) -> u32 {
    let mut crc = u32::MAX;
    for mut octet in mac.0 {
        for _ in 0..8 {
            let bit = crc >> 31 != u32::from(octet & 1);
            crc = crc << 1 ^ if bit { 0x04c1_1db7 } else { 0 };
            octet >>= 1;
        }
    }
    crc
}

/// A table of 64 places, one bit each: the highest six bits of the [`crc`] choose the place.
pub fn hash64(groups: &[Mac]) -> u64 {
    groups.iter().fold(0, |table, group| table | 1 << (crc(*group) >> 26))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_of_known_addresses_is_known() {
        // CRC-32 of the same octets, by the usual reflected algorithm, is the complement in reversed order.
        for (mac, crc32) in [(Mac([0; 6]), 0xb1c2_a1a3_u32), (Mac(*b"123456"), 0x0972_d361)] {
            assert_eq!(crc(mac), (!crc32).reverse_bits(), "{mac}");
        }
    }

    #[test]
    fn each_group_has_a_place_and_none_has_none() {
        let all_hosts = Mac([0x01, 0x00, 0x5e, 0, 0, 1]);
        let table = hash64(&[all_hosts]);
        assert_eq!(table.count_ones(), 1);
        assert_eq!(table, 1 << (crc(all_hosts) >> 26));
        assert_eq!(hash64(&[]), 0);
    }
}
