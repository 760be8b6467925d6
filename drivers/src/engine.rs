//! A network card whose MAC works on descriptor rings: what all of them have in common above their registers.
//!
//! An [`Engine`] is a MAC's register block; [`RingNic`] is the device made of an engine and two rings.
//!
//! ```text
//!   RingNic ┬─ RxRing ─ descriptors ─┐
//!           ├─ TxRing ─ descriptors ─┼─ DMA
//!           └─ Engine ─ registers ───┘
//! ```

mod nic;
pub(crate) mod stamp;

#[cfg(test)]
pub(crate) mod tests;

pub use nic::{RingNic, Setup};
pub use stamp::SentAt;

use crate::phy::Mode;
use crate::regs::Timeout;
use crate::ring::{RingError, RxDescriptor, TxDescriptor};
use core::fmt;
use ringtap::device::{ChecksumOffload, Mac, TxMeta};
use ringtap::frame::Frame;
use ringtap::time::Instant;

/// Where an engine finds its rings, and who it is.
#[derive(Clone, Copy, Debug)]
pub struct Rings {
    /// The first receive descriptor.
    pub rx: *const u8,
    /// Receive descriptors.
    pub rx_count: usize,
    /// The first transmit descriptor.
    pub tx: *const u8,
    /// Transmit descriptors.
    pub tx_count: usize,
    /// Octets of each receive buffer.
    pub capacity: usize,
    /// The station's address.
    pub mac: Mac,
}

/// Which frames pass, beside those to the station and to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// All frames.
    pub promiscuous: bool,
    /// Frames to groups with these hashes; bit 0 of the first word is hash 0.
    pub hashes: [u32; 2],
}

/// What the engine's status registers tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Times that packets were lost because no descriptor was free or the FIFO was full.
    pub overruns: u32,
    /// The engine stands still after an error on the bus, and only a reset helps.
    pub fault: bool,
}

/// The registers of a MAC with descriptor rings. Nothing in it waits for hardware without a bound.
pub trait Engine {
    /// The layout of its receive descriptors.
    type Rx: RxDescriptor + 'static;
    /// The layout of its transmit descriptors.
    type Tx: TxDescriptor + 'static;
    /// Octets that the engine writes to a buffer behind the packet: 4 where it leaves the frame check sequence.
    const TRAILER: usize = 0;
    /// Whether the transmitter stops where it finds an idle descriptor, and must be told where to go on: then
    /// [`resume_tx`](Self::resume_tx) is called.
    const TX_STOPS: bool = false;
    /// Whether the MAC takes another mode only while it stands still, and the rings start anew with it.
    const MODE_RESTARTS: bool = false;

    /// Whether it can receive other stations' frames.
    const PROMISCUOUS: bool = true;

    /// The hash of a group's address in [`Filter::hashes`].
    fn hash(group: Mac) -> u32;

    /// Brings the engine, from any state, to where it knows its rings and does not run yet.
    ///
    /// # Errors
    /// [`Timeout`] when the reset does not end: as a rule, a clock is missing (that of the PHY, for some).
    fn init(&mut self, rings: &Rings) -> Result<(), Timeout>;

    /// Lets the engine run.
    fn start(&mut self);

    /// Stops the engine: it touches neither descriptors nor buffers any more, until [`init`](Self::init) and
    /// [`start`](Self::start).
    ///
    /// # Errors
    /// [`Timeout`] when it cannot be known to stand still.
    fn stop(&mut self) -> Result<(), Timeout>;

    /// Receive descriptors were given to the engine; `place` is that which it fills next.
    fn kick_rx(&mut self, place: usize);

    /// Transmit descriptors were given to the engine; `place` is the first idle one behind them, unless all are given: so
    /// many are, as are `unsent`.
    fn kick_tx(&mut self, place: usize, unsent: usize);

    /// There are frames in the transmit ring, the oldest at `oldest`: called at the end of each burst, and of each poll
    /// that found nothing, where [`TX_STOPS`](Self::TX_STOPS). With `is_full`, somebody waits for room.
    fn resume_tx(&mut self, oldest: usize, is_full: bool) {
        let _ = (oldest, is_full);
    }

    /// Reads and acknowledges what happened. `place` is the receive descriptor that the engine fills next; so many frames
    /// are `unsent`.
    fn events(&mut self, place: usize, unsent: usize) -> Events;

    /// Lets interrupts for receive, transmit and errors through, or masks them.
    fn interrupts(&mut self, on: bool);

    /// Tells the MAC the link's mode.
    fn set_mode(&mut self, mode: Mode);

    /// Sets which frames pass.
    fn set_filter(&mut self, filter: &Filter);

    /// Reads a register of a PHY at the MAC's management interface; both numbers are below 32.
    ///
    /// # Errors
    /// [`Timeout`] when the transfer does not end.
    fn mdio_read(&mut self, phy: u8, register: u8) -> Result<u16, Timeout>;

    /// Writes a register of a PHY.
    ///
    /// # Errors
    /// [`Timeout`] when the transfer does not end.
    fn mdio_write(&mut self, phy: u8, register: u8, value: u16) -> Result<(), Timeout>;

    /// Which checksums it computes on transmit.
    fn checksum(&self) -> ChecksumOffload {
        ChecksumOffload::default()
    }

    /// Whether the verdicts on checksums in its receive descriptors count.
    fn verifies(&self) -> bool {
        false
    }

    /// Whether it stamps received packets, and sent frames that ask for it, with the time of its own clock.
    fn stamps(&self) -> bool {
        false
    }

    /// What its own clock says, which begins at [`init`](Self::init); `None` without one.
    fn clock(&mut self) -> Option<Instant> {
        None
    }

    /// Makes a time of what a descriptor has of one, where that is its lower end only.
    fn whole_time(&mut self, part: Instant) -> Option<Instant> {
        Some(part)
    }

    /// The last look at a frame before its descriptor is written.
    fn prepare(&self, frame: &mut Frame<'_>, meta: &TxMeta) {
        let _ = (frame, meta);
    }
}

/// Why a device cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// The rings.
    Ring(RingError),
    /// The IP MTU is below RFC 791's 68 octets, or such frames fit neither a slot of the pool nor a descriptor.
    Mtu,
    /// The address is a group's, or zero.
    Address,
    /// The hardware does not come out of its reset.
    Reset,
    /// The hardware is not of the kind that the driver is for, or lacks what it needs.
    Device,
}

impl SetupError {
    /// The error in a few words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ring(error) => error.text(),
            Self::Mtu => "the MTU is below 68, or beyond what the buffers or descriptors hold",
            Self::Address => "not a station's address",
            Self::Device => "not a device that this driver is for",
            Self::Reset => "the MAC does not come out of its reset: is its clock there?",
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for SetupError {}

impl From<RingError> for SetupError {
    fn from(error: RingError) -> Self {
        Self::Ring(error)
    }
}

/// How often a driver looks at a register for what takes hardware microseconds: at least a millisecond at 100 MHz, since
/// a read takes several cycles. (In the tests that an interpreter runs, registers are a model's.)
pub(crate) const LOOKS: u32 = if cfg!(miri) { 100 } else { 100_000 };
