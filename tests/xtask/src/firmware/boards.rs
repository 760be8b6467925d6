//! The boards of firmware-examples/: what they are built for, and how QEMU shows them.

use super::image::{Boot, Map};

/// A board: its folder in firmware-examples/boards/ has this name.
pub struct Board {
    pub name: &'static str,
    pub triple: &'static str,
    /// How it is emulated; `None` for a board that QEMU does not know.
    pub qemu: Option<Qemu>,
    /// Where a program lies on a board that is flashed.
    pub map: Option<Map>,
}

impl Board {
    /// Whether `cargo xtask test` takes it without `--full`: of those that are flashed, one.
    pub fn is_sampled(&self) -> bool {
        self.qemu.as_ref().map_or(self.name == "nucleo-f767zi", |q| q.sampled)
    }
}

/// A machine of QEMU's.
pub struct Qemu {
    pub program: &'static str,
    /// The machine and what it needs besides.
    pub machine: &'static [&'static str],
    /// What ties its network card to the network `n0`.
    pub nic: &'static [&'static str],
    /// Whether the machine tells the program that packets were lost for want of room.
    pub tells_overruns: bool,
    /// Why the program cannot know of its link; `None` where `set_link` in QEMU's monitor reaches it.
    pub no_link: Option<&'static str>,
    /// Whether `cargo xtask test` takes it without `--full`.
    pub sampled: bool,
}

/// Every board, by name.
pub const BOARDS: &[Board] = &[
    board("emcraft-sf2", M3, arm(&["-M", "emcraft-sf2"]).sampled().tells_overruns()),
    board("highbank", A9, arm(&["-M", "highbank", "-m", "64"]).sampled().without_link(NO_MDIO)),
    board("lm3s6965evb", M3, arm(&["-M", "lm3s6965evb"]).sampled().without_link(NO_PHY)),
    board("mcimx6ul-evk", A9, arm(&["-M", "mcimx6ul-evk", "-m", "64"])),
    board("mps2-an385", M3, arm(&["-M", "mps2-an385"])),
    board("mps2-an386", M4, arm(&["-M", "mps2-an386"])),
    board("mps2-an500", M7, arm(&["-M", "mps2-an500"])),
    hardware("nucleo-f429zi", (0x0800_0000, 2 << 20), (0x2000_0000, 192 << 10)),
    hardware("nucleo-f767zi", (0x0800_0000, 2 << 20), (0x2000_0000, 128 << 10)),
    hardware("nucleo-h743zi2", (0x0800_0000, 2 << 20), (0x2400_0000, 512 << 10)),
    hardware("same70-xplained", (0x0040_0000, 2 << 20), (0x2040_0000, 384 << 10)),
    flexspi("mimxrt1060-evk", (0x6000_0000, 8 << 20), (0x2000_0000, 384 << 10)),
    flexspi("teensy41", (0x6000_0000, 2 << 20), (0x2000_0000, 384 << 10)),
    board("virt-arm", A9, virt("qemu-system-arm", VIRT_ARM)),
    board("virt-riscv32", RV32, virt("qemu-system-riscv32", VIRT_RISCV32)),
    board("xilinx-zynq-a9", A9, arm(&["-M", "xilinx-zynq-a9", "-m", "64"])),
    board("xlnx-zcu102", A53, Qemu { program: "qemu-system-aarch64", ..arm(ZCU102) }),
];

/// Whose model has no link to tell of.
const NO_MDIO: &str = "the management bus of QEMU's xgmac stays busy for ever";
const NO_PHY: &str = "QEMU's stellaris_enet has no PHY: its registers read as zero";

const M3: &str = "thumbv7m-none-eabi";
const M4: &str = "thumbv7em-none-eabihf";
const M7: &str = M4;
const A9: &str = "armv7a-none-eabi";
const A53: &str = "aarch64-unknown-none";
const RV32: &str = "riscv32imac-unknown-none-elf";

const ZCU102: &[&str] = &["-M", "xlnx-zcu102", "-m", "256"];

