//! Where exactly somebody sits who sits between two access points: the place differs with the shadows of each seed.

use crate::phone::liking;
use crate::plan::{Habits, Plan, Point};
use crate::propagation::{Band, body_db, downlink_db, uplink_dbm};

use super::TXPOWER_DBM;

/// One of the two is heard better by so much: hardly anything, but not nothing.
const DIFFERENCE_DB: f64 = 1.0;
/// Others are heard worse by at least so much.
const CLEAR_DB: f64 = 7.0;
/// Both are heard like this: badly, but well enough to stay.
const LEVELS_DBM: (f64, f64) = (-74.0, -67.0);

/// How the owner of a seat sits in it: always the same way.
pub(super) const ASPECT: u64 = 0;

/// The place in a person's favourite room that fits best; nothing for who has none.
pub(super) fn seat(plan: &Plan, seed: u64, person: usize) -> Option<(usize, Point)> {
    let room = plan.people[person].sits_between?;
    let habits = plan.phones.iter().find(|phone| phone.person == person)?.habits;
    let misfit = |point: &Point| misfit_db(plan, seed, &habits, *point);
    let best = plan.places_in(room, 0.25).min_by(|a, b| misfit(a).total_cmp(&misfit(b)));
    Some((room, best?))
}

/// How far a place is from one between two access points of the same band, in dB.
fn misfit_db(plan: &Plan, seed: u64, habits: &Habits, point: Point) -> f64 {
    let mut liked: Vec<(f64, f64, usize)> = (0..plan.access_points.len() * 2)
        .map(|bss| {
            let (band, at) = (Band::of(bss), plan.access_points[bss / 2].at);
            let reach_dbm = uplink_dbm(plan, seed, bss, band, point, at) - body_db(ASPECT, bss / 2);
            let heard_dbm = reach_dbm + downlink_db(TXPOWER_DBM[bss % 2]);
            (liking(habits, heard_dbm, band), heard_dbm, bss)
        })
        .collect();
    liked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let [first, second, third, ..] = liked[..] else { return f64::INFINITY };
    if first.2 / 2 == second.2 / 2 || first.2 % 2 != second.2 % 2 {
        return f64::INFINITY;
    }
    let difference_db = (first.0 - second.0 - DIFFERENCE_DB).abs();
    let near_db = (CLEAR_DB - (second.0 - third.0)).max(0.0);
    let (low, high) = LEVELS_DBM;
    let level_db = (low - second.1).max(first.1 - high).max(0.0);
    difference_db + near_db + level_db
}
