//! Randomness from the operating system, for what the stack takes as a given.

use crate::failure::Failure;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_secrets_differ() {
        assert!(secret().expect("randomness") != secret().expect("randomness"));
    }
}
