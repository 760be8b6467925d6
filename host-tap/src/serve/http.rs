//! HTTP/1.1 (RFC 9112) as far as a status page needs it: GET and HEAD, one request per connection.
//!
//! `/` is the status page, `/bytes/N` a body of N octets with a known pattern.

use super::stream::{Turn, discard, write_all};
use super::text;
use ringtap::error::TcpError;
use ringtap::stack::{Stack, TcpSocket};
use std::fmt::Write;

/// The longest request head. RFC 9112 §3 asks for 8,000 octets of request line at least.
const LONGEST_HEAD: usize = 16 << 10;

/// One connection.
#[derive(Debug, Default)]
pub struct Http {
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Reading the request's head.
    Head(Vec<u8>),
    /// The request wants the status page: it is made when the stack can be seen.
    WantsStatus { with_body: bool },
    /// Sending: what is left of the head (and a fixed body), then `left` octets of pattern from `at` on.
    Answer { head: Vec<u8>, at: u64, left: u64 },
    /// All is sent: the rest of what the peer sends is read and forgotten, so that no reset overtakes the answer.
    Linger,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Http {
    /// Makes the status page, if that is what was asked for.
    pub fn prepare(&mut self, stack: &mut Stack<'static>) {
        if let Phase::WantsStatus { with_body } = self.phase {
            self.phase = Phase::status(&status_page(stack), with_body);
        }
    }

    /// Goes as far as the socket lets it.
    pub fn turn(&mut self, socket: &mut TcpSocket<'_, 'static>, quantum: usize) -> Result<Turn, TcpError> {
        if let Phase::Head(head) = &mut self.phase {
            match read_head(socket, head)? {
                Some(end) => {
                    head.truncate(end);
                    self.phase = answer(head);
                }
                None => return Ok(Turn::Close),
            }
        }
        match &mut self.phase {
            // The next turn comes at once, and prepares the page.
            Phase::WantsStatus { .. } | Phase::Head(_) => return Ok(Turn::Again),
            Phase::Answer { head, at, left } => {
                if !write_all(socket, head)? {
                    return Ok(Turn::Wait);
                }
                if !write_pattern(socket, at, left, quantum)? {
                    return Ok(Turn::Again);
                }
                socket.shutdown_write()?;
                self.phase = Phase::Linger;
            }
            Phase::Linger => {}
        }
        discard(socket, quantum)
    }
}

impl Phase {
    fn status(page: &str, with_body: bool) -> Self {
        let mut head = header("200 OK", "text/html; charset=utf-8", page.len() as u64);
        if with_body {
            head.push_str(page);
        }
        Self::Answer { head: head.into_bytes(), at: 0, left: 0 }
    }

    fn error(status: &str) -> Self {
        let mut head = header(status, "text/plain", status.len() as u64 + 1);
        let _ = writeln!(head, "{status}");
        Self::Answer { head: head.into_bytes(), at: 0, left: 0 }
    }
}

/// Reads until the head is whole, and says where it ends; `None` when the peer has ended before.
fn read_head(socket: &mut TcpSocket<'_, 'static>, head: &mut Vec<u8>) -> Result<Option<usize>, TcpError> {
    loop {
        let n = socket.read_with(|text| {
            let n = text.len().min(LONGEST_HEAD);
            head.extend_from_slice(text.get(..n).unwrap_or_default());
            (n, n)
        })?;
        if let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") {
            return Ok(Some(end));
        }
        if n == 0 {
            return Ok(None);
        }
        if head.len() >= LONGEST_HEAD {
            // Too long: answered as a bad request.
            return Ok(Some(0));
        }
    }
}

/// Writes up to `quantum` octets of pattern; `true` once none is left.
fn write_pattern(
    socket: &mut TcpSocket<'_, 'static>,
    at: &mut u64,
    left: &mut u64,
    quantum: usize,
) -> Result<bool, TcpError> {
    let mut moved = 0;
    while *left > 0 && moved < quantum {
        let n = socket.write_with(|room| {
            let n = room.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            text::pattern(*at, room.get_mut(..n).unwrap_or_default());
            (n, n)
        })?;
        *at += n as u64;
        *left -= n as u64;
        moved += n;
    }
    Ok(*left == 0)
}

/// The answer to a request's head.
fn answer(head: &[u8]) -> Phase {
    let line = head.split(|&b| b == b'\r').next().unwrap_or_default();
    let mut words = std::str::from_utf8(line).unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Phase::error("400 Bad Request");
    };
    if !version.starts_with("HTTP/1.") {
        return Phase::error("505 HTTP Version Not Supported");
    }
    let with_body = match method {
        "GET" => true,
        "HEAD" => false,
        _ => return Phase::error("501 Not Implemented"),
    };
    let path = target.split('?').next().unwrap_or_default();
    if path == "/" {
        return Phase::WantsStatus { with_body };
    }
    match path.strip_prefix("/bytes/").and_then(|n| n.parse::<u64>().ok()) {
        Some(len) => {
            let head = header("200 OK", "application/octet-stream", len).into_bytes();
            Phase::Answer { head, at: 0, left: if with_body { len } else { 0 } }
        }
        None => Phase::error("404 Not Found"),
    }
}

fn header(status: &str, kind: &str, len: u64) -> String {
    format!(
        "HTTP/1.1 {status}\r\nServer: ringtap\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\
         Connection: close\r\n\r\n"
    )
}

fn status_page(stack: &Stack<'static>) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>ringtap</title>\
         <style>body{font:16px/1.4 system-ui,sans-serif;margin:2em}td{padding:0 1em 0 0}</style>\
         <h1>ringtap</h1><p>This page was served by a TCP/IP stack in user space.</p>",
    );
    for interface in stack.interfaces() {
        let addresses: Vec<_> = interface.addresses.iter().map(ToString::to_string).collect();
        let _ = write!(page, "<p>{} (MTU {})</p>", addresses.join(", "), interface.mtu);
    }
    page.push_str("<table>");
    for (name, value) in super::control::counters(stack.stats()) {
        let _ = write!(page, "<tr><td>{name}<td>{value}");
    }
    page.push_str("</table></html>\n");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_line(head: &str) -> String {
        match answer(head.as_bytes()) {
            Phase::Answer { head, .. } => String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn requests_get_the_answer_that_is_theirs() {
        for (request, line) in [
            ("GET / HTTP/1.1\r\nHost: x", "WantsStatus { with_body: true }"),
            ("HEAD /?x HTTP/1.0", "WantsStatus { with_body: false }"),
            ("GET /bytes/10 HTTP/1.1", "HTTP/1.1 200 OK"),
            ("GET /bytes/-1 HTTP/1.1", "HTTP/1.1 404 Not Found"),
            ("GET /nothing HTTP/1.1", "HTTP/1.1 404 Not Found"),
            ("POST / HTTP/1.1", "HTTP/1.1 501 Not Implemented"),
            ("GET / HTTP/2", "HTTP/1.1 505 HTTP Version Not Supported"),
            ("GET /", "HTTP/1.1 400 Bad Request"),
            ("", "HTTP/1.1 400 Bad Request"),
            ("\u{fffd} \u{0} x y z", "HTTP/1.1 400 Bad Request"),
        ] {
            assert_eq!(first_line(request), line, "{request}");
        }
    }

    #[test]
    fn a_head_request_is_told_the_length_and_sent_no_body() {
        let Phase::Answer { head, left, .. } = answer(b"HEAD /bytes/1000 HTTP/1.1") else { panic!("an answer") };
        assert!(String::from_utf8_lossy(&head).contains("Content-Length: 1000\r\n") && left == 0);
    }
}
