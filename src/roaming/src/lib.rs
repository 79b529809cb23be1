//! How stations roam, and what to do about it: pure functions of what access points said, without sockets, clocks or
//! threads.
//!
//! [`Tracker`] turns messages that were admitted and dated already into [`Row`]s: associations, signals by the minute,
//! states of BSSs. [`Analysis`] reads a slice of such rows, from wherever they are kept, and gives a [`Report`] and a
//! [`Timeline`]. Both are made of the same `index` of spans and changes, so they agree on every count. A report holds
//! what `episodes`, `signal`, `overlap` and `channels` find, the `advice` that follows from it, and what `compare` says
//! of changes that were made. [`ThrashingWatch`] runs the same search over the last associations while they happen. Each category is defined where its type is; every threshold is in [`Parameters`].

mod advice;
mod channels;
mod compare;
mod episodes;
mod index;
mod notes;
mod overlap;
mod parameters;
mod report;
mod rows;
mod signal;
mod site;
mod text;
mod thrashing;
mod time;
mod timeline;
mod tracker;

pub use advice::{Advice, AdviceKind, Setting, Step};
pub use channels::{Clash, ClashKind, ClashRadio};
pub use compare::{Comparison, Counted, Measure, Rate, Verdict};
pub use episodes::{Episode, EpisodeKind, FastShare, Pair, Signal};
pub use index::ChangeKind;
pub use notes::notes_of_radios;
pub use overlap::{Heard, Overlap};
pub use parameters::Parameters;
pub use report::{Analysis, Client, NamedAp, Report};
pub use rows::{Band, Began, Ended, Hearing, Note, RadioState, Row, Rows, SignalMinute, Span};
pub use signal::{Hole, Sticky, Weak};
pub use site::{Device, NamedDevice, Site};
pub use text::Section;
pub use thrashing::{Thrashing, ThrashingWatch};
pub use time::{MINUTE_MS, Range, Time};
pub use timeline::{Bar, EpisodeMark, Mark, Merged, SignalPoint, Timeline, TimelineRow};
pub use tracker::{ROAM_GAP_MS, SILENT_MS, Snapshot, Tracker};
