//! The system calls that std does not have, each behind a safe function: the only file of this crate with `unsafe`.
//!
//! Interface requests (ioctl on a tap or a socket) are in `sys/interface.rs`.
#![allow(unsafe_code)]

pub mod interface;

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// The result of a call that answers -1 and sets `errno`.
fn check(ret: libc::c_int) -> io::Result<libc::c_int> {
    if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

/// As [`check`], for calls that make a file descriptor.
fn check_fd(ret: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(ret)?;
    // SAFETY: the kernel has just made `fd` for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What to wait for on a file descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Until it can be read.
    pub read: bool,
    /// Until it can be written.
    pub write: bool,
}

impl Interest {
    /// Until it can be read.
    pub const READ: Self = Self { read: true, write: false };

    fn bits(self) -> u32 {
        let read = if self.read { libc::EPOLLIN as u32 } else { 0 };
        let write = if self.write { libc::EPOLLOUT as u32 } else { 0 };
        read | write
    }
}

/// A file descriptor that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The token it was added with.
    pub token: u64,
    /// Something can be read.
    pub readable: bool,
    /// Something can be written.
    pub writable: bool,
    /// It hung up, or has an error.
    pub failed: bool,
}

/// Room for the events of one wait.
pub struct Events {
    raw: [libc::epoll_event; 64],
    len: usize,
}

impl Events {
    /// No events.
    pub fn new() -> Self {
        Self { raw: [libc::epoll_event { events: 0, u64: 0 }; 64], len: 0 }
    }

    /// Forgets the events of the last wait.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The events of the last wait.
    pub fn iter(&self) -> impl Iterator<Item = Ready> + '_ {
        self.raw.iter().take(self.len).map(|e| {
            let bits = e.events;
            Ready {
                token: e.u64,
                readable: bits & libc::EPOLLIN as u32 != 0,
                writable: bits & libc::EPOLLOUT as u32 != 0,
                failed: bits & (libc::EPOLLERR | libc::EPOLLHUP) as u32 != 0,
            }
        })
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a write would be taken now. Of a tap this says, too, that its interface is up, in whichever network namespace.
pub fn is_writable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut entry = [Polled::new(fd, Interest { read: false, write: true })];
    poll(&mut entry, Some(Duration::ZERO))?;
    Ok(entry[0].0.revents & libc::POLLOUT != 0)
}

/// One descriptor of a [`poll`]: what it waits for, and whether that, a hang-up or an error has come.
#[repr(transparent)]
pub struct Polled(libc::pollfd);

impl Polled {
    /// `fd`, which is to be open still when it is polled.
    pub fn new(fd: BorrowedFd<'_>, interest: Interest) -> Self {
        let read = if interest.read { libc::POLLIN } else { 0 };
        let write = if interest.write { libc::POLLOUT } else { 0 };
        Self(libc::pollfd { fd: fd.as_raw_fd(), events: read | write, revents: 0 })
    }

    /// Whether the last poll found something.
    pub fn is_ready(&self) -> bool {
        self.0.revents != 0
    }
}

/// Waits until one of these is ready, or `timeout` has passed (`None`: for ever), to the nanosecond.
pub fn poll(entries: &mut [Polled], timeout: Option<Duration>) -> io::Result<()> {
    let spec = timeout.map(timespec);
    let spec_ptr = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `Polled` is a `pollfd` by its representation, there are as many as said, `spec` outlives the call, and no
    // signal mask is given.
    check(unsafe {
        libc::ppoll(entries.as_mut_ptr().cast(), entries.len() as libc::nfds_t, spec_ptr, std::ptr::null())
    })
    .map(drop)
}

/// The longest time there is, when `t` is longer.
fn timespec(t: Duration) -> libc::timespec {
    let tv_sec = libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX);
    libc::timespec { tv_sec, tv_nsec: t.subsec_nanos() as _ }
}

/// A new epoll instance.
pub fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    check_fd(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

/// What `epoll_control` does.
#[derive(Clone, Copy, Debug)]
pub enum EpollOp {
    /// Adds a descriptor.
    Add,
    /// Changes what it waits for.
    Modify,
    /// Takes it out.
    Remove,
}

/// Adds, changes or removes `fd`.
pub fn epoll_control(
    epoll: BorrowedFd<'_>,
    op: EpollOp,
    fd: BorrowedFd<'_>,
    token: u64,
    interest: Interest,
) -> io::Result<()> {
    let op = match op {
        EpollOp::Add => libc::EPOLL_CTL_ADD,
        EpollOp::Modify => libc::EPOLL_CTL_MOD,
        EpollOp::Remove => libc::EPOLL_CTL_DEL,
    };
    let mut event = libc::epoll_event { events: interest.bits(), u64: token };
    // SAFETY: both descriptors are open while borrowed, and `event` outlives the call.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), op, fd.as_raw_fd(), &mut event) }).map(drop)
}

/// Waits until something is ready, or `timeout` has passed (`None`: for ever), to the nanosecond.
pub fn epoll_wait_exact(epoll: BorrowedFd<'_>, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
    let spec = timeout.map(timespec);
    let spec_ptr = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    events.len = 0;
    // SAFETY: `events.raw` has room for as many events as are asked for, `spec` outlives the call, and no signal mask
    // is given.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.raw.as_mut_ptr(),
            events.raw.len(),
            spec_ptr,
            std::ptr::null::<libc::sigset_t>(),
            size_of::<u64>(),
        )
    };
    events.len = check(ret as libc::c_int)? as usize;
    Ok(())
}

