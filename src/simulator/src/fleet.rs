//! The shell around [`World`]: one MQTT session for each access point, as its agent would have, and a thread that lets
//! the home's time pass. Nothing said is lost, and nothing is overtaken by time: the home lives from one message to the
//! next, and goes on when its [`Companion`] has taken that one and what the companion asked has come. So what follows
//! does not depend on how fast that is; a slow machine makes a slow home.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use whichroom_mqtt::{Event, Options, Protocol, Publish, Refused, Session, Token};
use whichroom_wire::{AGENT_PAYLOAD_MAX, AgentMessage, Id, Mac, Request, Root, State, Topic};

use crate::access_point::Output;
use crate::world::World;

/// How often a home that waits for its time looks at the companion's clock.
const PACE: Duration = Duration::from_millis(4);
/// A connection that was lost can take a message or a request with it: nobody waits longer than this for one.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a stop waits for the broker to take the last messages.
const FAREWELL: Duration = Duration::from_secs(2);
const SECOND_MS: u64 = 1_000;

/// Whoever listens to the home, and lives by its time.
pub trait Companion: Send + 'static {
    /// How far the home's time may go on by now, in milliseconds; it is at `now_ms`.
    fn target_ms(&mut self, now_ms: u64) -> u64;

    /// The home's time goes on. Answered with [`Step::done`].
    fn live(&mut self, step: Step);

    /// A simulated second is over.
    fn handle_second(&mut self, world: &World);
}

/// A step of the home's time.
pub struct Step {
    /// It is this time now. What the companion wants to do by itself until then it does first.
    pub until_ms: u64,
    /// The access points then say things: so many messages in all, since the beginning.
    pub said: u64,
    /// To be called when as many came, and what they led to was done.
    pub done: Box<dyn FnOnce(Lived) + Send>,
}

/// What the companion says when a step is over.
#[derive(Debug, Clone, Copy)]
pub struct Lived {
    /// Messages of access points that came in all.
    pub heard: u64,
    /// Requests to access points that it made in all.
    pub asked: u64,
    /// When it wants to do something by itself next: the home's time does not go beyond it in one step.
    pub due_ms: Option<u64>,
}

/// Where the access points publish.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// The broker's host.
    pub host: String,
    /// The broker's port.
    pub port: u16,
    /// The site in the topics.
    pub site: Id,
}

/// The running access points of a home.
pub struct Fleet {
    inputs: mpsc::Sender<Input>,
    thread: Option<JoinHandle<World>>,
}

enum Input {
    Agent(usize, Event),
    Lived(Lived),
    Stop,
}

/// One access point's side of the connection.
struct Agent {
    session: Session,
    is_connected: bool,
    connected_before: bool,
    pending: VecDeque<Output>,
    in_flight: VecDeque<(Token, Output)>,
}

/// The thread's belongings.
struct Worker<C> {
    world: World,
    root: Root,
    agents: Vec<Agent>,
    companion: C,
    /// For the companion's answers.
    inputs: mpsc::Sender<Input>,
    /// What it answered to the last step; `None` until it does.
    lived: Option<Lived>,
    /// Messages that the companion is to take, in all.
    said: u64,
    /// Requests that came, in all.
    came: u64,
    /// What is said now, and was not handed over yet.
    waiting: VecDeque<Output>,
    /// The last second that the companion was told of.
    second: u64,
    waits_since: Instant,
}

impl Fleet {
    /// Connects every access point, and lets the home live.
    pub fn start(world: World, options: &FleetOptions, companion: impl Companion) -> std::io::Result<Fleet> {
        let (inputs, receiver) = mpsc::channel();
        let agents = (0..world.access_points().len()).map(|ap| {
            let events = inputs.clone();
            // The receiver is gone only when the fleet stopped: nobody is left to tell.
            let session = Session::start(mqtt_options(&world, ap, options), move |event| {
                drop(events.send(Input::Agent(ap, event)))
            });
            Agent {
                session,
                is_connected: false,
                connected_before: false,
                pending: VecDeque::new(),
                in_flight: VecDeque::new(),
            }
        });
        let agents = agents.collect();
        let mut worker = Worker {
            second: world.now_ms() / SECOND_MS,
            world,
            root: Root::new(&options.site),
            agents,
            companion,
            inputs: inputs.clone(),
            lived: Some(Lived { heard: 0, asked: 0, due_ms: None }),
            said: 0,
            came: 0,
            waiting: VecDeque::new(),
            waits_since: Instant::now(),
        };
        let thread = thread::Builder::new().name("fleet".into()).spawn(move || {
            worker.run(&receiver);
            worker.stop()
        })?;
        Ok(Fleet { inputs, thread: Some(thread) })
    }

