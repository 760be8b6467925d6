//! A device that receives what it transmits.

use ringtap::device::{Capabilities, Device, Medium, RxMeta, TxMeta};
use ringtap::frame::{Frame, Pool};

/// A queue of `N` frames between its own two ends.
pub struct Loopback<'p, const N: usize> {
    pool: Pool<'p>,
    queue: [Option<Frame<'p>>; N],
    head: usize,
    used: usize,
}

impl<'p, const N: usize> Loopback<'p, N> {
    /// An empty queue whose frames come from `pool`.
    pub const fn new(pool: Pool<'p>) -> Self {
        Self { pool, queue: [const { None }; N], head: 0, used: 0 }
    }
}

impl<'p, const N: usize> Device<'p> for Loopback<'p, N> {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ip, 1500)
    }

    fn pool(&self) -> Pool<'p> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'p>, RxMeta)> {
        let frame = self.queue.get_mut(self.head)?.take()?;
        self.head = (self.head + 1) % N;
        self.used -= 1;
        Some((frame, RxMeta::default()))
    }

    fn transmit(&mut self, frame: Frame<'p>, _: TxMeta) -> Result<(), Frame<'p>> {
        if self.used == N {
            return Err(frame);
        }
        let tail = (self.head + self.used) % N;
        self.queue[tail] = Some(frame);
        self.used += 1;
        Ok(())
    }
}
