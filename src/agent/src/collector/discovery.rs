//! Finding the BSSs: lookups, object events, subscriptions, and what becomes of a BSS that vanishes.

use whichroom_ubus::{Failure, Notification, Object, Reply};
use whichroom_wire::{Change, Mac};

use super::bss::Bss;
use super::parse::{self, Notice};
use super::polls::{ask_clients, ask_status};
use super::{Ask, Collector, GRACE_MS, IWINFO_EVERY_MS, IWINFO_GAP_MS, LOOKUP_SOON_MS, Link, Observation};

const ADDED: &str = "ubus.object.add";
const REMOVED: &str = "ubus.object.remove";
const PREFIX: &str = "hostapd.";
/// A router has a handful of BSSs a radio.
const BSS_MAX: usize = 64;
const IWINFO: &str = "iwinfo";
const LUCI: &str = "luci-rpc";
const USTEER: &str = "usteer";
const LOOKUP_EVERY_MS: u64 = 60_000;

impl Collector {
    pub(super) fn look_up(&mut self, now_ms: u64) {
        self.next_lookup_ms = now_ms + LOOKUP_EVERY_MS;
        let Link::Up(session) = &mut self.link else { return };
        session.lookup("hostapd.*", Ask::LookupBss, now_ms);
        session.lookup(IWINFO, Ask::LookupIwinfo, now_ms);
        session.lookup(LUCI, Ask::LookupLuci, now_ms);
        session.lookup(USTEER, Ask::LookupUsteer, now_ms);
    }

    pub(super) fn handle_event_object(&mut self, result: Result<Reply, Failure>, now_ms: u64) {
        let (Link::Up(session), Ok(Reply::Own(own))) = (&mut self.link, result) else { return };
        // Literally these two: access rules are matched with the pattern's text.
        for pattern in [ADDED, REMOVED] {
            session.register_event(own, pattern, Ask::Register, now_ms);
        }
    }

    pub(super) fn handle_lookup(&mut self, result: Result<Reply, Failure>, now_ms: u64) {
        let objects = match result {
            Ok(Reply::Objects(objects)) => objects,
            Err(Failure::Status(_)) => Vec::new(),
            // Not an answer: what is known stays.
            Ok(_) | Err(_) => {
                self.next_lookup_ms = self.next_lookup_ms.min(now_ms + LOOKUP_SOON_MS);
                return;
            }
        };
        if !self.looked_up {
            log::info!("ubus: {} BSS found", objects.len());
        }
        self.touched |= !self.looked_up;
        self.looked_up = true;
        let gone: Vec<u32> = self
            .bss
            .values()
            .filter_map(|bss| bss.id)
            .filter(|id| !objects.iter().any(|o| o.id == *id))
            .collect();
        for id in gone {
            self.handle_vanished(id, now_ms);
        }
        if objects.is_empty() || self.events_denied {
            self.next_lookup_ms = self.next_lookup_ms.min(now_ms + LOOKUP_SOON_MS);
        }
        for object in objects {
            self.handle_found(&object, now_ms);
        }
    }

    pub(super) fn handle_found(&mut self, object: &Object, now_ms: u64) {
        let Some(ifname) = object.path.strip_prefix(PREFIX) else { return };
        if self.bss.get(&object.path).is_none() {
            if self.bss.len() >= BSS_MAX {
                return;
            }
            let bss = Bss::new(ifname, self.interval_ms, IWINFO_EVERY_MS, now_ms);
            self.bss.insert(object.path.clone(), bss);
        }
        let (Link::Up(session), Some(bss)) = (&mut self.link, self.bss.get_mut(&object.path)) else { return };
        if bss.id == Some(object.id) && bss.subscribed {
            return;
        }
        if bss.id != Some(object.id) {
            self.touched = true;
            bss.appear(object.id, now_ms);
            // First of all, so that the BSSID is known when the first notification comes.
            ask_status(session, bss, object.id, now_ms);
        }
        match bss.own {
            Some(own) => session.subscribe(own, object.id, Ask::Subscribe { id: object.id }, now_ms),
            None => session.add_object(Ask::OwnObject { path: object.path.clone() }, now_ms),
        }
        if bss.ask_clients.is_due(now_ms) {
            ask_clients(session, bss, object.id, now_ms);
        }
    }

