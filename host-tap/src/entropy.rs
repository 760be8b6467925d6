//! Randomness from the operating system, for what the stack takes as a given.

use crate::failure::Failure;
use ringtap::device::Mac;
use ringtap::rng::Secret;
use std::fs::File;
use std::io::Read;

/// Octets that nobody else knows.
fn octets<const N: usize>() -> Result<[u8; N], Failure> {
    let mut out = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut out))
        .map_err(|e| Failure::io("cannot read /dev/urandom", &e))?;
    Ok(out)
}

/// A stack's secret.
///
/// # Errors
/// When the system has no randomness to give.
pub fn secret() -> Result<Secret, Failure> {
    octets().map(Secret::new)
}

/// A random station address, locally administered.
///
/// # Errors
/// When the system has no randomness to give.
pub fn mac() -> Result<Mac, Failure> {
    let [a, b, c, d, e] = octets()?;
    Ok(Mac([0x02, a, b, c, d, e]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_addresses_differ_and_are_stations() {
        let (a, b) = (mac().expect("randomness"), mac().expect("randomness"));
        assert!(a != b && a.is_station() && b.is_station());
    }
}
