//! An access point as its messages show it: which agent speaks for it, what its clock says, when it was watching,
//! and what is in its table. The engine asks it whether a message counts before it looks inside.

use std::collections::{BTreeMap, BTreeSet};

use whichroom_wire::{Host, Id, Mac, Radio, Stamp, State, Status};

use crate::Moment;
use crate::claims::{Association, Mark};
use crate::output::{Link, Problem};
use crate::rooms::Classes;
use crate::setup::Timing;
use crate::timers::DeviceIndex;
use crate::windows::Windows;

/// Boots of an agent that are remembered, so that a late message of an earlier one is no restart.
const BOOTS_MAX: usize = 4;

/// Unknown stations remembered per access point.
const STRANGERS_MAX: usize = 512;

/// BSSs remembered per access point, beyond those it names.
const BSSES_MAX: usize = 256;

/// Roams that are counted before what is older weighs half.
const ROAMS_MAX: u16 = 1000;

/// An access point leads out if this many roams went between it and an exit, and one of so many did.
const ROAMS_OUT_MIN: u16 = 5;
const ROAMS_OUT_SHARE: u16 = 6;

/// It leads out, too, if this many who walked off from it had left, and so many times more than had not.
const LEFT_MIN: u16 = 2;
const LEFT_SHARE: u16 = 3;
const LEFT_MAX: u16 = 100;

/// An access point.
#[derive(Debug)]
pub(crate) struct AccessPoint {
    pub id: Id,
    pub name: String,
    /// Position among the rooms.
    pub room: usize,
    pub exit: bool,
    /// Its room is in the open.
    pub outdoor: bool,
    pub configured: bool,
    pub state: ApState,
}

/// Who speaks for an access point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub node: String,
    pub boot: String,
}

/// What is known of an access point; it survives a change of the setup.
#[derive(Debug)]
pub(crate) struct ApState {
    pub identity: Option<Identity>,
    earlier_boots: Vec<String>,
    /// The agent's zero on our clock, from the message that took least time; none before its first live message.
    zero: Option<(Moment, Moment)>,
    pub last_live: Option<Moment>,
    /// Blind since then, if it is.
    pub blind_since: Moment,
    /// It said, or its will said, that it stopped.
    offline: bool,
    too_new: bool,
    /// Anything was ever received.
    seen: bool,
    /// A retained status says that it is online.
    pub awaited: bool,
    /// It counts as not reporting. Set late: a restart of ours must not make every AP blind at once.
    pub blind: bool,
    pub mark: Mark,
    seq: Option<u64>,
    /// A message was lost: departures wait for the next table.
    needs_table: bool,
    /// The last table, by the agent's clock and by ours.
    table_sent: Option<(u64, Moment)>,
    /// A live table came since we started.
    pub table_seen: bool,
    suspect: bool,
    pub stations: u32,
    windows: Windows,
    bsses: BTreeMap<Mac, Bss>,
    pub radios: Vec<Radio>,
    pub status: Option<Status>,
    pub hosts: Vec<Host>,
    pub rejected: u64,
    pub last_rejected: Option<String>,
    pub duplicates: u64,
    pub duplicate_at: Option<Moment>,
    pub gaps: u64,
    /// Devices that are or were last on it.
    pub members: BTreeSet<DeviceIndex>,
    pub strangers: BTreeMap<Mac, Stranger>,
    /// How many of them are on guest networks.
    pub guests: u32,
    /// Devices that roamed between it and another AP, and between it and an exit; halved now and then.
    pub roams: u16,
    pub roams_out: u16,
    /// Of those who walked off from it and were called away, how many had left, and how many had not.
    pub left: u16,
    pub not_left: u16,
    /// Somebody said not to wait for it, until it reports again.
    pub dismissed: bool,
    /// What was said of its blindness.
    pub said: Option<Problem>,
}

#[derive(Debug, Default)]
struct Bss {
    windows: Windows,
    /// Not ENABLED, or gone, since then.
    down_since: Option<Moment>,
}

