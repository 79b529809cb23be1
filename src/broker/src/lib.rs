//! The embedded MQTT broker, for trying things out and for small homes: MQTT 3.1.1 and 5, QoS 0 and 1, persistent
//! sessions, wills, retained messages, users with their topics; no TLS, no bridges, no QoS 2 towards subscribers, no
//! shared subscriptions. Everything is in memory: after a restart the clients connect again and publish what they
//! retain, which all of ours do.
//!
//! The rules are a state machine without sockets (`router`); `server` puts threads around it; `codec` is the only
//! place that knows packets.

mod access;
mod codec;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod message;
mod options;
mod outbox;
mod retained;
mod router;
mod server;
mod session;
mod topic;

pub use options::{Limits, Options, Secret, User};
pub use router::Counts;
pub use server::{Broker, StartError};
