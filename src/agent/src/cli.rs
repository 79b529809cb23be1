//! The command line: what may be said, and what is wrong with what was said, naming the option.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;
use whichroom_wire::Id;

use crate::core::Probes;

pub(crate) const HELP: &str = "\
Reports what this OpenWrt access point hears, over MQTT, to WhichRoom.

Usage: whichroom-agent [options]

  --broker mqtt://HOST[:PORT]  the MQTT broker (mqtt://127.0.0.1:1883)
                               mqtts:// is TLS, in whichroom-agent-tls (:8883)
  --ca FILE                    mqtts: the authority that signed for the broker
  --fingerprint SHA256         mqtts: the broker's certificate itself instead
  --cert FILE                  mqtts: this access point's certificate
  --key FILE                   mqtts: its private key
  --credentials FILE           user and password for the broker: two lines, or
                               username=... and password=...
  --site ID                    the home (home)
  --name ID                    this access point (from the host name)
  --interval SECONDS           between two polls of the stations, 1 to 60 (5)
  --probes tracked|all|off     whose probe requests are reported (tracked: the
                               stations WhichRoom asks for; all: strangers' too)
  --ubus PATH                  ubusd's socket (/var/run/ubus/ubus.sock, or
                               /var/run/ubus.sock)
  --check                      check the options and files, connect nowhere
  --once                       print what is seen as JSON and exit
  -v, --verbose                log more
  -h, --help                   this text
  -V, --version                the version

An ID has 1 to 32 characters out of a-z, 0-9, '_' and '-'.
Exit status: 0 stopped cleanly, 1 gave up, 2 wrong usage or configuration.
";

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Run,
    Check,
    Once,
    Help,
    Version,
}

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether it is spoken to in TLS.
    pub(crate) tls: bool,
}

/// What `mqtts://` needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TlsOptions {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) fingerprint: Option<String>,
}

impl TlsOptions {
    /// The first of them that is there.
    fn first(&self) -> Option<&'static str> {
        let given = [
            ("--ca", self.ca.is_some()),
            ("--cert", self.cert.is_some()),
            ("--key", self.key.is_some()),
            ("--fingerprint", self.fingerprint.is_some()),
        ];
        given.iter().find(|(_, given)| *given).map(|(option, _)| *option)
    }
}

/// The command line, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) broker: Broker,
    pub(crate) tls: TlsOptions,
    pub(crate) credentials: Option<PathBuf>,
    pub(crate) site: Id,
    pub(crate) name: Option<Id>,
    pub(crate) interval_s: u32,
    pub(crate) probes: Probes,
    pub(crate) ubus: Option<PathBuf>,
    pub(crate) verbose: bool,
}

const PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;

/// Reads the command line, without the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, String> {
    let site = "home".parse().map_err(|error| format!("{error}"))?;
    let mut options = Options {
        mode: Mode::Run,
        broker: Broker { host: "127.0.0.1".to_owned(), port: PORT, tls: false },
        tls: TlsOptions::default(),
        credentials: None,
        site,
        name: None,
        interval_s: 5,
        probes: Probes::Tracked,
        ubus: None,
        verbose: false,
    };
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Long("broker") => options.broker = broker(&text(&mut parser, "--broker")?)?,
            Long("ca") => options.tls.ca = Some(path(&mut parser, "--ca")?),
            Long("cert") => options.tls.cert = Some(path(&mut parser, "--cert")?),
            Long("key") => options.tls.key = Some(path(&mut parser, "--key")?),
            Long("fingerprint") => options.tls.fingerprint = Some(text(&mut parser, "--fingerprint")?),
            Long("credentials") => options.credentials = Some(path(&mut parser, "--credentials")?),
            Long("site") => options.site = id(&mut parser, "--site")?,
            Long("name") => options.name = Some(id(&mut parser, "--name")?),
            Long("interval") => options.interval_s = interval(&text(&mut parser, "--interval")?)?,
            Long("probes") => options.probes = probes(&text(&mut parser, "--probes")?)?,
            Long("ubus") => options.ubus = Some(path(&mut parser, "--ubus")?),
            Long("check") => options.mode = Mode::Check,
            Long("once") => options.mode = Mode::Once,
            Short('v') | Long("verbose") => options.verbose = true,
            Short('h') | Long("help") => return Ok(Options { mode: Mode::Help, ..options }),
            Short('V') | Long("version") => return Ok(Options { mode: Mode::Version, ..options }),
            other @ (Short(_) | Long(_) | Value(_)) => {
                return Err(format!("{}; --help lists the options", other.unexpected()));
            }
        }
    }
    match options.tls.first() {
        Some(option) if !options.broker.tls => {
            Err(format!("{option}: only a broker at mqtts:// has use for it"))
        }
        _ => Ok(options),
    }
}

fn text(parser: &mut lexopt::Parser, option: &str) -> Result<String, String> {
    let value = parser.value().map_err(|_| format!("{option}: the value is missing"))?;
    value.string().map_err(|_| format!("{option}: the value is not UTF-8"))
}

fn path(parser: &mut lexopt::Parser, option: &str) -> Result<PathBuf, String> {
    parser.value().map(PathBuf::from).map_err(|_| format!("{option}: the path is missing"))
}

fn id(parser: &mut lexopt::Parser, option: &str) -> Result<Id, String> {
    let text = text(parser, option)?;
    text.parse().map_err(|error| {
        let hint = Id::from_name(&text).map(|id| format!("; how about {id}?")).unwrap_or_default();
        format!("{option} {text:?}: {error}{hint}")
    })
}

