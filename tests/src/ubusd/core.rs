//! The bus itself, as a value: clients, objects, subscriptions, events and access. Frames of clients come in through
//! [`Core::handle_frame`]; what is to be sent or called is queued and taken with [`Core::poll_effect`], which the
//! caller drains after each call. Flows and answers follow ubusd; the providers' objects have owners of their own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::access::{Access, matches};
use super::frame::{Frame, attribute, kind, status};
use super::value::{self, Fields, Value, field, fields_of};

/// A connected client, or one of the providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub u32);

/// A process that provides objects. Each answers one call after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Process {
    /// One object for each BSS.
    Hostapd,
    /// `iwinfo` and `luci-rpc`.
    Rpcd,
    /// `network.wireless`.
    Netifd,
    /// `system`.
    Procd,
    /// `usteer`, where it is installed.
    Usteer,
}

impl Process {
    /// All of them.
    pub const ALL: [Process; 5] =
        [Process::Hostapd, Process::Rpcd, Process::Netifd, Process::Procd, Process::Usteer];

    /// Ids of providers are fixed and beyond those of clients, which count from 0x1000.
    const fn client(self) -> ClientId {
        ClientId(match self {
            Process::Hostapd => 0xf000_0001,
            Process::Rpcd => 0xf000_0002,
            Process::Netifd => 0xf000_0003,
            Process::Procd => 0xf000_0004,
            Process::Usteer => 0xf000_0005,
        })
    }

    fn of(client: ClientId) -> Option<Process> {
        Process::ALL.into_iter().find(|process| process.client() == client)
    }

    const fn user(self) -> &'static str {
        if matches!(self, Process::Hostapd) { "network" } else { "root" }
    }
}

/// Something to carry out.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send to a client.
    Send(ClientId, Frame),
    /// Let a provider answer.
    Call(Process, Call),
    /// A client answered a notification that asked for it.
    Answered(Answer),
}

/// A call that waits for its provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Who called.
    pub caller: ClientId,
    /// Its sequence number.
    pub seq: u16,
    /// The object's id, as of the call.
    pub object: u32,
    /// The object.
    pub path: String,
    /// The method.
    pub method: String,
    /// Its arguments; `None` if the attribute was missing or unreadable.
    pub arguments: Option<Fields>,
}

/// A client's answer to a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The notification's sequence number.
    pub seq: u16,
    /// Its status.
    pub status: u32,
}

#[derive(Debug)]
struct Object {
    path: Option<String>,
    owner: ClientId,
    type_id: u32,
    methods: Fields,
    invoke_seq: u16,
}

/// Pairs of (subscriber, publisher), one for each subscription: the same pair twice delivers twice.
type Subscriptions = Vec<(u32, u32)>;

/// The bus.
#[derive(Debug)]
pub struct Core {
    clients: BTreeSet<ClientId>,
    objects: BTreeMap<u32, Object>,
    paths: BTreeMap<String, u32>,
    subscriptions: Subscriptions,
    listeners: Vec<(u32, String)>,
    access: Access,
    random: u32,
    next_client: u32,
    event_seq: u16,
    notify_seq: u16,
    silent_subscriptions: bool,
    effects: VecDeque<Effect>,
}

const EVENT_OBJECT: u32 = 1;

impl Core {
    /// A bus without objects; `seed` makes the ids.
    pub fn new(seed: u32) -> Core {
        Core {
            clients: BTreeSet::new(),
            objects: BTreeMap::new(),
            paths: BTreeMap::new(),
            subscriptions: Vec::new(),
            listeners: Vec::new(),
            access: Access::Root,
            random: seed | 1,
            next_client: 0x1000,
            event_seq: 0,
            notify_seq: 0,
            silent_subscriptions: false,
            effects: VecDeque::new(),
        }
    }

    /// Takes the next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What clients may do from now on.
    pub fn set_access(&mut self, access: Access) {
        self.access = access;
    }

    /// Whether subscriptions are accepted and then never served, as some vendors' builds do.
    pub const fn set_silent_subscriptions(&mut self, silent: bool) {
        self.silent_subscriptions = silent;
    }

    /// A client connected: greets it. `None`: refused before the greeting.
    pub fn connect(&mut self) -> Option<ClientId> {
        if matches!(self.access, Access::UnknownUser) {
            return None;
        }
        let client = ClientId(self.next_client);
        self.next_client += 1;
        self.clients.insert(client);
        self.send(client, Frame::new(kind::HELLO, 0, client.0));
        Some(client)
    }

