// Draws timelines and charts on a canvas: associations as bars in the access point's colour, the signal under them,
// episodes above. Knows nothing of the server; roaming.js hands everything over.

const AXIS = 26;
const BAR = 15;
const STRIPE = 2;
const BAND = { height: 15, loudest: -35, weakest: -90 };

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/// Heights in pixels, which the style sheet sets: of the axis, of a row, and where in it the bar and the signal begin.
export function sizes() {
  const [row, bar] = [parseFloat(css("--row")), parseFloat(css("--bar"))];
  return { axis: AXIS, row, bar, band: bar + BAR + 4 };
}

/// Colours of the theme as it is now.
export function palette() {
  const [l, c] = [css("--edge-l"), css("--edge-c")];
  return {
    of: (hue, alpha = 1) => `oklch(${l} ${c} ${hue} / ${alpha})`,
    ink: css("--ink"), quiet: css("--quiet"), line: css("--line"), bad: css("--bad"), card: css("--card"),
  };
}

/// A canvas of so many CSS pixels, sharp on this screen.
export function prepare(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  return context;
}

const STEPS = [1, 5, 10, 30, 60, 180, 360, 720, 1440, 2880, 10080].map((minutes) => minutes * 60_000);

/// Marks of the time axis: every so often that they do not touch; `shift` is the home's offset from UTC.
function ticks(range, width, shift) {
  const span = range.to - range.from;
  const step = STEPS.find((step) => (step / span) * width >= 64) ?? STEPS.at(-1);
  const first = Math.ceil((range.from + shift) / step) * step - shift;
  const marks = [];
  for (let at = first; at <= range.to; at += step) {
    const local = new Date(at + shift);
    const midnight = (at + shift) % 86_400_000 === 0;
    const day = `${local.getUTCDate()} ${["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][local.getUTCMonth()]}`;
    marks.push({ at, text: midnight ? day : local.toISOString().slice(11, 16), midnight });
  }
  return marks;
}

function drawAxis(context, range, { width, height, shift, colours }) {
  context.textBaseline = "middle";
  for (const { at, text, midnight } of ticks(range, width, shift)) {
    const x = ((at - range.from) / (range.to - range.from)) * width;
    const top = midnight ? 0 : AXIS - 5;
    context.fillStyle = colours.line;
    context.fillRect(x, top, 1, height - top);
    context.fillStyle = midnight ? colours.ink : colours.quiet;
    // Half a time is none.
    if (x + 4 + context.measureText(text).width <= width) context.fillText(text, x + 4, AXIS / 2);
  }
}

/// Draws a timeline. `data` is the server's, `range` what is shown, `hueOf` the hue of an access point's number.
export function drawTimeline(canvas, data, range, { width, shift, hueOf }) {
  const size = sizes();
  const height = AXIS + data.rows.length * size.row;
  const context = prepare(canvas, width, height);
  const colours = palette();
  drawAxis(context, range, { width, height, shift, colours });
  const scale = width / (range.to - range.from);
  const xOf = (at) => (at - range.from) * scale;
  data.rows.forEach((row, index) => drawRow(context, row, AXIS + index * size.row, { range, step: data.step_ms, width, xOf, colours, hueOf, size }));
  drawNotes(context, data.notes, range, { xOf, height, colours });
}

