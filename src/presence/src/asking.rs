//! When to ask a device for a beacon report (802.11k): its own view of every access point, the richest evidence where
//! it comes. It costs the device air time and battery, so only one that can answer and is awake is asked, when its
//! room is in doubt or it moved, within a budget, and one that refuses is left alone.
//!
//! Each device has one [`Asking`]; the engine says what happens to it. `agent/src/requests.rs` has rules of its own on
//! the access point, which hold whatever is asked here.

use std::collections::VecDeque;

use whichroom_wire::{Id, Mac, Request, RequestKind, SCHEMA, not_now};

use crate::Moment;
use crate::claims::Claim;
use crate::device::State;
use crate::engine::Engine;
use crate::hearing::{How, Level};
use crate::output::Effect;
use crate::setup::Counts;
use crate::timers::{ApIndex, DeviceIndex, Timer};

/// Requests to one device in any hour.
pub(crate) const HOURLY: usize = 20;
pub(crate) const HOUR_MS: u64 = 3_600_000;

/// Between two requests to one device, whatever happens.
pub(crate) const GAP_MS: u64 = 12_000;

/// Between two that a mere doubt asks for. It doubles as long as the doubt outlives the answers.
const DOUBT_GAP_MS: u64 = 60_000;
const DOUBT_GAP_MAX_MS: u64 = 16 * DOUBT_GAP_MS;

/// A device that was received this recently may be awake: it is heard of only when its signal changes. Its access
/// point knows better, and asks none that sleeps.
pub(crate) const AWAKE_MS: u64 = 12_000;

/// Who sends after this much of the time for an answer was awake to give it.
const STAYED_MS: u64 = 5_000;

/// A room less sure than this is in doubt, in percent.
const DOUBT_PERCENT: u8 = 75;

/// A signal that changed by so much since the last request is a device that moves, in dB.
const SHIFT_DB: u8 = 8;

/// The same after it moved or its signal changed: it may still have been on its way.
const SHIFT_AGAIN_DB: u8 = 4;
const SHIFT_AGAIN_MS: u64 = 30_000;

/// Reports come within this time of their request, or not at all.
const ANSWER_MS: u64 = 10_000;

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

/// What a request is to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// What it knows will do: it just looked around, or does not move.
    Known,
    /// What it hears now.
    Measured,
}

/// What the engine knows of a device when it was heard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occasion {
    /// The AP it is associated with, and the BSS.
    pub ap: ApIndex,
    pub bssid: Mac,
    /// When that AP received it last.
    pub heard_at: Option<Moment>,
    /// Another AP has heard it begin to associate since.
    pub is_leaving: bool,
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
    mode: Mode,
    at: Moment,
    /// The AP passed it on.
    accepted: bool,
    /// It went on sending there: it was awake to answer.
    stayed: bool,
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
    /// How it was asked last, and how often that gave nothing since it gave anything.
    empty: (Mode, u8),
    refusals: u8,
    paused_until: Option<Moment>,
    signal_dbm: Option<i8>,
    /// It moved or its signal changed, then.
    carried_at: Option<Moment>,
    doubt_gap_ms: u64,
}

impl Asking {
    /// The table of the BSS it is on says what it can do; `None` if it cannot be asked there.
    pub fn capabilities(&mut self, bssid: Mac, rrm: Option<u8>) {
        self.capabilities = rrm.map(|rrm| (bssid, rrm));
    }

    /// It is on this BSS now: what it told another one is void.
    pub fn associated(&mut self, bssid: Mac) {
        self.capabilities.take_if(|(known, _)| *known != bssid);
    }

