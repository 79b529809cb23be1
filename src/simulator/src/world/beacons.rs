//! 802.11k: what an access point's agent does with a request to ask a station, and what the station answers.

use whichroom_wire::{Change, Id, Mac, Request, RequestKind};

use super::{Action, Claim, World};

/// The agent's own limits, which protect the station from whoever asks.
const GAP_MS: u64 = 10_000;
const HOURLY: u32 = 60;
const HOUR_MS: u64 = 3_600_000;
const REFUSALS: u32 = 3;
const PAUSE_MS: u64 = 24 * HOUR_MS;
const ASLEEP_MS: u64 = 10_000;
/// Weaker beacons are not in a report.
const REPORTED_DBM: f64 = -90.0;

/// 802.11 measurement mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Passive,
    Active,
    Table,
}

impl Mode {
    fn parse(word: &str) -> Option<Mode> {
        match word {
            "passive" => Some(Mode::Passive),
            "active" => Some(Mode::Active),
            "table" => Some(Mode::Table),
            _ => None,
        }
    }

    fn capability(self) -> u8 {
        match self {
            Mode::Passive => 1 << 4,
            Mode::Active => 1 << 5,
            Mode::Table => 1 << 6,
        }
    }
}

/// Whether a station with this first octet of capabilities makes beacon reports of any kind.
pub(super) fn is_able(rrm: u8) -> bool {
    [Mode::Passive, Mode::Active, Mode::Table].iter().any(|mode| rrm & mode.capability() != 0)
}

/// What an agent remembers of its requests to a station.
#[derive(Debug, Clone, Default)]
pub(super) struct Budget {
    asked_ms: Option<u64>,
    hour_began_ms: u64,
    asked_this_hour: u32,
    refusals: u32,
    paused_until_ms: u64,
}

impl World {
    /// The aggregator asks an access point for something.
    pub fn handle_request(&mut self, ap: &Id, request: &Request) {
        let Some(ap) = self.plan.access_points.iter().position(|known| known.id == *ap) else { return };
        if !self.access_points[ap].alive {
            return;
        }
        let RequestKind::BeaconReport { mac, mode } = &request.kind;
        let result = self.ask(ap, *mac, mode);
        let said = self.access_points[ap].answer(&request.id, result.map(drop), self.now_ms);
        self.outputs.push(said);
        if let Ok((claim, mode)) = result {
            let (shortest_ms, longest_ms) = match mode {
                Mode::Table => (60, 500),
                // Thirteen channels, one after the other.
                Mode::Active => (300, 900),
                Mode::Passive => (1_300, 2_500),
            };
            let ms = self.random.between_ms(shortest_ms, longest_ms);
            self.after(ms, Action::Report(claim, mode));
        }
    }

    fn ask(&mut self, ap: usize, mac: Mac, mode: &str) -> Result<(Claim, Mode), &'static str> {
        let mode = Mode::parse(mode).ok_or("unknown mode")?;
        let found = (0..2).find_map(|bss| Some((bss, self.access_points[ap].stations.get(&(mac, bss))?)));
        let (bss, entry) = found.filter(|(_, entry)| entry.authorized).ok_or("not associated")?;
        if self.access_points[ap].bsses[bss].radio.rrm == Some(false) {
            return Err("802.11k is off");
        }
        if entry.rrm & mode.capability() == 0 {
            return Err("the station does not support this mode");
        }
        if self.now_ms.saturating_sub(entry.seen_ms) > ASLEEP_MS {
            return Err("asleep");
        }
        let claim = Claim { ap, mac, bss, generation: entry.generation };
        self.budgets.entry((ap, mac)).or_default().take(self.now_ms)?;
        Ok((claim, mode))
    }

    /// The station's answer: what it hears, or nothing, or that it does not want to.
    pub(super) fn report(&mut self, claim: Claim, mode: Mode) {
        let bss = claim.ap * 2 + claim.bss;
        let Some(phone) = self.phone_of(claim.mac) else { return };
        let is_there = self.phones[phone].on && self.phones[phone].link.is_some_and(|link| link.bss == bss);
        if !is_there || self.phones[phone].dozes() {
            return;
        }
        if self.random.chance(self.phones[phone].habits.refuses) {
            return self.budgets.entry((claim.ap, claim.mac)).or_default().refused(self.now_ms);
        }
        let heard_dbm = match mode {
            Mode::Table => self.phones[phone].scan_table(self.now_ms).to_vec(),
            Mode::Passive | Mode::Active => {
                let mut heard_dbm = self.heard_by(phone);
                let measured = self.measured_class(claim);
                let others = (0..heard_dbm.len()).filter(|&other| self.class_of(other) != measured);
                others.for_each(|other| heard_dbm[other] = f64::NEG_INFINITY);
                heard_dbm
            }
        };
        self.budgets.entry((claim.ap, claim.mac)).or_default().refusals = 0;
        let mut changes = Vec::new();
        for (other, dbm) in heard_dbm.into_iter().enumerate() {
            // Only the network it was asked about.
            let is_same_name = self.plan.ssids[other % 2] == self.plan.ssids[claim.bss];
            if dbm >= REPORTED_DBM && is_same_name {
                let heard = self.access_points[other / 2].bsses[other % 2].bssid;
                let rcpi_dbm = Some(self.reading(dbm));
                changes.push((claim.mac, claim.bss, Change::BeaconReport { heard, rcpi_dbm }));
            }
        }
        self.say(claim.ap, changes);
    }

    /// The operating class the agent names, all channels of it: 2.4 GHz where its network is there too.
    fn measured_class(&self, claim: Claim) -> u32 {
        let is_one_name = self.plan.ssids[0] == self.plan.ssids[1];
        self.class_of(claim.ap * 2 + if is_one_name { 0 } else { claim.bss })
    }

    /// The operating class (802.11 table E-4) of a BSS, by its number among all.
    fn class_of(&self, bss: usize) -> u32 {
        match self.access_points[bss / 2].bsses[bss % 2].radio.freq_mhz.unwrap_or(0) {
            0..=2_500 => 81,
            2_501..=5_250 => 115,
            5_251..=5_350 => 118,
            5_351..=5_730 => 121,
            5_731.. => 125,
        }
    }
}

impl Budget {
    fn take(&mut self, now_ms: u64) -> Result<(), &'static str> {
        if self.paused_until_ms > now_ms {
            return Err("refused three times; left alone for a day");
        }
        if self.asked_ms.is_some_and(|asked_ms| asked_ms + GAP_MS > now_ms) {
            return Err("asked less than 10 s ago");
        }
        if self.asked_ms.is_none() || self.hour_began_ms + HOUR_MS <= now_ms {
            (self.hour_began_ms, self.asked_this_hour) = (now_ms, 0);
        }
        if self.asked_this_hour >= HOURLY {
            return Err("asked 60 times in this hour");
        }
        self.asked_this_hour += 1;
        self.asked_ms = Some(now_ms);
        Ok(())
    }

    fn refused(&mut self, now_ms: u64) {
        self.refusals += 1;
        if self.refusals >= REFUSALS {
            (self.refusals, self.paused_until_ms) = (0, now_ms + PAUSE_MS);
        }
    }
}
