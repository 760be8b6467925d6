//! The kernel takes its end of the cable down, and up again.

use crate::router::Kernel;
use crate::world::{Link, Serve, connect, expect_echo, on_tap_and_tun, run, tool, wait_until};
use std::io::Read;

on_tap_and_tun!(
    a_connection_outlives_the_loss_of_the_link_which_is_noticed_both_ways,
    a_link_that_comes_up_in_another_namespace_is_noticed,
);

fn ip(args: &[&str]) {
    let output = run(tool("ip", "iproute2").args(args), b"");
    assert!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn a_connection_outlives_the_loss_of_the_link_which_is_noticed_both_ways(link: Link) {
    let serve = Serve::start(link);
    let mut idle = connect(7);
    expect_echo(&mut idle, b"before");
    let mut stream = connect(19);
    stream.read_exact(&mut [0; 100_000]).expect("read");
    assert!(serve.is_up());
    for _ in 0..3 {
        ip(&["link", "set", "rt0", "down"]);
        // It is the stream that finds out.
        wait_until("the stack sees that the link is down", || !serve.is_up());
        ip(&["link", "set", "rt0", "up"]);
        wait_until("the stack sees that the link is up", || serve.is_up());
        stream.read_exact(&mut vec![0; 3_000_000]).expect("the stream goes on");
    }
    expect_echo(&mut idle, b"after");
    drop((idle, stream));
    serve.wait_until_free();
    serve.end();
}

fn a_link_that_comes_up_in_another_namespace_is_noticed(link: Link) {
    let serve = Serve::start(link);
    let mut stream = connect(19);
    stream.read_exact(&mut [0; 100_000]).expect("read");
    ip(&["link", "set", "rt0", "down"]);
    wait_until("the stack sees that the link is down", || !serve.is_up());
    let kernel = Kernel::new();
    kernel.take("rt0", ["10.7.0.1/24", "fd07::1/64"], ["10.7.0.2", "fd07::2"]);
    wait_until("the stack sees that the link is up", || serve.is_up());
    let ping = || run(kernel.command("ping", "iputils-ping").args(["-c", "1", "-W", "1", "10.7.0.2"]), b"");
    wait_until("the stack answers there", || ping().status.success());
    drop(stream);
    serve.end();
}
