//! `whichroom run` and `whichroom check`: the configuration, the embedded broker where it is wanted, the server, and
//! the signals that end or reload it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use lexopt::prelude::*;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use whichroom_broker::{Broker, Limits, User};
use whichroom_wire::{Id, Root};

use crate::Failure;
use crate::clock::Clock;
use crate::config::{
    self, Adoption, BrokerChoice, Config, EmbeddedBroker, EmbeddedUser, ExternalBroker, KnownBy, Loaded,
};
use crate::history;
use crate::init::agent_lines;
use crate::install::{self, AgentBroker, Install, lan_address};
use crate::record::writer::{MAX_MB, Target};
use crate::server::{Options, PAGE_PORT, Reloaded, Server};
use crate::state::{self, StateFile};
use crate::web::doors::doors;
use crate::web::{self, Adopt, PageContext, WebServer};

const RUN_HELP: &str = "\
whichroom run: decides who is home and in which room, and serves the page.

  --config FILE   configuration (default: ./whichroom.toml, /etc/whichroom/whichroom.toml, else none:
                  embedded broker and page on loopback)
  --state DIR     where decisions survive a restart (default: $STATE_DIRECTORY, /var/lib/whichroom,
                  or whichroom-state beside the configuration)
  --record FILE   writes down everything that decides, for whichroom replay; if FILE exists, a new one beside it
  --max-mb N      the recording ends at so many million bytes (default: 256)

SIGHUP reads the configuration again; SIGTERM and SIGINT stop. The password for [mqtt] url may come from
$WHICHROOM_MQTT_PASSWORD; RUST_LOG=debug says more.
";

const CHECK_HELP: &str = "\
whichroom check: says everything that is wrong with a configuration, and connects nowhere.

  --config FILE   configuration (default: ./whichroom.toml, /etc/whichroom/whichroom.toml)

Exit code 0: usable, perhaps with warnings. 2: not usable.
";

/// The embedded broker's port unless the configuration names one.
pub const MQTT_PORT: u16 = 1883;
/// How often the main thread looks whether the server stopped by itself.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// Runs `whichroom check`.
pub fn check(mut args: lexopt::Parser) -> Result<(), Failure> {
    let mut file = None;
    while let Some(argument) = args.next()? {
        match argument {
            Long("config") => file = Some(PathBuf::from(args.value()?)),
            Value(value) if file.is_none() => file = Some(PathBuf::from(value)),
            Long("help") | Short('h') => return crate::print(CHECK_HELP),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let Loaded { config, file, remarks } =
        config::load(file.as_deref()).map_err(|error| Failure::usage(error.to_string()))?;
    let Some(file) = file else {
        return Err(Failure::usage(format!(
            "there is no {}; whichroom init writes one",
            config::SEARCH.join(" and no ")
        )));
    };
    for remark in &remarks {
        crate::print(&format!("{}\n", remark.display(&file)))?;
    }
    let setup = &config.setup;
    let devices = setup.people.iter().map(|person| person.devices.len()).sum::<usize>() + setup.devices.len();
    crate::print(&format!(
        "{}: usable: site {}, {} access points, {} rooms, {} people, {devices} devices\n",
        file.display(),
        config.site,
        setup.access_points.len(),
        setup.rooms.len(),
        setup.people.len(),
    ))?;
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, PAGE_PORT));
    for door in doors(config.web.listen.unwrap_or(usual), &config.web, lan_address()) {
        crate::print(&format!("  {door}\n"))?;
    }
    Ok(())
}

