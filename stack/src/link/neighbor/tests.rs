use super::table::{Lookup, Neighbors};
use super::*;
use crate::family::inside;
use crate::frame::{BoxedPool, Pool};
use crate::rng::Secret;
use crate::sockets::demux::{Demux, Slot};
use crate::stats::{DropReason, Stats};
use managed::ManagedSlice;
extern crate std;
use std::collections::HashMap;
use std::vec::Vec;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 8]);

fn ip(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))
}

fn ms(n: u64) -> Instant {
    Instant::from_millis(n)
}

fn table<'a>(limit: usize, park: usize) -> (Neighbors<'a>, Stats) {
    let index = Demux::new(ManagedSlice::Owned(Vec::new()));
    (Neighbors::new(ManagedSlice::Owned(Vec::new()), index, limit, park, &Secret::new([5; 16])), Stats::new())
}

fn park(t: &mut Neighbors<'static>, index: u32, pool: Pool<'static>, tag: u8, stats: &mut Stats) {
    let mut frame = pool.take(0).expect("a free slot");
    frame.extend(&[tag]).expect("room");
    t.park(index, frame, stats);
}

fn parked(t: &mut Neighbors<'_>, index: u32) -> Vec<u8> {
    std::iter::from_fn(|| t.take_parked(index)).map(|p| p.frame[0]).collect()
}

fn pool(count: usize) -> Pool<'static> {
    std::boxed::Box::leak(std::boxed::Box::new(BoxedPool::new(64, count))).pool()
}

fn broadcast(n: u32) -> Action {
    Action::Request { iface: 0, addr: ip(n), unicast: None }
}

/// H001.
#[test]
fn after_a_long_pause_one_request_goes_at_once_and_the_next_after_a_second() {
    let (mut t, mut stats) = table(4, 4);
    let start = Instant::from_secs(600);
    let Lookup::Unresolved(i, true) = t.lookup(start, 0, ip(9), Demand::Socket, &mut stats) else {
        panic!("a request at once");
    };
    park(&mut t, i, pool(1), 7, &mut stats);
    assert_eq!(t.deadline(i), Some(start + RETRANS));
    for later in [0, 1, 500, 999] {
        let now = start + Duration::from_millis(later);
        assert_eq!(t.lookup(now, 0, ip(9), Demand::Socket, &mut stats), Lookup::Unresolved(i, false));
        assert_eq!(t.on_deadline(now, i, &mut stats), Action::None);
    }
    let now = start + Duration::from_millis(2);
    assert_eq!(t.on_heard(now, 0, ip(9), MAC, true), Heard::Resolved(i));
    assert_eq!(parked(&mut t, i), [7]);
    assert_eq!(t.on_heard(now, 0, ip(9), MAC, true), Heard::Noted);
    assert_eq!(parked(&mut t, i), []);
    assert_eq!(t.lookup(now, 0, ip(9), Demand::Socket, &mut stats), Lookup::Known(MAC, i));
    assert_eq!(t.deadline(i), None);
}

/// H001, a timer that fires ten minutes late: one request, and the next a second after it.
#[test]
fn a_late_timer_does_not_catch_up() {
    let (mut t, mut stats) = table(4, 4);
    let Lookup::Unresolved(i, true) = t.lookup(ms(0), 0, ip(9), Demand::Socket, &mut stats) else {
        panic!("a request at once");
    };
    let late = Instant::from_secs(600);
    assert_eq!(t.on_deadline(late, i, &mut stats), broadcast(9));
    assert_eq!(t.on_deadline(late, i, &mut stats), Action::None);
    assert_eq!(t.deadline(i), Some(late + RETRANS));
}

/// H002.
#[test]
fn the_request_limit_is_per_neighbour() {
    let (mut t, mut stats) = table(8, 32);
    // Of so many frames, as many as there are neighbours may be parked.
    let pool = pool(32);
    let indices: Vec<u32> = (0..8u8)
        .map(|n| match t.lookup(ms(0), 0, ip(n.into()), Demand::Socket, &mut stats) {
            Lookup::Unresolved(i, true) => {
                park(&mut t, i, pool, n, &mut stats);
                i
            }
            other => panic!("neighbour {n}: {other:?}"),
        })
        .collect();
    assert_eq!(t.on_heard(ms(1), 0, ip(7), MAC, true), Heard::Resolved(indices[7]));
    assert_eq!(parked(&mut t, indices[7]), [7]);
    assert_eq!(t.parked(), 7);
}

