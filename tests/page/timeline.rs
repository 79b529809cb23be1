//! The timeline, used with keys, wheel, mouse and fingers.

use serde_json::Value;
use whichroom_tests::chromium::{Browser, Look, Tab};

use crate::{Demo, wait_live};

const READY: &str = "document.querySelectorAll('#clients li').length > 3";

/// What is shown, as the page says it: beginning and end.
fn stretch(tab: &mut Tab<'_>) -> (f64, f64) {
    let said = "document.querySelector('#timeline-says').textContent.match(/[-0-9]{10} [:0-9]{8}/g).map((at) => Date.parse(at.replace(' ', 'T') + 'Z'))";
    let said = tab.evaluate(said);
    let at = |index: usize| said[index].as_f64().unwrap_or_else(|| panic!("{said}"));
    (at(0), at(1))
}

fn close(one: f64, other: f64) -> bool {
    // The page says whole seconds, and the present goes on.
    (one - other).abs() <= 3_000.0
}

#[test]
fn it_is_moved_and_zoomed_with_keys_wheel_and_drag() {
    let demo = Demo::start("60");
    let mut browser = Browser::start();
    let mut tab = browser.open(&demo.url("roaming"), Look::WIDE);
    wait_live(&mut tab);
    tab.wait(READY);
    tab.click("#spans button[value='21600000']");
    tab.wait(
        "document.querySelector('#spans button[value=\"21600000\"]').getAttribute('aria-pressed') === 'true'",
    );

    tab.evaluate("document.querySelector('#plot').focus()");
    tab.press("ArrowLeft");
    let (from, to) = stretch(&mut tab);
    assert!(close(to - from, 6.0 * 3_600_000.0), "an hour back, six hours wide: {from} to {to}");
    // It no longer follows the present.
    tab.press("ArrowLeft");
    let moved = stretch(&mut tab);
    assert!(close(moved.0, from - 3_600_000.0), "{moved:?} after {from}");
    tab.press("ArrowRight");
    assert!(close(stretch(&mut tab).0, from));
    tab.press("+");
    let nearer = stretch(&mut tab);
    assert!(close(nearer.1 - nearer.0, (to - from) / 2.0), "{nearer:?}");
    assert!(close(nearer.0 + nearer.1, from + to), "about its middle: {nearer:?}");
    tab.press("-");
    assert!(close(stretch(&mut tab).0, from));

    let (x, y) = tab.middle("#plot");
    tab.wheel((x, y), (0.0, 120.0), true);
    let farther = stretch(&mut tab);
    assert!(close(farther.1 - farther.0, (to - from) * 1.25), "{farther:?}");
    tab.wheel((x, y), (0.0, -120.0), true);
    assert!(close(stretch(&mut tab).0, from));
    let wide = tab.evaluate("document.querySelector('#plot').clientWidth").as_f64().unwrap_or(1.0);
    tab.wheel((x, y), (-wide / 6.0, 0.0), false);
    assert!(close(stretch(&mut tab).0, from - (to - from) / 6.0));
    tab.drag((x, y), (x - wide / 6.0, y));
    assert!(close(stretch(&mut tab).0, from));
    // Without Control the wheel is the page's.
    tab.wheel((x, y), (0.0, 120.0), false);
    assert!(close(stretch(&mut tab).0, from));

    tab.evaluate("document.querySelector('#plot').focus()");
    tab.press("Home");
    let (_, now) = stretch(&mut tab);
    assert!(now > to, "the present is after {to}");
    tab.expect_no_complaints();
}

