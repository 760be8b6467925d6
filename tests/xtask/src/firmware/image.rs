//! A program as it lies in a board's flash: from its ELF file to a binary and to Intel HEX, and whether the processor
//! would find its way into it.

use object::read::elf::{ElfFile32, FileHeader as _};
use object::{Endianness, Object as _, ObjectSegment as _, elf};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a board's memory.x says, once more and by the data sheet: where flash and RAM are, and what lies at the flash's start.
pub struct Map {
    pub flash: Range<u32>,
    pub ram: Range<u32>,
    pub boot: Boot,
}

/// How the processor finds its way.
pub enum Boot {
    /// The vector table lies at the flash's start.
    Vectors,
    /// The boot ROM of the i.MX RT10xx reads a header there first (IMXRT1060RM, "Program image").
    FlexSpi,
}

/// What is written to flash: address and octets, ascending.
#[derive(Debug, PartialEq)]
pub struct Image {
    pub parts: Vec<(u32, Vec<u8>)>,
}

impl Image {
    /// What an ELF file of 32 bits has for the flash: its loadable segments at their load addresses.
    pub fn of(elf: &[u8]) -> Result<Self, String> {
        let file = ElfFile32::<Endianness>::parse(elf).map_err(|e| e.to_string())?;
        if file.elf_header().e_machine(file.endian()) != elf::EM_ARM {
            return Err("not a program for Arm".into());
        }
        let mut parts = Vec::new();
        for segment in file.segments() {
            let data = segment.data().map_err(|e| e.to_string())?;
            let header = segment.elf_program_header();
            if !data.is_empty() {
                parts.push((header.p_paddr.get(file.endian()), data.to_vec()));
            }
        }
        parts.sort();
        if parts.windows(2).any(|w| u64::from(w[0].0) + w[0].1.len() as u64 > u64::from(w[1].0)) {
            return Err("segments overlap".into());
        }
        if parts.is_empty() { Err("nothing to flash".into()) } else { Ok(Self { parts }) }
    }

    /// From the first address on, gaps filled as flash that was erased.
    pub fn binary(&self) -> Vec<u8> {
        let start = self.parts.first().map_or(0, |(at, _)| *at);
        let mut octets = Vec::new();
        for (at, data) in &self.parts {
            octets.resize((at - start) as usize, 0xff);
            octets.extend(data);
        }
        octets
    }

    /// As Intel HEX, with extended linear addresses.
    pub fn hex(&self) -> String {
        let mut text = String::new();
        let mut upper = None;
        for (at, data) in &self.parts {
            let mut at = *at;
            let mut rest = &data[..];
            while !rest.is_empty() {
                if upper != Some(at >> 16) {
                    upper = Some(at >> 16);
                    record(&mut text, 0, 4, &((at >> 16) as u16).to_be_bytes());
                }
                // A record does not cross 64 KiB.
                let len = rest.len().min(16).min(0x1_0000 - (at & 0xffff) as usize);
                record(&mut text, at as u16, 0, &rest[..len]);
                rest = &rest[len..];
                at += len as u32;
            }
        }
        record(&mut text, 0, 1, &[]);
        text
    }

    /// The word at an address.
    fn word(&self, at: u32) -> Option<u32> {
        let (start, data) = self.parts.iter().rev().find(|(start, _)| *start <= at)?;
        let place = (at - start) as usize;
        Some(u32::from_le_bytes(data.get(place..place + 4)?.try_into().ok()?))
    }

