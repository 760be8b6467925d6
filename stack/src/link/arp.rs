//! Link layer: arp.
