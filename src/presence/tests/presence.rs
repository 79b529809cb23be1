//! Who is home: one scenario for each way in which tools of this kind go wrong.

mod harness;

use harness::*;
use whichroom_presence::output::{Effect, Home as At, Link, Moved};
use whichroom_presence::{Engine, Moment};
use whichroom_wire::aggregator::{DeviceState, HouseState, MovedKind};
use whichroom_wire::{Change, State};

#[test]
fn restart_all_home() {
    let mut house = House::lived_in();
    let since: Vec<Moment> = house.view().people.iter().map(|person| person.home_since).collect();
    for pause in [1, 20, 200] {
        house.restart(pause);
        assert_eq!(house.people_said().len(), 2, "everything is published anew");
        for ap in ["kitchen", "bedroom", "garden"] {
            house.deliver_retained(ap);
        }
        house.pass(10 * MINUTE);
        house.assert_never_away();
        assert!(house.moves().is_empty(), "{:?}", house.moves());
        assert_eq!((house.room(0), house.room(1)), (Some("kitchen".into()), Some("bedroom".into())));
        house.forget();
    }
    // Since when is kept, too: what waits for "home for an hour" does not begin anew. Only the pauses are not known.
    for (person, since) in house.view().people.iter().zip(since) {
        assert!(person.home_since.since(since) <= 221_000, "{person:?}");
    }
}

#[test]
fn gone_during_a_restart() {
    // She left while nobody listened: the tables no longer list her, so she is on her way, and away in time.
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -80);
    house.pass(MINUTE);
    house.unlist("garden", ANN);
    house.restart(120);
    house.pass(MINUTE);
    assert_eq!(house.view().devices[0].state, DeviceState::Fading);
    house.assert_never_away();
    house.pass(13 * HOUR);
    assert_eq!(house.homes(), [At::Away, At::Home]);
}

#[test]
fn restart_away_stays_away() {
    let mut house = House::ann_is_away();
    house.restart(30);
    house.pass(10 * MINUTE);
    assert_eq!(house.homes(), [At::Away, At::Home]);
    assert!(house.moves().is_empty());
}

#[test]
fn restart_while_dozing() {
    let mut house = House::lived_in();
    house.doze("bedroom", BEN);
    house.pass(20 * MINUTE);
    // Its AP drops it: an interior AP's silence is weak evidence, and its timer must survive.
    house.disconnect("bedroom", BEN, Change::InactiveDeauth);
    house.pass(5 * HOUR);
    house.restart(60);
    house.pass(6 * HOUR + 50 * MINUTE);
    house.assert_never_away();
    house.pass(20 * MINUTE);
    assert_eq!(house.homes(), [At::Home, At::Away], "five hours before, seven after");
}

#[test]
fn start_blind() {
    let mut house = House::blank();
    for ap in 0..3 {
        house.aps[ap].on = false;
    }
    for ap in ["kitchen", "bedroom", "garden"] {
        house.deliver_retained(ap);
    }
    house.pass(HOUR);
    assert_eq!(house.homes(), [At::Undecided, At::Undecided], "nothing was said by anybody alive");
    // All but one report: still nothing is decided away.
    for ap in ["kitchen", "bedroom"] {
        house.connect(ap);
    }
    house.associate("kitchen", 1, ANN, -50);
    house.pass(HOUR);
    assert_eq!(house.homes(), [At::Home, At::Undecided]);
    house.connect("garden");
    house.pass(60);
    assert_eq!(house.homes(), [At::Home, At::Undecided], "not before it was watched for a while");
    house.pass(2 * MINUTE);
    assert_eq!(house.homes(), [At::Home, At::Away]);
}

#[test]
fn alive_and_without_a_table() {
    let mut house = House::blank();
    house.aps[2].on = false;
    house.connect("kitchen");
    house.connect("bedroom");
    house.associate("kitchen", 1, ANN, -50);
    // The garden is alive, and has not said yet who is there.
    for _ in 0..20 {
        house.send_status("garden", State::Online);
        house.pass(20);
    }
    assert_eq!(house.homes(), [At::Home, At::Undecided]);
    house.connect("garden");
    house.pass(MINUTE);
    assert_eq!(house.homes(), [At::Home, At::Away]);
}

#[test]
fn already_there_at_the_start() {
    let mut house = House::blank();
    house.list("kitchen", 1, ANN, -55, true);
    house.list("bedroom", 1, BEN, -55, false);
    house.phone("bedroom", BEN).inactive_ms = 400_000;
    house.deliver_retained("kitchen");
    assert_eq!(house.homes(), [At::Undecided, At::Undecided], "what the broker kept proves nothing");
    house.pass(1);
    house.all_on();
    assert_eq!(house.homes(), [At::Home, At::Undecided], "listed and received a moment ago, by a living AP");
    assert!(house.moves().is_empty(), "nobody arrived");
    house.pass(10 * MINUTE);
    assert_eq!(house.homes(), [At::Home, At::Undecided], "asleep: neither seen nor missed");
    house.phone("bedroom", BEN).awake = true;
    house.pass(MINUTE);
    assert_eq!(house.homes(), [At::Home, At::Home]);
}

#[test]
fn exit_ap_dies() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -78);
    house.pass(MINUTE);
    house.cut_power("garden");
    house.pass(20);
    house.will("garden");
    house.pass(3 * HOUR);
    house.assert_never_away();
    let ann = house.person(0);
    assert!(ann.stale_since.is_some(), "it is said that nobody could tell");
    assert_eq!(house.view().access_points[2].link, Link::Offline);
}

#[test]
fn exit_ap_dies_and_returns() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -78);
    house.pass(MINUTE);
    house.cut_power("garden");
    house.pass(10 * MINUTE);
    house.reboot("garden", "boot-2");
    house.pass(10 * MINUTE);
    // It went with its AP: judged by sleep, not by the exit's short timer.
    house.assert_never_away();
    house.pass(12 * HOUR);
    assert_eq!(house.homes(), [At::Away, At::Home]);
}

#[test]
fn total_outage_with_departing() {
    // Whatever moment of its timer the access points return at, what was left of it is left.
    for outage in (HOUR..HOUR + 60).step_by(5) {
        let mut house = House::lived_in();
        house.walk_off(ANN, Change::InactiveDeauth);
        house.pass(60);
        for ap in 0..3 {
            house.aps[ap].on = false;
        }
        house.pass(outage);
        for ap in 0..3 {
            house.aps[ap].on = true;
        }
        // At most 60 of 110 s were watched before, and nothing is before the first table.
        house.pass(50);
        assert_eq!(house.homes(), [At::Home, At::Home], "blind time is no absence ({outage} s)");
        house.pass(3 * MINUTE);
        assert_eq!(house.homes(), [At::Away, At::Home]);
    }
}

#[test]
fn dozing_at_exit_ap() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -80);
    house.pass(MINUTE);
    house.doze("garden", ANN);
    house.pass(8 * HOUR);
    house.assert_never_away();
    assert_eq!(house.view().devices[0].state, DeviceState::Present, "listed and silent is asleep");
}

/// Nobody was away before `from` seconds, and somebody was at `to`.
fn left_between(house: &mut House, from: u64, to: u64) -> Moved {
    let gone_at = house.now_ms;
    house.pass(to);
    let left = house.moves().into_iter().find(|moved| moved.kind == MovedKind::Left);
    let Some(moved) = left else { panic!("nobody left") };
    let after_s = (moved.at.as_ms() - gone_at) / 1000;
    assert!((from as i64..=to as i64).contains(&after_s), "after {after_s} s: {moved:?}");
    moved
}

#[test]
fn leaving_past_the_exit() {
    // Whatever second of the heartbeat it falls on.
    for offset in 0..30 {
        let mut house = House::lived_in();
        house.pass(offset);
        house.walk_out(ANN);
        let moved = left_between(&mut house, 12, 45);
        let because = moved.because[0].to_string();
        let words = "left Garden (leave frame, last signal -82 dBm after a fall of ";
        assert!(because.starts_with(words) && because.contains("of watched time"), "{because}");
        assert_eq!((moved.from_name.as_str(), moved.to_name.as_str()), ("Garden", "Away"));
    }
}

