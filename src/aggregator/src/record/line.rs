//! The lines of a recording: JSON objects, one each. The first says what was there at the beginning ([`Header`]); the
//! others are what the engine was given, with the milliseconds of its clock. Both directions are here; the bytes that
//! are read are foreign.
//!
//! ```text
//! {"schema":1,"site":"home","config":{..},"started":"2026-11-22T08:00:00Z","zone":"Europe/Berlin","exact":true,..}
//! {"t_ms":0,"topic":"ap/garden/status","retained":true,"payload":{"schema":1,..}}
//! {"t_ms":45001,"event":"timeout"}
//! ```
//!
//! A payload that is no JSON is kept as `"base64"`, so that nothing of what came is lost.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use whichroom_presence::calibration::{Sample, Samples};
use whichroom_presence::setup::Setup;
use whichroom_presence::{Moment, Snapshot};
use whichroom_wire::{Id, PAYLOAD_MAX};

use crate::clock::Clock;
use crate::decider::Given;

/// Version of the format.
pub const SCHEMA: u32 = 1;

/// Longest line but the first, in bytes: the largest payload as base64, and room for the rest.
pub const LINE_MAX: usize = PAYLOAD_MAX / 3 * 4 + (64 << 10);

/// Longest first line: it holds the configuration and the state.
pub const HEADER_MAX: usize = 16 << 20;

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whose home.
    pub site: Id,
    /// The home as the configuration describes it; nothing else of the configuration, so that no secret is in it.
    pub config: Setup,
    /// Wall clock at `t_ms` 0.
    pub started: Timestamp,
    /// The home's time zone by its IANA name, for times of day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Milliseconds of the clock at which the engine began.
    #[serde(default)]
    pub t_ms: i64,
    /// Every call that the engine got is in it, timeouts too: a replay does the same to the millisecond. Otherwise
    /// only messages are, and the replay keeps the timers itself.
    #[serde(default)]
    pub exact: bool,
    /// The release that wrote it.
    #[serde(default)]
    pub version: String,
    /// Calibration samples that the engine began with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// The id of the next sample.
    #[serde(default)]
    pub next_sample: u32,
    /// What was restored at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
}

impl Header {
    /// Of an engine that knows nothing yet, at moment 0, in a recording of messages alone.
    pub fn new(site: &Id, setup: &Setup, samples: &Samples, clock: &Clock) -> Header {
        Header {
            schema: SCHEMA,
            site: site.clone(),
            config: setup.clone(),
            started: clock.wall_at_start(),
            zone: clock.zone().iana_name().map(str::to_owned),
            t_ms: 0,
            exact: false,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            samples: samples.list().to_vec(),
            next_sample: samples.next_id(),
            snapshot: None,
        }
    }
}

/// What happened beside messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Event {
    Timeout,
    Connected,
    Disconnected,
    Config,
    PublishAll,
}

/// Text that stays where it is, unless it holds an escape.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Any line but the first.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    t_ms: i64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    topic: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retained: Option<bool>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    base64: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<Event>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<Box<Setup>>,
}

/// Writes a line, without its line end.
pub fn write(given: &Given<'_>, now: Moment) -> Vec<u8> {
    let mut line = Line {
        t_ms: now.as_ms(),
        topic: None,
        retained: None,
        payload: None,
        base64: None,
        event: None,
        config: None,
    };
    match given {
        Given::Message { topic, payload, retained } => {
            line.topic = Some(Text(Cow::Borrowed(topic)));
            line.retained = Some(*retained);
            line.payload = as_json(payload);
            if line.payload.is_none() {
                line.base64 = Some(Text(BASE64.encode(payload).into()));
            }
        }
        Given::Timeout => line.event = Some(Event::Timeout),
        Given::Broker { connected: true } => line.event = Some(Event::Connected),
        Given::Broker { connected: false } => line.event = Some(Event::Disconnected),
        Given::Setup(setup) => {
            line.event = Some(Event::Config);
            line.config = Some(setup.clone());
        }
        Given::PublishAll => line.event = Some(Event::PublishAll),
    }
    // Structs with string keys always serialize.
    serde_json::to_vec(&line).unwrap_or_default()
}

/// A payload that can stand in a line as it is. A line end, which JSON allows between its parts, cannot, and space
/// around it would be lost.
fn as_json(payload: &[u8]) -> Option<&RawValue> {
    let json: &RawValue = serde_json::from_slice(payload).ok()?;
    let fits = json.get().len() == payload.len() && !payload.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    fits.then_some(json)
}

/// Reads a line; `bytes` is kept by the caller, who hands in `decoded` for payloads that have to be written out.
pub fn read<'a>(bytes: &'a [u8], decoded: &'a mut Vec<u8>) -> Result<(Moment, Given<'a>), String> {
    let line: Line<'a> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let at = Moment::from_ms(line.t_ms);
    let given = match (line.event, line.topic) {
        (Some(Event::Timeout), None) => Given::Timeout,
        (Some(Event::Connected), None) => Given::Broker { connected: true },
        (Some(Event::Disconnected), None) => Given::Broker { connected: false },
        (Some(Event::PublishAll), None) => Given::PublishAll,
        (Some(Event::Config), None) => Given::Setup(line.config.ok_or("no \"config\"")?),
        (None, Some(Text(topic))) => {
            let payload = match (line.payload, line.base64) {
                (Some(json), None) => json.get().as_bytes(),
                (None, Some(Text(text))) => {
                    decoded.clear();
                    BASE64
                        .decode_vec(text.as_bytes(), decoded)
                        .map_err(|error| format!("\"base64\": {error}"))?;
                    decoded
                }
                (None, None) => return Err("neither \"payload\" nor \"base64\"".to_owned()),
                (Some(_), Some(_)) => return Err("both \"payload\" and \"base64\"".to_owned()),
            };
            if payload.len() > PAYLOAD_MAX {
                return Err(format!("a payload of {} bytes; at most {PAYLOAD_MAX} are read", payload.len()));
            }
            Given::Message { topic, payload, retained: line.retained.unwrap_or(false) }
        }
        (None, None) => return Err("neither \"topic\" nor \"event\"".to_owned()),
        (Some(_), Some(_)) => return Err("both \"topic\" and \"event\"".to_owned()),
    };
    Ok((at, given))
}

/// Writes the first line, without its line end.
pub fn write_header(header: &Header) -> Vec<u8> {
    // Structs with string keys always serialize.
    serde_json::to_vec(header).unwrap_or_default()
}

/// Reads the first line.
pub fn read_header(bytes: &[u8]) -> Result<Header, String> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    let Schema { schema } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if schema != SCHEMA {
        return Err(format!("schema is {schema}, this release knows {SCHEMA}"));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
