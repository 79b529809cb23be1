//! The file around an ADB payload: `ADB.`, what it describes, then blocks, each padded to eight bytes. The whole may be
//! wrapped: `ADBd` and raw deflate, or `ADBc`, an algorithm, a level and a stream.
//!
//! A block starts with a word: two bits of kind, 30 bits of size with the word included.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::DeflateDecoder;

use crate::{Problem, compress};

/// Most bytes of a file after decompression: a package for a router is some hundred kilobytes.
pub const UNPACKED_MAX: usize = 64 << 20;

const MAGIC: &[u8; 4] = b"ADB.";
const MAGIC_DEFLATE: &[u8; 4] = b"ADBd";
const MAGIC_COMPRESSED: &[u8; 4] = b"ADBc";
const ALIGNMENT: usize = 8;
const SIZE: u32 = (1 << 30) - 1;

/// What a file describes, as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// A package.
    Package,
    /// The index of a feed.
    Index,
}

impl Schema {
    /// The four bytes in the file; signatures cover them.
    pub fn bytes(self) -> [u8; 4] {
        match self {
            Schema::Package => *b"pckg",
            Schema::Index => *b"indx",
        }
    }
}

/// How a file is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// As it is.
    None,
    /// Compressed with deflate, which apk on OpenWrt reads; zstd it does not.
    Deflate,
}

/// Kinds of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// The payload with the values, always first.
    Adb,
    /// A signature over the payload.
    Signature,
    /// The bytes of one file.
    Data,
}

/// A block: its kind and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<'a> {
    /// What it is.
    pub kind: BlockKind,
    /// Its bytes without header and padding.
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> Block<'a> {
    /// A block of these bytes.
    pub fn new(kind: BlockKind, bytes: impl Into<Cow<'a, [u8]>>) -> Block<'a> {
        Block { kind, bytes: bytes.into() }
    }
}

/// Writes a file of these blocks.
pub fn write(schema: Schema, blocks: &[Block<'_>], wrapping: Wrapping) -> Result<Vec<u8>, Problem> {
    let mut file = [&MAGIC[..], &schema.bytes()].concat();
    for block in blocks {
        let size = u32::try_from(block.bytes.len() + 4).ok().filter(|size| *size <= SIZE);
        let Some(size) = size else {
            return Err(Problem::new("a file of the package is over 1 GB"));
        };
        let kind: u32 = match block.kind {
            BlockKind::Adb => 0,
            BlockKind::Signature => 1,
            BlockKind::Data => 2,
        };
        file.extend_from_slice(&(kind << 30 | size).to_le_bytes());
        file.extend_from_slice(&block.bytes);
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    }
    if wrapping == Wrapping::None {
        return Ok(file);
    }
    compress::deflate(MAGIC_DEFLATE, &file)
}

/// Takes the wrapping off a file, never beyond [`UNPACKED_MAX`].
pub fn unwrap(file: &[u8]) -> Result<Cow<'_, [u8]>, Problem> {
    let Some((magic, rest)) = file.split_at_checked(4) else {
        return Err(Problem::new("too short for an apk file"));
    };
    if magic == MAGIC {
        return Ok(Cow::Borrowed(file));
    }
    if magic == MAGIC_DEFLATE {
        return inflate(rest).map(Cow::Owned);
    }
    if magic != MAGIC_COMPRESSED {
        return Err(Problem::new("it does not start with ADB: no apk of version 3"));
    }
    match rest {
        [0, _, stream @ ..] => Ok(Cow::Borrowed(stream)),
        [1, _, stream @ ..] => inflate(stream).map(Cow::Owned),
        [2, ..] => Err(Problem::new("compressed with zstd, which apk on OpenWrt does not read")),
        _ => Err(Problem::new("compressed in an unknown way")),
    }
}

fn inflate(stream: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut file = Vec::new();
    DeflateDecoder::new(stream)
        .take(UNPACKED_MAX as u64 + 1)
        .read_to_end(&mut file)
        .map_err(|error| Problem::new(format!("the deflate stream is damaged: {error}")))?;
    if file.len() > UNPACKED_MAX {
        return Err(Problem::new(format!("unpacked it is over {} MB", UNPACKED_MAX >> 20)));
    }
    Ok(file)
}

