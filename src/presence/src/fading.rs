//! The way from present to absent: how a silence began, how long it must be watched, and by whom. Only watched time
//! counts, so a decision is made of the spans in which every AP concerned reported.

use crate::Moment;
use crate::access_point::AccessPoint;
use crate::claims::{Association, Claim, Gone, Parting};
use crate::doze::{Doze, Kind};
use crate::path::Path;
use crate::setup::Timing;
use crate::timers::ApIndex;
use crate::windows::Common;

/// APs that heard the device this long before its silence must watch for its absence to count.
const HEARD_BEFORE_MS: u64 = 10 * 60_000;

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

/// What is known of a device when its silence begins.
pub(crate) struct Before<'a> {
    pub claims: &'a [Claim],
    pub path: &'a Path,
    pub doze: &'a Doze,
    /// An exit heard it then, if one ever did.
    pub exit_at: Option<Moment>,
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
        let ending = before.path.ending();
        let ap = &aps[claim.association.ap.0 as usize];
        let heard = claim.heard_at().unwrap_or(gone.at);
        let is_outward =
            ap.state.leads_out() || before.exit_at.is_some_and(|at| heard.since(at) <= ON_THE_WAY_MS);
        let silence = Silence {
            since: gone.at,
            association: claim.association,
            parting: gone.parting,
            kind: kind(gone.parting, ap.exit, ending.is_fading, is_outward),
            signal_dbm: claim.signal.last_dbm(),
            fall_db: ending.is_fading.then_some(ending.fall_db),
        };
        let mut required = vec![claim.association];
        for other in before.claims {
            let is_recent = other.heard_at().is_some_and(|heard| heard >= gone.at.before(HEARD_BEFORE_MS));
            if is_recent && other.association.ap != claim.association.ap {
                required.push(other.association);
            }
        }
        let needed_ms = before.doze.plausible_ms(silence.kind, timing);
        Fading { silence, needed_ms, required, carried_ms: 0, from: gone.at }
    }

    /// The BSS went a moment after the device: it did not leave.
    pub fn lost_with_bss(&mut self, doze: &Doze, timing: &Timing) {
        self.silence.parting = Parting::BssLost;
        self.silence.kind = if self.silence.fall_db.is_some() { Kind::FadedOut } else { Kind::Still };
        self.needed_ms = doze.plausible_ms(self.silence.kind, timing);
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

/// What a silence is like. Short where people leave past this AP and it looked like leaving: with a strong and steady
/// signal, only a leave frame does.
fn kind(parting: Parting, is_exit: bool, is_fading: bool, is_outward: bool) -> Kind {
    match (parting, is_exit, is_fading) {
        // The exit's short timer is not for what went with its BSS; who was walking off then was on the way out.
        (Parting::BssLost | Parting::ApRestarted, true, true) => Kind::FadedOut,
        (Parting::BssLost | Parting::ApRestarted, true, false) => Kind::Still,
        (Parting::Phantom, ..) => Kind::Listed,
        (Parting::LeaveFrame, true, true) => Kind::ExitLeft,
        (Parting::LeaveFrame, true, false) => Kind::ExitFaded,
        (Parting::LeaveFrame, false, false) => Kind::Left,
        (Parting::Unlisted | Parting::SentAway | Parting::PollFailed, true, true) => Kind::ExitFaded,
        (_, false, true) if is_outward => Kind::FadedOut,
        (_, false, true) => Kind::Faded,
        (_, _, false) => Kind::Still,
    }
}
