"""The race: the served forecast beside what could be had without it, on servers never seen.

    python -m scripts.tools.accuracy_benchmark --real DIR [--model FILE] [--work DIR] \
        [--write docs/accuracy.md]

DIR holds smd.parquet, asd.parquet and jumpstarter.parquet; `pip install lightgbm` and the train
extra are needed. Each forecast answers for every fourth server of a set on its last 4.7 days, from
14 origins 8 h apart; LightGBM and NHITS have learned from the other servers of the same set before
those days. All are scored on the same values. `--work` keeps the answers of LightGBM and NHITS,
which do not depend on the model: with it a second race takes a minute.
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
from scripts.tools.datasets import REAL_SETS, as_named, as_shapes, read_set, split
from scripts.tools.forecast_peers import PEERS, Learner
from scripts.tools.pretrain import HELD_OUT_SERVERS, SIMULATED_DAYS, simulated
from storage.model.metrics import GROUPS, METRIC_NAMES, METRICS
from storage.query.history import History

__all__ = ["BenchmarkResult", "BenchmarkSet", "courses", "race", "tables", "written"]

BEGIN, END = "<!-- race: written by scripts.tools.accuracy_benchmark -->", "<!-- end of race -->"
TITLES = {
    "smd": "Server Machine Dataset",
    "asd": "Application Server Dataset",
    "jumpstarter": "JumpStarter",
}


@dataclass(frozen=True, slots=True)
class BenchmarkSet:
    """One set: histories to learn from, and those on whose last days all are scored."""

    name: str
    named: bool  # whether the columns are the metrics they stand for
    learned: Sequence[History]
    held: Sequence[History]


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """The tallies of all forecasts on one course."""

    course: BenchmarkSet
    windows: ScoredWindows
    tallies: Mapping[str, Tally]

    def scores(self, forecast: str, chosen: NDArray[np.bool_] | None = None) -> SeriesScores:
        """Of each server and metric, of all windows or the `chosen` ones."""
        naive = self.tallies[SEASONAL]
        return relative(self.tallies[forecast], naive, self.windows.origins, chosen)


def courses(real: Path, seed: int) -> Iterator[BenchmarkSet]:
    """The sets, with the split by which the shipped model was made."""
    for source in REAL_SETS:
        learned, held = split(read_set(real, source.name))
        title = TITLES[source.name]
        if source.named:
            yield BenchmarkSet(
                f"{title}, mapped metrics", True,
                [as_named(learned, source).before(-HELD_OUT_STEPS)], [as_named(held, source)],
            )  # fmt: skip
        else:
            shapes = [h.before(-HELD_OUT_STEPS) for h in as_shapes(learned)]
            yield BenchmarkSet(f"{title}, all columns", False, shapes, as_shapes(held))
    learned_fleet = simulated(HELD_OUT_SERVERS, SIMULATED_DAYS, seed, 5).before(-HELD_OUT_STEPS)
    held_fleet = simulated(HELD_OUT_SERVERS, SIMULATED_DAYS, seed + 1, 5)
    yield BenchmarkSet("simulator, another seed", True, [learned_fleet], [held_fleet])


def race(
    course: BenchmarkSet,
    forecaster: Forecaster,
    seed: int,
    work: Path | None = None,
    peers: Mapping[str, Learner] = PEERS,
) -> BenchmarkResult:
    """Let all forecasts answer, and tally them on the values that all have forecast."""
    windows = held_out_windows(*course.held)
    asked = (windows.context, windows.week_minute, windows.profile)
    answers = {SERVED: served(forecaster)(*asked)}
    for name, learner in peers.items():
        answers[name] = _peer(name, learner, course, windows, seed, work)
    answers |= {name: forecast(*asked) for name, forecast in baselines().items()}
    known = comparable(windows, *answers.values())
    return BenchmarkResult(
        course, windows, {n: tally(a, windows, known) for n, a in answers.items()}
    )


def _peer(
    name: str,
    learner: Learner,
    course: BenchmarkSet,
    windows: ScoredWindows,
    seed: int,
    work: Path | None,
) -> Array:
    kept = work / f"{course.name}, {name}, {seed}.npy".replace(" ", "-") if work else None
    if kept and kept.exists():
        return np.asarray(np.load(kept), np.float32)
    learned = learner(course.learned, seed)
    answer = learned(windows.context, windows.week_minute, windows.profile)
    if kept:
        np.save(kept, answer)
    return answer


def tables(results: Sequence[BenchmarkResult], model: str) -> str:
    """The race as Markdown: losses, medians, bands, and each metric where it has a name."""
    names = list(results[0].tallies)
    parts = [
        f"Of model `{model}`, by `python -m scripts.tools.accuracy_benchmark --real DIR "
        "--write docs/accuracy.md`.",
        "### Weighted quantile loss, relative to the value 24 hours before",
        _versus(results, names, lambda score: score.loss),
        "### Absolute error of the median, relative to the same",
        _versus(results, names, lambda score: score.error),
        "### What the served bands hold: 80 % / 96 %",
        "Anomalous are the forecasts in whose 8 hours the data's authors have labelled an anomaly.",
        _bands(results),
        "### Metric by metric",
    ]
    for result in results:
        if result.course.named:
            parts += [f"{result.course.name}:", _by_metric(result)]
    return "\n\n".join(parts)


def _versus(
    results: Sequence[BenchmarkResult], names: Sequence[str], what: Callable[[Score], float]
) -> str:
    rows = [
        [result.course.name, *(_said(what(result.scores(name).over())) for name in names)]
        for result in results
    ]
    return _table(["held-out set", *names], rows)


def _bands(results: Sequence[BenchmarkResult]) -> str:
    rows = []
    for result in results:
        marks = result.windows.struck
        both = marks.any() and not marks.all()
        whole = result.scores(SERVED)
        rows.append([
            result.course.name, _held(whole.over()),
            *(_held(result.scores(SERVED, m).over()) if both else "" for m in (~marks, marks)),
            *(_held(whole.over(map(METRIC_NAMES.index, group))) if result.course.named else ""
              for group in GROUPS.values()),
        ])  # fmt: skip
    return _table(["held-out set", "all", "calm", "anomalous", *GROUPS], rows)


def _held(score: Score) -> str:
    return "" if math.isnan(score.inside) else f"{_said(score.inside)} / {_said(score.inside_96)}"


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
            metric.name, _said(ours.loss), f"{_said(losses[best])} ({best})", _said(ours.error),
            _held(ours),
        ])  # fmt: skip
    return _table(["metric", "served, loss", "best other, loss", "median", "80 % / 96 %"], rows)


def _said(number: float) -> str:
    return "–" if math.isnan(number) else f"{number:.3f}".removeprefix("0")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(page: str, text: str) -> str:
    """`page` with `text` between the marks; ValueError when it has none."""
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r} to write between")
    head, tail = page.split(BEGIN)[0], page.split(END)[1]
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Race on every set, print the tables, and write them where they belong."""
    asked = _arguments(arguments)
    forecaster = Forecaster.open(asked.model)
    if asked.work:
        asked.work.mkdir(parents=True, exist_ok=True)
    results = []
    for course in courses(asked.real, asked.seed):
        result = race(course, forecaster, asked.seed, asked.work)
        results.append(result)
        told = (f"{name} {_said(result.scores(name).over().loss)}" for name in result.tallies)
        print(f"{course.name}: {', '.join(told)}", file=sys.stderr, flush=True)
    text = tables(results, forecaster.hash)
    print(text)
    if asked.write:
        asked.write.write_text(written(asked.write.read_text(), text))
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.tools.accuracy_benchmark", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--real", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="model file (the shipped one)")
    parser.add_argument("--work", type=Path, help="keep the peers' answers here; reuse if there")
    parser.add_argument("--write", type=Path, help="page to write the tables into")
    # The simulated fleet is of the seed after it: the shipped model has been trained on 0, 1 and 2.
    parser.add_argument("--seed", type=int, default=2)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
