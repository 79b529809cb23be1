//! What calibration knows: how each room sounds at each AP, from samples taken in it. A device is compared with a
//! room by the pattern over the APs; how loud it is altogether, which differs from phone to phone and from hand to
//! pocket, counts little.

use whichroom_wire::Id;

use super::levels::Heard;
use super::model::ABSENT_DBM;
use crate::calibration::{Sample, SampleReading};
use crate::timers::ApIndex;

/// Levels of one phone in one room differ by this from visit to visit, in dB: where in the room, which way it faces.
const VISIT_DB: f32 = 6.0;

/// What [`VISIT_DB`] counts beside what the visits show, in visits.
const VISIT_PRIOR: f32 = 2.0;

/// The part of a sample's deviation that is left once levels are averaged.
const DEVIATION_LEFT: f32 = 0.5;

/// Levels rise faster than they fall: they lie above the mean by this part of the deviation.
const ABOVE_MEAN: f32 = 0.15;

/// Phones, hands and pockets differ by this, in dB; where all APs hear it so much louder or fainter, nothing is said.
const DEVICE_DB: f32 = 4.0;

/// What a device itself hears is on a scale of its own.
const REPORTED_DB: f32 = 30.0;

/// Degrees of freedom of the distribution: one AP that is far off counts a little, not everything.
const FREEDOM: f32 = 8.0;

/// Readings of several APs in one room have the same causes: they count for so much together.
const INDEPENDENT: f32 = 0.5;

/// Of a room without samples, in dB: where its AP and the others usually lie is all that is known.
const UNKNOWN_DB: f32 = 7.0;

/// Where that lies before there are samples, in dBm.
const OWN_DBM: f32 = -60.0;
const OTHER_DBM: f32 = -85.0;

/// The phone takes the AP it hears best: what is louder by this is chosen e times as often, in dB.
const CHOICE_DB: f32 = 7.0;

/// An AP is heard at this below the faintest: it heard nothing.
const SILENT_BELOW_DB: f32 = 5.0;

/// How one AP hears a device in one room.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Expected {
    dbm: f32,
    /// In dB².
    variance: f32,
}

/// One room's levels at every AP, by position; `None` where no sample tells.
#[derive(Debug, Clone)]
struct Print {
    room: usize,
    heard: Vec<Option<Expected>>,
    reported: Vec<Option<Expected>>,
    visits: f32,
}

/// All rooms that have samples.
#[derive(Debug, Clone)]
pub(super) struct Fingerprints {
    prints: Vec<Print>,
    own: Expected,
    other: Expected,
    room_of: Vec<usize>,
}

/// Whose scale levels are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// The APs heard the device.
    Heard,
    /// The device heard the APs.
    Reported,
}

impl Fingerprints {
    /// Learns from samples; `None` if there are none of rooms that are known. `room` and `ap` give positions.
    pub fn learn(
        samples: &[Sample],
        room_of: &[usize],
        room: impl Fn(&Id) -> Option<usize>,
        ap: impl Fn(&Id) -> Option<usize>,
    ) -> Option<Fingerprints> {
        let mut visits: Vec<(usize, Vec<&Sample>)> = Vec::new();
        for sample in samples {
            let Some(room) = room(&sample.room) else { continue };
            match visits.iter_mut().find(|(known, _)| *known == room) {
                Some((_, samples)) => samples.push(sample),
                None => visits.push((room, vec![sample])),
            }
        }
        if visits.is_empty() {
            return None;
        }
        visits.sort_by_key(|(room, _)| *room);
        let print = |(room, samples): (usize, Vec<&Sample>)| {
            let mut heard = vec![Vec::new(); room_of.len()];
            let mut reported = vec![Vec::new(); room_of.len()];
            for sample in &samples {
                gather(&sample.readings, &sample.silent, &ap, &mut heard);
                gather(&sample.reported, &[], &ap, &mut reported);
            }
            Print { room, heard: expect(heard), reported: expect(reported), visits: samples.len() as f32 }
        };
        let prints: Vec<Print> = visits.into_iter().map(print).collect();
        let (own, other) = usual(&prints, room_of);
        Some(Fingerprints { prints, own, other, room_of: room_of.to_vec() })
    }

