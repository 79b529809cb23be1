//! When to ask a device for a beacon report (802.11k): its own view of every access point, the richest evidence where
//! it comes. It costs the device air time and battery, so only one that can answer and is awake is asked, when its
//! room is in doubt or it moved, within a budget, and one that refuses is left alone.
//!
//! Each device has one [`Asking`]; the engine says what happens to it. `agent/src/requests.rs` has rules of its own on
//! the access point, which hold whatever is asked here.

use std::collections::VecDeque;

use whichroom_wire::{Id, Mac, Request, RequestKind, SCHEMA, not_now};

use crate::Moment;
use crate::device::State;
use crate::engine::Engine;
use crate::hearing::{How, Level};
use crate::output::Effect;
use crate::setup::Counts;
use crate::timers::{ApIndex, DeviceIndex};

/// Requests to one device in any hour.
pub(crate) const HOURLY: usize = 20;
pub(crate) const HOUR_MS: u64 = 3_600_000;

/// Between two requests to one device, whatever happens.
pub(crate) const GAP_MS: u64 = 12_000;

/// Between two that a mere doubt asks for. It doubles as long as the doubt outlives the answers.
const DOUBT_GAP_MS: u64 = 60_000;
const DOUBT_GAP_MAX_MS: u64 = 16 * DOUBT_GAP_MS;

/// A device that was received this recently is awake.
pub(crate) const AWAKE_MS: u64 = 5_000;

/// A room less sure than this is in doubt, in percent.
const DOUBT_PERCENT: u8 = 75;

/// A signal that changed by so much since the last request is a device that moves, in dB.
const SHIFT_DB: u8 = 8;

/// Reports come within this time of their request, or not at all.
const ANSWER_MS: u64 = 20_000;

/// Refusals in a row after which a device is left alone, and for how long.
const REFUSALS: u8 = 3;
pub(crate) const PAUSE_MS: u64 = 24 * HOUR_MS;

/// Requests in a row that gave nothing after which another way of asking is tried.
const EMPTY: u8 = 3;

/// How the device is to find out what it hears (802.11 measurement mode), cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Mode {
    /// It says what it knows.
    #[default]
    Table,
    /// It sends probes.
    Active,
    /// It listens for beacons.
    Passive,
}

impl Mode {
    const ALL: [Mode; 3] = [Mode::Table, Mode::Active, Mode::Passive];

    /// Its word in a request.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Table => "table",
            Mode::Active => "active",
            Mode::Passive => "passive",
        }
    }

    /// Its bit in the first octet of the RM enabled capabilities (802.11-2020 9.4.2.44).
    fn capability(self) -> u8 {
        match self {
            Mode::Passive => 1 << 4,
            Mode::Active => 1 << 5,
            Mode::Table => 1 << 6,
        }
    }
}

/// What the engine knows of a device when it was heard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occasion {
    /// The AP it is associated with, and the BSS.
    pub ap: ApIndex,
    pub bssid: Mac,
    /// When that AP received it last.
    pub heard_at: Option<Moment>,
    pub signal_dbm: Option<i8>,
    pub moved_at: Option<Moment>,
    /// How sure its room is, in percent.
    pub confidence: u8,
    /// A calibration listens.
    pub calibrating: bool,
}

/// A request that is under way.
#[derive(Debug, Clone)]
struct Pending {
    id: Id,
    ap: ApIndex,
    at: Moment,
    /// The AP passed it on.
    accepted: bool,
    reports: u32,
}

/// What was asked of one device, and what came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asking {
    /// What it can do, as it told a BSS.
    capabilities: Option<(Mac, u8)>,
    /// Requests of the last hour, oldest first.
    asked: VecDeque<Moment>,
    pending: Option<Pending>,
    /// The cheapest way that was not found to give nothing.
    mode: Mode,
    empty: u8,
    refusals: u8,
    paused_until: Option<Moment>,
    signal_dbm: Option<i8>,
    doubt_gap_ms: u64,
}

impl Asking {
    /// An AP's table says what the device can do; `None` if it cannot be asked there.
    pub fn capabilities(&mut self, bssid: Mac, rrm: Option<u8>) {
        match rrm {
            Some(rrm) => self.capabilities = Some((bssid, rrm)),
            None => self.capabilities = self.capabilities.filter(|(known, _)| *known != bssid),
        }
    }

