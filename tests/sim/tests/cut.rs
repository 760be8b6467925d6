//! Two stacks with cards that cut super-segments as hardware does, over a wire that loses some of the pieces.
//!
//! The wire looks at each piece: it is no longer than the MTU, follows the one before it, and its checksums are right; PSH and
//! FIN are on the last alone (H159).

use ringtap::config::Config;
use ringtap::device::{Capabilities, ChecksumOffload, Device, Gso, Mac, Medium, RxMeta, TxChecksum, TxMeta};
use ringtap::frame::{BoxedPool, Frame, Pool};
use ringtap::rng::Secret;
use ringtap::stack::{IfaceId, Limits, Stack, Storage};
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, ListenOptions, TcpOptions};
use ringtap::time::Duration;
use ringtap_sim::packet::{FIN, PSH, checksum};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

const MTU: usize = 1500;

struct Card {
    medium: Medium,
    cuts: bool,
    pool: Pool<'static>,
    inbox: VecDeque<Frame<'static>>,
    wire: VecDeque<Vec<u8>>,
    /// Super-segments, and the most segments that one was.
    supers: usize,
    most: usize,
    /// The number behind the highest octet of text that was in a super-segment.
    highest: Option<u32>,
}

fn pool(size: usize, count: usize) -> Pool<'static> {
    Box::leak(Box::new(BoxedPool::new(size, count))).pool()
}

fn be16(octets: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([octets[at], octets[at + 1]]))
}

impl Card {
    fn new(medium: Medium, cuts: bool) -> Self {
        let (inbox, wire) = (VecDeque::new(), VecDeque::new());
        Self { medium, cuts, pool: pool(1600, 512), inbox, wire, supers: 0, most: 0, highest: None }
    }

    fn link(&self) -> usize {
        if self.medium == Medium::Ethernet { 14 } else { 0 }
    }

    /// The sum of the pseudo-header of a packet whose TCP is at `start`, as both families have it.
    fn pseudo(&self, frame: &[u8], start: usize) -> Vec<u8> {
        let ip = &frame[self.link()..start];
        let mut octets = if ip[0] >> 4 == 4 { ip[12..20].to_vec() } else { ip[8..40].to_vec() };
        octets.extend(((frame.len() - start) as u32).to_be_bytes());
        octets.extend([0, 0, 0, 6]);
        octets
    }

    /// Puts a segment on the wire, whose field holds the pseudo-header's sum, `nth` of its super-segment.
    fn emit(&mut self, mut frame: Vec<u8>, start: usize, nth: u16) {
        let link = self.link();
        assert!(frame.len() <= link + MTU, "{} octets on the wire", frame.len());
        let len = frame.len() - link;
        if frame[link] >> 4 == 4 {
            frame[link + 2..link + 4].copy_from_slice(&(len as u16).to_be_bytes());
            frame[link + 4..link + 6].copy_from_slice(&nth.to_be_bytes());
            frame[link + 10..link + 12].fill(0);
            let sum = checksum(&frame[link..link + 20]).to_be_bytes();
            frame[link + 10..link + 12].copy_from_slice(&sum);
        } else {
            frame[link + 4..link + 6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
        }
        frame[start + 16..start + 18].fill(0);
        let sum = checksum(&[self.pseudo(&frame, start), frame[start..].to_vec()].concat()).to_be_bytes();
        frame[start + 16..start + 18].copy_from_slice(&sum);
        self.wire.push_back(frame);
    }

    /// Cuts as hardware does.
    fn cut(&mut self, frame: &[u8], start: usize, size: usize) {
        let link = self.link();
        let text = start + usize::from(frame[start + 12] >> 4) * 4;
        let whole = frame.len() - link;
        let told = if frame[link] >> 4 == 4 { be16(frame, link + 2) } else { be16(frame, link + 4) + 40 };
        assert!(whole == told && frame.len() - text > size, "{whole} octets, said to be {told}");
        let seq = u32::from_be_bytes(frame[start + 4..start + 8].try_into().expect("four octets"));
        assert!(self.highest.is_none_or(|end| seq.wrapping_sub(end) as i32 >= 0), "sent before: one by one only");
        self.highest = Some(seq.wrapping_add((frame.len() - text) as u32));
        let count = (frame.len() - text).div_ceil(size);
        for (n, piece) in frame[text..].chunks(size).enumerate() {
            let mut out = [&frame[..text], piece].concat();
            out[start + 4..start + 8].copy_from_slice(&seq.wrapping_add((n * size) as u32).to_be_bytes());
            if n + 1 < count {
                out[start + 13] &= !(FIN | PSH);
            }
            self.emit(out, start, n as u16);
        }
        self.supers += 1;
        self.most = self.most.max(count);
    }
}

impl Device<'static> for Card {
    fn capabilities(&self) -> Capabilities {
        let checksum = ChecksumOffload { tcp: self.cuts, ..ChecksumOffload::default() };
        let gso = if self.cuts { 65_535 } else { 0 };
        Capabilities { checksum, gso_ipv4: gso, gso_ipv6: gso, ..Capabilities::plain(self.medium, MTU) }
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        Some((self.inbox.pop_front()?, RxMeta::default()))
    }

