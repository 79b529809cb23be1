//! What must hold whatever happens: arbitrary bytes, and arbitrary sequences of events, losses, outages and restarts.

mod harness;

use harness::*;
use proptest::prelude::*;
use whichroom_presence::output::{Effect, Home as At, PersonView};
use whichroom_presence::{Engine, Moment};
use whichroom_wire::{Change, Mac, State};

const APS: [&str; 3] = ["kitchen", "bedroom", "garden"];
const MACS: [Mac; 4] = [ANN, ANN_GUEST, BEN, BEN_WATCH];

#[derive(Debug, Clone)]
enum Step {
    /// A complete association.
    Associate {
        ap: usize,
        band: u8,
        mac: usize,
        dbm: i8,
    },
    /// A complete association whose messages are lost.
    AssociateUnheard {
        ap: usize,
        band: u8,
        mac: usize,
    },
    /// A driver lists what is not there.
    Phantom {
        ap: usize,
        band: u8,
        mac: usize,
    },
    /// One frame, by anybody.
    Frame {
        ap: usize,
        band: u8,
        mac: usize,
        kind: u8,
        age_s: u16,
    },
    /// Gone from the table, with or without a word.
    Vanish {
        ap: usize,
        mac: usize,
        kind: u8,
    },
    Doze {
        ap: usize,
        mac: usize,
    },
    Wake {
        ap: usize,
        mac: usize,
    },
    Lose {
        ap: usize,
    },
    /// A table sent a while ago arrives now.
    Reorder {
        ap: usize,
        held_s: u8,
    },
    Duplicate {
        ap: usize,
    },
    Off {
        ap: usize,
        will: bool,
    },
    On {
        ap: usize,
    },
    Reboot {
        ap: usize,
    },
    Radar {
        ap: usize,
        band: u8,
        on: bool,
    },
    Broker {
        up: bool,
    },
    Retained {
        ap: usize,
    },
    Restart {
        off_s: u8,
    },
    Pass {
        s: u16,
    },
    /// A clock gap: the machine slept.
    Gap {
        s: u16,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (ap, mac, band) = (0..APS.len(), 0..MACS.len(), 0..3u8);
    prop_oneof![
        4 => (ap.clone(), band.clone(), mac.clone(), -90i8..-30)
            .prop_map(|(ap, band, mac, dbm)| Step::Associate { ap, band, mac, dbm }),
        1 => (ap.clone(), band.clone(), mac.clone()).prop_map(|(ap, band, mac)| Step::AssociateUnheard { ap, band, mac }),
        2 => (ap.clone(), band.clone(), mac.clone(), 0..7u8, 0..900u16)
            .prop_map(|(ap, band, mac, kind, age_s)| Step::Frame { ap, band, mac, kind, age_s }),
        1 => (ap.clone(), band.clone(), mac.clone()).prop_map(|(ap, band, mac)| Step::Phantom { ap, band, mac }),
        3 => (ap.clone(), mac.clone(), 0..6u8).prop_map(|(ap, mac, kind)| Step::Vanish { ap, mac, kind }),
        1 => (ap.clone(), mac.clone()).prop_map(|(ap, mac)| Step::Doze { ap, mac }),
        1 => (ap.clone(), mac.clone()).prop_map(|(ap, mac)| Step::Wake { ap, mac }),
        1 => ap.clone().prop_map(|ap| Step::Lose { ap }),
        1 => (ap.clone(), 0..90u8).prop_map(|(ap, held_s)| Step::Reorder { ap, held_s }),
        1 => ap.clone().prop_map(|ap| Step::Duplicate { ap }),
        1 => (ap.clone(), any::<bool>()).prop_map(|(ap, will)| Step::Off { ap, will }),
        2 => ap.clone().prop_map(|ap| Step::On { ap }),
        1 => ap.clone().prop_map(|ap| Step::Reboot { ap }),
        1 => (ap.clone(), band, any::<bool>()).prop_map(|(ap, band, on)| Step::Radar { ap, band, on }),
        1 => any::<bool>().prop_map(|up| Step::Broker { up }),
        1 => ap.prop_map(|ap| Step::Retained { ap }),
        1 => (0..120u8).prop_map(|off_s| Step::Restart { off_s }),
        6 => (1..400u16).prop_map(|s| Step::Pass { s }),
        1 => (1..4000u16).prop_map(|s| Step::Gap { s }),
    ]
}

fn change(kind: u8, dbm: i8) -> Change {
    match kind {
        0 => Change::Disassoc,
        1 => Change::Deauth,
        2 => Change::LocalDeauth,
        3 => Change::InactiveDeauth,
        4 => Change::Left,
        5 => Change::Probe { signal_dbm: Some(dbm) },
        _ => Change::Assoc { signal_dbm: Some(dbm) },
    }
}

/// What a sequence must never do, watched from outside: from the messages sent and the people published.
struct Watch {
    house: House,
    boots: u32,
    /// Last state published of each person; a restart starts no new life.
    homes: Vec<At>,
    /// When an AP last said that a device of this person is authorised, live.
    authorized_at: [Option<i64>; 2],
    /// When an AP that reaches the broker last received one that counts.
    received_at: [Option<i64>; 2],
    /// Longest gap in which nothing was sent.
    gap_ms: i64,
    /// Live messages of the exit AP.
    garden: Vec<i64>,
    seen: usize,
}

impl Watch {
    /// An empty engine, or Ann away and Ben home.
    fn new(is_blank: bool) -> Watch {
        let house = House::blank();
        let mut watch = Watch {
            house,
            boots: 1,
            homes: vec![At::Undecided; 2],
            authorized_at: [None; 2],
            received_at: [None; 2],
            gap_ms: 0,
            garden: vec![],
            seen: 0,
        };
        if !is_blank {
            watch.house.all_on();
            watch.take(&Step::Associate { ap: 1, band: 1, mac: 2, dbm: -50 });
            watch.pass(300);
            assert_eq!(watch.house.homes(), [At::Away, At::Home]);
        }
        watch
    }

