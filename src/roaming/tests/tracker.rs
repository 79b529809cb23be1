//! From messages to rows: what begins, ends and proves an association, and what does not.

mod common;

use common::*;
use whichroom_roaming::{
    Began, Ended, Hearing, NamedDevice, RadioState, Row, SignalMinute, Site, Span, Tracker,
};
use whichroom_wire::{Change, Mac, Radio, Station};

struct Home {
    tracker: Tracker,
    spans: Vec<Span>,
    signals: Vec<SignalMinute>,
    radios: Vec<RadioState>,
}

impl Home {
    fn new() -> Home {
        Home::of(Tracker::new(None, at(0)))
    }

    fn of(tracker: Tracker) -> Home {
        Home { tracker, spans: Vec::new(), signals: Vec::new(), radios: Vec::new() }
    }

    fn event(&mut self, number: u8, change: Change, ms: i64) {
        self.tracker.handle_event(&ap(number), phone(1), bss(number), &change, at(ms));
    }

    fn authorized(&mut self, number: u8, auth_alg: &str, ms: i64) {
        self.event(number, Change::Authorized { auth_alg: Some(auth_alg.to_owned()) }, ms);
    }

    fn table(&mut self, number: u8, stations: &[Station], ms: i64) {
        self.tracker.handle_table(&ap(number), stations, at(ms));
    }

    fn run_to(&mut self, ms: i64) {
        self.tracker.handle_timeout(at(ms));
        while let Some(row) = self.tracker.poll_row() {
            match row {
                Row::Span(span) => self.spans.push(span),
                Row::Signal(signal) => self.signals.push(signal),
                Row::Radio(radio) => self.radios.push(radio),
            }
        }
    }

    /// Access point, begin and end in seconds, how it began and ended.
    fn spans(&self) -> Vec<(u8, i64, i64, Began, Option<Ended>)> {
        let of = |span: &Span| {
            let number = span.bssid.octets()[5];
            (number, span.begin.as_ms() / 1000, span.end.as_ms() / 1000, span.began, span.ended)
        };
        self.spans.iter().map(of).collect()
    }

    fn open(&self) -> Option<(u8, i64)> {
        let of = |span: &Span| (span.bssid.octets()[5], span.begin.as_ms() / 1000);
        self.tracker.open_spans().map(of).next()
    }
}

fn station(number: u8, rx_packets: u64) -> Station {
    Station {
        rx_packets: Some(rx_packets),
        signal_dbm: Some(-60),
        ..Station::new(phone(1), bss(number), true)
    }
}

#[test]
fn a_fast_transition_is_a_roam_whichever_side_tells_first() {
    for first_leaves in [false, true] {
        let mut home = Home::new();
        home.authorized(1, "open", 0);
        if first_leaves {
            home.event(1, Change::Disassoc, 99_900);
        }
        home.authorized(2, "ft", 100_000);
        if !first_leaves {
            home.event(1, Change::Deauth, 100_100);
        }
        home.event(2, Change::Disassoc, 200_000);
        home.run_to(300_000);
        let roamed = if first_leaves { 99 } else { 100 };
        assert_eq!(
            home.spans(),
            [
                (1, 0, roamed, Began::Full, Some(Ended::Roamed)),
                (2, 100, 200, Began::FastTransition, Some(Ended::Left)),
            ]
        );
    }
}

/// A program that dies has written what had begun.
#[test]
fn a_beginning_is_told_once_and_at_once() {
    let mut home = Home::new();
    let begun = |home: &mut Home| home.tracker.poll_begun().map(|span| (span.bssid.octets()[5], span.begin));
    assert_eq!(begun(&mut home), None);
    home.authorized(1, "open", 5_000);
    assert_eq!(begun(&mut home), Some((1, at(5_000))));
    home.table(1, &[station(1, 10)], 35_000);
    assert_eq!(begun(&mut home), None, "it lasts");
    home.authorized(2, "ft", 60_000);
    home.authorized(1, "ft", 61_000);
    assert_eq!(
        begun(&mut home),
        Some((1, at(61_000))),
        "what was over before anybody asked is a row already"
    );
    assert_eq!(begun(&mut home), None);
    home.authorized(2, "ft", 90_000);
    home.event(2, Change::Disassoc, 91_000);
    assert_eq!(begun(&mut home), None, "it did not last until it was asked for");
}

