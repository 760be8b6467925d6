use super::*;

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

const UNA: Seq = Seq::new(0);

#[test]
fn an_acknowledgment_measures_the_newest_segment_it_covers() {
    let mut slots = [Sent::default(); 4];
    let mut log = SentLog::new((&mut slots[..]).into());
    for n in 1..=3u32 {
        log.push(UNA, Seq::new(n * 100), at(u64::from(n) * 10));
    }
    assert_eq!(log.acknowledge(UNA, Seq::new(250), at(100)), Some(80));
    assert_eq!(log.acknowledge(Seq::new(250), Seq::new(260), at(100)), None);
    assert_eq!(log.acknowledge(Seq::new(260), Seq::new(300), at(130)), Some(100));
    assert_eq!(log.len(), 0);
}

#[test]
fn what_was_sent_twice_is_never_measured() {
    let mut slots = [Sent::default(); 4];
    let mut log = SentLog::new((&mut slots[..]).into());
    for n in 1..=3u32 {
        log.push(UNA, Seq::new(n * 100), at(0));
    }
    log.resend(UNA, Seq::new(100), Seq::new(150), at(50));
    assert_eq!(log.acknowledge(UNA, Seq::new(100), at(60)), Some(60));
    assert_eq!(log.acknowledge(Seq::new(100), Seq::new(300), at(70)), None);
}

#[test]
fn a_full_log_extends_its_newest_record_across_the_wrap() {
    let mut slots = [Sent::default(); 2];
    let mut log = SentLog::new((&mut slots[..]).into());
    log.push(UNA, Seq::new(100), at(1));
    log.push(UNA, Seq::new(200), at(2));
    assert_eq!(log.acknowledge(UNA, Seq::new(100), at(5)), Some(4));
    log.push(Seq::new(100), Seq::new(300), at(3));
    log.push(Seq::new(100), Seq::new(400), at(4));
    assert_eq!(log.len(), 2);
    assert_eq!(log.acknowledge(Seq::new(100), Seq::new(300), at(9)), Some(7));
    assert_eq!(log.acknowledge(Seq::new(300), Seq::new(400), at(9)), Some(5));
}

#[test]
fn a_log_without_memory_measures_nothing_and_does_not_mind() {
    let mut log = SentLog::new((&mut [][..]).into());
    log.push(UNA, Seq::new(1), at(0));
    log.resend(UNA, Seq::new(0), Seq::new(1), at(0));
    assert_eq!(log.acknowledge(UNA, Seq::new(1), at(1)), None);
}

#[cfg(feature = "alloc")]
#[test]
fn an_owned_log_grows_in_order_and_gives_its_memory_back() {
    let mut log = SentLog::new(ManagedSlice::Owned(alloc::vec::Vec::new()));
    for n in 1..=6u32 {
        log.push(UNA, Seq::new(n), at(u64::from(n)));
    }
    log.acknowledge(UNA, Seq::new(5), at(6));
    for n in 7..=200u32 {
        log.push(Seq::new(5), Seq::new(n), at(u64::from(n)));
    }
    for n in 6..=200u32 {
        assert_eq!(log.acknowledge(Seq::new(n - 1), Seq::new(n), at(u64::from(n) + 3)), Some(3));
    }
    assert_eq!(log.into_storage().len(), 0);
}

#[cfg(feature = "sack")]
mod board {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    const MSS: u16 = 100;

