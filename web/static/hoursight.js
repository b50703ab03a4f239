// Running ages, times of the reader's zone, keys, title and icon, details that stay open after a
// swap, and the state of the live connection.
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

  // Title and icon follow the open episodes.
  document.addEventListener("htmx:afterOnLoad", (event) => {
    const state = event.detail.xhr.getResponseHeader("Hoursight-State");
    const icon = document.getElementById("icon");
    if (!state || !icon) return;
    const [count, file] = state.split(" ");
    const title = document.title.replace(/^\(\d+\) /, "");
    document.title = count === "0" ? title : `(${count}) ${title}`;
    const href = icon.getAttribute("href").replace(/icon[a-z-]*\.svg.*/, file);
    if (!icon.getAttribute("href").includes(file)) icon.setAttribute("href", href);
  });

  // Texts such as `02:11:05 UTC` and `28 Nov 02:11 UTC` become times of the reader's zone.
  const CLOCK = /\b(?:(\d{1,2} [A-Z][a-z]{2}) )?(\d{2}:\d{2})(:\d{2})? UTC\b/g;
  function chosenZone() {
    const chosen = new URLSearchParams(location.search).get("tz");
    try {
      return chosen || localStorage.getItem("hoursight-tz") || "local";
    } catch {
      return chosen || "local"; // the browser keeps nothing
    }
  }
  function instant(day, minutes, seconds) {
    const now = new Date(serverNow());
    const date = day ? `${day} ${now.getUTCFullYear()}` : now.toUTCString().slice(5, 16);
    const ms = Date.parse(`${date} ${minutes}${seconds || ":00"} UTC`);
    const span = day ? 365 * 86400e3 : 86400e3;
    const off = Math.round((ms - now) / span);
    return ms - off * span;
  }
  function localText(ms, day, seconds) {
    const then = new Date(ms);
    const parts = { hour: "2-digit", minute: "2-digit", hour12: false };
    if (seconds) parts.second = "2-digit";
    const text = then.toLocaleTimeString("en-GB", parts);
    const date = then.toLocaleDateString("en-GB", { day: "2-digit", month: "short" });
    return day ? `${date} ${text}` : text;
  }
  function localTimes(root) {
    if (chosenZone() !== "local" || !new Date(serverNow()).getTimezoneOffset()) return;
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    const texts = [];
    while (walker.nextNode()) if (walker.currentNode.data.includes(" UTC")) texts.push(walker.currentNode);
    for (const text of texts) {
      if (text.parentElement.closest("code, pre, textarea, script, title, time.clock")) continue;
      const pieces = document.createDocumentFragment();
      let end = 0;
      for (const match of text.data.matchAll(CLOCK)) {
        const [whole, day, minutes, seconds] = match;
        const time = document.createElement("time");
        time.className = "clock";
        time.title = whole;
        time.textContent = localText(instant(day, minutes, seconds), day, seconds);
        pieces.append(text.data.slice(end, match.index), time);
        end = match.index + whole.length;
      }
      if (!end) continue;
      pieces.append(text.data.slice(end));
      text.replaceWith(pieces);
    }
  }
  function showZone() {
    const zone = document.getElementById("zone");
    if (!zone || !new Date().getTimezoneOffset()) return;
    const local = chosenZone() === "local";
    const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    button.textContent = local ? "Show UTC" : `Show ${name}`;
    button.addEventListener("click", () => {
      try {
        localStorage.setItem("hoursight-tz", local ? "utc" : "local");
      } catch {
        return;
      }
      const url = new URL(location);
      url.searchParams.delete("tz");
      location.replace(url);
    });
    zone.replaceChildren(local ? `Times are ${name}. ` : "Times are UTC. ", button);
  }
  document.addEventListener("htmx:afterSwap", (event) => localTimes(event.detail.target));

  // Keys: `?` help, `/` search, `g` and a letter a page.
  const keys = document.getElementById("keys");
  const pages = new Map();
  for (const link of document.querySelectorAll(".nav a")) {
    const letter = [...link.textContent.toLowerCase()].find((each) => /[a-z]/.test(each) && !pages.has(each));
    if (letter) pages.set(letter, link);
  }
  for (const [letter, link] of pages) {
    const term = document.createElement("dt");
    for (const key of ["g", letter]) {
      const box = document.createElement("kbd");
      box.textContent = key;
      term.append(box, " ");
    }
    const meaning = document.createElement("dd");
    meaning.textContent = link.textContent;
    keys.querySelector("dl").append(term, meaning);
  }
  let afterG = false;
  document.addEventListener("keydown", (event) => {
    const inField = event.target.closest?.("input, select, textarea, [contenteditable]");
    if (inField || event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
    const goesTo = afterG && pages.get(event.key);
    afterG = event.key === "g";
    if (goesTo) {
      event.preventDefault();
      goesTo.click();
    } else if (event.key === "?") keys.showModal();
    else if (event.key === "/") {
      event.preventDefault();
      const field = document.querySelector("#q, input[type=search]");
      if (field) field.select();
      else document.querySelector(".nav a")?.click();
    }
  });
  const opener = document.getElementById("keys-open");
  if (opener) {
    opener.hidden = false;
    opener.addEventListener("click", () => keys.showModal());
  }

  // Keep empty fields of the filter out of the URL.
  document.addEventListener("htmx:configRequest", (event) => {
    const fields = event.detail.parameters;
    for (const name of Object.keys(fields)) if (fields[name] === "") delete fields[name];
  });

  setInterval(tick, 1000);
  tick();
  localTimes(document.body);
  showZone();

  // The slider of the time machine: hours back from now, in the field and in the URL.
  const slider = document.getElementById("as-of-slider");
  if (slider) {
    const field = slider.form.elements.at;
    slider.parentElement.hidden = false;
    const shown = Date.parse(`${field.value}:00Z`);
    slider.value = Math.max(-48, Math.round((shown - serverNow()) / 3600000));
    slider.addEventListener("input", () => {
      field.value = new Date(serverNow() + slider.value * 3600000).toISOString().slice(0, 16);
    });
    slider.addEventListener("change", () => {
      if (slider.value !== "0") slider.form.submit();
      else location.assign(slider.form.dataset.present);
    });
  }
})();
