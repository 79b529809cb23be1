//! The router's rules, and that no bytes and no order of packets break it.

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData};
use mqtt_protocol_core::mqtt::packet::v5_0::Publish;
use proptest::prelude::*;

use super::*;
use crate::options::Secret;

/// Packets of MQTT 5 as a client writes them.
mod client {
    pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        let mut left = body.len();
        loop {
            let low = (left % 128) as u8;
            left /= 128;
            out.push(if left > 0 { low | 0x80 } else { low });
            if left == 0 {
                break;
            }
        }
        out.extend(body);
        out
    }

    pub(super) fn string(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u16).to_be_bytes());
        out.extend(text.as_bytes());
    }

    pub(super) struct Connect<'a> {
        pub(super) level: u8,
        pub(super) client_id: &'a str,
        pub(super) clean: bool,
        pub(super) keep_alive_s: u16,
        pub(super) will: Option<&'a str>,
        pub(super) login: Option<(&'a str, &'a str)>,
        pub(super) expiry_s: u32,
        pub(super) receive_max: u16,
    }

    pub(super) const CONNECT: Connect<'_> = Connect {
        level: 5,
        client_id: "client",
        clean: true,
        keep_alive_s: 10,
        will: None,
        login: None,
        expiry_s: 0,
        receive_max: 65_535,
    };

    impl Connect<'_> {
        pub(super) fn bytes(&self) -> Vec<u8> {
            let flags = u8::from(self.clean) << 1
                | if self.will.is_some() { 0b0000_1100 } else { 0 }
                | if self.login.is_some() { 0b1100_0000 } else { 0 };
            let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', self.level, flags];
            body.extend(self.keep_alive_s.to_be_bytes());
            if self.level == 5 {
                body.extend([8, 17]);
                body.extend(self.expiry_s.to_be_bytes());
                body.push(33);
                body.extend(self.receive_max.to_be_bytes());
            }
            string(&mut body, self.client_id);
            if let Some(topic) = self.will {
                if self.level == 5 {
                    body.push(0);
                }
                string(&mut body, topic);
                string(&mut body, "gone");
            }
            if let Some((name, password)) = self.login {
                string(&mut body, name);
                string(&mut body, password);
            }
            packet(0x10, &body)
        }
    }

    pub(super) fn subscribe(level: u8, filter: &str, qos: u8) -> Vec<u8> {
        let mut body = vec![0, 1];
        body.extend((level == 5).then_some(0));
        string(&mut body, filter);
        body.push(qos);
        packet(0x82, &body)
    }

    pub(super) fn publish(level: u8, topic: &str, payload: &[u8], qos: u8, retain: bool) -> Vec<u8> {
        let mut body = Vec::new();
        string(&mut body, topic);
        if qos > 0 {
            body.extend([0, 9]);
        }
        body.extend((level == 5).then_some(0));
        body.extend(payload);
        packet(0x30 | qos << 1 | u8::from(retain), &body)
    }
}

use client::{CONNECT, Connect};

/// What a connection got.
#[derive(Debug, Default)]
struct Got {
    /// First bytes and bodies.
    packets: Vec<(u8, Vec<u8>)>,
    bytes: usize,
    closed: bool,
}

impl Got {
    fn kinds(&self) -> Vec<u8> {
        self.packets.iter().map(|(first, _)| first >> 4).collect()
    }

    /// Topics of the messages.
    fn topics(&self) -> Vec<String> {
        let publishes = self.packets.iter().filter(|(first, _)| first >> 4 == 3);
        publishes
            .map(|(first, body)| {
                let (packet, _) = Publish::parse(first & 15, body.as_slice().into()).unwrap();
                packet.topic_name().to_owned()
            })
            .collect()
    }

    fn only(&self) -> &(u8, Vec<u8>) {
        assert_eq!(self.packets.len(), 1, "{self:?}");
        &self.packets[0]
    }
}

struct Test {
    router: Router,
    now_ms: u64,
    got: BTreeMap<ConnectionId, Got>,
}

impl Test {
    fn new(users: Vec<User>, limits: Limits) -> Test {
        Test { router: Router::new(users, limits), now_ms: 1_000, got: BTreeMap::new() }
    }

