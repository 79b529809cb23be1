// The pages on roaming: timeline, one device, access points, advice. Asks the server for a stretch of time and draws
// it. Every text is set as text, never as markup: names of devices come from strangers.
import { drawChart, drawRooms, drawTimeline, hit, sizes } from "./timeline.js";

const HOUR = 3_600_000;
const SPANS = [["1 h", HOUR], ["6 h", 6 * HOUR], ["24 h", 24 * HOUR], ["7 d", 168 * HOUR], ["30 d", 720 * HOUR]];
const SPAN_MIN = 2 * 60_000;
const SPAN_MAX = 90 * 24 * HOUR;
const REFRESH_MS = 10_000;

let state = null;
let cameAt = 0;
/// What is shown; `follows` the present until somebody looks elsewhere.
let view = { from: 0, to: 0, follows: true, span: 24 * HOUR };
let timeline = null;
let advised = 24 * HOUR;

const nowMs = () => Date.parse(state.now) + (performance.now() - cameAt) * state.speed;
/// The home's offset from UTC, whatever the browser's.
const shift = () => {
  const [, sign, hours, minutes] = /([+-])(\d\d):(\d\d)$/.exec(state.now) ?? [null, "+", 0, 0];
  return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000;
};

function time(at, withDay = true) {
  const text = new Date(at + shift()).toISOString();
  return withDay ? `${text.slice(0, 10)} ${text.slice(11, 19)}` : text.slice(11, 19);
}

/// The day is said once.
const endOf = (begin, end) => time(end, time(begin).slice(0, 10) !== time(end).slice(0, 10));

const get = (name, parameters) => ask(`${name}?${new URLSearchParams(parameters)}`);

function trouble(error) {
  $("trouble").hidden = !error;
  $("trouble").textContent = error ? `${error.message ?? error}` : "";
}

/// The hue of an access point: its room's, as on the first page.
function hueOf(id) {
  const known = state.access_points.find((ap) => ap.id === id);
  if (known?.hue !== null && known?.hue !== undefined) return known.hue;
  return [...id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7);
}

const hueOfRoom = (id) => state.rooms.find((room) => room.id === id)?.hue ?? null;

const apName = (id) => state.access_points.find((ap) => ap.id === id)?.name ?? id;

const devices = () => [...state.people.flatMap((person) => person.devices), ...state.things];

function legend(list, entries) {
  show(list, entries, ({ name }) => name, (element, { name, hue }) => element.replaceChildren(swatch(hue), name));
}

const ofAps = (aps) => aps.map(({ id, name }) => ({ name, hue: hueOf(id) }));

// ---- timeline ----

function present() {
  view.to = nowMs();
  view.from = view.to - view.span;
  view.follows = true;
}

/// Shows another stretch; it follows the present again when it reaches it.
function move(from, span) {
  const now = nowMs();
  view.span = Math.min(SPAN_MAX, Math.max(SPAN_MIN, span));
  view.from = from;
  view.to = from + view.span;
  view.follows = view.to >= now;
  if (view.follows) present();
  drawFrame();
  loadSoon();
}

let loading = null;
function loadSoon() {
  clearTimeout(loading);
  loading = setTimeout(() => loadTimeline().catch(trouble), 120);
}

async function loadTimeline() {
  if (view.follows) present();
  // More than is shown, so that a small move shows something at once.
  const edge = view.span / 4;
  const columns = Math.ceil(($("plot").clientWidth || 1000) * 1.5);
  const asked = { from: Math.floor(view.from - edge), to: Math.ceil(view.to + edge), columns };
  const isFirst = timeline === null && !isFitted;
  isFitted = true;
  timeline = dated(await get("timeline", asked));
  trouble(null);
  if (isFirst && fit(timeline.rows.flatMap((row) => [...row.bars, ...row.merged].map(([begin]) => begin)))) return loadTimeline();
  drawFrame();
  performance.mark("timeline");
}

/// The server counts from the beginning of what was asked for; here it is the time of the day.
function dated(sent) {
  const { from, step_ms: step, rows } = sent;
  for (const { bars, merged, signal } of rows) {
    for (const bar of [...bars, ...merged]) [bar[0], bar[1]] = [bar[0] + from, bar[1] + from];
    for (const point of signal) point[0] = from + point[0] * step;
  }
  return sent;
}

