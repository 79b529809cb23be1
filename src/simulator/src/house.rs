//! The default home: three floors of a brick house, ten rooms, six access points, four people with five phones.

use whichroom_wire::{Id, Mac};

use crate::makes;
use crate::plan::{AccessPoint, Around, Door, Gate, Outing, Person, Phone, Plan, Point, Room};

/// Index of a room in [`ROOMS`].
const GARDEN: usize = 0;
const KITCHEN: usize = 1;
const LIVING_ROOM: usize = 2;
const HALL: usize = 3;
const BEDROOM: usize = 4;
const KIDS_ROOM: usize = 5;
const BATHROOM: usize = 6;
const LANDING: usize = 7;
const OFFICE: usize = 8;
const ATTIC: usize = 9;

/// Index of a person.
const DAVID: usize = 3;

type RoomRow = (&'static str, u8, [f64; 4], (f64, f64));

/// Name, floor, west, south, east, north in metres, shortest and longest stay in minutes.
#[rustfmt::skip]
const ROOMS: [RoomRow; 10] = [
    ("Garden",      0, [0.0, -20.0, 12.0,  0.0], (4.0, 40.0)),
    ("Kitchen",     0, [0.0,   0.0,  5.0, 10.0], (4.0, 45.0)),
    ("Living room", 0, [7.0,   0.0, 12.0, 10.0], (8.0, 90.0)),
    ("Hall",        0, [5.0,   0.0,  7.0, 10.0], (0.5,  3.0)),
    ("Bedroom",     1, [0.0,   0.0,  5.0, 10.0], (4.0, 40.0)),
    ("Kids' room",  1, [7.0,   0.0, 12.0, 10.0], (8.0, 70.0)),
    ("Bathroom",    1, [5.0,   0.0,  7.0,  3.0], (3.0, 20.0)),
    ("Landing",     1, [5.0,   3.0,  7.0, 10.0], (0.5,  2.0)),
    ("Office",      2, [6.0,   0.0, 12.0, 10.0], (15.0, 110.0)),
    ("Attic",       2, [0.0,   0.0,  6.0, 10.0], (5.0, 60.0)),
];

#[rustfmt::skip]
const DOORS: [(usize, usize, f64, f64); 10] = [
    (GARDEN,  HALL,        6.0, 0.0),
    (GARDEN,  LIVING_ROOM, 9.5, 0.0),
    (HALL,    KITCHEN,     5.0, 5.0),
    (HALL,    LIVING_ROOM, 7.0, 5.0),
    (HALL,    LANDING,     6.0, 9.0),
    (LANDING, BEDROOM,     5.0, 6.0),
    (LANDING, KIDS_ROOM,   7.0, 6.0),
    (LANDING, BATHROOM,    6.0, 3.0),
    (LANDING, ATTIC,       5.5, 9.5),
    (ATTIC,   OFFICE,      6.0, 5.0),
];

/// Room, place, channels.
#[rustfmt::skip]
const ACCESS_POINTS: [(usize, f64, f64, (u32, u32)); 6] = [
    (GARDEN,      6.0, -9.0, (11, 108)),
    (KITCHEN,     1.5,  6.0, (1, 36)),
    (LIVING_ROOM, 11.0, 5.0, (6, 52)),
    (BEDROOM,     1.0,  3.0, (11, 100)),
    (KIDS_ROOM,   11.0, 7.0, (1, 44)),
    (OFFICE,      10.0, 3.0, (6, 60)),
];

impl Plan {
    /// The default home. Its time 0 is seven in the morning.
    pub fn house() -> Plan {
        let rooms: Vec<Room> = ROOMS.iter().enumerate().map(|(index, _)| room(index)).collect();
        let doors = DOORS.iter().map(|&(a, b, x, y)| Door { rooms: (a, b), x, y }).collect();
        let access_points = (0..ACCESS_POINTS.len()).map(access_point).collect();
        Plan {
            ssids: ["Home".to_owned(), "Home".to_owned()],
            starts_at_minute: 7 * 60,
            inner_walls_db: [6.0, 10.0],
            rooms,
            doors,
            access_points,
            people: people(),
            phones: phones(),
            gates: vec![
                Gate { room: GARDEN, at: Point { x: 6.0, y: -20.0, floor: 0 }, out: -1.0, likely: 0.7 },
                // The front door has no access point near it.
                Gate { room: HALL, at: Point { x: 6.4, y: 10.0, floor: 0 }, out: 1.0, likely: 0.3 },
            ],
            incidents: Vec::new(),
        }
    }

    /// The same home with a phone that is not well: David sits in the attic all day, between two access points that his
    /// phone hears equally badly, and it goes to and fro between them.
    #[must_use]
    pub fn with_restless_phone(mut self) -> Plan {
        let david = &mut self.people[DAVID];
        david.sits_between = Some(ATTIC);
        david.likes[ATTIC] = 60;
        for phone in self.phones.iter_mut().filter(|phone| phone.person == DAVID) {
            phone.habits = makes::RESTLESS;
        }
        self
    }

    /// The same home with so many phones, at most 255: its people have more of what they have.
    #[must_use]
    pub fn with_phones(mut self, count: u8) -> Plan {
        let first = self.phones.len();
        self.phones.truncate(count.into());
        for number in (1..=count).skip(first) {
            let like = &self.phones[usize::from(number) % first];
            let name = format!("{} {number}", like.name);
            let macs = [Mac::new([0x02, 0x5e, 0x11, 0x00, 0x00, number]); 2];
            self.phones.push(Phone { id: id(&name), name, macs, ..like.clone() });
        }
        self
    }
}

#[expect(
    clippy::expect_used,
    reason = "the names are constants of this crate, and the tests build every home"
)]
pub(crate) fn id(name: &str) -> Id {
    Id::from_name(name).expect("a constant name with letters")
}

