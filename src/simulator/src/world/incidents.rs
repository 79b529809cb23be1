//! What goes wrong, and who comes by.

use whichroom_wire::{Id, Mac};

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
                self.lose_band(ap, 1);
                self.after(wait_ms, Action::BandReturns(ap, 1));
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
