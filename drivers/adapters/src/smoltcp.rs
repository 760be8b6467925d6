//! ringtap and the devices of smoltcp (`smoltcp::phy`).

use crate::Lost;
use crate::intake::{DRAIN, hand_over};
use crate::port::{Out, Port};
use ringtap::device::{Capabilities, ChecksumOffload, Device, Medium, RxChecksum, RxMeta, TxMeta};
use ringtap::frame::{Frame, Pool};
use ringtap::time::Instant;
use smoltcp::phy::{self, Checksum, DeviceCapabilities, RxToken as _, TxToken as _};

/// A device of smoltcp's for ringtap.
///
/// smoltcp's devices wake nobody and know no link: poll often enough, or when something else tells that there are packets.
pub struct OverSmoltcp<'p, D> {
    device: D,
    pool: Pool<'p>,
    caps: Capabilities,
    meta: RxMeta,
    now: smoltcp::time::Instant,
    lost: Lost,
}

impl<'p, D: phy::Device> OverSmoltcp<'p, D> {
    /// Receives from `device` into frames of `pool`, and sends frames of any pool. `None` for a medium that is neither
    /// Ethernet nor IP.
    pub fn new(device: D, pool: Pool<'p>) -> Option<Self> {
        let theirs = device.capabilities();
        let medium = match theirs.medium {
            phy::Medium::Ethernet => Medium::Ethernet,
            phy::Medium::Ip => Medium::Ip,
            // Another user of smoltcp may have switched more media on.
            #[allow(unreachable_patterns)]
            _ => return None,
        };
        let sums = &theirs.checksum;
        let verified = [&sums.ipv4, &sums.udp, &sums.tcp, &sums.icmpv4, &sums.icmpv6]
            .into_iter()
            .all(|c| matches!(c, Checksum::Tx | Checksum::None));
        let computes = |c: &Checksum| matches!(c, Checksum::Rx | Checksum::None);
        let offload = ChecksumOffload { tcp: computes(&sums.tcp), udp: computes(&sums.udp), ipv4: false };
        let checksum = if verified { RxChecksum::Verified } else { RxChecksum::None };
        Some(Self {
            caps: Capabilities { checksum: offload, ..Capabilities::plain(medium, theirs.ip_mtu()) },
            device,
            pool,
            meta: RxMeta { checksum, ..RxMeta::default() },
            now: smoltcp::time::Instant::ZERO,
            lost: Lost::default(),
        })
    }

    /// Says what time it is, to a device that wants to know (captures, traffic shapers); before each poll, if at all.
    pub fn set_now(&mut self, now: Instant) {
        self.now = smoltcp::time::Instant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
    }

    /// The device.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// What was received and lost.
    pub fn lost(&self) -> Lost {
        self.lost
    }
}

impl<'p, D: phy::Device> Device<'p> for OverSmoltcp<'p, D> {
    fn capabilities(&self) -> Capabilities {
        self.caps
    }

    fn pool(&self) -> Pool<'p> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'p>, RxMeta)> {
        for _ in 0..DRAIN {
            let (packet, _place) = self.device.receive(self.now)?;
            let (pool, lost) = (self.pool, &mut self.lost);
            if let Some(frame) = packet.consume(|octets| lost.frame_with(pool, octets)) {
                return Some((frame, self.meta));
            }
        }
        None
    }

    fn transmit(&mut self, frame: Frame<'p>, meta: TxMeta) -> Result<(), Frame<'p>> {
        let Some(place) = self.device.transmit(self.now) else { return Err(frame) };
        place.consume(frame.len(), |octets| hand_over(&frame, &meta, octets));
        Ok(())
    }
}

/// A device of ours for smoltcp.
///
/// A packet whose token is dropped comes again; a frame whose token is dropped is back in the pool. smoltcp takes a packet
/// only together with a place to send, so that nothing is received while the device has no room.
pub struct AsSmoltcp<'p, D> {
    port: Port<'p, D>,
    caps: DeviceCapabilities,
}

impl<'p, D: Device<'p>> AsSmoltcp<'p, D> {
    /// `device`, to be used by smoltcp alone from now on.
    pub fn new(device: D) -> Self {
        let mut caps = DeviceCapabilities::default();
        caps.medium = match device.capabilities().medium {
            Medium::Ethernet => phy::Medium::Ethernet,
            _ => phy::Medium::Ip,
        };
        let port = Port::new(device);
        caps.max_transmission_unit = port.largest();
        if port.sums_tcp() {
            caps.checksum.tcp = Checksum::Rx;
        }
        Self { port, caps }
    }

    /// The device.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.port.device
    }
}

impl<'p, D: Device<'p>> phy::Device for AsSmoltcp<'p, D> {
    type RxToken<'t>
        = Packet<'t, 'p>
    where
        Self: 't;
    type TxToken<'t>
        = Place<'t, 'p, D>
    where
        Self: 't;

    fn receive(&mut self, _now: smoltcp::time::Instant) -> Option<(Packet<'_, 'p>, Place<'_, 'p, D>)> {
        let frame = self.port.reserve()?;
        if !self.port.fetch() {
            return None;
        }
        let Port { device, out, fetched } = &mut self.port;
        Some((Packet { fetched }, Place { frame, device, out }))
    }

    fn transmit(&mut self, _now: smoltcp::time::Instant) -> Option<Place<'_, 'p, D>> {
        let frame = self.port.reserve()?;
        let Port { device, out, .. } = &mut self.port;
        Some(Place { frame, device, out })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.caps.clone()
    }
}

/// A packet that was received.
pub struct Packet<'t, 'p> {
    fetched: &'t mut Option<Frame<'p>>,
}

impl phy::RxToken for Packet<'_, '_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let frame = self.fetched.take();
        f(frame.as_deref().unwrap_or_default())
    }
}

/// A place to send one packet.
pub struct Place<'t, 'p, D> {
    frame: Frame<'p>,
    device: &'t mut D,
    out: &'t mut Out<'p>,
}

impl<'p, D: Device<'p>> phy::TxToken for Place<'_, 'p, D> {
    /// # Panics
    /// When `len` exceeds the maximum transmission unit that smoltcp was told.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, len: usize, f: F) -> R {
        let result = f(self.frame.append(len).expect("no more than the maximum transmission unit"));
        self.out.send(self.device, self.frame);
        result
    }
}
