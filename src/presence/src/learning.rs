//! Learning from silences that are over: what ended with a return inside the house, while the house was watched, was
//! sleep. `decide` asks after each return; [`Doze`] keeps what comes of it.

use whichroom_wire::Id;

use crate::Moment;
use crate::claims::Parting;
use crate::device::State;
use crate::doze::{Doze, Kind};
use crate::engine::{Engine, device_index};
use crate::fading::Silence;
use crate::timers::{DeviceIndex, Timer};
use crate::windows::Common;

/// Shorter silences are roams.
const SHORTEST_MS: u64 = 30_000;

/// Nobody walks off into the cellar for so long.
const OUT_MS: u64 = 3 * 3_600_000;

/// Who comes back to another access point this loudly was inside: who comes home is heard at the edge first.
const INSIDE_DBM: i8 = -67;

/// The same at the access point that lost it: it need only be about as loud as before.
const SAME_DB: u8 = 10;

/// Where a device was while it was silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Back {
    /// It is heard by the same access point again, and never walked off.
    AsItWas,
    Inside,
    FromOutside,
}

impl Engine {
    /// A device is present again; `was_away` says whether its silence had been called an absence.
    pub(crate) fn learn_silence(
        &mut self,
        device: DeviceIndex,
        silence: &Silence,
        was_away: bool,
        now: Moment,
    ) {
        let back = self.how_it_came_back(device, silence);
        if was_away && back != Back::AsItWas {
            self.devices[device.0 as usize].memory.arrived_at = Some(now);
        }
        let is_inside = back != Back::FromOutside;
        // What an AP did to a device is no habit of the device.
        let is_aps = matches!(silence.parting, Parting::BssLost | Parting::ApRestarted | Parting::ApBlind);
        if is_aps || silence.kind == Kind::Listed {
            return;
        }
        let silent_ms = now.since(silence.since);
        if was_away && silence.fall_db.is_some() {
            self.ap_mut(silence.association.ap).was_left(!is_inside || silent_ms >= OUT_MS);
        }
        if !is_inside
            || silent_ms < SHORTEST_MS
            || !self.was_watched(silence.since, now, silence.association.ap)
        {
            return;
        }
        let memory = &mut self.devices[device.0 as usize].memory;
        let heard = silence.since.before(silence.unheard_ms);
        self.nights.slept(&mut memory.nights, heard, now.since(heard));
        memory.doze.learn(silence.kind, silent_ms, &self.timing);
    }

    fn how_it_came_back(&self, device: DeviceIndex, silence: &Silence) -> Back {
        let known = &self.devices[device.0 as usize].memory;
        let Some(association) = known.association else { return Back::FromOutside };
        let back_dbm = known.current().and_then(|claim| claim.signal.last_dbm());
        let is_same = association.ap == silence.association.ap;
        let is_exit = self.aps[association.ap.0 as usize].exit;
        let as_before = silence
            .signal_dbm
            .zip(back_dbm)
            .is_some_and(|(before, back)| back >= before.saturating_sub_unsigned(SAME_DB));
        let is_inside = match (is_same, is_exit) {
            // Past an exit one comes home, too: only what came back as it went, and never walked off, was there.
            (true, true) => silence.fall_db.is_none() && as_before,
            (true, false) => back_dbm.is_none_or(|dbm| dbm >= INSIDE_DBM) || as_before,
            (false, true) => false,
            (false, false) => back_dbm.is_some_and(|dbm| dbm >= INSIDE_DBM),
        };
        match is_inside {
            true if is_same && silence.fall_db.is_none() => Back::AsItWas,
            true => Back::Inside,
            false => Back::FromOutside,
        }
    }

    /// A device that was listed and not received is received again.
    pub(crate) fn learn_sleep(&mut self, device: DeviceIndex) {
        let memory = &mut self.devices[device.0 as usize].memory;
        let Some((from, to)) = memory.slept.take() else { return };
        let (State::Present, Some(association)) = (&memory.state, memory.association) else { return };
        if self.was_watched(from, to, association.ap) {
            let memory = &mut self.devices[device.0 as usize].memory;
            self.nights.slept(&mut memory.nights, from, to.since(from));
            memory.doze.learn(Kind::Listed, to.since(from), &self.timing);
        }
    }

    /// Whether an AP and the exits reported nearly all of the time.
    fn was_watched(&self, from: Moment, to: Moment, ap: crate::timers::ApIndex) -> bool {
        let mut common = Common::between(from, to);
        common.intersect(self.aps[ap.0 as usize].state.windows());
        self.exits.iter().for_each(|exit| common.intersect(self.aps[exit.0 as usize].state.windows()));
        common.total_ms() >= to.since(from) / 10 * 9
    }

    /// Forgets what was learned of a device's silences, or of all devices of a person; false if there is neither.
    pub fn reset_doze(&mut self, id: &Id, now: Moment) -> bool {
        let person = self.people.iter().find(|person| person.id == *id);
        let devices: Vec<usize> = match person {
            Some(person) => person.devices.clone(),
            None => (0..self.devices.len()).filter(|index| self.devices[*index].id == *id).collect(),
        };
        for index in &devices {
            let memory = &mut self.devices[*index].memory;
            memory.doze = Doze::default();
            if let State::Fading(fading) = &mut memory.state {
                fading.needed_ms = memory.doze.plausible_ms(fading.silence.kind, &self.timing);
            }
            let device = device_index(*index);
            self.timers.stop(Timer::Phantom(device));
            self.arm_device(device, now);
            self.touched.device(device);
        }
        self.flush(now);
        !devices.is_empty()
    }
}
