//! What an event loop needs of a device beside its frames: a descriptor to wait on, and how it is doing.

use crate::failure::Failure;
use ringtap::device::{Capabilities, Device, Link, Lost, Mac, RxMeta, TxMeta, Unsupported};
use ringtap::frame::{Frame, Pool};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::task::Waker;

/// A [`Device`] behind a file descriptor.
pub trait HostDevice: Device<'static> + Send {
    /// The descriptor that becomes readable when something was received. It may change; ask again after each poll.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// The descriptor whose becoming writable something to transmit waits for, if anything does.
    fn wants_write(&self) -> Option<BorrowedFd<'_>>;

    /// Why the device is gone for good, once it is.
    fn failure(&self) -> Option<Failure>;

    /// What was lost at this device.
    fn counters(&self) -> Counters;

    /// Whether received frames wait in it that no descriptor tells of.
    fn holds(&self) -> bool {
        false
    }

    /// Called before the loop sleeps: time to write out what was only collected.
    fn idle(&mut self) {}
}

/// What was lost between a device and its medium.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Received frames dropped because the pool was empty.
    pub no_frame: u64,
    /// Received frames of impossible length.
    pub bad_length: u64,
    /// Received frames behind a header, of what is left to us, that cannot be.
    pub bad_header: u64,
    /// Frames that the medium did not take: the interface is down, or nobody is at the other end.
    pub not_sent: u64,
    /// Received frames of VLANs that nobody here has, or with a tag that cannot be.
    pub vlan: u64,
    /// Received frames that found no room to wait in while another thread had the stack.
    pub backlog: u64,
}

impl Counters {
    /// As [`Device::lost`] tells it.
    pub fn lost(&self) -> Lost {
        let n = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Lost {
            rx_dropped: n(self.no_frame),
            rx_errors: n(self.bad_length + self.bad_header + self.vlan),
            tx_errors: n(self.not_sent),
        }
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no-frame {} bad-length {} not-sent {}", self.no_frame, self.bad_length, self.not_sent)?;
        for (name, n) in [("bad-header", self.bad_header), ("vlan", self.vlan), ("backlog", self.backlog)] {
            if n > 0 {
                write!(f, " {name} {n}")?;
            }
        }
        Ok(())
    }
}

/// Any host device, chosen at run time: next to a system call per frame, the indirect call costs nothing.
pub type AnyDevice = Box<dyn HostDevice>;

impl Device<'static> for AnyDevice {
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn pool(&self) -> Pool<'static> {
        (**self).pool()
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        (**self).receive()
    }

    fn transmit(&mut self, frame: Frame<'static>, meta: TxMeta) -> Result<(), Frame<'static>> {
        (**self).transmit(frame, meta)
    }

    fn flush(&mut self) {
        (**self).flush();
    }

    fn link(&self) -> Link {
        (**self).link()
    }

    fn lost(&self) -> Lost {
        (**self).lost()
    }

    fn register_waker(&mut self, waker: &Waker) {
        (**self).register_waker(waker);
    }

    fn set_multicast_filter(&mut self, groups: &[Mac]) -> Result<(), Unsupported> {
        (**self).set_multicast_filter(groups)
    }

    fn receive_all_groups(&mut self) -> Result<(), Unsupported> {
        (**self).receive_all_groups()
    }

    fn set_promiscuous(&mut self, on: bool) -> Result<(), Unsupported> {
        (**self).set_promiscuous(on)
    }
}

impl HostDevice for AnyDevice {
    fn descriptor(&self) -> BorrowedFd<'_> {
        (**self).descriptor()
    }

    fn wants_write(&self) -> Option<BorrowedFd<'_>> {
        (**self).wants_write()
    }

    fn failure(&self) -> Option<Failure> {
        (**self).failure()
    }

    fn counters(&self) -> Counters {
        (**self).counters()
    }

    fn holds(&self) -> bool {
        (**self).holds()
    }

    fn idle(&mut self) {
        (**self).idle();
    }
}
