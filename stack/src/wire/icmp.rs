//! Wire format: ICMPv4 headers.
//!
//! Implements the messages of RFC 792, with the next-hop MTU of RFC 1191 §4. All start with type, code, checksum and
//! four octets of which the type says what they are.

use crate::stats::DropReason;
use crate::wire::checksum;

/// Octets of the header.
pub(crate) const HEADER: usize = 8;
/// The protocol's number.
pub(crate) const PROTOCOL: u8 = 1;

/// Message types.
pub(crate) mod kind {
    pub const ECHO_REPLY: u8 = 0;
    pub const DEST_UNREACHABLE: u8 = 3;
    pub const SOURCE_QUENCH: u8 = 4;
    pub const REDIRECT: u8 = 5;
    pub const ECHO_REQUEST: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// An ICMP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpHeader {
    pub kind: u8,
    pub code: u8,
    /// The second word, by octets: identifier and sequence number, MTU, pointer or unused.
    pub rest: [u8; 4],
}

/// Reads the header of `message`, the payload of an IP packet, and verifies the message's checksum.
pub(crate) fn parse(message: &[u8]) -> Result<IcmpHeader, DropReason> {
    let [kind, code, _, _, rest @ ..] = *message.first_chunk::<HEADER>().ok_or(DropReason::IcmpMalformed)?;
    if !checksum::sum(message).is_valid() {
        return Err(DropReason::IcmpChecksum);
    }
    Ok(IcmpHeader { kind, code, rest })
}

/// Writes the header, checksum included, in front of what is behind it in `message`, of [`HEADER`] octets at least.
pub(crate) fn emit(message: &mut [u8], header: &IcmpHeader) {
    let Some(bytes) = message.first_chunk_mut::<HEADER>() else {
        debug_assert!(false, "room for an ICMP header");
        return;
    };
    let IcmpHeader { kind, code, rest: [a, b, c, d] } = *header;
    *bytes = [kind, code, 0, 0, a, b, c, d];
    let checksum = checksum::sum(message).finish();
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_written_as_it_is_read() {
        let header = IcmpHeader { kind: kind::ECHO_REQUEST, code: 0, rest: [0x12, 0x34, 0, 1] };
        let mut m = *b"........odd";
        emit(&mut m, &header);
        assert_eq!(parse(&m), Ok(header));
    }

    /// H044: a truncated header or a bad checksum.
    #[test]
    fn truncated_and_damaged_messages_are_dropped() {
        let mut m = *b"........some data";
        emit(&mut m, &IcmpHeader { kind: 8, code: 0, rest: [1, 2, 3, 4] });
        for len in 0..HEADER {
            assert_eq!(parse(&m[..len]), Err(DropReason::IcmpMalformed), "{len}");
        }
        for bit in 0..m.len() * 8 {
            let mut bad = m;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&bad), Err(DropReason::IcmpChecksum), "bit {bit}");
        }
    }

    /// H044: a checksum of zero is as good as any.
    #[test]
    fn a_checksum_field_of_zero_is_verified_like_any_other() {
        let mut m = [0; HEADER];
        emit(&mut m, &IcmpHeader { kind: 8, code: 0, rest: [0xf7, 0xff, 0, 0] });
        assert_eq!(m[2..4], [0, 0]);
        assert!(parse(&m).is_ok());
    }
}