#[test]
fn leaving_past_the_exit_without_a_word() {
    for offset in 0..30 {
        let mut house = House::lived_in();
        house.pass(offset);
        house.walk_off(ANN, Change::InactiveDeauth);
        left_between(&mut house, 100, 150);
    }
}

#[test]
fn leave_frame_with_a_strong_signal_at_the_exit() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -50);
    house.pass(2 * MINUTE);
    house.disconnect("garden", ANN, Change::Deauth);
    left_between(&mut house, 100, 150);
}

/// As [`House::lived_in`], but the exit stands inside; Ann has come to it.
fn at_the_exit_inside() -> House {
    let mut setup = setup();
    setup.rooms.iter_mut().for_each(|room| room.outdoor = false);
    let mut house = House::lived_in_with(setup);
    house.roam("kitchen", "garden", 1, ANN, -55);
    house
}

#[test]
fn leave_frame_at_an_exit_inside() {
    let mut house = at_the_exit_inside();
    house.pass(MINUTE);
    house.disconnect("garden", ANN, Change::Disassoc);
    left_between(&mut house, 100, 150);
    // Who had been there for longer may have switched it off, in a house whose nights nobody knows yet.
    let mut house = at_the_exit_inside();
    house.pass(HOUR);
    // To bed, where she is heard worse; the flat's only access point is the exit.
    house.signal("garden", ANN, -69);
    house.pass(MINUTE);
    house.disconnect("garden", ANN, Change::Disassoc);
    house.pass(11 * HOUR);
    house.assert_never_away();
}

#[test]
fn leave_frame_at_an_exit_inside_by_day_and_at_night() {
    let mut house = at_the_exit_inside();
    let bedtime = |house: &mut House| {
        house.doze("bedroom", BEN);
        house.pass(6 * MINUTE);
        house.disconnect("bedroom", BEN, Change::InactiveDeauth);
    };
    let morning = |house: &mut House| {
        house.pass(8 * HOUR - 6 * MINUTE);
        house.associate("bedroom", 1, BEN, -50);
    };
    for _ in 0..12 {
        bedtime(&mut house);
        morning(&mut house);
        house.pass(16 * HOUR);
    }
    house.assert_never_away();
    bedtime(&mut house);
    house.disconnect("garden", ANN, Change::Disassoc);
    morning(&mut house);
    house.assert_never_away();
    house.associate("garden", 1, ANN, -55);
    house.pass(5 * HOUR);
    house.disconnect("garden", ANN, Change::Disassoc);
    left_between(&mut house, 100, 150);
}

#[test]
fn weak_at_the_exit() {
    // Nothing was heard of her before: no fall was seen, and who is there for a moment is passing.
    let mut house = House::blank();
    house.all_on();
    house.associate("garden", 1, ANN, -80);
    house.associate("bedroom", 1, BEN, -50);
    house.pass(MINUTE);
    house.doze("garden", ANN);
    house.pass(5 * MINUTE);
    house.disconnect("garden", ANN, Change::InactiveDeauth);
    left_between(&mut house, 100, 150);
}

#[test]
fn dozing_at_the_edge_of_the_garden() {
    // It lies there at -78 dBm and sleeps through its access point's poll: weak and steady is no walking off.
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -60);
    house.pass(10);
    house.carry("garden", ANN, &[-66, -72, -78], 30);
    house.pass(5 * MINUTE);
    house.doze("garden", ANN);
    house.pass(5 * MINUTE);
    house.disconnect("garden", ANN, Change::InactiveDeauth);
    house.pass(2 * HOUR);
    house.assert_never_away();
}

/// Off past an interior AP: the signal falls, then it ends like this.
fn walk_off_inside(house: &mut House, how: Change) {
    house.carry("kitchen", ANN, &[-60, -66, -72, -78, -84], 30);
    house.disconnect("kitchen", ANN, how);
}

/// The same with a leave frame, and the garden hears each of its signals.
fn walk_off_heard_by_the_garden(house: &mut House, levels_dbm: &[i8]) {
    for dbm in levels_dbm {
        house.carry("kitchen", ANN, &[*dbm], 30);
        house.send_event("garden", ANN, bss("garden", 1), Change::Probe { signal_dbm: Some(-70) }, 0);
    }
    house.disconnect("kitchen", ANN, Change::Deauth);
}

#[test]
fn leave_without_exit_ap() {
    // Nobody knows the phone yet, and nothing leads out past the kitchen.
    let mut house = House::lived_in();
    walk_off_inside(&mut house, Change::InactiveDeauth);
    left_between(&mut house, 95 * MINUTE, 105 * MINUTE);
    // Heard by the garden on its way.
    let mut house = House::lived_in();
    walk_off_heard_by_the_garden(&mut house, &[-60, -66, -72, -78, -84]);
    left_between(&mut house, 25 * MINUTE, 31 * MINUTE);
}

#[test]
fn losing_the_kitchen_on_the_way_out() {
    // Not yet at the very end of its reach: a leave frame says that she has lost it.
    let mut house = House::lived_in();
    walk_off_heard_by_the_garden(&mut house, &[-60, -68, -77]);
    left_between(&mut house, 25 * MINUTE, 31 * MINUTE);
}

#[test]
fn wifi_turned_off_at_the_edge() {
    // She came here minutes ago, and is heard badly here: who loses an access point gives up at once.
    let mut house = House::lived_in();
    house.carry("kitchen", ANN, &[-60, -68, -77], 10);
    house.doze("kitchen", ANN);
    house.pass(4 * MINUTE);
    house.disconnect("kitchen", ANN, Change::Deauth);
    house.pass(11 * HOUR);
    house.assert_never_away();
}

#[test]
fn leaving_past_an_interior_ap_is_learned() {
    let mut house = House::lived_in();
    let mut delays = Vec::new();
    for _ in 0..6 {
        house.pass(12 * HOUR);
        house.forget();
        walk_off_inside(&mut house, Change::InactiveDeauth);
        let gone_at = house.now_ms;
        house.pass(5 * HOUR);
        let moved = house.moves().into_iter().find(|moved| moved.kind == MovedKind::Left).unwrap();
        delays.push((moved.at.as_ms() - gone_at) / 60_000);
        house.associate("kitchen", 1, ANN, -78);
        house.signal("kitchen", ANN, -55);
        house.pass(MINUTE);
    }
    assert!(delays[0] > 60 && delays[5] <= 20, "{delays:?}");
    let text = house.engine.explain(&id("ann-phone"), house.now()).unwrap().to_string();
    assert!(text.contains("Silences it returned from"), "{text}");
}

#[test]
fn phone_doze() {
    // Thrown out in the evening with a strong signal, back in the morning; naps by day.
    let mut house = House::lived_in();
    for night in 0..12 {
        house.doze("bedroom", BEN);
        house.pass(6 * MINUTE);
        let how = if night % 3 == 0 { Change::Deauth } else { Change::InactiveDeauth };
        house.disconnect("bedroom", BEN, how);
        house.pass((7 + night % 5) * HOUR);
        house.associate("bedroom", 1, BEN, -50);
        house.pass(HOUR);
        for minutes in [20, 60, 180] {
            house.doze("bedroom", BEN);
            house.pass(6 * MINUTE);
            house.disconnect("bedroom", BEN, Change::InactiveDeauth);
            house.pass(minutes * MINUTE);
            house.associate("bedroom", 0, BEN, -55);
            house.pass(20 * MINUTE);
            house.roam("bedroom", "bedroom", 1, BEN, -50);
            house.list("bedroom", 1, BEN, -50, true);
            house.pass(MINUTE);
        }
    }
    house.assert_never_away();
    let text = house.engine.explain(&id("ben-phone"), house.now()).unwrap().to_string();
    assert!(
        text.contains("failed poll with a steady signal: ") && !text.contains("signal: never;"),
        "{text}"
    );
    // All of it is kept, and can be forgotten.
    let learned = |house: &House| {
        let sections = house.engine.explain(&id("ben-phone"), house.now()).unwrap().sections;
        sections.into_iter().find(|section| section.title == "Silences it returned from").unwrap()
    };
    let before = learned(&house);
    house.restart(10);
    assert_eq!(learned(&house), before);
    let now = house.now();
    assert!(house.engine.reset_doze(&id("ben"), now) && !house.engine.reset_doze(&id("nobody"), now));
    let text = house.engine.explain(&id("ben-phone"), house.now()).unwrap().to_string();
    assert!(text.contains("failed poll with a steady signal: never; away after 12 h"), "{text}");
}