/// An associated station no configuration names.
#[derive(Debug, Clone)]
pub(crate) struct Stranger {
    pub bssid: Mac,
    pub since: Moment,
    pub signal_dbm: Option<i8>,
    table: u32,
}

/// What a message counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Proof of life.
    Live,
    /// The first of a new boot.
    Restarted,
    /// What the broker kept; no proof of life.
    Retained,
    /// Of another access point with the same name.
    Duplicate,
    /// Of an earlier boot, or kept from one.
    Late,
}

/// What an event message counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sequence {
    /// The next one.
    Next,
    /// Messages before it were lost: what it proves counts, departures wait for the next table.
    AfterGap,
    /// Known already.
    Old,
}

/// What a table counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// What it does not list is gone.
    Whole,
    /// It empties in one step: believed when the next one says so too.
    Suspect,
    /// Older than what is known.
    Old,
}

impl ApState {
    pub fn new(now: Moment) -> ApState {
        ApState {
            identity: None,
            earlier_boots: Vec::new(),
            zero: None,
            last_live: None,
            blind_since: now,
            offline: false,
            too_new: false,
            seen: false,
            awaited: false,
            blind: false,
            mark: Mark::default(),
            seq: None,
            needs_table: false,
            table_sent: None,
            table_seen: false,
            suspect: false,
            stations: 0,
            windows: Windows::default(),
            bsses: BTreeMap::new(),
            radios: Vec::new(),
            status: None,
            hosts: Vec::new(),
            rejected: 0,
            last_rejected: None,
            duplicates: 0,
            duplicate_at: None,
            gaps: 0,
            members: BTreeSet::new(),
            strangers: BTreeMap::new(),
            guests: 0,
            roams: 0,
            roams_out: 0,
            left: 0,
            not_left: 0,
            dismissed: false,
            said: None,
        }
    }

    /// What a snapshot kept: who it was, and when it last reported.
    pub fn restore(&mut self, identity: Option<Identity>, last_live: Option<Moment>) {
        self.identity = identity;
        self.last_live = last_live;
        self.seen = last_live.is_some();
        self.blind_since = last_live.unwrap_or(self.blind_since);
    }

    /// Decides what a message counts for. A restart makes everything known of the boot before it void.
    pub fn admit(&mut self, stamp: &Stamp, retained: bool, now: Moment, timing: &Timing) -> Admission {
        self.seen = true;
        let (same_node, same_boot) = self
            .identity
            .as_ref()
            .map_or((false, false), |known| (known.node == stamp.node, known.boot == stamp.boot));
        if retained {
            return self.admit_retained(stamp, same_node && same_boot);
        }
        if self.identity.is_none() || (same_node && same_boot) {
            if self.identity.is_none() {
                self.take_identity(stamp);
            }
            return Admission::Live;
        }
        if same_node && self.earlier_boots.contains(&stamp.boot) {
            return Admission::Late;
        }
        if !same_node && self.is_reporting(now, timing) {
            self.duplicates += 1;
            self.duplicate_at = Some(now);
            return Admission::Duplicate;
        }
        self.take_identity(stamp);
        Admission::Restarted
    }

    fn admit_retained(&mut self, stamp: &Stamp, same: bool) -> Admission {
        if same {
            return Admission::Retained;
        }
        if self.zero.is_some() || self.earlier_boots.contains(&stamp.boot) {
            return Admission::Late;
        }
        self.take_identity(stamp);
        Admission::Retained
    }

    fn take_identity(&mut self, stamp: &Stamp) {
        let identity = Identity { node: stamp.node.clone(), boot: stamp.boot.clone() };
        if let Some(before) = self.identity.replace(identity) {
            if self.earlier_boots.len() == BOOTS_MAX {
                self.earlier_boots.remove(0);
            }
            self.earlier_boots.push(before.boot);
            self.mark.epoch += 1;
        }
        self.zero = None;
        self.seq = None;
        self.needs_table = false;
        self.table_sent = None;
        self.suspect = false;
        self.stations = 0;
        self.offline = false;
        self.close_windows();
    }

