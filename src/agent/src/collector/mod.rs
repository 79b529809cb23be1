//! Everything ubus: finds the BSSs of hostapd, subscribes to them, asks them, iwinfo and usteer for their stations,
//! and gives what it learns as observations. No socket and no clock: the core feeds it and carries out its actions.
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
mod discovery;
mod hosts;
pub(crate) mod parse;
mod polls;
mod usteer;

use std::collections::VecDeque;

use whichroom_ubus::message::Message;
use whichroom_ubus::{Event, Failure, Reply, Session};
use whichroom_wire::{Change, Host, Id, Mac, Radio};

use bss::{Bss, Question};
pub(crate) use parse::{Associated, Client, NOTICES, address, lease_file};
pub(crate) use usteer::Heard;

use crate::sorted::Sorted;

/// How long a request may take.
const TIMEOUT_MS: u64 = 5_000;
const RECONNECT_MS: u64 = 1_000;
/// Inside a jail the socket that ubusd made anew is out of reach: only a new process gets it.
const GIVE_UP_MS: u64 = 60_000;
/// While something is missing that access rules, loaded late, may still allow.
const LOOKUP_SOON_MS: u64 = 10_000;
/// How long a BSS that vanished is waited for.
const GRACE_MS: u64 = 30_000;
/// Three BSSs, and the leases of a router, then make fewer than 600 calls an hour.
const IWINFO_EVERY_MS: u64 = 25_000;
/// rpcd has one thread, which LuCI needs too.
const IWINFO_GAP_MS: u64 = 5_000;

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
    /// What usteer heard.
    Heard(Vec<Heard>),
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
    LookupUsteer,
    OwnObject { path: String },
    Subscribe { id: u32 },
    Status { id: u32 },
    Clients { id: u32 },
    Info { id: u32 },
    Assoclist { id: u32 },
    Leases,
    Hints,
    Usteer,
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
    usteer: Option<u32>,
    usteer_works: bool,
    ask_usteer: u64,
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
            usteer: None,
            usteer_works: false,
            ask_usteer: now_ms,
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
        self.usteer = None;
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
        let usteer = self.usteer.map(|_| self.ask_usteer);
        of_bss.flatten().chain(session).chain(usteer).chain([self.next_lookup_ms, self.ask_hosts]).min()
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
            Ask::LookupUsteer => self.usteer = found(result, self.usteer),
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
            Ask::Usteer => self.handle_usteer(result),
            Ask::Beacon { request, mac } => {
                let result = result.map(|_| ()).map_err(|failure| format!("hostapd: {failure}"));
                self.observations.push_back(Observation::BeaconAnswer { request, mac, result });
            }
            Ask::Nothing => {}
        }
    }

    fn by_id(&mut self, id: u32) -> Option<(&str, &mut Bss)> {
        self.bss.iter_mut().find(|(_, bss)| bss.id == Some(id)).map(|(path, bss)| (path.as_str(), bss))
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
            ("usteer", self.usteer_works && self.usteer.is_some()),
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

/// The object a lookup of one path found; without an answer, as before.
fn found(result: Result<Reply, Failure>, before: Option<u32>) -> Option<u32> {
    match result {
        Ok(Reply::Objects(objects)) => objects.first().map(|object| object.id),
        Err(Failure::Status(_)) => None,
        Ok(_) | Err(_) => before,
    }
}
