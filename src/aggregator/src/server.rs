//! The shell around [`Hub`]: one thread that owns it and reads one channel, the broker's session, the page, and the
//! state file. `run` and `demo` start it and wait.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use whichroom_mqtt::{Event, Options as MqttOptions, Protocol, Publish, Refused, Session};
use whichroom_presence::calibration::Samples;
use whichroom_presence::output::{Effect, Home, Problem, View};
use whichroom_presence::setup::Setup;
use whichroom_presence::{Moment, Snapshot};
use whichroom_roaming::Site;
use whichroom_wire::aggregator::MovedKind;
use whichroom_wire::{Id, PAYLOAD_MAX, Root};

use crate::Failure;
use crate::access::Token;
use crate::access::store::Store;
use crate::clock::Clock;
use crate::config::{ExternalBroker, HomeAssistant, SignIn};
use crate::history::{self, Health, Keeping};
use crate::home_assistant::Owned;
use crate::hub::{self, Hub, Place};
use crate::names::{self, Findings, HostNames, Naming};
use crate::passing::{Grant, Passing};
use crate::record::line::Header;
use crate::record::writer::{Target, Writer};
use crate::samples::SampleFile;
use crate::state::{Apart, Saved, StateFile};
use crate::web::metrics::{Counted, metrics};
use crate::web::{self, Adopt, Ask, Desk, Gate, PageContext, Past, WebServer, page_json};

/// The page's port unless the configuration names one.
pub const PAGE_PORT: u16 = 8737;
/// The page is written anew at most this often.
const PAGE_EVERY: Duration = Duration::from_millis(200);
/// Counters of the page that change without a decision are this old at most.
const PAGE_AT_LEAST: Duration = Duration::from_secs(5);
/// A decision is on disk after at most this; timers that merely went on, after a minute.
const SAVE_AFTER_DECISION: Duration = Duration::from_secs(2);
const SAVE_AT_LEAST: Duration = Duration::from_secs(60);
/// How long a stop waits for the broker to take the last messages.
const FAREWELL: Duration = Duration::from_secs(3);
/// The broker keeps our session and our will for as long, so that a restart is nobody's business.
const SESSION_EXPIRY_S: u32 = 60;
const MS_PER_BIRTH_DELAY: u64 = 5_000;

/// Somebody who sees every decision as it is made.
pub type Observer = Box<dyn FnMut(&Effect, &Clock) + Send>;

/// What to run.
pub struct Options {
    pub site: Id,
    pub setup: Setup,
    pub broker: ExternalBroker,
    pub home_assistant: HomeAssistant,
    pub names: names::Options,
    /// Where the page listens; the default port if that is free, else any, if `None`.
    pub listen: Option<SocketAddr>,
    /// Names by which a browser may ask for the page, beside addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Who has to sign in.
    pub sign_in: SignIn,
    /// Of programs.
    pub tokens: Vec<Token>,
    /// Where state is kept; nothing survives if `None`.
    pub state: Option<StateFile>,
    pub clock: Clock,
    pub context: PageContext,
    pub observer: Option<Observer>,
    /// Where everything that decides is written down.
    pub record: Option<Target>,
    /// Where what happened is kept.
    pub history: Option<history::Options>,
    /// Makes unknown devices somebody's.
    pub adopt: Option<Arc<Adopt>>,
}

/// What a reload takes from a configuration.
pub struct Reloaded {
    pub setup: Setup,
    pub home_assistant: HomeAssistant,
    pub names: names::Options,
}

/// What the main loop is told.
enum Input {
    Mqtt(Side, Event),
    Reloaded(Box<Reloaded>),
    Names(Findings),
    Context(Box<PageContext>),
    History(Health),
    Page(Ask),
    Grant(Grant),
    Stop,
}

/// A connection to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Subscribes.
    Inbound,
    /// Publishes.
    Outbound,
    /// To Home Assistant's own broker, and to which by number: a reload may bring another.
    Apart(u32),
}

