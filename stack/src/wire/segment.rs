//! TCP segments: parsed in one pass over header and options, and the headers that we send.
//!
//! Implements RFC 9293 §3.1 and §3.2, with the options of RFC 7323 (window scale, timestamps) and RFC 2018 (SACK).
//! Checksums are not looked at here: see `checksum.rs`.

use crate::device::SegmentSize;
use crate::seq::Seq;
use crate::stats::DropReason;
use crate::wire::checksum::{self, Sum};
use core::fmt;
use core::ops::{BitOr, BitOrAssign};
use smoltcp::wire::{TcpPacket, TcpSeqNumber};

/// Octets of a TCP header without options.
pub(crate) const HEADER_LEN: usize = 20;
/// The most octets that options take (RFC 9293 §3.1: a data offset of 15 words).
pub(crate) const MAX_OPTIONS_LEN: usize = 40;
/// The longest TCP header.
#[cfg(test)]
pub(crate) const MAX_HEADER_LEN: usize = HEADER_LEN + MAX_OPTIONS_LEN;
/// Where the checksum lies in the header.
pub(crate) const CHECKSUM_OFFSET: usize = 16;

mod kind {
    pub const END: u8 = 0;
    pub const NOP: u8 = 1;
    pub const MSS: u8 = 2;
    pub const WINDOW_SCALE: u8 = 3;
    pub const SACK_PERMITTED: u8 = 4;
    pub const SACK: u8 = 5;
    pub const TIMESTAMPS: u8 = 8;
}

/// How nearly every segment of a connection with timestamps begins its options (RFC 7323 appendix A).
const TIMESTAMPS_ALIGNED: [u8; 4] = [kind::NOP, kind::NOP, kind::TIMESTAMPS, 10];

/// The control bits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct Flags(u8);

impl Flags {
    /// No flag.
    #[cfg(test)]
    pub const NONE: Self = Self(0);
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is significant.
    #[cfg(any(test, feature = "urgent"))]
    pub const URG: Self = Self(0x20);
    /// ECN-Echo: the sender has received a mark (RFC 3168 §6.1).
    #[cfg(any(test, feature = "ecn"))]
    pub const ECE: Self = Self(0x40);
    /// Congestion Window Reduced.
    #[cfg(any(test, feature = "ecn"))]
    pub const CWR: Self = Self(0x80);

    /// The flags of this octet of a header.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The octet of the header.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other`'s flags are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other`'s flags is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The flags without `other`'s.
    #[cfg(test)]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The flags with `other`'s (as `|`, in constants).
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let mut first = true;
        for (bit, name) in NAMES.iter().enumerate() {
            if self.0 >> bit & 1 == 1 {
                f.write_str(if first { "" } else { "|" })?;
                f.write_str(name)?;
                first = false;
            }
        }
        if first { f.write_str("none") } else { Ok(()) }
    }
}

/// The timestamps option (RFC 7323 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct Timestamps {
    /// TSval: the sender's clock.
    pub val: u32,
    /// TSecr: the other's clock, echoed.
    pub ecr: u32,
}

/// Whether these options are read and written at all: where nothing is made of them, they are unknown. Tests know all.
const STAMPS: bool = cfg!(any(test, feature = "timestamps"));
const SCALE: bool = cfg!(any(test, feature = "window-scale"));
const SACK: bool = cfg!(any(test, feature = "sack"));

/// As many SACK blocks as forty octets hold; none are read or written without the feature `sack`.
const BLOCKS: usize = if cfg!(feature = "sack") { 4 } else { 0 };

/// SACK blocks: left edge and the number behind the right edge (RFC 2018 §3).
pub(crate) type SackBlocks = heapless::Vec<(Seq, Seq), BLOCKS, u8>;

/// The options that we know. All others are skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The largest segment that the sender wants to receive (RFC 9293 §3.7.1); meaningful on SYN.
    pub mss: Option<u16>,
    /// The shift as received, also above 14 (RFC 7323 §2.3: used as 14); meaningful on SYN.
    pub window_scale: Option<u8>,
    /// The sender takes SACK; meaningful on SYN.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// SACK blocks, as many as were there; not checked.
    pub sack: SackBlocks,
}

/// The options of a header that we send.
pub(crate) type HeaderOptions = Options;

impl Options {
    /// No option.
    pub const NONE: Self =
        Self { mss: None, window_scale: None, sack_permitted: false, timestamps: None, sack: SackBlocks::new() };

