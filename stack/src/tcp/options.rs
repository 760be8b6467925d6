//! What a user may choose for a connection.
//!
//! The defaults follow the RFC named at each field; where practice differs from an RFC's SHOULD, the field says so.

use super::rcv::room_for;
use crate::time::Duration;

/// Probing of an idle peer (RFC 9293 §3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KeepAlive {
    /// Silence before the first probe; above 0.
    pub idle: Duration,
    /// Time between probes that are not answered; above 0.
    pub interval: Duration,
    /// Unanswered probes after which the connection is given up; at least 1.
    pub count: u8,
}

/// Two hours of silence, then a probe every 75 seconds, nine of them (RFC 9293 MUST-28 for the idle time).
impl Default for KeepAlive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(7_200), interval: Duration::from_secs(75), count: 9 }
    }
}

/// What a peer must take of the text that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Progress {
    /// Octets to be acknowledged in each `period` in which text waits.
    pub octets: u32,
    /// The time for them; it is looked at every five seconds.
    pub period: Duration,
}

/// The congestion control algorithm of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Congestion {
    /// Slow start, congestion avoidance, fast recovery (RFC 5681, 6582): the small choice, and the default where `cubic`
    /// is not built in.
    #[cfg_attr(not(feature = "cubic"), default)]
    NewReno,
    /// CUBIC with HyStart++ (RFC 9438, 9406): the default where it is built in.
    #[cfg(feature = "cubic")]
    #[cfg_attr(feature = "cubic", default)]
    Cubic,
}

/// Choices for one connection, given to `connect` or `listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TcpOptions {
    /// Octets of the receive buffer: the largest window that the peer can be given. At least 1. A buffer that is to be
    /// told in scaled units (more than 65,535) takes a seventh more, so that rounding never takes back what was told; of a
    /// slice from fixed storage, an eighth is withheld for that.
    pub rx_buffer: usize,
    /// Octets of the send buffer: text accepted and not acknowledged yet. At least 1.
    pub tx_buffer: usize,
    /// The receive buffer may grow to this where its storage can, as the connection is read: to twice what is read in a
    /// round trip. 0, the default: it does not grow. Without the feature `tuning` it has no effect.
    pub rx_buffer_max: usize,
    /// The send buffer may grow to this where its storage can: to two congestion windows. 0, the default: it does not
    /// grow. Without the feature `tuning` it has no effect.
    pub tx_buffer_max: usize,
    /// Give up a peer that does not take even this much: one that keeps its window closed, or opens it by an octet now and
    /// then, holds memory no longer. `None`, the default: whoever acknowledges probes is waited for (RFC 9293 §3.8.6.1,
    /// MUST-37), until the user closes; `linger` bounds that in any case. Without the feature `tuning` it has no effect.
    pub progress: Option<Progress>,
    /// Hold back a small segment while text is in flight (RFC 9293 §3.7.4). On by default.
    pub nagle: bool,
    /// Probe an idle peer; off by default (RFC 9293 MUST-25). Without the feature `keep-alive` it has no effect.
    pub keep_alive: Option<KeepAlive>,
    /// How long text may stay unacknowledged before the connection is given up: R2 of RFC 9293 §3.8.3, at least 100 s
    /// there; 120 s by default. [`Duration::MAX`]: for ever.
    pub user_timeout: Duration,
    /// As `user_timeout`, for the SYN: at least 3 minutes in RFC 9293 §3.8.3; 3 minutes by default. A listener repeats its
    /// SYN|ACK after 1, 3, 7, 15, 31, 63 and 123 s, and forgets the handshake with the first of these (or 183 s) that is not
    /// before this; a full SYN queue forgets it earlier.
    pub connect_timeout: Duration,
    /// How long an acknowledgment may wait for a second segment, or for text to travel with. 40 ms by default, as Linux;
    /// RFC 9293 §3.8.6.3 demands less than 500 ms. Zero: never wait.
    pub delayed_ack: Duration,
    /// The variance part of the retransmission time-out is never below this, so that RTO >= SRTT + `rto_min`.
    /// 200 ms by default, as Linux: RFC 6298 §2.4 says 1 s for the whole, for the clocks of its time.
    pub rto_min: Duration,
    /// The retransmission time-out never grows beyond this: 60 s (RFC 6298 §2.5).
    pub rto_max: Duration,
    /// The retransmission time-out before the first measurement: 1 s (RFC 6298 §2.1).
    pub rto_initial: Duration,
    /// Offer window scaling (RFC 7323 §2). Without the feature `window-scale` it has no effect, and no window is larger than
    /// 65,535 octets.
    pub window_scale: bool,
    /// Offer timestamps (RFC 7323 §3). Without the feature `timestamps` it has no effect.
    pub timestamps: bool,
    /// Offer selective acknowledgments, and repair losses by them (RFC 2018, 2883, 6675, 9937). Without the feature
    /// `sack` it has no effect.
    pub sack: bool,
    /// With `sack`: notice losses by time, probe for those at the tail, and take back what a time-out or a retransmission
    /// without need did to the congestion window (RFC 8985, 5682, 4015). Without the feature `rack` it has no effect.
    pub rack: bool,
    /// Offer Explicit Congestion Notification, and agree to it (RFC 3168): routers may then mark text where they would lose it.
    /// Without the feature `ecn` it has no effect.
    pub ecn: bool,
    /// With `ecn`: a mark reduces the congestion window by less than a loss does, to 0.8 of it, or 0.85 with CUBIC, for routers
    /// that mark have short queues (RFC 8511, experimental). Off by default.
    pub abe: bool,
    /// Time to live of every packet.
    pub ttl: u8,
    /// Differentiated services code point of every packet (0..=63).
    pub dscp: u8,
    /// How long a closed connection may go on delivering what was accepted for sending. 120 s by default.
    pub linger: Duration,
    /// How long a closed connection waits in FIN-WAIT-2 for the peer's FIN. 60 s by default, as Linux.
    pub fin_wait2: Duration,
    /// The congestion control algorithm.
    pub congestion: Congestion,
    /// Upper bound of the MSS, both announced and used; `None`: as the interface allows.
    pub max_segment: Option<u16>,
}

