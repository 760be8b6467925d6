//! The driver over a model of its registers and its DMA, as DS60001527 describes them.

mod model;

extern crate std;
use super::descriptor::{RxDesc, TxDesc};
use super::{Features, Gem, Parking, TsuRate, divider, reg};
use crate::engine::tests::cases::{self, OnRings, RingSubject};
use crate::engine::tests::world::{Hardware as _, ModelRegisters, STATION, Shared, World};
use crate::engine::tests::{random, stamps};
use crate::engine::{Engine as _, Filter, Rings};
use crate::phy::{Mode, Speed};
use crate::regs::{Registers as _, Timeout};
use crate::word::Word;
use model::Model;
use ringtap::device::{Device as _, Mac, TxChecksum, TxMeta};
use ringtap::frame::BoxedPool;
use ringtap::time::Instant;

/// The driver with descriptors of `N` words, on a part with `Q` queues.
struct With<const N: usize, const Q: usize>;

type TestGem<const N: usize, const Q: usize> = Gem<ModelRegisters<Model<N, Q>>, N>;

impl<const N: usize, const Q: usize> RingSubject for With<N, Q> {
    type Engine = TestGem<N, Q>;
    type Hardware = Model<N, Q>;

    fn engine(world: &Shared<Model<N, Q>>) -> Self::Engine {
        engine(world, false)
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

    fn never_resets(hardware: &mut Model<N, Q>) {
        hardware.stuck = true;
    }
}

fn engine<const N: usize, const Q: usize>(world: &Shared<Model<N, Q>>, checksum: bool) -> TestGem<N, Q> {
    let parking = std::boxed::Box::leak(std::boxed::Box::new(Parking::new()));
    let timestamps = TsuRate::from_hz(111_111_111);
    let features = Features { checksum, pclk_hz: 150_000_000, queues: Q as u8, parking: Some(parking), timestamps };
    Gem::new(ModelRegisters(world.clone(), 0), features)
}

#[test]
fn the_driver_passes_every_case_with_one_queue_and_descriptors_of_two_words() {
    cases::all::<OnRings<With<2, 1>>>();
}

#[test]
fn the_driver_passes_every_case_with_six_queues() {
    cases::all::<OnRings<With<2, 6>>>();
}

#[test]
fn the_driver_passes_every_case_with_two_queues_and_addresses_of_64_bits() {
    cases::all::<OnRings<With<4, 2>>>();
}

#[test]
fn the_driver_passes_every_case_with_time_stamps_in_descriptors_of_six_words() {
    cases::all::<OnRings<With<6, 2>>>();
}

#[test]
fn packets_and_frames_are_stamped_with_when_they_passed() {
    stamps::all::<With<6, 2>>();
}

#[test]
fn the_clock_counts_nanoseconds_and_is_there_without_stamps_in_descriptors() {
    for hz in [4_999_999, 1_000_000_001, 0, u32::MAX] {
        assert_eq!(TsuRate::from_hz(hz), None, "{hz} Hz");
    }
    for hz in [5_000_000, 111_111_111, 150_000_000, 250_000_000, 1_000_000_000] {
        let TsuRate { increment } = TsuRate::from_hz(hz).expect("a rate");
        assert!(increment >> 16 < 256, "{hz} Hz");
        let second = (u64::from(hz) * u64::from(increment)) >> 16;
        assert!((999_990_000..=1_000_000_000).contains(&second), "{hz} Hz: {second} ns in a second");
    }
    let memory = BoxedPool::new(cases::SLOT, cases::RX + 1);
    let (world, mut nic) = cases::world::<OnRings<With<2, 6>>>(memory.pool(), false, 1);
    let read = |offset| ModelRegisters(world.clone(), 0).read(offset);
    assert_eq!((read(reg::TI), read(reg::TISUBN)), (9, 0), "9 ns at 111 MHz");
    world.0.borrow_mut().hardware.set_time(3_000_007_000);
    assert_eq!((nic.stamps(), nic.clock()), (false, Some(Instant::from_micros(3_000_007))));
}

#[test]
fn packets_pass_or_are_counted_over_an_engine_that_moves_at_any_time_with_and_without_a_cache() {
    random::run::<OnRings<With<2, 1>>>();
    random::run::<OnRings<With<4, 2>>>();
    random::run::<OnRings<With<6, 2>>>();
}

#[test]
fn the_management_clock_stays_at_two_and_a_half_megahertz_or_below() {
    for (hz, field) in [(20_000_000, 0), (20_000_001, 0), (40_000_000, 1), (80_000_000, 2), (111_111_111, 3)]
        .into_iter()
        .chain([(150_000_000, 4), (240_000_000, 5), (300_000_000, 6), (500_000_000, 7)])
    {
        assert_eq!(divider(hz), field, "{hz} Hz");
    }
}

#[test]
fn address_mode_and_filters_reach_their_registers() {
    let memory = BoxedPool::new(128, 1);
    let world = World::<Model<2, 6>>::shared(memory.pool(), false, 1);
    let mut engine = engine(&world, true);
    let nowhere = core::ptr::null();
    let rings = Rings { rx: nowhere, rx_count: 4, tx: nowhere, tx_count: 4, capacity: 1536, mac: STATION };
    engine.init(&rings).expect("a stop");
    let read = |offset| ModelRegisters(world.clone(), 0).read(offset);
    assert_eq!((read(reg::SPADDR1LO), read(reg::SPADDR1HI)), (2, 0x100), "02:00:00:00:00:01");
    assert_eq!(read(reg::DMACFG), 24 << 16 | 0xf10, "buffers of 1536 octets, checksums, bursts of 16");
    for queue in 0..5 {
        assert!(world.0.borrow().hardware.parked(queue), "queue {}", queue + 1);
    }
    let base = 0x0112_0140;
    for (speed, full_duplex, bits) in [
        (Speed::Ten, false, 0),
        (Speed::Ten, true, 2),
        (Speed::Hundred, false, 1),
        (Speed::Hundred, true, 3),
        (Speed::Gigabit, true, 0x403),
    ] {
        engine.set_mode(Mode { speed, full_duplex });
        assert_eq!(read(reg::NWCFG), base | bits, "{speed:?} {full_duplex}");
    }
    engine.set_filter(&Filter { promiscuous: true, hashes: [3, 5] });
    assert_eq!((read(reg::HASHBOT), read(reg::HASHTOP), read(reg::NWCFG)), (3, 5, base | 0x413));
    engine.set_filter(&Filter::default());
    assert_eq!((read(reg::HASHBOT), read(reg::HASHTOP), read(reg::NWCFG)), (0, 0, base | 0x403));
    let group = Mac([1, 0, 0x5e, 0, 0, 1]);
    assert_eq!(TestGem::<2, 6>::hash(group), crate::hash::cadence(group));
}

#[test]
fn the_phy_is_reached_and_one_that_never_answers_is_an_error() {
    let memory = BoxedPool::new(128, 1);
    let world = World::<Model<2, 1>>::shared(memory.pool(), false, 1);
    let mut engine = engine(&world, false);
    assert_eq!(engine.mdio_write(7, 4, 0x1e1), Ok(()));
    assert_eq!(engine.mdio_read(7, 4), Ok(0x1e1));
    assert_eq!(engine.mdio_read(7, 5), Ok(0xffff), "nothing was written there");
    world.0.borrow_mut().hardware.busy = true;
    assert_eq!(engine.mdio_read(7, 4), Err(Timeout));
}

#[test]
fn the_field_of_a_checksum_to_be_inserted_is_zero_and_other_frames_are_left_alone() {
    let memory = BoxedPool::new(128, 2);
    let world = World::<Model<2, 1>>::shared(memory.pool(), false, 1);
    let engine = engine(&world, true);
    let partial = |start, offset| TxMeta { checksum: TxChecksum::Partial { start, offset }, ..TxMeta::default() };
    for (meta, zeros) in [
        (TxMeta::default(), 0..0),
        (partial(34, 16), 50..52),
        (partial(34, 24), 58..60),
        (partial(34, 25), 0..0),
        (partial(u16::MAX, u16::MAX), 0..0),
    ] {
        let mut frame = memory.pool().take(0).expect("a frame");
        frame.extend(&[9; 60]).expect("room");
        engine.prepare(&mut frame, &meta);
        for (i, octet) in frame.iter().enumerate() {
            assert_eq!(*octet == 0, zeros.contains(&i), "{meta:?}, octet {i}");
        }
    }
}

#[test]
fn a_doorbell_that_the_transmitter_passed_over_is_rung_again() {
    let memory = BoxedPool::new(cases::SLOT, cases::RX + 2);
    let (world, mut nic) = cases::world::<OnRings<With<2, 1>>>(memory.pool(), false, 2);
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
