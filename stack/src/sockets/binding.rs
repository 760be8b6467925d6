//! Who is bound to which port: the second step of finding a socket, after the 4-tuple.
//!
//! Sockets hang on the keyed hash of their port alone, so that all that share a port, whatever their addresses, are met
//! on one short chain: overlaps are seen at bind time, the most specific match is found at once, and a broadcast reaches
//! everybody. A look-up does not depend on the number of sockets on other ports.

use super::demux::Demux;
use crate::error::Full;
use crate::rng::Secret;
#[cfg(feature = "many-sockets")]
use crate::rng::{Key, Purpose};

/// What is bound, for the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Udp = 0,
    TcpListener = 1,
    EchoIdent = 2,
    RawProtocol = 3,
    #[cfg(feature = "raw-ethernet")]
    EtherType = 4,
}

/// One kind's bindings.
pub(crate) struct Bindings<'a> {
    demux: Demux<'a>,
    #[cfg(feature = "many-sockets")]
    key: Key,
    #[cfg(feature = "many-sockets")]
    kind: Kind,
}

impl<'a> Bindings<'a> {
    pub fn new(demux: Demux<'a>, secret: &Secret, kind: Kind) -> Self {
        let _ = (secret, kind);
        Self {
            demux,
            #[cfg(feature = "many-sockets")]
            key: secret.key(Purpose::Demux),
            #[cfg(feature = "many-sockets")]
            kind,
        }
    }

    #[cfg(not(feature = "many-sockets"))]
    fn hash(&self, _: u16) -> u32 {
        0
    }

    #[cfg(feature = "many-sockets")]
    fn hash(&self, port: u16) -> u32 {
        let [a, b] = port.to_le_bytes();
        self.key.hash(&[self.kind as u8, a, b]) as u32
    }

    pub fn insert(&mut self, port: u16, index: u32) -> Result<(), Full> {
        self.demux.insert(self.hash(port), index)
    }

    pub fn remove(&mut self, port: u16, index: u32) {
        self.demux.remove(self.hash(port), index);
    }

    /// Whether a socket on `port` makes `is` true. (Ports whose hashes collide are shown to `is` as well.)
    pub fn any(&self, port: u16, mut is: impl FnMut(u32) -> bool) -> bool {
        self.demux.find(self.hash(port), &mut is).is_some()
    }

    /// The socket on `port` of the highest rank; rank 0 is no match.
    pub fn best(&self, port: u16, mut rank: impl FnMut(u32) -> u8) -> Option<u32> {
        let mut best = (0, None);
        self.demux.find(self.hash(port), |index| {
            let r = rank(index);
            if r > best.0 {
                best = (r, Some(index));
            }
            false
        });
        best.1
    }
}
