//! Linux tap and tun devices: `/dev/net/tun`, one system call per frame.
//!
//! [`TapPort::open`] makes a device, or attaches to a persistent one, which is then used as it is; [`TapPort::with_pool`]
//! turns it into a [`Device`]. With packet information, four octets (flags, EtherType) go in front of every frame; with
//! offload, a header behind these that says what was left to the other side (`tap/vnet.rs`).
//!
//! ```text
//!   read    ┌ information ┬ header ┬ packet ... ┐ ┌ ... packet ┐
//!           └──────────── a frame ──────────────┘ └ a large one, for what does not fit ┘
//! ```
//! A packet that fits the frame leaves the large one for the next; of a super-segment the first part is copied to where the
//! rest lies.

mod vnet;

use crate::device::{Counters, HostDevice};
use crate::failure::Failure;
use crate::pool::{HEADROOM, max_frame};
use crate::sys::{
    self,
    interface::{self, Control, TunFlags},
};
use ringtap::device::{
    Capabilities, ChecksumOffload, Device, Gso, Link, Lost, Mac, Medium, RxChecksum, RxMeta, TxMeta,
};
use ringtap::frame::{Frame, Pool};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Octets of packet information: flags and protocol, big-endian.
const PACKET_INFO: usize = 4;

/// The smallest and largest IP MTU that the kernel takes on a tap (`ETH_MIN_MTU`, and 65,535 less an Ethernet header).
const MTU_RANGE: std::ops::RangeInclusive<usize> = 68..=65_521;

/// How many packets an empty pool may lose in one call of `receive`, so that the call stays bounded.
const DRAIN: usize = 32;

/// How to open a tap or tun.
#[derive(Clone, Debug)]
pub struct TapOptions {
    /// The device's name, at most 15 octets; a `%d` in it is replaced by a free number.
    pub name: String,
    /// IP packets (tun) instead of Ethernet frames (tap).
    pub tun: bool,
    /// Four octets of packet information in front of each frame, as IFF_NO_PI leaves them out.
    pub packet_info: bool,
    /// Checksums and segments of TCP are left to the kernel, and taken from it as it has them, where it can
    /// ([`TapPort::offload`] says what it does).
    pub offload: bool,
    /// The kernel's MAC address, if the device is made here.
    pub kernel_mac: Option<Mac>,
    /// The IP MTU; of a device that exists, its own when `None`.
    pub mtu: Option<usize>,
    /// The kernel's address and prefix length, if the device is made here.
    pub kernel_address: Option<(Ipv4Addr, u8)>,
    /// The kernel's IPv6 address and prefix length, if the device is made here.
    pub kernel_address_v6: Option<(Ipv6Addr, u8)>,
}

impl TapOptions {
    /// A tap called `name`, everything else as the kernel has it.
    pub fn tap(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            tun: false,
            packet_info: false,
            offload: false,
            kernel_mac: None,
            mtu: None,
            kernel_address: None,
            kernel_address_v6: None,
        }
    }

    /// A tun called `name`, everything else as the kernel has it.
    pub fn tun(name: impl Into<String>) -> Self {
        Self { tun: true, ..Self::tap(name) }
    }

    fn kind(&self) -> &'static str {
        if self.tun { "tun" } else { "tap" }
    }
}

/// What a tap's kernel and we leave to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// Nothing: every frame is one packet, with its checksums.
    #[default]
    None,
    /// Checksums of TCP and UDP.
    Checksums,
    /// Checksums, and segments of TCP over both families.
    Segments,
}

/// An attached tap or tun that has no frames yet.
#[derive(Debug)]
pub struct TapPort {
    file: File,
    name: String,
    medium: Medium,
    packet_info: bool,
    offload: Offload,
    mtu: usize,
    kernel_mac: Option<Mac>,
    existed: bool,
    up: bool,
}

