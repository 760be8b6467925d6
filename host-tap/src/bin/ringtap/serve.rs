//! `ringtap serve`: the services on a device, until a signal.

use crate::cli::ServeArgs;
use ringtap::dhcp::v4::Lease;
use ringtap::ip::addr::Cidr;
use ringtap_host::engine::Engine;
use ringtap_host::epoll::Signals;
use ringtap_host::failure::Failure;
use ringtap_host::serve::control::{Controlled, counters};
use ringtap_host::serve::{Service, Services, limits};
use std::io::Write;
use std::process::ExitCode;

/// Runs until SIGINT or SIGTERM.
pub fn run(args: ServeArgs) -> Result<ExitCode, Failure> {
    // Before anything else, so that a signal during the start ends it in order, too.
    let signals = Signals::new().map_err(|e| Failure::io("cannot wait for signals", &e))?;
    let attached = args.device.attachment()?.open()?;
    if let Some(note) = &attached.note {
        eprintln!("ringtap: {note}");
    }
    let addresses = attached.addresses.iter().map(Cidr::to_string).collect::<Vec<_>>().join(" ");
    let (name, mac, dhcp) = (attached.name.clone(), attached.mac, attached.dhcp);
    let mut engine = Engine::new(attached, limits(), Some(signals))?;
    let services = Services::start(&mut engine.shared().lock().stack)?;
    for &group in &args.join {
        let joined = engine.shared().lock().stack.join_group(engine.iface(), group);
        joined.map_err(|e| Failure::usage(format!("cannot join {group}: {e}")))?;
    }
    let mut app = Controlled::new(services);
    app.name_interface(&name);
    if let Some(path) = &args.control {
        app.listen(engine.poller(), path)?;
    }
    let services = Service::ALL.map(|s| format!("{}/{}", s.name(), s.port())).join(" ");
    let ready = move |addresses: &str| say(&format!("ready {name} {addresses} mac {mac} services {services}"));
    match dhcp {
        false => ready(&addresses),
        true => app.on_lease(told_once(move |lease| ready(format!("{addresses} {}", lease.address()).trim_start()))),
    }
    let end = engine.run(&mut app);
    let shared = engine.shared();
    let stats = counters(shared.lock().stack.stats());
    let stats = stats.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(" ");
    say(&format!("served {} connections; {stats}; device {}", app.services().served(), engine.device_counters()));
    end.map(|_| ExitCode::SUCCESS)
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

/// A line on stdout, at once; a reader that is gone is no reason to end.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
