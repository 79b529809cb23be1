//! `whichroom init`: asks, or takes flags, for the broker to use and writes `whichroom.toml`, then prints the lines to
//! paste on each access point. The file's text and the lines are pure functions of the answers.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use lexopt::prelude::*;
use whichroom_mqtt::Fingerprint;
use whichroom_wire::{Id, Mac};

use crate::Failure;
use crate::config::{self, BrokerChoice, ExternalBroker, FEED_LISTEN, KnownBy, default_site};
use crate::install::{self, AgentBroker, lan_address};
use crate::state::random_hex;
use crate::web::packages::{self, Packages};

const HELP: &str = "\
whichroom init: writes whichroom.toml. Asks, unless the broker is given by flags.

  --broker mqtt://HOST[:PORT]  use a broker that runs already; mqtts://HOST[:PORT] for TLS
    --username NAME            its user
    --password-file FILE       file with its password, one line
    --ca FILE                  mqtts: the authority that signed its certificate
    --fingerprint SHA256       mqtts: its certificate itself instead
    --cert FILE, --key FILE    mqtts: the certificate that we show it, and the key of that
  --embedded                   open the embedded broker to the network, with a password for each access point
    --listen ADDRESS:PORT      where (default 0.0.0.0:1883)
  --ap ID[=ROOM][,exit]        an access point, its room, and whether people leave past it; repeatable
  --person NAME[=MAC,...]      a person and their phones' MAC addresses; repeatable
  --feed DIR                   serve this feed of whichroom-package build, and print one line for each access point
    --feed-listen ADDRESS:PORT where (default 0.0.0.0:8738)
  --site ID                    the site in the topics (default home)
  --config FILE                file to write (default whichroom.toml)
  --force                      replace the file if there is one
";

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1883);

/// What was asked for.
struct Answers {
    site: Id,
    broker: Broker,
    access_points: Vec<ApAnswer>,
    people: Vec<(String, Vec<Mac>)>,
    feed: Option<config::Feed>,
}

enum Broker {
    External { url: String, username: Option<String>, password_file: Option<PathBuf>, tls: TlsAnswer },
    Embedded { listen: SocketAddr, home_assistant_password: String },
}

