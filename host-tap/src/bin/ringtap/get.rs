//! `ringtap get`: fetches a URL by the stack, HTTP/1.1 (RFC 9112), one request.

use crate::cli::GetArgs;
use crate::resolve::{Url, reach};
use ringtap_host::failure::Failure;
use ringtap_host::runtime::TcpStream;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

/// How long a server may be silent.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest head of an answer.
const LONGEST_HEAD: u64 = 64 << 10;

/// Fetches the URL's body to stdout.
pub fn run(args: GetArgs) -> Result<ExitCode, Failure> {
    let url = Url::parse(&args.url)?;
    let (runtime, addresses) = reach(args.device, &url.host, args.family.wanted())?;
    let failed = |e: io::Error| Failure::io(format_args!("cannot get {}", args.url), &e);
    let mut stream = TcpStream::connect_any(&runtime, &addresses, url.port, Some(TIMEOUT)).map_err(failed)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    let port = if url.port == 80 { String::new() } else { format!(":{}", url.port) };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}{port}\r\nUser-Agent: ringtap/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.target,
        url.host,
        env!("CARGO_PKG_VERSION")
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let head = Head::read(&mut reader).map_err(failed)?;
    let mut out = io::stdout().lock();
    head.copy_body(&mut reader, &mut out).and_then(|()| out.flush()).map_err(failed)?;
    if head.status >= 300 {
        let to = head.location.map(|l| format!(", see {l}")).unwrap_or_default();
        return Err(Failure::new(format!("{}: the server answered {}{to}", args.url, head.status)));
    }
    Ok(ExitCode::SUCCESS)
}

/// What an answer's head says of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Option<u64>,
    chunked: bool,
    location: Option<String>,
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the answer is not HTTP: {what}"))
}

impl Head {
    fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        let mut reader = reader.take(LONGEST_HEAD);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let mut words = line.split(' ');
            let version = words.next().unwrap_or_default();
            let status = words.next().and_then(|s| s.trim_end().parse().ok());
            let (true, Some(status)) = (version.starts_with("HTTP/1."), status) else {
                return Err(malformed("no status line"));
            };
            let head = Self { status, ..Self::default() }.fields(&mut reader)?;
            // 1xx: the answer itself follows (RFC 9110 §15.2).
            if !(100..200).contains(&status) {
                return Ok(head);
            }
        }
    }

    fn fields(mut self, reader: &mut impl BufRead) -> io::Result<Self> {
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(malformed("its head has no end"));
            }
            let line = line.trim_end();
            if line.is_empty() {
                return Ok(self);
            }
            let Some((name, value)) = line.split_once(':') else { return Err(malformed("a field without a colon")) };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => self.length = Some(value.parse().map_err(|_| malformed("its length"))?),
                "transfer-encoding" => self.chunked = value.to_ascii_lowercase().ends_with("chunked"),
                "location" => self.location = Some(value.to_string()),
                _ => {}
            }
        }
    }

    fn copy_body(&self, reader: &mut impl BufRead, out: &mut impl Write) -> io::Result<()> {
        match (self.status, self.chunked, self.length) {
            (204 | 304, ..) => Ok(()),
            (_, true, _) => copy_chunks(reader, out),
            (_, false, Some(length)) => copy_exactly(reader, out, length),
            (_, false, None) => io::copy(reader, out).map(drop),
        }
    }
}

fn copy_exactly(reader: &mut impl BufRead, out: &mut impl Write, length: u64) -> io::Result<()> {
    if io::copy(&mut reader.take(length), out)? < length {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "the answer ended early"));
    }
    Ok(())
}

fn copy_chunks(reader: &mut impl BufRead, out: &mut impl Write) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.by_ref().take(LONGEST_HEAD).read_line(&mut line)?;
        let size = line.trim_end().split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| malformed("a chunk without a size"))?;
        if size == 0 {
            return Ok(());
        }
        copy_exactly(reader, out, size)?;
        reader.by_ref().take(2).read_line(&mut line)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(answer: &str) -> io::Result<(u16, String)> {
        let mut reader = answer.as_bytes();
        let head = Head::read(&mut reader)?;
        let mut body = Vec::new();
        head.copy_body(&mut reader, &mut body)?;
        Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
    }

    #[test]
    fn bodies_end_by_length_by_chunks_or_with_the_connection() {
        for (answer, status, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", 200, "abc"),
            ("HTTP/1.0 404 No\r\n\r\nrest", 404, "rest"),
            (
                "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\n\r\n",
                200,
                "abc0123456789",
            ),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\nx", 204, ""),
        ] {
            assert_eq!(get(answer).ok(), Some((status, body.to_string())), "{answer}");
        }
    }

    #[test]
    fn what_is_not_http_or_ends_early_is_an_error() {
        for answer in [
            "",
            "SSH-2.0-x\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        ] {
            assert!(get(answer).is_err(), "{answer}");
        }
    }
}
