//! `whichroom demo`: the real broker, the real aggregator and its page, and a simulated home whose access points speak
//! the contract. Decisions are printed beside the truth, and scored against it.

mod score;
mod setup;
mod summary;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{Timestamp, Zoned};
use lexopt::prelude::*;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use whichroom_broker::{Broker, Limits};
use whichroom_presence::output::{Effect, Home, Moved, PersonView, Problem};
use whichroom_simulator::{Fleet, FleetOptions, Incident, IncidentKind, Plan, World};
use whichroom_wire::Id;
use whichroom_wire::aggregator::{MovedKind, ROOM_AWAY, ROOM_UNCLEAR};

use self::score::Score;
use crate::Failure;
use crate::clock::Clock;
use crate::config::{ExternalBroker, HomeAssistant, default_site};
use crate::server::{Options as ServerOptions, Server, words};
use crate::web::{PageContext, Simulation};

const HELP: &str = "\
whichroom demo: a simulated home with six access points, four people and five phones; the rest is the real thing.

  --seed N          another home, another day (default: 1)
  --speed X         simulated seconds a second, 1 to 600 (default: 30)
  --for SECONDS     ends by itself after so many real seconds (default: when interrupted)
  --port N          port of the page on loopback (default: 8737 if it is free, else any)
  --bouncing-phone  one phone goes to and fro between two access points for ten minutes
  --json            the summary is one JSON object on the last line
";

const SPEED_MAX: u32 = 600;
/// How often signals, the end and the truth on the page are looked after.
const WATCH_EVERY: Duration = Duration::from_millis(50);
/// Lines are cut here: a line that wraps is not read.
const LINE_MAX: usize = 140;

/// What the command line says.
#[derive(Debug)]
struct Options {
    seed: u64,
    speed: u32,
    ends_after: Option<Duration>,
    port: Option<u16>,
    bouncing_phone: bool,
    json: bool,
}

