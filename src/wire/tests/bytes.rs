//! The bytes on the wire: what the agent writes, that the reader gives back what was written, and that bad elements
//! cost nothing but themselves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use insta::assert_snapshot;
use proptest::prelude::*;
use whichroom_wire::aggregator::{self, CALIBRATE_PAYLOAD_MAX, Calibrate, Calibrated, DeviceThrashing};
use whichroom_wire::{
    AgentMessage, Change, DecodeError, Decoded, ELEMENTS_MAX, Event, EventWhat, Events, Host, Hosts, Mac,
    PAYLOAD_MAX, Radio, Radios, Request, RequestKind, Stamp, State, Station, Stations, Status, Topic,
    Tracked, encode,
};

fn mac(last: u8) -> Mac {
    Mac::new([0x02, 0, 0, 0, 0, last])
}

fn stamp() -> Stamp {
    Stamp::new("9f3c", "a1b2c3", 1234)
}

fn topic(kind: &str) -> Topic {
    Topic::parse(&format!("ap/kitchen/{kind}")).unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn decode(kind: &str, payload: &str) -> Result<Decoded, DecodeError> {
    AgentMessage::decode(&topic(kind), payload.as_bytes())
}

fn station() -> Station {
    Station {
        signal_dbm: Some(-58),
        inactive_ms: Some(200),
        connected_s: Some(61),
        rx_packets: Some(1000),
        rx_bytes: Some(70_000),
        rrm: Some(0x73),
        ..Station::new(mac(1), mac(0xa1), true)
    }
}

fn event(change: Change) -> Event {
    Event { age_ms: 7, what: EventWhat::Station { mac: mac(1), bssid: mac(0xa1), change } }
}

#[test]
fn status_bytes() {
    let status = Status {
        state: State::Online,
        version: "0.1.0".to_owned(),
        sources: vec!["hostapd".to_owned(), "iwinfo".to_owned()],
        release: Some("24.10.1".to_owned()),
        problems: Vec::new(),
    };
    assert_snapshot!(text(encode(&stamp(), &status)), @r#"{"schema":1,"boot":"9f3c","node":"a1b2c3","sent_ms":1234,"state":"online","version":"0.1.0","sources":["hostapd","iwinfo"],"release":"24.10.1"}"#);
}

#[test]
fn radios_bytes() {
    let radio = Radio {
        ifname: "phy0-ap0".to_owned(),
        bssid: Some(mac(0xa1)),
        ssid: Some("Home \"5\"".to_owned()),
        status: Some("ENABLED".to_owned()),
        freq_mhz: Some(5180),
        channel: Some(36),
        width_mhz: Some(80),
        txpower_dbm: Some(20),
        noise_dbm: Some(-95),
        utilization_permille: Some(120),
        ft: Some(true),
        rrm: Some(false),
        btm: None,
    };
    assert_snapshot!(text(encode(&stamp(), &Radios { radios: vec![radio] })), @r#"{"schema":1,"boot":"9f3c","node":"a1b2c3","sent_ms":1234,"radios":[{"ifname":"phy0-ap0","bssid":"02:00:00:00:00:a1","ssid":"Home \"5\"","status":"ENABLED","freq_mhz":5180,"channel":36,"width_mhz":80,"txpower_dbm":20,"noise_dbm":-95,"utilization_permille":120,"ft":true,"rrm":false}]}"#);
}

#[test]
fn stations_bytes() {
    let table = Stations { seq: 3, stations: vec![station(), Station::new(mac(2), mac(0xa1), false)] };
    assert_snapshot!(text(encode(&stamp(), &table)), @r#"{"schema":1,"boot":"9f3c","node":"a1b2c3","sent_ms":1234,"seq":3,"stations":[{"mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","authorized":true,"signal_dbm":-58,"inactive_ms":200,"connected_s":61,"rx_packets":1000,"rx_bytes":70000,"rrm":115},{"mac":"02:00:00:00:00:02","bssid":"02:00:00:00:00:a1","authorized":false}]}"#);
}

#[test]
fn events_bytes() {
    let events = every_change().into_iter().map(event).chain([Event {
        age_ms: 0,
        what: EventWhat::Answer { id: "q1".to_owned(), ok: false, error: Some("no such station".to_owned()) },
    }]);
    let bytes = text(encode(&stamp(), &Events { seq: 4, events: events.collect() }));
    assert_snapshot!(bytes.replace("},{", "}\n{"), @r#"
    {"schema":1,"boot":"9f3c","node":"a1b2c3","sent_ms":1234,"seq":4,"events":[{"kind":"signal","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","signal_dbm":-60,"inactive_ms":30000,"rx_packets":5,"rx_bytes":600,"age_ms":7}
    {"kind":"assoc","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","signal_dbm":-61,"age_ms":7}
    {"kind":"authorized","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","auth_alg":"ft","age_ms":7}
    {"kind":"disassoc","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","age_ms":7}
    {"kind":"deauth","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","age_ms":7}
    {"kind":"local-deauth","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","age_ms":7}
    {"kind":"inactive-deauth","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","age_ms":7}
    {"kind":"joined","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","authorized":true,"age_ms":7}
    {"kind":"left","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","age_ms":7}
    {"kind":"probe","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","signal_dbm":-62,"age_ms":7}
    {"kind":"beacon-report","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","heard":"02:00:00:00:00:a2","rcpi_dbm":-70,"age_ms":7}
    {"kind":"key-mismatch","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","age_ms":7}
    {"kind":"answer","id":"q1","ok":false,"error":"no such station","age_ms":0}]}
    "#);
}

fn every_change() -> Vec<Change> {
    vec![
        Change::Signal {
            signal_dbm: Some(-60),
            inactive_ms: Some(30_000),
            rx_packets: Some(5),
            rx_bytes: Some(600),
        },
        Change::Assoc { signal_dbm: Some(-61) },
        Change::Authorized { auth_alg: Some("ft".to_owned()) },
        Change::Disassoc,
        Change::Deauth,
        Change::LocalDeauth,
        Change::InactiveDeauth,
        Change::Joined { authorized: true, signal_dbm: None },
        Change::Left,
        Change::Probe { signal_dbm: Some(-62) },
        Change::BeaconReport { heard: mac(0xa2), rcpi_dbm: Some(-70) },
        Change::KeyMismatch,
    ]
}

#[test]
fn hosts_tracked_and_request_bytes() {
    let host = Host { mac: mac(1), name: Some("ada".to_owned()), address: None };
    assert_snapshot!(text(encode(&stamp(), &Hosts { hosts: vec![host] })), @r#"{"schema":1,"boot":"9f3c","node":"a1b2c3","sent_ms":1234,"hosts":[{"mac":"02:00:00:00:00:01","name":"ada"}]}"#);
    let tracked = Tracked { schema: 1, macs: vec![mac(1)], bssids: Vec::new() };
    assert_snapshot!(serde_json::to_string(&tracked).unwrap(), @r#"{"schema":1,"macs":["02:00:00:00:00:01"]}"#);
    let tracked = Tracked { bssids: vec![mac(0xa1)], ..tracked };
    assert_snapshot!(serde_json::to_string(&tracked).unwrap(), @r#"{"schema":1,"macs":["02:00:00:00:00:01"],"bssids":["02:00:00:00:00:a1"]}"#);
    let kind = RequestKind::BeaconReport { mac: mac(1), mode: "table".to_owned() };
    let request = Request { schema: 1, id: "q1".parse().unwrap(), kind };
    let bytes = serde_json::to_string(&request).unwrap();
    assert_snapshot!(bytes, @r#"{"schema":1,"id":"q1","kind":"beacon-report","mac":"02:00:00:00:00:01","mode":"table"}"#);
    assert_eq!(serde_json::from_str::<Request>(&bytes).unwrap(), request);
}

#[test]
fn thrashings_bytes() {
    let thrashing = aggregator::Thrashing {
        since: "2026-11-22T07:00:00+01:00".to_owned(),
        changes: 12,
        between: vec!["kids-room".parse().unwrap(), "office".parse().unwrap()],
    };
    let on = DeviceThrashing { schema: 1, name: "Ben's phone".to_owned(), thrashing: Some(thrashing) };
    assert_snapshot!(text(aggregator::encode(&on)), @r#"{"schema":1,"name":"Ben's phone","thrashing":{"since":"2026-11-22T07:00:00+01:00","changes":12,"between":["kids-room","office"]}}"#);
    let off = DeviceThrashing { thrashing: None, ..on };
    assert_snapshot!(text(aggregator::encode(&off)), @r#"{"schema":1,"name":"Ben's phone","thrashing":null}"#);
}

#[test]
fn calibrations_bytes() {
    let said =
        Calibrate { schema: 1, device: "ada-phone".parse().unwrap(), room: "kitchen".parse().unwrap() };
    let bytes = text(aggregator::encode(&said));
    assert_snapshot!(bytes, @r#"{"schema":1,"device":"ada-phone","room":"kitchen"}"#);
    assert_eq!(Calibrate::decode(bytes.as_bytes()), Ok(said.clone()));
    let answer = Calibrated {
        schema: 1,
        device: Some(said.device),
        room: Some(said.room),
        sample: Some(7),
        alike: vec!["pantry".parse().unwrap()],
        error: None,
    };
    assert_snapshot!(text(aggregator::encode(&answer)), @r#"{"schema":1,"device":"ada-phone","room":"kitchen","sample":7,"alike":["pantry"],"error":null}"#);
    let refused =
        Calibrated { sample: None, alike: Vec::new(), error: Some("\"x\" is no room".to_owned()), ..answer };
    assert_snapshot!(text(aggregator::encode(&refused)), @r#"{"schema":1,"device":"ada-phone","room":"kitchen","sample":null,"alike":[],"error":"\"x\" is no room"}"#);
}

#[test]
fn a_calibration_that_does_not_read_is_refused_with_the_reason() {
    let large = vec![b' '; CALIBRATE_PAYLOAD_MAX + 1];
    for (payload, because) in [
        (large.as_slice(), "4097 bytes are too many"),
        (b"kitchen".as_slice(), r#"a payload reads {"schema":1,"device":"ada-phone","room":"kitchen"}"#),
        (br#"{"schema":1,"device":"ada-phone"}"#.as_slice(), "missing field `room`"),
        (br#"{"schema":2,"device":"ada-phone","room":"kitchen"}"#.as_slice(), "schema is 2"),
    ] {
        let why = Calibrate::decode(payload).unwrap_err();
        assert!(why.contains(because), "{why}");
    }
}

#[test]
fn every_event_reads_back_as_written() {
    let events = Events { seq: 9, events: every_change().into_iter().map(event).collect() };
    let decoded = AgentMessage::decode(&topic("events"), &encode(&stamp(), &events)).unwrap();
    assert_eq!(decoded.message, AgentMessage::Events(events));
    assert_eq!((decoded.stamp, decoded.rejected.count), (stamp(), 0));
}

#[test]
fn one_bad_element_costs_nothing_but_itself() {
    let table = r#"{"schema":1,"boot":"b","node":"n","sent_ms":1,"seq":1,"new":{"x":[1]},"stations":[
        {"mac":"AA:BB:CC:DD:EE:01","bssid":"02:00:00:00:00:a1","authorized":true,"future":null},
        {"mac":"nonsense","bssid":"02:00:00:00:00:a1"}, 7, null, [],
        {"mac":"ff:ff:ff:ff:ff:ff","bssid":"02:00:00:00:00:a1"},
        {"mac":"aa:bb:cc:dd:ee:02","mac":"aa:bb:cc:dd:ee:03","bssid":"02:00:00:00:00:a1"},
        {"mac":"aa:bb:cc:dd:ee:04","bssid":"02:00:00:00:00:a1","inactive_ms":-5},
        {"mac":"aa:bb:cc:dd:ee:05","bssid":"02:00:00:00:00:a1","signal_dbm":-50}]}"#;
    let decoded = decode("stations", table).unwrap();
    let AgentMessage::Stations(stations) = decoded.message else { panic!() };
    let macs: Vec<String> = stations.stations.iter().map(|station| station.mac.to_string()).collect();
    assert_eq!(macs, ["aa:bb:cc:dd:ee:01", "aa:bb:cc:dd:ee:05"]);
    assert_eq!(decoded.rejected.count, 7);
    assert!(decoded.rejected.first.unwrap().starts_with("element 1: "));
}

#[test]
fn absurd_signals_are_dropped_and_counted_and_zero_is_unknown() {
    for (value, signal_dbm, rejected) in [(-58, Some(-58), 0), (0, None, 0), (20, None, 1), (-200, None, 1)] {
        let table = format!(
            r#"{{"schema":1,"boot":"b","node":"n","sent_ms":1,"stations":[{{"mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1","signal_dbm":{value}}}]}}"#
        );
        let decoded = decode("stations", &table).unwrap();
        let AgentMessage::Stations(stations) = decoded.message else { panic!() };
        assert_eq!(
            (stations.stations[0].signal_dbm, decoded.rejected.count),
            (signal_dbm, rejected),
            "{value}"
        );
    }
}

#[test]
fn unknown_kinds_and_kinds_that_lack_fields_are_counted() {
    let events = r#"{"schema":1,"boot":"b","node":"n","sent_ms":1,"seq":1,"events":[
        {"kind":"teleport","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1"},
        {"kind":"assoc","bssid":"02:00:00:00:00:a1"},
        {"kind":"beacon-report","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1"},
        {"kind":"left","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1"}]}"#;
    let decoded = decode("events", events).unwrap();
    let AgentMessage::Events(events) = decoded.message else { panic!() };
    assert_eq!((events.events.len(), decoded.rejected.count), (1, 3));
}

#[test]
fn a_newer_schema_is_told_from_nonsense_whatever_its_shape() {
    for payload in [
        r#"{"schema":2,"boot":"b","node":"n","sent_ms":1,"seq":1,"stations":[]}"#,
        r#"{"schema":2,"tables":"elsewhere"}"#,
    ] {
        assert_eq!(decode("stations", payload), Err(DecodeError::NewerSchema(2)));
    }
    assert!(matches!(decode("stations", r#"{"schema":1}"#), Err(DecodeError::Malformed(_))));
    assert!(matches!(decode("stations", r#"{"schema":1,"schema":1}"#), Err(DecodeError::Malformed(_))));
}

#[test]
fn sizes_and_counts_are_bounded() {
    let huge = vec![b' '; PAYLOAD_MAX + 1];
    assert_eq!(AgentMessage::decode(&topic("stations"), &huge), Err(DecodeError::TooLarge(PAYLOAD_MAX + 1)));
    let one = r#"{"kind":"left","mac":"02:00:00:00:00:01","bssid":"02:00:00:00:00:a1"}"#;
    let many = vec![one; ELEMENTS_MAX + 5].join(",");
    let payload = format!(r#"{{"schema":1,"boot":"b","node":"n","sent_ms":1,"seq":1,"events":[{many}]}}"#);
    let decoded = decode("events", &payload).unwrap();
    let AgentMessage::Events(events) = decoded.message else { panic!() };
    assert_eq!((events.events.len(), decoded.rejected.count), (ELEMENTS_MAX, 5));
    let name = "x".repeat(100_000);
    let payload = format!(
        r#"{{"schema":1,"boot":"{name}","node":"n","sent_ms":1,"hosts":[{{"mac":"02:00:00:00:00:01","name":"{name}"}}]}}"#
    );
    let decoded = decode("hosts", &payload).unwrap();
    let AgentMessage::Hosts(hosts) = decoded.message else { panic!() };
    assert_eq!((decoded.stamp.boot.len(), hosts.hosts[0].name.as_ref().unwrap().len()), (64, 255));
}

const KINDS: [&str; 5] = ["status", "radios", "stations", "events", "hosts"];

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for kind in KINDS {
            let _ = AgentMessage::decode(&topic(kind), &bytes);
        }
        let _ = Calibrate::decode(&bytes);
        let _ = Topic::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_damage_to_a_message_makes_the_reader_panic(cut in 0_usize..700, at in 0_usize..700, byte in any::<u8>()) {
        let events = Events { seq: 9, events: every_change().into_iter().map(event).collect() };
        let table = Stations { seq: 3, stations: vec![station(); 3] };
        for (kind, mut bytes) in [("events", encode(&stamp(), &events)), ("stations", encode(&stamp(), &table))] {
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len() - cut % bytes.len());
            let _ = AgentMessage::decode(&topic(kind), &bytes);
        }
    }

    #[test]
    fn tables_read_back_as_written(stations in proptest::collection::vec(any_station(), 0..40), seq in any::<u64>()) {
        let table = Stations { seq, stations };
        let decoded = AgentMessage::decode(&topic("stations"), &encode(&stamp(), &table)).unwrap();
        prop_assert_eq!(decoded.message, AgentMessage::Stations(table));
        prop_assert_eq!(decoded.rejected.count, 0);
    }
}

prop_compose! {
    fn any_station()(
        last in any::<[u8; 5]>(), bssid in any::<[u8; 6]>(), authorized in any::<bool>(),
        signal_dbm in proptest::option::of(-120_i8..0), inactive_ms in any::<Option<u64>>(),
        connected_s in any::<Option<u64>>(), rx_packets in any::<Option<u64>>(), rx_bytes in any::<Option<u64>>(),
        rrm in any::<Option<u8>>(), mld in any::<Option<[u8; 6]>>(),
    ) -> Station {
        let mac = Mac::new([2, last[0], last[1], last[2], last[3], last[4]]);
        Station {
            mac, bssid: Mac::new(bssid), mld: mld.map(Mac::new), authorized, signal_dbm, inactive_ms, connected_s,
            rx_packets, rx_bytes, rrm,
        }
    }
}
