//! The stand-in ubusd against the protocol: each flow with the bytes that a real one sends, written by hand here.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use whichroom_tests::ubusd::frame::{BLOB_MAX, Frame, attribute, kind, status};
use whichroom_tests::ubusd::value::{self, Fields, Value, field, fields_of};
use whichroom_tests::ubusd::{
    Access, Bss, Heard, Lease, Leave, Options, Override, Pace, Process, Release, Station, Ubusd, Wanted,
};
use whichroom_wire::Mac;

const PHONE: Mac = Mac::new([0x02, 0, 0, 0, 0, 7]);
const BSSID: Mac = Mac::new([0x02, 0xaa, 0, 0, 0, 1]);

fn socket() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("stand-in-ubusd-{}-{number}.sock", std::process::id()))
}

fn start(options: Options) -> Ubusd {
    let ubusd = Ubusd::start(&socket(), options).unwrap();
    ubusd.add_bss(Bss::new("phy0-ap0", BSSID, "home", 5180));
    ubusd
}

/// A client of the tests' own, one frame at a time.
struct Client {
    stream: UnixStream,
    seq: u16,
}

impl Client {
    fn connect(ubusd: &Ubusd) -> Client {
        let stream = UnixStream::connect(ubusd.path()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut client = Client { stream, seq: 0 };
        let hello = client.read();
        assert_eq!((hello.kind, hello.seq, hello.body.len()), (kind::HELLO, 0, 0));
        client
    }

    fn read(&mut self) -> Frame {
        Frame::read(&mut self.stream).unwrap()
    }

    fn write(&mut self, frame: &Frame) {
        self.stream.write_all(&frame.encode()).unwrap();
    }

    /// Sends a request and collects its answer.
    fn ask(&mut self, frame: Frame) -> (Vec<Frame>, u32) {
        self.seq += 1;
        self.write(&Frame { seq: self.seq, ..frame });
        let mut data = Vec::new();
        loop {
            let frame = self.read();
            match frame.kind {
                kind::DATA if frame.seq == self.seq => data.push(frame),
                kind::STATUS if frame.seq == self.seq => {
                    return (data, frame.get_number(attribute::STATUS).unwrap());
                }
                _ => panic!("unexpected {frame:?}"),
            }
        }
    }

    fn add_object(&mut self) -> u32 {
        let (data, status) = self.ask(Frame::new(kind::ADD_OBJECT, 0, 0));
        assert_eq!(status, status::OK);
        data[0].get_number(attribute::OBJID).unwrap()
    }

    fn lookup(&mut self, path: &str) -> (Vec<(String, u32)>, u32) {
        let (data, status) = self.ask(Frame::new(kind::LOOKUP, 0, 0).text(attribute::OBJPATH, path));
        let found = data.iter().map(|frame| {
            let path = frame.get_text(attribute::OBJPATH).unwrap().to_owned();
            (path, frame.get_number(attribute::OBJID).unwrap())
        });
        (found.collect(), status)
    }

    fn object(&mut self, path: &str) -> u32 {
        self.lookup(path).0[0].1
    }

    fn invoke(&mut self, object: u32, method: &str, arguments: &Fields) -> (Option<Fields>, u32) {
        let frame = Frame::new(kind::INVOKE, 0, object)
            .number(attribute::OBJID, object)
            .text(attribute::METHOD, method)
            .bytes(attribute::DATA, &value::encode(arguments));
        let (data, status) = self.ask(frame);
        (data.first().map(|frame| value::decode(frame.get(attribute::DATA).unwrap()).unwrap()), status)
    }

    fn subscribe(&mut self, own: u32, target: u32) -> u32 {
        self.ask(
            Frame::new(kind::SUBSCRIBE, 0, 0).number(attribute::OBJID, own).number(attribute::TARGET, target),
        )
        .1
    }

    fn listen(&mut self, own: u32, pattern: &str) -> u32 {
        let arguments = fields_of([("object", Value::Int32(own)), ("pattern", Value::text(pattern))]);
        self.invoke(1, "register", &arguments).1
    }
}

#[test]
fn the_first_bytes_are_those_of_the_format() {
    let ubusd = start(Options { without_rpcd: true, ..Options::default() });
    let mut stream = UnixStream::connect(ubusd.path()).unwrap();
    let mut hello = [0; 12];
    stream.read_exact(&mut hello).unwrap();
    assert_eq!(hello, [0, 0, 0, 0, 0, 0, hello[6], hello[7], 0, 0, 0, 4]);

    // A ping echoes, then says that all is well.
    stream.write_all(&[0, 3, 0, 9, 0, 0, 0, 0, 0, 0, 0, 4]).unwrap();
    let mut pong = [0; 32];
    stream.read_exact(&mut pong).unwrap();
    let expected = [
        0, 2, 0, 9, 0, 0, 0, 0, 0, 0, 0, 4, //
        0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 12, 1, 0, 0, 8, 0, 0, 0, 0,
    ];
    assert_eq!(pong, expected);

    // A type that there is not: status 1.
    stream.write_all(&[0, 42, 0, 10, 0, 0, 0, 0, 0, 0, 0, 4]).unwrap();
    let mut refused = [0; 20];
    stream.read_exact(&mut refused).unwrap();
    assert_eq!(refused, [0, 1, 0, 10, 0, 0, 0, 0, 0, 0, 0, 12, 1, 0, 0, 8, 0, 0, 0, 1]);
}

#[test]
fn lookup_finds_by_path_by_prefix_and_everything() {
    let ubusd = start(Options::default());
    ubusd.add_bss(Bss::new("phy1-ap0", BSSID, "home", 2412));
    let mut client = Client::connect(&ubusd);
    let paths = |found: (Vec<(String, u32)>, u32)| -> Vec<String> {
        found.0.into_iter().map(|(path, _)| path).collect()
    };
    assert_eq!(paths(client.lookup("hostapd.*")), ["hostapd.phy0-ap0", "hostapd.phy1-ap0"]);
    assert_eq!(paths(client.lookup("iwinfo")), ["iwinfo"]);
    assert_eq!(client.lookup("nope"), (vec![], status::NOT_FOUND));
    assert_eq!(client.lookup("nope.*"), (vec![], status::NOT_FOUND));
    assert_eq!(client.ask(Frame::new(kind::LOOKUP, 0, 0)).0.len(), 6);
}

#[test]
fn a_denied_client_gets_the_answers_ubusd_gives() {
    let rules =
        r#"{"access":{"hostapd.*":{"methods":["get_clients"]}},"subscribe":[],"listen":["ubus.object.add"]}"#;
    let access = Access::Limited(serde_json::from_str(rules).unwrap());
    let ubusd = start(Options::default());
    let iwinfo = Client::connect(&ubusd).object("iwinfo");
    ubusd.set_access(access);
    let mut client = Client::connect(&ubusd);
    let own = client.add_object();
    assert_eq!(client.lookup("iwinfo"), (vec![], status::OK), "hidden, not missing");
    let bss = client.object("hostapd.phy0-ap0");
    assert_eq!(client.invoke(iwinfo, "devices", &Fields::new()).1, status::PERMISSION_DENIED);
    assert_eq!(client.invoke(bss, "get_status", &Fields::new()).1, status::PERMISSION_DENIED);
    assert_eq!(client.invoke(bss, "get_clients", &Fields::new()).1, status::OK);
    assert_eq!(client.subscribe(own, bss), status::NOT_FOUND);
    assert_eq!(client.listen(own, "ubus.object.add"), status::OK);
    assert_eq!(client.listen(own, "ubus.object.*"), status::PERMISSION_DENIED);
    let (_, published) = client.ask(Frame::new(kind::ADD_OBJECT, 0, 0).text(attribute::OBJPATH, "mine"));
    assert_eq!(published, status::INVALID_ARGUMENT);

    ubusd.set_access(Access::UnknownUser);
    let mut stranger = UnixStream::connect(ubusd.path()).unwrap();
    assert_eq!(stranger.read(&mut [0; 12]).unwrap(), 0, "closed before the greeting");
}

#[test]
fn hostapd_and_rpcd_answer_in_the_shapes_of_their_release() {
    let shapes = [
        (Release::R22_03, false, 866_700),
        (Release::R23_05, true, 86_670_000),
        (Release::R25_12, true, 86_670_000),
    ];
    for (release, has_mbo, rate) in shapes {
        let ubusd = start(Options { release, ..Options::default() });
        ubusd.with_ap(|ap| ap.bsss.get_mut("phy0-ap0").unwrap().ssid = b"caf\xe9".to_vec());
        let mut station = Station::new(-58, Instant::now());
        station.set_inactive(Duration::from_secs(9), Instant::now());
        ubusd.place("phy0-ap0", PHONE, station);
        let mut client = Client::connect(&ubusd);
        let bss = client.object("hostapd.phy0-ap0");

        let (data, _) = client.invoke(bss, "get_clients", &Fields::new());
        let data = data.unwrap();
        assert_eq!(field(&data, "freq"), Some(&Value::Int32(5180)));
        let Some(Value::Table(clients)) = field(&data, "clients") else { panic!("{data:?}") };
        let Some(Value::Table(phone)) = field(clients, "02:00:00:00:00:07") else { panic!("{clients:?}") };
        assert_eq!(field(phone, "signal"), Some(&Value::int(-58)));
        assert_eq!(field(phone, "mbo").is_some(), has_mbo);
        assert_eq!(
            field(phone, "rate"),
            Some(&Value::table([("rx", Value::Int32(rate)), ("tx", Value::Int32(rate))]))
        );

        let (data, _) = client.invoke(bss, "get_status", &Fields::new());
        let data = data.unwrap();
        assert_eq!(field(&data, "ssid"), Some(&Value::text(b"caf\xe9")), "bytes, not UTF-8");
        assert_eq!(field(&data, "channel"), Some(&Value::Int32(36)));
        assert_eq!(field(&data, "driver").is_some(), release >= Release::R25_12);

        let iwinfo = client.object("iwinfo");
        let (data, _) = client.invoke(iwinfo, "assoclist", &fields_of([("device", Value::text("phy0-ap0"))]));
        let Some(Value::Array(results)) = field(data.as_ref().unwrap(), "results").cloned() else {
            panic!("{data:?}")
        };
        let Value::Table(entry) = &results[0] else { panic!("{results:?}") };
        assert_eq!(field(entry, "mac"), Some(&Value::text("02:00:00:00:00:07".to_uppercase())));
        assert!(
            field(entry, "inactive").and_then(Value::as_u32).is_some_and(|ms| (9_000..60_000).contains(&ms))
        );
        let unknown = client.invoke(iwinfo, "assoclist", &fields_of([("device", Value::text("wlan9"))]));
        assert_eq!(unknown, (None, status::NOT_FOUND));
        assert_eq!(client.invoke(bss, "nope", &Fields::new()), (None, status::METHOD_NOT_FOUND));
        assert_eq!(ubusd.calls("iwinfo", "assoclist"), 2);
    }
}

#[test]
fn usteer_is_there_where_it_is_installed_and_says_who_heard_whom() {
    let start_with = |usteer| {
        let mut ubusd = start(Options { usteer, ..Options::default() });
        ubusd.place("phy0-ap0", PHONE, Station::new(-58, Instant::now()));
        let lines = [
            r#"{"do":"overheard","mac":"02:00:00:00:00:08","node":"hostapd.phy0-ap0","signal_dbm":-74}"#,
            r#"{"do":"overheard","mac":"02:00:00:00:00:07","node":"192.168.1.3#hostapd.wlan0","signal_dbm":-80}"#,
        ];
        for line in lines {
            assert_eq!(whichroom_tests::ubusd::command::run(&mut ubusd, line).as_deref(), Ok("done"));
        }
        (Client::connect(&ubusd), ubusd)
    };
    let (mut client, _ubusd) = start_with(true);
    let usteer = client.object("usteer");
    let (data, _) = client.invoke(usteer, "get_clients", &Fields::new());
    let heard = |connected, signal| {
        Value::table([("connected", Value::bool(connected)), ("signal", Value::int(signal))])
    };
    let expected = fields_of([
        (
            "02:00:00:00:00:07",
            Value::table([
                ("hostapd.phy0-ap0", heard(true, -58)),
                ("192.168.1.3#hostapd.wlan0", heard(false, -80)),
            ]),
        ),
        ("02:00:00:00:00:08", Value::table([("hostapd.phy0-ap0", heard(false, -74))])),
    ]);
    assert_eq!(data, Some(expected));
    let (mut client, _ubusd) = start_with(false);
    assert_eq!(client.lookup("usteer").1, status::NOT_FOUND);
}

#[test]
fn calls_without_their_parts_are_refused() {
    let ubusd = start(Options::default());
    let mut client = Client::connect(&ubusd);
    let bss = client.object("hostapd.phy0-ap0");
    let call = || Frame::new(kind::INVOKE, 0, bss);
    let (_, no_data) =
        client.ask(call().number(attribute::OBJID, bss).text(attribute::METHOD, "get_clients"));
    let (_, no_method) = client.ask(call().number(attribute::OBJID, bss).bytes(attribute::DATA, &[]));
    let (_, no_object) =
        client.ask(call().text(attribute::METHOD, "get_clients").bytes(attribute::DATA, &[]));
    assert_eq!([no_data, no_method, no_object], [status::INVALID_ARGUMENT; 3]);
    assert_eq!(client.invoke(0x1234_5678, "x", &Fields::new()).1, status::NOT_FOUND);
}

#[test]
fn a_subscription_delivers_and_a_doubled_one_doubles() {
    let ubusd = start(Options::default());
    let mut client = Client::connect(&ubusd);
    let (own, bss) = (client.add_object(), client.object("hostapd.phy0-ap0"));
    assert_eq!(client.subscribe(own, bss), status::OK);
    assert_eq!(client.subscribe(own, bss), status::OK);
    assert_eq!(ubusd.subscribers("phy0-ap0"), 2);
    ubusd.notify_station("phy0-ap0", "assoc", PHONE, -63);
    for _ in 0..2 {
        let frame = client.read();
        assert_eq!((frame.kind, frame.get(attribute::NO_REPLY)), (kind::INVOKE, Some([1].as_slice())));
        assert_eq!(frame.get_number(attribute::OBJID), Some(own));
        assert_eq!(frame.get_text(attribute::METHOD), Some("assoc"));
        let data = value::decode(frame.get(attribute::DATA).unwrap()).unwrap();
        let expected = fields_of([
            ("address", Value::text("02:00:00:00:00:07")),
            ("ifname", Value::text("phy0-ap0")),
            ("target", Value::text(BSSID.to_string())),
            ("signal", Value::int(-63)),
            ("freq", Value::Int32(5180)),
        ]);
        assert_eq!(data, expected);
    }
    let end = |frame: Frame| frame.number(attribute::OBJID, own).number(attribute::TARGET, bss);
    assert_eq!(client.ask(end(Frame::new(kind::UNSUBSCRIBE, 0, 0))).1, status::OK);
    assert_eq!(ubusd.subscribers("phy0-ap0"), 1);
    assert_eq!(client.subscribe(own, 99), status::NOT_FOUND);
    let (data, removed) = client.ask(Frame::new(kind::REMOVE_OBJECT, 0, 0).number(attribute::OBJID, own));
    assert_eq!((data.len(), removed), (1, status::OK));
    assert_eq!(ubusd.subscribers("phy0-ap0"), 0);
}

#[test]
fn answers_are_recorded_if_they_name_the_object() {
    let ubusd = start(Options::default());
    let mut client = Client::connect(&ubusd);
    let (own, bss) = (client.add_object(), client.object("hostapd.phy0-ap0"));
    client.subscribe(own, bss);
    let probe = fields_of([("address", Value::text("02:00:00:00:00:07"))]);
    assert_eq!(ubusd.notify("phy0-ap0", "probe", &probe, Wanted::Answer), 1);
    let frame = client.read();
    assert_eq!(frame.get(attribute::NO_REPLY), None);
    let nameless = frame.answer(kind::STATUS).number(attribute::STATUS, 0);
    client.write(&nameless);
    client.write(&nameless.clone().number(attribute::OBJID, own));
    ubusd.wait_answers(1);
    let answers = ubusd.answers();
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].method.as_str(), answers[0].status), ("probe", 0));
    assert!(answers[0].after < Duration::from_secs(20));
}