    fn transmit(&mut self, frame: Frame<'static>, meta: TxMeta) -> Result<(), Frame<'static>> {
        match (meta.checksum, meta.gso) {
            (TxChecksum::Complete, gso) => {
                assert_eq!(gso, None);
                assert!(frame.len() <= self.link() + MTU, "{} octets on the wire", frame.len());
                self.wire.push_back(frame.to_vec());
            }
            (TxChecksum::Partial { start, offset }, gso) => {
                let (start, field) = (usize::from(start), usize::from(start + offset));
                let given = u16::from_be_bytes([frame[field], frame[field + 1]]);
                assert_eq!(given, !checksum(&self.pseudo(&frame, start)), "the pseudo-header's part is there");
                match gso {
                    Some(Gso { size }) => self.cut(&frame, start, size.into()),
                    None => self.emit(frame.to_vec(), start, 0),
                }
            }
        }
        Ok(())
    }
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
        config.large_pool = Some(pool(66_000, 8));
        let mut stack = Stack::new(config, Storage::growing(Limits::default()));
        let iface = stack.add_interface(&card, Mac([2, 0, 0, 0, 0, n])).expect("an interface");
        for address in [format!("10.0.0.{n}/24"), format!("2001:db8::{n}/64")] {
            stack.add_address(iface, address.parse().expect("an address")).expect("room");
        }
        Self { stack, iface, card }
    }
}

/// Moves what is on `from`'s wire to `to`, but for what `loses` says; how much that was.
fn carry(from: &mut Card, to: &mut Card, loses: &mut dyn FnMut(&[u8]) -> bool) -> usize {
    let mut lost = 0;
    for octets in from.wire.drain(..) {
        if loses(&octets) {
            lost += 1;
            continue;
        }
        let mut frame = to.pool.take(64).expect("a frame");
        frame.extend(&octets).expect("room");
        to.inbox.push_back(frame);
    }
    lost
}

struct Transfer {
    medium: Medium,
    address: &'static str,
    tcp: TcpOptions,
    len: usize,
    /// Octets that are written at a time.
    step: usize,
    /// One in so many pieces is lost; 0: none.
    loss: u32,
}

