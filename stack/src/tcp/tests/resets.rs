//! Resets and blind attacks: H073 to H078.

extern crate std;

use super::harness::*;
use crate::error::TcpError;
use crate::stats::DropReason as D;
use crate::tcp::conn::Fate;
use crate::tcp::output::Why;
use crate::tcp::state::State;
use crate::time::Duration;
use std::vec::Vec;

/// A connection in each synchronized state, with the peer's and our next number.
fn in_each_state() -> Vec<(Host, u32, u32)> {
    let mut all = Vec::new();
    all.push((Host::established(), R, U));
    let fin_wait_1 = || {
        let mut host = Host::established();
        host.conn.shutdown_write();
        host.out();
        assert_eq!(host.conn.state(), State::FinWait1);
        host
    };
    all.push((fin_wait_1(), R, U + 1));
    let mut host = fin_wait_1();
    host.accept(&seg(R, U + 1, ACK));
    assert_eq!(host.conn.state(), State::FinWait2);
    all.push((host, R, U + 1));
    let mut host = fin_wait_1();
    host.accept(&seg(R, U, FIN | ACK));
    host.out();
    assert_eq!(host.conn.state(), State::Closing);
    all.push((host, R + 1, U + 1));
    let mut host = Host::established();
    host.accept(&seg(R, U, FIN | ACK));
    host.out();
    assert_eq!(host.conn.state(), State::CloseWait);
    all.push((host, R + 1, U));
    let mut host = Host::established();
    host.accept(&seg(R, U, FIN | ACK));
    host.conn.shutdown_write();
    host.out();
    assert_eq!(host.conn.state(), State::LastAck);
    all.push((host, R + 1, U + 1));
    all
}

#[test]
fn h073_only_a_reset_at_rcv_nxt_resets() {
    for (mut host, r, n) in in_each_state() {
        let state = host.conn.state();
        for seq in [r + 1, r + 32_000] {
            host.refuse(&seg(seq, n, RST), D::TcpBadReset);
            let out = host.only();
            assert!(out.is_bare_ack() && out.why == Why::Challenge);
            assert_eq!((out.seq, out.ack), (n, r), "{state:?}");
        }
        host.refuse(&seg(r - 1, n, RST), D::TcpBadReset);
        host.silent();
        assert_eq!(host.conn.state(), state);
        host.accept(&seg(r, n, RST));
        assert_eq!(host.fate, Fate::Closed);
        let expected = if matches!(state, State::Closing | State::LastAck) { None } else { Some(TcpError::Reset) };
        assert_eq!(host.conn.error(), expected);
        host.silent();
    }
}

#[test]
fn h074_a_syn_in_a_synchronized_state_gets_a_challenge_and_the_answer_to_it_closes() {
    for (mut host, r, n) in in_each_state() {
        let state = host.conn.state();
        for seq in [r, r + 10, r - 10, r.wrapping_add(1 << 30)] {
            for flags in [SYN, SYN | ACK] {
                host.refuse(&seg(seq, n, flags), D::TcpUnexpectedSyn);
                let out = host.only();
                assert!(out.is_bare_ack());
                assert_eq!((out.seq, out.ack), (n, r));
            }
        }
        assert_eq!(host.conn.state(), state);
        host.accept(&seg(r, 0, RST));
        assert_eq!(host.fate, Fate::Closed);
    }
}

#[test]
fn h075_challenges_are_bounded_per_second_and_do_not_hold_up_others() {
    let mut host = Host::established();
    let mut challenges = 0;
    for i in 0..1000 {
        host.now += ms(1);
        host.refuse(&seg(R + 1 + i, U, RST), D::TcpBadReset);
        challenges += host.out().len();
    }
    assert!((10..=30).contains(&challenges), "{challenges}");
    // A keep-alive probe and repeated text are answered all the same.
    host.refuse(&seg(R - 1, U, ACK), D::TcpOutOfWindow);
    host.acks(U, R);
    for _ in 0..50 {
        host.refuse(&text(R - 1, U, ACK, b"x"), D::TcpOutOfWindow);
        host.acks(U, R);
    }
    host.survives(R, U);
}

