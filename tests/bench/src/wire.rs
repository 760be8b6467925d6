//! A wire in memory: what one card sends, the other receives, the frame itself, without a copy.

use ringtap::device::{Capabilities, Device, Medium, RxMeta, TxMeta};
use ringtap::frame::{Frame, Pool};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

type Queue = Rc<RefCell<VecDeque<Frame<'static>>>>;

/// One end of the wire.
pub struct Card {
    pool: Pool<'static>,
    rx: Queue,
    tx: Queue,
}

/// Two cards over one pool, joined.
pub fn pair(pool: Pool<'static>) -> (Card, Card) {
    let (a, b) = (Queue::default(), Queue::default());
    (Card { pool, rx: a.clone(), tx: b.clone() }, Card { pool, rx: b, tx: a })
}

impl Device<'static> for Card {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ethernet, 1500)
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        self.rx.borrow_mut().pop_front().map(|frame| (frame, RxMeta::default()))
    }

    fn transmit(&mut self, frame: Frame<'static>, _meta: TxMeta) -> Result<(), Frame<'static>> {
        self.tx.borrow_mut().push_back(frame);
        Ok(())
    }
}
