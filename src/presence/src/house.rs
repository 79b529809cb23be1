//! The house: occupied while anybody is home, empty when nobody has been for a while, undecided while it depends on
//! somebody never decided about.

use std::collections::BTreeSet;

use whichroom_wire::aggregator::HouseState;

use crate::Moment;
use crate::output::HouseView;

/// The house.
#[derive(Debug)]
pub(crate) struct House {
    pub state: HouseState,
    pub since: Moment,
    /// Positions of the people at home.
    pub home: BTreeSet<usize>,
    /// People never decided about.
    pub undecided: BTreeSet<usize>,
    /// Nobody has been home since then; it is not called empty yet.
    pub empty_from: Option<Moment>,
    /// Unknown stations on guest networks.
    pub guests: u32,
    pub published: Option<HouseView>,
}

/// What to do about the time it takes to be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Begins now.
    Begin,
    /// Goes on, or there is none.
    Keep,
    /// Is over, somebody is home.
    End,
}

impl House {
    pub fn new(now: Moment) -> House {
        House {
            state: HouseState::Undecided,
            since: now,
            home: BTreeSet::new(),
            undecided: BTreeSet::new(),
            empty_from: None,
            guests: 0,
            published: None,
        }
    }

    /// Takes over what another setup knew.
    pub fn carry(&mut self, old: &House) {
        (self.state, self.since, self.empty_from) = (old.state, old.since, old.empty_from);
    }

    /// Judges by the people; `has_people` is false in a house nobody was configured for. While `is_assumed`, somebody is
    /// only taken to be away: an occupied house stays so, because empty is what alarms are armed on.
    pub fn judge(&mut self, has_people: bool, is_assumed: bool, now: Moment) -> Hold {
        if !self.home.is_empty() {
            self.become_state(HouseState::Occupied, now);
            return if self.empty_from.take().is_some() { Hold::End } else { Hold::Keep };
        }
        if !has_people || !self.undecided.is_empty() {
            self.become_state(HouseState::Undecided, now);
            return if self.empty_from.take().is_some() { Hold::End } else { Hold::Keep };
        }
        if is_assumed && self.state != HouseState::Empty {
            return if self.empty_from.take().is_some() { Hold::End } else { Hold::Keep };
        }
        if self.state == HouseState::Empty || self.empty_from.is_some() {
            return Hold::Keep;
        }
        self.empty_from = Some(now);
        Hold::Begin
    }

    /// The hold is over.
    pub fn hold_over(&mut self, now: Moment) {
        if self.empty_from.take().is_some() {
            self.become_state(HouseState::Empty, now);
        }
    }

    fn become_state(&mut self, state: HouseState, now: Moment) {
        if self.state != state {
            (self.state, self.since) = (state, now);
        }
    }
}
