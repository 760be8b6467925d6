//! A simulator for ringtap: several stacks on bad links, in virtual time, from one seed.
//!
//! ```text
//!   host 0 ── nic ──▶ impairments, delay, rate ──▶ nic ── host 1
//!          ◀──────── (each direction its own) ◀──
//! ```
//!
//! Nothing here reads a clock or depends on the machine: the same seed gives the same trace, of which [`Sim::trace`] is
//! the hash. After each step the invariants of [`Sim::step`] are checked; a failure names the seed, and its packets are
//! in a pcapng file.

pub mod app;
pub mod bench;
pub mod host;
pub mod link;
pub mod nic;
pub mod packet;
pub mod rng;
pub mod sim;
pub mod six;

pub use app::{App, Bulk, Pattern};
pub use bench::Bench;
pub use host::Host;
pub use link::{Gilbert, Impairments};
pub use nic::Nic;
pub use rng::SimRng;
pub use sim::{Failure, Sim};
