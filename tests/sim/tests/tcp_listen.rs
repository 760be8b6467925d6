//! Listeners against peers that lie, vanish, come in crowds, or find nobody at home.

use ringtap::error::AcceptError;
use ringtap::stats::DropReason;
use ringtap::tcp::TcpOptions;
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{ALL, H, H_MAC, P, P_MAC, R_MAC, segments, timed};
use ringtap_sim::packet::{self, ACK, FIN, Ip, PSH, RST, SYN, Seen, Tcp};
use std::net::Ipv4Addr;

const PORT: u16 = 80;

fn syn(from: u16) -> Tcp {
    Tcp { src: from, dst: PORT, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() }
}

fn give(bench: &mut Bench, src: Ipv4Addr, dst: Ipv4Addr, segment: &Tcp) -> Vec<Seen> {
    bench.give_ip(&Ip::new(src, dst, 6), &segment.build(src, dst))
}

/// An echo over a new connection.
fn echo_works(bench: &mut Bench, listener: ringtap::tcp::ListenerHandle, from: u16) {
    let (handle, iss) = bench.accepted(listener, from, PORT);
    let seen = bench.give_tcp(&bench.text(from, PORT, 1001, iss + 1, b"hello"));
    assert!(segments(&seen).iter().all(|s| s.payload.is_empty()));
    let mut buf = [0; 16];
    assert_eq!(bench.stack.tcp(handle).unwrap().read(&mut buf), Ok(5));
    assert_eq!(bench.stack.tcp(handle).unwrap().write(&buf[..5]), Ok(5));
    let seen = segments(&bench.poll());
    assert!(matches!(&seen[..], [s] if s.payload == b"hello" && s.ack == 1006), "{seen:?}");
    bench.stack.tcp(handle).unwrap().abort();
    let seen = segments(&bench.poll());
    assert!(matches!(&seen[..], [s] if s.has(RST)), "{seen:?}");
}

#[test]
fn segments_to_a_closed_port_are_answered_by_the_reset_of_rfc_9293() {
    // H056.
    let mut bench = Bench::new().with_live_neighbors();
    let with_text = Tcp { payload: vec![7; 10], ..syn(4000) };
    let seen = segments(&bench.give_tcp(&with_text));
    assert!(matches!(&seen[..], [r] if r.flags == RST | ACK && r.seq == 0 && r.ack == 1011), "{seen:?}");
    let with_fin = Tcp { flags: SYN | FIN, payload: vec![7; 10], ..syn(4000) };
    let seen = segments(&bench.give_tcp(&with_fin));
    assert!(matches!(&seen[..], [r] if r.flags == RST | ACK && r.seq == 0 && r.ack == 1012), "{seen:?}");
    let acked = Tcp { flags: ACK, ack: 0xdead_beef, payload: vec![1; 3], ..syn(4000) };
    let seen = segments(&bench.give_tcp(&acked));
    assert!(matches!(&seen[..], [r] if r.flags == RST && r.seq == 0xdead_beef), "{seen:?}");
    for flags in [RST, RST | ACK, RST | SYN] {
        assert_eq!(bench.give_tcp(&Tcp { flags, ..syn(4000) }), [], "a reset is never answered");
    }
    bench.is_well();
}

#[test]
fn data_that_comes_in_place_of_the_lost_third_ack_establishes_and_is_delivered_once() {
    // H061.
    let mut bench = Bench::new().with_live_neighbors();
    let listener = bench.listen(PORT, 4, TcpOptions::default());
    // Text on the SYN must not be delivered before the handshake, nor twice.
    let seen = segments(&bench.give_tcp(&Tcp { payload: b"early".to_vec(), ..syn(4000) }));
    let [answer] = &seen[..] else { panic!("{seen:?}") };
    assert!(answer.ack == 1001 || answer.ack == 1006, "the text is taken or left: {answer:?}");
    assert_eq!(bench.stack.tcp_accept(listener).err(), Some(AcceptError::WouldBlock));
    bench.give_tcp(&bench.text(4000, PORT, 1001, answer.seq + 1, b"early, and late"));
    let (handle, _) = bench.stack.tcp_accept(listener).unwrap();
    let mut buf = [0; 64];
    let n = bench.stack.tcp(handle).unwrap().read(&mut buf).unwrap();
    assert_eq!(&buf[..n], b"early, and late");
    bench.give_tcp(&bench.text(4000, PORT, 1001, answer.seq + 1, b"early, and late"));
    assert!(!bench.stack.tcp(handle).unwrap().readable(), "once");
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    bench.is_well();
}

