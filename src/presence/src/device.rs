//! One device: which of its claims counts, and whether it is present.
//!
//! ```text
//!               authorised, received                  no claim holds it
//!   undecided ───────────────────────▶ present ─────────────────────────▶ fading
//!       │                               ▲   ▲        any claim holds it      │
//!       │ everything was watched        │   └────────────────────────────────┤
//!       ▼                               │ proof: authorised and received     │ watched for long enough
//!    absent ────────────────────────────┘◀───────────────────────────────────┘
//! ```
//!
//! Everything here is a function of what the engine hands in; timers and effects are the engine's.

use whichroom_wire::aggregator::DeviceState;
use whichroom_wire::{Id, Mac};

use crate::Moment;
use crate::access_point::AccessPoint;
use crate::asking::Asking;
use crate::claims::{Association, Claim, Gone, Mark, Parting, Reading, Signal};
use crate::doze::Doze;
use crate::fading::{Before, Fading, Left, Silence};
use crate::hearing::{Hearing, How, Level};
use crate::ingest::TABLE_LAG_MS;
use crate::nights::{Nights, OwnNights};
use crate::path::Path;
use crate::rooms::RoomEstimate;
use crate::setup::{Counts, Timing};
use crate::timers::ApIndex;

/// Claims kept for one device.
const CLAIMS_MAX: usize = 16;

/// A station the driver saw this recently is taken to be there when nothing was known of it before.
const FRESH_MS: u64 = 60_000;

/// Listed and not received for longer is sleep worth learning.
const SLEEP_MS: u64 = 10 * 60_000;

/// How much older than the time since the last table a connection may seem and still be new: seconds are rounded.
const ROUNDING_MS: u64 = 5_000;

/// A device, configured.
#[derive(Debug)]
pub(crate) struct Device {
    pub id: Id,
    pub name: String,
    /// Position among the people.
    pub person: Option<usize>,
    pub counts: Counts,
    pub memory: Memory,
}

/// What is known of a device; it survives a change of the setup.
#[derive(Debug)]
pub(crate) struct Memory {
    pub state: State,
    pub since: Moment,
    /// Where it is or was last.
    pub association: Option<Association>,
    pub claims: Vec<Claim>,
    /// Last proof of life.
    pub heard_at: Option<Moment>,
    /// It went from one AP to another.
    pub moved_at: Option<Moment>,
    /// Where and how loudly it was heard by the APs it was on.
    pub path: Path,
    /// What it usually does when it is silent.
    pub doze: Doze,
    /// When its own nights end.
    pub nights: OwnNights,
    /// It came back from an absence.
    pub arrived_at: Option<Moment>,
    /// When an exit heard it last, by whatever frame.
    pub exit_at: Option<Moment>,
    /// From when to when it was listed and not received, until somebody has learned from it.
    pub slept: Option<(Moment, Moment)>,
    pub rooms: RoomEstimate,
    /// Somebody said that it is in this room, and it has not left it since.
    pub told: Option<Told>,
    /// What spoke loudest for its room when that was found.
    pub found_by: Option<Level>,
    pub hearing: Hearing,
    pub asking: Asking,
}

/// A room that was told rather than found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// Position among the rooms.
    pub room: usize,
    pub at: Moment,
}

/// Whether a device is there.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// Never decided yet.
    Undecided,
    /// A claim holds it.
    Present,
    /// No claim holds it, for not long enough.
    Fading(Fading),
    /// Away; what decided, or nothing if it was simply never seen.
    Absent(Option<Left>),
}

/// What an input says of the device being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Evidence {
    /// Nothing.
    None,
    /// An AP lists it, and saw it a moment ago. Enough if nothing was known.
    Listed,
    /// A completed key handshake, or an authorised station that is being received.
    Proof,
}

/// What [`Memory::settle`] changed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settled {
    pub state: bool,
    /// The silence it returned from, and whether it was away by then.
    pub returned: Option<(Silence, bool)>,
    /// The association it had, if it went from one BSS to another.
    pub roamed_from: Option<Association>,
}

