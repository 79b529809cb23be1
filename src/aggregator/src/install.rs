//! The one line that is pasted on an access point to install the agent from the feed, or to bring it back. `init`
//! prints it, `run` gives it to the page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;

use whichroom_wire::Id;

use crate::config::{BrokerChoice, Config, ExternalBroker, KnownBy};
use crate::web::feed::CA;

/// What the line says of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    feed: String,
    broker: AgentBroker,
    site: Id,
    /// Users of single access points at the embedded broker.
    users: BTreeMap<Id, String>,
    /// The user of all others.
    user: Option<String>,
}

/// A broker as agents are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentBroker {
    /// Its address.
    pub url: String,
    /// How it is known, where it speaks TLS.
    pub known_by: Option<KnownBy>,
}

impl AgentBroker {
    /// One that is spoken to in plain.
    pub fn plain(url: String) -> AgentBroker {
        AgentBroker { url, known_by: None }
    }

    /// A broker that runs anyway, on this machine or another. `own` is the address of this machine for others.
    pub fn external(broker: &ExternalBroker, own: IpAddr) -> AgentBroker {
        let own = is_loopback(&broker.host).then(|| own.to_string());
        AgentBroker {
            url: broker.url_at(own.as_deref().unwrap_or(&broker.host)),
            known_by: broker.tls.as_ref().map(|tls| tls.known_by.clone()),
        }
    }
}

impl Install {
    /// The lines of a configured home, whose broker has this port and whose feed is at `feed`. `own` is the address of
    /// this machine for others.
    pub fn new(config: &Config, broker_port: u16, feed: SocketAddr, own: IpAddr) -> Install {
        let (broker, users, user) = match &config.broker {
            BrokerChoice::External(broker) => {
                (AgentBroker::external(broker, own), BTreeMap::new(), broker.username.clone())
            }
            BrokerChoice::Embedded(broker) => {
                let ip = broker.listen.map_or(Ipv4Addr::LOCALHOST.into(), |listen| listen.ip());
                let address = reached_by(SocketAddr::new(ip, broker_port), own);
                let users = broker.users.iter();
                let users = users.filter_map(|user| Some((user.ap.clone()?, user.name.clone()))).collect();
                (AgentBroker::plain(format!("mqtt://{address}")), users, None)
            }
        };
        Install { feed: feed_url(feed, own), broker, site: config.site.clone(), users, user }
    }

    /// The line for an access point. It asks for the password, if a user needs one.
    pub fn line(&self, ap: &Id) -> String {
        let user = self.users.get(ap).or(self.user.as_ref());
        line(&self.feed, &self.broker, &self.site, ap.as_str(), user.map(|user| (user.as_str(), None)))
    }
}

/// The line for an access point, with its user at the broker and, where it is not to be asked for, the password. For
/// `mqtts://` the installer takes the package with TLS by itself.
pub fn line(
    feed: &str,
    broker: &AgentBroker,
    site: &Id,
    name: &str,
    user: Option<(&str, Option<&str>)>,
) -> String {
    let mut line = format!("wget -qO- {feed}/install.sh | ");
    // Writing to a string does not fail. The password is set for the one command, where no list of processes shows it.
    if let Some((_, Some(password))) = user {
        let _ = write!(line, "WHICHROOM_PASSWORD={} ", shell_word(password));
    }
    let _ = write!(line, "sh -s -- --broker {}", shell_word(&broker.url));
    match &broker.known_by {
        None => {}
        Some(KnownBy::Fingerprint(fingerprint)) => {
            let _ = write!(line, " --fingerprint {fingerprint}");
        }
        Some(KnownBy::Authority { file, .. }) => {
            let ca = if is_of_system(file) { file.display().to_string() } else { format!("{feed}/{CA}") };
            let _ = write!(line, " --ca {}", shell_word(&ca));
        }
    }
    let _ = write!(line, " --site {site} --name {name}");
    if let Some((user, _)) = user {
        let _ = write!(line, " --user {}", shell_word(user));
    }
    line
}

