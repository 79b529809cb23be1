//! What one broker is to be told: messages that wait for it, those that it has not acknowledged, and what of ours lies
//! retained on it. The hub has one for the access points' broker and one for Home Assistant's own, if it has its own.

use std::collections::{BTreeMap, VecDeque};

use whichroom_mqtt::{Publish, Token};

use crate::home_assistant::{Desired, Owned, Published};

/// Most messages that wait for a broker; beyond, everything is published anew once it takes some.
const QUEUE_MAX: usize = 20_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Outbox {
    pub published: Published,
    queue: VecDeque<Publish>,
    in_flight: BTreeMap<Token, Publish>,
    resync: bool,
}

impl Outbox {
    /// For a broker on which these topics of ours may lie.
    pub fn new(owned: Vec<Owned>) -> Outbox {
        Outbox { published: Published::new(owned), ..Outbox::default() }
    }

    /// These are to be sent, after what waits already.
    pub fn extend(&mut self, publishes: impl IntoIterator<Item = Publish>) {
        self.queue.extend(publishes);
        if self.queue.len() > QUEUE_MAX {
            log::warn!(
                "the broker takes messages too slowly: {} wait; publishing the present state anew",
                self.queue.len()
            );
            self.queue.truncate(1);
            self.resync = true;
        }
    }

    /// Discovery that changed; every state is to follow.
    pub fn announce(&mut self, desired: Desired) {
        let changed = self.published.update(desired);
        self.extend(changed);
    }

    /// Discovery for a broker that may have lost everything: what is emptied is emptied, all the rest is said again.
    pub fn announce_all(&mut self, desired: Desired) {
        let changed = self.published.update(desired);
        self.extend(changed.into_iter().filter(|publish| publish.payload.is_empty()));
        self.repeat();
    }

    /// All discovery once more; every state is to follow.
    pub fn repeat(&mut self) {
        let discovery = self.published.repeat();
        self.extend(discovery);
    }

    /// The next message; it stays first until [`Outbox::handle_handed`].
    pub fn next(&self) -> Option<&Publish> {
        self.queue.front()
    }

    /// The message of [`Outbox::next`] was handed over. Returns whether everything is to be published anew.
    pub fn handle_handed(&mut self, token: Token) -> bool {
        if let Some(publish) = self.queue.pop_front() {
            self.in_flight.insert(token, publish);
        }
        self.queue.is_empty() && std::mem::take(&mut self.resync)
    }

    /// The message of [`Outbox::next`] can never be sent.
    pub fn handle_unsendable(&mut self) {
        self.queue.pop_front();
    }

    /// The broker has this message.
    pub fn handle_acked(&mut self, token: Token) {
        if let Some(publish) = self.in_flight.remove(&token) {
            self.published.handle_acked(&publish);
        }
    }

    /// What waits is published anew on the next connection, and old news would only mislead.
    pub fn forget_connection(&mut self) {
        self.queue.clear();
        self.in_flight.clear();
        self.resync = false;
    }
}
