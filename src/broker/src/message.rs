//! A message on its way through the broker.

use mqtt_protocol_core::mqtt::ArcPayload;
use mqtt_protocol_core::mqtt::packet::{PropertiesSize, Property};

/// A published message; shared by all who get it.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: ArcPayload,
    pub(crate) at_least_once: bool,
    pub(crate) retain: bool,
    /// When it is of no use any more.
    pub(crate) expires_at_ms: Option<u64>,
    /// What MQTT 5 passes on: content type, user properties and the like.
    pub(crate) properties: Vec<Property>,
}

impl Message {
    /// What it counts against the limits.
    pub(crate) fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.size()
    }

    pub(crate) fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= now_ms)
    }
}