/// H003.
#[test]
fn packets_for_a_dead_neighbour_push_out_their_own() {
    let (mut t, mut stats) = table(8, 32);
    let pool = pool(32);
    let Lookup::Unresolved(b, true) = t.lookup(ms(0), 0, ip(2), Demand::Socket, &mut stats) else { panic!() };
    park(&mut t, b, pool, 99, &mut stats);
    let Lookup::Unresolved(a, true) = t.lookup(ms(0), 0, ip(1), Demand::Socket, &mut stats) else { panic!() };
    for n in 0..20 {
        park(&mut t, a, pool, n, &mut stats);
    }
    assert_eq!(stats.dropped(DropReason::NeighborQueueFull), 17);
    assert_eq!(t.on_heard(ms(1), 0, ip(2), MAC, true), Heard::Resolved(b));
    assert_eq!(parked(&mut t, b), [99]);
    assert_eq!(parked(&mut t, a), [17, 18, 19]);
    assert_eq!(pool.free(), 32);
}

/// H144, as far as the table shows it.
#[test]
fn all_parked_packets_stay_within_their_share_and_the_oldest_goes() {
    let (mut t, mut stats) = table(64, 4);
    let pool = pool(16);
    let mut indices = Vec::new();
    for n in 0..64u8 {
        if let Lookup::Unresolved(i, _) = t.lookup(ms(0), 0, ip(n.into()), Demand::Socket, &mut stats) {
            park(&mut t, i, pool, n, &mut stats);
            indices.push(i);
        }
        assert!(t.parked() <= 4 && pool.free() >= 12);
    }
    let kept: Vec<u8> = indices.iter().flat_map(|&i| parked(&mut t, i)).collect();
    assert_eq!(kept, [60, 61, 62, 63]);
    assert_eq!(stats.dropped(DropReason::NeighborQueueFull), 60);
    let (mut none, mut stats) = table(2, 0);
    let Lookup::Unresolved(i, _) = none.lookup(ms(0), 0, ip(1), Demand::Socket, &mut stats) else { panic!() };
    park(&mut none, i, pool, 1, &mut stats);
    assert_eq!((none.parked(), stats.dropped(DropReason::NeighborQueueFull)), (0, 1));
}

#[test]
fn a_silent_neighbour_is_asked_thrice_then_held_down_then_asked_again_when_used() {
    let (mut t, mut stats) = table(4, 4);
    let Lookup::Unresolved(i, true) = t.lookup(ms(0), 0, ip(1), Demand::Socket, &mut stats) else { panic!() };
    park(&mut t, i, pool(1), 1, &mut stats);
    assert_eq!(t.on_deadline(ms(1000), i, &mut stats), broadcast(1));
    assert_eq!(t.on_deadline(ms(2000), i, &mut stats), broadcast(1));
    assert!(t.is_usable(ms(2999), 0, ip(1)));
    assert_eq!(t.on_deadline(ms(3000), i, &mut stats), Action::Failed);
    assert_eq!((t.parked(), stats.dropped(DropReason::NeighborFailed)), (0, 1));
    assert!(!t.is_usable(ms(3000), 0, ip(1)));
    // Held down: a packet may be parked, and is asked for when the time is over.
    assert_eq!(t.lookup(ms(3500), 0, ip(1), Demand::Socket, &mut stats), Lookup::Unresolved(i, false));
    park(&mut t, i, pool(1), 2, &mut stats);
    assert_eq!(t.deadline(i), Some(ms(4000)));
    assert_eq!(t.on_deadline(ms(4000), i, &mut stats), broadcast(1));
    assert!(!t.is_usable(ms(4100), 0, ip(1)), "suspect until it answers");
    assert_eq!(t.on_heard(ms(4200), 0, ip(1), MAC, true), Heard::Resolved(i));
    assert_eq!(parked(&mut t, i), [2]);
    assert!(t.is_usable(ms(4200), 0, ip(1)));
}

