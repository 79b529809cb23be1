//! What hostapd does with stations: their handshake, their silence, their end.

use whichroom_wire::{Change, Host, Mac};

use super::{Action, Claim, DEAUTH_DELAY_MS, Handshake, INACTIVE_MS, World};

impl World {
    pub(super) fn authorize(&mut self, claim: Claim, phone: usize, handshake: Handshake) {
        let entry = self.access_points[claim.ap].stations.get_mut(&(claim.mac, claim.bss));
        let Some(entry) = entry.filter(|entry| entry.generation == claim.generation) else { return };
        entry.authorized = true;
        let auth_alg = if handshake == Handshake::Fast { "ft" } else { "sae" };
        let change = Change::Authorized { auth_alg: Some(auth_alg.to_owned()) };
        self.say(claim.ap, vec![(claim.mac, claim.bss, change)]);
        self.say_table(claim.ap);
        if phone >= self.plan.phones.len() {
            self.lease(claim.mac);
        }
    }

    /// The router gives a stranger an address, and so learns its name.
    fn lease(&mut self, mac: Mac) {
        let Some(router) = self.plan.access_points.iter().position(|ap| ap.router) else { return };
        let ap = &mut self.access_points[router];
        if ap.hosts.iter().any(|host| host.mac == mac) {
            return;
        }
        ap.hosts.push(Host {
            mac,
            name: Some("guests-phone".to_owned()),
            address: Some("192.168.1.90".to_owned()),
        });
        if ap.alive {
            self.outputs.push(ap.hosts_message(self.now_ms));
        }
    }

    /// Ends an association, if it is still that one.
    pub(super) fn end(&mut self, claim: Claim, changes: &[Change]) {
        let stations = &mut self.access_points[claim.ap].stations;
        let key = (claim.mac, claim.bss);
        if stations.get(&key).is_none_or(|entry| entry.generation != claim.generation) {
            return;
        }
        stations.remove(&key);
        self.say(claim.ap, changes.iter().map(|change| (claim.mac, claim.bss, change.clone())).collect());
        self.say_table(claim.ap);
    }

    /// hostapd polls a station that was silent for its limit, and throws it out if it does not answer.
    pub(super) fn check_inactivity(&mut self, claim: Claim) {
        let entry = self.access_points[claim.ap].stations.get(&(claim.mac, claim.bss));
        let Some(entry) = entry.filter(|entry| entry.generation == claim.generation) else { return };
        let silent_ms = self.now_ms - entry.seen_ms;
        if silent_ms < INACTIVE_MS {
            return self.after(INACTIVE_MS - silent_ms, Action::Inactivity(claim));
        }
        let phone = self.phone_of(claim.mac);
        let there = phone.filter(|&phone| {
            let phone = &self.phones[phone];
            phone.on && phone.link.is_some_and(|link| link.bss == claim.ap * 2 + claim.bss)
        });
        if let Some(phone) = there {
            let (dozes, deaf) = (self.phones[phone].dozes(), self.phones[phone].habits.sleeps_through_poll);
            if !(dozes && self.random.chance(deaf)) {
                return self.acknowledge(claim);
            }
            (self.phones[phone].link, self.phones[phone].is_unaware) = (None, true);
        }
        self.end(claim, &[Change::Disassoc]);
        self.after(DEAUTH_DELAY_MS, Action::InactiveDeauth(claim));
    }

    /// The station answered the poll: no data, so its counters stand; some drivers call it active all the same.
    fn acknowledge(&mut self, claim: Claim) {
        let resets = self.plan.access_points[claim.ap].poll_resets_inactive;
        if let Some(entry) =
            self.access_points[claim.ap].stations.get_mut(&(claim.mac, claim.bss)).filter(|_| resets)
        {
            entry.seen_ms = self.now_ms;
        }
        self.after(INACTIVE_MS, Action::Inactivity(claim));
    }
}
