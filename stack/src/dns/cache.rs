//! What was learned of names, for as long as it is true.
//!
//! Implements RFC 1034 §5.3.3's cache with RFC 2308 §5 for negative answers. Few places: those that end first go first.

use super::message::{Addresses, RecordKind};
use super::name::Name;
use crate::error::DnsError;
use crate::time::{Duration, Instant};

/// Names kept; each takes some 350 octets.
const PLACES: usize = 8;
/// RFC 8767 §4's advice for TTLs is a week at most; a name that moves should be followed within a day.
const LONGEST: u32 = 86_400;
/// RFC 2308 §5: one to three hours at most; for a stub, minutes are enough.
const LONGEST_NEGATIVE: u32 = 300;

/// What is known of a name.
pub(crate) type Known = Result<Addresses, DnsError>;

struct Entry {
    name: Name,
    kind: RecordKind,
    known: Known,
    until: Instant,
}

/// The cache.
pub(crate) struct Cache([Option<Entry>; PLACES]);

impl Cache {
    pub const fn new() -> Self {
        Self([const { None }; PLACES])
    }

    pub fn get(&self, now: Instant, name: &Name, kind: RecordKind) -> Option<&Known> {
        let entry = self.0.iter().flatten().find(|e| e.kind == kind && e.name == *name)?;
        (now < entry.until).then_some(&entry.known)
    }

    /// Keeps what is known of a name for `ttl` seconds at most.
    pub fn put(&mut self, now: Instant, name: &Name, kind: RecordKind, known: &Known, ttl: u32) {
        let longest = if known.is_ok() { LONGEST } else { LONGEST_NEGATIVE };
        let ttl = ttl.min(longest);
        let same = self.0.iter().position(|e| e.as_ref().is_some_and(|e| e.kind == kind && e.name == *name));
        let place = match same {
            Some(place) => self.0.get_mut(place),
            None if ttl == 0 => return,
            // A free place is before all others.
            None => self.0.iter_mut().min_by_key(|e| e.as_ref().map(|e| e.until)),
        };
        let Some(place) = place else { return };
        let until = now + Duration::from_secs(ttl.into());
        *place = (ttl > 0).then(|| Entry { name: name.clone(), kind, known: known.clone(), until });
    }

    /// Forgets everything: other servers may know other names.
    pub fn clear(&mut self) {
        self.0.fill_with(|| None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;
    extern crate std;

    fn name(text: &str) -> Name {
        Name::of(text).expect("a name")
    }

    fn known(n: u8) -> Known {
        Ok(Addresses::one(IpAddr::from([192, 0, 2, n])))
    }

    #[test]
    fn an_entry_is_there_until_its_time_is_over() {
        let (mut cache, start) = (Cache::new(), Instant::from_secs(100));
        cache.put(start, &name("a.b"), RecordKind::A, &known(1), 10);
        cache.put(start, &name("c.d"), RecordKind::A, &Err(DnsError::NotFound), 100_000);
        cache.put(start, &name("e.f"), RecordKind::A, &known(2), 0);
        let at = |secs| start + Duration::from_secs(secs);
        assert_eq!(cache.get(at(9), &name("A.b"), RecordKind::A), Some(&known(1)));
        assert_eq!(cache.get(at(10), &name("a.b"), RecordKind::A), None);
        assert_eq!(cache.get(at(9), &name("a.b"), RecordKind::Aaaa), None);
        assert_eq!(cache.get(at(299), &name("c.d"), RecordKind::A), Some(&Err(DnsError::NotFound)));
        assert_eq!(cache.get(at(300), &name("c.d"), RecordKind::A), None);
        assert_eq!(cache.get(start, &name("e.f"), RecordKind::A), None);
        cache.put(start, &name("a.b"), RecordKind::A, &known(3), 10);
        assert_eq!(cache.get(start, &name("a.b"), RecordKind::A), Some(&known(3)));
        cache.put(start, &name("a.b"), RecordKind::A, &known(3), 0);
        assert_eq!(cache.get(start, &name("a.b"), RecordKind::A), None);
    }

    #[test]
    fn when_it_is_full_what_ends_first_goes_first() {
        let (mut cache, now) = (Cache::new(), Instant::ZERO);
        for n in 0..PLACES as u8 + 1 {
            cache.put(now, &name(&std::format!("n{n}")), RecordKind::A, &known(n), 100 - u32::from(n));
        }
        let there = |n: usize| cache.get(now, &name(&std::format!("n{n}")), RecordKind::A).is_some();
        let present: std::vec::Vec<bool> = (0..=PLACES).map(there).collect();
        assert_eq!(present, [true, true, true, true, true, true, true, false, true]);
    }
}
