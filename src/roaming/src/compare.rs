//! Did it help? The same clients over equal spans before and after a note, with an interval that knows how uneven
//! roaming is: an hour of bouncing is one piece of bad luck, not fifty.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::index::{DeviceNumber, Index};
use crate::parameters::Parameters;
use crate::rows::{Hearing, Note, Rows};
use crate::signal::is_weak;
use crate::site::Site;
use crate::time::{MINUTE_MS, Range, Time};

/// What is near the change does not count: a change of the radio disconnects everybody once.
const SETTLE_MS: u64 = 10 * MINUTE_MS;

const HOUR_MS: u64 = 60 * MINUTE_MS;

const DAY_MS: u64 = 24 * HOUR_MS;

/// Notes that are no further apart are one change: somebody writes one, and the access points show another.
const TOGETHER_MS: u64 = 30 * MINUTE_MS;

/// A client counts if it was connected for so long on both sides.
const CONNECTED_LEAST_MS: u64 = HOUR_MS;

/// Fewer events than this on both sides together prove nothing.
const EVENTS_LEAST: u64 = 10;

/// Unevenness is looked for between stretches of these lengths.
const BLOCKS_MS: [u64; 2] = [3 * HOUR_MS, DAY_MS];

/// Quantile of the normal distribution for two intervals that hold together with 95 %.
const QUANTILE: f64 = 2.24;

/// A change, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The change; several notes within half an hour are one.
    pub note: Note,
    /// What came of it.
    pub verdict: Verdict,
    /// That in words, with the figures.
    pub because: String,
    /// The span before.
    pub before: Range,
    /// The span after, equally long.
    pub after: Range,
    /// Clients that were there on both sides.
    pub clients: u32,
    /// What was compared; empty if the spans are too short.
    pub measures: Vec<Measure>,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// One measure fell for certain, and none rose.
    Better,
    /// One measure rose for certain.
    Worse,
    /// It may be either.
    NotEnoughData,
}

/// One thing that was counted before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measure {
    /// What.
    pub what: Counted,
    /// Before.
    pub before: Rate,
    /// After.
    pub after: Rate,
    /// Rate after divided by rate before: the interval that holds it with 95 % (over both measures together).
    pub ratio_low: f64,
    /// Its upper end.
    pub ratio_high: f64,
    /// The most likely ratio; it is nothing without its interval.
    pub ratio: f64,
    /// How much more uneven the events are than chance alone: 1 is a Poisson process.
    pub dispersion: f64,
}

/// What a [`Measure`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// Changes of association of every kind, an hour of connection.
    Changes,
    /// Weak minutes, an hour with signal.
    WeakMinutes,
}

/// Events over a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// How many.
    pub events: u64,
    /// In how many hours.
    pub hours: f64,
}

impl Rate {
    /// Events an hour.
    pub fn per_hour(self) -> f64 {
        if self.hours > 0.0 { self.events as f64 / self.hours } else { 0.0 }
    }
}

/// Compares before and after each of the notes in `rows`, which reach over `known`. Between two notes, each has the
/// time up to its neighbour.
pub(crate) fn compare_all(
    rows: Rows<'_>,
    site: &Site,
    known: Range,
    parameters: &Parameters,
) -> Vec<Comparison> {
    let mut notes: Vec<&Note> = rows.notes.iter().filter(|note| known.contains(note.at)).collect();
    notes.sort_by_key(|note| note.at);
    let changes: Vec<&[&Note]> = notes.chunk_by(|a, b| b.at.since(a.at) <= TOGETHER_MS).collect();
    let mut comparisons = Vec::new();
    for (position, change) in changes.iter().enumerate() {
        let end_of = |change: &&[&Note]| change.last().map(|note| note.at.after(SETTLE_MS));
        let begin_of = |change: &&[&Note]| change.first().map(|note| note.at.before(SETTLE_MS));
        let before = position.checked_sub(1).and_then(|before| end_of(&changes[before]));
        let after = changes.get(position + 1).and_then(begin_of);
        let free = Range::new(before.unwrap_or(known.from), after.unwrap_or(known.to));
        comparisons.extend(compare(rows, site, change, free, parameters));
    }
    comparisons
}

