//! ringtap and the drivers of embassy-net (`embassy_net_driver`).

use crate::intake::{DRAIN, hand_over};
use crate::port::{Out, Port};
use crate::{ETHERNET_HEADER, Lost};
use core::cell::RefCell;
use core::task::{Context, Waker};
use embassy_net_driver::{self as driver, Checksum, Driver, HardwareAddress, LinkState, RxToken as _, TxToken as _};
use ringtap::device::{Capabilities, ChecksumOffload, Device, Link, Mac, Medium, RxChecksum, RxMeta, TxMeta};
use ringtap::frame::{Frame, Pool};

/// A driver of embassy-net for ringtap.
pub struct OverEmbassy<'p, D> {
    /// Asking for the link takes it mutably.
    driver: RefCell<D>,
    pool: Pool<'p>,
    caps: Capabilities,
    meta: RxMeta,
    waker: Waker,
    /// Received while the waker was registered.
    early: Option<Frame<'p>>,
    /// The last frame found no room.
    refused: bool,
    lost: Lost,
}

impl<'p, D: Driver> OverEmbassy<'p, D> {
    /// Receives from `driver` into frames of `pool`, and sends frames of any pool. `None` for a medium that is neither
    /// Ethernet nor IP.
    pub fn new(driver: D, pool: Pool<'p>) -> Option<Self> {
        let theirs = driver.capabilities();
        let (medium, header) = match driver.hardware_address() {
            HardwareAddress::Ethernet(_) => (Medium::Ethernet, ETHERNET_HEADER),
            HardwareAddress::Ip => (Medium::Ip, 0),
            _ => return None,
        };
        let sums = &theirs.checksum;
        let verified = [sums.ipv4, sums.udp, sums.tcp, sums.icmpv4, sums.icmpv6]
            .into_iter()
            .all(|c| matches!(c, Checksum::Tx | Checksum::None));
        let computes = |c: &Checksum| matches!(c, Checksum::Rx | Checksum::None);
        let offload = ChecksumOffload { tcp: computes(&sums.tcp), udp: computes(&sums.udp), ipv4: false };
        let checksum = if verified { RxChecksum::Verified } else { RxChecksum::None };
        Some(Self {
            caps: Capabilities {
                checksum: offload,
                ..Capabilities::plain(medium, theirs.max_transmission_unit.saturating_sub(header))
            },
            driver: RefCell::new(driver),
            pool,
            meta: RxMeta { checksum, ..RxMeta::default() },
            waker: Waker::noop().clone(),
            early: None,
            refused: false,
            lost: Lost::default(),
        })
    }

    /// The driver's MAC address, for [`Stack::add_interface`](ringtap::stack::Stack::add_interface).
    pub fn mac(&self) -> Option<Mac> {
        match self.driver.borrow().hardware_address() {
            HardwareAddress::Ethernet(mac) => Some(Mac(mac)),
            _ => None,
        }
    }

    /// What was received and lost.
    pub fn lost(&self) -> Lost {
        self.lost
    }

    /// One packet of the driver's: `None` when there is none, `Some(None)` when it was lost.
    fn take_in(&mut self) -> Option<Option<Frame<'p>>> {
        let (pool, lost) = (self.pool, &mut self.lost);
        let (packet, _place) = self.driver.get_mut().receive(&mut Context::from_waker(&self.waker))?;
        Some(packet.consume(|octets| lost.frame_with(pool, octets)))
    }
}

