"""Peers of the accuracy benchmark: LightGBM and NHITS, as a user could set them up in an afternoon.

Both are global models: each is trained on all series of a dataset, scaled by the level and spread
of each window. Their inputs are those of the served model, with the time of day, which in these
datasets is the same for all servers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functions.rules.evaluation.baselines import Array, Forecasting
from storage.model.grid import (
    CONTEXT_STEPS,
    HORIZON_STEPS,
    MIN_CONTEXT_STEPS,
    QUANTILES,
    STEP_MINUTES,
)
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.query.history import WINDOW_STEPS, History, week_minute

__all__ = ["PEERS", "Learner", "lightgbm", "nhits"]

_MIN_SPREAD = 1e-3  # as a share of a window's level, for constant series
_MAX_WEIGHT = 10.0  # a nearly constant series must not dominate the training
_DAY_MINUTES = 24 * 60

Learner = Callable[[Sequence[History], int], Forecasting]


@dataclass(frozen=True, slots=True)
class _SeriesWindows:
    """R windows of one metric each, scaled by their own level and spread."""

    context: Array  # [R, 288] NaN = missing
    target: Array  # [R, 96]
    metric: NDArray[np.int64]  # [R]
    day_minute: Array  # [R] of the first step
    level: Array  # [R]
    spread: Array  # [R]
    weight: Array  # [R] spread, in units of the error of the seasonal naive forecast


def _series(
    context: Array, target: Array, metric: NDArray[np.int64], clock: Array, naive: Array
) -> _SeriesWindows:
    """Scale windows [R, 288]; `naive` [R] is the error of the seasonal naive forecast."""
    level = np.nanmedian(context, axis=1)
    spread = np.nanmean(np.abs(context - level[:, None]), axis=1)
    spread = np.maximum(spread, _MIN_SPREAD * (np.abs(level) + _MIN_SPREAD)).astype(np.float32)
    weight = np.minimum(spread / np.maximum(naive, 1e-9), _MAX_WEIGHT)
    return _SeriesWindows(
        (context - level[:, None]) / spread[:, None],
        (target - level[:, None]) / spread[:, None],
        metric,
        (clock % _DAY_MINUTES).astype(np.float32),
        level,
        spread,
        weight.astype(np.float32),
    )


def _sampled(
    histories: Sequence[History], count: int, random: np.random.Generator
) -> _SeriesWindows:
    """Return about `count` windows, uniformly over servers, metrics and times."""
    parts = [_sampled_from(history, count // len(histories), random) for history in histories]
    return _series(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _sampled_from(history: History, count: int, random: np.random.Generator) -> tuple[Any, ...]:
    values = history.values
    moves = np.abs(values[:, 288:] - values[:, :-288])
    known = ~np.isnan(moves)
    unit = np.where(known, moves, 0).sum(1) / np.maximum(known.sum(1), 1)  # [S, 14]
    rows, metrics = np.nonzero(unit > 0)
    which = random.integers(len(rows), size=count)
    starts = random.integers(history.steps - WINDOW_STEPS + 1, size=count)
    steps = starts[:, None] + np.arange(WINDOW_STEPS)
    windows = values[rows[which][:, None], steps, metrics[which][:, None]]  # [count, 384]
    enough = (~np.isnan(windows[:, :CONTEXT_STEPS])).sum(1) >= MIN_CONTEXT_STEPS
    windows, which, starts = windows[enough], which[enough], starts[enough]
    return (
        windows[:, :CONTEXT_STEPS],
        windows[:, CONTEXT_STEPS:],
        metrics[which],
        week_minute(history.start_s + starts * (STEP_MINUTES * 60)),
        unit[rows[which], metrics[which]],
    )


def _as_forecasting(predict: Callable[[_SeriesWindows], Array]) -> Forecasting:
    """Return a forecast of whole servers from a model that predicts scaled windows [R, 96, 7]."""

    def forecast(context: Array, clock: Array, _: NDArray[np.int64]) -> Array:
        places, metrics = np.nonzero((~np.isnan(context)).sum(1) >= MIN_CONTEXT_STEPS)
        flat = context[places, :, metrics]
        nothing = np.full((len(flat), HORIZON_STEPS), np.nan, np.float32)
        series = _series(flat, nothing, metrics, clock[places], np.ones(len(flat), np.float32))
        shape = (len(context), HORIZON_STEPS, len(METRIC_NAMES), len(QUANTILES))
        quantiles = np.full(shape, np.nan, np.float32)
        values = predict(series) * series.spread[:, None, None] + series.level[:, None, None]
        highest = np.array([m.highest or np.inf for m in METRICS], np.float32)[metrics]
        quantiles[places, :, metrics] = np.sort(np.clip(values, 0, highest[:, None, None]), -1)
        return quantiles

    return forecast


def lightgbm(histories: Sequence[History], seed: int) -> Forecasting:
    """Train one gradient-boosted model a quantile on 20 features of the window and the lead."""
    import lightgbm as engine

    random = np.random.default_rng(seed)
    series = _sampled(histories, 12_000, random)
    leads = random.integers(HORIZON_STEPS, size=(len(series.context), 12))
    features = _features(series, leads)
    target = np.take_along_axis(series.target, leads, 1).reshape(-1)
    weight = np.repeat(series.weight, leads.shape[1])
    known = ~np.isnan(target)
    parameters = {
        "objective": "quantile", "num_leaves": 48, "learning_rate": 0.06, "min_data_in_leaf": 200,
        "feature_fraction": 0.8, "bagging_fraction": 0.7, "bagging_freq": 1, "num_threads": 1,
        "seed": seed, "verbose": -1,
    }  # fmt: skip
    models = [
        engine.train(
            parameters | {"alpha": q},
            engine.Dataset(features[known], target[known], weight=weight[known]),
            num_boost_round=200,
        )
        for q in QUANTILES
    ]

    def predict(series: _SeriesWindows) -> Array:
        every = np.tile(np.arange(HORIZON_STEPS), (len(series.context), 1))
        rows = _features(series, every)
        quantiles = np.stack([np.array(m.predict(rows, num_threads=1)) for m in models], -1)
        return quantiles.reshape(-1, HORIZON_STEPS, len(QUANTILES)).astype(np.float32)

    return _as_forecasting(predict)


def _features(series: _SeriesWindows, leads: NDArray[np.int64]) -> Array:
    """Return the features of LightGBM for each window and lead [R, L]: [R * L, 20]."""
    z = series.context
    with np.errstate(all="ignore"):
        of_window: list[NDArray[Any]] = [
            z[:, -1], *(_mean(z[:, -n:]) for n in (3, 12, 36, 144)), _mean(z[:, :12]),
            np.fmin.reduce(z[:, -12:], 1), np.fmax.reduce(z[:, -12:], 1),
            *np.nanquantile(z, (0.02, 0.1, 0.5, 0.9, 0.98), axis=1), series.metric,
        ]  # fmt: skip
        minute = series.day_minute[:, None] + leads * STEP_MINUTES
        angle = 2 * np.pi * minute / _DAY_MINUTES
        of_lead: list[NDArray[Any]] = [
            leads, np.take_along_axis(z, leads, 1), np.sin(angle), np.cos(angle),
            *(_around(z, leads, n) for n in (3, 12)),
        ]  # fmt: skip
    repeated = [np.repeat(x, leads.shape[1]) for x in of_window]
    return np.stack([*repeated, *(x.reshape(-1) for x in of_lead)], -1).astype(np.float32)


def _mean(values: Array) -> Array:
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0).sum(1) / known.sum(1))  # 0 / 0 is missing


def _around(z: Array, leads: NDArray[np.int64], reach: int) -> Array:
    """Return the mean around the value 24 h before each target [R, L].

    It spans `reach` - 1 steps before that value and `reach` after it.
    """
    known = ~np.isnan(z)
    sums, counts = (np.cumsum(x, 1) for x in (np.where(known, z, 0), known))
    low, high = np.maximum(leads - reach, 0), leads + reach
    between = [
        np.take_along_axis(x, high, 1) - np.take_along_axis(x, low, 1) for x in (sums, counts)
    ]
    return np.asarray(between[0] / between[1])


def nhits(histories: Sequence[History], seed: int) -> Forecasting:
    """Train NHITS of pytorch-forecasting: three stacks, from the last value, all quantiles."""
    import torch
    from pytorch_forecasting.models.nhits.sub_modules import NHiTS

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network = NHiTS(
        context_length=CONTEXT_STEPS, prediction_length=HORIZON_STEPS,
        output_size=[len(QUANTILES)], static_size=0, encoder_covariate_size=0,
        decoder_covariate_size=0, static_hidden_size=0, n_blocks=[1, 1, 1], n_layers=[2, 2, 2],
        hidden_size=[[256, 256]] * 3, pooling_sizes=[24, 6, 1], downsample_frequencies=[24, 6, 1],
        pooling_mode="average", interpolation_mode="linear", dropout=0.1, activation="ReLU",
        initialization="lecun_normal", batch_normalization=False, shared_weights=False,
        naive_level=True,
    )  # fmt: skip
    levels = torch.tensor(QUANTILES)

    def run(context: Array) -> torch.Tensor:
        known = ~np.isnan(context)
        y = torch.from_numpy(np.clip(np.where(known, context, 0), -20, 20).astype(np.float32))
        mask = torch.from_numpy(known.astype(np.float32))
        empty = torch.zeros(len(y), 0)
        return network(y[:, :, None], mask, empty, empty, empty)[0]  # type: ignore[no-any-return]

    random = np.random.default_rng(seed)
    steps = 2500
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps)
    for step in range(steps):
        if step % 125 == 0:
            pool = _sampled(histories, 12_000, random)
        rows = random.integers(len(pool.context), size=128)
        target = torch.from_numpy(pool.target[rows].clip(-20, 20))[..., None]
        error = target - run(pool.context[rows])  # [128, 96, 7]
        loss = torch.maximum(levels * error, (levels - 1) * error)
        weighted = loss * torch.from_numpy(pool.weight[rows])[:, None, None]
        optimiser.zero_grad()
        weighted[~torch.isnan(weighted)].mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    network.eval()

    def predict(series: _SeriesWindows) -> Array:
        with torch.no_grad():
            parts = [
                run(series.context[i : i + 1024]).numpy()
                for i in range(0, len(series.context), 1024)
            ]
        return np.concatenate(parts)

    return _as_forecasting(predict)


PEERS: dict[str, Learner] = {"LightGBM": lightgbm, "NHITS": nhits}