#[test]
fn h077_two_ends_that_disagree_do_not_answer_each_other_for_ever() {
    for (ours, theirs) in [(100_000u32, 100_000u32), (1, 1)] {
        let (mut a, mut b) = (Host::established(), Host::established());
        let mut count = 0;
        // Each believes that the other sent more than it did.
        a.give(&seg(R.wrapping_sub(theirs), U + ours, ACK));
        b.give(&seg(R.wrapping_sub(theirs), U + ours, ACK));
        for _ in 0..1000 {
            a.now += ms(1);
            b.now = a.now;
            for out in a.out() {
                let mut segment = out.as_segment();
                segment.seq = super::link::seq(R.wrapping_sub(theirs));
                segment.ack = super::link::seq(U + ours);
                b.give(&segment);
                count += 1;
            }
            for out in b.out() {
                let mut segment = out.as_segment();
                segment.seq = super::link::seq(R.wrapping_sub(theirs));
                segment.ack = super::link::seq(U + ours);
                a.give(&segment);
                count += 1;
            }
        }
        assert!(count <= 80, "{count}");
    }
}

#[test]
fn h078_an_abort_after_a_retransmission_resets_at_the_highest_number_sent() {
    let mut host = Host::established();
    host.write(&pattern(0, 5000));
    host.out();
    host.wait();
    assert_eq!(host.out()[0].why, Why::Retransmit);
    let verdict = host.conn.abort();
    assert_eq!(host.note(verdict).fate, Fate::Open);
    let out = host.only();
    assert_eq!((out.seq, out.ack, out.flags), (U + 5000, R, RST | ACK));
    assert_eq!(host.fate, Fate::Closed);
    assert_eq!(host.conn.write(b"x"), Err(TcpError::Aborted));
}

#[test]
fn a_reset_that_cannot_leave_is_given_up_in_the_end() {
    let mut host = Host::established();
    let verdict = host.conn.abort();
    host.note(verdict);
    host.prepare();
    host.wait();
    assert_eq!(host.fate, Fate::Closed);
    host.silent();
}

#[test]
fn an_address_that_is_taken_away_ends_the_connection_in_silence() {
    let mut host = Host::established();
    host.write(b"x");
    let verdict = host.conn.on_address_gone();
    assert_eq!(host.note(verdict).fate, Fate::Closed);
    host.silent();
    assert_eq!(host.read_error(), TcpError::AddressGone);
    assert_eq!(host.conn.deadline(), None);
}

#[cfg(feature = "keep-alive")]
#[test]
fn keep_alive_probes_an_idle_peer_and_gives_up_after_the_last() {
    use crate::tcp::options::{KeepAlive, TcpOptions};
    let keep = KeepAlive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), count: 3 };
    let mut host = Host::established_with(&TcpOptions { keep_alive: Some(keep), ..plain() });
    let probes = host.pass(Duration::from_secs(61));
    assert_eq!(probes.len(), 1);
    assert_eq!((probes[0].seq, probes[0].ack, probes[0].why), (U - 1, R, Why::KeepAlive));
    host.accept(&seg(R, U, ACK));
    assert_eq!(host.pass(Duration::from_secs(59)).len(), 0);
    let out = host.pass(Duration::from_secs(60));
    let whys: Vec<Why> = out.iter().map(|o| o.why).collect();
    assert_eq!(whys, [Why::KeepAlive, Why::KeepAlive, Why::KeepAlive, Why::Reset]);
    assert_eq!((host.fate, host.conn.error()), (Fate::Closed, Some(TcpError::TimedOut)));
}

#[cfg(feature = "keep-alive")]
#[test]
fn an_answered_probe_gives_the_peer_the_whole_idle_time_again() {
    use crate::tcp::options::{KeepAlive, TcpOptions};
    // With more time between probes than before the first one.
    let keep = KeepAlive { idle: Duration::from_secs(10), interval: Duration::from_secs(75), count: 3 };
    let mut host = Host::established_with(&TcpOptions { keep_alive: Some(keep), ..plain() });
    for _ in 0..5 {
        assert_eq!(host.pass(Duration::from_secs(9)).len(), 0);
        assert_eq!(host.pass(Duration::from_secs(1)).len(), 1);
        host.accept(&seg(R, U, ACK));
    }
    // Silence: the probes are 75 s apart.
    assert_eq!(host.pass(Duration::from_secs(10 + 74)).len(), 1);
    assert_eq!(host.pass(Duration::from_secs(2 * 75)).len(), 2);
    assert_eq!(host.pass(Duration::from_secs(2)).len(), 1);
    assert_eq!(host.conn.error(), Some(TcpError::TimedOut));
    for (idle, interval) in [(0, 1), (1, 0)] {
        let (idle, interval) = (Duration::from_secs(idle), Duration::from_secs(interval));
        let keep_alive = Some(KeepAlive { idle, interval, count: 1 });
        assert!(!TcpOptions { keep_alive, ..plain() }.is_valid(), "a probe without end, at one instant");
    }
}
