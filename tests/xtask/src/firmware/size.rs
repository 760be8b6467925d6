//! `cargo xtask firmware size`: what programs need of flash, RAM and stack, and how many instructions a segment costs,
//! beside tests/budgets.toml.
//!
//! The stack is painted by QEMU before the program starts, and looked at after the program's traffic.

use super::budgets::{self, Budget, FIGURES, Limit};
use super::qemu::{Machine, Network};
use super::{LIMIT, boards, check, dir, folder};
use crate::cargo::{cargo_in, workspace};
use crate::report::{Outcome, Report, capture};
use object::{Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _, SectionFlags, elf};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What unused stack is filled with: as an address it is nowhere, as an instruction nothing useful.
pub const PAINT: u8 = 0xcc;

/// With `-icount shift=3` an instruction takes 8 ns.
const INSTRUCTIONS_PER_MICROSECOND: f64 = 125.0;

/// The program that counts.
const SEGMENTS: &str = "segments";

/// The table, of these budgets or of all; whether nothing is over its ceiling.
pub fn main(names: &[&str]) -> Result<bool, String> {
    let all = budgets::read()?;
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|b| b.name != **name)) {
        let known: Vec<&str> = all.iter().map(|b| b.name.as_str()).collect();
        return Err(format!("no budget `{unknown}`, but {}", known.join(", ")));
    }
    let mut good = true;
    println!("{:28}{}", "figure / ceiling (bar)", FIGURES.map(|f| format!("{f:>26}")).concat());
    for budget in all.iter().filter(|b| names.is_empty() || names.contains(&b.name.as_str())) {
        let figures = measure(budget, true).map_err(|e| format!("{}: {e}", budget.name))?;
        let cells = FIGURES.map(|name| format!("{:>26}", cell(figures.get(name), budget.limit(name))));
        println!("{:28}{}", budget.name, cells.concat().trim_end());
        for fault in figures.faults(budget) {
            println!("   {}: {fault}", budget.name);
            good = false;
        }
    }
    println!("octets, and instructions per segment; `!` is more than is wanted, `!!` more than is allowed");
    Ok(good)
}

/// The section of `cargo xtask test`: what can be looked at without traffic.
pub fn section(report: &mut Report, full: bool) {
    report.section("firmware sizes");
    let all = match budgets::read() {
        Ok(all) => all,
        Err(error) => return report.step("tests/budgets.toml", || Err(error)),
    };
    if !full {
        report.sampled("budgets marked as quick, without stack depths");
    }
    for budget in all.iter().filter(|b| full || b.quick) {
        report.step(&budget.name, || judge(budget, full));
    }
}

fn judge(budget: &Budget, with_stack: bool) -> Outcome {
    let figures = measure(budget, with_stack)?;
    let faults = figures.faults(budget);
    if !faults.is_empty() {
        return Err(faults.join("\n"));
    }
    let shown = FIGURES.iter().filter_map(|name| figures.get(name).map(|value| format!("{name} {value}")));
    Ok(shown.collect::<Vec<_>>().join(", "))
}

