extern crate std;
use super::*;
use crate::device::SegmentSize;
use crate::time::Duration;
use proptest::prelude::*;
use std::collections::HashMap;
use std::vec;
use std::vec::Vec;

const ISN: Seq = Seq::new(0xffff_ff00);

fn at(millis: u64) -> Instant {
    Instant::from_millis(1_000_000 + millis)
}

fn tuple(remote_port: u16) -> Tuple {
    let (local_addr, remote_addr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
    Tuple { local_addr, remote_addr, local_port: 80, remote_port }
}

fn syn_options() -> Options {
    let timestamps = Some(Timestamps { val: 4242, ecr: 0 });
    Options { mss: Some(1400), window_scale: Some(7), sack_permitted: true, timestamps, ..Options::NONE }
}

/// A segment of the peer, whose ISN is 100.
fn segment(flags: Flags, seq: u32, ack: Seq) -> Segment<'static> {
    let options = if flags.contains(Flags::SYN) { syn_options() } else { Options { ..later(4243) } };
    let seq = Seq::new(seq);
    Segment {
        src_port: 1,
        dst_port: 80,
        seq,
        ack,
        flags,
        window: 5000,
        urgent: 0,
        #[cfg(feature = "ecn")]
        is_ce: false,
        options,
        size: SegmentSize::default(),
        payload: b"",
    }
}

fn later(val: u32) -> Options {
    Options { timestamps: Some(Timestamps { val, ecr: 0 }), ..Options::NONE }
}

fn syn() -> Segment<'static> {
    segment(Flags::SYN, 100, Seq::new(0))
}

fn ack(iss: Seq) -> Segment<'static> {
    segment(Flags::ACK, 101, iss + 1)
}

fn options(backlog: usize) -> ListenOptions {
    ListenOptions { backlog, ..ListenOptions::default() }
}

