//! The blocking face: a program that only makes blocking calls, against a peer that runs while the program sleeps.

use embedded_io::{BufRead, Error as _, ErrorKind, Read, ReadReady, Write, WriteReady};
use ringtap::blocking::{Net, OpenError, PingError, Port, System};
use ringtap::config::Config;
use ringtap::device::{Capabilities, Device, Loopback, Mac, Medium, RxMeta, TxMeta};
use ringtap::error::{AcceptError, RecvError, SendError, TcpError};
use ringtap::event::Readiness;
use ringtap::frame::{BoxedPool, Frame, Pool};
use ringtap::ip::addr::Cidr;
use ringtap::rng::Secret;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{Event, Limits, SocketId, Stack, Storage};
use ringtap::tcp::{ConnectOptions, ListenOptions, ListenerHandle, State, TcpHandle, TcpOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::{App, Bulk, Host, Pattern};
use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

const US: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
/// One way.
const DELAY: Duration = Duration::from_millis(1);

/// The peer, what is under way, and the time.
struct World {
    now: Instant,
    peer: Host,
    to_peer: VecDeque<(Instant, Vec<u8>)>,
    to_us: VecDeque<(Instant, Vec<u8>)>,
    /// Lengths of the TCP texts that we have sent.
    texts: Vec<usize>,
    /// Whether the wire is cut.
    cut: bool,
    /// Frames the card still takes.
    room: usize,
    /// Sleeps so far, and until when the last was to last.
    sleeps: usize,
    until: Option<Instant>,
    /// Ends each sleep after this long, for no reason of the network's.
    alarm: Option<Duration>,
}

impl World {
    fn next(&self) -> Option<Instant> {
        let arrivals = [&self.to_peer, &self.to_us].into_iter().filter_map(|q| q.front().map(|f| f.0));
        arrivals.chain(self.peer.next).min()
    }

    /// Lets the peer do what it has to do by now.
    fn run_peer(&mut self) {
        while self.to_peer.front().is_some_and(|f| f.0 <= self.now) {
            self.peer.nic.rx.extend(self.to_peer.pop_front().map(|f| f.1));
        }
        if !self.peer.nic.rx.is_empty() || self.peer.next.is_some_and(|at| at <= self.now) {
            self.peer.run(self.now).expect("the peer does not spin");
        }
        for frame in self.peer.nic.tx.drain(..) {
            if !self.cut {
                self.to_us.push_back((self.now + DELAY, frame));
            }
        }
        for app in &self.peer.apps {
            assert_eq!(app.failure(), None);
        }
    }
}

#[derive(Clone)]
struct Shared(Rc<RefCell<World>>);

impl System for Shared {
    fn now(&mut self) -> Instant {
        self.0.borrow().now
    }

    fn idle(&mut self, until: Option<Instant>) {
        let mut world = self.0.borrow_mut();
        let world = &mut *world;
        world.sleeps += 1;
        world.until = until;
        let alarm = world.alarm.map(|after| world.now + after);
        let end = until.into_iter().chain(alarm).min();
        assert!(until.is_none_or(|at| at > world.now), "a sleep that ends before it begins");
        loop {
            world.run_peer();
            let next = world.next();
            if world.to_us.front().is_some_and(|f| f.0 <= world.now) {
                return;
            }
            match next.into_iter().chain(end).min() {
                None => panic!("asleep for ever at {}", world.now),
                Some(at) if end.is_some_and(|end| at >= end) => {
                    world.now = world.now.max(at);
                    return;
                }
                Some(at) => world.now = world.now.max(at),
            }
        }
    }
}

/// Our card.
struct Card {
    world: Shared,
    pool: Pool<'static>,
}

impl Device<'static> for Card {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ethernet, 1500)
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        let mut world = self.world.0.borrow_mut();
        let due = world.to_us.front().is_some_and(|f| f.0 <= world.now);
        let (_, bytes) = if due { world.to_us.pop_front()? } else { return None };
        let mut frame = self.pool.take(0).expect("a frame");
        frame.extend(&bytes).expect("room");
        Some((frame, RxMeta::default()))
    }

    fn transmit(&mut self, frame: Frame<'static>, _meta: TxMeta) -> Result<(), Frame<'static>> {
        let mut world = self.world.0.borrow_mut();
        if world.room == 0 {
            return Err(frame);
        }
        world.room -= 1;
        if let ringtap_sim::packet::Seen::Tcp(_, _, segment) = ringtap_sim::packet::read(&frame)
            && !segment.payload.is_empty()
        {
            world.texts.push(segment.payload.len());
        }
        let at = world.now + DELAY;
        if !world.cut {
            world.to_peer.push_back((at, frame.to_vec()));
        }
        Ok(())
    }
}

