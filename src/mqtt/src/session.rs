//! The session: a thread that connects, connects again, and reports; and a handle that never blocks.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::backoff::Backoff;
use crate::in_flight::InFlight;
use crate::link::{Link, Lost, LostKind, Sender, Step};
use crate::options::{Options, Publish};
use crate::versions::{Version, Versions};

/// Publishes that may wait for the broker's acknowledgement at one time.
pub const IN_FLIGHT_MAX: usize = 64;

/// The library's futures and the owner's callback run on it.
const STACK_BYTES: usize = 256 * 1024;
/// For the resolver, which runs on a thread of the runtime.
const RESOLVER_STACK_BYTES: usize = 128 * 1024;
/// How long a broker may take to close the connection after our DISCONNECT; when we close first, what it had not
/// read is lost with some of them.
const DISCONNECT_WAIT: Duration = Duration::from_millis(500);
/// What a publish has beyond topic and payload, at most: lengths, packet id, and the like.
const HEADER_MAX: usize = 16;

/// A publish that was handed over; no other of this process has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(u64);

impl Token {
    /// The token of this number: for tests of what owns a session, which have none.
    pub const fn from_number(number: u64) -> Token {
        Token(number)
    }

    fn next() -> Token {
        static LAST: Mutex<u64> = Mutex::new(0);
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        Token(*last)
    }
}

/// What happened to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The broker took the connection. Subscribe now: nothing is remembered from one connection to the next.
    Connected {
        /// The broker still has our subscriptions and what came meanwhile.
        session_present: bool,
    },
    /// The connection was lost, or an attempt failed. What was not acknowledged is possibly lost.
    Disconnected {
        /// Why, in plain words.
        why: String,
        /// When the next attempt comes.
        retry_in: Duration,
    },
    /// A message came.
    Message {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Vec<u8>,
        /// It was delivered because it is retained, and may be old.
        retained: bool,
    },
    /// The broker has this publish.
    Acked(Token),
    /// A message larger than [`Options::packet_max`] came and was dropped.
    Oversized {
        /// Its topic; `None` if it was so large that it was not even read, which ends the connection.
        topic: Option<String>,
        /// How large it was.
        bytes: usize,
    },
}

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no connection: wait for [`Event::Connected`].
    NotConnected,
    /// Too much is in flight: wait for [`Event::Acked`].
    Full,
    /// The broker, or [`Options::packet_max`], does not allow packets of this size: sending it again is no use.
    TooLarge {
        /// The packet's size.
        bytes: usize,
        /// The largest that goes.
        limit: usize,
    },
    /// MQTT does not allow this topic or filter: sending it again is no use.
    BadTopic,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NotConnected => f.write_str("not connected to the broker"),
            Refused::Full => write!(f, "{IN_FLIGHT_MAX} messages already wait for the broker"),
            Refused::TooLarge { bytes, limit } => write!(f, "{bytes} bytes, of which at most {limit} go"),
            Refused::BadTopic => f.write_str("not a topic that MQTT allows"),
        }
    }
}

impl std::error::Error for Refused {}

/// A connection to a broker that is kept up. Dropped without [`close`](Session::close) it goes like a pulled plug:
/// the broker publishes the will.
pub struct Session {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A publish in flight; the topic is for the log.
struct Handed {
    token: Token,
    topic: String,
}

/// What the handle and the thread share.
struct Shared {
    state: Mutex<State>,
    /// Something left `publishes`, or the connection went.
    changed: Condvar,
    /// To be told once: end now.
    stop: Notify,
}

struct State {
    /// Only while connected.
    sender: Option<Sender>,
    publishes: InFlight<Handed>,
    subscribes: InFlight<Vec<String>>,
    /// The largest packet that goes over this connection.
    packet_max: usize,
    /// DISCONNECT was asked for: the loss of the connection is no news.
    closing: bool,
    /// The thread is to end now.
    stopped: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the thread, wherever it waits.
    fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_all();
        self.stop.notify_one();
    }
}

