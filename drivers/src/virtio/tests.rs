//! The driver over a model of the device, as VIRTIO 1.2 describes it, with both register interfaces.

mod model;

extern crate std;
use super::{Memory, VirtioNic};
use crate::coherency::Coherency;
use crate::engine::tests::cases::{self, Card, RX, Subject, TX};
use crate::engine::tests::random;
use crate::engine::tests::world::{Hardware as _, ModelMemory, ModelRegisters, Packet, STATION, Shared, World};
use crate::engine::{Setup, SetupError};
use crate::interrupt::Attention;
use crate::nic::Nic as _;
use crate::regs::Registers;
use model::Model;
use ringtap::device::{Device as _, Link, Mac, RxChecksum, TxChecksum, TxMeta, Unsupported};
use ringtap::frame::{BoxedPool, Pool};
use ringtap::time::Instant;
use std::boxed::Box;
use std::vec::Vec;

/// Version 1 or 2 of the register interface.
struct Version<const V: u32>;

type TestNic<'p, const V: u32> = VirtioNic<'static, 'p, ModelRegisters<Model<V>>, ModelMemory<Model<V>>, RX, TX>;

impl<const V: u32> Subject for Version<V> {
    type Hardware = Model<V>;
    type Card<'p> = TestNic<'p, V>;
    const OVERHEAD: usize = super::header::MODERN;
    const TELLS_OVERRUNS: bool = false;
    const MASKS: bool = false;

    fn card<'p>(world: &Shared<Model<V>>, pool: Pool<'p>, setup: Setup) -> Result<TestNic<'p, V>, SetupError> {
        let memory: &'static mut Memory<RX, TX> = Box::leak(Box::new(Memory::new()));
        let registers = ModelRegisters(world.clone(), 0);
        // SAFETY: the model keeps to the queues and the pool.
        unsafe { VirtioNic::new(registers, memory, ModelMemory(world.clone()), pool, setup) }
    }

    fn never_resets(hardware: &mut Model<V>) {
        hardware.stuck = true;
    }
}

impl<'p, M: Registers, C: Coherency + Clone, const R: usize, const T: usize> Card<'p>
    for VirtioNic<'static, 'p, M, C, R, T>
{
    fn lent(&self) -> [usize; 2] {
        self.lent()
    }

    fn has_work(&self) -> bool {
        self.has_work()
    }

    fn faults(&self) -> u32 {
        self.faults()
    }

    fn set_attention(&mut self, attention: &'static Attention) {
        self.set_attention(attention);
    }

    fn mask(&mut self) {
        self.interrupts(false);
    }
}

#[test]
fn the_driver_passes_every_case_with_the_legacy_interface() {
    cases::all::<Version<1>>();
}

#[test]
fn the_driver_passes_every_case_with_the_interface_of_virtio_1() {
    cases::all::<Version<2>>();
}

#[test]
fn packets_pass_or_are_counted_over_a_device_that_moves_at_any_time_with_and_without_a_cache() {
    random::run::<Version<1>>();
    random::run::<Version<2>>();
}

fn setup() -> Setup {
    Setup { ip_mtu: 68, ..Setup::new(STATION) }
}

#[test]
fn what_is_no_network_card_or_lacks_a_feature_is_refused() {
    let memory = BoxedPool::new(128, RX);
    let spoil: [fn(&mut Model<2>); 5] =
        [|m| m.magic = 0, |m| m.kind = 2, |m| m.offered[1] = 0, |m| m.agrees = false, |m| m.longest = 2];
    for (n, spoil) in spoil.into_iter().enumerate() {
        let world = World::<Model<2>>::shared(memory.pool(), false, 1);
        spoil(&mut world.0.borrow_mut().hardware);
        let nic = Version::<2>::card(&world, memory.pool(), setup());
        assert_eq!(nic.map(|_| ()), Err(SetupError::Device), "case {n}");
        assert_eq!(memory.pool().free(), RX);
    }
    let world = World::<Model<1>>::shared(memory.pool(), false, 1);
    world.0.borrow_mut().hardware.offered[0] &= !super::feature::ANY_LAYOUT;
    assert_eq!(Version::<1>::card(&world, memory.pool(), setup()).map(|_| ()), Err(SetupError::Device));
}

#[test]
fn the_device_s_own_address_counts_and_the_setup_s_where_it_has_none() {
    let memory = BoxedPool::new(128, RX + 1);
    let own = Mac([0x52, 0x54, 0, 1, 2, 3]);
    for (has, expected) in [(true, own), (false, STATION)] {
        let world = World::<Model<2>>::shared(memory.pool(), false, 1);
        let mut inner = world.0.borrow_mut();
        inner.hardware.set_address(own);
        if !has {
            inner.hardware.offered[0] &= !super::feature::MAC;
        }
        drop(inner);
        let nic = Version::<2>::card(&world, memory.pool(), setup()).expect("a device");
        assert_eq!(nic.mac(), expected);
        nic.stop();
    }
}

