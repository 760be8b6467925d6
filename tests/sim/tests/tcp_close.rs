//! The ends of connections: close orders, TIME-WAIT, resets, losses while closing.

use ringtap::error::{ConnectError, TcpError};
use ringtap::stack::{Limits, Stack, Storage};
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, State, TcpHandle, TcpOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::Bench;
use ringtap_sim::bench::{P, segments, timed};
use ringtap_sim::packet::{ACK, FIN, RST, SYN, Tcp};
use std::net::{IpAddr, SocketAddr};

const PORT: u16 = 80;

/// A bench with a listener and one accepted connection from P's port 4000; H's next number comes last.
fn served() -> (Bench, ringtap::tcp::ListenerHandle, TcpHandle, u32) {
    let mut bench = Bench::new().with_live_neighbors();
    let listener = bench.listen(PORT, 4, TcpOptions::default());
    let (handle, iss) = bench.accepted(listener, 4000, PORT);
    (bench, listener, handle, iss + 1)
}

fn from_p(seq: u32, ack: u32, flags: u8) -> Tcp {
    Tcp { src: 4000, dst: PORT, seq, ack, flags, window: 65_535, ..Tcp::default() }
}

fn state(bench: &mut Bench, handle: TcpHandle) -> State {
    bench.stack.tcp(handle).unwrap().state()
}

/// H closes, P closes, H rests in TIME-WAIT.
fn closed_first(bench: &mut Bench, handle: TcpHandle, next: u32) {
    bench.stack.tcp(handle).unwrap().close();
    let seen = segments(&bench.poll());
    assert!(matches!(&seen[..], [f] if f.flags == FIN | ACK && f.seq == next), "{seen:?}");
    bench.give_tcp(&from_p(1001, next + 1, ACK));
    let seen = segments(&bench.give_tcp(&from_p(1001, next + 1, FIN | ACK)));
    assert!(matches!(&seen[..], [a] if a.flags == ACK && a.ack == 1002), "{seen:?}");
    assert_eq!((bench.stack.tcp_connections(), bench.stack.tcp_time_waits()), (0, 1));
}

#[test]
fn a_close_before_the_handshake_is_over_sends_the_fin_behind_it() {
    // H097: a simultaneous open whose SYN|ACK is lost, and close() in SYN-RECEIVED.
    let mut bench = Bench::new().with_live_neighbors();
    let (handle, syn) = bench.connect(PORT, TcpOptions::default());
    let theirs = Tcp { src: PORT, dst: syn.src, seq: 9000, flags: SYN, window: 65_535, ..Tcp::default() };
    let seen = segments(&bench.give_tcp(&theirs));
    assert!(seen.iter().all(|s| s.has(SYN | ACK) && s.seq == syn.seq), "{seen:?}");
    assert_eq!(state(&mut bench, handle), State::SynReceived);
    bench.stack.tcp(handle).unwrap().close();
    let again = timed(&bench.pass(Duration::from_millis(3_500)));
    assert!(!again.is_empty(), "the SYN|ACK is repeated");
    assert!(again.iter().all(|(_, s)| !s.has(FIN) || s.seq == syn.seq + 1), "{again:?}");
    assert!(again.iter().any(|(_, s)| s.flags == SYN | ACK && s.seq == syn.seq), "{again:?}");
    // The ACK of the SYN is not one of the FIN.
    let seen = segments(&bench.give_tcp(&Tcp { seq: 9001, ack: syn.seq + 1, flags: ACK, ..theirs.clone() }));
    let fins: Vec<_> = seen.iter().filter(|s| s.has(FIN)).collect();
    assert!(matches!(&fins[..], [f] if f.seq == syn.seq + 1), "{seen:?}");
    assert_eq!(bench.stack.tcp_connections(), 1);
    bench.give_tcp(&Tcp { seq: 9001, ack: syn.seq + 2, flags: FIN | ACK, ..theirs });
    assert_eq!((bench.stack.tcp_connections(), bench.stack.tcp_time_waits()), (0, 1));
    bench.is_well();
}