/// The connections. Two go to the access points' broker; connected there means that both are.
///
/// On one, acknowledgements of what we publish and messages for us would share a direction. Brokers that leave
/// Nagle's algorithm on (Mosquitto does) then hold a message until our system acknowledges the acknowledgement before
/// it, which it delays by 40 ms because we have nothing to say. Here each side answers at once.
struct Links {
    site: Id,
    instance: Id,
    inbound: Session,
    outbound: Session,
    /// One is enough here: nothing but orders comes from Home Assistant.
    apart: Option<Session>,
    /// Where that leads.
    apart_to: Option<ExternalBroker>,
    apart_number: u32,
    inbound_is_up: bool,
    outbound_is_up: bool,
    inputs: mpsc::Sender<Input>,
}

impl Links {
    fn start(options: &Options, instance: &Id, inputs: &mpsc::Sender<Input>) -> Links {
        let start =
            |side| start_session(mqtt_options(&options.site, &options.broker, instance, side), side, inputs);
        let mut links = Links {
            site: options.site.clone(),
            instance: instance.clone(),
            outbound: start(Side::Outbound),
            inbound: start(Side::Inbound),
            apart: None,
            apart_to: None,
            apart_number: 0,
            inbound_is_up: false,
            outbound_is_up: false,
            inputs: inputs.clone(),
        };
        links.start_apart(options.home_assistant.mqtt.clone());
        links
    }

    /// Connects to Home Assistant's own broker, if there is one.
    fn start_apart(&mut self, broker: Option<ExternalBroker>) {
        self.apart_number += 1;
        let side = Side::Apart(self.apart_number);
        self.apart = broker.as_ref().map(|broker| {
            start_session(mqtt_options(&self.site, broker, &self.instance, side), side, &self.inputs)
        });
        self.apart_to = broker;
    }

    /// Leaves Home Assistant's broker with these last words. Nobody waits for it here.
    fn leave_apart(&mut self, farewell: Vec<Publish>) {
        let Some(session) = self.apart.take() else { return };
        say_farewell(&session, farewell);
        // Without a thread it goes like a pulled plug, and the broker publishes the will.
        let closer = thread::Builder::new().name("goodbye".into());
        if let Err(error) = closer.spawn(move || session.close(FAREWELL)) {
            log::debug!("no goodbye to Home Assistant's broker: {error}");
        }
    }

    fn session(&self, place: Place) -> Option<&Session> {
        match place {
            Place::Main => Some(&self.outbound),
            Place::Apart => self.apart.as_ref(),
        }
    }

    /// What happened to both together, if anything did.
    fn merge(&mut self, side: Side, event: Event) -> Option<Event> {
        let were_up = self.inbound_is_up && self.outbound_is_up;
        let is_up = match side {
            Side::Inbound => &mut self.inbound_is_up,
            Side::Outbound => &mut self.outbound_is_up,
            Side::Apart(_) => return None,
        };
        match event {
            Event::Connected { .. } => {
                *is_up = true;
                (self.inbound_is_up && self.outbound_is_up).then_some(event)
            }
            Event::Disconnected { .. } => {
                *is_up = false;
                were_up.then_some(event)
            }
            Event::Message { .. } | Event::Acked(_) | Event::Oversized { .. } => Some(event),
        }
    }

    fn close(self) {
        self.inbound.close(Duration::ZERO);
        self.outbound.close(FAREWELL);
        if let Some(apart) = self.apart {
            apart.close(FAREWELL);
        }
    }
}

fn start_session(options: MqttOptions, side: Side, inputs: &mpsc::Sender<Input>) -> Session {
    let inputs = inputs.clone();
    // The receiver outlives the sessions; once it is gone nobody is left to tell.
    Session::start(options, move |event| drop(inputs.send(Input::Mqtt(side, event))))
}

fn say_farewell(session: &Session, farewell: Vec<Publish>) {
    for publish in farewell {
        if let Err(error) = session.try_publish(publish) {
            log::debug!("no goodbye: {error}");
        }
    }
}