    /// Whether to ask now, and how. If so it counts as asked: [`Asking::asked`] is to follow.
    pub fn consider(&mut self, occasion: &Occasion, now: Moment) -> Option<Mode> {
        self.note_staying(occasion);
        self.close_pending(now);
        let mode = self.mode_for(occasion.bssid, Mode::Table)?;
        let is_awake = occasion.heard_at.is_some_and(|heard| now.since(heard) <= AWAKE_MS);
        let is_paused = self.paused_until.is_some_and(|until| until > now);
        if !is_awake
            || occasion.is_leaving
            || is_paused
            || self.pending.is_some()
            || !self.is_within_budget(now)
        {
            return None;
        }
        let wanted = self.wanted(occasion, now)?;
        // What it knows without measuring is of before it was carried.
        Some(if wanted == Wanted::Measured {
            self.mode_for(occasion.bssid, Mode::Active).unwrap_or(mode)
        } else {
            mode
        })
    }

    fn note_staying(&mut self, occasion: &Occasion) {
        let Some(pending) = self.pending.as_mut().filter(|pending| pending.ap == occasion.ap) else { return };
        let since =
            |heard: Moment| heard > pending.at.after(STAYED_MS) && heard <= pending.at.after(ANSWER_MS);
        pending.stayed |= occasion.heard_at.is_some_and(since);
    }

    /// The cheapest way this device and BSS allow, from `least` on.
    fn mode_for(&self, bssid: Mac, least: Mode) -> Option<Mode> {
        let (_, octet) = self.capabilities.filter(|(known, _)| *known == bssid)?;
        let least = least.max(self.mode);
        Mode::ALL.into_iter().find(|mode| *mode >= least && octet & mode.capability() != 0)
    }

    fn is_within_budget(&mut self, now: Moment) -> bool {
        while self.asked.front().is_some_and(|first| now.since(*first) > HOUR_MS) {
            self.asked.pop_front();
        }
        // A clock that went back is none of ours; what is not before now is too near in any case.
        let is_spaced = self.asked.back().is_none_or(|last| now.since(*last) >= GAP_MS);
        self.asked.len() < HOURLY && is_spaced
    }

    fn wanted(&mut self, occasion: &Occasion, now: Moment) -> Option<Wanted> {
        let last = self.asked.back().copied();
        let moved = occasion
            .moved_at
            .is_some_and(|moved| now.since(moved) <= HOUR_MS && last.is_none_or(|last| last < moved));
        let is_again = self.carried_at.is_some_and(|carried| now.since(carried) <= SHIFT_AGAIN_MS);
        let shift_db = if is_again { SHIFT_AGAIN_DB } else { SHIFT_DB };
        let shifted = match (self.signal_dbm, occasion.signal_dbm) {
            (Some(before), Some(signal)) => before.abs_diff(signal) >= shift_db,
            _ => false,
        };
        if (moved || shifted) && !is_again {
            self.carried_at = Some(now);
        }
        if occasion.calibrating || moved || shifted {
            self.doubt_gap_ms = DOUBT_GAP_MS;
            return Some(if shifted { Wanted::Measured } else { Wanted::Known });
        }
        if occasion.confidence >= DOUBT_PERCENT {
            self.doubt_gap_ms = DOUBT_GAP_MS;
            return None;
        }
        let is_due = last.is_none_or(|last| now.since(last) >= self.doubt_gap_ms.max(DOUBT_GAP_MS));
        if is_due {
            self.doubt_gap_ms = (self.doubt_gap_ms.max(DOUBT_GAP_MS) * 2).min(DOUBT_GAP_MAX_MS);
        }
        is_due.then_some(Wanted::Measured)
    }

    /// A request of this id goes to the AP.
    pub fn asked(&mut self, id: Id, mode: Mode, occasion: &Occasion, now: Moment) {
        self.asked.push_back(now);
        self.signal_dbm = occasion.signal_dbm;
        self.pending =
            Some(Pending { id, ap: occasion.ap, mode, at: now, accepted: false, stayed: false, reports: 0 });
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
        (self.refusals, self.empty, self.mode) = (0, (Mode::Table, 0), Mode::Table);
    }

