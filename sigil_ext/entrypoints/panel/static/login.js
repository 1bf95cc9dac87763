// Logs in with the password, or by itself with the token that Jesse's dashboard keeps in this origin's local storage.
const form = document.getElementById("login");
const said = document.getElementById("said");

async function logIn(given, quiet) {
  const answer = await fetch("/sigil/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(given),
  });
  if (answer.ok) {
    location.replace(form.dataset.next);
  } else if (!quiet) {
    const { error } = await answer.json();
    said.textContent = error.message;
  }
}

function tokenOfJesse() {
  try {
    return JSON.parse(localStorage.getItem("main")).authToken || "";
  } catch {
    return "";
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  said.textContent = "";
  logIn({ password: document.getElementById("password").value }, false);
});

const token = tokenOfJesse();
if (token && !new URLSearchParams(location.search).has("stay")) logIn({ token }, true);
