//! The broker alone, for trying things by hand: `cargo run -p whichroom-broker --example broker -- 127.0.0.1:1883`.
//! Anybody on this machine may do everything, until it is interrupted.

use std::net::SocketAddr;

use whichroom_broker::{Broker, Limits, Options};

#[expect(clippy::print_stdout, reason = "its output")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().skip(1).map(|address| address.parse());
    let listen = listen.collect::<Result<Vec<SocketAddr>, _>>()?;
    let broker = Broker::start(Options { listen, users: Vec::new(), limits: Limits::default() })?;
    println!("listening on {:?}", broker.addresses());
    loop {
        std::thread::park();
    }
}
