//! Rows put in order for the analyses: devices and access points by number, spans and changes by device, readings by
//! device and minute. Timeline and report are both made of this, so they count the same things.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use whichroom_wire::{Id, Mac};

use crate::parameters::Parameters;
use crate::rows::{Band, Began, Ended, Hearing, RadioState, Rows, SignalMinute, Span};
use crate::site::{Device, Site};
use crate::time::{MINUTE_MS, Range, Time};
use crate::tracker::ROAM_GAP_MS;

/// Number of a device in an [`Index`].
pub(crate) type DeviceNumber = u32;

/// Number of an access point in an [`Index`].
pub(crate) type ApNumber = u16;

/// What a slice of the history holds, in order.
#[derive(Debug)]
pub(crate) struct Index<'a> {
    pub range: Range,
    pub devices: Vec<Device>,
    pub aps: Vec<&'a Id>,
    pub stories: Vec<Story<'a>>,
    /// By device and minute; of the range only.
    pub readings: Vec<Reading>,
    radios: BTreeMap<Mac, Vec<&'a RadioState>>,
}

/// One device's associations that touch the range or ended just before it, and the changes between them that are in it.
#[derive(Debug, Default)]
pub(crate) struct Story<'a> {
    pub spans: Vec<&'a Span>,
    pub changes: Vec<Change<'a>>,
}

/// The end of one association and the beginning of the next, soon after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    /// When the next one began.
    pub at: Time,
    pub from: &'a Span,
    pub to: &'a Span,
    pub kind: ChangeKind,
    /// By how much the signal became better, where both are known.
    pub gain_db: Option<i16>,
}

/// How a device changed its association: one ended, and the next began within `change_gap_ms` (2 min).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// To another access point.
    Roam,
    /// To another BSS of the same access point, at once: mostly another band.
    Band,
    /// Lost, and back on the same access point. What the access point itself did (a restart, a BSS switched off) is
    /// none.
    Drop,
}

/// A [`SignalMinute`] by numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub device: DeviceNumber,
    pub minute: Time,
    pub ap: ApNumber,
    pub bssid: Mac,
    pub hearing: Hearing,
    pub min_dbm: i8,
    pub mean_dbm: i8,
    pub max_dbm: i8,
}

impl<'a> Index<'a> {
    /// Puts the rows of a range in order.
    pub fn new(rows: Rows<'a>, site: &Site, range: Range, parameters: &Parameters) -> Index<'a> {
        let named = site.by_mac();
        // What ended a moment before the range is where its first change comes from.
        let earliest = range.from.before(parameters.change_gap_ms);
        let touches = |span: &&Span| span.begin < range.to && earliest <= span.end;
        let spans: Vec<&Span> = rows.spans.iter().filter(touches).collect();
        let signals = || rows.signals.iter().filter(|signal| range.contains(signal.minute));
        let numbers = number_devices(&named, &spans, signals());
        let mut aps: BTreeSet<&Id> = rows.radios.iter().map(|radio| &radio.ap).collect();
        // Few access points and many rows: looking is cheaper than collecting.
        let mut last = None;
        for ap in spans.iter().map(|span| &span.ap).chain(signals().map(|signal| &signal.ap)) {
            if last.replace(ap) != Some(ap) && !aps.contains(ap) {
                aps.insert(ap);
            }
        }
        let ap_numbers: BTreeMap<&Id, ApNumber> = aps.iter().copied().zip(0..).collect();
        let mut index = Index {
            range,
            devices: name_devices(site, &named, &numbers),
            aps: aps.into_iter().collect(),
            stories: Vec::new(),
            readings: Vec::new(),
            radios: BTreeMap::new(),
        };
        for radio in rows.radios.iter().filter(|radio| radio.at < range.to) {
            index.radios.entry(radio.bssid).or_default().push(radio);
        }
        index.radios.values_mut().for_each(|states| states.sort_by_key(|state| state.at));
        index.readings = readings(signals(), &numbers, &ap_numbers);
        // They mostly come device by device in order of time: a sort that goes by such runs is several times faster.
        index
            .readings
            .sort_by_key(|reading| (reading.device, reading.minute, reading.hearing, reading.bssid));
        index.stories = stories(&spans, &numbers, index.devices.len());
        index.find_changes(parameters);
        index
    }

    fn find_changes(&mut self, parameters: &Parameters) {
        let mut stories = std::mem::take(&mut self.stories);
        for (device, story) in (0..).zip(&mut stories) {
            let readings = self.readings_of(device);
            for pair in story.spans.windows(2) {
                let (from, to) = (pair[0], pair[1]);
                let Some(kind) = change_kind(from, to, parameters).filter(|_| self.range.contains(to.begin))
                else {
                    continue;
                };
                let gain_db = gain(readings, from, to);
                story.changes.push(Change { at: to.begin, from, to, kind, gain_db });
            }
        }
        self.stories = stories;
    }

    /// Readings of one device, by minute.
    pub fn readings_of(&self, device: DeviceNumber) -> &[Reading] {
        let begin = self.readings.partition_point(|reading| reading.device < device);
        let end = self.readings.partition_point(|reading| reading.device <= device);
        &self.readings[begin..end]
    }

    /// Devices with their stories.
    pub fn iter(&self) -> impl Iterator<Item = (DeviceNumber, &Device, &Story<'a>)> {
        (0..)
            .zip(self.devices.iter().zip(&self.stories))
            .map(|(number, (device, story))| (number, device, story))
    }

    /// The id of an access point.
    pub fn ap(&self, number: ApNumber) -> &'a Id {
        self.aps[usize::from(number)]
    }

