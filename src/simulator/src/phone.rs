//! A phone: when it is awake, when it looks around, and when it changes its access point. It decides from what it
//! hears; the world carries out what it does.

use std::borrow::Cow;

use crate::plan::{Habits, Night};
use crate::propagation::Band;
use crate::random::Random;

/// Below this it does not hear its access point any more.
const LOST_DBM: f64 = -86.0;
/// Below this even a sleeping phone looks for something better, because beacons get lost.
const WEAK_DBM: f64 = -79.0;
/// Above this it never looks around.
const CURIOUS_DBM: f64 = -55.0;
/// It joins what it hears at least like this.
const JOIN_DBM: f64 = -78.0;
/// For long enough without its access point it gives up.
const LOST_MS: u64 = 4_000;
/// Another access point must be this much better.
const ROAM_MARGIN_DB: f64 = 8.0;
/// The same for a look around without need.
const IDLE_MARGIN_DB: f64 = 10.0;
/// Phones like 5 GHz.
const HIGH_BAND_BONUS_DB: f64 = 5.0;
/// How a phone is held drifts with this deviation and by this factor in a second: a memory of a minute.
const GRIP_DB: f64 = 2.0;
const GRIP_PER_S: f64 = 0.983;
/// Lying still and well connected it sleeps on, and its surroundings are looked at so often.
const REST_MS: u64 = 30_000;
/// So much above its limits a sleeping phone does not drift below them in a rest.
const REST_MARGIN_DB: f64 = 7.0;
/// A doze from which it does not stir by itself for long.
const DEEP_MS: u64 = 20 * 60_000;
/// A phone in use looks around when its screen comes on, unless it did so just before, then after this, after twice
/// and so on: Android's schedule of a phone that is connected.
const USE_SCAN_MS: (u64, u64) = (20_000, 160_000);
/// What a restless phone does instead: it looks around so often, each signal is off by this deviation, it goes for so
/// little, and prefers 5 GHz by so much.
const RESTLESS_SCAN_S: (f64, f64) = (3.0, 10.0);
const RESTLESS_ERROR_DB: f64 = 1.5;
const RESTLESS_MARGIN_DB: f64 = 2.0;
const RESTLESS_BONUS_DB: f64 = 15.0;
/// For how long at a time it is in use.
const RESTLESS_USE_MS: u64 = 60_000;
/// What it knows from a look around is reported for so long.
const SCAN_MS: u64 = 120_000;

/// Its connection to a BSS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) bss: usize,
    pub(crate) since_ms: u64,
}

/// What it does at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Sends data.
    Send {
        /// Frames.
        packets: u64,
    },
    /// Asks around who is there: every access point in reach may hear it.
    Probe,
    /// Goes to a BSS, from wherever it was.
    Join(usize),
    /// Associates anew with the BSS it is on.
    Rejoin,
    /// Goes without another access point; with a frame that says so, or without.
    Leave {
        /// Whether it says so.
        goodbye: bool,
    },
}

/// What it knows of its surroundings.
pub(crate) struct Around<'a> {
    /// How loudly it hears each BSS; minus infinity where there is nothing.
    pub(crate) heard_dbm: &'a [f64],
    /// It is being carried.
    pub(crate) moving: bool,
    /// Nobody uses it: it lies somewhere.
    pub(crate) resting: bool,
    /// Its owner is asleep.
    pub(crate) night: bool,
}

/// Goes to and fro between two access points.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounce {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) until_ms: u64,
}

/// A phone at a time.
#[derive(Debug, Clone)]
pub(crate) struct Phone {
    pub(crate) habits: Habits,
    pub(crate) link: Option<Link>,
    pub(crate) on: bool,
    /// Its access point threw it out in its sleep, and it does not know.
    pub(crate) is_unaware: bool,
    /// It is off because of its owner's night, and on again in the morning.
    pub(crate) in_flight_mode: bool,
    pub(crate) bounce: Option<Bounce>,
    /// How it is held, in dB; drifts.
    pub(crate) grip_db: f64,
    stepped_ms: u64,
    awake: bool,
    /// Until it falls asleep, or wakes.
    changes_ms: u64,
    next_scan_ms: u64,
    weak_since_ms: Option<u64>,
    /// When it looks around for being in use, and for how long it waited.
    use_scan_ms: u64,
    use_gap_ms: u64,
    /// What it heard when it looked around last, and when.
    seen_dbm: Vec<f64>,
    seen_ms: u64,
}

