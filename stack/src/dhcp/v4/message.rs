//! DHCP messages: what is read of them, and how they are written.
//!
//! Implements the format of RFC 2131 §2, the options' of RFC 2132 §2 with option overload (§9.3), and RFC 3396: parts of
//! one option, wherever they are, belong together.
//!
//! ```text
//!   0 op htype hlen hops   4 xid   8 secs  10 flags  12 ciaddr  16 yiaddr  20 siaddr  24 giaddr
//!  28 chaddr (16)         44 sname (64)   108 file (128)       236 magic  240 options …
//! ```

use crate::device::Mac;
use core::net::Ipv4Addr;
use heapless::Vec;

/// The server's port.
pub(super) const SERVER_PORT: u16 = 67;
/// The client's port.
pub(super) const CLIENT_PORT: u16 = 68;

/// Octets in front of the options, magic included.
const FIXED: usize = 240;
/// What options begin behind (RFC 2132 §2).
const MAGIC: [u8; 4] = [99, 130, 83, 99];
/// RFC 1542 §2.1: relays pass on no less.
const SHORTEST: usize = 300;
/// Room for any message that we write.
pub(super) const ROOM: usize = 512;
/// Octets of an option put together, at most; longer ones are malformed to us.
const LONGEST_OPTION: usize = 384;

/// Requests carry it in `op`.
pub(super) const BOOTREQUEST: u8 = 1;
/// Replies carry it in `op`.
pub(super) const BOOTREPLY: u8 = 2;
/// Ethernet's `htype`.
const ETHERNET: u8 = 1;
/// The flag of clients that cannot take unicast before they have an address (RFC 2131 §4.1).
const BROADCAST_FLAG: u8 = 0x80;

/// Option codes (RFC 2132; 121: RFC 3442).
pub(super) mod code {
    pub const PAD: u8 = 0;
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    pub const DOMAIN_NAME: u8 = 15;
    pub const MTU: u8 = 26;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER_ID: u8 = 54;
    pub const PARAMETER_LIST: u8 = 55;
    pub const MAX_MESSAGE_SIZE: u8 = 57;
    pub const T1: u8 = 58;
    pub const T2: u8 = 59;
    pub const CLIENT_ID: u8 = 61;
    pub const CLASSLESS_ROUTES: u8 = 121;
    pub const END: u8 = 255;
}

/// A message's type (RFC 2132 §9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Decline = 4,
    Ack = 5,
    Nak = 6,
    Release = 7,
    Inform = 8,
}

impl Kind {
    fn of(octet: u8) -> Option<Self> {
        use Kind::*;
        [Discover, Offer, Request, Decline, Ack, Nak, Release, Inform].into_iter().find(|k| *k as u8 == octet)
    }
}

/// A message, or an option, that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// An option's octets, put together.
pub(super) type Octets = Vec<u8, LONGEST_OPTION>;

/// A message as received; its options are well-formed and end where they should.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'m> {
    fixed: &'m [u8; FIXED],
    /// Where options are, in the order of RFC 3396 §5.
    regions: [&'m [u8]; 3],
}

impl<'m> Message<'m> {
    /// Reads a message of a client or a server on Ethernet.
    pub fn parse(bytes: &'m [u8]) -> Result<Self, Malformed> {
        let (fixed, options) = bytes.split_first_chunk::<FIXED>().ok_or(Malformed)?;
        // htype and hlen; MAC addresses are all that we can be named by.
        if fixed[1] != ETHERNET || fixed[2] != 6 || fixed[236..] != MAGIC {
            return Err(Malformed);
        }
        check_region(options)?;
        let mut message = Self { fixed, regions: [options, &[], &[]] };
        let overload = message.option(code::OVERLOAD)?;
        let (file, sname) = match overload.as_deref() {
            None => (false, false),
            Some([1]) => (true, false),
            Some([2]) => (false, true),
            Some([3]) => (true, true),
            Some(_) => return Err(Malformed),
        };
        if file {
            check_region(&fixed[108..236])?;
            message.regions[1] = &fixed[108..236];
        }
        if sname {
            check_region(&fixed[44..108])?;
            message.regions[2] = &fixed[44..108];
        }
        Ok(message)
    }

