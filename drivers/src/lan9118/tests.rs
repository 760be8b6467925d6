//! The chip in software, after the data sheet rather than after the driver.

extern crate std;
use super::regs::{self, BYTE_ORDER};
use super::*;
use crate::testing::{Random, Wire, packet, receive_goes_on_while_transmit_is_full, soak};
use core::cell::RefCell;
use ringtap::frame::BoxedPool;
use std::collections::{HashMap, VecDeque};
use std::vec::Vec;

/// Octets of the FIFOs, and entries of the status FIFOs.
const RX_OCTETS: usize = 10_560;
const TX_OCTETS: usize = 4_608;
const STATUSES: usize = 128;

#[derive(Default)]
struct State {
    incoming: VecDeque<(Vec<u8>, u32)>,
    rx_status: VecDeque<u32>,
    /// Words of packets; those of one packet end together.
    rx_data: VecDeque<VecDeque<u32>>,
    tx: Vec<u32>,
    tx_queue: VecDeque<Vec<u8>>,
    tx_status: VecDeque<u32>,
    held: bool,
    sent: Vec<Vec<u8>>,
    lost: usize,
    dropped: u32,
    status: u32,
    enabled: u32,
    plain: HashMap<u16, u32>,
    csr: HashMap<u8, u32>,
    phy: HashMap<u32, u16>,
    /// Looks until a reset, an access to the MAC, or a skip is over.
    busy: u32,
    skipping: bool,
    /// No reset, access or transfer ends.
    stuck: bool,
    absent: bool,
}

struct Card<'a> {
    attention: &'a Attention,
    random: Random,
    state: RefCell<State>,
}

impl<'a> Card<'a> {
    fn new(attention: &'a Attention, seed: u64) -> Self {
        let mut state = State::default();
        state.phy.extend([(1, 0x7809), (2, 0x0007), (3, 0xc0d1)]);
        state.csr.extend([(csr::ADDRL, 0x1200_7052), (csr::ADDRH, 0x5634)]);
        Self { attention, random: Random::new(seed), state: RefCell::new(state) }
    }

    fn arrive(&self) {
        let mut state = self.state.borrow_mut();
        let Some((octets, errors)) = state.incoming.pop_front() else { return };
        let words = (octets.len() + FCS).div_ceil(4);
        let used: usize = state.rx_data.iter().map(VecDeque::len).sum();
        let on = state.csr.get(&csr::MAC_CR).is_some_and(|cr| cr & mac_cr::RX != 0);
        if !on || used + words > RX_OCTETS / 4 || state.rx_status.len() == STATUSES {
            state.lost += 1;
            state.dropped += 1;
            return;
        }
        state.rx_status.push_back(((octets.len() + FCS) as u32) << 16 | errors);
        let mut octets = octets;
        octets.extend_from_slice(&[0xfc; FCS]);
        octets.resize(4 * words, 0xee);
        let words = octets.chunks(4).map(|w| u32::from_le_bytes(w.try_into().expect("four"))).collect();
        state.rx_data.push_back(words);
        state.status |= int::RSFL;
    }

    fn free(state: &State) -> usize {
        let queued: usize = state.tx_queue.iter().map(|f| (f.len() + COMMANDS).next_multiple_of(4)).sum();
        TX_OCTETS - queued - 4 * state.tx.len()
    }

    fn depart(&self) {
        let mut state = self.state.borrow_mut();
        if state.held || state.tx_status.len() == STATUSES {
            return;
        }
        let Some(octets) = state.tx_queue.pop_front() else { return };
        assert!(state.plain[&regs::TX_CFG] & TX_ON != 0, "sent while transmit is off");
        state.sent.push(octets);
        state.tx_status.push_back(0);
        let level = state.plain[&regs::FIFO_INT] >> 24;
        if Self::free(&state) > 64 * level as usize {
            state.status |= int::TDFA;
        }
    }

