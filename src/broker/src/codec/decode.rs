//! What clients send. The library checks lengths, strings and properties; the bits it lets pass are checked here.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "MQTT 5's many properties, of which few concern the broker"
)]

use mqtt_protocol_core::mqtt::ArcPayload;
use mqtt_protocol_core::mqtt::common::{Arc, Cursor};
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData, RawPacket};
use mqtt_protocol_core::mqtt::packet::{Property, Qos, SubEntry, v3_1_1, v5_0};

use super::{Connect, DisconnectReasonCode, Entry, MqttError, Packet, Publish, Subscribe, Version, Will};
use crate::message::Message;

/// More properties than anybody needs; each costs much more memory than its few bytes on the wire.
const PROPERTIES_MAX: usize = 64;

/// The types of packets that clients send.
const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const PUBREL: u8 = 6;
const PUBCOMP: u8 = 7;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;
const PINGREQ: u8 = 12;
const DISCONNECT: u8 = 14;

/// Of CONNECT, which has no flags.
const FIRST_BYTE: u8 = CONNECT << 4;

/// Cuts a connection's bytes into packets.
pub(crate) struct Decoder {
    builder: PacketBuilder,
    /// Known from CONNECT on.
    version: Option<Version>,
    /// The first byte came, and was right.
    begun: bool,
}

impl Decoder {
    pub(crate) fn new(packet_bytes: u32) -> Decoder {
        Decoder {
            builder: PacketBuilder::with_maximum_packet_size(packet_bytes),
            version: None,
            begun: false,
        }
    }

