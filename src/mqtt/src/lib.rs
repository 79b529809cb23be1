//! One thin module over the MQTT client, for the agent and the aggregator: threads and a callback, no async.
//!
//! A [`Session`] owns one thread that connects, connects again, and tells its owner what happens. Nothing is kept
//! for the owner: what was not acknowledged when the connection went was possibly lost, and the owner, who knows
//! what is still worth sending, sends it again. MQTT 5 comes with the feature `v5`.

mod backoff;
mod in_flight;
mod link;
mod options;
mod session;
mod v4;
#[cfg(feature = "v5")]
mod v5;
mod versions;

pub use backoff::Backoff;
pub use options::{Options, Protocol, Publish, Secret};
pub use session::{Event, IN_FLIGHT_MAX, Refused, Session, Token};
