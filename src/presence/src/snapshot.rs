//! What outlives a restart: decisions, and timers as elapsed durations. No moment is kept, because the clock it
//! belongs to ends with the process; everything is an age.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use whichroom_wire::aggregator::HouseState;
use whichroom_wire::{Id, Mac};

use crate::Moment;
use crate::access_point::Identity;
use crate::asking::Asking;
use crate::claims::{Association, Claim, Parting, Signal};
use crate::device::{Device, Memory, State};
use crate::doze::{Doze, Kind};
use crate::engine::Engine;
use crate::fading::{Fading, Left, Silence};
use crate::nights::{Nights, OwnNights};
use crate::output::Home;
use crate::path::{Path, Stay};
use crate::person::PersonState;
use crate::rooms::RoomEstimate;

/// Version of [`Snapshot`]. The one before it, which knew nothing of sleep, is read; any other restores nothing.
const VERSION: u32 = 2;
const VERSION_BEFORE: u32 = 1;

/// The state of an [`Engine`], to be kept in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    access_points: Vec<SavedAp>,
    devices: Vec<SavedDevice>,
    people: Vec<SavedPerson>,
    house: SavedHouse,
    #[serde(default)]
    nights: SavedNights,
    #[serde(default)]
    acquaintances: Vec<SavedAcquaintance>,
    /// How long ago it was taken, where that is known.
    #[serde(default)]
    taken_ms_ago: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedAp {
    id: Id,
    node: Option<String>,
    boot: Option<String>,
    last_live_ms_ago: Option<u64>,
    #[serde(default)]
    roams: u16,
    #[serde(default)]
    roams_out: u16,
    #[serde(default)]
    left: u16,
    #[serde(default)]
    not_left: u16,
    #[serde(default)]
    dismissed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedDevice {
    id: Id,
    state: SavedState,
    since_ms_ago: u64,
    association: Option<SavedAssociation>,
    signal_dbm: Option<i8>,
    #[serde(default)]
    path: Vec<SavedStay>,
    #[serde(default)]
    doze: SavedDoze,
    heard_ms_ago: Option<u64>,
    #[serde(default)]
    arrived_ms_ago: Option<u64>,
    #[serde(default)]
    carried_ms_ago: Option<u64>,
    #[serde(default)]
    exit_ms_ago: Option<u64>,
    moved_ms_ago: Option<u64>,
    room: Option<Id>,
    room_since_ms_ago: u64,
    confidence: u8,
    #[serde(default)]
    asking: SavedAsking,
}

/// How often it was asked for beacon reports lately.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SavedAsking {
    asked_ms_ago: Vec<u64>,
    paused_for_ms: u64,
}

/// A station nobody named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedAcquaintance {
    mac: Mac,
    since_ms_ago: u64,
    seen_ms_ago: u64,
}

/// When the house sleeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SavedNights {
    day_ms: u64,
    begun: Vec<u8>,
    #[serde(default)]
    ended: Vec<u8>,
}

/// Where it was heard, and how loudly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedStay {
    ap: Id,
    from_ms_ago: u64,
    to_ms_ago: u64,
    dbm: i8,
}

