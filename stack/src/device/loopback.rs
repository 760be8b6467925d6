//! A device in memory: what is transmitted is received again.

use super::{Capabilities, Device, Medium, RxMeta, TxMeta};
use crate::frame::{Frame, Pool};
use core::task::Waker;
use heapless::Deque;

/// A loopback interface that holds at most `N` frames.
///
/// ```
/// use ringtap::device::Loopback;
/// use ringtap::frame::PoolMemory;
/// static MEMORY: PoolMemory<1536, 16> = PoolMemory::new();
/// let device: Loopback<'_, 8> = Loopback::new(MEMORY.pool(), 1500);
/// ```
pub struct Loopback<'p, const N: usize> {
    pool: Pool<'p>,
    mtu: usize,
    queue: Deque<Frame<'p>, N>,
    waker: Option<Waker>,
}

impl<'p, const N: usize> Loopback<'p, N> {
    /// A loopback of the IP medium with this MTU, in octets.
    pub const fn new(pool: Pool<'p>, mtu: usize) -> Self {
        Self { pool, mtu, queue: Deque::new(), waker: None }
    }
}

impl<'p, const N: usize> Device<'p> for Loopback<'p, N> {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ip, self.mtu)
    }

    fn pool(&self) -> Pool<'p> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'p>, RxMeta)> {
        self.queue.pop_front().map(|frame| (frame, RxMeta::default()))
    }

    fn transmit(&mut self, frame: Frame<'p>, _meta: TxMeta) -> Result<(), Frame<'p>> {
        self.queue.push_back(frame)?;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    fn register_waker(&mut self, waker: &Waker) {
        self.waker = Some(waker.clone());
    }
}