/// A running aggregator.
pub struct Server {
    inputs: mpsc::Sender<Input>,
    gate: Arc<Gate>,
    page: SocketAddr,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

impl Server {
    /// Starts everything. The broker need not be there yet; the page is.
    pub fn start(options: Options) -> Result<Server, Failure> {
        let mut saved = match &options.state {
            Some(file) => file.load().map_err(Failure::run)?,
            None => Saved::new(options.site.clone()),
        };
        let samples = match &options.state {
            Some(file) => SampleFile::beside(file).load().map_err(Failure::run)?,
            None => Samples::default(),
        };
        let (page_sender, page_receiver) = watch::channel(Arc::from("{}"));
        let begin = Begin::new(&options, &mut saved, samples)?;
        let (inputs, receiver) = mpsc::channel();
        let asks = inputs.clone();
        // A stopped main loop answers nothing, and the page stops with it.
        let ask = Arc::new(move |ask| drop(asks.send(Input::Page(ask))));
        let (site, named) = watch::channel(Arc::new(history::site_of(&options.setup)));
        let past = options.history.as_ref().map(|kept| Past { path: kept.path.clone(), site: named });
        let store = options.state.as_ref().map(|file| Store::in_directory(file.directory()));
        let gate = Gate::new(store, options.sign_in, options.tokens.clone()).map(Arc::new);
        let gate = gate.map_err(Failure::run)?;
        let desk = Desk { state: page_receiver, ask, past, adopt: options.adopt.clone() };
        let web = open_page(&options, &desk, &gate)?;
        let page = web.address();
        let links = Links::start(&options, &saved.instance, &inputs);
        let keeping = start_history(&options, &mut saved, &inputs);
        let worker =
            Worker::new(options, saved, begin, keeping, web, Pages { page: page_sender, site }, links);
        let thread = thread::Builder::new().name("hub".into()).spawn(move || worker.run(&receiver));
        let thread = thread.map_err(|error| Failure::run(format!("no thread: {error}")))?;
        Ok(Server { inputs, gate, page, thread: Some(thread) })
    }

    /// Where the page is.
    pub fn page(&self) -> SocketAddr {
        self.page
    }

    /// Takes a configuration that was read again; nothing that was decided is lost.
    pub fn reload(&self, reloaded: Reloaded) {
        // A stopped server takes nothing; `wait` says why it stopped.
        let _ = self.inputs.send(Input::Reloaded(Box::new(reloaded)));
    }

    /// Takes the tokens of a configuration that was read again: what was taken out is worth nothing from now on.
    pub fn set_tokens(&self, tokens: Vec<Token>) {
        self.gate.set_tokens(tokens);
    }

    /// What the page says beside the decisions.
    pub fn set_context(&self, context: PageContext) {
        let _ = self.inputs.send(Input::Context(Box::new(context)));
    }

    /// Lets time pass, of a clock that does not by itself.
    pub fn grants(&self) -> impl Fn(Grant) + Send + use<> {
        let inputs = self.inputs.clone();
        // A stopped server drops it, and whoever waits is told so.
        move |grant| drop(inputs.send(Input::Grant(grant)))
    }

    /// Whether it stopped by itself.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Says goodbye to the broker, saves, and ends.
    pub fn stop(mut self) -> Result<(), Failure> {
        let _ = self.inputs.send(Input::Stop);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err(Failure::run("the main loop panicked; see the log")))
    }
}

fn open_page(options: &Options, desk: &Desk, gate: &Arc<Gate>) -> Result<WebServer, Failure> {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, PAGE_PORT));
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let start = |address| web::start(address, options.hosts.clone(), desk.clone(), Arc::clone(gate));
    let started = match options.listen {
        Some(address) => start(address),
        None => start(usual).or_else(|_| start(any)),
    };
    started.map_err(|error| Failure::run(format!("the page: {error}")))
}

fn mqtt_options(site: &Id, broker: &ExternalBroker, instance: &Id, side: Side) -> MqttOptions {
    let (suffix, will) = match side {
        Side::Inbound => ("-in", Hub::instance_will(site, instance)),
        Side::Outbound => ("", Hub::site_will(site)),
        Side::Apart(_) => ("-ha", Hub::site_will(site)),
    };
    MqttOptions {
        host: broker.host.clone(),
        port: broker.port,
        username: broker.username.clone(),
        password: broker.password.clone(),
        client_id: format!("whichroom-{site}-{instance}{suffix}"),
        keep_alive: Duration::from_secs(20),
        will: Some(will),
        will_delay_s: SESSION_EXPIRY_S,
        packet_max: PAYLOAD_MAX,
        protocol: Protocol::V5OrV4 { session_expiry_s: SESSION_EXPIRY_S },
        clean_session: false,
        tls: broker.tls.as_ref().map(|known| known.tls.clone()),
    }
}

