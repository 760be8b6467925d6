//! A PHY in software: alive, dead, slow, and without a cable.

extern crate std;
use super::model::{MODELS, Model};
use super::*;
use core::cell::Cell;

/// A bus with one PHY.
struct Bus {
    address: u8,
    registers: [u16; 32],
    /// Looks at BMCR until a reset is over; `u32::MAX`: never.
    reset: u32,
    resetting: u32,
    /// Transfers never end.
    hangs: bool,
    link: bool,
    /// The link was down since BMSR was read.
    was_down: bool,
}

impl Bus {
    fn new(address: u8, id: u32) -> Self {
        let mut registers = [0; 32];
        registers[usize::from(BMSR)] = 0x7800 | BMSR_NEGOTIATES;
        (registers[2], registers[3]) = ((id >> 16) as u16, id as u16);
        Self { address, registers, reset: 3, resetting: 0, hangs: false, link: false, was_down: true }
    }

    fn set_link(&mut self, up: bool) {
        self.link = up;
        self.was_down |= !up;
    }

    fn negotiated(&mut self, partner: u16) {
        self.registers[usize::from(BMSR)] |= BMSR_NEGOTIATED;
        self.registers[usize::from(PARTNER)] = partner;
    }
}

impl Mdio for Bus {
    fn read(&mut self, phy: u8, register: u8) -> Result<u16, Timeout> {
        assert!(phy < 32 && register < 32);
        if self.hangs {
            return Err(Timeout);
        }
        if phy != self.address {
            return Ok(0xffff);
        }
        if register == BMCR && self.resetting > 0 {
            self.resetting -= u32::from(self.resetting != u32::MAX);
            return Ok(self.registers[0] | BMCR_RESET);
        }
        if register == BMSR {
            let up = self.link && !core::mem::replace(&mut self.was_down, !self.link);
            return Ok(self.registers[1] | if up { BMSR_LINK } else { 0 });
        }
        Ok(self.registers[usize::from(register)])
    }

    fn write(&mut self, phy: u8, register: u8, value: u16) -> Result<(), Timeout> {
        assert!(phy < 32 && register < 32);
        if self.hangs {
            return Err(Timeout);
        }
        if phy == self.address {
            if register == BMCR && value & BMCR_RESET != 0 {
                self.resetting = self.reset;
            } else {
                assert_eq!(self.resetting, 0, "written while it resets");
                let clears_itself = if register == BMCR { BMCR_RESTART } else { 0 };
                self.registers[usize::from(register)] = value & !clears_itself;
            }
        }
        Ok(())
    }
}

/// A clock that goes on 100 µs at each look.
fn ticking(time: &Cell<u64>) -> impl FnMut() -> Instant + '_ {
    || {
        time.set(time.get() + 100);
        Instant::from_micros(time.get())
    }
}

fn start(bus: &mut Bus, address: Option<u8>, max: Speed) -> Result<Phy, PhyError> {
    let time = Cell::new(0);
    Phy::start(bus, address, max, &mut ticking(&time))
}

#[test]
fn a_phy_is_found_wherever_it_is_and_nowhere_else() {
    for at in [0, 1, 7, 31] {
        let mut bus = Bus::new(at, 0x0007_c0f1);
        assert_eq!(start(&mut bus, None, Speed::Hundred).map(|p| (p.address(), p.id())), Ok((at, 0x0007_c0f1)));
        assert_eq!(start(&mut bus, Some(at), Speed::Hundred).map(|p| p.address()), Ok(at));
        assert_eq!(start(&mut bus, Some(at ^ 2), Speed::Hundred).err(), Some(PhyError::NotFound));
    }
}

#[test]
fn a_dead_phy_is_an_error_within_five_seconds_of_the_callers_clock() {
    type Kill = fn(&mut Bus);
    let cases: [(&str, Kill, PhyError); 4] = [
        ("nobody there", |bus| bus.address = 40, PhyError::NotFound),
        ("all zeros", |bus| bus.registers = [0; 32], PhyError::NotFound),
        ("never out of reset", |bus| bus.reset = u32::MAX, PhyError::Timeout),
        ("the bus hangs", |bus| bus.hangs = true, PhyError::Timeout),
    ];
    for (name, kill, error) in cases {
        let mut bus = Bus::new(1, 0x0007_c130);
        kill(&mut bus);
        let time = Cell::new(0);
        assert_eq!(Phy::start(&mut bus, None, Speed::Hundred, &mut ticking(&time)).err(), Some(error), "{name}");
        assert!(time.get() < 5_000_000, "{name}");
    }
}

#[test]
fn what_is_advertised_is_what_the_phy_can_do_up_to_what_the_mac_can() {
    for (max, can, advertised) in [
        (Speed::Hundred, 0x7800, TEN_HALF | TEN_FULL | HUNDRED_HALF | HUNDRED_FULL),
        (Speed::Ten, 0x7800, TEN_HALF | TEN_FULL),
        (Speed::Hundred, 0x4000, HUNDRED_FULL),
        (Speed::Hundred, 0x1000, TEN_FULL),
    ] {
        let mut bus = Bus::new(1, 0x1234_5678);
        bus.registers[1] = can | BMSR_NEGOTIATES;
        start(&mut bus, None, max).expect("a PHY");
        assert_eq!(bus.registers[4], advertised | SELECTOR, "{max:?} {can:#x}");
        assert_eq!(bus.registers[0], BMCR_NEGOTIATE);
    }
    for (max, control) in [(Speed::Hundred, 0), (Speed::Gigabit, GIGABIT_FULL)] {
        let mut bus = Bus::new(1, 0x1234_5678);
        (bus.registers[1], bus.registers[9]) = (0x7800 | BMSR_EXTENDED, 0x0300);
        start(&mut bus, None, max).expect("a PHY");
        assert_eq!(bus.registers[9], control, "{max:?}");
    }
}

