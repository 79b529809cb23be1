//! Answers against the truth, second by second: fed with where everybody really is ([`Sight`]) and with what some
//! rule says ([`Answer`]), it fills [`Measures`]. The simulated house and the demonstration use it; it knows neither.
//!
//! What counts:
//!
//! - A **stay** is the time between two doors. A stay of 5 s or more in another place than the one before is a **true
//!   change**: less than an access point's poll is nothing anybody could see. Whoever walks through the hall changes
//!   twice; so changes are also compared with stays of 20 s or more, as if passages were none. The first place of all
//!   is no change.
//! - A **room delay** is the time from the beginning of a stay of 20 s to the first second with the right answer, in
//!   rooms with an access point. A stay is an **awake phone's** if its phone sent and received in every second until the
//!   answer was right, or in its first 15 s. Its delay counts the seconds in which the phone was awake and the room was
//!   **knowable**: from the first second in which the room's access point received anything of it, be it a probe, or in
//!   which it would have answered a beacon request. A phone that stays on the access point of another room, looks
//!   around for nothing and knows no 802.11k cannot be told from one that stayed there; such stays are counted apart.
//!   Beside it stand the delays of all stays of awake phones, in awake seconds and in seconds of the clock. A stay that
//!   is never followed counts with all of its seconds.
//! - A person who has been inside for a minute and is then called away, or not known any more, is a **false away**;
//!   a house called empty then is a **false empty**.
//! - A **departure** begins when its person passes the gate. They are *gone* when, besides, no access point lists any
//!   phone they have with them: hostapd lists one that left without a word for 300 s. Its delay counts from *gone* to
//!   "away", apart by whether the last to list it was an exit. Until then the person is *stuck home*, counted from the
//!   gate. An absence of two hours that ends without "away" is a **missed departure**; shorter ones count as short
//!   absences missed, and with the delay they had at least.
//! - Nothing can be known of a person who leaves without a phone that is on, or who came in with a dead one that was
//!   not charged since: such departures and false aways are **excepted**.

use whichroom_presence::output::Home;
use whichroom_simulator::Truth;
use whichroom_wire::aggregator::HouseState;

use super::measures::{Departure, Measures};

/// Shorter stays cannot be seen.
const SEEN_MS: u64 = 5_000;
/// Shorter stays are passages.
const STAY_MS: u64 = 20_000;
/// Away is false if the person was inside for all of this long.
const INSIDE_MS: u64 = 60_000;
/// A phone that was awake for so long had said enough.
const AWAKE_MS: u64 = 15_000;
/// A longer absence that nobody noticed is a missed one.
const ABSENCE_MS: u64 = 2 * 3_600_000;
/// Listed again after so long, a phone is coming back.
const RETURN_MS: u64 = 60_000;
/// After this much of a run a learning rule has seen the household's habits.
pub(crate) const LEARNED_MS: u64 = 7 * 24 * 3_600_000;

/// What is true of a person in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    pub truth: Truth,
    /// A phone they have with them sends and receives.
    pub awake: bool,
    /// The room's access point receives such a phone, or it would say what it hears.
    pub knowable: bool,
    /// They have a phone with them that is on.
    pub with_phone: bool,
    /// An access point lists a phone they have with them; whether it is an exit.
    pub listed: Option<bool>,
}

/// What a rule says of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub home: Home,
    /// By index into the rooms.
    pub room: Option<usize>,
}

/// Something that should not have been said, or took long.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub at_ms: u64,
    /// By index; nobody if it is about the house.
    pub person: Option<usize>,
    pub what: What,
    /// What the rule said for itself.
    pub because: String,
}

/// What a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum What {
    FalseAway {
        inside_for_s: u64,
    },
    FalseEmpty,
    /// Counted from *gone*, and from the gate.
    SlowDeparture {
        exit: bool,
        gone_for_s: u64,
        out_for_s: u64,
    },
    MissedDeparture {
        out_for_s: u64,
    },
}

/// Departures that take longer from *gone* are worth a look: past an exit, and past any other access point.
const SLOW_EXIT_MS: u64 = 150_000;
const SLOW_INTERIOR_MS: u64 = 90 * 60_000;

/// One rule's answers and the truth.
#[derive(Debug)]
pub(crate) struct Scorer {
    /// Whether each room has an access point.
    has_ap: Vec<bool>,
    people: Vec<Person>,
    now_ms: u64,
    house: Option<HouseState>,
    measures: Measures,
    findings: Vec<Finding>,
}

