//! The page in a real browser: headless Chromium, and the real aggregator behind it.

#[path = "../page/audit.rs"]
mod audit;
#[path = "../page/empty.rs"]
mod empty;
#[path = "../page/keyboard.rs"]
mod keyboard;
#[path = "../page/live.rs"]
mod live;
#[path = "../page/looks.rs"]
mod looks;
#[path = "../page/private.rs"]
mod private;
#[path = "../page/sign_in.rs"]
mod sign_in;
#[path = "../page/timeline.rs"]
mod timeline;
#[path = "../page/uses.rs"]
mod uses;
#[path = "../page/weight.rs"]
mod weight;

use whichroom_tests::chromium::Tab;
use whichroom_tests::directory::Directory;
use whichroom_tests::http::address_in;
use whichroom_tests::process::{Process, product};

/// A demonstration.
struct Demo {
    address: String,
    _process: Process,
    _directory: Directory,
}

impl Demo {
    fn start(speed: &str) -> Demo {
        let directory = Directory::new();
        let arguments = ["demo", "--speed", speed, "--port", "0"];
        let mut process = Process::start(&product("whichroom"), &arguments, &directory.join("demo.log"));
        let address = address_in(&process.wait_log("http://"));
        Demo { address, _process: process, _directory: directory }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

/// Waits until the page shows the present.
fn wait_live(tab: &mut Tab<'_>) {
    tab.wait("document.querySelector('#link').dataset.link === 'live'");
}
