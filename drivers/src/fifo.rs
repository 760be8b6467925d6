//! Frames through a FIFO of 32-bit words, little-endian, as MACs without DMA have them.

/// Fills `octets` from words, the last of which may have octets to spare.
pub(crate) fn read_words(octets: &mut [u8], mut word: impl FnMut() -> u32) {
    let (whole, rest) = octets.as_chunks_mut::<4>();
    for chunk in whole {
        *chunk = word().to_le_bytes();
    }
    if !rest.is_empty() {
        let last = word().to_le_bytes();
        rest.iter_mut().zip(last).for_each(|(to, from)| *to = from);
    }
}

/// Writes `octets` as words, the last one filled up with zeros.
pub(crate) fn write_words(octets: &[u8], mut word: impl FnMut(u32)) {
    let (whole, rest) = octets.as_chunks::<4>();
    for chunk in whole {
        word(u32::from_le_bytes(*chunk));
    }
    if !rest.is_empty() {
        let mut last = [0; 4];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        word(u32::from_le_bytes(last));
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn words_are_little_endian_and_every_length_comes_back() {
        for len in 0..20u8 {
            let octets: Vec<u8> = (1..=len).collect();
            let mut words = Vec::new();
            write_words(&octets, |word| words.push(word));
            assert_eq!(words.len(), usize::from(len).div_ceil(4));
            assert!(len < 4 || words[0] == 0x0403_0201);
            let (mut back, mut taken) = ([0xee; 20], words.into_iter());
            read_words(&mut back[..usize::from(len)], || taken.next().expect("no word too many"));
            assert_eq!(taken.next(), None);
            assert_eq!(back[..usize::from(len)], octets);
            assert!(back[usize::from(len)..].iter().all(|&b| b == 0xee));
        }
    }
}