#[test]
fn unread_text_outlives_last_ack_and_time_wait() {
    // H098.
    let mut buf = [0; 128];
    for we_close_first in [false, true] {
        let (mut bench, _, handle, next) = served();
        if we_close_first {
            bench.stack.tcp(handle).unwrap().shutdown_write().unwrap();
            bench.poll();
            bench.give_tcp(&bench.text(4000, PORT, 1001, next + 1, &[7; 100]));
            bench.give_tcp(&from_p(1101, next + 1, FIN | ACK));
            assert_eq!(bench.stack.tcp_time_waits(), 1);
        } else {
            bench.give_tcp(&bench.text(4000, PORT, 1001, next, &[7; 100]));
            bench.give_tcp(&from_p(1101, next, FIN | ACK));
            bench.stack.tcp(handle).unwrap().shutdown_write().unwrap();
            bench.poll();
            bench.give_tcp(&from_p(1102, next + 1, ACK));
        }
        bench.pass(Duration::from_secs(300));
        assert_eq!(bench.stack.tcp_time_waits(), 0);
        let mut socket = bench.stack.tcp(handle).unwrap();
        assert_eq!(socket.error(), None);
        assert_eq!(socket.read(&mut buf), Ok(100), "we close first: {we_close_first}");
        assert_eq!(socket.read(&mut buf), Ok(0));
        socket.close();
        assert_eq!(bench.stack.tcp_connections(), 0);
        bench.is_well();
    }
}

#[test]
fn what_is_queued_in_close_wait_leaves_with_updates_and_fast_retransmit_and_then_the_fin() {
    // H099, and H104: the handle is gone while 60,000 octets are queued.
    let (mut bench, _, handle, next) = served();
    bench.give_tcp(&Tcp { window: 3_000, ..from_p(1001, next, FIN | ACK) });
    let text: Vec<u8> = (0..60_000u32).map(|n| ((n * 7) >> 3) as u8).collect();
    assert_eq!(bench.stack.tcp(handle).unwrap().write(&text), Ok(text.len()));
    bench.stack.tcp(handle).unwrap().close();
    let mut got: Vec<Option<u8>> = vec![None; text.len()];
    let mut sent = segments(&bench.poll());
    assert!(sent.iter().map(|s| s.payload.len()).sum::<usize>() <= 3_000, "the window holds");
    // The first is lost: a window update, and three duplicates, which are not updates.
    let lost = sent.remove(0);
    assert_eq!(lost.seq, next);
    let ack = |ack: u32| Tcp { window: 60_000, ..from_p(1002, ack, ACK) };
    sent.extend(segments(&bench.give_tcp(&ack(next))));
    for _ in 0..3 {
        sent.extend(segments(&bench.give_tcp(&ack(next))));
    }
    assert!(sent.iter().any(|s| s.seq == next), "the lost one comes again before the RTO: {sent:?}");
    let mut fin = false;
    for _ in 0..300 {
        for s in sent.drain(..) {
            let at = s.seq.wrapping_sub(next) as usize;
            for (n, b) in s.payload.iter().enumerate() {
                got[at + n] = Some(*b);
            }
            fin |= s.has(FIN);
            assert!(!s.has(FIN) || at + s.payload.len() == text.len());
        }
        let whole = got.iter().take_while(|b| b.is_some()).count();
        let edge = next + whole as u32 + u32::from(fin && whole == text.len());
        sent.extend(segments(&bench.give_tcp(&ack(edge))));
        if sent.is_empty() && bench.stack.tcp_connections() == 0 {
            break;
        }
    }
    assert!(fin && got.iter().zip(&text).all(|(a, b)| *a == Some(*b)), "all of it, then the FIN");
    assert_eq!(bench.stack.tcp_connections(), 0);
    assert!(bench.now < Instant::from_secs(1002), "no timer was needed");
    bench.is_well();
}

#[test]
fn fin_wait_2_ends_for_an_orphan_and_lasts_for_a_reader() {
    // H100.
    let (mut bench, _, handle, next) = served();
    bench.stack.tcp(handle).unwrap().close();
    bench.poll();
    bench.give_tcp(&from_p(1001, next + 1, ACK));
    assert_eq!(bench.stack.tcp_connections(), 1);
    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.stack.tcp_connections(), 1);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.stack.tcp_connections(), 0, "the option fin_wait2 says 60 s");
    let seen = segments(&bench.give_tcp(&from_p(1001, next + 1, FIN | ACK)));
    assert!(matches!(&seen[..], [r] if r.has(RST)), "{seen:?}");
    bench.is_well();

    let (mut bench, _, handle, next) = served();
    bench.stack.tcp(handle).unwrap().shutdown_write().unwrap();
    bench.poll();
    bench.give_tcp(&from_p(1001, next + 1, ACK));
    bench.pass(Duration::from_secs(100_000));
    assert_eq!(state(&mut bench, handle), State::FinWait2);
    bench.give_tcp(&bench.text(4000, PORT, 1001, next + 1, b"slow answer"));
    assert_eq!(bench.stack.tcp(handle).unwrap().read(&mut [0; 32]), Ok(11));
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    bench.is_well();
}

