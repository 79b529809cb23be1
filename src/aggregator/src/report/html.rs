//! A report as one HTML file that loads nothing and runs nothing, to keep, to print or to send. It looks like the page of
//! the server, whose styles are in it.

use std::fmt::Write as _;

use whichroom_roaming::{
    Advice, AdviceKind, EpisodeKind, Range, Report, SignalPoint, Time, Timeline, TimelineRow,
};
use whichroom_wire::Id;

/// Points of signal a row and access point: a figure is hardly wider.
pub const POINTS: u32 = 300;

const STYLES: [&str; 3] = [
    include_str!("../web/assets/page.css"),
    include_str!("../web/assets/roaming.css"),
    include_str!("report.css"),
];

/// Figures at most; the sections below name everybody.
const FIGURES_MAX: usize = 24;

/// A figure, in units of its own: the associations, under them the signal, under that the time.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 84.0;
const BAR_TOP: f64 = 8.0;
const BAR_HEIGHT: f64 = 22.0;
const BAND_TOP: f64 = 38.0;
const BAND_HEIGHT: f64 = 24.0;
const LOUDEST_DBM: f64 = -35.0;
const WEAKEST_DBM: f64 = -90.0;

/// Times along a figure.
const TICKS: u64 = 4;

/// The page. `clock` writes a time as people read it.
pub fn page(report: &Report, timeline: &Timeline, clock: &dyn Fn(Time) -> String) -> String {
    let mut page = Page { out: String::new(), report, clock };
    let sick: Vec<&TimelineRow> = timeline.rows.iter().filter(|row| !row.episodes.is_empty()).collect();
    page.head(&sick);
    page.figures(&sick, timeline.range);
    page.advice();
    page.sections();
    page.out.push_str("</main>\n</body>\n</html>\n");
    page.out
}

struct Page<'a> {
    out: String,
    report: &'a Report,
    clock: &'a dyn Fn(Time) -> String,
}

