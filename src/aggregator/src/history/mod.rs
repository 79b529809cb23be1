//! What happened, kept: associations, signals, radios, stays and notes, in SQLite beside the aggregator's state. The
//! deciding thread hands entries over and never waits: a disk that is slow, full or broken costs history, never a
//! decision, and is said.

mod chronicle;
pub mod command;
mod keeping;
mod material;
mod packed;
mod reader;
pub mod recorded;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use whichroom_roaming::{Note, Row, Time};
use whichroom_wire::{Id, Mac};

pub use chronicle::{Chronicle, site_of};
pub use keeping::{Keeping, Options};
pub use material::Material;
pub use reader::Reader;
pub use schema::OpenError;
use writer::Writer;

use crate::state::{beside, keep_aside};

/// The file's name, beside the state.
pub const FILE: &str = "history.sqlite3";

/// Batches that wait for the thread; beyond, entries are lost and counted.
const BATCHES_MAX: usize = 1_024;
/// Entries that wait for a disk that does not take them; beyond, the oldest are lost and counted.
const WAITING_MAX: usize = 50_000;
/// A transaction a time is enough, and spares flash memory.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// Old rows are looked for this often.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// After a failure the disk is left alone for this long.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// For how long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Associations, stays, notes and states of radios.
    pub days: u32,
    /// Signals and how busy the air was.
    pub signal_days: u32,
    /// The oldest days go early rather than that the file is bigger.
    pub max_bytes: u64,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep { days: 90, signal_days: 14, max_bytes: 200 << 20 }
    }
}

/// Something to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Of the access points.
    Row(Row),
    /// A person is somewhere else.
    Stay(Stay),
    /// A device may be in other rooms.
    Likely(Likely),
    /// Somebody changed something on purpose.
    Note(Note),
    /// Nothing of these people and devices is to be kept.
    Erase {
        /// Their stays.
        people: BTreeSet<Id>,
        /// What their devices did.
        macs: BTreeSet<Mac>,
    },
}

impl Entry {
    /// The hour of a signal, since 1970.
    fn hour(&self) -> Option<i64> {
        match self {
            Entry::Row(Row::Signal(signal)) => Some(signal.minute.as_ms().div_euclid(3_600_000)),
            Entry::Row(Row::Span(_) | Row::Radio(_))
            | Entry::Stay(_)
            | Entry::Likely(_)
            | Entry::Note(_)
            | Entry::Erase { .. } => None,
        }
    }
}

/// Where a person is from a time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    pub person: Id,
    pub begin: Time,
    pub home: bool,
    pub room: Option<Id>,
}

/// Where a device may be from a minute on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Likely {
    pub mac: Mac,
    pub minute: Time,
    /// Rooms and how likely each is, in percent, the likeliest first.
    pub rooms: Vec<(Id, u8)>,
}

/// A stay, and when it ended; nothing while it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StayRow {
    pub stay: Stay,
    pub end: Option<Time>,
}

/// How writing goes, for the page and the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// What was handed over is written.
    Writing,
    /// Nothing is written, for this reason; so many entries are lost so far.
    Failing { why: String, lost: u64 },
}

/// A running history. Dropping it writes what waits, and ends its thread.
pub struct History {
    entries: Option<SyncSender<Vec<Entry>>>,
    thread: Option<JoinHandle<()>>,
    lost: u64,
}

impl History {
    /// Opens the file on a thread of its own; `tell` hears how it goes whenever that changes.
    ///
    /// A file that is no longer readable is kept aside and said, and a new one begun.
    pub fn start(
        path: PathBuf,
        keep: Keep,
        tell: impl FnMut(Health) + Send + 'static,
    ) -> std::io::Result<History> {
        let (entries, receiver) = mpsc::sync_channel(BATCHES_MAX);
        let mut keeper = Keeper::new(path, keep, tell);
        let thread = thread::Builder::new().name("history".into()).spawn(move || keeper.run(&receiver))?;
        Ok(History { entries: Some(entries), thread: Some(thread), lost: 0 })
    }

