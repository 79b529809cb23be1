//! The protocol without a socket: requests go out with a number and a deadline, answers come back with the
//! context the caller gave. One session is one connection; after it is lost every id is void, so a new one begins.
//!
//! Drain [`Session::poll_transmit`] and [`Session::poll_event`] after each call. Time is the caller's monotonic
//! milliseconds.

use std::collections::VecDeque;
use std::fmt;

use crate::blobmsg::{Elements, Writer};
use crate::message::{Attribute, Builder, Kind, Message, OUTER_MAX};

/// Requests under way at once; more fail at once.
const PENDING_MAX: usize = 512;
/// Objects of one lookup that are kept.
const OBJECTS_MAX: usize = 256;
/// How long the server's greeting may take.
const HELLO_MS: u64 = 5_000;
/// The object of ubusd that events are registered with.
const EVENT_OBJECT: u32 = 1;

/// A status code of ubus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// All is well.
    pub const OK: Status = Status(0);
    /// No such object, or it is hidden by the access rules.
    pub const NOT_FOUND: Status = Status(4);
    /// The access rules forbid it.
    pub const PERMISSION_DENIED: Status = Status(6);
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 14] = [
            "ok",
            "invalid command",
            "invalid argument",
            "method not found",
            "not found",
            "no data",
            "permission denied",
            "timed out",
            "not supported",
            "unknown error",
            "connection failed",
            "out of memory",
            "unreadable",
            "system error",
        ];
        match NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "status {}", self.0),
        }
    }
}

/// Why a request came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The answer says so.
    Status(Status),
    /// No answer before the deadline. ubusd drops messages to a slow client without a word.
    TimedOut,
    /// The answer lacks what it must have.
    Unreadable,
    /// Too many requests under way, or the arguments are too large.
    TooMuch,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Status(status) => status.fmt(f),
            Failure::TimedOut => f.write_str("no answer"),
            Failure::Unreadable => f.write_str("unreadable answer"),
            Failure::TooMuch => f.write_str("too many requests"),
        }
    }
}

/// An object of another client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// Its id until it is registered anew.
    pub id: u32,
}

/// blobmsg that came with an answer or a notification.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Data(Box<[u8]>);

impl Data {
    /// What it holds.
    pub fn elements(&self) -> Elements<'_> {
        Elements::new(&self.0)
    }

    /// Copies what a [`Writer`] wrote.
    pub fn new(writer: &Writer) -> Data {
        Data(writer.as_bytes().into())
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in it may be a secret.
        write!(f, "Data({} bytes)", self.0.len())
    }
}

/// What a request gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To a lookup: at least one.
    Objects(Vec<Object>),
    /// To an added object: its id.
    Own(u32),
    /// To an invocation; empty where the method returns nothing.
    Data(Data),
    /// To everything else.
    Done,
}

/// A notification of a subscribed object, or an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The own object it came to; the sender is not named.
    pub own: u32,
    /// Its name.
    pub name: String,
    /// What it says.
    pub data: Data,
}

/// What came from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<C> {
    /// The server's greeting: requests may be sent.
    Connected,
    /// The end of a request.
    Reply(C, Result<Reply, Failure>),
    /// A notification or event.
    Notification(Notification),
    /// An object that was subscribed to is gone.
    TargetGone {
        /// The own object.
        own: u32,
        /// What is gone.
        target: u32,
    },
    /// No greeting came: the connection is of no use.
    Silent,
}

#[derive(Debug)]
enum Expected {
    Objects(Vec<Object>),
    Own(Option<u32>),
    Data(Option<Data>),
    Subscription { own: u32, target: u32 },
    Done,
}

#[derive(Debug)]
struct Pending<C> {
    seq: u16,
    context: C,
    deadline_ms: u64,
    expected: Expected,
}

/// One connection's state.
#[derive(Debug)]
pub struct Session<C> {
    seq: u16,
    hello_deadline_ms: Option<u64>,
    /// Few at a time, the oldest first.
    pending: Vec<Pending<C>>,
    subscriptions: Vec<(u32, u32)>,
    transmit: VecDeque<Vec<u8>>,
    events: VecDeque<Event<C>>,
    timeout_ms: u64,
}

impl<C> Session<C> {
    /// A session on a connection just opened; `timeout_ms` is how long each request may take.
    pub fn new(timeout_ms: u64, now_ms: u64) -> Session<C> {
        Session {
            seq: 0,
            hello_deadline_ms: Some(now_ms + HELLO_MS),
            pending: Vec::new(),
            subscriptions: Vec::new(),
            transmit: VecDeque::new(),
            events: VecDeque::new(),
            timeout_ms,
        }
    }

