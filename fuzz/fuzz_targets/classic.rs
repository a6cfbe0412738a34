//! A configuration in the classic format.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ikada_config::fuzz::fuzz_classic(data));
