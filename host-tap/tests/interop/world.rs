//! What the tests have in common: the namespace, a running `serve`, programs of the system, octets to send.

use ringtap_host::netns;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ringtap");
const INSIDE: &str = "RINGTAP_TEST_IN_NAMESPACE";

/// The stack's address.
pub const STACK: [u8; 4] = [10, 7, 0, 2];

/// Long enough for whatever is not stuck, on a busy machine too.
pub const LIMIT: Duration = Duration::from_secs(120);

/// The device between the stack and the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Tap,
    Tun,
}

impl Link {
    /// The program's arguments for it.
    pub fn device(self) -> &'static [&'static str] {
        match self {
            Self::Tap => &["--dev", "rt0"],
            Self::Tun => &["--dev", "rt0", "--tun"],
        }
    }
}

/// Makes two tests of each function: one on a tap, one on a tun.
macro_rules! on_tap_and_tun {
    ($($case:ident),+ $(,)?) => {$(
        mod $case {
            use $crate::world::{Link, in_own_namespace};

            #[test]
            fn on_a_tap() {
                in_own_namespace(concat!(module_path!(), "::on_a_tap"), || super::$case(Link::Tap));
            }

            #[test]
            fn on_a_tun() {
                in_own_namespace(concat!(module_path!(), "::on_a_tun"), || super::$case(Link::Tun));
            }
        }
    )+};
}
pub(crate) use on_tap_and_tun;

/// Starts this test binary again, in a private namespace, for the test at `path` alone; there, `case` is run.
pub fn in_own_namespace(path: &str, case: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return case();
    }
    let name = path.split_once("::").map_or(path, |(_crate, name)| name);
    let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
    command.args([name, "--exact", "--nocapture"]).env(INSIDE, "1");
    let output = netns::in_child(&mut command).output().expect("a private namespace (see `ringtap doctor`)");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

/// A running `serve`.
pub struct Serve {
    child: Child,
    out: BufReader<ChildStdout>,
    control: String,
}

impl Serve {
    pub fn start(link: Link) -> Self {
        Self::start_with(link, &[])
    }

    /// With these arguments more.
    pub fn start_with(link: Link, more: &[&str]) -> Self {
        let control = std::env::temp_dir().join(format!("ringtap-interop-{}", std::process::id()));
        let control = control.to_str().expect("a plain path").to_string();
        let mut command = Command::new(PROGRAM);
        command.arg("serve").args(link.device()).args(["--control", &control]).args(more).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let mut out = BufReader::new(child.stdout.take().expect("its stdout"));
        let mut ready = String::new();
        out.read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("ready "), "{ready}");
        Self { child, out, control }
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().is_ok_and(|s| s.success()));
    }

    /// All of its counters, for a failure to tell.
    pub fn stats(&self) -> String {
        let output = run(Command::new(PROGRAM).args(["ctl", &self.control, "stats"]), b"");
        String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Its control socket.
    pub fn control(&self) -> &str {
        &self.control
    }

    /// One of its counters; those of drops are absent, thus 0, until they count.
    pub fn counter(&self, name: &str) -> u64 {
        let output = run(Command::new(PROGRAM).args(["ctl", &self.control, "stats", "--json"]), b"");
        let stats: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        stats[name].as_u64().unwrap_or(0)
    }

    /// Whether it takes the link of its interface for up.
    pub fn is_up(&self) -> bool {
        let output = run(Command::new(PROGRAM).args(["ctl", &self.control, "interfaces", "--json"]), b"");
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        rows[0]["up"].as_bool().expect("a row for the interface")
    }

    /// Waits until it has no connection left, not even one that its services have closed.
    pub fn wait_until_free(&self) {
        wait_until("the stack frees its connections", || self.counter("tcp_connections") == 0);
    }

    /// Ends it as a user would; it must have come to no harm.
    pub fn end(mut self) {
        self.signal("TERM");
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).expect("its last words");
        let status = self.child.wait().expect("its end");
        assert!(status.success() && rest.starts_with("served "), "{status} {rest}");
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection of the kernel's to a service.
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect_timeout(&(STACK, port).into(), LIMIT).expect("connected");
    with_limits(stream)
}

pub fn with_limits(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
    stream.set_write_timeout(Some(LIMIT)).expect("a time-out");
    stream
}

/// Sends `text` and expects it back, on a connection that stays open.
pub fn expect_echo(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).expect("written");
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).expect("echoed");
    assert!(back == text);
}

pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Octets without a pattern, the same for the same seed: whatever is lost, doubled or moved shows.
pub fn octets(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut octets = Vec::with_capacity(len + 8);
    while octets.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        octets.extend_from_slice(&state.to_le_bytes());
    }
    octets.truncate(len);
    octets
}

/// Compares without printing megabytes.
pub fn assert_same(got: &[u8], want: &[u8]) {
    let differs = got.iter().zip(want).position(|(a, b)| a != b);
    assert!(got == want, "{} octets of {}; the first wrong one at {differs:?}", got.len(), want.len());
}

/// A program of the system; `package` brings it.
pub fn tool(name: &str, package: &str) -> Command {
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&dirs).any(|dir| dir.join(name).is_file());
    assert!(found, "the program `{name}` is missing; install it: apt-get install {package}");
    Command::new(name)
}

/// Runs a program with this input to its end.
pub fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program");
    let mut stdin = child.stdin.take().expect("its stdin");
    let input = input.to_vec();
    // A program may end without having read its input.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("its state") {
            break status;
        }
        if start.elapsed() > LIMIT {
            child.kill().expect("killed");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    writer.join().expect("the writer");
    Output { status, stdout: out.join().expect("its stdout"), stderr: err.join().expect("its stderr") }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    let mut pipe = pipe.expect("a pipe");
    std::thread::spawn(move || {
        let mut all = Vec::new();
        pipe.read_to_end(&mut all).map(|_| all).expect("read")
    })
}

/// Runs a program that must succeed, and gives what it wrote to stdout.
pub fn output_of(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let output = run(command, input);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// As [`output_of`], for text.
pub fn text_of(command: &mut Command, input: &[u8]) -> String {
    String::from_utf8(output_of(command, input)).expect("text")
}
