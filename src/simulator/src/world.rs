//! The simulated home over time: a queue of things to come, and what follows from each. Everything that happens is
//! a function of plan, seed and the times it is advanced to; the same three give the same bytes.

mod beacons;
mod incidents;
mod radios;
mod seats;
mod stations;

use std::collections::{BTreeMap, BTreeSet};

use self::beacons::{Budget, Mode};
pub use self::radios::Setting;

use whichroom_wire::{Change, Host, Mac, Radio, State};

use crate::access_point::{AccessPoint, Bss, Output};
use crate::phone::{Act, Around, Link, Phone};
use crate::plan::{self, Habits, Night, Plan, Point};
use crate::propagation::{Band, body_db, uplink_dbm};
use crate::random::{Random, mix};
use crate::walker::{Truth, Walker};

const POLL_MS: u64 = 5_000;
const TABLE_MS: u64 = 30_000;
const RADIOS_MS: u64 = 300_000;
const PHONE_MS: u64 = 1_000;
/// A phone far from home has nothing to do until its owner comes back.
const FAR_PHONE_MS: u64 = 600_000;
/// hostapd's limit of inactivity; then it polls the station.
const INACTIVE_MS: u64 = 300_000;
/// From hostapd's disassociation of a silent station to its deauthentication.
const DEAUTH_DELAY_MS: u64 = 1_000;
/// From the death of an agent to its will: one and a half times its keep-alive.
const WILL_MS: u64 = 30_000;
/// What is fainter is not received.
const HEARD_DBM: f64 = -92.0;
/// Transmit power at 2.4 GHz and at 5 GHz as the home was set up: the lower band is turned down, so that phones prefer
/// the other.
const TXPOWER_DBM: [i8; 2] = [14, 20];

/// Something to come.
#[derive(Debug, Clone)]
enum Action {
    /// A phone's turn, if it is still that turn's: whoever stirs a phone gives it another.
    Phone(usize, u64),
    Person(usize),
    Poll(usize),
    Table(usize),
    Radios(usize),
    /// The key handshake is over.
    Authorize(Claim, usize, Handshake),
    /// A goodbye to an old access point arrives late.
    Farewell(Claim),
    /// hostapd looks whether a station is still there.
    Inactivity(Claim),
    InactiveDeauth(Claim),
    Incident(usize),
    PowerUp(usize),
    Will(Box<Output>),
    /// A BSS of an access point serves stations again.
    BandReturns(usize, usize),
    GuestLeaves(usize),
    FlightMode(usize),
    RadioOff(usize),
    /// A phone is laid beside the bed, and mostly looked at and put on its charger before.
    Bedside(usize),
    /// A station reports the beacons it hears.
    Report(Claim, Mode),
}

/// How an association becomes an authorised one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handshake {
    Full,
    /// 802.11r.
    Fast,
}

/// An association of a station with a BSS of an access point.
#[derive(Debug, Clone, Copy)]
struct Claim {
    ap: usize,
    mac: Mac,
    bss: usize,
    generation: u64,
}

/// Where a phone is.
#[derive(Debug, Clone, Copy)]
enum Place {
    Carried(usize),
    Left(Point, usize),
}

/// Where exactly a phone is, and what goes on around it.
#[derive(Debug, Clone, Copy)]
struct Spot {
    point: Point,
    moving: bool,
    resting: bool,
    night: bool,
    far: bool,
}

/// The home at a time.
#[derive(Debug, Clone)]
pub struct World {
    plan: Plan,
    seed: u64,
    random: Random,
    now_ms: u64,
    queue: BTreeMap<(u64, u64), Action>,
    queued: u64,
    walkers: Vec<Walker>,
    phones: Vec<Phone>,
    turns: Vec<u64>,
    macs: Vec<[Mac; 2]>,
    places: Vec<Place>,
    /// What every BSS hears of each phone where it is, without fading; until it moves.
    reaches: Vec<Option<(Point, Vec<f64>)>>,
    /// How each phone's owner stands or sits, as a seed of who is shaded by the body.
    aspects: Vec<u64>,
    budgets: BTreeMap<(usize, Mac), Budget>,
    /// When each access point received a phone last, by phone and access point.
    received_ms: BTreeMap<(usize, usize), u64>,
    /// Each phone's latest association.
    claims: Vec<Option<Claim>>,
    access_points: Vec<AccessPoint>,
    outputs: Vec<Output>,
    tracked: BTreeSet<Mac>,
}

