//! A connection to a name: both families are asked for, and their addresses tried.
//!
//! Implements RFC 8305 §3 (questions and the resolution delay); the attempts are `race.rs`'s.

use super::message::{Addresses, RecordKind};
use super::race::{DialError, Race};
use super::resolver::{QueryId, Resolver};
use crate::error::DnsError;
use crate::stack::Stack;
use crate::tcp::{ConnectOptions, TcpHandle};
use crate::time::{Duration, Instant};

/// Resolution Delay: how long the IPv6 addresses are waited for once the IPv4 ones are there (RFC 8305 §3).
const HOLD: Duration = Duration::from_millis(50);

/// Looks a name up and connects to one of its addresses.
///
/// # Contract
/// As [`Resolver`]'s and [`Race`]'s: [`poll`](Self::poll) after [`Stack::poll`] and [`Resolver::poll`] until it gives an
/// outcome, at [`deadline`](Self::deadline) at the latest.
pub struct Dial {
    race: Race,
    /// The questions that are open: AAAA, then A.
    open: [Option<QueryId>; 2],
    /// IPv4 addresses that wait for the IPv6 ones, and until when.
    held: Option<(Addresses, Instant)>,
    error: Option<DnsError>,
}

impl Dial {
    /// Begins: asks for both kinds of addresses, or for IPv4 addresses where IPv6 is not built.
    ///
    /// # Errors
    /// As [`Resolver::query`]; a dial takes two of its places.
    pub fn start(
        stack: &mut Stack<'_>,
        resolver: &mut Resolver,
        now: Instant,
        (name, port): (&str, u16),
        options: ConnectOptions,
    ) -> Result<Self, DnsError> {
        //= https://www.rfc-editor.org/rfc/rfc8305#section-3
        //# If possible, the queries SHOULD be made as soon after one another as
        //# possible, with the AAAA query made first and immediately followed by
        //# the A query.
        let six = match cfg!(feature = "ipv6") {
            true => Some(resolver.query(now, name, RecordKind::Aaaa)?),
            false => None,
        };
        let four = match resolver.query(now, name, RecordKind::A) {
            Ok(id) => id,
            Err(error) => {
                six.into_iter().for_each(|id| resolver.cancel(stack, id));
                return Err(error);
            }
        };
        Ok(Self { race: Race::new(port, options), open: [six, Some(four)], held: None, error: None })
    }

    /// Goes as far as it goes, and tells the connection, or why there is none.
    pub fn poll(
        &mut self,
        stack: &mut Stack<'_>,
        resolver: &mut Resolver,
        now: Instant,
    ) -> Option<Result<TcpHandle, DialError>> {
        for place in 0..self.open.len() {
            let Some(id) = self.open.get(place).copied().flatten() else { continue };
            let Some(outcome) = resolver.take(id) else { continue };
            if let Some(open) = self.open.get_mut(place) {
                *open = None;
            }
            match outcome {
                Ok(addresses) if place == 1 && self.open[0].is_some() => self.held = Some((addresses, now + HOLD)),
                Ok(addresses) => self.race.offer(stack, &addresses),
                // That a name has no address of one kind says less than what became of the other question.
                Err(error) if self.error.is_none_or(|e| e == DnsError::NoData) => self.error = Some(error),
                Err(_) => {}
            }
        }
        if let Some((addresses, _)) = self.held.take_if(|(_, until)| self.open[0].is_none() || *until <= now) {
            self.race.offer(stack, &addresses);
        }
        if self.open == [None; 2] && self.held.is_none() {
            self.race.no_more();
        }
        let outcome = self.race.poll(stack, now)?;
        self.open.iter_mut().filter_map(Option::take).for_each(|id| resolver.cancel(stack, id));
        Some(outcome.map_err(|error| match (error, self.error) {
            (DialError::Name(_), Some(error)) => DialError::Name(error),
            (error, _) => error,
        }))
    }

    /// When [`poll`](Self::poll) is to be called again at the latest; the resolver has a deadline of its own.
    pub fn deadline(&self) -> Option<Instant> {
        let held = self.held.as_ref().map(|(_, until)| *until);
        [held, self.race.deadline()].into_iter().flatten().min()
    }

    /// Ends it whatever it is at.
    pub fn cancel(mut self, stack: &mut Stack<'_>, resolver: &mut Resolver) {
        self.open.iter_mut().filter_map(Option::take).for_each(|id| resolver.cancel(stack, id));
        self.race.cancel(stack);
    }
}
