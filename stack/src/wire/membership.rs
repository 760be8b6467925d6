//! Wire format: what IGMPv3 and MLDv2 have in common, which is most of them: queries' meaning, and reports.
//!
//! Implements RFC 9776 §4.2 and RFC 9777 §5.2. Reports of both are laid out alike; only addresses differ in length.

use crate::family::IpAddr;
use crate::frame::Frame;
use crate::time::Duration;

/// A record's type in a report (RFC 9776 §4.2.13, RFC 9777 §5.2.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordType {
    IsInclude = 1,
    IsExclude = 2,
    ToInclude = 3,
    ToExclude = 4,
    Allow = 5,
    Block = 6,
}

/// A querier's version, by IGMP's count: MLDv1 is as IGMPv2, MLDv2 as IGMPv3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V1,
    V2,
    V3,
}

/// Sources that a query names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sources<'b> {
    V4(&'b [[u8; 4]]),
    #[cfg(feature = "ipv6")]
    V6(&'b [[u8; 16]]),
}

impl Sources<'_> {
    pub fn len(self) -> usize {
        match self {
            Self::V4(all) => all.len(),
            #[cfg(feature = "ipv6")]
            Self::V6(all) => all.len(),
        }
    }

    pub fn nth(self, n: usize) -> Option<IpAddr> {
        match self {
            Self::V4(all) => all.get(n).map(|octets| IpAddr::V4((*octets).into())),
            #[cfg(feature = "ipv6")]
            Self::V6(all) => all.get(n).map(|octets| IpAddr::V6((*octets).into())),
        }
    }
}

/// A query, of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Query<'b> {
    pub version: Version,
    pub max_response: Duration,
    /// `None`: about all groups.
    pub group: Option<IpAddr>,
    /// None: about all sources.
    pub sources: Sources<'b>,
    /// The robustness variable, where one is given.
    pub robustness: Option<u8>,
    /// The querier's interval in seconds, where one is given.
    pub interval: Option<u32>,
}

/// What a received message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'b> {
    Query(Query<'b>),
    /// Another host is in the group.
    Report(IpAddr),
    /// For routers.
    Other,
}

/// The querier's interval: codes from 128 on are floating (RFC 9776 §4.1.7, RFC 9777 §5.1.9).
pub(crate) fn float(code: u8) -> u32 {
    match code {
        0..128 => code.into(),
        _ => (u32::from(code & 0x0f) | 0x10) << (u32::from(code >> 4 & 7) + 3),
    }
}

/// Octets of a report without records.
const HEADER: usize = 8;
/// Octets of a record without its addresses.
const RECORD: usize = 4;

/// A report being written to the end of an empty frame; its checksum is the caller's.
pub(crate) struct Report<'f, 'p> {
    frame: &'f mut Frame<'p>,
    /// Where the last record begins.
    record: usize,
}

impl<'f, 'p> Report<'f, 'p> {
    /// A report of message type `kind`; `None` without room.
    pub fn begin(frame: &'f mut Frame<'p>, kind: u8) -> Option<Self> {
        frame.extend(&[kind, 0, 0, 0, 0, 0, 0, 0])?;
        Some(Self { frame, record: HEADER })
    }

    /// Adds a record without sources.
    pub fn record(&mut self, kind: RecordType, group: IpAddr) -> Option<()> {
        self.record = self.frame.len();
        self.frame.extend(&[kind as u8, 0, 0, 0])?;
        address(self.frame, group)?;
        count(self.frame, HEADER - 2)
    }

    /// Adds a source to the last record.
    pub fn source(&mut self, source: IpAddr) -> Option<()> {
        address(self.frame, source)?;
        count(self.frame, self.record + RECORD - 2)
    }
}

fn address(frame: &mut Frame<'_>, ip: IpAddr) -> Option<()> {
    match ip {
        IpAddr::V4(ip) => frame.extend(&ip.octets()),
        IpAddr::V6(ip) => frame.extend(&ip.octets()),
    }
}

/// Counts one more in the field at `at`.
fn count(frame: &mut Frame<'_>, at: usize) -> Option<()> {
    let field = frame.get_mut(at..)?.first_chunk_mut::<2>()?;
    *field = (u16::from_be_bytes(*field) + 1).to_be_bytes();
    Some(())
}
