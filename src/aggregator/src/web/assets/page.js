// Draws the state that the server sends, and counts on between two states. Every text is set as text, never as markup:
// names of devices come from strangers.
"use strict";

/// The state shown, and when it came on this browser's own clock.
let state = null;
let cameAt = 0;
const MOVES_MAX = 8;

function hue(element, degrees) {
  element.classList.toggle("has-hue", degrees !== null);
  if (degrees !== null) element.style.setProperty("--hue", degrees);
}

// ---- time ----

/// The server's present, in its own milliseconds.
function nowMs() {
  return state.now_ms + (performance.now() - cameAt) * state.speed;
}

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// "14:03", with the day before it if that is not today, in the house's time zone whatever the browser's.
function clock(time) {
  const [day, rest] = [time.text.slice(0, 10), time.text.slice(11, 16)];
  const days = Math.round((Date.parse(state.now.slice(0, 10)) - Date.parse(day)) / 86_400_000);
  if (days === 0) return rest;
  if (days === 1) return `yesterday ${rest}`;
  return days < 7 ? `${WEEKDAYS[new Date(Date.parse(day)).getUTCDay()]} ${rest}` : `${day} ${rest}`;
}

/// An element that goes on counting from a point of time.
function counter(time) {
  const element = make("span", "nowrap");
  element.dataset.since = time.ms;
  element.textContent = duration(nowMs() - time.ms);
  return element;
}

/// Counts on; what is shown of a lost connection stands still, as its time says.
function tick() {
  if (!state || $("link").dataset.link === "lost") return;
  const now = nowMs();
  for (const element of document.querySelectorAll("[data-since]")) {
    const text = duration(now - element.dataset.since);
    if (element.textContent !== text) element.textContent = text;
  }
}

// ---- words ----

