use super::*;
use crate::frame::BoxedPool;
use crate::ip::fragment::{cut, write_header};
use crate::wire::ipv4::{self, Fields, parse};
use core::net::Ipv4Addr;
use proptest::prelude::*;
extern crate std;
use std::vec::Vec as StdVec;

const US: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

struct Bench {
    pool: Pool<'static>,
    slots: Reassembly<'static>,
    stats: Stats,
}

impl Bench {
    fn new(slots: usize, frames: usize) -> Self {
        Self::with_frames_of(slots, frames, 66_000)
    }

    fn with_frames_of(slots: usize, frames: usize, size: usize) -> Self {
        let pool = std::boxed::Box::leak(std::boxed::Box::new(BoxedPool::new(size, frames))).pool();
        let slots = ManagedSlice::Owned((0..slots).map(|_| ReassemblySlot::new()).collect());
        Self { pool, slots: Reassembly::new(slots, 0), stats: Stats::new() }
    }

    fn feed(&mut self, now: Instant, packet: &[u8]) -> Result<Option<StdVec<u8>>, DropReason> {
        let header = parse(packet).expect("a valid header");
        let whole = self.slots.handle(now, &header, packet, self.pool, &mut self.stats)?;
        Ok(whole.map(|f| f.to_vec()))
    }
}

/// One fragment.
fn piece(src: Ipv4Addr, protocol: u8, ident: u16, offset: u16, more: bool, payload: &[u8]) -> StdVec<u8> {
    let mut p = std::vec![0; ipv4::HEADER];
    let fields = Fields { src, dst: US, protocol, ttl: 9, tos: 0, ident, dont_frag: false };
    ipv4::emit(&mut p, &fields, payload.len());
    ipv4::set_fragment(&mut p, offset, more, payload.len());
    p.extend_from_slice(payload);
    p
}

/// A whole packet and its fragments.
fn fragments(src: Ipv4Addr, protocol: u8, ident: u16, len: usize, mtu: usize) -> (StdVec<u8>, StdVec<StdVec<u8>>) {
    let payload: StdVec<u8> = (0..len).map(|n| (n as u8).wrapping_mul(31) ^ (n >> 8) as u8 ^ ident as u8).collect();
    let whole = piece(src, protocol, ident, 0, false, &payload);
    let pieces = cut(&whole[..20], len, mtu).expect("can be cut").map(|p| {
        let mut f = std::vec![0; 20];
        write_header(&mut f, &whole[..20], &p);
        f.extend_from_slice(&payload[p.start..p.start + p.len]);
        f
    });
    (whole.clone(), pieces.collect())
}

/// RFC 3168 §5.3.
#[test]
fn a_mark_on_one_fragment_is_on_the_whole_and_beside_one_that_knows_no_marks_nothing_is_whole() {
    let (not_ect, ect1, ect0, ce) = (0, 1, 2, 3);
    let cases = [
        ([not_ect, not_ect], Some(not_ect)),
        ([ect0, ect0], Some(ect0)),
        ([ect1, ce], Some(ce)),
        ([ce, ect0], Some(ce)),
        ([ce, ce], Some(ce)),
        ([not_ect, ce], None),
        ([ce, not_ect], None),
    ];
    for (marks, expected) in cases {
        for order in [[0, 1], [1, 0]] {
            let mut bench = Bench::new(2, 4);
            let (_, mut pieces) = fragments(PEER, 17, 7, 2_000, 1_500);
            let mut result = Ok(None);
            for n in order {
                pieces[n][1] = marks[n];
                ipv4::set_checksum(&mut pieces[n][..20]);
                result = bench.feed(Instant::ZERO, &pieces[n]);
            }
            match expected {
                Some(mark) => {
                    let whole = result.expect("taken").expect("whole");
                    assert_eq!(whole[1], mark, "{marks:?}");
                    assert!(parse(&whole).is_ok(), "with its checksum");
                }
                None => assert_eq!(result, Err(DropReason::FragmentMalformed), "{marks:?}"),
            }
        }
    }
}

#[cfg(feature = "ipv6")]
#[test]
fn the_ecn_field_of_ipv6_lies_in_the_lower_bits_of_the_traffic_class() {
    // Version 6, traffic class 0xb9 (DSCP 46, ECT(1)), flow label 0x5_4321.
    let mut header = [0x6b, 0x95, 0x43, 0x21];
    assert_eq!(ecn_field(&header), 1);
    set_ce(&mut header);
    assert_eq!(header, [0x6b, 0xb5, 0x43, 0x21]);
}

