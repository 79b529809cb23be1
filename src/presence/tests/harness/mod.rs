//! A home in virtual time: access points that write real messages, an engine that reads them, and a diary of what
//! it said. Each second the clock moves, timers that are due are handled, and each AP sends its table every 30 s.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "each test file uses its own part of this, and a failed unwrap is a failed test"
)]

use whichroom_presence::output::{DeviceView, Effect, Home as At, Moved, PersonView, View};
use whichroom_presence::setup::{
    AccessPointSetup, Counts, Detail, DeviceSetup, PersonSetup, RoomSetup, Setup, SsidKind, SsidSetup, Timing,
};
use whichroom_presence::{Engine, Moment, Snapshot};
use whichroom_wire::{
    Change, Event, EventWhat, Events, Id, Mac, Radio, Radios, Stamp, State, Station, Stations, Status, encode,
};

/// Ann's phone, on the family network and on the guests'.
pub const ANN: Mac = Mac::new([2, 0, 0, 0, 0, 1]);
pub const ANN_GUEST: Mac = Mac::new([2, 0, 0, 0, 0, 0x11]);
/// Ben's phone, and his watch.
pub const BEN: Mac = Mac::new([2, 0, 0, 0, 0, 2]);
pub const BEN_WATCH: Mac = Mac::new([2, 0, 0, 0, 0, 0x12]);
/// Nobody's.
pub const STRANGER: Mac = Mac::new([2, 0, 0, 0, 0, 9]);

pub const MINUTE: u64 = 60;
pub const HOUR: u64 = 3600;

pub fn id(text: &str) -> Id {
    text.parse().unwrap()
}

/// The BSS of an AP: band 0 is 2.4 GHz, 1 is 5 GHz, 2 the guests' network.
pub fn bss(ap: &str, band: u8) -> Mac {
    let sum = ap.bytes().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    Mac::new([0x10, 0, 0, 0, sum, band])
}

/// Kitchen and bedroom inside, garden at the exit; Ann has one phone, Ben a phone and a watch.
pub fn setup() -> Setup {
    let ap = |name: &str, exit: bool| AccessPointSetup {
        id: id(&name.to_lowercase()),
        name: name.to_owned(),
        room: Some(id(&name.to_lowercase())),
        floor: None,
        exit,
    };
    let room = |name: &str| RoomSetup {
        id: id(&name.to_lowercase()),
        name: name.to_owned(),
        adjoins: Vec::new(),
        floor: None,
        outdoor: name == "Garden",
    };
    let device = |name: &str, macs: &[Mac], counts| DeviceSetup {
        id: id(name),
        name: name.to_owned(),
        macs: macs.to_vec(),
        counts,
    };
    let person = |name: &str, devices| PersonSetup {
        id: id(&name.to_lowercase()),
        name: name.to_owned(),
        detail: Detail::Rooms,
        devices,
    };
    Setup {
        access_points: vec![ap("Kitchen", false), ap("Bedroom", false), ap("Garden", true)],
        rooms: vec![room("Kitchen"), room("Bedroom"), room("Garden")],
        people: vec![
            person("Ann", vec![device("ann-phone", &[ANN, ANN_GUEST], Counts::Always)]),
            person(
                "Ben",
                vec![
                    device("ben-phone", &[BEN], Counts::Always),
                    device("ben-watch", &[BEN_WATCH], Counts::RoomOnly),
                ],
            ),
        ],
        devices: Vec::new(),
        ssids: vec![SsidSetup { name: "guests".to_owned(), kind: SsidKind::Guest }],
        timing: Timing::default(),
    }
}

/// A station of a fake AP.
#[derive(Debug, Clone)]
pub struct Phone {
    pub station: Station,
    /// It sends: its counters move.
    pub awake: bool,
    pub inactive_ms: u64,
}

/// An AP that speaks the contract.
#[derive(Debug, Clone)]
pub struct Ap {
    pub name: String,
    pub node: String,
    pub boot: String,
    pub booted_at: i64,
    pub seq: u64,
    pub phones: Vec<Phone>,
    /// It runs and reaches the broker.
    pub on: bool,
    pub disabled: Vec<u8>,
}

/// A home.
pub struct House {
    pub engine: Engine,
    pub setup: Setup,
    pub now_ms: i64,
    pub aps: Vec<Ap>,
    pub said: Vec<(i64, Effect)>,
}

impl House {
    /// Everything is on, nobody is known.
    pub fn blank() -> House {
        House::with(setup())
    }

