//! The resolver: queries on their way, the servers they go to, and the sockets they use.
//!
//! Each try has a socket of its own, and with it a random port, beside a random identifier and letters of random case
//! (RFC 5452 §9.2): who does not see the question has some 40 bits to guess.
//!
//! ```text
//!  name ─ candidates of the search list ─▶ cache ─▶ ask a server ─▶ found ───────────────▶ outcome
//!            ▲                                        │  ▲           ├ alias ─▶ ask for that
//!            └────────── no such name ────────────────┼──┼───────────┤
//!                                                     │  └ fails, is silent: the next server
//!                                                     └▶ truncated: the same server by TCP
//! ```

use super::cache::{Cache, Known};
use super::message::{Addresses, LONGEST_QUERY, RecordKind, Verdict, judge, write_query};
use super::name::Name;
use crate::error::{DnsError, RecvError, SendError};
use crate::rng::{Purpose, Rng};
use crate::sockets::{UdpHandle, UdpOptions};
use crate::stack::Stack;
#[cfg(feature = "dns-tcp")]
use crate::tcp::{ConnectOptions, TcpHandle, TcpOptions};
use crate::time::{Duration, Instant};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use heapless::Vec;

/// The servers' port.
const PORT: u16 = 53;
/// Servers known at most.
const MAX_SERVERS: usize = 4;
/// Suffixes of the search list at most.
const MAX_SEARCH: usize = 3;
/// Queries at a time.
const MAX_QUERIES: usize = 4;
/// How long a server is waited for in the first round; twice as long in each further one. 2 s: an answer that must first be
/// sought takes longer than one in 100 times (RFC 1035 §4.2.1 has two to five seconds).
const WAIT: Duration = Duration::from_secs(2);
/// Rounds through the servers.
const ROUNDS: usize = 2;
/// Tries where there is but one server.
const LEAST_TRIES: usize = 3;
/// Aliases asked for one after another.
const MAX_HOPS: u8 = 8;
/// When a try that found no room is made again.
const NO_ROOM_RETRY: Duration = Duration::from_millis(20);
/// How long a server may take by TCP.
#[cfg(feature = "dns-tcp")]
const TCP_WAIT: Duration = Duration::from_secs(10);
/// Octets of a response by TCP, with its length in front; longer ones are [`DnsError::Truncated`].
#[cfg(feature = "dns-tcp")]
const TCP_ROOM: usize = 2048;

/// Names a query of a [`Resolver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryId {
    pub(crate) place: u8,
    pub(crate) generation: u16,
}

/// Where a query is.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A server is to be asked, at the query's time.
    Next,
    Udp(UdpHandle),
    /// A response was truncated; TCP is to be used as soon as it is free.
    #[cfg(feature = "dns-tcp")]
    WantsTcp,
    /// By TCP: octets of the question sent so far.
    #[cfg(feature = "dns-tcp")]
    Tcp(TcpHandle, usize),
    Done,
}

struct Query {
    generation: u16,
    kind: RecordKind,
    /// What was asked for, and whether it ends in a dot.
    typed: Name,
    absolute: bool,
    /// Which candidate of the search list is asked for.
    candidate: u8,
    /// What a server is asked for, as it is sent.
    asked: Name,
    exact: bool,
    id: u16,
    hops: u8,
    /// Servers asked for this name.
    tries: u8,
    timed_out: bool,
    /// A candidate was there, without addresses.
    no_data: bool,
    way: Way,
    at: Option<Instant>,
    outcome: Option<Known>,
}

/// A stub resolver on a stack.
///
/// # Contract
/// - Call [`poll`](Self::poll) after each [`Stack::poll`] while queries are running, at [`deadline`](Self::deadline) at the
///   latest, then [`take`](Self::take).
/// - At most four queries run at a time; each needs one UDP socket, or one TCP connection.
pub struct Resolver {
    servers: Vec<IpAddr, MAX_SERVERS>,
    search: Vec<Name, MAX_SEARCH>,
    ndots: u8,
    queries: [Option<Query>; MAX_QUERIES],
    generation: u16,
    cache: Cache,
    rng: Rng,
    #[cfg(feature = "dns-tcp")]
    tcp: TcpBuffer,
}

/// The one response that may be read by TCP.
#[cfg(feature = "dns-tcp")]
struct TcpBuffer {
    octets: [u8; TCP_ROOM],
    len: usize,
    taken: bool,
}

