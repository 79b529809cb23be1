//! Advice about transmit power: for pairs of access points a device cannot decide between.

use std::collections::{BTreeMap, BTreeSet};

use whichroom_wire::{Id, Mac};

use super::commands::{self, Setting};
use super::{Advice, AdviceKind, Findings};
use crate::episodes::{Episode, EpisodeKind, Pair};
use crate::index::{ChangeKind, Index, Reading};
use crate::parameters::Parameters;
use crate::rows::{Band, Hearing, RadioState};
use crate::signal::is_served_elsewhere;
use crate::site::Site;
use crate::time::{MINUTE_MS, Time};

/// Minutes on a radio without which nothing is known about who needs it.
const MINUTES_LEAST: usize = 60;

/// Share of a radio's minutes that may fall below the floor.
const LOST_PERCENT: usize = 5;

/// So many bounces between two access points on each day are worth a change.
const CHANGES_A_DAY: u64 = 10;

/// One in so many changes of an episode makes a pair one that it is about.
const HEART_SHARE: u32 = 4;

const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// Bounces between two access points.
struct Contest<'e> {
    changes: u32,
    episodes: Vec<&'e Episode>,
}

/// The two BSSs between which most of them went, as they are now.
#[derive(Clone, Copy)]
struct Contestants<'a> {
    /// The one that is heard better where it happens. A step that makes it better still ends the contest; one that
    /// helps the other prolongs it.
    better: &'a RadioState,
    worse: &'a RadioState,
    /// By how much the phone hears the better one better, as far as is known.
    difference_db: i32,
}

/// At most one piece of advice a radio, the most contested pair first.
pub(super) fn advise(
    index: &Index<'_>,
    site: &Site,
    findings: &Findings<'_>,
    parameters: &Parameters,
) -> Vec<Advice> {
    let mut contests: BTreeMap<(&Id, &Id), Contest<'_>> = BTreeMap::new();
    let bounces = findings.episodes.iter().filter(|episode| episode.kind != EpisodeKind::SameApFlapping);
    for episode in bounces {
        // Others are passed through: who walks in the middle of it comes by all of them.
        let is_heart = |pair: &&Pair| pair.changes * HEART_SHARE >= episode.changes;
        for pair in episode.pairs.iter().filter(is_heart) {
            // What was before the last step says nothing about the next one.
            if settled(index, &pair.a, &pair.b) > episode.begin {
                continue;
            }
            let empty = || Contest { changes: 0, episodes: Vec::new() };
            let contest = contests.entry((&pair.a, &pair.b)).or_insert_with(empty);
            contest.changes += pair.changes;
            contest.episodes.push(episode);
        }
    }
    let mut contests: Vec<_> = contests
        .into_iter()
        .filter(|((a, b), contest)| {
            let days = index.range.to.since(settled(index, a, b)).div_ceil(DAY_MS);
            u64::from(contest.changes) >= days * CHANGES_A_DAY
        })
        .collect();
    contests.sort_by_key(|((a, b), contest)| (std::cmp::Reverse(contest.changes), *a, *b));
    let mut touched = BTreeSet::new();
    let mut advice = Vec::new();
    for ((a, b), contest) in contests {
        let radios = contested_radios(index, a, b);
        // One step at a time: what a second one does would not be known.
        if radios.iter().any(|radio| touched.contains(&(&radio.ap, radio.freq_mhz))) {
            continue;
        }
        touched.extend(radios.iter().map(|radio| (&radio.ap, radio.freq_mhz)));
        advice.extend(for_pair(index, site, (a, b), &contest, &radios, parameters));
    }
    advice
}

/// Since when two access points are as loud as they are, in the range.
fn settled(index: &Index<'_>, a: &Id, b: &Id) -> Time {
    let of_them = index.radios_now().filter(|radio| radio.ap == *a || radio.ap == *b);
    let changed = of_them.filter_map(|radio| index.power_since(radio.bssid)).max();
    changed.map_or(index.range.from, |changed| changed.max(index.range.from))
}

/// The BSSs of two access points between which most roams went, as they are now.
fn contested_radios<'a>(index: &Index<'a>, a: &Id, b: &Id) -> Vec<&'a RadioState> {
    let mut counts: BTreeMap<(Mac, Mac), u32> = BTreeMap::new();
    for (_, _, story) in index.iter() {
        for change in story.changes.iter().filter(|change| change.kind == ChangeKind::Roam) {
            let (from, to) = (change.from, change.to);
            let is_pair = (&from.ap, &to.ap) == (a, b) || (&from.ap, &to.ap) == (b, a);
            if is_pair {
                *counts.entry((from.bssid.min(to.bssid), from.bssid.max(to.bssid))).or_default() += 1;
            }
        }
    }
    let most = counts.into_iter().max_by_key(|(pair, count)| (*count, std::cmp::Reverse(*pair)));
    let Some(((one, other), _)) = most else { return Vec::new() };
    let is_meant = |radio: &&RadioState| radio.bssid == one || radio.bssid == other;
    index.radios_now().filter(is_meant).collect()
}

