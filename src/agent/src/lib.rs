//! Reports what an OpenWrt access point hears over MQTT: the program. What it does is in [`core`], what it talks to
//! in [`shell`].

mod cli;
mod collector;
mod core;
mod credentials;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod identity;
mod logger;
mod outbox;
mod reader;
mod requests;
#[cfg(test)]
mod scenarios;
mod shell;
mod sorted;
mod table;
#[cfg(test)]
mod testing;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use whichroom_mqtt::{Protocol, Publish};
use whichroom_ubus::PATHS;
use whichroom_wire::{AGENT_PAYLOAD_MAX, Root, Topic};

use crate::cli::{Mode, Options};
use crate::core::{Config, Core, Outgoing, Probes};
use crate::credentials::Credentials;
use crate::shell::Shell;
use crate::tls::Loaded;

const KEEP_ALIVE: Duration = Duration::from_secs(20);
const GAVE_UP: u8 = 1;
const WRONG_USAGE: u8 = 2;

/// Why the program ends other than cleanly.
enum Failure {
    Usage(String),
    GaveUp(String),
}

/// The program: reads the command line, and runs until it is stopped.
pub fn main() -> ExitCode {
    // A thread that is gone would leave an agent that looks alive: procd starts a new one instead.
    std::panic::set_hook(Box::new(|panic| {
        let _ = writeln!(io::stderr(), "level=error msg=\"{panic}\"");
        std::process::exit(GAVE_UP.into());
    }));
    let (text, code) = match cli::parse(std::env::args_os().skip(1)).map_err(Failure::Usage).and_then(start) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => (text, WRONG_USAGE),
        Err(Failure::GaveUp(text)) => (text, GAVE_UP),
    };
    let _ = writeln!(io::stderr(), "whichroom-agent: {text}");
    ExitCode::from(code)
}

fn start(options: Options) -> Result<(), Failure> {
    match options.mode {
        Mode::Help => print(cli::HELP),
        Mode::Version => print(&format!("whichroom-agent {}\n", env!("CARGO_PKG_VERSION"))),
        Mode::Check => check(&options),
        Mode::Once => once(options),
        Mode::Run => run(options),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::GaveUp(format!("stdout: {error}")))
}

fn config(options: &Options) -> Result<Config, Failure> {
    let ap = options.name.clone().map_or_else(identity::name, Ok).map_err(Failure::Usage)?;
    Ok(Config {
        site: options.site.clone(),
        ap,
        node: identity::node(),
        boot: identity::boot().map_err(Failure::GaveUp)?,
        interval_ms: u64::from(options.interval_s) * 1000,
        probes: options.probes,
        release: identity::release(),
    })
}

fn read_credentials(options: &Options) -> Result<Option<Credentials>, Failure> {
    options.credentials.as_deref().map(credentials::read).transpose().map_err(Failure::Usage)
}

/// For `mqtts://` only.
fn load_tls(options: &Options) -> Result<Option<Loaded>, Failure> {
    options.broker.tls.then(|| tls::load(&options.tls)).transpose().map_err(Failure::Usage)
}

fn client_id(config: &Config) -> String {
    format!("wr-{}-{}-{}", config.site, config.ap, config.node)
}

fn run(options: Options) -> Result<(), Failure> {
    logger::start(options.verbose);
    let credentials = read_credentials(&options)?;
    if let Some(warning) = credentials.as_ref().and_then(|credentials| credentials.warning.as_ref()) {
        log::warn!("{warning}");
    }
    let tls = load_tls(&options)?;
    if let Some(warning) = tls.as_ref().and_then(|loaded| loaded.warning.as_ref()) {
        log::warn!("{warning}");
    }
    let config = config(&options)?;
    log::info!(
        "{} of site {}, broker {}:{}",
        config.ap,
        config.site,
        options.broker.host,
        options.broker.port
    );
    let (username, password) =
        credentials.map_or((None, None), |credentials| (Some(credentials.username), credentials.password));
    let client_id = client_id(&config);
    let core = Core::new(config, 0);
    let Outgoing { topic, payload, retain } = core.will();
    let mqtt = whichroom_mqtt::Options {
        host: options.broker.host,
        port: options.broker.port,
        username,
        password,
        client_id,
        keep_alive: KEEP_ALIVE,
        will: Some(Publish { topic, payload, retain }),
        will_delay_s: 0,
        packet_max: AGENT_PAYLOAD_MAX,
        protocol: Protocol::V4,
        clean_session: true,
        tls: tls.map(|loaded| loaded.tls),
    };
    Shell::new(core, options.probes, options.ubus).run(mqtt).map_err(Failure::GaveUp)
}

fn once(options: Options) -> Result<(), Failure> {
    logger::start(options.verbose);
    let core = Core::new(config(&options)?, 0);
    let messages = Shell::new(core, options.probes, options.ubus).once().map_err(|why| {
        Failure::GaveUp(format!(
            "{why}\nIs this an OpenWrt router, and ubusd running? Another socket is named with --ubus PATH."
        ))
    })?;
    let body =
        messages.map(|(name, json)| format!("\"{name}\":{}", String::from_utf8_lossy(&json))).join(",\n");
    print(&format!("{{{body}}}\n"))
}

fn check(options: &Options) -> Result<(), Failure> {
    let credentials = read_credentials(options)?;
    let tls = load_tls(options)?;
    let config = config(options)?;
    let root = Root::new(&config.site);
    let login = match &credentials {
        Some(credentials) => format!("as {:?}", credentials.username),
        None => "without a user".to_owned(),
    };
    let probes = match options.probes {
        Probes::Tracked => "of the stations that WhichRoom tracks",
        Probes::All => "of all stations, strangers' too",
        Probes::Off => "of nobody",
    };
    let ubus = options.ubus.as_deref().unwrap_or(Path::new(PATHS[0]));
    let mut text = format!(
        "connect to {}:{} {}{login}, with the client id {}\n\
         publish below {}\n\
         poll the stations every {} s\n\
         report probes {probes}\n\
         use ubus at {}{}\n\
         hardware id {}, OpenWrt {}\n",
        options.broker.host,
        options.broker.port,
        if tls.is_some() { "in TLS " } else { "" },
        client_id(&config),
        root.full(&Topic::ApStatus(config.ap.clone())).trim_end_matches("status"),
        options.interval_s,
        ubus.display(),
        if ubus.exists() { "" } else { " (not there now)" },
        config.node,
        config.release.as_deref().unwrap_or("release unknown"),
    );
    if let Some(warning) = credentials.and_then(|credentials| credentials.warning) {
        text.push_str(&format!("warning: {warning}\n"));
    }
    if let Some(warning) = tls.and_then(|loaded| loaded.warning) {
        text.push_str(&format!("warning: {warning}\n"));
    }
    print(&text)
}
