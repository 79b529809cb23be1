//! The way from present to absent: how a silence began, how long it must be watched, and by whom. Only watched time
//! counts, so a decision is made of the spans in which every AP concerned reported.

use crate::Moment;
use crate::access_point::AccessPoint;
use crate::claims::{Association, Claim, Gone, Parting};
use crate::doze::{Doze, Kind, NAP_MS};
use crate::path::Path;
use crate::setup::Timing;
use crate::timers::ApIndex;
use crate::windows::Common;

/// APs that heard the device this long before its silence must watch for its absence to count.
const HEARD_BEFORE_MS: u64 = 10 * 60_000;

/// A signal that fell to this is at the edge of what an AP covers. Who walks off past an exit is soon out of its reach;
/// inside, phones also lie at the edge of an AP that they would not give up.
const WEAK_DBM: i8 = -75;
const OUTDOOR_WEAK_DBM: i8 = -71;

/// What failed its poll is that weak only where people walk off: the far end of a flat is weak, too.
const OFF_DBM: i8 = -79;

/// Who is heard like this at an exit is beside it, and not inside on an AP that the phone would not give up.
const BESIDE_DBM: i8 = -65;

/// hostapd polls a station that was silent for 300 s. One that is thrown out later than that has answered a poll since
/// it was heard last: wherever it was then, it stayed there.
const ONE_POLL_MS: u64 = 6 * 60_000;

/// An AP that restarts polls nobody meanwhile.
const RESTARTED_MS: u64 = 15 * 60_000;

/// Who turns the WiFi off, or loses the AP, was heard this shortly before the leave frame, unless it was asleep.
const AWAKE_MS: u64 = 30_000;

/// A leave frame this weak, of a phone that was awake: it lost the AP. A little louder if it was being carried, too.
const LOST_DBM: i8 = -76;
const LOST_MOVING_DBM: i8 = -72;
const MOVING_MS: u64 = 2 * 60_000;

/// It had come to the AP this shortly before, at this signal, and did not answer the first poll: it went on.
const WENT_ON_DBM: i8 = -70;
const WENT_ON_MS: u64 = 60_000;

/// Who has just come to an exit and says goodbye is leaving, also in a house whose nights nobody knows yet.
const JUST_CAME_MS: u64 = 2 * 60_000;

/// Who was beside an exit for longer did not leave when its WiFi was turned off.
const LYING_MS: u64 = 5 * 60_000;

/// Who was heard by an exit this shortly before is on the way out.
const ON_THE_WAY_MS: u64 = 3 * 60_000;

/// A silence and how it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silence {
    pub since: Moment,
    pub association: Association,
    pub parting: Parting,
    pub kind: Kind,
    pub signal_dbm: Option<i8>,
    /// By how much the signal had fallen, if it faded.
    pub fall_db: Option<u8>,
    /// For how long it had not been heard by then.
    pub unheard_ms: u64,
}

/// On the way to being away.
#[derive(Debug, Clone)]
pub(crate) struct Fading {
    pub silence: Silence,
    /// Watched time that it takes.
    pub needed_ms: u64,
    /// Where it was heard before its silence.
    pub required: Vec<Association>,
    /// Watched time from before a restart of ours.
    pub carried_ms: u64,
    /// The same of the time that all but blind APs watched.
    pub carried_others_ms: u64,
    /// Watched time counts from here.
    pub from: Moment,
}

/// What made a device away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    pub silence: Silence,
    pub watched_ms: u64,
    /// A blind AP that might have heard it did not watch: it is taken to be away, and the house not to be empty.
    pub assumed: Option<ApIndex>,
}

/// What is known of a device when its silence begins.
pub(crate) struct Before<'a> {
    pub claims: &'a [Claim],
    pub path: &'a Path,
    pub doze: &'a Doze,
    /// An exit heard it then, if one ever did.
    pub exit_at: Option<Moment>,
    /// How long anybody of the house may sleep from this time of the day on, if that is known.
    pub longest_ms: Option<u64>,
    /// People may be going to bed: a phone that is switched off is no departure. `None` as long as nobody knows.
    pub is_night: Option<bool>,
}

