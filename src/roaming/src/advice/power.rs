//! Advice about transmit power: for pairs of access points a device cannot decide between.

use std::collections::{BTreeMap, BTreeSet};

use whichroom_wire::{Id, Mac};

use super::commands::{self, Guard, Wireless};
use super::{Advice, AdviceKind, Findings};
use crate::episodes::{Episode, EpisodeKind};
use crate::index::{ChangeKind, Index, Reading};
use crate::parameters::Parameters;
use crate::rows::{Band, Hearing, RadioState};
use crate::signal::is_served_elsewhere;
use crate::site::Site;

/// Minutes on a radio without which nothing is known about who needs it.
const MINUTES_LEAST: usize = 60;

/// Share of a radio's minutes that may fall below the floor.
const LOST_PERCENT: usize = 5;

/// So many bounces between two access points are worth a change.
const CHANGES_LEAST: u32 = 5;

/// Bounces between two access points.
struct Contest<'e> {
    changes: u32,
    episodes: Vec<&'e Episode>,
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
        for pair in &episode.pairs {
            let empty = || Contest { changes: 0, episodes: Vec::new() };
            let contest = contests.entry((&pair.a, &pair.b)).or_insert_with(empty);
            contest.changes += pair.changes;
            contest.episodes.push(episode);
        }
    }
    let mut contests: Vec<_> =
        contests.into_iter().filter(|(_, contest)| contest.changes >= CHANGES_LEAST).collect();
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
    if mean_dbm >= i32::from(parameters.sticky_dbm) {
        let who = format!("{who}: both serve it well, and neither is better");
        return lower(index, site, &who, radios, parameters);
    }
    let who = format!("{who}: both serve it badly, and neither is better");
    raise(site, &who, radios, parameters)
        .or_else(|| lower(index, site, &who, radios, parameters))
        .or_else(|| Some(missing(&who, mean_dbm)))
}

/// The louder radio a step down, if those who need it keep it; else the other one.
fn lower(
    index: &Index<'_>,
    site: &Site,
    who: &str,
    radios: &[&RadioState],
    parameters: &Parameters,
) -> Option<Advice> {
    let mut candidates: Vec<(&RadioState, i8)> =
        radios.iter().filter_map(|radio| Some((*radio, radio.txpower_dbm?))).collect();
    candidates.sort_by_key(|(radio, dbm)| (std::cmp::Reverse(*dbm), &radio.ap));
    let step_db = i8::try_from(parameters.power_step_db).ok()?;
    for (radio, now_dbm) in candidates {
        let next_dbm = now_dbm.saturating_sub(step_db);
        let Some(lost) = lost_percent(index, radio, parameters) else { continue };
        if next_dbm < parameters.power_min_dbm || lost > LOST_PERCENT {
            continue;
        }
        let name = site.ap_name(&radio.ap);
        let what = format!("{} from {now_dbm} to {next_dbm} dBm", radio.ifname);
        let options = [(Wireless::Radio("txpower"), next_dbm.to_string())];
        let undo = format!("txpower-{next_dbm}");
        let step = commands::wireless(&radio.ap, &[&radio.ifname], &undo, what, Guard::None, &options);
        return Some(Advice {
            kind: AdviceKind::LowerPower,
            reason: format!("{who}. {name} can be lowered."),
            expected: format!(
                "The phone prefers the other access point there. With {step_db} dB less, {lost} % of the minutes on \
                 {name} fall below {} dBm where nothing else serves them. Mark it with a note, wait a day, compare, \
                 and only then take the next step.",
                parameters.power_floor_dbm,
            ),
            caution: Some("All BSSs of this radio get quieter.".to_owned()),
            steps: step.into_iter().collect(),
        });
    }
    None
}

/// The quieter radio a step up, as far as that is allowed.
fn raise(site: &Site, who: &str, radios: &[&RadioState], parameters: &Parameters) -> Option<Advice> {
    let step_db = i8::try_from(parameters.power_step_db).ok()?;
    let limit = |radio: &RadioState| {
        site.power_limits_dbm.get(&radio.bssid).copied().or_else(|| usual_limit_dbm(radio.band()?))
    };
    let can_rise =
        |radio: &RadioState, now: i8| limit(radio).is_some_and(|limit| now.saturating_add(step_db) <= limit);
    let candidates = radios.iter().filter_map(|radio| Some((*radio, radio.txpower_dbm?)));
    let candidates = candidates.filter(|(radio, now)| can_rise(radio, *now));
    let (radio, now_dbm) = candidates.min_by_key(|(radio, dbm)| (*dbm, &radio.ap))?;
    let next_dbm = now_dbm.saturating_add(step_db);
    let name = site.ap_name(&radio.ap);
    let what = format!("{} from {now_dbm} to {next_dbm} dBm", radio.ifname);
    let options = [(Wireless::Radio("txpower"), next_dbm.to_string())];
    let undo = format!("txpower-{next_dbm}");
    let guard = Guard::AllowsPower(next_dbm);
    let step = commands::wireless(&radio.ap, &[&radio.ifname], &undo, what, guard, &options);
    Some(Advice {
        kind: AdviceKind::RaisePower,
        reason: format!("{who}. {name} can be raised."),
        expected:
            "One of the two becomes clearly better there, and the phone stays. Mark it with a note, wait a \
                   day, compare."
                .to_owned(),
        caution: Some(
            "The commands ask the access point what is allowed here, and refuse what is not. The phone's own \
             transmitter stays as it is: if that is what is too weak, only a nearer access point helps."
                .to_owned(),
        ),
        steps: step.into_iter().collect(),
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
