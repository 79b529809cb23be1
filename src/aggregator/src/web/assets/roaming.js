// The pages on roaming: timeline, one device, access points, advice. Asks the server for a stretch of time and draws
// it. Every text is set as text, never as markup: names of devices come from strangers.
import { AXIS, drawChart, drawTimeline, hit } from "./timeline.js";

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

function duration(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h ${String(Math.floor(s / 60) % 60).padStart(2, "0")} min`;
  return `${Math.floor(s / 86400)} days`;
}

const get = (name, parameters) => ask(`${name}?${new URLSearchParams(parameters)}`);

function trouble(error) {
  $("trouble").hidden = !error;
  $("trouble").textContent = error ? `${error.message ?? error}` : "";
}

async function loadState() {
  state = await ask("state");
  cameAt = performance.now();
  $("site").textContent = state.simulated ? "demonstration" : state.site === "home" ? "" : state.site;
  $("version").textContent = state.version;
  if (state.simulated) $("footing").textContent = `Everything here is simulated, at ${state.speed} times the pace of life.`;
}

/// The hue of an access point: its room's, as on the first page.
function hueOf(id) {
  const known = state.access_points.find((ap) => ap.id === id);
  if (known?.hue !== null && known?.hue !== undefined) return known.hue;
  return [...id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7);
}

const apName = (id) => state.access_points.find((ap) => ap.id === id)?.name ?? id;

function legend(list, aps) {
  list.replaceChildren(...aps.map(({ id, name }) => {
    const swatch = make("span", "swatch");
    swatch.style.setProperty("--hue", hueOf(id));
    return make("li", "", swatch, name);
  }));
}

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
  const asked = { from: Math.floor(view.from - edge), to: Math.ceil(view.to + edge) };
  const isFirst = timeline === null;
  timeline = await get("timeline", asked);
  if (isFirst) fit();
  trouble(null);
  drawFrame();
}

/// A history that has just begun is shown as large as it is.
function fit() {
  const begins = timeline.rows.flatMap((row) => row.bars.map(([begin]) => begin));
  const age = view.to - Math.min(...begins);
  if (begins.length && age < view.span * 0.8) {
    view.span = Math.max(HOUR, age * 1.05);
    present();
  }
}

function drawFrame() {
  for (const button of $("spans").children) button.setAttribute("aria-pressed", String(Number(button.value) === view.span));
  if (!timeline) return;
  const plot = $("plot");
  $("timeline-empty").hidden = timeline.rows.length > 0;
  $("timeline").hidden = timeline.rows.length === 0;
  const sick = timeline.rows.filter((row) => row.episodes.length > 0).length;
  const says = sick ? `${many(sick, "client changes", "clients change")} too often, framed in red.` : "No client changed too often.";
  $("timeline-says").textContent = `${time(view.from)} to ${time(view.to)}, ${many(timeline.rows.length, "client", "clients")}. ${says}`;
  const labels = timeline.rows.map(label);
  const text = labels.map((element) => element.outerHTML).join("");
  // What has the focus is left where it is as long as nothing changed.
  if ($("clients").dataset.drawn !== text) {
    $("clients").dataset.drawn = text;
    $("clients").replaceChildren(...labels);
  }
  legend($("legend"), timeline.aps);
  const hues = timeline.aps.map(({ id }) => hueOf(id));
  drawTimeline($("canvas"), timeline, view, { width: plot.clientWidth, shift: shift(), hueOf: (ap) => hues[ap] });
  document.documentElement.dataset.drawn = "timeline";
}

function label(row) {
  const { fast, full } = row.fast;
  const share = fast + full ? `, ${Math.round((100 * fast) / (fast + full))} % fast` : "";
  const thrash = row.episodes.reduce((sum, episode) => sum + episode.changes, 0);
  const link = make("a", "", row.name);
  link.href = `#device=${row.mac}`;
  const says = row.episodes.length
    ? make("small", "sick", `${thrash} changes in ${many(row.episodes.length, "episode", "episodes")}`)
    : make("small", "", `${many(row.roams, "change", "changes")}${share}`);
  return make("li", "", link, says);
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
  if (found.bar) {
    const [begin, end, ap, began, ended] = found.bar;
    lines.push(`${timeline.aps[ap].name}, for ${duration(end - begin)}`, `began: ${word(began)}; ${ended ? `ended: ${word(ended)}` : "lasts"}`);
  } else {
    lines.push("not associated");
  }
  if (found.bar && found.point) lines.push(`signal ${found.point[3]} dBm (${found.point[2]} to ${found.point[4]})`);
  if (found.episode) lines.push(`${word(found.episode.kind)}: ${found.episode.changes} changes`);
  $("tip").textContent = lines.join("\n");
  const left = Math.min(Math.max(0, x + 14), Math.max(0, box.width - $("tip").offsetWidth - 4));
  $("tip").style.left = `${left}px`;
  $("tip").style.top = `${Math.min(y + 16, Math.max(AXIS, box.height - $("tip").offsetHeight - 4))}px`;
}

