//! Homes to be judged in: the default house and others, each for a number of days with what goes wrong in them. The
//! same home, days and seed give the same plan.

use std::fmt;
use std::str::FromStr;

use whichroom_wire::{Id, Mac};

use crate::makes;
use crate::plan::{Incident, IncidentKind, Plan, Trip};
use crate::random::{Random, mix};

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A home to be judged in. All have reboots, guests, days away and nights; each but the default has one thing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// Three floors, ten rooms, six access points, four people, five phones.
    Default,
    /// One access point, near the door, for five rooms and two people.
    Flat,
    /// 2.4 GHz and 5 GHz have names of their own, and each phone another private address on each.
    TwoSsids,
    /// The access point at the exit dies after a third of the time and stays dead.
    DeadExit,
    /// The 5 GHz BSSs wait for radar now and then.
    Dfs,
    /// A second phone that never leaves the house.
    WorkPhone,
    /// A phone's battery dies in some nights, and on some days.
    DeadPhone,
    /// Phones go to and fro between two access points for minutes.
    Bouncing,
}

impl Variant {
    /// Every one.
    pub const ALL: [Variant; 8] = [
        Variant::Default,
        Variant::Flat,
        Variant::TwoSsids,
        Variant::DeadExit,
        Variant::Dfs,
        Variant::WorkPhone,
        Variant::DeadPhone,
        Variant::Bouncing,
    ];

