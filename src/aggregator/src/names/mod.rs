//! Names of devices that nobody named: a thread that looks into this machine's neighbour table and asks a name server of
//! the home. The main loop says whose names it wants, while somebody looks at the page, and is told what was found; it
//! never waits.
//!
//! Nothing is asked of the devices themselves, nor of anybody outside the home, and only addresses that mean nothing
//! outside it are asked about.

mod book;
mod host_names;
pub(crate) mod neighbours;
pub(crate) mod question;
mod resolver;
pub mod vendors;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use whichroom_presence::Moment;
use whichroom_wire::Mac;

pub use book::{Found, Wanted};
pub use host_names::{HostNames, Named};
pub use resolver::PORT as NAME_SERVER_PORT;

use self::book::Book;
use self::resolver::NoServer;
use crate::clock::Clock;
use crate::state;

/// The neighbour table is read this often at most.
const NEIGHBOURS_EVERY_MS: u64 = 30_000;

/// Once nobody looks at the page any more, nobody is asked.
const WANTED_MS: u64 = 60_000;

/// What the configuration says of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether this machine's neighbour table is read and a name server is asked.
    pub resolve: bool,
    /// The name server to ask; of `/etc/resolv.conf` if none is given.
    pub server: Option<SocketAddr>,
}

impl Default for Options {
    fn default() -> Options {
        Options { resolve: true, server: None }
    }
}

/// What is found out by and by.
pub type Findings = BTreeMap<Mac, Found>;

/// The thread. It ends when this is dropped, after the answer that it waits for.
pub struct Naming {
    wanted: SyncSender<Vec<Wanted>>,
}

impl Naming {
    /// Starts it, if names are to be resolved; `tell` hears what is known whenever that changed.
    pub fn start(
        options: &Options,
        clock: Clock,
        tell: impl FnMut(Findings) + Send + 'static,
    ) -> Option<Naming> {
        if !options.resolve {
            return None;
        }
        // One list waits while another is worked at; the next one is only newer.
        let (wanted, receiver) = sync_channel(1);
        let worker = Worker {
            book: Book::default(),
            server: options.server,
            clock,
            wanted_at: None,
            looked_at: None,
            told: Findings::new(),
            said: None,
            tell: Box::new(tell),
        };
        let started = thread::Builder::new().name("names".into()).spawn(move || worker.run(&receiver));
        match started {
            Ok(_) => Some(Naming { wanted }),
            Err(error) => {
                log::warn!("names of unknown devices are not looked up: no thread: {error}");
                None
            }
        }
    }

    /// Whose names are wanted now. A thread that is busy is told the next time.
    pub fn want(&self, wanted: Vec<Wanted>) {
        let _ = self.wanted.try_send(wanted);
    }
}

/// What was said in the log last, so that it is said once.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    NoServer(NoServer),
    NoNeighbours(String),
}

struct Worker {
    book: Book,
    server: Option<SocketAddr>,
    clock: Clock,
    /// When somebody's name was wanted.
    wanted_at: Option<Moment>,
    /// When the neighbour table was read.
    looked_at: Option<Moment>,
    told: Findings,
    said: Option<Said>,
    tell: Box<dyn FnMut(Findings) + Send>,
}

impl Worker {
    fn run(mut self, wanted: &Receiver<Vec<Wanted>>) {
        loop {
            match wanted.recv_timeout(self.wait()) {
                Ok(wanted) => self.want(wanted),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.is_wanted() {
                self.look_around();
                self.tell();
                self.ask();
                self.tell();
            }
        }
    }

    fn want(&mut self, wanted: Vec<Wanted>) {
        self.wanted_at = Some(self.clock.now());
        if self.book.handle_wanted(wanted) {
            self.looked_at = None;
        }
    }

    fn is_wanted(&self) -> bool {
        self.wanted_at.is_some_and(|at| self.clock.now().since(at) < WANTED_MS)
    }

    fn wait(&self) -> Duration {
        const LONG: Duration = Duration::from_secs(3_600);
        let due = self.book.poll_timeout(self.clock.now()).filter(|_| self.is_wanted());
        due.map_or(LONG, |at| self.clock.until(at)).min(LONG)
    }

    fn look_around(&mut self) {
        let now = self.clock.now();
        let is_fresh = self.looked_at.is_some_and(|at| now.since(at) < NEIGHBOURS_EVERY_MS);
        if is_fresh {
            return;
        }
        self.looked_at = Some(now);
        match neighbours::read() {
            Ok(table) => self.book.handle_neighbours(table),
            Err(error) => self.say(Said::NoNeighbours(error.to_string())),
        }
    }

    /// One question, if one is due.
    fn ask(&mut self) {
        let Some(question) = self.book.poll_question(self.clock.now()) else { return };
        let server = match resolver::name_server(self.server) {
            Ok(server) => server,
            Err(none) => {
                self.book.rest(self.clock.now());
                return self.say(Said::NoServer(none));
            }
        };
        let random = state::random_hex(2).ok().and_then(|digits| u16::from_str_radix(&digits, 16).ok());
        let Some(id) = random else { return self.book.rest(self.clock.now()) };
        let reply = resolver::ask(server, id, question.1);
        let rests = self.book.handle_reply(question, reply, self.clock.now());
        if rests {
            log::info!(
                "the name server {server} does not answer for addresses of the home; it is asked again later"
            );
        }
    }

    fn tell(&mut self) {
        let found = self.book.found();
        if found != self.told {
            self.told.clone_from(&found);
            (self.tell)(found);
        }
    }

    fn say(&mut self, said: Said) {
        if self.said.as_ref() == Some(&said) {
            return;
        }
        match &said {
            Said::NoNeighbours(error) => log::warn!(
                "this machine's neighbour table cannot be read ({error}): addresses of unknown devices come from the \
                 router's leases alone"
            ),
            Said::NoServer(NoServer::Outside(address)) => log::info!(
                "the name server {address} is outside the home and is not asked for names of unknown devices; \
                 [site] name_server = \"192.168.1.1\" names one that may be"
            ),
            Said::NoServer(NoServer::None) => {
                log::info!("no name server is set up here: names of unknown devices come from leases alone");
            }
            Said::NoServer(NoServer::Unreadable(why)) => {
                log::info!(
                    "no name server is known ({why}): names of unknown devices come from leases alone"
                );
            }
        }
        self.said = Some(said);
    }
}