#[test]
fn time_wait_lasts_answers_the_fin_ignores_resets_and_yields_to_a_newer_syn() {
    // H101.
    let (mut bench, listener, handle, next) = served();
    closed_first(&mut bench, handle, next);
    bench.pass(Duration::from_secs(50));
    let seen = segments(&bench.give_tcp(&from_p(1001, next + 1, FIN | ACK)));
    assert!(matches!(&seen[..], [a] if a.flags == ACK && a.ack == 1002 && a.seq == next + 1), "{seen:?}");
    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.stack.tcp_time_waits(), 1, "the FIN has started it again");
    for flags in [RST, RST | ACK] {
        assert_eq!(bench.give_tcp(&from_p(1002, next + 1, flags)), []);
    }
    let seen = segments(&bench.give_tcp(&from_p(900, 0, SYN)));
    assert!(matches!(&seen[..], [a] if a.flags == ACK && a.ack == 1002), "an old SYN: {seen:?}");
    assert_eq!(bench.stack.tcp_time_waits(), 1);
    let seen = segments(&bench.give_tcp(&from_p(50_000, 0, SYN)));
    let [answer] = &seen[..] else { panic!("{seen:?}") };
    assert!(answer.flags == SYN | ACK && answer.ack == 50_001, "{answer:?}");
    assert!(answer.seq.wrapping_sub(next + 1) as i32 > 0, "the ISN is beyond the old connection");
    bench.give_tcp(&from_p(50_001, answer.seq + 1, ACK));
    let (handle, _) = bench.stack.tcp_accept(listener).unwrap();
    assert_eq!((bench.stack.tcp_connections(), bench.stack.tcp_time_waits()), (1, 0));
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();

    let (mut bench, _, handle, next) = served();
    closed_first(&mut bench, handle, next);
    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.stack.tcp_time_waits(), 1);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.stack.tcp_time_waits(), 0);
    bench.is_well();
}

#[test]
fn a_connection_after_time_wait_begins_behind_a_predecessor_that_outran_the_clock() {
    // H101: a megabyte in no time, where the clock of initial sequence numbers makes 250,000 in a second.
    let (mut bench, _, handle, start) = served();
    let mut next = start;
    while next.wrapping_sub(start) < 1_000_000 {
        let _ = bench.stack.tcp(handle).unwrap().write(&[1; 60_000]);
        let mut sent = segments(&bench.poll());
        while let Some(last) = sent.last() {
            next = last.seq.wrapping_add(last.payload.len() as u32);
            sent = segments(&bench.give_tcp(&from_p(1001, next, ACK)));
        }
    }
    closed_first(&mut bench, handle, next);
    bench.now += Duration::from_secs(1);
    let seen = segments(&bench.give_tcp(&from_p(50_000, 0, SYN)));
    let [answer] = &seen[..] else { panic!("{seen:?}") };
    assert!(answer.flags == SYN | ACK && answer.seq.wrapping_sub(next + 1) as i32 > 0, "{answer:?} after {next}");
}

/// A connection that H has opened, sent `text` octets by and closed, with time stamps of P's or without: its SYN, and the
/// last segment.
fn rested(bench: &mut Bench, stamps: bool, text: usize) -> (Tcp, Tcp) {
    let (handle, syn) = bench.connect(PORT, TcpOptions::default());
    let echo = syn.option(8).expect("time stamps are offered");
    let options = if stamps { [&[1, 1, 8, 10, 0, 0, 9, 9][..], &echo[..4]].concat() } else { Vec::new() };
    let reply =
        |bench: &Bench, seq, flags, ack| Tcp { seq, flags, options: options.clone(), ..bench.reply_to(&syn, ack) };
    let mut ack = syn.seq.wrapping_add(1);
    let answer = reply(bench, 5000, SYN | ACK, ack);
    bench.give_tcp(&Tcp { options: [&options[..], &[2, 4, 5, 180]].concat(), ..answer });
    let mut left = vec![7; text];
    while !left.is_empty() {
        let taken = bench.stack.tcp(handle).unwrap().write(&left).unwrap_or(0);
        left.drain(..taken);
        let mut sent = segments(&bench.poll());
        while let Some(last) = sent.last() {
            ack = last.seq.wrapping_add(last.payload.len() as u32);
            let segment = reply(bench, 5001, ACK, ack);
            sent = segments(&bench.give_tcp(&segment));
        }
    }
    bench.stack.tcp(handle).unwrap().close();
    bench.poll();
    let fin = reply(bench, 5001, FIN | ACK, ack.wrapping_add(1));
    let last = segments(&bench.give_tcp(&fin)).pop().expect("the last acknowledgment");
    assert_eq!(bench.stack.tcp_time_waits(), 1);
    (syn, last)
}

