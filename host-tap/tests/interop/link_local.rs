//! Addresses of the link that nobody gives (RFC 3927), beside the kernel and before a DHCP server comes.

use crate::dhcp::Dnsmasq;
use crate::world::{LIMIT, PROGRAM, in_own_namespace, text_of, tool, wait_until};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// `serve` with these options, once it is ready; the lines of its stderr; and its address.
fn serve(options: &[&str]) -> (Child, Receiver<String>, Ipv4Addr) {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--dev", "rt0"]).args(options).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut ready = String::new();
    BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut ready).expect("a line");
    let address = ready.strip_prefix("ready rt0 ").and_then(|rest| rest.split('/').next()?.parse().ok());
    let (err, (to, lines)) = (child.stderr.take().expect("its stderr"), channel());
    std::thread::spawn(move || BufReader::new(err).lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
    (child, lines, address.unwrap_or_else(|| panic!("an address: {ready}")))
}

/// The next line with this in it.
fn told(lines: &Receiver<String>, what: &str) -> String {
    loop {
        let line = lines.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("it does not say: {what}"));
        if line.contains(what) {
            return line;
        }
    }
}

fn ip(args: &str) {
    text_of(tool("ip", "iproute2").args(args.split(' ')), b"");
}

fn is_answered(stack: Ipv4Addr) -> bool {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
    socket.set_read_timeout(Some(LIMIT)).expect("a time-out");
    socket.connect((stack, 7)).expect("a way");
    socket.send(b"hello").expect("sent");
    let mut back = [0; 16];
    socket.recv(&mut back).is_ok_and(|n| &back[..n] == b"hello")
}

#[test]
fn an_address_of_the_link_is_claimed_defended_and_given_up_to_the_kernel() {
    in_own_namespace(
        concat!(module_path!(), "::an_address_of_the_link_is_claimed_defended_and_given_up_to_the_kernel"),
        || {
            ip("tuntap add rt0 mode tap");
            ip("addr add 169.254.1.1/16 dev rt0");
            ip("link set rt0 up");
            let (mut child, lines, ours) = serve(&["--link-local"]);
            assert!(ours.is_link_local() && is_answered(ours), "{ours}");
            // The kernel asks for a neighbour from that very address: the first time it is met, and a second later, when it asks
            // again, the address is given up.
            ip(&format!("addr add {ours}/16 dev rt0"));
            let rival = UdpSocket::bind((ours, 0)).expect("bound");
            rival.send_to(b"hello", "169.254.9.9:9").expect("sent");
            told(&lines, "the address of the link is given up");
            let other = told(&lines, "the address of the link is 169.254.");
            let other = other.split("link is ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
            let other: Ipv4Addr = other.expect("an address");
            assert!(other != ours && is_answered(other), "{other}");
            let _ = (child.kill(), child.wait());
        },
    );
}

#[test]
fn without_a_dhcp_server_an_address_of_the_link_serves_until_one_comes() {
    in_own_namespace(
        concat!(module_path!(), "::without_a_dhcp_server_an_address_of_the_link_serves_until_one_comes"),
        || {
            ip("tuntap add rt0 mode tap");
            ip("addr add 169.254.1.1/16 dev rt0");
            ip("addr add 10.9.0.1/24 dev rt0");
            ip("link set rt0 up");
            let (mut child, lines, ours) = serve(&["--link-local", "--dhcp"]);
            assert!(ours.is_link_local(), "{ours}");
            let server = Dnsmasq::start_on_tap(&[]);
            assert!(is_answered(ours), "{ours}");
            // The next question is a quarter of a minute away at most.
            told(&lines, "the address of the link is given up");
            wait_until("a lease", || server.logged("DHCPACK") == 1);
            assert!(is_answered(server.gave().expect("an address")));
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|s| s.success()));
            assert!(child.wait().expect("its end").success());
            // What was given is given back.
            wait_until("it is given back", || server.logged("DHCPRELEASE") == 1);
        },
    );
}
