//! Everything ubus: finds the BSSs of hostapd, subscribes to them, asks them and iwinfo for their stations, and
//! gives what it learns as observations. No socket and no clock: the core feeds it and carries out its actions.
//!
//! ```text
//! Down --open--> Opening --hello--> Up: register object events, look up, then for each BSS
//!   ^                                |  own object, get_status, subscribe, get_clients, iwinfo
//!   `---- lost: all ids are void ----'
//! ```
//!
//! Polls are the truth and notifications make it quick. A full lookup each minute finds what events, which ubusd may
//! drop, did not tell. A BSS that vanishes keeps its stations for a while: a reload brings it back with a new id.

mod bss;
mod parse;

use std::collections::VecDeque;

use whichroom_ubus::blobmsg::Writer;
use whichroom_ubus::message::Message;
use whichroom_ubus::{Data, Event, Failure, Notification, Object, Reply, Session, Status};
use whichroom_wire::{Change, HOSTS_MAX, Host, Id, Mac, Radio};

use bss::{Bss, Question};
pub(crate) use parse::{Associated, Client, NOTICES, Notice, address, lease_file};

use crate::requests::Mode;
use crate::sorted::Sorted;

const PREFIX: &str = "hostapd.";
const IWINFO: &str = "iwinfo";
const LUCI: &str = "luci-rpc";
const ADDED: &str = "ubus.object.add";
const REMOVED: &str = "ubus.object.remove";

/// How long a request may take.
const TIMEOUT_MS: u64 = 5_000;
const RECONNECT_MS: u64 = 1_000;
/// Inside a jail the socket that ubusd made anew is out of reach: only a new process gets it.
const GIVE_UP_MS: u64 = 60_000;
const LOOKUP_EVERY_MS: u64 = 60_000;
/// While something is missing that access rules, loaded late, may still allow.
const LOOKUP_SOON_MS: u64 = 10_000;
/// How long a BSS that vanished is waited for.
const GRACE_MS: u64 = 30_000;
const IWINFO_EVERY_MS: u64 = 20_000;
/// rpcd has one thread, which LuCI needs too.
const IWINFO_GAP_MS: u64 = 5_000;
/// After rpcd did not answer in time.
const IWINFO_PAUSE_MS: u64 = 60_000;
const HOSTS_EVERY_MS: u64 = 60_000;
/// On an access point that gives no leases.
const NO_HOSTS_EVERY_MS: u64 = 600_000;
/// A router has a handful of BSSs a radio.
const BSS_MAX: usize = 64;
/// Of 100 TU; never 0, which some stations take for "for ever".
const BEACON_DURATION: u32 = 100;

/// What the shell is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Connect to ubusd.
    Open,
    /// Close the connection.
    Close,
    /// Send these bytes.
    Send(Vec<u8>),
    /// Read dnsmasq's leases.
    ReadLeases,
    /// End the process with this message.
    GiveUp(String),
}

/// What was learned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    /// The stations of a BSS; `quiet` for the first time since it came up.
    Clients { bssid: Mac, clients: Vec<Client>, quiet: bool },
    /// What iwinfo adds to them.
    Assoclist { bssid: Mac, entries: Vec<Associated> },
    /// A station did something.
    Station { bssid: Mac, mac: Mac, change: Change },
    /// A station did not carry out a beacon request.
    BeaconRefused { mac: Mac },
    /// Whether hostapd took a beacon request.
    BeaconAnswer { request: Id, mac: Mac, result: Result<(), String> },
    /// A BSS did not come back.
    BssRemoved { bssid: Mac },
    /// Names of devices.
    Hosts(Vec<Host>),
}

/// Why something was asked. BSSs are named by the object id they had, so that late answers find nothing.
#[derive(Debug, Clone)]
enum Ask {
    EventObject,
    Register,
    LookupBss,
    LookupIwinfo,
    LookupLuci,
    OwnObject { path: String },
    Subscribe { id: u32 },
    Status { id: u32 },
    Clients { id: u32 },
    Info { id: u32 },
    Assoclist { id: u32 },
    Leases,
    Hints,
    Beacon { request: Id, mac: Mac },
    Nothing,
}

