//! Buffer descriptors of the NXP ENET: two words (legacy), or eight (enhanced, with `ECR.EN1588`).
//!
//! Layout: i.MX RT1060 reference manual, ENET "Legacy buffer descriptors" and "Enhanced buffer descriptors", as they lie in
//! memory with `ECR.DBSWP`: the manual's halfwords are swapped within each word.
//!
//! ```text
//!   receive   0 │E 31│W 29│L 27│ ... errors 21:16 │ length 15:0     transmit  0 │R 31│W 29│L 27│TC 26│ length 15:0
//!             1 │ buffer                                                     1 │ buffer
//!             2 │INT 23│ ... │ICE 5│PCR 4│VLAN 2│FRAG 0│                     2 │INT 30│TS 29│PINS 28│ ... errors 15:8
//!           3,4 written by the hardware                                  3,4 written by the hardware
//!             5 │ nanoseconds of the time stamp                              5 │ as receive
//! ```

use crate::engine::stamp::from_halves;
use crate::ring::{Descriptor, Received, RxDescriptor, RxError, TxDescriptor, TxError};
use crate::word::{Word, bit, low};
use ringtap::device::{RxChecksum, RxMeta, TxChecksum, TxMeta};
use ringtap::time::Instant;

/// The hardware's: E of receive, R of transmit.
const OWN: u32 = bit(31);
const WRAP: u32 = bit(29);
const LAST: u32 = bit(27);
const LENGTH: u32 = 0xffff;
/// The frame check sequence, which is counted and lies in the buffer.
const FCS: usize = 4;

/// Errors in the receive descriptor's first word; they count only in a frame's last descriptor.
mod rx0 {
    use super::bit;
    /// Longer than RCR.MAX_FL.
    pub const LG: u32 = bit(21);
    /// Not a whole number of octets.
    pub const NO: u32 = bit(20);
    pub const CR: u32 = bit(18);
    pub const OV: u32 = bit(17);
    /// Truncated.
    pub const TR: u32 = bit(16);
}

/// Bits of the enhanced receive descriptor's third word.
mod rx2 {
    use super::bit;
    /// Errors of PHY and MAC.
    pub const ERRORS: u32 = bit(31) | bit(26) | bit(25);
    /// An interrupt is wanted.
    pub const INT: u32 = bit(23);
    /// The IP header's checksum is wrong, or the protocol's is.
    pub const ICE: u32 = bit(5);
    pub const PCR: u32 = bit(4);
    pub const VLAN: u32 = bit(2);
    pub const FRAG: u32 = bit(0);
}

/// Bits of the transmit descriptor's first word.
mod tx0 {
    use super::bit;
    /// Append the frame check sequence.
    pub const TC: u32 = bit(26);
}

/// Bits of the enhanced transmit descriptor's third word.
mod tx2 {
    use super::bit;
    pub const INT: u32 = bit(30);
    /// A time stamp is wanted.
    pub const TS: u32 = bit(29);
    /// Insert the protocol's checksum.
    pub const PINS: u32 = bit(28);
    /// The time stamp did not come through.
    pub const TSE: u32 = bit(8);
    /// Some error, then which.
    pub const TXE: u32 = bit(15);
    pub const UE: u32 = bit(13);
    /// Excess and late collisions.
    pub const EE: u32 = bit(12);
    pub const LCE: u32 = bit(10);
}

/// A receive descriptor of `N` words: 2 (legacy) or 8 (enhanced).
#[derive(Debug)]
#[repr(C, align(8))]
pub struct RxDesc<const N: usize>([Word; N]);

/// A transmit descriptor of `N` words, as [`RxDesc`].
#[derive(Debug)]
#[repr(C, align(8))]
pub struct TxDesc<const N: usize>([Word; N]);

impl<const N: usize> RxDesc<N> {
    /// A descriptor that is ours. All zeros, so that a `static` lies in `.bss`.
    pub const fn new() -> Self {
        const { assert!(N == 2 || N == 8, "descriptors have 2 or 8 words") };
        Self([const { Word::new(0) }; N])
    }

    /// The words, to look at.
    pub fn words(&self) -> &[Word; N] {
        &self.0
    }
}

impl<const N: usize> TxDesc<N> {
    /// A descriptor that is ours. All zeros, so that a `static` lies in `.bss`.
    pub const fn new() -> Self {
        const { assert!(N == 2 || N == 8, "descriptors have 2 or 8 words") };
        Self([const { Word::new(0) }; N])
    }

    /// The words, to look at.
    pub fn words(&self) -> &[Word; N] {
        &self.0
    }
}

impl<const N: usize> Default for RxDesc<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Default for TxDesc<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes the words that only enhanced descriptors have.
fn set_enhanced(words: &[Word], control: u32) {
    if let Some([third, rest @ ..]) = words.get(2..) {
        third.set(control);
        rest.iter().for_each(|word| word.set(0));
    }
}

