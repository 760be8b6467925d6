//! mps2-an385: frames over an in-memory loopback device. Ends with exit code 0.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use board::clock::Clock;
use board::loopback::Loopback;
use cortex_m_rt::entry;
use ringtap::device::{Device, TxMeta};
use ringtap::frame::PoolMemory;

/// QEMU's mps2-an385 runs its core at 25 MHz.
const CORE_HZ: u32 = 25_000_000;

static FRAMES: PoolMemory<1536, 8> = PoolMemory::new();

#[entry]
fn main() -> ! {
    let core = cortex_m::Peripherals::take().expect("called once");
    let clock = Clock::start(core.SYST, CORE_HZ);
    let pool = FRAMES.pool();
    let mut device = Loopback::<4>::new(pool);
    for round in 0..100u8 {
        let mut frame = pool.take(64).expect("a free frame");
        frame.extend(&[round; 100]).expect("room");
        assert!(device.transmit(frame, TxMeta::default()).is_ok());
        let (frame, _) = device.receive().expect("what was sent");
        assert_eq!(&frame[..], &[round; 100]);
    }
    assert_eq!(pool.free(), 8);
    board::println!("loopback: passed after {} us", clock.now().as_micros());
    board::exit(0)
}
