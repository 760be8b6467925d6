//! Descriptors of the DWMAC 4 and 5 DMA: four words, with one meaning when the driver writes them and another when the
//! hardware writes them back.
//!
//! Layout: STM32H7's reference manual RM0433 58.10, "Descriptors".
//!
//! ```text
//!                       read by the hardware                       written back
//!   receive   0 │ buffer                                 │ VLAN tags
//!             1 │                                        │ ... TSA 14 ... │IPCE 7│IPCB 6│v6│v4│IPHE 3│PT 2:0
//!             3 │OWN│IOC 30│BUF1V 24                     │OWN│CTXT 30│FD│LD│ ... RS1V 26 ... errors ... │ES 15│ PL 14:0
//!   context                                           0,1│ nanoseconds, seconds;  3 │OWN│CTXT
//!   transmit
//!           0,1 │ buffer                                 │ nanoseconds, seconds (TTSS)
//!             2 │IOC│TTSE│ length 13:0
//!             3 │OWN│CTXT│FD│LD│ ... CIC 17:16│FL 14:0   │OWN│CTXT│FD│LD│ ... TTSS 17 │ES 15│ ... errors
//! ```

use crate::engine::stamp::time;
use crate::ring::{Context, Descriptor, Received, RxDescriptor, RxError, TxDescriptor, TxError};
use crate::word::{Word, bit, low};
use ringtap::device::{RxChecksum, RxMeta, TxChecksum, TxMeta};
use ringtap::time::Instant;

/// The hardware's, in the fourth word of both directions.
const OWN: u32 = bit(31);

/// Bits of RDES1 as written back.
mod rdes1 {
    use super::bit;
    /// Payload type: 1 UDP, 2 TCP, 3 ICMP.
    pub const PT: u32 = 7;
    pub const IPHE: u32 = bit(3);
    /// The checksum engine was bypassed, or found the payload wrong.
    pub const IPCB: u32 = bit(6);
    pub const IPCE: u32 = bit(7);
    /// A context descriptor with a timestamp follows.
    pub const TSA: u32 = bit(14);
}

/// Bits of RDES3: as read, then as written back.
mod rdes3 {
    use super::bit;
    pub const IOC: u32 = bit(30);
    pub const BUF1V: u32 = bit(24);
    pub const CTXT: u32 = bit(30);
    pub const FD: u32 = bit(29);
    pub const LD: u32 = bit(28);
    /// RDES1 is valid.
    pub const RS1V: u32 = bit(26);
    pub const CE: u32 = bit(24);
    /// A giant, or cut by the watchdog.
    pub const GP: u32 = bit(23);
    pub const RWT: u32 = bit(22);
    pub const OE: u32 = bit(21);
    pub const ES: u32 = bit(15);
    pub const PL: u32 = 0x7fff;
}

/// Bits of TDES2.
mod tdes2 {
    use super::bit;
    pub const IOC: u32 = bit(31);
    /// A time stamp is wanted.
    pub const TTSE: u32 = bit(30);
    pub const B1L: u32 = 0x3fff;
}

/// Bits of TDES3.
mod tdes3 {
    use super::bit;
    pub const FD: u32 = bit(29);
    pub const LD: u32 = bit(28);
    /// Insert the IPv4 header's and the payload's checksum, pseudo-header included.
    pub const CIC_FULL: u32 = 0b11 << 16;
    pub const FL: u32 = 0x7fff;
    /// There is a time stamp.
    pub const TTSS: u32 = bit(17);
    pub const ES: u32 = bit(15);
    /// Loss of carrier, no carrier.
    pub const LOC: u32 = bit(11);
    pub const NC: u32 = bit(10);
    /// Late and excessive collisions.
    pub const LC: u32 = bit(9);
    pub const EC: u32 = bit(8);
    pub const UF: u32 = bit(2);
}

/// A receive descriptor.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct RxDesc([Word; 4]);

/// A transmit descriptor.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct TxDesc([Word; 4]);

impl RxDesc {
    /// A descriptor that is ours. All zeros, so that a `static` lies in `.bss`.
    pub const fn new() -> Self {
        Self([const { Word::new(0) }; 4])
    }

    /// The words, to look at.
    pub fn words(&self) -> &[Word; 4] {
        &self.0
    }
}

impl TxDesc {
    /// A descriptor that is ours. All zeros, so that a `static` lies in `.bss`.
    pub const fn new() -> Self {
        Self([const { Word::new(0) }; 4])
    }

    /// The words, to look at.
    pub fn words(&self) -> &[Word; 4] {
        &self.0
    }
}

