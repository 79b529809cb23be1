//! What waits for the broker: four retained messages that are made when they are handed over, and the events,
//! each with its moment. One message a slot is under way at a time, so what happens meanwhile travels together.
//!
//! Nothing that was handed over is lost with a connection: what the broker did not acknowledge waits again.

use whichroom_wire::{Change, Event, EventWhat};

/// Events that are kept; signals and probes go first, the oldest first.
pub(crate) const EVENTS_MAX: usize = 1024;
/// Events in one message; some 200 bytes each.
const MESSAGE_MAX: usize = 256;
/// After the client refused a message that may be taken later.
const RETRY_MS: u64 = 50;

/// A message of the agent; one of each may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// `ap/<ap>/status`.
    Status,
    /// `ap/<ap>/stations`.
    Stations,
    /// `ap/<ap>/radios`.
    Radios,
    /// `ap/<ap>/hosts`.
    Hosts,
    /// `ap/<ap>/events`.
    Events,
}

const SLOTS: [Slot; 5] = [Slot::Status, Slot::Stations, Slot::Radios, Slot::Hosts, Slot::Events];

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    at_ms: u64,
    what: EventWhat,
}

impl Kept {
    /// Whether the next table says the same, or nobody misses it.
    fn is_minor(&self) -> bool {
        matches!(
            self.what,
            EventWhat::Station {
                change: Change::Signal { .. } | Change::Probe { .. } | Change::BeaconReport { .. },
                ..
            }
        )
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    connected: bool,
    /// The broker has seen a table in this connection: events may follow.
    table_sent: bool,
    wanted: [bool; 5],
    in_flight: [bool; 5],
    queue: Vec<Kept>,
    events_in_flight: Vec<Kept>,
    retry_at_ms: Option<u64>,
    dropped: u32,
}

impl Outbox {
    pub(crate) fn handle_connected(&mut self) {
        self.lose_connection();
        self.connected = true;
    }

    pub(crate) fn handle_disconnected(&mut self) {
        self.lose_connection();
    }

    fn lose_connection(&mut self) {
        self.connected = false;
        self.table_sent = false;
        self.retry_at_ms = None;
        for (wanted, in_flight) in self.wanted.iter_mut().zip(&mut self.in_flight) {
            *wanted |= std::mem::take(in_flight);
        }
        self.return_events();
    }

    fn return_events(&mut self) {
        self.events_in_flight.append(&mut self.queue);
        std::mem::swap(&mut self.queue, &mut self.events_in_flight);
        self.bound();
    }

    /// Asks for a retained message.
    pub(crate) fn want(&mut self, slot: Slot) {
        self.wanted[slot as usize] = true;
    }

    /// Keeps an event until the broker has it. While the broker is away signals and probes are not worth keeping:
    /// the table that goes out first on its return is newer.
    pub(crate) fn push(&mut self, at_ms: u64, what: EventWhat) {
        let kept = Kept { at_ms, what };
        if !self.connected && kept.is_minor() {
            return;
        }
        self.queue.push(kept);
        self.bound();
    }

