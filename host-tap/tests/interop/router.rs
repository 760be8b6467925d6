//! The stack as a router between two kernels: each in a network namespace of its own, with a tap (or tun) for a cable.

use crate::world::{LIMIT, Link, PROGRAM, on_tap_and_tun, output_of, run, text_of, tool, wait_until};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

on_tap_and_tun!(
    pings_of_all_sizes_pass,
    tcp_passes_without_loss,
    udp_passes_without_loss,
    the_way_through_is_named,
    routes_can_be_changed_while_it_runs,
    a_policy_leads_by_source,
    a_translator_shows_the_right_side_one_address_and_a_filter_lets_through_what_it_may,
);

/// A kernel: a namespace for as long as this lives.
pub struct Kernel(Child);

impl Kernel {
    pub fn new() -> Self {
        let child = tool("unshare", "util-linux").args(["-n", "sleep", "600"]).spawn().expect("a namespace");
        let kernel = Self(child);
        let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
        let start = Instant::now();
        while std::fs::read_link(format!("/proc/{}/ns/net", kernel.pid())).is_ok_and(|ns| ns == own) {
            assert!(start.elapsed() < LIMIT, "the namespace is not made");
            std::thread::yield_now();
        }
        kernel.ip(&["link", "set", "lo", "up"]);
        kernel
    }

    pub fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// A program that runs in it.
    pub fn command(&self, name: &str, package: &str) -> Command {
        let _ = tool(name, package);
        let mut command = tool("nsenter", "util-linux");
        command.args(["-t", &self.pid(), "-n", name]);
        command
    }

    pub fn ip(&self, args: &[&str]) {
        output_of(self.command("ip", "iproute2").args(args), b"");
    }

