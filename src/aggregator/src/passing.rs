//! Time that is let pass from outside, for the demonstration: its home goes on only when the server has taken what was
//! said and done what was due. The server keeps one [`Passing`]; with a clock of its own nobody ever grants anything.

use whichroom_presence::Moment;
use whichroom_presence::output::Effect;

/// Time that may pass.
pub struct Grant {
    /// It is this time now. What is due until then is done first, each at its own time.
    pub until: Moment,
    /// Messages of access points that come then, in all since the start.
    pub said: u64,
    /// To be called when as many came, and what they led to was done. Dropped when the server ends.
    pub done: Box<dyn FnOnce(Passed) + Send>,
}

/// What the server says when granted time is over.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    /// Messages of access points that came, in all.
    pub heard: u64,
    /// Requests to access points that were made, in all.
    pub asked: u64,
    /// When there is something to do next.
    pub due: Option<Moment>,
    /// It is known to be the only aggregator of its site, and decides.
    pub is_active: bool,
}

/// The server's side: what came, what was asked, and the grant that is not over.
#[derive(Default)]
pub struct Passing {
    heard: u64,
    asked: u64,
    grant: Option<Grant>,
}

impl Passing {
    /// A message came, below the site's root.
    pub fn handle_message(&mut self, below: &str) {
        self.heard += u64::from(below.starts_with("ap/"));
    }

    /// Something was decided.
    pub fn handle_effect(&mut self, effect: &Effect) {
        self.asked += u64::from(matches!(effect, Effect::Ask { .. }));
    }

    /// Time may pass. A grant that was not over is forgotten: whoever granted it no longer waits.
    pub fn handle_grant(&mut self, grant: Grant) {
        self.grant = Some(grant);
    }

    /// What came so far was done, and at `due` there is something to do next.
    pub fn settle(&mut self, due: Option<Moment>, is_active: bool, now: Moment) {
        let is_over = |grant: &mut Grant| grant.said <= self.heard && due.is_none_or(|due| due > now);
        if let Some(grant) = self.grant.take_if(is_over) {
            (grant.done)(Passed { heard: self.heard, asked: self.asked, due, is_active });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn granted_time_is_over_when_what_was_said_came_and_nothing_is_due() {
        let (sender, receiver) = mpsc::channel();
        let (now, later) = (Moment::from_ms(5_000), Moment::from_ms(5_400));
        let mut passing = Passing::default();
        let done = Box::new(move |passed| sender.send(passed).unwrap());
        passing.handle_grant(Grant { until: now, said: 2, done });
        passing.handle_message("ap/kitchen/events");
        passing.handle_message("status");
        passing.settle(None, true, now);
        assert!(receiver.try_recv().is_err(), "one of two came");
        passing.handle_message("ap/hall/events");
        passing.settle(Some(now), true, now);
        assert!(receiver.try_recv().is_err(), "something is to be done now");
        passing.settle(Some(later), true, now);
        let passed: Passed = receiver.try_recv().unwrap();
        assert_eq!((passed.heard, passed.asked, passed.due), (2, 0, Some(later)));
        passing.settle(None, true, later);
        assert!(receiver.try_recv().is_err(), "it is said once");
    }
}
