"""History out of people's own files, for training and backtests: by the rules for all sources.

Files are read like those of the folder source; times, numbers, names and ranges are checked like
theirs. The columns have fixed names: ts, server, profile, and those of the 14 metrics.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from functions.normalize.columns import Columns, as_list, columns_of
from functions.normalize.file_readers import (
    FORMS,
    Chunk,
    FileUnreadable,
    is_parquet,
    read_chunks,
)
from functions.normalize.local_time import ASSUMED, LocalClock
from functions.normalize.mapping import Time
from functions.normalize.numbers import floats
from functions.normalize.timestamps import (
    MISSING,
    InvalidTimestamp,
    Series,
    UnitMissing,
    ZoneMissing,
    micros,
)
from storage.model.metrics import METRIC_NAMES, METRICS, Metric, check_range
from storage.model.names import EXPECTED, server_name
from storage.model.profiles import PROFILE_NAMES, STOCK_PATTERNS, Patterns, profile_of
from storage.model.reject_log import RejectLog, RejectReason
from storage.query.history import STEP_S, History, HistoryError

__all__ = ["ISO", "LoadedHistory", "Samples", "load", "read", "read_samples"]

ISO = Time(field="ts")
_KEYS = ("ts", "server")
_COLUMNS = (*_KEYS, "profile", *METRIC_NAMES)
_MISSING = frozenset({"", "nan", "null", "none", "na", "n/a"})
_LARGEST_BYTES = 4_000_000_000  # of one array; a single wrong year needs more

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Samples:
    """R readings as they were sent; a missing value is NaN."""

    seconds: NDArray[np.int64]  # [R] since the epoch
    servers: NDArray[np.str_]  # [R]
    values: Floats  # [R, 14]
    profiles: dict[str, str]  # as stated, by server
    ignored: tuple[str, ...]
    refused: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoadedHistory:
    """A history out of files, and what of them is not in it."""

    history: History
    ignored: tuple[str, ...]  # columns that are none of ours
    refused: int  # rows and values
    reasons: tuple[str, ...]


def load(paths: Iterable[Path], time: Time = ISO) -> History:
    """The history in files; `read` says as well what was left out."""
    return read(paths, time).history


def read(
    paths: Iterable[Path],
    time: Time = ISO,
    patterns: Patterns = STOCK_PATTERNS,
    metrics: Sequence[Metric] = METRICS,
) -> LoadedHistory:
    """Read files with the columns ts, server, optionally profile, and any of the 14 metrics.

    `time` says what the times are where they are not ISO 8601 with a zone; nothing is guessed.
    Servers without a stated profile have the one of `patterns`, and values are checked against the
    limits of `metrics`, the 14. Readings of any cadence become means of 5-minute steps. Raises
    HistoryError when nothing is left, or a file lacks a column that is needed or cannot be read.
    """
    samples = read_samples(paths, time, metrics)
    servers, rows = np.unique(samples.servers, return_inverse=True)
    first_s, last_s = int(samples.seconds.min()), int(samples.seconds.max())
    start_s = first_s // STEP_S * STEP_S
    steps = (last_s - start_s) // STEP_S + 1
    if len(servers) * steps * len(METRIC_NAMES) * 4 > _LARGEST_BYTES:
        raise HistoryError(
            f"{len(servers)} servers from {_minute(first_s)} to {_minute(last_s)} are too much for "
            "one history: is a time wrong? Else give fewer days or servers"
        )
    cells = rows * steps + (samples.seconds - start_s) // STEP_S
    values = np.stack([_means(cells, v, len(servers) * steps) for v in samples.values.T], -1)
    names = tuple(str(server) for server in servers)
    profiles = [profile_of(name, samples.profiles.get(name), patterns) for name in names]
    history = History(
        names,
        np.array([PROFILE_NAMES.index(profile) for profile in profiles], np.int64),
        start_s,
        values.reshape(len(servers), steps, len(METRIC_NAMES)),
    )
    return LoadedHistory(history, samples.ignored, samples.refused, samples.reasons)


def read_samples(
    paths: Iterable[Path], time: Time = ISO, metrics: Sequence[Metric] = METRICS
) -> Samples:
    """All readings of the files; HistoryError when one cannot be read, or nothing is left.

    A row without time or server is refused, of other rows the values that cannot be true.
    """
    rejects, parts = RejectLog(), [_Part.empty()]
    ignored: dict[str, None] = {}
    profiles: dict[str, str] = {}
    for path in paths:
        clock = LocalClock(time.zone or "UTC")
        for chunk in _chunks(path):
            _check_columns(path, chunk)
            ignored |= dict.fromkeys(name for name in chunk.fields if name not in _COLUMNS)
            if chunk.refused:
                rejects.add(f"{path.name}:", chunk.why, chunk.refused)
            if len(chunk.documents):
                reader = _ChunkReader(path.name, columns_of(chunk.documents), rejects)
                count = len(chunk.documents)
                parts.append(reader.part(count, time, clock, profiles, metrics))
    reasons = tuple(_sentence(each) for each in rejects.ranked())
    seconds, servers, values = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("seconds", "servers", "values")
    )
    if not len(seconds):
        raise HistoryError("no row is left: " + ("; ".join(reasons) or "there is none"))
    return Samples(seconds, servers, values, profiles, tuple(ignored), rejects.count, reasons)


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one chunk that can be taken."""

    seconds: NDArray[np.int64]
    servers: NDArray[np.str_]
    values: Floats

    @classmethod
    def empty(cls) -> "_Part":
        nothing = np.zeros((0, len(METRICS)), np.float32)
        return cls(np.zeros(0, np.int64), np.zeros(0, np.str_), nothing)