    /// The next packet, of which `bytes` loses what was read; `None` if there is not all of it.
    pub(crate) fn decode(&mut self, bytes: &mut &[u8]) -> Result<Option<Packet>, MqttError> {
        // What speaks no MQTT is found out at once, and not after the length that it seems to announce.
        if !self.begun && bytes.first().is_some_and(|first| *first != FIRST_BYTE) {
            return Err(MqttError::ProtocolError);
        }
        self.begun |= !bytes.is_empty();
        while !bytes.is_empty() {
            let mut cursor = Cursor::new(*bytes);
            let built = self.builder.feed(&mut cursor);
            let read = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
            *bytes = bytes.get(read..).unwrap_or_default();
            match built {
                PacketBuildResult::Complete(raw) => return self.packet(&raw).map(Some),
                PacketBuildResult::Incomplete => {}
                PacketBuildResult::Error(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn packet(&mut self, raw: &RawPacket) -> Result<Packet, MqttError> {
        check_flags(raw)?;
        match (self.version, raw.packet_type()) {
            (None, CONNECT) => {
                let connect = connect(raw)?;
                self.version = Some(connect.version);
                Ok(Packet::Connect(Box::new(connect)))
            }
            // Nothing comes before CONNECT, and it does not come again.
            (None, _) | (Some(_), CONNECT) => Err(MqttError::ProtocolError),
            (Some(Version::V4), kind) => packet_v4(raw, kind),
            (Some(Version::V5), kind) => packet_v5(raw, kind),
        }
    }
}

fn connect(raw: &RawPacket) -> Result<Connect, MqttError> {
    let data = raw.data_as_slice();
    let (Some(version), Some(connect_flags)) = (data.get(6), data.get(7)) else {
        return Err(MqttError::MalformedPacket);
    };
    let (will, will_rest) = (connect_flags & 0b100 != 0, connect_flags & 0b11_1000);
    let reserved = connect_flags & 1 != 0;
    if reserved || !will && will_rest != 0 || will_rest & 0b1_1000 == 0b1_1000 {
        return Err(MqttError::MalformedPacket);
    }
    match version {
        4 => connect_v4(&raw.parse_exact(v3_1_1::Connect::parse)?),
        5 => connect_v5(&raw.parse_exact(v5_0::Connect::parse)?),
        _ => Err(MqttError::UnsupportedProtocolVersion),
    }
}

fn connect_v4(packet: &v3_1_1::Connect) -> Result<Connect, MqttError> {
    let will = packet.will_topic().map(|topic| Will {
        message: Message {
            topic: topic.to_owned(),
            payload: payload(packet.will_payload().unwrap_or_default()),
            at_least_once: packet.will_qos() != Qos::AtMostOnce,
            retain: packet.will_retain(),
            expires_at_ms: None,
            properties: Vec::new(),
        },
        expiry_s: None,
        delay_s: 0,
    });
    Ok(Connect {
        version: Version::V4,
        client_id: packet.client_id().to_owned(),
        clean: packet.clean_session(),
        keep_alive_s: packet.keep_alive(),
        username: packet.user_name().map(str::to_owned),
        password: packet.password().map(<[u8]>::to_vec),
        will,
        session_expiry_s: if packet.clean_session() { 0 } else { u32::MAX },
        receive_max: u16::MAX,
        packet_max: usize::MAX,
        enhanced_authentication: false,
    })
}

fn connect_v5(packet: &v5_0::Connect) -> Result<Connect, MqttError> {
    let mut connect = Connect {
        version: Version::V5,
        client_id: packet.client_id().to_owned(),
        clean: packet.clean_start(),
        keep_alive_s: packet.keep_alive(),
        username: packet.user_name().map(str::to_owned),
        password: packet.password().map(<[u8]>::to_vec),
        will: packet.will_topic().map(|topic| will_v5(packet, topic)).transpose()?,
        session_expiry_s: 0,
        receive_max: u16::MAX,
        packet_max: usize::MAX,
        enhanced_authentication: false,
    };
    for property in packet.props() {
        match property {
            Property::SessionExpiryInterval(value) => connect.session_expiry_s = value.val(),
            Property::ReceiveMaximum(value) => connect.receive_max = value.val(),
            Property::MaximumPacketSize(value) => {
                connect.packet_max = usize::try_from(value.val()).unwrap_or(usize::MAX);
            }
            Property::AuthenticationMethod(_) => connect.enhanced_authentication = true,
            _ => {}
        }
    }
    if connect.receive_max == 0 || connect.packet_max == 0 {
        return Err(MqttError::ProtocolError);
    }
    Ok(connect)
}

fn will_v5(packet: &v5_0::Connect, topic: &str) -> Result<Will, MqttError> {
    let mut will = Will {
        message: Message {
            topic: topic.to_owned(),
            payload: payload(packet.will_payload().unwrap_or_default()),
            at_least_once: packet.will_qos() != Qos::AtMostOnce,
            retain: packet.will_retain(),
            expires_at_ms: None,
            properties: passed_on(packet.will_props())?,
        },
        expiry_s: None,
        delay_s: 0,
    };
    for property in packet.will_props() {
        match property {
            Property::WillDelayInterval(value) => will.delay_s = value.val(),
            Property::MessageExpiryInterval(value) => will.expiry_s = Some(value.val()),
            _ => {}
        }
    }
    Ok(will)
}

/// The properties of a message that go on to its subscribers as they are.
fn passed_on(properties: &[Property]) -> Result<Vec<Property>, MqttError> {
    if properties.len() > PROPERTIES_MAX {
        return Err(MqttError::QuotaExceeded);
    }
    let passed_on = properties.iter().filter(|property| {
        matches!(
            property,
            Property::PayloadFormatIndicator(_)
                | Property::ContentType(_)
                | Property::ResponseTopic(_)
                | Property::CorrelationData(_)
                | Property::UserProperty(_)
        )
    });
    Ok(passed_on.cloned().collect())
}

fn payload(bytes: &[u8]) -> ArcPayload {
    ArcPayload::new(Arc::from(bytes), 0, bytes.len())
}

/// The lower half of a packet's first byte, which for all but PUBLISH has one allowed value.
fn check_flags(raw: &RawPacket) -> Result<(), MqttError> {
    let allowed = match raw.packet_type() {
        PUBLISH => return Ok(()),
        PUBREL | SUBSCRIBE | UNSUBSCRIBE => 0b0010,
        _ => 0,
    };
    if raw.flags() == allowed { Ok(()) } else { Err(MqttError::MalformedPacket) }
}

fn packet_id(id: u16) -> Result<u16, MqttError> {
    if id == 0 { Err(MqttError::ProtocolError) } else { Ok(id) }
}

fn publish_bytes(raw: &RawPacket) -> Result<Arc<[u8]>, MqttError> {
    // At QoS 0 nothing is sent twice.
    if raw.flags() & 0b1110 == 0b1000 {
        return Err(MqttError::MalformedPacket);
    }
    match &raw.data {
        PacketData::Publish(bytes) => Ok(bytes.clone()),
        PacketData::Normal(_) => Err(MqttError::MalformedPacket),
    }
}

fn packet_v4(raw: &RawPacket, kind: u8) -> Result<Packet, MqttError> {
    Ok(match kind {
        PUBLISH => {
            let (packet, _) = v3_1_1::Publish::parse(raw.flags(), publish_bytes(raw)?)?;
            Packet::Publish(Publish {
                packet_id: packet.packet_id().map(packet_id).transpose()?,
                exactly_once: packet.qos() == Qos::ExactlyOnce,
                message: Message {
                    topic: packet.topic_name().to_owned(),
                    payload: packet.payload().clone(),
                    at_least_once: packet.qos() != Qos::AtMostOnce,
                    retain: packet.retain(),
                    expires_at_ms: None,
                    properties: Vec::new(),
                },
                expiry_s: None,
            })
        }
        PUBACK => Packet::Puback(raw.parse_exact(v3_1_1::Puback::parse)?.packet_id()),
        PUBREC | PUBCOMP => Packet::Unasked,
        PUBREL => Packet::Pubrel(packet_id(raw.parse_exact(v3_1_1::Pubrel::parse)?.packet_id())?),
        SUBSCRIBE => {
            let packet = raw.parse_exact(v3_1_1::Subscribe::parse)?;
            subscribe(packet.packet_id(), None, packet.entries())?
        }
        UNSUBSCRIBE => {
            let packet = raw.parse_exact(v3_1_1::Unsubscribe::parse)?;
            let filters = packet.entries().iter().map(|filter| filter.as_str().to_owned()).collect();
            Packet::Unsubscribe { packet_id: packet_id(packet.packet_id())?, filters }
        }
        PINGREQ if raw.remaining_length() == 0 => Packet::Pingreq,
        DISCONNECT if raw.remaining_length() == 0 => {
            Packet::Disconnect { with_will: false, session_expiry_s: None }
        }
        PINGREQ | DISCONNECT => return Err(MqttError::MalformedPacket),
        _ => return Err(MqttError::ProtocolError),
    })
}

fn packet_v5(raw: &RawPacket, kind: u8) -> Result<Packet, MqttError> {
    Ok(match kind {
        PUBLISH => Packet::Publish(publish_v5(raw)?),
        PUBACK => Packet::Puback(raw.parse_exact(v5_0::Puback::parse)?.packet_id()),
        PUBREC | PUBCOMP => Packet::Unasked,
        PUBREL => Packet::Pubrel(packet_id(raw.parse_exact(v5_0::Pubrel::parse)?.packet_id())?),
        SUBSCRIBE => {
            let packet = raw.parse_exact(v5_0::Subscribe::parse)?;
            let identifier = packet.props().iter().find_map(|property| match property {
                Property::SubscriptionIdentifier(value) => Some(value.val()),
                _ => None,
            });
            subscribe(packet.packet_id(), identifier, packet.entries())?
        }
        UNSUBSCRIBE => {
            let packet = raw.parse_exact(v5_0::Unsubscribe::parse)?;
            let filters = packet.entries().iter().map(|filter| filter.as_str().to_owned()).collect();
            Packet::Unsubscribe { packet_id: packet_id(packet.packet_id())?, filters }
        }
        PINGREQ if raw.remaining_length() == 0 => Packet::Pingreq,
        PINGREQ => return Err(MqttError::MalformedPacket),
        DISCONNECT => {
            let packet = raw.parse_exact(v5_0::Disconnect::parse)?;
            let session_expiry_s = packet.props().iter().flatten().find_map(|property| match property {
                Property::SessionExpiryInterval(value) => Some(value.val()),
                _ => None,
            });
            // Any reason but the normal one is a failure, after which the will is published.
            let reason = packet.reason_code().unwrap_or(DisconnectReasonCode::NormalDisconnection);
            Packet::Disconnect {
                with_will: reason != DisconnectReasonCode::NormalDisconnection,
                session_expiry_s,
            }
        }
        _ => return Err(MqttError::ProtocolError),
    })
}

fn publish_v5(raw: &RawPacket) -> Result<Publish, MqttError> {
    let (packet, _) = v5_0::Publish::parse(raw.flags(), publish_bytes(raw)?)?;
    let mut expiry_s = None;
    for property in packet.props() {
        match property {
            // No alias was offered.
            Property::TopicAlias(_) => return Err(MqttError::TopicAliasInvalid),
            Property::SubscriptionIdentifier(_) => return Err(MqttError::ProtocolError),
            Property::MessageExpiryInterval(value) => expiry_s = Some(value.val()),
            _ => {}
        }
    }
    Ok(Publish {
        packet_id: packet.packet_id().map(packet_id).transpose()?,
        exactly_once: packet.qos() == Qos::ExactlyOnce,
        message: Message {
            topic: packet.topic_name().to_owned(),
            payload: packet.payload().clone(),
            at_least_once: packet.qos() != Qos::AtMostOnce,
            retain: packet.retain(),
            expires_at_ms: None,
            properties: passed_on(packet.props())?,
        },
        expiry_s,
    })
}

fn subscribe(id: u16, identifier: Option<u32>, entries: &[SubEntry]) -> Result<Packet, MqttError> {
    let entries = entries.iter().map(|entry| Entry {
        filter: entry.topic_filter().to_owned(),
        at_least_once: entry.sub_opts().qos() != Qos::AtMostOnce,
        no_local: entry.sub_opts().nl(),
        retain_as_published: entry.sub_opts().rap(),
        retained: entry.sub_opts().rh(),
    });
    Ok(Packet::Subscribe(Subscribe { packet_id: packet_id(id)?, identifier, entries: entries.collect() }))
}
