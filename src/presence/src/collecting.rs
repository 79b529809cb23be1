//! Calibrations while they listen: from "it is in the kitchen now" to a sample. The engine's part of `calibration`.

use std::collections::BTreeMap;

use whichroom_wire::Id;
use whichroom_wire::aggregator::Calibrate;

use crate::Moment;
use crate::access_point::ApState;
use crate::calibration::{CalibrateError, NotCalibrated, Sample, SampleReading};
use crate::device::{State, Told};
use crate::engine::{Engine, device_index};
use crate::hearing::{How, Level};
use crate::output::{CalibrationView, Effect, Heard, Stage};
use crate::timers::{DeviceIndex, Timer};

/// What was heard so long before it was said counts too.
const BEFORE_MS: u64 = 10_000;

/// And so long after it.
const AFTER_MS: u64 = 30_000;

/// A calibration that listens.
#[derive(Debug, Clone)]
pub(crate) struct Collecting {
    /// Position among the rooms.
    room: usize,
    taken: String,
    from: Moment,
    until: Moment,
}

/// A calibration that is over.
#[derive(Debug, Clone)]
pub(crate) struct Calibrated {
    /// Position among the rooms.
    room: usize,
    outcome: Result<u32, CalibrateError>,
}

/// Levels of one AP, added up.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    associated: bool,
    count: u16,
    sum: i64,
    squares: i64,
}

impl Tally {
    fn add(&mut self, level: &Level) {
        let dbm = i64::from(level.dbm);
        self.associated |= level.how == How::Associated;
        self.count = self.count.saturating_add(1);
        self.sum += dbm;
        self.squares += dbm * dbm;
    }

    fn reading(self, ap: Id) -> SampleReading {
        let count = i64::from(self.count.max(1));
        let mean = (2 * self.sum + count).div_euclid(2 * count);
        // Of n² times the variance, so that nothing is rounded before the root.
        let spread = (count * self.squares - self.sum * self.sum).max(0).unsigned_abs();
        let deviation = spread.isqrt().div_ceil(count.unsigned_abs());
        SampleReading {
            ap,
            associated: self.associated,
            count: self.count,
            mean_dbm: i8::try_from(mean).unwrap_or(i8::MIN),
            deviation_db: u8::try_from(deviation).unwrap_or(u8::MAX),
        }
    }
}

impl Engine {
    /// Somebody says that a device, or a person's device that moves with them, is in a room now. Its room is that
    /// from now on, and what is heard of it in the last ten and the next thirty seconds becomes a sample:
    /// [`Effect::Calibrated`], or [`Effect::NotCalibrated`] if that gave nothing. Of a person and a device of one id
    /// the person is meant. `taken` is the time for people, RFC 3339. Returns which device listens.
    pub fn calibrate(
        &mut self,
        device_or_person: &Id,
        room: &Id,
        taken: String,
        now: Moment,
    ) -> Result<Id, CalibrateError> {
        let position = self.rooms.iter().position(|known| known.id == *room);
        let room = position.ok_or_else(|| CalibrateError::UnknownRoom {
            asked: room.clone(),
            known: self.rooms.iter().map(|room| room.id.clone()).collect(),
        })?;
        let device = self.subject(device_or_person, now)?;
        let known = &self.devices[device.0 as usize];
        if let Some(person) = known.person.filter(|_| self.is_home_only(known)) {
            return Err(CalibrateError::HomeOnly { name: self.people[person].name.clone() });
        }
        if !matches!(known.memory.state, State::Present) {
            return Err(CalibrateError::NotConnected { name: known.name.clone() });
        }
        let until = now.after(AFTER_MS);
        let before =
            self.calibrating.insert(device, Collecting { room, taken, from: now.before(BEFORE_MS), until });
        if let Some(before) = before {
            let name = self.devices[device.0 as usize].name.clone();
            self.not_calibrated(device, before.room, CalibrateError::Replaced { name });
        }
        let memory = &mut self.devices[device.0 as usize].memory;
        memory.hearing.listen(true);
        memory.rooms.told(room, now);
        memory.told = Some(Told { room, at: now });
        self.timers.stop(Timer::Room(device));
        self.timers.set(Timer::Calibration(device), until);
        self.consider_asking(device, now);
        self.touched.device(device);
        self.flush(now);
        Ok(self.devices[device.0 as usize].id.clone())
    }

    /// As [`Engine::calibrate`], as it came over MQTT. What is wrong with it is said by [`Effect::NotCalibrated`], or
    /// is the error if it did not read. One that was retained is of another time, and ignored.
    pub fn handle_calibrate(
        &mut self,
        payload: &[u8],
        retained: bool,
        taken: String,
        now: Moment,
    ) -> Result<(), String> {
        if retained || payload.is_empty() {
            return Ok(());
        }
        let Calibrate { device, room, .. } = Calibrate::decode(payload)?;
        if let Err(error) = self.calibrate(&device, &room, taken, now) {
            self.effects.push_back(Effect::NotCalibrated(NotCalibrated { device, room, error }));
        }
        Ok(())
    }

