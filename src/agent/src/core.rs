//! The agent without sockets and clocks: what comes from ubus and from the broker goes in, and effects come out.
//!
//! The shell calls one `handle_*`, then drains [`Core::poll_effect`], answering each [`Effect::Publish`] with
//! [`Core::handle_handed_over`] before the next. Time is milliseconds since the start, the same that goes on the wire.
//!
//! What goes out when: events at once; the table of stations when someone came or went (at most once a second), on
//! connecting and every 30 s; the radios when they changed and every five minutes; the status when it changed.

mod inbox;

use std::collections::VecDeque;

use whichroom_ubus::message::Message;
use whichroom_wire::{
    Change, EventWhat, Events, Host, Hosts, Id, Mac, Radio, Radios, Root, STATUS_TEXTS_MAX, Stamp, State,
    Stations, Status, Topic, encode,
};

use crate::collector::{Action, Collector, Heard, Observation};
use crate::outbox::{Outbox, Slot};
use crate::requests::Requests;
use crate::sorted::Sorted;
use crate::table::Table;

const TABLE_EVERY_MS: u64 = 30_000;
/// A phone that bounces between BSSs must not make tables of every station as often.
const TABLE_GAP_MS: u64 = 1_000;
const RADIOS_EVERY_MS: u64 = 300_000;
/// After an association without a `sta-authorized`, which hostapd has since OpenWrt 23.05.
const HANDSHAKE_POLL_MS: u64 = 500;
/// While a start or a reload goes on, the status changes with every answer.
const STATUS_GAP_MS: u64 = 1_000;
/// A station sends its probes in bursts.
const PROBE_GAP_MS: u64 = 1_000;
/// Stations whose last probe is remembered.
const PROBES_MAX: usize = 256;
/// How long that is reported after it was noticed last.
const CONFLICT_KEPT_MS: u64 = 600_000;
/// How long the broker may take for our last message.
const STOP_MS: u64 = 2_000;

/// Which stations' probes leave the access point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probes {
    /// Those of the stations that the aggregator tracks.
    Tracked,
    /// All, strangers' too.
    All,
    /// None.
    Off,
}

/// What an agent is told at its start.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) site: Id,
    pub(crate) ap: Id,
    /// Stable id of the hardware.
    pub(crate) node: String,
    /// Random at each start.
    pub(crate) boot: String,
    pub(crate) interval_ms: u64,
    pub(crate) probes: Probes,
    /// OpenWrt's.
    pub(crate) release: Option<String>,
}

/// A message for the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) retain: bool,
}

/// What the shell is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Something with ubus.
    Ubus(Action),
    /// Hand this over, and say how it went.
    Publish(Slot, Outgoing),
    /// Subscribe to these topics.
    Subscribe(Vec<String>),
    /// From now on these stations' probes are wanted; sorted.
    Track(Vec<Mac>),
    /// All is said: end.
    Stop,
}

/// Why the client did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It may later.
    NotNow,
    /// It never will.
    Never,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Core {
    config: Config,
    root: Root,
    collector: Collector,
    table: Table,
    outbox: Outbox,
    requests: Requests,
    effects: VecDeque<Effect>,
    /// Sorted.
    tracked: Vec<Mac>,
    /// The home's BSSs, in order; empty if nobody said.
    bssids: Vec<Mac>,
    /// When a probe of a station at a BSS was passed on last.
    probes: Sorted<(Mac, Mac), u64>,
    /// What usteer had heard of the stations whose probes are wanted, and when it was asked.
    heard: Option<(u64, Vec<Heard>)>,
    hosts: Vec<Host>,
    /// Event messages handed over.
    seq: u64,
    /// There was a table to send.
    settled_once: bool,
    table_sent_ms: Option<u64>,
    table_due_ms: u64,
    radios_known: Vec<Radio>,
    radios_due_ms: u64,
    status_known: Option<Status>,
    status_sent_ms: Option<u64>,
    status_due_ms: Option<u64>,
    corrected_ms: Option<u64>,
    /// Another access point of this name, and when it was noticed last.
    conflict: Option<(String, u64)>,
    stop_ms: Option<u64>,
}

