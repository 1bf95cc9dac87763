// Live parts: the page is fetched again every few seconds, and each [data-live] part that changed takes the place of the
// old one. Whatever the reader is doing there stays: an open <details>, the focus, a scrolled table. A part with selected
// text is kept, too, but dimmed, and says from when it is.
// A part that is not there any more (its database is away) stays, dimmed; one that was not there before brings the whole
// page anew. When the server goes away the page says so and dims; it comes back by itself. A page of an error asks nothing.

const LIMIT_MS = 8000;
const SLOWEST_MS = 10000;
const parser = new DOMParser();

let timer = 0;
let asking = null;
let lostSince = null;
let failures = 0;
const shown = new Map();
const trueAt = new Map(); // when the server last said what a part shows

export function startLive() {
  if (Number(document.body.dataset.liveEvery) === 0) return;
  for (const part of document.querySelectorAll("[data-live]")) {
    shown.set(part.id, part.outerHTML);
    trueAt.set(part.id, clockOf(document));
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refreshNow();
  });
  schedule();
}

// Anew from now: what is on its way already may have been read before.
export async function refreshNow() {
  await asking;
  clearTimeout(timer);
  return refresh();
}

function schedule() {
  clearTimeout(timer);
  const every = Number(document.body.dataset.liveEvery) || 4000;
  timer = setTimeout(refresh, lostSince ? Math.min(every * 2 ** Math.min(failures, 1), SLOWEST_MS) : every);
}

function refresh() {
  if (document.hidden) return schedule();
  asking ??= ask().finally(() => {
    asking = null;
    schedule();
  });
  return asking;
}

async function ask() {
  try {
    const answer = await fetch(location.pathname + location.search, {
      signal: AbortSignal.timeout(LIMIT_MS),
      cache: "no-store",
    });
    if (answer.redirected && new URL(answer.url).pathname === "/sigil/login") {
      lose("Your login has ended. ", loginLink());
    } else if (!answer.ok) {
      lose(`The server answers with an error (${answer.status}). Trying again.`);
    } else {
      show(parser.parseFromString(await answer.text(), "text/html"));
      found();
    }
  } catch {
    lose("The server does not answer: what you see is old. Trying again.");
  }
}

function show(fresh) {
  const parts = [...fresh.querySelectorAll("[data-live]")];
  if (parts.some((part) => !document.getElementById(part.id)) && !document.querySelector("dialog[open]")) {
    location.reload();
    return;
  }
  const there = new Set(parts.map((part) => part.id));
  for (const old of document.querySelectorAll("[data-live]")) old.toggleAttribute("data-stale", !there.has(old.id));
  for (const part of parts) {
    const old = document.getElementById(part.id);
    const markup = part.outerHTML;
    const same = shown.get(part.id) === markup;
    if (!old) continue;
    if (!same && inUse(old)) {
      old.dataset.held = `As of ${trueAt.get(part.id)}: it changed since, and is kept while text in it is selected.`;
      continue;
    }
    delete old.dataset.held;
    trueAt.set(part.id, clockOf(fresh));
    if (same) continue;
    shown.set(part.id, markup);
    replace(old, document.importNode(part, true));
  }
  const clock = fresh.getElementById("live-state");
  if (clock) document.getElementById("live-state").replaceChildren(...document.importNode(clock, true).childNodes);
  document.body.dataset.csrf = fresh.body.dataset.csrf ?? "";
}

function clockOf(page) {
  return page.getElementById("live-state")?.textContent.trim();
}

function inUse(part) {
  const selection = document.getSelection();
  return selection && !selection.isCollapsed && part.contains(selection.anchorNode);
}

function replace(old, fresh) {
  const open = new Set([...old.querySelectorAll("details[open][id]")].map((d) => d.id));
  for (const details of fresh.querySelectorAll("details[id]")) details.open = open.has(details.id);
  const scrolled = [...old.querySelectorAll(".scroll[id]")].map((s) => [s.id, s.scrollLeft, s.scrollTop]);
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const way = focused && wayTo(focused, old);
  old.replaceWith(fresh);
  for (const [id, left, top] of scrolled) {
    const again = document.getElementById(id);
    if (again) again.scrollTo({ left, top, behavior: "instant" });
  }
  if (focused) {
    const again = (focused.id && document.getElementById(focused.id)) || fresh.querySelector(way);
    // A button that is gone (what it closed is closed) leaves the focus at its table.
    const near = () => document.getElementById(focused.closest(".scroll[id]")?.id) ?? fresh.querySelector("[role=group] button, .scroll, a[href]");
    (again ?? near())?.focus({ preventScroll: true });
  }
}

// A path of :nth-child steps from `root` down to `element`.
function wayTo(element, root) {
  const steps = [];
  for (let at = element; at !== root; at = at.parentElement) {
    steps.unshift(`${at.localName}:nth-child(${[...at.parentElement.children].indexOf(at) + 1})`);
  }
  return `:scope > ${steps.join(" > ")}`;
}

function lose(said, ...more) {
  failures += 1;
  lostSince ??= new Date();
  const line = document.getElementById("lost");
  line.replaceChildren(said, ...more, ` Since ${lostSince.toISOString().slice(11, 19)} UTC.`);
  line.hidden = false;
  document.body.dataset.lost = "";
  document.getElementById("live-state").dataset.state = "lost";
}

function found() {
  if (!lostSince) return;
  lostSince = null;
  failures = 0;
  document.getElementById("lost").hidden = true;
  delete document.body.dataset.lost;
  document.getElementById("live-state").dataset.state = "on";
  document.dispatchEvent(new CustomEvent("sigil:back"));
}

function loginLink() {
  const link = document.createElement("a");
  link.href = `/sigil/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = "Log in again.";
  return link;
}
