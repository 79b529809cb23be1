//! An access point: hostapd's station tables, and the agent that publishes them by the rules of the contract.

use std::collections::BTreeMap;

use whichroom_wire::{
    AgentMessage, Change, Event, EventWhat, Events, Host, Hosts, Id, Mac, Radio, Radios, State, Station,
    Stations, Status, Topic,
};

/// Silences at which a station's state is published again.
const INACTIVE_STEPS_MS: [u64; 4] = [30_000, 60_000, 120_000, 300_000];
/// A signal that moved this far is published.
const SIGNAL_STEP_DB: i8 = 2;

/// A message of an access point's agent, as of the simulated time it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// When it was made, in simulated milliseconds.
    pub at_ms: u64,
    /// The access point.
    pub ap: Id,
    /// Stable id of its hardware.
    pub node: String,
    /// Its boot.
    pub boot: String,
    /// When it booted, in simulated milliseconds; may be before the simulation began.
    pub booted_ms: i64,
    /// What it says.
    pub message: AgentMessage,
}

impl Output {
    /// Where it goes.
    pub fn topic(&self) -> Topic {
        let ap = self.ap.clone();
        match self.message {
            AgentMessage::Status(_) => Topic::ApStatus(ap),
            AgentMessage::Radios(_) => Topic::ApRadios(ap),
            AgentMessage::Stations(_) => Topic::ApStations(ap),
            AgentMessage::Events(_) => Topic::ApEvents(ap),
            AgentMessage::Hosts(_) => Topic::ApHosts(ap),
        }
    }

    /// Whether the broker keeps it.
    pub fn retain(&self) -> bool {
        !matches!(self.message, AgentMessage::Events(_))
    }

    /// Its bytes when they are handed over at `now_ms`: ages are counted from then.
    pub fn payload(&self, now_ms: u64) -> Vec<u8> {
        let since_boot_ms = i128::from(now_ms) - i128::from(self.booted_ms);
        let sent_ms = u64::try_from(since_boot_ms).unwrap_or(0);
        let stamp = whichroom_wire::Stamp::new(&*self.boot, &*self.node, sent_ms);
        let late_ms = now_ms.saturating_sub(self.at_ms);
        match &self.message {
            AgentMessage::Status(status) => whichroom_wire::encode(&stamp, status),
            AgentMessage::Radios(radios) => whichroom_wire::encode(&stamp, radios),
            AgentMessage::Hosts(hosts) => whichroom_wire::encode(&stamp, hosts),
            AgentMessage::Stations(stations) => {
                let mut aged = stations.clone();
                for station in &mut aged.stations {
                    station.inactive_ms = station.inactive_ms.map(|inactive_ms| inactive_ms + late_ms);
                }
                whichroom_wire::encode(&stamp, &aged)
            }
            AgentMessage::Events(events) => {
                let mut aged = events.clone();
                for event in &mut aged.events {
                    event.age_ms += late_ms;
                }
                whichroom_wire::encode(&stamp, &aged)
            }
        }
    }
}

/// One of the two BSSs.
#[derive(Debug, Clone)]
pub(crate) struct Bss {
    pub(crate) bssid: Mac,
    pub(crate) enabled: bool,
    pub(crate) radio: Radio,
}

/// A station in a table.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) authorized: bool,
    /// Distinguishes this association from an earlier one of the same station.
    pub(crate) generation: u64,
    associated_ms: u64,
    signal_dbm: i8,
    /// The driver's view: data, or an acknowledged poll.
    pub(crate) seen_ms: u64,
    rx_packets: u64,
    rx_bytes: u64,
    /// First octet of its RM enabled capabilities.
    pub(crate) rrm: u8,
    said: Option<Said>,
}

/// What was last published of a station.
#[derive(Debug, Clone, Copy)]
struct Said {
    signal_dbm: i8,
    inactive_step: usize,
}

/// An access point at a time.
#[derive(Debug, Clone)]
pub(crate) struct AccessPoint {
    id: Id,
    node: String,
    boot: String,
    booted_ms: i64,
    /// Powered, and its agent connected.
    pub(crate) alive: bool,
    pub(crate) bsses: [Bss; 2],
    pub(crate) stations: BTreeMap<(Mac, usize), Entry>,
    pub(crate) hosts: Vec<Host>,
    seq: u64,
    generations: u64,
}

impl AccessPoint {
    pub(crate) fn new(id: Id, node: String, boot: String, booted_ms: i64, bsses: [Bss; 2]) -> AccessPoint {
        AccessPoint {
            id,
            node,
            boot,
            booted_ms,
            alive: true,
            bsses,
            stations: BTreeMap::new(),
            hosts: Vec::new(),
            seq: 0,
            generations: 0,
        }
    }

    /// Loses everything but its configuration.
    pub(crate) fn power_cut(&mut self) {
        self.alive = false;
        self.stations.clear();
    }

    pub(crate) fn boot(&mut self, boot: String, now_ms: u64) {
        (self.boot, self.booted_ms, self.alive, self.seq) = (boot, now_ms as i64, true, 0);
    }

    /// What an agent says when it is connected: who it is, its BSSs, its table.
    pub(crate) fn announce(&self, now_ms: u64) -> Vec<Output> {
        let mut outputs = vec![self.status(State::Online, now_ms), self.radios(now_ms)];
        if !self.hosts.is_empty() {
            outputs.push(self.hosts_message(now_ms));
        }
        outputs.push(self.table(now_ms));
        outputs
    }

