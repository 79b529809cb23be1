//! One row a client, ready to be drawn: bars, marks, episodes and the band of its signal.

use std::collections::BTreeMap;

use serde::Serialize;
use whichroom_wire::{Id, Mac};

use crate::episodes::{Episode, EpisodeKind, FastShare};
use crate::index::{ChangeKind, Index, Reading, Story};
use crate::rows::{Began, Ended, Hearing};
use crate::site::Device;
use crate::time::{MINUTE_MS, Range, Time};

/// Rows of all clients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// What it shows.
    pub range: Range,
    /// How long each [`SignalPoint`] is.
    pub step_ms: u64,
    /// One a client that was associated or heard, by name.
    pub rows: Vec<TimelineRow>,
}

/// One client.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimelineRow {
    /// Which.
    pub device: Device,
    /// Its associations, cut to the range.
    pub bars: Vec<Bar>,
    /// Those of them that are too short to be seen one by one.
    pub merged: Vec<Merged>,
    /// Its changes.
    pub marks: Vec<Mark>,
    /// Stretches of too many changes.
    pub episodes: Vec<EpisodeMark>,
    /// How its roams and changes of band began.
    pub fast: FastShare,
    /// Its signal where it was associated.
    pub signal: Vec<SignalPoint>,
}

/// An association.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// From.
    pub begin: Time,
    /// To.
    pub end: Time,
    /// The access point.
    pub ap: Id,
    /// The BSS.
    pub bssid: Mac,
    /// How it began.
    pub began: Began,
    /// How it ended; nothing while it lasts.
    pub ended: Option<Ended>,
}

/// Associations one after the other, each shorter than a column of the picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// When the first began.
    pub begin: Time,
    /// When the last ended.
    pub end: Time,
    /// How many there are, at least two.
    pub count: u32,
    /// How long it was on each access point, the longest first.
    pub shares: Vec<(Id, u64)>,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// When.
    pub at: Time,
    /// What kind.
    pub kind: ChangeKind,
    /// From which access point.
    pub from: Id,
    /// To which.
    pub to: Id,
    /// By fast transition, as far as known.
    pub is_fast: Option<bool>,
}

/// An [`Episode`] on a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EpisodeMark {
    /// What kind.
    pub kind: EpisodeKind,
    /// The first change.
    pub begin: Time,
    /// The last.
    pub end: Time,
    /// How many.
    pub changes: u32,
}

/// Signal of a stretch of time at one access point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignalPoint {
    /// Its beginning.
    pub at: Time,
    /// The access point.
    pub ap: Id,
    /// The weakest reading.
    pub min_dbm: i8,
    /// Mean of the minutes' means.
    pub mean_dbm: i8,
    /// The strongest.
    pub max_dbm: i8,
}

/// A merged stretch is this many columns wide at most, so that one still sees where a client changed more, or between
/// which others.
const MERGED_COLUMNS: u64 = 8;

/// Draws at most so many stretches of signal a row and access point; associations shorter than `column_ms` are merged.
pub(crate) fn build(index: &Index<'_>, episodes: &[Episode], points: u32, column_ms: u64) -> Timeline {
    let step_ms = (index.range.length_ms() / u64::from(points.max(1))).max(MINUTE_MS);
    let row = |(number, device, story): (_, &Device, &Story<'_>)| {
        let (bars, merged) = merge(bars(index.range, story), column_ms);
        TimelineRow {
            device: device.clone(),
            bars,
            merged,
            marks: marks(story),
            episodes: episodes.iter().filter(|episode| episode.device == *device).map(mark_episode).collect(),
            fast: fast_share(story),
            signal: signal(index, index.readings_of(number), step_ms),
        }
    };
    let mut rows: Vec<TimelineRow> = index.iter().map(row).collect();
    rows.sort_by(|a, b| a.device.cmp(&b.device));
    Timeline { range: index.range, step_ms, rows }
}

/// How a device's roams and changes of band began; a drop is no transition.
pub(crate) fn fast_share(story: &Story<'_>) -> FastShare {
    FastShare::of(story.changes.iter().filter(|change| change.kind != ChangeKind::Drop))
}