    fn open(&mut self, id: u64) -> ConnectionId {
        let id = ConnectionId(id);
        self.got.insert(id, Got::default());
        self.router.handle_opened(id, "peer".into(), self.now_ms);
        self.take_effects();
        id
    }

    /// Connects, and forgets the answer.
    fn connect(&mut self, id: u64, connect: &Connect<'_>) -> ConnectionId {
        let id = self.open(id);
        assert_eq!(self.send(id, &connect.bytes()).packets[0].1[1], 0, "refused");
        id
    }

    /// What came for this connection because of these bytes and before.
    fn send(&mut self, id: ConnectionId, bytes: &[u8]) -> Got {
        self.router.handle_bytes(id, bytes, self.now_ms);
        self.take_effects();
        self.got(id)
    }

    fn got(&mut self, id: ConnectionId) -> Got {
        std::mem::take(self.got.get_mut(&id).unwrap())
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(at_ms) = self.router.poll_timeout().filter(|at_ms| *at_ms <= end) {
            self.now_ms = at_ms.max(self.now_ms);
            self.router.handle_timeout(self.now_ms);
            self.take_effects();
        }
        self.now_ms = end;
    }

    fn take_effects(&mut self) {
        while let Some(effect) = self.router.poll_effect() {
            match effect {
                Effect::Send { connection, bytes } => {
                    let got = self.got.get_mut(&connection).expect("bytes for nobody");
                    assert!(!got.closed, "bytes after the end");
                    got.bytes += bytes.len();
                    got.packets.push(whole_packet(&bytes));
                }
                Effect::Close { connection } => {
                    let got = self.got.get_mut(&connection).expect("end of nobody");
                    assert!(!std::mem::replace(&mut got.closed, true), "closed twice");
                }
            }
        }
    }

    /// As if everything had been written, until nothing comes any more.
    fn write_all(&mut self, id: ConnectionId) -> Got {
        let mut all = Got::default();
        loop {
            let got = self.got(id);
            if got.packets.is_empty() {
                return all;
            }
            self.router.handle_written(id, got.bytes, self.now_ms);
            self.take_effects();
            all.packets.extend(got.packets);
        }
    }
}

/// Each effect is one packet, and all of it.
fn whole_packet(bytes: &[u8]) -> (u8, Vec<u8>) {
    let mut cursor = Cursor::new(bytes);
    let mut builder = PacketBuilder::new();
    loop {
        match builder.feed(&mut cursor) {
            PacketBuildResult::Complete(raw) => {
                assert_eq!(cursor.position() as usize, bytes.len(), "more than one packet");
                let body = match &raw.data {
                    PacketData::Normal(body) => body.clone(),
                    PacketData::Publish(body) => body.to_vec(),
                };
                return (raw.packet_type() << 4 | raw.flags(), body);
            }
            PacketBuildResult::Incomplete if (cursor.position() as usize) < bytes.len() => {}
            PacketBuildResult::Incomplete | PacketBuildResult::Error(_) => panic!("no packet: {bytes:?}"),
        }
    }
}

fn users() -> Vec<User> {
    let user = |name: &str, publish: &str, subscribe: &str| User {
        name: name.into(),
        password: Secret::new("secret"),
        publish: vec![publish.into()],
        subscribe: vec![subscribe.into()],
    };
    vec![user("kitchen", "home/ap/kitchen/#", "home/tracked"), user("all", "#", "#")]
}

fn as_user<'a>(name: &'a str, client_id: &'a str) -> Connect<'a> {
    Connect { login: Some((name, "secret")), client_id, ..CONNECT }
}

#[test]
fn a_user_publishes_only_to_its_own_topics() {
    let mut test = Test::new(users(), Limits::default());
    let reader = test.connect(1, &as_user("all", "reader"));
    test.send(reader, &client::subscribe(5, "#", 1));
    let kitchen = test.connect(2, &as_user("kitchen", "kitchen"));
    assert_eq!(
        test.send(kitchen, &client::publish(5, "home/ap/kitchen/status", b"x", 1, false)).only().1,
        [0, 9, 0]
    );
    assert_eq!(test.got(reader).topics(), ["home/ap/kitchen/status"]);
    let not_authorised = [0, 9, 0x87];
    assert_eq!(
        test.send(kitchen, &client::publish(5, "home/ap/garden/status", b"x", 1, true)).only().1,
        not_authorised
    );
    let old = test.connect(3, &Connect { level: 4, ..as_user("kitchen", "old") });
    let acked = test.send(old, &client::publish(4, "home/ap/garden/status", b"x", 1, true));
    assert_eq!(acked.only().1, [0, 9], "MQTT 3.1.1 has no word for it");
    assert_eq!(test.got(reader).topics(), [""; 0]);
    assert_eq!((test.router.counts().refused, test.router.counts().retained), (2, 0));
}

