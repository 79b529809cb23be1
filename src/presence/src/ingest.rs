//! Reading what the access points say. Bytes are foreign: what cannot be read is counted and costs nothing else.

use whichroom_wire::{
    AgentMessage, Change, DecodeError, Event, EventWhat, Events, Id, Mac, Radios, Stamp, State, Station,
    Stations, Status, Topic,
};

use crate::Moment;
use crate::access_point::{Admission, Sequence, Table};
use crate::claims::{Association, Gone, Parting, Reading};
use crate::device::{Evidence, Listing};
use crate::engine::Engine;
use crate::hearing::{How, Level};
use crate::output::{Fact, Witnessed};
use crate::timers::{ApIndex, DeviceIndex, Timer};

/// How much longer a departure waits for its explanation after an association request.
const REASSOCIATION_MS: u64 = 10_000;

/// A table may list what left so long before it was sent: it is polled, and events are not.
pub(crate) const TABLE_LAG_MS: u64 = 10_000;

/// Addresses of BSSs that are remembered.
const BSSIDS_MAX: usize = 65_536;

/// A device that faded this shortly before its BSS went was lost with it.
const LOST_TOGETHER_MS: u64 = 60_000;

impl Engine {
    /// A message of the broker. Any bytes will do: those that are no agent's message are ignored or counted.
    pub fn handle_publish(&mut self, topic_below_root: &str, payload: &[u8], retained: bool, now: Moment) {
        let Some(topic) = Topic::parse(topic_below_root) else { return };
        let Some(id) = agent_of(&topic) else { return };
        // An empty retained payload is how a topic is removed; it says nothing.
        if payload.is_empty() {
            return;
        }
        let Some(ap) = self.ap_or_new(id, now) else { return };
        match AgentMessage::decode(&topic, payload) {
            Ok(decoded) => {
                let rejected = decoded.rejected;
                self.ap_mut(ap).reject(rejected.count.into(), rejected.first);
                self.handle_message(ap, &decoded.stamp, decoded.message, retained, now);
            }
            Err(error) => {
                self.ap_mut(ap).reject(1, Some(error.to_string()));
                if matches!(error, DecodeError::NewerSchema(_))
                    && (!retained || self.ap_mut(ap).last_live.is_none())
                {
                    self.ap_mut(ap).speaks_newer();
                    self.became_blind(ap, now);
                }
            }
        }
        self.flush(now);
    }

    fn handle_message(
        &mut self,
        ap: ApIndex,
        stamp: &Stamp,
        message: AgentMessage,
        retained: bool,
        now: Moment,
    ) {
        if let AgentMessage::Status(Status { state: State::Offline, .. }) = &message {
            return self.handle_offline(ap, stamp, message, retained, now);
        }
        let timing = self.timing.clone();
        let admission = self.ap_mut(ap).admit(stamp, retained, now, &timing);
        match admission {
            Admission::Live | Admission::Restarted => {
                let state = self.ap_mut(ap);
                state.live(stamp.sent_ms, now, &timing);
                if admission == Admission::Restarted {
                    self.witness(ap, now, || Fact::Restarted);
                }
                self.reports(ap, now);
                self.handle_live(ap, stamp, message, now);
            }
            Admission::Retained => self.handle_retained(ap, message, now),
            Admission::Duplicate => self.found_duplicate(ap, &stamp.node, now),
            Admission::Late => {}
        }
    }

    /// Keeps what counted for whoever asked for it.
    fn witness(&mut self, ap: ApIndex, at: Moment, fact: impl FnOnce() -> Fact) {
        if let Some(witnessed) = &mut self.witnessed {
            witnessed.push_back(Witnessed { ap: self.aps[ap.0 as usize].id.clone(), at, fact: fact() });
        }
    }

    /// An end counts only for the boot it belongs to: wills come late.
    fn handle_offline(
        &mut self,
        ap: ApIndex,
        stamp: &Stamp,
        message: AgentMessage,
        retained: bool,
        now: Moment,
    ) {
        let is_reporting = self.aps[ap.0 as usize].state.is_reporting(now, &self.timing);
        let state = self.ap_mut(ap);
        // What the broker kept may be older than what we heard since.
        if !state.takes_offline(stamp) || (retained && is_reporting) {
            return;
        }
        // A will knows less than the status before it did.
        if let (AgentMessage::Status(status), None) = (message, &state.status) {
            state.take_status(status);
        }
        state.stop();
        self.became_blind(ap, now);
    }