fn with(places: usize, f: impl FnOnce(&mut Listener<'_>)) {
    let mut memory = vec![SynSlot::new(); places];
    f(&mut Listener::new(ManagedSlice::Borrowed(&mut memory), &options(places), &Secret::new([1; 16])));
}

/// Sends what is owed; returns where to.
fn send(l: &mut Listener<'_>, now: Instant) -> Vec<SynAck> {
    let mut sent = vec![];
    while let Some(plan) = l.plan(now) {
        l.commit(now, &plan);
        sent.push(plan);
    }
    sent
}

fn is_queued(verdict: ListenVerdict) -> bool {
    matches!(verdict, ListenVerdict::Queued { dropped: None })
}

#[test]
fn a_handshake_hands_over_what_both_sides_said() {
    with(4, |l| {
        assert!(is_queued(l.handle_segment(at(0), &tuple(1), &syn(), ISN)));
        let plan = l.plan(at(5)).expect("a SYN|ACK is owed");
        assert_eq!((plan.tuple, plan.header.seq, plan.header.ack), (tuple(1), ISN, Seq::new(101)));
        assert_eq!((plan.header.flags, plan.header.window), (Flags::SYN | Flags::ACK, 65_535));
        let offset = timestamp_offset(&Secret::new([1; 16]).key(Purpose::Isn), &tuple(1));
        let stamps = Timestamps { val: ts_clock(at(5)).wrapping_add(offset), ecr: 4242 };
        let sack_permitted = cfg!(feature = "sack");
        let offer = Options { window_scale: Some(1), sack_permitted, timestamps: Some(stamps), ..Options::NONE };
        assert_eq!(plan.header.options, offer);
        l.commit(at(5), &plan);
        assert!(l.plan(at(5)).is_none());

        let verdict = l.handle_segment(at(9), &tuple(1), &ack(ISN), Seq::new(0));
        let ListenVerdict::Complete(h) = verdict else { panic!("{verdict:?}") };
        assert_eq!(
            (h.iss, h.irs, h.peer_mss, h.peer_scale, h.our_scale),
            (ISN, Seq::new(100), Some(1400), Some(7), Some(1))
        );
        assert_eq!(h.timestamps, Some(HandshakeTimestamps { recent: 4242, offset }));
        assert_eq!(h.sack_permitted, sack_permitted);
        assert_eq!((h.snd_wnd, h.rcv_wnd, h.sent_at, h.retransmitted), (5000, 65_535, at(5), false));
        l.remove(&tuple(1));
        assert!(matches!(l.handle_segment(at(9), &tuple(1), &ack(ISN), ISN), ListenVerdict::Reset(_)));
        assert_eq!(l.deadline(), None);
    });
}

#[test]
fn what_the_peer_did_not_offer_is_not_offered_back() {
    with(4, |l| {
        let bare = Segment { options: Options::NONE, ..syn() };
        l.handle_segment(at(0), &tuple(1), &bare, ISN);
        assert_eq!(send(l, at(0))[0].header.options, Options::NONE);
        let last = Segment { options: Options::NONE, ..ack(ISN) };
        let ListenVerdict::Complete(h) = l.handle_segment(at(1), &tuple(1), &last, ISN) else { panic!("complete") };
        assert_eq!((h.peer_mss, h.peer_scale, h.our_scale, h.timestamps), (None, None, None, None));
    });
    with(4, |l| {
        let wild = Options { mss: Some(0), window_scale: Some(255), ..Options::NONE };
        l.handle_segment(at(0), &tuple(1), &Segment { options: wild, ..syn() }, ISN);
        let last = Segment { options: Options::NONE, ..ack(ISN) };
        let ListenVerdict::Complete(h) = l.handle_segment(at(1), &tuple(1), &last, ISN) else { panic!("complete") };
        assert_eq!((h.peer_mss, h.peer_scale), (Some(1), Some(14)));
    });
}

#[test]
fn the_same_syn_a_hundred_times_is_one_entry_with_one_iss() {
    with(4, |l| {
        let mut answers = 0;
        for n in 0..100 {
            let verdict = l.handle_segment(at(200 * n), &tuple(1), &syn(), ISN + n as u32);
            assert!(is_queued(verdict));
            let sent = send(l, at(200 * n));
            assert!(sent.iter().all(|plan| plan.header.seq == ISN));
            answers += sent.len();
        }
        assert_eq!(answers, 100);
        assert_eq!(l.deadline(), Some(at(19_800 + 1000)), "answers are not the timer's repeats");
        let bad = [ISN, ISN + 2].map(|ack| segment(Flags::ACK, 101, ack));
        for seg in &bad {
            let verdict = l.handle_segment(at(20_000), &tuple(1), seg, ISN);
            let ListenVerdict::Reset(reset) = verdict else { panic!("{verdict:?}") };
            assert_eq!((reset.seq, reset.flags), (seg.ack, Flags::RST));
        }
        let verdict = l.handle_segment(at(20_001), &tuple(1), &ack(ISN), ISN);
        assert!(matches!(verdict, ListenVerdict::Complete(h) if h.retransmitted), "{verdict:?}");
    });
}

#[test]
fn answers_to_a_flood_of_the_same_segment_are_spaced() {
    for seg in
        [syn(), segment(Flags::ACK, 70_000, ISN + 1), segment(Flags::SYN, 500, ISN), segment(Flags::RST, 102, ISN)]
    {
        with(4, |l| {
            l.handle_segment(at(0), &tuple(1), &syn(), ISN);
            send(l, at(0));
            let sent: usize = (1..=1000)
                .map(|ms| {
                    l.handle_segment(at(ms), &tuple(1), &seg, ISN);
                    send(l, at(ms)).len()
                })
                .sum();
            assert_eq!(sent, 10, "{:?}", seg.flags);
        });
    }
}

#[test]
fn an_exact_reset_ends_the_handshake_and_others_do_not() {
    with(4, |l| {
        l.handle_segment(at(0), &tuple(1), &syn(), ISN);
        for seq in [100, 102, 99_999_999] {
            l.handle_segment(at(1), &tuple(1), &segment(Flags::RST, seq, ISN), ISN);
        }
        assert!(matches!(l.handle_segment(at(2), &tuple(1), &ack(ISN), ISN), ListenVerdict::Complete(_)));
        assert!(is_queued(l.handle_segment(at(3), &tuple(1), &segment(Flags::RST, 101, ISN), ISN)));
        assert!(l.plan(at(3)).is_none() && l.deadline().is_none());
        assert!(matches!(l.handle_segment(at(4), &tuple(1), &ack(ISN), ISN), ListenVerdict::Reset(_)));
    });
}

#[test]
fn in_listen_resets_are_ignored_acks_reset_and_the_rest_dropped() {
    with(4, |l| {
        let verdict =
            |l: &mut Listener<'_>, flags| l.handle_segment(at(0), &tuple(1), &segment(flags, 7, Seq::new(9)), ISN);
        assert!(matches!(verdict(l, Flags::RST | Flags::ACK), ListenVerdict::Drop(DropReason::TcpBadReset)));
        assert!(matches!(verdict(l, Flags::RST | Flags::SYN), ListenVerdict::Drop(DropReason::TcpBadReset)));
        for flags in [Flags::ACK, Flags::SYN | Flags::ACK, Flags::FIN | Flags::ACK] {
            assert!(matches!(verdict(l, flags), ListenVerdict::Reset(reset) if reset.seq == Seq::new(9)));
        }
        for flags in [Flags::NONE, Flags::FIN, Flags::PSH] {
            assert!(matches!(verdict(l, flags), ListenVerdict::Drop(DropReason::TcpNoAck)));
        }
        assert!(l.plan(at(0)).is_none());
    });
}

#[test]
fn a_syn_from_or_to_an_impossible_end_is_dropped() {
    with(4, |l| {
        let land = Tuple { remote_addr: tuple(80).local_addr, ..tuple(80) };
        let group = Tuple { local_addr: [224, 0, 0, 1].into(), ..tuple(1) };
        let all = Tuple { local_addr: [255, 255, 255, 255].into(), ..tuple(1) };
        let from_group = Tuple { remote_addr: [239, 1, 1, 1].into(), ..tuple(1) };
        for bad in [land, group, all, from_group] {
            let verdict = l.handle_segment(at(0), &bad, &syn(), ISN);
            assert!(matches!(verdict, ListenVerdict::Drop(DropReason::TcpBadAddress)), "{bad:?}");
        }
        assert!(is_queued(l.handle_segment(at(0), &tuple(1), &syn(), ISN)));
    });
}

#[test]
fn text_before_the_last_ack_and_an_old_timestamp_do_not_finish_a_handshake() {
    with(4, |l| {
        l.handle_segment(at(0), &tuple(1), &Segment { payload: b"early", ..syn() }, ISN);
        assert_eq!(send(l, at(0))[0].header.ack, Seq::new(101), "text on the SYN is not kept");
        let old = Segment { options: later(4241), ..ack(ISN) };
        assert!(matches!(l.handle_segment(at(1), &tuple(1), &old, ISN), ListenVerdict::Drop(DropReason::TcpPaws)));
        let no_ack = Segment { flags: Flags::PSH, payload: b"x", ..ack(ISN) };
        assert!(matches!(l.handle_segment(at(1), &tuple(1), &no_ack, ISN), ListenVerdict::Drop(DropReason::TcpNoAck)));
        // The last ACK was lost, and the segment behind the first comes first: established all the same (H061).
        let second = Segment { seq: Seq::new(601), payload: b"late", ..ack(ISN) };
        assert!(matches!(l.handle_segment(at(1), &tuple(1), &second, ISN), ListenVerdict::Complete(_)));
    });
}

#[test]
fn syn_acks_are_repeated_with_doubling_pauses_for_three_minutes_and_then_given_up() {
    with(4, |l| {
        l.handle_segment(at(0), &tuple(1), &syn(), ISN);
        let mut now = at(0);
        let mut times = vec![];
        loop {
            if !send(l, now).is_empty() {
                times.push(now.since(at(0)).as_secs());
            }
            let Some(next) = l.deadline() else { break };
            assert!(next > now);
            l.on_deadline(next - Duration::from_micros(1));
            assert!(l.plan(next).is_none(), "nothing is early");
            now = next;
            l.on_deadline(now);
        }
        assert_eq!((times, now), (vec![0, 1, 3, 7, 15, 31, 63, 123], at(183_000)));
        assert!(matches!(l.handle_segment(now, &tuple(1), &ack(ISN), ISN), ListenVerdict::Reset(_)));
    });
}

#[test]
fn the_user_says_how_long_a_handshake_may_take() {
    for (patience, given_up) in [(0, 1), (1, 1), (5, 7), (63, 63), (64, 123), (180, 183), (100_000, 183)] {
        let mut options = options(4);
        options.tcp.connect_timeout = Duration::from_secs(patience);
        let mut memory = vec![SynSlot::new(); 4];
        let mut l = Listener::new(ManagedSlice::Borrowed(&mut memory), &options, &Secret::new([1; 16]));
        l.handle_segment(at(0), &tuple(1), &syn(), ISN);
        let mut now = at(0);
        send(&mut l, now);
        while let Some(next) = l.deadline() {
            now = next;
            l.on_deadline(now);
            send(&mut l, now);
        }
        assert_eq!(now, at(1000 * given_up), "{patience} s");
    }
}

#[test]
fn with_a_full_accept_queue_the_handshake_waits_and_the_syn_ack_asks_again_each_second() {
    with(2, |l| {
        assert!(l.accepted(70) && l.accepted(71) && !l.accepted(72));
        l.handle_segment(at(0), &tuple(1), &syn(), ISN);
        send(l, at(0));
        let mut now = at(10);
        for _ in 0..50 {
            let verdict = l.handle_segment(now, &tuple(1), &ack(ISN), ISN);
            assert!(matches!(verdict, ListenVerdict::Drop(DropReason::TcpAcceptQueueFull)));
            let next = l.deadline().expect("the peer is asked again");
            assert_eq!(next.since(now), Duration::from_secs(1));
            now = next;
            l.on_deadline(now);
            assert_eq!(send(l, now).len(), 1);
        }
        assert_eq!(l.accept(), Some(70));
        assert!(matches!(l.handle_segment(now, &tuple(1), &ack(ISN), ISN), ListenVerdict::Complete(_)));
        // A peer that answers no more is given up as any other.
        l.accepted(70);
        l.handle_segment(now, &tuple(1), &ack(ISN), ISN);
        let (start, mut sent) = (now, 0);
        while let Some(next) = l.deadline() {
            now = next;
            l.on_deadline(now);
            sent += send(l, now).len();
        }
        assert_eq!((sent, now.since(start)), (7, Duration::from_secs(183)));
    });
}

#[test]
fn connections_are_accepted_in_order_and_a_forgotten_one_is_skipped() {
    with(4, |l| {
        for round in 0..5 {
            for conn in 0..4 {
                assert!(l.accepted(10 * round + conn));
            }
            l.forget(10 * round + 2);
            l.forget(999);
            assert!(l.accepted(10 * round + 9) && !l.accepted(0));
            let got: Vec<u32> = core::iter::from_fn(|| l.accept()).collect();
            assert_eq!(got, [0, 1, 3, 9].map(|n| 10 * round + n));
            assert!(!l.has_accepted());
        }
    });
}

#[cfg(feature = "syn-cookies")]
#[test]
fn a_client_finishes_its_handshake_during_a_flood_of_syns() {
    with(8, |l| {
        let mut port = 10_000u16;
        let mut flood = |l: &mut Listener<'_>, now, count| {
            for _ in 0..count {
                port = 10_000 + (port + 1) % 50_000;
                l.handle_segment(now, &tuple(port), &syn(), Seq::new(u32::from(port)));
                send(l, now);
            }
        };
        flood(l, at(0), 1000);
        assert!(matches!(l.handle_segment(at(1), &tuple(1), &syn(), ISN), ListenVerdict::Queued { .. }));
        let plan = send(l, at(1)).pop().expect("the client is answered");
        assert_eq!(plan.tuple, tuple(1));
        // 100 ms later, a thousand SYNs further, nothing is left in the queue of the client's handshake.
        flood(l, at(100), 1000);
        let verdict = l.handle_segment(at(101), &tuple(1), &ack(plan.header.seq), ISN);
        let ListenVerdict::Complete(h) = verdict else { panic!("{verdict:?}") };
        assert_eq!((h.irs, h.peer_mss, h.peer_scale, h.our_scale), (Seq::new(100), Some(1400), Some(7), Some(1)));
        assert_eq!(h.timestamps.map(|t| t.recent), Some(4243));
        let guess = l.handle_segment(at(102), &tuple(1), &ack(plan.header.seq + 1), ISN);
        assert!(matches!(guess, ListenVerdict::Reset(_)));
    });
}