impl Default for RxDesc {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for TxDesc {
    fn default() -> Self {
        Self::new()
    }
}

impl Descriptor for RxDesc {
    #[inline]
    fn is_hardware(&self) -> bool {
        self.0[3].get() & OWN != 0
    }

    #[inline]
    fn give(&self) {
        self.0[3].set(self.0[3].get() | OWN);
    }

    fn take_back(&self) {
        self.0[3].set(0);
    }
}

impl RxDescriptor for RxDesc {
    /// As far as DMACRxCR.RBSZ reaches, in whole words.
    const MAX_CAPACITY: usize = 0x3ffc;

    #[inline]
    fn arm(&self, buffer: *mut u8, _: usize, _: bool) {
        self.0[0].set(low(buffer));
        self.0[1].set(0);
        self.0[2].set(0);
        self.0[3].set(rdes3::IOC | rdes3::BUF1V);
    }

    #[inline]
    fn received(&self) -> Received {
        decode(self.0[1].get(), self.0[3].get())
    }

    #[inline]
    fn context(&self) -> Option<Context> {
        let [nanos, seconds, _, status] = self.0.each_ref().map(Word::get);
        if status & rdes3::CTXT == 0 {
            return None;
        }
        Some(Context { timestamp: time([nanos, seconds]) })
    }
}

impl Descriptor for TxDesc {
    #[inline]
    fn is_hardware(&self) -> bool {
        self.0[3].get() & OWN != 0
    }

    #[inline]
    fn give(&self) {
        self.0[3].set(self.0[3].get() | OWN);
    }

    fn take_back(&self) {
        self.0[3].set(0);
    }
}

impl TxDescriptor for TxDesc {
    /// The jabber timer cuts longer frames.
    const MAX_LEN: usize = 2048;

    #[inline]
    fn load(&self, buffer: *const u8, len: usize, meta: &TxMeta, _: bool) {
        let checksum = match meta.checksum {
            TxChecksum::Complete => 0,
            TxChecksum::Partial { .. } => tdes3::CIC_FULL,
        };
        self.0[0].set(low(buffer));
        self.0[1].set(0);
        let stamp = if meta.timestamp { tdes2::TTSE } else { 0 };
        self.0[2].set(tdes2::IOC | stamp | len as u32 & tdes2::B1L);
        self.0[3].set(tdes3::FD | tdes3::LD | checksum | len as u32 & tdes3::FL);
    }

    #[inline]
    fn sent(&self) -> Result<(), TxError> {
        outcome(self.0[3].get())
    }

    const STAMPS: bool = true;