    /// What the broker kept: membership, never a proof of life.
    fn handle_retained(&mut self, ap: ApIndex, message: AgentMessage, now: Moment) {
        match message {
            AgentMessage::Status(status) => self.ap_mut(ap).take_status(status),
            AgentMessage::Radios(radios) => self.handle_radios(ap, radios, now),
            AgentMessage::Stations(table) => self.ap_mut(ap).retained_table(table.seq),
            AgentMessage::Hosts(hosts) => self.ap_mut(ap).hosts = hosts.hosts,
            AgentMessage::Events(_) => {}
        }
    }

    fn handle_live(&mut self, ap: ApIndex, stamp: &Stamp, message: AgentMessage, now: Moment) {
        match message {
            AgentMessage::Status(status) => self.ap_mut(ap).take_status(status),
            AgentMessage::Radios(radios) => self.handle_radios(ap, radios, now),
            AgentMessage::Stations(table) => self.handle_table(ap, stamp, &table, now),
            AgentMessage::Events(events) => self.handle_events(ap, stamp, &events, now),
            AgentMessage::Hosts(hosts) => self.ap_mut(ap).hosts = hosts.hosts,
        }
    }

    fn handle_radios(&mut self, ap: ApIndex, radios: Radios, now: Moment) {
        let timing = self.timing.clone();
        self.witness(ap, now, || Fact::Radios(radios.radios.clone()));
        let room = BSSIDS_MAX.saturating_sub(self.bssids.len());
        let bssids = radios.radios.iter().filter_map(|radio| radio.bssid);
        for bssid in bssids.take(room) {
            if self.bssids.insert(bssid, ap).is_none() {
                self.bssids_revision += 1;
            }
        }
        let state = self.ap_mut(ap);
        let lost = state.take_radios(radios.radios, now, &timing);
        let classes = state.classes(|_| true);
        self.model.set_classes(ap, classes);
        if !lost.is_empty() {
            let members: Vec<DeviceIndex> = self.ap_mut(ap).members.iter().copied().collect();
            members.into_iter().for_each(|device| self.lost_bss(device, ap, &lost, now));
        }
        self.recount_guests(ap);
    }

    /// A station that went just before its BSS went with it.
    fn lost_bss(&mut self, device: DeviceIndex, ap: ApIndex, lost: &[Mac], now: Moment) {
        let memory = &mut self.devices[device.0 as usize].memory;
        let on_it = |association: &Association| association.ap == ap && lost.contains(&association.bssid);
        if let Some(claim) =
            memory.association.filter(on_it).and_then(|association| memory.claim_mut(association))
        {
            if let Some(leaving) = &mut claim.leaving {
                leaving.parting = Parting::BssLost;
            }
            if claim.gone.is_some_and(|gone| now.since(gone.at) <= LOST_TOGETHER_MS) {
                memory.lost_with_bss(&self.timing);
                self.arm_device(device, now);
            }
        }
    }

    fn handle_table(&mut self, ap: ApIndex, stamp: &Stamp, table: &Stations, now: Moment) {
        let state = self.ap_mut(ap);
        let at = state.moment_of(stamp.sent_ms, 0, now);
        let before = state.table_at().filter(|_| state.table_seen);
        let authorized = table.stations.iter().filter(|station| station.authorized).count();
        match state.table(table.seq, stamp.sent_ms, at, u32::try_from(authorized).unwrap_or(u32::MAX)) {
            Table::Old => return,
            Table::Suspect => return self.doubt_departures(ap),
            Table::Whole => {}
        }
        self.witness(ap, at, || Fact::Table(table.stations.clone()));
        let mut met = false;
        for station in &table.stations {
            match self.device_of(station) {
                Some(device) => self.handle_station(ap, device, station, at, before, now),
                None => met |= self.meet(ap, station, now),
            }
        }
        self.handle_unlisted(ap, at, now);
        if self.ap_mut(ap).forget_strangers() || met {
            self.recount_guests(ap);
        }
    }

    fn device_of(&self, station: &Station) -> Option<DeviceIndex> {
        let by_mac = self.device_by_mac.get(&station.mac);
        by_mac.or_else(|| station.mld.and_then(|mld| self.device_by_mac.get(&mld))).copied()
    }

    fn handle_station(
        &mut self,
        ap: ApIndex,
        device: DeviceIndex,
        station: &Station,
        at: Moment,
        table_before: Option<Moment>,
        now: Moment,
    ) {
        let association = Association { ap, bssid: station.bssid, mac: station.mac };
        let band_db = self.ap_mut(ap).band_db(station.bssid);
        let listing = Listing {
            authorized: station.authorized,
            reading: Reading {
                signal_dbm: station.signal_dbm,
                band_db,
                inactive_ms: station.inactive_ms,
                rx_packets: station.rx_packets,
                rx_bytes: station.rx_bytes,
            },
            connected_ms: station.connected_s.map(|s| s.saturating_mul(1000)),
            at,
            table_before,
        };
        let mark = self.ap_mut(ap).mark;
        let memory = &mut self.devices[device.0 as usize].memory;
        let before = memory.association;
        let evidence = memory.listed(association, mark, &listing);
        if memory.association == Some(association) {
            memory.asking.capabilities(station.bssid, station.rrm);
        }
        if memory.claims.iter().any(|claim| claim.leaving.is_some()) {
            self.timers.set_if_idle(Timer::Parting(device), now.after(self.timing.debounce_ms));
        }
        self.settle(device, evidence, before, evidence == Evidence::Proof, now);
    }