impl Fading {
    /// Begins with the end of `claim`.
    pub fn new(
        claim: &Claim,
        before: &Before<'_>,
        aps: &[AccessPoint],
        timing: &Timing,
        now: Moment,
    ) -> Fading {
        let gone = claim.gone.unwrap_or(Gone { at: now, parting: Parting::Unlisted });
        let ap = &aps[claim.association.ap.0 as usize];
        let left_at = (gone.parting == Parting::LeaveFrame).then_some(gone.at);
        let ending = before.path.ending(if ap.outdoor { OUTDOOR_WEAK_DBM } else { WEAK_DBM }, left_at);
        let heard = claim.heard_at().unwrap_or(gone.at);
        let unheard_ms = gone.at.since(heard);
        let polled_ms = match gone.parting {
            Parting::BssLost | Parting::ApRestarted => RESTARTED_MS,
            Parting::Unlisted
            | Parting::LeaveFrame
            | Parting::SentAway
            | Parting::PollFailed
            | Parting::ApBlind
            | Parting::Phantom => ONE_POLL_MS,
        };
        let dbm = claim.signal.last_dbm().or(ending.dbm);
        let is_off = dbm.is_some_and(|dbm| dbm <= OFF_DBM);
        // At night phones are put down, and switched off, also where an AP hears them badly.
        let is_in_doubt = before.is_night == Some(true) && !is_off && !ap.outdoor;
        let went_on = unheard_ms <= polled_ms && !is_in_doubt;
        let is_fading = ending.is_fading && went_on;
        let is_outward =
            ap.state.leads_out() || before.exit_at.is_some_and(|at| heard.since(at) <= ON_THE_WAY_MS);
        let place = match (ap.exit, ap.outdoor) {
            (true, true) => Place::OutdoorExit,
            (true, false) => Place::IndoorExit,
            (false, _) => Place::Inside,
        };
        let is_night = before.is_night.unwrap_or(true);
        let is_day = before.longest_ms.is_some_and(|longest_ms| longest_ms <= NAP_MS);
        let end = End {
            is_fading,
            is_weak: ending.is_weak && went_on,
            is_outward,
            is_off,
            is_beside: dbm.is_some_and(|dbm| dbm >= BESIDE_DBM) && ending.stayed_ms < LYING_MS,
            is_night,
            is_goodbye: is_day || (before.is_night != Some(true) && ending.came_ms < JUST_CAME_MS),
            is_lost: !is_night && dbm.is_some_and(|dbm| is_lost(before.path, gone.parting, dbm, unheard_ms)),
        };
        let silence = Silence {
            since: gone.at,
            association: claim.association,
            parting: gone.parting,
            kind: kind(gone.parting, place, &end),
            signal_dbm: claim.signal.last_dbm(),
            fall_db: is_fading.then_some(ending.fall_db),
            unheard_ms,
        };
        let mut required = vec![claim.association];
        for other in before.claims {
            let is_recent = other.heard_at().is_some_and(|heard| heard >= gone.at.before(HEARD_BEFORE_MS));
            if is_recent && other.association.ap != claim.association.ap {
                required.push(other.association);
            }
        }
        let needed_ms = before.doze.plausible_ms(silence.kind, timing);
        let longest_ms = before.longest_ms.filter(|_| silence.kind.is_sleep());
        let needed_ms = longest_ms.map_or(needed_ms, |longest_ms| needed_ms.min(longest_ms));
        Fading { silence, needed_ms, required, carried_ms: 0, carried_others_ms: 0, from: gone.at }
    }

    /// The BSS went a moment after the device: it did not leave.
    pub fn lost_with_bss(&mut self, doze: &Doze, timing: &Timing) {
        self.silence.parting = Parting::BssLost;
        self.silence.kind = if self.silence.fall_db.is_some() { Kind::Faded } else { Kind::Still };
        self.needed_ms = doze.plausible_ms(self.silence.kind, timing);
    }

    /// For how long everything that could have heard the device was watching, all at once.
    pub fn watched_ms(&self, aps: &[AccessPoint], exits: &[ApIndex], timing: &Timing, now: Moment) -> u64 {
        self.carried_ms + self.common_ms(self.required_now(aps, exits, timing, now), aps, timing, now)
    }

    /// For how long all of them but those that are blind for long were watching, and the first of these. Blind time is
    /// not counted here either: it is the others that did not see the device.
    pub fn watched_by_others(
        &self,
        aps: &[AccessPoint],
        exits: &[ApIndex],
        timing: &Timing,
        now: Moment,
    ) -> Option<(u64, ApIndex)> {
        let last = self.silence.association.ap;
        let mut required = self.required_now(aps, exits, timing, now);
        let is_blind = |ap: ApIndex| {
            let known = &aps[ap.0 as usize];
            // Somebody may be asleep on an access point that nobody hears; nobody sleeps in the garden.
            known.is_long_blind(now, timing) && (ap != last || (known.exit && known.outdoor))
        };
        let blind = required.iter().map(|(ap, _)| *ap).find(|ap| is_blind(*ap))?;
        required.retain(|(ap, _)| !is_blind(*ap));
        Some((self.carried_others_ms + self.common_ms(required, aps, timing, now), blind))
    }

    fn common_ms(
        &self,
        mut required: Vec<(ApIndex, Option<Association>)>,
        aps: &[AccessPoint],
        timing: &Timing,
        now: Moment,
    ) -> u64 {
        // Somebody must have watched: if nobody in particular could have heard it, everybody that there is.
        if required.is_empty() {
            let others = aps.iter().enumerate().filter(|(_, ap)| {
                ap.state.last_live.is_some() && !ap.is_long_blind(now, timing) && !ap.is_given_up(now, timing)
            });
            required.extend(others.map(|(index, _)| (crate::engine::ap_index(index), None)));
        }
        if required.is_empty() {
            return 0;
        }
        let mut common = Common::between(self.from, now);
        for (ap, association) in required {
            let ap = &aps[ap.0 as usize];
            common.intersect(association.map_or(ap.state.windows(), |association| ap.watched(association)));
        }
        common.total_ms()
    }

