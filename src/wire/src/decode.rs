//! Reading an agent's messages: foreign bytes, so nothing here panics, sizes are bounded, unknown fields are
//! ignored, and an array is read element by element so that a bad one costs nothing but itself.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::message::{
    Change, Event, EventWhat, Events, Host, Hosts, Radio, Radios, Stamp, State, Station, Stations, Status,
};
use crate::{ELEMENTS_MAX, HOSTS_MAX, Mac, PAYLOAD_MAX, SCHEMA, STATUS_TEXTS_MAX, Topic};

/// A message of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentMessage {
    /// From `ap/<ap>/status`.
    Status(Status),
    /// From `ap/<ap>/radios`.
    Radios(Radios),
    /// From `ap/<ap>/stations`.
    Stations(Stations),
    /// From `ap/<ap>/events`.
    Events(Events),
    /// From `ap/<ap>/hosts`.
    Hosts(Hosts),
}

/// A message that was read, and what of it was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Who sent it.
    pub stamp: Stamp,
    /// What could be read.
    pub message: AgentMessage,
    /// What was dropped.
    pub rejected: Rejected,
}

/// Elements or values of a message that were dropped, and the first of them in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected {
    /// How many.
    pub count: u32,
    /// What was wrong with the first.
    pub first: Option<String>,
}

impl Rejected {
    fn add(&mut self, what: impl FnOnce() -> String) {
        self.count = self.count.saturating_add(1);
        self.first.get_or_insert_with(what);
    }
}

/// A message of which nothing could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// Larger than [`PAYLOAD_MAX`].
    TooLarge(usize),
    /// Written to a newer contract; its AP counts as not reporting.
    NewerSchema(u64),
    /// No JSON, or none of this shape.
    Malformed(String),
    /// The topic is not one that agents write.
    NotFromAnAgent,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::TooLarge(bytes) => {
                write!(f, "{bytes} bytes, more than the {PAYLOAD_MAX} that are read")
            }
            DecodeError::NewerSchema(schema) => {
                write!(f, "schema {schema} is newer than {SCHEMA}: update the aggregator")
            }
            DecodeError::Malformed(why) => write!(f, "{why}"),
            DecodeError::NotFromAnAgent => f.write_str("agents write no such topic"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl AgentMessage {
    /// Reads the payload of one of the agents' topics.
    pub fn decode(topic: &Topic, payload: &[u8]) -> Result<Decoded, DecodeError> {
        if payload.len() > PAYLOAD_MAX {
            return Err(DecodeError::TooLarge(payload.len()));
        }
        let result = match topic {
            Topic::ApStatus(_) => decode_status(payload),
            Topic::ApRadios(_) => decode_radios(payload),
            Topic::ApStations(_) => decode_stations(payload),
            Topic::ApEvents(_) => decode_events(payload),
            Topic::ApHosts(_) => decode_hosts(payload),
            Topic::ApRequest(_)
            | Topic::Tracked
            | Topic::Status
            | Topic::AggregatorStatus(_)
            | Topic::House
            | Topic::Person(_)
            | Topic::PersonMoved(_)
            | Topic::Room(_)
            | Topic::Device(_)
            | Topic::DeviceRoamed(_)
            | Topic::DeviceThrashing(_)
            | Topic::Calibrate
            | Topic::Calibrated
            | Topic::Set(_) => return Err(DecodeError::NotFromAnAgent),
        };
        // A newer schema may have another shape, so it is looked for even where the rest did not read.
        match result {
            Ok(decoded) if decoded.stamp.schema > SCHEMA => {
                Err(DecodeError::NewerSchema(decoded.stamp.schema.into()))
            }
            Ok(decoded) => Ok(decoded),
            Err(error) => {
                Err(newer_schema(payload).unwrap_or_else(|| DecodeError::Malformed(error.to_string())))
            }
        }
    }
}

fn newer_schema(payload: &[u8]) -> Option<DecodeError> {
    #[derive(Deserialize)]
    struct Head {
        schema: u64,
    }
    let head: Head = serde_json::from_slice(payload).ok()?;
    (head.schema > SCHEMA.into()).then_some(DecodeError::NewerSchema(head.schema))
}

type Result<T, E = serde_json::Error> = std::result::Result<T, E>;

/// The stamp's fields are repeated in every message's raw form: `serde(flatten)` would buffer the whole message.
macro_rules! raw_message {
    ($name:ident { $($field:ident : $type:ty),* $(,)? }) => {
        #[derive(Deserialize)]
        struct $name<'a> {
            schema: u32,
            #[serde(borrow)]
            boot: Cow<'a, str>,
            #[serde(borrow)]
            node: Cow<'a, str>,
            sent_ms: u64,
            $(#[serde(borrow)] $field: $type,)*
        }

        impl $name<'_> {
            fn stamp(&self) -> Stamp {
                Stamp {
                    schema: self.schema,
                    boot: bounded(&self.boot),
                    node: bounded(&self.node),
                    sent_ms: self.sent_ms,
                }
            }
        }
    };
}

