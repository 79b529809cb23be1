//! The stations of this access point, and what of a poll is news. Notifications change the table at once, polls
//! correct it: some drivers never notify, and a notification may be forged or lost.

use whichroom_wire::{Change, EventWhat, Mac, Station};

use crate::collector::{Associated, Client};
use crate::sorted::Sorted;

/// Stations kept; their table fits the largest message.
pub(crate) const STATIONS_MAX: usize = 1024;
/// A silence is news when it passes one of these. A phone in a pocket is silent for ten or twenty seconds all the time,
/// and the table tells that soon enough.
const SILENCE_STEPS_MS: [u64; 4] = [30_000, 60_000, 120_000, 300_000];
/// A signal is news when it moved this much.
const SIGNAL_STEP_DB: u8 = 2;
/// After an association the key handshake takes this long at most; until then polls look for its end.
const HANDSHAKE_MS: u64 = 5_000;

/// A BSS that came back after a reload lists nobody yet: who was there is kept this long.
const RETURN_MS: u64 = 30_000;

/// BSSID first.
type Key = (Mac, Mac);

#[derive(Debug, Clone)]
struct Entry {
    authorized: bool,
    signal_dbm: Option<i8>,
    rx_packets: Option<u64>,
    rx_bytes: Option<u64>,
    rrm: Option<u8>,
    /// When the driver last heard it. Before the agent's start it is negative.
    active_ms: Option<i64>,
    connected_ms: Option<i64>,
    since_ms: u64,
    /// A notification said that it leaves: its absence is no news.
    leaving: bool,
    /// Its BSS went and came back without it, and until then it may follow.
    awaited_until_ms: Option<u64>,
    told_signal_dbm: Option<i8>,
    told_step: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: Sorted<Key, Entry>,
    changed: bool,
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

impl Entry {
    fn new(now_ms: u64) -> Entry {
        Entry {
            authorized: false,
            signal_dbm: None,
            rx_packets: None,
            rx_bytes: None,
            rrm: None,
            active_ms: None,
            connected_ms: None,
            since_ms: now_ms,
            leaving: false,
            awaited_until_ms: None,
            told_signal_dbm: None,
            told_step: 0,
        }
    }

    fn inactive_ms(&self, now_ms: u64) -> Option<u64> {
        Some(u64::try_from(signed(now_ms).saturating_sub(self.active_ms?)).unwrap_or(0))
    }

    fn step(&self, now_ms: u64) -> usize {
        let inactive_ms = self.inactive_ms(now_ms).unwrap_or(0);
        SILENCE_STEPS_MS.iter().take_while(|step| **step <= inactive_ms).count()
    }

    fn update(&mut self, client: &Client, now_ms: u64) {
        // Counters wrap and restart, so any other value is progress. It came since the last poll: to within that.
        let moved =
            self.rx_packets.is_some() && client.rx_packets.is_some() && self.rx_packets != client.rx_packets;
        if moved {
            self.active_ms = Some(signed(now_ms));
        }
        self.signal_dbm = client.signal_dbm.or(self.signal_dbm);
        self.rx_packets = client.rx_packets.or(self.rx_packets);
        self.rx_bytes = client.rx_bytes.or(self.rx_bytes);
        self.rrm = client.rrm.or(self.rrm);
        self.leaving = false;
        self.awaited_until_ms = None;
    }

    fn join(&mut self, other: &Associated, now_ms: u64) {
        // Its packet counters are the driver's own, as those of `get_clients`: one set is enough.
        self.signal_dbm = other.signal_dbm.or(self.signal_dbm);
        self.rx_packets = self.rx_packets.or(other.rx_packets);
        self.rx_bytes = self.rx_bytes.or(other.rx_bytes);
        if let Some(inactive_ms) = other.inactive_ms {
            self.active_ms = Some(signed(now_ms).saturating_sub(signed(inactive_ms)));
        }
        if let Some(connected_s) = other.connected_s {
            self.connected_ms = Some(signed(now_ms).saturating_sub(signed(connected_s.saturating_mul(1000))));
        }
    }

