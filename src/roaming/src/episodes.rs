//! Stretches of time in which a device changes its association too often.
//!
//! All three kinds count in windows that slide from event to event, so no single gap decides: sixty-one seconds
//! between two bounces are worth as much as sixty.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use whichroom_wire::Id;

use crate::index::{Change, ChangeKind, DeviceNumber, Index, Story};
use crate::parameters::Parameters;
use crate::rows::Hearing;
use crate::site::Device;
use crate::time::Time;

/// What an [`Episode`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpisodeKind {
    /// At least `thrash_returns` (5) returns within `thrash_window_ms` (10 min). A return is a roam to an access
    /// point that the device left within that window; any number of access points may take part.
    Thrashing,
    /// At least `slow_returns` (8) returns within `slow_window_ms` (4 h) that are no thrashing, each to an access point
    /// that was left within `slow_return_ms` (30 min), and with a gain of less than `worthwhile_gain_db` (10 dB) or an
    /// unknown one. What gains more is a walk through the house.
    SlowPingPong,
    /// At least `flap_changes` (4) times within `flap_window_ms` (1 h) the device was lost and back on the same
    /// access point within `change_gap_ms` (2 min), or changed between its BSSs.
    SameApFlapping,
}

/// A stretch of too many changes. A change belongs to one episode at most.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Episode {
    /// Whose.
    pub device: Device,
    /// Of which kind.
    pub kind: EpisodeKind,
    /// The first change.
    pub begin: Time,
    /// The last one.
    pub end: Time,
    /// How many there were.
    pub changes: u32,
    /// The highest rate of any window: returns, or drops and changes of band, an hour.
    pub peak_per_hour: u32,
    /// The access points that took part.
    pub aps: Vec<Id>,
    /// The pairs in it, most changes first.
    pub pairs: Vec<Pair>,
    /// Signal while it lasted, on the access points it was associated with.
    pub signal: Option<Signal>,
    /// How the associations began.
    pub fast: FastShare,
}

/// Changes between two access points, in either direction; the same twice for changes on one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// One.
    pub a: Id,
    /// The other.
    pub b: Id,
    /// How many changes.
    pub changes: u32,
}

/// A band of signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Signal {
    /// The weakest reading.
    pub min_dbm: i8,
    /// Mean of the minutes' means.
    pub mean_dbm: i8,
    /// The strongest reading.
    pub max_dbm: i8,
}

/// How associations began that were changes from another BSS. The share is that of the known ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FastShare {
    /// By fast transition (802.11r).
    pub fast: u32,
    /// By a full handshake.
    pub full: u32,
    /// The access point did not say.
    pub unknown: u32,
}

impl FastShare {
    pub(crate) fn add(&mut self, is_fast: Option<bool>) {
        match is_fast {
            Some(true) => self.fast += 1,
            Some(false) => self.full += 1,
            None => self.unknown += 1,
        }
    }

    /// Of several changes.
    pub(crate) fn of<'a>(changes: impl Iterator<Item = &'a Change<'a>>) -> FastShare {
        let mut share = FastShare::default();
        changes.for_each(|change| share.add(change.is_fast()));
        share
    }

    /// Share of fast transitions among those whose beginning is known.
    pub fn percent(self) -> Option<u32> {
        let known = self.fast + self.full;
        (known > 0).then(|| self.fast * 100 / known)
    }
}

/// Events `first` to `last` that belong together, and the most of them in one window.
struct Run {
    first: usize,
    last: usize,
    peak: u32,
}

/// A return, by the position of its roam and of the roam that left where it returns to.
struct Return {
    position: usize,
    departure: usize,
}

/// The episodes of all devices, worst first.
pub(crate) fn find(index: &Index<'_>, parameters: &Parameters) -> Vec<Episode> {
    let mut episodes: Vec<Episode> =
        index.iter().flat_map(|(number, _, story)| of_device(index, number, story, parameters)).collect();
    episodes.sort_by(|a, b| {
        (a.kind, b.changes, a.begin, &a.device).cmp(&(b.kind, a.changes, b.begin, &b.device))
    });
    episodes
}

fn of_device(
    index: &Index<'_>,
    device: DeviceNumber,
    story: &Story<'_>,
    parameters: &Parameters,
) -> Vec<Episode> {
    let of_kind = |is_meant: &dyn Fn(&Change<'_>) -> bool| -> Vec<&Change<'_>> {
        story.changes.iter().filter(|change| is_meant(change)).collect()
    };
    let roams = of_kind(&|change| change.kind == ChangeKind::Roam);
    let episode = |kind, members: &[&Change<'_>], peak, window_ms| {
        let peak_per_hour = per_hour(peak, window_ms);
        describe(index, device, kind, members, peak_per_hour)
    };
    let mut episodes = Vec::new();
    let mut thrashing = BTreeSet::new();
    let fast_returns = returns(&roams, parameters.thrash_window_ms, |_| true);
    for run in runs_of_returns(&roams, &fast_returns, parameters.thrash_window_ms, parameters.thrash_returns)
    {
        thrashing.extend(run.first..=run.last);
        let members = &roams[run.first..=run.last];
        episodes.extend(episode(EpisodeKind::Thrashing, members, run.peak, parameters.thrash_window_ms));
    }
    let gained_nothing = |change: &Change<'_>| {
        change.gain_db.is_none_or(|gain| gain < i16::from(parameters.worthwhile_gain_db))
    };
    let mut slow_returns = returns(&roams, parameters.slow_return_ms, gained_nothing);
    slow_returns.retain(|back| !thrashing.contains(&back.position));
    for run in runs_of_returns(&roams, &slow_returns, parameters.slow_window_ms, parameters.slow_returns) {
        let positions = (run.first..=run.last).filter(|position| !thrashing.contains(position));
        let members: Vec<&Change<'_>> = positions.map(|position| roams[position]).collect();
        episodes.extend(episode(EpisodeKind::SlowPingPong, &members, run.peak, parameters.slow_window_ms));
    }
    let mut flaps: BTreeMap<&Id, Vec<&Change<'_>>> = BTreeMap::new();
    for change in of_kind(&|change| change.kind != ChangeKind::Roam) {
        flaps.entry(&change.to.ap).or_default().push(change);
    }
    for changes in flaps.values() {
        let times: Vec<Time> = changes.iter().map(|change| change.at).collect();
        for run in runs(&times, parameters.flap_window_ms, parameters.flap_changes) {
            let members = &changes[run.first..=run.last];
            episodes.extend(episode(
                EpisodeKind::SameApFlapping,
                members,
                run.peak,
                parameters.flap_window_ms,
            ));
        }
    }
    episodes
}

