// What every page needs: finding and making elements, asking the server, and following what it says. Loaded before the
// pages' own scripts.
// Every text is set as text, never as markup: names of devices come from strangers.
"use strict";

const $ = (id) => document.getElementById(id);

/// An element with a class and children; strings become text.
function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

function many(count, one, more) {
  return `${count} ${count === 1 ? one : more}`;
}

/// Asks the server; what it refuses is an error in its words.
async function ask(path, options) {
  const response = await fetch(`api/${path}`, options);
  if (response.status === 401) signInFirst();
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `the server answers ${response.status}`);
  return answer;
}

/// The session is over, or never was: back here once there is one.
function signInFirst() {
  const page = location.pathname.split("/").pop();
  location.assign(`sign-in${page ? `?to=${page}` : ""}${location.hash}`);
}

/// Who came over the network may sign out again.
ask("session").then(({ by }) => {
  if (!by) return signInFirst();
  $("signed-in").hidden = by !== "session";
  const signOut = (what) => command("sign-out", what).then(signInFirst, () => {});
  $("sign-out").addEventListener("click", () => signOut({}));
  $("sign-out-all").addEventListener("click", () => signOut({ everywhere: true }));
}, () => {});

/// Sends a command.
function command(name, body) {
  const headers = { "Content-Type": "application/json" };
  return ask(name, { method: "POST", headers, body: JSON.stringify(body) });
}

/// Makes the children of `list` show `items`, one each: kept ones keep their place in the page, so that focus and what
/// is unfolded survive. `key` names an item, `draw(element, item)` fills an element and is called when its item changed;
/// what had the focus in it has it again if it has a `data-focus` of its own.
function show(list, items, key, draw) {
  const old = new Map([...list.children].map((element) => [element.dataset.key, element]));
  let next = list.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let element = old.get(name);
    old.delete(name);
    if (!element) {
      element = document.createElement(list.tagName === "TBODY" ? "tr" : "li");
      element.dataset.key = name;
    }
    if (element === next) next = next.nextElementSibling;
    else list.insertBefore(element, next);
    const text = JSON.stringify(item);
    if (element.dataset.drawn === text) continue;
    element.dataset.drawn = text;
    const focus = element.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    draw(element, item);
    if (focus) element.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
  }
  for (const element of old.values()) element.remove();
}

function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  const min = Math.floor(s / 60);
  if (min < 60) return `${min} min`;
  const h = Math.floor(min / 60);
  if (h < 48) return `${h} h ${String(min % 60).padStart(2, "0")} min`;
  return `${Math.floor(h / 24)} days`;
}

/// A square in the colour of a room; grey if it has none.
function swatch(hue) {
  const square = make("span", "swatch");
  square.setAttribute("aria-hidden", "true");
  if (hue !== null && hue !== undefined) square.style.setProperty("--hue", hue);
  return square;
}

// ---- the connection ----

/// Without a word from the server for this long the connection is taken for dead, whatever the browser believes.
const SILENCE_MS = 40_000;

/// Says on top of the page whether what it shows is the present; `from` is when it is from, as text.
function isLinked(live, from) {
  const link = $("link");
  const now = live ? "live" : "lost";
  if (link.dataset.link === now) return;
  link.dataset.link = now;
  document.body.classList.toggle("is-lost", !live);
  $("link-text").textContent = live ? "live" : `Connection lost, trying again.${from ? ` This is from ${from.slice(11, 19)}.` : ""}`;
}

/// Hands every state that the server sends to `draw`, and mends the connection for as long as the page is open.
function follow(draw) {
  let [events, heardAt, from] = [null, 0, ""];
  const open = () => {
    events?.close();
    events = new EventSource("api/events");
    heardAt = performance.now();
    events.addEventListener("state", (event) => {
      heardAt = performance.now();
      let next;
      try {
        next = JSON.parse(event.data);
      } catch {
        return;
      }
      isLinked(true);
      // Before its first decision the server has nothing to show.
      if (!next.house) return;
      from = next.now;
      $("site").textContent = next.simulated ? "demonstration" : next.site === "home" ? "" : next.site;
      $("version").textContent = next.version;
      if (next.simulated) $("footing").textContent = `Everything here is simulated, at ${next.speed} times the pace of life.`;
      draw(next);
    });
    events.addEventListener("error", () => {
      isLinked(false, from);
      // A refusal ends an EventSource for good; a broken connection it mends itself.
      if (events.readyState !== EventSource.CLOSED) return;
      setTimeout(open, 5_000);
      // It does not say why; asking does.
      ask("session").then(({ by }) => by || signInFirst(), () => {});
    });
  };
  setInterval(() => {
    if (performance.now() - heardAt <= SILENCE_MS) return;
    isLinked(false, from);
    open();
  }, 1_000);
  open();
}
