// The pages work without this script: it presets the viewer's time zone, previews schedules while they are typed, keeps
// the pages up to date, and has keys.
"use strict";

(() => {
  const { zone, zoneChosen } = document.body.dataset;
  if (zoneChosen === "yes") return;
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!own) return;
  // Without a path, as the server sets it: the cookie belongs to the folder of these pages.
  document.cookie = `scheduler_zone=${encodeURIComponent(own).replaceAll("%2F", "/")}; max-age=31536000; samesite=lax`;
  const isKept = document.cookie.includes("scheduler_zone=");
  if (isKept && own !== zone && sessionStorage.getItem("scheduler_zone") === null) {
    sessionStorage.setItem("scheduler_zone", own); // once, in case the server does not know the zone
    location.reload();
  }
})();

(() => {
  const form = document.getElementById("task-form");
  if (!form) return;
  let timer = 0;
  let asked = 0;
  const update = async () => {
    const number = ++asked;
    const query = new URLSearchParams({ schedule: form.schedule.value, timezone: form.timezone.value });
    try {
      const response = await fetch(`preview?${query}`);
      if (!response.ok || number !== asked) return; // an older answer may come later
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const found = page.getElementById("preview");
      const shown = document.getElementById("preview");
      if (found && shown) shown.replaceChildren(...found.childNodes);
    } catch {
      // the button Preview is there
    }
  };
  for (const field of [form.schedule, form.timezone]) {
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(update, 250);
    });
  }
})();

(() => {
  if (document.body.dataset.live !== "yes") return;
  const lost = document.getElementById("lost");
  let etag = "";
  let seconds = 2;
  let failures = 0;
  let timer = 0;

  // What a person is about to send, read or choose stays as it is.
  const isBusy = () => {
    const main = document.getElementById("main");
    const fields = [...main.querySelectorAll("input, textarea, select")];
    const isChanged = (field) => {
      if (field.type === "radio" || field.type === "checkbox") return field.checked !== field.defaultChecked;
      if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
      return [...field.options].some((each) => each.selected !== each.defaultSelected && each.index > 0);
    };
    return fields.some((field) => field === document.activeElement || isChanged(field))
      || main.querySelector("details[open]") !== null
      || document.querySelector("dialog[open]") !== null
      || !document.getSelection().isCollapsed;
  };

  const nameOf = (each) => each.getAttribute("href") ?? each.form?.getAttribute("action") ?? "";

  const show = (page) => {
    const focused = document.activeElement;
    const name = focused && document.getElementById("main").contains(focused) ? nameOf(focused) : "";
    for (const selector of ["#main", "header", "footer"]) {
      const [here, there] = [document.querySelector(selector), page.querySelector(selector)];
      if (here && there && here.innerHTML !== there.innerHTML) here.replaceChildren(...there.childNodes);
    }
    document.title = page.title;
    if (!name || focused.isConnected) return;
    [...document.querySelectorAll("#main a, #main button")].find((each) => nameOf(each) === name)?.focus();
  };

  const look = async () => {
    try {
      const headers = { "X-Live": "1", ...(etag && { "If-None-Match": etag }) };
      const response = await fetch(location.href, { headers, redirect: "error" });
      seconds = Number(response.headers.get("X-Next-Look")) || 10;
      if (response.status === 200 && !isBusy()) {
        show(new DOMParser().parseFromString(await response.text(), "text/html"));
        etag = response.headers.get("ETag") ?? "";
      }
      failures = response.ok || response.status === 304 ? 0 : failures + 1;
    } catch {
      failures += 1;
    }
    lost.hidden = failures < 2;
    wait();
  };

  const wait = () => {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(look, 1000 * Math.min(30, seconds * 2 ** Math.min(failures, 4)));
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : look()));
  wait();
})();

(() => {
  const pages = { t: "./", k: "tasks", r: "runs", i: "inbox", c: "calendar", h: "health" };
  const dialog = document.getElementById("keys");
  if (!dialog) return;
  const used = document.getElementById("keys-used");
  used.checked = localStorage.getItem("scheduler_keys") !== "no";
  used.addEventListener("change", () => localStorage.setItem("scheduler_keys", used.checked ? "yes" : "no"));
  let isAfterG = false;

  const move = (step) => {
    const rows = [...document.querySelectorAll("#main tbody th a, #main .card li a:first-of-type")];
    const place = rows.indexOf(document.activeElement);
    rows[Math.max(0, Math.min(rows.length - 1, place + step))]?.focus();
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (event.target.closest("input, textarea, select")) return;
    if (event.key === "?") return dialog.showModal(); // always, so that the keys can be used again
    if (!used.checked) return;
    if (isAfterG) {
      isAfterG = false;
      if (event.key in pages) location.href = pages[event.key];
    } else if (event.key === "g") {
      isAfterG = true;
      setTimeout(() => (isAfterG = false), 1500);
    } else if (event.key === "j" || event.key === "k") {
      move(event.key === "j" ? 1 : -1);
    } else if (event.key === "/") {
      const field = document.querySelector("input[type=search], .filters input");
      if (!field) return;
      event.preventDefault();
      field.focus();
    }
  });
  document.querySelector(".keys-hint").hidden = false;
})();
