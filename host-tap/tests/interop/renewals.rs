//! Leases so short that they are renewed while one looks, as no server of a distribution gives them: from one made by hand, on
//! the kernel's sockets.

use crate::world::{LIMIT, PROGRAM, in_own_namespace, text_of, tool};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const US: [u8; 4] = [10, 9, 0, 1];
const THEIRS: [u8; 4] = [10, 9, 0, 77];
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const RELEASE: u8 = 7;

/// A question: its kind, the address that it came from, `ciaddr`, and its octets.
struct Asked {
    kind: u8,
    from: SocketAddr,
    ciaddr: [u8; 4],
    octets: Vec<u8>,
    at: Instant,
}

/// The next question.
fn next(socket: &UdpSocket) -> Asked {
    let mut buf = [0; 2_000];
    let (len, from) = socket.recv_from(&mut buf).expect("a question");
    let m = &buf[..len];
    let mut options = &m[240..];
    let mut kind = 0;
    while let [code, len, rest @ ..] = options {
        if *code == 53 {
            kind = rest[0];
        }
        options = rest.get(usize::from(*len)..).unwrap_or(&[]);
    }
    Asked { kind, from, ciaddr: m[12..16].try_into().expect("four"), octets: m.to_vec(), at: Instant::now() }
}

/// Answers with a lease of ten seconds that is to be renewed after two, and rebound after eight.
fn answer(socket: &UdpSocket, to: &Asked) {
    let kind = if to.kind == DISCOVER { 2 } else { 5 };
    let mut m = to.octets[..240].to_vec();
    m[0] = 2;
    m[16..20].copy_from_slice(&THEIRS);
    m.extend([53, 1, kind, 54, 4]);
    m.extend(US);
    m.extend([1, 4, 255, 255, 255, 0, 3, 4]);
    m.extend(US);
    for (code, seconds) in [(51, 10), (58, 2), (59, 8)] {
        m.extend([code, 4, 0, 0, 0, seconds]);
    }
    m.push(255);
    let broadcast = SocketAddr::from((Ipv4Addr::BROADCAST, 68));
    let back = if to.ciaddr == [0; 4] { broadcast } else { to.from };
    socket.send_to(&m, back).expect("sent");
}

fn is_answered() -> bool {
    let socket = UdpSocket::bind(SocketAddr::from((US, 0))).expect("bound");
    socket.set_read_timeout(Some(LIMIT)).expect("a time-out");
    socket.send_to(b"hello", SocketAddr::from((THEIRS, 7))).expect("sent");
    let mut back = [0; 16];
    socket.recv(&mut back).is_ok_and(|n| &back[..n] == b"hello")
}

#[test]
fn a_short_lease_is_renewed_from_its_address_kept_beyond_its_end_and_given_back() {
    in_own_namespace(
        concat!(module_path!(), "::a_short_lease_is_renewed_from_its_address_kept_beyond_its_end_and_given_back"),
        || {
            for args in [
                "tuntap add rt0 mode tap",
                "addr add 10.9.0.1/24 dev rt0",
                "link set rt0 up",
                "route add 255.255.255.255 dev rt0",
            ] {
                text_of(tool("ip", "iproute2").args(args.split(' ')), b"");
            }
            let server = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 67)).expect("the port is free");
            server.set_broadcast(true).expect("broadcasts");
            server.set_read_timeout(Some(LIMIT)).expect("a time-out");
            let mut command = Command::new(PROGRAM);
            command.args(["serve", "--dev", "rt0", "--dhcp"]).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = command.spawn().expect("the program runs");
            for kind in [DISCOVER, REQUEST] {
                let asked = next(&server);
                assert_eq!((asked.kind, asked.ciaddr), (kind, [0; 4]));
                answer(&server, &asked);
            }
            let given = Instant::now();
            let mut ready = String::new();
            BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut ready).expect("a line");
            assert!(ready.starts_with("ready rt0 10.9.0.77/24 "), "{ready}");
            // Six renewals take longer than the first lease lasted.
            let mut last = given;
            for n in 0..6 {
                let asked = next(&server);
                assert_eq!((asked.kind, asked.from.ip(), asked.ciaddr), (REQUEST, THEIRS.into(), THEIRS), "{n}");
                // A busy machine is late, never early.
                assert!(asked.at.duration_since(last) > Duration::from_millis(1_800), "{n}");
                last = asked.at;
                answer(&server, &asked);
                assert!(is_answered(), "{n}");
            }
            assert!(given.elapsed() > Duration::from_secs(10));
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|s| s.success()));
            let asked = next(&server);
            assert_eq!((asked.kind, asked.ciaddr), (RELEASE, THEIRS));
            assert!(child.wait().expect("its end").success());
        },
    );
}