type Ours = Net<'static, Port<Card>, Shared>;

fn pool(frames: usize) -> Pool<'static> {
    let pool: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(1600, frames)));
    pool.pool()
}

/// Us, with nothing but blocking calls, and the world, where these programs run on the peer.
fn net(apps: Vec<Box<dyn App>>) -> (Ours, Shared) {
    let mut peer = Host::new(2, 7, 256, 1500);
    peer.apps = apps;
    let world = World {
        now: Instant::from_secs(5),
        peer,
        to_peer: VecDeque::new(),
        to_us: VecDeque::new(),
        texts: Vec::new(),
        cut: false,
        room: usize::MAX,
        sleeps: 0,
        until: None,
        alarm: None,
    };
    let world = Shared(Rc::new(RefCell::new(world)));
    let mut stack = Stack::new(Config::new(Secret::new([3; 16])), Storage::growing(Limits::default()));
    let card = Card { world: world.clone(), pool: pool(64) };
    let port = Port::attach(&mut stack, card, Host::mac(1)).expect("room");
    stack.add_address(port.iface(), Cidr::new(US, 24).unwrap()).unwrap();
    (Net::new(stack, port, world.clone()), world)
}

fn server(to_send: u64, to_receive: u64) -> Box<dyn App> {
    Box::new(Bulk::server(7, to_send, to_receive, TcpOptions::default()))
}

/// A server that reads in silence until the end, and then closes.
#[derive(Default)]
struct Sink {
    listener: Option<ListenerHandle>,
    conn: Option<TcpHandle>,
    text: Vec<u8>,
    end: Option<Result<(), TcpError>>,
}

impl App for Sink {
    fn run(&mut self, _now: Instant, stack: &mut Stack<'static>) -> bool {
        let listener = *self
            .listener
            .get_or_insert_with(|| stack.tcp_listen(None, 7, &ListenOptions::default()).expect("a free port"));
        if self.conn.is_none() {
            self.conn = stack.tcp_accept(listener).ok().map(|(handle, _)| handle);
        }
        let Some(mut socket) = self.conn.and_then(|c| stack.tcp(c).ok()) else { return false };
        let mut buf = [0; 100];
        match socket.read(&mut buf) {
            Ok(0) => self.end = Some(Ok(())),
            Ok(len) => self.text.extend_from_slice(&buf[..len]),
            Err(TcpError::WouldBlock) => return false,
            Err(error) => self.end = Some(Err(error)),
        }
        if self.end.is_some() {
            socket.close();
        }
        true
    }

    fn is_done(&self) -> bool {
        self.end.is_some()
    }
}

/// What the peer's sink has read, and how that ended.
fn sunk(world: &Shared) -> (String, Option<Result<(), TcpError>>) {
    let world = world.0.borrow();
    let app: &dyn Any = world.peer.apps[0].as_ref();
    let sink = app.downcast_ref::<Sink>().expect("a sink");
    (String::from_utf8(sink.text.clone()).expect("text"), sink.end)
}

fn peer(port: u16) -> SocketAddr {
    SocketAddr::new(PEER, port)
}

/// No frame in use, and no connection left once TIME-WAIT is over.
fn is_empty(net: &mut Ours) {
    net.sleep(Duration::from_secs(200));
    assert_eq!(net.stack().tcp_connections() + net.stack().tcp_time_waits(), 0);
    let pool = net.ports().device().pool;
    assert_eq!(pool.free(), pool.count());
}

