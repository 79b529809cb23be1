//! One station's claim on one BSS: *heard* (its receive counters moved), *listed* (it is in the table) or *gone*.
//! A claim only records; which of a device's claims decides is the device's business.

use serde::{Deserialize, Serialize};
use whichroom_wire::Mac;

use crate::Moment;
use crate::timers::ApIndex;

/// What a message shows is from the agent's last poll, so much older than the message at most.
const POLLED_MS: u64 = 6_000;

/// A station on a BSS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Association {
    pub ap: ApIndex,
    pub bssid: Mac,
    pub mac: Mac,
}

/// How a silence began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Parting {
    /// Gone from the table, nothing else is known.
    Unlisted,
    /// The station said that it leaves.
    LeaveFrame,
    /// The AP sent it away.
    SentAway,
    /// It no longer answered the AP's poll.
    PollFailed,
    /// Its BSS went, and it with it.
    BssLost,
    /// Its AP restarted, and it did not come back.
    ApRestarted,
    /// Its AP has been blind for so long that what it said last counts no more.
    ApBlind,
    /// Listed, but not received for longer than any device sleeps.
    Phantom,
}

/// A claim that ended, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone {
    pub at: Moment,
    pub parting: Parting,
}

/// The last signal of a station at an AP.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Signal {
    last_dbm: Option<i8>,
}

impl Signal {
    /// What was known before.
    pub fn known(last_dbm: Option<i8>) -> Signal {
        Signal { last_dbm }
    }

    /// Takes a reading in.
    pub fn read(&mut self, dbm: i8) {
        self.last_dbm = Some(dbm);
    }

    pub fn last_dbm(self) -> Option<i8> {
        self.last_dbm
    }
}

/// Which of an AP's tables a claim was last in: boots and tables are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    pub epoch: u32,
    pub table: u32,
}

/// What a driver's table says of a station.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    pub signal_dbm: Option<i8>,
    /// What its band loses beside 2.4 GHz.
    pub band_db: i8,
    pub inactive_ms: Option<u64>,
    pub rx_packets: Option<u64>,
    pub rx_bytes: Option<u64>,
}

/// A station's claim on a BSS.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub association: Association,
    pub mark: Mark,
    /// The key handshake is over.
    pub authorized: bool,
    /// When it was last known to associate, by an event.
    pub associated_at: Option<Moment>,
    /// An association request was seen; nothing proves who sent it.
    pub requested_at: Option<Moment>,
    /// How loudly it was heard.
    pub requested_dbm: Option<i8>,
    /// Its receive counters moved after the first moment and not after the second.
    pub heard: Option<(Moment, Moment)>,
    /// An association elsewhere ended it.
    pub ended_at: Option<Moment>,
    /// Waits for an association that would explain it.
    pub leaving: Option<Gone>,
    pub gone: Option<Gone>,
    pub signal: Signal,
    /// What its band loses beside 2.4 GHz.
    pub band_db: i8,
    /// Receive counters, the lower 32 bits: old releases have no more, and a wrap is progress like any other.
    rx_packets: Option<u32>,
    rx_bytes: Option<u32>,
    read_at: Option<Moment>,
}

impl Claim {
    pub fn new(association: Association, mark: Mark) -> Claim {
        Claim {
            association,
            mark,
            authorized: false,
            associated_at: None,
            requested_at: None,
            requested_dbm: None,
            heard: None,
            ended_at: None,
            leaving: None,
            gone: None,
            signal: Signal::default(),
            band_db: 0,
            rx_packets: None,
            rx_bytes: None,
            read_at: None,
        }
    }

    /// Takes in what the driver said at `at`; true if the station was received since it last did.
    ///
    /// The inactive time alone proves nothing: some drivers reset it every five minutes for stations long gone.
    pub fn read(&mut self, reading: &Reading, at: Moment) -> bool {
        self.band_db = reading.band_db;
        // Both are compared: either may be missing from one message and present in the next.
        let packets = moved(&mut self.rx_packets, reading.rx_packets);
        let bytes = moved(&mut self.rx_bytes, reading.rx_bytes);
        // What the message before showed may be as old as a poll: frames since then are in this one, too.
        let after = self.read_at.replace(at).unwrap_or(at).before(POLLED_MS);
        if !packets && !bytes {
            // A frozen signal is no evidence, but the first one is better than none.
            if let (None, Some(dbm)) = (self.signal.last_dbm, reading.signal_dbm) {
                self.signal.read(dbm);
            }
            return false;
        }
        let last = at.before(reading.inactive_ms.unwrap_or(0)).max(after);
        self.heard = Some((after, last));
        if let Some(dbm) = reading.signal_dbm {
            self.signal.read(dbm);
        }
        true
    }

    /// Its counters began at zero within this table's reach, so that whatever they show was received since `after`.
    pub fn starts_fresh(&mut self, after: Moment) {
        self.rx_packets = Some(0);
        self.rx_bytes = Some(0);
        self.read_at = Some(after);
    }

