//! For the tests: an access point in memory. A [`Router`] speaks ubus's bytes and plays hostapd and iwinfo, an
//! [`Agent`] runs the core against it and against a broker, in virtual time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use whichroom_ubus::blobmsg::{Value, Writer};
use whichroom_ubus::message::{Attribute, Builder, Decoder, Kind, Message};
use whichroom_wire::{AgentMessage, EventWhat, Events, Radio, Station, Status, Topic};

use crate::collector::Action;
use crate::core::{Config, Core, Effect, Probes, Refusal};
use crate::outbox::Slot;

/// Writes JSON as rpcd and hostapd would: whole numbers of 32 bits where they fit, booleans of 8.
pub(crate) fn blobmsg(json: &Json) -> Writer {
    let mut writer = Writer::new();
    for (name, value) in json.as_object().into_iter().flatten() {
        put(&mut writer, name, value);
    }
    writer
}

fn put(writer: &mut Writer, name: &str, value: &Json) {
    match value {
        Json::Null => writer.put(name.as_bytes(), Value::Unspec),
        Json::Bool(value) => writer.boolean(name, *value),
        Json::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            let value = i32::try_from(number).map_or(Value::I64(number), Value::I32);
            writer.put(name.as_bytes(), value)
        }
        Json::String(text) => writer.string(name, text),
        Json::Array(values) => {
            writer.array(name, |inner| values.iter().for_each(|value| put(inner, "", value)))
        }
        Json::Object(fields) => {
            writer.table(name, |inner| fields.iter().for_each(|(name, value)| put(inner, name, value)))
        }
    };
}

/// How a method answers.
pub(crate) enum Answer {
    Data(Writer),
    Status(u32),
    Nothing,
}

impl Answer {
    pub(crate) fn json(text: &str) -> Answer {
        Answer::Data(blobmsg(&serde_json::from_str(text).unwrap()))
    }
}

/// ubusd and what is behind it.
#[derive(Default)]
pub(crate) struct Router {
    objects: BTreeMap<String, u32>,
    methods: BTreeMap<(String, String), Answer>,
    subscriptions: Vec<(u32, u32)>,
    listeners: BTreeMap<String, u32>,
    /// Paths that the access rules hide.
    pub(crate) hidden: BTreeSet<String>,
    /// It accepts subscriptions and never notifies.
    pub(crate) silent: bool,
    next_id: u32,
    seq: u16,
    /// Every call: object and method.
    pub(crate) calls: Vec<(String, String)>,
    /// Every request for a beacon report: mode, operating class and channel.
    pub(crate) measurements: Vec<[u64; 3]>,
    outgoing: Vec<u8>,
}

impl Router {
    pub(crate) fn add(&mut self, path: &str) {
        self.next_id += 0x0100_0001;
        self.objects.insert(path.to_owned(), self.next_id);
        self.announce("ubus.object.add", path, self.next_id);
    }

    pub(crate) fn remove(&mut self, path: &str) {
        let Some(id) = self.objects.remove(path) else { return };
        for (own, _) in
            std::mem::take(&mut self.subscriptions).into_iter().filter(|(_, target)| *target == id)
        {
            let mut builder = Builder::new(Kind::Unsubscribe, 1, 0);
            builder.number(Attribute::ObjId, own).number(Attribute::Target, id);
            self.outgoing.extend(builder.finish());
        }
        self.announce("ubus.object.remove", path, id);
    }

    fn announce(&mut self, event: &str, path: &str, id: u32) {
        let Some(own) = self.listeners.get(event) else { return };
        let mut data = Writer::new();
        data.int32("id", id).string("path", path);
        let mut builder = Builder::new(Kind::Invoke, 1, 0);
        builder.number(Attribute::ObjId, *own).string(Attribute::Method, event);
        builder.bytes(Attribute::Data, data.as_bytes());
        self.outgoing.extend(builder.finish());
    }

    pub(crate) fn answers(&mut self, path: &str, method: &str, answer: Answer) {
        self.methods.insert((path.to_owned(), method.to_owned()), answer);
    }

    /// Sends a notification of a BSS.
    pub(crate) fn notify(&mut self, path: &str, name: &str, json: &Json) {
        let Some(id) = self.objects.get(path) else { return };
        if self.silent {
            return;
        }
        for (own, _) in self.subscriptions.iter().filter(|(_, target)| target == id) {
            self.seq = self.seq.wrapping_add(1);
            let mut builder = Builder::new(Kind::Invoke, self.seq, 7);
            builder
                .bytes(Attribute::NoReply, &[1])
                .number(Attribute::ObjId, *own)
                .string(Attribute::Method, name);
            builder.bytes(Attribute::Data, blobmsg(json).as_bytes());
            self.outgoing.extend(builder.finish());
        }
    }

