//! Closing, in all orders: H097 to H104 as far as they are about one connection.

use super::harness::*;
use crate::error::TcpError;
use crate::event::Readiness;
use crate::stats::DropReason as D;
use crate::tcp::conn::Fate;
use crate::tcp::options::TcpOptions;
use crate::tcp::state::State;
use crate::time::Duration;

fn close(host: &mut Host) {
    let verdict = host.conn.close();
    host.note(verdict);
}

#[test]
fn closing_first_ends_in_time_wait_once_the_last_acknowledgment_left() {
    let mut host = Host::established();
    host.conn.shutdown_write();
    assert_eq!(host.only().flags, FIN | ACK);
    host.accept(&seg(R, U + 1, ACK));
    assert_eq!(host.conn.state(), State::FinWait2);
    assert_eq!(host.conn.write(b"x"), Err(TcpError::Closed));
    host.accept(&text(R, U + 1, ACK, b"still"));
    assert_eq!(host.read(), b"still");
    host.accept(&seg(R + 5, U + 1, FIN | ACK));
    assert_eq!((host.conn.state(), host.fate), (State::TimeWait, Fate::Open));
    host.acks(U + 1, R + 6);
    assert_in_time_wait(&host);
    #[cfg(feature = "time-wait")]
    {
        let rest = host.conn.time_wait();
        assert_eq!((rest.snd_nxt.value(), rest.rcv_nxt.value()), (U + 1, R + 6));
    }
    assert!(host.at_eof());
}

/// It rests: in its table, or where it is.
fn assert_in_time_wait(host: &Host) {
    #[cfg(feature = "time-wait")]
    assert_eq!(host.fate, Fate::TimeWait);
    assert_eq!(host.conn.state(), State::TimeWait);
    assert!(host.events.any(Readiness::READ));
}

#[test]
#[cfg(not(feature = "time-wait"))]
fn without_a_table_time_wait_is_60_seconds_of_the_connection_and_longer_when_the_fin_comes_again() {
    let mut host = Host::established();
    host.conn.shutdown_write();
    host.out();
    host.accept(&seg(R, U + 1, FIN | ACK));
    host.acks(U + 1, R + 1);
    assert!(host.events.any(Readiness::CLOSED));
    host.now += Duration::from_secs(40);
    host.refuse(&seg(R, U + 1, FIN | ACK), D::TcpOutOfWindow);
    host.acks(U + 1, R + 1);
    host.now += Duration::from_secs(59);
    host.refuse(&text(R - 5, U + 1, ACK, b"late"), D::TcpOutOfWindow);
    host.acks(U + 1, R + 1);
    assert_eq!(host.fate, Fate::Open);
    assert_eq!(host.wait(), Duration::from_secs(1));
    assert_eq!((host.fate, host.conn.error()), (Fate::Closed, None));
    assert_eq!(host.conn.deadline(), None);
}

#[test]
#[cfg(not(feature = "time-wait"))]
fn a_connection_in_time_wait_is_succeeded_by_a_later_syn_only() {
    let mut host = Host::established();
    host.conn.shutdown_write();
    assert!(!host.conn.may_be_succeeded(&seg(R + 9, 0, SYN)));
    host.out();
    host.accept(&seg(R, U + 1, FIN | ACK));
    host.acks(U + 1, R + 1);
    assert_eq!(host.conn.next_unused().value(), U + 2);
    for (segment, may) in [
        (seg(R + 1, 0, SYN), true),
        (seg(R, 0, SYN), false),
        (seg(R + 1, U, SYN | ACK), false),
        (seg(R + 1, 0, SYN | FIN), false),
        (seg(R + 1, 0, SYN | RST), false),
        (seg(R + 1, U + 1, ACK), false),
        (with_stamps(seg(R - 1_000, 0, SYN), 1, 0), true),
    ] {
        assert_eq!(host.conn.may_be_succeeded(&segment), may, "{segment:?}");
    }
}

