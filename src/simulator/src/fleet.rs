//! The shell around [`World`]: one MQTT session for each access point, as its agent would have, and a thread that lets
//! the home's time follow a clock. Nothing said is lost: when the broker takes messages more slowly than the home
//! makes them, the home waits.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use whichroom_mqtt::{Event, Options, Protocol, Publish, Refused, Session, Token};
use whichroom_wire::{AGENT_PAYLOAD_MAX, AgentMessage, Id, Mac, Request, Root, State, Topic};

use crate::access_point::Output;
use crate::world::World;

/// Messages of one access point that may wait before the home's time is held back.
const BACKLOG_MAX: usize = 256;
/// How often the clock is looked at.
const PACE: Duration = Duration::from_millis(4);
/// How long a stop waits for the broker to take the last messages.
const FAREWELL: Duration = Duration::from_secs(2);
const SECOND_MS: u64 = 1_000;

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
    Stop,
}

/// One access point's side of the connection.
struct Agent {
    session: Session,
    connected_before: bool,
    pending: VecDeque<Output>,
    in_flight: VecDeque<(Token, Output)>,
}

/// The thread's belongings.
struct Worker<C, T> {
    world: World,
    root: Root,
    agents: Vec<Agent>,
    clock: C,
    on_second: T,
}

impl Fleet {
    /// Connects every access point. `clock` gives simulated milliseconds since the home's time 0; `on_second` sees the
    /// home after each simulated second.
    pub fn start<C, T>(world: World, options: &FleetOptions, clock: C, on_second: T) -> std::io::Result<Fleet>
    where
        C: Fn() -> u64 + Send + 'static,
        T: FnMut(&World) + Send + 'static,
    {
        let (inputs, receiver) = mpsc::channel();
        let agents = (0..world.access_points().len()).map(|ap| {
            let events = inputs.clone();
            // The receiver is gone only when the fleet stopped: nobody is left to tell.
            let session = Session::start(mqtt_options(&world, ap, options), move |event| {
                drop(events.send(Input::Agent(ap, event)))
            });
            Agent { session, connected_before: false, pending: VecDeque::new(), in_flight: VecDeque::new() }
        });
        let agents = agents.collect();
        let mut worker = Worker { world, root: Root::new(&options.site), agents, clock, on_second };
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

impl<C: Fn() -> u64, T: FnMut(&World)> Worker<C, T> {
    fn run(&mut self, inputs: &mpsc::Receiver<Input>) {
        loop {
            match inputs.recv_timeout(PACE) {
                Ok(Input::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Ok(Input::Agent(ap, event)) => self.handle_event(ap, event),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            while let Ok(input) = inputs.try_recv() {
                match input {
                    Input::Stop => return,
                    Input::Agent(ap, event) => self.handle_event(ap, event),
                }
            }
            self.follow_clock();
            self.send();
        }
    }

    /// Second by second, as far as the clock and the broker allow.
    fn follow_clock(&mut self) {
        let now_ms = (self.clock)();
        while self.world.now_ms() < now_ms
            && self.agents.iter().all(|agent| agent.pending.len() < BACKLOG_MAX)
        {
            let second_ms = (self.world.now_ms() / SECOND_MS + 1) * SECOND_MS;
            for output in self.world.advance_to(second_ms.min(now_ms)) {
                self.queue(output);
            }
            if self.world.now_ms() == second_ms {
                (self.on_second)(&self.world);
            }
        }
    }

    fn queue(&mut self, output: Output) {
        if let Some(ap) = self.world.access_points().iter().position(|ap| ap.id == output.ap) {
            self.agents[ap].pending.push_back(output);
        }
    }

    fn send(&mut self) {
        let now_ms = (self.clock)();
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
