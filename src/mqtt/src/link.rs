//! One connection to the broker, in either version of MQTT. A new one is made for every attempt, so that nothing
//! the library kept of the last one is sent again behind the owner's back.

use std::io;

use rumqttc::Transport;

use crate::options::{Options, Publish};
#[cfg(feature = "tls")]
use crate::tls::tunnel::{self, Tunnel};
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

/// How long the library waits for a connection in plain, and for the broker's first answer.
const ANSWER_MAX_S: u64 = 5;

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
    /// The connection was cut, and nothing said why.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "TLS knows more"))]
    pub(crate) cut: bool,
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
        Lost { why: why.into(), kind: LostKind::Plain, cut: false }
    }

    pub(crate) fn unread(why: impl Into<String>) -> Lost {
        Lost { why: why.into(), kind: LostKind::AnswerUnread, cut: false }
    }

    pub(crate) fn oversized(bytes: usize) -> Lost {
        let why = format!("a message of {bytes} bytes came, which is more than is ever read");
        Lost { why, kind: LostKind::Oversized(bytes), cut: false }
    }

    /// Whoever knows more of the connection may say why it ended.
    pub(crate) fn cut(self) -> Lost {
        Lost { cut: true, ..self }
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
            return Lost::plain(format!("host not found: {text}")).cut();
        }
        Lost::plain(match error.kind() {
            io::ErrorKind::ConnectionRefused => "connection refused: no broker listens there",
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "the connection was reset",
            io::ErrorKind::TimedOut => "no answer",
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no route to the host",
            _ => &text,
        })
        .cut()
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

/// Where the library connects to.
pub(crate) struct Route {
    pub(crate) host: String,
    pub(crate) transport: Transport,
    /// How long it waits for the connection and the broker's first answer.
    pub(crate) answer_max_s: u64,
}

impl Route {
    fn direct(options: &Options) -> Route {
        Route { host: options.bracketed_host(), transport: Transport::Tcp, answer_max_s: ANSWER_MAX_S }
    }

    #[cfg(feature = "tls")]
    fn through(tunnel: &Tunnel) -> Route {
        let host = tunnel.address().to_owned();
        Route { host, transport: Transport::Unix, answer_max_s: tunnel::ANSWER_MAX_S }
    }
}

/// A connection to be driven.
pub(crate) struct Link {
    library: Library,
    #[cfg(feature = "tls")]
    tunnel: Option<Tunnel>,
}

/// The library's end of it.
enum Library {
    V4(Box<v4::Link>),
    #[cfg(feature = "v5")]
    V5(Box<v5::Link>),
}

impl Link {
    pub(crate) fn new(options: &Options, version: Version) -> (Sender, Link) {
        #[cfg(feature = "tls")]
        let tunnel = options.tls.as_ref().map(|tls| Tunnel::new(options, tls));
        #[cfg(feature = "tls")]
        let route = tunnel.as_ref().map_or_else(|| Route::direct(options), Route::through);
        #[cfg(not(feature = "tls"))]
        let route = Route::direct(options);
        let (sender, library) = Library::new(options, route, version);
        let link = Link {
            library,
            #[cfg(feature = "tls")]
            tunnel,
        };
        (sender, link)
    }

    /// Connects at the first call. Not to be called again after a loss.
    pub(crate) async fn next(&mut self) -> Result<Step, Lost> {
        #[cfg(feature = "tls")]
        if let Some(tunnel) = &mut self.tunnel {
            return tunnel.drive(self.library.next()).await;
        }
        self.library.next().await
    }
}

impl Library {
    fn new(options: &Options, route: Route, version: Version) -> (Sender, Library) {
        match version {
            Version::V4 => {
                let (client, link) = v4::Link::new(options, route);
                (Sender::V4(client), Library::V4(Box::new(link)))
            }
            #[cfg(feature = "v5")]
            Version::V5 { session_expiry_s } => {
                let (client, link) = v5::Link::new(options, route, session_expiry_s);
                (Sender::V5(client), Library::V5(Box::new(link)))
            }
        }
    }

    async fn next(&mut self) -> Result<Step, Lost> {
        match self {
            Library::V4(link) => link.next().await,
            #[cfg(feature = "v5")]
            Library::V5(link) => link.next().await,
        }
    }
}
