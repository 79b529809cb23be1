// The sign-in works without this. It spares one to who is signed in and comes by a link from elsewhere, to which a
// browser gives no cookie; keeps the place within a page; and says that two passwords differ before they are sent.
"use strict";

const form = document.getElementById("sign-in");
const again = document.getElementById("password-again");

if (location.hash) form.action += location.hash;

fetch("api/session")
  .then((answer) => answer.json())
  .then(({ by }) => {
    if (by) location.replace(`./${form.elements.to.value}${location.hash}`);
  })
  .catch(() => {});

form.addEventListener("input", () => {
  again?.setCustomValidity(again.value === form.elements.password.value ? "" : "The two passwords are not the same.");
});
