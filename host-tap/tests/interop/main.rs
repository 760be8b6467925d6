//! The Linux kernel, its sockets and its tools as the other end of `ringtap serve`, on a tap and on a tun.
//!
//! Each test runs in a network namespace of its own. Time limits only stop hangs; no test depends on speed.

mod advertise;
mod any_address;
mod backlog;
mod bulk;
mod capture;
mod carrier;
mod connections;
mod datagrams;
mod decoded;
mod dhcp;
mod dhcpv6;
mod ecn;
mod ipv6;
mod link_local;
mod mdns;
mod multicast;
mod offload;
mod ping;
mod redirects;
mod renewals;
mod router;
mod routers;
mod strong_host;
mod tools;
mod traceroute;
mod vlan;
mod world;