    /// A client went, and with it its objects.
    pub fn disconnect(&mut self, client: ClientId) {
        self.clients.remove(&client);
        let own: Vec<u32> = self.owned_by(client);
        own.into_iter().for_each(|id| self.remove(id));
    }

    /// ubusd ended: every client, object and subscription is forgotten, nobody is told.
    pub fn reset(&mut self) {
        self.clients.clear();
        self.objects.clear();
        self.paths.clear();
        self.subscriptions.clear();
        self.listeners.clear();
        self.effects.clear();
    }

    /// Number of connected clients.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Subscriptions to an object, doubled ones counted twice.
    pub fn subscribers(&self, path: &str) -> usize {
        let target = self.paths.get(path);
        self.subscriptions.iter().filter(|(_, publisher)| Some(publisher) == target).count()
    }

    /// A provider registers an object. One that is there already is replaced.
    pub fn provide(&mut self, process: Process, path: &str, methods: Fields) -> u32 {
        self.withdraw(path);
        self.add(process.client(), Some(path.to_owned()), methods)
    }

    /// A provider takes an object back.
    pub fn withdraw(&mut self, path: &str) {
        if let Some(id) = self.paths.get(path).copied() {
            self.remove(id);
        }
    }

    /// A provider's object publishes a notification. Returns its sequence number and how many subscriptions got it.
    pub fn publish(&mut self, path: &str, method: &str, data: &Fields, no_reply: bool) -> (u16, usize) {
        self.notify_seq = self.notify_seq.wrapping_add(1);
        let Some(id) = self.paths.get(path).copied() else { return (self.notify_seq, 0) };
        let Some(object) = self.objects.get(&id) else { return (self.notify_seq, 0) };
        let (owner, user) = (object.owner, Process::of(object.owner).map_or("root", Process::user));
        if self.silent_subscriptions {
            return (self.notify_seq, 0);
        }
        let data = value::encode(data);
        let delivered = self.deliver(id, owner, self.notify_seq, method, Some(&data), no_reply, user).len();
        (self.notify_seq, delivered)
    }

    /// An event goes to everybody who listens for it.
    pub fn broadcast(&mut self, event: &str, data: &Fields) {
        let data = value::encode(data);
        let mut served = Vec::new();
        for (id, pattern) in &self.listeners {
            if matches(pattern, event) && !served.contains(id) {
                served.push(*id);
            }
        }
        for id in served {
            let Some(owner) = self.objects.get(&id).map(|object| object.owner) else { continue };
            self.event_seq = self.event_seq.wrapping_add(1);
            let frame = Frame::new(kind::INVOKE, self.event_seq, 0)
                .number(attribute::OBJID, id)
                .text(attribute::METHOD, event)
                .bytes(attribute::DATA, &data);
            self.send(owner, frame);
        }
    }

    /// A provider answers a call: with data, or without, then the status.
    pub fn reply(&mut self, call: &Call, data: Option<&[u8]>, status: u32) {
        if let Some(data) = data {
            let frame = Frame::new(kind::DATA, call.seq, call.object)
                .number(attribute::OBJID, call.object)
                .bytes(attribute::DATA, data);
            self.send(call.caller, frame);
        }
        let frame = Frame::new(kind::STATUS, call.seq, call.object)
            .number(attribute::STATUS, status)
            .number(attribute::OBJID, call.object);
        self.send(call.caller, frame);
    }

    /// A frame of a client.
    pub fn handle_frame(&mut self, client: ClientId, frame: &Frame) {
        let result = match frame.kind {
            kind::STATUS | kind::DATA => return self.forward_answer(client, frame),
            kind::PING => {
                let echo = Frame { body: frame.body.clone(), ..frame.answer(kind::DATA) };
                self.send(client, echo);
                Ok(())
            }
            kind::LOOKUP => self.lookup(client, frame),
            kind::INVOKE => match self.invoke(client, frame) {
                Ok(Relay::Done) => Ok(()),
                Ok(Relay::Passed) => return,
                Err(status) => Err(status),
            },
            kind::ADD_OBJECT => self.add_object(client, frame),
            kind::REMOVE_OBJECT => self.remove_object(client, frame),
            kind::SUBSCRIBE => self.subscribe(client, frame),
            kind::UNSUBSCRIBE => self.unsubscribe(client, frame),
            kind::NOTIFY => match self.notify(client, frame) {
                Ok(()) => return,
                Err(status) => Err(status),
            },
            _ => Err(status::INVALID_COMMAND),
        };
        let answer = frame.answer(kind::STATUS).number(attribute::STATUS, result.err().unwrap_or(status::OK));
        self.send(client, answer);
    }