impl TcpOptions {
    /// Octets of memory that the receive buffer begins with.
    pub(crate) fn rx_room(&self) -> usize {
        let window = self.rx_buffer;
        // One that may grow is told in scaled units from the beginning.
        if self.window_most() > window { window.saturating_add(window / 7) } else { room_for(window) }
    }

    /// The largest window that there may be one day.
    pub(crate) fn window_most(&self) -> usize {
        if cfg!(feature = "tuning") { self.rx_buffer.max(self.rx_buffer_max) } else { self.rx_buffer }
    }

    /// Whether a connection can work with these values.
    pub(crate) fn is_valid(&self) -> bool {
        let keep = self.keep_alive.is_none_or(|keep| keep.idle > Duration::ZERO && keep.interval > Duration::ZERO);
        self.rx_buffer > 0 && self.tx_buffer > 0 && self.ttl > 0 && self.dscp < 64 && keep
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            rx_buffer: 65_536,
            tx_buffer: 65_536,
            rx_buffer_max: 0,
            tx_buffer_max: 0,
            progress: None,
            nagle: true,
            keep_alive: None,
            user_timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(180),
            delayed_ack: Duration::from_millis(40),
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(60),
            rto_initial: Duration::from_secs(1),
            window_scale: true,
            timestamps: true,
            sack: true,
            rack: true,
            ecn: true,
            abe: false,
            ttl: 64,
            dscp: 0,
            linger: Duration::from_secs(120),
            fin_wait2: Duration::from_secs(60),
            congestion: Congestion::default(),
            max_segment: None,
        }
    }
}

