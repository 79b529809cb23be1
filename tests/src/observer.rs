//! What a subscriber of the broker sees: every message in order with its time, and the last of each topic.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;
use whichroom_mqtt::{Event, Options, Protocol, Publish, Refused, Secret, Session};

use crate::process::{HANG, wait};

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Delivered because it is retained.
    pub retained: bool,
    /// When it came.
    pub at: Instant,
}

impl Arrived {
    /// The payload as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or(Value::Null)
    }
}

/// A subscriber.
pub struct Observer {
    session: Arc<Session>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    history: Vec<Arrived>,
    last: BTreeMap<String, Arrived>,
    connections: usize,
}

/// A point in the history: what came before it does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(usize);

impl Observer {
    /// Subscribes anonymously.
    pub fn start(port: u16, filters: &[&str]) -> Observer {
        Observer::with_login(port, filters, None)
    }

    /// Subscribes with a name and a password.
    pub fn with_login(port: u16, filters: &[&str], login: Option<(&str, &str)>) -> Observer {
        let shared = Arc::new(Shared::default());
        let (sender, connected) = channel();
        let recorder = Arc::clone(&shared);
        let options = options(port, login);
        let echo = format!("{}/subscribed", options.client_id);
        let own = echo.clone();
        let session = Session::start(options, move |event| match event {
            Event::Message { topic, .. } if topic == own => recorder.count_connection(),
            Event::Message { topic, payload, retained } => {
                recorder.record(Arrived { topic, payload, retained, at: Instant::now() });
            }
            // Fails only while the observer ends.
            Event::Connected { .. } => drop(sender.send(())),
            Event::Disconnected { .. } | Event::Acked(_) | Event::Oversized { .. } => {}
        });
        let session = Arc::new(session);
        let filters: Vec<String> =
            filters.iter().copied().chain([echo.as_str()]).map(str::to_owned).collect();
        let weak = Arc::downgrade(&session);
        std::thread::spawn(move || subscribe(&connected, &weak, &filters, &echo));
        let observer = Observer { session, shared };
        observer.wait_connected(1);
        observer
    }

    /// Waits until it is subscribed for the nth time.
    pub fn wait_connected(&self, times: usize) {
        self.wait_for(&format!("connection number {times} of the observer"), |seen| {
            (seen.connections >= times).then_some(())
        });
    }

    /// How often it connected.
    pub fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Everything so far.
    pub fn history(&self) -> Vec<Arrived> {
        self.lock().history.clone()
    }

    /// What came since the mark.
    pub fn since(&self, mark: Mark) -> Vec<Arrived> {
        self.lock().history[mark.0..].to_vec()
    }

    /// Now.
    pub fn mark(&self) -> Mark {
        Mark(self.lock().history.len())
    }

    /// Forgets the history, not the last of each topic: for who runs long.
    pub fn forget(&self) {
        self.lock().history.clear();
    }

    /// The last of a topic, as JSON.
    pub fn last(&self, topic: &str) -> Option<Value> {
        self.lock().last.get(topic).map(Arrived::json)
    }

    /// The last of a topic, as it came.
    pub fn last_bytes(&self, topic: &str) -> Option<Vec<u8>> {
        self.lock().last.get(topic).map(|arrived| arrived.payload.clone())
    }

    /// Topics that have something in them.
    pub fn topics(&self) -> Vec<String> {
        let seen = self.lock();
        seen.last
            .values()
            .filter(|arrived| !arrived.payload.is_empty())
            .map(|arrived| arrived.topic.clone())
            .collect()
    }

    /// Waits until the last of a topic is as wished, and returns it.
    pub fn wait_last(&self, topic: &str, wished: impl Fn(&Value) -> bool) -> Value {
        self.wait_for(topic, |seen| seen.last.get(topic).map(Arrived::json).filter(&wished))
    }

    /// Waits until the last of a topic is this text.
    pub fn wait_for_text(&self, topic: &str, text: &str) {
        self.wait_for(topic, |seen| {
            seen.last.get(topic).filter(|arrived| arrived.payload == text.as_bytes()).map(|_| ())
        });
    }

    /// Waits for a message since the mark.
    pub fn wait_since(&self, mark: Mark, what: &str, wished: impl Fn(&Arrived) -> bool) -> Arrived {
        self.wait_for(what, |seen| seen.history[mark.0..].iter().find(|arrived| wished(arrived)).cloned())
    }

    /// Publishes at QoS 1.
    pub fn publish(&self, topic: &str, payload: impl AsRef<[u8]>, retain: bool) {
        let publish = Publish { topic: topic.to_owned(), payload: payload.as_ref().to_vec(), retain };
        wait("place for a publish", || match self.session.try_publish(publish.clone()) {
            Ok(_) => Some(()),
            Err(Refused::Full | Refused::NotConnected) => None,
            Err(error @ (Refused::TooLarge { .. } | Refused::BadTopic)) => panic!("{topic}: {error}"),
        });
    }

    fn wait_for<T>(&self, what: &str, mut look: impl FnMut(&Seen) -> Option<T>) -> T {
        let until = Instant::now() + HANG;
        let mut seen = self.lock();
        loop {
            if let Some(found) = look(&seen) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} as wished within {HANG:?}; last: {}", summary(&seen, what));
            let (guard, _) =
                self.shared.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner);
            seen = guard;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.shared.lock()
    }
}

/// The last of the topic, or which topics there are.
fn summary(seen: &Seen, topic: &str) -> String {
    let text = |arrived: &Arrived| String::from_utf8_lossy(&arrived.payload).into_owned();
    seen.last.get(topic).map_or_else(|| format!("{:?}", seen.last.keys().collect::<Vec<_>>()), text)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_connection(&self) {
        self.lock().connections += 1;
        self.changed.notify_all();
    }

    fn record(&self, arrived: Arrived) {
        let mut seen = self.lock();
        seen.last.insert(arrived.topic.clone(), arrived.clone());
        seen.history.push(arrived);
        drop(seen);
        self.changed.notify_all();
    }
}

/// Subscribes at each connection. The echo tells when the broker has taken the subscription.
fn subscribe(connected: &Receiver<()>, session: &Weak<Session>, filters: &[String], echo: &str) {
    while connected.recv().is_ok() {
        let Some(session) = session.upgrade() else { return };
        // A connection lost again meanwhile brings another turn.
        if session.subscribe(filters).is_ok() {
            let echo = Publish { topic: echo.to_owned(), payload: Vec::new(), retain: false };
            let _ = session.try_publish(echo);
        }
    }
}

fn options(port: u16, login: Option<(&str, &str)>) -> Options {
    Options {
        host: "127.0.0.1".to_owned(),
        port,
        username: login.map(|(name, _)| name.to_owned()),
        password: login.map(|(_, password)| Secret::new(password)),
        client_id: format!("observer-{}-{}", std::process::id(), crate::mosquitto::free_port()),
        keep_alive: Duration::from_secs(20),
        will: None,
        will_delay_s: 0,
        packet_max: 4 << 20,
        protocol: Protocol::V4,
        clean_session: true,
        tls: None,
    }
}