impl<const N: usize> Descriptor for RxDesc<N> {
    #[inline]
    fn is_hardware(&self) -> bool {
        self.0[0].get() & OWN != 0
    }

    #[inline]
    fn give(&self) {
        self.0[0].set(self.0[0].get() | OWN);
    }

    fn take_back(&self) {
        self.0[0].set(0);
    }
}

impl<const N: usize> RxDescriptor for RxDesc<N> {
    const ALIGN: usize = 16;
    /// What MRBR counts in.
    const UNIT: usize = 16;
    /// As far as MRBR reaches.
    const MAX_CAPACITY: usize = 0x3ff0;
    const MARKS_FIRST: bool = false;

    #[inline]
    fn arm(&self, buffer: *mut u8, _: usize, wraps: bool) {
        set_enhanced(&self.0, rx2::INT);
        self.0[1].set(low(buffer));
        self.0[0].set(if wraps { WRAP } else { 0 });
    }

    #[inline]
    fn received(&self) -> Received {
        let mut received = decode(self.0[0].get(), self.0.get(2).map(Word::get));
        received.meta.timestamp = time(&self.0);
        received
    }
}

impl<const N: usize> Descriptor for TxDesc<N> {
    #[inline]
    fn is_hardware(&self) -> bool {
        self.0[0].get() & OWN != 0
    }

    #[inline]
    fn give(&self) {
        self.0[0].set(self.0[0].get() | OWN);
    }

    fn take_back(&self) {
        self.0[0].set(0);
    }
}

impl<const N: usize> TxDescriptor for TxDesc<N> {
    /// As far as the FIFO holds a whole frame, which inserting checksums needs.
    const MAX_LEN: usize = 2048;

    #[inline]
    fn load(&self, buffer: *const u8, len: usize, meta: &TxMeta, wraps: bool) {
        let insert = if meta.checksum == TxChecksum::Complete { 0 } else { tx2::PINS };
        let stamp = if meta.timestamp { tx2::TS } else { 0 };
        set_enhanced(&self.0, tx2::INT | stamp | insert);
        self.0[1].set(low(buffer));
        self.0[0].set(len as u32 & LENGTH | LAST | tx0::TC | if wraps { WRAP } else { 0 });
    }

    #[inline]
    fn sent(&self) -> Result<(), TxError> {
        // Legacy descriptors say nothing of it.
        self.0.get(2).map_or(Ok(()), |word| outcome(word.get()))
    }

    const STAMPS: bool = N == 8;

    fn stamp(&self) -> Option<Instant> {
        let status = self.0.get(2)?.get();
        if status & tx2::TSE == 0 && outcome(status).is_ok() { time(&self.0) } else { None }
    }
}

/// The nanoseconds of a time stamp, where there are words for it: whether it is one, the engine knows.
fn time(words: &[Word]) -> Option<Instant> {
    words.get(5).map(|nanos| from_halves(0, nanos.get()))
}

/// What became of a frame, in the words of an enhanced descriptor.
fn outcome(status: u32) -> Result<(), TxError> {
    match status {
        s if s & tx2::TXE == 0 => Ok(()),
        s if s & tx2::UE != 0 => Err(TxError::Underrun),
        s if s & (tx2::EE | tx2::LCE) != 0 => Err(TxError::Collision),
        _ => Err(TxError::Other),
    }
}

