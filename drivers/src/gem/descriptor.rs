//! Buffer descriptors of the Cadence GEM: two words, four where addresses have 64 bits, six with time stamps besides.
//!
//! Layout: Microchip's SAM E70 data sheet DS60001527, GMAC "Receive Buffer Descriptor Entry" and "Transmit Buffer
//! Descriptor Entry"; four words as AMD's UG1085 (Zynq UltraScale+) has them with `dma_addr_bus_width_1`, six with its
//! extended descriptors, `rx_bd_extended_mode_en` and `tx_bd_extended_mode_en`.
//!
//! ```text
//!   receive   0 │ address 31:3 │TSV 2│WRAP 1│USED 0│      transmit  0 │ address
//!             1 │ ... │EOF 15│SOF 14│ length 12:0                   1 │USED│WRAP│RLE│ ... TSV 23 ... │LAST 15│ length 13:0
//!             2 │ address 63:32 │ 3 │ (64 bits)                     2 │ address 63:32 │ 3 │ (64 bits)
//!             4 │ seconds 1:0 in 31:30, nanoseconds 29:0            4 │ as receive
//!             5 │ seconds 5:2 in 3:0                                5 │ as receive
//! ```
//!
//! The owner's bit is USED, and the other way round than elsewhere: the hardware owns what is not used. Hence descriptors
//! begin as used, and not all zero.

use crate::engine::stamp::from_halves;
use crate::ring::{Descriptor, Received, RxDescriptor, TxDescriptor, TxError};
use crate::word::{Word, bit, high, low};
use ringtap::device::{RxChecksum, RxMeta, TxMeta};
use ringtap::time::Instant;

/// Bits of the receive descriptor's first word.
mod rx0 {
    use super::bit;
    pub const USED: u32 = bit(0);
    pub const WRAP: u32 = bit(1);
    /// With six words: there is a time stamp.
    pub const TSV: u32 = bit(2);
}

/// Bits of the receive descriptor's second word.
mod rx1 {
    use super::bit;
    pub const LENGTH: u32 = 0x1fff;
    pub const SOF: u32 = bit(14);
    pub const EOF: u32 = bit(15);
    /// With checksum offload: 1 IP header, 2 and TCP, 3 and UDP were checked and are right.
    pub const CHECKED_SHIFT: u32 = 22;
}

/// Bits of the transmit descriptor's second word.
mod tx1 {
    use super::bit;
    pub const LENGTH: u32 = 0x3fff;
    pub const LAST: u32 = bit(15);
    /// With six words: there is a time stamp.
    pub const TSV: u32 = bit(23);
    /// Late collision.
    pub const LCO: u32 = bit(26);
    /// An error on the bus in the middle of the frame.
    pub const TFC: u32 = bit(27);
    pub const UND: u32 = bit(28);
    /// Retry limit exceeded.
    pub const RLE: u32 = bit(29);
    pub const WRAP: u32 = bit(30);
    pub const USED: u32 = bit(31);
}

/// A receive descriptor of `N` words: 2, 4 with addresses of 64 bits, or 6 with time stamps besides.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct RxDesc<const N: usize>([Word; N]);

/// A transmit descriptor of `N` words, as [`RxDesc`].
#[derive(Debug)]
#[repr(C, align(8))]
pub struct TxDesc<const N: usize>([Word; N]);

impl<const N: usize> RxDesc<N> {
    /// A descriptor that is ours.
    pub const fn new() -> Self {
        Self::with(rx0::USED)
    }

    /// The only descriptor of a queue that never receives.
    pub const fn parked() -> Self {
        Self::with(rx0::USED | rx0::WRAP)
    }

    const fn with(first: u32) -> Self {
        const { assert!(N == 2 || N == 4 || N == 6, "descriptors have 2, 4 or 6 words") };
        let mut words = [const { Word::new(0) }; N];
        words[0] = Word::new(first);
        Self(words)
    }

    /// The words, to look at.
    pub fn words(&self) -> &[Word; N] {
        &self.0
    }
}

impl<const N: usize> TxDesc<N> {
    /// A descriptor that is ours.
    pub const fn new() -> Self {
        Self::with(tx1::USED)
    }

