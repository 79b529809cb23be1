// "This is the housekeeper's phone": says whose an unknown device is, which writes whichroom.toml. page.js draws the
// rows and hands over each new state.

const say = (text, isTrouble = false) => {
  $("adopt-says").textContent = text;
  $("adopt-says").className = isTrouble ? "trouble" : "quiet";
};

function choice(value, text) {
  const option = make("option", "", text);
  option.value = value;
  return option;
}

function group(label, options) {
  const group = make("optgroup", "", ...options);
  group.label = label;
  return options.length ? group : null;
}

/// What may be said of one device: it is a person's, somebody new's, or a known phone under another address.
/// What somebody began to say stays; else the choices follow the home.
function fill(cell) {
  const devices = state.people.flatMap((person) => person.devices);
  const offered = [cell.dataset.sameAs, cell.dataset.host, ...state.people.map(({ id }) => id), ...devices.map(({ id }) => id)].join(" ");
  const isTouched = cell.dataset.touched || cell.contains(document.activeElement);
  if (cell.dataset.offered === offered || (cell.dataset.offered && isTouched)) return;
  cell.dataset.offered = offered;
  const likely = devices.find(({ id }) => id === cell.dataset.sameAs);
  const select = make("select", "");
  select.setAttribute("aria-label", `Whose ${cell.dataset.host || cell.dataset.mac} is`);
  select.append(choice("", "nobody's yet"), choice("new", "somebody new …"));
  select.append(...[
    group("A further device of", state.people.map(({ id, name }) => choice(`person ${id}`, name))),
    group("The same phone as", devices.map(({ id, name }) => choice(`device ${id}`, name))),
  ].filter(Boolean));
  const name = make("input", "");
  name.maxLength = 60;
  name.hidden = true;
  const button = make("button", "small", "Save");
  button.type = "button";
  button.hidden = true;
  const chosen = () => {
    const kind = select.value.split(" ")[0];
    name.hidden = kind !== "new" && kind !== "person";
    name.placeholder = kind === "new" ? "their name" : "what it is called (optional)";
    name.setAttribute("aria-label", name.placeholder);
    name.value = kind === "person" ? cell.dataset.host : "";
    button.hidden = !kind;
  };
  select.addEventListener("change", () => {
    cell.dataset.touched = select.value;
    chosen();
  });
  button.addEventListener("click", () => adopt(cell, select.value, name.value.trim(), button));
  cell.replaceChildren(select, name, button);
  if (likely) {
    select.value = `device ${likely.id}`;
    chosen();
    cell.append(make("span", "quiet", ` has the name of ${likely.name}, which is not here`));
  }
}

async function adopt(cell, choice, name, button) {
  const [kind, id] = choice.split(" ");
  if (kind === "new" && !name) return say("What are they called?", true);
  const owner = { new: { "new-person": name }, person: { person: id }, device: { device: id } }[kind];
  button.disabled = true;
  say("Writing …");
  try {
    await command("adopt", { mac: cell.dataset.mac, owner, ...(kind === "person" && name ? { name } : {}) });
    say(`Written: ${cell.dataset.mac} is known from now on.`);
  } catch (error) {
    say(error.message, true);
    button.disabled = false;
  }
}

function fillAll() {
  document.querySelectorAll("#unknown td.adopt").forEach(fill);
}

document.addEventListener("whichroom-state", fillAll);
// A state may have come before this was loaded.
fillAll();
