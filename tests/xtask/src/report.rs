//! Steps, their headings and times, and the count at the end.

use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

/// What a step has to say when it passed (often nothing), or why it failed.
pub type Outcome = Result<String, String>;

/// The running count of steps.
pub struct Report {
    started: Instant,
    section: Option<(String, Instant)>,
    passed: usize,
    failed: Vec<String>,
}

impl Report {
    /// Nothing run yet.
    pub fn new() -> Self {
        Self { started: Instant::now(), section: None, passed: 0, failed: Vec::new() }
    }

    /// Begins a section.
    pub fn section(&mut self, name: &str) {
        self.end_section();
        println!("== {name}");
        self.section = Some((name.to_owned(), Instant::now()));
    }

    fn end_section(&mut self) {
        if let Some((_, since)) = self.section.take() {
            println!("   {:.1} s\n", since.elapsed().as_secs_f64());
        }
    }

    /// A line that says what this run leaves out.
    pub fn sampled(&self, what: &str) {
        println!("   sampled: {what}");
    }

    /// Runs one step. A failure is shown and remembered; the steps after it run all the same.
    pub fn step(&mut self, name: &str, run: impl FnOnce() -> Outcome) {
        print!("   {name} ");
        let _ = std::io::stdout().flush();
        let since = Instant::now();
        let outcome = run();
        let seconds = since.elapsed().as_secs_f64();
        match outcome {
            Ok(note) if note.is_empty() => println!("... ok ({seconds:.1} s)"),
            Ok(note) => println!("... ok: {note} ({seconds:.1} s)"),
            Err(error) => {
                println!("... FAILED ({seconds:.1} s)");
                for line in error.lines() {
                    println!("   | {line}");
                }
                let section = self.section.as_ref().map_or("", |(name, _)| name);
                self.failed.push(format!("{section}: {name}"));
                return;
            }
        }
        self.passed += 1;
    }

    /// Runs a command as a step; its output is shown only when it fails.
    pub fn command(&mut self, name: &str, command: &mut Command) {
        self.step(name, || capture(command).map(|_| String::new()));
    }

    /// Ends the run; whether everything passed.
    pub fn finish(mut self) -> bool {
        self.end_section();
        for name in &self.failed {
            println!("failed: {name}");
        }
        println!("total time {:.0} s", self.started.elapsed().as_secs_f64());
        println!("{} passed, {} failed", self.passed, self.failed.len());
        self.failed.is_empty()
    }
}

/// Runs a command and gives its standard output; on failure the error holds the command line and all that it printed.
pub fn capture(command: &mut Command) -> Outcome {
    let line = line_of(command);
    let output = command.output().map_err(|e| format!("cannot run `{line}`: {e}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{line}` ended with {}\n{}", output.status, essence(&format!("{stderr}\n{stdout}"))))
}

/// What to show of a failed command's output: no warnings of the compiler, no passed tests, and not without end.
fn essence(text: &str) -> String {
    const LINES: usize = 150;
    let mut kept = Vec::new();
    let mut in_warning = false;
    for line in text.lines() {
        if line.starts_with("warning") {
            in_warning = true;
        } else if line.is_empty() || line.starts_with("error") {
            in_warning = false;
        }
        let doubled = line.is_empty() && kept.last().is_none_or(|l: &&str| l.is_empty());
        let passed = line.starts_with("test ") && line.ends_with("... ok");
        let noise = doubled || passed || in_warning || line.starts_with("   Compiling ");
        if !noise {
            kept.push(line);
        }
    }
    let left_out = kept.len().saturating_sub(LINES);
    if left_out > 0 {
        // The beginning says what went wrong first, the end how it ended.
        let note = format!("… {left_out} lines …");
        return [&kept[..LINES / 2], &[note.as_str()], &kept[kept.len() - LINES / 2..]].concat().join("\n");
    }
    kept.join("\n")
}

/// The command as one would type it, with the environment that was set for it.
fn line_of(command: &Command) -> String {
    let mut words = Vec::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={}", key.to_string_lossy(), quoted(&value.to_string_lossy())));
        }
    }
    words.push(command.get_program().to_string_lossy().into_owned());
    words.extend(command.get_args().map(|a| quoted(&a.to_string_lossy())));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_shows_itself_and_what_it_printed() {
        let error = capture(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).expect_err("exit 3");
        assert!(error.contains("`sh -c 'echo out; echo err >&2; exit 3'`"), "{error}");
        assert!(error.contains("err\n\nout"), "{error}");
    }

    #[test]
    fn warnings_and_passed_tests_do_not_hide_what_failed() {
        let text = "warning: unused\n --> a.rs\n  |\n\nerror: broken\n --> b.rs\n\n\ntest a ... ok\ntest b ... FAILED";
        assert_eq!(essence(text), "error: broken\n --> b.rs\n\ntest b ... FAILED");
        assert!(essence(&"line\n".repeat(1000)).contains("… 850 lines …"));
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_it() {
        let error = capture(&mut Command::new("ringtap-no-such-program")).expect_err("missing");
        assert!(error.contains("ringtap-no-such-program"), "{error}");
    }

    #[test]
    fn a_failed_step_makes_the_run_fail_and_the_next_one_still_runs() {
        let mut report = Report::new();
        report.step("bad", || Err("why".into()));
        let mut ran = false;
        report.step("good", || {
            ran = true;
            Ok(String::new())
        });
        assert!(ran);
        assert!(!report.finish());
    }
}
