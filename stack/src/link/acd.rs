//! Address conflict detection: is an IPv4 address free, before we use it?
//!
//! Implements RFC 5227 §2.1 (probing) and §2.3 (announcing). Conflicts over an address in use are in `arp.rs` (§2.4).
//!
//! ```text
//!  asked ─ random wait ─▶ probe ─▶ probe ─▶ probe ─ ANNOUNCE_WAIT ─▶ Free ─ in use ─▶ announced once more ─▶ over
//!                           └───────┴───────┴───────────┴─ somebody has it, or probes for it too ─▶ Taken
//! ```

use crate::device::Mac;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::arp::{Operation, parse};
use core::net::Ipv4Addr;

/// PROBE_NUM (RFC 5227 §1.1).
const PROBE_NUM: u8 = 3;
/// ANNOUNCE_INTERVAL (RFC 5227 §1.1).
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
/// When a packet that found no frame is tried again.
const NO_FRAME_RETRY: Duration = Duration::from_millis(10);

/// How patiently an address is probed for: the times of RFC 5227 §1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ProbeTiming {
    /// PROBE_WAIT: the first probe leaves after a random time up to this.
    pub wait: Duration,
    /// PROBE_MIN: the least time between probes.
    pub min: Duration,
    /// PROBE_MAX: the most time between probes.
    pub max: Duration,
    /// ANNOUNCE_WAIT: how long answers to the last probe are waited for.
    pub announce_wait: Duration,
}

impl ProbeTiming {
    /// The times of RFC 5227 §1.1: 4 to 7 seconds in all.
    pub const RFC5227: Self = Self {
        wait: Duration::from_secs(1),
        min: Duration::from_secs(1),
        max: Duration::from_secs(2),
        announce_wait: Duration::from_secs(2),
    };

    /// A fifth of them: 0.8 to 1.4 seconds in all. For addresses that a server has given and has seen to itself; on a
    /// link without spanning-tree delays and power-saving stations a neighbour answers in milliseconds.
    pub const QUICK: Self = Self {
        wait: Duration::from_millis(200),
        min: Duration::from_millis(200),
        max: Duration::from_millis(400),
        announce_wait: Duration::from_millis(400),
    };
}

/// What is known of an address that was probed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ProbeState {
    /// Not known yet.
    Running,
    /// Nobody has answered: it may be used.
    Free,
    /// This station has it, or wants it at the same time.
    Taken(Mac),
}

/// Two stations use one address (RFC 5227 §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AddressConflict {
    /// The address, which is ours.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub ip: Ipv4Addr,
    /// The other station.
    pub mac: Mac,
    /// It was met by an announcement of ours; `false` when the last defence is less than ten seconds ago, and a host that
    /// can do without the address is to give it up.
    pub defended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// This many probes are still to be sent.
    Probing(u8),
    Free,
    Taken(Mac),
    /// In use, announced once; the second announcement is owed.
    Announcing,
}

/// What is to be sent for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Send {
    /// A probe: a request from nobody (RFC 5227 §2.1.1).
    Probe(Ipv4Addr),
    /// An announcement (RFC 5227 §2.3).
    Announcement(Ipv4Addr),
}

/// An address under observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub ip: Ipv4Addr,
    timing: ProbeTiming,
    phase: Phase,
    /// When the next step is due.
    at: Option<Instant>,
}

impl Probe {
    pub fn new(now: Instant, ip: Ipv4Addr, timing: ProbeTiming, rng: &mut Rng) -> Self {
        let at = now + between(Duration::ZERO, timing.wait, rng);
        Self { ip, timing, phase: Phase::Probing(PROBE_NUM), at: Some(at) }
    }