#[test]
fn an_end_says_why() {
    let ends = [
        (Change::Disassoc, Ended::Left),
        (Change::Deauth, Ended::Left),
        (Change::Left, Ended::Left),
        (Change::LocalDeauth, Ended::SentAway),
        (Change::InactiveDeauth, Ended::PollFailed),
    ];
    for (change, ended) in ends {
        let mut home = Home::new();
        home.authorized(1, "sae", 0);
        home.event(1, change, 60_000);
        home.run_to(90_000);
        assert_eq!(home.spans(), [(1, 0, 60, Began::Full, Some(ended))]);
    }
}

/// What left a moment ago is held back: where it went may be told late.
#[test]
fn an_end_waits_for_a_roam_and_no_longer() {
    let mut home = Home::new();
    home.authorized(1, "open", 0);
    home.event(1, Change::Disassoc, 60_000);
    home.run_to(74_999);
    assert_eq!(home.spans(), []);
    assert_eq!(home.tracker.poll_timeout().map(|(due, _)| due), Some(at(75_000)));
    home.run_to(75_000);
    assert_eq!(home.spans(), [(1, 0, 60, Began::Full, Some(Ended::Left))]);
    home.authorized(2, "open", 80_000);
    assert_eq!(home.open(), Some((2, 80)));
}

#[test]
fn a_second_handshake_on_the_same_bss_is_a_new_association() {
    let mut home = Home::new();
    home.authorized(1, "open", 0);
    home.authorized(1, "open", 60_000);
    home.run_to(100_000);
    assert_eq!(home.spans(), [(1, 0, 60, Began::Full, Some(Ended::Reassociated))]);
    assert_eq!(home.open(), Some((1, 60)));
}

/// Drivers list for minutes what left them.
#[test]
fn a_stale_entry_is_no_roam_back_until_something_is_received() {
    let mut home = Home::new();
    home.table(2, &[], 0);
    home.table(1, &[station(1, 10)], 1_000);
    home.table(1, &[station(1, 500)], 31_000);
    home.authorized(2, "ft", 40_000);
    // What was received before the roam is in the next table of the old access point.
    home.table(1, &[station(1, 520)], 61_000);
    home.table(1, &[station(1, 520)], 91_000);
    home.table(2, &[station(2, 7)], 92_000);
    assert_eq!(home.open(), Some((2, 40)));
    // And really back, with no event at all.
    home.table(1, &[station(1, 600)], 121_000);
    assert_eq!(home.open(), Some((1, 121)));
    home.run_to(200_000);
    assert_eq!(
        home.spans(),
        [
            (1, 1, 40, Began::Unknown, Some(Ended::Roamed)),
            (2, 40, 121, Began::FastTransition, Some(Ended::Roamed)),
        ]
    );
}

/// A message shows what the last poll found, and that may be from before the roam.
#[test]
fn frames_counted_before_a_roam_do_not_undo_it() {
    let mut home = Home::new();
    home.table(1, &[], 0);
    home.table(2, &[], 0);
    home.authorized(1, "open", 30_000);
    home.table(1, &[station(1, 500)], 31_000);
    home.authorized(2, "ft", 40_000);
    home.table(1, &[station(1, 510)], 42_000);
    home.table(1, &[station(1, 520)], 72_000);
    home.table(1, &[station(1, 520)], 102_000);
    assert_eq!(home.open(), Some((2, 40)));
    home.table(1, &[station(1, 600)], 132_000);
    assert_eq!(home.open(), Some((1, 132)));
    // It was on an access point between two polls only: that one lists it first when it has gone on.
    let mut home = Home::new();
    home.table(1, &[], 0);
    home.authorized(2, "ft", 40_000);
    home.table(1, &[station(1, 3)], 43_000);
    home.event(1, Change::Joined { authorized: true, signal_dbm: None }, 43_500);
    assert_eq!(home.open(), Some((2, 40)));
}

