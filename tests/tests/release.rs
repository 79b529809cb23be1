//! The server as `make release` builds it: the feed of packages is inside, and served without a folder.

use std::fs;
use std::path::{Path, PathBuf};

use whichroom_tests::directory::Directory;
use whichroom_tests::http::{address_in, ask, status};
use whichroom_tests::mosquitto::{Mosquitto, free_port};
use whichroom_tests::process::{Process, released, run};

/// What went into the program.
fn feed() -> PathBuf {
    let feed = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target/packages/feed");
    assert!(feed.is_dir(), "{} is missing: run make release", feed.display());
    feed
}

/// The paths of all files below a folder.
fn files(root: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(root).unwrap_or(&path);
                found.push(below.display().to_string());
            }
        }
    }
    found
}

/// A server with a section for the feed, and where it serves it.
fn serving(directory: &Directory, mosquitto: &Mosquitto, section: &str) -> (Process, String) {
    let text = format!(
        "[mqtt]\nurl = \"{}\"\n[web]\nlisten = \"127.0.0.1:0\"\n[feed]\nlisten = \"127.0.0.1:0\"\n{section}",
        mosquitto.url()
    );
    let config = directory.write("whichroom.toml", &text).display().to_string();
    let state = directory.join("state").display().to_string();
    let log = directory.join("log");
    let _ = fs::remove_file(&log);
    let mut process =
        Process::start(&released("whichroom"), &["run", "--config", &config, "--state", &state], &log);
    let address = address_in(&process.wait_log("feed http://"));
    (process, address)
}

#[test]
fn every_file_of_the_feed_is_served_from_inside_the_program() {
    let (directory, mosquitto) = (Directory::new(), Mosquitto::start());
    let (mut server, address) = serving(&directory, &mosquitto, "");
    let feed = feed();
    let files = files(&feed);
    assert!(files.len() > 10, "{files:?}");
    for file in files {
        let bytes = fs::read(feed.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let (head, body) = ask(&address, &format!("GET /feed/{file}"));
        assert_eq!(status(&head), "200", "{file}");
        assert!(body == bytes, "{file} is served with other bytes");
    }
    let (_, listing) = ask(&address, "GET /feed/");
    let listing = String::from_utf8_lossy(&listing).into_owned();
    assert!(listing.contains(".apk\n") && listing.contains(".ipk\n"), "{listing}");
    assert!(server.terminate().success(), "{}", server.log());
}

#[test]
fn a_folder_that_is_configured_goes_before() {
    let (directory, mosquitto) = (Directory::new(), Mosquitto::start());
    for (name, text) in [
        ("whichroom-feed.pub", "another key"),
        ("whichroom-feed.pem", "another key"),
        ("apk/x86_64/whichroom-agent-9.9.9-r1.apk", "another agent"),
    ] {
        let path = directory.join("other").join(name);
        let folder = path.parent().unwrap_or(directory.path());
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    let (mut server, address) = serving(&directory, &mosquitto, "folder = \"other\"\n");
    assert_eq!(ask(&address, "GET /feed/whichroom-feed.pub").1, b"another key");
    assert_eq!(status(&ask(&address, "GET /feed/ipk/x86_64/Packages").0), "404", "not from inside");
    assert!(server.terminate().success(), "{}", server.log());
}

/// Nothing has to be said of the feed: the lines for the access points install from this server.
#[test]
fn init_prints_one_line_an_access_point() {
    let directory = Directory::new();
    let config = directory.join("whichroom.toml").display().to_string();
    let broker = format!("mqtt://127.0.0.1:{}", free_port());
    let output =
        run(&released("whichroom"), &["init", "--broker", &broker, "--ap", "kitchen", "--config", &config]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains(":8738/feed/install.sh | sh -s -- --broker mqtt://"), "{said}");
    let text = fs::read_to_string(&config).unwrap_or_default();
    assert!(!text.contains("[feed]"), "{text}");
}
