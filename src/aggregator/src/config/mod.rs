//! `whichroom.toml`: what it may hold, where it is looked for, and what is wrong with it. `run` and `check` read it
//! through [`load`]; every mistake is reported, not the first, each with line, column and a suggestion.

pub(crate) mod adopt;
mod read;
mod tls;
mod walk;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use whichroom_mqtt::Secret;
use whichroom_presence::setup::Setup;
use whichroom_wire::Id;

use crate::access::Token;
use crate::history::Keep;
use crate::names;
use crate::web::packages::Packages;

pub use adopt::{Adoption, adopt_in};
pub use read::{broker_url, parse, socket_address};
pub use tls::{BrokerTls, KnownBy};

/// Where the file is looked for if none is named, in this order.
pub const SEARCH: [&str; 2] = ["whichroom.toml", "/etc/whichroom/whichroom.toml"];

/// Largest file that is read, in bytes.
const FILE_MAX: u64 = 4 << 20;

/// Everything a file can say.
#[derive(Debug, Clone)]
pub struct Config {
    /// The site in the topics.
    pub site: Id,
    /// Whether names of unknown devices are looked up, and where.
    pub names: names::Options,
    /// Which broker.
    pub broker: BrokerChoice,
    /// The home.
    pub setup: Setup,
    /// Discovery.
    pub home_assistant: HomeAssistant,
    /// The page.
    pub web: Web,
    /// What access points install their agent from; nothing is served if none is given.
    pub feed: Option<Feed>,
    /// For how long what happened is kept; not at all if `None`.
    pub history: Option<Keep>,
}

/// Which broker the aggregator and the agents use.
#[derive(Debug, Clone)]
pub enum BrokerChoice {
    /// One that runs anyway.
    External(ExternalBroker),
    /// Our own.
    Embedded(EmbeddedBroker),
}

/// A broker that runs anyway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalBroker {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// For a broker that asks.
    pub username: Option<String>,
    /// For a broker that asks.
    pub password: Option<Secret>,
    /// For one at `mqtts://`.
    pub tls: Option<BrokerTls>,
}

impl ExternalBroker {
    /// Its address, as agents take it too.
    pub fn url(&self) -> String {
        self.url_at(&self.host)
    }

    /// The same at another name or address of its machine.
    pub fn url_at(&self, host: &str) -> String {
        let scheme = if self.tls.is_some() { "mqtts" } else { "mqtt" };
        if host.contains(':') {
            format!("{scheme}://[{host}]:{}", self.port)
        } else {
            format!("{scheme}://{host}:{}", self.port)
        }
    }
}

/// The embedded broker.
#[derive(Debug, Clone)]
pub struct EmbeddedBroker {
    /// Where it listens; the default on loopback if none is given.
    pub listen: Option<SocketAddr>,
    /// Who may come; empty only on loopback.
    pub users: Vec<EmbeddedUser>,
}

/// Somebody who may come to the embedded broker.
#[derive(Debug, Clone)]
pub struct EmbeddedUser {
    /// User name.
    pub name: String,
    /// Their password.
    pub password: Secret,
    /// An agent of this AP, allowed no more than its topics; `None` for everything, as Home Assistant needs.
    pub ap: Option<Id>,
}

/// Discovery for Home Assistant.
#[derive(Debug, Clone)]
pub struct HomeAssistant {
    /// Whether anything is announced.
    pub enabled: bool,
    /// Home Assistant's discovery prefix.
    pub prefix: String,
    /// Address of the page as a browser sees it, for the "Visit" link.
    pub page_url: Option<String>,
    /// Its own broker, if it does not use the access points'.
    pub mqtt: Option<ExternalBroker>,
}

/// The page.
#[derive(Debug, Clone, Default)]
pub struct Web {
    /// Where it listens; the default on loopback if none is given.
    pub listen: Option<SocketAddr>,
    /// Host names by which a browser may ask for it, beside addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Who has to sign in.
    pub sign_in: SignIn,
    /// Of programs.
    pub tokens: Vec<Token>,
}

/// Who has to sign in to look at the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignIn {
    /// Whoever comes over the network.
    #[default]
    Network,
    /// Whoever is at this machine, too: for a reverse proxy that hides where requests come from.
    Always,
}

/// What access points install their agent from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// What it has.
    pub packages: Packages,
    /// Where access points reach it. It has no sign-in: packages are public and signed.
    pub listen: SocketAddr,
    /// The configuration asks for it; otherwise it is there because this program has packages inside.
    pub asked: bool,
}

