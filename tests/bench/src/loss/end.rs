//! The ends: a stack of ours on a stream of frames, and kernels behind taps.

use super::relay::Frames;
use ringtap::device::{Device, TxMeta};
use ringtap::event::Readiness;
use ringtap::stack::{Limits, SocketId, Stack};
use ringtap::tcp::{ConnectOptions, TcpHandle, TcpOptions};
use ringtap_host::attach::{Attachment, Carrier};
use ringtap_host::engine::{App, Engine};
use ringtap_host::pool::{HEADROOM, Lease};
use ringtap_host::tap::{Tap, TapOptions, TapPort};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const RECEIVER: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
const SENDER: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);
const PORT: u16 = 5_001;
const TAP: &str = "loss0";
/// Octets of the receiver's window.
const WINDOW: usize = 262_144;
/// Octets of a sender's buffer: enough never to be what limits, in the kernel's way of counting too.
const SEND_BUFFER: usize = 2 * WINDOW;

fn set(name: &str, value: &str) -> Result<(), String> {
    std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value).map_err(|e| format!("cannot set {name}: {e}"))
}

fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output().map_err(|e| format!("{program}: {e}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        return Err(format!("{program} {}: {}", args.join(" "), text(&output.stderr).trim()));
    }
    Ok(text(&output.stdout))
}

/// A kernel with this address behind a tap, whose frames pass the relay.
fn kernel(path: &Path, address: Ipv4Addr) -> Result<(), String> {
    // Of a buffer full of segments that came one by one, about 63 % is text.
    let buffer = WINDOW * 100 / 63;
    set("tcp_rmem", &format!("4096 {buffer} {buffer}"))?;
    set("tcp_wmem", &format!("4096 {SEND_BUFFER} {SEND_BUFFER}"))?;
    let options = TapOptions { kernel_address: Some((address, 24)), ..TapOptions::tap(TAP) };
    let port = TapPort::open(&options).map_err(|e| e.to_string())?;
    let frames = Lease::for_device(port.medium(), port.mtu());
    let tap = port.with_pool(frames.pool());
    let relay = UnixStream::connect(path).and_then(Frames::new).map_err(|e| e.to_string())?;
    std::thread::spawn(move || {
        let _frames = frames;
        pump(tap, relay);
    });
    Ok(())
}

/// Carries frames between the tap and the relay until either is gone.
fn pump(mut tap: Tap, mut relay: Frames) {
    loop {
        let Ok(frames) = relay.receive() else { return };
        let mut is_idle = frames.is_empty();
        for octets in frames {
            let Some(mut frame) = tap.pool().take(HEADROOM) else { continue };
            if frame.extend(&octets).is_some() {
                // A tap without room loses the frame, as a card would.
                let _ = tap.transmit(frame, TxMeta::default());
            }
        }
        while let Some((frame, _)) = tap.receive() {
            relay.send(&frame);
            is_idle = false;
        }
        if relay.flush().is_err() {
            return;
        }
        if is_idle {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

/// Says that it is ready, takes one connection, and says at which rate text came for so many seconds.
pub fn kernel_receives(path: &Path, seconds: u64) -> Result<(), String> {
    let failed = |e: std::io::Error| e.to_string();
    kernel(path, RECEIVER)?;
    let listener = TcpListener::bind((RECEIVER, PORT)).map_err(failed)?;
    println!("ready");
    let (mut socket, _) = listener.accept().map_err(failed)?;
    let (start, end) = (Instant::now(), Duration::from_secs(seconds));
    let mut buf = vec![0; 1 << 17];
    let mut octets = 0;
    while start.elapsed() < end {
        // A path that stands still is measured as such.
        socket
            .set_read_timeout(Some(end.saturating_sub(start.elapsed()).max(Duration::from_millis(1))))
            .map_err(failed)?;
        match socket.read(&mut buf) {
            Ok(0) => return Err("the sender has ended".into()),
            Ok(n) => octets += n,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) => {}
            Err(e) => return Err(failed(e)),
        }
    }
    println!("{:.3}", octets as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e6);
    Ok(())
}

/// Sends until it is ended.
pub fn kernel_sends(path: &Path) -> Result<(), String> {
    let failed = |e: std::io::Error| e.to_string();
    kernel(path, SENDER)?;
    // The kernel may default to BBR, which would measure something else, and a namespace may not be free to choose; a
    // route is.
    run("ip", &["route", "add", &format!("{RECEIVER}/32"), "dev", TAP, "congctl", "cubic"])?;
    let mut socket = TcpStream::connect((RECEIVER, PORT)).map_err(failed)?;
    if !run("ss", &["-tin"])?.contains("cubic") {
        return Err("the kernel does not use its CUBIC".into());
    }
    let text = vec![0x5a; 1 << 16];
    loop {
        socket.write_all(&text).map_err(failed)?;
    }
}

/// Sends on the one connection that it opens, until it is ended.
struct Bulk {
    conn: Option<TcpHandle>,
    text: Vec<u8>,
}

impl App for Bulk {
    fn on_event(&mut self, stack: &mut Stack<'static>, _: SocketId, what: Readiness) {
        let Some(Ok(mut socket)) = self.conn.map(|handle| stack.tcp(handle)) else { return };
        if what.any(Readiness::WRITE) {
            while socket.write(&self.text).is_ok() {}
        }
    }

    fn turn(&mut self, stack: &mut Stack<'static>, _: ringtap::time::Instant) -> bool {
        if self.conn.is_none() {
            let tcp = TcpOptions { rx_buffer: WINDOW, tx_buffer: SEND_BUFFER, ..TcpOptions::default() };
            let options = ConnectOptions { tcp, ..ConnectOptions::default() };
            self.conn = stack.tcp_connect((RECEIVER, PORT).into(), &options).ok();
        }
        false
    }

    fn done(&self) -> bool {
        false
    }
}

/// A stack of ours sends until it is ended.
pub fn ringtap(path: &Path) -> Result<(), String> {
    let attached = Attachment::new(Carrier::Stream(path.into())).open().map_err(|e| e.to_string())?;
    let mut engine = Engine::new(attached, Limits::default(), None).map_err(|e| e.to_string())?;
    let mut app = Bulk { conn: None, text: vec![0x5a; 1 << 16] };
    engine.run(&mut app).map(|_| ()).map_err(|e| e.to_string())
}