    /// What a restart of ubusd does to it.
    fn forget(&mut self) {
        self.subscriptions.clear();
        self.listeners.clear();
        self.outgoing.clear();
        let paths: Vec<String> = self.objects.keys().cloned().collect();
        for path in paths {
            self.next_id += 0x0100_0001;
            self.objects.insert(path, self.next_id);
        }
    }

    fn handle(&mut self, bytes: &[u8]) {
        let mut decoder = Decoder::new();
        decoder.push(bytes);
        while let Some(message) = decoder.next_message().unwrap() {
            let status = self.handle_message(message);
            let Some(status) = status else { continue };
            let mut builder = Builder::new(Kind::Status, message.seq, message.peer);
            builder.number(Attribute::Status, status);
            self.outgoing.extend(builder.finish());
        }
    }

    fn reply(&mut self, to: Message<'_>, fill: impl FnOnce(&mut Builder)) {
        let mut builder = Builder::new(Kind::Data, to.seq, to.peer);
        fill(&mut builder);
        self.outgoing.extend(builder.finish());
    }

    fn handle_message(&mut self, message: Message<'_>) -> Option<u32> {
        let attributes = message.attributes();
        match message.kind {
            Kind::Lookup => Some(self.handle_lookup(message)),
            Kind::AddObject => {
                self.next_id += 1;
                let id = self.next_id;
                self.reply(message, |builder| {
                    builder.number(Attribute::ObjId, id);
                });
                Some(0)
            }
            Kind::Subscribe => {
                let (own, target) = (attributes.objid()?, attributes.target()?);
                let known =
                    self.objects.iter().any(|(path, id)| *id == target && !self.hidden.contains(path));
                if known {
                    self.subscriptions.push((own, target));
                }
                Some(if known { 0 } else { 4 })
            }
            Kind::Invoke => self.handle_invoke(message),
            Kind::Hello
            | Kind::Status
            | Kind::Data
            | Kind::Ping
            | Kind::RemoveObject
            | Kind::Unsubscribe
            | Kind::Notify
            | Kind::Monitor
            | Kind::Unknown(_) => Some(0),
        }
    }

    fn handle_lookup(&mut self, message: Message<'_>) -> u32 {
        let wanted = String::from_utf8_lossy(message.attributes().objpath().unwrap()).into_owned();
        let matches =
            |path: &str| wanted.strip_suffix('*').map_or(path == wanted, |prefix| path.starts_with(prefix));
        let found: Vec<(String, u32)> = self
            .objects
            .iter()
            .filter(|(path, _)| matches(path))
            .map(|(path, id)| (path.clone(), *id))
            .collect();
        let exact = !wanted.ends_with('*');
        let mut shown = false;
        for (path, id) in &found {
            if !self.hidden.contains(path) {
                shown = true;
                self.reply(message, |builder| {
                    builder.string(Attribute::ObjPath, path).number(Attribute::ObjId, *id);
                });
            }
        }
        if shown || (exact && !found.is_empty()) { 0 } else { 4 }
    }

    fn handle_invoke(&mut self, message: Message<'_>) -> Option<u32> {
        let attributes = message.attributes();
        let (object, method) =
            (attributes.objid()?, String::from_utf8_lossy(attributes.method()?).into_owned());
        let data = attributes.data().unwrap();
        if object == 1 {
            let own = u32::try_from(data.get("object").and_then(Value::unsigned)?).ok()?;
            self.listeners.insert(data.get("pattern").and_then(Value::text)?.into_owned(), own);
            return Some(0);
        }
        let Some(path) = self.objects.iter().find(|(_, id)| **id == object).map(|(path, _)| path.clone())
        else {
            return Some(4);
        };
        self.calls.push((path.clone(), method.clone()));
        if method == "rrm_beacon_req" {
            let number = |name: &str| data.get(name).and_then(Value::unsigned).unwrap();
            self.measurements.push([number("mode"), number("op_class"), number("channel")]);
        }
        // iwinfo's answers depend on the device.
        let device = data.get("device").and_then(Value::text);
        let key = device.map_or_else(|| path.clone(), |device| format!("{path}:{device}"));
        match self.methods.get(&(key, method)) {
            None => Some(3),
            Some(Answer::Nothing) => None,
            Some(Answer::Status(status)) => Some(*status),
            Some(Answer::Data(writer)) => {
                let writer = writer.clone();
                self.reply(message, |builder| {
                    builder.number(Attribute::ObjId, object).bytes(Attribute::Data, writer.as_bytes());
                });
                Some(0)
            }
        }
    }
}