/// What was measured, by name.
#[derive(Debug, Default)]
struct Figures(Vec<(&'static str, u64)>);

impl Figures {
    fn get(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(figure, _)| *figure == name).map(|(_, value)| *value)
    }

    /// What is over its ceiling.
    fn faults(&self, budget: &Budget) -> Vec<String> {
        let over = |(name, value): &(&str, u64)| {
            let ceiling = budget.limit(name).ceiling.filter(|ceiling| value > ceiling)?;
            Some(format!("{name} is {value}, more than {ceiling} (tests/budgets.toml)"))
        };
        self.0.iter().filter_map(over).collect()
    }
}

fn cell(value: Option<u64>, limit: Limit) -> String {
    let Some(value) = value else { return "-".into() };
    let mark = match limit {
        Limit { ceiling: Some(ceiling), .. } if value > ceiling => "!!",
        Limit { bar: Some(bar), .. } if value > bar => "!",
        _ => "",
    };
    let ceiling = limit.ceiling.map_or("-".into(), |c| c.to_string());
    let bar = limit.bar.map_or(String::new(), |b| format!(" ({b})"));
    format!("{mark}{value} / {ceiling}{bar}")
}

fn measure(budget: &Budget, with_stack: bool) -> Result<Figures, String> {
    let elf = build(budget, None)?;
    let octets = std::fs::read(&elf).map_err(|e| format!("{}: {e}", elf.display()))?;
    let mut figures = Figures(sizes(&octets)?.to_vec());
    let board = boards::named(&budget.board);
    if with_stack && budget.limit("stack") != Limit::default() {
        let elf = build(budget, Some(check::FEATURE))?;
        figures.0.push(("stack", check::stack(board.clone()?, &budget.program, &elf)?));
    }
    if budget.program == SEGMENTS {
        figures.0.extend(instructions(board?, &elf)?);
    }
    Ok(figures)
}

/// Builds a program, with a feature more; where its ELF file is, under the budget's name.
fn build(budget: &Budget, more: Option<&str>) -> Result<PathBuf, String> {
    let board = boards::named(&budget.board);
    // A program without a board is a package of its own, with a target of its own.
    let here = board.as_ref().map_or_else(|_| dir().join(&budget.board), |board| folder(board));
    let triple = board.map_or("thumbv7em-none-eabi", |board| board.triple);
    let chosen: Vec<&str> = budget.features.as_deref().into_iter().chain(more).collect();
    let chosen = chosen.join(",");
    let mut args = vec!["build", "--release", "--bin", &budget.program, "--features", &chosen];
    if budget.features.is_some() {
        args.push("--no-default-features");
    }
    capture(&mut cargo_in(&here, args))?;
    let target = workspace(&dir())?.target;
    let built = target.join(triple).join("release").join(&budget.program);
    let failure = |e: std::io::Error| format!("{}: {e}", built.display());
    let kept = target.join("sizes");
    std::fs::create_dir_all(&kept).map_err(failure)?;
    let kept = kept.join(&budget.name);
    std::fs::copy(&built, &kept).map_err(failure)?;
    Ok(kept)
}

/// Flash (with what initialises RAM), initialised RAM, and static RAM in all.
fn sizes(octets: &[u8]) -> Result<[(&'static str, u64); 3], String> {
    let file = object::File::parse(octets).map_err(|e| e.to_string())?;
    // What a segment holds in the file is what is written to flash.
    let flash = file.segments().map(|s| s.file_range().1).sum();
    let is = |flags: &SectionFlags, wanted: u32| matches!(flags, SectionFlags::Elf { sh_flags } if sh_flags & u64::from(wanted) != 0);
    let writable = file.sections().filter(|s| is(&s.flags(), elf::SHF_ALLOC) && is(&s.flags(), elf::SHF_WRITE));
    // The stack is what is left, or a section of its own.
    let writable: Vec<_> = writable.filter(|s| s.name() != Ok(".stack")).collect();
    let data = writable.iter().filter(|s| s.file_range().is_some()).map(|s| s.size()).sum();
    let ram = writable.iter().map(|s| s.size()).sum();
    Ok([("flash", flash), ("data", data), ("ram", ram)])
}

/// Where the stack may grow: from its end, which it must not reach, to where it begins.
pub fn stack_region(octets: &[u8]) -> Result<Range<u64>, String> {
    let file = object::File::parse(octets).map_err(|e| e.to_string())?;
    // Of cortex-m-rt's linker script.
    let symbol = |name: &str| {
        let found = file.symbols().find(|s| s.name() == Ok(name));
        found.map(|s| s.address()).ok_or_else(|| format!("no symbol {name}"))
    };
    let (end, start) = (symbol("_stack_end")?, symbol("_stack_start")?);
    if end < start { Ok(end..start) } else { Err(format!("the stack would lie from {end:#x} to {start:#x}")) }
}

/// How deep the stack was: what is not paint any more, from its far end on.
pub fn depth(stack: &[u8]) -> Result<u64, String> {
    match stack.iter().position(|octet| *octet != PAINT) {
        Some(0) => Err("the stack has reached its end".into()),
        Some(unused) => Ok((stack.len() - unused) as u64),
        None => Err("the stack was not used at all".into()),
    }
}

/// Instructions per segment sent and received, of the program that counts them.
fn instructions(board: &boards::Board, elf: &Path) -> Result<[(&'static str, u64); 2], String> {
    let mut machine = Machine::start(board, elf, &Network::None, None)?;
    let line = machine.wait_for("segments: passed", LIMIT)?;
    machine.wait_for_success(LIMIT)?;
    per_segment(&line).ok_or(line)
}

fn per_segment(line: &str) -> Option<[(&'static str, u64); 2]> {
    let words: Vec<f64> = line.rsplit("passed; ").next()?.split(' ').filter_map(|w| w.parse().ok()).collect();
    let &[segments, sent, received] = words.as_slice() else { return None };
    let each = |micros: f64| (micros * INSTRUCTIONS_PER_MICROSECOND / segments).round() as u64;
    Some([("sent", each(sent)), ("received", each(received))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_of_a_stack_is_what_has_lost_its_paint() {
        let mut stack = [PAINT; 64];
        assert!(depth(&stack).is_err(), "nothing ran");
        stack[40] = 1;
        assert_eq!(depth(&stack), Ok(24));
        stack[0] = 1;
        assert!(depth(&stack).is_err(), "it may have gone on");
    }

    #[test]
    fn instructions_are_read_from_the_log() {
        let line = "12 INFO  segments: passed; 1000 segments, sent in 80000 us, received in 40004 us";
        assert_eq!(per_segment(line), Some([("sent", 10_000), ("received", 5_001)]));
        assert_eq!(per_segment("segments: passed; 3 segments"), None);
    }

    #[test]
    fn more_than_the_ceiling_is_a_fault_and_more_than_the_bar_is_shown() {
        let limit = Limit { ceiling: Some(10), bar: Some(5) };
        assert_eq!(cell(Some(11), limit), "!!11 / 10 (5)");
        assert_eq!(cell(Some(10), limit), "!10 / 10 (5)");
        assert_eq!(cell(Some(5), limit), "5 / 10 (5)");
        assert_eq!(cell(None, limit), "-");
    }

    #[test]
    fn a_program_s_sections_are_added_up() {
        let own = std::fs::read(std::env::current_exe().expect("this program")).expect("its file");
        let [(_, flash), (_, data), (_, ram)] = sizes(&own).expect("an ELF file");
        assert!(flash > 100_000 && 0 < data && data < ram && ram < flash, "{flash} {data} {ram}");
        assert!(stack_region(&own).is_err(), "a program of the host has no such symbols");
        assert!(sizes(b"text").is_err());
    }
}
