//! Who is home and in which room: pure functions of evidence and time, without sockets, clocks or threads.

mod moment;
pub mod output;
pub mod setup;

pub use moment::Moment;
