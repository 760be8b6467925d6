//! Multicast DNS messages: what is read of them, and how they are written.
//!
//! Implements RFC 1035 §4.1 and §4.1.4 (compression) with the bounds of RFC 9267, and RFC 6762 §18.

use crate::dns::message::{HEADER, Record, be16, record};
use crate::dns::name::{BadName, Name};
use core::cmp::Ordering;
use heapless::Vec;

/// Octets of a message with its headers, at most (RFC 6762 §17).
const LONGEST: usize = 9_000;
/// Names of a message that others may point to, at most.
const POINTED: usize = 32;
/// The first octets of a pointer.
const POINTER: u16 = 0xc000;

/// Record types (RFC 1035 §3.2.2, RFC 3596, RFC 2782, RFC 4034 §4).
pub(super) mod kind {
    pub const A: u16 = 1;
    pub const CNAME: u16 = 5;
    pub const PTR: u16 = 12;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const NSEC: u16 = 47;
    pub const ANY: u16 = 255;
}

pub(super) const CLASS_IN: u16 = 1;
pub(super) const CLASS_ANY: u16 = 255;
/// Of a question's class: a unicast response is welcome (RFC 6762 §5.4); of a record's: no other records of this name
/// and type are true (§10.2).
pub(super) const TOP_BIT: u16 = 0x8000;

/// The bits of a header's flags that matter (RFC 6762 §18.2 to §18.11).
const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const RCODE: u16 = 0x000f;
/// What a response carries: QR and AA (RFC 6762 §18.4).
pub(super) const RESPONSE_FLAGS: u16 = 0x8400;

/// A section of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Answer = 1,
    Authority = 2,
    Additional = 3,
}

/// A question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub name: Name,
    pub kind: u16,
    pub class: u16,
    /// A unicast response is welcome.
    pub unicast: bool,
}

impl Question {
    /// Whether it asks for records of this type.
    pub fn wants(&self, kind: u16) -> bool {
        self.kind == kind || self.kind == kind::ANY
    }
}

/// A record's type and data, of which `at` is the place in the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data<'m> {
    pub kind: u16,
    pub at: usize,
    pub octets: &'m [u8],
}

impl<'m> Data<'m> {
    pub fn of(record: &Record<'m>) -> Self {
        Self { kind: record.kind, at: record.at, octets: record.data }
    }
}

/// A message as received, each of whose records lies inside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'m> {
    octets: &'m [u8],
    flags: u16,
    counts: [u16; 4],
    /// Where the records begin.
    records: usize,
}

impl<'m> Message<'m> {
    /// Reads a query or a response; `None` for what cannot be one.
    //= https://www.rfc-editor.org/rfc/rfc6762#section-18.3
    //# Multicast DNS messages received with an OPCODE other than zero MUST
    //# be silently ignored.
    //= https://www.rfc-editor.org/rfc/rfc6762#section-18.11
    //# Multicast DNS messages received with non-zero Response Codes MUST
    //# be silently ignored.
    pub fn parse(octets: &'m [u8]) -> Option<Self> {
        let flags = be16(octets, 2).ok()?;
        if octets.len() > LONGEST || flags & (OPCODE | RCODE) != 0 {
            return None;
        }
        let mut counts = [0; 4];
        for (n, count) in counts.iter_mut().enumerate() {
            *count = be16(octets, 4 + 2 * n).ok()?;
        }
        let mut message = Self { octets, flags, counts, records: HEADER };
        let mut at = HEADER;
        for _ in 0..counts[0] {
            at = read_question(octets, at).ok()?.1;
        }
        message.records = at;
        for _ in 0..message.total() {
            at = record(octets, at).ok()?.1;
        }
        Some(message)
    }

    /// The whole message, into which names point.
    #[cfg(feature = "dns-sd")]
    pub const fn octets(&self) -> &'m [u8] {
        self.octets
    }

    fn total(&self) -> u32 {
        self.counts.iter().skip(1).map(|c| u32::from(*c)).sum()
    }

    pub fn is_response(&self) -> bool {
        self.flags & RESPONSE != 0
    }

    /// More known answers follow in another message (RFC 6762 §7.2).
    pub fn is_truncated(&self) -> bool {
        self.flags & TRUNCATED != 0
    }

    pub fn id(&self) -> u16 {
        be16(self.octets, 0).unwrap_or(0)
    }

    pub fn questions(&self) -> impl Iterator<Item = Question> + use<'m> {
        let (octets, mut at) = (self.octets, HEADER);
        (0..self.counts[0]).map_while(move |_| {
            let (question, end) = read_question(octets, at).ok()?;
            at = end;
            Some(question)
        })
    }

    /// All records, each with its section.
    pub fn records(&self) -> impl Iterator<Item = (Section, Record<'m>)> + use<'m> {
        let (octets, mut at, counts) = (self.octets, self.records, self.counts);
        let mut n = 0u32;
        (0..self.total()).map_while(move |_| {
            let (record, end) = record(octets, at).ok()?;
            at = end;
            n += 1;
            let answers = u32::from(counts[1]);
            let section = match n {
                n if n <= answers => Section::Answer,
                n if n <= answers + u32::from(counts[2]) => Section::Authority,
                _ => Section::Additional,
            };
            Some((section, record))
        })
    }

    /// How a record's data compare with `ours` (RFC 6762 §8.2: octet by octet, names being whole); `None` when they
    /// cannot be.
    pub fn compare(&self, data: Data<'_>, ours: &[u8]) -> Option<Ordering> {
        let front = match data.kind {
            kind::PTR | kind::CNAME | kind::NSEC => 0,
            kind::SRV => 6,
            _ => return Some(data.octets.cmp(ours)),
        };
        let (fixed, _) = data.octets.split_at_checked(front)?;
        let (name, end) = Name::read(self.octets, data.at + front).ok()?;
        let behind = self.octets.get(end..data.at + data.octets.len())?;
        Some(fixed.iter().chain(name.octets()).chain(behind).cmp(ours))
    }
}

