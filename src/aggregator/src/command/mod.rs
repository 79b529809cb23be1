//! What the running aggregator may be asked and told: plain data, handled by the hub on the thread that decides. It
//! comes as `POST /api/<name>` to the page's address, from the page itself and from the command line (`client`); one
//! that changes something also as a message on `set/<name>`.
//!
//! A command is one variant of [`Command`]: its kebab-case name is the address, its fields are the JSON object that is
//! sent. So a new one is a variant here and an arm in `Decider::carry_out`.

pub mod client;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use whichroom_presence::Explanation;
use whichroom_wire::Id;

use crate::calibrate::{Calibration, Calibrations};
use crate::note::Noted;

/// Longest body of a command, in bytes.
pub const BODY_MAX: usize = 64 << 10;

/// Most characters of foreign text in an error.
const TEXT_MAX: usize = 300;

/// Something to be asked or told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Why a person or device is where it is said to be.
    Explain {
        /// Of the person or device.
        id: Id,
    },
    /// A device is in a room now: listen to it.
    Calibrate {
        /// Of the device or person.
        device: Id,
        /// Of the room.
        room: Id,
    },
    /// An access point is not coming back: nobody waits for it until it reports again.
    GiveUpAp {
        /// Of the access point.
        ap: Id,
    },
    /// Forget what was learned of a device's silences, or of those of all devices of a person.
    ResetDoze {
        /// Of the person or device.
        id: Id,
    },
    /// The calibrations, and the samples they gave.
    Samples {},
    /// Forget a sample.
    ForgetSample {
        /// Of the sample.
        id: u32,
    },
    /// Somebody changed something about the access points on purpose.
    Note {
        /// What.
        text: String,
    },
}

/// What came of a command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Of [`Command::Explain`], and of [`Command::ResetDoze`] once it is forgotten.
    Explanation(Explanation),
    /// Of [`Command::GiveUpAp`].
    GivenUp {
        /// The access point.
        given_up: Id,
    },
    /// Of [`Command::Calibrate`]: how far it is.
    Calibration(Calibration),
    /// Of [`Command::Samples`] and [`Command::ForgetSample`].
    Calibrations(Calibrations),
    /// Of [`Command::Note`].
    Noted(Noted),
}

/// What came of a command.
pub type Outcome = Result<Answer, Refusal>;

/// Why a command was not carried out, in words that say what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It does not read.
    Malformed(String),
    /// There is no such command, person, device, room or access point.
    Unknown(String),
    /// Not as things are now.
    Impossible(String),
}

impl Command {
    /// Reads a command from its name and its JSON object; an empty body is an empty object.
    pub fn read(name: &str, body: &[u8]) -> Result<Command, Refusal> {
        if body.len() > BODY_MAX {
            return Err(Refusal::Malformed(format!(
                "{name}: {} bytes are too many; at most {BODY_MAX} are read",
                body.len()
            )));
        }
        let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
        let fields: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::Malformed(format!("{name}: the body is no JSON: {error}")))?;
        if !fields.is_object() {
            return Err(Refusal::Malformed(format!("{name}: the body is not a JSON object")));
        }
        let tagged = serde_json::Map::from_iter([(name.to_owned(), fields)]);
        serde_json::from_value(Value::Object(tagged)).map_err(|error| {
            let text = one_line(&error.to_string());
            match text.strip_prefix("unknown variant ") {
                Some(rest) => Refusal::Unknown(format!("there is no command {rest}")),
                None => Refusal::Malformed(format!("{name}: {text}")),
            }
        })
    }

    /// The name and the JSON object that [`Command::read`] reads.
    pub fn write(&self) -> (String, Vec<u8>) {
        // Every variant has fields, so that it is written as an object of one entry.
        let tagged = match serde_json::to_value(self) {
            Ok(Value::Object(tagged)) => tagged,
            Ok(_) | Err(_) => serde_json::Map::new(),
        };
        let (name, fields) = tagged.into_iter().next().unwrap_or_default();
        (name, fields.to_string().into_bytes())
    }

    /// As a message of the broker: topic below the root, and payload.
    pub fn message(&self) -> (String, Vec<u8>) {
        let (name, body) = self.write();
        (format!("set/{name}"), body)
    }

    /// Whether anything is other than before once it is carried out.
    pub fn changes(&self) -> bool {
        match self {
            Command::Explain { .. } | Command::Samples {} => false,
            Command::Calibrate { .. }
            | Command::GiveUpAp { .. }
            | Command::ResetDoze { .. }
            | Command::ForgetSample { .. }
            | Command::Note { .. } => true,
        }
    }
}

/// Words that quote foreign text, for a log line.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(TEXT_MAX)
        .collect()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Malformed(text) | Refusal::Unknown(text) | Refusal::Impossible(text) => {
                f.write_str(text)
            }
        }
    }
}

impl Refusal {
    /// There is nothing of this id; `known` are those there are.
    pub fn unknown_id<'a>(what: &str, id: &Id, known: impl IntoIterator<Item = &'a Id>) -> Refusal {
        let known: Vec<&str> = known.into_iter().map(Id::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Refusal::Unknown(format!("there is no {what} \"{id}\"; known: {known}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    /// One of every kind.
    fn commands() -> Vec<Command> {
        vec![
            Command::Explain { id: id("anna") },
            Command::Calibrate { device: id("anna"), room: id("kitchen") },
            Command::GiveUpAp { ap: id("garden") },
            Command::ResetDoze { id: id("anna-phone") },
            Command::Samples {},
            Command::ForgetSample { id: 7 },
            Command::Note { text: "power lowered".to_owned() },
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        for command in commands() {
            let (name, body) = command.write();
            assert_eq!(Command::read(&name, &body), Ok(command), "{name}");
        }
    }

    #[test]
    fn the_name_is_the_address_and_the_fields_are_the_body() {
        let (name, body) = commands()[0].write();
        assert_eq!((name.as_str(), body.as_slice()), ("explain", br#"{"id":"anna"}"#.as_slice()));
    }

    #[test]
    fn what_does_not_read_is_refused_with_the_reason() {
        for (name, body, because) in [
            ("explain", "", "missing field `id`"),
            ("explain", "[]", "not a JSON object"),
            ("explain", "{", "no JSON"),
            ("explain", r#"{"id":"Anna B"}"#, "1 to 32 characters"),
            ("explain", r#"{"id":"anna","at":1}"#, "unknown field `at`"),
            ("fly", "{}", "there is no command `fly`"),
            ("", "{}", "there is no command"),
        ] {
            let refusal = Command::read(name, body.as_bytes()).unwrap_err().to_string();
            assert!(refusal.contains(because), "{name} {body}: {refusal}");
        }
    }

    #[test]
    fn an_error_is_one_line_of_readable_length() {
        let body = format!(r#"{{"id":"anna","{}\n2026 forged line":1}}"#, "x".repeat(1000));
        let refusal = Command::read("explain", body.as_bytes()).unwrap_err().to_string();
        assert!(!refusal.contains('\n') && refusal.chars().count() < 400, "{refusal}");
        let long = " ".repeat(BODY_MAX + 1);
        assert!(Command::read("samples", long.as_bytes()).unwrap_err().to_string().contains("too many"));
    }

    proptest::proptest! {
        #[test]
        fn no_body_panics(name in "[a-z-]{0,12}", body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = Command::read(&name, &body);
            let _ = Command::read("explain", &body);
        }
    }
}
