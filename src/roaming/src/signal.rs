//! What signals say of single devices: weak associations, sticky clients, coverage holes.

use std::collections::BTreeMap;

use serde::Serialize;
use whichroom_wire::{Id, Mac};

use crate::index::{ApNumber, DeviceNumber, Index, Reading, Story};
use crate::parameters::Parameters;
use crate::rows::{Ended, Hearing};
use crate::site::Device;
use crate::time::{MINUTE_MS, Time};

/// A device that is often weak at a BSS: at least `weak_minutes` (10), and `weak_share_percent` (20 %) of its
/// associated minutes there, have less than `weak_snr_db` (20 dB) above the noise floor; where noise is not known,
/// less than `weak_dbm` (-75 dBm).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weak {
    /// Which.
    pub device: Device,
    /// Where.
    pub ap: Id,
    /// Its BSS.
    pub bssid: Mac,
    /// Minutes with a signal.
    pub minutes: u32,
    /// Those that were weak.
    pub weak_minutes: u32,
    /// Mean signal.
    pub mean_dbm: i8,
    /// Mean signal above noise, where noise is known.
    pub snr_db: Option<i16>,
}

/// A client that stayed: for at least `sticky_minutes` (3) minutes of one association, none further than
/// `sticky_gap_ms` (10 min) from the next, another access point heard it better by `sticky_gain_db` (10 dB) or more
/// on the same band, while its own signal was at most `sticky_dbm` (-67 dBm). Compared is like with like: frames
/// overheard by both where both did, and beacon reports only with beacon reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sticky {
    /// Which.
    pub device: Device,
    /// Where it stayed.
    pub ap: Id,
    /// Its BSS.
    pub bssid: Mac,
    /// What heard it better.
    pub better: Id,
    /// The first such minute.
    pub begin: Time,
    /// End of the last.
    pub end: Time,
    /// How many there were.
    pub minutes: u32,
    /// By how much it was heard better, on average.
    pub gain_db: i16,
    /// Its own signal meanwhile.
    pub own_dbm: i8,
}

/// Where an access point's coverage ends and no other's begins: at least `hole_minutes` (10) associated minutes at
/// `hole_dbm` (-80 dBm) or less with no other access point that heard the device at `served_dbm` (-75 dBm) or more
/// within `hole_patience_ms` (2 min); or at least `hole_drops` (3) drops from such a signal into a silence of 10 s to
/// `hole_silence_ms` (30 min).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hole {
    /// Which device was in it.
    pub device: Device,
    /// At the edge of which access point.
    pub ap: Id,
    /// Minutes without service.
    pub minutes: u32,
    /// Drops into silence.
    pub drops: u32,
    /// The weakest signal.
    pub min_dbm: i8,
}

/// Mean of so many values whose sum is known.
fn mean(sum: i64, count: u32) -> i8 {
    i8::try_from(sum / i64::from(count.max(1))).unwrap_or(i8::MIN)
}

/// Weak associations, weakest share first.
pub(crate) fn weak(index: &Index<'_>, parameters: &Parameters) -> Vec<Weak> {
    #[derive(Default)]
    struct Sum {
        minutes: u32,
        weak: u32,
        dbm: i64,
        with_noise: u32,
        snr_db: i64,
    }
    let mut sums: BTreeMap<(DeviceNumber, ApNumber, Mac), Sum> = BTreeMap::new();
    for reading in index.readings.iter().filter(|reading| reading.hearing == Hearing::Associated) {
        let sum = sums.entry((reading.device, reading.ap, reading.bssid)).or_default();
        sum.minutes += 1;
        sum.dbm += i64::from(reading.mean_dbm);
        sum.weak += u32::from(is_weak(index, reading, parameters));
        if let Some(noise) = index.noise_at(reading.bssid, reading.minute) {
            sum.with_noise += 1;
            sum.snr_db += i64::from(reading.mean_dbm) - i64::from(noise);
        }
    }
    let is_bad = |sum: &Sum| {
        sum.weak >= parameters.weak_minutes
            && sum.weak * 100 >= sum.minutes * u32::from(parameters.weak_share_percent)
    };
    let mut weak: Vec<Weak> = sums
        .into_iter()
        .filter(|(_, sum)| is_bad(sum))
        .map(|((device, ap, bssid), sum)| Weak {
            device: index.devices[device as usize].clone(),
            ap: index.ap(ap).clone(),
            bssid,
            minutes: sum.minutes,
            weak_minutes: sum.weak,
            mean_dbm: mean(sum.dbm, sum.minutes),
            snr_db: sum.snr_db.checked_div(sum.with_noise.into()).and_then(|db| i16::try_from(db).ok()),
        })
        .collect();
    weak.sort_by_key(|weak| std::cmp::Reverse((weak.weak_minutes * 1000 / weak.minutes, weak.weak_minutes)));
    weak
}