    pub fn with(setup: Setup) -> House {
        let now_ms = 10_000_000;
        let ap = |name: &Id| Ap {
            name: name.to_string(),
            node: format!("node-{name}"),
            boot: "boot-1".to_owned(),
            booted_at: now_ms - 3_600_000,
            seq: 0,
            phones: Vec::new(),
            on: true,
            disabled: Vec::new(),
        };
        let aps = setup.access_points.iter().map(|setup| ap(&setup.id)).collect();
        let engine = Engine::new(setup.clone(), None, Moment::from_ms(now_ms));
        House { engine, setup, now_ms, aps, said: Vec::new() }
    }

    /// Ann in the kitchen, Ben in the bedroom, both decided about and published.
    pub fn lived_in() -> House {
        House::lived_in_with(setup())
    }

    /// The same in another home.
    pub fn lived_in_with(setup: Setup) -> House {
        let mut house = House::with(setup);
        house.all_on();
        house.associate("kitchen", 1, ANN, -55);
        house.associate("bedroom", 1, BEN, -50);
        house.pass(5 * MINUTE);
        assert_eq!(house.homes(), [At::Home, At::Home]);
        house.forget();
        house
    }

    /// As [`House::lived_in`], but Ann has left a while ago.
    pub fn ann_is_away() -> House {
        let mut house = House::lived_in();
        house.walk_out(ANN);
        house.pass(10 * MINUTE);
        assert_eq!(house.homes(), [At::Away, At::Home]);
        house.forget();
        house
    }

    pub fn now(&self) -> Moment {
        Moment::from_ms(self.now_ms)
    }

    pub fn index(&self, ap: &str) -> usize {
        self.aps.iter().position(|known| known.name == ap).unwrap()
    }

    pub fn ap(&mut self, ap: &str) -> &mut Ap {
        let index = self.index(ap);
        &mut self.aps[index]
    }

    /// Every AP connects: status, radios, table.
    pub fn all_on(&mut self) {
        for name in self.aps.iter().map(|ap| ap.name.clone()).collect::<Vec<_>>() {
            self.connect(&name);
        }
    }

    pub fn connect(&mut self, ap: &str) {
        self.ap(ap).on = true;
        self.send_status(ap, State::Online);
        self.send_radios(ap);
        self.send_table(ap);
    }

