//! Changes that are compared before and after: who makes one marks it, and what an access point says of its radios marks
//! it, too.

#![expect(clippy::unwrap_used, reason = "a test that is surprised fails, and says where")]

use std::process::Command;

use serde_json::Value;
use whichroom_tests::house::{ANNA, BSS_5, FAMILY, House, topic};
use whichroom_tests::process::{product, wait};

fn whichroom(arguments: &[&str]) -> String {
    let output = Command::new(product("whichroom")).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_change_is_marked_by_who_makes_it_and_by_the_access_point() {
    let mut house = House::new();
    house.add_ap("kitchen");
    house.add_ap("hall");
    house.start_aggregator(FAMILY);
    house.bus("kitchen").join(BSS_5, ANNA, -60);
    house.wait_room("anna", "Kitchen");
    let page = house.page_address();
    assert_eq!(whichroom(&["note", "--page", &page, "power", "lowered"]), "noted: power lowered\n");
    // Somebody lowers it, and the radio comes back with an agent that is started anew.
    house.ap("kitchen").agent = None;
    house.bus("kitchen").with_ap(|ap| ap.bsss.values_mut().for_each(|bss| bss.txpower_dbm = 18));
    house.start_agent("kitchen");
    house.observer.wait_last(&topic("ap/kitchen/radios"), |radios| {
        radios["radios"].as_array().is_some_and(|all| all.iter().any(|bss| bss["txpower_dbm"] == 18))
    });
    house.bus("hall").join(BSS_5, ANNA, -50);
    let file = |name: &str| house.directory.join(name).display().to_string();
    let (config, history) = (file("whichroom.toml"), file("state/history.sqlite3"));
    let comparison = wait("both marks in the report", || {
        let report = whichroom(&["report", "--json", "--config", &config, "--history", &history]);
        let report: Value = serde_json::from_str(&report).unwrap();
        let comparison = report["comparisons"].as_array()?.first()?.clone();
        comparison["note"]["text"].as_str()?.contains("power 20 to 18").then_some(comparison)
    });
    let text = comparison["note"]["text"].as_str().unwrap();
    assert!(text.starts_with("power lowered; kitchen phy"), "{text}");
    assert_eq!(comparison["verdict"], "not-enough-data", "{comparison}");
}
