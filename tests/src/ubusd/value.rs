//! blobmsg, the typed name-value pairs inside `DATA` and `SIGNATURE`: the stand-in's own reader and writer, which
//! shares nothing with the agent's, so that a mistake in one is not hidden by the same mistake in the other.

use std::fmt;

/// A blobmsg value. Integers have a width and no sign, as on the wire.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// JSON's null.
    Null,
    /// Values without names.
    Array(Vec<Value>),
    /// Values with names; a name may occur twice.
    Table(Fields),
    /// Bytes, usually UTF-8; the NUL that ends them on the wire is not part of them.
    Text(Vec<u8>),
    /// Eight bytes.
    Int64(u64),
    /// Four bytes.
    Int32(u32),
    /// Two bytes.
    Int16(u16),
    /// One byte; also every boolean.
    Int8(u8),
    /// IEEE 754.
    Double(f64),
}

/// Named values in the order of the wire.
pub type Fields = Vec<(String, Value)>;

/// Bytes that are no blobmsg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadBlob;

impl fmt::Display for BadBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no blobmsg")
    }
}

impl std::error::Error for BadBlob {}

impl Value {
    /// A text.
    pub fn text(text: impl AsRef<[u8]>) -> Value {
        Value::Text(text.as_ref().to_vec())
    }

    /// A signed number in four bytes.
    pub const fn int(number: i32) -> Value {
        Value::Int32(number.cast_unsigned())
    }

    /// A boolean.
    pub const fn bool(yes: bool) -> Value {
        Value::Int8(yes as u8)
    }

    /// A table of `fields`.
    pub fn table<const N: usize>(fields: [(&str, Value); N]) -> Value {
        Value::Table(fields_of(fields))
    }

    /// The value as a text of UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        let Value::Text(bytes) = self else { return None };
        std::str::from_utf8(bytes).ok()
    }

    /// The value as a number, if it is of four bytes.
    pub const fn as_u32(&self) -> Option<u32> {
        if let Value::Int32(number) = self { Some(*number) } else { None }
    }

    /// What `ubus call` makes of a JSON value: the narrowest of 32 and 64 bits, booleans of one byte.
    pub fn from_json(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(yes) => Value::bool(*yes),
            serde_json::Value::Number(number) => from_number(number),
            serde_json::Value::String(text) => Value::text(text),
            serde_json::Value::Array(values) => Value::Array(values.iter().map(Value::from_json).collect()),
            serde_json::Value::Object(object) => Value::Table(fields_from_json(object)),
        }
    }

    const fn type_id(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Array(_) => 1,
            Value::Table(_) => 2,
            Value::Text(_) => 3,
            Value::Int64(_) => 4,
            Value::Int32(_) => 5,
            Value::Int16(_) => 6,
            Value::Int8(_) => 7,
            Value::Double(_) => 8,
        }
    }
}

fn from_number(number: &serde_json::Number) -> Value {
    match number.as_i64() {
        Some(number) => i32::try_from(number).map_or(Value::Int64(number.cast_unsigned()), Value::int),
        None => number.as_u64().map_or(Value::Double(number.as_f64().unwrap_or_default()), Value::Int64),
    }
}

/// The fields of a JSON object.
pub fn fields_from_json(object: &serde_json::Map<String, serde_json::Value>) -> Fields {
    object.iter().map(|(name, value)| (name.clone(), Value::from_json(value))).collect()
}

/// Fields from names and values.
pub fn fields_of<const N: usize>(fields: [(&str, Value); N]) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The first field of that name.
pub fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
}

/// Writes fields as they stand in `DATA`: one after the other, padded.
pub fn encode(fields: &Fields) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        put(&mut bytes, name, value);
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, name: &str, value: &Value) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    let name_length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&name_length.to_be_bytes());
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(0);
    pad(bytes, start);
    match value {
        Value::Null => {}
        Value::Array(values) => values.iter().for_each(|value| put(bytes, "", value)),
        Value::Table(fields) => fields.iter().for_each(|(name, value)| put(bytes, name, value)),
        Value::Text(text) => {
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
        Value::Int64(number) => bytes.extend_from_slice(&number.to_be_bytes()),
        Value::Int32(number) => bytes.extend_from_slice(&number.to_be_bytes()),
        Value::Int16(number) => bytes.extend_from_slice(&number.to_be_bytes()),
        Value::Int8(number) => bytes.push(*number),
        Value::Double(number) => bytes.extend_from_slice(&number.to_bits().to_be_bytes()),
    }
    let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX) & 0x00ff_ffff;
    let header = 0x8000_0000 | u32::from(value.type_id()) << 24 | length;
    bytes[start..start + 4].copy_from_slice(&header.to_be_bytes());
    pad(bytes, start);
}

