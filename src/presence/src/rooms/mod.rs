//! Which room a device is in: a hidden Markov model over rooms, filtered forward.
//!
//! What is heard within 400 ms is one observation. Between two observations a device may have walked, rather to an
//! adjoining room than elsewhere; then each room counts by how likely it makes what was heard. Without calibration
//! the loudest AP's room is the likeliest, with it the room whose pattern fits. Which AP the phone chose is evidence
//! once, when it chooses, and less the more often it has chosen lately. The room changes when another has most of
//! the probability. While nothing is heard nothing happens: silence is no movement.

mod fingerprint;
mod levels;
mod model;
#[cfg(test)]
mod tests;
mod wavering;

pub use model::{Classes, Model, Place, Receiver};

use crate::Moment;
use crate::timers::ApIndex;
use levels::{Heard, Levels};
use model::Observation;
use wavering::Wavering;

/// APs remembered for one device.
const AP_LIMIT: usize = 16;

/// Rooms weighed for one device.
const ROOM_LIMIT: usize = 16;

/// What comes within this is one observation: APs hear the same frame, and what one AP hears within it fades alike.
const OBSERVATION_MS: u64 = 400;

/// How often a phone that is awake changes rooms, per second: each few minutes. Only what is heard tells when.
const STEPS_PER_S: f32 = 0.005;

/// How often one that is being carried does, and for how long it is after the last sign of it.
const WALKING_STEPS_PER_S: f32 = 0.02;
const WALKING_MS: u64 = 20_000;

/// After a longer silence it may have walked, but not more than this says: a sleeper's first frame is one observation.
const STEPPING_MS: u64 = 10_000;

/// Another room is believed with this probability.
const BELIEVED: f32 = 0.7;

/// An AP that hears a device this much louder or fainter than when that was weighed last hears one that was carried, in
/// dB: with two chances in three.
const SHIFT_DB: f32 = 12.0;

/// A comparison of APs that is the first in a while says this much more than one of many, and one says much the same as
/// another so long, in seconds.
const NEWS: f32 = 2.5;
const ALIKE_S: f32 = 5.0;

/// A phone looks around for so long before it changes APs: what its old AP heard earlier is of where it was.
const LOOKING_MS: u64 = 3_000;

/// How soon a change of AP is forgotten, in seconds. One that follows others soon is bouncing rather than walking.
const CALM_S: f32 = 20.0;

/// Highest confidence, in percent: where somebody said it, where several APs were compared, where only one heard it,
/// where nothing is known but the AP it chose.
const TOLD_PERCENT: f32 = 95.0;
const COMPARED_PERCENT: f32 = 95.0;
const ALONE_PERCENT: f32 = 85.0;
const CHOSEN_PERCENT: f32 = 70.0;

/// Between rooms that what is heard now makes equally likely, the one it was in before: twice as likely, as a
/// logarithm. For confidence only, which is to be no surer than one observation.
const BEFORE: f32 = 0.7;

/// One observation is ahead by no more than this, as a logarithm.
const LEAD_MOST: f32 = 3.0;

/// Parts below this do not walk: what they add is lost in what is uncertain.
const WALKING: f32 = 0.001;

/// Half of what confidence exceeds a coin's is lost in this time without anything heard.
const HALF_LIFE_MS: f32 = 8.0 * 3_600_000.0;

/// From here a louder level counts, in dB.
const NEARER_DB: f32 = 3.0;

/// What is left of a choice counts from here.
const COUNTS: f32 = 0.05;

/// Candidates below this are not worth showing.
const SHOWN: f32 = 0.005;

/// A candidate and its probability.
#[derive(Debug, Clone, Copy)]
struct Weight {
    room: usize,
    part: f32,
}

