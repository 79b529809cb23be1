//! Who is home and in which room: pure functions of evidence and time, without sockets, clocks or threads.
//!
//! [`Engine`] is the whole machine. A message goes this way: `ingest` asks `access_point` whether it counts and reads
//! it into the `claims` of a `device`, `decide` settles the device and its timers, `fading` says when a silence is an
//! absence, `rooms` weighs signals, `person` and `house` judge by devices, and `publish` turns differences into
//! effects whose words `reasons` finds. Beside that, `hearing` keeps what was heard a moment ago, `collecting` makes
//! samples of it while a calibration listens, and `asking` says when a device is asked for its own view.

mod access_point;
mod acquaintances;
mod asking;
pub mod calibration;
mod claims;
mod collecting;
mod decide;
mod device;
mod doze;
#[cfg(test)]
mod doze_properties;
mod engine;
mod explain;
mod fading;
mod hearing;
mod house;
mod ingest;
mod learning;
mod moment;
mod nights;
pub mod output;
mod path;
mod person;
mod publish;
mod reasons;
pub mod rooms;
pub mod setup;
mod snapshot;
mod timers;
mod view;
mod windows;

pub use engine::Engine;
pub use explain::{Explanation, Section, Subject};
pub use moment::Moment;
pub use snapshot::Snapshot;
pub use timers::{ApIndex, DeviceIndex, Timer};
