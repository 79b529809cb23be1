//! How often somebody may guess: five times at once, then once a minute, each peer by itself. An IPv6 peer is its whole
//! /64, since it may choose freely within it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Guesses that are free.
const FREE: u64 = 5;
/// A guess is forgotten after this.
const EACH_MS: u64 = 60_000;
/// Peers that are kept; the one that guessed least goes.
const PEERS_MAX: usize = 1_024;

/// Guesses of all peers.
#[derive(Debug, Default)]
pub struct Attempts {
    /// When the last guess of a peer is forgotten, in milliseconds of the monotonic clock.
    forgotten_at_ms: BTreeMap<IpAddr, u64>,
}

impl Attempts {
    /// Counts a guess that is about to be made. An error says in how many seconds the next is allowed.
    pub fn begin(&mut self, peer: IpAddr, now_ms: u64) -> Result<(), u64> {
        let peer = network_of(peer);
        let at_ms = self.forgotten_at_ms.get(&peer).copied().unwrap_or(0).max(now_ms);
        let full_ms = now_ms + (FREE - 1) * EACH_MS;
        if at_ms > full_ms {
            return Err((at_ms - full_ms).div_ceil(1_000));
        }
        if self.forgotten_at_ms.len() >= PEERS_MAX && !self.forgotten_at_ms.contains_key(&peer) {
            self.make_room(now_ms);
        }
        self.forgotten_at_ms.insert(peer, at_ms + EACH_MS);
        Ok(())
    }

    /// It was no guess: the peer knows.
    pub fn forgive(&mut self, peer: IpAddr) {
        self.forgotten_at_ms.remove(&network_of(peer));
    }

    fn make_room(&mut self, now_ms: u64) {
        self.forgotten_at_ms.retain(|_, at_ms| *at_ms > now_ms);
        if self.forgotten_at_ms.len() < PEERS_MAX {
            return;
        }
        let least = self.forgotten_at_ms.iter().min_by_key(|(_, at_ms)| **at_ms).map(|(peer, _)| *peer);
        if let Some(peer) = least {
            self.forgotten_at_ms.remove(&peer);
        }
    }
}

/// What a peer cannot choose of its address.
pub fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn five_at_once_then_one_a_minute() {
        let (mut attempts, peer) = (Attempts::default(), ip("192.168.1.2"));
        for _ in 0..FREE {
            assert_eq!(attempts.begin(peer, 1_000), Ok(()));
        }
        assert_eq!(attempts.begin(peer, 1_000), Err(60));
        assert_eq!(attempts.begin(peer, 60_999), Err(1));
        assert_eq!(attempts.begin(peer, 61_000), Ok(()));
        assert_eq!(attempts.begin(peer, 61_000), Err(60));
        assert_eq!(attempts.begin(ip("192.168.1.3"), 61_000), Ok(()), "nobody pays for another");
        attempts.forgive(peer);
        assert_eq!(attempts.begin(peer, 61_000), Ok(()));
    }

    #[test]
    fn who_may_choose_an_address_gains_nothing() {
        let mut attempts = Attempts::default();
        for host in 1..=FREE {
            assert_eq!(attempts.begin(ip(&format!("fd00::{host}")), 0), Ok(()));
        }
        assert!(attempts.begin(ip("fd00::ffff:1:2:3"), 0).is_err());
        assert!(attempts.begin(ip("fd00:0:0:1::1"), 0).is_ok(), "another network");
        for _ in 0..FREE {
            assert_eq!(attempts.begin(ip("::ffff:192.168.1.2"), 0), Ok(()));
        }
        assert!(attempts.begin(ip("192.168.1.2"), 0).is_err(), "IPv4, whichever way it comes");
    }

    proptest::proptest! {
        #[test]
        fn memory_is_bounded_and_no_peer_guesses_more_than_is_allowed(
            steps in proptest::collection::vec((0u32..3_000, 0u64..5_000), 0..4_000)
        ) {
            let (mut attempts, mut now_ms, mut made) = (Attempts::default(), 0, 0_u64);
            for (peer, wait_ms) in steps {
                now_ms += wait_ms;
                let _ = attempts.begin(IpAddr::V4(peer.into()), now_ms);
                made += u64::from(attempts.begin(IpAddr::V4([255; 4].into()), now_ms).is_ok());
                proptest::prop_assert!(attempts.forgotten_at_ms.len() <= PEERS_MAX);
            }
            proptest::prop_assert!(made <= FREE + now_ms / EACH_MS);
        }
    }
}
