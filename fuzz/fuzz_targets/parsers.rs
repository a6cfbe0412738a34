//! Lines for every built-in parser.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ikada_parse::fuzz::fuzz_parsers(data));
