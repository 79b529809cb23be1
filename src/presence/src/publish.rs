//! Saying what changed. Inputs only note whom they concern; at the end of each, what would be published is compared
//! with what was, and only differences become effects.

use whichroom_wire::aggregator::{MovedKind, ROOM_AWAY, ROOM_HOME, ROOM_UNCLEAR};

use crate::Moment;
use crate::claims::Association;
use crate::device::Device;
use crate::engine::{Engine, device_index};
use crate::house::Hold;
use crate::output::{Effect, Home, HouseView, Moved, PersonView};
use crate::person::PersonState;
use crate::setup::Detail;
use crate::timers::{DeviceIndex, Timer};

/// A change of signal or confidence alone is said at most this often.
const SIGNAL_EVERY_MS: u64 = 30_000;
const CONFIDENCE_EVERY_MS: u64 = 60_000;

/// And only if it is this large.
const SIGNAL_STEP_DB: u8 = 5;
const CONFIDENCE_STEP: u8 = 10;

/// Whom the input concerned.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    devices: Vec<DeviceIndex>,
    people: Vec<usize>,
    rooms: Vec<usize>,
    pub house: bool,
}

impl Touched {
    pub fn device(&mut self, device: DeviceIndex) {
        if self.devices.last() != Some(&device) {
            self.devices.push(device);
        }
    }
}

/// What was published of a device, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublishedDevice {
    state: whichroom_wire::aggregator::DeviceState,
    association: Option<Association>,
    room: Option<usize>,
    signal_dbm: Option<i8>,
    at: Moment,
}

impl Engine {
    /// Queues everything anew, for a broker that may have lost it: rooms first, the house last.
    pub fn publish_all(&mut self) {
        let now = self.latest;
        self.publish_everything(now);
    }

    pub(crate) fn publish_everything(&mut self, now: Moment) {
        self.touched = Touched::default();
        for room in 0..self.rooms.len() {
            self.effects.push_back(Effect::Room(self.room_view(room)));
        }
        for index in 0..self.devices.len() {
            self.say_device(device_index(index), now);
        }
        for index in 0..self.people.len() {
            self.people[index].published_at = Some(now);
            self.effects.push_back(Effect::Person(self.person_view(index, now)));
        }
        self.say_house();
    }

    /// Judges everybody without saying a word: what a restart restored is not news.
    pub(crate) fn settle_people(&mut self, now: Moment) {
        for room in &mut self.rooms {
            room.people.clear();
        }
        self.house.home.clear();
        self.house.undecided.clear();
        for index in 0..self.people.len() {
            let state = self.judge(index, now);
            self.enter(index, state);
        }
        self.judge_house(now);
    }

    fn judge(&self, index: usize, now: Moment) -> PersonState {
        let stale = |device: &Device| device.memory.stale_since(&self.aps, &self.exits, &self.timing, now);
        self.people[index].judge(&self.devices, stale, &self.timing, now)
    }

    /// Enters a person's new state where others look.
    fn enter(&mut self, index: usize, state: PersonState) {
        let before = std::mem::replace(&mut self.people[index].state, state);
        if let Some(room) = before.room {
            self.rooms[room].people.remove(&index);
        }
        if let Some(room) = state.room {
            self.rooms[room].people.insert(index);
        }
        match state.home {
            Home::Home => self.house.home.insert(index),
            Home::Away | Home::Undecided => self.house.home.remove(&index),
        };
        match state.home {
            Home::Undecided => self.house.undecided.insert(index),
            Home::Away | Home::Home => self.house.undecided.remove(&index),
        };
    }

    /// Whether somebody may be in any room: nobody knows of one of them yet.
    pub(crate) fn is_anybody_undecided(&self) -> bool {
        self.house.undecided.iter().any(|person| self.people[*person].detail == Detail::Rooms)
    }

    fn judge_house(&mut self, now: Moment) {
        let is_assumed = self.assumed_by(now).is_some();
        match self.house.judge(!self.people.is_empty(), is_assumed, now) {
            Hold::Begin => self.timers.set(Timer::HouseEmpty, now.after(self.timing.empty_hold_ms)),
            Hold::End => self.timers.stop(Timer::HouseEmpty),
            Hold::Keep => {}
        }
    }

    /// Says what the input changed.
    pub(crate) fn flush(&mut self, now: Moment) {
        self.latest = now;
        let mut touched = std::mem::take(&mut self.touched);
        for device in touched.devices.drain(..) {
            if self.is_news(device, now) {
                self.say_device(device, now);
            }
            if let Some(person) = self.devices[device.0 as usize].person {
                touched.people.push(person);
            }
        }
        touched.people.sort_unstable();
        touched.people.dedup();
        for person in touched.people.drain(..) {
            self.flush_person(person, &mut touched.rooms, &mut touched.house, now);
        }
        touched.rooms.sort_unstable();
        touched.rooms.dedup();
        for room in touched.rooms.drain(..) {
            self.effects.push_back(Effect::Room(self.room_view(room)));
        }
        if std::mem::take(&mut touched.house) {
            self.judge_house(now);
            if self.house.published.as_ref().is_none_or(|before| !is_same_house(before, &self.house_view())) {
                self.say_house();
            }
        }
        // The vectors keep their room for the next input.
        self.touched = touched;
    }

