//! The driver over a model of its registers and its DMA, as the i.MX RT1060's manual describes them.

mod model;

extern crate std;
use super::descriptor::{RxDesc, TxDesc};
use super::{Enet, Features, Interface, TimerRate, align, management_clock, reg};
use crate::engine::tests::cases::{self, OnRings, RingSubject};
use crate::engine::tests::world::{Hardware as _, ModelRegisters, STATION, Shared, World};
use crate::engine::tests::{random, stamps};
use crate::engine::{Engine as _, Filter, Rings};
use crate::interrupt::Attention;
use crate::nic::Nic as _;
use crate::phy::{Mode, Speed};
use crate::regs::{Registers as _, Timeout};
use crate::word::Word;
use model::Model;
use ringtap::device::{Device as _, Link, Mac, TxChecksum, TxMeta};
use ringtap::frame::BoxedPool;
use ringtap::time::Instant;

/// The driver with descriptors of `N` words.
struct With<const N: usize>;

type TestEnet<const N: usize> = Enet<ModelRegisters<Model<N>>, N>;

impl<const N: usize> RingSubject for With<N> {
    type Engine = TestEnet<N>;
    type Hardware = Model<N>;

    fn engine(world: &Shared<Model<N>>) -> Self::Engine {
        engine(world)
    }

    fn rx() -> RxDesc<N> {
        RxDesc::new()
    }

    fn tx() -> TxDesc<N> {
        TxDesc::new()
    }

    fn rx_words(descriptor: &RxDesc<N>) -> &[Word] {
        descriptor.words()
    }

    fn tx_words(descriptor: &TxDesc<N>) -> &[Word] {
        descriptor.words()
    }

    fn never_resets(hardware: &mut Model<N>) {
        hardware.stuck = true;
    }
}

fn engine<const N: usize>(world: &Shared<Model<N>>) -> TestEnet<N> {
    let timestamps = TimerRate::from_hz(25_000_000);
    let features =
        Features { interface: Interface::Rmii, clock_hz: 150_000_000, inserts: true, verifies: true, timestamps };
    Enet::new(ModelRegisters(world.clone(), 0), features)
}

#[test]
fn the_driver_passes_every_case_with_legacy_descriptors() {
    cases::all::<OnRings<With<2>>>();
}

#[test]
fn the_driver_passes_every_case_with_enhanced_descriptors() {
    cases::all::<OnRings<With<8>>>();
}

#[test]
fn packets_and_frames_are_stamped_with_when_they_passed() {
    stamps::all::<With<8>>();
}

#[test]
fn a_cycle_of_the_clock_has_whole_nanoseconds() {
    for hz in [0, 7_000_000, 7_812_500, 120_000_000, 1_000_000_001] {
        assert_eq!(TimerRate::from_hz(hz), None, "{hz} Hz");
    }
    for (hz, nanos) in [(8_000_000, 125), (25_000_000, 40), (50_000_000, 20), (125_000_000, 8), (1_000_000_000, 1)] {
        assert_eq!(TimerRate::from_hz(hz), Some(TimerRate { nanos }), "{hz} Hz");
    }
    let memory = BoxedPool::new(cases::SLOT, cases::RX + 1);
    let (world, _nic) = cases::world::<OnRings<With<8>>>(memory.pool(), false, 1);
    let read = |offset| ModelRegisters(world.clone(), 0).read(offset);
    assert_eq!((read(reg::ATINC), read(reg::ATPER)), (40, 1_000_000_000));
}

#[test]
fn a_clock_that_nothing_drives_costs_the_stamps_and_no_packet() {
    let memory = BoxedPool::new(cases::SLOT, cases::RX + 1);
    let (world, mut nic) = cases::world::<OnRings<With<8>>>(memory.pool(), false, 1);
    world.0.borrow_mut().hardware.unclocked = true;
    for n in 0..3 {
        world
            .0
            .borrow_mut()
            .incoming
            .push_back(crate::engine::tests::world::Packet { octets: [n; 60].to_vec(), error: None });
        world.0.borrow_mut().receive_one();
        let (frame, meta) = nic.receive().expect("a packet");
        assert_eq!((frame[0], meta.timestamp), (n, None));
    }
    assert_eq!(nic.clock(), None);
}