#[cfg(feature = "syn-cookies")]
#[test]
fn of_clients_beyond_the_queue_none_that_was_answered_is_reset() {
    for (places, room) in [(1, 1), (4, 100), (8, 100), (8, 2), (128, 128)] {
        with(places, |l| {
            for conn in room..places as u32 {
                l.accepted(conn);
            }
            let mut iss = HashMap::new();
            for round in 0..10 {
                for port in (round * 100..).take(100) {
                    let isn = Seq::new(u32::from(port) << 12 | 1);
                    if let ListenVerdict::Stateless(plan) = l.handle_segment(at(0), &tuple(port), &syn(), isn) {
                        assert_eq!(plan.tuple, tuple(port));
                        iss.insert(port, plan.header.seq);
                    }
                }
                iss.extend(send(l, at(1)).iter().map(|plan| (plan.tuple.remote_port, plan.header.seq)));
            }
            assert_eq!(iss.len(), 1000, "each SYN of a burst is answered");
            for (port, iss) in iss {
                let verdict = l.handle_segment(at(900), &tuple(port), &ack(iss), ISN);
                let is_full = matches!(verdict, ListenVerdict::Drop(DropReason::TcpAcceptQueueFull));
                assert!(is_full || matches!(verdict, ListenVerdict::Complete(_)), "{verdict:?}");
            }
        });
    }
}