    /// The APs that must watch: those that heard it last, and the exits; not what has been blind for a day, unless the
    /// device was last seen there, and not what somebody has dismissed.
    pub fn required_now(
        &self,
        aps: &[AccessPoint],
        exits: &[ApIndex],
        timing: &Timing,
        now: Moment,
    ) -> Vec<(ApIndex, Option<Association>)> {
        let last = self.silence.association.ap;
        let mut all: Vec<(ApIndex, Option<Association>)> =
            self.required.iter().map(|association| (association.ap, Some(*association))).collect();
        for exit in exits {
            if !all.iter().any(|(ap, _)| ap == exit) {
                all.push((*exit, None));
            }
        }
        all.retain(|(ap, _)| {
            let known = &aps[ap.0 as usize];
            let is_given_up =
                if *ap == last { known.is_forgotten(now, timing) } else { known.is_given_up(now, timing) };
            !is_given_up
        });
        all
    }
}

/// Where a silence began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Inside,
    /// At an exit in the open.
    OutdoorExit,
    /// At an exit that is inside: perhaps the only AP of a flat.
    IndoorExit,
}

/// How the signal ended.
#[derive(Debug, Clone, Copy)]
struct End {
    is_fading: bool,
    /// At the edge for a moment only, whether or not it was seen to fall.
    is_weak: bool,
    /// Towards an exit.
    is_outward: bool,
    /// At the very end of the AP's reach.
    is_off: bool,
    /// Near the AP, and not for long.
    is_beside: bool,
    /// No fall was seen, and yet it did not lie there.
    is_lost: bool,
    is_night: bool,
    /// A leave frame is meant as one: it is not the hour at which phones are switched off at the bedside.
    is_goodbye: bool,
}

/// Whether a silence that began weak, and without a fall that was seen, is that of a phone on its way.
fn is_lost(path: &Path, parting: Parting, dbm: i8, unheard_ms: u64) -> bool {
    match parting {
        Parting::LeaveFrame => {
            let is_moving = || dbm <= LOST_MOVING_DBM && path.was_moving(MOVING_MS);
            unheard_ms <= AWAKE_MS && (dbm <= LOST_DBM || is_moving())
        }
        Parting::PollFailed => {
            unheard_ms <= ONE_POLL_MS && dbm <= WENT_ON_DBM && path.was_passing_through(WENT_ON_MS)
        }
        Parting::Unlisted
        | Parting::SentAway
        | Parting::BssLost
        | Parting::ApRestarted
        | Parting::ApBlind
        | Parting::Phantom => false,
    }
}

/// What a silence is like. Short where people leave past this AP and it looked like leaving.
fn kind(parting: Parting, place: Place, end: &End) -> Kind {
    use Place::{IndoorExit, Inside, OutdoorExit};
    match (parting, place, end.is_fading) {
        // No short timer is for what went with its BSS: phones take up to an hour to come back.
        (Parting::BssLost | Parting::ApRestarted, _, true) => Kind::Faded,
        // Who is there comes back with it, also asleep.
        (Parting::BssLost | Parting::ApRestarted, _, false) if !end.is_night => Kind::Faded,
        (Parting::BssLost | Parting::ApRestarted, _, false) => Kind::Still,
        // Outside, and not seen by any other since.
        (Parting::ApBlind, OutdoorExit, _) => Kind::FadedOut,
        (Parting::ApBlind, ..) => Kind::Still,
        (Parting::Phantom, ..) => Kind::Listed,
        (Parting::LeaveFrame, OutdoorExit | IndoorExit, true) => Kind::ExitLeft,
        (Parting::LeaveFrame, OutdoorExit, false) if end.is_beside => Kind::ExitFaded,
        (Parting::LeaveFrame, OutdoorExit | IndoorExit, false) if end.is_goodbye || end.is_weak => {
            Kind::ExitFaded
        }
        (Parting::LeaveFrame | Parting::PollFailed, Inside, false) if end.is_lost => Kind::Faded,
        (_, OutdoorExit, false) if end.is_weak => Kind::ExitFaded,
        (_, IndoorExit, false) if end.is_weak && end.is_off => Kind::ExitFaded,
        // Phones turn their WiFi off at the bedside, too.
        (Parting::LeaveFrame, _, false) => Kind::Left,
        (Parting::LeaveFrame, Inside, true) if end.is_outward => Kind::FadedOut,
        (_, OutdoorExit, true) => Kind::ExitFaded,
        (_, IndoorExit, true) if end.is_off => Kind::ExitFaded,
        (_, Inside, true) if end.is_outward && end.is_off => Kind::FadedOut,
        (_, _, true) => Kind::Faded,
        (_, _, false) => Kind::Still,
    }
}
