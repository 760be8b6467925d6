//! Packet scripts: what a peer sends, what the user of a host does, and what the host must send, line by line.
//!
//! A script plays against the stack in virtual time and against the Linux kernel behind a tun: what both do alike is shown
//! on both, and where they differ the script says so.
//!
//! ```text
//!  # a comment                         what stands behind is for the reader
//!  set no-nagle                        also: keep-alive IDLE INTERVAL COUNT (seconds)
//!  listen | connect | accept           the user of the host, H, who has port 80; the peer, P, has port 4000
//!  in  SYN seq 0 mss 1460              P sends; numbers are relative: the SYN of either side has seq 0
//!  out SYN ACK seq 0 ack 1             H must send this next; PSH may be there or not
//!  in  ACK seq 1 ack 1 text 10 win 0   P's text is a pattern; its window is 65535 unless said
//!  … ws 7 sackok                      its options: window scale (`ws none`: it must have none), SACK permitted, and
//!  … sack 1001-2001,3001-4001          blocks, numbers as in `ack` (`sack none`: it must have none)
//!  out ACK ack 11 after 0.2..1.5       not before, nor after, so many seconds since the last `in`, `out` or call
//!  quiet 0.5                           nothing leaves for so long
//!  write 10 | read 10 | end            so many octets of the pattern; the end of P's text
//!  shutdown | close                    the end of H's text; the same, with the socket
//!  error reset                         also: refused, timed-out: what the next read says
//!  stack: … | kernel: …                a line for the one only
//! ```
//!
//! Times are upper bounds in virtual time only: the kernel's machine may be slow.

mod parse;
mod play;
mod stack;

pub use parse::{Line, Script, Segment, Span, Step};
pub use play::{HOST_PORT, Host, Note, PEER_PORT, play};
pub use stack::StackHost;

/// How a connection ended, as far as scripts tell ends apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By a reset.
    Reset,
    /// By one in answer to a SYN.
    Refused,
    /// For want of an answer.
    TimedOut,
}

/// What the user of the host wants of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Small segments wait for nobody.
    pub no_nagle: bool,
    /// Silence before the first keep-alive, time between them, and how many; seconds.
    pub keep_alive: Option<(u32, u32, u8)>,
}

/// Octet `n` of a side's text.
pub fn pattern(n: u32) -> u8 {
    (n.wrapping_mul(31) ^ (n >> 8)) as u8
}
