//! The aggregator's core without sockets: MQTT events and time go in, messages to publish and things to log come out.
//! `server` is its shell; `run` and `demo` differ only in what they put around that.
//!
//! ```text
//!   Disconnected --connected--> Joining --own status came back, nobody else there--> Active
//!        ^                         |
//!        |                         +-- another instance answers --> refused: the server stops and says why
//!        +------ connection lost, from either
//! ```
//!
//! Nothing but its own instance's status is published before `Active`, so two aggregators never argue about one house.

use std::collections::{BTreeMap, VecDeque};

use whichroom_mqtt::{Event, Publish, Token};
use whichroom_presence::calibration::Samples;
use whichroom_presence::output::{Effect, LikelyRooms, View, Witnessed};
use whichroom_presence::setup::Setup;
use whichroom_presence::{Moment, Snapshot};
use whichroom_roaming::Thrashing;
use whichroom_wire::aggregator::{OFFLINE, ONLINE};
use whichroom_wire::{Id, Root, Topic};

use crate::clock::Clock;
use crate::command::{Command, Outcome};
use crate::config::HomeAssistant;
use crate::decider::{Decider, Given};
use crate::home_assistant::{BORN, Desired, Device, Home, Owned, Published, birth_topic};
use crate::topics;

/// Another instance has this long to answer that it lives.
const RIVAL_ANSWERS_MS: u64 = 2_000;

/// Once our own status came back, the statuses that were retained before it have come, or come within this.
const ECHO_SETTLES_MS: u64 = 200;

/// A broker that does not give us our own status back is not waited for any longer.
const ECHO_COMES_MS: u64 = 5_000;

/// Most messages that wait for the broker; beyond, everything is published anew once it takes some.
const QUEUE_MAX: usize = 20_000;

/// Subscriptions below the root to everything that decides.
pub const DECISIVE: [&str; 7] =
    ["ap/+/status", "ap/+/radios", "ap/+/stations", "ap/+/events", "ap/+/hosts", "set/+", "calibrate"];

/// What the hub is told at its start.
pub struct Options {
    pub site: Id,
    pub instance: Id,
    pub setup: Setup,
    pub home_assistant: HomeAssistant,
    pub owned: Vec<Owned>,
    pub snapshot: Option<Snapshot>,
    pub samples: Samples,
    /// Whether a history is kept, which is what tells how devices roam.
    pub keeps_history: bool,
    /// Shows times to people.
    pub clock: Clock,
    /// Random, 0 to 5000: how long after Home Assistant's birth message to answer.
    pub birth_delay_ms: u64,
}

/// See the module's diagram.
#[derive(Debug, PartialEq)]
enum Phase {
    Disconnected,
    Joining { rival: Option<Rival>, decide_at: Moment },
    Active,
}

/// Another instance whose retained status says `online`.
#[derive(Debug, PartialEq)]
struct Rival {
    instance: Id,
    until: Moment,
}

/// The core.
pub struct Hub {
    root: Root,
    site: Id,
    instance: Id,
    decider: Decider,
    published: Published,
    keeps_history: bool,
    /// Devices that thrash.
    thrashing: BTreeMap<Id, Thrashing>,
    /// Every device's is to be published.
    tell_thrashing: bool,
    home_assistant: HomeAssistant,
    birth_delay_ms: u64,
    phase: Phase,
    queue: VecDeque<Publish>,
    in_flight: BTreeMap<Token, Publish>,
    resync: bool,
    subscribe: Option<Vec<String>>,
    effects: VecDeque<Effect>,
    refused: Option<String>,
    dirty: bool,
    /// Of the BSSs that the agents were told.
    bssids_revision: u64,
    /// Of the samples that were taken last.
    samples_revision: u64,
}

impl Hub {
    pub fn new(options: Options, now: Moment) -> Hub {
        let decider = Decider::new(options.setup, options.samples, options.snapshot, options.clock, now);
        let samples_revision = decider.engine().samples_revision();
        Hub {
            root: Root::new(&options.site),
            site: options.site,
            instance: options.instance,
            decider,
            published: Published::new(options.owned),
            keeps_history: options.keeps_history,
            thrashing: BTreeMap::new(),
            tell_thrashing: false,
            home_assistant: options.home_assistant,
            birth_delay_ms: options.birth_delay_ms,
            phase: Phase::Disconnected,
            queue: VecDeque::new(),
            in_flight: BTreeMap::new(),
            resync: false,
            subscribe: None,
            effects: VecDeque::new(),
            refused: None,
            dirty: true,
            bssids_revision: 0,
            samples_revision,
        }
    }

