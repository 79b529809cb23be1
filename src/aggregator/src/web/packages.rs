//! The packages that the feed serves: from the folder that `whichroom-package build` wrote, or from inside this program,
//! where a release build put them (see `build.rs`). Only names that a feed has are ever looked for.

use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::outdated::newer;

include!(concat!(env!("OUT_DIR"), "/packages_inside.rs"));

/// Keys at the top of the feed. A folder without them is none.
pub const KEYS: [&str; 2] = ["whichroom-feed.pub", "whichroom-feed.pem"];
/// What a package's file begins with.
const PACKAGE: &str = "whichroom-agent";
/// Largest file that is served, in bytes.
const FILE_MAX: u64 = 8 << 20;
/// Longest name of an architecture or a file, in bytes.
const NAME_MAX: usize = 128;
/// Folders and files of the feed that are listed.
const LISTED_MAX: usize = 1_000;

/// Where packages come from.
#[derive(Clone, PartialEq, Eq)]
pub enum Packages {
    /// A folder.
    Folder(PathBuf),
    /// This program: paths below the feed's root in order, and bytes.
    Inside(&'static [(&'static str, &'static [u8])]),
}

impl fmt::Debug for Packages {
    /// There are megabytes inside.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Packages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Packages::Folder(folder) => write!(f, "{}", folder.display()),
            Packages::Inside(_) => f.write_str("this program"),
        }
    }
}

/// A file that a feed can have, by the names alone. Nothing else can be asked for: a name that is none never reaches
/// the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedFile<'a> {
    /// Below the feed's root: one name, or three.
    path: &'a str,
    kind: &'static str,
}

impl FeedFile<'_> {
    /// Its kind for HTTP.
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// The file of a path below the feed's root.
pub fn feed_file(path: &str) -> Option<FeedFile<'_>> {
    let mut parts = path.split('/');
    let (first, architecture, name) = (parts.next()?, parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    let Some((architecture, name)) = architecture.zip(name) else {
        let is_key = architecture.is_none() && KEYS.contains(&first);
        return is_key.then_some(FeedFile { path, kind: TEXT });
    };
    let kind = match (first, name) {
        ("ipk", "Packages" | "Packages.sig") => TEXT,
        ("ipk", "Packages.gz") => "application/gzip",
        ("apk", "packages.adb") => BYTES,
        ("ipk", name) if is_package(name, ".ipk") => BYTES,
        ("apk", name) if is_package(name, ".apk") => BYTES,
        _ => return None,
    };
    is_name(architecture).then_some(FeedFile { path, kind })
}

fn is_package(name: &str, ending: &str) -> bool {
    is_name(name) && name.starts_with(PACKAGE) && name.ends_with(ending)
}

/// A part of a path that is a name and nothing more: no separator, no escape, not hidden, not above.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~-".contains(&byte);
    name.len() <= NAME_MAX
        && name.bytes().all(is_plain)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

/// A package in a feed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Below the feed's root.
    pub path: String,
    /// With its revision.
    version: String,
}

impl Packages {
    /// Those inside this program, if it was built with any.
    pub fn inside() -> Option<Packages> {
        (!INSIDE.is_empty()).then_some(Packages::Inside(INSIDE))
    }

    /// The bytes of a file.
    pub fn read(&self, file: FeedFile<'_>) -> io::Result<Cow<'static, [u8]>> {
        match self {
            Packages::Folder(folder) => read_below(folder, file.path).map(Cow::Owned),
            Packages::Inside(files) => {
                let at = files.binary_search_by_key(&file.path, |(path, _)| path);
                let (_, bytes) = files[at.map_err(|_| io::ErrorKind::NotFound)?];
                Ok(Cow::Borrowed(bytes))
            }
        }
    }

    /// The packages, in order of their paths. What cannot be read is not there.
    pub fn listing(&self) -> Vec<Listed> {
        let mut listed: Vec<Listed> = match self {
            Packages::Folder(folder) => paths_below(folder).filter_map(listed).collect(),
            Packages::Inside(files) => {
                files.iter().filter_map(|(path, _)| listed((*path).to_owned())).collect()
            }
        };
        listed.sort();
        listed
    }

    /// The newest version of the agent, with its revision; `None` where there is none.
    pub fn newest(&self) -> Option<String> {
        let listed = self.listing();
        let versions = listed.iter().map(|package| package.version.as_str());
        versions.reduce(newer).map(str::to_owned)
    }
}

/// The package at a path, if one can be there.
fn listed(path: String) -> Option<Listed> {
    feed_file(&path)?;
    let (place, name) = path.rsplit_once('/')?;
    let (_, architecture) = place.split_once('/')?;
    let version = version_of(name, architecture)?.to_owned();
    Some(Listed { path, version })
}

/// The bytes of a file. A link that leaves the folder is as good as no file.
fn read_below(folder: &Path, path: &str) -> io::Result<Vec<u8>> {
    let path = folder.join(path).canonicalize()?;
    if !path.starts_with(folder.canonicalize()?) || !fs::metadata(&path)?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut bytes = Vec::new();
    File::open(&path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_MAX} bytes")));
    }
    Ok(bytes)
}

