//! One page in the browser: opened, looked at, used with keys, mouse and finger.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Browser, screenshots};
use crate::process::{HANG, wait};

/// How a page is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Of the window, in CSS pixels. Below 600 it is a phone with a touch screen.
    pub width: u32,
    /// The system's theme.
    pub dark: bool,
}

impl Look {
    /// A wide screen by day.
    pub const WIDE: Look = Look { width: 1400, dark: false };
    /// A phone by day.
    pub const PHONE: Look = Look { width: 390, dark: false };
    /// Both widths in both themes.
    pub const ALL: [Look; 4] =
        [Look::WIDE, Look { dark: true, ..Look::WIDE }, Look::PHONE, Look { dark: true, ..Look::PHONE }];

    /// For a file's name: `wide-dark`.
    pub fn name(self) -> String {
        let width = if self.is_phone() { "phone" } else { "wide" };
        format!("{width}-{}", if self.dark { "dark" } else { "light" })
    }

    fn is_phone(self) -> bool {
        self.width < 600
    }

    fn height(self) -> u32 {
        if self.is_phone() { 844 } else { 900 }
    }
}

/// An open page.
pub struct Tab<'b> {
    browser: &'b mut Browser,
    session: String,
    context: Value,
    complaints: Vec<String>,
    questions: Vec<String>,
}

