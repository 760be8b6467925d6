//! RFC 3168: who offers and agrees, what is marked, and what a mark does, segment by segment.

extern crate std;

use super::harness::*;
#[cfg(feature = "gso")]
use crate::seq::Seq;
use crate::tcp::options::{Congestion, TcpOptions};
use crate::tcp::output::Why;
use crate::time::Duration;
use crate::wire::segment::{Flags, Options, Segment};
use std::vec;
use std::vec::Vec;

const ECE: Flags = Flags::ECE;
const CWR: Flags = Flags::CWR;
const SETUP: Flags = ECE.with(CWR);
const ECT0: u8 = 0b10;
const SIZE: usize = MSS as usize;

fn options() -> TcpOptions {
    TcpOptions { ecn: true, tx_buffer: 60_000, congestion: Congestion::NewReno, ..plain() }
}

fn ce(segment: Segment<'_>) -> Segment<'_> {
    Segment { is_ce: true, ..segment }
}

/// ESTABLISHED by a SYN|ACK with these flags besides.
fn opened(options: &TcpOptions, also: Flags) -> Host {
    let mut host = Host::connecting(options);
    host.only();
    let offer = Options { mss: Some(MSS), ..Options::NONE };
    host.accept(&Segment { options: offer, ..seg(IRS, U, SYN | ACK | also) });
    assert_eq!(host.only().flags, ACK);
    host
}

fn agreed() -> Host {
    opened(&options(), ECE)
}

/// Acknowledges so many octets, and gives what leaves.
fn ack(host: &mut Host, octets: usize, also: Flags) -> Vec<Out> {
    host.accept(&seg(R, U + octets as u32, ACK | also));
    host.out()
}

#[test]
fn an_open_offers_ecn_and_only_ece_alone_agrees() {
    for (answer, is_on) in [(Flags::NONE, false), (ECE, true), (SETUP, false), (CWR, false)] {
        let mut host = Host::connecting(&options());
        let syn = host.only();
        assert_eq!((syn.flags, syn.ect), (SYN | SETUP, 0));
        let offer = Options { mss: Some(MSS), ..Options::NONE };
        host.accept(&Segment { options: offer, ..seg(IRS, U, SYN | ACK | answer) });
        let last = host.only();
        assert_eq!((last.flags, last.ect), (ACK, 0), "a bare acknowledgment is never marked");
        assert_eq!(host.conn.info().ecn.is_on, is_on, "{answer:?}");
        host.write(&vec![1; SIZE]);
        assert_eq!(host.only().ect, if is_on { ECT0 } else { 0 }, "{answer:?}");
    }
    let mut host = Host::connecting(&TcpOptions { ecn: false, ..options() });
    assert_eq!(host.only().flags, SYN);
    host.accept(&seg(IRS, U, SYN | ACK | ECE));
    assert!(!host.conn.info().ecn.is_on, "nobody has asked");
}

// RFC 3168 §6.1.1.1; and who has sent a SYN without the offer marks nothing.
#[test]
fn a_syn_that_is_lost_goes_again_without_the_offer_and_nothing_is_marked_then() {
    let mut host = Host::connecting(&options());
    assert_eq!(host.only().flags, SYN | SETUP);
    assert_eq!(host.pass(Duration::from_secs(1))[0].flags, SYN);
    // The answer to the first has been late.
    host.accept(&seg(IRS, U, SYN | ACK | ECE));
    host.out();
    assert!(!host.conn.info().ecn.is_on);
    host.write(&vec![1; SIZE]);
    assert_eq!(host.only().ect, 0);
    // What the peer marks is told all the same.
    host.accept(&ce(text(R, U, ACK, b"marked")));
    assert!(host.only().flags.contains(ECE));
}

#[test]
fn crossing_syns_that_both_offer_agree() {
    let mut host = Host::connecting(&options());
    host.only();
    host.accept(&seg(IRS, 0, SYN | SETUP));
    assert_eq!(host.only().flags, SYN | ACK | ECE);
    assert!(host.conn.info().ecn.is_on);
    let mut host = Host::connecting(&options());
    host.only();
    host.accept(&seg(IRS, 0, SYN));
    assert_eq!(host.only().flags, SYN | ACK);
    assert!(!host.conn.info().ecn.is_on);
}

// RFC 3168 §6.1.4 to §6.1.6.
#[test]
fn new_text_is_marked_and_nothing_else() {
    let mut host = agreed();
    host.write(&vec![1; 3 * SIZE]);
    assert!(host.out().iter().all(|out| out.ect == ECT0));
    // A retransmission.
    let again = host.pass(Duration::from_secs(3));
    assert!(!again.is_empty() && again.iter().all(|out| out.why == Why::Retransmit && out.ect == 0));
    // A bare acknowledgment.
    host.accept(&text(R, U + 3 * MSS as u32, ACK, b"text"));
    let late = host.pass(Duration::from_secs(1));
    assert!(!late.is_empty() && late.iter().all(|out| out.payload.is_empty() && out.ect == 0));
    // The probe of a closed window.
    host.accept(&with_window(seg(R + 4, U + 3 * MSS as u32, ACK), 0));
    host.write(b"more");
    let probes = host.pass(Duration::from_secs(70));
    assert!(!probes.is_empty() && probes.iter().all(|probe| probe.ect == 0 && probe.why != Why::Text));
    // A FIN alone, and a reset.
    let mut host = agreed();
    host.conn.shutdown_write();
    let fin = host.only();
    assert_eq!((fin.flags.contains(FIN), fin.ect), (true, 0));
}

// RFC 3168 §6.1.3.
#[test]
fn a_mark_is_echoed_in_each_acknowledgment_until_cwr() {
    let mut host = agreed();
    host.accept(&text(R, U, ACK, b"clean"));
    host.accept(&ce(text(R + 5, U, ACK, b"marked")));
    assert_eq!(host.only().flags, ACK | ECE, "at once");
    host.accept(&text(R + 11, U, ACK, b"clean"));
    host.write(b"ours");
    assert!(host.only().flags.contains(ECE), "with text of ours, too");
    host.accept(&text(R + 16, U + 4, ACK | CWR, b"reduced"));
    assert_eq!(host.pass(Duration::from_secs(1))[0].flags, ACK);
    // Marked again, and with the very CWR.
    host.accept(&ce(text(R + 23, U + 4, ACK | CWR, b"again")));
    assert_eq!(host.only().flags, ACK | ECE);
    assert_eq!(host.conn.info().ecn.marks, 2);
}

// RFC 3168 §6.1.4 (bare acknowledgments), §6.1.5 (what lies outside of the window).
#[test]
fn marks_of_no_text_or_of_text_outside_of_the_window_are_none() {
    let mut host = agreed();
    host.accept(&ce(seg(R, U, ACK)));
    host.give(&ce(text(R - 10, U, ACK, b"old")));
    host.give(&ce(text(R + 100_000, U, ACK, b"beyond")));
    assert!(host.out().iter().all(|out| !out.flags.contains(ECE)));
    assert_eq!(host.conn.info().ecn.marks, 0);
    // Nor where nobody agreed.
    let mut host = opened(&options(), Flags::NONE);
    host.accept(&ce(text(R, U, ACK, b"marked")));
    assert_eq!(host.pass(Duration::from_secs(1))[0].flags, ACK);
}

// RFC 3168 §6.1.2.
#[test]
fn an_echo_reduces_the_window_once_per_round_trip_and_is_answered_by_cwr() {
    let mut host = agreed();
    host.write(&vec![1; 40 * SIZE]);
    let sent = host.out();
    assert_eq!(sent.len(), 10);
    let cwnd = host.conn.info().cwnd;
    assert!(ack(&mut host, SIZE, ECE).is_empty(), "what is in flight is more than the window now");
    let reduced = host.conn.info().cwnd;
    assert_eq!(reduced, cwnd / 2);
    // Each further echo of this window of text is the same news, and lets nothing grow.
    let mut left = Vec::new();
    for n in 2..=10 {
        left.extend(ack(&mut host, n * SIZE, ECE));
    }
    assert_eq!((host.conn.info().cwnd, host.conn.info().ecn.reductions), (reduced, 1));
    let cwrs: Vec<bool> = left.iter().map(|out| out.flags.contains(CWR)).collect();
    assert!(cwrs[0] && cwrs[1..].iter().all(|&cwr| !cwr), "{cwrs:?}");
    assert!(left.iter().all(|out| out.ect == ECT0));
    // The echo goes on beyond the window: the network is still full.
    ack(&mut host, 11 * SIZE, ECE);
    assert_eq!((host.conn.info().cwnd, host.conn.info().ecn.reductions), (reduced / 2, 2));
    // Without it, the window grows again.
    let sent = host.out().len();
    for n in 12..16 {
        ack(&mut host, n * SIZE, Flags::NONE);
    }
    assert!(host.conn.info().cwnd > reduced / 2, "{sent}");
}

#[test]
fn an_echo_that_nobody_agreed_on_or_without_anything_in_flight_does_nothing() {
    let mut host = opened(&options(), Flags::NONE);
    host.write(&vec![1; 10 * SIZE]);
    host.out();
    let cwnd = host.conn.info().cwnd;
    ack(&mut host, SIZE, ECE);
    assert!(host.conn.info().cwnd > cwnd);
    let mut host = agreed();
    let cwnd = host.conn.info().cwnd;
    ack(&mut host, 0, ECE);
    assert_eq!((host.conn.info().cwnd, host.conn.info().ecn.reductions), (cwnd, 0));
}

// RFC 3168 §6.1.2: a loss is answered by CWR, too; in one window of text, one reduction is for both.
#[test]
fn a_loss_tells_cwr_and_does_not_reduce_what_an_echo_has_reduced() {
    for echo in [Flags::NONE, ECE] {
        let mut host = agreed();
        host.write(&vec![1; 40 * SIZE]);
        let mut left = host.out();
        left.extend(ack(&mut host, SIZE, echo));
        let (cwnd, before) = (host.conn.info().cwnd, host.conn.info().ssthresh);
        for _ in 0..3 {
            left.extend(ack(&mut host, SIZE, Flags::NONE));
        }
        let again: Vec<&Out> = left.iter().filter(|out| out.why == Why::Retransmit).collect();
        assert!(again.len() == 1 && !again[0].flags.contains(CWR) && again[0].ect == 0, "{echo:?}");
        let after = host.conn.info().ssthresh;
        assert!(if echo == ECE { after == before } else { after < cwnd }, "{echo:?}: {before}, {after}");
        // Whatever was sent arrives, and then what is sent next.
        for _ in 0..2 {
            let end = left.iter().map(|out| out.seq as usize + out.payload.len()).max().unwrap_or(0);
            left.extend(ack(&mut host, end - U as usize, Flags::NONE));
        }
        assert_eq!(left.iter().filter(|out| out.flags.contains(CWR)).count(), 1, "{echo:?}");
    }
}

// RFC 8511 §3.1.
#[test]
fn with_abe_a_mark_takes_less_than_a_loss_does() {
    for (congestion, percent) in [
        (Congestion::NewReno, 80),
        #[cfg(feature = "cubic")]
        (Congestion::Cubic, 85),
    ] {
        let mut host = opened(&TcpOptions { abe: true, congestion, ..options() }, ECE);
        host.write(&vec![1; 40 * SIZE]);
        host.out();
        let cwnd = host.conn.info().cwnd;
        ack(&mut host, SIZE, ECE);
        let after = host.conn.info().cwnd;
        assert!(after.abs_diff(cwnd * percent / 100) < 20, "{congestion:?}: {after} of {cwnd}");
    }
}

// A flood of echoes cannot press the window below two segments.
#[test]
fn a_peer_that_always_echoes_leaves_two_segments_to_the_window() {
    let mut host = agreed();
    host.write(&vec![1; 40 * SIZE]);
    host.out();
    for n in 1..=40 {
        ack(&mut host, n * SIZE, ECE);
        assert!(host.conn.info().cwnd >= 2 * MSS as u32);
    }
    assert_eq!(host.conn.info().unacked, 0);
    assert!(host.conn.info().ecn.reductions >= 5);
}

// Where a device cuts segments, CWR would be on each: the one that carries it goes alone.
#[cfg(feature = "gso")]
#[test]
fn the_segment_with_cwr_is_not_one_of_several() {
    let mut host = agreed();
    host.write(&vec![1; 40 * SIZE]);
    assert_eq!(host.out_by(4).len(), 3);
    host.accept(&seg(R, U + SIZE as u32, ACK | ECE));
    host.accept(&seg(R, U + 10 * SIZE as u32, ACK));
    let sent = host.out_by(4);
    assert!(sent[0].flags.contains(CWR) && sent[0].payload.len() == SIZE);
    assert!(sent[1].payload.len() > SIZE && !sent[1].flags.contains(CWR));
    assert_eq!(Seq::new(sent[1].seq), Seq::new(sent[0].seq) + MSS as u32);
}