#[test]
fn battery_dead_at_night() {
    let mut house = House::lived_in();
    house.pass(2 * HOUR);
    // The poll of its access point is the last that is heard of it.
    house.doze("bedroom", BEN);
    house.pass(5 * MINUTE);
    house.disconnect("bedroom", BEN, Change::InactiveDeauth);
    house.pass(8 * HOUR);
    house.assert_never_away();
    let because = house.person(1).because;
    assert!(because[0].0.contains("did not answer a poll"), "{because:?}");
    assert!(because[1].0.contains("away after 12 h"), "{because:?}");
}

#[test]
fn last_breath_after_an_answered_poll() {
    // Carried to bed at the edge of the kitchen, asleep at once, and thrown out by the second poll: it had answered the
    // first, so it did not walk off.
    let mut house = House::lived_in();
    house.carry("kitchen", ANN, &[-60, -70, -80], 30);
    house.doze("kitchen", ANN);
    house.pass(10 * MINUTE);
    house.disconnect("kitchen", ANN, Change::InactiveDeauth);
    house.pass(9 * HOUR);
    house.assert_never_away();
}

#[test]
fn strong_and_steady_at_the_exit_is_no_leaving() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -50);
    house.pass(2 * MINUTE);
    house.disconnect("garden", ANN, Change::InactiveDeauth);
    house.pass(2 * HOUR);
    house.assert_never_away();
}

#[test]
fn poll_failure_is_no_leave_frame() {
    // hostapd says "disassoc" along with "inactive-deauth": the phone said nothing.
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -50);
    house.pass(2 * MINUTE);
    let bssid = bss("garden", 1);
    house.send_event("garden", ANN, bssid, Change::InactiveDeauth, 0);
    house.disconnect("garden", ANN, Change::Disassoc);
    house.pass(10 * MINUTE);
    house.assert_never_away();
    let because = house.person(0).because[0].to_string();
    assert!(because.contains("did not answer a poll"), "{because}");
}

#[test]
fn roam_trailing_disconnect() {
    for delay in [1, 10, 60, 300] {
        let mut house = House::lived_in();
        house.roam("kitchen", "garden", 1, ANN, -60);
        house.pass(MINUTE);
        // Back inside; the old AP notices late, with a leave frame at the exit.
        house.associate("kitchen", 1, ANN, -55);
        house.doze("garden", ANN);
        house.pass(delay);
        house.forget();
        house.disconnect("garden", ANN, Change::Disassoc);
        house.pass(10 * MINUTE);
        house.assert_never_away();
        let said = house.devices_said();
        assert!(
            said.iter().all(|(_, device)| device.state == DeviceState::Present),
            "the kitchen's claim stands"
        );
        assert_eq!(house.view().devices[0].state, DeviceState::Present);
        assert_eq!(house.view().devices[0].ap, Some(id("kitchen")));
    }
}

#[test]
fn reassoc_disassoc() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -80);
    house.pass(MINUTE);
    house.forget();
    let bssid = bss("garden", 1);
    house.send_event("garden", ANN, bssid, Change::Disassoc, 0);
    // A poll in between sees a station that is not authorised.
    house.phone("garden", ANN).station.authorized = false;
    house.send_table("garden");
    house.pass(1);
    house.send_event("garden", ANN, bssid, Change::Assoc { signal_dbm: Some(-80) }, 0);
    house.phone("garden", ANN).station.authorized = true;
    house.pass(1);
    house.send_event("garden", ANN, bssid, Change::Authorized { auth_alg: None }, 0);
    house.send_table("garden");
    house.pass(10 * MINUTE);
    house.assert_never_away();
    let said = house.devices_said();
    assert!(said.iter().all(|(_, device)| device.state == DeviceState::Present), "it was there all the time");
}

#[test]
fn band_hop() {
    let mut house = House::lived_in();
    for hop in 0..10 {
        let (from, to) = (1 - hop % 2, hop % 2);
        let old = bss("kitchen", from);
        house.send_event("kitchen", ANN, old, Change::Disassoc, 0);
        house.unlist("kitchen", ANN);
        house.pass(1);
        house.associate("kitchen", to, ANN, -55);
        house.send_event("kitchen", ANN, old, Change::Deauth, 0);
        house.pass(20);
    }
    assert!(house.people_said().is_empty(), "{:?}", house.people_said());
    assert!(!house.said.iter().any(|(_, effect)| matches!(effect, Effect::Room(_) | Effect::House(_))));
    for (_, device) in house.devices_said() {
        assert_eq!((device.state, device.ap), (DeviceState::Present, Some(id("kitchen"))), "never gone");
    }
    assert_eq!(house.roams(), 10);
}

#[test]
fn two_ssids_two_macs() {
    let mut house = House::lived_in();
    // The phone changes to the other network with its other address; the driver keeps the sleeping twin.
    house.doze("kitchen", ANN);
    house.pass(10);
    house.associate("kitchen", 2, ANN_GUEST, -55);
    house.pass(5 * MINUTE);
    assert_eq!(house.view().devices[0].mac, Some(ANN_GUEST));
    assert_eq!(house.view().house.guests, 0, "it is hers");
    // It leaves by the exit with that address: the twin must not hold her.
    house.associate("garden", 2, ANN_GUEST, -70);
    house.ap("kitchen").phones.retain(|phone| phone.station.mac == ANN);
    house.pass(MINUTE);
    house.carry("garden", ANN_GUEST, &[-74, -80, -84], 30);
    house.disconnect("garden", ANN_GUEST, Change::Deauth);
    house.pass(5 * MINUTE);
    assert_eq!(house.homes(), [At::Away, At::Home]);
}

#[test]
fn spoofed_probe() {
    let mut house = House::ann_is_away();
    let bssid = bss("garden", 1);
    for _ in 0..20 {
        house.send_event("garden", ANN, bssid, Change::Probe { signal_dbm: Some(-40) }, 0);
        house.send_event("garden", ANN, bssid, Change::Assoc { signal_dbm: Some(-40) }, 0);
        house.send_event("garden", ANN, bssid, Change::Deauth, 0);
        house.send_event("garden", ANN, bssid, Change::KeyMismatch, 0);
        // hostapd lists whoever asks; it is not authorised.
        house.list("garden", 1, ANN, -40, true);
        house.phone("garden", ANN).station.authorized = false;
        house.pass(30);
    }
    assert!(house.people_said().is_empty());
    assert_eq!(house.homes(), [At::Away, At::Home]);
    house.unlist("garden", ANN);
    house.associate("garden", 1, ANN, -70);
    assert_eq!(house.homes(), [At::Home, At::Home], "the handshake brings her home at once");
    assert_eq!(house.moves()[0].kind, MovedKind::Arrived);
}

#[test]
fn forged_deauth() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -80);
    house.pass(MINUTE);
    for _ in 0..100 {
        house.send_event("garden", ANN, bss("garden", 1), Change::Deauth, 0);
        house.pass(30);
    }
    house.assert_never_away();
    house.pass(60);
    assert_eq!(house.view().devices[0].state, DeviceState::Present);
}

#[test]
fn forged_deauth_of_somebody_on_the_way() {
    // It looks like leaving in every way, but hostapd still lists the phone.
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -60);
    house.carry("garden", ANN, &[-66, -72, -78, -82], 5);
    house.doze("garden", ANN);
    house.send_table("garden");
    house.send_event("garden", ANN, bss("garden", 1), Change::Deauth, 0);
    for _ in 0..3 {
        house.pass(8);
        for ap in ["kitchen", "bedroom", "garden"] {
            house.send_status(ap, State::Online);
        }
    }
    house.pass(3);
    house.assert_never_away();
}

#[test]
fn forged_deauth_of_a_sleeper() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -80);
    house.pass(MINUTE);
    house.doze("garden", ANN);
    house.pass(5 * MINUTE);
    house.send_event("garden", ANN, bss("garden", 1), Change::Deauth, 0);
    house.pass(HOUR);
    house.assert_never_away();
    assert_eq!(house.view().devices[0].state, DeviceState::Present, "hostapd still lists it");
}