#[test]
fn segments_to_groups_and_from_impossible_addresses_leave_no_trace() {
    // H105 and H076.
    let mut bench = Bench::new().with_live_neighbors();
    let listener = bench.listen(PORT, 2, TcpOptions::default());
    let any = |a, b, c, d| Ipv4Addr::new(a, b, c, d);
    let groups = [any(192, 0, 2, 255), any(255, 255, 255, 255), any(224, 0, 0, 1)];
    for dst in groups {
        for flags in [SYN, ACK, FIN, SYN | ACK, PSH | ACK, 0] {
            for port in [PORT, 81] {
                let segment = Tcp { flags, dst: port, ..syn(4000) };
                assert_eq!(give(&mut bench, P, dst, &segment), [], "to {dst}, flags {flags}");
                let frame = packet::ethernet(ALL, P_MAC, 0x0800, &Ip::new(P, dst, 6).build(&segment.build(P, dst)));
                assert_eq!(bench.give(frame), []);
            }
        }
    }
    let sources =
        [any(192, 0, 2, 255), any(255, 255, 255, 255), any(224, 0, 0, 1), any(127, 0, 0, 1), any(0, 0, 0, 0), H];
    for src in sources {
        assert_eq!(give(&mut bench, src, H, &syn(4000)), [], "from {src}");
        assert_eq!(give(&mut bench, src, H, &Tcp { src: PORT, ..syn(PORT) }), [], "LAND from {src}");
        assert_eq!(give(&mut bench, src, H, &Tcp { dst: 81, ..syn(4000) }), [], "to a closed port from {src}");
    }
    assert_eq!(bench.stack.next_deadline().filter(|&t| t < bench.now + Duration::from_secs(5)), None, "no half-open");
    echo_works(&mut bench, listener, 4000);
    bench.is_well();
}

#[test]
fn a_flood_of_spoofed_syns_neither_grows_nor_keeps_a_real_client_out() {
    // H106. Both from sources on the link, which ARP never resolves, and from sources behind the router.
    for on_link in [false, true] {
        let mut bench = Bench::new().with_live_neighbors();
        let listener = bench.listen(PORT, 8, TcpOptions::default());
        let (old, old_iss) = bench.accepted(listener, 3999, PORT);
        let mut answers = 0;
        let mut connected = None;
        for tick in 0u32..30_000 {
            // 10 SYNs a millisecond: 10,000 a second, for 30 seconds.
            for n in 0..10 {
                let k = tick * 10 + n;
                let src = match on_link {
                    true => Ipv4Addr::new(192, 0, 2, (3 + k % 240) as u8),
                    false => Ipv4Addr::from(0xcb00_7100 + k),
                };
                let segment = Tcp { src: (5000 + k % 50_000) as u16, seq: k, ..syn(1) };
                let packet = Ip::new(src, H, 6).build(&segment.build(src, H));
                bench.nic.rx.push_back(packet::ethernet(H_MAC, R_MAC, 0x0800, &packet));
            }
            if tick == 500 {
                bench.nic.rx.push_back(packet::ethernet(
                    H_MAC,
                    P_MAC,
                    0x0800,
                    &Ip::new(P, H, 6).build(&syn(4000).build(P, H)),
                ));
            }
            for answer in segments(&bench.poll()) {
                answers += 1;
                if answer.dst == 4000 && answer.flags == SYN | ACK && connected.is_none() {
                    connected = Some(answer.seq);
                }
            }
            if tick == 600 {
                let iss = connected.expect("a SYN|ACK among all those");
                bench.give_tcp(&bench.text(4000, PORT, 1001, iss + 1, b"real"));
            }
            bench.now += Duration::from_millis(1);
            assert!(bench.frames_in_use() <= 32, "{} frames in use", bench.frames_in_use());
        }
        let (handle, peer) = bench.stack.tcp_accept(listener).expect("the real client");
        assert_eq!(peer.port(), 4000);
        let mut buf = [0; 8];
        assert_eq!(bench.stack.tcp(handle).unwrap().read(&mut buf), Ok(4));
        assert_eq!(bench.stack.tcp_connections(), 2, "SYNs have made no connections");
        bench.give_tcp(&bench.text(3999, PORT, 1001, old_iss + 1, b"still"));
        assert_eq!(bench.stack.tcp(old).unwrap().read(&mut buf), Ok(5), "the old one is untouched");
        let repeats = timed(&bench.pass(Duration::from_secs(100))).len();
        assert!(repeats < 8 * 6 + 8, "{repeats} repeats after the flood");
        assert!(answers <= 300_000 + 200, "{answers} answers to 300,000 SYNs");
        for handle in [handle, old] {
            bench.stack.tcp(handle).unwrap().abort();
        }
        bench.poll();
        bench.is_well();
    }
}