/// A history that has just begun is shown as large as it is; says whether there is more to see of it then.
function fit(begins) {
  const age = view.to - begins.reduce((least, begin) => Math.min(least, begin), view.to);
  if (!begins.length || age >= view.span * 0.8) return false;
  view.span = Math.max(HOUR, age * 1.05);
  present();
  return true;
}

function drawFrame() {
  pressed($("spans"), view.span);
  if (!timeline) return;
  const plot = $("plot");
  $("timeline-empty").hidden = timeline.rows.length > 0;
  $("timeline-box").hidden = timeline.rows.length === 0;
  const sick = timeline.rows.filter((row) => row.episodes.length > 0).length;
  const says = sick ? `${many(sick, "client changes", "clients change")} too often, framed in red.` : "No client changed too often.";
  $("timeline-says").textContent = `${time(view.from)} to ${time(view.to)}, ${many(timeline.rows.length, "client", "clients")}. ${says}`;
  show($("clients"), timeline.rows.map(labelled), ({ mac }) => mac, drawLabel);
  legend($("legend"), ofAps(timeline.aps));
  const hues = timeline.aps.map(({ id }) => hueOf(id));
  drawTimeline($("canvas"), timeline, view, { width: plot.clientWidth, shift: shift(), hueOf: (ap) => hues[ap] });
  document.documentElement.dataset.drawn = "timeline";
}

/// What stands beside a row.
function labelled({ name, mac, roams, fast: { fast, full }, episodes }) {
  const thrash = episodes.reduce((sum, episode) => sum + episode.changes, 0);
  const share = fast + full ? `, ${Math.round((100 * fast) / (fast + full))} % fast` : "";
  const sick = episodes.length > 0;
  const says = sick ? `${thrash} changes in ${many(episodes.length, "episode", "episodes")}` : `${many(roams, "change", "changes")}${share}`;
  return { name, mac, sick, says };
}

function drawLabel(element, { name, mac, sick, says }) {
  const link = make("a", "", name);
  link.href = `#device=${mac}`;
  link.title = name;
  link.dataset.focus = mac;
  element.replaceChildren(link, make("small", sick ? "sick" : "", says));
}

const WORDS = {
  "fast-transition": "fast transition", "full": "full handshake", "unknown": "not known", "roamed": "roamed", "reassociated": "associated anew",
  "left": "left", "sent-away": "sent away", "poll-failed": "did not answer", "ap-restarted": "access point restarted", "bss-lost": "radio went off",
  "thrashing": "thrashing", "same-ap-flapping": "flapping on one access point", "slow-ping-pong": "slow ping-pong",
};
const word = (name) => WORDS[name] ?? name;

function showTip(event) {
  const box = $("plot").getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  const found = timeline ? hit(timeline, view, { x, y, width: box.width }) : { row: null };
  $("tip").hidden = !found.row;
  if (!found.row) return;
  const lines = [`${found.row.name}, ${time(found.at)}`];
  if (found.merged) {
    const [begin, end, count, shares] = found.merged;
    lines.push(`${count} associations in ${duration(end - begin)}; zoom in to see each`, ...shares.map(([ap, ms]) => `${timeline.aps[ap].name}: ${duration(ms)}`));
  } else if (found.bar) {
    const [begin, end, ap, began, ended] = found.bar;
    lines.push(`${timeline.aps[ap].name}, for ${duration(end - begin)}`, `began: ${word(began)}; ${ended ? `ended: ${word(ended)}` : "lasts"}`);
  } else {
    lines.push("not associated");
  }
  if ((found.bar || found.merged) && found.point) lines.push(`signal ${found.point[3]} dBm (${found.point[2]} to ${found.point[4]})`);
  if (found.episode) lines.push(`${word(found.episode.kind)}: ${found.episode.changes} changes`);
  $("tip").textContent = lines.join("\n");
  const left = Math.min(Math.max(0, x + 14), Math.max(0, box.width - $("tip").offsetWidth - 4));
  $("tip").style.left = `${left}px`;
  $("tip").style.top = `${Math.min(y + 16, Math.max(sizes().axis, box.height - $("tip").offsetHeight - 4))}px`;
}