#[test]
fn a_bss_that_goes_and_returns_is_announced_with_a_new_id() {
    let ubusd = start(Options::default());
    let mut client = Client::connect(&ubusd);
    let (events, own, bss) = (client.add_object(), client.add_object(), client.object("hostapd.phy0-ap0"));
    for event in ["ubus.object.add", "ubus.object.remove"] {
        assert_eq!(client.listen(events, event), status::OK);
    }
    client.subscribe(own, bss);
    ubusd.wifi_reload();
    let gone = client.read();
    assert_eq!(gone.kind, kind::UNSUBSCRIBE);
    assert_eq!(
        [gone.get_number(attribute::OBJID), gone.get_number(attribute::TARGET)],
        [Some(own), Some(bss)]
    );
    let mut seen = Vec::new();
    for _ in 0..2 {
        let frame = client.read();
        assert_eq!(frame.get_number(attribute::OBJID), Some(events));
        let data = value::decode(frame.get(attribute::DATA).unwrap()).unwrap();
        assert_eq!(field(&data, "path"), Some(&Value::text("hostapd.phy0-ap0")));
        seen.push((
            frame.get_text(attribute::METHOD).unwrap().to_owned(),
            field(&data, "id").unwrap().as_u32().unwrap(),
        ));
    }
    let new = client.object("hostapd.phy0-ap0");
    assert_eq!(seen, [("ubus.object.remove".to_owned(), bss), ("ubus.object.add".to_owned(), new)]);
    assert_ne!(new, bss);
    assert_eq!(client.subscribe(own, bss), status::NOT_FOUND, "the old id is gone");
}

