//! Explicit Congestion Notification (RFC 3168) with the kernel at the other end, and nftables as the router that marks.

use crate::world::{Link, Serve, connect, on_tap_and_tun, output_of, text_of, tool, wait_until};
use std::io::{Read, Write};

on_tap_and_tun!(
    text_of_the_kernel_that_is_marked_slows_it_down_and_is_not_sent_again,
    text_of_ours_that_is_marked_is_echoed_by_the_kernel_and_answered,
    a_kernel_without_ecn_is_as_it_was,
);

/// The kernel offers ECN (1), or refuses it (0).
fn set_kernel(ecn: u8) {
    std::fs::write("/proc/sys/net/ipv4/tcp_ecn", [b'0' + ecn]).expect("a namespace of our own");
}

/// Rules for nftables.
fn rules(text: &str) {
    output_of(tool("nft", "nftables").args(["-f", "-"]), text.as_bytes());
}

/// One of the kernel's counters, of this namespace.
fn kernel_counter(name: &str) -> u64 {
    let text = text_of(tool("nstat", "iproute2").args(["-a", "-s", "-z", name]), b"");
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

/// How many packets a counter of nftables has seen.
fn seen(counter: &str) -> u64 {
    let text = text_of(tool("nft", "nftables").args(["list", "counter", "ip", "marks", counter]), b"");
    let (_, rest) = text.split_once("packets ").unwrap_or_else(|| panic!("{text}"));
    rest.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
}

const ROUTER: &str = "table ip marks {
    counter ect { }
    counter ece { }
    counter cwr { }
    chain there { type filter hook postrouting priority 0;
        oifname \"rt0\" tcp flags & ecn == ecn counter name \"ece\"
        oifname \"rt0\" ip ecn ect0 numgen inc mod 50 0 ip ecn set ce
    }
    chain back { type filter hook prerouting priority 0;
        iifname \"rt0\" tcp flags & cwr == cwr tcp flags & syn != syn counter name \"cwr\"
        iifname \"rt0\" ip ecn ect0 counter name \"ect\"
        iifname \"rt0\" ip ecn ect0 numgen inc mod 50 0 ip ecn set ce
    }
}
";

fn text_of_the_kernel_that_is_marked_slows_it_down_and_is_not_sent_again(link: Link) {
    let serve = Serve::start(link);
    set_kernel(1);
    rules(ROUTER);
    let mut stream = connect(9);
    stream.write_all(&vec![7; 8_000_000]).expect("written");
    drop(stream);
    serve.wait_until_free();
    // What the stack has acknowledged with ECE.
    let told = kernel_counter("TcpExtTCPDeliveredCE");
    assert!(told > 10, "{told}");
    serve.end();
}

fn text_of_ours_that_is_marked_is_echoed_by_the_kernel_and_answered(link: Link) {
    // Packets are counted: super-segments would be few.
    let serve = Serve::start_with(link, &["--no-offload"]);
    set_kernel(1);
    rules(ROUTER);
    let mut stream = connect(19);
    stream.read_exact(&mut vec![0; 5_000_000]).expect("read");
    drop(stream);
    serve.wait_until_free();
    let (ect, ece, cwr) = (seen("ect"), seen("ece"), seen("cwr"));
    assert!(ect > 1_000, "packets with ECT(0): {ect}");
    assert!(ece > 10 && cwr > 3, "the kernel echoed {ece} times, and was answered {cwr} times");
    serve.end();
}

fn a_kernel_without_ecn_is_as_it_was(link: Link) {
    let serve = Serve::start(link);
    set_kernel(0);
    rules(ROUTER);
    let mut stream = connect(19);
    stream.read_exact(&mut vec![0; 100_000]).expect("read");
    drop(stream);
    wait_until("the stack frees its connections", || serve.counter("tcp_connections") == 0);
    assert_eq!((seen("ect"), seen("ece"), seen("cwr")), (0, 0, 0));
    serve.end();
}
