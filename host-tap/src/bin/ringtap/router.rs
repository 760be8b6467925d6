//! `ringtap router`: one stack on several taps that passes packets on between them.

use clap::Args;
use ringtap::config::HostModel;
use ringtap::ip::addr::Cidr;
use ringtap::ip::advertise::RouterAdvertisements;
use ringtap::ip::forward::{Forwarding, ReversePath};
use ringtap::ip::route::{IfaceId, Route};
use ringtap::vlan::VlanId;
use ringtap_host::epoll::Signals;
use ringtap_host::failure::Failure;
use ringtap_host::router::firewall::{Chain, Firewall, Rule};
use ringtap_host::router::nat::Nat;
use ringtap_host::router::policy::{BySource, Rule as ByWay};
use ringtap_host::router::{PortOptions, Router};
use ringtap_host::serve::control::{Controlled, counters};
use ringtap_host::serve::{Services, limits};
use ringtap_host::tap::TapOptions;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;

/// The arguments.
#[derive(Debug, Args)]
pub struct RouterArgs {
    /// The ports: NAME=CIDR[,CIDR...], a tap (made if it is not there) and the stack's addresses on it; NAME.ID is a VLAN of
    /// the tap NAME.
    #[arg(required = true, value_name = "PORT")]
    pub ports: Vec<String>,
    /// The ports are tuns: IP packets without Ethernet.
    #[arg(long)]
    pub tun: bool,
    /// A route: PREFIX=GATEWAY.
    #[arg(long, value_name = "ROUTE")]
    pub route: Vec<String>,
    /// A way by source, in front of the routes, such as "from 10.1.0.0/24 via 10.2.0.2"; the first that fits decides.
    #[arg(long, value_name = "RULE")]
    pub policy: Vec<ByWay>,
    /// Whether a packet's source has to lie where the packet comes from.
    #[arg(long, value_enum, default_value_t = SourceCheck::Strict)]
    pub source_check: SourceCheck,
    /// Tells the hosts of its ports' links of itself: prefixes, how long it is their router, name servers (router
    /// advertisements, IPv6).
    #[arg(long, conflicts_with_all = ["tun", "no_forward"])]
    pub advertise: bool,
    /// With --advertise: a name server for them.
    #[arg(long, requires = "advertise", value_name = "IP", action = clap::ArgAction::Append)]
    pub advertise_dns: Vec<Ipv6Addr>,
    /// With --advertise: the MTU that they are to use.
    #[arg(long, requires = "advertise", value_name = "N")]
    pub advertise_mtu: Option<u16>,
    /// Does not tell hosts of better routers on their own links.
    #[arg(long)]
    pub no_redirects: bool,
    /// Passes nothing on: a host with several interfaces.
    #[arg(long, conflicts_with_all = ["source_check", "nat"])]
    pub no_forward: bool,
    /// That host takes what comes for an address by the port that has it only, and sends from it by no other (the strong host
    /// model, RFC 1122).
    #[arg(long, requires = "no_forward")]
    pub strong_host: bool,
    /// Translates what leaves by this port to its first IPv4 address (NAPT).
    #[arg(long, value_name = "NAME")]
    pub nat: Option<String>,
    /// A rule of the packet filter, such as "deny forward proto tcp to 10.1.0.0/16 port 22"; the first that fits decides.
    #[arg(long, value_name = "RULE")]
    pub rule: Vec<Rule>,
    /// A UNIX socket for `ringtap ctl`.
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
}

/// What `--source-check` can be.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum SourceCheck {
    /// By the very interface that packets to it leave by.
    Strict,
    /// Anywhere, if there is a route to it.
    Loose,
    /// Anywhere.
    Off,
}

/// Runs until SIGINT or SIGTERM.
pub fn run(args: RouterArgs) -> Result<ExitCode, Failure> {
    let signals = Signals::new().map_err(|e| Failure::io("cannot wait for signals", &e))?;
    let ports = args.ports.iter().map(|text| port(text, args.tun)).collect::<Result<Vec<_>, Failure>>()?;
    let model = if args.strong_host { HostModel::Strong } else { HostModel::Weak };
    let mut router = Router::open(&ports, limits(), model, Some(signals))?;
    for text in &args.route {
        add_route(&mut router, &ports, text)?;
    }
    choose_ways(&mut router, &ports, &args)?;
    let reverse_path = match args.source_check {
        SourceCheck::Strict => ReversePath::Strict,
        SourceCheck::Loose => ReversePath::Loose,
        SourceCheck::Off => ReversePath::Off,
    };
    if !args.no_forward {
        let mut forwarding = Forwarding::with(reverse_path);
        forwarding.redirects = !args.no_redirects;
        router.stack().set_forwarding(Some(forwarding));
    }
    watch(&mut router, &args)?;
    if args.advertise {
        advertise(&mut router, &ports, &args)?;
    }
    let mut app = Controlled::new(Services::start(router.stack())?);
    for name in router.names() {
        app.name_interface(name);
    }
    if let Some(path) = &args.control {
        app.listen(router.poller(), path)?;
    }
    say(&format!("ready {}", router.names().join(" ")));
    let end = router.run(&mut app);
    router.say_goodbye();
    let stats = counters(router.stack().stats()).iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>();
    let devices = router.device_counters().iter().map(ToString::to_string).collect::<Vec<_>>();
    let did = if args.no_forward { "served" } else { "forwarded" };
    say(&format!("{did}; {}; devices {}", stats.join(" "), devices.join(", ")));
    end.map(|_| ExitCode::SUCCESS)
}