#[test]
fn a_failed_neighbour_that_nobody_wants_has_no_timer() {
    let (mut t, mut stats) = table(4, 4);
    let Lookup::Unresolved(i, true) = t.lookup(ms(0), 0, ip(1), Demand::Socket, &mut stats) else { panic!() };
    for at in [1000, 2000, 3000] {
        t.on_deadline(ms(at), i, &mut stats);
    }
    assert_eq!(t.deadline(i), None);
    assert_eq!(t.lookup(ms(4000), 0, ip(1), Demand::Socket, &mut stats), Lookup::Unresolved(i, true));
    let again = [5000, 6000, 7000].map(|at| t.on_deadline(ms(at), i, &mut stats));
    assert_eq!(again, [broadcast(1), broadcast(1), Action::Failed]);
}

/// H018's states, for ARP.
#[test]
fn a_neighbour_in_use_is_probed_and_given_up_while_a_confirmed_one_is_left_alone() {
    let (mut t, mut stats) = table(4, 4);
    let Lookup::Unresolved(i, true) = t.lookup(ms(0), 0, ip(1), Demand::Socket, &mut stats) else { panic!() };
    t.on_heard(ms(0), 0, ip(1), MAC, true);
    assert_eq!(t.known(ms(29_999), i, 0, ip(1)), Some(MAC));
    assert_eq!(t.known(ms(30_000), i, 0, ip(1)), None);
    assert_eq!(t.lookup(ms(30_000), 0, ip(1), Demand::Socket, &mut stats), Lookup::Known(MAC, i));
    assert_eq!(t.deadline(i), Some(ms(35_000)));
    // A connection makes progress: no probe.
    t.confirm(ms(31_000), i, 0, ip(1));
    assert_eq!(t.on_deadline(ms(35_000), i, &mut stats), Action::None);
    assert_eq!(t.known(ms(60_999), i, 0, ip(1)), Some(MAC));
    // No progress any more.
    assert_eq!(t.lookup(ms(61_000), 0, ip(1), Demand::Socket, &mut stats), Lookup::Known(MAC, i));
    let probe = Action::Request { iface: 0, addr: ip(1), unicast: Some(MAC) };
    for at in [66_000, 67_000, 68_000] {
        assert_eq!(t.deadline(i), Some(ms(at)));
        assert_eq!(t.on_deadline(ms(at), i, &mut stats), probe);
        assert_eq!(t.lookup(ms(at), 0, ip(1), Demand::Socket, &mut stats), Lookup::Known(MAC, i));
    }
    assert_eq!(t.on_deadline(ms(69_000), i, &mut stats), Action::Failed);
    assert!(!t.is_usable(ms(69_000), 0, ip(1)));
    // Confirming what is gone, or the place of another, changes nothing.
    t.confirm(ms(69_000), i, 0, ip(1));
    t.confirm(ms(69_000), i, 0, ip(2));
    t.confirm(ms(69_000), 77, 0, ip(1));
    assert!(!t.is_usable(ms(69_000), 0, ip(1)));
    assert!(t.is_usable(ms(99_000), 0, ip(1)), "tried again after a while");
}

#[test]
fn a_probed_neighbour_that_answers_is_reachable_again() {
    let (mut t, mut stats) = table(4, 4);
    t.learn(ms(0), 0, ip(1), MAC, &mut stats);
    let Lookup::Known(MAC, i) = t.lookup(ms(0), 0, ip(1), Demand::Socket, &mut stats) else { panic!() };
    t.on_deadline(ms(5000), i, &mut stats);
    assert_eq!(t.on_heard(ms(5001), 0, ip(1), MAC, true), Heard::Noted);
    assert_eq!(t.known(ms(5001), i, 0, ip(1)), Some(MAC));
    assert_eq!(t.deadline(i), None);
}

#[test]
fn a_changed_address_is_taken_but_has_to_prove_itself() {
    let (mut t, mut stats) = table(4, 4);
    let Lookup::Unresolved(i, true) = t.lookup(ms(0), 0, ip(1), Demand::Socket, &mut stats) else { panic!() };
    t.on_heard(ms(0), 0, ip(1), MAC, true);
    // Of two answers to one request the first counts.
    t.on_heard(ms(1), 0, ip(1), OTHER, true);
    assert_eq!(t.known(ms(1), i, 0, ip(1)), Some(MAC));
    // Later, an announcement moves it.
    t.on_heard(ms(1000), 0, ip(1), OTHER, false);
    assert_eq!(t.known(ms(1000), i, 0, ip(1)), None);
    assert_eq!(t.lookup(ms(1000), 0, ip(1), Demand::Socket, &mut stats), Lookup::Known(OTHER, i));
    assert_eq!(t.deadline(i), Some(ms(6000)));
    let states: Vec<_> = t.iter(ms(1000)).map(|n| (inside(n.addr), n.mac, n.state)).collect();
    assert_eq!(states, [(Some(ip(1)), Some(OTHER), NeighborState::Delay)]);
}

