//! `ringtap demo`: the stack and this machine's kernel talk to each other in a private namespace.
//!
//! ```text
//!   kernel 10.7.0.1, fd07::1 ── tap ── 10.7.0.2, fd07::2 the stack (its services, and blocking sockets)
//! ```
//! The kernel's end is driven by ordinary `std::net` sockets of this process.

mod checks;

use crate::cli::DemoArgs;
use indicatif::{ProgressBar, ProgressStyle};
use ringtap_host::attach::{Attachment, Carrier};
use ringtap_host::engine::App;
use ringtap_host::failure::Failure;
use ringtap_host::netns;
use ringtap_host::runtime::Runtime;
use ringtap_host::serve::{Services, limits};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The name of the tap.
const DEVICE: &str = "ringtap0";

/// When something hangs in spite of all its time-outs.
const WATCHDOG: Duration = Duration::from_secs(30);

/// One line of the table.
struct Row {
    what: &'static str,
    peer: &'static str,
    outcome: Outcome,
}

enum Outcome {
    /// It worked; what was measured.
    Ok(String),
    Failed(String),
}

/// Runs all checks and prints the table.
pub fn run(args: DemoArgs) -> Result<ExitCode, Failure> {
    // While there is only one thread.
    netns::enter()?;
    watch();
    let start = Instant::now();
    let attached = Attachment { pcap: args.pcap.clone(), ..Attachment::new(Carrier::Tap(DEVICE.into())) }.open()?;
    let (v4, v6) = (checks::V4, checks::V6);
    println!(
        "the kernel is {} and {}, the stack {} and {}, between them the tap {DEVICE}",
        v4.kernel, v6.kernel, v4.stack, v6.stack
    );
    let runtime = start_stack(attached)?;
    let rows = run_checks(&runtime);
    let frames = runtime.with_stack(|stack| (stack.stats().rx_frames, stack.stats().tx_frames));
    drop(runtime);
    print_table(&rows);
    println!("{} frames to the stack, {} from it, {:.1} s", frames.0, frames.1, start.elapsed().as_secs_f64());
    if let Some(path) = &args.pcap {
        println!("all of them are in {}", path.display());
    }
    let failed = rows.iter().filter(|r| matches!(r.outcome, Outcome::Failed(_))).count();
    if failed > 0 {
        return Err(Failure::new(format!("{failed} of {} failed", rows.len()))
            .remedy("see the table; --pcap FILE records what went over the tap"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The stack on its thread, with its services beside it.
fn start_stack(attached: ringtap_host::attach::Attached) -> Result<Runtime, Failure> {
    Runtime::start_with(attached, limits(), |stack| Services::start(stack).map(|s| Box::new(s) as Box<dyn App>))
}

fn run_checks(runtime: &Runtime) -> Vec<Row> {
    let checks = checks::ALL;
    let bar = ProgressBar::new(checks.iter().map(|c| c.weight).sum());
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut rows = Vec::new();
    for check in checks {
        bar.set_message(check.what);
        let end = bar.position() + check.weight;
        let outcome = match (check.run)(runtime, check.ends, &bar) {
            Ok(text) => Outcome::Ok(text),
            Err(e) => Outcome::Failed(e.to_string()),
        };
        bar.set_position(end);
        rows.push(Row { what: check.what, peer: check.peer, outcome });
    }
    bar.finish_and_clear();
    rows
}

fn print_table(rows: &[Row]) {
    println!("{:34}  {:16}  {:8}  measured", "what", "peer", "result");
    for Row { what, peer, outcome } in rows {
        let (result, text) = match outcome {
            Outcome::Ok(text) => ("ok", text.as_str()),
            Outcome::Failed(text) => ("FAILED", text.as_str()),
        };
        println!("{}", format!("{what:34}  {peer:16}  {result:8}  {text}").trim_end());
    }
}

/// Ends the program should it hang.
fn watch() {
    std::thread::spawn(|| {
        std::thread::sleep(WATCHDOG);
        eprintln!("ringtap: the demo hangs; run it with --pcap FILE to see where");
        std::process::exit(1);
    });
}
