//! blobmsg, the typed tree that ubus calls carry: read in place without copying, written into a buffer.
//!
//! Nothing here panics on any bytes. A value that is not what its type says is skipped and counted by
//! [`Elements::flaws`]; a length that points outside ends the list it is in.

use std::borrow::Cow;

use crate::blob::{self, EXTENDED};

/// Deepest nesting that is read; what is below is taken for a flaw.
pub const DEPTH_MAX: u8 = 16;

/// A value as it is on the wire. Integers keep their width and have no sign there: convert by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// JSON's null.
    Unspec,
    /// Elements without names.
    Array(Elements<'a>),
    /// Elements with names.
    Table(Elements<'a>),
    /// Bytes without their NUL; not always UTF-8.
    String(&'a [u8]),
    /// 64 bits.
    I64(i64),
    /// 32 bits.
    I32(i32),
    /// 16 bits.
    I16(i16),
    /// 8 bits; booleans too.
    I8(i8),
    /// The bits of an IEEE 754 double.
    Double(u64),
}

/// Type numbers on the wire.
mod kind {
    pub(super) const UNSPEC: u8 = 0;
    pub(super) const ARRAY: u8 = 1;
    pub(super) const TABLE: u8 = 2;
    pub(super) const STRING: u8 = 3;
    pub(super) const INT64: u8 = 4;
    pub(super) const INT32: u8 = 5;
    pub(super) const INT16: u8 = 6;
    pub(super) const INT8: u8 = 7;
    pub(super) const DOUBLE: u8 = 8;
}

impl<'a> Value<'a> {
    /// A signed integer of any width.
    pub fn signed(self) -> Option<i64> {
        match self {
            Value::I64(value) => Some(value),
            Value::I32(value) => Some(value.into()),
            Value::I16(value) => Some(value.into()),
            Value::I8(value) => Some(value.into()),
            Value::Unspec | Value::Array(_) | Value::Table(_) | Value::String(_) | Value::Double(_) => None,
        }
    }

    /// An unsigned integer of any width.
    pub fn unsigned(self) -> Option<u64> {
        match self {
            Value::I64(value) => Some(value as u64),
            Value::I32(value) => Some((value as u32).into()),
            Value::I16(value) => Some((value as u16).into()),
            Value::I8(value) => Some((value as u8).into()),
            Value::Unspec | Value::Array(_) | Value::Table(_) | Value::String(_) | Value::Double(_) => None,
        }
    }

    /// An integer that says yes or no.
    pub fn boolean(self) -> Option<bool> {
        self.unsigned().map(|value| value != 0)
    }

    /// A string's bytes.
    pub fn bytes(self) -> Option<&'a [u8]> {
        if let Value::String(bytes) = self { Some(bytes) } else { None }
    }

    /// A string; bytes that are no UTF-8 are replaced.
    pub fn text(self) -> Option<Cow<'a, str>> {
        self.bytes().map(String::from_utf8_lossy)
    }

    /// The elements of a table or an array.
    pub fn elements(self) -> Option<Elements<'a>> {
        if let Value::Table(elements) | Value::Array(elements) = self { Some(elements) } else { None }
    }

    fn read(id: u8, payload: &'a [u8], depth: u8) -> Option<Value<'a>> {
        Some(match id {
            kind::UNSPEC => Value::Unspec,
            kind::ARRAY | kind::TABLE => {
                let elements = Elements { bytes: payload, depth: depth.checked_sub(1)? };
                if id == kind::ARRAY { Value::Array(elements) } else { Value::Table(elements) }
            }
            kind::STRING => Value::String(payload.strip_suffix(&[0])?),
            kind::INT64 => Value::I64(i64::from_be_bytes(payload.try_into().ok()?)),
            kind::INT32 => Value::I32(i32::from_be_bytes(payload.try_into().ok()?)),
            kind::INT16 => Value::I16(i16::from_be_bytes(payload.try_into().ok()?)),
            kind::INT8 => Value::I8(i8::from_be_bytes(payload.try_into().ok()?)),
            kind::DOUBLE => Value::Double(u64::from_be_bytes(payload.try_into().ok()?)),
            _ => return None,
        })
    }
}

/// A list of elements, read while it is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elements<'a> {
    bytes: &'a [u8],
    depth: u8,
}