impl Core {
    pub(crate) fn new(config: Config, now_ms: u64) -> Core {
        Core {
            root: Root::new(&config.site),
            collector: Collector::new(config.interval_ms, now_ms),
            table: Table::default(),
            outbox: Outbox::default(),
            requests: Requests::default(),
            effects: VecDeque::new(),
            tracked: Vec::new(),
            bssids: Vec::new(),
            probes: Sorted::default(),
            heard: None,
            hosts: Vec::new(),
            seq: 0,
            settled_once: false,
            table_sent_ms: None,
            table_due_ms: now_ms,
            radios_known: Vec::new(),
            radios_due_ms: now_ms,
            status_known: None,
            status_sent_ms: None,
            status_due_ms: None,
            corrected_ms: None,
            conflict: None,
            stop_ms: None,
            config,
        }
    }

    /// The broker is to publish this when the connection is lost.
    pub(crate) fn will(&self) -> Outgoing {
        self.message(Slot::Status, encode(&self.stamp(0), &self.status(State::Offline)))
    }

    /// The next thing to do.
    pub(crate) fn poll_effect(&mut self, now_ms: u64) -> Option<Effect> {
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        // Without ubus the table would be old news; the radios say that it is lost.
        let table = self.collector.is_settled();
        if let Some(slot) =
            self.outbox.next(table, self.settled_once, now_ms).filter(|slot| self.may_send(*slot))
        {
            let payload = self.payload(slot, now_ms);
            return Some(Effect::Publish(slot, self.message(slot, payload)));
        }
        self.collector.poll_action().map(Effect::Ubus)
    }

    /// After "offline" nothing follows.
    fn may_send(&self, slot: Slot) -> bool {
        self.stop_ms.is_none() || slot == Slot::Status
    }

    fn stamp(&self, now_ms: u64) -> Stamp {
        Stamp::new(self.config.boot.as_str(), self.config.node.as_str(), now_ms)
    }

    fn message(&self, slot: Slot, payload: Vec<u8>) -> Outgoing {
        let ap = self.config.ap.clone();
        let topic = match slot {
            Slot::Status => Topic::ApStatus(ap),
            Slot::Stations => Topic::ApStations(ap),
            Slot::Radios => Topic::ApRadios(ap),
            Slot::Hosts => Topic::ApHosts(ap),
            Slot::Events => Topic::ApEvents(ap),
        };
        Outgoing { topic: self.root.full(&topic), payload, retain: slot != Slot::Events }
    }

    fn payload(&self, slot: Slot, now_ms: u64) -> Vec<u8> {
        let stamp = self.stamp(now_ms);
        match slot {
            Slot::Status => {
                let state = if self.stop_ms.is_some() { State::Offline } else { State::Online };
                encode(&stamp, &self.status(state))
            }
            Slot::Stations => {
                encode(&stamp, &Stations { seq: self.seq, stations: self.table.stations(now_ms) })
            }
            Slot::Radios => encode(&stamp, &Radios { radios: self.collector.radios() }),
            Slot::Hosts => encode(&stamp, &Hosts { hosts: self.hosts.clone() }),
            Slot::Events => encode(&stamp, &Events { seq: self.seq + 1, events: self.outbox.events(now_ms) }),
        }
    }

    fn status(&self, state: State) -> Status {
        let mut sources: Vec<String> = self.collector.sources().into_iter().map(str::to_owned).collect();
        if self.config.probes == Probes::All {
            sources.push("probes-all".to_owned());
        }
        let mut problems: Vec<String> = self.conflict.iter().map(|(text, _)| text.clone()).collect();
        if self.outbox.dropped() > 0 {
            problems
                .push(format!("{} events were dropped: more than the broker took", self.outbox.dropped()));
        }
        problems.extend(self.collector.problems());
        problems.truncate(STATUS_TEXTS_MAX);
        Status {
            state,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sources,
            release: self.config.release.clone(),
            problems,
        }
    }

