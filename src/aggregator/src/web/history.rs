//! What the page draws of the past: timelines and reports, read from the history's file on a thread of its own, so
//! that neither a decision nor an open page waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use whichroom_roaming::{Analysis, Parameters, Range, Site, Time, Timeline};
use whichroom_wire::{Id, Mac};

use super::Shared;
use crate::history::{Material, Reader};
use crate::report::report_of;

/// Longest stretch that is asked for at once.
const RANGE_MAX_MS: u64 = 100 * 24 * 3_600_000;

/// Points of signal a row and access point; a screen has no more pixels to show them.
const POINTS: u32 = 400;

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
}

/// A timeline with the names it needs.
#[derive(Serialize)]
struct Drawn<'a> {
    #[serde(flatten)]
    timeline: &'a Timeline,
    aps: &'a BTreeMap<Id, String>,
    notes: &'a [whichroom_roaming::Note],
}

/// `GET /api/timeline`.
pub(super) async fn timeline(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    answer(shared, asked, |reader, site, range, macs| {
        let material = Material::of_timeline(reader, range, macs)?;
        let parameters = Parameters::default();
        let timeline = Analysis::new(material.rows(), site, range, &parameters).timeline(POINTS);
        Ok(serde_json::to_string(&Drawn { timeline: &timeline, aps: &site.aps, notes: &material.notes }))
    })
    .await
}

/// `GET /api/report`.
pub(super) async fn report(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    answer(shared, asked, |reader, site, range, macs| {
        let material = Material::of_report(reader, range, macs)?;
        Ok(serde_json::to_string(&report_of(&material, site, range)))
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
        let macs = mac.map(|mac| macs_of(mac, &site));
        let reader = Reader::open(&past.path).map_err(|error| error.to_string())?;
        let json = look(&reader, &site, range, macs.as_ref()).map_err(|error| error.to_string())?;
        json.map_err(|error| error.to_string())
    });
    match looked.await {
        Ok(Ok(json)) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Ok(Err(why)) => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, &format!("the history does not read: {why}"))
        }
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the look at the history broke off; see the log"),
    }
}

/// All MACs of the device that has this one.
fn macs_of(mac: Mac, site: &Site) -> BTreeSet<Mac> {
    let owner = site.devices.iter().find(|device| device.macs.contains(&mac));
    owner.map_or_else(|| BTreeSet::from([mac]), |device| device.macs.iter().copied().collect())
}

fn refuse(status: StatusCode, why: &str) -> Response {
    let body = serde_json::json!({ "error": why }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