fn read_question(octets: &[u8], at: usize) -> Result<(Question, usize), BadName> {
    let (name, at) = Name::read(octets, at)?;
    let class = be16(octets, at + 2)?;
    let (unicast, class) = (class & TOP_BIT != 0, class & !TOP_BIT);
    Ok((Question { name, kind: be16(octets, at)?, class, unicast }, at + 4))
}

/// Writes a message. What does not fit is left out whole, and `fits` tells.
pub(super) struct Writer<'b> {
    buf: &'b mut [u8],
    len: usize,
    counts: [u16; 4],
    /// Where labels begin that names behind them may end in.
    labels: Vec<u16, POINTED>,
    fits: bool,
}

impl<'b> Writer<'b> {
    /// A message with these identifier and flags (RFC 6762 §18.1: none, but in answers to legacy queries).
    pub fn new(buf: &'b mut [u8], id: u16, flags: u16) -> Self {
        let mut writer = Self { buf, len: 0, counts: [0; 4], labels: Vec::new(), fits: true };
        let [a, b] = id.to_be_bytes();
        let [c, d] = flags.to_be_bytes();
        writer.octets(&[a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0]);
        writer
    }

    /// Whether everything has fitted so far.
    #[cfg(test)]
    pub fn fits(&self) -> bool {
        self.fits
    }

    /// Appends a question; all of them come before the records.
    pub fn question(&mut self, name: &Name, kind: u16, class: u16) {
        self.whole(0, |w| {
            w.name(name);
            w.word(kind);
            w.word(class);
        });
    }

    /// Appends a record, whose data are `data` and then a name, if any, that may be written short.
    pub fn record(
        &mut self,
        section: Section,
        owner: &Name,
        (kind, class, ttl): (u16, u16, u32),
        data: &[u8],
        target: Option<&Name>,
    ) {
        self.whole(section as usize, |w| {
            w.name(owner);
            w.word(kind);
            w.word(class);
            w.octets(&ttl.to_be_bytes());
            let at = w.len;
            w.word(0);
            w.octets(data);
            if let Some(target) = target {
                w.name(target);
            }
            let len = (w.len - at - 2) as u16;
            if let Some(place) = w.buf.get_mut(at..at + 2) {
                place.copy_from_slice(&len.to_be_bytes());
            }
        });
    }

    /// Completes the header; the octets of the message.
    pub fn finish(self) -> usize {
        for (n, count) in self.counts.iter().enumerate() {
            if let Some(place) = self.buf.get_mut(4 + 2 * n..6 + 2 * n) {
                place.copy_from_slice(&count.to_be_bytes());
            }
        }
        self.len
    }

    /// Writes all of something, or nothing.
    fn whole(&mut self, section: usize, write: impl FnOnce(&mut Self)) {
        let (len, labels, fitted) = (self.len, self.labels.len(), self.fits);
        self.fits = true;
        write(self);
        if self.fits {
            self.fits = fitted;
            if let Some(count) = self.counts.get_mut(section) {
                *count += 1;
            }
        } else {
            self.len = len;
            self.labels.truncate(labels);
        }
    }

    fn octets(&mut self, octets: &[u8]) {
        match self.buf.get_mut(self.len..self.len + octets.len()) {
            Some(place) => {
                place.copy_from_slice(octets);
                self.len += octets.len();
            }
            None => self.fits = false,
        }
    }

    fn word(&mut self, word: u16) {
        self.octets(&word.to_be_bytes());
    }

    /// Writes a name, its end as a pointer where that has been written before.
    fn name(&mut self, name: &Name) {
        let mut rest = name.octets();
        while let Some((&len, behind)) = rest.split_first()
            && len != 0
        {
            let written = self.buf.get(..self.len).unwrap_or(&[]);
            if let Some(&at) = self.labels.iter().find(|at| is_name_at(written, usize::from(**at), rest)) {
                return self.word(POINTER | at);
            }
            if self.len < usize::from(POINTER >> 2) {
                let _ = self.labels.push(self.len as u16);
            }
            let (label, behind) = behind.split_at_checked(usize::from(len)).unwrap_or((&[], &[]));
            self.octets(&[len]);
            self.octets(label);
            rest = behind;
        }
        self.octets(&[0]);
    }
}

