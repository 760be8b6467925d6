//! One TCP connection over a tap, against the kernel: ringtap on its own loop, smoltcp on its own device.
//!
//! Each run has a network namespace of its own. The kernel's end is an ordinary socket on another thread, with CUBIC (or
//! Reno, where the system does not allow that); both stacks have 64 KiB buffers and no offload, but for `offload`, which is
//! ringtap with checksums and segments left to the kernel and taken from it.

use ringtap::event::Readiness;
use ringtap::stack::{Limits, SocketId, Stack};
use ringtap::tcp::{ListenOptions, ListenerHandle, TcpHandle, TcpOptions};
use ringtap_host::attach::{Attachment, Carrier};
use ringtap_host::engine::{App, Engine};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PORT: u16 = 5001;
const BUFFER: usize = 65_535;
const TAP: &str = "bench0";

/// Which way the bulk goes, as the stack sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Send,
    Receive,
}

/// Runs one measurement and prints Mbit/s.
pub fn run(who: &str, direction: &str, megabytes: u64) -> Result<(), String> {
    let way = match direction {
        "send" => Way::Send,
        "receive" => Way::Receive,
        _ => return Err("the direction is send or receive".into()),
    };
    let octets = megabytes * 1_000_000;
    ringtap_host::netns::enter().map_err(|e| e.to_string())?;
    // The kernel may default to BBR, which would measure something else.
    let set = |name: &str| std::fs::write("/proc/sys/net/ipv4/tcp_congestion_control", name);
    set("cubic").or_else(|_| set("reno")).map_err(|e| format!("neither CUBIC nor Reno can be set: {e}"))?;
    let done = Arc::new(AtomicBool::new(false));
    let rate = match who {
        "ringtap" => ringtap(way, octets, done, false),
        "offload" => ringtap(way, octets, done, true),
        "smoltcp" => smoltcp(way, octets, &done),
        _ => return Err("the stack is ringtap, offload (ringtap with it) or smoltcp".into()),
    }?;
    println!("{rate:.0}");
    Ok(())
}

/// The kernel's end: connects, moves the octets, and says at which rate.
fn kernel(way: Way, octets: u64) -> Result<f64, String> {
    let failed = |e: std::io::Error| e.to_string();
    let mut socket = connect()?;
    let mut buf = vec![0x5a; 1 << 17];
    let start = Instant::now();
    let mut moved = 0;
    if way == Way::Receive {
        while moved < octets {
            let n = buf.len().min((octets - moved) as usize);
            socket.write_all(&buf[..n]).map_err(failed)?;
            moved += n as u64;
        }
        socket.shutdown(Shutdown::Write).map_err(failed)?;
        // The end tells that everything has been read.
        while socket.read(&mut buf).map_err(failed)? > 0 {}
    } else {
        while moved < octets {
            match socket.read(&mut buf).map_err(failed)? {
                0 => return Err(format!("the end came after {moved} octets")),
                n => moved += n as u64,
            }
        }
    }
    Ok(moved as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e6)
}

