//! What a session needs to know, and what it sends.

use std::fmt;
use std::time::Duration;

use crate::Tls;

/// How to reach the broker and what to say to it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name or address of the broker, without scheme or brackets.
    pub host: String,
    /// Its port, usually 1883.
    pub port: u16,
    /// Without one the connection is anonymous.
    pub username: Option<String>,
    /// Not sent without a user name.
    pub password: Option<Secret>,
    /// Two sessions with one id throw each other out.
    pub client_id: String,
    /// The broker publishes the will after 1.5 times of silence. At least 1 s; 5 s with MQTT 5.
    pub keep_alive: Duration,
    /// Published by the broker when the connection is lost, and not when the session is closed.
    pub will: Option<Publish>,
    /// How long the broker waits with the will for the session to come back; MQTT 5 only.
    pub will_delay_s: u32,
    /// Larger messages are neither sent nor delivered; in bytes, topic included.
    pub packet_max: usize,
    /// Version of MQTT.
    pub protocol: Protocol,
    /// Whether the broker forgets subscriptions and what is queued for this client id at each connection.
    pub clean_session: bool,
    /// For `mqtts://`: what TLS the broker is spoken to with. Without, everything goes in plain.
    pub tls: Option<Tls>,
}

/// Version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 3.1.1.
    V4,
    /// MQTT 5.
    #[cfg(feature = "v5")]
    V5 {
        /// How long the broker keeps the session after the connection is lost.
        session_expiry_s: u32,
    },
    /// MQTT 5, or 3.1.1 with a broker that refuses it.
    #[cfg(feature = "v5")]
    V5OrV4 {
        /// How long the broker keeps the session after the connection is lost; MQTT 5 only.
        session_expiry_s: u32,
    },
}

/// A password: neither logged nor shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `password`.
    pub fn new(password: impl Into<String>) -> Secret {
        Secret(password.into())
    }

    /// The password itself, for who has to send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A message to send, at QoS 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Without wildcards.
    pub topic: String,
    /// Any bytes; empty and retained deletes what is retained.
    pub payload: Vec<u8>,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
}

impl Options {
    /// Host and port as a resolver takes them: an IPv6 address needs brackets there.
    pub(crate) fn bracketed_host(&self) -> String {
        if self.host.contains(':') && !self.host.starts_with('[') {
            return format!("[{}]", self.host);
        }
        self.host.clone()
    }

    /// MQTT has 16 bits of seconds for it, of which the library takes only whole ones from `least` on.
    pub(crate) fn keep_alive_from(&self, least: Duration) -> Duration {
        self.keep_alive.clamp(least, Duration::from_secs(u16::MAX.into()))
    }

    /// User name and password; an anonymous client has neither.
    pub(crate) fn login(&self) -> Option<(&str, &str)> {
        let username = self.username.as_deref()?;
        Some((username, self.password.as_ref().map_or("", Secret::reveal)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_gets_brackets() {
        for (host, bracketed) in
            [("::1", "[::1]"), ("[::1]", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("a.lan", "a.lan")]
        {
            let options = Options {
                host: host.into(),
                port: 1883,
                username: None,
                password: None,
                client_id: "a".into(),
                keep_alive: Duration::ZERO,
                will: None,
                will_delay_s: 0,
                packet_max: 1024,
                protocol: Protocol::V4,
                clean_session: true,
                tls: None,
            };
            assert_eq!(options.bracketed_host(), bracketed);
            assert_eq!(options.keep_alive_from(Duration::from_secs(5)), Duration::from_secs(5));
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(***)");
    }
}
