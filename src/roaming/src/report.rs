//! Everything the analyses find in a stretch of history, as one value.

use serde::Serialize;
use whichroom_wire::Id;

use crate::advice::{self, Advice, Findings};
use crate::channels::{self, Clash};
use crate::compare::{self, Comparison};
use crate::episodes::{self, Episode, FastShare, Signal};
use crate::index::{ChangeKind, Index};
use crate::overlap::{self, Heard, Overlap};
use crate::parameters::Parameters;
use crate::rows::Rows;
use crate::signal::{self, Hole, Sticky, Weak};
use crate::site::{Device, Site};
use crate::time::Range;
use crate::timeline::{self, Timeline};

/// A slice of history in order, to make timelines and reports of.
#[derive(Debug)]
pub struct Analysis<'a> {
    rows: Rows<'a>,
    site: &'a Site,
    parameters: &'a Parameters,
    index: Index<'a>,
    episodes: Vec<Episode>,
}

/// How stations roamed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// When.
    pub range: Range,
    /// The access points, with their names.
    pub aps: Vec<NamedAp>,
    /// The clients that were associated, most changes first.
    pub clients: Vec<Client>,
    /// How often they were heard by several access points at once.
    pub heard: Heard,
    /// Too many changes.
    pub episodes: Vec<Episode>,
    /// Weak associations.
    pub weak: Vec<Weak>,
    /// Clients that stayed too long.
    pub sticky: Vec<Sticky>,
    /// Where access points overlap.
    pub overlaps: Vec<Overlap>,
    /// Where coverage ends.
    pub holes: Vec<Hole>,
    /// How roams and changes of band began.
    pub fast: FastShare,
    /// Radios in each other's way.
    pub clashes: Vec<Clash>,
    /// What to do.
    pub advice: Vec<Advice>,
    /// What came of changes.
    pub comparisons: Vec<Comparison>,
    /// With which thresholds.
    pub parameters: Parameters,
}

/// An access point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedAp {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
}

/// A client in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Client {
    /// Which.
    pub device: Device,
    /// How long it was associated.
    pub connected_ms: u64,
    /// Associations that began.
    pub associations: u32,
    /// Changes to another access point.
    pub roams: u32,
    /// Changes to another BSS of the same access point.
    pub band_changes: u32,
    /// Times it was lost and back on the same access point.
    pub drops: u32,
    /// How its roams and changes of band began.
    pub fast: FastShare,
    /// Its signal where it was associated.
    pub signal: Option<Signal>,
}

impl<'a> Analysis<'a> {
    /// Puts the rows in order. They may reach beyond the range: what is before it is what changes are compared with.
    pub fn new(rows: Rows<'a>, site: &'a Site, range: Range, parameters: &'a Parameters) -> Analysis<'a> {
        let index = Index::new(rows, site, range, parameters);
        let episodes = episodes::find(&index, parameters);
        Analysis { rows, site, parameters, index, episodes }
    }

    /// Rows to draw, with at most so many points of signal a row and access point. Associations that are shorter than
    /// `column_ms`, as what is too narrow to be seen, are merged with their neighbours that are as short; none with 0.
    pub fn timeline(&self, points: u32, column_ms: u64) -> Timeline {
        timeline::build(&self.index, &self.episodes, points, column_ms)
    }

    /// Everything. Notes of the range are compared over all that `rows` hold.
    pub fn report(&self) -> Report {
        let (index, parameters) = (&self.index, self.parameters);
        let (weak, sticky) = (signal::weak(index, parameters), signal::sticky(index, parameters));
        let (holes, overlaps) = (signal::holes(index, parameters), overlap::find(index, parameters));
        let (clients, clashes) = (clients(index), channels::clashes(index));
        let mut fast = FastShare::default();
        for client in &clients {
            fast.fast += client.fast.fast;
            fast.full += client.fast.full;
            fast.unknown += client.fast.unknown;
        }
        let findings = Findings {
            episodes: &self.episodes,
            sticky: &sticky,
            holes: &holes,
            overlaps: &overlaps,
            clashes: &clashes,
            fast,
        };
        let advice = advice::find(index, self.site, &findings, parameters);
        let name = |id: &&Id| NamedAp { id: (*id).clone(), name: self.site.ap_name(id).to_owned() };
        Report {
            range: index.range,
            aps: index.aps.iter().map(name).collect(),
            clients,
            heard: overlap::heard(index),
            episodes: self.episodes.clone(),
            weak,
            sticky,
            overlaps,
            holes,
            fast,
            clashes,
            advice,
            comparisons: self.comparisons(),
            parameters: parameters.clone(),
        }
    }

    fn comparisons(&self) -> Vec<Comparison> {
        let range = self.index.range;
        let begins = self.rows.spans.iter().map(|span| span.begin);
        let Some(first) = begins.min().filter(|_| !self.rows.notes.is_empty()) else { return Vec::new() };
        let known = Range::new(first, range.to);
        let all = compare::compare_all(self.rows, self.site, known, self.parameters);
        all.into_iter().filter(|comparison| range.contains(comparison.note.at)).collect()
    }
}

fn clients(index: &Index<'_>) -> Vec<Client> {
    let range = index.range;
    let mut clients = Vec::new();
    for (number, device, story) in index.iter() {
        if story.spans.is_empty() {
            continue;
        }
        let count = |kind| story.changes.iter().filter(|change| change.kind == kind).count();
        let number_of = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let began = story.spans.iter().filter(|span| range.contains(span.begin)).count();
        clients.push(Client {
            device: device.clone(),
            connected_ms: story.spans.iter().map(|span| range.overlap_ms(span.begin, span.end)).sum(),
            associations: number_of(began),
            roams: number_of(count(ChangeKind::Roam)),
            band_changes: number_of(count(ChangeKind::Band)),
            drops: number_of(count(ChangeKind::Drop)),
            fast: timeline::fast_share(story),
            signal: episodes::signal(index, number, range.from, range.to),
        });
    }
    clients.sort_by(|a, b| {
        let changes = |client: &Client| client.roams + client.band_changes + client.drops;
        changes(b).cmp(&changes(a)).then_with(|| a.device.cmp(&b.device))
    });
    clients
}
