//! What the broker sends an agent: the tracked stations, requests, and its own status, which it watches.

use whichroom_wire::{EventWhat, Id, Mac, Topic, not_now};

use super::{Core, Effect};
use crate::outbox::Slot;
use crate::reader::Fields;
use crate::requests::Mode;

/// Between two corrections of our own status.
const CORRECTION_GAP_MS: u64 = 1_000;
/// The same against another access point of this name, which corrects it too.
const CONFLICT_GAP_MS: u64 = 30_000;

impl Core {
    /// A message from the broker.
    pub(crate) fn handle_publish(&mut self, topic: &str, payload: &[u8], retained: bool, now_ms: u64) {
        match self.root.below(topic).and_then(Topic::parse) {
            Some(Topic::Tracked) => self.handle_tracked(payload),
            Some(Topic::ApRequest(ap)) if ap == self.config.ap && !retained => {
                self.handle_request(payload, now_ms)
            }
            Some(Topic::ApStatus(ap)) if ap == self.config.ap => {
                self.handle_own_status(payload, retained, now_ms)
            }
            _ => log::debug!("{topic}: not meant for an agent, ignored"),
        }
        self.digest(now_ms);
    }

    fn handle_tracked(&mut self, payload: &[u8]) {
        let fields = match Fields::read(payload) {
            Ok(fields) => fields,
            Err(why) => return log::warn!("tracked: {why}"),
        };
        // The reader bounds them.
        let list = |name: &str| {
            let mut list = Vec::new();
            for mac in fields.texts(name).filter_map(|mac| mac.parse().ok()) {
                if let Err(at) = list.binary_search(&mac) {
                    list.insert(at, mac);
                }
            }
            list
        };
        let tracked = list("macs");
        self.bssids = list("bssids");
        self.tracked.clone_from(&tracked);
        // How old what was heard of the new ones is, nobody knows.
        self.heard = None;
        self.effects.push_back(Effect::Track(tracked));
    }

    fn handle_request(&mut self, payload: &[u8], now_ms: u64) {
        let fields = match Fields::read(payload) {
            Ok(fields) => fields,
            Err(why) => return log::warn!("request: {why}"),
        };
        let Some(id) = fields.text("id").and_then(|id| id.parse::<Id>().ok()) else {
            return log::warn!("request without an id, which its answer needs: ignored");
        };
        if fields.text("kind") != Some("beacon-report") {
            return self.answer(&id, Err("kind is not beacon-report".to_owned()), now_ms);
        }
        let Some(mac) = fields.text("mac").and_then(|mac| mac.parse::<Mac>().ok()) else {
            return self.answer(&id, Err("mac is missing or none".to_owned()), now_ms);
        };
        let Some(mode) = fields.text("mode").and_then(Mode::parse) else {
            return self.answer(&id, Err("mode is none of table, passive and active".to_owned()), now_ms);
        };
        match self.table.find(mac, now_ms) {
            None => self.answer(&id, Err(not_now::NOT_ASSOCIATED.to_owned()), now_ms),
            Some((bssid, rrm, inactive_ms)) => match self.requests.ask(mac, mode, rrm, inactive_ms, now_ms) {
                Ok(()) => self.collector.request_beacons(id, bssid, mac, mode, now_ms),
                Err(why) => self.answer(&id, Err(why.to_owned()), now_ms),
            },
        }
    }

    pub(super) fn answer(&mut self, id: &Id, result: Result<(), String>, now_ms: u64) {
        let what = EventWhat::Answer { id: id.to_string(), ok: result.is_ok(), error: result.err() };
        self.outbox.push(now_ms, what);
    }

    /// Anything but our own "online" under our name is wrong: a will that came late, or another's message.
    fn handle_own_status(&mut self, payload: &[u8], retained: bool, now_ms: u64) {
        let seen = Fields::read(payload).unwrap_or_default();
        let node = seen.text("node");
        let online = seen.text("state") == Some("online");
        let ours = node == Some(&self.config.node) && seen.text("boot") == Some(&self.config.boot);
        let right = ours && online;
        let correcting = !self.outbox.is_done(Slot::Status);
        if right || self.stop_ms.is_some() || (retained && correcting) {
            return;
        }
        let other = node.filter(|node| online && **node != self.config.node);
        let gap_ms = if other.is_some() { CONFLICT_GAP_MS } else { CORRECTION_GAP_MS };
        // A conflict found in what is retained is the life before of this name.
        if let Some(other) = other.filter(|_| !retained) {
            let text =
                format!("another access point with the hardware id {other:.32} also is {}", self.config.ap);
            if self.conflict.is_none() {
                log::error!("{text}: give one of them another --name");
            }
            self.conflict = Some((text, now_ms));
        }
        if self.corrected_ms.is_none_or(|at| at + gap_ms <= now_ms) {
            self.corrected_ms = Some(now_ms);
            self.outbox.want(Slot::Status);
        } else if !online {
            // It would stand until the status changes. An "online" is left to whoever says it: two never come to an end.
            self.status_due_ms.get_or_insert(now_ms + gap_ms);
        }
    }
}