/// Presence goes on without a history.
fn start_history(options: &Options, saved: &mut Saved, inputs: &mpsc::Sender<Input>) -> Option<Keeping> {
    let wanted = options.history.as_ref()?;
    let inputs = inputs.clone();
    // A main loop that ended has nobody to tell.
    let tell = move |health| drop(inputs.send(Input::History(health)));
    let started = Keeping::start(wanted, &options.setup, saved.roaming.take(), options.clock.clone(), tell);
    started.map_err(|error| log::error!("no history is kept: no thread: {error}")).ok()
}

/// Presence goes on without names.
fn start_naming(options: &names::Options, clock: &Clock, inputs: &mpsc::Sender<Input>) -> Option<Naming> {
    let inputs = inputs.clone();
    // A main loop that ended has nobody to tell.
    Naming::start(options, clock.clone(), move |findings| drop(inputs.send(Input::Names(findings))))
}

/// What of ours lies on Home Assistant's broker, if it is the one that it was.
fn owned_apart(saved: &Saved, broker: Option<&ExternalBroker>) -> Vec<Owned> {
    let known =
        saved.apart.as_ref().filter(|apart| broker.is_some_and(|broker| broker.url() == apart.broker));
    known.map(|apart| apart.published.clone()).unwrap_or_default()
}

/// What the engine begins with, and the recording of it.
struct Begin {
    now: Moment,
    samples: Samples,
    snapshot: Option<Snapshot>,
    recording: Option<Writer>,
}

impl Begin {
    fn new(options: &Options, saved: &mut Saved, samples: Samples) -> Result<Begin, Failure> {
        let now = options.clock.now();
        // What was saved lay there for a while: timers stood still, but "since" goes on.
        let downtime_ms = saved.age_ms(Timestamp::now());
        let snapshot = saved.snapshot.take().map(|snapshot| snapshot.taken_ms_ago(downtime_ms));
        let start = |target: &Target| {
            let header = Header {
                t_ms: now.as_ms(),
                exact: true,
                snapshot: snapshot.clone(),
                ..Header::new(&options.site, &options.setup, &samples, &options.clock)
            };
            Writer::start(target, &header)
        };
        let recording = options.record.as_ref().map(start).transpose();
        let recording = recording.map_err(|error| Failure::run(format!("the recording: {error}")))?;
        Ok(Begin { now, samples, snapshot, recording })
    }
}

/// What the page is told.
struct Pages {
    /// The present.
    page: watch::Sender<Arc<str>>,
    /// What the home is called.
    site: watch::Sender<Arc<Site>>,
}

/// The main loop's belongings.
struct Worker {
    recording: Option<Writer>,
    keeping: Option<Keeping>,
    hub: Hub,
    root: Root,
    clock: Clock,
    passing: Passing,
    state: Option<StateFile>,
    saved: Saved,
    page: watch::Sender<Arc<str>>,
    site: watch::Sender<Arc<Site>>,
    counted: Counted,
    logged: BTreeSet<Id>,
    /// Why there is no connection to Home Assistant's own broker, once one was tried.
    apart_trouble: Option<String>,
    context: PageContext,
    observer: Option<Observer>,
    web: WebServer,
    links: Links,
    /// What devices are called.
    names: HostNames,
    /// Finds out more, as `names_from` says.
    naming: Option<Naming>,
    names_from: names::Options,
    unsaved_since: Option<Instant>,
    saved_at: Instant,
    page_at: Option<Instant>,
    page_stale: bool,
    /// Somebody asked for the present state since it was last written.
    page_wanted: bool,
}

