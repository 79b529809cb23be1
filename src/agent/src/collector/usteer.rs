//! What usteer heard, where it is installed: the daemon that steers phones between access points keeps, of each station
//! and each BSS, the last signal it heard. Only this access point's own BSSs are read: every other has an agent.
//!
//! It says no times. A signal that is another than at the last look was heard since then; one that is the same may be
//! minutes old, and is not told.

use whichroom_ubus::blobmsg::{Elements, Value, Writer};
use whichroom_ubus::{Failure, Reply};
use whichroom_wire::Mac;

use super::parse::{self, STATIONS_MAX};
use super::{Ask, Collector, Link, Observation};

const EVERY_MS: u64 = 30_000;

/// How loud a BSS of ours heard a station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) bssid: Mac,
    pub(crate) mac: Mac,
    /// `None` while the station is connected there, when hostapd says it better.
    pub(crate) signal_dbm: Option<i8>,
}

impl Collector {
    pub(super) fn ask_usteer(&mut self, now_ms: u64) {
        let (Link::Up(session), Some(usteer)) = (&mut self.link, self.usteer) else { return };
        if self.ask_usteer <= now_ms {
            self.ask_usteer = now_ms + EVERY_MS;
            session.invoke(usteer, "get_clients", &Writer::new(), Ask::Usteer, now_ms);
        }
    }

    pub(super) fn handle_usteer(&mut self, result: Result<Reply, Failure>) {
        self.touched |= self.usteer_works != result.is_ok();
        self.usteer_works = result.is_ok();
        let Ok(Reply::Data(data)) = result else { return };
        let heard = self.heard(data.elements());
        self.observations.push_back(Observation::Heard(heard));
    }

    /// Stations, and in each the BSSs that heard it: ours by the names of hostapd's objects, others by an address and a
    /// name.
    fn heard(&self, stations: Elements<'_>) -> Vec<Heard> {
        let mut heard = Vec::new();
        for station in stations {
            let Some(mac) = parse::mac_bytes(station.name).filter(|mac| mac.is_station()) else { continue };
            for node in station.value.elements().into_iter().flatten() {
                let own = self.bss.iter().find(|(path, _)| path.as_bytes() == node.name);
                let (Some((_, bss)), Some(fields)) = (own, node.value.elements()) else { continue };
                let Some(bssid) = bss.bssid().filter(|_| heard.len() < STATIONS_MAX) else { continue };
                let connected = fields.get("connected").and_then(Value::unsigned) != Some(0);
                let signal_dbm = fields.get("signal").and_then(parse::dbm).filter(|_| !connected);
                heard.push(Heard { bssid, mac, signal_dbm });
            }
        }
        heard
    }
}