    /// Notes a live message.
    pub fn live(&mut self, sent_ms: u64, now: Moment, timing: &Timing) {
        let zero = now.before(sent_ms);
        self.zero = Some(match self.zero {
            // The message that took least time is nearest the truth. The clocks drift: allow for one part in a
            // thousand, far more than any quartz.
            Some((best, at)) => {
                let best = best.after(now.since(at) / 1000);
                (best.min(zero), now)
            }
            None => (zero, now),
        });
        self.last_live = Some(now);
        self.offline = false;
        self.too_new = false;
        self.dismissed = false;
        let mut serving = self.bsses.is_empty();
        for bss in self.bsses.values_mut() {
            // A radio that is off for long is no blindness: its AP says that nobody is on it.
            if bss.down_since.is_none_or(|since| now.since(since) >= timing.blind_said_ms) {
                bss.windows.extend(now, timing.reporting_ms);
                serving = true;
            }
        }
        if serving {
            self.windows.extend(now, timing.reporting_ms);
        }
    }

    /// When something happened that was `age_ms` old in a message sent at `sent_ms`: never in the future.
    pub fn moment_of(&self, sent_ms: u64, age_ms: u64, now: Moment) -> Moment {
        let zero = self.zero.map_or(now.before(sent_ms), |(zero, _)| zero);
        zero.after(sent_ms).before(age_ms).min(now)
    }

    /// Whether the end of a boot is the end of the one that speaks for this AP.
    pub fn takes_offline(&self, stamp: &Stamp) -> bool {
        self.identity.as_ref().is_none_or(|known| known.node == stamp.node && known.boot == stamp.boot)
    }

    /// It said that it stopped.
    pub fn stop(&mut self) {
        self.seen = true;
        self.offline = true;
        self.awaited = false;
        self.close_windows();
    }

    /// It speaks a contract that we do not.
    pub fn speaks_newer(&mut self) {
        self.seen = true;
        self.too_new = true;
        self.close_windows();
    }

    /// Takes a status in.
    pub fn take_status(&mut self, status: Status) {
        self.awaited = status.state == State::Online;
        self.status = Some(status);
    }

    /// Whether an event message is the next one.
    pub fn sequence(&mut self, seq: u64) -> Sequence {
        let Some(last) = self.seq else {
            self.seq = Some(seq);
            return Sequence::Next;
        };
        if seq <= last {
            return Sequence::Old;
        }
        self.seq = Some(seq);
        if seq > last.saturating_add(1) {
            self.gaps += 1;
            self.needs_table = true;
        }
        if self.needs_table { Sequence::AfterGap } else { Sequence::Next }
    }

    /// Takes a table's sequence number and size in. A whole table begins a new mark.
    pub fn table(&mut self, seq: u64, sent_ms: u64, sent_at: Moment, authorized: u32) -> Table {
        let repeats = self.table_sent.is_some_and(|(last_ms, _)| sent_ms <= last_ms);
        if repeats || self.seq.is_some_and(|last| seq < last) {
            return Table::Old;
        }
        self.table_sent = Some((sent_ms, sent_at));
        self.seq = Some(seq);
        self.needs_table = false;
        if self.stations >= 2 && authorized == 0 && !self.suspect {
            self.suspect = true;
            return Table::Suspect;
        }
        self.suspect = false;
        self.stations = authorized;
        self.mark.table = self.mark.table.wrapping_add(1);
        self.table_seen = true;
        Table::Whole
    }

    /// What a retained table tells: which events it includes.
    pub fn retained_table(&mut self, seq: u64) {
        if self.zero.is_none() {
            self.seq = Some(seq);
        }
    }

    /// When the last table was sent that lists what is there.
    pub fn table_at(&self) -> Option<Moment> {
        self.table_sent.map(|(_, at)| at)
    }