impl TapPort {
    /// Attaches to the device, or makes it, brings it up and gives the kernel its address.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do: no driver, no permission, busy, not a tap.
    pub fn open(options: &TapOptions) -> Result<Self, Failure> {
        if options.mtu.is_some_and(|mtu| !MTU_RANGE.contains(&mtu)) {
            let (low, high) = (MTU_RANGE.start(), MTU_RANGE.end());
            return Err(Failure::usage(format!("the MTU must lie between {low} and {high}")));
        }
        let control = Control::new().map_err(|e| Failure::io("cannot open a socket", &e))?;
        let existed = control.exists(&options.name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .map_err(|e| cannot_open(&e))?;
        let (name, header) = attach(&file, options).map_err(|e| cannot_attach(&e, options, existed))?;
        let offload = if header { agree(&file) } else { Offload::None };
        // An earlier owner of a persistent device may have left offloads on.
        if offload == Offload::None {
            let _ = interface::tun_offload(file.as_fd(), 0);
        }
        if !existed {
            set_up(&control, &name, options)?;
        }
        let about = |e: io::Error| Failure::io(format_args!("cannot ask about {name}"), &e);
        let mtu = control.mtu(&name).map_err(about)?;
        let kernel_mac = control.mac(&name).map_err(about)?;
        let up = control.is_up(&name).map_err(about)?;
        let medium = if options.tun { Medium::Ip } else { Medium::Ethernet };
        let mtu = options.mtu.unwrap_or(mtu);
        let packet_info = options.packet_info;
        Ok(Self { file, name, medium, packet_info, offload, mtu, kernel_mac, existed, up })
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ethernet for a tap, IP for a tun.
    pub fn medium(&self) -> Medium {
        self.medium
    }

    /// The IP MTU.
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// The kernel's MAC address on a tap.
    pub fn kernel_mac(&self) -> Option<Mac> {
        self.kernel_mac
    }

    /// Whether the device was there before.
    pub fn existed(&self) -> bool {
        self.existed
    }

    /// Whether the interface was up when it was opened.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// What the kernel and we leave to each other.
    pub fn offload(&self) -> Offload {
        self.offload
    }

    /// The device, receiving into frames of `pool` (slots of [`slot_size`](crate::pool::slot_size) octets). No packet is
    /// longer than these: of what was agreed on, segments are not left to each other.
    pub fn with_pool(mut self, pool: Pool<'static>) -> Tap {
        if self.offload == Offload::Segments {
            let _ = interface::tun_offload(self.file.as_fd(), interface::TUN_F_CSUM);
            self.offload = Offload::Checksums;
        }
        self.with_pools(pool, pool)
    }

    /// As [`with_pool`](Self::with_pool), with a pool for super-segments
    /// (slots of [`LARGE_FRAME`](crate::pool::LARGE_FRAME) octets), which the stack has as `Config::large_pool`.
    pub fn with_pools(self, pool: Pool<'static>, large: Pool<'static>) -> Tap {
        let Self { file, name, medium, packet_info, offload, mtu, up, .. } = self;
        Tap {
            file,
            name,
            medium,
            packet_info,
            offload,
            mtu,
            pool,
            large,
            spare: None,
            down: Cell::new(!up),
            refused: false,
            gone: None,
            counters: Counters::default(),
        }
    }
}

/// The device's real name, and whether frames have a header in front.
fn attach(file: &File, options: &TapOptions) -> io::Result<(String, bool)> {
    let header = options.offload && interface::tun_has_header(file.as_fd());
    let flags = TunFlags { tap: !options.tun, packet_info: options.packet_info, multi_queue: false, header };
    let name = match interface::tun_attach(file.as_fd(), &options.name, flags) {
        // A persistent device with several queues wants to be told that we know.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
            interface::tun_attach(file.as_fd(), &options.name, TunFlags { multi_queue: true, ..flags }).map_err(|_| e)
        }
        other => other,
    }?;
    Ok((name, header))
}

/// Agrees with the kernel on the header, whatever an earlier owner had, and on what is left to each other.
fn agree(file: &File) -> Offload {
    let tun = file.as_fd();
    if interface::tun_set_header(tun, vnet::LEN).is_err() {
        return Offload::None;
    }
    let all = interface::TUN_F_CSUM | interface::TUN_F_TSO4 | interface::TUN_F_TSO6;
    if interface::tun_offload(tun, all).is_ok() {
        return Offload::Segments;
    }
    match interface::tun_offload(tun, interface::TUN_F_CSUM) {
        Ok(()) => Offload::Checksums,
        Err(_) => Offload::None,
    }
}

/// Addresses a device that was just made, and brings it up.
fn set_up(control: &Control, name: &str, options: &TapOptions) -> Result<(), Failure> {
    if let Some(mac) = options.kernel_mac {
        control
            .set_mac(name, mac)
            .map_err(|e| Failure::io(format_args!("cannot set the MAC address of {name}"), &e))?;
    }
    if let Some(mtu) = options.mtu {
        control.set_mtu(name, mtu).map_err(|e| Failure::io(format_args!("cannot set the MTU of {name}"), &e))?;
    }
    if options.kernel_address_v6.is_some() {
        quiet_ipv6(name);
    }
    control.set_up(name, true).map_err(|e| Failure::io(format_args!("cannot bring {name} up"), &e))?;
    if let Some((addr, len)) = options.kernel_address {
        control
            .set_address(name, addr, len)
            .map_err(|e| Failure::io(format_args!("cannot give the kernel {addr}/{len} on {name}"), &e))?;
    }
    if let Some((addr, len)) = options.kernel_address_v6 {
        control
            .set_address_v6(name, addr, len)
            .map_err(|e| Failure::io(format_args!("cannot give the kernel {addr}/{len} on {name}"), &e))?;
        interface::wait_for_trials(name);
    }
    Ok(())
}

/// Has the kernel use IPv6 on a device that was just made, whatever the machine's default is, without a trial of its
/// address: nobody but us is at the other end. Where that cannot be set, the address comes a second later.
fn quiet_ipv6(name: &str) {
    for (setting, value) in [("disable_ipv6", "0"), ("accept_dad", "0"), ("accept_ra", "0")] {
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/{setting}"), value);
    }
}

/// Whether this kernel speaks IPv6 at all.
pub fn kernel_has_ipv6() -> bool {
    std::path::Path::new("/proc/sys/net/ipv6").exists()
}

fn cannot_open(error: &io::Error) -> Failure {
    let failure = Failure::io("cannot open /dev/net/tun", error);
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            failure.remedy("load the driver: sudo modprobe tun (in a container: start it with --device /dev/net/tun)")
        }
        Some(libc::EACCES | libc::EPERM) => failure.remedy("run as root, or let users in: sudo chmod 666 /dev/net/tun"),
        _ => failure,
    }
}

