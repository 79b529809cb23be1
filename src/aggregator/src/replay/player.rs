//! Gives a recording to a decider: the same calls at the same times, in no more time than that takes. `whichroom replay`
//! and `whichroom explain --recording` watch it.

use std::path::Path;

use jiff::tz::TimeZone;
use whichroom_presence::calibration::Samples;
use whichroom_presence::output::{Effect, Witnessed};
use whichroom_presence::setup::Setup;
use whichroom_presence::{Engine, Explanation, Moment};
use whichroom_wire::Id;

use crate::clock::Clock;
use crate::command::Refusal;
use crate::decider::{Decider, Given};
use crate::record::line::Header;
use crate::record::reader::{Next, Reader};

/// What happens in a replay.
pub enum Seen<'a> {
    /// Something is about to be given to the engine that was given it then.
    Comes(Moment),
    /// The engine decided something.
    Decided(&'a Effect, Moment),
    /// Something counted that an access point said; after [`Player::witness_all`].
    Witnessed(Witnessed),
    /// Somebody noted a change.
    Noted(String, Moment),
    /// Everything was shown that came of what was given.
    Settled(&'a Engine, Moment),
    /// A line does not read, and is left out.
    Bad {
        /// Of the line, from 1.
        number: u64,
        /// What is wrong with it.
        why: &'a str,
    },
}

/// How a replay ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It is over.
    Over,
    /// The moment that was asked for has come.
    Reached,
    /// The file is cut.
    Cut {
        /// Whole lines before the cut.
        after: u64,
        /// How one can tell.
        why: String,
    },
}

/// A recording on its way through a decider.
pub struct Player {
    decider: Decider,
    reader: Reader,
    clock: Clock,
    began: Moment,
    /// The latest moment that the engine was given.
    now: Moment,
    /// Timeouts come from the recording; otherwise when the engine asks for them.
    timers_recorded: bool,
    /// The home as it was at the beginning.
    home: Setup,
    /// The setup that replaces every recorded one.
    setup: Option<Setup>,
}

impl Player {
    /// Opens a recording. With a `setup` of its own the home is another: recorded ones do not count, and neither do
    /// recorded timeouts, which were those of the recorded home.
    pub fn open(file: &Path, setup: Option<Setup>) -> Result<Player, String> {
        let (header, reader) = Reader::open(file)?;
        Ok(Player::new(header, reader, setup))
    }

    /// As [`Player::open`], of a recording that is open.
    pub fn new(header: Header, reader: Reader, setup: Option<Setup>) -> Player {
        let zone = header.zone.as_deref().and_then(|name| TimeZone::get(name).ok());
        let clock = Clock::start_at(header.started).in_zone(zone.unwrap_or_else(TimeZone::system));
        let began = Moment::from_ms(header.t_ms);
        let samples = Samples::restored(header.next_sample, header.samples);
        let first = setup.clone().unwrap_or(header.config);
        Player {
            decider: Decider::new(first.clone(), samples, header.snapshot, clock.clone(), began),
            reader,
            clock,
            began,
            now: began,
            timers_recorded: header.exact && setup.is_none(),
            home: first,
            setup,
        }
    }

    /// Shows moments of the recording as times of the home. Its own present means nothing.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The home as it was at the beginning.
    pub fn setup(&self) -> &Setup {
        &self.home
    }

    /// When the engine began.
    pub fn began(&self) -> Moment {
        self.began
    }

    /// How far it came.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Explains a person or a device at the moment it came to.
    pub fn explain(&self, id: &Id) -> Result<Explanation, Refusal> {
        self.decider.explain(id, self.now)
    }

    /// From now on, what counted of the access points' messages is shown, too.
    pub fn witness_all(&mut self) {
        self.decider.witness_all();
    }

    /// Goes on to `until`, which is still replayed, or to the end.
    pub fn play(&mut self, until: Option<Moment>, see: &mut dyn FnMut(Seen<'_>)) -> End {
        loop {
            match self.reader.next() {
                Next::Given(at, _) if until.is_some_and(|until| at > until) => {
                    self.pass_until(until, see);
                    return End::Reached;
                }
                Next::Given(at, given) => {
                    run_timers(&mut self.decider, self.timers_recorded, at, see);
                    self.now = at;
                    let given = match (given, &self.setup) {
                        (Given::Timeout, _) if !self.timers_recorded => continue,
                        (Given::Setup(_), Some(_)) => continue,
                        (given, _) => given,
                    };
                    see(Seen::Comes(at));
                    self.decider.give(given, at);
                    drain(&mut self.decider, at, see);
                }
                Next::Bad { number, why } => see(Seen::Bad { number, why: &why }),
                Next::Cut { after, why } => return End::Cut { after, why },
                Next::End => return End::Over,
            }
        }
    }

    /// What the engine waits for comes, up to a moment at which nothing was recorded.
    fn pass_until(&mut self, until: Option<Moment>, see: &mut dyn FnMut(Seen<'_>)) {
        let Some(until) = until else { return };
        run_timers(&mut self.decider, self.timers_recorded, until, see);
        self.now = self.now.max(until);
    }
}

/// Gives the timeouts up to `at` that the recording does not hold.
fn run_timers(decider: &mut Decider, are_recorded: bool, at: Moment, see: &mut dyn FnMut(Seen<'_>)) {
    while let Some(due) = decider.poll_timeout().filter(|due| *due <= at && !are_recorded) {
        see(Seen::Comes(due));
        decider.give(Given::Timeout, due);
        drain(decider, due, see);
    }
}

fn drain(decider: &mut Decider, now: Moment, see: &mut dyn FnMut(Seen<'_>)) {
    while let Some(effect) = decider.poll_effect() {
        see(Seen::Decided(&effect, now));
    }
    for (text, at) in decider.take_notes() {
        see(Seen::Noted(text, at));
    }
    while let Some(witnessed) = decider.poll_witnessed() {
        see(Seen::Witnessed(witnessed));
    }
    see(Seen::Settled(decider.engine(), now));
}