    /// Takes a device over, with these addresses, and default routes by these gateways.
    pub fn take(&self, dev: &str, addresses: [&str; 2], gateways: [&str; 2]) {
        output_of(tool("ip", "iproute2").args(["link", "set", dev, "netns", &self.pid()]), b"");
        for addr in addresses {
            self.ip(&["addr", "add", addr, "dev", dev, "nodad"]);
        }
        self.ip(&["link", "set", dev, "up"]);
        for gateway in gateways {
            let family = if gateway.contains(':') { "-6" } else { "-4" };
            self.ip(&[family, "route", "add", "default", "via", gateway, "dev", dev]);
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running `router` between two kernels: 10.1.0.0/24 and fd01::/64 on the left, 10.2.0.0/24 and fd02::/64 on the right;
/// the router has the first address of each, the kernels the second.
pub struct World {
    child: Child,
    out: BufReader<ChildStdout>,
    pub control: String,
    pub left: Kernel,
    pub right: Kernel,
    /// What the kernels' devices had lost before the way was there: a frame that was written to one that was not up yet.
    before: [[u64; 4]; 2],
}

impl World {
    /// As [`started`](Self::started), once the way through is there.
    pub fn new(link: Link, more: &[&str]) -> Self {
        let mut world = Self::started(link, more);
        // The router's own IPv6 addresses are on trial for a second.
        for address in ["10.2.0.2", "fd02::2"] {
            wait_until("the way is there", || {
                let mut ping = world.left.command("ping", "iputils-ping");
                run(ping.args(["-c", "1", "-W", "1", address]), b"").status.success()
            });
        }
        world.before = world.device_losses();
        world
    }

    /// The program with these arguments, and the kernels.
    pub fn started(link: Link, more: &[&str]) -> Self {
        let control = std::env::temp_dir().join(format!("ringtap-router-{}", std::process::id()));
        let control = control.to_str().expect("a plain path").to_string();
        let mut command = Command::new(PROGRAM);
        command.args(["router", "rt0=10.1.0.1/24,fd01::1/64", "rt1=10.2.0.1/24,fd02::1/64", "--control", &control]);
        command.args(more);
        if link == Link::Tun {
            command.arg("--tun");
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
        let mut out = BufReader::new(child.stdout.take().expect("its stdout"));
        let mut ready = String::new();
        out.read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("ready rt0 rt1"), "{ready}");
        let (left, right) = (Kernel::new(), Kernel::new());
        left.take("rt0", ["10.1.0.2/24", "fd01::2/64"], ["10.1.0.1", "fd01::1"]);
        right.take("rt1", ["10.2.0.2/24", "fd02::2/64"], ["10.2.0.1", "fd02::1"]);
        Self { child, out, control, left, right, before: [[0; 4]; 2] }
    }

    pub fn ctl(&self, args: &[&str]) -> String {
        text_of(Command::new(PROGRAM).args(["ctl", &self.control]).args(args), b"")
    }

    pub fn stat(&self, name: &str) -> u64 {
        let stats: serde_json::Value = serde_json::from_str(&self.ctl(&["stats", "--json"])).expect("JSON");
        stats[name].as_u64().unwrap_or(0)
    }

    /// As [`end`](Self::end), the kernel on the left living on.
    pub fn end_and_keep_left(mut self) -> Kernel {
        let left = std::mem::replace(&mut self.left, Kernel::new());
        self.end();
        left
    }

    /// Ends it as a user would; nothing was lost in it.
    pub fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|s| s.success()));
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).expect("its last words");
        let status = self.child.wait().expect("its end");
        assert!(status.success() && rest.starts_with("forwarded; "), "{status} {rest}");
        for lost in ["drop.transit-full", "drop.pool-low", "drop.egress-full", "no-frame 1"] {
            assert!(!rest.contains(lost), "{rest}");
        }
    }

    /// An iperf3 server on the right, and what its client on the left with these arguments reports.
    fn iperf(&self, address: &str, args: &[&str]) -> serde_json::Value {
        let mut server = self.right.command("iperf3", "iperf3");
        let mut server = server.args(["-s", "-1", "--forceflush"]).stdout(Stdio::piped()).spawn().expect("a server");
        let mut lines = BufReader::new(server.stdout.take().expect("its stdout"));
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            assert_ne!(lines.read_line(&mut line).expect("a line"), 0, "the server has ended");
        }
        let reader = std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = lines.read_to_string(&mut rest);
        });
        let mut client = self.left.command("iperf3", "iperf3");
        let text = text_of(client.args(["-J", "-c", address]).args(args), b"");
        let _ = server.wait();
        reader.join().expect("read");
        serde_json::from_str(&text).expect("JSON")
    }
}

impl World {
    /// Neither the devices' queues nor the router have lost anything, and no kernel has missed anything: what it sent
    /// again, if it did, were probes at the end of a flight.
    fn no_loss(&self) {
        for kernel in [&self.left, &self.right] {
            let mut cat = kernel.command("cat", "coreutils");
            let text = text_of(cat.args(["/proc/net/netstat", "/proc/net/snmp"]), b"");
            let lines: Vec<&str> = text.lines().collect();
            let counter = |table: &str, name: &str| {
                let mut rows = lines.iter().filter(|l| l.starts_with(table)).map(|l| l.split_whitespace());
                let at = rows.next().expect("names").position(|n| n == name).expect("a counter");
                rows.next().expect("numbers").nth(at).expect("a number").parse::<u64>().expect("a number")
            };
            // A hole in what came would be seen as text out of order.
            assert_eq!(counter("TcpExt:", "TCPOFOQueue"), 0, "{text}");
            assert_eq!(counter("TcpExt:", "TCPSackRecovery"), 0, "{text}");
        }
        assert_eq!(self.device_losses(), self.before);
    }

