//! Homes of which there is nothing to show yet, and one with names that are too long for everything.

use whichroom_tests::chromium::{Browser, Look, Tab};
use whichroom_tests::house::{BSS_5, House};
use whichroom_wire::Mac;

use crate::wait_live;

/// Looks at all pages of a home; returns what is wrong with them.
fn look_at(browser: &mut Browser, house: &mut House, name: &str, mut see: impl FnMut(&str, &mut Tab<'_>)) {
    let address = house.page_address();
    let mut faults = Vec::new();
    for look in [Look { dark: true, ..Look::WIDE }, Look::PHONE] {
        for page in ["", "roaming#timeline", "roaming#access-points", "roaming#advice"] {
            let mut tab = browser.open(&format!("{address}/{page}"), look);
            wait_live(&mut tab);
            if !page.is_empty() {
                tab.wait("Boolean(document.documentElement.dataset.drawn)");
            }
            see(page, &mut tab);
            let mut found = tab.audit();
            found.extend(tab.complaints());
            faults.extend(found.into_iter().map(|fault| format!("{page} {}: {fault}", look.name())));
            let page = page.trim_start_matches("roaming#");
            let page = if page.is_empty() { "house" } else { page };
            tab.save_picture(&format!("{name}-{page}-{}", look.name()));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_home_without_anything_says_what_to_do_next() {
    let mut house = House::new();
    house.start_aggregator("");
    let mut browser = Browser::start();
    look_at(&mut browser, &mut house, "empty", |page, tab| match page {
        "" => {
            tab.wait("document.querySelector('#next-step').textContent.includes('whichroom-agent')");
            tab.wait("document.querySelector('#no-people').checkVisibility()");
        }
        "roaming#timeline" => tab.wait("document.querySelector('#timeline-empty').checkVisibility()"),
        "roaming#access-points" => tab.wait("document.querySelector('#aps-empty').checkVisibility()"),
        _ => tab
            .wait("document.querySelector('#advice-list').textContent.includes('No client was associated')"),
    });
}

const LONG: &str = r#"
[[room]]
id = "library"
name = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtenbibliothek"
floor = 2

[[room]]
id = "hall"
name = "Hall"
floor = -1

[[ap]]
id = "library"
name = "The access point above the third bookshelf of the library on the second floor"
room = "library"

[[person]]
id = "hubert"
name = "Hubert Blaine Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh"
devices = [{ id = "phone", name = "Hubert Blaine Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh's telephone", macs = ["02:00:00:00:00:0a"] }]
"#;

#[test]
fn long_names_have_room() {
    let mut house = House::new();
    house.add_ap("library");
    house.start_aggregator(LONG);
    house.bus("library").join(BSS_5, Mac::new([2, 0, 0, 0, 0, 0x0a]), -52);
    house
        .observer
        .wait_last(&whichroom_tests::house::topic("person/hubert"), |person| person["tracker"] == "home");
    let mut browser = Browser::start();
    look_at(&mut browser, &mut house, "long", |page, tab| match page {
        "" => tab.wait("document.querySelector('.is-lit')?.textContent.includes('Hubert')"),
        "roaming#timeline" => tab.wait("document.querySelectorAll('#clients li').length === 1"),
        "roaming#access-points" => tab.wait("document.querySelectorAll('#aps tbody tr').length === 2"),
        _ => {}
    });
}