    /// Whether to ask now, and how. If so it counts as asked: [`Asking::asked`] is to follow.
    pub fn consider(&mut self, occasion: &Occasion, now: Moment) -> Option<Mode> {
        self.close_pending(now);
        let mode = self.mode_for(occasion.bssid)?;
        let is_awake = occasion.heard_at.is_some_and(|heard| now.since(heard) <= AWAKE_MS);
        let is_paused = self.paused_until.is_some_and(|until| until > now);
        if !is_awake || is_paused || self.pending.is_some() || !self.is_within_budget(now) {
            return None;
        }
        self.is_wanted(occasion, now).then_some(mode)
    }

    /// The cheapest way this device and BSS allow.
    fn mode_for(&self, bssid: Mac) -> Option<Mode> {
        let (_, octet) = self.capabilities.filter(|(known, _)| *known == bssid)?;
        Mode::ALL.into_iter().find(|mode| *mode >= self.mode && octet & mode.capability() != 0)
    }

    fn is_within_budget(&mut self, now: Moment) -> bool {
        while self.asked.front().is_some_and(|first| now.since(*first) > HOUR_MS) {
            self.asked.pop_front();
        }
        // A clock that went back is none of ours; what is not before now is too near in any case.
        let is_spaced = self.asked.back().is_none_or(|last| now.since(*last) >= GAP_MS);
        self.asked.len() < HOURLY && is_spaced
    }

    fn is_wanted(&mut self, occasion: &Occasion, now: Moment) -> bool {
        let last = self.asked.back().copied();
        let moved = occasion
            .moved_at
            .is_some_and(|moved| now.since(moved) <= HOUR_MS && last.is_none_or(|last| last < moved));
        let shifted = match (self.signal_dbm, occasion.signal_dbm) {
            (Some(before), Some(signal)) => before.abs_diff(signal) >= SHIFT_DB,
            _ => false,
        };
        if occasion.calibrating || moved || shifted {
            self.doubt_gap_ms = DOUBT_GAP_MS;
            return true;
        }
        if occasion.confidence >= DOUBT_PERCENT {
            self.doubt_gap_ms = DOUBT_GAP_MS;
            return false;
        }
        let is_due = last.is_none_or(|last| now.since(last) >= self.doubt_gap_ms.max(DOUBT_GAP_MS));
        if is_due {
            self.doubt_gap_ms = (self.doubt_gap_ms.max(DOUBT_GAP_MS) * 2).min(DOUBT_GAP_MAX_MS);
        }
        is_due
    }

    /// A request of this id goes to the AP.
    pub fn asked(&mut self, id: Id, occasion: &Occasion, now: Moment) {
        self.asked.push_back(now);
        self.signal_dbm = occasion.signal_dbm;
        self.pending = Some(Pending { id, ap: occasion.ap, at: now, accepted: false, reports: 0 });
    }

    /// An AP answers a request; false if it is none of this device's.
    pub fn handle_answer(&mut self, ap: ApIndex, id: &str, error: Option<&str>, now: Moment) -> bool {
        let Some(pending) = self.pending.as_mut().filter(|known| known.ap == ap && known.id.as_str() == id)
        else {
            return false;
        };
        match error {
            None => pending.accepted = true,
            Some(why) => {
                self.pending = None;
                if !not_now::ALL.contains(&why) {
                    self.refused(now);
                }
            }
        }
        true
    }

    fn refused(&mut self, now: Moment) {
        self.refusals += 1;
        if self.refusals >= REFUSALS {
            self.pause(now);
        }
    }

    fn pause(&mut self, now: Moment) {
        self.paused_until = Some(now.after(PAUSE_MS));
        (self.refusals, self.empty, self.mode) = (0, 0, Mode::Table);
    }

    /// The device reports a BSS of ours.
    pub fn handle_report(&mut self, now: Moment) {
        (self.refusals, self.empty) = (0, 0);
        if let Some(pending) = self.pending.as_mut().filter(|pending| now.since(pending.at) <= ANSWER_MS) {
            pending.reports += 1;
        }
    }