/// Ids of a boot and a node are kept for the life of an AP: a sender must not make them long.
fn bounded(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Names are shown, never compared: cut, not refused. 255 characters is what Home Assistant takes.
fn name(text: Option<Cow<'_, str>>) -> Option<String> {
    text.map(|text| text.chars().take(255).collect())
}

type Elements<'a> = Vec<&'a RawValue>;

/// Reads each element with `read`; those that fail, or are beyond `limit`, are counted.
fn elements<'a, T>(
    raw: &[&'a RawValue],
    limit: usize,
    rejected: &mut Rejected,
    read: impl Fn(&'a str, &mut Rejected) -> Result<Option<T>>,
) -> Vec<T> {
    let mut read_elements = Vec::with_capacity(raw.len().min(limit));
    for (index, element) in raw.iter().enumerate() {
        if index >= limit {
            rejected.add(|| format!("more than {limit} elements"));
            continue;
        }
        match read(element.get(), rejected) {
            Ok(Some(element)) => read_elements.push(element),
            Ok(None) => {}
            Err(error) => rejected.add(|| format!("element {index}: {error}")),
        }
    }
    read_elements
}

/// A signal a receiver can have measured. Drivers say 0 for "unknown", so that is no mistake.
fn signal(value: Option<i64>, field: &str, rejected: &mut Rejected) -> Option<i8> {
    match value? {
        0 => None,
        dbm @ -120..=-1 => i8::try_from(dbm).ok(),
        dbm => {
            rejected.add(|| format!("{field} {dbm} is outside -120 to -1"));
            None
        }
    }
}

fn small(value: Option<i64>, field: &str, rejected: &mut Rejected) -> Option<i8> {
    let value = value?;
    let converted = i8::try_from(value).ok();
    if converted.is_none() {
        rejected.add(|| format!("{field} {value} is outside -128 to 127"));
    }
    converted
}

fn decode_status(payload: &[u8]) -> Result<Decoded> {
    raw_message!(Raw { release: Option<Cow<'a, str>>, version: Option<Cow<'a, str>>, sources: Option<Elements<'a>>, problems: Option<Elements<'a>>, state: &'a RawValue });
    let raw: Raw<'_> = serde_json::from_slice(payload)?;
    let mut rejected = Rejected::default();
    let texts = |raw: &Option<Elements<'_>>, rejected: &mut Rejected| {
        elements(raw.as_deref().unwrap_or_default(), STATUS_TEXTS_MAX, rejected, |text, _| {
            serde_json::from_str::<Cow<'_, str>>(text).map(|text| name(Some(text)))
        })
    };
    let state: State = serde_json::from_str(raw.state.get())?;
    let (sources, problems) = (texts(&raw.sources, &mut rejected), texts(&raw.problems, &mut rejected));
    let stamp = raw.stamp();
    let status = Status {
        state,
        version: name(raw.version).unwrap_or_default(),
        sources,
        release: name(raw.release),
        problems,
    };
    Ok(Decoded { stamp, message: AgentMessage::Status(status), rejected })
}

fn decode_radios(payload: &[u8]) -> Result<Decoded> {
    raw_message!(Raw { radios: Elements<'a> });
    #[derive(Deserialize)]
    struct RawRadio<'a> {
        #[serde(borrow)]
        ifname: Cow<'a, str>,
        bssid: Option<Mac>,
        #[serde(borrow)]
        ssid: Option<Cow<'a, str>>,
        #[serde(borrow)]
        status: Option<Cow<'a, str>>,
        freq_mhz: Option<u32>,
        channel: Option<u32>,
        width_mhz: Option<u32>,
        txpower_dbm: Option<i64>,
        noise_dbm: Option<i64>,
        utilization_permille: Option<u32>,
        ft: Option<bool>,
        rrm: Option<bool>,
        btm: Option<bool>,
    }
    let raw: Raw<'_> = serde_json::from_slice(payload)?;
    let mut rejected = Rejected::default();
    let radios = elements(&raw.radios, 64, &mut rejected, |text, rejected| {
        let raw: RawRadio<'_> = serde_json::from_str(text)?;
        Ok(Some(Radio {
            ifname: bounded(&raw.ifname),
            bssid: raw.bssid,
            ssid: name(raw.ssid),
            status: name(raw.status),
            freq_mhz: raw.freq_mhz,
            channel: raw.channel,
            width_mhz: raw.width_mhz,
            txpower_dbm: small(raw.txpower_dbm, "txpower_dbm", rejected),
            noise_dbm: signal(raw.noise_dbm, "noise_dbm", rejected),
            utilization_permille: raw.utilization_permille.map(|permille| permille.min(1000)),
            ft: raw.ft,
            rrm: raw.rrm,
            btm: raw.btm,
        }))
    });
    Ok(Decoded { stamp: raw.stamp(), message: AgentMessage::Radios(Radios { radios }), rejected })
}

fn decode_stations(payload: &[u8]) -> Result<Decoded> {
    raw_message!(Raw { stations: Elements<'a>, seq: Option<&'a RawValue> });
    #[derive(Deserialize)]
    struct RawStation {
        mac: Mac,
        bssid: Mac,
        mld: Option<Mac>,
        authorized: Option<bool>,
        signal_dbm: Option<i64>,
        inactive_ms: Option<u64>,
        connected_s: Option<u64>,
        rx_packets: Option<u64>,
        rx_bytes: Option<u64>,
        rrm: Option<u8>,
    }
    let raw: Raw<'_> = serde_json::from_slice(payload)?;
    let mut rejected = Rejected::default();
    let stations = elements(&raw.stations, ELEMENTS_MAX, &mut rejected, |text, rejected| {
        let raw: RawStation = serde_json::from_str(text)?;
        if !raw.mac.is_station() {
            rejected.add(|| format!("{} is no station's address", raw.mac));
            return Ok(None);
        }
        Ok(Some(Station {
            mac: raw.mac,
            bssid: raw.bssid,
            mld: raw.mld,
            authorized: raw.authorized.unwrap_or(false),
            signal_dbm: signal(raw.signal_dbm, "signal_dbm", rejected),
            inactive_ms: raw.inactive_ms,
            connected_s: raw.connected_s,
            rx_packets: raw.rx_packets,
            rx_bytes: raw.rx_bytes,
            rrm: raw.rrm,
        }))
    });
    let seq = sequence(raw.seq)?;
    Ok(Decoded { stamp: raw.stamp(), message: AgentMessage::Stations(Stations { seq, stations }), rejected })
}

fn sequence(raw: Option<&RawValue>) -> Result<u64> {
    raw.map_or(Ok(0), |raw| serde_json::from_str(raw.get()))
}

fn decode_events(payload: &[u8]) -> Result<Decoded> {
    raw_message!(Raw { events: Elements<'a>, seq: Option<&'a RawValue> });
    let raw: Raw<'_> = serde_json::from_slice(payload)?;
    let mut rejected = Rejected::default();
    let events = elements(&raw.events, ELEMENTS_MAX, &mut rejected, |text, rejected| {
        let raw: RawEvent<'_> = serde_json::from_str(text)?;
        let event = raw.event(rejected);
        if event.is_none() {
            rejected.add(|| format!("event of kind {:?} is unknown or lacks fields", bounded(&raw.kind)));
        }
        Ok(event)
    });
    let seq = sequence(raw.seq)?;
    Ok(Decoded { stamp: raw.stamp(), message: AgentMessage::Events(Events { seq, events }), rejected })
}

/// An event as it is on the wire: flat, with the fields of every kind.
#[derive(Default, Deserialize)]
struct RawEvent<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    mac: Option<Mac>,
    bssid: Option<Mac>,
    age_ms: Option<u64>,
    signal_dbm: Option<i64>,
    inactive_ms: Option<u64>,
    rx_packets: Option<u64>,
    rx_bytes: Option<u64>,
    #[serde(borrow)]
    auth_alg: Option<Cow<'a, str>>,
    authorized: Option<bool>,
    heard: Option<Mac>,
    rcpi_dbm: Option<i64>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    ok: Option<bool>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
}

impl RawEvent<'_> {
    fn event(&self, rejected: &mut Rejected) -> Option<Event> {
        let age_ms = self.age_ms.unwrap_or(0);
        if self.kind == "answer" {
            let error = name(self.error.clone());
            let what = EventWhat::Answer { id: bounded(self.id.as_ref()?), ok: self.ok?, error };
            return Some(Event { age_ms, what });
        }
        let (mac, bssid) = (self.mac.filter(|mac| mac.is_station())?, self.bssid?);
        let signal_dbm = |rejected: &mut Rejected| signal(self.signal_dbm, "signal_dbm", rejected);
        let change = match self.kind.as_ref() {
            "signal" => Change::Signal {
                signal_dbm: signal_dbm(rejected),
                inactive_ms: self.inactive_ms,
                rx_packets: self.rx_packets,
                rx_bytes: self.rx_bytes,
            },
            "assoc" => Change::Assoc { signal_dbm: signal_dbm(rejected) },
            "authorized" => Change::Authorized { auth_alg: self.auth_alg.as_deref().map(bounded) },
            "disassoc" => Change::Disassoc,
            "deauth" => Change::Deauth,
            "local-deauth" => Change::LocalDeauth,
            "inactive-deauth" => Change::InactiveDeauth,
            "joined" => Change::Joined {
                authorized: self.authorized.unwrap_or(false),
                signal_dbm: signal_dbm(rejected),
            },
            "left" => Change::Left,
            "probe" => Change::Probe { signal_dbm: signal_dbm(rejected) },
            "beacon-report" => Change::BeaconReport {
                heard: self.heard?,
                rcpi_dbm: signal(self.rcpi_dbm, "rcpi_dbm", rejected),
            },
            "key-mismatch" => Change::KeyMismatch,
            _ => return None,
        };
        Some(Event { age_ms, what: EventWhat::Station { mac, bssid, change } })
    }
}

fn decode_hosts(payload: &[u8]) -> Result<Decoded> {
    raw_message!(Raw { hosts: Elements<'a> });
    #[derive(Deserialize)]
    struct RawHost<'a> {
        mac: Mac,
        #[serde(borrow)]
        name: Option<Cow<'a, str>>,
        #[serde(borrow)]
        address: Option<Cow<'a, str>>,
    }
    let raw: Raw<'_> = serde_json::from_slice(payload)?;
    let mut rejected = Rejected::default();
    let hosts = elements(&raw.hosts, HOSTS_MAX, &mut rejected, |text, _| {
        let raw: RawHost<'_> = serde_json::from_str(text)?;
        Ok(Some(Host { mac: raw.mac, name: name(raw.name), address: name(raw.address) }))
    });
    Ok(Decoded { stamp: raw.stamp(), message: AgentMessage::Hosts(Hosts { hosts }), rejected })
}