/// The public authorities, which OpenWrt's `ca-bundle` has at the same path; an authority of the home's own is none.
pub fn is_of_system(ca: &Path) -> bool {
    ca.starts_with("/etc/ssl")
}

/// The address of a feed for access points.
pub fn feed_url(listen: SocketAddr, own: IpAddr) -> String {
    format!("http://{}/feed", reached_by(listen, own))
}

/// How others reach what listens here.
fn reached_by(listen: SocketAddr, own: IpAddr) -> SocketAddr {
    if listen.ip().is_unspecified() { SocketAddr::new(own, listen.port()) } else { listen }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A text as one word of a shell's line.
fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-[]".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The address others reach this machine by: the one it would use to talk to them. No packet is sent.
pub fn lan_address() -> IpAddr {
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    probe.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    fn install(text: &str, broker_port: u16) -> Install {
        let (config, remarks) = config::parse(text, Path::new("/nonexistent"));
        let config = config.unwrap_or_else(|| panic!("{remarks:?}"));
        Install::new(&config, broker_port, "0.0.0.0:8738".parse().unwrap(), "192.0.2.7".parse().unwrap())
    }

    #[test]
    fn a_broker_on_this_machine_is_named_as_access_points_reach_it() {
        let line = install("[mqtt]\nurl = \"mqtt://localhost\"\n", 1883).line(&"kitchen".parse().unwrap());
        assert_eq!(
            line,
            "wget -qO- http://192.0.2.7:8738/feed/install.sh | sh -s -- --broker mqtt://192.0.2.7:1883 --site home --name kitchen"
        );
    }

    #[test]
    fn a_broker_with_tls_is_known_to_access_points_as_it_is_here() {
        let print = "0f".repeat(32);
        let pinned = format!("[mqtt]\nurl = \"mqtts://localhost\"\nfingerprint = \"{print}\"\n");
        let line = install(&pinned, 8883).line(&"kitchen".parse().unwrap());
        assert!(
            line.ends_with(&format!(
                "--broker mqtts://192.0.2.7:8883 --fingerprint {print} --site home --name kitchen"
            )),
            "{line}"
        );
        let known_by = |file: &str| Some(KnownBy::Authority { file: file.into(), pem: Vec::new() });
        let site = "home".parse().unwrap();
        for (file, ca) in [
            ("/home/me/ca.pem", "http://s/feed/broker-ca.pem"),
            ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/ca-certificates.crt"),
        ] {
            let broker = AgentBroker { url: "mqtts://nas:8883".to_owned(), known_by: known_by(file) };
            let line = super::line("http://s/feed", &broker, &site, "hall", None);
            assert!(
                line.ends_with(&format!("--broker mqtts://nas:8883 --ca {ca} --site home --name hall")),
                "{line}"
            );
        }
    }

    #[test]
    fn each_access_point_has_its_user_and_no_line_has_a_password() {
        let install = install(
            "[mqtt]\nlisten = \"0.0.0.0:1884\"\n[[mqtt.user]]\nname = \"ap-hall\"\npassword = \"geheim\"\nap = \"hall\"\n\
             [[mqtt.user]]\nname = \"homeassistant\"\npassword = \"geheim\"\n",
            1884,
        );
        let hall = install.line(&"hall".parse().unwrap());
        assert!(
            hall.ends_with("--broker mqtt://192.0.2.7:1884 --site home --name hall --user ap-hall"),
            "{hall}"
        );
        let attic = install.line(&"attic".parse().unwrap());
        assert!(!attic.contains("--user") && !format!("{hall}{attic}").contains("geheim"), "{attic}");
    }

    #[test]
    fn words_with_meaning_for_a_shell_are_quoted() {
        let site = "home".parse().unwrap();
        let broker = AgentBroker::plain("mqtt://b:1".to_owned());
        let line = line("http://s/feed", &broker, &site, "hall", Some(("it's $me", Some("p w"))));
        assert_eq!(
            line,
            "wget -qO- http://s/feed/install.sh | WHICHROOM_PASSWORD='p w' sh -s -- --broker mqtt://b:1 --site home --name hall --user 'it'\\''s $me'"
        );
    }
}
