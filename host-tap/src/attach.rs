//! From a description of one end of a network to a device with its addresses: what `--dev` and its companions mean.

use crate::device::AnyDevice;
use crate::failure::Failure;
use crate::pcapng::Captured;
use crate::pool::Lease;
use crate::tap::{TapOptions, TapPort};
use crate::unix::{DatagramDevice, StreamDevice};
use ringtap::device::{Mac, Medium};
use ringtap::ip::addr::Cidr;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// The stack's address when none is given.
pub const DEFAULT_ADDRESS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 7, 0, 2), 24);

/// The MTU of devices that have none of their own.
const DEFAULT_MTU: usize = 1_500;

/// What carries the frames.
#[derive(Clone, Debug)]
pub enum Carrier {
    /// A tap of this name.
    Tap(String),
    /// A tun of this name.
    Tun(String),
    /// A UNIX stream socket at this path.
    Stream(PathBuf),
    /// UNIX datagram sockets: our path, and the other end's.
    Datagram(PathBuf, PathBuf),
}

/// A device and the addresses of the stack on it.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// What carries the frames.
    pub carrier: Carrier,
    /// Packet information in front of frames (tap and tun).
    pub packet_info: bool,
    /// The stack's addresses; [`DEFAULT_ADDRESS`] if none.
    pub addresses: Vec<Cidr>,
    /// Default gateways.
    pub gateways: Vec<IpAddr>,
    /// The stack's MAC address; one made from its first address if `None`.
    pub mac: Option<Mac>,
    /// The IP MTU; the device's own if `None`.
    pub mtu: Option<usize>,
    /// Whether a DHCP server is asked for an address, routes and name servers.
    pub dhcp: bool,
    /// Name servers; those that DHCP tells of if there is none.
    pub dns: Vec<IpAddr>,
    /// Where to record all frames.
    pub pcap: Option<PathBuf>,
}

/// An open device, ready for a stack.
pub struct Attached {
    /// The device.
    pub device: AnyDevice,
    /// The pool that its frames are from.
    pub lease: Lease,
    /// A name for people.
    pub name: String,
    /// The stack's MAC address.
    pub mac: Mac,
    /// The stack's addresses.
    pub addresses: Vec<Cidr>,
    /// Default gateways.
    pub gateways: Vec<IpAddr>,
    /// Whether a DHCP server is to be asked.
    pub dhcp: bool,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// What the user should know though it is no error.
    pub note: Option<String>,
}

impl Attachment {
    /// One with nothing but a carrier: default address, no gateway.
    pub fn new(carrier: Carrier) -> Self {
        Self {
            carrier,
            packet_info: false,
            addresses: Vec::new(),
            gateways: Vec::new(),
            mac: None,
            mtu: None,
            dhcp: false,
            dns: Vec::new(),
            pcap: None,
        }
    }