#[test]
fn handshakes_unanswered_for_a_second_make_way_for_others() {
    with(4, |l| {
        for port in 0..3 {
            l.handle_segment(at(0), &tuple(port), &syn(), ISN);
        }
        send(l, at(0));
        l.on_deadline(at(1000));
        send(l, at(1000));
        for port in 10..14 {
            assert!(matches!(l.handle_segment(at(1001), &tuple(port), &syn(), ISN), ListenVerdict::Queued { .. }));
        }
        let answered: Vec<u16> = send(l, at(1001)).iter().map(|plan| plan.tuple.remote_port).collect();
        assert_eq!(answered, [10, 11, 12, 13]);
    });
}

#[cfg(feature = "syn-cookies")]
#[test]
fn a_syn_without_a_place_is_answered_at_once_and_remembered_by_its_cookie() {
    with(4, |l| {
        for port in 10..14 {
            assert!(is_queued(l.handle_segment(at(0), &tuple(port), &syn(), ISN)));
        }
        let verdict = l.handle_segment(at(0), &tuple(1), &syn(), ISN);
        let ListenVerdict::Stateless(plan) = verdict else { panic!("{verdict:?}") };
        assert_eq!((plan.tuple, plan.header.ack, plan.header.window), (tuple(1), Seq::new(101), 65_535));
        assert_eq!(plan.header.options.window_scale, Some(1));
        assert_eq!(plan.header.options.timestamps.map(|t| t.ecr), Some(4242));
        // Nothing of the queue went for it.
        l.commit(at(0), &plan);
        assert_eq!(send(l, at(0)).iter().map(|p| p.tuple.remote_port).collect::<Vec<_>>(), [10, 11, 12, 13]);
        let verdict = l.handle_segment(at(50), &tuple(1), &ack(plan.header.seq), ISN);
        let ListenVerdict::Complete(h) = verdict else { panic!("{verdict:?}") };
        assert_eq!((h.peer_mss, h.peer_scale, h.retransmitted), (Some(1400), Some(7), true));
    });
}

