//! Hosts on the router's link configure themselves by what it advertises: a kernel, and a stack of ours behind a bridge.

use crate::router::{Kernel, World};
use crate::world::{Link, PROGRAM, in_own_namespace, output_of, run, text_of, tool, wait_until};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const ARGS: [&str; 5] = ["--advertise", "--advertise-dns", "fd02::2", "--advertise-mtu", "1400"];

/// The kernel on the left forgets what it was given: it is a host that knows nobody.
fn bare(world: &World) {
    for args in ["-6 route flush default", "-6 addr flush dev rt0 scope global", "link set rt0 down"] {
        let _ = run(world.left.command("ip", "iproute2").args(args.split(' ')), b"");
    }
    let on = "echo 1 > /proc/sys/net/ipv6/conf/rt0/accept_ra; echo 1 > /proc/sys/net/ipv6/conf/rt0/autoconf";
    output_of(world.left.command("sh", "dash").args(["-c", on]), b"");
}

fn told(kernel: &Kernel, args: &str) -> String {
    text_of(kernel.command("ip", "iproute2").args(args.split(' ')), b"")
}

#[test]
fn a_kernel_gets_an_address_and_a_router_and_loses_the_router_with_it() {
    in_own_namespace(
        concat!(module_path!(), "::a_kernel_gets_an_address_and_a_router_and_loses_the_router_with_it"),
        || {
            let world = World::new(Link::Tap, &ARGS);
            bare(&world);
            world.left.ip(&["link", "set", "rt0", "up"]);
            wait_until("a default route", || told(&world.left, "-6 route show default").contains("proto ra"));
            wait_until("an address", || {
                let text = told(&world.left, "-6 addr show dev rt0 scope global");
                text.contains("fd01::") && !text.contains("tentative")
            });
            let text = told(&world.left, "-6 route show default");
            assert!(text.contains("via fe80::") && text.contains("mtu 1400") && text.contains("hoplimit 64"), "{text}");
            // It reaches the other side by nothing else.
            let mut ping = world.left.command("ping", "iputils-ping");
            let text = text_of(ping.args(["-c", "3", "-W", "5", "fd02::2"]), b"");
            assert!(text.contains("3 received"), "{text}");
            let left = world.end_and_keep_left();
            wait_until("the router is gone", || !told(&left, "-6 route show default").contains("via"));
        },
    );
}

/// `serve --slaac` on a tap of its own, in one bridge with the router's.
#[test]
fn a_stack_of_ours_gets_an_address_and_a_router() {
    in_own_namespace(concat!(module_path!(), "::a_stack_of_ours_gets_an_address_and_a_router"), || {
        let world = World::new(Link::Tap, &ARGS);
        for args in ["tuntap add rt7 mode tap", "link set rt7 netns"] {
            let pid = world.left.pid();
            let more = if args.ends_with("netns") { vec![pid.as_str()] } else { vec![] };
            text_of(tool("ip", "iproute2").args(args.split(' ')).args(more), b"");
        }
        for args in [
            "link add br0 type bridge",
            "link set rt0 master br0",
            "link set rt7 master br0",
            "link set rt7 up",
            "link set br0 up",
        ] {
            world.left.ip(&args.split(' ').collect::<Vec<_>>());
        }
        let control = std::env::temp_dir().join(format!("ringtap-advertised-{}", std::process::id()));
        let mut command: Command = world.left.command(PROGRAM, "ringtap");
        command.args(["serve", "--dev", "rt7", "--slaac", "--control"]).arg(&control);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut ready).expect("a line");
        let routes = text_of(Command::new(PROGRAM).arg("ctl").arg(&control).arg("routes"), b"");
        let address =
            ready.split(' ').find(|w| w.starts_with("fd01:")).and_then(|a| a.split('/').next()).map(str::to_string);
        // The kernel on the right reaches it through the router.
        let reached = address.as_ref().is_some_and(|address| {
            let mut ping = world.right.command("ping", "iputils-ping");
            run(ping.args(["-c", "3", "-W", "5", address]), b"").status.success()
        });
        let _ = child.kill();
        let _ = child.wait();
        assert!(ready.starts_with("ready rt7 ") && address.is_some(), "{ready}");
        assert!(routes.lines().any(|l| l.starts_with("default") && l.contains("fe80::")), "{routes}");
        assert!(reached, "{ready}");
        world.end();
    });
}
