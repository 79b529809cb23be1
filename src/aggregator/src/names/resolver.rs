//! Asks a name server of the home for the name of an address, over UDP: one question at a time, on the thread of
//! `mod.rs`. Which one: the one the configuration names, else those of `/etc/resolv.conf` that are inside the home.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::book::{Reply, is_of_home};
use super::question::{answer, question};

/// What the system's resolver reads.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where name servers listen.
pub const PORT: u16 = 53;
/// A name server in the home answers in milliseconds.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Largest answer without extensions.
const ANSWER_MAX: usize = 512;

/// Why nobody is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoServer {
    /// `/etc/resolv.conf` names none.
    None,
    /// It names this one, which is outside the home and is not told who lives here.
    Outside(IpAddr),
    /// It cannot be read.
    Unreadable(String),
}

/// The name server to ask.
pub fn name_server(configured: Option<SocketAddr>) -> Result<SocketAddr, NoServer> {
    if let Some(server) = configured {
        return Ok(server);
    }
    let text = fs::read_to_string(RESOLV_CONF);
    let text = text.map_err(|error| NoServer::Unreadable(format!("{RESOLV_CONF}: {error}")))?;
    of_resolv_conf(&text).map(|address| SocketAddr::new(address, PORT))
}

/// The first name server that is inside the home or on this machine.
fn of_resolv_conf(text: &str) -> Result<IpAddr, NoServer> {
    let addresses = || {
        let words = text.lines().map(str::split_ascii_whitespace);
        words.filter_map(|mut words| (words.next()? == "nameserver").then(|| words.next()?.parse().ok())?)
    };
    let is_inside = |address: &IpAddr| address.is_loopback() || is_of_home(*address);
    match (addresses().find(is_inside), addresses().next()) {
        (Some(inside), _) => Ok(inside),
        (None, Some(outside)) => Err(NoServer::Outside(outside)),
        (None, None) => Err(NoServer::None),
    }
}

/// Asks, and waits two seconds at most.
pub fn ask(server: SocketAddr, id: u16, address: IpAddr) -> Reply {
    try_ask(server, id, address).unwrap_or_else(|error| {
        log::debug!("the name of {address} from {server}: {error}");
        Reply::Silence
    })
}

fn try_ask(server: SocketAddr, id: u16, address: IpAddr) -> io::Result<Reply> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // Only the name server's own packets arrive from now on.
    socket.connect(server)?;
    let bytes = question(id, address).ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    socket.send(&bytes)?;
    let until = Instant::now() + ANSWER_WAIT;
    let mut packet = [0; ANSWER_MAX];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Reply::Silence);
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut packet) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error),
        };
        if let Some(answer) = answer(id, address, &packet[..length]) {
            return Ok(Reply::Answer(answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::question::Answer;
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_name_server_inside_the_home_is_asked() {
        let text = "# made by hand\nsearch lan\nnameserver 1.1.1.1\nnameserver\t192.168.1.1 # router\nnameserver fd00::1\n";
        assert_eq!(of_resolv_conf(text), Ok(ip("192.168.1.1")));
        assert_eq!(of_resolv_conf("nameserver 127.0.0.53\n"), Ok(ip("127.0.0.53")));
        assert_eq!(of_resolv_conf("nameserver ::1"), Ok(ip("::1")));
    }

    #[test]
    fn nobody_outside_is_told_who_lives_here() {
        assert_eq!(of_resolv_conf("nameserver 1.1.1.1\n"), Err(NoServer::Outside(ip("1.1.1.1"))));
        assert_eq!(of_resolv_conf("nameserver\nnameserver x\nnameservers 10.0.0.1\n"), Err(NoServer::None));
    }

    /// Answers one question with what `reply` makes of its bytes.
    fn server(reply: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 512];
            let (length, from) = socket.recv_from(&mut bytes).unwrap();
            reply(&bytes[..length]).iter().for_each(|packet| drop(socket.send_to(packet, from)));
        });
        address
    }

    #[test]
    fn garbage_before_the_answer_is_passed_over() {
        let server = server(|question| {
            let mut refused = question.to_vec();
            (refused[2], refused[3]) = (0x80, 0x05);
            let mut other = refused.clone();
            other[0] ^= 1;
            vec![b"\xff".to_vec(), other, refused]
        });
        assert_eq!(ask(server, 77, ip("10.0.0.1")), Reply::Answer(Answer::Nameless));
    }

    #[test]
    fn a_closed_port_is_silence_and_holds_up_nobody() {
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let begun = Instant::now();
        assert_eq!(ask(closed, 1, ip("10.0.0.1")), Reply::Silence);
        assert!(begun.elapsed() < ANSWER_WAIT, "the system says at once that nobody is there");
    }
}
