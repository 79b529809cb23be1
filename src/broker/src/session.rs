//! What the broker keeps of a client from one connection to the next: subscriptions, what waits for it, its will.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::access::Who;
use crate::codec::Will;
use crate::message::Message;
use crate::router::ConnectionId;
use crate::topic;

pub(crate) struct Session {
    /// Nobody else can come back to it.
    pub(crate) who: Who,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
    pub(crate) will: Option<Will>,
    /// When the will is published, after the connection was lost.
    pub(crate) will_at_ms: Option<u64>,
    pub(crate) expiry_s: u32,
    /// When the session is dropped, while there is no connection.
    pub(crate) expires_at_ms: Option<u64>,
    /// Messages at QoS 2 that came, and are not to be delivered again when they come again.
    pub(crate) received_exactly_once: BTreeSet<u16>,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    in_flight: VecDeque<Queued>,
    last_packet_id: u16,
}

/// One of a client's subscriptions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subscription {
    pub(crate) at_least_once: bool,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) identifier: Option<u32>,
}

/// A message that waits for a client, or for its acknowledgement.
#[derive(Clone)]
pub(crate) struct Queued {
    pub(crate) message: Arc<Message>,
    pub(crate) at_least_once: bool,
    pub(crate) retain: bool,
    /// Of the subscriptions that it matched.
    pub(crate) identifiers: Vec<u32>,
    /// Once it has been sent at QoS 1.
    pub(crate) packet_id: Option<u16>,
    pub(crate) duplicate: bool,
}

impl Queued {
    /// A retained message for a new subscription.
    pub(crate) fn retained(message: Arc<Message>, subscription: &Subscription) -> Queued {
        Queued {
            at_least_once: message.at_least_once && subscription.at_least_once,
            message,
            retain: true,
            identifiers: subscription.identifier.into_iter().collect(),
            packet_id: None,
            duplicate: false,
        }
    }
}

impl Session {
    pub(crate) fn new(who: Who) -> Session {
        Session {
            who,
            connection: None,
            subscriptions: BTreeMap::new(),
            will: None,
            will_at_ms: None,
            expiry_s: 0,
            expires_at_ms: None,
            received_exactly_once: BTreeSet::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            in_flight: VecDeque::new(),
            last_packet_id: 0,
        }
    }

    /// What a message becomes for this client, once, however many of its subscriptions match; `None` if none does.
    pub(crate) fn wants(&self, message: &Arc<Message>, own: bool) -> Option<Queued> {
        let matching = self.subscriptions.iter().filter(|(filter, subscription)| {
            !(own && subscription.no_local) && topic::matches(filter, &message.topic)
        });
        let mut wanted: Option<Queued> = None;
        for (_, subscription) in matching {
            let queued = wanted.get_or_insert_with(|| Queued {
                message: Arc::clone(message),
                at_least_once: false,
                retain: false,
                identifiers: Vec::new(),
                packet_id: None,
                duplicate: false,
            });
            queued.at_least_once |= message.at_least_once && subscription.at_least_once;
            queued.retain |= message.retain && subscription.retain_as_published;
            queued.identifiers.extend(subscription.identifier);
        }
        wanted
    }

    pub(crate) fn push(&mut self, queued: Queued) {
        self.queued_bytes += queued.message.bytes();
        self.queue.push_back(queued);
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.queued_bytes -= queued.message.bytes();
        Some(queued)
    }

    /// The next message to send, if the client's window allows.
    pub(crate) fn next(&mut self, window: usize, now_ms: u64) -> Option<Queued> {
        while let Some(front) = self.queue.front() {
            // What was sent once must be sent again: the client may have half of it.
            if front.packet_id.is_none() && front.message.is_expired(now_ms) {
                self.pop();
                continue;
            }
            if !front.at_least_once {
                return self.pop();
            }
            if self.in_flight.len() >= window {
                return None;
            }
            let mut queued = self.pop()?;
            queued.packet_id = queued.packet_id.or_else(|| Some(self.free_packet_id()));
            self.in_flight.push_back(queued.clone());
            return Some(queued);
        }
        None
    }

    /// There is one: far fewer than 65,535 are in flight.
    fn free_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            let id = Some(self.last_packet_id);
            if !self.in_flight.iter().any(|queued| queued.packet_id == id) {
                return self.last_packet_id;
            }
        }
    }

    /// The client has it, or cannot take it.
    pub(crate) fn acked(&mut self, packet_id: u16) {
        if let Some(at) = self.in_flight.iter().position(|queued| queued.packet_id == Some(packet_id)) {
            self.in_flight.remove(at);
        }
    }

    /// The connection is gone: what was not acknowledged is sent again on the next one, QoS 0 is lost.
    pub(crate) fn detach(&mut self) {
        self.connection = None;
        self.queue.retain(|queued| queued.at_least_once);
        while let Some(mut queued) = self.in_flight.pop_back() {
            queued.duplicate = true;
            self.queue.push_front(queued);
        }
        self.queued_bytes = self.queue.iter().map(|queued| queued.message.bytes()).sum();
    }
}