/// What a received buffer holds; of enhanced descriptors with the third word.
fn decode(status: u32, enhanced: Option<u32>) -> Received {
    let last = status & LAST != 0;
    let error = match status {
        _ if !last => None,
        s if s & rx0::OV != 0 => Some(RxError::Overrun),
        s if s & (rx0::LG | rx0::TR) != 0 => Some(RxError::TooLong),
        s if s & rx0::CR != 0 => Some(RxError::Crc),
        s if s & rx0::NO != 0 => Some(RxError::Other),
        _ if enhanced.unwrap_or(0) & rx2::ERRORS != 0 => Some(RxError::Other),
        _ => None,
    };
    let doubts = rx2::ICE | rx2::PCR | rx2::VLAN | rx2::FRAG;
    let checksum = match enhanced {
        Some(word) if word & doubts == 0 => RxChecksum::Verified,
        _ => RxChecksum::None,
    };
    let len = (status & LENGTH) as usize;
    Received {
        len: len.saturating_sub(FCS),
        // `MARKS_FIRST` is false.
        first: false,
        last,
        error,
        context_follows: false,
        meta: RxMeta { checksum, ..RxMeta::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::size_of;
    use core::ptr::{without_provenance, without_provenance_mut};

    #[test]
    fn descriptors_have_the_size_that_the_engine_steps_by() {
        assert_eq!((size_of::<RxDesc<2>>(), size_of::<TxDesc<2>>()), (8, 8));
        assert_eq!((size_of::<RxDesc<8>>(), size_of::<TxDesc<8>>()), (32, 32));
    }

    #[test]
    fn a_receive_descriptor_is_armed_before_it_is_given() {
        let desc = RxDesc::<8>::new();
        desc.0[5].set(7);
        desc.arm(without_provenance_mut(0x2020_1000), 1536, true);
        assert!(!desc.is_hardware());
        desc.give();
        let words: [u32; 8] = core::array::from_fn(|i| desc.0[i].get());
        assert_eq!(words, [0xa000_0000, 0x2020_1000, 0x0080_0000, 0, 0, 0, 0, 0]);
        let desc = RxDesc::<2>::new();
        desc.arm(without_provenance_mut(0x2020_1000), 1536, false);
        desc.give();
        assert_eq!(desc.0.each_ref().map(Word::get), [0x8000_0000, 0x2020_1000]);
        desc.take_back();
        assert!(!desc.is_hardware());
    }

    #[test]
    fn a_transmit_descriptor_is_loaded_before_it_is_given() {
        let partial = TxMeta { checksum: TxChecksum::Partial { start: 34, offset: 16 }, ..TxMeta::default() };
        for (meta, wraps, first, third) in [
            (TxMeta::default(), false, 0x8c00_05ea, 0x4000_0000),
            (TxMeta::default(), true, 0xac00_05ea, 0x4000_0000),
            (partial, false, 0x8c00_05ea, 0x5000_0000),
        ] {
            let desc = TxDesc::<8>::new();
            desc.load(without_provenance(0x2020_0040), 1514, &meta, wraps);
            assert!(!desc.is_hardware());
            desc.give();
            assert_eq!([0, 1, 2].map(|i| desc.0[i].get()), [first, 0x2020_0040, third]);
            let desc = TxDesc::<2>::new();
            desc.load(without_provenance(0x2020_0040), 1514, &meta, wraps);
            desc.give();
            assert_eq!(desc.0.each_ref().map(Word::get), [first, 0x2020_0040]);
        }
    }

    #[test]
    fn receive_errors_are_told_apart_and_count_only_in_the_last_descriptor() {
        for (bits, enhanced, expected) in [
            (0, 0, None),
            (rx0::CR, 0, Some(RxError::Crc)),
            (rx0::OV | rx0::CR, 0, Some(RxError::Overrun)),
            (rx0::LG | rx0::CR, 0, Some(RxError::TooLong)),
            (rx0::TR, 0, Some(RxError::TooLong)),
            (rx0::NO, 0, Some(RxError::Other)),
            (0, bit(31), Some(RxError::Other)),
            (0, bit(26), Some(RxError::Other)),
            (0, bit(25), Some(RxError::Other)),
            // To a group, to all, promiscuous, unicast: no errors.
            (bit(22) | bit(23) | bit(24), bit(24), None),
        ] {
            assert_eq!(decode(LAST | bits | 64, Some(enhanced)).error, expected, "{bits:#x} {enhanced:#x}");
            assert_eq!(decode(bits | 64, Some(enhanced)).error, None, "{bits:#x} {enhanced:#x}");
        }
    }

    #[test]
    fn lengths_are_without_the_fcs() {
        assert_eq!((decode(LAST | 64, None).len, decode(LAST | 64, None).last), (60, true));
        assert_eq!((decode(0x600, None).len, decode(0x600, None).last), (1532, false));
        assert_eq!(decode(LAST | 3, None).len, 0);
    }

    #[test]
    fn a_checksum_counts_as_verified_without_any_doubt_only() {
        assert_eq!(decode(LAST | 64, None).meta.checksum, RxChecksum::None);
        for (word, expected) in [
            (0, RxChecksum::Verified),
            (rx2::INT | 2, RxChecksum::Verified),
            (rx2::ICE, RxChecksum::None),
            (rx2::PCR, RxChecksum::None),
            (rx2::VLAN, RxChecksum::None),
            (rx2::FRAG, RxChecksum::None),
        ] {
            assert_eq!(decode(LAST | 64, Some(word)).meta.checksum, expected, "{word:#x}");
        }
    }

    #[test]
    fn transmit_errors_are_told_apart() {
        for (status, expected) in [
            (tx2::INT, Ok(())),
            (tx2::UE, Ok(())),
            (tx2::TXE | tx2::UE, Err(TxError::Underrun)),
            (tx2::TXE | tx2::EE, Err(TxError::Collision)),
            (tx2::TXE | tx2::LCE, Err(TxError::Collision)),
            (tx2::TXE, Err(TxError::Other)),
        ] {
            assert_eq!(outcome(status), expected, "{status:#x}");
        }
    }
}
