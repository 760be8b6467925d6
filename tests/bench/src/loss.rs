//! Goodput over a bad path in real time: a sender, ours or the kernel's, a relay, and a kernel that receives.
//!
//! ```text
//!  sender ◀─ stream of frames ─▶ relay ◀─ stream of frames ─▶ tap ◀─▶ kernel
//!  (a stack of ours, or a kernel behind a tap)   100 Mbit/s, 10 ms each way, losses by seed
//! ```
//!
//! Each end is a process, each kernel in a network namespace of its own. The relay loses the n-th segment of a seed
//! whoever sends it, so that two senders with the same seed have the same luck.

mod end;
mod relay;

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that ends when it is not needed any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(who: &str, role: &str, path: &Path, seconds: u64) -> Result<Running, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(program);
    command.args(["loss-end", who, role]).arg(path).arg(seconds.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    if who == "linux" {
        ringtap_host::netns::in_child(&mut command);
    }
    command.spawn().map(Running).map_err(|e| format!("cannot start an end: {e}"))
}

/// Runs one transfer of so many seconds and prints Mbit/s: `who` (ringtap or linux) sends, `loss` of the segments are
/// lost, in per mille.
pub fn run(who: &str, loss: u64, seed: u64, seconds: u64) -> Result<(), String> {
    if !matches!(who, "ringtap" | "linux") {
        return Err("the sender is ringtap or linux".into());
    }
    let directory = std::env::temp_dir().join(format!("ringtap-loss-{}", std::process::id()));
    std::fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let rate = transfer(&directory, who, loss, seed, seconds);
    let _ = std::fs::remove_dir_all(&directory);
    println!("{:.2}", rate?);
    Ok(())
}

fn transfer(directory: &Path, who: &str, loss: u64, seed: u64, seconds: u64) -> Result<f64, String> {
    let paths = ["sender", "receiver"].map(|name| directory.join(name));
    let [to_sender, to_receiver] = paths.each_ref().map(UnixListener::bind);
    let failed = |e: std::io::Error| format!("the relay: {e}");
    let (to_sender, to_receiver) = (to_sender.map_err(failed)?, to_receiver.map_err(failed)?);
    let mut receiver = start("linux", "receive", &paths[1], seconds)?;
    let (receiving, _) = to_receiver.accept().map_err(failed)?;
    let output = receiver.0.stdout.take().ok_or("no output")?;
    let mut lines = BufReader::new(output).lines();
    let mut line = || lines.next().and_then(Result::ok).ok_or("the receiver has ended early");
    line()?;
    let _sender = start(who, "send", &paths[0], seconds)?;
    let (sending, _) = to_sender.accept().map_err(failed)?;
    let relay = relay::Relay::new(sending, receiving, loss, seed).map_err(failed)?;
    std::thread::spawn(move || relay.run());
    let rate = line()?;
    rate.parse().map_err(|_| format!("the receiver says: {rate}"))
}

/// An end: `who` is ringtap or linux, `role` send or receive.
pub fn run_end(who: &str, role: &str, path: &Path, seconds: u64) -> Result<(), String> {
    match (who, role) {
        ("ringtap", "send") => end::ringtap(path),
        ("linux", "send") => end::kernel_sends(path),
        ("linux", "receive") => end::kernel_receives(path, seconds),
        _ => Err("an end is `ringtap send`, `linux send` or `linux receive`".into()),
    }
}