/// The room of one device and the evidence for it.
#[derive(Debug, Clone, Default)]
pub struct RoomEstimate {
    room: Option<usize>,
    since: Moment,
    /// Candidates; their parts sum to 1.
    weights: Vec<Weight>,
    heard: Levels,
    reported: Levels,
    /// The first reading that no observation includes yet.
    pending: Option<Moment>,
    reports_pending: Option<Moment>,
    /// When anything was heard last.
    observed_at: Option<Moment>,
    /// Since when it may have walked.
    stepped_at: Option<Moment>,
    associated: Option<ApIndex>,
    /// How much of what that choice says was weighed, from 0 to 1.
    counted: f32,
    /// How near that AP it was found by this AP alone, in dB; so much was weighed.
    near_db: f32,
    /// How loudly the AP it is on heard it when that was weighed last.
    weighed_dbm: Option<f32>,
    wavering: Wavering,
    /// When several APs were compared last.
    compared_at: Option<Moment>,
    /// Which classes of channels the pending reports are of.
    reported_classes: Classes,
    /// How often it changed APs lately, and when last.
    changes: f32,
    changed_at: Moment,
    /// When one that changed APs more than once will have stayed for so long that its choice counts in full.
    calm_due: Option<Moment>,
    /// By how much the room was ahead of the next in the last observations, as a logarithm.
    lead: f32,
    /// The most that the last observation allows, in percent.
    most: f32,
    /// In percent, when it was last observed.
    confidence: f32,
}

/// What [`RoomEstimate::evaluate`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The room is another one.
    pub changed: bool,
    /// When to look again: readings wait for others of the same moment.
    pub look_again: Option<Moment>,
}

impl RoomEstimate {
    /// A room known from before a restart, and when the device was heard last.
    pub fn restored(
        room: Option<usize>,
        associated: Option<ApIndex>,
        since: Moment,
        confidence: u8,
        observed_at: Option<Moment>,
    ) -> RoomEstimate {
        let confidence = f32::from(confidence);
        RoomEstimate { room, associated, since, confidence, observed_at, ..RoomEstimate::default() }
    }

    /// Position of the room among the model's.
    pub fn room(&self) -> Option<usize> {
        self.room
    }

    /// Since when.
    pub fn since(&self) -> Moment {
        self.since
    }

    /// How sure the room was when the device was last heard: in percent, in steps of 5.
    pub fn confidence(&self) -> u8 {
        in_steps(self.confidence)
    }

    /// How sure it is now: what was heard long ago says less.
    pub fn confidence_at(&self, now: Moment) -> u8 {
        /// What nobody heard for ever is as good as a coin.
        const COIN: f32 = 50.0;
        // Hours: precise enough.
        let age_ms = self.observed_at.map_or(0, |at| now.since(at)) as f32;
        let kept = (-age_ms / HALF_LIFE_MS * std::f32::consts::LN_2).exp();
        in_steps(self.confidence.min(COIN) + (self.confidence - COIN).max(0.0) * kept)
    }

    /// Rooms it may be in and how likely each is, in percent, the likeliest first.
    pub fn candidates(&self) -> Vec<(usize, u8)> {
        let mut shown: Vec<Weight> =
            self.weights.iter().copied().filter(|weight| weight.part >= SHOWN).collect();
        shown.sort_by(|one, other| other.part.total_cmp(&one.part).then(one.room.cmp(&other.room)));
        // From 0 to 100.
        shown.into_iter().map(|weight| (weight.room, (weight.part * 100.0).round() as u8)).collect()
    }

    /// Takes in a signal that proves nearness: of a frame, or of a station whose receive counters moved.
    pub fn read(&mut self, ap: ApIndex, signal_dbm: i8, at: Moment) {
        self.heard.read(ap, f32::from(signal_dbm), at);
        self.pending.get_or_insert(at);
    }

    /// Takes in how the device itself hears an AP (802.11k), from `rcpi / 2 - 110`. On a scale of its own: it is only
    /// compared with other reports. Returns when to evaluate: when the others of one answer will be there.
    pub fn read_report(&mut self, ap: ApIndex, rcpi_dbm: i8, class: Classes, at: Moment) -> Moment {
        if self.reports_pending.is_none() {
            self.reported_classes = Classes::default();
        }
        self.reported_classes = self.reported_classes.and(class);
        self.reported.read(ap, f32::from(rcpi_dbm), at);
        self.reports_pending.get_or_insert(at).after(OBSERVATION_MS)
    }