fn interval(text: &str) -> Result<u32, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=60).contains(seconds));
    seconds.ok_or_else(|| format!("--interval {text:?}: not a number of seconds from 1 to 60"))
}

fn probes(text: &str) -> Result<Probes, String> {
    match text {
        "tracked" => Ok(Probes::Tracked),
        "all" => Ok(Probes::All),
        "off" => Ok(Probes::Off),
        _ => Err(format!("--probes {text:?}: none of tracked, all and off")),
    }
}

fn broker(text: &str) -> Result<Broker, String> {
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest)) if rest.starts_with("//") => (scheme, &rest[2..]),
        _ => ("mqtt", text),
    };
    let tls = match scheme {
        "mqtt" | "tcp" => false,
        "mqtts" | "ssl" if cfg!(feature = "tls") => true,
        "mqtts" | "ssl" => {
            return Err(format!("--broker: {scheme}:// is TLS: install the package whichroom-agent-tls"));
        }
        // The rest may hold a password, so it is not shown.
        _ => return Err(format!("--broker: {scheme}:// is not supported; use mqtt://")),
    };
    if rest.contains('@') {
        return Err("--broker: user and password do not belong here, where every process sees them; \
                    use --credentials FILE"
            .to_owned());
    }
    let rest = rest.trim_end_matches('/');
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', ' ', '[', ']']);
    let (host, port) = split_port(rest, if tls { TLS_PORT } else { PORT })
        .filter(|(host, _)| is_host(host))
        .ok_or_else(|| format!("--broker {text:?}: not of the form mqtt://HOST:PORT"))?;
    Ok(Broker { host: host.to_owned(), port, tls })
}

/// `[::1]:1883`, `host:1883` or `host`.
fn split_port(text: &str, default: u16) -> Option<(&str, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return Some((host, if after.is_empty() { default } else { port(after.strip_prefix(':')?)? }));
    }
    match text.split_once(':') {
        None => Some((text, default)),
        Some((host, digits)) => Some((host, port(digits)?)),
    }
}

fn port(digits: &str) -> Option<u16> {
    digits.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn every_option_has_a_default() {
        let options = read("").unwrap();
        assert_eq!(options.broker, Broker { host: "127.0.0.1".into(), port: 1883, tls: false });
        assert_eq!((options.site.as_str(), options.interval_s), ("home", 5));
        assert_eq!((options.mode, options.probes, options.name), (Mode::Run, Probes::Tracked, None));
    }

    #[test]
    fn every_option_is_read() {
        let options = read(
            "--broker mqtt://10.0.0.2:11883 --credentials /etc/x --site cabin --name=ap-1 --interval 2 --probes off \
             --ubus /tmp/u.sock --check -v",
        )
        .unwrap();
        assert_eq!(options.broker, Broker { host: "10.0.0.2".into(), port: 11883, tls: false });
        assert_eq!(options.credentials, Some("/etc/x".into()));
        assert_eq!((options.site.as_str(), options.name.unwrap().as_str()), ("cabin", "ap-1"));
        assert_eq!((options.interval_s, options.probes, options.mode), (2, Probes::Off, Mode::Check));
        assert_eq!((options.ubus, options.verbose), (Some("/tmp/u.sock".into()), true));
    }

    #[test]
    fn brokers_are_read_in_every_form() {
        for (text, host, port) in [
            ("mqtt://nas", "nas", 1883),
            ("nas:2", "nas", 2),
            ("tcp://nas:2/", "nas", 2),
            ("mqtt://[fe80::1]:1884", "fe80::1", 1884),
            ("[::1]", "::1", 1883),
        ] {
            assert_eq!(broker(text), Ok(Broker { host: host.into(), port, tls: false }), "{text}");
        }
        for text in ["mqtt://", "nas:0", "nas:99999", "nas:x", "::1", "http://nas", "a b", "mqtt://nas/x"] {
            assert!(broker(text).is_err(), "{text}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_has_a_port_and_options_of_its_own() {
        for (text, port) in [("mqtts://nas", 8883), ("ssl://nas:9", 9), ("mqtts://nas:1883/", 1883)] {
            assert_eq!(broker(text), Ok(Broker { host: "nas".into(), port, tls: true }), "{text}");
        }
        let options = read("--broker mqtts://nas --ca /a --cert /b --key /c --fingerprint ab").unwrap();
        let expected = TlsOptions {
            ca: Some("/a".into()),
            cert: Some("/b".into()),
            key: Some("/c".into()),
            fingerprint: Some("ab".into()),
        };
        assert_eq!(options.tls, expected);
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn without_tls_the_package_that_has_it_is_named() {
        let error = broker("mqtts://nas").unwrap_err();
        assert!(error.contains("whichroom-agent-tls"), "{error}");
    }

    #[test]
    fn what_is_for_tls_is_not_ignored_without_it() {
        for option in ["--ca", "--cert", "--key", "--fingerprint"] {
            let error = read(&format!("--broker mqtt://nas {option} x")).unwrap_err();
            assert!(error.starts_with(option) && error.contains("mqtts://"), "{error}");
        }
    }

    #[test]
    fn a_password_on_the_command_line_is_refused_and_not_repeated() {
        for text in ["mqtt://me:hunter2@nas", "amqp://me:hunter2@nas", "me:hunter2@nas"] {
            let error = broker(text).unwrap_err();
            assert!(error.starts_with("--broker") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn mistakes_name_the_option() {
        for (line, word) in [
            ("--interval 0", "--interval"),
            ("--interval", "--interval"),
            ("--probes some", "--probes"),
            ("--name Küche", "how about kuche?"),
            ("--site a/b", "--site"),
            ("--frobnicate", "--frobnicate"),
            ("stray", "stray"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
