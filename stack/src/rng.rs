//! Randomness from a secret: keyed hashing, and a generator nobody outside can run.
//!
//! The stack asks no device for entropy. [`Secret`] is given at construction: 16 octets that nobody else knows and that
//! differ from boot to boot. All that must be unpredictable comes from SipHash (a PRF) under it, each kind of value
//! under a key of its own, so that one kind says nothing of another: ISNs (RFC 6528), ports (RFC 6056), IP
//! identifications (RFC 7739), demultiplexing.

mod sip;

use core::fmt;
use sip::Rounds;

/// 16 octets that nobody else knows. There is no default.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u8; 16]);

/// What a derived key is for; each gives an unrelated key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Demux = 1,
    Isn = 2,
    Ports = 3,
    IpId = 4,
    Neighbors = 5,
    Jitter = 6,
    #[cfg(feature = "ipv6")]
    InterfaceId = 7,
    VirtualMac = 8,
    SynCookies = 10,
    ReplyLimit = 11,
    ReplyDraws = 12,
    #[cfg(feature = "dhcpv4")]
    Dhcp = 20,
    #[cfg(feature = "dns")]
    Dns = 21,
    #[cfg(feature = "mdns")]
    Mdns = 22,
    #[cfg(feature = "dhcpv6")]
    Dhcpv6 = 23,
    #[cfg(feature = "link-local")]
    LinkLocal = 24,
}

impl Secret {
    /// A secret of these octets, from a hardware generator or the operating system, fresh at every boot.
    pub const fn new(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The key for one purpose.
    #[inline(never)]
    pub(crate) fn key(&self, purpose: Purpose) -> Key {
        let mut out = [0; 16];
        for (half, chunk) in out.chunks_exact_mut(8).enumerate() {
            let value = sip::hash(Rounds(2, 4), &self.0, &[purpose as u8, half as u8]);
            chunk.copy_from_slice(&value.to_le_bytes());
        }
        Key(out)
    }
}

/// A secret is never shown.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A key for one purpose: a PRF.
#[derive(Clone)]
pub(crate) struct Key([u8; 16]);

impl Key {
    /// The PRF's value of `data`: SipHash-1-3, for values that an observer sees only through a table's behaviour.
    pub fn hash(&self, data: &[u8]) -> u64 {
        sip::hash(Rounds(1, 3), &self.0, data)
    }

    /// The PRF's value of `data`: SipHash-2-4, for values that are shown to observers.
    pub fn prf(&self, data: &[u8]) -> u64 {
        sip::hash(Rounds(2, 4), &self.0, data)
    }
}

/// A generator in counter mode over a key: earlier values say nothing of later ones.
pub(crate) struct Rng {
    key: Key,
    counter: u64,
}

impl Rng {
    pub fn new(secret: &Secret, purpose: Purpose) -> Self {
        Self { key: secret.key(purpose), counter: 0 }
    }

    #[cfg(any(feature = "dhcpv4", feature = "dhcpv6", feature = "dns", feature = "link-local"))]
    /// As [`new`](Self::new), from another place of the sequence on: for several users of one purpose.
    pub fn starting(secret: &Secret, purpose: Purpose, counter: u64) -> Self {
        Self { key: secret.key(purpose), counter }
    }

    pub fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        self.key.prf(&self.counter.to_le_bytes())
    }

    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A value below `n` (0 for `n` = 0), by multiplication; the bias is below `n` / 2^32.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.next_u32()) * u64::from(n)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_and_secrets_give_unrelated_values() {
        let (a, b) = (Secret::new([1; 16]), Secret::new([2; 16]));
        let v = [
            a.key(Purpose::Isn).prf(b"x"),
            a.key(Purpose::Ports).prf(b"x"),
            b.key(Purpose::Isn).prf(b"x"),
            a.key(Purpose::Isn).prf(b"y"),
        ];
        for i in 0..4 {
            for j in 0..i {
                assert!((v[i] ^ v[j]).count_ones() > 10);
            }
        }
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = Rng::new(&Secret::new([7; 16]), Purpose::Jitter);
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[rng.below(7) as usize] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn a_secret_is_not_shown() {
        extern crate std;
        assert_eq!(std::format!("{:?}", Secret::new([9; 16])), "Secret(..)");
    }
}
