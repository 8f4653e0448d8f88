#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| flowgap_fuzz::policy(input));
