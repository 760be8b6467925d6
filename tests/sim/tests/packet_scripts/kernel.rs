//! The Linux kernel as a host of scripts: behind a tun, in a namespace of the test's own.

use ringtap::device::{Device, TxMeta};
use ringtap_host::netns;
use ringtap_host::pool::{HEADROOM, Lease};
use ringtap_host::tap::{Tap, TapOptions, TapPort};
use ringtap_sim::bench::{H, P};
use ringtap_sim::packet::{self, Ip, Seen, Tcp};
use ringtap_sim::script::{Ending, HOST_PORT, Host, Note, PEER_PORT, Settings};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

const INSIDE: &str = "RINGTAP_TEST_IN_NAMESPACE";

/// Long enough for whatever is not stuck, on a busy machine too.
const LIMIT: Duration = Duration::from_secs(60);

/// How often the tun is looked at.
const PAUSE: Duration = Duration::from_millis(1);

/// Starts this test binary again, in a private namespace, for this test alone; there, `case` is run.
pub fn in_own_namespace(test: &str, case: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return case();
    }
    let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
    command.args([test, "--exact", "--nocapture"]).env(INSIDE, "1");
    let output = netns::in_child(&mut command).output().expect("a private namespace (see `ringtap doctor`)");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

/// The kernel's default may be an algorithm that paces its segments.
fn choose_cubic<'s>(socket: impl Into<SockRef<'s>>) {
    socket.into().set_tcp_congestion(b"cubic").expect("CUBIC");
}

/// The kernel and its user.
pub struct KernelHost {
    tun: Tap,
    listener: Option<TcpListener>,
    stream: Option<TcpStream>,
    settings: Settings,
    /// The peer's port: one of its own, since the kernel keeps what is left of the connections of other scripts.
    port: u16,
    /// When the last thing was done to it.
    since: Instant,
    _frames: Lease,
}

impl KernelHost {
    /// A tun of this number, whose other end is H.
    pub fn new(number: u8) -> Self {
        let name = format!("script{number}");
        let port =
            TapPort::open(&TapOptions { kernel_address: Some((H, 24)), ..TapOptions::tun(name) }).expect("a tun");
        let frames = Lease::for_device(port.medium(), port.mtu());
        let tun = port.with_pool(frames.pool());
        let (listener, stream, settings, port) = (None, None, Settings::default(), PEER_PORT + u16::from(number));
        Self { tun, listener, stream, settings, port, since: Instant::now(), _frames: frames }
    }

    fn acted(&mut self) {
        self.since = Instant::now();
    }

    fn set(&mut self, stream: &TcpStream) {
        stream.set_nodelay(self.settings.no_nagle).expect("an option");
        if let Some((idle, interval, count)) = self.settings.keep_alive {
            let seconds = |n: u32| Duration::from_secs(n.into());
            let keep = TcpKeepalive::new().with_time(seconds(idle)).with_interval(seconds(interval));
            SockRef::from(stream).set_tcp_keepalive(&keep.with_retries(count.into())).expect("an option");
        }
    }

    /// A segment that has left, if there is one.
    fn left(&mut self) -> Option<Note> {
        loop {
            let (frame, _) = self.tun.receive()?;
            // The kernel also speaks of groups and of IPv6 here.
            if frame.first() != Some(&0x45) {
                continue;
            }
            if let Seen::Tcp(H, P, segment) = packet::read_ip(&frame)
                && segment.dst == self.port
            {
                return Some(Note { at: self.since.elapsed(), segment: Tcp { dst: PEER_PORT, ..segment } });
            }
        }
    }

    fn stream(&mut self) -> &mut TcpStream {
        self.stream.as_mut().expect("a connection, opened or accepted")
    }
}

impl Host for KernelHost {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn listen(&mut self, settings: Settings) {
        self.settings = settings;
        let listener = TcpListener::bind((H, HOST_PORT)).expect("a free port");
        choose_cubic(&listener);
        listener.set_nonblocking(true).expect("an option");
        self.listener = Some(listener);
    }

    fn connect(&mut self, settings: Settings) {
        self.settings = settings;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("an option");
        socket.set_reuse_address(true).expect("an option");
        choose_cubic(&socket);
        socket.bind(&SocketAddr::from((H, HOST_PORT)).into()).expect("a free port");
        self.acted();
        let begun = socket.connect(&SocketAddr::from((P, self.port)).into());
        assert!(begun.is_err_and(|e| e.raw_os_error() == Some(libc::EINPROGRESS)));
        let stream = TcpStream::from(socket);
        self.set(&stream);
        self.stream = Some(stream);
    }

    fn accept(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if let Some(Ok((stream, _))) = self.listener.as_ref().map(TcpListener::accept) {
                stream.set_nonblocking(true).expect("an option");
                self.acted();
                self.set(&stream);
                self.stream = Some(stream);
                return true;
            }
            std::thread::sleep(PAUSE);
        }
        false
    }

    fn give(&mut self, segment: &Tcp) {
        let segment = Tcp { src: self.port, ..segment.clone() };
        let packet = Ip::new(P, H, 6).build(&segment.build(P, H));
        let mut frame = self.tun.pool().take(HEADROOM).expect("a free frame");
        frame.extend(&packet).expect("room for the packet");
        self.acted();
        self.tun.transmit(frame, TxMeta::default()).expect("room");
    }

    fn next(&mut self, wait: Duration) -> Option<Note> {
        let start = Instant::now();
        while start.elapsed() < wait + LIMIT {
            if let Some(note) = self.left() {
                return Some(note);
            }
            std::thread::sleep(PAUSE);
        }
        None
    }

    fn pass(&mut self, time: Duration) -> Vec<Note> {
        std::thread::sleep(time);
        std::iter::from_fn(|| self.left()).collect()
    }

    fn write(&mut self, text: &[u8]) -> usize {
        self.acted();
        self.stream().write(text).unwrap_or(0)
    }

    fn read(&mut self, most: usize) -> Option<Result<Vec<u8>, Ending>> {
        let mut buf = vec![0; most];
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            match self.stream().read(&mut buf).map_err(|e| e.kind()) {
                Ok(n) => return Some(Ok(buf[..n].to_vec())),
                Err(ErrorKind::ConnectionReset) => return Some(Err(Ending::Reset)),
                Err(ErrorKind::ConnectionRefused) => return Some(Err(Ending::Refused)),
                Err(ErrorKind::TimedOut) => return Some(Err(Ending::TimedOut)),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
        None
    }

    fn shutdown(&mut self) {
        self.acted();
        self.stream().shutdown(Shutdown::Write).expect("open");
    }

    fn close(&mut self) {
        self.acted();
        self.stream = None;
    }
}