    pub(crate) fn hosts_message(&self, now_ms: u64) -> Output {
        self.output(AgentMessage::Hosts(Hosts { hosts: self.hosts.clone() }), now_ms)
    }

    pub(crate) fn status(&self, state: State, now_ms: u64) -> Output {
        let status = Status {
            state,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sources: vec!["hostapd".to_owned(), "iwinfo".to_owned()],
            release: Some("24.10.1".to_owned()),
            problems: Vec::new(),
        };
        self.output(AgentMessage::Status(status), now_ms)
    }

    pub(crate) fn radios(&self, now_ms: u64) -> Output {
        let radios = self.bsses.iter().map(|bss| {
            let status = if bss.enabled { "ENABLED" } else { "DFS" };
            Radio { status: Some(status.to_owned()), ..bss.radio.clone() }
        });
        self.output(AgentMessage::Radios(Radios { radios: radios.collect() }), now_ms)
    }

    pub(crate) fn table(&self, now_ms: u64) -> Output {
        let stations = self.stations.iter().map(|(&(mac, bss), entry)| Station {
            signal_dbm: Some(entry.signal_dbm),
            inactive_ms: Some(now_ms.saturating_sub(entry.seen_ms)),
            connected_s: Some(now_ms.saturating_sub(entry.associated_ms) / 1000),
            rx_packets: Some(entry.rx_packets),
            rx_bytes: Some(entry.rx_bytes),
            rrm: Some(entry.rrm),
            ..Station::new(mac, self.bsses[bss].bssid, entry.authorized)
        });
        let message = AgentMessage::Stations(Stations { seq: self.seq, stations: stations.collect() });
        self.output(message, now_ms)
    }

    /// Publishes what happened just now, in order.
    pub(crate) fn events(&mut self, changes: Vec<(Mac, usize, Change)>, now_ms: u64) -> Output {
        let events: Vec<Event> = changes
            .into_iter()
            .map(|(mac, bss, change)| {
                let what = EventWhat::Station { mac, bssid: self.bsses[bss].bssid, change };
                Event { age_ms: 0, what }
            })
            .collect();
        self.event_message(events, now_ms)
    }

    /// Answers a request of the aggregator.
    pub(crate) fn answer(&mut self, id: &Id, result: Result<(), &str>, now_ms: u64) -> Output {
        let error = result.err().map(str::to_owned);
        let what = EventWhat::Answer { id: id.to_string(), ok: error.is_none(), error };
        self.event_message(vec![Event { age_ms: 0, what }], now_ms)
    }

    fn event_message(&mut self, events: Vec<Event>, now_ms: u64) -> Output {
        self.seq += 1;
        self.output(AgentMessage::Events(Events { seq: self.seq, events }), now_ms)
    }

    /// A station associates; an entry of an earlier association is replaced, as hostapd does.
    pub(crate) fn associate(&mut self, mac: Mac, bss: usize, signal_dbm: i8, rrm: u8, now_ms: u64) -> u64 {
        self.generations += 1;
        let entry = Entry {
            authorized: false,
            generation: self.generations,
            associated_ms: now_ms,
            signal_dbm,
            seen_ms: now_ms,
            rx_packets: 4,
            rx_bytes: 600,
            rrm,
            said: None,
        };
        self.stations.insert((mac, bss), entry);
        self.generations
    }

    /// Data came from a station.
    pub(crate) fn hear(&mut self, mac: Mac, bss: usize, signal_dbm: i8, packets: u64, now_ms: u64) {
        let Some(entry) = self.stations.get_mut(&(mac, bss)) else { return };
        entry.signal_dbm = signal_dbm;
        entry.seen_ms = now_ms;
        // Counters are 32 bits wide.
        entry.rx_packets = (entry.rx_packets + packets) & 0xffff_ffff;
        entry.rx_bytes = (entry.rx_bytes + packets * 180) & 0xffff_ffff;
    }

    /// The agent's poll: signals that moved, silences that crossed a step, traffic that came back.
    pub(crate) fn poll(&mut self, now_ms: u64) -> Option<Output> {
        let mut changes = Vec::new();
        for (&(mac, bss), entry) in &mut self.stations {
            let inactive_ms = now_ms.saturating_sub(entry.seen_ms);
            let inactive_step = INACTIVE_STEPS_MS.partition_point(|&step_ms| step_ms <= inactive_ms);
            let now = Said { signal_dbm: entry.signal_dbm, inactive_step };
            let news = entry.said.is_none_or(|said| {
                said.signal_dbm.abs_diff(now.signal_dbm) >= SIGNAL_STEP_DB.unsigned_abs()
                    || said.inactive_step != now.inactive_step
            });
            if !news {
                continue;
            }
            entry.said = Some(now);
            let change = Change::Signal {
                signal_dbm: Some(entry.signal_dbm),
                inactive_ms: Some(inactive_ms),
                rx_packets: Some(entry.rx_packets),
                rx_bytes: Some(entry.rx_bytes),
            };
            changes.push((mac, bss, change));
        }
        (!changes.is_empty()).then(|| self.events(changes, now_ms))
    }

    fn output(&self, message: AgentMessage, now_ms: u64) -> Output {
        Output {
            at_ms: now_ms,
            ap: self.id.clone(),
            node: self.node.clone(),
            boot: self.boot.clone(),
            booted_ms: self.booted_ms,
            message,
        }
    }
}
