//! Checksums that a device computes: what is left to it, and what is not.
//!
//! The card completes what it is asked to as hardware does, and the other end verifies everything.

use ringtap::config::Config;
use ringtap::device::{Capabilities, ChecksumOffload, Device, Mac, Medium, RxMeta, TxChecksum, TxMeta};
use ringtap::frame::{Frame, Pool, PoolMemory};
use ringtap::rng::Secret;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{IfaceId, Limits, Stack, Storage};
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, ListenOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::packet::checksum;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::task::Waker;

struct Card {
    medium: Medium,
    offload: ChecksumOffload,
    pool: Pool<'static>,
    inbox: VecDeque<Frame<'static>>,
    outbox: VecDeque<Frame<'static>>,
    /// Frames whose checksum was left to the card, and frames that came complete.
    completed: usize,
    complete: usize,
    /// Offers of frames that are refused before one is taken.
    refusals: usize,
}

impl Card {
    /// A card that computes checksums of TCP and UDP, or none.
    fn new(medium: Medium, tcp: bool) -> Self {
        let memory: &'static PoolMemory<2048, 64> = Box::leak(Box::new(PoolMemory::new()));
        let offload = ChecksumOffload { tcp, udp: tcp, ..ChecksumOffload::default() };
        let (inbox, outbox) = (VecDeque::new(), VecDeque::new());
        Self { medium, offload, pool: memory.pool(), inbox, outbox, completed: 0, complete: 0, refusals: 0 }
    }
}

/// The sum of the pseudo-header of a packet behind `link` octets, written out by its family's rules.
fn pseudo_header(frame: &[u8], link: usize, start: usize) -> u16 {
    let len = (frame.len() - start) as u32;
    let ip = &frame[link..start];
    let mut octets = if ip[0] >> 4 == 4 { ip[12..20].to_vec() } else { ip[8..40].to_vec() };
    octets.extend(len.to_be_bytes());
    octets.extend([0, 0, 0, if ip[0] >> 4 == 4 { ip[9] } else { ip[6] }]);
    !checksum(&octets)
}

impl Device<'static> for Card {
    fn capabilities(&self) -> Capabilities {
        Capabilities { checksum: self.offload, ..Capabilities::plain(self.medium, 1500) }
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        Some((self.inbox.pop_front()?, RxMeta::default()))
    }

    fn transmit(&mut self, mut frame: Frame<'static>, meta: TxMeta) -> Result<(), Frame<'static>> {
        if self.refusals > 0 {
            self.refusals -= 1;
            return Err(frame);
        }
        let link = if self.medium == Medium::Ethernet { 14 } else { 0 };
        match meta.checksum {
            TxChecksum::Complete => self.complete += 1,
            TxChecksum::Partial { start, offset } => {
                let (start, field) = (usize::from(start), usize::from(start + offset));
                let (header, protocol) =
                    if frame[link] >> 4 == 4 { (20, frame[link + 9]) } else { (40, frame[link + 6]) };
                let place = if protocol == 6 { 16 } else { 6 };
                assert_eq!((start, offset), (link + header, place), "where TCP or UDP and its checksum are");
                let given = u16::from_be_bytes([frame[field], frame[field + 1]]);
                assert_eq!(given, pseudo_header(&frame, link, start), "the pseudo-header's part is there");
                let whole = match checksum(&frame[start..]) {
                    0 => [0xff; 2],
                    whole => whole.to_be_bytes(),
                };
                frame[field..field + 2].copy_from_slice(&whole);
                self.completed += 1;
            }
        }
        self.outbox.push_back(frame);
        Ok(())
    }

    fn register_waker(&mut self, _: &Waker) {}
}

struct End {
    stack: Stack<'static>,
    iface: IfaceId,
    card: Card,
}

impl End {
    fn new(card: Card, n: u8) -> Self {
        let mut config = Config::new(Secret::new([n; 16]));
        config.dad_transmits = 0;
        let mut stack = Stack::new(config, Storage::growing(Limits::default()));
        let iface = stack.add_interface(&card, Mac([2, 0, 0, 0, 0, n])).expect("an interface");
        for address in [format!("10.0.0.{n}/24"), format!("2001:db8::{n}/64")] {
            stack.add_address(iface, address.parse().expect("an address")).expect("room");
        }
        Self { stack, iface, card }
    }
}