    /// The only descriptor of a queue that never sends.
    pub const fn parked() -> Self {
        Self::with(tx1::USED | tx1::WRAP)
    }

    const fn with(second: u32) -> Self {
        const { assert!(N == 2 || N == 4 || N == 6, "descriptors have 2, 4 or 6 words") };
        let mut words = [const { Word::new(0) }; N];
        words[1] = Word::new(second);
        Self(words)
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

/// Writes the address's upper half where there is a place for it.
fn set_high(words: &[Word], buffer: *const u8) {
    if let [_, _, upper, unused, ..] = words {
        upper.set(high(buffer));
        unused.set(0);
    }
}

impl<const N: usize> Descriptor for RxDesc<N> {
    #[inline]
    fn is_hardware(&self) -> bool {
        self.0[0].get() & rx0::USED == 0
    }

    #[inline]
    fn give(&self) {
        self.0[0].set(self.0[0].get() & !rx0::USED);
    }

    fn take_back(&self) {
        self.0[0].set(rx0::USED);
    }
}

/// The lower 36 bits of a time stamp: six bits of seconds, and nanoseconds.
fn time(words: &[Word]) -> Option<Instant> {
    let [_, _, _, _, lower, upper] = words else { return None };
    let (lower, upper) = (lower.get(), upper.get());
    Some(from_halves((upper & 15) << 2 | lower >> 30, lower & 0x3fff_ffff))
}

impl<const N: usize> RxDescriptor for RxDesc<N> {
    /// The lower bits of the address are flags: three of them with time stamps.
    const ALIGN: usize = if N == 6 { 8 } else { 4 };
    /// What DMACFG counts buffers in.
    const UNIT: usize = 64;
    /// As far as the length field reaches.
    const MAX_CAPACITY: usize = rx1::LENGTH as usize & !63;

    #[inline]
    fn arm(&self, buffer: *mut u8, _: usize, wraps: bool) {
        set_high(&self.0, buffer);
        self.0[1].set(0);
        // Aligned: the bits of flags are zeros.
        self.0[0].set(low(buffer) | rx0::USED | if wraps { rx0::WRAP } else { 0 });
    }

    #[inline]
    fn received(&self) -> Received {
        let mut received = decode(self.0[1].get());
        if N == 6 && self.0[0].get() & rx0::TSV != 0 {
            received.meta.timestamp = time(&self.0);
        }
        received
    }
}

impl<const N: usize> Descriptor for TxDesc<N> {
    #[inline]
    fn is_hardware(&self) -> bool {
        self.0[1].get() & tx1::USED == 0
    }

    #[inline]
    fn give(&self) {
        self.0[1].set(self.0[1].get() & !tx1::USED);
    }

    fn take_back(&self) {
        self.0[1].set(tx1::USED);
    }
}

impl<const N: usize> TxDescriptor for TxDesc<N> {
    /// The largest that a buffer of 1536 octets on the other side takes, and the FIFO of every part holds.
    const MAX_LEN: usize = 2048;

    #[inline]
    fn load(&self, buffer: *const u8, len: usize, _: &TxMeta, wraps: bool) {
        set_high(&self.0, buffer);
        self.0[0].set(low(buffer));
        let wrap = if wraps { tx1::WRAP } else { 0 };
        self.0[1].set(len as u32 & tx1::LENGTH | tx1::LAST | tx1::USED | wrap);
    }

    #[inline]
    fn sent(&self) -> Result<(), TxError> {
        outcome(self.0[1].get())
    }

    const STAMPS: bool = N == 6;

    fn stamp(&self) -> Option<Instant> {
        if self.0[1].get() & tx1::TSV != 0 { time(&self.0) } else { None }
    }
}

/// What became of a frame. That a checksum could not be inserted is no error: it is said of every frame that has none.
fn outcome(status: u32) -> Result<(), TxError> {
    match status {
        s if s & tx1::UND != 0 => Err(TxError::Underrun),
        s if s & (tx1::RLE | tx1::LCO) != 0 => Err(TxError::Collision),
        s if s & tx1::TFC != 0 => Err(TxError::Other),
        _ => Ok(()),
    }
}

/// What a received buffer holds. The MAC drops damaged frames by itself and counts them.
fn decode(status: u32) -> Received {
    let checksum = match status >> rx1::CHECKED_SHIFT & 3 {
        2 | 3 => RxChecksum::Verified,
        _ => RxChecksum::None,
    };
    Received {
        len: (status & rx1::LENGTH) as usize,
        first: status & rx1::SOF != 0,
        last: status & rx1::EOF != 0,
        error: None,
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
        assert_eq!((size_of::<RxDesc<4>>(), size_of::<TxDesc<4>>()), (16, 16));
    }

    #[test]
    fn a_receive_descriptor_is_armed_before_it_is_given() {
        let desc = RxDesc::<2>::new();
        assert!(!desc.is_hardware());
        desc.arm(without_provenance_mut(0x2040_1000), 1536, true);
        assert!(!desc.is_hardware());
        desc.give();
        assert_eq!((desc.0[0].get(), desc.0[1].get()), (0x2040_1002, 0));
        desc.take_back();
        assert!(!desc.is_hardware());
        desc.arm(without_provenance_mut(0x2040_1000), 1536, false);
        desc.give();
        assert_eq!(desc.0[0].get(), 0x2040_1000);
    }

    #[test]
    fn a_transmit_descriptor_is_loaded_before_it_is_given() {
        let desc = TxDesc::<2>::new();
        assert!(!desc.is_hardware());
        for (wraps, expected) in [(false, 0x0000_85ea), (true, 0x4000_85ea)] {
            desc.load(without_provenance(0x2040_0041), 1514, &TxMeta::default(), wraps);
            assert!(!desc.is_hardware());
            desc.give();
            assert_eq!((desc.0[0].get(), desc.0[1].get()), (0x2040_0041, expected));
        }
    }

    #[test]
    fn parked_descriptors_are_never_the_hardware_s_and_their_queue_ends_there() {
        assert_eq!(RxDesc::<2>::parked().0[0].get(), 3);
        assert_eq!(TxDesc::<2>::parked().0[1].get(), 0xc000_0000);
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn the_upper_half_of_an_address_has_its_own_word() {
        let (rx, tx) = (RxDesc::<4>::new(), TxDesc::<4>::new());
        rx.arm(without_provenance_mut(0x8_0000_1000), 1536, false);
        tx.load(without_provenance(0x8_0000_2000), 60, &TxMeta::default(), false);
        assert_eq!((rx.0[0].get(), rx.0[2].get()), (0x1001, 8));
        assert_eq!((tx.0[0].get(), tx.0[2].get()), (0x2000, 8));
    }

    #[test]
    fn lengths_ends_and_verdicts_are_read() {
        for (status, len, first, last, checksum) in [
            (0xc000 | 60, 60, true, true, RxChecksum::None),
            (0x4000, 0, true, false, RxChecksum::None),
            (0x8000 | 1514, 1514, false, true, RxChecksum::None),
            (0xc000 | 0x1fff, 8191, true, true, RxChecksum::None),
            (0x0040_c03c, 60, true, true, RxChecksum::None),
            (0x0080_c03c, 60, true, true, RxChecksum::Verified),
            (0x00c0_c03c, 60, true, true, RxChecksum::Verified),
        ] {
            let received = decode(status);
            assert_eq!((received.len, received.first, received.last), (len, first, last), "{status:#x}");
            assert_eq!((received.meta.checksum, received.error), (checksum, None), "{status:#x}");
        }
    }

    #[test]
    fn transmit_errors_are_told_apart() {
        for (status, expected) in [
            (tx1::USED, Ok(())),
            (tx1::USED | 7 << 20, Ok(())),
            (tx1::USED | tx1::RLE, Err(TxError::Collision)),
            (tx1::USED | tx1::LCO, Err(TxError::Collision)),
            (tx1::USED | tx1::UND, Err(TxError::Underrun)),
            (tx1::USED | tx1::TFC, Err(TxError::Other)),
        ] {
            assert_eq!(outcome(status), expected, "{status:#x}");
        }
    }
}