/// Compares before and after some notes that are one change. `free` of other changes is this range.
fn compare(
    rows: Rows<'_>,
    site: &Site,
    change: &[&Note],
    free: Range,
    parameters: &Parameters,
) -> Option<Comparison> {
    let (first, last) = (change.first()?, change.last()?);
    let texts: Vec<&str> = change.iter().map(|note| note.text.as_str()).collect();
    let (end, begin) = (first.at.before(SETTLE_MS), last.at.after(SETTLE_MS));
    let available_ms = end.since(free.from).min(free.to.since(begin)).min(parameters.compare_most_ms);
    // Whole days, so that both sides have as many nights.
    let length_ms = if available_ms >= DAY_MS { available_ms / DAY_MS * DAY_MS } else { available_ms };
    let mut comparison = Comparison {
        note: Note { at: first.at, text: texts.join("; ") },
        verdict: Verdict::NotEnoughData,
        because: String::new(),
        before: Range::new(end.before(length_ms), end),
        after: Range::new(begin, begin.after(length_ms)),
        clients: 0,
        measures: Vec::new(),
    };
    if length_ms < parameters.compare_least_ms {
        comparison.because = format!(
            "{} h on both sides of it are needed, and {:.1} h are there",
            parameters.compare_least_ms / HOUR_MS,
            length_ms as f64 / HOUR_MS as f64,
        );
        return Some(comparison);
    }
    let sides = [comparison.before, comparison.after].map(|range| Side::new(rows, site, range, parameters));
    let both: Vec<&crate::Device> =
        sides[0].blocks.keys().filter(|device| sides[1].blocks.contains_key(device)).collect();
    comparison.clients = u32::try_from(both.len()).unwrap_or(u32::MAX);
    comparison.measures = [Counted::Changes, Counted::WeakMinutes]
        .into_iter()
        .map(|what| measure(what, &both, &sides))
        .collect();
    (comparison.verdict, comparison.because) = judge(&comparison.measures);
    Some(comparison)
}

fn judge(measures: &[Measure]) -> (Verdict, String) {
    let words = |measure: &Measure| {
        let what = match measure.what {
            Counted::Changes => "changes of association an hour",
            Counted::WeakMinutes => "weak minutes an hour",
        };
        let (before, after) = (measure.before.per_hour(), measure.after.per_hour());
        let (low, high) = (measure.ratio_low, measure.ratio_high);
        format!("{what} {before:.2} before, {after:.2} after: {low:.2} to {high:.2} times as many")
    };
    let enough = |measure: &&Measure| measure.before.events + measure.after.events >= EVENTS_LEAST;
    let known: Vec<&Measure> = measures.iter().filter(enough).collect();
    let because = known.iter().copied().map(words).collect::<Vec<_>>().join("; ");
    if known.iter().any(|measure| measure.ratio_low > 1.0) {
        return (Verdict::Worse, because);
    }
    if known.iter().any(|measure| measure.ratio_high < 1.0) {
        return (Verdict::Better, because);
    }
    if known.is_empty() {
        return (Verdict::NotEnoughData, format!("fewer than {EVENTS_LEAST} events on both sides together"));
    }
    (Verdict::NotEnoughData, format!("{because}, which may be chance"))
}

/// Events and exposure of one client, in stretches of the shortest block.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    changes: u64,
    connected_ms: u64,
    weak: u64,
    minutes: u64,
}

impl Block {
    fn of(self, what: Counted) -> (u64, f64) {
        match what {
            Counted::Changes => (self.changes, self.connected_ms as f64 / HOUR_MS as f64),
            Counted::WeakMinutes => (self.weak, self.minutes as f64 / 60.0),
        }
    }
}

/// One side of the comparison: blocks of each client that was connected long enough.
struct Side {
    blocks: BTreeMap<crate::Device, Vec<Block>>,
}

impl Side {
    fn new(rows: Rows<'_>, site: &Site, range: Range, parameters: &Parameters) -> Side {
        let index = Index::new(rows, site, range, parameters);
        let clients =
            index.iter().map(|(number, device, _)| (device.clone(), blocks(&index, number, parameters)));
        let connected = |blocks: &[Block]| blocks.iter().map(|block| block.connected_ms).sum::<u64>();
        Side { blocks: clients.filter(|(_, blocks)| connected(blocks) >= CONNECTED_LEAST_MS).collect() }
    }
}