impl World {
    /// A home at its time 0.
    pub fn new(plan: Plan, seed: u64) -> World {
        let mut random = Random::new(seed);
        let walkers = (0..plan.people.len())
            .map(|index| Walker::new(&plan, index, seats::seat(&plan, seed, index), &mut random))
            .collect();
        let access_points =
            (0..plan.access_points.len()).map(|ap| access_point(&plan, ap, &mut random)).collect();
        let mut world = World {
            phones: plan.phones.iter().map(|phone| Phone::new(phone.habits)).collect(),
            turns: vec![0; plan.phones.len()],
            macs: plan.phones.iter().map(|phone| phone.macs).collect(),
            places: plan.phones.iter().map(|phone| Place::Carried(phone.person)).collect(),
            reaches: vec![None; plan.phones.len()],
            aspects: vec![0; plan.phones.len()],
            budgets: BTreeMap::new(),
            received_ms: BTreeMap::new(),
            claims: vec![None; plan.phones.len()],
            plan,
            seed,
            random,
            now_ms: 0,
            queue: BTreeMap::new(),
            queued: 0,
            walkers,
            access_points,
            outputs: Vec::new(),
            tracked: BTreeSet::new(),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for ap in 0..self.access_points.len() {
            let outputs = self.access_points[ap].announce(0);
            self.outputs.extend(outputs);
            let (poll, table) =
                (self.random.between_ms(100, POLL_MS), self.random.between_ms(1_000, TABLE_MS));
            self.at(poll, Action::Poll(ap));
            self.at(table, Action::Table(ap));
            self.at(RADIOS_MS + table, Action::Radios(ap));
        }
        for person in 0..self.walkers.len() {
            let ms = self.random.between_ms(10_000, 600_000);
            self.at(ms, Action::Person(person));
        }
        for phone in 0..self.phones.len() {
            let ms = self.random.between_ms(200, 3_000);
            self.at(ms, Action::Phone(phone, 0));
        }
        for incident in 0..self.plan.incidents.len() {
            self.at(self.plan.incidents[incident].at_ms, Action::Incident(incident));
        }
    }

    /// Lets time pass and says what the access points' agents said meanwhile, in order.
    #[must_use]
    pub fn advance_to(&mut self, now_ms: u64) -> Vec<Output> {
        while self.next_at_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            self.act_next();
        }
        self.now_ms = self.now_ms.max(now_ms);
        std::mem::take(&mut self.outputs)
    }

    /// The same up to the first time at which anything is said, and to `until_ms` at most.
    #[must_use]
    pub fn advance_to_next(&mut self, until_ms: u64) -> Vec<Output> {
        while self.outputs.is_empty() && self.next_at_ms().is_some_and(|at_ms| at_ms <= until_ms) {
            self.act_next();
        }
        self.advance_to(if self.outputs.is_empty() { until_ms } else { self.now_ms })
    }

    /// Whether something was said that nobody took yet.
    pub fn has_outputs(&self) -> bool {
        !self.outputs.is_empty()
    }

    fn next_at_ms(&self) -> Option<u64> {
        self.queue.first_key_value().map(|(&(at_ms, _), _)| at_ms)
    }

    fn act_next(&mut self) {
        if let Some(((at_ms, _), action)) = self.queue.pop_first() {
            self.now_ms = at_ms;
            self.act(action);
        }
    }

    /// The time it was advanced to.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The aggregator says whose probes it wants.
    pub fn handle_tracked(&mut self, macs: &[Mac]) {
        self.tracked = macs.iter().copied().collect();
    }

    /// What an access point's agent says when it is connected again; nothing if it is dead.
    pub fn announce(&self, ap: usize) -> Vec<Output> {
        let ap = &self.access_points[ap];
        if ap.alive { ap.announce(self.now_ms) } else { Vec::new() }
    }

