//! VLANs of a tap: one device as several, each with its own descriptor of the same queue.

use crate::device::{AnyDevice, Counters, HostDevice};
use crate::failure::Failure;
use ringtap::device::{Capabilities, Device, Link, Lost, Mac, RxMeta, TxMeta, Unsupported};
use ringtap::frame::{Frame, Pool};
use ringtap::vlan::{Hub, MAX_PORTS, VlanId};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

type Shared = Arc<Mutex<Hub<'static, AnyDevice>>>;

/// A device whose frames are of several VLANs.
pub struct Trunk {
    hub: Shared,
    name: String,
}

impl Trunk {
    /// A trunk on a device called `name`, whose descriptor stays the same.
    ///
    /// # Errors
    /// When it is no Ethernet.
    pub fn new(device: AnyDevice, name: &str) -> Result<Self, Failure> {
        let hub = Hub::new(device).ok_or_else(|| {
            Failure::usage(format!("{name} is no Ethernet, and has no VLANs")).remedy("leave --tun out")
        })?;
        Ok(Self { hub: Arc::new(Mutex::new(hub)), name: name.into() })
    }

    /// The port of a VLAN, or of frames without a tag.
    ///
    /// # Errors
    /// When there is one already, there are as many as can be, or the process has no descriptor left.
    pub fn port(&self, vlan: Option<VlanId>) -> Result<AnyDevice, Failure> {
        let mut hub = lock(&self.hub);
        let wrong = || Failure::usage(format!("{} has one port for each VLAN, and {MAX_PORTS} at most", self.name));
        let place = hub.add(vlan).ok_or_else(wrong)?;
        let fd = hub.device().descriptor().try_clone_to_owned();
        let fd = fd.map_err(|e| Failure::io("cannot wait for a device", &e))?;
        let (caps, pool) = (hub.capabilities(place), hub.device().pool());
        Ok(Box::new(VlanPort { hub: Arc::clone(&self.hub), place, fd, caps, pool }))
    }
}

/// What a thread that panicked left behind is a device still.
fn lock(hub: &Shared) -> MutexGuard<'_, Hub<'static, AnyDevice>> {
    hub.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One VLAN as a device.
struct VlanPort {
    hub: Shared,
    place: usize,
    fd: OwnedFd,
    caps: Capabilities,
    pool: Pool<'static>,
}

impl Device<'static> for VlanPort {
    fn capabilities(&self) -> Capabilities {
        self.caps
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        lock(&self.hub).receive(self.place)
    }

    fn transmit(&mut self, frame: Frame<'static>, meta: TxMeta) -> Result<(), Frame<'static>> {
        lock(&self.hub).transmit(self.place, frame, meta)
    }

    fn flush(&mut self) {
        lock(&self.hub).device_mut().flush();
    }

    fn link(&self) -> Link {
        lock(&self.hub).device().link()
    }

    fn lost(&self) -> Lost {
        self.counters().lost()
    }

    fn register_waker(&mut self, waker: &Waker) {
        lock(&self.hub).device_mut().register_waker(waker);
    }

    fn set_multicast_filter(&mut self, groups: &[Mac]) -> Result<(), Unsupported> {
        lock(&self.hub).set_multicast_filter(self.place, groups)
    }

    fn set_promiscuous(&mut self, on: bool) -> Result<(), Unsupported> {
        lock(&self.hub).set_promiscuous(self.place, on)
    }
}

impl HostDevice for VlanPort {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn wants_write(&self) -> Option<BorrowedFd<'_>> {
        let hub = lock(&self.hub);
        let (input, output) = (hub.device().descriptor(), hub.device().wants_write());
        // Another descriptor cannot be lent from behind the lock: the stack tries again by itself then.
        output.is_some_and(|fd| fd.as_raw_fd() == input.as_raw_fd()).then(|| self.fd.as_fd())
    }

    fn failure(&self) -> Option<Failure> {
        lock(&self.hub).device().failure()
    }

    /// Those of the whole device, which has one queue.
    fn counters(&self) -> Counters {
        let hub = lock(&self.hub);
        let (device, trunk) = (hub.device().counters(), hub.counters());
        Counters {
            no_frame: device.no_frame + trunk.queue_full as u64,
            bad_length: device.bad_length,
            bad_header: device.bad_header,
            not_sent: device.not_sent + trunk.no_headroom as u64,
            backlog: device.backlog,
            vlan: (trunk.unknown + trunk.refused) as u64,
        }
    }

    fn holds(&self) -> bool {
        lock(&self.hub).holds(self.place)
    }

    fn idle(&mut self) {
        lock(&self.hub).device_mut().idle();
    }
}
