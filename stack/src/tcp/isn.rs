//! Initial sequence numbers.
//!
//! Implements RFC 6528 §3 and RFC 9293 §3.4.1: `ISN = M + F(four-tuple, secret)`, M a clock of 4 microseconds. A second
//! connection of the same four-tuple starts beyond the first; nobody can guess that of another.

use crate::rng::Key;
use crate::seq::Seq;
use crate::sockets::demux::{OCTETS, Tuple};
use crate::time::Instant;

/// The sequence number that a connection opened now starts with.
pub(crate) fn isn(key: &Key, tuple: &Tuple, now: Instant) -> Seq {
    let m = (now.as_micros() / 4) as u32;
    Seq::new(m.wrapping_add(prf(key, tuple, 0) as u32))
}

/// What is added to the clock of this connection's timestamps, so that they tell nobody the time since boot
/// (RFC 7323 §7.1): unrelated to the ISN, the same for the same four-tuple.
pub(crate) fn timestamp_offset(key: &Key, tuple: &Tuple) -> u32 {
    if cfg!(feature = "timestamps") { prf(key, tuple, 1) as u32 } else { 0 }
}

/// The clock behind our TSval: ticks of 1024 µs (RFC 7323 §5.4 wants 1 ms to 1 s), taken by a shift and no division.
/// TSval is this plus the connection's offset.
pub(crate) const fn ts_clock(now: Instant) -> u32 {
    (now.as_micros() >> 10) as u32
}

fn prf(key: &Key, tuple: &Tuple, kind: u8) -> u64 {
    let mut data = [kind; OCTETS + 1];
    let (octets, _) = tuple.octets();
    data[..OCTETS].copy_from_slice(&octets);
    key.prf(&data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Secret};
    use core::net::Ipv4Addr;

    fn tuple(local_port: u16) -> Tuple {
        Tuple {
            local_addr: Ipv4Addr::new(192, 0, 2, 1).into(),
            remote_addr: Ipv4Addr::new(192, 0, 2, 2).into(),
            local_port,
            remote_port: 80,
        }
    }

    #[test]
    fn the_same_tuple_moves_on_by_250_000_a_second_and_another_one_is_elsewhere() {
        let key = Secret::new([3; 16]).key(Purpose::Isn);
        let at = |s| isn(&key, &tuple(1000), Instant::from_secs(s));
        assert_eq!(at(11).distance_from(at(10)), 250_000);
        let other = isn(&key, &tuple(1001), Instant::from_secs(10));
        assert!(other.distance_from(at(10)).min(at(10).distance_from(other)) > 1 << 16);
        #[cfg(feature = "timestamps")]
        assert_ne!(timestamp_offset(&key, &tuple(1000)), timestamp_offset(&key, &tuple(1001)));
    }
}
