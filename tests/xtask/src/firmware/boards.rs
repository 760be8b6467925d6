//! The boards of firmware-examples/: what they are built for, and how QEMU shows them.

/// A board: its folder in firmware-examples/boards/ has this name.
pub struct Board {
    pub name: &'static str,
    pub triple: &'static str,
    /// How it is emulated; `None` for a board that QEMU does not know.
    pub qemu: Option<Qemu>,
}

/// A machine of QEMU's.
pub struct Qemu {
    pub program: &'static str,
    /// The machine and what it needs besides.
    pub machine: &'static [&'static str],
    /// What ties its network card to the network `n0`.
    pub nic: &'static [&'static str],
    /// Whether `cargo xtask test` takes it without `--full`.
    pub sampled: bool,
}

/// A network card that is part of the machine.
const ON_BOARD: &[&str] = &["-net", "nic,netdev=n0"];

/// Every board, by name.
pub const BOARDS: &[Board] = &[
    arm("highbank", "armv7a-none-eabi", &["-M", "highbank", "-m", "64"], true),
    arm("lm3s6965evb", "thumbv7m-none-eabi", &["-M", "lm3s6965evb"], true),
    arm("mcimx6ul-evk", "armv7a-none-eabi", &["-M", "mcimx6ul-evk", "-m", "64"], false),
    arm("mps2-an385", "thumbv7m-none-eabi", &["-M", "mps2-an385"], true),
    hardware("nucleo-f429zi"),
    hardware("nucleo-f767zi"),
    hardware("nucleo-h743zi2"),
    hardware("same70-xplained"),
    virt("virt-arm", "armv7a-none-eabi", "qemu-system-arm", VIRT_ARM),
    virt("virt-riscv32", "riscv32imac-unknown-none-elf", "qemu-system-riscv32", VIRT_RISCV32),
    arm("xilinx-zynq-a9", "armv7a-none-eabi", &["-M", "xilinx-zynq-a9", "-m", "64"], false),
    Board {
        name: "xlnx-zcu102",
        triple: "aarch64-unknown-none",
        qemu: Some(Qemu { program: "qemu-system-aarch64", machine: ZCU102, nic: ON_BOARD, sampled: false }),
    },
];

const ZCU102: &[&str] = &["-M", "xlnx-zcu102", "-m", "256"];

/// With VIRTIO 1's registers.
const VIRT_ARM: &[&str] =
    &["-M", "virt", "-cpu", "cortex-a15", "-m", "64", "-global", "virtio-mmio.force-legacy=false"];

/// With the legacy registers, which are QEMU's default.
const VIRT_RISCV32: &[&str] = &["-M", "virt", "-m", "64", "-bios", "none"];

/// A board of qemu-system-arm whose network card is part of the machine.
const fn arm(name: &'static str, triple: &'static str, machine: &'static [&'static str], sampled: bool) -> Board {
    Board { name, triple, qemu: Some(Qemu { program: "qemu-system-arm", machine, nic: ON_BOARD, sampled }) }
}

/// A board with a Cortex-M4F or M7 that QEMU does not know.
const fn hardware(name: &'static str) -> Board {
    Board { name, triple: "thumbv7em-none-eabihf", qemu: None }
}

/// A virtual machine, whose network card is virtio's.
const fn virt(
    name: &'static str,
    triple: &'static str,
    program: &'static str,
    machine: &'static [&'static str],
) -> Board {
    let nic = &["-device", "virtio-net-device,netdev=n0"];
    Board { name, triple, qemu: Some(Qemu { program, machine, nic, sampled: false }) }
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
        for Board { name, triple, qemu } in BOARDS {
            let config = dir.join(name).join(".cargo/config.toml");
            let text = std::fs::read_to_string(&config).unwrap_or_else(|e| panic!("{}: {e}", config.display()));
            assert!(text.contains(&format!("target = \"{triple}\"")), "{name}");
            assert!(qemu.is_none() || text.contains(&format!("\"../../run-in-qemu\", \"{name}\"")), "{name}");
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
