extern crate std;
use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// A header of 20 octets with these options (padded by the caller to words) and text.
fn raw(options: &[u8], text: &[u8]) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0);
    let mut bytes = vec![0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0x10, 0x12, 0x34, 0xaa, 0xbb, 0, 7];
    bytes[12] = (5 + options.len() as u8 / 4) << 4;
    bytes.extend(options);
    bytes.extend(text);
    bytes
}

fn options(bytes: &[u8]) -> Options {
    Segment::parse(&raw(bytes, b"")).expect("a whole header").options
}

#[test]
fn a_segment_is_read_field_by_field() {
    let bytes = raw(&[], b"hello");
    let segment = Segment::parse(&bytes).expect("a whole header");
    assert_eq!((segment.src_port, segment.dst_port), (12345, 80));
    assert_eq!((segment.seq, segment.ack), (Seq::new(1), Seq::new(2)));
    assert_eq!((segment.flags, segment.window, segment.urgent), (Flags::ACK, 0x1234, 7));
    assert_eq!((segment.payload, segment.options.clone()), (&b"hello"[..], Options::NONE));
    assert_eq!(segment.len(), 5);
    let with = Segment { flags: Flags::SYN | Flags::FIN, ..segment };
    assert_eq!(with.len(), 7);
}

#[test]
fn a_data_offset_that_lies_and_a_truncated_header_are_malformed() {
    let mut bytes = raw(&[], b"hello");
    for words in 0..5 {
        bytes[12] = words << 4;
        assert_eq!(Segment::parse(&bytes).err(), Some(DropReason::TcpMalformed));
    }
    bytes[12] = 7 << 4;
    assert_eq!(Segment::parse(&bytes).err(), Some(DropReason::TcpMalformed));
    bytes[12] = 5 << 4;
    for len in 0..20 {
        assert_eq!(Segment::parse(&bytes[..len]).err(), Some(DropReason::TcpMalformed));
    }
}

#[test]
fn the_options_of_a_usual_syn_are_read_in_one_pass() {
    let bytes = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
    let expected = Options {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(Timestamps { val: 9, ecr: 0 }),
        sack: SackBlocks::new(),
    };
    assert_eq!(options(&bytes), expected);
}

