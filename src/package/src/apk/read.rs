//! Reading a package: every hash and size in it is checked.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::{Apk, Dependency, Info, Read, SYMLINK, Scripts, UNIQUE_ID};
use crate::adb::container::{self, Block, BlockKind, Schema};
use crate::adb::value::{Object, Reader, Value};
use crate::tree::{ENTRIES_MAX, Kind, Node, Tree};
use crate::version::check_version;
use crate::{Hex, Problem, apk_sign};

/// Reads a package, checking its hash, and size and hash of every file.
pub fn read(file: &[u8]) -> Result<Read, Problem> {
    let file = container::unwrap(file)?;
    let (schema, blocks) = container::split(&file)?;
    if schema != Schema::Package {
        return Err(Problem::new("it is the index of a feed, not a package"));
    }
    let [Block { kind: BlockKind::Adb, bytes: payload }, blocks @ ..] = &blocks[..] else {
        return Err(Problem::new("the first block is not the package's description"));
    };
    let (reader, root) = Reader::new(payload)?;
    let info = root.object(1)?;
    check_unique_id(payload, reader.blob_range(info.field(3))?)?;
    let signed_by = blocks
        .iter()
        .filter(|block| block.kind == BlockKind::Signature)
        .map(|block| apk_sign::key_id(&block.bytes))
        .collect::<Result<_, _>>()?;
    let data: Vec<&[u8]> =
        blocks.iter().filter(|block| block.kind == BlockKind::Data).map(|block| &block.bytes[..]).collect();
    let (tree, epoch_s) = read_tree(reader, root.object(2)?, data)?;
    let scripts = root.object(3)?;
    let script = |slot| scripts.text(slot).map(str::to_owned);
    let apk = Apk {
        info: read_info(reader, info).map_err(|problem| problem.at("info"))?,
        tree,
        epoch_s,
        scripts: Scripts {
            pre_install: script(2)?,
            post_install: script(3)?,
            pre_deinstall: script(4)?,
            post_deinstall: script(5)?,
            pre_upgrade: script(6)?,
            post_upgrade: script(7)?,
        },
    };
    Ok(Read { apk, payload_hash: Sha256::digest(payload).into(), signed_by })
}

/// A package's own hash is that of its payload with the hash's own bytes zero.
fn check_unique_id(payload: &[u8], range: Range<usize>) -> Result<(), Problem> {
    if range.len() != usize::from(UNIQUE_ID) {
        return Err(Problem::new(format!("its own hash has {} bytes, not {UNIQUE_ID}", range.len())));
    }
    let mut zeroed = Sha256::new();
    zeroed.update(&payload[..range.start]);
    zeroed.update([0; UNIQUE_ID as usize]);
    zeroed.update(&payload[range.end..]);
    let expected = &zeroed.finalize()[..range.len()];
    let found = &payload[range];
    if found != expected {
        return Err(Problem::new(format!(
            "its own hash is {}, its bytes give {}",
            Hex(found),
            Hex(expected)
        )));
    }
    Ok(())
}

/// Reads the fields of a package's description, in a package or an index.
pub(crate) fn read_info(reader: Reader<'_>, info: Object<'_>) -> Result<Info, Problem> {
    let text = |slot| info.text(slot).map(str::to_owned);
    let read = Info {
        name: text(1)?,
        version: text(2)?,
        description: text(4)?,
        architecture: text(5)?,
        license: text(6)?,
        origin: text(7)?,
        maintainer: text(8)?,
        url: text(9)?,
        installed_size: info.int(12)?,
        provider_priority: info.int(14)?,
        depends: read_dependencies(reader, info.object(15)?)?,
        provides: read_dependencies(reader, info.object(16)?)?,
        tags: bounded(info.object(21)?)?
            .map(|tag| reader.text(tag).map(str::to_owned))
            .collect::<Result<_, _>>()?,
    };
    if read.name.is_empty() {
        return Err(Problem::new("a package without a name"));
    }
    check_version(&read.version)?;
    Ok(read)
}

