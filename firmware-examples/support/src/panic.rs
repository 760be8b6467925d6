//! A panic is logged with its place, and ends the program.

use core::panic::PanicInfo;

/// The exit code of a program that panicked, as that of Rust programs elsewhere.
const PANICKED: i32 = 101;

// The place, not the message. Where the handler is inlined into what panics come together in, the compiler sees that nobody
// wants the message, and leaves out of flash all that would format one; it warns that it need not do so.
#[panic_handler]
#[allow(unused_attributes)]
#[inline(always)]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => defmt::error!("panicked at {=str}:{=u32}", at.file(), at.line()),
        None => defmt::error!("panicked"),
    }
    crate::exit(PANICKED)
}
