//! The questions of `init`, for a person at a terminal.

use std::io::{self, BufRead, Write as _};
use std::path::PathBuf;

use whichroom_mqtt::Fingerprint;

use super::answers::{
    Answers, Broker, DEFAULT_LISTEN, TlsAnswer, ap_answer, ap_clash, embedded, external, page_answer,
    person_answer, person_clash,
};
use crate::Failure;
use crate::config::{self, default_site};

/// Asks until every answer makes sense; an empty answer takes the default.
pub(super) fn ask(input: &mut impl BufRead) -> Result<Answers, Failure> {
    let broker = loop {
        let url = question(
            input,
            "MQTT broker, as mqtt://host:1883, or mqtts://host:8883 for TLS (empty: open the embedded one to your network)",
        )?;
        if url.is_empty() {
            break embedded(DEFAULT_LISTEN)?;
        }
        match external_answer(input, url)? {
            Ok(broker) => break broker,
            Err(why) => crate::print(&format!("{why}\n"))?,
        }
    };
    let access_points =
        several(input, "access point, as id=Room or id=Room,exit (empty: no more)", ap_answer, ap_clash)?;
    if access_points.is_empty() && matches!(broker, Broker::Embedded { .. }) {
        return Err(Failure::usage(
            "the embedded broker needs at least one access point to give a password to",
        ));
    }
    let people =
        several(input, "person, as Name=aa:bb:cc:dd:ee:ff (empty: no more)", person_answer, person_clash)?;
    let page = loop {
        match page_answer(&question(
            input,
            "open the page to your network, with a password? (y or n; empty: n)",
        )?) {
            Ok(page) => break page,
            Err(why) => crate::print(&format!("{why}\n"))?,
        }
    };
    Ok(Answers { site: default_site(), broker, access_points, people, feed: None, page })
}

/// Asks for what belongs to the broker at an address; the inner error is to be said before it is asked for again.
fn external_answer(input: &mut impl BufRead, url: String) -> Result<Result<Broker, String>, Failure> {
    let address = match config::broker_url(&url) {
        Ok(address) => address,
        Err(why) => return Ok(Err(why)),
    };
    let mut tls = TlsAnswer::default();
    if address.tls {
        let known_by = question(
            input,
            "file of the authority that signed its certificate, or the certificate's SHA-256",
        )?;
        match known_by.parse::<Fingerprint>() {
            Ok(_) => tls.fingerprint = Some(known_by),
            Err(_) => tls.ca = Some(known_by).filter(|file| !file.is_empty()).map(PathBuf::from),
        }
    }
    let username = Some(question(input, "its user (empty: none)")?).filter(|name| !name.is_empty());
    let password_file = match username {
        Some(_) => Some(question(input, "file with its password")?).filter(|file| !file.is_empty()),
        None => None,
    };
    let password_file = password_file.map(PathBuf::from);
    let broker = Broker::External { url, username, password_file, tls: tls.with_full_paths() };
    Ok(external(&broker).map(|_| broker))
}

fn several<T>(
    input: &mut impl BufRead,
    text: &str,
    read: impl Fn(&str) -> Result<T, String>,
    clash: impl Fn(&T, &T) -> Option<String>,
) -> Result<Vec<T>, Failure> {
    let mut answers: Vec<T> = Vec::new();
    loop {
        let answer = question(input, text)?;
        if answer.is_empty() {
            return Ok(answers);
        }
        let distinct = read(&answer).and_then(|answer| {
            answers.iter().find_map(|before| clash(before, &answer)).map_or(Ok(answer), Err)
        });
        match distinct {
            Ok(answer) => answers.push(answer),
            Err(why) => crate::print(&format!("{why}\n"))?,
        }
    }
}

fn question(input: &mut impl BufRead, text: &str) -> Result<String, Failure> {
    crate::print(&format!("{text}: "))?;
    io::stdout().flush().map_err(|error| Failure::run(error.to_string()))?;
    let mut line = String::new();
    match input.read_line(&mut line) {
        Ok(0) => Err(Failure::run("the answers ended early; nothing was written")),
        Ok(_) => Ok(line.trim().to_owned()),
        Err(error) => Err(Failure::run(format!("cannot read the answer: {error}"))),
    }
}