    /// What it would publish now, each with its name, and whether it has asked for everything there is to know.
    pub(crate) fn snapshot(&self, now_ms: u64) -> ([(&'static str, Vec<u8>); 3], bool) {
        let of = |slot| self.payload(slot, now_ms);
        let messages =
            [("status", of(Slot::Status)), ("radios", of(Slot::Radios)), ("stations", of(Slot::Stations))];
        (messages, self.collector.is_complete())
    }

    /// Stations and BSSs whose last probe is remembered.
    #[cfg(test)]
    pub(crate) fn probes_remembered(&self) -> usize {
        self.probes.len()
    }

    /// What is wrong, in words.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.collector.problems()
    }

    /// ubusd took the connection.
    pub(crate) fn handle_ubus_opened(&mut self, now_ms: u64) {
        self.collector.handle_opened(now_ms);
        self.digest(now_ms);
    }

    /// It did not. `jailed`: the socket was mounted into a jail.
    pub(crate) fn handle_ubus_failed(&mut self, why: &str, jailed: bool, now_ms: u64) {
        self.collector.handle_open_failed(why, jailed, now_ms);
        self.digest(now_ms);
    }

    /// The connection is lost.
    pub(crate) fn handle_ubus_closed(&mut self, why: &str, now_ms: u64) {
        self.collector.handle_closed(why, now_ms);
        self.digest(now_ms);
    }

    /// A message of ubusd.
    pub(crate) fn handle_ubus_message(&mut self, message: Message<'_>, now_ms: u64) {
        self.collector.handle_message(message, now_ms);
        self.digest(now_ms);
    }

    /// dnsmasq's leases, empty where there are none.
    pub(crate) fn handle_leases(&mut self, leases: Vec<Host>, now_ms: u64) {
        self.collector.handle_leases(leases, now_ms);
        self.digest(now_ms);
    }

    /// The broker took the connection.
    pub(crate) fn handle_connected(&mut self, now_ms: u64) {
        let below = [
            Topic::Tracked,
            Topic::ApRequest(self.config.ap.clone()),
            Topic::ApStatus(self.config.ap.clone()),
        ];
        self.effects.push_back(Effect::Subscribe(below.iter().map(|topic| self.root.full(topic)).collect()));
        self.outbox.handle_connected();
        for slot in [Slot::Status, Slot::Stations, Slot::Radios] {
            self.outbox.want(slot);
        }
        if !self.hosts.is_empty() {
            self.outbox.want(Slot::Hosts);
        }
        self.digest(now_ms);
    }

    /// The connection to the broker is lost.
    pub(crate) fn handle_disconnected(&mut self) {
        self.outbox.handle_disconnected();
        if self.stop_ms.is_some() {
            self.effects.push_back(Effect::Stop);
        }
    }

    /// The client took a message, or not.
    pub(crate) fn handle_handed_over(&mut self, slot: Slot, result: Result<(), Refusal>, now_ms: u64) {
        match result {
            Ok(()) => self.outbox.handed_over(slot),
            Err(Refusal::NotNow) => return self.outbox.refused(now_ms),
            Err(Refusal::Never) => self.outbox.impossible(slot),
        }
        match slot {
            // Of one that cannot go the number is used up: the gap shows.
            Slot::Events => self.seq += 1,
            Slot::Stations => {
                self.table_sent_ms = Some(now_ms);
                self.table_due_ms = now_ms + TABLE_EVERY_MS;
            }
            Slot::Radios => self.radios_due_ms = now_ms + RADIOS_EVERY_MS,
            Slot::Status => {
                self.status_sent_ms = Some(now_ms);
                self.status_due_ms = None;
                self.status_known = Some(self.status(State::Online));
            }
            Slot::Hosts => {}
        }
    }

    /// The broker has a message.
    pub(crate) fn handle_acked(&mut self, slot: Slot) {
        self.outbox.acked(slot);
        if self.stop_ms.is_some() && self.outbox.is_done(Slot::Status) {
            self.effects.push_back(Effect::Stop);
        }
    }

    /// The process is asked to end: says goodbye, so that the broker's retained "online" does not stay.
    pub(crate) fn handle_stop(&mut self, now_ms: u64) {
        if self.stop_ms.is_some() || !self.outbox.is_connected() {
            self.effects.push_back(Effect::Stop);
        }
        self.stop_ms.get_or_insert(now_ms + STOP_MS);
        self.outbox.want(Slot::Status);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now_ms: u64) {
        self.collector.handle_timeout(now_ms);
        self.outbox.handle_timeout(now_ms);
        if self.table_due_ms <= now_ms {
            self.table_due_ms = now_ms + TABLE_EVERY_MS;
            self.outbox.want(Slot::Stations);
        }
        if self.radios_due_ms <= now_ms {
            self.radios_due_ms = now_ms + RADIOS_EVERY_MS;
            self.outbox.want(Slot::Radios);
        }
        if self.status_due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.status_due_ms = None;
            self.outbox.want(Slot::Status);
        }
        if self.conflict.as_ref().is_some_and(|(_, seen_ms)| seen_ms + CONFLICT_KEPT_MS <= now_ms) {
            self.conflict = None;
            self.outbox.want(Slot::Status);
        }
        if self.stop_ms.is_some_and(|stop_ms| stop_ms <= now_ms) {
            // Once is enough; nothing else is sent any more either way.
            self.stop_ms = Some(u64::MAX);
            self.effects.push_back(Effect::Stop);
        }
        self.digest(now_ms);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> u64 {
        let others = [
            Some(self.radios_due_ms),
            self.status_due_ms,
            self.stop_ms,
            self.collector.poll_timeout(),
            self.outbox.poll_timeout(),
        ];
        others.into_iter().flatten().fold(self.table_due_ms, u64::min)
    }

    /// Turns what was learned into what is to be sent.
    fn digest(&mut self, now_ms: u64) {
        while let Some(observation) = self.collector.poll_observation() {
            self.handle_observation(observation, now_ms);
        }
        if self.table.take_changed() {
            let earliest_ms = self.table_sent_ms.map_or(now_ms, |sent_ms| now_ms.max(sent_ms + TABLE_GAP_MS));
            self.table_due_ms = self.table_due_ms.min(earliest_ms);
            if self.table_due_ms <= now_ms {
                self.outbox.want(Slot::Stations);
            }
        }
        self.settled_once |= self.collector.is_settled();
        if self.collector.take_touched() {
            self.compare(now_ms);
        }
    }

    /// Wants radios and status to be sent where they changed.
    fn compare(&mut self, now_ms: u64) {
        let mut radios = self.collector.radios();
        for radio in &mut radios {
            // These change all the time, and the next message in five minutes has them.
            (radio.utilization_permille, radio.noise_dbm) = (None, None);
        }
        if radios != self.radios_known {
            self.radios_known = radios;
            self.outbox.want(Slot::Radios);
        }
        let status = self.status(State::Online);
        if self.status_known.as_ref() != Some(&status) {
            for problem in status.problems.iter().filter(|problem| !self.has_problem(problem)) {
                log::warn!("{problem}");
            }
            self.status_known = Some(status);
            let earliest_ms =
                self.status_sent_ms.map_or(now_ms, |sent_ms| now_ms.max(sent_ms + STATUS_GAP_MS));
            self.status_due_ms.get_or_insert(earliest_ms);
        }
    }

    fn has_problem(&self, problem: &str) -> bool {
        self.status_known.as_ref().is_some_and(|status| status.problems.iter().any(|known| known == problem))
    }

    fn handle_observation(&mut self, observation: Observation, now_ms: u64) {
        match observation {
            Observation::Clients { bssid, clients, quiet } => {
                let news = self.table.handle_clients(bssid, &clients, quiet, now_ms);
                self.push(news, now_ms);
                if self.table.is_handshaking(bssid, now_ms) {
                    self.collector.poll_soon(bssid, now_ms + HANDSHAKE_POLL_MS);
                }
                if self.table.is_in_doubt(bssid) {
                    self.collector.assoclist_soon(bssid, now_ms);
                }
            }
            Observation::Assoclist { bssid, entries } => {
                let news = self.table.handle_assoclist(bssid, &entries, now_ms);
                self.push(news, now_ms);
            }
            Observation::Station { bssid, mac, change } => self.handle_change(bssid, mac, change, now_ms),
            Observation::BeaconRefused { mac } => self.requests.handle_refusal(mac, now_ms),
            Observation::BeaconAnswer { request, mac, result } => {
                if result.is_err() {
                    self.requests.handle_refusal(mac, now_ms);
                }
                self.answer(&request, result, now_ms);
            }
            Observation::Heard(heard) => self.handle_heard(heard, now_ms),
            Observation::BssRemoved { bssid } => self.table.remove_bss(bssid),
            Observation::Hosts(hosts) => {
                self.hosts = hosts;
                self.outbox.want(Slot::Hosts);
            }
        }
    }

    fn push(&mut self, news: Vec<EventWhat>, now_ms: u64) {
        for what in news {
            self.outbox.push(now_ms, what);
        }
    }

    fn handle_change(&mut self, bssid: Mac, mac: Mac, change: Change, now_ms: u64) {
        let wanted = match &change {
            Change::Probe { .. } => self.is_probe_wanted(bssid, mac, now_ms),
            Change::BeaconReport { heard, .. } => {
                // What a station hears of the neighbours is nobody's business.
                let is_ours = self.bssids.is_empty() || self.bssids.binary_search(heard).is_ok();
                self.requests.handle_report(mac, now_ms) && is_ours
            }
            Change::Signal { .. }
            | Change::Assoc { .. }
            | Change::Authorized { .. }
            | Change::Disassoc
            | Change::Deauth
            | Change::LocalDeauth
            | Change::InactiveDeauth
            | Change::Joined { .. }
            | Change::Left
            | Change::KeyMismatch => true,
        };
        if !wanted {
            return;
        }
        self.table.handle_change(bssid, mac, &change, now_ms);
        if changes_membership(&change) {
            // A poll tells what the frame did not: who is really there, and how loud.
            self.collector.poll_soon(bssid, now_ms);
        }
        self.outbox.push(now_ms, EventWhat::Station { mac, bssid, change });
    }

    /// Passes on as probes what usteer heard since it was asked last and hostapd did not tell; their age is the greatest
    /// they can have.
    fn handle_heard(&mut self, mut heard: Vec<Heard>, now_ms: u64) {
        heard.retain(|heard| self.is_of_interest(heard.mac));
        if let Some((since_ms, before)) = self.heard.take() {
            for new in &heard {
                let known = before.iter().find(|known| (known.bssid, known.mac) == (new.bssid, new.mac));
                // A station that was connected leaves its last signal behind, however old it is.
                let stale = known.is_some_and(|known| known == new || known.signal_dbm.is_none());
                let told = self.probes.get(&(new.bssid, new.mac)).is_some_and(|at_ms| *at_ms >= since_ms);
                if new.signal_dbm.is_some() && !stale && !told {
                    let change = Change::Probe { signal_dbm: new.signal_dbm };
                    self.outbox.push(since_ms, EventWhat::Station { mac: new.mac, bssid: new.bssid, change });
                }
            }
        }
        self.heard = Some((now_ms, heard));
    }

    /// Whether it may be told that a station was heard.
    fn is_of_interest(&self, mac: Mac) -> bool {
        match self.config.probes {
            Probes::Off => false,
            Probes::All => true,
            Probes::Tracked => self.tracked.binary_search(&mac).is_ok(),
        }
    }

    /// A stranger's probe never leaves the access point, unless that was asked for.
    fn is_probe_wanted(&mut self, bssid: Mac, mac: Mac, now_ms: u64) -> bool {
        let wanted = self.is_of_interest(mac);
        if !wanted || self.probes.get(&(bssid, mac)).is_some_and(|at| at + PROBE_GAP_MS > now_ms) {
            return false;
        }
        if self.probes.len() >= PROBES_MAX {
            self.probes.retain(|_, at| *at + PROBE_GAP_MS > now_ms);
        }
        if self.probes.len() < PROBES_MAX {
            self.probes.insert((bssid, mac), now_ms);
        }
        true
    }
}

fn changes_membership(change: &Change) -> bool {
    matches!(
        change,
        Change::Assoc { .. }
            | Change::Authorized { .. }
            | Change::Disassoc
            | Change::Deauth
            | Change::LocalDeauth
            | Change::InactiveDeauth
    )
}
