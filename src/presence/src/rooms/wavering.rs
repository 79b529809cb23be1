//! A phone that goes to and fro between the same APs lies where none of them is good. Which of them it is on says nothing
//! then, and which hears it a little better hardly more: between their rooms the room is held until one of them hears
//! it clearly louder, or it stays.

use std::collections::VecDeque;

use crate::Moment;
use crate::timers::ApIndex;

/// So many returns within this time are wavering.
const RETURNS: usize = 3;
const WINDOW_MS: u64 = 10 * 60_000;

/// Changes of AP that are remembered.
const KEPT: usize = 16;

/// Who is heard louder than this is near an AP: going to and fro there is walking.
const NEAR_DBM: f32 = -58.0;

/// An AP that hears it so much louder than it was heard while it wavered is where it went, in dB.
const WENT_DB: f32 = 8.0;

/// Who stays for so many times as long as before, on average, and at least for so long, wavers no more.
const STAYS: u64 = 4;
const STAY_MS: u64 = 60_000;

/// How much the next level weighs in what it is heard like now, and in what it is heard like while it wavers.
const QUICK: f32 = 0.5;
const SLOW: f32 = 0.05;

/// A change of AP.
#[derive(Debug, Clone, Copy)]
struct Change {
    from: ApIndex,
    to: ApIndex,
    at: Moment,
    /// To an AP that it left shortly before.
    is_return: bool,
}

/// How often one device came back lately, and how loudly it was heard meanwhile.
#[derive(Debug, Clone, Default)]
pub(super) struct Wavering {
    changes: VecDeque<Change>,
    quick_dbm: Option<f32>,
    slow_dbm: Option<f32>,
}

impl Wavering {
    pub fn note_change(&mut self, from: ApIndex, to: ApIndex, now: Moment) {
        while self.changes.len() >= KEPT || self.changes.front().is_some_and(|first| is_old(first, now)) {
            self.changes.pop_front();
        }
        let is_return = self.changes.iter().any(|before| before.from == to);
        self.changes.push_back(Change { from, to, at: now, is_return });
    }

    /// How loudly the AP it is on hears it.
    pub fn note_level(&mut self, dbm: f32) {
        let quick_dbm = mixed(self.quick_dbm, dbm, QUICK);
        let slow_dbm = mixed(self.slow_dbm, dbm, SLOW);
        if quick_dbm >= slow_dbm + WENT_DB {
            *self = Wavering::default();
        }
        (self.quick_dbm, self.slow_dbm) =
            (Some(quick_dbm), Some(self.slow_dbm.map_or(quick_dbm, |_| slow_dbm)));
    }

    /// Whether it wavers between APs, and this one is among them.
    pub fn is_at(&self, mut is_meant: impl FnMut(ApIndex) -> bool, now: Moment) -> bool {
        let recent = || self.changes.iter().filter(|change| !is_old(change, now));
        let is_near = self.slow_dbm.is_none_or(|dbm| dbm > NEAR_DBM);
        if is_near || self.has_settled(now) {
            return false;
        }
        let returns = recent().filter(|change| change.is_return).count();
        returns >= RETURNS && recent().any(|change| is_meant(change.from) || is_meant(change.to))
    }

    fn has_settled(&self, now: Moment) -> bool {
        let (Some(first), Some(last)) = (self.changes.front(), self.changes.back()) else { return true };
        let gaps = self.changes.len().saturating_sub(1).max(1) as u64;
        now.since(last.at) > (last.at.since(first.at) / gaps * STAYS).max(STAY_MS)
    }

    /// Renames APs after a change of the setup.
    pub fn renumber(&mut self, ap: &impl Fn(ApIndex) -> Option<ApIndex>) {
        let renamed = |change: Change| Some(Change { from: ap(change.from)?, to: ap(change.to)?, ..change });
        self.changes = std::mem::take(&mut self.changes).into_iter().filter_map(renamed).collect();
    }
}

fn is_old(change: &Change, now: Moment) -> bool {
    now.since(change.at) > WINDOW_MS
}

fn mixed(before: Option<f32>, dbm: f32, weight: f32) -> f32 {
    before.map_or(dbm, |before| before + (dbm - before) * weight)
}