#[test]
fn a_user_subscribes_only_within_its_own_filters() {
    let mut test = Test::new(users(), Limits::default());
    let kitchen = test.connect(1, &as_user("kitchen", "kitchen"));
    for (filter, answer) in [("home/tracked", 1), ("home/+", 0x87), ("#", 0x87), ("home/tracked/#", 0x87)] {
        assert_eq!(
            test.send(kitchen, &client::subscribe(5, filter, 1)).only().1,
            [0, 1, 0, answer],
            "{filter}"
        );
    }
}

#[test]
fn a_will_on_a_forbidden_topic_is_not_published() {
    let mut test = Test::new(users(), Limits::default());
    let reader = test.connect(1, &as_user("all", "reader"));
    test.send(reader, &client::subscribe(5, "#", 1));
    for (id, topic) in [(2, "home/ap/garden/status"), (3, "home/ap/kitchen/status")] {
        let kitchen = test.connect(id, &Connect { will: Some(topic), ..as_user("kitchen", "kitchen") });
        test.router.handle_closed(kitchen, test.now_ms);
        test.take_effects();
    }
    assert_eq!(test.got(reader).topics(), ["home/ap/kitchen/status"]);
}

#[test]
fn nobody_takes_over_the_session_of_another_user() {
    let mut test = Test::new(users(), Limits::default());
    let first = test.connect(1, &Connect { clean: false, expiry_s: 60, ..as_user("all", "same") });
    let thief = test.open(2);
    let refused = test.send(thief, &as_user("kitchen", "same").bytes());
    assert_eq!((refused.only().1[1], refused.closed), (0x87, true));
    assert!(!test.got(first).closed);
    test.router.handle_closed(first, test.now_ms);
    test.take_effects();
    let thief = test.open(3);
    assert_eq!(test.send(thief, &as_user("kitchen", "same").bytes()).only().1[1], 0x87);
}

#[test]
fn a_small_window_is_honoured_and_everything_arrives() {
    let mut test = Test::new(Vec::new(), Limits::default());
    let publisher = test.connect(1, &Connect { client_id: "publisher", ..CONNECT });
    for n in 0..1000 {
        test.send(publisher, &client::publish(5, &format!("a/{n}"), b"x", 0, true));
        test.send(publisher, &client::publish(5, &format!("a/{n}"), b"x", 1, true));
    }
    let reader = test.connect(2, &Connect { receive_max: 3, ..CONNECT });
    let mut got = test.send(reader, &client::subscribe(5, "a/+", 1));
    assert_eq!(got.kinds(), [9, 3, 3, 3]);
    let mut topics = got.topics();
    while let Some((_, body)) = got.packets.iter().find(|(first, _)| first >> 4 == 3) {
        let id = &body[2 + body[1] as usize..][..2];
        got = test.send(reader, &client::packet(0x40, id));
        test.router.handle_written(reader, got.bytes, test.now_ms);
        topics.extend(got.topics());
    }
    // Each acknowledgement makes room for one; the last two of each window were not looked at.
    assert!(topics.len() > 300, "{}", topics.len());
    topics.dedup();
    assert_eq!(test.router.sessions["client"].queued() + topics.len(), 1000);
}

#[test]
fn a_client_that_reads_nothing_is_let_go_and_costs_no_other() {
    let limits = Limits { queued_messages: 100, ..Limits::default() };
    let mut test = Test::new(Vec::new(), limits);
    let stuck = test.connect(1, &Connect { client_id: "stuck", ..CONNECT });
    let reader = test.connect(2, &Connect { client_id: "reader", ..CONNECT });
    for id in [stuck, reader] {
        test.send(id, &client::subscribe(5, "#", 0));
        test.write_all(id);
    }
    let publisher = test.connect(3, &Connect { client_id: "publisher", ..CONNECT });
    let mut delivered = 0;
    for _ in 0..500 {
        test.send(publisher, &client::publish(5, "a", &[0; 1000], 0, false));
        delivered += test.write_all(reader).packets.len();
    }
    let stuck = test.got(stuck);
    assert!(stuck.closed && stuck.bytes < UNWRITTEN_BYTES + 2_000, "{} bytes unwritten", stuck.bytes);
    assert_eq!(
        stuck.packets.last().map(|(first, body)| (*first, body[0])),
        Some((0xe0, 0x97)),
        "is told why"
    );
    assert_eq!((delivered, test.router.counts().too_slow), (500, 1));
}

