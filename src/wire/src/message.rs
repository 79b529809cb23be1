//! The messages between agent and aggregator as plain types. Reading them leniently is `decode`'s business.

use serde::Serialize;

use crate::{Id, Mac, SCHEMA};

/// Who sent a message and when: in front of every message of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stamp {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Random at each start of the agent.
    pub boot: String,
    /// Stable id of the hardware.
    pub node: String,
    /// The agent's monotonic milliseconds since `boot`, taken when the bytes are handed to the socket.
    pub sent_ms: u64,
}

impl Stamp {
    /// A stamp of this schema.
    pub fn new(boot: impl Into<String>, node: impl Into<String>, sent_ms: u64) -> Stamp {
        Stamp { schema: SCHEMA, boot: boot.into(), node: node.into(), sent_ms }
    }
}

/// Writes a message of an agent: the stamp's fields, then the body's, as one JSON object.
pub fn encode<B: Serialize>(stamp: &Stamp, body: &B) -> Vec<u8> {
    // Plain structs with string keys always serialize; an empty payload would be refused by the reader.
    let mut bytes = serde_json::to_vec(stamp).unwrap_or_default();
    let body = serde_json::to_vec(body).unwrap_or_default();
    if body.len() > 2 {
        bytes.pop();
        bytes.push(b',');
        bytes.extend_from_slice(&body[1..]);
    }
    bytes
}

/// Whether an agent is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Connected.
    Online,
    /// Stopped, or its will.
    Offline,
}

/// Retained at `ap/<ap>/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Online or offline.
    pub state: State,
    /// The agent's version.
    pub version: String,
    /// What it reads, best first: `hostapd`, `iwinfo`, `leases`; also `probes-all` where strangers' probes are sent.
    pub sources: Vec<String>,
    /// OpenWrt's release, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// What is missing or failing on the AP, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// One BSS of an AP. Absent fields are unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Radio {
    /// Interface name, opaque.
    pub ifname: String,
    /// The BSS's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bssid: Option<Mac>,
    /// Network name; bytes that are no UTF-8 are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssid: Option<String>,
    /// hostapd's state: `ENABLED`, `DFS`, `DISABLED`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Centre of the primary channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freq_mhz: Option<u32>,
    /// Channel number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<u32>,
    /// Channel width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width_mhz: Option<u32>,
    /// Transmit power.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txpower_dbm: Option<i8>,
    /// Noise floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_dbm: Option<i8>,
    /// Share of time the channel is busy, per mille.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilization_permille: Option<u32>,
    /// 802.11r fast transition is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ft: Option<bool>,
    /// 802.11k radio measurement is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rrm: Option<bool>,
    /// 802.11v BSS transition management is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub btm: Option<bool>,
}

impl Radio {
    /// Whether the BSS serves stations. A BSS whose state is not known is taken to.
    pub fn is_enabled(&self) -> bool {
        self.status.as_deref().is_none_or(|status| status == "ENABLED")
    }
}

/// Retained at `ap/<ap>/radios`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Radios {
    /// One entry a BSS.
    pub radios: Vec<Radio>,
}

/// One station of an AP's table. The key is (mac, bssid). Absent fields are unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Station {
    /// The station, or its MLD address.
    pub mac: Mac,
    /// The BSS it is associated with.
    pub bssid: Mac,
    /// Its MLD address, where it has several links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mld: Option<Mac>,
    /// The key handshake is over.
    pub authorized: bool,
    /// Signal of what the AP received from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_dbm: Option<i8>,
    /// Since the driver last saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inactive_ms: Option<u64>,
    /// Since it associated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_s: Option<u64>,
    /// Packets received from it; 32 bits, wraps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_packets: Option<u64>,
    /// Bytes received from it; 32 bits on old releases, wraps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_bytes: Option<u64>,
    /// First octet of its RM enabled capabilities (802.11-2020 9.4.2.44).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rrm: Option<u8>,
}

impl Station {
    /// A station of which nothing but its association is known.
    pub fn new(mac: Mac, bssid: Mac, authorized: bool) -> Station {
        Station {
            mac,
            bssid,
            mld: None,
            authorized,
            signal_dbm: None,
            inactive_ms: None,
            connected_s: None,
            rx_packets: None,
            rx_bytes: None,
            rrm: None,
        }
    }
}

/// Retained at `ap/<ap>/stations`: the whole table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stations {
    /// The last event message this table includes; 0 before the first.
    pub seq: u64,
    /// The table.
    pub stations: Vec<Station>,
}

