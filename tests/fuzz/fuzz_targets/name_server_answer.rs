//! See the function.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whichroom::fuzzed::name_server_answer(bytes));
