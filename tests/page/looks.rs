//! Every page in both themes and two widths, with what the demonstration shows on it. The pictures are for looking at.

use whichroom_tests::chromium::{Browser, Look};

use crate::{Demo, wait_live};

/// Address and picture of each page, and what is true when it is drawn.
const PAGES: [(&str, &str, &str); 5] = [
    ("house", "", "document.querySelector('#person-list li')"),
    ("timeline", "roaming#timeline", "document.querySelectorAll('#clients li').length > 3"),
    (
        "device",
        "roaming#device=",
        "document.querySelector('#device-bars td') && !document.querySelector('#rooms-chart').hidden",
    ),
    ("access-points", "roaming#access-points", "document.querySelectorAll('#aps tbody tr').length > 3"),
    ("advice", "roaming#advice", "document.documentElement.dataset.drawn === 'advice'"),
];

#[test]
fn nothing_sticks_out_is_hard_to_read_or_has_no_name() {
    let demo = Demo::start("200");
    let mut browser = Browser::start();
    let mac = {
        let mut tab = browser.open(&demo.url("roaming"), Look::WIDE);
        tab.wait("document.querySelectorAll('#clients a').length > 3");
        tab.text("document.querySelectorAll('#clients a')[1].hash.split('=')[1]")
    };
    let mut faults = Vec::new();
    for look in Look::ALL {
        for (name, path, drawn) in PAGES {
            let mac = if path.ends_with('=') { mac.as_str() } else { "" };
            let mut tab = browser.open(&demo.url(&format!("{path}{mac}")), look);
            wait_live(&mut tab);
            tab.wait(&format!("Boolean({drawn})"));
            let mut found = tab.audit();
            found.extend(tab.complaints());
            faults.extend(found.into_iter().map(|fault| format!("{name} {}: {fault}", look.name())));
            tab.save_picture(&format!("{name}-{}", look.name()));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
