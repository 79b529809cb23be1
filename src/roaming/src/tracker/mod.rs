//! From what access points say of all stations to facts of the history: association spans, signals by the minute,
//! states of BSSs. The server's shell calls it and writes the rows down.
//!
//! It is handed messages that count already. Whose they are, in which order, and when things happened is settled
//! before: see the methods for what each wants. Beyond that it believes nothing: entries that a driver keeps after a
//! station left, events that come late, and frames anybody can forge cost at most the truth about one station.

mod device;
mod minutes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use whichroom_wire::{Change, Id, Mac, Radio, Station};

pub use device::ROAM_GAP_MS;
use device::{Claim, Counters, Device, SavedDevice, Verdict};
use minutes::{Minutes, Reading};

use crate::rows::{Began, Ended, Hearing, RadioState, Row, Span};
use crate::site::Site;
use crate::time::Time;

/// An access point that says nothing for so long is not believed about associations any longer.
pub const SILENT_MS: u64 = 15 * 60_000;

/// Devices that are followed at once.
const DEVICES_MAX: usize = 4_096;

/// Access points.
const APS_MAX: usize = 256;

/// BSSs of one access point.
const BSSES_MAX: usize = 64;

/// A device that is not associated and of which nothing is heard for so long is forgotten.
const FORGET_MS: u64 = 6 * 3_600_000;

/// Noise that moves by less is no other state.
const NOISE_STEP_DB: u8 = 3;

/// Utilization that moves by less is no other state.
const UTILIZATION_STEP_PERMILLE: u32 = 200;

/// Version of [`Snapshot`].
const VERSION: u32 = 1;

/// Follows every station of a home. Memory is bounded, whatever is sent.
#[derive(Debug, Default)]
pub struct Tracker {
    devices: BTreeMap<Mac, Device>,
    aps: BTreeMap<Id, Ap>,
    /// Which device a MAC belongs to, for those with several.
    same_device: BTreeMap<Mac, Mac>,
    /// MLD addresses of links.
    links: BTreeMap<Mac, Mac>,
    minutes: Minutes,
    closing: BTreeSet<(Time, Mac)>,
    rows: VecDeque<Row>,
    dropped: u64,
    /// Devices whose association began since [`Tracker::poll_begun`] was asked.
    begun: BTreeSet<Mac>,
}

#[derive(Debug, Default)]
struct Ap {
    radios: BTreeMap<Mac, RadioState>,
    /// When it last said anything.
    heard: Time,
    /// That is too long ago, and what was on it has been given up.
    silent: bool,
    /// A table came, so that what is missing in it or new is known to be.
    table_seen: bool,
    /// Its agent restarted, and no table came since.
    restarted: bool,
}

/// What a [`Tracker`] knows of the present, to be kept over a restart. Minutes that are not over are not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    devices: Vec<SavedDevice>,
    radios: Vec<RadioState>,
}

impl Tracker {
    /// A tracker that knows nothing, or what `snapshot` kept. Its times must be of the same clock.
    pub fn new(snapshot: Option<Snapshot>, now: Time) -> Tracker {
        let mut tracker = Tracker::default();
        let Some(snapshot) = snapshot.filter(|snapshot| snapshot.version == VERSION) else { return tracker };
        for radio in snapshot.radios.into_iter().take(APS_MAX * BSSES_MAX) {
            if let Some(ap) = tracker.ap(&radio.ap.clone(), now) {
                ap.radios.insert(radio.bssid, radio);
            }
        }
        for saved in snapshot.devices.into_iter().take(DEVICES_MAX) {
            let key = saved.key;
            let device = Device::restore(saved, now);
            if let Some(ap) = device.open().map(|open| open.ap.clone()) {
                tracker.ap(&ap, now);
            }
            tracker.closing.extend(device.due().map(|due| (due, key)));
            tracker.devices.insert(key, device);
        }
        tracker
    }

    /// Which MACs are one device. From now on, spans of one device do not overlap, whichever MAC it uses.
    pub fn set_devices(&mut self, site: &Site) {
        self.same_device = BTreeMap::new();
        for device in &site.devices {
            let Some(first) = device.macs.first() else { continue };
            self.same_device.extend(device.macs.iter().map(|mac| (*mac, *first)));
        }
        let mut spans = Vec::new();
        for (key, device) in std::mem::take(&mut self.devices) {
            self.devices.entry(self.key(key)).or_default().merge(device, &mut spans);
        }
        self.write_spans(spans);
    }

    /// The agent of an access point restarted: its next table tells which associations are left.
    pub fn handle_restart(&mut self, ap: &Id, at: Time) {
        if let Some(ap) = self.ap(ap, at) {
            ap.restarted = true;
            ap.table_seen = false;
        }
    }

