//! Which of our requests a packet of the broker answers. The client library gives packet ids, in the order in which
//! requests were handed over, and tells them afterwards.

use std::collections::VecDeque;

/// Requests that were handed over, and those of them that have a packet id.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    handed_over: VecDeque<T>,
    /// A handful: what is searched for is mostly the first.
    sent: Vec<(u16, T)>,
}

impl<T> InFlight<T> {
    pub(crate) fn new() -> InFlight<T> {
        InFlight { handed_over: VecDeque::new(), sent: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.handed_over.len() + self.sent.len()
    }

    pub(crate) fn clear(&mut self) {
        self.handed_over.clear();
        self.sent.clear();
    }

    /// The library took a request.
    pub(crate) fn hand_over(&mut self, request: T) {
        self.handed_over.push_back(request);
    }

    /// The library wrote the oldest request that it had not written, with this packet id.
    pub(crate) fn sent(&mut self, packet_id: u16) {
        if let Some(request) = self.handed_over.pop_front() {
            self.sent.push((packet_id, request));
        }
    }

    /// The broker answered; `None` if it answered what nobody asked. A packet id is used again only after its
    /// answer, but brokers may answer in any order.
    pub(crate) fn answered(&mut self, packet_id: u16) -> Option<T> {
        let at = self.sent.iter().position(|(sent, _)| *sent == packet_id)?;
        Some(self.sent.remove(at).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_find_their_requests_in_any_order() {
        let mut in_flight = InFlight::new();
        for request in ["a", "b", "c"] {
            in_flight.hand_over(request);
        }
        in_flight.sent(7);
        in_flight.sent(8);
        assert_eq!(in_flight.answered(8), Some("b"));
        assert_eq!(in_flight.answered(8), None, "answered twice");
        assert_eq!(in_flight.answered(9), None, "not sent yet");
        in_flight.sent(8);
        assert_eq!(in_flight.answered(8), Some("c"), "a packet id comes again");
        assert_eq!(in_flight.len(), 1);
        assert_eq!(in_flight.answered(7), Some("a"));
        assert_eq!(in_flight.len(), 0);
    }

    #[test]
    fn what_nobody_handed_over_is_nobodys() {
        let mut in_flight = InFlight::<()>::new();
        in_flight.sent(1);
        assert_eq!(in_flight.answered(1), None);
    }

    #[test]
    fn clear_forgets_everything() {
        let mut in_flight = InFlight::new();
        in_flight.hand_over(1);
        in_flight.hand_over(2);
        in_flight.sent(1);
        in_flight.clear();
        assert_eq!((in_flight.len(), in_flight.answered(1)), (0, None));
    }
}
