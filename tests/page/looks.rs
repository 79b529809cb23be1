//! Every page in both themes and two widths, with what the demonstration shows on it. The pictures are for looking at.

use whichroom_tests::chromium::{Browser, Look};
use whichroom_tests::directory::Directory;
use whichroom_tests::http::address_in;
use whichroom_tests::process::{Process, product};

/// Address and picture of each page, and what is true when it is drawn.
const PAGES: [(&str, &str, &str); 4] = [
    (
        "house",
        "",
        "document.querySelector('#link').dataset.link === 'live' && document.querySelector('#person-list li')",
    ),
    ("timeline", "roaming#timeline", "document.querySelectorAll('#clients li').length > 3"),
    ("access-points", "roaming#access-points", "document.querySelectorAll('#aps tbody tr').length > 3"),
    ("advice", "roaming#advice", "document.documentElement.dataset.drawn === 'advice'"),
];

#[test]
fn nothing_sticks_out_is_hard_to_read_or_has_no_name() {
    let directory = Directory::new();
    let arguments = ["demo", "--speed", "200", "--port", "0"];
    let mut demo = Process::start(&product("whichroom"), &arguments, &directory.join("demo.log"));
    let address = address_in(&demo.wait_log("http://"));
    let mut browser = Browser::start();
    let mut faults = Vec::new();
    for look in Look::ALL {
        for (name, path, drawn) in PAGES {
            let mut tab = browser.open(&format!("http://{address}/{path}"), look);
            tab.wait(&format!("Boolean({drawn})"));
            faults.extend(tab.audit().into_iter().map(|fault| format!("{name} {}: {fault}", look.name())));
            faults
                .extend(tab.complaints().into_iter().map(|fault| format!("{name} {}: {fault}", look.name())));
            tab.save_picture(&format!("{name}-{}", look.name()));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
