//! The retained messages: the last one of each topic, in memory, within limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::message::Message;
use crate::topic;

pub(crate) struct Retained {
    messages: BTreeMap<String, Arc<Message>>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
}

/// There is no room for one more.
pub(crate) struct Full;

impl Retained {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Retained {
        Retained { messages: BTreeMap::new(), bytes: 0, messages_max, bytes_max }
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Replaces what its topic had; an empty payload only removes.
    pub(crate) fn set(&mut self, message: &Arc<Message>) -> Result<(), Full> {
        self.remove(&message.topic);
        if message.payload.is_empty() {
            return Ok(());
        }
        if self.messages.len() >= self.messages_max || self.bytes + message.bytes() > self.bytes_max {
            return Err(Full);
        }
        self.bytes += message.bytes();
        self.messages.insert(message.topic.clone(), Arc::clone(message));
        Ok(())
    }

    fn remove(&mut self, topic: &str) {
        if let Some(old) = self.messages.remove(topic) {
            self.bytes -= old.bytes();
        }
    }

    /// Those for a new subscription, by topic. What has expired is removed.
    pub(crate) fn matching(&mut self, filter: &str, now_ms: u64) -> Vec<Arc<Message>> {
        let matching: Vec<_> = if topic::has_wildcard(filter) {
            let all = self.messages.values().filter(|message| topic::matches(filter, &message.topic));
            all.map(Arc::clone).collect()
        } else {
            self.messages.get(filter).map(Arc::clone).into_iter().collect()
        };
        let (expired, current): (Vec<_>, Vec<_>) =
            matching.into_iter().partition(|message| message.is_expired(now_ms));
        for message in expired {
            self.remove(&message.topic);
        }
        current
    }
}