impl<'b> Tab<'b> {
    pub(super) fn new(browser: &'b mut Browser, session: String, context: Value) -> Tab<'b> {
        Tab { browser, session, context, complaints: Vec::new(), questions: Vec::new() }
    }

    pub(super) fn prepare(&mut self, look: Look) {
        for domain in ["Log", "Runtime", "Page", "Network", "Accessibility"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        self.call("Emulation.setFocusEmulationEnabled", json!({"enabled": true}));
        self.set_look(look);
    }

    /// Looks at it in another window, or with another theme.
    pub fn set_look(&mut self, look: Look) {
        let phone = look.is_phone();
        let metrics =
            json!({"width": look.width, "height": look.height(), "deviceScaleFactor": 1, "mobile": phone});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        self.call("Emulation.setTouchEmulationEnabled", json!({"enabled": phone}));
        let theme = if look.dark { "dark" } else { "light" };
        // What moves in stays where it is: a picture is of the end.
        let features = json!([
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Goes to an address and waits until its page is loaded.
    pub fn go(&mut self, url: &str) {
        let left = "window.whichroomLeft = true";
        self.evaluate(left);
        let went = self.call("Page.navigate", json!({"url": url}));
        assert!(went.get("errorText").is_none(), "{url}: {}", went["errorText"]);
        // Another fragment of the same page loads nothing.
        let is_new = went.get("loaderId").is_some();
        let loaded =
            if is_new { "!window.whichroomLeft && document.readyState === 'complete'" } else { "true" };
        wait(&format!("page {url}"), || {
            self.try_evaluate(loaded).ok().filter(|loaded| *loaded == json!(true))
        });
    }

    /// The value of an expression on the page; promises are waited for.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        self.try_evaluate(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn try_evaluate(&mut self, expression: &str) -> Result<Value, String> {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.try_call("Runtime.evaluate", parameters)?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(thrown.to_string()),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// A text on the page.
    pub fn text(&mut self, expression: &str) -> String {
        let value = self.evaluate(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression} is no text: {value}")).to_owned()
    }

    /// Waits until an expression is true.
    pub fn wait(&mut self, expression: &str) {
        let mut last = Value::Null;
        let begun = std::time::Instant::now();
        while last != json!(true) {
            // A page that is being replaced answers nothing for a moment.
            last = self.try_evaluate(expression).unwrap_or_else(Value::String);
            if last != json!(true) && begun.elapsed() > HANG {
                let at = self.save_picture("hangs");
                let complaints = self.complaints();
                panic!("not within {HANG:?}: {expression} is {last}; {complaints:?}; see {}", at.display());
            }
        }
    }

    /// Presses a key, such as `Tab`, `ArrowLeft`, `+` or `Shift+Tab`.
    pub fn press(&mut self, key: &str) {
        let (modifiers, key) = match key.strip_prefix("Shift+") {
            Some(key) => (8, key),
            None => (0, key),
        };
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            " " => 32,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        let mut down = json!({"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers});
        match key {
            "Enter" => down["text"] = json!("\r"),
            text if text.chars().count() == 1 => down["text"] = json!(text),
            _ => down["type"] = json!("rawKeyDown"),
        }
        self.call("Input.dispatchKeyEvent", down.clone());
        down["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", down);
    }

    /// Types into what has the focus.
    pub fn enter(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Clicks in the middle of the first element of a selector, scrolled into view.
    pub fn click(&mut self, selector: &str) {
        let (x, y) = self.middle(selector);
        for (kind, buttons) in [("mousePressed", 1), ("mouseReleased", 0)] {
            let event =
                json!({"type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Holds the mouse over a point.
    pub fn hover(&mut self, x: f64, y: f64) {
        self.call("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": x, "y": y}));
    }

    /// Puts a finger on a point and takes it away.
    pub fn tap(&mut self, x: f64, y: f64) {
        self.call(
            "Input.dispatchTouchEvent",
            json!({"type": "touchStart", "touchPoints": [{"x": x, "y": y}]}),
        );
        self.call("Input.dispatchTouchEvent", json!({"type": "touchEnd", "touchPoints": []}));
    }

    /// Turns the wheel over a point, with Control held if so wished.
    pub fn wheel(&mut self, (x, y): (f64, f64), (delta_x, delta_y): (f64, f64), control: bool) {
        let modifiers = if control { 2 } else { 0 };
        let event = json!({"type": "mouseWheel", "x": x, "y": y, "deltaX": delta_x, "deltaY": delta_y, "modifiers": modifiers});
        self.call("Input.dispatchMouseEvent", event);
    }

    /// Drags the mouse from a point to another.
    pub fn drag(&mut self, from: (f64, f64), to: (f64, f64)) {
        for (kind, (x, y), buttons) in
            [("mousePressed", from, 1), ("mouseMoved", to, 1), ("mouseReleased", to, 0)]
        {
            let event =
                json!({"type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// The middle of the first element of a selector, in the window, scrolled into view.
    pub fn middle(&mut self, selector: &str) -> (f64, f64) {
        let expression = format!(
            "(() => {{ const element = document.querySelector({selector:?}); if (!element) return null;
               element.scrollIntoView({{ block: 'center', behavior: 'instant' }});
               const box = element.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        );
        let at = self.evaluate(&expression);
        let coordinate =
            |index: usize| at[index].as_f64().unwrap_or_else(|| panic!("no {selector} on the page"));
        (coordinate(0), coordinate(1))
    }

    /// Everything that the page or the browser complained of since it was opened.
    pub fn complaints(&mut self) -> Vec<String> {
        self.take_events();
        self.complaints.clone()
    }

    /// What the page asked in a dialogue; everything was answered with yes.
    pub fn questions(&mut self) -> Vec<String> {
        self.take_events();
        self.questions.clone()
    }

    fn take_events(&mut self) {
        // What was said before an answer comes before it.
        self.evaluate("0");
        let session = json!(self.session);
        for event in std::mem::take(&mut self.browser.events) {
            if event["sessionId"] != session {
                continue;
            }
            if event["method"] == "Page.javascriptDialogOpening" {
                self.questions.extend(event["params"]["message"].as_str().map(str::to_owned));
            }
            self.complaints.extend(complaint(&event));
        }
    }

    /// Fails the test if anything was complained of.
    pub fn expect_no_complaints(&mut self) {
        let complaints = self.complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// Saves a picture of the whole page; returns where it is.
    pub fn save_picture(&mut self, name: &str) -> PathBuf {
        let picture =
            self.call("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true}));
        let file = screenshots().join(format!("{name}.png"));
        let bytes = picture["data"]
            .as_str()
            .map(|data| base64::Engine::decode(&base64::prelude::BASE64_STANDARD, data));
        let Some(Ok(bytes)) = bytes else { panic!("the picture {name} is no base64") };
        std::fs::write(&file, bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        file
    }

    /// Sends a command to this page.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.try_call(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&mut self, method: &str, parameters: Value) -> Result<Value, String> {
        self.browser.try_call(Some(&self.session), method, parameters)
    }
}

impl Drop for Tab<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let context = json!({"browserContextId": self.context});
            self.browser.call(None, "Target.disposeBrowserContext", context);
        }
    }
}

/// What went wrong, if an event tells of something that did.
fn complaint(event: &Value) -> Option<String> {
    let parameters = &event["params"];
    let is_bad = |level: &Value| matches!(level.as_str(), Some("error" | "warning" | "assert"));
    match event["method"].as_str()? {
        "Log.entryAdded" if is_bad(&parameters["entry"]["level"]) => {
            let entry = &parameters["entry"];
            Some(format!("{} {}", entry["text"], entry["url"]))
        }
        "Runtime.consoleAPICalled" if is_bad(&parameters["type"]) => Some(parameters["args"].to_string()),
        "Runtime.exceptionThrown" => Some(parameters["exceptionDetails"].to_string()),
        _ => None,
    }
}
