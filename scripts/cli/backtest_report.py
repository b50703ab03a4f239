"""HTML report of a backtest: one file with its charts in it, which loads nothing else."""

import math
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

from functions.normalize.history_files import LoadedHistory
from functions.rules.evaluation.scoring import Array, Forecasting, ScoredWindows, held_out_windows
from scripts.cli.backtest import FORECASTS, SERVED, Backtest, lead_name, verdict
from scripts.cli.output import format_time
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, LEAD_MINUTES, QUANTILES, STEP
from storage.model.metrics import METRIC_NAMES, METRICS, Metric
from web.display.svg import band_path, line_path, rows_of

__all__ = ["html_report"]

_TEMPLATES = Path(__file__).parent / "templates"
_EXAMPLES = 6
_SHOWN_STEPS = CONTEXT_STEPS // 2  # of the context of an example: 12 h
_STEP_PX, _FAN_PX = 2, 150
_AXIS_PX = 300
# Ticks of the logarithmic axis; losses beyond it are drawn at its end.
_LOSSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_LEAD_PX, _LEAD_GAP_PX = 220, 100


@dataclass(frozen=True, slots=True)
class _ChartPoint:
    """One point of a chart: its forecast, its place [px], and its tooltip."""

    name: str
    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True)
class _Fan:
    """An example forecast and the values that followed it: SVG paths, title and caption."""

    title: str
    caption: str
    bands: tuple[str, ...]  # 96, 80 and 50 %
    median: str
    measured: str
    naive: str
    marks: tuple[tuple[int, str], ...]  # pixel rows of the axis, and their values


