//! The controller in software, after the data sheet rather than after the driver.

extern crate std;
use super::*;
use crate::testing::{Random, Wire, packet, receive_goes_on_while_transmit_is_full, soak};
use core::cell::RefCell;
use ringtap::frame::BoxedPool;
use std::collections::VecDeque;
use std::vec::Vec;

/// Packets that the receive FIFO holds.
const FIFO: usize = 31;

struct State {
    incoming: VecDeque<Vec<u8>>,
    /// Packets as words.
    fifo: VecDeque<VecDeque<u32>>,
    status: u32,
    mask: u32,
    rctl: u32,
    tctl: u32,
    address: [u32; 2],
    tx: Vec<u32>,
    sending: bool,
    held: bool,
    sent: Vec<Vec<u8>>,
    lost: usize,
    /// MDIO: the last transfer's register; what the PHY's registers hold; looks until a transfer ends.
    phy: Option<[u16; 32]>,
    written: u16,
    busy: u32,
    read: u16,
}

struct Card<'a> {
    attention: &'a Attention,
    random: Random,
    state: RefCell<State>,
}

impl<'a> Card<'a> {
    fn new(attention: &'a Attention, seed: u64) -> Self {
        let state = State {
            incoming: VecDeque::new(),
            fifo: VecDeque::new(),
            status: 0,
            mask: 0,
            rctl: 0,
            tctl: 0,
            address: [0; 2],
            tx: Vec::new(),
            sending: false,
            held: false,
            sent: Vec::new(),
            lost: 0,
            phy: None,
            written: 0,
            busy: 0,
            read: 0,
        };
        Self { attention, random: Random::new(seed), state: RefCell::new(state) }
    }

    /// Puts words into the FIFO as if a packet of this length had come.
    fn inject(&self, total: usize, frame: &[u8]) {
        let mut octets = (total as u16).to_le_bytes().to_vec();
        octets.extend_from_slice(frame);
        octets.extend_from_slice(&[0xfc; 4]);
        octets.resize(octets.len().next_multiple_of(4), 0);
        let words = octets.chunks(4).map(|w| u32::from_le_bytes(w.try_into().expect("four"))).collect();
        let mut state = self.state.borrow_mut();
        state.fifo.push_back(words);
        state.status |= RX;
    }

    fn arrive(&self) {
        let Some(octets) = self.state.borrow_mut().incoming.pop_front() else { return };
        let state = self.state.borrow();
        let (on, full) = (state.rctl & RCTL_ENABLE != 0, state.fifo.len() == FIFO);
        drop(state);
        if on && !full {
            return self.inject(octets.len() + AROUND, &octets);
        }
        let mut state = self.state.borrow_mut();
        state.lost += 1;
        if full {
            state.status |= OVERRUN;
        }
    }

    fn finish_sending(&self) {
        let mut state = self.state.borrow_mut();
        if !state.sending || state.held {
            return;
        }
        state.sending = false;
        state.status |= TX_EMPTY;
        let octets: Vec<u8> = core::mem::take(&mut state.tx).into_iter().flat_map(u32::to_le_bytes).collect();
        let len = usize::from(u16::from_le_bytes([octets[0], octets[1]])) + 14;
        assert!(octets.len() >= 2 + len && octets.len() < 2 + len + 4, "as many words as the length says");
        state.sent.push(octets[2..2 + len].to_vec());
    }

    fn interrupt(&self) {
        let state = self.state.borrow();
        if state.status & state.mask != 0 {
            drop(state);
            self.state.borrow_mut().mask = 0;
            self.attention.raise();
        }
    }

    fn moves(&self) {
        match self.random.below(12) {
            0 => self.arrive(),
            1 => self.finish_sending(),
            _ => {}
        }
        self.interrupt();
    }
}

