//! Which address is asked about next, and what is known of each: pure. The thread in `mod.rs` owns it, reads the
//! neighbour table and sends the questions.
//!
//! An address is a candidate while somebody's name is wanted who has it and gave the router none. It is asked about
//! once; the answer is kept with the device, so that the next device at the address is asked about anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use whichroom_presence::Moment;
use whichroom_wire::Mac;

use super::question::Answer;

/// Questions in any minute, at most.
pub const QUESTIONS_MAX: usize = 20;
const MINUTE_MS: u64 = 60_000;
/// A name is asked for again after an hour; where there was none, after ten minutes.
const NAME_KEEPS_MS: u64 = 60 * MINUTE_MS;
const NAMELESS_KEEPS_MS: u64 = 10 * MINUTE_MS;
/// A name server that is silent three times is left alone for five minutes.
const SILENCES_MAX: u32 = 3;
const PAUSE_MS: u64 = 5 * MINUTE_MS;
/// Devices that are looked after, and addresses of one of them.
const WANTED_MAX: usize = 512;
const ADDRESSES_MAX: usize = 4;

/// Somebody whose name or address is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub mac: Mac,
    /// As the router's leases say.
    pub address: Option<IpAddr>,
    /// The router's leases have no name for it.
    pub is_nameless: bool,
}

/// What was found of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub name: Option<String>,
    pub address: Option<IpAddr>,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Answer(Answer),
    /// Nothing came in time.
    Silence,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Book {
    wanted: Vec<Wanted>,
    neighbours: BTreeMap<Mac, BTreeSet<IpAddr>>,
    known: BTreeMap<(Mac, IpAddr), Known>,
    /// Questions of the last minute.
    asked: VecDeque<Moment>,
    silences: u32,
    paused_until: Option<Moment>,
}

#[derive(Debug)]
struct Known {
    name: Option<String>,
    until: Moment,
}

impl Book {
    /// Whose names are wanted from now on. Of others nothing is kept. Returns whether somebody new is among them.
    pub fn handle_wanted(&mut self, mut wanted: Vec<Wanted>) -> bool {
        wanted.truncate(WANTED_MAX);
        let before: BTreeSet<Mac> = self.wanted.iter().map(|wanted| wanted.mac).collect();
        let macs: BTreeSet<Mac> = wanted.iter().map(|wanted| wanted.mac).collect();
        self.known.retain(|(mac, _), _| macs.contains(mac));
        self.wanted = wanted;
        !macs.is_subset(&before)
    }

    /// What the neighbour table holds now.
    pub fn handle_neighbours(&mut self, neighbours: impl IntoIterator<Item = (Mac, IpAddr)>) {
        self.neighbours.clear();
        let wanted: BTreeSet<Mac> = self.wanted.iter().map(|wanted| wanted.mac).collect();
        for (mac, address) in neighbours.into_iter().filter(|(mac, _)| wanted.contains(mac)) {
            let addresses = self.neighbours.entry(mac).or_default();
            if addresses.len() < ADDRESSES_MAX {
                addresses.insert(address);
            }
        }
    }

    /// A question that may be asked now; [`Book::handle_reply`] is to follow.
    pub fn poll_question(&mut self, now: Moment) -> Option<(Mac, IpAddr)> {
        if self.free_at().is_some_and(|at| now < at) {
            return None;
        }
        let question = self.candidates().find(|candidate| self.is_due(candidate, now))?;
        while self.asked.front().is_some_and(|at| now.since(*at) >= MINUTE_MS) {
            self.asked.pop_front();
        }
        self.asked.push_back(now);
        Some(question)
    }

    /// What became of the question. Returns whether the name server is given a rest from now on.
    pub fn handle_reply(&mut self, question: (Mac, IpAddr), reply: Reply, now: Moment) -> bool {
        self.silences = if reply == Reply::Silence { self.silences + 1 } else { 0 };
        let name = match reply {
            Reply::Answer(Answer::Name(name)) => Some(name),
            // One address that nobody answers for must not stand before the others.
            Reply::Answer(Answer::Nameless) | Reply::Silence => None,
        };
        let keeps_ms = if name.is_some() { NAME_KEEPS_MS } else { NAMELESS_KEEPS_MS };
        self.known.insert(question, Known { name, until: now.after(keeps_ms) });
        if self.silences < SILENCES_MAX {
            return false;
        }
        self.rest(now);
        true
    }