/// Roams to where the device came from within a window, of those that count.
fn returns(roams: &[&Change<'_>], window_ms: u64, counts: impl Fn(&Change<'_>) -> bool) -> Vec<Return> {
    let mut left: BTreeMap<&Id, usize> = BTreeMap::new();
    let mut returns = Vec::new();
    for (position, roam) in roams.iter().enumerate() {
        let departure = left.get(&roam.to.ap).copied();
        if let Some(departure) = departure.filter(|&left| roam.at.since(roams[left].at) <= window_ms) {
            if counts(roam) {
                returns.push(Return { position, departure });
            }
        }
        left.insert(&roam.from.ap, position);
    }
    returns
}

/// Runs in terms of roams: from where the first return comes from to the last return.
fn runs_of_returns(roams: &[&Change<'_>], returns: &[Return], window_ms: u64, least: u32) -> Vec<Run> {
    let times: Vec<Time> = returns.iter().map(|back| roams[back.position].at).collect();
    let mut free = 0;
    let mut result = Vec::new();
    for run in runs(&times, window_ms, least) {
        let first = returns[run.first].departure.max(free);
        let last = returns[run.last].position;
        free = last + 1;
        result.push(Run { first, last, peak: run.peak });
    }
    result
}

/// Joins all windows that hold at least so many events.
fn runs(times: &[Time], window_ms: u64, least: u32) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut first = 0;
    for (last, time) in times.iter().enumerate() {
        while time.since(times[first]) > window_ms {
            first += 1;
        }
        let count = u32::try_from(last - first + 1).unwrap_or(u32::MAX);
        if count < least {
            continue;
        }
        match runs.last_mut().filter(|run| first <= run.last) {
            Some(run) => (run.last, run.peak) = (last, run.peak.max(count)),
            None => runs.push(Run { first, last, peak: count }),
        }
    }
    runs
}

fn per_hour(count: u32, window_ms: u64) -> u32 {
    u32::try_from(u64::from(count) * 3_600_000 / window_ms.max(1)).unwrap_or(u32::MAX)
}

fn describe(
    index: &Index<'_>,
    device: DeviceNumber,
    kind: EpisodeKind,
    members: &[&Change<'_>],
    peak_per_hour: u32,
) -> Option<Episode> {
    let (begin, end) = (members.first()?.at, members.last()?.at);
    let mut pairs: BTreeMap<(&Id, &Id), u32> = BTreeMap::new();
    for change in members {
        let (a, b) = (&change.from.ap, &change.to.ap);
        *pairs.entry((a.min(b), a.max(b))).or_default() += 1;
    }
    let aps: BTreeSet<Id> = pairs.keys().flat_map(|(a, b)| [(*a).clone(), (*b).clone()]).collect();
    let pair = |((a, b), changes): ((&Id, &Id), u32)| Pair { a: a.clone(), b: b.clone(), changes };
    let mut pairs: Vec<Pair> = pairs.into_iter().map(pair).collect();
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.changes));
    Some(Episode {
        device: index.devices[device as usize].clone(),
        kind,
        begin,
        end,
        changes: u32::try_from(members.len()).unwrap_or(u32::MAX),
        peak_per_hour,
        aps: aps.into_iter().collect(),
        pairs,
        signal: signal(index, device, begin, end),
        fast: FastShare::of(members.iter().copied()),
    })
}

/// Signal of a device's associations from the minute of `begin` to that of `end`.
pub(crate) fn signal(index: &Index<'_>, device: DeviceNumber, begin: Time, end: Time) -> Option<Signal> {
    let readings = index.readings_of(device);
    let first = readings.partition_point(|reading| reading.minute < begin.minute());
    let during = readings[first..].iter().take_while(|reading| reading.minute <= end);
    let associated = during.filter(|reading| reading.hearing == Hearing::Associated);
    let (mut count, mut sum, mut min_dbm, mut max_dbm) = (0i64, 0i64, 0i8, i8::MIN);
    for reading in associated {
        count += 1;
        sum += i64::from(reading.mean_dbm);
        min_dbm = min_dbm.min(reading.min_dbm);
        max_dbm = max_dbm.max(reading.max_dbm);
    }
    let mean_dbm = i8::try_from(sum.checked_div(count)?).ok()?;
    Some(Signal { min_dbm, mean_dbm, max_dbm })
}