    /// The change in signal, silence or traffic that is news.
    fn news(&mut self, now_ms: u64) -> Option<Change> {
        let step = self.step(now_ms);
        let moved = match (self.told_signal_dbm, self.signal_dbm) {
            (Some(told), Some(now)) => told.abs_diff(now) >= SIGNAL_STEP_DB,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if !self.authorized || (!moved && step == self.told_step) {
            return None;
        }
        self.told_signal_dbm = self.signal_dbm;
        self.told_step = step;
        Some(Change::Signal {
            signal_dbm: self.signal_dbm,
            inactive_ms: self.inactive_ms(now_ms),
            rx_packets: self.rx_packets,
            rx_bytes: self.rx_bytes,
        })
    }

    fn station(&self, (bssid, mac): Key, now_ms: u64) -> Station {
        let connected_ms = self.connected_ms.map(|at| signed(now_ms).saturating_sub(at));
        Station {
            signal_dbm: self.signal_dbm,
            inactive_ms: self.inactive_ms(now_ms),
            connected_s: connected_ms.and_then(|ms| u64::try_from(ms / 1000).ok()),
            rx_packets: self.rx_packets,
            rx_bytes: self.rx_bytes,
            rrm: self.rrm,
            ..Station::new(mac, bssid, self.authorized)
        }
    }
}

fn event(bssid: Mac, mac: Mac, change: Change) -> EventWhat {
    EventWhat::Station { mac, bssid, change }
}

impl Table {
    /// Takes a poll of a BSS and gives what is news. The first poll of a BSS that just came up is `quiet`: the
    /// table says it all, and who is missing went with the BSS and is waited for.
    pub(crate) fn handle_clients(
        &mut self,
        bssid: Mac,
        clients: &[Client],
        quiet: bool,
        now_ms: u64,
    ) -> Vec<EventWhat> {
        let mut news = self.handle_absent(bssid, clients, quiet, now_ms);
        for client in clients {
            news.extend(
                self.handle_client(bssid, client, quiet, now_ms)
                    .map(|change| event(bssid, client.mac, change)),
            );
        }
        news
    }

    fn handle_absent(&mut self, bssid: Mac, clients: &[Client], quiet: bool, now_ms: u64) -> Vec<EventWhat> {
        let mut gone = Vec::new();
        for (key, entry) in self.entries.iter_mut().filter(|(key, _)| key.0 == bssid) {
            if clients.iter().any(|client| client.mac == key.1) {
                continue;
            }
            if quiet {
                entry.awaited_until_ms = Some(now_ms + RETURN_MS);
            }
            if entry.awaited_until_ms.is_none_or(|until_ms| until_ms <= now_ms) {
                gone.push(*key);
            }
        }
        let mut news = Vec::new();
        for key in gone {
            self.changed = true;
            let told = self
                .entries
                .remove(&key)
                .is_none_or(|entry| entry.leaving || entry.awaited_until_ms.is_some());
            if !told {
                news.push(event(bssid, key.1, Change::Left));
            }
        }
        news
    }

    fn handle_client(&mut self, bssid: Mac, client: &Client, quiet: bool, now_ms: u64) -> Option<Change> {
        let key = (bssid, client.mac);
        let Some(entry) = self.entries.get_mut(&key) else {
            let mut entry = Entry::new(now_ms);
            entry.update(client, now_ms);
            entry.authorized = client.authorized;
            entry.told_signal_dbm = client.signal_dbm;
            let joined = Change::Joined { authorized: client.authorized, signal_dbm: client.signal_dbm };
            return (self.insert(key, entry) && !quiet).then_some(joined);
        };
        entry.update(client, now_ms);
        if entry.authorized == client.authorized {
            return entry.news(now_ms);
        }
        entry.authorized = client.authorized;
        self.changed = true;
        // No notification told of it: hostapd before 23.05 has none for the end of the handshake.
        Some(if client.authorized { Change::Authorized { auth_alg: None } } else { Change::Disassoc })
    }

    fn insert(&mut self, key: Key, entry: Entry) -> bool {
        if self.entries.len() >= STATIONS_MAX {
            return false;
        }
        self.entries.insert(key, entry);
        self.changed = true;
        true
    }

