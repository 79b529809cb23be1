//! The page as a browser meets it: real connections to a real server on a free port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use super::*;
use crate::access::Token;
use crate::command::{BODY_MAX, Refusal};
use crate::config::SignIn;

/// A page that is open.
pub(super) struct Running {
    pub(super) server: WebServer,
    pub(super) state: watch::Sender<Arc<str>>,
}

fn running(allowed: &[&str]) -> Running {
    running_with(Ipv4Addr::LOCALHOST, allowed, gate(SignIn::Network, Vec::new()))
}

/// Without a password and without a place to keep one.
pub(super) fn gate(sign_in: SignIn, tokens: Vec<Token>) -> Arc<Gate> {
    Arc::new(Gate::new(None, sign_in, tokens).unwrap())
}

/// With a main loop that has the present state at hand, and that knows nobody.
pub(super) fn running_with(ip: Ipv4Addr, allowed: &[&str], gate: Arc<Gate>) -> Running {
    let (state, receiver) = watch::channel(Arc::from(r#"{"turn":0}"#));
    let allowed = allowed.iter().map(|&host| host.to_owned()).collect();
    let states = state.clone();
    let ask = move |ask| match ask {
        Ask::Metrics(reply) => drop(reply.send("whichroom_problems 0\n".to_owned())),
        Ask::Look => states.send_modify(|_| {}),
        Ask::Command(Command::Explain { id }, reply) => {
            let _ = reply.send(Err(Refusal::unknown_id("person or device", &id, [])));
        }
        Ask::Command(
            Command::Calibrate { .. }
            | Command::GiveUpAp { .. }
            | Command::ResetDoze { .. }
            | Command::ForgetSample { .. }
            | Command::Samples {}
            | Command::Note { .. },
            reply,
        ) => {
            let _ = reply.send(Err(Refusal::Impossible("nobody is connected".to_owned())));
        }
    };
    let desk = Desk { state: receiver, ask: Arc::new(ask), past: None, adopt: None };
    let server = start(SocketAddr::from((ip, 0)), allowed, desk, gate).unwrap();
    Running { server, state }
}

impl Running {
    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// The whole answer to a request whose lines, without the empty one, are given.
    pub(super) fn answer(&self, request: &str) -> String {
        let mut stream = self.connect();
        // A refusal may close before everything is written or read; what came until then counts.
        let _ = write!(stream, "{request}\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    pub(super) fn get(&self, path: &str) -> String {
        self.answer(&format!("GET {path} HTTP/1.1\r\nHost: {}", self.server.address()))
    }

    /// An open page: the lines after the headers.
    fn follow(&self) -> (String, BufReader<TcpStream>) {
        let mut stream = self.connect();
        write!(stream, "GET /api/events HTTP/1.1\r\nHost: {}\r\n\r\n", self.server.address()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut headers = String::new();
        while !headers.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut headers).unwrap(), 0, "closed after {headers}");
        }
        (headers, reader)
    }
}

/// The next state that an open page is sent.
pub(super) fn next_state(reader: &mut BufReader<TcpStream>) -> String {
    loop {
        let mut line = String::new();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the connection was closed");
        if let Some(data) = line.strip_prefix("data: ") {
            return data.trim_end().to_owned();
        }
    }
}

pub(super) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("closed")
}

