//! What the demo tries, one function each.

use indicatif::ProgressBar;
use ringtap::sockets::UdpOptions;
use ringtap::stack::SourceFilter;
use ringtap_host::runtime::{Pinger, Runtime, TcpListener, TcpStream, UdpSocket};
use ringtap_host::sys;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The addresses of both ends in one family.
#[derive(Clone, Copy)]
pub struct Ends {
    /// The kernel's address.
    pub kernel: IpAddr,
    /// The stack's address.
    pub stack: IpAddr,
}

/// Over IPv4.
pub const V4: Ends =
    Ends { kernel: IpAddr::V4(Ipv4Addr::new(10, 7, 0, 1)), stack: IpAddr::V4(Ipv4Addr::new(10, 7, 0, 2)) };
/// Over IPv6.
pub const V6: Ends = Ends {
    kernel: IpAddr::V6(Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 1)),
    stack: IpAddr::V6(Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 2)),
};

/// The group of the checks: nobody's in particular (RFC 2365 §6.1, RFC 3307 §4.1).
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 7, 7);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x0707);

impl Ends {
    fn kernel(self, port: u16) -> SocketAddr {
        (self.kernel, port).into()
    }

    fn stack(self, port: u16) -> SocketAddr {
        (self.stack, port).into()
    }

    fn group(self) -> IpAddr {
        if self.stack.is_ipv6() { GROUP_V6.into() } else { GROUP_V4.into() }
    }

    /// Every address of the family.
    fn any(self) -> SocketAddr {
        let any = if self.stack.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        SocketAddr::new(any, 0)
    }
}

/// How long anything may take that should be done at once.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Octets of a bulk transfer.
const BULK: u64 = 64 << 20;

/// Octets of a TCP echo.
const ECHOED: usize = 1 << 20;

/// Payloads: none, small, all that fits one packet of IPv6 or IPv4, and more than that.
const SIZES: [usize; 6] = [0, 56, 1_452, 1_453, 1_472, 8_000];

/// The stack's port in groups.
const GROUP_PORT: u16 = 7007;

/// Payloads to groups: what fits one packet.
const GROUP_SIZES: [usize; 3] = [1, 56, 1_452];

/// What was measured.
type Checked = io::Result<String>;

/// One thing to try.
pub struct Check {
    pub what: &'static str,
    pub peer: &'static str,
    /// Its share of the progress bar; bulk moves it on by itself, a step per MiB.
    pub weight: u64,
    pub run: Run,
    pub ends: Ends,
}

type Run = fn(&Runtime, Ends, &ProgressBar) -> Checked;

const fn check(what: &'static str, peer: &'static str, weight: u64, run: Run) -> Check {
    Check { what, peer, weight, run, ends: V4 }
}

/// The same over IPv6.
const fn check6(what: &'static str, peer: &'static str, weight: u64, run: Run) -> Check {
    Check { ends: V6, ..check(what, peer, weight, run) }
}

const TO_KERNEL: &str = "stack -> kernel";
const TO_STACK: &str = "kernel -> stack";

