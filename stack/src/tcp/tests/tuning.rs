//! Peers that take next to nothing, and what a quiet connection holds.

extern crate std;

use super::harness::*;
use crate::error::TcpError;
use crate::tcp::conn::Fate;
use crate::tcp::options::{Progress, TcpOptions};
use crate::time::Duration;

/// A peer that acknowledges each probe and leaves its window closed, or takes `octets` of each; how long it is endured.
fn endured(progress: Option<Progress>, octets: u32, at_most: Duration) -> (Duration, Host) {
    let mut host = Host::established_with(&TcpOptions { progress, ..plain() });
    let (start, mut una) = (host.now, U);
    host.write(&pattern(0, 60_000));
    host.out();
    host.accept(&with_window(seg(R, U, ACK), 0));
    while host.fate == Fate::Open && host.now.since(start) < at_most {
        host.wait();
        for out in host.out() {
            if !out.payload.is_empty() && host.fate == Fate::Open && !out.flags.contains(RST) {
                una += octets.min(out.payload.len() as u32);
                host.accept(&with_window(seg(R, una, ACK), 0));
            }
        }
    }
    (host.now.since(start), host)
}

#[test]
fn a_peer_that_keeps_its_window_closed_is_given_up_where_the_user_demands_progress() {
    let progress = Some(Progress { octets: 1000, period: Duration::from_secs(60) });
    let (took, host) = endured(progress, 0, Duration::from_secs(10_000));
    assert_eq!((host.fate, host.conn.error()), (Fate::Closed, Some(TcpError::TimedOut)));
    assert!(took >= Duration::from_secs(60) && took <= Duration::from_secs(70), "{took:?}");
}

#[test]
fn so_is_one_that_takes_an_octet_now_and_then_but_not_one_that_is_merely_slow() {
    let crawling = Some(Progress { octets: 1000, period: Duration::from_secs(60) });
    let (took, host) = endured(crawling, 1, Duration::from_secs(10_000));
    assert_eq!(host.conn.error(), Some(TcpError::TimedOut));
    assert!(took <= Duration::from_secs(70), "{took:?}");
    // One octet a minute is asked for, and comes: probes are a minute apart at most.
    let slow = Some(Progress { octets: 1, period: Duration::from_secs(125) });
    let (_, host) = endured(slow, 1, Duration::from_secs(3_000));
    assert_eq!((host.fate, host.conn.error()), (Fate::Open, None));
}

#[test]
fn without_such_a_demand_whoever_acknowledges_probes_is_waited_for() {
    let (_, host) = endured(None, 0, Duration::from_secs(100_000));
    assert_eq!((host.fate, host.conn.error()), (Fate::Open, None));
}

#[test]
fn text_that_waits_again_has_the_whole_time_again() {
    let progress = Some(Progress { octets: 1000, period: Duration::from_secs(60) });
    let mut host = Host::established_with(&TcpOptions { progress, ..plain() });
    let mut una = U;
    for _ in 0..10 {
        host.write(b"little");
        host.out();
        una += 6;
        host.accept(&seg(R, una, ACK));
        host.pass(Duration::from_secs(50));
    }
    assert_eq!((host.fate, host.conn.error()), (Fate::Open, None));
    assert_eq!(host.conn.deadline(), None, "an idle connection over borrowed memory needs no looks");
}
