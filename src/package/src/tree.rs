//! The files of a package at their installed paths, the same for both formats.

use std::collections::BTreeMap;

use crate::Problem;

/// Most files and folders of one package.
pub const ENTRIES_MAX: usize = 16_384;

/// Longest path, in bytes.
pub const PATH_MAX: usize = 1024;

/// The files of a package, by path without a leading slash, every parent before its children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

/// One file, folder or link. All belong to root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Permission bits, at most 0o7777.
    pub mode: u16,
    /// What it is.
    pub kind: Kind,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Directory,
    /// A file and its bytes.
    File(Vec<u8>),
    /// A symbolic link and where it points.
    Symlink(String),
}

impl Node {
    /// A folder anybody may enter.
    pub const DIRECTORY: Node = Node { mode: 0o755, kind: Kind::Directory };

    /// A file.
    pub fn file(mode: u16, bytes: impl Into<Vec<u8>>) -> Node {
        Node { mode, kind: Kind::File(bytes.into()) }
    }

    /// A symbolic link.
    pub fn symlink(target: impl Into<String>) -> Node {
        Node { mode: 0o777, kind: Kind::Symlink(target.into()) }
    }

    /// Bytes on the disk; a folder and a link count nothing.
    pub fn size(&self) -> u64 {
        match &self.kind {
            Kind::File(bytes) => bytes.len() as u64,
            Kind::Directory | Kind::Symlink(_) => 0,
        }
    }
}

impl Tree {
    /// Adds a node, and the folders above it that are not there yet. A folder that is there already takes the mode
    /// given now; anything else twice is refused.
    pub fn insert(&mut self, path: &str, node: Node) -> Result<(), Problem> {
        check_path(path)?;
        if node.mode > 0o7777 {
            return Err(Problem::new(format!("/{path}: {:o} is no mode", node.mode)));
        }
        for (end, _) in path.match_indices('/') {
            let parent = &path[..end];
            match self.nodes.get(parent) {
                None => drop(self.nodes.insert(parent.to_owned(), Node::DIRECTORY)),
                Some(Node { kind: Kind::Directory, .. }) => {}
                Some(_) => return Err(Problem::new(format!("/{path}: /{parent} is no folder"))),
            }
        }
        match (self.nodes.get(path), &node.kind) {
            (None, _) | (Some(Node { kind: Kind::Directory, .. }), Kind::Directory) => {}
            (Some(_), _) => return Err(Problem::new(format!("/{path} is there twice"))),
        }
        self.nodes.insert(path.to_owned(), node);
        if self.nodes.len() > ENTRIES_MAX {
            return Err(Problem::new(format!("more than {ENTRIES_MAX} files and folders")));
        }
        Ok(())
    }

    /// The node at a path without a leading slash.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// All nodes in order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.nodes.values().map(Node::size).sum()
    }
}

/// A path a package may have: relative, without `.` and `..`, without control characters, bounded.
fn check_path(path: &str) -> Result<(), Problem> {
    if path.len() > PATH_MAX {
        return Err(Problem::new(format!("a path is {} bytes long, most is {PATH_MAX}", path.len())));
    }
    if path.chars().any(char::is_control) {
        return Err(Problem::new(format!("{path:?} has a control character in it")));
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Problem::new(format!("{path:?} is no path below /")));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Trees of a handful of files, links and folders, as packages have them.
    pub fn any_tree() -> impl Strategy<Value = Tree> {
        let path = prop::collection::vec("[a-z][a-z0-9._-]{0,11}", 1..5).prop_map(|parts| parts.join("/"));
        let node = prop_oneof![
            (prop::sample::select(vec![0o755u16, 0o700, 0o1777]))
                .prop_map(|mode| Node { mode, kind: Kind::Directory }),
            (
                prop::sample::select(vec![0o644u16, 0o600, 0o755, 0o4755]),
                prop::collection::vec(any::<u8>(), 0..600)
            )
                .prop_map(|(mode, bytes)| Node::file(mode, bytes)),
            "[a-z/.]{1,20}".prop_map(Node::symlink),
        ];
        prop::collection::vec((path, node), 0..12).prop_map(|entries| {
            let mut tree = Tree::default();
            for (path, node) in entries {
                // A path below a file, or twice, is refused; the others make the tree.
                let _ = tree.insert(&path, node);
            }
            tree
        })
    }

    #[test]
    fn folders_above_a_file_come_by_themselves() {
        let mut tree = Tree::default();
        tree.insert("usr/bin/agent", Node::file(0o755, *b"x")).unwrap();
        let paths: Vec<&str> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["usr", "usr/bin", "usr/bin/agent"]);
    }

    #[test]
    fn paths_that_leave_the_root_are_refused() {
        for path in ["", "/etc/x", "etc/../x", "../x", "etc//x", "etc/", "./x", "etc/a\nb"] {
            assert!(Tree::default().insert(path, Node::file(0o644, *b"")).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_file_is_no_folder_and_stands_once() {
        let mut tree = Tree::default();
        tree.insert("a", Node::file(0o644, *b"")).unwrap();
        assert_eq!(tree.insert("a/b", Node::DIRECTORY).unwrap_err().to_string(), "/a/b: /a is no folder");
        assert_eq!(tree.insert("a", Node::DIRECTORY).unwrap_err().to_string(), "/a is there twice");
    }
}