    fn log(slots: &mut [Sent], segments: u32) -> SentLog<'_> {
        let mut log = SentLog::new(slots.into());
        for n in 1..=segments {
            log.push(UNA, Seq::new(n * 100), at(u64::from(n)));
        }
        log
    }

    fn sack(log: &mut SentLog<'_>, left: u32, right: u32) -> u32 {
        let mut news = Delivered::default();
        log.mark_sacked(UNA, Seq::new(left), Seq::new(right), MSS, &mut news);
        log.after_blocks(UNA);
        log.check(UNA);
        news.octets
    }

    #[test]
    fn a_block_marks_whole_segments_once_and_parts_of_segments_never() {
        let mut slots = [Sent::default(); 8];
        let mut log = log(&mut slots, 5);
        assert_eq!(sack(&mut log, 150, 199), 0);
        assert_eq!(sack(&mut log, 150, 350), 100);
        assert_eq!(sack(&mut log, 200, 300), 0);
        assert_eq!((log.sacked(), log.sacked_records(), log.len()), (100, 1, 5));
    }

    #[test]
    fn a_record_of_many_segments_is_cut_where_a_segment_ends() {
        let mut slots = [Sent::default(); 8];
        let mut log = SentLog::new((&mut slots[..]).into());
        log.push(UNA, Seq::new(1050), at(1));
        assert_eq!(sack(&mut log, 320, 710), 300);
        assert_eq!((log.len(), log.sacked()), (3, 300));
        assert_eq!(sack(&mut log, 900, 1050), 150);
        assert_eq!((log.len(), log.sacked()), (4, 450));
    }

    #[test]
    fn what_there_is_no_room_to_note_stays_unreported() {
        let mut slots = [Sent::default(); 2];
        let mut log = SentLog::new((&mut slots[..]).into());
        log.push(UNA, Seq::new(1000), at(1));
        assert_eq!(sack(&mut log, 300, 700), 0);
        assert_eq!((log.len(), log.sacked()), (2, 0));
        assert_eq!(sack(&mut log, 300, 1000), 700);
    }

    #[test]
    fn where_records_run_out_each_lost_segment_is_still_sent_again_by_itself() {
        let mut slots = [Sent::default(); 4];
        let mut log = log(&mut slots, 40);
        assert_eq!(log.len(), 4, "the last stands for 37 segments");
        sack(&mut log, 300, 400);
        sack(&mut log, 800, 900);
        log.mark_all_lost(UNA);
        assert_eq!(log.sacked(), 100, "there was a place for one of the two");
        let held = log.sacked();
        for n in (0..40u32).map(|n| n * 100) {
            let Some((start, end)) = log.first_lost(UNA, 100) else { break };
            let before = log.lost();
            assert!(start.at_or_after(Seq::new(n)), "in order");
            log.resend(UNA, start, end, at(100 + u64::from(n)));
            log.check(UNA);
            assert_eq!(log.lost(), before - 100, "only what has left is in flight again: {start:?}");
        }
        assert_eq!((log.lost(), log.sacked()), (0, held));
    }

    #[test]
    fn an_acknowledgment_into_a_record_takes_its_part_of_the_sums_along() {
        let mut slots = [Sent::default(); 8];
        let mut log = log(&mut slots, 4);
        sack(&mut log, 200, 300);
        log.mark_all_lost(UNA);
        assert_eq!((log.lost(), log.sacked()), (300, 100));
        let mut news = Delivered::default();
        log.acknowledge_marked(UNA, Seq::new(250), &mut news);
        log.check(Seq::new(250));
        assert_eq!((news.octets, log.lost(), log.sacked()), (200, 100, 50));
        assert!(log.is_reneged());
        log.forget_sacked(Seq::new(250));
        log.check(Seq::new(250));
        assert!(!log.is_reneged());
    }

    #[test]
    fn lost_octets_come_lowest_first_and_joined() {
        let mut slots = [Sent::default(); 8];
        let mut log = log(&mut slots, 6);
        sack(&mut log, 300, 400);
        log.mark_all_lost(UNA);
        assert_eq!(log.first_lost(UNA, 250), Some((UNA, Seq::new(250))));
        log.resend(UNA, UNA, Seq::new(250), at(9));
        log.check(UNA);
        assert_eq!(log.first_lost(UNA, 250), Some((Seq::new(250), Seq::new(300))));
        log.resend(UNA, Seq::new(250), Seq::new(300), at(9));
        log.check(UNA);
        assert_eq!(log.first_lost(UNA, 100), Some((Seq::new(400), Seq::new(500))));
        log.unmark_lost(UNA);
        log.check(UNA);
        assert_eq!(log.first_lost(UNA, 100), None);
    }

    #[test]
    fn the_tail_is_the_last_segment_of_the_newest_record() {
        let mut slots = [Sent::default(); 4];
        let mut log = SentLog::new((&mut slots[..]).into());
        assert!(!log.mark_tail_lost(UNA, 100));
        log.push(UNA, Seq::new(1050), at(1));
        assert!(log.mark_tail_lost(UNA, 100));
        log.check(UNA);
        assert_eq!(log.first_lost(UNA, 500), Some((Seq::new(950), Seq::new(1050))));
        assert!(!log.mark_tail_lost(UNA, 100));
    }

    #[test]
    fn a_full_log_forgets_the_marks_of_what_it_extends() {
        let mut slots = [Sent::default(); 2];
        let mut log = log(&mut slots, 2);
        sack(&mut log, 100, 200);
        log.push(UNA, Seq::new(300), at(9));
        log.check(UNA);
        assert_eq!((log.sacked(), log.len(), log.is_marked()), (0, 2, false));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push(u32),
        Sack(u32, u32),
        Ack(u32),
        Lose(u32),
        LoseAll,
        Resend(u32),
        Renege,
    }

    fn some_op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (1u32..250).prop_map(Op::Push),
            4 => (0u32..1500, 1u32..500).prop_map(|(a, b)| Op::Sack(a, b)),
            2 => (0u32..400).prop_map(Op::Ack),
            2 => (0u32..10).prop_map(Op::Lose),
            1 => Just(Op::LoseAll),
            3 => (1u32..250).prop_map(Op::Resend),
            1 => Just(Op::Renege),
        ]
    }

    proptest! {
        /// No octet is counted twice or lost sight of, whatever comes, and however little memory there is.
        #[test]
        fn the_sums_are_those_of_the_records(slots in 0usize..12, ops in proptest::collection::vec(some_op(), 0..80)) {
            let mut memory: Vec<Sent> = vec![Sent::default(); slots];
            let mut log = SentLog::new((&mut memory[..]).into());
            let (mut una, mut nxt) = (Seq::new(u32::MAX - 300), Seq::new(u32::MAX - 300));
            for (clock, op) in ops.into_iter().enumerate() {
                let now = at(clock as u64);
                let outstanding = nxt.distance_from(una);
                match op {
                    Op::Push(n) => {
                        nxt += n;
                        log.push(una, nxt, now);
                    }
                    Op::Sack(offset, len) if offset + len <= outstanding => {
                        let mut news = Delivered::default();
                        let before = log.sacked();
                        log.mark_sacked(una, una + offset, una + offset + len, MSS, &mut news);
                        log.after_blocks(una);
                        prop_assert_eq!(log.sacked() - before, news.octets);
                        prop_assert!(news.octets <= len);
                    }
                    Op::Ack(n) if n <= outstanding => {
                        let (mut news, before) = (Delivered::default(), log.sacked());
                        log.acknowledge_marked(una, una + n, &mut news);
                        una += n;
                        if slots > 0 {
                            prop_assert_eq!(news.octets + (before - log.sacked()), n);
                        }
                    }
                    Op::Lose(below) => {
                        log.detect(una, &mut |record| record.sacked_above > 0 && record.at < below);
                    }
                    Op::LoseAll => log.mark_all_lost(una),
                    Op::Resend(most) => {
                        if let Some((start, end)) = log.first_lost(una, most) {
                            let before = log.lost();
                            log.resend(una, start, end, now);
                            prop_assert!(log.lost() < before);
                        }
                    }
                    Op::Renege => log.forget_sacked(una),
                    _ => {}
                }
                log.check(una);
                prop_assert!(log.len() as usize <= slots);
                prop_assert!(log.sacked() + log.lost() <= nxt.distance_from(una));
            }
        }
    }
}
