// Running ages, details that stay open after a swap, and the state of the live connection.
"use strict";
(() => {
  const skew = Date.parse(document.documentElement.dataset.now) - Date.now();
  const serverNow = () => Date.now() + skew;

  // The same text as duration() in web/display/formatting.py.
  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  function duration(seconds) {
    let left = Math.max(0, Math.round(seconds));
    if (left >= 600) left = Math.round(left / 60) * 60;
    for (let i = 0; i < UNITS.length; i++) {
      const [size, unit] = UNITS[i];
      if (left < size) continue;
      const text = `${Math.floor(left / size)} ${unit}`;
      const next = UNITS[i + 1];
      const rest = next ? Math.floor((left % size) / next[0]) : 0;
      return rest ? `${text} ${rest} ${next[1]}` : text;
    }
    return "0 s";
  }

  function clock(ms) {
    return new Date(ms).toISOString().slice(11, 19) + " UTC";
  }

  function tick() {
    for (const time of document.querySelectorAll("time.age")) {
      const text = `${duration((serverNow() - Date.parse(time.dateTime)) / 1000)} ago`;
      if (time.textContent !== text) time.textContent = text;
    }
    if (connected) live.textContent = `live · ${clock(serverNow())}`;
  }

  const live = document.getElementById("live");
  let connected = false;
  let lost = false;
  let updatedAt = serverNow();

  document.addEventListener("htmx:sseOpen", () => {
    connected = true;
    live.className = "live on";
    if (lost) for (const id of ["board", "head", "chart-data"]) {
      const part = document.getElementById(id);
      if (part) htmx.trigger(part, "refresh");
    }
    lost = false;
    tick();
  });
  document.addEventListener("htmx:sseError", () => {
    connected = false;
    lost = true;
    live.className = "live lost";
    live.textContent = `connection lost, data as of ${clock(updatedAt)}`;
  });

  // A swap replaces opened details by closed ones.
  let open = [];
  document.addEventListener("htmx:beforeSwap", (event) => {
    open = [...event.detail.target.querySelectorAll("details[open][id]")].map((d) => d.id);
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    updatedAt = serverNow();
    tick();
  });

  // Keep empty fields of the filter out of the URL.
  document.addEventListener("htmx:configRequest", (event) => {
    const fields = event.detail.parameters;
    for (const name of Object.keys(fields)) if (fields[name] === "") delete fields[name];
  });

  setInterval(tick, 1000);
  tick();
})();
