//! `ringtap doctor`: what will work on this machine, and the exact command that mends what will not.

use ringtap_host::failure::Failure;
use ringtap_host::tap::{Offload, TapOptions, TapPort};
use ringtap_host::{netns, sys};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// What the program started by `doctor` itself is told to try.
pub const PROBE: &str = "RINGTAP_DOCTOR_PROBE";

/// The result of one check.
struct Check {
    what: &'static str,
    result: Result<String, Failure>,
    /// Whether the demo needs it.
    needed: bool,
}

/// Runs all checks and prints a line for each.
pub fn run() -> ExitCode {
    if let Some(probe) = std::env::var_os(PROBE) {
        return run_probe(&probe.to_string_lossy());
    }
    let root = sys::effective_uid() == 0;
    println!("ringtap {} on Linux, {}", env!("CARGO_PKG_VERSION"), if root { "as root" } else { "not as root" });
    let checks = checks();
    for Check { what, result, needed } in &checks {
        match result {
            Ok(text) => println!("  ok    {what}: {text}"),
            Err(failure) => println!("  {}  {what}: {failure}", if *needed { "FAIL" } else { "no  " }),
        }
    }
    let broken = checks.iter().any(|c| c.needed && c.result.is_err());
    if broken {
        println!("`ringtap demo` will not run here until what failed is mended; UNIX sockets (--unix) need none of it");
        return ExitCode::FAILURE;
    }
    println!("`ringtap demo` will run here");
    ExitCode::SUCCESS
}

fn checks() -> Vec<Check> {
    vec![
        Check { what: "driver", result: driver(), needed: true },
        Check { what: "private namespace", result: probe("namespace"), needed: true },
        Check { what: "tap in a private namespace", result: probe("tap"), needed: true },
        Check { what: "tun in a private namespace", result: probe("tun"), needed: true },
        Check { what: "tap in this namespace (serve, ping, nc, get)", result: here(), needed: false },
        Check { what: "offload", result: probe("offload"), needed: false },
    ]
}

fn driver() -> Result<String, Failure> {
    let path = "/dev/net/tun";
    if Path::new(path).exists() {
        return Ok(format!("{path} is there"));
    }
    Err(Failure::new(format!("{path} is missing"))
        .remedy("sudo modprobe tun (in a container: start it with --device /dev/net/tun)"))
}

/// Tries something in a process of its own, which begins in a private namespace.
fn probe(what: &str) -> Result<String, Failure> {
    let own = std::env::current_exe().map_err(|e| Failure::io("cannot find this program", &e))?;
    let mut command = Command::new(own);
    command.arg("doctor").env(PROBE, what).stdin(Stdio::null()).stderr(Stdio::null());
    let output = netns::in_child(&mut command).output().map_err(|e| netns::cannot_enter(&e))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
    if output.status.success() { Ok(text) } else { Err(Failure::new(text)) }
}

fn run_probe(what: &str) -> ExitCode {
    let options = match what {
        "offload" => TapOptions { offload: true, ..TapOptions::tap("probe%d") },
        "tap" => TapOptions::tap("probe%d"),
        "tun" => TapOptions::tun("probe%d"),
        _ => {
            println!("can be made");
            return ExitCode::SUCCESS;
        }
    };
    match TapPort::open(&options) {
        Ok(port) if what == "offload" => {
            let (text, code) = match port.offload() {
                Offload::Segments => ("checksums, and segments of TCP", ExitCode::SUCCESS),
                Offload::Checksums => ("checksums only: this kernel cuts no segments", ExitCode::SUCCESS),
                Offload::None => ("this kernel's taps have none", ExitCode::FAILURE),
            };
            println!("{text}");
            code
        }
        Ok(port) => {
            println!("can be made (MTU {})", port.mtu());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// A device that exists for a moment, with no address.
fn here() -> Result<String, Failure> {
    // The remedy is for a name that people use.
    let named = |f: Failure| Failure::new(f.to_string().replace("rtprobe%d", "tap0"));
    let port = TapPort::open(&TapOptions::tap("rtprobe%d")).map_err(named)?;
    Ok(format!("can be made (MTU {})", port.mtu()))
}
