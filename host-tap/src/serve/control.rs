//! The control socket of `serve`: a line of JSON asks, a line of JSON answers.
//!
//! ```text
//!  {"do":"connect","addr":"10.7.0.1","port":5001}  ─▶  {"ok":null}
//!  {"do":"stats"}                                  ─▶  {"ok":{"rx_frames":12,…}}
//!                                                      {"error":"…"}
//! ```

mod capture;
mod tables;

use super::Services;
use crate::engine::{APP, App};
use crate::epoll::Poller;
use crate::failure::Failure;
use crate::sys::{Interest, Ready};
use capture::{Capture, RETRY};
use ringtap::dhcp::v4::{DhcpServer, Lease};
use ringtap::dhcp::v6::Lease6;
use ringtap::event::Readiness;
use ringtap::ip::addr::Cidr;
use ringtap::stack::{SocketId, Stack};
use ringtap::stats::Stats;
use ringtap::time::Instant;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The longest question.
const LONGEST_LINE: usize = 4096;

/// Callers at one time; more wait in the socket's backlog.
const CALLERS: usize = 32;

/// Who is told of addresses by routers.
type OnRouters = dyn FnMut(&[Cidr]) + Send;

/// Who is told of leases.
type OnLease = dyn FnMut(Option<&Lease>) + Send;

/// Who is told of leases of DHCPv6.
type OnLease6 = dyn FnMut(Option<&Lease6>) + Send;

/// Who is told of addresses of the link.
type OnLinkLocal = dyn FnMut(Option<Ipv4Addr>) + Send;

/// Who is told of names of the link.
type OnName = dyn FnMut(&str) + Send;

/// The services, and a control socket to ask them by.
pub struct Controlled {
    services: Services,
    control: Option<Control>,
    /// What the stack's interfaces are called.
    names: Vec<String>,
    on_lease: Option<Box<OnLease>>,
    on_lease6: Option<Box<OnLease6>>,
    on_routers: Option<Box<OnRouters>>,
    on_link_local: Option<Box<OnLinkLocal>>,
    on_name: Option<Box<OnName>>,
    dhcp_server: Option<DhcpServer>,
}

struct Control {
    listener: UnixListener,
    path: PathBuf,
    callers: BTreeMap<u64, Caller>,
    next_token: u64,
    /// When captures go on whose callers took no more.
    retry: Option<Instant>,
    /// Whether callers wait because there are too many.
    full: bool,
}

