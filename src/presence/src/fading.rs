//! The way from present to absent: how a silence began, how long it must be watched, and by whom. Only watched time
//! counts, so a decision is made of the spans in which every AP concerned reported.

use crate::Moment;
use crate::access_point::AccessPoint;
use crate::claims::{Association, Claim, Gone, Parting};
use crate::setup::Timing;
use crate::timers::ApIndex;
use crate::windows::Common;

/// APs that heard the device this long before its silence must watch for its absence to count.
const HEARD_BEFORE_MS: u64 = 10 * 60_000;

/// A falling signal is leaving only once it is down here; above, somebody put the phone into a pocket.
const FADED_DBM: i8 = -68;

/// A silence and how it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silence {
    pub since: Moment,
    pub association: Association,
    pub parting: Parting,
    pub signal_dbm: Option<i8>,
    pub is_weak: bool,
    pub is_falling: bool,
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
    /// Watched time counts from here.
    pub from: Moment,
}

/// What made a device away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    pub silence: Silence,
    pub watched_ms: u64,
}

impl Fading {
    /// Begins with the end of `claim`; `claims` are all of the device's.
    pub fn new(claim: &Claim, claims: &[Claim], aps: &[AccessPoint], timing: &Timing, now: Moment) -> Fading {
        let gone = claim.gone.unwrap_or(Gone { at: now, parting: Parting::Unlisted });
        let silence = Silence {
            since: gone.at,
            association: claim.association,
            parting: gone.parting,
            signal_dbm: claim.signal.last_dbm(),
            is_weak: claim.signal.is_weak(),
            is_falling: claim.signal.is_falling(),
        };
        let mut required = vec![claim.association];
        for other in claims {
            let is_recent = other.heard_at().is_some_and(|heard| heard >= gone.at.before(HEARD_BEFORE_MS));
            if is_recent && other.association.ap != claim.association.ap {
                required.push(other.association);
            }
        }
        let needed_ms = needed_ms(&silence, aps, timing);
        Fading { silence, needed_ms, required, carried_ms: 0, from: gone.at }
    }

    /// The BSS went a moment after the device: it did not leave.
    pub fn lost_with_bss(&mut self, aps: &[AccessPoint], timing: &Timing) {
        self.silence.parting = Parting::BssLost;
        self.needed_ms = needed_ms(&self.silence, aps, timing);
    }

    /// For how long everything that could have heard the device was watching, all at once.
    pub fn watched_ms(&self, aps: &[AccessPoint], exits: &[ApIndex], timing: &Timing, now: Moment) -> u64 {
        let mut common = Common::between(self.from, now);
        for (ap, association) in self.required_now(aps, exits, timing, now) {
            let ap = &aps[ap.0 as usize];
            common.intersect(association.map_or(ap.state.windows(), |association| ap.watched(association)));
        }
        self.carried_ms + common.total_ms()
    }

    /// The APs that must watch: those that heard it last, and the exits; not what has been blind for a day, unless the
    /// device was last seen there.
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
        all.retain(|(ap, _)| *ap == last || !aps[ap.0 as usize].is_given_up(now, timing));
        all
    }
}

/// How long a silence must be watched: short where people leave past this AP and it looked like leaving.
fn needed_ms(silence: &Silence, aps: &[AccessPoint], timing: &Timing) -> u64 {
    let is_exit = aps[silence.association.ap.0 as usize].exit;
    let looked_like_leaving = match silence.parting {
        Parting::LeaveFrame => true,
        Parting::BssLost | Parting::ApRestarted => false,
        Parting::Unlisted | Parting::SentAway | Parting::PollFailed | Parting::Phantom => {
            silence.is_weak || (silence.is_falling && silence.signal_dbm.is_none_or(|dbm| dbm <= FADED_DBM))
        }
    };
    if is_exit && looked_like_leaving { timing.exit_ms } else { timing.interior_ms }
}
