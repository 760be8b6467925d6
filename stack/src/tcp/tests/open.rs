//! Opening: H051 to H062 as far as they are about one connection.

use super::harness::*;
use crate::error::TcpError;
use crate::event::Readiness;
#[cfg(feature = "ipv6")]
use crate::sockets::demux::Tuple;
use crate::stats::DropReason as D;
#[cfg(feature = "ipv6")]
use crate::tcp::conn::Conn;
use crate::tcp::conn::Fate;
use crate::tcp::info::{IcmpError, SoftError};
use crate::tcp::options::TcpOptions;
use crate::tcp::output::Why;
use crate::tcp::state::State;
use crate::time::Duration;
use crate::wire::segment::{Options, Segment, Timestamps};

fn syn_ack() -> Segment<'static> {
    let options = Options { mss: Some(MSS), ..Options::NONE };
    Segment { options, ..seg(IRS, U, SYN | ACK) }
}

#[test]
fn an_active_open_sends_syn_then_acknowledges_the_syn_ack() {
    let mut host = Host::connecting(&TcpOptions { ecn: false, ..TcpOptions::default() });
    let syn = host.only();
    assert_eq!((syn.seq, syn.flags, syn.window), (ISS, SYN, 65_535));
    let scale = cfg!(feature = "window-scale").then_some(1);
    assert_eq!((syn.options.mss, syn.options.window_scale), (Some(MSS), scale));
    assert_eq!(syn.options.timestamps.map(|t| t.ecr), cfg!(feature = "timestamps").then_some(0));
    host.accept(&syn_ack());
    assert_eq!(host.conn.state(), State::Established);
    assert!(host.events.any(Readiness::CONNECTED));
    host.acks(U, R);
    host.survives(R, U);
}

#[test]
fn h051_an_unsent_syn_is_not_acknowledged_by_a_guess() {
    let mut host = Host::connecting(&plain());
    let reset = host.refuse(&syn_ack(), D::TcpBadAck).expect("a reset");
    assert_eq!((reset.seq.value(), reset.flags), (U, RST));
    host.prepare();
    assert!(host.refuse(&syn_ack(), D::TcpBadAck).is_some());
    assert_eq!(host.conn.state(), State::SynSent);
    assert_eq!(host.only().flags, SYN);
    host.accept(&syn_ack());
    assert_eq!(host.conn.state(), State::Established);
}

#[test]
fn h051_a_bare_syn_before_ours_left_is_a_simultaneous_open() {
    for prepared in [false, true] {
        let mut host = Host::connecting(&plain());
        if prepared {
            host.prepare();
        }
        host.accept(&seg(IRS, 0, SYN));
        assert_eq!(host.conn.state(), State::SynReceived);
        let out = host.only();
        assert_eq!((out.seq, out.ack, out.flags), (ISS, R, SYN | ACK));
        host.accept(&seg(R, U, ACK));
        assert_eq!(host.conn.state(), State::Established);
        host.survives(R, U);
    }
}

#[test]
fn a_simultaneous_open_ends_with_the_syn_ack_of_the_other_side() {
    let mut host = Host::connecting(&plain());
    assert_eq!(host.only().flags, SYN);
    host.accept(&seg(IRS, 0, SYN));
    assert_eq!(host.only().flags, SYN | ACK);
    host.accept(&seg(IRS, U, SYN | ACK));
    assert_eq!(host.conn.state(), State::Established);
    host.acks(U, R);
    host.survives(R, U);
}

#[test]
fn in_syn_received_the_same_syn_again_is_answered_by_the_same_syn_ack() {
    let mut host = Host::connecting(&plain());
    host.out();
    for _ in 0..5 {
        host.accept(&seg(IRS, 0, SYN));
        let out = host.only();
        assert_eq!((out.seq, out.ack, out.flags), (ISS, R, SYN | ACK));
    }
    for wrong in [ISS, ISS + 2] {
        let reset = host.refuse(&seg(R, wrong, ACK), D::TcpBadAck).expect("a reset");
        assert_eq!((reset.seq.value(), reset.flags), (wrong, RST));
    }
    host.accept(&seg(R, U, ACK));
    host.survives(R, U);
}

