//! Responses of every kind, honest and not.

use super::*;
use proptest::prelude::*;
extern crate std;
use std::vec::Vec as StdVec;

const ID: u16 = 0x1234;

fn name(text: &str) -> Name {
    Name::of(text).expect("a name")
}

/// A record, its owner uncompressed.
fn rr(owner: &str, kind: u16, ttl: u32, data: &[u8]) -> StdVec<u8> {
    let mut r = name(owner).octets().to_vec();
    r.extend(kind.to_be_bytes());
    r.extend(CLASS_IN.to_be_bytes());
    r.extend(ttl.to_be_bytes());
    r.extend((data.len() as u16).to_be_bytes());
    r.extend(data);
    r
}

fn a(owner: &str, ttl: u32, n: u8) -> StdVec<u8> {
    rr(owner, 1, ttl, &[192, 0, 2, n])
}

fn cname(owner: &str, target: &str) -> StdVec<u8> {
    rr(owner, CNAME, 300, name(target).octets())
}

fn soa(ttl: u32, minimum: u32) -> StdVec<u8> {
    let numbers = [1, 2, 3, 4, minimum].map(u32::to_be_bytes).concat();
    rr("example", SOA, ttl, &[name("ns.example").octets(), name("admin.example").octets(), &numbers].concat())
}

/// A response about `host.example`.
fn response(flags: u16, answers: &[StdVec<u8>], authority: &[StdVec<u8>]) -> StdVec<u8> {
    let mut buf = [0; LONGEST_QUERY];
    let len = write_query(&mut buf, ID, &name("host.example"), RecordKind::A);
    let mut m = buf[..len].to_vec();
    m[2..4].copy_from_slice(&flags.to_be_bytes());
    m[6..8].copy_from_slice(&(answers.len() as u16).to_be_bytes());
    m[8..10].copy_from_slice(&(authority.len() as u16).to_be_bytes());
    m.extend(answers.concat());
    m.extend(authority.concat());
    m
}

fn verdict(message: &[u8]) -> Verdict {
    judge(message, ID, &name("host.example"), false, RecordKind::A)
}

fn found(ttl: u32, last: &[u8]) -> Verdict {
    Verdict::Found(Addresses(last.iter().map(|&n| IpAddr::from([192, 0, 2, n])).collect()), ttl)
}

const OK: u16 = 0x8180;

#[test]
fn addresses_come_with_the_least_of_their_times() {
    let m = response(OK, &[a("host.example", 60, 1), a("HOST.example", 30, 2), a("other.example", 5, 3)], &[]);
    assert_eq!(verdict(&m), found(30, &[1, 2]));
    let m = response(OK, &[a("host.example", 0x8000_0001, 1)], &[]);
    assert_eq!(verdict(&m), found(0, &[1]));
}

/// H130: 50 addresses, room for four.
#[test]
fn more_addresses_than_there_is_room_for_are_left_out() {
    let all: StdVec<_> = (0..50).map(|n| a("host.example", 60, n)).collect();
    assert_eq!(verdict(&response(OK, &all, &[])), found(60, &[0, 1, 2, 3]));
}

/// H130.
#[test]
fn records_that_cannot_be_spoil_the_response() {
    let good = response(OK, &[a("host.example", 60, 1)], &[]);
    for end in 0..good.len() {
        assert_eq!(verdict(&good[..end]), Verdict::Ignored, "{end}");
    }
    for (at, value) in [(4, 1), (5, 0), (5, 2), (6, 0xff), (7, 2), (2, 0x01), (2, 0x89), (0, 0)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(verdict(&bad), Verdict::Ignored, "octet {at} = {value}");
    }
    for record in [
        rr("host.example", 1, 60, &[192, 0, 2]),
        rr("host.example", 1, 60, &[192, 0, 2, 1, 5]),
        rr("host.example", 28, 60, &[0; 15]),
        rr("host.example", CNAME, 60, &[1, b'a']),
        rr("host.example", CNAME, 60, &[1, b'a', 0, 0]),
    ] {
        assert_eq!(verdict(&response(OK, &[record, a("host.example", 60, 1)], &[])), Verdict::Ignored);
    }
    let mut past = good.clone();
    let at = past.len() - 5;
    past[at] = 200;
    assert_eq!(verdict(&past), Verdict::Ignored);
}

