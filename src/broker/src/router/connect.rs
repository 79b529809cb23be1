//! CONNECT: who it is, whether there is room, and which session it comes back to.

use super::{ConnectionId, Ending, Open, Phase, Router, shown};
use crate::access::Who;
use crate::codec::{self, Connect, ConnectReasonCode, DisconnectReasonCode, Granted, MqttError, Version};
use crate::session::Session;
use crate::topic;

impl Router {
    /// What came first was no CONNECT, or not one of ours.
    pub(super) fn refuse_unreadable(&mut self, id: ConnectionId, error: MqttError) {
        let reason = if error == MqttError::UnsupportedProtocolVersion {
            ConnectReasonCode::UnsupportedProtocolVersion
        } else if error == MqttError::ClientIdentifierNotValid {
            ConnectReasonCode::ClientIdentifierNotValid
        } else {
            // It may not be MQTT at all.
            return self.end(id, &Ending::Lost, 0);
        };
        // A client that knows only a newer version understands of this that it was refused.
        self.refuse(id, Version::V4, reason);
    }

    fn refuse(&mut self, id: ConnectionId, version: Version, reason: ConnectReasonCode) {
        self.send(id, codec::connack_refused(version, reason));
        // Without a session time does not matter.
        self.end(id, &Ending::Lost, 0);
    }

    pub(super) fn handle_connect(&mut self, id: ConnectionId, mut connect: Connect, now_ms: u64) {
        let who = match self.check(&connect) {
            Ok(who) => who,
            Err(reason) => {
                let peer = self.connections.get(&id).map_or("", |connection| connection.peer.as_str());
                log::warn!("{} ({peer}): connection refused: {reason:?}", shown(&connect.client_id));
                return self.refuse(id, connect.version, reason);
            }
        };
        let assigned = connect.client_id.is_empty().then(|| format!("anonymous-{}", id.0));
        if let Some(assigned) = &assigned {
            connect.client_id.clone_from(assigned);
        }
        let session_present = self.take_session(&connect, who, now_ms);
        self.attach(id, connect, who, session_present, assigned);
        self.drain(id, now_ms);
    }

    fn check(&self, connect: &Connect) -> Result<Who, ConnectReasonCode> {
        if connect.enhanced_authentication {
            return Err(ConnectReasonCode::BadAuthenticationMethod);
        }
        let who = self.access.let_in(connect.username.as_deref(), connect.password.as_deref());
        let who = who.ok_or(ConnectReasonCode::BadUserNameOrPassword)?;
        // MQTT 3.1.1: without an id there is nothing to come back to.
        let nameless = connect.client_id.is_empty() && connect.version == Version::V4 && !connect.clean;
        if nameless || connect.client_id.len() > self.limits.topic_bytes {
            return Err(ConnectReasonCode::ClientIdentifierNotValid);
        }
        // Else one user could throw another out, and read what waits for it.
        if self.sessions.get(&connect.client_id).is_some_and(|session| session.who != who) {
            return Err(ConnectReasonCode::NotAuthorized);
        }
        match &connect.will {
            Some(will) if !self.is_topic(&will.message.topic) => Err(ConnectReasonCode::TopicNameInvalid),
            _ => Ok(who),
        }
    }

    pub(super) fn is_topic(&self, topic: &str) -> bool {
        topic.len() <= self.limits.topic_bytes && topic::is_topic(topic) && !topic.starts_with('$')
    }

    /// Ends what the client id had before, and finds or makes its session. True if there was one to come back to.
    fn take_session(&mut self, connect: &Connect, who: Who, now_ms: u64) -> bool {
        let client_id = &connect.client_id;
        if let Some(old) = self.sessions.get(client_id).and_then(|session| session.connection) {
            log::info!(
                "{}: another client with this id connected; the first is disconnected",
                shown(client_id)
            );
            self.end(old, &Ending::Told(DisconnectReasonCode::SessionTakenOver), now_ms);
        }
        if connect.clean {
            self.drop_session(client_id, now_ms);
        }
        if self.sessions.contains_key(client_id) {
            return true;
        }
        self.make_room(now_ms);
        self.sessions.insert(client_id.clone(), Session::new(who));
        false
    }

    /// Drops the session that was left longest ago. One without connection exists: there are more sessions than
    /// connections.
    fn make_room(&mut self, now_ms: u64) {
        if self.sessions.len() < self.limits.sessions {
            return;
        }
        let left =
            self.sessions.iter().filter_map(|(client_id, session)| Some((session.expires_at_ms?, client_id)));
        if let Some(client_id) = left.min().map(|(_, client_id)| client_id.clone()) {
            log::warn!("{}: session dropped to make room for another", shown(&client_id));
            self.drop_session(&client_id, now_ms);
        }
    }

    fn attach(
        &mut self,
        id: ConnectionId,
        connect: Connect,
        who: Who,
        session_present: bool,
        assigned: Option<String>,
    ) {
        let expiry_s = connect.session_expiry_s.min(self.limits.session_expiry_s);
        let (Some(session), Some(connection)) =
            (self.sessions.get_mut(&connect.client_id), self.connections.get_mut(&id))
        else {
            return;
        };
        log::debug!("{} ({}): connected", shown(&connect.client_id), connection.peer);
        session.connection = Some(id);
        session.expiry_s = expiry_s;
        session.expires_at_ms = None;
        session.will_at_ms = None;
        session.will = connect.will;
        connection.phase = Phase::Open(Open {
            client_id: connect.client_id,
            version: connect.version,
            who,
            keep_alive_ms: (connect.keep_alive_s > 0).then(|| u64::from(connect.keep_alive_s) * 1500),
            packet_max: connect.packet_max,
            window: usize::from(connect.receive_max.min(self.limits.in_flight)),
            warned: false,
        });
        let granted = Granted {
            session_present,
            packet_bytes: self.limits.packet_bytes,
            session_expiry_s: expiry_s,
            client_id: assigned,
        };
        self.send(id, codec::connack(connect.version, granted));
    }
}