/// 22.03 has no `authorized` events: polling alone tells of roams.
#[test]
fn polling_alone_finds_roams() {
    let mut home = Home::new();
    home.table(2, &[], 0);
    home.table(1, &[station(1, 10)], 1_000);
    home.event(2, Change::Joined { authorized: true, signal_dbm: Some(-50) }, 50_000);
    home.event(1, Change::Left, 53_000);
    home.event(2, Change::Left, 100_000);
    home.event(1, Change::Joined { authorized: true, signal_dbm: None }, 103_000);
    home.run_to(150_000);
    assert_eq!(
        home.spans(),
        [(1, 1, 50, Began::Unknown, Some(Ended::Roamed)), (2, 50, 100, Began::Unknown, Some(Ended::Roamed)),]
    );
    assert_eq!(home.open(), Some((1, 103)));
}

#[test]
fn connected_time_tells_which_of_two_entries_is_the_newer_one() {
    let mut home = Home::new();
    let connected = |number, connected_s| Station { connected_s: Some(connected_s), ..station(number, 1) };
    home.table(1, &[connected(1, 900)], 1_000_000);
    home.table(2, &[connected(2, 100)], 1_001_000);
    assert_eq!(home.open(), Some((2, 901)));
    home.table(1, &[connected(1, 930)], 1_030_000);
    assert_eq!(home.open(), Some((2, 901)));
    // The same BSS, associated anew between two tables, and nobody saw it.
    home.table(2, &[connected(2, 20)], 1_061_000);
    assert_eq!(home.open(), Some((2, 1041)));
}

#[test]
fn what_a_table_lists_no_longer_has_left() {
    let mut home = Home::new();
    home.table(1, &[station(1, 1)], 0);
    home.table(1, &[], 30_000);
    home.run_to(60_000);
    assert_eq!(home.spans(), [(1, 0, 30, Began::Unknown, Some(Ended::Left))]);
    // But not what joined while the table was being polled.
    home.authorized(1, "open", 70_000);
    home.table(1, &[], 72_000);
    assert_eq!(home.open(), Some((1, 70)));
}

/// A restart of the agent does not disconnect anybody.
#[test]
fn a_restarted_agent_ends_only_what_it_does_not_list_again() {
    let mut home = Home::new();
    home.table(1, &[station(1, 1)], 0);
    home.table(1, &[station(1, 2)], 30_000);
    home.tracker.handle_restart(&ap(1), at(60_000));
    home.table(1, &[station(1, 3)], 61_000);
    assert_eq!(home.open(), Some((1, 0)));
    home.tracker.handle_restart(&ap(1), at(90_000));
    home.table(1, &[], 91_000);
    home.run_to(120_000);
    assert_eq!(home.spans(), [(1, 0, 61, Began::Unknown, Some(Ended::ApRestarted))]);
}

#[test]
fn a_bss_that_goes_takes_its_stations_with_it() {
    let bss_of = |status: &str| Radio {
        ifname: "phy0-ap0".to_owned(),
        bssid: Some(bss(1)),
        status: Some(status.to_owned()),
        ..Radio::default()
    };
    let mut home = Home::new();
    home.tracker.handle_radios(&ap(1), &[bss_of("ENABLED")], at(0));
    home.authorized(1, "open", 1_000);
    // hostapd sends everybody away just before it says that it stops.
    home.event(1, Change::LocalDeauth, 60_000);
    home.tracker.handle_radios(&ap(1), &[bss_of("DFS")], at(61_000));
    home.tracker.handle_radios(&ap(1), &[bss_of("ENABLED")], at(121_000));
    home.authorized(1, "open", 125_000);
    home.tracker.handle_radios(&ap(1), &[], at(200_000));
    home.run_to(300_000);
    assert_eq!(
        home.spans(),
        [(1, 1, 60, Began::Full, Some(Ended::BssLost)), (1, 125, 200, Began::Full, Some(Ended::BssLost))]
    );
    let states: Vec<(i64, bool)> =
        home.radios.iter().map(|radio| (radio.at.as_ms() / 1000, radio.enabled)).collect();
    assert_eq!(states, [(0, true), (61, false), (121, true), (200, false)]);
}