fn cannot_attach(error: &io::Error, options: &TapOptions, existed: bool) -> Failure {
    let (name, kind) = (&options.name, options.kind());
    let failure = |text: &str| Failure::new(format!("cannot attach to {kind} {name}: {text}"));
    match error.raw_os_error() {
        Some(libc::EBUSY) => failure("another program has it open").remedy("end that program, or choose another --dev"),
        Some(libc::EPERM | libc::EACCES) if existed => failure("it belongs to another user").remedy(format!(
            "run as root, or make it yours: sudo ip tuntap del dev {name} mode {kind}; \
             sudo ip tuntap add dev {name} mode {kind} user $(id -un)"
        )),
        Some(libc::EPERM | libc::EACCES) => failure("no permission to make it").remedy(format!(
            "run as root, or make it once: sudo ip tuntap add dev {name} mode {kind} user $(id -un); \
             sudo ip addr add 10.7.0.1/24 dev {name}; sudo ip link set {name} up"
        )),
        Some(libc::EINVAL) if existed => {
            let other = if options.tun { "drop --tun" } else { "add --tun" };
            failure(&format!("it is no {kind}"))
                .remedy(format!("{other} if it is of the other kind, or choose another --dev"))
        }
        Some(libc::EINVAL) => Failure::usage(format!("{name:?} cannot be an interface's name"))
            .remedy("use 1 to 15 letters, digits, '-' or '_'"),
        _ => Failure::io(format_args!("cannot attach to {kind} {name}"), error),
    }
}

/// A tap or tun as a device.
pub struct Tap {
    file: File,
    name: String,
    medium: Medium,
    packet_info: bool,
    offload: Offload,
    mtu: usize,
    pool: Pool<'static>,
    /// Frames for super-segments, and one that waits for the next.
    large: Pool<'static>,
    spare: Option<Frame<'static>>,
    /// The interface was down when it was opened or last written to: as if the cable were pulled. It has not been seen up
    /// since.
    down: Cell<bool>,
    /// The last write found no room.
    refused: bool,
    gone: Option<io::Error>,
    counters: Counters,
}