#[cfg(not(feature = "syn-cookies"))]
#[test]
fn without_cookies_a_syn_without_a_place_waits_for_its_repetition_and_displaces_nobody() {
    with(4, |l| {
        for port in 10..14 {
            assert!(is_queued(l.handle_segment(at(0), &tuple(port), &syn(), ISN)));
        }
        let answered: Vec<_> = send(l, at(0)).iter().map(|plan| (plan.tuple, plan.header.seq)).collect();
        let verdict = l.handle_segment(at(1), &tuple(1), &syn(), ISN);
        assert!(matches!(verdict, ListenVerdict::Drop(DropReason::TcpSynQueueFull)), "{verdict:?}");
        assert!(!l.owes());
        for (tuple, iss) in &answered {
            let verdict = l.handle_segment(at(50), tuple, &ack(*iss), ISN);
            assert!(matches!(verdict, ListenVerdict::Complete(_)), "{verdict:?}");
        }
        l.remove(&answered[0].0);
        assert!(is_queued(l.handle_segment(at(1001), &tuple(1), &syn(), ISN)));
        // What might have been a cookie is nobody's.
        let verdict = l.handle_segment(at(1002), &tuple(2), &ack(ISN), ISN);
        assert!(matches!(verdict, ListenVerdict::Reset(_)), "{verdict:?}");
    });
}