/// Where the feed listens unless the configuration says otherwise.
pub const FEED_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8738);

impl Config {
    /// What runs where there is no file: loopback, embedded broker, rooms named after access points.
    pub fn without_file() -> Config {
        Config {
            site: default_site(),
            names: names::Options::default(),
            broker: BrokerChoice::Embedded(EmbeddedBroker { listen: None, users: Vec::new() }),
            setup: Setup::default(),
            home_assistant: HomeAssistant::default(),
            web: Web::default(),
            feed: None,
            history: Some(Keep::default()),
        }
    }
}

impl Default for HomeAssistant {
    fn default() -> HomeAssistant {
        HomeAssistant { enabled: true, prefix: "homeassistant".to_owned(), page_url: None, mqtt: None }
    }
}

/// The site of a home that names none.
pub fn default_site() -> Id {
    #[expect(clippy::unwrap_used, reason = "a literal that is an id")]
    "home".parse().unwrap()
}

/// How bad a remark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is not used.
    Mistake,
    /// The file is used, and likely not what was meant.
    Suspicious,
}

/// Something wrong at a place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// How bad.
    pub severity: Severity,
    /// From 1; 0 for the file as a whole.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub text: String,
}

impl Remark {
    /// The remark as compilers print theirs, so that editors jump to it.
    pub fn display(&self, file: &Path) -> String {
        let severity = match self.severity {
            Severity::Mistake => "error",
            Severity::Suspicious => "warning",
        };
        let place = if self.line == 0 { String::new() } else { format!(":{}:{}", self.line, self.column) };
        format!("{}{place}: {severity}: {}", file.display(), self.text)
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum LoadError {
    /// The file could not be read.
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The file has mistakes.
    Mistakes {
        /// Which file.
        file: PathBuf,
        /// All of them, suspicious things included.
        remarks: Vec<Remark>,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Unreadable { file, why } => write!(f, "{}: error: {why}", file.display()),
            LoadError::Mistakes { file, remarks } => {
                for (index, remark) in remarks.iter().enumerate() {
                    if index > 0 {
                        f.write_str("\n")?;
                    }
                    f.write_str(&remark.display(file))?;
                }
                Ok(())
            }
        }
    }
}

/// A configuration, the file it came from, and what is suspicious about it.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// Where it was; `None` if there is none.
    pub file: Option<PathBuf>,
    /// Suspicious things.
    pub remarks: Vec<Remark>,
}

/// Finds and reads the configuration: the named file, else the first of [`SEARCH`], else the defaults.
pub fn load(named: Option<&Path>) -> Result<Loaded, LoadError> {
    let Some(file) = find(named) else {
        return Ok(Loaded { config: Config::without_file(), file: None, remarks: Vec::new() });
    };
    let text = read(&file).map_err(|why| LoadError::Unreadable { file: file.clone(), why })?;
    let (config, mut remarks) = parse(&text, file.parent().unwrap_or(Path::new(".")));
    remarks.extend(mode_remark(&file, &text));
    match config {
        Some(config) => Ok(Loaded { config, file: Some(file), remarks }),
        None => Err(LoadError::Mistakes { file, remarks }),
    }
}

/// The file that is meant: the one that is named, else the first that is there.
pub fn find(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(file) => Some(file.to_owned()),
        None => SEARCH.iter().map(PathBuf::from).find(|file| file.exists()),
    }
}

/// Reads a text file that is not absurdly large; errors are words.
fn read(file: &Path) -> Result<String, String> {
    let length = std::fs::metadata(file).map_err(|error| format!("cannot be read: {error}"))?.len();
    if length > FILE_MAX {
        return Err(format!("has {length} bytes; a configuration has at most {FILE_MAX}"));
    }
    let bytes = std::fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        format!("is not UTF-8 text: see line {line}")
    })
}

/// A file with a password is nobody else's to read.
fn mode_remark(file: &Path, text: &str) -> Option<Remark> {
    use std::os::unix::fs::PermissionsExt as _;
    let holds_secret =
        text.lines().any(|line| line.trim_start().starts_with("password") && !line.contains("password_file"));
    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o777;
    (holds_secret && mode & 0o077 != 0).then(|| Remark {
        severity: Severity::Suspicious,
        line: 0,
        column: 0,
        text: format!(
            "holds a password and others may read it (mode {mode:o}); run: chmod 600 {}",
            file.display()
        ),
    })
}
