//! The program as its users call it: every command, against the Linux kernel in a namespace of the test's own.

use ringtap_host::netns;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringtap");
const INSIDE: &str = "RINGTAP_TEST_IN_NAMESPACE";
const LIMIT: Duration = Duration::from_secs(10);

/// Whether this test runs in a private namespace already; if not, it is run there, in a process of its own.
macro_rules! in_namespace {
    () => {{
        fn here() {}
        let path = std::any::type_name_of_val(&here).trim_end_matches("::here");
        run_inside(path.rsplit("::").next().unwrap_or(path))
    }};
}

fn run_inside(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
    command.args([name, "--exact", "--nocapture"]).env(INSIDE, "1");
    let output = netns::in_child(&mut command).output().expect("a private namespace (see `ringtap doctor`)");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
    false
}

fn ringtap(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args);
    command
}

fn run(args: &[&str]) -> Output {
    ringtap(args).stdin(Stdio::null()).output().expect("the program runs")
}

/// The one line of an error, and the exit code.
fn error(args: &[&str]) -> (String, Option<i32>) {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.starts_with("ringtap: ") && text.trim_end().lines().count() == 1, "{args:?}: {text}");
    (text, output.status.code())
}

/// A running `serve`.
struct Serve {
    child: Child,
    out: BufReader<ChildStdout>,
    ready: String,
}

impl Serve {
    fn start(args: &[&str]) -> Self {
        let mut child = ringtap(&[&["serve"], args].concat()).stdout(Stdio::piped()).spawn().expect("the program runs");
        let mut out = BufReader::new(child.stdout.take().expect("its stdout"));
        let mut ready = String::new();
        out.read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("ready "), "{ready}");
        Self { child, out, ready }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.is_ok_and(|s| s.success()));
    }

    /// Ends it, and gives its last line.
    fn end(mut self, signal: &str) -> String {
        self.signal(signal);
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).expect("its last words");
        let status = self.child.wait().expect("its end");
        assert!(status.success(), "{status} {rest}");
        assert_eq!(rest.trim_end().lines().count(), 1, "{rest}");
        rest
    }

    /// How often it went to sleep so far.
    fn sleeps(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its state");
        let line = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|n| n.trim().parse().ok()).expect("a number")
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("ringtap-program-{}-{name}", std::process::id()))
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect_timeout(&([10, 7, 0, 2], port).into(), LIMIT).expect("connected");
    stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
    stream
}

#[test]
fn serve_answers_the_kernel_on_a_tap_and_on_a_tun_and_ends_with_its_counters() {
    if !in_namespace!() {
        return;
    }
    for (kind, signal) in [(&["--dev", "rt0"][..], "TERM"), (&["--dev", "rt1", "--tun"], "INT")] {
        let serve = Serve::start(kind);
        assert!(serve.ready.contains("10.7.0.2/24"), "{}", serve.ready);
        let mut stream = connect(7);
        stream.write_all(b"there and back").expect("written");
        stream.shutdown(Shutdown::Write).expect("ended");
        let mut back = String::new();
        stream.read_to_string(&mut back).expect("read");
        assert_eq!(back, "there and back");
        let mut line = String::new();
        connect(13).read_to_string(&mut line).expect("read");
        assert!(line.ends_with(" UTC\r\n"), "{line}");
        let socket = UdpSocket::bind("10.7.0.1:0").expect("bound");
        socket.set_read_timeout(Some(LIMIT)).expect("a time-out");
        for len in [0, 1, 1_472, 1_473, 8_000] {
            socket.send_to(&vec![3; len], "10.7.0.2:7").expect("sent");
            assert_eq!(socket.recv(&mut [0; 10_000]).expect("answered"), len);
        }
        let last = serve.end(signal);
        assert!(last.starts_with("served 2 connections; rx_frames "), "{last}");
    }
}

#[test]
fn serve_sleeps_when_nothing_happens() {
    if !in_namespace!() {
        return;
    }
    let serve = Serve::start(&["--dev", "rt0"]);
    let mut stream = connect(7);
    stream.write_all(b"x").expect("written");
    stream.read_exact(&mut [0]).expect("read");
    std::thread::sleep(Duration::from_millis(300));
    let before = serve.sleeps();
    std::thread::sleep(Duration::from_secs(2));
    // The kernel looks for routers and groups at its end now and then.
    let sleeps = serve.sleeps() - before;
    assert!(sleeps <= 20, "{sleeps} times in two idle seconds");
}

