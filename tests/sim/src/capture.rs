//! The latest packets of a run, and the file that they are written to when it fails.

use ringtap::device::Medium;
use ringtap::time::Instant;
use ringtap_host::pcapng::{Direction, Writer};
use std::collections::VecDeque;
use std::io::{BufWriter, Result};
use std::path::Path;

/// Packets kept.
const KEPT: usize = 20_000;

/// One packet, as a host saw it.
struct Packet {
    at: Instant,
    host: usize,
    inbound: bool,
    frame: Vec<u8>,
}

/// What hosts have sent and received.
#[derive(Default)]
pub(crate) struct Capture {
    packets: VecDeque<Packet>,
}

impl Capture {
    pub fn keep(&mut self, at: Instant, host: usize, inbound: bool, frame: &[u8]) {
        // The place of the oldest is used again.
        let mut buf = if self.packets.len() < KEPT { Vec::new() } else { self.oldest() };
        buf.clear();
        buf.extend_from_slice(frame);
        self.packets.push_back(Packet { at, host, inbound, frame: buf });
    }

    fn oldest(&mut self) -> Vec<u8> {
        self.packets.pop_front().map_or_else(Vec::new, |p| p.frame)
    }

    /// Writes what host 0 saw, or, with more than two hosts, what each of them saw.
    pub fn write(&self, path: &Path, hosts: usize) -> Result<()> {
        let file = BufWriter::new(std::fs::File::create(path)?);
        let mut out = Writer::new(file, Medium::Ethernet, "sim")?;
        for Packet { at, host, inbound, frame } in &self.packets {
            if *host == 0 || hosts > 2 {
                let direction = if *inbound { Direction::Inbound } else { Direction::Outbound };
                out.packet(at.as_micros() * 1000, direction, frame)?;
            }
        }
        out.flush()
    }
}
