//! A simulated network card.

use crate::packet::checksum;
use ringtap::device::{Capabilities, Device, Link, Lost, Mac, Medium, RxMeta, TxChecksum, TxMeta, Unsupported};
use ringtap::frame::{Frame, Pool};
use std::collections::VecDeque;

/// A card whose wire is the simulator.
pub struct Nic {
    pool: Pool<'static>,
    caps: Capabilities,
    /// What it says of each frame that it receives.
    pub rx_meta: RxMeta,
    /// Where it puts what is longer than its frames; otherwise it has no room for that.
    pub large: Option<Pool<'static>>,
    /// Frames that have arrived.
    pub rx: VecDeque<Vec<u8>>,
    /// Frames that leave, with their checksums; super-segments whole.
    pub tx: VecDeque<Vec<u8>>,
    /// The sizes of the segments that super-segments were to be cut into.
    pub sizes: Vec<u16>,
    /// Frames the card takes until `tx` is drained; models a full transmit ring.
    pub tx_room: usize,
    /// Frames lost because the pool was empty.
    pub starved: usize,
    /// Its carrier. It takes frames without one, too, for tests to find them.
    pub link: Link,
    /// What it was told to receive, everything or not, in order.
    pub promiscuous: Vec<bool>,
    /// Frames that it has taken for sending.
    pub taken: u64,
    /// The groups that it receives, if it was told; until then, all.
    pub groups: Option<Vec<Mac>>,
    /// Whether it looks at them: frames to other groups are not received.
    pub filters: bool,
    /// It cannot receive all groups.
    pub lacks_all_groups: bool,
}

impl Nic {
    /// A card over `pool` with this MTU.
    pub fn new(pool: Pool<'static>, medium: Medium, ip_mtu: usize) -> Self {
        Self::with(pool, Capabilities::plain(medium, ip_mtu))
    }

    /// A card that can do this.
    pub fn with(pool: Pool<'static>, caps: Capabilities) -> Self {
        Self {
            pool,
            caps,
            rx_meta: RxMeta::default(),
            large: None,
            rx: VecDeque::new(),
            tx: VecDeque::new(),
            sizes: Vec::new(),
            tx_room: usize::MAX,
            starved: 0,
            link: Link::Up,
            promiscuous: Vec::new(),
            taken: 0,
            groups: None,
            filters: false,
            lacks_all_groups: false,
        }
    }

    /// Whether its filter lets a frame through.
    fn is_wanted(&self, frame: &[u8]) -> bool {
        let Some(to) = frame.first_chunk::<6>().filter(|to| to[0] & 1 != 0 && **to != Mac::BROADCAST.0) else {
            return true;
        };
        !self.filters || self.groups.as_ref().is_none_or(|groups| groups.contains(&Mac(*to)))
    }
}

impl Device<'static> for Nic {
    fn capabilities(&self) -> Capabilities {
        self.caps
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        loop {
            let bytes = self.rx.pop_front()?;
            if !self.is_wanted(&bytes) {
                continue;
            }
            let pool = if bytes.len() > self.pool.slot_size() { self.large.unwrap_or(self.pool) } else { self.pool };
            let frame = pool.take(0).and_then(|mut f| f.extend(&bytes).map(|()| f));
            match frame {
                Some(frame) => return Some((frame, self.rx_meta)),
                None => self.starved += 1,
            }
        }
    }

    fn transmit(&mut self, mut frame: Frame<'static>, meta: TxMeta) -> Result<(), Frame<'static>> {
        if self.tx.len() >= self.tx_room {
            return Err(frame);
        }
        if let TxChecksum::Partial { start, offset } = meta.checksum {
            let (start, field) = (usize::from(start), usize::from(start + offset));
            let whole = checksum(&frame[start..]).to_be_bytes();
            frame[field..field + 2].copy_from_slice(&whole);
        }
        self.sizes.extend(meta.gso.map(|gso| gso.size));
        self.tx.push_back(frame.to_vec());
        self.taken += 1;
        Ok(())
    }

    fn lost(&self) -> Lost {
        Lost { rx_dropped: self.starved, ..Lost::default() }
    }

    fn link(&self) -> Link {
        self.link
    }

    /// It receives what comes, whatever it was told.
    fn set_promiscuous(&mut self, on: bool) -> Result<(), Unsupported> {
        self.promiscuous.push(on);
        Ok(())
    }

    fn set_multicast_filter(&mut self, groups: &[Mac]) -> Result<(), Unsupported> {
        self.groups = Some(groups.to_vec());
        Ok(())
    }

    fn receive_all_groups(&mut self) -> Result<(), Unsupported> {
        if self.lacks_all_groups {
            return Err(Unsupported);
        }
        self.groups = None;
        Ok(())
    }
}
