//! Requests to network interfaces: ioctl on /dev/net/tun and on a datagram socket.

use super::{check, check_fd};
use ringtap::device::Mac;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// What a device from /dev/net/tun is asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunFlags {
    /// Ethernet frames (a tap) instead of IP packets (a tun).
    pub tap: bool,
    /// Four octets of flags and protocol in front of each packet.
    pub packet_info: bool,
    /// Attach as one of several queues.
    pub multi_queue: bool,
    /// A `virtio_net_hdr` in front of each packet.
    pub header: bool,
}

/// The kernel may leave checksums to us.
pub const TUN_F_CSUM: libc::c_uint = 1;
/// The kernel may leave segments of TCP over IPv4 to us.
pub const TUN_F_TSO4: libc::c_uint = 2;
/// The kernel may leave segments of TCP over IPv6 to us.
pub const TUN_F_TSO6: libc::c_uint = 4;

/// A request for the interface `name`: 1 to 15 octets, no slash, no white space.
fn request(name: &str) -> io::Result<libc::ifreq> {
    let bad =
        name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains(|c: char| c == '/' || !c.is_ascii_graphic());
    if bad {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: `ifreq` is plain data.
    let mut req: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in req.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(req)
}

/// Makes or attaches to the device `name` (which may hold one `%d`); returns its real name.
pub fn tun_attach(tun: BorrowedFd<'_>, name: &str, flags: TunFlags) -> io::Result<String> {
    let mut req = request(name)?;
    let kind = if flags.tap { libc::IFF_TAP } else { libc::IFF_TUN };
    let info = if flags.packet_info { 0 } else { libc::IFF_NO_PI };
    let queues = if flags.multi_queue { libc::IFF_MULTI_QUEUE } else { 0 };
    let header = if flags.header { libc::IFF_VNET_HDR } else { 0 };
    req.ifr_ifru.ifru_flags = (kind | info | queues | header) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, &mut req) })?;
    Ok(req.ifr_name.iter().take_while(|&&c| c != 0).map(|&c| char::from(c as u8)).collect())
}

/// Whether the kernel knows of headers in front of packets.
pub fn tun_has_header(tun: BorrowedFd<'_>) -> bool {
    let mut features: libc::c_uint = 0;
    // SAFETY: TUNGETFEATURES writes one unsigned number.
    let asked = check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNGETFEATURES as _, &mut features) });
    asked.is_ok() && features & libc::IFF_VNET_HDR as libc::c_uint != 0
}

/// Sets how long the header in front of packets is, and that it is in this machine's order.
pub fn tun_set_header(tun: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    let len = libc::c_int::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: TUNSETVNETHDRSZ reads one number.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETVNETHDRSZ as _, &len) })?;
    let little = libc::c_int::from(cfg!(target_endian = "little"));
    // SAFETY: TUNSETVNETLE reads one number. A kernel without it knows this machine's order only.
    let _ = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETVNETLE as _, &little) };
    Ok(())
}

/// Sets what the kernel may leave to us.
pub fn tun_offload(tun: BorrowedFd<'_>, what: libc::c_uint) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes a number.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETOFFLOAD as _, libc::c_ulong::from(what)) }).map(drop)
}

/// Makes the device outlive its owner, or not.
pub fn tun_persist(tun: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    // SAFETY: TUNSETPERSIST takes a number.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST as _, libc::c_ulong::from(on)) }).map(drop)
}

/// The socket that interface requests are made on; it says which network namespace is meant.
#[derive(Debug)]
pub struct Control(OwnedFd);