#[derive(Debug)]
enum Link {
    Down { retry_ms: u64 },
    Opening,
    Up(Box<Session<Ask>>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Collector {
    interval_ms: u64,
    link: Link,
    greeted: bool,
    /// Since when there is no connection; `None` while there is one.
    failing: Option<(u64, String)>,
    bss: Sorted<String, Bss>,
    looked_up: bool,
    next_lookup_ms: u64,
    events_denied: bool,
    iwinfo: Option<u32>,
    iwinfo_works: bool,
    iwinfo_busy: bool,
    /// It is left alone until then.
    iwinfo_from_ms: u64,
    luci: Option<u32>,
    leases: Vec<Host>,
    hosts: Vec<Host>,
    ask_hosts: u64,
    /// Radios, sources or problems may have changed.
    touched: bool,
    actions: VecDeque<Action>,
    observations: VecDeque<Observation>,
}

impl Collector {
    pub(crate) fn new(interval_ms: u64, now_ms: u64) -> Collector {
        Collector {
            interval_ms,
            link: Link::Down { retry_ms: now_ms },
            greeted: false,
            failing: None,
            bss: Sorted::default(),
            looked_up: false,
            next_lookup_ms: now_ms,
            events_denied: false,
            iwinfo: None,
            iwinfo_works: false,
            iwinfo_busy: false,
            iwinfo_from_ms: now_ms,
            luci: None,
            leases: Vec::new(),
            hosts: Vec::new(),
            ask_hosts: now_ms,
            touched: false,
            actions: VecDeque::new(),
            observations: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        let waiting = self.actions.pop_front();
        if waiting.is_some() {
            return waiting;
        }
        let Link::Up(session) = &mut self.link else { return None };
        session.poll_transmit().map(Action::Send)
    }

    /// The next thing learned.
    pub(crate) fn poll_observation(&mut self) -> Option<Observation> {
        self.observations.pop_front()
    }

    /// ubusd took the connection.
    pub(crate) fn handle_opened(&mut self, now_ms: u64) {
        self.greeted = false;
        self.link = Link::Up(Box::new(Session::new(TIMEOUT_MS, now_ms)));
    }

    /// It did not. `jailed`: the socket is one that was mounted into a jail.
    pub(crate) fn handle_open_failed(&mut self, why: &str, jailed: bool, now_ms: u64) {
        let (since_ms, _) = self.fail(why, now_ms);
        if jailed && since_ms + GIVE_UP_MS <= now_ms {
            let text =
                format!("ubusd cannot be reached for a minute ({why}), and a jail keeps its old socket");
            self.actions.push_back(Action::GiveUp(text));
        }
    }

    /// The connection is lost.
    pub(crate) fn handle_closed(&mut self, why: &str, now_ms: u64) {
        let hint = "; is this user in /etc/passwd and its group in /etc/group?";
        self.fail(&format!("{why}{}", if self.greeted { "" } else { hint }), now_ms);
    }

    /// All ids are void. The stations are kept: the BSSs are likely still there.
    fn fail(&mut self, why: &str, now_ms: u64) -> (u64, String) {
        self.touched = true;
        self.link = Link::Down { retry_ms: now_ms + RECONNECT_MS };
        self.looked_up = false;
        self.iwinfo = None;
        self.iwinfo_busy = false;
        self.luci = None;
        for bss in self.bss.values_mut() {
            bss.vanish(now_ms);
            bss.own = None;
        }
        let since_ms = self.failing.take().map_or(now_ms, |(since_ms, _)| since_ms);
        self.failing.insert((since_ms, why.to_owned())).clone()
    }

    /// Takes a message of ubusd.
    pub(crate) fn handle_message(&mut self, message: Message<'_>, now_ms: u64) {
        let Link::Up(session) = &mut self.link else { return };
        session.handle_message(message);
        self.drain(now_ms);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now_ms: u64) {
        match &mut self.link {
            Link::Down { retry_ms } if *retry_ms <= now_ms => {
                self.link = Link::Opening;
                self.actions.push_back(Action::Open);
            }
            Link::Down { .. } | Link::Opening => {}
            Link::Up(session) => {
                session.handle_timeout(now_ms);
                self.drain(now_ms);
                self.handle_due(now_ms);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let session = match &self.link {
            Link::Down { retry_ms } => return Some(*retry_ms),
            Link::Opening => return None,
            Link::Up(session) => session.poll_timeout(),
        };
        if !self.greeted {
            return session;
        }
        let iwinfo = self.iwinfo.is_some() && !self.iwinfo_busy;
        let of_bss = self.bss.values().flat_map(|bss| {
            let asking = bss.id.is_some();
            let due = |question: &Question, on: bool| question.due().filter(|_| on);
            [
                due(&bss.ask_clients, asking),
                due(&bss.ask_status, asking),
                due(&bss.ask_info, asking && iwinfo).map(|due_ms| due_ms.max(self.iwinfo_from_ms)),
                due(&bss.ask_assoclist, asking && iwinfo).map(|due_ms| due_ms.max(self.iwinfo_from_ms)),
                bss.gone_ms.map(|gone_ms| gone_ms + GRACE_MS),
            ]
        });
        of_bss.flatten().chain(session).chain([self.next_lookup_ms, self.ask_hosts]).min()
    }

    fn drain(&mut self, now_ms: u64) {
        loop {
            let Link::Up(session) = &mut self.link else { return };
            let Some(event) = session.poll_event() else { return };
            self.handle_event(event, now_ms);
        }
    }

    fn handle_event(&mut self, event: Event<Ask>, now_ms: u64) {
        match event {
            Event::Connected => self.handle_greeting(now_ms),
            Event::Reply(ask, result) => self.handle_reply(ask, result, now_ms),
            Event::Notification(notification) => self.handle_notification(&notification, now_ms),
            Event::TargetGone { target, .. } => self.handle_vanished(target, now_ms),
            Event::Silent => {
                self.actions.push_back(Action::Close);
                self.fail("ubusd took the connection and says nothing", now_ms);
            }
        }
    }

    fn handle_greeting(&mut self, now_ms: u64) {
        if self.failing.take().is_some() {
            log::info!("ubus: connected again");
        }
        self.touched = true;
        self.greeted = true;
        self.events_denied = false;
        // They could not come back while there was no connection.
        for bss in self.bss.values_mut() {
            bss.gone_ms = bss.gone_ms.map(|_| now_ms);
        }
        self.ask_hosts = now_ms + 1_000;
        if let Link::Up(session) = &mut self.link {
            session.add_object(Ask::EventObject, now_ms);
        }
        self.look_up(now_ms);
    }

    fn look_up(&mut self, now_ms: u64) {
        self.next_lookup_ms = now_ms + LOOKUP_EVERY_MS;
        let Link::Up(session) = &mut self.link else { return };
        session.lookup("hostapd.*", Ask::LookupBss, now_ms);
        session.lookup(IWINFO, Ask::LookupIwinfo, now_ms);
        session.lookup(LUCI, Ask::LookupLuci, now_ms);
    }

    fn handle_due(&mut self, now_ms: u64) {
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
    }

    fn remove_overdue(&mut self, now_ms: u64) {
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
    fn remove_stations(&mut self, bssid: Mac) {
        if !self.bss.values().any(|bss| bss.bssid() == Some(bssid)) {
            self.observations.push_back(Observation::BssRemoved { bssid });
        }
    }

    /// One question at a time, the one that waited longest first.
    fn ask_iwinfo(&mut self, now_ms: u64) {
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

    fn ask_hosts(&mut self, now_ms: u64) {
        if self.ask_hosts > now_ms {
            return;
        }
        self.ask_hosts = now_ms + HOSTS_EVERY_MS;
        match (&mut self.link, self.luci) {
            (Link::Up(session), Some(luci)) => {
                session.invoke(luci, "getDHCPLeases", &Writer::new(), Ask::Leases, now_ms);
            }
            _ => self.actions.push_back(Action::ReadLeases),
        }
    }

    fn handle_reply(&mut self, ask: Ask, result: Result<Reply, Failure>, now_ms: u64) {
        match ask {
            Ask::EventObject => self.handle_event_object(result, now_ms),
            Ask::Register => {
                if let Err(failure) = result {
                    log::warn!("ubus: no object events ({failure}); looking every 10 s instead");
                    self.events_denied = true;
                    self.next_lookup_ms = self.next_lookup_ms.min(now_ms + LOOKUP_SOON_MS);
                }
            }
            Ask::LookupBss => self.handle_lookup(result, now_ms),
            Ask::LookupIwinfo => self.iwinfo = found(result, self.iwinfo),
            Ask::LookupLuci => self.luci = found(result, self.luci),
            Ask::OwnObject { path } => self.handle_own_object(&path, result, now_ms),
            Ask::Subscribe { id } => self.handle_subscribed(id, result.err(), now_ms),
            Ask::Status { id } => self.handle_status(id, result, now_ms),
            Ask::Clients { id } => self.handle_clients(id, result, now_ms),
            Ask::Info { id } => {
                if let Some((bss, data)) = self.iwinfo_answered(id, |bss| &mut bss.ask_info, result, now_ms) {
                    bss.info = parse::info(data.elements());
                }
            }
            Ask::Assoclist { id } => self.handle_assoclist(id, result, now_ms),
            Ask::Leases => self.handle_leases_reply(result, now_ms),
            Ask::Hints => {
                let hints = if let Ok(Reply::Data(data)) = result {
                    parse::hints(data.elements())
                } else {
                    Vec::new()
                };
                self.update_hosts(hints);
            }
            Ask::Beacon { request, mac } => {
                let result = result.map(|_| ()).map_err(|failure| format!("hostapd: {failure}"));
                self.observations.push_back(Observation::BeaconAnswer { request, mac, result });
            }
            Ask::Nothing => {}
        }
    }

    fn handle_event_object(&mut self, result: Result<Reply, Failure>, now_ms: u64) {
        let (Link::Up(session), Ok(Reply::Own(own))) = (&mut self.link, result) else { return };
        // Literally these two: access rules are matched with the pattern's text.
        for pattern in [ADDED, REMOVED] {
            session.register_event(own, pattern, Ask::Register, now_ms);
        }
    }

    fn handle_lookup(&mut self, result: Result<Reply, Failure>, now_ms: u64) {
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

    fn handle_found(&mut self, object: &Object, now_ms: u64) {
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

    fn handle_own_object(&mut self, path: &str, result: Result<Reply, Failure>, now_ms: u64) {
        let (Link::Up(session), Ok(Reply::Own(own))) = (&mut self.link, result) else { return };
        let known = self.bss.get_mut(&path.to_owned()).filter(|bss| bss.own.is_none());
        let Some(bss) = known else { return session.remove_object(own, Ask::Nothing, now_ms) };
        bss.own = Some(own);
        if let Some(id) = bss.id {
            session.subscribe(own, id, Ask::Subscribe { id }, now_ms);
        }
    }

    fn handle_subscribed(&mut self, id: u32, failure: Option<Failure>, now_ms: u64) {
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

    fn handle_vanished(&mut self, id: u32, now_ms: u64) {
        self.touched = true;
        if let Some((path, bss)) = self.by_id(id) {
            log::info!("{path} is gone");
            bss.vanish(now_ms);
        } else if self.iwinfo == Some(id) {
            self.iwinfo = None;
        } else if self.luci == Some(id) {
            self.luci = None;
        }
    }

    fn by_id(&mut self, id: u32) -> Option<(&str, &mut Bss)> {
        self.bss.iter_mut().find(|(_, bss)| bss.id == Some(id)).map(|(path, bss)| (path.as_str(), bss))
    }

    fn handle_status(&mut self, id: u32, result: Result<Reply, Failure>, now_ms: u64) {
        self.touched = true;
        let Some((path, bss)) = self.by_id(id) else { return };
        bss.ask_status.answered();
        let data = match result {
            Ok(Reply::Data(data)) => data,
            Ok(_) => return,
            Err(failure) => return log::debug!("{path}: get_status: {failure}"),
        };
        let before = bss.bssid();
        bss.status = parse::status(data.elements());
        if before.is_none() {
            // Stations that were asked for meanwhile could not be told apart.
            bss.poll_soon(now_ms);
        }
        if let Some(before) = before.filter(|before| bss.bssid() != Some(*before)) {
            bss.polled = false;
            self.remove_stations(before);
        }
    }

    fn handle_clients(&mut self, id: u32, result: Result<Reply, Failure>, now_ms: u64) {
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
        let Some(bssid) = bss.bssid() else { return };
        let quiet = !std::mem::replace(&mut bss.polled, true);
        self.observations.push_back(Observation::Clients { bssid, clients: clients.clients, quiet });
    }

    fn iwinfo_answered(
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

    fn handle_assoclist(&mut self, id: u32, result: Result<Reply, Failure>, now_ms: u64) {
        let answered = self.iwinfo_answered(id, |bss| &mut bss.ask_assoclist, result, now_ms);
        let Some((bss, data)) = answered else { return };
        let (Some(bssid), Some(entries)) = (bss.bssid(), parse::assoclist(data.elements())) else { return };
        self.observations.push_back(Observation::Assoclist { bssid, entries });
    }

    fn handle_leases_reply(&mut self, result: Result<Reply, Failure>, now_ms: u64) {
        match result {
            Ok(Reply::Data(data)) => self.leases = parse::leases(data.elements()),
            Ok(_) | Err(_) => return self.actions.push_back(Action::ReadLeases),
        }
        match (&mut self.link, self.luci) {
            (Link::Up(session), Some(luci)) if !self.leases.is_empty() => {
                session.invoke(luci, "getHostHints", &Writer::new(), Ask::Hints, now_ms);
            }
            _ => self.ask_hosts = now_ms + NO_HOSTS_EVERY_MS,
        }
    }

    /// Takes the leases this access point gave, from dnsmasq's file; only a router has any.
    pub(crate) fn handle_leases(&mut self, leases: Vec<Host>, now_ms: u64) {
        if leases.is_empty() {
            self.ask_hosts = now_ms + NO_HOSTS_EVERY_MS;
            return;
        }
        self.leases = leases;
        self.update_hosts(Vec::new());
    }

    /// Leases say who is there, hints name some of them and others.
    fn update_hosts(&mut self, hints: Vec<Host>) {
        let mut merged: Sorted<Mac, Host> = Sorted::default();
        for host in std::mem::take(&mut self.leases) {
            merged.insert(host.mac, host);
        }
        for hint in hints {
            if let Some(host) = merged.get_mut(&hint.mac) {
                host.name = host.name.take().or(hint.name);
            } else if hint.name.is_some() && merged.len() < HOSTS_MAX {
                merged.insert(hint.mac, hint);
            }
        }
        let hosts: Vec<Host> = merged.values().cloned().collect();
        if self.hosts != hosts {
            self.touched = true;
            self.hosts.clone_from(&hosts);
            self.observations.push_back(Observation::Hosts(hosts));
        }
    }

    fn handle_notification(&mut self, notification: &Notification, now_ms: u64) {
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

    fn handle_added(&mut self, object: Object, now_ms: u64) {
        match object.path.as_str() {
            IWINFO => self.iwinfo = Some(object.id),
            LUCI => {
                self.luci = Some(object.id);
                self.ask_hosts = now_ms;
            }
            _ => self.handle_found(&object, now_ms),
        }
    }

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
        let (Link::Up(session), Some((bss, id))) = (&mut self.link, bss.and_then(|bss| Some((bss, bss.id?))))
        else {
            let result = Err("the BSS is gone".to_owned());
            self.observations.push_back(Observation::BeaconAnswer { request, mac, result });
            return;
        };
        // A table holds all channels; listening or probing on others would take the station off its own.
        let channel = if mode == Mode::Table { 0 } else { bss.status.channel.unwrap_or(0) };
        let mut arguments = Writer::new();
        arguments
            .string("addr", &mac.to_string())
            .int32("mode", mode.number())
            .int32("op_class", bss.op_class());
        arguments.int32("channel", channel).int32("duration", BEACON_DURATION);
        if let Some(ssid) = &bss.status.ssid {
            // Neighbours' networks are none of our business.
            arguments.string("ssid", ssid);
        }
        session.invoke(id, "rrm_beacon_req", &arguments, Ask::Beacon { request, mac }, now_ms);
    }

    /// The BSSs as they are published.
    pub(crate) fn radios(&self) -> Vec<Radio> {
        self.bss.values().map(Bss::radio).collect()
    }

    /// Whether there is a connection, all BSSs were found and each answered or failed to.
    pub(crate) fn is_settled(&self) -> bool {
        self.looked_up && self.bss.values().all(Bss::is_settled)
    }

    /// Whether iwinfo was asked about every BSS as well, if it is there.
    pub(crate) fn is_complete(&self) -> bool {
        let asked = |bss: &Bss| bss.ask_info.is_answered() && bss.ask_assoclist.is_answered();
        let iwinfo_done = self.iwinfo.is_none() || self.bss.values().all(asked);
        self.is_settled() && iwinfo_done
    }

    /// Whether radios, sources or problems may have changed since the last call.
    pub(crate) fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }

    /// What is read, best first.
    pub(crate) fn sources(&self) -> Vec<&'static str> {
        let hostapd = self.failing.is_none() && self.bss.values().any(|bss| bss.answered && !bss.is_silent());
        [
            ("hostapd", hostapd),
            ("iwinfo", self.iwinfo_works && self.iwinfo.is_some()),
            ("leases", !self.hosts.is_empty()),
        ]
        .into_iter()
        .filter(|(_, works)| *works)
        .map(|(name, _)| name)
        .collect()
    }

    /// What is wrong, in words.
    pub(crate) fn problems(&self) -> Vec<String> {
        if let Some((_, why)) = &self.failing {
            return vec![format!("ubus: {why}")];
        }
        let mut problems = Vec::new();
        if self.looked_up && self.bss.len() == 0 {
            problems.push(
                "ubus shows no hostapd.* object: WiFi is off, or the access rules in /usr/share/acl.d do not allow it"
                    .to_owned(),
            );
        }
        for (path, bss) in self.bss.iter() {
            problems.extend(bss.problem.clone());
            if bss.flaws > 0 {
                problems.push(format!("{path}: {} unreadable values in its answer", bss.flaws));
            }
        }
        problems
    }
}

fn ask_status(session: &mut Session<Ask>, bss: &mut Bss, id: u32, now_ms: u64) {
    bss.ask_status.asked(now_ms);
    session.invoke(id, "get_status", &Writer::new(), Ask::Status { id }, now_ms);
}

fn ask_clients(session: &mut Session<Ask>, bss: &mut Bss, id: u32, now_ms: u64) {
    bss.ask_clients.asked(now_ms);
    session.invoke(id, "get_clients", &Writer::new(), Ask::Clients { id }, now_ms);
}

/// The object a lookup of one path found; without an answer, as before.
fn found(result: Result<Reply, Failure>, before: Option<u32>) -> Option<u32> {
    match result {
        Ok(Reply::Objects(objects)) => objects.first().map(|object| object.id),
        Err(Failure::Status(_)) => None,
        Ok(_) | Err(_) => before,
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