function drawRow(context, row, top, { range, step, width, xOf, colours, hueOf, size }) {
  const bar = top + size.bar;
  context.fillStyle = colours.line;
  context.fillRect(0, top, width, 1);
  for (const [begin, end, ap, began] of row.bars) {
    if (end < range.from || begin > range.to) continue;
    const [left, right] = [Math.max(0, xOf(begin)), Math.min(width, xOf(end))];
    context.fillStyle = colours.of(hueOf(ap));
    // A short stay is still seen; a gap beside it tells it from its neighbour.
    context.fillRect(left, bar, Math.max(right - left - (right - left > 3 ? 1 : 0), 1), BAR);
    if (began === "fast-transition" && right - left > 6) {
      context.fillStyle = colours.card;
      context.beginPath();
      context.arc(left + 4, bar + BAR / 2, 2, 0, 7);
      context.fill();
    }
  }
  for (const merged of row.merged) {
    if (merged[1] >= range.from && merged[0] <= range.to) drawMerged(context, merged, bar, { xOf, colours, hueOf });
  }
  drawBand(context, row.signal, top + size.band, { range, step, xOf, colours, hueOf });
  for (const { begin, end, kind } of row.episodes) {
    if (end < range.from || begin > range.to) continue;
    context.strokeStyle = colours.bad;
    context.lineWidth = 2;
    if (kind === "slow-ping-pong") context.setLineDash([4, 3]);
    const [left, right] = [xOf(begin), xOf(end)];
    context.strokeRect(left - 1, bar - 3, Math.max(right - left + 2, 5), BAR + 6);
    context.setLineDash([]);
  }
}

/// Associations that are too short to be seen one by one: stripes, as many of each access point as it had of the time.
function drawMerged(context, [begin, end, , shares], top, { xOf, colours, hueOf }) {
  const [left, right] = [xOf(begin), Math.max(xOf(end), xOf(begin) + 1)];
  const total = shares.reduce((sum, [, ms]) => sum + ms, 0) || 1;
  const owed = shares.map(() => 0);
  for (let x = left; x < right; x += STRIPE) {
    shares.forEach(([, ms], index) => { owed[index] += ms / total; });
    const next = owed.indexOf(Math.max(...owed));
    owed[next] -= 1;
    context.fillStyle = colours.of(hueOf(shares[next][0]));
    context.fillRect(x, top, Math.min(STRIPE, right - x), BAR);
  }
}

function drawBand(context, signal, top, { range, step, xOf, colours, hueOf }) {
  const yOf = (dbm) => {
    const share = (Math.min(BAND.loudest, Math.max(BAND.weakest, dbm)) - BAND.weakest) / (BAND.loudest - BAND.weakest);
    return top + (1 - share) * BAND.height;
  };
  for (const [at, ap, min, mean, max] of signal) {
    if (at + step < range.from || at > range.to) continue;
    const [left, wide] = [xOf(at), Math.max(xOf(at + step) - xOf(at), 1)];
    context.fillStyle = colours.of(hueOf(ap), 0.35);
    context.fillRect(left, yOf(max), wide, Math.max(yOf(min) - yOf(max), 1));
    context.fillStyle = colours.of(hueOf(ap));
    context.fillRect(left, yOf(mean) - 0.75, wide, 1.5);
  }
}

function drawNotes(context, notes, range, { xOf, height, colours }) {
  context.setLineDash([3, 3]);
  for (const { at, text } of notes) {
    if (at < range.from || at > range.to) continue;
    context.strokeStyle = colours.ink;
    context.beginPath();
    context.moveTo(xOf(at), 0);
    context.lineTo(xOf(at), height);
    context.stroke();
    context.fillStyle = colours.ink;
    context.fillText(`▾ ${text.slice(0, 40)}`, xOf(at) + 3, AXIS - 4);
  }
  context.setLineDash([]);
}

/// What is at a point of a timeline: the row, its bar or what was merged, and the signal there; nulls where there is none.
export function hit(data, range, { x, y, width }) {
  const row = data.rows[Math.floor((y - AXIS) / sizes().row)] ?? null;
  const at = range.from + (x / width) * (range.to - range.from);
  if (!row || y < AXIS) return { row: null, at };
  const slack = ((range.to - range.from) / width) * 2;
  const isThere = ([begin, end]) => begin - slack <= at && at <= end + slack;
  const merged = row.merged.find(isThere) ?? null;
  const bar = merged ? null : row.bars.find(isThere) ?? null;
  const point = row.signal.filter(([time]) => time <= at).at(-1) ?? null;
  const episode = row.episodes.find(({ begin, end }) => begin - slack <= at && at <= end + slack) ?? null;
  return { row, at, bar, merged, point, episode };
}

