//! A host with two interfaces that forwards nothing, between two kernels: of the weak and of the strong model.

use crate::router::World;
use crate::world::{Link, on_tap_and_tun, run, wait_until};

on_tap_and_tun!(a_weak_host_answers_by_every_interface, a_strong_host_answers_by_the_interface_that_has_the_address);

/// Whether the kernel on the left reaches an address.
fn reaches(world: &World, address: &str) -> bool {
    let mut ping = world.left.command("ping", "iputils-ping");
    run(ping.args(["-c", "1", "-W", "1", address]), b"").status.success()
}

fn when_it_is_there(world: &World) {
    for address in ["10.1.0.1", "fd01::1"] {
        wait_until("the host is there", || reaches(world, address));
    }
}

fn a_weak_host_answers_by_every_interface(link: Link) {
    let world = World::started(link, &["--no-forward"]);
    when_it_is_there(&world);
    for address in ["10.2.0.1", "fd02::1"] {
        assert!(reaches(&world, address), "{address}");
    }
    for address in ["10.2.0.2", "fd02::2"] {
        assert!(!reaches(&world, address), "{address} is another host's");
    }
    assert!(world.stat("drop.not-our-address") > 0);
    assert_eq!((world.stat("drop.wrong-interface"), world.stat("forwarded")), (0, 0));
}

fn a_strong_host_answers_by_the_interface_that_has_the_address(link: Link) {
    let world = World::started(link, &["--no-forward", "--strong-host"]);
    when_it_is_there(&world);
    for (n, address) in ["10.2.0.1", "fd02::1"].into_iter().enumerate() {
        assert!(!reaches(&world, address), "{address}");
        assert_eq!(world.stat("drop.wrong-interface"), n as u64 + 1);
    }
    when_it_is_there(&world);
    assert_eq!(world.stat("forwarded"), 0);
}
