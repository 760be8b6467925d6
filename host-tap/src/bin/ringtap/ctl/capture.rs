//! `ringtap ctl PATH capture FILE`: writes what a running stack records, until a signal, a number of frames or a time.

use super::asked;
use crate::cli::CaptureArgs;
use ringtap_host::epoll::{Poller, Signals};
use ringtap_host::failure::Failure;
use ringtap_host::sys::{Events, Interest};
use serde_json::json;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const STREAM: u64 = 0;
const SIGNAL: u64 = 1;

const ENHANCED_PACKET: u32 = 6;
const INTERFACE_STATISTICS: u32 = 5;

/// Octets of a statistics block in front of its number of dropped frames: type, length, interface, time, the option with
/// the number of frames seen, and the head of its own.
const DROPPED_AT: usize = 8 + 4 + 8 + 12 + 4;

/// Records, and says on stderr how much.
pub fn run(path: &Path, args: &CaptureArgs) -> Result<ExitCode, Failure> {
    let signals = Signals::new().map_err(|e| Failure::io("cannot wait for signals", &e))?;
    let to_stdout = args.file.as_os_str() == "-";
    let mut out: Box<dyn Write> = if to_stdout {
        Box::new(std::io::stdout())
    } else {
        let failed = |e| Failure::io(format_args!("cannot write {}", args.file.display()), &e);
        Box::new(File::create(&args.file).map_err(failed)?)
    };
    let question = json!({ "do": "capture", "netif": args.dev, "snap": args.snap, "count": args.count,
        "proto": args.proto, "host": args.host.map(|ip| ip.to_string()), "port": args.port });
    let (answer, reader) = asked(path, &question)?;
    if let Some(error) = answer["error"].as_str() {
        return Err(Failure::new(error));
    }
    let written = |e| Failure::io(format_args!("cannot write {}", args.file.display()), &e);
    let mut blocks = Blocks::default();
    blocks.see(reader.buffer());
    out.write_all(reader.buffer()).map_err(written)?;
    let stream = reader.into_inner();
    let until = args.seconds.map(|s| Instant::now() + Duration::from_secs(s.into()));
    copy(stream, signals, until, |octets| {
        blocks.see(octets);
        out.write_all(octets).and_then(|()| out.flush()).map_err(written)
    })?;
    eprintln!("{} frames captured, {} dropped", blocks.packets, blocks.dropped);
    Ok(ExitCode::SUCCESS)
}

/// Hands on what comes, until the other end closes: by itself, or because it was told to.
fn copy(
    mut stream: UnixStream,
    mut signals: Signals,
    until: Option<Instant>,
    mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::io("the capture ends here", &e);
    stream.set_nonblocking(true).map_err(failed)?;
    let mut poller = Poller::new().map_err(failed)?;
    poller.add(&stream, STREAM, Interest::READ).map_err(failed)?;
    poller.add(&signals, SIGNAL, Interest::READ).map_err(failed)?;
    let (mut events, mut buf, mut told) = (Events::new(), vec![0; 1 << 16], false);
    loop {
        loop {
            match stream.read(&mut buf) {
                Ok(0) => return Ok(()),
                Ok(n) => write(buf.get(..n).unwrap_or_default())?,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(e) => return Err(failed(e)),
            }
        }
        let left = until.map(|at| at.saturating_duration_since(Instant::now()));
        let is_over = left.is_some_and(|left| left.is_zero());
        if is_over && !told {
            told = true;
            stream.shutdown(Shutdown::Write).map_err(failed)?;
        }
        poller.wait(&mut events, left.filter(|_| !told)).map_err(failed)?;
        if signals.take() {
            if told {
                return Ok(());
            }
            told = true;
            stream.shutdown(Shutdown::Write).map_err(failed)?;
        }
    }
}

/// Counts a capture's blocks as they pass, in pieces of any size.
#[derive(Default)]
struct Blocks {
    /// The beginning of the block that is passing, as far as it says something.
    head: Vec<u8>,
    /// Octets of the block still to come, once its length is known.
    left: usize,
    packets: u64,
    dropped: u64,
}

impl Blocks {
    fn see(&mut self, mut octets: &[u8]) {
        while let Some(&octet) = octets.first() {
            if self.head.len() < 8 {
                self.head.push(octet);
                octets = octets.get(1..).unwrap_or_default();
                self.left = usize::MAX;
                if self.head.len() == 8 {
                    self.left = (self.word(4) as usize).saturating_sub(8);
                }
            } else {
                let n = self.left.min(octets.len());
                let (seen, rest) = octets.split_at(n);
                let wanted = (DROPPED_AT + 8).saturating_sub(self.head.len());
                self.head.extend_from_slice(seen.get(..wanted.min(n)).unwrap_or_default());
                self.left -= n;
                octets = rest;
            }
            if self.left == 0 {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        match self.word(0) {
            ENHANCED_PACKET => self.packets += 1,
            INTERFACE_STATISTICS => {
                let number = self.head.get(DROPPED_AT..).and_then(|b| b.first_chunk());
                self.dropped += number.map_or(0, |b| u64::from_ne_bytes(*b));
            }
            _ => {}
        }
        self.head.clear();
    }

    fn word(&self, at: usize) -> u32 {
        self.head.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_ne_bytes(*b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringtap::device::Medium;
    use ringtap_host::pcapng::{Direction, Writer};

    #[test]
    fn blocks_are_counted_in_pieces_of_any_size() {
        let mut writer = Writer::new(Vec::new(), Medium::Ethernet, "rt0").expect("a Vec takes everything");
        for len in [0, 1, 60, 1514] {
            writer.packet_on(0, 1, Direction::Inbound, &vec![6; len], 1514).expect("a Vec takes everything");
        }
        writer.statistics(0, 1, 9, 0x0102_0304_0506).expect("a Vec takes everything");
        let all = writer.into_inner();
        for size in [1, 3, 7, 64, all.len()] {
            let mut blocks = Blocks::default();
            all.chunks(size).for_each(|piece| blocks.see(piece));
            assert_eq!((blocks.packets, blocks.dropped), (4, 0x0102_0304_0506), "{size}");
        }
    }
}
