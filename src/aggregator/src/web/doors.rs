//! Who comes to the page by which address, and whether they sign in: what `whichroom check` and the first lines of the log
//! say of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::access::Scope;
use crate::config::{SignIn, Web};

/// Whether others than this machine come to a page that listens there: by themselves, or through a proxy by a name.
pub fn is_open(listen: SocketAddr, hosts: &[String]) -> bool {
    !listen.ip().to_canonical().is_loopback() || !hosts.is_empty()
}

/// The same port at loopback, where an address is every address.
pub fn at_loopback(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

/// Every way in, one a line. `lan` is this machine's address on its network.
pub fn doors(listen: SocketAddr, web: &Web, lan: IpAddr) -> Vec<String> {
    let local = at_loopback(listen);
    let mut doors = Vec::new();
    if local.ip().to_canonical().is_loopback() {
        doors.push(match web.sign_in {
            SignIn::Network => format!("page http://{local}/ for this machine, without sign-in"),
            SignIn::Always => format!("page http://{local}/ for this machine, after sign-in"),
        });
    }
    if listen.ip().is_unspecified() {
        let address = SocketAddr::new(lan, listen.port());
        doors.push(format!("page http://{address}/ for the network, after sign-in"));
    } else if !listen.ip().to_canonical().is_loopback() {
        doors.push(format!("page http://{listen}/ for the network and this machine, after sign-in"));
    }
    if !web.hosts.is_empty() {
        doors.push(format!("page as {}, after sign-in", web.hosts.join(", ")));
    }
    doors.extend(web.tokens.iter().map(|token| {
        let what = match token.scope {
            Scope::Read => "look",
            Scope::All => "look and change",
        };
        format!("page for who shows the token {}, to {what}", token.name)
    }));
    doors
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn said(listen: &str, more: &str) -> Vec<String> {
        let text = format!("[web]\nlisten = \"{listen}\"\n{more}");
        let (config, remarks) = crate::config::parse(&text, Path::new("/nonexistent"));
        let web = config.unwrap_or_else(|| panic!("{remarks:?}")).web;
        doors(listen.parse().unwrap(), &web, "192.168.1.10".parse().unwrap())
    }

    #[test]
    fn every_way_in_is_said() {
        assert_eq!(
            said("127.0.0.1:8737", ""),
            ["page http://127.0.0.1:8737/ for this machine, without sign-in"]
        );
        assert_eq!(
            said("0.0.0.0:8737", "hosts = [\"server.local\"]\n"),
            [
                "page http://127.0.0.1:8737/ for this machine, without sign-in",
                "page http://192.168.1.10:8737/ for the network, after sign-in",
                "page as server.local, after sign-in",
            ]
        );
        assert_eq!(
            said("192.168.1.10:80", ""),
            ["page http://192.168.1.10:80/ for the network and this machine, after sign-in"]
        );
        assert_eq!(
            said("[::]:8737", "sign_in = \"always\"\n"),
            [
                "page http://[::1]:8737/ for this machine, after sign-in",
                "page http://192.168.1.10:8737/ for the network, after sign-in",
            ]
        );
    }

    #[test]
    fn who_comes_only_from_here_waits_for_no_code() {
        let address = |text: &str| text.parse().unwrap();
        assert!(!is_open(address("127.0.0.1:1"), &[]) && !is_open(address("[::1]:1"), &[]));
        assert!(is_open(address("0.0.0.0:1"), &[]) && is_open(address("192.168.1.10:1"), &[]));
        assert!(is_open(address("127.0.0.1:1"), &["home.lan".to_owned()]), "a proxy");
    }
}
