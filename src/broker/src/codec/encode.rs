//! What the broker sends.

#![expect(clippy::wildcard_enum_match_arm, reason = "MQTT 5's many reason codes, and the few of MQTT 3.1.1")]

use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumPacketSize, MessageExpiryInterval, Property, Qos, SessionExpiryInterval,
    SharedSubscriptionAvailable, SubscriptionIdentifier, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReturnCode, PubcompReasonCode, PubrecReasonCode, SubackReturnCode,
};

use super::{
    ConnectReasonCode, DisconnectReasonCode, Granted, MqttError, PubackReasonCode, Sent, SubackReasonCode,
    UnsubackReasonCode, Version,
};

/// The builders refuse only what the broker never makes: strings beyond 64 KiB, a QoS 1 without packet id.
fn bytes(built: Result<Vec<u8>, MqttError>) -> Vec<u8> {
    built.unwrap_or_else(|error| {
        log::error!("a packet could not be written: {error:?}");
        Vec::new()
    })
}

pub(crate) fn connack(version: Version, granted: Granted) -> Vec<u8> {
    bytes(match version {
        Version::V4 => {
            let packet = v3_1_1::Connack::builder()
                .session_present(granted.session_present)
                .return_code(ConnectReturnCode::Accepted);
            packet.build().map(|packet| packet.to_continuous_buffer())
        }
        Version::V5 => connack_v5(granted).map(|packet| packet.to_continuous_buffer()),
    })
}

fn connack_v5(granted: Granted) -> Result<v5_0::Connack, MqttError> {
    let mut properties = vec![
        Property::SessionExpiryInterval(SessionExpiryInterval::new(granted.session_expiry_s)?),
        Property::MaximumPacketSize(MaximumPacketSize::new(granted.packet_bytes)?),
        Property::SharedSubscriptionAvailable(SharedSubscriptionAvailable::new(0)?),
    ];
    if let Some(client_id) = granted.client_id {
        properties.push(Property::AssignedClientIdentifier(AssignedClientIdentifier::new(client_id)?));
    }
    v5_0::Connack::builder()
        .session_present(granted.session_present)
        .reason_code(ConnectReasonCode::Success)
        .props(properties)
        .build()
}

pub(crate) fn connack_refused(version: Version, reason: ConnectReasonCode) -> Vec<u8> {
    bytes(match version {
        Version::V4 => {
            let code = match reason {
                ConnectReasonCode::UnsupportedProtocolVersion => {
                    ConnectReturnCode::UnacceptableProtocolVersion
                }
                ConnectReasonCode::ClientIdentifierNotValid => ConnectReturnCode::IdentifierRejected,
                ConnectReasonCode::BadUserNameOrPassword => ConnectReturnCode::BadUserNameOrPassword,
                ConnectReasonCode::NotAuthorized => ConnectReturnCode::NotAuthorized,
                _ => ConnectReturnCode::ServerUnavailable,
            };
            let packet = v3_1_1::Connack::builder().session_present(false).return_code(code);
            packet.build().map(|packet| packet.to_continuous_buffer())
        }
        Version::V5 => {
            let packet = v5_0::Connack::builder().session_present(false).reason_code(reason);
            packet.build().map(|packet| packet.to_continuous_buffer())
        }
    })
}

pub(crate) fn publish(version: Version, sent: &Sent<'_>) -> Vec<u8> {
    bytes(match version {
        Version::V4 => publish_v4_packet(sent).map(|packet| packet.to_continuous_buffer()),
        Version::V5 => publish_v5_packet(sent).map(|packet| packet.to_continuous_buffer()),
    })
}

fn publish_v4_packet(sent: &Sent<'_>) -> Result<v3_1_1::Publish, MqttError> {
    let packet = v3_1_1::Publish::builder()
        .topic_name(sent.message.topic.as_str())?
        .retain(sent.retain)
        .payload(sent.message.payload.clone());
    match sent.packet_id {
        Some(id) => packet.qos(Qos::AtLeastOnce).packet_id(id).dup(sent.duplicate).build(),
        None => packet.qos(Qos::AtMostOnce).build(),
    }
}

fn publish_v5_packet(sent: &Sent<'_>) -> Result<v5_0::Publish, MqttError> {
    let mut properties = sent.message.properties.clone();
    for identifier in sent.identifiers {
        properties.push(Property::SubscriptionIdentifier(SubscriptionIdentifier::new(*identifier)?));
    }
    if let Some(at_ms) = sent.message.expires_at_ms {
        let left_s = u32::try_from(at_ms.saturating_sub(sent.now_ms) / 1000).unwrap_or(u32::MAX);
        properties.push(Property::MessageExpiryInterval(MessageExpiryInterval::new(left_s)?));
    }
    let packet = v5_0::Publish::builder()
        .topic_name(sent.message.topic.as_str())?
        .retain(sent.retain)
        .props(properties)
        .payload(sent.message.payload.clone());
    match sent.packet_id {
        Some(id) => packet.qos(Qos::AtLeastOnce).packet_id(id).dup(sent.duplicate).build(),
        None => packet.qos(Qos::AtMostOnce).build(),
    }
}

