// Acts: every button with data-act opens the one dialog, which says what will happen and wants a reason. The server
// records who, when, what and why, as the command line does.
import { refreshNow } from "./live.js";

const dialog = document.getElementById("act");
const form = document.getElementById("act-form");
const part = (name) => document.getElementById(`act-${name}`);
let asked = null;
let opener = null;

export function startActs() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-act]");
    if (button) ask(button);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  part("cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    asked = null;
    document.getElementById(opener)?.focus();
  });
}

function ask(button) {
  const { act, variant, title, text, symbol, askSymbol, hours, danger } = button.dataset;
  asked = { act, variant, symbol };
  opener = button.id;
  part("title").textContent = title;
  part("text").textContent = text;
  part("symbol-part").hidden = askSymbol === undefined;
  part("symbol").required = askSymbol !== undefined;
  part("symbol").value = "";
  part("hours-part").hidden = hours === undefined;
  part("hours").value = hours ?? "";
  part("hours").required = hours !== undefined;
  part("reason").value = "";
  part("said").textContent = "";
  part("do").textContent = button.textContent.trim();
  part("do").classList.toggle("danger", danger !== undefined);
  part("do").disabled = false;
  dialog.showModal();
  (askSymbol !== undefined ? part("symbol") : part("reason")).focus();
}

async function send() {
  if (!asked) return;
  const body = { reason: part("reason").value.trim() };
  const symbol = asked.symbol || part("symbol").value.trim();
  if (!part("hours-part").hidden) body.hours = Number(part("hours").value);
  if (symbol) body.symbol = symbol;
  if (!body.reason) {
    part("said").textContent = "Say why: the reason is stored with the act.";
    part("reason").focus();
    return;
  }
  part("do").disabled = true;
  part("said").textContent = "";
  const label = part("do").textContent;
  part("do").textContent = "Working …";
  try {
    const answer = await fetch(address(asked), {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Sigil-CSRF": document.body.dataset.csrf },
      body: JSON.stringify(body),
    });
    const document_ = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(document_.error?.message ?? `the server answered ${answer.status}`);
    dialog.close();
    tell(document_.data?.outcome ?? "Done and recorded.");
    await refreshNow();
  } catch (error) {
    part("said").textContent = error instanceof TypeError ? "The server does not answer; nothing is known of the act." : error.message;
  } finally {
    part("do").textContent = label;
    part("do").disabled = false;
  }
}

const address = ({ act, variant }) => `/sigil/api/v1/variants/${encodeURIComponent(variant)}/acts/${act}`;

function tell(said) {
  const toast = document.getElementById("toast");
  toast.textContent = said;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => { toast.textContent = ""; }, 6000);
}
