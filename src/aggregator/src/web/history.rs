//! What the page draws of the past: timelines and reports, read from the history's file on a thread of its own, so
//! that neither a decision nor an open page waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use whichroom_roaming::{
    Analysis, Bar, Began, Ended, EpisodeMark, FastShare, Hearing, Merged, NamedDevice, Note, Parameters,
    RadioState, Range, SignalPoint, Site, Time, Timeline,
};
use whichroom_wire::{Id, Mac};

use super::Shared;
use super::commands::{error as refuse, json as json_text};
use crate::history::{Material, Reader};
use crate::report::report_on;

/// Longest stretch that is asked for at once.
const RANGE_MAX_MS: u64 = 100 * 24 * 3_600_000;

/// How wide a picture is taken to be that does not say, and the widest, in pixels.
const COLUMNS: u32 = 1_500;
const COLUMNS_MAX: u32 = 10_000;
/// A stretch of signal is as wide.
const COLUMNS_A_POINT: u32 = 4;

/// Where the page finds the past.
#[derive(Clone)]
pub struct Past {
    /// The history's file.
    pub path: PathBuf,
    /// What the home is called now.
    pub site: watch::Receiver<Arc<Site>>,
}

/// What is asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    /// Milliseconds since 1970.
    from: i64,
    /// The same.
    to: i64,
    /// One device, by one of its MACs; all if none.
    mac: Option<String>,
    /// How many pixels wide the stretch is drawn.
    columns: Option<u32>,
}

/// A timeline as the page takes it: access points are numbers, what there is much of is lists, and their times are
/// milliseconds since `from`.
#[derive(Serialize)]
struct Drawn<'a> {
    from: Time,
    to: Time,
    /// Of the signal.
    step_ms: u64,
    aps: Vec<NamedAp<'a>>,
    rows: Vec<DrawnRow<'a>>,
    notes: &'a [Note],
}

#[derive(Serialize)]
struct NamedAp<'a> {
    id: &'a Id,
    name: &'a str,
}

#[derive(Serialize)]
struct DrawnRow<'a> {
    name: &'a str,
    mac: Mac,
    roams: usize,
    fast: FastShare,
    episodes: &'a [EpisodeMark],
    /// Beginning, end, access point, how it began, how it ended.
    bars: Vec<(u64, u64, usize, Began, Option<Ended>)>,
    /// Beginning, end, how many associations, and how long it was where.
    merged: Vec<(u64, u64, u32, Vec<OnAp>)>,
    /// Which step, access point, weakest, mean, strongest.
    signal: Vec<(u64, usize, i8, i8, i8)>,
}

/// An access point, and for how many milliseconds.
type OnAp = (usize, u64);

/// Access points of a timeline by number.
struct Aps<'a> {
    ids: BTreeSet<&'a Id>,
    site: &'a Site,
}

impl<'a> Aps<'a> {
    fn number(&self, id: &Id) -> usize {
        self.ids.range::<Id, _>(..id).count()
    }

    fn named(&self) -> Vec<NamedAp<'a>> {
        self.ids.iter().map(|id| NamedAp { id, name: self.site.ap_name(id) }).collect()
    }
}

fn drawn<'a>(timeline: &'a Timeline, site: &'a Site, notes: &'a [Note]) -> Drawn<'a> {
    let Timeline { range, step_ms, rows } = timeline;
    let of_bars = rows.iter().flat_map(|row| row.bars.iter().map(|bar| &bar.ap));
    let of_merged = rows.iter().flat_map(|row| row.merged.iter().flat_map(|merged| &merged.shares));
    let of_signal = rows.iter().flat_map(|row| row.signal.iter().map(|point| &point.ap));
    let aps = of_bars.chain(of_merged.map(|(ap, _)| ap)).chain(of_signal).collect();
    let aps = Aps { ids: aps, site };
    let ms = |time: Time| time.since(range.from);
    let rows = rows.iter().filter(|row| !row.bars.is_empty() || !row.merged.is_empty());
    let rows = rows.map(|row| {
        let bar = |bar: &Bar| (ms(bar.begin), ms(bar.end), aps.number(&bar.ap), bar.began, bar.ended);
        let share = |(ap, ms): &(Id, u64)| (aps.number(ap), *ms);
        let merged = |merged: &Merged| {
            let Merged { begin, end, count, shares } = merged;
            (ms(*begin), ms(*end), *count, shares.iter().map(share).collect())
        };
        let point = |point: &SignalPoint| {
            let SignalPoint { at, ap, min_dbm, mean_dbm, max_dbm } = point;
            (ms(*at) / step_ms, aps.number(ap), *min_dbm, *mean_dbm, *max_dbm)
        };
        DrawnRow {
            name: &row.device.name,
            mac: row.device.mac,
            roams: row.marks.len(),
            fast: row.fast,
            episodes: &row.episodes,
            bars: row.bars.iter().map(bar).collect(),
            merged: row.merged.iter().map(merged).collect(),
            signal: row.signal.iter().map(point).collect(),
        }
    });
    let rows = rows.collect();
    Drawn { from: range.from, to: range.to, step_ms: *step_ms, rows, aps: aps.named(), notes }
}

