//! The board mps2-an385: Arm MPS2 with the AN385 image (Cortex-M3), as QEMU models it.
#![no_std]
#![deny(unsafe_code)]

pub use cortex_m_rt as rt;
pub use firmware;

use firmware::systick;
use ringtap::device::Loopback;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;

/// QEMU's mps2-an385 runs its core at 25 MHz.
const CORE_HZ: u32 = 25_000_000;

static FRAMES: PoolMemory<1536, 8> = PoolMemory::new();

/// Makes `$main`, which takes the [`Board`] and never returns, what the processor begins with.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[$crate::rt::entry]
        fn start() -> ! {
            $main(<$crate::Board as $crate::firmware::Board>::start())
        }
    };
}

/// The board, started.
pub struct Board(());

impl firmware::Board for Board {
    const NAME: &'static str = "mps2-an385";

    type Device = Loopback<'static, 8>;

    fn start() -> Self {
        let core = cortex_m::Peripherals::take().expect("called once");
        systick::start(core.SYST, CORE_HZ);
        Self(())
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        Ok(Loopback::new(FRAMES.pool(), 1500))
    }

    fn now(&self) -> Instant {
        systick::now()
    }

    fn idle(&mut self, next: Option<Instant>) {
        systick::idle(next, || false);
    }
}
