//! **ringtap** on Linux: tap, tun and UNIX-socket devices for the stack, an event loop, and the program `ringtap`.
#![deny(unsafe_code)]

pub mod attach;
pub mod clock;
pub mod device;
pub mod engine;
pub mod entropy;
pub mod epoll;
pub mod failure;
pub mod names;
pub mod netns;
pub mod pcapng;
pub mod pool;
pub mod router;
pub mod routers;
pub mod runtime;
pub mod serve;
pub mod sys;
pub mod tap;
pub mod unix;
pub mod vlan;
