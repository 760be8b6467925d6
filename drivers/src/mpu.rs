//! The memory protection unit of the M profile: memory that the data cache does not hold, for descriptors, and maps of all that
//! there is.
//!
//! Implements the registers of PMSAv7 (ARMv7-M Architecture Reference Manual B3.5). Cortex-M7 has them; the PMSAv8 of
//! Cortex-M33 and later is another one.

use crate::coherency::{Coherency as _, Coherent};
use crate::regs::Registers;
use core::fmt;

/// Where the registers lie, from MPU_TYPE on.
pub const BASE: usize = 0xe000_ed90;

/// Offsets of registers.
mod reg {
    pub const TYPE: u16 = 0x00;
    pub const CTRL: u16 = 0x04;
    pub const RNR: u16 = 0x08;
    pub const RBAR: u16 = 0x0c;
    pub const RASR: u16 = 0x10;
}

/// MPU_CTRL: on, and what no region names is as without it.
const ENABLE: u32 = 1;
const PRIVDEFENA: u32 = 1 << 2;

/// MPU_RASR: normal memory that is not cached (TEX 1, C 0, B 0) and shared, everybody's to read and write, nobody's to run.
const NOT_CACHED: u32 = 1 << 28 | 0b011 << 24 | 1 << 19 | 1 << 18;

/// What memory is, and who may do what with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing lies there: every access is a fault, and the processor does not read ahead there by itself.
    Nothing,
    /// Code and constants, cached.
    Code,
    /// Memory, cached, not to be run.
    Memory,
    /// Memory that is not cached, not to be run.
    NotCached,
    /// Registers.
    Device,
}

impl Kind {
    /// MPU_RASR without the size: XN, AP, TEX, S, C, B.
    const fn attributes(self) -> u32 {
        const XN: u32 = 1 << 28;
        const WRITABLE: u32 = 0b011 << 24;
        const READ_ONLY: u32 = 0b110 << 24;
        // Write-back with allocation on read and write is TEX 1, C 1, B 1; on read only, TEX 0, C 1, B 1.
        match self {
            Self::Nothing => XN,
            Self::Code => READ_ONLY | 0b011 << 16,
            Self::Memory => XN | WRITABLE | 1 << 19 | 0b011 << 16,
            Self::NotCached => NOT_CACHED,
            // Shared: TEX 0, C 0, B 1.
            Self::Device => XN | WRITABLE | 1 << 16,
        }
    }
}

/// A part of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The first address: a multiple of the length.
    pub start: u32,
    /// Two to this power is the length in octets: 5 to 32.
    pub log2_len: u8,
    /// What it is.
    pub kind: Kind,
}

/// What descriptors lie in: alone in all cache lines, and in all of a region, that they touch.
///
/// `T` and its padding must come to a power of two, which [`exclude`] checks: up to 512 octets do, and 1024.
#[derive(Debug, Default)]
#[repr(C, align(512))]
pub struct Uncached<T>(pub T);

/// A region cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegionError {
    /// The processor has no memory protection unit, or no region of this number.
    Missing,
    /// The memory's length is no power of two, or it does not begin at a multiple of its length.
    Misaligned,
}

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there is no such region",
            Self::Misaligned => "a region is a power of two, and aligned to it",
        })
    }
}

impl core::error::Error for RegionError {}

/// Keeps `memory` out of the data cache, by the region `number` of the unit behind `mpu`. Called before the cache is
/// switched on: what a cache that is on holds of it already would stay.
///
/// # Errors
/// [`RegionError`]; nothing has changed then.
pub fn exclude<'d, T>(mpu: &impl Registers, number: u8, memory: &'d mut Uncached<T>) -> Result<&'d mut T, RegionError> {
    set(mpu, number, core::ptr::from_ref(&*memory).addr() as u32, size_of::<Uncached<T>>())?;
    Ok(&mut memory.0)
}

/// Maps all of memory: where regions overlap, the last of them counts, and what no region names is as without the unit.
/// Regions beyond those of the map are switched off. The processor's own registers from 0xE000_0000 on are always there.
/// Called before the caches are switched on.
///
/// What a Cortex-M7 takes for memory it may read ahead from, though no instruction asks for it; where that hangs, as behind a
/// controller that was not set up, the first region is [`Kind::Nothing`] from 0 on, of 2^32 octets.
///
/// # Errors
/// [`RegionError`]; nothing has changed then.
pub fn map(mpu: &impl Registers, regions: &[Region]) -> Result<(), RegionError> {
    let count = (mpu.read(reg::TYPE) >> 8 & 0xff) as usize;
    if regions.len() > count {
        return Err(RegionError::Missing);
    }
    let is_aligned =
        |r: &Region| matches!(r.log2_len, 5..=32) && u64::from(r.start).trailing_zeros() >= r.log2_len.into();
    if !regions.iter().all(is_aligned) {
        return Err(RegionError::Misaligned);
    }
    Coherent.before_doorbell();
    mpu.write(reg::CTRL, 0);
    for number in 0..count {
        mpu.write(reg::RNR, number as u32);
        let Some(Region { start, log2_len, kind }) = regions.get(number).copied() else {
            mpu.write(reg::RASR, 0);
            continue;
        };
        mpu.write(reg::RBAR, start);
        mpu.write(reg::RASR, kind.attributes() | u32::from(log2_len - 1) << 1 | ENABLE);
    }
    mpu.write(reg::CTRL, ENABLE | PRIVDEFENA);
    Coherent.before_doorbell();
    Ok(())
}