// H102. RFC 6191's reasons, turned round: what the peer may refuse by time stamp and number cannot be mistaken.
#[test]
fn a_second_later_time_stamps_let_a_four_tuple_in_time_wait_be_opened_again() {
    let remote = SocketAddr::new(IpAddr::V4(P), PORT);
    let value = |tcp: &Tcp| tcp.option(8).map(|o| u32::from_be_bytes([o[0], o[1], o[2], o[3]]));
    for (stamps, offer, text, wait, may) in [
        (true, true, 100, 1100, true),
        (true, true, 100, 900, false),
        (false, true, 100, 1100, false),
        (true, false, 100, 1100, false),
        // More text than the clock of initial sequence numbers has gone on.
        (true, true, 300_000, 1100, false),
    ] {
        let mut bench = Bench::new().with_live_neighbors();
        let (syn, last) = rested(&mut bench, stamps, text);
        bench.pass(Duration::from_millis(wait));
        bench.poll();
        let tcp = TcpOptions { timestamps: offer, ..TcpOptions::default() };
        let again = ConnectOptions { local_port: syn.src, tcp, ..ConnectOptions::default() };
        let opened = bench.stack.tcp_connect(remote, &again);
        assert_eq!(opened.is_ok(), may, "{stamps} {offer} {text} {wait}: {opened:?}");
        assert_eq!(bench.stack.tcp_time_waits(), usize::from(!may));
        if may {
            let first = segments(&bench.poll()).pop().expect("a SYN");
            assert!(first.has(SYN) && first.seq.wrapping_sub(last.seq) < 1 << 31, "its number is newer");
            assert!(value(&first) > value(&last), "and its time stamp");
            let answer = Tcp {
                seq: 9_000,
                flags: SYN | ACK,
                options: vec![1, 1, 8, 10, 0, 0, 99, 9, 0, 0, 0, 0],
                ..bench.reply_to(&first, first.seq + 1)
            };
            bench.give_tcp(&answer);
            assert_eq!(bench.stack.tcp(opened.unwrap()).unwrap().state(), State::Established);
        } else {
            assert_eq!(opened.err(), Some(ConnectError::InUse));
        }
    }
}