/// What a read or write that failed means.
enum Trouble {
    /// Nothing there, or no room: later.
    Later,
    /// This frame is lost: the interface is down, or does not want it.
    Lost,
    /// The device is gone.
    Gone,
}

impl Trouble {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Self::Later,
            // EBADFD: the interface was deleted under us.
            Some(libc::EBADFD | libc::EBADF | libc::ENODEV | libc::ENXIO) => Self::Gone,
            _ => Self::Lost,
        }
    }
}

impl Tap {
    /// The device's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Octets in front of each frame: packet information, and the header of what offloads.
    fn front(&self) -> usize {
        let info = if self.packet_info { PACKET_INFO } else { 0 };
        info + if self.offload == Offload::None { 0 } else { vnet::LEN }
    }

    fn on_read_error(&mut self, error: io::Error) {
        match Trouble::of(&error) {
            // The next wait tells when there is more.
            Trouble::Later | Trouble::Lost => {}
            Trouble::Gone => self.gone = Some(error),
        }
    }

    /// Reads and forgets some packets, so that a readable descriptor without a frame to read into does not spin.
    fn drop_some(&mut self) {
        let mut scratch = [0; 64];
        for _ in 0..DRAIN {
            match self.file.read(&mut scratch) {
                Ok(_cut_off) => self.counters.no_frame += 1,
                Err(e) => return self.on_read_error(e),
            }
        }
    }

    /// Reads one frame into `frame`, or a large one; `Ok(None)` for one that cannot be, or whose header cannot, counted.
    fn read_frame(&mut self, mut frame: Frame<'static>) -> io::Result<Option<(Frame<'static>, RxMeta)>> {
        let (front, room) = (self.front(), frame.tailroom());
        if self.offload == Offload::Segments && self.spare.is_none() {
            self.spare = self.large.take(HEADROOM - front).map(|mut spare| {
                let all = spare.tailroom();
                let _ = spare.append(all);
                spare
            });
        }
        let first = frame.append(room).unwrap_or_default();
        let n = match &mut self.spare {
            Some(spare) => {
                let rest = spare.get_mut(room..).unwrap_or_default();
                self.file.read_vectored(&mut [IoSliceMut::new(first), IoSliceMut::new(rest)])?
            }
            None => self.file.read(first)?,
        };
        frame.truncate(n);
        if n > room
            && let Some(mut whole) = self.spare.take()
        {
            whole.get_mut(..room).unwrap_or_default().copy_from_slice(&frame);
            whole.truncate(n);
            frame = whole;
        }
        let meta = match self.offload {
            Offload::None => Some(RxMeta::default()),
            _ => read_header(&frame, front),
        };
        let Some(meta) = meta else {
            self.counters.bad_header += 1;
            return Ok(None);
        };
        frame.trim_front(front);
        if n <= front || length_of(&frame, &meta) > max_frame(self.medium, self.mtu) {
            // What has no room but in a large frame, and found none, was cut off.
            let count = if meta.gso.is_some() { &mut self.counters.no_frame } else { &mut self.counters.bad_length };
            *count += 1;
            return Ok(None);
        }
        Ok(Some((frame, meta)))
    }

    /// Puts in front of a frame what its receiver reads first; `false` without headroom.
    fn push_front(&self, frame: &mut Frame<'static>, meta: &TxMeta) -> bool {
        if self.offload != Offload::None {
            let header = vnet::emit(meta, frame, self.medium);
            let Some(place) = frame.push_front(vnet::LEN) else { return false };
            place.copy_from_slice(&header);
        }
        !self.packet_info || push_packet_info(frame, self.medium, self.front() - PACKET_INFO)
    }
}

/// What the last of the `front` octets before a packet say of it.
fn read_header(frame: &[u8], front: usize) -> Option<RxMeta> {
    let (front, packet) = frame.split_at_checked(front)?;
    vnet::parse(*front.last_chunk()?, packet)
}