/// Whether an associated minute is weak.
pub(crate) fn is_weak(index: &Index<'_>, reading: &Reading, parameters: &Parameters) -> bool {
    match index.noise_at(reading.bssid, reading.minute) {
        Some(noise) => i16::from(reading.mean_dbm) - i16::from(noise) < i16::from(parameters.weak_snr_db),
        None => reading.mean_dbm < parameters.weak_dbm,
    }
}

/// Sticky clients, longest first.
pub(crate) fn sticky(index: &Index<'_>, parameters: &Parameters) -> Vec<Sticky> {
    let mut found = Vec::new();
    for (number, device, _) in index.iter() {
        let mut run: Option<StickyRun> = None;
        let readings = index.readings_of(number);
        for minute in readings.chunk_by(|a, b| a.minute == b.minute) {
            let Some((own, better)) = comparison(index, minute) else { continue };
            let gain_db = better.dbm - own.like_dbm;
            let is_better = gain_db >= i16::from(parameters.sticky_gain_db)
                && own.reading.mean_dbm <= parameters.sticky_dbm;
            let at = own.reading.minute;
            let continues = run.as_ref().is_some_and(|run| {
                is_better
                    && run.bssid == own.reading.bssid
                    && run.better == better.ap
                    && at.since(run.last) <= parameters.sticky_gap_ms
            });
            if !continues {
                found.extend(run.take().and_then(|run| run.finish(index, device, parameters)));
            }
            if is_better {
                let run = run.get_or_insert_with(|| StickyRun::new(own.reading, better.ap));
                run.last = at;
                run.minutes += 1;
                run.gain_db += i64::from(gain_db);
                run.own_dbm += i64::from(own.reading.mean_dbm);
            }
        }
        found.extend(run.take().and_then(|run| run.finish(index, device, parameters)));
    }
    found.sort_by_key(|sticky| std::cmp::Reverse(sticky.minutes));
    found
}

struct StickyRun {
    ap: ApNumber,
    bssid: Mac,
    better: ApNumber,
    begin: Time,
    last: Time,
    minutes: u32,
    gain_db: i64,
    own_dbm: i64,
}

impl StickyRun {
    fn new(own: &Reading, better: ApNumber) -> StickyRun {
        let (begin, last) = (own.minute, own.minute);
        StickyRun { ap: own.ap, bssid: own.bssid, better, begin, last, minutes: 0, gain_db: 0, own_dbm: 0 }
    }

    fn finish(self, index: &Index<'_>, device: &Device, parameters: &Parameters) -> Option<Sticky> {
        (self.minutes >= parameters.sticky_minutes).then(|| Sticky {
            device: device.clone(),
            ap: index.ap(self.ap).clone(),
            bssid: self.bssid,
            better: index.ap(self.better).clone(),
            begin: self.begin,
            end: self.last.after(MINUTE_MS),
            minutes: self.minutes,
            gain_db: mean(self.gain_db, self.minutes).into(),
            own_dbm: mean(self.own_dbm, self.minutes),
        })
    }
}

struct Own<'a> {
    reading: &'a Reading,
    /// Its signal of the same kind as what it is compared with.
    like_dbm: i16,
}

struct Better {
    ap: ApNumber,
    dbm: i16,
}

