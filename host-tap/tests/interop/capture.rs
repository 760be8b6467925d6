//! What `ctl capture` records of a running `serve`, as tshark reads it.

use crate::world::{LIMIT, Link, PROGRAM, Serve, on_tap_and_tun, run, text_of, tool, wait_until};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

on_tap_and_tun!(
    a_capture_holds_what_passed_until_it_is_ended,
    a_capture_ends_by_itself_and_holds_what_was_asked_for,
    a_caller_that_does_not_read_costs_a_bounded_memory_and_nothing_else,
);

fn path(what: &str) -> PathBuf {
    std::env::temp_dir().join(format!("ringtap-capture-{}-{what}", std::process::id()))
}

fn capture(serve: &Serve, args: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["ctl", serve.control(), "capture"]).args(args);
    command.stderr(Stdio::piped()).spawn().expect("the program runs")
}

fn ping(count: &str, size: &str) {
    for address in ["10.7.0.2", "fd07::2"] {
        let args = ["-q", "-f", "-c", count, "-W", "10", "-s", size, address];
        text_of(tool("ping", "iputils-ping").args(args), b"");
    }
}

/// What tshark says of the packets that a filter finds.
fn found(file: &std::path::Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut command = tool("tshark", "tshark");
    command.arg("-r").arg(file).args(["-Y", filter, "-T", "fields", "-o", "ip.check_checksum:TRUE"]);
    fields.iter().for_each(|field| _ = command.args(["-e", field]));
    text_of(&mut command, b"").lines().map(str::to_string).collect()
}

fn a_capture_holds_what_passed_until_it_is_ended(link: Link) {
    let serve = Serve::start(link);
    let file = path("file");
    let name = file.to_str().expect("a plain path");
    let mut child = capture(&serve, &[name]);
    wait_until("the capture begins", || std::fs::metadata(&file).is_ok_and(|m| m.len() > 0));
    ping("20", "600");
    // What passed is there at once, not only at the end.
    wait_until("the pings are written", || found(&file, "icmp || icmpv6.type >= 128", &["frame.number"]).len() >= 80);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().is_ok_and(|s| s.success()));
    let mut said = String::new();
    child.stderr.take().expect("its stderr").read_to_string(&mut said).expect("read");
    assert!(child.wait().expect("its end").success(), "{said}");
    let rows = found(&file, "frame", &["frame.packet_flags_direction", "frame.interface_name", "frame.len"]);
    assert!(said.contains(&format!("{} frames captured, 0 dropped", rows.len())), "{said} {}", rows.len());
    assert!(rows.iter().all(|row| row.contains("\trt0\t")), "{rows:?}");
    for (filter, direction) in
        [("icmp.type == 8", '1'), ("icmp.type == 0", '2'), ("icmpv6.type == 128", '1'), ("icmpv6.type == 129", '2')]
    {
        let rows = found(&file, filter, &["frame.packet_flags_direction"]);
        assert!(rows.len() == 20 && rows.iter().all(|row| row.ends_with(direction)), "{filter}: {rows:?}");
    }
    assert_eq!(found(&file, "_ws.malformed || ip.checksum.status == Bad", &["frame.number"]), [""; 0]);
    let _ = std::fs::remove_file(&file);
    serve.end();
}

fn a_capture_ends_by_itself_and_holds_what_was_asked_for(link: Link) {
    let serve = Serve::start(link);
    let file = path("few");
    let name = file.to_str().expect("a plain path");
    let mut child = capture(&serve, &[name, "--count", "7", "--snap", "60", "--proto", "icmp", "--host", "10.7.0.1"]);
    wait_until("the capture begins", || std::fs::metadata(&file).is_ok_and(|m| m.len() > 0));
    ping("20", "600");
    assert!(child.wait().expect("its end").success());
    let rows = found(&file, "icmp", &["frame.cap_len", "frame.len"]);
    let len = if link == Link::Tap { "642" } else { "628" };
    assert_eq!(rows, vec![format!("60\t{len}"); 7]);
    let mut child = capture(&serve, &[name, "--seconds", "1", "--proto", "tcp"]);
    assert!(child.wait().expect("its end").success());
    assert_eq!(found(&file, "frame", &["frame.number"]), [""; 0]);
    for (args, text) in [(&["--dev", "rt9"][..], "no interface is called rt9"), (&["--proto", "tpc"], "no protocol")] {
        let output = run(Command::new(PROGRAM).args(["ctl", serve.control(), "capture", name]).args(args), b"");
        let said = String::from_utf8_lossy(&output.stderr).to_string();
        assert!(!output.status.success() && said.contains(text), "{said}");
    }
    let _ = std::fs::remove_file(&file);
    serve.end();
}

fn a_caller_that_does_not_read_costs_a_bounded_memory_and_nothing_else(link: Link) {
    let serve = Serve::start(link);
    let listen = || {
        let mut stream = UnixStream::connect(serve.control()).expect("connected");
        stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
        stream.write_all(b"{\"do\":\"capture\"}\n").expect("asked");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer");
        (reader, line)
    };
    let four: Vec<_> = (0..4).map(|_| listen()).collect();
    assert!(four.iter().all(|(_, line)| line == "{\"ok\":null}\n"), "{four:?}");
    assert_eq!(listen().1, "{\"error\":\"no room for another tap\"}\n");
    // More than a tap and a socket hold.
    ping("3000", "1400");
    let mut dropped = 0;
    for (reader, _) in four {
        reader.get_ref().shutdown(std::net::Shutdown::Write).expect("ended");
        let mut rest = Vec::new();
        let mut reader = reader;
        reader.read_to_end(&mut rest).expect("the capture");
        assert!((4 << 20..6 << 20).contains(&rest.len()), "{} octets", rest.len());
        // The last block tells how many are missing.
        let number = rest[rest.len() - 16..rest.len() - 8].try_into().expect("eight octets");
        dropped += u64::from_ne_bytes(number);
    }
    assert!(dropped > 4 * 8000, "{dropped}");
    assert_eq!(listen().1, "{\"ok\":null}\n", "their places are free");
    serve.end();
}
