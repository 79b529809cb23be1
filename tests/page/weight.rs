//! What the page weighs, everything that a browser asks for together, as it is served.

use std::collections::BTreeSet;

use whichroom_tests::chromium::{Browser, Look};
use whichroom_tests::http;

use crate::{Demo, wait_live};

const MOST: usize = 150_000;

#[test]
fn all_of_the_page_is_at_most_150_kb() {
    let demo = Demo::start("30");
    let mut browser = Browser::start();
    let mut paths = BTreeSet::new();
    for page in ["", "roaming"] {
        let mut tab = browser.open(&demo.url(page), Look::WIDE);
        wait_live(&mut tab);
        tab.wait("performance.getEntriesByType('resource').length > 3");
        let loaded = "[location.href, ...performance.getEntriesByType('resource').map(({ name }) => name)]";
        let loaded = tab.evaluate(loaded);
        paths.extend(
            loaded.as_array().into_iter().flatten().filter_map(|url| url.as_str().map(str::to_owned)),
        );
    }
    let origin = demo.url("");
    let mut total = 0;
    for url in paths.iter().filter(|url| !url.contains("/api/")) {
        let path = url.strip_prefix(&origin).unwrap_or_else(|| panic!("{url} is loaded from elsewhere"));
        let (head, body) = http::ask(&demo.address, &format!("GET /{path}"));
        assert_eq!(http::status(&head), "200", "{path}");
        println!("{:7} {path}", body.len());
        total += body.len();
    }
    println!("{total:7} bytes in all");
    assert!(total > 30_000, "not everything was counted");
    assert!(total <= MOST, "{total} bytes");
}
