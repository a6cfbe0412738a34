//! A time format and a text.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ikada_parse::fuzz::fuzz_time(data));
