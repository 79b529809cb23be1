//! Asking: hostapd for the stations and state of each BSS, iwinfo for what only it knows, and hostapd again for
//! beacon reports.

use whichroom_ubus::blobmsg::Writer;
use whichroom_ubus::{Data, Failure, Reply, Session, Status};
use whichroom_wire::{Id, Mac, not_now};

use super::bss::{Bss, Question};
use super::{Ask, Collector, IWINFO_GAP_MS, Link, Observation, RECONNECT_MS, parse};
use crate::requests::Mode;

/// Of 100 TU; never 0, which some stations take for "for ever".
const BEACON_DURATION: u32 = 100;
/// The channels of the class, one after the other (802.11-2020 9.4.2.20.7).
const EVERY_CHANNEL: u32 = 0;
/// Channels 1 to 13.
const OP_CLASS_LOW: u32 = 81;
/// After rpcd did not answer in time.
const IWINFO_PAUSE_MS: u64 = 60_000;

impl Collector {
    /// Asks a BSS for its stations at `at_ms`, as something happened there.
    pub(crate) fn poll_soon(&mut self, bssid: Mac, at_ms: u64) {
        for bss in self.bss.values_mut().filter(|bss| bss.bssid() == Some(bssid)) {
            bss.poll_soon(at_ms);
        }
    }

    /// Asks iwinfo for the stations of a BSS, as `get_clients` leaves doubts.
    pub(crate) fn assoclist_soon(&mut self, bssid: Mac, now_ms: u64) {
        for bss in self.bss.values_mut().filter(|bss| bss.bssid() == Some(bssid)) {
            bss.ask_assoclist.hasten(now_ms, IWINFO_GAP_MS);
        }
    }

    /// Asks a station, through hostapd, how it hears the BSSs of its network. [`Observation::BeaconAnswer`] follows.
    pub(crate) fn request_beacons(&mut self, request: Id, bssid: Mac, mac: Mac, mode: Mode, now_ms: u64) {
        let bss = self.bss.values().find(|bss| bss.bssid() == Some(bssid));
        let op_class = bss.map_or(OP_CLASS_LOW, |bss| self.class_of(bss, mode));
        let (Link::Up(session), Some((bss, id))) = (&mut self.link, bss.and_then(|bss| Some((bss, bss.id?))))
        else {
            let result = Err(not_now::BSS_GONE.to_owned());
            self.observations.push_back(Observation::BeaconAnswer { request, mac, result });
            return;
        };
        let mut arguments = Writer::new();
        arguments.string("addr", &mac.to_string()).int32("mode", mode.number()).int32("op_class", op_class);
        arguments.int32("channel", EVERY_CHANNEL).int32("duration", BEACON_DURATION);
        if let Some(ssid) = &bss.status.ssid {
            // Neighbours' networks are none of our business.
            arguments.string("ssid", ssid);
        }
        session.invoke(id, "rrm_beacon_req", &arguments, Ask::Beacon { request, mac }, now_ms);
    }

    /// Where a station of this BSS is to measure. On its own channel alone it would hear its own access point and little
    /// else; the 2.4 GHz band is short, and where the network is in it, it holds every access point of the home.
    fn class_of(&self, bss: &Bss, mode: Mode) -> u32 {
        if mode == Mode::Table {
            return bss.op_class();
        }
        let in_low_band = |other: &&Bss| {
            other.op_class() == OP_CLASS_LOW
                && other.gone_ms.is_none()
                && other.status.ssid == bss.status.ssid
        };
        self.bss.values().find(in_low_band).unwrap_or(bss).op_class()
    }

    pub(super) fn handle_due(&mut self, now_ms: u64) {
        if !self.greeted {
            return;
        }
        if self.next_lookup_ms <= now_ms {
            self.look_up(now_ms);
        }
        self.remove_overdue(now_ms);
        let Link::Up(session) = &mut self.link else { return };
        for bss in self.bss.values_mut() {
            let Some(id) = bss.id else { continue };
            if bss.ask_status.is_due(now_ms) {
                ask_status(session, bss, id, now_ms);
            }
            if bss.ask_clients.is_due(now_ms) {
                ask_clients(session, bss, id, now_ms);
            }
        }
        self.ask_iwinfo(now_ms);
        self.ask_hosts(now_ms);
        self.ask_usteer(now_ms);
    }

    /// One question at a time, the one that waited longest first.
    pub(super) fn ask_iwinfo(&mut self, now_ms: u64) {
        let (Link::Up(session), Some(iwinfo), false) = (&mut self.link, self.iwinfo, self.iwinfo_busy) else {
            return;
        };
        if self.iwinfo_from_ms > now_ms {
            return;
        }
        let due = |question: &Question| question.due().filter(|due| *due <= now_ms);
        let candidates = self.bss.values_mut().filter(|bss| bss.id.is_some());
        let next = candidates
            .filter_map(|bss| {
                Some((due(&bss.ask_info).into_iter().chain(due(&bss.ask_assoclist)).min()?, bss))
            })
            .min_by_key(|(due_ms, _)| *due_ms);
        let Some((due_ms, bss)) = next else { return };
        let Some(id) = bss.id else { return };
        let mut arguments = Writer::new();
        arguments.string("device", &bss.ifname);
        self.iwinfo_busy = true;
        if due(&bss.ask_info) == Some(due_ms) {
            bss.ask_info.asked(now_ms);
            session.invoke(iwinfo, "info", &arguments, Ask::Info { id }, now_ms);
        } else {
            bss.ask_assoclist.asked(now_ms);
            session.invoke(iwinfo, "assoclist", &arguments, Ask::Assoclist { id }, now_ms);
        }
    }

