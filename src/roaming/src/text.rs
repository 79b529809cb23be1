//! A report in words: by sections, for a page, and as plain text, for a terminal or a mail.

use std::collections::BTreeMap;

use whichroom_wire::Id;

use crate::advice::{Advice, Step};
use crate::channels::ClashKind;
use crate::compare::Verdict;
use crate::episodes::{Episode, EpisodeKind, FastShare};
use crate::report::Report;
use crate::time::Time;

/// Lines of one section that are shown; the rest is counted.
const LINES_MAX: usize = 12;

/// What a report says of one category: a line for each finding, worst first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Of which category.
    pub title: &'static str,
    /// The findings; never empty.
    pub lines: Vec<String>,
}

impl Report {
    /// What there is to say of the whole, in a few lines. `clock` writes a time as people read it.
    pub fn summary(&self, clock: &dyn Fn(Time) -> String) -> Vec<String> {
        head(self, clock)
    }

    /// What was found, by category; categories without a finding are left out.
    pub fn sections(&self, clock: &dyn Fn(Time) -> String) -> Vec<Section> {
        let mut text = Text { sections: Vec::new(), names: BTreeMap::new(), clock };
        text.names.extend(self.aps.iter().map(|ap| (&ap.id, ap.name.as_str())));
        text.clients(self);
        text.episodes(self);
        text.signals(self);
        text.air(self);
        text.comparisons(self);
        text.sections
    }

    /// The report as text.
    pub fn text(&self, clock: &dyn Fn(Time) -> String) -> String {
        let mut out = String::new();
        let mut line = |text: &str| {
            out.push_str(text);
            out.push('\n');
        };
        self.summary(clock).iter().for_each(|text| line(text));
        for section in self.sections(clock) {
            line(&format!("\n{}", section.title));
            section.lines.iter().take(LINES_MAX).for_each(|text| line(&format!("  {text}")));
            let more = section.lines.len().saturating_sub(LINES_MAX);
            if more > 0 {
                line(&format!("  and {more} more"));
            }
        }
        advice_lines(&self.advice).iter().for_each(|text| line(text));
        out
    }
}

struct Text<'a> {
    sections: Vec<Section>,
    names: BTreeMap<&'a Id, &'a str>,
    clock: &'a dyn Fn(Time) -> String,
}

fn head(report: &Report, clock: &dyn Fn(Time) -> String) -> Vec<String> {
    let changes: u32 =
        report.clients.iter().map(|client| client.roams + client.band_changes + client.drops).sum();
    let heard = report.heard;
    let mut lines = vec![
        format!("Roaming from {} to {}", clock(report.range.from), clock(report.range.to)),
        format!(
            "{} clients on {} access points, {changes} changes of association; fast transitions: {}",
            report.clients.len(),
            report.aps.len(),
            fast(report.fast),
        ),
        format!(
            "Heard by two or more access points at once in {} % of {} minutes",
            heard.by_several * 100 / heard.minutes.max(1),
            heard.minutes,
        ),
    ];
    if report.episodes.is_empty() {
        lines.push("No client changed its association too often.".to_owned());
    }
    lines
}

fn advice_lines(advice: &[Advice]) -> Vec<String> {
    let mut lines = Vec::new();
    if !advice.is_empty() {
        lines.push("\nWhat to do: one thing at a time, and compare before the next".to_owned());
    }
    for (number, advice) in (1..).zip(advice) {
        lines.push(format!("\n{number}. {}", advice.reason));
        lines.push(format!("   {}", advice.expected));
        lines.extend(advice.caution.iter().map(|caution| format!("   {caution}")));
        let step = |step: &Step| format!("\n{}\n   To undo:\n\n{}", step.apply, step.undo.trim_end());
        lines.extend(advice.steps.iter().map(step));
    }
    lines
}