    /// What it is called on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Default => "default",
            Variant::Flat => "flat",
            Variant::TwoSsids => "two-ssids",
            Variant::DeadExit => "dead-exit",
            Variant::Dfs => "dfs",
            Variant::WorkPhone => "work-phone",
            Variant::DeadPhone => "dead-phone",
            Variant::Bouncing => "bouncing",
        }
    }

    /// The home and what happens in it.
    pub fn plan(self, days: u64, seed: u64) -> Plan {
        let mut plan = if self == Variant::Flat { Plan::flat() } else { Plan::house() };
        // Phones are dealt anew for each seed, so that no make always belongs to the same habits of a person.
        let (count, shift) = (makes::ALL.len(), (seed % makes::ALL.len() as u64) as usize);
        for (index, phone) in plan.phones.iter_mut().enumerate() {
            phone.habits = makes::ALL[(index + shift) % count];
        }
        let mut chance = Random::new(mix(seed, 0x7661_7269));
        trips(&mut plan, days, &mut chance);
        let mut incidents = everyday(&plan, days, &mut chance);
        self.alter(&mut plan, days, &mut incidents, &mut chance);
        plan.with_incidents(incidents)
    }

    fn alter(self, plan: &mut Plan, days: u64, incidents: &mut Vec<Incident>, chance: &mut Random) {
        match self {
            Variant::Default | Variant::Flat => {}
            Variant::TwoSsids => two_names(plan),
            Variant::DeadExit => incidents.extend(death(plan, days)),
            Variant::Dfs => incidents.extend(radar(plan, days, chance)),
            Variant::WorkPhone => {
                for phone in plan.phones.iter_mut().filter(|phone| phone.carried < 1.0) {
                    (phone.carried, phone.stays_home) = (0.02, true);
                }
            }
            Variant::DeadPhone => incidents.extend(empty_batteries(plan, days, chance)),
            Variant::Bouncing => incidents.extend(bounces(plan, days, chance)),
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Variant, String> {
        Variant::ALL.into_iter().find(|variant| variant.name() == text).ok_or_else(|| {
            let names = Variant::ALL.map(Variant::name).join(", ");
            format!("no such home; there are {names}")
        })
    }
}

/// Milliseconds from the simulation's beginning to a time of a day; at 0 if that is before.
fn at(plan: &Plan, day: u64, hour: f64) -> u64 {
    let of_day_ms = (hour * HOUR_MS as f64) as u64;
    (day * DAY_MS + of_day_ms).saturating_sub(plan.starts_at_minute * MINUTE_MS)
}

/// Each person is away for a whole day now and then, and everybody together for a weekend.
fn trips(plan: &mut Plan, days: u64, chance: &mut Random) {
    for person in 0..plan.people.len() {
        let mut day = 2 + chance.next() % 6;
        while day < days {
            let (from_h, to_h) = (chance.between(8.5, 10.5), chance.between(17.0, 22.0));
            let trip = Trip { from_ms: at(plan, day, from_h), to_ms: at(plan, day, to_h) };
            plan.people[person].trips.push(trip);
            day += 6 + chance.next() % 8;
        }
    }
    // Day 0 is a Monday.
    let mut saturday = 5 + 7 * (chance.next() % 2);
    while saturday < days {
        let from_h = chance.between(9.0, 11.0);
        let (from_ms, to_ms) =
            (at(plan, saturday, from_h), at(plan, saturday + 1, chance.between(15.0, 19.0)));
        for person in &mut plan.people {
            // One waits for the other at the gate, but not for long.
            let late_ms = chance.between_ms(0, 4 * MINUTE_MS);
            person
                .trips
                .retain(|trip| trip.to_ms + 12 * HOUR_MS < from_ms || trip.from_ms > to_ms + 12 * HOUR_MS);
            person.trips.push(Trip { from_ms: from_ms + late_ms, to_ms: to_ms + late_ms });
        }
        saturday += 14;
    }
}

/// Access points are updated or lose power, and guests come.
fn everyday(plan: &Plan, days: u64, chance: &mut Random) -> Vec<Incident> {
    let mut incidents = Vec::new();
    for ap in &plan.access_points {
        let mut at_ms = chance.between_ms(DAY_MS / 2, 9 * DAY_MS);
        while at_ms < days * DAY_MS {
            let down_ms = chance.between_ms(50 * SECOND_MS, 150 * SECOND_MS);
            incidents.push(Incident { at_ms, what: IncidentKind::Reboot { ap: ap.id.clone(), down_ms } });
            at_ms += chance.between_ms(6 * DAY_MS, 14 * DAY_MS);
        }
    }
    let mut at_ms = chance.between_ms(5 * DAY_MS, 20 * DAY_MS);
    while at_ms < days * DAY_MS {
        // The power is cut, and every access point takes its own time to come back.
        for ap in &plan.access_points {
            let down_ms = chance.between_ms(3 * MINUTE_MS, 7 * MINUTE_MS);
            incidents.push(Incident { at_ms, what: IncidentKind::Reboot { ap: ap.id.clone(), down_ms } });
        }
        at_ms += chance.between_ms(10 * DAY_MS, 25 * DAY_MS);
    }
    let mut day = chance.next() % 3;
    while day < days {
        let room = plan.rooms[2 % plan.rooms.len()].id.clone();
        let at_ms = at(plan, day, chance.between(14.0, 19.5));
        let stay_ms = chance.between_ms(HOUR_MS, 5 * HOUR_MS);
        incidents.push(Incident { at_ms, what: IncidentKind::GuestPhone { room, stay_ms } });
        day += 2 + chance.next() % 4;
    }
    incidents
}

fn two_names(plan: &mut Plan) {
    plan.ssids = ["Home 2.4".to_owned(), "Home".to_owned()];
    for phone in &mut plan.phones {
        let [a, b, c, d, e, f] = phone.macs[1].octets();
        phone.macs[0] = Mac::new([a, b, c, d ^ 0x24, e, f]);
    }
}

fn death(plan: &Plan, days: u64) -> Option<Incident> {
    let exit = plan.access_points.iter().find(|ap| ap.exit)?;
    Some(Incident { at_ms: days * DAY_MS / 3, what: IncidentKind::Death { ap: exit.id.clone() } })
}

/// Channels above 48 are shared with radar; a wait takes a minute, near weather radar ten, and sometimes repeats.
fn radar(plan: &Plan, days: u64, chance: &mut Random) -> Vec<Incident> {
    let mut incidents = Vec::new();
    for ap in plan.access_points.iter().filter(|ap| ap.channels.1 > 48) {
        let mut at_ms = chance.between_ms(HOUR_MS, 2 * DAY_MS);
        while at_ms < days * DAY_MS {
            let wait_ms = if chance.chance(0.3) { 10 * MINUTE_MS } else { MINUTE_MS } + 2 * SECOND_MS;
            incidents.push(Incident { at_ms, what: IncidentKind::DfsWait { ap: ap.id.clone(), wait_ms } });
            at_ms += if chance.chance(0.2) {
                wait_ms + chance.between_ms(MINUTE_MS, 30 * MINUTE_MS)
            } else {
                chance.between_ms(6 * HOUR_MS, 3 * DAY_MS)
            };
        }
    }
    incidents
}

/// A battery dies at night and is charged after breakfast, or dies by day and is charged an hour or three later.
fn empty_batteries(plan: &Plan, days: u64, chance: &mut Random) -> Vec<Incident> {
    let mut incidents = Vec::new();
    for phone in &plan.phones {
        for day in 1..days {
            let (from_h, to_h) = match chance.unit() {
                part if part < 0.2 => (chance.between(0.5, 5.5), chance.between(7.0, 8.0)),
                part if part < 0.25 => {
                    let from_h = chance.between(11.0, 20.0);
                    (from_h, from_h + chance.between(1.0, 3.0))
                }
                _ => continue,
            };
            let id = |phone: &Id| phone.clone();
            let dies = IncidentKind::BatteryDies { phone: id(&phone.id) };
            let charged = IncidentKind::Charged { phone: id(&phone.id) };
            incidents.push(Incident { at_ms: at(plan, day, from_h), what: dies });
            incidents.push(Incident { at_ms: at(plan, day, to_h), what: charged });
        }
    }
    incidents
}

/// Access points of the house that a phone hears alike, beside and above each other.
const NEIGHBOURS: [(usize, usize); 5] = [(1, 2), (3, 4), (2, 4), (1, 3), (4, 5)];

/// One phone a day, somewhere, for three to fifteen minutes.
fn bounces(plan: &Plan, days: u64, chance: &mut Random) -> Vec<Incident> {
    let pick = |count: usize, chance: &mut Random| (chance.next() % count.max(1) as u64) as usize;
    let mut incidents = Vec::new();
    for day in 0..days {
        let phone = plan.phones[pick(plan.phones.len(), chance)].id.clone();
        let (first, second) = NEIGHBOURS[pick(NEIGHBOURS.len(), chance)];
        let (a, b) = (plan.access_points[first].id.clone(), plan.access_points[second].id.clone());
        let at_ms = at(plan, day, chance.between(7.5, 22.0));
        let for_ms = chance.between_ms(3 * MINUTE_MS, 15 * MINUTE_MS);
        incidents.push(Incident { at_ms, what: IncidentKind::Bouncing { phone, a, b, for_ms } });
    }
    incidents
}
