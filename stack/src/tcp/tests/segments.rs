//! Which segments are taken, and how much of them: H062 to H072.

extern crate std;

use super::harness::*;
use crate::stats::DropReason as D;
use crate::tcp::options::TcpOptions;
use crate::tcp::output::Why;
use crate::tcp::state::State;
use crate::time::Duration;
use crate::wire::segment::Segment;
use std::vec::Vec;

fn with_room(rx_buffer: usize) -> Host {
    Host::established_with(&TcpOptions { rx_buffer, ..plain() })
}

#[test]
fn h062_text_beyond_the_window_is_cut_and_takes_the_fin_with_it() {
    let mut host = with_room(100);
    let data = pattern(0, 200);
    host.accept(&text(R, U, ACK | FIN, &data));
    host.acks(U, R + 100);
    assert_eq!(host.read(), data[..100]);
    assert!(!host.at_eof());
    host.out();
    host.accept(&text(R + 100, U, ACK | FIN, &data[100..]));
    assert_eq!(host.read(), data[100..]);
    assert!(host.at_eof());
}

#[test]
fn h063_an_acknowledgment_of_what_was_not_sent_frees_nothing() {
    let mut host = Host::established();
    host.accept(&with_window(seg(R, U, ACK), 1460));
    let data = pattern(0, 2360);
    host.write(&data);
    assert_eq!(host.only().payload.len(), 1460);
    for n in 1461..=2360 {
        host.now += Duration::from_millis(110);
        host.refuse(&seg(R, U + n, ACK), D::TcpBadAck);
        let acks = host.out();
        assert!(acks.iter().any(|a| a.why == Why::Challenge && a.seq == U + 1460 && a.ack == R));
        assert!(acks.iter().all(|a| a.seq.wrapping_add(a.payload.len() as u32) <= U + 1460));
    }
    assert_eq!(host.conn.unsent(), 2360);
    host.accept(&seg(R, U + 1460, ACK));
    let mut rest = Vec::new();
    for o in host.out() {
        assert_eq!(o.seq, U + 1460 + rest.len() as u32);
        rest.extend(o.payload);
    }
    assert_eq!(rest, data[1460..]);
}

#[test]
fn h064_numbers_half_the_space_away_are_dropped_without_a_panic() {
    let mut host = Host::established();
    host.write(b"x");
    host.out();
    for far in [0x8000_0000u32, 0x7fff_ffff, 0x8000_0001] {
        for s in [R.wrapping_add(far), R.wrapping_sub(far)] {
            assert!(host.give(&text(s, U, ACK, b"y")).drop.is_some());
            assert!(host.give(&seg(s, U, RST)).drop.is_some());
        }
        for a in [U.wrapping_add(far), U.wrapping_sub(far)] {
            assert_eq!(host.give(&text(R, a, ACK, b"y")).drop, Some(D::TcpBadAck));
        }
    }
    host.accept(&seg(R, U + 1, ACK));
    host.survives(R, U + 1);
}

#[test]
fn h065_an_old_acknowledgment_is_taken_within_the_largest_window_only() {
    let mut host = Host::established();
    host.write(&pattern(0, 10));
    host.out();
    host.accept(&with_window(seg(R, U + 10, ACK), 500));
    let u = U + 10;
    host.accept(&text(R, u - 1, ACK, b"ab"));
    assert_eq!(host.read(), b"ab");
    host.out();
    host.refuse(&text(R + 2, u.wrapping_sub(60_001), ACK, b"cd"), D::TcpBadAck);
    host.acks(u, R + 2);
    assert!(host.read().is_empty());
    host.survives(R + 2, u);
}

#[test]
fn h067_what_is_old_is_cut_off_and_a_fin_behind_old_text_counts() {
    let mut host = Host::established();
    let data = pattern(0, 150);
    host.accept(&text(R, U, ACK, &data[..50]));
    host.accept(&text(R, U, ACK | FIN, &data[..100]));
    assert_eq!(host.read(), data[..100]);
    assert_eq!(host.conn.state(), State::CloseWait);
    host.acks(U, R + 101);
    assert!(host.at_eof());

    let mut host = Host::established();
    host.accept(&text(R, U, ACK, &data[..50]));
    host.out();
    host.accept(&text(R, U, ACK | FIN, &data[..50]));
    assert_eq!(host.conn.state(), State::CloseWait);
    host.acks(U, R + 51);
}

#[test]
fn h068_a_fin_beyond_a_hole_is_remembered() {
    let mut host = Host::established();
    host.accept(&text(R + 3, U, ACK | FIN, b"def"));
    host.acks(U, R);
    host.accept(&text(R, U, ACK, b"abc"));
    host.acks(U, R + 7);
    assert_eq!(host.read(), b"abcdef");
    assert!(host.at_eof());
    assert_eq!(host.conn.state(), State::CloseWait);
}

