//! Playing a script against a host.

use super::parse::{Line, Script, Segment, Span, Step};
use super::{Ending, Settings, pattern};
use crate::packet::{ACK, PSH, SYN, Tcp};
use std::time::Duration;

/// The peer's initial sequence number: its text crosses the sign bit.
const PEER_ISN: u32 = 0x7fff_fffe;
/// How long the host is waited for where the script does not say.
const PATIENCE: Duration = Duration::from_secs(1);
/// The port of the host.
pub const HOST_PORT: u16 = 80;
/// The port of the peer.
pub const PEER_PORT: u16 = 4000;

/// A segment that left, and how long after the last thing that was done to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Since the last segment given or call made.
    pub at: Duration,
    /// The segment.
    pub segment: Tcp,
}

/// What a script plays against: a host with a user, on a link with the peer.
pub trait Host {
    /// `stack` or `kernel`.
    fn name(&self) -> &'static str;
    /// Whether its clock is virtual, so that it can be held to upper bounds.
    fn is_exact(&self) -> bool;
    /// Listens on [`HOST_PORT`].
    fn listen(&mut self, settings: Settings);
    /// Opens a connection from [`HOST_PORT`] to [`PEER_PORT`] of the peer.
    fn connect(&mut self, settings: Settings);
    /// Takes a connection; whether there was one.
    fn accept(&mut self) -> bool;
    /// A segment of the peer's arrives.
    fn give(&mut self, segment: &Tcp);
    /// The next segment that leaves, within `wait` (as long as it takes where the clock is not exact).
    fn next(&mut self, wait: Duration) -> Option<Note>;
    /// Lets so long pass; what left meanwhile.
    fn pass(&mut self, time: Duration) -> Vec<Note>;
    /// Writes; how many octets were taken.
    fn write(&mut self, text: &[u8]) -> usize;
    /// Reads once, up to so many octets; an empty vector is the end, `None`: nothing there yet.
    fn read(&mut self, most: usize) -> Option<Result<Vec<u8>, Ending>>;
    /// Ends its text.
    fn shutdown(&mut self);
    /// Closes the connection's socket.
    fn close(&mut self);
}

/// Where a play stands.
struct Play<'h, H> {
    host: &'h mut H,
    settings: Settings,
    /// The host's initial sequence number, once it was seen.
    host_isn: Option<u32>,
    /// Octets written and read so far.
    written: u32,
    read: u32,
    /// The time of the last segment expected, since the last thing done to the host.
    last: Duration,
    /// The least time that must have passed by then, by the script.
    least: Duration,
    /// What has left so far.
    seen: Vec<Tcp>,
}

/// Plays `script` against `host`.
///
/// # Errors
/// The first line that the host did not keep to, and what happened instead.
pub fn play<H: Host>(script: &Script, host: &mut H) -> Result<(), String> {
    let mut play = Play {
        settings: script.settings,
        host_isn: None,
        written: 0,
        read: 0,
        last: Duration::ZERO,
        least: Duration::ZERO,
        seen: Vec::new(),
        host,
    };
    for Line { number, only, step } in &script.lines {
        if only.as_ref().is_none_or(|only| only == play.host.name()) {
            play.step(step).map_err(|e| format!("line {number}, on the {}: {e}", play.host.name()))?;
        }
    }
    play.expect_quiet(Duration::ZERO).map_err(|e| format!("at the end, on the {}: {e}", play.host.name()))
}

/// The options of a segment of the peer's, padded; `isn`: the host's initial sequence number.
fn options(segment: &Segment, isn: u32) -> Vec<u8> {
    let mut options = Vec::new();
    if let Some(mss) = segment.mss {
        options.extend([2, 4]);
        options.extend(mss.to_be_bytes());
    }
    if let Some(Some(shift)) = segment.ws {
        options.extend([1, 3, 3, shift]);
    }
    if segment.sackok {
        options.extend([1, 1, 4, 2]);
    }
    if let Some(blocks @ [_, ..]) = segment.sack.as_deref() {
        options.extend([1, 1, 5, 2 + 8 * blocks.len() as u8]);
        let edges = blocks.iter().flat_map(|&(left, right)| [left, right]);
        options.extend(edges.flat_map(|edge| isn.wrapping_add(edge).to_be_bytes()));
    }
    options
}

