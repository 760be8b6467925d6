//! `ringtap traceroute`: the routers on the way to a host, by echo requests whose hop limits run out there.

use crate::cli::TracerouteArgs;
use crate::ping::reason;
use crate::resolve::reach_one;
use ringtap::icmp::IcmpError;
use ringtap_host::failure::Failure;
use ringtap_host::runtime::{Answer, Pinger};
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Octets of payload.
const PAYLOAD: [u8; 32] = [0x52; 32];

/// How far a probe came.
enum Reached {
    /// Nobody knows.
    Silence,
    /// A router on the way.
    Router,
    /// The host, or as near to it as a way leads.
    End,
}

/// Probes hop by hop until the host answers, or it is known that it will not.
pub fn run(args: TracerouteArgs) -> Result<ExitCode, Failure> {
    if args.max_hops == 0 || args.probes == 0 {
        return Err(Failure::usage("there must be at least one hop and one probe"));
    }
    if !(args.wait.is_finite() && (0.001..=3_600.0).contains(&args.wait)) {
        return Err(Failure::usage("the wait must lie between 0.001 and 3600 seconds"));
    }
    let wait = Duration::from_secs_f64(args.wait);
    let (runtime, target) = reach_one(args.device, &args.host, args.family.wanted())?;
    let mut pinger = Pinger::new(&runtime).map_err(|e| Failure::io("cannot open an echo socket", &e))?;
    println!("traceroute to {target}, {} hops at most, {} octets of payload", args.max_hops, PAYLOAD.len());
    for hops in 1..=args.max_hops {
        print!("{hops:>2} ");
        if let Reached::End = probe_hop(&mut pinger, target, hops, args.probes, wait)? {
            println!();
            return Ok(ExitCode::SUCCESS);
        }
        println!();
    }
    Ok(ExitCode::FAILURE)
}

/// One line: each router is named once, each probe's time given.
fn probe_hop(pinger: &mut Pinger, target: IpAddr, hops: u8, probes: u8, wait: Duration) -> Result<Reached, Failure> {
    let (mut reached, mut named) = (Reached::Silence, None);
    for _ in 0..probes {
        match pinger.probe(target, &PAYLOAD, Some(hops), wait) {
            Ok(Answer { from, error, after }) => {
                if named != Some(from) {
                    print!(" {from}");
                    named = Some(from);
                }
                print!("  {:.3} ms", after.as_secs_f64() * 1e3);
                reached = match error {
                    Some(IcmpError::HopsExceeded) => Reached::Router,
                    Some(error) => {
                        print!(" ({})", reason(error));
                        Reached::End
                    }
                    None => Reached::End,
                };
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => print!("  *"),
            Err(e) => {
                println!();
                return Err(Failure::io(format_args!("cannot probe {target}"), &e));
            }
        }
        // Each probe may take its time: what is known so far is shown.
        let _ = std::io::stdout().flush();
    }
    Ok(reached)
}