impl Worker {
    fn new(
        options: Options,
        saved: Saved,
        begin: Begin,
        keeping: Option<Keeping>,
        web: WebServer,
        pages: Pages,
        links: Links,
    ) -> Worker {
        let clock = options.clock;
        let names = saved.host_names.clone();
        let naming = start_naming(&options.names, &clock, &links.inputs);
        let seed = saved
            .instance
            .as_str()
            .bytes()
            .fold(0_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let root = Root::new(&options.site);
        let mut hub = Hub::new(
            hub::Options {
                site: options.site,
                instance: saved.instance.clone(),
                setup: options.setup,
                home_assistant: options.home_assistant,
                owned: saved.published.clone(),
                owned_apart: owned_apart(&saved, links.apart_to.as_ref()),
                samples: begin.samples,
                keeps_history: keeping.is_some(),
                snapshot: begin.snapshot,
                clock: clock.clone(),
                birth_delay_ms: seed % MS_PER_BIRTH_DELAY,
            },
            begin.now,
        );
        if begin.recording.is_some() {
            hub.record();
        }
        if keeping.is_some() {
            hub.witness_all();
        }
        Worker {
            recording: begin.recording,
            keeping,
            hub,
            root,
            clock,
            passing: Passing::default(),
            state: options.state,
            saved,
            page: pages.page,
            site: pages.site,
            logged: BTreeSet::new(),
            counted: Counted {
                home_assistant_is_connected: links.apart_to.as_ref().map(|_| false),
                ..Counted::default()
            },
            apart_trouble: None,
            context: options.context,
            observer: options.observer,
            web,
            naming,
            links,
            names: HostNames::new(names),
            names_from: options.names,
            unsaved_since: None,
            saved_at: Instant::now(),
            page_at: None,
            page_stale: true,
            page_wanted: true,
        }
    }

    fn run(mut self, inputs: &mpsc::Receiver<Input>) -> Result<(), Failure> {
        let mut stop = false;
        while !stop && self.hub.refused().is_none() {
            match inputs.recv_timeout(self.wait()) {
                Ok(input) => stop = self.handle(input),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => stop = true,
            }
            // What arrived together is decided before anything slower is done.
            while let Ok(input) = inputs.try_recv() {
                self.send();
                stop |= self.handle(input);
            }
            let now = self.clock.now();
            if self.hub.poll_timeout().is_some_and(|at| at <= now) {
                self.hub.handle_timeout(now, &self.clock);
            }
            self.send();
            self.write_recording();
            self.observe();
            self.keep(now);
            self.passing.settle(self.hub.poll_timeout(), self.hub.is_active(), now);
            self.write_page();
            self.save_samples();
            self.save_if_due();
        }
        self.finish()
    }

    /// Returns whether to stop.
    fn handle(&mut self, input: Input) -> bool {
        let now = self.clock.now();
        match input {
            Input::Mqtt(Side::Apart(number), event) => self.handle_apart(number, event, now),
            Input::Mqtt(side, event) => {
                // What fails on both is said once.
                if side == Side::Outbound || self.links.outbound_is_up {
                    log_trouble(&event, "the broker");
                }
                if let (Side::Inbound, Event::Message { topic, .. }) = (side, &event) {
                    self.root.below(topic).into_iter().for_each(|below| self.passing.handle_message(below));
                }
                if let Some(event) = self.links.merge(side, event) {
                    if matches!(event, Event::Connected { .. }) {
                        log::info!("connected to the broker");
                    }
                    self.hub.handle_event(event, now, &self.clock);
                }
            }
            Input::Reloaded(reloaded) => self.handle_reloaded(*reloaded, now),
            Input::Names(findings) => self.names.handle_findings(findings),
            Input::History(health) => self.handle_health(health),
            Input::Context(context) => self.context = *context,
            Input::Page(Ask::Metrics(reply)) => {
                // Who asked may have gone.
                let _ = reply.send(metrics(&self.view(now), &self.counted));
                return false;
            }
            Input::Page(Ask::Look) => self.page_wanted = true,
            Input::Page(Ask::Command(command, reply)) => {
                // Who asked may have gone.
                let _ = reply.send(self.hub.handle_command(&command, now, &self.clock));
            }
            Input::Grant(grant) => {
                self.pass_to(grant.until);
                self.passing.handle_grant(grant);
                return false;
            }
            Input::Stop => return true,
        }
        self.page_stale = true;
        false
    }

    /// Time passes that was granted: what is due meanwhile is done at its time.
    fn pass_to(&mut self, until: Moment) {
        while let Some(at) = self.hub.poll_timeout().filter(|at| *at <= until) {
            self.clock.pass_to(at);
            self.hub.handle_timeout(self.clock.now(), &self.clock);
        }
        self.clock.pass_to(until);
    }

    /// Whatever happens to Home Assistant's broker, decisions go on.
    fn handle_apart(&mut self, number: u32, event: Event, now: Moment) {
        if number != self.links.apart_number {
            return;
        }
        log_trouble(&event, "Home Assistant's broker");
        match event {
            Event::Connected { .. } => {
                log::info!("connected to Home Assistant's broker");
                self.counted.home_assistant_is_connected = Some(true);
                self.apart_trouble = None;
            }
            Event::Disconnected { ref why, .. } => {
                self.counted.home_assistant_is_connected = Some(false);
                self.apart_trouble = Some(why.clone());
            }
            Event::Message { .. } | Event::Acked(_) | Event::Oversized { .. } => {}
        }
        self.hub.handle_apart(event, now, &self.clock);
    }

    /// Another broker for Home Assistant, or another way into the same.
    fn replace_apart(&mut self, broker: Option<ExternalBroker>) {
        if broker == self.links.apart_to {
            return;
        }
        let farewell = self.hub.handle_apart_replaced(broker.is_some());
        self.links.leave_apart(farewell);
        self.counted.home_assistant_is_connected = broker.as_ref().map(|_| false);
        self.apart_trouble = None;
        self.links.start_apart(broker);
    }

    fn handle_reloaded(&mut self, reloaded: Reloaded, now: Moment) {
        let Reloaded { setup, home_assistant, names } = reloaded;
        if let Some(keeping) = &mut self.keeping {
            keeping.handle_setup(&setup);
        }
        self.site.send_replace(Arc::new(history::site_of(&setup)));
        self.replace_apart(home_assistant.mqtt.clone());
        self.hub.handle_setup(setup, home_assistant, now, &self.clock);
        if names != self.names_from {
            self.naming = start_naming(&names, &self.clock, &self.links.inputs);
            self.names.handle_findings(Findings::new());
            self.names_from = names;
        }
    }

    /// Until the next thing that is due by time.
    fn wait(&self) -> Duration {
        let hub = self.hub.poll_timeout().map(|at| self.clock.until(at));
        let page = self.page_due().map(|at| at.saturating_duration_since(Instant::now()));
        let save =
            self.unsaved_since.map(|at| (at + SAVE_AFTER_DECISION).saturating_duration_since(Instant::now()));
        let kept = self.keeping.as_ref().and_then(Keeping::poll_timeout).map(|at| self.clock.until(at));
        [hub, page, save, kept].into_iter().flatten().min().unwrap_or(SAVE_AFTER_DECISION)
    }

    fn send(&mut self) {
        self.subscribe(Place::Main);
        self.subscribe(Place::Apart);
        self.send_to(Place::Main);
        self.send_to(Place::Apart);
    }

    fn subscribe(&mut self, place: Place) {
        let Some(filters) = self.hub.poll_subscribe(place) else { return };
        let session = match place {
            Place::Main => Some(&self.links.inbound),
            Place::Apart => self.links.apart.as_ref(),
        };
        if let Some(Err(error)) = session.map(|session| session.subscribe(&filters)) {
            log::debug!("not subscribed: {error}");
        }
    }

    fn send_to(&mut self, place: Place) {
        let Some(session) = self.links.session(place) else { return };
        while let Some(publish) = self.hub.next_publish(place) {
            match session.try_publish(publish.clone()) {
                Ok(token) => self.hub.handle_handed(place, token, self.clock.now()),
                Err(Refused::NotConnected | Refused::Full) => return,
                Err(error @ (Refused::TooLarge { .. } | Refused::BadTopic)) => {
                    log::error!("{} is not published: {error}", publish.topic);
                    self.hub.handle_unsendable(place);
                }
            }
        }
    }

    /// A recording that cannot go on ends, and is said; decisions go on.
    fn write_recording(&mut self) {
        while let Some(line) = self.hub.poll_line() {
            let taken = self.recording.as_ref().is_some_and(|recording| recording.write(line));
            if !taken {
                self.hub.stop_recording();
                self.finish_recording();
            }
        }
    }

    fn finish_recording(&mut self) {
        let Some(recording) = self.recording.take() else { return };
        let file = recording.file().display().to_string();
        match recording.finish() {
            Ok(written) if written.is_full => {
                log::warn!(
                    "the recording {file} is as large as was allowed: {} bytes, and ends",
                    written.bytes
                );
            }
            Ok(written) => log::info!("recorded {} lines in {file}, {} bytes", written.lines, written.bytes),
            Err(error) => log::error!("the recording ends: {error}"),
        }
    }

    fn observe(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            self.passing.handle_effect(&effect);
            match &mut self.observer {
                Some(observer) => observer(&effect, &self.clock),
                None => log_effect(&effect, &mut self.logged),
            }
            if let Effect::Roamed(roamed) = &effect {
                *self.counted.roams.entry(roamed.device.clone()).or_default() += 1;
            }
            if let Some(keeping) = &mut self.keeping {
                keeping.handle_effect(&effect);
            }
        }
    }

