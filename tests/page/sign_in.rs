//! The page over the network: a password is set with the code from the log, a wrong one is refused, the right one
//! granted. The browser comes by a name that loopback does not have.

use whichroom_tests::chromium::{Browser, Look};
use whichroom_tests::directory::Directory;
use whichroom_tests::mosquitto::free_port;
use whichroom_tests::process::{Process, product, wait};

use crate::wait_live;

const PASSWORD: &str = "correct horse";

#[test]
fn sign_in_is_refused_and_granted() {
    let directory = Directory::new();
    let (mqtt, port) = (free_port(), free_port());
    let configuration = format!(
        "[mqtt]\nlisten = \"127.0.0.1:{mqtt}\"\n[[person]]\nname = \"Anna\"\ndevices = [\"02:00:00:00:00:0a\"]\n\
         [web]\nlisten = \"0.0.0.0:{port}\"\nhosts = [\"whichroom.test\"]\n"
    );
    let file = directory.write("whichroom.toml", &configuration);
    let arguments = ["run".into(), "--config".into(), file, "--state".into(), directory.join("state")];
    let mut aggregator = Process::start(&product("whichroom"), &arguments, &directory.join("aggregator.log"));
    aggregator.wait_log("connected to the broker");
    let page = format!("http://whichroom.test:{port}/");
    let mut browser = Browser::start();

    let mut tab = browser.open(&page, Look::PHONE);
    tab.wait("location.pathname === '/sign-in' && Boolean(document.querySelector('#code'))");
    let faults = [tab.audit(), tab.walk()].concat();
    assert!(faults.is_empty(), "{faults:#?}");
    tab.save_picture("set-password-phone-light");
    let code = wait("code in the log", || {
        let log = aggregator.log();
        let (_, rest) = log.rsplit_once("one-time code ")?;
        Some(rest.get(..9)?.to_owned())
    });
    for (field, text) in [("#code", code.as_str()), ("#password", PASSWORD), ("#password-again", PASSWORD)] {
        tab.click(field);
        tab.enter(text);
    }
    tab.press("Enter");
    tab.wait("location.pathname === '/' && Boolean(document.querySelector('#person-anna'))");
    wait_live(&mut tab);
    tab.expect_no_complaints();
    drop(tab);

    // Another browser knows nothing of that session.
    let mut tab = browser.open(&format!("{page}roaming#advice"), Look { dark: true, ..Look::WIDE });
    tab.wait("location.pathname === '/sign-in' && Boolean(document.querySelector('#password'))");
    tab.click("#password");
    tab.enter("wrong horse");
    tab.press("Enter");
    tab.wait("document.readyState === 'complete' && Boolean(document.querySelector('.trouble'))");
    let faults = [tab.audit(), tab.walk()].concat();
    assert!(faults.is_empty(), "{faults:#?}");
    tab.save_picture("sign-in-refused-wide-dark");
    tab.click("#password");
    tab.enter(PASSWORD);
    tab.press("Enter");
    tab.wait("location.pathname === '/roaming' && document.documentElement.dataset.drawn === 'advice'");
    wait_live(&mut tab);
    tab.click("#sign-out");
    tab.wait("location.pathname === '/sign-in' && Boolean(document.querySelector('#password'))");
    tab.go(&page);
    tab.wait("location.pathname === '/sign-in'");
}