#[derive(Debug)]
struct Person {
    answer: Answer,
    stay: Stay,
    /// The place of the last stay that could be seen, and of the last that was no passage.
    seen: Truth,
    settled: Truth,
    inside_since_ms: Option<u64>,
    /// Had a phone with them that was on, at any time since.
    was_knowable: bool,
    absence: Option<Absence>,
    /// Came home then, and was not called home since.
    arrived_ms: Option<u64>,
}

/// A stay between two doors.
#[derive(Debug, Clone, Copy)]
struct Stay {
    truth: Truth,
    since_ms: u64,
    /// The answer was right.
    followed_ms: Option<u64>,
    /// The phone has been awake in every second.
    awake: bool,
    /// So long it was until the answer was right.
    awake_ms: u64,
    /// So long of that the room was knowable; none if it never was.
    knowable_ms: Option<u64>,
    /// It is one whose delay counts.
    changed: bool,
}

#[derive(Debug, Clone)]
struct Absence {
    /// What was said when it should have been noticed long ago.
    note: Option<String>,
    left_ms: u64,
    gone_ms: u64,
    exit: bool,
    excepted: bool,
    noticed: bool,
    /// Called home in this second.
    recalled: bool,
}

impl Scorer {
    /// For people who are where `truths` says at time 0, and rooms that have an access point or not.
    pub(crate) fn new(has_ap: Vec<bool>, truths: &[Truth]) -> Scorer {
        let person = |&truth: &Truth| Person {
            answer: Answer { home: Home::Undecided, room: None },
            stay: Stay { awake: false, ..Stay::begun(truth, 0) },
            seen: truth,
            settled: truth,
            inside_since_ms: (truth != Truth::Away).then_some(0),
            was_knowable: true,
            absence: None,
            arrived_ms: None,
        };
        Scorer {
            has_ap,
            people: truths.iter().map(person).collect(),
            now_ms: 0,
            house: None,
            measures: Measures::default(),
            findings: Vec::new(),
        }
    }

    /// A second is over; `sights` are of all people, in order. `because` is asked for why somebody who
    /// is gone is not called away.
    pub(crate) fn handle_second(&mut self, now_ms: u64, sights: &[Sight], because: impl Fn(usize) -> String) {
        let passed_ms = now_ms - std::mem::replace(&mut self.now_ms, now_ms);
        for (index, sight) in sights.iter().enumerate() {
            self.people[index].stay.pass(sight, passed_ms);
            if self.people[index].stay.truth != sight.truth {
                self.go(index, sight);
            }
            self.stay_on(index, sight, &because);
            self.sample(index, sight.truth);
        }
    }

    /// The rule says something of a person at a time; `because` is asked for if it is wrong.
    pub(crate) fn handle_answer(
        &mut self,
        at_ms: u64,
        index: usize,
        answer: Answer,
        because: impl Fn() -> String,
    ) {
        let person = &mut self.people[index];
        let before = std::mem::replace(&mut person.answer, answer);
        if before.home != Home::Undecided && before != answer {
            self.measures.changes += 1;
            let is_right = match person.stay.truth {
                Truth::Away => answer.home == Home::Away,
                Truth::Room(room) => answer == Answer { home: Home::Home, room: Some(room) },
            };
            self.measures.wrong_changes += u64::from(!is_right);
        }
        match answer.home {
            Home::Away if before.home != Home::Away => self.said_away(at_ms, index, &because),
            Home::Undecided if before.home == Home::Home => self.said_away(at_ms, index, &because),
            Home::Home => {
                if let Some(arrived_ms) = person.arrived_ms.take() {
                    self.measures.arrivals_ms.push(at_ms.saturating_sub(arrived_ms));
                }
                if let Some(absence) = &mut person.absence {
                    absence.recalled = true;
                }
            }
            Home::Away | Home::Undecided => {}
        }
    }

    /// The rule says something of the house.
    pub(crate) fn handle_house(&mut self, at_ms: u64, state: HouseState, because: impl Fn() -> String) {
        let was_empty = self.house == Some(HouseState::Empty);
        self.house = Some(state);
        let inside =
            |person: &Person| person.inside_since_ms.is_some_and(|since_ms| at_ms >= since_ms + INSIDE_MS);
        if state == HouseState::Empty && !was_empty && self.people.iter().any(inside) {
            self.measures.false_empties += 1;
            self.find(at_ms, None, What::FalseEmpty, because());
        }
    }

