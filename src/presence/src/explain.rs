//! A moment of a person or a device in full: what is claimed, which timers run, what is waited for, and what decided.
//! The shell asks for it when somebody wants to know why; nothing here decides anything.

use std::fmt;

use serde::{Deserialize, Serialize};
use whichroom_wire::Id;

use crate::Moment;
use crate::claims::Claim;
use crate::device::{Device, State};
use crate::doze::{KINDS, Kind};
use crate::engine::{Engine, device_index};
use crate::fading::Fading;
use crate::output::Reason;
use crate::reasons::{duration, how};
use crate::setup::Counts;
use crate::timers::{ApIndex, DeviceIndex, Timer};

/// Rooms that are named as candidates.
const CANDIDATES_MAX: usize = 5;

/// Everything that is known of a person or a device at one moment, in plain words with figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Of the person or device.
    pub id: Id,
    /// For people.
    pub name: String,
    /// Which of the two it is.
    pub kind: Subject,
    /// "home", "away", "undecided"; of a device "present", "fading", "absent", "undecided".
    pub state: String,
    /// What decided.
    pub because: Vec<Reason>,
    /// The rest, by subject.
    pub sections: Vec<Section>,
}

/// What an [`Explanation`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A person.
    Person,
    /// A device.
    Device,
}

