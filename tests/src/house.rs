//! A house of real programs: Mosquitto, an agent on a stand-in ubusd for each access point, and the aggregator.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use whichroom_wire::Mac;

use crate::directory::Directory;
use crate::http;
use crate::mosquitto::{Mosquitto, Settings};
use crate::observer::Observer;
use crate::process::{HANG, Process, product, router_agent, wait};
use crate::ubusd::{Bss, Options, Station, Ubusd};

/// Interface of every access point's 5 GHz BSS.
pub const BSS_5: &str = "phy1-ap0";
/// Interface of every access point's 2.4 GHz BSS.
pub const BSS_2: &str = "phy0-ap0";

/// Two rooms with an access point each, the hall's by the door; Anna has one phone, Ben has two. The timers are short.
pub const FAMILY: &str = r#"
[[room]]
id = "kitchen"
name = "Kitchen"
adjoins = ["hall"]

[[room]]
id = "hall"
name = "Hall"
adjoins = ["kitchen"]

[[ap]]
id = "kitchen"
room = "kitchen"

[[ap]]
id = "hall"
room = "hall"
exit = true

[[person]]
id = "anna"
name = "Anna"
devices = [{ id = "anna-phone", name = "Anna's phone", macs = ["02:00:00:00:00:0a"] }]

[[person]]
id = "ben"
name = "Ben"
devices = [{ id = "ben-phone", name = "Ben's phone", macs = ["02:00:00:00:00:0b", "02:00:00:00:01:0b"] }]

[timing]
exit_s = 2
interior_s = 4
debounce_s = 1
empty_hold_s = 1
"#;

/// Anna's phone in [`FAMILY`].
pub const ANNA: Mac = Mac::new([0x02, 0, 0, 0, 0, 0x0a]);
/// Ben's phone in [`FAMILY`].
pub const BEN: Mac = Mac::new([0x02, 0, 0, 0, 0, 0x0b]);
/// The same phone on another network.
pub const BEN_OTHER: Mac = Mac::new([0x02, 0, 0, 0, 1, 0x0b]);
/// A television that never leaves: what it sends makes an access point report often.
const TELEVISION: Mac = Mac::new([0x02, 0, 0, 0, 0xff, 0x01]);

/// An access point: its bus, and the agent on it while it runs.
pub struct AccessPoint {
    /// The bus.
    pub ubusd: Ubusd,
    /// The agent.
    pub agent: Option<Process>,
    number: u8,
}

/// The house. Everything ends when it is dropped.
pub struct House {
    /// Sees everything published.
    pub observer: Observer,
    /// The access points by name.
    pub aps: BTreeMap<String, AccessPoint>,
    /// The server.
    pub aggregator: Option<Process>,
    /// The broker.
    pub mosquitto: Mosquitto,
    /// Files of all of them.
    pub directory: Directory,
    login: Option<(String, String)>,
    /// Program and what stands before the agent's own arguments.
    agent: Option<Vec<OsString>>,
    interval_s: u32,
    broker: Option<u16>,
    tls: Option<Vec<String>>,
    record: Option<PathBuf>,
}

impl House {
    /// A broker, and nothing else yet.
    pub fn new() -> House {
        House::with(&Settings::default())
    }

    /// A broker with settings. Its first user, if it has any, is who the programs say they are.
    pub fn with(settings: &Settings) -> House {
        let mosquitto = Mosquitto::with(settings);
        let login = settings.users.first().cloned();
        let user = login.as_ref().map(|(name, password)| (name.as_str(), password.as_str()));
        let observer = Observer::with_login(mosquitto.port(), &["#"], user);
        let directory = Directory::new();
        House {
            observer,
            aps: BTreeMap::new(),
            aggregator: None,
            mosquitto,
            directory,
            login,
            agent: None,
            interval_s: 1,
            broker: None,
            tls: None,
            record: None,
        }
    }

    /// Runs agents as they are built for access points: for benchmarks.
    pub fn use_router_agent(&mut self) {
        self.use_agent([router_agent()]);
    }

    /// Runs agents by this command, such as an emulator's with the agent behind it.
    pub fn use_agent(&mut self, command: impl IntoIterator<Item = impl Into<OsString>>) {
        self.agent = Some(command.into_iter().map(Into::into).collect());
    }

    /// Seconds between two polls of the agents that are started from now on; 1 unless said.
    pub fn set_interval(&mut self, seconds: u32) {
        self.interval_s = seconds;
    }

    /// Agents that are started from now on find the broker at this port of 127.0.0.1, such as a meter's.
    pub fn reach_broker_at(&mut self, port: u16) {
        self.broker = Some(port);
    }

    /// Agents that are started from now on find the broker at this port with TLS, and know it by these arguments.
    pub fn reach_broker_with_tls(&mut self, port: u16, arguments: &[&str]) {
        self.broker = Some(port);
        self.tls = Some(arguments.iter().map(|&argument| argument.to_owned()).collect());
    }

