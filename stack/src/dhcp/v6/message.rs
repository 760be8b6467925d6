//! DHCPv6 messages: what is read of them, and how they are written.
//!
//! Implements RFC 9915 §8 and §21, RFC 3646.
//!
//! ```text
//!   0 type   1 transaction (3)   4 options: code (2) length (2) data …, some of which hold options themselves
//! ```

use heapless::Vec;

/// The client's port (RFC 9915 §7.2).
pub(super) const CLIENT_PORT: u16 = 546;
/// The server's port.
pub(super) const SERVER_PORT: u16 = 547;
/// Room for any message that we write.
pub(super) const ROOM: usize = 384;
/// Octets of a DUID, with its type (RFC 9915 §11.1).
const LONGEST_DUID: usize = 130;

/// Option codes (RFC 9915 §21; 23 and 24: RFC 3646).
pub(super) mod code {
    pub const CLIENT_ID: u16 = 1;
    pub const SERVER_ID: u16 = 2;
    pub const IA_NA: u16 = 3;
    pub const IA_ADDRESS: u16 = 5;
    pub const OPTION_REQUEST: u16 = 6;
    pub const PREFERENCE: u16 = 7;
    pub const ELAPSED: u16 = 8;
    pub const STATUS: u16 = 13;
    pub const DNS: u16 = 23;
    pub const DOMAINS: u16 = 24;
    pub const REFRESH_TIME: u16 = 32;
    pub const SOL_MAX_RT: u16 = 82;
    pub const INF_MAX_RT: u16 = 83;
}

/// Status codes (RFC 9915 §21.13).
pub(super) mod status {
    pub const SUCCESS: u16 = 0;
    pub const NO_BINDING: u16 = 3;
    pub const NOT_ON_LINK: u16 = 4;
}

/// A message's type (RFC 9915 §7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Solicit = 1,
    Advertise = 2,
    Request = 3,
    Confirm = 4,
    Renew = 5,
    Rebind = 6,
    Reply = 7,
    Release = 8,
    Decline = 9,
    Inform = 11,
}

/// A message, or an option, that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Who a server is (RFC 9915 §11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Duid(Vec<u8, LONGEST_DUID>);

impl Duid {
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// Options behind one another, each of which ends where it should.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'m>(&'m [u8]);

impl<'m> Options<'m> {
    pub fn parse(octets: &'m [u8]) -> Result<Self, Malformed> {
        let mut rest = octets;
        while !rest.is_empty() {
            rest = next(rest).ok_or(Malformed)?.1;
        }
        Ok(Self(octets))
    }

    pub fn iter(self) -> impl Iterator<Item = (u16, &'m [u8])> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (option, behind) = next(rest)?;
            rest = behind;
            Some(option)
        })
    }

    /// The data of the first option of this code.
    pub fn find(self, code: u16) -> Option<&'m [u8]> {
        self.iter().find(|(c, _)| *c == code).map(|(_, data)| data)
    }

    /// A number of 32 bits.
    pub fn number(self, code: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.find(code)?.try_into().ok()?))
    }

    /// The status (RFC 9915 §21.13: success, where there is none).
    pub fn status(self) -> u16 {
        let data = self.find(code::STATUS).and_then(|data| data.first_chunk());
        data.map_or(status::SUCCESS, |code| u16::from_be_bytes(*code))
    }
}

#[expect(clippy::type_complexity, reason = "an option and what is behind it")]
fn next(octets: &[u8]) -> Option<((u16, &[u8]), &[u8])> {
    let (code, rest) = octets.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (data, behind) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    Some(((u16::from_be_bytes(*code), data), behind))
}

/// A message as received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'m> {
    pub kind: u8,
    /// 24 bits.
    pub transaction: u32,
    pub options: Options<'m>,
}

impl<'m> Message<'m> {
    pub fn parse(octets: &'m [u8]) -> Result<Self, Malformed> {
        let (&[kind, a, b, c], options) = octets.split_first_chunk().ok_or(Malformed)?;
        let transaction = u32::from_be_bytes([0, a, b, c]);
        Ok(Self { kind, transaction, options: Options::parse(options)? })
    }

    /// Who sent it.
    pub fn server(&self) -> Result<Duid, Malformed> {
        let octets = self.options.find(code::SERVER_ID).filter(|d| d.len() > 2).ok_or(Malformed)?;
        Vec::from_slice(octets).map(Duid).map_err(|_| Malformed)
    }
}

/// Writes a message; all that we write has room.
pub(super) struct Writer<'b> {
    buf: &'b mut [u8; ROOM],
    len: usize,
}

impl<'b> Writer<'b> {
    pub fn new(buf: &'b mut [u8; ROOM], kind: Kind, transaction: u32) -> Self {
        let [_, a, b, c] = transaction.to_be_bytes();
        buf[..4].copy_from_slice(&[kind as u8, a, b, c]);
        Self { buf, len: 4 }
    }

    /// Appends an option of these parts.
    pub fn option(&mut self, code: u16, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        self.octets(&code.to_be_bytes());
        self.octets(&(len as u16).to_be_bytes());
        parts.iter().for_each(|part| self.octets(part));
    }

    fn octets(&mut self, octets: &[u8]) {
        match self.buf.get_mut(self.len..self.len + octets.len()) {
            Some(place) => {
                place.copy_from_slice(octets);
                self.len += octets.len();
            }
            None => debug_assert!(false, "room for what we write"),
        }
    }

    /// The octets of the message.
    pub fn finish(self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;

    #[test]
    fn what_is_written_is_read() {
        let mut buf = [0; ROOM];
        let mut w = Writer::new(&mut buf, Kind::Request, 0x00ab_cdef);
        w.option(code::SERVER_ID, &[&[0, 3], &[0, 1, 2]]);
        w.option(code::REFRESH_TIME, &[&9u32.to_be_bytes()]);
        w.option(code::STATUS, &[&[0, 4], b"no"]);
        let len = w.finish();
        let m = Message::parse(&buf[..len]).expect("a message");
        assert_eq!((m.kind, m.transaction), (3, 0x00ab_cdef));
        assert_eq!(m.server().expect("a server").octets(), [0, 3, 0, 1, 2]);
        assert_eq!((m.options.number(code::REFRESH_TIME), m.options.status()), (Some(9), 4));
        assert!(m.options.find(code::DNS).is_none() && m.options.iter().count() == 3);
    }

    #[test]
    fn options_that_end_beyond_the_message_are_refused() {
        for bad in [&[7u8, 0, 0][..], &[7, 0, 0, 1, 0], &[7, 0, 0, 1, 0, 2, 0], &[7, 0, 0, 1, 0, 2, 0, 5, 1]] {
            assert!(Message::parse(bad).is_err(), "{bad:?}");
        }
        let long = [&[7, 0, 0, 1, 0, 2, 0, 131][..], &[1; 131]].concat();
        assert!(Message::parse(&long).expect("a message").server().is_err(), "a DUID of 131 octets");
        assert!(Message::parse(&[7, 0, 0, 1, 0, 2, 0, 2, 0, 3]).expect("a message").server().is_err());
    }

    proptest! {
        #[test]
        fn no_octets_whatever_make_it_panic(m in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(m) = Message::parse(&m) {
                let _ = (m.server(), m.options.status(), m.options.number(code::SOL_MAX_RT));
            }
        }
    }
}
