//! Finding what a packet belongs to: by keyed hashes, or in a list where there are few.
//!
//! The key is secret, so that no peer can choose addresses that collide.

use crate::family::IpAddr;
#[cfg(any(feature = "many-sockets", feature = "syn-queue"))]
use crate::rng::Key;

/// The two ends of a connection, as seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub local_addr: IpAddr,
    pub remote_addr: IpAddr,
    pub local_port: u16,
    pub remote_port: u16,
}

impl Tuple {
    /// The keyed hash for [`Demux`].
    #[cfg(any(feature = "many-sockets", feature = "syn-queue"))]
    #[inline]
    pub fn hash(&self, key: &Key) -> u32 {
        if !cfg!(feature = "many-sockets") {
            return 0;
        }
        let (bytes, len) = self.octets();
        key.hash(bytes.get(..len).unwrap_or(&bytes)) as u32
    }

    /// A layout that no two tuples share: the first so many octets, 12 for IPv4, 36 for IPv6; the rest is zero.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn octets(&self) -> ([u8; OCTETS], usize) {
        let mut out = [0; OCTETS];
        let len = match (self.local_addr, self.remote_addr) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                out[..4].copy_from_slice(&local.octets());
                out[4..8].copy_from_slice(&remote.octets());
                8
            }
            #[cfg(feature = "ipv6")]
            (local, remote) => {
                out[..16].copy_from_slice(&v6_octets(local));
                out[16..32].copy_from_slice(&v6_octets(remote));
                32
            }
            #[cfg(not(feature = "ipv6"))]
            _ => 8,
        };
        out[len..len + 2].copy_from_slice(&self.local_port.to_be_bytes());
        out[len + 2..len + 4].copy_from_slice(&self.remote_port.to_be_bytes());
        (out, len + 4)
    }
}

/// Octets of the longest [`Tuple::octets`].
pub(crate) const OCTETS: usize = if cfg!(feature = "ipv6") { 36 } else { 12 };

#[cfg(feature = "ipv6")]
fn v6_octets(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// What a 4-tuple belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Conn(u32),
    #[cfg(feature = "time-wait")]
    TimeWait(u32),
}

impl Target {
    #[cfg(feature = "time-wait")]
    const TIME_WAIT: u32 = 1 << 31;

    /// As a value of a [`Demux`]; indices are below 2^31.
    pub const fn pack(self) -> u32 {
        match self {
            Self::Conn(index) => index,
            #[cfg(feature = "time-wait")]
            Self::TimeWait(index) => index | Self::TIME_WAIT,
        }
    }

    pub const fn unpack(value: u32) -> Self {
        #[cfg(feature = "time-wait")]
        if value & Self::TIME_WAIT != 0 {
            return Self::TimeWait(value & !Self::TIME_WAIT);
        }
        Self::Conn(value)
    }
}

#[cfg(feature = "many-sockets")]
mod hashed;
#[cfg(feature = "many-sockets")]
pub(crate) use hashed::{Demux, Slot};
#[cfg(not(feature = "many-sockets"))]
mod listed;
#[cfg(not(feature = "many-sockets"))]
pub(crate) use listed::{Demux, Slot};

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Secret};
    use core::net::Ipv4Addr;

    #[test]
    fn targets_survive_packing() {
        #[cfg(feature = "time-wait")]
        for t in [Target::TimeWait(0), Target::TimeWait(7)] {
            assert_eq!(Target::unpack(t.pack()), t);
        }
        for t in [Target::Conn(0), Target::Conn(99_999)] {
            assert_eq!(Target::unpack(t.pack()), t);
        }
    }

    #[test]
    #[cfg(feature = "many-sockets")]
    fn the_hash_depends_on_every_part_and_on_the_key() {
        let t = Tuple {
            local_addr: Ipv4Addr::new(1, 2, 3, 4).into(),
            remote_addr: Ipv4Addr::new(5, 6, 7, 8).into(),
            local_port: 9,
            remote_port: 10,
        };
        #[cfg(feature = "ipv6")]
        let v6 = IpAddr::V6(core::net::Ipv6Addr::LOCALHOST);
        let others = [
            Tuple { local_addr: t.remote_addr, ..t },
            Tuple { remote_addr: t.local_addr, ..t },
            Tuple { local_port: 10, ..t },
            Tuple { remote_port: 9, ..t },
            #[cfg(feature = "ipv6")]
            Tuple { local_addr: v6, remote_addr: v6, ..t },
        ];
        let key = Secret::new([1; 16]).key(Purpose::Demux);
        let other = Secret::new([2; 16]).key(Purpose::Demux);
        assert!(others.iter().all(|o| o.hash(&key) != t.hash(&key)));
        assert_ne!(t.hash(&key), t.hash(&other));
    }
}