impl Resolver {
    /// A resolver that knows no server yet.
    pub fn new(stack: &mut Stack<'_>) -> Self {
        // Several resolvers of one stack do not draw the same numbers.
        let from = stack.rng.next_u64();
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            // Made where it lies: a constant would be an image of all of them in flash.
            queries: core::array::from_fn(|_| None),
            generation: 0,
            cache: Cache::new(),
            rng: Rng::starting(&stack.config.secret, Purpose::Dns, from),
            #[cfg(feature = "dns-tcp")]
            tcp: TcpBuffer { octets: [0; TCP_ROOM], len: 0, taken: false },
        }
    }

    /// The servers to ask, in this order; at most four are taken. What others have said is forgotten.
    pub fn set_servers(&mut self, servers: &[IpAddr]) {
        self.servers = servers.iter().take(MAX_SERVERS).copied().collect();
        self.cache.clear();
    }

    /// The servers that are asked.
    pub fn servers(&self) -> &[IpAddr] {
        &self.servers
    }

    /// The suffixes that names are tried with: those without a dot (see [`set_ndots`](Self::set_ndots)) before they are
    /// tried as they are, others after. At most three are taken.
    ///
    /// # Errors
    /// `Invalid` when one is no name; nothing has changed then.
    pub fn set_search(&mut self, suffixes: &[&str]) -> Result<(), DnsError> {
        let mut search = Vec::new();
        for suffix in suffixes.iter().take(MAX_SEARCH) {
            let name = Name::of(suffix).map_err(|_| DnsError::Invalid)?;
            search.push(name).map_err(|_| DnsError::Full)?;
        }
        self.search = search;
        Ok(())
    }

    /// Names with at least as many dots are tried as they are before they are tried with suffixes; 1 at first.
    pub fn set_ndots(&mut self, dots: u8) {
        self.ndots = dots;
    }

    /// Begins to look for addresses of `name`. An address in text is its own answer (one of IPv6 with the
    /// feature `ipv6`); a name that ends in a dot is not
    /// tried with suffixes.
    ///
    /// # Errors
    /// `Invalid`; `Full`; `NoServers`; `Multicast` for names in `.local`.
    pub fn query(&mut self, now: Instant, name: &str, kind: RecordKind) -> Result<QueryId, DnsError> {
        #[cfg(feature = "ipv6")]
        let literal = name.parse::<IpAddr>().ok();
        // Of what is no name, the other family's addresses are refused below.
        #[cfg(not(feature = "ipv6"))]
        let literal = name.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
        let typed = match literal {
            Some(_) => Name::of("literal"),
            None => Name::of(name),
        };
        let typed = typed.map_err(|_| DnsError::Invalid)?;
        let place = self.queries.iter().position(Option::is_none).ok_or(DnsError::Full)?;
        let outcome = match literal {
            Some(ip) if ip.is_ipv4() == (kind == RecordKind::A) => Some(Ok(Addresses::one(ip))),
            Some(_) => Some(Err(DnsError::NoData)),
            None => self.known_without_asking(now, &typed, kind)?,
        };
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let mut query = Query {
            generation,
            kind,
            absolute: name.ends_with('.'),
            candidate: 0,
            asked: typed.clone(),
            typed,
            exact: false,
            id: 0,
            hops: 0,
            tries: 0,
            timed_out: false,
            no_data: false,
            way: if outcome.is_some() { Way::Done } else { Way::Next },
            at: outcome.is_none().then_some(now),
            outcome,
        };
        if query.outcome.is_none()
            && let Some(first) = self.candidate(&query)
        {
            self.ask_for(&mut query, now, first);
        }
        if let Some(slot) = self.queries.get_mut(place) {
            *slot = Some(query);
        }
        Ok(QueryId { place: place as u8, generation })
    }

    /// What no server need be asked for.
    fn known_without_asking(&self, now: Instant, name: &Name, kind: RecordKind) -> Result<Option<Known>, DnsError> {
        if name.ends_in("localhost") {
            // RFC 6761 §6.3: name resolution libraries do not ask for it.
            let ip = match kind {
                RecordKind::A => IpAddr::V4(Ipv4Addr::LOCALHOST),
                RecordKind::Aaaa => IpAddr::V6(Ipv6Addr::LOCALHOST),
            };
            return Ok(Some(Ok(Addresses::one(ip))));
        }
        //= https://www.rfc-editor.org/rfc/rfc6762#section-3
        //# Any DNS query for a name ending with ".local." MUST be sent to the
        //# mDNS IPv4 link-local multicast address 224.0.0.251 (or its IPv6
        //# equivalent FF02::FB).
        if name.ends_in("local") {
            return Err(DnsError::Multicast);
        }
        if self.servers.is_empty() {
            return self.cache.get(now, name, kind).cloned().map(Some).ok_or(DnsError::NoServers);
        }
        Ok(None)
    }

    /// Does what is due.
    pub fn poll(&mut self, stack: &mut Stack<'_>, now: Instant) {
        for place in 0..MAX_QUERIES {
            let Some(mut query) = self.queries.get_mut(place).and_then(Option::take) else { continue };
            self.advance(&mut query, stack, now);
            if let Some(slot) = self.queries.get_mut(place) {
                *slot = Some(query);
            }
        }
    }

    /// When [`poll`](Self::poll) is to be called again at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.queries.iter().flatten().filter_map(|q| q.at).min()
    }

    /// How a query has ended, and with that the query's end; `None` while it is running.
    pub fn take(&mut self, id: QueryId) -> Option<Result<Addresses, DnsError>> {
        let slot = self.queries.get_mut(usize::from(id.place));
        let Some(slot) = slot.filter(|s| s.as_ref().is_some_and(|q| q.generation == id.generation)) else {
            return Some(Err(DnsError::Stale));
        };
        slot.as_ref()?.outcome.as_ref()?;
        slot.take()?.outcome
    }

    /// Ends a query whatever it is at.
    pub fn cancel(&mut self, stack: &mut Stack<'_>, id: QueryId) {
        if let Some(slot) = self.queries.get_mut(usize::from(id.place))
            && let Some(mut query) = slot.take_if(|q| q.generation == id.generation)
        {
            self.leave(&mut query, stack);
        }
    }

    /// Goes as far as it goes at `now`. Bounded: each step that repeats has its own counter.
    fn advance(&mut self, query: &mut Query, stack: &mut Stack<'_>, now: Instant) {
        loop {
            let due = query.at.is_some_and(|at| at <= now);
            let goes_on = match query.way {
                Way::Done => false,
                Way::Next => due && self.try_next(query, stack, now),
                Way::Udp(handle) => match Self::receive(query, stack, handle) {
                    Some(verdict) => self.act(query, stack, now, verdict),
                    None if due => self.time_out(query, stack, now),
                    None => false,
                },
                #[cfg(feature = "dns-tcp")]
                Way::WantsTcp => due && self.open_tcp(query, stack, now),
                #[cfg(feature = "dns-tcp")]
                Way::Tcp(handle, sent) => match self.talk(query, stack, handle, sent) {
                    Some(verdict) => self.act(query, stack, now, verdict),
                    None if due => self.time_out(query, stack, now),
                    None => false,
                },
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Asks the next server.
    fn try_next(&mut self, query: &mut Query, stack: &mut Stack<'_>, now: Instant) -> bool {
        let servers = self.servers.len();
        let tries = usize::from(query.tries);
        let Some(&server) = self.servers.get(tries.checked_rem(servers).unwrap_or(0)) else {
            return Self::end(query, Err(DnsError::NoServers));
        };
        if tries >= (servers * ROUNDS).max(LEAST_TRIES) {
            let error = if query.timed_out { DnsError::TimedOut } else { DnsError::ServerFailure };
            return Self::end(query, Err(error));
        }
        query.id = self.rng.next_u32() as u16;
        // A server that changes the case of letters answers in the second round.
        query.exact = tries < servers;
        if query.exact {
            query.asked = query.asked.in_mixed_case(&mut self.rng);
        }
        match Self::send(query, stack, server) {
            Ok(handle) => {
                query.way = Way::Udp(handle);
                query.at = Some(now + WAIT * (1 << (tries / servers).min(4)));
                true
            }
            Err(SendError::WouldBlock) => {
                query.at = Some(now + NO_ROOM_RETRY);
                false
            }
            // No way to this server.
            Err(_) => {
                query.tries += 1;
                true
            }
        }
    }

    fn send(query: &Query, stack: &mut Stack<'_>, server: IpAddr) -> Result<UdpHandle, SendError> {
        let options = UdpOptions { rx_queue: 4, tx_queue: 1, ..UdpOptions::default() };
        let handle = stack.udp_bind(None, 0, &options).map_err(|_| SendError::WouldBlock)?;
        let mut buf = [0; LONGEST_QUERY];
        let len = write_query(&mut buf, query.id, &query.asked, query.kind);
        let Ok(mut socket) = stack.udp(handle) else { return Err(SendError::Stale) };
        // Connected: what does not come from the server is not ours (RFC 5452 §9.1), and ICMP errors are told.
        let sent = socket.connect(SocketAddr::new(server, PORT));
        let sent = sent.and_then(|()| socket.send(buf.get(..len).unwrap_or(&[])));
        if let Err(error) = sent {
            socket.close();
            return Err(error);
        }
        Ok(handle)
    }

    /// What the server has said, if anything.
    fn receive(query: &Query, stack: &mut Stack<'_>, handle: UdpHandle) -> Option<Verdict> {
        loop {
            let Ok(mut socket) = stack.udp(handle) else { return Some(Verdict::Failed) };
            match socket.recv() {
                Ok((message, _)) => match judge(&message, query.id, &query.asked, query.exact, query.kind) {
                    Verdict::Ignored => {}
                    verdict => return Some(verdict),
                },
                Err(RecvError::WouldBlock) => return None,
                Err(_) => return Some(Verdict::Failed),
            }
        }
    }

    /// What a verdict leads to.
    fn act(&mut self, query: &mut Query, stack: &mut Stack<'_>, now: Instant, verdict: Verdict) -> bool {
        let by_udp = matches!(query.way, Way::Udp(_));
        self.leave(query, stack);
        match verdict {
            Verdict::Truncated if by_udp => self.by_tcp(query, now),
            // What is longer than we can hold is never given in part.
            Verdict::Truncated => Self::end(query, Err(DnsError::Truncated)),
            Verdict::Ignored | Verdict::Failed => {
                query.tries += 1;
                (query.way, query.at) = (Way::Next, Some(now));
                true
            }
            Verdict::Found(addresses, ttl) => {
                let known = Ok(addresses);
                self.cache.put(now, &query.asked, query.kind, &known, ttl);
                Self::end(query, known)
            }
            Verdict::Alias(_) if query.hops >= MAX_HOPS => Self::end(query, Err(DnsError::Loop)),
            Verdict::Alias(name) => {
                query.hops += 1;
                self.ask_for(query, now, name)
            }
            Verdict::Loop => Self::end(query, Err(DnsError::Loop)),
            Verdict::NoName(ttl) => self.negative(query, now, DnsError::NotFound, ttl),
            Verdict::NoData(ttl) => self.negative(query, now, DnsError::NoData, ttl),
        }
    }

    fn negative(&mut self, query: &mut Query, now: Instant, error: DnsError, ttl: Option<u32>) -> bool {
        self.cache.put(now, &query.asked, query.kind, &Err(error), ttl.unwrap_or(0));
        self.next_candidate(query, now, error)
    }

    /// The name of this candidate does not help: the next one of the search list.
    fn next_candidate(&mut self, query: &mut Query, now: Instant, error: DnsError) -> bool {
        query.no_data |= error == DnsError::NoData;
        query.candidate += 1;
        query.hops = 0;
        match self.candidate(query) {
            Some(name) => self.ask_for(query, now, name),
            None => {
                let error = if query.no_data { DnsError::NoData } else { DnsError::NotFound };
                Self::end(query, Err(error))
            }
        }
    }

    /// The name that is tried as number `query.candidate`.
    fn candidate(&self, query: &Query) -> Option<Name> {
        let n = usize::from(query.candidate);
        if query.absolute || self.search.is_empty() {
            return (n == 0).then(|| query.typed.clone());
        }
        // A suffix that makes a name too long makes none.
        let with = |n: usize| self.search.get(n).map(|s| query.typed.below(s).unwrap_or_else(|_| query.typed.clone()));
        let last = self.search.len();
        match (query.typed.labels() > usize::from(self.ndots), n) {
            (true, 0) => Some(query.typed.clone()),
            (true, n) => with(n - 1),
            (false, n) if n == last => Some(query.typed.clone()),
            (false, n) => with(n),
        }
    }

    /// Looks for `name`, in the cache first.
    fn ask_for(&mut self, query: &mut Query, now: Instant, name: Name) -> bool {
        (query.asked, query.tries, query.timed_out) = (name, 0, false);
        match self.cache.get(now, &query.asked, query.kind).cloned() {
            Some(Err(error)) => self.next_candidate(query, now, error),
            Some(found) => Self::end(query, found),
            None => {
                (query.way, query.at) = (Way::Next, Some(now));
                true
            }
        }
    }

    fn time_out(&mut self, query: &mut Query, stack: &mut Stack<'_>, now: Instant) -> bool {
        self.leave(query, stack);
        query.timed_out = true;
        query.tries += 1;
        (query.way, query.at) = (Way::Next, Some(now));
        true
    }

    fn end(query: &mut Query, outcome: Known) -> bool {
        (query.way, query.at, query.outcome) = (Way::Done, None, Some(outcome));
        false
    }

    /// Gives up the query's socket.
    fn leave(&mut self, query: &mut Query, stack: &mut Stack<'_>) {
        match core::mem::replace(&mut query.way, Way::Done) {
            Way::Udp(handle) => {
                if let Ok(socket) = stack.udp(handle) {
                    socket.close();
                }
            }
            #[cfg(feature = "dns-tcp")]
            Way::Tcp(handle, _) => {
                self.tcp.taken = false;
                if let Ok(socket) = stack.tcp(handle) {
                    socket.close();
                }
            }
            _ => {}
        }
    }

    #[cfg(not(feature = "dns-tcp"))]
    fn by_tcp(&mut self, query: &mut Query, _now: Instant) -> bool {
        Self::end(query, Err(DnsError::Truncated))
    }

    //= https://www.rfc-editor.org/rfc/rfc7766#section-5
    //# This document therefore updates the core DNS protocol specifications such that
    //# support for TCP is henceforth a REQUIRED part of a full DNS protocol implementation.
    #[cfg(feature = "dns-tcp")]
    fn by_tcp(&mut self, query: &mut Query, now: Instant) -> bool {
        (query.way, query.at) = (Way::WantsTcp, Some(now));
        true
    }

    #[cfg(feature = "dns-tcp")]
    fn open_tcp(&mut self, query: &mut Query, stack: &mut Stack<'_>, now: Instant) -> bool {
        if self.tcp.taken {
            query.at = Some(now + NO_ROOM_RETRY);
            return false;
        }
        let server = self.servers.get(usize::from(query.tries).checked_rem(self.servers.len()).unwrap_or(0));
        let Some(&server) = server else { return Self::end(query, Err(DnsError::NoServers)) };
        let tcp = TcpOptions { rx_buffer: TCP_ROOM, tx_buffer: 512, ..TcpOptions::default() };
        let options = ConnectOptions { tcp, ..ConnectOptions::default() };
        match stack.tcp_connect(SocketAddr::new(server, PORT), &options) {
            Ok(handle) => {
                (self.tcp.taken, self.tcp.len) = (true, 0);
                (query.way, query.at) = (Way::Tcp(handle, 0), Some(now + TCP_WAIT));
                true
            }
            // Without a connection, the answer cannot be had whole.
            Err(_) => Self::end(query, Err(DnsError::Truncated)),
        }
    }

    /// Writes the question and reads the response, each behind its length (RFC 1035 §4.2.2).
    #[cfg(feature = "dns-tcp")]
    fn talk(&mut self, query: &mut Query, stack: &mut Stack<'_>, handle: TcpHandle, sent: usize) -> Option<Verdict> {
        use crate::error::TcpError;
        let Ok(mut socket) = stack.tcp(handle) else { return Some(Verdict::Failed) };
        let mut buf = [0; LONGEST_QUERY];
        let len = write_query(&mut buf, query.id, &query.asked, query.kind);
        let mut framed = [0; LONGEST_QUERY + 2];
        framed[..2].copy_from_slice(&(len as u16).to_be_bytes());
        framed[2..].copy_from_slice(&buf);
        let rest = framed.get(sent..len + 2).unwrap_or(&[]);
        if !rest.is_empty() {
            match socket.write(rest) {
                Ok(n) => query.way = Way::Tcp(handle, sent + n),
                Err(TcpError::WouldBlock) => return None,
                Err(_) => return Some(Verdict::Failed),
            }
        }
        loop {
            let TcpBuffer { octets, len, taken: _ } = &mut self.tcp;
            let total = match octets.get(..*len) {
                Some([a, b, ..]) => 2 + usize::from(u16::from_be_bytes([*a, *b])),
                _ => 2,
            };
            if let Some(message) = octets.get(2..total).filter(|_| *len >= total && total > 2) {
                // Whoever answers on this connection is the server: anything else is its fault.
                return Some(judge(message, query.id, &query.asked, query.exact, query.kind));
            }
            let Some(room) = octets.get_mut(*len..total.max(2)).filter(|r| !r.is_empty()) else {
                return Some(Verdict::Truncated);
            };
            match socket.read(room) {
                Ok(0) => return Some(Verdict::Failed),
                Ok(n) => *len += n,
                Err(TcpError::WouldBlock) => return None,
                Err(_) => return Some(Verdict::Failed),
            }
        }
    }
}
