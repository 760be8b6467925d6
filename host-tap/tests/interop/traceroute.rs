//! The way to a host behind the kernel: the kernel as a router, another network namespace behind it.

use crate::world::{LIMIT, Link, PROGRAM, on_tap_and_tun, output_of, run, text_of, tool};
use std::process::{Child, Command};
use std::time::Instant;

on_tap_and_tun!(the_router_and_the_host_behind_it_are_named, a_way_that_ends_is_told_with_its_reason);

/// A namespace of its own, 10.8.0.2 behind the kernel's 10.8.0.1, for as long as this lives.
struct Behind(Child);

impl Behind {
    fn new() -> Self {
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("forwarding");
        let child = tool("unshare", "util-linux").args(["-n", "sleep", "600"]).spawn().expect("a namespace");
        let behind = Self(child);
        let pid = behind.0.id().to_string();
        let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
        let start = Instant::now();
        while std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|ns| ns == own) {
            assert!(start.elapsed() < LIMIT, "the namespace is not made");
            std::thread::yield_now();
        }
        ip(&["link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", &pid]);
        ip(&["addr", "add", "10.8.0.1/24", "dev", "v0"]);
        ip(&["link", "set", "v0", "up"]);
        for args in [
            &["addr", "add", "10.8.0.2/24", "dev", "v1"][..],
            &["link", "set", "v1", "up"],
            &["route", "add", "default", "via", "10.8.0.1"],
        ] {
            output_of(tool("nsenter", "util-linux").args(["-t", &pid, "-n", "ip"]).args(args), b"");
        }
        behind
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ip(args: &[&str]) {
    output_of(tool("ip", "iproute2").args(args), b"");
}

fn traceroute(link: Link) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("traceroute").args(link.device()).args(["--gateway", "10.7.0.1", "-w", "60"]);
    command
}

fn the_router_and_the_host_behind_it_are_named(link: Link) {
    let _behind = Behind::new();
    let text = text_of(traceroute(link).arg("10.8.0.2"), b"");
    let lines: Vec<&str> = text.lines().collect();
    let [_, first, second] = lines[..] else { panic!("{text}") };
    assert!(first.starts_with(" 1  10.7.0.1  ") && first.matches(" ms").count() == 3, "{text}");
    assert!(second.starts_with(" 2  10.8.0.2  ") && second.matches(" ms").count() == 3, "{text}");
}

fn a_way_that_ends_is_told_with_its_reason(link: Link) {
    let _behind = Behind::new();
    ip(&["route", "add", "prohibit", "10.9.0.0/24"]);
    let text = text_of(traceroute(link).args(["-q", "1", "10.9.0.9"]), b"");
    assert!(text.lines().nth(1).is_some_and(|l| l.starts_with(" 1  10.7.0.1  ") && l.contains("prohibited")), "{text}");
    // One hop is not enough for the host two hops away.
    let short = run(traceroute(link).args(["-m", "1", "10.8.0.2"]), b"");
    assert_eq!(short.status.code(), Some(1), "{}", String::from_utf8_lossy(&short.stdout));
    let none = run(traceroute(link).args(["-m", "0", "10.8.0.2"]), b"");
    assert_eq!(none.status.code(), Some(2));
}