#[test]
fn stations_come_and_go_with_the_notifications_of_the_release() {
    let sequences = [
        (Release::R22_03, vec!["auth", "assoc"]),
        (Release::R24_10, vec!["auth", "assoc", "sta-authorized"]),
    ];
    for (release, joined) in sequences {
        let ubusd = start(Options { release, ..Options::default() });
        let mut client = Client::connect(&ubusd);
        let (own, bss) = (client.add_object(), client.object("hostapd.phy0-ap0"));
        client.subscribe(own, bss);
        ubusd.join("phy0-ap0", PHONE, -50);
        ubusd.join("phy0-ap0", PHONE, -50);
        ubusd.leave("phy0-ap0", PHONE, Leave::Deauth);
        let mut again = joined.clone();
        again.insert(1, "disassoc");
        let expected = [joined, again, vec!["deauth", "disassoc"]].concat();
        for name in expected {
            assert_eq!(client.read().get_text(attribute::METHOD), Some(name), "{release:?}");
        }
        assert!(ubusd.with_ap(|ap| ap.station("phy0-ap0", PHONE).is_none()));
    }
}

#[test]
fn a_beacon_request_is_answered_by_the_station() {
    let ubusd = start(Options::default());
    let mut client = Client::connect(&ubusd);
    let (own, bss) = (client.add_object(), client.object("hostapd.phy0-ap0"));
    client.subscribe(own, bss);
    ubusd.place("phy0-ap0", PHONE, Station::new(-50, Instant::now()));
    ubusd.set_beacon_report(PHONE, vec![Heard { bssid: BSSID, rcpi: 100 }]);
    let request = |mode| {
        fields_of([
            ("addr", Value::text(PHONE.to_string())),
            ("mode", Value::Int32(mode)),
            ("op_class", Value::Int32(128)),
            ("channel", Value::Int32(255)),
            ("duration", Value::Int32(50)),
        ])
    };
    assert_eq!(client.invoke(bss, "rrm_beacon_req", &request(2)), (None, status::OK));
    let report = client.read();
    assert_eq!(report.get_text(attribute::METHOD), Some("beacon-report"));
    let data = value::decode(report.get(attribute::DATA).unwrap()).unwrap();
    assert_eq!(field(&data, "rcpi"), Some(&Value::Int16(100)));
    ubusd.with_ap(|ap| ap.station("phy0-ap0", PHONE).unwrap().rrm = [0; 5]);
    assert_eq!(client.invoke(bss, "rrm_beacon_req", &request(2)).1, status::INVALID_COMMAND, "incapable");
}

