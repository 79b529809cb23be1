//! A person: home if a device that counts is present or fading, away when all that count are absent; the room is
//! that of the device that moves with them.

use whichroom_wire::Id;

use crate::Moment;
use crate::device::{Device, State};
use crate::output::Home;
use crate::setup::{Counts, Detail, Timing};

/// A device heard this recently is awake: it may be in a hand.
const AWAKE_MS: u64 = 10 * 60_000;

/// What moved so shortly after another device had gone was put down on the way out.
const TOGETHER_MS: u64 = 2 * 60_000;

/// What has changed its room since then may be in use: it lies there when it has not for so long.
const RESTLESS_MS: u64 = 30 * 60_000;

/// A person.
#[derive(Debug)]
pub(crate) struct Person {
    pub id: Id,
    pub name: String,
    pub detail: Detail,
    /// Positions among the devices.
    pub devices: Vec<usize>,
    pub state: PersonState,
    /// When it was published last.
    pub published_at: Option<Moment>,
}

/// What is decided of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PersonState {
    pub home: Home,
    pub home_since: Moment,
    /// In this state and room since.
    pub since: Moment,
    pub room: Option<usize>,
    pub device: Option<usize>,
    pub confidence: u8,
    pub stale_since: Option<Moment>,
}

impl PersonState {
    pub fn new(now: Moment) -> PersonState {
        PersonState {
            home: Home::Undecided,
            home_since: now,
            since: now,
            room: None,
            device: None,
            confidence: 0,
            stale_since: None,
        }
    }
}

impl Person {
    /// Judges by the devices; `stale_since` says of one since when nobody could tell.
    pub fn judge(
        &self,
        devices: &[Device],
        stale_since: impl Fn(&Device) -> Option<Moment>,
        timing: &Timing,
        now: Moment,
    ) -> PersonState {
        let home = self.home(devices, timing, now);
        let before = self.state;
        let device = match home {
            Home::Home => self.nearest(devices, now).or(before.device),
            Home::Away => self.last_to_leave(devices).or(before.device),
            Home::Undecided => None,
        };
        let near = device.map(|device| &devices[device]);
        let is_shown = home == Home::Home && self.detail == Detail::Rooms;
        let room = near.filter(|_| is_shown).and_then(|device| device.memory.rooms.room());
        let confidence = match home {
            Home::Home if room.is_some() => near.map_or(0, |device| device.memory.rooms.confidence_at(now)),
            Home::Home | Home::Undecided => 0,
            Home::Away => 100,
        };
        let changed_home = home != before.home;
        PersonState {
            home,
            home_since: if changed_home { now } else { before.home_since },
            since: if changed_home || room != before.room { now } else { before.since },
            room,
            device,
            confidence,
            stale_since: self.stale(devices, home, stale_since),
        }
    }

    fn counting<'a>(&'a self, devices: &'a [Device]) -> impl Iterator<Item = &'a Device> {
        self.devices.iter().map(|device| &devices[*device]).filter(|device| device.counts == Counts::Always)
    }

    /// A home that was published never turns into undecided, nor does an away: a device nobody decided about yet,
    /// new in the configuration, changes nothing.
    fn home(&self, devices: &[Device], timing: &Timing, now: Moment) -> Home {
        let mut counting = self.counting(devices).peekable();
        if counting.peek().is_none() {
            return self.state.home;
        }
        let mut all_absent = true;
        for device in counting {
            match device.memory.state {
                State::Present | State::Fading(_) if !self.is_left_behind(device, devices, timing, now) => {
                    return Home::Home;
                }
                State::Present | State::Fading(_) => {}
                State::Undecided => all_absent = false,
                State::Absent(_) => {}
            }
        }
        if all_absent { Home::Away } else { self.state.home }
    }

    /// Whether a device stayed where it was when another of the person's left, and has not been carried about since.
    /// What lies there roams now and then, and its room is not sure: that holds a decision up, and undoes none.
    fn is_left_behind(&self, device: &Device, devices: &[Device], timing: &Timing, now: Moment) -> bool {
        let memory = &device.memory;
        let carried_at = memory.path.carried_at().max(memory.arrived_at).unwrap_or(Moment::FIRST);
        let moved_at = memory.rooms.since();
        let is_lying = self.state.home == Home::Away || now.since(moved_at) >= RESTLESS_MS;
        let mut others = self.counting(devices).filter(|other| other.id != device.id);
        others.any(|other| {
            let Some(left) = other.memory.walked_off() else { return false };
            let wait_ms = if left.silence.kind.is_exit() { 0 } else { timing.left_behind_ms };
            let put_down = left.silence.since.after(TOGETHER_MS);
            now.since(other.memory.since) >= wait_ms
                && carried_at <= put_down
                && (is_lying || moved_at <= put_down)
        })
    }

    /// Devices that stayed at home without their person.
    pub fn left_behind<'a>(
        &'a self,
        devices: &'a [Device],
        timing: &'a Timing,
        now: Moment,
    ) -> impl Iterator<Item = &'a Device> {
        let there = |device: &&Device| matches!(device.memory.state, State::Present | State::Fading(_));
        self.counting(devices)
            .filter(there)
            .filter(move |device| self.is_left_behind(device, devices, timing, now))
    }

    /// The device that moves with the person: connected before fading, then the one that roamed last, then awake
    /// before asleep. A phone on a desk is awake more often than the one beside a sleeper, and moves less. What is
    /// as good as another does not replace it.
    pub(crate) fn nearest(&self, devices: &[Device], now: Moment) -> Option<usize> {
        let rank = |index: usize| {
            let memory = &devices[index].memory;
            let is_present = matches!(memory.state, State::Present);
            let is_awake = memory.heard_at.is_some_and(|heard| now.since(heard) <= AWAKE_MS);
            (is_present, memory.moved_at, is_awake)
        };
        let mut best: Option<usize> = None;
        for &index in &self.devices {
            let device = &devices[index];
            let is_there = matches!(device.memory.state, State::Present | State::Fading(_));
            if !is_there || device.counts == Counts::Never {
                continue;
            }
            let Some(other) = best else {
                best = Some(index);
                continue;
            };
            let (mine, theirs) = (rank(index), rank(other));
            if mine > theirs || (mine == theirs && self.state.device == Some(index)) {
                best = Some(index);
            }
        }
        best
    }

    /// The counting device whose absence came last: it decided.
    fn last_to_leave(&self, devices: &[Device]) -> Option<usize> {
        let is_away = |index: &usize| matches!(devices[*index].memory.state, State::Absent(_));
        let counting = self.devices.iter().copied().filter(|index| devices[*index].counts == Counts::Always);
        counting.filter(is_away).max_by_key(|index| (devices[*index].memory.since, std::cmp::Reverse(*index)))
    }

    /// Nobody can tell only if nobody can tell of any device that keeps the person home.
    fn stale(
        &self,
        devices: &[Device],
        home: Home,
        stale_since: impl Fn(&Device) -> Option<Moment>,
    ) -> Option<Moment> {
        if home != Home::Home {
            return None;
        }
        let there = |device: &&Device| matches!(device.memory.state, State::Present | State::Fading(_));
        let mut since: Option<Moment> = None;
        for device in self.counting(devices).filter(there) {
            since = Some(stale_since(device)?).max(since);
        }
        since
    }
}