#[test]
fn into_the_pocket_beside_the_exit_ap() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -40);
    house.pass(MINUTE);
    house.carry("garden", ANN, &[-44, -48, -58, -62], 30);
    house.disconnect("garden", ANN, Change::InactiveDeauth);
    house.pass(10 * MINUTE);
    house.assert_never_away();
}

#[test]
fn rooms_are_unknown_until_everybody_is_decided() {
    let mut house = House::blank();
    let occupied = |house: &House| house.view().rooms.iter().map(|room| room.occupied).collect::<Vec<_>>();
    assert!(occupied(&house).iter().all(Option::is_none));
    house.all_on();
    house.associate("kitchen", 0, ANN, -50);
    house.pass(10);
    assert_eq!(house.view().rooms[0].occupied, Some(true));
    assert_eq!(house.view().rooms[1].occupied, None, "Ben may be there");
    house.forget();
    house.pass(10 * MINUTE);
    assert_eq!(occupied(&house), [Some(true), Some(false), Some(false)]);
    assert!(house.people_said_in("bedroom").is_some(), "said when it became known");
}

#[test]
fn phantom_station() {
    let mut house = House::lived_in();
    // It left, the driver lists it on and resets its inactive time every five minutes.
    house.doze("kitchen", ANN);
    for _ in 0..(11 * 12) {
        house.pass(5 * MINUTE);
        house.phone("kitchen", ANN).inactive_ms = 0;
    }
    house.assert_never_away();
    for _ in 0..(2 * 12) {
        house.pass(5 * MINUTE);
        house.phone("kitchen", ANN).inactive_ms = 0;
    }
    assert_eq!(house.homes(), [At::Away, At::Home]);
    let because = house.person(0).because[0].to_string();
    assert!(because.contains("listed, but no longer received"), "{because}");
    house.phone("kitchen", ANN).awake = true;
    house.pass(MINUTE);
    assert_eq!(house.homes(), [At::Home, At::Home], "received again: it was no phantom");
}

#[test]
fn phantom_brings_nobody_home() {
    let mut house = House::ann_is_away();
    house.list("kitchen", 1, ANN, -50, false);
    house.phone("kitchen", ANN).station.connected_s = Some(9999);
    for _ in 0..60 {
        house.pass(5 * MINUTE);
        house.phone("kitchen", ANN).inactive_ms = 0;
    }
    assert_eq!(house.homes(), [At::Away, At::Home]);
}

#[test]
fn dead_ap_retained() {
    let mut house = House::lived_in();
    house.cut_power("kitchen");
    house.pass(2 * HOUR);
    house.restart(10);
    house.deliver_retained("kitchen");
    assert_eq!(house.view().access_points[0].link, Link::Offline, "what the broker kept is no life");
    house.pass(HOUR);
    house.assert_never_away();
    assert!(house.person(0).stale_since.is_some());
    assert!(
        house.problems().iter().any(|text| text.contains("cannot decide: Kitchen offline")),
        "{:?}",
        house.problems()
    );
    // It comes home by another AP: nothing is stale any more.
    house.associate("bedroom", 0, ANN, -60);
    assert_eq!(house.person(0).stale_since, None);
    house.pass(5 * MINUTE);
    assert_eq!(house.person(0).room, Some(id("bedroom")));
}

#[test]
fn exit_ap_gone_for_good() {
    let mut house = House::lived_in();
    house.cut_power("garden");
    house.pass(29 * MINUTE);
    assert!(house.problems().is_empty());
    house.pass(3 * MINUTE);
    assert_eq!(house.problems(), ["cannot decide: Garden offline; check its power, network and agent"]);
    // She walks off past the kitchen. The garden, where she might be, does not report; the others do not see her.
    walk_off_inside(&mut house, Change::Deauth);
    house.pass(95 * MINUTE);
    house.assert_never_away();
    house.pass(10 * MINUTE);
    assert_eq!(house.homes(), [At::Away, At::Home], "never home for more than four hours");
    let because = house.person(0).because[0].to_string();
    assert!(
        because.contains("taken to have left Kitchen") && because.contains("Garden does not"),
        "{because}"
    );
    // What alarms are armed on does not depend on a guess.
    house.disconnect("bedroom", BEN, Change::Deauth);
    house.pass(13 * HOUR);
    assert_eq!(house.homes(), [At::Away, At::Away]);
    assert_eq!(house.view().house.state, HouseState::Occupied);
    assert_eq!(house.view().house.because[0].0, "nobody was seen, but Garden does not report");
    house.restart(5);
    house.pass(HOUR);
    assert_eq!(house.view().house.state, HouseState::Occupied);
    // A day after its end nobody waits for it.
    house.pass(9 * HOUR);
    assert_eq!(house.view().house.state, HouseState::Empty);
    house.ap("garden").on = true;
    house.pass(MINUTE);
    assert!(house.problems().is_empty(), "{:?}", house.problems());
}

#[test]
fn exit_ap_given_up_by_a_click() {
    let mut house = House::lived_in();
    let now = house.now();
    assert!(!house.engine.give_up_ap(&id("garden"), now), "it reports");
    assert!(!house.engine.give_up_ap(&id("attic"), now));
    // Heard by the garden on its way, and then the garden is gone.
    walk_off_heard_by_the_garden(&mut house, &[-60, -66, -72, -78, -84]);
    house.cut_power("garden");
    house.pass(HOUR);
    house.assert_never_away();
    let now = house.now();
    assert!(house.engine.give_up_ap(&id("garden"), now));
    house.tick();
    assert_eq!(house.homes(), [At::Away, At::Home], "the others have watched for long enough");
    assert_eq!(house.problems(), ["Garden offline: nobody waits for it until it reports again"]);
    // Until it reports again, and across a restart.
    house.restart(5);
    house.pass(2 * MINUTE);
    house.disconnect("bedroom", BEN, Change::Deauth);
    house.pass(12 * HOUR + 10 * MINUTE);
    assert_eq!(house.view().house.state, HouseState::Empty);
    house.connect("garden");
    assert!(house.problems().is_empty());
    house.cut_power("garden");
    house.pass(40 * MINUTE);
    assert_eq!(house.problems(), ["cannot decide: Garden offline; check its power, network and agent"]);
}

#[test]
fn last_seen_on_a_dead_ap() {
    // In the open nobody stays unseen for hours; inside, somebody may sleep beside an AP whose agent is gone.
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -60);
    house.pass(MINUTE);
    house.cut_power("garden");
    house.cut_power("bedroom");
    house.pass(3 * HOUR);
    house.assert_never_away();
    house.pass(30 * MINUTE);
    assert_eq!(house.homes(), [At::Away, At::Home]);
    house.pass(60 * HOUR);
    assert_eq!(house.homes(), [At::Away, At::Home]);
    house.pass(10 * HOUR);
    assert_eq!(house.homes(), [At::Away, At::Away], "every way to empty is bounded");
}

#[test]
fn nobody_watches_an_only_ap_that_is_given_up() {
    let mut setup = setup();
    setup.access_points.retain(|ap| ap.id == id("garden"));
    let mut house = House::with(setup);
    house.all_on();
    house.associate("garden", 1, ANN, -50);
    house.associate("garden", 1, BEN, -50);
    house.pass(5 * MINUTE);
    house.cut_power("garden");
    house.pass(HOUR);
    let now = house.now();
    assert!(house.engine.give_up_ap(&id("garden"), now));
    house.pass(100 * HOUR);
    house.assert_never_away();
}

#[test]
fn a_radio_off_at_night_is_no_blindness() {
    // Its AP says that nobody is on it.
    let mut house = House::lived_in();
    house.ap("garden").disabled = vec![0, 1, 2];
    house.send_radios("garden");
    house.pass(HOUR);
    walk_off_inside(&mut house, Change::Deauth);
    left_between(&mut house, 95 * MINUTE, 105 * MINUTE);
}