#[test]
fn radios_are_written_when_they_change_and_not_when_they_breathe() {
    let radio = |noise_dbm, utilization, txpower| Radio {
        ifname: "phy0-ap0".to_owned(),
        bssid: Some(bss(1)),
        noise_dbm: Some(noise_dbm),
        utilization_permille: Some(utilization),
        txpower_dbm: Some(txpower),
        ..Radio::default()
    };
    let mut home = Home::new();
    for (second, radio) in (0..).zip([
        radio(-95, 100, 20),
        radio(-94, 250, 20),
        radio(-96, 50, 20),
        radio(-96, 50, 18),
        radio(-92, 50, 18),
        radio(-92, 400, 18),
    ]) {
        home.tracker.handle_radios(&ap(1), &[radio], at(second * 1000));
    }
    home.run_to(10_000);
    let at: Vec<i64> = home.radios.iter().map(|radio| radio.at.as_ms() / 1000).collect();
    assert_eq!(at, [0, 3, 4, 5]);
}

#[test]
fn an_access_point_that_falls_silent_is_believed_for_a_quarter_of_an_hour() {
    let mut home = Home::new();
    home.table(1, &[station(1, 1)], 0);
    home.table(1, &[station(1, 2)], 30_000);
    assert_eq!(home.tracker.poll_timeout().map(|(due, _)| due), Some(at(75_000)), "the first minute");
    home.run_to(929_000);
    assert_eq!(home.spans(), []);
    home.run_to(930_000);
    home.run_to(960_000);
    assert_eq!(home.spans(), [(1, 0, 30, Began::Unknown, Some(Ended::Unknown))]);
    assert_eq!(home.tracker.poll_timeout(), None, "nothing is left to do");
    // It comes back, and the phone was there all the time.
    home.table(1, &[station(1, 3)], 2_000_000);
    assert_eq!(home.open(), Some((1, 2000)));
}

#[test]
fn signals_are_kept_by_the_minute_and_by_where_they_come_from() {
    let mut home = Home::new();
    home.tracker.handle_radios(&ap(2), &[Radio { bssid: Some(bss(2)), ..Radio::default() }], at(0));
    home.authorized(1, "open", 0);
    let signal = |dbm, rx| Change::Signal {
        signal_dbm: Some(dbm),
        inactive_ms: Some(10),
        rx_packets: Some(rx),
        rx_bytes: None,
    };
    for (second, dbm) in [(1, -60), (20, -63), (40, -66)] {
        home.event(1, signal(dbm, dbm.unsigned_abs().into()), second * 1000);
    }
    home.event(2, Change::Probe { signal_dbm: Some(-80) }, 30_000);
    let report = |heard| Change::BeaconReport { heard, rcpi_dbm: Some(-70) };
    home.event(1, report(bss(2)), 31_000);
    // A BSS that is not of this home is nobody's business.
    home.event(1, report(bss(9)), 31_000);
    // A stranger's probe neither.
    let stranger = Mac::new([0x02, 9, 9, 9, 9, 9]);
    home.tracker.handle_event(&ap(2), stranger, bss(2), &Change::Probe { signal_dbm: Some(-40) }, at(32_000));
    home.run_to(74_999);
    assert_eq!(home.signals, []);
    home.run_to(75_000);
    let of = |signal: &SignalMinute| {
        (signal.hearing, signal.bssid, signal.min_dbm, signal.mean_dbm, signal.max_dbm, signal.count)
    };
    assert_eq!(
        home.signals.iter().map(of).collect::<Vec<_>>(),
        [
            (Hearing::Associated, bss(1), -66, -63, -60, 3),
            (Hearing::Overheard, bss(2), -80, -80, -80, 1),
            (Hearing::Reported, bss(2), -70, -70, -70, 1),
        ]
    );
    assert_eq!(home.signals[2].ap, ap(2));
}

/// A table repeats the last signal of a phone that sleeps; that is no new reading.
#[test]
fn a_minute_is_given_away_once_however_late_the_rest_of_it_comes() {
    let mut home = Home::new();
    home.authorized(1, "sae", 0);
    let probe = |dbm| Change::Probe { signal_dbm: Some(dbm) };
    home.event(1, probe(-60), 10_000);
    home.run_to(90_000);
    home.event(1, probe(-80), 20_000);
    home.event(1, probe(-61), 100_000);
    home.run_to(2 * HOUR);
    // Hours late nobody remembers which minutes there were.
    home.event(1, probe(-80), 30_000);
    home.run_to(3 * HOUR);
    let minutes: Vec<_> =
        home.signals.iter().map(|signal| (signal.minute.as_ms() / MINUTE, signal.mean_dbm)).collect();
    assert_eq!(minutes, [(0, -60), (1, -61)]);
    assert_eq!(home.tracker.dropped(), 2);
}