#[test]
fn who_asks_and_does_not_read_is_let_go() {
    let mut test = Test::new(Vec::new(), Limits::default());
    let id = test.connect(1, &CONNECT);
    let pings = client::packet(0xc0, &[]).repeat(1_000);
    let closed = (0..5_000).any(|_| test.send(id, &pings).closed);
    assert!(closed, "answers pile up without end");
}

#[test]
fn what_cannot_be_retained_is_delivered_and_said() {
    let limits = Limits { retained_messages: 2, ..Limits::default() };
    let mut test = Test::new(Vec::new(), limits);
    let reader = test.connect(1, &Connect { client_id: "reader", ..CONNECT });
    test.send(reader, &client::subscribe(5, "#", 0));
    let id = test.connect(2, &CONNECT);
    for (topic, answer) in [("a", 0), ("b", 0), ("c", 0x97), ("a", 0)] {
        assert_eq!(
            test.send(id, &client::publish(5, topic, b"x", 1, true)).only().1,
            [0, 9, answer],
            "{topic}"
        );
    }
    assert_eq!(test.got(reader).topics(), ["a", "b", "c", "a"]);
    // What is removed makes room, in messages and in bytes.
    for topic in ["a", "b"] {
        test.send(id, &client::publish(5, topic, b"", 1, true));
    }
    assert_eq!((test.router.counts().retained, test.router.counts().retained_bytes), (0, 0));
}

#[test]
fn limits_of_clients_sessions_and_subscriptions() {
    let limits = Limits { clients: 2, sessions: 3, subscriptions: 2, ..Limits::default() };
    let mut test = Test::new(Vec::new(), limits);
    for (id, client_id) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        let id = test.connect(id, &Connect { client_id, clean: false, expiry_s: 60, ..CONNECT });
        test.router.handle_closed(id, test.now_ms);
        test.take_effects();
        test.pass(1_000);
    }
    let kept: Vec<_> = test.router.sessions.keys().cloned().collect();
    assert_eq!(kept, ["b", "c", "d"], "the one that was left longest ago makes room");
    let id = test.connect(5, &CONNECT);
    for (filter, answer) in [("a", 1), ("b", 1), ("c", 0x97), ("a", 1)] {
        assert_eq!(test.send(id, &client::subscribe(5, filter, 1)).only().1[3], answer, "{filter}");
    }
    test.connect(6, &Connect { client_id: "other", ..CONNECT });
    let one_too_many = test.open(7);
    assert!(test.got(one_too_many).closed);
}

#[test]
fn asking_for_everything_many_times_costs_no_more_than_the_limits() {
    let limits = Limits { queued_messages: 500, ..Limits::default() };
    let mut test = Test::new(Vec::new(), limits);
    let id = test.connect(1, &CONNECT);
    for n in 0..400 {
        test.send(id, &client::publish(5, &n.to_string(), b"x", 0, true));
    }
    let mut body = vec![0, 1, 0];
    for _ in 0..1_000 {
        client::string(&mut body, "#");
        body.push(1);
    }
    let got = test.send(id, &client::packet(0x82, &body));
    let answers = &got.packets[0].1[3..];
    assert_eq!((answers[99], answers[100], answers.len()), (1, 0x97, 1_000));
    assert!(got.closed && got.bytes < UNWRITTEN_BYTES + 2_000, "{} bytes", got.bytes);
}

#[test]
fn silence_ends_a_connection_after_one_and_a_half_times_keep_alive() {
    let mut test = Test::new(Vec::new(), Limits::default());
    let opening = test.open(1);
    let id = test.connect(2, &CONNECT);
    test.pass(9_999);
    test.send(id, &client::packet(0xc0, &[]));
    assert!(!test.got(opening).closed);
    test.pass(1);
    assert!(test.got(opening).closed, "never said who it is");
    test.pass(14_998);
    assert!(!test.got(id).closed);
    test.pass(1);
    let got = test.got(id);
    assert_eq!((got.closed, got.only().1[0]), (true, 0x8d));
}