#[test]
fn aligned_timestamps_take_the_short_way_to_the_same_result() {
    let aligned = options(&[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    let other = options(&[8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1]);
    assert_eq!(aligned.timestamps, Some(Timestamps { val: 0x0102_0304, ecr: 0x0506_0708 }));
    assert_eq!(aligned, other);
}

#[test]
fn illegal_option_lengths_keep_what_came_before_and_never_loop() {
    let mss = [2, 4, 5, 0xb4];
    for bad in [[254, 0, 0, 0], [254, 1, 0, 0], [254, 200, 0, 0], [1, 1, 1, 254], [3, 4, 9, 9], [8, 3, 0, 1]] {
        let bytes = [mss, bad].concat();
        assert_eq!(options(&bytes), Options { mss: Some(1460), ..Options::NONE }, "{bad:?}");
    }
    // The bad part first: a legal length octet lets the reader step over it.
    let bytes = [2, 3, 9, 254, 6, 0, 0, 0, 2, 4, 5, 0xb4];
    assert_eq!(options(&bytes).mss, None, "254 takes 6 octets and reaches into the MSS option");
    let bytes = [2, 3, 9, 254, 90, 0, 0, 1, 2, 4, 5, 0xb4];
    assert_eq!(options(&bytes).mss, None, "a length beyond the end");
    let bytes = [2, 3, 9, 1, 254, 4, 0, 0, 2, 4, 5, 0xb4];
    assert_eq!(options(&bytes).mss, Some(1460));
}

#[test]
fn junk_behind_the_end_of_options_is_not_read_and_forty_nops_are_nothing() {
    assert_eq!(options(&[0, 2, 4, 5, 0xb4, 0, 0, 0]), Options::NONE);
    assert_eq!(options(&[1; 40]), Options::NONE);
}

#[cfg(feature = "sack")]
#[test]
fn sack_blocks_come_in_eights_only() {
    let mut bytes = vec![1, 1, 5, 34];
    for n in 1..=8u32 {
        bytes.extend((n * 100).to_be_bytes());
    }
    let sack = options(&bytes).sack;
    assert_eq!(sack.len(), 4);
    assert_eq!(sack[3], (Seq::new(700), Seq::new(800)));
    assert!(options(&[1, 1, 5, 6, 0, 0, 0, 1]).sack.is_empty());
}

#[test]
fn flags_print_by_name() {
    assert_eq!(std::format!("{:?} {:?}", Flags::SYN | Flags::ACK, Flags::NONE), "SYN|ACK none");
}

#[test]
fn a_header_without_ack_carries_no_acknowledgment_number() {
    let reply = Reply { seq: Seq::new(1), ack: Seq::new(99), flags: Flags::RST, window: 0, timestamps: None };
    let mut buf = [0xee; 20];
    reply.header(1, 2).emit(&mut buf);
    assert_eq!(Segment::parse(&buf).expect("a whole header").ack, Seq::new(0));
}

#[test]
fn resets_answer_as_the_rfc_says_and_never_a_reset() {
    let bytes = raw(&[], b"0123456789");
    let acked = Segment::parse(&bytes).expect("a whole header");
    let reply = Reply::reset_for(&acked).expect("an answer");
    assert_eq!((reply.seq, reply.flags), (Seq::new(2), Flags::RST));
    let syn = Segment { flags: Flags::SYN, ..acked.clone() };
    let reply = Reply::reset_for(&syn).expect("an answer");
    assert_eq!((reply.seq, reply.ack, reply.flags), (Seq::new(0), Seq::new(12), Flags::RST | Flags::ACK));
    assert_eq!(Reply::reset_for(&Segment { flags: Flags::RST | Flags::ACK, ..acked }), None);
}

#[test]
fn the_checksum_goes_where_it_belongs() {
    let mut bytes = raw(&[], b"");
    set_checksum(&mut bytes, 0x1234);
    assert_eq!(bytes[CHECKSUM_OFFSET..18], [0x12, 0x34]);
    set_checksum(&mut [0; 3], 1);
}

prop_compose! {
    fn some_options()(mss in any::<Option<u16>>(), window_scale in any::<Option<u8>>(), sack_permitted: bool,
                      timestamps in any::<Option<(u32, u32)>>(),
                      sack in proptest::collection::vec(any::<(u32, u32)>(), 0..=BLOCKS)) -> Options {
        Options {
            mss, window_scale, sack_permitted,
            timestamps: timestamps.map(|(val, ecr)| Timestamps { val, ecr }),
            sack: sack.into_iter().map(|(a, b)| (Seq::new(a), Seq::new(b))).collect(),
        }
    }
}

proptest! {
    #[test]
    fn what_is_emitted_is_parsed_back(options in some_options(), flags: u8, seq: u32, ack: u32,
                                      window: u16, urgent: u16, text in proptest::collection::vec(any::<u8>(), 0..20)) {
        let flags = Flags::from_bits(flags | 0x10);
        let header = Header { src_port: 7, dst_port: 65535, seq: Seq::new(seq), ack: Seq::new(ack), flags, window, urgent, options };
        let len = header.len();
        prop_assert!(len.is_multiple_of(4) && len <= MAX_HEADER_LEN);
        let mut buf = vec![0xee; len];
        header.emit(&mut buf);
        buf.extend(&text);
        let segment = Segment::parse(&buf).expect("our own header");
        prop_assert_eq!((segment.seq, segment.ack, segment.flags), (header.seq, header.ack, flags));
        prop_assert_eq!((segment.src_port, segment.dst_port), (7, 65535));
        prop_assert_eq!((segment.window, segment.urgent, segment.payload), (window, urgent, &text[..]));
        let mut expected = header.options.clone();
        expected.sack.truncate(segment.options.sack.len());
        prop_assert_eq!(&segment.options, &expected);
        // No block is left out for which there was room.
        prop_assert!(segment.options.sack.len() == header.options.sack.len() || len + 8 > MAX_HEADER_LEN
                     || segment.options.sack.is_empty() && len + 12 > MAX_HEADER_LEN);
    }

    #[test]
    fn no_octets_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = Segment::parse(&bytes);
    }

    #[test]
    fn random_options_are_read_within_their_bounds(bytes in proptest::collection::vec(0u8..12, 40)) {
        let _ = options(&bytes);
    }
}
