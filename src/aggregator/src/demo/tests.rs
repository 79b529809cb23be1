//! The demonstration without its broker and clock, and once with them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use whichroom_mqtt::{Event, Options as MqttOptions, Protocol, Publish, Session};
use whichroom_presence::Moment;
use whichroom_presence::output::{Moved, Reason};
use whichroom_simulator::{Companion, Incident, IncidentKind, Lived, Step, Truth};
use whichroom_wire::aggregator::MovedKind;
use whichroom_wire::{AgentMessage, PAYLOAD_MAX, Root, State, Topic};

use super::lines::LINE_MAX;
use super::*;
use crate::record::reader::{Next, Reader};
use crate::score::house::measures::Measures;
use crate::score::house::run::{House, Rules};

/// The home and the core alone, without broker and clock.
fn direct(plan: Plan, seed: u64) -> House {
    House::new(plan, seed, Rules::Ours)
}

/// Its measures after some more hours.
fn after(house: &mut House, hours: u64) -> Measures {
    house.run_for(hours * 3_600_000);
    house.ours().unwrap().measures()
}

#[test]
fn a_day_is_followed_and_nobody_inside_is_called_away() {
    for seed in 1..=2 {
        let measures = after(&mut direct(Plan::house(), seed), 14);
        assert_eq!(measures.false_aways, 0, "seed {seed}: {measures:?}");
        assert!(measures.room.share() > Some(0.8), "seed {seed}: {measures:?}");
        assert!(measures.home.share() > Some(0.85), "seed {seed}: {measures:?}");
    }
}

#[test]
fn bouncing_phone_moves_nobody_to_and_fro() {
    let id = |text: &str| text.parse().unwrap();
    let (phone, a, b) = (id("ben-s-phone"), id("office"), id("kids-room"));
    let bounces = IncidentKind::Bouncing { phone, a, b, for_ms: 600_000 };
    let incident = Incident { at_ms: 3_600_000, what: bounces };
    let mut house = direct(Plan::house().with_incidents(vec![incident]), 2);
    let before = after(&mut house, 1).changes;
    // Two hundred associations in ten minutes, while the others go about their day.
    let changes = after(&mut house, 1).changes - before;
    assert!(changes < 25, "{changes}");
}

#[test]
fn a_phone_that_goes_to_and_fro_all_day_does_not_take_its_owner_along() {
    for seed in [2, 3] {
        let of = |plan| after(&mut direct(plan, seed), 3);
        let (sick, well) = (of(Plan::house().with_restless_phone()), of(Plan::house()));
        // Two hundred associations, and as many changes of room as people make.
        assert!(sick.changes < 2 * sick.true_changes + 10, "{sick:?}");
        assert!(sick.room.share() > Some(0.75) && well.room.share() > Some(0.75), "{sick:?} {well:?}");
        assert_eq!(sick.false_aways, 0);
    }
}

#[test]
fn an_access_point_that_dies_sends_nobody_away() {
    for ap in ["garden", "kitchen", "living-room", "bedroom", "kids-room", "office"] {
        let death = Incident { at_ms: 1_200_000, what: IncidentKind::Death { ap: ap.parse().unwrap() } };
        let measures = after(&mut direct(Plan::house().with_incidents(vec![death]), 5), 2);
        assert_eq!(measures.false_aways, 0, "{ap}: {measures:?}");
    }
}

#[test]
fn the_whole_of_it_runs_over_a_real_broker_and_stops() {
    let mut options = Options {
        seed: 1,
        speed: 300,
        ends_after: Some(Duration::from_secs(4)),
        port: Some(0),
        healthy: true,
        record: None,
        json: true,
    };
    run(&options).unwrap();
    options.json = false;
    options.ends_after = Some(Duration::ZERO);
    run(&options).unwrap();
}

/// Everything that decided in the first minutes of a home, line by line.
fn decisive(speed: u32, minutes: u64) -> Vec<String> {
    let scratch = TempDir::new().unwrap();
    let file = scratch.path().join("home.gz");
    let options = Options {
        seed: 1,
        speed,
        ends_after: None,
        port: Some(0),
        healthy: false,
        record: Some(file.clone()),
        json: true,
    };
    let demonstration = Demonstration::start(&options).unwrap();
    let lived_s = || lock(&demonstration.score).summary(&lock(&demonstration.pace)).measures.simulated_s;
    while lived_s() <= minutes * 60 {
        assert!(!demonstration.server.is_finished());
        std::thread::sleep(WATCH_EVERY);
    }
    demonstration.stop().unwrap();
    // Before, the server came to its broker, at its own time.
    let times = LEAD_MS..LEAD_MS + minutes * 60_000;
    let (_, mut reader) = Reader::open(&file).unwrap();
    let mut lines = Vec::new();
    loop {
        match reader.next() {
            Next::Given(at, given) if times.contains(&at.as_ms().unsigned_abs()) => {
                lines.push(format!("{} {given:?}", at.as_ms()));
            }
            Next::Given(..) => {}
            Next::End => return lines,
            Next::Bad { why, .. } | Next::Cut { why, .. } => panic!("{why}"),
        }
    }
}

