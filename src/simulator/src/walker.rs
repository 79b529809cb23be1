//! A person: what they do all day, and where exactly they are at any time. Movement is kept as straight legs, so
//! the place at a time is found, not stepped.

use crate::plan::{Around, Gate, Person, Plan, Point, WALL_M};
use crate::random::Random;

const MINUTE_MS: u64 = 60_000;
const DAY_MIN: u64 = 24 * 60;
const WALK_M_PER_S: f64 = 1.1;
const STAIRS_MS: u64 = 6_000;
/// Beyond the gate people are followed this far, then they are simply away.
const STREET_M: f64 = 90.0;

/// Where a person really is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// Beyond the gate.
    Away,
    /// In a room, as an index into the rooms.
    Room(usize),
}

/// A straight piece of a way, or a stop where both ends are the same.
#[derive(Debug, Clone, PartialEq)]
struct Leg {
    start_ms: u64,
    end_ms: u64,
    from: Point,
    to: Point,
    truth: Truth,
}

/// What a person has to do at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    Away,
    Sleep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    from_ms: u64,
    to_ms: u64,
    duty: Duty,
}

/// A person at a time.
#[derive(Debug, Clone)]
pub(crate) struct Walker {
    index: usize,
    /// The way out that was taken last.
    gate: usize,
    /// Ways of the last walk; never empty.
    legs: Vec<Leg>,
    agenda: Vec<Slot>,
    planned_days: u64,
    asleep_until_ms: Option<u64>,
    night: Option<Night>,
    /// Where exactly they always sit, in one of the rooms.
    seat: Option<(usize, Point)>,
}

/// A night in bed: the phone lies beside it, whoever walks about.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Night {
    from_ms: u64,
    to_ms: u64,
    bedside: Point,
}

impl Walker {
    pub(crate) fn new(
        plan: &Plan,
        index: usize,
        seat: Option<(usize, Point)>,
        random: &mut Random,
    ) -> Walker {
        let person = &plan.people[index];
        let at = spot(plan, person.bed, seat, random);
        let leg = Leg { start_ms: 0, end_ms: 0, from: at, to: at, truth: Truth::Room(person.bed) };
        Walker {
            index,
            gate: 0,
            legs: vec![leg],
            agenda: Vec::new(),
            planned_days: 0,
            asleep_until_ms: None,
            night: None,
            seat,
        }
    }

    pub(crate) fn truth(&self, now_ms: u64) -> Truth {
        self.leg(now_ms).truth
    }

    pub(crate) fn place(&self, now_ms: u64) -> Point {
        let leg = self.leg(now_ms);
        if now_ms >= leg.end_ms {
            return leg.to;
        }
        let part = now_ms.saturating_sub(leg.start_ms) as f64 / (leg.end_ms - leg.start_ms) as f64;
        Point {
            x: leg.from.x + (leg.to.x - leg.from.x) * part,
            y: leg.from.y + (leg.to.y - leg.from.y) * part,
            floor: if part < 0.5 { leg.from.floor } else { leg.to.floor },
        }
    }

    pub(crate) fn is_walking(&self, now_ms: u64) -> bool {
        now_ms < self.leg(now_ms).end_ms
    }

    /// Where what they carry is: beside the bed for the night.
    pub(crate) fn bedside(&self, now_ms: u64) -> Option<Point> {
        let night = self.night.filter(|night| (night.from_ms..night.to_ms).contains(&now_ms));
        night.map(|night| night.bedside)
    }

    /// The night that begins with this decision, in simulated milliseconds.
    pub(crate) fn night_ahead(&self, now_ms: u64) -> Option<(u64, u64)> {
        self.night.filter(|night| night.from_ms > now_ms).map(|night| (night.from_ms, night.to_ms))
    }

    /// Whether the night is over and they have not moved since; forgets it.
    pub(crate) fn rises(&mut self, now_ms: u64) -> bool {
        self.night.take_if(|night| night.to_ms <= now_ms).is_some()
    }

    pub(crate) fn is_asleep(&self, now_ms: u64) -> bool {
        self.asleep_until_ms.is_some_and(|until_ms| now_ms < until_ms)
    }

    /// Beyond the end of the street, where no radio of the home reaches.
    pub(crate) fn is_far(&self, now_ms: u64) -> bool {
        self.truth(now_ms) == Truth::Away && !self.is_walking(now_ms)
    }

    /// On the way out of the house.
    pub(crate) fn is_leaving(&self) -> bool {
        self.legs.last().is_some_and(|leg| leg.truth == Truth::Away)
    }

    fn leg(&self, now_ms: u64) -> &Leg {
        let started = self.legs.partition_point(|leg| leg.start_ms <= now_ms);
        &self.legs[started.saturating_sub(1)]
    }