#[test]
fn the_router_knows_names() {
    let ubusd = start(Options::default());
    let lease = Lease { mac: PHONE, address: "192.168.1.9".into(), hostname: Some("phone".into()) };
    ubusd.set_leases(vec![lease]);
    let mut client = Client::connect(&ubusd);
    let rpc = client.object("luci-rpc");
    let hints = client.invoke(rpc, "getHostHints", &Fields::new()).0.unwrap();
    assert!(matches!(field(&hints, "02:00:00:00:00:07"), Some(Value::Table(_))));
    let leases = client.invoke(rpc, "getDHCPLeases", &Fields::new()).0.unwrap();
    assert!(matches!(field(&leases, "dhcp_leases"), Some(Value::Array(leases)) if leases.len() == 1));
}

#[test]
fn a_slow_process_delays_its_own_calls_only_and_a_silent_one_never_answers() {
    let ubusd = start(Options::default());
    let mut client = Client::connect(&ubusd);
    let (iwinfo, bss) = (client.object("iwinfo"), client.object("hostapd.phy0-ap0"));
    ubusd.set_pace(Process::Rpcd, Pace::Slow(Duration::from_millis(300)));
    let begun = Instant::now();
    assert_eq!(client.invoke(iwinfo, "devices", &Fields::new()).1, status::OK);
    assert!(begun.elapsed() >= Duration::from_millis(300));

    ubusd.set_pace(Process::Rpcd, Pace::Silent);
    let call = Frame::new(kind::INVOKE, 900, iwinfo).number(attribute::OBJID, iwinfo);
    client.write(&call.text(attribute::METHOD, "devices").bytes(attribute::DATA, &[]));
    ubusd.wait_calls("iwinfo", "devices", 2);
    assert_eq!(
        client.invoke(bss, "get_clients", &Fields::new()).1,
        status::OK,
        "the next answer is hostapd's"
    );
}