#[test]
fn it_tells_more_under_a_mouse_and_under_a_finger() {
    let demo = Demo::start("60");
    let mut browser = Browser::start();
    // From when and to when a bar is at the second row, in the canvas' pixels, found by its colour.
    let on_bar = "(() => { const canvas = document.querySelector('#canvas'); const box = canvas.getBoundingClientRect();
        const css = getComputedStyle(document.documentElement); const y = 26 + parseFloat(css.getPropertyValue('--row')) + parseFloat(css.getPropertyValue('--bar')) + 7;
        const ratio = canvas.width / box.width; const row = canvas.getContext('2d').getImageData(0, Math.round(y * ratio), canvas.width, 1).data;
        const xs = []; for (let x = 0; x < canvas.width; x++) if (row[4 * x + 3] === 255) xs.push(x / ratio);
        return [box.left + xs[Math.floor(xs.length / 2)], box.top + y]; })()";
    let point = |at: &Value| (at[0].as_f64().unwrap_or(-1.0), at[1].as_f64().unwrap_or(-1.0));
    for look in [Look::WIDE, Look::PHONE] {
        let mut tab = browser.open(&demo.url("roaming"), look);
        wait_live(&mut tab);
        tab.wait(READY);
        assert_eq!(tab.evaluate("document.querySelector('#tip').hidden"), true);
        let (x, y) = point(&tab.evaluate(on_bar));
        assert!(x > 0.0, "no bar");
        if look == Look::WIDE {
            tab.hover(x, y)
        } else {
            tab.tap(x, y)
        }
        tab.wait("!document.querySelector('#tip').hidden");
        let tip = tab.text("document.querySelector('#tip').textContent");
        let name = tab.text("document.querySelectorAll('#clients a')[1].textContent");
        assert!(tip.starts_with(&name) && tip.contains("began: ") && tip.contains("for "), "{tip}");
        tab.save_picture(&format!("tip-{}", look.name()));
        tab.expect_no_complaints();
    }
}

#[test]
fn a_client_leads_to_its_page_and_back() {
    let demo = Demo::start("60");
    let mut browser = Browser::start();
    let mut tab = browser.open(&demo.url("roaming"), Look::PHONE);
    wait_live(&mut tab);
    tab.wait(READY);
    let name = tab.text("document.querySelector('#clients a').textContent");
    tab.click("#clients a");
    tab.wait("document.documentElement.dataset.drawn === 'device'");
    assert_eq!(tab.text("document.querySelector('#device-title').textContent"), name);
    assert_eq!(tab.text("document.title"), format!("{name} · WhichRoom"));
    tab.click("#view-device a");
    tab.wait("document.querySelector('#view-timeline').checkVisibility()");
    assert_eq!(tab.text("document.querySelector('nav [aria-current]').textContent"), "Timeline");
    tab.expect_no_complaints();
}

#[test]
fn what_is_too_short_to_be_seen_is_striped_by_how_long_it_was_where() {
    let demo = Demo::start("60");
    let mut browser = Browser::start();
    let mut tab = browser.open(&demo.url("roaming"), Look::WIDE);
    wait_live(&mut tab);
    // A hundred pixels that were three parts of one access point and one of another, and a bar beside them.
    let drawn = "import('./timeline.js').then(({ drawTimeline, hit, sizes }) => {
        const row = { bars: [[100, 200, 2, 'full', 'left']], merged: [[0, 100, 40, [[0, 75], [1, 25]]]], signal: [], episodes: [] };
        const data = { rows: [row], notes: [], step_ms: 60000 };
        const range = { from: 0, to: 200 };
        const hues = [20, 140, 260];
        const canvas = document.body.appendChild(document.createElement('canvas'));
        drawTimeline(canvas, data, range, { width: 200, shift: 0, hueOf: (ap) => hues[ap] });
        const { axis, bar } = sizes();
        const ratio = canvas.width / 200;
        const line = canvas.getContext('2d').getImageData(0, Math.round((axis + bar + 7) * ratio), canvas.width, 1).data;
        const colours = new Map();
        for (let x = 0; x < 100 * ratio; x++) {
          const colour = line.slice(4 * x, 4 * x + 3).join();
          colours.set(colour, (colours.get(colour) ?? 0) + 1 / ratio);
        }
        const at = (x) => hit(data, range, { x, y: axis + 5, width: 200 });
        return { parts: [...colours.values()].map(Math.round).sort(), counted: at(50).merged[2], beside: at(150).bar[2], none: at(150).merged };
      })";
    let drawn = tab.evaluate(drawn);
    let part = |index: usize| drawn["parts"][index].as_i64().unwrap_or_default();
    assert!((23..=27).contains(&part(0)) && part(0) + part(1) == 100, "to a stripe of two pixels: {drawn}");
    assert_eq!(
        (&drawn["counted"], &drawn["beside"], &drawn["none"]),
        (&Value::from(40), &Value::from(2), &Value::Null)
    );
    tab.expect_no_complaints();
}
