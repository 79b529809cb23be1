//! Measures how long a message takes from one session to the broker's acknowledgement, and to another session:
//! `cargo run --release -p whichroom-mqtt --example latency -- 127.0.0.1 1883`. On loopback anything near 40 ms is
//! Nagle's algorithm, and a round number of milliseconds is polling.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use whichroom_mqtt::{Event, Options, Protocol, Publish, Session};

const MESSAGES: usize = 2_000;

fn options(host: &str, port: u16, client_id: &str) -> Options {
    Options {
        host: host.into(),
        port,
        username: None,
        password: None,
        client_id: client_id.into(),
        keep_alive: Duration::from_secs(20),
        will: None,
        will_delay_s: 0,
        packet_max: 256 * 1024,
        protocol: Protocol::V4,
        clean_session: true,
        tls: None,
    }
}

#[expect(clippy::print_stdout, reason = "its output")]
fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    println!("{what}: median {:?}, 95 % {:?}, 99 % {:?}", at(50), at(95), at(99));
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let host = arguments.next().unwrap_or_else(|| "127.0.0.1".into());
    let port = arguments.next().map_or(Ok(1883), |port| port.parse())?;
    let (events, came) = channel();
    let own = events.clone();
    let start = |client_id: &str, events: std::sync::mpsc::Sender<(Instant, Event)>| {
        Session::start(options(&host, port, client_id), move |event| {
            let _ = events.send((Instant::now(), event));
        })
    };
    let reader = start("latency-reader", events);
    let next = || came.recv_timeout(Duration::from_secs(10));
    while !matches!(next()?.1, Event::Connected { .. }) {}
    reader.subscribe(&["whichroom-latency".to_owned()])?;
    let sender = start("latency-sender", own);
    while !matches!(next()?.1, Event::Connected { .. }) {}

    let (mut to_broker, mut to_reader) = (Vec::new(), Vec::new());
    for _ in 0..MESSAGES {
        let handed_over = Instant::now();
        sender.try_publish(Publish {
            topic: "whichroom-latency".into(),
            payload: vec![b'x'; 200],
            retain: false,
        })?;
        // Acknowledgement and message, in either order.
        for _ in 0..2 {
            let (at, event) = next()?;
            match event {
                Event::Acked(_) => to_broker.push(at - handed_over),
                Event::Message { .. } => to_reader.push(at - handed_over),
                Event::Connected { .. } | Event::Disconnected { .. } | Event::Oversized { .. } => {
                    return Err(format!("{event:?}").into());
                }
            }
        }
        // As rarely as in a house: a busy socket hides what an idle one waits for.
        std::thread::sleep(Duration::from_millis(2));
    }
    report("acknowledged by the broker", to_broker);
    report("received by another session", to_reader);
    sender.close(Duration::from_secs(1));
    reader.close(Duration::from_secs(1));
    Ok(())
}