    fn take(&mut self, step: &Step) {
        let before: Vec<At> = self.house.homes();
        (0..APS.len()).for_each(|ap| self.vouch_for_listed(ap));
        match step.clone() {
            Step::Associate { ap, band, mac, dbm } => {
                if self.house.aps[ap].on {
                    self.vouch(mac);
                    self.house.associate(APS[ap], band, MACS[mac], dbm);
                } else {
                    self.house.list(APS[ap], band, MACS[mac], dbm, true);
                }
            }
            Step::AssociateUnheard { ap, band, mac } => self.house.list(APS[ap], band, MACS[mac], -60, true),
            Step::Phantom { ap, band, mac } => {
                self.house.list(APS[ap], band, MACS[mac], -60, false);
                let phones = self.house.aps[ap].phones.iter_mut();
                phones.for_each(|phone| phone.station.connected_s = Some(99_999));
                self.set_awake(ap, mac, false);
            }
            Step::Frame { ap, band, mac, kind, age_s } => {
                let bssid = bss(APS[ap], band);
                self.house.send_event(APS[ap], MACS[mac], bssid, change(kind, -50), u64::from(age_s) * 1000);
            }
            Step::Vanish { ap, mac, kind } => {
                let stands = self.house.ap(APS[ap]).phones.iter().any(|phone| phone.station.mac == MACS[mac]);
                if stands && kind < 5 && self.house.aps[ap].on {
                    self.house.disconnect(APS[ap], MACS[mac], change(kind, -50));
                } else {
                    self.house.unlist(APS[ap], MACS[mac]);
                }
            }
            Step::Doze { ap, mac } => self.set_awake(ap, mac, false),
            Step::Wake { ap, mac } => self.set_awake(ap, mac, true),
            Step::Lose { ap } => self.house.aps[ap].seq += 1,
            Step::Reorder { ap, held_s } => {
                let bytes = self.house.table_bytes(APS[ap]);
                self.pass(held_s.into());
                self.house.publish(&format!("ap/{}/stations", APS[ap]), &bytes, false);
            }
            Step::Duplicate { ap } => {
                let bytes = self.house.table_bytes(APS[ap]);
                for _ in 0..2 {
                    self.house.publish(&format!("ap/{}/stations", APS[ap]), &bytes, false);
                }
            }
            Step::Off { ap, will } => {
                self.house.aps[ap].on = false;
                if will {
                    self.house.will(APS[ap]);
                }
            }
            Step::On { ap } => self.house.connect(APS[ap]),
            Step::Reboot { ap } => {
                self.boots += 1;
                let boot = format!("boot-{}", self.boots);
                self.house.reboot(APS[ap], &boot);
            }
            Step::Radar { ap, band, on } => {
                let disabled = &mut self.house.aps[ap].disabled;
                disabled.retain(|known| *known != band);
                if on {
                    disabled.push(band);
                }
                self.house.send_radios(APS[ap]);
            }
            Step::Broker { up } => {
                let now = self.house.now();
                self.house.engine.handle_broker(up, now);
                self.house.tick();
            }
            Step::Retained { ap } => self.house.deliver_retained(APS[ap]),
            Step::Restart { off_s } => {
                self.house.restart(off_s.into());
                assert_eq!(self.house.homes(), before, "a restart moves nobody");
            }
            Step::Pass { s } => self.pass(s.into()),
            Step::Gap { s } => {
                self.gap_ms = self.gap_ms.max(i64::from(s) * 1000);
                self.house.now_ms += i64::from(s) * 1000;
                self.house.tick();
            }
        }
        self.check();
    }

