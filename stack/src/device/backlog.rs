//! A bounded backlog between a device and a stack that is behind.
//!
//! ```text
//!  device ── fill: whoever has a moment ──▶ backlog ── receive: the stack, when it has its turn ──▶
//!                                            └─ full, or the pool low: dropped, counted
//! ```

use super::{Capabilities, Device, Link, Lost, Mac, RxMeta, TxMeta, Unsupported};
use crate::frame::{Frame, Pool};
use core::task::Waker;
use heapless::Deque;

/// A device with room for `N` frames that the stack has not asked for yet.
///
/// A device's own queue is short, or somebody else's, who counts elsewhere what it loses. A program that keeps the stack
/// waiting calls [`fill`](Self::fill) meanwhile; what is there then is received before what comes after. While the stack keeps
/// up nothing is queued, and a frame pays one branch. A quarter of the pool is never taken: it is for what the stack sends.
pub struct Backlog<'p, D, const N: usize> {
    device: D,
    queue: Deque<(Frame<'p>, RxMeta), N>,
    counters: BacklogCounters,
}

/// What a backlog has counted. Counters wrap as [`Stats`](crate::stats::Stats) do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BacklogCounters {
    /// Frames that waited in it.
    pub queued: usize,
    /// Frames dropped because it was full.
    pub full: usize,
    /// Frames dropped because the pool was low.
    pub pool_low: usize,
}

impl<'p, D: Device<'p>, const N: usize> Backlog<'p, D, N> {
    /// An empty backlog behind `device`.
    pub const fn new(device: D) -> Self {
        Self { device, queue: Deque::new(), counters: BacklogCounters { queued: 0, full: 0, pool_low: 0 } }
    }

    /// Moves what the device has received, at most `budget` frames, to where the stack finds it; how many it had.
    pub fn fill(&mut self, budget: usize) -> usize {
        for n in 0..budget {
            let Some(received) = self.device.receive() else { return n };
            let pool = received.0.pool();
            let count = match pool.free() <= pool.count() / 4 {
                true => &mut self.counters.pool_low,
                false => match self.queue.push_back(received) {
                    Ok(()) => &mut self.counters.queued,
                    Err(_) => &mut self.counters.full,
                },
            };
            *count = count.wrapping_add(1);
        }
        budget
    }

    /// Frames that wait in it now.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What was counted.
    pub const fn counters(&self) -> BacklogCounters {
        self.counters
    }

    /// The device.
    pub const fn device(&self) -> &D {
        &self.device
    }

    /// The device, for what is none of the backlog's business.
    pub const fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }
}

impl<'p, D: Device<'p>, const N: usize> Device<'p> for Backlog<'p, D, N> {
    fn capabilities(&self) -> Capabilities {
        self.device.capabilities()
    }

    fn pool(&self) -> Pool<'p> {
        self.device.pool()
    }

    fn receive(&mut self) -> Option<(Frame<'p>, RxMeta)> {
        if self.queue.is_empty() { self.device.receive() } else { self.queue.pop_front() }
    }

    fn transmit(&mut self, frame: Frame<'p>, meta: TxMeta) -> Result<(), Frame<'p>> {
        self.device.transmit(frame, meta)
    }

    fn flush(&mut self) {
        self.device.flush();
    }

    fn link(&self) -> Link {
        self.device.link()
    }

    /// The device's, and what found no room here.
    fn lost(&self) -> Lost {
        let lost = self.device.lost();
        let here = self.counters.full.wrapping_add(self.counters.pool_low);
        Lost { rx_dropped: lost.rx_dropped.wrapping_add(here), ..lost }
    }

    fn register_waker(&mut self, waker: &Waker) {
        self.device.register_waker(waker);
    }

    fn set_multicast_filter(&mut self, groups: &[Mac]) -> Result<(), Unsupported> {
        self.device.set_multicast_filter(groups)
    }

    fn set_promiscuous(&mut self, on: bool) -> Result<(), Unsupported> {
        self.device.set_promiscuous(on)
    }
}
