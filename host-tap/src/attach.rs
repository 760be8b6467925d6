//! From a description of one end of a network to a device with its addresses: what `--dev` and its companions mean.

use crate::device::AnyDevice;
use crate::failure::Failure;
use crate::pcapng::Captured;
use crate::pool::Lease;
use crate::tap::{TapOptions, TapPort, kernel_has_ipv6};
use crate::unix::{DatagramDevice, StreamDevice};
use crate::vlan::Trunk;
use ringtap::device::{Mac, Medium};
use ringtap::ip::addr::Cidr;
use ringtap::vlan::VlanId;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// The stack's address when none is given.
pub const DEFAULT_ADDRESS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 7, 0, 2), 24);

/// The stack's IPv6 address when none is given, where the MTU allows IPv6.
pub const DEFAULT_ADDRESS_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 2), 64);

/// The smallest MTU of IPv6 (RFC 8200 §5).
const IPV6_MTU: usize = 1_280;

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

/// What the stack is to find out by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Whether a DHCP server is asked for an address, routes and name servers.
    pub dhcp: bool,
    /// Whether routers are asked for addresses, routes and name servers (RFC 4862).
    pub slaac: bool,
    /// Whether temporary addresses are made beside those that follow from routers' prefixes, and preferred (RFC 8981).
    pub temporary: bool,
    /// Whether addresses from routers' prefixes are used during their trial (RFC 4429).
    pub optimistic: bool,
    /// Whether an IPv4 address of the link is claimed (RFC 3927): at once, or with `dhcp` when no server answers.
    pub link_local: bool,
}

impl Wanted {
    /// Whether anything is.
    pub const fn any(self) -> bool {
        self.dhcp || self.slaac || self.link_local
    }
}

/// A device and the addresses of the stack on it.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// What carries the frames.
    pub carrier: Carrier,
    /// Packet information in front of frames (tap and tun).
    pub packet_info: bool,
    /// Checksums and segments are left to the kernel, and taken from it as it has them (tap and tun), where it can.
    pub offload: bool,
    /// The stack's addresses; [`DEFAULT_ADDRESS`] if none.
    pub addresses: Vec<Cidr>,
    /// Default gateways.
    pub gateways: Vec<IpAddr>,
    /// The stack's MAC address; one made from its first address if `None`.
    pub mac: Option<Mac>,
    /// The IP MTU; the device's own if `None`.
    pub mtu: Option<usize>,
    /// What the stack finds out by itself.
    pub automatic: Wanted,
    /// Name servers; those that DHCP or routers tell of if there is none.
    pub dns: Vec<IpAddr>,
    /// Where to record all frames.
    pub pcap: Option<PathBuf>,
    /// The VLAN of a tap (or datagram socket) that the stack is on (IEEE 802.1Q); frames without a tag if `None`.
    pub vlan: Option<VlanId>,
}

