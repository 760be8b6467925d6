//! Names and URLs to addresses, by the stack's resolver or the host's own.

use crate::cli::DeviceArgs;
use ringtap::error::DnsError;
use ringtap_host::failure::Failure;
use ringtap_host::runtime::Runtime;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// How long the trial of the stack's own IPv6 addresses may take.
pub const TRIAL: std::time::Duration = std::time::Duration::from_secs(3);

/// The address of `host`, which is a name or an address, by this machine's resolver.
pub fn resolve(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let found = ask_machine(host, None)?;
    let first = found.iter().find(|ip| ip.is_ipv4()).or(found.first());
    first.map(|ip| SocketAddr::new(*ip, port)).ok_or_else(|| cannot_resolve(host, DnsError::NoData))
}

/// The addresses of `host` by this machine's resolver: IPv6 ones (`Some(true)`), IPv4 ones (`Some(false)`), or both.
pub fn ask_machine(host: &str, v6: Option<bool>) -> Result<Vec<IpAddr>, Failure> {
    let found: Vec<IpAddr> = match literal(host) {
        Some(ip) => vec![ip],
        None => (host, 0)
            .to_socket_addrs()
            .map_err(|_| Failure::new(format!("cannot resolve {host}")).remedy("give its address"))?
            .map(|a| a.ip())
            .collect(),
    };
    let wanted: Vec<IpAddr> = found.into_iter().filter(|ip| v6.is_none_or(|v6| ip.is_ipv6() == v6)).collect();
    match wanted.is_empty() {
        true => Err(Failure::new(format!("{host} has no such address"))),
        false => Ok(wanted),
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// A stack on the device, and the addresses of `host`, best first: asked of the stack's own resolvers where it has or gets
/// a name server, or the name is one of the link; else of this machine's before anything is opened.
pub fn reach(device: DeviceArgs, host: &str, v6: Option<bool>) -> Result<(Runtime, Vec<IpAddr>), Failure> {
    if !asks_itself(&device, host) {
        let mut found = ask_machine(host, v6)?;
        let runtime = device.start()?;
        wait_for_trial(&runtime, &found);
        runtime.with_stack(|stack| ringtap::dns::sort(stack, &mut found));
        return Ok((runtime, found));
    }
    let servers = device.dns.clone();
    let runtime = device.start()?;
    wait_for_trial(&runtime, &servers);
    let mut found = runtime.lookup(host, v6).map_err(|e| cannot_resolve(host, e))?;
    wait_for_trial(&runtime, &found);
    runtime.with_stack(|stack| ringtap::dns::sort(stack, &mut found));
    Ok((runtime, found))
}

/// As [`reach`], the best address alone.
pub fn reach_one(device: DeviceArgs, host: &str, v6: Option<bool>) -> Result<(Runtime, IpAddr), Failure> {
    let (runtime, found) = reach(device, host, v6)?;
    let best = found.first().copied().ok_or_else(|| cannot_resolve(host, DnsError::NoData))?;
    Ok((runtime, best))
}

/// Our own IPv6 addresses can be used once they have been tried.
fn wait_for_trial(runtime: &Runtime, towards: &[IpAddr]) {
    if towards.iter().any(IpAddr::is_ipv6) {
        runtime.wait_for_ipv6(TRIAL);
    }
}

/// Whether the stack is to find the addresses of `host`.
pub fn asks_itself(device: &DeviceArgs, host: &str) -> bool {
    let of_link = host.trim_end_matches('.').to_ascii_lowercase().ends_with(".local");
    literal(host).is_none() && (device.dhcp || device.slaac || !device.dns.is_empty() || of_link)
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
        assert_eq!(ask_machine("fd07::1", Some(true)), Ok(vec!["fd07::1".parse().expect("an address")]));
        assert!(ask_machine("fd07::1", Some(false)).is_err_and(|f| f.code() == 1));
        assert!(resolve("no such host.invalid", 5).is_err_and(|f| f.code() == 1));
    }
}