impl Registers for Card<'_> {
    fn read(&self, offset: u16) -> u32 {
        self.moves();
        let mut state = self.state.borrow_mut();
        match offset {
            RIS => state.status,
            NP => state.fifo.len() as u32,
            TR => state.sending.into(),
            DATA => {
                let packet = state.fifo.front_mut().expect("read beyond the last packet");
                let word = packet.pop_front().expect("an empty packet");
                if packet.is_empty() {
                    state.fifo.pop_front();
                }
                word
            }
            MCTL => {
                state.busy = state.busy.saturating_sub(1);
                u32::from(state.busy > 0)
            }
            MRXD => state.read.into(),
            _ => panic!("{offset:#x} is not to be read"),
        }
    }

    fn write(&self, offset: u16, value: u32) {
        self.moves();
        {
            let mut state = self.state.borrow_mut();
            match offset {
                RIS => state.status &= !value,
                IM => state.mask = value,
                RCTL => {
                    if value & RCTL_RESET != 0 {
                        assert!(value & RCTL_ENABLE == 0, "the FIFO is reset while the receiver is off");
                        state.lost += state.fifo.len();
                        state.fifo.clear();
                    }
                    state.rctl = value & !RCTL_RESET;
                }
                TCTL => state.tctl = value,
                DATA => {
                    assert!(!state.sending, "written while it sends");
                    state.tx.push(value);
                }
                TR => state.sending = value & 1 != 0,
                IA0 => state.address[0] = value,
                IA1 => state.address[1] = value,
                MDV => assert_eq!(value, 9, "2.5 MHz of 50 MHz"),
                MTXD => state.written = value as u16,
                MCTL => {
                    let register = usize::from((value >> 3 & 31) as u8);
                    let written = state.written;
                    state.busy = 5;
                    match &mut state.phy {
                        Some(registers) if value & MCTL_WRITE != 0 => registers[register] = written & 0x7fff,
                        Some(registers) => state.read = registers[register],
                        None => state.read = 0,
                    }
                }
                _ => panic!("{offset:#x} is not to be written"),
            }
        }
        self.interrupt();
    }
}