    /// Lets every agent say goodbye, and returns the home as it is. `None` if the thread panicked.
    pub fn stop(mut self) -> Option<World> {
        let _ = self.inputs.send(Input::Stop);
        self.thread.take()?.join().ok()
    }
}

fn mqtt_options(world: &World, ap: usize, options: &FleetOptions) -> Options {
    let access_point = &world.access_points()[ap];
    let topic = Root::new(&options.site).full(&Topic::ApStatus(access_point.id.clone()));
    Options {
        host: options.host.clone(),
        port: options.port,
        username: None,
        password: None,
        client_id: format!("wr-{}-{}-{}", options.site, access_point.id, access_point.node),
        keep_alive: Duration::from_secs(20),
        will: Some(Publish { topic, payload: world.farewell(ap).payload(world.now_ms()), retain: true }),
        will_delay_s: 0,
        packet_max: AGENT_PAYLOAD_MAX,
        protocol: Protocol::V4,
        clean_session: true,
        tls: None,
    }
}

impl<C: Companion> Worker<C> {
    fn run(&mut self, inputs: &mpsc::Receiver<Input>) {
        loop {
            let input = match inputs.recv_timeout(PACE) {
                Ok(input) => Some(input),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            for input in input.into_iter().chain(inputs.try_iter()) {
                if self.handle(input) {
                    return;
                }
            }
            self.send();
            self.go_on();
        }
    }

    /// Returns whether to stop.
    fn handle(&mut self, input: Input) -> bool {
        match input {
            Input::Agent(ap, event) => self.handle_event(ap, event),
            Input::Lived(lived) => self.lived = Some(lived),
            Input::Stop => return true,
        }
        false
    }

    /// A step, if the last one is over and it is time.
    fn go_on(&mut self) {
        let is_sent = |agent: &Agent| agent.pending.is_empty() && agent.in_flight.is_empty();
        if !self.agents.iter().all(|agent| agent.is_connected && is_sent(agent)) {
            self.waits_since = Instant::now();
            return;
        }
        match self.lived {
            Some(lived) if lived.asked <= self.came => self.step(lived),
            _ if self.waits_since.elapsed() >= PATIENCE => self.give_up_waiting(),
            _ => {}
        }
    }

    /// Up to the next message, as far as the clock allows.
    fn step(&mut self, lived: Lived) {
        // After a lost connection more may have come than was counted.
        self.said = self.said.max(lived.heard);
        let now_ms = self.world.now_ms();
        if now_ms / SECOND_MS > self.second {
            self.second = now_ms / SECOND_MS;
            self.companion.handle_second(&self.world);
        }
        let target_ms = self.companion.target_ms(now_ms);
        if self.waiting.is_empty() {
            // An answer to a request is said at once.
            if target_ms <= now_ms && !self.world.has_outputs() {
                return;
            }
            let second_ms = (self.second + 1) * SECOND_MS;
            let due_ms = lived.due_ms.map_or(u64::MAX, |due_ms| due_ms.max(now_ms + 1));
            let until_ms = target_ms.max(now_ms).min(second_ms).min(due_ms);
            self.waiting.extend(self.world.advance_to_next(until_ms));
        }
        // Who speaks at the same time is heard one after the other, in the same order each time.
        let speaker = self.waiting.front().map(|output| output.ap.clone());
        let count = self.waiting.iter().take_while(|output| Some(&output.ap) == speaker.as_ref()).count();
        let outputs: Vec<Output> = self.waiting.drain(..count).collect();
        self.live(self.said + outputs.len() as u64);
        outputs.into_iter().for_each(|output| self.queue(output));
        self.send();
    }

    fn live(&mut self, said: u64) {
        (self.said, self.lived, self.waits_since) = (said, None, Instant::now());
        let inputs = self.inputs.clone();
        // The receiver is gone only when the fleet stopped: nobody is left to tell.
        let done = Box::new(move |lived| drop(inputs.send(Input::Lived(lived))));
        self.companion.live(Step { until_ms: self.world.now_ms(), said, done });
    }

    /// Something was lost with a connection: the home lives without it.
    fn give_up_waiting(&mut self) {
        log::warn!("a message of the simulated home, or a request to it, was lost");
        match self.lived {
            Some(lived) => self.came = lived.asked,
            None => self.live(0),
        }
    }

    fn queue(&mut self, output: Output) {
        if let Some(ap) = self.world.access_points().iter().position(|ap| ap.id == output.ap) {
            self.agents[ap].pending.push_back(output);
        }
    }

    fn send(&mut self) {
        let now_ms = self.world.now_ms();
        for agent in &mut self.agents {
            while let Some(output) = agent.pending.front() {
                let publish = Publish {
                    topic: self.root.full(&output.topic()),
                    payload: output.payload(now_ms),
                    retain: output.retain(),
                };
                match agent.session.try_publish(publish) {
                    Ok(token) => {
                        agent.in_flight.extend(agent.pending.pop_front().map(|output| (token, output)))
                    }
                    Err(Refused::NotConnected | Refused::Full) => break,
                    Err(error @ (Refused::TooLarge { .. } | Refused::BadTopic)) => {
                        log::error!("{} is not published: {error}", output.topic());
                        agent.pending.pop_front();
                    }
                }
            }
        }
    }

    fn handle_event(&mut self, ap: usize, event: Event) {
        match event {
            Event::Connected { .. } => self.handle_connected(ap),
            Event::Acked(token) => self.agents[ap].in_flight.retain(|(handed, _)| *handed != token),
            Event::Disconnected { why, .. } => {
                log::debug!("{}: {why}", self.world.access_points()[ap].id);
                let agent = &mut self.agents[ap];
                agent.is_connected = false;
                while let Some((_, output)) = agent.in_flight.pop_back() {
                    agent.pending.push_front(output);
                }
            }
            Event::Message { topic, payload, .. } => self.handle_message(ap, &topic, &payload),
            Event::Oversized { .. } => {}
        }
    }

    /// After a loss the present state comes first, then the events that waited.
    fn handle_connected(&mut self, ap: usize) {
        let id = &self.world.access_points()[ap].id;
        let (own, requests) = (Topic::ApStatus(id.clone()), Topic::ApRequest(id.clone()));
        let filters = [&Topic::Tracked, &own, &requests].map(|topic| self.root.full(topic));
        let agent = &mut self.agents[ap];
        if let Err(error) = agent.session.subscribe(&filters) {
            log::debug!("{own}: not subscribed: {error}");
        }
        agent.is_connected = true;
        if std::mem::replace(&mut agent.connected_before, true) {
            agent.pending.retain(|output| !output.retain());
            for output in self.world.announce(ap).into_iter().rev() {
                agent.pending.push_front(output);
            }
        }
    }

    fn handle_message(&mut self, ap: usize, topic: &str, payload: &[u8]) {
        let below = self.root.below(topic).and_then(Topic::parse);
        if below == Some(Topic::Tracked) {
            self.world.handle_tracked(&tracked(payload));
            return;
        }
        if let Some(Topic::ApRequest(id)) = &below {
            // What cannot be read is no request; a real agent counts it.
            if let Ok(request) = serde_json::from_slice::<Request>(payload) {
                self.world.handle_request(id, &request);
            }
            self.came += 1;
            return;
        }
        // A late will, of this boot or an earlier one, must not stand.
        let Some(below @ Topic::ApStatus(_)) = below else { return };
        let offline = AgentMessage::decode(&below, payload).is_ok_and(
            |decoded| matches!(decoded.message, AgentMessage::Status(status) if status.state == State::Offline),
        );
        if offline {
            let status = self.world.announce(ap).into_iter().next();
            self.agents[ap].pending.extend(status);
        }
    }

    fn stop(mut self) -> World {
        for ap in 0..self.agents.len() {
            let farewell = self.world.farewell(ap);
            self.agents[ap].pending.push_back(farewell);
        }
        let deadline = Instant::now() + FAREWELL;
        self.send();
        while self.agents.iter().any(|agent| !agent.pending.is_empty()) && Instant::now() < deadline {
            thread::sleep(PACE);
            self.send();
        }
        for agent in self.agents {
            agent.session.close(FAREWELL);
        }
        self.world
    }
}

/// The list the aggregator retains; what cannot be read tracks nobody.
fn tracked(payload: &[u8]) -> Vec<Mac> {
    let value: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
    let macs = value.get("macs").and_then(serde_json::Value::as_array);
    macs.into_iter().flatten().filter_map(|mac| mac.as_str()?.parse().ok()).collect()
}