#[test]
fn a_handshake_never_finished_is_repeated_with_back_off_and_forgotten() {
    // H107.
    let mut bench = Bench::new().with_live_neighbors();
    let listener = bench.listen(PORT, 4, TcpOptions::default());
    let start = bench.now;
    let first = segments(&bench.give_tcp(&syn(4000)));
    assert_eq!(first.len(), 1);
    let mut again = timed(&bench.pass(Duration::from_secs(10)));
    echo_works(&mut bench, listener, 4001);
    again.extend(timed(&bench.pass(Duration::from_secs(300))));
    let at: Vec<_> = again.iter().map(|(t, _)| t.since(start).as_secs()).collect();
    assert_eq!(at, [1, 3, 7, 15, 31, 63, 123], "doubling up to a minute, and an end");
    assert!(again.iter().all(|(_, s)| s.flags == SYN | ACK && s.seq == first[0].seq));
    // The entry is gone: its ACK is now nobody's.
    let seen = segments(&bench.give_tcp(&Tcp { flags: ACK, seq: 1001, ack: first[0].seq + 1, ..syn(4000) }));
    assert!(matches!(&seen[..], [r] if r.flags == RST), "{seen:?}");
    bench.is_well();
}

#[test]
fn a_client_that_finds_the_accept_queue_full_is_not_reset_and_works_after_accept() {
    // H108.
    let mut bench = Bench::new().with_live_neighbors();
    let listener = bench.listen(PORT, 2, TcpOptions::default());
    bench.open(4000, PORT);
    bench.open(4001, PORT);
    let iss = bench.open(4002, PORT);
    assert_eq!(bench.dropped(DropReason::TcpAcceptQueueFull), 1);
    // The client believes in its connection and sends.
    let seen = segments(&bench.give_tcp(&bench.text(4002, PORT, 1001, iss + 1, b"first words")));
    assert!(seen.iter().all(|s| !s.has(RST)), "{seen:?}");
    assert_eq!(bench.stack.tcp_connections(), 2);
    let mut handles = vec![bench.stack.tcp_accept(listener).unwrap().0];
    // It hears the SYN|ACK again, and answers it; its text comes again as well.
    let again = timed(&bench.pass(Duration::from_secs(3)));
    assert!(again.iter().any(|(_, s)| s.flags == SYN | ACK && s.seq == iss), "{again:?}");
    let seen = segments(&bench.give_tcp(&Tcp { flags: ACK, seq: 1001, ack: iss + 1, ..syn(4002) }));
    assert!(seen.iter().all(|s| !s.has(RST)), "{seen:?}");
    bench.give_tcp(&bench.text(4002, PORT, 1001, iss + 1, b"first words"));
    handles.push(bench.stack.tcp_accept(listener).unwrap().0);
    let (third, peer) = bench.stack.tcp_accept(listener).unwrap();
    assert_eq!(peer.port(), 4002);
    let mut buf = [0; 32];
    let n = bench.stack.tcp(third).unwrap().read(&mut buf).unwrap();
    assert_eq!(&buf[..n], b"first words");
    handles.push(third);
    for handle in handles {
        bench.stack.tcp(handle).unwrap().abort();
    }
    bench.poll();
    bench.is_well();
}

