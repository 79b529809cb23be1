//! The whole machine: messages, time and setup in; effects, a view and a snapshot out.
//!
//! The shell calls one `handle_*` at a time with the present moment, then drains [`Engine::poll_effect`] fully, then
//! waits for the next message or for [`Engine::poll_timeout`]. Two engines that are given the same calls give the
//! same effects. `ingest` reads messages, `decide` draws conclusions, `publish` says them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use whichroom_wire::{Id, Mac};

use crate::Moment;
use crate::access_point::{AccessPoint, ApState};
use crate::acquaintances::Acquaintances;
use crate::calibration::Samples;
use crate::collecting::{Calibrated, Collecting};
use crate::device::{Device, Memory};
use crate::house::House;
use crate::nights::Nights;
use crate::output::{Effect, Problem, Witnessed};
use crate::person::{Person, PersonState};
use crate::publish::{PublishedDevice, Touched};
use crate::rooms::{Model, Place, Receiver};
use crate::setup::{DeviceSetup, RoomSetup, Setup, SsidKind, Timing};
use crate::snapshot::Snapshot;
use crate::timers::{ApIndex, DeviceIndex, Timer, Timers};

/// Access points that are remembered: their number is in the hands of whoever may publish to the broker.
pub(crate) const ACCESS_POINTS_MAX: usize = 4096;

/// BSSs the agents are told: a campus has more, and their reports are not filtered.
const BSSIDS_TOLD_MAX: usize = 1024;

/// Who is home and in which room.
#[derive(Debug)]
pub struct Engine {
    pub(crate) timing: Timing,
    pub(crate) ssids: BTreeMap<String, SsidKind>,
    pub(crate) rooms: Vec<Room>,
    /// As they were set up; the first of `rooms`, in the same order.
    pub(crate) places: Vec<Place>,
    /// What the rooms of devices are judged by.
    pub(crate) model: Model,
    pub(crate) aps: Vec<AccessPoint>,
    pub(crate) ap_by_id: BTreeMap<Id, ApIndex>,
    /// APs people leave home past.
    pub(crate) exits: Vec<ApIndex>,
    pub(crate) devices: Vec<Device>,
    pub(crate) published_devices: Vec<Option<PublishedDevice>>,
    pub(crate) device_by_mac: BTreeMap<Mac, DeviceIndex>,
    /// Devices on the way to being away: they depend on APs they are not on.
    pub(crate) fading: BTreeSet<DeviceIndex>,
    pub(crate) people: Vec<Person>,
    pub(crate) house: House,
    pub(crate) nights: Nights,
    pub(crate) acquaintances: Acquaintances,
    /// Addresses of the home's own BSSs, and whose they are: no strangers.
    pub(crate) bssids: BTreeMap<Mac, ApIndex>,
    pub(crate) bssids_revision: u64,
    pub(crate) problems: BTreeSet<Problem>,
    pub(crate) broker_problem: Option<Problem>,
    pub(crate) started: Moment,
    /// The latest moment that was handed in.
    pub(crate) latest: Moment,
    pub(crate) timers: Timers,
    pub(crate) effects: VecDeque<Effect>,
    /// What counted, if anybody wants to know.
    pub(crate) witnessed: Option<VecDeque<Witnessed>>,
    pub(crate) touched: Touched,
    pub(crate) samples: Samples,
    pub(crate) samples_revision: u64,
    /// Calibrations that listen.
    pub(crate) calibrating: BTreeMap<DeviceIndex, Collecting>,
    /// What became of the last one of a device.
    pub(crate) calibrated: BTreeMap<DeviceIndex, Calibrated>,
    /// Requests to agents so far: they are numbered.
    pub(crate) requests: u64,
}

/// A room and who is in it, by position among the people.
#[derive(Debug)]
pub(crate) struct Room {
    pub id: Id,
    pub name: String,
    /// In the open: nobody sleeps there.
    pub outdoor: bool,
    pub people: BTreeSet<usize>,
}

impl Engine {
    /// An engine for a home; what `restored` knows of it still holds. Nothing is published yet: call
    /// [`Engine::publish_all`] when there is somebody to publish to.
    pub fn new(setup: Setup, restored: Option<Snapshot>, now: Moment) -> Engine {
        let mut engine = Engine::build(setup, now);
        if let Some(snapshot) = restored {
            engine.restore(snapshot, now);
        }
        engine.arm(now);
        engine.settle_people(now);
        engine
    }

