//! What particular PHYs say of their link beyond the standard: the mode that it really runs in, also where the partner
//! does not negotiate.

use super::{Mdio, Mode, Speed};
use crate::regs::Timeout;

/// A family of PHYs: where its status is, and what its bits mean.
#[derive(Debug)]
pub struct Model {
    /// The family's name.
    pub name: &'static str,
    /// Identifiers of the family: registers 2 and 3, in the bits of `mask`.
    pub id: u32,
    /// Bits of the identifier that count; the lowest four are the revision.
    pub mask: u32,
    /// The register with the mode; `None`: only what the standard has.
    pub register: Option<u8>,
    /// The mode from that register; `None`: it does not say.
    pub decode: fn(u16) -> Option<Mode>,
}

/// What is known. The generic PHY comes last and matches every identifier.
pub const MODELS: &[Model] = &[
    // Microchip LAN8720A data sheet DS00002165, §4.2.18: PHY special control/status, register 31, HCDSPEED in bits 4:2.
    Model { name: "LAN8720", id: 0x0007_c0f0, mask: 0xffff_fff0, register: Some(31), decode: lan87xx },
    // Microchip LAN8742A data sheet DS00001989, the same register.
    Model { name: "LAN8742A", id: 0x0007_c130, mask: 0xffff_fff0, register: Some(31), decode: lan87xx },
    // TI DP83848 data sheet SNLS266, PHYSTS: register 16.
    Model { name: "DP83848", id: 0x2000_5c90, mask: 0xffff_fff0, register: Some(16), decode: dp83848 },
    // TI DP83825I data sheet SNLS638, the same register and bits.
    Model { name: "DP83825I", id: 0x2000_a140, mask: 0xffff_fff0, register: Some(16), decode: dp83848 },
    // Microchip KSZ8081 data sheet DS00002199, PHY control 1: register 30, operation mode in bits 2:0.
    Model { name: "KSZ8081", id: 0x0022_1560, mask: 0xffff_fff0, register: Some(30), decode: ksz8081 },
    // Marvell 88E1xxx: copper specific status, register 17.
    Model { name: "88E1xxx", id: 0x0141_0c00, mask: 0xffff_fc00, register: Some(17), decode: marvell },
    Model { name: "generic", id: 0, mask: 0, register: None, decode: |_| None },
];

impl Model {
    /// The family with this identifier.
    pub fn of(id: u32) -> &'static Self {
        let (generic, known) = (&MODELS[MODELS.len() - 1], &MODELS[..MODELS.len() - 1]);
        known.iter().find(|m| id & m.mask == m.id).unwrap_or(generic)
    }

    /// The mode of a link that is up, where the PHY says.
    pub(super) fn mode<M: Mdio>(&self, mdio: &mut M, address: u8) -> Result<Option<Mode>, Timeout> {
        match self.register {
            Some(register) => mdio.read(address, register).map(self.decode),
            None => Ok(None),
        }
    }
}

const fn mode(speed: Speed, full_duplex: bool) -> Option<Mode> {
    Some(Mode { speed, full_duplex })
}

fn lan87xx(status: u16) -> Option<Mode> {
    match status >> 2 & 0b111 {
        0b001 => mode(Speed::Ten, false),
        0b101 => mode(Speed::Ten, true),
        0b010 => mode(Speed::Hundred, false),
        0b110 => mode(Speed::Hundred, true),
        _ => None,
    }
}

fn dp83848(status: u16) -> Option<Mode> {
    // Bit 0: link; bit 1: 10 Mbit/s; bit 2: full duplex.
    let speed = if status & 1 << 1 != 0 { Speed::Ten } else { Speed::Hundred };
    if status & 1 != 0 { mode(speed, status & 1 << 2 != 0) } else { None }
}

fn ksz8081(control: u16) -> Option<Mode> {
    match control & 0b111 {
        0b001 => mode(Speed::Ten, false),
        0b010 => mode(Speed::Hundred, false),
        0b101 => mode(Speed::Ten, true),
        0b110 => mode(Speed::Hundred, true),
        _ => None,
    }
}

fn marvell(status: u16) -> Option<Mode> {
    // Bit 11: speed and duplex resolved; bit 13: full duplex; bits 15:14: speed.
    let speed = match status >> 14 {
        0b00 => Speed::Ten,
        0b01 => Speed::Hundred,
        0b10 => Speed::Gigabit,
        _ => return None,
    };
    if status & 1 << 11 != 0 { mode(speed, status & 1 << 13 != 0) } else { None }
}