    /// Aggregators that are started from now on record into this file.
    pub fn record(&mut self, file: PathBuf) {
        self.record = Some(file);
    }

    /// Adds an access point with a BSS on each band and starts its agent; waits until the agent is subscribed and
    /// its table is published.
    pub fn add_ap(&mut self, name: &str) {
        self.add_bus(name, Options::default());
        self.start_agent(name);
        self.wait_agent(name);
    }

    /// Adds an access point without an agent.
    pub fn add_bus(&mut self, name: &str, options: Options) {
        let number = u8::try_from(self.aps.len()).unwrap_or(u8::MAX);
        let ubusd = Ubusd::start(&self.directory.join(&format!("{name}.sock")), options);
        let ubusd = ubusd.unwrap_or_else(|error| panic!("stand-in ubusd: {error}"));
        ubusd.add_bss(Bss::new(BSS_2, bssid(number, 2), "home", 2412));
        ubusd.add_bss(Bss::new(BSS_5, bssid(number, 5), "home", 5180));
        self.aps.insert(name.to_owned(), AccessPoint { ubusd, agent: None, number });
    }

    /// Starts an access point's agent.
    pub fn start_agent(&mut self, name: &str) {
        let mut command = self.agent.clone().unwrap_or_else(|| vec![product("whichroom-agent").into()]);
        command.extend(self.agent_arguments(name).into_iter().map(OsString::from));
        let log = self.directory.join(&format!("agent-{name}.log"));
        let Some((program, arguments)) = command.split_first() else {
            panic!("the agent's command is empty")
        };
        self.ap(name).agent = Some(Process::start(Path::new(program), arguments, &log));
    }

    /// How an agent is started here.
    pub fn agent_arguments(&self, name: &str) -> Vec<String> {
        let socket = self.directory.join(&format!("{name}.sock"));
        let scheme = if self.tls.is_some() { "mqtts" } else { "mqtt" };
        let broker = format!("{scheme}://127.0.0.1:{}", self.broker.unwrap_or(self.mosquitto.port()));
        let mut arguments: Vec<String> =
            ["--broker", &broker, "--site", "home", "--name", name].into_iter().map(str::to_owned).collect();
        arguments.extend(self.tls.iter().flatten().cloned());
        arguments.extend(["--interval".to_owned(), self.interval_s.to_string()]);
        arguments.extend(["--ubus".to_owned(), socket.display().to_string()]);
        if let Some(file) = self.credentials() {
            arguments.extend(["--credentials".to_owned(), file.display().to_string()]);
        }
        arguments
    }

    /// Waits until an agent is subscribed to both BSSs and its table is published.
    pub fn wait_agent(&mut self, name: &str) {
        let ubusd = &self.ap(name).ubusd;
        ubusd.wait_subscribed(BSS_2);
        ubusd.wait_subscribed(BSS_5);
        self.observer.wait_last(&topic(&format!("ap/{name}/status")), |status| status["state"] == "online");
        self.observer.wait_last(&topic(&format!("ap/{name}/stations")), |table| table["stations"].is_array());
    }

    /// Starts the aggregator with this configuration, to which the broker and the page's address are added, and
    /// waits until it is online.
    pub fn start_aggregator(&mut self, configuration: &str) {
        let mut text = format!("[mqtt]\nurl = \"{}\"\n", self.mosquitto.url());
        if let Some((name, password)) = &self.login {
            self.directory.write("aggregator-password", password);
            let _ = writeln!(text, "username = \"{name}\"\npassword_file = \"aggregator-password\"");
        }
        text.push_str("[web]\nlisten = \"127.0.0.1:0\"\n");
        text.push_str(configuration);
        self.directory.write("whichroom.toml", &text);
        self.restart_aggregator();
    }

    /// Starts the aggregator as it was started before.
    pub fn restart_aggregator(&mut self) {
        let mut arguments: Vec<PathBuf> = vec![
            "run".into(),
            "--config".into(),
            self.directory.join("whichroom.toml"),
            "--state".into(),
            self.directory.join("state"),
        ];
        arguments.extend(self.record.iter().flat_map(|file| ["--record".into(), file.clone()]));
        let mark = self.observer.mark();
        let log = self.directory.join("aggregator.log");
        let program = product("whichroom");
        let aggregator = self.aggregator.insert(Process::start(&program, &arguments, &log));
        let (observer, status) = (&self.observer, topic("status"));
        wait("aggregator online", || {
            aggregator.expect_running();
            let since = observer.since(mark);
            since.iter().any(|arrived| arrived.topic == status && arrived.payload == b"online").then_some(())
        });
    }

    /// Starts the broker again. The programs are held until the observer is back, so that it misses nothing of what
    /// they then say.
    pub fn bring_broker_back(&mut self) {
        let connections = self.observer.connections();
        self.signal_all("STOP");
        self.mosquitto.start_again();
        self.observer.wait_connected(connections + 1);
        self.signal_all("CONT");
    }

