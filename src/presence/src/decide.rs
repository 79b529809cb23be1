//! Drawing conclusions: a device is settled after each input that concerns it, timers look again when time has
//! passed, and blindness is noticed and said.

use whichroom_wire::{Change, Id, Mac, Station};

use crate::Moment;
use crate::access_point::ApState;
use crate::claims::{Association, Gone, Parting};
use crate::device::{Evidence, State};
use crate::doze::Kind;
use crate::engine::{Engine, device_index};
use crate::fading::Left;
use crate::hearing::Level;
use crate::output::{Effect, Home, Problem, Roamed};
use crate::setup::SsidKind;
use crate::timers::{ApIndex, DeviceIndex, Timer};
use crate::windows::Common;

/// How soon to look again for what cannot be said to the second.
const LOOK_AGAIN_MS: u64 = 5_000;

/// The same where seconds matter.
const LOOK_SOON_MS: u64 = 1_000;

/// How soon to look again at a blind AP: somebody may depend on it by then.
const BLIND_AGAIN_MS: u64 = 5 * 60_000;

/// A second AP of one name is forgotten when it was quiet for so long.
const DUPLICATE_OVER_MS: u64 = 5 * 60_000;

/// A room is found by what was heard in this time.
const WEIGHED_MS: u64 = 10_000;

impl Engine {
    pub(crate) fn ap_mut(&mut self, ap: ApIndex) -> &mut ApState {
        &mut self.aps[ap.0 as usize].state
    }

    /// Brings a device in line with its claims. `before` is its association before the input, `is_reading` whether
    /// the input says how near it is.
    pub(crate) fn settle(
        &mut self,
        device: DeviceIndex,
        evidence: Evidence,
        before: Option<Association>,
        is_reading: bool,
        now: Moment,
    ) {
        let known = &mut self.devices[device.0 as usize];
        let settled = known.memory.settle(evidence, before, &self.aps, &self.nights, &self.timing, now);
        let association = known.memory.association;
        let at_exit = association.is_some_and(|place| self.aps[place.ap.0 as usize].exit);
        if at_exit && evidence == Evidence::Proof {
            known.memory.exit_at = known.memory.exit_at.max(Some(now));
        }
        if association != before {
            self.change_members(device, before, association);
            if let Some(association) = association {
                self.devices[device.0 as usize].memory.asking.associated(association.bssid);
            }
        }
        if let (Some(from), Some(to)) = (settled.roamed_from, association) {
            self.say_roamed(device, from, to, now);
        }
        if let Some((silence, was_away)) = settled.returned {
            self.learn_silence(device, &silence, was_away, now);
        }
        self.learn_sleep(device);
        if settled.state {
            self.arm_device(device, now);
        }
        let is_moved =
            (is_reading || settled.state || settled.roamed_from.is_some()) && self.evaluate_room(device, now);
        if settled.state || settled.roamed_from.is_some() || is_moved || self.is_worth_saying(device, now) {
            self.touched.device(device);
        }
        // What somebody else heard may be the beginning of a roam.
        if evidence == Evidence::Proof {
            self.consider_asking(device, now);
        }
    }

    fn change_members(
        &mut self,
        device: DeviceIndex,
        before: Option<Association>,
        after: Option<Association>,
    ) {
        if let Some(before) = before {
            self.ap_mut(before.ap).members.remove(&device);
        }
        if let Some(after) = after {
            self.ap_mut(after.ap).members.insert(device);
        }
    }

    fn say_roamed(&mut self, device: DeviceIndex, from: Association, to: Association, now: Moment) {
        let id = self.devices[device.0 as usize].id.clone();
        if from.ap != to.ap {
            for (one, other) in [(from.ap, to.ap), (to.ap, from.ap)] {
                let is_exit = self.aps[other.0 as usize].exit;
                self.ap_mut(one).roamed(is_exit);
            }
        }
        let name = |ap: ApIndex| self.aps[ap.0 as usize].id.clone();
        let roamed =
            Roamed { device: id, from_ap: name(from.ap), to_ap: name(to.ap), bssid: to.bssid, at: now };
        self.effects.push_back(Effect::Roamed(roamed));
    }

