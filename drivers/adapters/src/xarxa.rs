//! ringtap and the drivers of xarxa (`xarxa_driver`).

use crate::intake::{DRAIN, hand_over};
use crate::port::Port;
use crate::{ETHERNET_HEADER, Lost};
use core::cell::RefCell;
use core::task::Waker;
use ringtap::device::{
    Capabilities, ChecksumOffload, Device, Link, Mac, Medium, RxChecksum, RxMeta, TxMeta, Unsupported,
};
use ringtap::frame::{Frame, Pool};
use xarxa_driver::config::PACKET_BUF_SIZE;
use xarxa_driver::{self as driver, Driver, HardwareAddress, LinkState, NotSupported, PacketBuf};

/// A driver of xarxa's for ringtap.
pub struct OverXarxa<'p, D> {
    /// Asking for the link takes it mutably.
    driver: RefCell<D>,
    pool: Pool<'p>,
    caps: Capabilities,
    meta: RxMeta,
    lost: Lost,
}

impl<'p, D: Driver> OverXarxa<'p, D> {
    /// Receives from `driver` into frames of `pool`, and sends frames of any pool. `None` for a medium that is neither
    /// Ethernet nor IP.
    pub fn new(driver: D, pool: Pool<'p>) -> Option<Self> {
        let theirs = driver.capabilities();
        let (medium, header) = match theirs.medium {
            driver::Medium::Ethernet => (Medium::Ethernet, ETHERNET_HEADER),
            driver::Medium::Ip => (Medium::Ip, 0),
            _ => return None,
        };
        let sums = theirs.checksum;
        let verified = [sums.ipv4, sums.udp, sums.tcp, sums.icmpv4, sums.icmpv6].iter().all(|c| c.rx);
        let checksum = if verified { RxChecksum::Verified } else { RxChecksum::None };
        let largest = theirs.max_transmission_unit.min(PACKET_BUF_SIZE);
        Some(Self {
            driver: RefCell::new(driver),
            pool,
            caps: Capabilities {
                checksum: ChecksumOffload { tcp: sums.tcp.tx, udp: sums.udp.tx, ipv4: false },
                ..Capabilities::plain(medium, largest.saturating_sub(header))
            },
            meta: RxMeta { checksum, ..RxMeta::default() },
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
}

impl<'p, D: Driver> Device<'p> for OverXarxa<'p, D> {
    fn capabilities(&self) -> Capabilities {
        self.caps
    }

    fn pool(&self) -> Pool<'p> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'p>, RxMeta)> {
        for _ in 0..DRAIN {
            let packet = self.driver.get_mut().receive()?;
            if let Some(frame) = self.lost.frame_with(self.pool, &packet) {
                return Some((frame, self.meta));
            }
        }
        None
    }

    fn transmit(&mut self, frame: Frame<'p>, meta: TxMeta) -> Result<(), Frame<'p>> {
        let driver = self.driver.get_mut();
        if !driver.can_transmit() {
            return Err(frame);
        }
        let Some(packet) = packet_with(&frame, &meta) else { return Err(frame) };
        driver.transmit(packet).map_err(|_refused| frame)
    }

    fn link(&self) -> Link {
        match self.driver.borrow_mut().link_state() {
            LinkState::Up => Link::Up,
            LinkState::Down => Link::Down,
        }
    }

    /// A driver that wakes nobody is to be polled by the clock.
    fn register_waker(&mut self, waker: &Waker) {
        let _ = self.driver.get_mut().register_waker(waker);
    }

    fn set_multicast_filter(&mut self, groups: &[Mac]) -> Result<(), Unsupported> {
        const MOST: usize = 32;
        let mut addrs = [[0; 6]; MOST];
        let addrs = addrs.get_mut(..groups.len()).ok_or(Unsupported)?;
        for (addr, group) in addrs.iter_mut().zip(groups) {
            *addr = group.0;
        }
        self.driver.get_mut().set_multicast_filter(addrs);
        Ok(())
    }
}

/// A buffer of xarxa's with this packet, as long as it fits and there is one.
fn packet_with(octets: &[u8], meta: &TxMeta) -> Option<PacketBuf> {
    let mut packet = PacketBuf::try_new().filter(|p| octets.len() <= p.capacity())?;
    packet.set_len(octets.len());
    hand_over(octets, meta, &mut packet);
    Some(packet)
}

/// A device of ours for xarxa.
pub struct AsXarxa<'p, D> {
    port: Port<'p, D>,
    mac: Mac,
    /// What a packet that may be sent will be sent in.
    spare: Option<Frame<'p>>,
    lost: Lost,
}

impl<'p, D: Device<'p>> AsXarxa<'p, D> {
    /// `device`, to be used by xarxa alone from now on, whose address is `mac` (on Ethernet).
    pub fn new(device: D, mac: Mac) -> Self {
        Self { port: Port::new(device), mac, spare: None, lost: Lost::default() }
    }

