#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringtap_sim::fuzz::wire(data));
