//! What changes while one looks.

use whichroom_tests::chromium::{Browser, Look};
use whichroom_tests::house::{ANNA, BSS_5, FAMILY, House};

#[test]
fn somebody_comes_home_before_ones_eyes() {
    let mut house = House::new();
    house.add_ap("kitchen");
    house.add_ap("hall");
    house.start_aggregator(FAMILY);
    let mut browser = Browser::start();
    let mut tab = browser.open(&house.page_address(), Look::WIDE);
    tab.wait("document.querySelector('#link').dataset.link === 'live'");
    tab.evaluate("window.isTheSame = true");
    house.bus("kitchen").join(BSS_5, ANNA, -52);
    tab.wait("document.querySelector('#person-anna .where')?.textContent.startsWith('Kitchen')");
    tab.wait("document.querySelector('#room-kitchen').textContent.includes('Anna')");
    assert_eq!(tab.evaluate("window.isTheSame"), true, "the page was loaded again");
    // A screen reader hears it.
    tab.wait("document.querySelector('#move-list[aria-live=polite] li')?.textContent.includes('Anna')");
    tab.expect_no_complaints();
}
