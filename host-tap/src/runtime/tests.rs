//! Two stacks on two threads with a UNIX stream between them, used as a program uses `std::net`.

use super::*;
use crate::pool::Lease;
use crate::serve::Services;
use crate::unix::StreamDevice;
use ringtap::device::{Mac, Medium};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::thread;

const LIMIT: Duration = Duration::from_secs(10);

fn attached(stream: UnixStream, host: u8) -> Attached {
    let lease = Lease::for_device(Medium::Ethernet, 1_500);
    let device = StreamDevice::from_stream(stream, 1_500, lease.pool()).expect("a device");
    Attached {
        device: Box::new(device),
        lease,
        large: Lease::large(),
        name: format!("end {host}"),
        mac: Mac([2, 0, 0, 0, 0, host]),
        addresses: vec![format!("192.0.2.{host}/24").parse().expect("an address")],
        automatic: crate::attach::Wanted::default(),
        dns: Vec::new(),
        gateways: Vec::new(),
        alone: true,
        note: None,
    }
}

fn addr(host: u8, port: u16) -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, host), port).into()
}

/// Hosts 1 and 2.
fn pair() -> (Runtime, Runtime) {
    let (a, b) = UnixStream::pair().expect("a pair");
    (Runtime::start(attached(a, 1)).expect("a stack"), Runtime::start(attached(b, 2)).expect("a stack"))
}

/// Hosts 1, and 2 with its services.
fn with_services() -> (Runtime, Runtime) {
    let (a, b) = UnixStream::pair().expect("a pair");
    let app = |stack: &mut Stack<'static>| Services::start(stack).map(|s| Box::new(s) as Box<dyn App>);
    let server = Runtime::start_with(attached(b, 2), crate::serve::limits(), app).expect("a stack");
    (Runtime::start(attached(a, 1)).expect("a stack"), server)
}

/// A connection from host 1 to host 2, whose end is accepted.
fn connected(a: &Runtime, b: &Runtime) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(b, addr(2, 0)).expect("a listener");
    let client = TcpStream::connect_timeout(a, listener.local_addr().expect("bound"), LIMIT).expect("connected");
    let (server, from) = listener.accept().expect("accepted");
    assert_eq!(from, client.local_addr().expect("connected"));
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
        stream.set_write_timeout(Some(LIMIT)).expect("a time-out");
    }
    (client, server)
}

fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut x = seed | 1;
    let step = |_| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 24) as u8
    };
    (0..len).map(step).collect()
}

#[test]
fn bulk_goes_both_ways_at_once_through_split_halves() {
    let (a, b) = pair();
    let (client, server) = connected(&a, &b);
    let ends: Vec<_> = [(client, 1), (server, 2)]
        .into_iter()
        .map(|(stream, seed)| {
            let (mut reader, mut writer) = stream.split();
            let writing = thread::spawn(move || {
                writer.write_all(&noise(3_000_000, seed)).expect("written");
                writer.shutdown(Shutdown::Write).expect("ended");
            });
            let reading = thread::spawn(move || {
                let mut all = Vec::new();
                reader.read_to_end(&mut all).map(|_| all)
            });
            (writing, reading, 3 - seed)
        })
        .collect();
    for (writing, reading, peer_seed) in ends {
        writing.join().expect("the writer");
        let got = reading.join().expect("the reader").expect("read to the end");
        assert!(got == noise(3_000_000, peer_seed));
    }
}

#[test]
fn a_read_waits_as_long_as_its_time_out_and_no_longer() {
    let (a, b) = pair();
    let (mut client, mut server) = connected(&a, &b);
    client.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
    let start = Instant::now();
    let error = client.read(&mut [0; 8]).expect_err("nothing has come");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!(client.set_read_timeout(Some(Duration::ZERO)).map_err(|e| e.kind()), Err(ErrorKind::InvalidInput));
    server.write_all(b"late").expect("written");
    client.set_read_timeout(Some(LIMIT)).expect("a time-out");
    let mut buf = [0; 8];
    assert_eq!(client.peek(&mut buf).expect("peeked"), 4);
    assert_eq!(client.read(&mut buf).expect("read"), 4);
    assert_eq!(&buf[..4], b"late");
}

#[test]
fn a_write_into_a_full_window_waits_and_goes_on_when_the_peer_reads() {
    let (a, b) = pair();
    let (mut client, mut server) = connected(&a, &b);
    client.set_write_timeout(Some(Duration::from_millis(100))).expect("a time-out");
    let mut written = 0;
    while let Ok(n) = client.write(&[7; 10_000]) {
        written += n;
        assert!(written < 10_000_000, "buffers are bounded");
    }
    client.set_write_timeout(Some(LIMIT)).expect("a time-out");
    let writer = thread::spawn(move || client.write_all(&[8; 100_000]));
    let mut all = Vec::new();
    server.read_to_end(&mut all).expect("read to the end");
    writer.join().expect("the writer").expect("written");
    assert_eq!(all.len(), written + 100_000);
}

