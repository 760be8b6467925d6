//! Packets made by hand, and read back: a peer that says exactly what a test wants it to say.
//!
//! Written for tests alone, and apart from the stack's own code, so that both cannot be wrong in the same way.

use std::net::Ipv4Addr;

/// The ones' complement sum of `data`, as 16-bit big-endian words.
fn sum(data: &[u8]) -> u32 {
    let words = data.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(*c.get(1).unwrap_or(&0)));
    words.fold(0, |a, w| {
        let s = a + w;
        (s & 0xffff) + (s >> 16)
    })
}

/// The Internet checksum of `data` (RFC 1071).
pub fn checksum(data: &[u8]) -> u16 {
    !(sum(data) as u16)
}

fn pseudo(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload: &[u8]) -> u16 {
    let mut all = Vec::new();
    all.extend(src.octets());
    all.extend(dst.octets());
    all.extend([0, protocol]);
    all.extend((payload.len() as u16).to_be_bytes());
    all.extend(payload);
    checksum(&all)
}

/// An Ethernet frame.
pub fn ethernet(dst: [u8; 6], src: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut f = Vec::new();
    f.extend(dst);
    f.extend(src);
    f.extend(ethertype.to_be_bytes());
    f.extend(payload);
    f
}

/// An ARP packet (28 octets).
pub fn arp(op: u16, src_mac: [u8; 6], src: Ipv4Addr, dst_mac: [u8; 6], dst: Ipv4Addr) -> Vec<u8> {
    let mut p = vec![0, 1, 8, 0, 6, 4];
    p.extend(op.to_be_bytes());
    p.extend(src_mac);
    p.extend(src.octets());
    p.extend(dst_mac);
    p.extend(dst.octets());
    p
}

/// An IPv4 packet in the making.
#[derive(Clone, Debug)]
pub struct Ip {
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
    /// Protocol number.
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// Identification.
    pub ident: u16,
    /// Flags and fragment offset, as on the wire.
    pub flags_offset: u16,
    /// Options, a multiple of four octets.
    pub options: Vec<u8>,
}

impl Ip {
    /// From `src` to `dst`.
    pub fn new(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8) -> Self {
        Self { src, dst, protocol, ttl: 64, ident: 1, flags_offset: 0, options: Vec::new() }
    }

    /// The packet with `payload`.
    pub fn build(&self, payload: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let mut p = vec![0x40 | (header / 4) as u8, 0];
        p.extend(((header + payload.len()) as u16).to_be_bytes());
        p.extend(self.ident.to_be_bytes());
        p.extend(self.flags_offset.to_be_bytes());
        p.extend([self.ttl, self.protocol, 0, 0]);
        p.extend(self.src.octets());
        p.extend(self.dst.octets());
        p.extend(&self.options);
        let c = checksum(&p);
        p[10..12].copy_from_slice(&c.to_be_bytes());
        p.extend(payload);
        p
    }
}

/// The datagram of header `ip` and `payload` in fragments of `size` octets, a multiple of eight.
pub fn fragments(ip: &Ip, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let pieces = payload.chunks(size).enumerate();
    pieces.map(|(i, piece)| fragment(ip, i * size, (i + 1) * size < payload.len(), piece)).collect()
}

/// One fragment of the datagram that `ip` names.
pub fn fragment(ip: &Ip, offset: usize, more: bool, piece: &[u8]) -> Vec<u8> {
    let flags_offset = (offset / 8) as u16 | u16::from(more) << 13;
    Ip { flags_offset, ..ip.clone() }.build(piece)
}

