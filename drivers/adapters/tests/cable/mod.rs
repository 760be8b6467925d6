//! What the tests have in common: a cable between two devices of ours, and stacks that talk over it.
#![allow(dead_code)] // Each test uses a part of it.

use ringtap::config::Config;
use ringtap::device::{Capabilities, Device, Link, Mac, Medium, RxChecksum, RxMeta, TxChecksum, TxMeta};
use ringtap::frame::{BoxedPool, Frame, Pool};
use ringtap::ip::addr::Cidr;
use ringtap::rng::Secret;
use ringtap::stack::{IfaceId, Limits, Stack, Storage};
use ringtap::tcp::{ConnectOptions, ListenOptions};
use ringtap::time::{Duration, Instant};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

/// What lies on the way to one end.
#[derive(Default)]
pub struct Lane {
    pub packets: VecDeque<Vec<u8>>,
    /// More are refused.
    pub room: usize,
    pub waker: Option<Waker>,
}

/// One end of a cable.
pub struct End {
    pub pool: Pool<'static>,
    pub caps: Capabilities,
    pub meta: RxMeta,
    pub link: Link,
    pub rx: Rc<RefCell<Lane>>,
    pub tx: Rc<RefCell<Lane>>,
    /// Frames whose checksum was left to the device.
    pub unsummed: Rc<Cell<usize>>,
}

pub fn pool(slots: usize) -> Pool<'static> {
    Box::leak(Box::new(BoxedPool::new(1600, slots))).pool()
}

/// Two ends with pools of `slots` frames each, and room for `room` packets each way.
pub fn cable(medium: Medium, slots: usize, room: usize) -> (End, End) {
    let lane = || Rc::new(RefCell::new(Lane { room, ..Lane::default() }));
    let (a, b) = (lane(), lane());
    let end = |rx: &Rc<RefCell<Lane>>, tx: &Rc<RefCell<Lane>>| End {
        pool: pool(slots),
        caps: Capabilities { headroom: 12, ..Capabilities::plain(medium, 1500) },
        meta: RxMeta { checksum: RxChecksum::None, ..RxMeta::default() },
        link: Link::Up,
        rx: rx.clone(),
        tx: tx.clone(),
        unsummed: Rc::default(),
    };
    (end(&a, &b), end(&b, &a))
}

impl Device<'static> for End {
    fn capabilities(&self) -> Capabilities {
        self.caps
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        let mut lane = self.rx.borrow_mut();
        let packet = lane.packets.pop_front()?;
        // Who waits for room sits at the other end; its waker is registered with the lane it sends by.
        let mut frame = self.pool.take(0)?;
        frame.extend(&packet).expect("a packet that fits");
        Some((frame, self.meta))
    }

    fn transmit(&mut self, mut frame: Frame<'static>, meta: TxMeta) -> Result<(), Frame<'static>> {
        assert!(frame.headroom() >= self.caps.headroom, "the headroom that it asks for");
        let mut lane = self.tx.borrow_mut();
        if lane.packets.len() >= lane.room {
            return Err(frame);
        }
        if let TxChecksum::Partial { start, offset } = meta.checksum {
            assert!(self.caps.checksum.tcp, "nobody has offered that");
            complete(&mut frame[usize::from(start)..], usize::from(offset));
            self.unsummed.set(self.unsummed.get() + 1);
        }
        lane.packets.push_back(frame.to_vec());
        if let Some(waker) = lane.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    fn link(&self) -> Link {
        self.link
    }

    fn register_waker(&mut self, waker: &Waker) {
        self.rx.borrow_mut().waker = Some(waker.clone());
    }
}

/// What a device does that computes checksums.
fn complete(covered: &mut [u8], offset: usize) {
    let words = covered.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0)));
    let checksum = !(words.sum::<u64>() % 0xffff) as u16;
    covered[offset..offset + 2].copy_from_slice(&checksum.to_be_bytes());
}

#[derive(Default)]
pub struct Count(AtomicUsize);

impl Count {
    /// How often it was woken since it was last asked.
    pub fn taken(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub fn task() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (count.clone(), Waker::from(count))
}

/// A stack with one interface.
pub struct Node<D> {
    pub stack: Stack<'static>,
    pub iface: IfaceId,
    pub device: D,
    pub now: Instant,
}

pub fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}

impl<D: Device<'static>> Node<D> {
    /// 10.0.0.`n`/24 on this device.
    pub fn new(n: u8, device: D) -> Self {
        let mut stack = Stack::new(Config::new(Secret::new([n; 16])), Storage::growing(Limits::default()));
        let iface = stack.add_interface(&device, mac(n)).expect("room");
        let addr = Cidr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)), 24).expect("a prefix");
        stack.add_address(iface, addr).expect("a host address");
        Self { stack, iface, device, now: Instant::ZERO }
    }

    pub fn poll(&mut self) {
        let _ = self.stack.poll(self.now, self.iface, &mut self.device, 32);
        while let Some(event) = self.stack.next_event() {
            event.wake();
        }
    }
}

/// 200,000 octets there and back over a connection from `a` to port 7 of 10.0.0.`n`, which is `b`; `between` moves what
/// lies between the two. Afterwards nobody holds a connection.
pub fn echo<A: Device<'static>, B: Device<'static>>(
    a: &mut Node<A>,
    b: &mut Node<B>,
    n: u8,
    mut between: impl FnMut(Instant),
) {
    let text: Vec<u8> = (0..200_000_u32).map(|i| (i * 7 + i / 251) as u8).collect();
    let listener = b.stack.tcp_listen(None, 7, &ListenOptions::default()).expect("a free port");
    let to = SocketAddr::from(([10, 0, 0, n], 7));
    let client = a.stack.tcp_connect(to, &ConnectOptions::default()).expect("a way");
    let (mut server, mut sent, mut back, mut kept) = (None, 0, Vec::new(), VecDeque::new());
    let (mut now, mut buf) = (Instant::ZERO, [0; 4096]);
    for _ in 0..2_000_000 {
        (a.now, b.now) = (now, now);
        a.poll();
        between(now);
        b.poll();
        between(now);
        now += Duration::from_micros(100);
        let mut socket = a.stack.tcp(client).expect("open");
        sent += socket.write(&text[sent..]).unwrap_or(0);
        while let Ok(n @ 1..) = socket.read(&mut buf) {
            back.extend_from_slice(&buf[..n]);
        }
        if back.len() == text.len() {
            break;
        }
        server = server.or_else(|| b.stack.tcp_accept(listener).ok().map(|(handle, _)| handle));
        let Some(server) = server else { continue };
        let mut socket = b.stack.tcp(server).expect("open");
        while kept.len() < 65_536
            && let Ok(n @ 1..) = socket.read(&mut buf)
        {
            kept.extend(&buf[..n]);
        }
        let n = socket.write(kept.make_contiguous()).unwrap_or(0);
        kept.drain(..n);
    }
    assert!(back == text, "{} octets of {}", back.len(), text.len());
    a.stack.tcp(client).expect("open").abort();
    b.stack.tcp(server.expect("accepted")).expect("open").abort();
    for _ in 0..200 {
        a.poll();
        between(now);
        b.poll();
        between(now);
        now += Duration::from_millis(10);
        (a.now, b.now) = (now, now);
    }
    assert_eq!((a.stack.tcp_connections(), b.stack.tcp_connections()), (0, 0));
}
