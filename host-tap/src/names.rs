//! Names to addresses: the stack's resolver, and multicast DNS for names in `.local`.
//!
//! ```text
//!  name ─┬─ in .local ─▶ multicast DNS (begun when it is first needed)
//!        └─ else ──────▶ name servers: those given, or those of DHCP, DHCPv6 and router advertisements
//! ```

use crate::failure::Failure;
use ringtap::dhcp::v4::Lease;
use ringtap::dhcp::v6::Lease6;
use ringtap::dns::{Addresses, QueryId, RecordKind, Resolver};
use ringtap::error::DnsError;
use ringtap::mdns::{Mdns, MdnsEvent, MdnsOptions};
use ringtap::stack::{IfaceId, Stack};
use ringtap::time::{Duration, Instant};
use std::net::IpAddr;

/// Servers asked at most; more are left out.
const SERVERS: usize = 4;

/// How long the addresses of the other family are waited for once those of one are there.
const SETTLE: Duration = Duration::from_millis(500);

/// The resolvers of a stack.
pub struct Names {
    dns: Resolver,
    mdns: Option<Mdns>,
    iface: IfaceId,
    /// Servers were given: no others count.
    given: bool,
    /// Servers and domain that DHCP and DHCPv6 have told.
    learned: [(Vec<IpAddr>, Option<String>); 2],
}

/// A question that one of them was asked.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Dns(QueryId),
    Mdns(QueryId),
}

impl Names {
    /// Resolvers on `iface` that ask `servers`; without any, those that [`learn`](Self::learn) and routers tell of.
    pub fn new(stack: &mut Stack<'static>, iface: IfaceId, servers: &[IpAddr]) -> Self {
        let mut dns = Resolver::new(stack);
        dns.set_servers(servers);
        let given = !servers.is_empty();
        Self { dns, mdns: None, iface, given, learned: Default::default() }
    }

    /// Whether a name server is known.
    pub fn has_server(&self) -> bool {
        !self.dns.servers().is_empty()
    }

    /// Claims a name of the link, and tells of a service.
    ///
    /// # Errors
    /// When that cannot be a name, or there is no room.
    pub fn announce(&mut self, stack: &mut Stack<'static>, options: &MdnsOptions<'_>) -> Result<(), Failure> {
        let host = options.host.unwrap_or_default();
        let failed =
            |e| Failure::usage(format!("cannot be {host}.local: {e}")).remedy("give letters, digits and hyphens");
        self.mdns = Some(Mdns::start(stack, self.iface, options).map_err(failed)?);
        Ok(())
    }

    /// Says goodbye to the link.
    pub fn close(&mut self, stack: &mut Stack<'static>) {
        if let Some(mdns) = self.mdns.take() {
            mdns.close(stack);
        }
    }

    /// Takes the name servers and the domain of a lease, or forgets them.
    pub fn learn(&mut self, lease: Option<&Lease>) {
        let servers = lease.map(Lease::dns).unwrap_or_default();
        let domain = lease.map(Lease::domain).filter(|d| !d.is_empty());
        self.learned[0] = (servers.iter().map(|&ip| ip.into()).collect(), domain.map(String::from));
    }

    /// As [`learn`](Self::learn), of DHCPv6.
    pub fn learn6(&mut self, lease: Option<&Lease6>) {
        let servers = lease.map(Lease6::dns).unwrap_or_default();
        let domain = lease.map(Lease6::domain).filter(|d| !d.is_empty());
        self.learned[1] = (servers.iter().map(|&ip| ip.into()).collect(), domain.map(String::from));
    }

    /// Does what is due; what has become of a name that was claimed.
    pub fn poll(&mut self, stack: &mut Stack<'static>, now: Instant) -> Option<String> {
        self.use_servers(stack);
        if self.dns.deadline().is_some() {
            self.dns.poll(stack, now);
        }
        let mdns = self.mdns.as_mut()?;
        let mut told = None;
        while let Some(event) = mdns.poll(stack, now) {
            if matches!(event, MdnsEvent::Claimed | MdnsEvent::Renamed) {
                told = mdns.host().map(|host| match mdns.instance().filter(|i| **i != *host) {
                    Some(instance) => format!("{host}.local, of the service \"{instance}\""),
                    None => format!("{host}.local"),
                });
            }
        }
        told
    }