impl Control {
    /// A socket in this thread's network namespace.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        check_fd(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }).map(Self)
    }

    fn ioctl(&self, op: libc::Ioctl, req: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: every operation used in this file reads or writes one `ifreq`.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), op, req) }).map(drop)
    }

    /// Whether there is an interface `name`.
    pub fn exists(&self, name: &str) -> bool {
        request(name).and_then(|mut req| self.ioctl(libc::SIOCGIFINDEX as _, &mut req)).is_ok()
    }

    fn flags(&self, name: &str) -> io::Result<libc::ifreq> {
        let mut req = request(name)?;
        self.ioctl(libc::SIOCGIFFLAGS as _, &mut req)?;
        Ok(req)
    }

    /// Whether the interface is up.
    pub fn is_up(&self, name: &str) -> io::Result<bool> {
        let req = self.flags(name)?;
        // SAFETY: SIOCGIFFLAGS has filled in the flags.
        let flags = unsafe { req.ifr_ifru.ifru_flags };
        Ok(libc::c_int::from(flags) & libc::IFF_UP != 0)
    }

    /// Brings the interface up or down.
    pub fn set_up(&self, name: &str, up: bool) -> io::Result<()> {
        let mut req = self.flags(name)?;
        let bit = libc::IFF_UP as libc::c_short;
        // SAFETY: SIOCGIFFLAGS has filled in the flags.
        let flags = unsafe { req.ifr_ifru.ifru_flags };
        req.ifr_ifru.ifru_flags = if up { flags | bit } else { flags & !bit };
        self.ioctl(libc::SIOCSIFFLAGS as _, &mut req)
    }

    /// The largest IP packet.
    pub fn mtu(&self, name: &str) -> io::Result<usize> {
        let mut req = request(name)?;
        self.ioctl(libc::SIOCGIFMTU as _, &mut req)?;
        // SAFETY: SIOCGIFMTU has filled in the MTU.
        let mtu = unsafe { req.ifr_ifru.ifru_mtu };
        Ok(usize::try_from(mtu).unwrap_or(0))
    }

    /// Sets the largest IP packet.
    pub fn set_mtu(&self, name: &str, mtu: usize) -> io::Result<()> {
        let mut req = request(name)?;
        let mtu = libc::c_int::try_from(mtu).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        req.ifr_ifru.ifru_mtu = mtu;
        self.ioctl(libc::SIOCSIFMTU as _, &mut req)
    }

    /// The kernel's MAC address on it; `None` when it has none (a tun).
    pub fn mac(&self, name: &str) -> io::Result<Option<Mac>> {
        let mut req = request(name)?;
        self.ioctl(libc::SIOCGIFHWADDR as _, &mut req)?;
        // SAFETY: SIOCGIFHWADDR has filled in the hardware address.
        let addr = unsafe { req.ifr_ifru.ifru_hwaddr };
        if addr.sa_family != libc::ARPHRD_ETHER {
            return Ok(None);
        }
        let mut mac = [0; 6];
        for (to, from) in mac.iter_mut().zip(addr.sa_data) {
            *to = from as u8;
        }
        Ok(Some(Mac(mac)))
    }

    /// Sets the kernel's MAC address on it.
    pub fn set_mac(&self, name: &str, mac: Mac) -> io::Result<()> {
        let mut req = request(name)?;
        // SAFETY: `sockaddr` is plain data.
        let mut addr: libc::sockaddr = unsafe { mem::zeroed() };
        addr.sa_family = libc::ARPHRD_ETHER;
        for (to, from) in addr.sa_data.iter_mut().zip(mac.0) {
            *to = from as libc::c_char;
        }
        req.ifr_ifru.ifru_hwaddr = addr;
        self.ioctl(libc::SIOCSIFHWADDR as _, &mut req)
    }

    /// Gives the kernel an address on it.
    pub fn set_address(&self, name: &str, addr: Ipv4Addr, prefix_len: u8) -> io::Result<()> {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len.min(32))).unwrap_or(0);
        for (op, value) in [(libc::SIOCSIFADDR, addr), (libc::SIOCSIFNETMASK, Ipv4Addr::from(mask))] {
            let mut req = request(name)?;
            req.ifr_ifru.ifru_addr = sockaddr(value);
            self.ioctl(op as _, &mut req)?;
        }
        Ok(())
    }

    /// Gives the kernel an IPv6 address on it.
    pub fn set_address_v6(&self, name: &str, addr: Ipv6Addr, prefix_len: u8) -> io::Result<()> {
        // SAFETY: no pointers.
        let socket = check_fd(unsafe { libc::socket(libc::AF_INET6, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
        let mut req = request(name)?;
        self.ioctl(libc::SIOCGIFINDEX as _, &mut req)?;
        let mut req = libc::in6_ifreq {
            ifr6_addr: libc::in6_addr { s6_addr: addr.octets() },
            ifr6_prefixlen: u32::from(prefix_len),
            // SAFETY: SIOCGIFINDEX has filled in the index.
            ifr6_ifindex: unsafe { req.ifr_ifru.ifru_ifindex },
        };
        // SAFETY: SIOCSIFADDR on an IPv6 socket reads one `in6_ifreq`.
        check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR as _, &mut req) }).map(drop)
    }

    /// Deletes the address that `set_address` gave, and with it the route to its prefix.
    pub fn clear_address(&self, name: &str) -> io::Result<()> {
        let mut req = request(name)?;
        req.ifr_ifru.ifru_addr = sockaddr(Ipv4Addr::UNSPECIFIED);
        self.ioctl(libc::SIOCSIFADDR as _, &mut req)
    }
}

/// Waits until no IPv6 address of an interface is on trial any more, for two seconds at most: until then no socket can be bound
/// to it. The kernel ends a trial on a thread of its own, even one that it does not make.
pub fn wait_for_trials(name: &str) {
    for _ in 0..200 {
        let text = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
        if !text.lines().any(|line| is_on_trial(line, name)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Whether a line of `/proc/net/if_inet6` (address, index, prefix length, scope, flags, name) is of an address of `name` that
/// is on trial.
fn is_on_trial(line: &str, name: &str) -> bool {
    let mut fields = line.split_whitespace().skip(4);
    let flags = fields.next().and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(0);
    fields.next() == Some(name) && flags & libc::IFA_F_TENTATIVE != 0
}

fn sockaddr(addr: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: `sockaddr` is plain data.
    let mut out: libc::sockaddr = unsafe { mem::zeroed() };
    out.sa_family = libc::AF_INET as libc::sa_family_t;
    // A `sockaddr_in` has its address behind two octets of port.
    for (to, from) in out.sa_data.iter_mut().skip(2).zip(addr.octets()) {
        *to = from as libc::c_char;
    }
    out
}

/// Brings the loopback interface up, without allocating, so that it may run between fork and exec.
pub fn loopback_up() -> io::Result<()> {
    Control::new()?.set_up("lo", true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_on_trial_is_seen_on_its_own_interface_only() {
        let line = "fd070000000000000000000000000001 0b 40 00 c0 rt0";
        assert!(is_on_trial(line, "rt0"));
        assert!(!is_on_trial(line, "rt"));
        assert!(!is_on_trial("fd070000000000000000000000000001 0b 40 00 80 rt0", "rt0"));
        assert!(!is_on_trial("", "rt0"));
    }
}