    /// The device an id means.
    fn subject(&self, id: &Id, now: Moment) -> Result<DeviceIndex, CalibrateError> {
        if let Some(person) = self.people.iter().find(|person| person.id == *id) {
            let device = person.nearest(&self.devices, now);
            return device
                .map(device_index)
                .ok_or_else(|| CalibrateError::NotConnected { name: person.name.clone() });
        }
        if let Some(device) = self.devices.iter().position(|device| device.id == *id) {
            return Ok(device_index(device));
        }
        let people = self.people.iter().map(|person| person.id.clone());
        let known = people.chain(self.devices.iter().map(|device| device.id.clone())).collect();
        Err(CalibrateError::UnknownDevice { asked: id.clone(), known })
    }

    /// It was listened to for long enough.
    pub(crate) fn finish_calibration(&mut self, device: DeviceIndex, now: Moment) {
        let Some(collecting) = self.calibrating.remove(&device) else { return };
        let known = &mut self.devices[device.0 as usize];
        let levels: Vec<Level> = known.memory.hearing.since(collecting.from).copied().collect();
        known.memory.hearing.listen(false);
        let name = known.name.clone();
        if !matches!(known.memory.state, State::Present) {
            return self.not_calibrated(device, collecting.room, CalibrateError::Left { name });
        }
        let sample = self.sample(device, &collecting, &levels, now);
        if sample.readings.is_empty() {
            self.not_calibrated(device, collecting.room, CalibrateError::NotHeard { name });
        } else {
            let dropped = self.samples.add(sample);
            self.effects.extend(dropped.into_iter().map(Effect::Forgotten));
            if let Some(kept) = self.samples.list().last().cloned() {
                self.calibrated.insert(device, Calibrated { room: collecting.room, outcome: Ok(kept.id) });
                self.effects.push_back(Effect::Calibrated(kept));
            }
            self.samples_changed(now);
        }
        // From here on the evidence decides again.
        self.timers.set(Timer::Room(device), now);
    }

    fn sample(&self, device: DeviceIndex, collecting: &Collecting, levels: &[Level], now: Moment) -> Sample {
        let mut uplink: BTreeMap<&Id, Tally> = BTreeMap::new();
        let mut downlink: BTreeMap<&Id, Tally> = BTreeMap::new();
        for level in levels {
            let side = if level.how == How::Reported { &mut downlink } else { &mut uplink };
            side.entry(&self.aps[level.ap.0 as usize].id).or_default().add(level);
        }
        let readings = |side: BTreeMap<&Id, Tally>| -> Vec<SampleReading> {
            side.into_iter().map(|(ap, tally)| tally.reading(ap.clone())).collect()
        };
        let watched = |ap: &ApState| {
            ap.is_reporting(now, &self.timing) && ap.last_live.is_some_and(|last| last >= collecting.from)
        };
        let silent = self
            .ap_by_id
            .iter()
            .filter(|(id, ap)| !uplink.contains_key(id) && watched(&self.aps[ap.0 as usize].state));
        let silent = silent.map(|(id, _)| id.clone()).collect();
        Sample {
            id: 0,
            device: self.devices[device.0 as usize].id.clone(),
            room: self.rooms[collecting.room].id.clone(),
            taken: collecting.taken.clone(),
            seconds: u32::try_from(now.since(collecting.from) / 1000).unwrap_or(u32::MAX),
            readings: readings(uplink),
            silent,
            reported: readings(downlink),
        }
    }

    fn not_calibrated(&mut self, device: DeviceIndex, room: usize, error: CalibrateError) {
        self.calibrated.insert(device, Calibrated { room, outcome: Err(error.clone()) });
        self.effects.push_back(Effect::NotCalibrated(NotCalibrated {
            device: self.devices[device.0 as usize].id.clone(),
            room: self.rooms[room].id.clone(),
            error,
        }));
    }

    /// The setup is about to change: rooms and devices may be others.
    pub(crate) fn interrupt_calibrations(&mut self) {
        for (device, collecting) in std::mem::take(&mut self.calibrating) {
            self.timers.stop(Timer::Calibration(device));
            let known = &mut self.devices[device.0 as usize];
            known.memory.hearing.listen(false);
            let name = known.name.clone();
            self.not_calibrated(device, collecting.room, CalibrateError::Interrupted { name });
        }
    }

    /// The last calibration of each device, for people.
    pub fn calibrations(&self) -> Vec<CalibrationView> {
        let view = |device: &DeviceIndex, room: usize, stage| CalibrationView {
            device: self.devices[device.0 as usize].id.clone(),
            room: self.rooms[room].id.clone(),
            stage,
        };
        let listening = self.calibrating.iter().map(|(device, collecting)| {
            view(device, collecting.room, Stage::Listening { until: collecting.until })
        });
        let over = self.calibrated.iter().filter(|(device, _)| !self.calibrating.contains_key(device));
        let over = over.map(|(device, calibrated)| {
            let stage = match &calibrated.outcome {
                Ok(sample) => Stage::Done { sample: *sample },
                Err(error) => Stage::Failed(error.clone()),
            };
            view(device, calibrated.room, stage)
        });
        listening.chain(over).collect()
    }

    /// How often all devices were heard by several APs.
    pub(crate) fn heard(&self) -> Heard {
        let mut all = Heard::default();
        for heard in self.devices.iter().map(|device| device.memory.hearing.heard()) {
            all.minutes = all.minutes.saturating_add(heard.minutes);
            all.by_several = all.by_several.saturating_add(heard.by_several);
        }
        all
    }
}