    /// Decides what to do now, and says when to decide again. `fetch` is a room with something to take along
    /// before leaving home.
    pub(crate) fn decide(
        &mut self,
        plan: &Plan,
        fetch: Option<usize>,
        now_ms: u64,
        random: &mut Random,
    ) -> u64 {
        self.plan_days(plan, now_ms, random);
        self.agenda.retain(|slot| slot.to_ms > now_ms);
        let Some(&next) = self.agenda.first() else {
            return now_ms + MINUTE_MS;
        };
        if next.from_ms > now_ms {
            let to = self.room_to_be_in(plan, random);
            let arrived_ms = self.walk_to(plan, to, now_ms, random);
            let (short, long) = plan.rooms[to].stay_s;
            return (arrived_ms + random.spread_ms(short, long)).min(next.from_ms.max(arrived_ms));
        }
        match next.duty {
            Duty::Sleep => self.sleep(plan, next.to_ms, now_ms, random),
            Duty::Away => match fetch {
                Some(room) => self.walk_to(plan, room, now_ms, random) + random.between_ms(5_000, 30_000),
                None => {
                    self.walk_out(plan, now_ms, random);
                    next.to_ms
                }
            },
        }
    }

    /// Goes to bed, perhaps with a visit to another room in the night.
    fn sleep(&mut self, plan: &Plan, until_ms: u64, now_ms: u64, random: &mut Random) -> u64 {
        let bed = plan.people[self.index].bed;
        let arrived_ms = self.walk_to(plan, bed, now_ms, random);
        if self.night.is_none() {
            let bedside = self.place(arrived_ms);
            self.night = Some(Night { from_ms: arrived_ms, to_ms: until_ms.max(arrived_ms), bedside });
        }
        if random.chance(0.7) {
            self.asleep_until_ms = Some(until_ms);
            return until_ms.max(arrived_ms);
        }
        let rise_ms =
            random.between_ms(arrived_ms + 30 * MINUTE_MS, (arrived_ms + 31 * MINUTE_MS).max(until_ms));
        self.asleep_until_ms = Some(rise_ms);
        if rise_ms >= until_ms {
            return until_ms.max(arrived_ms);
        }
        // Up for a moment; the way back to bed is the next decision.
        let bathroom = plan.way(bed, plan.gates[self.gate].room).first().map_or(bed, |&(_, room)| room);
        let there_ms = rise_ms + 60_000;
        let mut legs = std::mem::take(&mut self.legs);
        legs.extend(self.legs_to(
            plan,
            legs.last().map_or(plan.gates[self.gate].at, |leg| leg.to),
            bed,
            bathroom,
            rise_ms,
            random,
        ));
        self.legs = legs;
        there_ms.max(self.legs.last().map_or(0, |leg| leg.end_ms))
    }

    fn room_to_be_in(&self, plan: &Plan, random: &mut Random) -> usize {
        let likes = &plan.people[self.index].likes;
        let mut chosen = random.next() % u64::from(likes.iter().sum::<u32>().max(1));
        for (room, &like) in likes.iter().enumerate() {
            if chosen < u64::from(like) {
                return room;
            }
            chosen -= u64::from(like);
        }
        plan.people[self.index].bed
    }

    /// Starts walking to a room and returns the time of arrival.
    fn walk_to(&mut self, plan: &Plan, room: usize, now_ms: u64, random: &mut Random) -> u64 {
        let (mut at, mut start_ms, mut legs) = (self.place(now_ms), now_ms, Vec::new());
        let from = match self.truth(now_ms) {
            Truth::Room(from) => from,
            Truth::Away => {
                let gate = self.choose_gate(plan, random);
                start_ms += walk_ms(at, gate.at);
                let truth = Truth::Away;
                legs.push(Leg { start_ms: now_ms, end_ms: start_ms, from: at, to: gate.at, truth });
                at = gate.at;
                gate.room
            }
        };
        legs.extend(self.legs_to(plan, at, from, room, start_ms, random));
        self.legs = legs;
        self.legs.last().map_or(now_ms, |leg| leg.end_ms)
    }

    fn legs_to(
        &self,
        plan: &Plan,
        mut at: Point,
        mut room: usize,
        to: usize,
        mut now_ms: u64,
        random: &mut Random,
    ) -> Vec<Leg> {
        let mut legs = Vec::new();
        for (door, behind) in plan.way(room, to) {
            let threshold = Point { x: door.x, y: door.y, floor: at.floor };
            let end_ms = now_ms + walk_ms(at, threshold);
            legs.push(Leg { start_ms: now_ms, end_ms, from: at, to: threshold, truth: Truth::Room(room) });
            (at, now_ms, room) = (threshold, end_ms, behind);
            if plan.rooms[behind].floor != at.floor {
                let up = Point { floor: plan.rooms[behind].floor, ..at };
                let end_ms = now_ms + STAIRS_MS;
                legs.push(Leg { start_ms: now_ms, end_ms, from: at, to: up, truth: Truth::Room(room) });
                (at, now_ms) = (up, end_ms);
            }
        }
        let to = spot(plan, to, self.seat, random);
        let end_ms = now_ms + walk_ms(at, to);
        legs.push(Leg { start_ms: now_ms, end_ms, from: at, to, truth: Truth::Room(room) });
        legs
    }