    pub(super) fn handle_own_object(&mut self, path: &str, result: Result<Reply, Failure>, now_ms: u64) {
        let (Link::Up(session), Ok(Reply::Own(own))) = (&mut self.link, result) else { return };
        let known = self.bss.get_mut(&path.to_owned()).filter(|bss| bss.own.is_none());
        let Some(bss) = known else { return session.remove_object(own, Ask::Nothing, now_ms) };
        bss.own = Some(own);
        if let Some(id) = bss.id {
            session.subscribe(own, id, Ask::Subscribe { id }, now_ms);
        }
    }

    pub(super) fn handle_subscribed(&mut self, id: u32, failure: Option<Failure>, now_ms: u64) {
        let Some((path, bss)) = self.by_id(id) else { return };
        bss.subscribed = failure.is_none();
        match failure {
            None => log::debug!("{path}: subscribed"),
            Some(failure) => {
                log::warn!("{path}: no notifications ({failure}); its stations are polled only");
                self.next_lookup_ms = self.next_lookup_ms.min(now_ms + LOOKUP_SOON_MS);
            }
        }
    }

    pub(super) fn handle_vanished(&mut self, id: u32, now_ms: u64) {
        self.touched = true;
        if let Some((path, bss)) = self.by_id(id) {
            log::info!("{path} is gone");
            bss.vanish(now_ms);
        } else if self.iwinfo == Some(id) {
            self.iwinfo = None;
        } else if self.luci == Some(id) {
            self.luci = None;
        } else if self.usteer == Some(id) {
            self.usteer = None;
        }
    }

    pub(super) fn remove_overdue(&mut self, now_ms: u64) {
        let overdue = |bss: &Bss| bss.gone_ms.is_some_and(|gone_ms| gone_ms + GRACE_MS <= now_ms);
        let paths: Vec<String> =
            self.bss.iter().filter(|(_, bss)| overdue(bss)).map(|(path, _)| path.clone()).collect();
        for path in paths {
            let Some(bss) = self.bss.remove(&path) else { continue };
            log::info!("{path} did not come back");
            self.touched = true;
            if let (Link::Up(session), Some(own)) = (&mut self.link, bss.own) {
                session.remove_object(own, Ask::Nothing, now_ms);
            }
            if let Some(bssid) = bss.bssid() {
                self.remove_stations(bssid);
            }
        }
    }

    /// The stations of a BSSID go, unless another interface has it.
    pub(super) fn remove_stations(&mut self, bssid: Mac) {
        if !self.bss.values().any(|bss| bss.bssid() == Some(bssid)) {
            self.observations.push_back(Observation::BssRemoved { bssid });
        }
    }

    pub(super) fn handle_notification(&mut self, notification: &Notification, now_ms: u64) {
        let data = notification.data.elements();
        match notification.name.as_str() {
            ADDED => {
                if let Some((id, path)) = parse::object(data) {
                    self.handle_added(Object { path, id }, now_ms);
                }
            }
            REMOVED => {
                if let Some((id, _)) = parse::object(data) {
                    self.handle_vanished(id, now_ms);
                }
            }
            name => {
                let Some(notice) = parse::notice(name, data) else { return };
                let own = Some(notification.own);
                if let Some(bss) = self.bss.values_mut().find(|bss| bss.own == own) {
                    let observation = observe(bss, notice, now_ms);
                    self.observations.extend(observation);
                }
            }
        }
    }

    pub(super) fn handle_added(&mut self, object: Object, now_ms: u64) {
        match object.path.as_str() {
            IWINFO => self.iwinfo = Some(object.id),
            USTEER => self.usteer = Some(object.id),
            LUCI => {
                self.luci = Some(object.id);
                self.ask_hosts = now_ms;
            }
            _ => self.handle_found(&object, now_ms),
        }
    }
}

fn observe(bss: &mut Bss, notice: Notice, now_ms: u64) -> Option<Observation> {
    match notice {
        Notice::ChannelSwitch => {
            bss.ask_status.hasten(now_ms, 0);
            bss.ask_info.hasten(now_ms, IWINFO_GAP_MS);
            None
        }
        Notice::BeaconRefused { mac } => Some(Observation::BeaconRefused { mac }),
        Notice::Station { mac, change } => {
            if let Change::Authorized { auth_alg: Some(algorithm) } = &change {
                bss.ft_seen |= algorithm == "ft";
            }
            Some(Observation::Station { bssid: bss.bssid()?, mac, change })
        }
    }
}
