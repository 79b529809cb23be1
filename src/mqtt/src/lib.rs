//! One thin module over the MQTT client, for the agent and the aggregator: threads and a callback, no async.
//!
//! A [`Session`] owns one thread that connects, connects again, and tells its owner what happens. Nothing is kept
//! for the owner: what was not acknowledged when the connection went was possibly lost, and the owner, who knows
//! what is still worth sending, sends it again. MQTT 5 comes with the feature `v5`,
//! TLS with the feature `tls`.

mod backoff;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod in_flight;
mod link;
#[cfg(not(feature = "tls"))]
mod no_tls;
mod options;
mod session;
#[cfg(feature = "tls")]
mod tls;
mod v4;
#[cfg(feature = "v5")]
mod v5;
mod versions;

pub use backoff::Backoff;
#[cfg(not(feature = "tls"))]
pub use no_tls::Tls;
pub use options::{Options, Protocol, Publish, Secret};
pub use session::{Event, IN_FLIGHT_MAX, Refused, Session, Token};
#[cfg(feature = "tls")]
pub use tls::{BadFingerprint, BadTls, Clock, Fingerprint, Identity, Tls, Trust};

#[cfg(all(feature = "tls", not(target_os = "linux")))]
compile_error!(
    "the feature tls needs Linux: it speaks to the library over a socket in the abstract namespace"
);
