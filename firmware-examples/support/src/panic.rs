//! A panic is logged with its place, and ends the program.

use core::panic::PanicInfo;

/// The exit code of a program that panicked, as that of Rust programs elsewhere.
const PANICKED: i32 = 101;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // Only text that needs no formatting, which would bring its machinery into flash.
    let text = info.message().as_str().unwrap_or("(with a formatted text)");
    match info.location() {
        Some(at) => defmt::error!("panicked at {=str}:{=u32}: {=str}", at.file(), at.line(), text),
        None => defmt::error!("panicked: {=str}", text),
    }
    crate::exit(PANICKED)
}