function list(names) {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function houseSays({ state: occupied, people }) {
  if (occupied === "undecided") return "Nothing decided yet.";
  if (occupied === "empty") return "Nobody is home.";
  if (people.length === 0) return "The house counts as occupied.";
  if (people.length > 4) return `${people.length} people are home.`;
  return `${list(people)} ${people.length === 1 ? "is" : "are"} home.`;
}

function whereSays(person) {
  if (person.home === "undecided") return "Not known yet";
  if (person.home === "home" && !person.room_id && !person.home_only) return "Home";
  return person.room;
}

// ---- the parts of the page ----

function drawHouse(house) {
  $("house-says").textContent = houseSays(house);
  const because = house.because.length ? `: ${house.because.join("; ")}` : "";
  const guests = house.guests ? ` ${many(house.guests, "guest device is", "guest devices are")} here.` : "";
  const what = { occupied: "Occupied", empty: "Empty", undecided: "Undecided" }[house.state];
  $("house-since").replaceChildren(`${what} since ${clock(house.since)}, for `, counter(house.since), `${because}.${guests}`);
  const people = house.state === "empty" ? "nobody home" : list(house.people);
  document.title = people ? `${people} · WhichRoom` : "WhichRoom";
}

function drawPerson(element, person) {
  const open = element.querySelector("details")?.open ?? false;
  element.className = "card";
  element.id = `person-${person.id}`;
  element.dataset.home = person.home;
  hue(element, person.hue);

  const isRoomUnclear = person.home === "home" && !person.room_id && !person.home_only;
  const since = make("small", "", isRoomUnclear ? "room unclear, for " : "for ", counter(person.since), `, since ${clock(person.since)}`);
  const who = make("h3", "who", whyButton(person.id, person.name));
  const where = make("p", "where", whereSays(person), person.home === "undecided" ? "" : since);

  const why = make("ul", "why", ...person.because.map((text) => make("li", "", text)));
  why.setAttribute("aria-label", "Why");
  const stale = person.stale_since
    ? make("p", "stale", `Held, not seen: no access point that could tell has reported since ${clock(person.stale_since)}.`)
    : null;
  const body = [person.because.length ? why : null, stale, drawDevices(person, open), drawFoot(person)].filter(Boolean);
  element.replaceChildren(make("div", "head", who, where), make("div", "body", ...body));
}

function drawDevices(person, open) {
  if (!person.devices.length) return null;
  const lines = person.devices.map((device) => {
    const at = device.state === "present" ? "on" : "last on";
    const parts = [
      device.ap ? `${at} ${device.ap}` : "not seen yet",
      device.signal_dbm !== null && device.state === "present" ? `${device.signal_dbm} dBm` : "",
      device.decides ? "decides" : "",
    ].filter(Boolean);
    const heard = device.last_heard ? [", heard ", counter(device.last_heard), " ago"] : [];
    return make("li", "", whyButton(device.id, device.name), ` ${parts.join(", ")}`, ...heard);
  });
  const summary = make("summary", "", many(lines.length, "device", "devices"));
  summary.dataset.focus = "devices";
  const details = make("details", "devices", summary, make("ul", "", ...lines));
  details.open = open;
  return details;
}

function drawFoot(person) {
  const foot = make("p", "foot");
  if (person.home === "home" && person.room_id) {
    const bar = make("span", "bar", make("i"));
    bar.setAttribute("aria-hidden", "true");
    bar.firstChild.style.setProperty("--part", person.confidence);
    foot.append(make("span", "sure", bar, `${person.confidence} % sure`));
    if (person.home_since.ms !== person.since.ms) foot.append(make("span", "", `home since ${clock(person.home_since)}`));
  }
  if (person.truth) {
    const truth = make("span", "truth", `simulated: ${person.truth.room} ${person.truth.is_right ? "✓" : "✗"}`);
    truth.dataset.right = person.truth.is_right;
    foot.append(truth);
  }
  return foot.childNodes.length ? foot : null;
}

/// What a storey is called; rooms in the open have none.
function floorName({ floor, outdoor }) {
  if (outdoor) return "Outside";
  if (floor === null) return "Other rooms";
  return ["Basement", "Ground floor", "First floor", "Second floor", "Third floor"][floor + 1] ?? `Floor ${floor}`;
}

/// Rooms by storey as one sees them from the street: the highest first, the open last. A house without storeys has one.
function storeys(rooms) {
  if (rooms.every(({ floor }) => floor === null)) return [{ name: "", tiles: rooms }];
  const height = ({ floor, outdoor }) => (outdoor ? -1000 : floor ?? -999);
  const heights = [...new Set(rooms.map(height))].sort((one, other) => other - one);
  return heights.map((at) => rooms.filter((room) => height(room) === at)).map((tiles) => ({ name: floorName(tiles[0]), tiles }));
}

function drawRooms(rooms, people) {
  const those = (is) => people.filter(is).map((person) => person.name);
  const floors = storeys(rooms.map((room) => ({ ...room, kind: "room" })));
  const others = [
    { id: "-home", name: "Home, no room", people: those((person) => person.home === "home" && !person.room_id) },
    { id: "-away", name: "Away", people: those((person) => person.home === "away") },
    { id: "-unknown", name: "Not known yet", people: those((person) => person.home === "undecided") },
  ].filter((tile) => tile.people.length);
  if (others.length) floors.push({ name: "-", tiles: others });
  show($("floor-list"), floors, (floor) => floor.name, (element, floor) => {
    if (!element.firstChild) {
      const named = floor.name && floor.name !== "-";
      element.append(...[named ? make("h3", "", floor.name) : null, make("ul", "windows")].filter(Boolean));
    }
    show(element.querySelector("ul"), floor.tiles, (tile) => tile.id, drawTile);
  });
}

function drawTile(element, tile) {
  const isRoom = tile.kind === "room";
  const lit = isRoom && tile.people.length > 0;
  element.className = `window${lit ? " is-lit" : ""}${isRoom ? "" : " is-outside"}`;
  element.id = `room-${tile.id}`;
  if (isRoom) element.style.setProperty("--hue", tile.hue);
  element.replaceChildren(make("b", "", tile.name), make("p", tile.people.length ? "" : "unseen", list(tile.people) || "empty"));
}

const LINKS = { "reporting": "reporting", "offline": "offline", "never-seen": "never seen", "too-new": "newer than this" };

function drawAccessPoint(element, ap) {
  element.className = "ap";
  element.dataset.link = ap.link;
  const exit = ap.exit ? make("span", "exit", "way out") : null;
  const room = ap.room && ap.room !== ap.name ? make("span", "quiet", ap.room) : null;
  element.replaceChildren(make("h3", "", swatch(ap.hue), ap.name, room, exit, make("span", "state", LINKS[ap.link])));

  if (ap.radios.length) element.append(make("p", "", ap.radios.join(" · ")));
  const facts = [
    ap.link === "never-seen" ? "" : many(ap.stations, "station", "stations"),
    ap.release ? `OpenWrt ${ap.release}` : "",
    ap.version ? `agent ${ap.version}` : "",
    ap.sources.length ? `reads ${ap.sources.join(", ")}` : "",
  ].filter(Boolean);
  const heard = ap.last_live ? [`${facts.length ? ", " : ""}heard `, counter(ap.last_live), " ago"] : [];
  if (facts.length || heard.length) element.append(make("p", "", facts.join(", "), ...heard));

  const troubles = [
    ...ap.problems,
    ap.newer_version ? `agent ${ap.version} is outdated: ${ap.newer_version} is there${ap.install ? "; paste the line again" : ""}` : "",
    ap.install && !ap.newer_version ? "missing: paste the line on it again, as after an upgrade of OpenWrt" : "",
    ap.rejected ? `${many(ap.rejected, "reading was", "readings were")} dropped as unreadable${ap.last_rejected ? `, last: ${ap.last_rejected}` : ""}` : "",
    ap.duplicates ? `${many(ap.duplicates, "message", "messages")} of a second access point with this name ignored; rename one of them` : "",
    ap.gaps ? `${many(ap.gaps, "gap", "gaps")} in its events; the next table fills each` : "",
  ].filter(Boolean);
  for (const trouble of troubles) element.append(make("p", "trouble", trouble));
  if (ap.install) {
    const line = make("pre", "", ap.install);
    line.tabIndex = 0;
    line.setAttribute("aria-label", `Line to paste on ${ap.name}`);
    element.append(line);
  }
}

/// Phones make an address of their own for each network; it names no maker.
function makerOf(device) {
  return device.private_mac ? "private address" : device.vendor ?? "maker not known";
}

const KINDS = { guest: "guests", iot: "things" };

function drawUnknown(element, device) {
  const cell = (...children) => make("td", "", ...children);
  const kind = KINDS[device.kind] ? make("span", "exit", KINDS[device.kind]) : null;
  const adopt = element.querySelector("td.adopt") ?? element.appendChild(make("td", "adopt"));
  // Somebody may be choosing in this cell: it stays where it is.
  for (const old of [...element.children]) if (old !== adopt) old.remove();
  adopt.before(cell(device.host ?? "no name", " ", make("span", "quiet", makerOf(device))));
  adopt.after(
    cell(make("code", "", device.mac), device.address ? ` ${device.address}` : ""),
    cell(device.ap),
    cell(device.ssid ?? "", device.ssid && kind ? " " : "", kind),
    cell(device.signal_dbm === null ? "" : `${device.signal_dbm} dBm`),
    cell(counter(device.since)),
  );
  adopt.dataset.mac = device.mac;
  adopt.dataset.host = device.host ?? "";
  adopt.dataset.sameAs = device.same_as ?? "";
}

/// Named things of nobody's: a television, a printer.
function drawThing(element, device) {
  const where = device.ap ? ` ${device.state === "present" ? "on" : "last on"} ${device.ap}` : " not seen yet";
  element.replaceChildren(whyButton(device.id, device.name), make("span", "quiet", where));
}

function drawStrangers({ unknown, things }) {
  const strangers = unknown.filter((device) => !device.fixture);
  const fixtures = unknown.filter((device) => device.fixture);
  $("unknown").hidden = unknown.length + things.length === 0;
  $("strangers").hidden = strangers.length === 0;
  $("unknown-summary").textContent = many(strangers.length, "unknown device", "unknown devices");
  show($("unknown-list"), strangers, (device) => `${device.mac} ${device.ap}`, drawUnknown);
  $("fixtures").hidden = fixtures.length + things.length === 0;
  $("fixture-summary").textContent = many(fixtures.length + things.length, "thing that stays", "things that stay");
  show($("thing-list"), things, (device) => device.id, drawThing);
  $("fixture-table").hidden = fixtures.length === 0;
  show($("fixture-list"), fixtures, (device) => `${device.mac} ${device.ap}`, drawUnknown);
}

function personExample(unknown) {
  const mac = unknown[0]?.mac ?? "02:00:00:00:00:01";
  return `[[person]]\nname = "Anna"\ndevices = [{ name = "Anna's phone", macs = ["${mac}"] }]`;
}

/// Moves since this page was opened; a screen reader says them, and nothing else of what changes all the time.
function noteMoves(before, after) {
  const rooms = new Map(before.people.map((person) => [person.id, whereSays(person)]));
  for (const person of after.people) {
    const [from, to] = [rooms.get(person.id), whereSays(person)];
    if (from === undefined || from === to) continue;
    const log = $("move-list");
    const what = { away: "left", home: from === "Away" ? "came home" : "went" }[person.home] ?? "is";
    const line = person.home === "away" ? `${person.name} left` : `${person.name} ${what}: ${from} → ${to}`;
    const time = make("time", "", after.now.slice(11, 19));
    log.prepend(make("li", "", time, make("span", "", line)));
    while (log.childElementCount > MOVES_MAX) log.lastElementChild.remove();
    $("moves").hidden = false;
  }
}

function draw(next) {
  const before = state;
  state = next;
  cameAt = performance.now();
  drawHouse(next.house);

  $("problems").hidden = next.problems.length === 0;
  show($("problem-list"), next.problems, (problem) => `${problem.ap} ${problem.text}`, (element, problem) => {
    const giveUp = problem.give_up ? giveUpButton(problem) : null;
    element.replaceChildren(...[problem.ap ? make("b", "", problem.ap) : null, problem.text, giveUp].filter(Boolean));
  });

  const hasReported = next.access_points.some((ap) => ap.link !== "never-seen");
  $("start").hidden = hasReported || !next.next_step;
  $("next-step").textContent = next.next_step;

  show($("person-list"), next.people, (person) => person.id, drawPerson);
  $("no-people").hidden = next.people.length > 0;
  $("person-example").textContent = personExample(next.unknown);

  $("rooms").hidden = next.rooms.length === 0;
  drawRooms(next.rooms, next.people);

  $("aps").hidden = next.access_points.length === 0;
  show($("ap-list"), next.access_points, (ap) => ap.id, drawAccessPoint);

  drawStrangers(next);

  if (before) noteMoves(before, next);
  else openTarget();
  tick();
  document.dispatchEvent(new CustomEvent("whichroom-state", { detail: next }));
}

/// The address may name a person or room (#person-anna); what it names exists only now.
function openTarget() {
  const target = location.hash.length > 1 ? $(decodeURIComponent(location.hash.slice(1))) : null;
  if (target) {
    target.scrollIntoView();
    location.replace(location.hash);
  }
}

// ---- commands ----

/// For an access point that is not coming back.
function giveUpButton({ ap, give_up: id }) {
  const button = make("button", "plain give-up", "Do not wait for it");
  button.type = "button";
  button.addEventListener("click", async () => {
    if (!confirm(`Decide without ${ap} until it reports again? Whoever left past it can then be away.`)) return;
    try {
      await command("give-up-ap", { ap: id });
    } catch (error) {
      button.replaceWith(make("span", "trouble", error.message));
    }
  });
  return button;
}

// ---- why ----

/// The person or device that is being explained; null when nothing is.
let asked = null;
const WHY_EVERY_MS = 5_000;

/// A name that opens its explanation.
function whyButton(id, name) {
  const button = make("button", "plain", name);
  button.type = "button";
  button.title = `Why? What is known of ${name}`;
  button.dataset.focus = `why-${id}`;
  button.addEventListener("click", () => openWhy(id, name));
  return button;
}

function openWhy(id, name) {
  asked = id;
  $("why-title").textContent = name;
  $("why-body").replaceChildren(make("p", "quiet", "Asking …"));
  $("why").showModal();
  explain(id);
}

async function explain(id) {
  let answer;
  try {
    answer = await command("explain", { id });
  } catch (error) {
    // A browser's own words about a lost connection say nothing to anybody.
    const lost = error instanceof TypeError;
    answer = { error: lost ? "The aggregator does not answer; what was said before may be old." : error.message };
  }
  if (asked !== id) return;
  if (answer.error) {
    $("why-body").querySelector(".stale")?.remove();
    $("why-body").prepend(make("p", "stale", answer.error));
  } else {
    drawWhy(answer);
  }
}

function drawWhy({ state: says, because, sections }) {
  const lines = (texts) => make("ul", "", ...texts.map((text) => make("li", "", text)));
  const parts = sections.flatMap(({ title, lines: texts }) => [make("h3", "", title), lines(texts)]);
  $("why-body").replaceChildren(make("p", "says", says), lines(because), ...parts);
}

$("why-close").addEventListener("click", () => $("why").close());
// A click beside it closes it.
$("why").addEventListener("click", (event) => event.target === $("why") && $("why").close());
$("why").addEventListener("close", () => {
  // The button may have been drawn anew meanwhile.
  document.querySelector(`[data-focus="why-${asked}"]`)?.focus();
  asked = null;
});
setInterval(() => {
  // Text that is being copied stays.
  if (asked && document.getSelection().isCollapsed) explain(asked);
}, WHY_EVERY_MS);

setInterval(tick, 1_000);
follow(draw);