impl Text<'_> {
    fn section(&mut self, title: &'static str, lines: Vec<String>) {
        if !lines.is_empty() {
            self.sections.push(Section { title, lines });
        }
    }

    fn name<'b>(&'b self, ap: &'b Id) -> &'b str {
        self.names.get(ap).copied().unwrap_or(ap.as_str())
    }

    fn at(&self, time: Time) -> String {
        (self.clock)(time)
    }

    fn clients(&mut self, report: &Report) {
        let busy =
            report.clients.iter().filter(|client| client.roams + client.band_changes + client.drops > 0);
        let lines = busy.map(|client| {
            let signal = client.signal.map_or(String::new(), |signal| format!(", {} dBm", signal.mean_dbm));
            format!(
                "{}: {} roams, {} changes of band, {} drops in {}{signal}",
                client.device.name,
                client.roams,
                client.band_changes,
                client.drops,
                duration(client.connected_ms),
            )
        });
        let lines = lines.collect();
        self.section("Clients", lines);
    }

    fn episodes(&mut self, report: &Report) {
        let of_kind = |kind| report.episodes.iter().filter(move |episode| episode.kind == kind);
        for (kind, title) in [
            (EpisodeKind::Thrashing, "Thrashing"),
            (EpisodeKind::SlowPingPong, "Slow ping-pong"),
            (EpisodeKind::SameApFlapping, "Flapping on one access point"),
        ] {
            let lines = of_kind(kind).map(|episode| self.episode(episode)).collect();
            self.section(title, lines);
        }
    }

    fn episode(&self, episode: &Episode) -> String {
        let pairs = episode.pairs.iter().map(|pair| match pair.a == pair.b {
            true => format!("{} {}", self.name(&pair.a), pair.changes),
            false => format!("{} and {} {}", self.name(&pair.a), self.name(&pair.b), pair.changes),
        });
        let pairs: Vec<String> = pairs.collect();
        let signal = episode.signal.map_or(String::new(), |signal| {
            format!(", {} dBm ({} to {})", signal.mean_dbm, signal.min_dbm, signal.max_dbm)
        });
        format!(
            "{}: {} changes in {} from {}, up to {} an hour ({}){signal}",
            episode.device.name,
            episode.changes,
            duration(episode.end.since(episode.begin)),
            self.at(episode.begin),
            episode.peak_per_hour,
            pairs.join(", "),
        )
    }

    fn signals(&mut self, report: &Report) {
        let weak = report.weak.iter().map(|weak| {
            let snr = weak.snr_db.map_or(String::new(), |db| format!(", {db} dB above noise"));
            format!(
                "{} on {} ({}): {} of {} minutes, {} dBm{snr}",
                weak.device.name,
                self.name(&weak.ap),
                weak.bssid,
                weak.weak_minutes,
                weak.minutes,
                weak.mean_dbm,
            )
        });
        let weak = weak.collect();
        let sticky = report.sticky.iter().map(|sticky| {
            format!(
                "{} stayed on {} at {} dBm, {} heard it {} dB better: {} minutes from {}",
                sticky.device.name,
                self.name(&sticky.ap),
                sticky.own_dbm,
                self.name(&sticky.better),
                sticky.gain_db,
                sticky.minutes,
                self.at(sticky.begin),
            )
        });
        let sticky = sticky.collect();
        let holes = report.holes.iter().map(|hole| {
            format!(
                "{} at the edge of {}: {} minutes, {} drops, down to {} dBm",
                hole.device.name,
                self.name(&hole.ap),
                hole.minutes,
                hole.drops,
                hole.min_dbm,
            )
        });
        let holes = holes.collect();
        self.section("Weak associations", weak);
        self.section("Sticky clients", sticky);
        self.section("Coverage holes", holes);
    }

    fn air(&mut self, report: &Report) {
        let overlaps = report.overlaps.iter().map(|overlap| {
            format!(
                "{} and {}{}: both heard in {} % of {} sightings, {} of them contested",
                self.name(&overlap.a),
                self.name(&overlap.b),
                overlap.band.map_or(String::new(), |band| format!(" at {}", band.name())),
                overlap.percent(),
                overlap.sightings,
                overlap.contested,
            )
        });
        let overlaps = overlaps.collect();
        let clashes = report.clashes.iter().map(|clash| {
            let what = match (clash.kind, clash.uncertain) {
                (ClashKind::SameChannel, _) => "use the same channel",
                (ClashKind::PartOfChannel, false) => "share a part of their channels",
                (ClashKind::PartOfChannel, true) => "may share a part of their channels",
            };
            let side = |side: &crate::ClashRadio| {
                format!("{} ({}, {} MHz)", self.name(&side.ap), side.channel, side.width_mhz)
            };
            format!("{} and {} {what} at {}", side(&clash.a), side(&clash.b), clash.band.name())
        });
        let clashes = clashes.collect();
        self.section("Overlap of access points", overlaps);
        self.section("Channels", clashes);
    }

    fn comparisons(&mut self, report: &Report) {
        let lines = report.comparisons.iter().map(|comparison| {
            let verdict = match comparison.verdict {
                Verdict::Better => "better",
                Verdict::Worse => "worse",
                Verdict::NotEnoughData => "not enough data",
            };
            format!(
                "{} ({}), {} clients: {verdict}: {}",
                comparison.note.text,
                self.at(comparison.note.at),
                comparison.clients,
                comparison.because,
            )
        });
        let lines = lines.collect();
        self.section("Before and after", lines);
    }
}

fn fast(share: FastShare) -> String {
    let FastShare { fast, full, unknown } = share;
    match share.percent() {
        Some(percent) => format!("{fast} of {} known ({percent} %), {unknown} unknown", fast + full),
        None => format!("not known ({unknown} changes)"),
    }
}

fn duration(ms: u64) -> String {
    let minutes = ms / 60_000;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{} s", ms / 1000),
        (0, minutes) => format!("{minutes} min"),
        (hours @ 1..48, minutes) => format!("{hours} h {minutes} min"),
        (hours, _) => format!("{} days", hours / 24),
    }
}