    /// The device.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.port.device
    }

    /// What did not fit into a buffer of the other side.
    pub fn lost(&self) -> Lost {
        self.lost
    }
}

impl<'p, D: Device<'p>> Driver for AsXarxa<'p, D> {
    fn capabilities(&self) -> driver::Capabilities {
        let mut caps = driver::Capabilities::default();
        caps.medium = self.hardware_address().medium();
        caps.max_transmission_unit = self.port.largest().min(PACKET_BUF_SIZE);
        caps.checksum.tcp.tx = self.port.sums_tcp();
        caps
    }

    fn hardware_address(&self) -> HardwareAddress {
        match self.port.device.capabilities().medium {
            Medium::Ethernet => HardwareAddress::Ethernet(self.mac.0),
            _ => HardwareAddress::Ip,
        }
    }

    fn link_state(&mut self) -> LinkState {
        match self.port.device.link() {
            Link::Up => LinkState::Up,
            Link::Down => LinkState::Down,
        }
    }

    fn register_waker(&mut self, waker: &Waker) -> Result<(), NotSupported> {
        self.port.device.register_waker(waker);
        if self.port.fetched.is_some() {
            waker.wake_by_ref();
        }
        Ok(())
    }

    fn receive(&mut self) -> Option<PacketBuf> {
        while self.port.fetch() {
            let frame = self.port.fetched.take()?;
            if frame.len() > PACKET_BUF_SIZE {
                self.lost.too_long = self.lost.too_long.wrapping_add(1);
                continue;
            }
            let packet = packet_with(&frame, &TxMeta::default());
            if packet.is_none() {
                // Without a buffer it waits for one.
                self.port.fetched = Some(frame);
            }
            return packet;
        }
        None
    }

    fn can_transmit(&mut self) -> bool {
        if self.spare.is_none() {
            self.spare = self.port.reserve();
        }
        self.spare.is_some()
    }

    fn transmit(&mut self, packet: PacketBuf) -> Result<(), PacketBuf> {
        if !self.can_transmit() {
            return Err(packet);
        }
        let Some(mut frame) = self.spare.take() else { return Err(packet) };
        if frame.extend(&packet).is_none() {
            // More than the maximum transmission unit: there is no use in trying again.
            self.lost.too_long = self.lost.too_long.wrapping_add(1);
            return Ok(());
        }
        self.port.out.send(&mut self.port.device, frame);
        Ok(())
    }

    fn set_multicast_filter(&mut self, addrs: &[[u8; 6]]) {
        const MOST: usize = 32;
        let mut groups = [Mac([0; 6]); MOST];
        // With more than fit, or without a filter, the device receives as it did before.
        if let Some(groups) = groups.get_mut(..addrs.len()) {
            for (group, addr) in groups.iter_mut().zip(addrs) {
                *group = Mac(*addr);
            }
            let _ = self.port.device.set_multicast_filter(groups);
        }
    }
}