/// H028.
#[test]
fn five_fragments_in_every_order_twice_each_make_one_datagram() {
    let (whole, pieces) = fragments(PEER, 17, 7, 4 * 24 + 5, 44);
    assert_eq!(pieces.len(), 5);
    let mut count = 0;
    for n in 0..3125 {
        let order: StdVec<usize> = (0..5).map(|i| n / 5usize.pow(i) % 5).collect();
        if (0..5).any(|i| !order.contains(&i)) {
            continue;
        }
        count += 1;
        let twice = order.iter().flat_map(|&i| [i, i]).collect::<StdVec<_>>();
        let again = order.iter().chain(&order).copied().collect();
        for order in [twice, again] {
            let mut b = Bench::new(2, 2);
            let results: StdVec<_> = order.iter().map(|&i| b.feed(Instant::ZERO, &pieces[i])).collect();
            assert!(results.iter().all(|r| r.is_ok() || *r == Err(DropReason::FragmentDuplicate)), "{order:?}");
            let delivered: StdVec<_> = results.into_iter().filter_map(|r| r.ok().flatten()).collect();
            assert_eq!(delivered, std::slice::from_ref(&whole), "{order:?}");
            assert_eq!(b.pool.free(), 2);
            assert_eq!(b.stats.reassembled, 1);
        }
    }
    assert_eq!(count, 120);
}

/// H025.
#[test]
fn lone_fragments_give_way_to_whole_datagrams() {
    for frames in [4, 2] {
        let mut b = Bench::new(4, frames);
        for n in 0..4 {
            let spoofed = Ipv4Addr::new(198, 51, 100, n);
            assert_eq!(b.feed(Instant::ZERO, &piece(spoofed, 17, 1, 0, true, &[0; 8])), Ok(None));
        }
        for ident in 0..10 {
            let (whole, pieces) = fragments(PEER, 17, ident, 2000, 1500);
            let now = Instant::from_millis(u64::from(ident) + 1);
            assert_eq!(b.feed(now, &pieces[0]), Ok(None));
            assert_eq!(b.feed(now, &pieces[1]), Ok(Some(whole)));
        }
        assert!(b.stats.dropped(DropReason::FragmentEvicted) >= 1);
    }
}

/// What is remembered of a whole datagram is given up before what is still incomplete.
#[test]
fn a_whole_datagram_gives_way_before_an_incomplete_one() {
    let mut b = Bench::new(2, 2);
    let (whole, pieces) = fragments(PEER, 17, 1, 2000, 1500);
    assert_eq!(b.feed(Instant::ZERO, &pieces[0]), Ok(None));
    let (_, other) = fragments(PEER, 17, 2, 2000, 1500);
    for piece in &other {
        b.feed(Instant::from_millis(1), piece).expect("fits");
    }
    assert_eq!(b.feed(Instant::from_millis(2), &piece(PEER, 17, 3, 0, true, &[0; 8])), Ok(None));
    assert_eq!(b.feed(Instant::from_millis(3), &pieces[1]), Ok(Some(whole)));
}

/// H025.
#[test]
fn ten_thousand_lone_fragments_take_no_more_memory_than_there_is() {
    let mut b = Bench::new(4, 4);
    for n in 0..10_000u32 {
        let src = Ipv4Addr::from_bits(0x0a00_0000 + n);
        assert_eq!(b.feed(Instant::from_millis(n.into()), &piece(src, 17, 1, 0, true, &[0; 8])), Ok(None));
    }
    assert_eq!((b.pool.free(), b.stats.dropped(DropReason::FragmentEvicted)), (0, 9_996));
    // Small ones in reverse order: bounded per datagram.
    let mut b = Bench::new(4, 4);
    let results: StdVec<_> =
        (1..1000).rev().map(|n| b.feed(Instant::ZERO, &piece(PEER, 17, 2, n * 8, true, &[0; 8]))).collect();
    assert_eq!(results.iter().filter(|r| **r == Ok(None)).count(), FRAGMENTS);
    assert_eq!(results.last(), Some(&Err(DropReason::FragmentNoRoom)));
    assert_eq!(b.pool.free(), 3);
}

/// H026, H030.
#[test]
fn fragments_that_cannot_be_are_dropped() {
    let malformed = Err(DropReason::FragmentMalformed);
    let mut b = Bench::new(2, 2);
    assert_eq!(b.feed(Instant::ZERO, &piece(PEER, 17, 1, 65_512, false, &[0; 100])), malformed);
    assert_eq!(b.feed(Instant::ZERO, &piece(PEER, 17, 1, 65_528, false, &[0; 8])), malformed);
    assert_eq!(b.feed(Instant::ZERO, &piece(PEER, 17, 1, 0, true, &[0; 9])), malformed);
    assert_eq!(b.feed(Instant::ZERO, &piece(PEER, 17, 1, 0, true, &[])), malformed);
    assert_eq!(b.feed(Instant::ZERO, &piece(PEER, 17, 1, 8, false, &[])), malformed);
    assert_eq!((b.pool.free(), b.slots.deadline()), (2, None));
}