/// MQTT 3.1.1 cannot say that a message was refused.
pub(crate) fn puback(version: Version, id: u16, reason: PubackReasonCode) -> Vec<u8> {
    bytes(match version {
        Version::V4 => {
            v3_1_1::Puback::builder().packet_id(id).build().map(|packet| packet.to_continuous_buffer())
        }
        Version::V5 => {
            let packet = v5_0::Puback::builder().packet_id(id).reason_code(reason);
            packet.build().map(|packet| packet.to_continuous_buffer())
        }
    })
}

pub(crate) fn pubrec(version: Version, id: u16, reason: PubackReasonCode) -> Vec<u8> {
    let reason = match reason {
        PubackReasonCode::Success => PubrecReasonCode::Success,
        PubackReasonCode::NotAuthorized => PubrecReasonCode::NotAuthorized,
        PubackReasonCode::TopicNameInvalid => PubrecReasonCode::TopicNameInvalid,
        PubackReasonCode::QuotaExceeded => PubrecReasonCode::QuotaExceeded,
        _ => PubrecReasonCode::UnspecifiedError,
    };
    bytes(match version {
        Version::V4 => {
            v3_1_1::Pubrec::builder().packet_id(id).build().map(|packet| packet.to_continuous_buffer())
        }
        Version::V5 => {
            let packet = v5_0::Pubrec::builder().packet_id(id).reason_code(reason);
            packet.build().map(|packet| packet.to_continuous_buffer())
        }
    })
}

pub(crate) fn pubcomp(version: Version, id: u16, known: bool) -> Vec<u8> {
    let reason = if known { PubcompReasonCode::Success } else { PubcompReasonCode::PacketIdentifierNotFound };
    bytes(match version {
        Version::V4 => {
            v3_1_1::Pubcomp::builder().packet_id(id).build().map(|packet| packet.to_continuous_buffer())
        }
        Version::V5 => {
            let packet = v5_0::Pubcomp::builder().packet_id(id).reason_code(reason);
            packet.build().map(|packet| packet.to_continuous_buffer())
        }
    })
}

pub(crate) fn suback(version: Version, id: u16, answers: Vec<SubackReasonCode>) -> Vec<u8> {
    bytes(match version {
        Version::V4 => {
            let codes = answers.iter().map(|answer| match answer {
                SubackReasonCode::GrantedQos0 => SubackReturnCode::SuccessMaximumQos0,
                SubackReasonCode::GrantedQos1 => SubackReturnCode::SuccessMaximumQos1,
                _ => SubackReturnCode::Failure,
            });
            let packet = v3_1_1::Suback::builder().packet_id(id).return_codes(codes.collect());
            packet.build().map(|packet| packet.to_continuous_buffer())
        }
        Version::V5 => {
            let packet = v5_0::Suback::builder().packet_id(id).reason_codes(answers);
            packet.build().map(|packet| packet.to_continuous_buffer())
        }
    })
}

pub(crate) fn unsuback(version: Version, id: u16, answers: Vec<UnsubackReasonCode>) -> Vec<u8> {
    bytes(match version {
        Version::V4 => {
            v3_1_1::Unsuback::builder().packet_id(id).build().map(|packet| packet.to_continuous_buffer())
        }
        Version::V5 => {
            let packet = v5_0::Unsuback::builder().packet_id(id).reason_codes(answers);
            packet.build().map(|packet| packet.to_continuous_buffer())
        }
    })
}

pub(crate) fn pingresp(version: Version) -> Vec<u8> {
    bytes(match version {
        Version::V4 => v3_1_1::Pingresp::builder().build().map(|packet| packet.to_continuous_buffer()),
        Version::V5 => v5_0::Pingresp::builder().build().map(|packet| packet.to_continuous_buffer()),
    })
}

/// MQTT 3.1.1 just closes.
pub(crate) fn disconnect(version: Version, reason: DisconnectReasonCode) -> Option<Vec<u8>> {
    match version {
        Version::V4 => None,
        Version::V5 => {
            // Without properties some clients, rumqttc for one, wait for the byte that says there are none.
            let packet = v5_0::Disconnect::builder().reason_code(reason).props(Vec::new());
            Some(bytes(packet.build().map(|packet| packet.to_continuous_buffer())))
        }
    }
}