impl Wire for Card<'_> {
    fn send(&self, packet: Vec<u8>) {
        self.state.borrow_mut().incoming.push_back(packet);
    }

    fn step(&self) {
        self.moves();
    }

    fn is_quiet(&self) -> bool {
        let state = self.state.borrow();
        state.incoming.is_empty() && state.fifo.is_empty() && !state.sending
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

const MAC: Mac = Mac([2, 3, 4, 5, 6, 7]);

fn driver<'p, 'c>(card: &'c Card<'p>, pool: Pool<'p>) -> Stellaris<'p, &'c Card<'p>> {
    Stellaris::new(card, card.attention, pool, MAC, PhyUse::None, 50_000_000, &mut || Instant::ZERO).expect("a driver")
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
fn an_impossible_length_is_counted_and_the_fifo_begins_anew() {
    for total in [0, 5, 19, 1521, 0xffff] {
        let memory = BoxedPool::new(1536, 8);
        let attention = Attention::new();
        let card = Card::new(&attention, 3);
        let mut nic = driver(&card, memory.pool());
        card.inject(total, &packet(0, 60));
        assert!(nic.receive().is_none());
        assert_eq!(nic.counters().rx_errors, 1, "{total}");
        card.inject(60 + AROUND, &packet(1, 60));
        assert_eq!(&nic.receive().expect("the next").0[..], packet(1, 60));
    }
}

#[test]
fn frames_that_fit_no_fifo_are_counted_and_nothing_is_written() {
    let memory = BoxedPool::new(2048, 2);
    let attention = Attention::new();
    let card = Card::new(&attention, 3);
    let mut nic = driver(&card, memory.pool());
    for len in [0, 1, 13, 1515, 2000] {
        let mut frame = memory.pool().take(0).expect("it came back");
        frame.append(len).expect("room");
        assert!(nic.transmit(frame, TxMeta::default()).is_ok());
    }
    assert_eq!(nic.counters().tx_errors, 5);
    assert!(card.state.borrow().tx.is_empty());
}

#[test]
fn address_and_filters_are_set() {
    let memory = BoxedPool::new(1536, 2);
    let attention = Attention::new();
    let card = Card::new(&attention, 3);
    let mut nic = driver(&card, memory.pool());
    assert_eq!(card.state.borrow().address, [0x0504_0302, 0x0706]);
    for (groups, promiscuous, expected) in
        [(&[][..], false, 0), (&[Mac::BROADCAST][..], false, RCTL_ALL_GROUPS), (&[][..], true, RCTL_PROMISCUOUS)]
    {
        assert_eq!((nic.set_multicast_filter(groups), nic.set_promiscuous(promiscuous)), (Ok(()), Ok(())));
        assert_eq!(card.state.borrow().rctl, RCTL_ENABLE | RCTL_REJECT_BAD | expected);
    }
    assert_eq!(card.state.borrow().tctl, TCTL_ON | TCTL_FULL_DUPLEX);
}

#[test]
fn the_phy_tells_of_the_link_and_a_missing_one_is_an_error() {
    let memory = BoxedPool::new(1536, 2);
    let attention = Attention::new();
    let card = Card::new(&attention, 3);
    let new = || {
        let clock: Clock<'_> = &mut || Instant::ZERO;
        Stellaris::new(&card, &attention, memory.pool(), MAC, PhyUse::Internal, 50_000_000, clock)
    };
    assert_eq!(new().err(), Some(StellarisError::Phy(PhyError::NotFound)));
    let mut registers = [0; 32];
    (registers[1], registers[2], registers[3], registers[5]) = (0x7800, 0x0161, 0xb410, 1 << 7);
    card.state.borrow_mut().phy = Some(registers);
    let mut nic = new().expect("a driver");
    assert_eq!(nic.tend(Instant::from_secs(1)), Link::Down);
    card.state.borrow_mut().phy.as_mut().expect("it is there")[1] |= 1 << 2;
    assert_eq!(nic.tend(Instant::from_secs(2)), Link::Up);
    assert_eq!(card.state.borrow().tctl & TCTL_FULL_DUPLEX, 0, "100 Mbit/s, half duplex");
    assert_eq!(nic.counters().link_changes, 1);
}

#[test]
fn slots_bound_the_mtu_and_addresses_are_stations() {
    let attention = Attention::new();
    for (slot, mtu) in [(64, None), (96, Some(82)), (600, Some(594)), (1536, Some(1500)), (9216, Some(1500))] {
        let memory = BoxedPool::new(slot, 2);
        let card = Card::new(&attention, 3);
        let clock: Clock<'_> = &mut || Instant::ZERO;
        let made = Stellaris::new(&card, &attention, memory.pool(), MAC, PhyUse::None, 50_000_000, clock);
        match made {
            Ok(nic) => assert_eq!(Some(nic.capabilities().ip_mtu), mtu),
            Err(error) => assert_eq!((error, mtu), (StellarisError::Mtu, None)),
        }
    }
    let memory = BoxedPool::new(1536, 2);
    for mac in [Mac::default(), Mac::BROADCAST] {
        let card = Card::new(&attention, 3);
        let clock: Clock<'_> = &mut || Instant::ZERO;
        let made = Stellaris::new(&card, &attention, memory.pool(), mac, PhyUse::None, 50_000_000, clock);
        assert_eq!(made.err(), Some(StellarisError::Address));
    }
}

#[test]
fn packets_that_no_slot_holds_are_counted_and_the_next_one_is_whole() {
    let memory = BoxedPool::new(96, 2);
    let attention = Attention::new();
    let card = Card::new(&attention, 3);
    let mut nic = driver(&card, memory.pool());
    card.inject(97 + AROUND, &packet(0, 97));
    card.inject(96 + AROUND, &packet(1, 96));
    assert_eq!(&nic.receive().expect("the second").0[..], packet(1, 96));
    assert_eq!(nic.counters().rx_no_frame, 1);
}
