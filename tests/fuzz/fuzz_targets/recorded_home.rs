//! See the function.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whichroom::fuzzed::recorded_home(bytes));
