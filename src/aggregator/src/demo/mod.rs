//! `whichroom demo`: the real broker, the real aggregator and its page, and a simulated home whose access points speak
//! the contract. Decisions are printed beside the truth, and scored against it.

mod companion;
mod lines;
mod pace;
mod score;
mod summary;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{Timestamp, Zoned};
use lexopt::prelude::*;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;
use whichroom_broker::{Broker, Limits};
use whichroom_presence::output::Effect;
use whichroom_simulator::{Fleet, FleetOptions, Plan, World};
use whichroom_wire::Id;

use self::companion::{Grants, LEAD_MS, Listener, join};
use self::lines::{header, line};
use self::pace::Pace;
use self::score::Score;
use self::summary::Summary;
use crate::Failure;
use crate::clock::Clock;
use crate::config::{ExternalBroker, HomeAssistant, SignIn, default_site};
use crate::history::{self, Keep};
use crate::names;
use crate::record::writer::{MAX_MB, Target};
use crate::score::house::setup;
use crate::server::{Options as ServerOptions, Server};
use crate::web::{PageContext, Simulation};

const HELP: &str = "\
whichroom demo: a simulated home with six access points, four people and five phones, one of which goes to and fro
between two access points; the rest is the real thing.

  --seed N          another home, another day (default: 1)
  --speed X         simulated seconds a second, 1 to 3600 (default: 30); what is decided does not depend on it, and a
                    machine that does not keep up says so and is slower
  --for SECONDS     ends by itself after so many real seconds (default: when interrupted)
  --port N          port of the page on loopback (default: 8737 if it is free, else any)
  --healthy         no phone goes to and fro
  --record FILE     writes down everything that decides, for whichroom replay
  --json            standard output is the summary alone, as one JSON object; the rest goes to standard error
";

/// An hour a second.
const SPEED_MAX: u32 = 3600;
/// How often signals, the end and the truth on the page are looked after.
const WATCH_EVERY: Duration = Duration::from_millis(50);

/// What the command line says.
#[derive(Debug)]
struct Options {
    seed: u64,
    speed: u32,
    ends_after: Option<Duration>,
    port: Option<u16>,
    healthy: bool,
    record: Option<PathBuf>,
    json: bool,
}