impl Phone {
    pub(crate) fn new(habits: Habits) -> Phone {
        Phone {
            habits,
            link: None,
            on: true,
            is_unaware: false,
            in_flight_mode: false,
            bounce: None,
            grip_db: 0.0,
            stepped_ms: 0,
            // It wakes up in its first second.
            awake: false,
            changes_ms: 0,
            next_scan_ms: 0,
            weak_since_ms: None,
            use_scan_ms: u64::MAX,
            use_gap_ms: 0,
            seen_dbm: Vec::new(),
            seen_ms: 0,
        }
    }

    /// Whether it dozes, and answers nothing but polls.
    pub(crate) fn dozes(&self) -> bool {
        !self.awake
    }

    /// Whether it will go on dozing for long.
    pub(crate) fn dozes_deeply(&self, now_ms: u64) -> bool {
        !self.awake && self.changes_ms > now_ms + DEEP_MS
    }

    /// It is picked up and looked at.
    pub(crate) fn wake(&mut self, now_ms: u64, random: &mut Random) {
        self.awake = true;
        self.changes_ms = now_ms + random.spread_ms(20.0, 180.0);
        self.is_used(now_ms);
    }

    /// Its screen comes on.
    fn is_used(&mut self, now_ms: u64) {
        (self.use_gap_ms, self.use_scan_ms) = (USE_SCAN_MS.0 / 2, now_ms.max(self.seen_ms + USE_SCAN_MS.0));
    }

    /// What it would say it hears (802.11k, table mode): what it knows from its last look around.
    pub(crate) fn scan_table(&self, now_ms: u64) -> &[f64] {
        if now_ms < self.seen_ms + SCAN_MS { &self.seen_dbm } else { &[] }
    }

    /// When it does something next, if nobody picks it up: it lies still, and its access point is where it was.
    pub(crate) fn rests_until_ms(&self, heard_dbm: &[f64], now_ms: u64) -> u64 {
        let next_ms = now_ms + 1_000;
        if self.awake || self.bounce.is_some() {
            return next_ms;
        }
        match self.link {
            Some(link) if heard_dbm[link.bss] < WEAK_DBM + REST_MARGIN_DB => next_ms,
            Some(_) => self.changes_ms.clamp(next_ms, now_ms + REST_MS),
            None if self.is_unaware => self.changes_ms.max(next_ms),
            None => self.changes_ms.min(self.next_scan_ms).max(next_ms),
        }
    }

    /// Lives for the time since its last step, of a second or, while it rests, more.
    pub(crate) fn step(&mut self, around: &Around<'_>, now_ms: u64, random: &mut Random) -> Vec<Act> {
        let seconds = now_ms.saturating_sub(self.stepped_ms).div_ceil(1_000).clamp(1, 3_600);
        self.stepped_ms = now_ms;
        let kept = GRIP_PER_S.powi(seconds as i32);
        self.grip_db = self.grip_db * kept + random.bell() * GRIP_DB * (1.0 - kept * kept).sqrt();
        let woke = self.sleep_or_wake(around, now_ms, random);
        self.bounce = self.bounce.filter(|bounce| now_ms < bounce.until_ms);
        let hears = |bss: usize| around.heard_dbm[bss] >= LOST_DBM;
        if let Some(bounce) = self.bounce.filter(|bounce| hears(bounce.a) && hears(bounce.b)) {
            return self.bounce(bounce, now_ms, random);
        }
        let Some(link) = self.link else { return self.look_for_home(around, now_ms, random) };
        let here_dbm = around.heard_dbm[link.bss];
        if here_dbm < LOST_DBM {
            return self.lose(around, link, now_ms, random);
        }
        self.weak_since_ms = None;
        if let Some(acts) = self.roam(around, link, here_dbm, woke, now_ms, random) {
            return acts;
        }
        if !self.awake {
            return Vec::new();
        }
        if self.habits.scans_in_use && now_ms >= self.use_scan_ms {
            self.use_gap_ms = (self.use_gap_ms * 2).min(USE_SCAN_MS.1);
            self.use_scan_ms = now_ms + self.use_gap_ms;
            self.look(around, now_ms);
            return vec![Act::Send { packets: 1 }, Act::Probe];
        }
        if woke && random.chance(0.02) {
            return vec![Act::Rejoin];
        }
        vec![Act::Send { packets: 1 + random.spread(1.0, 60.0) as u64 }]
    }