    fn set_awake(&mut self, ap: usize, mac: usize, awake: bool) {
        let phones = &mut self.house.aps[ap].phones;
        phones
            .iter_mut()
            .filter(|phone| phone.station.mac == MACS[mac])
            .for_each(|phone| phone.awake = awake);
    }

    /// Second by second, so that what is sent and what is decided are noted in order.
    fn pass(&mut self, s: u64) {
        for _ in 0..s {
            for ap in 0..APS.len() {
                if self.house.aps[ap].on {
                    self.vouch_for_listed(ap);
                    self.note_received(ap);
                }
            }
            self.house.pass(1);
            self.check();
        }
    }

    /// A table of this AP may be sent in this step, with counters that move.
    fn vouch_for_listed(&mut self, ap: usize) {
        let awake = self.house.aps[ap].phones.iter().filter(|phone| phone.awake);
        let listed: Vec<Mac> = awake.map(|phone| phone.station.mac).collect();
        let known = listed.iter().filter_map(|mac| MACS.iter().position(|known| known == mac));
        known.for_each(|mac| self.vouch(mac));
    }

    /// Its counters move in this second. The watch counts for the room only.
    fn note_received(&mut self, ap: usize) {
        let awake =
            self.house.aps[ap].phones.iter().filter(|phone| phone.awake).map(|phone| phone.station.mac);
        for mac in awake.filter_map(|mac| MACS.iter().position(|known| *known == mac)).filter(|mac| *mac < 3)
        {
            self.received_at[usize::from(mac >= 2)] = Some(self.house.now_ms);
        }
    }

    fn vouch(&mut self, mac: usize) {
        let person = usize::from(mac >= 2);
        self.authorized_at[person] = Some(self.house.now_ms);
    }

    fn check(&mut self) {
        let garden = &self.house.view().access_points[2];
        if let Some(last) = garden.last_live.map(Moment::as_ms) {
            if self.garden.last() != Some(&last) {
                self.garden.push(last);
            }
        }
        let said = self.house.said.split_off(self.seen);
        for (at, effect) in &said {
            if let Effect::Person(person) = effect {
                self.check_person(*at, person);
            }
        }
        self.house.said.extend(said);
        self.seen = self.house.said.len();
    }