    fn lookup(&mut self, client: ClientId, frame: &Frame) -> Result<(), u32> {
        let pattern = frame.get_text(attribute::OBJPATH).unwrap_or("*");
        let found: Vec<u32> =
            self.paths.iter().filter(|(path, _)| matches(pattern, path)).map(|(_, id)| *id).collect();
        for id in &found {
            if let Some(description) = self.describe(*id, frame) {
                self.send(client, description);
            }
        }
        // An object that exists and is hidden gives OK without data, as ubusd does.
        let everything = frame.get(attribute::OBJPATH).is_none();
        if found.is_empty() && !everything { Err(status::NOT_FOUND) } else { Ok(()) }
    }

    fn describe(&self, id: u32, request: &Frame) -> Option<Frame> {
        let object = self.objects.get(&id)?;
        let path = object.path.as_deref()?;
        if !self.access.sees(path) {
            return None;
        }
        let callable =
            object.methods.iter().filter(|(method, _)| self.access.calls(path, method)).cloned().collect();
        let frame = request
            .answer(kind::DATA)
            .text(attribute::OBJPATH, path)
            .number(attribute::OBJID, id)
            .number(attribute::OBJTYPE, object.type_id)
            .bytes(attribute::SIGNATURE, &value::encode(&callable));
        Some(frame)
    }

    fn invoke(&mut self, client: ClientId, frame: &Frame) -> Result<Relay, u32> {
        let id = frame.get_number(attribute::OBJID).ok_or(status::INVALID_ARGUMENT)?;
        if id != EVENT_OBJECT && !self.objects.contains_key(&id) {
            return Err(status::NOT_FOUND);
        }
        let method = frame.get_text(attribute::METHOD).ok_or(status::INVALID_ARGUMENT)?;
        if id == EVENT_OBJECT {
            return self.call_events(client, method, frame).map(|()| Relay::Done);
        }
        let object = self.objects.get(&id).ok_or(status::NOT_FOUND)?;
        let path = object.path.clone().unwrap_or_default();
        let owner = object.owner;
        if owner != client && !self.access.calls(&path, method) {
            return Err(status::PERMISSION_DENIED);
        }
        if let Some(process) = Process::of(owner) {
            let call = Call {
                caller: client,
                seq: frame.seq,
                object: id,
                path,
                method: method.to_owned(),
                arguments: frame.get(attribute::DATA).and_then(|data| value::decode(data).ok()),
            };
            self.effects.push_back(Effect::Call(process, call));
            return Ok(Relay::Passed);
        }
        let relayed = Frame::new(kind::INVOKE, frame.seq, client.0)
            .number(attribute::OBJID, id)
            .text(attribute::METHOD, method)
            .text(attribute::USER, "root")
            .text(attribute::GROUP, "root")
            .bytes(attribute::DATA, frame.get(attribute::DATA).unwrap_or_default());
        self.send(owner, relayed);
        Ok(Relay::Passed)
    }

    fn call_events(&mut self, client: ClientId, method: &str, frame: &Frame) -> Result<(), u32> {
        let data = frame.get(attribute::DATA).and_then(|data| value::decode(data).ok());
        let data = data.ok_or(status::INVALID_ARGUMENT)?;
        match method {
            "register" => {
                let id = field(&data, "object").and_then(Value::as_u32).ok_or(status::INVALID_ARGUMENT)?;
                let pattern = field(&data, "pattern").and_then(Value::as_text).unwrap_or("*");
                self.owned(client, id)?;
                if !self.access.listens(pattern) {
                    return Err(status::PERMISSION_DENIED);
                }
                self.listeners.push((id, pattern.to_owned()));
                Ok(())
            }
            "send" => {
                let event =
                    field(&data, "id").and_then(Value::as_text).ok_or(status::INVALID_ARGUMENT)?.to_owned();
                if event.starts_with("ubus.") || !self.access.sends(&event) {
                    return Err(status::PERMISSION_DENIED);
                }
                let Some(Value::Table(payload)) = field(&data, "data") else {
                    return Err(status::INVALID_ARGUMENT);
                };
                self.broadcast(&event, payload);
                Ok(())
            }
            _ => Err(status::INVALID_COMMAND),
        }
    }

