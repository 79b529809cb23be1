//! A stretch of history in memory, for timelines and reports.

use std::collections::BTreeSet;

use whichroom_roaming::{Hearing, Note, RadioState, Range, Row, Rows, SignalMinute, Span, notes_of_radios};
use whichroom_wire::Mac;

use super::{Entry, Reader};

/// How far before a range rows are read where it holds a note: a change is compared with as long before it.
const COMPARED_MS: u64 = 7 * 24 * 3_600_000;

/// Rows that are owned.
#[derive(Debug, Clone, Default)]
pub struct Material {
    pub spans: Vec<Span>,
    pub signals: Vec<SignalMinute>,
    pub radios: Vec<RadioState>,
    pub notes: Vec<Note>,
}

impl Material {
    /// What a timeline of `range` needs, of `macs` or of all.
    pub fn of_timeline(
        reader: &Reader,
        range: Range,
        macs: Option<&BTreeSet<Mac>>,
    ) -> rusqlite::Result<Material> {
        Ok(Material {
            spans: reader.spans(range, macs)?,
            // Changes and the band are of associations; what others overheard is twice as much.
            signals: reader.signals(range, macs, Some(Hearing::Associated))?,
            radios: reader.radios(range)?,
            notes: reader.notes(range)?,
        })
    }

    /// What a report on `range` needs.
    pub fn of_report(reader: &Reader, range: Range) -> rusqlite::Result<Material> {
        let mut notes = reader.notes(range)?;
        let radios = reader.radios(range)?;
        notes.extend(notes_of_radios(&radios));
        notes.sort_by_key(|note| note.at);
        let (compared, radios) = if notes.is_empty() {
            (range, radios)
        } else {
            let compared = Range::new(range.from.before(COMPARED_MS), range.to);
            (compared, reader.radios(compared)?)
        };
        Ok(Material {
            spans: reader.spans(compared, None)?,
            signals: reader.signals(compared, None, None)?,
            radios,
            notes,
        })
    }

    /// Adds what was just written down, in order of time.
    pub fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Row(Row::Span(span)) => self.spans.push(span),
            Entry::Row(Row::Signal(signal)) => self.signals.push(signal),
            Entry::Row(Row::Radio(radio)) => self.radios.push(radio),
            Entry::Note(note) => self.notes.push(note),
            Entry::Stay(_) | Entry::Likely(_) | Entry::Erase { .. } => {}
        }
    }

    /// As the analyses take it.
    pub fn rows(&self) -> Rows<'_> {
        Rows { spans: &self.spans, signals: &self.signals, radios: &self.radios, notes: &self.notes }
    }
}
