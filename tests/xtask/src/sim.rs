//! `cargo xtask sim`: the simulator with as many seeds as wanted, and what it can show.

use crate::cargo::cargo;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Request<'a> {
    seeds: &'a str,
    first: &'a str,
}

/// Runs the command with its arguments; whether everything held.
pub fn main(args: &[&str]) -> Result<bool, String> {
    match args {
        ["--goodput"] => return run(&["goodput"]),
        ["--plot"] => return run(&["plot", "target/plots"]),
        _ => {}
    }
    let Request { seeds, first } = parse(args)?;
    run(&["seeds", first, seeds])
}

fn parse<'a>(args: &[&'a str]) -> Result<Request<'a>, String> {
    let mut request = Request { seeds: "200", first: "0" };
    let mut left = args.iter();
    while let Some(arg) = left.next() {
        let mut number = || left.next().copied().filter(|n| n.parse::<u64>().is_ok());
        match *arg {
            "--seeds" => request.seeds = number().ok_or("--seeds needs a number")?,
            "--seed" => request.first = number().ok_or("--seed needs a number")?,
            _ => return Err(crate::usage(&[&["sim"], args].concat())),
        }
    }
    Ok(request)
}

/// Runs the simulator's program, with overflow checks as in the tests.
fn run(args: &[&str]) -> Result<bool, String> {
    let arguments = [&["run", "--quiet", "--profile", "test", "-p", "ringtap-sim", "--"], args].concat();
    let status = cargo(arguments).status().map_err(|e| format!("cargo: {e}"))?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_numbers_or_refused() {
        assert_eq!(parse(&["--seeds", "9", "--seed", "4"]), Ok(Request { seeds: "9", first: "4" }));
        assert!(parse(&["--seeds"]).is_err() && parse(&["--seed", "x"]).is_err() && parse(&["9"]).is_err());
    }
}