/// Everything, in order.
pub const ALL: &[Check] = &[
    check("ping, 0 to 8000 octets", TO_KERNEL, 2, ping_kernel),
    check("ping, 0 to 8000 octets", TO_STACK, 2, ping_stack),
    check("UDP echo, 0 to 8000 octets", TO_KERNEL, 2, udp_kernel),
    check("UDP echo, 0 to 8000 octets", TO_STACK, 2, udp_stack),
    check("TCP echo, 1 MiB", TO_KERNEL, 2, tcp_kernel),
    check("TCP echo, 1 MiB", TO_STACK, 2, tcp_stack),
    check("TCP to a closed port", TO_KERNEL, 1, closed_kernel),
    check("TCP to a closed port", TO_STACK, 1, closed_stack),
    check("TCP bulk, 64 MiB", TO_KERNEL, BULK >> 20, bulk_kernel),
    check("TCP bulk, 64 MiB", TO_STACK, BULK >> 20, bulk_stack),
    check("HTTP, status page and 8 MiB", TO_STACK, 4, http_stack),
    check6("IPv6: ping, 0 to 8000 octets", TO_KERNEL, 2, ping_kernel),
    check6("IPv6: ping, 0 to 8000 octets", TO_STACK, 2, ping_stack),
    check6("IPv6: UDP echo, 0 to 8000 octets", TO_KERNEL, 2, udp_kernel),
    check6("IPv6: UDP echo, 0 to 8000 octets", TO_STACK, 2, udp_stack),
    check6("IPv6: TCP echo, 1 MiB", TO_KERNEL, 2, tcp_kernel),
    check6("IPv6: TCP echo, 1 MiB", TO_STACK, 2, tcp_stack),
    check6("IPv6: TCP to a closed port", TO_KERNEL, 1, closed_kernel),
    check6("IPv6: TCP to a closed port", TO_STACK, 1, closed_stack),
    check6("IPv6: TCP bulk, 64 MiB", TO_KERNEL, BULK >> 20, bulk_kernel),
    check6("IPv6: TCP bulk, 64 MiB", TO_STACK, BULK >> 20, bulk_stack),
    check6("IPv6: HTTP, status page and 8 MiB", TO_STACK, 4, http_stack),
    check("multicast: a group of one", TO_KERNEL, 1, group_kernel),
    check("multicast: a group of two", TO_STACK, 1, group_stack),
    check6("IPv6: multicast: a group of one", TO_KERNEL, 1, group_kernel),
    check6("IPv6: multicast: a group of two", TO_STACK, 1, group_stack),
];

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.into())
}

/// Octets with a pattern that a displacement or a swap would show.
fn pattern(at: u64, buf: &mut [u8]) {
    for (i, octet) in (at..).zip(buf) {
        *octet = (i % 251) as u8;
    }
}

fn payload(len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    pattern(len as u64, &mut data);
    data
}

/// The mean of round trips in words.
fn mean(times: &[Duration]) -> Checked {
    let total: Duration = times.iter().sum();
    let mean = total.as_secs_f64() * 1e6 / times.len().max(1) as f64;
    Ok(format!("{} of {}, mean {mean:.0} us", times.len(), times.len()))
}

fn ping_kernel(runtime: &Runtime, ends: Ends, _: &ProgressBar) -> Checked {
    let mut pinger = Pinger::new(runtime)?;
    let mut times = Vec::new();
    for size in SIZES {
        times.push(pinger.ping(ends.kernel, &payload(size), TIMEOUT)?);
    }
    mean(&times)
}

