//! The simulated home as the aggregator's configuration would describe it.

use whichroom_presence::setup::{
    AccessPointSetup, Counts, Detail, DeviceSetup, PersonSetup, RoomSetup, Setup, SsidKind, SsidSetup, Timing,
};
use whichroom_simulator::World;

/// What a person who lives there would write into the configuration.
pub(crate) fn of(world: &World) -> Setup {
    let access_points = world.access_points().iter().map(|ap| AccessPointSetup {
        id: ap.id.clone(),
        name: ap.name.clone(),
        room: Some(ap.room.clone()),
        floor: None,
        exit: ap.exit,
    });
    let rooms = world.rooms().iter().map(|room| RoomSetup {
        id: room.id.clone(),
        name: room.name.clone(),
        adjoins: room.adjoins.clone(),
        floor: i8::try_from(room.floor).ok(),
        outdoor: room.outdoor,
    });
    let people = world.people().iter().enumerate().map(|(index, person)| {
        let devices = world.phones().iter().filter(|phone| phone.person == index).map(|phone| DeviceSetup {
            id: phone.id.clone(),
            name: phone.name.clone(),
            macs: phone.macs(),
            counts: Counts::Always,
        });
        PersonSetup {
            id: person.id.clone(),
            name: person.name.clone(),
            detail: Detail::Rooms,
            devices: devices.collect(),
        }
    });
    Setup {
        access_points: access_points.collect(),
        rooms: rooms.collect(),
        people: people.collect(),
        devices: Vec::new(),
        ssids: world
            .ssids()
            .into_iter()
            .map(|name| SsidSetup { name: name.to_owned(), kind: SsidKind::Family })
            .collect(),
        timing: Timing::default(),
    }
}
