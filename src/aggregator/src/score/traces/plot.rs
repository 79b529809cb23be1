//! A trace as a picture (SVG): where the phone was, what was decided, how probable each room was held, and how loudly
//! each access point heard it. Where the rule is shown only a part of that, the part stands out. To look at when a
//! figure surprises.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::measure::Judged;
use super::ours::Home;
use super::trace::Trace;
use super::view::{Shown, What};

const WIDTH: f64 = 1_400.0;
const LEFT: f64 = 90.0;
const PLOT: f64 = WIDTH - LEFT - 30.0;
const STRIP: f64 = 22.0;
/// Tops of the parts, from above.
const TRUTH_TOP: f64 = 50.0;
const DECIDED_TOP: f64 = 80.0;
const LIKELY_TOP: f64 = 118.0;
const LIKELY: f64 = 110.0;
const HEARD_TOP: f64 = 250.0;
const HEARD: f64 = 240.0;
const HEIGHT: f64 = 540.0;
/// From so many readings on they are drawn small.
const DENSE: usize = 1_500;
/// The evidence's scale, in dBm.
const LOUDEST: f64 = -20.0;
const FAINTEST: f64 = -105.0;

/// A second of a rule at work.
pub struct Drawn<'t> {
    pub judged: Judged<'t>,
    /// Rooms by position in the home with their probability in percent, best first; none for rules without any.
    pub candidates: Vec<(usize, u8)>,
}

/// The file a trace's picture goes to.
pub fn file_in(directory: &Path, trace: &Trace) -> PathBuf {
    let name = Path::new(&trace.file).file_stem().unwrap_or_default();
    directory.join(name).with_extension("svg")
}

/// The picture.
pub fn svg(trace: &Trace, home: &Home, shown: &[Shown], seconds: &[Drawn<'_>], title: &str) -> String {
    let from_ms = trace.readings.first().map_or(0, |reading| reading.t_ms);
    let to_ms = trace.readings.last().map_or(1, |reading| reading.t_ms).max(from_ms + 1);
    let mut picture = Picture { out: String::new(), from_ms, span_ms: (to_ms - from_ms) as f64, home };
    picture.begin(title);
    // Seconds that touch are to show no seam.
    picture.out.push_str("<g shape-rendering=\"crispEdges\">\n");
    picture.strips(seconds);
    picture.likely(seconds);
    picture.out.push_str("</g>\n");
    picture.heard(trace, shown);
    picture.axis();
    picture.out.push_str("</svg>\n");
    picture.out
}

struct Picture<'h> {
    out: String,
    from_ms: i64,
    span_ms: f64,
    home: &'h Home,
}

