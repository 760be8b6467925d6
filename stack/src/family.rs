//! IP addresses of the families that are built.
//!
//! With the feature `ipv6` these are the types of `core::net`. Without it an address is one of IPv4, four octets without
//! a tag: what is said of the other family is code that cannot be reached, and is not there. What users give and get are
//! always the types of `core::net`; [`inside`] and [`outside`] stand between.

use core::net::{IpAddr as AnyAddr, SocketAddr as AnySocketAddr};
#[cfg(feature = "ipv6")]
pub(crate) use core::net::{IpAddr, SocketAddr};
#[cfg(not(feature = "ipv6"))]
pub(crate) use one::{IpAddr, SocketAddr};

/// The address as the stack has it; `None` if its family is not built.
#[inline]
pub(crate) const fn inside(addr: AnyAddr) -> Option<IpAddr> {
    #[cfg(feature = "ipv6")]
    return Some(addr);
    #[cfg(not(feature = "ipv6"))]
    match addr {
        AnyAddr::V4(addr) => Some(IpAddr::V4(addr)),
        AnyAddr::V6(_) => None,
    }
}

/// As [`inside`], where there may be no address: that is not the same as one of a family that is not built.
#[inline]
pub(crate) fn any_inside(addr: Option<AnyAddr>) -> Option<Option<IpAddr>> {
    match addr {
        Some(addr) => inside(addr).map(Some),
        None => Some(None),
    }
}

/// The address as users have it.
#[inline]
pub(crate) const fn outside(addr: IpAddr) -> AnyAddr {
    #[cfg(feature = "ipv6")]
    return addr;
    #[cfg(not(feature = "ipv6"))]
    match addr {
        IpAddr::V4(addr) => AnyAddr::V4(addr),
        IpAddr::V6(addr) => match addr {},
    }
}

/// An address and a port as users have them.
#[inline]
pub(crate) const fn socket(addr: IpAddr, port: u16) -> AnySocketAddr {
    AnySocketAddr::new(outside(addr), port)
}

/// As [`inside`], with the port.
#[inline]
pub(crate) const fn socket_inside(addr: AnySocketAddr) -> Option<SocketAddr> {
    #[cfg(feature = "ipv6")]
    return Some(addr);
    #[cfg(not(feature = "ipv6"))]
    match inside(addr.ip()) {
        Some(ip) => Some(SocketAddr::new(ip, addr.port())),
        None => None,
    }
}

/// As [`outside`], with the port.
#[inline]
pub(crate) const fn socket_outside(addr: SocketAddr) -> AnySocketAddr {
    #[cfg(feature = "ipv6")]
    return addr;
    #[cfg(not(feature = "ipv6"))]
    socket(addr.ip(), addr.port())
}

/// No address, in the family of `of`.
pub(crate) const fn unspecified(of: IpAddr) -> IpAddr {
    match of {
        #[cfg(feature = "ipv6")]
        IpAddr::V6(_) => IpAddr::V6(core::net::Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED),
    }
}

/// Addresses of one family.
#[cfg(not(feature = "ipv6"))]
mod one {
    use core::fmt;
    use core::net::Ipv4Addr;

    /// No address: there is none of this family.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(crate) enum Ipv6Addr {}

    /// As `core::net::IpAddr`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(crate) enum IpAddr {
        V4(Ipv4Addr),
        #[allow(dead_code)] // There is no such address, but arms for it.
        V6(Ipv6Addr),
    }

    impl Ipv6Addr {
        pub const fn octets(self) -> [u8; 16] {
            match self {}
        }

        pub const fn is_unspecified(self) -> bool {
            match self {}
        }

        pub const fn is_loopback(self) -> bool {
            match self {}
        }

        pub const fn is_multicast(self) -> bool {
            match self {}
        }

        pub const fn to_ipv4_mapped(self) -> Option<Ipv4Addr> {
            match self {}
        }
    }

    impl IpAddr {
        const fn v4(self) -> Ipv4Addr {
            match self {
                Self::V4(addr) => addr,
                Self::V6(addr) => match addr {},
            }
        }

        pub const fn is_unspecified(self) -> bool {
            self.v4().is_unspecified()
        }

        pub const fn is_loopback(self) -> bool {
            self.v4().is_loopback()
        }

        pub const fn is_multicast(self) -> bool {
            self.v4().is_multicast()
        }

        pub const fn is_ipv4(self) -> bool {
            true
        }

        pub const fn is_ipv6(self) -> bool {
            false
        }
    }

    /// As `core::net::SocketAddr`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(crate) struct SocketAddr {
        ip: IpAddr,
        port: u16,
    }

    impl SocketAddr {
        pub const fn new(ip: IpAddr, port: u16) -> Self {
            Self { ip, port }
        }

        pub const fn ip(self) -> IpAddr {
            self.ip
        }

        pub const fn port(self) -> u16 {
            self.port
        }
    }

    impl From<Ipv4Addr> for IpAddr {
        fn from(addr: Ipv4Addr) -> Self {
            Self::V4(addr)
        }
    }

    #[cfg(test)]
    impl From<[u8; 4]> for IpAddr {
        fn from(addr: [u8; 4]) -> Self {
            Self::V4(addr.into())
        }
    }

    impl fmt::Display for IpAddr {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.v4().fmt(f)
        }
    }

    #[cfg(feature = "defmt")]
    impl defmt::Format for IpAddr {
        fn format(&self, f: defmt::Formatter<'_>) {
            self.v4().format(f);
        }
    }
}