    /// Hands what counted and what was decided to the history.
    fn keep(&mut self, now: Moment) {
        let notes = self.hub.take_notes();
        let Some(keeping) = &mut self.keeping else { return };
        notes.into_iter().for_each(|(text, at)| keeping.handle_note(text, at));
        while let Some(witnessed) = self.hub.poll_witnessed() {
            keeping.handle_witnessed(witnessed);
        }
        keeping.handle_likely_rooms(|| self.hub.likely_rooms(), now);
        keeping.settle(now);
        let mut is_told = false;
        while let Some((device, state)) = keeping.poll_thrashing(now) {
            self.hub.handle_thrashing(&device, state, now, &self.clock);
            is_told = true;
        }
        if is_told {
            self.send();
        }
    }

    fn handle_health(&mut self, health: Health) {
        self.counted.history_is_written = Some(health == Health::Writing);
        match health {
            Health::Writing => log::info!("history: writing"),
            Health::Failing { why, lost } => {
                log::error!("history: nothing is kept ({lost} entries lost so far): {why}; presence goes on");
            }
        }
    }

    /// Everything, and what needs attention although no decision waits for it.
    fn view(&self, now: Moment) -> View {
        let mut view = self.hub.view(now);
        let apart = self.apart_trouble.as_ref().map(|why| Problem {
            ap: None,
            text: format!(
                "no connection to Home Assistant's broker, {why}: Home Assistant shows the home as it was, decisions \
                 go on here. Is that broker running? If so, look at [home_assistant] in the configuration"
            ),
        });
        view.problems.extend(apart);
        view
    }