    /// Phones send in bursts and doze in between: for seconds by day, for up to hours at night. True if it just
    /// woke up from a real doze.
    fn sleep_or_wake(&mut self, around: &Around<'_>, now_ms: u64, random: &mut Random) -> bool {
        if now_ms < self.changes_ms {
            return false;
        }
        let was_awake = self.awake;
        if self.habits.restless && !around.resting {
            (self.awake, self.changes_ms) = (true, now_ms + RESTLESS_USE_MS);
            return !was_awake;
        }
        self.awake = !was_awake;
        // Fetching messages leaves the screen dark, and phones with a dark screen do not look around.
        self.use_scan_ms = u64::MAX;
        let lasts_ms = match (self.awake, around.resting) {
            // Fetches messages, or is in use.
            (true, true) => random.spread_ms(1.5, 8.0),
            (true, false) if random.chance(0.65) => random.spread_ms(1.5, 10.0),
            (true, false) => {
                self.is_used(now_ms);
                random.spread_ms(30.0, 600.0)
            }
            (false, _) if around.night => self.night_ms(random),
            (false, _) if !around.moving && random.chance(self.habits.dozes_deeply) => {
                random.spread_ms(1_200.0, 10_800.0)
            }
            (false, true) => random.spread_ms(60.0, 3_000.0),
            (false, false) => random.spread_ms(5.0, 1_500.0),
        };
        self.changes_ms = now_ms + lasts_ms;
        !was_awake
    }

    fn night_ms(&self, random: &mut Random) -> u64 {
        match self.habits.night {
            Night::Fetches | Night::Flight(_) => random.spread_ms(120.0, 7_000.0),
            Night::Silent => random.spread_ms(7.0 * 3_600.0, 11.0 * 3_600.0),
        }
    }

    fn look(&mut self, around: &Around<'_>, now_ms: u64) {
        self.seen_ms = now_ms;
        self.seen_dbm.clear();
        self.seen_dbm.extend_from_slice(around.heard_dbm);
    }

    /// Phones without a network look around also in their sleep, the less often the longer nothing moves.
    fn look_for_home(&mut self, around: &Around<'_>, now_ms: u64, random: &mut Random) -> Vec<Act> {
        self.is_unaware &= !self.awake;
        let hears_anything = around.heard_dbm.iter().any(|&dbm| dbm > LOST_DBM);
        if now_ms < self.next_scan_ms || !hears_anything || self.is_unaware {
            return Vec::new();
        }
        self.next_scan_ms = now_ms
            + match (self.awake, around.moving) {
                (true, _) => random.spread_ms(4.0, 20.0),
                (false, true) => random.spread_ms(10.0, 60.0),
                (false, false) => random.spread_ms(20.0, 160.0),
            };
        self.look(around, now_ms);
        match self.best(around.heard_dbm, None) {
            Some((bss, dbm)) if dbm >= JOIN_DBM => vec![Act::Probe, Act::Join(bss)],
            _ => vec![Act::Probe],
        }
    }

    fn lose(&mut self, around: &Around<'_>, link: Link, now_ms: u64, random: &mut Random) -> Vec<Act> {
        let since_ms = *self.weak_since_ms.get_or_insert(now_ms);
        // Before it gives up it asks its access point whether it is there, also in its sleep.
        if now_ms < since_ms + LOST_MS {
            return vec![Act::Send { packets: 1 }];
        }
        self.weak_since_ms = None;
        self.look(around, now_ms);
        match self.best(around.heard_dbm, Some(link.bss)) {
            Some((bss, dbm)) if dbm >= JOIN_DBM => vec![Act::Probe, Act::Join(bss)],
            _ => vec![Act::Leave { goodbye: random.chance(self.habits.says_goodbye) }],
        }
    }

    /// Sticky, as phones are: it looks around only below its threshold, and now and then when it wakes up.
    fn roam(
        &mut self,
        around: &Around<'_>,
        link: Link,
        here_dbm: f64,
        woke: bool,
        now_ms: u64,
        random: &mut Random,
    ) -> Option<Vec<Act>> {
        let needy = here_dbm < self.habits.roam_below_dbm && self.awake || here_dbm < WEAK_DBM;
        let curious = woke && here_dbm < CURIOUS_DBM && random.chance(0.4);
        if now_ms < self.next_scan_ms || !(needy || curious) {
            return None;
        }
        let (shortest_s, longest_s) = if self.habits.restless { RESTLESS_SCAN_S } else { (3.0, 25.0) };
        self.next_scan_ms = now_ms + random.spread_ms(shortest_s, longest_s);
        self.look(around, now_ms);
        let margin_db = match (self.habits.restless, needy) {
            (true, _) => RESTLESS_MARGIN_DB,
            (false, true) => ROAM_MARGIN_DB,
            (false, false) => IDLE_MARGIN_DB,
        };
        let measured_dbm = self.measured(around.heard_dbm, random);
        let better = self.best(&measured_dbm, Some(link.bss)).filter(|&(bss, _)| {
            self.liking(&measured_dbm, bss) >= self.liking(&measured_dbm, link.bss) + margin_db
        });
        // Before it leaves the channel to look around it tells its access point to wait, in a null frame.
        let mut acts = vec![Act::Send { packets: 1 }, Act::Probe];
        acts.extend(better.map(|(bss, _)| Act::Join(bss)));
        Some(acts)
    }

