//! The broker without sockets, clocks and threads: bytes and time go in, bytes and closings come out.
//!
//! [`Router::handle_opened`], [`Router::handle_bytes`], [`Router::handle_written`] and [`Router::handle_closed`] follow
//! a connection; after each of them all effects are to be taken. A message that is published goes into the queue of
//! each session that wants it, and from there to the connection, as far as the client's window and what is written
//! already allow. So a client that is slow costs memory within limits, and nobody else's time.
//!
//! A connection is *opening* until its CONNECT is taken, then *open*. A session is *connected*, or kept until it
//! expires. Timers: the end of opening, silence beyond 1.5 times of keep-alive, the delay of a will, the expiry of a
//! session.

mod connect;
mod publish;
mod subscribe;

use std::collections::{BTreeMap, VecDeque};

use crate::access::{Access, Who};
use crate::codec::{self, Decoder, DisconnectReasonCode, MqttError, Packet, PubackReasonCode, Version, Will};
use crate::message::Message;
use crate::options::{Limits, User};
use crate::retained::Retained;
use crate::session::Session;

/// How long a connection may take to say who it is.
const OPENING_MS: u64 = 10_000;
/// Messages are given to a connection until this much is not written yet.
const UNWRITTEN_BYTES: usize = 64 * 1024;
/// Answers pile up only for a client that asks and does not read.
const UNWRITTEN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Messages at QoS 2 of one client that are not released; nobody of ours sends any.
const EXACTLY_ONCE_MAX: usize = 1000;

/// A connection, by the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// What the shell is to do.
#[derive(Debug)]
#[must_use]
pub(crate) enum Effect {
    /// Write these bytes, then call [`Router::handle_written`].
    Send { connection: ConnectionId, bytes: Vec<u8> },
    /// Close the connection when all is written. Nothing is to be told of it any more.
    Close { connection: ConnectionId },
}

/// What the broker has, and what it had to refuse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections.
    pub clients: usize,
    /// Sessions, connected or kept.
    pub sessions: usize,
    /// Retained messages.
    pub retained: usize,
    /// Their bytes.
    pub retained_bytes: usize,
    /// Messages that their senders were not allowed to publish, or that could not be retained.
    pub refused: u64,
    /// Clients that were disconnected because they did not read what came for them.
    pub too_slow: u64,
}

struct Connection {
    decoder: Decoder,
    phase: Phase,
    /// For the log.
    peer: String,
    last_received_ms: u64,
    unwritten_bytes: usize,
}

enum Phase {
    Opening,
    Open(Open),
}

struct Open {
    client_id: String,
    version: Version,
    who: Who,
    keep_alive_ms: Option<u64>,
    packet_max: usize,
    window: usize,
    /// Somebody was told that this client publishes what it may not.
    warned: bool,
}

/// How a connection ends.
enum Ending {
    /// The client said goodbye.
    Clean,
    /// The connection is gone, or the client wants its will published.
    Lost,
    /// We end it, and say why if the version can.
    Told(DisconnectReasonCode),
}

/// The state machine.
pub(crate) struct Router {
    limits: Limits,
    access: Access,
    connections: BTreeMap<ConnectionId, Connection>,
    sessions: BTreeMap<String, Session>,
    retained: Retained,
    effects: VecDeque<Effect>,
    /// Clients for which too much waits.
    overfull: Vec<String>,
    refused: u64,
    too_slow: u64,
    warned_full: bool,
}

impl Router {
    pub(crate) fn new(users: Vec<User>, limits: Limits) -> Router {
        Router {
            retained: Retained::new(limits.retained_messages, limits.retained_bytes),
            limits,
            access: Access::new(users),
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            effects: VecDeque::new(),
            overfull: Vec::new(),
            refused: 0,
            too_slow: 0,
            warned_full: false,
        }
    }

