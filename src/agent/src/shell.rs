//! Sockets, threads, the clock and signals around the [`Core`]. One queue feeds the main thread, which owns the
//! core; the ubus reader, the MQTT session and the signal thread only send to it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use whichroom_mqtt::{Event, Publish, Refused, Session, Token};
use whichroom_ubus::message::{Kind, Message};
use whichroom_ubus::{Connection, Delivery, PATHS};
use whichroom_wire::Mac;

use crate::collector::{Action, NOTICES, address, lease_file};
use crate::core::{Core, Effect, Outgoing, Probes, Refusal};
use crate::outbox::Slot;

const STACK: usize = 128 << 10;
/// Messages of ubusd that may wait for the main thread; what is beyond is dropped, and polls make up for it.
const WAITING_MAX: usize = 1024;
const LEASES: &str = "/tmp/dhcp.leases";
const LEASES_BYTES_MAX: u64 = 256 << 10;
/// For the broker's acknowledgement of what is under way at the end. A jail is killed after a second.
const CLOSE_WAIT: Duration = Duration::from_millis(800);
/// How long `--once` waits for answers.
const ONCE_WAIT_MS: u64 = 8_000;

/// What reaches the main thread.
enum Input {
    /// From the ubus connection of that number; those before it are history.
    Ubus(u32, Delivery),
    Mqtt(Event),
    Stop,
}

/// What waits for the main thread. A channel of the standard library is ten kilobytes of code.
#[derive(Default)]
struct Queue {
    inputs: Mutex<VecDeque<Input>>,
    arrived: Condvar,
}

impl Queue {
    fn push(&self, input: Input) {
        let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        let droppable = matches!(input, Input::Ubus(_, Delivery::Message(_)));
        if !droppable || inputs.len() < WAITING_MAX {
            inputs.push_back(input);
            self.arrived.notify_one();
        }
    }

    fn pop(&self, wait: Duration) -> Option<Input> {
        let inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.arrived.wait_timeout_while(inputs, wait, |inputs| inputs.is_empty());
        let (mut inputs, _) = waited.unwrap_or_else(PoisonError::into_inner);
        inputs.pop_front()
    }
}

/// Which stations' probes the reading thread passes on.
struct Gate {
    probes: Probes,
    /// Sorted.
    tracked: RwLock<Vec<Mac>>,
}

impl Gate {
    /// Looks at type and name first: most of what comes is probes of strangers.
    fn accepts(&self, message: &Message<'_>) -> bool {
        if message.kind != Kind::Invoke {
            return true;
        }
        let attributes = message.attributes();
        match attributes.method() {
            Some(b"probe") => match self.probes {
                Probes::Off => false,
                Probes::All => true,
                Probes::Tracked => {
                    attributes.data().and_then(address).is_some_and(|mac| self.is_tracked(mac))
                }
            },
            Some(name) => {
                name.starts_with(b"ubus.object.") || NOTICES.iter().any(|known| known.as_bytes() == name)
            }
            None => false,
        }
    }

    fn is_tracked(&self, mac: Mac) -> bool {
        self.tracked.read().unwrap_or_else(PoisonError::into_inner).binary_search(&mac).is_ok()
    }
}

/// Everything the core's effects act on.
pub(crate) struct Shell {
    core: Core,
    started: Instant,
    ubus_path: Option<PathBuf>,
    ubus: Option<Connection>,
    ubus_number: u32,
    mqtt: Option<Session>,
    under_way: Vec<(Token, Slot)>,
    gate: Arc<Gate>,
    queue: Arc<Queue>,
    stopped: bool,
}

