//! The aggregator and a broker at `mqtts://`: a real Mosquitto with a listener in plain, for who watches, and one in TLS.

use whichroom_tests::certificates::Certificates;
use whichroom_tests::house::{ANNA, BSS_5, FAMILY, House};
use whichroom_tests::mosquitto::{Settings, free_port};
use whichroom_tests::process::{Process, product};

/// A house whose broker listens in TLS, too; its aggregator and its agents are still to be started.
struct Secured {
    house: House,
    certificates: Certificates,
    port: u16,
}

impl Secured {
    fn new(more: &[&str]) -> Secured {
        let (certificates, port) = (Certificates::new(), free_port());
        let mut lines = certificates.listener(port);
        lines.extend(more.iter().map(|line| line.replace("{ca}", &path(&certificates, "ca.pem"))));
        let house = House::with(&Settings { lines, ..Settings::default() });
        Secured { house, certificates, port }
    }

    /// Writes the aggregator's configuration.
    fn configure(&self, mqtt: &str) {
        let url = format!("url = \"mqtts://127.0.0.1:{}\"", self.port);
        let text = format!("[mqtt]\n{url}\n{mqtt}[web]\nlisten = \"127.0.0.1:0\"\n{FAMILY}");
        self.house.directory.write("whichroom.toml", &text);
    }

    /// Starts an aggregator that will not get to the broker, and gives what it says of that.
    fn refused(&self) -> String {
        let file = |name: &str| self.house.directory.join(name).display().to_string();
        let arguments = ["run", "--config", &file("whichroom.toml"), "--state", &file("state")];
        let log = self.house.directory.join("refused.log");
        let mut aggregator = Process::start(&product("whichroom"), &arguments, &log);
        let line = aggregator.wait_log("broker's certificate");
        aggregator.terminate();
        line
    }
}

fn path(certificates: &Certificates, name: &str) -> String {
    certificates.file(name).display().to_string()
}

/// How many came to the listener with TLS: the broker's log names it.
fn came_by(secured: &Secured) -> usize {
    let (log, port) = (secured.house.mosquitto.log(), format!(" on port {}.", secured.port));
    log.lines().filter(|line| line.contains("New connection from") && line.ends_with(&port)).count()
}

#[test]
fn a_broker_known_by_its_authority_that_wants_our_certificate() {
    let mut secured = Secured::new(&["cafile {ca}", "require_certificate true"]);
    let file = |name: &str| path(&secured.certificates, name);
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    secured.configure(&format!("ca = \"{ca}\"\ncert = \"{cert}\"\nkey = \"{key}\"\n"));
    secured.house.restart_aggregator();
    secured.house.add_ap("kitchen");
    secured.house.bus("kitchen").join(BSS_5, ANNA, -50);
    secured.house.wait_room("anna", "Kitchen");
    assert_eq!(came_by(&secured), 2, "one connection to read and one to write");
}

#[test]
fn a_pinned_certificate_and_another_one() {
    let mut secured = Secured::new(&[]);
    let broker = secured.certificates.fingerprint("broker");
    let other = secured.certificates.fingerprint("client");
    secured.configure(&format!("fingerprint = \"{other}\"\n"));
    let said = secured.refused();
    let seen = broker.replace(':', "").to_lowercase();
    assert!(said.contains(&seen) && said.contains("which is not the one given"), "{said}");
    secured.configure(&format!("fingerprint = \"{broker}\"\n"));
    secured.house.restart_aggregator();
    assert!(secured.house.page_get("/").contains("<html"));
}

#[test]
fn an_authority_that_did_not_sign_is_refused_in_words() {
    let (secured, others) = (Secured::new(&[]), Certificates::new());
    secured.configure(&format!("ca = \"{}\"\n", path(&others, "ca.pem")));
    let said = secured.refused();
    assert!(said.contains("no authority in the CA file has signed it"), "{said}");
}
