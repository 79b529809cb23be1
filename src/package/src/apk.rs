//! Packages of apk version 3, for OpenWrt 25.12 and later: written and read without apk. This is the bare format; what
//! OpenWrt puts into its packages beyond that is in [`crate::openwrt`].

use std::fmt;
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::adb::container::{self, Block, BlockKind, Schema, Wrapping};
use crate::adb::value::{Object, Reader, Value, Writer};
use crate::apk_sign;
use crate::tree::{ENTRIES_MAX, Kind, Node, Tree};
use crate::version::{check_architecture, check_name, check_version};
use crate::{Hex, Problem};

/// Mode bits that mark a symbolic link.
const SYMLINK: u16 = 0o120_000;

/// Bytes of a package's own hash.
const UNIQUE_ID: u8 = 20;

/// A package as apk has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Apk {
    /// What an index repeats.
    pub info: Info,
    /// The files.
    pub tree: Tree,
    /// Seconds since 1970 that every file gets as its time of change. Reading gives 0 for a package without files.
    pub epoch_s: u64,
    /// What runs when.
    pub scripts: Scripts,
}

/// What a package says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// Name.
    pub name: String,
    /// Version, see [`check_version`].
    pub version: String,
    /// One line.
    pub description: String,
    /// Architecture, `noarch` for all.
    pub architecture: String,
    /// SPDX expression.
    pub license: String,
    /// Where its sources are in a feed.
    pub origin: String,
    /// Name and address.
    pub maintainer: String,
    /// Home page.
    pub url: String,
    /// Bytes once installed.
    pub installed_size: u64,
    /// Packages needed.
    pub depends: Vec<Dependency>,
    /// Names it stands in for.
    pub provides: Vec<Dependency>,
    /// Free words, `openwrt:section=net`.
    pub tags: Vec<String>,
}

/// A package, or a name one provides, at some versions: `ubus`, `libc>=1.2`, `!other`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// Its name.
    pub name: String,
    /// The version compared with, if one is.
    pub version: String,
    /// How versions are compared, as apk's bits: 1 equal, 2 less, 4 greater, 8 starts with, 16 not.
    pub comparison: u8,
}

impl Dependency {
    /// Any version of a package.
    pub fn any(name: impl Into<String>) -> Dependency {
        Dependency { name: name.into(), version: String::new(), comparison: Dependency::EQUAL }
    }

    /// This version exactly; of a name provided, this is the version provided.
    pub fn exactly(name: impl Into<String>, version: impl Into<String>) -> Dependency {
        Dependency { name: name.into(), version: version.into(), comparison: Dependency::EQUAL }
    }

    /// Not together with this package.
    pub fn conflict(name: impl Into<String>) -> Dependency {
        Dependency { name: name.into(), version: String::new(), comparison: Dependency::NOT }
    }

    const EQUAL: u8 = 1;
    const LESS: u8 = 2;
    const GREATER: u8 = 4;
    const FUZZY: u8 = 8;
    const NOT: u8 = 16;
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |bit| self.comparison & bit != 0;
        if has(Dependency::NOT) {
            f.write_str("!")?;
        }
        f.write_str(&self.name)?;
        if self.version.is_empty() {
            return Ok(());
        }
        let signs = [
            (Dependency::FUZZY, "~"),
            (Dependency::GREATER, ">"),
            (Dependency::LESS, "<"),
            (Dependency::EQUAL, "="),
        ];
        signs.into_iter().filter(|(bit, _)| has(*bit)).try_for_each(|(_, sign)| f.write_str(sign))?;
        f.write_str(&self.version)
    }
}

/// Scripts of a package; an empty one is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scripts {
    /// Before the files are there.
    pub pre_install: String,
    /// After.
    pub post_install: String,
    /// Before the files go.
    pub pre_deinstall: String,
    /// After.
    pub post_deinstall: String,
    /// Before another version's files are there.
    pub pre_upgrade: String,
    /// After.
    pub post_upgrade: String,
}

/// A package that was read, with what an index says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The package.
    pub apk: Apk,
    /// SHA-256 of its payload, by which an index knows it.
    pub payload_hash: [u8; 32],
    /// Ids of the keys that signed it.
    pub signed_by: Vec<apk_sign::KeyId>,
}