impl Shell {
    /// A shell around a core whose time starts now.
    pub(crate) fn new(core: Core, probes: Probes, ubus_path: Option<PathBuf>) -> Shell {
        Shell {
            core,
            started: Instant::now(),
            ubus_path,
            ubus: None,
            ubus_number: 0,
            mqtt: None,
            under_way: Vec::new(),
            gate: Arc::new(Gate { probes, tracked: RwLock::default() }),
            queue: Arc::default(),
            stopped: false,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Reports to the broker until a signal ends it; an error is a reason to give up.
    pub(crate) fn run(mut self, options: whichroom_mqtt::Options) -> Result<(), String> {
        let queue = Arc::clone(&self.queue);
        on_signal(move || queue.push(Input::Stop)).map_err(|error| format!("signals: {error}"))?;
        let queue = Arc::clone(&self.queue);
        self.mqtt = Some(Session::start(options, move |event| queue.push(Input::Mqtt(event))));
        while !self.stopped {
            self.step(None)?;
        }
        if let Some(session) = self.mqtt.take() {
            session.close(CLOSE_WAIT);
        }
        Ok(())
    }

    /// Looks around without a broker and gives what would be published.
    pub(crate) fn once(mut self) -> Result<[(&'static str, Vec<u8>); 3], String> {
        loop {
            self.step(Some(ONCE_WAIT_MS))?;
            let now_ms = self.now_ms();
            let (messages, complete) = self.core.snapshot(now_ms);
            if complete {
                return Ok(messages);
            }
            let problems = self.core.problems();
            let ubus_lost = self.ubus.is_none() && !problems.is_empty();
            if ubus_lost {
                return Err(problems.join("; "));
            }
            if now_ms >= ONCE_WAIT_MS {
                log::warn!("not everything was answered in {} s", ONCE_WAIT_MS / 1000);
                return Ok(messages);
            }
        }
    }

    /// Waits for one thing to happen, or for what is due, at `at_most_ms` at the latest.
    fn step(&mut self, at_most_ms: Option<u64>) -> Result<(), String> {
        let due_ms = self.core.poll_timeout().min(at_most_ms.unwrap_or(u64::MAX));
        let wait = Duration::from_millis(due_ms.saturating_sub(self.now_ms()));
        if let Some(input) = self.queue.pop(wait) {
            self.handle(input);
            self.carry_out()?;
        }
        let now_ms = self.now_ms();
        if self.core.poll_timeout() <= now_ms {
            self.core.handle_timeout(now_ms);
            self.carry_out()?;
        }
        Ok(())
    }

    fn handle(&mut self, input: Input) {
        let now_ms = self.now_ms();
        match input {
            Input::Ubus(number, delivery) => self.handle_ubus(number, delivery, now_ms),
            Input::Mqtt(event) => self.handle_mqtt(event, now_ms),
            Input::Stop => {
                log::info!("stopping");
                self.core.handle_stop(now_ms);
            }
        }
    }

    fn handle_ubus(&mut self, number: u32, delivery: Delivery, now_ms: u64) {
        let current = number == self.ubus_number && self.ubus.is_some();
        match delivery {
            Delivery::Message(message) => {
                if current {
                    self.core.handle_ubus_message(message.message(), now_ms);
                }
            }
            Delivery::Closed(why) if current => {
                self.ubus = None;
                self.core.handle_ubus_closed(&why, now_ms);
            }
            Delivery::Closed(_) => {}
        }
    }

    fn handle_mqtt(&mut self, event: Event, now_ms: u64) {
        match event {
            Event::Connected { .. } => {
                log::info!("connected to the broker");
                self.under_way.clear();
                self.core.handle_connected(now_ms);
            }
            Event::Disconnected { why, retry_in } => {
                log::warn!("broker: {why}; trying again in {} s", retry_in.as_secs().max(1));
                self.under_way.clear();
                self.core.handle_disconnected();
            }
            Event::Message { topic, payload, retained } => {
                self.core.handle_publish(&topic, &payload, retained, now_ms);
            }
            Event::Acked(token) => {
                if let Some(at) = self.under_way.iter().position(|(known, _)| *known == token) {
                    let (_, slot) = self.under_way.swap_remove(at);
                    self.core.handle_acked(slot);
                }
            }
            Event::Oversized { topic, bytes } => {
                log::warn!(
                    "{}: {bytes} bytes are too much, ignored",
                    topic.as_deref().unwrap_or("a message")
                );
            }
        }
    }

    fn carry_out(&mut self) -> Result<(), String> {
        while let Some(effect) = self.core.poll_effect(self.now_ms()) {
            match effect {
                Effect::Publish(slot, outgoing) => self.publish(slot, outgoing),
                Effect::Ubus(action) => self.act(action)?,
                Effect::Subscribe(topics) => {
                    if let Some(Err(refused)) = self.mqtt.as_ref().map(|mqtt| mqtt.subscribe(&topics)) {
                        log::warn!("broker: subscription: {refused}");
                    }
                }
                Effect::Track(macs) => {
                    *self.gate.tracked.write().unwrap_or_else(PoisonError::into_inner) = macs;
                }
                Effect::Stop => self.stopped = true,
            }
        }
        Ok(())
    }

    fn publish(&mut self, slot: Slot, outgoing: Outgoing) {
        let Outgoing { topic, payload, retain } = outgoing;
        let Some(mqtt) = &self.mqtt else { return };
        let result = mqtt.try_publish(Publish { topic, payload, retain });
        let result = match result {
            Ok(token) => {
                self.under_way.push((token, slot));
                Ok(())
            }
            Err(Refused::NotConnected | Refused::Full) => Err(Refusal::NotNow),
            Err(refused @ (Refused::TooLarge { .. } | Refused::BadTopic)) => {
                log::error!("{slot:?}: {refused}");
                Err(Refusal::Never)
            }
        };
        self.core.handle_handed_over(slot, result, self.now_ms());
    }

    fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Open => self.open_ubus(),
            Action::Close => self.ubus = None,
            Action::Send(bytes) => {
                let sent = self.ubus.as_ref().map(|ubus| ubus.send(&bytes));
                if let Some(Err(error)) = sent {
                    self.ubus = None;
                    self.core.handle_ubus_closed(&error.to_string(), self.now_ms());
                }
            }
            Action::ReadLeases => {
                let leases = read_leases(Path::new(LEASES)).unwrap_or_default();
                self.core.handle_leases(leases, self.now_ms());
            }
            Action::GiveUp(why) => return Err(why),
        }
        Ok(())
    }

    fn open_ubus(&mut self) {
        self.ubus_number = self.ubus_number.wrapping_add(1);
        let opened =
            whichroom_ubus::connect(self.ubus_path.as_deref()).and_then(|stream| self.read_ubus(stream));
        match opened {
            Ok(connection) => {
                self.ubus = Some(connection);
                self.core.handle_ubus_opened(self.now_ms());
            }
            Err(error) => {
                let path = self.ubus_path.as_deref().unwrap_or(Path::new(PATHS[0]));
                self.core.handle_ubus_failed(&error.to_string(), is_mounted(path), self.now_ms());
            }
        }
    }

    fn read_ubus(&self, stream: UnixStream) -> io::Result<Connection> {
        let (number, queue, gate) = (self.ubus_number, Arc::clone(&self.queue), Arc::clone(&self.gate));
        let deliver = move |delivery| queue.push(Input::Ubus(number, delivery));
        Connection::open(stream, move |message| gate.accepts(message), deliver)
    }
}

/// Calls `then` for each SIGTERM and SIGINT, on a thread of its own.
fn on_signal(then: impl Fn() + Send + 'static) -> io::Result<()> {
    let (mut reader, writer) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, writer.try_clone()?)?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGINT, writer)?;
    thread::Builder::new().name("signals".into()).stack_size(STACK).spawn(move || {
        let mut byte = [0];
        while matches!(reader.read(&mut byte), Ok(1)) {
            then();
        }
    })?;
    Ok(())
}

/// Whether the socket was mounted into a jail: it then lies on another file system than its directory.
fn is_mounted(socket: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    let directory = socket.parent().and_then(device);
    device(socket).zip(directory).is_some_and(|(socket, directory)| socket != directory)
}

fn read_leases(path: &Path) -> Option<Vec<whichroom_wire::Host>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(LEASES_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(lease_file(&String::from_utf8_lossy(&bytes)))
}