#[test]
fn half_a_packet_is_no_sign_of_life() {
    let mut test = Test::new(Vec::new(), Limits::default());
    let id = test.connect(1, &CONNECT);
    for _ in 0..20 {
        test.send(id, &[0x30]);
        test.send(id, &[0x7f]);
        test.pass(1_000);
    }
    assert!(test.router.connections.is_empty());
}

#[test]
fn a_session_is_not_kept_longer_than_the_limit() {
    let limits = Limits { session_expiry_s: 100, ..Limits::default() };
    let mut test = Test::new(Vec::new(), limits);
    for level in [4, 5] {
        let id = test.connect(level.into(), &Connect { level, clean: false, expiry_s: u32::MAX, ..CONNECT });
        test.router.handle_closed(id, test.now_ms);
        test.take_effects();
        test.pass(99_000);
        assert_eq!(test.router.sessions.len(), 1);
        test.pass(1_000);
        assert_eq!(test.router.sessions.len(), 0);
    }
}

#[test]
fn what_is_no_mqtt_or_comes_at_the_wrong_time_ends_the_connection() {
    let mut test = Test::new(Vec::new(), Limits::default());
    let first: [Vec<u8>; 5] = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        client::packet(0xc0, &[]),
        client::publish(5, "a", b"x", 0, false),
        Connect { will: Some("a/#"), ..CONNECT }.bytes(),
        Connect { level: 9, ..CONNECT }.bytes(),
    ];
    for (id, bytes) in (1..).zip(first) {
        let id = test.open(id);
        assert!(test.send(id, &bytes).closed, "{bytes:?}");
    }
    let then: [Vec<u8>; 6] = [
        CONNECT.bytes(),
        client::packet(0x80, &[0, 1, 0, 0, 1, b'a', 0]),
        client::packet(0x82, &[0, 0, 0, 0, 1, b'a', 0]),
        client::packet(0xf0, &[]),
        client::packet(0x38, &[0, 1, b'a', 0]),
        vec![0x30, 0xff, 0xff, 0xff, 0xff, 0xff],
    ];
    for (id, bytes) in (10..).zip(then) {
        let id = test.connect(id, &CONNECT);
        assert!(test.send(id, &bytes).closed, "{bytes:?}");
    }
}

/// Whatever happens to the router.
#[derive(Debug, Clone)]
enum Step {
    Open,
    Connect { level: u8, name: u8, clean: bool, keep: bool, will: bool, receive_max: u16 },
    Subscribe { filter: String, qos: u8 },
    Unsubscribe { filter: String },
    Publish { topic: String, length: usize, qos: u8, retain: bool },
    Ack { first: u8, id: u16 },
    Goodbye,
    Bytes(Vec<u8>),
    Closed,
    Written,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let filter = "([ab+]/){0,1}[ab+#$]";
    let topic = "([ab]/){0,1}[ab$+]";
    let connect = (4u8..6, 0u8..3, any::<bool>(), any::<bool>(), any::<bool>(), 0u16..4);
    let step = prop_oneof![
        2 => Just(Step::Open),
        4 => connect.prop_map(|(level, name, clean, keep, will, receive_max)| Step::Connect {
            level, name, clean, keep, will, receive_max
        }),
        4 => (filter, 0u8..4).prop_map(|(filter, qos)| Step::Subscribe { filter, qos }),
        1 => filter.prop_map(|filter| Step::Unsubscribe { filter }),
        8 => (topic, 0usize..300, 0u8..4, any::<bool>())
            .prop_map(|(topic, length, qos, retain)| Step::Publish { topic, length, qos, retain }),
        4 => (prop::sample::select(vec![0x40u8, 0x50, 0x62, 0x70, 0xc0]), 0u16..5)
            .prop_map(|(first, id)| Step::Ack { first, id }),
        1 => Just(Step::Goodbye),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Bytes),
        1 => Just(Step::Closed),
        4 => Just(Step::Written),
        2 => (0u64..20_000).prop_map(Step::Pass),
    ];
    prop::collection::vec((0u64..4, step), 0..120)
}