    /// Joins what `iwinfo` knows to the stations of a BSS, and gives what is news. Who is in the table is none of
    /// its business: it misses stations of dynamic VLANs.
    pub(crate) fn handle_assoclist(
        &mut self,
        bssid: Mac,
        others: &[Associated],
        now_ms: u64,
    ) -> Vec<EventWhat> {
        let mut news = Vec::new();
        for other in others {
            let Some(entry) = self.entries.get_mut(&(bssid, other.mac)) else { continue };
            entry.join(other, now_ms);
            news.extend(entry.news(now_ms).map(|change| event(bssid, other.mac, change)));
        }
        news
    }

    /// Takes what a notification said.
    pub(crate) fn handle_change(&mut self, bssid: Mac, mac: Mac, change: &Change, now_ms: u64) {
        let key = (bssid, mac);
        match change {
            Change::Assoc { signal_dbm } => self.associate(key, *signal_dbm, now_ms),
            Change::Authorized { .. } => self.authorize(key, now_ms),
            Change::Disassoc | Change::LocalDeauth | Change::InactiveDeauth => self.leave(key, true),
            // Said before hostapd looks whether it knows the station: anyone can send it.
            Change::Deauth => self.leave(key, false),
            Change::Signal { .. }
            | Change::Joined { .. }
            | Change::Left
            | Change::Probe { .. }
            | Change::BeaconReport { .. }
            | Change::KeyMismatch => {}
        }
    }

    fn associate(&mut self, key: Key, signal_dbm: Option<i8>, now_ms: u64) {
        let mut entry = Entry::new(now_ms);
        entry.active_ms = Some(signed(now_ms));
        entry.signal_dbm = signal_dbm;
        entry.told_signal_dbm = signal_dbm;
        if let Some(known) = self.entries.get_mut(&key) {
            // A station that associates anew starts over, except for what only polls know.
            *known = Entry { rrm: known.rrm, ..entry };
            self.changed = true;
        } else {
            self.insert(key, entry);
        }
    }

    fn authorize(&mut self, key: Key, now_ms: u64) {
        if self.entries.get(&key).is_none() {
            self.insert(key, Entry::new(now_ms));
        }
        let Some(entry) = self.entries.get_mut(&key) else { return };
        self.changed |= !entry.authorized;
        entry.authorized = true;
        entry.leaving = false;
        entry.active_ms = Some(signed(now_ms));
        entry.connected_ms = Some(signed(now_ms));
    }

    fn leave(&mut self, key: Key, certain: bool) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.leaving = true;
        if certain {
            self.changed |= entry.authorized;
            entry.authorized = false;
        }
    }

    /// Forgets a BSS that is gone for good.
    pub(crate) fn remove_bss(&mut self, bssid: Mac) {
        let before = self.entries.len();
        self.entries.retain(|(of, _), _| *of != bssid);
        self.changed |= self.entries.len() != before;
    }

    /// Whether a key handshake at this BSS may be under way.
    pub(crate) fn is_handshaking(&self, bssid: Mac, now_ms: u64) -> bool {
        let young =
            |entry: &Entry| !entry.authorized && !entry.leaving && entry.since_ms + HANDSHAKE_MS > now_ms;
        self.entries.iter().any(|(key, entry)| key.0 == bssid && young(entry))
    }

    /// Whether there is a station of this BSS of which only `iwinfo` can say since when it is silent.
    pub(crate) fn is_in_doubt(&self, bssid: Mac) -> bool {
        self.entries
            .iter()
            .any(|(key, entry)| key.0 == bssid && entry.authorized && entry.active_ms.is_none())
    }

    /// Whether stations were added, removed, or gained or lost their authorisation since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What a station's entry at the BSS with the least silence says: its BSSID, first RRM octet and silence.
    pub(crate) fn find(&self, mac: Mac, now_ms: u64) -> Option<(Mac, Option<u8>, Option<u64>)> {
        let known = self.entries.iter().filter(|((_, station), entry)| *station == mac && entry.authorized);
        known
            .map(|((bssid, _), entry)| (*bssid, entry.rrm, entry.inactive_ms(now_ms)))
            .min_by_key(|(_, _, inactive_ms)| inactive_ms.unwrap_or(u64::MAX))
    }

