//! What every page owes to whoever uses it: nothing sticks out, texts can be told from what is behind them, everything
//! has a name, and all of it is reached with the keyboard. Each check returns what is wrong, in words.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Tab;

/// What may have the focus, and is to be seen.
const REACHABLE: &str = "[...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex=\"0\"]')]
    .filter((element) => !element.disabled && element.checkVisibility({ visibilityProperty: true }) && !element.closest('[inert]'))";

/// Tells an element from others, for whoever reads a failure.
const NAME: &str = "(element) => `${element.tagName.toLowerCase()}${element.id ? '#' + element.id : ''} ${(element.textContent || element.ariaLabel || element.name || '').trim().slice(0, 40)}`";

/// Every text that is less distinct from what is behind it than WCAG's AA asks for: 4.5 to 1, and 3 to 1 if it is large.
const INDISTINCT: &str = r"(() => {
    const context = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
    const rgba = (colour) => {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
    const behind = (element) => {
        const layers = [];
        for (let at = element; at; at = at.parentElement) {
            const colour = rgba(getComputedStyle(at).backgroundColor);
            if (colour[3] > 0) layers.push(colour);
            if (colour[3] === 1) break;
        }
        return layers.reverse().reduce((below, above) => over(above, below), [255, 255, 255, 1]);
    };
    const linear = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const element = node.parentElement;
        if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
        if (element.closest('option, script, noscript, .unseen, .skip, :disabled')) continue;
        const style = getComputedStyle(element);
        const ground = behind(element);
        const [a, b] = [light(over(rgba(style.color), ground)), light(ground)];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} to 1: ${node.data.trim().slice(0, 60)}`);
    }
    return [...new Set(found)];
})()";

/// What sticks out of the page at its right.
const STICKING_OUT: &str = r"(() => {
    const wide = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= wide) return [];
    const name = (element) => `${element.tagName.toLowerCase()}${element.id ? '#' + element.id : ''}.${element.className} to ${Math.round(element.getBoundingClientRect().right)} of ${wide}`;
    return [...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > wide + 0.5).map(name).slice(0, 12);
})()";

/// Texts that are cut off without a sign of it, or run over their neighbours.
const CUT_OFF: &str = r"(() => [...document.querySelectorAll('h1, h2, h3, p, li, td, th, a, button, label, small, summary')]
    .filter((element) => element.checkVisibility() && !element.closest('.scroll, pre, .unseen, .skip') && !element.classList.contains('unseen'))
    .filter((element) => element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== 'inline' && getComputedStyle(element).textOverflow !== 'ellipsis')
    .map((element) => `${element.tagName.toLowerCase()} ${element.textContent.trim().slice(0, 50)}`))()";

const CONTROLS: [&str; 14] = [
    "button",
    "link",
    "textbox",
    "combobox",
    "checkbox",
    "radio",
    "slider",
    "listbox",
    "searchbox",
    "switch",
    "spinbutton",
    "tab",
    "menuitem",
    "DisclosureTriangle",
];

impl Tab<'_> {
    /// All that is wrong with how the page is laid out, coloured and named.
    pub fn audit(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        for (what, expression) in
            [("sticks out", STICKING_OUT), ("is cut off", CUT_OFF), ("is hard to read", INDISTINCT)]
        {
            let said = self.evaluate(expression);
            found.extend(said.as_array().into_iter().flatten().map(|said| format!("{what}: {said}")));
        }
        found.extend(self.unnamed());
        found.extend(self.disordered_headings());
        found.extend(self.bare_tables());
        found
    }

    /// Controls without a name, as the browser tells a screen reader.
    fn unnamed(&mut self) -> Vec<String> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        assert!(nodes.len() > 10, "the page has no accessibility tree");
        let is_ignored = |node: &Value| node["ignored"] == json!(true);
        let role = |node: &Value| node["role"]["value"].as_str().unwrap_or_default().to_owned();
        let is_control = |node: &&Value| !is_ignored(node) && CONTROLS.contains(&role(node).as_str());
        let is_nameless =
            |node: &&Value| node["name"]["value"].as_str().is_none_or(|name| name.trim().is_empty());
        let nameless = nodes.iter().filter(is_control).filter(is_nameless);
        let mut found: Vec<String> = nameless.map(|node| format!("a {} has no name", role(node))).collect();
        // Behind an open dialogue there is nothing.
        if self.evaluate("Boolean(document.querySelector('dialog[open]'))") == json!(true) {
            return found;
        }
        for landmark in ["banner", "main", "contentinfo", "navigation"] {
            let count = nodes.iter().filter(|node| !is_ignored(node) && role(node) == landmark).count();
            let is_needed = landmark == "main";
            if count > 1 || (is_needed && count == 0) {
                found.push(format!("the page has {count} landmarks {landmark}"));
            }
        }
        found
    }

    /// Headings that skip a level, and pages with another number of first headings than one.
    fn disordered_headings(&mut self) -> Vec<String> {
        let headings = "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter((h) => h.checkVisibility() || h.classList.contains('unseen'))
            .map((h) => [Number(h.tagName[1]), h.textContent])";
        let headings = self.evaluate(headings);
        let headings: Vec<(u64, &str)> = headings
            .as_array()
            .into_iter()
            .flatten()
            .map(|heading| (heading[0].as_u64().unwrap_or(0), heading[1].as_str().unwrap_or_default()))
            .collect();
        let mut found = Vec::new();
        let firsts = headings.iter().filter(|(level, _)| *level == 1).count();
        if firsts != 1 {
            found.push(format!("the page has {firsts} first headings"));
        }
        let pairs = headings.iter().zip(headings.iter().skip(1));
        let skips = pairs.filter(|((before, _), (level, _))| *level > before + 1);
        found.extend(skips.map(|(_, (level, text))| format!("heading {text:?} of level {level} skips one")));
        let empty = headings.iter().filter(|(_, text)| text.trim().is_empty());
        found.extend(empty.map(|(level, _)| format!("an empty heading of level {level}")));
        found
    }

    /// Tables without headers, or whose headers say not of what.
    fn bare_tables(&mut self) -> Vec<String> {
        let tables = "[...document.querySelectorAll('table')].filter((table) => ![...table.querySelectorAll('th')].some((th) => th.scope)
            || [...table.querySelectorAll('th')].some((th) => !th.scope || !th.textContent.trim())).map((table) => table.outerHTML.slice(0, 120))";
        let found = self.evaluate(tables);
        found
            .as_array()
            .into_iter()
            .flatten()
            .map(|table| format!("a table without headers: {table}"))
            .collect()
    }

    /// Walks through the page with the Tab key. Returns what is not reached, and what does not show that it has the
    /// focus.
    pub fn walk(&mut self) -> Vec<String> {
        self.evaluate("document.activeElement?.blur(); window.scrollTo(0, 0)");
        let all = self.evaluate(&format!(
            "{REACHABLE}.map((element, n) => {{ element.dataset.walk = n; return ({NAME})(element); }})"
        ));
        let all: Vec<String> = all
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        let here = format!(
            "(() => {{ const element = document.activeElement; if (!element || element === document.body) return null;
               const style = getComputedStyle(element);
               const seen = element.matches(':focus-visible') && (style.outlineStyle === 'auto' || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2));
               const box = element.getBoundingClientRect();
               return {{ n: element.dataset.walk ?? null, name: ({NAME})(element), seen, on: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth }}; }})()"
        );
        let mut reached = BTreeSet::new();
        let mut found = Vec::new();
        // It may begin in the middle, where something has the focus by itself, and goes on from the end at the top.
        let mut ends = 0;
        // Some elements come and go while the page lives.
        for _ in 0..2 * all.len() + 10 {
            self.press("Tab");
            let at = self.evaluate(&here);
            if at.is_null() {
                ends += 1;
                if ends == 2 {
                    break;
                }
                continue;
            }
            let name = at["name"].as_str().unwrap_or_default();
            if at["seen"] != json!(true) {
                found.push(format!("the focus is not seen on {name}"));
            }
            if at["on"] != json!(true) {
                found.push(format!("the focus is outside of the window on {name}"));
            }
            let number = at["n"].as_str().and_then(|n| n.parse::<usize>().ok());
            if number.is_some_and(|number| !reached.insert(number)) {
                break;
            }
        }
        let gone = self.evaluate(
            "[...document.querySelectorAll('[data-walk]')].map((element) => Number(element.dataset.walk))",
        );
        let still: BTreeSet<usize> = gone
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok()))
            .collect();
        let missed = all.iter().enumerate().filter(|(n, _)| still.contains(n) && !reached.contains(n));
        found.extend(missed.map(|(_, name)| format!("Tab does not reach {name}")));
        found
    }
}