/// `GET /api/timeline`.
pub(super) async fn timeline(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    let columns = asked.columns.unwrap_or(COLUMNS).clamp(1, COLUMNS_MAX);
    answer(shared, asked, move |reader, site, range, macs| {
        let material = Material::of_timeline(reader, range, macs)?;
        let parameters = Parameters::default();
        let analysis = Analysis::new(material.rows(), site, range, &parameters);
        let timeline = analysis.timeline(columns / COLUMNS_A_POINT, range.length_ms() / u64::from(columns));
        Ok(serde_json::to_string(&drawn(&timeline, site, &material.notes)))
    })
    .await
}

/// What is known of one device: associations, and every signal of it.
#[derive(Serialize)]
struct Followed<'a> {
    /// What the configuration calls it.
    name: Option<&'a str>,
    aps: Vec<NamedAp<'a>>,
    bars: Vec<(Time, Time, usize, Began, Option<Ended>)>,
    /// Minute, access point, where it comes from, mean.
    signals: Vec<(Time, usize, Hearing, i8)>,
    /// From when on, and in which rooms it may have been, each with its percent.
    likely: Vec<(Time, Vec<(Id, u8)>)>,
}

/// `GET /api/device`: of the device with `mac`.
pub(super) async fn device(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    answer(shared, asked, |reader, site, range, macs| {
        let (spans, signals) = (reader.spans(range, macs)?, reader.signals(range, macs, None)?);
        let ids = spans.iter().map(|span| &span.ap).chain(signals.iter().map(|signal| &signal.ap));
        let aps = Aps { ids: ids.collect(), site };
        let bars = spans.iter();
        let bars = bars.map(|span| (span.begin, span.end, aps.number(&span.ap), span.began, span.ended));
        let signals = signals.iter();
        let signals =
            signals.map(|signal| (signal.minute, aps.number(&signal.ap), signal.hearing, signal.mean_dbm));
        let is_it =
            |named: &&NamedDevice| macs.is_some_and(|macs| named.macs.iter().any(|mac| macs.contains(mac)));
        let likely = reader.likely(range, macs)?.into_iter();
        let mut likely: Vec<_> = likely.map(|likely| (likely.minute, likely.rooms)).collect();
        likely.sort_by_key(|(minute, _)| *minute);
        let name = site.devices.iter().find(is_it).map(|named| named.name.as_str());
        let followed =
            Followed { name, bars: bars.collect(), signals: signals.collect(), likely, aps: aps.named() };
        Ok(serde_json::to_string(&followed))
    })
    .await
}

/// `GET /api/radios`: the last state of every BSS in the range.
pub(super) async fn radios(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    answer(shared, asked, |reader, _, range, _| {
        let states = reader.radios(range)?.into_iter().map(|state| ((state.ap.clone(), state.bssid), state));
        // Later states of a BSS replace earlier ones.
        let last: BTreeMap<(Id, Mac), RadioState> = states.collect();
        Ok(serde_json::to_string(&last.into_values().collect::<Vec<_>>()))
    })
    .await
}

/// `GET /api/report`.
pub(super) async fn report(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    answer(shared, asked, |reader, site, range, macs| {
        let material = Material::of_report(reader, range)?;
        Ok(serde_json::to_string(&report_on(material, site, range, macs)))
    })
    .await
}

async fn answer(
    shared: Arc<Shared>,
    asked: Asked,
    look: impl FnOnce(
        &Reader,
        &Site,
        Range,
        Option<&BTreeSet<Mac>>,
    ) -> rusqlite::Result<serde_json::Result<String>>
    + Send
    + 'static,
) -> Response {
    let Some(past) = shared.desk.past.clone() else {
        return refuse(StatusCode::NOT_FOUND, "no history is kept: [history] enabled is false");
    };
    let range = Range::new(Time::from_ms(asked.from), Time::from_ms(asked.to));
    if range.length_ms() == 0 || range.length_ms() > RANGE_MAX_MS {
        return refuse(
            StatusCode::BAD_REQUEST,
            "from and to are milliseconds since 1970, at most 100 days apart",
        );
    }
    let mac: Option<Mac> = match asked.mac.as_deref().map(str::parse).transpose() {
        Ok(mac) => mac,
        Err(_) => return refuse(StatusCode::BAD_REQUEST, "mac is no MAC"),
    };
    // One look at a time: a browser that asks often waits for itself.
    let Ok(_turn) = shared.looks.acquire().await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the aggregator is stopping");
    };
    let looked = spawn_blocking(move || {
        let site = past.site.borrow().clone();
        let macs = mac.map(|mac| site.macs_of(mac));
        let reader = Reader::open(&past.path).map_err(|error| error.to_string())?;
        let json = look(&reader, &site, range, macs.as_ref()).map_err(|error| error.to_string())?;
        json.map_err(|error| error.to_string())
    });
    match looked.await {
        Ok(Ok(json)) => json_text(StatusCode::OK, json),
        Ok(Err(why)) => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, &format!("the history does not read: {why}"))
        }
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the look at the history broke off; see the log"),
    }
}