#[test]
fn wifi_reload() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -78);
    house.pass(MINUTE);
    for _ in 0..2 {
        house.ap("garden").disabled = vec![0, 1, 2];
        house.send_radios("garden");
        house.unlist("garden", ANN);
        house.send_event("garden", ANN, bss("garden", 1), Change::Left, 0);
        house.send_table("garden");
        house.pass(5);
        house.ap("garden").disabled.clear();
        house.send_radios("garden");
        house.pass(5);
    }
    house.pass(20 * MINUTE);
    house.assert_never_away();
    let because = house.person(0).because[0].to_string();
    assert!(because.contains("its network went down"), "{because}");
}

#[test]
fn dfs_cac() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -78);
    house.pass(MINUTE);
    // The station is told to go first, the radar wait is known a moment later.
    house.disconnect("garden", ANN, Change::LocalDeauth);
    house.pass(10);
    house.ap("garden").disabled = vec![1];
    house.send_radios("garden");
    house.pass(HOUR);
    house.assert_never_away();
    house.ap("garden").disabled.clear();
    house.send_radios("garden");
    house.associate("garden", 1, ANN, -70);
    house.pass(MINUTE);
    assert_eq!(house.view().devices[0].state, DeviceState::Present);
}

#[test]
fn all_zero_tables() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -80);
    house.associate("garden", 0, STRANGER, -60);
    house.pass(MINUTE);
    let kept = house.ap("garden").phones.clone();
    house.ap("garden").phones.clear();
    house.send_table("garden");
    house.pass(5);
    assert_eq!(house.view().devices[0].state, DeviceState::Present, "one empty table is doubted");
    house.ap("garden").phones = kept;
    house.forget();
    house.pass(10 * MINUTE);
    house.assert_never_away();
    assert!(house.people_said().is_empty());
    // Empty again and again: then it is so.
    house.ap("garden").phones.clear();
    house.pass(MINUTE + 4);
    assert_eq!(house.view().devices[0].state, DeviceState::Fading);
}

#[test]
fn late_will() {
    let mut house = House::lived_in();
    let bytes = house.status_bytes("garden", State::Offline);
    house.reboot("garden", "boot-2");
    house.pass(5);
    house.publish("ap/garden/status", &bytes, false);
    assert_eq!(house.view().access_points[2].link, Link::Reporting, "the end of an earlier boot");
    house.will("garden");
    assert_eq!(house.view().access_points[2].link, Link::Offline);
    house.pass(10 * MINUTE);
    house.assert_never_away();
}

#[test]
fn ap_renamed_twice() {
    let mut house = House::lived_in();
    house.reboot("garden", "boot-2");
    house.reboot("garden", "boot-3");
    assert_eq!(house.view().access_points[2].duplicates, 0, "same node: a restart");
    // Another box says that it is the garden's: refused while the first lives.
    let (node, boot) = (house.ap("garden").node.clone(), house.ap("garden").boot.clone());
    house.pass(10);
    for _ in 0..3 {
        house.ap("garden").node = "node-other".to_owned();
        house.ap("garden").boot = "boot-x".to_owned();
        house.ap("garden").phones.clear();
        house.associate("garden", 1, ANN, -50);
        house.ap("garden").phones.clear();
        house.ap("garden").node = node.clone();
        house.ap("garden").boot = boot.clone();
        house.pass(30);
    }
    let garden = &house.view().access_points[2];
    assert_eq!((garden.link, garden.duplicates), (Link::Reporting, 9));
    assert_eq!(house.room(0), Some("kitchen".into()), "its messages change nothing");
    assert!(
        house.problems()[0].contains("two access points call themselves garden"),
        "{:?}",
        house.problems()
    );
    house.pass(10 * MINUTE);
    assert!(house.problems().is_empty());
    house.assert_never_away();
}

#[test]
fn clean_stop() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -78);
    house.pass(MINUTE);
    // An agent that stops says so itself; its AP goes on serving stations that nobody sees.
    house.will("garden");
    house.ap("garden").on = false;
    assert_eq!(house.view().access_points[2].link, Link::Offline);
    assert!(house.people_said().iter().any(|person| person.stale_since.is_some()), "said at once");
    house.pass(HOUR);
    house.assert_never_away();
    // What the broker kept of it is no proof of life.
    house.deliver_retained("garden");
    assert_eq!(house.view().access_points[2].link, Link::Offline);
    house.connect("garden");
    assert_eq!(house.view().access_points[2].link, Link::Reporting);
    assert_eq!(house.person(0).stale_since, None);
}

#[test]
fn broker_restart() {
    let mut house = House::lived_in();
    house.walk_off(ANN, Change::InactiveDeauth);
    let heartbeat = |house: &mut House, on: bool| {
        for ap in ["kitchen", "bedroom", "garden"] {
            house.send_table(ap);
            house.ap(ap).on = on;
        }
    };
    house.pass(60);
    heartbeat(&mut house, false);
    house.engine.handle_broker(false, house.now());
    house.pass(20);
    house.forget();
    house.engine.handle_broker(true, house.now());
    house.tick();
    house.forget();
    house.engine.publish_all();
    house.tick();
    let kinds: Vec<&str> = house
        .said
        .iter()
        .filter_map(|(_, effect)| match effect {
            Effect::Room(_) => Some("room"),
            Effect::Device(_) => Some("device"),
            Effect::Person(_) => Some("person"),
            Effect::House(_) => Some("house"),
            Effect::Moved(_)
            | Effect::Roamed(_)
            | Effect::Problem(_)
            | Effect::ProblemOver(_)
            | Effect::NewRoom(_)
            | Effect::Calibrated(_)
            | Effect::Forgotten(_)
            | Effect::NotCalibrated(_)
            | Effect::Ask { .. } => None,
        })
        .collect();
    let order = |kind: &str| kinds.iter().filter(|known| **known == kind).count();
    assert_eq!((order("room"), order("device"), order("person"), order("house")), (3, 3, 2, 1));
    let rank = |kind: &&str| ["room", "device", "person", "house"].iter().position(|known| known == kind);
    assert!(kinds.is_sorted_by_key(rank), "what others are made of comes before them: {kinds:?}");
    for ap in ["kitchen", "bedroom", "garden"] {
        house.deliver_retained(ap);
    }
    // 60 s were watched before and 40 s are after it; the outage counts for nothing, however short.
    heartbeat(&mut house, true);
    house.pass(40);
    heartbeat(&mut house, false);
    house.pass(40);
    assert_eq!(house.homes(), [At::Home, At::Home]);
    heartbeat(&mut house, true);
    house.pass(2 * MINUTE);
    assert_eq!(house.homes(), [At::Away, At::Home]);
}

#[test]
fn one_slow_ap() {
    let mut house = House::lived_in();
    house.ap("bedroom").on = false;
    // The bedroom's messages arrive 40 s late; nobody else waits for them.
    let old = house.table_bytes("bedroom");
    house.pass(40);
    house.associate("garden", 1, ANN, -60);
    assert_eq!(house.view().devices[0].ap, Some(id("garden")), "at once");
    house.publish("ap/bedroom/stations", &old, false);
    assert_eq!(house.view().devices[0].ap, Some(id("garden")));
    // What was true 40 s ago there does not undo what is true here.
    house.send_event("bedroom", ANN, bss("bedroom", 1), Change::Authorized { auth_alg: None }, 40_000);
    assert_eq!(house.view().devices[0].ap, Some(id("garden")));
    house.pass(5 * MINUTE);
    house.assert_never_away();
}

#[test]
fn clock_step() {
    // An AP's clock runs wrong or steps: no message says what time it is.
    let mut house = House::lived_in();
    house.ap("garden").booted_at -= 210_000;
    house.roam("kitchen", "garden", 1, ANN, -78);
    house.pass(5 * MINUTE);
    house.ap("garden").booted_at += 100_000;
    house.pass(5 * MINUTE);
    house.assert_never_away();
    // It runs ahead all at once: an age is an age all the same, so what is older than her return is no departure.
    house.ap("garden").booted_at -= 300_000;
    house.send_table("garden");
    house.pass(MINUTE);
    house.associate("garden", 1, ANN, -78);
    house.pass(20);
    house.send_event("garden", ANN, bss("garden", 1), Change::Deauth, 60_000);
    house.pass(10);
    assert_eq!(house.view().devices[0].state, DeviceState::Present);
    // Ages in the future, or older than anything.
    for age_ms in [u64::MAX, 0] {
        house.send_event("garden", ANN, bss("garden", 1), Change::Probe { signal_dbm: Some(-50) }, age_ms);
    }
    house.pass(MINUTE);
    house.assert_never_away();
}