/// Which of the two is heard better where it happens, if it is a contest at all. Beacon reports say it; without them, what
/// the access points hear of the phone does, with their own power: the way is the same in both directions.
fn contestants<'a>(
    index: &Index<'_>,
    radios: &[&'a RadioState],
    episodes: &[&Episode],
    parameters: &Parameters,
) -> Option<Contestants<'a>> {
    let &[one, other] = radios else { return None };
    let difference = |hearing| difference_db(index, episodes, [one.bssid, other.bssid], hearing);
    let received = || {
        let power_db = i32::from(one.txpower_dbm?) - i32::from(other.txpower_dbm?);
        Some(difference(Hearing::Associated)? + power_db)
    };
    let one_is_better_by = difference(Hearing::Reported).or_else(received)?;
    let difference_db = one_is_better_by.abs();
    if difference_db >= i32::from(parameters.contested_db) {
        return None;
    }
    let (better, worse) = if one_is_better_by >= 0 { (one, other) } else { (other, one) };
    Some(Contestants { better, worse, difference_db })
}

/// How much louder those who bounced were at the first of two BSSs, or heard it, than at the second, on average over
/// pairs of readings that are no further apart than two minutes; nothing if there are too few.
fn difference_db(
    index: &Index<'_>,
    episodes: &[&Episode],
    bssids: [Mac; 2],
    hearing: Hearing,
) -> Option<i32> {
    const PAIRS_LEAST: i32 = 5;
    const APART_MS: u64 = 2 * MINUTE_MS;
    let (mut pairs, mut sum) = (0, 0);
    for (number, device, _) in index.iter() {
        let mine: Vec<_> = episodes.iter().filter(|episode| episode.device == *device).collect();
        let during = |reading: &&Reading| {
            let is_in = |episode: &&&&Episode| {
                episode.begin.minute() <= reading.minute && reading.minute <= episode.end
            };
            reading.hearing == hearing && mine.iter().any(|episode| is_in(&episode))
        };
        let mut last: [Option<&Reading>; 2] = [None, None];
        for reading in index.readings_of(number).iter().filter(during) {
            let Some(side) = bssids.iter().position(|bssid| *bssid == reading.bssid) else { continue };
            last[side] = Some(reading);
            let other = last[1 - side].filter(|other| reading.minute.since(other.minute) <= APART_MS);
            if let Some(other) = other {
                let louder_db = i32::from(reading.mean_dbm) - i32::from(other.mean_dbm);
                pairs += 1;
                sum += if side == 0 { louder_db } else { -louder_db };
            }
        }
    }
    let mean = || (f64::from(sum) / f64::from(pairs)).round() as i32;
    (pairs >= PAIRS_LEAST).then(mean)
}