/// What `mqtts://` needs; nothing of it otherwise.
#[derive(Debug, Clone, Default)]
struct TlsAnswer {
    ca: Option<PathBuf>,
    fingerprint: Option<String>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

struct ApAnswer {
    id: Id,
    room: Option<String>,
    exit: bool,
    password: String,
}

#[derive(Default)]
struct Flags {
    broker: Option<String>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    tls: TlsAnswer,
    embedded: bool,
    listen: Option<SocketAddr>,
    access_points: Vec<ApAnswer>,
    people: Vec<(String, Vec<Mac>)>,
    feed: Option<PathBuf>,
    feed_listen: Option<SocketAddr>,
    site: Option<Id>,
    config: Option<PathBuf>,
    force: bool,
}

/// Runs the command.
pub fn main(mut args: lexopt::Parser) -> Result<(), Failure> {
    let mut flags = Flags::default();
    while let Some(argument) = args.next()? {
        match argument {
            Long("broker") => flags.broker = Some(args.value()?.string()?),
            Long("username") => flags.username = Some(args.value()?.string()?),
            Long("password-file") => flags.password_file = Some(args.value()?.into()),
            Long("ca") => flags.tls.ca = Some(args.value()?.into()),
            Long("fingerprint") => flags.tls.fingerprint = Some(args.value()?.string()?),
            Long("cert") => flags.tls.cert = Some(args.value()?.into()),
            Long("key") => flags.tls.key = Some(args.value()?.into()),
            Long("embedded") => flags.embedded = true,
            Long("listen") => flags.listen = Some(args.value()?.parse_with(config::socket_address)?),
            Long("ap") => flags.access_points.push(args.value()?.parse_with(ap_answer)?),
            Long("person") => flags.people.push(args.value()?.parse_with(person_answer)?),
            Long("feed") => flags.feed = Some(args.value()?.into()),
            Long("feed-listen") => {
                flags.feed_listen = Some(args.value()?.parse_with(config::socket_address)?);
            }
            Long("site") => flags.site = Some(args.value()?.parse()?),
            Long("config") => flags.config = Some(args.value()?.into()),
            Long("force") => flags.force = true,
            Long("help") | Short('h') => return crate::print(HELP),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let file = flags.config.clone().unwrap_or_else(|| PathBuf::from(config::SEARCH[0]));
    if file.exists() && !flags.force {
        return Err(Failure::usage(format!(
            "{} exists already; --force replaces it, --config writes another",
            file.display()
        )));
    }
    let feed = feed_answer(flags.feed.take(), flags.feed_listen)?;
    let answers = Answers { feed, ..answers(flags)? };
    let text = render(&answers);
    write_private(&file, &text)
        .map_err(|error| Failure::run(format!("{} cannot be written: {error}", file.display())))?;
    crate::print(&format!("wrote {}\n\n{}", file.display(), next_steps(&answers, &file, lan_address())))
}

/// The feed: a folder by its full path, as the file may lie elsewhere, or what is inside this program.
fn feed_answer(folder: Option<PathBuf>, listen: Option<SocketAddr>) -> Result<Option<config::Feed>, Failure> {
    let asked = folder.is_some() || listen.is_some();
    let packages = match folder {
        Some(folder) => Some(packages_in(&folder).map_err(|why| Failure::usage(format!("--feed: {why}")))?),
        None => Packages::inside(),
    };
    if packages.is_none() && listen.is_some() {
        return Err(Failure::usage("--feed-listen is there without --feed"));
    }
    Ok(packages.map(|packages| config::Feed { packages, listen: listen.unwrap_or(FEED_LISTEN), asked }))
}

fn packages_in(folder: &Path) -> Result<Packages, String> {
    packages::check(folder).map_err(|why| why.to_string())?;
    let folder = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(Packages::Folder(folder))
}

fn answers(flags: Flags) -> Result<Answers, Failure> {
    if flags.broker.is_some() && flags.embedded {
        return Err(Failure::usage("--broker and --embedded are two answers to one question"));
    }
    let broker = match (flags.broker, flags.embedded) {
        (Some(url), _) => {
            config::broker_url(&url).map_err(|why| Failure::usage(format!("--broker {url}: {why}")))?;
            let tls = flags.tls.with_full_paths();
            let (username, password_file) = (flags.username, flags.password_file);
            let broker = Broker::External { url, username, password_file, tls };
            external(&broker).map_err(Failure::usage)?;
            broker
        }
        (None, true) => embedded(flags.listen.unwrap_or(DEFAULT_LISTEN))?,
        (None, false) if io::stdin().is_terminal() => return ask(&mut io::stdin().lock()),
        (None, false) => {
            return Err(Failure::usage(
                "say which broker: --broker mqtt://host, or --embedded (see whichroom init --help)",
            ));
        }
    };
    if matches!(broker, Broker::Embedded { .. }) && flags.access_points.is_empty() {
        return Err(Failure::usage(
            "name at least one access point, for example --ap kitchen --ap garden,exit",
        ));
    }
    let site = flags.site.unwrap_or_else(default_site);
    Ok(Answers { site, broker, access_points: flags.access_points, people: flags.people, feed: None })
}

impl TlsAnswer {
    /// With full paths, as the file with the configuration may lie elsewhere. A path that leads nowhere stays as it is,
    /// and is said to lead nowhere.
    fn with_full_paths(self) -> TlsAnswer {
        let full = |path: Option<PathBuf>| path.map(|path| path.canonicalize().unwrap_or(path));
        TlsAnswer {
            ca: full(self.ca),
            fingerprint: self.fingerprint,
            cert: full(self.cert),
            key: full(self.key),
        }
    }

    /// The keys of the configuration, with their values.
    fn keys(&self) -> Vec<(&'static str, String)> {
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
fn external(broker: &Broker) -> Result<Option<ExternalBroker>, String> {
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
fn embedded(listen: SocketAddr) -> Result<Broker, Failure> {
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

fn ap_answer(text: &str) -> Result<ApAnswer, String> {
    let (text, exit) = match text.strip_suffix(",exit") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (id, room) = match text.split_once('=') {
        Some((id, room)) => (id, Some(room.trim().to_owned()).filter(|room| !room.is_empty())),
        None => (text, None),
    };
    let id =
        Id::from_name(id.trim()).ok_or_else(|| format!("{id:?} gives no id: use a-z, 0-9, '_' and '-'"))?;
    Ok(ApAnswer { id, room, exit, password: random_hex(12)? })
}

fn person_answer(text: &str) -> Result<(String, Vec<Mac>), String> {
    let (name, macs) = text.split_once('=').unwrap_or((text, ""));
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

/// Asks until every answer makes sense; an empty answer takes the default.
fn ask(input: &mut impl BufRead) -> Result<Answers, Failure> {
    let broker = loop {
        let url = question(
            input,
            "MQTT broker, as mqtt://host:1883, or mqtts://host:8883 for TLS (empty: open the embedded one to your network)",
        )?;
        if url.is_empty() {
            break embedded(DEFAULT_LISTEN)?;
        }
        match external_answer(input, url)? {
            Ok(broker) => break broker,
            Err(why) => crate::print(&format!("{why}\n"))?,
        }
    };
    let access_points =
        several(input, "access point, as id=Room or id=Room,exit (empty: no more)", ap_answer)?;
    if access_points.is_empty() && matches!(broker, Broker::Embedded { .. }) {
        return Err(Failure::usage(
            "the embedded broker needs at least one access point to give a password to",
        ));
    }
    let people = several(input, "person, as Name=aa:bb:cc:dd:ee:ff (empty: no more)", person_answer)?;
    Ok(Answers { site: default_site(), broker, access_points, people, feed: None })
}

/// Asks for what belongs to the broker at an address; the inner error is to be said before it is asked for again.
fn external_answer(input: &mut impl BufRead, url: String) -> Result<Result<Broker, String>, Failure> {
    let address = match config::broker_url(&url) {
        Ok(address) => address,
        Err(why) => return Ok(Err(why)),
    };
    let mut tls = TlsAnswer::default();
    if address.tls {
        let known_by = question(
            input,
            "file of the authority that signed its certificate, or the certificate's SHA-256",
        )?;
        match known_by.parse::<Fingerprint>() {
            Ok(_) => tls.fingerprint = Some(known_by),
            Err(_) => tls.ca = Some(known_by).filter(|file| !file.is_empty()).map(PathBuf::from),
        }
    }
    let username = Some(question(input, "its user (empty: none)")?).filter(|name| !name.is_empty());
    let password_file = match username {
        Some(_) => Some(question(input, "file with its password")?).filter(|file| !file.is_empty()),
        None => None,
    };
    let password_file = password_file.map(PathBuf::from);
    let broker = Broker::External { url, username, password_file, tls: tls.with_full_paths() };
    Ok(external(&broker).map(|_| broker))
}

fn several<T>(
    input: &mut impl BufRead,
    text: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Failure> {
    let mut answers = Vec::new();
    loop {
        let answer = question(input, text)?;
        if answer.is_empty() {
            return Ok(answers);
        }
        match read(&answer) {
            Ok(answer) => answers.push(answer),
            Err(why) => crate::print(&format!("{why}\n"))?,
        }
    }
}

fn question(input: &mut impl BufRead, text: &str) -> Result<String, Failure> {
    crate::print(&format!("{text}: "))?;
    io::stdout().flush().map_err(|error| Failure::run(error.to_string()))?;
    let mut line = String::new();
    match input.read_line(&mut line) {
        Ok(0) => Err(Failure::run("the answers ended early; nothing was written")),
        Ok(_) => Ok(line.trim().to_owned()),
        Err(error) => Err(Failure::run(format!("cannot read the answer: {error}"))),
    }
}

/// The file's text.
fn render(answers: &Answers) -> String {
    let mut text =
        String::from("# WhichRoom. Every key is optional; `whichroom check` says what is wrong.\n\n");
    // Writing to a string does not fail.
    let _ = writeln!(text, "[site]\nid = \"{}\"\n", answers.site);
    match &answers.broker {
        Broker::External { url, username, password_file, tls } => {
            let _ = writeln!(text, "[mqtt]\nurl = {}", quoted(url));
            for (key, value) in tls.keys() {
                let _ = writeln!(text, "{key} = {}", quoted(&value));
            }
            if let Some(username) = username {
                let _ = writeln!(text, "username = {}", quoted(username));
            }
            if let Some(file) = password_file {
                let _ = writeln!(text, "password_file = {}", quoted(&file.display().to_string()));
            }
            text.push('\n');
        }
        Broker::Embedded { listen, home_assistant_password } => {
            let _ = writeln!(
                text,
                "# The embedded broker, open to the network. Each access point may write its own topics only.\n[mqtt]\nlisten = \"{listen}\"\n"
            );
            for ap in &answers.access_points {
                let _ = writeln!(
                    text,
                    "[[mqtt.user]]\nname = \"ap-{}\"\npassword = \"{}\"\nap = \"{}\"\n",
                    ap.id, ap.password, ap.id
                );
            }
            let _ = writeln!(
                text,
                "[[mqtt.user]]\nname = \"homeassistant\"\npassword = \"{home_assistant_password}\"\n"
            );
        }
    }
    if let Some(feed) = answers.feed.as_ref().filter(|feed| feed.asked) {
        text.push_str("# What access points install their agent from. Public: packages, keys and the installer.\n[feed]\n");
        if let Packages::Folder(folder) = &feed.packages {
            let _ = writeln!(text, "folder = {}", quoted(&folder.display().to_string()));
        }
        let _ = writeln!(text, "listen = \"{}\"\n", feed.listen);
    }
    if answers.access_points.is_empty() {
        text.push_str("# Access points appear by themselves; name them to give them rooms.\n# [[ap]]\n# id = \"kitchen\"\n# room = \"Kitchen\"\n# exit = false        # true: people leave home past it\n\n");
    }
    for ap in &answers.access_points {
        let _ = writeln!(text, "[[ap]]\nid = \"{}\"", ap.id);
        if let Some(room) = &ap.room {
            let _ = writeln!(text, "room = {}", quoted(room));
        }
        let _ = writeln!(text, "exit = {}          # true: people leave home past it\n", ap.exit);
    }
    if answers.people.is_empty() {
        text.push_str("# [[person]]\n# name = \"Ada\"\n# devices = [{ name = \"Ada's phone\", macs = [\"aa:bb:cc:dd:ee:ff\"] }]\n");
    }
    for (name, macs) in &answers.people {
        let macs: Vec<String> = macs.iter().map(|mac| format!("\"{mac}\"")).collect();
        let devices =
            if macs.is_empty() { String::new() } else { format!("{{ macs = [{}] }}", macs.join(", ")) };
        let _ = writeln!(text, "[[person]]\nname = {}\ndevices = [{devices}]\n", quoted(name));
    }
    text
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

/// What to do next, with the lines to paste.
fn next_steps(answers: &Answers, file: &Path, address: IpAddr) -> String {
    let broker = agent_broker(&answers.broker, address);
    let mut text = format!("Start it:\n\n  whichroom run --config {}\n", file.display());
    if let Broker::Embedded { home_assistant_password, .. } = &answers.broker {
        let _ = write!(
            text,
            "\nHome Assistant: add the MQTT integration with broker {},\nuser homeassistant, password {home_assistant_password}\n",
            broker.url
        );
    }
    let feed = answers.feed.as_ref().map(|feed| install::feed_url(feed.listen, address));
    let lines = |name: &str, credentials: Option<(&str, &str)>| match &feed {
        Some(feed) => {
            // What is not known yet is asked for.
            let user = credentials
                .map(|(user, password)| (user, Some(password).filter(|password| *password != "PASSWORD")));
            let line = install::line(feed, &broker, &answers.site, name, user);
            format!("\nOn the access point \"{name}\", now and after each upgrade of OpenWrt:\n\n  {line}\n")
        }
        None => agent_lines(&broker, &answers.site, name, credentials),
    };
    if answers.access_points.is_empty() {
        text.push_str(&lines("kitchen", Some(("USER", "PASSWORD"))));
    }
    for ap in &answers.access_points {
        let user = format!("ap-{}", ap.id);
        let credentials = match &answers.broker {
            Broker::Embedded { .. } => Some((user.as_str(), ap.password.as_str())),
            Broker::External { username: Some(username), .. } => Some((username.as_str(), "PASSWORD")),
            Broker::External { username: None, .. } => None,
        };
        text.push_str(&lines(ap.id.as_str(), credentials));
    }
    text
}

/// The broker as agents are told of it; `own` is the address of this machine for others.
fn agent_broker(broker: &Broker, own: IpAddr) -> AgentBroker {
    match broker {
        Broker::External { url, .. } => match external(broker) {
            Ok(Some(broker)) => AgentBroker::external(&broker, own),
            Ok(None) | Err(_) => AgentBroker::plain(url.clone()),
        },
        Broker::Embedded { listen, .. } if listen.ip().is_unspecified() => {
            AgentBroker::plain(format!("mqtt://{}", SocketAddr::new(own, listen.port())))
        }
        Broker::Embedded { listen, .. } => AgentBroker::plain(format!("mqtt://{listen}")),
    }
}

/// Where an access point has the authority of the broker.
const AGENT_CA: &str = "/etc/whichroom/broker-ca.pem";

/// The lines to paste on one access point, where the agent's binary has been copied to `/usr/bin`.
pub fn agent_lines(broker: &AgentBroker, site: &Id, name: &str, credentials: Option<(&str, &str)>) -> String {
    let mut text = match &broker.known_by {
        None => format!("\nOn the access point \"{name}\", with whichroom-agent in /usr/bin:\n\n"),
        Some(KnownBy::Fingerprint(_)) => format!(
            "\nOn the access point \"{name}\", with the whichroom-agent that has TLS (package whichroom-agent-tls) in /usr/bin:\n\n"
        ),
        Some(KnownBy::Authority { file, .. }) => format!(
            "\nOn the access point \"{name}\", with the whichroom-agent that has TLS (package whichroom-agent-tls) in /usr/bin\n\
             and {} as {AGENT_CA}:\n\n",
            file.display()
        ),
    };
    let mut options = String::new();
    match &broker.known_by {
        None => {}
        Some(KnownBy::Fingerprint(fingerprint)) => {
            let _ = write!(options, " --fingerprint {fingerprint}");
        }
        Some(KnownBy::Authority { .. }) => {
            let _ = write!(options, " --ca {AGENT_CA}");
        }
    }
    if let Some((user, password)) = credentials {
        let _ = writeln!(
            text,
            "  (umask 077; printf 'username=%s\\npassword=%s\\n' '{user}' '{password}' > /etc/whichroom.credentials)"
        );
        options.push_str(" --credentials /etc/whichroom.credentials");
    }
    let _ = writeln!(text, "  whichroom-agent --once | head -c 600");
    let _ = writeln!(text, "  whichroom-agent --broker {} --site {site} --name {name}{options}", broker.url);
    text
}

fn write_private(file: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let mut handle =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    handle.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    handle.write_all(text.as_bytes())?;
    handle.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers_with(broker: Broker) -> Answers {
        Answers {
            site: default_site(),
            broker,
            access_points: vec![
                ap_answer("kitchen=Kitchen").unwrap(),
                ap_answer("garden=The \"garden\",exit").unwrap(),
            ],
            people: vec![
                person_answer("Ada=AA:bb:cc:dd:ee:01,aa:bb:cc:dd:ee:02").unwrap(),
                person_answer("Bo").unwrap(),
            ],
            feed: None,
        }
    }

    #[test]
    fn the_file_it_writes_passes_the_check() {
        let embedded = Broker::Embedded { listen: DEFAULT_LISTEN, home_assistant_password: "x".to_owned() };
        let external = Broker::External {
            url: "mqtt://h".to_owned(),
            username: Some("me".to_owned()),
            password_file: None,
            tls: TlsAnswer::default(),
        };
        for broker in [embedded, external] {
            let answers = answers_with(broker);
            let text = render(&answers);
            let (config, remarks) = config::parse(&text, Path::new("/nonexistent"));
            let setup = config.unwrap_or_else(|| panic!("{text}\n{remarks:?}")).setup;
            assert_eq!(setup.access_points.len(), 2);
            assert_eq!(setup.rooms[1].name, "The \"garden\"");
            assert_eq!(setup.people[0].devices[0].macs.len(), 2);
        }
    }

    #[test]
    fn each_access_point_gets_its_own_lines() {
        let answers = answers_with(Broker::Embedded {
            listen: DEFAULT_LISTEN,
            home_assistant_password: "x".to_owned(),
        });
        let text = next_steps(&answers, Path::new("whichroom.toml"), "192.0.2.7".parse().unwrap());
        assert!(text.contains("whichroom-agent --broker mqtt://192.0.2.7:1883 --site home --name garden --credentials /etc/whichroom.credentials"), "{text}");
        assert!(text.contains(&answers.access_points[0].password));
        assert_ne!(answers.access_points[0].password, answers.access_points[1].password);
    }

    #[test]
    fn with_a_feed_one_line_is_all() {
        let embedded = Broker::Embedded { listen: DEFAULT_LISTEN, home_assistant_password: "x".to_owned() };
        let feed = config::Feed {
            packages: Packages::Folder(PathBuf::from("/srv/feed")),
            listen: FEED_LISTEN,
            asked: true,
        };
        let answers = Answers { feed: Some(feed), ..answers_with(embedded) };
        let text = next_steps(&answers, Path::new("whichroom.toml"), "192.0.2.7".parse().unwrap());
        let password = &answers.access_points[1].password;
        let line = format!(
            "  wget -qO- http://192.0.2.7:8738/feed/install.sh | WHICHROOM_PASSWORD={password} sh -s -- --broker \
             mqtt://192.0.2.7:1883 --site home --name garden --user ap-garden\n"
        );
        assert!(text.contains(&line), "{text}");
        assert!(!text.contains("--once"), "{text}");
        assert!(render(&answers).contains("[feed]\nfolder = \"/srv/feed\"\nlisten = \"0.0.0.0:8738\"\n"));

        let external = Broker::External {
            url: "mqtt://h".to_owned(),
            username: Some("me".to_owned()),
            password_file: None,
            tls: TlsAnswer::default(),
        };
        let text = next_steps(&Answers { broker: external, ..answers }, Path::new("f"), lan_address());
        assert!(text.contains("--user me\n") && !text.contains("WHICHROOM_PASSWORD"), "it asks: {text}");
    }

    #[test]
    fn answers_are_read_from_a_terminal() {
        let mut input =
            "ftp://x\nmqtt://h\nme\npw.txt\nküche=Küche,exit\n\nAda=nonsense\nAda=aa:bb:cc:dd:ee:01\n\n"
                .as_bytes();
        let Ok(answers) = ask(&mut input) else { panic!("refused") };
        assert!(answers.access_points[0].exit);
        assert_eq!(answers.access_points[0].id, "kuche".parse().unwrap());
        assert_eq!(answers.people.len(), 1);
        assert!(ask(&mut "mqtt://h\n".as_bytes()).is_err());
    }
}
