//! An example of a policy: ways by source.
//!
//! ```text
//!  from 10.1.0.0/24 via 10.2.0.2
//!  from 10.1.0.7/32 to 192.0.2.0/24 reject
//! ```
//!
//! The first rule that fits decides; what none fits goes by the route table.

use super::ParseRuleError;
use ringtap::ip::addr::Cidr;
use ringtap::ip::policy::{Choice, Policy, Question};
use ringtap::ip::route::IfaceId;
use std::net::IpAddr;
use std::str::FromStr;

/// Where what fits goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// By the router of this address.
    Via(IpAddr),
    /// Nowhere.
    Blackhole,
    /// Nowhere, and its sender is told.
    Reject,
}

/// Whose packets go another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where they come from.
    pub from: Cidr,
    /// Where they go, if that matters.
    pub to: Option<Cidr>,
    /// Their way.
    pub target: Target,
}

impl FromStr for Rule {
    type Err = ParseRuleError;

    fn from_str(text: &str) -> Result<Self, ParseRuleError> {
        Self::parse(text).ok_or_else(|| ParseRuleError::new(text, "from 10.1.0.0/24 via 10.2.0.2"))
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (from, rest) = match *words.as_slice() {
            ["from", from, ref rest @ ..] => (from.parse::<Cidr>().ok()?, rest),
            _ => return None,
        };
        let (to, rest) = match *rest {
            ["to", to, ref rest @ ..] => (Some(to.parse::<Cidr>().ok()?), rest),
            _ => (None, rest),
        };
        let target = match *rest {
            ["via", gateway] => Target::Via(gateway.parse().ok()?),
            ["blackhole"] => Target::Blackhole,
            ["reject"] => Target::Reject,
            _ => return None,
        };
        let is_v4 = from.addr().is_ipv4();
        let one_family = to.is_none_or(|to| to.addr().is_ipv4() == is_v4)
            && !matches!(target, Target::Via(gateway) if gateway.is_ipv4() != is_v4);
        one_family.then_some(Self { from, to, target })
    }
}

/// Rules, each with the interface that its router is on.
pub struct BySource(Vec<(Rule, IfaceId)>);

impl BySource {
    /// These rules, in this order; `iface` knows on which interface a router is.
    ///
    /// # Errors
    /// A router that is on none.
    pub fn new(rules: &[Rule], iface: impl Fn(IpAddr) -> Option<IfaceId>) -> Result<Self, IpAddr> {
        let placed = rules.iter().map(|&rule| match rule.target {
            Target::Via(gateway) => iface(gateway).map(|id| (rule, id)).ok_or(gateway),
            Target::Blackhole => Ok((rule, IfaceId::BLACKHOLE)),
            Target::Reject => Ok((rule, IfaceId::REJECT)),
        });
        placed.collect::<Result<_, _>>().map(Self)
    }
}

impl Policy for BySource {
    fn choose(&self, question: &Question) -> Choice {
        let Some(src) = question.src else { return Choice::Table };
        let fits = |rule: &Rule| rule.from.contains(src) && rule.to.is_none_or(|to| to.contains(question.dst));
        match self.0.iter().find(|(rule, _)| fits(rule)) {
            Some(&(Rule { target: Target::Via(gateway), .. }, iface)) => Choice::Via { iface, gateway: Some(gateway) },
            Some(&(_, iface)) => Choice::Via { iface, gateway: None },
            None => Choice::Table,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let rule: Rule = "from 10.1.0.0/24 to 10.9.0.0/16 via 10.2.0.2".parse().expect("a rule");
        assert_eq!((rule.to.is_some(), rule.target), (true, Target::Via(IpAddr::from([10, 2, 0, 2]))));
        assert!("from fd01::/64 reject".parse::<Rule>().is_ok_and(|r| r.target == Target::Reject));
        for text in [
            "",
            "from",
            "from 10.1.0.0/24",
            "from 10.1.0.0/24 via",
            "from 10.1.0.0/24 via fd00::1",
            "from 10.1.0.0/24 to fd00::/8 reject",
            "from here reject",
            "from 10.1.0.0/24 reject now",
        ] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }
}
