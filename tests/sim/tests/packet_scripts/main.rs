//! The packet scripts of tests/scripts, played against the stack and against the kernel.

mod kernel;

use kernel::KernelHost;
use ringtap_sim::script::{Host, Script, StackHost, play};
use std::path::Path;

/// Plays every script against a host of its own; fails with the list of those that went wrong.
fn play_all<H: Host>(mut host: impl FnMut(u8) -> H) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let mut paths: Vec<_> =
        std::fs::read_dir(&dir).expect("tests/scripts").map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    let mut failures = Vec::new();
    for (n, path) in (1..).zip(&paths) {
        assert!(path.extension().is_some_and(|e| e == "pkt"), "{} is no script", path.display());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).expect("a readable script");
        let outcome = Script::parse(&text).and_then(|script| play(&script, &mut host(n)));
        failures.extend(outcome.err().map(|e| format!("{name}: {e}")));
    }
    assert!(paths.len() >= 30, "only {} scripts", paths.len());
    assert!(failures.is_empty(), "{} of {} scripts failed:\n{}", failures.len(), paths.len(), failures.join("\n"));
}

#[test]
fn the_stack_keeps_to_every_script() {
    play_all(|_| StackHost::new());
}

#[test]
fn the_kernel_keeps_to_every_script() {
    kernel::in_own_namespace("the_kernel_keeps_to_every_script", || play_all(KernelHost::new));
}

fn fails(text: &str) -> String {
    let script = Script::parse(text).expect("a script");
    play(&script, &mut StackHost::new()).expect_err("a play that goes wrong")
}

const OPEN: &str = "listen\nin SYN seq 0 mss 1460\nout SYN ACK seq 0 ack 1\nin ACK seq 1 ack 1\naccept\n";

#[test]
fn a_script_that_the_stack_does_not_keep_to_fails_in_the_right_line() {
    let cases = [
        ("write 3\nout ACK seq 1 ack 1 text 4", "line 7"),
        ("write 3\nout ACK seq 2 ack 1 text 3", "line 7"),
        ("write 3\nout ACK seq 1 ack 2 text 3", "line 7"),
        ("write 3\nout FIN ACK seq 1 ack 1 text 3", "line 7"),
        ("write 3\nout ACK ack 1 text 3 win 7", "line 7"),
        ("out ACK ack 1", "nothing was sent"),
        ("write 3", "at the end"),
        ("write 3\nquiet 0", "line 7"),
        ("write 3\nout ACK ack 1 text 3\nquiet 0.5", "line 8"),
        ("write 3\nout ACK ack 1 text 3\nout ACK ack 1 text 3 after 0.3..1", "came after"),
        ("write 3\nout ACK ack 1 text 3\nout ACK ack 1 text 3 after 0.1..0.15", "nothing was sent"),
        ("in ACK seq 2 ack 1 text 1\nout ACK ack 1 sack 2-3", "the blocks []"),
        ("read 1", "line 6"),
        ("end", "line 6"),
        ("in RST seq 1\nerror refused", "line 7"),
        ("accept", "no connection"),
    ];
    for (rest, why) in cases {
        let error = fails(&format!("{OPEN}{rest}\n"));
        assert!(error.contains(why), "{rest}: {error}");
    }
    for (syn, answer, why) in
        [("", "ws 3", "the window scale"), ("", "sackok", "not permitted"), ("ws 3", "ws none", "the window scale")]
    {
        let error = fails(&format!("listen\nin SYN seq 0 {syn}\nout SYN ACK seq 0 ack 1 {answer}"));
        assert!(error.contains(why), "{answer}: {error}");
    }
    assert!(fails("in SYN seq 0\nout SYN ACK ack 1").contains("line 2"));
    assert!(fails("in ACK seq 0 ack 1").contains("not known"));
}