    /// Sets the timers a device's state wants.
    pub(crate) fn arm_device(&mut self, device: DeviceIndex, now: Moment) {
        let memory = &mut self.devices[device.0 as usize].memory;
        match &memory.state {
            State::Present => {
                let heard = memory.heard_at.unwrap_or(memory.since);
                let phantom_ms = memory.doze.plausible_ms(Kind::Listed, &self.timing);
                self.timers.set_if_idle(Timer::Phantom(device), heard.after(phantom_ms).max(now));
            }
            State::Fading(fading) => {
                let due = fading.from.after(fading.needed_ms.saturating_sub(fading.carried_ms));
                self.timers.set(Timer::Absence(device), due.max(now));
            }
            State::Undecided => {
                self.timers.set_if_idle(Timer::FirstDecision, now.after(self.timing.exit_ms));
            }
            State::Absent(_) => {
                memory.rooms.leave();
                memory.told = None;
            }
        }
        if matches!(memory.state, State::Fading(_)) {
            self.fading.insert(device);
        } else {
            self.timers.stop(Timer::Absence(device));
            self.fading.remove(&device);
        }
    }

    /// Weighs a present device's evidence, and keeps what spoke loudest for another room; true if its room changed.
    fn evaluate_room(&mut self, device: DeviceIndex, now: Moment) -> bool {
        // While a calibration listens, somebody said where it is.
        if self.calibrating.contains_key(&device) {
            return false;
        }
        let memory = &mut self.devices[device.0 as usize].memory;
        let (State::Present, Some(association)) = (&memory.state, memory.association) else { return false };
        let verdict = memory.rooms.evaluate(Some(association.ap), &self.model, now);
        if verdict.changed {
            memory.told = None;
            let room = memory.rooms.room();
            let is_there = |level: &&Level| Some(self.aps[level.ap.0 as usize].room) == room;
            let heard = memory.hearing.since(now.before(WEIGHED_MS)).filter(is_there);
            memory.found_by = heard.max_by_key(|level| level.dbm).copied();
        }
        if let Some(at) = verdict.look_again {
            self.timers.set(Timer::Room(device), at);
        }
        verdict.changed
    }

    pub(crate) fn handle_timer(&mut self, timer: Timer, now: Moment) {
        match timer {
            Timer::Parting(device) => {
                let memory = &mut self.devices[device.0 as usize].memory;
                let before = memory.association;
                memory.part();
                self.settle(device, Evidence::None, before, false, now);
            }
            Timer::Absence(device) => self.decide_absence(device, now),
            Timer::Room(device) => {
                if self.evaluate_room(device, now) {
                    self.touched.device(device);
                }
            }
            Timer::Asking(device) => self.consider_asking(device, now),
            Timer::Calibration(device) => self.finish_calibration(device, now),
            Timer::Phantom(device) => self.look_for_phantom(device, now),
            Timer::LeftBehind(device) => self.look_for_left_behind(device, now),
            Timer::Reporting(ap) => self.look_at_reporting(ap, now),
            Timer::Blind(ap) => self.look_at_blindness(ap, now),
            Timer::Duplicate(ap) => self.look_at_duplicate(ap, now),
            Timer::FirstDecision => self.decide_first(now),
            Timer::HouseEmpty => {
                self.house.hold_over(now);
                self.touched.house = true;
            }
        }
    }

