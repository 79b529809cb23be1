//! What `init` prints when the file is written: what to start, and what to paste on each access point.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use whichroom_wire::Id;

use super::answers::{Answers, Broker, external};
use crate::config::KnownBy;
use crate::install::{self, AgentBroker};

/// What to do next, with the lines to paste.
pub(super) fn next_steps(answers: &Answers, file: &Path, address: IpAddr) -> String {
    let broker = agent_broker(&answers.broker, address);
    let mut text = format!("Start it:\n\n  whichroom run --config {}\n", file.display());
    if let Broker::Embedded { home_assistant_password, .. } = &answers.broker {
        let _ = write!(
            text,
            "\nHome Assistant: add the MQTT integration with broker {},\nuser homeassistant, password {home_assistant_password}\n",
            broker.url
        );
    }
    if let Some(page) = answers.page {
        let ip = if page.ip().is_unspecified() { address } else { page.ip() };
        let _ = write!(
            text,
            "\nThe page: http://{}/\nThe log shows a one-time code, with which it takes a password.\n",
            SocketAddr::new(ip, page.port())
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