#[test]
fn a_four_tuple_in_time_wait_is_not_opened_again_and_is_evicted_only_by_a_full_table() {
    // H102.
    let mut bench = Bench::new().with_live_neighbors();
    let close = |bench: &mut Bench, handle: TcpHandle, syn: &Tcp| {
        bench.stack.tcp(handle).unwrap().close();
        bench.poll();
        let fin = Tcp { seq: 5001, flags: FIN | ACK, ..bench.reply_to(syn, syn.seq + 2) };
        bench.give_tcp(&fin);
    };
    let (handle, syn) = bench.connected(PORT, TcpOptions::default());
    close(&mut bench, handle, &syn);
    assert_eq!(bench.stack.tcp_time_waits(), 1);
    let remote = SocketAddr::new(IpAddr::V4(P), PORT);
    let again = ConnectOptions { local_port: syn.src, ..ConnectOptions::default() };
    assert_eq!(bench.stack.tcp_connect(remote, &again).err(), Some(ConnectError::InUse));
    assert_eq!(bench.poll(), []);
    bench.pass(Duration::from_secs(61));
    let handle = bench.stack.tcp_connect(remote, &again).expect("free again");
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();

    // A table of three.
    let mut bench = Bench::with(64, |_| {}).with_live_neighbors();
    let config = ringtap::config::Config::new(ringtap::rng::Secret::new([9; 16]));
    let mut stack = Stack::new(config, Storage::growing(Limits { time_wait: 3, ..Limits::default() }));
    let iface = stack.add_interface(&bench.nic, ringtap::device::Mac(ringtap_sim::bench::H_MAC)).unwrap();
    let cidr = ringtap::ip::addr::Cidr::new(IpAddr::V4(ringtap_sim::bench::H), 24).unwrap();
    stack.add_address(iface, cidr).unwrap();
    (bench.stack, bench.iface) = (stack, iface);
    bench.poll();
    bench = bench.with_live_neighbors();
    let mut syns = Vec::new();
    for _ in 0..5 {
        let (handle, syn) = bench.connected(PORT, TcpOptions::default());
        close(&mut bench, handle, &syn);
        syns.push(syn);
        bench.now += Duration::from_secs(1);
    }
    assert_eq!((bench.stack.tcp_time_waits(), bench.dropped(DropReason::TimeWaitEvicted)), (3, 2));
    for (n, syn) in syns.iter().enumerate() {
        let fin = Tcp { seq: 5001, flags: FIN | ACK, ..bench.reply_to(syn, syn.seq + 2) };
        let seen = segments(&bench.give_tcp(&fin));
        let wanted = if n < 2 { RST } else { ACK };
        assert!(matches!(&seen[..], [a] if a.flags == wanted), "the oldest two went: {n} {seen:?}");
    }
    bench.is_well();
}

#[test]
fn unread_or_late_text_is_answered_by_a_reset() {
    // H103.
    let (mut bench, _, handle, next) = served();
    bench.give_tcp(&bench.text(4000, PORT, 1001, next, b"unread"));
    bench.stack.tcp(handle).unwrap().close();
    let seen = segments(&bench.poll());
    assert!(seen.iter().any(|s| s.has(RST) && s.seq == next), "{seen:?}");
    assert_eq!(bench.stack.tcp_connections(), 0);
    bench.is_well();

    let (mut bench, _, handle, next) = served();
    bench.stack.tcp(handle).unwrap().close();
    bench.poll();
    bench.give_tcp(&from_p(1001, next + 1, ACK));
    let seen = segments(&bench.give_tcp(&bench.text(4000, PORT, 1001, next + 1, b"late")));
    assert!(seen.iter().any(|s| s.has(RST)), "{seen:?}");
    assert_eq!(bench.stack.tcp_connections(), 0);
    bench.is_well();
}

#[test]
fn an_orphan_whose_peer_is_gone_is_freed_after_linger() {
    // H104.
    let (mut bench, _, handle, _) = served();
    assert_eq!(bench.stack.tcp(handle).unwrap().write(&[1; 60_000]), Ok(60_000));
    bench.stack.tcp(handle).unwrap().close();
    bench.pass(Duration::from_secs(118));
    assert_eq!(bench.stack.tcp_connections(), 1);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.stack.tcp_connections(), 0, "the option linger says 120 s");
    bench.is_well();
}

#[test]
fn bare_acks_carry_the_highest_number_sent_even_while_text_is_sent_again() {
    // H087: our five segments arrived, P's ACK is lost; P's text arrives, our ACK is lost.
    let (mut bench, _, handle, next) = served();
    assert_eq!(bench.stack.tcp(handle).unwrap().write(&[1; 5 * 1460]), Ok(5 * 1460));
    let sent = segments(&bench.poll());
    assert_eq!(sent.iter().map(|s| s.payload.len()).sum::<usize>(), 5 * 1460);
    let highest = next + 5 * 1460;
    for n in 0..5 {
        bench.give_tcp(&bench.text(4000, PORT, 1001 + n * 100, next, &[2; 100]));
    }
    let mut pure = 0;
    for round in 0..4 {
        // P's RTO: its first segment again; ours: the deadline.
        let mut seen = timed(&bench.pass(Duration::from_millis(300)));
        let again = segments(&bench.give_tcp(&bench.text(4000, PORT, 1001, next, &[2; 100])));
        seen.extend(again.into_iter().map(|s| (bench.now, s)));
        for (_, s) in &seen {
            if s.payload.is_empty() {
                pure += 1;
                assert_eq!(s.seq, highest, "round {round}");
            }
            assert_eq!(s.ack, 1501);
        }
    }
    assert!(pure >= 4, "{pure}");
    assert!(bench.stack.stats().tcp_retransmits > 0);
    bench.give_tcp(&from_p(1501, highest, ACK));
    assert_eq!(bench.stack.tcp(handle).unwrap().unacknowledged(), 0);
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    bench.is_well();
}