#[test]
fn a_repeated_syn_makes_neither_a_second_queue_entry_nor_a_second_socket() {
    // H109, and H055 at the level of the whole stack.
    let mut bench = Bench::new().with_live_neighbors();
    let listener = bench.listen(PORT, 8, TcpOptions::default());
    let mut numbers = Vec::new();
    for _ in 0..100 {
        numbers.extend(segments(&bench.give_tcp(&syn(4000))).iter().map(|s| s.seq));
        bench.now += Duration::from_millis(5);
    }
    numbers.dedup();
    let [iss] = numbers[..] else { panic!("one ISS: {numbers:?}") };
    for wrong in [iss, iss.wrapping_add(2)] {
        let seen = segments(&bench.give_tcp(&Tcp { flags: ACK, seq: 1001, ack: wrong, ..syn(4000) }));
        assert!(matches!(&seen[..], [r] if r.flags == RST && r.seq == wrong), "{seen:?}");
    }
    bench.give_tcp(&Tcp { flags: ACK, seq: 1001, ack: iss + 1, ..syn(4000) });
    for _ in 0..20 {
        let seen = segments(&bench.give_tcp(&syn(4000)));
        assert!(seen.iter().all(|s| s.flags == ACK && s.seq == iss + 1 && s.ack == 1001), "{seen:?}");
        bench.now += Duration::from_millis(200);
    }
    assert_eq!(bench.stack.tcp_connections(), 1);
    let (handle, _) = bench.stack.tcp_accept(listener).unwrap();
    assert_eq!(bench.stack.tcp_accept(listener).err(), Some(AcceptError::WouldBlock));
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    bench.is_well();
}

#[test]
fn a_connection_reset_before_accept_gives_its_place_back() {
    // H110.
    let mut bench = Bench::new().with_live_neighbors();
    let listener = bench.listen(PORT, 2, TcpOptions::default());
    for round in 0..10 {
        bench.open(4000 + round, PORT);
        assert!(bench.stack.tcp_acceptable(listener));
        assert_eq!(bench.give_tcp(&Tcp { flags: RST, seq: 1001, ..syn(4000 + round) }), []);
        assert_eq!(bench.stack.tcp_connections(), 0);
        assert_eq!(bench.stack.tcp_accept(listener).err(), Some(AcceptError::WouldBlock));
    }
    // One of two, the older: the other is still there.
    bench.open(5000, PORT);
    bench.open(5001, PORT);
    bench.give_tcp(&Tcp { flags: RST, seq: 1001, ..syn(5000) });
    let (handle, peer) = bench.stack.tcp_accept(listener).unwrap();
    assert_eq!(peer.port(), 5001);
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    echo_works(&mut bench, listener, 6000);
    bench.is_well();
}