    fn build(setup: Setup, now: Moment) -> Engine {
        let Setup { access_points, rooms, people, devices, ssids, timing } = setup;
        let mut places: Vec<Place> = rooms.iter().map(place_of).collect();
        for ap in &access_points {
            let place = ap.room.as_ref().and_then(|room| places.iter_mut().find(|place| place.id == *room));
            if let Some(place) = place {
                place.floor = place.floor.or(ap.floor);
            }
        }
        let rooms = rooms.into_iter().map(|room| Room {
            id: room.id,
            name: room.name,
            outdoor: room.outdoor,
            people: BTreeSet::new(),
        });
        let mut engine = Engine {
            timing,
            places,
            model: Model::default(),
            ssids: ssids.into_iter().map(|ssid| (ssid.name, ssid.kind)).collect(),
            rooms: rooms.collect(),
            aps: Vec::new(),
            ap_by_id: BTreeMap::new(),
            exits: Vec::new(),
            devices: Vec::new(),
            published_devices: Vec::new(),
            device_by_mac: BTreeMap::new(),
            fading: BTreeSet::new(),
            people: Vec::new(),
            house: House::new(now),
            nights: Nights::new(now),
            acquaintances: Acquaintances::default(),
            bssids: BTreeMap::new(),
            bssids_revision: 0,
            problems: BTreeSet::new(),
            broker_problem: None,
            started: now,
            latest: now,
            timers: Timers::default(),
            effects: VecDeque::new(),
            witnessed: None,
            touched: Touched::default(),
            samples: Samples::default(),
            samples_revision: 0,
            calibrating: BTreeMap::new(),
            calibrated: BTreeMap::new(),
            requests: 0,
        };
        for ap in access_points {
            let own = ap.room.is_none();
            let room_id = ap.room.unwrap_or_else(|| ap.id.clone());
            let room = engine.room_or_new(&room_id, if own { ap.name.clone() } else { name_of(&room_id) });
            engine.add_ap(ap.id, ap.name, room, ap.exit, true, now);
        }
        for (position, person) in people.into_iter().enumerate() {
            let devices =
                person.devices.into_iter().map(|device| engine.add_device(device, Some(position), now));
            let devices = devices.collect();
            let state = PersonState::new(now);
            let person = Person {
                id: person.id,
                name: person.name,
                detail: person.detail,
                devices,
                state,
                published_at: None,
            };
            engine.people.push(person);
        }
        for device in devices {
            engine.add_device(device, None, now);
        }
        engine.learn_rooms();
        engine
    }

    /// Builds anew what the rooms of devices are judged by: rooms, APs or samples changed.
    pub(crate) fn learn_rooms(&mut self) {
        let more = self.rooms[self.places.len()..].iter().map(|room| Place::unknown(room.id.clone()));
        self.places.extend(more);
        let receivers = self.aps.iter().map(|ap| Receiver { id: ap.id.clone(), room: ap.room });
        self.model = Model::new(&self.places, &receivers.collect::<Vec<_>>(), self.samples.list());
        self.tell_classes();
    }

    /// What the model is to know of the APs' channels.
    fn tell_classes(&mut self) {
        for (index, ap) in self.aps.iter().enumerate() {
            self.model.set_classes(ap_index(index), ap.state.classes(|_| true));
        }
    }

    fn add_device(&mut self, device: DeviceSetup, person: Option<usize>, now: Moment) -> usize {
        let position = self.devices.len();
        let DeviceSetup { id, name, macs, counts } = device;
        for mac in macs {
            self.device_by_mac.insert(mac, device_index(position));
        }
        self.devices.push(Device { id, name, person, counts, memory: Memory::new(now) });
        self.published_devices.push(None);
        position
    }

    fn add_ap(
        &mut self,
        id: Id,
        name: String,
        room: usize,
        exit: bool,
        configured: bool,
        now: Moment,
    ) -> ApIndex {
        let index = ap_index(self.aps.len());
        self.ap_by_id.insert(id.clone(), index);
        if exit {
            self.exits.push(index);
        }
        let outdoor = self.rooms[room].outdoor;
        self.aps.push(AccessPoint { id, name, room, exit, outdoor, configured, state: ApState::new(now) });
        index
    }

    fn room_or_new(&mut self, id: &Id, name: String) -> usize {
        if let Some(position) = self.rooms.iter().position(|room| room.id == *id) {
            return position;
        }
        self.rooms.push(Room { id: id.clone(), name, outdoor: false, people: BTreeSet::new() });
        self.rooms.len() - 1
    }

