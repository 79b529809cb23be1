//! The few messages an agent reads, field by field: one reader for all of them, as derived ones cost kilobytes each.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use whichroom_wire::SCHEMA;

/// Fields of one object that are kept.
const FIELDS_MAX: usize = 32;

/// The fields of a JSON object, unread yet.
#[derive(Default)]
pub(crate) struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'de>, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    if fields.len() < FIELDS_MAX {
                        fields.push(field);
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'a> Fields<'a> {
    /// Reads a message of this schema.
    pub(crate) fn read(payload: &'a [u8]) -> Result<Fields<'a>, String> {
        let fields: Fields<'_> = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        let schema = fields.get("schema").and_then(|raw| raw.parse::<u32>().ok());
        match schema {
            Some(schema) if schema <= SCHEMA => Ok(fields),
            Some(schema) => Err(format!("schema {schema} is newer than {SCHEMA}: update the agent")),
            None => Err("no schema".to_owned()),
        }
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, raw)| raw.get())
    }

    /// A string.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// The strings of an array; what else is in it is left out.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let elements: Vec<&RawValue> =
            self.get(name).and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
        elements.into_iter().filter_map(|raw| serde_json::from_str(raw.get()).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_read_in_any_order_and_others_ignored() {
        let json = br#"{"new":{"x":[1]},"macs":["a",7,"b",null],"id":"r\u0031","schema":1,"mode":7}"#;
        let fields = Fields::read(json).unwrap();
        assert_eq!(fields.text("id").as_deref(), Some("r1"));
        assert_eq!((fields.text("mode"), fields.text("mac")), (None, None));
        assert_eq!(fields.texts("macs"), ["a", "b"]);
        assert_eq!(fields.texts("id"), [""; 0]);
    }

    #[test]
    fn a_newer_schema_and_none_are_refused() {
        for json in ["{\"schema\":2}", "{}", "[]", "", "{\"schema\":\"1\"}", "{\"schema\":1"] {
            assert!(Fields::read(json.as_bytes()).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[{}\\]\":,a-z0-9]{0,80}") {
            let _ = Fields::read(&bytes);
            let _ = Fields::read(text.as_bytes()).map(|fields| (fields.text("a"), fields.texts("b")));
        }
    }
}