    /// When to write the page; never while nobody looks.
    fn page_due(&self) -> Option<Instant> {
        if !self.page_wanted && !Desk::is_watched(&self.page) {
            return None;
        }
        let Some(at) = self.page_at else { return Some(Instant::now()) };
        Some(at + if self.page_stale || self.page_wanted { PAGE_EVERY } else { PAGE_AT_LEAST })
    }

    fn write_page(&mut self) {
        if self.page_due().is_none_or(|at| at > Instant::now()) {
            return;
        }
        let view = self.view(self.clock.now());
        if let Some(naming) = &self.naming {
            naming.want(self.names.wanted(&view));
        }
        let json = page_json(&view, &self.names, &self.clock, &self.context);
        self.page.send_replace(Arc::from(json));
        self.page_at = Some(Instant::now());
        self.page_stale = false;
        self.page_wanted = false;
    }

    /// Somebody walked through the house for them: they are on disk at once.
    fn save_samples(&mut self) {
        let Some(samples) = self.hub.take_changed_samples() else { return };
        let Some(file) = &self.state else { return };
        if let Err(error) = SampleFile::beside(file).save(samples) {
            log::error!("the calibration cannot be saved, a restart would lose it: {error}");
        }
    }

    fn save_if_due(&mut self) {
        if self.hub.take_dirty() {
            self.unsaved_since.get_or_insert_with(Instant::now);
        }
        let decided = self.unsaved_since.is_some_and(|at| at.elapsed() >= SAVE_AFTER_DECISION);
        if decided || self.saved_at.elapsed() >= SAVE_AT_LEAST {
            self.save();
        }
    }