    fn bound(&mut self) {
        while self.queue.len() > EVENTS_MAX {
            let at = self.queue.iter().position(Kept::is_minor).unwrap_or(0);
            self.queue.remove(at);
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Events dropped since the start.
    pub(crate) fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Whether the broker has taken the connection.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// The message to hand over now. `table` and `radios`: whether they are worth sending; events wait for a table.
    pub(crate) fn next(&self, table: bool, radios: bool, now_ms: u64) -> Option<Slot> {
        if !self.connected || self.retry_at_ms.is_some_and(|at| at > now_ms) {
            return None;
        }
        let due = |slot: Slot| match slot {
            _ if self.in_flight[slot as usize] => false,
            Slot::Events => self.table_sent && !self.queue.is_empty(),
            Slot::Status | Slot::Hosts => self.wanted[slot as usize],
            Slot::Stations => table && self.wanted[slot as usize],
            Slot::Radios => radios && self.wanted[slot as usize],
        };
        // A table takes longer than an event, and need not go first once there was one.
        if due(Slot::Events) {
            return Some(Slot::Events);
        }
        SLOTS.into_iter().find(|slot| due(*slot))
    }

    /// The next message's events, with their ages.
    pub(crate) fn events(&self, now_ms: u64) -> Vec<Event> {
        let event =
            |kept: &Kept| Event { age_ms: now_ms.saturating_sub(kept.at_ms), what: kept.what.clone() };
        self.queue.iter().take(MESSAGE_MAX).map(event).collect()
    }

    /// The client took a message.
    pub(crate) fn handed_over(&mut self, slot: Slot) {
        self.in_flight[slot as usize] = true;
        self.wanted[slot as usize] = false;
        self.table_sent |= slot == Slot::Stations;
        if slot == Slot::Events {
            let count = self.queue.len().min(MESSAGE_MAX);
            self.events_in_flight = self.queue.drain(..count).collect();
        }
    }

    /// The client did not take it now.
    pub(crate) fn refused(&mut self, now_ms: u64) {
        self.retry_at_ms = Some(now_ms + RETRY_MS);
    }

    /// The client will never take it.
    pub(crate) fn impossible(&mut self, slot: Slot) {
        self.wanted[slot as usize] = false;
        self.table_sent |= slot == Slot::Stations;
        if slot == Slot::Events {
            let count = self.queue.len().min(MESSAGE_MAX);
            self.queue.drain(..count);
            self.dropped = self.dropped.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// The broker has it.
    pub(crate) fn acked(&mut self, slot: Slot) {
        self.in_flight[slot as usize] = false;
        self.retry_at_ms = None;
        if slot == Slot::Events {
            self.events_in_flight.clear();
        }
    }

    /// Nothing waits and nothing is under way in this slot.
    pub(crate) fn is_done(&self, slot: Slot) -> bool {
        !self.wanted[slot as usize] && !self.in_flight[slot as usize]
    }

    /// The client is asked again.
    pub(crate) fn handle_timeout(&mut self, now_ms: u64) {
        self.retry_at_ms = self.retry_at_ms.filter(|at| *at > now_ms);
    }

    /// When to look again after a refusal.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        self.retry_at_ms.filter(|_| self.connected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whichroom_wire::Mac;

    fn event(number: u8, change: Change) -> EventWhat {
        let mac = Mac::new([2, 0, 0, 0, 0, number]);
        EventWhat::Station { mac, bssid: mac, change }
    }

    fn connected() -> Outbox {
        let mut outbox = Outbox::default();
        outbox.want(Slot::Status);
        outbox.want(Slot::Stations);
        outbox.handle_connected();
        outbox
    }

    #[test]
    fn the_table_goes_first_and_later_the_events() {
        let mut outbox = connected();
        outbox.push(0, event(1, Change::Disassoc));
        let mut order = Vec::new();
        while let Some(slot) = outbox.next(true, true, 0) {
            order.push(slot);
            outbox.handed_over(slot);
        }
        assert_eq!(order, [Slot::Status, Slot::Stations, Slot::Events]);
        for slot in order {
            outbox.acked(slot);
        }
        outbox.want(Slot::Stations);
        outbox.push(0, event(1, Change::Disassoc));
        assert_eq!(outbox.next(true, true, 0), Some(Slot::Events));
    }

    #[test]
    fn no_table_is_sent_before_there_is_one() {
        let mut outbox = connected();
        assert_eq!(outbox.next(false, false, 0), Some(Slot::Status));
        outbox.handed_over(Slot::Status);
        outbox.push(0, event(1, Change::Disassoc));
        assert_eq!(outbox.next(false, false, 0), None);
        assert_eq!(outbox.next(true, true, 0), Some(Slot::Stations));
    }

    #[test]
    fn what_was_not_acknowledged_waits_again_in_its_order_and_ages() {
        let mut outbox = connected();
        outbox.handed_over(Slot::Status);
        outbox.handed_over(Slot::Stations);
        outbox.push(100, event(1, Change::Disassoc));
        outbox.push(
            110,
            event(
                2,
                Change::Signal { signal_dbm: None, inactive_ms: None, rx_packets: None, rx_bytes: None },
            ),
        );
        outbox.handed_over(Slot::Events);
        outbox.push(120, event(3, Change::Deauth));
        outbox.handle_disconnected();
        outbox.push(130, event(4, Change::Probe { signal_dbm: None }));
        outbox.handle_connected();
        let events = outbox.events(1_000);
        let ages: Vec<u64> = events.iter().map(|event| event.age_ms).collect();
        assert_eq!(ages, [900, 890, 880]);
        assert_eq!(outbox.next(true, true, 1_000), Some(Slot::Status));
        outbox.handed_over(Slot::Status);
        assert_eq!(outbox.next(true, true, 1_000), Some(Slot::Stations));
    }

    #[test]
    fn memory_creep_the_queue_is_bounded_and_keeps_associations() {
        let mut outbox = connected();
        outbox.push(0, event(1, Change::Disassoc));
        for at_ms in 1..10 * EVENTS_MAX as u64 {
            outbox.push(at_ms, event(2, Change::Probe { signal_dbm: None }));
        }
        assert_eq!(outbox.queue.len(), EVENTS_MAX);
        assert!(!outbox.queue[0].is_minor());
        assert_eq!(outbox.dropped() as usize, 9 * EVENTS_MAX);
        assert_eq!(outbox.events(0).len(), MESSAGE_MAX);
    }

    #[test]
    fn a_full_client_is_asked_again() {
        let mut outbox = connected();
        outbox.refused(1_000);
        assert_eq!(outbox.next(true, true, 1_000), None);
        assert_eq!(outbox.poll_timeout(), Some(1_050));
        outbox.handle_timeout(1_050);
        assert_eq!(outbox.poll_timeout(), None);
        assert_eq!(outbox.next(true, true, 1_050), Some(Slot::Status));
    }

    #[test]
    fn what_can_never_be_sent_is_given_up() {
        let mut outbox = connected();
        outbox.handed_over(Slot::Status);
        outbox.impossible(Slot::Stations);
        outbox.push(0, event(1, Change::Disassoc));
        assert_eq!(outbox.next(true, true, 0), Some(Slot::Events));
        outbox.impossible(Slot::Events);
        assert_eq!((outbox.next(true, true, 0), outbox.dropped()), (None, 1));
    }
}