/// Passes octets from one stack to the other and compares them; the sender, and how many frames were lost.
fn transfer(transfer: &Transfer) -> (End, usize) {
    let &Transfer { medium, address, ref tcp, len, step, loss } = transfer;
    let (mut a, mut b) = (End::new(Card::new(medium, true), 1), End::new(Card::new(medium, false), 2));
    let to = SocketAddr::new(address.parse::<IpAddr>().expect("an address"), 7);
    let data: Vec<u8> = (0..len as u32).map(|i| (i.wrapping_mul(7919) >> 5) as u8).collect();
    let listener = b.stack.tcp_listen(None, 7, &ListenOptions { backlog: 4, tcp: *tcp }).expect("a free port");
    let out = a.stack.tcp_connect(to, &ConnectOptions { tcp: *tcp, ..ConnectOptions::default() }).expect("a way");
    let (mut input, mut sent, mut got, mut now, mut lost) = (None, 0, Vec::new(), a.stack.now(), 0);
    let mut state = 12_345u32;
    let mut loses = |frame: &[u8]| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // The handshake and neighbours are somebody else's tests.
        loss > 0 && frame.len() > 200 && (state >> 8).is_multiple_of(loss)
    };
    let mut ended = false;
    for _ in 0..400_000 {
        now += Duration::from_millis(1);
        let _ = a.stack.poll(now, a.iface, &mut a.card, 64);
        lost += carry(&mut a.card, &mut b.card, &mut loses);
        let _ = b.stack.poll(now, b.iface, &mut b.card, 64);
        carry(&mut b.card, &mut a.card, &mut |_| false);
        let most = len.min(sent + step);
        if let Ok(n) = a.stack.tcp(out).expect("open").write(&data[sent..most]) {
            sent += n;
        }
        if sent == len && !ended {
            a.stack.tcp(out).expect("open").shutdown_write().expect("open");
            ended = true;
        }
        input = input.or_else(|| b.stack.tcp_accept(listener).ok().map(|(handle, _)| handle));
        let Some(handle) = input else { continue };
        let mut buf = [0; 65_536];
        loop {
            match b.stack.tcp(handle).expect("open").read(&mut buf) {
                Ok(0) => {
                    assert!(got == data, "the end after {} of {len} octets", got.len());
                    assert_eq!(b.stack.stats().dropped(DropReason::TcpChecksum), 0);
                    assert_eq!(b.stack.stats().dropped(DropReason::Ipv4Checksum), 0);
                    return (a, lost);
                }
                Ok(n) => got.extend_from_slice(&buf[..n]),
                Err(_) => break,
            }
        }
    }
    panic!("{} of {len} octets", got.len());
}

const ADDRESSES: [&str; 2] = ["10.0.0.2", "2001:db8::2"];

fn large() -> TcpOptions {
    TcpOptions { rx_buffer: 400_000, tx_buffer: 400_000, ..TcpOptions::default() }
}

// H159
#[test]
fn what_the_card_cuts_arrives_whole_over_both_families_and_media() {
    for medium in [Medium::Ethernet, Medium::Ip] {
        for address in ADDRESSES {
            for timestamps in [false, true] {
                let tcp = TcpOptions { timestamps, ..large() };
                let (a, _) = transfer(&Transfer { medium, address, tcp, len: 3_000_000, step: 400_000, loss: 0 });
                assert!(a.card.most >= 40, "{} segments at once", a.card.most);
                let per = 3_000_000 / a.card.supers;
                assert!(per > 15_000, "{per} octets in a super-segment");
                assert_eq!(a.stack.stats().tcp_retransmits, 0);
            }
        }
    }
}

#[test]
fn writes_of_any_size_arrive_whole() {
    for step in [1461, 2919, 2921, 7_777, 65_483, 65_535, 65_536, 70_001] {
        let (medium, address) = (Medium::Ethernet, ADDRESSES[step % 2]);
        transfer(&Transfer { medium, address, tcp: large(), len: step * 20 + 1, step, loss: 0 });
    }
}

#[test]
fn lost_pieces_are_repaired_one_by_one_with_and_without_sack_and_rack() {
    for (sack, rack) in [(true, true), (true, false), (false, false)] {
        for (address, loss) in [(ADDRESSES[0], 20), (ADDRESSES[1], 100), (ADDRESSES[0], 500)] {
            let tcp = TcpOptions { sack, rack, ..large() };
            let (a, lost) =
                transfer(&Transfer { medium: Medium::Ethernet, address, tcp, len: 2_000_000, step: 400_000, loss });
            let again = a.stack.stats().tcp_retransmits;
            assert!(lost > 0 && a.card.supers > 5, "{lost} lost of {} super-segments", a.card.supers);
            // With selective acknowledgments what has arrived does not go again, or hardly.
            let most = if sack { lost + lost / 4 + 5 } else { usize::MAX };
            assert!(again >= lost.min(1) && again <= most, "{again} sent again, {lost} lost: sack {sack}, rack {rack}");
        }
    }
}
