//! Names and URLs to addresses, by the stack's resolver or the host's own.

use crate::cli::DeviceArgs;
use ringtap::dns::RecordKind;
use ringtap::error::DnsError;
use ringtap_host::failure::Failure;
use ringtap_host::runtime::Runtime;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// How long the trial of the stack's own IPv6 addresses may take.
pub const TRIAL: std::time::Duration = std::time::Duration::from_secs(3);

/// The address of `host`, which is a name or an address.
pub fn resolve(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    resolve_as(host, port, None)
}

/// As [`resolve`], an IPv6 address (`Some(true)`), an IPv4 one (`Some(false)`), or either, IPv4 first.
pub fn resolve_as(host: &str, port: u16, v6: Option<bool>) -> Result<SocketAddr, Failure> {
    let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let found: Vec<SocketAddr> = match literal.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => (host, port)
            .to_socket_addrs()
            .map_err(|_| Failure::new(format!("cannot resolve {host}")).remedy("give its address"))?
            .collect(),
    };
    let wanted = |a: &&SocketAddr| v6.is_none_or(|v6| a.is_ipv6() == v6);
    match found.iter().find(|a| a.is_ipv4() && wanted(a)).or(found.iter().find(wanted)) {
        Some(addr) => Ok(*addr),
        None => Err(Failure::new(format!("{host} has no such address"))),
    }
}

/// A stack on the device, and the address of `host`: asked of the stack's name servers where it has or gets some, else of
/// this machine's resolver before anything is opened.
pub fn reach(device: DeviceArgs, host: &str, port: u16) -> Result<(Runtime, SocketAddr), Failure> {
    let by_stack = asks_itself(&device, host);
    if !by_stack {
        let to = resolve(host, port)?;
        let runtime = device.start()?;
        if to.is_ipv6() {
            runtime.wait_for_ipv6(TRIAL);
        }
        return Ok((runtime, to));
    }
    let runtime = device.start()?;
    let found = runtime.resolve(host, RecordKind::A).map_err(|e| cannot_resolve(host, e))?;
    let ip = found.first().ok_or_else(|| cannot_resolve(host, DnsError::NoData))?;
    Ok((runtime, SocketAddr::new(*ip, port)))
}

/// Whether the stack is to find the address of `host`.
pub fn asks_itself(device: &DeviceArgs, host: &str) -> bool {
    (device.dhcp || !device.dns.is_empty()) && host.trim_matches(['[', ']']).parse::<IpAddr>().is_err()
}

/// What to say when the stack's resolver finds nothing.
pub fn cannot_resolve(host: &str, error: DnsError) -> Failure {
    let failure = Failure::new(format!("cannot resolve {host}: {error}"));
    match error {
        DnsError::NoServers => failure.remedy("give a name server with --dns"),
        _ => failure,
    }
}

/// The parts of an `http://` URL.
#[derive(Debug, PartialEq, Eq)]
pub struct Url {
    /// Host, as it goes into the Host field.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query, beginning with a slash.
    pub target: String,
}

impl Url {
    /// Takes a URL apart.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let bad = || Failure::usage(format!("{text} is no URL")).remedy("give one like http://10.7.0.1/index.html");
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some((scheme, _)) => return Err(Failure::not_built_yet(&format!("{scheme}://"))),
            None => text,
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (authority, 80),
        };
        let clean = |s: &str| s.bytes().all(|b| b.is_ascii_graphic());
        if host.is_empty() || host.contains('@') || !clean(host) || !clean(target) {
            return Err(bad());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { host: host.into(), port, target: format!("{slash}{target}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, host, port, target) in [
            ("http://10.7.0.1", "10.7.0.1", 80, "/"),
            ("http://a.b:8080/c/d?e=f#g", "a.b", 8080, "/c/d?e=f"),
            ("host/x", "host", 80, "/x"),
            ("http://h?q", "h", 80, "/?q"),
            ("http://[fd07::1]/", "[fd07::1]", 80, "/"),
        ] {
            let url = Url { host: host.into(), port, target: target.into() };
            assert_eq!(Url::parse(text), Ok(url), "{text}");
        }
        for text in
            ["", "http://", "http:///x", "http://h:99999/", "http://h:/", "http://u@h/", "http://h/a b", "ftp://h/"]
        {
            assert!(Url::parse(text).is_err_and(|f| f.code() == 2), "{text}");
        }
    }

    #[test]
    fn addresses_resolve_to_themselves() {
        assert_eq!(resolve("10.7.0.1", 5).map(|a| a.to_string()), Ok("10.7.0.1:5".into()));
        assert_eq!(resolve("[fd07::1]", 5).map(|a| a.to_string()), Ok("[fd07::1]:5".into()));
        assert_eq!(resolve_as("fd07::1", 5, Some(true)).map(|a| a.is_ipv6()), Ok(true));
        assert!(resolve_as("fd07::1", 5, Some(false)).is_err_and(|f| f.code() == 1));
        assert!(resolve("no such host.invalid", 5).is_err_and(|f| f.code() == 1));
    }
}