fn connect() -> Result<TcpStream, String> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(("10.7.0.2", PORT)) {
            Ok(socket) => return Ok(socket),
            Err(e) if Instant::now() > end => return Err(format!("cannot connect: {e}")),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Sends for ever, or receives to the end, on the one connection it accepts.
struct Bulk {
    way: Way,
    listener: Option<ListenerHandle>,
    conn: Option<TcpHandle>,
    buf: Vec<u8>,
    done: Arc<AtomicBool>,
}

impl App for Bulk {
    fn on_event(&mut self, stack: &mut Stack<'static>, socket: SocketId, what: Readiness) {
        if let (SocketId::Listener(listener), true) = (socket, what.any(Readiness::ACCEPT)) {
            self.conn = stack.tcp_accept(listener).ok().map(|(handle, _)| handle);
        }
        let Some(handle) = self.conn else { return };
        let Ok(mut socket) = stack.tcp(handle) else { return };
        if self.way == Way::Send {
            while socket.write(&self.buf).is_ok() {}
            return;
        }
        loop {
            match socket.read(&mut self.buf) {
                Ok(0) => {
                    socket.close();
                    self.conn = None;
                    return;
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn turn(&mut self, stack: &mut Stack<'static>, _: ringtap::time::Instant) -> bool {
        if self.listener.is_none() {
            // smoltcp sends no timestamps here: the same options on both sides.
            let sizes = TcpOptions { rx_buffer: BUFFER, tx_buffer: BUFFER, ..TcpOptions::default() };
            let tcp = TcpOptions { timestamps: false, window_scale: false, ..sizes };
            self.listener = stack.tcp_listen(None, PORT, &ListenOptions { backlog: 8, tcp }).ok();
        }
        false
    }

    fn done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }
}

fn ringtap(way: Way, octets: u64, done: Arc<AtomicBool>, offload: bool) -> Result<f64, String> {
    let attached =
        Attachment { offload, ..Attachment::new(Carrier::Tap(TAP.into())) }.open().map_err(|e| e.to_string())?;
    let mut engine = Engine::new(attached, Limits::default(), None).map_err(|e| e.to_string())?;
    let (shared, flag) = (engine.shared(), done.clone());
    let peer = std::thread::spawn(move || {
        let rate = kernel(way, octets);
        flag.store(true, Ordering::SeqCst);
        shared.kick();
        rate
    });
    let mut app = Bulk { way, listener: None, conn: None, buf: vec![0x5a; 1 << 16], done };
    engine.run(&mut app).map_err(|e| e.to_string())?;
    peer.join().map_err(|_| "the kernel's end has failed".to_string())?
}

fn smoltcp(way: Way, octets: u64, done: &Arc<AtomicBool>) -> Result<f64, String> {
    use smoltcp::iface::{Config, Interface, SocketSet};
    use smoltcp::phy::{Medium, TunTapInterface, wait};
    use smoltcp::socket::tcp;
    use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};
    use std::os::fd::AsRawFd;

    let mut device = TunTapInterface::new(TAP, Medium::Ethernet).map_err(|e| e.to_string())?;
    address_kernel_end()?;
    let flag = done.clone();
    let peer = std::thread::spawn(move || {
        let rate = kernel(way, octets);
        flag.store(true, Ordering::SeqCst);
        rate
    });
    let mac = EthernetAddress([2, 0, 0, 0, 0, 9]);
    let now = smoltcp::time::Instant::now;
    let mut iface = Interface::new(Config::new(HardwareAddress::Ethernet(mac)), &mut device, now());
    iface.update_ip_addrs(|a| {
        let _ = a.push(IpCidr::new(std::net::Ipv4Addr::new(10, 7, 0, 2).into(), 24));
    });
    let mut sockets = SocketSet::new(Vec::new());
    let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
    let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));
    sockets.get_mut::<tcp::Socket<'_>>(handle).listen(PORT).map_err(|e| format!("{e:?}"))?;
    let mut buf = vec![0x5a; 1 << 16];
    while !done.load(Ordering::SeqCst) {
        iface.poll(now(), &mut device, &mut sockets);
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        while way == Way::Receive && socket.can_recv() {
            let _ = socket.recv_slice(&mut buf);
        }
        while way == Way::Send && socket.can_send() {
            let _ = socket.send_slice(&buf);
        }
        if way == Way::Receive && !socket.may_recv() && socket.may_send() {
            socket.close();
        }
        // What the program has just done may have to be sent before there is anything to wait for.
        let delay = iface.poll_delay(now(), &sockets).map_or(Duration::from_millis(50), Into::into);
        if !delay.is_zero() {
            let delay = delay.min(Duration::from_millis(50));
            wait(device.as_raw_fd(), Some(delay.into())).map_err(|e| e.to_string())?;
        }
    }
    peer.join().map_err(|_| "the kernel's end has failed".to_string())?
}

/// Gives the kernel's end of the tap its address, and brings it up.
fn address_kernel_end() -> Result<(), String> {
    for args in [&["addr", "add", "10.7.0.1/24", "dev", TAP][..], &["link", "set", TAP, "up"]] {
        let status = Command::new("ip").args(args).status().map_err(|e| format!("ip: {e}"))?;
        if !status.success() {
            return Err(format!("ip {} failed", args.join(" ")));
        }
    }
    Ok(())
}