/// Splits an unwrapped file into its schema and blocks.
pub fn split(file: &[u8]) -> Result<(Schema, Vec<Block<'_>>), Problem> {
    let Some(header) = file.get(..8).filter(|header| header[..4] == *MAGIC) else {
        return Err(Problem::new("it does not start with ADB. and a schema"));
    };
    let schema = [Schema::Package, Schema::Index].into_iter().find(|schema| header[4..] == schema.bytes());
    let Some(schema) = schema else {
        return Err(Problem::new(format!("schema {:02x?} is neither package nor index", &header[4..])));
    };
    let mut blocks = Vec::new();
    let mut offset = header.len();
    while offset < file.len() {
        let block = block_at(file, offset).map_err(|problem| problem.at(format!("block at {offset}")))?;
        offset = (offset + 4 + block.bytes.len()).next_multiple_of(ALIGNMENT);
        blocks.push(block);
    }
    if offset != file.len() {
        return Err(Problem::new("the padding of the last block is missing"));
    }
    Ok((schema, blocks))
}

fn block_at(file: &[u8], offset: usize) -> Result<Block<'_>, Problem> {
    let Some(header) = file.get(offset..).and_then(|rest| rest.first_chunk::<4>()) else {
        return Err(Problem::new("its header is cut off"));
    };
    let header = u32::from_le_bytes(*header);
    let kind = match header >> 30 {
        0 => BlockKind::Adb,
        1 => BlockKind::Signature,
        2 => BlockKind::Data,
        _ => return Err(Problem::new("an extended block, for files over 1 GB")),
    };
    let size = (header & SIZE) as usize;
    let bytes = size.checked_sub(4).and_then(|_| file.get(offset + 4..offset.checked_add(size)?));
    bytes
        .map(|bytes| Block::new(kind, bytes))
        .ok_or_else(|| Problem::new(format!("its {size} bytes are not there")))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_byte_by_byte() {
        let blocks = [Block::new(BlockKind::Adb, &b"payload!"[..]), Block::new(BlockKind::Data, &b"xy"[..])];
        #[rustfmt::skip]
        let expected: &[u8] = &[
            b'A', b'D', b'B', b'.', b'i', b'n', b'd', b'x',
            0x0c, 0, 0, 0x00, b'p', b'a', b'y', b'l', b'o', b'a', b'd', b'!', 0, 0, 0, 0,
            0x06, 0, 0, 0x80, b'x', b'y', 0, 0,
        ];
        assert_eq!(write(Schema::Index, &blocks, Wrapping::None).unwrap(), expected);
        assert_eq!(split(expected).unwrap(), (Schema::Index, blocks.to_vec()));
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let mut encoder = DeflateEncoder::new(MAGIC_DEFLATE.to_vec(), Compression::fast());
        for _ in 0..65 {
            encoder.write_all(&vec![0; 1 << 20]).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 1 << 20);
        assert_eq!(unwrap(&bomb).unwrap_err().to_string(), "unpacked it is over 64 MB");
    }

    proptest! {
        #[test]
        fn blocks_come_back(
            blocks in prop::collection::vec((0..3u8, prop::collection::vec(any::<u8>(), 0..100)), 0..6),
            deflate in any::<bool>(),
        ) {
            let blocks: Vec<Block<'_>> = blocks.iter().map(|(kind, bytes)| {
                let kind = [BlockKind::Adb, BlockKind::Signature, BlockKind::Data][usize::from(*kind)];
                Block::new(kind, &bytes[..])
            }).collect();
            let wrapping = if deflate { Wrapping::Deflate } else { Wrapping::None };
            let file = write(Schema::Package, &blocks, wrapping).unwrap();
            let file = unwrap(&file).unwrap();
            prop_assert_eq!(split(&file).unwrap(), (Schema::Package, blocks));
        }

        #[test]
        fn any_bytes_are_split_without_a_panic(
            start in prop::sample::select(vec![&b"ADB."[..], b"ADBd", b"ADBc\x01\x00", b"ADB.pckg", b""]),
            bytes in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let file = [start, &bytes].concat();
            if let Ok(file) = unwrap(&file) {
                let _ = split(&file);
            }
        }
    }
}
