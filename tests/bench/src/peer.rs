//! The same bulk from one smoltcp to another.

use crate::memory::SEGMENT;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::rc::Rc;

type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of a wire whose buffers are used again, so that no memory is allocated per packet.
struct Card {
    rx: Queue,
    tx: Queue,
    spare: Queue,
}

struct Received {
    frame: Vec<u8>,
    spare: Queue,
}

struct Sending<'c> {
    tx: &'c Queue,
    spare: &'c Queue,
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(&self.frame);
        self.spare.borrow_mut().push_back(self.frame);
        result
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = self.spare.borrow_mut().pop_front().unwrap_or_else(|| Vec::with_capacity(1600));
        // The octets are overwritten: their old values cost nothing but the first time.
        if frame.len() < len {
            frame.resize(len, 0);
        }
        frame.truncate(len);
        let result = f(&mut frame);
        self.tx.borrow_mut().push_back(frame);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.rx.borrow_mut().pop_front()?;
        Some((Received { frame, spare: self.spare.clone() }, Sending { tx: &self.tx, spare: &self.spare }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        // Two at a time, as on the other side of the comparison.
        (self.tx.borrow().len() < 2).then_some(Sending { tx: &self.tx, spare: &self.spare })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ethernet;
        caps.max_transmission_unit = 1514;
        caps
    }
}

struct End {
    iface: Interface,
    sockets: SocketSet<'static>,
    card: Card,
    handle: SocketHandle,
}

impl End {
    fn new(n: u8, mut card: Card) -> Self {
        let mac = EthernetAddress([2, 0, 0, 0, 0, n]);
        let mut config = Config::new(HardwareAddress::Ethernet(mac));
        config.random_seed = u64::from(n);
        let mut iface = Interface::new(config, &mut card, Instant::ZERO);
        iface.update_ip_addrs(|a| {
            let _ = a.push(IpCidr::new(Ipv4Addr::new(10, 0, 0, n).into(), 24));
        });
        let mut sockets = SocketSet::new(Vec::new());
        let buffer = || tcp::SocketBuffer::new(vec![0; 65_535]);
        let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));
        Self { iface, sockets, card, handle }
    }

    fn poll(&mut self, now: Instant) {
        self.iface.poll(now, &mut self.card, &mut self.sockets);
    }

    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }
}

/// `segments` full segments from one end to the other.
pub fn run(segments: u64) {
    let (q, r, spare) = (Queue::default(), Queue::default(), Queue::default());
    let mut a = End::new(1, Card { rx: q.clone(), tx: r.clone(), spare: spare.clone() });
    let mut b = End::new(2, Card { rx: r, tx: q, spare });
    b.socket().listen(7).expect("listen");
    let socket = a.sockets.get_mut::<tcp::Socket<'_>>(a.handle);
    socket.connect(a.iface.context(), (Ipv4Addr::new(10, 0, 0, 2), 7), 40_000).expect("connect");
    let (data, mut buf) = (vec![0x5a; 2 * SEGMENT], vec![0; 2 * SEGMENT]);
    let octets = segments as usize * SEGMENT;
    let (mut written, mut read, mut now, mut idle) = (0, 0, Instant::ZERO, 0);
    while read < octets {
        if written < octets && a.socket().can_send() {
            written += a.socket().send_slice(&data[..data.len().min(octets - written)]).expect("open");
        }
        now += Duration::from_micros(10);
        a.poll(now);
        b.poll(now);
        let before = read;
        while b.socket().can_recv() {
            read += b.socket().recv_slice(&mut buf).expect("open");
        }
        idle = if before == read { idle + 1 } else { 0 };
        assert!(idle < 100_000, "the transfer stands still at {read} of {octets}");
    }
    println!("{segments} segments");
}
