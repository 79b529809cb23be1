//! Every timer of the engine, and the queue they wait in. The engine sets them; the shell only sees the next one.

use std::collections::{BTreeMap, BTreeSet};

use crate::Moment;

/// Position of an access point within the engine; stable until the setup changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApIndex(pub(crate) u32);

impl ApIndex {
    /// The access point at a position of the list a [`crate::rooms::Model`] was built from.
    pub fn at(position: usize) -> ApIndex {
        crate::engine::ap_index(position)
    }
}

/// Position of a device within the engine; stable until the setup changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceIndex(pub(crate) u32);

/// What the engine waits for. One of each, and for each device or access point one of each of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// When to believe a disassociation that no new association has followed.
    Parting(DeviceIndex),
    /// When a device that is gone may have been watched long enough to call it away.
    Absence(DeviceIndex),
    /// When a room that leads may have led for long enough.
    Room(DeviceIndex),
    /// When a device that was asked for a beacon report may be asked again.
    Asking(DeviceIndex),
    /// When a device that is listed, but no longer received, may be a phantom.
    Phantom(DeviceIndex),
    /// When a device has been away for long enough for the person's others, left behind, to count no more.
    LeftBehind(DeviceIndex),
    /// When an access point may have been silent for too long to count as reporting.
    Reporting(ApIndex),
    /// When to say, or to say anew, that an access point's blindness keeps decisions from being made.
    Blind(ApIndex),
    /// When a second access point of one name has been quiet long enough to forget it.
    Duplicate(ApIndex),
    /// When a calibration has listened long enough.
    Calibration(DeviceIndex),
    /// When everything may have been watched long enough to call those away whom nobody has seen yet.
    FirstDecision,
    /// When nobody has been home for long enough to call the house empty.
    HouseEmpty,
}

/// The queue: each timer is in it at most once.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Moment, Timer)>,
    set: BTreeMap<Timer, Moment>,
}

impl Timers {
    /// Sets `timer` to go off at `at`, whatever it was set to.
    pub fn set(&mut self, timer: Timer, at: Moment) {
        if let Some(before) = self.set.insert(timer, at) {
            if before == at {
                return;
            }
            self.queue.remove(&(before, timer));
        }
        self.queue.insert((at, timer));
    }

    /// Sets `timer` unless it is set already: for those that look again when they go off.
    pub fn set_if_idle(&mut self, timer: Timer, at: Moment) {
        if !self.set.contains_key(&timer) {
            self.set(timer, at);
        }
    }

    /// Stops `timer`.
    pub fn stop(&mut self, timer: Timer) {
        if let Some(at) = self.set.remove(&timer) {
            self.queue.remove(&(at, timer));
        }
    }

    /// When `timer` goes off, if it is set.
    pub fn at(&self, timer: Timer) -> Option<Moment> {
        self.set.get(&timer).copied()
    }

    /// The next to go off.
    pub fn next(&self) -> Option<(Moment, Timer)> {
        self.queue.first().copied()
    }

    /// Takes the next one that is due.
    pub fn take_due(&mut self, now: Moment) -> Option<Timer> {
        let (at, timer) = self.next()?;
        if at > now {
            return None;
        }
        self.stop(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_queued_once_and_taken_when_due() {
        let mut timers = Timers::default();
        timers.set(Timer::HouseEmpty, Moment::from_ms(10));
        timers.set(Timer::HouseEmpty, Moment::from_ms(20));
        timers.set_if_idle(Timer::HouseEmpty, Moment::from_ms(5));
        assert_eq!(timers.next(), Some((Moment::from_ms(20), Timer::HouseEmpty)));
        assert_eq!(timers.take_due(Moment::from_ms(19)), None);
        assert_eq!(timers.take_due(Moment::from_ms(20)), Some(Timer::HouseEmpty));
        assert_eq!(timers.next(), None);
    }
}
