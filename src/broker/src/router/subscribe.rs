//! SUBSCRIBE and UNSUBSCRIBE.

use mqtt_protocol_core::mqtt::packet::RetainHandling;

use super::{ConnectionId, Router, shown};
use crate::access::Who;
use crate::codec::{self, Entry, SubackReasonCode, Subscribe, UnsubackReasonCode};
use crate::session::{Queued, Subscription};
use crate::topic;

impl Router {
    pub(super) fn handle_subscribe(&mut self, id: ConnectionId, subscribe: Subscribe, now_ms: u64) {
        let Some(open) = self.open(id) else { return };
        let (version, who, client_id) = (open.version, open.who, open.client_id.clone());
        let mut answers = Vec::with_capacity(subscribe.entries.len());
        let mut with_retained = Vec::new();
        // The first one: a packet has room for many thousands.
        let mut refused = None;
        for (index, entry) in subscribe.entries.iter().enumerate() {
            // The same filter many times is one subscription, and would be all that is retained many times.
            let subscribed = if index < self.limits.subscriptions {
                self.subscribe(id, who, entry, subscribe.identifier)
            } else {
                Err(SubackReasonCode::QuotaExceeded)
            };
            match subscribed {
                Ok(is_new) => {
                    answers.push(granted(entry));
                    with_retained.extend(wants_retained(entry, is_new).then_some(entry));
                }
                Err(reason) => {
                    refused.get_or_insert((&entry.filter, reason));
                    answers.push(reason);
                }
            }
        }
        if let Some((filter, reason)) = refused {
            log::warn!("{}: subscription to {} refused: {reason:?}", shown(&client_id), shown(filter));
        }
        self.send(id, codec::suback(version, subscribe.packet_id, answers));
        for entry in with_retained {
            self.queue_retained(id, &entry.filter, now_ms);
            self.deliver(&client_id, now_ms);
            if self.overfull.contains(&client_id) {
                return;
            }
        }
    }

    /// True if there was no such subscription before.
    fn subscribe(
        &mut self,
        id: ConnectionId,
        who: Who,
        entry: &Entry,
        identifier: Option<u32>,
    ) -> Result<bool, SubackReasonCode> {
        let filter = &entry.filter;
        if filter.starts_with("$share/") {
            return Err(SubackReasonCode::SharedSubscriptionsNotSupported);
        }
        if filter.len() > self.limits.topic_bytes || !topic::is_filter(filter) {
            return Err(SubackReasonCode::TopicFilterInvalid);
        }
        if !self.access.may_subscribe(who, filter) {
            return Err(SubackReasonCode::NotAuthorized);
        }
        let limit = self.limits.subscriptions;
        let session = self.session(id).ok_or(SubackReasonCode::UnspecifiedError)?;
        if session.subscriptions.len() >= limit && !session.subscriptions.contains_key(filter) {
            return Err(SubackReasonCode::QuotaExceeded);
        }
        let subscription = Subscription {
            at_least_once: entry.at_least_once,
            no_local: entry.no_local,
            retain_as_published: entry.retain_as_published,
            identifier,
        };
        Ok(session.subscriptions.insert(filter.clone(), subscription).is_none())
    }

    fn queue_retained(&mut self, id: ConnectionId, filter: &str, now_ms: u64) {
        let retained = self.retained.matching(filter, now_ms);
        let Some(session) = self.session(id) else { return };
        let Some(subscription) = session.subscriptions.get(filter).copied() else { return };
        for message in retained {
            session.push(Queued::retained(message, &subscription));
        }
    }

    pub(super) fn handle_unsubscribe(&mut self, id: ConnectionId, packet_id: u16, filters: &[String]) {
        let Some(version) = self.version(id) else { return };
        let Some(session) = self.session(id) else { return };
        let answers = filters.iter().map(|filter| match session.subscriptions.remove(filter) {
            Some(_) => UnsubackReasonCode::Success,
            None => UnsubackReasonCode::NoSubscriptionExisted,
        });
        let answers = answers.collect();
        self.send(id, codec::unsuback(version, packet_id, answers));
    }
}

fn granted(entry: &Entry) -> SubackReasonCode {
    if entry.at_least_once { SubackReasonCode::GrantedQos1 } else { SubackReasonCode::GrantedQos0 }
}

/// `is_new`: there was no subscription with this filter before.
fn wants_retained(entry: &Entry, is_new: bool) -> bool {
    match entry.retained {
        RetainHandling::SendRetained => true,
        RetainHandling::SendRetainedIfNotExists => is_new,
        RetainHandling::DoNotSendRetained => false,
    }
}