/// Whether the name at `at`, written here, is `name`: without copies of either.
fn is_name_at(written: &[u8], mut at: usize, mut name: &[u8]) -> bool {
    while let (Some(&len), Some((&wanted, behind))) = (written.get(at), name.split_first()) {
        if len >> 6 == 3 {
            let Some(&low) = written.get(at + 1) else { return false };
            at = usize::from(len & 0x3f) << 8 | usize::from(low);
            continue;
        }
        let label = written.get(at + 1..at + 1 + usize::from(len));
        let Some((other, rest)) = behind.split_at_checked(usize::from(wanted)) else { return false };
        if len != wanted || !label.is_some_and(|l| l.eq_ignore_ascii_case(other)) {
            return false;
        }
        if len == 0 {
            return true;
        }
        (at, name) = (at + 1 + usize::from(len), rest);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;
    use std::vec::Vec as StdVec;

    fn name(text: &str) -> Name {
        Name::of(text).expect("a name")
    }

    #[test]
    fn what_is_written_is_read_and_names_are_written_once() {
        let mut buf = [0; 512];
        let mut w = Writer::new(&mut buf, 7, RESPONSE_FLAGS);
        w.question(&name("a.local"), kind::ANY, CLASS_IN | TOP_BIT);
        w.record(Section::Answer, &name("_x._tcp.local"), (kind::PTR, 1, 9), &[], Some(&name("i._x._tcp.local")));
        w.record(
            Section::Additional,
            &name("I._x._tcp.local"),
            (kind::SRV, 0x8001, 8),
            &[0; 6],
            Some(&name("A.local")),
        );
        assert!(w.fits());
        let len = w.finish();
        let m = Message::parse(&buf[..len]).expect("a message");
        assert!(m.is_response() && !m.is_truncated() && m.id() == 7);
        let q: StdVec<_> = m.questions().collect();
        assert_eq!((q.len(), q[0].kind, q[0].class, q[0].unicast), (1, 255, 1, true));
        let r: StdVec<_> = m.records().collect();
        assert_eq!((r[0].0, r[1].0, r.len()), (Section::Answer, Section::Additional, 2));
        assert_eq!(r[1].1.owner, name("i._x._tcp.local"));
        let is = |n: usize, data: &[u8]| m.compare(Data::of(&r[n].1), data) == Some(Ordering::Equal);
        assert!(is(0, name("i._x._tcp.local").octets()) && !is(0, name("j._x._tcp.local").octets()));
        // In SRV, too: the letters' case is that of the name written first.
        assert!(is(1, &[&[0; 6][..], name("a.local").octets()].concat()) && r[1].1.data.len() == 8);
        assert_eq!(buf[..len].windows(6).filter(|w| w.eq_ignore_ascii_case(b"\x05local")).count(), 1);
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let mut buf = [0; 60];
        let mut w = Writer::new(&mut buf, 0, 0);
        w.question(&name("abcdefgh.local"), 1, 1);
        w.record(Section::Answer, &name("abcdefgh.local"), (kind::TXT, 1, 1), &[0; 64], None);
        assert!(!w.fits() || w.counts == [1, 0, 0, 0]);
        w.record(Section::Answer, &name("abcdefgh.local"), (kind::A, 1, 1), &[0; 4], None);
        let len = w.finish();
        let m = Message::parse(&buf[..len]).expect("a message");
        assert_eq!(m.records().map(|(_, r)| r.kind).collect::<StdVec<_>>(), [kind::A]);
    }

    /// H136, H129.
    #[test]
    fn messages_that_cannot_be_are_refused() {
        let good = [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0];
        assert!(Message::parse(&good).is_some());
        for (at, value) in [(2, 0x8c), (3, 3), (7, 2), (5, 1), (12, 0xc0), (12, 0x40), (22, 1)] {
            let mut m = good;
            m[at] = value;
            assert!(Message::parse(&m).is_none(), "octet {at} = {value}");
        }
        assert!((0..good.len()).all(|n| Message::parse(&good[..n]).is_none()));
        assert!(Message::parse(&[&good[..], &[0; 9_000]].concat()).is_none());
    }

    proptest! {
        #[test]
        fn no_octets_whatever_make_it_panic(mut m in proptest::collection::vec(any::<u8>(), 12..300), counts in any::<[u8; 4]>()) {
            m[2..4].copy_from_slice(&[0x84, 0]);
            for (n, count) in counts.iter().enumerate() {
                m[4 + 2 * n..6 + 2 * n].copy_from_slice(&[0, count % 3]);
            }
            if let Some(m) = Message::parse(&m) {
                prop_assert!(m.questions().count() + m.records().count() <= 8);
                for (_, record) in m.records() {
                    let _ = m.compare(Data::of(&record), &[1, 2, 3]);
                }
            }
        }
    }
}