    /// The AP of an id, new with a room of its own if it is not known; `None` beyond [`ACCESS_POINTS_MAX`].
    pub(crate) fn ap_or_new(&mut self, id: &Id, now: Moment) -> Option<ApIndex> {
        if let Some(index) = self.ap_by_id.get(id) {
            return Some(*index);
        }
        if self.aps.len() >= ACCESS_POINTS_MAX {
            return None;
        }
        let rooms_before = self.rooms.len();
        let room = self.room_or_new(id, name_of(id));
        let index = self.add_ap(id.clone(), name_of(id), room, false, false, now);
        self.model.add_receiver(room, id);
        if self.rooms.len() > rooms_before {
            self.effects.push_back(Effect::NewRoom(self.room_view(room)));
        }
        self.timers.set(Timer::Reporting(index), now.after(self.timing.reporting_ms));
        Some(index)
    }

    /// Sets the timers that the states want.
    fn arm(&mut self, now: Moment) {
        for (index, ap) in self.aps.iter().enumerate() {
            let index = ap_index(index);
            self.timers.set_if_idle(Timer::Reporting(index), now.after(self.timing.reporting_ms));
            if ap.state.blind {
                self.timers.set(Timer::Blind(index), now);
            }
            if ap.state.duplicate_at.is_some() {
                self.timers.set(Timer::Duplicate(index), now);
            }
        }
        for index in 0..self.devices.len() {
            let device = device_index(index);
            self.arm_device(device, now);
            if matches!(self.devices[index].memory.state, crate::device::State::Absent(Some(_))) {
                self.timers.set(Timer::LeftBehind(device), now.after(self.timing.left_behind_ms));
            }
            if self.devices[index].memory.claims.iter().any(|claim| claim.leaving.is_some()) {
                self.timers.set(Timer::Parting(device), now.after(self.timing.debounce_ms));
            }
        }
        self.timers.set_if_idle(Timer::FirstDecision, now.after(self.timing.exit_ms));
        if self.house.empty_from.is_some() {
            self.timers.set(Timer::HouseEmpty, now.after(self.timing.empty_hold_ms));
        }
    }

    /// Another setup. What is known of people, devices and access points that remain is kept.
    pub fn handle_setup(&mut self, setup: Setup, now: Moment) {
        self.interrupt_calibrations();
        let mut next = Engine::build(setup, now);
        let old = std::mem::replace(self, Engine::build(Setup::default(), now));
        next.effects = old.effects;
        next.witnessed = old.witnessed;
        next.started = old.started;
        next.nights = old.nights;
        next.acquaintances = old.acquaintances;
        next.problems = old.problems;
        next.broker_problem = old.broker_problem;
        next.samples = old.samples;
        next.samples_revision = old.samples_revision;
        next.learn_rooms();
        next.requests = old.requests;
        next.house.carry(&old.house);
        let mut ap_now: Vec<Option<ApIndex>> = Vec::new();
        let mut room_now: Vec<Option<usize>> = vec![None; old.rooms.len()];
        for ap in old.aps {
            let index = next.ap_or_new(&ap.id, now);
            if let Some(index) = index {
                let known = &mut next.aps[index.0 as usize];
                room_now[ap.room] = Some(known.room);
                known.state = ap.state;
                known.state.members.clear();
            }
            ap_now.push(index);
        }
        next.tell_classes();
        let bssids = old.bssids.into_iter();
        let moved =
            |(bssid, ap): (Mac, ApIndex)| Some((bssid, ap_now.get(ap.0 as usize).copied().flatten()?));
        next.bssids = bssids.filter_map(moved).collect();
        next.bssids_revision = old.bssids_revision + 1;
        for (position, room) in old.rooms.iter().enumerate() {
            room_now[position] =
                next.rooms.iter().position(|known| known.id == room.id).or(room_now[position]);
        }
        let positions = next.device_positions();
        let device_ids: Vec<Id> = old.devices.iter().map(|device| device.id.clone()).collect();
        for device in old.devices {
            if let Some(position) = positions.get(&device.id) {
                let mut memory = device.memory;
                let owned = |mac: Mac| next.device_by_mac.get(&mac) == Some(&device_index(*position));
                memory.renumber(
                    |ap| ap_now.get(ap.0 as usize).copied().flatten(),
                    |room| room_now[room],
                    owned,
                    now,
                );
                next.devices[*position].memory = memory;
            }
        }
        let old_people: BTreeMap<Id, PersonState> =
            old.people.into_iter().map(|person| (person.id, person.state)).collect();
        for known in &mut next.people {
            let Some(state) = old_people.get(&known.id) else { continue };
            let device = state.device.and_then(|device| positions.get(&device_ids[device]).copied());
            known.state = *state;
            known.state.room = state.room.and_then(|room| room_now[room]);
            known.state.device = device.filter(|device| known.devices.contains(device));
        }
        *self = next;
        self.enlist();
        self.arm(now);
        for index in 0..self.devices.len() {
            let device = device_index(index);
            // A room that was being won goes on being won.
            self.timers.set(Timer::Room(device), now);
            self.settle(
                device,
                crate::device::Evidence::None,
                self.devices[index].memory.association,
                false,
                now,
            );
        }
        self.recount_strangers();
        self.settle_people(now);
        self.publish_everything(now);
    }

