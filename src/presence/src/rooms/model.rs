//! What is known of a home's rooms before anything is heard: which APs stand in them, which rooms adjoin, on which
//! floor they are, and what calibrations showed. One for the whole home; built anew when any of it changes.

use std::collections::BTreeMap;

use whichroom_wire::Id;

use super::ROOM_LIMIT;
use super::fingerprint::{Fingerprints, Scale};
use super::levels::Heard;
use crate::calibration::Sample;
use crate::timers::ApIndex;

/// What an AP that heard nothing of a device others heard is taken to have heard: about where receivers give up.
pub(super) const ABSENT_DBM: f32 = -95.0;

/// How much louder an AP must be for its room to be e times as likely, in dB: with levels that differ by 8 dB from
/// what the distance gives, and an AP that is some 11 dB louder in its own room than elsewhere.
pub(super) const LOUDER_DB: f32 = 6.0;

/// One observation counts for no more than this, in dB: a single reading may be anything.
const OBSERVATION_DB: f32 = 30.0;

/// Of two APs that are as loud as each other, the one the phone chose is ahead by this, in dB.
const CHOSEN_DB: f32 = 3.0;

/// An AP whose channels a report is not of may be heard like this: from its own room louder, from another fainter.
const UNTOLD_DBM: f32 = -65.0;

/// A report compares all APs at one moment with one receiver.
const REPORT_NEWS: f32 = 2.0;

/// What is usually heard from another room, in dBm. Louder speaks for the AP's own room, and the AP a phone is on is
/// taken to hear it like this while it hears nothing.
const FAR_DBM: f32 = -80.0;

/// Most that choosing an AP says for its room, in natural logarithms: a phone in another room takes it once in 3,000.
const CHOICE_MOST: f32 = 8.0;

/// A step to a room that is not known to adjoin, beside one to a room that does: doors are forgotten in files.
const NOT_ADJOINING: f32 = 0.1;

/// For each storey between, and between inside and outside, where no way is known.
const STOREY: f32 = 0.5;
const OUTSIDE: f32 = 0.3;

/// A room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// As samples name it.
    pub id: Id,
    /// Rooms one can walk to from here, one of the two naming the other being enough.
    pub adjoins: Vec<Id>,
    /// Which storey, 0 the ground floor.
    pub floor: Option<i8>,
    /// In the open.
    pub outdoor: bool,
}

impl Place {
    /// A room nothing is known of but its id.
    pub fn unknown(id: Id) -> Place {
        Place { id, adjoins: Vec::new(), floor: None, outdoor: false }
    }
}

/// An access point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// As samples name it.
    pub id: Id,
    /// Position of the room it stands in.
    pub room: usize,
}

/// The home as the rooms of devices are judged by.
#[derive(Debug, Clone, Default)]
pub struct Model {
    room_of: Vec<usize>,
    /// The classes of channels that each AP is on.
    classes: Vec<Classes>,
    /// Rooms that anything can speak for, in order.
    eligible: Vec<usize>,
    /// APs that speak for a room, by room.
    speaking: Vec<Vec<ApIndex>>,
    /// Rooms an AP speaks for, by AP.
    spoken_for: Vec<Vec<usize>>,
    adjoining: Vec<Vec<usize>>,
    floors: Vec<Option<i8>>,
    outdoor: Vec<bool>,
    ids: Vec<Id>,
    fingerprints: Option<Fingerprints>,
}

/// What is heard of a device at one moment.
pub(super) struct Observation<'l> {
    pub levels: &'l [Heard],
    pub associated: Option<ApIndex>,
    /// How much nearer that AP it is found than before, by that AP alone, in dB.
    pub nearer_db: f32,
    /// How much of what that choice says is new, from 0 to 1.
    pub chosen: f32,
    /// 1 for a phone that chose its AP and stays; less for one that bounces.
    pub calm: f32,
    /// How much more it says than one of many that follow each other.
    pub news: f32,
}

/// Sets of operating classes (802.11 table E-4), as far as they differ in which channels they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Classes(u8);

impl Classes {
    /// The class of a frequency.
    pub fn of(freq_mhz: u32) -> Classes {
        Classes(match freq_mhz {
            0..=2_500 => 1,
            2_501..=5_250 => 1 << 1,
            5_251..=5_350 => 1 << 2,
            5_351..=5_730 => 1 << 3,
            5_731..=5_900 => 1 << 4,
            5_901.. => 1 << 5,
        })
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Classes) -> Classes {
        Classes(self.0 | other.0)
    }