#[test]
fn a_reset_in_time_wait_is_ignored() {
    let mut host = Host::established();
    host.conn.shutdown_write();
    host.out();
    host.accept(&seg(R, U + 1, FIN | ACK));
    assert_eq!(host.conn.state(), State::TimeWait);
    host.refuse(&seg(R + 1, U + 1, RST), D::TcpBadReset);
    assert_eq!(host.conn.state(), State::TimeWait);
}

#[test]
fn closing_second_ends_with_the_acknowledgment_of_our_fin() {
    let mut host = Host::established();
    host.accept(&seg(R, U, FIN | ACK));
    host.acks(U, R + 1);
    assert!(host.at_eof() && host.events.any(Readiness::READ));
    host.write(b"half-closed");
    assert_eq!(host.only().payload, b"half-closed");
    host.accept(&seg(R + 1, U + 11, ACK));
    host.conn.shutdown_write();
    assert_eq!(host.only().flags, FIN | ACK);
    assert_eq!(host.conn.state(), State::LastAck);
    host.accept(&seg(R + 1, U + 12, ACK));
    assert_eq!((host.fate, host.conn.error()), (Fate::Closed, None));
    assert_eq!(host.conn.deadline(), None);
}

#[test]
fn closing_together_passes_through_closing() {
    let mut host = Host::established();
    host.conn.shutdown_write();
    host.out();
    host.accept(&seg(R, U, FIN | ACK));
    assert_eq!(host.conn.state(), State::Closing);
    host.acks(U + 1, R + 1);
    host.accept(&seg(R + 1, U + 1, ACK));
    assert_in_time_wait(&host);
}

#[test]
fn h097_a_close_in_syn_received_sends_its_fin_after_the_handshake() {
    let mut host = Host::connecting(&plain());
    host.out();
    host.accept(&seg(IRS, 0, SYN));
    assert_eq!(host.only().flags, SYN | ACK);
    close(&mut host);
    host.silent();
    host.wait();
    assert_eq!(host.only().flags, SYN | ACK);
    host.accept(&seg(R, U, ACK));
    let fin = host.only();
    assert_eq!((fin.seq, fin.flags, host.conn.state()), (U, FIN | ACK, State::FinWait1));
    host.accept(&seg(R, U + 1, ACK));
    assert_eq!(host.conn.state(), State::FinWait2);
}

#[test]
fn h098_text_is_read_after_the_connection_has_ended() {
    let mut host = Host::established();
    host.accept(&text(R, U, ACK | FIN, &pattern(0, 100)));
    host.conn.shutdown_write();
    host.out();
    host.accept(&seg(R + 101, U + 1, ACK));
    assert_eq!(host.fate, Fate::Closed);
    assert!(host.conn.readable());
    assert_eq!(host.read(), pattern(0, 100));
    assert!(host.at_eof());
}

#[test]
fn h099_in_last_ack_windows_and_duplicates_still_count() {
    let mut host = Host::established_with(&TcpOptions { tx_buffer: 65_536, ..plain() });
    host.accept(&with_window(seg(R, U, ACK | FIN), 5840));
    host.out();
    let data = pattern(0, 65_536);
    host.write(&data);
    close(&mut host);
    let mut at = 0u32;
    let mut lost = false;
    for _ in 0..200 {
        let sent = host.out();
        if host.conn.state() == State::LastAck && !lost {
            lost = true;
            for _ in 0..3 {
                host.accept(&with_window(seg(R + 1, U + at, ACK), 5840));
            }
            assert_eq!(host.out()[0].seq, U + at);
        }
        for o in sent {
            assert_eq!(o.payload, data[(o.seq - U) as usize..][..o.payload.len()]);
            at = at.max(o.seq - U + o.payload.len() as u32 + u32::from(o.flags.contains(FIN)));
        }
        host.accept(&with_window(seg(R + 1, U + at, ACK), 5840));
        if host.fate != Fate::Open {
            break;
        }
    }
    assert_eq!((at, host.fate, lost), (65_537, Fate::Closed, true));
}

