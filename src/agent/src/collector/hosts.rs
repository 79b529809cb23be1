//! Names of devices: from the leases an access point gave, if it is the router, and from what luci-rpc adds.

use whichroom_ubus::blobmsg::Writer;
use whichroom_ubus::{Failure, Reply};
use whichroom_wire::{HOSTS_MAX, Host, Mac};

use super::{Action, Ask, Collector, Link, Observation, parse};
use crate::sorted::Sorted;

const HOSTS_EVERY_MS: u64 = 60_000;
/// On an access point that gives no leases.
const NO_HOSTS_EVERY_MS: u64 = 600_000;

impl Collector {
    pub(super) fn ask_hosts(&mut self, now_ms: u64) {
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

    pub(super) fn handle_leases_reply(&mut self, result: Result<Reply, Failure>, now_ms: u64) {
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
    pub(super) fn update_hosts(&mut self, hints: Vec<Host>) {
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
}