    /// Where somebody is now.
    pub(crate) fn truth(&self, index: usize) -> Truth {
        self.people[index].stay.truth
    }

    /// For how long they have been there.
    pub(crate) fn here_for_ms(&self, index: usize) -> u64 {
        self.now_ms - self.people[index].stay.since_ms
    }

    /// What was said of somebody last.
    pub(crate) fn answer(&self, index: usize) -> Answer {
        self.people[index].answer
    }

    /// The figures so far. What goes on is not missed yet.
    pub(crate) fn measures(&self) -> Measures {
        let mut measures = self.measures.clone();
        measures.simulated_s = self.now_ms / 1000;
        for person in &self.people {
            if person.stay.followed_ms.is_some() {
                measures.end_stay(&person.stay, &self.has_ap, self.now_ms);
            }
            if let Some(absence) =
                person.absence.as_ref().filter(|absence| !absence.noticed && !absence.excepted)
            {
                measures.stuck_home_ms = measures.stuck_home_ms.max(self.now_ms - absence.left_ms);
            }
        }
        measures
    }

    /// What should not have been said, in order.
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn find(&mut self, at_ms: u64, person: Option<usize>, what: What, because: String) {
        self.findings.push(Finding { at_ms, person, what, because });
    }

    /// Through a door, or the gate.
    fn go(&mut self, index: usize, sight: &Sight) {
        let now_ms = self.now_ms;
        let person = &mut self.people[index];
        let ended = std::mem::replace(&mut person.stay, Stay::begun(sight.truth, now_ms));
        self.measures.end_stay(&ended, &self.has_ap, now_ms);
        let person = &mut self.people[index];
        match sight.truth {
            Truth::Room(_) => {
                if person.inside_since_ms.is_none() {
                    (person.inside_since_ms, person.was_knowable) = (Some(now_ms), false);
                }
                if let Some(absence) = person.absence.take() {
                    if person.answer.home != Home::Home && sight.with_phone {
                        person.arrived_ms = Some(now_ms);
                    }
                    self.end_absence(index, absence);
                }
            }
            Truth::Away => {
                person.inside_since_ms = None;
                person.arrived_ms = None;
                let noticed = person.answer.home != Home::Home;
                let excepted = !sight.with_phone;
                let exit = sight.listed.unwrap_or(false);
                person.absence = Some(Absence {
                    note: None,
                    left_ms: now_ms,
                    gone_ms: now_ms,
                    exit,
                    excepted,
                    noticed,
                    recalled: false,
                });
                self.measures.excepted += u64::from(excepted);
                self.measures.departures += 1;
            }
        }
    }

    fn stay_on(&mut self, index: usize, sight: &Sight, because: &impl Fn(usize) -> String) {
        let now_ms = self.now_ms;
        let person = &mut self.people[index];
        person.was_knowable |= sight.with_phone;
        if let Some(absence) = &mut person.absence {
            // Called home while out, and not because a phone is back already: they have to be noticed again.
            if std::mem::take(&mut absence.recalled) && sight.listed.is_none() {
                absence.noticed &= person.answer.home != Home::Home;
            }
        }
        if let (Some(absence), Some(exit)) = (&mut person.absence, sight.listed) {
            // On the way back a phone is listed before its person is through the gate.
            if now_ms <= absence.gone_ms + RETURN_MS {
                (absence.gone_ms, absence.exit) = (now_ms, exit);
            }
        }
        if let Some(absence) = &mut person.absence {
            let is_slow = !absence.noticed && now_ms >= absence.gone_ms + SLOW_EXIT_MS;
            if is_slow && absence.note.is_none() {
                absence.note = Some(because(index));
            }
        }
        let stay = &mut person.stay;
        if sight.knowable && stay.knowable_ms.is_none() && stay.followed_ms.is_none() {
            stay.knowable_ms = Some(0);
        }
        if stay.followed_ms.is_none() && now_ms < stay.since_ms + AWAKE_MS {
            stay.awake &= sight.awake;
        }
        if now_ms >= stay.since_ms + SEEN_MS && person.seen != stay.truth {
            person.seen = stay.truth;
            self.measures.true_changes += 1;
        }
        if now_ms >= stay.since_ms + STAY_MS && person.settled != stay.truth {
            (person.settled, stay.changed) = (stay.truth, true);
            self.measures.true_stays += 1;
        }
    }