/// Writes a package.
pub fn write(apk: &Apk, wrapping: Wrapping) -> Result<Vec<u8>, Problem> {
    check_name(&apk.info.name)?;
    check_version(&apk.info.version)?;
    check_architecture(&apk.info.architecture)?;
    let payload = payload(apk)?;
    let mut blocks = vec![Block::new(BlockKind::Adb, payload)];
    for (directory, file, bytes) in numbered_files(&apk.tree) {
        if !bytes.is_empty() {
            let data = [&directory.to_le_bytes()[..], &file.to_le_bytes(), bytes].concat();
            blocks.push(Block::new(BlockKind::Data, data));
        }
    }
    container::write(Schema::Package, &blocks, wrapping)
}

/// A folder as a package lists it.
struct Folder<'a> {
    path: &'a str,
    node: &'a Node,
    /// Its files and links, by name.
    members: Vec<(&'a str, &'a Node)>,
}

/// Folders in the order they stand in the package, the root first.
fn folders(tree: &Tree) -> Vec<Folder<'_>> {
    let mut folders = vec![Folder { path: "", node: &Node::DIRECTORY, members: Vec::new() }];
    for (path, node) in tree.iter() {
        if node.kind == Kind::Directory {
            folders.push(Folder { path, node, members: Vec::new() });
        }
    }
    for (path, node) in tree.iter().filter(|(_, node)| node.kind != Kind::Directory) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        // The folders are sorted, and every parent is among them.
        if let Ok(index) = folders.binary_search_by(|folder| folder.path.cmp(parent)) {
            folders[index].members.push((name, node));
        }
    }
    folders
}

/// Numbers of folder and file, from 1, and bytes of each file that is no link.
fn numbered_files(tree: &Tree) -> Vec<(u32, u32, &[u8])> {
    let mut files = Vec::new();
    for (directory, folder) in (1..).zip(folders(tree)) {
        for (number, (_, node)) in (1..).zip(folder.members) {
            if let Kind::File(bytes) = &node.kind {
                files.push((directory, number, &bytes[..]));
            }
        }
    }
    files
}

/// The payload, its parts in the order in which apk writes them, its own hash filled in.
fn payload(apk: &Apk) -> Result<Vec<u8>, Problem> {
    let mut writer = Writer::default();
    let mut info = info_fields(&mut writer, &apk.info);
    let paths: Vec<Value> =
        folders(&apk.tree).into_iter().map(|folder| folder_value(&mut writer, folder, apk.epoch_s)).collect();
    let (hash, range) = writer.blob_to_fill(UNIQUE_ID);
    info[2] = hash;
    let info = writer.object(&info);
    let paths = writer.object(&paths);
    let scripts = &apk.scripts;
    let scripts = [
        "",
        &scripts.pre_install,
        &scripts.post_install,
        &scripts.pre_deinstall,
        &scripts.post_deinstall,
        &scripts.pre_upgrade,
        &scripts.post_upgrade,
    ]
    .map(|script| writer.blob(script.as_bytes()));
    let scripts = writer.object(&scripts);
    let root = writer.object(&[info, paths, scripts]);
    let mut payload = writer.finish(root)?;
    let hash = Sha256::digest(&payload);
    payload[range].copy_from_slice(&hash[..usize::from(UNIQUE_ID)]);
    Ok(payload)
}

/// The fields of a package's description, its hash (slot 3) left out.
pub(crate) fn info_fields(writer: &mut Writer, info: &Info) -> [Value; 21] {
    let mut fields = [Value::NULL; 21];
    let texts = [
        (1, &info.name),
        (2, &info.version),
        (4, &info.description),
        (5, &info.architecture),
        (6, &info.license),
        (7, &info.origin),
        (8, &info.maintainer),
        (9, &info.url),
    ];
    for (slot, text) in texts {
        fields[slot - 1] = writer.blob(text.as_bytes());
    }
    fields[11] = writer.int(info.installed_size.max(1));
    fields[14] = dependencies(writer, &info.depends);
    fields[15] = dependencies(writer, &info.provides);
    let tags: Vec<Value> = info.tags.iter().map(|tag| writer.blob(tag.as_bytes())).collect();
    fields[20] = writer.object(&tags);
    fields
}