#[test]
fn each_syn_of_a_burst_is_answered_in_the_same_poll_however_small_the_queue() {
    let mut bench = Bench::with(256, |_| {}).with_live_neighbors();
    let listener = bench.listen(PORT, 2, TcpOptions::default());
    for from in 4000..4060 {
        bench.nic.rx.push_back(packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(P, H, 6).build(&syn(from).build(P, H))));
    }
    let answers = segments(&bench.poll());
    let mut ports: Vec<u16> = answers.iter().filter(|s| s.flags == SYN | ACK).map(|s| s.dst).collect();
    ports.sort_unstable();
    assert_eq!(ports, (4000..4060).collect::<Vec<_>>());
    assert!(answers.iter().all(|s| s.option(2) == Some(vec![5, 0xb4])), "the MSS of the link");
    assert!(bench.stack.stats().tcp_cookies_out > 0, "the queue was too small");
    // Each of them has its connection as soon as there is room to accept it.
    for answer in answers {
        let ack = Tcp { flags: ACK, seq: 1001, ack: answer.seq + 1, ..syn(answer.dst) };
        assert_eq!(bench.give_tcp(&ack), []);
        let (handle, peer) = bench.stack.tcp_accept(listener).expect("the handshake is complete");
        assert_eq!(peer.port(), answer.dst);
        bench.stack.tcp(handle).unwrap().abort();
        bench.poll();
    }
    bench.is_well();
}

#[test]
fn a_four_tuple_reopened_amid_a_burst_of_syns_begins_behind_its_predecessor() {
    let mut bench = Bench::with(256, |_| {}).with_live_neighbors();
    let listener = bench.listen(PORT, 4, TcpOptions::default());
    // P has closed; H waits in TIME-WAIT, having closed first. P sends no timestamps: nothing else keeps the two apart.
    let mut ends = Vec::new();
    for from in 4000..4024 {
        let (handle, iss) = bench.accepted(listener, from, PORT);
        bench.stack.tcp(handle).unwrap().close();
        bench.poll();
        let fin = Tcp { flags: FIN | ACK, seq: 1001, ack: iss + 2, window: 65_535, ..syn(from) };
        bench.give_tcp(&fin);
        ends.push((from, iss + 2));
    }
    assert_eq!(bench.stack.tcp_time_waits(), 24);
    let mut from = 10_000;
    for (port, end) in ends {
        // A burst has filled the queue when the old 4-tuple's SYN comes.
        for _ in 0..20 {
            from += 1;
            bench.give_tcp(&syn(from));
        }
        let seen = segments(&bench.give_tcp(&Tcp { seq: 5000, ..syn(port) }));
        let [answer] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!((answer.flags, answer.ack, answer.dst), (SYN | ACK, 5001, port));
        assert!((answer.seq.wrapping_sub(end) as i32) >= 0, "{} is not behind {end}", answer.seq);
        bench.give_tcp(&Tcp { flags: ACK, seq: 5001, ack: answer.seq + 1, ..syn(port) });
        let (handle, _) = bench.stack.tcp_accept(listener).expect("it is complete");
        bench.stack.tcp(handle).unwrap().abort();
        bench.poll();
    }
    assert!(bench.stack.stats().tcp_cookies_out == 0, "every SYN|ACK had left before the next SYN");
    bench.is_well();
}

#[test]
fn a_half_open_connection_goes_with_the_address_that_it_was_for() {
    // Bare removal of the address, and of the whole interface; the SYN|ACK is not repeated when the address is back.
    for with_interface in [false, true] {
        let mut bench = Bench::new().with_live_neighbors();
        let listener = bench.listen(PORT, 4, TcpOptions::default());
        assert_eq!(segments(&bench.give_tcp(&syn(4000))).len(), 1);
        let cidr = ringtap::ip::addr::Cidr::new(H.into(), 24).unwrap();
        if with_interface {
            bench.stack.remove_interface(bench.iface);
            assert_eq!(bench.stack.next_deadline().filter(|&t| t < bench.now + Duration::from_secs(60)), None);
            bench.iface = bench.stack.add_interface(&bench.nic, ringtap::device::Mac(H_MAC)).unwrap();
        } else {
            bench.stack.remove_address(bench.iface, H.into()).unwrap();
        }
        bench.now += Duration::from_millis(1500);
        assert_eq!(bench.poll(), []);
        bench.stack.add_address(bench.iface, cidr).unwrap();
        let sent = timed(&bench.pass(Duration::from_secs(70)));
        assert!(sent.is_empty(), "{sent:?}");
        let mut bench = bench.with_live_neighbors();
        echo_works(&mut bench, listener, 4001);
        bench.is_well();
    }
}