    fn signal_all(&self, signal: &str) {
        let agents = self.aps.values().filter_map(|ap| ap.agent.as_ref());
        agents.chain(&self.aggregator).for_each(|process| process.signal(signal));
    }

    /// Lets something be heard on an access point: the television's signal changes by more than an agent keeps to
    /// itself, so that a live message follows its next poll. Each time it is another one: who stirs twice between two
    /// polls must not bring back what the agent said last.
    pub fn stir(&self, name: &str) {
        self.bus(name).with_ap(|ap| {
            let now = Instant::now();
            if ap.station(BSS_2, TELEVISION).is_none() {
                ap.place(BSS_2, TELEVISION, Station::new(-50, now));
            }
            let Some(station) = ap.station(BSS_2, TELEVISION) else { return };
            station.signal_dbm = if station.signal_dbm <= -85 { -40 } else { station.signal_dbm - 3 };
            station.receive(10, now);
        });
    }

    /// Waits until the last of a topic below the root is as wished, while something is heard on every access point
    /// whose agent runs: absence accrues only while access points report.
    pub fn wait_stirring(&self, below: &str, wished: impl Fn(&Value) -> bool) -> Value {
        let topic = topic(below);
        let begun = Instant::now();
        loop {
            if let Some(json) = self.observer.last(&topic).filter(&wished) {
                return json;
            }
            assert!(
                begun.elapsed() < HANG,
                "no {topic} as wished within {HANG:?}: {:?}",
                self.observer.last(&topic)
            );
            for (name, ap) in &self.aps {
                if ap.agent.is_some() {
                    self.stir(name);
                }
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until a person is home in a room.
    pub fn wait_room(&self, person: &str, room: &str) -> Value {
        self.wait_stirring(&format!("person/{person}"), |person| {
            person["tracker"] == "home" && person["room"] == room
        })
    }

    /// Waits until a person is away.
    pub fn wait_away(&self, person: &str) -> Value {
        self.wait_stirring(&format!("person/{person}"), |person| person["tracker"] == "not_home")
    }

    /// What the page knows.
    pub fn page_state(&mut self) -> Value {
        let body = self.page_get("/api/state");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("/api/state: {error}: {body}"))
    }

    /// Waits until the page knows what is wished.
    pub fn wait_page(&mut self, what: &str, wished: impl Fn(&Value) -> bool) -> Value {
        wait(what, || Some(self.page_state()).filter(&wished))
    }

    /// Address of the page, with `http://`.
    pub fn page_address(&mut self) -> String {
        let Some(aggregator) = &mut self.aggregator else { panic!("no aggregator runs") };
        aggregator.wait_log("page http://");
        let log = aggregator.log();
        // The last one: an aggregator that was restarted has a new port.
        let address = log.rsplit_once("page http://").and_then(|(_, rest)| rest.split('/').next());
        let Some(address) = address else { panic!("no page in {log}") };
        format!("http://{address}")
    }

    /// Body of a GET from the page.
    pub fn page_get(&mut self, path: &str) -> String {
        let page = self.page_address();
        let (head, body) = http::ask(page.trim_start_matches("http://"), &format!("GET {path}"));
        assert_eq!(http::status(&head), "200", "{path}: {head}");
        String::from_utf8_lossy(&body).into_owned()
    }

    /// Posts a command to the page, which takes it.
    pub fn page_post(&mut self, path: &str, body: &Value) {
        let page = self.page_address();
        let (head, answer) = http::post(page.trim_start_matches("http://"), path, &body.to_string());
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(http::status(&head), "200", "{path}: {head}{answer}");
    }

    /// An access point.
    pub fn ap(&mut self, name: &str) -> &mut AccessPoint {
        self.aps.get_mut(name).unwrap_or_else(|| panic!("no access point {name}"))
    }

    /// The bus of an access point.
    pub fn bus(&self, name: &str) -> &Ubusd {
        &self.aps.get(name).unwrap_or_else(|| panic!("no access point {name}")).ubusd
    }

    /// Address of an access point's BSS.
    pub fn bssid(&self, name: &str, ifname: &str) -> Mac {
        let band = if ifname == BSS_2 { 2 } else { 5 };
        bssid(self.aps.get(name).map_or(0, |ap| ap.number), band)
    }

    fn credentials(&self) -> Option<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let (name, password) = self.login.as_ref()?;
        let file = self.directory.write("credentials", &format!("{name}\n{password}\n"));
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, mode).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Some(file)
    }
}

impl Default for House {
    fn default() -> House {
        House::new()
    }
}

/// A topic of the house.
pub fn topic(below: &str) -> String {
    format!("whichroom/home/{below}")
}

fn bssid(number: u8, band: u8) -> Mac {
    Mac::new([0x02, 0xaa, number, 0, 0, band])
}