    /// The association left this AP: what it heard until then is the past, however loud. What it overhears from now
    /// on counts again.
    pub fn left(&mut self, ap: ApIndex) {
        self.heard.forget(ap);
    }

    /// Somebody said where it is.
    pub fn told(&mut self, room: usize, now: Moment) {
        self.weights = vec![Weight { room, part: 1.0 }];
        self.confidence = TOLD_PERCENT;
        if self.room != Some(room) {
            self.enter(room, now);
        }
    }

    /// Forgets everything: the device left.
    pub fn leave(&mut self) {
        *self = RoomEstimate::default();
    }

    /// Weighs what was taken in; `associated` is the AP the device is on, if that is known.
    pub fn evaluate(&mut self, associated: Option<ApIndex>, model: &Model, now: Moment) -> Verdict {
        let mut changed = false;
        if associated != self.associated {
            self.note_choice(associated, now);
        }
        let is_calm = self.calm_due.take_if(|due| *due <= now).is_some();
        if is_due(self.pending, now) || is_calm {
            self.pending = None;
            changed |= self.observe_heard(model, now);
        }
        if is_due(self.reports_pending, now) {
            self.reports_pending = None;
            changed |= self.observe_reported(model, now);
        }
        let waiting = [self.pending, self.reports_pending].into_iter().flatten().min();
        let waiting = waiting.map(|since| since.after(OBSERVATION_MS));
        Verdict { changed, look_again: [waiting, self.calm_due].into_iter().flatten().min() }
    }

    /// It is on another AP. That is evidence once: phones stay where they are, however far they are carried. Before
    /// it chose it looked around, so it is weighed together with who heard it doing so.
    fn note_choice(&mut self, associated: Option<ApIndex>, now: Moment) {
        let before = std::mem::replace(&mut self.associated, associated);
        self.calm_due = None;
        // Where somebody said where it is before anything was heard, nothing has changed.
        if associated.is_none() || (before.is_none() && self.room.is_some()) {
            self.counted = 1.0;
            return;
        }
        if let Some(before) = before {
            self.heard.forget_older(before, now.before(LOOKING_MS));
            if let Some(to) = associated {
                self.wavering.note_change(before, to, now);
            }
            self.changes = self.changes_at(now) + 1.0;
            self.changed_at = now;
            // Of a few minutes at most. Silence says as much as frames do of having stayed.
            let calm_ms = (CALM_S * 1000.0 * self.changes.ln()).ceil() as u64;
            self.calm_due = (calm_ms > 0).then(|| now.after(calm_ms));
        }
        self.counted = 0.0;
        self.near_db = 0.0;
        self.weighed_dbm = None;
        self.pending = Some(now.before(OBSERVATION_MS));
    }

