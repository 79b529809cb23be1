//! Connections of each peer, so that one that opens many, or says nothing on them, leaves room for the others. This machine
//! is not counted: a proxy on it comes for everybody.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::network_of;

/// Connections of one peer; a browser opens six, and one for each page that is kept up to date.
pub(super) const EACH_MAX: usize = 24;

/// Who is connected.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    counts: Mutex<BTreeMap<IpAddr, usize>>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    peer: Option<IpAddr>,
}

impl Crowd {
    /// A place for a connection, unless its peer has too many.
    pub(super) fn enter(self: &Arc<Crowd>, peer: IpAddr) -> Option<Place> {
        let crowd = Arc::clone(self);
        if peer.to_canonical().is_loopback() {
            return Some(Place { crowd, peer: None });
        }
        let peer = network_of(peer);
        let mut counts = self.counts();
        let count = counts.entry(peer).or_default();
        if *count >= EACH_MAX {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place { crowd, peer: Some(peer) })
    }

    /// A count is never half done.
    fn counts(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(peer) = self.peer else { return };
        let mut counts = self.crowd.counts();
        let Some(count) = counts.get_mut(&peer) else { return };
        *count -= 1;
        if *count == 0 {
            counts.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_so_many_places_and_gives_them_back() {
        let crowd = Arc::new(Crowd::default());
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut places: Vec<_> = (0..EACH_MAX).map(|_| crowd.enter(ip("192.168.1.2")).unwrap()).collect();
        assert!(crowd.enter(ip("192.168.1.2")).is_none() && crowd.enter(ip("::ffff:192.168.1.2")).is_none());
        assert!(crowd.enter(ip("192.168.1.3")).is_some(), "another");
        places.pop();
        places.extend(crowd.enter(ip("192.168.1.2")));
        assert_eq!(places.len(), EACH_MAX);
        let local: Vec<_> = (0..100).map(|_| crowd.enter(ip("127.0.0.1"))).collect();
        assert!(local.iter().all(Option::is_some), "a proxy comes for everybody");
        drop(places);
        drop(local);
        assert!(crowd.counts().is_empty(), "nothing is left behind");
    }
}
