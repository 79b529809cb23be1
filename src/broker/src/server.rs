//! The sockets and threads around the router: one thread that accepts for each address, one that reads and one that
//! writes for each connection, one for the timers. The router is behind one lock, which is never held while a
//! thread waits for a socket.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::outbox::Outbox;
use crate::router::{ConnectionId, Counts, Effect, Router};
use crate::topic;

const STACK_BYTES: usize = 256 * 1024;
const READ_BYTES: usize = 16 * 1024;
/// A client that takes not one byte for so long is gone or hopelessly slow.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// After an accept that failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long stopping waits for the connections' threads.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// A running broker; it stops when dropped.
pub struct Broker {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
}

/// Why the broker did not start.
#[derive(Debug)]
pub enum StartError {
    /// Others could reach this address, and nobody would ask them who they are.
    Unprotected(SocketAddr),
    /// The address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// Two users have this name.
    UserTwice(String),
    /// A user has a filter that MQTT does not allow.
    BadFilter {
        /// The user's name.
        user: String,
        /// The filter.
        filter: String,
    },
    /// No thread could be started.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Unprotected(address) => {
                write!(
                    f,
                    "{address} can be reached from outside: configure users, or listen on a loopback address"
                )
            }
            StartError::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            StartError::UserTwice(name) => write!(f, "user {name:?} is there twice"),
            StartError::BadFilter { user, filter } => {
                write!(f, "user {user:?}: {filter:?} is no topic filter")
            }
            StartError::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// The next timeout is earlier than it was, or it is time to stop.
    timer: Condvar,
    /// A connection's threads ended.
    ended: Condvar,
    started: Instant,
}

struct Inner {
    router: Router,
    outboxes: BTreeMap<ConnectionId, Arc<Outbox>>,
    last_id: u64,
    /// When the timers' thread wakes up.
    wakes_at_ms: Option<u64>,
    /// Connections whose threads run, those that are being closed included.
    running: usize,
    stopping: bool,
}

impl Broker {
    /// Listens and serves until it is stopped or dropped.
    pub fn start(options: Options) -> Result<Broker, StartError> {
        check(&options)?;
        let listeners: Vec<_> = options
            .listen
            .iter()
            .map(|address| TcpListener::bind(address).map_err(|error| StartError::Listen(*address, error)))
            .collect::<Result<_, _>>()?;
        let clients_max = options.limits.clients;
        let inner = Inner {
            router: Router::new(options.users, options.limits),
            outboxes: BTreeMap::new(),
            last_id: 0,
            wakes_at_ms: None,
            running: 0,
            stopping: false,
        };
        let shared = Arc::new(Shared {
            inner: Mutex::new(inner),
            timer: Condvar::new(),
            ended: Condvar::new(),
            started: Instant::now(),
        });
        let mut broker = Broker { shared, addresses: Vec::new(), threads: Vec::new() };
        for (listener, address) in listeners.into_iter().zip(options.listen) {
            let address = listener.local_addr().map_err(|error| StartError::Listen(address, error))?;
            broker.addresses.push(address);
            let shared = Arc::clone(&broker.shared);
            broker.spawn("mqtt-accept", move || accept(&shared, &listener, clients_max))?;
        }
        let shared = Arc::clone(&broker.shared);
        broker.spawn("mqtt-timers", move || shared.run_timers())?;
        Ok(broker)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
        self.threads.push(spawn(name, run).map_err(StartError::Thread)?);
        Ok(())
    }

    /// The addresses it listens on, with the ports it got.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it has, and had to refuse.
    pub fn counts(&self) -> Counts {
        self.shared.lock().router.counts()
    }

    /// Tells the clients, closes everything, and returns when that is done. Retained messages are gone.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.timer.notify_all();
        for address in &self.addresses {
            // Wakes the thread that accepts; if nobody accepts any more there is nobody to wake.
            let _ = TcpStream::connect_timeout(&reachable(*address), Duration::from_secs(1));
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.shared.with_router(|router, _| router.handle_stop());
        let running = |inner: &mut Inner| inner.running > 0;
        let _ = self.shared.ended.wait_timeout_while(self.shared.lock(), STOP_WAIT, running);
    }
}

/// Every mistake that would open the broker or make a user useless.
fn check(options: &Options) -> Result<(), StartError> {
    if options.users.is_empty()
        && let Some(address) = options.listen.iter().find(|address| !address.ip().is_loopback())
    {
        return Err(StartError::Unprotected(*address));
    }
    for (index, user) in options.users.iter().enumerate() {
        if options.users.iter().take(index).any(|other| other.name == user.name) {
            return Err(StartError::UserTwice(user.name.clone()));
        }
        let mut filters = user.publish.iter().chain(&user.subscribe);
        if let Some(filter) = filters.find(|filter| !topic::is_filter(filter)) {
            return Err(StartError::BadFilter { user: user.name.clone(), filter: filter.clone() });
        }
    }
    Ok(())
}