    /// Those that were last on this AP, and that its new table does not list.
    fn handle_unlisted(&mut self, ap: ApIndex, at: Moment, now: Moment) {
        let state = &self.aps[ap.0 as usize].state;
        let mark = state.mark;
        let devices = &self.devices;
        let is_missing = |device: &&DeviceIndex| {
            let current = devices[device.0 as usize].memory.current();
            current.is_some_and(|claim| claim.gone.is_none() && claim.mark.table != mark.table)
        };
        let missing: Vec<DeviceIndex> = state.members.iter().filter(is_missing).copied().collect();
        for device in missing {
            let state = &self.aps[ap.0 as usize].state;
            let memory = &mut self.devices[device.0 as usize].memory;
            let Some(claim) = memory.association.and_then(|association| memory.claim_mut(association)) else {
                continue;
            };
            let parting = if claim.mark.epoch != mark.epoch {
                Parting::ApRestarted
            } else if state.is_down(claim.association.bssid) {
                Parting::BssLost
            } else {
                Parting::Unlisted
            };
            // The driver's table may lag behind a handshake by a poll.
            let is_fresh = claim.associated_at.is_some_and(|known| known.after(self.timing.debounce_ms) > at);
            if is_fresh || !claim.leave(Gone { at, parting }) {
                claim.mark = mark;
                continue;
            }
            self.timers.set_if_idle(Timer::Parting(device), now.after(self.timing.debounce_ms));
        }
    }

    /// A table that empties in one step is doubted, and what polling told of it too.
    fn doubt_departures(&mut self, ap: ApIndex) {
        let members: Vec<DeviceIndex> = self.ap_mut(ap).members.iter().copied().collect();
        for device in members {
            let memory = &mut self.devices[device.0 as usize].memory;
            let claim = memory.association.and_then(|association| memory.claim_mut(association));
            if let Some(claim) = claim {
                claim.leaving = claim.leaving.filter(|gone| gone.parting != Parting::Unlisted);
            }
        }
    }

    fn handle_events(&mut self, ap: ApIndex, stamp: &Stamp, events: &Events, now: Moment) {
        let sequence = self.ap_mut(ap).sequence(events.seq);
        if sequence == Sequence::Old {
            return;
        }
        for Event { age_ms, what } in &events.events {
            let (mac, bssid, change) = match what {
                EventWhat::Station { mac, bssid, change } => (mac, bssid, change),
                EventWhat::Answer { id, error, .. } => {
                    self.handle_answer(ap, id, error.as_deref(), now);
                    continue;
                }
            };
            let at = self.ap_mut(ap).moment_of(stamp.sent_ms, *age_ms, now);
            // After a gap the next table tells who left.
            if sequence == Sequence::Next || parting_of(change).is_none() {
                self.witness(ap, at, || Fact::Event { mac: *mac, bssid: *bssid, change: change.clone() });
            }
            let Some(device) = self.device_by_mac.get(mac).copied() else {
                self.stranger_event(ap, *mac, *bssid, change, now);
                continue;
            };
            let association = Association { ap, bssid: *bssid, mac: *mac };
            match parting_of(change) {
                Some(parting) if sequence == Sequence::Next => {
                    self.handle_parting(device, association, Gone { at, parting }, now)
                }
                Some(_) => {}
                None => self.handle_change(device, association, change, at, now),
            }
        }
    }

    fn handle_parting(&mut self, device: DeviceIndex, association: Association, gone: Gone, now: Moment) {
        let ap = &self.aps[association.ap.0 as usize].state;
        let Some(claim) = self.devices[device.0 as usize].memory.claim_mut(association) else { return };
        // A much newer table that lists the station knows better: it came back since.
        let is_newer = ap.table_at().is_some_and(|table| table > gone.at.after(TABLE_LAG_MS));
        if is_newer && claim.mark.table == ap.mark.table {
            return;
        }
        if claim.leave(gone) {
            self.timers.set_if_idle(Timer::Parting(device), now.after(self.timing.debounce_ms));
        }
    }