/// Sent to `ap/<ap>/events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Events {
    /// Counts the event messages of this boot, from 1.
    pub seq: u64,
    /// In the order they happened.
    pub events: Vec<Event>,
}

/// Something that happened `age_ms` before its message was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Before the message's `sent_ms`.
    pub age_ms: u64,
    /// What it was.
    pub what: EventWhat,
}

/// What an [`Event`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventWhat {
    /// A station did something at a BSS, or was heard by it.
    Station {
        /// The station.
        mac: Mac,
        /// The BSS.
        bssid: Mac,
        /// What it did.
        change: Change,
    },
    /// Answer to a [`Request`].
    Answer {
        /// The request's id.
        id: String,
        /// Whether it was carried out.
        ok: bool,
        /// Why not, in words.
        error: Option<String>,
    },
}

/// What a station did. Only `Authorized` proves who it is: the other frames are not authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Its signal moved, its silence crossed a step, or its traffic resumed. From the driver's table.
    Signal {
        /// Signal now.
        signal_dbm: Option<i8>,
        /// Silence now.
        inactive_ms: Option<u64>,
        /// As in [`Station::rx_packets`].
        rx_packets: Option<u64>,
        /// As in [`Station::rx_bytes`].
        rx_bytes: Option<u64>,
    },
    /// Association request processed, before the key handshake.
    Assoc {
        /// Signal of the frame.
        signal_dbm: Option<i8>,
    },
    /// Key handshake completed: it is really there.
    Authorized {
        /// hostapd's `auth-alg`: `ft` for a fast transition. Unknown before 23.05.
        auth_alg: Option<String>,
    },
    /// Disassociated, or lost its authorisation.
    Disassoc,
    /// Sent a deauthentication frame; can be forged.
    Deauth,
    /// The AP deauthenticated it.
    LocalDeauth,
    /// The AP gave it up after its inactivity limit and a poll.
    InactiveDeauth,
    /// Found in the table by polling, without a notification.
    Joined {
        /// Authorised already.
        authorized: bool,
        /// Signal now.
        signal_dbm: Option<i8>,
    },
    /// Gone from the table without a notification.
    Left,
    /// A probe request was heard.
    Probe {
        /// Signal of the frame.
        signal_dbm: Option<i8>,
    },
    /// It reports (802.11k) how it hears another BSS.
    BeaconReport {
        /// The BSS it heard.
        heard: Mac,
        /// How loudly (rcpi / 2 - 110).
        rcpi_dbm: Option<i8>,
    },
    /// It used a wrong passphrase.
    KeyMismatch,
}

/// A known host name, from the router's leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    /// The device.
    pub mac: Mac,
    /// Host name, as the device gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// IP address, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Retained at `ap/<ap>/hosts`; at most [`HOSTS_MAX`](crate::HOSTS_MAX).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Hosts {
    /// The hosts.
    pub hosts: Vec<Host>,
}

/// Retained at `tracked`: stations whose probes the agents publish, and the BSSs whose beacon reports they do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Tracked {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The stations.
    pub macs: Vec<Mac>,
    /// The home's own BSSs, in order: reports about others stay on the access point. Empty if they are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bssids: Vec<Mac>,
}

/// Sent to `ap/<ap>/request` by the aggregator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Request {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Comes back in the answer.
    pub id: Id,
    /// What is asked.
    #[serde(flatten)]
    pub kind: RequestKind,
}

/// Errors of an answer to a [`Request`] which say that the moment was bad; any other is a refusal.
pub mod not_now {
    /// The station did not send for a while.
    pub const ASLEEP: &str = "asleep";
    /// The station is not in the access point's table.
    pub const NOT_ASSOCIATED: &str = "not associated here";
    /// The access point asked it a moment ago.
    pub const TOO_SOON: &str = "asked less than 10 s ago";
    /// The access point's budget for the station is spent.
    pub const TOO_OFTEN: &str = "asked 60 times in this hour";
    /// The access point leaves it alone for a day, because of refusals that whoever asked has counted, too.
    pub const LEFT_ALONE: &str = "refused three times; left alone for a day";
    /// The station's BSS went meanwhile.
    pub const BSS_GONE: &str = "the BSS is gone";
    /// All of them.
    pub const ALL: [&str; 6] = [ASLEEP, NOT_ASSOCIATED, TOO_SOON, TOO_OFTEN, LEFT_ALONE, BSS_GONE];
}

/// What a [`Request`] asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RequestKind {
    /// Ask a station how it hears the home's BSSs (802.11k).
    BeaconReport {
        /// The station.
        mac: Mac,
        /// 802.11 measurement mode: `table`, `passive` or `active`.
        mode: String,
    },
}