    /// State of a BSS at a time; the first that is known, where that is later.
    pub fn radio_at(&self, bssid: Mac, at: Time) -> Option<&'a RadioState> {
        let states = self.radios.get(&bssid)?;
        let next = states.partition_point(|state| state.at <= at);
        states.get(next.saturating_sub(1)).copied()
    }

    /// Since when a BSS has the transmit power it has at the end of the range; nothing if it always had it, as far as is
    /// known.
    pub fn power_since(&self, bssid: Mac) -> Option<Time> {
        let states = self.radios.get(&bssid)?;
        let now_dbm = states.last()?.txpower_dbm;
        let before = states.iter().rposition(|state| state.enabled && state.txpower_dbm != now_dbm)?;
        states.get(before + 1).map(|state| state.at)
    }

    /// Noise at a BSS. A state without noise keeps what was known before it.
    pub fn noise_at(&self, bssid: Mac, at: Time) -> Option<i8> {
        let states = self.radios.get(&bssid)?;
        let next = states.partition_point(|state| state.at <= at).max(1).min(states.len());
        states[..next].iter().rev().find_map(|state| state.noise_dbm).filter(|noise| *noise < 0)
    }

    /// The band of a BSS.
    pub fn band(&self, bssid: Mac) -> Option<Band> {
        self.radio_at(bssid, self.range.to)?.band()
    }

    /// BSSs that serve stations at the end of the range.
    pub fn radios_now(&self) -> impl Iterator<Item = &'a RadioState> {
        self.radios.values().filter_map(|states| states.last().copied()).filter(|state| state.enabled)
    }
}

fn number_devices<'r>(
    named: &BTreeMap<Mac, usize>,
    spans: &[&Span],
    signals: impl Iterator<Item = &'r SignalMinute>,
) -> BTreeMap<Mac, DeviceNumber> {
    let mut macs: BTreeSet<Mac> = spans.iter().map(|span| span.mac).collect();
    let mut last = None;
    for signal in signals {
        if last.replace(signal.mac) != Some(signal.mac) {
            macs.insert(signal.mac);
        }
    }
    let mut numbers = BTreeMap::new();
    let mut by_name: BTreeMap<usize, DeviceNumber> = BTreeMap::new();
    let mut next = 0;
    for mac in macs {
        let mut new = || {
            next += 1;
            next - 1
        };
        let number = match named.get(&mac) {
            Some(name) => *by_name.entry(*name).or_insert_with(&mut new),
            None => new(),
        };
        numbers.insert(mac, number);
    }
    numbers
}

fn name_devices(
    site: &Site,
    named: &BTreeMap<Mac, usize>,
    numbers: &BTreeMap<Mac, DeviceNumber>,
) -> Vec<Device> {
    let mut devices: Vec<Device> = Vec::new();
    let mut by_number: Vec<(DeviceNumber, Mac)> =
        numbers.iter().map(|(mac, number)| (*number, *mac)).collect();
    by_number.sort_unstable();
    by_number.dedup_by_key(|(number, _)| *number);
    for (_, mac) in by_number {
        let known = named.get(&mac).and_then(|index| site.devices.get(*index));
        devices.push(match known {
            Some(device) => {
                let mac = device.macs.first().copied().unwrap_or(mac);
                Device { name: device.name.clone(), mac }
            }
            None => Device { name: mac.to_string(), mac },
        });
    }
    devices
}

