//! Connections that come, go, and end badly.

use crate::world::{Link, STACK, Serve, connect, expect_echo, on_tap_and_tun, tool, wait_until};
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

on_tap_and_tun!(
    a_thousand_connections_one_after_another,
    sixty_connections_at_once_on_each_service,
    a_reset_by_the_kernel_frees_the_connection,
    a_closed_port_refuses,
    a_peer_killed_while_the_stack_sends_is_forgotten,
    a_peer_killed_while_it_sends_is_forgotten,
    a_peer_killed_while_both_sides_are_stuck_is_forgotten,
);

fn a_thousand_connections_one_after_another(link: Link) {
    let serve = Serve::start(link);
    for i in 0..1_000u32 {
        expect_echo(&mut connect(7), &i.to_be_bytes());
    }
    serve.wait_until_free();
    assert_eq!(serve.counter("tcp_established"), 1_000);
    serve.end();
}

fn sixty_connections_at_once_on_each_service(link: Link) {
    let serve = Serve::start(link);
    let mut echoes: Vec<_> = (0..60).map(|_| connect(7)).collect();
    let others: Vec<_> = [9, 19, 80].iter().flat_map(|&port| (0..60).map(move |_| connect(port))).collect();
    wait_until("all are established", || serve.counter("tcp_connections") == 240);
    for (i, stream) in echoes.iter_mut().enumerate() {
        expect_echo(stream, &[i as u8; 3_000]);
    }
    drop((echoes, others));
    serve.wait_until_free();
    serve.end();
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a close that resets");
}

fn a_reset_by_the_kernel_frees_the_connection(link: Link) {
    let serve = Serve::start(link);
    // Idle; with text that is not yet acknowledged; and in the middle of a stream without end.
    let mut idle = connect(7);
    expect_echo(&mut idle, b"x");
    reset(idle);
    let mut stuck = connect(7);
    stuck.write_all(&[7; 300_000]).expect("written");
    reset(stuck);
    let mut flooded = connect(19);
    flooded.read_exact(&mut [0; 100_000]).expect("read");
    reset(flooded);
    serve.wait_until_free();
    assert_eq!(serve.counter("tcp_time_waits"), 0);
    expect_echo(&mut connect(7), b"still there");
    serve.end();
}

fn a_closed_port_refuses(link: Link) {
    let serve = Serve::start(link);
    for port in [1, 4_000, u16::MAX] {
        let error = TcpStream::connect((std::net::Ipv4Addr::from(STACK), port)).expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
    assert_eq!(serve.counter("drop.tcp-no-socket"), 3);
    serve.end();
}

/// A process with a connection, to be killed by SIGKILL.
struct Peer(Child);

impl Peer {
    fn run(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a program"))
    }

    fn nc(port: &str) -> Self {
        Self::run(tool("nc", "netcat-openbsd").args(["10.7.0.2", port]))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn expect_forgotten(serve: Serve) {
    serve.wait_until_free();
    expect_echo(&mut connect(7), b"still there");
    serve.end();
}

fn a_peer_killed_while_the_stack_sends_is_forgotten(link: Link) {
    let serve = Serve::start(link);
    let mut peer = Peer::nc("19");
    let mut some = vec![0; 1 << 20];
    peer.0.stdout.as_mut().expect("its stdout").read_exact(&mut some).expect("read");
    assert_eq!(serve.counter("tcp_connections"), 1);
    drop(peer);
    expect_forgotten(serve);
}

fn a_peer_killed_while_it_sends_is_forgotten(link: Link) {
    let serve = Serve::start(link);
    let mut peer = Peer::nc("9");
    let stdin = peer.0.stdin.as_mut().expect("its stdin");
    stdin.write_all(&vec![0; 4 << 20]).expect("written");
    assert_eq!(serve.counter("tcp_connections"), 1);
    drop(peer);
    expect_forgotten(serve);
}

fn a_peer_killed_while_both_sides_are_stuck_is_forgotten(link: Link) {
    let serve = Serve::start(link);
    // It writes without end and never reads: at last nothing moves any more, in either direction.
    let mut bash = tool("bash", "bash");
    let peer = Peer::run(bash.args(["-c", "exec 3<>/dev/tcp/10.7.0.2/7 && exec cat /dev/zero >&3"]));
    let mut last = 0;
    wait_until("the connection is stuck", || {
        let now = serve.counter("rx_octets");
        std::thread::sleep(Duration::from_millis(300));
        now > 1 << 20 && std::mem::replace(&mut last, now) == now
    });
    assert_eq!(serve.counter("tcp_connections"), 1);
    drop(peer);
    expect_forgotten(serve);
}