fn blocks(index: &Index<'_>, device: DeviceNumber, parameters: &Parameters) -> Vec<Block> {
    let range = index.range;
    let length_ms = BLOCKS_MS[0];
    let count = usize::try_from(range.length_ms().div_ceil(length_ms)).unwrap_or(0);
    let mut blocks = vec![Block::default(); count];
    let position = |at: Time| usize::try_from(at.since(range.from) / length_ms).unwrap_or(usize::MAX);
    let story = &index.stories[device as usize];
    for change in &story.changes {
        if let Some(block) = blocks.get_mut(position(change.at)) {
            block.changes += 1;
        }
    }
    for span in &story.spans {
        let last = position(span.end.min(range.to)).min(count.saturating_sub(1));
        for (number, block) in blocks.iter_mut().enumerate().take(last + 1).skip(position(span.begin)) {
            let from = range.from.after(number as u64 * length_ms);
            let to = from.after(length_ms).min(range.to);
            block.connected_ms += Range::new(from, to).overlap_ms(span.begin, span.end);
        }
    }
    for reading in index.readings_of(device).iter().filter(|reading| reading.hearing == Hearing::Associated) {
        if let Some(block) = blocks.get_mut(position(reading.minute)) {
            block.minutes += 1;
            block.weak += u64::from(is_weak(index, reading, parameters));
        }
    }
    blocks
}

fn measure(what: Counted, clients: &[&crate::Device], sides: &[Side; 2]) -> Measure {
    let blocks = |side: usize| clients.iter().filter_map(move |client| sides[side].blocks.get(client));
    let rate = |side: usize| {
        let (mut events, mut hours) = (0, 0.0);
        for block in blocks(side).flatten() {
            let (more, exposure) = block.of(what);
            events += more;
            hours += exposure;
        }
        Rate { events, hours }
    };
    let (before, after) = (rate(0), rate(1));
    let all = || (0..2).flat_map(&blocks).map(Vec::as_slice);
    let (dispersion, freedom) = BLOCKS_MS
        .map(|length_ms| dispersion(what, all(), usize::try_from(length_ms / BLOCKS_MS[0]).unwrap_or(1)))
        .into_iter()
        .fold((1.0, f64::INFINITY), |worst, found| if found.0 > worst.0 { found } else { worst });
    // Half an event on each side keeps the logarithm finite, and hardly moves it otherwise.
    let (n_before, n_after) = (before.events as f64 + 0.5, after.events as f64 + 0.5);
    let ratio = (n_after / after.hours.max(0.1)) / (n_before / before.hours.max(0.1));
    let deviation = (dispersion * (1.0 / n_before + 1.0 / n_after)).sqrt();
    let reach = quantile(freedom) * deviation;
    let (ratio_low, ratio_high) = (ratio * (-reach).exp(), ratio * reach.exp());
    Measure { what, before, after, ratio_low, ratio_high, ratio, dispersion }
}

/// Pearson's estimate of how much more events vary between blocks of a client than chance alone would make them, and
/// from how many degrees of freedom it comes.
fn dispersion<'b>(what: Counted, clients: impl Iterator<Item = &'b [Block]>, join: usize) -> (f64, f64) {
    let (mut chi_squared, mut freedom) = (0.0, 0.0);
    for client in clients {
        let joined: Vec<(f64, f64)> = client
            .chunks(join)
            .map(|chunk| {
                let of = chunk.iter().map(|block| block.of(what));
                of.fold((0.0, 0.0), |(events, hours), (n, h)| (events + n as f64, hours + h))
            })
            .filter(|(_, hours)| *hours > 0.0)
            .collect();
        let events: f64 = joined.iter().map(|(events, _)| events).sum();
        let hours: f64 = joined.iter().map(|(_, hours)| hours).sum();
        if events == 0.0 || joined.len() < 2 {
            continue;
        }
        for (n, h) in &joined {
            let expected = events / hours * h;
            chi_squared += (n - expected).powi(2) / expected;
        }
        freedom += joined.len() as f64 - 1.0;
    }
    if freedom > 0.0 { (chi_squared / freedom, freedom) } else { (1.0, f64::INFINITY) }
}

/// Student's quantile from the normal one (Cornish and Fisher's first term): few degrees of freedom are less sure.
fn quantile(freedom: f64) -> f64 {
    QUANTILE + (QUANTILE.powi(3) + QUANTILE) / (4.0 * freedom.max(1.0))
}