    fn add_object(&mut self, client: ClientId, frame: &Frame) -> Result<(), u32> {
        let path = frame.get_text(attribute::OBJPATH).map(str::to_owned);
        let refused =
            path.as_ref().is_some_and(|path| !self.access.publishes(path) || self.paths.contains_key(path));
        if refused {
            return Err(status::INVALID_ARGUMENT);
        }
        let methods = frame.get(attribute::SIGNATURE).map_or(Ok(Fields::new()), value::decode);
        let methods = methods.map_err(|_| status::INVALID_ARGUMENT)?;
        let id = self.add(client, path, methods);
        let mut answer = frame.answer(kind::DATA).number(attribute::OBJID, id);
        if let Some(object) = self.objects.get(&id).filter(|object| !object.methods.is_empty()) {
            answer = answer.number(attribute::OBJTYPE, object.type_id);
        }
        self.send(client, answer);
        Ok(())
    }

    fn remove_object(&mut self, client: ClientId, frame: &Frame) -> Result<(), u32> {
        let id = frame.get_number(attribute::OBJID).ok_or(status::INVALID_ARGUMENT)?;
        self.owned(client, id)?;
        self.remove(id);
        self.send(client, frame.answer(kind::DATA).number(attribute::OBJID, id));
        Ok(())
    }

    fn subscribe(&mut self, client: ClientId, frame: &Frame) -> Result<(), u32> {
        let (own, target) = pair(frame)?;
        let subscriber = self.objects.get(&own).ok_or(status::NOT_FOUND)?;
        if subscriber.owner != client {
            return Err(status::INVALID_ARGUMENT);
        }
        let publisher = self.objects.get(&target).ok_or(status::NOT_FOUND)?;
        if publisher.owner == client {
            return Err(status::INVALID_ARGUMENT);
        }
        if publisher.path.as_deref().is_some_and(|path| !self.access.subscribes(path)) {
            return Err(status::NOT_FOUND);
        }
        self.subscriptions.push((own, target));
        self.tell_publisher(target, 1);
        Ok(())
    }

    fn unsubscribe(&mut self, client: ClientId, frame: &Frame) -> Result<(), u32> {
        let (own, target) = pair(frame)?;
        self.owned(client, own).map_err(|_| status::INVALID_ARGUMENT)?;
        let position = self.subscriptions.iter().position(|subscription| *subscription == (own, target));
        self.subscriptions.remove(position.ok_or(status::NOT_FOUND)?);
        self.tell_publisher(target, 0);
        Ok(())
    }

    /// Tells a publisher that is a client of its first subscriber, or that the last is gone.
    fn tell_publisher(&mut self, target: u32, subscribers: usize) {
        if self.subscriptions.iter().filter(|(_, publisher)| *publisher == target).count() != subscribers {
            return;
        }
        let Some(object) = self.objects.get_mut(&target) else { return };
        object.invoke_seq = object.invoke_seq.wrapping_add(1);
        let (owner, seq) = (object.owner, object.invoke_seq);
        let active = u8::from(subscribers > 0);
        let frame = Frame::new(kind::NOTIFY, seq, 0).number(attribute::OBJID, target);
        self.send(owner, frame.bytes(attribute::ACTIVE, &[active]));
    }

    fn notify(&mut self, client: ClientId, frame: &Frame) -> Result<(), u32> {
        let id = frame.get_number(attribute::OBJID).ok_or(status::INVALID_ARGUMENT)?;
        let method = frame.get_text(attribute::METHOD).ok_or(status::INVALID_ARGUMENT)?;
        self.owned(client, id)?;
        let no_reply = frame.get(attribute::NO_REPLY).is_some_and(|flag| flag.first() == Some(&1));
        let data = frame.get(attribute::DATA);
        let served = self.deliver(id, client, frame.seq, method, data, no_reply, "root");
        if !no_reply {
            let list = served.iter().fold(Frame::new(0, 0, 0), |list, id| list.number(0, *id)).body;
            let answer = frame
                .answer(kind::STATUS)
                .number(attribute::OBJID, id)
                .bytes(attribute::SUBSCRIBERS, &list)
                .number(attribute::STATUS, status::OK);
            self.send(client, answer);
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "these are the parts of a notification")]
    fn deliver(
        &mut self,
        publisher: u32,
        client: ClientId,
        seq: u16,
        method: &str,
        data: Option<&[u8]>,
        no_reply: bool,
        user: &str,
    ) -> Vec<u32> {
        let subscribers =
            self.subscriptions.iter().filter(|(_, target)| *target == publisher).map(|(own, _)| *own);
        let subscribers: Vec<u32> = subscribers.collect();
        for own in &subscribers {
            let Some(owner) = self.objects.get(own).map(|object| object.owner) else { continue };
            let mut frame = Frame::new(kind::INVOKE, seq, client.0);
            if no_reply {
                frame = frame.bytes(attribute::NO_REPLY, &[1]);
            }
            frame = frame
                .number(attribute::OBJID, *own)
                .text(attribute::METHOD, method)
                .text(attribute::USER, user)
                .text(attribute::GROUP, user);
            if let Some(data) = data {
                frame = frame.bytes(attribute::DATA, data);
            }
            self.send(owner, frame);
        }
        subscribers
    }