/// Runs `whichroom demo`.
pub fn main(mut args: lexopt::Parser) -> Result<(), Failure> {
    let mut options =
        Options { seed: 1, speed: 30, ends_after: None, port: None, bouncing_phone: false, json: false };
    while let Some(argument) = args.next()? {
        match argument {
            Long("seed") => options.seed = args.value()?.parse()?,
            Long("speed") => options.speed = args.value()?.parse()?,
            Long("for") => options.ends_after = Some(seconds(args.value()?.parse()?)?),
            Long("port") => options.port = Some(args.value()?.parse()?),
            Long("bouncing-phone") => options.bouncing_phone = true,
            Long("json") => options.json = true,
            Long("help") | Short('h') => return crate::print(HELP),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    if !(1..=SPEED_MAX).contains(&options.speed) {
        return Err(Failure::usage(format!("--speed {}: from 1 to {SPEED_MAX}", options.speed)));
    }
    run(&options)
}

fn seconds(seconds: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(seconds).map_err(|error| Failure::usage(format!("--for {seconds}: {error}")))
}

fn run(options: &Options) -> Result<(), Failure> {
    let mut signals =
        Signals::new([SIGTERM, SIGINT]).map_err(|error| Failure::run(format!("signals: {error}")))?;
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
    let clock = Clock::start_at(morning(&world), options.speed);
    let score = Arc::new(Mutex::new(Score::new(&world)));
    let server = start_server(options, &world, address, &clock, &score)?;
    crate::print(&headline(options, &server, address))?;
    let fleet = start_fleet(world, address, &clock, &score)?;
    let watched = watch(options, &mut signals, &server, &score);
    lock(&score).close();
    // The access points say goodbye while there is still somebody to hear them.
    fleet.stop();
    let stopped = server.stop();
    broker.stop();
    watched.and(stopped)?;
    let summary = lock(&score).summary();
    crate::print(&if options.json { summary.json() } else { summary.to_string() })
}

fn plan(options: &Options) -> Plan {
    let id = |text: &str| text.parse::<Id>().ok();
    let bouncing = || {
        let what = IncidentKind::Bouncing {
            phone: id("ben-s-phone")?,
            a: id("office")?,
            b: id("kids-room")?,
            for_ms: 600_000,
        };
        Some(Incident { at_ms: 3_600_000, what })
    };
    Plan::house().with_incidents(bouncing().filter(|_| options.bouncing_phone).into_iter().collect())
}

/// The time of day at which the simulation begins, today.
fn morning(world: &World) -> Timestamp {
    let minutes = i64::try_from(world.starts_at_minute()).unwrap_or(0);
    let midnight = Zoned::now().start_of_day();
    let morning = midnight.and_then(|midnight| midnight.checked_add(jiff::Span::new().minutes(minutes)));
    morning.map_or_else(|_| Timestamp::now(), |morning| morning.timestamp())
}

fn start_server(
    options: &Options,
    world: &World,
    broker: SocketAddr,
    clock: &Clock,
    score: &Arc<Mutex<Score>>,
) -> Result<Server, Failure> {
    let score = Arc::clone(score);
    let observer = move |effect: &Effect, clock: &Clock| {
        let mut score = lock(&score);
        let line = line(effect, clock, &score);
        let counts = score.handle_effect(effect);
        drop(score);
        if let Some(line) = line.filter(|_| counts) {
            // A closed pipe is no failure; anything else shows at the summary.
            let _ = crate::print(&line);
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
        },
        home_assistant: HomeAssistant { enabled: true, prefix: "homeassistant".to_owned(), page_url: None },
        listen: options.port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        hosts: Vec::new(),
        state: None,
        clock: clock.clone(),
        context: context(options, BTreeMap::new()),
        observer: Some(Box::new(observer)),
    })
}

fn start_fleet(
    world: World,
    broker: SocketAddr,
    clock: &Clock,
    score: &Arc<Mutex<Score>>,
) -> Result<Fleet, Failure> {
    let options = FleetOptions { host: broker.ip().to_string(), port: broker.port(), site: default_site() };
    let (clock, score) = (clock.clone(), Arc::clone(score));
    let now_ms = move || u64::try_from(clock.now().as_ms()).unwrap_or(0);
    Fleet::start(world, &options, now_ms, move |world| lock(&score).handle_second(world))
        .map_err(|error| Failure::run(format!("no thread for the simulated home: {error}")))
}

/// Until a signal, the end of the time that was asked for, or the server's own end.
fn watch(
    options: &Options,
    signals: &mut Signals,
    server: &Server,
    score: &Mutex<Score>,
) -> Result<(), Failure> {
    let started = Instant::now();
    let mut shown = BTreeMap::new();
    loop {
        let over = options.ends_after.is_some_and(|ends_after| started.elapsed() >= ends_after);
        if over || server.is_finished() || signals.pending().next().is_some() {
            return Ok(());
        }
        let truth = lock(score).truths();
        if truth != shown {
            server.set_context(context(options, truth.clone()));
            shown = truth;
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

fn context(options: &Options, truth: BTreeMap<Id, String>) -> PageContext {
    let simulation = Some(Simulation { speed: options.speed, truth });
    PageContext { site: default_site(), next_step: String::new(), simulation }
}

/// A panic in one thread is reported by itself; the figures are as good as before it.
fn lock(score: &Mutex<Score>) -> MutexGuard<'_, Score> {
    score.lock().unwrap_or_else(PoisonError::into_inner)
}

fn headline(options: &Options, server: &Server, broker: SocketAddr) -> String {
    format!(
        "A simulated home, seed {}, {} times as fast as life. Page: http://{}/  MQTT: mqtt://{broker}\n\n{}\n",
        options.seed,
        options.speed,
        server.page(),
        columns("time", "who", "what", "where", "truth now", "because")
    )
}

/// A decision, as a line of the terminal; `None` for what is not worth one.
fn line(effect: &Effect, clock: &Clock, score: &Score) -> Option<String> {
    let text = match effect {
        Effect::Moved(moved) => moved_line(moved, clock, score),
        Effect::Person(view) if score.is_first(view) => found_line(view, clock, score),
        Effect::Problem(problem) => {
            format!("{}  problem: {}", clock.time_of_day(clock.now()), place(problem))
        }
        Effect::ProblemOver(problem) => {
            format!("{}  over: {}", clock.time_of_day(clock.now()), place(problem))
        }
        Effect::Person(_)
        | Effect::Room(_)
        | Effect::Device(_)
        | Effect::House(_)
        | Effect::Roamed(_)
        | Effect::NewRoom(_) => return None,
    };
    Some(cut(&text))
}

fn moved_line(moved: &Moved, clock: &Clock, score: &Score) -> String {
    let what = match moved.kind {
        MovedKind::Arrived => "arrived",
        MovedKind::Left => "left",
        MovedKind::ChangedRoom => "moved",
    };
    let way = format!("{} → {}", moved.from_name, moved.to_name);
    let truth = beside(score.truth_of(&moved.person), &moved.to_name);
    columns(&clock.time_of_day(moved.at), &moved.name, what, &way, &truth, &words(&moved.because))
}

fn found_line(view: &PersonView, clock: &Clock, score: &Score) -> String {
    let (what, room) = match (view.home, &view.room_name) {
        (Home::Home, Some(room)) => ("found", room.as_str()),
        (Home::Home, None) => ("found", ROOM_UNCLEAR),
        (Home::Away | Home::Undecided, _) => ("absent", ROOM_AWAY),
    };
    let truth = beside(score.truth_of(&view.id), room);
    columns(&clock.time_of_day(view.since), &view.name, what, room, &truth, &words(&view.because))
}

/// The truth at the time of a decision, and whether they agree.
fn beside(truth: Option<&str>, said: &str) -> String {
    let truth = truth.unwrap_or(ROOM_UNCLEAR);
    format!("{} {truth}", if truth == said { '✓' } else { '✗' })
}

fn columns(time: &str, who: &str, what: &str, place: &str, truth: &str, because: &str) -> String {
    format!("{time:<8}  {who:<7}  {what:<7}  {place:<25}  {truth:<13}  {because}")
}

fn place(problem: &Problem) -> String {
    problem.ap.as_ref().map_or_else(|| problem.text.clone(), |ap| format!("{ap}: {}", problem.text))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LINE_MAX {
        return format!("{}\n", text.trim_end());
    }
    let kept: String = text.chars().take(LINE_MAX - 1).collect();
    format!("{}…\n", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::summary::Summary;
    use super::*;
    use whichroom_presence::{Engine, Moment};
    use whichroom_simulator::Truth;

    /// The home and the core alone, without broker and clock: every message in order and at its time.
    struct Direct {
        world: World,
        engine: Engine,
        score: Score,
    }

    impl Direct {
        fn new(plan: Plan, seed: u64) -> Direct {
            let mut world = World::new(plan, seed);
            let mut engine = Engine::new(setup::of(&world), None, Moment::from_ms(0));
            world.handle_tracked(&engine.tracked());
            engine.handle_broker(true, Moment::from_ms(0));
            let score = Score::new(&world);
            Direct { world, engine, score }
        }

        fn run(mut self, hours: u64) -> Direct {
            let moment = |ms: u64| Moment::from_ms(i64::try_from(ms).unwrap());
            let until_ms = self.world.now_ms() + hours * 3_600_000;
            while self.world.now_ms() < until_ms {
                let second_ms = self.world.now_ms() + 1_000;
                for output in self.world.advance_to(second_ms) {
                    let (topic, payload) = (output.topic().to_string(), output.payload(output.at_ms));
                    self.pass_until(moment(output.at_ms));
                    self.engine.handle_publish(&topic, &payload, false, moment(output.at_ms));
                    self.drain();
                }
                self.pass_until(moment(second_ms));
                self.score.handle_second(&self.world);
            }
            self
        }

        fn pass_until(&mut self, now: Moment) {
            while let Some((at, _)) = self.engine.poll_timeout().filter(|&(at, _)| at <= now) {
                self.engine.handle_timeout(at);
                self.drain();
            }
        }

        fn drain(&mut self) {
            while let Some(effect) = self.engine.poll_effect() {
                self.score.handle_effect(&effect);
            }
        }

        fn summary(&self) -> Summary {
            self.score.summary()
        }
    }

    #[test]
    fn a_day_is_followed_and_nobody_inside_is_called_away() {
        for seed in 1..=2 {
            let summary = Direct::new(Plan::house(), seed).run(14).summary();
            assert_eq!(summary.false_aways, 0, "seed {seed}: {summary}");
            assert!(summary.room.share() > Some(0.7), "seed {seed}: {summary}");
            assert!(summary.home.share() > Some(0.9), "seed {seed}: {summary}");
        }
    }

    #[test]
    fn bouncing_phone_moves_nobody_to_and_fro() {
        let options =
            Options { seed: 2, speed: 1, ends_after: None, port: None, bouncing_phone: true, json: false };
        let before = Direct::new(plan(&options), 2).run(1);
        let moves = before.summary().moves;
        let after = before.run(1);
        // Two hundred associations in ten minutes, while the others go about their day.
        assert!(after.summary().moves - moves < 25, "{}", after.summary());
    }

    #[test]
    fn an_access_point_that_dies_sends_nobody_away() {
        for ap in ["garden", "kitchen", "living-room", "bedroom", "kids-room", "office"] {
            let death = Incident { at_ms: 1_200_000, what: IncidentKind::Death { ap: ap.parse().unwrap() } };
            let direct = Direct::new(Plan::house().with_incidents(vec![death]), 5).run(2);
            assert_eq!(direct.summary().false_aways, 0, "{ap}: {}", direct.summary());
        }
    }

    #[test]
    fn the_whole_of_it_runs_over_a_real_broker_and_stops() {
        let mut options = Options {
            seed: 1,
            speed: 300,
            ends_after: Some(Duration::from_secs(4)),
            port: Some(0),
            bouncing_phone: false,
            json: true,
        };
        run(&options).unwrap();
        options.json = false;
        options.ends_after = Some(Duration::ZERO);
        run(&options).unwrap();
    }

    #[test]
    fn lines_fit_and_say_what_the_truth_is() {
        let world = World::new(Plan::house(), 1);
        let score = Score::new(&world);
        let person = &world.people()[0];
        assert!(matches!(world.truth(0), Truth::Room(_)));
        let moved = Moved {
            person: person.id.clone(),
            name: person.name.clone(),
            kind: MovedKind::ChangedRoom,
            from: None,
            to: None,
            from_name: "Hall".to_owned(),
            to_name: "Bedroom".to_owned(),
            because: vec![whichroom_presence::output::Reason("a long story. ".repeat(20))],
            at: Moment::from_ms(0),
        };
        let clock = Clock::start_at(morning(&world), 1);
        let line = line(&Effect::Moved(moved), &clock, &score).unwrap();
        assert!(line.starts_with("07:00:00  Anna     moved    Hall → Bedroom "), "{line}");
        assert!(line.contains("✓ Bedroom") && line.ends_with("…\n"), "{line}");
        assert_eq!(line.trim_end().chars().count(), LINE_MAX);
    }
}
