//! Packets: between the protocol library's types, one set for each version of MQTT, and the few facts that the
//! broker works with.

mod decode;
mod encode;

use mqtt_protocol_core::mqtt::packet::RetainHandling;
pub(crate) use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, DisconnectReasonCode, MqttError, PubackReasonCode, SubackReasonCode,
    UnsubackReasonCode,
};

pub(crate) use decode::Decoder;
pub(crate) use encode::{
    connack, connack_refused, disconnect, pingresp, puback, pubcomp, publish, pubrec, suback, unsuback,
};

use crate::message::Message;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V5,
}

/// What a client sends.
pub(crate) enum Packet {
    Connect(Box<Connect>),
    Publish(Publish),
    Puback(u16),
    /// Of a message at QoS 2 that was sent to us.
    Pubrel(u16),
    /// The broker sends nothing at QoS 2, so nothing of this was asked for.
    Unasked,
    Subscribe(Subscribe),
    Unsubscribe {
        packet_id: u16,
        filters: Vec<String>,
    },
    Pingreq,
    Disconnect {
        with_will: bool,
        session_expiry_s: Option<u32>,
    },
}

pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) will: Option<Will>,
    pub(crate) session_expiry_s: u32,
    pub(crate) receive_max: u16,
    pub(crate) packet_max: usize,
    /// It wants more than a password.
    pub(crate) enhanced_authentication: bool,
}

pub(crate) struct Will {
    pub(crate) message: Message,
    pub(crate) expiry_s: Option<u32>,
    pub(crate) delay_s: u32,
}

pub(crate) struct Publish {
    /// At QoS 1 and 2.
    pub(crate) packet_id: Option<u16>,
    pub(crate) exactly_once: bool,
    pub(crate) message: Message,
    pub(crate) expiry_s: Option<u32>,
}

pub(crate) struct Subscribe {
    pub(crate) packet_id: u16,
    pub(crate) identifier: Option<u32>,
    pub(crate) entries: Vec<Entry>,
}

pub(crate) struct Entry {
    pub(crate) filter: String,
    pub(crate) at_least_once: bool,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) retained: RetainHandling,
}

/// What MQTT 5 tells a client about what it got.
pub(crate) struct Granted {
    pub(crate) session_present: bool,
    pub(crate) packet_bytes: u32,
    pub(crate) session_expiry_s: u32,
    /// If the broker chose it.
    pub(crate) client_id: Option<String>,
}

/// How a message goes to one client.
pub(crate) struct Sent<'a> {
    pub(crate) message: &'a Message,
    /// At QoS 1.
    pub(crate) packet_id: Option<u16>,
    pub(crate) duplicate: bool,
    pub(crate) retain: bool,
    pub(crate) identifiers: &'a [u32],
    pub(crate) now_ms: u64,
}