#[test]
fn answers_nobody_asked_for_make_no_entry() {
    let (mut t, _) = table(4, 4);
    assert_eq!(t.on_heard(ms(0), 0, ip(1), MAC, true), Heard::Unknown);
    assert_eq!(t.iter(ms(0)).count(), 0);
}

#[test]
fn a_neighbour_that_asks_for_us_while_we_ask_for_it_is_known() {
    let (mut t, mut stats) = table(4, 4);
    let Lookup::Unresolved(i, true) = t.lookup(ms(0), 0, ip(1), Demand::Socket, &mut stats) else { panic!() };
    park(&mut t, i, pool(1), 1, &mut stats);
    assert_eq!(t.learn(ms(1), 0, ip(1), MAC, &mut stats), Heard::Resolved(i));
    assert_eq!(parked(&mut t, i), [1]);
    // That we hear it says nothing of whether it hears us; nor does an answer that nobody asked for.
    let stale = |t: &Neighbors<'_>| t.iter(ms(1)).all(|n| n.state == NeighborState::Stale);
    assert!(stale(&t));
    t.on_heard(ms(1), 0, ip(1), MAC, true);
    assert!(stale(&t));
}

#[test]
fn a_request_without_a_frame_is_tried_again_soon_and_does_not_count() {
    let (mut t, mut stats) = table(4, 4);
    let Lookup::Unresolved(i, true) = t.lookup(ms(0), 0, ip(1), Demand::Socket, &mut stats) else { panic!() };
    for n in 0..100 {
        t.not_sent(ms(n * 10), i);
        assert_eq!(t.on_deadline(ms(n * 10 + 10), i, &mut stats), broadcast(1));
    }
    assert_eq!(t.on_deadline(ms(2000), i, &mut stats), broadcast(1));
    assert_eq!(t.on_deadline(ms(3000), i, &mut stats), broadcast(1));
    assert_eq!(t.on_deadline(ms(4000), i, &mut stats), Action::Failed);
}

/// H006: requests, then pings.
#[test]
fn strangers_do_not_push_out_neighbours_in_use() {
    let (mut t, mut stats) = table(8, 4);
    let (peer, router) = (ip(1), ip(2));
    t.learn(ms(0), 0, peer, MAC, &mut stats);
    let Lookup::Known(_, peer_at) = t.lookup(ms(0), 0, peer, Demand::Socket, &mut stats) else { panic!() };
    let Lookup::Unresolved(router_at, true) = t.lookup(ms(0), 0, router, Demand::Socket, &mut stats) else { panic!() };
    t.on_heard(ms(0), 0, router, OTHER, true);
    t.confirm(ms(0), peer_at, 0, peer);
    for n in 0..10_000u32 {
        let now = ms(u64::from(n));
        if n % 100 == 0 {
            t.confirm(now, peer_at, 0, peer);
            t.confirm(now, router_at, 0, router);
        }
        assert_eq!(t.known(now, peer_at, 0, peer), Some(MAC));
        assert_eq!(t.known(now, router_at, 0, router), Some(OTHER));
        t.learn(now, 0, ip(1000 + n), MAC, &mut stats);
        if n > 5000 {
            t.lookup(now, 0, ip(1000 + n), Demand::Reply, &mut stats);
        }
        assert!(t.iter(now).count() <= 8);
    }
    // The others gave way to one another: the last is there.
    assert!(t.iter(ms(9999)).any(|n| inside(n.addr) == Some(ip(10_999))));
    // Out of use, they go as well.
    for n in 0..8 {
        t.lookup(ms(60_000), 0, ip(20_000 + n), Demand::Socket, &mut stats);
    }
    assert!(t.iter(ms(60_000)).all(|n| inside(n.addr) != Some(peer) && inside(n.addr) != Some(router)));
}