    /// Reads options in one pass. A length octet of 0 or 1, or one beyond the end, ends the reading; an option whose
    /// length is not the one its kind must have is skipped; what came before is kept.
    fn parse(bytes: &[u8]) -> Self {
        let mut options = Self::NONE;
        if STAMPS && let (Some((&TIMESTAMPS_ALIGNED, value)), 12) = (bytes.split_first_chunk::<4>(), bytes.len()) {
            options.read(kind::TIMESTAMPS, value);
            return options;
        }
        let mut rest = bytes;
        while let [kind, tail @ ..] = rest {
            match *kind {
                kind::END => break,
                kind::NOP => rest = tail,
                kind => {
                    //= https://www.rfc-editor.org/rfc/rfc9293#section-3.1
                    //# TCP implementations MUST be prepared to handle an illegal option length (e.g., zero); a
                    //# suggested procedure is to reset the connection and log the error cause (MUST-7).
                    let Some((&len, tail)) = tail.split_first() else { break };
                    let Some((value, tail)) = usize::from(len).checked_sub(2).and_then(|n| tail.split_at_checked(n))
                    else {
                        break;
                    };
                    options.read(kind, value);
                    rest = tail;
                }
            }
        }
        options
    }

    #[inline]
    fn read(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (kind::MSS, &[a, b]) => self.mss = Some(u16::from_be_bytes([a, b])),
            (kind::WINDOW_SCALE, &[shift]) if SCALE => self.window_scale = Some(shift),
            (kind::SACK_PERMITTED, &[]) if SACK => self.sack_permitted = true,
            (kind::TIMESTAMPS, &[a, b, c, d, e, f, g, h]) if STAMPS => {
                let (val, ecr) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
                self.timestamps = Some(Timestamps { val, ecr });
            }
            (kind::SACK, blocks) if BLOCKS != 0 => {
                let (blocks, []) = blocks.as_chunks::<8>() else { return };
                for &[a, b, c, d, e, f, g, h] in blocks {
                    let block = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
                    // Forty octets hold no more than four blocks; of a repeated option the rest is left out.
                    let _ = self.sack.push((Seq::new(block.0), Seq::new(block.1)));
                }
            }
            _ => {}
        }
    }

    #[inline]
    const fn stamps(&self) -> Option<Timestamps> {
        if STAMPS { self.timestamps } else { None }
    }

    /// SACK blocks that fit behind the other options.
    fn sack_fitting(&self) -> &[(Seq, Seq)] {
        let room = (MAX_OPTIONS_LEN - 4).saturating_sub(self.fixed_len()) / 8;
        self.sack.get(..self.sack.len().min(room)).unwrap_or_default()
    }

    /// Octets of all options but SACK, aligned.
    #[cfg_attr(target_os = "none", inline(never))]
    const fn fixed_len(&self) -> usize {
        let timestamps = if self.stamps().is_some() { 12 } else { 0 };
        // With timestamps, "SACK permitted" takes the place of their two NOPs.
        let sack_permitted = if SACK && self.sack_permitted && self.stamps().is_none() { 4 } else { 0 };
        let mss = if self.mss.is_some() { 4 } else { 0 };
        let window_scale = if SCALE && self.window_scale.is_some() { 4 } else { 0 };
        timestamps + sack_permitted + mss + window_scale
    }

    /// Octets that the options take in a header: a multiple of 4, at most 40.
    #[inline]
    pub fn len(&self) -> usize {
        let sack = if BLOCKS == 0 || self.sack.is_empty() { 0 } else { self.sack_len() };
        self.fixed_len() + sack
    }

    fn sack_len(&self) -> usize {
        match self.sack_fitting() {
            [] => 0,
            blocks => 4 + 8 * blocks.len(),
        }
    }

    fn emit(&self, buf: &mut [u8]) {
        let mut out = Words(buf);
        if let Some(mss) = self.mss {
            let [a, b] = mss.to_be_bytes();
            out.put([kind::MSS, 4, a, b]);
        }
        match (SACK && self.sack_permitted, self.stamps()) {
            (true, Some(_)) => out.put([kind::SACK_PERMITTED, 2, kind::TIMESTAMPS, 10]),
            (true, None) => out.put([kind::NOP, kind::NOP, kind::SACK_PERMITTED, 2]),
            (false, Some(_)) => out.put(TIMESTAMPS_ALIGNED),
            (false, None) => {}
        }
        if let Some(Timestamps { val, ecr }) = self.stamps() {
            out.put(val.to_be_bytes());
            out.put(ecr.to_be_bytes());
        }
        if let (true, Some(shift)) = (SCALE, self.window_scale) {
            out.put([kind::NOP, kind::WINDOW_SCALE, 3, shift]);
        }
        if BLOCKS != 0 && !self.sack.is_empty() {
            self.emit_sack(&mut out);
        }
        //= https://www.rfc-editor.org/rfc/rfc9293#section-3.1
        //# The TCP header padding is used to ensure that the TCP header ends, and data begins, on a 32-bit boundary.
        //# The padding is composed of zeros.
        out.0.fill(0);
    }

    fn emit_sack(&self, out: &mut Words<'_>) {
        let blocks = self.sack_fitting();
        if blocks.is_empty() {
            return;
        }
        out.put([kind::NOP, kind::NOP, kind::SACK, 2 + 8 * blocks.len() as u8]);
        for (left, right) in blocks {
            out.put(left.value().to_be_bytes());
            out.put(right.value().to_be_bytes());
        }
    }
}