pub(crate) const PHONE: &str = "02:aa:00:00:00:01";
pub(crate) const LAPTOP: &str = "02:aa:00:00:00:02";
pub(crate) const BSS: &str = "hostapd.phy0-ap0";
pub(crate) const BSSID: &str = "02:b5:00:00:00:01";

/// A `get_clients` answer in the shape of 24.10.
pub(crate) fn clients(listed: &[(&str, i32, u32)]) -> Answer {
    let mut json = serde_json::json!({"freq": 5180, "clients": {}});
    for (mac, signal, packets) in listed {
        json["clients"][*mac] = serde_json::json!({
            "auth": true, "assoc": true, "authorized": true, "rrm": [0x73, 0, 0, 0, 0], "aid": 1,
            "bytes": {"rx": packets * 100, "tx": 9}, "packets": {"rx": packets, "tx": 9}, "signal": signal
        });
    }
    Answer::Data(blobmsg(&json))
}

/// A message the broker got, with when.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) at_ms: u64,
    pub(crate) slot: Slot,
    pub(crate) message: AgentMessage,
}

/// The core in its surroundings.
pub(crate) struct Agent {
    pub(crate) core: Core,
    pub(crate) router: Router,
    pub(crate) now_ms: u64,
    ubus: bool,
    /// Whether ubusd takes connections.
    pub(crate) ubus_up: bool,
    pub(crate) jailed: bool,
    broker: bool,
    /// Whether the broker acknowledges.
    pub(crate) acks: bool,
    unacked: Vec<Slot>,
    pub(crate) published: Vec<Published>,
    pub(crate) gave_up: Option<String>,
    pub(crate) stopped: bool,
    pub(crate) leases: String,
}

impl Agent {
    /// An access point with one BSS and no station, connected to a broker.
    pub(crate) fn new() -> Agent {
        let mut agent = Agent::without_broker(Probes::Tracked);
        agent.connect();
        agent.run_for(1_500);
        agent
    }

    pub(crate) fn without_broker(probes: Probes) -> Agent {
        let config = Config {
            site: "home".parse().unwrap(),
            ap: "hall".parse().unwrap(),
            node: "a1b2c3".to_owned(),
            boot: "9f3c".to_owned(),
            interval_ms: 5_000,
            probes,
            release: Some("24.10.1".to_owned()),
        };
        let mut router = Router::default();
        router.add(BSS);
        router.answers(BSS, "get_status", Answer::json(include_str!("fixtures/get_status-24.10.json")));
        router.answers(BSS, "get_clients", clients(&[]));
        Agent {
            core: Core::new(config, 0),
            router,
            now_ms: 0,
            ubus: false,
            ubus_up: true,
            jailed: false,
            broker: false,
            acks: true,
            unacked: Vec::new(),
            published: Vec::new(),
            gave_up: None,
            stopped: false,
            leases: String::new(),
        }
    }

    pub(crate) fn connect(&mut self) {
        self.broker = true;
        self.core.handle_connected(self.now_ms);
        self.settle();
    }

    pub(crate) fn disconnect(&mut self) {
        self.broker = false;
        self.unacked.clear();
        self.core.handle_disconnected();
        self.settle();
    }

    pub(crate) fn restart_ubusd(&mut self) {
        self.ubus = false;
        self.router.forget();
        self.core.handle_ubus_closed("closed", self.now_ms);
        self.settle();
    }

    pub(crate) fn publish(&mut self, topic: &Topic, payload: &str, retained: bool) {
        self.core.handle_publish(
            &format!("whichroom/home/{topic}"),
            payload.as_bytes(),
            retained,
            self.now_ms,
        );
        self.settle();
    }

    pub(crate) fn stop(&mut self) {
        self.core.handle_stop(self.now_ms);
        self.settle();
    }

    /// The broker, which is slow, acknowledges this one.
    pub(crate) fn ack(&mut self, slot: Slot) {
        self.unacked.retain(|unacked| *unacked != slot);
        self.core.handle_acked(slot);
        self.settle();
    }

    pub(crate) fn notify(&mut self, name: &str, json: &Json) {
        self.router.notify(BSS, name, json);
        self.settle();
    }

    /// Lets virtual time pass.
    pub(crate) fn run_for(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        self.settle();
        while self.core.poll_timeout() <= end_ms {
            self.now_ms = self.now_ms.max(self.core.poll_timeout());
            self.core.handle_timeout(self.now_ms);
            self.settle();
        }
        self.now_ms = end_ms;
    }

