//! Stations that no configuration names, across access points and restarts: what never leaves for days is a fixture, a
//! plug or a repeater, and no guest.

use std::collections::BTreeMap;

use whichroom_wire::Mac;

use crate::Moment;

const HOUR_MS: u64 = 3_600_000;

/// What was there for so long is a fixture.
const FIXTURE_MS: u64 = 72 * HOUR_MS;

/// What was not seen for longer had left; a restart of an access point is shorter.
const LEFT_MS: u64 = 2 * HOUR_MS;

/// Stations that are remembered.
const MOST: usize = 1024;

/// A station nobody named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acquaintance {
    /// There without a break since then.
    pub since: Moment,
    pub seen: Moment,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acquaintances {
    known: BTreeMap<Mac, Acquaintance>,
}

impl Acquaintances {
    /// It is associated; true if that just made it a fixture, or ended its being one.
    pub fn met(&mut self, mac: Mac, now: Moment) -> bool {
        let was_fixture = self.is_fixture(mac);
        if let Some(known) = self.known.get_mut(&mac) {
            if now.since(known.seen) > LEFT_MS {
                known.since = now;
            }
            known.seen = now;
            return was_fixture != self.is_fixture(mac);
        }
        if self.known.len() >= MOST {
            self.known.retain(|_, known| now.since(known.seen) <= LEFT_MS);
        }
        if self.known.len() < MOST {
            self.known.insert(mac, Acquaintance { since: now, seen: now });
        }
        false
    }

    /// Whether it never left for days.
    pub fn is_fixture(&self, mac: Mac) -> bool {
        self.known.get(&mac).is_some_and(|known| known.seen.since(known.since) >= FIXTURE_MS)
    }

    /// For the snapshot.
    pub fn known(&self) -> impl Iterator<Item = (&Mac, &Acquaintance)> {
        self.known.iter()
    }

    /// What a snapshot kept.
    pub fn restore(&mut self, mac: Mac, since: Moment, seen: Moment) {
        if self.known.len() < MOST {
            self.known.insert(mac, Acquaintance { since, seen });
        }
    }
}
