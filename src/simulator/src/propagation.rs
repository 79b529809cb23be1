//! How loudly a phone is heard: log-distance path loss, walls and floors along the way, and shadows that stay
//! where they are. What changes with time is the phone's business.

use crate::plan::{Plan, Point};
use crate::random::mix;

/// One of the two bands of an access point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Band {
    Low,
    High,
}

impl Band {
    /// Of a BSS, by its number among all: each access point has two.
    pub(crate) fn of(bss: usize) -> Band {
        if bss % 2 == 1 { Band::High } else { Band::Low }
    }

    /// Centre of a channel of 20 MHz.
    pub(crate) fn freq_mhz(self, channel: u32) -> u32 {
        match self {
            Band::Low => 2407 + 5 * channel,
            Band::High => 5000 + 5 * channel,
        }
    }
}

/// What a band loses to distance and to matter, in dB.
struct Losses {
    first_metre: f64,
    per_decade: f64,
    outer_wall: f64,
    floor: f64,
}

const LOSSES_LOW: Losses = Losses { first_metre: 40.0, per_decade: 24.0, outer_wall: 12.0, floor: 15.0 };
const LOSSES_HIGH: Losses = Losses { first_metre: 47.0, per_decade: 24.0, outer_wall: 18.0, floor: 21.0 };

/// A phone's transmit power with its antenna and the hand around it.
const PHONE_DBM: f64 = 9.0;

/// The power at which an access point is as loud at a phone as the phone at the access point: its antennas and receiver
/// are the better ones.
const BALANCED_DBM: f64 = 16.0;

/// By how much an access point of this power is louder at a phone than the phone at it.
pub(crate) fn downlink_db(txpower_dbm: i8) -> f64 {
    f64::from(txpower_dbm) - BALANCED_DBM
}

/// Hedges, cars and the neighbours' houses beyond the gate.
const STREET_DB_PER_M: f64 = 0.6;

/// The body between a phone and an access point, and the hand around its antennas.
const BODY_DB: f64 = 2.5;

const STOREY_M: f64 = 2.8;
const SHADOW_DB: f64 = 3.0;
const SHADOW_CELL_M: f64 = 2.5;

fn height_m(point: Point) -> f64 {
    // Both phones and access points are somewhere between table and ceiling.
    f64::from(point.floor) * STOREY_M + 1.3
}

/// What an access point at `to` hears of a phone at `from`, in dBm, without any fading in time.
pub(crate) fn uplink_dbm(plan: &Plan, seed: u64, bss: usize, band: Band, from: Point, to: Point) -> f64 {
    let losses = losses_of(band);
    let (dx, dy, dz) = (to.x - from.x, to.y - from.y, height_m(to) - height_m(from));
    let distance_m = (dx * dx + dy * dy + dz * dz).sqrt().max(1.0);
    let distance_db = losses.first_metre + losses.per_decade * distance_m.log10();
    let beyond_m = plan.gates.iter().map(|gate| gate.beyond_m(from.y)).fold(0.0, f64::max);
    PHONE_DBM - distance_db - beyond_m * STREET_DB_PER_M - matter_db(plan, band, from, to, distance_m)
        + shadow_db(seed, bss, from)
}

fn losses_of(band: Band) -> &'static Losses {
    match band {
        Band::Low => &LOSSES_LOW,
        Band::High => &LOSSES_HIGH,
    }
}

