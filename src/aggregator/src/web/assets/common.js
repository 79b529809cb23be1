// What every page needs: finding and making elements, and asking the server. Loaded before the pages' own scripts.
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
