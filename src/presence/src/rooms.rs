//! Which room a device is in: the loudest AP by smoothed, aged evidence, where the AP it is associated with weighs
//! most. Another room must win clearly and go on winning before it counts, and silence changes nothing.
//!
//! Pure arithmetic in sixteenths of a dB: no floats, so that two replays agree to the bit.

use crate::Moment;
use crate::timers::ApIndex;

/// APs remembered for one device.
const READINGS_MAX: usize = 16;

/// What the association is worth, in dB: the phone chose it, and only there it is heard steadily.
const ASSOCIATED_DB: i32 = 10;

/// By how much another room must lead, in dB.
const MARGIN_DB: i32 = 6;

/// For how long it must lead.
const LEAD_MS: u64 = 6_000;

/// How often it must lead when the device is not associated there: probes are rare and loud by chance.
const LEAD_READINGS: u32 = 3;

/// A reading loses a dB each time this much of time passes.
const AGE_MS_PER_DB: u64 = 2_000;

/// A reading older than this is no evidence.
const FORGOTTEN_MS: u64 = 60_000;

/// What an associated AP without a known signal is taken for.
const UNKNOWN_DBM: i32 = -70;

#[derive(Debug, Clone, Copy)]
struct Level {
    ap: ApIndex,
    /// Mean signal in sixteenths of a dBm.
    mean: i32,
    at: Moment,
}

#[derive(Debug, Clone, Copy)]
struct Challenger {
    room: usize,
    since: Moment,
    readings: u32,
}

/// The room of one device and the evidence for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoomEstimate {
    room: Option<usize>,
    since: Moment,
    challenger: Option<Challenger>,
    levels: Vec<Level>,
    confidence: u8,
}

/// What [`RoomEstimate::evaluate`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The room is another one.
    pub changed: bool,
    /// When to look again: a challenger leads.
    pub look_again: Option<Moment>,
}

impl RoomEstimate {
    /// A room known from before a restart.
    pub fn restored(room: Option<usize>, since: Moment, confidence: u8) -> RoomEstimate {
        RoomEstimate { room, since, confidence, ..RoomEstimate::default() }
    }

    pub fn room(&self) -> Option<usize> {
        self.room
    }

    pub fn since(&self) -> Moment {
        self.since
    }

    /// In percent, in steps of 5.
    pub fn confidence(&self) -> u8 {
        self.confidence
    }

    /// Takes in a signal that proves nearness: of a frame, or of a station whose receive counters moved.
    pub fn read(&mut self, ap: ApIndex, signal_dbm: i8, at: Moment) {
        let reading = i32::from(signal_dbm) * 16;
        if let Some(level) = self.levels.iter_mut().find(|level| level.ap == ap) {
            let is_continued = at.since(level.at) <= FORGOTTEN_MS;
            level.mean = if is_continued { level.mean + (reading - level.mean) / 2 } else { reading };
            level.at = at.max(level.at);
            return;
        }
        if self.levels.len() == READINGS_MAX {
            let oldest = self.levels.iter().enumerate().min_by_key(|(_, level)| level.at);
            if let Some((index, _)) = oldest {
                self.levels.swap_remove(index);
            }
        }
        self.levels.push(Level { ap, mean: reading, at });
    }

    /// The association left this AP: what it heard until then is the past, however loud. What it overhears from now
    /// on counts again.
    pub fn left(&mut self, ap: ApIndex) {
        self.levels.retain(|level| level.ap != ap);
    }

    /// Weighs the evidence; `associated` is the AP the device is on, `room_of` the room of an AP, `is_reading`
    /// whether something new was heard rather than only time gone by.
    pub fn evaluate(
        &mut self,
        associated: ApIndex,
        room_of: impl Fn(ApIndex) -> usize,
        is_reading: bool,
        now: Moment,
    ) -> Verdict {
        let home_room = room_of(associated);
        let (best, second) = self.ranking(associated, &room_of, now);
        self.confidence = confidence(best, second);
        let Some(room) = self.room else {
            self.enter(home_room, now);
            return Verdict { changed: true, look_again: None };
        };
        let own = self.score_of(room, associated, &room_of, now);
        let leads = best.room != room && own.is_none_or(|own| best.score >= own + MARGIN_DB * 16);
        if !leads {
            self.challenger = None;
            return Verdict { changed: false, look_again: None };
        }
        let challenger = match self.challenger {
            Some(same) if same.room == best.room => {
                Challenger { readings: same.readings + u32::from(is_reading), ..same }
            }
            _ => Challenger { room: best.room, since: now, readings: 1 },
        };
        let is_sure = best.room == home_room || challenger.readings >= LEAD_READINGS;
        if now.since(challenger.since) >= LEAD_MS && is_sure {
            self.enter(best.room, now);
            return Verdict { changed: true, look_again: None };
        }
        self.challenger = Some(challenger);
        self.confidence = self.confidence.min(60);
        let due = challenger.since.after(LEAD_MS);
        Verdict { changed: false, look_again: (due > now).then_some(due) }
    }

    fn enter(&mut self, room: usize, now: Moment) {
        self.room = Some(room);
        self.since = now;
        self.challenger = None;
    }