    pub fn state(&self) -> ProbeState {
        match self.phase {
            Phase::Probing(_) => ProbeState::Running,
            Phase::Free | Phase::Announcing => ProbeState::Free,
            Phase::Taken(mac) => ProbeState::Taken(mac),
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.at
    }

    /// Whether its place may be given to another: nothing more comes of it.
    pub fn is_over(&self) -> bool {
        self.at.is_none()
    }

    /// The address is in use now, and was announced for the first time.
    pub fn on_used(&mut self, now: Instant) {
        self.phase = Phase::Announcing;
        self.at = Some(now + ANNOUNCE_INTERVAL);
    }

    /// What is to be sent at `now`; [`sent`](Self::sent) says whether it was.
    pub fn due(&mut self, now: Instant) -> Option<Send> {
        if self.at.is_none_or(|at| at > now) {
            return None;
        }
        match self.phase {
            Phase::Probing(0) => {
                (self.phase, self.at) = (Phase::Free, None);
                None
            }
            Phase::Probing(_) => Some(Send::Probe(self.ip)),
            Phase::Announcing => Some(Send::Announcement(self.ip)),
            Phase::Free | Phase::Taken(_) => {
                self.at = None;
                None
            }
        }
    }

    /// What was due has been sent, or there was no frame for it.
    pub fn sent(&mut self, now: Instant, sent: bool, rng: &mut Rng) {
        if !sent {
            self.at = Some(now + NO_FRAME_RETRY);
            return;
        }
        match self.phase {
            Phase::Probing(left) => {
                let left = left.saturating_sub(1);
                let ProbeTiming { wait: _, min, max, announce_wait } = self.timing;
                let pause = if left == 0 { announce_wait } else { between(min, max, rng) };
                (self.phase, self.at) = (Phase::Probing(left), Some(now + pause));
            }
            _ => self.at = None,
        }
    }

    /// An ARP packet has come, on an interface of the address `own`.
    pub fn hear(&mut self, packet: &[u8], own: Mac) {
        let Ok(packet) = parse(packet) else { return };
        if packet.sender_mac == own || !packet.sender_mac.is_station() || self.phase == Phase::Announcing {
            return;
        }
        //= https://www.rfc-editor.org/rfc/rfc5227#section-2.1.1
        //# If, during this period, from the beginning of the probing process
        //# until ANNOUNCE_WAIT seconds after the last probe packet is sent, the
        //# host receives any ARP packet (Request *or* Reply) on the interface
        //# where the probe is being performed, where the packet's 'sender IP
        //# address' is the address being probed for, then the host MUST treat
        //# this address as being in use by some other host
        let has = packet.sender_ip == self.ip;
        let wants =
            packet.operation == Operation::Request && packet.sender_ip.is_unspecified() && packet.target_ip == self.ip;
        if has || wants {
            (self.phase, self.at) = (Phase::Taken(packet.sender_mac), None);
        }
    }
}

/// A random time from `min` to `max`.
fn between(min: Duration, max: Duration, rng: &mut Rng) -> Duration {
    let span = max.saturating_sub(min).as_micros();
    let span = u32::try_from(span).unwrap_or(u32::MAX);
    min.saturating_add(Duration::from_micros(u64::from(rng.below(span.saturating_add(1)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::arp::{self, ArpPacketRepr, LEN, emit};
    use crate::rng::{Purpose, Secret};

    const US: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const PEER: Mac = Mac([2, 0, 0, 0, 0, 9]);
    const IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

    fn run(timing: ProbeTiming, seed: u8) -> (u32, Instant) {
        let mut rng = Rng::new(&Secret::new([seed; 16]), Purpose::Jitter);
        let mut probe = Probe::new(Instant::ZERO, IP, timing, &mut rng);
        let mut probes = 0;
        while let Some(at) = probe.deadline() {
            assert_eq!(probe.state(), ProbeState::Running);
            assert_eq!(probe.due(at - Duration::from_micros(1)), None);
            match probe.due(at) {
                Some(Send::Probe(IP)) => probes += 1,
                None => return (probes, at),
                other => panic!("{other:?}"),
            }
            probe.sent(at, true, &mut rng);
        }
        panic!("it ends as free")
    }

    #[test]
    fn three_probes_are_sent_within_the_times_of_the_rfc_and_the_address_is_free_then() {
        for seed in 0..100 {
            let (probes, end) = run(ProbeTiming::RFC5227, seed);
            assert_eq!(probes, 3);
            assert!((4_000..=7_000).contains(&end.as_millis()), "{end}");
            let (probes, end) = run(ProbeTiming::QUICK, seed);
            assert_eq!(probes, 3);
            assert!((800..=1_400).contains(&end.as_millis()), "{end}");
        }
    }

    #[test]
    fn a_probe_without_a_frame_does_not_count() {
        let mut rng = Rng::new(&Secret::new([1; 16]), Purpose::Jitter);
        let mut probe = Probe::new(Instant::ZERO, IP, ProbeTiming::QUICK, &mut rng);
        let mut now = Instant::from_secs(1);
        for _ in 0..10 {
            assert_eq!(probe.due(now), Some(Send::Probe(IP)));
            probe.sent(now, false, &mut rng);
            now += NO_FRAME_RETRY;
        }
        assert_eq!(probe.phase, Phase::Probing(PROBE_NUM));
    }

    #[test]
    fn who_has_the_address_or_wants_it_too_takes_it() {
        let answer = ArpPacketRepr { operation: Operation::Reply, ..arp::announcement(PEER, IP) };
        let other = Ipv4Addr::new(192, 0, 2, 8);
        for (packet, taken) in [
            (answer, true),
            (arp::announcement(PEER, IP), true),
            (arp::request(PEER, IP, other), true),
            (arp::request(PEER, Ipv4Addr::UNSPECIFIED, IP), true),
            (arp::request(PEER, other, IP), false),
            (arp::request(PEER, Ipv4Addr::UNSPECIFIED, other), false),
            (arp::request(US, Ipv4Addr::UNSPECIFIED, IP), false),
            (ArpPacketRepr { sender_mac: Mac::BROADCAST, ..answer }, false),
        ] {
            let mut rng = Rng::new(&Secret::new([1; 16]), Purpose::Jitter);
            let mut probe = Probe::new(Instant::ZERO, IP, ProbeTiming::QUICK, &mut rng);
            let mut octets = [0; LEN];
            emit(&mut octets, &packet);
            probe.hear(&octets, US);
            let expected = if taken { ProbeState::Taken(packet.sender_mac) } else { ProbeState::Running };
            assert_eq!(probe.state(), expected, "{packet:?}");
            assert_eq!(probe.is_over(), taken);
        }
    }
}
