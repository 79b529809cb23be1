//! What goes into the history: associations and signals from what the access points said, stays from what was decided
//! of people. The main loop hands both over and passes the entries on to [`History`](super::History).
//!
//! Configured devices are watched for thrashing on the way. Somebody of whom only home or away is to be known leaves no
//! trace here: neither stays, nor what their devices did.

use std::collections::{BTreeMap, BTreeSet};

use whichroom_presence::Moment;
use whichroom_presence::output::{Effect, Fact, Home, LikelyRooms, PersonView, Witnessed};
use whichroom_presence::setup::{Detail, DeviceSetup, Setup};
use whichroom_roaming::{
    NamedDevice, Parameters, Row, Site, Snapshot, Span, Thrashing, ThrashingWatch, Time, Tracker,
};
use whichroom_wire::{Id, Mac, Station};

use super::{Entry, Likely, Stay};

/// The history's author.
pub struct Chronicle {
    tracker: Tracker,
    thrashing: ThrashingWatch,
    private: BTreeSet<Mac>,
    stays: BTreeMap<Id, (bool, Option<Id>)>,
    /// Where devices may be, as was told last.
    likely: BTreeMap<Mac, Vec<(Id, u8)>>,
    /// The minute of that.
    likely_at: Option<Time>,
    entries: Vec<Entry>,
}

impl Chronicle {
    /// An author who knows nothing, or which associations lasted when the state was saved.
    pub fn new(setup: &Setup, snapshot: Option<Snapshot>, now: Time) -> Chronicle {
        let mut chronicle = Chronicle {
            tracker: Tracker::new(snapshot, now),
            thrashing: ThrashingWatch::new(Parameters::default()),
            private: BTreeSet::new(),
            stays: BTreeMap::new(),
            likely: BTreeMap::new(),
            likely_at: None,
            entries: Vec::new(),
        };
        chronicle.handle_setup(setup);
        chronicle
    }

    /// Another configuration. Of whom no history is to be kept from now on, what there is goes.
    pub fn handle_setup(&mut self, setup: &Setup) {
        let private: Vec<_> =
            setup.people.iter().filter(|person| person.detail == Detail::HomeOnly).collect();
        let devices = private.iter().flat_map(|person| &person.devices);
        self.private = devices.flat_map(|device| device.macs.iter().copied()).collect();
        self.tracker.set_devices(&site_of(setup));
        self.thrashing.set_devices(watched(setup).map(|device| (device.id.clone(), device.macs.clone())));
        if !private.is_empty() {
            let people = private.iter().map(|person| person.id.clone()).collect();
            self.entries.push(Entry::Erase { people, macs: self.private.clone() });
        }
    }

    /// Something that counted; `time` puts the core's moments on the wall clock.
    pub fn handle_witnessed(&mut self, witnessed: Witnessed, time: impl Fn(Moment) -> Time) {
        let Witnessed { ap, at, fact } = witnessed;
        let at = time(at);
        match fact {
            Fact::Restarted => self.tracker.handle_restart(&ap, at),
            Fact::Radios(radios) => self.tracker.handle_radios(&ap, &radios, at),
            Fact::Table(mut stations) => {
                stations.retain(|station| !self.is_private(station));
                self.tracker.handle_table(&ap, &stations, at);
            }
            Fact::Event { mac, .. } if self.private.contains(&mac) => {}
            Fact::Event { mac, bssid, change } => self.tracker.handle_event(&ap, mac, bssid, &change, at),
        }
        self.take_rows();
    }

    /// Something that was decided.
    pub fn handle_effect(&mut self, effect: &Effect, time: impl Fn(Moment) -> Time) {
        let Effect::Person(person) = effect else { return };
        let Some(stay) = stay_of(person, time) else { return };
        let place = (stay.home, stay.room.clone());
        if self.stays.get(&stay.person) != Some(&place) {
            self.stays.insert(stay.person.clone(), place);
            self.entries.push(Entry::Stay(stay));
        }
    }

    /// Asks once a minute where devices may be. Only what is another than before is kept: a phone that sleeps costs
    /// nothing.
    pub fn handle_likely_rooms(&mut self, likely: impl FnOnce() -> Vec<LikelyRooms>, now: Time) {
        let minute = now.minute();
        if self.likely_at.replace(minute) == Some(minute) {
            return;
        }
        let mut before = std::mem::take(&mut self.likely);
        for LikelyRooms { mac, rooms } in likely() {
            let was = before.remove(&mac);
            if self.private.contains(&mac) || (was.is_none() && rooms.is_empty()) {
                continue;
            }
            if was.as_ref() != Some(&rooms) {
                self.entries.push(Entry::Likely(Likely { mac, minute, rooms: rooms.clone() }));
            }
            self.likely.insert(mac, rooms);
        }
        // It has another address now, or is no longer known.
        let ended = before.into_iter().filter(|(_, rooms)| !rooms.is_empty());
        self.entries.extend(ended.map(|(mac, _)| Entry::Likely(Likely { mac, minute, rooms: Vec::new() })));
    }

