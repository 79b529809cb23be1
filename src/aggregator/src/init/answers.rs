//! What `init` is told, by flags or by a person, and whether it makes sense.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use whichroom_wire::{Id, Mac};

use super::file::quoted;
use crate::Failure;
use crate::config::{self, BrokerChoice, ExternalBroker};
use crate::server::PAGE_PORT;
use crate::state::random_hex;

pub(super) const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1883);

/// The page on every address of this machine.
pub(super) const PAGE_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PAGE_PORT);

/// What was asked for.
pub(super) struct Answers {
    pub(super) site: Id,
    pub(super) broker: Broker,
    pub(super) access_points: Vec<ApAnswer>,
    pub(super) people: Vec<PersonAnswer>,
    pub(super) feed: Option<config::Feed>,
    /// Where the page listens, if others than this machine are to come.
    pub(super) page: Option<SocketAddr>,
}

pub(super) enum Broker {
    External { url: String, username: Option<String>, password_file: Option<PathBuf>, tls: TlsAnswer },
    Embedded { listen: SocketAddr, home_assistant_password: String },
}

/// What `mqtts://` needs; nothing of it otherwise.
#[derive(Debug, Clone, Default)]
pub(super) struct TlsAnswer {
    pub(super) ca: Option<PathBuf>,
    pub(super) fingerprint: Option<String>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

pub(super) struct ApAnswer {
    pub(super) id: Id,
    pub(super) room: Option<String>,
    pub(super) exit: bool,
    pub(super) password: String,
}

/// Name and the addresses of the phones.
pub(super) type PersonAnswer = (String, Vec<Mac>);

impl TlsAnswer {
    /// With full paths, as the file with the configuration may lie elsewhere. A path that leads nowhere stays as it is,
    /// and is said to lead nowhere.
    pub(super) fn with_full_paths(self) -> TlsAnswer {
        let full = |path: Option<PathBuf>| path.map(|path| path.canonicalize().unwrap_or(path));
        TlsAnswer {
            ca: full(self.ca),
            fingerprint: self.fingerprint,
            cert: full(self.cert),
            key: full(self.key),
        }
    }

    /// The keys of the configuration, with their values.
    pub(super) fn keys(&self) -> Vec<(&'static str, String)> {
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let values = [
            ("ca", file(&self.ca)),
            ("fingerprint", self.fingerprint.clone()),
            ("cert", file(&self.cert)),
            ("key", file(&self.key)),
        ];
        values.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

/// A broker that runs anyway, read as `whichroom run` will: what is wrong is said before the file is written.
pub(super) fn external(broker: &Broker) -> Result<Option<ExternalBroker>, String> {
    let Broker::External { url, tls, .. } = broker else { return Ok(None) };
    let mut text = format!("[mqtt]\nurl = {}\n", quoted(url));
    for (key, value) in tls.keys() {
        let _ = writeln!(text, "{key} = {}", quoted(&value));
    }
    match config::parse(&text, Path::new("")) {
        (Some(config::Config { broker: BrokerChoice::External(broker), .. }), _) => Ok(Some(broker)),
        (_, remarks) => Err(remarks.iter().map(|remark| remark.text.as_str()).collect::<Vec<_>>().join("\n")),
    }
}

/// The embedded broker at an address that is free now; a taken port is better said here than after the file is written.
pub(super) fn embedded(listen: SocketAddr) -> Result<Broker, Failure> {
    TcpListener::bind(listen).map_err(|error| {
        Failure::usage(format!(
            "port {} on {} cannot be opened ({error}); give another with --listen",
            listen.port(),
            listen.ip()
        ))
    })?;
    let home_assistant_password = random_hex(12).map_err(Failure::run)?;
    Ok(Broker::Embedded { listen, home_assistant_password })
}

pub(super) fn ap_answer(text: &str) -> Result<ApAnswer, String> {
    let (text, exit) = match text.rsplit_once(',') {
        Some((text, word)) if word.trim() == "exit" => (text, true),
        _ => (text, false),
    };
    let (id, room) = match text.split_once('=') {
        Some((id, room)) => (id, Some(room.trim().to_owned()).filter(|room| !room.is_empty())),
        None => (text, None),
    };
    let id =
        Id::from_name(id.trim()).ok_or_else(|| format!("{id:?} gives no id: use a-z, 0-9, '_' and '-'"))?;
    Ok(ApAnswer { id, room, exit, password: random_hex(12)? })
}

/// Why two access points cannot both be there.
pub(super) fn ap_clash(one: &ApAnswer, other: &ApAnswer) -> Option<String> {
    (one.id == other.id).then(|| format!("the access point {} is there already", one.id))
}

/// Why two people cannot both be there.
pub(super) fn person_clash(one: &PersonAnswer, other: &PersonAnswer) -> Option<String> {
    if one.0 == other.0 {
        return Some(format!("{} is there already; all of a person's phones go into one answer", one.0));
    }
    let shared = one.1.iter().find(|mac| other.1.contains(mac))?;
    Some(format!("{shared} is a phone of {}", one.0))
}

/// The first clash among answers that are all there.
pub(super) fn first_clash<T>(answers: &[T], clash: impl Fn(&T, &T) -> Option<String>) -> Option<String> {
    let later = |position: usize| answers.iter().skip(position + 1);
    answers.iter().enumerate().find_map(|(position, one)| later(position).find_map(|other| clash(one, other)))
}

pub(super) fn person_answer(text: &str) -> Result<PersonAnswer, String> {
    let (name, macs) = text.split_once('=').unwrap_or((text, ""));
    if name.trim().parse::<Mac>().is_ok() {
        return Err(format!("{} is a phone's address: write Name={0}", name.trim()));
    }
    let macs = macs.split([',', ' ']).filter(|mac| !mac.is_empty());
    let macs = macs
        .map(|mac| mac.parse().map_err(|error| format!("{mac:?}: {error}")))
        .collect::<Result<_, String>>()?;
    if name.trim().is_empty() {
        Err("a person needs a name".to_owned())
    } else {
        Ok((name.trim().to_owned(), macs))
    }
}

/// Whether the page is to be open to the network: yes or no, and no if nothing is said.
pub(super) fn page_answer(text: &str) -> Result<Option<SocketAddr>, String> {
    match text.to_ascii_lowercase().as_str() {
        "" | "n" | "no" => Ok(None),
        "y" | "yes" => Ok(Some(PAGE_LISTEN)),
        _ => Err("y or n".to_owned()),
    }
}
