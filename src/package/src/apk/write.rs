//! Writing a package. Its parts stand in the order in which apk writes them: the same content gives the bytes apk gives.

use sha2::{Digest as _, Sha256};

use super::{Apk, Dependency, Info, SYMLINK, UNIQUE_ID};
use crate::Problem;
use crate::adb::container::{self, Block, BlockKind, Schema, Wrapping};
use crate::adb::value::{Value, Writer};
use crate::tree::{Kind, Node, Tree};
use crate::version::{check_architecture, check_name, check_version};

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
    if info.provider_priority > 0 {
        fields[13] = writer.int(info.provider_priority);
    }
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
