// Acts: every button with data-act opens the one dialog, which says what will happen and wants a reason. The server
// records who, when, what and why, as the command line does. An act may take minutes (a session that closes everything):
// the dialog can be left meanwhile and another act begun, so each has a state of its own, and the dialog shows one of them.
import { refreshNow } from "./live.js";

const FIELDS = ["symbol", "hours", "reason"];
const LOST = "The server does not answer; nothing is known of the act.";
const ENDED = "Your login has ended and nothing was done. Load the page anew to log in.";
const EARLIER = "This page is of an earlier login and nothing was done. Load it anew.";
const dialog = document.getElementById("act");
const form = document.getElementById("act-form");
const part = (name) => document.getElementById(`act-${name}`);
const onTheWay = new Map(); // key of an act -> its state
let shown = null; // the state that the dialog shows

export function startActs() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-act]");
    if (button) ask(button);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (shown && !shown.busy) send(shown);
  });
  part("cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    if (shown?.busy) tell(`${shown.title}: on its way. It is told here when it is done.`);
    const opener = document.getElementById(shown?.opener);
    shown = null;
    opener?.focus();
  });
}

function ask(button) {
  const { act, variant, title, text, symbol, askSymbol, hours, danger } = button.dataset;
  const key = [act, variant, symbol].join(" ");
  shown = onTheWay.get(key) ?? {
    key, act, variant, title, text, label: button.textContent.trim(), danger: danger !== undefined, opener: button.id,
    askSymbol: askSymbol !== undefined, askHours: hours !== undefined, busy: false, said: "",
    given: { symbol: symbol ?? "", hours: hours ?? "", reason: "" },
  };
  part("title").textContent = title;
  part("text").textContent = text;
  part("symbol-part").hidden = !shown.askSymbol;
  part("symbol").required = shown.askSymbol;
  part("hours-part").hidden = !shown.askHours;
  part("hours").required = shown.askHours;
  part("do").classList.toggle("danger", shown.danger);
  for (const field of FIELDS) part(field).value = shown.given[field];
  draw();
  dialog.showModal();
  part(shown.busy ? "cancel" : shown.askSymbol ? "symbol" : "reason").focus();
}

// What changes while an act is on its way.
function draw() {
  part("said").textContent = shown.said;
  part("do").textContent = shown.busy ? "Working …" : shown.label;
  part("do").disabled = shown.busy;
  part("cancel").textContent = shown.busy ? "Leave it to work" : "Cancel";
  for (const field of FIELDS) part(field).readOnly = shown.busy;
}

async function send(state) {
  for (const field of FIELDS) state.given[field] = part(field).value.trim();
  const { symbol, hours, reason } = state.given;
  if (!reason) {
    state.said = "Say why: the reason is stored with the act.";
    draw();
    part("reason").focus();
    return;
  }
  const body = { reason };
  if (state.askHours) body.hours = Number(hours);
  if (symbol) body.symbol = symbol;
  Object.assign(state, { busy: true, said: "" });
  onTheWay.set(state.key, state);
  draw();
  let error = null;
  let outcome = "";
  try {
    outcome = await post(state, body);
  } catch (thrown) {
    error = thrown instanceof TypeError ? LOST : thrown.message;
  }
  onTheWay.delete(state.key);
  state.busy = false;
  finish(state, outcome, error);
  if (error === null) await refreshNow();
}

function finish(state, outcome, error) {
  if (shown !== state) { // it was left, or the dialog shows another act
    tell(`${state.title}: ${error ?? outcome}`, error !== null);
  } else if (error === null) {
    dialog.close();
    tell(outcome);
  } else {
    state.said = error;
    draw();
  }
}

async function post({ act, variant }, body) {
  const answer = await fetch(`/sigil/api/v1/variants/${encodeURIComponent(variant)}/acts/${act}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Sigil-CSRF": document.body.dataset.csrf },
    body: JSON.stringify(body),
  });
  const document_ = await answer.json().catch(() => ({}));
  if (answer.status === 401) throw new Error(ENDED);
  if (document_.error?.code === "csrf") throw new Error(EARLIER);
  if (!answer.ok) throw new Error(document_.error?.message ?? `the server answered ${answer.status}`);
  return document_.data?.outcome ?? "Done and recorded.";
}

function tell(said, bad = false) {
  const line = document.createElement("p");
  line.textContent = said;
  document.getElementById("toast").append(line);
  setTimeout(() => line.remove(), bad ? 20000 : 6000);
}