    /// Looks for objects: a path, or a prefix and `*`.
    pub fn lookup(&mut self, path: &str, context: C, now_ms: u64) {
        self.request(Kind::Lookup, 0, Expected::Objects(Vec::new()), context, now_ms, |builder| {
            builder.string(Attribute::ObjPath, path);
        });
    }

    /// Calls a method.
    pub fn invoke(&mut self, object: u32, method: &str, arguments: &Writer, context: C, now_ms: u64) {
        if arguments.as_bytes().len() > OUTER_MAX / 2 {
            self.events.push_back(Event::Reply(context, Err(Failure::TooMuch)));
            return;
        }
        self.request(Kind::Invoke, object, Expected::Data(None), context, now_ms, |builder| {
            builder.number(Attribute::ObjId, object).string(Attribute::Method, method);
            // Always there, even if empty: libubus answers "invalid argument" without it.
            builder.bytes(Attribute::Data, arguments.as_bytes());
        });
    }

    /// Makes an anonymous object to receive notifications or events.
    pub fn add_object(&mut self, context: C, now_ms: u64) {
        self.request(Kind::AddObject, 0, Expected::Own(None), context, now_ms, |_| {});
    }

    /// Removes an own object and with it its subscriptions.
    pub fn remove_object(&mut self, own: u32, context: C, now_ms: u64) {
        self.subscriptions.retain(|(subscriber, _)| *subscriber != own);
        self.request(Kind::RemoveObject, 0, Expected::Done, context, now_ms, |builder| {
            builder.number(Attribute::ObjId, own);
        });
    }

    /// Subscribes an own object to another's notifications; a second time does nothing, as it would double them.
    pub fn subscribe(&mut self, own: u32, target: u32, context: C, now_ms: u64) {
        if self.subscriptions.contains(&(own, target)) {
            self.events.push_back(Event::Reply(context, Ok(Reply::Done)));
            return;
        }
        self.subscriptions.push((own, target));
        let expected = Expected::Subscription { own, target };
        self.request(Kind::Subscribe, 0, expected, context, now_ms, |builder| {
            builder.number(Attribute::ObjId, own).number(Attribute::Target, target);
        });
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, own: u32, target: u32, context: C, now_ms: u64) {
        self.unsubscribed(own, target);
        self.request(Kind::Unsubscribe, 0, Expected::Done, context, now_ms, |builder| {
            builder.number(Attribute::ObjId, own).number(Attribute::Target, target);
        });
    }

    /// Asks for events: a name, or a prefix and `*`. The access rules match the pattern literally.
    pub fn register_event(&mut self, own: u32, pattern: &str, context: C, now_ms: u64) {
        let mut arguments = Writer::new();
        arguments.int32("object", own).string("pattern", pattern);
        self.invoke(EVENT_OBJECT, "register", &arguments, context, now_ms);
    }

    /// Asks whether the server is there.
    pub fn ping(&mut self, context: C, now_ms: u64) {
        self.request(Kind::Ping, 0, Expected::Done, context, now_ms, |_| {});
    }

    fn request(
        &mut self,
        kind: Kind,
        peer: u32,
        expected: Expected,
        context: C,
        now_ms: u64,
        fill: impl FnOnce(&mut Builder),
    ) {
        if self.pending.len() >= PENDING_MAX {
            self.forget(&expected);
            self.events.push_back(Event::Reply(context, Err(Failure::TooMuch)));
            return;
        }
        // Fewer than all numbers are taken, so this ends.
        loop {
            self.seq = self.seq.wrapping_add(1);
            if !self.pending.iter().any(|pending| pending.seq == self.seq) {
                break;
            }
        }
        let mut builder = Builder::new(kind, self.seq, peer);
        fill(&mut builder);
        self.transmit.push_back(builder.finish());
        let deadline_ms = now_ms + self.timeout_ms;
        self.pending.push(Pending { seq: self.seq, context, deadline_ms, expected });
    }

