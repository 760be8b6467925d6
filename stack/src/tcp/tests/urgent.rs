//! The urgent mechanism: RFC 9293 §3.8.5, RFC 6093.

use super::harness::*;
use crate::error::TcpError;
use crate::event::Readiness;
use crate::tcp::options::TcpOptions;
use crate::wire::segment::Segment;

fn is_told(host: &mut Host) -> bool {
    let told = host.events.any(Readiness::URGENT);
    host.events = Readiness::NONE;
    told
}

fn urgent(seq: u32, pointer: u16, payload: &[u8]) -> Segment<'_> {
    Segment { urgent: pointer, ..text(seq, U, ACK | URG, payload) }
}

#[test]
fn the_user_is_told_when_urgent_text_is_ahead_and_when_its_end_moves_on_but_not_twice_of_the_same() {
    let mut host = Host::established();
    host.accept(&urgent(R, 3, b"abcdef"));
    assert!(is_told(&mut host));
    assert_eq!(host.conn.urgent(), 3);
    host.accept(&urgent(R + 3, 0, b"defg"));
    assert!(!is_told(&mut host));
    host.accept(&urgent(R + 6, 100, b"gh"));
    assert!(is_told(&mut host));
    assert_eq!(host.conn.urgent(), 106);
    host.accept(&urgent(R + 8, 2, b""));
    assert!(!is_told(&mut host), "the end does not move back");
    assert_eq!(host.conn.urgent(), 106);
}

#[test]
fn how_much_urgent_text_is_left_follows_the_reader_octet_by_octet() {
    let mut host = Host::established();
    host.accept(&urgent(R, 5, b"abc"));
    let mut left = 5;
    for _ in 0..3 {
        assert_eq!(host.conn.urgent(), left);
        assert_eq!(host.conn.read(&mut [0]), Ok(1));
        left -= 1;
    }
    assert_eq!((left, host.conn.urgent()), (2, 2), "two have not come yet");
    is_told(&mut host);
    host.accept(&text(R + 3, U, ACK, b"defg"));
    assert!(!is_told(&mut host));
    assert_eq!(host.conn.read_with(|text| (2, text.len())), Ok(4));
    assert_eq!(host.conn.urgent(), 0, "at the mark");
    assert_eq!(host.read(), b"fg");
    // What was read is not urgent any more.
    host.accept(&urgent(R + 7, 0, b""));
    assert!(!is_told(&mut host));
}

#[test]
fn urgent_text_of_any_length_is_told_as_it_comes() {
    let mut host = Host::established();
    let data = pattern(0, 1000);
    for i in 0..200u32 {
        host.accept(&urgent(R + 1000 * i, u16::MAX, &data));
        assert!(is_told(&mut host));
        assert_eq!(host.conn.urgent(), 65_535);
        assert_eq!(host.read().len(), 1000);
        host.out();
    }
    for i in 0..65u32 {
        assert!(host.conn.urgent() > 0, "{i}");
        host.accept(&text(R + 200_000 + 1000 * i, U, ACK, &data));
        host.read();
        host.out();
    }
    assert_eq!(host.conn.urgent(), 0, "the last pointer was 64,535 octets ahead");
}

#[test]
fn a_closed_window_lets_the_urgent_pointer_in_and_the_end_of_the_stream_bounds_it() {
    let mut host = Host::established_with(&TcpOptions { rx_buffer: 4, ..plain() });
    host.accept(&text(R, U, ACK, b"full"));
    host.out();
    host.accept(&urgent(R + 4, 9, b"refused"));
    assert!(is_told(&mut host));
    assert_eq!(host.conn.urgent(), 4 + 9);
    assert_eq!(host.read(), b"full");
    host.out();
    host.accept(&text(R + 4, U, ACK | FIN, b"end"));
    assert_eq!(host.conn.urgent(), 3, "the rest will never come");
    assert_eq!(host.read(), b"end");
    assert!(host.at_eof());
    assert_eq!(host.conn.urgent(), 0);
    host.accept(&urgent(R + 8, 9, b""));
    assert!(!is_told(&mut host), "behind the FIN nothing is urgent");
}

#[test]
fn what_is_written_as_urgent_is_pointed_to_until_it_is_acknowledged() {
    let mut host = Host::established();
    assert_eq!(Host::connecting(&plain()).conn.write_urgent(b"x"), Err(TcpError::WouldBlock));
    host.write(b"before ");
    assert_eq!(host.conn.write_urgent(b"now"), Ok(3));
    host.write(b" and after");
    let out = host.only();
    assert_eq!((out.flags, out.urgent, &out.payload[..]), (ACK | PSH | URG, 10, &b"before now and after"[..]));
    host.write(b"!");
    assert_eq!(host.only().urgent, 0, "it begins behind the urgent text");
    host.accept(&seg(R, U + 9, ACK));
    host.wait();
    let again = host.out();
    assert_eq!((again[0].seq, again[0].urgent), (U + 9, 1), "one octet of it is not acknowledged");
    host.accept(&seg(R, U + 21, ACK));
    host.write(b"calm");
    let out = host.only();
    assert!(!out.flags.contains(URG));
}

#[test]
fn into_a_closed_window_the_pointer_goes_alone_and_a_far_one_when_it_is_near() {
    let mut host = Host::established();
    host.accept(&with_window(seg(R, U, ACK), 0));
    assert_eq!(host.conn.write_urgent(b"open up"), Ok(7));
    let out = host.only();
    assert_eq!((out.flags, out.urgent, out.payload.len()), (ACK | URG, 7, 0));

    let mut host = Host::established_with(&TcpOptions { tx_buffer: 100_000, ..plain() });
    assert_eq!(host.conn.write_urgent(&pattern(0, 100_000)), Ok(100_000));
    let (mut at, mut pointed) = (0u32, 0);
    while at < 100_000 {
        for out in host.out() {
            let ahead = U + 100_000 - out.seq;
            assert_eq!(out.flags.contains(URG), ahead > 0 && ahead <= 65_535);
            assert_eq!(u32::from(out.urgent), if out.flags.contains(URG) { ahead } else { 0 });
            pointed += u32::from(out.flags.contains(URG));
            at = (out.seq - U) + out.payload.len() as u32;
        }
        host.accept(&seg(R, U + at, ACK));
    }
    assert!(pointed > 40, "{pointed}");
}
