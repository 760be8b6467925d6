//! The linker script: boot header and code in flash, everything that changes in tightly coupled memory.

use imxrt_rt::{Family, FlexRamBanks, Memory, RuntimeBuilder};

/// 8 MiB of serial flash.
const FLASH: usize = 8 << 20;

fn main() {
    // 16 banks of 32 KiB: 384 KiB of data, 128 KiB of instructions, which are left empty.
    let banks = FlexRamBanks { ocram: 0, dtcm: 12, itcm: 4 };
    RuntimeBuilder::from_flexspi(Family::Imxrt1060, FLASH)
        .flexram_banks(banks)
        .vectors(Memory::Dtcm)
        .text(Memory::Flash)
        .rodata(Memory::Flash)
        .data(Memory::Dtcm)
        .bss(Memory::Dtcm)
        .uninit(Memory::Dtcm)
        .stack(Memory::Dtcm)
        .stack_size(16 << 10)
        .heap(Memory::Dtcm)
        .build()
        .expect("a memory map that the chip has");
    for argument in ["-Timxrt-link.x", "-Tdefmt.x", "--nmagic"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