    fn observe_heard(&mut self, model: &Model, now: Moment) -> bool {
        let mut heard = [Heard::default(); AP_LIMIT];
        let count = self.heard.fresh_into(&mut heard, now);
        let (levels, calm) = (&heard[..count], self.calm_at(now));
        let own = self.own_dbm(levels);
        if let Some(own) = own {
            self.wavering.note_level(own);
        }
        let chosen = if self.associated.is_some() { (calm - self.counted).max(0.0) } else { 0.0 };
        let near_db = own.map_or(0.0, |own| model::near_db(own) * calm);
        let mut observation = Observation {
            levels,
            associated: self.associated,
            nearer_db: (near_db - self.near_db).max(0.0),
            chosen,
            calm,
            news: 1.0,
        };
        let is_alone = !observation.is_overheard();
        let says_nothing = chosen < COUNTS && observation.nearer_db < NEARER_DB;
        if is_alone && !model.is_calibrated() && says_nothing {
            self.heard_alone(own, now);
            return false;
        }
        self.near_db = self.near_db.max(near_db);
        self.counted = self.counted.max(calm);
        let mut sharp = heard;
        if !is_alone {
            let novelty = self.novelty_at(now);
            self.heard.sharpen(&mut sharp[..count], novelty, now);
            observation.levels = &sharp[..count];
            observation.news = 1.0 + (NEWS - 1.0) * novelty;
            self.compared_at = Some(now);
        }
        let shifted_db = self.shifted_db(self.own_dbm(observation.levels));
        let changed =
            self.weigh(model, shifted_db, now, |model, rooms, logs| model.observe(&observation, rooms, logs));
        self.most = match (count, is_alone) {
            (0, _) => CHOSEN_PERCENT,
            (_, true) => ALONE_PERCENT,
            (_, false) => COMPARED_PERCENT,
        };
        self.confidence = self.confidence.min(self.most);
        changed
    }

    /// How loudly the AP that it is on hears it.
    fn own_dbm(&self, levels: &[Heard]) -> Option<f32> {
        levels.iter().find(|heard| Some(heard.ap) == self.associated).map(|heard| heard.dbm)
    }

    /// By how much its AP hears it otherwise than when that was weighed last, which is now.
    fn shifted_db(&mut self, own: Option<f32>) -> f32 {
        let before = self.weighed_dbm;
        self.weighed_dbm = own.or(before);
        own.zip(before).map_or(0.0, |(own, before)| (own - before).abs())
    }

    /// How new a comparison is, from 0 to 1: all of it where there was none lately. What follows soon has mostly the same
    /// causes. A new one goes by what was just heard: means are of the way there, and many readings are their own mean.
    fn novelty_at(&self, now: Moment) -> f32 {
        let Some(before) = self.compared_at else { return 1.0 };
        // Precise to the millisecond for hours.
        let passed_s = now.since(before) as f32 / 1000.0;
        1.0 - (-passed_s / ALIKE_S).exp()
    }

    /// One AP alone, without samples, cannot say where else a device is: it only makes the room less sure when it
    /// hears it fainter than it did. As loud as before it says that nobody walked.
    fn heard_alone(&mut self, own: Option<f32>, now: Moment) {
        self.observed_at = Some(now);
        let (Some(own), Some(room)) = (own, self.room) else { return };
        let before = *self.weighed_dbm.get_or_insert(own);
        let part = self.weights.iter().find(|weight| weight.room == room).map_or(0.0, |weight| weight.part);
        let fainter = (own - before).min(0.0) / model::LOUDER_DB;
        self.confidence = surety_of(part, self.lead + fainter).min(self.most);
    }

    fn observe_reported(&mut self, model: &Model, now: Moment) -> bool {
        let mut levels = [Heard::default(); AP_LIMIT];
        let count = self.reported.fresh_into(&mut levels, now);
        // On a scale nobody knows, one level says nothing.
        if count < 2 {
            return false;
        }
        let levels = &levels[..count];
        let classes = self.reported_classes;
        let mut heard = [Heard::default(); AP_LIMIT];
        let count = self.heard.fresh_into(&mut heard, now);
        let shifted_db = self.shifted_db(self.own_dbm(&heard[..count]));
        let changed = self.weigh(model, shifted_db, now, |model, rooms, logs| {
            model.observe_reported(levels, classes, rooms, logs)
        });
        self.confidence = self.confidence.min(COMPARED_PERCENT);
        changed
    }

