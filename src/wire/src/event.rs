//! How an event is written: one flat object, in which fields that nobody knows are left out.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::message::{Change, Event, EventWhat};

impl Change {
    /// The kind's name on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Change::Signal { .. } => "signal",
            Change::Assoc { .. } => "assoc",
            Change::Authorized { .. } => "authorized",
            Change::Disassoc => "disassoc",
            Change::Deauth => "deauth",
            Change::LocalDeauth => "local-deauth",
            Change::InactiveDeauth => "inactive-deauth",
            Change::Joined { .. } => "joined",
            Change::Left => "left",
            Change::Probe { .. } => "probe",
            Change::BeaconReport { .. } => "beacon-report",
            Change::KeyMismatch => "key-mismatch",
        }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The length is a hint to other formats; JSON has no use for it.
        let mut object = serializer.serialize_struct("Event", 8)?;
        macro_rules! put {
            ($($field:ident),*) => { $( if let Some(value) = $field { object.serialize_field(stringify!($field), value)?; } )* };
        }
        match &self.what {
            EventWhat::Answer { id, ok, error } => {
                object.serialize_field("kind", "answer")?;
                object.serialize_field("id", id)?;
                object.serialize_field("ok", ok)?;
                put!(error);
            }
            EventWhat::Station { mac, bssid, change } => {
                object.serialize_field("kind", change.kind())?;
                object.serialize_field("mac", mac)?;
                object.serialize_field("bssid", bssid)?;
                match change {
                    Change::Signal { signal_dbm, inactive_ms, rx_packets, rx_bytes } => {
                        put!(signal_dbm, inactive_ms, rx_packets, rx_bytes);
                    }
                    Change::Assoc { signal_dbm } | Change::Probe { signal_dbm } => put!(signal_dbm),
                    Change::Authorized { auth_alg } => put!(auth_alg),
                    Change::Joined { authorized, signal_dbm } => {
                        object.serialize_field("authorized", authorized)?;
                        put!(signal_dbm);
                    }
                    Change::BeaconReport { heard, rcpi_dbm } => {
                        object.serialize_field("heard", heard)?;
                        put!(rcpi_dbm);
                    }
                    Change::Disassoc
                    | Change::Deauth
                    | Change::LocalDeauth
                    | Change::InactiveDeauth
                    | Change::Left
                    | Change::KeyMismatch => {}
                }
            }
        }
        object.serialize_field("age_ms", &self.age_ms)?;
        object.end()
    }
}
