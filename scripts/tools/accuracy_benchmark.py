"""Accuracy benchmark: the served forecast and its alternatives, on servers never trained on.

    python -m scripts.tools.accuracy_benchmark --real DIR [--model FILE] [--work DIR] \
        [--write docs/accuracy.md]

DIR holds smd.parquet, asd.parquet and jumpstarter.parquet; `pip install lightgbm` and the train
extra are needed. Each method forecasts every fourth server of a dataset on its last 4.7 days, from
14 origins 8 h apart; LightGBM and NHITS are trained on the other servers of the same dataset before
those days. All are scored on the same values. `--work` keeps the forecasts of LightGBM and NHITS,
which do not depend on the model: with it a second run takes a minute.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.rules.evaluation.baselines import SEASONAL, Array, baselines
from functions.rules.evaluation.scoring import (
    HELD_OUT_STEPS,
    Score,
    ScoredWindows,
    SeriesScores,
    Tally,
    comparable,
    held_out_windows,
    relative,
    tally,
)
from scripts.cli.backtest import SERVED, served
from scripts.tools.datasets import DATASETS, as_named, as_shapes, read_set, split
from scripts.tools.forecast_peers import PEERS, Learner
from scripts.tools.pretrain import HELD_OUT_SERVERS, SIMULATED_DAYS, simulated
from storage.model.metrics import GROUPS, METRIC_NAMES, METRICS
from storage.query.history import History

__all__ = [
    "BenchmarkResult", "BenchmarkSet", "benchmark_sets", "run_benchmark", "tables", "with_tables",
]  # fmt: skip

BEGIN = "<!-- accuracy benchmark: written by scripts.tools.accuracy_benchmark -->"
END = "<!-- end of the accuracy benchmark -->"
TITLES = {
    "smd": "Server Machine Dataset",
    "asd": "Application Server Dataset",
    "jumpstarter": "JumpStarter",
}


@dataclass(frozen=True, slots=True)
class BenchmarkSet:
    """Histories to train on, and those on whose last days all methods are scored."""

    name: str
    named: bool  # whether the columns are the metrics they stand for
    training: Sequence[History]
    held_out: Sequence[History]


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """The tallies of all forecasts on one benchmark set."""

    benchmark_set: BenchmarkSet
    windows: ScoredWindows
    tallies: Mapping[str, Tally]

    def scores(self, forecast: str, chosen: NDArray[np.bool_] | None = None) -> SeriesScores:
        """Return the scores by server and metric, of all windows or of the `chosen` ones."""
        naive = self.tallies[SEASONAL]
        return relative(self.tallies[forecast], naive, self.windows.origins, chosen)


def benchmark_sets(real: Path, seed: int) -> Iterator[BenchmarkSet]:
    """Yield the sets, split as for the training of the shipped model."""
    for source in DATASETS:
        training, held_out = split(read_set(real, source.name))
        title = TITLES[source.name]
        if source.named:
            yield BenchmarkSet(
                f"{title}, mapped metrics", True,
                [as_named(training, source).before(-HELD_OUT_STEPS)],
                [as_named(held_out, source)],
            )  # fmt: skip
        else:
            shapes = [h.before(-HELD_OUT_STEPS) for h in as_shapes(training)]
            yield BenchmarkSet(f"{title}, all columns", False, shapes, as_shapes(held_out))
    training_fleet = simulated(HELD_OUT_SERVERS, SIMULATED_DAYS, seed, 5).before(-HELD_OUT_STEPS)
    held_out_fleet = simulated(HELD_OUT_SERVERS, SIMULATED_DAYS, seed + 1, 5)
    yield BenchmarkSet("simulator, another seed", True, [training_fleet], [held_out_fleet])


def run_benchmark(
    benchmark_set: BenchmarkSet,
    forecaster: Forecaster,
    seed: int,
    work: Path | None = None,
    peers: Mapping[str, Learner] = PEERS,
) -> BenchmarkResult:
    """Make all forecasts, and tally them on the values for which every method has one."""
    windows = held_out_windows(*benchmark_set.held_out)
    inputs = (windows.context, windows.week_minute, windows.profile)
    forecasts = {SERVED: served(forecaster)(*inputs)}
    for name, learner in peers.items():
        forecasts[name] = _peer(name, learner, benchmark_set, windows, seed, work)
    forecasts |= {name: forecast(*inputs) for name, forecast in baselines().items()}
    known = comparable(windows, *forecasts.values())
    tallies = {name: tally(values, windows, known) for name, values in forecasts.items()}
    return BenchmarkResult(benchmark_set, windows, tallies)


def _peer(
    name: str,
    learner: Learner,
    benchmark_set: BenchmarkSet,
    windows: ScoredWindows,
    seed: int,
    work: Path | None,
) -> Array:
    file_name = f"{benchmark_set.name}, {name}, {seed}.npy".replace(" ", "-")
    cached = work / file_name if work else None
    if cached and cached.exists():
        return np.asarray(np.load(cached), np.float32)
    forecasting = learner(benchmark_set.training, seed)
    quantiles = forecasting(windows.context, windows.week_minute, windows.profile)
    if cached:
        np.save(cached, quantiles)
    return quantiles


def tables(results: Sequence[BenchmarkResult], model: str) -> str:
    """Return the results as Markdown: losses, medians, bands, and each metric that has a name."""
    names = list(results[0].tallies)
    parts = [
        f"Of model `{model}`, by `python -m scripts.tools.accuracy_benchmark --real DIR "
        "--write docs/accuracy.md`.",
        "### Weighted quantile loss, relative to the value 24 hours before",
        _versus(results, names, lambda score: score.loss),
        "### Absolute error of the median, relative to the same",
        _versus(results, names, lambda score: score.error),
        "### Coverage of the served bands: 80 % / 96 %",
        "Anomalous: forecasts in whose 8 hours the authors of the data have labelled an anomaly.",
        _bands(results),
        "### Metric by metric",
    ]
    for result in results:
        if result.benchmark_set.named:
            parts += [f"{result.benchmark_set.name}:", _by_metric(result)]
    return "\n\n".join(parts)


def _versus(
    results: Sequence[BenchmarkResult], names: Sequence[str], what: Callable[[Score], float]
) -> str:
    rows = [
        [result.benchmark_set.name, *(_number(what(result.scores(name).over())) for name in names)]
        for result in results
    ]
    return _table(["held-out set", *names], rows)


def _bands(results: Sequence[BenchmarkResult]) -> str:
    rows = []
    for result in results:
        marks = result.windows.struck
        both = marks.any() and not marks.all()
        whole, named = result.scores(SERVED), result.benchmark_set.named
        rows.append([
            result.benchmark_set.name, _coverage(whole.over()),
            *(_coverage(result.scores(SERVED, m).over()) if both else "" for m in (~marks, marks)),
            *(_coverage(whole.over(map(METRIC_NAMES.index, group))) if named else ""
              for group in GROUPS.values()),
        ])  # fmt: skip
    return _table(["held-out set", "all", "calm", "anomalous", *GROUPS], rows)


def _coverage(score: Score) -> str:
    return (
        "" if math.isnan(score.inside) else f"{_number(score.inside)} / {_number(score.inside_96)}"
    )


def _by_metric(result: BenchmarkResult) -> str:
    others = [name for name in result.tallies if name not in (SERVED, SEASONAL)]
    rows = []
    for place, metric in enumerate(METRICS):
        ours = result.scores(SERVED).over([place])
        if not ours.series:
            continue
        losses = {name: result.scores(name).over([place]).loss for name in others} | {SEASONAL: 1.0}
        best = min(losses, key=lambda name: losses[name])
        rows.append([
            metric.name, _number(ours.loss), f"{_number(losses[best])} ({best})",
            _number(ours.error), _coverage(ours),
        ])  # fmt: skip
    return _table(["metric", "served, loss", "best other, loss", "median", "80 % / 96 %"], rows)


def _number(number: float) -> str:
    return "–" if math.isnan(number) else f"{number:.3f}".removeprefix("0")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_tables(page: str, text: str) -> str:
    """Return `page` with `text` between the marks. Raises ValueError when it has none."""
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r} to write between")
    head, tail = page.split(BEGIN)[0], page.split(END)[1]
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run on every set, print the tables, and write them into the page."""
    options = _arguments(arguments)
    forecaster = Forecaster.open(options.model)
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
    results = []
    for each in benchmark_sets(options.real, options.seed):
        result = run_benchmark(each, forecaster, options.seed, options.work)
        results.append(result)
        losses = (f"{name} {_number(result.scores(name).over().loss)}" for name in result.tallies)
        print(f"{each.name}: {', '.join(losses)}", file=sys.stderr, flush=True)
    text = tables(results, forecaster.hash)
    print(text)
    if options.write:
        options.write.write_text(with_tables(options.write.read_text(), text))
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.tools.accuracy_benchmark", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--real", type=Path, required=True, help="folder of the public datasets")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="model file (the shipped one)")
    parser.add_argument(
        "--work", type=Path, help="keep the peers' forecasts here, and use those that are there"
    )
    parser.add_argument("--write", type=Path, help="page to write the tables into")
    # The simulated fleet is of the seed after it: the shipped model has been trained on 0, 1 and 2.
    parser.add_argument("--seed", type=int, default=2)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