#[test]
fn every_part_of_the_page_is_served_with_its_type() {
    let running = running(&[]);
    for (path, kind, part) in [
        ("/", "text/html; charset=utf-8", "<title>WhichRoom</title>"),
        ("/page.css", "text/css; charset=utf-8", "--paper"),
        ("/page.js", "text/javascript; charset=utf-8", "houseSays"),
        ("/calibrate.js", "text/javascript; charset=utf-8", "forget-sample"),
        ("/common.js", "text/javascript; charset=utf-8", "EventSource"),
        ("/adopt.js", "text/javascript; charset=utf-8", "new-person"),
        ("/roaming", "text/html; charset=utf-8", "timeline"),
        ("/roaming.css", "text/css; charset=utf-8", ".timeline"),
        ("/roaming.js", "text/javascript; charset=utf-8", "timeline.js"),
        ("/timeline.js", "text/javascript; charset=utf-8", "drawTimeline"),
        ("/sign-in", "text/html; charset=utf-8", "id=\"sign-in\""),
        ("/sign-in.css", "text/css; charset=utf-8", "#sign-in"),
        ("/sign-in.js", "text/javascript; charset=utf-8", "password-again"),
        ("/api/state", "application/json", r#"{"turn":0}"#),
        ("/healthz", "text/plain; charset=utf-8", "ok\n"),
    ] {
        let answer = running.get(path);
        assert_eq!(status(&answer), "200", "{path}");
        assert!(answer.contains(&format!("content-type: {kind}\r\n")), "{path}: {answer}");
        assert!(answer.contains(part), "{path}");
    }
}

#[test]
fn there_is_nothing_else() {
    let running = running(&[]);
    for path in ["/favicon.ico", "/api", "/page.html", "/../etc/passwd", "/api/state/"] {
        assert_eq!(status(&running.get(path)), "404", "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let host = running.server.address();
        let answer =
            running.answer(&format!("{method} /api/state HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0"));
        assert_eq!(status(&answer), "405", "{method}");
    }
}

#[test]
fn every_answer_carries_the_rules_for_browsers() {
    let running = running(&[]);
    let refused = running.answer("GET / HTTP/1.1\r\nHost: evil.example");
    for answer in [running.get("/"), running.get("/api/state"), running.get("/nothing"), refused] {
        for rule in [
            "content-security-policy: default-src 'none'; script-src 'self';",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(answer.contains(rule), "{rule} in {answer}");
        }
    }
}

#[test]
fn the_page_is_whole_in_itself_and_has_nothing_inline() {
    let pages = [PAGE, ROAMING_PAGE, sign_in::PAGE, sign_in::SIGN_IN, sign_in::SET_PASSWORD];
    let scripts = [
        COMMON_SCRIPT,
        SCRIPT,
        CALIBRATE_SCRIPT,
        ADOPT_SCRIPT,
        ROAMING_SCRIPT,
        TIMELINE_SCRIPT,
        SIGN_IN_SCRIPT,
    ];
    let texts = || pages.into_iter().chain(scripts).chain([STYLE, ROAMING_STYLE, SIGN_IN_STYLE]);
    for text in texts() {
        let loads = text.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !loads.contains("http:") && !loads.contains("https:") && !loads.contains("//cdn"),
            "loads from elsewhere"
        );
    }
    let is_handler = |rest: &str| rest.trim_start_matches(|c: char| c.is_ascii_lowercase()).starts_with('=');
    for page in pages {
        assert!(!page.contains("style=") && !page.contains("<style"), "inline style");
        assert!(!page.split(" on").skip(1).any(is_handler), "inline script");
        assert_eq!(page.matches("<script").count(), page.matches("<script src=").count());
    }
    for script in scripts {
        assert!(!script.contains("innerHTML") && !script.contains("insertAdjacentHTML"), "markup from text");
    }
    let bytes: usize = texts().map(str::len).sum();
    assert!(bytes <= 150_000, "{bytes} bytes");
}

#[test]
fn only_our_names_are_answered_to() {
    let running = running(&["home.lan"]);
    let port = running.server.address().port();
    let ask = |host: &str| running.answer(&format!("GET /api/state HTTP/1.1\r\nHost: {host}"));
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        assert_eq!(status(&ask(&host)), "200", "{host}");
    }
    for host in [format!("home.lan:{port}"), "home.lan".into(), format!("192.168.1.2:{port}")] {
        assert_eq!(status(&ask(&host)), "401", "{host} comes from elsewhere, by a proxy");
    }
    for host in [format!("evil.example:{port}"), "evil.example".into(), "localhost:1".into()] {
        let answer = ask(&host);
        assert_eq!(status(&answer), "421", "{host}");
        assert!(!answer.contains("turn"), "the state is told to {host}");
        assert!(answer.contains("[web]"), "what to do is said");
    }
    assert_eq!(status(&running.answer("GET /api/state HTTP/1.1")), "400");
    let twice = format!("GET /api/state HTTP/1.1\r\nHost: localhost:{port}\r\nHost: evil.example");
    assert_eq!(status(&running.answer(&twice)), "400");
}

#[test]
fn large_headers_are_refused() {
    let running = running(&[]);
    let host = running.server.address();
    // Closing a connection with unread bytes in it may take the answer along; then it is asked again.
    let refused = |headers: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}{headers}");
        let mut answers = (0..50).map(|_| running.answer(&request));
        answers.find(|answer| !answer.is_empty()).unwrap_or_default()
    };
    let long = format!("\r\nX: {}", "x".repeat(2 * HEADERS_MAX));
    assert_eq!(status(&refused(&long)), "431");
    assert_eq!(status(&refused(&"\r\nX: y".repeat(2 * HEADERS_COUNT_MAX))), "431");
    assert_eq!(status(&running.get("/healthz")), "200");
}

