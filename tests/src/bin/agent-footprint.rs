//! What the agent costs an access point: bytes of its binary, and memory with sixty stations on three BSSs after
//! more than a heartbeat of ordinary life.

#![expect(clippy::print_stdout, reason = "figures are for reading")]

use std::time::{Duration, Instant};

use whichroom_tests::house::{House, topic};
use whichroom_tests::process::router_agent;
use whichroom_tests::ubusd::{Options, command};

/// Longer than the table's heartbeat and than the pause between calls of iwinfo.
const LIFE: Duration = Duration::from_secs(40);

fn main() {
    let mut house = House::new();
    house.use_router_agent();
    house.add_bus("kitchen", Options::default());
    house.bus("kitchen").remove_bss("phy0-ap0");
    house.bus("kitchen").remove_bss("phy1-ap0");
    command::furnish(house.bus("kitchen"), 3, 60, 0);
    house.start_agent("kitchen");
    house.observer.wait_last(&topic("ap/kitchen/stations"), |table| {
        table["stations"].as_array().is_some_and(|stations| stations.len() == 60)
    });
    let (begun, mut random) = (Instant::now(), 1);
    while begun.elapsed() < LIFE {
        house.bus("kitchen").with_ap(|ap| ap.stir(&mut random, Instant::now()));
        std::thread::sleep(Duration::from_secs(1));
    }
    let path = router_agent();
    let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let Some(agent) = &mut house.ap("kitchen").agent else { return };
    agent.expect_running();
    let (rss, anonymous) = (agent.memory_kb("VmRSS"), agent.memory_kb("RssAnon"));
    println!("{} with 60 stations on 3 BSSs", path.display());
    println!("{:<12}{bytes:>12} bytes", "binary");
    println!("{:<12}{rss:>12} kB", "VmRSS");
    println!("{:<12}{anonymous:>12} kB", "RssAnon");
    println!(r#"{{"binary_bytes":{bytes},"vm_rss_kb":{rss},"rss_anon_kb":{anonymous}}}"#);
}
