//! Messages: from a client to all who want them, and from their queues to their connections.

use std::sync::Arc;

use super::{
    ConnectionId, DisconnectReasonCode, EXACTLY_ONCE_MAX, Ending, Message, Phase, PubackReasonCode, Router,
    UNWRITTEN_BYTES, expires, shown,
};
use crate::codec::{self, Publish, Sent};

impl Router {
    pub(super) fn handle_publish(&mut self, id: ConnectionId, publish: Publish, now_ms: u64) {
        let Some(open) = self.open(id) else { return };
        let (version, client_id) = (open.version, open.client_id.clone());
        let Some(packet_id) = publish.packet_id else {
            let _ = self.accept(id, &client_id, publish, now_ms);
            return;
        };
        if !publish.exactly_once {
            let reason = self.accept(id, &client_id, publish, now_ms);
            return self.send(id, codec::puback(version, packet_id, reason));
        }
        let Some(session) = self.session(id) else { return };
        if session.received_exactly_once.contains(&packet_id) {
            return self.send(id, codec::pubrec(version, packet_id, PubackReasonCode::Success));
        }
        if session.received_exactly_once.len() >= EXACTLY_ONCE_MAX {
            return self.end(id, &Ending::Told(DisconnectReasonCode::ReceiveMaximumExceeded), now_ms);
        }
        let reason = self.accept(id, &client_id, publish, now_ms);
        if reason == PubackReasonCode::Success
            && let Some(session) = self.session(id)
        {
            session.received_exactly_once.insert(packet_id);
        }
        self.send(id, codec::pubrec(version, packet_id, reason));
    }

    pub(super) fn handle_pubrel(&mut self, id: ConnectionId, packet_id: u16) {
        let Some(version) = self.version(id) else { return };
        let known = self.session(id).is_some_and(|session| session.received_exactly_once.remove(&packet_id));
        self.send(id, codec::pubcomp(version, packet_id, known));
    }

    pub(super) fn handle_puback(&mut self, id: ConnectionId, packet_id: u16, now_ms: u64) {
        if let Some(session) = self.session(id) {
            session.acked(packet_id);
        }
        self.drain(id, now_ms);
    }

    /// Routes a client's message if it may publish it.
    fn accept(
        &mut self,
        id: ConnectionId,
        client_id: &str,
        publish: Publish,
        now_ms: u64,
    ) -> PubackReasonCode {
        let topic = &publish.message.topic;
        let Some(who) = self.open(id).map(|open| open.who) else { return PubackReasonCode::UnspecifiedError };
        let refused = if !self.is_topic(topic) {
            Some((PubackReasonCode::TopicNameInvalid, "not a topic for messages"))
        } else if !self.access.may_publish(who, topic) {
            Some((PubackReasonCode::NotAuthorized, "not allowed"))
        } else {
            None
        };
        if let Some((reason, why)) = refused {
            self.refused += 1;
            // Once a connection: MQTT 3.1.1 cannot say it, so the client will go on.
            if let Some(open) = self.open(id)
                && !std::mem::replace(&mut open.warned, true)
            {
                let (client_id, topic) = (shown(client_id), shown(&publish.message.topic));
                log::warn!("{client_id}: a message on {topic} is dropped: {why}; no more of this is logged");
            }
            return reason;
        }
        let message = Message { expires_at_ms: expires(publish.expiry_s, now_ms), ..publish.message };
        self.route(message, client_id, now_ms)
    }

    /// Retains a message if it asks for that, and queues it for all who want it.
    pub(super) fn route(&mut self, message: Message, publisher: &str, now_ms: u64) -> PubackReasonCode {
        let message = Arc::new(message);
        let mut reason = PubackReasonCode::Success;
        if message.retain && self.retained.set(&message).is_err() {
            reason = PubackReasonCode::QuotaExceeded;
            self.refused += 1;
            if !std::mem::replace(&mut self.warned_full, true) {
                let counts = self.counts();
                let (retained, bytes) = (counts.retained, counts.retained_bytes);
                let topic = shown(&message.topic);
                log::warn!("{topic} is not retained: {retained} messages with {bytes} bytes already are");
            }
        }
        let mut reached = Vec::new();
        for (client_id, session) in &mut self.sessions {
            let Some(queued) = session.wants(&message, client_id == publisher) else { continue };
            if session.connection.is_some() || queued.at_least_once {
                session.push(queued);
                reached.push(client_id.clone());
            }
        }
        for client_id in reached {
            self.deliver(&client_id, now_ms);
        }
        reason
    }

    /// Sends what waits for a client, and notes one for which too much waits.
    pub(super) fn deliver(&mut self, client_id: &str, now_ms: u64) {
        if let Some(id) = self.sessions.get(client_id).and_then(|session| session.connection) {
            self.drain(id, now_ms);
        }
        let Some(session) = self.sessions.get(client_id) else { return };
        if session.queued() > self.limits.queued_messages || session.queued_bytes() > self.limits.queued_bytes
        {
            self.overfull.push(client_id.to_owned());
        }
    }

    /// Moves messages from a session's queue to its connection: as many as the client's window allows, and as its
    /// socket takes soon.
    pub(super) fn drain(&mut self, id: ConnectionId, now_ms: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Phase::Open(open) = &connection.phase else { return };
        let Some(session) = self.sessions.get_mut(&open.client_id) else { return };
        while connection.unwritten_bytes < UNWRITTEN_BYTES {
            let Some(queued) = session.next(open.window, now_ms) else { return };
            let sent = Sent {
                message: &queued.message,
                packet_id: queued.packet_id,
                duplicate: queued.duplicate,
                retain: queued.retain,
                identifiers: &queued.identifiers,
                now_ms,
            };
            let bytes = codec::publish(open.version, &sent);
            if bytes.len() > open.packet_max || bytes.is_empty() {
                // The client said so itself: as if it had it.
                queued.packet_id.inspect(|packet_id| session.acked(*packet_id));
                continue;
            }
            connection.unwritten_bytes += bytes.len();
            self.effects.push_back(super::Effect::Send { connection: id, bytes });
        }
    }
}