    /// Errors and drops of the kernels' devices, each way.
    fn device_losses(&self) -> [[u64; 4]; 2] {
        [(&self.left, "rt0"), (&self.right, "rt1")].map(|(kernel, dev)| {
            let text = text_of(kernel.command("cat", "coreutils").arg("/proc/net/dev"), b"");
            let row = text.lines().find(|l| l.trim_start().starts_with(dev)).expect("the device");
            let numbers: Vec<u64> = row.split_whitespace().skip(1).map(|n| n.parse().expect("a number")).collect();
            [numbers[2], numbers[3], numbers[10], numbers[11]]
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pings_of_all_sizes_pass(link: Link) {
    let world = World::new(link, &[]);
    for address in ["10.2.0.2", "fd02::2", "10.2.0.1", "fd02::1"] {
        for size in ["0", "56", "1452", "1472", "5000"] {
            let mut ping = world.left.command("ping", "iputils-ping");
            let text = text_of(ping.args(["-q", "-f", "-c", "300", "-W", "10", "-s", size, address]), b"");
            assert!(text.contains("300 packets transmitted, 300 received, 0% packet loss"), "{address} {size}: {text}");
        }
    }
    world.end();
}

fn tcp_passes_without_loss(link: Link) {
    let world = World::new(link, &[]);
    for address in ["10.2.0.2", "fd02::2"] {
        for reverse in [&[][..], &["-R"]] {
            // A window that the queues of the devices hold: what is lost is lost by the router.
            let args = [&["-n", "30M", "-w", "128K"], reverse].concat();
            let report = world.iperf(address, &args);
            let sum = &report["end"]["sum_received"];
            assert!(sum["bytes"].as_u64() > Some(29 << 20), "{address} {reverse:?}: {sum}");
            world.no_loss();
        }
    }
    assert_eq!(world.stat("copies"), 0, "frames are passed on as they came");
    assert!(world.stat("forwarded") > 80_000, "{}", world.stat("forwarded"));
    world.end();
}

fn udp_passes_without_loss(link: Link) {
    let world = World::new(link, &[]);
    for address in ["10.2.0.2", "fd02::2"] {
        let report = world.iperf(address, &["-u", "-b", "50M", "-n", "10M", "-w", "1M"]);
        let sum = &report["end"]["sum"];
        assert!(sum["lost_packets"] == 0 && sum["packets"].as_u64() > Some(5_000), "{address}: {sum}");
    }
    world.end();
}

fn the_way_through_is_named(link: Link) {
    let world = World::new(link, &[]);
    for (address, router) in [("10.2.0.2", "10.1.0.1"), ("fd02::2", "fd01::1")] {
        // Each hop by the limit that ends there.
        let mut ping = world.left.command("ping", "iputils-ping");
        let output = run(ping.args(["-n", "-c", "1", "-t", "1", "-W", "10", address]), b"");
        let text = String::from_utf8_lossy(&output.stdout);
        let expected = if address.contains(':') { "Time exceeded: Hop limit" } else { "Time to live exceeded" };
        assert!(text.contains(&format!("From {router} ")) && text.contains(expected), "{text}");
        let mut ping = world.left.command("ping", "iputils-ping");
        let text = text_of(ping.args(["-n", "-c", "1", "-t", "2", "-W", "10", address]), b"");
        assert!(text.contains("1 received"), "{text}");
        // Nobody has this address.
        let nobody = address.replace(".0.2", ".0.77").replace("::2", "::77");
        let mut ping = world.left.command("ping", "iputils-ping");
        let text =
            String::from_utf8_lossy(&run(ping.args(["-n", "-c", "1", "-W", "10", &nobody]), b"").stdout).to_string();
        // A tun's kernel takes all, and says nothing.
        assert!(link == Link::Tun || text.contains("Unreachable") || text.contains("unreachable"), "{text}");
    }
    world.end();
}

fn routes_can_be_changed_while_it_runs(link: Link) {
    let world = World::new(link, &[]);
    let reachable = |address: &str| {
        let mut ping = world.left.command("ping", "iputils-ping");
        let output = run(ping.args(["-n", "-c", "1", "-W", "5", address]), b"");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).to_string())
    };
    // Networks behind the right kernel.
    for address in ["10.3.0.1/24", "fd03::1/64"] {
        world.right.ip(&["addr", "add", address, "dev", "lo"]);
    }
    for (address, prefix, gateway) in [("10.3.0.1", "10.3.0.0/24", "10.2.0.2"), ("fd03::1", "fd03::/64", "fd02::2")] {
        let (reached, text) = reachable(address);
        assert!(
            !reached && (text.contains("Unreachable") || text.contains("unreachable") || text.contains("No route")),
            "{text}"
        );
        world.ctl(&["route", "add", prefix, "--gateway", gateway]);
        assert!(world.ctl(&["routes"]).contains(gateway));
        let (reached, text) = reachable(address);
        assert!(reached, "{text}");
        world.ctl(&["route", "del", prefix, "--gateway", gateway]);
        assert!(!reachable(address).0);
        world.ctl(&["route", "add", prefix, "--reject"]);
        let (reached, text) = reachable(address);
        let expected = if address.contains(':') { "policy" } else { "Packet filtered" };
        assert!(
            !reached && (text.contains(expected) || text.contains("Unreachable") || text.contains("code 6")),
            "{text}"
        );
    }
    world.end();
}

fn a_policy_leads_by_source(link: Link) {
    let rules = ["from 10.1.0.2/32 via 10.2.0.2", "from 10.1.0.3/32 reject", "from fd01::2/128 via fd02::2"]
        .map(|rule| ["--policy", rule]);
    // What answers is behind no route either.
    let world = World::new(link, &[&rules.concat()[..], &["--source-check", "off"]].concat());
    // Networks behind the right kernel, to which no route leads.
    for address in ["10.3.0.1/24", "fd03::1/64"] {
        world.right.ip(&["addr", "add", address, "dev", "lo"]);
    }
    for address in ["10.1.0.3/24", "10.1.0.4/24"] {
        world.left.ip(&["addr", "add", address, "dev", "rt0"]);
    }
    let ping = |from: &str, to: &str| {
        let mut ping = world.left.command("ping", "iputils-ping");
        let output = run(ping.args(["-n", "-c", "1", "-W", "10", "-I", from, to]), b"");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).to_string())
    };
    for (from, to, expected) in [
        ("10.1.0.2", "10.3.0.1", ""),
        ("fd01::2", "fd03::1", ""),
        ("10.1.0.3", "10.3.0.1", "filtered"),
        ("10.1.0.4", "10.3.0.1", "Unreachable"),
        ("10.1.0.4", "10.2.0.2", ""),
    ] {
        let (reached, text) = ping(from, to);
        assert!(reached == expected.is_empty() && text.contains(expected), "{from} {to}: {text}");
    }
    world.end();
}