    /// No question for a while.
    pub fn rest(&mut self, now: Moment) {
        self.silences = 0;
        self.paused_until = Some(now.after(PAUSE_MS));
    }

    /// When to call [`Book::poll_question`] next.
    pub fn poll_timeout(&self, now: Moment) -> Option<Moment> {
        let due = |candidate| self.known.get(&candidate).map_or(now, |known: &Known| known.until);
        let first = self.candidates().map(due).min()?;
        Some(self.free_at().map_or(first, |free| free.max(first)))
    }

    /// What is known of whom.
    pub fn found(&self) -> BTreeMap<Mac, Found> {
        let found = |wanted: &Wanted| {
            let mut names = self.addresses(wanted).filter_map(|address| {
                let name = self.known.get(&(wanted.mac, address))?.name.clone()?;
                Some((name, address))
            });
            match names.next().filter(|_| wanted.is_nameless) {
                Some((name, address)) => Found { name: Some(name), address: Some(address) },
                None => Found { name: None, address: self.addresses(wanted).next() },
            }
        };
        let all = self.wanted.iter().map(|wanted| (wanted.mac, found(wanted)));
        all.filter(|(_, found)| *found != Found::default()).collect()
    }

    /// The first moment at which the rate allows another question.
    fn free_at(&self) -> Option<Moment> {
        let full = self.asked.len().checked_sub(QUESTIONS_MAX).and_then(|index| self.asked.get(index));
        let full = full.map(|at| at.after(MINUTE_MS));
        [full, self.paused_until].into_iter().flatten().max()
    }

    fn is_due(&self, candidate: &(Mac, IpAddr), now: Moment) -> bool {
        self.known.get(candidate).is_none_or(|known| known.until <= now)
    }

    /// Who may be asked about.
    fn candidates(&self) -> impl Iterator<Item = (Mac, IpAddr)> {
        let nameless = self.wanted.iter().filter(|wanted| wanted.is_nameless);
        let each = |wanted| self.addresses(wanted).map(|address| (wanted.mac, address));
        nameless.flat_map(each).filter(|(_, address)| is_of_home(*address))
    }

    /// The addresses of one device: the lease's first.
    fn addresses(&self, wanted: &Wanted) -> impl Iterator<Item = IpAddr> {
        let neighbours = self.neighbours.get(&wanted.mac).into_iter().flatten().copied();
        let lease = wanted.address;
        lease.into_iter().chain(neighbours.filter(move |address| Some(*address) != lease))
    }
}

