//! 802.11k beacon requests on behalf of the aggregator: whom to ask, how often, and whom to leave alone.
//!
//! A request costs the station air time and battery: only stations that can answer and are awake are asked, within a
//! budget a station and a pause after refusals. Time is the agent's milliseconds.

use whichroom_wire::{Mac, not_now};

use crate::sorted::Sorted;

/// Between two requests to one station.
const GAP_MS: u64 = 10_000;
/// Requests to one station in an hour.
const HOURLY: u32 = 60;
const HOUR_MS: u64 = 3_600_000;
/// Refusals in a row after which a station is left alone, and for how long.
const REFUSALS: u32 = 3;
const PAUSE_MS: u64 = 24 * HOUR_MS;
/// A station silent for longer sleeps.
const ASLEEP_MS: u64 = 10_000;
/// Stations whose budget is kept.
const STATIONS_MAX: usize = 256;
/// An answer to a request comes within this time; what comes without one is not passed on.
const ANSWER_MS: u64 = 15_000;

/// How a station is to find out what it hears (802.11 measurement mode).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Listen for beacons.
    Passive,
    /// Send probes.
    Active,
    /// Say what it knows; costs no air time.
    Table,
}

impl Mode {
    /// From the request's word.
    pub(crate) fn parse(word: &str) -> Option<Mode> {
        match word {
            "passive" => Some(Mode::Passive),
            "active" => Some(Mode::Active),
            "table" => Some(Mode::Table),
            _ => None,
        }
    }

    /// hostapd's number.
    pub(crate) fn number(self) -> u32 {
        match self {
            Mode::Passive => 0,
            Mode::Active => 1,
            Mode::Table => 2,
        }
    }

    /// The bit in the first octet of the RM enabled capabilities.
    fn capability(self) -> u8 {
        match self {
            Mode::Passive => 1 << 4,
            Mode::Active => 1 << 5,
            Mode::Table => 1 << 6,
        }
    }
}

#[derive(Debug, Default)]
struct Budget {
    asked_ms: Option<u64>,
    hour_began_ms: u64,
    asked_this_hour: u32,
    refusals: u32,
    paused_until_ms: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    budgets: Sorted<Mac, Budget>,
}

