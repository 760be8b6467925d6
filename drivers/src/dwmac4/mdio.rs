//! The management interface to the PHY: MACMDIOAR and MACMDIODR.

use crate::engine::LOOKS;
use crate::regs::{Registers, Timeout, look};
use crate::word::bit;

const MDIOAR: u16 = 0x0200;
const MDIODR: u16 = 0x0204;
/// Busy.
const GB: u32 = bit(0);
/// Operations of clause 22.
const READ: u32 = 0b11 << 2;
const WRITE: u32 = 0b01 << 2;
/// The management clock is HCLK / 102: below 2.45 MHz up to 250 MHz.
const CR: u32 = 0b0100 << 8;

/// Reads a register of a PHY, both numbers below 32.
pub fn read(registers: &impl Registers, phy: u8, register: u8) -> Result<u16, Timeout> {
    transfer(registers, phy, register, READ)?;
    Ok(registers.read(MDIODR) as u16)
}

/// Writes a register of a PHY.
pub fn write(registers: &impl Registers, phy: u8, register: u8, value: u16) -> Result<(), Timeout> {
    registers.write(MDIODR, value.into());
    transfer(registers, phy, register, WRITE)
}

fn transfer(registers: &impl Registers, phy: u8, register: u8, operation: u32) -> Result<(), Timeout> {
    look(LOOKS, || registers.read(MDIOAR) & GB == 0)?;
    let address = u32::from(phy & 31) << 21 | u32::from(register & 31) << 16;
    registers.write(MDIOAR, address | CR | operation | GB);
    look(LOOKS, || registers.read(MDIOAR) & GB == 0)
}