/// Tells hosts of the router by all ports that have an IPv6 address.
fn advertise(router: &mut Router, ports: &[PortOptions], args: &RouterArgs) -> Result<(), Failure> {
    let mut settings = RouterAdvertisements::default();
    settings.mtu = args.advertise_mtu;
    if args.advertise_dns.len() > settings.dns.len() {
        return Err(Failure::usage(format!("--advertise-dns takes {} name servers at most", settings.dns.len())));
    }
    for (place, server) in settings.dns.iter_mut().zip(&args.advertise_dns) {
        *place = Some(*server);
    }
    let ids: Vec<_> = router.names().iter().map(|name| router.iface(name)).collect();
    for (id, port) in ids.into_iter().zip(ports) {
        if let Some(id) = id.filter(|_| port.addresses.iter().any(|a| a.addr().is_ipv6())) {
            let refused = |e| Failure::usage(format!("{}: cannot advertise this: {e}", port.tap.name));
            router.stack().advertise(id, Some(settings)).map_err(refused)?;
        }
    }
    Ok(())
}

/// Flows in a translator's table, at most.
const FLOWS: usize = 16_384;

/// Sets the ways by source.
fn choose_ways(router: &mut Router, ports: &[PortOptions], args: &RouterArgs) -> Result<(), Failure> {
    if args.policy.is_empty() {
        return Ok(());
    }
    let none = |ip| Failure::usage(format!("no port's network has the gateway {ip}"));
    let policy = BySource::new(&args.policy, |ip| port_towards(router, ports, ip)).map_err(none)?;
    router.stack().set_policy(Some(Box::leak(Box::new(policy))));
    Ok(())
}

/// The interface of the port whose network has `gateway`. An address of ours there may be on trial still.
fn port_towards(router: &Router, ports: &[PortOptions], gateway: IpAddr) -> Option<IfaceId> {
    let at = ports.iter().position(|port| port.addresses.iter().any(|a| a.contains(gateway)))?;
    router.iface(router.names().get(at)?)
}

/// Sets the packet filter and the translator, where they are wanted.
fn watch(router: &mut Router, args: &RouterArgs) -> Result<(), Failure> {
    let nat = args.nat.as_ref().map(|name| translator(router, name)).transpose()?;
    let firewall = Firewall::new(args.rule.clone());
    match nat {
        Some(nat) => _ = router.stack().set_hooks(Some(Box::leak(Box::new(Chain(firewall, nat))))),
        None if !args.rule.is_empty() => _ = router.stack().set_hooks(Some(Box::leak(Box::new(firewall)))),
        None => {}
    }
    Ok(())
}

fn translator(router: &mut Router, name: &str) -> Result<Nat, Failure> {
    let iface = router.iface(name).ok_or_else(|| Failure::usage(format!("no port is called {name}")))?;
    let view = router.stack().interfaces().find(|i| i.id == iface);
    let address = view.and_then(|i| {
        i.addresses.iter().find_map(|a| match a.addr() {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
    });
    let address = address.ok_or_else(|| Failure::usage(format!("{name} has no IPv4 address to translate to")))?;
    Ok(Nat::new(iface, address, FLOWS))
}

/// `NAME=CIDR,CIDR`, or with a VLAN, `NAME.ID=CIDR,CIDR`.
fn port(text: &str, tun: bool) -> Result<PortOptions, Failure> {
    let wrong = || Failure::usage(format!("{text} is no port")).remedy("give one like rt0=10.1.0.1/24,fd01::1/64");
    let (name, addresses) = text.split_once('=').ok_or_else(wrong)?;
    let addresses = addresses.split(',').map(str::parse).collect::<Result<Vec<Cidr>, _>>().map_err(|_| wrong())?;
    let (name, vlan) = match name.rsplit_once('.').map(|(tap, id)| (tap, id.parse().ok().and_then(VlanId::new))) {
        Some((tap, Some(vlan))) if !tap.is_empty() => (tap, Some(vlan)),
        _ => (name, None),
    };
    let tap = if tun { TapOptions::tun(name) } else { TapOptions::tap(name) };
    Ok(PortOptions { tap, vlan, addresses })
}

/// `PREFIX=GATEWAY`.
fn add_route(router: &mut Router, ports: &[PortOptions], text: &str) -> Result<(), Failure> {
    let wrong = || Failure::usage(format!("{text} is no route")).remedy("give one like 10.9.0.0/16=10.1.0.2");
    let (prefix, gateway) = text.split_once('=').ok_or_else(wrong)?;
    let (prefix, gateway): (Cidr, IpAddr) =
        (prefix.parse().map_err(|_| wrong())?, gateway.parse().map_err(|_| wrong())?);
    let iface = port_towards(router, ports, gateway)
        .ok_or_else(|| Failure::usage(format!("no port's network has the gateway {gateway}")))?;
    let route = Route { prefix, gateway: Some(gateway), iface, metric: 0 };
    router.stack().add_route(route).map_err(|e| Failure::usage(format!("{text}: {e}")))
}

/// A line on stdout, at once; a reader that is gone is no reason to end.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_name_and_its_addresses() {
        let p = port("rt0=10.1.0.1/24,fd01::1/64", false).expect("right usage");
        assert_eq!((p.tap.name.as_str(), p.tap.tun, p.addresses.len()), ("rt0", false, 2));
        let p = port("rt0.10=10.1.0.1/24", false).expect("right usage");
        assert_eq!((p.tap.name.as_str(), p.vlan), ("rt0", VlanId::new(10)));
        for name in ["rt.x", "rt.0", "rt.4095", "rt."] {
            let p = port(&format!("{name}=10.1.0.1/24"), false).expect("right usage");
            assert_eq!((p.tap.name.as_str(), p.vlan), (name, None));
        }
        for text in ["rt0", "rt0=", "rt0=10.1.0.1", "rt0=10.1.0.1/24,"] {
            assert_eq!(port(text, true).expect_err("wrong usage").code(), 2, "{text}");
        }
    }
}