impl<'p, D: Driver> Device<'p> for OverEmbassy<'p, D> {
    fn capabilities(&self) -> Capabilities {
        self.caps
    }

    fn pool(&self) -> Pool<'p> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'p>, RxMeta)> {
        if let Some(frame) = self.early.take() {
            return Some((frame, self.meta));
        }
        for _ in 0..DRAIN {
            if let Some(frame) = self.take_in()? {
                return Some((frame, self.meta));
            }
        }
        None
    }

    fn transmit(&mut self, frame: Frame<'p>, meta: TxMeta) -> Result<(), Frame<'p>> {
        let place = self.driver.get_mut().transmit(&mut Context::from_waker(&self.waker));
        self.refused = place.is_none();
        let Some(place) = place else { return Err(frame) };
        place.consume(frame.len(), |octets| hand_over(&frame, &meta, octets));
        Ok(())
    }

    fn link(&self) -> Link {
        match self.driver.borrow_mut().link_state(&mut Context::from_waker(&self.waker)) {
            LinkState::Up => Link::Up,
            LinkState::Down => Link::Down,
        }
    }

    /// The driver learns of a waker by being asked for something; what it has meanwhile is kept, and wakes at once.
    fn register_waker(&mut self, waker: &Waker) {
        self.waker.clone_from(waker);
        let mut ready = self.early.is_some();
        let _ = self.link();
        if !ready && let Some(packet) = self.take_in() {
            self.early = packet;
            ready = true;
        }
        if self.refused && self.driver.get_mut().transmit(&mut Context::from_waker(waker)).is_some() {
            self.refused = false;
            ready = true;
        }
        if ready {
            waker.wake_by_ref();
        }
    }
}

/// A device of ours for embassy-net.
///
/// A packet whose token is dropped comes again; a frame whose token is dropped is back in the pool. embassy-net takes a
/// packet only together with a place to send, so that nothing is received while the device has no room.
pub struct AsEmbassy<'p, D> {
    port: Port<'p, D>,
    mac: Mac,
}

impl<'p, D: Device<'p>> AsEmbassy<'p, D> {
    /// `device`, to be used by embassy-net alone from now on, whose address is `mac` (on Ethernet).
    pub fn new(device: D, mac: Mac) -> Self {
        Self { port: Port::new(device), mac }
    }

    /// The device.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.port.device
    }
}

impl<'p, D: Device<'p>> Driver for AsEmbassy<'p, D> {
    type RxToken<'t>
        = Packet<'t, 'p>
    where
        Self: 't;
    type TxToken<'t>
        = Place<'t, 'p, D>
    where
        Self: 't;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Packet<'_, 'p>, Place<'_, 'p, D>)> {
        // Registered first: what happens in between is not missed.
        self.port.device.register_waker(cx.waker());
        let frame = self.port.reserve()?;
        if !self.port.fetch() {
            return None;
        }
        let Port { device, out, fetched } = &mut self.port;
        Some((Packet { fetched }, Place { frame, device, out }))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Place<'_, 'p, D>> {
        self.port.device.register_waker(cx.waker());
        let frame = self.port.reserve()?;
        let Port { device, out, .. } = &mut self.port;
        Some(Place { frame, device, out })
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.port.device.register_waker(cx.waker());
        match self.port.device.link() {
            Link::Up => LinkState::Up,
            Link::Down => LinkState::Down,
        }
    }

    fn capabilities(&self) -> driver::Capabilities {
        let mut caps = driver::Capabilities::default();
        caps.max_transmission_unit = self.port.largest();
        if self.port.sums_tcp() {
            caps.checksum.tcp = Checksum::Rx;
        }
        caps
    }

    fn hardware_address(&self) -> HardwareAddress {
        match self.port.device.capabilities().medium {
            Medium::Ethernet => HardwareAddress::Ethernet(self.mac.0),
            _ => HardwareAddress::Ip,
        }
    }
}

/// A packet that was received.
pub struct Packet<'t, 'p> {
    fetched: &'t mut Option<Frame<'p>>,
}

impl driver::RxToken for Packet<'_, '_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        let mut frame = self.fetched.take();
        f(frame.as_deref_mut().unwrap_or_default())
    }
}

/// A place to send one packet.
pub struct Place<'t, 'p, D> {
    frame: Frame<'p>,
    device: &'t mut D,
    out: &'t mut Out<'p>,
}

impl<'p, D: Device<'p>> driver::TxToken for Place<'_, 'p, D> {
    /// # Panics
    /// When `len` exceeds the maximum transmission unit that embassy-net was told.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, len: usize, f: F) -> R {
        let result = f(self.frame.append(len).expect("no more than the maximum transmission unit"));
        self.out.send(self.device, self.frame);
        result
    }
}
