//! The main loop's side of the history: what it witnessed and decided becomes entries, and those go to the thread
//! that writes. Nothing here waits.

use std::path::PathBuf;

use whichroom_presence::Moment;
use whichroom_presence::output::{Effect, LikelyRooms, Witnessed};
use whichroom_presence::setup::Setup;
use whichroom_roaming::{Note, Range, Snapshot, Thrashing, Time};
use whichroom_wire::Id;

use super::{Chronicle, Entry, Health, History, Keep, Reader};
use crate::clock::Clock;

/// Associations that last are written this often, so that who reads the file knows of them.
const OPEN_EVERY_MS: u64 = 60_000;

/// After a restart, who thrashes is found again in this much of the history.
const PAST_MS: u64 = 2 * 3_600_000;

/// Where the history is, and for how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file; it is made if it is missing.
    pub path: PathBuf,
    pub keep: Keep,
}

/// A history and its author.
pub struct Keeping {
    chronicle: Chronicle,
    history: History,
    clock: Clock,
    /// When associations that last were written.
    open_kept: Option<Moment>,
}

impl Keeping {
    /// Begins to keep; `tell` hears how it goes whenever that changes.
    pub fn start(
        options: &Options,
        setup: &Setup,
        snapshot: Option<Snapshot>,
        clock: Clock,
        tell: impl FnMut(Health) + Send + 'static,
    ) -> std::io::Result<Keeping> {
        let now = Time::from_ms(clock.unix_ms(clock.now()));
        let mut chronicle = Chronicle::new(setup, snapshot, now);
        // A file that is not there yet has nothing to tell; the thread that writes says what is wrong with one.
        if let Ok(reader) = Reader::open(&options.path) {
            let past = reader.spans(Range::new(now.before(PAST_MS), now), None);
            chronicle.handle_past(&past.unwrap_or_default());
        }
        let history = History::start(options.path.clone(), options.keep, tell)?;
        Ok(Keeping { chronicle, history, clock, open_kept: None })
    }

    /// Another configuration.
    pub fn handle_setup(&mut self, setup: &Setup) {
        self.chronicle.handle_setup(setup);
    }

    /// Something that counted.
    pub fn handle_witnessed(&mut self, witnessed: Witnessed) {
        self.chronicle.handle_witnessed(witnessed, |moment| time(&self.clock, moment));
    }

    /// Something that was decided.
    pub fn handle_effect(&mut self, effect: &Effect) {
        self.chronicle.handle_effect(effect, |moment| time(&self.clock, moment));
    }

    /// Asks once a minute where devices may be.
    pub fn handle_likely_rooms(&mut self, likely: impl FnOnce() -> Vec<LikelyRooms>, now: Moment) {
        self.chronicle.handle_likely_rooms(likely, time(&self.clock, now));
    }

    /// Somebody changed something on purpose.
    pub fn handle_note(&mut self, text: String, now: Moment) {
        let note = Note { at: time(&self.clock, now), text };
        self.history.keep(vec![Entry::Note(note)]);
    }

    /// Time went by; hands over what is to be written.
    pub fn settle(&mut self, now: Moment) {
        self.chronicle.handle_timeout(time(&self.clock, now));
        let mut entries = self.chronicle.take_entries();
        entries.extend(self.chronicle.take_begun());
        if self.open_kept.is_none_or(|kept| now.since(kept) >= OPEN_EVERY_MS) {
            self.open_kept = Some(now);
            entries.extend(self.chronicle.open());
        }
        self.history.keep(entries);
    }

    /// A device that began to thrash, goes on, or stopped. Ask after [`Keeping::settle`].
    pub fn poll_thrashing(&mut self, now: Moment) -> Option<(Id, Option<Thrashing>)> {
        self.chronicle.poll_thrashing(time(&self.clock, now))
    }

    /// When to call [`Keeping::settle`] next.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.chronicle.poll_timeout().map(|at| self.clock.moment_of_unix_ms(at.as_ms()))
    }

    /// For the state file.
    pub fn snapshot(&self) -> Snapshot {
        self.chronicle.snapshot()
    }
}

fn time(clock: &Clock, moment: Moment) -> Time {
    Time::from_ms(clock.unix_ms(moment))
}