/// Where to connect to, to reach a listener of this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, address.port())
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).stack_size(STACK_BYTES).spawn(run)
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener, clients_max: usize) {
    loop {
        let accepted = listener.accept();
        if shared.lock().stopping {
            return;
        }
        let served = accepted.and_then(|(socket, peer)| {
            // Those being closed count: their threads run.
            if shared.lock().running >= clients_max {
                return Err(io::Error::other(format!("{peer} refused: {clients_max} clients are connected")));
            }
            shared.serve(socket, peer)
        });
        if let Err(error) = served {
            log::warn!("MQTT: {error}");
            thread::sleep(ACCEPT_PAUSE);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the start.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Tells the router something, and does what it wants done. All under the lock, so that effects keep their order.
    fn with_router(&self, tell: impl FnOnce(&mut Router, u64)) {
        let mut inner = self.lock();
        tell(&mut inner.router, self.now_ms());
        inner.do_effects();
        self.wake_timers(&inner);
    }

    fn wake_timers(&self, inner: &Inner) {
        let earlier = match (inner.router.poll_timeout(), inner.wakes_at_ms) {
            (Some(next), Some(wakes)) => next < wakes,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if earlier {
            self.timer.notify_all();
        }
    }

    fn run_timers(&self) {
        let mut inner = self.lock();
        while !inner.stopping {
            let now_ms = self.now_ms();
            inner.router.handle_timeout(now_ms);
            inner.do_effects();
            inner.wakes_at_ms = inner.router.poll_timeout();
            inner = match inner.wakes_at_ms {
                Some(at_ms) => {
                    let wait = Duration::from_millis(at_ms.saturating_sub(now_ms));
                    self.timer.wait_timeout(inner, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.timer.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Starts the two threads of a connection.
    fn serve(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr) -> io::Result<()> {
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let outbox = Arc::new(Outbox::new(socket.try_clone()?));
        let id = {
            let mut inner = self.lock();
            inner.last_id += 1;
            inner.running += 1;
            let id = ConnectionId(inner.last_id);
            inner.outboxes.insert(id, Arc::clone(&outbox));
            id
        };
        self.with_router(|router, now_ms| router.handle_opened(id, peer.to_string(), now_ms));
        let (shared, own) = (Arc::clone(self), Arc::clone(&outbox));
        if let Err(error) = spawn("mqtt-write", move || shared.run_writer(id, &own)) {
            self.with_router(|router, now_ms| router.handle_closed(id, now_ms));
            self.ended();
            return Err(error);
        }
        let (shared, own) = (Arc::clone(self), Arc::clone(&outbox));
        // Without a reader the writer closes the connection.
        spawn("mqtt-read", move || shared.run_reader(id, socket, &own)).map(drop).inspect_err(|_| {
            self.with_router(|router, now_ms| router.handle_closed(id, now_ms));
            outbox.reader_ended();
        })
    }

    fn ended(&self) {
        self.lock().running -= 1;
        self.ended.notify_all();
    }

    fn run_reader(&self, id: ConnectionId, mut socket: TcpStream, outbox: &Outbox) {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match socket.read(&mut buffer) {
                Ok(0) => break,
                // What comes while the connection is being closed is read, else the client would not get our last
                // words, and not heard.
                Ok(_) if outbox.is_closing() => {}
                Ok(read) => self.with_router(|router, now_ms| {
                    router.handle_bytes(id, buffer.get(..read).unwrap_or_default(), now_ms);
                }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.with_router(|router, now_ms| router.handle_closed(id, now_ms));
        outbox.reader_ended();
    }

    fn run_writer(&self, id: ConnectionId, outbox: &Outbox) {
        while let Some(bytes) = outbox.wait() {
            let written = outbox.socket().write_all(&bytes);
            match written {
                Ok(()) => self.with_router(|router, now_ms| router.handle_written(id, bytes.len(), now_ms)),
                Err(error) => {
                    log::debug!("connection {}: {error}", id.0);
                    self.with_router(|router, now_ms| router.handle_closed(id, now_ms));
                    let _ = outbox.socket().shutdown(Shutdown::Both);
                    break;
                }
            }
        }
        outbox.linger();
        self.ended();
    }
}

impl Inner {
    fn do_effects(&mut self) {
        while let Some(effect) = self.router.poll_effect() {
            match effect {
                Effect::Send { connection, bytes } => {
                    if let Some(outbox) = self.outboxes.get(&connection) {
                        outbox.push(&bytes);
                    }
                }
                Effect::Close { connection } => {
                    if let Some(outbox) = self.outboxes.remove(&connection) {
                        outbox.close();
                    }
                }
            }
        }
    }
}
