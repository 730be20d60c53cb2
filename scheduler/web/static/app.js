// The pages work without this script: it presets the viewer's time zone, and previews schedules while they are typed.
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
