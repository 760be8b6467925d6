//! Routes and interfaces for `ctl`: as rows to print, and changed by request.

use ringtap::device::Link;
use ringtap::ip::addr::Cidr;
use ringtap::ip::route::{IfaceId, Route, RouteOrigin};
use ringtap::stack::Stack;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The name of an interface: what it is called where it is known, else its number.
pub fn name(names: &[String], iface: IfaceId) -> String {
    match iface {
        IfaceId::BLACKHOLE => "blackhole".into(),
        IfaceId::REJECT => "reject".into(),
        _ => names.get(iface.index()).cloned().unwrap_or_else(|| format!("if{}", iface.index())),
    }
}

/// BSD's flags of a route: Up, Gateway, Host, Blackhole, Reject, Dynamic (by a redirect), Static (by hand).
fn flags(route: &Route, origin: RouteOrigin) -> String {
    let host = Some(route.prefix) == Cidr::host(route.prefix.addr());
    let kind = match route.iface {
        IfaceId::BLACKHOLE => "BS",
        IfaceId::REJECT => "RS",
        _ if origin == RouteOrigin::Redirect => "D",
        _ if origin == RouteOrigin::Program && route.gateway.is_some() => "S",
        _ => "",
    };
    let gateway = if route.gateway.is_some() { "G" } else { "" };
    let host = if host { "H" } else { "" };
    format!("U{gateway}{host}{kind}")
}

/// All routes, best first within a family.
pub fn routes(stack: &Stack<'static>, names: &[String]) -> Value {
    let now = stack.now();
    let row = |r: &Route| {
        let (origin, until) = stack.route_lifetime(r);
        // Seconds left, as netstat counts them.
        let expire = until.map(|at| at.since(now).as_micros() / 1_000_000);
        let destination = if r.prefix.prefix_len() == 0 { "default".into() } else { r.prefix.to_string() };
        json!({ "family": if r.prefix.addr().is_ipv4() { "inet" } else { "inet6" }, "destination": destination,
            "prefix": r.prefix.to_string(), "gateway": r.gateway.map(|g| g.to_string()), "flags": flags(r, origin),
            "netif": name(names, r.iface), "iface": r.iface.index(), "metric": r.metric, "expire": expire })
    };
    stack.routes().map(row).collect()
}

/// All interfaces, with a row for the link and one for each address.
pub fn interfaces(stack: &Stack<'static>, names: &[String]) -> Value {
    let mut rows = Vec::new();
    for view in stack.interfaces() {
        let (name, c) = (name(names, view.id), view.counters);
        let mut row = |network: String, address: Option<String>| {
            rows.push(json!({ "name": name, "up": view.link == Link::Up, "mtu": view.mtu, "network": network, "address": address,
                "ipkts": c.rx_frames, "ierrs": c.lost.rx_errors, "idrop": c.lost.rx_dropped.wrapping_add(c.dropped),
                "ibytes": c.rx_octets, "opkts": c.tx_frames, "oerrs": c.lost.tx_errors, "obytes": c.tx_octets }));
        };
        row(format!("<Link#{}>", view.id.index() + 1), view.mac.map(|m| m.to_string()));
        for cidr in view.addresses {
            row(cidr.network().to_string(), Some(cidr.addr().to_string()));
        }
    }
    Value::Array(rows)
}

/// Adds or removes the route that a question describes.
pub fn change_route(stack: &mut Stack<'static>, names: &[String], question: &Value) -> Result<(), String> {
    let route = described(stack, names, question)?;
    let done = match question["verb"].as_str() {
        Some("add") => stack.add_route(route),
        Some("del") => stack.remove_route(&route),
        _ => return Err("a route is added (add) or removed (del)".into()),
    };
    done.map_err(|e| format!("{}: {e}", route.prefix))
}

fn described(stack: &Stack<'static>, names: &[String], question: &Value) -> Result<Route, String> {
    let gateway = match question["gateway"].as_str() {
        Some(text) => Some(text.parse::<IpAddr>().map_err(|_| format!("{text} is no address"))?),
        None => None,
    };
    let text = question["prefix"].as_str().unwrap_or_default();
    let prefix = match text {
        "default" if gateway.is_some_and(|g| g.is_ipv6()) => Cidr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        "default" => Cidr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        _ => text.parse().ok().or_else(|| text.parse().ok().and_then(Cidr::host)),
    };
    let prefix = prefix.ok_or_else(|| format!("{text} is no prefix such as 192.0.2.0/24"))?;
    let metric = u16::try_from(question["metric"].as_u64().unwrap_or(0)).map_err(|_| "the metric is 65535 at most")?;
    let iface = match question["kind"].as_str() {
        Some("blackhole") => IfaceId::BLACKHOLE,
        Some("reject") => IfaceId::REJECT,
        _ => {
            let wanted = question["netif"].as_str();
            let mut found = stack.interfaces().filter(|view| {
                let by_gateway = gateway.is_none_or(|g| view.addresses.iter().any(|a| a.contains(g)));
                wanted.map_or(by_gateway, |n| n == name(names, view.id))
            });
            let first = found.next().or_else(|| stack.interfaces().next().filter(|_| wanted.is_none()));
            first.ok_or("no such interface")?.id
        }
    };
    Ok(Route { prefix, gateway, iface, metric })
}