    fn decide_absence(&mut self, device: DeviceIndex, now: Moment) {
        let memory = &mut self.devices[device.0 as usize].memory;
        let State::Fading(fading) = &memory.state else { return };
        let watched_ms = fading.watched_ms(&self.aps, &self.exits, &self.timing, now);
        let again_ms = if fading.silence.kind == Kind::ExitLeft { LOOK_SOON_MS } else { LOOK_AGAIN_MS };
        if watched_ms < fading.needed_ms {
            let others = fading.watched_by_others(&self.aps, &self.exits, &self.timing, now);
            // Nobody goes into the garden for hours and is never heard inside.
            let last = fading.silence.association.ap;
            let share = |ap: ApIndex| if self.aps[ap.0 as usize].outdoor && ap != last { 2 } else { 1 };
            let held_ms = others.map_or(0, |(_, blind)| self.timing.blind_held_ms / share(blind));
            let held_ms = held_ms.max(fading.needed_ms);
            let assumed = others.filter(|(ms, _)| *ms >= held_ms);
            if let Some((watched_ms, blind)) = assumed {
                return self.call_away(device, watched_ms, Some(blind), now);
            }
            let missing_ms = fading.needed_ms - watched_ms;
            let missing_ms = others.map_or(missing_ms, |(ms, _)| missing_ms.min(held_ms.saturating_sub(ms)));
            self.timers.set(Timer::Absence(device), now.after(missing_ms.max(again_ms)));
            return;
        }
        // Anybody can forge a leave frame. Who really left is no longer in the table.
        let last = &self.aps[fading.silence.association.ap.0 as usize].state;
        let claim = memory.claims.iter().find(|claim| claim.association == fading.silence.association);
        let is_listed = claim.is_some_and(|claim| claim.mark.table == last.mark.table);
        if is_listed && fading.silence.kind == Kind::ExitLeft && !last.blind {
            self.timers.set(Timer::Absence(device), now.after(again_ms));
            return;
        }
        self.call_away(device, watched_ms, None, now);
    }

    fn call_away(&mut self, device: DeviceIndex, watched_ms: u64, assumed: Option<ApIndex>, now: Moment) {
        let memory = &mut self.devices[device.0 as usize].memory;
        let State::Fading(fading) = &memory.state else { return };
        memory.state = State::Absent(Some(Left { silence: fading.silence, watched_ms, assumed }));
        memory.since = now;
        self.arm_device(device, now);
        self.touched.device(device);
        self.timers.set(Timer::LeftBehind(device), now.after(self.timing.left_behind_ms));
    }

    /// One of a person's devices left: another that keeps them home may turn out to lie there.
    fn look_for_left_behind(&mut self, device: DeviceIndex, now: Moment) {
        let known = &self.devices[device.0 as usize];
        let is_home = known.person.is_some_and(|person| self.people[person].state.home == Home::Home);
        if is_home && known.memory.walked_off().is_some() {
            self.timers.set(Timer::LeftBehind(device), now.after(self.timing.left_behind_ms));
        }
        self.touched.device(device);
    }

    /// Whether somebody is only taken to be away, because an AP that might tell is blind.
    pub(crate) fn assumed_by(&self, now: Moment) -> Option<ApIndex> {
        let away = self.people.iter().filter(|person| person.state.home == Home::Away);
        let devices = away.flat_map(|person| &person.devices).map(|index| &self.devices[*index]);
        let blind = devices.filter_map(|device| match &device.memory.state {
            State::Absent(Some(left)) => left.assumed,
            State::Absent(None) | State::Undecided | State::Present | State::Fading(_) => None,
        });
        let is_open = |ap: &ApIndex| {
            let known = &self.aps[ap.0 as usize];
            known.state.blind && !known.is_given_up(now, &self.timing)
        };
        blind.filter(is_open).min()
    }

    /// Says that an AP which does not report is not coming back: nobody waits for it until it reports again. False if
    /// there is no such AP, or it reports.
    pub fn give_up_ap(&mut self, id: &Id, now: Moment) -> bool {
        let Some(ap) = self.ap_by_id.get(id).copied() else { return false };
        let state = &mut self.aps[ap.0 as usize].state;
        if state.is_reporting(now, &self.timing) {
            return false;
        }
        state.dismissed = true;
        self.became_blind(ap, now);
        self.look_at_blindness(ap, now);
        self.flush(now);
        true
    }