function zoom(factor, share = 0.5) {
  const span = Math.min(SPAN_MAX, Math.max(SPAN_MIN, view.span * factor));
  move(view.from + (view.span - span) * share, span);
}

function listen() {
  const plot = $("plot");
  let drag = null;
  plot.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, from: view.from };
    plot.setPointerCapture(event.pointerId);
    showTip(event);
  });
  plot.addEventListener("pointermove", (event) => {
    if (drag && Math.abs(event.clientX - drag.x) > 3) {
      $("tip").hidden = true;
      move(drag.from - ((event.clientX - drag.x) / plot.clientWidth) * view.span, view.span);
    } else {
      showTip(event);
    }
  });
  for (const name of ["pointerup", "pointercancel"]) plot.addEventListener(name, () => { drag = null; });
  plot.addEventListener("pointerleave", () => { $("tip").hidden = true; });
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
      Home: () => { present(); loadSoon(); },
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
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawFrame);
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

// ---- one device ----

const deviceMac = () => decodeURIComponent(location.hash.slice("#device=".length));

async function loadDevice() {
  const mac = deviceMac();
  if (view.follows) present();
  const followed = await get("device", { from: Math.floor(view.from), to: Math.ceil(view.to), mac });
  trouble(null);
  const devices = state.people.flatMap((person) => person.devices);
  const known = devices.find((device) => device.name === followed.name);
  $("device-title").textContent = followed.name ?? mac;
  $("device-says").textContent = `${time(view.from)} to ${time(view.to)}, ${many(followed.bars.length, "association", "associations")}. Lines: on this access point; dots: overheard; rings: the phone's own beacon reports.`;
  legend($("chart-legend"), followed.aps);
  const hues = followed.aps.map(({ id }) => hueOf(id));
  drawChart($("chart-canvas"), followed.signals, view, { width: $("chart").clientWidth, shift: shift(), hueOf: (ap) => hues[ap] });
  drawSilences(followed);
  $("device-spans").replaceChildren(...followed.bars.toReversed().slice(0, 200).map(([begin, end, ap, began, ended]) =>
    make("tr", "", ...[time(begin), ended ? time(end) : "now", followed.aps[ap].name, duration(end - begin), word(began), ended ? word(ended) : "lasts"]
      .map((text) => make("td", "", text)))));
  await drawWhy(known?.id);
  document.documentElement.dataset.drawn = "device";
}

/// Minutes without a word while it was associated: how long it sleeps.
function drawSilences({ bars, signals }) {
  const minutes = signals.filter(([, , hearing]) => hearing === "associated").map(([minute]) => minute).sort((a, b) => a - b);
  const gaps = [];
  for (let index = 1; index < minutes.length; index++) {
    const gap = minutes[index] - minutes[index - 1] - 60_000;
    const on = bars.some(([begin, end]) => begin <= minutes[index - 1] + 60_000 && minutes[index] <= end + 60_000);
    if (gap >= 5 * 60_000 && on) gaps.push({ gap, at: minutes[index - 1] });
  }
  gaps.sort((a, b) => b.gap - a.gap);
  $("device-silences").textContent = gaps.length
    ? `${many(gaps.length, "silence", "silences")} of five minutes or more while associated; the longest: ${gaps.slice(0, 3).map(({ gap, at }) => `${duration(gap)} from ${time(at)}`).join(", ")}.`
    : "No silence of five minutes or more while it was associated.";
}

