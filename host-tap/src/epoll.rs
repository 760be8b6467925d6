//! Waiting: descriptors by epoll, wake-ups from other threads by an event counter, signals by a descriptor.
//!
//! A wait sleeps exactly until the given time: there is no tick. Devices are not in the epoll set, but polled beside it
//! ([`Poller::wait_beside`]): while a descriptor is in a set, the kernel calls the set for every frame that comes, also when
//! nobody sleeps, and that is time taken from the one who reads.

use crate::sys::{self, EpollOp, Events, Interest, Polled};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// A set of descriptors to wait for.
pub struct Poller {
    epoll: OwnedFd,
    exact: bool,
    /// Of the last wait beside devices: the set itself, then the devices.
    polled: Vec<Polled>,
}

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: sys::epoll()?, exact: true, polled: Vec::new() })
    }

    /// Adds `fd`; its events carry `token`.
    ///
    /// # Errors
    /// When it is there already, or cannot be waited for.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        sys::epoll_control(self.epoll.as_fd(), EpollOp::Add, fd.as_fd(), token, interest)
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// When it was never added.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        sys::epoll_control(self.epoll.as_fd(), EpollOp::Modify, fd.as_fd(), token, interest)
    }

    /// Takes `fd` out of the set.
    ///
    /// # Errors
    /// When it was never added.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        sys::epoll_control(self.epoll.as_fd(), EpollOp::Remove, fd.as_fd(), 0, Interest::default())
    }

    /// Waits until something is ready or `timeout` has passed (`None`: for ever). A signal ends it early, without events.
    ///
    /// # Errors
    /// Those of epoll that are no fault of the moment.
    pub fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let mut result = Err(io::Error::from_raw_os_error(libc::ENOSYS));
        if self.exact {
            result = sys::epoll_wait_exact(self.epoll.as_fd(), events, timeout);
        }
        // Kernels before 5.11 lack the call; some sandboxes forbid what they do not know.
        if matches!(result.as_ref().map_err(io::Error::raw_os_error), Err(Some(libc::ENOSYS | libc::EPERM))) {
            self.exact = false;
            result = sys::epoll_wait_millis(self.epoll.as_fd(), events, timeout);
        }
        unless_interrupted(result)
    }

    /// As [`wait`](Self::wait), and until one of `devices` is ready, which is no event.
    ///
    /// # Errors
    /// Those of poll and epoll that are no fault of the moment.
    pub fn wait_beside<'a>(
        &mut self,
        devices: impl Iterator<Item = (BorrowedFd<'a>, Interest)>,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        events.clear();
        self.polled.clear();
        self.polled.push(Polled::new(self.epoll.as_fd(), Interest::READ));
        self.polled.extend(devices.map(|(fd, interest)| Polled::new(fd, interest)));
        unless_interrupted(sys::poll(&mut self.polled, timeout))?;
        if self.polled.first().is_some_and(Polled::is_ready) { self.wait(events, Some(Duration::ZERO)) } else { Ok(()) }
    }
}

/// A signal ends a wait, which is no error.
fn unless_interrupted(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
        other => other,
    }
}

/// Wakes a thread that waits in a [`Poller`], from any other thread; clones wake the same one.
#[derive(Clone)]
pub struct Kick(Arc<File>);

impl Kick {
    /// A new event counter, to be added to a poller.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        sys::eventfd().map(|f| Self(Arc::new(f)))
    }

    /// Wakes the waiter.
    pub fn kick(&self) {
        // The counter refuses only when it is near overflow; the waiter is awake then anyhow.
        let _ = (&*self.0).write(&1u64.to_ne_bytes());
    }

    /// Sets the counter back, so that the next wait sleeps.
    pub fn drain(&self) {
        let _ = (&*self.0).read(&mut [0; 8]);
    }
}

impl AsFd for Kick {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// SIGINT and SIGTERM as something to wait for. To be made before any other thread, which then inherits the mask.
pub struct Signals(File);

impl Signals {
    /// Blocks both signals and gives the descriptor that reads them.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        sys::termination_fd().map(Self)
    }

    /// Whether one of them has come since the last call.
    pub fn take(&mut self) -> bool {
        self.0.read(&mut [0; 128]).is_ok_and(|n| n > 0)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_kick_from_another_thread_ends_a_wait_without_a_time_out() {
        let mut poller = Poller::new().expect("poller");
        let kick = Kick::new().expect("kick");
        poller.add(&kick, 3, Interest::READ).expect("add");
        let other = kick.clone();
        let thread = std::thread::spawn(move || other.kick());
        let mut events = Events::new();
        poller.wait(&mut events, None).expect("wait");
        assert_eq!(events.iter().map(|e| e.token).collect::<Vec<_>>(), [3]);
        kick.drain();
        thread.join().expect("join");
        poller.wait(&mut events, Some(Duration::ZERO)).expect("wait");
        assert_eq!(events.iter().count(), 0);
    }

    #[test]
    fn a_wait_beside_devices_ends_by_them_by_the_set_and_by_time() {
        let mut poller = Poller::new().expect("poller");
        let (kick, device) = (Kick::new().expect("kick"), Kick::new().expect("another"));
        poller.add(&kick, 3, Interest::READ).expect("add");
        let mut events = Events::new();
        let mut tokens = |timeout| {
            let start = Instant::now();
            let devices = [(device.as_fd(), Interest::READ)];
            poller.wait_beside(devices.into_iter(), &mut events, timeout).expect("wait");
            (events.iter().map(|e| e.token).collect::<Vec<_>>(), start.elapsed())
        };
        let short = Duration::from_micros(1_300);
        let (none, time) = tokens(Some(short));
        assert!(none.is_empty() && time >= short);
        kick.kick();
        assert_eq!(tokens(None).0, [3]);
        kick.drain();
        device.kick();
        assert!(tokens(None).0.is_empty());
        kick.kick();
        assert_eq!(tokens(None).0, [3], "both");
    }

    #[test]
    fn a_wait_lasts_as_long_as_asked() {
        let mut poller = Poller::new().expect("poller");
        let start = Instant::now();
        poller.wait(&mut Events::new(), Some(Duration::from_micros(1_300))).expect("wait");
        assert!(start.elapsed() >= Duration::from_micros(1_300));
    }
}