    fn handle_change(
        &mut self,
        device: DeviceIndex,
        association: Association,
        change: &Change,
        at: Moment,
        now: Moment,
    ) {
        let ap = &self.aps[association.ap.0 as usize].state;
        let (mark, table_at, band_db) = (ap.mark, ap.table_at(), ap.band_db(association.bssid));
        let memory = &mut self.devices[device.0 as usize].memory;
        let before = memory.association;
        // A much newer table that does not list the station knows better than an event that was kept for a while. One
        // sent in the same moment does not: what it shows may be as old as the agent's last poll.
        let is_listed = || memory.claim(association).is_some_and(|claim| claim.mark.table == mark.table);
        if table_at.is_some_and(|table| table > at.after(TABLE_LAG_MS)) && !is_listed() {
            return;
        }
        if let Change::BeaconReport { heard, rcpi_dbm } = change {
            self.handle_beacon_report(device, *heard, *rcpi_dbm, at);
            return;
        }
        let memory = &mut self.devices[device.0 as usize].memory;
        let heard_dbm = match change {
            Change::Assoc { signal_dbm }
            | Change::Probe { signal_dbm }
            | Change::Joined { signal_dbm, .. } => *signal_dbm,
            // A driver's signal counts with its counters only; the rest has none.
            Change::Signal { .. }
            | Change::Authorized { .. }
            | Change::Disassoc
            | Change::Deauth
            | Change::LocalDeauth
            | Change::InactiveDeauth
            | Change::Left
            | Change::BeaconReport { .. }
            | Change::KeyMismatch => None,
        };
        if heard_dbm.is_some() && self.aps[association.ap.0 as usize].exit {
            memory.exit_at = memory.exit_at.max(Some(at));
        }
        if let Some(dbm) = heard_dbm {
            let dbm = dbm.saturating_add(band_db);
            memory.rooms.read(association.ap, dbm, at);
            memory.hearing.read(Level { ap: association.ap, how: How::Overheard, dbm, at });
        }
        let evidence = match change {
            Change::Signal { signal_dbm, inactive_ms, rx_packets, rx_bytes } => {
                let reading = Reading {
                    signal_dbm: *signal_dbm,
                    band_db,
                    inactive_ms: *inactive_ms,
                    rx_packets: *rx_packets,
                    rx_bytes: *rx_bytes,
                };
                memory.signal(association, mark, &reading, at)
            }
            Change::Assoc { signal_dbm } => {
                memory.requested(association, mark, *signal_dbm, at);
                Evidence::None
            }
            Change::Authorized { .. } => memory.authorized(association, mark, at),
            Change::Joined { authorized: true, .. } => memory.joined(association, mark, at),
            // Partings do not come here; the rest proves nothing.
            Change::Joined { authorized: false, .. }
            | Change::Disassoc
            | Change::Deauth
            | Change::LocalDeauth
            | Change::InactiveDeauth
            | Change::Left
            | Change::Probe { .. }
            | Change::BeaconReport { .. }
            | Change::KeyMismatch => Evidence::None,
        };
        let waits = memory.claims.iter().any(|claim| claim.leaving.is_some());
        if waits && matches!(change, Change::Assoc { .. }) {
            self.timers.set(Timer::Parting(device), now.after(REASSOCIATION_MS));
        }
        self.settle(device, evidence, before, heard_dbm.is_some() || evidence == Evidence::Proof, now);
    }
}

/// The AP an agent's topic belongs to; requests to agents are not theirs.
fn agent_of(topic: &Topic) -> Option<&Id> {
    match topic {
        Topic::ApStatus(id)
        | Topic::ApRadios(id)
        | Topic::ApStations(id)
        | Topic::ApEvents(id)
        | Topic::ApHosts(id) => Some(id),
        Topic::ApRequest(_)
        | Topic::Tracked
        | Topic::Status
        | Topic::AggregatorStatus(_)
        | Topic::House
        | Topic::Person(_)
        | Topic::PersonMoved(_)
        | Topic::Room(_)
        | Topic::Device(_)
        | Topic::DeviceRoamed(_)
        | Topic::DeviceThrashing(_)
        | Topic::Calibrate
        | Topic::Calibrated
        | Topic::Set(_) => None,
    }
}

/// How a change ends a claim, if it does.
fn parting_of(change: &Change) -> Option<Parting> {
    match change {
        Change::Disassoc | Change::Deauth => Some(Parting::LeaveFrame),
        Change::LocalDeauth => Some(Parting::SentAway),
        Change::InactiveDeauth => Some(Parting::PollFailed),
        Change::Left => Some(Parting::Unlisted),
        Change::Signal { .. }
        | Change::Assoc { .. }
        | Change::Authorized { .. }
        | Change::Joined { .. }
        | Change::Probe { .. }
        | Change::BeaconReport { .. }
        | Change::KeyMismatch => None,
    }
}