/// An address that means something inside the home alone.
pub fn is_of_home(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mac(last: u8) -> Mac {
        Mac::new([2, 0, 0, 0, 0, last])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(seconds: i64) -> Moment {
        Moment::from_ms(seconds * 1000)
    }

    fn wanted(last: u8, address: Option<&str>) -> Wanted {
        Wanted { mac: mac(last), address: address.map(ip), is_nameless: true }
    }

    fn named(name: &str) -> Reply {
        Reply::Answer(Answer::Name(name.to_owned()))
    }

    #[test]
    fn a_neighbour_gets_the_name_that_its_address_has() {
        let mut book = Book::default();
        book.handle_wanted(vec![wanted(1, None)]);
        assert_eq!(book.poll_question(at(0)), None, "no address, no question");
        book.handle_neighbours([(mac(1), ip("192.168.1.20")), (mac(9), ip("192.168.1.29"))]);
        let question = book.poll_question(at(0)).unwrap();
        assert_eq!(question, (mac(1), ip("192.168.1.20")));
        assert!(!book.handle_reply(question, named("tv"), at(0)));
        let found = Found { name: Some("tv".into()), address: Some(ip("192.168.1.20")) };
        assert_eq!(book.found(), BTreeMap::from([(mac(1), found)]));
        assert_eq!(book.poll_question(at(3599)), None);
        assert_eq!(book.poll_timeout(at(1)), Some(at(3600)));
        assert_eq!(book.poll_question(at(3600)), Some(question), "it may have another name by now");
    }

    #[test]
    fn who_told_the_router_its_name_is_not_asked_about() {
        let mut book = Book::default();
        book.handle_wanted(vec![Wanted { is_nameless: false, ..wanted(1, Some("192.168.1.20")) }]);
        assert_eq!((book.poll_question(at(0)), book.poll_timeout(at(0))), (None, None));
    }

    #[test]
    fn only_addresses_of_the_home_are_asked_about() {
        let mut book = Book::default();
        let addresses = ["8.8.8.8", "2001:db8::1", "fe80::1", "169.254.1.1", "127.0.0.1"];
        book.handle_wanted(vec![wanted(1, Some("100.64.0.1"))]);
        book.handle_neighbours(addresses.map(|address| (mac(1), ip(address))));
        assert_eq!(book.poll_question(at(0)), None);
        book.handle_neighbours([(mac(1), ip("fd00::1"))]);
        assert_eq!(book.poll_question(at(0)), Some((mac(1), ip("fd00::1"))));
    }

    #[test]
    fn the_next_device_at_an_address_does_not_inherit_the_name() {
        let mut book = Book::default();
        book.handle_wanted(vec![wanted(1, Some("10.0.0.1"))]);
        let question = book.poll_question(at(0)).unwrap();
        book.handle_reply(question, named("tv"), at(0));
        book.handle_wanted(vec![wanted(2, Some("10.0.0.1"))]);
        assert_eq!(book.found()[&mac(2)].name, None);
        assert_eq!(book.poll_question(at(1)), Some((mac(2), ip("10.0.0.1"))));
    }

    #[test]
    fn a_silent_name_server_is_left_alone_for_a_while() {
        let mut book = Book::default();
        book.handle_wanted((1..=5).map(|last| wanted(last, Some("10.0.0.1"))).collect());
        let ask = |book: &mut Book, reply: Reply| {
            let question = book.poll_question(at(0)).unwrap();
            book.handle_reply(question, reply, at(0))
        };
        assert!(!ask(&mut book, Reply::Silence));
        assert!(!ask(&mut book, Reply::Silence));
        assert!(ask(&mut book, Reply::Silence));
        assert_eq!(book.poll_question(at(299)), None);
        assert_eq!(book.poll_timeout(at(0)), Some(at(300)));
        assert!(book.poll_question(at(300)).is_some());
    }

    proptest! {
        /// Whatever is wanted and answered, no minute has more questions than allowed, and no question is of an address
        /// outside the home.
        #[test]
        fn never_more_questions_than_a_minute_allows(
            steps in proptest::collection::vec((0..40_u8, 0..3_u8, 0..20_i64), 1..300),
        ) {
            let mut book = Book::default();
            let (mut now, mut asked) = (0, Vec::new());
            for (device, kind, pause) in steps {
                now += pause;
                let devices = (0..=device).map(|last| wanted(last, Some(["10.0.0.1", "8.8.8.8"][usize::from(last % 2)])));
                book.handle_wanted(devices.collect());
                while let Some(question) = book.poll_question(at(now)) {
                    prop_assert!(is_of_home(question.1));
                    asked.push(now);
                    let reply = match kind {
                        0 => named("tv"),
                        1 => Reply::Answer(Answer::Nameless),
                        _ => Reply::Silence,
                    };
                    book.handle_reply(question, reply, at(now));
                }
                let minute = asked.iter().filter(|at| now - **at < 60).count();
                prop_assert!(minute <= QUESTIONS_MAX, "{} in a minute", minute);
                prop_assert!(book.known.len() <= WANTED_MAX * ADDRESSES_MAX && book.asked.len() <= QUESTIONS_MAX);
            }
        }
    }
}