#[test]
fn a_program_of_blocking_calls_sends_and_receives_in_order() {
    const OUT: u64 = 300_000;
    const BACK: u64 = 200_000;
    let (mut net, world) = net(vec![server(BACK, OUT)]);
    let small = TcpOptions { rx_buffer: 4000, tx_buffer: 3000, ..TcpOptions::default() };
    let options = ConnectOptions { tcp: small, ..ConnectOptions::default() };
    let mut stream = net.tcp_connect(peer(7), &options).unwrap();
    let (mut out, mut back) = (Pattern::default(), Pattern::default());
    let mut buf = [0; 5000];
    while out.at < OUT {
        let len = buf.len().min((OUT - out.at) as usize);
        out.fill(&mut buf[..len]);
        stream.write_all(&buf[..len]).unwrap();
        out.at += len as u64;
        // Half of it by copy, half in place.
        let len = Read::read(&mut stream, &mut buf).unwrap();
        back.check(&buf[..len]).unwrap();
        let text = stream.fill_buf().unwrap();
        back.check(text).unwrap();
        let len = text.len();
        stream.consume(len);
    }
    stream.shutdown().unwrap();
    loop {
        let len = stream.read(&mut buf[..700]).unwrap();
        if len == 0 {
            break;
        }
        back.check(&buf[..len]).unwrap();
    }
    assert_eq!(back.at, BACK);
    assert!(stream.fill_buf().unwrap().is_empty(), "the end is the end");
    drop(stream);
    is_empty(&mut net);
    assert!(world.0.borrow().peer.apps[0].is_done());
}

#[test]
fn a_program_of_blocking_calls_serves_one_client_after_another() {
    let remote = SocketAddr::new(US, 7);
    let clients = (0..5).map(|_| Box::new(Bulk::client(remote, 9000, 9000, TcpOptions::default())) as Box<dyn App>);
    let (mut net, world) = net(clients.collect());
    let listener = net.stack().tcp_listen(None, 7, &ListenOptions::default()).unwrap();
    let mut buf = [0; 512];
    for _ in 0..5 {
        let (mut stream, from) = net.tcp_accept(listener).unwrap();
        assert_eq!(from.ip(), PEER);
        assert_eq!(stream.peer_addr(), Some(from));
        assert_eq!(stream.local_addr(), Some(remote));
        // The clients send the pattern and expect it: an echo.
        loop {
            match stream.read(&mut buf).unwrap() {
                0 => break,
                len => stream.write_all(&buf[..len]).unwrap(),
            }
        }
    }
    is_empty(&mut net);
    assert!(world.0.borrow().peer.apps.iter().all(|a| a.is_done()));
}

