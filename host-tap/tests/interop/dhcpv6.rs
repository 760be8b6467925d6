//! Addresses and name servers from dnsmasq's DHCPv6, where its router advertisements ask for it.

use crate::dhcp::Dnsmasq;
use crate::world::{PROGRAM, in_own_namespace, run, text_of, tool, wait_until};
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};

const ROUTER: [&str; 3] = ["--enable-ra", "--ra-param=rt0,4,1800", "--dhcp-option=option6:dns-server,[fd09::1]"];

/// The kernel's end has fd09::1; dnsmasq gives what `more` says.
fn server(more: &[&str]) -> Dnsmasq {
    // The tap is the server's to make; addresses of a tap that comes later would have to be tried first.
    text_of(tool("ip", "iproute2").args("tuntap add rt0 mode tap".split(' ')), b"");
    for args in ["-6 addr add fd09::1/64 dev rt0 nodad", "link set rt0 up"] {
        text_of(tool("ip", "iproute2").args(args.split(' ')), b"");
    }
    Dnsmasq::start_on_tap(&[&ROUTER[..], more].concat())
}

/// `serve --dhcp`, what it says on stderr of DHCPv6.
fn serve() -> (Child, String) {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--dev", "rt0", "--dhcp"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut err = BufReader::new(child.stderr.take().expect("its stderr"));
    let mut told = String::new();
    while !told.contains("DHCPv6") {
        told.clear();
        assert!(err.read_line(&mut told).expect("a line") > 0, "it says nothing of DHCPv6");
    }
    (child, told)
}

#[test]
fn serve_gets_an_address_and_name_servers_where_routers_ask_for_it() {
    in_own_namespace(
        concat!(module_path!(), "::serve_gets_an_address_and_name_servers_where_routers_ask_for_it"),
        || {
            let server = server(&["--dhcp-range=fd09::100,fd09::1ff,64,2m"]);
            let (mut child, told) = serve();
            let address = told.split(['[', ']']).nth(1).expect("an address").to_string();
            assert!(address.starts_with("fd09::1") && told.contains("name servers [fd09::1]"), "{told}");
            let socket = UdpSocket::bind("[fd09::1]:0").expect("bound");
            socket.set_read_timeout(Some(std::time::Duration::from_millis(500))).expect("a time-out");
            socket.connect((address.as_str(), 7)).expect("a way");
            let mut back = [0; 16];
            // The address has to be tried first.
            wait_until("the echo", || {
                let _ = socket.send(b"hello");
                socket.recv(&mut back).is_ok_and(|n| &back[..n] == b"hello")
            });
            assert!(server.logged("DHCPREPLY") >= 1);
            assert_eq!(
                (server.logged("DHCPADVERTISE"), server.logged("DHCPDECLINE")),
                (server.logged("DHCPSOLICIT"), 0)
            );
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|s| s.success()));
            assert!(child.wait().expect("its end").success());
            wait_until("it is given back", || server.logged("DHCPRELEASE") >= 1);
        },
    );
}

#[test]
fn where_routers_ask_for_information_alone_names_are_resolved_by_ipv6() {
    in_own_namespace(
        concat!(module_path!(), "::where_routers_ask_for_information_alone_names_are_resolved_by_ipv6"),
        || {
            let server = server(&["--dhcp-range=fd09::,ra-stateless", "--host-record=six.test.example,fd09::1"]);
            let (mut child, told) = serve();
            assert!(told.contains("addresses []") && told.contains("name servers [fd09::1]"), "{told}");
            let _ = child.kill();
            let _ = child.wait();
            // By a name server with an IPv6 address, to a host with nothing else.
            let ping =
                ["ping", "--dev", "rt0", "--addr", "fd09::200/64", "--dns", "fd09::1", "-c", "1", "six.test.example"];
            let output = run(Command::new(PROGRAM).args(ping), b"");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("PING fd09::1") && text.contains("1 received"), "{text}");
            let listener = std::net::TcpListener::bind("[fd09::1]:4000").expect("bound");
            let accepted = std::thread::spawn(move || listener.accept().map(drop));
            let nc = ["nc", "--dev", "rt0", "--addr", "fd09::200/64", "--dns", "fd09::1", "six.test.example", "4000"];
            let output = run(Command::new(PROGRAM).args(nc), b"");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            accepted.join().expect("no panic").expect("accepted");
            assert!(server.logged("INFORMATION-REQUEST") >= 1);
        },
    );
}
