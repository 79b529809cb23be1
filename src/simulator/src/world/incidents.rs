//! What goes wrong, and who comes by.

use whichroom_wire::{Change, Id, Mac};

use super::{Action, Place, WILL_MS, World};
use crate::makes;
use crate::phone::{Bounce, Phone};
use crate::plan::{IncidentKind, Point};

impl World {
    pub(super) fn happen(&mut self, incident: usize) {
        let what = self.plan.incidents[incident].what.clone();
        let ap_named = |world: &World, id: &Id| world.plan.access_points.iter().position(|ap| ap.id == *id);
        let phone_named = |world: &World, id: &Id| world.plan.phones.iter().position(|phone| phone.id == *id);
        match what {
            IncidentKind::Reboot { ap, down_ms } => {
                let Some(ap) = ap_named(self, &ap) else { return };
                self.cut(ap, WILL_MS.min(down_ms));
                self.after(down_ms, Action::PowerUp(ap));
            }
            IncidentKind::Death { ap } => {
                let Some(ap) = ap_named(self, &ap) else { return };
                self.cut(ap, WILL_MS);
            }
            IncidentKind::DfsWait { ap, wait_ms } => {
                let Some(ap) = ap_named(self, &ap) else { return };
                self.lose_high_band(ap);
                self.after(wait_ms, Action::RadarOver(ap));
            }
            IncidentKind::GuestPhone { room, stay_ms } => {
                let Some(room) = self.plan.room_index(&room) else { return };
                self.invite(room, stay_ms);
            }
            IncidentKind::BatteryDies { phone } => {
                let Some(phone) = phone_named(self, &phone) else { return };
                self.phones[phone].on = false;
                self.phones[phone].link = None;
            }
            IncidentKind::Charged { phone } => {
                let Some(phone) = phone_named(self, &phone) else { return };
                (self.phones[phone].on, self.phones[phone].in_flight_mode) = (true, false);
                self.phones[phone].wake(self.now_ms, &mut self.random);
            }
            IncidentKind::Bouncing { phone, a, b, for_ms } => {
                let aps = (ap_named(self, &a), ap_named(self, &b));
                let (Some(phone), (Some(a), Some(b))) = (phone_named(self, &phone), aps) else { return };
                let until_ms = self.now_ms + for_ms;
                self.phones[phone].bounce = Some(Bounce { a: a * 2, b: b * 2, until_ms });
            }
        }
        // Whoever loses an access point notices, also in its sleep.
        (0..self.phones.len()).for_each(|phone| self.stir(phone));
    }

    fn cut(&mut self, ap: usize, will_ms: u64) {
        let will = self.farewell(ap);
        self.access_points[ap].power_cut();
        self.after(will_ms, Action::Will(Box::new(will)));
    }

    fn lose_high_band(&mut self, ap: usize) {
        let access_point = &mut self.access_points[ap];
        access_point.bsses[1].enabled = false;
        let on_it: Vec<Mac> =
            access_point.stations.keys().filter(|key| key.1 == 1).map(|key| key.0).collect();
        access_point.stations.retain(|key, _| key.1 != 1);
        self.say_radios(ap);
        // The interface restarts without a word; the agent's poll finds them gone.
        self.say(ap, on_it.into_iter().map(|mac| (mac, 1, Change::Left)).collect());
        self.say_table(ap);
    }

    fn invite(&mut self, room: usize, stay_ms: u64) {
        let phone = self.phones.len();
        let place = &self.plan.rooms[room];
        let point = Point {
            x: (place.west + place.east) / 2.0,
            y: (place.south + place.north) / 2.0,
            floor: place.floor,
        };
        self.phones.push(Phone::new(makes::GUEST));
        self.turns.push(0);
        self.macs.push([Mac::new([0x02, 0x6e, 0x57, 0x00, 0x00, (phone & 0xff) as u8]); 2]);
        self.aspects.push(0);
        self.claims.push(None);
        self.places.push(Place::Left(point, room));
        self.reaches.push(None);
        self.stir(phone);
        self.after(stay_ms, Action::GuestLeaves(phone));
    }
}