/// What it usually does when it is silent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SavedDoze {
    home_ms: u64,
    weights: Vec<Vec<u16>>,
    /// At which hours its nights ended.
    #[serde(default)]
    mornings: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedAssociation {
    ap: Id,
    bssid: Mac,
    mac: Mac,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SavedState {
    Undecided,
    Present,
    Fading {
        silence: SavedSilence,
        needed_ms: u64,
        watched_ms: u64,
        #[serde(default)]
        others_ms: u64,
        required: Vec<SavedAssociation>,
    },
    Absent {
        left: Option<(SavedSilence, u64)>,
        /// A blind access point by which it is only taken to be away.
        #[serde(default)]
        assumed: Option<Id>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedSilence {
    ms_ago: u64,
    association: SavedAssociation,
    parting: Parting,
    #[serde(default)]
    kind: Option<Kind>,
    signal_dbm: Option<i8>,
    #[serde(default)]
    fall_db: Option<u8>,
    /// For how long it had not been heard by then.
    #[serde(default)]
    unheard_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedPerson {
    id: Id,
    home: SavedHome,
    home_since_ms_ago: u64,
    since_ms_ago: u64,
    room: Option<Id>,
    device: Option<Id>,
    confidence: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SavedHome {
    Home,
    Away,
    Undecided,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedHouse {
    state: HouseState,
    since_ms_ago: u64,
    /// It was on its way to being empty.
    emptying: bool,
}

impl Snapshot {
    /// Says how long ago it was taken, so that what is shown as "since" is right. Timers take no notice: while we
    /// did not run, nothing was watched.
    #[must_use]
    pub fn taken_ms_ago(mut self, ms: u64) -> Snapshot {
        self.taken_ms_ago = ms;
        self
    }
}

impl Engine {
    /// What to keep for [`Engine::new`] after a restart.
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        let access_points = self.aps.iter().map(|ap| SavedAp {
            id: ap.id.clone(),
            node: ap.state.identity.as_ref().map(|identity| identity.node.clone()),
            boot: ap.state.identity.as_ref().map(|identity| identity.boot.clone()),
            last_live_ms_ago: ap.state.last_live.map(|last| now.since(last)),
            roams: ap.state.roams,
            roams_out: ap.state.roams_out,
            left: ap.state.left,
            not_left: ap.state.not_left,
            dismissed: ap.state.dismissed,
        });
        let people = self.people.iter().map(|person| SavedPerson {
            id: person.id.clone(),
            home: match person.state.home {
                Home::Home => SavedHome::Home,
                Home::Away => SavedHome::Away,
                Home::Undecided => SavedHome::Undecided,
            },
            home_since_ms_ago: now.since(person.state.home_since),
            since_ms_ago: now.since(person.state.since),
            room: person.state.room.map(|room| self.rooms[room].id.clone()),
            device: person.state.device.map(|device| self.devices[device].id.clone()),
            confidence: person.state.confidence,
        });
        let (day_ms, begun, ended) = self.nights.saved(now);
        let acquaintances = self.acquaintances.known().map(|(mac, known)| SavedAcquaintance {
            mac: *mac,
            since_ms_ago: now.since(known.since),
            seen_ms_ago: now.since(known.seen),
        });
        Snapshot {
            version: VERSION,
            access_points: access_points.collect(),
            devices: self.devices.iter().map(|device| self.save_device(device, now)).collect(),
            people: people.collect(),
            house: SavedHouse {
                state: self.house.state,
                since_ms_ago: now.since(self.house.since),
                emptying: self.house.empty_from.is_some(),
            },
            nights: SavedNights { day_ms, begun, ended },
            acquaintances: acquaintances.collect(),
            taken_ms_ago: 0,
        }
    }

    fn save_device(&self, device: &Device, now: Moment) -> SavedDevice {
        let memory = &device.memory;
        let state = match &memory.state {
            State::Undecided => SavedState::Undecided,
            State::Present => SavedState::Present,
            State::Fading(fading) => SavedState::Fading {
                silence: self.save_silence(&fading.silence, now),
                needed_ms: fading.needed_ms,
                watched_ms: fading.watched_ms(&self.aps, &self.exits, &self.timing, now),
                others_ms: fading
                    .watched_by_others(&self.aps, &self.exits, &self.timing, now)
                    .map_or(0, |(ms, _)| ms),
                required: fading
                    .required
                    .iter()
                    .map(|association| self.save_association(association))
                    .collect(),
            },
            State::Absent(left) => SavedState::Absent {
                left: left.as_ref().map(|left| (self.save_silence(&left.silence, now), left.watched_ms)),
                assumed: left
                    .as_ref()
                    .and_then(|left| left.assumed)
                    .map(|ap| self.aps[ap.0 as usize].id.clone()),
            },
        };
        let signal = memory.current().map(|claim| claim.signal).unwrap_or_default();
        let (home_ms, weights) = memory.doze.saved();
        let (asked_ms_ago, paused_for_ms) = memory.asking.saved(now);
        SavedDevice {
            id: device.id.clone(),
            state,
            since_ms_ago: now.since(memory.since),
            association: memory.association.as_ref().map(|association| self.save_association(association)),
            signal_dbm: signal.last_dbm(),
            path: memory.path.stays().iter().map(|stay| self.save_stay(stay, now)).collect(),
            doze: SavedDoze { home_ms, weights, mornings: memory.nights.saved() },
            heard_ms_ago: memory.heard_at.map(|heard| now.since(heard)),
            arrived_ms_ago: memory.arrived_at.map(|at| now.since(at)),
            carried_ms_ago: memory.path.carried_at().map(|at| now.since(at)),
            exit_ms_ago: memory.exit_at.map(|at| now.since(at)),
            moved_ms_ago: memory.moved_at.map(|moved| now.since(moved)),
            room: memory.rooms.room().map(|room| self.rooms[room].id.clone()),
            room_since_ms_ago: now.since(memory.rooms.since()),
            confidence: memory.rooms.confidence(),
            asking: SavedAsking { asked_ms_ago, paused_for_ms },
        }
    }

    fn save_silence(&self, silence: &Silence, now: Moment) -> SavedSilence {
        SavedSilence {
            ms_ago: now.since(silence.since),
            association: self.save_association(&silence.association),
            parting: silence.parting,
            signal_dbm: silence.signal_dbm,
            kind: Some(silence.kind),
            fall_db: silence.fall_db,
            unheard_ms: silence.unheard_ms,
        }
    }

    fn save_stay(&self, stay: &Stay, now: Moment) -> SavedStay {
        SavedStay {
            ap: self.aps[stay.ap.0 as usize].id.clone(),
            from_ms_ago: now.since(stay.from),
            to_ms_ago: now.since(stay.to),
            dbm: stay.dbm(),
        }
    }

    fn save_association(&self, association: &Association) -> SavedAssociation {
        SavedAssociation {
            ap: self.aps[association.ap.0 as usize].id.clone(),
            bssid: association.bssid,
            mac: association.mac,
        }
    }

    /// Takes a snapshot over; what the setup no longer names is dropped.
    pub(crate) fn restore(&mut self, snapshot: Snapshot, now: Moment) {
        if ![VERSION, VERSION_BEFORE].contains(&snapshot.version) {
            return;
        }
        // Ages are shifted for show by the time we did not run; durations of timers are not.
        let shown = now.before(snapshot.taken_ms_ago);
        for saved in snapshot.access_points {
            let Some(ap) = self.ap_or_new(&saved.id, now) else { continue };
            let identity = saved.node.zip(saved.boot).map(|(node, boot)| Identity { node, boot });
            let last_live = saved.last_live_ms_ago.map(|ms| shown.before(ms));
            let state = self.ap_mut(ap);
            state.restore(identity, last_live);
            (state.roams, state.roams_out) = (saved.roams.min(1000), saved.roams_out.min(1000));
            state.dismissed = saved.dismissed;
            (state.left, state.not_left) = (saved.left.min(100), saved.not_left.min(100));
        }
        let positions = self.device_positions();
        for saved in snapshot.devices {
            let Some(position) = positions.get(&saved.id).copied() else { continue };
            if let Some(memory) = self.restore_device(saved, shown, now) {
                self.devices[position].memory = memory;
            }
        }
        let people: BTreeMap<Id, usize> =
            self.people.iter().enumerate().map(|(position, person)| (person.id.clone(), position)).collect();
        for saved in snapshot.people {
            if let Some(position) = people.get(&saved.id) {
                self.restore_person(*position, saved, shown);
            }
        }
        let day_ms = snapshot.nights.day_ms.saturating_add(snapshot.taken_ms_ago);
        self.nights = Nights::restored(day_ms, &snapshot.nights.begun, &snapshot.nights.ended, now);
        for saved in snapshot.acquaintances {
            // While we did not run it may have been there.
            let (since, seen) = (now.before(saved.since_ms_ago), now.before(saved.seen_ms_ago));
            self.acquaintances.restore(saved.mac, since, seen);
        }
        self.house.state = snapshot.house.state;
        self.house.since = shown.before(snapshot.house.since_ms_ago);
        self.house.empty_from = snapshot.house.emptying.then_some(now);
        self.enlist();
    }

    fn restore_person(&mut self, position: usize, saved: SavedPerson, shown: Moment) {
        let room = self.position_of_room(saved.room.as_ref());
        let devices = &self.devices;
        let person = &mut self.people[position];
        let device =
            person.devices.iter().copied().find(|device| Some(&devices[*device].id) == saved.device.as_ref());
        person.state = PersonState {
            home: match saved.home {
                SavedHome::Home => Home::Home,
                SavedHome::Away => Home::Away,
                SavedHome::Undecided => Home::Undecided,
            },
            home_since: shown.before(saved.home_since_ms_ago),
            since: shown.before(saved.since_ms_ago),
            room,
            device,
            confidence: saved.confidence,
            stale_since: None,
        };
    }

    fn position_of_room(&self, id: Option<&Id>) -> Option<usize> {
        let id = id?;
        self.rooms.iter().position(|room| room.id == *id)
    }

    fn restore_association(&mut self, saved: &SavedAssociation, now: Moment) -> Option<Association> {
        let ap = self.ap_or_new(&saved.ap, now)?;
        Some(Association { ap, bssid: saved.bssid, mac: saved.mac })
    }

    fn restore_silence(&mut self, saved: &SavedSilence, shown: Moment, now: Moment) -> Option<Silence> {
        Some(Silence {
            since: shown.before(saved.ms_ago),
            association: self.restore_association(&saved.association, now)?,
            parting: saved.parting,
            kind: saved.kind.unwrap_or(Kind::Still),
            signal_dbm: saved.signal_dbm,
            fall_db: saved.fall_db,
            unheard_ms: saved.unheard_ms,
        })
    }

    fn restore_device(&mut self, saved: SavedDevice, shown: Moment, now: Moment) -> Option<Memory> {
        let association = match &saved.association {
            Some(association) => Some(self.restore_association(association, now)?),
            None => None,
        };
        let state = match saved.state {
            SavedState::Undecided => State::Undecided,
            SavedState::Present if association.is_some() => State::Present,
            SavedState::Present => return None,
            SavedState::Fading { silence, needed_ms, watched_ms, others_ms, required } => {
                let required =
                    required.iter().filter_map(|saved| self.restore_association(saved, now)).collect();
                let silence = self.restore_silence(&silence, shown, now)?;
                State::Fading(Fading {
                    silence,
                    needed_ms,
                    required,
                    carried_ms: watched_ms,
                    carried_others_ms: others_ms,
                    from: now,
                })
            }
            SavedState::Absent { left: None, .. } => State::Absent(None),
            SavedState::Absent { left: Some((silence, watched_ms)), assumed } => {
                let silence = self.restore_silence(&silence, shown, now)?;
                let assumed = assumed.and_then(|ap| self.ap_or_new(&ap, now));
                State::Absent(Some(Left { silence, watched_ms, assumed }))
            }
        };
        let mut memory = Memory::new(now);
        memory.since = shown.before(saved.since_ms_ago);
        memory.heard_at = saved.heard_ms_ago.map(|ms| shown.before(ms));
        memory.moved_at = saved.moved_ms_ago.map(|ms| shown.before(ms));
        memory.arrived_at = saved.arrived_ms_ago.map(|ms| shown.before(ms));
        memory.exit_at = saved.exit_ms_ago.map(|ms| shown.before(ms));
        let stays = saved.path.iter().filter_map(|stay| {
            let (from, to) = (shown.before(stay.from_ms_ago), shown.before(stay.to_ms_ago));
            Some(Stay::restored(self.ap_or_new(&stay.ap, now)?, from, to, stay.dbm))
        });
        memory.path = Path::restored(stays.collect(), saved.carried_ms_ago.map(|ms| shown.before(ms)));
        memory.doze = Doze::restored(saved.doze.home_ms, &saved.doze.weights);
        memory.nights = OwnNights::restored(&saved.doze.mornings);
        let room = self.position_of_room(saved.room.as_ref());
        memory.rooms = RoomEstimate::restored(
            room,
            association.map(|association| association.ap),
            shown.before(saved.room_since_ms_ago),
            saved.confidence,
            memory.heard_at,
        );
        let SavedAsking { asked_ms_ago, paused_for_ms } = &saved.asking;
        memory.asking = Asking::restored(asked_ms_ago, *paused_for_ms, shown);
        if let (State::Present, Some(association)) = (&state, association) {
            let mark = self.ap_mut(association.ap).mark;
            let mut claim = Claim::new(association, mark);
            claim.authorized = true;
            claim.heard = memory.heard_at.map(|heard| (heard, heard));
            claim.signal = Signal::known(saved.signal_dbm);
            memory.claims.push(claim);
        }
        memory.association = association;
        memory.state = state;
        Some(memory)
    }
}