    /// BOOTREQUEST or BOOTREPLY.
    pub fn op(&self) -> u8 {
        self.fixed[0]
    }

    pub fn xid(&self) -> u32 {
        u32::from_be_bytes(self.word(4))
    }

    /// Whether the client cannot take unicast yet.
    pub fn wants_broadcast(&self) -> bool {
        self.fixed[10] & BROADCAST_FLAG != 0
    }

    pub fn ciaddr(&self) -> Ipv4Addr {
        self.word(12).into()
    }

    /// The relay, if there is one.
    pub fn giaddr(&self) -> Ipv4Addr {
        self.word(24).into()
    }

    pub fn yiaddr(&self) -> Ipv4Addr {
        self.word(16).into()
    }

    pub fn chaddr(&self) -> Mac {
        let [a, b, c, d] = self.word(28);
        Mac([a, b, c, d, self.fixed[32], self.fixed[33]])
    }

    fn word(&self, at: usize) -> [u8; 4] {
        self.fixed.get(at..).and_then(|w| w.first_chunk()).copied().unwrap_or_default()
    }

    /// All parts of an option, in their order.
    pub fn option(&self, wanted: u8) -> Result<Option<Octets>, Malformed> {
        let mut found = None;
        for region in self.regions.into_iter().filter(|r| !r.is_empty()) {
            let mut rest = region;
            while let Some((code, data, behind)) = next_option(rest)? {
                if code == wanted {
                    let octets: &mut Octets = found.get_or_insert_default();
                    octets.extend_from_slice(data).map_err(|_| Malformed)?;
                }
                rest = behind;
            }
        }
        Ok(found)
    }

    /// The type that each DHCP message has (RFC 2132 §9.6).
    pub fn kind(&self) -> Result<Kind, Malformed> {
        match self.option(code::MESSAGE_TYPE)?.as_deref() {
            Some(&[octet]) => Kind::of(octet).ok_or(Malformed),
            _ => Err(Malformed),
        }
    }

    /// An option of one address.
    pub fn address(&self, wanted: u8) -> Result<Option<Ipv4Addr>, Malformed> {
        let Some(octets) = self.option(wanted)? else { return Ok(None) };
        let octets: [u8; 4] = octets.as_slice().try_into().map_err(|_| Malformed)?;
        Ok(Some(octets.into()))
    }

    /// An option of one address or more; as many as there is room for are given.
    pub fn addresses<const N: usize>(&self, wanted: u8) -> Result<Vec<Ipv4Addr, N>, Malformed> {
        let Some(octets) = self.option(wanted)? else { return Ok(Vec::new()) };
        let (addresses, rest) = octets.as_chunks::<4>();
        if addresses.is_empty() || !rest.is_empty() {
            return Err(Malformed);
        }
        Ok(addresses.iter().take(N).map(|a| Ipv4Addr::from(*a)).collect())
    }

    /// An option of a 32-bit number.
    pub fn number(&self, wanted: u8) -> Result<Option<u32>, Malformed> {
        Ok(self.address(wanted)?.map(Ipv4Addr::to_bits))
    }
}

/// The first option of `region` that is no padding: its code, its octets and what is behind it; `None` at the end.
#[expect(clippy::type_complexity, reason = "three slices of one")]
fn next_option(mut region: &[u8]) -> Result<Option<(u8, &[u8], &[u8])>, Malformed> {
    loop {
        match *region {
            [code::PAD, ref rest @ ..] => region = rest,
            [code::END, ..] => return Ok(None),
            [code, len, ref rest @ ..] => {
                let (data, rest) = rest.split_at_checked(usize::from(len)).ok_or(Malformed)?;
                return Ok(Some((code, data, rest)));
            }
            // No END (RFC 2131 §4.1: "The last option must always be the 'end' option").
            [] | [_] => return Err(Malformed),
        }
    }
}