#[test]
fn a_second_that_ends_asks_for_a_look_at_the_clock() {
    let memory = BoxedPool::new(cases::SLOT, cases::RX + 1);
    let (world, mut nic) = cases::world::<OnRings<With<8>>>(memory.pool(), false, 1);
    let attention: &'static Attention = std::boxed::Box::leak(std::boxed::Box::new(Attention::new()));
    nic.set_attention(attention);
    for tenth in 1..100 {
        world.0.borrow_mut().hardware.set_time(tenth * 100_000_000);
        if world.0.borrow().hardware.interrupt() {
            assert_eq!(tenth % 10, 0);
            nic.engine().interrupts(false);
            attention.raise();
        }
        if attention.is_raised() {
            assert!(nic.receive().is_none());
        }
    }
    assert_eq!(nic.clock(), Some(Instant::from_micros(9_900_000)));
}

#[test]
fn packets_pass_or_are_counted_over_an_engine_that_moves_at_any_time_with_and_without_a_cache() {
    random::run::<OnRings<With<2>>>();
    random::run::<OnRings<With<8>>>();
}

#[test]
fn the_management_clock_stays_at_two_and_a_half_megahertz_or_below() {
    for hz in [1_000_000, 25_000_000, 50_000_000, 66_000_000, 132_000_000, 150_000_000, 320_000_000] {
        let field = management_clock(hz);
        let divisor = 2 * ((field >> 1 & 63) + 1);
        assert!(hz / divisor <= 2_500_000, "{hz} Hz");
        assert!(hz < 5_000_000 || hz / divisor > 2_000_000, "{hz} Hz: needlessly slow");
    }
}

#[test]
fn address_mode_and_filters_reach_their_registers() {
    let memory = BoxedPool::new(128, 1);
    let world = World::<Model<8>>::shared(memory.pool(), false, 1);
    let mut engine = engine(&world);
    let nowhere = core::ptr::null();
    let rings = Rings { rx: nowhere, rx_count: 4, tx: nowhere, tx_count: 4, capacity: 1536, mac: STATION };
    engine.init(&rings).expect("a reset");
    let read = |offset| ModelRegisters(world.clone(), 0).read(offset);
    assert_eq!((read(reg::PALR), read(reg::PAUR)), (0x0200_0000, 0x0001_0000), "02:00:00:00:00:01");
    assert_eq!((read(reg::MRBR), read(reg::TFWR)), (1536, 0x100));
    let base = 0x05f2_0104;
    for (speed, full_duplex, bits, tcr) in [
        (Speed::Ten, false, 0x202, 0),
        (Speed::Ten, true, 0x200, 4),
        (Speed::Hundred, false, 2, 0),
        (Speed::Hundred, true, 0, 4),
    ] {
        engine.set_mode(Mode { speed, full_duplex });
        assert_eq!((read(reg::RCR), read(reg::TCR)), (base | bits, tcr), "{speed:?} {full_duplex}");
    }
    engine.set_filter(&Filter { promiscuous: true, hashes: [3, 5] });
    assert_eq!((read(reg::GALR), read(reg::GAUR), read(reg::RCR)), (3, 5, base | 8));
    engine.set_filter(&Filter::default());
    assert_eq!((read(reg::GALR), read(reg::GAUR), read(reg::RCR)), (0, 0, base));
    let group = Mac([1, 0, 0x5e, 0, 0, 1]);
    assert_eq!(TestEnet::<8>::hash(group), crate::hash::enet(group));
    assert!(engine.checksum().tcp && engine.verifies(), "enhanced descriptors carry checksums");
    let legacy = self::engine(&World::<Model<2>>::shared(memory.pool(), false, 1));
    assert!(!legacy.checksum().tcp && !legacy.verifies(), "legacy descriptors do not");
}

#[test]
fn the_phy_is_reached_and_one_that_never_answers_is_an_error() {
    let memory = BoxedPool::new(128, 1);
    let world = World::<Model<2>>::shared(memory.pool(), false, 1);
    let mut engine = engine(&world);
    assert_eq!(engine.mdio_write(2, 4, 0x1e1), Ok(()));
    assert_eq!(engine.mdio_read(2, 4), Ok(0x1e1));
    assert_eq!(engine.mdio_read(2, 5), Ok(0xffff), "nothing was written there");
    world.0.borrow_mut().hardware.busy = true;
    assert_eq!(engine.mdio_read(2, 4), Err(Timeout));
}

