//! Tar archives in gzip, as opkg's packages are made of: written the same way each time, read within bounds.

use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use tar::{Archive, Builder, EntryType, Header};

use crate::Problem;
use crate::adb::container::UNPACKED_MAX;
use crate::tree::{ENTRIES_MAX, Kind, Node, PATH_MAX, Tree};

/// Longest path the tar header holds, in bytes, with the `./` before and the `/` behind.
const TAR_PATH_MAX: usize = 100;

/// Decompresses, never beyond [`UNPACKED_MAX`].
pub fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut unpacked = Vec::new();
    GzDecoder::new(bytes)
        .take(UNPACKED_MAX as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| Problem::new(format!("damaged gzip: {error}")))?;
    if unpacked.len() > UNPACKED_MAX {
        return Err(Problem::new(format!("unpacked it is over {} MB", UNPACKED_MAX >> 20)));
    }
    Ok(unpacked)
}

/// A tar of a tree: `./` first, then everything in order, all of root's and of one time.
pub fn tar(tree: &Tree, epoch_s: u64) -> Result<Vec<u8>, Problem> {
    let mut builder = Builder::new(Vec::new());
    append(&mut builder, "./", &Node::DIRECTORY, epoch_s)?;
    for (path, node) in tree.iter() {
        let slash = if node.kind == Kind::Directory { "/" } else { "" };
        append(&mut builder, &format!("./{path}{slash}"), node, epoch_s)?;
    }
    builder.into_inner().map_err(|error| Problem::new(error.to_string()))
}

/// A tar of files in the order given, without folders, as the outer archive of a package is.
pub fn tar_of_files(files: &[(&str, Vec<u8>)], epoch_s: u64) -> Result<Vec<u8>, Problem> {
    let mut builder = Builder::new(Vec::new());
    for (name, bytes) in files {
        append(&mut builder, &format!("./{name}"), &Node::file(0o644, bytes.clone()), epoch_s)?;
    }
    builder.into_inner().map_err(|error| Problem::new(error.to_string()))
}

fn append(builder: &mut Builder<Vec<u8>>, path: &str, node: &Node, epoch_s: u64) -> Result<(), Problem> {
    let mut header = Header::new_gnu();
    // `set_path` would drop the `./` in front, which opkg's own tools write.
    let name = &mut header.as_old_mut().name;
    let Some(place) = name.get_mut(..path.len()).filter(|_| path.len() <= TAR_PATH_MAX) else {
        return Err(Problem::new(format!(
            "{path} is over {TAR_PATH_MAX} bytes long, which a tar header does not hold"
        )));
    };
    place.copy_from_slice(path.as_bytes());
    header.set_mode(u32::from(node.mode));
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(epoch_s);
    header.set_size(node.size());
    let mut bytes: &[u8] = &[];
    match &node.kind {
        Kind::Directory => header.set_entry_type(EntryType::Directory),
        Kind::File(content) => {
            header.set_entry_type(EntryType::Regular);
            bytes = content;
        }
        Kind::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            header
                .set_link_name_literal(target)
                .map_err(|error| Problem::new(format!("{path}: cannot link to {target}: {error}")))?;
        }
    }
    header.set_cksum();
    builder.append(&header, bytes).map_err(|error| Problem::new(format!("{path}: {error}")))
}

/// Reads a tar into a tree. The second value is the latest time in it.
pub fn untar(bytes: &[u8]) -> Result<(Tree, u64), Problem> {
    let mut tree = Tree::default();
    let mut epoch_s = 0;
    for_each(bytes, |path, entry| {
        epoch_s = epoch_s.max(entry.epoch_s);
        if path.is_empty() {
            return Ok(());
        }
        tree.insert(path, entry.node)
    })?;
    Ok((tree, epoch_s))
}

/// The files of a tar in their order.
pub fn untar_files(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Problem> {
    let mut files = Vec::new();
    for_each(bytes, |path, entry| {
        if let Kind::File(bytes) = entry.node.kind {
            files.push((path.to_owned(), bytes));
        }
        Ok(())
    })?;
    Ok(files)
}

struct Entry {
    node: Node,
    epoch_s: u64,
}

/// What the reader says of a damaged archive repeats bytes of it.
fn damaged(error: std::io::Error) -> Problem {
    Problem::new(format!("damaged tar: {}", error.to_string().replace(char::is_control, " ")))
}

fn for_each(bytes: &[u8], mut each: impl FnMut(&str, Entry) -> Result<(), Problem>) -> Result<(), Problem> {
    let mut archive = Archive::new(bytes);
    for (count, entry) in archive.entries().map_err(damaged)?.enumerate() {
        if count > ENTRIES_MAX {
            return Err(Problem::new(format!("more than {ENTRIES_MAX} files")));
        }
        let entry = entry.map_err(damaged)?;
        let path = entry.path_bytes();
        let Some(path) = str::from_utf8(&path).ok().filter(|path| path.len() <= PATH_MAX) else {
            return Err(Problem::new("a path in the archive is too long or no UTF-8"));
        };
        let path = path.strip_prefix("./").unwrap_or(path).trim_end_matches('/').to_owned();
        let path = if path == "." { String::new() } else { path };
        let entry = read_entry(entry).map_err(|problem| problem.at(format!("/{path}")))?;
        each(&path, entry)?;
    }
    Ok(())
}

fn read_entry(mut entry: tar::Entry<'_, &[u8]>) -> Result<Entry, Problem> {
    let mode = entry.header().mode().map_err(damaged)? & 0o7777;
    let entry_type = entry.header().entry_type();
    let kind = if entry_type.is_dir() {
        Kind::Directory
    } else if entry_type.is_file() {
        let size = entry.size();
        let mut bytes = Vec::new();
        (&mut entry).take(UNPACKED_MAX as u64).read_to_end(&mut bytes).map_err(damaged)?;
        if bytes.len() as u64 != size {
            return Err(Problem::new(format!("{} of {size} bytes are there", bytes.len())));
        }
        Kind::File(bytes)
    } else if entry_type.is_symlink() {
        let target = entry.link_name().map_err(damaged)?;
        let target = target.as_deref().and_then(Path::to_str).filter(|target| target.len() <= PATH_MAX);
        let Some(target) = target else {
            return Err(Problem::new("the link's target is missing, too long or no UTF-8"));
        };
        Kind::Symlink(target.to_owned())
    } else {
        return Err(Problem::new("neither a file, a folder nor a symbolic link"));
    };
    let epoch_s = entry.header().mtime().map_err(damaged)?;
    // Only the permission bits are left.
    let mode = u16::try_from(mode).unwrap_or(0o7777);
    Ok(Entry { node: Node { mode, kind }, epoch_s })
}