    /// The will of the connection that writes: what Home Assistant watches.
    pub fn site_will(site: &Id) -> Publish {
        Publish { topic: Root::new(site).full(&Topic::Status), payload: OFFLINE.into(), retain: true }
    }

    /// The will of the connection that reads: what other aggregators watch.
    pub fn instance_will(site: &Id, instance: &Id) -> Publish {
        let topic = Root::new(site).full(&Topic::AggregatorStatus(instance.clone()));
        Publish { topic, payload: OFFLINE.into(), retain: true }
    }

    /// Something came from the broker's connection.
    pub fn handle_event(&mut self, event: Event, now: Moment, clock: &Clock) {
        match event {
            Event::Connected { .. } => self.handle_connected(now),
            Event::Disconnected { .. } => self.handle_disconnected(now),
            Event::Message { topic, payload, retained } => {
                self.handle_message(&topic, &payload, retained, now)
            }
            Event::Acked(token) => self.handle_acked(token),
            Event::Oversized { .. } => {}
        }
        self.settle(now, clock);
    }

    /// The configuration was read again.
    pub fn handle_setup(&mut self, setup: Setup, home_assistant: HomeAssistant, now: Moment, clock: &Clock) {
        self.home_assistant = home_assistant;
        self.decider.give(Given::Setup(Box::new(setup)), now);
        let home = self.home(now);
        self.thrashing.retain(|device, _| home.followed().any(|known| known.id == *device));
        if self.phase == Phase::Active {
            let changed = self.announce(now);
            self.enqueue(changed);
            self.publish_states(now);
        }
        self.settle(now, clock);
    }

    /// Somebody asks or tells something, from the page or the command line.
    pub fn handle_command(&mut self, command: &Command, now: Moment, clock: &Clock) -> Outcome {
        let outcome = self.decider.command(command, now);
        self.settle(now, clock);
        outcome
    }

    /// The history found that a device thrashes, goes on, or stopped.
    pub fn handle_thrashing(&mut self, device: &Id, state: Option<Thrashing>, now: Moment, clock: &Clock) {
        let home = self.home(now);
        let Some(device) = home.followed().find(|known| known.id == *device) else { return };
        if self.phase == Phase::Active {
            self.enqueue([topics::thrashing(device, state.as_ref(), clock, &self.root)]);
        }
        match state {
            Some(state) => {
                if !self.thrashing.contains_key(&device.id) {
                    let between: Vec<&str> = state.aps.iter().map(Id::as_str).collect();
                    let (name, changes) = (&device.name, state.changes);
                    let between = between.join(" and ");
                    log::warn!(
                        "{name} goes to and fro between {between}, {changes} times so far; see the Timeline"
                    );
                }
                self.thrashing.insert(device.id.clone(), state);
            }
            None => {
                if let Some(state) = self.thrashing.remove(&device.id) {
                    log::info!("{} no longer goes to and fro, {} times in all", device.name, state.changes);
                }
            }
        }
    }

