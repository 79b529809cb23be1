//! What the simulated home is made of: rooms, doors, access points, people and phones, as plain data.

use whichroom_wire::{Id, Mac};

/// A point in the home: metres from its south-west corner, and the floor one stands on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Metres to the east.
    pub x: f64,
    /// Metres to the north; the garden is south of the house, below 0.
    pub y: f64,
    /// 0 is the ground floor.
    pub floor: u8,
}

/// So near to a wall nobody sits.
pub(crate) const WALL_M: f64 = 0.6;

/// A room: a rectangle on one floor.
#[derive(Debug, Clone, PartialEq)]
pub struct Room {
    /// In the topics.
    pub id: Id,
    /// For people.
    pub name: String,
    /// 0 is the ground floor.
    pub floor: u8,
    /// In the open.
    pub outdoor: bool,
    /// Rooms one can walk to from here.
    pub adjoins: Vec<Id>,
    pub(crate) west: f64,
    pub(crate) south: f64,
    pub(crate) east: f64,
    pub(crate) north: f64,
    /// How long people stay, in seconds: shortest and longest.
    pub(crate) stay_s: (f64, f64),
}

/// A door or stairs between two rooms, by index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Door {
    pub(crate) rooms: (usize, usize),
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// A way out of the home, to the south or to the north.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Gate {
    /// The room one leaves through.
    pub(crate) room: usize,
    pub(crate) at: Point,
    /// 1 if the street is to the north, -1 if to the south.
    pub(crate) out: f64,
    /// How likely it is taken, of all.
    pub(crate) likely: f64,
}

impl Gate {
    /// How far beyond it somebody is, in metres.
    pub(crate) fn beyond_m(&self, y: f64) -> f64 {
        ((y - self.at.y) * self.out).max(0.0)
    }
}

/// An access point, with two BSSs: 2.4 GHz and 5 GHz.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessPoint {
    /// In the topics.
    pub id: Id,
    /// For people.
    pub name: String,
    /// The room it stands in.
    pub room: Id,
    /// People leave home past it.
    pub exit: bool,
    /// Stable id of the hardware.
    pub node: String,
    pub(crate) at: Point,
    pub(crate) channels: (u32, u32),
    /// It hands out addresses, so its agent knows host names.
    pub(crate) router: bool,
    /// Its driver resets the inactive time when a sleeping station acknowledges hostapd's poll.
    pub(crate) poll_resets_inactive: bool,
}

/// A person.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// In the topics.
    pub id: Id,
    /// For people.
    pub name: String,
    pub(crate) bed: usize,
    pub(crate) wakes: Around,
    pub(crate) sleeps: Around,
    pub(crate) outings: Vec<Outing>,
    /// Longer times away, which replace what the days would have held.
    pub(crate) trips: Vec<Trip>,
    /// How much they like each room, by index, while at home and awake.
    pub(crate) likes: Vec<u32>,
    /// A room in which they always sit in the same place: where two access points are heard almost alike, and badly.
    pub(crate) sits_between: Option<usize>,
}

/// A time of day, more or less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Around {
    pub(crate) minute: u64,
    pub(crate) give_or_take: u64,
}

/// A time away from home, on some days of the week.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outing {
    pub(crate) leaves: Around,
    /// Minutes away: shortest and longest.
    pub(crate) minutes: (u64, u64),
    /// How likely on a working day and on a day of the weekend, of 1.
    pub(crate) likely: (f64, f64),
}

/// A day or more away, in simulated milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trip {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
}

/// A phone.
#[derive(Debug, Clone, PartialEq)]
pub struct Phone {
    /// In the topics.
    pub id: Id,
    /// For people; also its host name.
    pub name: String,
    /// Its owner, as an index into the people.
    pub person: usize,
    /// Its private addresses on the networks of 2.4 GHz and 5 GHz.
    pub(crate) macs: [Mac; 2],
    /// How likely its owner takes it along to another room, of 1.
    pub(crate) carried: f64,
    /// It is never taken out of the house; any other always comes along.
    pub(crate) stays_home: bool,
    pub(crate) habits: Habits,
}

impl Phone {
    /// Its private addresses: one for each network's name.
    pub fn macs(&self) -> Vec<Mac> {
        let [low, high] = self.macs;
        if low == high { vec![low] } else { vec![low, high] }
    }
}

/// How a make of phone behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Habits {
    /// Signal below which it looks for another access point.
    pub(crate) roam_below_dbm: f64,
    /// How likely it says goodbye when it loses its access point, of 1.
    pub(crate) says_goodbye: f64,
    /// How likely it sleeps through hostapd's poll and is thrown out, of 1.
    pub(crate) sleeps_through_poll: f64,
    /// How likely it probes with the address it is associated with, of 1; else with a random one.
    pub(crate) probes_openly: f64,
    /// Looks around while it is used: after 20 s, 40 s, 80 s, then every 160 s.
    pub(crate) scans_in_use: bool,
    /// How likely a doze by day is one of 20 to 180 minutes, of 1.
    pub(crate) dozes_deeply: f64,
    pub(crate) night: Night,
    /// First octet of its RM enabled capabilities.
    pub(crate) rrm: u8,
    /// How likely it refuses to report beacons, of 1.
    pub(crate) refuses: f64,
    /// In use whenever its owner sits, it looks around every few seconds, badly, and goes to whatever seems a little
    /// better; 5 GHz at any price.
    pub(crate) restless: bool,
}

