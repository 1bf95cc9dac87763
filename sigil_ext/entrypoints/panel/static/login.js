// Logs in with the password, or by itself: with the session that this browser has already (its cookie does not come along
// when a link of another site leads here, but it does when this page asks), or with the token that Jesse's dashboard keeps
// in this origin's local storage.
const form = document.getElementById("login");
const said = document.getElementById("said");
const button = form.querySelector("button");

function goOn() {
  location.replace(form.dataset.next);
}

// The server leads whoever is logged in on from this very page.
async function isLoggedIn() {
  const answer = await fetch(location.href, { redirect: "manual", cache: "no-store" });
  return answer.type === "opaqueredirect";
}

// Returns null once logged in, else what went wrong.
async function logIn(given) {
  const answer = await fetch("/sigil/login", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(given),
  });
  if (answer.ok) return null;
  const { error } = await answer.json().catch(() => ({}));
  return error?.message ?? `the server answered ${answer.status}`;
}

function tokenOfJesse() {
  try {
    return JSON.parse(localStorage.getItem("main")).authToken || "";
  } catch {
    return "";
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  said.textContent = "";
  button.disabled = true;
  try {
    const problem = await logIn({ password: document.getElementById("password").value });
    if (problem === null) goOn();
    else said.textContent = problem;
  } catch {
    said.textContent = "The server does not answer. Is it running? Try again.";
  } finally {
    button.disabled = false;
  }
});

async function byItself() {
  const token = tokenOfJesse();
  if (new URLSearchParams(location.search).has("stay")) {
    if (token) said.textContent = "You are logged out of the panel, but not of Jesse’s dashboard in this browser: the next page here logs in again by it. Log out there, too.";
    return;
  }
  if ((await isLoggedIn()) || (token && (await logIn({ token })) === null)) goOn();
}

byItself().catch(() => {}); // without an answer there is the form, which says so