#[test]
fn each_call_ends_when_its_time_is_up_and_has_changed_nothing() {
    let (mut net, world) = net(vec![Box::new(Sink::default())]);
    net.set_timeout(Some(Duration::from_secs(3)));
    let listener = net.stack().tcp_listen(None, 7, &ListenOptions::default()).unwrap();
    let udp = net.stack().udp_bind(None, 9, &UdpOptions::default()).unwrap();
    let echo = net.stack().icmp_bind(None).unwrap();
    let from = net.now();
    assert_eq!(net.tcp_accept(listener).err(), Some(AcceptError::WouldBlock));
    assert_eq!(net.now(), from + Duration::from_secs(3));
    assert_eq!(net.udp(udp).unwrap().recv_from(&mut [0; 9]).err(), Some(RecvError::WouldBlock));
    assert_eq!(net.now(), from + Duration::from_secs(6));
    assert_eq!(net.icmp(echo).unwrap().recv(&mut [0; 9]).err(), Some(RecvError::WouldBlock));
    assert_eq!(net.now(), from + Duration::from_secs(9));

    let mut stream = net.tcp_connect(peer(7), &ConnectOptions::default()).unwrap();
    let from = world.0.borrow().now;
    assert_eq!(stream.read(&mut [0; 9]), Err(TcpError::WouldBlock));
    assert_eq!(world.0.borrow().now, from + Duration::from_secs(3));
    stream.set_timeout(Some(Duration::from_millis(500)));
    world.0.borrow_mut().cut = true;
    stream.write_all(b"abc").unwrap();
    let from = world.0.borrow().now;
    assert_eq!(stream.flush(), Err(TcpError::WouldBlock));
    assert_eq!(world.0.borrow().now, from + Duration::from_millis(500));
    world.0.borrow_mut().cut = false;
    stream.set_timeout(None);
    stream.flush().unwrap();
    drop(stream);

    // Nobody answers: no connection is left of it.
    net.sleep(Duration::from_secs(1));
    let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 77)), 7);
    let before = net.stack().tcp_connections();
    let from = net.now();
    let error = net.tcp_connect(nobody, &ConnectOptions::default()).err().unwrap();
    assert_eq!((error, error.kind()), (OpenError::Tcp(TcpError::TimedOut), ErrorKind::TimedOut));
    assert_eq!(net.now(), from + Duration::from_secs(3));
    assert_eq!(net.stack().tcp_connections(), before);
    // The first unanswered call gives up only when the stack does, which has a time-out of its own.
    net.set_timeout(None);
    let error = net.tcp_connect(nobody, &ConnectOptions::default()).err().unwrap();
    assert_eq!(error, OpenError::Tcp(TcpError::TimedOut));
    net.stack().tcp_unlisten(listener).unwrap();
    is_empty(&mut net);
}

#[test]
fn a_refused_connection_is_told_as_such() {
    let (mut net, _) = net(Vec::new());
    let error = net.tcp_connect(peer(81), &ConnectOptions::default()).err().unwrap();
    assert_eq!((error, error.kind()), (OpenError::Tcp(TcpError::Refused), ErrorKind::ConnectionRefused));
    let error = net.tcp_connect("192.0.2.1:7".parse().unwrap(), &ConnectOptions::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "no route to the host");
    is_empty(&mut net);
}

#[test]
fn the_pieces_of_one_call_leave_in_one_segment_and_at_once() {
    let (mut net, world) = net(vec![Box::new(Sink::default())]);
    let mut stream = net.tcp_connect(peer(7), &ConnectOptions::default()).unwrap();
    let (one, others) = ("one", "others");
    write!(stream, "{one}, {:03} and {others}", 7).unwrap();
    assert_eq!(world.0.borrow().texts, [19]);
    stream.flush().unwrap();
    stream.write_all(b"further").unwrap();
    assert_eq!(world.0.borrow().texts, [19, 7]);
    drop(stream);
    is_empty(&mut net);
    assert_eq!(sunk(&world), ("one, 007 and othersfurther".into(), Some(Ok(()))));
}

#[test]
fn a_stream_that_was_opened_closes_when_dropped_and_one_that_was_detached_does_not() {
    let (mut net, world) = net(vec![Box::new(Sink::default())]);
    let mut stream = net.tcp_connect(peer(7), &ConnectOptions::default()).unwrap();
    stream.write_all(b"hello").unwrap();
    let handle = stream.detach();
    net.sleep(Duration::from_secs(1));
    drop(net.tcp(handle).unwrap());
    net.sleep(Duration::from_secs(1));
    // The view of a handle is no owner.
    let mut stream = net.tcp(handle).unwrap();
    assert_eq!(stream.socket().unwrap().state(), State::Established);
    assert_eq!(sunk(&world), ("hello".into(), None));
    stream.close();
    assert!(net.tcp(handle).is_err());
    net.sleep(Duration::from_secs(1));
    assert_eq!(sunk(&world).1, Some(Ok(())));
    is_empty(&mut net);
}

