//! Values of an ADB payload. A value is a word: four bits of kind, 28 bits of number or offset into the payload. What a
//! word points at was written before it, so the writer works from the leaves up and the reader never loops.
//!
//! | kind | meaning |
//! |---|---|
//! | 0 | the whole word 0: nothing |
//! | 1 | a number below 2^28 |
//! | 2, 3 | offset of a number of 32, 64 bits |
//! | 8, 9, 10 | offset of a string behind its length in 8, 16, 32 bits |
//! | 13, 14 | offset of an array or object: a count that counts itself, then values |
//!
//! Everything is little-endian, and aligned to its own size (objects to 4).

use std::collections::BTreeMap;
use std::ops::Range;

use crate::Problem;

const INT: u32 = 0x1 << 28;
const INT_32: u32 = 0x2 << 28;
const INT_64: u32 = 0x3 << 28;
const BLOB_8: u32 = 0x8 << 28;
const BLOB_16: u32 = 0x9 << 28;
const BLOB_32: u32 = 0xa << 28;
const ARRAY: u32 = 0xd << 28;
const OBJECT: u32 = 0xe << 28;
const KIND: u32 = 0xf << 28;
const OFFSET: u32 = !KIND;

/// The header of a payload: two versions, padding, the root's value.
const HEADER: usize = 8;

/// A value in a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value(u32);

impl Value {
    /// Nothing: an absent field.
    pub const NULL: Value = Value(0);

    /// Whether the field is absent.
    pub fn is_null(self) -> bool {
        self == Value::NULL
    }
}

/// Writes a payload. Equal strings and objects are stored once, as apk does.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Where each item stands, by its bytes.
    offsets: BTreeMap<Vec<u8>, usize>,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer { bytes: vec![0; HEADER], offsets: BTreeMap::new() }
    }
}

impl Writer {
    /// A number.
    pub fn int(&mut self, number: u64) -> Value {
        match u32::try_from(number) {
            Ok(small) if small & KIND == 0 => Value(INT | small),
            Ok(middle) => self.shared(INT_32, 4, middle.to_le_bytes().to_vec()),
            Err(_) => self.shared(INT_64, 8, number.to_le_bytes().to_vec()),
        }
    }

    /// A string of bytes; an empty one is nothing.
    pub fn blob(&mut self, bytes: &[u8]) -> Value {
        if bytes.is_empty() {
            return Value::NULL;
        }
        let (kind, size, item) = prefixed(bytes);
        self.shared(kind, size, item)
    }

    /// A string of zeros that is filled in later, at the range returned: never shared with another.
    pub fn blob_to_fill(&mut self, length: u8) -> (Value, Range<usize>) {
        let offset = self.bytes.len();
        self.bytes.push(length);
        let start = self.bytes.len();
        self.bytes.resize(start + usize::from(length), 0);
        (pointer(BLOB_8, offset), start..self.bytes.len())
    }

    /// An object of the fields from slot 1 on, or an array of these elements; without any, nothing.
    pub fn object(&mut self, fields: &[Value]) -> Value {
        let used = fields.iter().rposition(|field| !field.is_null()).map_or(0, |last| last + 1);
        if used == 0 {
            return Value::NULL;
        }
        let mut item = Vec::with_capacity(4 * (used + 1));
        // An object this large does not fit the payload, which finish() refuses.
        item.extend_from_slice(&(u32::try_from(used + 1).unwrap_or(u32::MAX)).to_le_bytes());
        item.extend(fields[..used].iter().flat_map(|field| field.0.to_le_bytes()));
        self.shared(OBJECT, 4, item)
    }

    /// The payload with this root.
    pub fn finish(mut self, root: Value) -> Result<Vec<u8>, Problem> {
        if self.bytes.len() > OFFSET as usize {
            return Err(Problem::new("the description of the package is over 256 MB"));
        }
        self.bytes[4..HEADER].copy_from_slice(&root.0.to_le_bytes());
        Ok(self.bytes)
    }