/// A value with its name; in an array the name is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value.
    pub value: Value<'a>,
}

impl<'a> Elements<'a> {
    /// The contents of a DATA attribute: elements without an enclosing table.
    pub fn new(bytes: &'a [u8]) -> Elements<'a> {
        Elements { bytes, depth: DEPTH_MAX }
    }

    /// The first element of that name: duplicates do occur.
    pub fn get(self, name: &str) -> Option<Value<'a>> {
        self.into_iter().find(|element| element.name == name.as_bytes()).map(|element| element.value)
    }

    /// How many values anywhere below could not be read.
    pub fn flaws(self) -> u32 {
        let mut flaws = 0u32;
        let mut rest = self.bytes;
        while !rest.is_empty() {
            let Some((element, after)) = split(rest, self.depth) else { return flaws.saturating_add(1) };
            let below = match element {
                Some(Element { value: Value::Array(elements) | Value::Table(elements), .. }) => {
                    elements.flaws()
                }
                Some(_) => 0,
                None => 1,
            };
            flaws = flaws.saturating_add(below);
            rest = after;
        }
        flaws
    }
}

/// The first element and what follows it; without the element if only its value is unreadable.
fn split(bytes: &[u8], depth: u8) -> Option<(Option<Element<'_>>, &[u8])> {
    let blob = blob::first(bytes)?;
    Some((element(&blob, depth), blob.rest))
}

fn element<'a>(blob: &blob::Blob<'a>, depth: u8) -> Option<Element<'a>> {
    if !blob.extended {
        return None;
    }
    let length = usize::from(u16::from_be_bytes(*blob.payload.first_chunk()?));
    let name = blob.payload.get(2..2 + length)?;
    let payload = blob.payload.get(blob::padded(2 + length + 1)..)?;
    Some(Element { name, value: Value::read(blob.id, payload, depth)? })
}

impl<'a> IntoIterator for Elements<'a> {
    type Item = Element<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        Iter { rest: self.bytes, depth: self.depth }
    }
}

/// Walks [`Elements`]; what cannot be read is left out.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    rest: &'a [u8],
    depth: u8,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            let (element, rest) = split(self.rest, self.depth)?;
            self.rest = rest;
            if element.is_some() {
                return element;
            }
        }
    }
}

