//! The command line's side: asks the aggregator that runs, over the page's address.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::http::StatusCode;
use whichroom_mqtt::Secret;

use super::Command;
use crate::Failure;
use crate::config;
use crate::server::PAGE_PORT;
use crate::web::doors::at_loopback;

/// What every command that asks says in its help.
pub const HELP: &str = "\
  --config FILE   configuration whose [web] listen says where the aggregator answers (default: as whichroom run)
  --page URL      where it answers, instead
  --token-file FILE  holds the token for an aggregator on another machine; or it is in $WHICHROOM_TOKEN
";

/// Environment variable with the token for a page that wants one.
const TOKEN_VARIABLE: &str = "WHICHROOM_TOKEN";

/// An answer that takes longer does not come.
const WAIT: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const ANSWER_MAX: u64 = 16 << 20;

/// Where to ask, as the command line says.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// `--page URL`.
    pub page: Option<String>,
    /// `--token-file FILE`.
    pub token_file: Option<PathBuf>,
}

impl Asked {
    /// Asks, and returns the answer as JSON text.
    pub fn ask_text(&self, command: &Command) -> Result<String, Failure> {
        let page = match &self.page {
            Some(url) => page_url(url).map_err(Failure::usage)?,
            None => configured(self.config.as_deref())?,
        };
        ask(&page, command, self.token()?.as_ref())
    }

    /// The token to show, if one is given.
    fn token(&self) -> Result<Option<Secret>, Failure> {
        let text = match &self.token_file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))?,
            None => match std::env::var(TOKEN_VARIABLE) {
                Ok(text) => text,
                Err(_) => return Ok(None),
            },
        };
        let text = text.trim();
        let from = || match &self.token_file {
            Some(file) => file.display().to_string(),
            None => format!("${TOKEN_VARIABLE}"),
        };
        let is_one = text.contains('.') && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_one {
            Ok(Some(Secret::new(text)))
        } else {
            Err(Failure::usage(format!("{} holds no token; whichroom token NAME makes one", from())))
        }
    }

    /// Asks, and reads the answer.
    pub fn ask<T: DeserializeOwned>(&self, command: &Command) -> Result<T, Failure> {
        let text = self.ask_text(command)?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::run(format!("the answer does not read ({error}): is it another version?"))
        })
    }
}

/// `http://host:port`, without what follows.
fn page_url(text: &str) -> Result<String, String> {
    let form = "write the page's address, for example http://127.0.0.1:8737";
    let Some(rest) = text.strip_prefix("http://") else {
        return Err(match text.split_once("://") {
            Some((scheme, _)) => format!("--page {text}: {scheme}:// is not spoken here; {form}"),
            None => format!("--page {text}: {form}"),
        });
    };
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() || host.contains(['@', '?', '#', ' ']) {
        return Err(format!("--page {text}: {form}"));
    }
    Ok(format!("http://{host}"))
}

/// The page of the configuration; one that listens everywhere is asked on loopback.
fn configured(file: Option<&Path>) -> Result<String, Failure> {
    let loaded = config::load(file).map_err(|error| Failure::usage(error.to_string()))?;
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, PAGE_PORT));
    let address = at_loopback(loaded.config.web.listen.unwrap_or(usual));
    Ok(format!("http://{address}"))
}

fn ask(page: &str, command: &Command, token: Option<&Secret>) -> Result<String, Failure> {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(WAIT))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .build()
        .new_agent();
    let (name, body) = command.write();
    let mut request = agent.post(format!("{page}/api/{name}")).header("Content-Type", "application/json");
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {}", token.reveal()));
    }
    let mut response = request.send(&body).map_err(|error| {
        Failure::run(format!(
            "no aggregator answers at {page} ({error}): is `whichroom run` running? See [web] listen, or say where \
             with --page"
        ))
    })?;
    let text = response.body_mut().with_config().limit(ANSWER_MAX).read_to_string();
    let text = text.map_err(|error| Failure::run(format!("{page} broke off its answer: {error}")))?;
    if response.status().is_success() {
        return Ok(text);
    }
    if response.status() == StatusCode::UNAUTHORIZED && token.is_none() {
        return Err(Failure::run(format!(
            "{page} wants a token: whichroom token NAME makes one; put it into a file for --token-file, or into \
             ${TOKEN_VARIABLE}"
        )));
    }
    let said = refusal(page, &text);
    // A name that there is not is a mistake of whoever typed it, as it is where a recording is asked.
    Err(if response.status() == StatusCode::NOT_FOUND { Failure::usage(said) } else { Failure::run(said) })
}

/// What a refusal says: `{"error": "..."}`, or plain text of something that is no aggregator.
fn refusal(page: &str, text: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    match value.get("error").and_then(serde_json::Value::as_str) {
        Some(error) => error.to_owned(),
        None => format!("{page} refuses: {}", text.trim().lines().next().unwrap_or("without a word")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_given_as_a_browser_shows_it() {
        for (text, page) in [
            ("http://127.0.0.1:8737", "http://127.0.0.1:8737"),
            ("http://server.lan:8737/", "http://server.lan:8737"),
            ("http://[::1]:8737/#person-anna", "http://[::1]:8737"),
        ] {
            assert_eq!(page_url(text).as_deref(), Ok(page));
        }
        for text in ["", "127.0.0.1:8737", "https://server.lan", "http://", "http://user@host", "mqtt://a"] {
            let why = page_url(text).unwrap_err();
            assert!(why.contains("http://127.0.0.1:8737"), "{why}");
        }
    }

    #[test]
    fn a_refusal_is_shown_as_it_was_said() {
        assert_eq!(refusal("http://a", r#"{"error":"there is no room \"x\""}"#), "there is no room \"x\"");
        assert_eq!(refusal("http://a", "Not Found\nmore"), "http://a refuses: Not Found");
        assert_eq!(refusal("http://a", ""), "http://a refuses: without a word");
    }

    #[test]
    fn nobody_there_is_said_with_what_to_look_at() {
        // A port that was free a moment ago.
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let page = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let asked = Asked { page: Some(page.clone()), ..Asked::default() };
        let command = Command::Explain { id: "anna".parse().unwrap() };
        let why = asked.ask_text(&command).unwrap_err().text;
        assert!(
            why.contains(&page) && why.contains("whichroom run") && why.contains("[web] listen"),
            "{why}"
        );
    }
}