    /// How much the samples count against what is known without them, from 0 to 1.
    pub fn weight(&self) -> f32 {
        /// As many visits a room say as much as the loudest AP alone.
        const HALF_AT: f32 = 4.0;
        let rooms = self.prints.len() as f32;
        let visits = self.prints.iter().map(|print| print.visits).sum::<f32>() / rooms;
        visits / (visits + HALF_AT)
    }

    /// Rooms that have samples.
    pub fn rooms(&self) -> impl Iterator<Item = usize> {
        self.prints.iter().map(|print| print.room)
    }

    fn print(&self, room: usize) -> Option<&Print> {
        self.prints.binary_search_by_key(&room, |print| print.room).ok().map(|index| &self.prints[index])
    }

    fn expected(&self, room: usize, ap: ApIndex, scale: Scale) -> Expected {
        let ap = ap.0 as usize;
        let known = self.print(room).and_then(|print| {
            let reported = print.reported.get(ap).copied().flatten().filter(|_| scale == Scale::Reported);
            reported.or(print.heard.get(ap).copied().flatten())
        });
        let is_own = self.room_of.get(ap) == Some(&room);
        known.unwrap_or(if is_own { self.own } else { self.other })
    }

    /// The AP that hears a room best, for rooms that have none.
    pub fn best_heard(&self, room: usize) -> Option<ApIndex> {
        let levels = self.print(room)?.heard.iter().enumerate();
        let mut best: Option<(usize, f32)> = None;
        for (ap, expected) in levels.filter_map(|(ap, expected)| Some((ap, (*expected)?))) {
            if best.is_none_or(|(_, dbm)| expected.dbm > dbm) {
                best = Some((ap, expected.dbm));
            }
        }
        best.map(|(ap, _)| ApIndex::at(ap))
    }

    /// Logarithm of the likelihood of what is heard in a room, up to what is the same for all rooms.
    pub fn log_likelihood(&self, room: usize, levels: &[Heard], scale: Scale) -> f32 {
        let device_variance = match scale {
            Scale::Heard => DEVICE_DB * DEVICE_DB,
            Scale::Reported => REPORTED_DB * REPORTED_DB,
        };
        let error = |heard: &Heard| {
            let expected = self.expected(room, heard.ap, scale);
            let is_silent = heard.dbm <= ABSENT_DBM && expected.dbm <= ABSENT_DBM;
            (if is_silent { 0.0 } else { heard.dbm - expected.dbm }, expected.variance)
        };
        // How much louder this device is than those of the samples, as far as this room would explain.
        let (mut weights, mut sum) = (1.0 / device_variance, 0.0);
        for heard in levels {
            let (error, variance) = error(heard);
            weights += 1.0 / variance;
            sum += error / variance;
        }
        let louder = sum / weights;
        let mut log = -louder * louder / (2.0 * device_variance);
        for heard in levels {
            let (error, variance) = error(heard);
            let rest = error - louder;
            log -=
                (FREEDOM + 1.0) / 2.0 * (1.0 + rest * rest / (FREEDOM * variance)).ln() + 0.5 * variance.ln();
        }
        log * INDEPENDENT
    }

    /// Logarithm of how likely a phone in a room is to choose an AP.
    pub fn log_choice(&self, room: usize, ap: ApIndex) -> f32 {
        let level = |index: usize| self.expected(room, ApIndex::at(index), Scale::Heard).dbm;
        let best = (0..self.room_of.len()).map(level).fold(f32::MIN, f32::max);
        let all: f32 = (0..self.room_of.len()).map(|index| ((level(index) - best) / CHOICE_DB).exp()).sum();
        (level(ap.0 as usize) - best) / CHOICE_DB - all.ln()
    }

