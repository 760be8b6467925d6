//! Domain names: in text, on the wire, compared.
//!
//! Implements RFC 1035 §2.3 and §3.1, §4.1.4 (compression) with the bounds of RFC 9267 §2, RFC 4343 (letter case).

use crate::rng::Rng;
use heapless::Vec;

/// Octets of a name on the wire, at most (RFC 1035 §2.3.4).
const MAX: usize = 255;
/// Octets of a label, at most.
const MAX_LABEL: usize = 63;

/// A name as on the wire, uncompressed: labels, each behind its length, and the root's empty one.
#[derive(Clone, Debug)]
pub(crate) struct Name(Vec<u8, MAX>);

/// Text, or octets of a message, that are no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadName;

impl Name {
    /// The name of `text`, with or without the last dot. Labels are of letters, digits, hyphens and underscores: what
    /// can be a host's name, or a service's.
    pub fn of(text: &str) -> Result<Self, BadName> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut name = Vec::new();
        for label in text.split('.') {
            let good = label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
            if label.is_empty() || label.len() > MAX_LABEL || !good {
                return Err(BadName);
            }
            name.push(label.len() as u8).map_err(|_| BadName)?;
            name.extend_from_slice(label.as_bytes()).map_err(|_| BadName)?;
        }
        name.push(0).map_err(|_| BadName)?;
        Ok(Self(name))
    }

    /// The name of one label, whatever its octets are, below `suffix`: an instance's (RFC 6763 §4.1.1).
    #[cfg(feature = "mdns")]
    pub fn of_label(label: &[u8], suffix: &Self) -> Result<Self, BadName> {
        let mut name = Vec::new();
        if label.is_empty() || label.len() > MAX_LABEL {
            return Err(BadName);
        }
        let _ = name.push(label.len() as u8);
        let parts = name.extend_from_slice(label).and_then(|()| name.extend_from_slice(suffix.octets()));
        parts.map_err(|_| BadName)?;
        Ok(Self(name))
    }

    /// This name below `suffix`.
    pub fn below(&self, suffix: &Self) -> Result<Self, BadName> {
        let mut name = self.clone();
        name.0.pop();
        name.0.extend_from_slice(&suffix.0).map_err(|_| BadName)?;
        Ok(name)
    }

    /// Reads the name at `at` of a message; and where it ends there.
    pub fn read(message: &[u8], mut at: usize) -> Result<(Self, usize), BadName> {
        let mut name = Vec::new();
        let mut end = None;
        // Where the labels read last began: a pointer must lead in front of them, so that none is met again.
        let mut limit = at;
        loop {
            let len = *message.get(at).ok_or(BadName)?;
            match len >> 6 {
                0 => {
                    let label = message.get(at..=at + usize::from(len)).ok_or(BadName)?;
                    name.extend_from_slice(label).map_err(|_| BadName)?;
                    at += label.len();
                    if len == 0 {
                        return Ok((Self(name), end.unwrap_or(at)));
                    }
                }
                3 => {
                    let low = *message.get(at + 1).ok_or(BadName)?;
                    end = end.or(Some(at + 2));
                    let to = usize::from(len & 0x3f) << 8 | usize::from(low);
                    // Not into the header (RFC 9267 §2).
                    if to >= limit || to < super::message::HEADER {
                        return Err(BadName);
                    }
                    (at, limit) = (to, to);
                }
                // RFC 6891 §5, RFC 3363: label types that never came into use.
                _ => return Err(BadName),
            }
        }
    }

    /// The name on the wire.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Labels, the root's aside.
    pub fn labels(&self) -> usize {
        let (mut count, mut rest) = (0, self.octets());
        while let Some((&len, behind)) = rest.split_first()
            && len != 0
        {
            count += 1;
            rest = behind.get(usize::from(len)..).unwrap_or(&[]);
        }
        count
    }

    /// Whether the last label is `label`.
    pub fn ends_in(&self, label: &str) -> bool {
        let Some(front) = self.0.len().checked_sub(label.len() + 2) else { return false };
        let tail = self.0.get(front..).unwrap_or(&[]);
        // A label of 63 octets at most has no letter's value as its length.
        tail.first() == Some(&(label.len() as u8))
            && tail.get(1..=label.len()).is_some_and(|t| t.eq_ignore_ascii_case(label.as_bytes()))
    }

    /// The same name in letters of random case, which an honest answer brings back: bits more to guess for others.
    pub fn in_mixed_case(&self, rng: &mut Rng) -> Self {
        let mut name = self.clone();
        let mut bits = (0u64, 0u32);
        // Length octets are no letters: they are below 64.
        for octet in name.0.iter_mut().filter(|o| o.is_ascii_alphabetic()) {
            if bits.1 == 0 {
                bits = (rng.next_u64(), 64);
            }
            *octet = if bits.0 & 1 == 0 { octet.to_ascii_lowercase() } else { octet.to_ascii_uppercase() };
            bits = (bits.0 >> 1, bits.1 - 1);
        }
        name
    }
}

