//! The few messages an agent reads: one reader for all of them, as derived ones cost kilobytes each.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use whichroom_wire::{ELEMENTS_MAX, SCHEMA};

/// Fields of one object that are kept.
const FIELDS_MAX: usize = 32;

/// What the messages are made of, as far as an agent reads them.
enum Value {
    Number(u64),
    Text(String),
    List(Vec<Value>),
    Object(Fields),
    /// Of no use to an agent.
    Other,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            if list.len() < ELEMENTS_MAX {
                list.push(element);
            }
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            if fields.len() < FIELDS_MAX {
                fields.push(field);
            }
        }
        Ok(Value::Object(Fields(fields)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }
}

/// The fields of a JSON object.
#[derive(Default)]
pub(crate) struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Reads a message of this schema.
    pub(crate) fn read(payload: &[u8]) -> Result<Fields, String> {
        let fields = match serde_json::from_slice(payload) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err("not an object".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        match fields.get("schema") {
            Some(Value::Number(schema)) if *schema <= u64::from(SCHEMA) => Ok(fields),
            Some(Value::Number(schema)) => {
                Err(format!("schema {schema} is newer than {SCHEMA}: update the agent"))
            }
            _ => Err("no schema".to_owned()),
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// A string.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        text(self.get(name)?)
    }

    /// The strings of an array; what else is in it is left out.
    pub(crate) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let list = match self.get(name) {
            Some(Value::List(list)) => &list[..],
            _ => &[],
        };
        list.iter().filter_map(text)
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Number(_) | Value::List(_) | Value::Object(_) | Value::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_read_in_any_order_and_others_ignored() {
        let json =
            br#"{"new":{"x":[1,-1,0.5]},"macs":["a",7,"b",null,[true]],"id":"r\u0031","schema":1,"mode":7}"#;
        let fields = Fields::read(json).unwrap();
        assert_eq!(fields.text("id"), Some("r1"));
        assert_eq!((fields.text("mode"), fields.text("mac")), (None, None));
        assert_eq!(fields.texts("macs").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(fields.texts("id").count(), 0);
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
            let _ = Fields::read(text.as_bytes()).map(|fields| (fields.text("a").is_some(), fields.texts("b").count()));
        }
    }
}