def html_report(result: Backtest, forecasting: Forecasting, loaded: LoadedHistory) -> str:
    """Return the report; `forecasting` makes the forecasts of the example charts again."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    rows = (*result.metrics, None)
    first, last = result.history.span
    return environment.get_template("backtest.html").render(
        result=result,
        loaded=loaded,
        span=(format_time(first), format_time(last)),
        verdict=verdict(result),
        forecasts=[(name, f"f{place}") for place, name in enumerate(FORECASTS)],
        kind={name: f"f{place}" for place, name in enumerate(FORECASTS)},
        rows=[_label(metric) for metric in rows],
        losses=[_losses(result, metric, place) for place, metric in enumerate(rows)],
        loss_axis=[(_loss_px(at), f"{at:g}") for at in _LOSSES],
        shares=[_coverage(result, metric, place) for place, metric in enumerate(rows)],
        share_axis=[(_share_px(at), f"{at:.0%}") for at in _SHARES],
        good=[(_share_px(low), _share_px(high) - _share_px(low)) for low, high in
              ((0.78, 0.82), (0.94, 0.98))],
        leads=[_over_leads(result, name) for name in FORECASTS],
        lead_axis=[(_LEAD_GAP_PX * i, lead_name(i)) for i in range(len(LEAD_MINUTES))],
        lead_losses=[(_lead_row(at), f"{at:g}") for at in _LOSSES],
        fans=_fans(result, forecasting),
        numbers=[_numbers(result, metric, lead) for metric in rows
                 for lead in (*range(len(LEAD_MINUTES)), None)],
        axis_px=_AXIS_PX,
    )  # fmt: skip


def _label(metric: str | None) -> str:
    return metric or "all metrics"


def _loss_px(loss: float) -> float:
    low, high = math.log(_LOSSES[0]), math.log(_LOSSES[-1])
    share = (math.log(max(loss, 1e-9)) - low) / (high - low)
    return round(_AXIS_PX * min(max(share, 0), 1), 1)


def _share_px(share: float) -> float:
    low, high = _SHARES[0], _SHARES[-1]
    return round(_AXIS_PX * min(max((share - low) / (high - low), 0), 1), 1)


def _lead_row(loss: float) -> float:
    return round(_LEAD_PX * (1 - _loss_px(loss) / _AXIS_PX), 1)


def _losses(result: Backtest, metric: str | None, place: int) -> list[_ChartPoint]:
    marks = []
    for name in reversed(FORECASTS):  # the served one last, on top
        loss = result.score(name, metric).loss
        marks.append(_ChartPoint(name, _loss_px(loss), place, f"{name}: {loss:.3f}"))
    return marks


def _coverage(result: Backtest, metric: str | None, place: int) -> list[_ChartPoint]:
    score = result.score(SERVED, metric)
    return [
        _ChartPoint(name, _share_px(share), place, f"{name} band holds {share:.1%}")
        for name, share in (("80 %", score.inside), ("96 %", score.inside_96))
    ]


def _over_leads(result: Backtest, name: str) -> list[_ChartPoint]:
    marks = []
    for lead in range(len(LEAD_MINUTES)):
        loss = result.score(name, None, lead).loss
        if not math.isnan(loss):
            title = f"{name}, {lead_name(lead)}: {loss:.3f}"
            marks.append(_ChartPoint(name, _LEAD_GAP_PX * lead, _lead_row(loss), title))
    return marks


def _numbers(result: Backtest, metric: str | None, lead: int | None) -> list[str]:
    ours = result.score(SERVED, metric, lead)
    losses = [result.score(name, metric, lead).loss for name in FORECASTS]
    row = [*losses, ours.error, ours.inside, ours.inside_96]
    return [_label(metric), lead_name(lead), *("–" if math.isnan(x) else f"{x:.3f}" for x in row)]


def _fans(result: Backtest, forecasting: Forecasting) -> list[_Fan]:
    """Return example charts, evenly from the best series to the worst, at their median origin."""
    loss = result.scores(SERVED).loss  # [S, 14]
    servers, metrics = np.nonzero(~np.isnan(loss))
    order = np.argsort(loss[servers, metrics], kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, _EXAMPLES).round().astype(int))
    fans = []
    for place in places:
        server, metric = int(servers[order[place]]), int(metrics[order[place]])
        windows = held_out_windows(result.history.only([server]), origins=result.origins)
        forecast = forecasting(windows.context, windows.week_minute, windows.profile)
        origin = _middle_origin(result, server, metric)
        caption = f"loss {loss[server, metric]:.3f}, place {place + 1} of {len(order)}"
        fans.append(_fan(result, windows, forecast, server, metric, origin, caption))
    return fans


def _middle_origin(result: Backtest, server: int, metric: int) -> int:
    """Return the origin with the median loss of those that were scored."""
    rows = slice(server * result.origins, (server + 1) * result.origins)
    ours, counts = (
        getattr(result.tallies[SERVED], name)[rows, :, metric].sum(1) for name in ("loss", "count")
    )
    scored = np.nonzero(counts)[0]
    return int(scored[np.argsort(ours[scored] / counts[scored])[len(scored) // 2]])


def _fan(
    result: Backtest,
    windows: ScoredWindows,
    forecast: Array,
    server: int,
    metric: int,
    origin: int,
    caption: str,
) -> _Fan:
    past = windows.context[origin, -_SHOWN_STEPS:, metric]
    future = windows.target[origin, :, metric]
    quantiles = forecast[origin, :, metric]  # [96, 7]
    naive = windows.yesterday[origin, :, metric]
    low, high = _range(METRICS[metric], np.concatenate([past, future, quantiles.reshape(-1)]))
    ticks = np.linspace(low, high, 3, dtype=np.float32)
    begin = _SHOWN_STEPS * _STEP_PX

    def rows(values: Array) -> list[int]:
        return rows_of(values, low, high, _FAN_PX)

    back = result.origins - origin
    at = result.history.span[1] - back * HORIZON_STEPS * STEP
    return _Fan(
        f"{result.history.servers[server]} · {METRIC_NAMES[metric]}",
        f"{caption}; forecast at {format_time(at)}",
        tuple(
            band_path(rows(quantiles[:, i]), rows(quantiles[:, -1 - i]), begin, _STEP_PX)
            for i in range(len(QUANTILES) // 2)
        ),
        line_path(rows(quantiles[:, len(QUANTILES) // 2]), begin, _STEP_PX),
        line_path(rows(np.concatenate([past, future])), 0, _STEP_PX),
        line_path(rows(naive), begin, _STEP_PX),
        tuple(zip(rows(ticks), [f"{tick:.3g}" for tick in ticks], strict=True)),
    )


def _range(metric: Metric, values: Array) -> tuple[float, float]:
    """Return the ends of the axis: around the values, within the range of the metric."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    spare = max(0.08 * (high - low), 1e-3 * (abs(high) + 1))
    ceiling = math.inf if metric.highest is None else metric.highest
    return max(low - spare, metric.lowest), min(high + spare, ceiling)
