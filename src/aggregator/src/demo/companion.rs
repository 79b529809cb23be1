//! Between the simulated home and the server: they live by one time. The home goes from one message to the next; the
//! server is granted that time, takes the message over the real broker, and says when it is done.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use whichroom_presence::Moment;
use whichroom_simulator::{Companion, Lived, Step, World};

use super::pace::Pace;
use super::score::Score;
use super::{lock, narrate};
use crate::Failure;
use crate::passing::{Grant, Passed};

/// The server's time when the home's begins. It comes to its broker before.
pub(super) const LEAD_MS: u64 = 10_000;
/// How long it may take for that.
const JOIN_WAIT: Duration = Duration::from_secs(30);
/// How often its time goes on until then.
const JOIN_PACE: Duration = Duration::from_millis(5);

/// Lets the server's time pass.
pub(super) type Grants = Box<dyn Fn(Grant) + Send>;

/// What the simulated home meets.
pub(super) struct Listener {
    pub(super) grants: Grants,
    pub(super) pace: Arc<Mutex<Pace>>,
    pub(super) score: Arc<Mutex<Score>>,
    /// Standard output is for the summary.
    pub(super) json: bool,
}

impl Companion for Listener {
    fn target_ms(&mut self, now_ms: u64) -> u64 {
        let mut pace = lock(&self.pace);
        let was_slow = pace.is_slow();
        let target_ms = pace.target_ms(now_ms, Instant::now());
        if pace.is_slow() && !was_slow {
            let (speed, asked) = (pace.speed(), pace.asked());
            // A closed pipe is no failure; anything else shows at the summary.
            let _ = narrate(
                self.json,
                &format!(
                    "This machine does not keep up with {asked} times: the home lives {speed} times as fast as life.\n"
                ),
            );
        }
        target_ms
    }

    fn live(&mut self, step: Step) {
        let done = step.done;
        let passed = move |passed: Passed| {
            done(Lived { heard: passed.heard, asked: passed.asked, due_ms: passed.due.map(home_ms) });
        };
        (self.grants)(Grant { until: moment(step.until_ms), said: step.said, done: Box::new(passed) });
    }

    fn handle_second(&mut self, world: &World) {
        lock(&self.score).handle_second(world);
    }
}

/// Lets the server come to its broker, at the pace of life, and then the home's time begin.
pub(super) fn join(grants: &Grants) -> Result<(), Failure> {
    let started = Instant::now();
    while started.elapsed() < JOIN_WAIT {
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if pass_to(grants, elapsed_ms.min(LEAD_MS - 1))? {
            return pass_to(grants, LEAD_MS).map(drop);
        }
        thread::sleep(JOIN_PACE);
    }
    Err(Failure::run("the server did not come to the embedded broker"))
}

/// Whether the server is active by then.
fn pass_to(grants: &Grants, server_ms: u64) -> Result<bool, Failure> {
    let (sender, receiver) = mpsc::channel();
    let done = Box::new(move |passed: Passed| {
        // Whoever no longer waits is not told.
        let _ = sender.send(passed.is_active);
    });
    grants(Grant { until: Moment::from_ms(signed(server_ms)), said: 0, done });
    receiver.recv_timeout(JOIN_WAIT).map_err(|error| match error {
        RecvTimeoutError::Timeout => Failure::run("the server does not answer"),
        RecvTimeoutError::Disconnected => Failure::run("the server stopped; see the log"),
    })
}

/// A time of the home as the server's.
fn moment(home_ms: u64) -> Moment {
    Moment::from_ms(signed(home_ms.saturating_add(LEAD_MS)))
}

/// A time of the server as the home's.
fn home_ms(moment: Moment) -> u64 {
    u64::try_from(moment.as_ms()).unwrap_or(0).saturating_sub(LEAD_MS)
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
