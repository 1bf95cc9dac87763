// What every page does: keeps its live parts fresh, shows local times on hover, and asks before an act.
import { startActs } from "./acts.js";
import { startLive } from "./live.js";

const inYours = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});

// The title is written when somebody looks: it costs nothing until then, and the UTC time stays without a script.
document.addEventListener("pointerover", (event) => {
  const time = event.target.closest?.("time[datetime]");
  if (time && !time.dataset.yours) {
    time.dataset.yours = "1";
    time.title = `${time.title || time.dateTime}\n${inYours.format(new Date(time.dateTime))}, yours`;
  }
});

startLive();
startActs();