#[test]
fn an_aborted_stream_resets() {
    let (mut net, world) = net(vec![Box::new(Sink::default())]);
    let stream = net.tcp_connect(peer(7), &ConnectOptions::default()).unwrap();
    let handle = stream.detach();
    // The peer accepts it.
    net.sleep(Duration::from_secs(1));
    net.tcp(handle).unwrap().abort();
    assert_eq!(net.stack().tcp_connections(), 0);
    net.sleep(Duration::from_secs(1));
    assert_eq!(sunk(&world).1, Some(Err(TcpError::Reset)));
}

#[test]
fn the_network_runs_during_a_sleep_and_the_program_does_not_spin() {
    let remote = SocketAddr::new(US, 7);
    let client = Bulk::client(remote, 0, 0, TcpOptions::default());
    let (mut net, world) = net(vec![Box::new(client)]);
    let listener = net.stack().tcp_listen(None, 7, &ListenOptions::default()).unwrap();
    let from = net.now();
    net.sleep(Duration::from_secs(10));
    assert_eq!(net.now(), from + Duration::from_secs(10));
    assert!(net.stack().tcp_acceptable(listener), "the handshake was answered meanwhile");
    // ARP, SYN, ACK, FIN and their timers, nothing more.
    let sleeps = world.0.borrow().sleeps;
    assert!(sleeps < 12, "{sleeps} sleeps");
    net.set_timeout(Some(Duration::ZERO));
    drop(net.tcp_accept(listener).expect("it waits"));
    assert_eq!(net.tcp_accept(listener).err(), Some(AcceptError::WouldBlock), "no time is no endless time");
}

#[test]
fn a_wait_ends_with_an_event_or_another_interrupt_or_in_time() {
    let (mut net, world) = net(vec![server(10, 0)]);
    let handle = net.tcp_connect(peer(7), &ConnectOptions::default()).unwrap().detach();
    let mut text = [0; 10];
    // A loop that looks at its socket each time round sleeps in between, and misses nothing.
    let mut got = 0;
    let mut rounds = 0;
    while got < 10 {
        got += net.stack().tcp(handle).unwrap().read(&mut text).unwrap_or(0);
        if got < 10 {
            net.wait(None);
        }
        rounds += 1;
        assert!(rounds < 10);
    }
    net.sleep(Duration::from_secs(1));
    while net.next_event(Some(Instant::ZERO)).is_some() {}
    let from = net.now();
    let until = from + Duration::from_secs(2);
    net.wait(Some(until));
    assert_eq!((net.now(), world.0.borrow().until), (until, Some(until)));
    // Somebody pressed a button.
    world.0.borrow_mut().alarm = Some(Duration::from_millis(5));
    net.wait(None);
    assert_eq!(net.now(), until + Duration::from_millis(5));
    assert!(net.next_event(None).is_none());
    assert_eq!(net.now(), until + Duration::from_millis(10));
    // But a call that waits for something goes on waiting.
    let udp = net.stack().udp_bind(None, 9, &UdpOptions::default()).unwrap();
    net.set_timeout(Some(Duration::from_secs(1)));
    assert_eq!(net.udp(udp).unwrap().recv().err(), Some(RecvError::WouldBlock));
    assert_eq!(net.now(), until + Duration::from_millis(1010));
}

#[test]
fn what_changed_during_a_blocking_call_is_told_after_it() {
    let remote = SocketAddr::new(US, 7);
    let client = Bulk::client(remote, 5, 0, TcpOptions::default());
    let (mut net, _world) = net(vec![Box::new(client)]);
    let listener = net.stack().tcp_listen(None, 7, &ListenOptions::default()).unwrap();
    net.sleep(Duration::from_secs(1));
    let mut events = core::iter::from_fn(|| net.next_event(Some(Instant::ZERO)));
    let of_listener = |e: &Event| e.socket == SocketId::Listener(listener) && e.what.any(Readiness::ACCEPT);
    assert!(events.any(|event| of_listener(&event)));
    // When all is told, nothing changes any more.
    events.for_each(drop);
    let until = net.now() + Duration::from_secs(1);
    assert!(net.next_event(Some(until)).is_none());
    assert_eq!(net.now(), until);
}