    /// All BSSs of an access point, from a live message or one the broker kept of the boot that speaks for it. `at`
    /// is when it was sent.
    pub fn handle_radios(&mut self, ap_id: &Id, radios: &[Radio], at: Time) {
        let Some(ap) = self.ap(ap_id, at) else { return };
        let mut states = Vec::new();
        for radio in radios.iter().take(BSSES_MAX) {
            let Some(state) = state_of(ap_id, radio, at) else { continue };
            if ap.radios.get(&state.bssid).is_none_or(|known| differs(known, &state)) {
                states.push(state.clone());
                ap.radios.insert(state.bssid, state);
            }
        }
        let named: BTreeSet<Mac> = radios.iter().filter_map(|radio| radio.bssid).collect();
        ap.radios.retain(|bssid, known| {
            let is_left = named.contains(bssid);
            if !is_left && known.enabled {
                states.push(RadioState { at, enabled: false, ..known.clone() });
            }
            is_left
        });
        let lost: BTreeSet<Mac> =
            states.iter().filter(|state| !state.enabled).map(|state| state.bssid).collect();
        self.rows.extend(states.into_iter().map(Row::Radio));
        if !lost.is_empty() {
            for key in self.devices_that(|device| device.is_on(&lost)) {
                self.change_device(key, |device, _| device.lost_bss(&lost, at));
            }
        }
    }

    /// A whole table, newer than everything handed over of this access point: live, not the one before, and not one
    /// that is doubted. `at` is when it was sent.
    pub fn handle_table(&mut self, ap_id: &Id, stations: &[Station], at: Time) {
        let Some(ap) = self.ap(ap_id, at) else { return };
        let (is_first, restarted) = (!ap.table_seen, ap.restarted);
        ap.table_seen = true;
        ap.restarted = false;
        let mut listed = BTreeSet::new();
        for station in stations.iter().filter(|station| station.authorized) {
            let mac = station.mld.unwrap_or(station.mac);
            if mac != station.mac && self.links.len() < DEVICES_MAX {
                self.links.insert(station.mac, mac);
            }
            listed.insert((self.key(mac), station.bssid));
            let rx = Counters { packets: station.rx_packets, bytes: station.rx_bytes };
            let connected_ms = station.connected_s.map(|s| s.saturating_mul(1000));
            let (bssid, knows_new) = (station.bssid, !is_first);
            let claim = Claim { mac, ap: ap_id, bssid, at, rx, connected_ms, knows_new };
            self.listed(claim, station.signal_dbm, station.inactive_ms);
        }
        let ended = match (restarted, is_first) {
            (true, _) => Ended::ApRestarted,
            (false, true) => Ended::Unknown,
            (false, false) => Ended::Left,
        };
        self.end_unlisted(ap_id, &listed, at, is_first, ended);
    }

    /// What was on the access point, and is not in its table.
    fn end_unlisted(
        &mut self,
        ap: &Id,
        listed: &BTreeSet<(Mac, Mac)>,
        at: Time,
        is_first: bool,
        ended: Ended,
    ) {
        let mut gone = Vec::new();
        for (key, device) in &mut self.devices {
            device.keep_listings(ap, |bssid| listed.contains(&(*key, bssid)));
            let Some(open) = device.open().filter(|open| open.ap == *ap) else { continue };
            // The driver's table may lag behind a handshake by a poll.
            let is_fresh = at.since(open.begin) < ROAM_GAP_MS;
            if !is_fresh && !listed.contains(&(*key, open.bssid)) {
                gone.push((*key, open.bssid));
            }
        }
        for (key, bssid) in gone {
            self.change_device(key, |device, _| {
                // Between two boots, or two runs of ours, nobody saw when it left.
                if is_first { device.abandon(ended) } else { device.leave(bssid, at, ended) }
            });
        }
    }