/// Lines about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// What they are about.
    pub title: String,
    /// Whole sentences or figures, one a line.
    pub lines: Vec<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.state)?;
        for because in &self.because {
            writeln!(f, "  {because}")?;
        }
        for section in &self.sections {
            writeln!(f, "{}", section.title)?;
            for line in &section.lines {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}

impl Engine {
    /// Explains a person or a device; `None` if the setup names neither. A person goes before a device of one id.
    pub fn explain(&self, id: &Id, now: Moment) -> Option<Explanation> {
        if let Some(person) = self.people.iter().position(|person| person.id == *id) {
            return Some(self.explain_person(person, now));
        }
        let device = self.devices.iter().position(|device| device.id == *id)?;
        Some(self.explain_device(device_index(device), now))
    }

    fn explain_person(&self, index: usize, now: Moment) -> Explanation {
        let person = &self.people[index];
        let view = self.person_view(index, now);
        let mut devices = Vec::new();
        let mut sections = Vec::new();
        for &position in &person.devices {
            let device = &self.devices[position];
            devices.push(self.device_line(device, person.state.device == Some(position), now));
            for section in self.device_sections(device_index(position), now) {
                let title = if person.devices.len() > 1 {
                    format!("{}: {}", device.name, section.title)
                } else {
                    section.title
                };
                sections.push(Section { title, lines: section.lines });
            }
        }
        sections.insert(0, Section { title: "Devices".to_owned(), lines: devices });
        if let Some(at) = self.timers.at(Timer::HouseEmpty) {
            let lines = vec![format!("in {}: the house is called empty", duration(at.since(now)))];
            sections.push(Section { title: "House".to_owned(), lines });
        }
        let mut state = format!("{} for {}", view.home, duration(now.since(view.home_since)));
        if let Some(room) = &view.room_name {
            state.push_str(&format!(", in {room} ({} %)", view.confidence));
        }
        Explanation {
            id: person.id.clone(),
            name: person.name.clone(),
            kind: Subject::Person,
            state,
            because: view.because,
            sections,
        }
    }

    fn explain_device(&self, index: DeviceIndex, now: Moment) -> Explanation {
        let device = &self.devices[index.0 as usize];
        let because = self.words(self.is_home_only(device), now).device(device);
        Explanation {
            id: device.id.clone(),
            name: device.name.clone(),
            kind: Subject::Device,
            state: state_line(device, now),
            because,
            sections: self.device_sections(index, now),
        }
    }

    fn device_line(&self, device: &Device, decides: bool, now: Moment) -> String {
        let mut line = format!("{}: {}", device.name, state_line(device, now));
        match device.counts {
            Counts::Always => {}
            Counts::RoomOnly => line.push_str("; counts for the room only"),
            Counts::Never => line.push_str("; does not count"),
        }
        if decides {
            line.push_str("; decides");
        }
        line
    }

    fn device_sections(&self, index: DeviceIndex, now: Moment) -> Vec<Section> {
        let device = &self.devices[index.0 as usize];
        let mut sections = Vec::new();
        let mut add = |title: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                sections.push(Section { title: title.to_owned(), lines });
            }
        };
        if self.is_home_only(device) {
            add("Claims", vec!["not shown: only home or away is to be known of this person".to_owned()]);
        } else {
            add("Claims", self.claim_lines(device, now));
            add("Rooms", self.room_lines(device, now));
            add("Hearing", self.hearing_lines(device, now));
        }
        add("Timers", self.timer_lines(index, now));
        add("Silences it returned from", self.doze_lines(device));
        if let State::Fading(fading) = &device.memory.state {
            add("What waits for whom", self.waiting_lines(device, fading, now));
        }
        sections
    }

    fn claim_lines(&self, device: &Device, now: Moment) -> Vec<String> {
        let current = device.memory.association;
        let mut claims: Vec<&Claim> = device.memory.claims.iter().collect();
        claims.sort_by_key(|claim| std::cmp::Reverse((Some(claim.association) == current, claim.heard_at())));
        claims
            .into_iter()
            .map(|claim| self.claim_line(claim, Some(claim.association) == current, now))
            .collect()
    }

    fn claim_line(&self, claim: &Claim, is_current: bool, now: Moment) -> String {
        let ap = &self.aps[claim.association.ap.0 as usize];
        let ago = |at: Moment| duration(now.since(at));
        let mut line = format!("{} {} as {}: ", ap.name, claim.association.bssid, claim.association.mac);
        if let Some(gone) = claim.gone {
            line.push_str(&format!("gone {} ago, {}", ago(gone.at), how(gone.parting)));
        } else if let Some(leaving) = claim.leaving {
            line.push_str(&format!("leaving since {}, {}", ago(leaving.at), how(leaving.parting)));
        } else if let Some(ended) = claim.ended_at {
            line.push_str(&format!("ended {} ago by an association elsewhere", ago(ended)));
        } else if claim.holds(ap.state.mark) {
            line.push_str("listed and authorised");
        } else {
            line.push_str("not listed");
        }
        match claim.heard_at() {
            Some(heard) => line.push_str(&format!("; received {} ago", ago(heard))),
            None => line.push_str("; never received"),
        }
        if let Some(packets) = claim.rx_packets() {
            line.push_str(&format!(" ({packets} packets)"));
        }
        if let Some(dbm) = claim.signal.last_dbm() {
            line.push_str(&format!("; {dbm} dBm"));
        }
        if is_current {
            line.push_str("; decides");
        }
        line
    }

    fn room_lines(&self, device: &Device, now: Moment) -> Vec<String> {
        let rooms = &device.memory.rooms;
        let Some(room) = rooms.room() else { return Vec::new() };
        let since = duration(now.since(rooms.since()));
        let mut lines =
            vec![format!("{} {} %, for {since}", self.rooms[room].name, rooms.confidence_at(now))];
        let candidates = rooms.candidates();
        let named = candidates.iter().filter(|(_, percent)| *percent > 0).take(CANDIDATES_MAX);
        let named: Vec<String> =
            named.map(|(room, percent)| format!("{} {percent} %", self.rooms[*room].name)).collect();
        if named.len() > 1 {
            lines.push(format!("candidates by what was heard last: {}", named.join(", ")));
        }
        lines
    }

    fn hearing_lines(&self, device: &Device, now: Moment) -> Vec<String> {
        let memory = &device.memory;
        let bssid = memory.association.map(|association| association.bssid);
        let heard = memory.hearing.heard();
        let share = heard.percent().map(|percent| {
            format!("heard by two or more access points in {percent} % of {} minutes", heard.minutes)
        });
        let asked = format!("beacon reports: {}", memory.asking.words(bssid, now));
        share.into_iter().chain([asked]).collect()
    }

    fn timer_lines(&self, index: DeviceIndex, now: Moment) -> Vec<String> {
        let device = &self.devices[index.0 as usize];
        let mut timers: Vec<(Timer, &str)> = vec![
            (Timer::Parting(index), "believes the departure unless an association explains it"),
            (Timer::Absence(index), "looks whether it was missed for long enough"),
            (Timer::Room(index), "looks whether another room has led for long enough"),
            (Timer::Asking(index), "may ask it for a beacon report again"),
            (Timer::Phantom(index), "looks whether it is only listed, and no longer received"),
            (Timer::Calibration(index), "the calibration has listened for long enough"),
        ];
        if matches!(device.memory.state, State::Undecided) {
            timers.push((Timer::FirstDecision, "looks whether everything was watched for long enough"));
        }
        let line = |(timer, what)| {
            let at = self.timers.at(timer)?;
            Some(format!("in {}: {what}", duration(at.since(now))))
        };
        timers.into_iter().filter_map(line).collect()
    }

    fn doze_lines(&self, device: &Device) -> Vec<String> {
        let doze = &device.memory.doze;
        let mut lines = vec![format!("learned from {} at home", duration(doze.home_ms()))];
        for kind in KINDS {
            let (times, longest_ms) = doze.seen(kind);
            let seen = match (times, longest_ms) {
                (1, Some(ms)) => format!("once, {} at most", duration(ms)),
                (times, Some(ms)) => format!("{times} times, {} at most", duration(ms)),
                (_, None) => "never".to_owned(),
            };
            let bound = duration(doze.plausible_ms(kind, &self.timing));
            let then = if kind == Kind::Listed { "taken for gone" } else { "away" };
            lines.push(format!("{}: {seen}; {then} after {bound}", begins(kind)));
        }
        lines
    }

    fn waiting_lines(&self, device: &Device, fading: &Fading, now: Moment) -> Vec<String> {
        let watched_ms = fading.watched_ms(&self.aps, &self.exits, &self.timing, now);
        let silent_ms = now.since(fading.silence.since);
        let mut lines = vec![format!(
            "{} silent, {} of it watched, {} blind; away after {} watched",
            duration(silent_ms),
            duration(watched_ms),
            duration(silent_ms.saturating_sub(watched_ms)),
            duration(fading.needed_ms),
        )];
        if self.is_home_only(device) {
            return lines;
        }
        for (ap, association) in fading.required_now(&self.aps, &self.exits, &self.timing, now) {
            let why = if association.is_some() { "heard it before" } else { "is an exit" };
            lines.push(format!(
                "{} must watch: it {why}; {}",
                self.aps[ap.0 as usize].name,
                self.sight(ap, now)
            ));
        }
        lines
    }

    fn sight(&self, ap: ApIndex, now: Moment) -> String {
        let state = &self.aps[ap.0 as usize].state;
        match state.last_live {
            Some(last) if state.is_reporting(now, &self.timing) => {
                format!("last report {} ago", duration(now.since(last)))
            }
            Some(last) => format!("silent for {}", duration(now.since(last))),
            None => "never reported".to_owned(),
        }
    }
}

/// How silences of a kind begin.
fn begins(kind: Kind) -> &'static str {
    match kind {
        Kind::ExitLeft => "leave frame past an exit, signal had faded",
        Kind::ExitFaded => "past an exit, leave frame or signal had faded",
        Kind::FadedOut => "inside, signal had faded towards an exit",
        Kind::Faded => "inside, signal had faded elsewhere",
        Kind::Left => "inside, leave frame with a steady signal",
        Kind::Still => "failed poll with a steady signal",
        Kind::Listed => "listed, but not received",
    }
}

fn state_line(device: &Device, now: Moment) -> String {
    let word = match device.memory.state {
        State::Undecided => "undecided",
        State::Present => "present",
        State::Fading(_) => "fading",
        State::Absent(_) => "absent",
    };
    format!("{word} for {}", duration(now.since(device.memory.since)))
}