fn set(mpu: &impl Registers, number: u8, start: u32, len: usize) -> Result<(), RegionError> {
    if u32::from(number) >= mpu.read(reg::TYPE) >> 8 & 0xff {
        return Err(RegionError::Missing);
    }
    // The smallest region has 32 octets.
    if len < 32 || !len.is_power_of_two() || !(start as usize).is_multiple_of(len) {
        return Err(RegionError::Misaligned);
    }
    // What was written before is in memory before its kind changes, and the kind has changed before it is written again.
    Coherent.before_doorbell();
    mpu.write(reg::CTRL, 0);
    mpu.write(reg::RNR, number.into());
    mpu.write(reg::RBAR, start);
    // SIZE: 2^(SIZE + 1) octets.
    mpu.write(reg::RASR, NOT_CACHED | (len.ilog2() - 1) << 1 | ENABLE);
    mpu.write(reg::CTRL, ENABLE | PRIVDEFENA);
    Coherent.before_doorbell();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;

    /// A unit of eight regions, and what was written to it.
    struct Unit(RefCell<heapless::Vec<(u16, u32), 32>>);

    impl Registers for Unit {
        fn read(&self, offset: u16) -> u32 {
            assert_eq!(offset, 0, "only MPU_TYPE is read");
            8 << 8
        }

        fn write(&self, offset: u16, value: u32) {
            self.0.borrow_mut().push((offset, value)).expect("few registers");
        }
    }

    #[test]
    fn a_region_is_described_while_the_unit_is_off_and_switched_on_last() {
        let unit = Unit(RefCell::default());
        assert_eq!(set(&unit, 3, 0x2400_0400, 1024), Ok(()));
        // ARMv7-M B3.5.9: SIZE 9 is 1 KiB; table B3-13: TEX 1, C 0, B 0 is normal memory that is not cacheable.
        let rasr = 1 << 28 | 3 << 24 | 0b001 << 19 | 1 << 18 | 9 << 1 | 1;
        assert_eq!(unit.0.borrow()[..], [(4, 0), (8, 3), (0xc, 0x2400_0400), (0x10, rasr), (4, 5)]);
    }

    #[test]
    fn a_region_that_cannot_be_is_refused_and_changes_nothing() {
        let unit = Unit(RefCell::default());
        for (number, start, len, error) in [
            (8, 0x2400_0400, 1024, RegionError::Missing),
            (0, 0x2400_0200, 1024, RegionError::Misaligned),
            (0, 0x2400_0000, 1536, RegionError::Misaligned),
            (0, 0x2400_0000, 16, RegionError::Misaligned),
        ] {
            assert_eq!(set(&unit, number, start, len), Err(error));
        }
        assert!(unit.0.borrow().is_empty());
    }

    #[test]
    fn a_map_is_written_whole_and_the_regions_beyond_it_are_off() {
        let unit = Unit(RefCell::default());
        let regions = [
            Region { start: 0, log2_len: 32, kind: Kind::Nothing },
            Region { start: 0x6000_0000, log2_len: 23, kind: Kind::Code },
            Region { start: 0x2000_0000, log2_len: 19, kind: Kind::Memory },
            Region { start: 0x4000_0000, log2_len: 22, kind: Kind::Device },
            Region { start: 0x2020_0000, log2_len: 5, kind: Kind::NotCached },
        ];
        assert_eq!(map(&unit, &regions), Ok(()));
        let written = unit.0.borrow().clone();
        // ARMv7-M tables B3-13 and B3-15, B3.5.9.
        let rasr = [
            1 << 28 | 31 << 1 | 1,
            6 << 24 | 3 << 16 | 22 << 1 | 1,
            1 << 28 | 3 << 24 | 1 << 19 | 3 << 16 | 18 << 1 | 1,
            1 << 28 | 3 << 24 | 1 << 16 | 21 << 1 | 1,
            1 << 28 | 3 << 24 | 1 << 19 | 1 << 18 | 4 << 1 | 1,
        ];
        assert_eq!((written[0], written[written.len() - 1]), ((4, 0), (4, 5)), "off meanwhile");
        for (n, (region, rasr)) in regions.iter().zip(rasr).enumerate() {
            assert_eq!(written[1 + 3 * n..][..3], [(8, n as u32), (0xc, region.start), (0x10, rasr)], "{region:?}");
        }
        assert_eq!(written[16..22], [(8, 5), (0x10, 0), (8, 6), (0x10, 0), (8, 7), (0x10, 0)]);
    }

    #[test]
    fn a_map_that_cannot_be_is_refused_and_changes_nothing() {
        let unit = Unit(RefCell::default());
        let region = |start, log2_len| Region { start, log2_len, kind: Kind::Memory };
        for bad in [region(0, 4), region(0, 33), region(0x10, 5), region(0x2008_0000, 20), region(0x8000_0000, 32)] {
            assert_eq!(map(&unit, &[region(0, 32), bad]), Err(RegionError::Misaligned), "{bad:?}");
        }
        assert_eq!(map(&unit, &[region(0, 32); 9]), Err(RegionError::Missing));
        assert!(unit.0.borrow().is_empty());
    }

    #[test]
    fn descriptors_are_alone_in_their_region() {
        let mut memory = Uncached([7_u32; 40]);
        let unit = Unit(RefCell::default());
        let inner: *const u32 = exclude(&unit, 0, &mut memory).expect("a region").as_ptr();
        assert_eq!(unit.0.borrow()[2], (0xc, inner.addr() as u32));
        assert_eq!(unit.0.borrow()[3].1 >> 1 & 31, 8, "512 octets, although there are but 160");
        let mut odd = Uncached([0_u8; 1025]);
        assert_eq!(exclude(&unit, 0, &mut odd).map(|_| ()), Err(RegionError::Misaligned));
    }
}
