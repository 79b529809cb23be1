//! Of somebody of whom only home or away is to be known, no page knows a room.

use whichroom_tests::chromium::{Browser, Look};
use whichroom_tests::house::{ANNA, BEN, BSS_5, FAMILY, House, topic};

use crate::wait_live;

#[test]
fn of_somebody_home_only_there_is_no_room_history_anywhere() {
    let mut house = House::new();
    house.add_ap("kitchen");
    house.start_aggregator(&FAMILY.replace("id = \"ben\"\n", "id = \"ben\"\ndetail = \"home-only\"\n"));
    house.bus("kitchen").join(BSS_5, ANNA, -52);
    house.bus("kitchen").join(BSS_5, BEN, -60);
    house.wait_room("anna", "Kitchen");
    house.observer.wait_last(&topic("person/ben"), |ben| ben["tracker"] == "home");
    let mut browser = Browser::start();
    let address = house.page_address();

    // Anna's rooms are there by now, so Ben's would be.
    let mut tab = browser.open(&format!("{address}/roaming#device={ANNA}"), Look::WIDE);
    wait_live(&mut tab);
    tab.wait("document.querySelector('#device-rooms').textContent.includes('Kitchen')");
    drop(tab);
    let mut tab = browser.open(&format!("{address}/roaming#device={BEN}"), Look::WIDE);
    tab.wait("document.documentElement.dataset.drawn === 'device'");
    let shown = tab.text("document.querySelector('main').innerText");
    assert!(shown.contains("No rooms are kept of it"), "{shown}");
    assert!(!shown.contains("Kitchen") && !shown.contains("dBm\n"), "{shown}");
    assert_eq!(tab.evaluate("document.querySelectorAll('#device-bars tr').length"), 0);
    tab.go(&format!("{address}/"));
    tab.wait("document.querySelector('#person-ben .where')?.textContent.startsWith('Home')");
    let card = tab.text("document.querySelector('#person-ben').innerText");
    assert!(!card.contains("Kitchen"), "{card}");
    tab.click("#person-ben button");
    tab.wait("document.querySelector('#why').open && !document.querySelector('#why-body').textContent.includes('Asking')");
    let why = tab.text("document.querySelector('#why').innerText");
    assert!(!why.to_lowercase().contains("kitchen"), "{why}");
    tab.expect_no_complaints();
}