fn pad(bytes: &mut Vec<u8>, start: usize) {
    let length = (bytes.len() - start).next_multiple_of(4);
    bytes.resize(start + length, 0);
}

/// Reads what [`encode`] writes.
pub fn decode(mut bytes: &[u8]) -> Result<Fields, BadBlob> {
    let mut fields = Fields::new();
    while !bytes.is_empty() {
        let header: [u8; 4] = *bytes.first_chunk().ok_or(BadBlob)?;
        let header = u32::from_be_bytes(header);
        let length = (header & 0x00ff_ffff) as usize;
        if header & 0x8000_0000 == 0 || length < 8 || length > bytes.len() {
            return Err(BadBlob);
        }
        fields.push(read((header >> 24) as u8 & 0x7f, &bytes[4..length])?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(fields)
}

fn read(type_id: u8, bytes: &[u8]) -> Result<(String, Value), BadBlob> {
    let name_length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let name = bytes.get(2..2 + name_length).ok_or(BadBlob)?;
    let payload = bytes.get((2 + name_length + 1).next_multiple_of(4)..).ok_or(BadBlob)?;
    let value = match type_id {
        0 => Value::Null,
        1 => Value::Array(decode(payload)?.into_iter().map(|(_, value)| value).collect()),
        2 => Value::Table(decode(payload)?),
        3 => Value::text(payload.strip_suffix(&[0]).ok_or(BadBlob)?),
        4 => Value::Int64(u64::from_be_bytes(payload.try_into().map_err(|_| BadBlob)?)),
        5 => Value::Int32(u32::from_be_bytes(payload.try_into().map_err(|_| BadBlob)?)),
        6 => Value::Int16(u16::from_be_bytes(payload.try_into().map_err(|_| BadBlob)?)),
        7 => Value::Int8(u8::from_be_bytes(payload.try_into().map_err(|_| BadBlob)?)),
        8 => Value::Double(f64::from_bits(u64::from_be_bytes(payload.try_into().map_err(|_| BadBlob)?))),
        _ => return Err(BadBlob),
    };
    Ok((String::from_utf8_lossy(name).into_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn check(fields: Fields, bytes: &str) {
        let bytes = hex(bytes);
        assert_eq!(encode(&fields), bytes);
        assert_eq!(decode(&bytes), Ok(fields));
    }

    #[test]
    fn each_type_has_the_bytes_of_the_format() {
        check(fields_of([("channel", Value::Int32(36))]), "85000014 0007 6368616e6e656c 00 0000 00000024");
        check(fields_of([("ssid", Value::text("attic"))]), "83000012 0004 73736964 00 00 6174746963 00 0000");
        check(fields_of([("wmm", Value::bool(true))]), "8700000d 0003 776d6d 00 0000 01 000000");
        check(fields_of([("rx", Value::Int64(1))]), "84000014 0002 7278 00 000000 0000000000000001");
        check(fields_of([("u", Value::Int16(0x1234))]), "8600000a 0001 75 00 1234 0000");
        check(fields_of([("d", Value::Double(1.0))]), "88000010 0001 64 00 3ff0000000000000");
        check(fields_of([("none", Value::Null)]), "8000000c 0004 6e6f6e65 00 00");
        check(
            fields_of([("rrm", Value::Array(vec![Value::int(115), Value::int(-1)]))]),
            "81000024 0003 72726d 00 0000 8500000c 00000000 00000073 8500000c 00000000 ffffffff",
        );
        check(
            fields_of([("a", Value::table([("b", Value::Int8(7)), ("b", Value::Null)]))]),
            "8200001c 0001 61 00 87000009 0001 62 00 07 000000 80000008 0001 62 00",
        );
    }

    #[test]
    fn broken_bytes_are_refused_and_never_read_beyond() {
        let good = encode(&fields_of([("clients", Value::table([("x", Value::text("y"))]))]));
        for cut in 1..good.len() {
            let _ = decode(&good[..cut]);
        }
        for bad in [
            "00000008 0000 0000",
            "85000004",
            "85000030 0001 61 00",
            "83000008 0000 0000",
            "89000008 0000 0000",
        ] {
            assert_eq!(decode(&hex(bad)), Err(BadBlob), "{bad}");
        }
    }
}
