//! `ringtap serve`: the services on a device, until a signal.

use crate::cli::ServeArgs;
use ringtap::dhcp::v4::{DhcpServer, DhcpServerOptions, Lease};
use ringtap::dhcp::v6::Lease6;
use ringtap::ip::addr::Cidr;
use ringtap::mdns::{MdnsOptions, Service as MdnsService};
use ringtap::time::Duration;
use ringtap_host::attach::Wanted;
use ringtap_host::engine::{Core, Engine};
use ringtap_host::epoll::Signals;
use ringtap_host::failure::Failure;
use ringtap_host::serve::control::{Controlled, counters};
use ringtap_host::serve::{Service, Services, limits};
use std::io::Write;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// Runs until SIGINT or SIGTERM.
pub fn run(args: ServeArgs) -> Result<ExitCode, Failure> {
    // Before anything else, so that a signal during the start ends it in order, too.
    let signals = Signals::new().map_err(|e| Failure::io("cannot wait for signals", &e))?;
    let attached = args.device.attachment()?.open()?;
    if let Some(note) = &attached.note {
        eprintln!("ringtap: {note}");
    }
    let addresses = attached.addresses.iter().map(Cidr::to_string).collect::<Vec<_>>().join(" ");
    let (name, mac) = (attached.name.clone(), attached.mac);
    let wanted = attached.automatic;
    let mut engine = Engine::new(attached, limits(), Some(signals))?;
    let services = Services::start(&mut engine.shared().lock().stack)?;
    widen(&engine, &args.join, &args.any)?;
    if let Some(host) = &args.mdns {
        let service = MdnsService { instance: host, kind: "_http._tcp", port: Service::Http.port(), txt: &["path=/"] };
        let shared = engine.shared();
        let Core { stack, names, .. } = &mut *shared.lock();
        names.announce(stack, &MdnsOptions { host: Some(host), service: Some(service) })?;
    }
    let mut app = Controlled::new(services);
    app.on_name(|name| eprintln!("ringtap: the name is now {name}"));
    app.name_interface(&name);
    app.on_lease6(tell_lease6);
    if let Some((first, count)) = args.dhcp_server {
        // A link that leads nowhere: no router, no name server.
        let options = DhcpServerOptions { first, count, lease: Duration::from_secs(600), router: None, dns: &[] };
        let server = DhcpServer::start(&mut engine.shared().lock().stack, engine.iface(), &options);
        let failed = |e| Failure::usage(format!("cannot give addresses from {first} on: {e}"));
        app.serve_dhcp(server.map_err(|e| failed(e).remedy("give free addresses of the stack's own network"))?);
    }
    if let Some(path) = &args.control {
        app.listen(engine.poller(), path)?;
    }
    let services = Service::ALL.map(|s| format!("{}/{}", s.name(), s.port())).join(" ");
    let ready = move |addresses: &str| say(&format!("ready {name} {addresses} mac {mac} services {services}"));
    match wanted {
        Wanted { dhcp: false, slaac: false, link_local: false, .. } => ready(&addresses),
        // The first of them that gives an address.
        Wanted { dhcp, slaac, link_local, .. } => {
            let ready = Arc::new(Once::new(move |more: &str| ready(format!("{addresses} {more}").trim_start())));
            if slaac {
                let ready = Arc::clone(&ready);
                app.on_routers(routers_told(move |addresses| ready.call(addresses)));
            }
            if link_local {
                let ready = Arc::clone(&ready);
                app.on_link_local(told_of_link(move |ip| ready.call(&format!("{ip}/16"))));
            }
            if dhcp {
                app.on_lease(told_once(move |lease| ready.call(&lease.address().to_string())));
            }
        }
    }
    let end = engine.run(&mut app);
    let shared = engine.shared();
    let stats = counters(shared.lock().stack.stats());
    let stats = stats.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(" ");
    say(&format!("served {} connections; {stats}; device {}", app.services().served(), engine.device_counters()));
    end.map(|_| ExitCode::SUCCESS)
}

/// Takes in more than what is sent to the stack's own addresses: groups, and prefixes to answer for.
fn widen(engine: &Engine, join: &[IpAddr], any: &[Cidr]) -> Result<(), Failure> {
    let shared = engine.shared();
    let stack = &mut shared.lock().stack;
    for &group in join {
        let joined = stack.join_group(engine.iface(), group);
        joined.map_err(|e| Failure::usage(format!("cannot join {group}: {e}")))?;
    }
    for &prefix in any {
        let held = stack.answer_for(engine.iface(), prefix);
        held.map_err(|e| Failure::usage(format!("cannot answer for {prefix}: {e}")))?;
    }
    Ok(())
}

/// What is done once, whoever is first.
struct Once<F>(Mutex<Option<F>>);

impl<F: FnOnce(&str)> Once<F> {
    fn new(f: F) -> Self {
        Self(Mutex::new(Some(f)))
    }

    fn call(&self, text: &str) {
        if let Some(f) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            f(text);
        }
    }
}

/// Calls `ready` with the first addresses by routers; later changes are told on stderr.
fn routers_told(ready: impl Fn(&str) + Send) -> impl FnMut(&[Cidr]) + Send {
    let mut told = false;
    move |addresses| {
        let text = addresses.iter().map(Cidr::to_string).collect::<Vec<_>>().join(" ");
        match (addresses.is_empty(), std::mem::replace(&mut told, true)) {
            (false, false) => ready(&text),
            (false, true) => eprintln!("ringtap: the addresses by routers are {text} now"),
            (true, _) => eprintln!("ringtap: no address by routers is left"),
        }
    }
}

/// Calls `ready` with the first address of the link; later ones, and that it is gone, are told on stderr.
fn told_of_link(ready: impl Fn(Ipv4Addr) + Send) -> impl FnMut(Option<Ipv4Addr>) + Send {
    let mut told = false;
    move |address| match address {
        Some(ip) if !std::mem::replace(&mut told, true) => ready(ip),
        Some(ip) => eprintln!("ringtap: the address of the link is {ip} now"),
        None => eprintln!("ringtap: the address of the link is given up"),
    }
}

/// Calls `ready` with the first lease; later changes are told on stderr.
fn told_once(ready: impl Fn(&Lease) + Send) -> impl FnMut(Option<&Lease>) + Send {
    let mut address = None;
    let mut told = false;
    move |lease| {
        let now = lease.map(Lease::address);
        match lease {
            Some(lease) if !std::mem::replace(&mut told, true) => ready(lease),
            Some(lease) if now != address => eprintln!("ringtap: the address is {} now", lease.address()),
            Some(_) => {}
            None => eprintln!("ringtap: the lease is over"),
        }
        address = now;
    }
}

/// Tells of what DHCPv6 gives, beside or without IPv4 addresses.
fn tell_lease6(lease: Option<&Lease6>) {
    let Some(lease) = lease else { return eprintln!("ringtap: the DHCPv6 lease is over") };
    let addresses: Vec<String> = lease.addresses().iter().map(|a| a.ip.to_string()).collect();
    let servers: Vec<String> = lease.dns().iter().map(|ip| ip.to_string()).collect();
    eprintln!("ringtap: DHCPv6 gives addresses [{}] and name servers [{}]", addresses.join(" "), servers.join(" "));
}

/// A line on stdout, at once; a reader that is gone is no reason to end.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