    fn meets(self, other: Classes) -> bool {
        self.0 & other.0 != 0
    }
}

impl Model {
    /// The model of a home. Positions of rooms and APs are those in the lists.
    pub fn new(places: &[Place], receivers: &[Receiver], samples: &[Sample]) -> Model {
        let positions = |ids: &mut dyn Iterator<Item = &Id>| -> BTreeMap<Id, usize> {
            ids.cloned().enumerate().map(|(position, id)| (id, position)).collect()
        };
        let rooms = positions(&mut places.iter().map(|place| &place.id));
        let aps = positions(&mut receivers.iter().map(|receiver| &receiver.id));
        let room_of: Vec<usize> = receivers.iter().map(|receiver| receiver.room).collect();
        let mut adjoining = vec![Vec::new(); places.len()];
        for (room, place) in places.iter().enumerate() {
            for other in place.adjoins.iter().filter_map(|id| rooms.get(id).copied()) {
                adjoining[room].push(other);
                adjoining[other].push(room);
            }
        }
        let fingerprints =
            Fingerprints::learn(samples, &room_of, |id| rooms.get(id).copied(), |id| aps.get(id).copied());
        let mut speaking: Vec<Vec<ApIndex>> = vec![Vec::new(); places.len()];
        for (ap, room) in room_of.iter().enumerate() {
            speaking[*room].push(ApIndex::at(ap));
        }
        // A calibrated room without an AP is spoken for by the one that hears it best, as that one's own room is.
        if let Some(known) = &fingerprints {
            for room in known.rooms().filter(|room| speaking[*room].is_empty()).collect::<Vec<_>>() {
                speaking[room].extend(known.best_heard(room));
            }
        }
        let mut spoken_for = vec![Vec::new(); receivers.len()];
        for (room, aps) in speaking.iter().enumerate() {
            aps.iter().for_each(|ap| spoken_for[ap.0 as usize].push(room));
        }
        let is_eligible = |room: usize| !speaking[room].is_empty();
        let adjoining = (0..places.len()).map(|room| reachable(room, &adjoining, is_eligible)).collect();
        Model {
            spoken_for,
            eligible: (0..places.len()).filter(|room| is_eligible(*room)).collect(),
            classes: vec![Classes::default(); room_of.len()],
            room_of,
            speaking,
            adjoining,
            floors: places.iter().map(|place| place.floor).collect(),
            outdoor: places.iter().map(|place| place.outdoor).collect(),
            ids: places.iter().map(|place| place.id.clone()).collect(),
            fingerprints,
        }
    }

    /// An AP that was not known, with the room it stands in, which may be new, too. Samples tell nothing of it.
    pub(crate) fn add_receiver(&mut self, room: usize, id: &Id) {
        let ap = ApIndex::at(self.room_of.len());
        self.room_of.push(room);
        self.classes.push(Classes::default());
        self.spoken_for.push(vec![room]);
        if self.ids.len() <= room {
            self.ids.push(id.clone());
            self.speaking.push(Vec::new());
            self.adjoining.push(Vec::new());
            self.floors.push(None);
            self.outdoor.push(false);
        }
        self.speaking[room].push(ap);
        if let Err(position) = self.eligible.binary_search(&room) {
            self.eligible.insert(position, room);
        }
    }

    /// An AP's radios are on channels of these classes.
    pub(crate) fn set_classes(&mut self, ap: ApIndex, classes: Classes) {
        if let Some(known) = self.classes.get_mut(ap.0 as usize) {
            *known = classes;
        }
    }

    /// Which rooms calibration cannot tell apart: pairs, and how much of what is heard in them is the same, in
    /// percent. The most alike first; pairs of rooms with samples only.
    pub fn confusions(&self) -> Vec<(Id, Id, u8)> {
        let Some(fingerprints) = &self.fingerprints else { return Vec::new() };
        let named = |(one, other, percent): (usize, usize, u8)| {
            (self.ids[one].clone(), self.ids[other].clone(), percent)
        };
        fingerprints.confusions().into_iter().map(named).collect()
    }

    /// Whether there are samples.
    pub fn is_calibrated(&self) -> bool {
        self.fingerprints.is_some()
    }

    /// The rooms to choose from at first: all that anything can speak for, or none if they are too many, so that
    /// those come in that something does speak for.
    pub(super) fn candidates(&self) -> &[usize] {
        if self.eligible.len() <= ROOM_LIMIT { &self.eligible } else { &[] }
    }

    /// Whether anything can speak for a room.
    pub(super) fn knows(&self, room: usize) -> bool {
        self.eligible.binary_search(&room).is_ok()
    }