/// H026: also where only the first fragment's options make it too long.
#[test]
fn a_datagram_longer_than_any_can_be_is_dropped_when_it_is_whole() {
    let mut b = Bench::new(1, 1);
    let mut first = piece(PEER, 17, 1, 0, true, &[1; 4 + 65_504]);
    first[0] = 0x46;
    ipv4::set_checksum(&mut first[..24]);
    assert_eq!(b.feed(Instant::ZERO, &first), Ok(None));
    let last = piece(PEER, 17, 1, 65_504, false, &[2; 11]);
    assert_eq!(b.feed(Instant::ZERO, &last), Err(DropReason::FragmentMalformed));
    assert_eq!(b.pool.free(), 1);
}

/// H027.
#[test]
fn overlapping_fragments_discard_the_whole_datagram_and_what_comes_of_it_later() {
    // Offset, length, more.
    let cases: &[&[(u16, usize, bool)]] = &[
        &[(0, 16, true), (8, 16, true)],
        &[(8, 16, true), (0, 16, true)],
        &[(0, 32, true), (8, 8, true)],
        &[(8, 8, true), (0, 32, true)],
        &[(0, 32, true), (0, 8, true)],
        &[(0, 32, true), (24, 8, true)],
        &[(0, 8, true), (0, 32, true)],
        &[(16, 9, false), (16, 8, true)],
        &[(16, 9, false), (24, 8, true)],
        &[(16, 9, false), (16, 10, false)],
        &[(16, 8, false), (16, 8, true)],
        &[(16, 8, true), (16, 8, false), (24, 8, false)],
        &[(24, 8, true), (8, 8, false)],
        &[(0, 24, true), (8, 8, false)],
    ];
    for case in cases {
        let mut b = Bench::new(2, 2);
        let mut send = |offset, len, more| {
            let fill = std::vec![(offset / 8) as u8; len];
            b.feed(Instant::from_secs(1), &piece(PEER, 6, 9, offset, more, &fill))
        };
        let (last, before) = case.split_last().expect("not empty");
        let results: StdVec<_> = before.iter().chain([last]).map(|&(o, l, m)| send(o, l, m)).collect();
        assert!(results.contains(&Err(DropReason::FragmentOverlap)), "{case:?}: {results:?}");
        // The rest, exactly as it should have been.
        for (offset, more) in [(0, true), (8, true), (16, true), (24, true), (32, false)] {
            assert_eq!(send(offset, 8, more), Err(DropReason::FragmentOverlap), "{case:?}");
        }
        assert_eq!(b.pool.free(), 2);
    }
}

/// H027: overlap by one octet, where the last fragment's length is no multiple of eight.
#[test]
fn an_overlap_of_one_octet_is_one() {
    for order in [[0, 1], [1, 0]] {
        let mut b = Bench::new(1, 1);
        let pieces = [piece(PEER, 17, 1, 0, false, &[1; 9]), piece(PEER, 17, 1, 8, true, &[2; 8])];
        assert_eq!(b.feed(Instant::ZERO, &piece(PEER, 17, 1, 64, true, &[2; 8])), Ok(None));
        let results = order.map(|i| b.feed(Instant::ZERO, &pieces[i]));
        assert!(results.contains(&Err(DropReason::FragmentOverlap)), "{order:?} {results:?}");
    }
}

/// H029.
#[test]
fn sources_and_protocols_are_kept_apart() {
    let other = Ipv4Addr::new(192, 0, 2, 10);
    let sets =
        [fragments(PEER, 17, 5, 3000, 1500), fragments(other, 17, 5, 3100, 1500), fragments(PEER, 1, 5, 3200, 1500)];
    let mut b = Bench::new(3, 3);
    for i in 0..3 {
        for (whole, pieces) in &sets {
            let expected = if i == 2 { Some(whole.clone()) } else { None };
            assert_eq!(b.feed(Instant::ZERO, &pieces[i]), Ok(expected));
        }
    }
}

/// H031.
#[test]
fn what_stays_incomplete_is_freed_after_a_minute_and_reported_only_with_its_beginning() {
    let (_, pieces) = fragments(PEER, 17, 5, 3000, 1500);
    for (piece, reported) in [(0, true), (1, false)] {
        let mut b = Bench::new(2, 2);
        let now = Instant::from_secs(10);
        assert_eq!(b.feed(now, &pieces[piece]), Ok(None));
        let end = Instant::from_secs(70);
        assert_eq!(b.slots.deadline(), Some(end));
        assert_eq!(b.slots.on_deadline(Instant::from_micros(69_999_999), &mut b.stats), None);
        assert_eq!(b.pool.free(), 1);
        let expired = b.slots.on_deadline(end, &mut b.stats);
        assert_eq!(expired.map(|e| e.quote.to_vec()), reported.then(|| pieces[0][..28].to_vec()));
        assert_eq!(b.slots.on_deadline(end, &mut b.stats), None);
        assert_eq!((b.pool.free(), b.slots.deadline()), (2, None));
        assert_eq!(b.stats.dropped(DropReason::FragmentTimeout), 1);
    }
}