/// The Internet checksum (RFC 1071).
fn checksum(data: &[u8]) -> u16 {
    let word = |c: &[u8]| u32::from(u16::from_be_bytes([c[0], c.get(1).copied().unwrap_or(0)]));
    let mut sum: u32 = data.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn ping_stack(_: &Runtime, ends: Ends, _: &ProgressBar) -> Checked {
    let v6 = ends.stack.is_ipv6();
    let socket = sys::raw_icmp_socket(v6)?;
    let (asked, answered, header) = if v6 { (128, 129, 0) } else { (8, 0, 20) };
    socket.set_read_timeout(Some(TIMEOUT))?;
    let mut times = Vec::new();
    for (seq, size) in (1u16..).zip(SIZES) {
        // Type, code 0, checksum, identifier, sequence number.
        let mut request = vec![asked, 0, 0, 0, 0x72, 0x74];
        request.extend(seq.to_be_bytes());
        request.extend(payload(size));
        let sum = checksum(&request).to_be_bytes();
        request[2..4].copy_from_slice(&sum);
        let start = Instant::now();
        socket.send_to(&request, ends.stack(0))?;
        let mut buf = vec![0; 16 << 10];
        loop {
            let (n, from) = socket.recv_from(&mut buf)?;
            // A raw IPv4 socket gives the IP header, too, of 20 octets; and packets to other sockets, and of our own sending.
            // Of IPv6 the kernel has verified the checksum.
            let message = buf.get(header..n).unwrap_or_default();
            if from.ip() == ends.stack && message.first() == Some(&answered) && message.get(4..8) == request.get(4..8) {
                if !v6 && checksum(message) != 0 || message.get(8..) != request.get(8..) {
                    return Err(wrong("the reply is damaged"));
                }
                break;
            }
            if start.elapsed() > TIMEOUT {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        times.push(start.elapsed());
    }
    mean(&times)
}

fn udp_kernel(runtime: &Runtime, ends: Ends, _: &ProgressBar) -> Checked {
    let server = std::net::UdpSocket::bind(ends.kernel(0))?;
    server.set_read_timeout(Some(TIMEOUT))?;
    let to = server.local_addr()?;
    let echo = std::thread::spawn(move || {
        let mut buf = vec![0; 64 << 10];
        for _ in SIZES {
            let Ok((n, from)) = server.recv_from(&mut buf) else { return };
            let _ = server.send_to(&buf[..n], from);
        }
    });
    let client = UdpSocket::bind(runtime, ends.stack(0))?;
    client.set_read_timeout(Some(TIMEOUT))?;
    let times = udp_times(
        |data, buf| {
            client.send_to(data, to)?;
            client.recv_from(buf)
        },
        to,
    );
    let _ = echo.join();
    mean(&times?)
}

fn udp_stack(_: &Runtime, ends: Ends, _: &ProgressBar) -> Checked {
    let client = std::net::UdpSocket::bind(ends.kernel(0))?;
    client.set_read_timeout(Some(TIMEOUT))?;
    let times = udp_times(
        |data, buf| {
            client.send_to(data, ends.stack(7))?;
            client.recv_from(buf)
        },
        ends.stack(7),
    );
    mean(&times?)
}

/// The kernel is in a group, to which the stack sends.
fn group_kernel(runtime: &Runtime, ends: Ends, _: &ProgressBar) -> Checked {
    let member = std::net::UdpSocket::bind(ends.any())?;
    member.set_read_timeout(Some(TIMEOUT))?;
    match (ends.kernel, ends.group()) {
        (IpAddr::V4(own), IpAddr::V4(group)) => member.join_multicast_v4(&group, &own)?,
        (_, IpAddr::V6(group)) => member.join_multicast_v6(&group, 0)?,
        _ => return Err(ErrorKind::Unsupported.into()),
    }
    let to = SocketAddr::new(ends.group(), member.local_addr()?.port());
    let sender = UdpSocket::bind(runtime, ends.stack(0))?;
    let start = Instant::now();
    for size in GROUP_SIZES {
        sender.send_to(&payload(size), to)?;
        let mut buf = [0; 2048];
        let (n, from) = member.recv_from(&mut buf)?;
        if from.ip() != ends.stack || buf[..n] != payload(size) {
            return Err(wrong("what came to the group is damaged"));
        }
    }
    group_measured(start)
}

/// Two sockets of the stack are in a group, to which the kernel sends; one of them leaves it.
fn group_stack(runtime: &Runtime, ends: Ends, _: &ProgressBar) -> Checked {
    let options = UdpOptions { share: true, ..UdpOptions::default() };
    let group = ends.group();
    let local = SocketAddr::new(group, GROUP_PORT);
    let members = [(); 2].map(|()| UdpSocket::bind_with(runtime, local, &options));
    let [stays, leaves] = members;
    let (stays, leaves) = (stays?, leaves?);
    for member in [&stays, &leaves] {
        member.set_read_timeout(Some(TIMEOUT))?;
        member.join_multicast(group)?;
    }
    let sender = std::net::UdpSocket::bind(ends.kernel(0))?;
    let start = Instant::now();
    for size in GROUP_SIZES {
        sender.send_to(&payload(size), local)?;
        for member in [&stays, &leaves] {
            let mut buf = [0; 2048];
            let (n, from) = member.recv_from(&mut buf)?;
            if from.ip() != ends.kernel || buf[..n] != payload(size) {
                return Err(wrong("what came to the group is damaged"));
            }
        }
    }
    leaves.set_source_filter(group, SourceFilter::Include(&[ends.stack]))?;
    sender.send_to(b"one", local)?;
    stays.recv_from(&mut [0; 8])?;
    leaves.set_read_timeout(Some(Duration::from_millis(1)))?;
    match leaves.recv_from(&mut [0; 8]) {
        Err(e) if e.kind() == ErrorKind::WouldBlock => group_measured(start),
        Err(e) => Err(e),
        Ok(_) => Err(wrong("a source that is not wanted came through")),
    }
}

fn group_measured(start: Instant) -> Checked {
    Ok(format!("{} datagrams, {:.1} ms", GROUP_SIZES.len(), start.elapsed().as_secs_f64() * 1e3))
}

fn udp_times(
    mut exchange: impl FnMut(&[u8], &mut [u8]) -> io::Result<(usize, SocketAddr)>,
    server: SocketAddr,
) -> io::Result<Vec<Duration>> {
    let mut buf = vec![0; 64 << 10];
    let mut times = Vec::new();
    for size in SIZES {
        let data = payload(size);
        let start = Instant::now();
        let (n, from) = exchange(&data, &mut buf)?;
        times.push(start.elapsed());
        if from != server || buf[..n] != data[..] {
            return Err(wrong(format!("{size} octets came back otherwise")));
        }
    }
    Ok(times)
}

fn tcp_kernel(runtime: &Runtime, ends: Ends, _: &ProgressBar) -> Checked {
    let listener = std::net::TcpListener::bind(ends.kernel(0))?;
    let to = listener.local_addr()?;
    let server = std::thread::spawn(move || -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut buf = vec![0; 64 << 10];
        loop {
            match stream.read(&mut buf)? {
                0 => return Ok(()),
                n => stream.write_all(&buf[..n])?,
            }
        }
    });
    let stream = TcpStream::connect_timeout(runtime, to, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let (reader, writer) = stream.split();
    let result = tcp_echo(reader, &writer, |w| w.shutdown(Shutdown::Write));
    server.join().map_err(|_| wrong("the kernel's end has failed"))??;
    result
}

fn tcp_stack(_: &Runtime, ends: Ends, _: &ProgressBar) -> Checked {
    let stream = std::net::TcpStream::connect_timeout(&ends.stack(7), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    tcp_echo(&stream, &stream, |w| w.shutdown(Shutdown::Write))
}

/// Sends `ECHOED` octets and their end, and wants the same back.
fn tcp_echo<W>(mut reader: impl Read + Send, writer: &W, shutdown: impl FnOnce(&W) -> io::Result<()> + Send) -> Checked
where
    W: Sync,
    for<'w> &'w W: Write,
{
    let data = payload(ECHOED);
    let start = Instant::now();
    let back = std::thread::scope(|scope| {
        let back = scope.spawn(move || {
            let mut back = Vec::new();
            reader.read_to_end(&mut back).map(|_| back)
        });
        let mut to = writer;
        to.write_all(&data)?;
        shutdown(writer)?;
        back.join().map_err(|_| wrong("the reader has failed"))?
    })?;
    if back != data {
        return Err(wrong(format!("{} of {ECHOED} octets came back, or others", back.len())));
    }
    rate(ECHOED as u64, start)
}

fn rate(octets: u64, start: Instant) -> Checked {
    let seconds = start.elapsed().as_secs_f64();
    Ok(format!("{:.2} Gbit/s ({:.2} s)", octets as f64 * 8e-9 / seconds, seconds))
}

/// A port at which nobody listens.
const CLOSED: u16 = 4;

fn closed_kernel(runtime: &Runtime, ends: Ends, _: &ProgressBar) -> Checked {
    refused(TcpStream::connect_timeout(runtime, ends.kernel(CLOSED), TIMEOUT).err())
}

fn closed_stack(_: &Runtime, ends: Ends, _: &ProgressBar) -> Checked {
    refused(std::net::TcpStream::connect_timeout(&ends.stack(CLOSED), TIMEOUT).err())
}

fn refused(error: Option<io::Error>) -> Checked {
    match error {
        Some(e) if e.kind() == ErrorKind::ConnectionRefused => Ok("refused at once".into()),
        Some(e) => Err(e),
        None => Err(wrong("it was accepted")),
    }
}

/// The kernel's sockets without pacing: what is measured is the way, not the kernel's guess of it.
fn plain(socket: impl AsFd) {
    // Without reno in the kernel, its default serves.
    let _ = sys::set_tcp_congestion(socket.as_fd(), "reno");
}

fn bulk_kernel(runtime: &Runtime, ends: Ends, bar: &ProgressBar) -> Checked {
    let listener = std::net::TcpListener::bind(ends.kernel(0))?;
    let to = listener.local_addr()?;
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let (stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            read_bulk(stream, bar)
        });
        let stream = TcpStream::connect_timeout(runtime, to, TIMEOUT)?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let start = Instant::now();
        write_bulk(&stream)?;
        stream.shutdown(Shutdown::Write)?;
        reader.join().map_err(|_| wrong("the reader has failed"))??;
        rate(BULK, start)
    })
}

fn bulk_stack(runtime: &Runtime, ends: Ends, bar: &ProgressBar) -> Checked {
    let listener = TcpListener::bind(runtime, ends.stack(0))?;
    let to = listener.local_addr()?;
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let (stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            read_bulk(stream, bar)
        });
        let stream = std::net::TcpStream::connect_timeout(&to, TIMEOUT)?;
        plain(&stream);
        stream.set_write_timeout(Some(TIMEOUT))?;
        let start = Instant::now();
        write_bulk(&stream)?;
        stream.shutdown(Shutdown::Write)?;
        reader.join().map_err(|_| wrong("the reader has failed"))??;
        rate(BULK, start)
    })
}

