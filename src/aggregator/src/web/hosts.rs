//! Which Host headers the page answers to. A page of somebody else's can point its own name at this address and read
//! what it gets (DNS rebinding); it cannot make the browser send another name than its own. Addresses are nobody's names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Names that a browser may ask by.
#[derive(Debug, Clone)]
pub struct Hosts {
    address: SocketAddr,
    /// As given: with a port only that one is meant, without one ours, or none as behind a proxy.
    given: Vec<String>,
}

impl Hosts {
    /// Addresses, `localhost`, and what the configuration allows.
    pub fn new(address: SocketAddr, given: &[String]) -> Hosts {
        Hosts { address, given: given.iter().map(|host| host.trim().to_ascii_lowercase()).collect() }
    }

    /// Whether a request with this Host header is meant for us.
    pub fn allow(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let Some((name, port)) = split(&host) else { return false };
        let is_own_port = port.map_or(self.address.port() == 80, |port| port == self.address.port());
        if is_own_port && is_own_name(name) {
            return true;
        }
        self.given.iter().any(|given| match split(given) {
            Some((allowed, Some(_))) => allowed == name && *given == host,
            Some((allowed, None)) => allowed == name && (is_own_port || port.is_none()),
            None => false,
        })
    }

    /// What to do for a name that is not allowed.
    pub fn refusal(&self, host: &str) -> String {
        let port = self.address.port();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        let is_plain = host.len() <= NAME_MAX && host.bytes().all(is_name);
        let Some((name, given)) = split(host).filter(|_| is_plain) else {
            return "This page does not answer to the name in your address bar.\n".to_owned();
        };
        // With our own port, or with none as behind a proxy, the name alone will do.
        let entry = if given.is_none_or(|given| given == port) { name } else { host };
        format!(
            "This page does not answer to \"{host}\", or any page could read it by a name of its own. If this is a name of \
             this server, add hosts = [\"{entry}\"] under [web] in whichroom.toml and restart; at its address, with port \
             {port}, the page answers anyway.\n"
        )
    }
}

/// Longest name that is repeated.
const NAME_MAX: usize = 255;

/// Whether a name, without its port, needs no entry: an address that somebody can be at, or `localhost`.
fn is_own_name(name: &str) -> bool {
    name == "localhost" || address_of(name).is_some_and(|ip| !ip.is_unspecified())
}

fn address_of(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Whether a Host header names this machine as only this machine does.
pub(super) fn is_loopback_name(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    split(&host).is_some_and(|(name, _)| {
        name == "localhost" || address_of(name).is_some_and(|ip| ip.to_canonical().is_loopback())
    })
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
            "192.168.1.2",
            "192.168.1.2:80",
            "192.168.1:8737",
            "fd00::2:8737",
            "[::]:8737",
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
        for host in ["proxy.lan", "proxy.lan:8737", "[fd00::1]:9001"] {
            assert!(!hosts.allow(host), "{host}");
        }
    }

    #[test]
    fn addresses_are_nobodys_names() {
        for listen in ["0.0.0.0:80", "[::]:80", "127.0.0.1:80"] {
            for host in ["192.168.1.2", "192.168.1.2:80", "[fd00::2]", "[fe80::1]:80", "127.0.0.1"] {
                assert!(hosts(listen, &[]).allow(host), "{host} at {listen}");
            }
            assert!(!hosts(listen, &[]).allow("0.0.0.0") && !hosts(listen, &[]).allow("[::]"));
        }
        assert!(hosts("[fd00::2]:81", &[]).allow("[fd00::2]:81"));
    }

    #[test]
    fn a_refusal_says_what_to_add_and_repeats_nothing_strange() {
        let hosts = hosts("0.0.0.0:8737", &[]);
        for (host, entry) in [
            ("server.local:8737", "hosts = [\"server.local\"]"),
            ("server.local", "hosts = [\"server.local\"]"),
            ("home.example:8443", "hosts = [\"home.example:8443\"]"),
        ] {
            assert!(hosts.refusal(host).contains(entry), "{}", hosts.refusal(host));
        }
        for host in ["<script>", "a\"b", "", "é", &"x".repeat(300)] {
            assert!(!hosts.refusal(host).contains("hosts ="), "{}", hosts.refusal(host));
        }
    }

    #[test]
    fn loopbacks_names_are_known() {
        for host in
            ["localhost", "LOCALHOST:1", "127.0.0.1:8737", "127.1.2.3", "[::1]:80", "[::ffff:127.0.0.1]"]
        {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in ["", "localhost.example", "192.168.1.2", "[::2]", "home.lan", "::1", "127.0.0.1.example"]
        {
            assert!(!is_loopback_name(host), "{host}");
        }
    }
}