#[test]
fn a_condition_of_the_users_own_is_waited_for() {
    let (mut net, _world) = net(vec![server(1, 0)]);
    let handle = net.tcp_connect(peer(7), &ConnectOptions::default()).unwrap().detach();
    let state = net.block_on(None, |stack| {
        let state = stack.tcp(handle).map_or(State::Closed, |s| s.state());
        (state != State::Established).then_some(state)
    });
    assert_eq!(state, Some(State::CloseWait));
    let from = net.now();
    assert_eq!(net.block_on(Some(Duration::from_secs(1)), |_| None::<()>), None);
    assert_eq!(net.now(), from + Duration::from_secs(1));
}

/// Sends what it gets back.
struct UdpEcho(Option<ringtap::sockets::UdpHandle>);

impl App for UdpEcho {
    fn run(&mut self, _now: Instant, stack: &mut Stack<'static>) -> bool {
        let handle = *self.0.get_or_insert_with(|| stack.udp_bind(None, 7, &UdpOptions::default()).unwrap());
        let mut socket = stack.udp(handle).unwrap();
        let mut buf = [0; 1500];
        let Ok(received) = socket.recv_from(&mut buf) else { return false };
        socket.reply(&received, &buf[..received.len]).unwrap();
        true
    }

    fn is_done(&self) -> bool {
        true
    }
}