    /// How much of two rooms' levels is the same, from 0 to 1, whatever the phone.
    fn overlap(&self, one: &Print, other: &Print) -> f32 {
        let pairs = || {
            one.heard.iter().zip(&other.heard).filter_map(|(one, other)| {
                let (one, other) = ((*one)?, (*other)?);
                let is_silent = one.dbm <= ABSENT_DBM && other.dbm <= ABSENT_DBM;
                (!is_silent).then_some((one, other))
            })
        };
        let (mut weights, mut sum) = (1.0 / (2.0 * DEVICE_DB * DEVICE_DB), 0.0);
        for (one, other) in pairs() {
            weights += 1.0 / (one.variance + other.variance);
            sum += (one.dbm - other.dbm) / (one.variance + other.variance);
        }
        let shift = sum / weights;
        // Bhattacharyya's coefficient of two normal distributions, over all APs.
        let distance: f32 = pairs()
            .map(|(one, other)| {
                let both = one.variance + other.variance;
                let apart = one.dbm - other.dbm - shift;
                apart * apart / (4.0 * both)
                    + 0.5 * (both / (2.0 * (one.variance * other.variance).sqrt())).ln()
            })
            .sum();
        (-distance).exp()
    }

    /// Pairs of rooms and how much of their levels is the same, in percent; the most alike first.
    pub fn confusions(&self) -> Vec<(usize, usize, u8)> {
        let mut pairs = Vec::new();
        for (index, one) in self.prints.iter().enumerate() {
            for other in &self.prints[index + 1..] {
                // From 0 to 100.
                let percent = (self.overlap(one, other) * 100.0).clamp(0.0, 100.0) as u8;
                pairs.push((one.room, other.room, percent));
            }
        }
        pairs.sort_by_key(|(.., percent)| std::cmp::Reverse(*percent));
        pairs
    }
}

/// Adds one sample's levels to those of its room: mean and deviation, by AP.
fn gather(
    readings: &[SampleReading],
    silent: &[Id],
    ap: &impl Fn(&Id) -> Option<usize>,
    levels: &mut [Vec<(f32, f32)>],
) {
    for reading in readings {
        let deviation = f32::from(reading.deviation_db);
        let level = f32::from(reading.mean_dbm) + ABOVE_MEAN * deviation;
        if let Some(levels) = ap(&reading.ap).and_then(|ap| levels.get_mut(ap)) {
            levels.push((level, deviation));
        }
    }
    for id in silent {
        if let Some(levels) = ap(id).and_then(|ap| levels.get_mut(ap)) {
            levels.push((ABSENT_DBM - SILENT_BELOW_DB, 0.0));
        }
    }
}

/// What to expect after these visits.
fn expect(levels: Vec<Vec<(f32, f32)>>) -> Vec<Option<Expected>> {
    let expected = |visits: Vec<(f32, f32)>| {
        if visits.is_empty() {
            return None;
        }
        let count = visits.len() as f32;
        let mean = visits.iter().map(|(dbm, _)| dbm).sum::<f32>() / count;
        let within =
            visits.iter().map(|(_, deviation)| (DEVIATION_LEFT * deviation).powi(2)).sum::<f32>() / count;
        let between = visits.iter().map(|(dbm, _)| (dbm - mean).powi(2)).sum::<f32>();
        let visit = (between + VISIT_PRIOR * VISIT_DB * VISIT_DB) / (count - 1.0 + VISIT_PRIOR);
        Some(Expected { dbm: mean, variance: within + visit })
    };
    levels.into_iter().map(expected).collect()
}

/// Where an AP usually hears its own room, and the others'.
fn usual(prints: &[Print], room_of: &[usize]) -> (Expected, Expected) {
    let variance = UNKNOWN_DB * UNKNOWN_DB;
    let (mut own, mut other) = ((OWN_DBM, 1.0f32), (OTHER_DBM, 1.0f32));
    for print in prints {
        for (ap, expected) in print.heard.iter().enumerate() {
            let Some(expected) = expected else { continue };
            let (sum, count) = if room_of[ap] == print.room { &mut own } else { &mut other };
            *sum += expected.dbm;
            *count += 1.0;
        }
    }
    (Expected { dbm: own.0 / own.1, variance }, Expected { dbm: other.0 / other.1, variance })
}
