//! The text of `whichroom.toml`, from the answers.

use std::fmt::Write as _;

use super::answers::{Answers, Broker};
use crate::web::packages::Packages;

/// The file's text.
pub(super) fn render(answers: &Answers) -> String {
    let mut text =
        String::from("# WhichRoom. Every key is optional; `whichroom check` says what is wrong.\n\n");
    // Writing to a string does not fail.
    let _ = writeln!(text, "[site]\nid = \"{}\"\n", answers.site);
    match &answers.broker {
        Broker::External { url, username, password_file, tls } => {
            let _ = writeln!(text, "[mqtt]\nurl = {}", quoted(url));
            for (key, value) in tls.keys() {
                let _ = writeln!(text, "{key} = {}", quoted(&value));
            }
            if let Some(username) = username {
                let _ = writeln!(text, "username = {}", quoted(username));
            }
            if let Some(file) = password_file {
                let _ = writeln!(text, "password_file = {}", quoted(&file.display().to_string()));
            }
            text.push('\n');
        }
        Broker::Embedded { listen, home_assistant_password } => {
            let _ = writeln!(
                text,
                "# The embedded broker, open to the network. Each access point may write its own topics only.\n[mqtt]\nlisten = \"{listen}\"\n"
            );
            for ap in &answers.access_points {
                let _ = writeln!(
                    text,
                    "[[mqtt.user]]\nname = \"ap-{}\"\npassword = \"{}\"\nap = \"{}\"\n",
                    ap.id, ap.password, ap.id
                );
            }
            let _ = writeln!(
                text,
                "[[mqtt.user]]\nname = \"homeassistant\"\npassword = \"{home_assistant_password}\"\n"
            );
        }
    }
    if let Some(feed) = answers.feed.as_ref().filter(|feed| feed.asked) {
        text.push_str("# What access points install their agent from. Public: packages, keys and the installer.\n[feed]\n");
        if let Packages::Folder(folder) = &feed.packages {
            let _ = writeln!(text, "folder = {}", quoted(&folder.display().to_string()));
        }
        let _ = writeln!(text, "listen = \"{}\"\n", feed.listen);
    }
    if let Some(page) = answers.page {
        let _ = writeln!(
            text,
            "# The page, open to the network: the log shows a one-time code to set its password with.\n[web]\nlisten = \"{page}\"\n"
        );
    }
    if answers.access_points.is_empty() {
        text.push_str("# Access points appear by themselves; name them to give them rooms.\n# [[ap]]\n# id = \"kitchen\"\n# room = \"Kitchen\"\n# exit = false        # true: people leave home past it\n\n");
    }
    for ap in &answers.access_points {
        let _ = writeln!(text, "[[ap]]\nid = \"{}\"", ap.id);
        if let Some(room) = &ap.room {
            let _ = writeln!(text, "room = {}", quoted(room));
        }
        let _ = writeln!(text, "exit = {}          # true: people leave home past it\n", ap.exit);
    }
    if answers.people.is_empty() {
        text.push_str("# [[person]]\n# name = \"Ada\"\n# devices = [{ name = \"Ada's phone\", macs = [\"aa:bb:cc:dd:ee:ff\"] }]\n");
    }
    for (name, macs) in &answers.people {
        let macs: Vec<String> = macs.iter().map(|mac| format!("\"{mac}\"")).collect();
        let devices =
            if macs.is_empty() { String::new() } else { format!("{{ macs = [{}] }}", macs.join(", ")) };
        let _ = writeln!(text, "[[person]]\nname = {}\ndevices = [{devices}]\n", quoted(name));
    }
    text
}

/// A TOML basic string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}