    /// A time that [`Hub::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Moment, clock: &Clock) {
        self.decider.give(Given::Timeout, now);
        let repeated = self.published.handle_timeout(now);
        if !repeated.is_empty() && self.phase == Phase::Active {
            self.enqueue(repeated);
            self.publish_all(now);
        }
        self.activate_if_alone(now);
        self.settle(now, clock);
    }

    /// When to call [`Hub::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Moment> {
        let joined = match &self.phase {
            Phase::Joining { rival, decide_at } => {
                Some(rival.as_ref().map_or(*decide_at, |rival| rival.until.max(*decide_at)))
            }
            Phase::Disconnected | Phase::Active => None,
        };
        let engine = self.decider.poll_timeout();
        [engine, self.published.poll_timeout(), joined].into_iter().flatten().min()
    }

    /// Filters to subscribe to, once a connection.
    pub fn poll_subscribe(&mut self) -> Option<Vec<String>> {
        self.subscribe.take()
    }

    /// The next message for the broker; it stays first until [`Hub::handle_handed`].
    pub fn next_publish(&self) -> Option<&Publish> {
        self.queue.front()
    }

    /// The message of [`Hub::next_publish`] was handed over.
    pub fn handle_handed(&mut self, token: Token, now: Moment) {
        if let Some(publish) = self.queue.pop_front() {
            self.in_flight.insert(token, publish);
        }
        if self.queue.is_empty() && std::mem::take(&mut self.resync) {
            let discovery = self.published.repeat();
            self.enqueue(discovery);
            self.publish_states(now);
        }
    }

    /// The message of [`Hub::next_publish`] can never be sent.
    pub fn handle_unsendable(&mut self) {
        self.queue.pop_front();
    }

    /// From now on, [`Hub::poll_witnessed`] gives what counted of the access points' messages.
    pub fn witness_all(&mut self) {
        self.decider.witness_all();
    }

    /// What was noted since the last call, for the history.
    pub fn take_notes(&mut self) -> Vec<(String, Moment)> {
        self.decider.take_notes()
    }

    /// Something that counted, for the history.
    pub fn poll_witnessed(&mut self) -> Option<Witnessed> {
        self.decider.poll_witnessed()
    }

    /// Where devices may be, for the history.
    pub fn likely_rooms(&self) -> Vec<LikelyRooms> {
        self.decider.engine().likely_rooms()
    }

    /// From now on everything that decides is written down, line by line.
    pub fn record(&mut self) {
        self.decider.record();
    }

    /// The recording is over.
    pub fn stop_recording(&mut self) {
        self.decider.stop_recording();
    }

    /// The next line of the recording.
    pub fn poll_line(&mut self) -> Option<Vec<u8>> {
        self.decider.poll_line()
    }

    /// Decisions, for the log and the terminal.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Why this instance must not go on.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Last messages before a wanted stop. Presence is left as it is: it is retained, and nobody moved.
    pub fn farewell(&self) -> Vec<Publish> {
        let instance = self.status(&Topic::AggregatorStatus(self.instance.clone()), OFFLINE);
        match self.phase {
            Phase::Active => vec![self.status(&Topic::Status, OFFLINE), instance],
            Phase::Joining { .. } => vec![instance],
            Phase::Disconnected => Vec::new(),
        }
    }

    /// Everything, for the page.
    pub fn view(&self, now: Moment) -> View {
        self.decider.engine().view(now)
    }

    /// Whether something was decided since the last call.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// The samples, if they changed since the last call: for their file.
    pub fn take_changed_samples(&mut self) -> Option<&Samples> {
        let engine = self.decider.engine();
        let before = std::mem::replace(&mut self.samples_revision, engine.samples_revision());
        (before != self.samples_revision).then(|| engine.samples())
    }

    /// For the state file.
    pub fn snapshot(&self, now: Moment) -> (Snapshot, Vec<Owned>) {
        (self.decider.engine().snapshot(now), self.published.owned())
    }

    fn handle_connected(&mut self, now: Moment) {
        self.forget_connection();
        self.decider.give(Given::Broker { connected: true }, now);
        self.phase = Phase::Joining { rival: None, decide_at: now.after(ECHO_COMES_MS) };
        let filters = DECISIVE.into_iter().chain(["status", "aggregator/+/status"]);
        let mut filters: Vec<String> = filters.map(|filter| self.root.filter(filter)).collect();
        if self.home_assistant.enabled {
            filters.push(birth_topic(&self.home_assistant.prefix));
        }
        self.subscribe = Some(filters);
        self.answer();
    }

    fn handle_disconnected(&mut self, now: Moment) {
        self.forget_connection();
        self.phase = Phase::Disconnected;
        self.decider.give(Given::Broker { connected: false }, now);
    }

    /// What waits is published anew on the next connection, and old news would only mislead.
    fn forget_connection(&mut self) {
        self.queue.clear();
        self.in_flight.clear();
        self.resync = false;
    }

    fn handle_message(&mut self, topic: &str, payload: &[u8], retained: bool, now: Moment) {
        if self.home_assistant.enabled && topic == birth_topic(&self.home_assistant.prefix) {
            if payload == BORN && self.phase == Phase::Active {
                self.published.handle_birth(now, self.birth_delay_ms);
            }
            return;
        }
        let Some(below) = self.root.below(topic) else { return };
        match Topic::parse(below) {
            Some(Topic::AggregatorStatus(instance)) => self.handle_instance(instance, payload, retained, now),
            Some(Topic::Status) => self.handle_own_status(payload),
            Some(Topic::Calibrate) => self.handle_calibrate(payload, retained, now),
            // Whoever is not alone yet takes no orders.
            Some(Topic::Set(_)) if self.phase != Phase::Active => {}
            Some(_) => {
                let message = Given::Message { topic: below.into(), payload, retained };
                if let Some(why) = self.decider.give(message, now) {
                    log::warn!("{topic} is not obeyed: {why}");
                }
            }
            None => {}
        }
    }

    /// Somebody says over MQTT where a device is. What does not even read is answered here, all else by an effect.
    fn handle_calibrate(&mut self, payload: &[u8], retained: bool, now: Moment) {
        if self.phase != Phase::Active {
            return;
        }
        let topic = Topic::Calibrate.to_string();
        if let Some(error) = self.decider.give(Given::Message { topic: topic.into(), payload, retained }, now)
        {
            log::warn!("a message on {} is ignored: {error}", Topic::Calibrate);
            self.queue.push_back(topics::unread_calibration(error, &self.root));
        }
    }

    /// A will that comes late, of an earlier connection or of an instance that was refused, must not stand.
    fn handle_own_status(&mut self, payload: &[u8]) {
        if self.phase == Phase::Active && payload != ONLINE.as_bytes() {
            let status = self.status(&Topic::Status, ONLINE);
            self.queue.push_back(status);
        }
    }

    /// Status of an aggregator of this site. A retained `online` may be a dead one's; a live one answers to ours.
    fn handle_instance(&mut self, instance: Id, payload: &[u8], retained: bool, now: Moment) {
        let online = payload == ONLINE.as_bytes();
        match &mut self.phase {
            Phase::Disconnected => {}
            Phase::Active => {
                if online && !retained && instance != self.instance {
                    self.answer();
                }
            }
            Phase::Joining { decide_at, .. } if instance == self.instance => {
                if online {
                    *decide_at = now.after(ECHO_SETTLES_MS).min(*decide_at);
                }
            }
            Phase::Joining { rival, .. } if !online => {
                rival.take_if(|rival| rival.instance == instance);
            }
            Phase::Joining { rival, .. } if retained => {
                rival.get_or_insert(Rival { instance, until: now.after(RIVAL_ANSWERS_MS) });
            }
            // Two that start at once know nothing of each other: the one with the smaller id stays.
            Phase::Joining { rival: None, .. } if instance > self.instance => self.answer(),
            Phase::Joining { .. } => {
                self.refused = Some(format!(
                    "another aggregator (instance {instance}) runs site \"{}\" on this broker; \
                     stop it, or give one of them another [site] id",
                    self.site
                ));
            }
        }
    }

    fn answer(&mut self) {
        let answer = self.status(&Topic::AggregatorStatus(self.instance.clone()), ONLINE);
        self.queue.push_back(answer);
    }

    fn handle_acked(&mut self, token: Token) {
        if let Some(publish) = self.in_flight.remove(&token) {
            self.published.handle_acked(&publish);
        }
    }

    fn activate_if_alone(&mut self, now: Moment) {
        let Phase::Joining { rival, decide_at } = &mut self.phase else { return };
        let waits_for_rival = rival.as_ref().is_some_and(|rival| now < rival.until);
        if now < *decide_at || waits_for_rival || self.refused.is_some() {
            return;
        }
        let dead = rival.take();
        self.phase = Phase::Active;
        if let Some(dead) = dead {
            let topic = self.root.full(&Topic::AggregatorStatus(dead.instance));
            self.queue.push_back(Publish { topic, payload: Vec::new(), retain: true });
        }
        // The broker may have lost everything: what is emptied is emptied, all the rest is said again.
        let emptied = self.announce(now).into_iter().filter(|publish| publish.payload.is_empty());
        let discovery = self.published.repeat();
        self.enqueue(emptied.chain(discovery));
        self.publish_states(now);
    }

    fn home(&self, now: Moment) -> Home {
        let view = self.decider.engine().view(now);
        Home::of(&self.site, self.home_assistant.page_url.as_deref(), &view, self.keeps_history)
    }

    /// Brings discovery up to date; states are to follow.
    fn announce(&mut self, now: Moment) -> Vec<Publish> {
        let home = self.home(now);
        let prefix = self.home_assistant.enabled.then_some(self.home_assistant.prefix.as_str());
        self.dirty = true;
        self.published.update(Desired::new(&home, prefix))
    }

    /// Status, tracked stations and every state; discovery goes before them.
    fn publish_states(&mut self, now: Moment) {
        let status = self.status(&Topic::Status, ONLINE);
        let tracked = self.tracked();
        self.enqueue([status, tracked]);
        self.publish_all(now);
    }

    /// Every state; the next [`Hub::settle`] sends them.
    fn publish_all(&mut self, now: Moment) {
        self.decider.give(Given::PublishAll, now);
        self.tell_thrashing = true;
    }

    fn tracked(&mut self) -> Publish {
        let engine = self.decider.engine();
        self.bssids_revision = engine.bssids_revision();
        topics::tracked(engine.tracked(), engine.bssids(), &self.root)
    }

    fn status(&self, topic: &Topic, payload: &str) -> Publish {
        Publish { topic: self.root.full(topic), payload: payload.into(), retain: true }
    }

    /// Turns what the engine decided into messages.
    fn settle(&mut self, now: Moment, clock: &Clock) {
        let mut effects = self.drain();
        if effects.iter().any(|effect| matches!(effect, Effect::NewRoom(_))) && self.phase == Phase::Active {
            let changed = self.announce(now);
            self.enqueue(changed);
            self.publish_all(now);
            effects.extend(self.drain());
        }
        for effect in effects {
            // Only a calibration's answer names them.
            let is_sample = matches!(effect, Effect::Calibrated(_));
            let alike = if is_sample { self.decider.engine().alike() } else { Vec::new() };
            let message = topics::publish(&effect, clock, &self.root, &alike);
            self.dirty |= message.is_some();
            if self.phase == Phase::Active {
                self.enqueue(message);
            }
            self.effects.push_back(effect);
        }
        if self.phase == Phase::Active && std::mem::take(&mut self.tell_thrashing) {
            let home = self.home(now);
            let state = |device: &Device| {
                topics::thrashing(device, self.thrashing.get(&device.id), clock, &self.root)
            };
            let states: Vec<Publish> = home.followed().map(state).collect();
            self.enqueue(states);
        }
        let is_told = self.bssids_revision == self.decider.engine().bssids_revision();
        if self.phase == Phase::Active && !is_told {
            let tracked = self.tracked();
            self.enqueue([tracked]);
        }
    }

    fn drain(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.decider.poll_effect()).collect()
    }

    fn enqueue(&mut self, publishes: impl IntoIterator<Item = Publish>) {
        self.queue.extend(publishes);
        if self.queue.len() > QUEUE_MAX {
            log::warn!(
                "the broker takes messages too slowly: {} wait; publishing the present state anew",
                self.queue.len()
            );
            self.queue.truncate(1);
            self.resync = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config;

    /// A hub and a broker that takes everything at once.
    struct Bench {
        hub: Hub,
        clock: Clock,
        now: Moment,
        sent: Vec<(String, String)>,
        token: u64,
    }

    const HOME: &str = r#"
[[room]]
name = "Kitchen"
[[ap]]
id = "kitchen"
room = "Kitchen"
exit = true
[[person]]
name = "Ada"
devices = ["02:00:00:00:00:01"]
"#;

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    fn setup(text: &str) -> Setup {
        config::parse(text, std::path::Path::new("/nonexistent")).0.unwrap().setup
    }

    impl Bench {
        fn new() -> Bench {
            let options = Options {
                site: id("home"),
                instance: id("bbbb"),
                setup: setup(HOME),
                home_assistant: HomeAssistant::default(),
                owned: Vec::new(),
                snapshot: None,
                samples: Samples::default(),
                keeps_history: true,
                clock: Clock::start(),
                birth_delay_ms: 1000,
            };
            let now = Moment::from_ms(0);
            Bench { hub: Hub::new(options, now), clock: Clock::start(), now, sent: Vec::new(), token: 0 }
        }

        fn event(&mut self, event: Event) {
            self.hub.handle_event(event, self.now, &self.clock);
        }

        fn connect(&mut self) {
            self.event(Event::Connected { session_present: false });
            self.settle();
        }

        /// Connects to a broker where nobody else is.
        fn start(&mut self) {
            self.connect();
            self.message(OWN, "online", false);
            self.pass(ECHO_SETTLES_MS);
        }

        fn message(&mut self, topic: &str, payload: &str, retained: bool) {
            self.event(Event::Message { topic: topic.to_owned(), payload: payload.into(), retained });
        }

        /// Lets `ms` pass and the broker take and acknowledge what waits.
        fn pass(&mut self, ms: u64) {
            self.now = self.now.after(ms);
            self.hub.handle_timeout(self.now, &self.clock);
            self.settle();
        }

        fn settle(&mut self) {
            while let Some(publish) = self.hub.next_publish() {
                let sent = (publish.topic.clone(), String::from_utf8_lossy(&publish.payload).into_owned());
                self.sent.push(sent);
                self.token += 1;
                let token = Token::from_number(self.token);
                self.hub.handle_handed(token, self.now);
                self.event(Event::Acked(token));
            }
        }

        fn topics(&self) -> BTreeSet<&str> {
            self.sent.iter().map(|(topic, _)| topic.as_str()).collect()
        }

        fn last(&self, topic: &str) -> Option<&str> {
            self.sent.iter().rev().find(|(sent, _)| sent == topic).map(|(_, payload)| payload.as_str())
        }
    }

    const OWN: &str = "whichroom/home/aggregator/bbbb/status";
    const RIVAL: &str = "whichroom/home/aggregator/aaaa/status";
    const STATUS: &str = "whichroom/home/status";
    const ADA: &str = "whichroom/home/person/ada";

    #[test]
    fn everything_is_published_once_it_is_alone_discovery_before_states() {
        let mut bench = Bench::new();
        bench.connect();
        assert!(
            bench
                .hub
                .poll_subscribe()
                .is_some_and(|filters| filters.contains(&"whichroom/home/ap/+/events".to_owned()))
        );
        assert_eq!(bench.topics(), BTreeSet::from([OWN]));
        bench.start();
        assert_eq!(bench.sent[0], (OWN.to_owned(), "online".to_owned()));
        assert_eq!(bench.last(STATUS), Some("online"));
        assert!(
            bench.last("whichroom/home/tracked").is_some_and(|tracked| tracked.contains("02:00:00:00:00:01"))
        );
        let place = |part: &str| bench.sent.iter().position(|(topic, _)| topic.contains(part)).unwrap();
        assert!(place("homeassistant/device/") < place("home/person/ada"));
        let discoveries = bench.sent.iter().filter(|(topic, _)| topic.starts_with("homeassistant/")).count();
        let devices = bench.topics().iter().filter(|topic| topic.starts_with("homeassistant/")).count();
        assert_eq!(discoveries, devices, "each once");
        assert!(bench.last(ADA).is_some_and(|ada| ada.contains(r#""tracker":"None""#)));
    }

    #[test]
    fn nothing_but_its_own_status_is_said_before_a_rival_had_time_to_answer() {
        let mut bench = Bench::new();
        bench.connect();
        bench.message(OWN, "online", true);
        bench.message(RIVAL, "online", true);
        bench.pass(RIVAL_ANSWERS_MS - 1);
        assert_eq!(bench.topics(), BTreeSet::from([OWN]));
        bench.message(RIVAL, "online", false);
        assert!(bench.hub.refused().is_some_and(|why| why.contains("instance aaaa")));
        assert_eq!(bench.hub.farewell().len(), 1, "the site's status is the other's");
    }

    #[test]
    fn a_newcomer_yields_whatever_its_id() {
        for rival in ["aaaa", "cccc"] {
            let mut bench = Bench::new();
            let topic = format!("whichroom/home/aggregator/{rival}/status");
            bench.connect();
            bench.message(&topic, "online", true);
            bench.message(&topic, "online", false);
            assert!(bench.hub.refused().is_some(), "{rival}");
        }
    }

    #[test]
    fn of_two_that_start_at_once_one_stays() {
        for (rival, refused) in [("aaaa", true), ("cccc", false)] {
            let mut bench = Bench::new();
            bench.connect();
            bench.message(&format!("whichroom/home/aggregator/{rival}/status"), "online", false);
            assert_eq!(bench.hub.refused().is_some(), refused, "{rival}");
        }
    }

    #[test]
    fn a_broker_that_keeps_our_status_from_us_stops_nothing() {
        let mut bench = Bench::new();
        bench.connect();
        bench.pass(ECHO_COMES_MS);
        assert_eq!(bench.last(STATUS), Some("online"));
    }

    #[test]
    fn a_dead_rival_is_cleared_and_replaced() {
        let mut bench = Bench::new();
        bench.connect();
        bench.message(OWN, "online", true);
        bench.message(RIVAL, "online", true);
        bench.pass(RIVAL_ANSWERS_MS);
        assert_eq!(bench.last(RIVAL), Some(""));
        assert_eq!(bench.last(STATUS), Some("online"));
    }

    #[test]
    fn a_running_instance_answers_a_newcomer_and_stays() {
        let mut bench = Bench::new();
        bench.start();
        bench.sent.clear();
        bench.message(RIVAL, "online", false);
        bench.settle();
        assert_eq!(bench.sent, [(OWN.to_owned(), "online".to_owned())]);
        assert_eq!(bench.hub.refused(), None);
    }

    #[test]
    fn late_will_of_the_aggregator_does_not_stand() {
        let mut bench = Bench::new();
        bench.start();
        bench.message(STATUS, "offline", false);
        bench.settle();
        assert_eq!(bench.last(STATUS), Some("online"));
    }

    #[test]
    fn broker_lost_retained_everything_comes_again_on_a_new_connection() {
        let mut bench = Bench::new();
        bench.start();
        let first: BTreeSet<String> = bench.topics().into_iter().map(str::to_owned).collect();
        bench.sent.clear();
        bench.event(Event::Disconnected { why: "gone".to_owned(), retry_in: std::time::Duration::ZERO });
        bench.settle();
        assert_eq!(bench.sent, []);
        bench.start();
        assert_eq!(bench.topics(), first.iter().map(String::as_str).collect());
    }

    #[test]
    fn home_assistants_birth_is_answered_after_the_delay() {
        let mut bench = Bench::new();
        bench.start();
        bench.sent.clear();
        bench.message("homeassistant/status", "online", false);
        bench.pass(999);
        assert_eq!(bench.last(ADA), None);
        bench.pass(1);
        assert!(bench.last(ADA).is_some());
        assert!(bench.topics().iter().any(|topic| topic.starts_with("homeassistant/device/")));
    }

    #[test]
    fn who_thrashes_is_told_after_discovery_and_told_again() {
        let mut bench = Bench::new();
        bench.start();
        let topic =
            bench.topics().into_iter().find(|topic| topic.ends_with("/thrashing")).unwrap().to_owned();
        let device: Id = topic.split('/').nth(3).unwrap().parse().unwrap();
        let place = |part: &str| bench.sent.iter().position(|(topic, _)| topic.contains(part)).unwrap();
        assert!(place("_station_") < place("/thrashing"));
        assert!(bench.last(&topic).is_some_and(|text| text.contains(r#""thrashing":null"#)));

        let since = whichroom_roaming::Time::from_ms(bench.clock.unix_ms(bench.now));
        let state = Thrashing { since, last: since, changes: 9, aps: vec![id("hall"), id("kitchen")] };
        let tell = |bench: &mut Bench, device: &Id, state| {
            bench.hub.handle_thrashing(device, state, bench.now, &bench.clock);
            let is_told = bench.hub.next_publish().is_some();
            bench.settle();
            is_told
        };
        assert!(tell(&mut bench, &device, Some(state.clone())));
        let says = r#""changes":9,"between":["hall","kitchen"]"#;
        assert!(bench.last(&topic).is_some_and(|text| text.contains(says)));
        assert!(!tell(&mut bench, &id("nobody"), Some(state)));

        bench.sent.clear();
        bench.event(Event::Disconnected { why: "gone".to_owned(), retry_in: std::time::Duration::ZERO });
        bench.start();
        assert!(bench.last(&topic).is_some_and(|text| text.contains(says)), "the broker may have lost it");
        assert!(tell(&mut bench, &device, None));
        assert!(bench.last(&topic).is_some_and(|text| text.contains(r#""thrashing":null"#)));

        let private = HOME.replace("name = \"Ada\"", "name = \"Ada\"\ndetail = \"home-only\"");
        bench.hub.handle_setup(setup(&private), HomeAssistant::default(), bench.now, &bench.clock);
        bench.settle();
        assert_eq!(bench.last(&topic), Some(""));
        let late = Thrashing { since, last: since, changes: 9, aps: Vec::new() };
        assert!(!tell(&mut bench, &device, Some(late)));
        assert_eq!(bench.last(&topic), Some(""));
    }

    #[test]
    fn agents_are_told_the_bsss_of_all() {
        let mut bench = Bench::new();
        bench.start();
        let tracked = "whichroom/home/tracked";
        assert!(bench.last(tracked).is_some_and(|tracked| !tracked.contains("bssids")));
        let radios = |bssid: &str| {
            format!(
                r#"{{"schema":1,"boot":"b","node":"n","sent_ms":1,"radios":[{{"ifname":"a","bssid":"{bssid}"}}]}}"#
            )
        };
        bench.message("whichroom/home/ap/kitchen/radios", &radios("02:00:00:00:00:a2"), false);
        bench.message("whichroom/home/ap/hall/radios", &radios("02:00:00:00:00:a1"), true);
        bench.settle();
        let told = bench.last(tracked).unwrap_or_default().to_owned();
        assert!(told.ends_with(r#","bssids":["02:00:00:00:00:a1","02:00:00:00:00:a2"]}"#), "{told}");
        bench.sent.clear();
        bench.message("whichroom/home/ap/hall/radios", &radios("02:00:00:00:00:a1"), false);
        bench.settle();
        assert_eq!(bench.last(tracked), None, "nothing new");
    }

    #[test]
    fn commands_are_obeyed_as_messages_unless_they_are_retained() {
        let mut bench = Bench::new();
        bench.start();
        let note = |bench: &mut Bench, retained| {
            bench.message("whichroom/home/set/note", r#"{"text":"moved the sofa"}"#, retained);
            !bench.hub.take_notes().is_empty()
        };
        assert!(!note(&mut bench, true));
        assert!(note(&mut bench, false));
        bench.event(Event::Disconnected { why: "gone".to_owned(), retry_in: std::time::Duration::ZERO });
        assert!(!note(&mut bench, false), "it is not alone any more");
    }

    #[test]
    fn what_a_command_names_must_be_known() {
        let mut bench = Bench::new();
        bench.start();
        let mut tell = |command: Command| {
            let outcome = bench.hub.handle_command(&command, bench.now, &bench.clock);
            outcome.map(|_| ()).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(tell(Command::GiveUpAp { ap: id("kitchen") }), Ok(()));
        assert_eq!(tell(Command::ResetDoze { id: id("ada") }), Ok(()));
        let why = tell(Command::GiveUpAp { ap: id("cellar") }).unwrap_err();
        assert_eq!(why, "there is no access point \"cellar\"; known: kitchen");
        let why = tell(Command::ResetDoze { id: id("bob") }).unwrap_err();
        assert!(why.starts_with("there is no person or device \"bob\"; known: ada"), "{why}");
    }

    #[test]
    fn removed_person_leaves_no_topic_behind() {
        let mut bench = Bench::new();
        bench.start();
        let without = HOME.split("[[person]]").next().unwrap();
        bench.hub.handle_setup(setup(without), HomeAssistant::default(), bench.now, &bench.clock);
        bench.settle();
        assert_eq!(bench.last(ADA), Some(""));
        assert_eq!(bench.last("homeassistant/device/whichroom_home_person_ada/config"), Some(""));
    }
}