    /// The device reports a BSS of ours.
    pub fn handle_report(&mut self, now: Moment) {
        (self.refusals, self.empty.1) = (0, 0);
        if let Some(pending) = self.pending.as_mut().filter(|pending| now.since(pending.at) <= ANSWER_MS) {
            pending.reports += 1;
        }
    }

    /// The id of a request that is over; what came of it is counted.
    pub fn close_pending(&mut self, now: Moment) {
        let Some(pending) = self.pending.take_if(|pending| now.since(pending.at) > ANSWER_MS) else { return };
        // A request that no AP answered says nothing of the device, nor does one to a device that fell asleep or left.
        if !pending.accepted || !pending.stayed || pending.reports > 0 {
            return;
        }
        let before = if self.empty.0 == pending.mode { self.empty.1 } else { 0 };
        self.empty = (pending.mode, before + 1);
        if before + 1 < EMPTY {
            return;
        }
        self.empty.1 = 0;
        let octet = self.capabilities.map_or(0, |(_, octet)| octet);
        let next = Mode::ALL.into_iter().find(|mode| *mode > pending.mode && octet & mode.capability() != 0);
        match next {
            Some(next) => self.mode = next,
            None => self.pause(now),
        }
    }

    /// For a restart: how long ago each request of the last hour was, and for how long it is still left alone.
    pub fn saved(&self, now: Moment) -> (Vec<u64>, u64) {
        let asked = self.asked.iter().map(|at| now.since(*at)).filter(|ms| *ms <= HOUR_MS);
        (asked.collect(), self.paused_until.map_or(0, |until| until.since(now)))
    }