/// Walks along the ray and counts the walls and floors it goes through.
fn matter_db(plan: &Plan, band: Band, from: Point, to: Point, distance_m: f64) -> f64 {
    let (losses, inner_wall_db) = (losses_of(band), plan.inner_walls_db[band as usize]);
    let steps = (distance_m / 0.3).ceil().max(1.0) as u32;
    let space_at = |step: u32| {
        let part = f64::from(step) / f64::from(steps);
        let height = height_m(from) + (height_m(to) - height_m(from)) * part;
        let floor = (height / STOREY_M) as u8;
        let room = plan.room_at(from.x + (to.x - from.x) * part, from.y + (to.y - from.y) * part, floor);
        (floor, room.filter(|&room| !plan.rooms[room].outdoor))
    };
    let mut lost = 0.0;
    let mut before = space_at(0);
    for step in 1..=steps {
        let here = space_at(step);
        lost += match (before, here) {
            (before, here) if before == here => 0.0,
            ((_, Some(_)), (_, None)) | ((_, None), (_, Some(_))) => losses.outer_wall,
            ((_, None), (_, None)) => 0.0,
            ((floor_before, _), (floor, _)) if floor_before != floor => losses.floor,
            ((_, Some(_)), (_, Some(_))) => inner_wall_db,
        };
        before = here;
    }
    lost
}

/// What an access point loses to how somebody stands or sits with a phone; `aspect` is another for each stop.
pub(crate) fn body_db(aspect: u64, ap: usize) -> f64 {
    BODY_DB * bell(mix(aspect, ap as u64))
}

/// Bell-shaped of deviation 1: the sum of four bytes is near enough.
fn bell(bits: u64) -> f64 {
    let sum: u32 = bits.to_le_bytes()[..4].iter().map(|&byte| u32::from(byte)).sum();
    (f64::from(sum) - 510.0) / 148.0
}

/// Furniture and reflections: a smooth random field over the place, another for each BSS.
fn shadow_db(seed: u64, bss: usize, at: Point) -> f64 {
    let (x, y) = (at.x / SHADOW_CELL_M, at.y / SHADOW_CELL_M);
    let (west, south) = (x.floor(), y.floor());
    let corner = |east: f64, north: f64| {
        // Far away is all one place; the cast of a negative or huge double saturates.
        let cell = ((west + east + 500.0) as u64) << 32 | ((south + north + 500.0) as u64) << 16;
        bell(mix(seed ^ ((bss as u64) << 8 | u64::from(at.floor)), cell))
    };
    let (part_x, part_y) = (x - west, y - south);
    let along = |north: f64| corner(0.0, north) * (1.0 - part_x) + corner(1.0, north) * part_x;
    SHADOW_DB * (along(0.0) * (1.0 - part_y) + along(1.0) * part_y)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn average_dbm(plan: &Plan, ap: usize, band: Band, from: Point) -> f64 {
        let at = plan.access_points[ap].at;
        (0..50).map(|seed| uplink_dbm(plan, seed, ap * 2, band, from, at)).sum::<f64>() / 50.0
    }

    #[test]
    fn an_access_point_hears_its_own_room_best_and_far_floors_hardly() {
        let plan = Plan::house();
        for (index, ap) in plan.access_points.iter().enumerate() {
            let room = &plan.rooms[plan.room_index(&ap.room).unwrap()];
            let middle = Point {
                x: (room.west + room.east) / 2.0,
                y: (room.south + room.north) / 2.0,
                floor: room.floor,
            };
            for band in [Band::Low, Band::High] {
                let own = average_dbm(&plan, index, band, middle);
                assert!((-65.0..-28.0).contains(&own), "{} {band:?} {own}", ap.id);
                for (other, _) in plan.access_points.iter().enumerate().filter(|&(other, _)| other != index) {
                    assert!(average_dbm(&plan, other, band, middle) < own - 8.0, "{} {other}", ap.id);
                }
            }
        }
        let kitchen = Point { x: 2.0, y: 6.0, floor: 0 };
        assert!(
            average_dbm(&plan, 5, Band::High, kitchen) < average_dbm(&plan, 1, Band::High, kitchen) - 30.0
        );
    }

    #[test]
    fn shadows_are_smooth_in_place_and_differ_between_radios() {
        let near = |x: f64| shadow_db(1, 0, Point { x, y: 3.0, floor: 1 });
        for step in 0..100 {
            let x = f64::from(step) * 0.1;
            assert!((near(x) - near(x + 0.1)).abs() < 1.5, "at {x}");
        }
        assert!((near(3.0) - shadow_db(1, 1, Point { x: 3.0, y: 3.0, floor: 1 })).abs() > 0.001);
    }
}