    /// What an agent's broker would say if the agent died now, or what it says itself when it stops.
    pub fn farewell(&self, ap: usize) -> Output {
        self.access_points[ap].status(State::Offline, self.now_ms)
    }

    /// Where a person really is, by index into [`World::people`].
    pub fn truth(&self, person: usize) -> Truth {
        self.walkers[person].truth(self.now_ms)
    }

    /// The people.
    pub fn people(&self) -> &[plan::Person] {
        &self.plan.people
    }

    /// Their phones.
    pub fn phones(&self) -> &[plan::Phone] {
        &self.plan.phones
    }

    /// The access points.
    pub fn access_points(&self) -> &[plan::AccessPoint] {
        &self.plan.access_points
    }

    /// The rooms.
    pub fn rooms(&self) -> &[plan::Room] {
        &self.plan.rooms
    }

    /// The family's networks: one name for both bands, or one for each.
    pub fn ssids(&self) -> Vec<&str> {
        let [low, high] = &self.plan.ssids;
        if low == high { vec![low] } else { vec![low, high] }
    }

    /// Whether a phone sends and receives data now, by index into [`World::phones`].
    pub fn is_awake(&self, phone: usize) -> bool {
        let phone = &self.phones[phone];
        phone.on && phone.link.is_some() && !phone.dozes()
    }

    /// Whether a phone works at all: it has power, and nobody switched its radio off.
    pub fn is_on(&self, phone: usize) -> bool {
        self.phones[phone].on
    }

    /// Whether its owner has it on them, rather than left it somewhere in the house.
    pub fn is_carried(&self, phone: usize) -> bool {
        matches!(self.places[phone], Place::Carried(_))
    }

    /// The access point whose hostapd still holds a phone's latest association, by index into
    /// [`World::access_points`]: from its end on, the phone is gone.
    pub fn listed_by(&self, phone: usize) -> Option<usize> {
        let Claim { ap, mac, bss, generation } = self.claims[phone]?;
        let access_point = &self.access_points[ap];
        let entry = access_point.stations.get(&(mac, bss)).filter(|_| access_point.alive)?;
        (entry.generation == generation).then_some(ap)
    }

    /// When an access point received a phone last, by whatever frame.
    pub fn received_ms(&self, phone: usize, ap: usize) -> Option<u64> {
        self.received_ms.get(&(phone, ap)).copied()
    }

    /// Whether a phone would say how it hears the access points, if it was asked now (802.11k).
    pub fn would_report(&self, phone: usize) -> bool {
        let Habits { rrm, refuses, .. } = self.phones[phone].habits;
        self.is_awake(phone) && beacons::is_able(rrm) && refuses < 1.0
    }

    /// Minute of the day at time 0.
    pub fn starts_at_minute(&self) -> u64 {
        self.plan.starts_at_minute
    }

    fn at(&mut self, at_ms: u64, action: Action) {
        self.queued += 1;
        self.queue.insert((at_ms, self.queued), action);
    }