#[test]
fn h100_fin_wait_2_ends_for_an_orphan_only() {
    for orphan in [false, true] {
        let mut host = Host::established();
        if orphan {
            close(&mut host);
        } else {
            host.conn.shutdown_write();
        }
        host.out();
        host.accept(&seg(R, U + 1, ACK));
        assert_eq!(host.conn.state(), State::FinWait2);
        host.pass(Duration::from_secs(61));
        assert_eq!(host.fate, if orphan { Fate::Closed } else { Fate::Open });
        host.pass(Duration::from_secs(100_000));
        assert_eq!(host.conn.is_finished(), orphan);
    }
}

#[test]
fn h103_close_with_unread_text_resets() {
    let mut host = Host::established();
    host.accept(&text(R, U, ACK, b"unread"));
    close(&mut host);
    assert_eq!(host.only().flags, RST | ACK);
    assert_eq!(host.fate, Fate::Closed);

    // What is queued goes first.
    let mut host = Host::established();
    host.accept(&text(R, U, ACK, b"unread"));
    host.write(b"queued");
    close(&mut host);
    let out = host.only();
    assert_eq!((&out.payload[..], out.flags), (&b"queued"[..], ACK | PSH));
    host.accept(&seg(R + 6, U + 6, ACK));
    assert_eq!(host.only().flags, RST | ACK);
    assert_eq!(host.fate, Fate::Closed);
}

#[test]
fn h103_text_after_a_full_close_resets() {
    let mut host = Host::established();
    close(&mut host);
    host.out();
    host.accept(&seg(R, U + 1, ACK));
    host.refuse(&text(R, U + 1, ACK, b"nobody"), D::TcpAfterClose);
    let out = host.only();
    assert_eq!((out.seq, out.flags), (U + 1, RST | ACK));
    assert_eq!(host.fate, Fate::Closed);
}

#[test]
fn h104_an_orphan_delivers_what_was_accepted_and_lingers_no_longer_than_told() {
    let mut host = Host::established();
    let data = pattern(0, 60_000);
    host.write(&data);
    close(&mut host);
    let mut at = 0u32;
    while host.conn.state() != State::FinWait2 {
        for o in host.out() {
            at += o.payload.len() as u32 + u32::from(o.flags.contains(FIN));
        }
        host.accept(&seg(R, U + at, ACK));
    }
    assert_eq!(at, 60_001);

    let mut host = Host::established_with(&TcpOptions { linger: Duration::from_secs(5), ..plain() });
    host.write(&data);
    close(&mut host);
    let sent = host.pass(Duration::from_secs(6));
    assert!(sent.last().is_some_and(|o| o.flags.contains(RST)));
    assert_eq!(host.fate, Fate::Closed);
}

#[test]
fn an_open_that_is_closed_before_an_answer_is_forgotten_unless_it_has_text() {
    let mut host = Host::connecting(&plain());
    host.out();
    close(&mut host);
    assert_eq!(host.fate, Fate::Closed);
    let mut host = Host::connecting(&plain());
    host.write(b"first");
    host.out();
    close(&mut host);
    host.accept(&seg(IRS, U, SYN | ACK));
    let out = host.only();
    assert_eq!((&out.payload[..], out.flags), (&b"first"[..], ACK | PSH | FIN));
}

#[test]
fn a_writer_that_filled_the_buffer_hears_of_room_once() {
    let mut host = Host::established_with(&TcpOptions { tx_buffer: 4000, ..plain() });
    assert_eq!(host.conn.write(&[0; 5000]), Ok(4000));
    assert_eq!(host.conn.write(b"x"), Err(TcpError::WouldBlock));
    host.out();
    host.events = Readiness::NONE;
    host.accept(&seg(R, U + 500, ACK));
    assert!(!host.events.any(Readiness::WRITE));
    host.accept(&seg(R, U + 1460, ACK));
    assert!(host.events.any(Readiness::WRITE));
    assert!(host.conn.writable());
}

#[test]
fn a_reset_leaves_what_was_received_to_be_read() {
    let mut host = Host::established();
    host.accept(&text(R, U, ACK, b"before"));
    host.accept(&seg(R + 6, U, RST));
    assert_eq!(host.read(), b"before");
    assert_eq!(host.read_error(), TcpError::Reset);
    assert_eq!(host.conn.write(b"x"), Err(TcpError::Reset));
}