#[test]
fn a_datagram_that_expired_unnoticed_is_not_mixed_with_a_new_one_of_its_name() {
    let mut b = Bench::new(2, 2);
    assert_eq!(b.feed(Instant::ZERO, &piece(PEER, 17, 1, 8, true, &[9; 8])), Ok(None));
    let now = Instant::from_secs(60);
    assert_eq!(b.feed(now, &piece(PEER, 17, 1, 0, true, &[1; 8])), Ok(None));
    let whole = b.feed(now, &piece(PEER, 17, 1, 8, false, &[2; 4])).expect("fits").expect("whole");
    assert_eq!(whole[20..], [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]);
}

/// A datagram larger than the frames: a counted drop.
#[test]
fn a_datagram_too_large_for_its_frame_is_given_up() {
    let mut b = Bench::with_frames_of(2, 2, 512);
    let (_, pieces) = fragments(PEER, 17, 5, 600, 276);
    assert_eq!(b.feed(Instant::ZERO, &pieces[0]), Ok(None));
    assert_eq!(b.feed(Instant::ZERO, &pieces[1]), Err(DropReason::FragmentTooLarge));
    assert_eq!(b.pool.free(), 2);
}

#[test]
fn the_last_frames_are_left_for_others() {
    let mut b = Bench::new(4, 4);
    b.slots.reserve = 3;
    assert_eq!(b.feed(Instant::ZERO, &piece(PEER, 17, 1, 0, true, &[0; 8])), Ok(None));
    assert_eq!(b.feed(Instant::ZERO, &piece(PEER, 17, 2, 0, true, &[0; 8])), Ok(None), "the oldest gave way");
    assert_eq!((b.pool.free(), b.stats.dropped(DropReason::FragmentEvicted)), (3, 1));
    let others = b.pool.take(0);
    assert_eq!(b.feed(Instant::ZERO, &piece(PEER, 17, 3, 0, true, &[0; 8])), Err(DropReason::FragmentNoRoom));
    assert_eq!(b.stats.dropped(DropReason::FragmentEvicted), 1, "nothing is lost for nothing");
    drop(others);
    b.slots.clear(&mut b.stats);
    assert_eq!(b.pool.free(), 4);
}

#[test]
fn the_options_of_the_first_fragment_are_the_datagrams() {
    let mut b = Bench::new(1, 1);
    let mut first = piece(PEER, 17, 1, 0, true, &[1, 1, 1, 0, 9, 9, 9, 9, 9, 9, 9, 9]);
    first[0] = 0x46;
    ipv4::set_checksum(&mut first[..24]);
    assert_eq!(b.feed(Instant::ZERO, &piece(PEER, 17, 1, 8, false, &[8])), Ok(None));
    let whole = b.feed(Instant::ZERO, &first).expect("fits").expect("whole");
    let header = parse(&whole).expect("a valid header");
    assert_eq!((header.header_len, header.total_len, header.is_fragment()), (24, 33, false));
    assert_eq!(whole[20..], [1, 1, 1, 0, 9, 9, 9, 9, 9, 9, 9, 9, 8]);
}

proptest! {
    /// Any fragments at all: what comes out is made of what went in, and frames are not lost.
    #[test]
    fn delivered_octets_are_those_of_fragments_that_fit_together(
        ops in proptest::collection::vec((0u16..8, 1u16..4, any::<bool>(), 0u16..2, 0u64..40), 1..60),
    ) {
        let mut b = Bench::new(2, 2);
        let mut now = Instant::ZERO;
        for (offset, units, more, ident, seconds) in ops {
            now += Duration::from_secs(seconds);
            while b.slots.on_deadline(now, &mut b.stats).is_some() {}
            // Each octet says where in the datagram it belongs, so that a mixture shows.
            let fill: StdVec<u8> = (offset * 8..(offset + units) * 8).map(|n| n as u8).collect();
            if let Ok(Some(whole)) = b.feed(now, &piece(PEER, 17, ident, offset * 8, more, &fill)) {
                let expected: StdVec<u8> = (0..whole.len() - 20).map(|n| n as u8).collect();
                prop_assert_eq!(&whole[20..], expected);
                prop_assert!(parse(&whole).is_ok());
            }
            prop_assert_eq!(b.slots.deadline().is_some_and(|at| at <= now), false);
        }
        b.slots.clear(&mut b.stats);
        prop_assert_eq!(b.pool.free(), 2);
    }
}
