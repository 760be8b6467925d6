//! A simulator for ringtap: several stacks on bad links, in virtual time, from one seed.
//!
//! ```text
//!   host 0 ── card ──▶ uplink 0 ──▶ ┌────────┐ ──▶ downlink 1 ──▶ card ── host 1
//!            impairments, rate,     │ switch │     (where there is one)
//!          ◀── downlink 0 ◀──────── └────────┘ ◀── uplink 1 ◀────
//! ```
//!
//! Nothing here reads a clock or depends on the machine: the same seed gives the same trace, of which [`Sim::trace`] is
//! the hash. After each step the invariants of `check.rs` must hold; a failure names the seed, and its packets are in a
//! pcapng file. [`scenario`] makes a whole run out of a seed; [`goodput`] and [`plot`] show how fast connections are.

pub mod app;
pub mod bench;
mod capture;
mod check;
pub mod dnsmsg;
pub mod fuzz;
pub mod goodput;
pub mod host;
pub mod hostile;
pub mod link;
pub mod nic;
pub mod packet;
pub mod peer;
pub mod plot;
pub mod rng;
pub mod scenario;
pub mod script;
pub mod seeds;
pub mod sim;
pub mod six;

pub use app::{App, Bulk, Op, Pattern, Script};
pub use bench::Bench;
pub use host::Host;
pub use link::{GilbertElliott, Impairments};
pub use nic::Nic;
pub use peer::Peer;
pub use rng::SimRng;
pub use sim::{Failure, Sim};