#[test]
fn a_sleeping_phone_has_no_signal() {
    let mut home = Home::new();
    let asleep = |inactive_ms| Station { inactive_ms: Some(inactive_ms), ..station(1, 5) };
    home.table(1, &[asleep(100)], 0);
    for minute in 1..10_i64 {
        home.table(1, &[asleep(60_000 * minute.unsigned_abs())], minute * MINUTE);
    }
    home.run_to(20 * MINUTE);
    assert_eq!(home.signals.len(), 1);
}

#[test]
fn a_restart_of_ours_goes_on_with_what_lasts() {
    let mut home = Home::new();
    home.table(1, &[station(1, 1)], 0);
    home.authorized(2, "ft", 30_000);
    let snapshot = serde_json::to_string(&home.tracker.snapshot()).unwrap();
    let restored = || Tracker::new(Some(serde_json::from_str(&snapshot).unwrap()), at(100_000));
    // Still there.
    let mut home = Home::of(restored());
    home.table(2, &[station(2, 5)], 110_000);
    assert_eq!(home.open(), Some((2, 30)));
    home.event(2, Change::Disassoc, 120_000);
    home.run_to(150_000);
    assert_eq!(home.spans(), [(2, 30, 120, Began::FastTransition, Some(Ended::Left))]);
    // Gone meanwhile, and nobody knows when.
    let mut home = Home::of(restored());
    home.table(2, &[], 110_000);
    home.run_to(150_000);
    assert_eq!(home.spans(), [(2, 30, 30, Began::FastTransition, Some(Ended::Unknown))]);
    // Its access point is gone too.
    let mut home = Home::of(restored());
    home.run_to(100_000 + 15 * MINUTE);
    home.run_to(100_000 + 16 * MINUTE);
    assert_eq!(home.open(), None);
}

/// Private MACs differ by network; the phone is on one network at a time.
#[test]
fn two_macs_of_one_device_are_on_one_bss() {
    let site = Site {
        devices: vec![NamedDevice { name: "phone".to_owned(), macs: vec![phone(1), phone(2)] }],
        ..Site::default()
    };
    let mut home = Home::new();
    home.tracker.set_devices(&site);
    let authorized = Change::Authorized { auth_alg: None };
    home.tracker.handle_event(&ap(1), phone(1), bss(1), &authorized, at(0));
    home.tracker.handle_event(&ap(1), phone(2), bss(2), &authorized, at(60_000));
    home.run_to(100_000);
    assert_eq!(home.spans(), [(1, 0, 60, Began::Unknown, Some(Ended::Roamed))]);
    // Two that turn out to be one.
    let mut home = Home::new();
    home.tracker.handle_event(&ap(1), phone(1), bss(1), &authorized, at(0));
    home.tracker.handle_event(&ap(1), phone(2), bss(2), &authorized, at(60_000));
    home.tracker.set_devices(&site);
    assert_eq!(home.tracker.open_spans().count(), 1);
    home.run_to(100_000);
    assert_eq!(home.spans().len(), 1);
}

/// What comes without end is bounded, and said.
#[test]
fn memory_is_bounded() {
    let mut home = Home::new();
    let mac = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        Mac::new([0x02, 0, 0, a, b, c])
    };
    for number in 0..6_000 {
        let change = Change::Authorized { auth_alg: None };
        home.tracker.handle_event(&ap(1), mac(number), bss(1), &change, at(i64::from(number)));
    }
    assert_eq!(home.tracker.open_spans().count(), 4_096);
    assert_eq!(home.tracker.dropped(), 6_000 - 4_096);
    for number in 0..100 {
        home.tracker.handle_event(&ap(1), mac(number), bss(1), &Change::Disassoc, at(10_000));
    }
    home.run_to(8 * HOUR);
    // The places of those that left long ago are free again.
    let change = Change::Authorized { auth_alg: None };
    home.tracker.handle_event(&ap(1), mac(9_999), bss(1), &change, at(8 * HOUR));
    assert_eq!(home.tracker.dropped(), 6_000 - 4_096);
}