/// In one minute of one device: its association, and the other access point that heard it best.
fn comparison<'a>(index: &Index<'_>, minute: &'a [Reading]) -> Option<(Own<'a>, Better)> {
    let mut associated = minute.iter().filter(|reading| reading.hearing == Hearing::Associated);
    let own = associated.next()?;
    // On two BSSs in one minute: nobody can say which was meant.
    if associated.next().is_some() {
        return None;
    }
    let band = index.band(own.bssid);
    let compared = |hearing| {
        let like = minute.iter().find(|reading| reading.hearing == hearing && reading.bssid == own.bssid);
        let other = |reading: &&Reading| {
            reading.hearing == hearing && reading.ap != own.ap && index.band(reading.bssid) == band
        };
        let best = minute.iter().filter(other).max_by_key(|reading| reading.mean_dbm)?;
        let like_dbm = match (like, hearing) {
            (Some(like), _) => like.mean_dbm,
            (None, Hearing::Overheard) => own.mean_dbm,
            (None, Hearing::Associated | Hearing::Reported) => return None,
        };
        let own = Own { reading: own, like_dbm: like_dbm.into() };
        Some((own, Better { ap: best.ap, dbm: best.mean_dbm.into() }))
    };
    compared(Hearing::Reported).or_else(|| compared(Hearing::Overheard))
}

/// Coverage holes, longest first.
pub(crate) fn holes(index: &Index<'_>, parameters: &Parameters) -> Vec<Hole> {
    #[derive(Default)]
    struct Sum {
        minutes: u32,
        drops: u32,
        min_dbm: i8,
    }
    let mut holes = Vec::new();
    for (number, device, story) in index.iter() {
        let readings = index.readings_of(number);
        let mut sums: BTreeMap<ApNumber, Sum> = BTreeMap::new();
        for (position, reading) in readings.iter().enumerate() {
            let is_edge = reading.hearing == Hearing::Associated && reading.mean_dbm <= parameters.hole_dbm;
            if is_edge && !is_served_elsewhere(readings, position, parameters) {
                let sum = sums.entry(reading.ap).or_default();
                sum.minutes += 1;
                sum.min_dbm = sum.min_dbm.min(reading.mean_dbm);
            }
        }
        for reading in drops(story, readings, parameters) {
            let sum = sums.entry(reading.ap).or_default();
            sum.drops += 1;
            sum.min_dbm = sum.min_dbm.min(reading.mean_dbm);
        }
        for (ap, sum) in sums {
            if sum.minutes >= parameters.hole_minutes || sum.drops >= parameters.hole_drops {
                let (device, ap) = (device.clone(), index.ap(ap).clone());
                let Sum { minutes, drops, min_dbm } = sum;
                holes.push(Hole { device, ap, minutes, drops, min_dbm });
            }
        }
    }
    holes.sort_by_key(|hole| std::cmp::Reverse((hole.minutes, hole.drops)));
    holes
}

/// Whether another access point heard the device well about the time of a reading.
pub(crate) fn is_served_elsewhere(readings: &[Reading], position: usize, parameters: &Parameters) -> bool {
    let edge = &readings[position];
    let near = |reading: &&Reading| {
        let apart = reading.minute.since(edge.minute).max(edge.minute.since(reading.minute));
        apart <= parameters.hole_patience_ms
    };
    let before = readings[..position].iter().rev().take_while(near);
    let after = readings[position..].iter().take_while(near);
    before.chain(after).any(|reading| reading.ap != edge.ap && reading.mean_dbm >= parameters.served_dbm)
}

/// The last readings before the device dropped into silence from a weak signal.
fn drops<'r>(story: &Story<'_>, readings: &'r [Reading], parameters: &Parameters) -> Vec<&'r Reading> {
    const NEAR_MS: u64 = 3 * MINUTE_MS;
    const SILENCE_MS: u64 = 10_000;
    let mut drops = Vec::new();
    for pair in story.spans.windows(2) {
        let (span, next) = (pair[0], pair[1]);
        let silence_ms = next.begin.since(span.end);
        let fell = matches!(span.ended, Some(Ended::Left | Ended::PollFailed | Ended::Unknown));
        if !fell || !(SILENCE_MS..=parameters.hole_silence_ms).contains(&silence_ms) {
            continue;
        }
        let end = readings.partition_point(|reading| reading.minute <= span.end);
        let near =
            readings[..end].iter().rev().take_while(|reading| span.end.since(reading.minute) <= NEAR_MS);
        let mut on_it =
            near.filter(|reading| reading.hearing == Hearing::Associated && reading.bssid == span.bssid);
        drops.extend(on_it.next().filter(|reading| reading.mean_dbm <= parameters.hole_dbm));
    }
    drops
}
