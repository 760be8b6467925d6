//! PHYs over MDIO: found, reset, told to negotiate, and asked whether there is a link.
//!
//! Implements the registers of IEEE 802.3 clause 22 (§22.2.4) and auto-negotiation's of clause 28; what common PHYs say
//! beyond that is in [`model`].
//!
//! ```text
//!   start: identify ─▶ reset ─▶ advertise, negotiate ─▶ tend: link? ─ yes ─▶ speed and duplex
//!             └─ nobody there, or never ready: PhyError           └─ no ─▶ again in 250 ms
//! ```

pub mod model;

#[cfg(test)]
mod tests;

use crate::regs::{Clock, Timeout, wait};
use core::fmt;
use model::Model;
use ringtap::device::Link;
use ringtap::time::{Duration, Instant};

/// The two-wire bus between a MAC and its PHYs (IEEE 802.3 §22.2.4.5).
///
/// A transfer takes 64 bit times at 2.5 MHz at most: 26 µs. Implementations wait for its end, with a bound.
pub trait Mdio {
    /// Reads `register` (0 to 31) of the PHY at address `phy` (0 to 31).
    ///
    /// # Errors
    /// [`Timeout`] when the transfer does not end.
    fn read(&mut self, phy: u8, register: u8) -> Result<u16, Timeout>;

    /// Writes `register` (0 to 31) of the PHY at address `phy` (0 to 31).
    ///
    /// # Errors
    /// [`Timeout`] when the transfer does not end.
    fn write(&mut self, phy: u8, register: u8, value: u16) -> Result<(), Timeout>;
}

/// Basic mode control.
const BMCR: u8 = 0;
const BMCR_RESET: u16 = 1 << 15;
const BMCR_NEGOTIATE: u16 = 1 << 12;
const BMCR_RESTART: u16 = 1 << 9;
/// Basic mode status.
const BMSR: u8 = 1;
const BMSR_LINK: u16 = 1 << 2;
const BMSR_NEGOTIATES: u16 = 1 << 3;
const BMSR_NEGOTIATED: u16 = 1 << 5;
const BMSR_EXTENDED: u16 = 1 << 8;
/// Identifier, upper and lower half.
const ID1: u8 = 2;
const ID2: u8 = 3;
/// What we can do, what the partner can do.
const ADVERTISE: u8 = 4;
const PARTNER: u8 = 5;
/// 1000BASE-T control and status.
const GIGABIT_CONTROL: u8 = 9;
const GIGABIT_STATUS: u8 = 10;

/// Abilities in ADVERTISE and PARTNER (IEEE 802.3 §28.2.1.2).
const SELECTOR: u16 = 1;
const TEN_HALF: u16 = 1 << 5;
const TEN_FULL: u16 = 1 << 6;
const HUNDRED_HALF: u16 = 1 << 7;
const HUNDRED_FULL: u16 = 1 << 8;
/// In GIGABIT_CONTROL; GIGABIT_STATUS has the partner's two places higher.
const GIGABIT_FULL: u16 = 1 << 9;

/// A reset is over within 0.5 s (IEEE 802.3 §22.2.4.1.1); some PHYs take longer after power-up.
const RESET_LIMIT: Duration = Duration::from_millis(1000);

/// How often the link is looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// Bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Speed {
    /// 10 Mbit/s.
    Ten,
    /// 100 Mbit/s.
    Hundred,
    /// 1 Gbit/s.
    Gigabit,
}

/// How a link that is up runs; the MAC is set alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Its speed.
    pub speed: Speed,
    /// Whether both ends may send at once.
    pub full_duplex: bool,
}

impl Mode {
    /// What PHYs that say nothing of it are taken to run at.
    pub const DEFAULT: Self = Self { speed: Speed::Hundred, full_duplex: true };
}

/// Why a PHY cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PhyError {
    /// No PHY answers, at the given address or at any.
    NotFound,
    /// It does not come out of its reset, or the bus hangs.
    Timeout,
}

impl PhyError {
    /// The error in a few words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotFound => "no PHY answers",
            Self::Timeout => "the PHY does not become ready",
        }
    }
}

impl fmt::Display for PhyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for PhyError {}

impl From<Timeout> for PhyError {
    fn from(_: Timeout) -> Self {
        Self::Timeout
    }
}

/// A PHY that was started.
#[derive(Clone, Debug)]
pub struct Phy {
    address: u8,
    id: u32,
    gigabit: bool,
    mode: Option<Mode>,
    next: Instant,
    changes: u32,
}

impl Phy {
    /// Finds the PHY at `address`, or at the first of all 32 that answers; resets it; starts auto-negotiation of what it
    /// can do up to `max`. The link comes later: see [`tend`](Self::tend).
    ///
    /// Returns within two seconds on `clock`, whatever the PHY does.
    ///
    /// # Errors
    /// [`PhyError`] when nobody is there, or it does not become ready.
    pub fn start<M: Mdio>(mdio: &mut M, address: Option<u8>, max: Speed, clock: Clock<'_>) -> Result<Self, PhyError> {
        let (address, id) = find(mdio, address)?;
        mdio.write(address, BMCR, BMCR_RESET)?;
        let mut failed = false;
        wait(clock, RESET_LIMIT, || match mdio.read(address, BMCR) {
            Ok(value) => value & BMCR_RESET == 0,
            Err(Timeout) => {
                failed = true;
                true
            }
        })?;
        if failed {
            return Err(PhyError::Timeout);
        }
        let gigabit = negotiate(mdio, address, max)?;
        let now = clock();
        Ok(Self { address, id, gigabit, mode: None, next: now, changes: 0 })
    }

