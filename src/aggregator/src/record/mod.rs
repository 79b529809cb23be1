//! Recordings: everything the engine was given, as compressed JSON lines (`line`), so that every decision can be made
//! again. `writer` writes them, `reader` reads them. A running aggregator records itself (`whichroom run --record`);
//! `whichroom record`, here, listens beside it, or without one.

pub mod line;
pub mod reader;
pub mod writer;

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use whichroom_mqtt::{Event, Options as MqttOptions, Protocol, Session};
use whichroom_presence::calibration::Samples;
use whichroom_wire::{Id, PAYLOAD_MAX, Root};

use self::line::Header;
use self::writer::{MAX_MB, Target, Writer, Written};
use crate::Failure;
use crate::clock::Clock;
use crate::config::{self, BrokerChoice, Config, EmbeddedBroker, ExternalBroker, Loaded};
use crate::decider::Given;
use crate::hub;
use crate::run::MQTT_PORT;
use crate::samples::SampleFile;
use crate::state::{self, StateFile};

const HELP: &str = "\
whichroom record FILE: writes down everything the access points say, for whichroom replay.

  --for TIME      ends by itself, after 90s, 15m, 24h or 1h30m (default: when interrupted)
  --max-mb N      ends at so many million bytes (default: 256)
  --config FILE   the home, and its broker (default: as whichroom run)
  --state DIR     where whichroom run keeps its calibration samples (default: as whichroom run)

It listens beside whichroom run, or without it, and decides nothing. To record what a running aggregator decides on to
the millisecond, with what it knew before, let it record itself: whichroom run --record FILE
";

/// How often signals and the end are looked after.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// What the command line says.
#[derive(Default)]
struct Options {
    file: Option<PathBuf>,
    ends_after: Option<Duration>,
    max_mb: Option<u64>,
    config: Option<PathBuf>,
    state: Option<PathBuf>,
}

/// Runs `whichroom record`.
pub fn main(mut args: lexopt::Parser) -> Result<(), Failure> {
    let mut options = Options::default();
    while let Some(argument) = args.next()? {
        match argument {
            Long("for") => options.ends_after = Some(args.value()?.parse_with(duration)?),
            Long("max-mb") => options.max_mb = Some(args.value()?.parse()?),
            Long("config") => options.config = Some(args.value()?.into()),
            Long("state") => options.state = Some(args.value()?.into()),
            Value(value) if options.file.is_none() => options.file = Some(value.into()),
            Long("help") | Short('h') => return crate::print(HELP),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let file = options.file.take();
    let file = file.ok_or_else(|| Failure::usage(format!("into which file?\n\n{HELP}")))?;
    let signals =
        Signals::new([SIGTERM, SIGINT]).map_err(|error| Failure::run(format!("signals: {error}")))?;
    let loaded =
        config::load(options.config.as_deref()).map_err(|error| Failure::usage(error.to_string()))?;
    let samples = samples(options.state, &loaded)?;
    let broker = broker(&loaded.config)?;
    let clock = Clock::start();
    let target = Target::new(file, options.max_mb.unwrap_or(MAX_MB));
    let header = Header::new(&loaded.config.site, &loaded.config.setup, &samples, &clock);
    let writer = Writer::start(&target, &header).map_err(Failure::run)?;
    let listener = Listener { root: Root::new(&loaded.config.site), clock, writer, heard: None };
    let session = mqtt_options(broker, &loaded.config.site)?;
    listener.run(session, signals, options.ends_after)
}

/// "90s", "15m", "1h30m"; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write 90s, 15m, 24h or 1h30m".to_owned();
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let signed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(signed).ok().filter(|duration| !duration.is_zero()).ok_or_else(wrong)
}

/// What whichroom run keeps; none where it never ran.
fn samples(state: Option<PathBuf>, loaded: &Loaded) -> Result<Samples, Failure> {
    let directory = state::directory(state, loaded.file.as_deref());
    if !directory.is_dir() {
        return Ok(Samples::default());
    }
    let file = StateFile::in_directory(&directory).map_err(Failure::run)?;
    SampleFile::beside(&file).load().map_err(Failure::run)
}

/// The broker that the access points and whichroom run use.
fn broker(config: &Config) -> Result<ExternalBroker, Failure> {
    match &config.broker {
        BrokerChoice::External(broker) => Ok(broker.clone()),
        BrokerChoice::Embedded(embedded) => embedded_broker(embedded),
    }
}

/// The embedded one is reached as Home Assistant reaches it; it runs inside whichroom run.
fn embedded_broker(embedded: &EmbeddedBroker) -> Result<ExternalBroker, Failure> {
    let host = embedded.listen.map(|address| address.ip()).filter(|ip| !ip.is_unspecified());
    let user = embedded.users.iter().find(|user| user.ap.is_none());
    if user.is_none() && !embedded.users.is_empty() {
        return Err(Failure::usage(
            "the embedded broker lets nobody but access points in: add a user without ap under [mqtt], or record with \
             whichroom run --record FILE",
        ));
    }
    Ok(ExternalBroker {
        host: host.map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_string()),
        port: embedded.listen.map_or(MQTT_PORT, |address| address.port()),
        username: user.map(|user| user.name.clone()),
        password: user.map(|user| user.password.clone()),
        tls: None,
    })
}