#[test]
fn lost_message() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -80);
    house.pass(MINUTE);
    house.ap("garden").seq += 1;
    // After a gap a departure waits for the table, which still lists her.
    house.send_event("garden", ANN, bss("garden", 1), Change::Deauth, 0);
    house.send_table("garden");
    assert_eq!(house.view().access_points[2].gaps, 1);
    house.forget();
    house.pass(10 * MINUTE);
    assert!(house.people_said().is_empty());
    // What the table includes is no news.
    let bytes = {
        house.send_event("garden", BEN, bss("garden", 1), Change::KeyMismatch, 0);
        let stamp = house.stamp("garden");
        let what =
            whichroom_wire::EventWhat::Station { mac: ANN, bssid: bss("garden", 1), change: Change::Deauth };
        let seq = house.ap("garden").seq;
        let events = vec![whichroom_wire::Event { age_ms: 0, what }];
        whichroom_wire::encode(&stamp, &whichroom_wire::Events { seq, events })
    };
    house.publish("ap/garden/events", &bytes, false);
    house.pass(10);
    assert_eq!(house.view().devices[0].state, DeviceState::Present);
}

#[test]
fn silent_subscription() {
    // No notification ever comes: tables alone must do.
    let mut house = House::ann_is_away();
    house.list("kitchen", 1, ANN, -55, true);
    house.pass(70);
    assert_eq!(house.homes(), [At::Home, At::Home]);
    house.unlist("kitchen", ANN);
    house.list("garden", 1, ANN, -79, true);
    house.pass(2 * MINUTE);
    assert_eq!(house.view().devices[0].ap, Some(id("garden")));
    house.unlist("garden", ANN);
    house.pass(5 * MINUTE);
    assert_eq!(house.homes(), [At::Away, At::Home]);
}

#[test]
fn house_is_empty_late_rather_than_wrong() {
    let mut house = House::ann_is_away();
    house.walk_out(BEN);
    let mut emptied = None;
    for _ in 0..400 {
        house.pass(1);
        let view = house.view();
        if view.house.state == HouseState::Empty {
            emptied.get_or_insert((house.now_ms, view.people[1].home_since.as_ms()));
        }
    }
    let (empty_at, away_at) = emptied.unwrap();
    assert!((60_000..62_000).contains(&(empty_at - away_at)));
    house.restart(5);
    assert_eq!(house.view().house.state, HouseState::Empty);
    house.associate("garden", 1, BEN, -70);
    assert_eq!(house.view().house.state, HouseState::Occupied, "at once");
}

#[test]
fn guests_are_counted() {
    let mut house = House::lived_in();
    house.associate("kitchen", 2, STRANGER, -60);
    assert_eq!(house.view().house.guests, 1);
    assert_eq!(house.view().unknown[0].ssid.as_deref(), Some("guests"));
    house.associate("kitchen", 1, bss("garden", 0), -60);
    assert_eq!(house.view().unknown.len(), 1, "another AP is no stranger");
    house.unlist("kitchen", STRANGER);
    house.pass(MINUTE);
    assert_eq!(house.view().house.guests, 0);
}

#[test]
fn newer_schema_is_not_reporting() {
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -80);
    house.pass(MINUTE);
    house.ap("garden").on = false;
    let payload = br#"{"schema":2,"boot":"boot-1","node":"node-garden","sent_ms":1,"stations":{}}"#;
    for _ in 0..120 {
        house.publish("ap/garden/stations", payload, false);
        house.pass(10);
    }
    house.assert_never_away();
    let garden = &house.view().access_points[2];
    assert_eq!((garden.link, garden.rejected), (Link::TooNew, 120));
}

#[test]
fn unconfigured_ap_brings_its_room() {
    let mut house = House::lived_in();
    let status = house.status_bytes("kitchen", State::Online);
    house.publish("ap/living-room/status", &status, false);
    let Effect::NewRoom(room) = &house.said[0].1 else { panic!("{:?}", house.said) };
    assert_eq!((room.id.as_str(), room.name.as_str()), ("living-room", "Living room"));
    assert_eq!(house.view().access_points[3].link, Link::Reporting);
}

#[test]
fn setup_change_keeps_state() {
    let mut house = House::ann_is_away();
    let mut setup = setup();
    setup.people.swap(0, 1);
    setup.access_points.reverse();
    setup.people[1].name = "Anna".to_owned();
    house.engine.handle_setup(setup.clone(), house.now());
    house.setup = setup;
    house.tick();
    assert_eq!(house.homes(), [At::Home, At::Away]);
    assert_eq!(house.room(0), Some("bedroom".into()));
    house.pass(10 * MINUTE);
    assert_eq!(house.homes(), [At::Home, At::Away]);
    assert!(house.moves().is_empty());
    house.associate("garden", 1, ANN, -70);
    assert_eq!(house.homes(), [At::Home, At::Home]);
}

#[test]
fn a_new_device_makes_nobody_unknown() {
    // Home and away are never taken back because of a device that nobody decided about yet.
    let mut house = House::ann_is_away();
    let mut setup = setup();
    for (person, device, last) in [(0, "ann-tablet", 7), (1, "ben-tablet", 8)] {
        setup.people[person].devices.push(whichroom_presence::setup::DeviceSetup {
            id: id(device),
            name: device.to_owned(),
            macs: vec![whichroom_wire::Mac::new([2, 0, 0, 0, 3, last])],
            counts: whichroom_presence::setup::Counts::Always,
        });
    }
    house.engine.handle_setup(setup.clone(), house.now());
    house.setup = setup;
    house.tick();
    assert_eq!(house.homes(), [At::Away, At::Home]);
    house.pass(10 * MINUTE);
    assert_eq!(house.homes(), [At::Away, At::Home]);
    assert!(
        house.people_said().iter().all(|person| person.home != At::Undecided),
        "{:?}",
        house.people_said()
    );
}

#[test]
fn setup_change_in_the_middle_of_things() {
    // A disassociation waits, an AP is blind, a room is being won: a reload forgets none of it.
    let mut house = House::lived_in();
    house.ap("kitchen").on = false;
    house.pass(29 * MINUTE);
    house.roam("bedroom", "garden", 1, BEN, -80);
    house.pass(2);
    house.engine.handle_setup(setup(), house.now());
    house.pass(20);
    assert_eq!(house.room(1), Some("garden".into()));
    house.disconnect("garden", BEN, Change::Deauth);
    house.engine.handle_setup(setup(), house.now());
    house.pass(10);
    assert_eq!(house.view().devices[1].state, DeviceState::Fading);
    house.pass(3 * MINUTE);
    assert_eq!(house.problems().len(), 1, "the kitchen is blind for longer than half an hour");
    assert!(house.person(0).stale_since.is_some());
}

#[test]
fn an_address_becomes_anothers() {
    let mut house = House::lived_in();
    let mut setup = setup();
    // Ann's phone was entered with an address that is Ben's.
    setup.people[0].devices[0].macs = vec![ANN_GUEST];
    setup.people[1].devices[0].macs = vec![BEN, ANN];
    house.engine.handle_setup(setup.clone(), house.now());
    house.setup = setup;
    house.pass(12 * HOUR + 10 * MINUTE);
    assert_eq!(house.homes(), [At::Away, At::Home]);
    assert!(house.people_said().iter().all(|person| person.home != At::Undecided));
}

#[test]
fn home_only_names_no_place() {
    let mut setup = setup();
    setup.people[0].detail = whichroom_presence::setup::Detail::HomeOnly;
    let mut house = House::with(setup);
    house.all_on();
    house.associate("kitchen", 1, ANN, -55);
    house.pass(5 * MINUTE);
    house.walk_out(ANN);
    house.pass(10 * MINUTE);
    let places = ["Kitchen", "Garden", "Bedroom", "kitchen", "garden"];
    for person in house.people_said().iter().filter(|person| person.name == "Ann") {
        assert_eq!((person.room.as_ref(), person.room_name.as_ref()), (None, None));
        for because in &person.because {
            assert!(!places.iter().any(|place| because.0.contains(place)), "{because}");
        }
    }
    let moved = house.moves().into_iter().next_back().unwrap();
    assert_eq!((moved.from_name.as_str(), moved.to_name.as_str()), ("Home", "Away"));
    for (_, effect) in &house.said {
        if let Effect::Device(device) = effect {
            assert!(device.id != id("ann-phone") || (device.ap.is_none() && device.room.is_none()));
        }
    }
}