    /// Opens the device. A tap or tun that is not there is made, brought up, and its kernel end addressed.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub fn open(mut self) -> Result<Attached, Failure> {
        if self.addresses.is_empty() && !self.dhcp {
            let (addr, len) = DEFAULT_ADDRESS;
            self.addresses.extend(Cidr::new(addr.into(), len));
        }
        self.check()?;
        let carrier = self.carrier.clone();
        let mut attached = match carrier {
            Carrier::Tap(name) => self.open_tap(TapOptions::tap(name)),
            Carrier::Tun(name) => self.open_tap(TapOptions::tun(name)),
            Carrier::Stream(path) => self.open_unix(path.display().to_string(), |mtu, pool| {
                StreamDevice::open(&path, mtu, pool).map(|d| Box::new(d) as AnyDevice)
            }),
            Carrier::Datagram(local, remote) => self.open_unix(local.display().to_string(), |mtu, pool| {
                DatagramDevice::open(&local, &remote, mtu, pool).map(|d| Box::new(d) as AnyDevice)
            }),
        }?;
        if let Some(path) = &self.pcap {
            attached.device = Box::new(Captured::create(attached.device, &attached.name, path)?);
        }
        Ok(attached)
    }

    fn check(&self) -> Result<(), Failure> {
        if self.dhcp && matches!(self.carrier, Carrier::Tun(_)) {
            return Err(Failure::usage("DHCP needs Ethernet, which a tun has not").remedy("leave --tun out"));
        }
        let v6 = self.addresses.iter().map(Cidr::addr).chain(self.gateways.iter().copied()).find(IpAddr::is_ipv6);
        if let Some(ip) = v6 {
            return Err(Failure::not_built_yet(&format!("IPv6 ({ip})")));
        }
        if let Some(bad) = self.addresses.iter().find(|a| !a.is_host_address()) {
            return Err(
                Failure::usage(format!("{bad} is no address that a host can have")).remedy("give one like 10.7.0.2/24")
            );
        }
        if let Some(mac) = self.mac.filter(|m| !m.is_station()) {
            return Err(Failure::usage(format!("{mac} is a group address, or none"))
                .remedy("give one whose first octet is even, like 02:00:00:00:00:02"));
        }
        Ok(())
    }

    fn open_tap(&self, options: TapOptions) -> Result<Attached, Failure> {
        let options = TapOptions {
            packet_info: self.packet_info,
            mtu: self.mtu,
            kernel_address: self.kernel_address(),
            ..options
        };
        let port = TapPort::open(&options)?;
        let name = port.name().to_string();
        let note = (!port.is_up()).then(|| format!("{name} is down; bring it up: sudo ip link set {name} up"));
        let lease = Lease::for_device(port.medium(), port.mtu());
        let device = Box::new(port.with_pool(lease.pool()));
        Ok(self.attached(device, lease, name, note))
    }

    fn open_unix(
        &self,
        name: String,
        open: impl FnOnce(usize, ringtap::frame::Pool<'static>) -> Result<AnyDevice, Failure>,
    ) -> Result<Attached, Failure> {
        let mtu = self.mtu.unwrap_or(DEFAULT_MTU);
        if !(68..=65_535).contains(&mtu) {
            return Err(Failure::usage("the MTU must lie between 68 and 65535"));
        }
        let lease = Lease::for_device(Medium::Ethernet, mtu);
        let device = open(mtu, lease.pool())?;
        Ok(self.attached(device, lease, name, None))
    }

    fn attached(&self, device: AnyDevice, lease: Lease, name: String, note: Option<String>) -> Attached {
        let first = self.addresses.iter().map(Cidr::addr).find(IpAddr::is_ipv4);
        let mac = self.mac.or(first.map(mac_of)).unwrap_or_else(|| mac_of_machine(&name));
        let (addresses, gateways) = (self.addresses.clone(), self.gateways.clone());
        Attached { device, lease, name, mac, addresses, gateways, dhcp: self.dhcp, dns: self.dns.clone(), note }
    }

    /// The kernel's address on a device made here: our gateway if it is in our first network, else that network's first
    /// address that is not ours.
    fn kernel_address(&self) -> Option<(Ipv4Addr, u8)> {
        let cidr = self.addresses.iter().find(|c| c.addr().is_ipv4())?;
        let taken = |ip: Ipv4Addr| self.addresses.iter().any(|c| c.addr() == IpAddr::V4(ip));
        let usable = |ip: &Ipv4Addr| {
            !taken(*ip) && Cidr::new((*ip).into(), cidr.prefix_len()).is_some_and(|c| c.is_host_address())
        };
        let gateway = self.gateways.iter().find_map(|&g| match g {
            IpAddr::V4(g) if cidr.contains(g.into()) => Some(g),
            _ => None,
        });
        let IpAddr::V4(network) = cidr.network().addr() else { return None };
        let first = (0..8).map(|n| Ipv4Addr::from_bits(network.to_bits().wrapping_add(n)));
        let first = first.filter(|&ip| cidr.contains(ip.into())).find(usable);
        Some((gateway.filter(usable).or(first)?, cidr.prefix_len()))
    }
}