fn a_translator_shows_the_right_side_one_address_and_a_filter_lets_through_what_it_may(link: Link) {
    let world = World::new(link, &["--nat", "rt1", "--rule", "deny forward proto tcp port 5202"]);
    // The right side knows no way to the left, and needs none.
    world.right.ip(&["route", "del", "default"]);
    let mut ping = world.left.command("ping", "iputils-ping");
    let text = text_of(ping.args(["-q", "-f", "-c", "100", "-W", "10", "10.2.0.2"]), b"");
    assert!(text.contains("100 received"), "{text}");
    for args in [&["-n", "10M"][..], &["-n", "10M", "-R"], &["-u", "-b", "20M", "-n", "1M"]] {
        let report = world.iperf("10.2.0.2", args);
        let seen = &report["start"]["connected"][0]["local_host"];
        assert_eq!(seen, "10.1.0.2", "{report}");
        let end = if args.contains(&"-u") { &report["end"]["sum"] } else { &report["end"]["sum_received"] };
        assert!(end["bytes"].as_u64() > Some(900_000), "{end}");
    }
    let mut nc = world.left.command("nc", "netcat-openbsd");
    let refused = run(nc.args(["-w", "2", "10.2.0.2", "5202"]), b"");
    assert!(!refused.status.success() && world.stat("drop.filtered") > 0);
    world.end();
}
