// "I am here now": tells the server in which room somebody is, shows how far it listens, and the samples it keeps.
// page.js draws everything else and hands over each new state.

/// A calibration listens this long from when it is told.
const LISTENS_MS = 30_000;

let shown = { who: "", rooms: "", revision: null, stages: new Map() };

function say(text, isTrouble = false) {
  const says = $("calibrate-says");
  says.textContent = text;
  says.className = isTrouble ? "trouble" : "quiet";
}

const deviceName = (id) => state.calibration.devices[id] ?? id;
const roomName = (id) => state.rooms.find((room) => room.id === id)?.name ?? id;

/// Fills a select, keeping what is chosen as long as it is there.
function offer(select, options) {
  const chosen = select.value;
  select.replaceChildren(...options.map(({ id, text }) => {
    const option = make("option", "", text);
    option.value = id;
    return option;
  }));
  if (options.some(({ id }) => id === chosen)) select.value = chosen;
}

function drawForm(next) {
  const who = next.calibration.who.map(({ id, name, is_connected }) => ({
    id,
    text: is_connected ? name : `${name} (not connected)`,
  }));
  const rooms = next.rooms.map(({ id, name }) => ({ id, text: name }));
  if (shown.who !== JSON.stringify(who)) offer($("calibrate-who"), who);
  if (shown.rooms !== JSON.stringify(rooms)) offer($("calibrate-room"), rooms);
  shown.who = JSON.stringify(who);
  shown.rooms = JSON.stringify(rooms);
}

function drawListening(element, { device, room, until }) {
  const bar = make("progress", "");
  bar.max = LISTENS_MS;
  bar.dataset.until = until.ms;
  bar.setAttribute("aria-label", `Listening to ${deviceName(device)}`);
  element.replaceChildren(make("span", "", `Listening to ${deviceName(device)} in ${roomName(room)}. Stay there, with its screen on. `), bar);
}

/// Says what became of those that listened when this page last looked; a screen reader says it, too.
function noteOutcomes(recent) {
  for (const { device, room, stage, sample, error } of recent) {
    const before = shown.stages.get(device);
    shown.stages.set(device, stage);
    if (before !== "listening" || stage === "listening") continue;
    if (stage === "failed") say(`${deviceName(device)} in ${roomName(room)}: ${error}`, true);
    else say(`Kept as sample ${sample}: ${deviceName(device)} in ${roomName(room)}.`);
  }
}

function heardBy(sample) {
  const heard = sample.readings.map(({ ap, mean_dbm }) => `${ap} ${mean_dbm} dBm`).join(", ");
  const own = sample.reported?.length ? `; it hears ${sample.reported.map(({ ap, mean_dbm }) => `${ap} ${mean_dbm} dBm`).join(", ")}` : "";
  return `${heard}${own}`;
}

function drawSample(element, sample) {
  const forget = make("button", "small", "Forget");
  forget.type = "button";
  forget.setAttribute("aria-label", `Forget sample ${sample.id}, ${deviceName(sample.device)} in ${roomName(sample.room)}`);
  forget.addEventListener("click", () => forgetSample(sample.id, element));
  const cells = [roomName(sample.room), deviceName(sample.device), sample.taken.slice(0, 16).replace("T", " "), heardBy(sample)];
  element.replaceChildren(...cells.map((text) => make("td", "", text)), make("td", "", forget));
}

async function forgetSample(id, row) {
  const beside = row.nextElementSibling ?? row.previousElementSibling;
  try {
    drawSamples(await command("forget-sample", { id }));
    say(`Forgot sample ${id}.`);
    (beside?.querySelector("button") ?? $("calibrate-summary")).focus();
  } catch (error) {
    say(error.message, true);
  }
}

function drawSamples({ samples, alike }) {
  const rooms = new Set(samples.map(({ room }) => room)).size;
  $("calibrate-count").textContent = samples.length
    ? `${many(samples.length, "sample", "samples")} of ${many(rooms, "room", "rooms")}.`
    : "No samples yet.";
  show($("calibrate-alike"), alike, ({ rooms }) => rooms.join(" "), (element, { rooms, percent }) => {
    element.textContent = `${list(rooms.map(roomName))} cannot be told apart (${percent} % alike): take more samples in both, move an access point, or make them one room.`;
  });
  $("calibrate-table").hidden = samples.length === 0;
  show($("sample-list"), samples, ({ id }) => String(id), drawSample);
}

/// Asks for the samples when they are other ones, and somebody looks.
async function refresh() {
  const { samples_revision: revision } = state.calibration;
  if (!$("calibrate-details").open || shown.revision === revision) return;
  shown.revision = revision;
  try {
    drawSamples(await command("samples", {}));
  } catch (error) {
    shown.revision = null;
    say(error.message, true);
  }
}

function drawHearing({ heard_minutes, heard_by_several_percent, without_80211k }) {
  $("calibrate-heard").textContent = heard_by_several_percent === null
    ? ""
    : `In ${heard_by_several_percent} % of ${many(heard_minutes, "minute", "minutes")} in which a device was heard, two or more access points took part: the more, the better rooms are told apart.`;
  $("calibrate-80211k").hidden = without_80211k.length === 0;
  $("calibrate-without").textContent = list(without_80211k);
}

function drawCalibration(next) {
  $("calibrate").hidden = next.calibration.who.length === 0 || next.rooms.length === 0;
  drawForm(next);
  const listening = next.calibration.recent.filter(({ stage }) => stage === "listening");
  show($("calibrate-list"), listening, ({ device }) => device, drawListening);
  noteOutcomes(next.calibration.recent);
  drawHearing(next.calibration);
  progress();
  refresh();
}

function progress() {
  if (!state) return;
  for (const bar of document.querySelectorAll("progress[data-until]")) {
    bar.value = Math.max(0, Math.min(LISTENS_MS, LISTENS_MS - (bar.dataset.until - nowMs())));
  }
}

$("calibrate-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = $("calibrate-form").querySelector("button");
  button.disabled = true;
  try {
    const begun = await command("calibrate", { device: $("calibrate-who").value, room: $("calibrate-room").value });
    shown.stages.set(begun.device, "listening");
    say("");
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
    button.focus();
  }
});

$("calibrate-details").addEventListener("toggle", () => state && refresh());
document.addEventListener("whichroom-state", ({ detail }) => drawCalibration(detail));
setInterval(progress, 1_000);
if (state) drawCalibration(state);