#[test]
fn what_is_decided_does_not_depend_on_the_speed() {
    const MINUTES: u64 = 10;
    // No machine keeps up with the second one in a test.
    let (slow, fast) = (decisive(100, MINUTES), decisive(SPEED_MAX, MINUTES));
    assert!(slow.len() > 500, "{}", slow.len());
    for (slow, fast) in slow.iter().zip(&fast) {
        assert_eq!(slow, fast);
    }
    assert_eq!(slow.len(), fast.len());
}

/// A broker, and a channel of what arrives at one of its topics.
fn broker_and_listener(filter: &str) -> (Broker, Session, mpsc::Receiver<(String, Vec<u8>)>) {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let options =
        whichroom_broker::Options { listen: vec![loopback], users: Vec::new(), limits: Limits::default() };
    let broker = Broker::start(options).unwrap();
    let (session, messages) = listen(broker.addresses()[0], filter);
    (broker, session, messages)
}

fn listen(broker: SocketAddr, filter: &str) -> (Session, mpsc::Receiver<(String, Vec<u8>)>) {
    let options = MqttOptions {
        host: broker.ip().to_string(),
        port: broker.port(),
        username: None,
        password: None,
        client_id: format!("listener-{}", filter.len()),
        keep_alive: Duration::from_secs(20),
        will: None,
        will_delay_s: 0,
        packet_max: PAYLOAD_MAX,
        protocol: Protocol::V4,
        clean_session: true,
        tls: None,
    };
    let (ups, connected) = mpsc::channel();
    let (sender, messages) = mpsc::channel();
    let session = Session::start(options, move |event| match event {
        Event::Connected { .. } => drop(ups.send(())),
        Event::Message { topic, payload, .. } => drop(sender.send((topic, payload))),
        Event::Disconnected { .. } | Event::Acked(_) | Event::Oversized { .. } => {}
    });
    connected.recv_timeout(Duration::from_secs(20)).unwrap();
    session.subscribe(&[Root::new(&default_site()).filter(filter)]).unwrap();
    (session, messages)
}

fn decode(topic: &str, payload: &[u8]) -> AgentMessage {
    let root = Root::new(&default_site());
    let topic = Topic::parse(root.below(topic).unwrap()).unwrap();
    AgentMessage::decode(&topic, payload).unwrap().message
}

/// Who follows the home at once, whatever it says, up to a time.
struct Alone {
    until_ms: u64,
    seconds: mpsc::Sender<u64>,
}

impl Companion for Alone {
    fn target_ms(&mut self, _now_ms: u64) -> u64 {
        self.until_ms
    }

    fn live(&mut self, step: Step) {
        (step.done)(Lived { heard: step.said, asked: 0, due_ms: None });
    }

    fn handle_second(&mut self, world: &World) {
        // Not every test asks.
        let _ = self.seconds.send(world.now_ms());
    }
}

fn fleet(broker: SocketAddr, until_ms: u64) -> (Fleet, mpsc::Receiver<u64>) {
    let options = FleetOptions { host: broker.ip().to_string(), port: broker.port(), site: default_site() };
    let (seconds, lived) = mpsc::channel();
    let fleet = Fleet::start(World::new(Plan::house(), 1), &options, Alone { until_ms, seconds }).unwrap();
    (fleet, lived)
}

#[test]
fn two_hours_at_once_hold_the_home_back_and_lose_no_event() {
    const HOURS_MS: u64 = 2 * 3_600_000;
    let (broker, session, messages) = broker_and_listener("ap/+/events");
    let (fleet, lived) = fleet(broker.addresses()[0], HOURS_MS);
    while lived.recv_timeout(Duration::from_secs(30)).unwrap() < HOURS_MS {}
    fleet.stop().unwrap();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let said = World::new(Plan::house(), 1).advance_to(HOURS_MS);
    let events = said.iter().filter(|output| matches!(output.message, AgentMessage::Events(_))).count();
    for _ in 0..events {
        let (topic, payload) = messages.recv_timeout(Duration::from_secs(20)).unwrap();
        let AgentMessage::Events(events) = decode(&topic, &payload) else { panic!("{topic}") };
        let last = last.entry(topic).or_default();
        assert_eq!(events.seq, *last + 1);
        *last = events.seq;
    }
    session.close(Duration::from_secs(1));
    broker.stop();
}

