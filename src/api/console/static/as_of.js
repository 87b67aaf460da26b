// Moves the page along the history while the slider moves; without it the slider's button does the same.
"use strict";

const slider = document.getElementById("second");
const output = document.getElementById("moment");
const field = document.getElementById("at");
const PAUSE = 250; // milliseconds: each moment that is looked at is recorded, so not every one that is passed
let waiting = 0;
let asked = 0;

document.getElementById("go").hidden = true;

function told() {
  return new Date(Number(slider.value) * 1000).toISOString().replace(".000Z", "Z");
}

async function show(moment) {
  const address = new URL(location.href);
  address.searchParams.delete("second");
  address.searchParams.set("at", moment);
  const number = ++asked;
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (number !== asked) return; // the slider has moved on
  if (answer.redirected || !answer.ok) {
    location.assign(address); // signed out, or something that the whole page tells
    return;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.getElementById("then").replaceChildren(...page.getElementById("then").childNodes);
  history.replaceState(null, "", address);
}

slider.addEventListener("input", () => {
  const moment = told();
  output.value = moment;
  field.value = moment;
  slider.setAttribute("aria-valuetext", moment);
  clearTimeout(waiting);
  waiting = setTimeout(show, PAUSE, moment);
});
