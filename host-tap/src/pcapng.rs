//! Captures in the pcapng format: every frame of a device, in and out, with nanoseconds and direction.
//!
//! ```text
//!  section header │ interface description (link type, if_tsresol 9) │ enhanced packet (epb_flags) │ …
//! ```
//! Blocks follow draft-ietf-opsawg-pcapng; there is no RFC yet. Integers are in the machine's order, which the section
//! header states. A checksum left to the device is completed in the capture, so that Wireshark finds no fault.

use crate::device::{Counters, HostDevice};
use crate::failure::Failure;
use ringtap::device::{
    Capabilities, Device, Link, Lost, Mac, Medium, RxChecksum, RxMeta, TxChecksum, TxMeta, Unsupported,
};
use ringtap::frame::{Frame, Pool};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::task::Waker;
use std::time::{SystemTime, UNIX_EPOCH};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const OPT_END: u16 = 0;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

/// LINKTYPE_ETHERNET and LINKTYPE_RAW.
const fn link_type(medium: Medium) -> u16 {
    match medium {
        Medium::Ip => 101,
        _ => 1,
    }
}

/// Which way a packet went, seen from the stack. The values are those of `epb_flags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received.
    Inbound = 1,
    /// Sent.
    Outbound = 2,
}

/// Writes a section with its interfaces.
pub struct Writer<W: Write> {
    out: W,
    block: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the section header and the interface's description.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, medium: Medium, name: &str) -> io::Result<Self> {
        let mut writer = Self::section(out)?;
        writer.interface(medium, name, 0)?;
        Ok(writer)
    }

    /// Writes the section header alone.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn section(out: W) -> io::Result<Self> {
        let mut writer = Self { out, block: Vec::with_capacity(2048) };
        writer.begin(SECTION_HEADER);
        writer.u32(BYTE_ORDER_MAGIC);
        writer.u16(1);
        writer.u16(0);
        // The section's length is not known beforehand.
        writer.block.extend(u64::MAX.to_ne_bytes());
        writer.end()?;
        Ok(writer)
    }

    /// Writes the description of the next interface, of whose packets at most `snap` octets are kept (0: all).
    ///
    /// # Errors
    /// Those of `out`.
    pub fn interface(&mut self, medium: Medium, name: &str, snap: u32) -> io::Result<()> {
        self.begin(INTERFACE_DESCRIPTION);
        self.u16(link_type(medium));
        self.u16(0);
        self.u32(snap);
        self.option(IF_NAME, name.as_bytes());
        // 10^-9 s.
        self.option(IF_TSRESOL, &[9]);
        self.option(OPT_END, &[]);
        self.end()
    }

    /// Writes how many packets of an interface were seen, and how many of them are missing here.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn statistics(&mut self, iface: u32, nanos: u64, seen: u64, dropped: u64) -> io::Result<()> {
        self.begin(INTERFACE_STATISTICS);
        self.u32(iface);
        self.u32((nanos >> 32) as u32);
        self.u32(nanos as u32);
        self.option(ISB_IFRECV, &seen.to_ne_bytes());
        self.option(ISB_IFDROP, &dropped.to_ne_bytes());
        self.option(OPT_END, &[]);
        self.end()
    }

    /// Writes a packet seen `nanos` nanoseconds after 1970-01-01 UTC.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn packet(&mut self, nanos: u64, direction: Direction, data: &[u8]) -> io::Result<()> {
        self.packet_with(nanos, direction, data, |_| ())
    }

    /// Writes what was kept of a packet of `len` octets that passed the interface of this number.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn packet_on(
        &mut self,
        iface: u32,
        nanos: u64,
        direction: Direction,
        data: &[u8],
        len: usize,
    ) -> io::Result<()> {
        self.begin_packet(iface, nanos, data, len);
        self.end_packet(direction)
    }

    /// As `packet`; `complete` may change the octets before they are written.
    fn packet_with(
        &mut self,
        nanos: u64,
        direction: Direction,
        data: &[u8],
        complete: impl FnOnce(&mut [u8]),
    ) -> io::Result<()> {
        let start = self.begin_packet(0, nanos, data, data.len());
        complete(self.block.get_mut(start..).unwrap_or_default());
        self.end_packet(direction)
    }

    /// A packet's block up to its octets; where in the block these are.
    fn begin_packet(&mut self, iface: u32, nanos: u64, data: &[u8], len: usize) -> usize {
        self.begin(ENHANCED_PACKET);
        self.u32(iface);
        self.u32((nanos >> 32) as u32);
        self.u32(nanos as u32);
        self.u32(data.len() as u32);
        self.u32(len as u32);
        let start = self.block.len();
        self.block.extend_from_slice(data);
        start
    }

    fn end_packet(&mut self, direction: Direction) -> io::Result<()> {
        self.pad();
        self.option(EPB_FLAGS, &(direction as u32).to_ne_bytes());
        self.option(OPT_END, &[]);
        self.end()
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What is written to.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Gives back what was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.u32(kind);
        // The length, filled in by `end`.
        self.u32(0);
    }

    fn end(&mut self) -> io::Result<()> {
        let total = (self.block.len() as u32 + 4).to_ne_bytes();
        self.block.extend(total);
        if let Some(len) = self.block.get_mut(4..8) {
            len.copy_from_slice(&total);
        }
        self.out.write_all(&self.block)
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.u16(code);
        self.u16(value.len() as u16);
        self.block.extend_from_slice(value);
        self.pad();
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn u16(&mut self, value: u16) {
        self.block.extend(value.to_ne_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.block.extend(value.to_ne_bytes());
    }
}

/// A device whose traffic is recorded.
pub struct Captured<D> {
    device: D,
    /// `None` after the first write that failed: traffic matters more than its record.
    writer: Option<Writer<BufWriter<File>>>,
    dirty: bool,
}

impl<D: Device<'static>> Captured<D> {
    /// Records all frames of `device`, called `name`, into a new file.
    ///
    /// # Errors
    /// When the file cannot be made or written.
    pub fn create(device: D, name: &str, path: &Path) -> Result<Self, Failure> {
        let medium = device.capabilities().medium;
        let writer = File::create(path)
            .and_then(|file| Writer::new(BufWriter::with_capacity(1 << 18, file), medium, name))
            .map_err(|e| Failure::io(format_args!("cannot write the capture {}", path.display()), &e))?;
        Ok(Self { device, writer: Some(writer), dirty: true })
    }

    fn record(&mut self, direction: Direction, data: &[u8], partial: Option<(u16, u16)>) {
        let Some(writer) = &mut self.writer else { return };
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        let complete = |copy: &mut [u8]| {
            if let Some((start, offset)) = partial {
                complete_checksum(copy, start.into(), offset.into());
            }
        };
        self.dirty = true;
        if let Err(e) = writer.packet_with(nanos, direction, data, complete) {
            self.stop(&e);
        }
    }

    fn stop(&mut self, error: &io::Error) {
        self.writer = None;
        eprintln!("ringtap: {}", Failure::io("the capture ends here", error));
    }
}

