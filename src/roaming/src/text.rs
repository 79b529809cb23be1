//! A report as plain text, for a terminal or a mail.

use std::collections::BTreeMap;
use std::fmt::Write;

use whichroom_wire::Id;

use crate::advice::Advice;
use crate::channels::ClashKind;
use crate::compare::Verdict;
use crate::episodes::{Episode, EpisodeKind, FastShare};
use crate::report::Report;
use crate::time::Time;

/// Lines of one section that are shown; the rest is counted.
const LINES_MAX: usize = 12;

impl Report {
    /// The report as text. `clock` writes a time as people read it.
    pub fn text(&self, clock: &dyn Fn(Time) -> String) -> String {
        let mut text = Text { out: String::new(), names: BTreeMap::new(), clock };
        text.names.extend(self.aps.iter().map(|ap| (&ap.id, ap.name.as_str())));
        text.head(self);
        text.clients(self);
        text.episodes(self);
        text.signals(self);
        text.air(self);
        text.comparisons(self);
        text.advice(&self.advice);
        text.out
    }
}

struct Text<'a> {
    out: String,
    names: BTreeMap<&'a Id, &'a str>,
    clock: &'a dyn Fn(Time) -> String,
}

impl Text<'_> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.out.write_fmt(line);
        self.out.push('\n');
    }

    fn section(&mut self, title: &str, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        self.line(format_args!("\n{title}"));
        let more = lines.len().saturating_sub(LINES_MAX);
        for line in lines.iter().take(LINES_MAX) {
            self.line(format_args!("  {line}"));
        }
        if more > 0 {
            self.line(format_args!("  and {more} more"));
        }
    }

    fn name<'b>(&'b self, ap: &'b Id) -> &'b str {
        self.names.get(ap).copied().unwrap_or(ap.as_str())
    }

    fn at(&self, time: Time) -> String {
        (self.clock)(time)
    }

    fn head(&mut self, report: &Report) {
        let (from, to) = (self.at(report.range.from), self.at(report.range.to));
        self.line(format_args!("Roaming from {from} to {to}"));
        let changes: u32 =
            report.clients.iter().map(|client| client.roams + client.band_changes + client.drops).sum();
        self.line(format_args!(
            "{} clients on {} access points, {changes} changes of association; fast transitions: {}",
            report.clients.len(),
            report.aps.len(),
            fast(report.fast),
        ));
        let heard = report.heard;
        self.line(format_args!(
            "Heard by two or more access points at once in {} % of {} minutes",
            heard.by_several * 100 / heard.minutes.max(1),
            heard.minutes,
        ));
        if report.episodes.is_empty() {
            self.line(format_args!("No client changed its association too often."));
        }
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

    fn advice(&mut self, advice: &[Advice]) {
        if advice.is_empty() {
            return;
        }
        self.line(format_args!("\nWhat to do: one thing at a time, and compare before the next"));
        for (number, advice) in (1..).zip(advice) {
            self.line(format_args!("\n{number}. {}", advice.reason));
            self.line(format_args!("   {}", advice.expected));
            if let Some(caution) = &advice.caution {
                self.line(format_args!("   {caution}"));
            }
            for step in &advice.steps {
                self.line(format_args!("\n{}\n   To undo:\n\n{}", step.apply, step.undo.trim_end()));
            }
        }
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
