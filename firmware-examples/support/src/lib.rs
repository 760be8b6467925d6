//! What the example programs want from a board, and what boards have in common.
//!
//! A program is written against [`Board`]; a board is a package in `boards/` whose library is called `board`, with the
//! programs as its binaries:
//!
//! ```text
//!  programs/echo.rs ──▶ board (boards/<name>/) ──▶ firmware (support/) ──▶ ringtap-drivers, ringtap
//! ```
//!
//! Log lines are defmt's: by semihosting in QEMU (feature `qemu`), by RTT on hardware (feature `rtt`).
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(feature = "mps2", feature = "nucleo", feature = "rt1060"))]
#[allow(unsafe_code)]
pub mod boards;
pub mod control;
#[cfg(feature = "cortex-m")]
#[allow(unsafe_code)]
pub mod cortex;
#[cfg(feature = "machine")]
#[allow(unsafe_code)]
pub mod machine;
pub mod net;
mod panic;
pub mod service;
#[cfg(feature = "cortex-m")]
pub mod systick;

#[cfg(feature = "cortex-m")]
pub use cortex_m_rt as rt;
#[cfg(feature = "rtt")]
use defmt_rtt as _;
#[cfg(feature = "qemu")]
use defmt_semihosting as _;

#[cfg(feature = "cortex-m")]
use memory as _;

use core::net::Ipv4Addr;
use ringtap::rng::Secret;
use ringtap::time::Instant;
use ringtap_drivers::nic::Nic;

/// The address that the programs take, with [`PREFIX`] bits of network: the one that `ringtap serve` takes, too.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);

/// Bits of the network in [`ADDRESS`].
pub const PREFIX: u8 = 24;

/// Who is at the other end of the cable: the kernel's end of a tap.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);

/// What came of a call that must succeed, as there is room for all that a program begins with.
///
/// The error is not printed, as `expect` would: what formats errors is much for a small flash, and the panic tells its place.
///
/// # Panics
/// On an error.
#[track_caller]
pub fn must<T, E>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(_) => panic!("a call that must succeed"),
    }
}

/// What a program wants from a board.
pub trait Board: Sized {
    /// The board's name: that of its folder.
    const NAME: &'static str;

    /// The driver of its MAC.
    type Device: Nic<'static>;

    /// Starts clocks and the time. Called once.
    fn start() -> Self;

    /// Brings up the MAC and its PHY. Called once.
    ///
    /// # Errors
    /// What is wrong with the hardware, in a few words.
    fn device(&mut self) -> Result<Self::Device, &'static str>;

    /// The time since the start.
    fn now(&self) -> Instant;

    /// Sleeps until the device wants to be polled, at the latest until `next`, or about so long. Returns at once when
    /// the device's interrupt has come since the last poll.
    fn idle(&mut self, next: Option<Instant>);

    /// What the stack's randomness is derived from. Emulated boards have no source of entropy; a real one takes it from
    /// its generator, fresh at every boot.
    fn secret(&mut self) -> Secret {
        Secret::new(*b"not a secret....")
    }
}

/// Ends the program with an exit code: in the emulator (or a debugger that serves semihosting). Elsewhere nobody takes
/// the code, and the program stands still.
pub fn exit(code: i32) -> ! {
    defmt::flush();
    #[cfg(feature = "qemu")]
    semihosting::process::exit(code);
    #[cfg(not(feature = "qemu"))]
    loop {
        let _ = code;
        core::hint::spin_loop();
    }
}