/// A station's line in a table, with what is needed to judge it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing {
    pub authorized: bool,
    pub reading: Reading,
    pub connected_ms: Option<u64>,
    /// When the table was sent.
    pub at: Moment,
    /// When the one before it was.
    pub table_before: Option<Moment>,
}

impl Memory {
    pub fn new(now: Moment) -> Memory {
        Memory {
            state: State::Undecided,
            since: now,
            association: None,
            claims: Vec::new(),
            heard_at: None,
            moved_at: None,
            path: Path::default(),
            doze: Doze::default(),
            nights: OwnNights::default(),
            arrived_at: None,
            exit_at: None,
            slept: None,
            rooms: RoomEstimate::default(),
            told: None,
            found_by: None,
            hearing: Hearing::default(),
            asking: Asking::default(),
        }
    }

    pub fn claim(&self, association: Association) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.association == association)
    }

    pub fn claim_mut(&mut self, association: Association) -> Option<&mut Claim> {
        self.claims.iter_mut().find(|claim| claim.association == association)
    }

    /// The claim that holds it or held it last.
    pub fn current(&self) -> Option<&Claim> {
        self.association.and_then(|association| self.claim(association))
    }

    fn claim_or_new(&mut self, association: Association, mark: Mark) -> usize {
        if let Some(index) = self.claims.iter().position(|claim| claim.association == association) {
            return index;
        }
        if self.claims.len() == CLAIMS_MAX {
            let current = self.association;
            let others =
                self.claims.iter().enumerate().filter(|(_, claim)| Some(claim.association) != current);
            if let Some((oldest, _)) = others.min_by_key(|(_, claim)| claim.heard_at()) {
                self.claims.remove(oldest);
            }
        }
        self.claims.push(Claim::new(association, Mark { table: mark.table.wrapping_sub(1), ..mark }));
        self.claims.len() - 1
    }

    /// A line of a live table.
    pub fn listed(&mut self, association: Association, mark: Mark, listing: &Listing) -> Evidence {
        let index = self.claim_or_new(association, mark);
        let claim = &mut self.claims[index];
        let is_new = claim.is_unread() || claim.mark.table.wrapping_add(1) < mark.table;
        claim.mark = mark;
        if claim.authorized && !listing.authorized {
            // A re-association passes through this; the debounce tells it from a departure. What ended before has
            // nothing to leave.
            if claim.ended_at.is_some() || claim.gone.is_some() {
                claim.authorized = false;
            } else {
                claim.leave(Gone { at: listing.at, parting: Parting::Unlisted });
            }
            return Evidence::None;
        }
        claim.authorized = listing.authorized;
        if let (true, Some(before), Some(connected_ms)) = (is_new, listing.table_before, listing.connected_ms)
        {
            if claim.is_unread() && connected_ms <= listing.at.since(before) + ROUNDING_MS {
                claim.starts_fresh(before);
            }
        }
        if claim.gone.is_some_and(|gone| is_contradicted(gone, listing)) {
            claim.gone = None;
        }
        if claim.leaving.is_some_and(|gone| gone.parting == Parting::Unlisted && gone.at < listing.at) {
            claim.leaving = None;
        }
        let is_heard = claim.read(&listing.reading, listing.at);
        if !listing.authorized {
            return Evidence::None;
        }
        let is_reassociated =
            claim.requested_at.filter(|at| claim.associated_at.is_none_or(|known| known < *at));
        if let Some(at) = is_reassociated.filter(|at| !claim.is_outdated(*at)) {
            self.associate(index, at);
        }
        if is_heard { self.heard(index) } else { self.only_listed(index, &listing.reading) }
    }

    /// A driver's reading between two tables.
    pub fn signal(
        &mut self,
        association: Association,
        mark: Mark,
        reading: &Reading,
        at: Moment,
    ) -> Evidence {
        let Some(index) = self.claims.iter().position(|claim| claim.association == association) else {
            return Evidence::None;
        };
        let claim = &mut self.claims[index];
        if !claim.authorized || claim.mark.table != mark.table || !claim.read(reading, at) {
            return Evidence::None;
        }
        self.heard(index)
    }

    /// The receive counters of an authorised claim moved.
    fn heard(&mut self, index: usize) -> Evidence {
        let claim = &mut self.claims[index];
        let Some((after, at)) = claim.heard else { return Evidence::None };
        // What was received before it left, or before it associated elsewhere, proves nothing about now.
        if claim.is_outdated(after) {
            return Evidence::None;
        }
        let (association, signal_dbm, band_db) = (claim.association, claim.signal.last_dbm(), claim.band_db);
        let other = self.current().filter(|current| current.association != association);
        let is_later = other.is_none_or(|current| {
            let holds = current.gone.is_none() && current.ended_at.is_none();
            !holds || current.heard_at().is_none_or(|heard| heard <= after)
        });
        let before = self.heard_at.filter(|_| self.association == Some(association));
        self.slept = before.map(|before| (before, at)).filter(|(from, to)| to.since(*from) >= SLEEP_MS);
        self.heard_at = self.heard_at.max(Some(at));
        if let Some(dbm) = signal_dbm {
            let level_dbm = dbm.saturating_add(band_db);
            self.rooms.read(association.ap, level_dbm, at);
            self.hearing.read(Level { ap: association.ap, how: How::Associated, dbm: level_dbm, at });
        }
        if !is_later {
            return Evidence::None;
        }
        if let Some(dbm) = signal_dbm {
            self.path.read(association.ap, dbm, at);
        }
        self.take_over(index, after);
        Evidence::Proof
    }

    fn only_listed(&self, index: usize, reading: &Reading) -> Evidence {
        let claim = &self.claims[index];
        let is_fresh = reading.inactive_ms.is_some_and(|ms| ms <= FRESH_MS);
        let holds = claim.gone.is_none() && claim.ended_at.is_none();
        if is_fresh && holds { Evidence::Listed } else { Evidence::None }
    }

    /// The key handshake was completed.
    pub fn authorized(&mut self, association: Association, mark: Mark, at: Moment) -> Evidence {
        let index = self.claim_or_new(association, mark);
        let claim = &self.claims[index];
        if claim.is_outdated(at) || claim.associated_at.is_some_and(|known| known > at) {
            return Evidence::None;
        }
        let claim = &mut self.claims[index];
        claim.authorized = true;
        claim.mark = mark;
        // What was measured before it left says nothing of where it came back.
        if let Some(dbm) = claim.requested_dbm.take() {
            claim.signal = Signal::known(Some(dbm));
        }
        let signal_dbm = claim.signal.last_dbm();
        if !self.associate(index, at) {
            return Evidence::None;
        }
        if let Some(dbm) = signal_dbm {
            self.path.read(association.ap, dbm, at);
        }
        self.heard_at = self.heard_at.max(Some(at));
        Evidence::Proof
    }

    /// Found in the table by polling. It associated, but nothing proves when.
    pub fn joined(&mut self, association: Association, mark: Mark, at: Moment) -> Evidence {
        let index = self.claim_or_new(association, mark);
        let claim = &mut self.claims[index];
        if claim.is_outdated(at) {
            return Evidence::None;
        }
        claim.authorized = true;
        claim.mark = mark;
        let is_home = matches!(self.state, State::Present | State::Fading(_));
        if is_home && !self.associate(index, at) {
            return Evidence::None;
        }
        Evidence::Listed
    }

    /// An association request: unauthenticated, so it only explains what follows.
    pub fn requested(&mut self, association: Association, mark: Mark, signal_dbm: Option<i8>, at: Moment) {
        let index = self.claim_or_new(association, mark);
        let claim = &mut self.claims[index];
        if claim.requested_at.is_none_or(|known| known <= at) {
            claim.requested_at = Some(at);
            claim.requested_dbm = signal_dbm;
        }
    }

    /// Makes a claim the device's association of `at`; false if a later one is known.
    fn associate(&mut self, index: usize, at: Moment) -> bool {
        let association = self.claims[index].association;
        let other = self.current().filter(|current| current.association != association);
        let later = other.and_then(Claim::certain_at).filter(|certain| *certain > at);
        if let Some(later) = later {
            self.claims[index].end(later);
            return false;
        }
        let claim = &mut self.claims[index];
        claim.associated_at = claim.associated_at.max(Some(at));
        self.take_over(index, at);
        true
    }

    /// A device is on one BSS: this claim ends every other.
    fn take_over(&mut self, index: usize, at: Moment) {
        for (other, claim) in self.claims.iter_mut().enumerate() {
            if other == index {
                claim.revive();
            } else {
                claim.end(at);
            }
        }
        if let (State::Present | State::Fading(_), Some(before)) = (&self.state, self.association) {
            self.note_move(before.ap, self.claims[index].association.ap, at);
        }
        self.association = Some(self.claims[index].association);
    }

    fn note_move(&mut self, from: ApIndex, to: ApIndex, at: Moment) {
        if from != to {
            self.moved_at = Some(at);
            self.rooms.left(from);
        }
    }

    /// Believes the partings that nothing has explained.
    pub fn part(&mut self) {
        for claim in &mut self.claims {
            if let Some(gone) = claim.leaving.take() {
                claim.gone = Some(gone);
                claim.authorized = false;
            }
        }
    }

    /// Brings state and association in line with the claims. `before` is the association at the input's start.
    pub fn settle(
        &mut self,
        evidence: Evidence,
        before: Option<Association>,
        aps: &[AccessPoint],
        nights: &Nights,
        timing: &Timing,
        now: Moment,
    ) -> Settled {
        let was_home = matches!(self.state, State::Present | State::Fading(_));
        let mark_of = |claim: &Claim| aps[claim.association.ap.0 as usize].state.mark;
        let mut holds = self.current().is_some_and(|claim| claim.holds(mark_of(claim)));
        let is_first_seen = matches!(self.state, State::Undecided) && evidence >= Evidence::Listed;
        if !holds && (was_home || is_first_seen) {
            let others = self.claims.iter().filter(|claim| claim.holds(mark_of(claim)));
            if let Some(other) = others.max_by_key(|claim| claim.heard_at()).map(|claim| claim.association) {
                if let Some(before) = self.association {
                    self.note_move(before.ap, other.ap, now);
                }
                self.association = Some(other);
                holds = true;
            }
        }
        let next = match (&self.state, holds) {
            (State::Undecided, true) if evidence >= Evidence::Listed => Some(State::Present),
            (State::Absent(_), true) if evidence == Evidence::Proof => Some(State::Present),
            (State::Fading(_), true) => Some(State::Present),
            (State::Present, false) => self.fade(aps, nights, timing, now),
            _ => None,
        };
        let state = next.is_some();
        let mut returned = None;
        if let Some(next) = next {
            let before = std::mem::replace(&mut self.state, next);
            self.since = now;
            // Of others, how their silence began says whether they were out.
            if matches!((&before, &self.state), (State::Absent(None), State::Present)) {
                self.arrived_at = Some(now);
            }
            returned = match (before, &self.state) {
                (State::Fading(fading), State::Present) => Some((fading.silence, false)),
                (State::Absent(Some(left)), State::Present) => Some((left.silence, true)),
                _ => None,
            };
        }
        let is_present = matches!(self.state, State::Present);
        let roamed_from = before.filter(|_| was_home && is_present).filter(|before| {
            self.association.is_some_and(|now| (now.ap, now.bssid) != (before.ap, before.bssid))
        });
        Settled { state, returned, roamed_from }
    }

    /// The silence that begins with the end of the current claim.
    fn fade(&mut self, aps: &[AccessPoint], nights: &Nights, timing: &Timing, now: Moment) -> Option<State> {
        self.doze.at_home(now.since(self.since));
        let claim = self.current()?;
        let before = Before {
            claims: &self.claims,
            path: &self.path,
            doze: &self.doze,
            exit_at: self.exit_at,
            longest_ms: nights.longest_ms(claim.heard_at().unwrap_or(now), now, &self.nights),
            is_night: nights.is_night(now),
        };
        Some(State::Fading(Fading::new(claim, &before, aps, timing, now)))
    }

    /// The BSS it was last on went a moment after it: it did not leave.
    pub fn lost_with_bss(&mut self, timing: &Timing) {
        if let State::Fading(fading) = &mut self.state {
            fading.lost_with_bss(&self.doze, timing);
        }
    }

    /// After a change of the setup: APs and rooms have other positions, and some addresses may be another device's.
    /// A device that is there by an address it no longer has is gone from its AP.
    pub fn renumber(
        &mut self,
        ap: impl Fn(ApIndex) -> Option<ApIndex>,
        room: impl Fn(usize) -> Option<usize>,
        owned: impl Fn(Mac) -> bool,
        now: Moment,
    ) {
        let moved = |association: &Association| Some(Association { ap: ap(association.ap)?, ..*association });
        let current = self.association;
        self.claims.retain_mut(|claim| {
            let is_owned = owned(claim.association.mac);
            if !is_owned && Some(claim.association) == current && claim.gone.is_none() {
                claim.gone = Some(Gone { at: now, parting: Parting::Unlisted });
            }
            let kept = moved(&claim.association).filter(|_| is_owned || Some(claim.association) == current);
            if let Some(kept) = kept {
                claim.association = kept;
            }
            kept.is_some()
        });
        self.association = current.as_ref().and_then(moved);
        if let State::Fading(fading) = &mut self.state {
            fading.required = fading.required.iter().filter_map(moved).collect();
            if let Some(association) = moved(&fading.silence.association) {
                fading.silence.association = association;
            }
        }
        if let State::Absent(Some(left)) = &mut self.state {
            left.assumed = left.assumed.and_then(&ap);
            if let Some(association) = moved(&left.silence.association) {
                left.silence.association = association;
            }
        }
        self.hearing.renumber(&ap);
        self.asking.forget_pending();
        self.told = self.told.and_then(|told| Some(Told { room: room(told.room)?, ..told }));
        self.found_by = self.found_by.and_then(|level| Some(Level { ap: ap(level.ap)?, ..level }));
        self.path.renumber(&ap);
        self.rooms.renumber(&ap, room);
    }

    /// The published form of the state.
    pub fn device_state(&self) -> DeviceState {
        match self.state {
            State::Undecided => DeviceState::Undecided,
            State::Present => DeviceState::Present,
            State::Fading(_) => DeviceState::Fading,
            State::Absent(_) => DeviceState::Absent,
        }
    }

    /// A claim holds it, or did a while ago.
    pub fn is_there(&self) -> bool {
        matches!(self.state, State::Present | State::Fading(_))
    }

    /// How it left, if it is away because somebody walked off with it: it was not only switched off, or asleep for long.
    pub fn walked_off(&self) -> Option<&Left> {
        match &self.state {
            State::Absent(Some(left)) if left.silence.fall_db.is_some() && left.assumed.is_none() => {
                Some(left)
            }
            State::Undecided | State::Present | State::Fading(_) | State::Absent(_) => None,
        }
    }

    /// The address it uses or used last.
    pub fn mac(&self) -> Option<Mac> {
        self.association.map(|association| association.mac)
    }

    /// Since when nobody could tell that it left, if nobody can.
    pub fn stale_since(
        &self,
        aps: &[AccessPoint],
        exits: &[ApIndex],
        timing: &Timing,
        now: Moment,
    ) -> Option<Moment> {
        let blind = |ap: ApIndex| {
            let state = &aps[ap.0 as usize].state;
            state.blind.then_some(state.blind_since)
        };
        match &self.state {
            State::Undecided | State::Absent(_) => None,
            State::Present => self.association.and_then(|association| blind(association.ap)),
            State::Fading(fading) => {
                let required = fading.required_now(aps, exits, timing, now);
                required.into_iter().filter_map(|(ap, _)| blind(ap)).min()
            }
        }
    }
}

/// Whether a line of a later table shows that a departure was none.
fn is_contradicted(gone: Gone, listing: &Listing) -> bool {
    match gone.parting {
        Parting::Unlisted => listing.authorized && listing.at > gone.at,
        // hostapd forgets at once who really left, and anybody can forge the frame.
        Parting::LeaveFrame => listing.authorized && listing.at > gone.at.after(TABLE_LAG_MS),
        Parting::SentAway
        | Parting::PollFailed
        | Parting::BssLost
        | Parting::ApRestarted
        | Parting::Phantom => false,
        // It reports again, and lists it.
        Parting::ApBlind => listing.authorized,
    }
}