    /// Whether a processor of the M profile finds its way from the flash's start to stack and entry, and the flash holds it
    /// all; in a few words, what is where.
    pub fn check(&self, map: &Map) -> Result<String, String> {
        for (at, data) in &self.parts {
            let end = u64::from(*at) + data.len() as u64;
            if !map.flash.contains(at) || end > map.flash.end.into() {
                return Err(format!("{} octets at {at:#x} are not in flash", data.len()));
            }
        }
        let table = match map.boot {
            Boot::Vectors => map.flash.start,
            Boot::FlexSpi => self.check_boot_header(map)?,
        };
        let word = |n: u32| self.word(table + 4 * n).ok_or_else(|| format!("no vector {n} at {table:#x}"));
        let stack = word(0)?;
        // The stack grows down from there: the end of RAM itself is a place to begin.
        if stack % 8 != 0 || stack <= map.ram.start || stack > map.ram.end {
            return Err(format!("the stack would begin at {stack:#x}"));
        }
        // Reset, NMI, hard fault: code in flash, with the bit of Thumb set.
        for n in 1..=3 {
            let entry = word(n)?;
            if entry & 1 != 1 || self.word(entry & !3).is_none() {
                return Err(format!("vector {n} is {entry:#x}"));
            }
        }
        let octets: usize = self.parts.iter().map(|(_, data)| data.len()).sum();
        Ok(format!("{octets} octets, stack {stack:#x}, entry {:#x}", word(1)?))
    }

    /// What the boot ROM of the i.MX RT10xx wants: how the flash is spoken to, and 4 KiB on an image vector table, which says
    /// where the vector table and the boot data are; where the vector table is.
    fn check_boot_header(&self, map: &Map) -> Result<u32, String> {
        /// The tags of the configuration block (`FCFB`), and of an image vector table of 32 octets, version 0x40.
        const FCB: u32 = u32::from_le_bytes(*b"FCFB");
        const IVT: u32 = 0x4020_00d1;
        /// What lies before the first instruction.
        const HEADER: u32 = 0x1000;
        let start = map.flash.start;
        let word = |at: u32| self.word(at).ok_or_else(|| format!("the boot header has nothing at {at:#x}"));
        let expect = |at: u32, value: u32, what: &str| match word(at)? {
            found if found == value => Ok(()),
            found => Err(format!("{what} at {at:#x} is {found:#x}, not {value:#x}")),
        };
        expect(start, FCB, "the configuration block's tag")?;
        // sflashA1Size: what the boot ROM lets the processor see of it.
        expect(start + 0x50, map.flash.end - start, "the configuration block's size of the flash")?;
        let ivt = start + 0x1000;
        expect(ivt, IVT, "the image vector table's header")?;
        expect(ivt + 20, ivt, "the image vector table's own place")?;
        // Device configuration data are executed before the image; we have none.
        expect(ivt + 12, 0, "the place of device configuration data")?;
        let data = word(ivt + 16)?;
        expect(data, start, "the image's start")?;
        // The image runs where it lies: nothing is copied by this length, which need only be possible.
        let len = word(data + 4)?;
        if !(HEADER..=map.flash.end - start).contains(&len) {
            return Err(format!("the boot data have an image of {len} octets"));
        }
        expect(data + 8, 0, "the mark of a plug-in")?;
        word(ivt + 4)
    }

    /// Writes both files beside the ELF file.
    pub fn write(&self, elf: &Path) -> Result<[PathBuf; 2], String> {
        let (hex, binary) = (elf.with_extension("hex"), elf.with_extension("bin"));
        std::fs::write(&hex, self.hex()).map_err(|e| format!("{}: {e}", hex.display()))?;
        std::fs::write(&binary, self.binary()).map_err(|e| format!("{}: {e}", binary.display()))?;
        Ok([hex, binary])
    }
}

