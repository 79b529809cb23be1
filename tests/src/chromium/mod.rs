//! A real browser for tests: headless Chromium, driven by the DevTools protocol over a pair of pipes. A test opens a
//! [`Tab`] and sees what a person would see; anything the page complains of is kept and can be asked for.

mod audit;
mod tab;

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use serde_json::{Value, json};

use crate::directory::Directory;
use crate::process::{HANG, target_directory};

pub use tab::{Look, Tab};

/// The protocol's ends are file descriptors 3 and 4; a shell puts them there.
const START: &str = r#"exec chromium "$@" 3<&0 4>&1 </dev/null >/dev/null 2>"$LOG""#;

/// What keeps it from looking after itself instead of the test.
const FLAGS: [&str; 11] = [
    "--headless",
    "--remote-debugging-pipe",
    // It has no sandbox as root, and it sees our own pages only.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--force-color-profile=srgb",
    // Names of machines for tests, which are this one.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
];

/// A running browser. It ends when it is dropped, and with this process, whose pipes it reads.
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    /// Told by the browser and not yet looked at.
    events: VecDeque<Value>,
    last_id: u64,
    // Its profile; gone after the browser.
    _directory: Directory,
}

impl Browser {
    /// Starts one with a fresh profile.
    pub fn start() -> Browser {
        let directory = Directory::new();
        let profile = format!("--user-data-dir={}", directory.path().display());
        let mut child = Command::new("sh")
            .args(["-c", START, "chromium"])
            .args(FLAGS)
            .arg(profile)
            .arg("about:blank")
            .env("LOG", directory.join("chromium.log"))
            // It writes below its home otherwise, whatever its profile.
            .env("HOME", directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("sh: {error}"));
        let (Some(commands), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            panic!("Chromium has no pipes")
        };
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { continue };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let events = VecDeque::new();
        Browser { child, commands, messages, events, last_id: 0, _directory: directory }
    }

    /// Opens a page in a tab that shares nothing with others, and waits until it is loaded.
    pub fn open(&mut self, url: &str, look: Look) -> Tab<'_> {
        let context = self.call(None, "Target.createBrowserContext", json!({}));
        let target = json!({"url": "about:blank", "browserContextId": context["browserContextId"]});
        let target = self.call(None, "Target.createTarget", target);
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.call(None, "Target.attachToTarget", attach)["sessionId"].clone();
        let Value::String(session) = session else { panic!("Chromium opens no tab") };
        let mut tab = Tab::new(self, session, context["browserContextId"].clone());
        tab.prepare(look);
        tab.go(url);
        tab
    }

    /// Sends a command and waits for its answer.
    fn call(&mut self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        self.try_call(session, method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&mut self, session: Option<&str>, method: &str, parameters: Value) -> Result<Value, String> {
        let id = self.send(session, method, parameters);
        loop {
            let message = self.receive(method);
            if message["method"] == "Page.javascriptDialogOpening" {
                // A question halts its page, and with it the answer to whoever clicked.
                let session = message["sessionId"].as_str();
                self.send(session, "Page.handleJavaScriptDialog", json!({"accept": true}));
            }
            if message["id"] != id {
                self.events.push_back(message);
                continue;
            }
            return match message.get("error") {
                Some(error) => Err(error["message"].as_str().unwrap_or("refused").to_owned()),
                None => Ok(message["result"].clone()),
            };
        }
    }

    /// Sends a command; returns the number its answer will have.
    fn send(&mut self, session: Option<&str>, method: &str, parameters: Value) -> u64 {
        self.last_id += 1;
        let mut command = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = session {
            command["sessionId"] = json!(session);
        }
        let written = write!(self.commands, "{command}\0").and_then(|()| self.commands.flush());
        if let Err(error) = written {
            panic!("Chromium takes no command ({error}); is it installed? .ci/deps does that");
        }
        self.last_id
    }

    fn receive(&mut self, waits_for: &str) -> Value {
        let message = self.messages.recv_timeout(HANG);
        message.unwrap_or_else(|error| panic!("Chromium says nothing, {waits_for} is waited for: {error}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A browser that is closed takes its processes along; one that hangs is killed.
        let _ = write!(self.commands, "{}\0", json!({"id": 0, "method": "Browser.close"}));
        let _ = self.commands.flush();
        while self.messages.recv_timeout(HANG).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where pictures of pages are put: `$WHICHROOM_SCREENSHOTS`, else `screenshots` among what is built.
pub fn screenshots() -> PathBuf {
    let folder = std::env::var_os("WHICHROOM_SCREENSHOTS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| target_directory().join("screenshots"));
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
}