    /// Rooms that an AP speaks for.
    pub(super) fn rooms_spoken_for(&self, ap: ApIndex) -> &[usize] {
        self.spoken_for.get(ap.0 as usize).map_or(&[], Vec::as_slice)
    }

    fn room_of(&self, ap: ApIndex) -> Option<usize> {
        self.room_of.get(ap.0 as usize).copied()
    }

    /// How likely a step is, relative to one to an adjoining room.
    pub(super) fn step(&self, from: usize, to: usize) -> f32 {
        let (Some(neighbours), Some(theirs)) = (self.adjoining.get(from), self.adjoining.get(to)) else {
            return NOT_ADJOINING;
        };
        if neighbours.contains(&to) {
            return 1.0;
        }
        // Where nobody wrote down what adjoins, everything may.
        let base = if neighbours.is_empty() || theirs.is_empty() { 1.0 } else { NOT_ADJOINING };
        let storeys = match (self.floors[from], self.floors[to]) {
            (Some(from), Some(to)) => i32::from(from.abs_diff(to)),
            _ => 0,
        };
        let outside = if self.outdoor[from] == self.outdoor[to] { 1.0 } else { OUTSIDE };
        base * STOREY.powi(storeys) * outside
    }

    /// Logarithms of the likelihood of an observation in each of `rooms`, up to what is the same for all: the highest
    /// is 0.
    pub(super) fn observe(&self, observation: &Observation<'_>, rooms: &[usize], logs: &mut [f32]) {
        if observation.levels.is_empty() {
            logs.fill(0.0);
        } else {
            self.observe_levels(observation, rooms, logs);
        }
        if let Some(ap) = observation.associated.filter(|_| observation.chosen > 0.0) {
            self.add_choice(ap, observation.chosen, rooms, logs);
        }
    }

    fn observe_levels(&self, observation: &Observation<'_>, rooms: &[usize], logs: &mut [f32]) {
        self.observe_loudest(observation, rooms, logs);
        let Some(fingerprints) = &self.fingerprints else { return };
        let mut levels = [Heard::default(); 2 * super::AP_LIMIT];
        let count = self.with_silent(observation, &mut levels);
        // Where its own AP alone hears it, there is no loudest.
        let weight = if observation.is_overheard() { fingerprints.weight() } else { 1.0 };
        self.blend(fingerprints, weight, &levels[..count], Scale::Heard, rooms, logs);
    }

    /// As [`Model::observe`], of what a device reports to hear itself on channels of these classes.
    pub(super) fn observe_reported(
        &self,
        levels: &[Heard],
        classes: Classes,
        rooms: &[usize],
        logs: &mut [f32],
    ) {
        // All at once, by one receiver: which AP it is on makes no difference.
        let level = |ap: &ApIndex| {
            let heard = levels.iter().find(|heard| heard.ap == *ap).map(|heard| heard.dbm);
            let was_measured = self.classes.get(ap.0 as usize).is_some_and(|known| known.meets(classes));
            heard.unwrap_or(if was_measured { ABSENT_DBM } else { UNTOLD_DBM }).max(ABSENT_DBM)
        };
        for (room, log) in rooms.iter().zip(logs.iter_mut()) {
            let aps = self.speaking.get(*room).map_or(&[][..], Vec::as_slice);
            *log = REPORT_NEWS * aps.iter().map(level).fold(ABSENT_DBM, f32::max) / LOUDER_DB;
        }
        level_off(logs, CHOICE_MOST);
        let Some(fingerprints) = &self.fingerprints else { return };
        self.blend(fingerprints, fingerprints.weight(), levels, Scale::Reported, rooms, logs);
    }

    fn blend(
        &self,
        fingerprints: &Fingerprints,
        weight: f32,
        levels: &[Heard],
        scale: Scale,
        rooms: &[usize],
        logs: &mut [f32],
    ) {
        let mut known = [0.0f32; ROOM_LIMIT];
        for (room, log) in rooms.iter().zip(&mut known) {
            *log = fingerprints.log_likelihood(*room, levels, scale);
        }
        let best = known[..rooms.len()].iter().copied().fold(f32::MIN, f32::max);
        let most = OBSERVATION_DB / LOUDER_DB;
        for (log, known) in logs.iter_mut().zip(known) {
            *log = (1.0 - weight) * *log + weight * (known - best).max(-most);
        }
        level_off(logs, most);
    }