/// Sums from `start` to the end and stores the result at `start + offset`, which holds the pseudo-header's sum.
fn complete_checksum(packet: &mut [u8], start: usize, offset: usize) {
    let Some(data) = packet.get_mut(start..) else { return };
    let word = |c: &[u8]| u64::from(u16::from_be_bytes([c[0], c.get(1).copied().unwrap_or(0)]));
    let mut sum: u64 = data.chunks(2).map(word).sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    if let Some(field) = data.get_mut(offset..offset.saturating_add(2)) {
        field.copy_from_slice(&(!(sum as u16)).to_be_bytes());
    }
}

impl<D: Device<'static>> Device<'static> for Captured<D> {
    fn capabilities(&self) -> Capabilities {
        self.device.capabilities()
    }

    fn pool(&self) -> Pool<'static> {
        self.device.pool()
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        let (frame, meta) = self.device.receive()?;
        let partial = match meta.checksum {
            RxChecksum::Partial { start, offset } => Some((start, offset)),
            _ => None,
        };
        self.record(Direction::Inbound, &frame, partial);
        Some((frame, meta))
    }

    fn transmit(&mut self, frame: Frame<'static>, meta: TxMeta) -> Result<(), Frame<'static>> {
        let partial = match meta.checksum {
            TxChecksum::Partial { start, offset } => Some((start, offset)),
            TxChecksum::Complete => None,
        };
        // The frame is gone once the device has taken it, and its record must not exist if it is refused.
        let copy: Option<Vec<u8>> = self.writer.is_some().then(|| frame.to_vec());
        self.device.transmit(frame, meta)?;
        if let Some(copy) = copy {
            self.record(Direction::Outbound, &copy, partial);
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.device.flush();
    }

    fn link(&self) -> Link {
        self.device.link()
    }

    fn lost(&self) -> Lost {
        self.device.lost()
    }

    fn register_waker(&mut self, waker: &Waker) {
        self.device.register_waker(waker);
    }

    fn set_multicast_filter(&mut self, groups: &[Mac]) -> Result<(), Unsupported> {
        self.device.set_multicast_filter(groups)
    }

    fn receive_all_groups(&mut self) -> Result<(), Unsupported> {
        self.device.receive_all_groups()
    }

    fn set_promiscuous(&mut self, on: bool) -> Result<(), Unsupported> {
        self.device.set_promiscuous(on)
    }
}

impl<D: HostDevice> HostDevice for Captured<D> {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.device.descriptor()
    }

    fn wants_write(&self) -> Option<BorrowedFd<'_>> {
        self.device.wants_write()
    }

    fn failure(&self) -> Option<Failure> {
        self.device.failure()
    }

    fn counters(&self) -> Counters {
        self.device.counters()
    }

    fn holds(&self) -> bool {
        self.device.holds()
    }

    fn idle(&mut self) {
        self.device.idle();
        if std::mem::take(&mut self.dirty)
            && let Some(writer) = &mut self.writer
            && let Err(e) = writer.flush()
        {
            self.stop(&e);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_laid_out_as_the_format_has_it() {
        let mut writer = Writer::new(Vec::new(), Medium::Ethernet, "tap0").expect("a Vec takes everything");
        writer.packet(0x1_0000_0002, Direction::Outbound, b"abcde").expect("a Vec takes everything");
        let bytes = writer.into_inner();
        let words: Vec<u32> = bytes.chunks(4).map(|c| u32::from_ne_bytes([c[0], c[1], c[2], c[3]])).collect();
        assert_eq!(words[..7], [SECTION_HEADER, 28, BYTE_ORDER_MAGIC, 1, u32::MAX, u32::MAX, 28]);
        let idb = &words[7..];
        let idb_len = idb[1] as usize;
        assert_eq!((idb[0], idb[2], idb[3], idb[idb_len / 4 - 1]), (1, 1, 0, idb[1]));
        let epb = &idb[idb_len / 4..];
        assert_eq!((epb[0], &epb[2..7]), (6, &[0, 1, 2, 5, 5][..]));
        assert_eq!(epb[9].to_ne_bytes()[..2], 2u16.to_ne_bytes());
        assert_eq!((epb[10], epb[11], epb[12]), (Direction::Outbound as u32, 0, epb[1]));
        assert_eq!(epb.len() * 4, epb[1] as usize);
    }

    #[test]
    fn tshark_reads_lengths_directions_and_nanoseconds() {
        let dir = std::env::temp_dir().join(format!("ringtap-pcapng-{}", std::process::id()));
        let mut writer = Writer::new(File::create(&dir).expect("a file"), Medium::Ip, "tun0").expect("written");
        writer.packet(1_700_000_000_123_456_789, Direction::Inbound, &[0x45; 21]).expect("written");
        writer.packet(1_700_000_001_000_000_001, Direction::Outbound, &[0x60; 40]).expect("written");
        drop(writer);
        let output = std::process::Command::new("tshark")
            .args(["-r".as_ref(), dir.as_os_str()])
            .args(["-T", "fields", "-e", "frame.len", "-e", "frame.time_epoch", "-e", "frame.packet_flags_direction"])
            .output()
            .expect("the program `tshark` (package tshark) reads the capture");
        let _ = std::fs::remove_file(&dir);
        let text = String::from_utf8_lossy(&output.stdout);
        let rows: Vec<Vec<&str>> = text.lines().map(|l| l.split('\t').collect()).collect();
        assert_eq!(rows.len(), 2, "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!((rows[0][0], rows[1][0]), ("21", "40"));
        assert!(rows[0][1].contains("123456789"), "{text}");
        assert!(rows[0][2].ends_with('1') && rows[1][2].ends_with('2'), "{text}");
    }

    #[test]
    fn a_checksum_left_to_the_device_is_complete_in_the_capture() {
        // A UDP header from 10.0.0.1:1 to 10.0.0.2:2 with two octets, the field holding the pseudo-header's sum.
        let pseudo: u16 = 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 17 + 10;
        let mut packet = vec![0xff, 0xff, 0, 1, 0, 2, 0, 10];
        packet.extend(pseudo.to_be_bytes());
        packet.extend(*b"hi");
        complete_checksum(&mut packet, 2, 6);
        let sum = 1 + 2 + 10 + u32::from(pseudo) + 0x6869;
        let expected = !(((sum & 0xffff) + (sum >> 16)) as u16);
        assert_eq!(packet[8..10], expected.to_be_bytes());
        complete_checksum(&mut packet, 20, 6);
        complete_checksum(&mut packet, 2, usize::MAX);
    }
}
