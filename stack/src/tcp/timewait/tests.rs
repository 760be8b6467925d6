extern crate std;
use super::*;
use crate::device::SegmentSize;
use crate::wire::segment::Options;
use proptest::prelude::*;
use std::collections::HashMap;
use std::vec;
use std::vec::Vec;

const SPAN: Duration = Duration::from_secs(60);

fn tuple(remote_port: u16) -> Tuple {
    let (local_addr, remote_addr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
    Tuple { local_addr, remote_addr, local_port: 80, remote_port }
}

fn params(remote_port: u16, timestamps: Option<(u32, u32)>) -> TimeWaitParams {
    TimeWaitParams {
        tuple: tuple(remote_port),
        snd_nxt: Seq::new(1000),
        rcv_nxt: Seq::new(5000),
        window: 77,
        rcv_wnd: 1000,
        timestamps,
    }
}

fn segment(flags: Flags, seq: u32, stamp: Option<u32>) -> Segment<'static> {
    let options = Options { timestamps: stamp.map(|val| Timestamps { val, ecr: 0 }), ..Options::NONE };
    let (seq, ack) = (Seq::new(seq), Seq::new(1000));
    Segment {
        src_port: 9,
        dst_port: 80,
        seq,
        ack,
        flags,
        window: 1,
        urgent: 0,
        #[cfg(feature = "ecn")]
        is_ce: false,
        options,
        size: SegmentSize::default(),
        payload: b"",
    }
}

fn table<'a>(slots: &'a mut [TimeWaitSlot]) -> TimeWaitTable<'a> {
    TimeWaitTable::new(ManagedSlice::Borrowed(slots), usize::MAX)
}

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

#[test]
fn the_fin_again_is_acknowledged_and_the_time_starts_anew() {
    let mut slots = [const { TimeWaitSlot::new() }; 2];
    let mut t = table(&mut slots);
    t.insert(&params(9, Some((50, 7))), 1, at(0), SPAN);
    t.insert(&params(8, None), 2, at(10), SPAN);
    let fin = segment(Flags::FIN | Flags::ACK, 4999, Some(50));
    let TwVerdict::Ack(ack) = t.handle_segment(at(30), 0, &fin) else { panic!("the FIN is answered") };
    assert_eq!((ack.seq, ack.ack, ack.flags, ack.window), (Seq::new(1000), Seq::new(5000), Flags::ACK, 77));
    let stamps = Timestamps { val: ts_clock(at(30)) + 7, ecr: 50 };
    assert_eq!(ack.timestamps, Some(stamps));
    assert_eq!(t.deadline(), Some(at(70)), "the other one is next now");
    assert_eq!(t.pop_expired(at(89)), Some((2, 1)));
    assert_eq!(t.pop_expired(at(89)), None);
    assert_eq!(t.pop_expired(at(90)), Some((1, 0)));
    assert_eq!((t.len(), t.deadline(), t.tuple(0)), (0, None, None));
}

#[test]
fn a_reset_is_ignored_whatever_its_numbers() {
    let mut slots = [const { TimeWaitSlot::new() }; 1];
    let mut t = table(&mut slots);
    t.insert(&params(9, None), 1, at(0), SPAN);
    for seq in [0, 4999, 5000, 5001, 90_000] {
        let verdict = t.handle_segment(at(1), 0, &segment(Flags::RST, seq, None));
        assert!(matches!(verdict, TwVerdict::Drop(DropReason::TcpBadReset)), "{verdict:?}");
    }
    assert_eq!(t.len(), 1);
}

#[test]
fn a_syn_reopens_exactly_when_it_cannot_be_an_old_one() {
    // Had timestamps (TS.Recent 50), the SYN's TSval, its sequence number, and whether it reopens (RFC 6191 §2).
    let cases = [
        (true, Some(51), 0, true),
        (true, Some(50), 5000, true),
        (true, Some(50), 4999, false),
        (true, Some(49), 9999, false),
        (true, None, 5000, true),
        (true, None, 4999, false),
        (false, Some(1), 0, true),
        (false, None, 5000, true),
        (false, None, 4999, false),
    ];
    for (had, stamp, seq, reopens) in cases {
        let mut slots = [const { TimeWaitSlot::new() }; 1];
        let mut t = table(&mut slots);
        t.insert(&params(9, had.then_some((50, 0))), 1, at(0), SPAN);
        match t.handle_segment(at(1), 0, &segment(Flags::SYN, seq, stamp)) {
            TwVerdict::Reopen { min_isn } => assert!(reopens && min_isn.after(Seq::new(1000)), "{had} {stamp:?} {seq}"),
            TwVerdict::Ack(_) => assert!(!reopens, "{had} {stamp:?} {seq}"),
            TwVerdict::Drop(reason) => panic!("{reason:?}"),
        }
        let syn_ack = segment(Flags::SYN | Flags::ACK, 9999, stamp);
        assert!(!matches!(t.handle_segment(at(2), 0, &syn_ack), TwVerdict::Reopen { .. }));
    }
}

#[test]
fn what_is_out_of_place_is_answered_but_not_at_line_rate() {
    let wrong_ack = Segment { ack: Seq::new(1001), ..segment(Flags::ACK, 5000, None) };
    let old_stamp = segment(Flags::ACK, 5000, Some(49));
    for wrong in [segment(Flags::ACK, 4000, None), segment(Flags::ACK, 6001, None), wrong_ack, old_stamp] {
        let mut slots = [const { TimeWaitSlot::new() }; 1];
        let mut t = table(&mut slots);
        t.insert(&params(9, Some((50, 0))), 1, at(0), SPAN);
        let answers = (0..1000u64)
            .filter(|&ms| matches!(t.handle_segment(Instant::from_millis(ms), 0, &wrong), TwVerdict::Ack(_)))
            .count();
        assert_eq!(answers, 10, "{wrong:?}");
        assert_eq!(t.deadline(), Some(at(60)), "only the FIN starts the time anew");
    }
}

