//! The management interface to the PHY: MACMIIAR and MACMIIDR.

use crate::engine::LOOKS;
use crate::regs::{Registers, Timeout, look};
use crate::word::bit;

const MIIAR: u16 = 0x10;
const MIIDR: u16 = 0x14;
/// Busy.
const MB: u32 = bit(0);
/// Write, not read.
const MW: u32 = bit(1);
/// The management clock is HCLK / 102: below 2.12 MHz up to 216 MHz.
const CR: u32 = 0b100 << 2;

/// Reads a register of a PHY, both numbers below 32.
pub fn read(mac: &impl Registers, phy: u8, register: u8) -> Result<u16, Timeout> {
    transfer(mac, phy, register, 0)?;
    Ok(mac.read(MIIDR) as u16)
}

/// Writes a register of a PHY.
pub fn write(mac: &impl Registers, phy: u8, register: u8, value: u16) -> Result<(), Timeout> {
    mac.write(MIIDR, value.into());
    transfer(mac, phy, register, MW)
}

fn transfer(mac: &impl Registers, phy: u8, register: u8, write: u32) -> Result<(), Timeout> {
    look(LOOKS, || mac.read(MIIAR) & MB == 0)?;
    let address = u32::from(phy & 31) << 11 | u32::from(register & 31) << 6;
    mac.write(MIIAR, address | CR | write | MB);
    look(LOOKS, || mac.read(MIIAR) & MB == 0)
}