    /// Takes the list of BSSs in; returns those that serve no longer.
    pub fn take_radios(&mut self, radios: Vec<Radio>, now: Moment, timing: &Timing) -> Vec<Mac> {
        let mut serving: BTreeMap<Mac, bool> = BTreeMap::new();
        for radio in &radios {
            if let Some(bssid) = radio.bssid {
                serving.insert(bssid, radio.is_enabled());
            }
        }
        let mut lost = Vec::new();
        for (bssid, bss) in &mut self.bsses {
            if serving.get(bssid).copied().unwrap_or(false) {
                continue;
            }
            if bss.down_since.is_none() {
                bss.down_since = Some(now);
                bss.windows.close();
                lost.push(*bssid);
            }
        }
        for (bssid, enabled) in serving {
            let bss = self.bsses.entry(bssid).or_default();
            match (enabled, bss.down_since) {
                (true, _) => bss.down_since = None,
                (false, None) => bss.down_since = Some(now),
                (false, Some(_)) => {}
            }
        }
        // A BSS that is gone for good must not be waited for: its AP speaks for the place.
        let given_up =
            |bss: &Bss| bss.down_since.is_some_and(|since| now.since(since) > timing.blind_said_ms);
        let named: BTreeSet<Mac> = radios.iter().filter_map(|radio| radio.bssid).collect();
        let is_crowded = self.bsses.len() > BSSES_MAX;
        self.bsses.retain(|bssid, bss| named.contains(bssid) || !(is_crowded || given_up(bss)));
        if self.bsses.values().all(|bss| bss.down_since.is_some()) && !self.bsses.is_empty() {
            self.windows.close();
        }
        self.radios = radios;
        lost
    }

    /// Whether a BSS serves no stations, or did not a moment ago.
    pub fn is_down(&self, bssid: Mac) -> bool {
        self.bsses.get(&bssid).is_some_and(|bss| bss.down_since.is_some())
    }

    /// When stations of a BSS were watched; the whole AP's times if the BSS is not known.
    pub fn windows_of(&self, bssid: Mac) -> &Windows {
        self.bsses.get(&bssid).map_or(&self.windows, |bss| &bss.windows)
    }

    /// When the AP was watching on any BSS.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// Whatever comes next is no continuation.
    pub fn close_windows(&mut self) {
        self.windows.close();
        self.bsses.values_mut().for_each(|bss| bss.windows.close());
    }

    /// Whether live messages come.
    pub fn is_reporting(&self, now: Moment, timing: &Timing) -> bool {
        let recent = self.last_live.is_some_and(|last| now.since(last) <= timing.reporting_ms);
        recent && !self.offline && !self.too_new && self.zero.is_some()
    }

    /// How long it has not been reporting; 0 while it does.
    pub fn blind_for_ms(&self, now: Moment) -> u64 {
        if self.blind { now.since(self.blind_since) } else { 0 }
    }

    pub fn link(&self, now: Moment, timing: &Timing) -> Link {
        if self.too_new {
            Link::TooNew
        } else if self.is_reporting(now, timing) {
            Link::Reporting
        } else if self.seen {
            Link::Offline
        } else {
            Link::NeverSeen
        }
    }

    /// A device roamed between it and another AP.
    pub fn roamed(&mut self, is_exit: bool) {
        if self.roams == ROAMS_MAX {
            (self.roams, self.roams_out) = (self.roams / 2, self.roams_out / 2);
        }
        self.roams += 1;
        self.roams_out += u16::from(is_exit);
    }

    /// Somebody who walked off from it was called away, and has come back: from outside, or never having left.
    pub fn was_left(&mut self, really: bool) {
        let count = if really { &mut self.left } else { &mut self.not_left };
        *count = count.saturating_add(1);
        if self.left.max(self.not_left) >= LEFT_MAX {
            (self.left, self.not_left) = (self.left / 2, self.not_left / 2);
        }
    }

    /// Whether people who walk off from it leave: a good part of the roams it has seen went to an exit, or those who
    /// walked off from it before had really left.
    pub fn leads_out(&self) -> bool {
        let is_beside = self.roams_out >= ROAMS_OUT_MIN && self.roams_out * ROAMS_OUT_SHARE >= self.roams;
        let is_left = self.left >= LEFT_MIN && self.left >= self.not_left * LEFT_SHARE;
        (is_beside && self.not_left == 0) || is_left
    }