/// The pattern's period times a power of two, so that every chunk is the same.
const CHUNK: usize = 251 << 8;

fn write_bulk(mut to: impl Write) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    pattern(0, &mut chunk);
    let mut left = BULK;
    while left > 0 {
        let n = left.min(CHUNK as u64);
        to.write_all(&chunk[..n as usize])?;
        left -= n;
    }
    Ok(())
}

/// Reads to the end, compares every octet, and moves the bar on.
fn read_bulk(mut from: impl Read, bar: &ProgressBar) -> io::Result<()> {
    let mut expected = vec![0; 2 * CHUNK];
    pattern(0, &mut expected);
    let mut buf = vec![0; CHUNK];
    let mut at = 0u64;
    loop {
        let n = from.read(&mut buf)?;
        let offset = (at % 251) as usize;
        if buf[..n] != expected[offset..offset + n] {
            return Err(wrong(format!("other octets than sent, near {at}")));
        }
        let before = at >> 20;
        at += n as u64;
        bar.inc((at >> 20) - before);
        if n == 0 {
            return if at == BULK { Ok(()) } else { Err(wrong(format!("{at} of {BULK} octets came"))) };
        }
    }
}

fn http_stack(_: &Runtime, ends: Ends, _: &ProgressBar) -> Checked {
    let page = http(ends, "/")?;
    if !page.starts_with(b"<!doctype html>") {
        return Err(wrong("that is no status page"));
    }
    let mut expected = vec![0; 8 << 20];
    pattern(0, &mut expected);
    let start = Instant::now();
    let body = http(ends, "/bytes/8388608")?;
    let rate = rate(8 << 20, start);
    if body != expected {
        return Err(wrong("the body is damaged"));
    }
    rate
}

/// The body of an answer, without any checks but that it is a good one.
fn http(ends: Ends, target: &str) -> io::Result<Vec<u8>> {
    let mut stream = std::net::TcpStream::connect_timeout(&ends.stack(80), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    // In one piece: `write!` on a socket sends a segment per part, and Nagle holds all but the first back.
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", ends.stack(80)).as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err(wrong("the server did not answer 200"));
    }
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| wrong("its head has no end"))?;
    Ok(answer.split_off(end + 4))
}