    /// Takes a message. What asks for an answer was answered by the connection.
    pub fn handle_message(&mut self, message: Message<'_>) {
        // The type first: messages that ubusd begins have counters of their own, which may equal ours.
        match message.kind {
            Kind::Hello => {
                if self.hello_deadline_ms.take().is_some() {
                    self.events.push_back(Event::Connected);
                }
            }
            Kind::Data => self.handle_data(message),
            Kind::Status => self.handle_status(message),
            Kind::Invoke => self.handle_invoke(message),
            Kind::Unsubscribe => self.handle_unsubscribe(message),
            Kind::Ping
            | Kind::Lookup
            | Kind::AddObject
            | Kind::RemoveObject
            | Kind::Subscribe
            | Kind::Notify
            | Kind::Monitor
            | Kind::Unknown(_) => {}
        }
    }

    fn handle_data(&mut self, message: Message<'_>) {
        let pending = self.pending.iter_mut().find(|pending| pending.seq == message.seq);
        let Some(pending) = pending else { return };
        let attributes = message.attributes();
        match &mut pending.expected {
            Expected::Objects(objects) => {
                if let (Some(path), Some(id), true) =
                    (attributes.objpath(), attributes.objid(), objects.len() < OBJECTS_MAX)
                {
                    objects.push(Object { path: String::from_utf8_lossy(path).into_owned(), id });
                }
            }
            Expected::Own(own) => *own = attributes.objid(),
            Expected::Data(data) => *data = attributes.bytes(Attribute::Data).map(|bytes| Data(bytes.into())),
            Expected::Subscription { .. } | Expected::Done => {}
        }
    }

    fn handle_status(&mut self, message: Message<'_>) {
        let at = self.pending.iter().position(|pending| pending.seq == message.seq);
        let Some(at) = at else { return };
        let pending = self.pending.remove(at);
        let result = match message.attributes().status() {
            Some(0) => finished(&pending.expected),
            Some(status) => Err(Failure::Status(Status(status))),
            None => Err(Failure::Unreadable),
        };
        if result.is_err() {
            self.forget(&pending.expected);
        }
        let result = result.map(|()| match pending.expected {
            Expected::Objects(objects) => Reply::Objects(objects),
            Expected::Own(own) => Reply::Own(own.unwrap_or_default()),
            Expected::Data(data) => Reply::Data(data.unwrap_or_default()),
            Expected::Subscription { .. } | Expected::Done => Reply::Done,
        });
        self.events.push_back(Event::Reply(pending.context, result));
    }

    fn handle_invoke(&mut self, message: Message<'_>) {
        let attributes = message.attributes();
        let (Some(own), Some(method)) = (attributes.objid(), attributes.method()) else { return };
        let name = String::from_utf8_lossy(method).into_owned();
        let data = attributes.bytes(Attribute::Data).map(|bytes| Data(bytes.into())).unwrap_or_default();
        self.events.push_back(Event::Notification(Notification { own, name, data }));
    }

    fn handle_unsubscribe(&mut self, message: Message<'_>) {
        let attributes = message.attributes();
        let (Some(own), Some(target)) = (attributes.objid(), attributes.target()) else { return };
        self.unsubscribed(own, target);
        self.events.push_back(Event::TargetGone { own, target });
    }

    fn unsubscribed(&mut self, own: u32, target: u32) {
        self.subscriptions.retain(|known| *known != (own, target));
    }

    /// A subscription that failed may be tried again.
    fn forget(&mut self, expected: &Expected) {
        if let Expected::Subscription { own, target } = expected {
            self.unsubscribed(*own, *target);
        }
    }

    /// Ends what is overdue.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self.hello_deadline_ms.is_some_and(|deadline| deadline <= now_ms) {
            self.hello_deadline_ms = None;
            self.events.push_back(Event::Silent);
        }
        while let Some(at) = self.pending.iter().position(|pending| pending.deadline_ms <= now_ms) {
            let pending = self.pending.remove(at);
            self.forget(&pending.expected);
            self.events.push_back(Event::Reply(pending.context, Err(Failure::TimedOut)));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.pending.iter().map(|pending| pending.deadline_ms).chain(self.hello_deadline_ms).min()
    }

    /// The next bytes to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event<C>> {
        self.events.pop_front()
    }
}

/// Whether a request that ended well brought what it must.
fn finished(expected: &Expected) -> Result<(), Failure> {
    match expected {
        // What the access rules hide is "ok" without an object.
        Expected::Objects(objects) if objects.is_empty() => Err(Failure::Status(Status::NOT_FOUND)),
        Expected::Own(None) => Err(Failure::Unreadable),
        Expected::Objects(_)
        | Expected::Own(_)
        | Expected::Data(_)
        | Expected::Subscription { .. }
        | Expected::Done => Ok(()),
    }
}
