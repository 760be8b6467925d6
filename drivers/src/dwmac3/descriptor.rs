//! Descriptors of the DWMAC 3.x DMA: four words, and four more where the silicon has enhanced descriptors.
//!
//! Layout: STM32F4 reference manual RM0090 33.6.7 (transmit) and 33.6.8 (receive), enhanced descriptors with
//! `DMABMR.EDFE`; STM32F1's RM0008 29.6 for those of four words.
//!
//! ```text
//!   receive   0 │OWN│ ... frame length 29:16 │ES│ ... │FS│LS│ ... errors    transmit  0 │OWN│IC│LS│FS│ ... │TER│ ... errors
//!             1 │ ... │RER 15│ buffer size 12:0                                       1 │ ... │ buffer size 12:0
//!             2 │ buffer                                                              2 │ buffer
//!             3 │ next descriptor (not used: rings wrap by RER, TER)                  3 │ as receive
//!             4 │ checksum verdict (enhanced)
//!             6 │ timestamp: nanoseconds, 7: seconds (enhanced)
//! ```

use crate::engine::stamp::time;
use crate::ring::{Descriptor, Received, RxDescriptor, RxError, TxDescriptor, TxError};
use crate::word::{Word, bit, low};
use ringtap::device::{RxChecksum, RxMeta, TxChecksum, TxMeta};
use ringtap::time::Instant;

/// The hardware's, in the first word of both directions.
const OWN: u32 = bit(31);
/// Buffer sizes: the lower 13 bits of the second word.
const SIZE: u32 = 0x1fff;
/// The frame check sequence, which silicon without `MACCR.CSTF` leaves on.
const FCS: usize = 4;

/// Bits of RDES0.
mod rdes0 {
    use super::bit;
    pub const LENGTH_SHIFT: u32 = 16;
    pub const LENGTH: u32 = 0x3fff;
    /// Error summary.
    pub const ES: u32 = bit(15);
    /// No descriptor was left for the frame's rest.
    pub const DE: u32 = bit(14);
    pub const OE: u32 = bit(11);
    pub const FS: u32 = bit(9);
    pub const LS: u32 = bit(8);
    /// Enhanced: words 6 and 7 have a timestamp. Four words: the IP header's checksum is wrong.
    pub const TSV_IPHCE: u32 = bit(7);
    /// An Ethernet II frame.
    pub const FT: u32 = bit(5);
    /// The receive watchdog cut it.
    pub const RWT: u32 = bit(4);
    pub const CE: u32 = bit(1);
    /// Enhanced: word 4 is valid. Four words: the payload's checksum is wrong.
    pub const ESA_PCE: u32 = bit(0);
}

/// Bits of RDES1.
mod rdes1 {
    use super::bit;
    /// The last descriptor of the ring.
    pub const RER: u32 = bit(15);
}

/// Bits of RDES4.
mod rdes4 {
    use super::bit;
    /// Payload type: 1 UDP, 2 TCP, 3 ICMP.
    pub const IPPT: u32 = 7;
    pub const IPHE: u32 = bit(3);
    pub const IPPE: u32 = bit(4);
    /// The checksum engine was bypassed.
    pub const IPCB: u32 = bit(5);
}

/// Bits of TDES0.
mod tdes0 {
    use super::bit;
    /// Interrupt on completion.
    pub const IC: u32 = bit(30);
    pub const LS: u32 = bit(29);
    pub const FS: u32 = bit(28);
    /// A time stamp is wanted; there is one.
    pub const TTSE: u32 = bit(25);
    pub const TTSS: u32 = bit(17);
    /// Insert the IPv4 header's and the payload's checksum, pseudo-header included.
    pub const CIC_FULL: u32 = 0b11 << 22;
    /// The last descriptor of the ring.
    pub const TER: u32 = bit(21);
    pub const ES: u32 = bit(15);
    pub const LCA: u32 = bit(11);
    pub const NC: u32 = bit(10);
    pub const LCO: u32 = bit(9);
    pub const EC: u32 = bit(8);
    pub const UF: u32 = bit(1);
}