#[test]
fn checksums_are_left_to_the_device_and_taken_from_it() {
    let memory = BoxedPool::new(128, RX + 2);
    let pool = memory.pool();
    let (world, mut nic) = cases::world::<Version<2>>(pool, false, 1);
    assert!(nic.capabilities().checksum.tcp && nic.capabilities().checksum.udp);
    let mut frame = pool.take(12).expect("a frame");
    frame.extend(&[7; 60]).expect("room");
    let checksum = TxChecksum::Partial { start: 34, offset: 16 };
    assert!(nic.transmit(frame, TxMeta { checksum, ..TxMeta::default() }).is_ok());
    nic.flush();
    world.0.borrow_mut().transmit_one();
    assert_eq!(world.0.borrow().hardware.last_header, [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]);
    let partial = RxChecksum::Partial { start: 34, offset: 6 };
    for (header, expected) in [([0, 0], RxChecksum::None), ([2, 0], RxChecksum::Verified), ([1, 6], partial)] {
        let mut inner = world.0.borrow_mut();
        inner.hardware.checksum = header;
        inner.incoming.push_back(Packet { octets: [1; 60].to_vec(), error: None });
        inner.receive_one();
        drop(inner);
        assert_eq!(nic.receive().map(|(_, meta)| meta.checksum), Some(expected));
    }
}

#[test]
fn the_control_queue_sets_modes_and_groups_and_a_device_without_one_is_unsupported() {
    let memory = BoxedPool::new(128, RX + 2);
    let (world, mut nic) = cases::world::<Version<2>>(memory.pool(), false, 1);
    let commands = || core::mem::take(&mut world.0.borrow_mut().hardware.commands);
    assert_eq!(commands(), [Vec::from([0, 0, 0])], "not promiscuous from the beginning on");
    assert_eq!(nic.set_promiscuous(true), Ok(()));
    assert_eq!(commands(), [Vec::from([0, 0, 1])]);
    let groups = [Mac([1, 0, 0x5e, 0, 0, 1]), Mac([0x33, 0x33, 0, 0, 0, 1])];
    assert_eq!(nic.set_multicast_filter(&groups), Ok(()));
    let expected = [&[1, 0, 0, 0, 0, 0, 2, 0, 0, 0][..], &groups[0].0, &groups[1].0].concat();
    assert_eq!(commands(), [expected]);
    assert_eq!(nic.set_multicast_filter(&[groups[0]; 33]), Err(Unsupported));
    assert_eq!(nic.receive_all_groups(), Ok(()));
    assert_eq!(commands(), [Vec::from([0, 1, 1])]);
    assert_eq!(nic.set_multicast_filter(&[]), Ok(()));
    assert_eq!(commands(), [Vec::from([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Vec::from([0, 1, 0])], "these alone again");
    world.0.borrow_mut().hardware.refuses = true;
    assert_eq!(nic.set_promiscuous(false), Err(Unsupported));
    world.0.borrow_mut().hardware.refuses = false;
    world.0.borrow_mut().hardware.silent = true;
    assert_eq!(nic.set_promiscuous(false), Err(Unsupported), "an answer that never comes is not waited for");
    world.0.borrow_mut().hardware.silent = false;
    assert_eq!(nic.set_promiscuous(false), Err(Unsupported), "the old command's answer might come yet");

    let world = World::<Model<2>>::shared(memory.pool(), false, 1);
    world.0.borrow_mut().hardware.offered[0] &= !super::feature::CTRL_VQ;
    nic.stop();
    let mut nic = Version::<2>::card(&world, memory.pool(), setup()).expect("a device");
    assert_eq!(nic.set_multicast_filter(&groups), Err(Unsupported));
}

#[test]
fn a_buffer_that_is_none_of_ours_and_a_length_that_cannot_be_are_counted() {
    let memory = BoxedPool::new(128, RX + 2);
    let (world, mut nic) = cases::world::<Version<2>>(memory.pool(), false, 1);
    for (number, written) in [(u32::MAX, 60), (RX as u32, 60), (0, u32::MAX), (1, 12), (2, 0), (3, 129)] {
        world.0.borrow_mut().hardware.give_back(number, written);
        assert!(nic.receive().is_none());
    }
    assert_eq!(nic.counters().rx_errors, 6);
    assert_eq!(nic.lent()[0], RX);
}

#[test]
fn the_link_is_the_device_s_and_is_asked_for_only_when_it_has_changed() {
    let memory = BoxedPool::new(128, RX + 1);
    for by_interrupt in [false, true] {
        let (world, mut nic) = cases::world::<Version<2>>(memory.pool(), false, 1);
        let attention: &'static Attention = Box::leak(Box::new(Attention::new()));
        if by_interrupt {
            nic.set_attention(attention);
        }
        assert!(nic.receive().is_none());
        world.0.borrow_mut().hardware.asked = 0;
        for _ in 0..100 {
            assert!(nic.receive().is_none());
            assert_eq!((nic.link(), nic.tend(Instant::ZERO)), (Link::Up, Link::Up));
        }
        assert_eq!(world.0.borrow().hardware.asked, 0);
        for (changes, up) in [(1, false), (2, true)] {
            world.0.borrow_mut().hardware.set_link(up);
            assert!(world.0.borrow().hardware.interrupt());
            if by_interrupt {
                // The handler acknowledges, and raises.
                world.0.borrow_mut().hardware.write(0, 0x64, 3);
                attention.raise();
            }
            assert!(nic.receive().is_none());
            assert_eq!(nic.link() == Link::Up, up);
            assert_eq!(nic.counters().link_changes, changes);
            assert!(!world.0.borrow().hardware.interrupt());
        }
        nic.stop();
    }
}
