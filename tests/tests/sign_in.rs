//! The page open to the network, with the real program: who is let in, how a password is set, kept and forgotten, and
//! what programs show instead. Requests "from the network" come by a name that loopback does not have.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use whichroom_tests::directory::Directory;
use whichroom_tests::http::{send, status};
use whichroom_tests::mosquitto::free_port;
use whichroom_tests::process::{HANG, Process, product, run, wait};

const PASSWORD: &str = "correct horse";
const JSON: &str = "Content-Type: application/json";

/// A server whose page is open to the network.
struct Open {
    directory: Directory,
    process: Process,
    port: u16,
}

impl Open {
    fn new(web: &str) -> Open {
        let directory = Directory::new();
        let (mqtt, port) = (free_port(), free_port());
        let text = format!(
            "[mqtt]\nlisten = \"127.0.0.1:{mqtt}\"\n[[person]]\nname = \"Anna\"\ndevices = [\"02:00:00:00:00:0a\"]\n\
             [web]\nlisten = \"0.0.0.0:{port}\"\n{web}"
        );
        directory.write("whichroom.toml", &text);
        let process = start(&directory);
        let mut open = Open { directory, process, port };
        open.process.wait_log("connected to the broker");
        open
    }

    fn restart(&mut self) {
        assert_eq!(self.process.terminate().code(), Some(0));
        let before = self.process.log().matches("connected to the broker").count();
        self.process = start(&self.directory);
        let process = &mut self.process;
        wait("aggregator again", || {
            process.expect_running();
            (process.log().matches("connected to the broker").count() > before).then_some(())
        });
    }