    /// One step of the filter: it may have walked, then `evidence` gives the logarithms of each room's likelihood.
    fn weigh(
        &mut self,
        model: &Model,
        shifted_db: f32,
        now: Moment,
        evidence: impl FnOnce(&Model, &[usize], &mut [f32]),
    ) -> bool {
        self.admit(model);
        self.walk(model, shifted_db, now);
        let (mut rooms, mut logs) = ([0usize; ROOM_LIMIT], [0.0f32; ROOM_LIMIT]);
        let count = self.weights.len();
        for (slot, weight) in rooms.iter_mut().zip(&self.weights) {
            *slot = weight.room;
        }
        let (rooms, logs) = (&rooms[..count], &mut logs[..count]);
        evidence(model, rooms, logs);
        for (weight, log) in self.weights.iter_mut().zip(logs.iter()) {
            weight.part *= log.exp();
        }
        self.normalize();
        let changed = self.decide(model, now);
        self.confidence = self.surety(logs, changed);
        changed
    }

    /// Candidates are all rooms of a small home, and those that something speaks for in a large one.
    fn admit(&mut self, model: &Model) {
        let current = self.room;
        self.weights.retain(|weight| model.knows(weight.room) || current == Some(weight.room));
        let all = model.candidates();
        if self.weights.is_empty() {
            let known = current.as_ref().map_or(all, std::slice::from_ref);
            let part = 1.0 / known.len().max(1) as f32;
            self.weights.extend(known.iter().map(|room| Weight { room: *room, part }));
        }
        if self.weights.len() < all.len() {
            all.iter().for_each(|room| self.admit_room(*room));
        }
        if all.is_empty() {
            let mut aps = [ApIndex(0); 2 * AP_LIMIT + 1];
            let mut count = 0;
            let heard = self.heard.aps().chain(self.reported.aps()).chain(self.associated);
            for (slot, ap) in aps.iter_mut().zip(heard) {
                *slot = ap;
                count += 1;
            }
            for ap in &aps[..count] {
                model.rooms_spoken_for(*ap).iter().for_each(|room| self.admit_room(*room));
            }
        }
    }

    /// A new candidate begins with nothing; walking there brings it what it has.
    fn admit_room(&mut self, room: usize) {
        if self.weights.iter().any(|weight| weight.room == room) {
            return;
        }
        if self.weights.len() == ROOM_LIMIT {
            let others = self.weights.iter().enumerate().filter(|(_, weight)| Some(weight.room) != self.room);
            let least = others.min_by(|(_, one), (_, other)| one.part.total_cmp(&other.part));
            let Some((least, _)) = least else { return };
            self.weights.swap_remove(least);
        }
        let part = if self.weights.is_empty() { 1.0 } else { 0.0 };
        self.weights.push(Weight { room, part });
    }

    /// Time went by in which it may have changed rooms; it did rather if its AP hears it otherwise than before.
    fn walk(&mut self, model: &Model, shifted_db: f32, now: Moment) {
        // Of a room from before a restart nobody knows how long ago that was.
        let unknown_ms = if self.room.is_some() { STEPPING_MS } else { 0 };
        let passed_ms = self.stepped_at.map_or(unknown_ms, |at| now.since(at)).min(STEPPING_MS);
        self.stepped_at = Some(now);
        self.observed_at = Some(now);
        // At most ten seconds: exact.
        let shift = shifted_db / SHIFT_DB;
        let is_walking = self.changes > 0.0 && now.since(self.changed_at) <= WALKING_MS;
        let steps_per_s = if is_walking { WALKING_STEPS_PER_S } else { STEPS_PER_S };
        let walks = 1.0 - (-steps_per_s * passed_ms as f32 / 1000.0 - shift * shift).exp();
        let mut arriving = [0.0f32; ROOM_LIMIT];
        for from in 0..self.weights.len() {
            let Weight { room, part } = self.weights[from];
            if part < WALKING {
                continue;
            }
            let step = |to: &Weight| if to.room == room { 0.0 } else { model.step(room, to.room) };
            let all: f32 = self.weights.iter().map(step).sum();
            if all == 0.0 {
                continue;
            }
            for (arriving, to) in arriving.iter_mut().zip(&self.weights) {
                *arriving += part * walks * step(to) / all;
            }
            self.weights[from].part -= part * walks;
        }
        for (weight, arriving) in self.weights.iter_mut().zip(arriving) {
            weight.part += arriving;
        }
    }

