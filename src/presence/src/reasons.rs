//! What decided, in words: made of the facts a decision keeps, only when it is published or shown.

use crate::Moment;
use crate::access_point::AccessPoint;
use crate::claims::Parting;
use crate::device::{Device, State};
use crate::fading::{Fading, Left, Silence};
use crate::hearing::How;
use crate::output::Reason;
use crate::setup::Timing;
use crate::timers::ApIndex;

/// What words are made with.
pub(crate) struct Words<'a> {
    pub aps: &'a [AccessPoint],
    pub exits: &'a [ApIndex],
    pub timing: &'a Timing,
    pub now: Moment,
    /// No place is to be named.
    pub anonymous: bool,
}

impl Words<'_> {
    /// Why a device is in its state.
    pub fn device(&self, device: &Device) -> Vec<Reason> {
        let memory = &device.memory;
        let mut because = match &memory.state {
            State::Undecided => {
                vec![Reason("not seen yet, and not every access point has reported".to_owned())]
            }
            State::Present => vec![self.present(device)],
            State::Fading(fading) => self.fading(fading),
            State::Absent(None) => {
                let watched = duration(self.timing.exit_ms);
                vec![Reason(format!("not seen while every access point was watched for {watched}"))]
            }
            State::Absent(Some(left)) => vec![self.left(left)],
        };
        if let Some(told) = memory.told.filter(|_| !self.anonymous) {
            because.push(Reason(format!("its room was told {} ago", duration(self.now.since(told.at)))));
        } else {
            because.extend(self.elsewhere(device));
        }
        if let Some(since) = memory.stale_since(self.aps, self.exits, self.timing, self.now) {
            let ago = duration(self.now.since(since));
            because.push(Reason(format!("held: no access point that could tell has reported for {ago}")));
        }
        because
    }

    fn present(&self, device: &Device) -> Reason {
        let Some(association) = device.memory.association.filter(|_| !self.anonymous) else {
            return Reason("connected".to_owned());
        };
        let name = self.name(association.ap);
        let claim = device.memory.current();
        match claim.and_then(|claim| claim.signal.last_dbm()) {
            Some(dbm) => Reason(format!("connected to {name} at {dbm} dBm")),
            None => Reason(format!("connected to {name}")),
        }
    }

    /// What put a device into a room that is not its access point's.
    fn elsewhere(&self, device: &Device) -> Option<Reason> {
        let memory = &device.memory;
        let association = memory.association.filter(|_| !self.anonymous && memory.is_there())?;
        let own = &self.aps[association.ap.0 as usize];
        let room = memory.rooms.room().filter(|room| *room != own.room)?;
        let Some(level) = memory.found_by else {
            let has_ap = self.aps.iter().any(|ap| ap.room == room);
            return (!has_ap).then(|| Reason("heard as where its room was taught".to_owned()));
        };
        let (ap, dbm) = (self.name(level.ap), level.dbm);
        let ago = duration(self.now.since(level.at));
        Some(Reason(match level.how {
            How::Associated => format!("was connected to {ap} at {dbm} dBm, {ago} ago"),
            How::Overheard => format!("overheard by {ap} at {dbm} dBm, {ago} ago"),
            How::Reported => format!("reported to hear {ap} at {dbm} dBm, {ago} ago"),
        }))
    }

    fn fading(&self, fading: &Fading) -> Vec<Reason> {
        let watched = fading.watched_ms(self.aps, self.exits, self.timing, self.now);
        let (watched, needed) = (duration(watched), duration(fading.needed_ms));
        vec![
            Reason(format!("gone{}", self.silence(&fading.silence))),
            Reason(format!("silent for {watched} of watched time, away after {needed}")),
        ]
    }

    fn left(&self, left: &Left) -> Reason {
        let watched = duration(left.watched_ms);
        if let Some(blind) = left.assumed {
            let who = if self.anonymous { "one" } else { self.name(blind) };
            let silence = self.silence(&left.silence);
            return Reason(format!(
                "taken to have left{silence}: not seen for {watched} by any access point that reports; {who} does not"
            ));
        }
        Reason(format!("left{}, silent for {watched} of watched time", self.silence(&left.silence)))
    }

    /// " Garden (leave frame, last signal -79 dBm, falling)".
    fn silence(&self, silence: &Silence) -> String {
        if self.anonymous {
            return String::new();
        }
        let how = how(silence.parting);
        let mut text = format!(" {} ({how}", self.name(silence.association.ap));
        if let Some(dbm) = silence.signal_dbm {
            text.push_str(&format!(", last signal {dbm} dBm"));
        }
        if let Some(fall_db) = silence.fall_db {
            text.push_str(&format!(" after a fall of {fall_db} dB"));
        }
        text.push(')');
        text
    }

    fn name(&self, ap: ApIndex) -> &str {
        &self.aps[ap.0 as usize].name
    }
}

/// How a silence began.
pub(crate) fn how(parting: Parting) -> &'static str {
    match parting {
        Parting::Unlisted => "no longer listed",
        Parting::LeaveFrame => "leave frame",
        Parting::SentAway => "sent away by the access point",
        Parting::PollFailed => "did not answer a poll",
        Parting::BssLost => "its network went down",
        Parting::ApRestarted => "the access point restarted",
        Parting::ApBlind => "the access point has not reported since",
        Parting::Phantom => "listed, but no longer received",
    }
}

/// "40 s", "2 min", "1 min 50 s", "3 h 5 min".
pub(crate) fn duration(ms: u64) -> String {
    let (s, min, h) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    match (h, min) {
        (0, 0) => format!("{s} s"),
        (0, min) if min < 10 && s % 60 != 0 => format!("{min} min {} s", s % 60),
        (0, min) => format!("{min} min"),
        (h, min) if min % 60 == 0 => format!("{h} h"),
        (h, min) => format!("{h} h {} min", min % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (ms, text) in [
            (0, "0 s"),
            (59_999, "59 s"),
            (110_000, "1 min 50 s"),
            (120_000, "2 min"),
            (10_800_000, "3 h"),
            (11_100_000, "3 h 5 min"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }
}