#[test]
fn the_link_is_up_once_negotiated_and_a_short_break_is_seen() {
    let mut bus = Bus::new(1, 0x1234_5678);
    let mut phy = start(&mut bus, None, Speed::Hundred).expect("a PHY");
    let mut at = 1_000;
    let mut tend = |phy: &mut Phy, bus: &mut Bus| {
        at += 250;
        (phy.tend(bus, Instant::from_millis(at)), phy.link())
    };
    assert_eq!(tend(&mut phy, &mut bus), (false, Link::Down));
    bus.set_link(true);
    assert_eq!(tend(&mut phy, &mut bus), (false, Link::Down), "not negotiated yet");
    bus.negotiated(TEN_FULL | HUNDRED_HALF);
    assert_eq!(tend(&mut phy, &mut bus), (true, Link::Up));
    assert_eq!(phy.mode(), Some(Mode { speed: Speed::Hundred, full_duplex: false }));
    assert_eq!(tend(&mut phy, &mut bus), (false, Link::Up));
    bus.set_link(false);
    bus.set_link(true);
    assert_eq!(tend(&mut phy, &mut bus), (true, Link::Down), "between two looks");
    assert_eq!(tend(&mut phy, &mut bus), (true, Link::Up));
    bus.hangs = true;
    assert_eq!(tend(&mut phy, &mut bus), (true, Link::Down));
    assert_eq!(phy.changes(), 4);
    let before = phy.changes();
    bus.hangs = false;
    assert!(!phy.tend(&mut bus, Instant::from_millis(10)), "not before its time");
    assert_eq!(phy.changes(), before);
}

#[test]
fn the_best_that_both_can_do_is_taken() {
    for (partner, gigabit, mode) in [
        (HUNDRED_FULL | TEN_FULL, 0, (Speed::Hundred, true)),
        (TEN_FULL | TEN_HALF, 0, (Speed::Ten, true)),
        (TEN_HALF, 0, (Speed::Ten, false)),
        (HUNDRED_FULL, 1 << 11, (Speed::Gigabit, true)),
        // A partner that does not negotiate, seen by a PHY that does not say what it sees.
        (0, 0, (Speed::Hundred, true)),
    ] {
        let mut bus = Bus::new(1, 0x1234_5678);
        bus.registers[1] = 0x7800 | BMSR_NEGOTIATES | BMSR_EXTENDED;
        let mut phy = start(&mut bus, None, Speed::Gigabit).expect("a PHY");
        bus.registers[10] = gigabit;
        (bus.link, bus.was_down) = (true, false);
        bus.negotiated(partner);
        assert!(phy.tend(&mut bus, Instant::from_secs(9)));
        assert_eq!(phy.mode().map(|m| (m.speed, m.full_duplex)), Some(mode), "{partner:#x}");
    }
}

#[test]
fn known_phys_are_told_apart_and_say_how_their_link_runs() {
    let (ten, hundred, gigabit) = (Speed::Ten, Speed::Hundred, Speed::Gigabit);
    for (id, name, status, mode) in [
        (0x0007_c0f1, "LAN8720", 0b110 << 2, Some((hundred, true))),
        (0x0007_c0f0, "LAN8720", 0b010 << 2, Some((hundred, false))),
        (0x0007_c131, "LAN8742A", 0b101 << 2, Some((ten, true))),
        (0x0007_c130, "LAN8742A", 0b001 << 2, Some((ten, false))),
        (0x0007_c130, "LAN8742A", 0, None),
        (0x2000_5c90, "DP83848", 0b001, Some((hundred, false))),
        (0x2000_5c90, "DP83848", 0b111, Some((ten, true))),
        (0x2000_5c90, "DP83848", 0b110, None),
        (0x2000_a140, "DP83825I", 0b101, Some((hundred, true))),
        (0x0022_1560, "KSZ8081", 0b110, Some((hundred, true))),
        (0x0022_1561, "KSZ8081", 0b001, Some((ten, false))),
        (0x0022_1561, "KSZ8081", 0b000, None),
        (0x0141_0cc2, "88E1xxx", 0xa800, Some((gigabit, true))),
        (0x0141_0dd1, "88E1xxx", 0x4800, Some((hundred, false))),
        (0x0141_0dd1, "88E1xxx", 0x6000, None),
        (0x0007_c0d1, "generic", 0b110 << 2, None),
        (0x1234_5678, "generic", 0xffff, None),
    ] {
        let model = Model::of(id);
        let decoded = (model.decode)(status).map(|m| (m.speed, m.full_duplex));
        assert_eq!((model.name, decoded), (name, mode), "{id:#x} {status:#x}");
    }
    assert!(MODELS.iter().all(|m| m.id & !m.mask == 0));
}