/// Takes its time, and asks something with each tenth step; what it asked comes later still.
struct Late {
    steps: mpsc::Sender<Step>,
    /// What was asked, and what of it was sent.
    asked: Arc<[AtomicUsize; 2]>,
    seconds: mpsc::Sender<u64>,
}

impl Companion for Late {
    fn target_ms(&mut self, _now_ms: u64) -> u64 {
        120_000
    }

    fn live(&mut self, step: Step) {
        let [asked, sent] = &*self.asked;
        assert_eq!(asked.load(Ordering::SeqCst), sent.load(Ordering::SeqCst), "time overtook a request");
        self.steps.send(step).unwrap();
    }

    fn handle_second(&mut self, world: &World) {
        // Nobody listens any more when enough passed.
        let _ = self.seconds.send(world.now_ms());
    }
}

#[test]
fn the_home_waits_for_who_takes_longer_and_for_what_was_asked() {
    let (broker, session, _messages) = broker_and_listener("ap/+/events");
    let ((steps, taken), (seconds, lived)) = (mpsc::channel::<Step>(), mpsc::channel());
    let asked = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let late = Late { steps, asked: Arc::clone(&asked), seconds };
    let taker = std::thread::spawn(move || {
        let topic = Root::new(&default_site()).full(&Topic::ApRequest("kitchen".parse().unwrap()));
        for (number, step) in taken.into_iter().enumerate() {
            let [asked, sent] = &*asked;
            let asks = number % 10 == 9;
            let asked = asked.fetch_add(asks.into(), Ordering::SeqCst) + usize::from(asks);
            (step.done)(Lived { heard: step.said, asked: asked as u64, due_ms: None });
            if asks {
                std::thread::sleep(Duration::from_millis(20));
                sent.store(asked, Ordering::SeqCst);
                let payload = b"{}".to_vec();
                session.try_publish(Publish { topic: topic.clone(), payload, retain: false }).unwrap();
            }
        }
        session.close(Duration::from_secs(1));
    });
    let address = broker.addresses()[0];
    let options = FleetOptions { host: address.ip().to_string(), port: address.port(), site: default_site() };
    let fleet = Fleet::start(World::new(Plan::house(), 1), &options, late).unwrap();
    while lived.recv_timeout(Duration::from_secs(30)).unwrap() < 120_000 {}
    assert!(fleet.stop().is_some(), "its thread panicked");
    taker.join().unwrap();
    broker.stop();
}

#[test]
fn clean_stop_leaves_every_access_point_offline() {
    let (broker, session, live) = broker_and_listener("ap/+/status");
    let (fleet, _) = fleet(broker.addresses()[0], 5_000);
    for _ in 0..6 {
        let (topic, payload) = live.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(
            matches!(decode(&topic, &payload), AgentMessage::Status(status) if status.state == State::Online)
        );
    }
    fleet.stop().unwrap();
    session.close(Duration::from_secs(1));
    let (session, retained) = listen(broker.addresses()[0], "ap/+/status");
    for _ in 0..6 {
        let (topic, payload) = retained.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(
            matches!(decode(&topic, &payload), AgentMessage::Status(status) if status.state == State::Offline)
        );
    }
    session.close(Duration::from_secs(1));
    broker.stop();
}

#[test]
fn lines_fit_and_say_what_the_truth_is() {
    let world = World::new(Plan::house(), 1);
    let score = Score::new(&world);
    let person = &world.people()[0];
    assert!(matches!(world.truth(0), Truth::Room(_)));
    let moved = Moved {
        person: person.id.clone(),
        name: person.name.clone(),
        kind: MovedKind::ChangedRoom,
        from: None,
        to: None,
        from_name: "Hall".to_owned(),
        to_name: "Bedroom".to_owned(),
        because: vec![Reason("a long story. ".repeat(20))],
        at: Moment::from_ms(0),
    };
    let clock = Clock::start_at(morning(&world));
    let line = line(&Effect::Moved(moved), &clock, &score).unwrap();
    assert!(line.starts_with("07:00:00  Anna     moved    Hall → Bedroom "), "{line}");
    assert!(line.contains("✓ Bedroom") && line.ends_with("…\n"), "{line}");
    assert_eq!(line.trim_end().chars().count(), LINE_MAX);
}
