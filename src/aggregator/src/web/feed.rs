//! The feed that access points install their agent from: the folder that `whichroom-package build` wrote, on a listener
//! of its own, and the installer. Packages are public and signed, so it needs no sign-in; for the same reason nothing
//! else is ever served here. `run` starts it where `[feed]` is configured.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::outdated::newer;
use super::{Service, StartError, WebServer, open, rules};

const INSTALLER: &str = include_str!("assets/install.sh");
/// Where the installer has the feed's address.
const ADDRESS_MARK: &str = "FEED='@FEED@'";
/// Where the feed is below the listener's address.
const ROOT: &str = "/feed/";
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
const HOST_MAX: usize = 255;
/// An access point with a bad connection still gets a package within this.
const CONNECTION_MAX: Duration = Duration::from_secs(120);

const SERVICE: Service = Service { name: "feed", section: "feed", connection_max: Some(CONNECTION_MAX) };

/// Opens the feed in a folder.
pub fn start(listen: SocketAddr, folder: PathBuf) -> Result<WebServer, StartError> {
    open(SERVICE, listen, |_| router(Arc::from(folder)))
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
    if listing(folder).is_empty() { Err(no_feed("no packages are in it".to_owned())) } else { Ok(()) }
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

/// A file that a feed can have, by the names alone. Nothing else can be asked for: a name that is none never reaches
/// the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FeedFile<'a> {
    /// `ipk` or `apk`, and the architecture; `None` at the top.
    place: Option<(&'a str, &'a str)>,
    name: &'a str,
    kind: &'static str,
}

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// The file of a path below the feed's root.
fn feed_file(path: &str) -> Option<FeedFile<'_>> {
    let mut parts = path.split('/');
    let (first, architecture, name) = (parts.next()?, parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    let Some((architecture, name)) = architecture.zip(name) else {
        let is_key = architecture.is_none() && KEYS.contains(&first);
        return is_key.then_some(FeedFile { place: None, name: first, kind: TEXT });
    };
    let kind = match (first, name) {
        ("ipk", "Packages" | "Packages.sig") => TEXT,
        ("ipk", "Packages.gz") => "application/gzip",
        ("apk", "packages.adb") => BYTES,
        ("ipk", name) if is_package(name, ".ipk") => BYTES,
        ("apk", name) if is_package(name, ".apk") => BYTES,
        _ => return None,
    };
    is_name(architecture).then_some(FeedFile { place: Some((first, architecture)), name, kind })
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

impl FeedFile<'_> {
    fn below(&self, folder: &Path) -> PathBuf {
        match self.place {
            Some((manager, architecture)) => folder.join(manager).join(architecture).join(self.name),
            None => folder.join(self.name),
        }
    }

    /// The bytes. A link that leaves the folder is as good as no file.
    fn read(&self, folder: &Path) -> io::Result<Vec<u8>> {
        let path = self.below(folder).canonicalize()?;
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
}

/// A package in a feed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    /// Below the feed's root.
    path: String,
    /// With its revision.
    version: String,
}

/// The packages of a feed, in order of their paths. What cannot be read is not there.
fn listing(folder: &Path) -> Vec<Listed> {
    let mut listed = Vec::new();
    for manager in ["apk", "ipk"] {
        for architecture in names(&folder.join(manager)) {
            for name in names(&folder.join(manager).join(&architecture)) {
                let path = format!("{manager}/{architecture}/{name}");
                if feed_file(&path).is_none() {
                    continue;
                }
                if let Some(version) = version_of(&name, &architecture) {
                    listed.push(Listed { version: version.to_owned(), path });
                }
            }
        }
    }
    listed.sort();
    listed
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

/// The newest version of the agent in a feed, with its revision; `None` where it has none.
pub fn newest(folder: &Path) -> Option<String> {
    let listed = listing(folder);
    let versions = listed.iter().map(|package| package.version.as_str());
    versions.reduce(newer).map(str::to_owned)
}

type Folder = Arc<Path>;

fn router(folder: Folder) -> Router {
    Router::new()
        .route("/feed/", get(index))
        .route("/feed/install.sh", get(installer))
        .route("/feed/{*path}", get(file))
        .fallback(|| async { nothing() })
        .layer(middleware::from_fn(with_rules))
        .with_state(folder)
}

async fn with_rules(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, rule) in rules() {
        response.headers_mut().insert(name, HeaderValue::from_static(rule));
    }
    response
}

fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "There is nothing here. The feed is at /feed/\n").into_response()
}

/// What there is, for a person with a browser.
async fn index(State(folder): State<Folder>) -> Response {
    let mut text = String::from("install.sh\n");
    for key in KEYS {
        text.push_str(key);
        text.push('\n');
    }
    for package in listing(&folder) {
        text.push_str(&package.path);
        text.push('\n');
    }
    ([(header::CONTENT_TYPE, TEXT)], text).into_response()
}

/// The installer, with the address that it was asked for by: what served it serves the packages.
async fn installer(headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.filter(|host| is_host(host)) else {
        return (StatusCode::BAD_REQUEST, "A request needs a Host header.\n").into_response();
    };
    let script =
        INSTALLER.replace(ADDRESS_MARK, &format!("FEED='http://{host}{}'", ROOT.trim_end_matches('/')));
    ([(header::CONTENT_TYPE, "text/x-shellscript; charset=utf-8")], script).into_response()
}

/// It becomes a part of a script: nothing but what names, addresses and ports are made of.
fn is_host(host: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:[]-_".contains(&byte);
    !host.is_empty() && host.len() <= HOST_MAX && host.bytes().all(is_plain)
}

/// A file. The path is taken as it was sent, escapes and all: no name in a feed needs any.
async fn file(State(folder): State<Folder>, request: Request) -> Response {
    let path = request.uri().path().strip_prefix(ROOT).unwrap_or_default();
    let Some(file) = feed_file(path) else { return nothing() };
    // Small files from a disk nearby, on the feed's own thread: nobody but other access points waits.
    match file.read(&folder) {
        Ok(bytes) => ([(header::CONTENT_TYPE, file.kind)], bytes).into_response(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => nothing(),
        Err(error) => {
            log::warn!("feed: {path}: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, "This file cannot be read; the log says why.\n")
                .into_response()
        }
    }
}

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
            assert_eq!(file.below(Path::new("/f")), Path::new("/f").join(path));
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
                let below = file.below(Path::new("/f"));
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
    }

    impl Drop for Feed {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_packages_are_listed_and_the_newest_is_known() {
        let feed = Feed::new("listing");
        let paths: Vec<String> = listing(&feed.folder()).into_iter().map(|package| package.path).collect();
        assert_eq!(
            paths,
            ["apk/x86_64/whichroom-agent-0.10.0-r1.apk", "ipk/x86_64/whichroom-agent_0.9.0-r1_x86_64.ipk"]
        );
        assert_eq!(newest(&feed.folder()).as_deref(), Some("0.10.0-r1"));
        assert_eq!(newest(Path::new("/nonexistent")), None);
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
        assert_eq!(package.read(&feed.folder()).unwrap(), b"an ipk");
        symlink(feed.0.join("secret"), feed.folder().join("ipk/x86_64/Packages.gz")).unwrap();
        let link = feed_file("ipk/x86_64/Packages.gz").unwrap();
        assert_eq!(link.read(&feed.folder()).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir(feed.folder().join("apk/x86_64/packages.adb")).unwrap();
        let directory = feed_file("apk/x86_64/packages.adb").unwrap();
        assert_eq!(directory.read(&feed.folder()).unwrap_err().kind(), io::ErrorKind::NotFound);
        let large = File::create(feed.folder().join("apk/x86_64/whichroom-agent-9.apk")).unwrap();
        large.set_len(FILE_MAX + 1).unwrap();
        let large = feed_file("apk/x86_64/whichroom-agent-9.apk").unwrap();
        assert!(large.read(&feed.folder()).unwrap_err().to_string().contains("more than"));
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
    fn the_installer_has_one_place_for_the_address_and_hosts_cannot_write_a_script() {
        assert_eq!(INSTALLER.matches(ADDRESS_MARK).count(), 1);
        for host in ["192.168.1.2:8738", "[fd00::1]:8738", "server.lan", "my_server"] {
            assert!(is_host(host), "{host}");
        }
        for host in ["", "a b", "a'b", "$(x)", "a\"", "a/b", "a;b", "a\\"] {
            assert!(!is_host(host), "{host}");
        }
    }
}