impl Requests {
    /// Whether a station may be asked now; if so it counts as asked. `rrm` is its first RRM
    /// octet, `inactive_ms` its silence.
    pub(crate) fn ask(
        &mut self,
        mac: Mac,
        mode: Mode,
        rrm: Option<u8>,
        inactive_ms: Option<u64>,
        now_ms: u64,
    ) -> Result<(), &'static str> {
        if rrm.unwrap_or(0) & mode.capability() == 0 {
            return Err("the station does not support this mode");
        }
        if inactive_ms.is_none_or(|silence| silence > ASLEEP_MS) {
            return Err(not_now::ASLEEP);
        }
        self.make_room(mac, now_ms);
        if self.budgets.get(&mac).is_none() {
            self.budgets.insert(mac, Budget::default());
        }
        let Some(budget) = self.budgets.get_mut(&mac) else { return Err("too many stations") };
        if budget.paused_until_ms > now_ms {
            return Err(not_now::LEFT_ALONE);
        }
        if budget.asked_ms.is_some_and(|asked| asked + GAP_MS > now_ms) {
            return Err(not_now::TOO_SOON);
        }
        if budget.hour_began_ms + HOUR_MS <= now_ms || budget.asked_ms.is_none() {
            budget.hour_began_ms = now_ms;
            budget.asked_this_hour = 0;
        }
        if budget.asked_this_hour >= HOURLY {
            return Err(not_now::TOO_OFTEN);
        }
        budget.asked_this_hour += 1;
        budget.asked_ms = Some(now_ms);
        Ok(())
    }

    /// At the limit the station asked longest ago is forgotten, but not one that is paused.
    fn make_room(&mut self, mac: Mac, now_ms: u64) {
        if self.budgets.len() < STATIONS_MAX || self.budgets.get(&mac).is_some() {
            return;
        }
        let oldest =
            self.budgets.iter().min_by_key(|(_, budget)| (budget.paused_until_ms > now_ms, budget.asked_ms));
        if let Some(oldest) = oldest.map(|(mac, _)| *mac) {
            self.budgets.remove(&oldest);
        }
    }

    /// A station refused, or hostapd could not ask it.
    pub(crate) fn handle_refusal(&mut self, mac: Mac, now_ms: u64) {
        let Some(budget) = self.budgets.get_mut(&mac) else { return };
        budget.refusals += 1;
        if budget.refusals >= REFUSALS {
            budget.refusals = 0;
            budget.paused_until_ms = now_ms + PAUSE_MS;
        }
    }

    /// A station reports. Whether this answers a request of ours; only then it leaves the access point.
    pub(crate) fn handle_report(&mut self, mac: Mac, now_ms: u64) -> bool {
        let Some(budget) = self.budgets.get_mut(&mac) else { return false };
        budget.refusals = 0;
        budget.asked_ms.is_some_and(|asked| asked + ANSWER_MS > now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: Mac = Mac::new([2, 0, 0, 0, 0, 1]);

    fn ask(requests: &mut Requests, mac: Mac, now_ms: u64) -> Result<(), &'static str> {
        requests.ask(mac, Mode::Table, Some(0x73), Some(500), now_ms)
    }

    #[test]
    fn only_who_can_and_is_awake_is_asked() {
        let mut requests = Requests::default();
        let mut ask = |mode, (rrm, inactive_ms)| requests.ask(PHONE, mode, rrm, inactive_ms, 0);
        assert_eq!(ask(Mode::Table, (Some(0x33), Some(0))), Err("the station does not support this mode"));
        assert_eq!(ask(Mode::Table, (None, Some(0))), Err("the station does not support this mode"));
        assert_eq!(ask(Mode::Table, (Some(0x73), Some(10_001))), Err("asleep"));
        assert_eq!(ask(Mode::Table, (Some(0x73), None)), Err("asleep"));
        assert_eq!(ask(Mode::Table, (Some(0x73), Some(500))), Ok(()));
    }

    #[test]
    fn a_station_has_a_budget() {
        let mut requests = Requests::default();
        let asked = (0..HOUR_MS).step_by(1_000).filter(|now| ask(&mut requests, PHONE, *now).is_ok()).count();
        assert_eq!(asked, 60);
        assert_eq!(ask(&mut requests, PHONE, HOUR_MS), Ok(()));
    }

    #[test]
    fn after_three_refusals_there_is_a_day_of_peace() {
        let mut requests = Requests::default();
        for now_ms in [0, 20_000, 40_000] {
            assert_eq!(ask(&mut requests, PHONE, now_ms), Ok(()));
            requests.handle_refusal(PHONE, now_ms);
        }
        assert!(ask(&mut requests, PHONE, 60_000).is_err());
        assert!(ask(&mut requests, PHONE, PAUSE_MS).is_err());
        assert_eq!(ask(&mut requests, PHONE, PAUSE_MS + 40_000), Ok(()));
    }

    #[test]
    fn reports_nobody_asked_for_stay_on_the_access_point() {
        let mut requests = Requests::default();
        assert!(!requests.handle_report(PHONE, 0));
        ask(&mut requests, PHONE, 0).unwrap();
        assert!(requests.handle_report(PHONE, 1_000));
        assert!(!requests.handle_report(PHONE, ANSWER_MS));
    }

    #[test]
    fn memory_creep_budgets_are_bounded() {
        let mut requests = Requests::default();
        for number in 0..2_000u16 {
            let [a, b] = number.to_be_bytes();
            ask(&mut requests, Mac::new([2, 0, 0, 0, a, b]), number.into()).unwrap();
        }
        assert_eq!(requests.budgets.len(), STATIONS_MAX);
    }
}