fn readings<'r>(
    signals: impl Iterator<Item = &'r SignalMinute>,
    numbers: &BTreeMap<Mac, DeviceNumber>,
    aps: &BTreeMap<&Id, ApNumber>,
) -> Vec<Reading> {
    // Signals that follow each other are mostly of one device at one access point.
    let (mut device, mut ap) = (None, None);
    let reading = |signal: &'r SignalMinute| {
        let device = remembered(&mut device, signal.mac, |mac| numbers.get(mac).copied())?;
        let ap = remembered(&mut ap, &signal.ap, |id| aps.get(*id).copied())?;
        Some(Reading {
            device,
            minute: signal.minute,
            ap,
            bssid: signal.bssid,
            hearing: signal.hearing,
            min_dbm: signal.min_dbm,
            mean_dbm: signal.mean_dbm,
            max_dbm: signal.max_dbm,
        })
    };
    signals.filter_map(reading).collect()
}

/// What `find` finds for `key`; looked for only where that is another key than the last time.
fn remembered<K: PartialEq, V: Copy>(
    last: &mut Option<(K, V)>,
    key: K,
    find: impl FnOnce(&K) -> Option<V>,
) -> Option<V> {
    match last {
        Some((known, value)) if *known == key => Some(*value),
        _ => {
            let value = find(&key)?;
            *last = Some((key, value));
            Some(value)
        }
    }
}

fn stories<'a>(spans: &[&'a Span], numbers: &BTreeMap<Mac, DeviceNumber>, devices: usize) -> Vec<Story<'a>> {
    let mut stories: Vec<Story<'_>> = Vec::new();
    stories.resize_with(devices, Story::default);
    for span in spans {
        let story = numbers.get(&span.mac).and_then(|number| stories.get_mut(*number as usize));
        if let Some(story) = story {
            story.spans.push(span);
        }
    }
    stories.iter_mut().for_each(|story| story.spans.sort_by_key(|span| (span.begin, span.end)));
    stories
}

/// A change is the client's own doing, and soon.
fn change_kind(from: &Span, to: &Span, parameters: &Parameters) -> Option<ChangeKind> {
    let gap_ms = to.begin.since(from.end);
    if gap_ms > parameters.change_gap_ms {
        return None;
    }
    if from.ap != to.ap {
        return Some(ChangeKind::Roam);
    }
    match from.ended {
        Some(Ended::ApRestarted | Ended::BssLost | Ended::Unknown) | None => None,
        Some(_) if from.bssid != to.bssid && gap_ms <= ROAM_GAP_MS => Some(ChangeKind::Band),
        Some(Ended::Roamed | Ended::Reassociated | Ended::Left | Ended::SentAway | Ended::PollFailed) => {
            Some(ChangeKind::Drop)
        }
    }
}

/// What a change gained: the signal it led to, less the weakest one in the minute that made it leave. Who walks is
/// still walking when the change comes, so the better of the first two minutes counts.
fn gain(readings: &[Reading], from: &Span, to: &Span) -> Option<i16> {
    const NEAR_MS: u64 = 2 * MINUTE_MS;
    let begin = readings.partition_point(|reading| reading.minute < from.end.before(NEAR_MS).minute());
    let end = readings.partition_point(|reading| reading.minute <= to.begin.after(NEAR_MS));
    let near = &readings[begin..end];
    let of =
        |bssid| move |reading: &&Reading| reading.hearing == Hearing::Associated && reading.bssid == bssid;
    let before = near.iter().rev().filter(of(from.bssid)).find(|reading| reading.minute <= from.end)?;
    let after = near.iter().filter(of(to.bssid)).filter(|reading| reading.minute >= to.begin.minute());
    let after_dbm = after.take(2).map(|reading| reading.mean_dbm).max()?;
    Some(i16::from(after_dbm) - i16::from(before.min_dbm))
}

impl Change<'_> {
    /// Whether it was a fast transition; nothing if the access point did not say.
    pub fn is_fast(&self) -> Option<bool> {
        match self.to.began {
            Began::FastTransition => Some(true),
            Began::Full => Some(false),
            Began::Unknown => None,
        }
    }
}
