//! Reading a script: one step a line, an error for whatever is not understood.

use super::{Ending, Settings};
use crate::packet::{ACK, FIN, PSH, RST, SYN, URG};
use std::time::Duration;

/// A script as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What the user wants of the connection.
    pub settings: Settings,
    /// What happens.
    pub lines: Vec<Line>,
}

/// A step, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Line number, from 1.
    pub number: usize,
    /// `stack` or `kernel`, when it is for one of them only.
    pub only: Option<String>,
    /// What happens.
    pub step: Step,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The host listens.
    Listen,
    /// The host opens a connection.
    Connect,
    /// The host accepts one that is there.
    Accept,
    /// A segment of the peer's.
    In(Segment),
    /// A segment of the host's, and when.
    Out(Segment, Option<Span>),
    /// Nothing leaves for so long.
    Quiet(Duration),
    /// The user writes so many octets.
    Write(u32),
    /// The user reads so many octets.
    Read(u32),
    /// The user reads the end.
    End,
    /// The user ends its text.
    Shutdown,
    /// The user closes the socket.
    Close,
    /// The user is told of this end.
    Error(Ending),
}

/// A segment with relative numbers; `None` is not looked at in what the host sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Control bits.
    pub flags: u8,
    /// Sequence number, counted from the sender's SYN.
    pub seq: Option<u32>,
    /// Acknowledgment number, counted from the receiver's SYN.
    pub ack: Option<u32>,
    /// Octets of text.
    pub text: u32,
    /// The window field.
    pub win: Option<u16>,
    /// The MSS option.
    pub mss: Option<u16>,
    /// The window scale option; `Some(None)`: there must be none.
    pub ws: Option<Option<u8>>,
    /// The SACK-permitted option.
    pub sackok: bool,
    /// SACK blocks, counted as `ack` is; `Some` of none: there must be none.
    pub sack: Option<Vec<(u32, u32)>>,
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Not before.
    pub least: Duration,
    /// Not after, in virtual time.
    pub most: Duration,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// The first line that is not understood, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut script = Self { settings: Settings::default(), lines: Vec::new() };
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            let result = match words.as_slice() {
                [] => Ok(()),
                ["set", rest @ ..] if script.lines.is_empty() => set(&mut script.settings, rest),
                ["set", ..] => Err("settings come first".into()),
                words => step_for(words).map(|(only, step)| script.lines.push(Line { number, only, step })),
            };
            result.map_err(|e| format!("line {number}: {e}"))?;
        }
        if script.lines.is_empty() { Err("an empty script".into()) } else { Ok(script) }
    }
}

fn set(settings: &mut Settings, words: &[&str]) -> Result<(), String> {
    match words {
        ["no-nagle"] => settings.no_nagle = true,
        ["keep-alive", idle, interval, count] => {
            settings.keep_alive = Some((number(idle)?, number(interval)?, number(count)?));
        }
        _ => return Err(format!("there is no setting `{}`", words.join(" "))),
    }
    Ok(())
}

fn step_for(words: &[&str]) -> Result<(Option<String>, Step), String> {
    match words {
        [only @ ("stack:" | "kernel:"), rest @ ..] => Ok((Some(only.trim_end_matches(':').to_owned()), step(rest)?)),
        words => Ok((None, step(words)?)),
    }
}

fn step(words: &[&str]) -> Result<Step, String> {
    Ok(match words {
        ["listen"] => Step::Listen,
        ["connect"] => Step::Connect,
        ["accept"] => Step::Accept,
        ["in", rest @ ..] => match segment(rest)? {
            (segment @ Segment { seq: Some(_), .. }, None) => Step::In(segment),
            (_, None) => return Err("what the peer sends has a `seq`".into()),
            (_, Some(_)) => return Err("`after` is for what the host sends".into()),
        },
        ["out", rest @ ..] => {
            let (segment, span) = segment(rest)?;
            Step::Out(segment, span)
        }
        ["quiet", time] => Step::Quiet(seconds(time)?),
        ["write", n] => Step::Write(number(n)?),
        ["read", n] => Step::Read(number(n)?),
        ["end"] => Step::End,
        ["shutdown"] => Step::Shutdown,
        ["close"] => Step::Close,
        ["error", "reset"] => Step::Error(Ending::Reset),
        ["error", "refused"] => Step::Error(Ending::Refused),
        ["error", "timed-out"] => Step::Error(Ending::TimedOut),
        _ => return Err(format!("`{}` is not understood", words.join(" "))),
    })
}

