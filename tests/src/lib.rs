//! End-to-end tests, stand-ins and benchmarks.

pub mod ubusd;