#[test]
fn errors_are_those_of_std() {
    let (a, b) = pair();
    let refused = TcpStream::connect_timeout(&a, addr(2, 4), LIMIT).err().map(|e| e.kind());
    assert_eq!(refused, Some(ErrorKind::ConnectionRefused));
    let nowhere = TcpStream::connect(&a, (Ipv4Addr::new(198, 51, 100, 1), 80).into()).err().map(|e| e.kind());
    assert_eq!(nowhere, Some(ErrorKind::NetworkUnreachable));
    let silent = TcpStream::connect_timeout(&a, addr(77, 80), Duration::from_millis(100)).err().map(|e| e.kind());
    assert_eq!(silent, Some(ErrorKind::TimedOut));
    let listener = TcpListener::bind(&b, addr(2, 80)).expect("a listener");
    assert_eq!(TcpListener::bind(&b, addr(2, 80)).err().map(|e| e.kind()), Some(ErrorKind::AddrInUse));
    assert_eq!(TcpListener::bind(&b, addr(1, 81)).err().map(|e| e.kind()), Some(ErrorKind::AddrNotAvailable));
    drop(listener);
    assert!(TcpListener::bind(&b, addr(2, 80)).is_ok());
    let (mut client, server) = connected(&a, &b);
    server.abort();
    assert_eq!(client.read(&mut [0; 1]).map_err(|e| e.kind()), Err(ErrorKind::ConnectionReset));
}

#[test]
fn what_was_written_is_delivered_though_the_stream_and_its_runtime_are_dropped() {
    let (a, b) = pair();
    let (mut client, mut server) = connected(&a, &b);
    client.write_all(&noise(60_000, 5)).expect("written");
    drop(client);
    let stopping = thread::spawn(move || drop(a));
    let mut all = Vec::new();
    server.read_to_end(&mut all).expect("read to the end");
    assert!(all == noise(60_000, 5));
    drop(server);
    stopping.join().expect("stopped");
}

#[test]
fn a_device_that_fails_ends_every_call_that_waits() {
    let (a, b) = UnixStream::pair().expect("a pair");
    let cut = b.try_clone().expect("a second handle");
    let (a, b) = (Runtime::start(attached(a, 1)).expect("a stack"), Runtime::start(attached(b, 2)).expect("a stack"));
    let (mut client, _server) = connected(&a, &b);
    let listener = TcpListener::bind(&a, addr(1, 80)).expect("a listener");
    let reading = thread::spawn(move || client.read(&mut [0; 1]).map_err(|e| e.kind()));
    let accepting = thread::spawn(move || listener.accept().err().map(|e| e.kind()));
    thread::sleep(Duration::from_millis(20));
    cut.shutdown(Shutdown::Both).expect("cut");
    assert_eq!(reading.join().expect("ended"), Err(ErrorKind::NotConnected));
    assert_eq!(accepting.join().expect("ended"), Some(ErrorKind::NotConnected));
    assert!(a.failure().is_some_and(|f| f.to_string().contains("other end")));
}

#[test]
fn a_shutdown_of_reading_ends_a_read_that_waits_and_writing_goes_on() {
    let (a, b) = pair();
    let (mut client, mut server) = connected(&a, &b);
    let mut clone = client.try_clone().expect("a clone");
    let reading = thread::spawn(move || clone.read(&mut [0; 1]).expect("the end"));
    thread::sleep(Duration::from_millis(20));
    client.shutdown(Shutdown::Read).expect("ended");
    assert_eq!(reading.join().expect("the reader"), 0);
    client.write_all(b"on").expect("written");
    client.shutdown(Shutdown::Both).expect("ended");
    let mut all = String::new();
    server.read_to_string(&mut all).expect("read to the end");
    assert_eq!(all, "on");
    assert_eq!(client.write(b"x").map_err(|e| e.kind()), Err(ErrorKind::BrokenPipe));
}

#[test]
fn clones_that_read_at_once_share_what_comes() {
    let (a, b) = pair();
    let (client, mut server) = connected(&a, &b);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let mut clone = client.try_clone().expect("a clone");
            thread::spawn(move || {
                let (mut total, mut buf) = (0, [0; 1_000]);
                loop {
                    match clone.read(&mut buf).expect("read") {
                        0 => return total,
                        n => total += n,
                    }
                }
            })
        })
        .collect();
    for _ in 0..50 {
        server.write_all(&[1; 4_000]).expect("written");
        thread::yield_now();
    }
    server.shutdown(Shutdown::Write).expect("ended");
    let total: usize = readers.into_iter().map(|r| r.join().expect("a reader")).sum();
    assert_eq!(total, 200_000);
}