    fn after(&mut self, ms: u64, action: Action) {
        self.at(self.now_ms + ms, action);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Phone(phone, turn) if turn == self.turns[phone] => self.step_phone(phone),
            Action::Phone(..) => {}
            Action::Person(person) => self.decide(person),
            Action::Poll(ap) => {
                if self.access_points[ap].alive {
                    let output = self.access_points[ap].poll(self.now_ms);
                    self.outputs.extend(output);
                }
                self.after(POLL_MS, Action::Poll(ap));
            }
            Action::Table(ap) => {
                self.say_table(ap);
                self.after(TABLE_MS, Action::Table(ap));
            }
            Action::Radios(ap) => {
                self.say_radios(ap);
                self.after(RADIOS_MS, Action::Radios(ap));
            }
            Action::Authorize(claim, phone, handshake) => self.authorize(claim, phone, handshake),
            Action::Farewell(claim) => self.end(claim, &[Change::Disassoc]),
            Action::Inactivity(claim) => self.check_inactivity(claim),
            Action::InactiveDeauth(claim) => {
                // The entry is gone since the disassociation, unless the station came back just now.
                if !self.access_points[claim.ap].stations.contains_key(&(claim.mac, claim.bss)) {
                    self.say(claim.ap, vec![(claim.mac, claim.bss, Change::InactiveDeauth)]);
                }
            }
            Action::Incident(incident) => self.happen(incident),
            Action::PowerUp(ap) => {
                let boot = boot_id(&mut self.random);
                self.access_points[ap].boot(boot, self.now_ms);
                self.outputs.extend(self.access_points[ap].announce(self.now_ms));
            }
            Action::Will(output) => self.outputs.push(Output { at_ms: self.now_ms, ..*output }),
            Action::BandReturns(ap, bss) => self.return_band(ap, bss),
            Action::GuestLeaves(phone) => {
                self.leave(phone, true);
                self.phones[phone].on = false;
            }
            Action::FlightMode(phone) => {
                // Mostly somebody does it by hand, looking at the phone; the rest have a timetable.
                if self.random.chance(0.7) {
                    if matches!(self.places[phone], Place::Left(..)) {
                        return;
                    }
                    self.phones[phone].wake(self.now_ms, &mut self.random);
                    self.stir(phone);
                    let ms = self.random.between_ms(4_000, 20_000);
                    return self.after(ms, Action::RadioOff(phone));
                }
                self.radio_off(phone);
            }
            Action::RadioOff(phone) => self.radio_off(phone),
            Action::Bedside(phone) => {
                if self.random.chance(0.85) {
                    self.phones[phone].wake(self.now_ms, &mut self.random);
                    self.stir(phone);
                }
            }
            Action::Report(claim, mode) => self.report(claim, mode),
        }
    }

    /// A phone does something soon, whatever it meant to wait for.
    fn stir(&mut self, phone: usize) {
        self.phone_in(phone, 1);
    }

    fn phone_in(&mut self, phone: usize, ms: u64) {
        self.turns[phone] += 1;
        self.after(ms, Action::Phone(phone, self.turns[phone]));
    }

    fn phone_of(&self, mac: Mac) -> Option<usize> {
        self.macs.iter().position(|macs| macs.contains(&mac))
    }

    fn say(&mut self, ap: usize, changes: Vec<(Mac, usize, Change)>) {
        if self.access_points[ap].alive && !changes.is_empty() {
            let output = self.access_points[ap].events(changes, self.now_ms);
            self.outputs.push(output);
        }
    }

    fn say_table(&mut self, ap: usize) {
        if self.access_points[ap].alive {
            self.outputs.push(self.access_points[ap].table(self.now_ms));
        }
    }

    fn say_radios(&mut self, ap: usize) {
        if self.access_points[ap].alive {
            self.outputs.push(self.access_points[ap].radios(self.now_ms));
        }
    }

    // People

    fn decide(&mut self, person: usize) {
        let here = self.walkers[person].truth(self.now_ms);
        let point = self.walkers[person].place(self.now_ms);
        let rose = self.walkers[person].rises(self.now_ms);
        let in_bed = self.walkers[person].bedside(self.now_ms).is_some();
        let owned = (0..self.plan.phones.len()).filter(|&phone| self.plan.phones[phone].person == person);
        let owned: Vec<usize> = owned.collect();
        let fetch =
            owned.iter().filter(|&&phone| !self.plan.phones[phone].stays_home).find_map(|&phone| match self
                .places[phone]
            {
                Place::Left(_, room) if here != Truth::Room(room) => Some(room),
                Place::Left(..) | Place::Carried(_) => None,
            });
        let walker = &mut self.walkers[person];
        let next_ms = walker.decide(&self.plan, fetch, self.now_ms, &mut self.random);
        let (leaving, night) = (walker.is_leaving(), walker.night_ahead(self.now_ms));
        self.at(next_ms.max(self.now_ms + 1_000), Action::Person(person));
        for phone in owned {
            if rose && std::mem::take(&mut self.phones[phone].in_flight_mode) {
                self.phones[phone].on = true;
            }
            match here {
                Truth::Room(room) if !in_bed => self.take_or_leave(phone, room, point, leaving, rose),
                // It lies beside the bed.
                Truth::Room(_) | Truth::Away => {}
            }
            if let Some((from_ms, _)) = night {
                self.at(from_ms, Action::Bedside(phone));
                self.plan_night(phone, from_ms);
            }
            self.stir(phone);
        }
    }

    /// A person goes from a room, and takes a phone that is there along or not.
    fn take_or_leave(&mut self, phone: usize, room: usize, point: Point, leaving: bool, rose: bool) {
        if matches!(self.places[phone], Place::Left(_, left) if left != room) {
            return;
        }
        let plan::Phone { person, carried, stays_home, .. } = self.plan.phones[phone];
        let along = if leaving { !stays_home } else { self.random.chance(carried) };
        self.places[phone] = if along { Place::Carried(person) } else { Place::Left(point, room) };
        let aspect = self.random.next();
        let has_seat = self.plan.people[person].sits_between.is_some();
        self.aspects[phone] = if has_seat { seats::ASPECT } else { aspect };
        self.reaches[phone] = None;
        // Who goes out or gets up looks at the phone first; who goes to the next room does so now and then, and
        // being carried ends a deep sleep.
        let wakes = match () {
            () if leaving || rose => 0.7,
            () if self.phones[phone].dozes_deeply(self.now_ms) => 0.8,
            () => 0.4,
        };
        if along && self.random.chance(wakes) {
            self.phones[phone].wake(self.now_ms, &mut self.random);
        }
    }

    fn plan_night(&mut self, phone: usize, from_ms: u64) {
        let Night::Flight(likely) = self.phones[phone].habits.night else { return };
        if self.random.chance(likely) {
            // After some reading in bed.
            let at_ms = from_ms + self.random.spread_ms(120.0, 1_500.0);
            self.at(at_ms, Action::FlightMode(phone));
        }
    }

    /// Flight mode is on; it is off again in the morning.
    fn radio_off(&mut self, phone: usize) {
        self.leave(phone, true);
        (self.phones[phone].on, self.phones[phone].in_flight_mode) = (false, true);
    }

    // Phones

    fn step_phone(&mut self, phone: usize) {
        if !self.phones[phone].on {
            return;
        }
        let Spot { point, moving, resting, night, far } = self.spot_of(phone);
        if far && self.phones[phone].link.is_none() {
            return self.phone_in(phone, FAR_PHONE_MS);
        }
        let now_ms = self.now_ms;
        let reach_dbm = self.reach(phone, point);
        let heard_dbm = self.heard_dbm(&reach_dbm);
        let around = Around { heard_dbm: &heard_dbm, moving, resting, night };
        let acts = self.phones[phone].step(&around, self.now_ms, &mut self.random);
        for act in acts {
            match act {
                Act::Send { packets } => self.send(phone, packets, &reach_dbm),
                Act::Probe => self.probe(phone, &reach_dbm),
                Act::Join(bss) => self.join(phone, bss, reach_dbm[bss]),
                Act::Rejoin => {
                    if let Some(link) = self.phones[phone].link {
                        self.join(phone, link.bss, reach_dbm[link.bss]);
                    }
                }
                Act::Leave { goodbye } => self.leave(phone, goodbye),
            }
        }
        let rests_until_ms = if moving { 0 } else { self.phones[phone].rests_until_ms(&heard_dbm, now_ms) };
        self.phone_in(phone, rests_until_ms.saturating_sub(now_ms).max(PHONE_MS));
    }

    fn spot_of(&self, phone: usize) -> Spot {
        let now_ms = self.now_ms;
        let still = |point, resting, night| Spot { point, moving: false, resting, night, far: false };
        let person = match self.places[phone] {
            Place::Left(point, _) => return still(point, true, false),
            Place::Carried(person) => person,
        };
        let walker = &self.walkers[person];
        let asleep = walker.is_asleep(now_ms);
        match walker.bedside(now_ms) {
            Some(point) => still(point, asleep, asleep),
            None => Spot {
                point: walker.place(now_ms),
                moving: walker.is_walking(now_ms),
                resting: asleep,
                night: asleep,
                far: walker.is_far(now_ms),
            },
        }
    }

    /// How loudly a phone hears every BSS now.
    fn heard_by(&mut self, phone: usize) -> Vec<f64> {
        let point = self.spot_of(phone).point;
        let reach_dbm = self.reach(phone, point);
        self.heard_dbm(&reach_dbm)
    }

    /// What every BSS hears of a phone now; minus infinity where there is none.
    fn reach(&mut self, phone: usize, point: Point) -> Vec<f64> {
        let bsses = self.access_points.len() * 2;
        let steady = match &self.reaches[phone] {
            Some((at, steady)) if *at == point => steady.clone(),
            Some(_) | None => {
                let of = |bss: usize| {
                    let ap = self.plan.access_points[bss / 2].at;
                    uplink_dbm(&self.plan, self.seed, bss, Band::of(bss), point, ap)
                        - body_db(self.aspects[phone], bss / 2)
                };
                let steady: Vec<f64> = (0..bsses).map(of).collect();
                self.reaches[phone] = Some((point, steady.clone()));
                steady
            }
        };
        let grip_db = self.phones[phone].grip_db;
        let on = |bss: usize| {
            self.access_points[bss / 2].alive && self.access_points[bss / 2].bsses[bss % 2].enabled
        };
        (0..bsses).map(|bss| if on(bss) { steady[bss] + grip_db } else { f64::NEG_INFINITY }).collect()
    }

    /// A reading of a signal: fading from one to the next, and whole dB.
    fn reading(&mut self, dbm: f64) -> i8 {
        (dbm + self.random.bell() * 1.5).round().clamp(-98.0, -15.0) as i8
    }

    fn send(&mut self, phone: usize, packets: u64, reach_dbm: &[f64]) {
        let Some(link) = self.phones[phone].link else { return };
        let (ap, bss) = (link.bss / 2, link.bss % 2);
        if reach_dbm[link.bss] >= HEARD_DBM {
            let signal_dbm = self.reading(reach_dbm[link.bss]);
            self.access_points[ap].hear(self.macs[phone][bss], bss, signal_dbm, packets, self.now_ms);
            self.received_ms.insert((phone, ap), self.now_ms);
        }
    }

    fn probe(&mut self, phone: usize, reach_dbm: &[f64]) {
        if !self.random.chance(self.phones[phone].habits.probes_openly) {
            return;
        }
        for ap in 0..self.access_points.len() {
            let mut heard = Vec::new();
            for bss in 0..2 {
                let (dbm, mac) = (reach_dbm[ap * 2 + bss], self.macs[phone][bss]);
                if dbm >= HEARD_DBM && self.random.chance(0.6) && self.tracked.contains(&mac) {
                    heard.push((mac, bss, Change::Probe { signal_dbm: Some(self.reading(dbm)) }));
                }
            }
            if !heard.is_empty() {
                self.received_ms.insert((phone, ap), self.now_ms);
            }
            self.say(ap, heard);
        }
    }

    fn join(&mut self, phone: usize, global_bss: usize, dbm: f64) {
        let (ap, bss) = (global_bss / 2, global_bss % 2);
        let mac = self.macs[phone][bss];
        let before = self.phones[phone].link;
        let signal_dbm = self.reading(dbm);
        self.received_ms.insert((phone, ap), self.now_ms);
        let mut changes = Vec::new();
        if self.access_points[ap].stations.get(&(mac, bss)).is_some_and(|entry| entry.authorized) {
            changes.push((mac, bss, Change::Disassoc));
        }
        changes.push((mac, bss, Change::Assoc { signal_dbm: Some(signal_dbm) }));
        // hostapd ends the association with its other BSS by itself.
        if self.access_points[ap].stations.remove(&(mac, 1 - bss)).is_some() {
            changes.push((mac, 1 - bss, Change::Disassoc));
        }
        let rrm = self.phones[phone].habits.rrm;
        let generation = self.access_points[ap].associate(mac, bss, signal_dbm, rrm, self.now_ms);
        let claim = Claim { ap, mac, bss, generation };
        self.claims[phone] = Some(claim);
        self.say(ap, changes);
        self.phones[phone].link = Some(Link { bss: global_bss, since_ms: self.now_ms });
        let handshake = self.handshake(phone, before, global_bss);
        let handshake_ms = match handshake {
            Handshake::Full => self.random.between_ms(30, 180),
            Handshake::Fast => self.random.between_ms(5, 40),
        };
        self.after(handshake_ms, Action::Authorize(claim, phone, handshake));
        self.after(INACTIVE_MS, Action::Inactivity(claim));
        // Under another address it is another station, even for the same access point.
        let is_other = |link: &Link| link.bss / 2 != ap || self.macs[phone][link.bss % 2] != mac;
        if let Some(link) = before.filter(is_other) {
            self.trail(phone, link);
        }
    }

    /// Fast from one BSS with 802.11r to another of the same network. Makes that know 802.11k know that, too.
    fn handshake(&self, phone: usize, before: Option<Link>, to: usize) -> Handshake {
        let radio = |bss: usize| &self.access_points[bss / 2].bsses[bss % 2].radio;
        let is_fast = before.is_some_and(|link| {
            let (from, to) = (radio(link.bss), radio(to));
            from.ft == Some(true) && to.ft == Some(true) && from.ssid == to.ssid
        });
        if is_fast && self.phones[phone].habits.rrm != 0 { Handshake::Fast } else { Handshake::Full }
    }

    /// The old access point learns of a roam soon, late, or only when it finds the station silent.
    fn trail(&mut self, phone: usize, old: Link) {
        let (ap, bss) = (old.bss / 2, old.bss % 2);
        let mac = self.macs[phone][bss];
        let Some(entry) = self.access_points[ap].stations.get(&(mac, bss)) else { return };
        let claim = Claim { ap, mac, bss, generation: entry.generation };
        let chance = self.random.unit();
        if chance < 0.45 {
            let ms = self.random.between_ms(100, 2_000);
            self.after(ms, Action::Farewell(claim));
        } else if chance < 0.7 {
            let ms = self.random.spread_ms(2.0, 90.0);
            self.after(ms, Action::Farewell(claim));
        }
    }

    fn leave(&mut self, phone: usize, goodbye: bool) {
        let Some(link) = self.phones[phone].link.take() else { return };
        let (ap, bss) = (link.bss / 2, link.bss % 2);
        let mac = self.macs[phone][bss];
        let Some(entry) = self.access_points[ap].stations.get(&(mac, bss)) else { return };
        if goodbye {
            let claim = Claim { ap, mac, bss, generation: entry.generation };
            self.end(claim, &[Change::Deauth, Change::Disassoc]);
        }
    }
}

