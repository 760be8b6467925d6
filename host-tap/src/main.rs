//! The program `ringtap`.
fn main() {}
