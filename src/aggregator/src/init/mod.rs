//! `whichroom init`: asks, or takes flags, for the broker to use and writes `whichroom.toml`, then prints the lines to
//! paste on each access point. The file's text and the lines are pure functions of the answers.

mod answers;
mod ask;
mod file;
mod steps;

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lexopt::prelude::*;
use whichroom_wire::Id;

use crate::Failure;
use crate::config::{self, FEED_LISTEN, default_site};
use crate::install::lan_address;
use crate::web::packages::{self, Packages};
use answers::{
    Answers, ApAnswer, Broker, DEFAULT_LISTEN, PersonAnswer, TlsAnswer, ap_answer, ap_clash, embedded,
    external, first_clash, person_answer, person_clash,
};
use ask::ask;
use file::render;
use steps::next_steps;

pub use steps::agent_lines;

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
  --page ADDRESS:PORT          open the page to the network (0.0.0.0:8737 for every address); it asks for a password
  --site ID                    the site in the topics (default home)
  --config FILE                file to write (default whichroom.toml)
  --force                      replace the file if there is one
";

#[derive(Default)]
struct Flags {
    broker: Option<String>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    tls: TlsAnswer,
    embedded: bool,
    listen: Option<SocketAddr>,
    access_points: Vec<ApAnswer>,
    people: Vec<PersonAnswer>,
    feed: Option<PathBuf>,
    feed_listen: Option<SocketAddr>,
    page: Option<SocketAddr>,
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
            Long("page") => flags.page = Some(args.value()?.parse_with(config::socket_address)?),
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
    crate::print(&format!("wrote {}\n", file.display()))?;
    let (_, remarks) = config::parse(&text, file.parent().unwrap_or(Path::new("")));
    for remark in &remarks {
        crate::print(&format!("{}\n", remark.display(&file)))?;
    }
    crate::print(&format!("\n{}", next_steps(&answers, &file, lan_address())))
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
    let clash = first_clash(&flags.access_points, ap_clash).map(|why| format!("--ap: {why}"));
    let clash = clash.or_else(|| Some(format!("--person: {}", first_clash(&flags.people, person_clash)?)));
    if let Some(why) = clash {
        return Err(Failure::usage(why));
    }
    let site = flags.site.unwrap_or_else(default_site);
    let (access_points, people) = (flags.access_points, flags.people);
    Ok(Answers { site, broker, access_points, people, feed: None, page: flags.page })
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
            page: None,
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
    fn a_page_for_the_network_is_in_the_file_and_in_the_next_steps() {
        let embedded = Broker::Embedded { listen: DEFAULT_LISTEN, home_assistant_password: "x".to_owned() };
        let answers = Answers { page: Some(answers::PAGE_LISTEN), ..answers_with(embedded) };
        let (config, remarks) = config::parse(&render(&answers), Path::new("/nonexistent"));
        let web = config.unwrap_or_else(|| panic!("{remarks:?}")).web;
        assert_eq!(web.listen, answers.page);
        let text = next_steps(&answers, Path::new("f"), "192.0.2.7".parse().unwrap());
        assert!(text.contains("The page: http://192.0.2.7:8737/\n"), "{text}");
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
    fn a_broker_with_tls_is_known_in_the_file_and_on_access_points() {
        let print = "0f".repeat(32);
        let secured = |tls| Broker::External {
            url: "mqtts://nas".to_owned(),
            username: None,
            password_file: None,
            tls,
        };
        let pinned = || secured(TlsAnswer { fingerprint: Some(print.clone()), ..TlsAnswer::default() });
        let text = render(&answers_with(pinned()));
        let (config, remarks) = config::parse(&text, Path::new("/nonexistent"));
        assert!(config.is_some(), "{text}\n{remarks:?}");
        let text = next_steps(&answers_with(pinned()), Path::new("f"), lan_address());
        let line = format!(
            "  whichroom-agent --broker mqtts://nas:8883 --site home --name garden --fingerprint {print}\n"
        );
        assert!(text.contains(&line) && text.contains("package whichroom-agent-tls"), "{text}");

        for (tls, part) in [
            (TlsAnswer::default(), "mqtts:// needs to know the broker"),
            (
                TlsAnswer { ca: Some("/nonexistent.pem".into()), ..TlsAnswer::default() },
                "mqtt.ca: /nonexistent.pem: No such file",
            ),
        ] {
            let why = external(&secured(tls)).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn how_a_broker_with_tls_is_known_is_asked_until_it_makes_sense() {
        let print = "AB:".repeat(32);
        let mut input =
            format!("mqtts://nas\n/nonexistent.pem\n\nmqtts://nas\n{print}\n\nkitchen\n\n\n\n").into_bytes();
        let Ok(answers) = ask(&mut &input[..]) else { panic!("refused") };
        let Broker::External { tls, .. } = &answers.broker else { panic!("not what was said") };
        assert_eq!((tls.fingerprint.as_deref(), &tls.ca), (Some(print.as_str()), &None));
        input.truncate(30);
        assert!(ask(&mut &input[..]).is_err(), "the answers ended");
    }

    #[test]
    fn what_cannot_be_there_twice_is_refused() {
        let flags = |aps: &[&str], people: &[&str]| Flags {
            broker: Some("mqtt://h".to_owned()),
            access_points: aps.iter().map(|ap| ap_answer(ap).unwrap()).collect(),
            people: people.iter().map(|person| person_answer(person).unwrap()).collect(),
            ..Flags::default()
        };
        let ada = "Ada=aa:bb:cc:dd:ee:01";
        assert!(answers(flags(&["kitchen", "hall=Kitchen"], &[ada, "Bo"])).is_ok());
        for flags in [flags(&["hall", "kitchen", "Hall=Hall"], &[]), flags(&[], &[ada, "Ada"])] {
            assert!(answers(flags).is_err());
        }
        assert!(answers(flags(&[], &["Bo=aa:bb:cc:dd:ee:01", ada])).is_err(), "one phone of two people");
        assert_eq!(
            person_answer("aa:bb:cc:dd:ee:01").unwrap_err(),
            "aa:bb:cc:dd:ee:01 is a phone's address: write Name=aa:bb:cc:dd:ee:01"
        );
    }

    #[test]
    fn answers_are_read_from_a_terminal() {
        let mut input =
            "ftp://x\nmqtt://h\nme\npw.txt\nküche=Küche, exit\nküche=Flur\n\nAda=nonsense\nAda=aa:bb:cc:dd:ee:01\n\
             aa:bb:cc:dd:ee:02\nBo=aa:bb:cc:dd:ee:01\n\nperhaps\ny\n"
                .as_bytes();
        let Ok(answers) = ask(&mut input) else { panic!("refused") };
        assert!(answers.access_points[0].exit);
        assert_eq!(answers.access_points.len(), 1);
        assert_eq!(answers.access_points[0].id, "kuche".parse().unwrap());
        assert_eq!(answers.people.len(), 1);
        assert_eq!(answers.page, Some(answers::PAGE_LISTEN));
        assert!(ask(&mut "mqtt://h\n".as_bytes()).is_err());
    }
}
