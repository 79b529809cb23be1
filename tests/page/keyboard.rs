//! Everything is reached with the Tab key, and shows that it is.

use whichroom_tests::chromium::{Browser, Look};
use whichroom_tests::house::{ANNA, BSS_5, FAMILY, House};
use whichroom_wire::Mac;

use crate::wait_live;

#[test]
fn tab_reaches_everything() {
    let mut house = House::new();
    house.add_ap("kitchen");
    house.add_ap("hall");
    house.start_aggregator(FAMILY);
    house.bus("kitchen").join(BSS_5, ANNA, -52);
    house.bus("hall").join(BSS_5, Mac::new([2, 0, 0, 0, 0, 0x77]), -60);
    house.wait_room("anna", "Kitchen");
    let mut browser = Browser::start();
    let address = house.page_address();
    let mac = format!("#device={ANNA}");
    for look in [Look::WIDE, Look::PHONE] {
        for (page, drawn) in [
            ("", "document.querySelectorAll('#unknown-list tr').length > 0"),
            ("roaming#timeline", "document.querySelectorAll('#clients a').length > 1"),
            (&format!("roaming{mac}"), "document.querySelectorAll('#device-why details').length === 1"),
            ("roaming#access-points", "document.querySelectorAll('#aps tbody tr').length === 4"),
            ("roaming#advice", "document.documentElement.dataset.drawn === 'advice'"),
        ] {
            let mut tab = browser.open(&format!("{address}/{page}"), look);
            wait_live(&mut tab);
            tab.wait(drawn);
            // What is folded away is reached when it is unfolded.
            tab.evaluate(
                "document.querySelectorAll('details').forEach((details) => { details.open = true; })",
            );
            let walked = tab.walk();
            assert!(walked.is_empty(), "{page} {}: {walked:#?}", look.name());
            tab.expect_no_complaints();
        }
    }
}

#[test]
fn why_opens_and_closes_with_keys_and_gives_the_focus_back() {
    let mut house = House::new();
    house.add_ap("kitchen");
    house.start_aggregator(FAMILY);
    house.bus("kitchen").join(BSS_5, ANNA, -52);
    house.wait_room("anna", "Kitchen");
    let mut browser = Browser::start();
    let mut tab = browser.open(&house.page_address(), Look::WIDE);
    tab.wait("Boolean(document.querySelector('#person-anna button'))");
    tab.evaluate("document.querySelector('#person-anna button').focus()");
    tab.press("Enter");
    tab.wait("document.querySelector('#why').open && document.querySelector('#why-body').textContent.includes('connected to')");
    assert_eq!(tab.text("document.querySelector('#why-title').textContent"), "Anna");
    let faults = tab.audit();
    assert!(faults.is_empty(), "{faults:#?}");
    tab.save_picture("why");
    tab.press("Escape");
    tab.wait("!document.querySelector('#why').open");
    assert_eq!(tab.text("document.activeElement.textContent"), "Anna");
    tab.expect_no_complaints();
}
