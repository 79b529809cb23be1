//! What one does on the page: adopt a device, give an access point up, note a change.

use std::fs;
use std::time::Instant;

use whichroom_tests::chromium::{Browser, Look};
use whichroom_tests::house::{ANNA, BSS_2, BSS_5, FAMILY, House, topic};
use whichroom_tests::process::wait;
use whichroom_tests::ubusd::{Lease, Leave, Options};
use whichroom_wire::Mac;

use crate::wait_live;

const STRANGER: Mac = Mac::new([2, 0, 0, 0, 0, 0x77]);
const ANNA_OTHER: Mac = Mac::new([2, 0, 0, 0, 1, 0x0a]);

/// The row of an unknown device.
fn row(mac: Mac) -> String {
    format!("#unknown-list tr[data-key^='{mac}']")
}

/// A home whose router calls Anna's phone and one that nobody knows by the same name.
fn home() -> House {
    let mut house = House::new();
    house.add_bus("hall", Options::default());
    let lease = |mac, name: &str| Lease { mac, address: "192.168.1.9".into(), hostname: Some(name.into()) };
    house.bus("hall").with_ap(|ap| {
        ap.leases =
            vec![lease(ANNA, "Pixel-7"), lease(ANNA_OTHER, "Pixel-7"), lease(STRANGER, "cleaners-phone")];
    });
    house.start_agent("hall");
    house.wait_agent("hall");
    house.start_aggregator(&format!("# Our own house.\n{FAMILY}\n# The end.\n"));
    house.bus("hall").join(BSS_5, ANNA, -52);
    house.wait_room("anna", "Hall");
    house
}

#[test]
fn a_stranger_becomes_somebody_and_the_files_comments_stay() {
    let mut house = home();
    house.bus("hall").join(BSS_5, STRANGER, -60);
    let mut browser = Browser::start();
    let mut tab = browser.open(&house.page_address(), Look::PHONE);
    wait_live(&mut tab);
    let row = row(STRANGER);
    tab.wait(&format!("document.querySelector(\"{row}\")?.textContent.includes('cleaners-phone')"));
    tab.click("#unknown-summary");
    tab.evaluate(&format!(
        "(() => {{ const select = document.querySelector(\"{row} select\"); select.value = 'new';
           select.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()"
    ));
    // A new signal draws the row again; what was begun stays.
    house.bus("hall").with_ap(|ap| ap.station(BSS_5, STRANGER).map(|station| station.signal_dbm = -70));
    // Somebody else comes, so the access point says its table at once.
    house.bus("hall").join(BSS_5, Mac::new([2, 0, 0, 0, 0, 0x78]), -65);
    tab.wait(&format!("document.querySelector(\"{row}\")?.textContent.includes('-70 dBm')"));
    tab.click(&format!("{row} input"));
    tab.enter("Cleaner");
    let faults = tab.audit();
    assert!(faults.is_empty(), "{faults:#?}");
    tab.save_picture("adopt");
    tab.click(&format!("{row} button"));
    tab.wait("document.querySelector('#adopt-says').textContent.startsWith('Written')");
    // Home is who is received.
    let home = "document.querySelector('#person-cleaner .where')?.textContent.startsWith('Hall')";
    wait("cleaner at home", || {
        house
            .bus("hall")
            .with_ap(|ap| ap.station(BSS_5, STRANGER).map(|station| station.receive(10, Instant::now())));
        (tab.evaluate(home) == true).then_some(())
    });
    tab.wait(&format!("!document.querySelector(\"{row}\")"));
    let file = fs::read_to_string(house.directory.join("whichroom.toml")).unwrap_or_default();
    assert!(file.contains("name = \"Cleaner\"") && file.contains(&STRANGER.to_string()), "{file}");
    assert!(file.contains("# Our own house.\n") && file.ends_with("# The end.\n"), "{file}");
    house.observer.wait_last(&topic("person/cleaner"), |cleaner| cleaner["tracker"] == "home");
    tab.expect_no_complaints();
}

#[test]
fn the_same_phone_on_another_network_is_offered_with_one_click() {
    let mut house = home();
    // The phone is on another network now, where it has another address.
    house.bus("hall").leave(BSS_5, ANNA, Leave::Deauth);
    house.bus("hall").join(BSS_2, ANNA_OTHER, -58);
    let mut browser = Browser::start();
    let mut tab = browser.open(&house.page_address(), Look::WIDE);
    wait_live(&mut tab);
    let row = row(ANNA_OTHER);
    let offer = "'has the name of Anna\\'s phone'";
    tab.wait(&format!("document.querySelector(\"{row} .adopt\")?.textContent.includes({offer})"));
    tab.click("#unknown-summary");
    tab.save_picture("same-phone");
    tab.click(&format!("{row} button"));
    tab.wait("document.querySelector('#adopt-says').textContent.startsWith('Written')");
    tab.wait(&format!("!document.querySelector(\"{row}\")"));
    let file = fs::read_to_string(house.directory.join("whichroom.toml")).unwrap_or_default();
    let both = format!("\"{ANNA}\", \"{ANNA_OTHER}\"");
    assert!(file.contains(&both), "{file}");
    tab.expect_no_complaints();
}

#[test]
fn an_access_point_that_is_gone_for_good_is_given_up() {
    let mut house = House::new();
    house.add_ap("kitchen");
    house.add_ap("hall");
    house.start_aggregator(&FAMILY.replace("[timing]", "[timing]\nblind_said_s = 2"));
    house.bus("hall").join(BSS_5, ANNA, -52);
    house.wait_room("anna", "Hall");
    let mut browser = Browser::start();
    let mut tab = browser.open(&house.page_address(), Look::WIDE);
    wait_live(&mut tab);
    tab.wait("document.querySelector('#problems').hidden");
    house.ap("hall").agent = None;
    tab.wait("Boolean(document.querySelector('#problem-list .give-up'))");
    let (problem, _) =
        (tab.text("document.querySelector('#problem-list').innerText"), tab.save_picture("problem"));
    assert!(problem.contains("Hall"), "{problem}");
    // Problems go before everything but the house itself.
    assert_eq!(tab.evaluate("[...document.querySelectorAll('main > section:not([hidden])')].findIndex(({ id }) => id === 'problems')"), 1);
    let faults = tab.audit();
    assert!(faults.is_empty(), "{faults:#?}");
    tab.click("#problem-list .give-up");
    tab.wait("!document.querySelector('#problem-list .give-up')");
    let questions = tab.questions();
    assert!(questions.len() == 1 && questions[0].starts_with("Decide without Hall"), "{questions:?}");
    tab.expect_no_complaints();
}

#[test]
fn a_change_is_noted() {
    let mut house = House::new();
    house.add_ap("hall");
    house.start_aggregator(FAMILY);
    house.bus("hall").join(BSS_5, ANNA, -52);
    let mut browser = Browser::start();
    let mut tab = browser.open(&format!("{}/roaming", house.page_address()), Look::WIDE);
    wait_live(&mut tab);
    tab.evaluate("document.querySelector('#note-text').focus()");
    tab.enter("power of the attic lowered");
    tab.press("Enter");
    tab.wait(
        "document.querySelector('#note-says').textContent.startsWith('Noted: power of the attic lowered.')",
    );
    tab.expect_no_complaints();
}