    /// Asks by a name, with these further header lines and this body.
    fn ask_as(&self, host: &str, request: &str, headers: &[&str], body: &str) -> (String, String) {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let text = format!(
            "{request} HTTP/1.1\r\nHost: {host}:{}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        );
        let (head, body) = send(&format!("127.0.0.1:{}", self.port), &text);
        (head, String::from_utf8_lossy(&body).into_owned())
    }

    fn ask(&self, request: &str, headers: &[&str]) -> (String, String) {
        self.ask_as("192.168.7.7", request, headers, "")
    }

    fn status(&self, request: &str, headers: &[&str]) -> String {
        status(&self.ask(request, headers).0).to_owned()
    }

    fn form(&self, body: &str, headers: &[&str]) -> (String, String) {
        let headers = [&["Content-Type: application/x-www-form-urlencoded"], headers].concat();
        self.ask_as("192.168.7.7", "POST /sign-in", &headers, body)
    }

    /// The newest code in the log.
    fn code(&self, after: usize) -> String {
        wait("code in the log", || {
            let log = self.process.log();
            let (_, rest) = log.get(after..)?.rsplit_once("one-time code ")?;
            Some(rest.get(..9)?.to_owned())
        })
    }

    fn set_password(&self, code: &str) -> String {
        let typed = format!("code={code}&password={PASSWORD}&password-again={PASSWORD}").replace(' ', "+");
        let (head, body) = self.form(&typed, &[]);
        assert_eq!(status(&head), "303", "{head}{body}");
        cookie(&head)
    }

    fn sign_in(&self) -> String {
        let (head, body) = self.form(&format!("password={}", PASSWORD.replace(' ', "+")), &[]);
        assert_eq!(status(&head), "303", "{head}{body}");
        cookie(&head)
    }

    fn reset(&self) -> Output {
        let state = self.directory.join("state").display().to_string();
        run(&product("whichroom"), &["password", "--reset", "--state", &state])
    }
}

fn start(directory: &Directory) -> Process {
    let configuration = directory.join("whichroom.toml");
    let arguments: [PathBuf; 5] =
        ["run".into(), "--config".into(), configuration, "--state".into(), directory.join("state")];
    Process::start(&product("whichroom"), &arguments, &directory.join("aggregator.log"))
}

/// Header line with the cookie that an answer sets.
fn cookie(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let line = line.unwrap_or_else(|| panic!("no cookie in {head}"));
    format!("Cookie: {}", line.split(';').next().unwrap_or_default())
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Token and lines for the configuration.
fn token(arguments: &[&str]) -> (String, String) {
    let output = run(&product("whichroom"), &[&["token"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let text = text(&output);
    let token = text.lines().find(|line| line.starts_with(&format!("  {}.", arguments[0])));
    let (_, lines) = text.split_once("SIGHUP:\n\n").unwrap_or_else(|| panic!("{text}"));
    (token.unwrap_or_else(|| panic!("{text}")).trim().to_owned(), lines.to_owned())
}

#[test]
fn a_code_from_the_log_sets_the_password_and_it_outlives_a_restart() {
    let mut open = Open::new("");
    let log = open.process.log();
    assert!(
        log.contains(&format!("page http://127.0.0.1:{}/ for this machine, without sign-in", open.port)),
        "{log}"
    );
    assert!(log.contains("for the network, after sign-in"), "{log}");
    let (head, _) = open.ask_as("127.0.0.1", "GET /api/state", &[], "");
    assert_eq!(status(&head), "200", "this machine");
    for path in ["/api/state", "/api/events", "/metrics", "/api/timeline?from=0&to=1", "/page.js", "/nothing"]
    {
        assert_eq!(open.status(&format!("GET {path}"), &[]), "401", "{path}");
    }
    let (head, _) = open.ask("GET /", &["Accept: text/html"]);
    assert_eq!(status(&head), "303");
    assert!(head.contains("location: sign-in\r\n"), "{head}");

    let code = open.code(0);
    let (head, body) = open.form("code=AAAA-AAAA&password=longenough&password-again=longenough", &[]);
    assert_eq!(status(&head), "403");
    assert!(body.contains("not the code in the log") && !body.contains(&code), "{body}");
    let mine = open.set_password(&code);
    assert_eq!(open.status("GET /api/state", &[&mine]), "200");
    assert_eq!(open.status("GET /api/state", &["Cookie: whichroom_session=guess"]), "401");
    let (head, _) =
        open.form(&format!("code={code}&password=otherpassword&password-again=otherpassword"), &[]);
    assert_eq!(status(&head), "403", "the code was good for one password");

    let file = open.directory.join("state/page-password");
    let mode = std::fs::metadata(&file).expect("it is kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = std::fs::read_to_string(&file).expect("it is kept");
    assert!(kept.starts_with("$argon2id$") && !kept.contains(PASSWORD), "{kept}");
    let sessions = open.directory.join("state/page-sessions.json");
    let sessions = std::fs::read_to_string(&sessions).expect("they are kept");
    let value = mine.split('=').next_back().unwrap_or_default();
    assert!(!sessions.contains(value), "digests only: {sessions}");

    open.restart();
    assert_eq!(open.status("GET /api/state", &[&mine]), "200", "a restart asks nobody again");
    let other = open.sign_in();
    assert_eq!(open.status("GET /api/state", &[&other]), "200");
    let log = open.process.log();
    assert_eq!(log.matches("one-time code").count(), 1, "no code where there is a password: {log}");
    assert!(!log.contains(PASSWORD) && !log.contains(value), "{log}");
}

#[test]
fn a_reset_signs_everybody_out_and_shows_a_new_code_without_a_restart() {
    let open = Open::new("");
    let first = open.code(0);
    let mine = open.set_password(&first);
    let (mut stream, request) = (
        TcpStream::connect(("127.0.0.1", open.port)).expect("it listens"),
        format!(
            "GET /api/events HTTP/1.1\r\nHost: 192.168.7.7:{}\r\n{mine}\r\nConnection: close\r\n\r\n",
            open.port
        ),
    );
    stream.set_read_timeout(Some(HANG)).expect("a socket");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut page = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(page.any(|line| line.starts_with("data: ")), "live while signed in");

    let before = open.process.log().len();
    let output = open.reset();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let second = open.code(before);
    assert_ne!(first, second);
    page.for_each(drop);
    assert_eq!(open.status("GET /api/state", &[&mine]), "401");
    let again = open.set_password(&second);
    assert_eq!(open.status("GET /api/state", &[&again]), "200");

    open.reset();
    let output = open.reset();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("page-password is not there"), "{}", text(&output));
}

#[test]
fn names_origins_and_proxies_are_looked_at() {
    let open = Open::new("hosts = [\"home.lan\"]\n");
    let mine = open.set_password(&open.code(0));
    let ask =
        |host: &str, headers: &[&str]| status(&open.ask_as(host, "GET /api/state", headers, "").0).to_owned();
    assert_eq!((ask("home.lan", &[&mine]), ask("home.lan", &[])), ("200".into(), "401".into()));
    let (head, body) = open.ask_as("server.local", "GET /", &[&mine], "");
    assert_eq!(status(&head), "421", "{head}");
    assert!(body.contains("hosts = [\"server.local\"]"), "{body}");
    for header in ["X-Forwarded-For: 192.168.1.9", "Forwarded: for=192.0.2.1", "Via: 1.1 proxy"] {
        assert_eq!(ask("127.0.0.1", &[header]), "401", "{header}");
    }
    let command = |headers: &[&str]| {
        let headers = [&[JSON, mine.as_str()], headers].concat();
        let (head, _) = open.ask_as("192.168.7.7", "POST /api/explain", &headers, r#"{"id":"anna"}"#);
        status(&head).to_owned()
    };
    let own = format!("Origin: http://192.168.7.7:{}", open.port);
    assert_eq!((command(&[]), command(&[&own])), ("200".into(), "200".into()));
    for header in ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"] {
        assert_eq!(command(&[header]), "403", "{header}");
        assert_eq!(ask("home.lan", &[&mine, header]), "403", "{header}");
        let (head, _) = open.form(&format!("password={}", PASSWORD.replace(' ', "+")), &[header]);
        assert_eq!(status(&head), "403", "{header}");
    }
    let (head, _) =
        open.ask_as("192.168.7.7", "POST /api/note", &[JSON, &mine, &own], r#"{"text":"lowered"}"#);
    assert_eq!(status(&head), "200", "who is signed in may change something");
    let (head, _) = open.ask_as("192.168.7.7", "POST /api/note", &[JSON], r#"{"text":"lowered"}"#);
    assert_eq!(status(&head), "401");
}

/// Where this machine has an address on a network, what comes by it is not from this machine.
#[test]
fn the_machines_own_address_is_the_network() {
    let open = Open::new("");
    let probe = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let Some(ip) = probe.ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback()) else { return };
    let address = format!("{ip}:{}", open.port);
    for host in [address.clone(), format!("localhost:{}", open.port)] {
        let request = format!("GET /api/state HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&send(&address, &request).0), "401", "{host}");
    }
}

/// One listener for both: IPv4 comes as a part of IPv6, and is this machine all the same.
#[test]
fn ipv6_and_ipv4_come_in_by_one_address() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("no IPv6 here");
        return;
    }
    let directory = Directory::new();
    let (mqtt, port) = (free_port(), free_port());
    let text = format!("[mqtt]\nlisten = \"127.0.0.1:{mqtt}\"\n[web]\nlisten = \"[::]:{port}\"\n");
    directory.write("whichroom.toml", &text);
    let mut process = start(&directory);
    process.wait_log("connected to the broker");
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let ask = |host: &str| {
            let request =
                format!("GET /api/state HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
            status(&send(&address, &request).0).to_owned()
        };
        assert_eq!(
            (ask("localhost"), ask("[fd00::7]"), ask("192.168.7.7")),
            ("200".into(), "401".into(), "401".into())
        );
    }
    assert_eq!(process.terminate().code(), Some(0));
}

#[test]
fn programs_show_a_token_and_the_command_line_takes_it_from_a_file_or_the_environment() {
    let ((reader, one), (writer, two)) = (token(&["prometheus"]), token(&["laptop", "--change"]));
    let mut open = Open::new(&format!("sign_in = \"always\"\n{one}{two}"));
    let bearer = format!("Authorization: Bearer {reader}");
    let (head, body) = open.ask("GET /metrics", &[&bearer]);
    assert_eq!(status(&head), "200", "{head}");
    assert!(body.contains("whichroom_"), "{body}");
    assert_eq!(open.status("GET /metrics", &["Authorization: Bearer prometheus.guess"]), "401");
    assert_eq!(open.status(&format!("GET /metrics?token={reader}"), &[]), "401");

    let page = format!("http://127.0.0.1:{}", open.port);
    let program = |arguments: &[&str], token: Option<&str>| {
        let mut command = Command::new(product("whichroom"));
        command.args(arguments).args(["--page", &page]).stdin(Stdio::null()).env_remove("WHICHROOM_TOKEN");
        let output = command.envs(token.map(|token| ("WHICHROOM_TOKEN", token))).output();
        let output = output.expect("it starts");
        (output.status.code(), text(&output))
    };
    let (code, said) = program(&["explain", "anna"], None);
    assert_eq!(code, Some(1));
    assert!(said.contains("wants a token") && said.contains("--token-file"), "{said}");
    let (code, said) = program(&["explain", "anna"], Some(&reader));
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = program(&["note", "lowered"], Some(&reader));
    assert_eq!(code, Some(1));
    assert!(said.contains("may only look"), "{said}");
    let file = open.directory.write("token", &format!("{writer}\n")).display().to_string();
    let (code, said) = program(&["note", "lowered", "--token-file", &file], None);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = program(&["note", "lowered"], Some("laptop.guess"));
    assert_eq!(code, Some(1));
    assert!(said.contains("none of [[web.token]]") && !said.contains("guess"), "{said}");
    let (code, said) = program(&["note", "lowered"], Some("not a token"));
    assert_eq!(code, Some(2));
    assert!(said.contains("$WHICHROOM_TOKEN holds no token"), "{said}");

    // Taken out of the file, it is worth nothing.
    let configuration = open.directory.join("whichroom.toml");
    let text = std::fs::read_to_string(&configuration).expect("it is there").replace(&one, "");
    std::fs::write(&configuration, text).expect("it is written");
    open.process.signal("HUP");
    open.process.wait_log("configuration read again");
    wait("end of the token", || (open.status("GET /metrics", &[&bearer]) == "401").then_some(()));
    let log = open.process.log();
    assert!(!log.contains(&reader) && !log.contains(&writer), "{log}");
}

#[test]
fn check_says_every_way_in() {
    let directory = Directory::new();
    let (_, lines) = token(&["prometheus"]);
    let text = format!("[web]\nlisten = \"0.0.0.0:8124\"\nhosts = [\"server.local\"]\n{lines}");
    let file = directory.write("whichroom.toml", &text).display().to_string();
    let output = run(&product("whichroom"), &["check", "--config", &file]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stdout);
    for part in [
        "page http://127.0.0.1:8124/ for this machine, without sign-in",
        ":8124/ for the network, after sign-in",
        "page as server.local, after sign-in",
        "token prometheus, to look",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}
