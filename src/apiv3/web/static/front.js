// The front page follows the server: what has changed is fetched anew as the server shows it. Without this script, reload it.
"use strict";

const MINUTE = 60_000;
const PAUSE = 300; // ms in which further changes are waited for, since uploads come in bunches
let waiting = null;

// The page as it would be now, with what the reader has opened or focused kept as it is.
async function refresh() {
  const answer = await fetch(location.href, { cache: "no-store" });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const next = fresh.getElementById("glance");
  const shown = document.getElementById("glance");
  if (!answer.ok || next === null) {
    location.reload(); // the session is over
    return;
  }
  const open = document.getElementById("values")?.open;
  if (open && next.querySelector("#values")) {
    next.querySelector("#values").open = true;
  }
  const focused = shown.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && [...shown.querySelectorAll("a, summary, [tabindex]")].indexOf(focused);
  shown.replaceWith(document.adoptNode(next));
  document.title = fresh.title;
  if (focused) {
    document.getElementById("glance").querySelectorAll("a, summary, [tabindex]")[place]?.focus({ preventScroll: true });
  }
}

function soon() {
  waiting ??= setTimeout(() => {
    waiting = null;
    refresh().catch(() => {}); // the next change or minute tries again
  }, PAUSE);
}

// Times are those of this browser's clock. The server learns of it by a cookie, so that the chart agrees with the texts.
function tellZone() {
  const offset = -new Date().getTimezoneOffset();
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `zone=${offset}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  return String(offset) !== document.getElementById("glance").dataset.offset;
}

function follow() {
  const { follow: collections } = document.getElementById("glance").dataset;
  const changes = new EventSource(`/api/v3/events?collections=${collections}`);
  for (const kind of ["create", "update", "delete", "reset"]) {
    changes.addEventListener(kind, soon);
  }
  changes.addEventListener("error", () => {
    if (changes.readyState === EventSource.CLOSED) {
      soon(); // refused: find out whether the session is over
    }
  });
  addEventListener("pagehide", () => changes.close());
}

if (tellZone()) {
  soon();
}
follow();
setInterval(() => document.hidden || soon(), MINUTE);
document.addEventListener("visibilitychange", () => document.hidden || soon());
addEventListener("pageshow", (event) => event.persisted && location.reload());
