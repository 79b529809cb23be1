//! End-to-end tests, stand-ins and benchmarks: what they share.

pub mod certificates;
pub mod chromium;
pub mod conformance;
pub mod directory;
pub mod figures;
pub mod house;
pub mod http;
pub mod meter;
pub mod mosquitto;
pub mod observer;
pub mod process;
pub mod recorded;
pub mod ubusd;
