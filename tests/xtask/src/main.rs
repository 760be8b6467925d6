//! The project's own commands, called as `cargo xtask …`. One file per command.
#![deny(unsafe_code)]

mod bench;
mod cargo;
mod firmware;
mod fuzz;
mod layers;
mod report;
mod sim;
mod source;
mod tables;
mod test;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask test [--full] [--only WORD]… [--list]
           checks everything; --only runs the sections whose name contains a WORD
       cargo xtask firmware list
       cargo xtask firmware build BOARD [PROGRAM]…
       cargo xtask firmware run BOARD PROGRAM
       cargo xtask firmware image BOARD PROGRAM
           in QEMU, on a tap (as root) or on UNIX sockets; so does `cargo run --release --bin PROGRAM` in a board's folder
       cargo xtask firmware test [BOARD]…
       cargo xtask firmware size [BUDGET]…
           flash, RAM, stack depth and instructions per segment, beside tests/budgets.toml
       cargo xtask firmware library
           builds a program outside of the tree from the packages alone, and boots it
       cargo xtask sim [--seeds N] [--seed FIRST]
           runs the simulator's scenarios of N seeds (200), from FIRST (0) on
       cargo xtask sim --goodput
           goodput over lossy links, beside what other stacks reach
       cargo xtask sim --plot
           writes SVGs of transfers over time to target/plots/
       cargo xtask fuzz TARGET [SECONDS]
           frames, calls, wire, fragments or messages, for 60 seconds or others: octets by what they reach (cargo-fuzz, nightly)
       cargo xtask bench [memory|idle|tap [ROUNDS]|loss [SECONDS]]
           measures ringtap beside smoltcp";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["test", rest @ ..] => test::main(rest),
        ["firmware", rest @ ..] => firmware::main(rest),
        ["fuzz", rest @ ..] => fuzz::main(rest),
        ["sim", rest @ ..] => sim::main(rest),
        ["bench", rest @ ..] => bench::main(rest),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => Err(usage(&args)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}

/// The error for arguments that are not understood.
fn usage(args: &[&str]) -> String {
    format!("cannot do `{}`\n{USAGE}", args.join(" "))
}
