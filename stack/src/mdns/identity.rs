//! Who we are on the link: our names, and the records that say so.
//!
//! Implements RFC 6762 §10 (lifetimes, cache flush), §6.1 (what there is not) and §9 (other names after a conflict),
//! RFC 6763 §4.1 (PTR), §5 (SRV), §6 (TXT), §9 (types), §12 (additional records).

use super::message::{CLASS_ANY, CLASS_IN, Data, Message, Question, TOP_BIT, kind};
use crate::dns::message::Record;
use crate::dns::name::Name;
use crate::error::DnsError;
use core::fmt::Write;
use core::net::IpAddr;
use heapless::{String, Vec};

/// Octets of a label.
pub(super) const LABEL: usize = 63;
/// Octets of a service's TXT record, at most.
const TXT: usize = 200;
/// Addresses that the link is told of.
const ADDRESSES: usize = 8;
/// Of records that name a host, or are named by one, in seconds (RFC 6762 §10).
const HOST_TTL: u32 = 120;
/// Of others: 75 minutes.
const OTHER_TTL: u32 = 4_500;
/// Priority and weight of a service of one host (RFC 2782).
const PLAIN: [u8; 4] = [0; 4];

/// Records of ours, a bit for each kind of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(pub u8);

impl Set {
    pub const NONE: Self = Self(0);
    /// The host's addresses; in the order in which they are compared with others' (RFC 6762 §8.2).
    pub const A: Self = Self(1);
    pub const AAAA: Self = Self(2);
    /// That the host has no other records.
    pub const HOST_NSEC: Self = Self(4);
    /// Of the service's instance; in that order as well.
    pub const TXT: Self = Self(8);
    pub const SRV: Self = Self(16);
    pub const SERVICE_NSEC: Self = Self(32);
    /// The instance, by its type.
    pub const INSTANCES: Self = Self(64);
    /// The type, among all types.
    pub const TYPES: Self = Self(128);

    /// What others may have as well, and answer at the same time.
    pub const SHARED: Self = Self(64 | 128);
    /// What is announced.
    pub const ANNOUNCED: Self = Self(!(4 | 32));
    const HOST: Self = Self(1 | 2);

    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Its members, with their numbers.
    pub fn each(self) -> impl Iterator<Item = (usize, Self)> {
        (0..8).map(|n| (n, Self(1 << n))).filter(move |(_, one)| self.has(*one))
    }
}

/// A record of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ours<'i> {
    pub owner: &'i Name,
    pub kind: u16,
    /// With the cache-flush bit where nobody else can have such a record.
    pub class: u16,
    /// In seconds.
    pub ttl: u32,
    pub data: &'i [u8],
    /// A name behind the data.
    pub target: Option<&'i Name>,
}

/// A label, and the number it has got by conflicts.
struct Claim {
    wished: String<LABEL>,
    number: u16,
}

impl Claim {
    fn new(text: &str) -> Result<Self, DnsError> {
        let wished = String::try_from(text).map_err(|_| DnsError::Invalid)?;
        if wished.is_empty() || wished.chars().any(char::is_control) {
            return Err(DnsError::Invalid);
        }
        Ok(Self { wished, number: 1 })
    }

    /// The label with its number: in the manner of `name-2`, or of `name (2)`.
    fn text(&self, (before, behind): (&str, &str)) -> String<LABEL> {
        let mut number = String::<16>::new();
        if self.number > 1 {
            // Six digits at most.
            let _ = write!(number, "{before}{}{behind}", self.number);
        }
        let mut text = self.wished.clone();
        while text.len() + number.len() > LABEL {
            text.pop();
        }
        let _ = text.push_str(&number);
        text
    }

    fn rename(&mut self) {
        self.number = self.number.checked_add(1).unwrap_or(2);
    }
}

/// How a host is numbered, and how an instance is (RFC 6762 §9, RFC 6763 appendix D).
const OF_HOST: (&str, &str) = ("-", "");
const OF_INSTANCE: (&str, &str) = (" (", ")");