    /// When [`poll`](Self::poll) is to be called again at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let mdns = self.mdns.as_ref().and_then(Mdns::deadline);
        [self.dns.deadline(), mdns].into_iter().flatten().min()
    }

    /// Asks the servers that are known now, if they are others than before: what was learned of names is kept else.
    fn use_servers(&mut self, stack: &Stack<'static>) {
        if self.given {
            return;
        }
        let [four, six] = &self.learned;
        let advertised = stack.advertised_dns_servers().map(IpAddr::V6);
        let known: Vec<IpAddr> = four.0.iter().chain(&six.0).copied().chain(advertised).take(SERVERS).collect();
        if self.dns.servers() == known {
            return;
        }
        self.dns.set_servers(&known);
        let told = [&four.1, &six.1].into_iter().filter_map(Option::as_deref);
        let domains = told.chain(stack.advertised_dns_domains());
        for suffix in domains.map(|d| [d]) {
            // A domain that is no name is a server's slip.
            if self.dns.set_search(&suffix).is_ok() {
                break;
            }
        }
    }

    fn query(
        &mut self,
        stack: &mut Stack<'static>,
        now: Instant,
        name: &str,
        kind: RecordKind,
    ) -> Result<Ask, DnsError> {
        match self.dns.query(now, name, kind) {
            Err(DnsError::Multicast) => {
                if self.mdns.is_none() {
                    let options = MdnsOptions::default();
                    self.mdns = Some(Mdns::start(stack, self.iface, &options).map_err(|_| DnsError::Multicast)?);
                }
                let mdns = self.mdns.as_mut().ok_or(DnsError::Multicast)?;
                mdns.query(now, name, kind).map(Ask::Mdns)
            }
            asked => asked.map(Ask::Dns),
        }
    }

    fn take(&mut self, ask: Ask) -> Option<Result<Addresses, DnsError>> {
        match (ask, &mut self.mdns) {
            (Ask::Dns(id), _) => self.dns.take(id),
            (Ask::Mdns(id), Some(mdns)) => mdns.take(id),
            (Ask::Mdns(_), None) => Some(Err(DnsError::Stale)),
        }
    }

    fn cancel(&mut self, stack: &mut Stack<'static>, ask: Ask) {
        match (ask, &mut self.mdns) {
            (Ask::Dns(id), _) => self.dns.cancel(stack, id),
            (Ask::Mdns(id), Some(mdns)) => mdns.cancel(id),
            (Ask::Mdns(_), None) => {}
        }
    }
}

/// Addresses of a name, of one family or of both.
pub struct Lookup {
    open: Vec<Ask>,
    found: Vec<IpAddr>,
    error: Option<DnsError>,
    /// Until when the other family is waited for.
    until: Option<Instant>,
}

impl Lookup {
    /// Begins: IPv6 addresses (`Some(true)`), IPv4 ones (`Some(false)`), or both.
    ///
    /// # Errors
    /// Why the name cannot be asked for.
    pub fn start(
        names: &mut Names,
        stack: &mut Stack<'static>,
        now: Instant,
        (name, v6): (&str, Option<bool>),
    ) -> Result<Self, DnsError> {
        names.use_servers(stack);
        let mut lookup = Self { open: Vec::new(), found: Vec::new(), error: None, until: None };
        for (kind, wanted) in [(RecordKind::Aaaa, v6 != Some(false)), (RecordKind::A, v6 != Some(true))] {
            if wanted {
                match names.query(stack, now, name, kind) {
                    Ok(ask) => lookup.open.push(ask),
                    Err(error) => {
                        lookup.cancel(names, stack);
                        return Err(error);
                    }
                }
            }
        }
        Ok(lookup)
    }

    /// The addresses, best first, or why there are none; `None` while they are looked for.
    pub fn poll(
        &mut self,
        names: &mut Names,
        stack: &mut Stack<'static>,
        now: Instant,
    ) -> Option<Result<Vec<IpAddr>, DnsError>> {
        let (found, error) = (&mut self.found, &mut self.error);
        self.open.retain(|&ask| match names.take(ask) {
            None => true,
            Some(Ok(addresses)) => {
                found.extend_from_slice(&addresses);
                false
            }
            Some(Err(e)) => {
                // That there are none of one kind says less than what became of the other question.
                *error = error.filter(|e| *e != DnsError::NoData).or(Some(e));
                false
            }
        });
        if self.open.is_empty() && self.found.is_empty() {
            return Some(Err(self.error.unwrap_or(DnsError::NoData)));
        }
        if !self.found.is_empty() {
            let until = *self.until.get_or_insert(now + SETTLE);
            if self.open.is_empty() || until <= now {
                self.cancel(names, stack);
                ringtap::dns::sort(stack, &mut self.found);
                return Some(Ok(std::mem::take(&mut self.found)));
            }
        }
        None
    }

    /// When [`poll`](Self::poll) is to be called again at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.until
    }

    /// Ends it whatever it is at.
    pub fn cancel(&mut self, names: &mut Names, stack: &mut Stack<'static>) {
        self.open.drain(..).for_each(|ask| names.cancel(stack, ask));
    }
}
