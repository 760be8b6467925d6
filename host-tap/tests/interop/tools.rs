//! The services as people call them: nc, curl, socat.

use crate::world::{Link, Serve, assert_same, octets, on_tap_and_tun, output_of, run, text_of, tool};
use std::process::Command;

on_tap_and_tun!(nc_talks_to_every_service, curl_gets_pages_and_bulk, socat_carries_streams_and_datagrams);

fn nc() -> Command {
    tool("nc", "netcat-openbsd")
}

fn curl() -> Command {
    let mut curl = tool("curl", "curl");
    curl.args(["--silent", "--show-error", "--max-time", "120"]);
    curl
}

fn socat() -> Command {
    let mut socat = tool("socat", "socat");
    // Time for the other direction to end after one has.
    socat.args(["-t", "60"]);
    socat
}

fn nc_talks_to_every_service(link: Link) {
    let serve = Serve::start(link);
    let data = octets(1, 5 << 20);
    assert_same(&output_of(nc().args(["-N", "10.7.0.2", "7"]), &data), &data);
    assert!(output_of(nc().args(["-N", "10.7.0.2", "9"]), &data).is_empty());
    let line = text_of(nc().args(["10.7.0.2", "13"]), b"");
    assert!(line.ends_with(" UTC\r\n"), "{line}");
    assert_eq!(text_of(nc().args(["-u", "-W", "1", "10.7.0.2", "7"]), b"a datagram"), "a datagram");
    assert!(text_of(nc().args(["-u", "-W", "1", "10.7.0.2", "13"]), b"?").ends_with(" UTC\r\n"));
    assert!(run(nc().args(["-z", "10.7.0.2", "80"]), b"").status.success());
    let refused = run(nc().args(["-v", "-z", "10.7.0.2", "81"]), b"");
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("refused"));
    serve.wait_until_free();
    serve.end();
}

fn curl_gets_pages_and_bulk(link: Link) {
    let serve = Serve::start(link);
    let page = text_of(curl().arg("http://10.7.0.2/"), b"");
    assert!(page.contains("<title>ringtap</title>") && page.ends_with("</html>\n"), "{page}");
    let want: Vec<u8> = (0..20 << 20).map(|i: usize| (i % 251) as u8).collect();
    assert_same(&output_of(curl().arg(format!("http://10.7.0.2/bytes/{}", want.len())), b""), &want);
    let head = text_of(curl().args(["--head", "http://10.7.0.2/bytes/123"]), b"");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.to_lowercase().contains("content-length: 123\r\n"), "{head}");
    let missing = run(curl().args(["--fail", "http://10.7.0.2/no-such-page"]), b"");
    assert_eq!(missing.status.code(), Some(22));
    // Ten at a time.
    let urls = vec!["http://10.7.0.2/bytes/100000"; 50];
    let args = ["--parallel", "--parallel-max", "10"];
    assert_eq!(output_of(curl().args(args).args(&urls), b"").len(), 50 * 100_000);
    // What is abandoned half-way does no harm.
    let cut = run(curl().args(["--max-filesize", "1000", "http://10.7.0.2/bytes/100000000"]), b"");
    assert_eq!(cut.status.code(), Some(63));
    serve.wait_until_free();
    serve.end();
}

fn socat_carries_streams_and_datagrams(link: Link) {
    let serve = Serve::start(link);
    let data = octets(2, 5 << 20);
    assert_same(&output_of(socat().args(["-", "TCP:10.7.0.2:7"]), &data), &data);
    output_of(socat().args(["-u", "-", "TCP:10.7.0.2:9"]), &data);
    let line = text_of(socat().args(["-u", "TCP:10.7.0.2:13", "-"]), b"");
    assert!(line.ends_with(" UTC\r\n"), "{line}");
    // 4,000 octets are one datagram of three fragments.
    let datagram = octets(3, 4_000);
    let got = output_of(tool("socat", "socat").args(["-t", "1", "-", "UDP:10.7.0.2:7"]), &datagram);
    assert_same(&got, &datagram);
    serve.wait_until_free();
    serve.end();
}
