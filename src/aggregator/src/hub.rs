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
//!
//! Home Assistant may have a broker of its own. It is told the same there, and its commands are taken; what access points
//! say comes from theirs alone, and which aggregator is alone is decided there. While that one is lost, Home Assistant
//! goes on being told what is held and what is wrong.

use std::collections::{BTreeMap, VecDeque};

use whichroom_mqtt::{Event, Publish, Token};
use whichroom_presence::calibration::Samples;
use whichroom_presence::output::{AddressView, Effect, LikelyRooms, View, Witnessed};
use whichroom_presence::setup::Setup;
use whichroom_presence::{Moment, Snapshot};
use whichroom_roaming::Thrashing;
use whichroom_wire::aggregator::{OFFLINE, ONLINE};
use whichroom_wire::{Id, Root, Topic};

use crate::clock::Clock;
use crate::command::{Command, Outcome};
use crate::config::HomeAssistant;
use crate::decider::{Decider, Given};
use crate::home_assistant::{BORN, Desired, Device, Home, Owned, birth_topic};
use crate::outbox::Outbox;
use crate::topics;

/// Another instance has this long to answer that it lives.
const RIVAL_ANSWERS_MS: u64 = 2_000;

/// Once our own status came back, the statuses that were retained before it have come, or come within this.
const ECHO_SETTLES_MS: u64 = 200;

/// A broker that does not give us our own status back is not waited for any longer.
const ECHO_COMES_MS: u64 = 5_000;

/// Subscriptions below the root to everything that decides.
pub const DECISIVE: [&str; 7] =
    ["ap/+/status", "ap/+/radios", "ap/+/stations", "ap/+/events", "ap/+/hosts", "set/+", "calibrate"];

/// What the hub is told at its start.
pub struct Options {
    pub site: Id,
    pub instance: Id,
    pub setup: Setup,
    pub home_assistant: HomeAssistant,
    /// Topics of ours on the access points' broker.
    pub owned: Vec<Owned>,
    /// Topics of ours on Home Assistant's broker, if it has its own.
    pub owned_apart: Vec<Owned>,
    pub snapshot: Option<Snapshot>,
    pub samples: Samples,
    /// Whether a history is kept, which is what tells how devices roam.
    pub keeps_history: bool,
    /// Shows times to people.
    pub clock: Clock,
    /// Random, 0 to 5000: how long after Home Assistant's birth message to answer.
    pub birth_delay_ms: u64,
}

/// One of the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The access points' broker.
    Main,
    /// Home Assistant's own.
    Apart,
}