/// Runs `whichroom demo`.
pub fn main(mut args: lexopt::Parser) -> Result<(), Failure> {
    let mut options = Options {
        seed: 1,
        speed: 30,
        ends_after: None,
        port: None,
        healthy: false,
        record: None,
        json: false,
    };
    while let Some(argument) = args.next()? {
        match argument {
            Long("seed") => options.seed = args.value()?.parse()?,
            Long("speed") => options.speed = args.value()?.parse_with(speed)?,
            Long("for") => options.ends_after = Some(seconds(args.value()?.parse()?)?),
            Long("port") => options.port = Some(args.value()?.parse()?),
            Long("healthy") => options.healthy = true,
            Long("record") => options.record = Some(args.value()?.into()),
            Long("json") => options.json = true,
            Long("help") | Short('h') => return crate::print(HELP),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    run(&options)
}

/// Whole numbers are what the clock takes; "60.0" is one.
fn speed(text: &str) -> Result<u32, String> {
    let speed = text.parse::<f64>().map(f64::round).unwrap_or(0.0);
    if !(1.0..=f64::from(SPEED_MAX)).contains(&speed) {
        return Err(format!("not a number from 1 to {SPEED_MAX}"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range above")]
    Ok(speed as u32)
}

fn seconds(seconds: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(seconds).map_err(|error| Failure::usage(format!("--for {seconds}: {error}")))
}

fn run(options: &Options) -> Result<(), Failure> {
    let mut signals =
        Signals::new([SIGTERM, SIGINT]).map_err(|error| Failure::run(format!("signals: {error}")))?;
    let demonstration = Demonstration::start(options)?;
    demonstration.watch(options, &mut signals);
    let summary = demonstration.stop()?;
    crate::print(&if options.json { summary.json() } else { summary.to_string() })
}

/// All of it, running.
struct Demonstration {
    broker: Broker,
    server: Server,
    fleet: Fleet,
    score: Arc<Mutex<Score>>,
    pace: Arc<Mutex<Pace>>,
    /// Of the history.
    _scratch: TempDir,
}

impl Demonstration {
    fn start(options: &Options) -> Result<Demonstration, Failure> {
        let world = World::new(plan(options), options.seed);
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let broker = Broker::start(whichroom_broker::Options {
            listen: vec![loopback],
            users: Vec::new(),
            limits: Limits::default(),
        })
        .map_err(|error| Failure::run(format!("the embedded broker: {error}")))?;
        let address =
            *broker.addresses().first().ok_or_else(|| Failure::run("the embedded broker has no address"))?;
        let clock = Clock::told_at(before(morning(&world)));
        let score = Arc::new(Mutex::new(Score::new(&world)));
        let scratch = TempDir::with_prefix("whichroom-demo-")
            .map_err(|error| Failure::run(format!("no place for the demonstration's history: {error}")))?;
        let server = start_server(options, &world, address, &clock, &score, scratch.path())?;
        let grants: Grants = Box::new(server.grants());
        join(&grants)?;
        narrate(options.json, &headline(options, &server, address))?;
        let pace = Arc::new(Mutex::new(Pace::new(options.speed, Instant::now())));
        let listener =
            Listener { grants, pace: Arc::clone(&pace), score: Arc::clone(&score), json: options.json };
        let fleet = start_fleet(world, address, listener)?;
        Ok(Demonstration { broker, server, fleet, score, pace, _scratch: scratch })
    }

    /// Until a signal, the end of the time that was asked for, or the server's own end.
    fn watch(&self, options: &Options, signals: &mut Signals) {
        let started = Instant::now();
        let mut shown = (options.speed, BTreeMap::new());
        loop {
            let over = options.ends_after.is_some_and(|ends_after| started.elapsed() >= ends_after);
            if over || self.server.is_finished() || signals.pending().next().is_some() {
                return;
            }
            let now = (lock(&self.pace).speed(), lock(&self.score).truths());
            if now != shown {
                self.server.set_context(context(now.0, now.1.clone()));
                shown = now;
            }
            std::thread::sleep(WATCH_EVERY);
        }
    }

    fn stop(self) -> Result<Summary, Failure> {
        lock(&self.score).close();
        // The access points say goodbye while there is still somebody to hear them.
        self.fleet.stop();
        let stopped = self.server.stop();
        self.broker.stop();
        stopped?;
        Ok(lock(&self.score).summary(&lock(&self.pace)))
    }
}

/// What is told while it runs: beside the result, where that is for a program.
fn narrate(json: bool, text: &str) -> Result<(), Failure> {
    if json {
        eprint!("{text}");
        return Ok(());
    }
    crate::print(text)
}

fn plan(options: &Options) -> Plan {
    if options.healthy { Plan::house() } else { Plan::house().with_restless_phone() }
}

/// The time of day at which the simulation begins, today.
fn morning(world: &World) -> Timestamp {
    let minutes = i64::try_from(world.starts_at_minute()).unwrap_or(0);
    let midnight = Zoned::now().start_of_day();
    let morning = midnight.and_then(|midnight| midnight.checked_add(jiff::Span::new().minutes(minutes)));
    morning.map_or_else(|_| Timestamp::now(), |morning| morning.timestamp())
}

/// What the wall clock shows when the server starts, whose time begins before the home's.
fn before(morning: Timestamp) -> Timestamp {
    morning.checked_sub(jiff::SignedDuration::from_millis(LEAD_MS as i64)).unwrap_or(morning)
}

fn start_server(
    options: &Options,
    world: &World,
    broker: SocketAddr,
    clock: &Clock,
    score: &Arc<Mutex<Score>>,
    scratch: &Path,
) -> Result<Server, Failure> {
    let (score, json) = (Arc::clone(score), options.json);
    let observer = move |effect: &Effect, clock: &Clock| {
        let mut score = lock(&score);
        let line = line(effect, clock, &score);
        let counts = score.handle_effect(effect);
        drop(score);
        if let Some(line) = line.filter(|_| counts) {
            // A closed pipe is no failure; anything else shows at the summary.
            let _ = narrate(json, &line);
        }
    };
    Server::start(ServerOptions {
        site: default_site(),
        setup: setup::of(world),
        broker: ExternalBroker {
            host: broker.ip().to_string(),
            port: broker.port(),
            username: None,
            password: None,
            tls: None,
        },
        home_assistant: HomeAssistant::default(),
        // Nobody in it has an address.
        names: names::Options { resolve: false, server: None },
        listen: options.port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        hosts: Vec::new(),
        sign_in: SignIn::Network,
        tokens: Vec::new(),
        state: None,
        clock: clock.clone(),
        context: context(options.speed, BTreeMap::new()),
        observer: Some(Box::new(observer)),
        record: options.record.clone().map(|file| Target::new(file, MAX_MB)),
        history: Some(history::Options { path: scratch.join(history::FILE), keep: Keep::default() }),
        adopt: None,
    })
}

fn start_fleet(world: World, broker: SocketAddr, listener: Listener) -> Result<Fleet, Failure> {
    let options = FleetOptions { host: broker.ip().to_string(), port: broker.port(), site: default_site() };
    Fleet::start(world, &options, listener)
        .map_err(|error| Failure::run(format!("no thread for the simulated home: {error}")))
}

fn context(speed: u32, truth: BTreeMap<Id, String>) -> PageContext {
    let simulation = Some(Simulation { speed, truth });
    PageContext { simulation, ..PageContext::new(default_site(), "") }
}

/// A panic in one thread is reported by itself; the figures are as good as before it.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn headline(options: &Options, server: &Server, broker: SocketAddr) -> String {
    format!(
        "A simulated home, seed {}, {} times as fast as life. Page: http://{}/  MQTT: mqtt://{broker}\n\n{}\n",
        options.seed,
        options.speed,
        server.page(),
        header()
    )
}

#[cfg(test)]
mod cure;
#[cfg(test)]
mod tests;