/// A receive descriptor of `N` words: 8 are the enhanced ones (STM32F4, F7), 4 those of STM32F1.
///
/// Four words have the frame check sequence in the length, since that silicon cannot strip it.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct RxDesc<const N: usize>([Word; N]);

/// A transmit descriptor of `N` words, as [`RxDesc`].
#[derive(Debug)]
#[repr(C, align(16))]
pub struct TxDesc<const N: usize>([Word; N]);

impl<const N: usize> RxDesc<N> {
    /// A descriptor that is ours. All zeros, so that a `static` lies in `.bss`.
    pub const fn new() -> Self {
        const { assert!(N == 4 || N == 8, "descriptors have 4 or 8 words") };
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
        const { assert!(N == 4 || N == 8, "descriptors have 4 or 8 words") };
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

impl<const N: usize> Descriptor for RxDesc<N> {
    #[inline]
    fn is_hardware(&self) -> bool {
        self.0[0].get() & OWN != 0
    }

    #[inline]
    fn give(&self) {
        self.0[0].set(OWN);
    }

    fn take_back(&self) {
        self.0[0].set(0);
    }
}

impl<const N: usize> RxDescriptor for RxDesc<N> {
    /// The largest multiple of a word that the size field holds.
    const MAX_CAPACITY: usize = SIZE as usize & !3;

    #[inline]
    fn arm(&self, buffer: *mut u8, capacity: usize, wraps: bool) {
        self.0[1].set(capacity as u32 | if wraps { rdes1::RER } else { 0 });
        self.0[2].set(low(buffer));
        self.0[3].set(0);
    }

    #[inline]
    fn received(&self) -> Received {
        let status = self.0[0].get();
        match self.0.get(4..8) {
            Some([extended, _, nanos, seconds]) => enhanced(status, extended.get(), [nanos.get(), seconds.get()]),
            _ => normal(status),
        }
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
    /// The jabber timer cuts longer frames.
    const MAX_LEN: usize = 2048;

    #[inline]
    fn load(&self, buffer: *const u8, len: usize, meta: &TxMeta, wraps: bool) {
        self.0[1].set(len as u32 & SIZE);
        self.0[2].set(low(buffer));
        self.0[3].set(0);
        // Where there are four words a time stamp would be written over the addresses.
        let stamp = if N == 8 && meta.timestamp { tdes0::TTSE } else { 0 };
        self.0[0].set(control(meta, wraps) | stamp);
    }

    #[inline]
    fn sent(&self) -> Result<(), TxError> {
        outcome(self.0[0].get())
    }

    const STAMPS: bool = N == 8;

    fn stamp(&self) -> Option<Instant> {
        let [_, _, nanos, seconds] = self.0.get(4..8)? else { return None };
        if self.0[0].get() & tdes0::TTSS == 0 {
            return None;
        }
        time([nanos.get(), seconds.get()])
    }
}

/// TDES0 of a whole frame, without the owner.
fn control(meta: &TxMeta, wraps: bool) -> u32 {
    let checksum = match meta.checksum {
        TxChecksum::Complete => 0,
        TxChecksum::Partial { .. } => tdes0::CIC_FULL,
    };
    tdes0::IC | tdes0::LS | tdes0::FS | checksum | if wraps { tdes0::TER } else { 0 }
}

/// What TDES0 says of a frame that was sent, or was not.
fn outcome(status: u32) -> Result<(), TxError> {
    if status & tdes0::ES == 0 {
        return Ok(());
    }
    Err(match status {
        s if s & tdes0::UF != 0 => TxError::Underrun,
        s if s & (tdes0::LCO | tdes0::EC) != 0 => TxError::Collision,
        s if s & (tdes0::LCA | tdes0::NC) != 0 => TxError::Carrier,
        _ => TxError::Other,
    })
}

/// What is wrong with a received frame.
fn error(status: u32) -> Option<RxError> {
    if status & rdes0::ES == 0 {
        return None;
    }
    Some(match status {
        s if s & (rdes0::OE | rdes0::DE) != 0 => RxError::Overrun,
        s if s & rdes0::RWT != 0 => RxError::TooLong,
        s if s & rdes0::CE != 0 => RxError::Crc,
        _ => RxError::Other,
    })
}

fn received(status: u32, fcs: usize, checksum: RxChecksum, timestamp: Option<Instant>) -> Received {
    Received {
        len: ((status >> rdes0::LENGTH_SHIFT & rdes0::LENGTH) as usize).saturating_sub(fcs),
        first: status & rdes0::FS != 0,
        last: status & rdes0::LS != 0,
        error: error(status),
        context_follows: false,
        meta: RxMeta { checksum, gso: None, timestamp },
    }
}

/// What a descriptor of four words says; the checksum verdict is spread over three bits of its status.
fn normal(status: u32) -> Received {
    let verdict = status & (rdes0::FT | rdes0::TSV_IPHCE | rdes0::ESA_PCE);
    // Only of Ethernet II frames, with neither error. A payload that was not checked looks like an 802.3 frame with PCE.
    let checksum = if verdict == rdes0::FT { RxChecksum::Verified } else { RxChecksum::None };
    received(status, FCS, checksum, None)
}

/// What an enhanced descriptor says.
fn enhanced(status: u32, extended: u32, timestamp: [u32; 2]) -> Received {
    let checksum = match extended & rdes4::IPPT {
        _ if status & rdes0::ESA_PCE == 0 => RxChecksum::None,
        // UDP, TCP, ICMP.
        1..=3 if extended & (rdes4::IPHE | rdes4::IPPE | rdes4::IPCB) == 0 => RxChecksum::Verified,
        _ => RxChecksum::None,
    };
    let timestamp = if status & rdes0::TSV_IPHCE != 0 { time(timestamp) } else { None };
    received(status, 0, checksum, timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    const WHOLE: u32 = 64 << 16 | rdes0::FS | rdes0::LS;

    #[test]
    fn descriptors_have_the_size_that_the_engine_steps_by() {
        assert_eq!((size_of::<RxDesc<8>>(), size_of::<TxDesc<8>>()), (32, 32));
        assert_eq!((size_of::<RxDesc<4>>(), size_of::<TxDesc<4>>()), (16, 16));
        assert_eq!(offset_of!(RxDesc<8>, 0), 0);
    }

    #[test]
    fn a_receive_descriptor_is_armed_before_it_is_given() {
        let desc = RxDesc::<8>::new();
        desc.arm(core::ptr::without_provenance_mut(0x2000_1000), 1536, true);
        assert!(!desc.is_hardware());
        assert_eq!([1, 2, 3].map(|i| desc.0[i].get()), [1536 | 1 << 15, 0x2000_1000, 0]);
        desc.give();
        assert_eq!(desc.0[0].get(), 1 << 31);
        desc.take_back();
        assert!(!desc.is_hardware());
        desc.arm(core::ptr::without_provenance_mut(0x2000_1000), RxDesc::<8>::MAX_CAPACITY, false);
        assert_eq!(desc.0[1].get(), 8188);
    }

    #[test]
    fn a_transmit_descriptor_keeps_its_control_bits_when_it_is_given() {
        let desc = TxDesc::<8>::new();
        let partial = TxMeta { checksum: TxChecksum::Partial { start: 34, offset: 16 }, ..TxMeta::default() };
        for (meta, wraps, expected) in [
            (TxMeta::default(), false, 0x7000_0000),
            (TxMeta::default(), true, 0x7020_0000),
            (partial, false, 0x70c0_0000),
        ] {
            desc.load(core::ptr::without_provenance(0x2000_0040), 1514, &meta, wraps);
            assert_eq!(desc.0[0].get(), expected);
            assert_eq!((desc.0[1].get(), desc.0[2].get()), (1514, 0x2000_0040));
            desc.give();
            assert_eq!(desc.0[0].get(), expected | 0x8000_0000);
            desc.take_back();
        }
    }

    #[test]
    fn receive_errors_are_told_apart_and_count_only_with_the_summary() {
        let es = rdes0::ES;
        for (bits, expected) in [
            (0, None),
            (rdes0::CE, None),
            (es | rdes0::CE, Some(RxError::Crc)),
            (es | rdes0::OE | rdes0::CE, Some(RxError::Overrun)),
            (es | rdes0::DE, Some(RxError::Overrun)),
            (es | rdes0::RWT | rdes0::CE, Some(RxError::TooLong)),
            (es, Some(RxError::Other)),
            (es | bit(3), Some(RxError::Other)),
        ] {
            assert_eq!(enhanced(WHOLE | bits, 0, [0; 2]).error, expected, "{bits:#x}");
            assert_eq!(normal(WHOLE | bits).error, expected, "{bits:#x}");
        }
    }

    #[test]
    fn lengths_and_ends_are_read_and_four_words_count_the_fcs() {
        let whole = enhanced(WHOLE, 0, [0; 2]);
        assert_eq!((whole.len, whole.first, whole.last), (64, true, true));
        assert_eq!(normal(WHOLE).len, 60);
        assert_eq!(normal(3 << 16).len, 0, "a length below the FCS's");
        let middle = enhanced(0x3fff << 16, 0, [0; 2]);
        assert_eq!((middle.len, middle.first, middle.last), (0x3fff, false, false));
    }

    #[test]
    fn only_a_checked_transport_checksum_counts_as_verified() {
        let (esa, ok) = (rdes0::ESA_PCE, RxChecksum::Verified);
        for (status, extended, expected) in [
            (0, 2, RxChecksum::None),
            (esa, 0, RxChecksum::None),
            (esa, 1, ok),
            (esa, 2 | 1 << 6, ok),
            (esa, 3, ok),
            (esa, 4, RxChecksum::None),
            (esa, 2 | 1 << 3, RxChecksum::None),
            (esa, 2 | 1 << 4, RxChecksum::None),
            (esa, 2 | 1 << 5, RxChecksum::None),
        ] {
            assert_eq!(enhanced(WHOLE | status, extended, [0; 2]).meta.checksum, expected, "{extended:#x}");
        }
        // FT, IPHCE, PCE, as the table in RM0008 has them.
        for (ft, iphce, pce) in [(0, 0, 0), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1), (0, 0, 1), (0, 1, 1), (0, 1, 0)]
        {
            let expected = if (ft, iphce, pce) == (1, 0, 0) { ok } else { RxChecksum::None };
            assert_eq!(normal(WHOLE | ft << 5 | iphce << 7 | pce).meta.checksum, expected);
        }
    }

    #[test]
    fn a_time_stamp_is_asked_for_where_there_are_words_for_it() {
        let meta = TxMeta { timestamp: true, ..TxMeta::default() };
        let (enhanced, normal) = (TxDesc::<8>::new(), TxDesc::<4>::new());
        enhanced.load(core::ptr::null(), 60, &meta, false);
        normal.load(core::ptr::null(), 60, &meta, false);
        assert_eq!((enhanced.0[0].get() & tdes0::TTSE, normal.0[0].get() & tdes0::TTSE), (1 << 25, 0));
    }

    #[test]
    fn a_timestamp_is_read_where_there_is_one() {
        let at = |status, words| enhanced(WHOLE | status, 0, words).meta.timestamp;
        assert_eq!(at(0, [1000, 1]), None);
        assert_eq!(at(rdes0::TSV_IPHCE, [5_999, 7]), Some(Instant::from_micros(7_000_005)));
        assert_eq!(at(rdes0::TSV_IPHCE, [u32::MAX; 2]), None);
    }

    #[test]
    fn transmit_errors_are_told_apart() {
        let es = tdes0::ES;
        for (status, expected) in [
            (0, Ok(())),
            (tdes0::UF, Ok(())),
            (es | tdes0::UF, Err(TxError::Underrun)),
            (es | tdes0::LCO, Err(TxError::Collision)),
            (es | tdes0::EC, Err(TxError::Collision)),
            (es | tdes0::LCA, Err(TxError::Carrier)),
            (es | tdes0::NC, Err(TxError::Carrier)),
            (es | bit(14), Err(TxError::Other)),
        ] {
            assert_eq!(outcome(status), expected, "{status:#x}");
        }
    }
}
