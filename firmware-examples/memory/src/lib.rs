//! `memcpy`, `memmove`, `memset` and `memcmp`, and what the Arm run-time ABI (RTABI §4.3.4) calls them: 200 octets of flash.
//!
//! Those of the compiler's own library take ten times as much, for each of their names is a whole routine there. A program takes
//! these by `use memory as _;`. They are for ARMv7-M and its successors, which read and write words anywhere in normal memory; device
//! memory is not for them, as it is not for any `memcpy`.
#![no_std]
// Nothing but assembly: its symbols are what compilers call by themselves.
#![allow(unsafe_code)]

#[cfg(all(target_arch = "arm", target_os = "none"))]
core::arch::global_asm!(include_str!("memory.s"));