#[test]
fn h052_tiny_and_empty_buffers_do_not_panic() {
    for rx_buffer in [0, 1] {
        let mut host = Host::connecting(&TcpOptions { rx_buffer, ..TcpOptions::default() });
        assert_eq!(host.only().window, rx_buffer as u16);
        host.accept(&syn_ack());
        host.out();
        host.give(&text(R, U, ACK, b"xyz")).drop.ok_or(()).ok();
        assert_eq!(host.read().len(), rx_buffer);
        assert!(!TcpOptions { rx_buffer: 0, ..TcpOptions::default() }.is_valid());
    }
}

#[test]
fn h053_in_syn_sent_only_the_right_acknowledgment_counts() {
    let mut host = Host::connecting(&plain());
    host.out();
    for flags in [SYN | ACK, ACK, FIN | ACK, PSH | ACK] {
        for wrong in [ISS, ISS + 2] {
            let reset = host.refuse(&seg(IRS, wrong, flags), D::TcpBadAck).expect("a reset");
            assert_eq!((reset.seq.value(), reset.flags), (wrong, RST));
        }
    }
    assert_eq!(host.refuse(&seg(IRS, 0, RST), D::TcpBadReset), None);
    assert_eq!(host.refuse(&seg(IRS, ISS + 2, RST | ACK), D::TcpBadAck), None);
    assert_eq!(host.conn.state(), State::SynSent);
    host.accept(&seg(IRS, U, RST | ACK));
    assert_eq!((host.fate, host.conn.error()), (Fate::Closed, Some(TcpError::Refused)));
    assert!(host.events.any(Readiness::CLOSED));
}

#[test]
fn h054_a_syn_to_a_silent_host_is_resent_with_doubling_pauses_and_given_up_after_r2() {
    let mut host = Host::connecting(&plain());
    let start = host.now;
    assert_eq!(host.only().flags, SYN);
    for pause in [1, 2, 4, 8, 16, 32, 60] {
        assert_eq!(host.wait(), Duration::from_secs(pause));
        assert_eq!(host.only().why, Why::Syn);
    }
    while host.fate == Fate::Open {
        host.wait();
        host.out();
    }
    assert_eq!(host.now.since(start), Duration::from_secs(180));
    assert_eq!(host.read_error(), TcpError::TimedOut);
    assert_eq!(host.conn.deadline(), None);
    host.silent();
}

#[test]
fn a_syn_that_never_leaves_is_given_up_too() {
    let mut host = Host::connecting(&plain());
    host.prepare();
    let start = host.now;
    while host.fate == Fate::Open {
        host.wait();
    }
    assert_eq!(host.now.since(start), Duration::from_secs(180));
    assert_eq!(host.conn.error(), Some(TcpError::TimedOut));
}

#[test]
fn h058_the_peers_mss_is_bounded_below_and_by_ours() {
    for (option, expected) in
        [(Some(0), 48), (Some(1), 48), (Some(8), 48), (Some(65_535), 1460), (None, 536), (Some(1000), 1000)]
    {
        for stamps in [false, true] {
            let mut host = Host::connecting(&TcpOptions { timestamps: stamps, ..plain() });
            host.out();
            let timestamps = stamps.then_some(Timestamps { val: 1, ecr: 0 });
            let options = Options { mss: option, timestamps, ..Options::NONE };
            host.accept(&Segment { options, ..seg(IRS, U, SYN | ACK) });
            host.out();
            host.write(&pattern(0, 5000));
            let out = host.out();
            let expected = expected - if stamps && cfg!(feature = "timestamps") { 12 } else { 0 };
            assert_eq!(out[0].payload.len(), expected);
            assert!(out.len() <= 104);
        }
    }
}

// RFC 9293 §3.7.1, MUST-15.
#[cfg(feature = "ipv6")]
#[test]
fn over_ipv6_a_peer_without_the_option_takes_1220_octets() {
    let address = |n| core::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into();
    let tuple = Tuple { local_addr: address(1), remote_addr: address(2), ..tuple() };
    let mut host = Host::new(Conn::connect(tuple, &plain(), buffers(&plain()), 1440));
    host.out();
    host.accept(&seg(IRS, U, SYN | ACK));
    host.out();
    host.write(&pattern(0, 5000));
    assert_eq!(host.out()[0].payload.len(), 1220);
}