/// H144: sources that do not resolve get half of the table, for a second each; somebody who asks for us is learned.
#[test]
fn replies_to_the_unresolvable_leave_room() {
    let (mut t, mut stats) = table(8, 4);
    let pool = pool(16);
    let mut requests: HashMap<IpAddr, Instant> = HashMap::new();
    let mut note = |addr: IpAddr, now: Instant| {
        if let Some(last) = requests.insert(addr, now) {
            assert!(now.since(last) >= RETRANS, "{addr} is asked for twice within a second");
        }
    };
    for n in 0..20_000u32 {
        let now = ms(u64::from(n));
        for i in 0..8 {
            if t.deadline(i).is_some_and(|at| at <= now)
                && let Action::Request { addr, .. } = t.on_deadline(now, i, &mut stats)
            {
                note(addr, now);
            }
        }
        let addr = ip(1000 + (n.wrapping_mul(0x9e37_79b9) >> 26));
        match t.lookup(now, 0, addr, Demand::Reply, &mut stats) {
            Lookup::Unresolved(i, request) => {
                if request {
                    note(addr, now);
                }
                park(&mut t, i, pool, 0, &mut stats);
            }
            Lookup::Full => {}
            Lookup::Known(..) => panic!("nobody answers"),
        }
        assert!(t.parked() <= 4);
        if n % 1000 == 999 {
            let newcomer = ip(100 + n / 1000);
            assert_eq!(t.learn(now, 0, newcomer, MAC, &mut stats), Heard::Noted);
            assert!(matches!(t.lookup(now, 0, newcomer, Demand::Reply, &mut stats), Lookup::Known(MAC, _)));
        }
    }
    // Four at a time, a second each, make 80 turns in these 20 seconds; three requests each would make 27.
    assert!(requests.len() >= 40, "{} took turns", requests.len());
}

/// H006: in use means within the last half minute, however many come.
#[test]
fn what_a_socket_used_lately_stays_and_of_the_rest_the_longest_unused_goes() {
    let (mut t, mut stats) = table(4, 4);
    for n in 0..4 {
        t.learn(ms(n), 0, ip(n as u32), MAC, &mut stats);
    }
    t.lookup(ms(10), 0, ip(0), Demand::Socket, &mut stats);
    t.lookup(ms(11), 0, ip(1), Demand::Reply, &mut stats);
    let has = |t: &Neighbors<'_>, n| t.iter(ms(0)).any(|e| inside(e.addr) == Some(ip(n)));
    // Heard of only: the oldest first.
    t.learn(ms(20), 0, ip(100), MAC, &mut stats);
    assert!(!has(&t, 2) && has(&t, 3));
    t.learn(ms(21), 0, ip(101), MAC, &mut stats);
    assert!(!has(&t, 3) && has(&t, 100));
    for n in 0..100 {
        t.lookup(ms(29_000), 0, ip(200 + n), Demand::Reply, &mut stats);
        t.learn(ms(29_000), 0, ip(300 + n), MAC, &mut stats);
    }
    assert!(has(&t, 0) && !has(&t, 1));
    for n in 0..4 {
        t.lookup(ms(30_010), 0, ip(400 + n), Demand::Socket, &mut stats);
    }
    assert!((0..4).all(|n| has(&t, 400 + n)) && !has(&t, 0));
}

/// H006: forgetting a neighbour does not have it asked for twice within a second.
#[test]
fn a_neighbour_asked_for_within_the_last_second_is_not_forgotten() {
    let (mut t, mut stats) = table(1, 4);
    assert_eq!(t.lookup(ms(0), 0, ip(1), Demand::Reply, &mut stats), Lookup::Unresolved(0, true));
    t.on_heard(ms(1), 0, ip(1), MAC, true);
    assert_eq!(t.lookup(ms(999), 0, ip(2), Demand::Reply, &mut stats), Lookup::Full);
    assert_eq!(t.lookup(ms(1000), 0, ip(2), Demand::Reply, &mut stats), Lookup::Unresolved(0, true));
}

#[test]
fn an_index_is_good_for_its_own_neighbour_only() {
    let (mut t, mut stats) = table(2, 4);
    t.learn(ms(0), 0, ip(1), MAC, &mut stats);
    t.confirm(ms(0), 0, 0, ip(2));
    t.confirm(ms(0), 0, 1, ip(1));
    assert_eq!(t.known(ms(0), 0, 0, ip(1)), None);
    t.confirm(ms(0), 0, 0, ip(1));
    assert_eq!(t.known(ms(0), 0, 0, ip(1)), Some(MAC));
    for (index, iface, addr) in [(0, 0, ip(2)), (0, 1, ip(1)), (1, 0, ip(1)), (9, 0, ip(1))] {
        assert_eq!(t.known(ms(0), index, iface, addr), None);
    }
}

