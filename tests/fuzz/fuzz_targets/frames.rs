#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringtap_sim::fuzz::frames(data));
