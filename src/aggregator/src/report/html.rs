//! A report as one HTML file that loads nothing, to keep or to send.

use std::fmt::Write as _;

use whichroom_roaming::{Advice, Report, Time};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}\
pre{overflow-x:auto;padding:.75rem;border:1px solid #8886;border-radius:.5rem;font-size:.85rem}\
h2{margin-top:2rem}.caution{border-left:4px solid #d90;padding-left:.75rem}";

/// The page. `clock` writes a time as people read it.
pub fn page(report: &Report, clock: &dyn Fn(Time) -> String) -> String {
    let title = format!("Roaming from {} to {}", clock(report.range.from), clock(report.range.to));
    let findings = Report { advice: Vec::new(), ..report.clone() };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{0}</title>\n<style>{STYLE}</style>\n<h1>{0}</h1>\n<pre>{1}</pre>\n<h2>What to do</h2>\n",
        escaped(&title),
        escaped(&findings.text(clock)),
    );
    if report.advice.is_empty() {
        page.push_str("<p>Nothing. It roams well.</p>\n");
    }
    report.advice.iter().for_each(|advice| write_advice(&mut page, advice));
    page.push_str("</html>\n");
    page
}

fn write_advice(page: &mut String, advice: &Advice) {
    // Writing to a string does not fail.
    let _ = writeln!(page, "<p>{}<br>{}</p>", escaped(&advice.reason), escaped(&advice.expected));
    if let Some(caution) = &advice.caution {
        let _ = writeln!(page, "<p class=\"caution\">{}</p>", escaped(caution));
    }
    for step in &advice.steps {
        let _ = writeln!(
            page,
            "<h3>{}</h3>\n<p>{}</p>\n<pre>{}</pre>\n<details><summary>Undo</summary><pre>{}</pre></details>",
            escaped(step.ap.as_str()),
            escaped(&step.what),
            escaped(&step.apply),
            escaped(&step.undo),
        );
    }
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
}