/// Octets of a frame as it is on a wire, or of the longest of a super-segment's.
fn length_of(packet: &[u8], meta: &RxMeta) -> usize {
    match (meta.gso, meta.checksum) {
        (Some(Gso { size }), RxChecksum::Partial { start, .. }) => {
            packet.len().min(usize::from(vnet::headers_of(packet, start)) + usize::from(size))
        }
        (Some(Gso { size }), _) => packet.len().min(usize::from(size)),
        (None, _) => packet.len(),
    }
}

impl Device<'static> for Tap {
    fn capabilities(&self) -> Capabilities {
        let sums = self.offload != Offload::None;
        let most = if self.offload == Offload::Segments { usize::from(u16::MAX) } else { 0 };
        Capabilities {
            headroom: self.front(),
            checksum: ChecksumOffload { tcp: sums, udp: sums, ipv4: false },
            gso_ipv4: most,
            gso_ipv6: most,
            ..Capabilities::plain(self.medium, self.mtu)
        }
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        for _ in 0..DRAIN {
            if self.gone.is_some() {
                return None;
            }
            let Some(frame) = self.pool.take(HEADROOM - self.front()) else {
                self.drop_some();
                return None;
            };
            match self.read_frame(frame) {
                Ok(Some(received)) => return Some(received),
                Ok(None) => {}
                Err(e) => {
                    self.on_read_error(e);
                    return None;
                }
            }
        }
        None
    }

    fn transmit(&mut self, mut frame: Frame<'static>, meta: TxMeta) -> Result<(), Frame<'static>> {
        if self.gone.is_some() {
            self.counters.not_sent += 1;
            return Ok(());
        }
        let front = self.front();
        if front > 0 && !self.push_front(&mut frame, &meta) {
            self.counters.not_sent += 1;
            return Ok(());
        }
        // The kernel takes a frame whole or not at all.
        match self.file.write(&frame) {
            Ok(_all) => {
                self.refused = false;
                self.down.set(false);
            }
            Err(e) => match Trouble::of(&e) {
                Trouble::Later => {
                    self.refused = true;
                    frame.trim_front(front);
                    return Err(frame);
                }
                trouble => {
                    self.counters.not_sent += 1;
                    self.refused = false;
                    self.down.set(e.raw_os_error() == Some(libc::EIO));
                    if matches!(trouble, Trouble::Gone) {
                        self.gone = Some(e);
                    }
                }
            },
        }
        Ok(())
    }

    fn lost(&self) -> Lost {
        self.counters.lost()
    }

    fn link(&self) -> Link {
        // Nobody writes to an interface that is down, so that the kernel is asked instead: not by its name, which is another
        // one's once it was moved to a network namespace of its own.
        if self.down.get() && sys::is_writable(self.file.as_fd()).unwrap_or(false) {
            self.down.set(false);
        }
        if self.gone.is_some() || self.down.get() { Link::Down } else { Link::Up }
    }
}

impl HostDevice for Tap {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn wants_write(&self) -> Option<BorrowedFd<'_>> {
        // The kernel calls a tap writable when it comes up, and not while it is down.
        (self.refused || self.down.get()).then(|| self.file.as_fd())
    }

    fn failure(&self) -> Option<Failure> {
        self.gone.as_ref()?;
        Some(Failure::new(format!("{} has vanished", self.name)).remedy("make it again and start anew"))
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

/// Puts flags 0 and the EtherType of the packet, which begins `at` octets further on, in front; `false` without headroom.
fn push_packet_info(frame: &mut Frame<'_>, medium: Medium, at: usize) -> bool {
    let packet = frame.get(at..).unwrap_or_default();
    let ethertype = match (medium, packet.first().map(|b| b >> 4)) {
        (Medium::Ip, Some(6)) => [0x86, 0xdd],
        (Medium::Ip, _) => [0x08, 0x00],
        (_, _) => packet.get(12..14).map_or([0, 0], |t| [t[0], t[1]]),
    };
    let Some(info) = frame.push_front(PACKET_INFO) else { return false };
    info.copy_from_slice(&[0, 0, ethertype[0], ethertype[1]]);
    true
}

#[cfg(test)]
mod tests;
