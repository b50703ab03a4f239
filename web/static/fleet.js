// The board asks for the rows that changed only, and keeps the others (web/display/row_digests.py).
"use strict";
(() => {
  const MOST = 200; // digests in a header
  const board = document.getElementById("board");
  const body = () => board.querySelector("tbody[data-rows]");

  document.addEventListener("htmx:configRequest", (event) => {
    const shown = event.detail.elt === board && body();
    if (!shown) return;
    const digests = shown.dataset.rows.split(" ").slice(0, MOST);
    event.detail.headers["Hoursight-Shown"] = [...digests, shown.dataset.whole].join(" ");
  });

  document.addEventListener("htmx:beforeSwap", (event) => {
    const shown = body();
    if (event.detail.target !== board || !shown) return;
    if (!event.detail.serverResponse.includes("data-kept")) return;
    const rows = new Map(shown.dataset.rows.split(" ").map((digest, i) => [digest, shown.rows[i]]));
    const part = document.createElement("template");
    part.innerHTML = event.detail.serverResponse;
    for (const kept of part.content.querySelectorAll("tr[data-kept]")) {
      const row = rows.get(kept.dataset.kept);
      if (row) kept.replaceWith(row.cloneNode(true));
    }
    event.detail.serverResponse = part.innerHTML;
  });
})();
