//! What somebody sets on the access points' radios while the home lives, and how well they then cover it.

use whichroom_wire::{Change, Mac};

use super::{Action, World};
use crate::plan::Point;
use crate::propagation::{Band, downlink_db, uplink_dbm};

/// How long a radio is gone when its settings are loaded.
const RELOAD_MS: u64 = 3_000;

/// A setting of a BSS and its radio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Transmit power in dBm.
    TransmitPower(i8),
    /// Primary channel and width.
    Channel {
        /// Its number.
        channel: u32,
        /// In MHz.
        width_mhz: u32,
    },
    /// 802.11k and 802.11v.
    Measurement(bool),
    /// 802.11r.
    FastTransition(bool),
}

impl World {
    /// Sets something on the radio of a BSS, as `uci` and `wifi reload` do: the radio is gone for some seconds and comes
    /// back without its stations, and its agent says what it is like now. False if there is no such BSS.
    pub fn set_radio(&mut self, bssid: Mac, setting: Setting) -> bool {
        let mut aps = self.access_points.iter().enumerate();
        let found = aps.find_map(|(ap, access_point)| {
            Some((ap, access_point.bsses.iter().position(|bss| bss.bssid == bssid)?))
        });
        let Some((ap, bss)) = found else { return false };
        let radio = &mut self.access_points[ap].bsses[bss].radio;
        match setting {
            Setting::TransmitPower(dbm) => radio.txpower_dbm = Some(dbm),
            Setting::Channel { channel, width_mhz } => {
                radio.freq_mhz = Some(Band::of(bss).freq_mhz(channel));
                (radio.channel, radio.width_mhz) = (Some(channel), Some(width_mhz));
            }
            Setting::Measurement(on) => (radio.rrm, radio.btm) = (Some(on), Some(on)),
            Setting::FastTransition(on) => radio.ft = Some(on),
        }
        self.lose_band(ap, bss);
        self.after(RELOAD_MS, Action::BandReturns(ap, bss));
        (0..self.phones.len()).for_each(|phone| self.stir(phone));
        true
    }

    /// A BSS is gone, and with it its stations.
    pub(super) fn lose_band(&mut self, ap: usize, bss: usize) {
        let access_point = &mut self.access_points[ap];
        access_point.bsses[bss].enabled = false;
        let on_it: Vec<Mac> =
            access_point.stations.keys().filter(|key| key.1 == bss).map(|key| key.0).collect();
        access_point.stations.retain(|key, _| key.1 != bss);
        self.say_radios(ap);
        // The interface restarts without a word; the agent's poll finds them gone.
        self.say(ap, on_it.into_iter().map(|mac| (mac, bss, Change::Left)).collect());
        self.say_table(ap);
    }

    pub(super) fn return_band(&mut self, ap: usize, bss: usize) {
        self.access_points[ap].bsses[bss].enabled = true;
        self.say_radios(ap);
    }

    /// Transmit power of a BSS, by its number among all.
    pub(super) fn txpower_dbm(&self, bss: usize) -> i8 {
        self.access_points[bss / 2].bsses[bss % 2].radio.txpower_dbm.unwrap_or_default()
    }

    /// What a phone hears, from what is heard of it.
    pub(super) fn heard_dbm(&self, reach_dbm: &[f64]) -> Vec<f64> {
        let heard = |(bss, dbm): (usize, &f64)| dbm + downlink_db(self.txpower_dbm(bss));
        reach_dbm.iter().enumerate().map(heard).collect()
    }

    /// How well a phone hears the loudest access point at each place of the home, in dBm and without anybody's body in
    /// between: every half metre of every room, always in the same order.
    pub fn coverage_dbm(&self) -> Vec<f64> {
        let mut coverage = Vec::new();
        for room in 0..self.plan.rooms.len() {
            for point in self.plan.places_in(room, 0.5) {
                let heard = (0..self.access_points.len() * 2).map(|bss| self.clear_dbm(bss, point));
                coverage.push(heard.fold(f64::NEG_INFINITY, f64::max));
            }
        }
        coverage
    }

    fn clear_dbm(&self, bss: usize, point: Point) -> f64 {
        let at = self.plan.access_points[bss / 2].at;
        let uplink_dbm = uplink_dbm(&self.plan, self.seed, bss, Band::of(bss), point, at);
        uplink_dbm + downlink_db(self.txpower_dbm(bss))
    }
}