    pub(super) fn handle_status(&mut self, id: u32, result: Result<Reply, Failure>, now_ms: u64) {
        self.touched = true;
        let Some((path, bss)) = self.by_id(id) else { return };
        let before = bss.bssid();
        let data = match result {
            Ok(Reply::Data(data)) => data,
            Ok(_) => return bss.status_answered(false, now_ms),
            Err(failure) => {
                bss.status_answered(false, now_ms);
                return log::debug!("{path}: get_status: {failure}");
            }
        };
        bss.status = parse::status(data.elements());
        bss.status_answered(true, now_ms);
        if before.is_none() {
            // Stations that were asked for meanwhile could not be told apart.
            bss.poll_soon(now_ms);
        }
        if let Some(before) = before.filter(|before| bss.bssid() != Some(*before)) {
            bss.polled = false;
            self.remove_stations(before);
        }
    }

    pub(super) fn handle_clients(&mut self, id: u32, result: Result<Reply, Failure>, now_ms: u64) {
        self.touched = true;
        let Some((path, bss)) = self.by_id(id) else { return };
        bss.ask_clients.answered();
        let clients = match result {
            Ok(Reply::Data(data)) => {
                parse::clients(data.elements()).ok_or_else(|| "unreadable answer".to_owned())
            }
            Ok(_) => Err("unreadable answer".to_owned()),
            Err(Failure::Status(Status::NOT_FOUND)) => {
                self.next_lookup_ms = self.next_lookup_ms.min(now_ms + RECONNECT_MS);
                return self.handle_vanished(id, now_ms);
            }
            Err(failure) => Err(failure.to_string()),
        };
        let clients = match clients {
            Ok(clients) => clients,
            Err(why) => {
                let why = format!("{path}: get_clients: {why}");
                if bss.failed(why) {
                    log::warn!("{path} does not answer; what is known of its stations is old");
                }
                return;
            }
        };
        if bss.succeeded() {
            log::info!("{path} answers again");
        }
        bss.answered = true;
        bss.flaws = clients.flaws;
        bss.rrm_seen |= clients.clients.iter().any(|client| client.rrm.is_some_and(|octet| octet != 0));
        bss.listed(!clients.clients.is_empty(), now_ms);
        let Some(bssid) = bss.bssid() else { return };
        let quiet = !std::mem::replace(&mut bss.polled, true);
        self.observations.push_back(Observation::Clients { bssid, clients: clients.clients, quiet });
    }

    pub(super) fn iwinfo_answered(
        &mut self,
        id: u32,
        question: impl Fn(&mut Bss) -> &mut Question,
        result: Result<Reply, Failure>,
        now_ms: u64,
    ) -> Option<(&mut Bss, Data)> {
        self.iwinfo_busy = false;
        self.touched = true;
        // "Not found" is about one device, or told by a lookup.
        if result != Err(Failure::Status(Status::NOT_FOUND)) {
            self.iwinfo_works = result.is_ok();
        }
        if result == Err(Failure::TimedOut) {
            log::warn!("iwinfo does not answer; asking it again in a minute");
            self.iwinfo_from_ms = now_ms + IWINFO_PAUSE_MS;
        }
        let (_, bss) = self.by_id(id)?;
        question(bss).answered();
        if let Ok(Reply::Data(data)) = result { Some((bss, data)) } else { None }
    }

    pub(super) fn handle_assoclist(&mut self, id: u32, result: Result<Reply, Failure>, now_ms: u64) {
        let answered = self.iwinfo_answered(id, |bss| &mut bss.ask_assoclist, result, now_ms);
        let Some((bss, data)) = answered else { return };
        let (Some(bssid), Some(entries)) = (bss.bssid(), parse::assoclist(data.elements())) else { return };
        self.observations.push_back(Observation::Assoclist { bssid, entries });
    }
}

pub(super) fn ask_status(session: &mut Session<Ask>, bss: &mut Bss, id: u32, now_ms: u64) {
    bss.ask_status.asked(now_ms);
    session.invoke(id, "get_status", &Writer::new(), Ask::Status { id }, now_ms);
}

pub(super) fn ask_clients(session: &mut Session<Ask>, bss: &mut Bss, id: u32, now_ms: u64) {
    bss.ask_clients.asked(now_ms);
    session.invoke(id, "get_clients", &Writer::new(), Ask::Clients { id }, now_ms);
}