/// What may be a package, by its place.
fn paths_below(folder: &Path) -> impl Iterator<Item = String> {
    ["apk", "ipk"].into_iter().flat_map(move |manager| {
        let architectures = names(&folder.join(manager)).into_iter();
        architectures.flat_map(move |architecture| {
            let names = names(&folder.join(manager).join(&architecture)).into_iter();
            names.map(move |name| format!("{manager}/{architecture}/{name}"))
        })
    })
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.take(LISTED_MAX).collect()
}

/// The version in the name of a package's file: `NAME_VERSION_ARCHITECTURE.ipk`, `NAME-VERSION.apk`.
fn version_of<'n>(name: &'n str, architecture: &str) -> Option<&'n str> {
    if let Some(name) = name.strip_suffix(".ipk") {
        let (_, version) = name.strip_suffix(architecture)?.strip_suffix('_')?.split_once('_')?;
        return Some(version);
    }
    // The version is the part that begins with a digit, as it is for apk.
    let name = name.strip_suffix(".apk")?;
    let at =
        name.match_indices('-').find(|(at, _)| name[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?;
    Some(&name[at.0 + 1..])
}

/// A folder that is no feed.
#[derive(Debug)]
pub struct NoFeed {
    folder: PathBuf,
    why: String,
}

/// Says what is wrong with a folder, as far as `whichroom check` can see.
pub fn check(folder: &Path) -> Result<(), NoFeed> {
    let no_feed = |why: String| NoFeed { folder: folder.to_owned(), why };
    for key in KEYS {
        let path = folder.join(key);
        let metadata = fs::metadata(&path).map_err(|error| no_feed(format!("{key}: {error}")))?;
        if !metadata.is_file() {
            return Err(no_feed(format!("{key} is no file")));
        }
    }
    if Packages::Folder(folder.to_owned()).listing().is_empty() {
        Err(no_feed("no packages are in it".to_owned()))
    } else {
        Ok(())
    }
}

impl fmt::Display for NoFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is no feed ({}): whichroom-package build --out DIR writes one to DIR/feed",
            self.folder.display(),
            self.why
        )
    }
}