/// H143, H149: an interface leaves nothing behind.
#[test]
fn removing_an_interface_forgets_its_neighbours_and_frees_their_frames() {
    let (mut t, mut stats) = table(4, 4);
    let pool = pool(2);
    let Lookup::Unresolved(i, _) = t.lookup(ms(0), 1, ip(1), Demand::Socket, &mut stats) else { panic!() };
    park(&mut t, i, pool, 1, &mut stats);
    t.learn(ms(0), 0, ip(1), MAC, &mut stats);
    let mut seen = 0;
    t.remove_iface(1, DropReason::NoRoute, &mut stats, |_| seen += 1);
    assert_eq!((seen, pool.free(), t.deadline(i)), (1, 2, None));
    let left: Vec<_> = t.iter(ms(0)).map(|n| (n.iface, inside(n.addr))).collect();
    assert_eq!(left, [(0, Some(ip(1)))]);
    for n in 10..13 {
        let found = t.lookup(ms(0), 0, ip(n), Demand::Socket, &mut stats);
        assert!(matches!(found, Lookup::Unresolved(_, true)), "{found:?}");
    }
    // The learned one, never used, gives way; those in use do not.
    assert_eq!(t.lookup(ms(0), 0, ip(98), Demand::Socket, &mut stats), Lookup::Unresolved(1, true));
    assert_eq!(t.lookup(ms(0), 0, ip(99), Demand::Socket, &mut stats), Lookup::Full);
}

/// Borrowed and owned tables answer alike, and as a search of all entries would.
#[test]
fn borrowed_and_owned_tables_are_the_same() {
    let (mut owned, mut stats) = table(8, 4);
    let mut slots: Vec<_> = (0..8).map(|_| NeighborSlot::new()).collect();
    let mut places = [const { Slot::new() }; 16];
    let index = Demux::new(ManagedSlice::Borrowed(&mut places));
    let secret = Secret::new([5; 16]);
    let mut borrowed = Neighbors::new(ManagedSlice::Borrowed(&mut slots), index, usize::MAX, 4, &secret);
    let mut seed = 1u32;
    for n in 0..20_000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (now, addr, iface) = (ms(n * 50), ip(seed >> 16 & 15), (seed >> 20 & 1) as u8);
        match seed >> 24 & 7 {
            0 | 1 => {
                let a = owned.lookup(now, iface, addr, Demand::Socket, &mut stats);
                assert_eq!(a, borrowed.lookup(now, iface, addr, Demand::Socket, &mut stats));
                assert!(
                    a == Lookup::Full
                        || owned.iter(now).any(|e| e.iface == usize::from(iface) && inside(e.addr) == Some(addr))
                );
            }
            2 => {
                let a = owned.lookup(now, iface, addr, Demand::Reply, &mut stats);
                assert_eq!(a, borrowed.lookup(now, iface, addr, Demand::Reply, &mut stats));
            }
            3 | 4 => {
                let a = owned.learn(now, iface, addr, MAC, &mut stats);
                assert_eq!(a, borrowed.learn(now, iface, addr, MAC, &mut stats));
            }
            5 => {
                let there = owned.iter(now).any(|e| e.iface == usize::from(iface) && inside(e.addr) == Some(addr));
                let a = owned.on_heard(now, iface, addr, MAC, true);
                assert_eq!(a == Heard::Unknown, !there);
                assert_eq!(a, borrowed.on_heard(now, iface, addr, MAC, true));
            }
            6 if n % 64 == 0 => {
                owned.remove_iface(iface, DropReason::NoRoute, &mut stats, |_| {});
                borrowed.remove_iface(iface, DropReason::NoRoute, &mut stats, |_| {});
            }
            _ => {
                for i in 0..8 {
                    assert_eq!(owned.deadline(i), borrowed.deadline(i));
                    let a = owned.on_deadline(now, i, &mut stats);
                    assert_eq!(a, borrowed.on_deadline(now, i, &mut stats));
                }
            }
        }
        assert!(owned.iter(now).eq(borrowed.iter(now)));
        let mut names: Vec<_> = owned.iter(now).map(|e| (e.iface, e.addr)).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), owned.iter(now).count(), "nobody is there twice");
    }
}