    fn shared(&mut self, kind: u32, alignment: usize, item: Vec<u8>) -> Value {
        if let Some(&offset) = self.offsets.get(&item)
            && offset % alignment == 0
        {
            return pointer(kind, offset);
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(&item);
        self.offsets.insert(item, offset);
        pointer(kind, offset)
    }
}

/// A value that points; an offset that does not fit makes a payload that finish() refuses.
fn pointer(kind: u32, offset: usize) -> Value {
    Value(kind | u32::try_from(offset).unwrap_or(OFFSET) & OFFSET)
}

/// A string behind its length, in as few bits as hold it: kind, size of the length, both together.
fn prefixed(bytes: &[u8]) -> (u32, usize, Vec<u8>) {
    let length = bytes.len();
    if let Ok(length) = u8::try_from(length) {
        return (BLOB_8, 1, [&[length], bytes].concat());
    }
    if let Ok(length) = u16::try_from(length) {
        return (BLOB_16, 2, [&length.to_le_bytes(), bytes].concat());
    }
    (BLOB_32, 4, [&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes(), bytes].concat())
}

/// Reads a payload; every offset and length is checked against it.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

/// An object or array of a payload.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    reader: Reader<'a>,
    fields: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of this payload, and its root.
    pub fn new(bytes: &'a [u8]) -> Result<(Reader<'a>, Object<'a>), Problem> {
        let reader = Reader { bytes };
        if let [compatible, ..] = *reader.slice(0, HEADER)?
            && compatible != 0
        {
            return Err(Problem::new(format!(
                "version {compatible} of the format is newer than this program knows"
            )));
        }
        let root = Value(reader.word(4)?);
        Ok((reader, reader.object(root)?))
    }

    /// A number; absent, 0.
    pub fn int(&self, value: Value) -> Result<u64, Problem> {
        let offset = (value.0 & OFFSET) as usize;
        match value.0 & KIND {
            _ if value.is_null() => Ok(0),
            INT => Ok(offset as u64),
            INT_32 => Ok(u64::from(self.word(offset)?)),
            INT_64 => {
                Ok(u64::from(self.word(offset)?) | u64::from(self.word(offset.saturating_add(4))?) << 32)
            }
            _ => Err(Problem::new(format!("{:#010x} is no number", value.0))),
        }
    }

    /// A string of bytes; absent, empty.
    pub fn blob(&self, value: Value) -> Result<&'a [u8], Problem> {
        let range = self.blob_range(value)?;
        self.slice(range.start, range.len())
    }

    /// Where in the payload the bytes of a string are.
    pub fn blob_range(&self, value: Value) -> Result<Range<usize>, Problem> {
        let offset = (value.0 & OFFSET) as usize;
        let size = match value.0 & KIND {
            _ if value.is_null() => return Ok(0..0),
            BLOB_8 => 1,
            BLOB_16 => 2,
            BLOB_32 => 4,
            _ => return Err(Problem::new(format!("{:#010x} is no string", value.0))),
        };
        let length =
            self.slice(offset, size)?.iter().rev().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
        let start = offset + size;
        self.slice(start, length)?;
        Ok(start..start + length)
    }

    /// A string of text; absent, empty.
    pub fn text(&self, value: Value) -> Result<&'a str, Problem> {
        str::from_utf8(self.blob(value)?).map_err(|_| Problem::new("a string is no UTF-8"))
    }

    /// An object or array; absent, empty.
    pub fn object(&self, value: Value) -> Result<Object<'a>, Problem> {
        let offset = (value.0 & OFFSET) as usize;
        match value.0 & KIND {
            _ if value.is_null() => return Ok(Object { reader: *self, fields: &[] }),
            OBJECT | ARRAY => {}
            _ => return Err(Problem::new(format!("{:#010x} is no object", value.0))),
        }
        let count = self.word(offset)? as usize;
        let size = count.checked_mul(4).filter(|size| *size >= 4);
        let Some(size) = size else {
            return Err(Problem::new("an object does not even count itself"));
        };
        Ok(Object { reader: *self, fields: &self.slice(offset, size)?[4..] })
    }

    fn word(&self, offset: usize) -> Result<u32, Problem> {
        // The slice is four bytes long.
        Ok(self.slice(offset, 4)?.iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
    }

    fn slice(&self, offset: usize, length: usize) -> Result<&'a [u8], Problem> {
        let end = offset.checked_add(length);
        end.and_then(|end| self.bytes.get(offset..end)).ok_or_else(|| {
            Problem::new(format!("{length} bytes at {offset} lie beyond the {} there are", self.bytes.len()))
        })
    }
}

impl<'a> Object<'a> {
    /// The field in a slot, from 1 on; absent, null.
    pub fn field(&self, slot: usize) -> Value {
        let word = slot.checked_sub(1).and_then(|index| self.fields.get(index * 4..index * 4 + 4));
        Value(word.unwrap_or(&[]).iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
    }

    /// The elements of an array.
    pub fn elements(&self) -> impl Iterator<Item = Value> + use<'a> {
        let object = *self;
        (1..=object.fields.len() / 4).map(move |slot| object.field(slot))
    }

    /// The number in a slot.
    pub fn int(&self, slot: usize) -> Result<u64, Problem> {
        self.reader.int(self.field(slot))
    }

