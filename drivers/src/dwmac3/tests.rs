//! The driver over a model of its registers and its DMA, as RM0090 describes them.

mod model;

extern crate std;
use super::descriptor::{RxDesc, TxDesc};
use super::{ClockRate, Dwmac3, Features, mac};
use crate::engine::tests::cases::{self, OnRings, RingSubject};
use crate::engine::tests::world::{ModelRegisters, Packet, STATION, Shared, World};
use crate::engine::tests::{random, stamps};
use crate::engine::{Engine as _, Filter, Rings};
use crate::phy::{Mode, Speed};
use crate::regs::Registers as _;
use crate::regs::Timeout;
use crate::word::Word;
use model::{DMA, MAC, Model};
use ringtap::device::{Device as _, Mac, TxMeta};
use ringtap::frame::BoxedPool;

/// The driver with descriptors of `N` words.
struct With<const N: usize>;

impl<const N: usize> RingSubject for With<N> {
    type Engine = Dwmac3<ModelRegisters<Model<N>>, N>;
    type Hardware = Model<N>;

    fn engine(world: &Shared<Model<N>>) -> Self::Engine {
        engine(world, Features { timestamps: ClockRate::from_hclk(168_000_000), ..Features::default() })
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

fn engine<const N: usize>(world: &Shared<Model<N>>, features: Features) -> Dwmac3<ModelRegisters<Model<N>>, N> {
    Dwmac3::new(ModelRegisters(world.clone(), MAC), ModelRegisters(world.clone(), DMA), features)
}

#[test]
fn the_driver_passes_every_case_with_enhanced_descriptors() {
    cases::all::<OnRings<With<8>>>();
}

#[test]
fn the_driver_passes_every_case_with_descriptors_of_four_words() {
    cases::all::<OnRings<With<4>>>();
}

#[test]
fn packets_pass_or_are_counted_over_an_engine_that_moves_at_any_time_with_and_without_a_cache() {
    random::run::<OnRings<With<8>>>();
    random::run::<OnRings<With<4>>>();
}

#[test]
fn packets_and_frames_are_stamped_with_when_they_passed() {
    stamps::all::<With<8>>();
}

#[test]
fn descriptors_of_four_words_have_no_room_for_time_stamps() {
    let memory = BoxedPool::new(cases::SLOT, cases::RX + 1);
    let (world, mut nic) = cases::world::<OnRings<With<4>>>(memory.pool(), false, 1);
    assert!(!nic.stamps());
    world.0.borrow_mut().incoming.push_back(Packet { octets: [7; 60].to_vec(), error: None });
    world.0.borrow_mut().receive_one();
    let (frame, meta) = nic.receive().expect("a packet");
    assert_eq!(meta.timestamp, None);
    assert!(nic.transmit(frame, TxMeta { timestamp: true, ..TxMeta::default() }).is_ok());
    nic.flush();
    world.0.borrow_mut().transmit_one();
    assert_eq!((nic.sent_at(), world.0.borrow().wire.len()), (None, 1));
}

fn rings() -> Rings {
    let nowhere = core::ptr::null();
    Rings { rx: nowhere, rx_count: 4, tx: nowhere, tx_count: 4, capacity: 1536, mac: STATION }
}

#[test]
fn address_mode_and_filters_reach_their_registers() {
    let memory = BoxedPool::new(128, 1);
    let world = World::<Model<8>>::shared(memory.pool(), false, 1);
    let mut engine = engine(&world, Features { checksum: true, timestamps: None });
    engine.init(&rings()).expect("a reset");
    let read = |offset| ModelRegisters(world.clone(), MAC).read(offset);
    assert_eq!((read(mac::A0LR), read(mac::A0HR)), (0x0000_0002, 0x8000_0100), "02:00:00:00:00:01");
    let base = 0x0200_8480;
    for (mode, bits) in [
        (Mode { speed: Speed::Ten, full_duplex: false }, 0),
        (Mode { speed: Speed::Ten, full_duplex: true }, 0x0800),
        (Mode { speed: Speed::Hundred, full_duplex: false }, 0x4000),
        (Mode::DEFAULT, 0x4800),
    ] {
        engine.set_mode(mode);
        assert_eq!(read(mac::CR), base | bits, "{mode:?}");
    }
    engine.start();
    engine.set_mode(Mode { speed: Speed::Ten, full_duplex: true });
    assert_eq!(read(mac::CR), base | 0x080c, "receiver and transmitter stay on");
    // The group with hash 7 of the manual's example.
    let hash = Dwmac3::<ModelRegisters<Model<8>>, 8>::hash(Mac([0xa0, 0x0a, 0x98, 0, 0, 0x45]));
    engine.set_filter(&Filter { promiscuous: false, hashes: [1 << hash, 5] });
    assert_eq!((read(mac::HTLR), read(mac::HTHR), read(mac::FFR)), (1 << 7, 5, 4));
    engine.set_filter(&Filter { promiscuous: true, hashes: [0; 2] });
    assert_eq!(read(mac::FFR), 1);
}

#[test]
fn the_phy_is_reached_and_one_that_stays_busy_is_an_error() {
    let memory = BoxedPool::new(128, 1);
    let world = World::<Model<8>>::shared(memory.pool(), false, 1);
    let mut engine = engine(&world, Features::default());
    assert_eq!(engine.mdio_write(3, 4, 0x1e1), Ok(()));
    assert_eq!(engine.mdio_read(3, 4), Ok(0x1e1));
    assert_eq!(engine.mdio_read(3, 5), Ok(0xffff), "nothing was written there");
    world.0.borrow_mut().hardware.busy = true;
    assert_eq!(engine.mdio_read(3, 4), Err(Timeout));
    assert_eq!(engine.mdio_write(3, 4, 0), Err(Timeout));
}

#[test]
fn the_clock_of_timestamps_counts_nanoseconds() {
    assert_eq!(ClockRate::from_hclk(24_999_999), None);
    for hz in [25_000_000, 72_000_000, 168_000_000, 216_000_000] {
        let ClockRate { step, addend } = ClockRate::from_hclk(hz).expect("a rate");
        let nanos_per_second = (u128::from(hz) * u128::from(addend) * u128::from(step)) >> 32;
        assert!((999_999_900..=1_000_000_000).contains(&nanos_per_second), "{hz} Hz: {nanos_per_second}");
    }
    let memory = BoxedPool::new(128, 1);
    let world = World::<Model<8>>::shared(memory.pool(), false, 1);
    let features = Features { timestamps: ClockRate::from_hclk(100_000_000), ..Features::default() };
    engine(&world, features).init(&rings()).expect("a reset");
    let read = |offset| ModelRegisters(world.clone(), MAC).read(offset);
    assert_eq!((read(mac::PTPSSIR), read(mac::PTPTSAR)), (50, 858_993_459));
    assert_eq!(read(mac::PTPTSCR) & !4, 0x303, "on, fine, all frames, decimal roll-over");
}