fn dependencies(writer: &mut Writer, dependencies: &[Dependency]) -> Value {
    let mut sorted: Vec<&Dependency> = dependencies.iter().collect();
    sorted.sort();
    let values: Vec<Value> = sorted
        .into_iter()
        .map(|dependency| {
            let name = writer.blob(dependency.name.as_bytes());
            let version = writer.blob(dependency.version.as_bytes());
            let comparison = match dependency.comparison {
                Dependency::EQUAL => Value::NULL,
                other => writer.int(u64::from(other)),
            };
            writer.object(&[name, version, comparison])
        })
        .collect();
    writer.object(&values)
}

fn folder_value(writer: &mut Writer, folder: Folder<'_>, epoch_s: u64) -> Value {
    let files: Vec<Value> =
        folder.members.into_iter().map(|(name, node)| file_value(writer, name, node, epoch_s)).collect();
    let name = writer.blob(folder.path.as_bytes());
    let owner = owner(writer, folder.node.mode);
    let files = writer.object(&files);
    writer.object(&[name, owner, files])
}

fn file_value(writer: &mut Writer, name: &str, node: &Node, epoch_s: u64) -> Value {
    let name = writer.blob(name.as_bytes());
    let (hash, target) = match &node.kind {
        Kind::File(bytes) => (writer.blob(&Sha256::digest(bytes)), Value::NULL),
        Kind::Symlink(target) => {
            (Value::NULL, writer.blob(&[&SYMLINK.to_le_bytes(), target.as_bytes()].concat()))
        }
        // Folders are no members of folders here.
        Kind::Directory => (Value::NULL, Value::NULL),
    };
    let owner = owner(writer, node.mode);
    let size = writer.int(node.size());
    let mtime = writer.int(epoch_s);
    writer.object(&[name, owner, size, mtime, hash, target])
}