    fn save(&mut self) {
        self.unsaved_since = None;
        self.saved_at = Instant::now();
        let Some(file) = &self.state else { return };
        let snapshot = self.hub.snapshot(self.clock.now());
        self.names.remember(&self.hub.addresses());
        self.saved.host_names.clone_from(self.names.remembered());
        self.saved.snapshot = Some(snapshot);
        self.saved.published = self.hub.owned(Place::Main);
        self.saved.apart = self
            .links
            .apart_to
            .as_ref()
            .map(|broker| Apart { broker: broker.url(), published: self.hub.owned(Place::Apart) });
        self.saved.roaming = self.keeping.as_ref().map(Keeping::snapshot);
        // Presence goes on with a full disk; what a restart would lose is said.
        if let Err(error) = file.save(&mut self.saved, Timestamp::now()) {
            log::error!("the state cannot be saved, a restart would lose it: {error}");
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        say_farewell(&self.links.outbound, self.hub.farewell());
        if let Some(apart) = &self.links.apart {
            say_farewell(apart, self.hub.farewell_apart());
        }
        let refused = self.hub.refused().map(Failure::run);
        // One that was refused decided nothing.
        if refused.is_none() {
            self.save();
        }
        self.write_recording();
        self.finish_recording();
        self.web.stop();
        self.links.close();
        refused.map_or(Ok(()), Err)
    }
}

fn log_trouble(event: &Event, broker: &str) {
    match event {
        Event::Disconnected { why, retry_in } => {
            log::warn!("no connection to {broker}: {why}; next attempt in {:.1} s", retry_in.as_secs_f32());
        }
        Event::Oversized { topic, bytes } => {
            let topic = topic.as_deref().unwrap_or("a topic");
            log::warn!("{topic} holds {bytes} bytes and was not read; at most {PAYLOAD_MAX} are");
        }
        Event::Connected { .. } | Event::Message { .. } | Event::Acked(_) => {}
    }
}

/// `logged` are people of whom the log says where they are: what follows are moves, which say so themselves.
fn log_effect(effect: &Effect, logged: &mut BTreeSet<Id>) {
    match effect {
        Effect::Moved(moved) => {
            let because = words(&moved.because);
            match moved.kind {
                MovedKind::Arrived => log::info!("{} came home, {}: {because}", moved.name, moved.to_name),
                MovedKind::Left => log::info!("{} left: {because}", moved.name),
                MovedKind::ChangedRoom => {
                    log::info!(
                        "{} went from {} to {}: {because}",
                        moved.name,
                        moved.from_name,
                        moved.to_name
                    );
                }
            }
        }
        Effect::Problem(problem) => log::warn!("{}", place(problem)),
        Effect::ProblemOver(problem) => log::info!("over: {}", place(problem)),
        Effect::Roamed(roamed) => {
            log::debug!("{} roamed from {} to {}", roamed.device, roamed.from_ap, roamed.to_ap)
        }
        Effect::NewRoom(room) => log::info!("new room {}", room.name),
        Effect::Calibrated(sample) => {
            log::info!("calibrated: {} in {}, sample {}", sample.device, sample.room, sample.id);
        }
        Effect::Forgotten(sample) => {
            log::info!(
                "forgot sample {}, the oldest of {} in {}: enough are kept",
                sample.id,
                sample.device,
                sample.room
            );
        }
        Effect::NotCalibrated(refused) => {
            log::warn!("not calibrated: {} in {}: {}", refused.device, refused.room, refused.error);
        }
        Effect::Ask { ap, request } => log::debug!("asking {ap}: request {}", request.id),
        Effect::Person(person) if person.home != Home::Undecided && logged.insert(person.id.clone()) => {
            let room = person.room_name.as_ref().map(|room| format!(", {room}")).unwrap_or_default();
            log::info!("{} is {}{room}: {}", person.name, person.home, words(&person.because));
        }
        Effect::Person(_) | Effect::Room(_) | Effect::Device(_) | Effect::House(_) => {}
    }
}

fn place(problem: &Problem) -> String {
    match &problem.ap {
        Some(ap) => format!("{ap}: {}", problem.text),
        None => problem.text.clone(),
    }
}

/// Reasons in one line.
pub fn words(reasons: &[whichroom_presence::output::Reason]) -> String {
    let words: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    words.join("; ")
}