    fn stamp(&self) -> Option<Instant> {
        let [nanos, seconds, _, status] = self.0.each_ref().map(Word::get);
        if status & tdes3::TTSS != 0 { time([nanos, seconds]) } else { None }
    }
}

/// What a receive descriptor says that was written back.
fn decode(extended: u32, status: u32) -> Received {
    let extended = if status & rdes3::RS1V != 0 { extended } else { 0 };
    let error = match status {
        s if s & rdes3::ES == 0 => None,
        s if s & rdes3::OE != 0 => Some(RxError::Overrun),
        s if s & (rdes3::GP | rdes3::RWT) != 0 => Some(RxError::TooLong),
        s if s & rdes3::CE != 0 => Some(RxError::Crc),
        _ => Some(RxError::Other),
    };
    let checksum = match extended & rdes1::PT {
        // UDP, TCP, ICMP.
        1..=3 if extended & (rdes1::IPHE | rdes1::IPCB | rdes1::IPCE) == 0 => RxChecksum::Verified,
        _ => RxChecksum::None,
    };
    Received {
        len: (status & rdes3::PL) as usize,
        first: status & rdes3::FD != 0,
        last: status & rdes3::LD != 0,
        error,
        context_follows: extended & rdes1::TSA != 0,
        meta: RxMeta { checksum, ..RxMeta::default() },
    }
}

/// What TDES3 says of a frame that was sent, or was not.
fn outcome(status: u32) -> Result<(), TxError> {
    match status {
        s if s & tdes3::ES == 0 => Ok(()),
        s if s & tdes3::UF != 0 => Err(TxError::Underrun),
        s if s & (tdes3::LC | tdes3::EC) != 0 => Err(TxError::Collision),
        s if s & (tdes3::LOC | tdes3::NC) != 0 => Err(TxError::Carrier),
        _ => Err(TxError::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::size_of;
    use core::ptr::{without_provenance, without_provenance_mut};

    const WHOLE: u32 = rdes3::FD | rdes3::LD | 64;

    #[test]
    fn descriptors_have_the_size_that_the_engine_steps_by() {
        assert_eq!((size_of::<RxDesc>(), size_of::<TxDesc>()), (16, 16));
    }

    #[test]
    fn a_receive_descriptor_is_armed_before_it_is_given() {
        let desc = RxDesc::new();
        // As the hardware left it.
        desc.0[3].set(WHOLE | rdes3::RS1V);
        desc.arm(without_provenance_mut(0x3000_1000), 1536, true);
        assert!(!desc.is_hardware());
        desc.give();
        assert_eq!(desc.0.each_ref().map(Word::get), [0x3000_1000, 0, 0, 0xc100_0000]);
        desc.take_back();
        assert!(!desc.is_hardware());
    }

    #[test]
    fn a_transmit_descriptor_is_loaded_before_it_is_given() {
        let partial = TxMeta { checksum: TxChecksum::Partial { start: 34, offset: 16 }, ..TxMeta::default() };
        for (meta, last) in [(TxMeta::default(), 0xb000_05ea), (partial, 0xb003_05ea)] {
            let desc = TxDesc::new();
            desc.load(without_provenance(0x3000_0040), 1514, &meta, true);
            assert!(!desc.is_hardware());
            desc.give();
            assert_eq!(desc.0.each_ref().map(Word::get), [0x3000_0040, 0, 0x8000_05ea, last]);
        }
    }

    #[test]
    fn receive_errors_are_told_apart_and_count_only_with_the_summary() {
        let es = rdes3::ES;
        for (bits, expected) in [
            (0, None),
            (rdes3::CE, None),
            (es | rdes3::CE, Some(RxError::Crc)),
            (es | rdes3::OE | rdes3::CE, Some(RxError::Overrun)),
            (es | rdes3::RWT | rdes3::CE, Some(RxError::TooLong)),
            (es | rdes3::GP, Some(RxError::TooLong)),
            (es | bit(20), Some(RxError::Other)),
            (es | bit(19), Some(RxError::Other)),
            (es, Some(RxError::Other)),
        ] {
            assert_eq!(decode(0, WHOLE | bits).error, expected, "{bits:#x}");
        }
    }

    #[test]
    fn lengths_and_ends_are_read() {
        for (status, len, first, last) in
            [(WHOLE, 64, true, true), (rdes3::FD, 0, true, false), (rdes3::LD | 0x7fff, 0x7fff, false, true)]
        {
            let received = decode(0, status);
            assert_eq!((received.len, received.first, received.last), (len, first, last));
        }
    }

    #[test]
    fn only_a_checked_transport_checksum_in_a_valid_word_counts_as_verified() {
        let valid = rdes3::RS1V;
        for (status, extended, verified) in [
            (0, 2, false),
            (valid, 0, false),
            (valid, 1 | 1 << 4, true),
            (valid, 2 | 1 << 5, true),
            (valid, 3, true),
            (valid, 4, false),
            (valid, 2 | 1 << 3, false),
            (valid, 2 | 1 << 6, false),
            (valid, 2 | 1 << 7, false),
        ] {
            let expected = if verified { RxChecksum::Verified } else { RxChecksum::None };
            assert_eq!(decode(extended, WHOLE | status).meta.checksum, expected, "{extended:#x}");
        }
    }

    #[test]
    fn a_context_descriptor_has_the_timestamp_that_was_announced() {
        assert!(decode(1 << 14, WHOLE | rdes3::RS1V).context_follows);
        assert!(!decode(1 << 14, WHOLE).context_follows);
        let desc = RxDesc::new();
        let context = |words: [u32; 4]| {
            desc.0.iter().zip(words).for_each(|(word, value)| word.set(value));
            desc.context()
        };
        assert_eq!(context([5, 7, 0, WHOLE]), None, "a packet");
        let timestamp = Some(Instant::from_micros(7_000_005));
        assert_eq!(context([5_999, 7, 0, rdes3::CTXT]), Some(Context { timestamp }));
        assert_eq!(context([u32::MAX, u32::MAX, 0, rdes3::CTXT]), Some(Context { timestamp: None }));
    }

    #[test]
    fn transmit_errors_are_told_apart() {
        let es = tdes3::ES;
        for (status, expected) in [
            (0, Ok(())),
            (tdes3::UF, Ok(())),
            (es | tdes3::UF, Err(TxError::Underrun)),
            (es | tdes3::LC, Err(TxError::Collision)),
            (es | tdes3::EC, Err(TxError::Collision)),
            (es | tdes3::LOC, Err(TxError::Carrier)),
            (es | tdes3::NC, Err(TxError::Carrier)),
            (es | bit(14), Err(TxError::Other)),
        ] {
            assert_eq!(outcome(status), expected, "{status:#x}");
        }
    }
}