/// Whether each option lies inside the region, and END ends them.
fn check_region(mut region: &[u8]) -> Result<(), Malformed> {
    while let Some((_, _, rest)) = next_option(region)? {
        region = rest;
    }
    Ok(())
}

/// The fixed part of a message to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub op: u8,
    pub xid: u32,
    pub secs: u16,
    pub broadcast: bool,
    pub ciaddr: Ipv4Addr,
    pub yiaddr: Ipv4Addr,
    pub giaddr: Ipv4Addr,
    pub chaddr: Mac,
}

/// Writes a message into a buffer of [`ROOM`] octets.
pub(super) struct Writer<'b> {
    buf: &'b mut [u8; ROOM],
    len: usize,
}

impl<'b> Writer<'b> {
    pub fn new(buf: &'b mut [u8; ROOM], head: &Head, kind: Kind) -> Self {
        let Head { op, xid, secs, broadcast, ciaddr, yiaddr, giaddr, chaddr } = *head;
        buf.fill(0);
        let mut put = |at: usize, octets: &[u8]| {
            if let Some(place) = buf.get_mut(at..at + octets.len()) {
                place.copy_from_slice(octets);
            }
        };
        put(0, &[op, ETHERNET, 6, 0]);
        put(4, &xid.to_be_bytes());
        put(8, &secs.to_be_bytes());
        put(10, &[if broadcast { BROADCAST_FLAG } else { 0 }, 0]);
        put(12, &ciaddr.octets());
        put(16, &yiaddr.octets());
        put(24, &giaddr.octets());
        put(28, &chaddr.0);
        put(236, &MAGIC);
        let mut writer = Self { buf, len: FIXED };
        writer.option(code::MESSAGE_TYPE, &[kind as u8]);
        writer
    }

    /// Adds an option of at most 255 octets; what we write fits.
    pub fn option(&mut self, code: u8, data: &[u8]) {
        let Ok(len) = u8::try_from(data.len()) else { return };
        // One octet stays for END.
        let Some(place) = self.buf.get_mut(self.len..).filter(|p| p.len() > data.len() + 2) else {
            debug_assert!(false, "room for option {code}");
            return;
        };
        let (head, behind) = place.split_at_mut(2);
        head.copy_from_slice(&[code, len]);
        behind[..data.len()].copy_from_slice(data);
        self.len += 2 + data.len();
    }