#[test]
fn h069_text_at_or_behind_the_fin_is_never_delivered_nor_acknowledged() {
    let mut host = Host::established();
    host.accept(&text(R + 3, U, ACK, b"defGHI"));
    host.accept(&text(R + 3, U, ACK | FIN, b"def"));
    host.accept(&text(R, U, ACK, b"abc"));
    assert_eq!(host.read(), b"abcdef");
    assert!(host.at_eof());
    assert_eq!(host.out().last().map(|o| o.ack), Some(R + 7));
    host.refuse(&text(R + 7, U, ACK, b"more"), D::TcpAfterClose);
    host.acks(U, R + 7);
    host.conn.shutdown_write();
    assert_eq!(host.only().flags, FIN | ACK);
    assert_eq!(host.conn.state(), State::LastAck);
    host.refuse(&text(R + 7, U, ACK, b"more"), D::TcpAfterClose);
    host.acks(U + 1, R + 7);
    assert!(host.read().is_empty());
}

#[test]
fn h070_a_closed_window_refuses_text_and_uses_the_rest_of_the_segment() {
    let mut host = with_room(4);
    host.write(b"data");
    host.out();
    host.accept(&text(R, U, ACK, b"full"));
    host.out();
    host.accept(&with_window(text(R + 4, U + 4, ACK | URG, b"more"), 777));
    assert_eq!((host.conn.unsent(), host.conn.info().snd_wnd), (0, 777));
    host.acks(U + 4, R + 4);
    assert_eq!(host.read(), b"full");
    let mut host = with_room(4);
    host.accept(&text(R, U, ACK, b"full"));
    host.out();
    host.accept(&seg(R + 4, U, RST));
    assert_eq!(host.conn.state(), State::Closed);
}

#[test]
fn h071_urgent_text_stays_in_line_whatever_its_pointer_says() {
    for urgent in [0, 1, 3, 4, 100, 65_535] {
        let mut host = Host::established();
        host.accept(&Segment { urgent, ..text(R, U, ACK | URG, b"abc") });
        host.accept(&Segment { urgent: 1, ..seg(R + 3, U, ACK | URG) });
        host.accept(&Segment { urgent, ..text(R + 3, U, ACK | URG | FIN, b"d") });
        assert_eq!(host.read(), b"abcd");
        assert!(host.at_eof());
    }
}

#[cfg(feature = "timestamps")]
#[test]
fn h072_old_timestamps_are_refused_and_future_ones_do_not_poison() {
    let mut host = Host::stamped();
    let ecr = 0;
    host.accept(&with_stamps(text(R, U, ACK, b"a"), 2000, ecr));
    host.out();
    host.refuse(&with_stamps(text(R + 1, U, ACK, b"b"), 1999, ecr), D::TcpPaws);
    host.acks(U, R + 1);
    // In the window, but beyond what was acknowledged last.
    host.accept(&with_stamps(text(R + 100, U, ACK, b"x"), 0x7000_0000, ecr));
    host.out();
    host.accept(&with_stamps(text(R + 1, U, ACK, b"b"), 2001, ecr));
    assert_eq!(host.read(), b"ab");
    assert_eq!(host.out().last().and_then(|o| o.options.timestamps).map(|t| t.ecr), Some(2001));
    host.refuse(&text(R + 2, U, ACK, b"c"), D::TcpPaws);
    host.silent();
    host.now += Duration::from_secs(25 * 86_400);
    host.accept(&with_stamps(text(R + 2, U, ACK, b"c"), 5, ecr));
    assert_eq!(host.read(), b"c");
    host.accept(&with_stamps(seg(R + 3, U, RST), 0, 0));
    assert_eq!(host.conn.state(), State::Closed);
}

#[test]
fn segments_without_ack_are_dropped() {
    let mut host = Host::established();
    host.refuse(&text(R, 0, PSH, b"abc"), D::TcpNoAck);
    host.survives(R, U);
}

#[test]
fn scattered_octets_cost_a_bounded_store_and_the_stream_goes_on() {
    let mut host = Host::established();
    for n in 0..1000u32 {
        host.give(&text(R + 2 + 2 * n, U, ACK, b"?")).drop.map_or((), |reason| assert_eq!(reason, D::TcpNoRoom));
    }
    assert!(host.out().len() <= 8);
    for n in 0..1000u32 {
        host.give(&text(R + 2 * n, U, ACK, b"ab")).drop.map_or((), |reason| panic!("{reason:?}"));
    }
    assert_eq!(host.read().len(), 2000);
    host.survives(R + 2000, U);
}

#[test]
fn text_that_overlaps_a_known_fin_is_taken_up_to_it() {
    let mut host = Host::established();
    host.accept(&seg(R + 6, U, ACK | FIN));
    host.acks(U, R);
    host.accept(&text(R + 3, U, ACK, b"defGHI"));
    host.accept(&text(R, U, ACK, b"abcdefGHI"));
    assert_eq!(host.read(), b"abcdef");
    assert!(host.at_eof());
    assert_eq!(host.out().last().map(|o| o.ack), Some(R + 7));
}