    /// Counts what could not be read.
    pub fn reject(&mut self, count: u64, first: Option<String>) {
        self.rejected = self.rejected.saturating_add(count);
        if first.is_some() {
            self.last_rejected = first;
        }
    }

    /// The network a BSS serves.
    pub fn ssid(&self, bssid: Mac) -> Option<&str> {
        self.radios.iter().find(|radio| radio.bssid == Some(bssid)).and_then(|radio| radio.ssid.as_deref())
    }

    /// By how much a BSS is fainter than one at 2.4 GHz would be in the open, in dB: so much is added before levels of
    /// different bands are compared. What walls take beyond that is distance, too.
    pub fn band_db(&self, bssid: Mac) -> i8 {
        const HIGH_MHZ: u32 = 4_900;
        /// 20 log10 of the frequencies' ratio.
        const HIGH_DB: i8 = 7;
        let radio = self.radios.iter().find(|radio| radio.bssid == Some(bssid));
        if radio.and_then(|radio| radio.freq_mhz).is_some_and(|mhz| mhz >= HIGH_MHZ) { HIGH_DB } else { 0 }
    }

    /// The classes of channels that its BSSs are on, of those that count.
    pub fn classes(&self, counts: impl Fn(Mac) -> bool) -> Classes {
        let counting = self.radios.iter().filter(|radio| radio.bssid.is_some_and(&counts));
        let frequencies = counting.filter_map(|radio| radio.freq_mhz);
        frequencies.fold(Classes::default(), |all, mhz| all.and(Classes::of(mhz)))
    }

    /// How loudly a station may be expected to hear a BSS beside one of 20 dBm at 2.4 GHz, in dB.
    pub fn downlink_db(&self, bssid: Mac) -> i8 {
        const USUAL_DBM: i8 = 20;
        let radio = self.radios.iter().find(|radio| radio.bssid == Some(bssid));
        let txpower_dbm = radio.and_then(|radio| radio.txpower_dbm).unwrap_or(USUAL_DBM);
        txpower_dbm.clamp(0, 36) - USUAL_DBM - self.band_db(bssid)
    }

    /// Notes an unknown station of the present table; true if it is new.
    pub fn meet(&mut self, mac: Mac, bssid: Mac, signal_dbm: Option<i8>, now: Moment) -> bool {
        let table = self.mark.table;
        if let Some(known) = self.strangers.get_mut(&mac) {
            (known.bssid, known.table) = (bssid, table);
            known.signal_dbm = signal_dbm.or(known.signal_dbm);
            return false;
        }
        if self.strangers.len() >= STRANGERS_MAX {
            return false;
        }
        self.strangers.insert(mac, Stranger { bssid, since: now, signal_dbm, table });
        true
    }

    /// Forgets the unknown stations the present table does not list; true if there were any.
    pub fn forget_strangers(&mut self) -> bool {
        let (table, before) = (self.mark.table, self.strangers.len());
        self.strangers.retain(|_, stranger| stranger.table == table);
        self.strangers.len() != before
    }
}

impl AccessPoint {
    /// Whether it has been blind for so long that nobody waits for it, or somebody said so.
    pub fn is_given_up(&self, now: Moment, timing: &Timing) -> bool {
        self.is_dismissed() || self.state.blind_for_ms(now) >= timing.blind_given_up_ms
    }

    /// Whether not even devices that were last seen on it wait for it.
    pub fn is_forgotten(&self, now: Moment, timing: &Timing) -> bool {
        self.is_dismissed() || self.state.blind_for_ms(now) >= timing.blind_forgotten_ms
    }

    /// Whether its blindness has been said.
    pub fn is_long_blind(&self, now: Moment, timing: &Timing) -> bool {
        self.state.blind_for_ms(now) >= timing.blind_said_ms
    }

    fn is_dismissed(&self) -> bool {
        self.state.blind && self.state.dismissed
    }

    /// When an association was watched.
    pub fn watched(&self, association: Association) -> &Windows {
        self.state.windows_of(association.bssid)
    }
}