/// With VIRTIO 1's registers.
const VIRT_ARM: &[&str] =
    &["-M", "virt", "-cpu", "cortex-a15", "-m", "64", "-global", "virtio-mmio.force-legacy=false"];

/// With the legacy registers, which are QEMU's default.
const VIRT_RISCV32: &[&str] = &["-M", "virt", "-m", "64", "-bios", "none"];

/// A network card that is part of the machine.
const ON_BOARD: &[&str] = &["-net", "nic,netdev=n0"];

const fn board(name: &'static str, triple: &'static str, qemu: Qemu) -> Board {
    Board { name, triple, qemu: Some(qemu), map: None }
}

/// A machine of qemu-system-arm whose network card is part of it.
const fn arm(machine: &'static [&'static str]) -> Qemu {
    Qemu { nic: ON_BOARD, ..virt("qemu-system-arm", machine) }
}

/// A board with a Cortex-M4F or M7 that QEMU does not know; where its flash and RAM begin, and how long they are.
const fn hardware(name: &'static str, flash: (u32, u32), ram: (u32, u32)) -> Board {
    flashed(name, flash, ram, Boot::Vectors)
}

/// As [`hardware`], with a boot ROM that runs it from a serial flash.
const fn flexspi(name: &'static str, flash: (u32, u32), ram: (u32, u32)) -> Board {
    flashed(name, flash, ram, Boot::FlexSpi)
}

const fn flashed(name: &'static str, flash: (u32, u32), ram: (u32, u32), boot: Boot) -> Board {
    let map = Map { flash: flash.0..flash.0 + flash.1, ram: ram.0..ram.0 + ram.1, boot };
    Board { name, triple: M7, qemu: None, map: Some(map) }
}

/// A virtual machine, whose network card is virtio's.
const fn virt(program: &'static str, machine: &'static [&'static str]) -> Qemu {
    let nic = &["-device", "virtio-net-device,netdev=n0"];
    Qemu { program, machine, nic, tells_overruns: false, no_link: None, sampled: false }
}

impl Qemu {
    const fn tells_overruns(self) -> Self {
        Self { tells_overruns: true, ..self }
    }

    const fn without_link(self, why: &'static str) -> Self {
        Self { no_link: Some(why), ..self }
    }

    const fn sampled(self) -> Self {
        Self { sampled: true, ..self }
    }
}

/// The board of this name.
pub fn named(name: &str) -> Result<&'static Board, String> {
    let found = BOARDS.iter().find(|b| b.name == name);
    found.ok_or_else(|| format!("no board is called `{name}`; `cargo xtask firmware list` names them"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::root;

    #[test]
    fn every_board_has_a_folder_with_its_target_and_every_folder_is_a_board() {
        let dir = root().join("firmware-examples/boards");
        for Board { name, triple, qemu, map } in BOARDS {
            let config = dir.join(name).join(".cargo/config.toml");
            let text = std::fs::read_to_string(&config).unwrap_or_else(|e| panic!("{}: {e}", config.display()));
            assert!(text.contains(&format!("target = \"{triple}\"")), "{name}");
            assert!(qemu.is_none() || text.contains(&format!("\"../../run-in-qemu\", \"{name}\"")), "{name}");
            assert!(qemu.is_some() != map.is_some(), "{name}: emulated, or flashed");
            assert!(map.is_none() || dir.join(name).join("README.md").is_file(), "{name}: how is it flashed?");
        }
        let folders = std::fs::read_dir(dir).expect("the folder of the boards").flatten();
        for folder in folders.filter(|f| f.path().is_dir()) {
            assert!(named(&folder.file_name().to_string_lossy()).is_ok(), "{folder:?} is not in BOARDS");
        }
    }

    #[test]
    fn triples_are_among_the_targets_that_are_installed() {
        for board in BOARDS {
            assert!(crate::tools::TARGETS.contains(&board.triple), "{}", board.name);
        }
    }

    #[test]
    fn an_unknown_board_is_refused() {
        assert!(named("nothing-like-this").is_err());
    }
}