    fn write_tx(state: &mut State, word: u32) {
        assert!(Self::free(state) >= 4, "the transmit FIFO runs over");
        state.tx.push(word);
        let [a, b, ..] = state.tx[..] else { return };
        let len = (a & 0x7ff) as usize;
        assert!(
            a & WHOLE == WHOLE && (b & 0x7ff) as usize == len && a >> 16 == 0,
            "one whole frame, unaligned nothing"
        );
        if state.tx.len() == 2 + len.div_ceil(4) {
            let octets: Vec<u8> = state.tx[2..].iter().flat_map(|w| w.to_le_bytes()).take(len).collect();
            state.tx.clear();
            state.tx_queue.push_back(octets);
        }
    }

    fn interrupt(&self) {
        let mut state = self.state.borrow_mut();
        if state.status & state.enabled != 0 {
            state.enabled = 0;
            drop(state);
            self.attention.raise();
        }
    }

    fn moves(&self) {
        match self.random.below(12) {
            0 => self.arrive(),
            1 => self.depart(),
            _ => {}
        }
        self.interrupt();
    }

    fn mac_command(state: &mut State, command: u32) {
        assert!(command >> 31 != 0, "a command is busy");
        let register = command as u8;
        let data = state.plain.get(&regs::MAC_CSR_DATA).copied().unwrap_or(0);
        if command & 1 << 30 != 0 {
            let value = state.csr.get(&register).copied().unwrap_or(0);
            state.plain.insert(regs::MAC_CSR_DATA, value);
            return;
        }
        state.csr.insert(register, data);
        if register == csr::MII_ACC && data & 1 != 0 {
            let place = data >> 6 & 31;
            let ours = data >> 11 == u32::from(PHY);
            if data & 2 != 0 {
                let value = state.csr[&csr::MII_DATA] as u16;
                // A reset is over at once.
                state.phy.insert(place, if place == 0 { value & 0x7fff } else { value });
            }
            let value = if ours { state.phy.get(&place).copied().unwrap_or(0) } else { 0xffff };
            state.csr.insert(csr::MII_DATA, value.into());
            if !state.stuck {
                state.csr.insert(csr::MII_ACC, data & !1);
            }
        }
    }

    /// Whether something is still under way; each look brings its end nearer.
    fn is_busy(state: &mut State) -> u32 {
        state.busy = state.busy.saturating_sub(u32::from(!state.stuck));
        u32::from(state.busy > 0)
    }
}

impl Registers for Card<'_> {
    fn read(&self, offset: u16) -> u32 {
        self.moves();
        let state = &mut *self.state.borrow_mut();
        match offset {
            _ if state.absent => u32::MAX,
            regs::BYTE_TEST => BYTE_ORDER,
            regs::PMT_CTRL => 1,
            regs::HW_CFG => Self::is_busy(state),
            regs::MAC_CSR_CMD => Self::is_busy(state) << 31,
            regs::RX_DP_CTL => {
                let busy = Self::is_busy(state);
                state.skipping &= busy != 0;
                busy << 31
            }
            regs::INT_STS => state.status,
            regs::RX_FIFO_INF => (state.rx_status.len() as u32) << 16,
            regs::TX_FIFO_INF => (state.tx_status.len() as u32) << 16 | Self::free(state) as u32,
            regs::RX_STATUS => state.rx_status.pop_front().expect("read beyond the last status"),
            regs::TX_STATUS => state.tx_status.pop_front().expect("read beyond the last status"),
            regs::RX_DROP => core::mem::take(&mut state.dropped),
            regs::RX_DATA => {
                assert!(!state.skipping, "read while a packet is skipped");
                let words = state.rx_data.front_mut().expect("read beyond the last packet");
                let word = words.pop_front().expect("no empty packets");
                if words.is_empty() {
                    state.rx_data.pop_front();
                }
                word
            }
            _ => state.plain.get(&offset).copied().unwrap_or(0),
        }
    }

    fn write(&self, offset: u16, value: u32) {
        self.moves();
        {
            let state = &mut *self.state.borrow_mut();
            match offset {
                regs::HW_CFG if value & 1 != 0 => state.busy = 3,
                regs::INT_STS => state.status &= !value,
                regs::INT_EN => state.enabled = value,
                regs::TX_DATA => Self::write_tx(state, value),
                regs::MAC_CSR_CMD => {
                    assert_eq!(state.busy, 0, "a command while one is under way");
                    Self::mac_command(state, value);
                    state.busy = 2;
                }
                regs::RX_DP_CTL => {
                    let words = state.rx_data.pop_front().expect("a packet to skip");
                    assert!(words.len() >= FORWARD_WORDS, "too short to be skipped");
                    (state.busy, state.skipping) = (4, true);
                }
                _ => drop(state.plain.insert(offset, value)),
            }
        }
        self.interrupt();
    }
}

