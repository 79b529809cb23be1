//! A real Mosquitto on a free port, for one test.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::directory::Directory;
use crate::process::{Process, wait};

/// How Mosquitto runs.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Names and passwords; without any, everybody may come.
    pub users: Vec<(String, String)>,
    /// Keep retained messages and sessions over a restart.
    pub persistence: bool,
    /// Further lines of the configuration.
    pub lines: Vec<String>,
}

/// A running Mosquitto. Dropping it ends it.
#[derive(Debug)]
pub struct Mosquitto {
    process: Option<Process>,
    port: u16,
    directory: Directory,
}

const PROGRAM: &str = "/usr/sbin/mosquitto";

impl Mosquitto {
    /// Starts one that everybody may use and that forgets everything at its end.
    pub fn start() -> Mosquitto {
        Mosquitto::with(&Settings::default())
    }

    /// Starts one.
    pub fn with(settings: &Settings) -> Mosquitto {
        assert!(Path::new(PROGRAM).is_file(), "{PROGRAM} is missing: run apt-get install mosquitto");
        let directory = Directory::new();
        let mut mosquitto = Mosquitto { process: None, port: free_port(), directory };
        mosquitto.write_configuration(settings);
        mosquitto.start_again();
        mosquitto
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address as the programs take it.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Everything it logged; `log_type all` in the settings' lines makes it name each packet.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.directory.join("mosquitto.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Ends it in order: with persistence, everything is written.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate();
        }
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port.
    pub fn start_again(&mut self) {
        if self.process.is_some() {
            return;
        }
        let arguments = ["-c".into(), self.directory.join("mosquitto.conf")];
        let mut process =
            Process::start(Path::new(PROGRAM), &arguments, &self.directory.join("mosquitto.log"));
        wait("Mosquitto's port", || {
            process.expect_running();
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()
        });
        self.process = Some(process);
    }

    fn write_configuration(&self, settings: &Settings) {
        let directory = self.directory.path().display();
        let mut lines = vec![format!("listener {} 127.0.0.1", self.port)];
        // As root it would change to a user of its own, who may not write here.
        lines.push("user root".to_owned());
        lines.push(format!("allow_anonymous {}", settings.users.is_empty()));
        if !settings.users.is_empty() {
            lines.push(format!("password_file {directory}/passwords"));
            self.write_passwords(&settings.users);
        }
        if settings.persistence {
            lines.push(format!("persistence true\npersistence_location {directory}/"));
        }
        lines.extend_from_slice(&settings.lines);
        lines.push(String::new());
        self.directory.write("mosquitto.conf", &lines.join("\n"));
    }

    fn write_passwords(&self, users: &[(String, String)]) {
        let file = self.directory.write("passwords", "");
        for (name, password) in users {
            let status =
                Command::new("mosquitto_passwd").arg("-b").arg(&file).args([name, password]).status();
            assert!(
                status.is_ok_and(|status| status.success()),
                "mosquitto_passwd: apt-get install mosquitto"
            );
        }
    }
}

/// A port below the range that the system gives to outgoing connections, so that it stays free while a broker is
/// away.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id().wrapping_mul(37) % 9_000).unwrap_or(0);
    wait("free port", || {
        let port = 20_000 + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % 9_000;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
    })
}