    /// Time went by: call it when [`Chronicle::poll_timeout`] says.
    pub fn handle_timeout(&mut self, now: Time) {
        self.tracker.handle_timeout(now);
        self.take_rows();
        self.thrashing.handle_timeout(now);
    }

    /// What the history holds of the last associations, so that who thrashed before a restart goes on doing so.
    pub fn handle_past(&mut self, spans: &[Span]) {
        for (position, span) in spans.iter().enumerate().filter(|(_, span)| span.ended.is_some()) {
            let next = spans.get(position + 1).filter(|next| next.mac == span.mac);
            self.thrashing.handle_span(span, next);
        }
    }

    /// A device that began to thrash, goes on, or stopped. Ask after [`Chronicle::handle_timeout`].
    pub fn poll_thrashing(&mut self, now: Time) -> Option<(Id, Option<Thrashing>)> {
        self.thrashing.poll_change(now)
    }

    /// When to call [`Chronicle::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        let tracker = self.tracker.poll_timeout().map(|(at, _)| at);
        [tracker, self.thrashing.poll_timeout()].into_iter().flatten().min()
    }

    /// What is to be kept.
    pub fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// Associations that last, as far as is known now.
    pub fn open(&self) -> impl Iterator<Item = Entry> {
        let is_kept = |span: &&Span| !self.private.contains(&span.mac);
        self.tracker.open_spans().filter(is_kept).map(|span| Entry::Row(Row::Span(span.clone())))
    }

    /// Those of [`Chronicle::open`] that began since this was called last.
    pub fn take_begun(&mut self) -> Vec<Entry> {
        let begun = std::iter::from_fn(|| self.tracker.poll_begun());
        let kept = begun.filter(|span| !self.private.contains(&span.mac));
        kept.map(|span| Entry::Row(Row::Span(span))).collect()
    }

    /// For the state file.
    pub fn snapshot(&self) -> Snapshot {
        self.tracker.snapshot()
    }

    fn is_private(&self, station: &Station) -> bool {
        let is_one = |mac: &Mac| self.private.contains(mac);
        is_one(&station.mac) || station.mld.as_ref().is_some_and(is_one)
    }

    fn take_rows(&mut self) {
        while let Some(row) = self.tracker.poll_row() {
            let is_private = match &row {
                // What lasted when its owner became private ends afterwards.
                Row::Span(span) => self.private.contains(&span.mac),
                Row::Signal(signal) => self.private.contains(&signal.mac),
                Row::Radio(_) => false,
            };
            if let Row::Span(span) = &row {
                self.thrashing.handle_span(span, self.tracker.open_span(span.mac));
            }
            if !is_private {
                self.entries.push(Entry::Row(row));
            }
        }
    }
}

/// Where somebody is, if that is decided and may be kept.
fn stay_of(person: &PersonView, time: impl Fn(Moment) -> Time) -> Option<Stay> {
    let home = match person.home {
        Home::Home => true,
        Home::Away => false,
        Home::Undecided => return None,
    };
    let is_kept = !person.home_only;
    is_kept.then(|| Stay {
        person: person.id.clone(),
        begin: time(person.since),
        home,
        room: person.room.clone(),
    })
}

/// The devices whose roaming may be told of: those of people of whom more than home or away is to be known, and
/// nobody's.
fn watched(setup: &Setup) -> impl Iterator<Item = &DeviceSetup> {
    let people = setup.people.iter().filter(|person| person.detail != Detail::HomeOnly);
    people.flat_map(|person| &person.devices).chain(&setup.devices)
}

/// The home's names, for the tracker and for reports.
pub fn site_of(setup: &Setup) -> Site {
    let named = |device: &DeviceSetup| NamedDevice { name: device.name.clone(), macs: device.macs.clone() };
    let of_people = setup.people.iter().flat_map(|person| &person.devices);
    Site {
        aps: setup.access_points.iter().map(|ap| (ap.id.clone(), ap.name.clone())).collect(),
        devices: of_people.chain(&setup.devices).map(named).collect(),
        power_limits_dbm: BTreeMap::new(),
    }
}