    /// Devices that were last seen on a blind AP, and that no other has seen for long: they are not on it any more.
    fn doubt_members(&mut self, ap: ApIndex, now: Moment) {
        let known = &self.aps[ap.0 as usize];
        let since = known.state.blind_since;
        let is_open = known.exit && known.outdoor && known.is_long_blind(now, &self.timing);
        if !is_open && !known.is_forgotten(now, &self.timing) {
            return;
        }
        let members: Vec<DeviceIndex> = known.state.members.iter().copied().collect();
        for device in members {
            let memory = &mut self.devices[device.0 as usize].memory;
            let (State::Present, Some(association)) = (&memory.state, memory.association) else { continue };
            if let Some(claim) = memory.claim_mut(association) {
                claim.gone = Some(Gone { at: since, parting: Parting::ApBlind });
            }
            self.settle(device, Evidence::None, Some(association), false, now);
        }
        let waiting: Vec<DeviceIndex> = self.fading.iter().copied().collect();
        waiting.into_iter().for_each(|device| self.decide_absence(device, now));
    }

    /// Listed without being received for longer than any device sleeps, while its AP was watching.
    fn look_for_phantom(&mut self, device: DeviceIndex, now: Moment) {
        let memory = &mut self.devices[device.0 as usize].memory;
        let (State::Present, Some(association)) = (&memory.state, memory.association) else { return };
        let heard = memory.heard_at.unwrap_or(memory.since);
        let mut common = Common::between(heard, now);
        common.intersect(self.aps[association.ap.0 as usize].watched(association));
        let silent_ms = common.total_ms();
        let phantom_ms = memory.doze.plausible_ms(Kind::Listed, &self.timing);
        if silent_ms < phantom_ms {
            let missing_ms = (phantom_ms - silent_ms).max(LOOK_AGAIN_MS);
            self.timers.set(Timer::Phantom(device), now.after(missing_ms));
            return;
        }
        if let Some(claim) = memory.claim_mut(association) {
            claim.gone = Some(Gone { at: heard, parting: Parting::Phantom });
        }
        self.settle(device, Evidence::None, Some(association), false, now);
    }

    /// Those nobody has seen are away once every AP that there is was watching for a while.
    fn decide_first(&mut self, now: Moment) {
        let is_undecided = |state: &State| matches!(state, State::Undecided);
        if !self.devices.iter().any(|device| is_undecided(&device.memory.state)) {
            return;
        }
        self.timers.set(Timer::FirstDecision, now.after(LOOK_AGAIN_MS));
        let mut common = Common::between(self.started, now);
        let mut any = false;
        for ap in &self.aps {
            let is_there = ap.configured || ap.state.awaited || ap.state.last_live.is_some();
            if !is_there || ap.is_given_up(now, &self.timing) {
                continue;
            }
            if !ap.state.table_seen {
                return;
            }
            common.intersect(ap.state.windows());
            any = true;
        }
        if !any || common.total_ms() < self.timing.exit_ms {
            return;
        }
        for (position, device) in self.devices.iter_mut().enumerate() {
            let memory = &mut device.memory;
            let mark_of = |association: Association| self.aps[association.ap.0 as usize].state.mark;
            let is_listed = memory.claims.iter().any(|claim| claim.holds(mark_of(claim.association)));
            // Someone is undecided until seen or missed; a device that is listed, but not heard, is neither.
            if is_undecided(&memory.state) && !is_listed && now.since(memory.since) >= self.timing.exit_ms {
                memory.state = State::Absent(None);
                memory.since = now;
                self.touched.device(device_index(position));
            }
        }
    }

    /// A live message came: if the AP was blind, it is no more.
    pub(crate) fn reports(&mut self, ap: ApIndex, now: Moment) {
        let state = &mut self.aps[ap.0 as usize].state;
        if state.blind {
            state.blind = false;
            self.timers.stop(Timer::Blind(ap));
            self.touched.house = true;
            self.say_blind(ap, None);
            self.sight_changed(ap);
        }
        self.timers.set_if_idle(Timer::Reporting(ap), now.after(self.timing.reporting_ms));
    }

