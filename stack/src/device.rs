//! The seam between the stack and what carries its packets.
//!
//! A [`Device`] moves frames: it never sees a socket, and the stack never sees a descriptor. `receive` does not need room
//! to transmit, and a refused `transmit` gives the frame back.

mod backlog;
mod endpoint;
mod gso;
mod loopback;

pub use backlog::{Backlog, BacklogCounters};
pub(crate) use gso::SegmentSize;
pub use loopback::Loopback;

use crate::frame::{Frame, Pool};
use crate::time::Instant;
use core::fmt;
use core::str::FromStr;
use core::task::Waker;

/// An IEEE 802 MAC address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether frames to this address go to a group (broadcast included): the lowest bit of the first octet.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether all octets are zero.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }

    /// Whether this can be a station's own address: neither a group nor all zeros.
    pub fn is_station(self) -> bool {
        !self.is_group() && !self.is_zero()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not six hexadecimal octets with colons between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseMacError;

impl fmt::Display for ParseMacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a MAC address (six hexadecimal octets with colons)")
    }
}

impl core::error::Error for ParseMacError {}

impl FromStr for Mac {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let mut mac = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut mac {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            let part = part.ok_or(ParseMacError)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| ParseMacError)?;
        }
        if parts.next().is_some() {
            return Err(ParseMacError);
        }
        Ok(Self(mac))
    }
}

/// What a device's frames begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Medium {
    /// An Ethernet header (14 octets), no FCS.
    Ethernet,
    /// An IP header: tun devices, tunnels.
    Ip,
}

/// Which transport checksums a device computes when asked (transmit), per protocol.
///
/// What it verified on receive, each frame's [`RxMeta`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ChecksumOffload {
    /// TCP checksums, from [`TxChecksum::Partial`].
    pub tcp: bool,
    /// UDP checksums, from [`TxChecksum::Partial`].
    pub udp: bool,
    /// The IPv4 header checksum.
    pub ipv4: bool,
}

/// What a device can do. Constant while the device is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Capabilities {
    /// What frames begin with.
    pub medium: Medium,
    /// The largest IP packet, in octets, without the link header.
    pub ip_mtu: usize,
    /// Octets that the device wants free in front of a transmitted frame (a virtio or vnet header).
    pub headroom: usize,
    /// Checksums computed on transmit.
    pub checksum: ChecksumOffload,
    /// The largest IPv4 TCP super-segment (IP packet, octets) that the device cuts into segments; 0: it does not.
    ///
    /// It gets some (feature `gso`) if it computes TCP checksums, too, in frames of `Config::large_pool`, at most 65,535 octets
    /// with the IP header: the header of the first segment, with the length and the flags of the whole, PSH and FIN being for the
    /// last.
    pub gso_ipv4: usize,
    /// As `gso_ipv4`, for IPv6.
    pub gso_ipv6: usize,
}

impl Capabilities {
    /// A plain device of this medium and IP MTU: no offload, no headroom of its own.
    pub const fn plain(medium: Medium, ip_mtu: usize) -> Self {
        Self {
            medium,
            ip_mtu,
            headroom: 0,
            checksum: ChecksumOffload { tcp: false, udp: false, ipv4: false },
            gso_ipv4: 0,
            gso_ipv6: 0,
        }
    }
}

/// What the device knows of a received frame's transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RxChecksum {
    /// Nothing: the stack verifies.
    #[default]
    None,
    /// Verified by the device, IP header included.
    Verified,
    /// Not computed by the sender, because the packet never left this machine: at `start + offset` the field holds the
    /// pseudo-header's sum, and the rest is to be summed from `start` on. Good as it is for local delivery.
    Partial {
        /// Octets from the frame's beginning to where the sum starts.
        start: u16,
        /// Octets from `start` to the checksum field.
        offset: u16,
    },
}

/// Segmentation metadata: the frame is a super-segment of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Gso {
    /// Payload octets per segment.
    pub size: u16,
}

/// What came with a received frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RxMeta {
    /// The transport checksum's state.
    pub checksum: RxChecksum,
    /// Set when the frame is a super-segment.
    pub gso: Option<Gso>,
    /// When the hardware saw it, on the device's clock.
    pub timestamp: Option<Instant>,
}

