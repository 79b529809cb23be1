//! MQTT 3.1.1.

use std::time::Duration;

use rumqttc::mqttbytes::Error as FormatError;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions,
    Outgoing, Packet, QoS, StateError, SubscribeFilter, SubscribeReasonCode,
};

use crate::link::{Lost, LostKind, NAMED_UP_TO, PACKET_IDS, QueueFull, REQUESTS_MAX, Route, Step};
use crate::options::{Options, Publish};

pub(crate) struct Link {
    events: EventLoop,
    connected: bool,
}

impl Link {
    pub(crate) fn new(options: &Options, route: Route) -> (AsyncClient, Link) {
        let mut mqtt = MqttOptions::new(&options.client_id, route.host, options.port);
        mqtt.set_transport(route.transport);
        mqtt.set_keep_alive(options.keep_alive_from(Duration::from_secs(1)));
        // An empty client id is the broker's to choose, so there is no session to come back to.
        mqtt.set_clean_session(options.clean_session || options.client_id.is_empty());
        mqtt.set_inflight(PACKET_IDS);
        // What is sent was measured before; the limits here are the last resort.
        mqtt.set_max_packet_size(options.packet_max.saturating_mul(NAMED_UP_TO), usize::MAX);
        if let Some((username, password)) = options.login() {
            mqtt.set_credentials(username, password);
        }
        if let Some(will) = &options.will {
            let last = LastWill::new(&will.topic, will.payload.clone(), QoS::AtLeastOnce, will.retain);
            mqtt.set_last_will(last);
        }
        let (client, mut events) = AsyncClient::new(mqtt, REQUESTS_MAX);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(route.answer_max_s);
        events.set_network_options(network);
        (client, Link { events, connected: false })
    }

    pub(crate) async fn next(&mut self) -> Result<Step, Lost> {
        match self.events.poll().await {
            Ok(Event::Incoming(packet)) => Ok(self.incoming(packet)),
            Ok(Event::Outgoing(outgoing)) => Ok(sent(&outgoing)),
            Err(error) => Err(lost(error, self.connected)),
        }
    }

    fn incoming(&mut self, packet: Packet) -> Step {
        match packet {
            Packet::ConnAck(answer) => {
                self.connected = true;
                Step::Connected { session_present: answer.session_present, packet_max: None }
            }
            Packet::Publish(publish) => Step::Message {
                topic: publish.topic,
                payload: publish.payload.to_vec(),
                retained: publish.retain,
            },
            Packet::PubAck(ack) => Step::Acked { packet_id: ack.pkid, refused: None },
            Packet::SubAck(answer) => {
                let refused = answer.return_codes.iter().map(|code| match code {
                    SubscribeReasonCode::Success(_) => None,
                    SubscribeReasonCode::Failure => Some("the broker does not say why".to_owned()),
                });
                Step::SubscribeAnswered { packet_id: answer.pkid, refused: refused.collect() }
            }
            Packet::Connect(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::PingResp
            | Packet::Disconnect => Step::Other,
        }
    }
}

/// Also what MQTT 5 tells of what it wrote.
pub(crate) fn sent(outgoing: &Outgoing) -> Step {
    match outgoing {
        Outgoing::Publish(packet_id) => Step::Sent(*packet_id),
        Outgoing::Subscribe(packet_id) => Step::SubscribeSent(*packet_id),
        Outgoing::Disconnect => Step::DisconnectSent,
        Outgoing::Unsubscribe(_)
        | Outgoing::PubAck(_)
        | Outgoing::PubRec(_)
        | Outgoing::PubRel(_)
        | Outgoing::PubComp(_)
        | Outgoing::PingReq
        | Outgoing::PingResp
        | Outgoing::AwaitAck(_) => Step::Other,
    }
}

pub(crate) fn publish(client: &AsyncClient, publish: Publish) -> Result<(), QueueFull> {
    let Publish { topic, payload, retain } = publish;
    client.try_publish(topic, QoS::AtLeastOnce, retain, payload).map_err(|_| QueueFull)
}

pub(crate) fn subscribe(client: &AsyncClient, filters: &[String]) -> Result<(), QueueFull> {
    let filters = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
    client.try_subscribe_many(filters).map_err(|_| QueueFull)
}

fn lost(error: ConnectionError, connected: bool) -> Lost {
    match error {
        ConnectionError::ConnectionRefused(code) => refused(code),
        ConnectionError::MqttState(StateError::Deserialization(FormatError::PayloadSizeLimitExceeded(
            bytes,
        ))) => Lost::oversized(bytes),
        ConnectionError::Io(error)
        | ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(FormatError::Io(error)),
        ) => Lost::io(&error),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => Lost::plain("no answer in time"),
        ConnectionError::MqttState(StateError::AwaitPingResp) => {
            Lost::plain("the broker does not answer any more")
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) if connected => {
            Lost::plain("the broker closed the connection").cut()
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => Lost::unread(
            "the connection was closed before an answer: is it an MQTT broker that listens there?",
        )
        .cut(),
        ConnectionError::NotConnAck(_) => Lost::unread("the answer was not MQTT 3.1.1"),
        error @ (ConnectionError::MqttState(_) | ConnectionError::RequestsDone) => {
            Lost::plain(error.to_string())
        }
    }
}

fn refused(code: ConnectReturnCode) -> Lost {
    match code {
        ConnectReturnCode::RefusedProtocolVersion => Lost {
            why: "the broker does not speak MQTT 3.1.1".into(),
            kind: LostKind::VersionRefused,
            cut: false,
        },
        ConnectReturnCode::BadClientId => Lost::plain("the broker does not take this client id"),
        ConnectReturnCode::ServiceUnavailable => Lost::plain("the broker says that it is unavailable"),
        ConnectReturnCode::BadUserNamePassword => Lost::plain("wrong user name or password"),
        ConnectReturnCode::NotAuthorized => {
            Lost::plain("not authorised: wrong user name or password, or none where the broker wants them")
        }
        ConnectReturnCode::Success => Lost::plain("the broker took the connection and the library did not"),
    }
}
