//! The router tells a kernel of another router on its link, and the kernel goes by that one.

use crate::router::{Kernel, World};
use crate::world::{Link, in_own_namespace, output_of, run, text_of, wait_until};

/// The kernel on the left with another one beside it on the same link, the router's: 10.1.0.3 and fd01::3, behind which are
/// 10.9.0.1 and fd09::1.
fn with_another_router(world: &World) -> Kernel {
    let (left, other) = (&world.left, Kernel::new());
    for args in [
        "link add br0 type bridge",
        "link add v0 type veth peer name v1",
        "link set v0 master br0 up",
        "link set rt0 master br0",
        "addr flush dev rt0",
        "link set br0 up",
        "addr add 10.1.0.2/24 dev br0",
        "addr add fd01::2/64 dev br0 nodad",
        "route replace default via 10.1.0.1 dev br0",
        "-6 route replace default via fd01::1 dev br0",
    ] {
        left.ip(&args.split(' ').collect::<Vec<_>>());
    }
    output_of(left.command("ip", "iproute2").args(["link", "set", "v1", "netns", &other.pid()]), b"");
    let mut sysctl = other.command("sh", "dash");
    let on = "for f in ipv4/ip_forward ipv6/conf/all/forwarding; do echo 1 > /proc/sys/net/$f; done";
    output_of(sysctl.args(["-c", on]), b"");
    for args in [
        "addr add 10.1.0.3/24 dev v1",
        "addr add fd01::3/64 dev v1 nodad",
        "addr add fe80::3/64 dev v1 nodad",
        "link set v1 up",
        "addr add 10.9.0.1/32 dev lo",
        "addr add fd09::1/128 dev lo nodad",
    ] {
        other.ip(&args.split(' ').collect::<Vec<_>>());
    }
    world.ctl(&["route", "add", "10.9.0.0/16", "--gateway", "10.1.0.3"]);
    world.ctl(&["route", "add", "fd09::/64", "--gateway", "fe80::3", "--dev", "rt0"]);
    other
}

fn reaches(world: &World, address: &str) -> bool {
    let mut ping = world.left.command("ping", "iputils-ping");
    run(ping.args(["-c", "1", "-W", "1", address]), b"").status.success()
}

/// How the kernel on the left would send to an address.
fn way(world: &World, address: &str) -> String {
    text_of(world.left.command("ip", "iproute2").args(["route", "get", address]), b"")
}

#[test]
fn a_kernel_goes_by_the_router_that_it_is_told_of() {
    in_own_namespace(concat!(module_path!(), "::a_kernel_goes_by_the_router_that_it_is_told_of"), || {
        let world = World::new(Link::Tap, &[]);
        let _other = with_another_router(&world);
        // A kernel believes its first hop only, which it has to know by its address of the link.
        let link_local = router_link_local(&world);
        world.left.ip(&["-6", "route", "replace", "default", "via", &link_local, "dev", "br0"]);
        for (address, gateway) in [("10.9.0.1", "via 10.1.0.3"), ("fd09::1", "via fe80::3")] {
            assert!(!way(&world, address).contains(gateway), "{}", way(&world, address));
            wait_until("the other router is reached by way of ours", || reaches(&world, address));
            wait_until("the kernel goes by the other router", || {
                reaches(&world, address);
                way(&world, address).contains(gateway)
            });
            let before = world.stat("forwarded");
            assert!((0..5).all(|_| reaches(&world, address)));
            assert_eq!(world.stat("forwarded"), before, "{address}: past our router");
        }
        world.end();
    });
}

/// The link-local address of the router's left port, by what `ctl interfaces` tells.
fn router_link_local(world: &World) -> String {
    let rows: serde_json::Value = serde_json::from_str(&world.ctl(&["interfaces", "--json"])).expect("JSON");
    let rows = rows.as_array().expect("rows");
    let mut own = rows.iter().filter(|r| r["name"] == "rt0").filter_map(|r| r["address"].as_str());
    own.find(|a| a.starts_with("fe80")).expect("an address of the link").to_string()
}

#[test]
fn a_router_that_is_not_to_tell_does_not() {
    in_own_namespace(concat!(module_path!(), "::a_router_that_is_not_to_tell_does_not"), || {
        let world = World::new(Link::Tap, &["--no-redirects"]);
        let _other = with_another_router(&world);
        wait_until("the other router is reached by way of ours", || reaches(&world, "10.9.0.1"));
        for _ in 0..3 {
            assert!(reaches(&world, "10.9.0.1"));
            assert!(way(&world, "10.9.0.1").contains("via 10.1.0.1"));
        }
        world.end();
    });
}