/// What of a header is still to be written, by words of four octets.
struct Words<'b>(&'b mut [u8]);

impl Words<'_> {
    #[inline]
    fn put(&mut self, word: [u8; 4]) {
        if let Some((first, rest)) = core::mem::take(&mut self.0).split_first_chunk_mut::<4>() {
            *first = word;
            self.0 = rest;
        }
    }
}

/// Source and destination port of the segment that `bytes` begins with.
#[inline]
pub(crate) fn ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let &[a, b, c, d] = bytes.first_chunk()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// A received segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment<'b> {
    /// The sender's port.
    pub src_port: u16,
    /// Our port.
    pub dst_port: u16,
    /// SEG.SEQ.
    pub seq: Seq,
    /// SEG.ACK; meaningful with ACK.
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// SEG.WND, as it stands in the header: not scaled.
    pub window: u16,
    /// SEG.UP; meaningful with URG.
    // RFC 6093 §3.1 leaves urgent text in line: without `urgent`, nothing depends on where it ends.
    #[cfg_attr(not(any(test, feature = "urgent")), expect(dead_code, reason = "read by tests, and shown by Debug"))]
    pub urgent: u16,
    /// Its packet was marked by a router (RFC 3168 §5): for the IP layer to say.
    #[cfg(feature = "ecn")]
    pub is_ce: bool,
    /// The options that we know.
    pub options: Options,
    /// What segments it stands for.
    pub size: SegmentSize,
    /// The text.
    pub payload: &'b [u8],
}

impl<'b> Segment<'b> {
    /// Reads the TCP header that `bytes` (an IP packet's whole payload) begins with.
    #[inline]
    pub fn parse(bytes: &'b [u8]) -> Result<Self, DropReason> {
        let (fixed, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(DropReason::TcpMalformed)?;
        let tcp = TcpPacket::new_unchecked(fixed);
        let options_len = usize::from(tcp.header_len()).checked_sub(HEADER_LEN).ok_or(DropReason::TcpMalformed)?;
        let (options, payload) = rest.split_at_checked(options_len).ok_or(DropReason::TcpMalformed)?;
        let [.., flags, _, _, _, _, _, _] = *fixed;
        Ok(Self {
            src_port: tcp.src_port(),
            dst_port: tcp.dst_port(),
            seq: Seq::new(tcp.seq_number().0 as u32),
            ack: Seq::new(tcp.ack_number().0 as u32),
            flags: Flags::from_bits(flags),
            window: tcp.window_len(),
            urgent: tcp.urgent_at(),
            #[cfg(feature = "ecn")]
            is_ce: false,
            options: if options.is_empty() { Options::NONE } else { Options::parse(options) },
            size: SegmentSize::default(),
            payload,
        })
    }

    /// The sum of the segment's octets, `bytes`, the checksum field included.
    #[inline]
    pub fn sum(&self, bytes: &[u8]) -> Sum {
        match bytes.split_at_checked(bytes.len().wrapping_sub(self.payload.len())) {
            // A header is a whole number of words, so that the text begins at an even offset.
            Some((header, [])) => header_sum(header),
            Some((header, text)) => header_sum(header).add(checksum::sum(text)),
            None => checksum::sum(bytes),
        }
    }

    /// SEG.LEN: octets of text, and one each for SYN and FIN.
    #[inline]
    pub const fn len(&self) -> u32 {
        self.payload.len() as u32 + self.flags.contains(Flags::SYN) as u32 + self.flags.contains(Flags::FIN) as u32
    }
}

/// The header of a segment that we send; the checksum is set once it is known.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// Our port.
    pub src_port: u16,
    /// The receiver's port.
    pub dst_port: u16,
    /// SEG.SEQ.
    pub seq: Seq,
    /// SEG.ACK; written only with ACK, else the field is zero.
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// SEG.WND, already scaled down.
    pub window: u16,
    /// SEG.UP.
    pub urgent: u16,
    /// The options. SACK blocks for which there is no room are left out.
    pub options: HeaderOptions,
}