    /// Somebody said where it is.
    pub fn told(&mut self, room: usize, now: Moment) {
        if self.room != Some(room) {
            self.enter(room, now);
        }
        self.challenger = None;
        self.confidence = 95;
    }

    /// Forgets everything: the device left.
    pub fn leave(&mut self) {
        *self = RoomEstimate::default();
    }

    /// Renames rooms and APs after a change of the setup.
    pub fn renumber(
        &mut self,
        ap: impl Fn(ApIndex) -> Option<ApIndex>,
        room: impl Fn(usize) -> Option<usize>,
    ) {
        self.room = self.room.and_then(room);
        self.challenger = None;
        self.levels.retain_mut(|level| match ap(level.ap) {
            Some(now) => {
                level.ap = now;
                true
            }
            None => false,
        });
    }

    /// The best room, and the best score of any other.
    fn ranking(
        &self,
        associated: ApIndex,
        room_of: &impl Fn(ApIndex) -> usize,
        now: Moment,
    ) -> (Ranked, Option<i32>) {
        let mut best = Ranked { room: room_of(associated), score: self.associated_score(associated) };
        let mut second: Option<i32> = None;
        for level in &self.levels {
            let Some(score) = score(level, now).filter(|_| level.ap != associated) else { continue };
            let room = room_of(level.ap);
            if score > best.score {
                if room != best.room {
                    second = second.max(Some(best.score));
                }
                best = Ranked { room, score };
            } else if room != best.room {
                second = second.max(Some(score));
            }
        }
        (best, second)
    }

    fn score_of(
        &self,
        room: usize,
        associated: ApIndex,
        room_of: &impl Fn(ApIndex) -> usize,
        now: Moment,
    ) -> Option<i32> {
        let heard = self.levels.iter().filter(|level| room_of(level.ap) == room && level.ap != associated);
        let best = heard.filter_map(|level| score(level, now)).max();
        if room_of(associated) != room {
            return best;
        }
        best.max(Some(self.associated_score(associated)))
    }

    /// The association's worth. It does not age: while it lasts, silence is no movement.
    fn associated_score(&self, associated: ApIndex) -> i32 {
        let own = self.levels.iter().find(|level| level.ap == associated);
        own.map_or(UNKNOWN_DBM * 16, |level| level.mean) + ASSOCIATED_DB * 16
    }
}

#[derive(Debug, Clone, Copy)]
struct Ranked {
    room: usize,
    score: i32,
}

/// What was only overheard is worth less the older it is.
fn score(level: &Level, now: Moment) -> Option<i32> {
    let age_ms = now.since(level.at);
    if age_ms > FORGOTTEN_MS {
        return None;
    }
    let aged = i32::try_from(age_ms * 16 / AGE_MS_PER_DB).unwrap_or(i32::MAX / 2);
    Some(level.mean - aged)
}

/// From the lead over the next room: 95 % at 15 dB, 85 % if nothing else hears the device.
fn confidence(best: Ranked, second: Option<i32>) -> u8 {
    let Some(second) = second else { return 85 };
    let lead_db = ((best.score - second) / 16).clamp(0, 15);
    let percent = 50 + lead_db * 3;
    u8::try_from(percent / 5 * 5).unwrap_or(50)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ApIndex = ApIndex(0);
    const B: ApIndex = ApIndex(1);

    fn room_of(ap: ApIndex) -> usize {
        ap.0 as usize
    }

    fn at(s: i64) -> Moment {
        Moment::from_ms(s * 1000)
    }

    fn at_home_in_a() -> RoomEstimate {
        let mut rooms = RoomEstimate::default();
        rooms.read(A, -60, at(0));
        assert!(rooms.evaluate(A, room_of, true, at(0)).changed);
        rooms
    }

    #[test]
    fn an_association_that_stays_moves_the_room_once() {
        let mut rooms = at_home_in_a();
        rooms.read(B, -60, at(10));
        let verdict = rooms.evaluate(B, room_of, true, at(10));
        assert_eq!(verdict, Verdict { changed: false, look_again: Some(at(16)) });
        assert!(rooms.evaluate(B, room_of, false, at(16)).changed);
        assert_eq!(rooms.room(), Some(1));
    }

    #[test]
    fn silence_and_bouncing_move_nothing() {
        let mut rooms = at_home_in_a();
        assert!(!rooms.evaluate(A, room_of, false, at(8 * 3600)).changed);
        for n in 0..161 {
            let ap = if n % 2 == 0 { B } else { A };
            rooms.read(ap, -60, at(30_000 + n * 3));
            assert!(!rooms.evaluate(ap, room_of, true, at(30_000 + n * 3)).changed);
        }
    }

    #[test]
    fn what_is_overheard_must_be_much_louder_and_often() {
        let mut rooms = at_home_in_a();
        let mut changes = Vec::new();
        for n in 1..8 {
            rooms.read(A, -75, at(n * 3));
            rooms.read(B, -45, at(n * 3));
            if rooms.evaluate(A, room_of, true, at(n * 3)).changed {
                changes.push(n);
            }
        }
        assert_eq!(changes.len(), 1);
        assert_eq!(rooms.room(), Some(1));
    }
}