impl std::error::Error for NoFeed {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_names_that_a_feed_has_are_files() {
        for path in [
            "whichroom-feed.pub",
            "whichroom-feed.pem",
            "ipk/mipsel_24kc/Packages",
            "ipk/mipsel_24kc/Packages.gz",
            "ipk/mipsel_24kc/Packages.sig",
            "ipk/arm_cortex-a7_neon-vfpv4/whichroom-agent_0.1.0-r1_arm_cortex-a7_neon-vfpv4.ipk",
            "apk/x86_64/packages.adb",
            "apk/x86_64/whichroom-agent-0.1.0-r1.apk",
            "apk/x86_64/whichroom-agent-tls-0.1.0-r1.apk",
        ] {
            let file = feed_file(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(file.path, path);
        }
        for path in [
            "",
            "/",
            ".",
            "..",
            "keys/whichroom-feed.key",
            "../keys/private",
            "ipk",
            "ipk/",
            "ipk/x86_64",
            "ipk/x86_64/",
            "ipk/../Packages",
            "ipk/./Packages",
            "ipk//Packages",
            "ipk/.hidden/Packages",
            "ipk/x86_64/../Packages",
            "ipk/x86_64/Packages/",
            "ipk/x86_64/whichroom-agent/../../x.ipk",
            "ipk/x86_64/whichroom-agent%2f..%2fx.ipk",
            "ipk/%2e%2e/Packages",
            "ipk/x86_64/packages.adb",
            "ipk/x86_64/other_1_x86_64.ipk",
            "ipk/x86_64/whichroom-agent.key",
            "apk/x86_64/whichroom-agent_0.1.0-r1_x86_64.ipk",
            "ipk/x86_64\\..\\x/Packages",
            "ipk/x86_64\0/Packages",
            "ipk/é/Packages",
        ] {
            assert_eq!(feed_file(path), None, "{path:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_leaves_the_feed(path in "((ipk|apk|\\.\\.|\\.|%2e|whichroom-feed\\.pub|Packages|whichroom-agent-1\\.apk|[a-z.%~ ]{0,6})/?){0,5}") {
            if let Some(file) = feed_file(&path) {
                let below = Path::new("/f").join(file.path);
                proptest::prop_assert!(below.starts_with("/f"));
                let only_names = below.components().skip(1).all(|part| matches!(part, std::path::Component::Normal(_)));
                proptest::prop_assert!(only_names, "{}", below.display());
            }
        }
    }

    /// A made-up feed in a folder of its own, with a secret beside it.
    struct Feed(PathBuf);

    impl Feed {
        fn new(name: &str) -> Feed {
            let folder = std::env::temp_dir().join(format!("whichroom-feed-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            let feed = Feed(folder);
            feed.write("secret", "hidden");
            for key in KEYS {
                feed.write(&format!("feed/{key}"), key);
            }
            feed.write("feed/ipk/x86_64/Packages", "Package: whichroom-agent\n");
            feed.write("feed/ipk/x86_64/whichroom-agent_0.9.0-r1_x86_64.ipk", "an ipk");
            feed.write("feed/apk/x86_64/whichroom-agent-0.10.0-r1.apk", "an apk");
            feed.write("feed/apk/x86_64/notes.txt", "not of the feed");
            feed
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn folder(&self) -> PathBuf {
            self.0.join("feed")
        }

        fn packages(&self) -> Packages {
            Packages::Folder(self.folder())
        }
    }

    impl Drop for Feed {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_packages_are_listed_and_the_newest_is_known() {
        let feed = Feed::new("listing");
        let paths: Vec<String> = feed.packages().listing().into_iter().map(|package| package.path).collect();
        assert_eq!(
            paths,
            ["apk/x86_64/whichroom-agent-0.10.0-r1.apk", "ipk/x86_64/whichroom-agent_0.9.0-r1_x86_64.ipk"]
        );
        assert_eq!(feed.packages().newest().as_deref(), Some("0.10.0-r1"));
        assert_eq!(Packages::Folder("/nonexistent".into()).newest(), None);
    }

    #[test]
    fn versions_are_read_from_names() {
        assert_eq!(version_of("whichroom-agent_0.1.0-r1_mips_24kc.ipk", "mips_24kc"), Some("0.1.0-r1"));
        assert_eq!(version_of("whichroom-agent_0.1.0-r1_mips_24kc.ipk", "x86_64"), None);
        assert_eq!(version_of("whichroom-agent-tls-0.1.0-r1.apk", "x86_64"), Some("0.1.0-r1"));
        assert_eq!(version_of("whichroom-agent.apk", "x86_64"), None);
    }

    #[test]
    fn links_out_of_the_feed_and_files_that_are_too_large_are_not_served() {
        let feed = Feed::new("links");
        let package = feed_file("ipk/x86_64/whichroom-agent_0.9.0-r1_x86_64.ipk").unwrap();
        assert_eq!(feed.packages().read(package).unwrap().as_ref(), b"an ipk");
        symlink(feed.0.join("secret"), feed.folder().join("ipk/x86_64/Packages.gz")).unwrap();
        let link = feed_file("ipk/x86_64/Packages.gz").unwrap();
        assert_eq!(feed.packages().read(link).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir(feed.folder().join("apk/x86_64/packages.adb")).unwrap();
        let directory = feed_file("apk/x86_64/packages.adb").unwrap();
        assert_eq!(feed.packages().read(directory).unwrap_err().kind(), io::ErrorKind::NotFound);
        let large = File::create(feed.folder().join("apk/x86_64/whichroom-agent-9.apk")).unwrap();
        large.set_len(FILE_MAX + 1).unwrap();
        let large = feed_file("apk/x86_64/whichroom-agent-9.apk").unwrap();
        assert!(feed.packages().read(large).unwrap_err().to_string().contains("more than"));
    }

    #[test]
    fn what_is_no_feed_is_said() {
        let feed = Feed::new("check");
        check(&feed.folder()).unwrap();
        let why = check(&feed.0).unwrap_err().to_string();
        assert!(why.contains("whichroom-feed.pub") && why.contains("whichroom-package build"), "{why}");
        for manager in ["ipk", "apk"] {
            fs::remove_dir_all(feed.folder().join(manager)).unwrap();
        }
        assert!(check(&feed.folder()).unwrap_err().to_string().contains("no packages"));
    }

    #[test]
    fn what_is_inside_the_program_is_served_like_a_folder() {
        const FILES: &[(&str, &[u8])] = &[
            ("apk/x86_64/packages.adb", b"index"),
            ("apk/x86_64/whichroom-agent-0.2.0-r1.apk", b"an apk"),
            ("whichroom-feed.pem", b"key"),
            ("whichroom-feed.pub", b"key"),
        ];
        let packages = Packages::Inside(FILES);
        for (path, bytes) in FILES {
            assert_eq!(packages.read(feed_file(path).unwrap()).unwrap().as_ref(), *bytes, "{path}");
        }
        let missing = packages.read(feed_file("apk/mips_24kc/packages.adb").unwrap());
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(packages.listing().len(), 1);
        assert_eq!(packages.newest().as_deref(), Some("0.2.0-r1"));
        assert_eq!(format!("{packages:?}"), "this program");
    }
}