/// Our MAC address, locally administered, from our IP address: as unique on the link as that is, and the same after a
/// restart, so that neighbours need not learn anew.
fn mac_of(ip: IpAddr) -> Mac {
    let [a, b, c, d] = match ip {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(ip) => ip.octets().last_chunk().copied().unwrap_or_default(),
    };
    Mac([0x02, b'r', a, b, c, d])
}

/// Our MAC address where there is no IP address to make it from: of this machine and the device's name, so that a server
/// knows us again.
fn mac_of_machine(name: &str) -> Mac {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    // FNV-1a: the same in every build, and no secret.
    let octets = machine.trim().bytes().chain([0]).chain(name.bytes());
    let hash = octets.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let [a, b, c, d, ..] = hash.to_be_bytes();
    Mac([0x02, b'd', a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(addresses: &[&str], gateways: &[&str]) -> Attachment {
        Attachment {
            addresses: addresses.iter().map(|a| a.parse().expect("an address")).collect(),
            gateways: gateways.iter().map(|a| a.parse().expect("an address")).collect(),
            ..Attachment::new(Carrier::Tap("rt0".into()))
        }
    }

    #[test]
    fn the_kernel_gets_the_gateways_address_or_the_first_that_is_free() {
        for (ours, gateways, kernel) in [
            (&["10.7.0.2/24"][..], &[][..], Some("10.7.0.1/24")),
            (&["10.7.0.1/24"], &[], Some("10.7.0.2/24")),
            (&["10.7.0.1/24", "10.7.0.2/24"], &[], Some("10.7.0.3/24")),
            (&["10.7.0.2/24"], &["10.7.0.254"], Some("10.7.0.254/24")),
            (&["10.7.0.2/24"], &["192.0.2.1"], Some("10.7.0.1/24")),
            (&["10.7.0.2/24"], &["10.7.0.2"], Some("10.7.0.1/24")),
            (&["10.7.0.4/31"], &[], Some("10.7.0.5/31")),
            (&["10.7.0.4/32"], &[], None),
        ] {
            let got = with(ours, gateways).kernel_address().map(|(a, l)| format!("{a}/{l}"));
            assert_eq!(got.as_deref(), kernel, "{ours:?} {gateways:?}");
        }
    }

    #[test]
    fn addresses_that_cannot_be_are_wrong_usage() {
        for (attachment, text) in [
            (with(&["fd07::2/64"], &[]), "not built yet"),
            (with(&["10.7.0.2/24"], &["fd07::1"]), "not built yet"),
            (with(&["10.7.0.0/24"], &[]), "no address that a host can have"),
            (with(&["127.0.0.1/8"], &[]), "no address that a host can have"),
            (Attachment { dhcp: true, ..Attachment::new(Carrier::Tun("rt0".into())) }, "needs Ethernet"),
            (Attachment { mac: Some(Mac::BROADCAST), ..with(&[], &[]) }, "group address"),
        ] {
            let failure = attachment.open().err().expect("a failure");
            assert!(failure.to_string().contains(text) && failure.code() == 2, "{failure}");
        }
    }

    #[test]
    fn our_mac_address_is_a_stations_and_goes_with_our_ip_address() {
        let mac = |ip: &str| mac_of(ip.parse().expect("an address"));
        assert!(mac("10.7.0.2").is_station() && mac("fd07::2").is_station());
        assert_eq!(mac("10.7.0.2"), mac("10.7.0.2"));
        assert!(mac_of_machine("rt0").is_station() && mac_of_machine("rt0") != mac_of_machine("rt1"));
        assert_eq!(mac_of_machine("rt0"), mac_of_machine("rt0"));
        assert_ne!(mac("10.7.0.2"), mac("10.7.0.3"));
    }
}