/// H131: another identifier, question, type or class.
#[test]
fn responses_to_other_questions_are_ignored() {
    let good = response(OK, &[a("host.example", 60, 1)], &[]);
    assert_eq!(judge(&good, ID + 1, &name("host.example"), false, RecordKind::A), Verdict::Ignored);
    assert_eq!(judge(&good, ID, &name("host.example"), false, RecordKind::Aaaa), Verdict::Ignored);
    assert_eq!(judge(&good, ID, &name("most.example"), false, RecordKind::A), Verdict::Ignored);
    let mut class = good.clone();
    class[HEADER + 14 + 3] = 3;
    assert_eq!(verdict(&class), Verdict::Ignored);
    let denied = response(OK | 3, &[], &[]);
    assert_eq!(judge(&denied, ID + 1, &name("host.example"), false, RecordKind::A), Verdict::Ignored);
}

/// H133.
#[test]
fn letter_case_counts_only_where_it_was_mixed_on_purpose() {
    let good = response(OK, &[a("host.example", 60, 1)], &[]);
    assert_eq!(judge(&good, ID, &name("HOST.Example"), false, RecordKind::A), found(60, &[1]));
    assert_eq!(judge(&good, ID, &name("HOST.Example"), true, RecordKind::A), Verdict::Ignored);
    assert_eq!(judge(&good, ID, &name("host.example"), true, RecordKind::A), found(60, &[1]));
}

/// H134: what a truncated response brings is not looked at.
#[test]
fn a_truncated_response_is_no_answer() {
    assert_eq!(verdict(&response(OK | 0x0200, &[a("host.example", 60, 1)], &[])), Verdict::Truncated);
}

/// H135.
#[test]
fn aliases_are_followed_in_any_order_and_not_in_circles() {
    let (one, two, end) = (cname("host.example", "b.example"), cname("b.example", "c.example"), a("c.example", 9, 7));
    for order in [[&one, &two, &end], [&end, &two, &one], [&two, &end, &one]] {
        assert_eq!(verdict(&response(OK, &order.map(Clone::clone), &[])), found(9, &[7]));
    }
    assert_eq!(verdict(&response(OK, &[cname("host.example", "host.example")], &[])), Verdict::Loop);
    let back = cname("b.example", "host.example");
    assert_eq!(verdict(&response(OK, &[one.clone(), back], &[])), Verdict::Loop);
    let inner = [one.clone(), cname("b.example", "c.example"), cname("c.example", "b.example")];
    assert_eq!(verdict(&response(OK, &inner, &[])), Verdict::Loop);
    let text = |n: usize| if n == 0 { "host.example".into() } else { std::format!("n{n}.example") };
    let long: StdVec<_> = (0..20).map(|n| cname(&text(n), &text(n + 1))).collect();
    assert_eq!(verdict(&response(OK, &long, &[])), Verdict::Loop);
    assert_eq!(verdict(&response(OK, &[one], &[])), Verdict::Alias(name("b.example")));
}

#[test]
fn negative_answers_last_as_long_as_the_soa_says() {
    assert_eq!(verdict(&response(OK | 3, &[], &[])), Verdict::NoName(None));
    assert_eq!(verdict(&response(OK | 3, &[], &[soa(600, 60)])), Verdict::NoName(Some(60)));
    assert_eq!(verdict(&response(OK, &[], &[soa(30, 60)])), Verdict::NoData(Some(30)));
    assert_eq!(verdict(&response(OK, &[], &[])), Verdict::NoData(None));
    let alias = response(OK | 3, &[cname("host.example", "b.example")], &[soa(600, 60)]);
    assert_eq!(verdict(&alias), Verdict::NoName(Some(60)));
}

/// H132, the codes.
#[test]
fn a_server_that_cannot_help_is_left_for_another() {
    for rcode in [1, 2, 4, 5, 9, 15] {
        assert_eq!(verdict(&response(OK | rcode, &[], &[])), Verdict::Failed, "{rcode}");
    }
    let mut bare = response(OK | 1, &[], &[])[..HEADER].to_vec();
    bare[5] = 0;
    assert_eq!(verdict(&bare), Verdict::Failed);
    bare[3] = 0x83;
    assert_eq!(verdict(&bare), Verdict::Ignored);
}

proptest! {
    #[test]
    fn no_octets_whatever_make_it_panic(noise in proptest::collection::vec(any::<u8>(), 0..200), answers in 0u8..4) {
        let mut m = response(OK, &[], &[]);
        m[7] = answers;
        m[9] = answers;
        m.extend(noise);
        let _ = verdict(&m);
    }
}