#[test]
fn a_link_in_another_mode_restarts_the_rings_and_loses_no_packet_that_came() {
    let memory = BoxedPool::new(cases::SLOT, cases::RX + 3);
    let (world, mut nic) = cases::world::<OnRings<With<2>>>(memory.pool(), false, 1);
    world.0.borrow_mut().hardware.phy(0, &[(0, 0x1000), (1, 0x782d), (2, 7), (3, 0xc0f0), (4, 0x61), (5, 0x61)]);
    let mut time = 0;
    let mut clock = || {
        time += 1000;
        Instant::from_micros(time)
    };
    nic.start_phy(Some(0), Speed::Hundred, &mut clock).expect("a PHY");
    assert_eq!(nic.link(), Link::Down);
    let packet = |n: u8| crate::engine::tests::world::Packet { octets: [n; 60].to_vec(), error: None };
    world.0.borrow_mut().incoming.push_back(packet(1));
    world.0.borrow_mut().receive_one();
    // 10 Mbit/s is all that both ends can do.
    world.0.borrow_mut().hardware.phy(0, &[(4, 0x61), (0, 0x1000)]);
    assert_eq!(nic.tend(Instant::from_micros(2_000_000)), Link::Up);
    assert_eq!(nic.receive().expect("what came before").0[..], [1; 60]);
    assert!(nic.receive().is_none());
    assert_eq!(ModelRegisters(world.clone(), 0).read(reg::RCR) & 0x200, 0x200);
    assert_eq!((nic.faults(), nic.counters().link_changes), (0, 1));
    for n in 2..12 {
        world.0.borrow_mut().incoming.push_back(packet(n));
        world.0.borrow_mut().receive_one();
        assert_eq!(nic.receive().expect("packets pass").0[..], [n; 60]);
    }
}

#[test]
fn frames_that_lie_askew_are_moved_and_keep_their_octets() {
    for headroom in 0..40 {
        for room_behind in [0, 40] {
            let len = 128 - headroom - room_behind;
            let memory = BoxedPool::new(128, 1);
            let mut frame = memory.pool().take(headroom).expect("a frame");
            let octets: std::vec::Vec<u8> = (0..len as u8).collect();
            frame.extend(&octets).expect("room");
            align(&mut frame);
            assert_eq!(&frame[..], &octets[..]);
            assert!(frame.as_ptr().addr().is_multiple_of(16), "headroom {headroom}, {room_behind} behind");
        }
    }
}

#[test]
fn the_field_of_a_checksum_to_be_inserted_is_zero() {
    let memory = BoxedPool::new(128, 1);
    let world = World::<Model<8>>::shared(memory.pool(), false, 1);
    let mut frame = memory.pool().take(0).expect("a frame");
    frame.extend(&[9; 60]).expect("room");
    let meta = TxMeta { checksum: TxChecksum::Partial { start: 34, offset: 6 }, ..TxMeta::default() };
    engine(&world).prepare(&mut frame, &meta);
    let zeros: std::vec::Vec<usize> = (0..60).filter(|&i| frame[i] == 0).collect();
    assert_eq!(zeros, [40, 41]);
}

#[test]
fn a_doorbell_that_the_transmitter_passed_over_is_rung_again() {
    let memory = BoxedPool::new(cases::SLOT, cases::RX + 2);
    let (world, mut nic) = cases::world::<OnRings<With<2>>>(memory.pool(), false, 2);
    world.0.borrow_mut().hardware.deaf = true;
    let mut frame = memory.pool().take(0).expect("a frame");
    frame.extend(&[1; 60]).expect("room");
    assert!(nic.transmit(frame, TxMeta::default()).is_ok());
    nic.flush();
    world.0.borrow_mut().transmit_one();
    assert_eq!(world.0.borrow().wire.len(), 0);
    assert!(nic.receive().is_none());
    world.0.borrow_mut().transmit_one();
    assert_eq!(world.0.borrow().wire.len(), 1);
}
