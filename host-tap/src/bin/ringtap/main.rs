//! The program `ringtap`: the stack on a Linux tap, tun or UNIX socket, from the command line.
#![deny(unsafe_code)]

mod browse;
mod cli;
mod ctl;
mod demo;
mod doctor;
mod get;
mod nc;
mod ping;
mod resolve;
mod router;
mod serve;
mod traceroute;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(std::env::args_os()) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("ringtap: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