/// An open device, ready for a stack.
pub struct Attached {
    /// The device.
    pub device: AnyDevice,
    /// The pool that its frames are from.
    pub lease: Lease,
    /// The pool of its longest frames.
    pub large: Lease,
    /// A name for people.
    pub name: String,
    /// The stack's MAC address.
    pub mac: Mac,
    /// The stack's addresses.
    pub addresses: Vec<Cidr>,
    /// Default gateways.
    pub gateways: Vec<IpAddr>,
    /// What the stack is to find out by itself.
    pub automatic: Wanted,
    /// Whether nobody but this machine's kernel is at the other end: the device was made here.
    pub alone: bool,
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
            offload: true,
            addresses: Vec::new(),
            gateways: Vec::new(),
            mac: None,
            mtu: None,
            automatic: Wanted::default(),
            dns: Vec::new(),
            pcap: None,
            vlan: None,
        }
    }

    /// Opens the device. A tap or tun that is not there is made, brought up, and its kernel end addressed.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub fn open(mut self) -> Result<Attached, Failure> {
        if self.addresses.is_empty() && !self.automatic.any() {
            let ((v4, len4), (v6, len6)) = (DEFAULT_ADDRESS, DEFAULT_ADDRESS_V6);
            self.addresses.extend(Cidr::new(v4.into(), len4));
            if self.mtu.is_none_or(|mtu| mtu >= IPV6_MTU) {
                self.addresses.extend(Cidr::new(v6.into(), len6));
            }
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
        if let Some(vlan) = self.vlan {
            attached.device = Trunk::new(attached.device, &attached.name)?.port(Some(vlan))?;
        }
        Ok(attached)
    }

    fn check(&self) -> Result<(), Failure> {
        if self.vlan.is_some() && !matches!(self.carrier, Carrier::Tap(_) | Carrier::Datagram(..)) {
            return Err(Failure::usage("VLANs are for taps and datagram sockets, whose frames have tags")
                .remedy("give --dev without --tun"));
        }
        let Wanted { dhcp, slaac, temporary: _, optimistic: _, link_local } = self.automatic;
        if dhcp && matches!(self.carrier, Carrier::Tun(_)) {
            return Err(Failure::usage("DHCP needs Ethernet, which a tun has not").remedy("leave --tun out"));
        }
        if link_local && matches!(self.carrier, Carrier::Tun(_)) {
            return Err(Failure::usage("an address of the link is claimed by Ethernet, which a tun has not")
                .remedy("leave --tun out"));
        }
        if slaac && matches!(self.carrier, Carrier::Tun(_)) {
            return Err(Failure::usage("routers are asked by Ethernet, which a tun has not").remedy("leave --tun out"));
        }
        if let Some(mtu) = self.mtu.filter(|&mtu| slaac && mtu < IPV6_MTU) {
            return Err(Failure::usage(format!("IPv6 (--slaac) needs an MTU of {IPV6_MTU}, not {mtu}"))
                .remedy("leave the MTU out"));
        }
        let v6 = self.addresses.iter().find(|a| a.addr().is_ipv6());
        if let (Some(v6), Some(mtu)) = (v6, self.mtu.filter(|&mtu| mtu < IPV6_MTU)) {
            return Err(Failure::usage(format!("IPv6 ({v6}) needs an MTU of {IPV6_MTU}, not {mtu}"))
                .remedy("leave the address or the MTU out"));
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
            offload: self.offload,
            mtu: self.mtu,
            kernel_address: self.kernel_address(),
            kernel_address_v6: self.kernel_address_v6().filter(|_| kernel_has_ipv6()),
            ..options
        };
        let port = TapPort::open(&options)?;
        let name = port.name().to_string();
        let note = (!port.is_up()).then(|| format!("{name} is down; bring it up: sudo ip link set {name} up"));
        let lease = Lease::for_device(port.medium(), port.mtu());
        let (alone, small) = (!port.existed(), port.mtu() < IPV6_MTU);
        let large = Lease::large();
        let device = Box::new(port.with_pools(lease.pool(), large.pool()));
        let mut attached = self.attached(device, (lease, large), name, note);
        attached.alone = alone;
        if small {
            let v6 = Cidr::new(DEFAULT_ADDRESS_V6.0.into(), DEFAULT_ADDRESS_V6.1);
            attached.addresses.retain(|a| Some(*a) != v6);
        }
        Ok(attached)
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
        Ok(self.attached(device, (lease, Lease::large()), name, None))
    }

    fn attached(
        &self,
        device: AnyDevice,
        (lease, large): (Lease, Lease),
        name: String,
        note: Option<String>,
    ) -> Attached {
        let mac = self.mac.unwrap_or_else(|| mac_for(&name, &self.addresses));
        let (addresses, gateways) = (self.addresses.clone(), self.gateways.clone());
        let (automatic, dns) = (self.automatic, self.dns.clone());
        Attached { device, lease, large, name, mac, addresses, gateways, automatic, dns, alone: false, note }
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

impl Attachment {
    /// As `kernel_address`, for IPv6.
    fn kernel_address_v6(&self) -> Option<(Ipv6Addr, u8)> {
        let cidr = self.addresses.iter().find(|c| c.addr().is_ipv6() && !is_link_local(c.addr()))?;
        let taken = |ip: Ipv6Addr| self.addresses.iter().any(|c| c.addr() == IpAddr::V6(ip));
        let gateway = self.gateways.iter().find_map(|&g| match g {
            IpAddr::V6(g) if cidr.contains(g.into()) => Some(g),
            _ => None,
        });
        let IpAddr::V6(network) = cidr.network().addr() else { return None };
        // The first of all is that of all routers (RFC 4291 §2.6.1).
        let first = (1..8).map(|n| Ipv6Addr::from_bits(network.to_bits().wrapping_add(n)));
        let first = first.filter(|&ip| cidr.contains(ip.into())).find(|&ip| !taken(ip));
        Some((gateway.filter(|&g| !taken(g)).or(first)?, cidr.prefix_len()))
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The stack's MAC address on a device where it has these addresses.
pub(crate) fn mac_for(name: &str, addresses: &[Cidr]) -> Mac {
    let first = addresses.iter().map(Cidr::addr).find(IpAddr::is_ipv4);
    first.map(mac_of).unwrap_or_else(|| mac_of_machine(name))
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
    fn the_kernel_gets_an_ipv6_address_beside_ours() {
        for (ours, gateways, kernel) in [
            (&["fd07::2/64"][..], &[][..], Some("fd07::1/64")),
            (&["fd07::1/64"], &[], Some("fd07::2/64")),
            (&["fd07::2/64"], &["fd07::fe"], Some("fd07::fe/64")),
            (&["fd07::2/64"], &["fe80::1"], Some("fd07::1/64")),
            (&["fe80::2/64", "10.7.0.2/24"], &[], None),
            (&["fd07::2/128"], &[], None),
        ] {
            let got = with(ours, gateways).kernel_address_v6().map(|(a, l)| format!("{a}/{l}"));
            assert_eq!(got.as_deref(), kernel, "{ours:?} {gateways:?}");
        }
    }

    #[test]
    fn addresses_that_cannot_be_are_wrong_usage() {
        let wanted = Wanted::default();
        let tun = |automatic| Attachment { automatic, ..Attachment::new(Carrier::Tun("rt0".into())) };
        for (attachment, text) in [
            (Attachment { mtu: Some(1_279), ..with(&["fd07::2/64"], &[]) }, "needs an MTU of 1280"),
            (with(&["ff02::1/64"], &[]), "no address that a host can have"),
            (with(&["10.7.0.0/24"], &[]), "no address that a host can have"),
            (with(&["127.0.0.1/8"], &[]), "no address that a host can have"),
            (tun(Wanted { dhcp: true, ..wanted }), "needs Ethernet"),
            (tun(Wanted { slaac: true, ..wanted }), "asked by Ethernet"),
            (Attachment { vlan: VlanId::new(5), ..Attachment::new(Carrier::Tun("rt0".into())) }, "are for taps"),
            (tun(Wanted { link_local: true, ..wanted }), "claimed by Ethernet"),
            (
                Attachment { automatic: Wanted { slaac: true, ..wanted }, mtu: Some(1_279), ..with(&[], &[]) },
                "needs an MTU of 1280",
            ),
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