struct Instance {
    claim: Claim,
    /// `_http._tcp.local`.
    kind: Name,
    /// `_services._dns-sd._udp.local`.
    types: Name,
    name: Name,
    port: u16,
    txt: Vec<u8, TXT>,
}

/// Our names and addresses.
pub(super) struct Identity {
    claim: Claim,
    local: Name,
    host: Name,
    instance: Option<Instance>,
    /// In order.
    addresses: Vec<IpAddr, ADDRESSES>,
}

fn invalid<E>(_: E) -> DnsError {
    DnsError::Invalid
}

impl Identity {
    /// The host `host`.local, with a service or not.
    pub fn new(host: &str, service: Option<&super::Service<'_>>) -> Result<Self, DnsError> {
        // Letters, digits and hyphens: RFC 6762 §3 lets host names have more, but programs do not.
        let checked = Name::of(host).map_err(invalid)?;
        if checked.labels() != 1 {
            return Err(DnsError::Invalid);
        }
        let (claim, local) = (Claim::new(host)?, Name::of("local").map_err(invalid)?);
        let instance = service.map(|s| Instance::new(s, &local)).transpose()?;
        let host = checked.below(&local).map_err(invalid)?;
        Ok(Self { claim, local, host, instance, addresses: Vec::new() })
    }

    /// The host's label.
    pub fn host_label(&self) -> String<LABEL> {
        self.claim.text(OF_HOST)
    }

    /// The instance's label.
    pub fn instance_label(&self) -> Option<String<LABEL>> {
        self.instance.as_ref().map(|i| i.claim.text(OF_INSTANCE))
    }

    /// Tells of the addresses; whether they are others than before.
    pub fn set_addresses(&mut self, addresses: impl Iterator<Item = IpAddr>) -> bool {
        let mut new: Vec<IpAddr, ADDRESSES> = addresses.take(ADDRESSES).collect();
        new.sort_unstable();
        if new == self.addresses {
            return false;
        }
        self.addresses = new;
        true
    }