    /// Carries out effects and delivers what they cause until nothing is left.
    pub(crate) fn settle(&mut self) {
        loop {
            while let Some(effect) = self.core.poll_effect(self.now_ms) {
                self.carry_out(effect);
            }
            let acked = if self.acks { std::mem::take(&mut self.unacked) } else { Vec::new() };
            let bytes = std::mem::take(&mut self.router.outgoing);
            if acked.is_empty() && (bytes.is_empty() || !self.ubus) {
                return;
            }
            acked.into_iter().for_each(|slot| self.core.handle_acked(slot));
            let mut decoder = Decoder::new();
            decoder.push(&bytes);
            while let Some(message) = decoder.next_message().unwrap() {
                self.core.handle_ubus_message(message, self.now_ms);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Ubus(Action::Open) if self.ubus_up => {
                self.ubus = true;
                self.router.outgoing = Builder::new(Kind::Hello, 0, 77).finish();
                self.core.handle_ubus_opened(self.now_ms);
            }
            Effect::Ubus(Action::Open) => self.core.handle_ubus_failed("refused", self.jailed, self.now_ms),
            Effect::Ubus(Action::Close) => self.ubus = false,
            Effect::Ubus(Action::Send(bytes)) => self.router.handle(&bytes),
            Effect::Ubus(Action::ReadLeases) => {
                let leases = crate::collector::lease_file(&self.leases);
                self.core.handle_leases(leases, self.now_ms);
            }
            Effect::Ubus(Action::GiveUp(why)) => self.gave_up = Some(why),
            Effect::Publish(slot, _) if !self.broker => {
                self.core.handle_handed_over(slot, Err(Refusal::NotNow), self.now_ms);
            }
            Effect::Publish(slot, outgoing) => {
                let below = outgoing.topic.strip_prefix("whichroom/home/").unwrap();
                let decoded = AgentMessage::decode(&Topic::parse(below).unwrap(), &outgoing.payload).unwrap();
                assert_eq!((decoded.rejected.count, decoded.stamp.sent_ms), (0, self.now_ms), "{decoded:?}");
                assert_eq!(outgoing.retain, slot != Slot::Events);
                self.published.push(Published { at_ms: self.now_ms, slot, message: decoded.message });
                self.unacked.push(slot);
                self.core.handle_handed_over(slot, Ok(()), self.now_ms);
            }
            Effect::Subscribe(_) | Effect::Track(_) => {}
            Effect::Stop => self.stopped = true,
        }
    }

    /// The slots published since `from`, in order.
    pub(crate) fn slots(&self, from: usize) -> Vec<Slot> {
        self.published[from..].iter().map(|published| published.slot).collect()
    }

    pub(crate) fn event_messages(&self, from: usize) -> Vec<&Events> {
        let mut found = Vec::new();
        for published in &self.published[from..] {
            if let AgentMessage::Events(events) = &published.message {
                found.push(events);
            }
        }
        found
    }

    /// Kinds and ages of the events published since `from`.
    pub(crate) fn events(&self, from: usize) -> Vec<(&'static str, u64)> {
        let kind = |what: &EventWhat| match what {
            EventWhat::Station { change, .. } => change.kind(),
            EventWhat::Answer { .. } => "answer",
        };
        let messages = self.event_messages(from);
        messages
            .iter()
            .flat_map(|message| &message.events)
            .map(|event| (kind(&event.what), event.age_ms))
            .collect()
    }

    pub(crate) fn kinds(&self, from: usize) -> Vec<&'static str> {
        self.events(from).into_iter().map(|(kind, _)| kind).collect()
    }

    /// The last table published.
    pub(crate) fn stations(&self) -> (u64, &[Station]) {
        let table = |published: &'_ Published| matches!(published.message, AgentMessage::Stations(_));
        let last = self.published.iter().rev().find(|published| table(published));
        let Some(Published { message: AgentMessage::Stations(stations), .. }) = last else {
            panic!("no table")
        };
        (stations.seq, &stations.stations)
    }

    pub(crate) fn radios(&self) -> &[Radio] {
        let radios = |published: &'_ Published| matches!(published.message, AgentMessage::Radios(_));
        let last = self.published.iter().rev().find(|published| radios(published));
        let Some(Published { message: AgentMessage::Radios(radios), .. }) = last else { panic!("no radios") };
        &radios.radios
    }

    pub(crate) fn status(&self) -> &Status {
        let status = |published: &'_ Published| matches!(published.message, AgentMessage::Status(_));
        let last = self.published.iter().rev().find(|published| status(published));
        let Some(Published { message: AgentMessage::Status(status), .. }) = last else { panic!("no status") };
        status
    }
}