    /// What is heard, and the APs that might have heard it and did not. Only where others than the one it is
    /// associated with hear it: a phone that does not look around is heard by its own AP alone.
    fn with_silent(&self, observation: &Observation<'_>, all: &mut [Heard]) -> usize {
        let is_missing =
            |ap: &ApIndex| observation.level(*ap).is_none() && observation.associated != Some(*ap);
        let silent = (0..self.room_of.len()).map(ApIndex::at).filter(is_missing);
        let silent = silent.map(|ap| Heard { ap, dbm: ABSENT_DBM }).filter(|_| observation.is_overheard());
        let mut count = 0;
        for (slot, heard) in all.iter_mut().zip(observation.levels.iter().copied().chain(silent)) {
            *slot = heard;
            count += 1;
        }
        count
    }

    /// The louder a room's AP, the likelier the room.
    fn observe_loudest(&self, observation: &Observation<'_>, rooms: &[usize], logs: &mut [f32]) {
        for (room, log) in rooms.iter().zip(logs.iter_mut()) {
            *log = observation.news * self.loudness(observation, *room) / LOUDER_DB;
        }
        level_off(logs, OBSERVATION_DB / LOUDER_DB);
    }

    /// How loud a device is in a room, by its loudest AP, in dB beside any other room.
    fn loudness(&self, observation: &Observation<'_>, room: usize) -> f32 {
        let Observation { associated, calm, .. } = *observation;
        let aps = self.speaking.get(room).map_or(&[][..], Vec::as_slice);
        if !observation.is_overheard() {
            // Nobody else listened. What was not heard so near before speaks for the AP's own room.
            let speaks = self.fingerprints.is_none() && aps.iter().any(|ap| associated == Some(*ap));
            return if speaks { observation.nearer_db } else { 0.0 };
        }
        // Samples say better how loud a room's AP is elsewhere.
        let bonus = if self.fingerprints.is_some() { 0.0 } else { CHOSEN_DB * calm };
        let level = |ap: &ApIndex| match (observation.level(*ap), associated == Some(*ap)) {
            (level, true) => level.unwrap_or(FAR_DBM) + bonus,
            (level, false) => level.unwrap_or(ABSENT_DBM).max(ABSENT_DBM),
        };
        aps.iter().map(level).fold(ABSENT_DBM, f32::max)
    }

    /// Adds how likely a device in each of `rooms` is to choose an AP.
    fn add_choice(&self, ap: ApIndex, part: f32, rooms: &[usize], logs: &mut [f32]) {
        let mut choices = [0.0f32; ROOM_LIMIT];
        for (choice, room) in choices.iter_mut().zip(rooms) {
            *choice = match &self.fingerprints {
                Some(fingerprints) => fingerprints.log_choice(*room, ap),
                None if self.room_of(ap) == Some(*room) => 0.0,
                None => -CHOICE_MOST,
            };
        }
        level_off(&mut choices[..rooms.len()], CHOICE_MOST);
        for (log, choice) in logs.iter_mut().zip(choices) {
            *log += choice * part;
        }
    }
}

impl Observation<'_> {
    fn level(&self, ap: ApIndex) -> Option<f32> {
        self.levels.iter().find(|heard| heard.ap == ap).map(|heard| heard.dbm)
    }

    /// Whether others hear it than the AP it is associated with.
    pub fn is_overheard(&self) -> bool {
        self.levels.iter().any(|heard| Some(heard.ap) != self.associated)
    }
}

/// Rooms one can walk to from here through rooms nothing can speak for, such as a hall without an AP.
fn reachable(from: usize, adjoining: &[Vec<usize>], is_eligible: impl Fn(usize) -> bool) -> Vec<usize> {
    let (mut found, mut seen, mut next) = (Vec::new(), vec![from], vec![from]);
    while let Some(room) = next.pop() {
        for neighbour in &adjoining[room] {
            if seen.contains(neighbour) {
                continue;
            }
            seen.push(*neighbour);
            if is_eligible(*neighbour) {
                found.push(*neighbour);
            } else {
                next.push(*neighbour);
            }
        }
    }
    found
}

/// How near an AP a device is that it alone hears like this, in dB above what is usual from another room.
pub(super) fn near_db(own_dbm: f32) -> f32 {
    (own_dbm - FAR_DBM).clamp(0.0, OBSERVATION_DB)
}

/// Shifts logarithms so that the highest is 0, and lets none be lower than `-most`.
fn level_off(logs: &mut [f32], most: f32) {
    let best = logs.iter().copied().fold(f32::MIN, f32::max);
    logs.iter_mut().for_each(|log| *log = (*log - best).max(-most));
}