fn mqtt_options(broker: ExternalBroker, site: &Id) -> Result<MqttOptions, Failure> {
    Ok(MqttOptions {
        host: broker.host,
        port: broker.port,
        username: broker.username,
        password: broker.password,
        client_id: format!("whichroom-{site}-record-{}", state::random_hex(4).map_err(Failure::run)?),
        keep_alive: Duration::from_secs(20),
        will: None,
        will_delay_s: 0,
        packet_max: PAYLOAD_MAX,
        protocol: Protocol::V5OrV4 { session_expiry_s: 0 },
        clean_session: true,
        tls: broker.tls.map(|known| known.tls),
    })
}

/// Writes down what comes from the broker.
struct Listener {
    root: Root,
    clock: Clock,
    writer: Writer,
    /// Messages so far; `None` before the first connection.
    heard: Option<u64>,
}

impl Listener {
    fn run(
        mut self,
        options: MqttOptions,
        mut signals: Signals,
        ends_after: Option<Duration>,
    ) -> Result<(), Failure> {
        let (sender, events) = mpsc::channel();
        let started = Instant::now();
        // The receiver outlives the session but for its last words.
        let session = Session::start(options, move |event| drop(sender.send(event)));
        loop {
            let goes_on = match events.recv_timeout(WATCH_EVERY) {
                Ok(event) => self.handle(event, &session),
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            let is_over = ends_after.is_some_and(|ends_after| started.elapsed() >= ends_after);
            if !goes_on || is_over || signals.pending().next().is_some() {
                break;
            }
        }
        session.close(Duration::ZERO);
        self.finish()
    }

    /// Returns whether to go on.
    fn handle(&mut self, event: Event, session: &Session) -> bool {
        let given = match &event {
            Event::Connected { .. } => {
                log::info!("connected to the broker");
                self.heard.get_or_insert(0);
                let filters: Vec<String> =
                    hub::DECISIVE.iter().map(|filter| self.root.filter(filter)).collect();
                if let Err(error) = session.subscribe(&filters) {
                    log::warn!("not subscribed: {error}");
                }
                Given::Broker { connected: true }
            }
            Event::Disconnected { why, retry_in } => {
                log::warn!(
                    "no connection to the broker: {why}; next attempt in {:.1} s",
                    retry_in.as_secs_f32()
                );
                Given::Broker { connected: false }
            }
            Event::Message { topic, payload, retained } => {
                let Some(below) = self.root.below(topic) else { return true };
                self.heard = self.heard.map(|heard| heard + 1);
                Given::Message { topic: below.into(), payload, retained: *retained }
            }
            Event::Oversized { topic, bytes } => {
                let topic = topic.as_deref().unwrap_or("a topic");
                log::warn!("{topic} holds {bytes} bytes and was not read; at most {PAYLOAD_MAX} are");
                return true;
            }
            Event::Acked(_) => return true,
        };
        self.writer.write(line::write(&given, self.clock.now()))
    }

    fn finish(self) -> Result<(), Failure> {
        let file = self.writer.file().display().to_string();
        let Written { lines, bytes, is_full } = self.writer.finish().map_err(Failure::run)?;
        let why = if is_full { ", as large as was allowed" } else { "" };
        match self.heard {
            None => Err(Failure::run(format!(
                "{file}: nothing was recorded: there was no connection to the broker"
            ))),
            Some(0) => Err(Failure::run(format!(
                "{file}: nothing was recorded: no access point said anything; is the site right, and does an agent run?"
            ))),
            Some(heard) => {
                crate::print(&format!("{file}: {heard} messages, {lines} lines, {bytes} bytes{why}\n"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
