//! The checks themselves: a page with every fault that they look for.

use whichroom_tests::chromium::{Browser, Look};
use whichroom_tests::directory::Directory;

const FAULTY: &str = r#"<!doctype html><html lang="en"><title>Faults</title><style>
.faint { color: #999; background: #fff; } .wide { width: 3000px; } .cut { width: 4em; overflow: hidden; white-space: nowrap; }
.unseen-focus:focus { outline: none; } .good { color: #333; }</style>
<h1>One</h1><h3 class="good">Three</h3><h1>Another</h1><p class="faint">faint text</p><p class="cut">much more than there is room for</p>
<div class="wide">wide</div><button id="nameless"></button><button class="unseen-focus">no ring</button>
<button tabindex="-1">not reached</button><button>fine</button>
<table><tr><td>1</td></tr></table><script>console.error("an error"); missing();</script>"#;

#[test]
fn every_fault_is_found() {
    let directory = Directory::new();
    let file = directory.write("faulty.html", FAULTY);
    let mut browser = Browser::start();
    let mut tab = browser.open(&format!("file://{}", file.display()), Look::WIDE);
    let found = tab.audit().join("\n");
    for fault in [
        "sticks out: \"div.wide",
        "is cut off: \"p much more",
        "is hard to read: \"2.85 to 1: faint text",
        "a button has no name",
        "the page has 0 landmarks main",
        "the page has 2 first headings",
        "heading \"Three\" of level 3 skips one",
        "a table without headers",
    ] {
        assert!(found.contains(fault), "not found: {fault}\n{found}");
    }
    let walked = tab.walk();
    assert_eq!(walked, ["the focus is not seen on button no ring", "Tab does not reach button not reached"]);
    let complaints = tab.complaints().join("\n");
    assert!(complaints.contains("an error") && complaints.contains("missing is not defined"), "{complaints}");
}
