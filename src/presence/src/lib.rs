//! Who is home and in which room: pure functions of evidence and time, without sockets, clocks or threads.

mod access_point;
mod claims;
mod decide;
mod device;
mod engine;
mod house;
mod ingest;
mod moment;
pub mod output;
mod person;
mod publish;
mod reasons;
mod rooms;
pub mod setup;
mod snapshot;
mod timers;
mod windows;

pub use engine::Engine;
pub use moment::Moment;
pub use snapshot::Snapshot;
pub use timers::{ApIndex, DeviceIndex, Timer};