#[test]
fn ages_of_kept_events() {
    // The agent was cut off: its table comes first, then what happened meanwhile. History brings nobody home.
    let mut house = House::ann_is_away();
    house.send_table("garden");
    house.send_event("garden", ANN, bss("garden", 1), Change::Authorized { auth_alg: None }, 600_000);
    house.send_event("garden", ANN, bss("garden", 1), Change::Deauth, 500_000);
    house.pass(10);
    assert!(house.people_said().is_empty());
}

#[test]
fn departures_older_than_the_table() {
    // Cut off for ten minutes, she left and returned meanwhile: the table lists her, the events come after it, and
    // the one of her return is lost.
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -80);
    house.pass(MINUTE);
    house.ap("garden").on = false;
    house.pass(10 * MINUTE);
    house.connect("garden");
    house.send_event("garden", ANN, bss("garden", 1), Change::Deauth, 500_000);
    house.ap("garden").on = true;
    house.pass(10 * MINUTE);
    house.assert_never_away();
    let said = house.devices_said();
    assert!(said.iter().all(|(_, device)| device.state == DeviceState::Present), "{said:?}");
}

#[test]
fn nobody_configured_is_no_empty_house() {
    let mut engine = Engine::new(whichroom_presence::setup::Setup::default(), None, Moment::from_ms(0));
    engine.publish_all();
    engine.handle_timeout(Moment::from_ms(3_600_000));
    assert_eq!(engine.view(Moment::from_ms(3_600_000)).house.state, HouseState::Undecided);
}

#[test]
fn an_explanation_shows_the_moment() {
    let mut house = House::lived_in();
    house.walk_out(ANN);
    house.pass(5);
    let text = house.engine.explain(&id("ann"), house.now()).unwrap().to_string();
    for part in [
        "Ann: home",
        "leave frame, last signal -82 dBm after a fall of",
        "away after 12 s",
        "Garden must watch",
        "ended",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let device = house.engine.explain(&id("ben-phone"), house.now()).unwrap();
    assert!(device.sections.iter().any(|section| section.title == "Claims"), "{device}");
    assert!(house.engine.explain(&id("nobody"), house.now()).is_none());
}

/// Where Ann's phone is.
fn whereabouts(house: &House) -> (DeviceState, Option<String>) {
    let device = house.view().devices.swap_remove(0);
    (device.state, device.ap.map(|ap| ap.to_string()))
}

#[test]
fn a_table_older_than_it_seems() {
    // What a table shows is from the agent's last poll. On a roam, the tables of the same second list what was before
    // it: the bedroom's does not have her yet, and the garden's counts her farewell later.
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -58);
    house.pass(MINUTE);
    house.doze("garden", ANN);
    house.pass(MINUTE);
    house.forget();
    let in_bedroom = (DeviceState::Present, Some("bedroom".to_owned()));
    let bssid = bss("bedroom", 0);
    house.now_ms += 400;
    house.send_table("bedroom");
    house.send_table("garden");
    house.send_event("bedroom", ANN, bssid, Change::Assoc { signal_dbm: Some(-46) }, 300);
    house.send_event("bedroom", ANN, bssid, Change::Authorized { auth_alg: None }, 200);
    assert_eq!(
        whereabouts(&house),
        in_bedroom,
        "an empty table with a later stamp makes no association void"
    );
    house.now_ms += 700;
    let garden = house.phone("garden", ANN);
    (garden.station.rx_packets, garden.station.signal_dbm) = (Some(1_000_000), Some(-82));
    // So the agent says of counters that moved since its last poll.
    garden.inactive_ms = 0;
    house.send_table("garden");
    assert_eq!(whereabouts(&house), in_bedroom, "what is counted now was received before");
    house.send_table("bedroom");
    house.pass(5);
    assert_eq!(whereabouts(&house), in_bedroom, "nor does the next empty one");
    house.list("bedroom", 0, ANN, -46, false);
    house.disconnect("garden", ANN, Change::Disassoc);
    house.pass(10 * MINUTE);
    house.assert_never_away();
    assert!(house.devices_said().iter().all(|(_, device)| device.state == DeviceState::Present));
    assert_eq!((whereabouts(&house), house.roams()), (in_bedroom, 1));
}

#[test]
fn a_table_in_the_middle_of_a_handshake() {
    // She was in the bedroom this morning. On her return its table lists her before the handshake is over, and
    // arrives with a later stamp: that is no departure.
    let mut house = House::lived_in();
    house.roam("kitchen", "bedroom", 0, ANN, -60);
    house.pass(MINUTE);
    house.roam("bedroom", "kitchen", 1, ANN, -55);
    house.pass(HOUR);
    house.doze("kitchen", ANN);
    house.forget();
    house.list("bedroom", 0, ANN, -59, false);
    associate_around_a_table(&mut house);
    assert_eq!((whereabouts(&house).1.as_deref(), house.roams()), (Some("bedroom"), 1));
    house.disconnect("kitchen", ANN, Change::Disassoc);
    // It associates there once more, and the same happens.
    house.pass(MINUTE);
    associate_around_a_table(&mut house);
    house.pass(12 * HOUR);
    house.assert_never_away();
    assert!(house.devices_said().iter().all(|(_, device)| device.state == DeviceState::Present));
    assert_eq!((whereabouts(&house).1.as_deref(), house.roams()), (Some("bedroom"), 1));
}

/// The table is sent after the handshake, and shows how it was before the handshake's end.
fn associate_around_a_table(house: &mut House) {
    let bssid = bss("bedroom", 0);
    house.send_event("bedroom", ANN, bssid, Change::Assoc { signal_dbm: Some(-59) }, 0);
    house.phone("bedroom", ANN).station.authorized = false;
    house.now_ms += 700;
    house.send_table("bedroom");
    house.phone("bedroom", ANN).station.authorized = true;
    house.send_event("bedroom", ANN, bssid, Change::Authorized { auth_alg: None }, 500);
    // Until the next table there is only the event to tell.
    house.ap("bedroom").on = false;
    house.pass(15);
    house.ap("bedroom").on = true;
}

#[test]
fn ap_reboot() {
    // It takes its BSSs with it, twice, and comes back with other ones and an empty table: nobody left.
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -78);
    house.pass(5 * MINUTE);
    for boot in ["boot-2", "boot-3"] {
        house.cut_power("garden");
        house.pass(90);
        house.reboot("garden", boot);
        house.pass(20);
    }
    house.pass(HOUR);
    house.assert_never_away();
    let because = house.person(0).because[0].to_string();
    assert!(because.contains("restarted"), "{because}");
    house.associate("garden", 1, ANN, -78);
    house.pass(MINUTE);
    assert_eq!(house.view().devices[0].state, DeviceState::Present);
}

#[test]
fn slow_rejoin() {
    // After a radio restart at an exit indoors, phones take up to an hour to come back.
    let mut house = House::lived_in();
    house.roam("kitchen", "garden", 1, ANN, -60);
    house.pass(MINUTE);
    house.ap("garden").disabled = vec![0, 1];
    house.send_radios("garden");
    house.unlist("garden", ANN);
    house.send_table("garden");
    house.pass(2 * MINUTE);
    house.ap("garden").disabled.clear();
    house.send_radios("garden");
    house.pass(HOUR);
    house.assert_never_away();
    house.associate("garden", 1, ANN, -62);
    house.pass(MINUTE);
    assert_eq!(house.view().devices[0].state, DeviceState::Present);
    // It was its access point's doing: nothing is learned of the phone.
    let text = house.engine.explain(&id("ann-phone"), house.now()).unwrap().to_string();
    assert!(text.contains("failed poll with a steady signal: never"), "{text}");
}

/// Ben's watch counts like his phone.
fn with_two_phones() -> House {
    let mut setup = setup();
    setup.people[1].devices[1].counts = whichroom_presence::setup::Counts::Always;
    let mut house = House::with(setup);
    house.all_on();
    house.associate("kitchen", 1, ANN, -55);
    house.associate("bedroom", 1, BEN, -50);
    house.associate("bedroom", 0, BEN_WATCH, -50);
    house.pass(20 * MINUTE);
    house.forget();
    house
}

