// Draws the fans with uPlot in place of the server's SVG, and renews them as commits come.
"use strict";
(() => {
  const root = document.querySelector("[data-charts]");
  const feed = document.getElementById("feed");
  if (!root || !window.uPlot) return;

  const HEIGHT = 158;
  const QUANTILES = ["p02", "p98", "p10", "p90", "p25", "p75", "p50"];
  const plots = new Map(); // metric -> {plot, chart}
  let axis = null;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  function colours() {
    const names = ["measured", "ahead", "band", "future", "now", "soft", "grid", "crit-text", "warn-text"];
    return Object.fromEntries(names.map((name) => [name, colour(`--${name}`)]));
  }
  let ink = colours();

  function columns(chart) {
    const xs = Array.from({ length: axis.steps }, (_, i) => axis.start + i * axis.step);
    const padded = (values, first) => {
      const out = new Array(axis.steps).fill(null);
      (values || []).forEach((v, i) => { if (first + i >= 0 && first + i < out.length) out[first + i] = v; });
      return out;
    };
    const ahead = QUANTILES.map((name) => padded(chart.ahead[name], axis.issued ?? 0));
    return [xs, padded(chart.measured, 0), ...ahead];
  }

  function digits(value, unit) {
    const text = Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(Math.abs(value) < 10 ? 1 : 0);
    return unit === "%" || unit === "MB/s" ? `${text} ${unit}` : text;
  }

  const hour = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);

  function shadeFuture(u) {
    const x = u.valToPos(axis.now, "x", true);
    u.ctx.save();
    u.ctx.fillStyle = ink.future;
    u.ctx.fillRect(x, u.bbox.top, u.bbox.left + u.bbox.width - x, u.bbox.height);
    u.ctx.restore();
  }

  function line(u, x0, y0, x1, y1, stroke, dash, width) {
    const ctx = u.ctx;
    ctx.save();
    ctx.beginPath();
    ctx.strokeStyle = stroke;
    ctx.lineWidth = width * devicePixelRatio;
    ctx.setLineDash(dash.map((d) => d * devicePixelRatio));
    ctx.moveTo(x0, y0);
    ctx.lineTo(x1, y1);
    ctx.stroke();
    ctx.restore();
  }

  // Above the plot, on either side of the line that is now.
  function caption(u, text, side, x) {
    u.ctx.save();
    u.ctx.font = `${10.5 * devicePixelRatio}px system-ui, sans-serif`;
    u.ctx.fillStyle = ink.soft;
    u.ctx.textBaseline = "bottom";
    u.ctx.textAlign = side;
    u.ctx.fillText(text, x + (side === "left" ? 4 : -4) * devicePixelRatio, u.bbox.top - devicePixelRatio);
    u.ctx.restore();
  }

  function marks(u) {
    const { left, top, width, height } = u.bbox;
    const levels = plots.get(u.metric)?.chart.levels ?? {};
    for (const [name, level] of Object.entries(levels)) {
      const y = u.valToPos(level, "y", true);
      const critical = name === "critical";
      line(u, left, y, left + width, y, critical ? ink["crit-text"] : ink["warn-text"], critical ? [8, 3] : [2, 4], 1);
    }
    const x = u.valToPos(axis.now, "x", true);
    line(u, x, top - 12 * devicePixelRatio, x, top + height, ink.now, [], 1.2);
    caption(u, "measured", "right", x);
    caption(u, plots.get(u.metric)?.chart.ahead.p50 ? "forecast" : "no forecast", "left", x);
  }

  function readout(u) {
    const { chart, out } = plots.get(u.metric) ?? {};
    if (!out) return;
    const i = u.cursor.idx;
    const at = (k) => (i == null ? null : u.data[k][i]);
    const parts = [];
    if (at(1) != null) parts.push(`measured ${digits(at(1), chart.unit)}`);
    if (at(8) != null) parts.push(`forecast ${digits(at(8), chart.unit)} (80 %: ${digits(at(4), "")}–${digits(at(5), "")})`);
    out.textContent = i == null ? "" : `${hour(u.data[0][i])} ${parts.join(", ") || "no data"}`;
  }

  // A mean between two gaps has no line to stand on: it is shown as a dot.
  function lonely(u, series) {
    const values = u.data[series];
    return values.flatMap((v, i) => (v != null && values[i - 1] == null && values[i + 1] == null ? [i] : []));
  }

  function options(chart, width) {
    const edge = { stroke: "transparent", width: 0, points: { show: false } };
    const axisStyle = { stroke: ink.soft, font: "11px system-ui, sans-serif", grid: { stroke: ink.grid, width: 1 }, ticks: { show: false } };
    return {
      width, height: HEIGHT, padding: [16, 6, 0, 0],
      legend: { show: false },
      cursor: { y: false, sync: { key: "fans" }, drag: { x: false, y: false }, points: { size: 6 } },
      tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
      scales: {
        x: { time: true, range: () => [axis.start, axis.start + (axis.steps - 1) * axis.step] },
        y: { range: () => { const c = plots.get(chart.name)?.chart ?? chart; return [c.low, c.high]; } },
      },
      axes: [
        { ...axisStyle, size: 22, gap: 2, incrs: [6 * 3600], values: (_, ticks) => ticks.map(hour) },
        { ...axisStyle, size: 42, gap: 4, space: 28, values: (_, ticks) => ticks.map((t) => (Math.abs(t) < 1 ? String(+t.toFixed(2)) : digits(t, "").replace(/\.0$/, ""))) },
      ],
      series: [
        {},
        { stroke: ink.measured, width: 1.6, points: { show: true, size: 4, filter: lonely } },
        ...QUANTILES.slice(0, 6).map(() => edge),
        { stroke: ink.ahead, width: 1.6, dash: [5, 4], points: { show: false } },
      ],
      bands: [[3, 2], [5, 4], [7, 6]].map((pair) => ({ series: pair, fill: ink.band + "38" })),
      hooks: { drawClear: [shadeFuture], draw: [marks], setCursor: [readout] },
    };
  }

  function draw(chart) {
    const figure = root.querySelector(`[data-metric="${chart.name}"]`);
    if (!figure) return;
    const place = figure.querySelector(".plot");
    const known = plots.get(chart.name);
    if (known) {
      known.chart = chart;
      known.plot.setData(columns(chart));
      return;
    }
    const entry = { chart, plot: null, out: figure.querySelector(".readout") };
    plots.set(chart.name, entry);
    const width = place.clientWidth;
    place.replaceChildren();
    entry.plot = new uPlot({ ...options(chart, width), hooks: { ...options(chart, width).hooks, init: [(u) => { u.metric = chart.name; }] } }, columns(chart), place);
  }

  function drawAll(data) {
    axis = data;
    data.charts.forEach(draw);
    root.dataset.drawn = String(plots.size);
    root.dataset.renewed = String(Number(root.dataset.renewed ?? 0) + 1);
  }

  feed.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) drawAll(JSON.parse(event.detail.xhr.responseText));
  });
  fetch(root.dataset.charts).then((answer) => (answer.ok ? answer.json().then(drawAll) : null));

  new ResizeObserver(() => {
    for (const { plot } of plots.values()) plot.setSize({ width: plot.root.parentElement.clientWidth, height: HEIGHT });
  }).observe(root);

  // Colours are drawn into the canvas: other light, other canvas.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    ink = colours();
    const charts = [...plots.values()].map(({ chart }) => chart);
    for (const { plot } of plots.values()) plot.destroy();
    plots.clear();
    charts.forEach(draw);
  });
})();