    /// Something a station did, or an access point heard of it, at `at` by our clock: live, and not known already.
    /// After a gap in the sequence of events, departures (`disassoc`, `deauth`, `local-deauth`, `inactive-deauth`,
    /// `left`) are not to be handed over before the next table.
    pub fn handle_event(&mut self, ap_id: &Id, mac: Mac, bssid: Mac, change: &Change, at: Time) {
        if self.ap(ap_id, at).is_none() || !mac.is_station() {
            return;
        }
        let mac = self.links.get(&mac).copied().unwrap_or(mac);
        let key = self.key(mac);
        let claim = |rx, knows_new| Claim { mac, ap: ap_id, bssid, at, rx, connected_ms: None, knows_new };
        match change {
            Change::Signal { signal_dbm, inactive_ms, rx_packets, rx_bytes } => {
                let rx = Counters { packets: *rx_packets, bytes: *rx_bytes };
                self.listed(claim(rx, false), *signal_dbm, *inactive_ms);
            }
            Change::Joined { authorized: true, signal_dbm } => {
                self.change_device(key, |device, _| device.forget_listing(bssid));
                self.listed(claim(Counters::UNKNOWN, true), *signal_dbm, None);
            }
            Change::Authorized { auth_alg } => {
                let began = match auth_alg.as_deref() {
                    Some("ft") => Began::FastTransition,
                    Some(_) => Began::Full,
                    None => Began::Unknown,
                };
                self.known(key, at);
                let claim = claim(Counters::UNKNOWN, true);
                self.change_device(key, |device, rows| device.authorized(claim, began, rows));
            }
            Change::Assoc { signal_dbm } | Change::Probe { signal_dbm } => {
                self.read(mac, ap_id, bssid, Hearing::Overheard, *signal_dbm, at);
            }
            Change::BeaconReport { heard, rcpi_dbm } => {
                // What does not belong to the home is nobody's business.
                let owner = self.aps.iter().find(|(_, ap)| ap.radios.contains_key(heard));
                if let Some(owner) = owner.map(|(id, _)| id.clone()) {
                    self.read(mac, &owner, *heard, Hearing::Reported, *rcpi_dbm, at);
                }
            }
            Change::Disassoc | Change::Deauth | Change::Left => self.leave(key, bssid, at, Ended::Left),
            Change::LocalDeauth => self.leave(key, bssid, at, Ended::SentAway),
            Change::InactiveDeauth => self.leave(key, bssid, at, Ended::PollFailed),
            Change::Joined { authorized: false, .. } | Change::KeyMismatch => {}
        }
    }

    /// Gives away what is over at `now`. Call it when [`poll_timeout`](Tracker::poll_timeout) says so, or oftener.
    pub fn handle_timeout(&mut self, now: Time) {
        self.rows.extend(self.minutes.take_over(now).into_iter().map(Row::Signal));
        while let Some((due, key)) = self.closing.first().copied().filter(|(due, _)| *due <= now) {
            self.closing.remove(&(due, key));
            let span = self.devices.get_mut(&key).and_then(|device| device.settle(now));
            self.rows.extend(span.map(Row::Span));
        }
        let fell_silent = |ap: &Ap| !ap.silent && now.since(ap.heard) >= SILENT_MS;
        let silent = self.aps.iter().filter(|(_, ap)| fell_silent(ap)).map(|(id, _)| id.clone());
        for id in silent.collect::<Vec<_>>() {
            for key in self.devices_that(|device| device.open().is_some_and(|open| open.ap == id)) {
                self.change_device(key, |device, _| device.abandon(Ended::Unknown));
            }
            if let Some(ap) = self.aps.get_mut(&id) {
                (ap.silent, ap.table_seen) = (true, false);
            }
        }
    }