/// Puts together what was sent, fragments in order, as if it had never been cut.
///
/// # Panics
/// On a fragment out of place, or one missing.
pub fn join(sent: &[Seen], protocol: u8) -> Vec<Seen> {
    let mut whole = Vec::new();
    let mut parts: Vec<u8> = Vec::new();
    let mut current = None;
    for seen in sent {
        let Seen::Fragment { src, dst, ident, offset, more, payload } = seen else {
            assert!(parts.is_empty(), "a datagram broke off before {seen:?}");
            whole.push(seen.clone());
            continue;
        };
        assert_eq!(*offset, parts.len(), "a fragment in its place");
        assert!(*offset == 0 || current == Some(*ident), "one identification");
        assert!(!more || payload.len() % 8 == 0, "a multiple of eight octets");
        current = Some(*ident);
        parts.extend(payload);
        if !more {
            whole.push(read_ip(&Ip::new(*src, *dst, protocol).build(&std::mem::take(&mut parts))));
        }
    }
    assert!(parts.is_empty(), "the last fragment is missing");
    whole
}

/// A UDP datagram (header and payload) with its checksum.
pub fn udp(src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let mut d = Vec::new();
    d.extend(src.1.to_be_bytes());
    d.extend(dst.1.to_be_bytes());
    d.extend(((8 + payload.len()) as u16).to_be_bytes());
    d.extend([0, 0]);
    d.extend(payload);
    let c = match pseudo(src.0, dst.0, 17, &d) {
        0 => 0xffff,
        c => c,
    };
    d[6..8].copy_from_slice(&c.to_be_bytes());
    d
}

/// An ICMP message with its checksum.
pub fn icmp(kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut m = vec![kind, code, 0, 0];
    m.extend(rest);
    m.extend(payload);
    let c = checksum(&m);
    m[2..4].copy_from_slice(&c.to_be_bytes());
    m
}

/// FIN.
pub const FIN: u8 = 1;
/// SYN.
pub const SYN: u8 = 2;
/// RST.
pub const RST: u8 = 4;
/// PSH.
pub const PSH: u8 = 8;
/// ACK.
pub const ACK: u8 = 16;
/// URG.
pub const URG: u8 = 32;
/// ECN-Echo (RFC 3168 §6.1).
pub const ECE: u8 = 0x40;
/// Congestion Window Reduced.
pub const CWR: u8 = 0x80;

/// A TCP segment, made or read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Control bits, but those of ECN.
    pub flags: u8,
    /// ECE and CWR, as they lie in the octet of the flags (RFC 3168 §6.1).
    pub ecn: u8,
    /// Window field.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options as they are, a multiple of four octets.
    pub options: Vec<u8>,
    /// Text.
    pub payload: Vec<u8>,
}

impl Tcp {
    /// The segment with its checksum.
    pub fn build(&self, src: Ipv4Addr, dst: Ipv4Addr) -> Vec<u8> {
        let mut s = Vec::new();
        s.extend(self.src.to_be_bytes());
        s.extend(self.dst.to_be_bytes());
        s.extend(self.seq.to_be_bytes());
        s.extend(self.ack.to_be_bytes());
        s.extend([(((20 + self.options.len()) / 4) << 4) as u8, self.flags | self.ecn]);
        s.extend(self.window.to_be_bytes());
        s.extend([0, 0]);
        s.extend(self.urgent.to_be_bytes());
        s.extend(&self.options);
        s.extend(&self.payload);
        let c = pseudo(src, dst, 6, &s);
        s[16..18].copy_from_slice(&c.to_be_bytes());
        s
    }

    /// Whether all of `flags` are set.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The blocks of its SACK option (RFC 2018).
    pub fn blocks(&self) -> Vec<(u32, u32)> {
        let told = self.option(5).unwrap_or_default();
        told.chunks_exact(8).map(|block| (be32(block, 0), be32(block, 4))).collect()
    }

    /// The option of this kind: what follows its length.
    pub fn option(&self, kind: u8) -> Option<Vec<u8>> {
        let mut o = &self.options[..];
        while let Some(&k) = o.first() {
            match k {
                0 => return None,
                1 => o = &o[1..],
                _ => {
                    let len = usize::from(*o.get(1)?);
                    if k == kind {
                        return Some(o.get(2..len)?.to_vec());
                    }
                    o = o.get(len..)?;
                }
            }
        }
        None
    }
}