/// As [`epoll_wait_exact`] on kernels before 5.11: to the millisecond, rounded up.
pub fn epoll_wait_millis(epoll: BorrowedFd<'_>, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
    let millis = timeout.map_or(-1, |t| libc::c_int::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
    events.len = 0;
    // SAFETY: `events.raw` has room for as many events as are asked for.
    let ret = unsafe {
        libc::epoll_wait(epoll.as_raw_fd(), events.raw.as_mut_ptr(), events.raw.len() as libc::c_int, millis)
    };
    events.len = check(ret)? as usize;
    Ok(())
}

/// A new event counter, not blocking.
pub fn eventfd() -> io::Result<File> {
    // SAFETY: no pointers.
    check_fd(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(File::from)
}

fn termination_signals() -> libc::sigset_t {
    // SAFETY: `sigset_t` is plain data, and `sigemptyset`/`sigaddset` are given a valid one and valid signal numbers.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGINT);
        libc::sigaddset(&mut set, libc::SIGTERM);
        set
    }
}

/// Blocks SIGINT and SIGTERM in this thread (and those it starts), and gives a descriptor that reads them.
pub fn termination_fd() -> io::Result<File> {
    let set = termination_signals();
    // SAFETY: `set` is initialised; the old mask is not asked for.
    let ret = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    if ret != 0 {
        return Err(io::Error::from_raw_os_error(ret));
    }
    // SAFETY: `set` is initialised.
    check_fd(unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) }).map(File::from)
}

/// The effective user.
pub fn effective_uid() -> u32 {
    // SAFETY: always succeeds.
    unsafe { libc::geteuid() }
}

/// The effective group.
pub fn effective_gid() -> u32 {
    // SAFETY: always succeeds.
    unsafe { libc::getegid() }
}

/// Leaves the given namespaces for new ones.
pub fn unshare(user: bool, net: bool) -> io::Result<()> {
    let flags = if user { libc::CLONE_NEWUSER } else { 0 } | if net { libc::CLONE_NEWNET } else { 0 };
    // SAFETY: no pointers; memory and descriptors stay shared as they are.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// Writes `data` to the file at `path` without allocating, so that it may run between fork and exec.
pub fn write_file_raw(path: &CStr, data: &[u8]) -> io::Result<()> {
    // SAFETY: `path` ends in NUL.
    let fd = check_fd(unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) })?;
    // SAFETY: `data` is valid for its length.
    let n = unsafe { libc::write(fd.as_raw_fd(), data.as_ptr().cast(), data.len()) };
    match usize::try_from(n) {
        Ok(n) if n == data.len() => Ok(()),
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EIO)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Runs `before` in the child between fork and exec; it must not allocate, nor take a lock.
pub fn before_exec(command: &mut Command, before: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: the only callers are in `netns.rs`, whose closures make system calls only.
    unsafe { command.pre_exec(before) };
}

/// A raw ICMPv4 or ICMPv6 socket; std's `UdpSocket` serves to send to and receive from addresses on it (ports are ignored).
pub fn raw_icmp_socket(v6: bool) -> io::Result<std::net::UdpSocket> {
    let (family, protocol) =
        if v6 { (libc::AF_INET6, libc::IPPROTO_ICMPV6) } else { (libc::AF_INET, libc::IPPROTO_ICMP) };
    // SAFETY: no pointers.
    let fd = check_fd(unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) })?;
    Ok(fd.into())
}

/// Sets the congestion control of one of the kernel's TCP sockets.
pub fn set_tcp_congestion(socket: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let len = name.len() as libc::socklen_t;
    // SAFETY: `name` is valid for `len` octets; the kernel copies them.
    check(unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_CONGESTION, name.as_ptr().cast(), len)
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::time::Instant;

    #[test]
    fn an_exact_wait_ends_when_its_time_has_passed_and_not_before() {
        let epoll = epoll().expect("epoll");
        for wait in [epoll_wait_exact, epoll_wait_millis] {
            let start = Instant::now();
            wait(epoll.as_fd(), &mut Events::new(), Some(Duration::from_micros(2_500))).expect("wait");
            assert!(start.elapsed() >= Duration::from_micros(2_500));
        }
    }

    #[test]
    fn an_event_counter_wakes_with_its_token() {
        let (epoll, mut counter) = (epoll().expect("epoll"), eventfd().expect("eventfd"));
        epoll_control(epoll.as_fd(), EpollOp::Add, counter.as_fd(), 7, Interest::READ).expect("add");
        counter.write_all(&1u64.to_ne_bytes()).expect("kick");
        let mut events = Events::new();
        epoll_wait_exact(epoll.as_fd(), &mut events, None).expect("wait");
        let ready: Vec<_> = events.iter().collect();
        assert_eq!(ready, [Ready { token: 7, readable: true, writable: false, failed: false }]);
        let mut value = [0; 8];
        counter.read_exact(&mut value).expect("drain");
        epoll_wait_exact(epoll.as_fd(), &mut events, Some(Duration::ZERO)).expect("wait");
        assert_eq!(events.iter().count(), 0);
    }
}
