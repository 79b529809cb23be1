//! A small flat on the second floor: five rooms, one access point near the door, two people with a phone each.

use whichroom_wire::Mac;

use crate::house::{around, errand, id, work};
use crate::makes;
use crate::plan::{AccessPoint, Door, Gate, Person, Phone, Plan, Point, Room};

const HALL: usize = 0;
const LIVING_ROOM: usize = 1;
const BEDROOM: usize = 3;
const FLOOR: u8 = 2;

/// Name, west, south, east, north in metres, shortest and longest stay in minutes.
#[rustfmt::skip]
const ROOMS: [(&str, [f64; 4], (f64, f64)); 5] = [
    ("Hall",        [4.0, 0.0, 6.0, 7.0], (0.5, 3.0)),
    ("Living room", [6.0, 0.0, 11.0, 5.0], (8.0, 110.0)),
    ("Kitchen",     [0.0, 0.0, 4.0, 3.5], (4.0, 45.0)),
    ("Bedroom",     [0.0, 3.5, 4.0, 8.0], (4.0, 60.0)),
    ("Bathroom",    [6.0, 5.0, 8.0, 8.0], (3.0, 20.0)),
];

#[rustfmt::skip]
const DOORS: [(usize, usize, f64, f64); 4] = [
    (HALL, LIVING_ROOM, 6.0, 3.0),
    (HALL, 2, 4.0, 2.0),
    (HALL, BEDROOM, 4.0, 5.0),
    (HALL, 4, 6.0, 6.0),
];

impl Plan {
    /// The flat. Its time 0 is seven in the morning.
    pub fn flat() -> Plan {
        let doors = DOORS.iter().map(|&(a, b, x, y)| Door { rooms: (a, b), x, y });
        Plan {
            ssids: ["Home".to_owned(), "Home".to_owned()],
            starts_at_minute: 7 * 60,
            inner_walls_db: [3.0, 5.0],
            rooms: (0..ROOMS.len()).map(room).collect(),
            doors: doors.collect(),
            access_points: vec![AccessPoint {
                id: id("Flat"),
                name: "Flat".to_owned(),
                room: id(ROOMS[LIVING_ROOM].0),
                exit: true,
                node: "5e1200".to_owned(),
                at: Point { x: 6.4, y: 2.2, floor: FLOOR },
                channels: (6, 36),
                router: true,
                poll_resets_inactive: true,
            }],
            people: people(),
            phones: phones(),
            gates: vec![Gate {
                room: HALL,
                at: Point { x: 5.0, y: 0.0, floor: FLOOR },
                out: -1.0,
                likely: 1.0,
            }],
            incidents: Vec::new(),
        }
    }
}

fn room(index: usize) -> Room {
    let (name, [west, south, east, north], (short, long)) = ROOMS[index];
    let adjoins: Vec<_> = match index {
        HALL => ROOMS[1..].iter().map(|row| id(row.0)).collect(),
        _ => vec![id(ROOMS[HALL].0)],
    };
    Room {
        id: id(name),
        name: name.to_owned(),
        floor: FLOOR,
        outdoor: false,
        adjoins,
        west,
        south,
        east,
        north,
        stay_s: (short * 60.0, long * 60.0),
    }
}

fn people() -> Vec<Person> {
    // Likes in the order of the rooms: hall, living room, kitchen, bedroom, bathroom.
    vec![
        Person {
            id: id("Eve"),
            name: "Eve".to_owned(),
            bed: BEDROOM,
            wakes: around(6, 30, 20),
            sleeps: around(22, 45, 40),
            outings: vec![work(around(7, 50, 20), 480, 600), errand(around(19, 0, 40), 30, 150)],
            trips: Vec::new(),
            likes: vec![1, 12, 6, 4, 3],
            sits_between: None,
        },
        Person {
            id: id("Fred"),
            name: "Fred".to_owned(),
            bed: BEDROOM,
            wakes: around(7, 10, 20),
            sleeps: around(23, 30, 40),
            outings: vec![work(around(12, 30, 30), 25, 60), errand(around(17, 0, 60), 20, 120)],
            trips: Vec::new(),
            likes: vec![1, 14, 5, 5, 3],
            sits_between: None,
        },
    ]
}

fn phones() -> Vec<Phone> {
    let phone = |number: u8, name: &str, person, habits| Phone {
        id: id(name),
        name: name.to_owned(),
        macs: [Mac::new([0x02, 0x5e, 0x12, 0x00, 0x00, number]); 2],
        person,
        carried: 1.0,
        stays_home: false,
        habits,
    };
    vec![phone(1, "Eve's phone", 0, makes::ATTENTIVE), phone(2, "Fred's phone", 1, makes::DROWSY)]
}
