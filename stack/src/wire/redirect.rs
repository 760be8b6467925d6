//! Wire format: redirects of neighbour discovery as a router sends them.
//!
//! Implements RFC 4861 §4.5 and §4.6.3. The ICMPv6 checksum is `icmp/v6.rs`'s.

use super::ndp::{TARGET_LINK_LAYER, kind};
use crate::device::Mac;
use crate::frame::Frame;
use crate::wire::ipv6::{self, MIN_MTU};
use core::net::Ipv6Addr;

const REDIRECTED: u8 = 4;
/// Octets without options.
const FIXED: usize = 40;
const LINK_LAYER: usize = 8;
/// Octets of a redirected header option in front of what it quotes.
const OPTION: usize = 8;

/// That `destination` is better reached by `target`, whose MAC address is perhaps known, than by the sender of the message.
pub(crate) struct Redirect<'b> {
    pub target: Ipv6Addr,
    pub destination: Ipv6Addr,
    pub mac: Option<Mac>,
    /// What was sent, from its IP header on.
    pub packet: &'b [u8],
}

/// Appends a message, checksum 0, to `frame`, which is empty.
///
/// It quotes as much as there is and fits 1,280 octets, or less where the frame has no more room, in multiples of eight.
//= https://www.rfc-editor.org/rfc/rfc4861#section-4.6.3
//# The original packet truncated to ensure that
//# the size of the redirect message does not exceed
//# the minimum MTU required to support IPv6 as specified
//# in [IPv6].
pub(crate) fn emit(frame: &mut Frame<'_>, redirect: &Redirect<'_>) -> Option<()> {
    let option = if redirect.mac.is_some() { LINK_LAYER } else { 0 };
    let room = frame.tailroom().min(MIN_MTU - ipv6::HEADER).checked_sub(FIXED + option + OPTION)?;
    let quoted = redirect.packet.len().min(room) & !7;
    let fixed = frame.append(FIXED)?;
    fixed.fill(0);
    *fixed.first_mut()? = kind::REDIRECT;
    fixed.get_mut(8..24)?.copy_from_slice(&redirect.target.octets());
    fixed.get_mut(24..40)?.copy_from_slice(&redirect.destination.octets());
    if let Some(Mac([a, b, c, d, e, f])) = redirect.mac {
        frame.extend(&[TARGET_LINK_LAYER, 1, a, b, c, d, e, f])?;
    }
    frame.extend(&[REDIRECTED, ((OPTION + quoted) / 8) as u8, 0, 0, 0, 0, 0, 0])?;
    frame.extend(redirect.packet.get(..quoted)?)
}