impl Page<'_> {
    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.out.write_fmt(text);
        self.out.push('\n');
    }

    fn head(&mut self, sick: &[&TimelineRow]) {
        let names: Vec<&str> = sick.iter().map(|row| row.device.name.as_str()).collect();
        let title = match &names[..] {
            [] => "Everybody stays where they are well".to_owned(),
            [one] => format!("{one} goes to and fro"),
            [one, other] => format!("{one} and {other} go to and fro"),
            [one, more @ ..] => format!("{one} and {} others go to and fro", more.len()),
        };
        self.out.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        self.out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        self.add(format_args!("<title>{}: how phones roam</title>", escaped(&title)));
        self.add(format_args!("<style>\n{}</style>\n</head>\n<body>\n<main>", STYLES.join("\n")));
        self.add(format_args!("<h1>{}</h1>\n<div class=\"summary quiet\">", escaped(&title)));
        for line in self.report.summary(self.clock) {
            self.add(format_args!("<p>{}</p>", escaped(&line)));
        }
        self.out.push_str("</div>\n");
    }

    /// A timeline of each device that changed too often.
    fn figures(&mut self, sick: &[&TimelineRow], range: Range) {
        for row in sick.iter().take(FIGURES_MAX) {
            self.add(format_args!("<figure>\n<figcaption>{}</figcaption>", escaped(&row.device.name)));
            self.figure(row, range);
            let mut aps: Vec<&Id> = row.bars.iter().map(|bar| &bar.ap).collect();
            aps.sort();
            aps.dedup();
            self.out.push_str("<p class=\"legend\">");
            for ap in aps {
                let (hue, name) = (self.hue(ap), self.name(ap));
                self.add(format_args!(
                    "<span><span class=\"swatch\" style=\"--hue:{hue}\"></span>{}</span>",
                    escaped(name)
                ));
            }
            self.out.push_str("</p>\n</figure>\n");
        }
    }

    fn figure(&mut self, row: &TimelineRow, range: Range) {
        let length_ms = range.length_ms().max(1) as f64;
        let x = |at: Time| at.since(range.from) as f64 / length_ms * WIDTH;
        let label = format!("{}: {} changes of association", row.device.name, row.marks.len());
        self.add(format_args!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escaped(&label)
        ));
        for tick in 0..=TICKS {
            let at = range.from.after(range.length_ms() * tick / TICKS);
            let anchor = match tick {
                0 => "start",
                TICKS => "end",
                _ => "middle",
            };
            let text = (self.clock)(at);
            // Month, day, hour and minute are enough below a figure.
            let text = text.get(5..16).unwrap_or(&text);
            let bottom = HEIGHT - 16.0;
            self.add(format_args!(
                "<line class=\"axis\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"0\" y2=\"{bottom}\"/><text x=\"{0:.1}\" y=\"{1}\" \
                 text-anchor=\"{anchor}\">{2}</text>",
                x(at),
                HEIGHT - 3.0,
                escaped(text),
            ));
        }
        for bar in &row.bars {
            // A short stay is still seen; a gap beside it tells it from its neighbour.
            let width = (x(bar.end) - x(bar.begin) - 0.4).max(0.6);
            let hue = self.hue(&bar.ap);
            self.add(format_args!(
                "<rect class=\"association\" style=\"--hue:{hue}\" x=\"{:.1}\" y=\"{BAR_TOP}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\"/>",
                x(bar.begin),
            ));
        }
        for point in &row.signal {
            let (hue, (top, bottom)) = (self.hue(&point.ap), band(point));
            self.add(format_args!(
                "<path class=\"band\" style=\"--hue:{hue}\" d=\"M{:.1} {top:.1}V{bottom:.1}\"/>",
                x(point.at) + 1.5,
            ));
        }
        for episode in &row.episodes {
            let class = if episode.kind == EpisodeKind::SlowPingPong { "frame slow" } else { "frame" };
            self.add(format_args!(
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" rx=\"2\"/>",
                x(episode.begin) - 2.0,
                BAR_TOP - 5.0,
                (x(episode.end) - x(episode.begin) + 4.0).max(6.0),
                BAR_HEIGHT + 10.0,
            ));
        }
        self.out.push_str("</svg>\n");
    }

    fn advice(&mut self) {
        self.out.push_str("<section>\n<h2>What to do</h2>\n");
        if self.report.advice.is_empty() {
            self.out.push_str("<p>Nothing.</p>\n");
        } else {
            let how = "One thing at a time: do it, mark it with <code>whichroom note</code>, wait a day, and look at the \
                       comparison before the next.";
            self.add(format_args!("<p class=\"quiet\">{how}</p>"));
        }
        let report = self.report;
        report.advice.iter().for_each(|advice| self.one_advice(advice));
        self.out.push_str("</section>\n");
    }

    fn one_advice(&mut self, advice: &Advice) {
        let title = title(advice.kind);
        self.add(format_args!("<article class=\"advice-card\">\n<h2>{title}</h2>"));
        self.add(format_args!("<p>{}</p>", escaped(&advice.reason)));
        self.add(format_args!("<p class=\"quiet\">{}</p>", escaped(&advice.expected)));
        if let Some(caution) = &advice.caution {
            self.add(format_args!("<p class=\"caution\">{}</p>", escaped(caution)));
        }
        for step in &advice.steps {
            let name = self.name(&step.ap).to_owned();
            self.add(format_args!(
                "<h3>{}: {}</h3>\n<details><summary>Commands to paste there</summary><pre>{}</pre></details>\n\
                 <details><summary>To undo it</summary><pre>{}</pre></details>",
                escaped(&name),
                escaped(&step.what),
                escaped(&step.apply),
                escaped(&step.undo),
            ));
        }
        self.out.push_str("</article>\n");
    }

    fn sections(&mut self) {
        self.out.push_str("<section>\n<h2>What was found</h2>\n");
        for section in self.report.sections(self.clock) {
            self.add(format_args!("<article class=\"finding\">\n<h2>{}</h2>\n<ul>", section.title));
            for line in section.lines {
                self.add(format_args!("<li>{}</li>", escaped(&line)));
            }
            self.out.push_str("</ul>\n</article>\n");
        }
        self.out.push_str("</section>\n");
    }

    fn name<'n>(&'n self, ap: &'n Id) -> &'n str {
        self.report.aps.iter().find(|named| named.id == *ap).map_or(ap.as_str(), |named| &named.name)
    }

    /// Hues of the access points are as far apart as can be.
    fn hue(&self, ap: &Id) -> usize {
        let position = self.report.aps.iter().position(|named| named.id == *ap).unwrap_or_default();
        (40 + position * 360 / self.report.aps.len().max(1)) % 360
    }
}

fn title(kind: AdviceKind) -> &'static str {
    match kind {
        AdviceKind::EnableMeasurement => "Switch 802.11k and 802.11v on",
        AdviceKind::EnableFastTransition => "Switch 802.11r on",
        AdviceKind::MoveChannel => "Use other channels",
        AdviceKind::LowerPower => "Lower a transmit power",
        AdviceKind::RaisePower => "Raise a transmit power",
        AdviceKind::Suggest => "Let usteer suggest",
        AdviceKind::MoveAccessPoint => "Move or add an access point",
    }
}

/// Top and bottom of a signal in its figure.
fn band(point: &SignalPoint) -> (f64, f64) {
    let y = |dbm: i8| {
        let share =
            (f64::from(dbm).clamp(WEAKEST_DBM, LOUDEST_DBM) - WEAKEST_DBM) / (LOUDEST_DBM - WEAKEST_DBM);
        BAND_TOP + (1.0 - share) * BAND_HEIGHT
    };
    let (top, bottom) = (y(point.max_dbm), y(point.min_dbm));
    (top, bottom.max(top + 1.0))
}

/// Names of devices and networks come out of the air.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_markup() {
        assert_eq!(escaped("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#39;");
    }

    #[test]
    fn the_styles_end_no_style_element_and_load_nothing() {
        for style in STYLES {
            for forbidden in ["</", "url(", "@import"] {
                assert!(!style.contains(forbidden), "{forbidden}");
            }
        }
    }
}