    /// Looks at the link when it is time for it, four times a second; whether its state has changed.
    ///
    /// A PHY whose bus hangs has no link.
    pub fn tend<M: Mdio>(&mut self, mdio: &mut M, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + INTERVAL;
        let mode = self.look(mdio).unwrap_or(None);
        let changed = mode != self.mode;
        self.mode = mode;
        self.changes = self.changes.wrapping_add(u32::from(changed));
        changed
    }

    /// The state of the link, as [`tend`](Self::tend) found it.
    pub fn link(&self) -> Link {
        if self.mode.is_some() { Link::Up } else { Link::Down }
    }

    /// How the link runs, while it is up.
    pub fn mode(&self) -> Option<Mode> {
        self.mode
    }

    /// Times that the link went up, went down, or changed its mode.
    pub fn changes(&self) -> u32 {
        self.changes
    }

    /// Its address on the bus.
    pub fn address(&self) -> u8 {
        self.address
    }

    /// Its identifier: register 2 in the upper half, register 3 in the lower (IEEE 802.3 §22.2.4.3.1).
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How the link runs; `None` without one.
    fn look<M: Mdio>(&self, mdio: &mut M) -> Result<Option<Mode>, Timeout> {
        let status = mdio.read(self.address, BMSR)?;
        // The bit of a link that went down stays low until it was read: a flap is not missed, and lasts one interval.
        if status == u16::MAX || status & BMSR_LINK == 0 {
            return Ok(None);
        }
        if status & BMSR_NEGOTIATES != 0 && status & BMSR_NEGOTIATED == 0 {
            return Ok(None);
        }
        if let Some(mode) = Model::of(self.id).mode(mdio, self.address)? {
            return Ok(Some(mode));
        }
        self.negotiated(mdio).map(|mode| Some(mode.unwrap_or(Mode::DEFAULT)))
    }

    /// The best that both ends can do (IEEE 802.3 annex 28B.3).
    fn negotiated<M: Mdio>(&self, mdio: &mut M) -> Result<Option<Mode>, Timeout> {
        if self.gigabit {
            let ours = mdio.read(self.address, GIGABIT_CONTROL)?;
            let theirs = mdio.read(self.address, GIGABIT_STATUS)? >> 2;
            if ours & theirs & GIGABIT_FULL != 0 {
                return Ok(Some(Mode { speed: Speed::Gigabit, full_duplex: true }));
            }
        }
        let both = mdio.read(self.address, ADVERTISE)? & mdio.read(self.address, PARTNER)?;
        Ok(best(both))
    }
}

/// The best of these abilities.
fn best(abilities: u16) -> Option<Mode> {
    let table = [
        (HUNDRED_FULL, Speed::Hundred, true),
        (HUNDRED_HALF, Speed::Hundred, false),
        (TEN_FULL, Speed::Ten, true),
        (TEN_HALF, Speed::Ten, false),
    ];
    let found = table.into_iter().find(|(bit, ..)| abilities & bit != 0);
    found.map(|(_, speed, full_duplex)| Mode { speed, full_duplex })
}

/// The address and identifier of the PHY that answers.
fn find<M: Mdio>(mdio: &mut M, address: Option<u8>) -> Result<(u8, u32), PhyError> {
    let (first, last) = address.map_or((0, 31), |a| (a & 31, a & 31));
    for address in first..=last {
        let id = u32::from(mdio.read(address, ID1)?) << 16 | u32::from(mdio.read(address, ID2)?);
        // Where nobody drives the bus it reads as ones, or, with a pull-down, as zeros. One half may well be zero.
        let half_dead = id >> 16 == 0xffff || id & 0xffff == 0xffff;
        if id != 0 && !half_dead {
            return Ok((address, id));
        }
    }
    Err(PhyError::NotFound)
}

/// Advertises what the PHY can do up to `max`, and starts negotiating; whether a gigabit is among it.
fn negotiate<M: Mdio>(mdio: &mut M, address: u8, max: Speed) -> Result<bool, Timeout> {
    let status = mdio.read(address, BMSR)?;
    let mut abilities = SELECTOR;
    // Abilities in BMSR, from bit 11 up, are in the order of ADVERTISE, from bit 5 up.
    abilities |= (status >> 11 & 0b11) << 5;
    if max >= Speed::Hundred {
        abilities |= (status >> 13 & 0b11) << 7;
    }
    mdio.write(address, ADVERTISE, abilities)?;
    let gigabit = max >= Speed::Gigabit && status & BMSR_EXTENDED != 0;
    if status & BMSR_EXTENDED != 0 {
        mdio.write(address, GIGABIT_CONTROL, if gigabit { GIGABIT_FULL } else { 0 })?;
    }
    mdio.write(address, BMCR, BMCR_NEGOTIATE | BMCR_RESTART)?;
    Ok(gigabit)
}