fn for_pair(
    index: &Index<'_>,
    site: &Site,
    (a, b): (&Id, &Id),
    contest: &Contest<'_>,
    radios: &[&RadioState],
    parameters: &Parameters,
) -> Option<Advice> {
    let means: Vec<i32> =
        contest.episodes.iter().filter_map(|episode| Some(i32::from(episode.signal?.mean_dbm))).collect();
    let count = i32::try_from(means.len()).ok()?;
    let mean_dbm = means.iter().sum::<i32>().checked_div(count)?;
    let names: BTreeSet<&str> = contest.episodes.iter().map(|episode| episode.device.name.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let who = format!(
        "{} changed {} times between {} and {} at {mean_dbm} dBm on average",
        names.join(", "),
        contest.changes,
        site.ap_name(a),
        site.ap_name(b),
    );
    let serves_well = mean_dbm >= i32::from(parameters.sticky_dbm);
    let how = if serves_well { "both serve it well" } else { "both serve it badly" };
    let two = contestants(index, radios, &contest.episodes, parameters)?;
    let who = match two.difference_db {
        0 => format!("{who}: {how}, and neither is better"),
        db => format!("{who}: {how}, and {} is heard better by {db} dB only", site.ap_name(&two.better.ap)),
    };
    if serves_well {
        return lower(index, site, &who, two, parameters).or_else(|| raise(site, &who, two, parameters));
    }
    raise(site, &who, two, parameters)
        .or_else(|| lower(index, site, &who, two, parameters))
        .or_else(|| Some(missing(&who, mean_dbm)))
}

/// The worse one a step down, if those who need it keep it.
fn lower(
    index: &Index<'_>,
    site: &Site,
    who: &str,
    two: Contestants<'_>,
    parameters: &Parameters,
) -> Option<Advice> {
    let step_db = i8::try_from(parameters.power_step_db).ok()?;
    let (radio, from_dbm) = (two.worse, two.worse.txpower_dbm?);
    let to_dbm = from_dbm.saturating_sub(step_db);
    let lost = lost_percent(index, radio, parameters)?;
    if to_dbm < parameters.power_min_dbm || lost > LOST_PERCENT {
        return None;
    }
    let (name, better) = (site.ap_name(&radio.ap), site.ap_name(&two.better.ap));
    let what = format!("{} from {from_dbm} to {to_dbm} dBm", radio.ifname);
    let setting = Setting::TransmitPower { from_dbm, to_dbm };
    Some(Advice {
        kind: AdviceKind::LowerPower,
        reason: format!("{who}. {name} can be lowered."),
        expected: format!(
            "{better} becomes clearly better there, and the phone stays on it. With {step_db} dB less, {lost} % of the \
             minutes on {name} fall below {} dBm where nothing else serves them. Mark it with a note, wait a day, \
             compare, and only then take the next step.",
            parameters.power_floor_dbm,
        ),
        caution: Some("All BSSs of this radio get quieter.".to_owned()),
        steps: commands::wireless(&radio.ap, &[radio], what, setting).into_iter().collect(),
    })
}

/// The better one a step up, as far as that is allowed.
fn raise(site: &Site, who: &str, two: Contestants<'_>, parameters: &Parameters) -> Option<Advice> {
    let step_db = i8::try_from(parameters.power_step_db).ok()?;
    let (radio, from_dbm) = (two.better, two.better.txpower_dbm?);
    let to_dbm = from_dbm.saturating_add(step_db);
    let known_limit = site.power_limits_dbm.get(&radio.bssid).copied();
    if to_dbm > known_limit.or_else(|| usual_limit_dbm(radio.band()?))? {
        return None;
    }
    let name = site.ap_name(&radio.ap);
    let what = format!("{} from {from_dbm} to {to_dbm} dBm", radio.ifname);
    let setting = Setting::TransmitPower { from_dbm, to_dbm };
    Some(Advice {
        kind: AdviceKind::RaisePower,
        reason: format!("{who}. {name} can be raised."),
        expected: format!(
            "{name} becomes clearly better there, and the phone stays on it. Mark it with a note, wait a day, compare, \
             and only then take the next step."
        ),
        caution: Some(
            "The commands ask the access point what is allowed here, and refuse what is not. The phone's own \
             transmitter stays as it is: if that is what is too weak, only a nearer access point helps."
                .to_owned(),
        ),
        steps: commands::wireless(&radio.ap, &[radio], what, setting).into_iter().collect(),
    })
}

/// What hardly any country forbids indoors. The commands ask for the real limit.
fn usual_limit_dbm(band: Band) -> Option<i8> {
    match band {
        Band::Ghz2 => Some(20),
        Band::Ghz5 => Some(23),
        // What is allowed there differs by the kind of access point, too.
        Band::Ghz6 => None,
    }
}

fn missing(who: &str, mean_dbm: i32) -> Advice {
    Advice {
        kind: AdviceKind::MoveAccessPoint,
        reason: format!("{who}. Their transmit power cannot rise, and their edges are needed."),
        expected: format!(
            "Move one of the two nearer to where this happens, or add an access point there: {mean_dbm} dBm is what \
             has to become better."
        ),
        caution: None,
        steps: Vec::new(),
    }
}

/// How many percent of the associated minutes on a radio a step down would take below the floor with no other access
/// point to serve them. Nothing if too little is known.
fn lost_percent(index: &Index<'_>, radio: &RadioState, parameters: &Parameters) -> Option<usize> {
    let on_it = |bssid: Mac| {
        let state = index.radio_at(bssid, index.range.to);
        state.is_some_and(|state| state.ap == radio.ap && state.freq_mhz == radio.freq_mhz)
    };
    let step_db = i16::from(parameters.power_step_db);
    let falls =
        |reading: &Reading| i16::from(reading.mean_dbm) - step_db < i16::from(parameters.power_floor_dbm);
    let bssids: BTreeSet<Mac> =
        index.radios_now().map(|radio| radio.bssid).filter(|bssid| on_it(*bssid)).collect();
    let (mut minutes, mut lost) = (0, 0);
    for (number, _, _) in index.iter() {
        let readings = index.readings_of(number);
        for (position, reading) in readings.iter().enumerate() {
            if reading.hearing == Hearing::Associated && bssids.contains(&reading.bssid) {
                minutes += 1;
                lost += usize::from(falls(reading) && !is_served_elsewhere(readings, position, parameters));
            }
        }
    }
    // Rounded up: a floor is a floor.
    (minutes >= MINUTES_LEAST).then(|| (lost * 100).div_ceil(minutes))
}