    /// Packets received from it, the lower 32 bits.
    pub fn rx_packets(&self) -> Option<u32> {
        self.rx_packets
    }

    /// Whether nothing was read of it yet.
    pub fn is_unread(&self) -> bool {
        self.read_at.is_none()
    }

    /// Whether it still holds the device, given the AP's present table. A restart of the AP alone takes nobody
    /// with it: the first table after it decides.
    pub fn holds(&self, mark: Mark) -> bool {
        let is_listed = self.mark.table == mark.table || self.leaving.is_some();
        self.authorized && self.ended_at.is_none() && self.gone.is_none() && is_listed
    }

    /// Whether something known is later than `at`: another association, or that it left.
    pub fn is_outdated(&self, at: Moment) -> bool {
        let gone = self.gone.or(self.leaving).map(|gone| match gone.parting {
            // Found by polling: it may have come back since the poll.
            Parting::Unlisted | Parting::ApRestarted => gone.at.before(POLLED_MS),
            Parting::LeaveFrame
            | Parting::SentAway
            | Parting::PollFailed
            | Parting::BssLost
            | Parting::ApBlind
            | Parting::Phantom => gone.at,
        });
        self.ended_at.max(gone).is_some_and(|later| later > at)
    }

    /// The latest moment at which this claim is known to have been the device's.
    pub fn certain_at(&self) -> Option<Moment> {
        self.heard.map(|(after, _)| after).max(self.associated_at)
    }

    /// The last proof of life.
    pub fn heard_at(&self) -> Option<Moment> {
        self.heard.map(|(_, at)| at).max(self.associated_at)
    }

    /// Notes that the station may be leaving; true unless something later than `gone` proves that it stayed.
    pub fn leave(&mut self, gone: Gone) -> bool {
        if self.gone.is_some() || self.certain_at().is_some_and(|certain| certain > gone.at) {
            return false;
        }
        let before = self.leaving.unwrap_or(gone);
        // hostapd says "disassoc" along with every other kind: the more telling word counts.
        let parting = if rank(gone.parting) > rank(before.parting) { gone.parting } else { before.parting };
        self.leaving = Some(Gone { at: gone.at.min(before.at), parting });
        true
    }

    /// It is the device's after all.
    pub fn revive(&mut self) {
        self.ended_at = None;
        self.leaving = None;
        self.gone = None;
    }

    /// An association elsewhere ends it.
    pub fn end(&mut self, at: Moment) {
        if self.ended_at.is_none_or(|ended| ended < at) {
            self.ended_at = Some(at);
        }
        self.leaving = None;
    }
}

fn rank(parting: Parting) -> u8 {
    match parting {
        Parting::Unlisted => 0,
        Parting::LeaveFrame => 1,
        Parting::SentAway => 2,
        Parting::PollFailed => 3,
        Parting::Phantom => 4,
        Parting::BssLost | Parting::ApRestarted | Parting::ApBlind => 5,
    }
}

/// Replaces a counter; true if it moved. To zero it does not move: drivers do that on their own.
fn moved(counter: &mut Option<u32>, value: Option<u64>) -> bool {
    let Some(value) = value else { return false };
    // Truncation is the point: what wraps at 32 bits and what does not are compared alike.
    let low = (value & u64::from(u32::MAX)) as u32;
    let before = counter.replace(low);
    value != 0 && before.is_some_and(|before| before != low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        let mac = Mac::new([2, 0, 0, 0, 0, 1]);
        Claim::new(Association { ap: ApIndex(0), bssid: mac, mac }, Mark::default())
    }

    fn packets(count: u64) -> Reading {
        Reading { rx_packets: Some(count), ..Reading::default() }
    }

    #[test]
    fn counters_that_move_or_wrap_are_heard() {
        let mut claim = claim();
        let at = |s: i64| Moment::from_ms(s * 1000);
        assert!(!claim.read(&packets(u64::from(u32::MAX)), at(0)));
        assert!(!claim.read(&packets(u64::from(u32::MAX)), at(30)));
        assert!(claim.read(&packets(3), at(60)));
        assert!(!claim.read(&packets(0), at(90)), "a reset is no reception");
        assert_eq!(claim.heard, Some((at(24), at(60))), "what came before was read at a poll before it");
    }

    #[test]
    fn a_missing_counter_is_no_progress() {
        let mut claim = claim();
        let bytes = Reading { rx_bytes: Some(500), ..Reading::default() };
        assert!(!claim.read(&packets(5), Moment::from_ms(0)));
        assert!(!claim.read(&bytes, Moment::from_ms(1)));
        assert!(!claim.read(&packets(5), Moment::from_ms(2)));
    }

    #[test]
    fn the_more_telling_word_counts() {
        let mut claim = claim();
        for parting in [Parting::LeaveFrame, Parting::PollFailed, Parting::LeaveFrame] {
            assert!(claim.leave(Gone { at: Moment::from_ms(5), parting }));
        }
        assert_eq!(claim.leaving.map(|gone| gone.parting), Some(Parting::PollFailed));
    }
}
