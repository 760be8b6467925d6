//! `cargo xtask firmware test`: each program on its board in QEMU, looked at from the kernel's side of a tap.
//!
//! The tap lies in a network namespace of its own, and so does everything that talks to the board: this program calls
//! itself inside.

use super::boards::Board;
use super::qemu::{Machine, Network};
use super::{KERNEL, LIMIT, TAP, library, size, traffic};
use crate::report::{Outcome, capture};
use crate::tools::is_root;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The programs that are looked at so; the feature with which they can be told to end.
pub const PROGRAMS: &[&str] = &["ping", "echo", "http", "throughput"];
pub const FEATURE: &str = "control";

/// Where a program is told to end.
const CONTROL: (&str, u16) = (traffic::BOARD, 60_007);

/// Checks a program from inside of a namespace of its own.
pub fn run(board: &Board, program: &str, elf: &Path) -> Outcome {
    call("inside", board, program, elf)
}

/// As [`run`]; how deep the program's stack was.
pub fn stack(board: &Board, program: &str, elf: &Path) -> Result<u64, String> {
    let text = call("inside-stack", board, program, elf)?;
    text.parse().map_err(|_| text)
}

fn call(how: &str, board: &Board, program: &str, elf: &Path) -> Outcome {
    let own = std::env::current_exe().map_err(|e| format!("this program's own path: {e}"))?;
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--").arg(own).args(["firmware", how, board.name, program]).arg(elf);
    match capture(&mut command) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.contains("unshare failed") || error.contains("/dev/net/tun") => Err(format!(
            "{error}\nwithout root, user namespaces and /dev/net/tun are needed: `ringtap doctor` tells more"
        )),
        Err(error) => Err(error),
    }
}

/// The other side of [`run`].
pub fn inside(board: &Board, program: &str, elf: &Path) -> Outcome {
    on_tap(|monitor| {
        let machine = Machine::start(board, elf, &Network::Tap(TAP), Some(monitor))?;
        with_machine(board, program, machine, |_| Ok(()))
    })
}

/// The other side of [`stack`].
pub fn inside_stack(board: &Board, program: &str, elf: &Path) -> Outcome {
    let octets = std::fs::read(elf).map_err(|e| format!("{}: {e}", elf.display()))?;
    let region = size::stack_region(&octets)?;
    let len = region.end - region.start;
    let file = elf.with_extension("stack");
    let failure = |e: std::io::Error| format!("{}: {e}", file.display());
    std::fs::write(&file, vec![size::PAINT; len as usize]).map_err(failure)?;
    let mut depth = 0;
    let looked = on_tap(|monitor| {
        let paint = Some((region.start, file.as_path()));
        let machine = Machine::start_painted(board, elf, &Network::Tap(TAP), Some(monitor), paint)?;
        with_machine(board, program, machine, |machine| {
            machine.monitor(&format!("pmemsave {:#x} {len} \"{}\"", region.start, file.display()))?;
            depth = size::depth(&std::fs::read(&file).map_err(failure)?)?;
            Ok(())
        })
    });
    let _ = std::fs::remove_file(&file);
    looked.map(|_| depth.to_string())
}

/// Makes the tap in this namespace, and a place for QEMU's monitor.
fn on_tap(check: impl FnOnce(&Path) -> Outcome) -> Outcome {
    let ip = |args: &[&str]| capture(Command::new("ip").args(args));
    ip(&["link", "set", "lo", "up"])?;
    ip(&["tuntap", "add", "dev", TAP, "mode", "tap"])?;
    ip(&["addr", "add", KERNEL, "dev", TAP])?;
    ip(&["link", "set", TAP, "up"])?;
    let monitor = std::env::temp_dir().join(format!("ringtap-monitor-{}", std::process::id()));
    let outcome = check(&monitor);
    let _ = std::fs::remove_file(monitor);
    outcome
}

/// The program's traffic; then `look` at the machine, and the end.
fn with_machine(
    board: &Board,
    program: &str,
    mut machine: Machine,
    look: impl FnOnce(&Machine) -> Result<(), String>,
) -> Outcome {
    machine.wait_for("ready", LIMIT)?;
    if program == library::NAME {
        // It has no port to be told to end at: QEMU is ended.
        return stranger().map_err(|e| format!("{e}\nthe log so far:\n{}", machine.log_so_far()));
    }
    let checked = match program {
        "ping" => pings(&mut machine),
        "echo" => echo(board, &mut machine),
        "http" => traffic::http(),
        "throughput" => traffic::throughput(),
        _ => Err(format!("there is no check for `{program}`")),
    };
    let notes = checked.map_err(|e| format!("{e}\nthe log so far:\n{}", machine.log_so_far()))?;
    look(&machine)?;
    let counters = end(&mut machine)?;
    if program == "echo" && board.qemu.as_ref().is_some_and(|q| q.tells_overruns) && counters.contains("overruns 0;") {
        return Err(format!("the flood has overrun nothing: {counters}"));
    }
    Ok(format!("{notes}; {counters}"))
}

/// Tells the program to end, which it does only when no frame is missing; what its network card has counted.
fn end(machine: &mut Machine) -> Outcome {
    let failure = |e: std::io::Error| format!("the control port: {e}");
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(failure)?;
    let until = Instant::now() + LIMIT;
    let counters = loop {
        socket.send_to(b"end", CONTROL).map_err(failure)?;
        // The datagram may be lost: it is sent again.
        match machine.wait_for("received", Duration::from_secs(3)) {
            Ok(line) => break line,
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => {}
        }
    };
    machine.wait_for("ended well", LIMIT)?;
    machine.wait_for_success(LIMIT)?;
    Ok(counters.split("INFO").last().unwrap_or_default().trim().to_owned())
}

/// The program's own pings are answered by the kernel, and come back unchanged.
fn pings(machine: &mut Machine) -> Outcome {
    traffic::ping(56)?;
    let line = machine.wait_for("answer 3 after", LIMIT)?;
    if line.contains("unchanged true") { Ok("3 pings answered".into()) } else { Err(line) }
}

/// A program that answers pings and echoes TCP, one connection after another.
fn stranger() -> Outcome {
    let pings = traffic::pings()?;
    let tcp = traffic::tcp_echo(1 << 20)?;
    traffic::tcp_echo(1000)?;
    Ok(format!("{pings}, {tcp}"))
}

fn echo(board: &Board, machine: &mut Machine) -> Outcome {
    traffic::ping(56)?;
    let arp = traffic::neighbour()?;
    let pings = traffic::pings()?;
    let udp = traffic::udp_echo()?;
    let tcp = traffic::tcp_echo(1 << 20)?;
    let connections = traffic::connections()?;
    let flood = traffic::flood(CONTROL)?;
    // After the flood, all is as before.
    traffic::ping(1472)?;
    traffic::udp_echo()?;
    traffic::tcp_echo(100_000)?;
    let mut notes = vec![arp, pings, udp, tcp, connections, flood];
    notes.push(match board.qemu.as_ref().and_then(|q| q.no_link) {
        Some(why) => format!("no link events: {why}"),
        None => link_flap(machine)?,
    });
    Ok(notes.join(", "))
}

/// The cable is pulled and put back: the program hears of both, and traffic goes on.
fn link_flap(machine: &mut Machine) -> Outcome {
    machine.monitor("set_link n0 off")?;
    machine.wait_for("link down", LIMIT)?;
    machine.monitor("set_link n0 on")?;
    machine.wait_for("link up", LIMIT)?;
    traffic::ping(56)?;
    traffic::tcp_echo(100_000)?;
    Ok("link down and up".into())
}