fn bars(range: Range, story: &Story<'_>) -> impl Iterator<Item = Bar> {
    let visible = story.spans.iter().filter(move |span| span.end >= range.from);
    let bar = move |span: &&crate::Span| Bar {
        begin: span.begin.max(range.from),
        end: span.end.min(range.to),
        ap: span.ap.clone(),
        bssid: span.bssid,
        began: span.began,
        ended: span.ended,
    };
    visible.map(bar)
}

/// Puts together what is too short to be seen, and what follows at once. What lasts stays as it is.
fn merge(bars: impl Iterator<Item = Bar>, column_ms: u64) -> (Vec<Bar>, Vec<Merged>) {
    let (mut kept, mut merged, mut run) = (Vec::new(), Vec::new(), Vec::new());
    let goes_on = |run: &[Bar], bar: &Bar| {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return false };
        bar.begin.since(last.end) < column_ms && bar.end.since(first.begin) <= MERGED_COLUMNS * column_ms
    };
    let mut close = |run: &mut Vec<Bar>, kept: &mut Vec<Bar>| {
        if run.len() > 1 {
            merged.push(Merged::of(run));
            run.clear();
        }
        kept.append(run);
    };
    for bar in bars {
        let is_brief = bar.ended.is_some() && bar.end.since(bar.begin) < column_ms;
        if !is_brief || !goes_on(&run, &bar) {
            close(&mut run, &mut kept);
        }
        if is_brief { run.push(bar) } else { kept.push(bar) }
    }
    close(&mut run, &mut kept);
    (kept, merged)
}

impl Merged {
    fn of(bars: &[Bar]) -> Merged {
        let mut lengths: BTreeMap<&Id, u64> = BTreeMap::new();
        for bar in bars {
            *lengths.entry(&bar.ap).or_default() += bar.end.since(bar.begin);
        }
        let mut shares: Vec<(Id, u64)> = lengths.into_iter().map(|(ap, ms)| (ap.clone(), ms)).collect();
        shares.sort_by_key(|(_, ms)| std::cmp::Reverse(*ms));
        Merged {
            begin: bars.iter().map(|bar| bar.begin).min().unwrap_or_default(),
            end: bars.iter().map(|bar| bar.end).max().unwrap_or_default(),
            count: u32::try_from(bars.len()).unwrap_or(u32::MAX),
            shares,
        }
    }
}

fn marks(story: &Story<'_>) -> Vec<Mark> {
    let mark = |change: &crate::index::Change<'_>| Mark {
        at: change.at,
        kind: change.kind,
        from: change.from.ap.clone(),
        to: change.to.ap.clone(),
        is_fast: change.is_fast(),
    };
    story.changes.iter().map(mark).collect()
}

fn mark_episode(episode: &Episode) -> EpisodeMark {
    let Episode { kind, begin, end, changes, .. } = *episode;
    EpisodeMark { kind, begin, end, changes }
}

fn signal(index: &Index<'_>, readings: &[Reading], step_ms: u64) -> Vec<SignalPoint> {
    struct Sum {
        min_dbm: i8,
        max_dbm: i8,
        sum_dbm: i64,
        count: i64,
    }
    let mut sums: BTreeMap<(u64, u16), Sum> = BTreeMap::new();
    for reading in readings.iter().filter(|reading| reading.hearing == Hearing::Associated) {
        let step = reading.minute.since(index.range.from) / step_ms;
        let empty = || Sum { min_dbm: i8::MAX, max_dbm: i8::MIN, sum_dbm: 0, count: 0 };
        let sum = sums.entry((step, reading.ap)).or_insert_with(empty);
        sum.min_dbm = sum.min_dbm.min(reading.min_dbm);
        sum.max_dbm = sum.max_dbm.max(reading.max_dbm);
        sum.sum_dbm += i64::from(reading.mean_dbm);
        sum.count += 1;
    }
    let point = |((step, ap), sum): ((u64, u16), Sum)| SignalPoint {
        at: index.range.from.after(step * step_ms),
        ap: index.ap(ap).clone(),
        min_dbm: sum.min_dbm,
        mean_dbm: i8::try_from(sum.sum_dbm / sum.count.max(1)).unwrap_or(sum.min_dbm),
        max_dbm: sum.max_dbm,
    };
    sums.into_iter().map(point).collect()
}