fn boot_id(random: &mut Random) -> String {
    format!("{:08x}", random.next() >> 32)
}

fn access_point(plan: &Plan, index: usize, random: &mut Random) -> AccessPoint {
    let ap = &plan.access_points[index];
    let bss = |band: u8, channel: u32| {
        let bssid = Mac::new([0x0c, 0x5e, 0x11, 0x00, index as u8, band]);
        let radio = Radio {
            ifname: format!("phy{band}-ap0"),
            bssid: Some(bssid),
            ssid: Some(plan.ssids[usize::from(band)].clone()),
            freq_mhz: Some(Band::of(usize::from(band)).freq_mhz(channel)),
            channel: Some(channel),
            width_mhz: Some(if band == 0 { 20 } else { 80 }),
            txpower_dbm: Some(TXPOWER_DBM[usize::from(band)]),
            noise_dbm: Some(if band == 0 { -92 } else { -96 }),
            utilization_permille: Some((mix(index as u64, u64::from(band)) % 300) as u32),
            ft: Some(false),
            rrm: Some(true),
            btm: Some(false),
            status: None,
        };
        Bss { bssid, enabled: true, radio }
    };
    let bsses = [bss(0, ap.channels.0), bss(1, ap.channels.1)];
    // It has been running for hours to weeks.
    let booted_ms = -(random.spread_ms(3_600.0, 3e6) as i64);
    let mut access_point =
        AccessPoint::new(ap.id.clone(), ap.node.clone(), boot_id(random), booted_ms, bsses);
    if ap.router {
        let host = |(number, phone): (usize, &plan::Phone)| Host {
            mac: phone.macs[1],
            name: Some(phone.id.to_string()),
            address: Some(format!("192.168.1.{}", 20 + number)),
        };
        access_point.hosts = plan.phones.iter().enumerate().map(host).collect();
    }
    access_point
}