    fn normalize(&mut self) {
        let all: f32 = self.weights.iter().map(|weight| weight.part).sum();
        let count = self.weights.len() as f32;
        for weight in &mut self.weights {
            weight.part = if all > 0.0 { weight.part / all } else { 1.0 / count };
        }
    }

    /// The room changes when another is believed. The first one is the likeliest: a phone that chose an AP is
    /// somewhere, and what only passed by is waited for.
    fn decide(&mut self, model: &Model, now: Moment) -> bool {
        let is_first = self.room.is_none() && self.associated.is_some();
        let best = self.weights.iter().max_by(|one, other| one.part.total_cmp(&other.part));
        let best = best.filter(|best| best.part > BELIEVED || is_first);
        let Some(best) = best.filter(|best| self.room != Some(best.room)) else { return false };
        let room = best.room;
        let wavers_at =
            |room: usize| self.wavering.is_at(|ap| model.rooms_spoken_for(ap).contains(&room), now);
        if self.room.is_some_and(|current| wavers_at(current) && wavers_at(room)) {
            return false;
        }
        self.enter(room, now);
        true
    }

    fn enter(&mut self, room: usize, now: Moment) {
        self.room = Some(room);
        self.since = now;
    }

    /// How sure the room is, in percent. The filter counts observations as if they were independent, and a person
    /// who stands behind a wall is behind it in all of them: so it is no surer than the last few together are.
    fn surety(&mut self, logs: &[f32], has_changed: bool) -> f32 {
        let mut others = f32::MIN;
        let (mut own, mut part) = (0.0f32, 0.0f32);
        for (weight, log) in self.weights.iter().zip(logs) {
            if self.room == Some(weight.room) {
                (own, part) = (*log, weight.part);
            } else {
                others = others.max(*log);
            }
        }
        let lead = (own - others).clamp(-LEAD_MOST, LEAD_MOST);
        self.lead = if has_changed { lead } else { (self.lead + lead) / 2.0 };
        surety_of(part, self.lead)
    }

    fn changes_at(&self, now: Moment) -> f32 {
        // Precise to the millisecond for hours, and nothing is left after minutes.
        self.changes * (-(now.since(self.changed_at) as f32) / 1000.0 / CALM_S).exp()
    }

    /// What being on an AP says: all of it after one change, a quarter after two in a row, a ninth after three.
    fn calm_at(&self, now: Moment) -> f32 {
        self.changes_at(now).max(1.0).powi(-2)
    }

    /// Renames rooms and APs after a change of the setup.
    pub(crate) fn renumber(
        &mut self,
        ap: impl Fn(ApIndex) -> Option<ApIndex>,
        room: impl Fn(usize) -> Option<usize>,
    ) {
        self.room = self.room.and_then(&room);
        let mut weights: Vec<Weight> = Vec::new();
        for weight in &self.weights {
            let Some(room) = room(weight.room) else { continue };
            match weights.iter_mut().find(|known| known.room == room) {
                Some(known) => known.part += weight.part,
                None => weights.push(Weight { room, ..*weight }),
            }
        }
        self.weights = weights;
        self.normalize();
        self.associated = self.associated.and_then(&ap);
        self.heard.renumber(&ap);
        self.reported.renumber(&ap);
        self.wavering.renumber(&ap);
    }
}

/// In percent, of a room's probability and its lead.
fn surety_of(part: f32, lead: f32) -> f32 {
    part.min(1.0 / (1.0 + (-lead - BEFORE).exp())) * 100.0
}

fn is_due(pending: Option<Moment>, now: Moment) -> bool {
    pending.is_some_and(|since| since.after(OBSERVATION_MS) <= now)
}

fn in_steps(percent: f32) -> u8 {
    // From 0 to 100.
    (percent.clamp(0.0, 100.0) / 5.0).round() as u8 * 5
}