fn segment(words: &[&str]) -> Result<(Segment, Option<Span>), String> {
    const FLAGS: [(&str, u8); 6] = [("FIN", FIN), ("SYN", SYN), ("RST", RST), ("PSH", PSH), ("ACK", ACK), ("URG", URG)];
    let (mut segment, mut span) = (Segment::default(), None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| name == word) {
            segment.flags |= flag;
            continue;
        }
        if *word == "sackok" {
            segment.sackok = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("`{word}` of what?"))?;
        match *word {
            "seq" => segment.seq = Some(number(value)?),
            "ack" => segment.ack = Some(number(value)?),
            "text" => segment.text = number(value)?,
            "win" => segment.win = Some(number(value)?),
            "mss" => segment.mss = Some(number(value)?),
            "ws" => segment.ws = Some(if *value == "none" { None } else { Some(number(value)?) }),
            "sack" => segment.sack = Some(blocks(value)?),
            "after" => {
                let (least, most) = value.split_once("..").ok_or("`after` wants `LEAST..MOST`")?;
                span = Some(Span { least: seconds(least)?, most: seconds(most)? });
            }
            _ => return Err(format!("a segment has no `{word}`")),
        }
    }
    if segment.ack.is_some() != (segment.flags & ACK != 0) {
        return Err("`ack` and ACK go together".into());
    }
    Ok((segment, span))
}

/// `none`, or blocks as in `1001-2001,5001-6001`.
fn blocks(word: &str) -> Result<Vec<(u32, u32)>, String> {
    if word == "none" {
        return Ok(Vec::new());
    }
    let block = |block: &str| {
        let (left, right) = block.split_once('-').ok_or("`sack` wants `LEFT-RIGHT,…` or `none`")?;
        Ok((number(left)?, number(right)?))
    };
    word.split(',').map(block).collect()
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("`{word}` is no number here"))
}

fn seconds(word: &str) -> Result<Duration, String> {
    let seconds: f64 = number(word)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("`{word}` is no time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_line_by_line() {
        let text =
            "# nothing\nset no-nagle\n\nlisten\n in SYN seq 0 mss 9 # first\nkernel: out ACK ack 3 after 0.5..2\n";
        let script = Script::parse(text).expect("a script");
        assert_eq!(script.settings, Settings { no_nagle: true, keep_alive: None });
        let syn = Segment { flags: SYN, seq: Some(0), mss: Some(9), ..Segment::default() };
        let ack = Segment { flags: ACK, ack: Some(3), ..Segment::default() };
        let span = Span { least: Duration::from_millis(500), most: Duration::from_secs(2) };
        let expected = [
            Line { number: 4, only: None, step: Step::Listen },
            Line { number: 5, only: None, step: Step::In(syn) },
            Line { number: 6, only: Some("kernel".into()), step: Step::Out(ack, Some(span)) },
        ];
        assert_eq!(script.lines, expected);
    }

    #[test]
    fn the_options_of_a_segment_are_read() {
        let script = Script::parse(
            "in SYN seq 0 ws 7 sackok\nout SYN ws none\nout ACK ack 1 sack 3-5,8-9\nout ACK ack 1 sack none",
        );
        let lines = script.expect("a script").lines;
        let options = lines.into_iter().map(|line| match line.step {
            Step::In(s) | Step::Out(s, _) => (s.ws, s.sackok, s.sack),
            step => panic!("{step:?}"),
        });
        let expected = [
            (Some(Some(7)), true, None),
            (Some(None), false, None),
            (None, false, Some(vec![(3, 5), (8, 9)])),
            (None, false, Some(vec![])),
        ];
        assert_eq!(options.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        for (bad, why) in [
            ("", "empty"),
            ("listen\nset no-nagle", "line 2"),
            ("set nagle", "no setting"),
            ("lissten", "not understood"),
            ("in SYN", "`seq`"),
            ("in SYN seq 0 after 1..2", "`after`"),
            ("in SYN seq x", "no number"),
            ("in SYN seq 0 win 65536", "no number"),
            ("in ACK seq 0", "go together"),
            ("in SYN seq 0 ack 1", "go together"),
            ("out SYN seq", "of what"),
            ("out SYN length 3", "no `length`"),
            ("out SYN after 3", "LEAST..MOST"),
            ("out ACK ack 1 sack 3", "LEFT-RIGHT"),
            ("out ACK ack 1 sack 3-x", "no number"),
            ("out SYN ws 256", "no number"),
            ("quiet -1", "no time"),
            ("error gone", "not understood"),
        ] {
            let error = Script::parse(bad).expect_err(bad);
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
