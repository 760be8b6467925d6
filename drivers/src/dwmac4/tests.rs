//! The driver over a model of its registers and its DMA, as RM0433 describes them.

mod model;

extern crate std;
use super::descriptor::{RxDesc, TxDesc};
use super::{Dwmac4, Features, reg};
use crate::dwmac3::ClockRate;
use crate::engine::tests::cases::{self, OnRings, RingSubject};
use crate::engine::tests::world::{ModelRegisters, Packet, STATION, Shared, World};
use crate::engine::tests::{random, stamps};
use crate::engine::{Engine as _, Filter, Rings};
use crate::nic::Nic as _;
use crate::phy::{Mode, Speed};
use crate::regs::{Registers as _, Timeout};
use crate::word::Word;
use model::Model;
use ringtap::device::{Device as _, RxChecksum};
use ringtap::frame::BoxedPool;
use ringtap::time::Instant;

/// The driver, without timestamps or with them: then each packet has a context descriptor behind it.
struct With<const STAMPS: bool>;

type TestDwmac4 = Dwmac4<ModelRegisters<Model>>;

impl<const STAMPS: bool> RingSubject for With<STAMPS> {
    type Engine = TestDwmac4;
    type Hardware = Model;
    const DESCRIPTORS: usize = 1 + STAMPS as usize;

    fn engine(world: &Shared<Model>) -> TestDwmac4 {
        let timestamps = if STAMPS { ClockRate::from_hclk(200_000_000) } else { None };
        engine(world, Features { checksum: true, timestamps })
    }

    fn rx() -> RxDesc {
        RxDesc::new()
    }

    fn tx() -> TxDesc {
        TxDesc::new()
    }

    fn rx_words(descriptor: &RxDesc) -> &[Word] {
        descriptor.words()
    }

    fn tx_words(descriptor: &TxDesc) -> &[Word] {
        descriptor.words()
    }

    fn never_resets(hardware: &mut Model) {
        hardware.stuck = true;
    }
}

fn engine(world: &Shared<Model>, features: Features) -> TestDwmac4 {
    Dwmac4::new(ModelRegisters(world.clone(), 0), features)
}

#[test]
fn the_driver_passes_every_case() {
    cases::all::<OnRings<With<false>>>();
}

#[test]
fn the_driver_passes_every_case_with_context_descriptors_between_the_packets() {
    cases::all::<OnRings<With<true>>>();
}

#[test]
fn packets_pass_or_are_counted_over_an_engine_that_moves_at_any_time_with_and_without_a_cache() {
    random::run::<OnRings<With<false>>>();
    random::run::<OnRings<With<true>>>();
}

#[test]
fn packets_and_frames_are_stamped_with_when_they_passed() {
    stamps::all::<With<true>>();
}

#[test]
fn a_timestamp_comes_with_its_packet_and_one_that_is_late_is_left_out() {
    let memory = BoxedPool::new(cases::SLOT, cases::RX + 1);
    let (world, mut nic) = cases::world::<OnRings<With<true>>>(memory.pool(), false, 1);
    for n in 0..3 * cases::RX as u32 {
        let late = n % 3 == 0;
        let mut inner = world.0.borrow_mut();
        inner.hardware.late = late;
        inner.hardware.time = [n * 1000, n];
        inner.incoming.push_back(Packet { octets: [n as u8; 60].to_vec(), error: None });
        inner.receive_one();
        drop(inner);
        let (frame, meta) = nic.receive().expect("a packet");
        assert_eq!(frame[..], [n as u8; 60]);
        assert_eq!(meta.checksum, RxChecksum::Verified);
        let stamp = Instant::from_micros(u64::from(n) * 1_000_001);
        assert_eq!(meta.timestamp, (!late).then_some(stamp));
        let mut inner = world.0.borrow_mut();
        let inner = &mut *inner;
        inner.hardware.write_late_context(&mut inner.bus);
    }
    assert!(nic.receive().is_none());
    assert_eq!((nic.counters().rx_packets, nic.counters().rx_errors), (3 * cases::RX as u32, 0));
}

#[test]
fn address_mode_filters_and_lengths_reach_their_registers() {
    let memory = BoxedPool::new(128, 1);
    let world = World::<Model>::shared(memory.pool(), false, 1);
    let mut engine = engine(&world, Features { checksum: true, timestamps: None });
    let nowhere = core::ptr::null();
    let rings = Rings { rx: nowhere, rx_count: 4, tx: nowhere, tx_count: 6, capacity: 1536, mac: STATION };
    engine.init(&rings).expect("a reset");
    let read = |offset| ModelRegisters(world.clone(), 0).read(offset);
    assert_eq!((read(reg::MACA0LR), read(reg::MACA0HR)), (0x0000_0002, 0x8000_0100), "02:00:00:00:00:01");
    assert_eq!((read(reg::DMACRXRLR), read(reg::DMACTXRLR)), (3, 5), "the number of descriptors, less one");
    assert_eq!(read(reg::DMACRXCR) >> 1 & 0x3fff, 1536, "the size of a buffer");
    let base = 0x0830_0000;
    for (speed, full_duplex, bits) in [
        (Speed::Ten, false, 0),
        (Speed::Ten, true, 0x2000),
        (Speed::Hundred, false, 0x4000),
        (Speed::Hundred, true, 0x6000),
    ] {
        engine.set_mode(Mode { speed, full_duplex });
        assert_eq!(read(reg::MACCR), base | bits, "{speed:?} {full_duplex}");
    }
    engine.start();
    engine.set_mode(Mode { speed: Speed::Ten, full_duplex: true });
    assert_eq!(read(reg::MACCR), base | 0x2003, "receiver and transmitter stay on");
    engine.set_filter(&Filter { promiscuous: false, hashes: [3, 5] });
    assert_eq!((read(reg::MACHT0R), read(reg::MACHT1R), read(reg::MACPFR)), (3, 5, 4));
    engine.set_filter(&Filter { promiscuous: true, hashes: [0; 2] });
    assert_eq!(read(reg::MACPFR), 1);
}

#[test]
fn the_phy_is_reached_and_one_that_stays_busy_is_an_error() {
    let memory = BoxedPool::new(128, 1);
    let world = World::<Model>::shared(memory.pool(), false, 1);
    let mut engine = engine(&world, Features::default());
    assert_eq!(engine.mdio_write(3, 4, 0x1e1), Ok(()));
    assert_eq!(engine.mdio_read(3, 4), Ok(0x1e1));
    assert_eq!(engine.mdio_read(3, 5), Ok(0xffff), "nothing was written there");
    world.0.borrow_mut().hardware.busy = true;
    assert_eq!(engine.mdio_read(3, 4), Err(Timeout));
    assert_eq!(engine.mdio_write(3, 4, 0), Err(Timeout));
}
