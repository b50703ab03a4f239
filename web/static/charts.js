// Replaces the page's SVG charts with uPlot charts of the same chart model (web/display/charts.py)
// and updates them after each commit.
"use strict";
(() => {
  const root = document.querySelector("[data-charts]");
  const dataLoader = document.getElementById("chart-data");
  if (!root || !window.uPlot) return;

  const height = root.querySelector(".plot").clientHeight;
  const READOUT_PERCENT = 80; // the band that the readout gives
  const plots = new Map(); // metric -> {plot, chart}
  let model = null;

  // Series of a plot: 0 the times, 1 measured, then low and high of each band, then the median,
  // then low, high and median of each overlay, then the least and largest mean of wide steps.
  const lowSeries = (band) => 2 + 2 * band;
  const highSeries = (band) => 3 + 2 * band;
  const medianSeries = () => 2 + 2 * model.bands.length;
  const overlaySeries = (place) => medianSeries() + 1 + 3 * place;
  const spreadSeries = () => overlaySeries(kinds().length);
  const kinds = () => [...new Set(model.charts.flatMap((chart) => chart.overlays.map((each) => each.kind)))];
  const quantiles = () => [...model.bands.flatMap((band) => [band.low, band.high]), model.median];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  function readColours() {
    const names = ["measured", "ahead", "band", "future", "now", "soft", "grid", "crit-text", "warn-text", "said", "what-if"];
    return Object.fromEntries(names.map((name) => [name, colour(`--${name}`)]));
  }
  let ink = readColours();

  function columns(chart) {
    const xs = Array.from({ length: model.steps }, (_, i) => model.start + i * model.step);
    const padded = (values, first) => {
      const out = new Array(model.steps).fill(null);
      (values || []).forEach((v, i) => { if (first + i >= 0 && first + i < out.length) out[first + i] = v; });
      return out;
    };
    const ahead = quantiles().map((name) => padded(chart.ahead[name], model.issued ?? 0));
    const over = kinds().flatMap((kind) => {
      const each = chart.overlays.find((overlay) => overlay.kind === kind);
      return ["low", "high", "middle"].map((part) => padded(each?.[part], each?.first ?? 0));
    });
    const spread = (chart.spread || [[], []]).map((values) => padded(values, 0));
    return [xs, padded(chart.measured, 0), ...ahead, ...over, ...spread];
  }

  function digits(value, unit) {
    const text = Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(Math.abs(value) < 10 ? 1 : 0);
    return unit === "%" || unit === "MB/s" ? `${text} ${unit}` : text;
  }

  function hour(seconds) {
    const text = new Date(seconds * 1000).toISOString();
    return model.step * model.steps > 2 * 86400 ? text.slice(0, 16).replace("T", " ") : text.slice(11, 16);
  }

  function shadeFuture(u) {
    const x = u.valToPos(model.now, "x", true);
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

  // Labels above the plot, left and right of the line of the present.
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
    if (model.now >= model.start + model.steps * model.step) return;
    const x = u.valToPos(model.now, "x", true);
    line(u, x, top - 12 * devicePixelRatio, x, top + height, ink.now, [], 1.2);
    caption(u, "measured", "right", x);
    caption(u, plots.get(u.metric)?.chart.ahead[model.median] ? "forecast" : "no forecast", "left", x);
  }

  function readout(u) {
    const { chart, out } = plots.get(u.metric) ?? {};
    if (!out) return;
    const i = u.cursor.idx;
    const at = (k) => (i == null ? null : u.data[k][i]);
    const parts = [];
    if (at(1) != null) parts.push(`measured ${digits(at(1), chart.unit)}`);
    const middle = at(medianSeries());
    if (middle != null) {
      const band = model.bands.findIndex((each) => each.percent === READOUT_PERCENT);
      const [low, high] = [at(lowSeries(band)), at(highSeries(band))];
      parts.push(`forecast ${digits(middle, chart.unit)} (${READOUT_PERCENT} %: ${digits(low, "")}–${digits(high, "")})`);
    }
    kinds().forEach((kind, place) => {
      const value = at(overlaySeries(place) + 2);
      if (value != null) parts.push(`${kind === "said" ? "said then" : "what if"} ${digits(value, chart.unit)}`);
    });
    out.textContent = i == null ? "" : `${hour(u.data[0][i])} ${parts.join(", ") || "no data"}`;
  }

  // Dragging over a chart shows that time, as a page of its own.
  function zoom(u) {
    if (u.select.width < 8) return;
    const [from, to] = [u.select.left, u.select.left + u.select.width].map((x) => Math.round(u.posToVal(x, "x")));
    const query = new URLSearchParams(location.search);
    query.delete("last");
    query.set("from", from);
    query.set("to", Math.max(to, from + 1800));
    location.search = query;
  }

  // A single mean between two gaps is drawn as a dot.
  function isolated(u, series) {
    const values = u.data[series];
    return values.flatMap((v, i) => (v != null && values[i - 1] == null && values[i + 1] == null ? [i] : []));
  }

  function options(chart, width) {
    const edge = { stroke: "transparent", width: 0, points: { show: false } };
    const axisStyle = { stroke: ink.soft, font: "11px system-ui, sans-serif", grid: { stroke: ink.grid, width: 1 }, ticks: { show: false } };
    return {
      width, height, padding: [16, 6, 0, 0],
      legend: { show: false },
      cursor: { y: false, sync: { key: "charts" }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
      scales: {
        x: { time: true, range: () => [model.start, model.start + (model.steps - 1) * model.step] },
        y: { range: () => { const c = plots.get(chart.name)?.chart ?? chart; return [c.low, c.high]; } },
      },
      axes: [
        { ...axisStyle, size: 22, gap: 2, splits: () => model.ticks.map((tick) => tick.at), values: () => model.ticks.map((tick) => tick.label) },
        { ...axisStyle, size: 42, gap: 4, space: 28, values: (_, ticks) => ticks.map((t) => (Math.abs(t) < 1 ? String(+t.toFixed(2)) : digits(t, "").replace(/\.0$/, ""))) },
      ],
      series: [
        {},
        { stroke: ink.measured, width: 1.6, points: { show: true, size: 4, filter: isolated } },
        ...model.bands.flatMap(() => [edge, edge]),
        { stroke: ink.ahead, width: 1.6, dash: [5, 4], points: { show: false } },
        ...kinds().flatMap((kind) => [edge, edge, { stroke: ink[kind], width: 1.6, dash: [1, 4], points: { show: false } }]),
        edge, edge,
      ],
      bands: [
        ...model.bands.map((_, i) => ({ series: [highSeries(i), lowSeries(i)], fill: ink.band + "38" })),
        ...kinds().map((kind, i) => ({ series: [overlaySeries(i) + 1, overlaySeries(i)], fill: ink[kind] + "33" })),
        { series: [spreadSeries() + 1, spreadSeries()], fill: ink.measured + "40" },
      ],
      hooks: { drawClear: [shadeFuture], draw: [marks], setCursor: [readout], setSelect: [zoom] },
    };
  }

  function draw(chart) {
    const figure = root.querySelector(`[data-metric="${chart.name}"]`);
    if (!figure) return;
    const container = figure.querySelector(".plot");
    const known = plots.get(chart.name);
    if (known) {
      known.chart = chart;
      known.plot.setData(columns(chart));
      return;
    }
    const entry = { chart, plot: null, out: figure.querySelector(".readout") };
    plots.set(chart.name, entry);
    const width = container.clientWidth;
    container.replaceChildren();
    entry.plot = new uPlot({ ...options(chart, width), hooks: { ...options(chart, width).hooks, init: [(u) => { u.metric = chart.name; }] } }, columns(chart), container);
  }

  function drawAll(data) {
    model = data;
    data.charts.forEach(draw);
    root.dataset.drawn = String(plots.size);
    root.dataset.updates = String(Number(root.dataset.updates ?? 0) + 1);
  }

  dataLoader.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) drawAll(JSON.parse(event.detail.xhr.responseText));
  });
  fetch(root.dataset.charts).then((answer) => (answer.ok ? answer.json().then(drawAll) : null));

  new ResizeObserver(() => {
    for (const { plot } of plots.values()) plot.setSize({ width: plot.root.parentElement.clientWidth, height });
  }).observe(root);

  // A canvas keeps its colours: redraw it when the colour scheme changes.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    ink = readColours();
    const charts = [...plots.values()].map(({ chart }) => chart);
    for (const { plot } of plots.values()) plot.destroy();
    plots.clear();
    charts.forEach(draw);
  });
})();