/// What the stack asks of the device for a frame's transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TxChecksum {
    /// The frame is complete.
    #[default]
    Complete,
    /// Sum from `start` to the end and put the result at `start + offset`, which holds the pseudo-header's sum.
    Partial {
        /// Octets from the frame's beginning to where the sum starts.
        start: u16,
        /// Octets from `start` to the checksum field.
        offset: u16,
    },
}

/// What goes with a frame to transmit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TxMeta {
    /// The transport checksum's state.
    pub checksum: TxChecksum,
    /// Set when the device is to cut the frame into segments.
    pub gso: Option<Gso>,
    /// Whether a transmit timestamp is wanted.
    pub timestamp: bool,
}

/// What a device has lost since it was made. Counters wrap as [`Stats`](crate::stats::Stats) do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Lost {
    /// Received frames that found no room: none free in the pool, a queue full.
    pub rx_dropped: usize,
    /// Received frames that were damaged, or of impossible length.
    pub rx_errors: usize,
    /// Frames to send that the medium did not take.
    pub tx_errors: usize,
}

/// Whether packets can pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Link {
    /// No carrier.
    Down,
    /// Carrier.
    #[default]
    Up,
}

/// A request that the device cannot serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Unsupported;

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the device cannot do this")
    }
}

impl core::error::Error for Unsupported {}

/// A network interface's hardware, or what stands in for it.
///
/// # Contract
/// - `receive` and `transmit` never block.
/// - `receive` hands out each packet once, in order of arrival, in a frame of [`pool`](Self::pool); with the pool empty
///   it drops the packet and counts it, rather than stop the ring.
/// - `transmit` takes the frame, or gives it back for another try when there is no room; it never drops one that it took,
///   except to an error of the medium, which it counts.
/// - Frames shorter than the medium's minimum are padded by the device.
pub trait Device<'p> {
    /// What the device can do; constant.
    fn capabilities(&self) -> Capabilities;

    /// The pool that frames are received in, and that the stack takes frames to transmit from; super-segments of both kinds
    /// are in frames of another.
    fn pool(&self) -> Pool<'p>;

    /// The next received frame, if any.
    fn receive(&mut self) -> Option<(Frame<'p>, RxMeta)>;

    /// Sends a frame, or gives it back when there is no room.
    ///
    /// # Errors
    /// The frame itself, to be offered again later.
    fn transmit(&mut self, frame: Frame<'p>, meta: TxMeta) -> Result<(), Frame<'p>>;

    /// Called after the last `transmit` of a burst: time to ring the doorbell.
    fn flush(&mut self) {}

    /// The state of the carrier.
    fn link(&self) -> Link {
        Link::Up
    }

    /// What it has lost; a device that does not count tells of nothing.
    fn lost(&self) -> Lost {
        Lost::default()
    }

    /// Wakes `waker` once something can be received or transmitted again, or the link changed.
    fn register_waker(&mut self, waker: &Waker) {
        let _ = waker;
    }

    /// Sets the group addresses to receive, all at once, in place of those set before.
    ///
    /// # Errors
    /// [`Unsupported`] when the device has no such filter; it then receives all groups, or none.
    fn set_multicast_filter(&mut self, groups: &[Mac]) -> Result<(), Unsupported> {
        let _ = groups;
        Err(Unsupported)
    }

    /// Receives all group addresses, until [`set_multicast_filter`](Self::set_multicast_filter) sets some again: there are
    /// more than the stack tells of at once.
    ///
    /// # Errors
    /// [`Unsupported`] when the device cannot; the first of the groups are set then.
    fn receive_all_groups(&mut self) -> Result<(), Unsupported> {
        Err(Unsupported)
    }

    /// Receives everything on the wire, or only what is addressed to us.
    ///
    /// # Errors
    /// [`Unsupported`] when the device cannot.
    fn set_promiscuous(&mut self, on: bool) -> Result<(), Unsupported> {
        let _ = on;
        Err(Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_text_is_read_and_written() {
        let mac: Mac = "02:00:5e:10:00:ff".parse().expect("valid text");
        assert_eq!(mac, Mac([2, 0, 0x5e, 0x10, 0, 0xff]));
        extern crate std;
        assert_eq!(std::format!("{mac}"), "02:00:5e:10:00:ff");
        for bad in
            ["", "02:00:5e:10:00", "02:00:5e:10:00:ff:00", "2:0:5e:10:0:ff", "gg:00:00:00:00:00", "+1:00:00:00:00:00"]
        {
            assert_eq!(bad.parse::<Mac>(), Err(ParseMacError), "{bad}");
        }
    }
}