    /// As it was at `then`, from [`Asking::saved`].
    pub fn restored(asked_ms_ago: &[u64], paused_for_ms: u64, then: Moment) -> Asking {
        let mut asked: Vec<u64> = asked_ms_ago.iter().copied().filter(|ms| *ms <= HOUR_MS).collect();
        asked.sort_unstable_by(|one, other| other.cmp(one));
        // The latest ones keep the budget longest.
        let beyond = asked.len().saturating_sub(HOURLY);
        let asked = asked[beyond..].iter().map(|ms| then.before(*ms)).collect();
        let paused_until = (paused_for_ms > 0).then(|| then.after(paused_for_ms.min(PAUSE_MS)));
        Asking { asked, paused_until, ..Asking::default() }
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
    /// A device was heard, or may be asked again: asks it for a beacon report if that is worth it.
    pub(crate) fn consider_asking(&mut self, device: DeviceIndex, now: Moment) {
        let Some(occasion) = self.occasion(device, now) else { return };
        let memory = &mut self.devices[device.0 as usize].memory;
        let (Some(mode), Some(mac)) = (memory.asking.consider(&occasion, now), memory.mac()) else { return };
        let Some(id) = self.next_request() else { return };
        let memory = &mut self.devices[device.0 as usize].memory;
        memory.asking.asked(id.clone(), mode, &occasion, now);
        // Whoever was asked on the way may be heard of no more: a signal that stays the same is not news.
        self.timers.set(Timer::Asking(device), now.after(GAP_MS));
        let kind = RequestKind::BeaconReport { mac, mode: mode.word().to_owned() };
        let ap = self.aps[occasion.ap.0 as usize].id.clone();
        self.effects.push_back(Effect::Ask { ap, request: Request { schema: SCHEMA, id, kind } });
    }

    /// What is known of a device that may be asked: it is present, and its room is to be known.
    fn occasion(&self, device: DeviceIndex, now: Moment) -> Option<Occasion> {
        let known = &self.devices[device.0 as usize];
        let memory = &known.memory;
        let (State::Present, Some(claim)) = (&memory.state, memory.current()) else { return None };
        if known.counts == Counts::Never || self.is_home_only(known) {
            return None;
        }
        let is_later = |other: &Claim| other.requested_at > claim.heard_at();
        Some(Occasion {
            ap: claim.association.ap,
            bssid: claim.association.bssid,
            heard_at: claim.heard_at(),
            is_leaving: memory
                .claims
                .iter()
                .any(|other| other.association != claim.association && is_later(other)),
            signal_dbm: claim.signal.last_dbm(),
            moved_at: memory.moved_at,
            confidence: memory.rooms.confidence_at(now),
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
        let state = &self.aps[ap.0 as usize].state;
        let dbm = dbm.saturating_sub(state.downlink_db(heard));
        let class = state.classes(|bssid| bssid == heard);
        let memory = &mut self.devices[device.0 as usize].memory;
        memory.asking.handle_report(at);
        let due = memory.rooms.read_report(ap, dbm, class, at);
        memory.hearing.read(Level { ap, how: How::Reported, dbm, at });
        if self.timers.at(Timer::Room(device)).is_none_or(|at| at > due) {
            self.timers.set(Timer::Room(device), due);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BSS: Mac = Mac::new([0x10, 0, 0, 0, 0, 1]);
    const AP: ApIndex = ApIndex(0);
    const ALL_MODES: u8 = 0x73;

    fn at(ms: u64) -> Moment {
        Moment::from_ms(0).after(ms)
    }

    /// Awake and in doubt.
    fn doubtful(now: Moment) -> Occasion {
        Occasion {
            ap: AP,
            bssid: BSS,
            heard_at: Some(now),
            is_leaving: false,
            signal_dbm: Some(-60),
            moved_at: None,
            confidence: 50,
            calibrating: false,
        }
    }

    /// A device that told what it can.
    fn device(octet: u8) -> Asking {
        let mut asking = Asking::default();
        asking.capabilities(BSS, Some(octet));
        asking
    }

    fn ask(asking: &mut Asking, occasion: &Occasion, now: Moment) -> Option<Mode> {
        let mode = asking.consider(occasion, now)?;
        asking.asked(format!("q{}", now.as_ms()).parse().unwrap(), mode, occasion, now);
        Some(mode)
    }

    /// Asks as often as it may for `ms`, each time answered like this; returns when, and how.
    fn ask_for(
        asking: &mut Asking,
        from: u64,
        ms: u64,
        answer: impl Fn(&mut Asking, &str, Moment),
    ) -> Vec<(u64, Mode)> {
        let mut asked = Vec::new();
        for ms in (from..from + ms).step_by(1000) {
            let now = at(ms);
            let occasion = Occasion { calibrating: true, ..doubtful(now) };
            if let Some(mode) = ask(asking, &occasion, now) {
                asked.push((ms, mode));
                answer(asking, &format!("q{ms}"), now);
            }
        }
        asked
    }

    #[test]
    fn a_doubt_is_asked_about_ever_more_rarely() {
        let mut asking = device(ALL_MODES);
        let mut asked = Vec::new();
        for s in 0..4 * 3600 {
            let now = at(s * 1000);
            if ask(&mut asking, &doubtful(now), now).is_some() {
                asked.push(s);
                asking.handle_answer(AP, &format!("q{}", s * 1000), None, now);
                asking.handle_report(now);
            }
        }
        let gaps: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps[..5], [120, 240, 480, 960, 960]);
        let now = at(5 * 3_600_000);
        assert_eq!(ask(&mut asking, &Occasion { confidence: 95, ..doubtful(now) }, now), None);
        let now = now.after(DOUBT_GAP_MS);
        assert!(ask(&mut asking, &doubtful(now), now).is_some(), "a new doubt is asked about at once");
    }

    #[test]
    fn who_moved_or_whose_signal_changed_is_asked_once() {
        let mut asking = device(ALL_MODES);
        let sure = |ms| Occasion { confidence: 95, ..doubtful(at(ms)) };
        assert_eq!(ask(&mut asking, &sure(0), at(0)), None);
        let moved = |ms| Occasion { moved_at: Some(at(1_000)), ..sure(ms) };
        assert_eq!(ask(&mut asking, &moved(2_000), at(2_000)), Some(Mode::Table));
        assert_eq!(ask(&mut asking, &moved(60_000), at(60_000)), None);
        let shifted = |ms| Occasion { signal_dbm: Some(-68), ..moved(ms) };
        assert_eq!(
            ask(&mut asking, &shifted(90_000), at(90_000)),
            Some(Mode::Active),
            "what it knew is of before"
        );
        assert_eq!(ask(&mut asking, &shifted(150_000), at(150_000)), None);
    }

    #[test]
    fn who_was_asked_on_the_way_is_asked_again_when_they_have_arrived() {
        let mut asking = device(ALL_MODES);
        let moved = |ms, dbm| Occasion {
            confidence: 95,
            moved_at: Some(at(1_000)),
            signal_dbm: Some(dbm),
            ..doubtful(at(ms))
        };
        assert_eq!(ask(&mut asking, &moved(1_000, -60), at(1_000)), Some(Mode::Table));
        assert_eq!(ask(&mut asking, &moved(13_000, -62), at(13_000)), None, "it has not moved since");
        assert_eq!(ask(&mut asking, &moved(14_000, -64), at(14_000)), Some(Mode::Active));
        let mut asking = device(ALL_MODES);
        ask(&mut asking, &moved(1_000, -60), at(1_000));
        assert_eq!(ask(&mut asking, &moved(40_000, -64), at(40_000)), None, "it arrived long ago");
    }

    #[test]
    fn three_refusals_bring_a_day_of_peace() {
        let mut asking = device(ALL_MODES);
        let refuse = |asking: &mut Asking, id: &str, now| {
            assert!(asking.handle_answer(AP, id, Some("refused"), now));
        };
        let asked = ask_for(&mut asking, 0, HOUR_MS, refuse);
        assert_eq!(asked.len(), 3);
        assert!(asking.words(Some(BSS), at(HOUR_MS)).contains("left alone for another 23 h"));
        let last = asked[2].0;
        assert_eq!(ask_for(&mut asking, HOUR_MS, last + PAUSE_MS - HOUR_MS, refuse), []);
        assert_eq!(ask_for(&mut asking, last + PAUSE_MS, HOUR_MS, refuse).len(), 3);
    }

    #[test]
    fn a_bad_moment_is_no_refusal() {
        for why in not_now::ALL {
            let mut asking = device(ALL_MODES);
            let asked = ask_for(&mut asking, 0, HOUR_MS / 2, |asking, id, now| {
                assert!(asking.handle_answer(AP, id, Some(why), now));
            });
            assert_eq!(asked.len(), HOURLY, "{why}");
        }
    }

    #[test]
    fn what_gives_nothing_is_asked_in_another_way_and_then_no_more() {
        let mut asking = device(ALL_MODES);
        let nothing = |asking: &mut Asking, id: &str, now| {
            assert!(asking.handle_answer(AP, id, None, now));
        };
        let modes: Vec<Mode> =
            ask_for(&mut asking, 0, 20 * HOUR_MS, nothing).into_iter().map(|(_, mode)| mode).collect();
        let expected = [[Mode::Table; 3], [Mode::Active; 3], [Mode::Passive; 3]].concat();
        assert_eq!(modes, expected);
        let mut asking = device(Mode::Passive.capability());
        assert_eq!(
            ask_for(&mut asking, 0, HOUR_MS, nothing),
            [0, 12_000, 24_000].map(|ms| (ms, Mode::Passive))
        );
    }

    #[test]
    fn an_access_point_that_never_answers_is_no_fault_of_the_device() {
        let mut asking = device(ALL_MODES);
        let asked = ask_for(&mut asking, 0, 30 * HOUR_MS, |_, _, _| {});
        assert!(asked.len() > 25 * HOURLY && asked.iter().all(|(_, mode)| *mode == Mode::Table));
    }

    #[test]
    fn an_answer_of_somebody_else_is_none() {
        let mut asking = device(ALL_MODES);
        assert!(ask(&mut asking, &doubtful(at(0)), at(0)).is_some());
        assert!(!asking.handle_answer(ApIndex(1), "q0", Some("refused"), at(1)));
        assert!(!asking.handle_answer(AP, "q1", Some("refused"), at(1)));
        assert!(asking.handle_answer(AP, "q0", Some("refused"), at(1)));
        assert!(!asking.handle_answer(AP, "q0", Some("refused"), at(1)), "once");
    }

    /// Anything that may happen to a device.
    #[derive(Debug, Clone)]
    enum Step {
        Wait(u64),
        Capable(Option<u8>),
        Heard {
            ago_ms: Option<u64>,
            dbm: Option<i8>,
            confidence: u8,
            moved: bool,
            calibrating: bool,
            is_leaving: bool,
        },
        Answer(Option<&'static str>),
        Report,
        Setup,
    }

    fn step() -> impl Strategy<Value = Step> {
        let heard = (proptest::option::of(0_u64..20_000), proptest::option::of(-99_i8..-20), 0_u8..=100)
            .prop_flat_map(|(ago_ms, dbm, confidence)| {
                (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
                    move |(moved, calibrating, is_leaving)| Step::Heard {
                        ago_ms,
                        dbm,
                        confidence,
                        moved,
                        calibrating,
                        is_leaving,
                    },
                )
            });
        prop_oneof![
            4 => (0_u64..30_000).prop_map(Step::Wait),
            1 => (0_u64..PAUSE_MS * 2).prop_map(Step::Wait),
            2 => proptest::option::of(any::<u8>()).prop_map(Step::Capable),
            8 => heard,
            2 => prop_oneof![Just(None), Just(Some("refused")), Just(Some(not_now::ASLEEP))].prop_map(Step::Answer),
            1 => Just(Step::Report),
            1 => Just(Step::Setup),
        ]
    }

    proptest! {
        #[test]
        fn the_budget_holds_and_only_who_can_and_is_awake_is_asked(steps in proptest::collection::vec(step(), 0..400)) {
            let (mut asking, mut now, mut octet) = (Asking::default(), at(0), None);
            let mut asked: Vec<Moment> = Vec::new();
            let mut last_id = String::new();
            let mut refused: Vec<Moment> = Vec::new();
            for step in steps {
                match step {
                    Step::Wait(ms) => now = now.after(ms),
                    Step::Capable(rrm) => {
                        octet = rrm;
                        asking.capabilities(BSS, rrm);
                    }
                    Step::Heard { ago_ms, dbm, confidence, moved, calibrating, is_leaving } => {
                        let occasion = Occasion {
                            is_leaving,
                            heard_at: ago_ms.map(|ms| now.before(ms)),
                            signal_dbm: dbm,
                            moved_at: moved.then_some(now),
                            confidence,
                            calibrating,
                            ..doubtful(now)
                        };
                        let Some(mode) = ask(&mut asking, &occasion, now) else { continue };
                        last_id = format!("q{}", now.as_ms());
                        prop_assert!(octet.is_some_and(|octet| octet & mode.capability() != 0));
                        prop_assert!(ago_ms.is_some_and(|ms| ms <= AWAKE_MS) && !is_leaving);
                        prop_assert!(asked.last().is_none_or(|last| now.since(*last) >= GAP_MS));
                        let in_hour = asked.iter().filter(|at| now.since(**at) <= HOUR_MS).count();
                        prop_assert!(in_hour < HOURLY);
                        let is_paused = refused.len() >= 3 && refused[refused.len() - 3..].iter().all(|at| now.since(*at) < PAUSE_MS);
                        prop_assert!(!is_paused);
                        asked.push(now);
                    }
                    Step::Answer(error) => {
                        if asking.handle_answer(AP, &last_id, error, now) && error == Some("refused") {
                            refused.push(now);
                        }
                    }
                    Step::Report => {
                        asking.handle_report(now);
                        refused.clear();
                    }
                    Step::Setup => asking.forget_pending(),
                }
            }
        }
    }
}
