//! Who is thrashing now. The search for episodes that a report makes runs here over a device's last associations, each
//! time one of them ended, so that the two cannot disagree about what thrashing is. The aggregator's history calls it.

use std::collections::{BTreeMap, VecDeque};

use whichroom_wire::{Id, Mac};

use crate::episodes::{self, Episode, EpisodeKind};
use crate::index::Index;
use crate::parameters::Parameters;
use crate::rows::{Rows, Span};
use crate::site::{NamedDevice, Site};
use crate::time::{Range, Time};

/// Associations of one device that are looked at. Who thrashes for longer goes on doing so, and is counted up to here.
const SPANS_MAX: usize = 1_024;

/// Another count alone is told this often at most.
const TELL_EVERY_MS: u64 = 60_000;

/// A device thrashes: an [`Episode`] of [`EpisodeKind::Thrashing`] that may not be over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thrashing {
    /// Its first change.
    pub since: Time,
    /// Its last one so far.
    pub last: Time,
    /// How many changes there were.
    pub changes: u32,
    /// The access points that took part.
    pub aps: Vec<Id>,
}

/// Watches some devices. It ends what it said of one once `thrash_window_ms` passed without another return.
#[derive(Debug, Default)]
pub struct ThrashingWatch {
    parameters: Parameters,
    devices: BTreeMap<Id, Watched>,
    by_mac: BTreeMap<Mac, Id>,
}

#[derive(Debug, Default)]
struct Watched {
    macs: Vec<Mac>,
    /// Associations that ended, in order.
    spans: VecDeque<Span>,
    /// Episodes that still matter begin here.
    needed: Option<Time>,
    state: Option<Thrashing>,
    told: Option<Thrashing>,
    told_at: Time,
}

impl ThrashingWatch {
    /// A watch of nobody.
    pub fn new(parameters: Parameters) -> ThrashingWatch {
        ThrashingWatch { parameters, ..ThrashingWatch::default() }
    }

    /// Whom to watch, by all their MACs. Of who is not named nothing is left.
    pub fn set_devices(&mut self, devices: impl IntoIterator<Item = (Id, Vec<Mac>)>) {
        let mut before = std::mem::take(&mut self.devices);
        self.by_mac.clear();
        for (id, macs) in devices {
            self.by_mac.extend(macs.iter().map(|mac| (*mac, id.clone())));
            let known = before.remove(&id).unwrap_or_default();
            self.devices.insert(id, Watched { macs, ..known });
        }
    }

    /// An association ended; `next` is the one the device has by now. Those of one device come in order.
    pub fn handle_span(&mut self, span: &Span, next: Option<&Span>) {
        let watched = self.by_mac.get(&span.mac).and_then(|id| self.devices.get_mut(id));
        if let Some(watched) = watched {
            watched.spans.push_back(span.clone());
            watched.judge(next, &self.parameters);
        }
    }

    /// Time went by: call it when [`ThrashingWatch::poll_timeout`] says, or oftener.
    pub fn handle_timeout(&mut self, now: Time) {
        let window_ms = self.parameters.thrash_window_ms;
        for watched in self.devices.values_mut() {
            watched.state.take_if(|state| now.since(state.last) > window_ms);
        }
    }

    /// When the first of those that thrash will have stopped.
    pub fn poll_timeout(&self) -> Option<Time> {
        let last = self.devices.values().filter_map(|watched| Some(watched.state.as_ref()?.last)).min()?;
        Some(last.after(self.parameters.thrash_window_ms + 1))
    }

    /// Who thrashes now and did not, or the other way; and, once a minute, who goes on.
    pub fn poll_change(&mut self, now: Time) -> Option<(Id, Option<Thrashing>)> {
        self.devices.iter_mut().find_map(|(id, watched)| {
            let state = watched.poll_change(now)?;
            Some((id.clone(), state))
        })
    }
}

/// From when on everything is needed: of the episodes in the recent past, and of those that end shortly before such a
/// one, for it begins after them. A return in an episode is to what was left a window before it at most.
fn needed(episodes: &[Episode], recent: Time, window_ms: u64) -> Time {
    episodes.iter().rev().fold(recent, |needed, episode| {
        if episode.end < needed { needed } else { needed.min(episode.begin.before(window_ms)) }
    })
}

impl Watched {
    fn judge(&mut self, next: Option<&Span>, parameters: &Parameters) {
        let Some(newest) = next.or(self.spans.back()).map(|span| span.begin) else { return };
        let recent = newest.before(2 * parameters.thrash_window_ms);
        self.forget_before(recent.min(self.needed.unwrap_or(recent)));
        let spans: Vec<Span> = self.spans.iter().chain(next).cloned().collect();
        let mut episodes = self.episodes(&spans, parameters);
        episodes.sort_by_key(|episode| episode.begin);
        self.needed = Some(needed(&episodes, recent, parameters.thrash_window_ms));
        episodes.retain(|episode| episode.end >= recent);
        let Some(episode) = episodes.into_iter().max_by_key(|episode| episode.end) else { return };
        if newest.since(episode.end) > parameters.thrash_window_ms {
            return;
        }
        let before = self.state.take().filter(|state| episode.begin <= state.last);
        self.state = Some(Thrashing {
            // What is forgotten of a long one still counts.
            since: before.as_ref().map_or(episode.begin, |state| state.since.min(episode.begin)),
            changes: before.map_or(episode.changes, |state| state.changes.max(episode.changes)),
            last: episode.end,
            aps: episode.aps,
        });
    }

    fn episodes(&self, spans: &[Span], parameters: &Parameters) -> Vec<Episode> {
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Vec::new() };
        let device = NamedDevice { name: String::new(), macs: self.macs.clone() };
        let site = Site { devices: vec![device], ..Site::default() };
        let range = Range::new(first.begin, last.end.after(1));
        let index = Index::new(Rows { spans, ..Rows::default() }, &site, range, parameters);
        let mut episodes = episodes::find(&index, parameters);
        episodes.retain(|episode| episode.kind == EpisodeKind::Thrashing);
        episodes
    }

    /// Keeps the changes since then. Two windows are enough for a new episode: returns within one of them, the first to
    /// an access point that was left another before. Of an episode in them all is kept, as its changes are no other's.
    fn forget_before(&mut self, from: Time) {
        while self.spans.len() > SPANS_MAX || self.spans.get(1).is_some_and(|second| second.begin < from) {
            self.spans.pop_front();
        }
    }

    fn poll_change(&mut self, now: Time) -> Option<Option<Thrashing>> {
        let began_or_ended = self.state.is_some() != self.told.is_some();
        let is_due = now.since(self.told_at) >= TELL_EVERY_MS;
        if self.state == self.told || !(began_or_ended || is_due) {
            return None;
        }
        self.told.clone_from(&self.state);
        self.told_at = now;
        Some(self.state.clone())
    }
}