#[test]
fn replaced_answers_are_sent_as_they_are() {
    let ubusd = start(Options::default());
    let mut client = Client::connect(&ubusd);
    let bss = client.object("hostapd.phy0-ap0");
    ubusd.set_answer("hostapd.phy0-ap0", "get_clients", Some(Override::Raw(vec![0xff; 7])));
    let call = Frame::new(kind::INVOKE, 0, bss).number(attribute::OBJID, bss);
    let (data, _) = client.ask(call.text(attribute::METHOD, "get_clients").bytes(attribute::DATA, &[]));
    assert_eq!(data[0].get(attribute::DATA), Some([0xff; 7].as_slice()));
    ubusd.set_answer("hostapd.phy0-ap0", "get_clients", Some(Override::Status(9)));
    assert_eq!(client.invoke(bss, "get_clients", &Fields::new()), (None, 9));
}

#[test]
fn a_restart_breaks_connections_and_changes_ids() {
    let mut ubusd = start(Options::default());
    let mut client = Client::connect(&ubusd);
    let before = client.object("hostapd.phy0-ap0");
    ubusd.stop();
    assert_eq!(client.stream.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(UnixStream::connect(ubusd.path()).unwrap_err().kind(), ErrorKind::NotFound);
    ubusd.start_again().unwrap();
    let mut client = Client::connect(&ubusd);
    assert_ne!(client.object("hostapd.phy0-ap0"), before);
}

#[test]
fn lengths_out_of_bounds_disconnect() {
    let ubusd = start(Options::default());
    for length in [0_u32, 3, 1_048_577] {
        let mut client = Client::connect(&ubusd);
        let header = [&[0, 3, 0, 1, 0, 0, 0, 0], length.to_be_bytes().as_slice()].concat();
        client.stream.write_all(&header).unwrap();
        assert_eq!(client.stream.read(&mut [0]).unwrap_or(0), 0, "{length}");
    }
    let mut client = Client::connect(&ubusd);
    let largest = Frame { body: vec![0; BLOB_MAX - 4], ..Frame::new(kind::PING, 1, 0) };
    client.write(&largest);
    assert_eq!(client.read().body.len(), BLOB_MAX - 4);
}

#[test]
fn who_does_not_read_loses_messages_and_stays_connected() {
    let ubusd = start(Options::default());
    let mut client = Client::connect(&ubusd);
    let (own, bss) = (client.add_object(), client.object("hostapd.phy0-ap0"));
    client.subscribe(own, bss);
    let big = fields_of([("address", Value::text(vec![b'x'; 4_000]))]);
    for _ in 0..3_000 {
        ubusd.notify("phy0-ap0", "probe", &big, Wanted::Nothing);
    }
    assert!(ubusd.dropped() > 1_000, "{}", ubusd.dropped());
    let received = 3_000 - ubusd.dropped();
    for _ in 0..received {
        assert_eq!(client.read().kind, kind::INVOKE);
    }
    assert_eq!(client.ask(Frame::new(kind::PING, 0, 0)).1, status::OK);
}

#[test]
fn silent_subscriptions_are_accepted_and_never_served() {
    let ubusd = start(Options::default());
    ubusd.set_silent_subscriptions(true);
    let mut client = Client::connect(&ubusd);
    let (own, bss) = (client.add_object(), client.object("hostapd.phy0-ap0"));
    assert_eq!(client.subscribe(own, bss), status::OK);
    ubusd.join("phy0-ap0", PHONE, -50);
    assert_eq!(client.ask(Frame::new(kind::PING, 0, 0)).1, status::OK, "nothing came before the answer");
}

#[test]
fn clients_can_call_and_notify_each_other() {
    let ubusd = start(Options::default());
    let (mut provider, mut client) = (Client::connect(&ubusd), Client::connect(&ubusd));
    let signature = value::encode(&fields_of([("status", Value::Table(Fields::new()))]));
    let add = Frame::new(kind::ADD_OBJECT, 0, 0).text(attribute::OBJPATH, "mine");
    let (data, _) = provider.ask(add.bytes(attribute::SIGNATURE, &signature));
    let object = data[0].get_number(attribute::OBJID).unwrap();
    assert!(data[0].get_number(attribute::OBJTYPE).is_some());

    let call = Frame::new(kind::INVOKE, 77, object).number(attribute::OBJID, object);
    client.write(&call.text(attribute::METHOD, "status").bytes(attribute::DATA, &[]));
    let relayed = provider.read();
    assert_eq!(
        (relayed.get_text(attribute::METHOD), relayed.get_text(attribute::USER)),
        (Some("status"), Some("root"))
    );
    provider
        .write(&relayed.answer(kind::STATUS).number(attribute::STATUS, 0).number(attribute::OBJID, object));
    let answer = client.read();
    assert_eq!((answer.kind, answer.seq, answer.peer), (kind::STATUS, 77, object));

    let own = client.add_object();
    assert_eq!(client.subscribe(own, object), status::OK);
    let active = provider.read();
    assert_eq!((active.kind, active.get(attribute::ACTIVE)), (kind::NOTIFY, Some([1].as_slice())));
    let notify =
        Frame::new(kind::NOTIFY, 5, 0).number(attribute::OBJID, object).text(attribute::METHOD, "tick");
    provider.write(&notify.bytes(attribute::DATA, &[]));
    let listed = provider.read();
    assert_eq!(
        listed.get(attribute::SUBSCRIBERS),
        Some([[0, 0, 0, 8], own.to_be_bytes()].concat().as_slice())
    );
    assert_eq!(client.read().get_text(attribute::METHOD), Some("tick"));
    drop(provider);
    assert_eq!(client.read().kind, kind::UNSUBSCRIBE);
}