    pub(crate) fn device_positions(&self) -> BTreeMap<Id, usize> {
        self.devices.iter().enumerate().map(|(position, device)| (device.id.clone(), position)).collect()
    }

    /// Enters devices with the APs they are on, and those that fade.
    pub(crate) fn enlist(&mut self) {
        for (index, device) in self.devices.iter().enumerate() {
            let index = device_index(index);
            if let Some(association) = device.memory.association {
                self.aps[association.ap.0 as usize].state.members.insert(index);
            }
            if matches!(device.memory.state, crate::device::State::Fading(_)) {
                self.fading.insert(index);
            }
        }
    }

    /// Our own connection to the broker went or came. Meanwhile nothing is watched.
    pub fn handle_broker(&mut self, connected: bool, now: Moment) {
        if connected {
            if let Some(problem) = self.broker_problem.take() {
                self.end_problem(problem);
            }
        } else {
            for ap in &mut self.aps {
                ap.state.close_windows();
            }
            let problem = Problem { ap: None, text: "cannot decide: no connection to the broker".to_owned() };
            self.broker_problem = Some(problem.clone());
            self.begin_problem(problem);
        }
        self.touched.house = true;
        self.flush(now);
    }

    /// Time went by: call it when [`Engine::poll_timeout`] says.
    pub fn handle_timeout(&mut self, now: Moment) {
        while let Some(timer) = self.timers.take_due(now) {
            self.handle_timer(timer, now);
        }
        self.flush(now);
    }

    /// When to call [`Engine::handle_timeout`] next, and what for.
    pub fn poll_timeout(&self) -> Option<(Moment, Timer)> {
        self.timers.next()
    }

    /// The next thing to do; drain fully after each `handle_*`.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// From now on, [`Engine::poll_witnessed`] gives what counted of the agents' messages, for a history.
    pub fn witness_all(&mut self) {
        self.witnessed.get_or_insert_default();
    }

    /// What an access point said that counted; after [`Engine::witness_all`], drain fully after each `handle_*`.
    pub fn poll_witnessed(&mut self) -> Option<Witnessed> {
        self.witnessed.as_mut()?.pop_front()
    }

    /// The home's own BSSs, in order; none while they are too many to be told.
    pub fn bssids(&self) -> Vec<Mac> {
        if self.bssids.len() > BSSIDS_TOLD_MAX { Vec::new() } else { self.bssids.keys().copied().collect() }
    }

    /// Counts the BSSs that were met: what was told at another count is outdated.
    pub fn bssids_revision(&self) -> u64 {
        self.bssids_revision
    }

    /// The addresses whose probes the agents are to publish, in order.
    pub fn tracked(&self) -> Vec<Mac> {
        self.device_by_mac.keys().copied().collect()
    }
}

fn place_of(room: &RoomSetup) -> Place {
    let RoomSetup { id, adjoins, floor, outdoor, name: _ } = room;
    Place { id: id.clone(), adjoins: adjoins.clone(), floor: *floor, outdoor: *outdoor }
}

/// The name of what only has an id: "living-room" becomes "Living room".
pub(crate) fn name_of(id: &Id) -> String {
    let text = id.as_str().replace('-', " ");
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// Positions are far below 2³²: a list of more would not fit into memory.
pub(crate) fn ap_index(position: usize) -> ApIndex {
    ApIndex(u32::try_from(position).unwrap_or(u32::MAX))
}

/// As [`ap_index`].
pub(crate) fn device_index(position: usize) -> DeviceIndex {
    DeviceIndex(u32::try_from(position).unwrap_or(u32::MAX))
}