    pub fn has_addresses(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// The names that must be nobody else's.
    pub fn unique_names(&self) -> impl Iterator<Item = (&Name, Set)> {
        let instance = self.instance.as_ref().map(|i| (&i.name, Set::TXT.with(Set::SRV)));
        core::iter::once((&self.host, Set::HOST)).chain(instance)
    }

    /// Takes another name in place of the one that `set` is of.
    pub fn rename(&mut self, set: Set) {
        if set.has(Set::HOST) {
            self.claim.rename();
            if let Ok(name) = Name::of_label(self.claim.text(OF_HOST).as_bytes(), &self.local) {
                self.host = name;
            }
        } else if let Some(i) = &mut self.instance {
            i.claim.rename();
            if let Ok(name) = Name::of_label(i.claim.text(OF_INSTANCE).as_bytes(), &i.kind) {
                i.name = name;
            }
        }
    }

    /// What answers a question.
    pub fn answers(&self, q: &Question) -> Set {
        if q.class != CLASS_IN && q.class != CLASS_ANY {
            return Set::NONE;
        }
        let mut set = Set::NONE;
        let mut add = |wanted: bool, one: Set| set = if wanted { set.with(one) } else { set };
        if q.name == self.host {
            add(q.wants(kind::A), Set::A);
            add(q.wants(kind::AAAA), Set::AAAA);
            let set = self.existing(set);
            //= https://www.rfc-editor.org/rfc/rfc6762#section-6.1
            //# Any time a responder receives a query for a name for which it has
            //# verified exclusive ownership, for a type for which that name has no
            //# records, the responder MUST (except as allowed in (a) below) respond
            //# asserting the nonexistence of that record using a DNS NSEC record
            //# [RFC4034].
            return if set.is_empty() { Set::HOST_NSEC } else { set };
        }
        let Some(i) = &self.instance else { return Set::NONE };
        if q.name == i.name {
            add(q.wants(kind::TXT), Set::TXT);
            add(q.wants(kind::SRV), Set::SRV);
            return if set.is_empty() { Set::SERVICE_NSEC } else { set };
        }
        add(q.wants(kind::PTR) && q.name == i.kind, Set::INSTANCES);
        add(q.wants(kind::PTR) && q.name == i.types, Set::TYPES);
        set
    }

    /// What of `set` there is.
    pub fn existing(&self, set: Set) -> Set {
        let v4 = self.addresses.iter().any(IpAddr::is_ipv4);
        let v6 = self.addresses.iter().any(IpAddr::is_ipv6);
        let set = if v4 { set } else { set.without(Set::A) };
        let set = if v6 { set } else { set.without(Set::AAAA) };
        match self.instance {
            Some(_) => set,
            None => set.both(Set::HOST.with(Set::HOST_NSEC)),
        }
    }

    /// What whoever gets `set` will ask for next (RFC 6763 §12, RFC 6762 §6.2).
    pub fn additional(&self, set: Set) -> Set {
        let mut more = Set::NONE;
        if set.has(Set::INSTANCES) {
            more = more.with(Set::SRV).with(Set::TXT);
        }
        if set.with(more).has(Set::SRV.with(Set::HOST)) {
            more = more.with(Set::HOST);
        }
        let there = self.existing(more);
        // That there are none of the other family.
        let none = more.has(Set::HOST) && there.both(Set::HOST) != Set::HOST;
        let there = if none { there.with(Set::HOST_NSEC) } else { there };
        there.without(set)
    }

    /// The kind of our records that a record would be one of, by its name and type.
    pub fn place(&self, record: &Record<'_>) -> Option<Set> {
        if record.class & !TOP_BIT != CLASS_IN {
            return None;
        }
        if record.owner == self.host {
            return match record.kind {
                kind::A => Some(Set::A),
                kind::AAAA => Some(Set::AAAA),
                kind::NSEC => Some(Set::HOST_NSEC),
                _ => None,
            };
        }
        let i = self.instance.as_ref()?;
        match record.kind {
            kind::TXT if record.owner == i.name => Some(Set::TXT),
            kind::SRV if record.owner == i.name => Some(Set::SRV),
            kind::NSEC if record.owner == i.name => Some(Set::SERVICE_NSEC),
            kind::PTR if record.owner == i.kind => Some(Set::INSTANCES),
            kind::PTR if record.owner == i.types => Some(Set::TYPES),
            _ => None,
        }
    }

    /// The unique name that a record is of, whatever its type, and its records.
    pub fn unique_place(&self, owner: &Name) -> Option<Set> {
        self.unique_names().find(|(name, _)| *name == owner).map(|(_, set)| set)
    }

    /// How many records a kind has.
    pub fn count(&self, one: Set) -> u8 {
        match one {
            Set::A => self.addresses.iter().filter(|a| a.is_ipv4()).count() as u8,
            Set::AAAA => self.addresses.iter().filter(|a| a.is_ipv6()).count() as u8,
            _ => 1,
        }
    }

    /// Whether a record of a message is one of ours of this kind, its lifetime aside; the lifetime of ours.
    pub fn same(&self, message: &Message<'_>, record: &Record<'_>, one: Set) -> Option<u32> {
        let mut ttl = None;
        self.visit(one, |ours| {
            let mut whole: Vec<u8, { 255 + LABEL }> = Vec::new();
            let target = ours.target.map(Name::octets).unwrap_or(&[]);
            let fits = whole.extend_from_slice(ours.data).and_then(|()| whole.extend_from_slice(target));
            if fits.is_ok() && message.compare(Data::of(record), &whole).is_some_and(|o| o.is_eq()) {
                ttl = Some(ours.ttl);
            }
        });
        ttl
    }

    /// Shows each record of `set` that there is to `f`, in the order of their types and data.
    pub fn visit(&self, set: Set, mut f: impl FnMut(Ours<'_>)) {
        for ip in &self.addresses {
            match ip {
                IpAddr::V4(ip) if set.has(Set::A) => f(unique(&self.host, kind::A, HOST_TTL, &ip.octets())),
                IpAddr::V6(ip) if set.has(Set::AAAA) => f(unique(&self.host, kind::AAAA, HOST_TTL, &ip.octets())),
                _ => {}
            }
        }
        let has = self.existing(Set::HOST);
        if set.has(Set::HOST_NSEC) {
            let (a, aaaa) = (u8::from(has.has(Set::A)) << 6, u8::from(has.has(Set::AAAA)) << 3);
            f(unique(&self.host, kind::NSEC, HOST_TTL, &nsec(&self.host, [a, 0, 0, aaaa, 0])));
        }
        let Some(i) = &self.instance else { return };
        if set.has(Set::TXT) {
            f(unique(&i.name, kind::TXT, OTHER_TTL, &i.txt));
        }
        if set.has(Set::SRV) {
            let mut data: Vec<u8, { 6 + 255 }> = Vec::new();
            let fixed = data.extend_from_slice(&PLAIN).and_then(|()| data.extend_from_slice(&i.port.to_be_bytes()));
            // RFC 2782: the target is not written short; 6 and 255 octets have room.
            if fixed.and_then(|()| data.extend_from_slice(self.host.octets())).is_ok() {
                f(unique(&i.name, kind::SRV, HOST_TTL, &data));
            }
        }
        if set.has(Set::SERVICE_NSEC) {
            f(unique(&i.name, kind::NSEC, HOST_TTL, &nsec(&i.name, [0, 0, 0x80, 0, 0x40])));
        }
        if set.has(Set::INSTANCES) {
            f(shared(&i.kind, &i.name));
        }
        if set.has(Set::TYPES) {
            f(shared(&i.types, &i.kind));
        }
    }
}

impl Instance {
    fn new(service: &super::Service<'_>, local: &Name) -> Result<Self, DnsError> {
        let kind = Name::of(service.kind).map_err(invalid)?;
        let protocol = kind.ends_in("_tcp") || kind.ends_in("_udp");
        if !protocol || kind.labels() != 2 || !service.kind.starts_with('_') {
            return Err(DnsError::Invalid);
        }
        let kind = kind.below(local).map_err(invalid)?;
        let types = Name::of("_services._dns-sd._udp").and_then(|t| t.below(local)).map_err(invalid)?;
        let claim = Claim::new(service.instance)?;
        let name = Name::of_label(service.instance.as_bytes(), &kind).map_err(invalid)?;
        let mut txt = Vec::new();
        for text in service.txt {
            let len = u8::try_from(text.len()).map_err(invalid)?;
            txt.push(len).map_err(invalid)?;
            txt.extend_from_slice(text.as_bytes()).map_err(invalid)?;
        }
        //= https://www.rfc-editor.org/rfc/rfc6763#section-6.1
        //# An empty TXT record containing zero strings is not allowed [RFC1035].
        if txt.is_empty() {
            let _ = txt.push(0);
        }
        Ok(Self { claim, kind, types, name, port: service.port, txt })
    }
}

/// A record that nobody else has one like.
fn unique<'i>(owner: &'i Name, kind: u16, ttl: u32, data: &'i [u8]) -> Ours<'i> {
    Ours { owner, kind, class: CLASS_IN | TOP_BIT, ttl, data, target: None }
}

/// A pointer, as others have them, too.
fn shared<'i>(owner: &'i Name, target: &'i Name) -> Ours<'i> {
    Ours { owner, kind: kind::PTR, class: CLASS_IN, ttl: OTHER_TTL, data: &[], target: Some(target) }
}

/// The data of an NSEC record: the name itself, and the types below 40 that it has (RFC 6762 §6.1).
fn nsec(owner: &Name, bits: [u8; 5]) -> Vec<u8, { 255 + 7 }> {
    let mut data = Vec::new();
    let len = bits.iter().rposition(|b| *b != 0).map_or(1, |last| last + 1);
    // 255 and 7 octets have room.
    let _ = data.extend_from_slice(owner.octets());
    let _ = data.extend_from_slice(&[0, len as u8]);
    let _ = data.extend_from_slice(bits.get(..len).unwrap_or(&[]));
    data
}

#[cfg(test)]
mod tests {
    use super::super::Service;
    use super::*;
    extern crate std;
    use std::vec::Vec as StdVec;

    const SERVICE: Service<'_> = Service { instance: "My Echo", kind: "_echo._tcp", port: 7, txt: &["a=b"] };

    #[test]
    fn names_that_cannot_be_are_refused() {
        for host in ["", "a.b", "a b", "-\u{e9}", &"x".repeat(64)] {
            assert!(Identity::new(host, None).is_err(), "{host}");
        }
        for service in [
            Service { instance: "", ..SERVICE },
            Service { instance: "a\nb", ..SERVICE },
            Service { instance: &"x".repeat(64), ..SERVICE },
            Service { kind: "echo._tcp", ..SERVICE },
            Service { kind: "_echo._sctp", ..SERVICE },
            Service { kind: "_tcp", ..SERVICE },
            Service { kind: "_a._b._tcp", ..SERVICE },
            Service { txt: &[&"x".repeat(TXT)], ..SERVICE },
        ] {
            assert!(Identity::new("h", Some(&service)).is_err(), "{service:?}");
        }
        assert!(Identity::new("h", Some(&SERVICE)).is_ok());
    }

    #[test]
    fn names_after_conflicts_have_numbers_and_still_fit_a_label() {
        let long = "x".repeat(63);
        let mut identity = Identity::new(&long, Some(&SERVICE)).expect("names");
        identity.rename(Set::HOST);
        identity.rename(Set::SRV);
        assert_eq!(identity.host_label().as_str(), std::format!("{}-2", "x".repeat(61)));
        assert_eq!(identity.instance_label().as_deref(), Some("My Echo (2)"));
        for _ in 0..70_000 {
            identity.rename(Set::HOST);
        }
        assert!(identity.host_label().len() <= LABEL && identity.host_label().starts_with("xxx"));
        let mut text = Identity::new("h", Some(&Service { instance: &"\u{e9}".repeat(31), ..SERVICE })).expect("names");
        text.rename(Set::TXT);
        assert_eq!(text.instance_label().map(|l| l.len()), Some(62), "cut at a letter's end");
    }

    #[test]
    fn what_there_is_not_is_denied() {
        let mut identity = Identity::new("h", Some(&SERVICE)).expect("names");
        identity.set_addresses(["192.0.2.1".parse().expect("an address")].into_iter());
        let q = |name: &str, kind| Question { name: Name::of(name).expect("a name"), kind, class: 1, unicast: false };
        assert_eq!(identity.answers(&q("H.local", kind::A)), Set::A);
        assert_eq!(identity.answers(&q("h.local", kind::AAAA)), Set::HOST_NSEC);
        assert_eq!(identity.answers(&q("h.local", kind::ANY)), Set::A);
        assert_eq!(identity.answers(&q("h2.local", kind::A)), Set::NONE);
        assert_eq!(identity.answers(&Question { class: 3, ..q("h.local", kind::A) }), Set::NONE);
        assert_eq!(identity.answers(&q("_echo._tcp.local", kind::PTR)), Set::INSTANCES);
        assert_eq!(identity.answers(&q("_services._dns-sd._udp.local", kind::PTR)), Set::TYPES);
        assert_eq!(identity.additional(Set::INSTANCES).0, Set::SRV.with(Set::TXT).with(Set::A).with(Set::HOST_NSEC).0);
        let mut data = StdVec::new();
        identity.visit(Set::HOST_NSEC.with(Set::SERVICE_NSEC), |r| data.push(r.data.to_vec()));
        assert_eq!(data[0], b"\x01h\x05local\0\0\x01\x40");
        assert!(data[1].ends_with(b"\x05local\0\0\x05\0\0\x80\0\x40"));
    }
}