#[test]
fn an_open_page_gets_the_state_at_once_and_every_change() {
    let running = running(&[]);
    let (headers, mut reader) = running.follow();
    assert!(headers.contains("content-type: text/event-stream\r\n"));
    assert_eq!(next_state(&mut reader), r#"{"turn":0}"#);
    running.state.send_replace(Arc::from(r#"{"turn":1}"#));
    assert_eq!(next_state(&mut reader), r#"{"turn":1}"#);
}

#[test]
fn many_changes_are_sent_as_few_with_the_newest_last() {
    let running = running(&[]);
    let (_, mut reader) = running.follow();
    next_state(&mut reader);
    let started = std::time::Instant::now();
    let sender = running.state.clone();
    let changes = thread::spawn(move || {
        for turn in 1..=200 {
            sender.send_replace(Arc::from(format!(r#"{{"turn":{turn}}}"#)));
            thread::sleep(Duration::from_millis(5));
        }
    });
    let mut states = 1;
    while next_state(&mut reader) != r#"{"turn":200}"# {
        states += 1;
    }
    changes.join().unwrap();
    let quarters = started.elapsed().as_millis() / EVENT_EVERY.as_millis() + 1;
    assert!(states <= quarters, "{states} states in {quarters} quarters of a second");
}

#[test]
fn open_pages_are_bounded_and_a_closed_one_makes_room() {
    let running = running(&[]);
    let mut open: Vec<_> = (0..EVENTS_MAX).map(|_| running.follow()).collect();
    assert!(open.iter().all(|(headers, _)| status(headers) == "200"));
    assert_eq!(status(&running.get("/api/events")), "503");
    assert_eq!(status(&running.get("/api/state")), "200");

    open.pop();
    for turn in 0.. {
        // The server notices when it next writes.
        running.state.send_replace(Arc::from(format!(r#"{{"turn":{turn}}}"#)));
        let (headers, _) = running.follow();
        if status(&headers) == "200" {
            break;
        }
        assert!(turn < 100, "no room after a page was closed");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_stop_closes_open_pages_and_frees_the_port() {
    let mut running = running(&[]);
    let (_, mut reader) = running.follow();
    next_state(&mut reader);
    let address = running.server.address();
    running.server.stop();
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap_or_default();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_taken_port_is_named() {
    let running = running(&[]);
    let (_sender, state) = watch::channel(Arc::from("{}"));
    let desk = Desk { state, ask: Arc::new(|_| {}), past: None, adopt: None };
    let started = start(running.server.address(), Vec::new(), desk, gate(SignIn::Network, Vec::new()));
    let Err(error) = started else { panic!("the port was free") };
    let text = error.to_string();
    assert!(text.contains(&running.server.address().to_string()) && text.contains("[web] listen"), "{text}");
}

pub(super) const JSON: &str = "\r\nContent-Type: application/json";

impl Running {
    /// A command with these further header lines.
    fn post(&self, name: &str, headers: &str, body: &str) -> String {
        let host = self.server.address();
        self.answer(&format!(
            "POST /api/{name} HTTP/1.1\r\nHost: {host}{headers}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    }
}

#[test]
fn a_command_is_answered_by_the_main_loop() {
    let running = running(&[]);
    let answer = running.post("explain", JSON, r#"{"id":"nobody"}"#);
    assert_eq!(status(&answer), "404");
    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    assert!(
        answer.contains(r#"{"error":"there is no person or device \"nobody\"; known: none"}"#),
        "{answer}"
    );
    assert_eq!(status(&running.post("explain", JSON, "{")), "400");
    assert_eq!(status(&running.post("fly", JSON, "{}")), "404");
    assert_eq!(status(&running.get("/api/explain")), "405");
}

#[test]
fn a_page_of_somebody_else_cannot_send_a_command() {
    let running = running(&[]);
    let own = format!("{JSON}\r\nOrigin: http://{}", running.server.address());
    for (headers, expected) in [
        (own.as_str(), "404"),
        ("\r\nContent-Type: application/json; charset=utf-8\r\nSec-Fetch-Site: same-origin", "404"),
        ("", "415"),
        ("\r\nContent-Type: text/plain", "415"),
        ("\r\nContent-Type: application/x-www-form-urlencoded", "415"),
        (&format!("{JSON}\r\nOrigin: null"), "403"),
        (&format!("{JSON}\r\nOrigin: http://evil.example"), "403"),
        (&format!("{own}.evil.example"), "403"),
        (&format!("{JSON}\r\nSec-Fetch-Site: cross-site"), "403"),
        (&format!("{JSON}\r\nSec-Fetch-Site: same-site"), "403"),
    ] {
        assert_eq!(status(&running.post("explain", headers, r#"{"id":"nobody"}"#)), expected, "{headers}");
    }
}

#[test]
fn a_large_body_is_refused_before_it_is_kept() {
    let running = running(&[]);
    let body = format!(r#"{{"id":"{}"}}"#, "x".repeat(BODY_MAX));
    assert_eq!(status(&running.post("explain", JSON, &body)), "413");
    let fits = format!(r#"{{"id":"nobody"}}{}"#, " ".repeat(BODY_MAX - 100));
    assert_eq!(status(&running.post("explain", JSON, &fits)), "404");
}

#[test]
fn nobody_looks_until_a_page_is_open() {
    let running = running(&[]);
    assert!(!Desk::is_watched(&running.state));
    let (_, mut reader) = running.follow();
    next_state(&mut reader);
    assert!(Desk::is_watched(&running.state));
    drop(reader);
    for turn in 0.. {
        // The server notices when it next writes.
        running.state.send_replace(Arc::from(format!(r#"{{"turn":{turn}}}"#)));
        if !Desk::is_watched(&running.state) {
            break;
        }
        assert!(turn < 100, "a closed page goes on looking");
        thread::sleep(Duration::from_millis(50));
    }
}