/// Passes 100 KB from `a` to `address` of `b`, and compares them.
fn transfer(a: &mut End, b: &mut End, address: IpAddr) {
    let data: Vec<u8> = (0..100_000u32).map(|i| (i * 7 % 251) as u8).collect();
    let listener = b.stack.tcp_listen(None, 7, &ListenOptions::default()).expect("a free port");
    let out = a.stack.tcp_connect(SocketAddr::new(address, 7), &ConnectOptions::default()).expect("a way");
    let (mut input, mut sent, mut got, mut now) = (None, 0, Vec::new(), a.stack.now());
    for _ in 0..20_000 {
        now += Duration::from_millis(1);
        let _ = a.stack.poll(now, a.iface, &mut a.card, 64);
        b.card.inbox.append(&mut a.card.outbox);
        let _ = b.stack.poll(now, b.iface, &mut b.card, 64);
        a.card.inbox.append(&mut b.card.outbox);
        if let Ok(n) = a.stack.tcp(out).expect("open").write(&data[sent..]) {
            sent += n;
        }
        input = input.or_else(|| b.stack.tcp_accept(listener).ok().map(|(handle, _)| handle));
        if let Some(handle) = input {
            let mut buf = [0; 4096];
            while let Ok(n @ 1..) = b.stack.tcp(handle).expect("open").read(&mut buf) {
                got.extend_from_slice(&buf[..n]);
            }
        }
        if got.len() == data.len() {
            break;
        }
    }
    assert!(got == data, "{} of {} octets", got.len(), data.len());
}

#[test]
fn text_is_left_to_a_card_that_sums_and_arrives_whole_over_both_families() {
    for medium in [Medium::Ethernet, Medium::Ip] {
        for address in ["10.0.0.2", "2001:db8::2"] {
            let (mut a, mut b) = (End::new(Card::new(medium, true), 1), End::new(Card::new(medium, false), 2));
            a.card.refusals = 3;
            transfer(&mut a, &mut b, address.parse().expect("an address"));
            assert!(a.card.completed >= 70, "{} segments with text", a.card.completed);
            assert!(a.card.complete > 0, "what has no text comes complete");
            assert_eq!(b.card.completed, 0, "nothing is left to a card that does not offer it");
            assert_eq!(b.stack.stats().dropped(DropReason::TcpChecksum), 0);
        }
    }
}

/// What returns to ourselves is not verified either: it never left memory.
#[test]
fn what_is_sent_to_ourselves_arrives_and_meets_no_card() {
    let mut a = End::new(Card::new(Medium::Ethernet, true), 1);
    let listener = a.stack.tcp_listen(None, 7, &ListenOptions::default()).expect("a free port");
    let to = "10.0.0.1:7".parse().expect("an address");
    let out = a.stack.tcp_connect(to, &ConnectOptions::default()).expect("a way");
    let (mut now, mut buf) = (Instant::ZERO, [0; 16]);
    let mut poll = |a: &mut End| {
        for _ in 0..100 {
            now += Duration::from_millis(1);
            let _ = a.stack.poll(now, a.iface, &mut a.card, 64);
        }
    };
    poll(&mut a);
    let (input, _) = a.stack.tcp_accept(listener).expect("a connection");
    a.stack.tcp(out).expect("open").write(b"to myself").expect("room");
    poll(&mut a);
    assert_eq!(a.stack.tcp(input).expect("open").read(&mut buf), Ok(9));
    assert_eq!((&buf[..9], a.card.completed), (&b"to myself"[..], 0));
}

/// Datagrams of `a` come to port 9 of `address` at `b`, whole; how many had their checksum left to the card of `a`, and how
/// many packets came complete.
fn datagrams(a: &mut End, b: &mut End, address: IpAddr, lengths: &[usize]) -> (usize, usize) {
    let before = (a.card.completed, a.card.complete);
    let from = a.stack.udp_bind(None, 0, &UdpOptions::default()).expect("a free port");
    let at = b.stack.udp_bind(None, 9, &UdpOptions::default()).expect("a free port");
    let (mut now, mut buf) = (a.stack.now(), [0; 4096]);
    for len in lengths {
        // Among them those whose sum comes to zero.
        let payload: Vec<u8> = (0..*len).map(|i| (i * 31) as u8).collect();
        a.stack.udp(from).expect("open").send_to(&payload, SocketAddr::new(address, 9)).expect("room");
        for _ in 0..10 {
            now += Duration::from_millis(1);
            let _ = a.stack.poll(now, a.iface, &mut a.card, 64);
            b.card.inbox.append(&mut a.card.outbox);
            let _ = b.stack.poll(now, b.iface, &mut b.card, 64);
            a.card.inbox.append(&mut b.card.outbox);
        }
        let got = b.stack.udp(at).expect("open").recv_from(&mut buf).expect("a datagram");
        assert!(buf[..got.len] == payload, "{len} octets");
    }
    a.stack.udp(from).expect("open").close();
    b.stack.udp(at).expect("open").close();
    assert_eq!(b.stack.stats().dropped(DropReason::UdpChecksum), 0);
    (a.card.completed - before.0, a.card.complete - before.1)
}

