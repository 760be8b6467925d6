//! `ringtap nc`: stdin and stdout over a connection (or datagrams) of the stack.

use crate::cli::NcArgs;
use crate::resolve::reach;
use ringtap_host::failure::Failure;
use ringtap_host::runtime::{Runtime, TcpStream, UdpSocket};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long answers to the last datagram are waited for.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Octets moved at a time.
const CHUNK: usize = 64 << 10;

/// Carries stdin to the peer and the peer to stdout, until the peer ends.
pub fn run(args: NcArgs) -> Result<ExitCode, Failure> {
    let (runtime, addresses) = reach(args.device, &args.host, args.family.wanted())?;
    let to = SocketAddr::new(addresses.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into()), args.port);
    let done = if args.udp { datagrams(&runtime, to) } else { stream(&runtime, &addresses, args.port) };
    let proto = if args.udp { "udp" } else { "tcp" };
    done.map_err(|e| Failure::io(format_args!("{proto} {to}"), &e))?;
    Ok(ExitCode::SUCCESS)
}

fn stream(runtime: &Runtime, addresses: &[IpAddr], port: u16) -> io::Result<()> {
    let stream = TcpStream::connect_any(runtime, addresses, port, None)?;
    let (mut reader, mut writer) = stream.split();
    // Stays behind when the peer ends first: a read of stdin cannot be called off.
    let sender = std::thread::spawn(move || {
        let sent = io::copy(&mut io::stdin().lock(), &mut writer);
        let _ = writer.shutdown(Shutdown::Write);
        sent
    });
    copy_out(|buf| reader.read(buf))?;
    if sender.is_finished() {
        sender.join().map_err(|_| io::Error::other("the sender has failed"))??;
    }
    Ok(())
}

/// Writes to stdout what `read` gives, until that is nothing.
fn copy_out(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut buf = vec![0; CHUNK];
    loop {
        let n = read(&mut buf)?;
        if n == 0 {
            return Ok(());
        }
        out.write_all(&buf[..n])?;
        out.flush()?;
    }
}

fn datagrams(runtime: &Runtime, to: SocketAddr) -> io::Result<()> {
    let any = if to.is_ipv6() { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind(runtime, SocketAddr::new(any, 0))?;
    socket.connect(to)?;
    let ended = Arc::new(AtomicBool::new(false));
    let (sending, at_end) = (socket.try_clone()?, Arc::clone(&ended));
    std::thread::spawn(move || {
        let mut buf = vec![0; CHUNK];
        let mut input = io::stdin().lock();
        while let Ok(n) = input.read(&mut buf)
            && n > 0
        {
            // A refusal is told to the receiving side, too.
            let _ = sending.send(&buf[..n]);
        }
        at_end.store(true, Ordering::Relaxed);
    });
    socket.set_read_timeout(Some(LAST_WAIT))?;
    let mut out = io::stdout().lock();
    let mut buf = vec![0; CHUNK];
    loop {
        match socket.recv(&mut buf) {
            Ok(n) => {
                out.write_all(&buf[..n])?;
                out.flush()?;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                if ended.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
            Err(e) => return Err(e),
        }
    }
}