impl<H: Host> Play<'_, H> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::In(segment) => return self.give(segment),
            Step::Out(segment, span) => return self.expect(segment, *span),
            Step::Quiet(time) => return self.expect_quiet(*time),
            Step::Read(n) => return self.read(*n),
            Step::End => return self.expect_end(|told| told == Ok(Vec::new())),
            Step::Error(ending) => return self.expect_end(|told| told == Err(*ending)),
            _ => self.acted(),
        }
        match step {
            Step::Listen => self.host.listen(self.settings),
            Step::Connect => self.host.connect(self.settings),
            Step::Accept if !self.host.accept() => return Err("there is no connection to accept".into()),
            Step::Write(n) => {
                let text: Vec<u8> = (self.written..self.written + n).map(pattern).collect();
                let taken = self.host.write(&text);
                if taken != text.len() {
                    return Err(format!("{taken} octets were taken"));
                }
                self.written += n;
            }
            Step::Shutdown => self.host.shutdown(),
            Step::Close => self.host.close(),
            _ => {}
        }
        Ok(())
    }

    /// Something was done to the host: times count from here.
    fn acted(&mut self) {
        (self.last, self.least) = (Duration::ZERO, Duration::ZERO);
    }

    fn give(&mut self, segment: &Segment) -> Result<(), String> {
        let Segment { flags, seq, ack, text, win, .. } = *segment;
        let seq = seq.unwrap_or(0);
        let isn = match ack {
            Some(_) => self.host_isn.ok_or("the host's numbers are not known yet")?,
            None => 0,
        };
        let ack = ack.map_or(0, |ack| isn.wrapping_add(ack));
        // The first octet of text has the number 1.
        let first = seq.wrapping_sub(1);
        let payload = (0..text).map(|n| pattern(first.wrapping_add(n))).collect();
        let options = options(segment, isn);
        let seq = PEER_ISN.wrapping_add(seq);
        let window = win.unwrap_or(65_535);
        self.acted();
        self.host.give(&Tcp {
            src: PEER_PORT,
            dst: HOST_PORT,
            seq,
            ack,
            flags,
            ecn: 0,
            window,
            urgent: 0,
            options,
            payload,
        });
        Ok(())
    }

    fn expect(&mut self, wanted: &Segment, span: Option<Span>) -> Result<(), String> {
        let most = span.map_or(PATIENCE, |span| span.most);
        let least = span.map_or(Duration::ZERO, |span| span.least);
        let Note { at, segment } = loop {
            let Some(note) = self.host.next(most) else {
                return Err(format!("nothing was sent within {most:?}"));
            };
            if note.segment.has(SYN) {
                self.host_isn.get_or_insert(note.segment.seq);
            }
            match self.check(wanted, &note.segment) {
                Ok(()) => break note,
                Err(_) if self.comes_again(&note.segment) => {}
                Err(what) => return Err(format!("{what} of {}", self.shown(&note.segment))),
            }
        };
        let shown = self.shown(&segment);
        self.seen.push(segment);
        let since = at.saturating_sub(self.last);
        // A late look at one segment makes the next one seem early: on a clock that is not virtual, the bounds add up.
        self.least += least;
        let too_early = if self.host.is_exact() { since < least } else { at < self.least };
        if too_early || (self.host.is_exact() && since > most) {
            return Err(format!("{shown} came after {since:?}"));
        }
        self.last = at;
        Ok(())
    }

    fn check(&self, wanted: &Segment, got: &Tcp) -> Result<(), String> {
        let Segment { flags, seq, ack, text, win, mss, ws, sackok, ref sack } = *wanted;
        let isn = self.host_isn.unwrap_or(0);
        let is = |what: &str, wanted: Option<u32>, got: u32| match wanted {
            Some(wanted) if wanted != got => Err(format!("the {what} is wanted to be {wanted}, not {got},")),
            _ => Ok(()),
        };
        if flags & !PSH != got.flags & !PSH {
            return Err("the flags are wanted otherwise:".into());
        }
        is("sequence number", seq, got.seq.wrapping_sub(isn))?;
        if flags & ACK != 0 {
            is("acknowledgment", ack, got.ack.wrapping_sub(PEER_ISN))?;
        }
        is("length", Some(text), got.payload.len() as u32)?;
        is("window", win.map(u32::from), u32::from(got.window))?;
        let told = got.option(2).map_or(0, |o| u32::from(o[0]) << 8 | u32::from(o[1]));
        is("MSS", mss.map(u32::from), told)?;
        let scale = got.option(3).map(|o| o[0]);
        if ws.is_some_and(|ws| ws != scale) {
            return Err(format!("the window scale {scale:?}"));
        }
        if sackok && got.option(4).is_none() {
            return Err("SACK is not permitted by the options".into());
        }
        let told = got.blocks().into_iter().map(|(l, r)| (l.wrapping_sub(PEER_ISN), r.wrapping_sub(PEER_ISN)));
        let told: Vec<_> = told.collect();
        if sack.as_ref().is_some_and(|sack| *sack != told) {
            return Err(format!("the blocks {told:?}"));
        }
        let first = got.seq.wrapping_sub(isn).wrapping_sub(1);
        let differs = (0..).zip(&got.payload).find(|(n, octet)| pattern(first.wrapping_add(*n)) != **octet);
        differs.map_or(Ok(()), |(n, _)| Err(format!("octet {n} is wrong")))
    }

    /// A segment as scripts write them.
    fn shown(&self, s: &Tcp) -> String {
        const NAMES: [&str; 6] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
        let flags: Vec<&str> =
            (0..).zip(NAMES).filter(|(bit, _)| s.flags >> bit & 1 == 1).map(|(_, name)| name).collect();
        let seq = s.seq.wrapping_sub(self.host_isn.unwrap_or(0));
        let ack = if s.has(ACK) { format!(" ack {}", s.ack.wrapping_sub(PEER_ISN)) } else { String::new() };
        format!("`{} seq {seq}{ack} text {} win {}`", flags.join(" "), s.payload.len(), s.window)
    }

    fn expect_quiet(&mut self, time: Duration) -> Result<(), String> {
        let sent = self.host.pass(time);
        match sent.iter().find(|note| !self.comes_again(&note.segment)) {
            Some(note) => Err(format!("{} was sent", self.shown(&note.segment))),
            None => Ok(()),
        }
    }

    /// Whether the segment only comes again because the script's turn came late: a host whose clock is not virtual does
    /// not wait for a slow machine.
    fn comes_again(&self, segment: &Tcp) -> bool {
        let same = |s: &Tcp| {
            let is_alike = (s.seq, s.ack, s.flags) == (segment.seq, segment.ack, segment.flags);
            is_alike && s.payload == segment.payload && s.blocks() == segment.blocks()
        };
        !self.host.is_exact() && self.seen.iter().any(same)
    }

    fn read(&mut self, n: u32) -> Result<(), String> {
        self.acted();
        let mut got = Vec::new();
        while got.len() < n as usize {
            match self.host.read(n as usize - got.len()) {
                Some(Ok(text)) if !text.is_empty() => got.extend(text),
                other => return Err(format!("{} octets were read, then {other:?}", got.len())),
            }
        }
        let right = (self.read..).zip(&got).all(|(n, octet)| pattern(n) == *octet);
        self.read += n;
        if right { Ok(()) } else { Err("a wrong octet was read".into()) }
    }

    fn expect_end(&mut self, is_so: impl Fn(Result<Vec<u8>, Ending>) -> bool) -> Result<(), String> {
        self.acted();
        match self.host.read(1) {
            Some(told) if is_so(told.clone()) => Ok(()),
            other => Err(format!("a read gives {other:?}")),
        }
    }
}