    /// Who went out one way may come back another.
    fn choose_gate(&mut self, plan: &Plan, random: &mut Random) -> Gate {
        let mut part = random.unit() * plan.gates.iter().map(|gate| gate.likely).sum::<f64>();
        self.gate = 0;
        for (index, gate) in plan.gates.iter().enumerate() {
            self.gate = index;
            part -= gate.likely;
            if part < 0.0 {
                break;
            }
        }
        plan.gates[self.gate]
    }

    fn walk_out(&mut self, plan: &Plan, now_ms: u64, random: &mut Random) {
        let (at, truth) = (self.place(now_ms), self.truth(now_ms));
        let Truth::Room(room) = truth else { return };
        let gate = self.choose_gate(plan, random);
        let mut legs = self.legs_to(plan, at, room, gate.room, now_ms, random);
        // The last leg would be to a spot in the last room: to the gate instead, and down the street.
        if let Some(last) = legs.last_mut() {
            last.to = gate.at;
            last.end_ms = last.start_ms + walk_ms(last.from, gate.at);
        }
        let gate_ms = legs.last().map_or(now_ms, |leg| leg.end_ms);
        // A bicycle, a car door, a word with a neighbour.
        let off_ms = gate_ms + random.spread_ms(5.0, 60.0);
        let stop = Leg {
            start_ms: gate_ms,
            end_ms: off_ms,
            from: gate.at,
            to: gate.at,
            truth: Truth::Room(gate.room),
        };
        legs.push(stop);
        let side = if random.chance(0.5) { 1.0 } else { -1.0 };
        let (x, y) = (gate.at.x + side * STREET_M * 0.8, gate.at.y + gate.out * STREET_M * 0.6);
        let far = Point { x, y, floor: 0 };
        let end_ms = off_ms + walk_ms(gate.at, far);
        legs.push(Leg { start_ms: off_ms, end_ms, from: gate.at, to: far, truth: Truth::Away });
        self.legs = legs;
    }

    /// Fills the agenda up to a day ahead.
    fn plan_days(&mut self, plan: &Plan, now_ms: u64, random: &mut Random) {
        let person = &plan.people[self.index];
        let start_ms = plan.starts_at_minute * MINUTE_MS;
        while self.planned_days * DAY_MIN * MINUTE_MS <= start_ms + now_ms + DAY_MIN * MINUTE_MS {
            let midnight_min = self.planned_days * DAY_MIN;
            let time = |around: Around, random: &mut Random| {
                let (middle, spread) = (midnight_min + around.minute, around.give_or_take);
                let since_midnight_ms =
                    random.between_ms((middle - spread) * MINUTE_MS, (middle + spread) * MINUTE_MS + 1);
                since_midnight_ms.saturating_sub(start_ms)
            };
            let is_weekend = self.planned_days % 7 >= 5;
            for outing in &person.outings {
                let from_ms = time(outing.leaves, random);
                let away_ms = random.between_ms(outing.minutes.0, outing.minutes.1 + 1) * MINUTE_MS;
                let likely = if is_weekend { outing.likely.1 } else { outing.likely.0 };
                if random.chance(likely) {
                    self.agenda.push(Slot { from_ms, to_ms: from_ms + away_ms, duty: Duty::Away });
                }
            }
            let from_ms = time(person.sleeps, random);
            let to_ms = time(person.wakes, random) + DAY_MIN * MINUTE_MS;
            self.agenda.push(Slot { from_ms, to_ms, duty: Duty::Sleep });
            self.replace_by_trips(person, midnight_min * MINUTE_MS, start_ms);
            self.planned_days += 1;
        }
    }

    /// What a trip overlaps does not happen.
    fn replace_by_trips(&mut self, person: &Person, midnight_ms: u64, start_ms: u64) {
        let day_ms = midnight_ms..midnight_ms + DAY_MIN * MINUTE_MS;
        for trip in &person.trips {
            self.agenda.retain(|slot| {
                slot.to_ms <= trip.from_ms || slot.from_ms >= trip.to_ms || slot.from_ms == trip.from_ms
            });
            if day_ms.contains(&(trip.from_ms + start_ms)) {
                self.agenda.push(Slot { from_ms: trip.from_ms, to_ms: trip.to_ms, duty: Duty::Away });
            }
        }
        self.agenda.sort_by_key(|slot| slot.from_ms);
    }
}

fn walk_ms(from: Point, to: Point) -> u64 {
    let (dx, dy) = (to.x - from.x, to.y - from.y);
    ((dx * dx + dy * dy).sqrt() / WALK_M_PER_S * 1000.0) as u64 + 1
}

/// Somewhere in a room, not right at a wall; or in the seat that is there.
fn spot(plan: &Plan, room: usize, seat: Option<(usize, Point)>, random: &mut Random) -> Point {
    if let Some((_, seat)) = seat.filter(|(with_seat, _)| *with_seat == room) {
        return seat;
    }
    let room = &plan.rooms[room];
    let within = |low: f64, high: f64, random: &mut Random| random.between(low + WALL_M, high - WALL_M);
    Point {
        x: within(room.west, room.east, random),
        y: within(room.south, room.north, random),
        floor: room.floor,
    }
}