#[test]
fn work_phone_at_home() {
    let mut house = with_two_phones();
    house.walk_out(BEN);
    house.pass(8 * MINUTE);
    assert_eq!(house.homes(), [At::Home, At::Away]);
    let because = house.person(1).because;
    assert!(because[0].0.contains("ben-phone: left Garden"), "{because:?}");
    assert!(because.iter().any(|because| because.0.starts_with("ben-watch stayed")), "{because:?}");
    // It stays so across a restart, and while the one at home is used where it lies.
    house.restart(5);
    house.pass(HOUR);
    assert_eq!(house.homes(), [At::Home, At::Away]);
    // It looks for another access point in its sleep.
    house.roam("bedroom", "kitchen", 1, BEN_WATCH, -70);
    house.pass(HOUR);
    assert_eq!(house.homes(), [At::Home, At::Away], "it roams where it lies");
    // Somebody carries it about: he may be there after all.
    house.roam("kitchen", "bedroom", 1, BEN_WATCH, -60);
    house.pass(20);
    house.signal("bedroom", BEN_WATCH, -75);
    house.pass(20);
    house.roam("bedroom", "kitchen", 1, BEN_WATCH, -60);
    house.pass(20);
    house.signal("kitchen", BEN_WATCH, -40);
    house.pass(MINUTE);
    assert_eq!(house.homes(), [At::Home, At::Home]);
}

#[test]
fn two_phones_of_one_at_home() {
    // One is asleep, thrown out and taken for gone; the other is with him and moves.
    let mut house = with_two_phones();
    house.doze("bedroom", BEN);
    house.pass(MINUTE);
    house.disconnect("bedroom", BEN, Change::InactiveDeauth);
    house.pass(HOUR);
    house.roam("bedroom", "kitchen", 1, BEN_WATCH, -40);
    house.pass(14 * HOUR);
    house.assert_never_away();
    let because = house.person(1).because;
    assert!(because.iter().any(|because| because.0.ends_with("ben-watch keeps Ben home")), "{because:?}");
}

/// Written by the first version of all.
const SNAPSHOT_1: &str = include_str!("data/snapshot-1.json");

#[test]
fn a_snapshot_of_the_first_version() {
    let restored = |text: &str| {
        let mut house = House::blank();
        let snapshot = serde_json::from_str(text).unwrap();
        house.engine = Engine::new(house.setup.clone(), Some(snapshot), house.now());
        house.engine.publish_all();
        house.list("bedroom", 1, BEN, -50, true);
        house.all_on();
        house
    };
    let mut house = restored(SNAPSHOT_1);
    assert_eq!(house.homes(), [At::Home, At::Home]);
    assert_eq!(house.view().devices[0].state, DeviceState::Fading);
    // 80 of 110 s were watched before.
    house.pass(20);
    assert_eq!(house.homes(), [At::Home, At::Home]);
    house.pass(45);
    assert_eq!(house.homes(), [At::Away, At::Home]);
    let text = serde_json::to_string(&house.engine.snapshot(house.now())).unwrap();
    assert!(text.contains(r#""version":2"#), "kept in today's form");
    // What nobody knows restores nothing, and harms nobody.
    let house = restored(&SNAPSHOT_1.replace(r#""version": 1"#, r#""version": 99"#));
    assert_eq!(house.view().people[0].home, At::Undecided);
}

#[test]
fn iot_is_not_a_guest() {
    let mut setup = setup();
    setup.ssids.push(whichroom_presence::setup::SsidSetup {
        name: "family".to_owned(),
        kind: whichroom_presence::setup::SsidKind::Iot,
    });
    let mut house = House::with(setup);
    house.all_on();
    let plug = whichroom_wire::Mac::new([2, 0, 0, 0, 9, 9]);
    house.associate("kitchen", 1, plug, -60);
    house.associate("kitchen", 1, bss("garden", 0), -60);
    assert_eq!((house.view().house.guests, house.view().unknown.len()), (0, 1), "a network of things");
    // On the guests' network: a guest, until it has not left for three days.
    house.associate("bedroom", 2, STRANGER, -60);
    house.pass(10 * MINUTE);
    assert_eq!(house.view().house.guests, 1);
    house.pass(71 * HOUR);
    assert_eq!(house.view().house.guests, 1);
    // A restart of the access point is no leaving; nor is one of ours.
    let phones = house.ap("bedroom").phones.clone();
    house.reboot("bedroom", "boot-2");
    house.pass(MINUTE);
    house.ap("bedroom").phones = phones;
    house.restart(10);
    house.send_radios("bedroom");
    house.pass(HOUR);
    let stranger = |house: &House| house.view().unknown.iter().any(|it| it.mac == STRANGER && it.fixture);
    assert!(stranger(&house), "{:?}", house.view().unknown);
    assert_eq!(house.view().house.guests, 0);
    house.unlist("bedroom", STRANGER);
    house.pass(3 * HOUR);
    house.associate("bedroom", 2, STRANGER, -60);
    house.pass(MINUTE);
    assert_eq!(house.view().house.guests, 1, "it left, and came back");
}

#[test]
fn random_mac() {
    // A rotated address is a stranger, offered with its host's name; once it is the phone's, it brings her home.
    let mut house = House::ann_is_away();
    let rotated = whichroom_wire::Mac::new([2, 0, 0, 0, 7, 7]);
    house.associate("kitchen", 1, rotated, -60);
    house.pass(MINUTE);
    assert_eq!(house.homes(), [At::Away, At::Home]);
    assert_eq!(house.view().unknown.iter().map(|unknown| unknown.mac).collect::<Vec<_>>(), [rotated]);
    let mut setup = setup();
    setup.people[0].devices[0].macs.push(rotated);
    house.engine.handle_setup(setup.clone(), house.now());
    house.setup = setup;
    assert!(house.view().unknown.is_empty(), "no stranger from now on");
    house.pass(MINUTE);
    assert_eq!(house.homes(), [At::Home, At::Home]);
    assert!(house.view().unknown.is_empty());
}

#[test]
fn guest() {
    // The housekeeper has no app and no account: her phone's address makes her a person, without a room.
    let mut setup = setup();
    setup.people.push(whichroom_presence::setup::PersonSetup {
        id: id("housekeeper"),
        name: "Housekeeper".to_owned(),
        detail: whichroom_presence::setup::Detail::HomeOnly,
        devices: vec![whichroom_presence::setup::DeviceSetup {
            id: id("housekeepers-phone"),
            name: "Phone".to_owned(),
            macs: vec![STRANGER],
            counts: whichroom_presence::setup::Counts::Always,
        }],
    });
    let mut house = House::with(setup);
    house.all_on();
    house.pass(5 * MINUTE);
    house.associate("kitchen", 2, STRANGER, -60);
    house.pass(MINUTE);
    let view = house.view();
    assert_eq!((view.people[2].home, view.people[2].room.as_ref(), view.house.guests), (At::Home, None, 0));
    house.walk_out(STRANGER);
    house.pass(5 * MINUTE);
    assert_eq!(house.homes()[2], At::Away);
}

#[test]
fn broker_lost_retained() {
    // The broker lost what it kept: everything is said anew, and nobody moves.
    let mut house = House::ann_is_away();
    house.engine.handle_broker(false, house.now());
    house.pass(10);
    house.engine.handle_broker(true, house.now());
    house.forget();
    house.engine.publish_all();
    house.pass(5 * MINUTE);
    let said: Vec<At> = house.people_said().iter().take(2).map(|person| person.home).collect();
    assert_eq!(said, [At::Away, At::Home]);
    assert!(house.moves().is_empty());
}

#[test]
fn wrong_ap_clock() {
    // 3.5 minutes slow, and drifting: ages count, not times.
    let mut house = House::lived_in();
    house.ap("garden").booted_at -= 210_000;
    house.walk_off(ANN, Change::InactiveDeauth);
    left_between(&mut house, 100, 150);
    house.associate("garden", 1, ANN, -60);
    assert_eq!(house.homes(), [At::Home, At::Home]);
}