impl Wire for Card<'_> {
    fn send(&self, packet: Vec<u8>) {
        self.state.borrow_mut().incoming.push_back((packet, 0));
    }

    fn step(&self) {
        self.moves();
    }

    fn is_quiet(&self) -> bool {
        let state = self.state.borrow();
        state.incoming.is_empty() && state.rx_status.is_empty() && state.tx_queue.is_empty()
    }

    fn lost(&self) -> usize {
        self.state.borrow().lost
    }

    fn sent(&self) -> Vec<Vec<u8>> {
        self.state.borrow().sent.clone()
    }

    fn hold(&self, held: bool) {
        self.state.borrow_mut().held = held;
    }
}

const WIRING: Wiring = Wiring { active_high: true, push_pull: true };

/// A clock that goes on 100 µs at each look.
fn clock() -> impl FnMut() -> Instant {
    let mut time = 0;
    move || {
        time += 100;
        Instant::from_micros(time)
    }
}

fn driver<'p, 'c>(card: &'c Card<'p>, pool: Pool<'p>) -> Lan9118<'p, &'c Card<'p>> {
    Lan9118::new(card, card.attention, pool, None, WIRING, &mut clock()).expect("a driver")
}

#[test]
fn random_traffic_is_handed_out_sent_or_counted() {
    let rounds = if cfg!(miri) { (1, 25) } else { (30, 5_000) };
    for seed in 0..rounds.0 {
        let memory = BoxedPool::new(1536, 8);
        let attention = Attention::new();
        let card = Card::new(&attention, seed);
        soak(driver(&card, memory.pool()), &attention, &card, seed, rounds.1);
    }
}

#[test]
fn a_transmitter_that_stands_still_does_not_stop_receive() {
    let memory = BoxedPool::new(1536, 8);
    let attention = Attention::new();
    let card = Card::new(&attention, 7);
    receive_goes_on_while_transmit_is_full(driver(&card, memory.pool()), &attention, &card);
}

#[test]
fn damaged_packets_are_skipped_and_counted_and_the_next_one_is_whole() {
    for (len, errors) in [(100, rx::ERROR), (60, rx::FILTERED), (1515, 0), (8, 0), (8, rx::ERROR), (13, 0), (3000, 0)] {
        let memory = BoxedPool::new(1536, 8);
        let attention = Attention::new();
        let card = Card::new(&attention, 3);
        let mut nic = driver(&card, memory.pool());
        let mut damaged = packet(0, len);
        damaged.truncate(len);
        card.state.borrow_mut().incoming.extend([(damaged, errors), (packet(1, 90), 0)]);
        card.arrive();
        card.arrive();
        assert_eq!(&nic.receive().expect("the second").0[..], packet(1, 90), "{len} {errors:#x}");
        assert_eq!((nic.counters().rx_errors, nic.counters().rx_packets), (1, 1));
    }
}

#[test]
fn a_chip_that_is_absent_or_dead_is_an_error_in_time() {
    let memory = BoxedPool::new(1536, 8);
    let attention = Attention::new();
    type Kill = fn(&mut State);
    let cases: [(Kill, Option<Mac>, Lan9118Error); 4] = [
        (|state| state.absent = true, None, Lan9118Error::NotFound),
        (|state| state.stuck = true, None, Lan9118Error::Timeout),
        (|state| drop(state.phy.drain()), None, Lan9118Error::Phy(PhyError::NotFound)),
        (|state| drop(state.csr.drain()), None, Lan9118Error::Address),
    ];
    for (kill, mac, error) in cases {
        let card = Card::new(&attention, 3);
        kill(&mut card.state.borrow_mut());
        let mut clock = clock();
        let made = Lan9118::new(&card, &attention, memory.pool(), mac, WIRING, &mut clock);
        assert_eq!(made.err(), Some(error));
        assert!(clock() < Instant::from_secs(5));
    }
    let card = Card::new(&attention, 3);
    let group = Some(Mac::BROADCAST);
    let made = Lan9118::new(&card, &attention, memory.pool(), group, WIRING, &mut clock());
    assert_eq!(made.err(), Some(Lan9118Error::Address));
}

#[test]
fn the_address_is_the_given_one_or_the_eeproms_and_filters_are_set() {
    let memory = BoxedPool::new(1536, 2);
    let attention = Attention::new();
    let card = Card::new(&attention, 3);
    assert_eq!(driver(&card, memory.pool()).mac(), Mac([0x52, 0x70, 0x00, 0x12, 0x34, 0x56]));
    let mac = Mac([2, 3, 4, 5, 6, 7]);
    let nic = Lan9118::new(&card, &attention, memory.pool(), Some(mac), WIRING, &mut clock());
    let mut nic = nic.expect("a driver");
    let csr = |register| card.state.borrow().csr[&register];
    assert_eq!((csr(csr::ADDRL), csr(csr::ADDRH)), (0x0504_0302, 0x0706));
    let base = mac_cr::FULL_DUPLEX | mac_cr::HASH | mac_cr::TX | mac_cr::RX;
    assert_eq!(csr(csr::MAC_CR), base);
    assert_eq!(nic.set_promiscuous(true), Ok(()));
    assert_eq!(csr(csr::MAC_CR), base | mac_cr::PROMISCUOUS);
    let group = Mac([0x01, 0, 0x5e, 0, 0, 1]);
    assert_eq!(nic.set_multicast_filter(&[group]), Ok(()));
    let place = hash::smsc(group);
    let expected = 1u64 << place;
    assert_eq!((csr(csr::HASHL), csr(csr::HASHH)), (expected as u32, (expected >> 32) as u32));
}

#[test]
fn the_phy_tells_of_the_link() {
    let memory = BoxedPool::new(1536, 2);
    let attention = Attention::new();
    let card = Card::new(&attention, 3);
    let mut nic = driver(&card, memory.pool());
    assert_eq!(nic.tend(Instant::from_secs(1)), Link::Down);
    card.state.borrow_mut().phy.extend([(1, 0x782d), (5, 1 << 7)]);
    assert_eq!(nic.tend(Instant::from_secs(2)), Link::Up);
    assert_eq!(card.state.borrow().csr[&csr::MAC_CR] & mac_cr::FULL_DUPLEX, 0, "100 Mbit/s, half duplex");
    assert_eq!(nic.counters().link_changes, 1);
}

#[test]
fn slots_bound_the_mtu() {
    let attention = Attention::new();
    for (slot, mtu) in [(64, None), (96, Some(82)), (600, Some(594)), (1536, Some(1500)), (9216, Some(1500))] {
        let memory = BoxedPool::new(slot, 2);
        let card = Card::new(&attention, 3);
        match Lan9118::new(&card, &attention, memory.pool(), None, WIRING, &mut clock()) {
            Ok(nic) => assert_eq!(Some(nic.capabilities().ip_mtu), mtu),
            Err(error) => assert_eq!((error, mtu), (Lan9118Error::Mtu, None)),
        }
    }
}