    fn bounce(&mut self, bounce: Bounce, now_ms: u64, random: &mut Random) -> Vec<Act> {
        if now_ms < self.next_scan_ms {
            return vec![Act::Send { packets: 3 }];
        }
        self.next_scan_ms = now_ms + random.between_ms(1_000, 3_000);
        match self.link.map(|link| link.bss) {
            Some(bss) if bss == bounce.a => vec![Act::Join(bounce.b)],
            Some(_) | None => vec![Act::Join(bounce.a)],
        }
    }

    /// What it takes the signals for.
    fn measured<'a>(&self, heard_dbm: &'a [f64], random: &mut Random) -> Cow<'a, [f64]> {
        if !self.habits.restless {
            return Cow::Borrowed(heard_dbm);
        }
        heard_dbm.iter().map(|dbm| dbm + random.bell() * RESTLESS_ERROR_DB).collect()
    }

    /// How much it would like a BSS, in dB.
    fn liking(&self, heard_dbm: &[f64], bss: usize) -> f64 {
        liking(&self.habits, heard_dbm[bss], Band::of(bss))
    }

    /// The BSS that it would choose.
    fn best(&self, heard_dbm: &[f64], but: Option<usize>) -> Option<(usize, f64)> {
        let candidates = (0..heard_dbm.len()).filter(|&bss| Some(bss) != but);
        let likes = |bss| self.liking(heard_dbm, bss);
        let bss = candidates.max_by(|&a, &b| likes(a).total_cmp(&likes(b)))?;
        Some((bss, heard_dbm[bss]))
    }
}

/// How much a make of phone likes a BSS that it hears like this, in dB.
pub(crate) fn liking(habits: &Habits, heard_dbm: f64, band: Band) -> f64 {
    match band {
        Band::Low => heard_dbm,
        Band::High => heard_dbm + if habits.restless { RESTLESS_BONUS_DB } else { HIGH_BAND_BONUS_DB },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::makes;

    fn on(bss: usize) -> (Phone, Random) {
        let mut phone = Phone::new(Habits { says_goodbye: 1.0, ..makes::ATTENTIVE });
        phone.link = Some(Link { bss, since_ms: 0 });
        (phone.awake, phone.changes_ms) = (true, 1_000_000);
        (phone, Random::new(1))
    }

    fn step(phone: &mut Phone, heard_dbm: &[f64], now_ms: u64, random: &mut Random) -> Vec<Act> {
        phone.step(&Around { heard_dbm, moving: true, resting: false, night: false }, now_ms, random)
    }

    #[test]
    fn it_stays_while_its_own_signal_is_good_enough() {
        let (mut phone, mut random) = on(1);
        for second in 0..600 {
            let acts = step(&mut phone, &[-60.0, -66.0, -60.0, -40.0], second * 1000, &mut random);
            assert!(matches!(acts[..], [Act::Send { .. }]), "{acts:?}");
        }
    }

    #[test]
    fn it_goes_where_it_is_clearly_better_when_its_own_signal_is_bad() {
        let (mut phone, mut random) = on(1);
        let wait = Act::Send { packets: 1 };
        let acts = step(&mut phone, &[-90.0, -75.0, -90.0, -70.0], 0, &mut random);
        assert_eq!(acts, [wait, Act::Probe]);
        let acts = step(&mut phone, &[-90.0, -75.0, -90.0, -60.0], 30_000, &mut random);
        assert_eq!(acts, [wait, Act::Probe, Act::Join(3)]);
    }

    #[test]
    fn it_says_goodbye_a_while_after_it_hears_nothing() {
        let (mut phone, mut random) = on(1);
        let nothing = [f64::NEG_INFINITY; 4];
        for second in 0..4 {
            let asks = [Act::Send { packets: 1 }];
            assert_eq!(step(&mut phone, &nothing, second * 1000, &mut random), asks);
        }
        assert_eq!(step(&mut phone, &nothing, 4_000, &mut random), [Act::Leave { goodbye: true }]);
    }
}