fn room(index: usize) -> Room {
    let (name, floor, [west, south, east, north], (short, long)) = ROOMS[index];
    let adjoins = DOORS.iter().filter_map(|&(a, b, ..)| match (a == index, b == index) {
        (true, _) => Some(id(ROOMS[b].0)),
        (_, true) => Some(id(ROOMS[a].0)),
        (false, false) => None,
    });
    Room {
        id: id(name),
        name: name.to_owned(),
        floor,
        outdoor: index == GARDEN,
        adjoins: adjoins.collect(),
        west,
        south,
        east,
        north,
        stay_s: (short * 60.0, long * 60.0),
    }
}

fn access_point(index: usize) -> AccessPoint {
    let (room, x, y, channels) = ACCESS_POINTS[index];
    let (name, floor, ..) = ROOMS[room];
    AccessPoint {
        id: id(name),
        name: name.to_owned(),
        room: id(name),
        exit: room == GARDEN,
        node: format!("5e11{index:02x}"),
        at: Point { x, y, floor },
        channels,
        router: room == LIVING_ROOM,
        poll_resets_inactive: index % 2 == 1,
    }
}

pub(crate) const fn around(hour: u64, minute: u64, give_or_take: u64) -> Around {
    Around { minute: hour * 60 + minute, give_or_take }
}

/// On every working day, and now and then at the weekend.
pub(crate) const fn work(leaves: Around, shortest: u64, longest: u64) -> Outing {
    Outing { leaves, minutes: (shortest, longest), likely: (1.0, 0.2) }
}

/// On most days.
pub(crate) const fn errand(leaves: Around, shortest: u64, longest: u64) -> Outing {
    Outing { leaves, minutes: (shortest, longest), likely: (0.8, 0.7) }
}

fn people() -> Vec<Person> {
    let person = |name: &str, bed, wakes, sleeps, outings: &[Outing], likes: [u32; 10]| Person {
        id: id(name),
        name: name.to_owned(),
        bed,
        wakes,
        sleeps,
        outings: outings.to_vec(),
        trips: Vec::new(),
        likes: likes.to_vec(),
        sits_between: None,
    };
    // Likes in the order of the rooms: garden, kitchen, living room, hall, bedroom, kids' room, bathroom,
    // landing, office, attic.
    vec![
        person(
            "Anna",
            BEDROOM,
            around(6, 40, 15),
            around(22, 50, 30),
            &[work(around(8, 15, 15), 200, 280), errand(around(15, 30, 45), 25, 70)],
            [4, 10, 10, 1, 5, 3, 4, 0, 3, 1],
        ),
        person(
            "Ben",
            BEDROOM,
            around(6, 50, 15),
            around(23, 20, 30),
            &[work(around(12, 15, 30), 25, 50), errand(around(17, 30, 30), 20, 60)],
            [3, 6, 5, 1, 2, 1, 3, 0, 16, 2],
        ),
        person(
            "Clara",
            KIDS_ROOM,
            around(6, 55, 10),
            around(21, 0, 20),
            &[work(around(7, 40, 8), 310, 350), errand(around(15, 0, 40), 45, 120)],
            [7, 4, 8, 1, 2, 12, 3, 0, 0, 3],
        ),
        person(
            "David",
            ATTIC,
            around(7, 15, 25),
            around(22, 20, 40),
            &[work(around(10, 0, 30), 35, 80), errand(around(16, 15, 40), 25, 60)],
            [8, 8, 9, 1, 0, 2, 3, 0, 1, 8],
        ),
    ]
}

fn phones() -> Vec<Phone> {
    let phone = |number: u8, name: &str, person, carried, habits| Phone {
        id: id(name),
        name: name.to_owned(),
        macs: [Mac::new([0x02, 0x5e, 0x11, 0x00, 0x00, number]); 2],
        person,
        carried,
        stays_home: false,
        habits,
    };
    vec![
        phone(1, "Anna's phone", 0, 1.0, makes::ATTENTIVE),
        phone(2, "Ben's phone", 1, 1.0, makes::DROWSY),
        phone(3, "Ben's work phone", 1, 0.4, makes::MANAGED),
        phone(4, "Clara's phone", 2, 1.0, makes::CHEAP),
        phone(5, "David's phone", DAVID, 1.0, makes::OLD),
    ]
}