/// What a phone does while its owner is asleep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Night {
    /// Fetches messages every few minutes to two hours.
    Fetches,
    /// Is silent for 7 to 11 hours, unless it is picked up.
    Silent,
    /// Is put into flight mode, with this likelihood of 1; else as `Fetches`.
    Flight(f64),
}

/// Something that goes wrong, or comes from outside, at a time of the simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// When, in simulated milliseconds.
    pub at_ms: u64,
    /// What.
    pub what: IncidentKind,
}

/// What an [`Incident`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncidentKind {
    /// An access point restarts and is gone for so long.
    Reboot {
        /// Which.
        ap: Id,
        /// For how long.
        down_ms: u64,
    },
    /// An access point dies and stays dead.
    Death {
        /// Which.
        ap: Id,
    },
    /// The 5 GHz BSS of an access point waits for radar.
    DfsWait {
        /// Which.
        ap: Id,
        /// For how long.
        wait_ms: u64,
    },
    /// A stranger's phone joins the network in a room.
    GuestPhone {
        /// Where.
        room: Id,
        /// For how long.
        stay_ms: u64,
    },
    /// A phone's battery is empty.
    BatteryDies {
        /// Which.
        phone: Id,
    },
    /// It is charged, and on again.
    Charged {
        /// Which.
        phone: Id,
    },
    /// A phone goes to and fro between two access points every 1 to 3 s.
    Bouncing {
        /// Which.
        phone: Id,
        /// One access point.
        a: Id,
        /// The other.
        b: Id,
        /// For how long.
        for_ms: u64,
    },
}

/// The whole home.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The networks of 2.4 GHz and 5 GHz.
    pub(crate) ssids: [String; 2],
    /// Minute of the day at which the simulation's time is 0.
    pub(crate) starts_at_minute: u64,
    /// What a wall inside costs on 2.4 GHz and on 5 GHz, in dB: plaster little, brick much.
    pub(crate) inner_walls_db: [f64; 2],
    pub(crate) rooms: Vec<Room>,
    pub(crate) doors: Vec<Door>,
    pub(crate) access_points: Vec<AccessPoint>,
    pub(crate) people: Vec<Person>,
    pub(crate) phones: Vec<Phone>,
    /// The ways out; never empty.
    pub(crate) gates: Vec<Gate>,
    pub(crate) incidents: Vec<Incident>,
}

impl Plan {
    /// The same home with things going wrong.
    #[must_use]
    pub fn with_incidents(mut self, incidents: Vec<Incident>) -> Plan {
        self.incidents = incidents;
        self
    }

    /// Minute of the day at which the simulation's time is 0.
    pub fn starts_at_minute(&self) -> u64 {
        self.starts_at_minute
    }

    pub(crate) fn room_index(&self, id: &Id) -> Option<usize> {
        self.rooms.iter().position(|room| room.id == *id)
    }

    /// Places in a room where somebody may be, in a grid, not right at a wall.
    pub(crate) fn places_in(&self, room: usize, step_m: f64) -> impl Iterator<Item = Point> + '_ {
        let room = &self.rooms[room];
        let steps = move |from: f64, to: f64| ((to - from - 2.0 * WALL_M) / step_m) as u32;
        (0..=steps(room.west, room.east)).flat_map(move |east| {
            (0..=steps(room.south, room.north)).map(move |north| Point {
                x: room.west + WALL_M + f64::from(east) * step_m,
                y: room.south + WALL_M + f64::from(north) * step_m,
                floor: room.floor,
            })
        })
    }

    pub(crate) fn room_at(&self, x: f64, y: f64, floor: u8) -> Option<usize> {
        self.rooms.iter().position(|room| {
            room.floor == floor
                && (room.west..room.east).contains(&x)
                && (room.south..room.north).contains(&y)
        })
    }

    /// Doors on the shortest way between two rooms, in order; each with the room behind it.
    pub(crate) fn way(&self, from: usize, to: usize) -> Vec<(&Door, usize)> {
        let mut came_by: Vec<Option<(&Door, usize)>> = vec![None; self.rooms.len()];
        let mut next = std::collections::VecDeque::from([from]);
        while let Some(room) = next.pop_front() {
            for door in &self.doors {
                let behind = match door.rooms {
                    (a, b) if a == room => b,
                    (a, b) if b == room => a,
                    _ => continue,
                };
                if behind != from && came_by[behind].is_none() {
                    came_by[behind] = Some((door, room));
                    next.push_back(behind);
                }
            }
        }
        let mut way = Vec::new();
        let mut room = to;
        while room != from {
            // Every room of a home has a door; in one that does not, people stay where they are.
            let Some((door, before)) = came_by[room] else { return Vec::new() };
            way.push((door, room));
            room = before;
        }
        way.reverse();
        way
    }
}