#[cfg(feature = "syn-cookies")]
#[test]
fn a_successor_of_time_wait_is_not_numbered_before_its_predecessor_by_a_cookie() {
    let (mut cookies, mut places) = (0, 0);
    for port in 1..33 {
        with(4, |l| {
            for other in 100..103 {
                l.handle_segment(at(0), &tuple(other), &syn(), ISN);
            }
            // The last place of the set, which is for a cookie, if it will do.
            let min = Seq::new(u32::from(port) << 27);
            assert!(is_queued(l.handle_successor(at(0), &tuple(port), &syn(), min - 1, min)));
            let plan = send(l, at(0)).pop().expect("the SYN|ACK");
            assert!(plan.tuple == tuple(port) && plan.header.seq.at_or_after(min), "{plan:?}");
            let is_cookie = plan.header.seq != min;
            (cookies, places) = (cookies + u32::from(is_cookie), places + u32::from(!is_cookie));
            // Others do not displace it while its ACK may be on its way.
            for other in 200..300 {
                l.handle_segment(at(1), &tuple(other), &syn(), ISN);
                send(l, at(1));
            }
            let verdict = l.handle_segment(at(100), &tuple(port), &ack(plan.header.seq), ISN);
            assert!(matches!(verdict, ListenVerdict::Complete(_)), "{verdict:?}");
        });
    }
    assert!(cookies > 8 && places > 8, "{cookies} cookies, {places} places");
}

#[test]
fn handshakes_with_an_address_that_is_gone_are_forgotten_and_others_are_not() {
    with(8, |l| {
        let other = |port| Tuple { local_addr: [192, 0, 2, 77].into(), ..tuple(port) };
        l.handle_segment(at(0), &tuple(1), &syn(), ISN);
        l.handle_segment(at(0), &other(2), &syn(), ISN);
        send(l, at(0));
        l.handle_segment(at(1), &other(3), &syn(), ISN);
        l.on_address_gone([192, 0, 2, 77].into());
        assert!(!l.owes());
        l.on_deadline(at(1000));
        assert_eq!(send(l, at(1000)).iter().map(|p| p.tuple).collect::<Vec<_>>(), [tuple(1)]);
        assert!(matches!(l.handle_segment(at(1001), &other(2), &ack(ISN), ISN), ListenVerdict::Reset(_)));
    });
}

#[test]
fn a_handshake_that_waits_for_room_outlives_a_flood() {
    with(8, |l| {
        for conn in 0..8 {
            l.accepted(conn);
        }
        l.handle_segment(at(0), &tuple(1), &syn(), ISN);
        send(l, at(0));
        l.handle_segment(at(1), &tuple(1), &ack(ISN), ISN);
        for port in 1000..3000 {
            l.handle_segment(at(2), &tuple(port), &syn(), Seq::new(1));
            send(l, at(2));
        }
        l.accept();
        assert!(matches!(l.handle_segment(at(3), &tuple(1), &ack(ISN), ISN), ListenVerdict::Complete(_)));
    });
}

