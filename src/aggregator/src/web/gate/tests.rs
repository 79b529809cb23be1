//! Who is let in, over real connections. A Host that is no name of loopback's makes a request one from the network.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::sync::LazyLock;

use super::*;
use crate::access::secret::{CODE, RANDOM, SALT};
use crate::access::{Scope, new_token};
use crate::web::routes;
use crate::web::tests::{JSON, Running, gate, next_state, running_with, status};

/// A name of the page that only somebody else on the network uses.
const FROM_THE_NETWORK: &str = "192.168.7.7";
const PASSWORD: &str = "correct horse";

static PHC: LazyLock<Hash> = LazyLock::new(|| Hash::new(PASSWORD, &[5; SALT]).unwrap());

/// A page with a password, and who it lets in.
struct Guarded {
    running: Running,
    gate: Arc<Gate>,
}

fn guarded(gate: Arc<Gate>) -> Guarded {
    Guarded { running: running_with(Ipv4Addr::UNSPECIFIED, &["home.lan"], Arc::clone(&gate)), gate }
}

fn with_password(tokens: Vec<Token>) -> Guarded {
    let gate = gate(SignIn::Network, tokens);
    gate.access().handle_password(Password::Set(PHC.clone()));
    guarded(gate)
}

fn token(name: &str, scope: Scope) -> (String, Token) {
    let name: whichroom_wire::Id = name.parse().unwrap();
    let text = new_token(&name, &[9; RANDOM]);
    let hash = Hash::new(&text, &[6; SALT]).unwrap();
    (text, Token { name, hash, scope })
}

impl Guarded {
    fn host(&self) -> String {
        format!("{FROM_THE_NETWORK}:{}", self.running.server.address().port())
    }

    /// A request from the network with these further header lines.
    fn ask(&self, request: &str, headers: &str) -> String {
        self.running.answer(&format!("{request} HTTP/1.1\r\nHost: {}{headers}", self.host()))
    }

    fn post(&self, path: &str, headers: &str, body: &str) -> String {
        let end = format!("\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        self.ask(&format!("POST {path}"), &format!("{headers}{end}"))
    }

    fn form(&self, headers: &str, body: &str) -> String {
        self.post("/sign-in", &format!("\r\nContent-Type: application/x-www-form-urlencoded{headers}"), body)
    }

    /// Header line with the cookie of somebody who signed in.
    fn signed_in(&self) -> String {
        let answer = self.form("", "password=correct+horse");
        assert_eq!(status(&answer), "303", "{answer}");
        cookie_line(&answer)
    }
}

fn header_of<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
}

fn cookie_line(answer: &str) -> String {
    let cookie = header_of(answer, "set-cookie").unwrap_or_else(|| panic!("no cookie: {answer}"));
    format!("\r\nCookie: {}", cookie.split(';').next().unwrap())
}

/// Every route there is, with every method: a new one is private, or is listed here on purpose.
#[test]
fn without_credentials_there_is_nothing_but_the_door() {
    let guarded = with_password(Vec::new());
    for (path, _) in routes() {
        let path = path.replace("{command}", "explain");
        assert!(!path.contains('{'), "a path to ask for instead of {path}");
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer =
                guarded.ask(&format!("{method} {path}"), &format!("{JSON}\r\nContent-Length: 2\r\n\r\n{{}}"));
            let is_public =
                ["/healthz", "/sign-in", "/sign-in.css", "/sign-in.js", "/page.css", "/api/session"]
                    .contains(&path.as_str());
            assert_eq!(status(&answer) == "401", !is_public, "{method} {path}: {answer}");
            assert!(!answer.contains("turn"), "the state is told at {method} {path}");
        }
    }
    for path in
        ["/nothing", "/api/nothing", "//api/state", "/api/state/", "/%61pi/state", "/sign-in/../api/state"]
    {
        assert_eq!(status(&guarded.ask(&format!("GET {path}"), "")), "401", "{path}");
    }
    assert_eq!(header_of(&guarded.ask("GET /api/session", ""), "content-type"), Some("application/json"));
    assert!(guarded.ask("GET /api/session", "").ends_with(r#"{"by":null}"#));
}

#[test]
fn only_this_machine_itself_comes_in_without() {
    let guarded = with_password(Vec::new());
    let port = guarded.running.server.address().port();
    let ask = |host: &str, headers: &str| {
        let answer =
            guarded.running.answer(&format!("GET /api/state HTTP/1.1\r\nHost: {host}:{port}{headers}"));
        status(&answer).to_owned()
    };
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        assert_eq!(ask(host, ""), "200", "{host}");
    }
    assert_eq!(ask(FROM_THE_NETWORK, ""), "401");
    assert_eq!(ask("home.lan", ""), "401", "a proxy on this machine");
    for header in [
        "X-Forwarded-For: 192.168.1.9",
        "X-Forwarded-Proto: https",
        "Forwarded: for=192.0.2.1",
        "Via: 1.1 x",
        "X-Real-IP: 10.0.0.1",
    ] {
        assert_eq!(ask("127.0.0.1", &format!("\r\n{header}")), "401", "{header}");
    }
    let of = |peer: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost:8737"));
        is_local(peer.parse().unwrap(), &headers)
    };
    assert!(of("127.0.0.1") && of("127.9.9.9") && of("::1") && of("::ffff:127.0.0.1"));
    assert!(!of("192.168.1.2") && !of("fe80::1") && !of("::ffff:192.168.1.2"), "whatever Host they name");
}