    fn collect(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            self.said.push((self.now_ms, effect));
        }
    }

    pub fn publish(&mut self, topic: &str, payload: &[u8], retained: bool) {
        let now = self.now();
        self.engine.handle_publish(topic, payload, retained, now);
        self.collect();
    }

    pub fn stamp(&mut self, ap: &str) -> Stamp {
        let now_ms = self.now_ms;
        let ap = self.ap(ap);
        Stamp::new(&*ap.boot, &*ap.node, (now_ms - ap.booted_at).unsigned_abs())
    }

    pub fn status_bytes(&mut self, ap: &str, state: State) -> Vec<u8> {
        let stamp = self.stamp(ap);
        let status = Status {
            state,
            version: "0.1.0".to_owned(),
            sources: vec!["hostapd".to_owned()],
            release: None,
            problems: Vec::new(),
        };
        encode(&stamp, &status)
    }

    pub fn send_status(&mut self, ap: &str, state: State) {
        let bytes = self.status_bytes(ap, state);
        self.publish(&format!("ap/{ap}/status"), &bytes, false);
    }

    pub fn radios_bytes(&mut self, ap: &str) -> Vec<u8> {
        let stamp = self.stamp(ap);
        let disabled = self.ap(ap).disabled.clone();
        let radio = |band: u8| Radio {
            ifname: format!("phy{band}-ap0"),
            bssid: Some(bss(ap, band)),
            ssid: Some(if band == 2 { "guests" } else { "family" }.to_owned()),
            status: Some(if disabled.contains(&band) { "DFS" } else { "ENABLED" }.to_owned()),
            ..Radio::default()
        };
        encode(&stamp, &Radios { radios: (0..3).map(radio).collect() })
    }

    pub fn send_radios(&mut self, ap: &str) {
        let bytes = self.radios_bytes(ap);
        self.publish(&format!("ap/{ap}/radios"), &bytes, false);
    }

    pub fn table_bytes(&mut self, ap: &str) -> Vec<u8> {
        let stamp = self.stamp(ap);
        let ap = self.ap(ap);
        let stations = ap
            .phones
            .iter()
            .map(|phone| Station { inactive_ms: Some(phone.inactive_ms), ..phone.station.clone() });
        encode(&stamp, &Stations { seq: ap.seq, stations: stations.collect() })
    }

    pub fn send_table(&mut self, ap: &str) {
        let bytes = self.table_bytes(ap);
        self.publish(&format!("ap/{ap}/stations"), &bytes, false);
    }

    pub fn send_event(&mut self, ap: &str, mac: Mac, bssid: Mac, change: Change, age_ms: u64) {
        self.ap(ap).seq += 1;
        let stamp = self.stamp(ap);
        let seq = self.ap(ap).seq;
        let what = EventWhat::Station { mac, bssid, change };
        let bytes = encode(&stamp, &Events { seq, events: vec![Event { age_ms, what }] });
        self.publish(&format!("ap/{ap}/events"), &bytes, false);
    }

    /// Enters a station in an AP's table without a word.
    pub fn list(&mut self, ap: &str, band: u8, mac: Mac, signal_dbm: i8, awake: bool) {
        let bssid = bss(ap, band);
        let ap = self.ap(ap);
        ap.phones.retain(|phone| (phone.station.mac, phone.station.bssid) != (mac, bssid));
        let mut station = Station::new(mac, bssid, true);
        station.signal_dbm = Some(signal_dbm);
        station.rx_packets = Some(10);
        station.rx_bytes = Some(1000);
        station.connected_s = Some(0);
        ap.phones.push(Phone { station, awake, inactive_ms: 0 });
    }

    /// Takes a station out of an AP's table without a word.
    pub fn unlist(&mut self, ap: &str, mac: Mac) {
        self.ap(ap).phones.retain(|phone| phone.station.mac != mac);
    }

    /// A complete association: request, key handshake, table.
    pub fn associate(&mut self, ap: &str, band: u8, mac: Mac, signal_dbm: i8) {
        self.list(ap, band, mac, signal_dbm, true);
        self.send_event(ap, mac, bss(ap, band), Change::Assoc { signal_dbm: Some(signal_dbm) }, 0);
        self.send_event(ap, mac, bss(ap, band), Change::Authorized { auth_alg: None }, 0);
        self.send_table(ap);
    }

    /// It associates elsewhere; the old AP notices at once.
    pub fn roam(&mut self, from: &str, to: &str, band: u8, mac: Mac, signal_dbm: i8) {
        self.associate(to, band, mac, signal_dbm);
        self.unlist(from, mac);
        self.send_event(from, mac, bss(from, band), Change::Disassoc, 0);
        self.send_table(from);
    }

    /// Through the garden and off: the signal falls, then a leave frame.
    pub fn walk_out(&mut self, mac: Mac) {
        self.walk_off(mac, Change::Deauth);
    }

    /// Through the garden and off: the signal falls, then it ends like this.
    pub fn walk_off(&mut self, mac: Mac, how: Change) {
        self.associate("garden", 1, mac, -60);
        for ap in ["kitchen", "bedroom"] {
            self.unlist(ap, mac);
            self.send_table(ap);
        }
        self.carry("garden", mac, &[-66, -72, -78, -82], 30);
        self.disconnect("garden", mac, how);
    }

    pub fn disconnect(&mut self, ap: &str, mac: Mac, how: Change) {
        let bssid = self.phone(ap, mac).station.bssid;
        self.unlist(ap, mac);
        self.send_event(ap, mac, bssid, how, 0);
        self.send_table(ap);
    }

    pub fn phone(&mut self, ap: &str, mac: Mac) -> &mut Phone {
        self.ap(ap).phones.iter_mut().find(|phone| phone.station.mac == mac).unwrap()
    }

    pub fn signal(&mut self, ap: &str, mac: Mac, dbm: i8) {
        self.phone(ap, mac).station.signal_dbm = Some(dbm);
    }

    /// Somebody walks with it: its signals at this AP, each for so many seconds.
    pub fn carry(&mut self, ap: &str, mac: Mac, levels_dbm: &[i8], each_s: u64) {
        for dbm in levels_dbm {
            self.signal(ap, mac, *dbm);
            self.pass(each_s);
        }
    }

    /// It sleeps, and stays associated.
    pub fn doze(&mut self, ap: &str, mac: Mac) {
        self.phone(ap, mac).awake = false;
    }

    /// Seconds go by.
    pub fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now_ms += 1000;
            let second = self.now_ms / 1000;
            for index in 0..self.aps.len() {
                for phone in &mut self.aps[index].phones {
                    phone.inactive_ms = if phone.awake { 200 } else { phone.inactive_ms + 1000 };
                    let packets = phone.station.rx_packets.unwrap_or(0);
                    phone.station.rx_packets = Some(packets + u64::from(phone.awake));
                    phone.station.connected_s = phone.station.connected_s.map(|s| s + 1);
                }
                let name = self.aps[index].name.clone();
                if self.aps[index].on && (second + index as i64 * 7) % 30 == 0 {
                    self.send_table(&name);
                }
            }
            self.tick();
        }
    }

    pub fn tick(&mut self) {
        if self.engine.poll_timeout().is_some_and(|(at, _)| at <= self.now()) {
            let now = self.now();
            self.engine.handle_timeout(now);
        }
        self.collect();
    }

    /// The aggregator stops and starts again, with its state file; nothing is lost but the clock's zero.
    pub fn restart(&mut self, seconds_off: u64) {
        let json = serde_json::to_string(&self.engine.snapshot(self.now())).unwrap();
        self.now_ms += 1000 * seconds_off as i64;
        let snapshot: Snapshot = serde_json::from_str(&json).unwrap();
        self.engine = Engine::new(self.setup.clone(), Some(snapshot), self.now());
        self.engine.publish_all();
        self.collect();
    }

    /// What the broker kept of an AP, delivered anew.
    pub fn deliver_retained(&mut self, ap: &str) {
        let status = self.status_bytes(ap, State::Online);
        let (radios, table) = (self.radios_bytes(ap), self.table_bytes(ap));
        self.publish(&format!("ap/{ap}/status"), &status, true);
        self.publish(&format!("ap/{ap}/radios"), &radios, true);
        self.publish(&format!("ap/{ap}/stations"), &table, true);
    }

    /// Power cut: no message any more, and after a while the will.
    pub fn cut_power(&mut self, ap: &str) {
        self.ap(ap).on = false;
        self.ap(ap).phones.clear();
    }

    pub fn will(&mut self, ap: &str) {
        self.send_status(ap, State::Offline);
    }

    /// It comes back with a new boot and an empty table.
    pub fn reboot(&mut self, ap: &str, boot: &str) {
        let now_ms = self.now_ms;
        let known = self.ap(ap);
        known.boot = boot.to_owned();
        known.booted_at = now_ms - 100;
        known.seq = 0;
        known.phones.clear();
        self.connect(ap);
    }

    pub fn forget(&mut self) {
        self.said.clear();
    }

    pub fn view(&self) -> View {
        self.engine.view(self.now())
    }

    pub fn homes(&self) -> Vec<At> {
        self.view().people.iter().map(|person| person.home).collect()
    }

    pub fn person(&self, index: usize) -> PersonView {
        self.view().people.swap_remove(index)
    }

    pub fn room(&self, index: usize) -> Option<String> {
        self.person(index).room.map(|room| room.to_string())
    }

    /// People as they were published since [`House::forget`].
    pub fn people_said(&self) -> Vec<PersonView> {
        let person =
            |effect: &Effect| if let Effect::Person(person) = effect { Some(person.clone()) } else { None };
        self.said.iter().filter_map(|(_, effect)| person(effect)).collect()
    }

    /// Devices as they were published, and when.
    pub fn devices_said(&self) -> Vec<(i64, DeviceView)> {
        let device = |at: i64, effect: &Effect| match effect {
            Effect::Device(device) => Some((at, device.clone())),
            _ => None,
        };
        self.said.iter().filter_map(|(at, effect)| device(*at, effect)).collect()
    }

    /// Names of those in a room, as published last.
    pub fn people_said_in(&self, room: &str) -> Option<Vec<String>> {
        self.said.iter().rev().find_map(|(_, effect)| match effect {
            Effect::Room(said) if said.id.as_str() == room => Some(said.people.clone()),
            _ => None,
        })
    }

    pub fn moves(&self) -> Vec<Moved> {
        let moved =
            |effect: &Effect| if let Effect::Moved(moved) = effect { Some(moved.clone()) } else { None };
        self.said.iter().filter_map(|(_, effect)| moved(effect)).collect()
    }

    pub fn roams(&self) -> usize {
        self.said.iter().filter(|(_, effect)| matches!(effect, Effect::Roamed(_))).count()
    }

    /// Nobody was published as anything but home.
    pub fn assert_never_away(&self) {
        for person in self.people_said() {
            assert_eq!(person.home, At::Home, "{} {:?}", person.name, person.because);
        }
    }

    pub fn problems(&self) -> Vec<String> {
        self.view().problems.into_iter().map(|problem| problem.text).collect()
    }
}
