//! A stand-in for ubusd and for the processes of an access point that provide objects on it: hostapd, rpcd, netifd,
//! procd and usteer. It speaks the real protocol on a real socket, with an encoder and a decoder of its own. Tests and
//! benchmarks drive it through [`Ubusd`]; the program `stand-in-ubusd` is for trying things by hand.

pub mod access;
pub mod access_point;
pub mod command;
mod connection;
pub mod core;
pub mod frame;
pub mod providers;
mod server;
pub mod value;

pub use access::{Access, Rules};
pub use access_point::{AccessPoint, Bss, Heard, Lease, Release, Station};
pub use core::Process;
pub use server::{Answered, Leave, Options, Override, Pace, Ubusd, Wanted};
