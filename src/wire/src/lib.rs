//! The contract between agent and aggregator: topics, messages and their JSON, and nothing else.
//!
//! The agent writes with [`encode`], the aggregator reads with `AgentMessage::decode` (the feature `decode`), which
//! never panics on any bytes and drops one bad reading instead of the message it came in. What the aggregator publishes
//! for Home Assistant and others is in [`aggregator`].

pub mod aggregator;
#[cfg(feature = "decode")]
mod decode;
mod event;
mod id;
mod mac;
mod message;
mod topic;

#[cfg(feature = "decode")]
pub use decode::{AgentMessage, DecodeError, Decoded, Rejected};
pub use id::{Id, IdError};
pub use mac::{Mac, MacError};
pub use message::{
    Change, Event, EventWhat, Events, Host, Hosts, Radio, Radios, Request, RequestKind, Stamp, State,
    Station, Stations, Status, Tracked, encode, not_now,
};
pub use topic::{Root, Topic};

/// Version of the messages in this crate; a message with a higher one is not read.
pub const SCHEMA: u32 = 1;

/// Most elements of one array that are read; what is beyond is counted as rejected.
pub const ELEMENTS_MAX: usize = 4096;

/// Most sources, and most problems, in one `status` message.
pub const STATUS_TEXTS_MAX: usize = 32;

/// Most hosts in one `hosts` message.
pub const HOSTS_MAX: usize = 500;

/// Largest payload the aggregator reads, in bytes.
pub const PAYLOAD_MAX: usize = 1 << 20;

/// Largest payload the agent sends or reads, in bytes.
pub const AGENT_PAYLOAD_MAX: usize = 256 << 10;