    /// When [`handle_timeout`](Tracker::handle_timeout) has something to do, at the latest.
    pub fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        let closing = self.closing.first().map(|(due, _)| (*due, "an association that ended"));
        let minute = self.minutes.due().map(|due| (due, "a minute of signals"));
        let watched = self.aps.values().filter(|ap| !ap.silent);
        let silent =
            watched.map(|ap| ap.heard.after(SILENT_MS)).min().map(|due| (due, "a silent access point"));
        [closing, minute, silent].into_iter().flatten().min()
    }

    /// The next row to be written down.
    pub fn poll_row(&mut self) -> Option<Row> {
        self.rows.pop_front()
    }

    /// An association that began since it was asked for, and lasts.
    pub fn poll_begun(&mut self) -> Option<Span> {
        while let Some(key) = self.begun.pop_first() {
            if let Some(open) = self.devices.get(&key).and_then(Device::open) {
                return Some(open.clone());
            }
        }
        None
    }

    /// Associations that last.
    pub fn open_spans(&self) -> impl Iterator<Item = &Span> {
        self.devices.values().filter_map(Device::open)
    }

    /// The association a device has, by any of its MACs.
    pub fn open_span(&self, mac: Mac) -> Option<&Span> {
        self.devices.get(&self.key(mac)).and_then(Device::open)
    }

    /// Readings and stations that were dropped because there was no place for them, or that came too late.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What outlives a restart.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            version: VERSION,
            devices: self.devices.iter().map(|(key, device)| device.save(*key)).collect(),
            radios: self.aps.values().flat_map(|ap| ap.radios.values().cloned()).collect(),
        }
    }

    /// The device a MAC belongs to.
    fn key(&self, mac: Mac) -> Mac {
        self.same_device.get(&mac).copied().unwrap_or(mac)
    }

    fn ap(&mut self, id: &Id, at: Time) -> Option<&mut Ap> {
        if !self.aps.contains_key(id) {
            if self.aps.len() >= APS_MAX {
                self.dropped += 1;
                return None;
            }
            self.aps.insert(id.clone(), Ap::default());
        }
        let ap = self.aps.get_mut(id)?;
        ap.heard = ap.heard.max(at);
        ap.silent = false;
        Some(ap)
    }

    /// Makes a place for a device, if there is one.
    fn known(&mut self, key: Mac, at: Time) {
        if !self.devices.contains_key(&key) && self.devices.len() >= DEVICES_MAX {
            self.devices.retain(|_, device| {
                device.open().is_some() || device.due().is_some() || at.since(device.seen) < FORGET_MS
            });
            if self.devices.len() >= DEVICES_MAX {
                self.dropped += 1;
                return;
            }
        }
        let device = self.devices.entry(key).or_default();
        device.seen = device.seen.max(at);
    }

    fn listed(&mut self, claim: Claim<'_>, signal_dbm: Option<i8>, inactive_ms: Option<u64>) {
        let key = self.key(claim.mac);
        self.known(key, claim.at);
        let verdict = self.change_device(key, |device, rows| device.listed(claim, rows));
        // The figure of a silent station is as old as its last frame.
        let is_fresh = match (verdict, inactive_ms) {
            (Some(Verdict::Alive), _) => true,
            (Some(Verdict::Idle), Some(inactive_ms)) => inactive_ms < 30_000,
            (Some(Verdict::Idle), None) => claim.rx.is_unknown(),
            (Some(Verdict::Stale) | None, _) => false,
        };
        if is_fresh {
            self.read(claim.mac, claim.ap, claim.bssid, Hearing::Associated, signal_dbm, claim.at);
        }
    }

    fn leave(&mut self, key: Mac, bssid: Mac, at: Time, ended: Ended) {
        self.change_device(key, |device, _| device.leave(bssid, at, ended));
    }

    /// Takes a signal in, of devices that were associated once: strangers pass by, and their frames prove nothing.
    fn read(&mut self, mac: Mac, ap: &Id, bssid: Mac, hearing: Hearing, dbm: Option<i8>, at: Time) {
        let Some(dbm) = dbm.filter(|_| self.devices.contains_key(&self.key(mac))) else { return };
        match self.minutes.add(Reading { mac, ap, bssid, hearing, dbm, at }) {
            Ok(minute) => self.rows.extend(minute.map(Row::Signal)),
            Err(()) => self.dropped += 1,
        }
    }

    fn devices_that(&self, are_meant: impl Fn(&Device) -> bool) -> Vec<Mac> {
        self.devices.iter().filter(|(_, device)| are_meant(device)).map(|(key, _)| *key).collect()
    }

    fn change_device<T>(
        &mut self,
        key: Mac,
        change: impl FnOnce(&mut Device, &mut Vec<Span>) -> T,
    ) -> Option<T> {
        let device = self.devices.get_mut(&key)?;
        let (due_before, begun_before) = (device.due(), device.open().map(|open| open.begin));
        let mut spans = Vec::new();
        let result = change(device, &mut spans);
        if device.open().is_some_and(|open| Some(open.begin) != begun_before) {
            self.begun.insert(key);
        }
        let due = device.due();
        if due != due_before {
            due_before.map(|due| self.closing.remove(&(due, key)));
            self.closing.extend(due.map(|due| (due, key)));
        }
        self.write_spans(spans);
        Some(result)
    }

    fn write_spans(&mut self, spans: Vec<Span>) {
        self.rows.extend(spans.into_iter().map(Row::Span));
    }
}

fn state_of(ap: &Id, radio: &Radio, at: Time) -> Option<RadioState> {
    Some(RadioState {
        at,
        ap: ap.clone(),
        bssid: radio.bssid?,
        // Interface names have at most 15 bytes; the rest is no name.
        ifname: radio.ifname.chars().take(32).collect(),
        ssid: radio.ssid.as_ref().map(|ssid| ssid.chars().take(64).collect()),
        enabled: radio.is_enabled(),
        freq_mhz: radio.freq_mhz,
        channel: radio.channel,
        width_mhz: radio.width_mhz,
        txpower_dbm: radio.txpower_dbm,
        noise_dbm: radio.noise_dbm,
        utilization_permille: radio.utilization_permille,
        ft: radio.ft,
        rrm: radio.rrm,
        btm: radio.btm,
    })
}

/// Whether a state is another one: noise and utilization move all the time.
fn differs(known: &RadioState, new: &RadioState) -> bool {
    let noise = match (known.noise_dbm, new.noise_dbm) {
        (Some(a), Some(b)) => a.abs_diff(b) >= NOISE_STEP_DB,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    let utilization = match (known.utilization_permille, new.utilization_permille) {
        (Some(a), Some(b)) => a.abs_diff(b) >= UTILIZATION_STEP_PERMILLE,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    let same = RadioState {
        at: known.at,
        noise_dbm: known.noise_dbm,
        utilization_permille: known.utilization_permille,
        ..new.clone()
    };
    noise || utilization || same != *known
}