    /// Ends the options; the octets of the message.
    pub fn finish(self) -> usize {
        if let Some(end) = self.buf.get_mut(self.len) {
            *end = code::END;
        }
        (self.len + 1).max(SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;
    use std::vec::Vec as StdVec;

    fn message(options: &[u8]) -> StdVec<u8> {
        let mut m = std::vec![0; FIXED];
        m[..4].copy_from_slice(&[BOOTREPLY, ETHERNET, 6, 0]);
        m[236..].copy_from_slice(&MAGIC);
        m.extend_from_slice(options);
        m
    }

    #[test]
    fn what_is_written_is_read() {
        let mut buf = [0xee; ROOM];
        let head = Head {
            op: BOOTREQUEST,
            xid: 0x0102_0304,
            secs: 5,
            broadcast: true,
            ciaddr: Ipv4Addr::new(10, 0, 0, 1),
            yiaddr: Ipv4Addr::new(10, 0, 0, 2),
            giaddr: Ipv4Addr::new(10, 0, 0, 3),
            chaddr: Mac([2, 0, 0, 0, 0, 1]),
        };
        let mut writer = Writer::new(&mut buf, &head, Kind::Request);
        writer.option(code::SERVER_ID, &[10, 0, 0, 9]);
        let len = writer.finish();
        assert_eq!(len, SHORTEST);
        let m = Message::parse(&buf[..len]).expect("valid");
        assert_eq!((m.op(), m.xid(), m.chaddr()), (1, 0x0102_0304, head.chaddr));
        assert_eq!(
            (m.yiaddr(), &buf[8..16], &buf[24..28]),
            (head.yiaddr, &[0, 5, 0x80, 0, 10, 0, 0, 1][..], &[10, 0, 0, 3][..])
        );
        assert_eq!(m.kind(), Ok(Kind::Request));
        assert_eq!(m.address(code::SERVER_ID), Ok(Some(Ipv4Addr::new(10, 0, 0, 9))));
        assert_eq!(m.address(code::SUBNET_MASK), Ok(None));
    }

    /// RFC 3396 §7: parts are joined in the order options, file, sname.
    #[test]
    fn long_options_and_overloaded_fields_are_put_together() {
        let mut m = message(&[53, 1, 5, 52, 1, 3, 15, 2, b'a', b'b', 0, 15, 1, b'c', 255, 9, 9]);
        m[108..114].copy_from_slice(&[15, 1, b'd', 51, 1, 7]);
        m[114] = 255;
        m[44..48].copy_from_slice(&[0, 15, 1, b'e']);
        m[48] = 255;
        let read = Message::parse(&m).expect("valid");
        assert_eq!(read.option(15).expect("well-formed").as_deref(), Some(&b"abcde"[..]));
        assert_eq!(read.option(51).expect("well-formed").as_deref(), Some(&[7][..]));
        // Without overload, those fields are names.
        let at = m.windows(3).position(|w| w == [52, 1, 3]).expect("there");
        m[at + 2] = 1;
        let read = Message::parse(&m).expect("valid");
        assert_eq!(read.option(15).expect("well-formed").as_deref(), Some(&b"abcd"[..]));
        m[at + 2] = 4;
        assert!(Message::parse(&m).is_err());
        m[at + 2] = 2;
        m[44..108].fill(0);
        assert!(Message::parse(&m).is_err(), "no END in sname");
    }

    /// H122, the part of the form.
    #[test]
    fn messages_that_cannot_be_are_refused() {
        assert!(Message::parse(&message(&[53, 1, 2, 255])).is_ok());
        for options in [&[53, 1, 2][..], &[53, 1, 2, 3, 5, 1, 255], &[53], &[53, 255], &[], &[0, 0]] {
            assert!(Message::parse(&message(options)).is_err(), "{options:?}");
        }
        for options in [&[53, 0, 255][..], &[53, 1, 0, 255], &[53, 1, 9, 255], &[53, 2, 2, 2, 255], &[255]] {
            assert!(Message::parse(&message(options)).expect("well-formed").kind().is_err(), "{options:?}");
        }
        for (at, value) in [(1, 6), (2, 255), (2, 0), (2, 16), (236, 0), (239, 0)] {
            let mut m = message(&[53, 1, 2, 255]);
            m[at] = value;
            assert!(Message::parse(&m).is_err(), "octet {at} = {value}");
        }
        assert!(Message::parse(&message(&[255])[..FIXED]).is_err());
        let parts = |n: usize| [[1, 200].as_slice(), &[0; 200]].concat().repeat(n);
        let two = message(&[parts(2), std::vec![255]].concat());
        assert!(Message::parse(&two).expect("well-formed").option(1).is_err(), "400 octets are more than we hold");
    }

    proptest! {
        #[test]
        fn no_octets_whatever_make_it_panic(
            noise in proptest::collection::vec(any::<u8>(), 0..400), wanted: u8, overload in 0u8..4,
        ) {
            let mut m = message(&[52, 1, overload]);
            m[44..236].iter_mut().zip(&noise).for_each(|(to, from)| *to = *from);
            m.extend(noise);
            if let Ok(read) = Message::parse(&m) {
                let _ = (read.kind(), read.option(wanted), read.addresses::<4>(wanted), read.number(wanted));
            }
        }
    }
}
