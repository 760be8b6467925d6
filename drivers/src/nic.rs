//! What all drivers of network cards have in common beyond [`Device`]: an address, a PHY to look after, counters, an end.

use ringtap::device::{Device, Link, Loopback, Mac};
use ringtap::time::Instant;

/// What a driver has counted since it was made; each wraps around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Packets handed out.
    pub rx_packets: u32,
    /// Packets that came whole and were dropped because the pool was empty.
    pub rx_no_frame: u32,
    /// Packets dropped as damaged: check sequence, length, or cut off.
    pub rx_errors: u32,
    /// Times that the hardware found no room and lost packets; some count each, some only that it happened.
    pub rx_overruns: u32,
    /// Frames sent.
    pub tx_packets: u32,
    /// Frames lost to the medium, or that could not be sent at all.
    pub tx_errors: u32,
    /// Times that the link went up or down.
    pub link_changes: u32,
}

/// A network card's driver.
pub trait Nic<'p>: Device<'p> {
    /// The address that the hardware receives frames for.
    fn mac(&self) -> Mac;

    /// Looks after what has no interrupt, the PHY above all: to be called a few times a second, at any rate. It never
    /// waits for hardware longer than one MDIO transfer takes.
    ///
    /// A PHY that answers no more has no link.
    fn tend(&mut self, now: Instant) -> Link;

    /// What was counted.
    fn counters(&self) -> Counters;

    /// Stops the hardware and gives every frame back to the pool.
    fn stop(self);
}

impl<'p, const N: usize> Nic<'p> for Loopback<'p, N> {
    fn mac(&self) -> Mac {
        Mac::default()
    }

    fn tend(&mut self, _: Instant) -> Link {
        Link::Up
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }

    fn stop(self) {}
}
