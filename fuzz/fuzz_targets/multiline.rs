//! Lines for the multiline joiner.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ikada_parse::fuzz::fuzz_multiline(data));