/// Writes a list of elements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty list.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// What was written, for a DATA attribute.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a value; a table or array with all that is in it.
    pub fn put(&mut self, name: &[u8], value: Value<'_>) -> &mut Writer {
        match value {
            Value::Unspec => self.raw(kind::UNSPEC, name, &[]),
            Value::Array(elements) => self.raw(kind::ARRAY, name, elements.bytes),
            Value::Table(elements) => self.raw(kind::TABLE, name, elements.bytes),
            Value::String(bytes) => self.nested(kind::STRING, name, |writer| {
                writer.bytes.extend_from_slice(bytes);
                writer.bytes.push(0);
            }),
            Value::I64(value) => self.raw(kind::INT64, name, &value.to_be_bytes()),
            Value::I32(value) => self.raw(kind::INT32, name, &value.to_be_bytes()),
            Value::I16(value) => self.raw(kind::INT16, name, &value.to_be_bytes()),
            Value::I8(value) => self.raw(kind::INT8, name, &value.to_be_bytes()),
            Value::Double(bits) => self.raw(kind::DOUBLE, name, &bits.to_be_bytes()),
        }
    }

    /// Adds a string.
    pub fn string(&mut self, name: &str, text: &str) -> &mut Writer {
        self.put(name.as_bytes(), Value::String(text.as_bytes()))
    }

    /// Adds a 32-bit integer.
    pub fn int32(&mut self, name: &str, value: u32) -> &mut Writer {
        self.put(name.as_bytes(), Value::I32(value as i32))
    }

    /// Adds a boolean.
    pub fn boolean(&mut self, name: &str, value: bool) -> &mut Writer {
        self.put(name.as_bytes(), Value::I8(value.into()))
    }

    /// Adds a table that `fill` writes.
    pub fn table(&mut self, name: &str, fill: impl FnOnce(&mut Writer)) -> &mut Writer {
        self.nested(kind::TABLE, name.as_bytes(), fill)
    }

    /// Adds an array that `fill` writes, with empty names.
    pub fn array(&mut self, name: &str, fill: impl FnOnce(&mut Writer)) -> &mut Writer {
        self.nested(kind::ARRAY, name.as_bytes(), fill)
    }

    fn raw(&mut self, id: u8, name: &[u8], payload: &[u8]) -> &mut Writer {
        self.nested(id, name, |writer| writer.bytes.extend_from_slice(payload))
    }

    fn nested(&mut self, id: u8, name: &[u8], fill: impl FnOnce(&mut Writer)) -> &mut Writer {
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        let at = blob::open(&mut self.bytes, EXTENDED | u32::from(id) << 24);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(&name[..usize::from(length)]);
        // The NUL after the name; padding counts from the element's start, which is aligned.
        self.bytes.push(0);
        self.bytes.resize(blob::padded(self.bytes.len()), 0);
        fill(self);
        blob::close(&mut self.bytes, at);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_libubox() {
        let mut writer = Writer::new();
        writer.int32("freq", 5180).string("address", "aa:bb:cc:dd:ee:ff");
        let frequency = b"\x85\x00\x00\x10\x00\x04freq\x00\x00\x00\x00\x14\x3c";
        let address = b"\x83\x00\x00\x22\x00\x07address\x00\x00\x00aa:bb:cc:dd:ee:ff\x00\x00\x00";
        assert_eq!(writer.as_bytes(), [&frequency[..], &address[..]].concat());
    }

    #[test]
    fn nested_tables_and_arrays_read_back() {
        let mut writer = Writer::new();
        writer.table("clients", |clients| {
            clients.table("02:00:5e:00:53:01", |client| {
                client.boolean("authorized", true).array("rrm", |rrm| {
                    rrm.int32("", 115).int32("", 0);
                });
            });
        });
        let clients = Elements::new(writer.as_bytes()).get("clients").and_then(Value::elements).unwrap();
        let client = clients.into_iter().next().unwrap();
        assert_eq!(client.name, b"02:00:5e:00:53:01");
        let fields = client.value.elements().unwrap();
        assert_eq!(fields.get("authorized").and_then(Value::boolean), Some(true));
        let rrm: Vec<_> =
            fields.get("rrm").and_then(Value::elements).unwrap().into_iter().map(|e| e.value).collect();
        assert_eq!(rrm, [Value::I32(115), Value::I32(0)]);
        assert_eq!(Elements::new(writer.as_bytes()).flaws(), 0);
    }

    #[test]
    fn a_bad_value_costs_only_itself() {
        let mut writer = Writer::new();
        writer.raw(kind::INT32, b"short", &[1, 2]).raw(99, b"future", &[0; 4]).int32("good", 7);
        let elements = Elements::new(writer.as_bytes());
        assert_eq!(elements.into_iter().count(), 1);
        assert_eq!(elements.get("good"), Some(Value::I32(7)));
        assert_eq!(elements.flaws(), 2);
    }

    #[test]
    fn duplicate_names_give_the_first() {
        let mut writer = Writer::new();
        writer.int32("mode", 1).string("mode", "ap");
        assert_eq!(Elements::new(writer.as_bytes()).get("mode"), Some(Value::I32(1)));
    }

    #[test]
    fn nesting_is_bounded() {
        fn nest(writer: &mut Writer, levels: u32) {
            if levels > 0 {
                writer.table("t", |inner| nest(inner, levels - 1));
            }
        }
        let mut writer = Writer::new();
        nest(&mut writer, DEPTH_MAX.into());
        assert_eq!(Elements::new(writer.as_bytes()).flaws(), 0);
        let mut writer = Writer::new();
        nest(&mut writer, 1000);
        assert_eq!(Elements::new(writer.as_bytes()).flaws(), 1);
    }

    #[test]
    fn integers_convert_by_field() {
        assert_eq!(Value::I32(-63).signed(), Some(-63));
        assert_eq!(Value::I32(-1).unsigned(), Some(u64::from(u32::MAX)));
        assert_eq!(Value::I8(-1).unsigned(), Some(255));
        assert_eq!(Value::String(b"\xff\x41").text().as_deref(), Some("\u{fffd}A"));
    }
}