    fn flush_person(&mut self, index: usize, rooms: &mut Vec<usize>, house: &mut bool, now: Moment) {
        let before = self.people[index].state;
        let was_undecided = self.is_anybody_undecided();
        let mut state = self.judge(index, now);
        let is_moved = (state.home, state.room) != (before.home, before.room);
        let said = self.people[index].published_at;
        let is_due = said.is_none_or(|said| now.since(said) >= CONFIDENCE_EVERY_MS);
        let is_surer = state.confidence.abs_diff(before.confidence) >= CONFIDENCE_STEP && is_due;
        if !is_moved && !is_surer {
            state.confidence = before.confidence;
        }
        if state == before && said.is_some() {
            return;
        }
        self.enter(index, state);
        if was_undecided && !self.is_anybody_undecided() {
            rooms.extend(0..self.rooms.len());
        }
        if is_moved {
            *house |= state.home != before.home;
            rooms.extend(before.room);
            rooms.extend(state.room);
        }
        self.people[index].published_at = Some(now);
        let view = self.person_view(index, now);
        let moved = is_moved.then(|| self.moved(&before, &view, now)).flatten();
        self.effects.push_back(Effect::Person(view));
        self.effects.extend(moved.map(Effect::Moved));
    }

    /// The event that goes with a move; what was never decided before did not move.
    fn moved(&self, before: &PersonState, now: &PersonView, at: Moment) -> Option<Moved> {
        let kind = match (before.home, now.home) {
            (Home::Away, Home::Home) => MovedKind::Arrived,
            (Home::Home, Home::Away) => MovedKind::Left,
            (Home::Home, Home::Home) => MovedKind::ChangedRoom,
            _ => return None,
        };
        let from_room = before.room.map(|room| &self.rooms[room]);
        let name = |home: Home, room: Option<&String>| match (home, room) {
            (Home::Away, _) => ROOM_AWAY.to_owned(),
            (_, Some(room)) => room.clone(),
            (Home::Home, None) if now.home_only => ROOM_HOME.to_owned(),
            (Home::Home | Home::Undecided, None) => ROOM_UNCLEAR.to_owned(),
        };
        Some(Moved {
            person: now.id.clone(),
            name: now.name.clone(),
            kind,
            from: from_room.map(|room| room.id.clone()),
            to: now.room.clone(),
            from_name: name(before.home, from_room.map(|room| &room.name)),
            to_name: name(now.home, now.room_name.as_ref()),
            because: now.because.clone(),
            at,
        })
    }

    /// Whether a reading alone changed a device by enough to be said.
    pub(crate) fn is_worth_saying(&self, device: DeviceIndex, now: Moment) -> bool {
        let known = &self.devices[device.0 as usize];
        let Some(said) = &self.published_devices[device.0 as usize] else { return false };
        let signal_dbm = known.memory.current().and_then(|claim| claim.signal.last_dbm());
        if is_step(said.signal_dbm, signal_dbm) && now.since(said.at) >= SIGNAL_EVERY_MS {
            return true;
        }
        let Some(person) = known.person.map(|person| &self.people[person]) else { return false };
        let confidence = known.memory.rooms.confidence_at(now);
        let is_surer = confidence.abs_diff(person.state.confidence) >= CONFIDENCE_STEP;
        let is_due = person.published_at.is_none_or(|said| now.since(said) >= CONFIDENCE_EVERY_MS);
        // Of several devices, the one that moves with the person may be another now.
        (is_surer && is_due) || person.devices.len() > 1
    }

    fn is_news(&self, device: DeviceIndex, now: Moment) -> bool {
        let memory = &self.devices[device.0 as usize].memory;
        let Some(said) = &self.published_devices[device.0 as usize] else { return true };
        let signal_dbm = memory.current().and_then(|claim| claim.signal.last_dbm());
        said.state != memory.device_state()
            || said.association != memory.association
            || said.room != self.room_of(&self.devices[device.0 as usize])
            || (is_step(said.signal_dbm, signal_dbm) && now.since(said.at) >= SIGNAL_EVERY_MS)
    }

    fn say_device(&mut self, device: DeviceIndex, now: Moment) {
        let known = &self.devices[device.0 as usize];
        let memory = &known.memory;
        self.published_devices[device.0 as usize] = Some(PublishedDevice {
            state: memory.device_state(),
            association: memory.association,
            room: self.room_of(known),
            signal_dbm: memory.current().and_then(|claim| claim.signal.last_dbm()),
            at: now,
        });
        self.effects.push_back(Effect::Device(self.device_view(device, now)));
    }

    fn say_house(&mut self) {
        let view = self.house_view();
        self.house.published = Some(view.clone());
        self.effects.push_back(Effect::House(view));
    }

    /// Whether only home or away is to be known of a device's person.
    pub(crate) fn is_home_only(&self, device: &Device) -> bool {
        device.person.is_some_and(|person| self.people[person].detail == Detail::HomeOnly)
    }

    pub(crate) fn room_of(&self, device: &Device) -> Option<usize> {
        device.memory.rooms.room().filter(|_| !self.is_home_only(device))
    }
}

fn is_step(before: Option<i8>, now: Option<i8>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => before.abs_diff(now) >= SIGNAL_STEP_DB,
        (before, now) => before != now,
    }
}

/// Whether two views of the house would be published alike.
fn is_same_house(one: &HouseView, other: &HouseView) -> bool {
    (one.state, &one.people, one.guests, &one.problems)
        == (other.state, &other.people, other.guests, &other.problems)
}