    fn look_at_reporting(&mut self, ap: ApIndex, now: Moment) {
        let state = &self.aps[ap.0 as usize].state;
        if state.blind {
            return;
        }
        let alive = state.last_live.unwrap_or(self.started).max(self.started);
        if now.since(alive) <= self.timing.reporting_ms {
            self.timers.set(Timer::Reporting(ap), alive.after(self.timing.reporting_ms + 1));
            return;
        }
        self.became_blind(ap, now);
    }

    pub(crate) fn became_blind(&mut self, ap: ApIndex, now: Moment) {
        let started = self.started;
        let state = self.ap_mut(ap);
        if state.blind {
            return;
        }
        state.blind = true;
        state.blind_since = state.last_live.unwrap_or(started);
        if !state.strangers.is_empty() {
            state.strangers.clear();
            self.recount_guests(ap);
        }
        let due = self.aps[ap.0 as usize].state.blind_since.after(self.timing.blind_said_ms);
        self.timers.set(Timer::Blind(ap), due.max(now));
        self.sight_changed(ap);
    }

    /// An AP began or ceased to watch: those who depend on it may be told of it.
    fn sight_changed(&mut self, ap: ApIndex) {
        let members = self.aps[ap.0 as usize].state.members.iter();
        for device in members.chain(&self.fading) {
            self.touched.device(*device);
        }
    }

    fn look_at_blindness(&mut self, ap: ApIndex, now: Moment) {
        let known = &self.aps[ap.0 as usize];
        if !known.state.blind {
            return;
        }
        let keeps = |device: &DeviceIndex| {
            matches!(self.devices[device.0 as usize].memory.state, State::Present | State::Fading(_))
        };
        let matters = known.exit || known.state.members.iter().any(keeps);
        let is_given_up = known.is_given_up(now, &self.timing);
        let is_long = known.is_long_blind(now, &self.timing);
        let name = &known.name;
        let text = match (matters && is_long, is_given_up) {
            (false, _) => None,
            (true, true) if known.state.dismissed => {
                Some(format!("{name} offline: nobody waits for it until it reports again"))
            }
            (true, false) => {
                Some(format!("cannot decide: {name} offline; check its power, network and agent"))
            }
            (true, true) => Some(format!(
                "{name} offline for a day: only devices last seen on it still wait for it; repair it or remove it"
            )),
        };
        self.say_blind(ap, text.map(|text| Problem { ap: Some(self.aps[ap.0 as usize].id.clone()), text }));
        self.doubt_members(ap, now);
        self.touched.house |= is_given_up;
        let since = self.aps[ap.0 as usize].state.blind_since;
        let steps = [self.timing.blind_said_ms, self.timing.blind_given_up_ms].map(|ms| since.after(ms));
        let next = steps.into_iter().filter(|step| *step > now).min();
        let again = now.after(BLIND_AGAIN_MS);
        self.timers.set(Timer::Blind(ap), next.map_or(again, |next| next.min(again)));
    }

    fn say_blind(&mut self, ap: ApIndex, problem: Option<Problem>) {
        if self.ap_mut(ap).said == problem {
            return;
        }
        let before = std::mem::replace(&mut self.ap_mut(ap).said, problem.clone());
        if let Some(before) = before {
            self.end_problem(before);
        }
        if let Some(problem) = problem {
            self.begin_problem(problem);
        }
        self.touched.house = true;
    }

    pub(crate) fn begin_problem(&mut self, problem: Problem) {
        if self.problems.insert(problem.clone()) {
            self.effects.push_back(Effect::Problem(problem));
        }
    }

    pub(crate) fn end_problem(&mut self, problem: Problem) {
        if self.problems.remove(&problem) {
            self.effects.push_back(Effect::ProblemOver(problem));
        }
    }