/// Rooms of one device over time, on top of each other by how likely they are; paler while it was silent and its room
/// was held.
export function drawRooms(canvas, parts, silences, range, { width, shift, hueOf }) {
  const height = AXIS + 96;
  const context = prepare(canvas, width, height);
  const colours = palette();
  const xOf = (at) => ((at - range.from) / (range.to - range.from)) * width;
  for (const { begin, end, rooms } of parts) {
    const total = rooms.reduce((sum, [, percent]) => sum + percent, 0);
    let y = height;
    // In the order of their names, so that a room keeps its place in the band.
    for (const [room, percent] of rooms.toSorted(([one], [other]) => (one < other ? -1 : 1))) {
      const tall = (percent / Math.max(100, total)) * (height - AXIS);
      y -= tall;
      const hue = hueOf(room);
      context.fillStyle = hue === null ? colours.quiet : colours.of(hue);
      // A hair more, or the seams are seen.
      context.fillRect(xOf(begin), y, Math.max(xOf(end) - xOf(begin), 0.5) + 0.3, tall);
    }
  }
  context.globalAlpha = 0.55;
  context.fillStyle = colours.card;
  for (const { begin, end } of silences) context.fillRect(xOf(begin), AXIS, xOf(end) - xOf(begin), height - AXIS);
  context.globalAlpha = 1;
  drawAxis(context, range, { width, height: AXIS, shift, colours });
}

/// Stretches in which nothing was heard.
function drawSilences(context, silences, { height, xOf, colours }) {
  context.save();
  context.beginPath();
  for (const { begin, end } of silences) context.rect(xOf(begin), AXIS, xOf(end) - xOf(begin), height - AXIS);
  context.clip();
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  context.beginPath();
  for (let x = -height; x < context.canvas.width; x += 7) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.stroke();
  context.restore();
}

/// Signals of one device over time: associated as lines, what was overheard as dots, beacon reports as rings; hatched
/// where it was associated and silent.
export function drawChart(canvas, signals, silences, range, { width, shift, hueOf }) {
  const height = 260;
  const context = prepare(canvas, width, height);
  const colours = palette();
  drawAxis(context, range, { width, height, shift, colours });
  const xOf = (at) => ((at - range.from) / (range.to - range.from)) * width;
  const yOf = (dbm) => AXIS + 6 + ((-25 - dbm) / 75) * (height - AXIS - 12);
  if (silences.length) drawSilences(context, silences, { height, xOf, colours });
  for (let dbm = -30; dbm >= -95; dbm -= 10) {
    context.fillStyle = colours.line;
    context.fillRect(0, yOf(dbm), width, 1);
    context.fillStyle = colours.quiet;
    context.fillText(`${dbm} dBm`, 4, yOf(dbm) - 7);
  }
  const last = new Map();
  for (const [minute, ap, hearing, dbm] of signals) {
    const [x, y] = [xOf(minute + 30_000), yOf(dbm)];
    context.strokeStyle = context.fillStyle = colours.of(hueOf(ap), hearing === "associated" ? 1 : 0.75);
    if (hearing === "reported") {
      context.beginPath();
      context.arc(x, y, 2.6, 0, 7);
      context.stroke();
      continue;
    }
    context.fillRect(x - 1.5, y - 1.5, 3, 3);
    if (hearing !== "associated") continue;
    const before = last.get(ap);
    // A line is drawn over a silence of some minutes, not over a night.
    if (before && minute - before.minute <= 5 * 60_000) {
      context.lineWidth = 2;
      context.beginPath();
      context.moveTo(before.x, before.y);
      context.lineTo(x, y);
      context.stroke();
    }
    last.set(ap, { minute, x, y });
  }
}