fn small() -> Limits {
    Limits {
        clients: 3,
        sessions: 3,
        subscriptions: 2,
        packet_bytes: 400,
        retained_messages: 3,
        retained_bytes: 500,
        queued_messages: 5,
        queued_bytes: 1_000,
        in_flight: 2,
        session_expiry_s: 30,
        ..Limits::default()
    }
}

fn take(test: &mut Test, connection: u64, step: &Step) {
    let id = ConnectionId(connection);
    if !test.got.contains_key(&id) || matches!(step, Step::Open) {
        if !test.router.connections.contains_key(&id) {
            test.open(connection);
        }
        return;
    }
    let level = match test.router.version(id) {
        Some(Version::V4) => 4,
        _ => 5,
    };
    let bytes = match step {
        Step::Connect { level, name, clean, keep, will, receive_max } => Connect {
            level: *level,
            client_id: ["", "x", "y"][usize::from(*name)],
            clean: *clean,
            expiry_s: if *keep { 60 } else { 0 },
            will: will.then_some("a/b"),
            receive_max: *receive_max,
            ..CONNECT
        }
        .bytes(),
        Step::Subscribe { filter, qos } => client::subscribe(level, filter, *qos),
        Step::Unsubscribe { filter } => {
            let mut body = vec![0, 1];
            body.extend((level == 5).then_some(0));
            client::string(&mut body, filter);
            client::packet(0xa2, &body)
        }
        Step::Publish { topic, length, qos, retain } => {
            client::publish(level, topic, &vec![7; *length], *qos, *retain)
        }
        Step::Ack { first: 0xc0, .. } => client::packet(0xc0, &[]),
        Step::Ack { first, id } => client::packet(*first, &id.to_be_bytes()),
        Step::Goodbye => client::packet(0xe0, &[]),
        Step::Bytes(bytes) => bytes.clone(),
        Step::Closed => return test.router.handle_closed(id, test.now_ms),
        Step::Written => {
            let bytes = test.got(id).bytes;
            return test.router.handle_written(id, bytes, test.now_ms);
        }
        Step::Pass(ms) => return test.pass(*ms),
        Step::Open => return,
    };
    test.router.handle_bytes(id, &bytes, test.now_ms);
}

proptest! {
    /// No bytes of strangers panic, whether in one piece or in many, before CONNECT or after.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), connected in any::<bool>(), level in 4u8..6, cut in 1usize..20) {
        let mut test = Test::new(Vec::new(), small());
        let id = test.open(1);
        if connected {
            test.send(id, &Connect { level, ..CONNECT }.bytes());
        }
        for piece in bytes.chunks(cut) {
            test.router.handle_bytes(id, piece, test.now_ms);
            test.take_effects();
        }
    }

    /// A CONNECT with some bytes changed.
    #[test]
    fn any_connect(changes in prop::collection::vec((0usize..60, any::<u8>()), 0..4), level in 4u8..6) {
        let mut test = Test::new(users(), small());
        let id = test.open(1);
        let mut bytes = Connect { level, will: Some("a/b"), login: Some(("all", "secret")), ..CONNECT }.bytes();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        test.send(id, &bytes);
    }

    /// No order of packets, losses and waits panics, writes to a closed connection, or grows beyond the limits.
    #[test]
    fn any_order(steps in steps()) {
        let limits = small();
        let mut test = Test::new(Vec::new(), limits.clone());
        for (connection, step) in steps {
            take(&mut test, connection, &step);
            test.take_effects();
            let counts = test.router.counts();
            prop_assert!(counts.clients <= limits.clients && counts.sessions <= limits.sessions, "{counts:?}");
            prop_assert!(counts.retained <= limits.retained_messages, "{counts:?}");
            prop_assert!(counts.retained_bytes <= limits.retained_bytes, "{counts:?}");
            for (client_id, session) in &test.router.sessions {
                prop_assert!(session.queued() <= limits.queued_messages, "{client_id}: {}", session.queued());
                prop_assert!(session.queued_bytes() <= limits.queued_bytes);
                prop_assert!(session.subscriptions.len() <= limits.subscriptions);
                // A session is connected or waits for its end.
                prop_assert_eq!(session.connection.is_some(), session.expires_at_ms.is_none());
            }
        }
    }
}
