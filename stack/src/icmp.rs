//! ICMPv4: echo, errors in both directions.