#[test]
fn this_machine_signs_in_too_where_that_is_wanted() {
    let running = running_with(Ipv4Addr::LOCALHOST, &[], gate(SignIn::Always, Vec::new()));
    assert_eq!(status(&running.get("/api/state")), "401");
    assert_eq!(status(&running.get("/sign-in")), "200");
}

#[test]
fn a_page_leads_to_the_sign_in_and_back() {
    let guarded = with_password(Vec::new());
    let html = "\r\nAccept: text/html,application/xhtml+xml";
    for (path, to) in [("/", "sign-in"), ("/roaming", "sign-in?to=roaming"), ("/a//evil", "sign-in")] {
        let answer = guarded.ask(&format!("GET {path}"), html);
        assert_eq!((status(&answer), header_of(&answer, "location")), ("303", Some(to)), "{path}");
    }
    assert_eq!(status(&guarded.ask("GET /api/state", html)), "401");
    assert_eq!(status(&guarded.ask("POST /", html)), "401");
    assert!(guarded.ask("GET /sign-in?to=roaming", "").contains(r#"name="to" value="roaming""#));
    let strange = guarded.ask("GET /sign-in?to=%22%3E%3Cscript%3E//evil.example", "");
    assert!(strange.contains(r#"name="to" value="scriptevilexample""#), "{strange}");

    let answer = guarded.form("", "password=correct+horse&to=roaming");
    assert_eq!((status(&answer), header_of(&answer, "location")), ("303", Some("./roaming")));
    let cookie = cookie_line(&answer);
    assert_eq!(status(&guarded.ask("GET /roaming", &format!("{html}{cookie}"))), "200");
    let again = guarded.ask("GET /sign-in", &cookie);
    assert_eq!((status(&again), header_of(&again, "location")), ("303", Some("./")), "signed in already");
    assert!(guarded.ask("GET /api/session", &cookie).ends_with(r#"{"by":"session"}"#));
}

#[test]
fn who_is_signed_in_may_look_and_change() {
    let guarded = with_password(Vec::new());
    let cookie = guarded.signed_in();
    assert_eq!(status(&guarded.ask("GET /api/state", &cookie)), "200");
    assert_eq!(status(&guarded.ask("GET /metrics", &cookie)), "200");
    let own = format!("{cookie}{JSON}\r\nOrigin: http://{}", guarded.host());
    let body = r#"{"device":"anna","room":"kitchen"}"#;
    assert_eq!(status(&guarded.post("/api/calibrate", &own, body)), "409", "the main loop's answer");
    assert_eq!(status(&guarded.post("/api/adopt", &own, "{}")), "409");
    for elsewhere in ["\r\nOrigin: http://evil.example", "\r\nOrigin: null", "\r\nSec-Fetch-Site: cross-site"]
    {
        let headers = format!("{cookie}{JSON}{elsewhere}");
        assert_eq!(status(&guarded.post("/api/calibrate", &headers, body)), "403", "{elsewhere}");
        assert_eq!(
            status(&guarded.ask("GET /api/state", &format!("{cookie}{elsewhere}"))),
            "403",
            "{elsewhere}"
        );
    }
    let form = format!("{cookie}\r\nContent-Type: text/plain");
    assert_eq!(status(&guarded.post("/api/calibrate", &form, body)), "415");
    let link = "\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate";
    assert_eq!(status(&guarded.ask("GET /", &format!("{cookie}{link}"))), "200", "somebody else's link");
    let host = guarded.running.server.address().port();
    let other =
        guarded.running.answer(&format!("GET /api/state HTTP/1.1\r\nHost: evil.example:{host}{cookie}"));
    assert_eq!(status(&other), "421");
}

#[test]
fn the_cookie_is_for_this_page_alone() {
    let guarded = with_password(Vec::new());
    let answer = guarded.form("", "password=correct+horse");
    let cookie = header_of(&answer, "set-cookie").unwrap();
    for part in ["whichroom_session=", "; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age="] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("Secure"), "a browser would not send it back");
    assert_eq!(cookie.split([';', '=']).nth(1).unwrap().len(), 43, "256 bits");
    let by_tls = guarded.form("\r\nX-Forwarded-Proto: https", "password=correct+horse");
    assert!(header_of(&by_tls, "set-cookie").unwrap().contains("; Secure"));
    let among = format!("\r\nCookie: a=b; whichroom_session=x; {}", cookie.split(';').next().unwrap());
    assert_eq!(status(&guarded.ask("GET /api/state", &among)), "200", "another program's beside it");
}

#[test]
fn a_wrong_password_is_said_and_guessing_is_stopped() {
    let guarded = with_password(Vec::new());
    for _ in 0..5 {
        let answer = guarded.form("", "password=wrong+horse");
        assert_eq!(status(&answer), "403");
        assert!(answer.contains(r#"role="alert">That is not the password.<"#), "{answer}");
        assert!(answer.contains("<title>That is not the password. Sign in"), "{answer}");
        assert!(header_of(&answer, "set-cookie").is_none() && !answer.contains("horse"), "{answer}");
    }
    let answer = guarded.form("", "password=correct+horse");
    assert_eq!(status(&answer), "429");
    assert!(answer.contains("try again in"), "{answer}");
}

#[test]
fn somebody_elses_page_signs_nobody_in() {
    let guarded = with_password(Vec::new());
    for elsewhere in [
        "Origin: http://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: navigate",
    ] {
        let answer = guarded.form(&format!("\r\n{elsewhere}"), "password=correct+horse");
        assert_eq!(status(&answer), "403", "{elsewhere}");
        assert!(header_of(&answer, "set-cookie").is_none());
    }
    let own = guarded.form(&format!("\r\nOrigin: http://{}", guarded.host()), "password=correct+horse");
    assert_eq!(status(&own), "303");
}

#[test]
fn the_first_password_takes_the_code() {
    let gate = gate(SignIn::Network, Vec::new());
    gate.access().want_code();
    // Before the page is open and offers one by itself.
    let code = gate.access().offer_code(gate.now(), || Ok([17; CODE])).unwrap();
    let guarded = guarded(gate);
    let page = guarded.ask("GET /sign-in", "");
    for id in ["id=\"sign-in\"", "id=\"code\"", "id=\"password\"", "id=\"password-again\"", "type=\"submit\""]
    {
        assert!(page.contains(id), "{id}");
    }
    assert!(!page.contains(&code), "the code is in the log alone");
    let typed = |code: &str, password: &str, again: &str| {
        guarded.form("", &format!("code={code}&password={password}&password-again={again}"))
    };
    for (answer, because) in [
        (typed(&code, "short", "short"), "at least 8 characters"),
        (typed(&code, "longenough", "longenougj"), "not the same"),
        (typed("2222-2222", "longenough", "longenough"), "not the code in the log"),
        (guarded.form("", "password=longenough"), "not the same"),
        (guarded.post("/sign-in", "\r\nContent-Type: text/plain", "code=x"), "does not read"),
    ] {
        assert!(answer.contains(because), "{because}: {answer}");
        assert!(header_of(&answer, "set-cookie").is_none());
    }
    let answer = typed(&code.to_lowercase(), "longenough", "longenough");
    assert_eq!(status(&answer), "303", "{answer}");
    assert_eq!(status(&guarded.ask("GET /api/state", &cookie_line(&answer))), "200");
    let page = guarded.ask("GET /sign-in", "");
    assert!(!page.contains("id=\"code\"") && page.contains("id=\"password\""), "{page}");
    let second = typed(&code, "otherpassword", "otherpassword");
    assert_eq!(status(&second), "403", "it was good for one password");
}

#[test]
fn signing_out_ends_it_on_the_server_and_on_open_pages() {
    let guarded = with_password(Vec::new());
    let (one, other) = (guarded.signed_in(), guarded.signed_in());
    let follow = |cookie: &str| {
        let mut stream = guarded.running.connect();
        write!(
            stream,
            "GET /api/events HTTP/1.1\r\nHost: {}{cookie}\r\nConnection: close\r\n\r\n",
            guarded.host()
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        assert_eq!(next_state(&mut reader), r#"{"turn":0}"#);
        reader
    };
    let (mut page, mut other_page) = (follow(&one), follow(&other));
    let answer = guarded.post("/api/sign-out", &format!("{one}{JSON}"), "{}");
    assert_eq!(status(&answer), "200");
    assert!(header_of(&answer, "set-cookie").unwrap().contains("Max-Age=0"), "{answer}");
    let mut line = String::new();
    while page.read_line(&mut line).unwrap() != 0 {
        assert!(!line.contains("data:"), "{line}");
    }
    assert_eq!(status(&guarded.ask("GET /api/state", &one)), "401");
    guarded.running.state.send_replace(Arc::from(r#"{"turn":1}"#));
    assert_eq!(next_state(&mut other_page), r#"{"turn":1}"#, "the other goes on");

    let third = guarded.signed_in();
    let answer = guarded.post("/api/sign-out", &format!("{third}{JSON}"), r#"{"everywhere":true}"#);
    assert_eq!(status(&answer), "200");
    for cookie in [&other, &third] {
        assert_eq!(status(&guarded.ask("GET /api/state", cookie)), "401");
    }
}

#[test]
fn a_token_looks_and_one_for_changes_changes() {
    let ((reader, read), (writer, write)) = (token("prometheus", Scope::Read), token("cli", Scope::All));
    let guarded = with_password(vec![read, write]);
    let with = |token: &str| format!("\r\nAuthorization: Bearer {token}");
    for token in [&reader, &writer] {
        assert_eq!(status(&guarded.ask("GET /metrics", &with(token))), "200");
        assert_eq!(status(&guarded.ask("GET /metrics", &with(token))), "200", "known by now");
    }
    let body = r#"{"device":"anna","room":"kitchen"}"#;
    let post = |path: &str, token: &str| {
        let answer = guarded.post(path, &format!("{}{JSON}", with(token)), body);
        status(&answer).to_owned()
    };
    assert_eq!(
        (post("/api/calibrate", &reader), post("/api/calibrate", &writer)),
        ("403".into(), "409".into())
    );
    assert_eq!((post("/api/adopt", &reader), post("/api/sign-out", &reader)), ("403".into(), "403".into()));
    assert_eq!(post("/api/samples", &reader), "400", "it may ask");

    let wrong = guarded.ask("GET /metrics", &with("prometheus.guess"));
    assert_eq!(
        (status(&wrong), header_of(&wrong, "www-authenticate")),
        ("401", Some("Bearer realm=\"whichroom\""))
    );
    assert!(!wrong.contains("guess"));
    for _ in 0..6 {
        guarded.ask("GET /metrics", &with("prometheus.guess"));
    }
    let stopped = guarded.ask("GET /metrics", &with("prometheus.guess"));
    assert_eq!(status(&stopped), "429");
    assert!(header_of(&stopped, "retry-after").is_some());
    assert_eq!(status(&guarded.ask("GET /metrics", &with(&reader))), "200", "who is known is not stopped");
    for header in ["\r\nAuthorization: Basic Og==", "\r\nAuthorization: Bearer", "\r\nAuthorization: é"] {
        assert_eq!(status(&guarded.ask("GET /metrics", header)), "401", "{header}");
    }
    assert_eq!(
        status(&guarded.ask(&format!("GET /metrics?token={reader}"), "")),
        "401",
        "no secret in addresses"
    );
}

#[test]
fn a_token_that_is_taken_out_is_worth_nothing_at_once() {
    let (text, token) = token("cli", Scope::All);
    let guarded = with_password(vec![token]);
    let with = format!("\r\nAuthorization: Bearer {text}");
    let mut stream = guarded.running.connect();
    write!(stream, "GET /api/events HTTP/1.1\r\nHost: {}{with}\r\nConnection: close\r\n\r\n", guarded.host())
        .unwrap();
    let mut page = BufReader::new(stream);
    next_state(&mut page);
    guarded.gate.set_tokens(Vec::new());
    let mut line = String::new();
    while page.read_line(&mut line).unwrap() != 0 {
        assert!(!line.contains("data:"), "{line}");
    }
    assert_eq!(status(&guarded.ask("GET /api/state", &with)), "401");
}

#[test]
fn what_is_slow_waits_in_a_short_queue() {
    let guarded = with_password(Vec::new());
    let gate = Arc::clone(&guarded.gate);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (done, busy) = runtime.block_on(async {
        let tries: Vec<_> = (0..40_u8)
            .map(|peer| {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move { gate.sign_in(IpAddr::V4([10, 0, 0, peer].into()), PASSWORD).await })
            })
            .collect();
        let (mut done, mut busy) = (0, 0);
        for one in tries {
            match one.await.unwrap() {
                Ok(_) => done += 1,
                Err(Refused::Busy) => busy += 1,
                Err(other) => panic!("{other}"),
            }
        }
        (done, busy)
    });
    assert_eq!((done, busy), (WAITING_MAX, 40 - WAITING_MAX));
}

#[test]
fn every_answer_of_the_door_carries_the_rules_for_browsers() {
    let guarded = with_password(Vec::new());
    let form = guarded.form("", "password=wrong+horse");
    for answer in [guarded.ask("GET /sign-in", ""), form, guarded.ask("GET /api/state", "")] {
        for rule in ["frame-ancestors 'none'", "x-content-type-options: nosniff", "cache-control: no-store"] {
            assert!(answer.contains(rule), "{rule} in {answer}");
        }
        assert_eq!(answer.matches("content-security-policy").count(), 1);
    }
    assert!(guarded.ask("GET /sign-in", "").contains("form-action 'self'"));
}