#[cfg(feature = "alloc")]
#[test]
fn an_owned_queue_is_made_with_the_first_syn() {
    let mut l = Listener::new(ManagedSlice::Owned(Vec::new()), &options(10), &Secret::new([1; 16]));
    assert!(!l.accepted(0), "there is no handshake yet that could have led here");
    assert!(is_queued(l.handle_segment(at(0), &tuple(1), &syn(), ISN)));
    assert!(l.accepted(7));
    assert_eq!((l.accept(), l.into_storage().len()), (Some(7), 10));
}

#[test]
fn a_place_is_small() {
    assert!(size_of::<SynSlot>() <= 80, "{}", size_of::<SynSlot>());
}

#[test]
fn a_clock_that_jumps_either_way_loses_no_handshake_for_good() {
    with(4, |l| {
        l.handle_segment(at(0), &tuple(1), &syn(), ISN);
        send(l, at(0));
        let before = Instant::from_secs(1);
        l.on_deadline(before);
        assert_eq!(send(l, before).len(), 1, "on a clock that stepped back it is simply due");
        let days = at(0) + Duration::from_secs(100 * 86_400);
        l.on_deadline(days);
        send(l, days);
        let next = l.deadline().expect("it goes on");
        assert!(next.since(days) <= Duration::from_secs(32));
    });
}

#[derive(Clone, Debug)]
enum Op {
    Syn(u16),
    Ack(u16),
    Reset(u16),
    Send,
    Pass(u64),
}

fn some_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u16..30).prop_map(Op::Syn),
        2 => (0u16..30).prop_map(Op::Ack),
        1 => (0u16..30).prop_map(Op::Reset),
        3 => Just(Op::Send),
        2 => (0u64..20_000).prop_map(Op::Pass),
    ]
}

proptest! {
    /// The obvious implementation: a map that knows when each SYN|ACK was sent, and how often. It does not know which
    /// entry goes when there is no room, but that none goes before.
    #[test]
    fn it_behaves_as_a_map_of_handshakes(places in 1usize..14, ops in proptest::collection::vec(some_op(), 0..200)) {
        let mut memory = vec![SynSlot::new(); places];
        let mut l = Listener::new(ManagedSlice::Borrowed(&mut memory), &options(1), &Secret::new([1; 16]));
        let mut sent: HashMap<u16, (Seq, u32)> = HashMap::new();
        let mut now = at(0);
        for op in ops {
            now += Duration::from_micros(1);
            match op {
                Op::Syn(port) => {
                    let verdict = l.handle_segment(now, &tuple(port), &syn(), ISN + u32::from(port));
                    match verdict {
                        ListenVerdict::Queued { .. } | ListenVerdict::Drop(DropReason::TcpUnexpectedSyn) => {}
                        ListenVerdict::Stateless(plan) => {
                            prop_assert_eq!(plan.tuple, tuple(port));
                            sent.insert(port, (plan.header.seq, 1));
                        }
                        ListenVerdict::Drop(DropReason::TcpSynQueueFull) if !COOKIES => {}
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
                Op::Ack(port) => {
                    let Some(&(iss, _)) = sent.get(&port) else { continue };
                    match l.handle_segment(now, &tuple(port), &ack(iss), ISN) {
                        ListenVerdict::Complete(h) => {
                            prop_assert_eq!((h.iss, h.irs), (iss, Seq::new(100)));
                            l.remove(&tuple(port));
                            sent.remove(&port);
                        }
                        // Displaced, or given up after its time.
                        ListenVerdict::Reset(_) => {
                            sent.remove(&port);
                        }
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
                Op::Reset(port) => {
                    l.handle_segment(now, &tuple(port), &segment(Flags::RST, 101, ISN), ISN);
                    sent.remove(&port);
                }
                Op::Send => {
                    for plan in send(&mut l, now) {
                        let entry = sent.entry(plan.tuple.remote_port).or_insert((plan.header.seq, 0));
                        if entry.0 != plan.header.seq {
                            *entry = (plan.header.seq, 0);
                        }
                        entry.1 += 1;
                    }
                }
                Op::Pass(millis) => {
                    now += Duration::from_millis(millis);
                    l.on_deadline(now);
                }
            }
            prop_assert_eq!(l.owes(), l.plan(now).is_some());
            if !l.owes() {
                prop_assert!(l.deadline().is_none_or(|next| next > now), "what is due is owed");
            }
        }
    }
}
