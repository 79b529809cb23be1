//! Where access points overlap, told from simultaneous hearing only. The association table says nothing about it: two
//! access points list one phone only while one of the entries is stale.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use whichroom_wire::{Id, Mac};

use crate::index::{ApNumber, Index, Reading};
use crate::parameters::Parameters;
use crate::rows::{Band, Hearing};

/// How two access points overlap on a band. A sighting is a minute in which at least one of the two heard a frame of
/// a device (or a device reported hearing one of them); one that heard nothing may have listened elsewhere, so
/// shares are lower bounds. At least `overlap_minutes` (20) sightings are needed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overlap {
    /// One.
    pub a: Id,
    /// The other.
    pub b: Id,
    /// On which band, where known.
    pub band: Option<Band>,
    /// Sightings of either.
    pub sightings: u32,
    /// Sightings of both at once.
    pub both: u32,
    /// Those in which both could serve the device: `served_dbm` (-75 dBm) or better.
    pub both_serve: u32,
    /// Those in which moreover neither is better by `contested_db` (6 dB).
    pub contested: u32,
    /// How much louder `a` is than `b`, on average over sightings of both.
    pub difference_db: i16,
}

impl Overlap {
    /// Share of sightings of both among sightings of either.
    pub fn percent(&self) -> u32 {
        self.both * 100 / self.sightings.max(1)
    }
}

/// How often devices are heard by several access points at once: whether rooms and overlap can be told at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// Minutes of devices with any reading.
    pub minutes: u32,
    /// Those in which two or more access points heard the device, or it reported two or more.
    pub by_several: u32,
}

#[derive(Default)]
struct Sum {
    either: u32,
    both: u32,
    both_serve: u32,
    contested: u32,
    difference_db: i64,
}

/// Overlap of every pair with enough sightings, most first.
pub(crate) fn find(index: &Index<'_>, parameters: &Parameters) -> Vec<Overlap> {
    let mut alone: BTreeMap<(Option<Band>, ApNumber), u32> = BTreeMap::new();
    let mut pairs: BTreeMap<(Option<Band>, ApNumber, ApNumber), Sum> = BTreeMap::new();
    let bssids: BTreeSet<Mac> = index.readings.iter().map(|reading| reading.bssid).collect();
    let bands: BTreeMap<Mac, Option<Band>> =
        bssids.into_iter().map(|bssid| (bssid, index.band(bssid))).collect();
    let mut sighting: Vec<(Option<Band>, ApNumber, i8)> = Vec::new();
    let same = |a: &Reading, b: &Reading| (a.device, a.minute, a.hearing) == (b.device, b.minute, b.hearing);
    for group in index.readings.chunk_by(same) {
        if group[0].hearing == Hearing::Associated {
            continue;
        }
        sighting.clear();
        let band = |reading: &Reading| bands.get(&reading.bssid).copied().flatten();
        sighting.extend(group.iter().map(|reading| (band(reading), reading.ap, reading.mean_dbm)));
        // Of two BSSs of one access point the louder counts.
        sighting.sort_unstable_by_key(|(band, ap, dbm)| (*band, *ap, std::cmp::Reverse(*dbm)));
        sighting.dedup_by_key(|(band, ap, _)| (*band, *ap));
        for (position, (band, a, a_dbm)) in sighting.iter().enumerate() {
            *alone.entry((*band, *a)).or_default() += 1;
            for (_, b, b_dbm) in sighting[position + 1..].iter().filter(|(other, ..)| other == band) {
                let sum = pairs.entry((*band, *a, *b)).or_default();
                let difference = i16::from(*a_dbm) - i16::from(*b_dbm);
                let both_serve = (*a_dbm).min(*b_dbm) >= parameters.served_dbm;
                sum.both += 1;
                sum.both_serve += u32::from(both_serve);
                sum.contested +=
                    u32::from(both_serve && difference.abs() < i16::from(parameters.contested_db));
                sum.difference_db += i64::from(difference);
            }
        }
    }
    let alone_of = |band, ap| alone.get(&(band, ap)).copied().unwrap_or_default();
    for (a, b) in alone.keys().flat_map(|a| alone.keys().map(move |b| (a, b))) {
        if a.0 == b.0 && a.1 < b.1 {
            let sum = pairs.entry((a.0, a.1, b.1)).or_default();
            sum.either = alone_of(a.0, a.1) + alone_of(b.0, b.1) - sum.both;
        }
    }
    let enough = pairs.into_iter().filter(|(_, sum)| sum.either >= parameters.overlap_minutes);
    let mut overlaps: Vec<Overlap> = enough
        .map(|((band, a, b), sum)| Overlap {
            a: index.ap(a).clone(),
            b: index.ap(b).clone(),
            band,
            sightings: sum.either,
            both: sum.both,
            both_serve: sum.both_serve,
            contested: sum.contested,
            difference_db: i16::try_from(sum.difference_db.checked_div(sum.both.into()).unwrap_or(0))
                .unwrap_or_default(),
        })
        .collect();
    overlaps.sort_by_key(|overlap| std::cmp::Reverse((overlap.percent(), overlap.both)));
    overlaps
}

/// How often devices are heard by several access points.
pub(crate) fn heard(index: &Index<'_>) -> Heard {
    let mut heard = Heard::default();
    for minute in index.readings.chunk_by(|a, b| (a.device, a.minute) == (b.device, b.minute)) {
        heard.minutes += 1;
        let by_frames = minute.iter().filter(|reading| reading.hearing != Hearing::Reported);
        let reported = minute.iter().filter(|reading| reading.hearing == Hearing::Reported);
        heard.by_several += u32::from(is_several(by_frames) || is_several(reported));
    }
    heard
}

/// Whether frames of one minute were heard by several; a roam within the minute is no simultaneous hearing.
fn is_several<'a>(readings: impl Iterator<Item = &'a Reading> + Clone) -> bool {
    let associated = |reading: &&Reading| reading.hearing == Hearing::Associated;
    let mut others = readings.clone().filter(|reading| !associated(reading));
    let Some(first) = others.next() else { return false };
    others.any(|reading| reading.ap != first.ap)
        || readings.clone().filter(associated).any(|reading| reading.ap != first.ap)
}
