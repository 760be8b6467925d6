//! More clients at once than a listener has room for: the others wait, and all are served in the end.

use crate::world::{Link, STACK, Serve, connect, expect_echo, on_tap_and_tun, text_of, tool, wait_until, with_limits};
use ringtap::stats::DropReason;
use ringtap::tcp::ListenOptions;
use ringtap_host::attach::{Attachment, Carrier};
use ringtap_host::runtime::{Runtime, TcpListener};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

on_tap_and_tun!(
    a_stack_held_up_serves_all_who_called_meanwhile,
    clients_beyond_the_backlog_of_a_slow_program_are_served_in_the_end,
    what_comes_while_another_thread_has_the_stack_waits_or_is_counted,
);

/// Three times what `serve` lets wait, and less than the device's queue holds.
const CALLERS: u32 = 400;

fn a_stack_held_up_serves_all_who_called_meanwhile(link: Link) {
    let serve = Serve::start(link);
    // The neighbours know each other, so that no SYN waits for an address.
    expect_echo(&mut connect(7), b"first");
    serve.wait_until_free();
    serve.signal("STOP");
    let calls: Vec<Socket> = (0..CALLERS).map(|_| call(7)).collect();
    serve.signal("CONT");
    let mut streams: Vec<TcpStream> = calls
        .into_iter()
        .map(|socket| {
            socket.set_nonblocking(false).expect("a socket that waits");
            with_limits(socket.into())
        })
        .collect();
    for (stream, i) in streams.iter_mut().zip(0u32..) {
        // Waits until the connection is there.
        stream.write_all(&i.to_be_bytes()).expect("written");
    }
    for (stream, i) in streams.iter_mut().zip(0u32..) {
        let mut back = [0; 4];
        stream.read_exact(&mut back).expect("echoed");
        assert_eq!(back, i.to_be_bytes());
    }
    assert_eq!(serve.counter("tcp_established"), 1 + u64::from(CALLERS));
    drop(streams);
    serve.wait_until_free();
    serve.end();
}

/// Begins a connection without waiting for it.
fn call(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_nonblocking(true).expect("a socket that does not wait");
    let begun = socket.connect(&SocketAddr::from((STACK, port)).into());
    assert!(begun.is_err_and(|e| e.raw_os_error() == Some(libc::EINPROGRESS)));
    socket
}

fn clients_beyond_the_backlog_of_a_slow_program_are_served_in_the_end(link: Link) {
    let carrier = match link {
        Link::Tap => Carrier::Tap("rt0".into()),
        Link::Tun => Carrier::Tun("rt0".into()),
    };
    let attached = Attachment::new(carrier).open().expect("a device");
    let runtime = Runtime::start(attached).expect("a stack");
    let options = ListenOptions { backlog: 4, ..ListenOptions::default() };
    let listener = TcpListener::bind_with(&runtime, SocketAddr::from((STACK, 7)), &options).expect("bound");
    let clients: Vec<_> = (0..30u32)
        .map(|i| {
            std::thread::spawn(move || {
                let mut stream = connect(7);
                expect_echo(&mut stream, &i.to_be_bytes());
            })
        })
        .collect();
    let turned_away = || runtime.with_stack(|stack| stack.stats().dropped(DropReason::TcpAcceptQueueFull));
    wait_until("the accept queue overflows", || turned_away() > 0);
    std::thread::spawn(move || {
        // Each on its own: text that was passed over comes again only when the client's patience ends.
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut text = [0; 4];
                stream.read_exact(&mut text).and_then(|()| stream.write_all(&text))
            });
        }
    });
    for client in clients {
        client.join().expect("served");
    }
}

/// Datagrams while the stack is held: more than the kernel's queue for the device holds, in portions that it can take.
fn flood(runtime: &Runtime, count: usize) {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("bound");
    runtime.with_stack(|_| {
        for n in 0..count {
            let _ = socket.send_to(b"flood", SocketAddr::from((STACK, 4000)));
            if n % 100 == 99 {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    });
}

fn what_comes_while_another_thread_has_the_stack_waits_or_is_counted(link: Link) {
    let carrier = match link {
        Link::Tap => Carrier::Tap("rt0".into()),
        Link::Tun => Carrier::Tun("rt0".into()),
    };
    let attached = Attachment::new(carrier).open().expect("a device");
    // What the kernel itself lets wait is little here.
    text_of(tool("ip", "iproute2").args(["link", "set", "rt0", "txqueuelen", "150"]), b"");
    let runtime = Runtime::start(attached).expect("a stack");
    let listener = TcpListener::bind(&runtime, SocketAddr::from((STACK, 7))).expect("bound");
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().expect("accepted");
            let mut text = [0; 4];
            let _ = stream.read_exact(&mut text).and_then(|()| stream.write_all(&text));
        }
    });
    expect_echo(&mut connect(7), b"one.");
    let seen = || runtime.with_stack(|stack| stack.stats().rx_frames);
    let before = seen();
    flood(&runtime, 1_000);
    wait_until("all is received", || seen() >= before + 1_000);
    let lost = || runtime.with_stack(|stack| stack.interfaces().next().map_or(0, |i| i.counters.lost.rx_dropped));
    assert_eq!(lost(), 0, "nothing is lost");
    flood(&runtime, 3_000);
    wait_until("what finds no room is counted", || lost() > 1_000);
    // Afterwards all is as before.
    expect_echo(&mut connect(7), b"two.");
    server.join().expect("served");
}