    pub(crate) fn found_duplicate(&mut self, ap: ApIndex, node: &str, now: Moment) {
        let known = &self.aps[ap.0 as usize];
        let is_said = self.problems.iter().any(|problem| is_duplicate(problem, known.id.as_str()));
        if !is_said {
            let id = &known.id;
            let text = format!(
                "{DUPLICATE} {id}: messages of the one with node {node} are ignored; give it a name of its own"
            );
            self.begin_problem(Problem { ap: Some(id.clone()), text });
        }
        self.timers.set_if_idle(Timer::Duplicate(ap), now.after(DUPLICATE_OVER_MS));
    }

    fn look_at_duplicate(&mut self, ap: ApIndex, now: Moment) {
        let known = &self.aps[ap.0 as usize];
        let last = known.state.duplicate_at.unwrap_or(self.started);
        if now.since(last) < DUPLICATE_OVER_MS {
            self.timers.set(Timer::Duplicate(ap), last.after(DUPLICATE_OVER_MS));
            return;
        }
        let over: Vec<Problem> = self
            .problems
            .iter()
            .filter(|problem| is_duplicate(problem, known.id.as_str()))
            .cloned()
            .collect();
        over.into_iter().for_each(|problem| self.end_problem(problem));
    }

    /// Notes a station that no configuration names; true if the guests may be others now.
    pub(crate) fn meet(&mut self, ap: ApIndex, station: &Station, now: Moment) -> bool {
        if !station.authorized || self.bssids.contains_key(&station.mac) {
            return false;
        }
        let settled = self.acquaintances.met(station.mac, now);
        self.ap_mut(ap).meet(station.mac, station.bssid, station.signal_dbm, now) || settled
    }

    pub(crate) fn stranger_event(&mut self, ap: ApIndex, mac: Mac, bssid: Mac, change: &Change, now: Moment) {
        let is_there = matches!(change, Change::Authorized { .. } | Change::Joined { authorized: true, .. });
        if is_there && !self.bssids.contains_key(&mac) && self.ap_mut(ap).meet(mac, bssid, None, now) {
            self.recount_guests(ap);
        }
    }

    /// Counts the unknown stations on guest networks of one AP anew.
    pub(crate) fn recount_guests(&mut self, ap: ApIndex) {
        let state = &self.aps[ap.0 as usize].state;
        let is_guest = |bssid: Mac| {
            state
                .ssid(bssid)
                .is_some_and(|ssid| self.ssids.get(ssid).copied().unwrap_or_default() == SsidKind::Guest)
        };
        let is_fixture = |mac: &Mac| self.acquaintances.is_fixture(*mac);
        let strangers = state.strangers.iter();
        let guests = strangers.filter(|(mac, stranger)| is_guest(stranger.bssid) && !is_fixture(mac)).count();
        let guests = u32::try_from(guests).unwrap_or(u32::MAX);
        let before = std::mem::replace(&mut self.ap_mut(ap).guests, guests);
        if before != guests {
            self.house.guests = self.house.guests.saturating_sub(before).saturating_add(guests);
            self.touched.house = true;
        }
    }

    /// After a change of the setup: who is a stranger, and what a guest network is, may be another.
    pub(crate) fn recount_strangers(&mut self) {
        self.house.guests = 0;
        for index in 0..self.aps.len() {
            let ap = crate::engine::ap_index(index);
            let known = &self.device_by_mac;
            let state = &mut self.aps[index].state;
            state.strangers.retain(|mac, _| !known.contains_key(mac));
            state.guests = 0;
            self.recount_guests(ap);
        }
    }
}

/// How the problem of two APs of one name begins; it is found again by this.
const DUPLICATE: &str = "two access points call themselves";

fn is_duplicate(problem: &Problem, ap: &str) -> bool {
    problem.ap.as_ref().is_some_and(|id| id.as_str() == ap) && problem.text.starts_with(DUPLICATE)
}