async function drawWhy(id) {
  const body = $("device-why");
  if (!id) return body.replaceChildren(make("p", "quiet", "No configuration names this device; only devices of people are explained."));
  const { state: says, because, sections } = await command("explain", { id });
  const lines = (texts) => make("ul", "why", ...texts.map((text) => make("li", "", text)));
  body.replaceChildren(make("p", "", says), lines(because), ...sections.flatMap(({ title, lines: texts }) => [make("h3", "", title), lines(texts)]));
}

// ---- access points ----

async function loadAccessPoints() {
  const now = nowMs();
  const radios = await get("radios", { from: Math.floor(now - 24 * HOUR), to: Math.ceil(now) });
  trouble(null);
  $("aps").replaceChildren(...state.access_points.map((ap) => {
    const own = radios.filter((radio) => radio.ap === ap.id);
    const swatch = make("span", "swatch");
    swatch.style.setProperty("--hue", hueOf(ap.id));
    const health = [ap.link, many(ap.stations, "client", "clients"), ap.release ? `OpenWrt ${ap.release}` : "", ap.version ? `agent ${ap.version}` : "",
      ap.sources.length ? `reads ${ap.sources.join(", ")}` : ""].filter(Boolean).join(", ");
    const troubles = ap.problems.map((text) => make("p", "off", text));
    return make("div", "finding", make("h2", "legend", swatch, ap.name), make("p", "quiet", health), ...troubles, own.length ? radioTable(own) : null);
  }));
  document.documentElement.dataset.drawn = "access-points";
}

const flag = (value) => (value === null ? make("td", "quiet", "?") : make("td", value ? "ok" : "off", value ? "on" : "off"));

function radioTable(radios) {
  const unit = (value, text) => (value === null ? "?" : `${value}${text}`);
  const head = ["Network", "Channel", "Width", "Power", "Noise", "Busy", "802.11k", "802.11v", "802.11r"];
  const rows = radios.map((radio) => make("tr", "",
    make("td", "", `${radio.ssid ?? "?"} (${radio.ifname})${radio.enabled ? "" : ", off"}`),
    make("td", "", radio.channel === null ? "?" : `${radio.channel}${radio.freq_mhz ? `, ${(radio.freq_mhz / 1000).toFixed(1)} GHz` : ""}`),
    make("td", "", unit(radio.width_mhz, " MHz")), make("td", "", unit(radio.txpower_dbm, " dBm")), make("td", "", unit(radio.noise_dbm, " dBm")),
    make("td", "", radio.utilization_permille === null ? "?" : `${Math.round(radio.utilization_permille / 10)} %`),
    flag(radio.rrm), flag(radio.btm), flag(radio.ft)));
  const th = (text) => { const cell = make("th", "", text); cell.scope = "col"; return cell; };
  const scroll = make("div", "scroll", make("table", "", make("thead", "", make("tr", "", ...head.map(th))), make("tbody", "", ...rows)));
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", "Radios");
  return scroll;
}

// ---- advice ----

async function loadAdvice() {
  for (const button of $("advice-spans").children) button.setAttribute("aria-pressed", String(Number(button.value) === advised));
  const now = nowMs();
  const report = await get("report", { from: Math.floor(now - advised), to: Math.ceil(now) });
  trouble(null);
  const changes = report.clients.reduce((sum, client) => sum + client.roams + client.band_changes + client.drops, 0);
  const { fast, full } = report.fast;
  const transitions = fast + full ? `; ${fast} of ${fast + full} by fast transition` : "";
  $("advice-says").textContent = `${many(report.clients.length, "client", "clients")}, ${many(changes, "change", "changes")} of association in ${duration(advised)}${transitions}. `
    + (report.heard.minutes ? `Heard by two or more access points at once in ${Math.round((100 * report.heard.by_several) / report.heard.minutes)} % of minutes.` : "");
  $("findings").replaceChildren(...findings(report));
  $("advice").replaceChildren(make("h2", "", report.advice.length ? "What to do: one thing at a time, and compare before the next" : "Nothing to do: it roams well"), ...report.advice.map(card));
  document.documentElement.dataset.drawn = "advice";
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
  try {
    await loadState();
    if (current() === "timeline" && view.follows) await loadTimeline();
    if (current() === "access-points") await loadAccessPoints();
  } catch (error) {
    trouble(error);
  }
}

try {
  await loadState();
  present();
  listen();
  window.addEventListener("hashchange", open);
  await open();
  setInterval(refresh, REFRESH_MS);
} catch (error) {
  trouble(error);
}
