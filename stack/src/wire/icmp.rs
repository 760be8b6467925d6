//! Wire format: icmp.