    fn check_person(&mut self, at: i64, person: &PersonView) {
        let index = usize::from(person.name == "Ben");
        let before = std::mem::replace(&mut self.homes[index], person.home);
        match (before, person.home) {
            (At::Home | At::Away, At::Undecided) => panic!("{person:?} was decided before"),
            (At::Away, At::Home) => {
                // The longest that this test holds a message back, and what a sending AP takes for a table.
                let vouched =
                    self.authorized_at[index].is_some_and(|vouched| at - vouched <= 150_000 + self.gap_ms);
                assert!(vouched, "{person:?} came home without an authorised association");
            }
            (At::Home | At::Undecided, At::Away) => {
                // One never decided about may have come unheard a moment ago: nobody was published as home.
                let received = self.received_at[index].filter(|_| before == At::Home);
                let since = received.unwrap_or(i64::MIN);
                let watched = watched_ms(&self.garden, since, at);
                let because = &person.because[0].0;
                let walked_off = because.contains("leave frame") && because.contains("after a fall");
                assert!(
                    watched >= if walked_off { 12_000 } else { 110_000 },
                    "{person:?} left, but the exit was watched for {watched} ms only"
                );
            }
            (At::Undecided, At::Home | At::Undecided) | (At::Home, At::Home) | (At::Away, At::Away) => {}
        }
        assert!(person.home == At::Home || person.room.is_none(), "{person:?} is in a room");
    }
}

/// Time between live messages at most 45 s apart, from one moment to another: an upper bound of what may count.
fn watched_ms(messages: &[i64], since: i64, now: i64) -> i64 {
    let pairs = messages.windows(2).filter(|pair| pair[1] - pair[0] <= 45_000);
    let gaps = pairs.map(|pair| pair[1].min(now) - pair[0].max(since));
    gaps.filter(|gap| (0..=45_000).contains(gap)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn nothing_false_whatever_happens(is_blank: bool, steps in prop::collection::vec(step(), 1..60)) {
        let mut watch = Watch::new(is_blank);
        steps.iter().for_each(|step| watch.take(step));
    }

    #[test]
    fn two_runs_agree(is_blank: bool, steps in prop::collection::vec(step(), 1..40)) {
        let run = || {
            let mut watch = Watch::new(is_blank);
            steps.iter().for_each(|step| watch.take(step));
            (watch.house.said, watch.house.engine.view(Moment::from_ms(watch.house.now_ms)))
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn any_bytes_are_read(
        messages in prop::collection::vec(
            ("(ap/[a-c]{1,2}/(status|radios|stations|events|hosts))|\\PC{0,20}", prop::collection::vec(any::<u8>(), 0..200), any::<bool>(), any::<i32>()),
            0..40,
        ),
    ) {
        let mut engine = Engine::new(setup(), None, Moment::from_ms(0));
        for (topic, payload, retained, at) in messages {
            let now = Moment::from_ms(at.into());
            engine.handle_publish(&topic, &payload, retained, now);
            engine.handle_timeout(now);
            while engine.poll_effect().is_some() {}
        }
        let view = engine.view(Moment::from_ms(0));
        prop_assert!(view.people.iter().all(|person| person.home == At::Undecided));
    }

    #[test]
    fn absurd_values_are_read(
        sent_ms in any::<u64>(), seq in any::<u64>(), age_ms in any::<u64>(), signal in any::<i64>(),
        inactive in any::<u64>(), packets in any::<u64>(), connected in any::<u64>(), kind in "[a-z-]{3,12}",
        now in any::<i64>(),
    ) {
        let mut engine = Engine::new(setup(), None, Moment::from_ms(0));
        let head = format!(r#"{{"schema":1,"boot":"b","node":"n","sent_ms":{sent_ms},"seq":{seq}"#);
        let station = format!(
            r#""mac":"{ANN}","bssid":"{BEN}","signal_dbm":{signal},"inactive_ms":{inactive},"rx_packets":{packets}"#
        );
        let table = format!(r#"{head},"stations":[{{{station},"authorized":true,"connected_s":{connected}}}]}}"#);
        let kinds = [kind.as_str(), "signal", "authorized", "joined", "deauth", "probe"];
        for (round, kind) in kinds.into_iter().enumerate() {
            let events = format!(r#"{head},"events":[{{"kind":"{kind}",{station},"age_ms":{age_ms}}}]}}"#);
            let now = Moment::from_ms(now.saturating_add(round as i64 * 1000));
            engine.handle_publish("ap/garden/stations", table.as_bytes(), false, now);
            engine.handle_publish("ap/garden/events", events.as_bytes(), false, now);
            engine.handle_timeout(now);
            while engine.poll_effect().is_some() {}
            let json = serde_json::to_string(&engine.snapshot(now)).unwrap();
            let again = Engine::new(setup(), Some(serde_json::from_str(&json).unwrap()), now);
            prop_assert_eq!(again.view(now).people[0].home, engine.view(now).people[0].home);
        }
    }

    #[test]
    fn what_a_snapshot_holds_may_be_any_json(text in "\\PC{0,200}") {
        let _ = serde_json::from_str::<whichroom_presence::Snapshot>(&text);
    }
}

#[test]
fn the_will_of_nobody_known_is_harmless() {
    let mut house = House::blank();
    let bytes = house.status_bytes("garden", State::Offline);
    house.publish("ap/garden/status", &bytes, true);
    house.pass(60);
    assert_eq!(house.homes(), [At::Undecided, At::Undecided]);
}