#[test]
fn datagrams_cross_and_a_closed_port_refuses_them() {
    let (a, b) = pair();
    let server = UdpSocket::bind(&b, addr(2, 5_000)).expect("bound");
    let client = UdpSocket::bind(&a, addr(1, 0)).expect("bound");
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(LIMIT)).expect("a time-out");
    }
    let mut buf = vec![0; 70_000];
    for len in [0, 1, 1_472, 1_473, 30_000, 65_507] {
        let data = noise(len, len as u32);
        client.send_to(&data, addr(2, 5_000)).expect("sent");
        let (n, from) = server.recv_from(&mut buf).expect("received");
        assert!((n, from) == (len, client.local_addr().expect("bound")) && buf[..n] == data[..]);
        server.send_to(&buf[..n], from).expect("sent");
        let (n, from) = client.recv_from(&mut buf).expect("received");
        assert!((n, from) == (len, addr(2, 5_000)) && buf[..n] == data[..]);
    }
    assert!(client.send_to(&[0; 65_508], addr(2, 5_000)).is_err());
    client.connect(addr(2, 5_001)).expect("connected");
    client.send(b"anybody").expect("sent");
    assert_eq!(client.recv(&mut buf).map_err(|e| e.kind()), Err(ErrorKind::ConnectionRefused));
}

#[test]
fn pings_are_answered_whatever_their_size() {
    let (a, _b) = pair();
    let mut pinger = Pinger::new(&a).expect("a socket");
    for len in [0, 56, 1_472, 1_473, 20_000] {
        pinger.ping(addr(2, 0).ip(), &noise(len, 3), LIMIT).expect("answered");
    }
    let silent = pinger.ping(addr(9, 0).ip(), b"x", Duration::from_millis(100));
    assert!(silent.is_err_and(|e| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::HostUnreachable)));
}

#[test]
fn every_tcp_service_serves_64_connections_at_once() {
    let (a, _b) = with_services();
    let open = |port: u16| -> Vec<TcpStream> {
        let connect = |_| TcpStream::connect_timeout(&a, addr(2, port), LIMIT).expect("connected");
        let streams: Vec<_> = (0..64).map(connect).collect();
        streams.iter().for_each(|s| s.set_read_timeout(Some(LIMIT)).expect("a time-out"));
        streams
    };
    let (echo, discard, chargen, http) = (open(7), open(9), open(19), open(80));
    for (i, mut stream) in (0u32..).zip(echo) {
        let data = noise(5_000, i);
        stream.write_all(&data).expect("written");
        stream.shutdown(Shutdown::Write).expect("ended");
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("read to the end");
        assert!(back == data);
    }
    for mut stream in discard {
        stream.write_all(&[9; 5_000]).expect("written");
        stream.shutdown(Shutdown::Write).expect("ended");
        assert_eq!(stream.read(&mut [0; 1]).expect("the end"), 0);
    }
    for mut stream in chargen {
        let mut text = [0; 74 * 3];
        stream.read_exact(&mut text).expect("text without end");
        assert!(text.starts_with(b" !\"#") && text.ends_with(b"\r\n"));
        stream.abort();
    }
    for mut stream in http {
        stream.write_all(b"GET /bytes/3000 HTTP/1.1\r\nHost: x\r\n\r\n").expect("written");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("read to the end");
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.len() > 3_000);
    }
    for mut stream in open(13) {
        let mut line = String::new();
        stream.read_to_string(&mut line).expect("read to the end");
        assert!(line.ends_with(" UTC\r\n"), "{line}");
    }
}

#[test]
fn udp_services_answer_and_do_not_answer_each_other() {
    let (a, _b) = with_services();
    let client = UdpSocket::bind(&a, addr(1, 0)).expect("bound");
    client.set_read_timeout(Some(LIMIT)).expect("a time-out");
    let mut buf = vec![0; 2_000];
    let mut ask = |port, data: &[u8]| {
        client.send_to(data, addr(2, port)).expect("sent");
        let (n, from) = client.recv_from(&mut buf).expect("answered");
        assert_eq!(from, addr(2, port));
        buf[..n].to_vec()
    };
    assert_eq!(ask(7, b"hello"), b"hello");
    assert_eq!(ask(7, b""), b"");
    assert!(ask(13, b"?").ends_with(b" UTC\r\n"));
    assert_eq!(ask(19, b"?").len(), 512);
    client.send_to(b"gone", addr(2, 9)).expect("sent");
    let chargen = UdpSocket::bind(&a, addr(1, 19)).expect("bound");
    chargen.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
    chargen.send_to(b"loop", addr(2, 7)).expect("sent");
    assert_eq!(chargen.recv(&mut [0; 16]).map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
}