#[test]
fn serve_loses_no_octet_of_bulk_in_both_directions() {
    if !in_namespace!() {
        return;
    }
    let serve = Serve::start(&["--dev", "rt0"]);
    let len = 50 << 20;
    let mut stream = connect(80);
    write!(stream, "GET /bytes/{len} HTTP/1.1\r\nHost: x\r\n\r\n").expect("written");
    let mut body = Vec::new();
    stream.read_to_end(&mut body).expect("read");
    let start = body.len() - len;
    assert!(body[start..].iter().enumerate().all(|(i, &b)| b == (i % 251) as u8));
    let stream = connect(7);
    let data = &body[start..];
    std::thread::scope(|scope| {
        let mut reader = stream.try_clone().expect("a clone");
        let back = scope.spawn(move || {
            let mut back = Vec::new();
            reader.read_to_end(&mut back).map(|_| back)
        });
        (&stream).write_all(data).expect("written");
        stream.shutdown(Shutdown::Write).expect("ended");
        assert!(back.join().expect("the reader").expect("read") == data);
    });
    serve.end("TERM");
}

#[test]
fn an_echo_that_is_full_in_both_directions_goes_on_when_the_client_reads() {
    if !in_namespace!() {
        return;
    }
    let serve = Serve::start(&["--dev", "rt0"]);
    for odd in [1usize, 1_447, 4_093] {
        let mut stream = connect(7);
        stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a time-out");
        let mut written = 0;
        while let Ok(n) = stream.write(&vec![5; odd * 16]) {
            written += n;
            assert!(written < 200 << 20, "buffers are bounded");
        }
        let start = Instant::now();
        stream.shutdown(Shutdown::Write).expect("ended");
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("read");
        assert_eq!(back.len(), written);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
    serve.end("TERM");
}

#[test]
fn serve_takes_a_thousand_connections_one_after_another_and_60_at_once() {
    if !in_namespace!() {
        return;
    }
    let serve = Serve::start(&["--dev", "rt0"]);
    for i in 0..1_000u32 {
        let mut stream = connect(7);
        stream.write_all(&i.to_be_bytes()).expect("written");
        let mut back = [0; 4];
        stream.read_exact(&mut back).expect("read");
        assert_eq!(back, i.to_be_bytes());
    }
    for service in [7, 9, 19, 80] {
        let all: Vec<_> = (0..60).map(|_| connect(service)).collect();
        assert_eq!(all.len(), 60);
    }
    serve.end("TERM");
}

#[test]
fn ctl_asks_a_running_serve() {
    if !in_namespace!() {
        return;
    }
    let control = path("control");
    let control = control.to_str().expect("a plain path");
    let serve = Serve::start(&["--dev", "rt0", "--control", control]);
    let ctl = |args: &[&str]| {
        let output = run(&[&["ctl", control], args].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let listener = TcpListener::bind("10.7.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port().to_string();
    ctl(&["connect", "10.7.0.1", &port]);
    let (mut stream, _) = listener.accept().expect("the stack connects");
    stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
    stream.write_all(b"echo").expect("written");
    let mut back = [0; 4];
    stream.read_exact(&mut back).expect("read");
    assert_eq!(&back, b"echo");
    let sockets = ctl(&["sockets"]);
    assert!(sockets.contains("Established") && sockets.contains(&format!("10.7.0.1:{port}")), "{sockets}");
    assert!(ctl(&["stats"]).contains("tcp_established 1\n"));
    assert!(ctl(&["routes"]).contains("10.7.0.0/24"));
    assert!(ctl(&["neighbours"]).contains("10.7.0.1"));
    let routes = ctl(&["routes"]);
    assert!(routes.contains("Internet:\nDestination") && routes.lines().any(|l| l.ends_with(" rt0")), "{routes}");
    let interfaces = ctl(&["interfaces"]);
    assert!(interfaces.contains("<Link#1>") && interfaces.contains(" 10.7.0.2 "), "{interfaces}");
    ctl(&["route", "add", "default", "--gateway", "10.7.0.1"]);
    ctl(&["route", "add", "192.0.2.0/24", "--reject", "--metric", "5"]);
    let routes: Vec<String> =
        ctl(&["routes"]).lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(routes.contains(&"default 10.7.0.1 UGS rt0".into()), "{routes:?}");
    assert!(routes.iter().any(|l| l.starts_with("192.0.2.0/24 ") && l.ends_with(" URS reject")), "{routes:?}");
    let (text, code) = error(&["ctl", control, "route", "add", "default", "--gateway", "10.7.0.1"]);
    assert!(text.contains("exists already") && code == Some(1), "{text}");
    let (text, code) = error(&["ctl", control, "connect", "192.0.2.1", "80"]);
    assert!(text.contains("no route") && code == Some(1), "{text}");
    ctl(&["route", "del", "192.0.2.0/24", "--reject"]);
    ctl(&["route", "del", "default", "--gateway", "10.7.0.1"]);
    assert!(!ctl(&["routes"]).contains("default"));
    for what in ["stats", "sockets", "routes", "neighbours", "interfaces"] {
        assert!(serde_json::from_str::<serde_json::Value>(&ctl(&[what, "--json"])).is_ok());
    }
    for group in ["239.1.2.3", "ff02::77"] {
        ctl(&["join", group]);
        ctl(&["leave", group]);
    }
    assert!(error(&["ctl", control, "leave", "239.1.2.3"]).0.contains("was not joined"));
    let (text, code) = error(&["ctl", control, "connect", "192.0.2.1", "80"]);
    assert!(text.contains("no route") && code == Some(1), "{text}");
    let (text, _) = error(&["serve", "--dev", "rt9", "--control", control]);
    assert!(text.contains("another program listens"), "{text}");
    serve.end("TERM");
    assert!(!std::path::Path::new(control).exists());
    let (text, code) = error(&["ctl", control, "stats"]);
    assert!(text.contains("cannot ask") && code == Some(1), "{text}");
}

#[test]
fn ping_nc_and_get_use_the_stack_as_a_client() {
    if !in_namespace!() {
        return;
    }
    let device = ["--dev", "rt0"];
    let output = run(&[&["ping", "-c", "3", "-i", "0.05", "-s", "4000"], &device[..], &["10.7.0.1"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("3 sent, 3 received, 0 % lost"), "{text}");
    let output = run(&[&["ping", "-c", "1"], &device[..], &["10.7.0.77"]].concat());
    assert_eq!(output.status.code(), Some(1));

    // The kernel's servers: the address is there as soon as the device is.
    let listener = TcpListener::bind("0.0.0.0:4000").expect("bound");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        let mut question = String::new();
        stream.read_to_string(&mut question).expect("read");
        stream.write_all(question.to_uppercase().as_bytes()).expect("written");
        drop(stream);
        let (mut stream, _) = listener.accept().expect("accepted");
        let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
        let mut line = String::new();
        reader.read_line(&mut line).expect("read");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").expect("written");
        line
    });
    let output = with_input(&[&["nc"], &device[..], &["10.7.0.1", "4000"]].concat(), b"question");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "QUESTION");
    let output = run(&[&["get"], &device[..], &["http://10.7.0.1:4000/x?y"]].concat());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello");
    assert_eq!(server.join().expect("the server"), "GET /x?y HTTP/1.1\r\n");
    let (text, code) = error(&[&["get"], &device[..], &["http://10.7.0.1:4001/"]].concat());
    assert!(text.contains("refused") && code == Some(1), "{text}");

    let socket = UdpSocket::bind("0.0.0.0:4002").expect("bound");
    let server = std::thread::spawn(move || {
        let mut buf = [0; 100];
        let (n, from) = socket.recv_from(&mut buf).expect("received");
        socket.send_to(&buf[..n].to_ascii_uppercase(), from).expect("sent");
    });
    let output = with_input(&[&["nc", "-u"], &device[..], &["10.7.0.1", "4002"]].concat(), b"datagram");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "DATAGRAM");
    server.join().expect("the server");
}

fn with_input(args: &[&str], input: &[u8]) -> Output {
    let mut command = ringtap(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().expect("the program runs");
    child.stdin.take().expect("its stdin").write_all(input).expect("written");
    child.wait_with_output().expect("its end")
}

#[test]
fn two_stacks_talk_over_unix_sockets_without_any_device() {
    let (stream, left, right) = (path("stream"), path("left"), path("right"));
    let text = |p: &PathBuf| p.to_str().expect("a plain path").to_string();
    for (server, client) in [
        (vec!["--unix".to_string(), text(&stream)], vec!["--unix".to_string(), text(&stream)]),
        (
            vec!["--unix-dgram".to_string(), format!("{},{}", text(&left), text(&right))],
            vec!["--unix-dgram".to_string(), format!("{},{}", text(&right), text(&left))],
        ),
    ] {
        let server: Vec<&str> = server.iter().map(String::as_str).collect();
        let client: Vec<&str> = client.iter().map(String::as_str).collect();
        let serve = Serve::start(&server);
        let us = ["--addr", "10.7.0.3/24"];
        for _ in 0..2 {
            let output = run(&[&["get"], &client[..], &us, &["http://10.7.0.2/bytes/100000"]].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stdout.len() == 100_000);
        }
        serve.end("TERM");
    }
}

#[test]
fn captures_hold_what_went_over_the_device() {
    if !in_namespace!() {
        return;
    }
    let pcap = path("capture.pcapng");
    let file = pcap.to_str().expect("a plain path");
    let serve = Serve::start(&["--dev", "rt0", "--pcap", file]);
    let mut back = [0; 4];
    let mut stream = connect(7);
    stream.write_all(b"seen").expect("written");
    stream.read_exact(&mut back).expect("read");
    drop(stream);
    serve.end("TERM");
    let tshark = |filter: &str| {
        let checks = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];
        let output = Command::new("tshark")
            .args(["-r", file, "-Y", filter])
            .args(checks)
            .output()
            .expect("the program `tshark` (package tshark) reads the capture");
        String::from_utf8_lossy(&output.stdout).lines().count()
    };
    assert!(tshark("tcp.payload == 73:65:65:6e") >= 2);
    assert!(tshark("arp") >= 2);
    assert_eq!(tshark("_ws.malformed || tcp.checksum.status == Bad || ip.checksum.status == Bad"), 0);
    let _ = std::fs::remove_file(pcap);
}

#[test]
fn wrong_usage_and_failures_are_one_line_with_the_right_exit_code() {
    if !in_namespace!() {
        return;
    }
    let serve = Serve::start(&["--dev", "rt0"]);
    let long = "x".repeat(16);
    for (args, needle, code) in [
        (&["serve"][..], "--dev", 2),
        (&["serve", "--dev", "rt0"], "another program has it open", 1),
        (&["serve", "--dev", "lo"], "it is no tap", 1),
        (&["serve", "--dev", &long], "name", 2),
        (&["serve", "--dev", "rt1", "--mtu", "20"], "MTU", 2),
        (&["serve", "--dev", "rt1", "--addr", "10.0.0.0/8"], "host can have", 2),
        (&["serve", "--dev", "rt1", "--addr", "ff02::1/64"], "host can have", 2),
        (&["serve", "--dev", "rt1", "--join", "fd07::1"], "not a multicast group", 2),
        (&["serve", "--dev", "rt1", "--join", "10.0.0.1"], "not a multicast group", 2),
        (&["serve", "--dev", "rt1", "--mac", "ff:ff:ff:ff:ff:ff"], "group address", 2),
        (&["get", "--dev", "rt1", "https://10.7.0.1/"], "not built yet", 2),
        (&["bridge", "a", "b"], "not built yet", 2),
        (&["frobnicate"], "no such command", 2),
        (&["nc", "--dev", "rt1", "10.7.0.1"], "PORT", 2),
        (&["serve", "--dev", "rt1", "--pcap", "/nonexistent/x"], "capture", 1),
    ] {
        let (text, got) = error(args);
        assert!(text.contains(needle) && got == Some(code), "{args:?}: {got:?} {text}");
    }
    serve.end("TERM");
}

#[test]
fn a_device_that_vanishes_ends_serve_with_one_line() {
    if !in_namespace!() {
        return;
    }
    let mut command = ringtap(&["serve", "--dev", "rt0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
    let mut ready = String::new();
    BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut ready).expect("a line");
    let deleted = Command::new("ip").args(["link", "del", "rt0"]).status();
    assert!(deleted.is_ok_and(|s| s.success()), "the program `ip` (package iproute2) deletes the device");
    let start = Instant::now();
    let output = child.wait_with_output().expect("its end");
    assert!(start.elapsed() < LIMIT);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("has vanished") && output.status.code() == Some(1), "{text}");
}

#[test]
fn the_demo_succeeds_in_everything() {
    let pcap = path("demo.pcapng");
    let start = Instant::now();
    let output = run(&["demo", "--pcap", pcap.to_str().expect("a plain path")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<_> = text.lines().filter(|l| l.contains(" -> ")).collect();
    assert!(rows.len() >= 26 && rows.iter().all(|row| row.contains("  ok  ")), "{text}");
    assert_eq!(rows.iter().filter(|row| row.contains("multicast")).count(), 4, "{text}");
    assert!(start.elapsed() < Duration::from_secs(30));
    assert!(std::fs::metadata(&pcap).is_ok_and(|m| m.len() > 100 << 20));
    let _ = std::fs::remove_file(pcap);
}