struct Caller {
    stream: UnixStream,
    question: Vec<u8>,
    answer: Vec<u8>,
    /// What it listens to.
    capture: Option<Capture>,
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Controlled {
    /// Services without a control socket.
    pub fn new(services: Services) -> Self {
        Self {
            services,
            control: None,
            names: Vec::new(),
            on_lease: None,
            on_lease6: None,
            on_routers: None,
            on_link_local: None,
            on_name: None,
            dhcp_server: None,
        }
    }

    /// Says what the stack's next interface is called.
    pub fn name_interface(&mut self, name: impl Into<String>) {
        self.names.push(name.into());
    }

    /// Calls `f` with what a DHCP server gives, and with `None` when that is over.
    pub fn on_lease(&mut self, f: impl FnMut(Option<&Lease>) + Send + 'static) {
        self.on_lease = Some(Box::new(f));
    }

    /// Gives addresses to the others on the link.
    pub fn serve_dhcp(&mut self, server: DhcpServer) {
        self.dhcp_server = Some(server);
    }

    /// Calls `f` with the usable addresses that follow from what routers advertise, whenever they are others.
    pub fn on_routers(&mut self, f: impl FnMut(&[Cidr]) + Send + 'static) {
        self.on_routers = Some(Box::new(f));
    }

    /// Calls `f` with an address of the link that is claimed (RFC 3927), and with `None` when it is gone.
    pub fn on_link_local(&mut self, f: impl FnMut(Option<Ipv4Addr>) + Send + 'static) {
        self.on_link_local = Some(Box::new(f));
    }

    /// As [`on_lease`](Self::on_lease), of DHCPv6.
    pub fn on_lease6(&mut self, f: impl FnMut(Option<&Lease6>) + Send + 'static) {
        self.on_lease6 = Some(Box::new(f));
    }

    /// Calls `f` with the name of the link that is ours, whenever that is claimed.
    pub fn on_name(&mut self, f: impl FnMut(&str) + Send + 'static) {
        self.on_name = Some(Box::new(f));
    }

    /// The services.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Opens the control socket at `path`, in place of one left behind.
    ///
    /// # Errors
    /// When another program listens there, or it cannot be made.
    pub fn listen(&mut self, poller: &Poller, path: &Path) -> Result<(), Failure> {
        let failure =
            |e: std::io::Error| Failure::io(format_args!("cannot make the control socket {}", path.display()), &e);
        match UnixStream::connect(path) {
            Ok(_) => {
                return Err(Failure::new(format!("another program listens at {}", path.display()))
                    .remedy("end it, or choose another --control"));
            }
            // A socket left behind by a program that is gone.
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(failure)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(failure)?;
        listener.set_nonblocking(true).map_err(failure)?;
        poller.add(&listener, APP, Interest::READ).map_err(failure)?;
        let (path, callers) = (path.to_path_buf(), BTreeMap::new());
        self.control = Some(Control { listener, path, callers, next_token: APP + 1, retry: None, full: false });
        Ok(())
    }
}

impl App for Controlled {
    fn on_event(&mut self, stack: &mut Stack<'static>, socket: SocketId, what: Readiness) {
        self.services.on_event(stack, socket, what);
    }

    fn on_ready(&mut self, stack: &mut Stack<'static>, poller: &Poller, ready: Ready) {
        let Some(control) = &mut self.control else { return };
        if ready.token == APP {
            control.accept(poller);
        } else if !control.serve(stack, &mut self.services, &self.names, poller, ready.token) {
            control.forget(stack, ready.token);
            if std::mem::take(&mut control.full) {
                let _ = poller.modify(&control.listener, APP, Interest::READ);
            }
        }
    }

    fn on_lease(&mut self, _stack: &mut Stack<'static>, lease: Option<&Lease>) {
        if let Some(tell) = &mut self.on_lease {
            tell(lease);
        }
    }

    fn on_routers(&mut self, _stack: &mut Stack<'static>, addresses: &[Cidr]) {
        if let Some(tell) = &mut self.on_routers {
            tell(addresses);
        }
    }

    fn on_link_local(&mut self, _stack: &mut Stack<'static>, address: Option<Ipv4Addr>) {
        if let Some(tell) = &mut self.on_link_local {
            tell(address);
        }
    }

    fn on_lease6(&mut self, _stack: &mut Stack<'static>, lease: Option<&Lease6>) {
        if let Some(tell) = &mut self.on_lease6 {
            tell(lease);
        }
    }

    fn on_name(&mut self, name: &str) {
        if let Some(tell) = &mut self.on_name {
            tell(name);
        }
    }

    fn turn(&mut self, stack: &mut Stack<'static>, now: Instant) -> bool {
        if let Some(server) = &mut self.dhcp_server {
            server.poll(stack, now);
        }
        if let Some(control) = &mut self.control {
            control.pump(stack, now);
        }
        self.services.turn(stack, now)
    }

    fn deadline(&self) -> Option<Instant> {
        self.control.as_ref().and_then(|control| control.retry)
    }
}

impl Control {
    fn accept(&mut self, poller: &Poller) {
        while let Ok((stream, _)) = self.listener.accept() {
            let token = self.next_token;
            self.next_token += 1;
            if stream.set_nonblocking(true).is_ok() && poller.add(&stream, token, Interest::READ).is_ok() {
                self.callers.insert(token, Caller { stream, question: Vec::new(), answer: Vec::new(), capture: None });
            }
            if self.callers.len() >= CALLERS {
                self.full = poller.modify(&self.listener, APP, Interest::default()).is_ok();
                return;
            }
        }
    }

    /// Reads on, or writes on; `false` once the caller is served or gone.
    fn serve(
        &mut self,
        stack: &mut Stack<'static>,
        services: &mut Services,
        names: &[String],
        poller: &Poller,
        token: u64,
    ) -> bool {
        let Some(caller) = self.callers.get_mut(&token) else { return false };
        if let Some(capture) = &mut caller.capture {
            match caller.stream.read(&mut [0; 64]) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Ok(more) if more > 0 => return true,
                // It has heard enough, and waits for the rest.
                Ok(_) => capture.finish(stack, stack.now(), &mut caller.answer),
                Err(_) => return false,
            }
            if caller.answer.is_empty() {
                return false;
            }
        } else if caller.answer.is_empty() {
            match caller.read() {
                Some(true) => {}
                Some(false) => return true,
                None => return false,
            }
            let answer = match serde_json::from_slice::<Value>(&caller.question) {
                Ok(question) if question["do"] == "capture" => Capture::start(stack, names, &question).map(|capture| {
                    caller.capture = Some(capture);
                    Value::Null
                }),
                Ok(question) => answer(stack, services, names, &question),
                Err(e) => Err(format!("not a question: {e}")),
            };
            let answer = match answer {
                Ok(value) => json!({ "ok": value }),
                Err(text) => json!({ "error": text }),
            };
            caller.answer = format!("{answer}\n").into_bytes();
            if caller.capture.is_some() {
                // The next turn writes.
                return true;
            }
        }
        loop {
            match caller.stream.write(&caller.answer) {
                Ok(n) if n < caller.answer.len() => drop(caller.answer.drain(..n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    return poller.modify(&caller.stream, token, Interest { read: false, write: true }).is_ok();
                }
                Ok(_) | Err(_) => return false,
            }
        }
    }
}

impl Control {
    /// A caller is served or gone.
    fn forget(&mut self, stack: &mut Stack<'static>, token: u64) {
        if let Some(mut caller) = self.callers.remove(&token)
            && let Some(capture) = &mut caller.capture
        {
            capture.abandon(stack);
        }
    }

    /// Writes on to those who listen to captures.
    fn pump(&mut self, stack: &mut Stack<'static>, now: Instant) {
        self.retry = None;
        for caller in self.callers.values_mut() {
            let Some(capture) = &mut caller.capture else { continue };
            if !capture.collect(stack, now, &mut caller.answer) {
                capture.finish(stack, now, &mut caller.answer);
            }
            let has_ended = capture.has_ended();
            match caller.write_on() {
                // The descriptor tells that it is over; the caller goes then.
                Ok(true) if has_ended => _ = caller.stream.shutdown(Shutdown::Both),
                Ok(true) => {}
                Ok(false) => self.retry = Some(now + RETRY),
                Err(_) => _ = caller.stream.shutdown(Shutdown::Both),
            }
        }
    }
}

impl Caller {
    /// Writes what is to be written, without waiting; whether it is all written.
    fn write_on(&mut self) -> std::io::Result<bool> {
        while !self.answer.is_empty() {
            match self.stream.write(&self.answer) {
                Ok(n) => drop(self.answer.drain(..n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// `Some(true)` once the line is whole, `None` when there will be none.
    fn read(&mut self) -> Option<bool> {
        let mut buf = [0; 1024];
        loop {
            match self.stream.read(&mut buf) {
                Ok(0) => return None,
                Ok(n) => self.question.extend_from_slice(buf.get(..n)?),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Some(false),
                Err(_) => return None,
            }
            if self.question.ends_with(b"\n") {
                return Some(true);
            }
            if self.question.len() > LONGEST_LINE {
                return None;
            }
        }
    }
}

fn answer(
    stack: &mut Stack<'static>,
    services: &mut Services,
    names: &[String],
    question: &Value,
) -> Result<Value, String> {
    match question["do"].as_str().unwrap_or_default() {
        "connect" => {
            let to = target(question).ok_or("connect needs an address and a port")?;
            services.connect(stack, to).map_err(|e| format!("cannot connect to {to}: {e}"))?;
            Ok(Value::Null)
        }
        "stats" => Ok(stats(stack)),
        "sockets" => Ok(sockets(stack, services)),
        "routes" => Ok(tables::routes(stack, names)),
        "interfaces" => Ok(tables::interfaces(stack, names)),
        "route" => tables::change_route(stack, names, question).map(|()| Value::Null),
        "neighbours" => Ok(neighbours(stack)),
        "join" | "leave" => change_group(stack, question).map(|()| Value::Null),
        other => Err(format!("cannot {other:?}")),
    }
}

/// Joins or leaves a group on the first interface, which is the device's.
fn change_group(stack: &mut Stack<'static>, question: &Value) -> Result<(), String> {
    let text = question["group"].as_str().unwrap_or_default();
    let group: IpAddr = text.parse().map_err(|_| format!("{text} is no IP address"))?;
    let iface = stack.interfaces().next().ok_or("there is no interface")?.id;
    let done = match question["do"].as_str() {
        Some("join") => stack.join_group(iface, group),
        _ => stack.leave_group(iface, group),
    };
    done.map_err(|e| format!("{group}: {e}"))
}

fn target(question: &Value) -> Option<SocketAddr> {
    let ip: IpAddr = question["addr"].as_str()?.parse().ok()?;
    Some(SocketAddr::new(ip, question["port"].as_u64()?.try_into().ok()?))
}

/// All counters by name, zero ones of drops left out.
pub fn counters(stats: &Stats) -> Vec<(String, usize)> {
    let fixed = [
        ("rx_frames", stats.rx_frames),
        ("rx_octets", stats.rx_octets),
        ("tx_frames", stats.tx_frames),
        ("tx_octets", stats.tx_octets),
        ("tx_refused", stats.tx_refused),
        ("copies", stats.copies),
        ("pool_empty", stats.pool_empty),
        ("tcp_segments_in", stats.tcp_segments_in),
        ("tcp_segments_out", stats.tcp_segments_out),
        ("tcp_retransmits", stats.tcp_retransmits),
        ("tcp_resets_out", stats.tcp_resets_out),
        ("tcp_challenge_acks", stats.tcp_challenge_acks),
        ("tcp_cookies_out", stats.tcp_cookies_out),
        ("tcp_established", stats.tcp_established),
        ("udp_in", stats.udp_in),
        ("udp_out", stats.udp_out),
        ("icmp_in", stats.icmp_in),
        ("icmp_out", stats.icmp_out),
        ("forwarded", stats.forwarded),
        ("reassembled", stats.reassembled),
        ("fragments_out", stats.fragments_out),
        ("dropped", stats.dropped_total()),
    ];
    let drops = stats.drops().map(|(reason, n)| (format!("drop.{}", reason.name()), n));
    fixed.into_iter().map(|(name, n)| (name.to_string(), n)).chain(drops).collect()
}

/// The counters, and how many connections there are now, those included that services have closed and forgotten.
fn stats(stack: &Stack<'static>) -> Value {
    let now = [("tcp_connections", stack.tcp_connections()), ("tcp_time_waits", stack.tcp_time_waits())];
    let now = now.map(|(name, n)| (name.to_string(), n));
    counters(stack.stats()).into_iter().chain(now).map(|(name, n)| (name, json!(n))).collect::<Map<_, _>>().into()
}

fn sockets(stack: &mut Stack<'static>, services: &Services) -> Value {
    let mut all = Vec::new();
    for service in services.listeners.values() {
        all.push(json!({ "proto": "tcp", "state": "Listen", "local": format!("*:{}", service.port()),
            "remote": null, "service": service.name() }));
    }
    for (&handle, stream) in &services.streams {
        let Ok(socket) = stack.tcp(handle) else { continue };
        all.push(json!({ "proto": "tcp", "state": format!("{:?}", socket.state()),
            "local": socket.local_addr().map(|a| a.to_string()), "remote": socket.remote_addr().map(|a| a.to_string()),
            "service": stream.service().name(), "unacknowledged": socket.unacknowledged() }));
    }
    for (&handle, bound) in &services.sockets {
        let Ok(socket) = stack.udp(handle) else { continue };
        all.push(json!({ "proto": "udp", "state": null, "local": socket.local_addr().map(|a| a.to_string()),
            "remote": null, "service": bound.service().name(), "dropped": socket.dropped() }));
    }
    all.sort_by_key(|s| {
        (s["proto"].to_string(), s["state"] != "Listen", s["local"].to_string(), s["remote"].to_string())
    });
    Value::Array(all)
}

fn neighbours(stack: &Stack<'static>) -> Value {
    let row = |n: ringtap::link::neighbor::NeighborInfo| {
        json!({ "addr": n.addr.to_string(), "mac": n.mac.map(|m| m.to_string()),
            "state": format!("{:?}", n.state), "iface": n.iface })
    };
    stack.neighbors().map(row).collect()
}