/// A packet as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// ARP: operation, sender MAC, sender, target.
    Arp(u16, [u8; 6], Ipv4Addr, Ipv4Addr),
    /// TCP from and to.
    Tcp(Ipv4Addr, Ipv4Addr, Tcp),
    /// UDP from and to, with payload.
    Udp((Ipv4Addr, u16), (Ipv4Addr, u16), Vec<u8>),
    /// ICMP from and to: type, code, the rest of the header, payload.
    Icmp(Ipv4Addr, Ipv4Addr, u8, u8, [u8; 4], Vec<u8>),
    /// A fragment: header fields, offset in octets, more, payload.
    Fragment {
        /// Source.
        src: Ipv4Addr,
        /// Destination.
        dst: Ipv4Addr,
        /// Identification.
        ident: u16,
        /// Offset in octets.
        offset: usize,
        /// Whether more follow.
        more: bool,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// Anything else.
    Other(Vec<u8>),
}

fn be16(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([b[at], b[at + 1]])
}

fn be32(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn ip_at(b: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(be32(b, at))
}

/// Reads an Ethernet frame; checks every checksum.
///
/// # Panics
/// On a frame that no stack may send: too short, with a wrong length or checksum.
pub fn read(frame: &[u8]) -> Seen {
    match be16(frame, 12) {
        0x0806 => {
            let p = &frame[14..];
            Seen::Arp(be16(p, 6), p[8..14].try_into().expect("six octets"), ip_at(p, 14), ip_at(p, 24))
        }
        0x0800 => read_ip(&frame[14..]),
        _ => Seen::Other(frame.to_vec()),
    }
}

/// Reads an IPv4 packet, as [`read`].
///
/// # Panics
/// As [`read`].
pub fn read_ip(p: &[u8]) -> Seen {
    let header = usize::from(p[0] & 15) * 4;
    let total = usize::from(be16(p, 2));
    assert_eq!(p[0] >> 4, 4, "version");
    assert!(header >= 20 && total >= header && total <= p.len(), "lengths: {header} {total} {}", p.len());
    assert_eq!(checksum(&p[..header]), 0, "header checksum");
    assert_ne!(p[8], 0, "time to live");
    let (src, dst) = (ip_at(p, 12), ip_at(p, 16));
    let payload = &p[header..total];
    let (offset, more) = (usize::from(be16(p, 6) & 0x1fff) * 8, p[6] & 0x20 != 0);
    if offset != 0 || more {
        return Seen::Fragment { src, dst, ident: be16(p, 4), offset, more, payload: payload.to_vec() };
    }
    match p[9] {
        1 => {
            assert_eq!(checksum(payload), 0, "ICMP checksum");
            let rest = payload[4..8].try_into().expect("four octets");
            Seen::Icmp(src, dst, payload[0], payload[1], rest, payload[8..].to_vec())
        }
        6 => {
            assert_eq!(pseudo(src, dst, 6, payload), 0, "TCP checksum");
            Seen::Tcp(src, dst, read_tcp(payload))
        }
        17 => {
            assert_eq!(usize::from(be16(payload, 4)), payload.len(), "UDP length");
            assert!(be16(payload, 6) == 0 || pseudo(src, dst, 17, payload) == 0, "UDP checksum");
            Seen::Udp((src, be16(payload, 0)), (dst, be16(payload, 2)), payload[8..].to_vec())
        }
        _ => Seen::Other(p.to_vec()),
    }
}

fn read_tcp(s: &[u8]) -> Tcp {
    let header = usize::from(s[12] >> 4) * 4;
    Tcp {
        src: be16(s, 0),
        dst: be16(s, 2),
        seq: be32(s, 4),
        ack: be32(s, 8),
        flags: s[13] & !(ECE | CWR),
        ecn: s[13] & (ECE | CWR),
        window: be16(s, 14),
        urgent: be16(s, 18),
        options: s[20..header].to_vec(),
        payload: s[header..].to_vec(),
    }
}
