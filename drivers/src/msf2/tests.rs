//! The driver over a model of its registers and its DMA.

mod model;

use super::{Msf2, RxDesc, TxDesc};
use crate::engine::tests::cases::{self, OnRings, RX, RingSubject, TX};
use crate::engine::tests::random;
use crate::engine::tests::world::{ModelRegisters, Packet, STATION, Shared, World};
use crate::engine::{Engine as _, Rings};
use crate::phy::{Mode, Speed};
use crate::regs::Timeout;
use crate::word::Word;
use model::Model;
use ringtap::device::{Device as _, Mac, Unsupported};
use ringtap::frame::BoxedPool;

/// The driver over an engine that remembers where it was, or one that does not.
struct Subject<const FORGETS: bool>;

type Driver = Msf2<ModelRegisters<Model>, RX, TX>;

impl<const FORGETS: bool> RingSubject for Subject<FORGETS> {
    type Engine = Driver;
    type Hardware = Model;

    fn engine(world: &Shared<Model>) -> Driver {
        world.0.borrow_mut().hardware.forgets = FORGETS;
        Msf2::new(ModelRegisters(world.clone(), 0))
    }

    fn rx() -> RxDesc<RX> {
        RxDesc::new()
    }

    fn tx() -> TxDesc<TX> {
        TxDesc::new()
    }

    fn rx_words(descriptor: &RxDesc<RX>) -> &[Word] {
        descriptor.words()
    }

    fn tx_words(descriptor: &TxDesc<TX>) -> &[Word] {
        descriptor.words()
    }

    fn never_resets(hardware: &mut Model) {
        hardware.stuck = true;
    }
}

#[test]
fn the_driver_passes_every_case() {
    cases::all::<OnRings<Subject<false>>>();
    cases::all::<OnRings<Subject<true>>>();
}

#[test]
fn packets_pass_or_are_counted_over_an_engine_that_moves_at_any_time_with_and_without_a_cache() {
    random::run::<OnRings<Subject<false>>>();
    random::run::<OnRings<Subject<true>>>();
}

#[test]
fn address_mode_and_longest_frame_reach_their_registers() {
    let memory = BoxedPool::new(128, 1);
    let world = World::<Model>::shared(memory.pool(), false, 1);
    let mut engine: Driver = Msf2::new(ModelRegisters(world.clone(), 0));
    let nowhere = core::ptr::null();
    let rings = Rings { rx: nowhere, rx_count: RX, tx: nowhere, tx_count: TX, capacity: 1536, mac: STATION };
    engine.init(&rings).expect("a reset");
    let register = |offset| world.0.borrow().hardware.register(offset);
    assert_eq!((register(0x40), register(0x44), register(0x10)), (0x0200_0000, 0x0001_0000, 1536));
    for (speed, full_duplex, cfg2, speed_bit) in
        [(Speed::Ten, false, 0x7106, 0), (Speed::Hundred, true, 0x7107, 1 << 16), (Speed::Gigabit, true, 0x7207, 0)]
    {
        engine.set_mode(Mode { speed, full_duplex });
        assert_eq!((register(0x04), register(0x38)), (cfg2, speed_bit));
    }
}

#[test]
fn groups_pass_whatever_was_asked_for_and_other_stations_frames_do_not() {
    let memory = BoxedPool::new(cases::SLOT, RX + 1);
    let (world, mut nic) = cases::world::<OnRings<Subject<false>>>(memory.pool(), false, 1);
    world.0.borrow_mut().hardware.filters = true;
    let group = Mac([1, 0, 0x5e, 0, 0, 0xfb]);
    assert_eq!(nic.set_promiscuous(true), Err(Unsupported));
    for round in 0..4 {
        match round {
            0 => {}
            1 => assert_eq!(nic.set_multicast_filter(&[group]), Ok(())),
            2 => assert_eq!(nic.set_multicast_filter(&[]), Ok(())),
            _ => assert_eq!((nic.receive_all_groups(), nic.set_promiscuous(false)), (Ok(()), Ok(()))),
        }
        for (to, passes) in [(STATION, true), (Mac::BROADCAST, true), (group, true), (Mac([2, 0, 0, 0, 0, 2]), false)] {
            let octets = [&to.0[..], &[7; 54]].concat();
            world.0.borrow_mut().incoming.push_back(Packet { octets, error: None });
            world.0.borrow_mut().receive_one();
            assert_eq!(
                nic.receive().map(|(frame, _)| frame[..6] == to.0),
                passes.then_some(true),
                "round {round}, {to}"
            );
        }
    }
}

#[test]
fn the_phy_is_reached_and_a_bus_that_stays_busy_is_an_error() {
    let memory = BoxedPool::new(128, 1);
    let world = World::<Model>::shared(memory.pool(), false, 1);
    let mut engine: Driver = Msf2::new(ModelRegisters(world.clone(), 0));
    let nowhere = core::ptr::null();
    let rings = Rings { rx: nowhere, rx_count: RX, tx: nowhere, tx_count: TX, capacity: 1536, mac: STATION };
    engine.init(&rings).expect("a reset");
    assert_eq!(engine.mdio_write(3, 4, 0x1e1), Ok(()));
    assert_eq!(engine.mdio_read(3, 4), Ok(0x1e1));
    assert_eq!(engine.mdio_read(3, 5), Ok(0xffff), "nothing was written there");
    world.0.borrow_mut().hardware.busy = true;
    assert_eq!(engine.mdio_read(3, 4), Err(Timeout));
    assert_eq!(engine.mdio_write(3, 4, 0), Err(Timeout));
}