impl Header {
    /// Octets of the header: a multiple of 4.
    #[inline]
    pub fn len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Writes the header into `buf`, which has [`len`](Self::len) octets, with a checksum field of zero.
    #[inline(always)]
    pub fn emit(&self, buf: &mut [u8]) {
        let Self { src_port, dst_port, seq, ack, flags, window, urgent, ref options } = *self;
        let len = buf.len();
        debug_assert_eq!(len, self.len(), "the room is for this header");
        let Some((fixed, rest)) = buf.split_first_chunk_mut::<HEADER_LEN>() else { return };
        let mut tcp = TcpPacket::new_unchecked(&mut *fixed);
        tcp.set_src_port(src_port);
        tcp.set_dst_port(dst_port);
        tcp.set_seq_number(TcpSeqNumber(seq.value() as i32));
        let ack = if flags.contains(Flags::ACK) { ack.value() } else { 0 };
        tcp.set_ack_number(TcpSeqNumber(ack as i32));
        tcp.set_window_len(window);
        tcp.set_checksum(0);
        tcp.set_urgent_at(urgent);
        // The setters of single bits read and write the field once each; the whole of it is known here.
        let [.., offset, bits, _, _, _, _, _, _] = fixed;
        *offset = (len as u8 / 4) << 4;
        *bits = flags.bits();
        if !rest.is_empty() {
            options.emit(rest);
        }
    }
}

/// Stores the checksum in an emitted TCP header.
#[inline]
pub(crate) fn set_checksum(header: &mut [u8], checksum: u16) {
    if let Some(field) = header.get_mut(CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The sum of an emitted header. Nearly all have no options: their ten words are added without a loop.
#[inline]
pub(crate) fn header_sum(header: &[u8]) -> Sum {
    match header.split_first_chunk::<HEADER_LEN>() {
        Some((fixed, [])) => checksum::sum_of_words(fixed.as_chunks::<4>().0),
        _ => checksum::sum(header),
    }
}

/// An answer that needs no connection: a reset or an acknowledgment without text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// SEG.SEQ.
    pub seq: Seq,
    /// SEG.ACK; meaningful with ACK.
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// SEG.WND as it goes into the header.
    pub window: u16,
    /// Timestamps, on acknowledgments of connections that use them.
    pub timestamps: Option<Timestamps>,
}

impl Reply {
    /// The reset for a segment that no connection or listener wants, or `None` when the segment is a reset itself.
    pub fn reset_for(segment: &Segment<'_>) -> Option<Self> {
        let reset = |seq, ack, flags| Some(Self { seq, ack, flags, window: 0, timestamps: None });
        if segment.flags.contains(Flags::RST) {
            return None;
        }
        if segment.flags.contains(Flags::ACK) {
            //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.1
            //# If the ACK bit is on,
            //# <SEQ=SEG.ACK><CTL=RST>
            reset(segment.ack, Seq::new(0), Flags::RST)
        } else {
            //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.1
            //# If the ACK bit is off, sequence number zero is used,
            //# <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
            reset(Seq::new(0), segment.seq + segment.len(), Flags::RST | Flags::ACK)
        }
    }

    /// The header that carries the answer.
    pub fn header(&self, src_port: u16, dst_port: u16) -> Header {
        let Self { seq, ack, flags, window, timestamps } = *self;
        let options = Options { timestamps, ..Options::NONE };
        Header { src_port, dst_port, seq, ack, flags, window, urgent: 0, options }
    }
}

#[cfg(test)]
mod tests;