impl Session {
    /// Starts to connect. `on_event` is called on the session's thread, which is the one that talks to the broker:
    /// it must return soon. It may publish and subscribe; it must not close the session.
    ///
    /// # Panics
    ///
    /// If the operating system gives no thread, as [`std::thread::spawn`] does.
    #[expect(clippy::expect_used, reason = "as std::thread::spawn, which cannot be given a stack size")]
    pub fn start(options: Options, on_event: impl FnMut(Event) + Send + 'static) -> Session {
        let state = State {
            sender: None,
            publishes: InFlight::new(),
            subscribes: InFlight::new(),
            packet_max: options.packet_max,
            closing: false,
            stopped: false,
        };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), stop: Notify::new() });
        let mut worker = Worker { options, shared: Arc::clone(&shared), on_event: Box::new(on_event) };
        let thread = thread::Builder::new().name("mqtt".into()).stack_size(STACK_BYTES);
        let thread = thread.spawn(move || worker.run()).expect("failed to spawn thread");
        Session { shared, thread: Some(thread) }
    }

    /// Hands a message over, or says at once why not. [`Event::Acked`] with the token follows, or
    /// [`Event::Disconnected`].
    pub fn try_publish(&self, publish: Publish) -> Result<Token, Refused> {
        let mut state = self.shared.state();
        let state = &mut *state;
        let sender = state.sender.as_ref().ok_or(Refused::NotConnected)?;
        if state.publishes.len() >= IN_FLIGHT_MAX {
            return Err(Refused::Full);
        }
        if !is_string(&publish.topic) || !rumqttc::valid_topic(&publish.topic) {
            return Err(Refused::BadTopic);
        }
        let bytes = publish.topic.len() + publish.payload.len() + HEADER_MAX;
        if bytes > state.packet_max {
            return Err(Refused::TooLarge { bytes, limit: state.packet_max });
        }
        let topic = publish.topic.clone();
        sender.publish(publish).map_err(|_| Refused::Full)?;
        let token = Token::next();
        state.publishes.hand_over(Handed { token, topic });
        Ok(token)
    }

    /// Subscribes at QoS 1, in one packet. A filter that the broker refuses is logged as an error.
    pub fn subscribe(&self, filters: &[String]) -> Result<(), Refused> {
        let mut state = self.shared.state();
        let sender = state.sender.as_ref().ok_or(Refused::NotConnected)?;
        if filters.is_empty()
            || !filters.iter().all(|filter| is_string(filter) && rumqttc::valid_filter(filter))
        {
            return Err(Refused::BadTopic);
        }
        sender.subscribe(filters).map_err(|_| Refused::Full)?;
        state.subscribes.hand_over(filters.to_vec());
        Ok(())
    }

    /// Waits up to `wait` for what is in flight to be acknowledged, then says goodbye, so that the broker does not
    /// publish the will. No event comes after this.
    pub fn close(mut self, wait: Duration) {
        self.say_goodbye(wait);
        self.shared.stop();
        if let Some(thread) = self.thread.take() {
            // It panicked only if the owner's callback did, and that was reported when it happened.
            let _ = thread.join();
        }
    }

    fn say_goodbye(&self, wait: Duration) {
        let waiting = |state: &mut State| state.sender.is_some() && state.publishes.len() > 0;
        let waited = self.shared.changed.wait_timeout_while(self.shared.state(), wait, waiting);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.closing = true;
        let Some(Ok(())) = state.sender.as_ref().map(Sender::disconnect) else { return };
        let connected = |state: &mut State| state.sender.is_some();
        let _ = self.shared.changed.wait_timeout_while(state, DISCONNECT_WAIT, connected);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// MQTT's strings: 16 bits of length, no NUL; topics and filters are not empty.
fn is_string(text: &str) -> bool {
    !text.is_empty() && text.len() <= usize::from(u16::MAX) && !text.contains('\0')
}

/// Spreads clients by their ids (FNV-1a): different ones wait for different times.
fn seed(client_id: &str) -> u32 {
    client_id.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// How a connection ended.
enum Ended {
    /// As asked for.
    Stopped,
    Lost(Lost),
}

/// The session's thread.
struct Worker {
    options: Options,
    shared: Arc<Shared>,
    on_event: Box<dyn FnMut(Event) + Send>,
}

impl Worker {
    fn run(&mut self) {
        let mut backoff = Backoff::new(seed(&self.options.client_id));
        loop {
            // A panic of the library, or of the owner's callback, must not end the session without a word.
            let why = match catch_unwind(AssertUnwindSafe(|| self.run_runtime(&mut backoff))) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => format!("no event loop: {error}"),
                Err(_) => "something panicked; the log has it".to_owned(),
            };
            self.forget_connection();
            let retry_in = backoff.after(Duration::ZERO);
            (self.on_event)(Event::Disconnected { why, retry_in });
            let going_on = |state: &mut State| !state.stopped;
            let waited = self.shared.changed.wait_timeout_while(self.shared.state(), retry_in, going_on);
            if waited.unwrap_or_else(PoisonError::into_inner).0.stopped {
                return;
            }
        }
    }

    fn run_runtime(&mut self, backoff: &mut Backoff) -> io::Result<()> {
        let runtime = runtime()?;
        runtime.block_on(self.keep_connected(backoff));
        // Else a resolver that hangs would hold us up.
        runtime.shutdown_background();
        Ok(())
    }

    async fn keep_connected(&mut self, backoff: &mut Backoff) {
        let mut versions = Versions::new(self.options.protocol);
        loop {
            let version = versions.next();
            let mut connected_at = None;
            let ended = self.connect(version, &mut connected_at).await;
            let closing = self.forget_connection();
            let Ended::Lost(lost) = ended else { return };
            if closing {
                return;
            }
            if versions.learn(&lost.kind) {
                log::info!("{}: going on with MQTT 3.1.1", lost.why);
                continue;
            }
            if let LostKind::Oversized(bytes) = lost.kind {
                (self.on_event)(Event::Oversized { topic: None, bytes });
            }
            let lasted = connected_at.map_or(Duration::ZERO, |at: Instant| at.elapsed());
            let retry_in = backoff.after(lasted);
            let why = format!("{}:{}: {}", self.options.host, self.options.port, lost.why);
            (self.on_event)(Event::Disconnected { why, retry_in });
            if timeout(retry_in, self.shared.stop.notified()).await.is_ok() {
                return;
            }
        }
    }

    /// Nothing of a connection is used for the next.
    fn forget_connection(&self) -> bool {
        let mut state = self.shared.state();
        state.sender = None;
        state.publishes.clear();
        state.subscribes.clear();
        self.shared.changed.notify_all();
        state.closing
    }

    async fn connect(&mut self, version: Version, connected_at: &mut Option<Instant>) -> Ended {
        let shared = Arc::clone(&self.shared);
        let (sender, mut link) = Link::new(&self.options, version);
        let mut sender = Some(sender);
        // Something happens at each ping at the latest. The library itself waits for ever when it writes and the
        // broker does not read.
        let silence_max = self.options.keep_alive_from(Duration::from_secs(5)) * 2 + Duration::from_secs(10);
        loop {
            let step = tokio::select! {
                biased;
                () = shared.stop.notified() => return Ended::Stopped,
                step = timeout(silence_max, link.next()) => step,
            };
            match step {
                Ok(Ok(Step::Connected { session_present, packet_max })) => {
                    *connected_at = Some(Instant::now());
                    self.accept(sender.take(), packet_max);
                    (self.on_event)(Event::Connected { session_present });
                }
                Ok(Ok(step)) => self.handle_step(step),
                Ok(Err(lost)) => return Ended::Lost(lost),
                Err(_) => return Ended::Lost(Lost::plain("the broker does not read any more")),
            }
        }
    }

    fn accept(&self, sender: Option<Sender>, packet_max: Option<usize>) {
        let mut state = self.shared.state();
        state.sender = sender;
        state.packet_max = self.options.packet_max.min(packet_max.unwrap_or(usize::MAX));
    }

    fn handle_step(&mut self, step: Step) {
        match step {
            Step::Message { topic, payload, retained } => self.deliver(topic, payload, retained),
            Step::Sent(packet_id) => self.shared.state().publishes.sent(packet_id),
            Step::SubscribeSent(packet_id) => self.shared.state().subscribes.sent(packet_id),
            Step::Acked { packet_id, refused } => self.acked(packet_id, refused),
            Step::SubscribeAnswered { packet_id, refused } => self.subscribed(packet_id, &refused),
            Step::Connected { .. } | Step::DisconnectSent | Step::Other => {}
        }
    }

    fn deliver(&mut self, topic: String, payload: Vec<u8>, retained: bool) {
        let bytes = topic.len() + payload.len();
        if bytes > self.options.packet_max {
            return (self.on_event)(Event::Oversized { topic: Some(topic), bytes });
        }
        (self.on_event)(Event::Message { topic, payload, retained });
    }

    fn acked(&mut self, packet_id: u16, refused: Option<String>) {
        let handed = self.shared.state().publishes.answered(packet_id);
        self.shared.changed.notify_all();
        let Some(Handed { token, topic }) = handed else { return };
        if let Some(why) = refused {
            log::warn!("the broker refused a message on {topic}: {why}");
        }
        (self.on_event)(Event::Acked(token));
    }

    fn subscribed(&mut self, packet_id: u16, refused: &[Option<String>]) {
        let filters = self.shared.state().subscribes.answered(packet_id).unwrap_or_default();
        for (filter, why) in filters.iter().zip(refused) {
            if let Some(why) = why {
                log::error!("the broker refused the subscription to {filter}: {why}");
            }
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(1)
        .thread_stack_size(RESOLVER_STACK_BYTES)
        .build()
}