    /// Hands entries over. Never waits: what finds no place is lost, and said with the next that finds one.
    pub fn keep(&mut self, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let Some(sender) = &self.entries else { return };
        if let Err(TrySendError::Full(entries) | TrySendError::Disconnected(entries)) =
            sender.try_send(entries)
        {
            if self.lost == 0 {
                log::error!("history: the disk does not keep up; what happens now is lost");
            }
            self.lost += entries.len() as u64;
        } else if self.lost > 0 {
            log::warn!("history: {} entries were lost", std::mem::take(&mut self.lost));
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.entries = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was logged by the runtime, and nothing waits for its result.
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Keeper<F> {
    path: PathBuf,
    keep: Keep,
    tell: F,
    health: Option<Health>,
    writer: Option<Writer>,
    waiting: VecDeque<Entry>,
    lost: u64,
    retry_at: Option<Instant>,
}

impl<F: FnMut(Health)> Keeper<F> {
    fn new(path: PathBuf, keep: Keep, tell: F) -> Keeper<F> {
        let waiting = VecDeque::new();
        Keeper { path, keep, tell, health: None, writer: None, waiting, lost: 0, retry_at: None }
    }

    fn run(&mut self, entries: &Receiver<Vec<Entry>>) {
        self.write();
        let mut tidied: Option<Instant> = None;
        let mut write_at = Instant::now() + WRITE_EVERY;
        loop {
            match entries.recv_timeout(write_at.saturating_duration_since(Instant::now())) {
                Ok(batch) => {
                    self.take(batch);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.write();
            if tidied.is_none_or(|tidied| tidied.elapsed() >= TIDY_EVERY) {
                tidied = Some(Instant::now());
                self.tidy();
            }
            write_at = Instant::now() + WRITE_EVERY;
        }
        self.retry_at = None;
        self.write();
    }

    fn take(&mut self, batch: Vec<Entry>) {
        self.waiting.extend(batch);
        let excess = self.waiting.len().saturating_sub(WAITING_MAX);
        if excess > 0 {
            self.waiting.drain(..excess);
            self.lost += excess as u64;
        }
    }

    fn write(&mut self) {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        if let Err(why) = self.try_write() {
            self.retry_at = Some(Instant::now() + RETRY_AFTER);
            let lost = self.lost;
            return self.say(Health::Failing { why, lost });
        }
        self.retry_at = None;
        self.say(Health::Writing);
    }

    fn try_write(&mut self) -> Result<(), String> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self
                .writer
                .insert(open(&self.path).map_err(|error| format!("{}: {error}", self.path.display()))?),
        };
        let written = writer.write(self.waiting.make_contiguous());
        if let Err(error) = written {
            // The file may have been removed, or its disk be another one: open it anew next time.
            self.writer = None;
            return Err(format!("{}: {error}", self.path.display()));
        }
        self.waiting.clear();
        Ok(())
    }

    fn tidy(&mut self) {
        let now = Time::from_ms(Timestamp::now().as_millisecond());
        let Some(writer) = &mut self.writer else { return };
        if let Err(error) = writer.tidy(&self.keep, now) {
            log::warn!("history: {}: old rows could not be removed: {error}", self.path.display());
        }
    }

    fn say(&mut self, health: Health) {
        let is_news = match (&self.health, &health) {
            (Some(Health::Failing { why: before, .. }), Health::Failing { why, .. }) => before != why,
            (before, now) => before.as_ref() != Some(now),
        };
        self.health = Some(health.clone());
        if is_news {
            (self.tell)(health);
        }
    }
}

/// Opens the file for writing. One that no longer reads is kept aside, and a new one begun.
fn open(path: &Path) -> Result<Writer, OpenError> {
    let broken = match Writer::open(path) {
        Err(OpenError::Broken(error)) => error,
        other => return other,
    };
    for suffix in ["-wal", "-shm"] {
        // They belong to the file that is set aside; often there are none.
        let _ = std::fs::remove_file(beside(path, suffix));
    }
    keep_aside(path, &broken.to_string()).map_err(OpenError::Foreign)?;
    Writer::open(path)
}

/// A MAC as SQLite keeps it: six bytes of an integer.
fn mac_number(mac: Mac) -> i64 {
    mac.octets().into_iter().fold(0, |number, octet| (number << 8) | i64::from(octet))
}
