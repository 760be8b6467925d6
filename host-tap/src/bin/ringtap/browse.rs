//! `ringtap browse`: the services of a type that the link has, as they come and go.

use crate::cli::BrowseArgs;
use ringtap::error::BindError;
use ringtap::mdns::{Browser, FoundService};
use ringtap::stack::{Limits, Stack};
use ringtap::time::{Duration, Instant};
use ringtap_host::engine::{App, Engine};
use ringtap_host::epoll::Signals;
use ringtap_host::failure::Failure;
use std::process::ExitCode;

/// How long after the first word of a service its line waits for the rest of what is said of it.
const SETTLE: Duration = Duration::from_millis(200);

struct Browse {
    browser: Browser,
    /// One line for each service that was told of.
    told: Vec<String>,
    any: bool,
    /// When lines are printed.
    settles: Option<Instant>,
    until: Option<Instant>,
    done: bool,
}

/// Looks until the time is over, or a signal comes.
pub fn run(args: BrowseArgs) -> Result<ExitCode, Failure> {
    let signals = Signals::new().map_err(|e| Failure::io("cannot wait for signals", &e))?;
    let mut engine = Engine::new(args.device.attachment()?.open()?, Limits::default(), Some(signals))?;
    let iface = engine.iface();
    let (browser, now) = {
        let shared = engine.shared();
        let stack = &mut shared.lock().stack;
        let browser = Browser::start(stack, iface, &args.kind).map_err(|e| match e {
            BindError::Invalid => {
                Failure::usage(format!("{} is no type of service", args.kind)).remedy("give one like _http._tcp")
            }
            other => Failure::new(format!("cannot browse: {other}")),
        })?;
        (browser, stack.now())
    };
    let until = (args.time > 0).then(|| now + Duration::from_secs(args.time));
    let mut browse = Browse { browser, told: Vec::new(), any: false, settles: None, until, done: false };
    engine.run(&mut browse)?;
    Ok(if browse.any { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl App for Browse {
    fn turn(&mut self, stack: &mut Stack<'static>, now: Instant) -> bool {
        if self.browser.poll(stack, now) && self.settles.is_none() {
            self.settles = Some(now + SETTLE);
        }
        self.done = self.until.is_some_and(|until| until <= now);
        if self.done || self.settles.is_some_and(|at| at <= now) {
            self.settles = None;
            self.tell();
        }
        false
    }

    fn deadline(&self) -> Option<Instant> {
        [self.browser.deadline(), self.settles, self.until].into_iter().flatten().min()
    }

    fn done(&self) -> bool {
        self.done
    }
}

impl Browse {
    /// A line with a minus for what is gone or has changed, one with a plus for what has come.
    fn tell(&mut self) {
        let lines: Vec<String> = self.browser.services().map(|s| line(&s)).collect();
        self.told.iter().filter(|old| !lines.contains(old)).for_each(|old| println!("- {old}"));
        lines.iter().filter(|new| !self.told.contains(new)).for_each(|new| println!("+ {new}"));
        self.any |= !lines.is_empty();
        self.told = lines;
    }
}

/// `Boiler room at boiler.local:80 [10.7.0.2, fd07::2] path=/`.
fn line(service: &FoundService<'_>) -> String {
    let addresses: Vec<String> = service.addresses().map(|ip| ip.to_string()).collect();
    let texts: String = service.texts().map(|text| format!(" {}", text.escape_ascii())).collect();
    let (instance, host, port) = (service.instance(), service.host(), service.port());
    format!("{instance} at {host}:{port} [{}]{texts}", addresses.join(", "))
}