/// One line of Intel HEX: length, address, kind, data, and the sum that makes all octets zero.
fn record(text: &mut String, address: u16, kind: u8, data: &[u8]) {
    let octets = [&[data.len() as u8], &address.to_be_bytes()[..], &[kind], data].concat();
    let sum = octets.iter().fold(0u8, |sum, octet| sum.wrapping_add(*octet));
    text.push(':');
    for octet in octets.iter().chain([&sum.wrapping_neg()]) {
        let _ = write!(text, "{octet:02X}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: Map = Map { flash: 0x0800_0000..0x0800_1000, ram: 0x2000_0000..0x2000_0400, boot: Boot::Vectors };

    /// A vector table with these words, and some code.
    fn image(words: [u32; 4]) -> Image {
        let table = words.iter().flat_map(|w| w.to_le_bytes()).chain([0; 16]).collect();
        Image { parts: vec![(0x0800_0000, table)] }
    }

    const GOOD: [u32; 4] = [0x2000_0400, 0x0800_0011, 0x0800_0013, 0x0800_0015];

    #[test]
    fn a_vector_table_that_leads_nowhere_is_found_out() {
        assert_eq!(image(GOOD).check(&MAP).as_deref(), Ok("32 octets, stack 0x20000400, entry 0x8000011"));
        for (n, value) in [
            (0, 0x2000_0404),
            (0, 0x2000_0408),
            (0, 0x2000_0000),
            (0, 0x1000_0400),
            (1, 0x0800_0010),
            (1, 0x0800_0021),
            (1, 0xffff_ffff),
            (2, 0x2000_0011),
            (3, 0),
        ] {
            let mut words = GOOD;
            words[n] = value;
            assert!(image(words).check(&MAP).is_err(), "vector {n} is {value:#x}");
        }
    }

    #[test]
    fn a_boot_header_that_leads_nowhere_is_found_out() {
        let map = || Map { flash: 0x6000_0000..0x6000_4000, ram: 0x2000_0000..0x2000_0400, boot: Boot::FlexSpi };
        let image = |words: &[(u32, u32)]| {
            let mut flash = vec![0; 0x2100];
            for (at, word) in words {
                flash[*at as usize..][..4].copy_from_slice(&word.to_le_bytes());
            }
            Image { parts: vec![(0x6000_0000, flash)] }
        };
        let good = [
            (0, u32::from_le_bytes(*b"FCFB")),
            (0x50, 0x4000),
            (0x1000, 0x4020_00d1),
            (0x1004, 0x6000_2000),
            (0x1010, 0x6000_1020),
            (0x1014, 0x6000_1000),
            (0x1020, 0x6000_0000),
            (0x1024, 0x2100),
            (0x2000, 0x2000_0400),
            (0x2004, 0x6000_1031),
            (0x2008, 0x6000_2041),
            (0x200c, 0x6000_2041),
        ];
        let text = "8448 octets, stack 0x20000400, entry 0x60001031";
        assert_eq!(image(&good).check(&map()).as_deref(), Ok(text));
        for n in 0..good.len() {
            let mut bad = good;
            bad[n].1 = 0x6001_0000;
            assert!(image(&bad).check(&map()).is_err(), "{:x?}", bad[n]);
        }
        for more in [(0x100c, 0x6000_1030), (0x1028, 1)] {
            assert!(image(&[&good[..], &[more]].concat()).check(&map()).is_err(), "{more:x?}");
        }
    }

    #[test]
    fn what_lies_outside_of_flash_is_found_out() {
        for (at, len) in [(0x0800_0ff0, 32), (0x2000_0000, 4), (0x07ff_fff0, 4)] {
            let mut image = image(GOOD);
            image.parts.push((at, vec![0; len]));
            assert!(image.check(&MAP).is_err(), "{len} octets at {at:#x}");
        }
        let beyond = Image { parts: vec![(0x0800_0010, vec![0; 16])] };
        assert!(beyond.check(&MAP).is_err(), "no vector table");
    }

    #[test]
    fn a_binary_fills_gaps_as_erased_flash() {
        let image = Image { parts: vec![(0x100, vec![1, 2]), (0x104, vec![3])] };
        assert_eq!(image.binary(), [1, 2, 0xff, 0xff, 3]);
    }

    #[test]
    fn intel_hex_is_as_its_specification_has_it() {
        let image = Image { parts: vec![(0x0800_fffe, vec![1, 2, 3]), (0x0801_0100, (0..17).collect())] };
        let expected = ":020000040800F2\n:02FFFE000102FE\n:020000040801F1\n:0100000003FC\n\
            :10010000000102030405060708090A0B0C0D0E0F77\n:0101100010DE\n:00000001FF\n";
        assert_eq!(image.hex(), expected);
    }

    #[test]
    fn what_is_no_program_for_arm_is_refused() {
        assert!(Image::of(b"text").is_err());
        let own = std::fs::read(std::env::current_exe().expect("this program")).expect("its file");
        assert!(Image::of(&own).is_err(), "of 64 bits");
    }
}