// H156, too: what is cut up was summed before.
#[test]
fn datagrams_are_left_to_a_card_that_sums_unless_they_are_cut_up_or_wait() {
    for medium in [Medium::Ethernet, Medium::Ip] {
        for (address, longest) in [("10.0.0.2", 1472), ("2001:db8::2", 1232)] {
            let address = address.parse().expect("an address");
            let (mut a, mut b) = (End::new(Card::new(medium, true), 1), End::new(Card::new(medium, false), 2));
            let asks = usize::from(medium == Medium::Ethernet);
            let (completed, complete) = datagrams(&mut a, &mut b, address, &[100]);
            assert_eq!(completed, 1 - asks, "the first waits for its neighbour and is summed");
            assert!(complete >= 2 * asks, "a question and what has waited");
            assert_eq!(datagrams(&mut a, &mut b, address, &[0, 1, 2, 100, 999, longest]), (6, 0));
            let (completed, complete) = datagrams(&mut a, &mut b, address, &[longest + 300]);
            assert_eq!((completed, complete), (0, 2), "in pieces");
            let lengths: Vec<usize> = (0..400).collect();
            assert_eq!(datagrams(&mut a, &mut b, address, &lengths).0, 400);
            // The device refuses one, and is offered it again as it was.
            a.card.refusals = 3;
            assert_eq!(datagrams(&mut a, &mut b, address, &[77]), (1, 0));
            assert_eq!(
                datagrams(
                    &mut b,
                    &mut a,
                    if longest == 1472 { "10.0.0.1" } else { "2001:db8::1" }.parse().expect("an address"),
                    &[5]
                )
                .0,
                0
            );
        }
    }
}

#[test]
fn a_datagram_to_ourselves_is_summed_and_meets_no_card() {
    let mut a = End::new(Card::new(Medium::Ethernet, true), 1);
    let udp = a.stack.udp_bind(None, 9, &UdpOptions::default()).expect("a free port");
    let to = "10.0.0.1:9".parse().expect("an address");
    a.stack.udp(udp).expect("open").send_to(b"to myself", to).expect("room");
    let _ = a.stack.poll(Instant::from_micros(1000), a.iface, &mut a.card, 64);
    let (mut buf, mut now) = ([0; 16], Instant::from_micros(1000));
    for _ in 0..5 {
        now += Duration::from_millis(1);
        let _ = a.stack.poll(now, a.iface, &mut a.card, 64);
    }
    let got = a.stack.udp(udp).expect("open").recv_from(&mut buf).expect("a datagram");
    assert_eq!((&buf[..got.len], a.card.completed), (&b"to myself"[..], 0));
}

#[test]
fn what_a_closed_socket_has_still_to_send_is_summed() {
    let (mut a, mut b) = (End::new(Card::new(Medium::Ip, true), 1), End::new(Card::new(Medium::Ip, false), 2));
    let at = b.stack.udp_bind(None, 9, &UdpOptions::default()).expect("a free port");
    let udp = a.stack.udp_bind(None, 0, &UdpOptions::default()).expect("a free port");
    a.stack.udp(udp).expect("open").send_to(b"last words", "10.0.0.2:9".parse().expect("an address")).expect("room");
    a.stack.udp(udp).expect("open").close();
    let now = Instant::from_micros(1000);
    let _ = a.stack.poll(now, a.iface, &mut a.card, 64);
    b.card.inbox.append(&mut a.card.outbox);
    let _ = b.stack.poll(now, b.iface, &mut b.card, 64);
    let mut buf = [0; 16];
    let got = b.stack.udp(at).expect("open").recv_from(&mut buf).expect("a datagram");
    assert_eq!((&buf[..got.len], a.card.completed, a.card.complete), (&b"last words"[..], 0, 1));
}
