"""The report of `hoursight backtest`: one HTML file with its pictures in it, asking nobody."""

import math
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

from functions.normalize.history_files import LoadedHistory
from functions.rules.evaluation.scoring import Array, Forecasting, ScoredWindows, held_out_windows
from scripts.cli.backtest import FORECASTS, SERVED, Backtest, lead_name, verdict
from scripts.cli.output import moment
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, LEAD_MINUTES, QUANTILES, STEP
from storage.model.metrics import METRIC_NAMES, METRICS, Metric
from web.display.svg import band_path, line_path, rows_of

__all__ = ["page"]

_TEMPLATES = Path(__file__).parent / "templates"
_EXAMPLES = 6
_SHOWN_STEPS = CONTEXT_STEPS // 2  # of the context of an example: 12 h
_STEP_PX, _FAN_PX = 2, 150
_AXIS_PX = 300
_LOSSES = (
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
)  # of the logarithmic axis; beyond it is drawn at its end
_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_LEAD_PX, _LEAD_GAP_PX = 220, 100


@dataclass(frozen=True, slots=True)
class _ChartPoint:
    """One point of a chart: whose, where, and what a reader is told who points at it."""

    name: str
    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True)
class _Fan:
    """One forecast as it was made, and what came: SVG paths, and the words around them."""

    title: str
    told: str
    bands: tuple[str, ...]  # 96, 80 and 50 %
    median: str
    measured: str
    naive: str
    marks: tuple[tuple[int, str], ...]  # pixel rows of the axis, and their values


def page(found: Backtest, forecasting: Forecasting, loaded: LoadedHistory) -> str:
    """The report; `forecasting` is asked again for the examples that are drawn."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    rows = (*found.metrics, None)
    first, last = found.history.span
    return environment.get_template("backtest.html").render(
        found=found,
        loaded=loaded,
        span=(moment(first), moment(last)),
        verdict=verdict(found),
        forecasts=[(name, f"f{place}") for place, name in enumerate(FORECASTS)],
        kind={name: f"f{place}" for place, name in enumerate(FORECASTS)},
        rows=[_label(metric) for metric in rows],
        losses=[_losses(found, metric, place) for place, metric in enumerate(rows)],
        loss_axis=[(_loss_px(at), f"{at:g}") for at in _LOSSES],
        shares=[_coverage(found, metric, place) for place, metric in enumerate(rows)],
        share_axis=[(_share_px(at), f"{at:.0%}") for at in _SHARES],
        good=[(_share_px(low), _share_px(high) - _share_px(low)) for low, high in
              ((0.78, 0.82), (0.94, 0.98))],
        leads=[_over_leads(found, name) for name in FORECASTS],
        lead_axis=[(_LEAD_GAP_PX * i, lead_name(i)) for i in range(len(LEAD_MINUTES))],
        lead_losses=[(_lead_row(at), f"{at:g}") for at in _LOSSES],
        fans=_fans(found, forecasting),
        numbers=[_numbers(found, metric, lead) for metric in rows
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


def _losses(found: Backtest, metric: str | None, place: int) -> list[_ChartPoint]:
    marks = []
    for name in reversed(FORECASTS):  # the served one last, on top
        loss = found.score(name, metric).loss
        marks.append(_ChartPoint(name, _loss_px(loss), place, f"{name}: {loss:.3f}"))
    return marks


def _coverage(found: Backtest, metric: str | None, place: int) -> list[_ChartPoint]:
    score = found.score(SERVED, metric)
    return [
        _ChartPoint(name, _share_px(share), place, f"{name} band holds {share:.1%}")
        for name, share in (("80 %", score.inside), ("96 %", score.inside_96))
    ]


def _over_leads(found: Backtest, name: str) -> list[_ChartPoint]:
    marks = []
    for lead in range(len(LEAD_MINUTES)):
        loss = found.score(name, None, lead).loss
        if not math.isnan(loss):
            told = f"{name}, {lead_name(lead)}: {loss:.3f}"
            marks.append(_ChartPoint(name, _LEAD_GAP_PX * lead, _lead_row(loss), told))
    return marks


def _numbers(found: Backtest, metric: str | None, lead: int | None) -> list[str]:
    ours = found.score(SERVED, metric, lead)
    losses = [found.score(name, metric, lead).loss for name in FORECASTS]
    told = [*losses, ours.error, ours.inside, ours.inside_96]
    return [_label(metric), lead_name(lead), *("–" if math.isnan(x) else f"{x:.3f}" for x in told)]


def _fans(found: Backtest, forecasting: Forecasting) -> list[_Fan]:
    """Examples from the best series to the worst, evenly; of each the origin in the middle."""
    loss = found.scores(SERVED).loss  # [S, 14]
    servers, metrics = np.nonzero(~np.isnan(loss))
    order = np.argsort(loss[servers, metrics], kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, _EXAMPLES).round().astype(int))
    fans = []
    for place in places:
        server, metric = int(servers[order[place]]), int(metrics[order[place]])
        windows = held_out_windows(found.history.only([server]), origins=found.origins)
        forecast = forecasting(windows.context, windows.week_minute, windows.profile)
        origin = _middle_origin(found, server, metric)
        told = f"loss {loss[server, metric]:.3f}, place {place + 1} of {len(order)}"
        fans.append(_fan(found, windows, forecast, server, metric, origin, told))
    return fans


def _middle_origin(found: Backtest, server: int, metric: int) -> int:
    """The origin whose loss is in the middle of those that were scored."""
    rows = slice(server * found.origins, (server + 1) * found.origins)
    ours, counts = (
        getattr(found.tallies[SERVED], name)[rows, :, metric].sum(1) for name in ("loss", "count")
    )
    scored = np.nonzero(counts)[0]
    return int(scored[np.argsort(ours[scored] / counts[scored])[len(scored) // 2]])


def _fan(
    found: Backtest,
    windows: ScoredWindows,
    forecast: Array,
    server: int,
    metric: int,
    origin: int,
    told: str,
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

    back = found.origins - origin
    at = found.history.span[1] - back * HORIZON_STEPS * STEP
    return _Fan(
        f"{found.history.servers[server]} · {METRIC_NAMES[metric]}",
        f"{told}; forecast at {moment(at)}",
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
    """Where the axis begins and ends: around the values, inside of what can be."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    spare = max(0.08 * (high - low), 1e-3 * (abs(high) + 1))
    ceiling = math.inf if metric.highest is None else metric.highest
    return max(low - spare, metric.lowest), min(high + spare, ceiling)
