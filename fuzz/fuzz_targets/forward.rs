//! Bytes on a Forward connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ikada_forward::fuzz::fuzz_frames(data));