#[test]
fn datagrams_go_out_and_come_back() {
    let (mut net, world) = net(vec![Box::new(UdpEcho(None))]);
    let handle = net.stack().udp_bind(None, 0, &UdpOptions { tx_queue: 2, ..UdpOptions::default() }).unwrap();
    let mut socket = net.udp(handle).unwrap();
    let mut buf = [0; 100];
    for n in 0..20_u8 {
        socket.send_to(&[n; 60], peer(7)).unwrap();
        let received = socket.recv_from(&mut buf).unwrap();
        assert_eq!((received.from, &buf[..received.len]), (peer(7), &[n; 60][..]));
    }
    socket.socket().unwrap().connect(peer(7)).unwrap();
    socket.send(b"by name").unwrap();
    let (frame, received) = socket.recv().unwrap();
    assert_eq!((received.len, &frame[..]), (7, &b"by name"[..]));
    socket.reply(&received, &frame).unwrap();
    drop(frame);
    assert_eq!(socket.recv_from(&mut buf).unwrap().len, 7);

    // A card without room: the queue fills, and a send waits until there is some.
    world.0.borrow_mut().room = 0;
    socket.set_timeout(Some(Duration::from_millis(100)));
    let mut queued = 0;
    let from = world.0.borrow().now;
    let error = loop {
        match socket.send(b"waits") {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
        assert!(queued < 10);
    };
    assert_eq!(error, SendError::WouldBlock);
    assert!((from + Duration::from_millis(100)..from + Duration::from_millis(200)).contains(&world.0.borrow().now));
    world.0.borrow_mut().room = usize::MAX;
    socket.set_timeout(None);
    socket.send(b"waits").unwrap();
    for _ in 0..=queued {
        assert_eq!(socket.recv_from(&mut buf).unwrap().len, 5);
    }
    socket.close();
    assert!(net.udp(handle).is_err());
    is_empty(&mut net);
}

#[test]
fn a_ping_is_timed_and_one_that_is_lost_ends_in_time() {
    let (mut net, world) = net(Vec::new());
    let handle = net.stack().icmp_bind(None).unwrap();
    let mut echo = net.icmp(handle).unwrap();
    echo.set_timeout(Some(Duration::from_secs(1)));
    // The first waits for the peer to be found, too.
    assert!(echo.ping(PEER, 1, &[9; 100]).is_ok_and(|time| time > DELAY * 2));
    assert_eq!(echo.ping(PEER, 2, &[9; 100]), Ok(DELAY * 2));
    assert_eq!(echo.ping(PEER, 3, &[9; 1472]), Ok(DELAY * 2));
    world.0.borrow_mut().cut = true;
    assert_eq!(echo.ping(PEER, 4, b"lost"), Err(PingError::TimedOut));
    world.0.borrow_mut().cut = false;
    // An answer that is late is not taken for that to the next.
    echo.set_timeout(Some(DELAY));
    assert_eq!(echo.ping(PEER, 5, b"slow"), Err(PingError::TimedOut));
    echo.set_timeout(Some(Duration::from_secs(1)));
    assert_eq!(echo.ping(PEER, 6, b"next"), Ok(DELAY * 2));
    let nowhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(echo.ping(nowhere, 7, b""), Err(PingError::Send(SendError::NoRoute)));
    echo.close();
    assert!(net.icmp(handle).is_err());
    is_empty(&mut net);
}

#[test]
fn a_loop_around_a_readiness_question_comes_to_an_end() {
    let (mut net, world) = net(vec![server(5, 100_000)]);
    let tcp = TcpOptions { tx_buffer: 4096, ..TcpOptions::default() };
    let mut stream = net.tcp_connect(peer(7), &ConnectOptions { tcp, ..ConnectOptions::default() }).unwrap();
    let tick = || {
        let mut world = world.0.borrow_mut();
        world.now += DELAY;
        world.run_peer();
    };
    let mut asked = 0;
    while !stream.read_ready().unwrap() {
        tick();
        asked += 1;
        assert!(asked < 100);
    }
    assert_eq!(stream.read(&mut [0; 9]), Ok(5));
    let mut sent = Pattern::default();
    let mut buf = [0; 1000];
    while sent.at < 100_000 {
        while !stream.write_ready().unwrap() {
            tick();
            asked += 1;
            assert!(asked < 1000);
        }
        sent.fill(&mut buf);
        let room = buf.len().min((100_000 - sent.at) as usize);
        sent.at += Write::write(&mut stream, &buf[..room]).unwrap() as u64;
    }
    drop(stream);
    assert_eq!(world.0.borrow().sleeps, 3, "connecting slept for ARP, the SYN|ACK and nothing else");
    is_empty(&mut net);
    assert!(world.0.borrow().peer.apps[0].is_done());
}

#[test]
fn several_devices_are_served_by_one_call() {
    let (net, world) = net(vec![server(3, 3)]);
    let (mut stack, port, _) = net.into_parts();
    let pools = [pool(16), pool(16)];
    let loops = pools.map(|pool| {
        let device: Loopback<'static, 8> = Loopback::new(pool, 1500);
        Port::attach(&mut stack, device, Mac::default()).unwrap()
    });
    let mut addresses = Vec::new();
    for (n, port) in loops.iter().enumerate() {
        let address = IpAddr::V4(Ipv4Addr::new(172, 16, n as u8, 1));
        stack.add_address(port.iface(), Cidr::new(address, 24).unwrap()).unwrap();
        addresses.push(SocketAddr::new(address, 99));
    }
    let [one, two] = loops;
    let mut net = Net::new(stack, (one, (port, two)), world.clone());
    let listener = net.stack().tcp_listen(None, 99, &ListenOptions::default()).unwrap();
    let mut stream = net.tcp_connect(peer(7), &ConnectOptions::default()).unwrap();
    let pattern = Pattern::default();
    stream.write_all(&[pattern.octet(0), pattern.octet(1), pattern.octet(2)]).unwrap();
    let mut text = [0; 3];
    stream.read_exact(&mut text).unwrap();
    drop(stream);
    for address in addresses {
        let mut stream = net.tcp_connect(address, &ConnectOptions::default()).unwrap();
        stream.write_all(b"to ourselves").unwrap();
        let handle = stream.detach();
        let (mut server, _) = net.tcp_accept(listener).unwrap();
        let mut text = [0; 12];
        server.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"to ourselves");
        drop(server);
        assert_eq!(net.tcp(handle).unwrap().read(&mut text), Ok(0));
        net.tcp(handle).unwrap().close();
    }
    net.sleep(Duration::from_secs(200));
    assert_eq!(net.stack().tcp_connections() + net.stack().tcp_time_waits(), 0);
}