/// Home Assistant's own broker.
#[derive(Debug, Default)]
struct Apart {
    outbox: Outbox,
    is_up: bool,
    subscribe: Option<Vec<String>>,
    /// What we say on the other one arrives here, too: it is the same broker under another name, or bridged with it.
    is_same: bool,
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
    main: Outbox,
    /// Home Assistant's broker, if it has its own.
    apart: Option<Apart>,
    /// No other aggregator was there when this one came: it is the house's.
    is_alone: bool,
    keeps_history: bool,
    /// Devices that thrash.
    thrashing: BTreeMap<Id, Thrashing>,
    /// Every device's is to be published.
    tell_thrashing: bool,
    home_assistant: HomeAssistant,
    birth_delay_ms: u64,
    phase: Phase,
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
        let apart = options.home_assistant.mqtt.is_some();
        let apart = apart.then(|| Apart { outbox: Outbox::new(options.owned_apart), ..Apart::default() });
        Hub {
            root: Root::new(&options.site),
            site: options.site,
            instance: options.instance,
            decider,
            main: Outbox::new(options.owned),
            apart,
            is_alone: false,
            keeps_history: options.keeps_history,
            thrashing: BTreeMap::new(),
            tell_thrashing: false,
            home_assistant: options.home_assistant,
            birth_delay_ms: options.birth_delay_ms,
            phase: Phase::Disconnected,
            subscribe: None,
            effects: VecDeque::new(),
            refused: None,
            dirty: true,
            bssids_revision: 0,
            samples_revision,
        }
    }

    /// The will of a connection that writes: what Home Assistant watches.
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
            Event::Acked(token) => self.main.handle_acked(token),
            Event::Oversized { .. } => {}
        }
        self.settle(now, clock);
    }

    /// Something came from the connection to Home Assistant's own broker.
    pub fn handle_apart(&mut self, event: Event, now: Moment, clock: &Clock) {
        let Some(apart) = &mut self.apart else { return };
        match event {
            Event::Connected { .. } => self.handle_apart_connected(now),
            Event::Disconnected { .. } => {
                apart.is_up = false;
                apart.outbox.forget_connection();
            }
            Event::Message { topic, payload, retained } => {
                self.handle_apart_message(&topic, &payload, retained, now);
            }
            Event::Acked(token) => apart.outbox.handle_acked(token),
            Event::Oversized { .. } => {}
        }
        self.settle(now, clock);
    }

    /// Home Assistant has another broker of its own from now on, or none. What lies on the one before stays: a name that
    /// changed may lead to the same broker. Returns the last messages for that one.
    pub fn handle_apart_replaced(&mut self, has_one: bool) -> Vec<Publish> {
        let farewell = self.farewell_apart();
        self.apart = has_one.then(Apart::default);
        farewell
    }

    /// The configuration was read again.
    pub fn handle_setup(&mut self, setup: Setup, home_assistant: HomeAssistant, now: Moment, clock: &Clock) {
        self.home_assistant = home_assistant;
        self.decider.give(Given::Setup(Box::new(setup)), now);
        let home = self.home(now);
        self.thrashing.retain(|device, _| home.followed().any(|known| known.id == *device));
        if self.phase == Phase::Active || self.is_apart_ready() {
            self.announce(now);
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
        self.tell_all([topics::thrashing(device, state.as_ref(), clock, &self.root)]);
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
        let repeated = self.main.published.handle_timeout(now);
        if !repeated.is_empty() && self.phase == Phase::Active {
            self.main.extend(repeated);
            self.publish_all(now);
        }
        let repeated = self.apart.as_mut().map(|apart| apart.outbox.published.handle_timeout(now));
        if let Some(repeated) = repeated.filter(|repeated| !repeated.is_empty()) {
            self.tell_apart(repeated);
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
        let apart = self.apart.as_ref().and_then(|apart| apart.outbox.published.poll_timeout());
        [engine, self.main.published.poll_timeout(), apart, joined].into_iter().flatten().min()
    }

    /// Whether it is known to be the only aggregator of its site, and tells what it decides.
    pub fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// Filters to subscribe to, once a connection.
    pub fn poll_subscribe(&mut self, place: Place) -> Option<Vec<String>> {
        match place {
            Place::Main => self.subscribe.take(),
            Place::Apart => self.apart.as_mut()?.subscribe.take(),
        }
    }

    /// The next message for a broker; it stays first until [`Hub::handle_handed`].
    pub fn next_publish(&self, place: Place) -> Option<&Publish> {
        match place {
            Place::Main => self.main.next(),
            Place::Apart => self.apart.as_ref()?.outbox.next(),
        }
    }

    /// The message of [`Hub::next_publish`] was handed over.
    pub fn handle_handed(&mut self, place: Place, token: Token, now: Moment) {
        let Some(outbox) = self.outbox(place) else { return };
        if outbox.handle_handed(token) {
            outbox.repeat();
            self.publish_states(now);
        }
    }

    /// The message of [`Hub::next_publish`] can never be sent.
    pub fn handle_unsendable(&mut self, place: Place) {
        if let Some(outbox) = self.outbox(place) {
            outbox.handle_unsendable();
        }
    }

    fn outbox(&mut self, place: Place) -> Option<&mut Outbox> {
        match place {
            Place::Main => Some(&mut self.main),
            Place::Apart => self.apart.as_mut().map(|apart| &mut apart.outbox),
        }
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

    /// Addresses of the configured devices, to remember what they are called.
    pub fn addresses(&self) -> Vec<AddressView> {
        self.decider.engine().addresses()
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

    /// The same for Home Assistant's own broker.
    pub fn farewell_apart(&self) -> Vec<Publish> {
        let is_told = self.is_apart_ready();
        is_told.then(|| self.status(&Topic::Status, OFFLINE)).into_iter().collect()
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
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        self.decider.engine().snapshot(now)
    }

    /// What of ours may lie on a broker, for the state file.
    pub fn owned(&self, place: Place) -> Vec<Owned> {
        match place {
            Place::Main => self.main.published.owned(),
            Place::Apart => {
                self.apart.as_ref().map(|apart| apart.outbox.published.owned()).unwrap_or_default()
            }
        }
    }

    fn handle_connected(&mut self, now: Moment) {
        self.main.forget_connection();
        self.decider.give(Given::Broker { connected: true }, now);
        self.phase = Phase::Joining { rival: None, decide_at: now.after(ECHO_COMES_MS) };
        let filters = DECISIVE.into_iter().chain(["status", "aggregator/+/status"]);
        let mut filters: Vec<String> = filters.map(|filter| self.root.filter(filter)).collect();
        if self.home_assistant.enabled && self.apart.is_none() {
            filters.push(birth_topic(&self.home_assistant.prefix));
        }
        self.subscribe = Some(filters);
        self.answer();
    }

    fn handle_apart_connected(&mut self, now: Moment) {
        let filters = ["status", "aggregator/+/status", "set/+", "calibrate"];
        let mut filters: Vec<String> = filters.iter().map(|filter| self.root.filter(filter)).collect();
        if self.home_assistant.enabled {
            filters.push(birth_topic(&self.home_assistant.prefix));
        }
        let Some(apart) = &mut self.apart else { return };
        apart.outbox.forget_connection();
        (apart.is_up, apart.is_same, apart.subscribe) = (true, false, Some(filters));
        // If it comes back here, the two are one.
        if self.phase != Phase::Disconnected {
            self.answer();
        }
        self.announce_apart(now);
        if self.is_alone {
            self.publish_states(now);
        }
    }

    fn handle_disconnected(&mut self, now: Moment) {
        self.main.forget_connection();
        self.phase = Phase::Disconnected;
        self.decider.give(Given::Broker { connected: false }, now);
    }

    fn handle_message(&mut self, topic: &str, payload: &[u8], retained: bool, now: Moment) {
        if self.is_birth(topic) {
            if payload == BORN && self.phase == Phase::Active {
                self.main.published.handle_birth(now, self.birth_delay_ms);
            }
            return;
        }
        let Some(below) = self.root.below(topic) else { return };
        match Topic::parse(below) {
            Some(Topic::AggregatorStatus(instance)) => self.handle_instance(instance, payload, retained, now),
            Some(Topic::Status) => self.handle_own_status(payload),
            // Whoever is not alone yet takes no orders.
            Some(Topic::Calibrate | Topic::Set(_)) if self.phase != Phase::Active => {}
            Some(Topic::Calibrate) => self.handle_calibrate(payload, retained, now),
            Some(_) => self.give(below, payload, retained, now),
            None => {}
        }
    }

    /// Only what Home Assistant may say is taken from its broker: orders, its birth, and what became of our own status.
    fn handle_apart_message(&mut self, topic: &str, payload: &[u8], retained: bool, now: Moment) {
        let is_birth = self.is_birth(topic);
        let (is_ready, delay_ms) = (self.is_apart_ready(), self.birth_delay_ms);
        let Some(apart) = self.apart.as_mut() else { return };
        if is_birth {
            if payload == BORN && is_ready {
                apart.outbox.published.handle_birth(now, delay_ms);
            }
            return;
        }
        let Some(below) = self.root.below(topic) else { return };
        match Topic::parse(below) {
            Some(Topic::AggregatorStatus(instance)) if instance == self.instance && !retained => {
                if !std::mem::replace(&mut apart.is_same, true) {
                    log::error!(
                        "home_assistant.mqtt leads to the broker of the access points, or to one that is bridged with it: \
                         leave it out"
                    );
                }
            }
            Some(Topic::Status) if is_ready && payload != ONLINE.as_bytes() => {
                let status = self.status(&Topic::Status, ONLINE);
                self.tell_apart([status]);
            }
            // What comes both ways is obeyed once.
            Some(Topic::Calibrate | Topic::Set(_)) if !is_ready || apart.is_same => {}
            Some(Topic::Calibrate) => self.handle_calibrate(payload, retained, now),
            Some(Topic::Set(_)) => self.give(below, payload, retained, now),
            Some(_) | None => {}
        }
    }

    fn is_birth(&self, topic: &str) -> bool {
        self.home_assistant.enabled && topic == birth_topic(&self.home_assistant.prefix)
    }

    fn give(&mut self, below: &str, payload: &[u8], retained: bool, now: Moment) {
        let message = Given::Message { topic: below.into(), payload, retained };
        if let Some(why) = self.decider.give(message, now) {
            log::warn!("{below} is not obeyed: {why}");
        }
    }

    /// Somebody says over MQTT where a device is. What does not even read is answered here, all else by an effect.
    fn handle_calibrate(&mut self, payload: &[u8], retained: bool, now: Moment) {
        let topic = Topic::Calibrate.to_string();
        if let Some(error) = self.decider.give(Given::Message { topic: topic.into(), payload, retained }, now)
        {
            log::warn!("a message on {} is ignored: {error}", Topic::Calibrate);
            self.tell_all([topics::unread_calibration(error, &self.root)]);
        }
    }

    /// A will that comes late, of an earlier connection or of an instance that was refused, must not stand.
    fn handle_own_status(&mut self, payload: &[u8]) {
        if self.phase == Phase::Active && payload != ONLINE.as_bytes() {
            let status = self.status(&Topic::Status, ONLINE);
            self.main.extend([status]);
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
            Phase::Joining { .. } if instance == self.instance && !online => {}
            // It was there before we listened, and who answered it then was not heard: we write and read on two
            // connections.
            Phase::Joining { .. } if instance == self.instance && retained => self.answer(),
            Phase::Joining { decide_at, rival } if instance == self.instance => {
                *decide_at = now.after(ECHO_SETTLES_MS).min(*decide_at);
                if let Some(rival) = rival {
                    rival.until = now.after(RIVAL_ANSWERS_MS);
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
        self.main.extend([answer]);
    }

    fn activate_if_alone(&mut self, now: Moment) {
        let Phase::Joining { rival, decide_at } = &mut self.phase else { return };
        let waits_for_rival = rival.as_ref().is_some_and(|rival| now < rival.until);
        if now < *decide_at || waits_for_rival || self.refused.is_some() {
            return;
        }
        let dead = rival.take();
        self.phase = Phase::Active;
        let was_alone = std::mem::replace(&mut self.is_alone, true);
        if let Some(dead) = dead {
            let topic = self.root.full(&Topic::AggregatorStatus(dead.instance));
            self.main.extend([Publish { topic, payload: Vec::new(), retain: true }]);
        }
        let desired = self.desired(Place::Main, now);
        self.main.announce_all(desired);
        if !was_alone {
            self.announce_apart(now);
        }
        self.publish_states(now);
    }

    /// Whether Home Assistant's own broker is there, and may be told.
    fn is_apart_ready(&self) -> bool {
        self.is_alone && self.apart.as_ref().is_some_and(|apart| apart.is_up)
    }

    /// Discovery for Home Assistant's own broker, which may have lost it.
    fn announce_apart(&mut self, now: Moment) {
        if !self.is_apart_ready() {
            return;
        }
        let desired = self.desired(Place::Apart, now);
        if let Some(apart) = &mut self.apart {
            apart.outbox.announce_all(desired);
        }
    }

    fn home(&self, now: Moment) -> Home {
        let view = self.decider.engine().view(now);
        Home::of(&self.site, self.home_assistant.page_url.as_deref(), &view, self.keeps_history)
    }

    /// What should lie on a broker. Discovery is for the one that Home Assistant reads.
    fn desired(&mut self, place: Place, now: Moment) -> Desired {
        self.dirty = true;
        let is_read = self.apart.is_none() || place == Place::Apart;
        let prefix = (self.home_assistant.enabled && is_read).then_some(self.home_assistant.prefix.as_str());
        Desired::new(&self.home(now), prefix)
    }

    /// Brings discovery up to date; states are to follow.
    fn announce(&mut self, now: Moment) {
        if self.phase == Phase::Active {
            let desired = self.desired(Place::Main, now);
            self.main.announce(desired);
        }
        let is_ready = self.is_apart_ready();
        let desired = self.desired(Place::Apart, now);
        if let Some(apart) = self.apart.as_mut().filter(|_| is_ready) {
            apart.outbox.announce(desired);
        }
    }

    /// Status, tracked stations and every state; discovery goes before them.
    fn publish_states(&mut self, now: Moment) {
        let status = self.status(&Topic::Status, ONLINE);
        self.tell_all([status]);
        let tracked = self.tracked();
        self.tell_main([tracked]);
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
        let is_told = self.phase == Phase::Active || self.is_apart_ready();
        if effects.iter().any(|effect| matches!(effect, Effect::NewRoom(_))) && is_told {
            self.announce(now);
            self.publish_all(now);
            effects.extend(self.drain());
        }
        for effect in effects {
            // Only a calibration's answer names them.
            let is_sample = matches!(effect, Effect::Calibrated(_));
            let alike = if is_sample { self.decider.engine().alike() } else { Vec::new() };
            let message = topics::publish(&effect, clock, &self.root, &alike);
            self.dirty |= message.is_some();
            // A question to an agent.
            if matches!(effect, Effect::Ask { .. }) {
                self.tell_main(message);
            } else {
                self.tell_all(message);
            }
            self.effects.push_back(effect);
        }
        if is_told && std::mem::take(&mut self.tell_thrashing) {
            let home = self.home(now);
            let state = |device: &Device| {
                topics::thrashing(device, self.thrashing.get(&device.id), clock, &self.root)
            };
            let states: Vec<Publish> = home.followed().map(state).collect();
            self.tell_all(states);
        }
        let is_told = self.bssids_revision == self.decider.engine().bssids_revision();
        if self.phase == Phase::Active && !is_told {
            let tracked = self.tracked();
            self.tell_main([tracked]);
        }
    }

    fn drain(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.decider.poll_effect()).collect()
    }

    /// Tells whoever may be told by now.
    fn tell_all(&mut self, publishes: impl IntoIterator<Item = Publish>) {
        let publishes: Vec<Publish> = publishes.into_iter().collect();
        self.tell_apart(publishes.clone());
        self.tell_main(publishes);
    }

    fn tell_main(&mut self, publishes: impl IntoIterator<Item = Publish>) {
        if self.phase == Phase::Active {
            self.main.extend(publishes);
        }
    }

    fn tell_apart(&mut self, publishes: impl IntoIterator<Item = Publish>) {
        let is_ready = self.is_apart_ready();
        if let Some(apart) = self.apart.as_mut().filter(|_| is_ready) {
            apart.outbox.extend(publishes);
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
                owned_apart: Vec::new(),
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
            while let Some(publish) = self.hub.next_publish(Place::Main) {
                let sent = (publish.topic.clone(), String::from_utf8_lossy(&publish.payload).into_owned());
                self.sent.push(sent);
                self.token += 1;
                let token = Token::from_number(self.token);
                self.hub.handle_handed(Place::Main, token, self.now);
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
                .poll_subscribe(Place::Main)
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

    /// The broker takes what we write before what we subscribe to: the other one answers at once, and nobody listens.
    #[test]
    fn an_answer_that_came_before_we_listened_is_asked_for_again() {
        let mut bench = Bench::new();
        bench.connect();
        bench.message(RIVAL, "online", true);
        bench.message(OWN, "online", true);
        bench.settle();
        assert_eq!(bench.sent.len(), 2, "once more, now that the answer is heard: {:?}", bench.sent);
        bench.pass(RIVAL_ANSWERS_MS - 1);
        bench.message(OWN, "online", false);
        bench.pass(RIVAL_ANSWERS_MS - 1);
        assert_eq!(bench.topics(), BTreeSet::from([OWN]), "the other one has its time from then on");
        bench.message(RIVAL, "online", false);
        assert!(bench.hub.refused().is_some_and(|why| why.contains("instance aaaa")));
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
        bench.message(OWN, "online", false);
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

    /// Home Assistant has a broker of its own, and `bench.apart` is what came there.
    struct Both {
        bench: Bench,
        apart: Vec<(String, String)>,
    }

    impl Both {
        fn new() -> Both {
            let mqtt = format!("{HOME}[home_assistant]\nmqtt = \"mqtt://ha.lan\"\n");
            let config = config::parse(&mqtt, std::path::Path::new("/nonexistent")).0.unwrap();
            let mut bench = Bench::new();
            bench.hub.home_assistant = config.home_assistant;
            assert_eq!(bench.hub.handle_apart_replaced(true), []);
            Both { bench, apart: Vec::new() }
        }

        fn event(&mut self, event: Event) {
            self.bench.hub.handle_apart(event, self.bench.now, &self.bench.clock);
            self.settle();
        }

        fn message(&mut self, topic: &str, payload: &str, retained: bool) {
            self.event(Event::Message { topic: topic.to_owned(), payload: payload.into(), retained });
        }

        fn connect(&mut self) {
            self.event(Event::Connected { session_present: false });
        }

        fn settle(&mut self) {
            self.bench.settle();
            let bench = &mut self.bench;
            while let Some(publish) = bench.hub.next_publish(Place::Apart) {
                let sent = (publish.topic.clone(), String::from_utf8_lossy(&publish.payload).into_owned());
                self.apart.push(sent);
                bench.token += 1;
                let token = Token::from_number(bench.token);
                bench.hub.handle_handed(Place::Apart, token, bench.now);
                bench.hub.handle_apart(Event::Acked(token), bench.now, &bench.clock);
            }
        }

        fn last(&self, topic: &str) -> Option<&str> {
            self.apart.iter().rev().find(|(sent, _)| sent == topic).map(|(_, payload)| payload.as_str())
        }

        fn tells_discovery(sent: &[(String, String)]) -> bool {
            sent.iter().any(|(topic, payload)| topic.starts_with("homeassistant/") && !payload.is_empty())
        }
    }

    #[test]
    fn a_broker_of_home_assistants_own_gets_everything_of_it_and_nothing_of_the_agents() {
        for apart_first in [true, false] {
            let mut both = Both::new();
            if apart_first {
                both.connect();
                assert_eq!(both.apart, [], "nobody knows yet whether it is alone");
            }
            both.bench.start();
            if !apart_first {
                both.connect();
            }
            both.settle();
            assert!(Both::tells_discovery(&both.apart) && !Both::tells_discovery(&both.bench.sent));
            assert_eq!((both.last(STATUS), both.bench.last(STATUS)), (Some("online"), Some("online")));
            assert!(both.last(ADA).is_some() && both.bench.last(ADA).is_some());
            let place = |part: &str| both.apart.iter().position(|(topic, _)| topic.contains(part)).unwrap();
            assert!(place("homeassistant/device/") < place("home/person/ada"));
            assert!(both.last("whichroom/home/tracked").is_none(), "that is for agents");
            assert!(both.apart.iter().all(|(topic, _)| !topic.contains("/aggregator/")));
        }
    }

    #[test]
    fn while_the_access_points_broker_is_gone_home_assistant_is_told_what_is_wrong() {
        let mut both = Both::new();
        both.connect();
        both.bench.start();
        both.settle();
        both.apart.clear();
        let gone = Event::Disconnected { why: "gone".to_owned(), retry_in: std::time::Duration::ZERO };
        both.bench.event(gone.clone());
        both.settle();
        assert_eq!(both.last(STATUS), None, "it lives, and says so");
        both.event(gone);
        both.connect();
        assert!(Both::tells_discovery(&both.apart), "the broker may have lost everything");
        assert_eq!(both.last(STATUS), Some("online"));
        assert_eq!(both.bench.hub.farewell_apart().len(), 1);
    }

    #[test]
    fn of_home_assistants_broker_only_orders_and_its_birth_are_taken() {
        let mut both = Both::new();
        both.connect();
        both.bench.start();
        both.message("whichroom/home/set/note", r#"{"text":"moved the sofa"}"#, false);
        assert_eq!(both.bench.hub.take_notes().len(), 1);
        let aps = both.bench.hub.view(both.bench.now).access_points.len();
        both.message(
            "whichroom/home/ap/attic/status",
            r#"{"schema":1,"boot":"b","node":"n","sent_ms":1,"state":"online","version":"9"}"#,
            false,
        );
        assert_eq!(
            both.bench.hub.view(both.bench.now).access_points.len(),
            aps,
            "no access point speaks there"
        );
        both.message(STATUS, "offline", false);
        assert_eq!(both.last(STATUS), Some("online"), "a late will does not stand");
        both.apart.clear();
        both.message("homeassistant/status", "online", false);
        both.bench.pass(1_000);
        both.settle();
        assert!(Both::tells_discovery(&both.apart));
    }

    #[test]
    fn the_same_broker_under_another_name_is_said_and_orders_are_obeyed_once() {
        let mut both = Both::new();
        both.bench.start();
        both.connect();
        both.message(OWN, "online", true);
        both.message("whichroom/home/set/note", r#"{"text":"one"}"#, false);
        assert_eq!(both.bench.hub.take_notes().len(), 1, "what was retained there may be old");
        both.message(OWN, "online", false);
        both.message("whichroom/home/set/note", r#"{"text":"two"}"#, false);
        both.bench.message("whichroom/home/set/note", r#"{"text":"two"}"#, false);
        assert_eq!(both.bench.hub.take_notes().len(), 1);
    }

    #[test]
    fn home_assistant_moves_to_a_broker_of_its_own_and_back() {
        let mut both = Both::new();
        both.connect();
        both.bench.start();
        both.settle();
        let farewell = both.bench.hub.handle_apart_replaced(false);
        assert_eq!(farewell.len(), 1);
        assert_eq!((farewell[0].topic.as_str(), farewell[0].payload.as_slice()), (STATUS, &b"offline"[..]));
        both.bench.sent.clear();
        both.bench.hub.handle_setup(setup(HOME), HomeAssistant::default(), both.bench.now, &both.bench.clock);
        both.settle();
        assert!(Both::tells_discovery(&both.bench.sent));
        assert!(both.bench.last(ADA).is_some());
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
            let is_told = bench.hub.next_publish(Place::Main).is_some();
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
    fn two_phones_of_one_name_are_told_apart_in_home_assistant() {
        let mut bench = Bench::new();
        bench.start();
        let devices =
            |mac: u8| format!("devices = [{{ name = \"phone\", macs = [\"02:00:00:00:00:0{mac}\"] }}]\n");
        let people =
            format!("[[person]]\nname = \"Ada\"\n{}[[person]]\nname = \"Bo\"\n{}", devices(1), devices(2));
        bench.hub.handle_setup(setup(&people), HomeAssistant::default(), bench.now, &bench.clock);
        bench.settle();
        for (person, name) in [("ada", "Ada phone"), ("bo", "Bo phone")] {
            let topic = format!("homeassistant/device/whichroom_home_station_{person}-phone/config");
            let discovery: serde_json::Value = serde_json::from_str(bench.last(&topic).unwrap()).unwrap();
            assert_eq!(discovery["device"]["name"], name);
        }
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
        let hers: Vec<&str> = bench.topics().into_iter().filter(|topic| topic.contains("ada")).collect();
        for part in ["whichroom_home_person_ada/config", "person/ada", "device/ada", "/thrashing"] {
            assert!(hers.iter().any(|topic| topic.contains(part)), "{part}: {hers:?}");
        }
        for topic in hers {
            assert_eq!(bench.last(topic), Some(""), "{topic}");
        }
    }
}