fn read_dependencies(reader: Reader<'_>, array: Object<'_>) -> Result<Vec<Dependency>, Problem> {
    let dependency = |value| {
        let object = reader.object(value)?;
        let comparison =
            u8::try_from(object.int(3)?).map_err(|_| Problem::new("a comparison that is none"))?;
        Ok(Dependency {
            name: object.text(1)?.to_owned(),
            version: object.text(2)?.to_owned(),
            comparison: if comparison == 0 { Dependency::EQUAL } else { comparison },
        })
    };
    bounded(array)?.map(dependency).collect()
}

/// The elements of an array that is not too long.
fn bounded<'a>(array: Object<'a>) -> Result<impl Iterator<Item = Value> + use<'a>, Problem> {
    if array.elements().count() > ENTRIES_MAX {
        return Err(Problem::new(format!("a list has more than {ENTRIES_MAX} entries")));
    }
    Ok(array.elements())
}

fn read_tree(reader: Reader<'_>, paths: Object<'_>, data: Vec<&[u8]>) -> Result<(Tree, u64), Problem> {
    let mut tree = Tree::default();
    let mut epoch_s = 0;
    let mut data = data.into_iter();
    let mut seen = 0;
    for (number, folder) in (1u32..).zip(bounded(paths)?) {
        let folder = reader.object(folder)?;
        let path = folder.text(1)?;
        if !path.is_empty() {
            tree.insert(path, Node { mode: mode(folder)?, kind: Kind::Directory })?;
        }
        for (member, file) in (1u32..).zip(bounded(folder.object(3)?)?) {
            seen += 1;
            if seen > ENTRIES_MAX {
                return Err(Problem::new(format!("more than {ENTRIES_MAX} files")));
            }
            let file = reader.object(file)?;
            let name = file.text(1)?;
            let full = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            if name.contains('/') {
                return Err(Problem::new(format!("{full:?} has a slash in the file's name")));
            }
            epoch_s = epoch_s.max(file.int(4)?);
            let kind = read_file(file, || data.next(), (number, member))
                .map_err(|problem| problem.at(format!("/{full}")))?;
            tree.insert(&full, Node { mode: mode(file)?, kind })?;
        }
    }
    if data.next().is_some() {
        return Err(Problem::new("there are bytes of files that are not listed"));
    }
    Ok((tree, epoch_s))
}

fn mode(entry: Object<'_>) -> Result<u16, Problem> {
    u16::try_from(entry.object(2)?.int(1)?).map_err(|_| Problem::new("a mode that is none"))
}

fn read_file<'a>(
    file: Object<'_>,
    next_data: impl FnOnce() -> Option<&'a [u8]>,
    numbers: (u32, u32),
) -> Result<Kind, Problem> {
    let target = file.blob(6)?;
    if let Some((kind, target)) = target.split_first_chunk() {
        if u16::from_le_bytes(*kind) != SYMLINK {
            return Err(Problem::new("neither a file nor a symbolic link"));
        }
        let target = str::from_utf8(target).map_err(|_| Problem::new("the link's target is no UTF-8"))?;
        return Ok(Kind::Symlink(target.to_owned()));
    }
    let size = file.int(3)?;
    let bytes = if size == 0 { &[] } else { data_of(next_data(), numbers)? };
    if bytes.len() as u64 != size {
        return Err(Problem::new(format!("{} bytes are there, {size} are listed", bytes.len())));
    }
    let hash = Sha256::digest(bytes);
    if file.blob(5)? != &hash[..] {
        return Err(Problem::new(format!(
            "its bytes give SHA-256 {}, {} is listed",
            Hex(&hash),
            Hex(file.blob(5)?)
        )));
    }
    Ok(Kind::File(bytes.to_vec()))
}

/// The bytes of a file, which stand in the order of the list, each behind the numbers of folder and file.
fn data_of(block: Option<&[u8]>, (directory, file): (u32, u32)) -> Result<&[u8], Problem> {
    let expected = [directory.to_le_bytes(), file.to_le_bytes()].concat();
    block
        .and_then(|block| block.strip_prefix(&expected[..]))
        .ok_or_else(|| Problem::new("its bytes are missing or not in their place"))
}
