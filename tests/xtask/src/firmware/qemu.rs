//! A program running in QEMU: started, its log lines decoded, its exit code.

use super::boards::Board;
use defmt_decoder::{DecodeError, Table};
use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What the board's network card is tied to.
pub enum Network<'a> {
    /// Nothing; then instructions are the clock: every run is the same, and waiting costs no time.
    None,
    /// A tap, which is there.
    Tap(&'a str),
    /// UNIX datagram sockets, one frame each: the board's, and the other end's.
    Datagrams(&'a Path, &'a Path),
}

/// A running program.
pub struct Machine {
    child: Child,
    lines: Receiver<String>,
    /// All lines so far.
    pub log: Vec<String>,
    monitor: Option<PathBuf>,
}

impl Machine {
    /// Starts QEMU with a program. With `monitor`, QEMU's monitor listens at that path.
    pub fn start(board: &Board, elf: &Path, network: &Network<'_>, monitor: Option<&Path>) -> Result<Self, String> {
        Self::start_painted(board, elf, network, monitor, None)
    }

    /// As [`start`](Self::start), with what a file holds in memory from an address on.
    pub fn start_painted(
        board: &Board,
        elf: &Path,
        network: &Network<'_>,
        monitor: Option<&Path>,
        paint: Option<(u64, &Path)>,
    ) -> Result<Self, String> {
        let mut command = command(board, elf, network)?;
        if let Some((at, file)) = paint {
            command.arg("-device").arg(format!("loader,file={},addr={at:#x},force-raw=on", file.display()));
        }
        match monitor {
            Some(path) => command.arg("-monitor").arg(format!("unix:{},server=on,wait=off", path.display())),
            None => command.args(["-monitor", "none"]),
        };
        let table = table(elf)?;
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .env("QEMU_AUDIO_DRV", "none")
            .spawn()
            .map_err(|e| format!("cannot run {name}: {e}"))?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || decode(&table, stdout, |line| sender.send(line).is_ok()));
        Ok(Self { child, lines, log: Vec::new(), monitor: monitor.map(Path::to_path_buf) })
    }

    /// The next line of the log; `None` at its end.
    pub fn line(&mut self) -> Option<String> {
        let line = self.lines.recv().ok()?;
        self.log.push(line.clone());
        Some(line)
    }

    /// The next line with `words` in it.
    ///
    /// # Errors
    /// When none has come within `limit`, or the program has ended before.
    pub fn wait_for(&mut self, words: &str, limit: Duration) -> Result<String, String> {
        let end = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(words) {
                        return Ok(line);
                    }
                }
                Err(error) => {
                    let what = match error {
                        RecvTimeoutError::Timeout => format!("has not said `{words}` within {limit:?}"),
                        RecvTimeoutError::Disconnected => format!("ended without saying `{words}`"),
                    };
                    return Err(format!("the program {what}; its log:\n{}", self.log.join("\n")));
                }
            }
        }
    }

    /// All that it has said.
    pub fn log_so_far(&mut self) -> String {
        self.log.extend(self.lines.try_iter());
        self.log.join("\n")
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it has not come within `limit`, or not with exit code 0.
    pub fn wait_for_success(&mut self, limit: Duration) -> Result<(), String> {
        let end = Instant::now() + limit;
        let status = loop {
            while let Ok(line) = self.lines.try_recv() {
                self.log.push(line);
            }
            match self.child.try_wait().map_err(|e| e.to_string())? {
                Some(status) => break status,
                None if Instant::now() >= end => {
                    return Err(format!("still running after {limit:?}; its log:\n{}", self.log.join("\n")));
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        while self.line().is_some() {}
        if status.success() { Ok(()) } else { Err(format!("{status}; its log:\n{}", self.log.join("\n"))) }
    }

    /// The exit status, once the log is at its end.
    pub fn wait(&mut self) -> Result<ExitStatus, String> {
        self.child.wait().map_err(|e| e.to_string())
    }

    /// Gives QEMU's monitor a command.
    pub fn monitor(&self, text: &str) -> Result<(), String> {
        let path = self.monitor.as_ref().ok_or("QEMU was started without a monitor")?;
        let failure = |e: std::io::Error| format!("QEMU's monitor: {e}");
        let mut stream = UnixStream::connect(path).map_err(failure)?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failure)?;
        prompt(&mut stream).map_err(failure)?;
        writeln!(stream, "{text}").map_err(failure)?;
        // The next prompt says that the command was carried out.
        prompt(&mut stream).map_err(failure)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until the monitor asks for a command.
fn prompt(stream: &mut UnixStream) -> std::io::Result<()> {
    let (mut seen, mut octet) = (Vec::new(), [0]);
    while !seen.ends_with(b"(qemu) ") {
        stream.read_exact(&mut octet)?;
        seen.push(octet[0]);
    }
    Ok(())
}

/// QEMU's command line, but for the monitor.
fn command(board: &Board, elf: &Path, network: &Network<'_>) -> Result<Command, String> {
    let qemu = board.qemu.as_ref().ok_or_else(|| format!("QEMU does not know the board {}", board.name))?;
    let mut command = Command::new(qemu.program);
    command.args(qemu.machine).args(["-display", "none", "-serial", "none"]);
    let netdev = match network {
        Network::None => {
            command.args(["-nic", "none", "-icount", "shift=3,sleep=off"]);
            None
        }
        Network::Tap(name) => Some(format!("tap,id=n0,ifname={name},script=no,downscript=no")),
        Network::Datagrams(local, remote) => {
            let (local, remote) = (local.display(), remote.display());
            Some(format!("dgram,id=n0,local.type=unix,local.path={local},remote.type=unix,remote.path={remote}"))
        }
    };
    if let Some(netdev) = netdev {
        command.args(["-netdev", &netdev]).args(qemu.nic);
    }
    command.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(elf);
    Ok(command)
}

/// What the program's log lines say, from its ELF file.
fn table(elf: &Path) -> Result<Table, String> {
    let octets = std::fs::read(elf).map_err(|e| format!("{}: {e}", elf.display()))?;
    let table = Table::parse(&octets).map_err(|e| format!("{}: {e}", elf.display()))?;
    table.ok_or_else(|| format!("{}: no log lines in it (was it linked with -Tdefmt.x?)", elf.display()))
}

/// Decodes log lines until the output ends or nobody takes them.
fn decode(table: &Table, mut output: ChildStdout, mut take: impl FnMut(String) -> bool) {
    let mut decoder = table.new_stream_decoder();
    let mut octets = [0; 4096];
    while let Ok(n @ 1..) = output.read(&mut octets) {
        decoder.received(&octets[..n]);
        loop {
            let line = match decoder.decode() {
                Ok(frame) => {
                    let time = frame.display_timestamp().map_or_else(String::new, |t| format!("{t} "));
                    let level = frame.level().map_or_else(String::new, |l| format!("{:5} ", l.as_str().to_uppercase()));
                    format!("{time}{level}{}", frame.display_message())
                }
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) => "(a damaged log line)".to_owned(),
            };
            if !take(line) {
                return;
            }
        }
    }
}
