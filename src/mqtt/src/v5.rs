//! MQTT 5.

#![expect(clippy::wildcard_enum_match_arm, reason = "the library's packets and MQTT's many reason codes")]

use std::time::Duration;

use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, DisconnectReasonCode, Filter, LastWill, LastWillProperties, Packet, PubAckReason,
    SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error as FormatError, QoS};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};

use crate::link::{Lost, LostKind, PACKET_IDS, QueueFull, REQUESTS_MAX, Route, Step};
use crate::options::{Options, Publish};
use crate::v4;

pub(crate) struct Link {
    events: EventLoop,
    connected: bool,
}

impl Link {
    pub(crate) fn new(options: &Options, route: Route, session_expiry_s: u32) -> (AsyncClient, Link) {
        let mut mqtt = MqttOptions::new(&options.client_id, route.host, options.port);
        mqtt.set_transport(route.transport);
        // The library takes no less.
        mqtt.set_keep_alive(options.keep_alive_from(Duration::from_secs(5)));
        mqtt.set_clean_start(options.clean_session || options.client_id.is_empty());
        mqtt.set_outgoing_inflight_upper_limit(PACKET_IDS);
        mqtt.set_session_expiry_interval(Some(session_expiry_s));
        // The broker skips what is larger.
        mqtt.set_max_packet_size(Some(u32::try_from(options.packet_max).unwrap_or(u32::MAX)));
        if let Some((username, password)) = options.login() {
            mqtt.set_credentials(username, password);
        }
        if let Some(will) = &options.will {
            mqtt.set_last_will(last_will(will, options.will_delay_s));
        }
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(route.answer_max_s);
        mqtt.set_network_options(network);
        let (client, events) = AsyncClient::new(mqtt, REQUESTS_MAX);
        (client, Link { events, connected: false })
    }

    pub(crate) async fn next(&mut self) -> Result<Step, Lost> {
        match self.events.poll().await {
            Ok(Event::Incoming(packet)) => Ok(self.incoming(packet)),
            Ok(Event::Outgoing(outgoing)) => Ok(v4::sent(&outgoing)),
            Err(error) => Err(lost(error, self.connected)),
        }
    }

    fn incoming(&mut self, packet: Packet) -> Step {
        match packet {
            Packet::ConnAck(answer) => {
                self.connected = true;
                let packet_max = answer.properties.and_then(|properties| properties.max_packet_size);
                Step::Connected {
                    session_present: answer.session_present,
                    packet_max: packet_max.and_then(|bytes| usize::try_from(bytes).ok()),
                }
            }
            Packet::Publish(publish) => Step::Message {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                payload: publish.payload.to_vec(),
                retained: publish.retain,
            },
            Packet::PubAck(ack) => Step::Acked {
                packet_id: ack.pkid,
                refused: match ack.reason {
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers => None,
                    PubAckReason::NotAuthorized => Some("not authorised".to_owned()),
                    reason => Some(format!("{reason:?}")),
                },
            },
            Packet::SubAck(answer) => {
                let refused = answer.return_codes.iter().map(|code| match code {
                    SubscribeReasonCode::Success(_) => None,
                    SubscribeReasonCode::NotAuthorized => Some("not authorised".to_owned()),
                    reason => Some(format!("{reason:?}")),
                });
                Step::SubscribeAnswered { packet_id: answer.pkid, refused: refused.collect() }
            }
            _ => Step::Other,
        }
    }
}

fn last_will(will: &Publish, delay_s: u32) -> LastWill {
    let properties = LastWillProperties {
        delay_interval: Some(delay_s),
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    LastWill::new(&will.topic, will.payload.clone(), QoS::AtLeastOnce, will.retain, Some(properties))
}

pub(crate) fn publish(client: &AsyncClient, publish: Publish) -> Result<(), QueueFull> {
    let Publish { topic, payload, retain } = publish;
    client.try_publish(topic, QoS::AtLeastOnce, retain, payload).map_err(|_| QueueFull)
}

pub(crate) fn subscribe(client: &AsyncClient, filters: &[String]) -> Result<(), QueueFull> {
    let filters = filters.iter().map(|filter| Filter::new(filter.clone(), QoS::AtLeastOnce));
    client.try_subscribe_many(filters).map_err(|_| QueueFull)
}

fn lost(error: ConnectionError, connected: bool) -> Lost {
    match error {
        ConnectionError::ConnectionRefused(code) => refused(code),
        ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error)) => Lost::io(&error),
        ConnectionError::MqttState(StateError::IncomingPacketTooLarge { pkt_size, .. }) => {
            Lost::oversized(pkt_size)
        }
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            closed_by_broker(reason_code, reason_string)
        }
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
        // A broker that knows only 3.1.1 may answer in too few bytes for MQTT 5, and then the library waits for more.
        ConnectionError::Timeout(_) => Lost::unread("no answer in time"),
        ConnectionError::NotConnAck(_) => Lost::unread("the answer was not MQTT 5"),
        ConnectionError::MqttState(error) if !connected => {
            let cut = matches!(error, StateError::Deserialization(FormatError::Io(_)));
            Lost { cut, ..Lost::unread(format!("the answer was not MQTT 5: {error}")) }
        }
        error @ (ConnectionError::MqttState(_) | ConnectionError::RequestsDone) => {
            Lost::plain(error.to_string())
        }
    }
}

fn closed_by_broker(code: DisconnectReasonCode, text: Option<String>) -> Lost {
    let why = match code {
        DisconnectReasonCode::SessionTakenOver => {
            "another client connected with the same client id".to_owned()
        }
        DisconnectReasonCode::ServerShuttingDown => "the broker is shutting down".to_owned(),
        code => format!("the broker closed the connection: {code:?}"),
    };
    Lost::plain(text.map_or(why.clone(), |text| format!("{why} ({text:?})")))
}

fn refused(code: ConnectReturnCode) -> Lost {
    match code {
        ConnectReturnCode::RefusedProtocolVersion | ConnectReturnCode::UnsupportedProtocolVersion => Lost {
            why: "the broker does not speak MQTT 5".into(),
            kind: LostKind::VersionRefused,
            cut: false,
        },
        ConnectReturnCode::BadUserNamePassword => Lost::plain("wrong user name or password"),
        ConnectReturnCode::NotAuthorized => {
            Lost::plain("not authorised: wrong user name or password, or none where the broker wants them")
        }
        ConnectReturnCode::BadClientId | ConnectReturnCode::ClientIdentifierNotValid => {
            Lost::plain("the broker does not take this client id")
        }
        ConnectReturnCode::ServerUnavailable | ConnectReturnCode::ServiceUnavailable => {
            Lost::plain("the broker says that it is unavailable")
        }
        code => Lost::plain(format!("the broker refused the connection: {code:?}")),
    }
}