    /// The next thing to do; to be taken until there is none.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            clients: self.connections.len(),
            sessions: self.sessions.len(),
            retained: self.retained.len(),
            retained_bytes: self.retained.bytes(),
            refused: self.refused,
            too_slow: self.too_slow,
        }
    }

    /// Somebody connected.
    pub(crate) fn handle_opened(&mut self, id: ConnectionId, peer: String, now_ms: u64) {
        if self.connections.len() >= self.limits.clients {
            log::warn!("{peer}: {} clients are connected, more than that are refused", self.limits.clients);
            self.effects.push_back(Effect::Close { connection: id });
            return;
        }
        let connection = Connection {
            decoder: Decoder::new(self.limits.packet_bytes),
            phase: Phase::Opening,
            peer,
            last_received_ms: now_ms,
            unwritten_bytes: 0,
        };
        self.connections.insert(id, connection);
    }

    /// Bytes came.
    pub(crate) fn handle_bytes(&mut self, id: ConnectionId, mut bytes: &[u8], now_ms: u64) {
        loop {
            // Gone since the last packet, perhaps because of it.
            let Some(connection) = self.connections.get_mut(&id) else { return };
            match connection.decoder.decode(&mut bytes) {
                Ok(None) => return,
                Ok(Some(packet)) => {
                    // Only whole packets count: keep-alive is about them.
                    connection.last_received_ms = now_ms;
                    self.handle_packet(id, packet, now_ms);
                }
                Err(error) => return self.handle_unreadable(id, error, now_ms),
            }
        }
    }

    fn handle_unreadable(&mut self, id: ConnectionId, error: MqttError, now_ms: u64) {
        let Some(connection) = self.connections.get(&id) else { return };
        match &connection.phase {
            Phase::Opening => {
                log::debug!("{}: no MQTT connection: {error:?}", connection.peer);
                self.refuse_unreadable(id, error);
            }
            Phase::Open(open) => {
                log::warn!("{} ({}): disconnected: {error:?}", shown(&open.client_id), connection.peer);
                let reason = DisconnectReasonCode::from(error);
                self.end(id, &Ending::Told(reason), now_ms);
                self.let_go(now_ms);
            }
        }
    }

    fn handle_packet(&mut self, id: ConnectionId, packet: Packet, now_ms: u64) {
        match packet {
            Packet::Connect(connect) => self.handle_connect(id, *connect, now_ms),
            Packet::Publish(publish) => self.handle_publish(id, publish, now_ms),
            Packet::Puback(packet_id) => self.handle_puback(id, packet_id, now_ms),
            Packet::Pubrel(packet_id) => self.handle_pubrel(id, packet_id),
            Packet::Unasked => {}
            Packet::Subscribe(subscribe) => self.handle_subscribe(id, subscribe, now_ms),
            Packet::Unsubscribe { packet_id, filters } => self.handle_unsubscribe(id, packet_id, &filters),
            Packet::Pingreq => {
                if let Some(version) = self.version(id) {
                    self.send(id, codec::pingresp(version));
                }
            }
            Packet::Disconnect { with_will, session_expiry_s } => {
                self.handle_disconnect(id, with_will, session_expiry_s, now_ms);
            }
        }
        self.end_if_flooded(id, now_ms);
        self.let_go(now_ms);
    }

    fn handle_disconnect(&mut self, id: ConnectionId, with_will: bool, expiry_s: Option<u32>, now_ms: u64) {
        let limit = self.limits.session_expiry_s;
        if let (Some(expiry_s), Some(session)) = (expiry_s, self.session(id)) {
            // What was to end with the connection cannot be made to last.
            if session.expiry_s == 0 && expiry_s > 0 {
                return self.end(id, &Ending::Told(DisconnectReasonCode::ProtocolError), now_ms);
            }
            session.expiry_s = expiry_s.min(limit);
        }
        self.end(id, if with_will { &Ending::Lost } else { &Ending::Clean }, now_ms);
    }

    /// The shell wrote so many of the bytes it was given, so there is room for more.
    pub(crate) fn handle_written(&mut self, id: ConnectionId, bytes: usize, now_ms: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.unwritten_bytes = connection.unwritten_bytes.saturating_sub(bytes);
        self.drain(id, now_ms);
    }

    /// The connection is gone without a goodbye.
    pub(crate) fn handle_closed(&mut self, id: ConnectionId, now_ms: u64) {
        self.end(id, &Ending::Lost, now_ms);
        self.let_go(now_ms);
    }

    /// The broker stops: no wills, nobody is left to read them.
    pub(crate) fn handle_stop(&mut self) {
        for (id, connection) in std::mem::take(&mut self.connections) {
            if let Phase::Open(open) = connection.phase {
                let bytes = codec::disconnect(open.version, DisconnectReasonCode::ServerShuttingDown);
                self.effects.extend(bytes.map(|bytes| Effect::Send { connection: id, bytes }));
            }
            self.effects.push_back(Effect::Close { connection: id });
        }
    }

    /// When [`Router::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let connections = self.connections.values().filter_map(Connection::silent_at_ms);
        let sessions = self.sessions.values().flat_map(|session| [session.will_at_ms, session.expires_at_ms]);
        connections.chain(sessions.flatten()).min()
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now_ms: u64) {
        let due = |at_ms: Option<u64>| at_ms.is_some_and(|at_ms| at_ms <= now_ms);
        let silent = self.connections.iter().filter(|(_, connection)| due(connection.silent_at_ms()));
        for id in silent.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end(id, &Ending::Told(DisconnectReasonCode::KeepAliveTimeout), now_ms);
        }
        let wills = self.sessions.iter().filter(|(_, session)| due(session.will_at_ms));
        for client_id in wills.map(|(client_id, _)| client_id.clone()).collect::<Vec<_>>() {
            self.publish_will(&client_id, now_ms);
        }
        let expired = self.sessions.iter().filter(|(_, session)| due(session.expires_at_ms));
        for client_id in expired.map(|(client_id, _)| client_id.clone()).collect::<Vec<_>>() {
            self.drop_session(&client_id, now_ms);
        }
        self.let_go(now_ms);
    }

    /// Ends a connection, and with it the session if that was not to last.
    fn end(&mut self, id: ConnectionId, ending: &Ending, now_ms: u64) {
        let Some(connection) = self.connections.remove(&id) else { return };
        let Phase::Open(open) = connection.phase else {
            self.effects.push_back(Effect::Close { connection: id });
            return;
        };
        log::debug!("{} ({}): connection ended", shown(&open.client_id), connection.peer);
        if let Ending::Told(reason) = ending {
            let bytes = codec::disconnect(open.version, *reason);
            self.effects.extend(bytes.map(|bytes| Effect::Send { connection: id, bytes }));
        }
        self.effects.push_back(Effect::Close { connection: id });
        let Some(session) = self.sessions.get_mut(&open.client_id) else { return };
        session.detach();
        if matches!(ending, Ending::Clean) {
            session.will = None;
        }
        if session.expiry_s == 0 {
            return self.drop_session(&open.client_id, now_ms);
        }
        session.expires_at_ms = Some(now_ms + u64::from(session.expiry_s) * 1000);
        match &session.will {
            Some(will) if will.delay_s > 0 => {
                session.will_at_ms = Some(now_ms + u64::from(will.delay_s) * 1000)
            }
            Some(_) => self.publish_will(&open.client_id, now_ms),
            None => {}
        }
    }

    /// The session is over, and so is the wait for its client to come back.
    fn drop_session(&mut self, client_id: &str, now_ms: u64) {
        let Some(mut session) = self.sessions.remove(client_id) else { return };
        if let Some(will) = session.will.take() {
            self.route_will(will, session.who, client_id, now_ms);
        }
    }

    fn publish_will(&mut self, client_id: &str, now_ms: u64) {
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        session.will_at_ms = None;
        if let (Some(will), who) = (session.will.take(), session.who) {
            self.route_will(will, who, client_id, now_ms);
        }
    }

    fn route_will(&mut self, will: Will, who: Who, client_id: &str, now_ms: u64) {
        if !self.access.may_publish(who, &will.message.topic) {
            let (client_id, topic) = (shown(client_id), shown(&will.message.topic));
            log::warn!("{client_id}: the will on {topic} is not published: not allowed");
            self.refused += 1;
            return;
        }
        let message = Message { expires_at_ms: expires(will.expiry_s, now_ms), ..will.message };
        let _ = self.route(message, client_id, now_ms);
    }

    /// Lets go of the clients for which too much waits. Their sessions go too: one with a gap would not be what it
    /// promises. The client finds none, subscribes again, and gets what is retained.
    fn let_go(&mut self, now_ms: u64) {
        // Their wills may be too much for others.
        while let Some(client_id) = self.overfull.pop() {
            let Some(session) = self.sessions.get(&client_id) else { continue };
            let (queued, connection) = (session.queued(), session.connection);
            log::warn!("{}: {queued} messages wait for it, too many: session dropped", shown(&client_id));
            self.too_slow += 1;
            if let Some(id) = connection {
                self.end(id, &Ending::Told(DisconnectReasonCode::QuotaExceeded), now_ms);
            }
            self.drop_session(&client_id, now_ms);
        }
    }

    fn open(&mut self, id: ConnectionId) -> Option<&mut Open> {
        match &mut self.connections.get_mut(&id)?.phase {
            Phase::Open(open) => Some(open),
            Phase::Opening => None,
        }
    }

    fn version(&mut self, id: ConnectionId) -> Option<Version> {
        self.open(id).map(|open| open.version)
    }

    fn session(&mut self, id: ConnectionId) -> Option<&mut Session> {
        let Phase::Open(open) = &self.connections.get(&id)?.phase else { return None };
        self.sessions.get_mut(&open.client_id)
    }

    fn send(&mut self, id: ConnectionId, bytes: Vec<u8>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.unwritten_bytes += bytes.len();
        self.effects.push_back(Effect::Send { connection: id, bytes });
    }

    /// Answers are not held back, so who asks and does not read has to go.
    fn end_if_flooded(&mut self, id: ConnectionId, now_ms: u64) {
        let flooded = |connection: &Connection| connection.unwritten_bytes > UNWRITTEN_BYTES_MAX;
        if self.connections.get(&id).is_some_and(flooded) {
            self.too_slow += 1;
            self.end(id, &Ending::Told(DisconnectReasonCode::QuotaExceeded), now_ms);
        }
    }
}

impl Connection {
    /// When its silence has lasted too long.
    fn silent_at_ms(&self) -> Option<u64> {
        match &self.phase {
            Phase::Opening => Some(self.last_received_ms + OPENING_MS),
            Phase::Open(open) => Some(self.last_received_ms + open.keep_alive_ms?),
        }
    }
}

fn expires(expiry_s: Option<u32>, now_ms: u64) -> Option<u64> {
    expiry_s.map(|expiry_s| now_ms + u64::from(expiry_s) * 1000)
}

/// A stranger's text for the log: escaped, and not all of it.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(100).collect::<String>())
}

#[cfg(test)]
mod tests;