fn owner(writer: &mut Writer, mode: u16) -> Value {
    let mode = writer.int(u64::from(mode));
    let root = writer.blob(b"root");
    writer.object(&[mode, root, root])
}

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::tests::any_tree;

    /// A package with one file, byte by byte from the description of the format.
    #[test]
    fn a_small_package_byte_by_byte() {
        let mut tree = Tree::default();
        tree.insert("x/y", Node::file(0o644, *b"hi\n")).unwrap();
        let info = Info {
            name: "t".to_owned(),
            version: "1".to_owned(),
            architecture: "noarch".to_owned(),
            installed_size: 3,
            ..Info::default()
        };
        let file = write(&Apk { info, tree, ..Apk::default() }, Wrapping::None).unwrap();
        #[rustfmt::skip]
        let expected = [
            &b"ADB.pckg"[..],
            &[0x04, 1, 0, 0x00],                        // block of kind 0, 260 bytes with this word
            &[0, 0, 0, 0], &[0xf4, 0, 0, 0xe0],         // 0: versions; root at 244
            b"\x01t", b"\x011", b"\x06noarch",          // 8, 10, 12
            b"\x04root",                                // 19
            &[4, 0, 0, 0], &[0xed, 1, 0, 0x10],         // 24: an owner: mode 0755, user, group
            &[19, 0, 0, 0x80], &[19, 0, 0, 0x80],
            &[3, 0, 0, 0], &[0; 4], &[24, 0, 0, 0xe0],  // 40: the root folder: no name, owner, no files
            b"\x01y",                                   // 52
            &[0x20,                                     // 54: SHA-256 of the file
              0x98, 0xea, 0x6e, 0x4f, 0x21, 0x6f, 0x2f, 0xb4, 0xb6, 0x9f, 0xff, 0x9b, 0x3a, 0x44, 0x84, 0x2c,
              0x38, 0x68, 0x6c, 0xa6, 0x85, 0xf3, 0xf5, 0x5d, 0xc4, 0x8c, 0x5d, 0x3f, 0xb1, 0x10, 0x7b, 0xe4],
            &[0],                                       // aligned to 4
            &[4, 0, 0, 0], &[0xa4, 1, 0, 0x10],         // 88: an owner: mode 0644
            &[19, 0, 0, 0x80], &[19, 0, 0, 0x80],
            &[6, 0, 0, 0], &[52, 0, 0, 0x80],           // 104: the file: name,
            &[88, 0, 0, 0xe0], &[3, 0, 0, 0x10],        // owner, size,
            &[0, 0, 0, 0x10], &[54, 0, 0, 0x80],        // time, hash
            b"\x01x", &[0, 0],                          // 128
            &[2, 0, 0, 0], &[104, 0, 0, 0xe0],          // 132: the files of x
            &[4, 0, 0, 0], &[128, 0, 0, 0x80],          // 140: the folder x: name,
            &[24, 0, 0, 0xe0], &[132, 0, 0, 0xe0],      // owner, files
            &[20], &own_hash(&file), &[0; 3],           // 156
            &[13, 0, 0, 0], &[8, 0, 0, 0x80],           // 180: info: name,
            &[10, 0, 0, 0x80], &[156, 0, 0, 0x80],      // version, own hash,
            &[0; 4], &[12, 0, 0, 0x80], &[0; 24],       // architecture,
            &[3, 0, 0, 0x10],                           // installed size
            &[3, 0, 0, 0], &[40, 0, 0, 0xe0],           // 232: the folders
            &[140, 0, 0, 0xe0],
            &[3, 0, 0, 0], &[180, 0, 0, 0xe0],          // 244: the root: info, folders
            &[232, 0, 0, 0xe0],
            &[0; 4],                                    // aligned to 8
            &[15, 0, 0, 0x80], &[2, 0, 0, 0],           // block of kind 2: the second folder's
            &[1, 0, 0, 0], b"hi\n", &[0],               // first file
        ];
        assert_eq!(file, expected.concat());
    }

    /// The hash of the small package: 256 bytes of payload from the twelfth on, with the hash at 157 zero.
    fn own_hash(file: &[u8]) -> [u8; 20] {
        let mut payload = file[12..12 + 256].to_vec();
        payload[157..177].fill(0);
        std::array::from_fn(|index| Sha256::digest(&payload)[index])
    }

    fn any_apk() -> impl Strategy<Value = Apk> {
        let info = (
            "[a-z][a-z0-9-]{0,9}",
            "[0-9]{1,2}(\\.[0-9]{1,3}){0,2}(-r[0-9])?",
            "[ -~]{0,300}",
            "[a-z0-9_]{1,9}",
            1..1u64 << 40,
            prop::collection::btree_set(("[a-z]{1,6}", "([0-9]{1,2})?", 1..32u8), 0..4),
        );
        (info, any_tree(), any::<u32>(), ("[ -~\n]{0,500}", "[ -~\n]{0,70}")).prop_map(
            |(
                (name, version, description, architecture, installed_size, depends),
                tree,
                epoch_s,
                scripts,
            )| {
                let depends: Vec<Dependency> = depends
                    .into_iter()
                    .map(|(name, version, comparison)| Dependency { name, version, comparison })
                    .collect();
                let files = tree.iter().any(|(_, node)| node.kind != Kind::Directory);
                Apk {
                    info: Info {
                        name,
                        version,
                        description,
                        architecture,
                        installed_size,
                        provides: depends.clone(),
                        depends,
                        tags: vec!["openwrt:section=net".to_owned()],
                        ..Info::default()
                    },
                    tree,
                    epoch_s: if files { u64::from(epoch_s) } else { 0 },
                    scripts: Scripts {
                        post_install: scripts.0,
                        pre_deinstall: scripts.1,
                        ..Scripts::default()
                    },
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn packages_come_back(apk in any_apk(), deflate in any::<bool>()) {
            let wrapping = if deflate { Wrapping::Deflate } else { Wrapping::None };
            let file = write(&apk, wrapping).unwrap();
            let read = read(&file).unwrap();
            prop_assert_eq!(read.apk, apk);
        }

        #[test]
        fn a_changed_byte_is_found_or_harmless(apk in any_apk(), place in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut file = write(&apk, Wrapping::None).unwrap();
            let place = place.index(file.len());
            file[place] ^= 1 << bit;
            // Only padding between blocks carries no meaning.
            if let Ok(read) = read(&file) {
                prop_assert_eq!(read.apk, apk);
            }
        }

        #[test]
        fn cut_and_foreign_bytes_are_read_without_a_panic(apk in any_apk(), cut in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let file = write(&apk, Wrapping::Deflate).unwrap();
            prop_assert!(read(&file[..cut.index(file.len())]).is_err());
            let _ = read(&[b"ADB.pckg", &bytes[..]].concat());
        }
    }
}
