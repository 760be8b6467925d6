//! The registers of the LAN9118, as the driver uses them.

use crate::regs::{Registers, Timeout, look};

pub const RX_DATA: u16 = 0x00;
pub const TX_DATA: u16 = 0x20;
pub const RX_STATUS: u16 = 0x40;
pub const TX_STATUS: u16 = 0x48;
pub const IRQ_CFG: u16 = 0x54;
pub const INT_STS: u16 = 0x58;
pub const INT_EN: u16 = 0x5c;
pub const BYTE_TEST: u16 = 0x64;
pub const FIFO_INT: u16 = 0x68;
pub const RX_CFG: u16 = 0x6c;
pub const TX_CFG: u16 = 0x70;
pub const HW_CFG: u16 = 0x74;
pub const RX_DP_CTL: u16 = 0x78;
pub const RX_FIFO_INF: u16 = 0x7c;
pub const TX_FIFO_INF: u16 = 0x80;
pub const PMT_CTRL: u16 = 0x84;
pub const RX_DROP: u16 = 0xa0;
pub const MAC_CSR_CMD: u16 = 0xa4;
pub const MAC_CSR_DATA: u16 = 0xa8;

/// What BYTE_TEST reads as, if words arrive as they should.
pub const BYTE_ORDER: u32 = 0x8765_4321;

/// Bits of INT_STS and INT_EN.
pub mod int {
    /// The receive status FIFO has more entries than the level of FIFO_INT.
    pub const RSFL: u32 = 1 << 3;
    /// There is more room in the transmit FIFO than the level of FIFO_INT.
    pub const TDFA: u32 = 1 << 9;
    /// A FIFO of receive was read or written wrongly.
    pub const RXE: u32 = 1 << 14;
    /// As `RXE`, of transmit.
    pub const TXE: u32 = 1 << 13;
}

/// Bits of a receive status.
pub mod rx {
    pub const LENGTH_SHIFT: u32 = 16;
    pub const LENGTH: u32 = 0x3fff;
    pub const ERROR: u32 = 1 << 15;
    pub const FILTERED: u32 = 1 << 30;
}

/// Registers of the MAC behind MAC_CSR_CMD.
pub mod csr {
    pub const MAC_CR: u8 = 1;
    pub const ADDRH: u8 = 2;
    pub const ADDRL: u8 = 3;
    pub const HASHH: u8 = 4;
    pub const HASHL: u8 = 5;
    pub const MII_ACC: u8 = 6;
    pub const MII_DATA: u8 = 7;
}

/// Bits of MAC_CR.
pub mod mac_cr {
    pub const FULL_DUPLEX: u32 = 1 << 20;
    pub const PROMISCUOUS: u32 = 1 << 18;
    /// Groups by their hashes.
    pub const HASH: u32 = 1 << 13;
    pub const TX: u32 = 1 << 3;
    pub const RX: u32 = 1 << 2;
}

/// A look takes more than 100 ns on the chip's bus, and what is waited for some microseconds.
const LOOKS: u32 = 100_000;
const CSR_BUSY: u32 = 1 << 31;
const CSR_READ: u32 = 1 << 30;
const MII_BUSY: u32 = 1 << 0;
const MII_WRITE: u32 = 1 << 1;

/// Reads a register of the MAC.
pub fn csr_read(regs: &impl Registers, register: u8) -> Result<u32, Timeout> {
    csr_idle(regs)?;
    regs.write(MAC_CSR_CMD, CSR_BUSY | CSR_READ | u32::from(register));
    csr_idle(regs)?;
    Ok(regs.read(MAC_CSR_DATA))
}

/// Writes a register of the MAC.
pub fn csr_write(regs: &impl Registers, register: u8, value: u32) -> Result<(), Timeout> {
    csr_idle(regs)?;
    regs.write(MAC_CSR_DATA, value);
    regs.write(MAC_CSR_CMD, CSR_BUSY | u32::from(register));
    csr_idle(regs)
}

fn csr_idle(regs: &impl Registers) -> Result<(), Timeout> {
    look(LOOKS, || regs.read(MAC_CSR_CMD) & CSR_BUSY == 0)
}

/// The PHY's registers by way of the MAC's.
pub struct Management<'r, R>(pub &'r R);

impl<R: Registers> Management<'_, R> {
    fn idle(&self) -> Result<(), Timeout> {
        for _ in 0..LOOKS / 100 {
            if csr_read(self.0, csr::MII_ACC)? & MII_BUSY == 0 {
                return Ok(());
            }
        }
        Err(Timeout)
    }
}

impl<R: Registers> crate::phy::Mdio for Management<'_, R> {
    fn read(&mut self, phy: u8, register: u8) -> Result<u16, Timeout> {
        self.idle()?;
        csr_write(self.0, csr::MII_ACC, u32::from(phy) << 11 | u32::from(register) << 6 | MII_BUSY)?;
        self.idle()?;
        csr_read(self.0, csr::MII_DATA).map(|data| data as u16)
    }

    fn write(&mut self, phy: u8, register: u8, value: u16) -> Result<(), Timeout> {
        self.idle()?;
        csr_write(self.0, csr::MII_DATA, value.into())?;
        let command = u32::from(phy) << 11 | u32::from(register) << 6 | MII_WRITE | MII_BUSY;
        csr_write(self.0, csr::MII_ACC, command)?;
        self.idle()
    }
}
