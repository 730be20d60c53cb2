// The pages work without this script. It only says which zone the viewer's clock has, once.
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