    /// The bytes in a slot.
    pub fn blob(&self, slot: usize) -> Result<&'a [u8], Problem> {
        self.reader.blob(self.field(slot))
    }

    /// The text in a slot.
    pub fn text(&self, slot: usize) -> Result<&'a str, Problem> {
        self.reader.text(self.field(slot))
    }

    /// The object or array in a slot.
    pub fn object(&self, slot: usize) -> Result<Object<'a>, Problem> {
        self.reader.object(self.field(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_payload_byte_by_byte() {
        let mut writer = Writer::default();
        let name = writer.blob(b"foo");
        let again = writer.blob(b"foo");
        assert_eq!(name, again, "equal strings are stored once");
        let size = writer.int(0x1234);
        let epoch = writer.int(0x6543_2100);
        let root = writer.object(&[name, Value::NULL, size, epoch, Value::NULL]);
        let payload = writer.finish(root).unwrap();
        #[rustfmt::skip]
        assert_eq!(payload, [
            0, 0, 0, 0,                             // compatible from version 0, version 0, padding
            0x10, 0x00, 0x00, 0xe0,                 // root: the object at 16
            3, b'f', b'o', b'o',                    // 8: a string of three bytes
            0x00, 0x21, 0x43, 0x65,                 // 12: a number of 32 bits
            5, 0, 0, 0,                             // 16: four fields and the count itself
            0x08, 0x00, 0x00, 0x80,                 // slot 1: the short string at 8
            0x00, 0x00, 0x00, 0x00,                 // slot 2: nothing
            0x34, 0x12, 0x00, 0x10,                 // slot 3: the number itself
            0x0c, 0x00, 0x00, 0x20,                 // slot 4: the number at 12; slot 5 was nothing and is left out
        ]);
    }

    #[test]
    fn lengths_of_each_width_and_their_alignment() {
        let mut writer = Writer::default();
        let short = writer.blob(&[1; 255]);
        let middle = writer.blob(&[2; 256]);
        let long = writer.blob(&[3; 65_536]);
        let huge = writer.int(1 << 40);
        let root = writer.object(&[short, middle, long, huge]);
        let payload = writer.finish(root).unwrap();
        assert_eq!(
            [short.0 & KIND, middle.0 & KIND, long.0 & KIND, huge.0 & KIND],
            [BLOB_8, BLOB_16, BLOB_32, INT_64]
        );
        assert_eq!([middle.0 & OFFSET & 1, long.0 & OFFSET & 3, huge.0 & OFFSET & 7], [0, 0, 0]);
        let (_, root) = Reader::new(&payload).unwrap();
        assert_eq!(root.blob(1).unwrap(), [1; 255]);
        assert_eq!(root.blob(2).unwrap(), [2; 256]);
        assert_eq!(root.blob(3).unwrap(), [3; 65_536]);
        assert_eq!(root.int(4).unwrap(), 1 << 40);
    }

    #[test]
    fn what_points_out_of_the_payload_is_refused() {
        let with_root = |root: [u8; 4]| [&[0, 0, 0, 0], &root[..], &[9, 0, 0, 0]].concat();
        assert!(Reader::new(&with_root([8, 0, 0, 0xe0])).is_err(), "nine slots, none there");
        assert!(Reader::new(&with_root([0xff, 0xff, 0xff, 0xef])).is_err());
        assert!(Reader::new(&with_root([8, 0, 0, 0x80])).is_err(), "a string is no object");
        assert!(Reader::new(&[0, 0, 0]).is_err());
        assert!(Reader::new(&[1, 0, 0, 0, 0, 0, 0, 0]).is_err(), "made by a later version");
    }

    proptest! {
        #[test]
        fn numbers_and_strings_come_back(
            numbers in prop::collection::vec(any::<u64>().prop_map(|n| n >> (n % 64)), 1..20),
            strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20),
        ) {
            let mut writer = Writer::default();
            let numbers_in: Vec<Value> = numbers.iter().map(|&number| writer.int(number)).collect();
            let strings_in: Vec<Value> = strings.iter().map(|string| writer.blob(string)).collect();
            let first = writer.object(&numbers_in);
            let second = writer.object(&strings_in);
            let root = writer.object(&[first, second]);
            let payload = writer.finish(root).unwrap();
            let (reader, root) = Reader::new(&payload).unwrap();
            let back: Vec<u64> =
                root.object(1).unwrap().elements().map(|value| reader.int(value).unwrap()).collect();
            prop_assert_eq!(back, numbers);
            let array = root.object(2).unwrap();
            for (index, string) in strings.iter().enumerate() {
                prop_assert_eq!(array.blob(index + 1).unwrap(), &string[..]);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), words in prop::collection::vec(any::<u32>(), 0..20)) {
            if let Ok((reader, root)) = Reader::new(&bytes) {
                for value in root.elements() {
                    let _ = (reader.int(value), reader.blob(value), reader.object(value));
                }
            }
            let reader = Reader { bytes: &bytes };
            for word in words {
                let value = Value(word & (KIND | 0xff));
                let _ = (reader.int(value), reader.text(value), reader.object(value).map(|o| o.elements().count()));
            }
        }
    }
}