    /// An answer counts only if it names the answering object, which must be the client's own.
    fn forward_answer(&mut self, client: ClientId, frame: &Frame) {
        let Some(id) = frame.get_number(attribute::OBJID) else { return };
        if self.owned(client, id).is_err() {
            return;
        }
        let peer = ClientId(frame.peer);
        if Process::of(peer).is_some() {
            if frame.kind == kind::STATUS {
                let status = frame.get_number(attribute::STATUS).unwrap_or(u32::MAX);
                self.effects.push_back(Effect::Answered(Answer { seq: frame.seq, status }));
            }
            return;
        }
        self.send(peer, Frame { peer: id, ..frame.clone() });
    }

    fn owned(&self, client: ClientId, id: u32) -> Result<(), u32> {
        let object = self.objects.get(&id).ok_or(status::NOT_FOUND)?;
        if object.owner == client { Ok(()) } else { Err(status::PERMISSION_DENIED) }
    }

    fn owned_by(&self, client: ClientId) -> Vec<u32> {
        self.objects.iter().filter(|(_, object)| object.owner == client).map(|(id, _)| *id).collect()
    }

    fn add(&mut self, owner: ClientId, path: Option<String>, methods: Fields) -> u32 {
        let (id, type_id) = (self.fresh_id(), self.fresh_id());
        if let Some(path) = &path {
            self.paths.insert(path.clone(), id);
        }
        let announced = path.clone();
        self.objects.insert(id, Object { path, owner, type_id, methods, invoke_seq: 0 });
        if let Some(path) = announced {
            self.broadcast(
                "ubus.object.add",
                &fields_of([("id", Value::Int32(id)), ("path", Value::text(path))]),
            );
        }
        id
    }

    fn remove(&mut self, id: u32) {
        let Some(object) = self.objects.remove(&id) else { return };
        let (gone, kept): (Subscriptions, Subscriptions) =
            self.subscriptions.iter().partition(|(own, target)| *own == id || *target == id);
        self.subscriptions = kept;
        self.listeners.retain(|(own, _)| *own != id);
        for (own, target) in gone {
            if target == id {
                self.tell_subscriber(own, target);
            } else {
                self.tell_publisher(target, 0);
            }
        }
        let Some(path) = object.path else { return };
        self.paths.remove(&path);
        self.broadcast(
            "ubus.object.remove",
            &fields_of([("id", Value::Int32(id)), ("path", Value::text(path))]),
        );
    }

    fn tell_subscriber(&mut self, own: u32, target: u32) {
        let Some(object) = self.objects.get_mut(&own) else { return };
        object.invoke_seq = object.invoke_seq.wrapping_add(1);
        let (owner, seq) = (object.owner, object.invoke_seq);
        let frame = Frame::new(kind::UNSUBSCRIBE, seq, 0).number(attribute::OBJID, own);
        self.send(owner, frame.number(attribute::TARGET, target));
    }

    /// Ids are random and at least 1024; many print as negative numbers.
    fn fresh_id(&mut self) -> u32 {
        loop {
            // Marsaglia's xorshift: never 0, all other values once in a period.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 17;
            self.random ^= self.random << 5;
            if self.random >= 1024 && !self.objects.contains_key(&self.random) {
                return self.random;
            }
        }
    }

    fn send(&mut self, client: ClientId, frame: Frame) {
        if self.clients.contains(&client) {
            self.effects.push_back(Effect::Send(client, frame));
        }
    }
}

enum Relay {
    /// The bus answered itself.
    Done,
    /// Somebody else will answer.
    Passed,
}

fn pair(frame: &Frame) -> Result<(u32, u32), u32> {
    let own = frame.get_number(attribute::OBJID).ok_or(status::INVALID_ARGUMENT)?;
    let target = frame.get_number(attribute::TARGET).ok_or(status::INVALID_ARGUMENT)?;
    Ok((own, target))
}