/// Runs `whichroom run`.
pub fn main(mut args: lexopt::Parser) -> Result<(), Failure> {
    let (mut named, mut state_directory) = (None, None);
    let (mut record, mut max_mb) = (None, MAX_MB);
    while let Some(argument) = args.next()? {
        match argument {
            Long("config") => named = Some(PathBuf::from(args.value()?)),
            Long("state") => state_directory = Some(PathBuf::from(args.value()?)),
            Long("record") => record = Some(PathBuf::from(args.value()?)),
            Long("max-mb") => max_mb = args.value()?.parse()?,
            Long("help") | Short('h') => return crate::print(RUN_HELP),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let loaded = config::load(named.as_deref()).map_err(|error| Failure::usage(error.to_string()))?;
    log_remarks(&loaded);
    // Signals are caught before anything is started that a signal should end in order.
    let signals =
        Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|error| Failure::run(format!("signals: {error}")))?;
    let state = StateFile::in_directory(&state::directory(state_directory, loaded.file.as_deref()))
        .map_err(Failure::run)?;
    let (embedded, broker) = match &loaded.config.broker {
        BrokerChoice::External(broker) => (None, broker.clone()),
        BrokerChoice::Embedded(options) => {
            let (embedded, broker) = start_embedded(options, &loaded.config.site)?;
            (Some(embedded), broker)
        }
    };
    let url = broker.url();
    let feed = start_feed(&loaded.config)?;
    let context = Context {
        broker: AgentBroker::external(&broker, Ipv4Addr::LOCALHOST.into()),
        broker_port: broker.port,
        feed: feed.as_ref().map(WebServer::address),
    };
    let record = record.map(|file| Target::new(file, max_mb).beside());
    if let Some(target) = &record {
        log::info!("recording {}, at most {max_mb} MB", target.file.display());
    }
    let (adopted, adoptions) = mpsc::channel();
    let adopt = loaded.file.clone().map(|file| adopter(file, adopted));
    let server = start_server(&loaded, broker, state, context.of(&loaded.config), record, adopt)?;
    for door in doors(server.page(), &loaded.config.web, lan_address()) {
        log::info!("{door}");
    }
    say_next_step(&loaded, &url);
    let result = watch(signals, server, named.as_deref(), &context, &adoptions);
    drop(feed);
    if let Some(embedded) = embedded {
        embedded.stop();
    }
    result
}

/// Writes what the page adopts, and says that the configuration is to be read again.
fn adopter(file: PathBuf, adopted: mpsc::Sender<()>) -> Arc<Adopt> {
    Arc::new(move |adoption: &Adoption| {
        config::adopt_in(&file, adoption)?;
        log::info!("{}: {} was added from the page", file.display(), adoption.mac);
        // A server that stops reads nothing anew.
        let _ = adopted.send(());
        Ok(())
    })
}

fn start_server(
    loaded: &Loaded,
    broker: ExternalBroker,
    state: StateFile,
    context: PageContext,
    record: Option<Target>,
    adopt: Option<Arc<Adopt>>,
) -> Result<Server, Failure> {
    let config = &loaded.config;
    let history = config.history.map(|keep| history::Options { path: state.beside(history::FILE), keep });
    Server::start(Options {
        site: config.site.clone(),
        setup: config.setup.clone(),
        broker,
        home_assistant: config.home_assistant.clone(),
        names: config.names.clone(),
        listen: config.web.listen,
        hosts: config.web.hosts.clone(),
        sign_in: config.web.sign_in,
        tokens: config.web.tokens.clone(),
        state: Some(state),
        clock: Clock::start(),
        context,
        observer: None,
        record,
        history,
        adopt,
    })
}

/// What the page says beside the decisions, as far as only a restart changes it.
struct Context {
    /// As this machine reaches it.
    broker: AgentBroker,
    broker_port: u16,
    /// Where the feed listens, if there is one.
    feed: Option<SocketAddr>,
}

impl Context {
    fn of(&self, config: &Config) -> PageContext {
        let site = config.site.clone();
        let (Some(address), Some(feed)) = (self.feed, &config.feed) else {
            let lines = agent_lines(&self.broker, &site, "kitchen", None);
            return PageContext::new(site, lines);
        };
        let install = Install::new(config, self.broker_port, address, lan_address());
        let mut context = PageContext::new(site, first_lines(&install, config));
        context.install = Some(install);
        if let Some(version) = feed.packages.newest() {
            context.agent_version = version;
        }
        context
    }
}

/// The lines of the configured access points, or of one that may be there.
fn first_lines(install: &Install, config: &Config) -> String {
    let configured = config.setup.access_points.iter().map(|ap| &ap.id);
    let mut lines: Vec<String> =
        configured.map(|ap| format!("On the access point \"{ap}\":\n\n  {}\n", install.line(ap))).collect();
    if lines.is_empty()
        && let Ok(kitchen) = "kitchen".parse()
    {
        lines.push(format!("On each access point, with its own name:\n\n  {}\n", install.line(&kitchen)));
    }
    lines.join("\n")
}

/// A feed that nobody asked for is no reason not to start.
fn start_feed(config: &Config) -> Result<Option<WebServer>, Failure> {
    let Some(feed) = &config.feed else { return Ok(None) };
    match web::feed::start(feed.listen, feed.packages.clone(), broker_authority(&config.broker)) {
        Ok(server) => {
            log::info!("feed http://{}/feed/ from {}", server.address(), feed.packages);
            Ok(Some(server))
        }
        Err(error) if feed.asked => Err(Failure::run(format!("the feed: {error}"))),
        Err(error) => {
            log::warn!("access points cannot install their agent from here: {error}");
            Ok(None)
        }
    }
}

/// The authority of the broker, for access points; those of the system they have.
fn broker_authority(broker: &BrokerChoice) -> Option<Vec<u8>> {
    let BrokerChoice::External(ExternalBroker { tls: Some(tls), .. }) = broker else { return None };
    match &tls.known_by {
        KnownBy::Authority { file, pem } if !install::is_of_system(file) => Some(pem.clone()),
        KnownBy::Authority { .. } | KnownBy::Fingerprint(_) => None,
    }
}

fn log_remarks(loaded: &Loaded) {
    if let Some(file) = &loaded.file {
        for remark in &loaded.remarks {
            log::warn!("{}", remark.display(file));
        }
    }
}

fn say_next_step(loaded: &Loaded, url: &str) {
    match &loaded.file {
        Some(file) => log::info!("configuration {}, broker {url}", file.display()),
        None => log::info!(
            "no configuration: broker {url} and page are on loopback, rooms are named after access points; \
             next: whichroom init, which opens the broker to your network or uses the one you have"
        ),
    }
}

/// Until a signal ends it, or it ends by itself.
fn watch(
    mut signals: Signals,
    server: Server,
    named: Option<&std::path::Path>,
    context: &Context,
    adoptions: &mpsc::Receiver<()>,
) -> Result<(), Failure> {
    loop {
        if adoptions.try_iter().count() > 0 {
            reload(&server, named, context);
        }
        for signal in signals.pending() {
            if signal != SIGHUP {
                log::info!("stopping");
                return server.stop();
            }
            reload(&server, named, context);
        }
        if server.is_finished() {
            return server.stop();
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

fn reload(server: &Server, named: Option<&std::path::Path>, context: &Context) {
    match config::load(named) {
        Ok(loaded) => {
            log_remarks(&loaded);
            log::info!(
                "configuration read again; another site, broker, feed or page address needs a restart"
            );
            server.set_context(context.of(&loaded.config));
            let Config { setup, home_assistant, names, web, .. } = loaded.config;
            server.set_tokens(web.tokens);
            server.reload(Reloaded { setup, home_assistant, names });
        }
        Err(error) => log::error!("the configuration is left as it was:\n{error}"),
    }
}

/// Opens the embedded broker, and says how the aggregator itself gets in.
fn start_embedded(options: &EmbeddedBroker, site: &Id) -> Result<(Broker, ExternalBroker), Failure> {
    let own = EmbeddedUser {
        name: "whichroom".to_owned(),
        password: whichroom_mqtt::Secret::new(state::random_hex(16).map_err(Failure::run)?),
        ap: None,
    };
    let open = options.users.is_empty();
    let users: Vec<User> = if open {
        Vec::new()
    } else {
        options.users.iter().chain([&own]).map(|user| broker_user(user, site)).collect()
    };
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, MQTT_PORT));
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let start = |address| {
        Broker::start(whichroom_broker::Options {
            listen: vec![address],
            users: users.clone(),
            limits: Limits::default(),
        })
    };
    let broker = match options.listen {
        Some(address) => start(address),
        None => start(usual).or_else(|_| start(any)),
    };
    let broker = broker.map_err(|error| {
        Failure::run(format!("the embedded broker: {error}; give another address with mqtt.listen"))
    })?;
    let address =
        *broker.addresses().first().ok_or_else(|| Failure::run("the embedded broker has no address"))?;
    let host = if address.ip().is_unspecified() {
        Ipv4Addr::LOCALHOST.to_string()
    } else {
        address.ip().to_string()
    };
    let login = (!open).then_some(own);
    let (username, password) = login.map_or((None, None), |own| (Some(own.name), Some(own.password)));
    Ok((broker, ExternalBroker { host, port: address.port(), username, password, tls: None }))
}

/// An agent may write the topics of its access point and read what is meant for it; everybody else may do everything.
fn broker_user(user: &EmbeddedUser, site: &Id) -> User {
    let root = Root::new(site);
    let (publish, subscribe) = match &user.ap {
        Some(ap) => {
            let own = root.filter(&format!("ap/{ap}/#"));
            (vec![own.clone()], vec![own, root.filter("tracked")])
        }
        None => (vec!["#".to_owned()], vec!["#".to_owned()]),
    };
    User {
        name: user.name.clone(),
        password: whichroom_broker::Secret::new(user.password.reveal()),
        publish,
        subscribe,
    }
}

#[cfg(test)]
mod tests {
    use whichroom_mqtt::Secret;

    use super::*;

    #[test]
    fn an_access_points_user_may_write_its_own_topics_only() {
        let user = |name: &str, ap: Option<&str>| EmbeddedUser {
            name: name.to_owned(),
            password: Secret::new("x"),
            ap: ap.and_then(|ap| ap.parse().ok()),
        };
        let site: Id = "home".parse().unwrap();
        let access_point = broker_user(&user("ap-hall", Some("hall")), &site);
        assert_eq!(access_point.publish, ["whichroom/home/ap/hall/#"], "not calibrate");
        assert_eq!(broker_user(&user("homeassistant", None), &site).publish, ["#"], "calibrate too");
    }
}
