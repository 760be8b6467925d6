//! A stranger's first firmware with ringtap: Emcraft's SmartFusion2 SOM answers pings and echoes TCP on port 7.
#![no_std]
#![no_main]

use core::cell::Cell;
use cortex_m::interrupt::{self, Mutex};
use cortex_m::peripheral::NVIC;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{entry, exception};
use defmt_semihosting as _;
use ringtap::blocking::{Net, Port};
use ringtap::config::Config;
use ringtap::device::Mac;
use ringtap::frame::PoolMemory;
use ringtap::rng::Secret;
use ringtap::stack::{Stack, StaticStorage};
use ringtap::tcp::{ListenOptions, TcpOptions};
use ringtap::time::Instant;
use ringtap_drivers::coherency::Coherent;
use ringtap_drivers::engine::{RingNic, Setup};
use ringtap_drivers::interrupt::Attention;
use ringtap_drivers::msf2::{Msf2, RxDesc, TxDesc, on_interrupt};
use ringtap_drivers::phy::Speed;
use ringtap_drivers::regs::Mmio;
use static_cell::ConstStaticCell;

const CORE_HZ: u32 = 142_000_000;
const BUFFER: usize = 2048;

// SAFETY: the Ethernet MAC's registers lie here, and nobody else uses them.
static REGISTERS: Mmio = unsafe { Mmio::new(0x4004_1000) };
static ATTENTION: Attention = Attention::new();
static FRAMES: PoolMemory<1536, 10> = PoolMemory::new();
static RX_RING: ConstStaticCell<[RxDesc<4>; 4]> = ConstStaticCell::new([const { RxDesc::new() }; 4]);
static TX_RING: ConstStaticCell<[TxDesc<4>; 4]> = ConstStaticCell::new([const { TxDesc::new() }; 4]);
static STORAGE: ConstStaticCell<StaticStorage<'static, 2, 1, BUFFER, BUFFER, 19>> =
    ConstStaticCell::new(StaticStorage::new());
static MILLIS: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

#[entry]
fn main() -> ! {
    let mut core = cortex_m::Peripherals::take().expect("called once");
    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.set_reload(CORE_HZ / 1000 - 1);
    core.SYST.clear_current();
    core.SYST.enable_interrupt();
    core.SYST.enable_counter();

    let (mac, rings) = (Mac([2, 0, 0, 0, 0, 7]), (RX_RING.take(), TX_RING.take()));
    // SAFETY: nobody else uses the MAC, which reaches all of this microcontroller's RAM.
    let nic = unsafe { RingNic::new(Msf2::new(REGISTERS), rings.0, rings.1, Coherent, FRAMES.pool(), Setup::new(mac)) };
    let mut nic = nic.expect("the MAC comes up");
    nic.start_phy(None, Speed::Hundred, &mut now).expect("the PHY comes up");
    nic.set_attention(&ATTENTION);
    // SAFETY: the handler and all that it uses are in place.
    unsafe { NVIC::unmask(Ethernet) };

    let mut stack = Stack::new(Config::new(Secret::new(*b"not a secret....")), STORAGE.take());
    let port = Port::attach(&mut stack, nic, mac).expect("room for an interface");
    stack.add_address(port.iface(), "10.7.0.2/24".parse().expect("an address")).expect("room for an address");
    let options = TcpOptions { rx_buffer: BUFFER, tx_buffer: BUFFER, ..TcpOptions::default() };
    let listener = stack.tcp_listen(None, 7, &ListenOptions { backlog: 1, tcp: options }).expect("room to listen");
    let mut net = Net::new(stack, port, (now, |_| sleep()));
    defmt::info!("ready");
    loop {
        let (mut stream, _) = net.tcp_accept(listener).expect("it listens");
        let mut text = [0; 512];
        while let Ok(len @ 1..) = stream.read(&mut text) {
            if stream.write_all(&text[..len]).is_err() {
                break;
            }
        }
    }
}

/// Since the start; finer than a millisecond is not needed.
fn now() -> Instant {
    Instant::from_micros(interrupt::free(|cs| MILLIS.borrow(cs).get()) * 1000)
}

/// Until the next interrupt: the clock's at the latest.
fn sleep() {
    interrupt::free(|_| {
        if !ATTENTION.is_raised() {
            cortex_m::asm::wfi();
        }
    });
}

#[exception]
fn SysTick() {
    interrupt::free(|cs| MILLIS.borrow(cs).set(MILLIS.borrow(cs).get() + 1));
}

/// The MAC's interrupt.
#[derive(Clone, Copy)]
struct Ethernet;

// SAFETY: a number below 240, and always the same.
unsafe impl cortex_m::interrupt::InterruptNumber for Ethernet {
    fn number(self) -> u16 {
        12
    }
}

/// All interrupts that have no handler of their own: the MAC's alone.
#[exception]
unsafe fn DefaultHandler(_number: i16) {
    on_interrupt(&REGISTERS, &ATTENTION);
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    defmt::error!("panicked");
    loop {
        cortex_m::asm::bkpt();
    }
}
