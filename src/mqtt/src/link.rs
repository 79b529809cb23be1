//! One connection to the broker, in either version of MQTT. A new one is made for every attempt, so that nothing
//! the library kept of the last one is sent again behind the owner's back.

use std::io;

use crate::options::{Options, Publish};
#[cfg(feature = "v5")]
use crate::v5;
use crate::versions::Version;
use crate::{IN_FLIGHT_MAX, v4};

/// Requests that wait for the library: each publish may be in flight, and some subscriptions.
pub(crate) const REQUESTS_MAX: usize = IN_FLIGHT_MAX + 16;

/// Packet ids, more than may be in flight: one that a broker answers late is not in the way of the next ones.
pub(crate) const PACKET_IDS: u16 = 256;

/// How much larger than the owner's limit a packet may be to be read and named, instead of ending the connection.
pub(crate) const NAMED_UP_TO: usize = 16;

/// What happened on a connection.
pub(crate) enum Step {
    Connected {
        session_present: bool,
        packet_max: Option<usize>,
    },
    Message {
        topic: String,
        payload: Vec<u8>,
        retained: bool,
    },
    /// A publish was written.
    Sent(u16),
    /// The broker has a publish, or says why it refused it.
    Acked {
        packet_id: u16,
        refused: Option<String>,
    },
    SubscribeSent(u16),
    /// The broker's answer to each filter: what is wrong with it, if anything.
    SubscribeAnswered {
        packet_id: u16,
        refused: Vec<Option<String>>,
    },
    DisconnectSent,
    /// Nothing that concerns anybody.
    Other,
}

/// Why a connection was lost, or not made.
pub(crate) struct Lost {
    pub(crate) why: String,
    pub(crate) kind: LostKind,
}

pub(crate) enum LostKind {
    Plain,
    /// The broker said that it does not speak this version.
    VersionRefused,
    /// Something answered that was no answer: perhaps a broker too old for this version.
    AnswerUnread,
    /// A packet beyond what is even read.
    Oversized(usize),
}

impl Lost {
    pub(crate) fn plain(why: impl Into<String>) -> Lost {
        Lost { why: why.into(), kind: LostKind::Plain }
    }

    pub(crate) fn unread(why: impl Into<String>) -> Lost {
        Lost { why: why.into(), kind: LostKind::AnswerUnread }
    }

    pub(crate) fn oversized(bytes: usize) -> Lost {
        let why = format!("a message of {bytes} bytes came, which is more than is ever read");
        Lost { why, kind: LostKind::Oversized(bytes) }
    }

    /// The errors a person can do something about, in words.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the standard library's kinds, of which there will be more"
    )]
    pub(crate) fn io(error: &io::Error) -> Lost {
        let text = error.to_string();
        // The resolver's errors have no kind of their own.
        if text.contains("lookup") {
            return Lost::plain(format!("host not found: {text}"));
        }
        Lost::plain(match error.kind() {
            io::ErrorKind::ConnectionRefused => "connection refused: no broker listens there",
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "the connection was reset",
            io::ErrorKind::TimedOut => "no answer",
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no route to the host",
            _ => &text,
        })
    }
}

/// Where requests for a connection go; never blocks.
pub(crate) enum Sender {
    V4(rumqttc::AsyncClient),
    #[cfg(feature = "v5")]
    V5(rumqttc::v5::AsyncClient),
}

/// The library's queue was full.
pub(crate) struct QueueFull;

impl Sender {
    pub(crate) fn publish(&self, publish: Publish) -> Result<(), QueueFull> {
        match self {
            Sender::V4(client) => v4::publish(client, publish),
            #[cfg(feature = "v5")]
            Sender::V5(client) => v5::publish(client, publish),
        }
    }

    pub(crate) fn subscribe(&self, filters: &[String]) -> Result<(), QueueFull> {
        match self {
            Sender::V4(client) => v4::subscribe(client, filters),
            #[cfg(feature = "v5")]
            Sender::V5(client) => v5::subscribe(client, filters),
        }
    }

    pub(crate) fn disconnect(&self) -> Result<(), QueueFull> {
        match self {
            Sender::V4(client) => client.try_disconnect().map_err(|_| QueueFull),
            #[cfg(feature = "v5")]
            Sender::V5(client) => client.try_disconnect().map_err(|_| QueueFull),
        }
    }
}

/// A connection to be driven.
pub(crate) enum Link {
    V4(Box<v4::Link>),
    #[cfg(feature = "v5")]
    V5(Box<v5::Link>),
}

impl Link {
    pub(crate) fn new(options: &Options, version: Version) -> (Sender, Link) {
        match version {
            Version::V4 => {
                let (client, link) = v4::Link::new(options);
                (Sender::V4(client), Link::V4(Box::new(link)))
            }
            #[cfg(feature = "v5")]
            Version::V5 { session_expiry_s } => {
                let (client, link) = v5::Link::new(options, session_expiry_s);
                (Sender::V5(client), Link::V5(Box::new(link)))
            }
        }
    }

    /// Connects at the first call. Not to be called again after a loss.
    pub(crate) async fn next(&mut self) -> Result<Step, Lost> {
        match self {
            Link::V4(link) => link.next().await,
            #[cfg(feature = "v5")]
            Link::V5(link) => link.next().await,
        }
    }
}