#[test]
fn what_is_in_place_but_pointless_is_not_answered() {
    let mut slots = [const { TimeWaitSlot::new() }; 1];
    let mut t = table(&mut slots);
    t.insert(&params(9, None), 1, at(0), SPAN);
    let text = Segment { payload: b"late", ..segment(Flags::ACK, 5000, None) };
    for (seg, reason) in [
        (segment(Flags::ACK, 5000, None), DropReason::TcpAfterClose),
        (text, DropReason::TcpAfterClose),
        (segment(Flags::NONE, 5000, None), DropReason::TcpNoAck),
    ] {
        let verdict = t.handle_segment(at(1), 0, &seg);
        assert!(matches!(verdict, TwVerdict::Drop(r) if r == reason), "{verdict:?}");
    }
}

#[test]
fn a_full_table_gives_up_the_entry_nearest_its_end() {
    let mut slots = [const { TimeWaitSlot::new() }; 2];
    let mut t = table(&mut slots);
    assert_eq!(t.insert(&params(1, None), 11, at(0), SPAN), (Some(0), None));
    assert_eq!(t.insert(&params(2, None), 12, at(1), SPAN), (Some(1), None));
    t.handle_segment(at(2), 0, &segment(Flags::FIN | Flags::ACK, 4999, None));
    assert_eq!(t.insert(&params(3, None), 13, at(3), SPAN), (Some(1), Some((12, 1))));
    assert_eq!((t.tuple(0), t.tuple(1), t.len()), (Some(tuple(1)), Some(tuple(3)), 2));
    let mut none = table(&mut []);
    assert_eq!(none.insert(&params(1, None), 1, at(0), SPAN), (None, None));
}

#[test]
fn a_clock_that_steps_back_loses_no_entry() {
    let mut slots = [const { TimeWaitSlot::new() }; 2];
    let mut t = table(&mut slots);
    t.insert(&params(1, None), 1, at(1000), SPAN);
    t.insert(&params(2, None), 2, at(10), SPAN);
    assert_eq!((t.pop_expired(at(100)), t.deadline()), (None, Some(at(1060))));
    assert_eq!((t.pop_expired(at(1060)), t.pop_expired(at(1060))), (Some((1, 0)), Some((2, 1))));
}

#[test]
fn an_entry_is_small() {
    assert!(size_of::<TimeWaitSlot>() <= 96, "{}", size_of::<TimeWaitSlot>());
}

#[derive(Clone, Debug)]
enum Op {
    Insert,
    Remove(u32),
    Fin(u32),
    Expire(u64),
}

fn some_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Insert),
        1 => (0u32..6).prop_map(Op::Remove),
        2 => (0u32..6).prop_map(Op::Fin),
        2 => (0u64..40).prop_map(Op::Expire),
    ]
}

fn check(mut t: TimeWaitTable<'_>, room: usize, ops: Vec<Op>) {
    let mut model: HashMap<u32, (u32, Instant)> = HashMap::new();
    let mut now = at(0);
    for (step, op) in ops.into_iter().enumerate() {
        now += Duration::from_millis(1);
        let least = model.values().map(|(_, end)| *end).min();
        match op {
            Op::Insert => {
                let (place, evicted) = t.insert(&params(step as u16, None), step as u32, now, SPAN);
                if let Some((hash, old)) = evicted {
                    let was = model.remove(&old);
                    assert!(was.is_some() && was == least.map(|end| (hash, end)), "the one nearest its end");
                    assert_eq!(model.len() + 1, room);
                }
                match place {
                    Some(place) => assert!(model.insert(place, (step as u32, now + SPAN)).is_none()),
                    None => assert_eq!(room, 0),
                }
            }
            Op::Remove(index) => {
                t.remove(index);
                model.remove(&index);
            }
            Op::Fin(index) => {
                let verdict = t.handle_segment(now, index, &segment(Flags::FIN | Flags::ACK, 4999, None));
                assert_eq!(matches!(verdict, TwVerdict::Ack(_)), model.contains_key(&index));
                model.entry(index).and_modify(|entry| entry.1 = now + SPAN);
            }
            Op::Expire(secs) => {
                now += Duration::from_secs(secs);
                while let Some((hash, index)) = t.pop_expired(now) {
                    let (known, end) = model.remove(&index).expect("it was there");
                    assert!(known == hash && end <= now);
                }
                assert!(model.values().all(|(_, end)| *end > now));
            }
        }
        assert_eq!(t.len(), model.len());
        assert_eq!(t.deadline(), model.values().map(|(_, end)| *end).min());
    }
}

proptest! {
    #[test]
    fn a_borrowed_table_behaves_as_a_map(room in 0usize..5, ops in proptest::collection::vec(some_op(), 0..80)) {
        let mut slots = vec![TimeWaitSlot::new(); room];
        check(table(&mut slots), room, ops);
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn a_growing_table_behaves_as_a_map(room in 1usize..6, ops in proptest::collection::vec(some_op(), 0..80)) {
        check(TimeWaitTable::new(ManagedSlice::Owned(Vec::new()), room), room, ops);
    }
}