impl Picture<'_> {
    fn x(&self, at_ms: i64) -> f64 {
        LEFT + (at_ms - self.from_ms) as f64 / self.span_ms * PLOT
    }

    fn second(&self) -> f64 {
        1_000.0 / self.span_ms * PLOT
    }

    fn colour(&self, room: &str) -> String {
        let position = self.home.rooms.iter().position(|known| known == room).unwrap_or(0);
        format!("hsl({} 60% 50%)", (position * 137 + 200) % 360)
    }

    fn begin(&mut self, title: &str) {
        let title = escaped(title);
        // Writing to a string does not fail.
        let _ = write!(
            self.out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<title>{title}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fffdf8\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{title}</text>\n"
        );
        let mut x = LEFT;
        for room in self.home.rooms.clone() {
            let colour = self.colour(&room);
            self.rect(x, 30.0, 10.0, 10.0, &colour);
            self.text(x + 14.0, 39.0, &room);
            x += 34.0 + 7.0 * room.chars().count() as f64;
        }
        for (top, name) in [
            (TRUTH_TOP + 15.0, "was in"),
            (DECIDED_TOP + 15.0, "decided"),
            (LIKELY_TOP + 12.0, "probable"),
            (HEARD_TOP + 12.0, "heard, dBm"),
        ] {
            self.text(8.0, top, name);
        }
    }

    /// Truth above decision; wrong seconds are marked below.
    fn strips(&mut self, seconds: &[Drawn<'_>]) {
        let width = self.second();
        for Drawn { judged, .. } in seconds {
            let x = self.x(judged.at_ms) - width;
            let colour = self.colour(judged.truth);
            self.rect(x, TRUTH_TOP, width + 0.2, STRIP, &colour);
            let Some(decided) = judged.decided else { continue };
            let colour = self.colour(decided);
            self.rect(x, DECIDED_TOP, width + 0.2, STRIP, &colour);
            if decided != judged.truth {
                self.rect(x, DECIDED_TOP + STRIP + 2.0, width + 0.2, 4.0, "#c00");
            }
        }
    }

    /// Rooms stacked by how probable they are, in the home's order.
    fn likely(&mut self, seconds: &[Drawn<'_>]) {
        let width = self.second();
        for Drawn { judged, candidates } in seconds {
            let mut sorted = candidates.clone();
            sorted.sort_by_key(|(room, _)| *room);
            // Percentages are rounded, and the least are left out.
            let all: f64 = sorted.iter().map(|(_, percent)| f64::from(*percent)).sum();
            let mut top = LIKELY_TOP;
            for (room, percent) in sorted {
                let height = f64::from(percent) / all.max(1.0) * LIKELY;
                let colour = self.colour(&self.home.rooms[room].clone());
                self.rect(self.x(judged.at_ms) - width, top, width + 0.2, height, &colour);
                top += height;
            }
        }
    }

    fn heard(&mut self, trace: &Trace, shown: &[Shown]) {
        for dbm in [-30, -50, -70, -90] {
            let y = level(f64::from(dbm));
            self.rect(LEFT, y, PLOT, 0.6, "#d8d0c0");
            self.text(LEFT - 28.0, y + 4.0, &dbm.to_string());
        }
        let heard = |shown: &Shown| match shown.what {
            What::Heard { rssi_dbm } => Some((shown.at_ms, shown.ap, rssi_dbm)),
            What::Associated => None,
        };
        let shown: Vec<_> = shown.iter().filter_map(heard).collect();
        // A short trace has room for larger dots.
        let radius = if trace.readings.len() < DENSE { 2.2 } else { 1.3 };
        let is_part = shown.len() < trace.readings.len();
        for reading in &trace.readings {
            let at = (reading.t_ms, reading.ap, reading.rssi_dbm);
            self.dot(trace, at, radius, if is_part { 0.25 } else { 0.7 });
        }
        for at in shown.into_iter().filter(|_| is_part) {
            self.dot(trace, at, 2.0 * radius, 1.0);
        }
    }

    fn dot(&mut self, trace: &Trace, (at_ms, ap, dbm): (i64, usize, i8), radius: f64, opacity: f64) {
        let colour = self.colour(&trace.aps[ap]);
        let (x, y) = (self.x(at_ms), level(f64::from(dbm)));
        let _ = writeln!(
            self.out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>"
        );
    }

    fn axis(&mut self) {
        let step_ms = [10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000];
        let step_ms = step_ms.into_iter().find(|step| f64::from(*step) / self.span_ms * PLOT >= 70.0);
        let step_ms = i64::from(step_ms.unwrap_or(3_600_000));
        for at_ms in (0..=self.span_ms as i64).step_by(usize::try_from(step_ms).unwrap_or(1)) {
            let x = self.x(self.from_ms + at_ms);
            self.rect(x, HEARD_TOP + HEARD, 0.8, 6.0, "#675f52");
            let text = format!("{}:{:02}", at_ms / 60_000, at_ms / 1_000 % 60);
            self.text(x - 10.0, HEARD_TOP + HEARD + 20.0, &text);
        }
    }

    fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        let _ = writeln!(
            self.out,
            "<rect x=\"{x:.2}\" y=\"{y:.1}\" width=\"{width:.2}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
        );
    }

    fn text(&mut self, x: f64, y: f64, text: &str) {
        let _ = writeln!(self.out, "<text x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text));
    }
}

fn level(dbm: f64) -> f64 {
    let share = (LOUDEST - dbm.clamp(FAINTEST, LOUDEST)) / (LOUDEST - FAINTEST);
    HEARD_TOP + share * HEARD
}

/// Names of rooms and files are anybody's.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
