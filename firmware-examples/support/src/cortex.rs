//! What boards of the M profile begin with, and how the network card's interrupt reaches its driver.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

/// An interrupt's number, below 240.
#[derive(Clone, Copy)]
pub struct Interrupt(pub u16);

// SAFETY: always the same, and `unmask` refuses what the processor does not have.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self.0
    }
}

/// Lets an interrupt through.
///
/// # Panics
/// When its number is not below 240.
///
/// # Safety
/// The handler and all that it uses are in place.
pub unsafe fn unmask(interrupt: Interrupt) {
    assert!(interrupt.0 < 240, "no such interrupt");
    // SAFETY: as the caller promises.
    unsafe { NVIC::unmask(interrupt) };
}

/// Makes `$main`, which takes the board and never returns, what the processor begins with. A board has this as its `entry!`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[$crate::rt::entry]
        fn start() -> ! {
            $main(<::board::Board as $crate::Board>::start())
        }
    };
}

/// Does `$handle` when the interrupt `$number` comes; no other one was asked for, and would end the program.
#[macro_export]
macro_rules! on_interrupt {
    ($number:expr, $handle:expr) => {
        #[$crate::rt::exception]
        unsafe fn DefaultHandler(number: i16) {
            if number == $number.0 as i16 {
                $handle;
            } else {
                panic!("an interrupt that nobody has asked for");
            }
        }
    };
}
