//! Steps, their headings and times, and the count at the end.

use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

/// What a step has to say when it passed (often nothing), or why it failed.
pub type Outcome = Result<String, String>;

/// The running count of steps.
pub struct Report {
    started: Instant,
    section: Option<Instant>,
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
        self.section = Some(Instant::now());
    }

    fn end_section(&mut self) {
        if let Some(since) = self.section.take() {
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
                self.failed.push(name.to_owned());
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
    Err(format!("`{line}` ended with {}\n{stdout}{stderr}", output.status))
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
        assert!(error.contains("out\nerr"), "{error}");
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