    /// The table as it is published.
    pub(crate) fn stations(&self, now_ms: u64) -> Vec<Station> {
        self.entries.iter().map(|(key, entry)| entry.station(*key, now_ms)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BSS: Mac = Mac::new([2, 0xb5, 0, 0, 0, 1]);
    const PHONE: Mac = Mac::new([2, 0xaa, 0, 0, 0, 1]);

    fn client(authorized: bool, signal_dbm: i8, rx_packets: u64) -> Client {
        Client {
            mac: PHONE,
            authorized,
            signal_dbm: Some(signal_dbm),
            rx_packets: Some(rx_packets),
            rx_bytes: Some(rx_packets * 100),
            rrm: Some(0x73),
        }
    }

    fn associated(signal_dbm: i8, inactive_ms: u64) -> Associated {
        Associated {
            mac: PHONE,
            signal_dbm: Some(signal_dbm),
            inactive_ms: Some(inactive_ms),
            connected_s: Some(100),
            rx_packets: None,
            rx_bytes: None,
        }
    }

    fn kinds(news: &[EventWhat]) -> Vec<&'static str> {
        let kind = |what: &EventWhat| match what {
            EventWhat::Station { change, .. } => change.kind(),
            EventWhat::Answer { .. } => "answer",
        };
        news.iter().map(kind).collect()
    }

    fn polled() -> Table {
        let mut table = Table::default();
        assert_eq!(kinds(&table.handle_clients(BSS, &[client(true, -50, 1)], true, 0)), [""; 0]);
        table
    }

    #[test]
    fn silent_subscription_polls_find_who_came_and_who_left() {
        let mut table = Table::default();
        assert_eq!(kinds(&table.handle_clients(BSS, &[], true, 0)), [""; 0]);
        assert_eq!(kinds(&table.handle_clients(BSS, &[client(true, -50, 1)], false, 0)), ["joined"]);
        assert!(table.take_changed());
        assert_eq!(kinds(&table.handle_clients(BSS, &[], false, 5_000)), ["left"]);
        assert!(table.take_changed());
        assert!(table.stations(5_000).is_empty());
    }

    #[test]
    fn what_a_notification_told_is_not_told_again() {
        let mut table = Table::default();
        table.handle_change(BSS, PHONE, &Change::Assoc { signal_dbm: Some(-50) }, 0);
        table.handle_change(BSS, PHONE, &Change::Authorized { auth_alg: None }, 20);
        assert_eq!(kinds(&table.handle_clients(BSS, &[client(true, -50, 1)], false, 30)), [""; 0]);
        table.handle_change(BSS, PHONE, &Change::Deauth, 1_000);
        assert_eq!(kinds(&table.handle_clients(BSS, &[], false, 1_010)), [""; 0]);
    }

    #[test]
    fn before_23_05_a_poll_finds_the_end_of_the_handshake() {
        let mut table = Table::default();
        table.handle_change(BSS, PHONE, &Change::Assoc { signal_dbm: Some(-50) }, 0);
        assert!(table.is_handshaking(BSS, 10));
        assert_eq!(kinds(&table.handle_clients(BSS, &[client(false, -50, 1)], false, 10)), [""; 0]);
        assert_eq!(kinds(&table.handle_clients(BSS, &[client(true, -50, 2)], false, 500)), ["authorized"]);
        assert!(!table.is_handshaking(BSS, 500));
    }

    #[test]
    fn a_forged_deauthentication_changes_nothing() {
        let mut table = polled();
        table.handle_change(BSS, PHONE, &Change::Deauth, 1_000);
        assert!(table.stations(1_000)[0].authorized);
        assert_eq!(kinds(&table.handle_clients(BSS, &[client(true, -50, 2)], false, 1_010)), [""; 0]);
        assert_eq!(kinds(&table.handle_clients(BSS, &[], false, 6_000)), ["left"]);
    }

    #[test]
    fn one_decibel_is_no_news_and_two_are() {
        let mut table = polled();
        for (signal_dbm, expected) in [(-51, 0), (-50, 0), (-49, 0), (-52, 1), (-51, 0), (-54, 1)] {
            let news = table.handle_clients(BSS, &[client(true, signal_dbm, 1)], false, 1_000);
            assert_eq!(news.len(), expected, "{signal_dbm}");
        }
    }

    #[test]
    fn each_step_of_silence_is_told_once_and_so_is_its_end() {
        let mut table = polled();
        table.handle_assoclist(BSS, &[associated(-50, 0)], 0);
        let mut told = Vec::new();
        for now_ms in (5_000..=400_000).step_by(5_000) {
            told.extend(
                table.handle_clients(BSS, &[client(true, -50, 1)], false, now_ms).iter().map(|_| now_ms),
            );
        }
        assert_eq!(told, SILENCE_STEPS_MS);
        let news = table.handle_clients(BSS, &[client(true, -50, 2)], false, 405_000);
        let [
            EventWhat::Station {
                change: Change::Signal { inactive_ms: Some(0), rx_packets: Some(2), .. },
                ..
            },
        ] = &news[..]
        else {
            panic!("{news:?}");
        };
    }

    #[test]
    fn silence_before_the_start_is_known_from_the_driver_only() {
        let mut table = polled();
        assert_eq!(table.stations(4_000)[0].inactive_ms, None);
        assert!(table.is_in_doubt(BSS));
        assert_eq!(table.handle_assoclist(BSS, &[associated(-50, 70_000)], 5_000).len(), 1);
        assert!(!table.is_in_doubt(BSS));
        let station = &table.stations(6_000)[0];
        assert_eq!((station.inactive_ms, station.connected_s), (Some(71_000), Some(101)));
    }

    #[test]
    fn a_counter_that_wraps_is_traffic() {
        let mut table = Table::default();
        table.handle_clients(BSS, &[client(true, -50, u64::from(u32::MAX))], true, 0);
        table.handle_clients(BSS, &[client(true, -50, 3)], false, 5_000);
        assert_eq!(table.stations(6_000)[0].inactive_ms, Some(1_000));
    }

    #[test]
    fn reassoc_disassoc_ends_authorised_and_counts_once() {
        let mut table = polled();
        table.take_changed();
        for (now_ms, change) in [
            (1_000, Change::Disassoc),
            (1_001, Change::Assoc { signal_dbm: Some(-60) }),
            (1_020, Change::Authorized { auth_alg: Some("ft".into()) }),
        ] {
            table.handle_change(BSS, PHONE, &change, now_ms);
        }
        let stations = table.stations(1_030);
        assert_eq!(stations.len(), 1);
        assert_eq!(
            (stations[0].authorized, stations[0].signal_dbm, stations[0].rrm),
            (true, Some(-60), Some(0x73))
        );
        assert!(table.take_changed());
        assert!(!table.take_changed());
        // In between it is there, and not authorised; and who went after it came back has left.
        table.handle_change(BSS, PHONE, &Change::Disassoc, 2_000);
        assert!(!table.stations(2_000)[0].authorized && table.take_changed());
        table.handle_change(BSS, PHONE, &Change::Authorized { auth_alg: None }, 2_020);
        assert!(table.stations(2_020)[0].authorized && table.take_changed());
        assert_eq!(kinds(&table.handle_clients(BSS, &[], false, 5_000)), ["left"]);
    }

    #[test]
    fn wifi_reload_takes_no_station_with_it() {
        let mut table = polled();
        table.take_changed();
        assert_eq!(kinds(&table.handle_clients(BSS, &[], true, 10_000)), [""; 0]);
        assert_eq!(kinds(&table.handle_clients(BSS, &[], true, 20_000)), [""; 0]);
        assert_eq!(kinds(&table.handle_clients(BSS, &[client(true, -50, 7)], false, 40_000)), [""; 0]);
        assert!(!table.take_changed());
        assert_eq!(kinds(&table.handle_clients(BSS, &[], false, 45_000)), ["left"]);
    }

    #[test]
    fn wifi_reload_who_does_not_return_leaves_without_an_event() {
        let mut table = polled();
        table.handle_clients(BSS, &[], true, 10_000);
        table.handle_clients(BSS, &[], false, 39_000);
        assert_eq!(table.stations(39_000).len(), 1);
        assert_eq!(kinds(&table.handle_clients(BSS, &[], false, 40_000)), [""; 0]);
        assert!(table.stations(40_000).is_empty());
    }

    #[test]
    fn memory_creep_the_table_is_bounded() {
        let mut table = Table::default();
        for number in 0..10_000u32 {
            let [_, a, b, c] = number.to_be_bytes();
            table.handle_change(BSS, Mac::new([2, 0, 0, a, b, c]), &Change::Assoc { signal_dbm: None }, 0);
        }
        assert_eq!(table.stations(0).len(), STATIONS_MAX);
    }
}