/// The choices as a connection keeps them: microseconds and milliseconds in 32 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub rto_min: u32,
    pub rto_max: u32,
    pub delayed_ack: u32,
    user_timeout: u32,
    connect_timeout: u32,
    linger: u32,
    fin_wait2: u32,
    /// 2 MSL.
    #[cfg(not(feature = "time-wait"))]
    time_wait: u32,
    /// In units of 2^20 microseconds, up to 19 hours.
    #[cfg(feature = "tuning")]
    pub progress_period: u16,
    /// 0: nothing is demanded.
    #[cfg(feature = "tuning")]
    pub progress_octets: u32,
    keep_idle: u32,
    keep_interval: u32,
    /// 0: no keep-alive.
    pub keep_count: u8,
    pub nagle: bool,
    pub ttl: u8,
    pub dscp: u8,
    /// The MSS that we announce.
    pub mss: u16,
}

/// Microseconds in 32 bits: up to 71 minutes.
pub(crate) fn micros(d: Duration) -> u32 {
    u32::try_from(d.as_micros()).unwrap_or(u32::MAX)
}

/// Milliseconds in 32 bits; `u32::MAX` stands for "never".
///
/// 16 bits at a time: small processors divide 64 bits by a library that nothing else needs.
#[inline(never)]
fn millis(d: Duration) -> u32 {
    let (mut quotient, mut rest) = (0u64, 0);
    for place in [48, 32, 16, 0] {
        let part = rest << 16 | (d.as_micros() >> place) as u32 & 0xffff;
        quotient = quotient << 16 | u64::from(part / 1_000);
        rest = part % 1_000;
    }
    u32::try_from(quotient).unwrap_or(u32::MAX)
}

#[cfg_attr(target_os = "none", inline(never))]
fn span(millis: u32) -> Duration {
    if millis == u32::MAX { Duration::MAX } else { Duration::from_micros(u64::from(millis) * 1_000) }
}

impl Settings {
    /// The settings of `options` on an interface whose MTU leaves `mtu_mss` octets for text.
    pub fn new(options: &TcpOptions, mtu_mss: u16) -> Self {
        let keep = options.keep_alive.filter(|_| cfg!(feature = "keep-alive"));
        let rto_max = micros(options.rto_max).max(1_000);
        Self {
            rto_min: micros(options.rto_min).min(rto_max),
            rto_max,
            delayed_ack: micros(options.delayed_ack),
            user_timeout: millis(options.user_timeout),
            connect_timeout: millis(options.connect_timeout),
            linger: millis(options.linger),
            fin_wait2: millis(options.fin_wait2),
            #[cfg(not(feature = "time-wait"))]
            time_wait: 60_000,
            #[cfg(feature = "tuning")]
            progress_period: options.progress.map_or(0, |p| (p.period.as_micros() >> 20).clamp(1, 0xffff) as u16),
            #[cfg(feature = "tuning")]
            progress_octets: options.progress.map_or(0, |p| p.octets),
            keep_idle: keep.map_or(0, |k| millis(k.idle)),
            keep_interval: keep.map_or(0, |k| millis(k.interval)),
            keep_count: keep.map_or(0, |k| k.count.max(1)),
            nagle: options.nagle,
            ttl: options.ttl,
            dscp: options.dscp,
            mss: options.max_segment.map_or(mtu_mss, |m| m.min(mtu_mss)).max(super::snd::MSS_FLOOR),
        }
    }

    pub fn user_timeout(&self) -> Duration {
        span(self.user_timeout)
    }

    pub fn connect_timeout(&self) -> Duration {
        span(self.connect_timeout)
    }

    pub fn linger(&self) -> Duration {
        span(self.linger)
    }

    pub fn fin_wait2(&self) -> Duration {
        span(self.fin_wait2)
    }

    #[cfg(not(feature = "time-wait"))]
    pub fn time_wait(&self) -> Duration {
        span(self.time_wait)
    }

    #[cfg(not(feature = "time-wait"))]
    pub fn set_time_wait(&mut self, span: Duration) {
        self.time_wait = millis(span);
    }

    pub fn keep_idle(&self) -> Duration {
        span(self.keep_idle)
    }

    pub fn keep_interval(&self) -> Duration {
        span(self.keep_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn milliseconds_are_those_of_a_division(micros: u64, shift in 0u32..64) {
            let d = Duration::from_micros(micros >> shift);
            prop_assert_eq!(u64::from(millis(d)), d.as_millis().min(u64::from(u32::MAX)));
        }
    }
}
