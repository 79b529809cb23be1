//! Things as others see them: the views that effects carry, and the page's view of everything.

use whichroom_wire::aggregator::HouseState;
use whichroom_wire::{Host, Mac};

use crate::Moment;
use crate::device::{Device, State};
use crate::engine::{Engine, device_index};
use crate::output::{
    AccessPointView, AddressView, DeviceView, Home, HouseView, LikelyRooms, PersonView, Reason, RoomView,
    UnknownView, View,
};
use crate::reasons::{Words, duration};
use crate::setup::{Counts, Detail};
use crate::timers::DeviceIndex;

/// Unknown devices in a view.
const UNKNOWN_MAX: usize = 100;

impl Engine {
    pub(crate) fn words(&self, anonymous: bool, now: Moment) -> Words<'_> {
        Words { aps: &self.aps, exits: &self.exits, timing: &self.timing, now, anonymous }
    }

    pub(crate) fn person_view(&self, index: usize, now: Moment) -> PersonView {
        let person = &self.people[index];
        let state = &person.state;
        let home_only = person.detail == Detail::HomeOnly;
        let device = state.device.map(|device| &self.devices[device]);
        let mut because = match device {
            Some(device) => self.words(home_only, now).device(device),
            None => vec![Reason("none of their devices was seen yet".to_owned())],
        };
        if person.devices.len() > 1 {
            if let (Some(device), Some(first)) = (device, because.first_mut()) {
                first.0 = format!("{}: {}", device.name, first.0);
            }
        }
        if state.home == Home::Away {
            for other in person.left_behind(&self.devices, &self.timing, now) {
                let name = &other.name;
                because.push(Reason(format!(
                    "{name} stayed, and has not been moved since: until it is, it does not count"
                )));
            }
        }
        if state.home == Home::Home {
            because.extend(self.keeps_home(index, now));
        }
        let room = state.room.map(|room| &self.rooms[room]);
        PersonView {
            id: person.id.clone(),
            name: person.name.clone(),
            home: state.home,
            room: room.map(|room| room.id.clone()),
            room_name: room.map(|room| room.name.clone()),
            home_only,
            confidence: state.confidence,
            since: state.since,
            home_since: state.home_since,
            because,
            stale_since: state.stale_since,
            device: device.map(|device| device.id.clone()),
        }
    }

    /// Of a person who is home although one of their devices left: which other keeps them there.
    fn keeps_home(&self, index: usize, now: Moment) -> Option<Reason> {
        let person = &self.people[index];
        let owned = || person.devices.iter().map(|device| &self.devices[*device]);
        let counts = |device: &&Device| device.counts == Counts::Always;
        let is_gone = |device: &&Device| matches!(device.memory.state, State::Absent(Some(_)));
        let gone = owned().filter(counts).find(is_gone)?;
        let there = owned().filter(counts).find(|device| device.memory.is_there())?;
        let ago = duration(now.since(gone.memory.since));
        Some(Reason(format!("{} left {ago} ago; {} keeps {} home", gone.name, there.name, person.name)))
    }

    pub(crate) fn room_view(&self, index: usize) -> RoomView {
        let room = &self.rooms[index];
        let people: Vec<String> =
            room.people.iter().map(|person| self.people[*person].name.clone()).collect();
        let occupied = (!people.is_empty() || !self.is_anybody_undecided()).then_some(!people.is_empty());
        let place = self.places.get(index);
        RoomView {
            id: room.id.clone(),
            name: room.name.clone(),
            occupied,
            people,
            floor: place.and_then(|place| place.floor),
            outdoor: room.outdoor,
        }
    }

    /// Where every device may be whose whereabouts may be known.
    pub fn likely_rooms(&self) -> Vec<LikelyRooms> {
        let known = self.devices.iter().filter(|device| !self.is_home_only(device));
        known
            .filter_map(|device| Some((device.memory.mac()?, &device.memory.rooms)))
            .map(|(mac, rooms)| {
                let mut likely = rooms.candidates();
                if likely.is_empty() {
                    likely.extend(rooms.room().map(|room| (room, rooms.confidence())));
                }
                let in_steps = likely.into_iter().map(|(room, percent)| (room, (percent + 2) / 5 * 5));
                let named = in_steps.filter(|(_, percent)| *percent > 0);
                LikelyRooms {
                    mac,
                    rooms: named.map(|(room, percent)| (self.rooms[room].id.clone(), percent)).collect(),
                }
            })
            .collect()
    }

    pub(crate) fn device_view(&self, index: DeviceIndex, now: Moment) -> DeviceView {
        let device = &self.devices[index.0 as usize];
        let memory = &device.memory;
        let home_only = self.is_home_only(device);
        let room = self.room_of(device).map(|room| &self.rooms[room]);
        let place = memory.association.filter(|_| !home_only);
        DeviceView {
            id: device.id.clone(),
            name: device.name.clone(),
            person: device.person.map(|person| self.people[person].id.clone()),
            state: memory.device_state(),
            ap: place.map(|place| self.aps[place.ap.0 as usize].id.clone()),
            bssid: place.map(|place| place.bssid),
            mac: memory.mac(),
            signal_dbm: memory.current().and_then(|claim| claim.signal.last_dbm()).filter(|_| !home_only),
            room: room.map(|room| room.id.clone()),
            room_name: room.map(|room| room.name.clone()),
            since: memory.since,
            last_heard: memory.heard_at,
            heard: memory.hearing.heard(),
            because: self.words(home_only, now).device(device),
        }
    }

    pub(crate) fn house_view(&self) -> HouseView {
        let house = &self.house;
        let people: Vec<String> = house.home.iter().map(|person| self.people[*person].name.clone()).collect();
        let because = match house.state {
            HouseState::Occupied if house.home.is_empty() => match self.assumed_by(self.latest) {
                Some(ap) => {
                    format!("nobody was seen, but {} does not report", self.aps[ap.0 as usize].name)
                }
                None => "nobody is home, but not for long enough".to_owned(),
            },
            HouseState::Occupied => match people.as_slice() {
                [only] => format!("{only} is home"),
                several => format!("{} people are home", several.len()),
            },
            HouseState::Empty => "everybody is away".to_owned(),
            HouseState::Undecided if self.people.is_empty() => "no people are configured".to_owned(),
            HouseState::Undecided => match house.undecided.first() {
                Some(only) if house.undecided.len() == 1 => {
                    format!("{} was neither seen nor missed yet", self.people[*only].name)
                }
                _ => format!("{} people were neither seen nor missed yet", house.undecided.len()),
            },
        };
        let blind = self.aps.iter().filter_map(|ap| ap.state.said.as_ref());
        let problems = self.broker_problem.iter().chain(blind).map(|problem| problem.text.clone()).collect();
        HouseView {
            state: house.state,
            since: house.since,
            people,
            guests: house.guests,
            because: vec![Reason(because)],
            problems,
        }
    }

    /// Everything, for the page.
    pub fn view(&self, now: Moment) -> View {
        let configured = self.aps.iter().enumerate().filter(|(_, ap)| ap.configured);
        let mut others: Vec<_> = self.aps.iter().enumerate().filter(|(_, ap)| !ap.configured).collect();
        others.sort_by(|(_, one), (_, other)| one.id.cmp(&other.id));
        View {
            house: self.house_view(),
            people: (0..self.people.len()).map(|index| self.person_view(index, now)).collect(),
            rooms: (0..self.rooms.len()).map(|index| self.room_view(index)).collect(),
            devices: (0..self.devices.len())
                .map(|index| self.device_view(device_index(index), now))
                .collect(),
            addresses: self.addresses(),
            access_points: configured.chain(others).map(|(index, _)| self.ap_view(index, now)).collect(),
            unknown: self.unknown(),
            problems: self.problems.iter().cloned().collect(),
            heard: self.heard(),
            calibrations: self.calibrations(),
            samples_revision: self.samples_revision,
        }
    }

    fn ap_view(&self, index: usize, now: Moment) -> AccessPointView {
        let ap = &self.aps[index];
        let state = &ap.state;
        let room = &self.rooms[ap.room];
        let status = state.status.as_ref();
        AccessPointView {
            id: ap.id.clone(),
            name: ap.name.clone(),
            room: room.id.clone(),
            room_name: room.name.clone(),
            exit: ap.exit,
            link: state.link(now, &self.timing),
            last_live: state.last_live,
            given_up: ap.is_given_up(now, &self.timing),
            version: status.map(|status| status.version.clone()).filter(|version| !version.is_empty()),
            sources: status.map(|status| status.sources.clone()).unwrap_or_default(),
            problems: status.map(|status| status.problems.clone()).unwrap_or_default(),
            release: status.and_then(|status| status.release.clone()),
            radios: state.radios.clone(),
            stations: state.stations,
            rejected: state.rejected,
            last_rejected: state.last_rejected.clone(),
            duplicates: state.duplicates,
            gaps: state.gaps,
        }
    }

    /// Addresses of the configured devices.
    pub fn addresses(&self) -> Vec<AddressView> {
        let of = |(mac, index): (&Mac, &DeviceIndex)| {
            let device = &self.devices[index.0 as usize];
            let home_only = self.is_home_only(device);
            AddressView { device: device.id.clone(), mac: *mac, host: self.host(*mac), home_only }
        };
        self.device_by_mac.iter().map(of).collect()
    }

    /// What routers know of an address; the one that knows its name is believed.
    fn host(&self, mac: Mac) -> Option<Host> {
        let known = || self.aps.iter().flat_map(|ap| &ap.state.hosts).filter(|host| host.mac == mac);
        known().find(|host| host.name.is_some()).or_else(|| known().next()).cloned()
    }

    fn unknown(&self) -> Vec<UnknownView> {
        let all = (0..self.aps.len()).flat_map(|index| {
            let ap = &self.aps[index];
            ap.state.strangers.iter().map(move |(mac, stranger)| (ap, *mac, stranger))
        });
        let kind =
            |ssid: Option<&str>| ssid.and_then(|ssid| self.ssids.get(ssid)).copied().unwrap_or_default();
        let shown = all.take(UNKNOWN_MAX).map(|(ap, mac, stranger)| UnknownView {
            mac,
            ap: ap.id.clone(),
            ssid: ap.state.ssid(stranger.bssid).map(str::to_owned),
            kind: kind(ap.state.ssid(stranger.bssid)),
            host: self.host(mac),
            since: stranger.since,
            fixture: self.acquaintances.is_fixture(mac),
            signal_dbm: stranger.signal_dbm,
        });
        shown.collect()
    }
}