class _ChunkReader:
    """The columns of one chunk, with a log of what is refused of them."""

    def __init__(self, name: str, columns: Columns, rejects: RejectLog) -> None:
        self._name, self._columns, self._rejects = name, columns, rejects

    def part(
        self,
        count: int,
        time: Time,
        clock: LocalClock,
        profiles: dict[str, str],
        metrics: Sequence[Metric],
    ) -> _Part:
        """The rows with a time and a server; puts what they state into `profiles`."""
        times, servers = self._times(count, time, clock), self._servers(count)
        kept = (servers != "") & (times != MISSING)
        values = np.full((count, len(METRICS)), np.nan, np.float32)
        for place, metric in enumerate(metrics):
            values[:, place] = self._metric(metric)
        stated = self._columns.get("profile")
        for i, profile in enumerate([] if stated is None else as_list(stated)):
            if kept[i] and isinstance(profile, str) and profile.strip():
                profiles[str(servers[i])] = profile.strip()
        return _Part(times[kept] // 1_000_000, servers[kept], values[kept])

    def _times(self, count: int, time: Time, clock: LocalClock) -> NDArray[np.int64]:
        """Microseconds since the epoch; MISSING where the time is refused."""
        column, servers = self._columns.get("ts"), self._columns.get("server")
        times = np.full(count, MISSING)
        if column is not None:
            keys = None if servers is None else [str(each) for each in as_list(servers)]
            series = Series(clock, keys, self._assumed_time)
            times = micros(column, time, self._bad_time, series=series)
        values = [None] * count if column is None else as_list(column)
        missing = sum(values[i] in (None, "") for i in np.flatnonzero(times == MISSING))
        if missing:
            self._refuse("ts", "", "is missing", missing)
        return times

    def _bad_time(self, _: int, value: Any, error: InvalidTimestamp) -> None:
        self._refuse("ts:", repr(value), _time_problem(error))

    def _assumed_time(self, _: int, value: Any, count: int) -> None:
        self._rejects.note(f"{self._name}: ts:", repr(value), count, ASSUMED)

    def _servers(self, count: int) -> NDArray[np.str_]:
        """The names of the servers, trimmed; '' where there is none, or no valid one."""
        column = self._columns.get("server")
        texts = ["" if v is None else str(v) for v in as_list(column if column is not None else [])]
        names = {text: server_name(text) or "" for text in set(texts)}
        for text in texts:
            if not text.strip():
                self._refuse("server", "", "is missing")
            elif not names[text]:
                self._refuse("server:", repr(text), f"is not a valid name; {EXPECTED}")
        return np.array([names[text] for text in texts] or [""] * count)

    def _metric(self, metric: Metric) -> NDArray[np.float64] | float:
        column = self._columns.get(metric.name)
        if column is None:
            return np.nan
        if isinstance(column, pa.Array) and pa.types.is_nested(column.type):
            raise HistoryError(
                f"{self._name}: column {metric.name!r} holds {column.type}; numbers are needed"
            )
        percent = metric.unit == "%"
        values = floats(column, lambda _, value: self._bad_number(metric, value), percent)
        check = check_range(metric, values)
        if check.impossible.any():
            why = metric.refusal(float(values[check.impossible][0])) or ""
            example = why.removeprefix(f"{metric.name}: ")
            self._refuse(f"{metric.name}:", example, "", int(check.impossible.sum()))
        if check.clamped.any():
            example, count = metric.shown(values[check.clamped][0]), int(check.clamped.sum())
            self._rejects.clamp(f"{self._name}: {metric.name}, {metric.clamping}:", example, count)
        return check.possible

    def _bad_number(self, metric: Metric, value: Any) -> None:
        text = str(value).strip().lower()
        if text in _MISSING:
            return
        if text.lstrip("+-") in ("inf", "infinity"):
            why = metric.refusal(float(text)) or ""
            self._refuse(f"{metric.name}:", "", why.removeprefix(f"{metric.name}: "))
        else:
            self._refuse(f"{metric.name}:", repr(value), "is not a number")

    def _refuse(self, about: str, example: str, what: str, count: int = 1) -> None:
        self._rejects.add(f"{self._name}: {about}", example, count, what)


def _chunks(path: Path) -> Iterable[Chunk]:
    """The chunks of a file; without one of the known endings it is Parquet or CSV."""
    parquet = False
    try:
        parquet = path.suffix.lower() == ".parquet" or is_parquet(path)
        unknown = path.suffix.lower() not in FORMS and not parquet
        yield from read_chunks(path, ending=".csv" if unknown else None)
    except FileUnreadable as error:
        _unreadable(path, parquet, error)
    except OSError as error:
        raise HistoryError(f"{path}: cannot be read ({error.strerror})") from error


def _unreadable(path: Path, parquet: bool, error: FileUnreadable) -> NoReturn:
    form = "not a readable Parquet file" if parquet else "neither Parquet nor readable as CSV"
    if path.suffix.lower() in FORMS and path.suffix.lower() not in (".csv", ".parquet"):
        form = "not readable"
    raise HistoryError(f"{path}: {form} ({error})") from error


def _check_columns(path: Path, chunk: Chunk) -> None:
    names = chunk.fields
    if not names or not len(chunk.documents):
        return
    if not set(_KEYS).issubset(names) or set(METRIC_NAMES).isdisjoint(names):
        raise HistoryError(
            f"{path}: a history needs the columns ts, server and at least one metric "
            f"({METRIC_NAMES[0]}, …); this file has {', '.join(names)}"
        )


def _time_problem(error: InvalidTimestamp) -> str:
    """What is wrong with a time, what was expected, and the remedy of the commands."""
    if isinstance(error, UnitMissing):
        return (
            "is a number whose unit is not stated (expected ISO 8601 with a zone): name the unit "
            "with --time-format epoch_s, epoch_ms, epoch_us or epoch_ns"
        )
    if isinstance(error, ZoneMissing):
        return (
            "has no zone (expected ISO 8601 with a zone): name the zone of such times with "
            "--time-zone, such as --time-zone UTC"
        )
    return f"{error.message}; expected ISO 8601 with a zone, or what --time-format says"


def _sentence(reject: RejectReason) -> str:
    parts = " ".join(filter(None, (reject.reason, reject.example, reject.remedy)))
    return f"{parts} ({reject.count} time{'s' if reject.count > 1 else ''})"


def _means(cells: NDArray[np.int64], values: Floats, size: int) -> Floats:
    """Mean of the values that share a cell [size]; NaN where there is none."""
    known = ~np.isnan(values)
    sums = np.bincount(cells[known], values[known], size)
    counts = np.bincount(cells[known], minlength=size)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)


def _minute(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="minutes")[:16]
