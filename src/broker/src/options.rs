//! What the broker is started with: where it listens, who may do what, and its limits.

use std::fmt;
use std::net::SocketAddr;

/// Where the broker listens and for whom.
#[derive(Debug, Clone)]
pub struct Options {
    /// Addresses to listen on; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Who may connect. Without users everybody may do everything, and only loopback addresses are listened on.
    pub users: Vec<User>,
    /// How much of everything.
    pub limits: Limits,
}

/// Somebody who may connect.
#[derive(Debug, Clone)]
pub struct User {
    /// The user name.
    pub name: String,
    /// The password.
    pub password: Secret,
    /// Filters of the topics that this user may publish to.
    pub publish: Vec<String>,
    /// A subscription must lie within one of these filters.
    pub subscribe: Vec<String>,
}

/// A password: neither logged nor shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Keeps `password`.
    pub fn new(password: impl Into<String>) -> Secret {
        Secret(password.into())
    }

    /// Takes as long for a wrong password as for the right one.
    pub(crate) fn is(&self, password: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let mut difference = usize::from(own.len() != password.len());
        for (index, byte) in password.iter().enumerate() {
            let expected = own.get(index % own.len().max(1)).copied().unwrap_or(0);
            difference |= usize::from(std::hint::black_box(byte ^ expected));
        }
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The most the broker keeps, so that no client can take what the others need.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at one time; more are closed at once.
    pub clients: usize,
    /// Sessions, connected or kept. The one that was left longest ago makes room.
    pub sessions: usize,
    /// Subscriptions of one client.
    pub subscriptions: usize,
    /// Length of a topic or filter.
    pub topic_bytes: usize,
    /// Length of a packet; a larger one ends the connection.
    pub packet_bytes: u32,
    /// Retained messages; more are delivered and not retained.
    pub retained_messages: usize,
    /// Their bytes.
    pub retained_bytes: usize,
    /// Messages that wait for one client. One that falls behind further is disconnected, and its session dropped.
    pub queued_messages: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Messages sent to a client that it has not acknowledged.
    pub in_flight: u16,
    /// How long a session is kept without connection, whatever the client asks for.
    pub session_expiry_s: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            clients: 200,
            sessions: 400,
            subscriptions: 100,
            topic_bytes: 1024,
            packet_bytes: 1024 * 1024,
            retained_messages: 10_000,
            retained_bytes: 16 * 1024 * 1024,
            // Two subscriptions to everything, with everything retained.
            queued_messages: 25_000,
            queued_bytes: 40 * 1024 * 1024,
            in_flight: 100,
            session_expiry_s: 24 * 60 * 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_password_is_right() {
        let secret = Secret::new("hunter2");
        assert!(secret.is(b"hunter2"));
        for wrong in ["", "hunter", "hunter22", "hunter2hunter2", "Hunter2"] {
            assert!(!secret.is(wrong.as_bytes()), "{wrong}");
        }
        assert!(Secret::new("").is(b""));
        assert!(!Secret::new("").is(b"x"));
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }
}