/// Two fingers: what was under each stays there.
function pinch({ from, span }, before, after) {
  const box = $("plot").getBoundingClientRect();
  const apart = ([one, other]) => Math.max(16, Math.abs(one - other));
  const share = (xs) => ((xs[0] + xs[1]) / 2 - box.left) / box.width;
  const wide = Math.min(SPAN_MAX, Math.max(SPAN_MIN, (span * apart(before)) / apart(after)));
  move(from + share(before) * span - share(after) * wide, wide);
}

function zoom(factor, share = 0.5) {
  const span = Math.min(SPAN_MAX, Math.max(SPAN_MIN, view.span * factor));
  move(view.from + (view.span - span) * share, span);
}

function listen() {
  const plot = $("plot");
  /// Fingers and mouse buttons that are down, and what was shown when the last came or went.
  const down = new Map();
  let began = null;
  const begin = () => { began = { ...view, points: [...down.values()] }; };
  plot.addEventListener("pointerdown", (event) => {
    down.set(event.pointerId, event.clientX);
    plot.setPointerCapture(event.pointerId);
    begin();
    if (down.size === 1) showTip(event);
    else $("tip").hidden = true;
  });
  plot.addEventListener("pointermove", (event) => {
    if (!down.has(event.pointerId)) return showTip(event);
    down.set(event.pointerId, event.clientX);
    const [[from, other], [to, otherTo]] = [began.points, [...down.values()]];
    if (down.size === 2) return pinch(began, [from, other], [to, otherTo]);
    if (Math.abs(to - from) <= 3) return;
    $("tip").hidden = true;
    move(began.from - ((to - from) / plot.clientWidth) * view.span, view.span);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    plot.addEventListener(name, (event) => {
      down.delete(event.pointerId);
      begin();
    });
  }
  // A finger that is lifted leaves, too; what it asked for stays to be read.
  plot.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") $("tip").hidden = true; });
  plot.addEventListener("wheel", (event) => {
    // The page scrolls as ever; with Ctrl or sideways the timeline moves.
    if (!event.ctrlKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
    event.preventDefault();
    const box = plot.getBoundingClientRect();
    if (event.ctrlKey) zoom(event.deltaY > 0 ? 1.25 : 0.8, (event.clientX - box.left) / box.width);
    else move(view.from + (event.deltaX / box.width) * view.span, view.span);
  }, { passive: false });
  plot.addEventListener("keydown", (event) => {
    const act = {
      ArrowLeft: () => move(view.from - view.span / 6, view.span),
      ArrowRight: () => move(view.from + view.span / 6, view.span),
      "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2),
      Home: () => { present(); drawFrame(); loadSoon(); },
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  $("earlier").addEventListener("click", () => move(view.from - view.span / 2, view.span));
  $("later").addEventListener("click", () => move(view.from + view.span / 2, view.span));
  $("nearer").addEventListener("click", () => zoom(0.5));
  $("farther").addEventListener("click", () => zoom(2));
  $("present").addEventListener("click", () => { present(); drawFrame(); loadSoon(); });
  spanButtons($("spans"), (span) => move(view.follows ? nowMs() - span : view.to - span, span));
  spanButtons($("device-spans"), (span) => { present(); view.span = span; loadDevice().catch(trouble); });
  spanButtons($("advice-spans"), (span) => { advised = span; loadAdvice().catch(trouble); });
  $("note-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const { noted } = await command("note", { text: $("note-text").value });
      $("note-says").textContent = `Noted: ${noted}. Advice compares before and after.`;
      $("note-text").value = "";
      setTimeout(loadSoon, 6_000);
    } catch (error) {
      $("note-says").textContent = error.message;
    }
  });
  new ResizeObserver(() => (current() === "device" ? loadDevice().catch(trouble) : drawFrame())).observe(document.body);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => open());
}

function spanButtons(group, choose) {
  group.replaceChildren(...SPANS.map(([text, span]) => {
    const button = make("button", "", text);
    button.type = "button";
    button.value = span;
    button.addEventListener("click", () => choose(span));
    return button;
  }));
}

function pressed(group, span) {
  for (const button of group.children) button.setAttribute("aria-pressed", String(Number(button.value) === span));
}

// ---- one device ----

const deviceMac = () => decodeURIComponent(location.hash.slice("#device=".length));

/// Whether the stretch shown was chosen already, by the timeline or by somebody.
let isFitted = false;

async function loadDevice() {
  const mac = deviceMac();
  pressed($("device-spans"), view.span);
  if (view.follows) present();
  const range = { from: Math.floor(view.from), to: Math.ceil(view.to) };
  const followed = await get("device", { ...range, mac });
  if (current() !== "device" || deviceMac() !== mac) return;
  trouble(null);
  if (!isFitted) {
    isFitted = true;
    if (view.follows && fit(followed.bars.map(([begin]) => begin))) return loadDevice();
  }
  const known = devices().find((device) => device.name === followed.name);
  $("device-title").textContent = followed.name ?? mac;
  document.title = `${followed.name ?? mac} · WhichRoom`;
  $("device-says").textContent = `${time(range.from)} to ${time(range.to)}, ${many(followed.bars.length, "association", "associations")}.`;
  const silences = silencesOf(followed, Math.min(range.to, nowMs()));
  drawDeviceRooms(followed.likely, silences, range);
  legend($("chart-legend"), ofAps(followed.aps));
  const hues = followed.aps.map(({ id }) => hueOf(id));
  drawChart($("chart-canvas"), followed.signals, silences, range, { width: $("chart").clientWidth, shift: shift(), hueOf: (ap) => hues[ap] });
  saySilences(silences);
  const bars = followed.bars.toReversed().slice(0, 200).map(([begin, end, ap, began, ended]) =>
    [[followed.aps[ap].name], [time(begin), "wide"], [ended ? endOf(begin, end) : "now"], [duration(end - begin)], [word(began)], [ended ? word(ended) : "lasts"]]);
  $("device-bars").replaceChildren(bars.length === 0 ? make("p", "quiet", "None in this stretch of time.") : stackedTable("Associations", ["Access point", "From", "To", "For", "Began by", "Ended"], bars));
  await drawWhy(known?.id);
  document.documentElement.dataset.drawn = "device";
}

/// The rooms as a band, and in words for whoever does not see it.
function drawDeviceRooms(likely, silences, range) {
  const until = Math.min(range.to, nowMs());
  const parts = likely.map(([at, rooms], index) => ({ begin: Math.max(at, range.from), end: Math.min(likely[index + 1]?.[0] ?? until, until), rooms }));
  const shown = parts.filter(({ begin, end, rooms }) => begin < end && rooms.length);
  const total = shown.reduce((sum, { begin, end }) => sum + end - begin, 0);
  const shares = new Map();
  for (const { begin, end, rooms } of shown) {
    for (const [room, percent] of rooms) shares.set(room, (shares.get(room) ?? 0) + ((end - begin) * percent) / 100);
  }
  const ranked = [...shares].sort(([, one], [, other]) => other - one);
  const named = (room) => state.rooms.find(({ id }) => id === room)?.name ?? room;
  $("rooms-chart").hidden = $("rooms-legend").hidden = shown.length === 0;
  $("device-rooms").textContent = shown.length
    ? `By likelihood, of ${duration(total)}: ${ranked.filter(([, ms]) => ms * 100 >= total).slice(0, 5).map(([room, ms]) => `${named(room)} ${Math.round((100 * ms) / total)} %`).join(", ")}. Paler: silent, the room is held.`
    : "No rooms are kept of it in this stretch of time.";
  legend($("rooms-legend"), ranked.map(([room]) => ({ name: named(room), hue: hueOfRoom(room) })));
  drawRooms($("rooms-canvas"), shown, silences, range, { width: $("rooms-chart").clientWidth, shift: shift(), hueOf: hueOfRoom });
}

/// Stretches of five minutes or more without a word while it was associated: how long it sleeps.
function silencesOf({ bars, signals }, until) {
  const minutes = signals.filter(([, , hearing]) => hearing === "associated").map(([minute]) => minute).sort((a, b) => a - b);
  // One may last.
  if (minutes.length && bars.some(([, , , , ended]) => !ended)) minutes.push(until);
  const silences = [];
  for (let index = 1; index < minutes.length; index++) {
    const [begin, end] = [minutes[index - 1] + 60_000, minutes[index]];
    if (end - begin < 5 * 60_000) continue;
    if (bars.some(([from, to, , , ended]) => from <= begin && (!ended || end <= to + 60_000))) silences.push({ begin, end });
  }
  return silences;
}

function saySilences(silences) {
  const longest = silences.toSorted((one, other) => other.end - other.begin - (one.end - one.begin)).slice(0, 3);
  $("device-silences").textContent = silences.length
    ? `${many(silences.length, "silence", "silences")} of five minutes or more while associated; the longest: ${longest.map(({ begin, end }) => `${duration(end - begin)} from ${time(begin)}`).join(", ")}.`
    : "No silence of five minutes or more while it was associated.";
}

async function drawWhy(id) {
  const body = $("device-why");
  if (!id) return body.replaceChildren(make("p", "quiet", "No configuration names this device, or only home or away is to be known of its owner: nothing is explained."));
  const { state: says, because, sections } = await command("explain", { id });
  const lines = (texts) => make("ul", "why", ...texts.map((text) => make("li", "", text)));
  const all = body.querySelector("details") ?? make("details", "", make("summary", "", "All that is known of it"), make("div", ""));
  all.lastChild.replaceChildren(...sections.flatMap(({ title, lines: texts }) => [make("h3", "", title), lines(texts)]));
  if (!all.parentElement) body.replaceChildren(make("div", ""), all);
  body.firstChild.replaceChildren(make("p", "", says), lines(because));
}

/// A table whose rows become cards where there is no room for columns; the roles say what it is then, too. A cell is
/// text and its class.
function stackedTable(label, columns, rows) {
  const part = (tag, role, name, ...children) => {
    const element = make(tag, name, ...children);
    element.setAttribute("role", role);
    return element;
  };
  const th = (text) => {
    const cell = part("th", "columnheader", "", text);
    cell.scope = "col";
    return cell;
  };
  const td = ([text, name], index) => {
    const cell = part("td", "cell", name, text);
    cell.dataset.column = columns[index];
    return cell;
  };
  const tr = (cells) => part("tr", "row", "", ...cells);
  const table = part("table", "table", "stacked", part("thead", "rowgroup", "", tr(columns.map(th))), part("tbody", "rowgroup", "", ...rows.map((cells) => tr(cells.map(td)))));
  table.setAttribute("aria-label", label);
  return table;
}

// ---- access points ----

let radios = [];

async function loadAccessPoints() {
  const now = nowMs();
  radios = await get("radios", { from: Math.floor(now - 24 * HOUR), to: Math.ceil(now) });
  trouble(null);
  drawAccessPoints();
  document.documentElement.dataset.drawn = "access-points";
}

/// How many are on it, and those that have a name.
function clientsOf({ name, stations }) {
  const named = devices().filter((device) => device.state === "present" && device.ap === name).map((device) => device.name);
  return `${many(stations, "client", "clients")}${named.length ? ` (${named.join(", ")})` : ""}`;
}

function drawAccessPoints() {
  $("aps-empty").hidden = state.access_points.length > 0;
  const items = state.access_points.map((ap) => ({
    id: ap.id, name: ap.name, hue: hueOf(ap.id), link: ap.link, problems: ap.problems,
    health: [ap.link.replace("-", " "), clientsOf(ap), ap.release ? `OpenWrt ${ap.release}` : "", ap.version ? `agent ${ap.version}` : "",
      ap.sources.length ? `reads ${ap.sources.join(", ")}` : ""].filter(Boolean).join(", "),
    radios: radios.filter((radio) => radio.ap === ap.id).map((radio) => ({ ...radio, at: null })),
  }));
  show($("aps"), items, ({ id }) => id, (element, ap) => {
    element.className = "finding";
    const troubles = ap.problems.map((text) => make("p", "off", text));
    element.replaceChildren(...[make("h2", "legend", swatch(ap.hue), ap.name), make("p", "quiet", ap.health), ...troubles, ap.radios.length ? radioTable(ap) : null].filter(Boolean));
  });
}

const band = (mhz) => (mhz < 3000 ? "2.4 GHz" : mhz < 5925 ? "5 GHz" : mhz < 8000 ? "6 GHz" : "60 GHz");

const RADIO_COLUMNS = ["Network", "Channel", "Width", "Power", "Noise", "Busy", "802.11k", "802.11v", "802.11r"];

/// On a phone each row stands by itself, with the columns' names in it.
function radioTable({ name, radios }) {
  const unit = (value, text) => [value === null ? "?" : `${value}${text}`];
  const flag = (value) => (value === null ? ["?", "quiet"] : value ? ["on", "ok"] : ["off", "off"]);
  const rows = radios.map((radio) => [
    [`${radio.ssid ?? "?"} (${radio.ifname})${radio.enabled ? "" : ", off"}`],
    [radio.channel === null ? "?" : `${radio.channel}${radio.freq_mhz ? `, ${band(radio.freq_mhz)}` : ""}`],
    unit(radio.width_mhz, " MHz"), unit(radio.txpower_dbm, " dBm"), unit(radio.noise_dbm, " dBm"),
    [radio.utilization_permille === null ? "?" : `${Math.round(radio.utilization_permille / 10)} %`],
    flag(radio.rrm), flag(radio.btm), flag(radio.ft),
  ]);
  return stackedTable(`Radios of ${name}`, RADIO_COLUMNS, rows);
}

// ---- advice ----

async function loadAdvice() {
  pressed($("advice-spans"), advised);
  const now = nowMs();
  const report = await get("report", { from: Math.floor(now - advised), to: Math.ceil(now) });
  trouble(null);
  const changes = report.clients.reduce((sum, client) => sum + client.roams + client.band_changes + client.drops, 0);
  const { fast, full } = report.fast;
  const transitions = fast + full ? `; ${fast} of ${fast + full} by fast transition` : "";
  $("advice-says").textContent = `${many(report.clients.length, "client", "clients")}, ${many(changes, "change", "changes")} of association in ${duration(advised)}${transitions}. `
    + (report.heard.minutes ? `Heard by two or more access points at once in ${Math.round((100 * report.heard.by_several) / report.heard.minutes)} % of minutes.` : "");
  $("findings").replaceChildren(...findings(report));
  $("advice-list").replaceChildren(make("h2", "", todo(report)), ...report.advice.map(card));
  document.documentElement.dataset.drawn = "advice";
}

function todo({ advice, clients }) {
  if (advice.length) return "What to do: one thing at a time, and compare before the next";
  return clients.length ? "Nothing to do: it roams well" : "No client was associated in this stretch of time";
}

function findings(report) {
  const range = ({ signal }) => (signal ? `, ${signal.mean_dbm} dBm (${signal.min_dbm} to ${signal.max_dbm})` : "");
  const episode = (found) => {
    const pairs = found.pairs.slice(0, 4).map(({ a, b, changes }) => `${apName(a)} and ${apName(b)} ${changes}`).join(", ");
    return `${found.device.name}: ${found.changes} changes in ${duration(found.end - found.begin)} from ${time(found.begin)}, up to ${found.peak_per_hour} an hour${pairs ? ` (${pairs})` : ""}${range(found)}`;
  };
  const of = (kind) => report.episodes.filter((found) => found.kind === kind).map(episode);
  const side = ({ ap, channel, width_mhz }) => `${apName(ap)} (channel ${channel}, ${width_mhz} MHz)`;
  const parts = [
    ["Thrashing", of("thrashing")],
    ["Slow ping-pong", of("slow-ping-pong")],
    ["Flapping on one access point", of("same-ap-flapping")],
    ["Weak associations", report.weak.map(plain)],
    ["Clients that cling", report.sticky.map(plain)],
    ["Coverage holes", report.holes.map(plain)],
    ["Channels in each other's way", report.clashes.map(({ a, b, band }) => `${side(a)} and ${side(b)} at ${band}`)],
    ["Overlap", report.overlaps.slice(0, 8).map(({ a, b, band, both, sightings }) => `${apName(a)} and ${apName(b)} at ${band}: both heard in ${Math.round((100 * both) / Math.max(1, sightings))} % of ${sightings} sightings`)],
  ];
  const cards = parts.filter(([, lines]) => lines.length).map(([title, lines]) =>
    make("div", "finding", make("h2", "", title), make("ul", "", ...lines.slice(0, 12).map((line) => make("li", "", line)))));
  if (report.comparisons.length) cards.push(compared(report.comparisons));
  return cards;
}

/// A finding in words: what it names, then its figures.
function plain(found) {
  const who = found.device?.name ?? "";
  const where = [found.ap, found.on, found.better].filter((ap) => typeof ap === "string").map(apName);
  const figures = Object.entries(found)
    .filter(([, value]) => typeof value === "number")
    .map(([key, value]) => (key.endsWith("_ms") ? `${key.slice(0, -3).replaceAll("_", " ")} ${duration(value)}` : `${key.replace(/_(dbm|db|percent)$/, "").replaceAll("_", " ")} ${value}${{ dbm: " dBm", db: " dB", percent: " %" }[key.split("_").at(-1)] ?? ""}`));
  return `${[who, where.join(" → ")].filter(Boolean).join(", ")}: ${figures.join(", ")}`;
}

function compared(comparisons) {
  const verdict = { better: "Better", worse: "Worse", "not-enough-data": "Not enough data" };
  return make("div", "finding", make("h2", "", "Before and after"), make("ul", "", ...comparisons.map((comparison) =>
    make("li", "", `${time(comparison.note.at)}, “${comparison.note.text}”: `, make("span", `verdict-${comparison.verdict}`, verdict[comparison.verdict]), `. ${comparison.because}`))));
}

const TITLES = {
  "enable-measurement": "Let phones measure: 802.11k and 802.11v",
  "enable-fast-transition": "Let phones roam fast: 802.11r",
  "move-channel": "Move a channel",
  "lower-power": "Lower a transmit power by one step",
  "raise-power": "Raise a transmit power by one step",
  "suggest": "Let usteer suggest, never kick",
  "move-access-point": "An access point is missing, or stands in the wrong place",
};

function card(advice, index) {
  const steps = advice.steps.map((step) => {
    const block = (text, label) => {
      const pre = make("pre", "", text);
      pre.tabIndex = 0;
      pre.setAttribute("aria-label", label);
      const copy = make("button", "small copy", "Copy");
      copy.type = "button";
      copy.addEventListener("click", () => navigator.clipboard.writeText(text).then(() => { copy.textContent = "Copied"; }, () => { copy.textContent = "Select and copy it"; }));
      return [pre, copy];
    };
    return make("details", "", make("summary", "", `On ${apName(step.ap)}: ${step.what}`), ...block(step.apply, `Commands for ${apName(step.ap)}`),
      make("details", "", make("summary", "", "How to undo it"), ...block(step.undo, `Commands that undo it on ${apName(step.ap)}`)));
  });
  return make("div", "advice-card", make("h2", "", `${index + 1}. ${TITLES[advice.kind] ?? advice.kind}`), make("p", "", advice.reason), make("p", "quiet", advice.expected),
    advice.caution ? make("p", "caution", advice.caution) : null, ...steps);
}

// ---- which page ----

function current() {
  const name = location.hash.slice(1);
  if (name.startsWith("device=")) return "device";
  return ["timeline", "access-points", "advice"].includes(name) ? name : "timeline";
}

const LOADERS = { "timeline": loadTimeline, "device": loadDevice, "access-points": loadAccessPoints, "advice": loadAdvice };

async function open() {
  const name = current();
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== `view-${name}`;
  for (const link of document.querySelectorAll(".pages a[data-view]")) {
    if (link.dataset.view === name || (name === "device" && link.dataset.view === "timeline")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${$(`view-${name}`).querySelector("h1").textContent} · WhichRoom`;
  await LOADERS[name]().catch(trouble);
}

/// The present goes on: what follows it is loaded again, and what is being read stays.
async function refresh() {
  if (!view.follows) return;
  await { "timeline": loadTimeline, "device": loadDevice, "access-points": loadAccessPoints }[current()]?.().catch(trouble);
}

let refreshedAt = 0;

follow((next) => {
  const isFirst = state === null;
  [state, cameAt] = [next, performance.now()];
  if (isFirst) {
    present();
    listen();
    window.addEventListener("hashchange", open);
  }
  if (isFirst || cameAt - refreshedAt >= REFRESH_MS) {
    refreshedAt = cameAt;
    (isFirst ? open() : refresh()).catch(trouble);
  } else if (current() === "access-points") {
    drawAccessPoints();
  }
});
// In a quiet home no state comes for a while.
setInterval(() => {
  if (state === null || performance.now() - refreshedAt < REFRESH_MS) return;
  refreshedAt = performance.now();
  refresh();
}, REFRESH_MS);