    fn sample(&mut self, index: usize, truth: Truth) {
        let person = &mut self.people[index];
        let right = match truth {
            Truth::Away => {
                self.measures.home.add(person.answer.home == Home::Away);
                person.answer.home == Home::Away
            }
            Truth::Room(room) => {
                let right = person.answer == Answer { home: Home::Home, room: Some(room) };
                self.measures.home.add(person.answer.home == Home::Home);
                self.measures.room_all.add(right);
                if self.has_ap[room] {
                    self.measures.room.add(right);
                }
                right
            }
        };
        if right {
            person.stay.followed_ms.get_or_insert(self.now_ms);
        }
    }

    fn said_away(&mut self, at_ms: u64, index: usize, because: &impl Fn() -> String) {
        let person = &mut self.people[index];
        if let Some(since_ms) = person.inside_since_ms {
            if !person.was_knowable {
                self.measures.excepted += 1;
            } else if at_ms >= since_ms + INSIDE_MS {
                self.measures.false_aways += 1;
                let what = What::FalseAway { inside_for_s: (at_ms - since_ms) / 1000 };
                self.find(at_ms, Some(index), what, because());
            }
            return;
        }
        let Some(absence) = person.absence.as_mut().filter(|absence| !absence.noticed) else { return };
        absence.noticed = true;
        let absence = absence.clone();
        self.depart(at_ms, index, absence, because);
    }

    fn end_absence(&mut self, index: usize, mut absence: Absence) {
        if absence.noticed || absence.excepted {
            return;
        }
        let now_ms = self.now_ms;
        let note = absence.note.take().unwrap_or_default();
        let out_ms = now_ms - absence.left_ms;
        if out_ms < ABSENCE_MS {
            self.measures.short_absences_missed += 1;
        } else {
            self.measures.missed_departures += 1;
            let what = What::MissedDeparture { out_for_s: out_ms / 1000 };
            self.find(now_ms, Some(index), what, note.clone());
        }
        self.depart(now_ms, index, absence, &|| note.clone());
    }

    fn depart(&mut self, at_ms: u64, index: usize, absence: Absence, because: &impl Fn() -> String) {
        if absence.excepted {
            return;
        }
        let departure = Departure {
            exit: absence.exit,
            learned: absence.left_ms >= LEARNED_MS,
            // An answer may come between two seconds.
            gone_ms: at_ms.saturating_sub(absence.gone_ms),
            gate_ms: at_ms.saturating_sub(absence.left_ms),
        };
        self.measures.stuck_home_ms = self.measures.stuck_home_ms.max(departure.gate_ms);
        let slow_ms = if departure.exit { SLOW_EXIT_MS } else { SLOW_INTERIOR_MS };
        if departure.gone_ms > slow_ms {
            let (gone_for_s, out_for_s) = (departure.gone_ms / 1000, departure.gate_ms / 1000);
            let what = What::SlowDeparture { exit: departure.exit, gone_for_s, out_for_s };
            self.find(at_ms, Some(index), what, because());
        }
        self.measures.departures_ms.push(departure);
    }
}

impl Stay {
    fn begun(truth: Truth, since_ms: u64) -> Stay {
        Stay {
            truth,
            since_ms,
            followed_ms: None,
            awake: true,
            awake_ms: 0,
            knowable_ms: None,
            changed: false,
        }
    }

    fn pass(&mut self, sight: &Sight, ms: u64) {
        if self.followed_ms.is_some() || !sight.awake {
            return;
        }
        self.awake_ms += ms;
        self.knowable_ms = self.knowable_ms.map(|known_ms| known_ms + ms);
    }
}

impl Measures {
    fn end_stay(&mut self, stay: &Stay, has_ap: &[bool], now_ms: u64) {
        let Truth::Room(room) = stay.truth else { return };
        if !stay.changed {
            return;
        }
        let delay_ms = stay.followed_ms.unwrap_or(now_ms) - stay.since_ms;
        let of_room = if has_ap[room] { &mut self.with_ap } else { &mut self.without_ap };
        of_room.missed += u64::from(stay.followed_ms.is_none());
        of_room.all_ms.push(delay_ms);
        if !stay.awake {
            return;
        }
        of_room.whole_ms.push(delay_ms);
        of_room.awake_ms.push(stay.awake_ms);
        match stay.knowable_ms {
            Some(knowable_ms) => {
                of_room.knowable_ms.push(knowable_ms);
                of_room.followed_ms.extend(stay.followed_ms.map(|_| knowable_ms));
            }
            None => of_room.unknowable += 1,
        }
    }
}