#[test]
fn a_peer_that_vanishes_is_given_up_after_a_notice_and_two_minutes() {
    // H088.
    let (mut bench, _, handle, _) = served();
    while bench.stack.next_event().is_some() {}
    let start = bench.now;
    assert_eq!(bench.stack.tcp(handle).unwrap().write(b"anybody?"), Ok(8));
    let mut noticed = None;
    let mut sent = Vec::new();
    while bench.stack.tcp(handle).unwrap().error().is_none() {
        assert!(bench.now.since(start) < Duration::from_secs(200), "never for ever");
        sent.extend(timed(&bench.pass(Duration::from_millis(100))));
        while let Some(event) = bench.stack.next_event() {
            if event.what.any(ringtap::event::Readiness::ERROR) {
                noticed = noticed.or(Some(sent.len()));
            }
        }
    }
    assert_eq!(bench.stack.tcp(handle).unwrap().error(), Some(TcpError::TimedOut));
    assert!(bench.now.since(start) >= Duration::from_secs(100), "R2");
    assert!(noticed.is_some_and(|n| n >= 4), "R1 after three repeats at least: {noticed:?}");
    let texts: Vec<_> = sent.iter().filter(|(_, s)| !s.has(RST)).map(|(t, _)| *t).collect();
    let gaps: Vec<_> = texts.windows(2).map(|w| w[1].since(w[0]).as_millis()).collect();
    assert!(gaps.windows(2).all(|g| g[1] >= g[0] * 19 / 10 || g[1] >= 59_000), "doubling: {gaps:?}");
    bench.stack.tcp(handle).unwrap().close();
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.stack.tcp_connections(), 0);
    bench.is_well();
}

#[test]
fn an_acknowledgment_that_finds_the_device_full_leaves_when_there_is_room() {
    // H089: for out-of-order text, then for the text that fills the hole. (The empty pool: see resources.rs.)
    let (mut bench, _, handle, next) = served();
    for (seq, acked) in [(1101, 1001), (1001, 1201)] {
        bench.nic.tx_room = 0;
        assert_eq!(bench.give_tcp(&bench.text(4000, PORT, seq, next, &[3; 100])), []);
        assert_eq!(bench.pass(Duration::from_millis(500)), []);
        bench.nic.tx_room = usize::MAX;
        let seen = timed(&bench.pass(Duration::from_millis(20)));
        assert!(seen.iter().any(|(_, a)| a.flags == ACK && a.ack == acked), "{acked}: {seen:?}");
    }
    assert_eq!(bench.stack.tcp(handle).unwrap().read(&mut [0; 512]), Ok(200));
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    bench.is_well();
}

#[test]
fn of_orphans_there_are_no_more_than_configured_and_one_more_is_reset_and_counted() {
    let mut bench = Bench::with(64, |config| config.orphans = 2).with_live_neighbors();
    let listener = bench.listen(PORT, 8, TcpOptions::default());
    let handles: Vec<_> = (0..5).map(|n| bench.accepted(listener, 5000 + n, PORT).0).collect();
    let mut resets = 0;
    for handle in &handles[..4] {
        assert_eq!(bench.stack.tcp(*handle).unwrap().write(b"to be delivered"), Ok(15));
        bench.stack.tcp(*handle).unwrap().close();
        resets += segments(&bench.poll()).iter().filter(|s| s.has(RST)).count();
    }
    assert_eq!((resets, bench.stack.stats().tcp_orphans_reset), (2, 2));
    assert_eq!(bench.stack.tcp_connections(), 3, "two deliver, one is its user's");
    // Once they are gone, there is room for others.
    bench.pass(Duration::from_secs(130));
    assert_eq!(bench.stack.tcp_connections(), 1);
    bench.stack.tcp(handles[4]).unwrap().close();
    assert!(segments(&bench.poll()).iter().all(|s| s.has(FIN) && !s.has(RST)));
    assert_eq!(bench.stack.stats().tcp_orphans_reset, 2);
    bench.pass(Duration::from_secs(130));
    assert_eq!(bench.stack.tcp_connections(), 0);
    bench.is_well();
}