#[test]
fn an_mss_option_after_the_handshake_is_ignored() {
    let mut host = Host::established();
    let options = Options { mss: Some(100), ..Options::NONE };
    host.accept(&Segment { options, ..seg(R, U, ACK) });
    assert_eq!(host.conn.mss(), MSS);
}

#[cfg(feature = "window-scale")]
#[test]
fn h059_windows_are_scaled_after_the_handshake_only_and_by_14_at_most() {
    for offered in [Some(3u8), Some(14), Some(15), Some(255), None] {
        let mut host = Host::connecting(&TcpOptions { timestamps: false, rx_buffer: 1 << 20, ..TcpOptions::default() });
        assert_eq!(host.only().options.window_scale, Some(5));
        let options = Options { mss: Some(MSS), window_scale: offered, ..Options::NONE };
        host.accept(&with_window(Segment { options, ..seg(IRS, U, SYN | ACK) }, 1000));
        assert_eq!(host.conn.info().snd_wnd, 1000);
        let ours = host.only().window;
        assert_eq!(ours, if offered.is_some() { 32_768 } else { 65_535 });
        host.accept(&with_window(seg(R, U, ACK), 1000));
        let shift = offered.map_or(0, |s| s.min(14));
        assert_eq!(host.conn.info().snd_wnd, 1000 << shift);
    }
}

#[test]
fn h061_text_that_comes_with_the_third_acknowledgment_is_delivered() {
    let mut host = Host::connecting(&plain());
    host.out();
    host.accept(&text(IRS, 0, SYN, b"early"));
    assert_eq!(host.read_error(), TcpError::WouldBlock);
    assert_eq!(host.only().flags, SYN | ACK);
    host.accept(&text(R, U, ACK | PSH, b"early"));
    assert_eq!(host.conn.state(), State::Established);
    assert_eq!(host.read(), b"early");
    host.accept(&text(R + 5, U, ACK | PSH, b"late"));
    assert_eq!(host.read(), b"late");
}

#[test]
fn text_written_before_the_handshake_leaves_with_its_last_acknowledgment() {
    let mut host = Host::connecting(&plain());
    host.write(b"hello");
    assert_eq!(host.only().payload.len(), 0);
    host.accept(&syn_ack());
    let out = host.only();
    assert_eq!((out.seq, out.ack, out.flags, &out.payload[..]), (U, R, ACK | PSH, &b"hello"[..]));
}

#[test]
fn hard_icmp_errors_end_an_open_and_nothing_more() {
    let mut host = Host::connecting(&plain());
    host.out();
    let verdict = host.conn.on_icmp_error(IcmpError::PortUnreachable, super::link::seq(ISS + 9));
    assert_eq!(verdict.drop, Some(D::IcmpBadSequence));
    let verdict = host.conn.on_icmp_error(IcmpError::Unreachable, super::link::seq(ISS));
    assert_eq!(host.note(verdict).fate, Fate::Open);
    assert_eq!(host.conn.take_soft_error(), Some(SoftError::Unreachable));
    let verdict = host.conn.on_icmp_error(IcmpError::PortUnreachable, super::link::seq(ISS));
    assert_eq!(host.note(verdict).fate, Fate::Closed);
    assert_eq!(host.conn.error(), Some(TcpError::Refused));

    let mut host = Host::established();
    host.write(b"x");
    host.out();
    let verdict = host.conn.on_icmp_error(IcmpError::PortUnreachable, super::link::seq(U));
    assert_eq!(host.note(verdict).fate, Fate::Open);
    assert_eq!(host.conn.take_soft_error(), Some(SoftError::Unreachable));
    host.accept(&seg(R, U + 1, ACK));
    host.survives(R, U + 1);
}

// RFC 5681 §3.1, RFC 6298 §5.7.
#[test]
fn after_a_lost_syn_one_segment_leaves_and_the_time_out_is_three_seconds() {
    for is_lost in [false, true] {
        let mut host = Host::connecting(&plain());
        host.only();
        if is_lost {
            assert_eq!(host.pass(Duration::from_secs(1)).len(), 1);
        }
        host.accept(&syn_ack());
        host.out();
        host.write(&pattern(0, 4 * usize::from(MSS)));
        assert_eq!(host.out().len(), if is_lost { 1 } else { 4 });
        let rto = host.conn.info().rto;
        assert!(if is_lost { rto >= Duration::from_secs(3) } else { rto < Duration::from_secs(1) }, "{rto}");
    }
}