    /// The id of a request that is over; what came of it is counted.
    pub fn close_pending(&mut self, now: Moment) {
        let Some(pending) = self.pending.take_if(|pending| now.since(pending.at) > ANSWER_MS) else { return };
        // A request that no AP answered says nothing of the device.
        if !pending.accepted || pending.reports > 0 {
            return;
        }
        self.empty += 1;
        if self.empty < EMPTY {
            return;
        }
        self.empty = 0;
        let octet = self.capabilities.map_or(0, |(_, octet)| octet);
        let next = Mode::ALL.into_iter().find(|mode| *mode > self.mode && octet & mode.capability() != 0);
        match next {
            Some(next) => self.mode = next,
            None => self.pause(now),
        }
    }

    /// After a change of the setup: what is under way is forgotten, APs have other positions.
    pub fn forget_pending(&mut self) {
        self.pending = None;
    }

    /// For people: how often it was asked in the last hour, whether it can be, until when it is left alone.
    pub fn words(&self, bssid: Option<Mac>, now: Moment) -> String {
        let Some((_, octet)) = self.capabilities.filter(|(known, _)| Some(*known) == bssid) else {
            return "it cannot be asked where it is: it, or the access point, has no 802.11k".to_owned();
        };
        if Mode::ALL.into_iter().all(|mode| octet & mode.capability() == 0) {
            return "it cannot be asked: it makes no beacon reports".to_owned();
        }
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            let hours = crate::reasons::duration(until.since(now));
            return format!("it refused or gave nothing; left alone for another {hours}");
        }
        let asked = self.asked.iter().filter(|at| now.since(**at) <= HOUR_MS).count();
        format!("asked {asked} times in the last hour, of {HOURLY} at most; next by {}", self.mode.word())
    }
}

impl Engine {
    /// A device was heard: asks it for a beacon report if that is worth it.
    pub(crate) fn consider_asking(&mut self, device: DeviceIndex, now: Moment) {
        let Some(occasion) = self.occasion(device) else { return };
        let memory = &mut self.devices[device.0 as usize].memory;
        let (Some(mode), Some(mac)) = (memory.asking.consider(&occasion, now), memory.mac()) else { return };
        let Some(id) = self.next_request() else { return };
        let memory = &mut self.devices[device.0 as usize].memory;
        memory.asking.asked(id.clone(), &occasion, now);
        let kind = RequestKind::BeaconReport { mac, mode: mode.word().to_owned() };
        let ap = self.aps[occasion.ap.0 as usize].id.clone();
        self.effects.push_back(Effect::Ask { ap, request: Request { schema: SCHEMA, id, kind } });
    }

    /// What is known of a device that may be asked: it is present, and its room is to be known.
    fn occasion(&self, device: DeviceIndex) -> Option<Occasion> {
        let known = &self.devices[device.0 as usize];
        let memory = &known.memory;
        let (State::Present, Some(claim)) = (&memory.state, memory.current()) else { return None };
        if known.counts == Counts::Never || self.is_home_only(known) {
            return None;
        }
        Some(Occasion {
            ap: claim.association.ap,
            bssid: claim.association.bssid,
            heard_at: claim.heard_at(),
            signal_dbm: claim.signal.last_dbm(),
            moved_at: memory.moved_at,
            confidence: memory.rooms.confidence(),
            calibrating: self.calibrating.contains_key(&device),
        })
    }

    fn next_request(&mut self) -> Option<Id> {
        self.requests = self.requests.wrapping_add(1);
        format!("beacon-{}", self.requests).parse().ok()
    }

    /// An AP answers a request.
    pub(crate) fn handle_answer(&mut self, ap: ApIndex, id: &str, error: Option<&str>, now: Moment) {
        for device in &self.aps[ap.0 as usize].state.members {
            if self.devices[device.0 as usize].memory.asking.handle_answer(ap, id, error, now) {
                return;
            }
        }
    }

    /// A device reports a BSS; whose it is decides whether it counts. Foreign ones are nobody's business.
    pub(crate) fn handle_beacon_report(
        &mut self,
        device: DeviceIndex,
        heard: Mac,
        rcpi_dbm: Option<i8>,
        at: Moment,
    ) {
        let (Some(ap), Some(dbm)) = (self.bssids.get(&heard).copied(), rcpi_dbm) else { return };
        let memory = &mut self.devices[device.0 as usize].memory;
        memory.asking.handle_report(at);
        memory.hearing.read(Level { ap, how: How::Reported, dbm, at });
    }
}
