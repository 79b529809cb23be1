//! Which Host headers the page answers to. A page of somebody else's can point its own name at this address and read
//! what it gets (DNS rebinding); it cannot make the browser send another name than its own.

use std::net::{IpAddr, SocketAddr};

/// Names that a browser may ask by.
#[derive(Debug, Clone)]
pub struct Hosts {
    address: SocketAddr,
    /// As given: with a port only that one is meant, without one ours, or none as behind a proxy.
    given: Vec<String>,
}

impl Hosts {
    /// Loopback's names, the address that is listened on, and what the configuration allows.
    pub fn new(address: SocketAddr, given: &[String]) -> Hosts {
        Hosts { address, given: given.iter().map(|host| host.trim().to_ascii_lowercase()).collect() }
    }

    /// Whether a request with this Host header is meant for us.
    pub fn allow(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let Some((name, port)) = split(&host) else { return false };
        let is_own_port = port.map_or(self.address.port() == 80, |port| port == self.address.port());
        if is_own_port && self.is_own_name(name) {
            return true;
        }
        self.given.iter().any(|given| match split(given) {
            Some((allowed, Some(_))) => allowed == name && *given == host,
            Some((allowed, None)) => allowed == name && (is_own_port || port.is_none()),
            None => false,
        })
    }

    fn is_own_name(&self, name: &str) -> bool {
        if name == "localhost" {
            return true;
        }
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let Ok(ip) = bare.parse::<IpAddr>() else { return false };
        ip.is_loopback() || (ip == self.address.ip() && !ip.is_unspecified())
    }
}

/// Name and port; `None` if there is no name, or the port is no number.
fn split(host: &str) -> Option<(&str, Option<u16>)> {
    // The colons of an IPv6 address are inside its brackets.
    let after_brackets = host.rfind(']').map_or(0, |at| at + 1);
    let (name, port) = match host[after_brackets..].rfind(':') {
        Some(at) => {
            let (name, port) = host.split_at(after_brackets + at);
            (name, Some(port[1..].parse().ok()?))
        }
        None => (host, None),
    };
    (!name.is_empty()).then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(address: &str, given: &[&str]) -> Hosts {
        let given: Vec<String> = given.iter().map(|&host| host.to_owned()).collect();
        Hosts::new(address.parse().unwrap(), &given)
    }

    #[test]
    fn loopback_has_several_names() {
        let hosts = hosts("127.0.0.1:8737", &[]);
        for host in ["127.0.0.1:8737", "localhost:8737", "LOCALHOST:8737", "[::1]:8737"] {
            assert!(hosts.allow(host), "{host}");
        }
    }

    #[test]
    fn strangers_and_other_ports_are_refused() {
        let hosts = hosts("127.0.0.1:8737", &["home.lan"]);
        for host in [
            "",
            ":",
            ":8737",
            "evil.example:8737",
            "localhost",
            "localhost:80",
            "127.0.0.1:8738",
            "localhost:8737:1",
            "localhost.evil.example:8737",
            "127.0.0.1.evil.example:8737",
            "evil.example",
            "localhost:x",
            "]:8737",
            "[::1",
            "192.168.1.2:8737",
            "home.lan:1",
            "home.lan.:8737",
            "0.0.0.0:8737",
            "é:8737",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
    }

    #[test]
    fn given_names_are_meant_with_our_port_or_as_given() {
        let hosts = hosts("127.0.0.1:8737", &["Home.lan", "proxy.lan:8443", "[fd00::1]:9000"]);
        for host in ["home.lan", "home.lan:8737", "proxy.lan:8443", "[fd00::1]:9000"] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in ["proxy.lan", "proxy.lan:8737", "[fd00::1]:8737"] {
            assert!(!hosts.allow(host), "{host}");
        }
    }

    #[test]
    fn the_address_listened_on_is_a_name_of_ours() {
        assert!(hosts("192.168.1.2:80", &[]).allow("192.168.1.2"));
        assert!(hosts("[fd00::2]:81", &[]).allow("[fd00::2]:81"));
        assert!(!hosts("0.0.0.0:81", &[]).allow("0.0.0.0:81"));
    }
}