/// RFC 4343 §3: letters of either case are the same.
impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Rng as Random, Secret};
    use proptest::prelude::*;
    extern crate std;

    fn name(text: &str) -> Name {
        Name::of(text).expect("a name")
    }

    #[test]
    fn text_is_a_name_when_each_label_is() {
        assert_eq!(name("a.bc").octets(), b"\x01a\x02bc\x00");
        assert_eq!(name("a.bc."), name("A.bC"));
        assert_ne!(name("a.b"), name("a.c"));
        let long = std::format!("{}.com", "x".repeat(63));
        assert!(Name::of(&long).is_ok());
        let longest = std::format!("{0}.{0}.{0}.{1}", "x".repeat(63), "y".repeat(61));
        assert_eq!(name(&longest).octets().len(), 255);
        let beyond = std::format!("{longest}y");
        for bad in ["", ".", "a..b", ".a", "a b", "ä.de", "a\0", &"x".repeat(64), &beyond] {
            assert!(Name::of(bad).is_err(), "{bad}");
        }
        assert_eq!((name("a.b.c").labels(), name("x").labels()), (3, 1));
        assert!(name("host.LOCAL").ends_in("local") && !name("hostlocal").ends_in("local"));
        assert!(name("local").ends_in("local") && !name("local.de").ends_in("local"));
    }

    #[test]
    fn a_name_goes_below_a_suffix_where_there_is_room() {
        assert_eq!(name("www").below(&name("example.net")), Ok(name("www.example.net")));
        let long = std::format!("{0}.{0}.{0}", "x".repeat(63));
        assert!(name(&long).below(&name(&long)).is_err());
    }

    /// H129.
    #[test]
    fn pointers_lead_backwards_only_and_into_names() {
        let mut message = std::vec![0; 12];
        message.extend(b"\x03com\x00"); // 12
        message.extend(b"\x01a\xc0\x0c"); // 17: a.com
        message.extend(b"\x01b\xc0\x11"); // 21: b.a.com
        assert_eq!(Name::read(&message, 17), Ok((name("a.com"), 21)));
        assert_eq!(Name::read(&message, 21), Ok((name("b.a.com"), 25)));
        for bad in [
            &b"\xc0\x19"[..], // to itself
            b"\xc0\x1b\x00",  // forward
            b"\x01x\xc0\x19", // a loop
            b"\xc0\xff",      // past the end
            b"\xc0\x02",      // into the header
            b"\xc0",          // cut off
            b"\x40abc\x00",   // label types
            b"\x80abc\x00",
            b"\x05ab", // a label past the end
            b"",
        ] {
            let whole = [&message, bad].concat();
            assert_eq!(Name::read(&whole, 25), Err(BadName), "{bad:x?}");
        }
        let mut long = std::vec![0; 12];
        long.extend([&[63][..], &[b'x'; 63]].concat().repeat(4));
        long.push(0);
        assert_eq!(Name::read(&long, 12), Err(BadName), "257 octets");
    }

    #[test]
    fn mixed_case_is_the_same_name_and_never_the_same_letters_for_long() {
        let mut rng = Random::new(&Secret::new([4; 16]), Purpose::Jitter);
        let plain = name("an-example-of-a-name.example.net");
        let mixed: std::vec::Vec<_> = (0..10).map(|_| plain.in_mixed_case(&mut rng)).collect();
        assert!(mixed.iter().all(|m| *m == plain));
        assert!(mixed.windows(2).all(|m| m[0].octets() != m[1].octets()));
    }

    proptest! {
        /// H129: bounded, whatever there is.
        #[test]
        fn any_octets_are_read_in_bounded_time(message in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..300) {
            if let Ok((name, end)) = Name::read(&message, at) {
                prop_assert!(name.octets().len() <= MAX && end <= message.len() && end > at);
            }
        }
    }
}
